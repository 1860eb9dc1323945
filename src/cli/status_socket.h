/*
 * status_socket.h - where a running server tells its figures: connect, read one line of JSON.
 *
 * Mode 0600: for the user who runs the server, and root.
 */
#ifndef CLI_STATUS_SOCKET_H
#define CLI_STATUS_SOCKET_H

#include <jansson.h>

#include "base/error.h"

int status_socket_listen(const char *path, int *ret_fd, struct error *err);
/* Answers every client that waits, without blocking for any of them. Takes `answer` over. */
void status_socket_answer(int fd, json_t *answer);
/* ERROR_CONNECTION when no server listens there. The caller decrefs *ret. */
int status_socket_ask(const char *path, json_t **ret, struct error *err);

#endif
