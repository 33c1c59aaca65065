/* SPDX-License-Identifier: Apache-2.0 */
/* A log over HTTP, for a stranger: what is fetched is believed for nothing but what it proves. */
#include "control/aortactl_source.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <curl/curl.h>

#define CONNECT_S       10L
#define TRANSFER_S      30L
#define REDIRECTS_MAX   3L
#define TILE_PATH_BYTES 64u
#define TILE_BYTES_MAX  (LOG_TILE_HASHES * (2 + LEAF_ENTRY_BYTES))
#define STATUS_OK       200
#define STATUS_ABSENT   404

struct url_log {
        CURL *curl;
        struct log_source source;
        char base[URL_BYTES_MAX]; /* without a slash at its end */
        char error[CURL_ERROR_SIZE];
        char why[LOG_WHY_BYTES];
        /* The transfer at hand. */
        uint8_t *out;
        size_t room, n;
        bool too_long;
};

static size_t
on_bytes(char *bytes, size_t size, size_t n, void *user)
{
        struct url_log *log = user;

        n *= size;
        if (n > log->room - log->n) {
                log->too_long = true;
                return 0; /* ends the transfer */
        }
        memcpy(log->out + log->n, bytes, n);
        log->n += n;
        return n;
}

static int
fail(struct url_log *log, int error, const char *path, const char *what)
{
        snprintf(log->why, sizeof(log->why), "%.300s/%s: %.120s", log->base, path, what);
        return error;
}

/* The bytes at a path below the log's URL: how many; -ENOENT; -EBADMSG for more than out_bytes;
 * -EIO. */
static long
fetch(struct url_log *log, const char *path, void *out, size_t out_bytes)
{
        char url[URL_BYTES_MAX + TILE_PATH_BYTES + 2], text[80];
        long status = 0;
        CURLcode code;

        snprintf(url, sizeof(url), "%s/%s", log->base, path);
        log->out = out;
        log->room = out_bytes;
        log->n = 0;
        log->too_long = false;
        log->error[0] = log->why[0] = '\0';
        code = curl_easy_setopt(log->curl, CURLOPT_URL, url);
        if (code == CURLE_OK)
                code = curl_easy_perform(log->curl);
        if (log->too_long)
                return fail(log, -EBADMSG, path, "longer than it can be");
        if (code == CURLE_OK)
                code = curl_easy_getinfo(log->curl, CURLINFO_RESPONSE_CODE, &status);
        if (code != CURLE_OK)
                return fail(
                    log, -EIO, path, log->error[0] != '\0' ? log->error : curl_easy_strerror(code));
        if (status == STATUS_ABSENT)
                return -ENOENT;
        if (status != STATUS_OK) {
                snprintf(text, sizeof(text), "the server answers %ld", status);
                return fail(log, -EIO, path, text);
        }
        return (long)log->n;
}

static long
fetch_checkpoint(void *user, char *out, size_t out_bytes)
{
        return fetch(user, "checkpoint", out, out_bytes);
}

/* A tile of exactly that width. */
static int
fetch_exact(struct url_log *log, int level, uint64_t n, unsigned width, uint8_t *bytes)
{
        char path[TILE_PATH_BYTES];
        uint8_t tile[TILE_BYTES_MAX];
        const int error = log_tile_path(path, sizeof(path), level, n, width % LOG_TILE_HASHES);
        const size_t want = log_tile_bytes(level, width % LOG_TILE_HASHES);
        long got;

        assert(error == 0 && want <= sizeof(tile));
        (void)error;
        got = fetch(log, path, tile, sizeof(tile));
        if (got < 0)
                return (int)got;
        if ((size_t)got != want)
                return fail(log, -EBADMSG, path, "has a wrong length");
        memcpy(bytes, tile, want);
        return 0;
}

static int
fetch_tile(void *user, int level, uint64_t n, unsigned width, uint8_t *bytes)
{
        struct url_log *log = user;
        uint8_t full[TILE_BYTES_MAX];
        int error = fetch_exact(log, level, n, width, bytes);

        if (error != -ENOENT || width == LOG_TILE_HASHES)
                return error;
        error = fetch_exact(log, level, n, LOG_TILE_HASHES, full);
        if (error == 0)
                memcpy(bytes, full, log_tile_bytes(level, width));
        return error;
}

static bool
is_url(const char *url)
{
        const char *host = strncmp(url, "http://", 7) == 0    ? url + 7
                           : strncmp(url, "https://", 8) == 0 ? url + 8
                                                              : NULL;

        if (host == NULL || host[0] == '\0' || host[0] == '/' || strlen(url) >= URL_BYTES_MAX)
                return false;
        for (const char *p = url; *p != '\0'; p++)
                if ((unsigned char)*p <= 0x20 || (unsigned char)*p >= 0x7f || *p == '?' ||
                    *p == '#')
                        return false;
        return true;
}

static CURLcode
set_options(struct url_log *log)
{
        CURL *curl = log->curl;
        CURLcode code = CURLE_OK;

#define SET(option, value)                                                                         \
        if (code == CURLE_OK)                                                                      \
        code = curl_easy_setopt(curl, option, value)
        SET(CURLOPT_PROTOCOLS_STR, "http,https");
        SET(CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
        SET(CURLOPT_FOLLOWLOCATION, 1L);
        SET(CURLOPT_MAXREDIRS, REDIRECTS_MAX);
        SET(CURLOPT_CONNECTTIMEOUT, CONNECT_S);
        SET(CURLOPT_TIMEOUT, TRANSFER_S);
        SET(CURLOPT_NOSIGNAL, 1L);
        SET(CURLOPT_USERAGENT, "aortactl");
        SET(CURLOPT_ERRORBUFFER, log->error);
        SET(CURLOPT_WRITEFUNCTION, on_bytes);
        SET(CURLOPT_WRITEDATA, log);
#undef SET
        return code;
}

int
url_log_open(struct url_log **log_out, const char *url, char *why)
{
        struct url_log *log;
        size_t n = strlen(url);

        if (!is_url(url)) {
                snprintf(why, LOG_WHY_BYTES,
                    "the URL must be http://HOST or https://HOST, with or without a path");
                return -EINVAL;
        }
        log = calloc(1, sizeof(*log));
        if (log == NULL)
                return -ENOMEM;
        while (n > 0 && url[n - 1] == '/')
                n--;
        memcpy(log->base, url, n);
        log->source = (struct log_source){log->base, log, fetch_checkpoint, fetch_tile};
        log->curl = curl_easy_init();
        if (log->curl == NULL || set_options(log) != CURLE_OK) {
                url_log_close(log);
                snprintf(why, LOG_WHY_BYTES, "libcurl does not start");
                return -ENOMEM;
        }
        *log_out = log;
        return 0;
}

const struct log_source *
url_log_source(const struct url_log *log)
{
        return &log->source;
}

const char *
url_log_why(const struct url_log *log)
{
        return log->why;
}

void
url_log_close(struct url_log *log)
{
        if (log == NULL)
                return;
        if (log->curl != NULL)
                curl_easy_cleanup(log->curl);
        free(log);
}
