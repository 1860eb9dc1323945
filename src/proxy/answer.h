/*
 * answer.h - how large the answer to one query may be: from the Query, or what is in front of a
 * Sync, to ReadyForQuery, in bytes on their way to the client.
 *
 * A message's header says how long it is, so it is known before any of it is passed on, and costs
 * an addition: an error of ours never comes into the middle of one.
 */
#ifndef PROXY_ANSWER_H
#define PROXY_ANSWER_H

#include "proxy/backend.h"
#include "wire/message.h"

/* Bytes; INT64_MAX: no limit. To be looked up once for all that is read at once. */
int64_t answer_most(const struct backend *backend);
/* A message is about to go to the client: whether the answer would be larger than `most` with it.
 * Notifications belong to no answer. */
static inline bool answer_is_too_large(struct backend *backend, const struct wire_frame *frame,
                                       int64_t most)
{
    if (frame->type == 'Z') {
        backend->answer_bytes = 0;
        return false;
    }
    if (frame->type == 'A')
        return false;
    backend->answer_bytes += (int64_t)(WIRE_HEADER_SIZE + frame->body_length);
    return backend->answer_bytes > most;
}
/* Ends the client, and the backend with it: the server is told to cancel. */
void answer_end(struct backend *backend);

#endif
