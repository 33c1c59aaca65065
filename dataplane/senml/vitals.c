// SPDX-License-Identifier: Apache-2.0
#include "dataplane/senml/vitals.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "crypto/seal.h"

#define SAME(unit)                                                                                 \
        {                                                                                          \
                unit, 1, 1, DECIMAL(0, 0)                                                          \
        }
#define TIMES(unit, numerator, denominator)                                                        \
        {                                                                                          \
                unit, numerator, denominator, DECIMAL(0, 0)                                        \
        }

#define UNITS_PER_MINUTE SAME("1/min")
#define UNITS_HEART      SAME("beat/min"), UNITS_PER_MINUTE
/* SenML's "/" and "%" are ratios, 0.97 and not 97 (RFC 8428 §12.1); "/100" (RFC 8798) is not. */
#define UNITS_RATIO TIMES("/", 100, 1), TIMES("%", 100, 1), SAME("/100")
/* The conventional millimetre of mercury, 133.322387415 Pa exactly (13595.1 kg/m3 * 9.80665 m/s2).
 */
#define UNITS_PRESSURE                                                                             \
        TIMES("Pa", 1000000000, 133322387415), TIMES("hPa", 100000000000, 133322387415),           \
            SAME("mmHg")
#define UNITS_TEMPERATURE                                                                          \
        SAME("Cel"),                                                                               \
        {                                                                                          \
                "K", 1, 1, DECIMAL(-27315, -2)                                                     \
        }
/* 1 kg/m3 = 100 mg/dL. Glucose, C6H12O6: 180.156 g/mol (12.011, 1.008, 15.999: IUPAC's abridged
 * standard atomic weights), so 1 mmol/L = 18.0156 mg/dL. */
#define UNITS_GLUCOSE TIMES("kg/m3", 100, 1), TIMES("mmol/L", 180156, 10000), SAME("mg/dL")

/* LOINC, name, UCUM, MDC, lowest and highest plausible value, accepted SenML units. The ranges are
 * wide on purpose: what no living patient from the premature newborn on has, or what a sensor that
 * fell off says. They mark a value; they diagnose nothing. */
#define WHOLE(n) DECIMAL(n, 0)
#define VITALS(X)                                                                                  \
        X("8867-4", "heart rate", "/min", 147842, WHOLE(20), WHOLE(300), UNITS_HEART)              \
        X("8889-8", "pulse rate by oximetry", "/min", 149530, WHOLE(20), WHOLE(300), UNITS_HEART)  \
        X("2708-6", "arterial oxygen saturation", "%", 150456, WHOLE(40), WHOLE(100), UNITS_RATIO) \
        X("59408-5", "arterial oxygen saturation by oximetry", "%", 150456, WHOLE(40), WHOLE(100), \
            UNITS_RATIO)                                                                           \
        X("8480-6", "systolic blood pressure", "mm[Hg]", 150021, WHOLE(30), WHOLE(300),            \
            UNITS_PRESSURE)                                                                        \
        X("8462-4", "diastolic blood pressure", "mm[Hg]", 150022, WHOLE(10), WHOLE(200),           \
            UNITS_PRESSURE)                                                                        \
        X("8478-0", "mean blood pressure", "mm[Hg]", 150023, WHOLE(15), WHOLE(250),                \
            UNITS_PRESSURE)                                                                        \
        X("9279-1", "respiratory rate", "/min", 151562, WHOLE(2), WHOLE(120), UNITS_PER_MINUTE)    \
        X("8310-5", "body temperature", "Cel", 150364, WHOLE(20), WHOLE(45), UNITS_TEMPERATURE)    \
        X("29463-7", "body weight", "kg", 188736, DECIMAL(2, -1), WHOLE(650), SAME("kg"))          \
        X("2339-0", "glucose", "mg/dL", 160184, WHOLE(10), WHOLE(2000), UNITS_GLUCOSE)

const struct vital vitals[] = {
#define X(code, text, unit, mdc_code, least, most, ...)                                            \
        {.loinc = code,                                                                            \
            .name = text,                                                                          \
            .ucum = unit,                                                                          \
            .mdc = mdc_code,                                                                       \
            .low = least,                                                                          \
            .high = most,                                                                          \
            .units = {__VA_ARGS__}},
    VITALS(X)
#undef X
};

const size_t vitals_count = sizeof(vitals) / sizeof(vitals[0]);

const struct vital *
vitals_find(const char *name, size_t bytes)
{
        char code[VITALS_LOINC_BYTES] = {0};
        size_t start = bytes;

        while (start > 0 && name[start - 1] != ':' && name[start - 1] != '/') {
                start--;
                if (bytes - start >= sizeof(code))
                        return NULL; /* longer than every code, with its NUL */
        }
        memcpy(code, name + start, bytes - start);
        for (size_t i = 0; i < vitals_count; i++) {
                if (memcmp(vitals[i].loinc, code, sizeof(code)) == 0)
                        return &vitals[i];
        }
        return NULL;
}

static const struct vital_unit *
find_unit(const struct vital *vital, const char *unit, size_t bytes)
{
        for (unsigned i = 0; i < VITALS_UNITS_MAX && vital->units[i].senml != NULL; i++) {
                const char *accepted = vital->units[i].senml;

                if (strlen(accepted) == bytes && memcmp(accepted, unit, bytes) == 0)
                        return &vital->units[i];
        }
        return NULL;
}

int
vitals_convert(struct decimal *out, const struct vital *vital, const char *unit, size_t unit_bytes,
    struct decimal value)
{
        const struct vital_unit *from = find_unit(vital, unit, unit_bytes);
        struct decimal scaled = value;
        int rc;

        if (from == NULL)
                return -ENOENT;
        if (from->numerator != from->denominator) {
                rc = decimal_scale(&scaled, value, from->numerator, from->denominator);
                if (rc < 0)
                        return rc;
        }
        if (from->offset.mantissa != 0) {
                rc = decimal_add(&scaled, scaled, from->offset);
                if (rc < 0)
                        return rc;
        }
        *out = scaled;
        return 0;
}

uint16_t
vitals_check_record(const struct senml_pack *pack, const struct senml_value *record)
{
        const struct vital *vital = vitals_find(senml_text(pack, record->name), record->name.bytes);
        struct decimal ucum;
        int rc;

        if (vital == NULL)
                return RECORD_FLAG_UNKNOWN_CODE;
        if (record->kind != SENML_NUMBER)
                return RECORD_FLAG_IMPLAUSIBLE;
        rc = vitals_convert(
            &ucum, vital, senml_text(pack, record->unit), record->unit.bytes, record->number);
        if (rc == -ENOENT)
                return RECORD_FLAG_UNKNOWN_UNIT;
        if (rc < 0 || decimal_compare(ucum, vital->low) < 0 ||
            decimal_compare(ucum, vital->high) > 0)
                return RECORD_FLAG_IMPLAUSIBLE;
        return 0;
}

uint16_t
vitals_check(const struct senml_pack *pack)
{
        uint16_t flags = 0;

        for (unsigned i = 0; i < pack->records; i++)
                flags |= vitals_check_record(pack, &pack->record[i]);
        return flags;
}
