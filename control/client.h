/* SPDX-License-Identifier: Apache-2.0 */
/* The client's end of the control socket. A request is one line of JSON, its answer one line: an
 * object with "ok", and with "error" (a sentence) and "code" (an errno's name) when that is false.
 */
#ifndef AORTA_CONTROL_CLIENT_H
#define AORTA_CONTROL_CLIENT_H

#include <stddef.h>
#include <sys/socket.h>
#include <sys/un.h>

#define REQUEST_BYTES_MAX (16u << 10)
#define ANSWER_BYTES_MAX  (4u << 20)
#define CLIENT_TIMEOUT_S  60

/* A socket's address, also of a path longer than sun_path holds: then through the folder's
 * descriptor
 * (*folder, to be closed by the caller once it is bound or connected; else -1). 0, -ENAMETOOLONG
 * when even the name is too long, or -errno of the folder. */
int socket_address(struct sockaddr_un *address, const char *path, int *folder);

struct client;

/* -errno when there is no daemon at path. */
int client_connect(struct client **client, const char *path);
/* Sends a line without its newline, waits for the answer: a NUL-terminated line that the caller
 * frees with client_free_line(), which wipes it. */
int client_request(struct client *client, const char *line, char **answer);
void client_free_line(char *line);
void client_close(struct client *client);

#endif
