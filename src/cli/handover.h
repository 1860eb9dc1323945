/*
 * handover.h - a server takes over from one that runs, without a moment in which nobody listens.
 *
 *   new                                   old
 *   "handover"  ------------------------>            asked at the status socket
 *               <----- descriptors, names            of its listening sockets; both may accept
 *   starts, accepts
 *   "retire"    ------------------------>
 *               <-------------- {granted}            once only; answers no more for metrics
 *   takes the status socket's path        accepts no more; RETIRE_LINGER_US later it stops as at
 *                                         SIGTERM, but leaves the sockets and their files alone
 *
 * What fails in the new one before "retire" changes nothing for the old one. The sockets are the
 * same ones, so whoever is in the kernel's queue is accepted by one of the two.
 */
#ifndef CLI_HANDOVER_H
#define CLI_HANDOVER_H

#include "base/time.h"
#include "cli/listen.h"
#include "cli/status_socket.h"

/* For whoever has just been accepted: to log in and to be served once. */
#define RETIRE_LINGER_US ((int64_t)1 * TIME_S)

/* The old one's answer to "handover". */
json_t *handover_describe(const struct listen_set *set, const struct listen_set *metrics,
                          struct status_descriptors *ret);
/* Asks for it. Nobody there: *ret is empty. ERROR_PROTOCOL: it is too old to know. Descriptors are
 * the caller's; names live in the arena. */
int handover_ask(const char *status_path, struct arena *arena, struct listen_set *ret,
                 struct error *err);
/* ERROR_STATE: it is stopping, or another server has taken over meanwhile. */
int handover_retire(const char *status_path, struct error *err);

#endif
