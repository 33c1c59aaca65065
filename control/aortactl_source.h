/* SPDX-License-Identifier: Apache-2.0 */
/* Where aortactl reads a log: the running daemon's folder, or, for a stranger, a URL. */
#ifndef AORTA_CONTROL_AORTACTL_SOURCE_H
#define AORTA_CONTROL_AORTACTL_SOURCE_H

#include "control/aortactl.h"
#include "ledger/log.h"

#include <stdbool.h>

#define URL_BYTES_MAX 1024u

/* ---- a log over HTTP ---- */

struct url_log;

/* url is http:// or https:// and a host, with or without a path. 0; -EINVAL, -ENOMEM with why
 * (LOG_WHY_BYTES). Nothing is fetched yet. */
int url_log_open(struct url_log **log, const char *url, char *why);
/* Valid until it is closed. A transfer is bounded in bytes and time; a failed one is -EIO. */
const struct log_source *url_log_source(const struct url_log *log);
/* What the last failed transfer was; "" for none. */
const char *url_log_why(const struct url_log *log);
void url_log_close(struct url_log *log);

/* ---- either ---- */

struct ctl_log {
        const struct log_source *source;
        struct note_verifier verifier;
        json_t *answer; /* the daemon's, which holds the folder's path; NULL: a URL */
        struct log_folder folder;
        struct url_log *url;
};

/* By --url and --vkey, or from the daemon, which publishes what is durable first. CTL_OK, or told.
 */
int ctl_log_open(struct ctl *ctl, struct ctl_log *log);
/* Of a failure: the transfer's own words, or why, or the error's. */
const char *ctl_log_why(const struct ctl_log *log, const char *why, int error);
void ctl_log_close(struct ctl_log *log);

/* Prints the outcome of a verification: failure NULL, or what is wrong. */
void ctl_tell_verified(const struct ctl *ctl, const struct checkpoint *checkpoint, uint64_t leaves,
    const char *failure);
/* Writes into a file, or, path NULL, to standard output. CTL_OK, or told. */
int ctl_write_out(const char *path, const void *bytes, size_t n);

#endif
