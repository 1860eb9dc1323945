/*
 * prepare.h - a client's prepared statements on whichever backend it has.
 *
 * Tenants whose rows are in the same tables share what is prepared, as policies are evaluated each
 * time; elsewhere one tenant's clients do. What a text means depends on settings too, though
 * (DateStyle in a literal, backslashes in a string), and a statement keeps the meaning that it had
 * when it was parsed. So statements are shared by clients with the same settings alone
 * (application_name aside).
 *
 * Where tenants share them, only a backend whose session is known to be as `reeve.enter` made it
 * (`pristine`) may parse one that others will use. What the words of a text do not show may have
 * set anything. Elsewhere the backend gets a copy for this turn alone, and the shared one when it
 * is entered next. Within a tenant it gets a copy for the client alone, after a text that says that
 * it changes settings and until they are known.
 */
#ifndef PROXY_PREPARE_H
#define PROXY_PREPARE_H

#include "proxy/backend.h"

/* The store of the client's statements, as its settings are now. */
struct statement_store *prepare_store(struct client *client);
/* Prepares the statement on the client's backend, or one that stands for it there. Returns what the
 * server knows, which lives as long as it is prepared. */
struct statement *prepare_ensure(struct client *client, struct statement *statement);
/* The same for a Parse of the client's own, which the server answers: `name` is what an error
 * undoes. NULL when it is prepared already: nothing was sent. */
struct statement *prepare_parse(struct client *client, struct statement *statement,
                                struct client_statement *name);
/* Has the server parse it once more, under a name that is gone at once, for its answer alone. */
void prepare_probe(struct client *client, struct statement *statement,
                   struct client_statement *name);
/* The backend's unnamed statement becomes the client's own, or none: never another client's. */
void prepare_unnamed(struct client *client);

/* Bytes: a text that fits into a read, in which each "reeve_" has become three bytes longer, and
 * TEXT_DEALLOCATES_MAX names a server's. */
enum { PREPARE_REPLACEMENT_MAX = 2 * STREAM_READ_SIZE };
/*
 * Writes the text to send in place of this one to `out`, with its NUL: LISTEN is refused where the
 * place may not, in its place in pipeline and transaction, and DEALLOCATE of a client's name is
 * made one of a placeholder. What it deallocates is in `ret_names`, which is the caller's; NULL:
 * nothing. False: the text is to be sent as it is. `apart`: it is for a simple query.
 */
bool prepare_replacement(struct client *client, unsigned flags, const char *text, size_t length,
                         bool apart, struct buffer *out, struct client_names **ret_names);
/* Sends the Parse of the client's unnamed statement, if it has such a text. */
bool prepare_unnamed_replacement(struct client *client);
/* Sends what stands in the worker's scratch buffer. */
void prepare_send(struct client *client);
/* A Parse that changes nothing if it fails, with a Sync of its own. */
void prepare_apart(struct backend *backend, struct statement *statement);
/*
 * DEALLOCATE of a name that only the proxy knows is to succeed or fail in the server as it would
 * there: it names a statement that does nothing instead, one for each name of a text. What the name
 * stood for stays prepared. This is for one that is gone.
 */
void prepare_placeholder_gone(struct backend *backend, size_t number);

/* In front of entering: takes this turn's copies away. Behind it: prepares what is wanted and has
 * the client's meaning. */
void prepare_leave(struct backend *backend);
void prepare_entered(struct backend *backend, struct client *client);
void prepare_free(struct backend *backend);

#endif
