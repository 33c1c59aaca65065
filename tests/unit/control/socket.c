/* SPDX-License-Identifier: Apache-2.0 */
/* The control socket serves several clients, and none of them can make it wait or fall. */
#include "control/client.h"
#include "control/hex.h"
#include "control/socket.h"
#include "tests/unit/control/folder.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LARGE_BYTES (3u << 20)
#define ROUNDS      20000 /* polls within which something must have happened */

static char folder[64], path[300], why[512];
static struct control_socket *control;

/* "large": a long answer; "die": none; else the request in brackets. */
static char *
answer(void *user, const char *line, size_t bytes)
{
        char *text;

        cr_assert_eq(line[bytes], '\0');
        if (strcmp(line, "die") == 0)
                return NULL;
        if (strcmp(line, "large") == 0) {
                text = malloc(LARGE_BYTES + 1);
                memset(text, 'x', LARGE_BYTES);
                text[LARGE_BYTES] = '\0';
                return text;
        }
        cr_assert(asprintf(&text, "[%s]", line) > 0);
        return text;
}

static void
setup(void)
{
        folder_make(folder, sizeof(folder));
        snprintf(path, sizeof(path), "%s/control.sock", folder);
        cr_assert_eq(control_socket_listen(&control, path, answer, NULL, why), 0, "%s", why);
}

static void
teardown(void)
{
        control_socket_close(control);
        folder_remove(folder);
}

TestSuite(control_socket, .init = setup, .fini = teardown);

