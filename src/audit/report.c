#include "audit/check.h"

static const char *const severities[AUDIT_SEVERITIES] = {
    [AUDIT_INFO] = "info", [AUDIT_WARNING] = "warning", [AUDIT_CRITICAL] = "critical"};

const char *audit_severity_name(enum audit_severity severity)
{
    return severities[severity];
}

int audit_severity_parse(const char *name, enum audit_severity *ret, struct error *err)
{
    for (size_t i = 0; i < AUDIT_SEVERITIES; i++)
        if (strcmp(severities[i], name) == 0) {
            *ret = (enum audit_severity)i;
            return 0;
        }
    int r = error_set(err, ERROR_USAGE, "there is no severity \"%.64s\"", name);
    error_hint(err, "Use one of: info, warning, critical.");
    return r;
}

void audit_report_init(struct audit_report *report, struct arena *arena)
{
    *report = (struct audit_report){.arena = arena};
}

static const char *copy(struct arena *arena, const char *text)
{
    return text ? arena_strdup(arena, text) : NULL;
}

static void grow(struct audit_report *report)
{
    size_t larger = report->capacity ? 2 * report->capacity : 32;
    struct audit_finding *findings = arena_zalloc(report->arena, larger * sizeof(*findings));
    if (report->count > 0)
        memcpy(findings, report->findings, report->count * sizeof(*findings));
    report->findings = findings;
    report->capacity = larger;
}

void audit_report_add(struct audit_report *report, const struct audit_finding *finding)
{
    if (report->count == AUDIT_MAX_FINDINGS) {
        report->dropped++;
        return;
    }
    if (report->count == report->capacity)
        grow(report);
    report->findings[report->count++] = (struct audit_finding){
        .severity = finding->severity,
        .check = finding->check,
        .code = finding->check->code,
        .database = copy(report->arena, finding->database),
        .object = copy(report->arena, finding->object),
        .message = copy(report->arena, finding->message),
        .remedy = copy(report->arena, finding->remedy),
        .subject = copy(report->arena, finding->subject),
        .cluster = copy(report->arena, finding->cluster),
        .tenant = copy(report->arena, finding->tenant),
        .service = copy(report->arena, finding->service),
    };
}

void audit_report_filter(struct audit_report *report,
                         bool (*keep)(void *context, const struct audit_finding *finding),
                         void *context)
{
    size_t kept = 0;
    for (size_t i = 0; i < report->count; i++)
        if (keep(context, &report->findings[i]))
            report->findings[kept++] = report->findings[i];
    report->count = kept;
}

static int compare_texts(const char *a, const char *b)
{
    return strcmp(a ? a : "", b ? b : "");
}

static int compare_findings(const void *left, const void *right)
{
    const struct audit_finding *a = left, *b = right;
    if (a->severity != b->severity)
        return a->severity < b->severity ? 1 : -1;
    int r = strcmp(a->code, b->code);
    if (r == 0)
        r = compare_texts(a->cluster, b->cluster);
    if (r == 0)
        r = compare_texts(a->database, b->database);
    if (r == 0)
        r = compare_texts(a->object, b->object);
    return r ? r : compare_texts(a->message, b->message);
}

void audit_report_sort(struct audit_report *report)
{
    if (report->count > 0)
        qsort(report->findings, report->count, sizeof(*report->findings), compare_findings);
}

size_t audit_report_number(const struct audit_report *report, enum audit_severity severity)
{
    size_t number = 0;
    for (size_t i = 0; i < report->count; i++)
        number += report->findings[i].severity == severity;
    return number;
}

void audit_report_failure(struct audit_report *report, const char *database, const char *object,
                          const struct error *error)
{
    const struct audit_finding finding = {
        .severity = AUDIT_CRITICAL,
        .check = audit_check_find("not-audited"),
        .database = database,
        .object = object,
        .message = arena_printf(report->arena, "could not be looked at: %s", error->message),
        .subject = database,
        .remedy = error->hint[0] ? error->hint : "mend that, then audit again",
    };
    audit_report_add(report, &finding);
}
