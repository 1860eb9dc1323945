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

enum { STATUS_QUESTION_MAX = 128, STATUS_DESCRIPTORS_MAX = 64 };

/* Descriptors that go with an answer. */
struct status_descriptors {
    int fds[STATUS_DESCRIPTORS_MAX];
    size_t count;
};

struct status_server;

/* On the server's thread. NULL for a question that it does not know. The descriptors that it adds
 * stay its own: the asker gets copies. */
typedef json_t *status_answer(void *owner, const char *question, struct status_descriptors *ret);

int status_server_start(const char *path, status_answer *answer, void *owner,
                        struct status_server **ret, struct error *err);
/* It is found at that path from now on, whoever was there before. In the same folder. */
int status_server_move(struct status_server *server, const char *path, struct error *err);
/* The path is another's now: it is not removed at the end. */
void status_server_give_up_path(struct status_server *server);
/* Ends the thread and removes the socket. Accepts NULL; returns NULL. */
struct status_server *status_server_stop(struct status_server *server);

/* ERROR_CONNECTION when no server listens there. The caller decrefs *ret. */
int status_socket_ask(const char *path, const char *question, json_t **ret, struct error *err);
/* And for descriptors, which are the caller's. */
int status_socket_ask_for(const char *path, const char *question, json_t **ret,
                          struct status_descriptors *ret_descriptors, struct error *err);
void status_descriptors_close(struct status_descriptors *descriptors);

#endif
