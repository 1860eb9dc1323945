/*
 * fixture.h - a PostgreSQL of the test's own, and services and placements in it, as a job would
 * make them. Everything here fails the test at once when it does not work.
 */
#ifndef TESTS_ISOLATION_FIXTURE_H
#define TESTS_ISOLATION_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "isolation/isolation.h"
#include "pg/connection.h"

/* For cmocka's group: starts and stops the server; `state` is not used. */
int fixture_start(void **state);
int fixture_stop(void **state);

extern struct arena fixture_arena;
extern const struct isolation_server fixture_server;

/* Logs in without a password, as anybody. */
struct pg_connection *fixture_connect(const char *role, const char *database);
/* The error of a login that must be refused. */
void fixture_connect_fails(const char *role, const char *database, const char *sqlstate);

/* One statement or several. */
void run(struct pg_connection *connection, const char *sql);
/* Must fail with that SQLSTATE. */
void fails(struct pg_connection *connection, const char *sqlstate, const char *sql);
/* The first column of all rows, joined with ','; "" for none. NULL reads as "null". */
const char *values(struct pg_connection *connection, const char *sql);
#define assert_values(connection, sql, expected)                                                   \
    assert_string_equal(values(connection, sql), expected)

/* Migrations of a service, ended by NULL. */
struct test_service {
    struct isolation_service service;
    const char *const *migrations;
};

/* modes: "row schema database". Prepares the service. */
void make_service(struct test_service *ret, const char *name, const char *modes,
                  const char *const *migrations);
/* Provisions as a job does: base target, create, migrate, finish. */
void attach(const struct test_service *service, const char *mode, int64_t placement_id,
            int64_t tenant_id, struct isolation_placement *ret);
/* Brings a target up to date; returns the error that isolation_apply_migration gave. */
int migrate(const struct isolation_target *target, const char *const *migrations,
            struct isolation_report *report, struct error *err);
struct pg_connection *login(const struct isolation_placement *placement);
struct pg_connection *login_read_only(const struct isolation_placement *placement);
void drop(const struct test_service *service, const struct isolation_placement *placement);
/* The lines of isolation_inspect joined with '\n'. */
const char *inspect(const struct test_service *service,
                    const struct isolation_placement *placement);

#endif
