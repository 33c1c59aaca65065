/* SPDX-License-Identifier: Apache-2.0 */
/* log checkpoint, verify, prove, vkey. What is verified is read from the log's folder by this
 * process; of the daemon it asks only what it alone can tell: the vault's records, opened. */
#include "control/aortactl_source.h"

#include "control/hex.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PROOF_TEXT_BYTES (NOTE_BYTES_MAX + 64 * 64 + 256)
#define PROGRESS_LEAVES  100000u

/* Publishes what is durable, and tells where the log is. */
static int
ask_log(struct ctl *ctl, const char *command, json_t **answer, struct note_verifier *verifier)
{
        int status = ctl_request(ctl, ctl_new(command), NULL, answer);

        if (status == CTL_OK && note_vkey_read(verifier, ctl_text(*answer, "vkey")) != 0) {
                status = ctl_fail(CTL_FAILED, "the daemon's verifier key is malformed");
                json_decref(*answer);
        }
        return status;
}

int
ctl_log_checkpoint(struct ctl *ctl)
{
        char *line = NULL;
        json_t *answer;
        int status = ctl_request(ctl, ctl_new("log checkpoint"), &line, &answer);

        if (status != CTL_OK)
                return status;
        if (ctl->json)
                puts(line);
        else
                fputs(ctl_text(answer, "checkpoint"), stdout);
        client_free_line(line);
        json_decref(answer);
        return CTL_OK;
}

int
ctl_log_vkey(struct ctl *ctl)
{
        char *line = NULL;
        json_t *answer;
        int status = ctl_request(ctl, ctl_new("log info"), &line, &answer);

        if (status != CTL_OK)
                return status;
        puts(ctl->json ? line : ctl_text(answer, "vkey"));
        client_free_line(line);
        json_decref(answer);
        return CTL_OK;
}

/* The proof as text; its length, or -errno with why. */
static long
prove(const struct ctl_log *log, uint64_t leaf, struct checkpoint *checkpoint, char *text,
    size_t text_bytes, char *why)
{
        static char note[NOTE_BYTES_MAX];
        uint8_t proof[64][HASH_BYTES];
        unsigned n = 0;
        int rc = log_source_checkpoint(log->source, &log->verifier, checkpoint, note, NULL, why);

        if (rc == 0 && leaf >= checkpoint->size) {
                snprintf(why, LOG_WHY_BYTES, "there is no leaf %" PRIu64 ": the log has %" PRIu64,
                    leaf, checkpoint->size);
                rc = -EINVAL;
        }
        if (rc == 0)
                rc = log_source_prove(
                    log->source, checkpoint, leaf, checkpoint->size, proof, &n, why);
        if (rc != 0)
                return rc;
        return proof_write(text, text_bytes, leaf, (const uint8_t(*)[HASH_BYTES])proof, n, note);
}

int
ctl_log_prove(struct ctl *ctl)
{
        static char text[PROOF_TEXT_BYTES];
        const char *out = ctl_option(ctl, "o");
        struct checkpoint checkpoint;
        char why[LOG_WHY_BYTES] = "";
        struct ctl_log log;
        uint64_t leaf;
        json_t *shown;
        long bytes;
        int status;

        if (!ctl_number(ctl->argument, INT64_MAX, &leaf))
                return ctl_fail(CTL_USAGE, "a leaf is a number: 0, 1, 2, ...");
        status = ctl_log_open(ctl, &log);
        if (status != CTL_OK)
                return status;
        bytes = prove(&log, leaf, &checkpoint, text, sizeof(text), why);
        if (bytes < 0)
                status = ctl_fail(CTL_FAILED, "no proof: %s", ctl_log_why(&log, why, (int)bytes));
        ctl_log_close(&log);
        if (status != CTL_OK)
                return status;
        if (ctl->json) {
                shown = json_pack("{s:b, s:I, s:I, s:s}", "ok", 1, "leaf", (json_int_t)leaf, "size",
                    (json_int_t)checkpoint.size, "proof", text);
                json_dumpf(shown, stdout, JSON_COMPACT);
                putchar('\n');
                json_decref(shown);
                if (out == NULL)
                        return CTL_OK;
        }
        return ctl_write_out(out, text, (size_t)bytes);
}

