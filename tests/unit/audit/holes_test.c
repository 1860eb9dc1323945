/* Which holes a server of a version has. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "audit/audit.h"

static struct arena arena;

static void look(int version, struct audit_report *ret)
{
    audit_report_init(ret, &arena);
    audit_holes(version, ret);
}

static const struct audit_finding *find(const struct audit_report *report, const char *cve)
{
    for (size_t i = 0; i < report->count; i++)
        if (strcmp(report->findings[i].object, cve) == 0)
            return &report->findings[i];
    return NULL;
}

static void test_first_releases(void **state)
{
    (void)state;
    static const struct {
        int version;
        size_t least;
    } firsts[] = {{150000, 15}, {160000, 12}, {170000, 10}, {180000, 7}};
    struct audit_report report;
    for (size_t i = 0; i < array_size(firsts); i++) {
        look(firsts[i].version, &report);
        assert_true(report.count >= firsts[i].least);
        for (size_t n = 0; n < report.count; n++) {
            assert_string_equal(report.findings[n].code, "server-hole");
            assert_non_null(report.findings[n].message);
        }
    }
}

static void test_the_release_that_closes_it(void **state)
{
    (void)state;
    static const struct {
        const char *cve;
        int last, fixed; /* version numbers */
        enum audit_severity severity;
    } cases[] = {
        {"CVE-2023-2455", 150002, 150003, AUDIT_CRITICAL},
        {"CVE-2023-39418", 150003, 150004, AUDIT_CRITICAL},
        {"CVE-2024-4317", 160002, 160003, AUDIT_WARNING},
        {"CVE-2024-10976", 170000, 170001, AUDIT_CRITICAL},
        {"CVE-2024-10978", 160004, 160005, AUDIT_CRITICAL},
        {"CVE-2025-8713", 170005, 170006, AUDIT_WARNING},
        {"CVE-2026-2006", 180001, 180002, AUDIT_CRITICAL},
        {"CVE-2026-14666", 180005, 180006, AUDIT_WARNING},
    };
    struct audit_report report;
    for (size_t i = 0; i < array_size(cases); i++) {
        look(cases[i].last, &report);
        const struct audit_finding *finding = find(&report, cases[i].cve);
        assert_non_null(finding);
        assert_int_equal(finding->severity, cases[i].severity);
        char wanted[64];
        snprintf(wanted, sizeof(wanted), "update the server to %d.%d or newer",
                 cases[i].fixed / 10000, cases[i].fixed % 10000);
        assert_string_equal(finding->remedy, wanted);
        look(cases[i].fixed, &report);
        assert_null(find(&report, cases[i].cve));
    }
}

static void test_newest_and_unknown(void **state)
{
    (void)state;
    static const int versions[] = {150019, 160015, 170011, 180006, 150099, 190000, 140001};
    struct audit_report report;
    for (size_t i = 0; i < array_size(versions); i++) {
        look(versions[i], &report);
        assert_int_equal(report.count, 0);
    }
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
        cmocka_unit_test_teardown(test_first_releases, give_back),
        cmocka_unit_test_teardown(test_the_release_that_closes_it, give_back),
        cmocka_unit_test_teardown(test_newest_and_unknown, give_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
