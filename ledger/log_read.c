/* SPDX-License-Identifier: Apache-2.0 */
/* Where readers get a log from: its folder, or what they bring themselves; and its checkpoint. */
#include "ledger/log_internal.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

/* ---- a folder ---- */

static long
folder_checkpoint(void *user, char *out, size_t out_bytes)
{
        return log_file_read(((struct log_folder *)user)->folder, "checkpoint", out, out_bytes);
}

static int
folder_tile(void *user, int level, uint64_t n, unsigned width, uint8_t *bytes)
{
        return log_tile_read(((struct log_folder *)user)->folder, level, n, width, bytes);
}

int
log_folder_source(struct log_folder *folder, const char *path, char *why)
{
        const int error = log_folder_open(path, false, &folder->folder);

        if (error != 0)
                return log_say(
                    why, error, "the log %s cannot be opened: %s", path, strerror(-error));
        folder->source = (struct log_source){path, folder, folder_checkpoint, folder_tile};
        return 0;
}

void
log_folder_close(struct log_folder *folder)
{
        close(folder->folder);
}

/* ---- its checkpoint ---- */

int
log_source_checkpoint(const struct log_source *source, const struct note_verifier *verifier,
    struct checkpoint *checkpoint, char *note, long *note_bytes, char *why)
{
        char text[NOTE_BYTES_MAX];
        size_t body = 0;
        const long n = source->checkpoint(source->user, text, sizeof(text) - 1);

        if (n == -ENOENT)
                return log_say(why, -ENOENT, "nothing is published yet: there is no checkpoint");
        if (n < 0 && n != -EBADMSG)
                return log_say(why, (int)n, "the checkpoint cannot be read: %s", strerror((int)-n));
        if (n == -EBADMSG)
                return log_say(why, -EBADMSG, "the checkpoint is too long or not a file");
        assert((size_t)n < sizeof(text));
        text[n] = '\0';
        int error = note_open(text, (size_t)n, verifier, &body);
        if (error == -ENOKEY)
                return log_say(why, -EBADMSG,
                    "the checkpoint is signed by another key than that of %s", verifier->name);
        if (error != 0)
                return log_say(why, -EBADMSG, "the checkpoint is damaged: its signature is bad");
        assert(body <= (size_t)n);
        error = checkpoint_parse(checkpoint, text, body);
        if (error != 0)
                return log_say(why, -EBADMSG, "the checkpoint's text is malformed");
        if (strcmp(checkpoint->origin, verifier->name) != 0)
                return log_say(why, -EBADMSG, "the checkpoint is of another log: %s, not %s",
                    checkpoint->origin, verifier->name);
        if (note != NULL)
                memcpy(note, text, (size_t)n + 1);
        if (note_bytes != NULL)
                *note_bytes = n;
        return 0;
}

int
checkpoint_read(int folder, const struct note_verifier *verifier, struct checkpoint *checkpoint,
    char *note, long *note_bytes, char *why)
{
        struct log_folder open = {.folder = folder};
        const struct log_source source = {"", &open, folder_checkpoint, folder_tile};

        return log_source_checkpoint(&source, verifier, checkpoint, note, note_bytes, why);
}

int
log_read_checkpoint(const char *path, const struct note_verifier *verifier,
    struct checkpoint *checkpoint, char *note, char *why)
{
        struct log_folder folder;
        int error = log_folder_source(&folder, path, why);

        if (error != 0)
                return error;
        error = log_source_checkpoint(&folder.source, verifier, checkpoint, note, NULL, why);
        log_folder_close(&folder);
        return error;
}
