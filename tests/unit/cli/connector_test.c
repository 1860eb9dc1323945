#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "cli/connector.h"

static void test_server_error(void **state reeve_unused)
{
    struct error err;
    assert_int_equal(
        connector_error_from_text("connection to server on socket \"/x/.s.PGSQL.5432\" failed: "
                                  "FATAL:  28P01: password authentication failed for user \"t_1\"\n"
                                  "LOCATION:  auth_failed, auth.c:326\n",
                                  &err),
        -ERROR_AUTH);
    assert_string_equal(err.sqlstate, "28P01");
    assert_string_equal(err.message, "password authentication failed for user \"t_1\"");
    assert_string_equal(err.detail, "");
}

static void test_other_language_detail_and_hint(void **state reeve_unused)
{
    struct error err;
    assert_int_equal(connector_error_from_text("Verbindung fehlgeschlagen: FATAL:  53300: zu viele "
                                               "Verbindungen\nDETAIL:  100 sind offen.\n"
                                               "HINT:  Warten.\nLOCATION:  x\n",
                                               &err),
                     -ERROR_LIMIT);
    assert_string_equal(err.sqlstate, "53300");
    assert_string_equal(err.message, "zu viele Verbindungen");
    assert_string_equal(err.detail, "100 sind offen.");
    assert_string_equal(err.hint, "Warten.");
}

static void test_no_server(void **state reeve_unused)
{
    struct error err;
    assert_int_equal(connector_error_from_text("connection to server at \"h\" (1.2.3.4), port 1 "
                                               "failed: Connection refused\n\tIs it running?\n",
                                               &err),
                     -ERROR_CONNECTION);
    assert_string_equal(err.sqlstate, "08006");
    assert_string_equal(err.message, "connection to server at \"h\" (1.2.3.4), port 1 failed: "
                                     "Connection refused");
}

static void test_database_missing(void **state reeve_unused)
{
    struct error err;
    assert_int_equal(
        connector_error_from_text("FATAL:  3D000: database \"x:  00000\" does not exist\n", &err),
        -ERROR_NOT_FOUND);
    assert_string_equal(err.sqlstate, "3D000");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_server_error),
        cmocka_unit_test(test_other_language_detail_and_hint),
        cmocka_unit_test(test_no_server),
        cmocka_unit_test(test_database_missing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