/* ---- verify ---- */

struct verifying {
        struct ctl *ctl;
        uint64_t from, n; /* the leaf entries held, made from the vault by the daemon */
        uint8_t *entries;
        uint64_t checked;
        int status;
        char why[LOG_WHY_BYTES];
};

/* The next entries from the vault. */
static int
scan(struct verifying *verifying, uint64_t leaf)
{
        json_t *request = ctl_new("record scan"), *answer = NULL;
        const char *hex;
        size_t digits;
        int status;

        json_object_set_new(request, "leaf", json_integer((json_int_t)leaf));
        status = ctl_ask(verifying->ctl, request, NULL, &answer);
        if (status != CTL_OK) {
                snprintf(verifying->why, sizeof(verifying->why), "%s",
                    answer != NULL ? ctl_text(answer, "error") : "the daemon is gone");
                json_decref(answer);
                return status;
        }
        hex = ctl_text(answer, "entries");
        digits = strlen(hex);
        free(verifying->entries);
        verifying->entries = malloc(digits / 2 + 1);
        verifying->from = leaf;
        verifying->n = 0;
        if (verifying->entries == NULL || digits == 0 || digits % (2 * LEAF_ENTRY_BYTES) != 0 ||
            hex_decode(verifying->entries, digits / 2, hex) < 0) {
                snprintf(
                    verifying->why, sizeof(verifying->why), "the daemon's answer is malformed");
                status = CTL_FAILED;
        } else {
                verifying->n = digits / 2 / LEAF_ENTRY_BYTES;
        }
        json_decref(answer);
        return status;
}

static int
verify_entry(void *user, uint64_t leaf, const uint8_t *entry, uint32_t entry_bytes)
{
        struct verifying *verifying = user;

        if (leaf < verifying->from || leaf >= verifying->from + verifying->n) {
                verifying->status = scan(verifying, leaf);
                if (verifying->status != CTL_OK)
                        return -EBADMSG;
        }
        if (entry_bytes != LEAF_ENTRY_BYTES ||
            memcmp(entry, verifying->entries + (leaf - verifying->from) * LEAF_ENTRY_BYTES,
                LEAF_ENTRY_BYTES) != 0) {
                snprintf(verifying->why, sizeof(verifying->why),
                    "leaf %" PRIu64 ": the log's entry is not that of the vault's record", leaf);
                return -EBADMSG;
        }
        verifying->checked++;
        if (verifying->checked % PROGRESS_LEAVES == 0 && isatty(STDERR_FILENO))
                fprintf(stderr, "\r%" PRIu64 " leaves verified", verifying->checked);
        return 0;
}

void
ctl_tell_verified(const struct ctl *ctl, const struct checkpoint *checkpoint, uint64_t leaves,
    const char *failure)
{
        char root[2 * HASH_BYTES + 1];
        json_t *shown;

        hex_encode(root, checkpoint->root, HASH_BYTES);
        if (ctl->json) {
                shown = json_pack("{s:b, s:b, s:I, s:s}", "ok", failure == NULL, "verified",
                    failure == NULL, "leaves", (json_int_t)leaves, "origin", checkpoint->origin);
                if (failure != NULL)
                        json_object_set_new(shown, "error", json_string(failure));
                else if (leaves > 0)
                        json_object_set_new(shown, "root", json_string(root));
                json_dumpf(shown, stdout, JSON_COMPACT);
                putchar('\n');
                json_decref(shown);
        } else if (failure != NULL) {
                ctl_fail(CTL_FAILED, "NOT verified: %s (stopped after %" PRIu64 " leaves)", failure,
                    leaves);
        } else if (leaves == 0) {
                puts("verified 0 leaves: the log is empty");
        } else {
                printf("verified %" PRIu64 " leaves, root %s, checkpoint signature ok\n", leaves,
                    root);
        }
}

