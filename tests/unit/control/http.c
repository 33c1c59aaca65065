/* SPDX-License-Identifier: Apache-2.0 */
/* The HTTP server serves the published log, exactly, and nothing else. */
#include "control/http.h"
#include "tests/unit/ledger/log_fixture.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>

#define LEAVES 600

struct answer {
        int status;
        size_t head_bytes, body_bytes;
        char *body;
        char text[40000];
};

static struct fixture f;
static struct http *http;
static bool well = true;
static struct answer a;

static long
write_metrics(void *user, char *out, size_t out_bytes)
{
        cr_assert_eq(user, &f);
        return snprintf(out, out_bytes, "aorta_x 1\n");
}

static bool
is_well(void *user, char *why)
{
        if (!well)
                snprintf(why, HTTP_HEALTH_BYTES_MAX, "a flush failed");
        return well;
}

static void
serve(const struct sockaddr_storage *listen)
{
        const struct http_config config = {.listen = *listen,
            .log = f.path,
            .user = &f,
            .metrics = write_metrics,
            .healthy = is_well};

        cr_assert_eq(http_start(&http, &config, f.why), 0, "%s", f.why);
        cr_assert_gt(http_port(http), 0);
}

static void
start(void)
{
        struct sockaddr_storage listen = {0};

        ((struct sockaddr_in *)&listen)->sin_family = AF_INET;
        ((struct sockaddr_in *)&listen)->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        fixture_start(&f);
        fixture_open(&f);
        serve(&listen);
}

static void
publish(uint64_t n)
{
        fixture_append(&f, n, 256);
        fixture_publish(&f);
}

static void
end(void)
{
        http_stop(http);
        fixture_end(&f);
}

static int
connect_to(uint16_t port)
{
        const struct timeval patience = {.tv_sec = 30};
        struct sockaddr_in to = {.sin_family = AF_INET,
            .sin_port = htons(port),
            .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        const int fd = socket(AF_INET, SOCK_STREAM, 0);

        cr_assert_geq(fd, 0);
        cr_assert_eq(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)), 0);
        cr_assert_eq(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
        return fd;
}

/* Sends a whole request, reads to the connection's end. */
static int
exchange(const char *request, size_t request_bytes)
{
        const int fd = connect_to(http_port(http));
        size_t n = 0;
        char *end_of_head;

        memset(&a, 0, sizeof(a));
        cr_assert_eq(send(fd, request, request_bytes, MSG_NOSIGNAL), (ssize_t)request_bytes);
        for (;;) {
                const ssize_t got = recv(fd, a.text + n, sizeof(a.text) - 1 - n, 0);

                if (got <= 0)
                        break;
                n += (size_t)got;
        }
        close(fd);
        end_of_head = strstr(a.text, "\r\n\r\n");
        if (end_of_head == NULL)
                return a.status = 0;
        a.head_bytes = (size_t)(end_of_head + 4 - a.text);
        a.body = end_of_head + 4;
        a.body_bytes = n - a.head_bytes;
        end_of_head[2] = '\0';
        cr_assert_eq(sscanf(a.text, "HTTP/1.1 %d ", &a.status), 1, "%s", a.text);
        return a.status;
}

