/*
 * server.h - a PostgreSQL of the test's own, in a temporary folder, reached through a socket there.
 *
 * One a test program. Everything here fails the test at once when it does not work. The server ends
 * with the program, whatever becomes of that.
 */
#ifndef TESTS_SUPPORT_SERVER_H
#define TESTS_SUPPORT_SERVER_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "pg/connection.h"

/* initdb and the first start; superuser "postgres", no passwords. */
void test_server_start(void);
/* Ends it and removes its folder. */
void test_server_stop(void);

/* Ends it at once, as a crash would, and starts it again on the same data. */
void test_server_halt(void);
void test_server_resume(void);

/* "host=/tmp/..."; lives until test_server_stop. */
const char *test_server_conninfo(void);
/* The error, for logins that may fail. bare: as struct pg_options. */
int test_server_login(const char *role, const char *database, bool bare, struct pg_connection **ret,
                      struct error *err);

#endif
