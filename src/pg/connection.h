/*
 * connection.h - libpq, wrapped once: connect, query, transactions, notifications.
 *
 * Straight-line, blocking code for control threads, jobs and the CLI; never for worker threads.
 * A connection belongs to one thread at a time. Nothing waits for ever: a login has a deadline, and
 * a statement has one too unless it was taken off (pg_set_statement_timeout), is ended by the flag
 * given to pg_set_cancel_flag, and a dead peer is found by TCP keep-alives.
 *
 * Errors of the server fill sqlstate, message, detail and hint of `err` with the server's own.
 * Codes: ERROR_CONNECTION  cannot connect, or the connection was lost (also 57P01 to 57P03, class
 * 08) ERROR_AUTH        the server refused the login (class 28) ERROR_NOT_FOUND   no such database
 * at login (3D000) ERROR_BUSY        in use, locked, deadlock, serialization (55006, 55P03, 40P01,
 * 40001) ERROR_TIMEOUT     a deadline passed: here, or the server's statement_timeout
 *   ERROR_CANCELLED   the cancel flag was set
 *   ERROR_SERVER      everything else that the server said; look at err->sqlstate
 * After a lost connection every call fails with ERROR_CONNECTION; pg_is_broken tells.
 * No password and no connection string ever stands in an error or in the log.
 */
#ifndef PG_CONNECTION_H
#define PG_CONNECTION_H

#include <stdatomic.h>

#include "base/error.h"
#include "pg/result.h"

struct pg_connection;

enum {
    PG_DEFAULT_CONNECT_TIMEOUT_S = 15,
    PG_DEFAULT_STATEMENT_TIMEOUT_S = 60,
    PG_NAME_SIZE = 64, /* an identifier with its NUL */
};

enum { PG_NO_TIMEOUT = -1 };

struct pg_options {
    const char *conninfo; /* libpq keywords or URI; NULL or "": libpq's defaults */
    const char *user;     /* these override what conninfo says; NULL: do not */
    const char *password;
    const char *database;
    const char *application_name; /* NULL: "reeve" */
    int64_t connect_timeout_us;   /* 0: PG_DEFAULT_CONNECT_TIMEOUT_S */
    /* Limit for each statement, set on the server too. 0: PG_DEFAULT_STATEMENT_TIMEOUT_S;
     * PG_NO_TIMEOUT: none. */
    int64_t statement_timeout_us;
    /* Only the login: no setting, no statement of ours is sent (a tenant's backend). Statements
     * have no deadline then. */
    bool bare;
    bool replication;             /* logical: pg/stream.h and pg_execute_script alone */
    const atomic_bool *cancelled; /* as pg_set_cancel_flag, during the login too; or NULL */
};

/* The caller closes *ret. */
int pg_connect(const struct pg_options *options, struct pg_connection **ret, struct error *err);
/* Accepts NULL; returns NULL. */
struct pg_connection *pg_close(struct pg_connection *connection);
DEFINE_CLEANUP(struct pg_connection *, pg_close);
#define _cleanup_pg_connection_ _cleanup_(cleanup_pg_close)

/* ---- statements: $1, $2, ... are text parameters; NULL is SQL's NULL ---- */

/* The caller frees *ret. A statement without rows gives a result with 0 rows. */
int pg_query(struct pg_connection *connection, const char *sql, int count,
             const char *const *parameters, struct pg_result **ret, struct error *err);
/* A statement whose rows are not wanted. ret_affected: rows it touched; may be NULL. */
int pg_execute(struct pg_connection *connection, const char *sql, int count,
               const char *const *parameters, int64_t *ret_affected, struct error *err);
/* Any number of statements in one text, without parameters. Outside a transaction they run in one
 * implicit transaction. COPY FROM STDIN and TO STDOUT are refused. */
int pg_execute_script(struct pg_connection *connection, const char *sql, struct error *err);
/* Rows as they arrive, for large results: `row` gets a result of one row (do not free); a non-zero
 * return ends the query and is returned. `row` must not use the connection. */
int pg_query_each(struct pg_connection *connection, const char *sql, int count,
                  const char *const *parameters,
                  int (*row)(const struct pg_result *result, void *argument, struct error *err),
                  void *argument, struct error *err);

/* ---- transactions ---- */

int pg_begin(struct pg_connection *connection, struct error *err);
/* ERROR_STATE when the transaction had failed and was therefore rolled back. */
int pg_commit(struct pg_connection *connection, struct error *err);
/* Nothing outside a transaction. If it cannot be done the connection is broken. Accepts NULL. */
void pg_rollback(struct pg_connection *connection);
bool pg_in_transaction(const struct pg_connection *connection);
/* _cleanup_pg_rollback_ struct pg_connection *transaction = connection; rolls back whatever is
 * still open when it leaves scope (nothing after pg_commit). */
static inline void cleanup_pg_rollback(struct pg_connection **connection)
{
    pg_rollback(*connection);
}
#define _cleanup_pg_rollback_ _cleanup_(cleanup_pg_rollback)

/* ---- deadlines ---- */

/* Limit for each statement from here on, here and on the server; PG_NO_TIMEOUT: none. Inside a
 * transaction that rolls back, the server's part is undone with it. */
int pg_set_statement_timeout(struct pg_connection *connection, int64_t timeout_us,
                             struct error *err);
/* Once *cancelled is true, the statement under way is cancelled on the server (within about 100 ms)
 * and it and later ones fail with ERROR_CANCELLED. NULL takes it off. */
void pg_set_cancel_flag(struct pg_connection *connection, const atomic_bool *cancelled);

/* ---- notifications ---- */

enum pg_wait { PG_WAIT_NOTIFIED, PG_WAIT_WOKEN, PG_WAIT_TIMEOUT };
/* After LISTEN: waits until a notification arrives (all that arrived are taken off), wake_fd is
 * readable (not read; -1: none) or the time is over. */
int pg_wait_notification(struct pg_connection *connection, int wake_fd, int64_t timeout_us,
                         enum pg_wait *ret, struct error *err);

/* ---- the session ---- */

bool pg_is_broken(const struct pg_connection *connection);
int pg_server_version(const struct pg_connection *connection); /* 150020 */
int pg_backend_pid(const struct pg_connection *connection);
const char *pg_database(const struct pg_connection *connection);
const char *pg_user(const struct pg_connection *connection);
/* A ParameterStatus ("server_encoding"); NULL when the server did not tell. */
const char *pg_parameter(const struct pg_connection *connection, const char *name);
/* The socket, still the connection's; and its OpenSSL SSL *, NULL without TLS. */
int pg_socket(const struct pg_connection *connection);
void *pg_ssl(const struct pg_connection *connection);
/* Asks the server to cancel what the connection runs; from any thread, while it stays open.
 * Blocks for a connect. */
int pg_cancel(struct pg_connection *connection, struct error *err);

/* What else the server said about the last statement that failed; "" and 0 where it said nothing.
 */
struct pg_failure {
    int position; /* of the error in the statement's text, in characters from 1 */
    char schema[PG_NAME_SIZE], table[PG_NAME_SIZE], column[PG_NAME_SIZE];
    char constraint[PG_NAME_SIZE];
    char context[512]; /* the call stack of PL/pgSQL; may hold statement text */
};
const struct pg_failure *pg_last_failure(const struct pg_connection *connection);

#endif
