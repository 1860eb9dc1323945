/*
 * internal.h - what the files of this room share.
 */
#ifndef PG_INTERNAL_H
#define PG_INTERNAL_H

#include <libpq-fe.h>

#include "pg/connection.h"

struct pg_connection {
    PGconn *libpq;
    PGcancel *cancel;             /* made at login, so that pg_cancel needs no lock */
    const atomic_bool *cancelled; /* the caller's; may be NULL */
    int64_t statement_timeout_us; /* or PG_NO_TIMEOUT */
    bool broken;                  /* out of step or lost: only closing is left */
    struct pg_failure failure;
};

enum { PG_CANCEL_TICK_MS = 100, PG_GRACE_US = 5 * 1000000 };

bool pg_is_cancelled(const struct pg_connection *connection);
int pg_cancelled_error(struct error *err);

/*
 * Waits until the socket is ready for `events` (POLLIN, POLLOUT), at most until the deadline
 * (monotonic, PG_NO_TIMEOUT: none), looking at `cancelled` (may be NULL) every tick.
 */
enum pg_ready { PG_READY, PG_READY_TIMEOUT, PG_READY_CANCELLED };
enum pg_ready pg_wait_ready(int fd, short events, int64_t deadline_us,
                            const atomic_bool *cancelled);

/* There is something to read, which the socket does not tell of. */
bool pg_has_unread(const struct pg_connection *connection);
/* As above, until there is something to read from the server, or from wake_fd (-1: none): that is
 * PG_READY_TIMEOUT as well. */
enum pg_ready pg_wait_either(const struct pg_connection *connection, int wake_fd,
                             int64_t deadline_us);

/* How long a caller waits for a server. */
struct pg_patience {
    int64_t deadline_us;          /* PG_NO_TIMEOUT: none */
    const atomic_bool *cancelled; /* NULL: not to be cancelled, or cancelled already */
    bool at_once;                 /* given up when cancelled or late, without waiting for its end */
};
/* 0 when the socket is ready, or the caller has cancelled and an end is awaited; else the
 * connection is given up: ERROR_TIMEOUT, ERROR_CANCELLED. (statement.c) */
int pg_wait_for(struct pg_connection *connection, short events, struct pg_patience *patience,
                struct error *err);
/* Sends what libpq has to send. */
int pg_flush(struct pg_connection *connection, struct pg_patience *patience, struct error *err);
/* *ret is NULL at the statement's end. */
int pg_next_result(struct pg_connection *connection, struct pg_patience *patience, PGresult **ret,
                   struct error *err);
/* To the statement's end; the first error that the server tells on the way. ret_rows, untouched
 * unless all is well, may be NULL: of the last command. */
int pg_pass_over(struct pg_connection *connection, struct pg_patience *patience, int64_t *ret_rows,
                 struct error *err);
/* Reads what COPY TO STDOUT gives, to its end; `take` gets each row, and may be NULL. */
int pg_read_copy(struct pg_connection *connection, struct pg_patience *patience,
                 void (*take)(const void *owner, const char *row), const void *owner,
                 struct error *err);

/* Fills err and connection->failure from a result that is an error. */
int pg_result_error(struct pg_connection *connection, const PGresult *result, struct error *err);
/* The connection is lost or out of step: marks it. */
int pg_connection_lost(struct pg_connection *connection, struct error *err);
/* From what libpq says about a failed login, at PQERRORS_VERBOSE. */
int pg_login_error(const char *text, const char *where, struct error *err);

/* The statement of `sql`, with a deadline and cancellation unless `always` (COMMIT, ROLLBACK). */
enum pg_style { PG_BOUND, PG_SCRIPT };
struct pg_statement {
    const char *sql;
    int count;
    const char *const *parameters;
    enum pg_style style;
    bool always;
    bool each; /* one row at a time, to `row` */
    int (*row)(const struct pg_result *result, void *argument, struct error *err);
    void *argument;
};
/* ret may be NULL; else the last result. */
int pg_run(struct pg_connection *connection, const struct pg_statement *statement, PGresult **ret,
           struct error *err);

/* The statement that makes the connection a stream in both directions (START_REPLICATION). */
int pg_begin_stream(struct pg_connection *connection, const char *sql, struct error *err);

#endif
