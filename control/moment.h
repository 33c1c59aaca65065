/* SPDX-License-Identifier: Apache-2.0 */
/* Points in time as people write them. */
#ifndef AORTA_CONTROL_MOMENT_H
#define AORTA_CONTROL_MOMENT_H

#include <stdint.h>

/* RFC 3339 (a date alone is its midnight in UTC) or Unix seconds, either with up to nine digits
 * after the point, in ns of Unix time. 0; -EINVAL: neither; -ERANGE: before 1970, or beyond what 63
 * bits of ns hold. */
int moment_parse(const char *text, uint64_t *ns);

#endif
