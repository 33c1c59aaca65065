/* SPDX-License-Identifier: Apache-2.0 */
#include "control/socket.h"

#include "control/client.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define WHY_BYTES 512

static const char too_long[] = "{\"ok\": false, \"code\": \"EMSGSIZE\", \"error\": "
                               "\"the request is longer than a line may be\"}";

struct peer {
        int fd; /* -1: none */
        uint64_t active_ms;
        size_t in_bytes;
        char in[REQUEST_BYTES_MAX];
        char *out;
        size_t out_bytes, out_sent;
        bool closing; /* once out is sent */
};

struct control_socket {
        int fd;
        char path[PATH_MAX];
        control_answer_fn *answer;
        void *user;
        struct peer peers[CONTROL_CLIENTS_MAX];
};

static uint64_t
now_ms(void)
{
        struct timespec now;

        clock_gettime(CLOCK_MONOTONIC, &now);
        return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static void
free_out(struct peer *peer)
{
        if (peer->out != NULL)
                explicit_bzero(peer->out, peer->out_bytes);
        free(peer->out);
        peer->out = NULL;
        peer->out_bytes = peer->out_sent = 0;
}

static void
cut_off(struct peer *peer)
{
        close(peer->fd);
        peer->fd = -1;
        free_out(peer);
        explicit_bzero(peer->in, peer->in_bytes);
        peer->in_bytes = 0;
        peer->closing = false;
}

/* Removes what a dead daemon left at the address; the state folder's lock was taken before, so that
 * a living one there is another's. */
static int
clear_path(const struct sockaddr_un *address, const char *path, char *why)
{
        struct stat status;
        int fd, rc;

        if (lstat(path, &status) != 0)
                return errno == ENOENT ? 0 : -errno;
        if (!S_ISSOCK(status.st_mode)) {
                snprintf(why, WHY_BYTES,
                    "control socket %s: a file that is no socket is in the way: move it, or set "
                    "control.socket",
                    path);
                return -EEXIST;
        }
        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0)
                return -errno;
        rc = connect(fd, (const struct sockaddr *)address, sizeof(*address)) == 0 ? 0 : -errno;
        close(fd);
        if (rc != -ECONNREFUSED && rc != -ENOENT) {
                snprintf(why, WHY_BYTES,
                    "control socket %s: another daemon answers there: stop it, or set "
                    "control.socket",
                    path);
                return -EADDRINUSE;
        }
        return unlink(path) == 0 ? 0 : -errno;
}

static int
bind_and_listen(struct control_socket *control, char *why)
{
        struct sockaddr_un address;
        int folder = -1, rc = socket_address(&address, control->path, &folder);

        if (rc == 0)
                rc = clear_path(&address, control->path, why);
        if (rc == 0) {
                control->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
                /* The mode is the socket's from its first moment: bind() takes it over. */
                if (control->fd < 0 || fchmod(control->fd, 0600) != 0 ||
                    bind(control->fd, (struct sockaddr *)&address, sizeof(address)) != 0 ||
                    listen(control->fd, CONTROL_BACKLOG) != 0)
                        rc = -errno;
        }
        if (folder >= 0)
                close(folder);
        if (rc == -ENAMETOOLONG)
                snprintf(why, WHY_BYTES,
                    "control socket %s: the name is too long for a socket: set a shorter "
                    "control.socket",
                    control->path);
        else if (rc != 0 && why[0] == '\0')
                snprintf(why, WHY_BYTES, "control socket %s cannot be made: %s", control->path,
                    strerror(-rc));
        return rc;
}

int
control_socket_listen(struct control_socket **control, const char *path, control_answer_fn *answer,
    void *user, char *why)
{
        struct control_socket *own = calloc(1, sizeof(*own));
        int rc;

        why[0] = '\0';
        if (own == NULL)
                return -ENOMEM;
        own->fd = -1;
        own->answer = answer;
        own->user = user;
        for (unsigned i = 0; i < CONTROL_CLIENTS_MAX; i++)
                own->peers[i].fd = -1;
        assert(strlen(path) < sizeof(own->path));
        strcpy(own->path, path);
        rc = bind_and_listen(own, why);
        if (rc != 0) {
                if (own->fd >= 0)
                        close(own->fd);
                free(own);
                return rc;
        }
        *control = own;
        return 0;
}

/* The file's mode keeps others out; this also does so where the file was given away. */
static bool
may_command(int fd)
{
        struct ucred peer;
        socklen_t bytes = sizeof(peer);

        return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &bytes) == 0 &&
               (peer.uid == 0 || peer.uid == geteuid());
}

