/* SPDX-License-Identifier: Apache-2.0 */
/* The log's files over HTTP (C2SP tlog-tiles). A client's text names a tile and never a file: the
 * file's name is made anew from the tile's numbers, and no symbolic link is followed below the
 * log's folder. */
#include "control/http_internal.h"

#include "crypto/note.h"
#include "ledger/log.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define TILE_PATH_BYTES 64
#define TILE_BYTES_MAX  (LOG_TILE_HASHES * (2 + LEAF_ENTRY_BYTES))
#define IMMUTABLE       "public, max-age=31536000, immutable"

/* Opens path below folder, one name at a time. -errno. */
static int
open_below(int folder, const char *path)
{
        char name[TILE_PATH_BYTES];
        int at = folder, next;

        for (;;) {
                const char *slash = strchr(path, '/');
                const size_t n = slash != NULL ? (size_t)(slash - path) : strlen(path);

                if (n == 0 || n >= sizeof(name))
                        next = -1, errno = ENOENT;
                else {
                        memcpy(name, path, n);
                        name[n] = '\0';
                        /* O_NONBLOCK: a pipe in a file's place must not hang the server. */
                        next = openat(at, name,
                            slash != NULL ? O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC
                                          : O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC);
                }
                const int error = -errno;
                if (at != folder)
                        close(at);
                if (next < 0)
                        return error;
                if (slash == NULL)
                        return next;
                at = next;
                path = slash + 1;
        }
}

/* The file's bytes, at most out_bytes: -EFBIG for more, -errno. */
static long
read_below(int folder, const char *path, void *out, size_t out_bytes)
{
        int fd = open_below(folder, path);
        struct stat status;
        size_t n = 0;
        long rc = 0;

        if (fd < 0)
                return fd;
        if (fstat(fd, &status) != 0)
                rc = -errno;
        else if (!S_ISREG(status.st_mode))
                rc = -EINVAL;
        else if (status.st_size < 0 || (uint64_t)status.st_size > out_bytes)
                rc = -EFBIG;
        while (rc == 0 && n < out_bytes) {
                const ssize_t got = read(fd, (char *)out + n, out_bytes - n);

                if (got == 0)
                        break;
                if (got > 0)
                        n += (size_t)got;
                else if (errno != EINTR)
                        rc = -errno;
        }
        close(fd);
        return rc != 0 ? rc : (long)n;
}

static enum MHD_Result
say_unreadable(struct MHD_Connection *connection, long error)
{
        return http_say(connection, MHD_HTTP_INTERNAL_SERVER_ERROR,
            error == -EIO ? "the log's disk fails" : "the log's file is damaged", NULL, NULL);
}

enum MHD_Result
http_checkpoint(struct http *http, struct MHD_Connection *connection)
{
        char note[NOTE_BYTES_MAX];
        const long n = read_below(http->folder, "checkpoint", note, sizeof(note));
        const struct http_content content = {
            .type = "text/plain; charset=utf-8",
            .cache_control = "public, max-age=1",
            .bytes = note,
            .n = (size_t)n,
        };

        static_assert(HTTP_CHECKPOINT_AGE_S == 1, "as the header says");
        if (n == -ENOENT)
                return http_say(
                    connection, MHD_HTTP_NOT_FOUND, "nothing is published yet", NULL, NULL);
        if (n < 0)
                return say_unreadable(connection, n);
        return http_answer(http, connection, &content);
}

/* The size of the tree that the checkpoint signs: for who serves it, without its key. */
static uint64_t
published_size(int folder)
{
        char note[NOTE_BYTES_MAX];
        struct checkpoint checkpoint;
        const long n = read_below(folder, "checkpoint", note, sizeof(note));

        for (long at = n; at >= 2; at--) /* its text ends at the last empty line */
                if (note[at - 1] == '\n' && note[at - 2] == '\n')
                        return checkpoint_parse(&checkpoint, note, (size_t)at - 1) == 0
                                   ? checkpoint.size
                                   : 0;
        return 0;
}

/* Files beyond the checkpoint may be there after a crash, or for a moment: they are not the log's.
 */
static bool
is_published(struct http *http, int level, uint64_t n, unsigned width)
{
        if (log_tile_published(http->published, level, n, width))
                return true;
        http->published = published_size(http->folder);
        return log_tile_published(http->published, level, n, width);
}

enum MHD_Result
http_tile(struct http *http, struct MHD_Connection *connection, const char *path)
{
        char name[TILE_PATH_BYTES];
        uint8_t tile[TILE_BYTES_MAX];
        uint64_t index = 0;
        unsigned width = 0;
        int level = 0;
        long n;

        if (log_tile_path_parse(path, &level, &index, &width) != 0 ||
            log_tile_path(name, sizeof(name), level, index, width) != 0)
                return http_say(
                    connection, MHD_HTTP_NOT_FOUND, "that is no tile's path", NULL, NULL);
        if (!is_published(http, level, index, width))
                return http_say(
                    connection, MHD_HTTP_NOT_FOUND, "that tile is not published", NULL, NULL);
        n = read_below(http->folder, name, tile, sizeof(tile));
        if (n == -ENOENT || n == -ENOTDIR)
                return http_say(connection, MHD_HTTP_NOT_FOUND,
                    width > 0 ? "that partial tile is not there: it may be full by now"
                              : "that tile is missing",
                    NULL, NULL);
        if (n < 0 || (size_t)n != log_tile_bytes(level, width))
                return say_unreadable(connection, n);
        const struct http_content content = {
            .type = "application/octet-stream",
            .cache_control = IMMUTABLE,
            .bytes = tile,
            .n = (size_t)n,
        };
        return http_answer(http, connection, &content);
}
