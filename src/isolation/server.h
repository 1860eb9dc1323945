/*
 * server.h - what every mode does to a server: connections, locks, databases, roles. Private to
 * this room. All functions look before they make or drop.
 */
#ifndef ISOLATION_SERVER_H
#define ISOLATION_SERVER_H

#include "isolation/mode.h"

int isolation_server_connect(const struct isolation_server *server, const char *database,
                             struct pg_connection **ret, struct error *err);
/* Waits for a lock that lasts as long as the session, or the transaction. It outlives a killed
 * Reeve for as long as the server still works on its last statement, which is the point. */
int isolation_server_lock_session(struct pg_connection *connection, const char *name,
                                  struct error *err);
int isolation_server_lock_transaction(struct pg_connection *connection, const char *name,
                                      struct error *err);
/* True or false as the query's only value says. */
int isolation_server_ask(struct pg_connection *connection, const char *sql, int count,
                         const char *const *parameters, bool *ret, struct error *err);
/* Runs the statements in column `ddl` of the query's rows; 'report' lines are the caller's. */
int isolation_server_run_rows(struct pg_connection *connection, const char *sql, int count,
                              const char *const *parameters, struct error *err);
/* A formatted statement, or several. */
int isolation_server_run(struct pg_connection *connection, struct error *err, const char *format,
                         ...) reeve_printf(3, 4);

int isolation_server_database_exists(struct pg_connection *maintenance, const char *database,
                                     bool *ret, struct error *err);
/* Made closed: nobody may connect before PUBLIC's rights are gone. template NULL: template0. */
int isolation_server_create_database(struct pg_connection *maintenance, struct arena *arena,
                                     const char *database, const char *owner,
                                     const char *template_database, struct error *err);
/* Also while somebody is connected to it. */
int isolation_server_drop_database(struct pg_connection *maintenance, struct arena *arena,
                                   const char *database, struct error *err);

/* verifier NULL with login: the role must be there (ERROR_STATE). */
int isolation_server_ensure_role(struct pg_connection *connection, struct arena *arena,
                                 const char *role, bool login, const char *verifier,
                                 struct error *err);
int isolation_server_drop_role(struct pg_connection *connection, struct arena *arena,
                               const char *role, struct error *err);
/* The member inherits; it cannot SET ROLE where the server can tell the two apart. */
int isolation_server_grant_role(struct pg_connection *connection, struct arena *arena,
                                const char *role, const char *member, struct error *err);

/* search_path and the rest of what a placement's roles find set when they log in. */
int isolation_server_set_defaults(struct pg_connection *connection, struct arena *arena,
                                  const struct isolation_placement *placement, struct error *err);
/* The rows that tell reeve.tenant_id() who is logged in; in the placement's database. */
int isolation_server_map_roles(struct pg_connection *data,
                               const struct isolation_placement *placement, struct error *err);

#endif