static int request(const char *method, const char *path, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static int
request(const char *method, const char *path, const char *format, ...)
{
        char text[8192];
        va_list list;
        int n;

        n = snprintf(
            text, sizeof(text), "%s %s HTTP/1.1\r\nHost: a\r\nConnection: close\r\n", method, path);
        va_start(list, format);
        n += vsnprintf(text + n, sizeof(text) - (size_t)n, format, list);
        va_end(list);
        n += snprintf(text + n, sizeof(text) - (size_t)n, "\r\n");
        return exchange(text, (size_t)n);
}

static int
get(const char *path)
{
        return request("GET", path, "%s", "");
}

/* The value of a header; "" when it is not there. */
static const char *
header(const char *name)
{
        static char value[256];
        char line[80];
        const char *at;

        snprintf(line, sizeof(line), "\r\n%s: ", name);
        at = strcasestr(a.text, line);
        if (at == NULL)
                return "";
        at += strlen(line);
        snprintf(value, sizeof(value), "%.*s", (int)strcspn(at, "\r"), at);
        return value;
}

/* The answer is the file's bytes. */
static void
same_as_file(const char *name, size_t first, size_t bytes)
{
        char path[256], *file = malloc(1 << 16);
        FILE *in;
        size_t n;

        snprintf(path, sizeof(path), "%s/%s", f.path, name);
        in = fopen(path, "r");
        cr_assert_not_null(in, "%s", path);
        n = fread(file, 1, 1 << 16, in);
        fclose(in);
        cr_assert_leq(first + bytes, n);
        if (bytes == 0)
                bytes = n;
        cr_assert_eq(a.body_bytes, bytes, "%s: %zu, not %zu", name, a.body_bytes, bytes);
        cr_assert_eq(memcmp(a.body, file + first, bytes), 0, "%s", name);
        free(file);
}

Test(http, serves_the_log_with_types_and_caching, .init = start, .fini = end)
{
        static const char *const tiles[] = {"tile/0/000", "tile/0/001", "tile/0/002.p/88",
            "tile/1/000.p/2", "tile/entries/000", "tile/entries/001", "tile/entries/002.p/88"};
        char path[80];

        cr_assert_eq(get("/checkpoint"), 404);
        cr_assert_str_eq(header("Cache-Control"), "no-store");
        publish(LEAVES);
        cr_assert_eq(get("/checkpoint"), 200, "%s", a.text);
        same_as_file("checkpoint", 0, 0);
        cr_assert_str_eq(header("Content-Type"), "text/plain; charset=utf-8");
        cr_assert_str_eq(header("Cache-Control"), "public, max-age=1");
        for (size_t i = 0; i < sizeof(tiles) / sizeof(*tiles); i++) {
                snprintf(path, sizeof(path), "/%s", tiles[i]);
                cr_assert_eq(get(path), 200, "%s", path);
                same_as_file(tiles[i], 0, 0);
                cr_assert_str_eq(header("Content-Type"), "application/octet-stream");
                cr_assert_str_eq(header("Cache-Control"), "public, max-age=31536000, immutable");
                cr_assert_str_eq(header("Accept-Ranges"), "bytes");
        }
}

Test(http, serves_nothing_beyond_the_checkpoint, .init = start, .fini = end)
{
        static const char *const beyond[] = {"/tile/0/002", "/tile/0/003", "/tile/0/002.p/89",
            "/tile/0/003.p/1", "/tile/1/000", "/tile/1/000.p/3", "/tile/2/000.p/1",
            "/tile/entries/002", "/tile/entries/002.p/255", "/tile/8/000", "/tile/63/000.p/1",
            "/tile/0/x018/x446/x744/x073/x709/x551/615"};
        char command[600];

        publish(LEAVES);
        /* The files are there, as a crash may leave them. */
        snprintf(command, sizeof(command),
            "cd %s/tile && mkdir -p 0/003.p 2/000.p 8 63/000.p && cp 0/001 0/002 && cp 0/001 "
            "0/003 && cp 0/001 1/000 && cp 0/001 8/000 && cp 1/000.p/2 1/000.p/3 && cp 0/002.p/88 "
            "0/002.p/89 && cp 0/002.p/88 0/003.p/1 && cp 0/002.p/88 2/000.p/1 && cp 0/002.p/88 "
            "63/000.p/1 && cp entries/000 entries/002",
            f.path);
        cr_assert_eq(system(command), 0);
        for (size_t i = 0; i < sizeof(beyond) / sizeof(*beyond); i++)
                cr_expect_eq(get(beyond[i]), 404, "%s: %d", beyond[i], a.status);
        /* It sees at once when they are published. */
        publish(800);
        cr_expect_eq(get("/tile/0/002"), 200);
        cr_expect_eq(get("/tile/entries/003.p/32"), 200);
        cr_expect_eq(get("/tile/0/003.p/33"), 404);
}

Test(http, opens_nothing_but_tiles, .init = start, .fini = end)
{
        static const char *const hostile[] = {"/../../../../etc/passwd", "/tile/../checkpoint",
            "/tile/../../volume/head", "/tile/0/../../../volume/head", "//checkpoint",
            "/./checkpoint", "/checkpoint/", "/checkpoint.tmp", "/tile.tmp", "/tile", "/tile/",
            "/tile/0", "/tile/0/", "/tile/0/0", "/tile/0/000/", "/tile/0//000", "/tile/00/000",
            "/tile/0/000.p/0", "/tile/0/000.p/256", "/tile/0/x000/000", "/tile/data/000",
            "/tile/entries", "/log/checkpoint", "/", "/metrics/", "/healthz/x"};
        static const char *const bad[] = {"/%2e%2e/%2e%2e/etc/passwd", "/tile/0/%30%30%30",
            "/checkpoint%00", "/check\\point", "/tile/0/000%2f", "/tile/0/000;x", "/~root", "*",
            "checkpoint", "/CHECKPOINT"};

        publish(LEAVES);
        for (size_t i = 0; i < sizeof(hostile) / sizeof(*hostile); i++) {
                cr_expect_eq(get(hostile[i]), 404, "%s: %d", hostile[i], a.status);
                cr_expect_str_eq(header("Cache-Control"), "no-store");
        }
        for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
                cr_expect_eq(get(bad[i]), 400, "%s: %d", bad[i], a.status);
}

Test(http, follows_no_link_and_serves_no_damaged_file, .init = start, .fini = end)
{
        char command[800];

        publish(LEAVES);
        snprintf(command, sizeof(command),
            "cd %s/tile && mv 0/000 ../../secret && ln -s ../../../secret 0/000 && mv entries "
            "../../entries && ln -s ../../entries entries && truncate -s 8191 0/001 && mv "
            "0/002.p/88 ../../part && mkdir 0/002.p/88 && rm 1/000.p/2 && mkfifo 1/000.p/2",
            f.path);
        cr_assert_eq(system(command), 0);
        cr_expect_eq(get("/tile/0/000"), 500);
        cr_expect_eq(get("/tile/entries/000"), 404);
        cr_expect_eq(get("/tile/0/001"), 500);
        cr_expect_eq(get("/tile/0/002.p/88"), 500);
        cr_expect_eq(get("/tile/1/000.p/2"), 500);
        snprintf(command, sizeof(command), "cd %s && mv checkpoint ../c && ln -s ../c checkpoint",
            f.path);
        cr_assert_eq(system(command), 0);
        cr_expect_eq(get("/checkpoint"), 500);
        cr_expect_str_eq(header("Cache-Control"), "no-store");
        snprintf(command, sizeof(command), "cd %s && rm checkpoint && mkfifo checkpoint", f.path);
        cr_assert_eq(system(command), 0);
        cr_expect_eq(get("/checkpoint"), 500);
}

Test(http, only_get_and_head, .init = start, .fini = end)
{
        static const char *const methods[] = {
            "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "get", "FROB"};
        size_t bytes;

        publish(LEAVES);
        for (size_t i = 0; i < sizeof(methods) / sizeof(*methods); i++) {
                cr_expect_eq(request(methods[i], "/checkpoint", "%s", ""), 405, "%s: %d",
                    methods[i], a.status);
                cr_expect_str_eq(header("Allow"), "GET, HEAD");
        }
        cr_expect_eq(request("POST", "/checkpoint", "Content-Length: 3\r\n\r\nabc"), 405);
        cr_expect_eq(request("GET", "/checkpoint", "Content-Length: 3\r\n\r\nabc"), 400);
        cr_expect_eq(request("GET", "/checkpoint", "Transfer-Encoding: chunked\r\n"), 400);
        cr_expect_eq(get("/tile/0/000"), 200);
        bytes = a.body_bytes;
        cr_expect_eq(request("HEAD", "/tile/0/000", "%s", ""), 200);
        cr_expect_eq(a.body_bytes, 0);
        cr_expect_eq((size_t)atol(header("Content-Length")), bytes);
        cr_expect_str_eq(header("Content-Type"), "application/octet-stream");
        /* Ranges are of GET only. */
        cr_expect_eq(request("HEAD", "/tile/0/000", "Range: bytes=0-9\r\n"), 200);
        cr_expect_eq(request("HEAD", "/tile/0/009", "%s", ""), 404);
        cr_expect_eq(a.body_bytes, 0);
}

Test(http, single_ranges, .init = start, .fini = end)
{
        char etag[80];

        publish(LEAVES);
        cr_assert_eq(request("GET", "/tile/0/000", "Range: bytes=32-63\r\n"), 206);
        same_as_file("tile/0/000", 32, 32);
        cr_assert_str_eq(header("Content-Range"), "bytes 32-63/8192");
        cr_assert_str_eq(header("Cache-Control"), "public, max-age=31536000, immutable");
        cr_assert_eq(request("GET", "/tile/0/000", "Range: bytes=8191-\r\n"), 206);
        same_as_file("tile/0/000", 8191, 1);
        cr_assert_eq(request("GET", "/tile/0/000", "Range: bytes=-100\r\n"), 206);
        same_as_file("tile/0/000", 8092, 100);
        cr_assert_eq(request("GET", "/tile/0/000", "Range: bytes=8192-\r\n"), 416);
        cr_assert_str_eq(header("Content-Range"), "bytes */8192");
        cr_assert_eq(request("GET", "/tile/0/000", "Range: bytes=0-1,3-4\r\n"), 200);
        cr_assert_eq(a.body_bytes, 8192);
        snprintf(etag, sizeof(etag), "%s", header("ETag"));
        cr_assert_eq(
            request("GET", "/tile/0/000", "Range: bytes=0-1\r\nIf-Range: %s\r\n", etag), 206);
        cr_assert_eq(request("GET", "/tile/0/000", "Range: bytes=0-1\r\nIf-Range: \"x\"\r\n"), 200);
}

Test(http, range_fields)
{
        static const struct {
                const char *text;
                enum http_range want;
                uint64_t first, bytes;
        } cases[] = {{"bytes=0-0", HTTP_RANGE_PART, 0, 1}, {"bytes=0-9", HTTP_RANGE_PART, 0, 10},
            {"bytes=0-", HTTP_RANGE_PART, 0, 10}, {"bytes=9-9", HTTP_RANGE_PART, 9, 1},
            {"bytes=5-100", HTTP_RANGE_PART, 5, 5}, {"bytes=5-10", HTTP_RANGE_PART, 5, 5},
            {"bytes=-1", HTTP_RANGE_PART, 9, 1}, {"bytes=-10", HTTP_RANGE_PART, 0, 10},
            {"bytes=-11", HTTP_RANGE_PART, 0, 10}, {"Bytes=1-1", HTTP_RANGE_PART, 1, 1},
            {"bytes=3-99999999999999999999999", HTTP_RANGE_PART, 3, 7},
            {"bytes=3-18446744073709551615", HTTP_RANGE_PART, 3, 7},
            {"bytes=-99999999999999999999999", HTTP_RANGE_PART, 0, 10},
            {"bytes=10-", HTTP_RANGE_UNSATISFIABLE, 0, 0},
            {"bytes=10-12", HTTP_RANGE_UNSATISFIABLE, 0, 0},
            {"bytes=18446744073709551615-", HTTP_RANGE_UNSATISFIABLE, 0, 0},
            {"bytes=99999999999999999999999-", HTTP_RANGE_UNSATISFIABLE, 0, 0},
            {"bytes=-0", HTTP_RANGE_UNSATISFIABLE, 0, 0}, {"", HTTP_RANGE_NONE, 0, 0},
            {"bytes", HTTP_RANGE_NONE, 0, 0}, {"bytes=", HTTP_RANGE_NONE, 0, 0},
            {"bytes=-", HTTP_RANGE_NONE, 0, 0}, {"bytes=5", HTTP_RANGE_NONE, 0, 0},
            {"bytes=5-4", HTTP_RANGE_NONE, 0, 0}, {"bytes=1-2,4-5", HTTP_RANGE_NONE, 0, 0},
            {"bytes=1-2x", HTTP_RANGE_NONE, 0, 0}, {"bytes=x-2", HTTP_RANGE_NONE, 0, 0},
            {"bytes= 1-2", HTTP_RANGE_NONE, 0, 0}, {"bytes=--2", HTTP_RANGE_NONE, 0, 0},
            {"lines=1-2", HTTP_RANGE_NONE, 0, 0}};

        for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
                uint64_t first = 77, bytes = 77;

                cr_expect_eq(http_range_parse(cases[i].text, 10, &first, &bytes), cases[i].want,
                    "%s", cases[i].text);
                if (cases[i].want != HTTP_RANGE_PART)
                        continue;
                cr_expect_eq(first, cases[i].first, "%s", cases[i].text);
                cr_expect_eq(bytes, cases[i].bytes, "%s", cases[i].text);
        }
        uint64_t first, bytes;
        cr_expect_eq(http_range_parse("bytes=0-", 0, &first, &bytes), HTTP_RANGE_UNSATISFIABLE);
        cr_expect_eq(http_range_parse("bytes=-5", 0, &first, &bytes), HTTP_RANGE_UNSATISFIABLE);
}

Test(http, conditional_requests, .init = start, .fini = end)
{
        char etag[80];

        publish(LEAVES);
        cr_assert_eq(get("/checkpoint"), 200);
        snprintf(etag, sizeof(etag), "%s", header("ETag"));
        cr_assert_eq(strlen(etag), 34);
        cr_assert_eq(request("GET", "/checkpoint", "If-None-Match: %s\r\n", etag), 304);
        cr_assert_eq(a.body_bytes, 0);
        cr_assert_str_eq(header("ETag"), etag);
        cr_assert_eq(request("GET", "/checkpoint", "If-None-Match: \"q\", W/%s\r\n", etag), 304);
        cr_assert_eq(request("GET", "/checkpoint", "If-None-Match: \"q\"\r\n"), 200);
        publish(LEAVES + 1);
        cr_assert_eq(request("GET", "/checkpoint", "If-None-Match: %s\r\n", etag), 200);
        same_as_file("checkpoint", 0, 0);
}

Test(http, metrics_and_health, .init = start, .fini = end)
{
        cr_assert_eq(get("/metrics"), 200);
        cr_assert_str_eq(header("Content-Type"), "text/plain; version=0.0.4; charset=utf-8");
        cr_assert_str_eq(header("Cache-Control"), "no-store");
        cr_assert_str_eq(a.body, "aorta_x 1\n");
        cr_assert_eq(get("/healthz"), 200);
        cr_assert_str_eq(a.body, "ok\n");
        well = false;
        cr_assert_eq(get("/healthz"), 503);
        cr_assert_str_eq(a.body, "a flush failed\n");
        cr_assert_str_eq(header("Cache-Control"), "no-store");
}

Test(http, is_bounded, .init = start, .fini = end)
{
        int fds[HTTP_CONNECTIONS_PER_IP_MAX + 40];
        const size_t long_bytes = 100000;
        char *huge = malloc(long_bytes);
        unsigned closed = 0;
        char byte;

        publish(LEAVES);
        memset(huge, 'a', long_bytes);
        memcpy(huge, "GET /", 5);
        cr_expect_geq(exchange(huge, 30000), 400); /* a line longer than any path */
        free(huge);
        for (size_t i = 0; i < sizeof(fds) / sizeof(*fds); i++)
                fds[i] = connect_to(http_port(http));
        /* Those beyond the limit are closed; the others stay open. */
        for (size_t i = HTTP_CONNECTIONS_PER_IP_MAX; i < sizeof(fds) / sizeof(*fds); i++)
                closed += recv(fds[i], &byte, 1, 0) == 0 || errno == ECONNRESET;
        for (size_t i = 0; i < HTTP_CONNECTIONS_PER_IP_MAX; i++)
                cr_expect(recv(fds[i], &byte, 1, MSG_DONTWAIT) < 0 && errno == EAGAIN);
        cr_expect_eq(closed, 40, "%u", closed);
        for (size_t i = 0; i < sizeof(fds) / sizeof(*fds); i++)
                close(fds[i]);
        /* And when they are gone it serves again. */
        int status = 0;
        for (unsigned tries = 0; status != 200 && tries < 100; tries++) {
                const struct timespec pause = {.tv_nsec = 50000000};

                if (tries > 0)
                        nanosleep(&pause, NULL);
                status = get("/checkpoint");
        }
        cr_expect_eq(status, 200);
}

Test(http, a_taken_address_is_named)
{
        struct sockaddr_storage listen = {0};
        struct sockaddr_in *v4 = (struct sockaddr_in *)&listen;
        struct http_config config;
        struct http *second = NULL;

        start();
        v4->sin_family = AF_INET;
        v4->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        v4->sin_port = htons(http_port(http));
        config = (struct http_config){
            .listen = listen, .log = f.path, .metrics = write_metrics, .healthy = is_well};
        cr_assert_eq(http_start(&second, &config, f.why), -EADDRINUSE);
        cr_assert_not_null(strstr(f.why, "cannot serve HTTP on 127.0.0.1 port"), "%s", f.why);
        config.log = "/nowhere";
        cr_assert_eq(http_start(&second, &config, f.why), -ENOENT);
        http_stop(NULL);
        end();
}

Test(http, ipv6)
{
        struct sockaddr_storage listen = {0};
        struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&listen;
        struct sockaddr_in6 to;
        int fd = socket(AF_INET6, SOCK_STREAM, 0);
        char text[64] = "";

        v6->sin6_family = AF_INET6;
        v6->sin6_addr = in6addr_loopback;
        if (fd < 0 || bind(fd, (struct sockaddr *)v6, sizeof(*v6)) != 0) {
                puts("SKIPPED: no IPv6 loopback here");
                return;
        }
        close(fd);
        fixture_start(&f);
        fixture_open(&f);
        serve(&listen);
        to = *v6;
        to.sin6_port = htons(http_port(http));
        fd = socket(AF_INET6, SOCK_STREAM, 0);
        cr_assert_eq(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
        cr_assert_gt(send(fd, "GET /healthz HTTP/1.0\r\n\r\n", 25, MSG_NOSIGNAL), 0);
        cr_assert_gt(recv(fd, text, sizeof(text) - 1, 0), 0);
        cr_assert_not_null(strstr(text, " 200 "), "%s", text);
        close(fd);
        end();
}