static int
connect_to(const char *where)
{
        struct sockaddr_un address;
        int folder_fd, fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

        cr_assert_eq(socket_address(&address, where, &folder_fd), 0);
        cr_assert_eq(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
        if (folder_fd >= 0)
                close(folder_fd);
        return fd;
}

static void
say(int fd, const char *text, size_t n)
{
        cr_assert_eq(send(fd, text, n, MSG_NOSIGNAL), (ssize_t)n);
}

/* Serves until the client has n bytes, or is cut off; returns how many it got. */
static size_t
hear(int fd, char *out, size_t n)
{
        size_t got = 0;

        for (int i = 0; i < ROUNDS && got < n; i++) {
                ssize_t k;

                cr_assert_eq(control_socket_poll(control, 1), 0);
                k = recv(fd, out + got, n - got, 0);
                if (k == 0 || (k < 0 && errno != EAGAIN))
                        return got;
                if (k > 0)
                        got += (size_t)k;
        }
        return got;
}

static void
expect(int fd, const char *text)
{
        char got[256] = "";

        cr_assert_eq(hear(fd, got, strlen(text)), strlen(text), "got %s", got);
        cr_assert_str_eq(got, text);
}

static void
expect_cut_off(int fd)
{
        char c;

        for (int i = 0; i < ROUNDS; i++) {
                ssize_t k;

                cr_assert_eq(control_socket_poll(control, 1), 0);
                k = recv(fd, &c, 1, 0);
                cr_assert(k <= 0);
                if (k == 0 || errno != EAGAIN)
                        return;
        }
        cr_assert_fail("still connected");
}

Test(control_socket, lines_in_lines_out)
{
        int a = connect_to(path), b = connect_to(path);

        say(a, "one\ntwo\nthr", 11);
        say(b, "other\n", 6);
        expect(a, "[one]\n[two]\n");
        expect(b, "[other]\n");
        say(a, "ee\n", 3);
        expect(a, "[three]\n");
        say(a, "\n", 1);
        expect(a, "[]\n");
        close(a);
        close(b);
}

Test(control_socket, mode_and_removal)
{
        struct stat status;

        cr_assert_eq(stat(path, &status), 0);
        cr_assert(S_ISSOCK(status.st_mode));
        cr_assert_eq(status.st_mode & 07777, 0600);
        control_socket_close(control);
        control = NULL;
        cr_assert_eq(stat(path, &status), -1);
}

Test(control_socket, a_line_too_long)
{
        static char line[REQUEST_BYTES_MAX + 1];
        char got[16] = "";
        int a = connect_to(path), b;

        memset(line, 'a', sizeof(line));
        line[REQUEST_BYTES_MAX - 1] = '\n';
        say(a, line, REQUEST_BYTES_MAX);
        cr_assert_eq(hear(a, got, 4), 4);
        cr_assert_eq(memcmp(got, "[aaa", 4), 0);
        close(a);
        b = connect_to(path);
        memset(line, 'a', sizeof(line));
        say(b, line, REQUEST_BYTES_MAX);
        cr_assert_eq(hear(b, got, 12), 12);
        cr_assert_eq(memcmp(got, "{\"ok\": false", 12), 0);
        while (hear(b, got, sizeof(got)) > 0)
                ;
        close(b);
        a = connect_to(path);
        say(a, "still here\n", 11);
        expect(a, "[still here]\n");
        close(a);
}

Test(control_socket, nobody_waits_for_a_slow_reader)
{
        int slow = connect_to(path), quick = connect_to(path);
        char *got = malloc(LARGE_BYTES + 1);

        say(slow, "large\nafter\n", 12);
        for (int i = 0; i < 50; i++) {
                say(quick, "ping\n", 5);
                expect(quick, "[ping]\n");
        }
        cr_assert_eq(hear(slow, got, LARGE_BYTES + 1), LARGE_BYTES + 1);
        cr_assert_eq(got[0], 'x');
        cr_assert_eq(got[LARGE_BYTES], '\n');
        expect(slow, "[after]\n");
        free(got);
        close(slow);
        close(quick);
}

Test(control_socket, clients_that_vanish)
{
        for (unsigned i = 0; i < 3 * CONTROL_CLIENTS_MAX; i++) {
                int fd = connect_to(path);

                say(fd,
                    i % 3 == 0   ? "large\n"
                    : i % 3 == 1 ? "half"
                                 : "x\n",
                    i % 3 == 0   ? 6
                    : i % 3 == 1 ? 4
                                 : 2);
                for (unsigned k = 0; k < i % 4; k++)
                        control_socket_poll(control, 1);
                close(fd);
                control_socket_poll(control, 0);
        }
        for (unsigned i = 0; i < 3 * CONTROL_CLIENTS_MAX; i++)
                control_socket_poll(control, 1);
        int fd = connect_to(path);
        say(fd, "ok\n", 3);
        expect(fd, "[ok]\n");
        close(fd);
}

Test(control_socket, more_clients_than_places_wait_their_turn)
{
        int fds[CONTROL_CLIENTS_MAX], one_more;

        for (unsigned i = 0; i < CONTROL_CLIENTS_MAX; i++) {
                fds[i] = connect_to(path);
                say(fds[i], "in\n", 3);
                expect(fds[i], "[in]\n");
        }
        one_more = connect_to(path);
        say(one_more, "late\n", 5);
        for (int i = 0; i < 20; i++)
                control_socket_poll(control, 1);
        close(fds[3]);
        expect(one_more, "[late]\n");
        close(one_more);
        for (unsigned i = 0; i < CONTROL_CLIENTS_MAX; i++)
                if (i != 3)
                        close(fds[i]);
}

Test(control_socket, no_answer_cuts_off)
{
        int fd = connect_to(path);

        say(fd, "die\n", 4);
        expect_cut_off(fd);
        close(fd);
}

Test(control_socket, what_is_in_the_way)
{
        struct control_socket *second = NULL;
        char file[128];
        int fd;

        /* A live one. */
        cr_assert_eq(control_socket_listen(&second, path, answer, NULL, why), -EADDRINUSE);
        cr_assert(strstr(why, "another daemon answers there: stop it") != NULL, "%s", why);
        /* No socket. */
        snprintf(file, sizeof(file), "%s/file", folder);
        fd = open(file, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
        close(fd);
        cr_assert_eq(control_socket_listen(&second, file, answer, NULL, why), -EEXIST);
        cr_assert(strstr(why, "a file that is no socket is in the way") != NULL, "%s", why);
        /* No folder. */
        snprintf(file, sizeof(file), "%s/none/x", folder);
        cr_assert_eq(control_socket_listen(&second, file, answer, NULL, why), -ENOENT);
        cr_assert(strstr(why, "cannot be made: No such file") != NULL, "%s", why);
        /* A dead one. */
        snprintf(file, sizeof(file), "%s/dead", folder);
        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        struct sockaddr_un address = {.sun_family = AF_UNIX};
        strcpy(address.sun_path, file);
        cr_assert_eq(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
        close(fd);
        cr_assert_eq(control_socket_listen(&second, file, answer, NULL, why), 0, "%s", why);
        control_socket_close(second);
}

/* Longer than sun_path: through the folder's descriptor. */
Test(control_socket, long_paths)
{
        struct control_socket *second = NULL;
        char deep[300], file[400];
        int fd;

        snprintf(deep, sizeof(deep), "%s/%0100d", folder, 7);
        cr_assert_eq(mkdir(deep, 0700), 0);
        snprintf(file, sizeof(file), "%s/control.sock", deep);
        control_socket_close(control);
        cr_assert_eq(control_socket_listen(&control, file, answer, NULL, why), 0, "%s", why);
        fd = connect_to(file);
        say(fd, "far\n", 4);
        expect(fd, "[far]\n");
        close(fd);
        snprintf(file, sizeof(file), "%s/%0110d", deep, 7);
        cr_assert_eq(control_socket_listen(&second, file, answer, NULL, why), -ENAMETOOLONG);
        cr_assert(strstr(why, "set a shorter control.socket") != NULL, "%s", why);
}

static _Atomic bool done;

static void *
serve(void *unused)
{
        while (!atomic_load(&done))
                control_socket_poll(control, 10);
        return NULL;
}

Test(control_socket, the_client_library)
{
        struct client *client;
        pthread_t thread;
        char *line;

        cr_assert_eq(client_connect(&client, "/nonexistent/x"), -ENOENT);
        cr_assert_eq(pthread_create(&thread, NULL, serve, NULL), 0);
        cr_assert_eq(client_connect(&client, path), 0);
        cr_assert_eq(client_request(client, "hello", &line), 0);
        cr_assert_str_eq(line, "[hello]");
        client_free_line(line);
        cr_assert_eq(client_request(client, "large", &line), 0);
        cr_assert_eq(strlen(line), LARGE_BYTES);
        client_free_line(line);
        cr_assert_eq(client_request(client, "die", &line), -ECONNRESET);
        client_close(client);
        atomic_store(&done, true);
        pthread_join(thread, NULL);
}

Test(hex, both_ways)
{
        static const char *const bad[] = {"0", "0g", "0x", " 0", "00 ", "0\xff"};
        uint8_t bytes[4];
        char text[9];

        cr_assert_eq(hex_decode(bytes, 4, "00fFA9"), 3);
        cr_assert_arr_eq(bytes, "\x00\xff\xa9", 3);
        hex_encode(text, bytes, 3);
        cr_assert_str_eq(text, "00ffa9");
        cr_assert_eq(hex_decode(bytes, 4, ""), 0);
        cr_assert_eq(hex_decode(bytes, 4, "0011223344"), -E2BIG);
        for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
                cr_assert_eq(hex_decode(bytes, 4, bad[i]), -EINVAL, "%s", bad[i]);
}
