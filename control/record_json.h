/* SPDX-License-Identifier: Apache-2.0 */
/* An opened record as JSON: its header's facts, its vital signs in words, its resolved SenML. */
#ifndef AORTA_CONTROL_RECORD_JSON_H
#define AORTA_CONTROL_RECORD_JSON_H

#include "crypto/seal.h"

#include <jansson.h>
#include <stdint.h>

/* "oscore", "lab" or "unknown". */
const char *record_kind_name(uint8_t kind);
/* Adds kind, times, content format, partial IV, flags as words and so on to object. */
void record_header_json(json_t *object, const struct seal_header *header);
/* Parses and resolves the payload (at the time of reception), adds "vitals" to object (values as
 * text: what the device wrote, converted to UCUM in decimal) and gives the resolved SenML as a
 * malloc'd text. 0, -ENOMEM, or -EBADMSG with *error: a static text of why it is no SenML. */
int record_senml_json(json_t *object, const struct seal_header *header, const uint8_t *payload,
    char **senml, const char **error);

#endif
