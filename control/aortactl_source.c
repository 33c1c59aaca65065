/* SPDX-License-Identifier: Apache-2.0 */
#include "control/aortactl_source.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static int
open_url(struct ctl *ctl, struct ctl_log *log)
{
        const char *vkey = ctl_option(ctl, "vkey");
        char why[LOG_WHY_BYTES] = "";
        int rc;

        if (vkey == NULL)
                return ctl_fail(CTL_USAGE,
                    "--url needs --vkey KEY, the log's verifier key, from who is trusted to know "
                    "it");
        if (note_vkey_read(&log->verifier, vkey) != 0)
                return ctl_fail(CTL_USAGE, "--vkey: that is no Ed25519 verifier key");
        rc = url_log_open(&log->url, ctl_option(ctl, "url"), why);
        if (rc != 0)
                return ctl_fail(
                    rc == -EINVAL ? CTL_USAGE : CTL_FAILED, "%s", ctl_log_why(log, why, rc));
        log->source = url_log_source(log->url);
        return CTL_OK;
}

static int
open_folder(struct ctl *ctl, struct ctl_log *log)
{
        char why[LOG_WHY_BYTES] = "";
        int rc, status = ctl_request(ctl, ctl_new("log checkpoint"), NULL, &log->answer);

        if (status != CTL_OK)
                return status;
        if (note_vkey_read(&log->verifier, ctl_text(log->answer, "vkey")) != 0)
                return ctl_fail(CTL_FAILED, "the daemon's verifier key is malformed");
        rc = log_folder_source(&log->folder, ctl_text(log->answer, "path"), why);
        if (rc != 0)
                return ctl_fail(CTL_FAILED, "%s", ctl_log_why(log, why, rc));
        log->source = &log->folder.source;
        return CTL_OK;
}

int
ctl_log_open(struct ctl *ctl, struct ctl_log *log)
{
        int status;

        memset(log, 0, sizeof(*log));
        if (ctl_option(ctl, "url") == NULL && ctl_option(ctl, "vkey") != NULL)
                return ctl_fail(CTL_USAGE, "--vkey goes with --url: the daemon's log has its own");
        status = ctl_option(ctl, "url") != NULL ? open_url(ctl, log) : open_folder(ctl, log);
        if (status != CTL_OK)
                ctl_log_close(log);
        return status;
}

const char *
ctl_log_why(const struct ctl_log *log, const char *why, int error)
{
        if (log->url != NULL && url_log_why(log->url)[0] != '\0')
                return url_log_why(log->url);
        return why[0] != '\0' ? why : strerror(-error);
}

void
ctl_log_close(struct ctl_log *log)
{
        if (log->source == &log->folder.source)
                log_folder_close(&log->folder);
        url_log_close(log->url);
        json_decref(log->answer);
        memset(log, 0, sizeof(*log));
}

int
ctl_write_out(const char *path, const void *bytes, size_t n)
{
        FILE *file = path != NULL ? fopen(path, "we") : stdout;

        if (file == NULL || fwrite(bytes, 1, n, file) != n || (path != NULL && fclose(file) != 0))
                return ctl_fail(CTL_FAILED, "%s cannot be written: %s",
                    path != NULL ? path : "the output", strerror(errno));
        return CTL_OK;
}
