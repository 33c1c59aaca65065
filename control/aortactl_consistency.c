/* SPDX-License-Identifier: Apache-2.0 */
/* log consistency: that the log only grew, from the tiles, against what an auditor remembers. */
#include "control/aortactl_source.h"

#include "crypto/base64.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define BASE64_HASH_BYTES (BASE64_BYTES(HASH_BYTES) + 1)

/* One end of the proof: a number of leaves, or a checkpoint in a file, whose root it must have. */
struct end {
        uint64_t size;
        bool has_root;
        uint8_t root[HASH_BYTES];
};

static int
read_end(const struct ctl_log *log, const char *text, struct end *end)
{
        char note[NOTE_BYTES_MAX];
        struct checkpoint checkpoint;
        size_t n, body = 0;
        FILE *file;

        end->has_root = false;
        if (ctl_number(text, INT64_MAX, &end->size))
                return CTL_OK;
        file = fopen(text, "re");
        if (file == NULL)
                return ctl_fail(CTL_USAGE,
                    "%s is neither a number of leaves nor a file with a checkpoint: %s", text,
                    strerror(errno));
        n = fread(note, 1, sizeof(note), file);
        fclose(file);
        if (n == sizeof(note) || note_open(note, n, &log->verifier, &body) != 0 ||
            checkpoint_parse(&checkpoint, note, body) != 0 ||
            strcmp(checkpoint.origin, log->verifier.name) != 0)
                return ctl_fail(
                    CTL_FAILED, "%s holds no checkpoint signed by %s", text, log->verifier.name);
        end->size = checkpoint.size;
        end->has_root = true;
        memcpy(end->root, checkpoint.root, HASH_BYTES);
        return CTL_OK;
}

static int
check_end(const struct end *end, const char *text, const uint8_t root[HASH_BYTES])
{
        if (!end->has_root || memcmp(end->root, root, HASH_BYTES) == 0)
                return CTL_OK;
        return ctl_fail(CTL_FAILED,
            "NOT consistent: the checkpoint %s of %" PRIu64
            " leaves has another root than the log's first %" PRIu64
            " leaves: the log was changed after it was signed; keep both as evidence",
            text, end->size, end->size);
}

static void
tell(const struct ctl *ctl, const struct consistency *proof)
{
        char old_root[BASE64_HASH_BYTES], new_root[BASE64_HASH_BYTES], hash[BASE64_HASH_BYTES];
        json_t *shown, *hashes = json_array();

        base64_encode(old_root, proof->old_root, HASH_BYTES);
        base64_encode(new_root, proof->new_root, HASH_BYTES);
        if (!ctl->json)
                printf("consistent: the tree of %" PRIu64 " leaves extends that of %" PRIu64
                       "\nold root %s\nnew root %s\n",
                    proof->new_size, proof->old_size, old_root, new_root);
        for (unsigned i = 0; i < proof->n; i++) {
                base64_encode(hash, proof->hashes[i], HASH_BYTES);
                json_array_append_new(hashes, json_string(hash));
                if (!ctl->json)
                        printf("%s\n", hash);
        }
        if (ctl->json) {
                shown = json_pack("{s:b, s:b, s:I, s:I, s:s, s:s, s:O}", "ok", 1, "consistent", 1,
                    "old", (json_int_t)proof->old_size, "new", (json_int_t)proof->new_size,
                    "old_root", old_root, "new_root", new_root, "hashes", hashes);
                json_dumpf(shown, stdout, JSON_COMPACT);
                putchar('\n');
                json_decref(shown);
        }
        json_decref(hashes);
}

static int
prove(const struct ctl *ctl, const struct ctl_log *log, struct consistency *proof)
{
        struct checkpoint published;
        char why[LOG_WHY_BYTES] = "";
        struct end old_end, new_end;
        int rc, status = read_end(log, ctl->argument, &old_end);

        if (status == CTL_OK)
                status = read_end(log, ctl->second, &new_end);
        if (status != CTL_OK)
                return status;
        proof->old_size = old_end.size;
        proof->new_size = new_end.size;
        rc = log_source_checkpoint(log->source, &log->verifier, &published, NULL, NULL, why);
        if (rc == 0)
                rc = log_source_prove_consistency(log->source, &published, proof, why);
        if (rc != 0)
                return ctl_fail(rc == -EINVAL ? CTL_USAGE : CTL_FAILED, "no proof: %s",
                    ctl_log_why(log, why, rc));
        status = check_end(&old_end, ctl->argument, proof->old_root);
        return status == CTL_OK ? check_end(&new_end, ctl->second, proof->new_root) : status;
}

int
ctl_log_consistency(struct ctl *ctl)
{
        struct consistency proof;
        struct ctl_log log;
        int status = ctl_log_open(ctl, &log);

        if (status != CTL_OK)
                return status;
        memset(&proof, 0, sizeof(proof));
        status = prove(ctl, &log, &proof);
        ctl_log_close(&log);
        if (status == CTL_OK)
                tell(ctl, &proof);
        return status;
}
