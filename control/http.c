/* SPDX-License-Identifier: Apache-2.0 */
#include "control/http_internal.h"

#include "ledger/log.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <pthread.h>
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BACKLOG    64
#define ETAG_BYTES 16u
#define TEXT_PLAIN "text/plain; charset=utf-8"
#define NO_STORE   "no-store"

/* ---- answers ---- */

static void
header(struct MHD_Response *response, const char *name, const char *value)
{
        /* It fails only for want of memory, or for a value that cannot be sent. */
        (void)MHD_add_response_header(response, name, value);
}

static enum MHD_Result
queue(struct MHD_Connection *connection, unsigned status, struct MHD_Response *response)
{
        enum MHD_Result result = MHD_queue_response(connection, status, response);

        MHD_destroy_response(response);
        return result;
}

static struct MHD_Response *
response_of(const void *bytes, size_t n)
{
        /* Copied: the thread's buffers are used again before the answer is sent. */
        struct MHD_Response *response =
            MHD_create_response_from_buffer(n, (void *)(uintptr_t)bytes, MHD_RESPMEM_MUST_COPY);

        if (response != NULL)
                header(response, MHD_HTTP_HEADER_X_CONTENT_TYPE_OPTIONS, "nosniff");
        return response;
}

enum MHD_Result
http_say(struct MHD_Connection *connection, unsigned status, const char *text, const char *more,
    const char *more_value)
{
        char line[HTTP_HEALTH_BYTES_MAX + 2];
        struct MHD_Response *response;
        int n = snprintf(line, sizeof(line), "%s\n", text);

        if (n < 0 || (size_t)n >= sizeof(line))
                n = (int)strlen(line);
        response = response_of(line, (size_t)n);
        if (response == NULL)
                return MHD_NO;
        header(response, MHD_HTTP_HEADER_CONTENT_TYPE, TEXT_PLAIN);
        header(response, MHD_HTTP_HEADER_CACHE_CONTROL, NO_STORE);
        if (more != NULL)
                header(response, more, more_value);
        return queue(connection, status, response);
}

static bool
read_number(const char **at, uint64_t *number)
{
        const char *digits = *at;

        for (*number = 0; **at >= '0' && **at <= '9'; (*at)++)
                if (__builtin_mul_overflow(*number, 10, number) ||
                    __builtin_add_overflow(*number, (unsigned)(**at - '0'), number))
                        *number = UINT64_MAX / 16; /* more than any content has */
        return *at != digits;
}

enum http_range
http_range_parse(const char *text, uint64_t size, uint64_t *first, uint64_t *bytes)
{
        uint64_t last = UINT64_MAX;
        bool has_first, has_last;

        if (strncasecmp(text, "bytes=", 6) != 0)
                return HTTP_RANGE_NONE;
        text += 6;
        has_first = read_number(&text, first);
        if (*text++ != '-')
                return HTTP_RANGE_NONE;
        has_last = read_number(&text, &last);
        if (*text != '\0' || (!has_first && !has_last))
                return HTTP_RANGE_NONE;
        if (!has_first) { /* the last so many */
                if (last == 0 || size == 0)
                        return HTTP_RANGE_UNSATISFIABLE;
                *bytes = last < size ? last : size;
                *first = size - *bytes;
                return HTTP_RANGE_PART;
        }
        if (has_last && last < *first)
                return HTTP_RANGE_NONE;
        if (*first >= size)
                return HTTP_RANGE_UNSATISFIABLE;
        *bytes = has_last && last < size ? last - *first + 1 : size - *first;
        return HTTP_RANGE_PART;
}

static void
etag_of(char etag[2 * ETAG_BYTES + 3], const struct http_content *content)
{
        uint8_t hash[ETAG_BYTES];

        crypto_generichash(hash, sizeof(hash), content->bytes, content->n, NULL, 0);
        etag[0] = '"';
        sodium_bin2hex(etag + 1, 2 * ETAG_BYTES + 1, hash, sizeof(hash));
        strcpy(etag + 1 + 2 * ETAG_BYTES, "\"");
}

static const char *
field(struct MHD_Connection *connection, const char *name)
{
        return MHD_lookup_connection_value(connection, MHD_HEADER_KIND, name);
}

/* RFC 9110 §13.1.2; an ETag is quoted hexadecimal, so that it is part of no other. */
static bool
matches(const char *list, const char *etag)
{
        return list != NULL && (strcmp(list, "*") == 0 || strstr(list, etag) != NULL);
}

static enum http_range
range_asked(struct MHD_Connection *connection, const char *etag, uint64_t size, uint64_t *first,
    uint64_t *bytes)
{
        const char *range = field(connection, MHD_HTTP_HEADER_RANGE);
        const char *condition = field(connection, MHD_HTTP_HEADER_IF_RANGE);

        if (range == NULL || (condition != NULL && strcmp(condition, etag) != 0))
                return HTTP_RANGE_NONE;
        return http_range_parse(range, size, first, bytes);
}

