/*
 * attack.h - the attack suite: two throwaway tenants, one of them hostile, on the live system.
 *
 * For every service, isolation, cluster and enforcement in use, two tenants are made, both connect
 * through the proxy's endpoint as any client does, and the attacker sends what a hostile tenant
 * would. After each attack the suite looks round: what can the attacker read, who is it, is the
 * victim unharmed? Then both tenants are removed, whatever happened.
 *
 * What would do damage if it got through is sent in a transaction that is rolled back, touches the
 * throwaway tenants' rows alone, or is looked up instead of tried.
 */
#ifndef ATTACK_ATTACK_H
#define ATTACK_ATTACK_H

#include "base/arena.h"
#include "base/error.h"
#include "job/job.h"

enum attack_verdict {
    ATTACK_PASS,     /* it held */
    ATTACK_FINDING,  /* the attacker gained something, or it could not be seen that it did not */
    ATTACK_RESIDUAL, /* stock PostgreSQL does not let it be closed; what was seen is said */
    ATTACK_SKIPPED,  /* not tried; the reason is said */
    ATTACK_VERDICTS,
};
const char *attack_verdict_name(enum attack_verdict verdict); /* "PASS" */

struct attack_options {
    const struct job_context *job;
    const char *host; /* where clients connect: a name, an address or a socket's folder */
    int port;
    const char *sslmode; /* NULL: libpq's default */
    const char *service; /* NULL: every service */
    /* These isolations, of services that allow them; none: those that placements are in. */
    const char *const *isolations;
    size_t isolation_count;
    /* Called before each step; NULL: nobody wants to know. number 0: no count is known. */
    void (*progress)(void *owner, size_t number, size_t count, const char *text);
    void *progress_owner;
};

struct attack_result {
    const char *id; /* "context.set_config": stable */
    int threat;     /* the number in docs/attack.md */
    const char *title;
    enum attack_verdict verdict;
    const char *tried; /* what was sent */
    const char *back;  /* what came back */
    const char *why;   /* of the verdict, where it does not speak for itself; or NULL */
};

/* One service in one isolation and enforcement on one cluster, in one shared database. */
struct attack_target {
    int64_t service_id, cluster_id;
    const char *service, *isolation, *cluster;
    const char *database;          /* the shared one; NULL: of its own, or the default one */
    const char *enforcement;       /* "guard" or "login": how the server knows a tenant */
    int64_t placements;            /* that are in it now */
    const char *attacker, *victim; /* slugs */
    bool shares_sessions; /* the victim was seen to get server sessions that the attacker had */
    const char *filled, *unfilled; /* tables that got a secret row, and those that did not */
    struct attack_result *results;
    size_t count;
};

struct attack_cluster {
    int64_t id;
    const char *name;
    const char *version; /* of the server */
};

struct attack_report {
    struct arena arena; /* all texts */
    int64_t started_unix_us, ended_unix_us;
    const char *endpoint;
    struct attack_cluster *clusters;
    size_t cluster_count;
    struct attack_target *targets;
    size_t target_count;
    size_t counts[ATTACK_VERDICTS];
    const char *not_removed; /* why the throwaway tenants are still there; NULL: they are gone */
};

/*
 * Runs the suite. First removes what a run that was killed has left. One run at a time: ERROR_BUSY.
 * ERROR_NOT_FOUND when there is nothing to attack; what provisioning and connecting report;
 * ERROR_CANCELLED. Writes audit events at its start and end. Findings are no failure. The caller
 * frees *ret.
 */
int attack_run(const struct attack_options *options, struct attack_report *ret, struct error *err);
void attack_report_free(struct attack_report *report);
#define _cleanup_attack_report_ _cleanup_(attack_report_free)

#endif
