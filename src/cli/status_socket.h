/*
 * status_socket.h - where a running server tells of itself: connect, write a line that names what
 * is asked, read one line of JSON.
 *
 * Mode 0600: for the user who runs the server, and root. The server's side is a thread of its own,
 * which serves one asker after the other, each within a deadline.
 */
#ifndef CLI_STATUS_SOCKET_H
#define CLI_STATUS_SOCKET_H

#include <jansson.h>

#include "base/error.h"

enum { STATUS_QUESTION_MAX = 128 };

struct status_server;

/* `answer` is called on the thread; NULL for a question that it does not know. */
int status_server_start(const char *path, json_t *(*answer)(void *owner, const char *question),
                        void *owner, struct status_server **ret, struct error *err);
/* Ends the thread and removes the socket. Accepts NULL; returns NULL. */
struct status_server *status_server_stop(struct status_server *server);

/* ERROR_CONNECTION when no server listens there. The caller decrefs *ret. */
int status_socket_ask(const char *path, const char *question, json_t **ret, struct error *err);

#endif
