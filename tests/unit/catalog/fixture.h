/*
 * fixture.h - a catalog for each test, in a database of its own on the test's server.
 */
#ifndef TESTS_CATALOG_FIXTURE_H
#define TESTS_CATALOG_FIXTURE_H

#include "support/server.h"

#include "catalog/catalog.h"

/* For cmocka's group: the server. */
int fixture_start(void **state);
int fixture_stop(void **state);
/* For each test: a new catalog, opened; and closed, with the arena. */
int fixture_open(void **state);
int fixture_close(void **state);

extern struct arena arena;
extern struct catalog *catalog;
/* Of the test's database; and of a database that is not made yet. */
const char *fixture_conninfo(void);
const char *fixture_new_conninfo(void);
/* Another session on the same catalog. The caller closes it. */
struct catalog *fixture_another(void);
/* SQL as somebody else would run it; its error fails the test. */
void fixture_run(const char *sql);
/* The first column of the first row. In the arena. */
const char *fixture_value(const char *sql);

/* What the last call said. */
extern struct error err;
/* Success. */
#define works(call)                                                                                \
    do {                                                                                           \
        err = (struct error){0};                                                                   \
        if ((call) != 0)                                                                           \
            fail_msg("%s: %s %s (%s)", #call, err.sqlstate, err.message, err.detail);              \
    } while (0)
/* That code, and that text in the message. */
#define refuses(expected, text, call)                                                              \
    do {                                                                                           \
        err = (struct error){0};                                                                   \
        int refused_ = (call);                                                                     \
        if (refused_ != -(int)(expected) || err.code != refused_ || !strstr(err.message, text))    \
            fail_msg("%s gave %d: %s (%s)", #call, refused_, err.message, err.detail);             \
    } while (0)

/* Rows that others need; names are made from the number. */
int64_t make_cluster(int number);
int64_t make_service(int number, int64_t cluster_id); /* allows row and schema */
int64_t make_tenant(const char *slug);
int64_t make_ready_placement(int64_t tenant_id, int64_t service_id, int64_t cluster_id);

#endif
