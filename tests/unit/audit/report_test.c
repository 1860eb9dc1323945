/* Findings kept, sorted, filtered and bounded; the table of checks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "audit/audit.h"

static struct arena arena;

static const struct audit_check *check(const char *code)
{
    for (size_t i = 0; audit_check_at(i); i++)
        if (strcmp(audit_check_code(audit_check_at(i)), code) == 0)
            return audit_check_at(i);
    fail_msg("no check %s", code);
    return NULL;
}

static void add(struct audit_report *report, const char *code, enum audit_severity severity,
                const char *object)
{
    const struct audit_finding finding = {
        .check = check(code), .severity = severity, .object = object, .message = "m"};
    audit_report_add(report, &finding);
}

static void test_the_table(void **state)
{
    (void)state;
    for (size_t i = 0; audit_check_at(i); i++) {
        const struct audit_check *one = audit_check_at(i);
        const char *code = audit_check_code(one);
        assert_int_equal(strspn(code, "abcdefghijklmnopqrstuvwxyz-"), strlen(code));
        assert_true(strlen(audit_check_title(one)) > 0);
        for (size_t other = 0; other < i; other++)
            assert_string_not_equal(code, audit_check_code(audit_check_at(other)));
    }
}

static void test_what_is_looked_at_twice(void **state)
{
    (void)state;
    assert_true(audit_check_compares(check("orphan-role")));
    assert_true(audit_check_compares(check("schema-missing")));
    assert_true(audit_check_compares(check("not-audited")));
    assert_false(audit_check_compares(check("policy-missing")));
}

static void test_texts_are_copied(void **state)
{
    (void)state;
    struct audit_report report;
    audit_report_init(&report, &arena);
    char object[] = "app.orders";
    add(&report, "rls-disabled", AUDIT_CRITICAL, object);
    object[0] = 'x';
    assert_string_equal(report.findings[0].object, "app.orders");
    assert_string_equal(report.findings[0].code, "rls-disabled");
    assert_null(report.findings[0].tenant);
}

static void test_the_worst_first(void **state)
{
    (void)state;
    struct audit_report report;
    audit_report_init(&report, &arena);
    audit_report_sort(&report);
    add(&report, "index-not-led", AUDIT_INFO, "a");
    add(&report, "rls-disabled", AUDIT_CRITICAL, "b");
    add(&report, "policy-missing", AUDIT_WARNING, "c");
    add(&report, "rls-disabled", AUDIT_CRITICAL, "a");
    audit_report_sort(&report);
    static const char *const objects[] = {"a", "b", "c", "a"};
    for (size_t i = 0; i < array_size(objects); i++)
        assert_string_equal(report.findings[i].object, objects[i]);
    assert_int_equal(report.findings[3].severity, AUDIT_INFO);
    assert_int_equal(audit_report_number(&report, AUDIT_CRITICAL), 2);
}

static bool is_not(void *context, const struct audit_finding *finding)
{
    return strcmp(finding->object, context) != 0;
}

static void test_filter(void **state)
{
    (void)state;
    struct audit_report report;
    audit_report_init(&report, &arena);
    add(&report, "rls-disabled", AUDIT_CRITICAL, "a");
    add(&report, "rls-disabled", AUDIT_CRITICAL, "b");
    add(&report, "rls-disabled", AUDIT_CRITICAL, "a");
    char out[] = "a";
    audit_report_filter(&report, is_not, out);
    assert_int_equal(report.count, 1);
    assert_string_equal(report.findings[0].object, "b");
}

static void test_bound(void **state)
{
    (void)state;
    struct audit_report report;
    audit_report_init(&report, &arena);
    for (int i = 0; i < AUDIT_MAX_FINDINGS + 3; i++)
        add(&report, "orphan-role", AUDIT_WARNING, "r");
    assert_int_equal(report.count, AUDIT_MAX_FINDINGS);
    assert_int_equal(report.dropped, 3);
}

static void test_severities(void **state)
{
    (void)state;
    enum audit_severity severity = AUDIT_INFO;
    struct error err;
    assert_int_equal(audit_severity_parse("critical", &severity, &err), 0);
    assert_int_equal(severity, AUDIT_CRITICAL);
    assert_int_equal(audit_severity_parse("CRITICAL", &severity, &err), -ERROR_USAGE);
    assert_string_equal(err.message, "there is no severity \"CRITICAL\"");
    assert_int_equal(severity, AUDIT_CRITICAL);
}

static void test_a_failure_is_a_finding(void **state)
{
    (void)state;
    struct audit_report report;
    struct error err;
    audit_report_init(&report, &arena);
    error_set(&err, ERROR_CONNECTION, "cannot connect");
    audit_report_failure(&report, "svc_orders", "check x", &err);
    assert_int_equal(report.findings[0].severity, AUDIT_CRITICAL);
    assert_string_equal(report.findings[0].code, "not-audited");
    assert_string_equal(report.findings[0].message, "could not be looked at: cannot connect");
    assert_string_equal(report.findings[0].database, "svc_orders");
}

static int give_back(void **state)
{
    (void)state;
    arena_reset(&arena);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_table),
        cmocka_unit_test(test_what_is_looked_at_twice),
        cmocka_unit_test_teardown(test_texts_are_copied, give_back),
        cmocka_unit_test_teardown(test_the_worst_first, give_back),
        cmocka_unit_test_teardown(test_filter, give_back),
        cmocka_unit_test_teardown(test_bound, give_back),
        cmocka_unit_test(test_severities),
        cmocka_unit_test_teardown(test_a_failure_is_a_finding, give_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
