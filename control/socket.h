/* SPDX-License-Identifier: Apache-2.0 */
/* The control socket: a Unix stream socket, mode 0600, in the state folder. Lines of JSON in, lines
 * of JSON out (control/client.h). The control thread serves; nothing a client does makes it wait:
 * answers are bounded, buffered, and dropped with a client that does not read them. */
#ifndef AORTA_CONTROL_SOCKET_H
#define AORTA_CONTROL_SOCKET_H

#include <stddef.h>

#define CONTROL_CLIENTS_MAX 16u
#define CONTROL_BACKLOG     64
#define CONTROL_IDLE_MS_MAX 30000 /* a client that neither sends nor reads for so long is cut off  \
                                   */

struct control_socket;
struct daemon;

/* Answers one request (a line, NUL-terminated, bytes long): a malloc'd line without newline, wiped
 * and freed after it was sent; NULL cuts the client off. */
typedef char *control_answer_fn(void *user, const char *line, size_t bytes);

/* Listens at path. A socket that a dead daemon left is replaced. -EADDRINUSE: a live one answers
 * there; -EEXIST: a file that is no socket is in the way. why: 512 bytes. */
int control_socket_listen(struct control_socket **control, const char *path,
    control_answer_fn *answer, void *user, char *why);
/* Serves what is ready; waits timeout_ms at most for something to be. 0, or -errno of poll(). */
int control_socket_poll(struct control_socket *control, int timeout_ms);
/* Cuts the clients off, and removes the socket. */
void control_socket_close(struct control_socket *control);

/* The daemon's: listens at its configured path; serves its commands until daemon->stop. */
int control_socket_open(struct control_socket **control, struct daemon *daemon, char *why);
int control_socket_serve(struct control_socket *control, struct daemon *daemon, char *why);

#endif