static int
count_entry(void *user, uint64_t leaf, const uint8_t *entry, uint32_t entry_bytes)
{
        uint64_t *checked = user;

        *checked = leaf + 1;
        if (*checked % PROGRESS_LEAVES == 0 && isatty(STDERR_FILENO))
                fprintf(stderr, "\r%" PRIu64 " leaves fetched", *checked);
        return 0;
}

/* What a stranger can: every tile and entry against the checkpoint, and that against the key. */
static int
verify_url(struct ctl *ctl)
{
        struct checkpoint checkpoint = {.size = 0};
        char why[LOG_WHY_BYTES] = "";
        uint64_t checked = 0;
        struct ctl_log log;
        int rc, status = ctl_log_open(ctl, &log);

        if (status != CTL_OK)
                return status;
        rc = log_source_verify(log.source, &log.verifier, count_entry, &checked, &checkpoint, why);
        if (checked >= PROGRESS_LEAVES && isatty(STDERR_FILENO))
                fputc('\n', stderr);
        ctl_tell_verified(ctl, &checkpoint, checked, rc == 0 ? NULL : ctl_log_why(&log, why, rc));
        ctl_log_close(&log);
        return rc == 0 ? CTL_OK : CTL_FAILED;
}

int
ctl_log_verify(struct ctl *ctl)
{
        struct verifying verifying = {.ctl = ctl, .status = CTL_OK};
        struct checkpoint checkpoint = {.size = 0};
        struct note_verifier verifier;
        char why[LOG_WHY_BYTES] = "";
        json_t *answer;
        int rc, status;

        if (ctl_option(ctl, "url") != NULL || ctl_option(ctl, "vkey") != NULL)
                return verify_url(ctl);
        /* Publishing may fail where what is published is good; the state of that is status's to
         * tell. */
        status = ctl_ask(ctl, ctl_new("log checkpoint"), NULL, &answer);
        json_decref(answer);
        if (status == CTL_NO_DAEMON)
                return status;
        status = ask_log(ctl, "log info", &answer, &verifier);
        if (status != CTL_OK)
                return status;
        if (ctl_integer(answer, "leaves") == 0 && ctl_integer(answer, "published") == 0) {
                json_decref(answer);
                snprintf(checkpoint.origin, sizeof(checkpoint.origin), "%s", verifier.name);
                ctl_tell_verified(ctl, &checkpoint, 0, NULL);
                return CTL_OK;
        }
        rc = log_verify(
            ctl_text(answer, "path"), &verifier, verify_entry, &verifying, &checkpoint, why);
        if (rc == 0 && verifying.checked != checkpoint.size) {
                snprintf(why, sizeof(why), "%" PRIu64 " of %" PRIu64 " leaves were seen",
                    verifying.checked, checkpoint.size);
                rc = -EBADMSG;
        }
        if (rc == 0 && checkpoint.size < (uint64_t)ctl_integer(answer, "published")) {
                snprintf(
                    why, sizeof(why), "the checkpoint is older than what the daemon published");
                rc = -EBADMSG;
        }
        if (isatty(STDERR_FILENO) && verifying.checked >= PROGRESS_LEAVES)
                fputc('\n', stderr);
        ctl_tell_verified(ctl, &checkpoint, verifying.checked,
            rc == 0                    ? NULL
            : verifying.why[0] != '\0' ? verifying.why
            : why[0] != '\0'           ? why
                                       : strerror(-rc));
        free(verifying.entries);
        json_decref(answer);
        return rc == 0 ? CTL_OK : verifying.status == CTL_NO_DAEMON ? CTL_NO_DAEMON : CTL_FAILED;
}