enum MHD_Result
http_answer(
    struct http *http, struct MHD_Connection *connection, const struct http_content *content)
{
        char etag[2 * ETAG_BYTES + 3], text[80];
        uint64_t first = 0, bytes = content->n;
        unsigned status = MHD_HTTP_OK;
        struct MHD_Response *response;

        etag_of(etag, content);
        if (matches(field(connection, MHD_HTTP_HEADER_IF_NONE_MATCH), etag)) {
                status = MHD_HTTP_NOT_MODIFIED;
                bytes = 0;
        } else if (http->get) {
                switch (range_asked(connection, etag, content->n, &first, &bytes)) {
                case HTTP_RANGE_NONE:
                        break;
                case HTTP_RANGE_PART:
                        status = MHD_HTTP_PARTIAL_CONTENT;
                        break;
                case HTTP_RANGE_UNSATISFIABLE:
                        snprintf(text, sizeof(text), "bytes */%zu", content->n);
                        return http_say(connection, MHD_HTTP_RANGE_NOT_SATISFIABLE,
                            "the range lies beyond the end", MHD_HTTP_HEADER_CONTENT_RANGE, text);
                }
        }
        assert(first + bytes <= content->n);
        response = response_of((const char *)content->bytes + first, bytes);
        if (response == NULL)
                return MHD_NO;
        header(response, MHD_HTTP_HEADER_CONTENT_TYPE, content->type);
        header(response, MHD_HTTP_HEADER_CACHE_CONTROL, content->cache_control);
        header(response, MHD_HTTP_HEADER_ETAG, etag);
        header(response, MHD_HTTP_HEADER_ACCEPT_RANGES, "bytes");
        if (status == MHD_HTTP_PARTIAL_CONTENT) {
                snprintf(
                    text, sizeof(text), "bytes %lu-%lu/%zu", first, first + bytes - 1, content->n);
                header(response, MHD_HTTP_HEADER_CONTENT_RANGE, text);
        }
        return queue(connection, status, response);
}

/* ---- requests ---- */

static enum MHD_Result
answer_metrics(struct http *http, struct MHD_Connection *connection)
{
        long n = http->config.metrics(http->config.user, http->text, sizeof(http->text));
        struct MHD_Response *response;

        if (n < 0)
                return http_say(connection, MHD_HTTP_INTERNAL_SERVER_ERROR,
                    "the metrics cannot be written", NULL, NULL);
        response = response_of(http->text, (size_t)n);
        if (response == NULL)
                return MHD_NO;
        header(response, MHD_HTTP_HEADER_CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8");
        header(response, MHD_HTTP_HEADER_CACHE_CONTROL, NO_STORE);
        return queue(connection, MHD_HTTP_OK, response);
}

static enum MHD_Result
answer_health(struct http *http, struct MHD_Connection *connection)
{
        char why[HTTP_HEALTH_BYTES_MAX] = "";

        if (http->config.healthy(http->config.user, why)) {
                char body[sizeof("ok: ") + HTTP_HEALTH_BYTES_MAX];

                snprintf(body, sizeof(body), why[0] != '\0' ? "ok: %s" : "ok%s", why);
                return http_say(connection, MHD_HTTP_OK, body, NULL, NULL);
        }
        return http_say(connection, MHD_HTTP_SERVICE_UNAVAILABLE, why, NULL, NULL);
}

/* Every path there is is of these bytes; a percent sign may hide others. */
static bool
is_plain(const char *path)
{
        return path[strspn(path, "abcdefghijklmnopqrstuvwxyz0123456789/._-")] == '\0';
}

static enum MHD_Result
answer(struct http *http, struct MHD_Connection *connection, const char *path)
{
        if (path[0] != '/' || !is_plain(path))
                return http_say(connection, MHD_HTTP_BAD_REQUEST,
                    "no path has such characters: ask for /checkpoint or /tile/...", NULL, NULL);
        if (strcmp(path, "/checkpoint") == 0)
                return http_checkpoint(http, connection);
        if (strncmp(path, "/tile/", 6) == 0)
                return http_tile(http, connection, path + 1);
        if (strcmp(path, "/metrics") == 0)
                return answer_metrics(http, connection);
        if (strcmp(path, "/healthz") == 0)
                return answer_health(http, connection);
        return http_say(connection, MHD_HTTP_NOT_FOUND,
            "there are only /checkpoint, /tile/, /metrics and /healthz", NULL, NULL);
}

static bool
has_body(struct MHD_Connection *connection)
{
        const char *bytes = field(connection, MHD_HTTP_HEADER_CONTENT_LENGTH);

        return field(connection, MHD_HTTP_HEADER_TRANSFER_ENCODING) != NULL ||
               (bytes != NULL && strcmp(bytes, "0") != 0);
}

/* Answers at the request's first sight what must not send more. */
static enum MHD_Result
on_request(void *user, struct MHD_Connection *connection, const char *url, const char *method,
    const char *version, const char *upload, size_t *upload_bytes, void **seen)
{
        static char mark;
        struct http *http = user;

        (void)version;
        (void)upload;
        if (*seen == NULL) {
                *seen = &mark;
                if (strcmp(method, MHD_HTTP_METHOD_GET) != 0 &&
                    strcmp(method, MHD_HTTP_METHOD_HEAD) != 0)
                        return http_say(connection, MHD_HTTP_METHOD_NOT_ALLOWED,
                            "only GET and HEAD: nothing can be changed here", MHD_HTTP_HEADER_ALLOW,
                            "GET, HEAD");
                if (has_body(connection))
                        return http_say(connection, MHD_HTTP_BAD_REQUEST,
                            "a request has no body here", NULL, NULL);
                return MHD_YES;
        }
        if (*upload_bytes != 0)
                return MHD_NO;
        http->get = strcmp(method, MHD_HTTP_METHOD_GET) == 0;
        return answer(http, connection, url);
}

/* Paths stay as they were sent. */
static size_t
keep_escaped(void *user, struct MHD_Connection *connection, char *text)
{
        (void)user;
        (void)connection;
        return strlen(text);
}

/* ---- start and stop ---- */

static int
listen_on(const struct sockaddr_storage *address)
{
        const socklen_t bytes = address->ss_family == AF_INET6 ? sizeof(struct sockaddr_in6)
                                                               : sizeof(struct sockaddr_in);
        const int one = 1;
        int fd = socket(address->ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

        if (fd < 0)
                return -errno;
        /* So that what a killed daemon left half closed is no obstacle; a living one is. */
        if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) < 0 ||
            (address->ss_family == AF_INET6 &&
                setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one)) < 0) ||
            bind(fd, (const struct sockaddr *)address, bytes) < 0 || listen(fd, BACKLOG) < 0) {
                const int error = -errno;

                close(fd);
                return error;
        }
        return fd;
}

