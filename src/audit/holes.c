/*
 * holes.c - holes of PostgreSQL itself that tenants could use, and the releases that closed them.
 *
 * From PostgreSQL's security pages and release notes, for versions 15 and later. Listed is what a
 * role that may only run SQL can use to get at others' data: policies that do not hold, statistics
 * and memory that show values, and code run as the server. Not listed is what takes a role that
 * tenants never have (owner of a database, maker of operators), what is in an extension, what is in
 * client programs, and what only stops the server.
 *
 * A new one is a line here. A server that is newer than all of these is not said to be safe: the
 * table is as old as this program.
 */
#include "audit/check.h"

#include "base/failpoint.h"

enum { FIRST_MAJOR = 15, MAJORS = 4 };

struct hole {
    const char *cve;
    enum audit_severity severity;
    int fixed[MAJORS]; /* minor release of 15, 16, 17, 18; 0: never had it */
    const char *what;
};

/* clang-format off */
static const struct hole holes[] = {
    {"CVE-2023-2455", AUDIT_CRITICAL, {3, 0, 0, 0},
     "policies for another role hold where an inlined function's plan is used again"},
    {"CVE-2023-39418", AUDIT_CRITICAL, {4, 0, 0, 0},
     "MERGE does not check rows against UPDATE and SELECT policies"},
    {"CVE-2023-5868", AUDIT_WARNING, {5, 1, 0, 0},
     "aggregates with untyped arguments show the server's memory"},
    {"CVE-2023-5869", AUDIT_CRITICAL, {5, 1, 0, 0},
     "array subscripts overrun memory: code as the server's account"},
    {"CVE-2024-4317", AUDIT_WARNING, {7, 3, 0, 0},
     "pg_stats_ext shows values of tables to others than their owners"},
    {"CVE-2024-10976", AUDIT_CRITICAL, {9, 5, 1, 0},
     "policies for another role hold where a plan with a subquery is used again"},
    {"CVE-2024-10978", AUDIT_CRITICAL, {9, 5, 1, 0},
     "a rollback or a function's SET puts the session back to the wrong role"},
    {"CVE-2025-8713", AUDIT_WARNING, {14, 10, 6, 0},
     "planner statistics of views, partitions and children show values that policies hide"},
    {"CVE-2026-2003", AUDIT_WARNING, {16, 12, 8, 2},
     "oidvector shows a few bytes of the server's memory"},
    {"CVE-2026-2006", AUDIT_CRITICAL, {16, 12, 8, 2},
     "text functions overrun memory on broken characters: code as the server's account"},
    {"CVE-2026-6473", AUDIT_CRITICAL, {18, 14, 10, 4},
     "sizes that wrap round overrun memory: code as the server's account"},
    {"CVE-2026-14664", AUDIT_CRITICAL, {19, 15, 11, 6},
     "regular expressions overrun memory: code as the server's account"},
    {"CVE-2026-14666", AUDIT_WARNING, {19, 15, 11, 6},
     "cached plans keep policies after a role's memberships have changed"},
    {"CVE-2026-14669", AUDIT_CRITICAL, {19, 15, 11, 6},
     "to_char overruns memory on long time zone names: code as the server's account"},
    {"CVE-2026-16239", AUDIT_CRITICAL, {19, 15, 11, 6},
     "cursors that are made anew confuse types: code as the server's account"},
};
/* clang-format on */

static void add(struct audit_report *report, const struct hole *hole, int major, int fixed)
{
    const struct audit_finding finding = {
        .severity = hole->severity,
        .check = audit_check_find("server-hole"),
        .object = hole->cve,
        .message = hole->what,
        .remedy = arena_printf(report->arena, "update the server to %d.%d or newer", major, fixed),
    };
    audit_report_add(report, &finding);
}

void audit_holes(int server_version, struct audit_report *report)
{
    int major = server_version / 10000, minor = server_version % 10000;
    if (failpoint_fails("audit.server"))
        minor = 0;
    if (major < FIRST_MAJOR || major >= FIRST_MAJOR + MAJORS)
        return;
    for (size_t i = 0; i < array_size(holes); i++) {
        int fixed = holes[i].fixed[major - FIRST_MAJOR];
        if (minor < fixed)
            add(report, &holes[i], major, fixed);
    }
}