static void
accept_one(struct control_socket *control)
{
        int fd = accept4(control->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

        if (fd < 0)
                return;
        for (unsigned i = 0; i < CONTROL_CLIENTS_MAX && may_command(fd); i++) {
                struct peer *peer = &control->peers[i];

                if (peer->fd >= 0)
                        continue;
                peer->fd = fd;
                peer->active_ms = now_ms();
                return;
        }
        close(fd);
}

/* Answers the first whole line of the input, when there is one and nothing waits to be sent. */
static void
answer_one(struct control_socket *control, struct peer *peer)
{
        char *end = memchr(peer->in, '\n', peer->in_bytes);
        size_t used;

        if (peer->out != NULL || peer->closing)
                return;
        if (end == NULL) {
                if (peer->in_bytes < sizeof(peer->in))
                        return;
                peer->closing = true;
                peer->out = strdup(too_long);
        } else {
                *end = '\0';
                used = (size_t)(end - peer->in) + 1;
                peer->out = control->answer(control->user, peer->in, used - 1);
                explicit_bzero(peer->in, used);
                memmove(peer->in, peer->in + used, peer->in_bytes - used);
                peer->in_bytes -= used;
        }
        if (peer->out == NULL) {
                cut_off(peer);
                return;
        }
        peer->out_bytes = strlen(peer->out);
        peer->out[peer->out_bytes++] = '\n'; /* in the NUL's place */
}

static void
receive(struct control_socket *control, struct peer *peer)
{
        ssize_t k = recv(peer->fd, peer->in + peer->in_bytes, sizeof(peer->in) - peer->in_bytes, 0);

        if (k == 0 || (k < 0 && errno != EAGAIN && errno != EINTR)) {
                cut_off(peer);
                return;
        }
        if (k > 0) {
                peer->in_bytes += (size_t)k;
                peer->active_ms = now_ms();
        }
}

static void
transmit(struct peer *peer)
{
        ssize_t k;

        k = send(
            peer->fd, peer->out + peer->out_sent, peer->out_bytes - peer->out_sent, MSG_NOSIGNAL);
        if (k < 0) {
                if (errno != EAGAIN && errno != EINTR)
                        cut_off(peer);
                return;
        }
        peer->out_sent += (size_t)k;
        peer->active_ms = now_ms();
        if (peer->out_sent < peer->out_bytes)
                return;
        free_out(peer);
        if (peer->closing)
                cut_off(peer);
}

static void
serve_peer(struct control_socket *control, struct peer *peer, short events)
{
        if (events & POLLIN)
                receive(control, peer);
        else if (events & (POLLHUP | POLLERR | POLLNVAL))
                cut_off(peer);
        if (peer->fd >= 0)
                answer_one(control, peer);
        if (peer->fd >= 0 && peer->out != NULL)
                transmit(peer);
        if (peer->fd >= 0 && now_ms() - peer->active_ms > CONTROL_IDLE_MS_MAX)
                cut_off(peer);
}

int
control_socket_poll(struct control_socket *control, int timeout_ms)
{
        struct pollfd polls[CONTROL_CLIENTS_MAX + 1];
        bool room = false, waiting = false;

        for (unsigned i = 0; i < CONTROL_CLIENTS_MAX; i++) {
                const struct peer *peer = &control->peers[i];

                polls[i].fd = peer->fd;
                polls[i].events = peer->out != NULL ? POLLOUT : POLLIN;
                polls[i].revents = 0;
                room |= peer->fd < 0;
                /* A further request that is already here raises no event. */
                waiting |= peer->fd >= 0 && peer->out == NULL &&
                           memchr(peer->in, '\n', peer->in_bytes) != NULL;
        }
        polls[CONTROL_CLIENTS_MAX] =
            (struct pollfd){.fd = room ? control->fd : -1, .events = POLLIN};
        if (poll(polls, CONTROL_CLIENTS_MAX + 1, waiting ? 0 : timeout_ms) < 0)
                return errno == EINTR ? 0 : -errno;
        for (unsigned i = 0; i < CONTROL_CLIENTS_MAX; i++)
                if (control->peers[i].fd >= 0)
                        serve_peer(control, &control->peers[i], polls[i].revents);
        if (polls[CONTROL_CLIENTS_MAX].revents & POLLIN)
                accept_one(control);
        return 0;
}

void
control_socket_close(struct control_socket *control)
{
        if (control == NULL)
                return;
        for (unsigned i = 0; i < CONTROL_CLIENTS_MAX; i++)
                if (control->peers[i].fd >= 0)
                        cut_off(&control->peers[i]);
        close(control->fd);
        unlink(control->path);
        free(control);
}
