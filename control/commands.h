/* SPDX-License-Identifier: Apache-2.0 */
/* The commands that aortad serves on its control socket. One request is one bounded piece of work:
 * long ones (lists, bulk enrolment, reading all records) come in pages that the client asks for. */
#ifndef AORTA_CONTROL_COMMANDS_H
#define AORTA_CONTROL_COMMANDS_H

#include "control/daemon.h"

#include <jansson.h>
#include <stddef.h>

#define COMMAND_WHY_BYTES    512
#define COMMAND_PAGE_MAX     1000u /* devices a list's page */
#define COMMAND_ENROL_MAX    1024u /* devices a request of bulk enrolment */
#define COMMAND_SCAN_MAX     4096u /* records a request of a scan: a group's at most */
#define COMMAND_FIND_MAX     32u   /* records a request of a search opens: each reads its group */
#define COMMAND_SLOT_WAIT_MS 1000  /* for a slot whose last device has something pending */

/* What a command gives back. */
struct reply {
        json_t *json; /* an object; "ok" is added */
        /* A member whose text is JSON already (numbers stay as they were written); malloc'd or
         * NULL. */
        const char *raw_name;
        char *raw;
        char why[COMMAND_WHY_BYTES]; /* of a failure: what is wrong and what to do */
};

/* 0, or -errno with why. */
typedef int command_fn(struct daemon *daemon, json_t *request, struct reply *reply);

/* Answers one line; a control_answer_fn whose user is the daemon. Control thread. */
char *commands_answer(void *daemon, const char *line, size_t bytes);
/* Makes jansson wipe what it frees: secrets pass through it. Once, at start, before any use of it.
 */
void commands_init(void);

/* ---- for the commands ---- */

int command_fail(struct reply *reply, int error, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* A member of the request: NULL when it is absent; a wrong type is a failure. */
int command_text(json_t *request, struct reply *reply, const char *name, const char **text);
int command_required_text(
    json_t *request, struct reply *reply, const char *name, const char **text);
int command_flag(json_t *request, struct reply *reply, const char *name, bool *flag);
int command_number(json_t *request, struct reply *reply, const char *name, uint64_t low,
    uint64_t high, uint64_t if_absent, uint64_t *number);
/* What `index status` tells, for status too. */
json_t *command_index_json(struct daemon *daemon);
/* What `vault status` tells, for status too. */
json_t *command_vault_json(struct daemon *daemon);
/* RFC 3339 in UTC with nanoseconds. */
#define TIME_TEXT_BYTES 40u
void time_text(char out[TIME_TEXT_BYTES], uint64_t ns);

command_fn command_status, command_device_add, command_device_add_many, command_device_list,
    command_device_show, command_device_remove, command_record_get, command_record_scan,
    command_record_export, command_record_key_hash, command_record_key, command_record_find,
    command_index_status, command_index_rebuild, command_vault_status, command_vault_scrub,
    command_vault_rebuild, command_vault_replace;

#endif