static int
say_no_socket(const struct http_config *config, int error, char *why)
{
        char host[64] = "?", port[16] = "?";

        (void)getnameinfo((const struct sockaddr *)&config->listen, sizeof(config->listen), host,
            sizeof(host), port, sizeof(port), NI_NUMERICHOST | NI_NUMERICSERV);
        snprintf(why, HTTP_WHY_BYTES,
            "cannot serve HTTP on %s port %s: %s: set http.listen to another address, or to off",
            host, port, strerror(-error));
        return error;
}

/* Signals are for the main thread, whose wait they end. */
static int
start_thread(struct http *http, int fd)
{
        sigset_t all, before;

        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &before);
        http->daemon = MHD_start_daemon(MHD_USE_EPOLL_INTERNAL_THREAD | MHD_USE_ITC, 0, NULL, NULL,
            on_request, http, MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_CONNECTION_LIMIT,
            HTTP_CONNECTIONS_MAX, MHD_OPTION_PER_IP_CONNECTION_LIMIT, HTTP_CONNECTIONS_PER_IP_MAX,
            MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)HTTP_CONNECTION_BYTES_MAX,
            MHD_OPTION_CONNECTION_TIMEOUT, HTTP_IDLE_S, MHD_OPTION_STRICT_FOR_CLIENT, 1,
            MHD_OPTION_UNESCAPE_CALLBACK, keep_escaped, NULL, MHD_OPTION_END);
        pthread_sigmask(SIG_SETMASK, &before, NULL);
        return http->daemon != NULL ? 0 : errno != 0 ? -errno : -EIO;
}

int
http_start(struct http **http_out, const struct http_config *config, char *why)
{
        struct http *http = calloc(1, sizeof(*http));
        int fd, rc;

        if (http == NULL)
                return -ENOMEM;
        http->config = *config;
        http->folder = open(config->log, O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (http->folder < 0) {
                rc = -errno;
                snprintf(why, HTTP_WHY_BYTES, "the log's folder %s cannot be served: %s",
                    config->log, strerror(-rc));
                free(http);
                return rc;
        }
        fd = listen_on(&config->listen);
        rc = fd < 0 ? fd : start_thread(http, fd);
        if (rc < 0) {
                if (fd >= 0)
                        close(fd);
                close(http->folder);
                free(http);
                return say_no_socket(config, rc, why);
        }
        *http_out = http;
        return 0;
}

uint16_t
http_port(const struct http *http)
{
        const union MHD_DaemonInfo *info =
            MHD_get_daemon_info(http->daemon, MHD_DAEMON_INFO_BIND_PORT);

        assert(info != NULL);
        return info->port;
}

void
http_stop(struct http *http)
{
        if (http == NULL)
                return;
        MHD_stop_daemon(http->daemon);
        close(http->folder);
        free(http);
}
