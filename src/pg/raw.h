/*
 * raw.h - a session as a client of a server has it: what is sent goes as it is, and all that comes
 * back is told, piece by piece.
 *
 * For looking at a server from a client's side (attack/), on a connection that was made with
 * pg_options.bare. An error that the server sends is an answer like any other, not a failure.
 */
#ifndef PG_RAW_H
#define PG_RAW_H

#include "pg/connection.h"

enum pg_raw_kind {
    PG_RAW_DONE,         /* a statement's end: tag, affected, and its rows, if it gives any */
    PG_RAW_ERROR,        /* texts of the error */
    PG_RAW_NOTICE,       /* texts of the notice */
    PG_RAW_NOTIFICATION, /* message: the payload, detail: the channel */
    PG_RAW_COPY_ROW,     /* message: a line of COPY TO STDOUT */
};

/* Texts are never NULL and live as long as the call. */
struct pg_raw_piece {
    enum pg_raw_kind kind;
    const struct pg_result *rows; /* NULL for all but PG_RAW_DONE */
    const char *tag;              /* "INSERT 0 1" */
    int64_t affected;
    const char *sqlstate, *message, *detail, *hint;
};
typedef void (*pg_raw_visit)(void *owner, const struct pg_raw_piece *piece);

enum pg_raw_style {
    PG_RAW_SIMPLE,   /* sql in one Query message: any number of statements */
    PG_RAW_EXTENDED, /* sql in an unnamed Parse, Bind and Execute */
    PG_RAW_PREPARE,  /* sql as a prepared statement called `name` */
    PG_RAW_PREPARED, /* runs the prepared statement called `name` */
};
struct pg_raw_request {
    enum pg_raw_style style;
    const char *sql;
    const char *name;
    const char *copy; /* what COPY FROM STDIN gets; NULL: nothing, and its end */
    int64_t timeout_us;
    pg_raw_visit visit; /* or NULL */
    void *owner;
};

/* Sends the request and waits for no answer; pg_raw_collect must follow. ERROR_CONNECTION. */
int pg_raw_send(struct pg_connection *connection, const struct pg_raw_request *request,
                struct error *err);
/* The whole answer. ERROR_CONNECTION when the connection ended (what the server said before was
 * told), ERROR_TIMEOUT and ERROR_CANCELLED, which leave it broken. */
int pg_raw_collect(struct pg_connection *connection, const struct pg_raw_request *request,
                   struct error *err);
/* Both. */
int pg_raw_run(struct pg_connection *connection, const struct pg_raw_request *request,
               struct error *err);

/* The connection is ended without a word, as by a client that dies; only closing is left. */
void pg_raw_cut(struct pg_connection *connection);

enum pg_raw_transaction { PG_RAW_IDLE, PG_RAW_OPEN, PG_RAW_FAILED };
enum pg_raw_transaction pg_raw_transaction(const struct pg_connection *connection);

#endif
