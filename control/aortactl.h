/* SPDX-License-Identifier: Apache-2.0 */
/* aortactl's parts. It speaks to aortad over the control socket (control/client.h), and reads the
 * log's folder itself where it verifies and proves: an auditor need not believe the daemon. */
#ifndef AORTA_CONTROL_AORTACTL_H
#define AORTA_CONTROL_AORTACTL_H

#include "control/client.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

enum { CTL_OK = 0, CTL_FAILED = 1, CTL_USAGE = 2, CTL_NO_DAEMON = 3 };

#define CTL_OPTIONS_MAX 12u

struct ctl_option {
        const char *name; /* without the dashes */
        bool takes_value;
        const char *value;
        bool given;
};

struct ctl {
        const char *socket;
        bool json;
        struct client *client; /* connected at first need */
        struct ctl_option options[CTL_OPTIONS_MAX];
        const char *argument, *second; /* NULL: none */
};

/* The value of an option, "" for one without value; NULL when it was not given. */
const char *ctl_option(const struct ctl *ctl, const char *name);
/* Says on stderr what is wrong; returns status. */
int ctl_fail(int status, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* One request. CTL_OK: *line is the answer (client_free_line()) and *answer its object
 * (json_decref()); line may be NULL. Otherwise it was told to the user. */
int ctl_request(struct ctl *ctl, json_t *request, char **line, json_t **answer);
/* The same where a refusal is no surprise: CTL_FAILED with *answer, nothing told. */
int ctl_ask(struct ctl *ctl, json_t *request, char **line, json_t **answer);
json_t *ctl_new(const char *command);
/* A decimal number up to high from text. */
bool ctl_number(const char *text, uint64_t high, uint64_t *number);
const char *ctl_text(const json_t *object, const char *name); /* "" when absent */
long long ctl_integer(const json_t *object, const char *name);

/* The vault's lines of status: members, and the volumes that are none. */
void ctl_print_vault(const json_t *vault);
/* The index's line of status. */
void ctl_print_index(const json_t *index);

typedef int ctl_fn(struct ctl *ctl);
ctl_fn ctl_status, ctl_graph, ctl_shutdown, ctl_record_get, ctl_device_add, ctl_device_add_many,
    ctl_device_list, ctl_device_show, ctl_device_remove, ctl_log_checkpoint, ctl_log_verify,
    ctl_log_prove, ctl_log_vkey, ctl_log_match, ctl_log_consistency, ctl_record_export,
    ctl_record_key_hash, ctl_record_key, ctl_record_find, ctl_index_status, ctl_index_rebuild,
    ctl_vault_status, ctl_vault_scrub, ctl_vault_rebuild, ctl_vault_replace;

#endif
