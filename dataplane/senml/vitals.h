/* SPDX-License-Identifier: Apache-2.0 */
/* The vital signs that Aorta knows: LOINC code, UCUM unit, the SenML units accepted for it and
 * their exact conversion, the plausible range, the IEEE 11073-10101 (MDC) code. One table:
 * vitals.c. */
#ifndef AORTA_SENML_VITALS_H
#define AORTA_SENML_VITALS_H

#include <stddef.h>
#include <stdint.h>

#include "dataplane/senml/decimal.h"
#include "dataplane/senml/senml.h"

#define VITALS_UNITS_MAX   3
#define VITALS_LOINC_BYTES 8 /* of the longest code, with its NUL */

/* UCUM value = SenML value * numerator / denominator + offset. */
struct vital_unit {
        const char *senml; /* NULL: no further unit */
        int64_t numerator, denominator;
        struct decimal offset;
};

struct vital {
        char loinc[VITALS_LOINC_BYTES]; /* NUL-padded */
        const char *name;               /* in plain English, for people */
        const char *ucum;
        uint32_t mdc;
        struct decimal low, high; /* plausible, in the UCUM unit, both included */
        struct vital_unit units[VITALS_UNITS_MAX];
};

extern const struct vital vitals[];
extern const size_t vitals_count;

/* The vital sign that a resolved SenML name ends in: its part after the last ':' or '/'. NULL when
 * that is no code of the table. */
const struct vital *vitals_find(const char *name, size_t bytes);

/* A value in a SenML unit to the UCUM unit of vital: exact, or correctly rounded to the digits that
 * a decimal holds (Pa to mm[Hg]; decimal_round it for people). 0; -ENOENT when the unit (also an
 * absent one) is not accepted for it; -ERANGE. */
int vitals_convert(struct decimal *out, const struct vital *vital, const char *unit,
    size_t unit_bytes, struct decimal value);

/* One record: RECORD_FLAG_* of crypto/seal.h. A record of a known code whose value is no number, or
 * beyond decimal's range, is implausible. */
uint16_t vitals_check_record(const struct senml_pack *pack, const struct senml_value *record);

/* All records of a pack, or-ed: what the sealed record's header says. A flagged record is stored
 * all the same. */
uint16_t vitals_check(const struct senml_pack *pack);

#endif
