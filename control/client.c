/* SPDX-License-Identifier: Apache-2.0 */
#include "control/client.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct client {
        int fd;
};

int
socket_address(struct sockaddr_un *address, const char *path, int *folder)
{
        const char *slash = strrchr(path, '/');
        const char *name = slash != NULL ? slash + 1 : path;
        char parent[4096];
        int n;

        *folder = -1;
        memset(address, 0, sizeof(*address));
        address->sun_family = AF_UNIX;
        if (strlen(path) < sizeof(address->sun_path)) {
                strcpy(address->sun_path, path);
                return 0;
        }
        if (slash == NULL || (size_t)(slash - path) >= sizeof(parent))
                return -ENAMETOOLONG;
        memcpy(parent, path, (size_t)(slash - path) + 1);
        parent[slash == path ? 1 : slash - path] = '\0';
        *folder = open(parent, O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (*folder < 0)
                return -errno;
        n = snprintf(
            address->sun_path, sizeof(address->sun_path), "/proc/self/fd/%d/%s", *folder, name);
        if (n < 0 || (size_t)n >= sizeof(address->sun_path)) {
                close(*folder);
                *folder = -1;
                return -ENAMETOOLONG;
        }
        return 0;
}

int
client_connect(struct client **client, const char *path)
{
        struct timeval timeout = {.tv_sec = CLIENT_TIMEOUT_S};
        struct sockaddr_un address;
        int fd, folder, rc;

        rc = socket_address(&address, path, &folder);
        if (rc != 0)
                return rc;
        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) != 0 ||
            setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout)) != 0 ||
            setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout)) != 0)
                rc = -errno;
        if (folder >= 0)
                close(folder);
        if (rc == 0) {
                *client = malloc(sizeof(**client));
                if (*client == NULL)
                        rc = -ENOMEM;
        }
        if (rc != 0) {
                if (fd >= 0)
                        close(fd);
                return rc;
        }
        (*client)->fd = fd;
        return 0;
}

static int
send_all(int fd, const char *bytes, size_t n)
{
        while (n > 0) {
                ssize_t k = send(fd, bytes, n, MSG_NOSIGNAL);

                if (k < 0 && errno == EINTR)
                        continue;
                if (k < 0)
                        return errno == EAGAIN ? -ETIMEDOUT : -errno;
                bytes += k;
                n -= (size_t)k;
        }
        return 0;
}

int
client_request(struct client *client, const char *line, char **answer)
{
        size_t room = 4096, n = 0;
        char *text, *grown;
        ssize_t k;
        int rc = send_all(client->fd, line, strlen(line));

        if (rc == 0)
                rc = send_all(client->fd, "\n", 1);
        if (rc != 0)
                return rc;
        text = malloc(room);
        if (text != NULL)
                text[0] = '\0';
        while (text != NULL) {
                k = recv(client->fd, text + n, room - n - 1, 0);
                if (k < 0 && errno == EINTR)
                        continue;
                if (k <= 0) {
                        rc = k == 0 ? -ECONNRESET : errno == EAGAIN ? -ETIMEDOUT : -errno;
                        break;
                }
                n += (size_t)k;
                text[n] = '\0';
                if (text[n - 1] == '\n') {
                        text[n - 1] = '\0';
                        *answer = text;
                        return 0;
                }
                if (n + 1 < room)
                        continue;
                if (room > ANSWER_BYTES_MAX) {
                        rc = -EMSGSIZE;
                        break;
                }
                grown = malloc(room * 2);
                if (grown != NULL)
                        memcpy(grown, text, n + 1);
                client_free_line(text);
                text = grown;
                room *= 2;
        }
        if (text != NULL)
                client_free_line(text);
        return rc != 0 ? rc : -ENOMEM;
}

void
client_free_line(char *line)
{
        if (line != NULL)
                explicit_bzero(line, strlen(line));
        free(line);
}

void
client_close(struct client *client)
{
        close(client->fd);
        free(client);
}
