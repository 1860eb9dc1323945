/*
 * pause.c - the time in which a tenant waits: its new transactions are held in every proxy, those
 * that run end, and the place where it is, is closed to whoever did not hear of that.
 */
#include "base/failpoint.h"
#include "base/log.h"
#include "base/time.h"
#include "catalog/tenant.h"
#include "move/internal.h"
#include "provision/hold.h"
#include "sql/statements.h"

enum {
    SLACK_US = 600 * TIME_S, /* for undoing: also where somebody else has to find out first */
    GRACE_US = 30 * TIME_S,
    LATE_US = 30 * TIME_S,
};

static int begin_to_wait(struct job_run *run, struct moving *moving, struct error *err)
{
    int r = catalog_begin(run->catalog, err);
    if (r < 0)
        return r;
    _cleanup_catalog_rollback_ struct catalog *transaction = run->catalog;
    /* Longer than the pause may be, as going on must come before its end. */
    r = catalog_placement_hold(transaction, run->placement_id, moving->pause_us + SLACK_US, err);
    if (r == 0)
        r = catalog_move_held(transaction, moving->move.id, err);
    return r < 0 ? r : catalog_commit(transaction, err);
}

static int64_t at_most(const struct moving *moving, int64_t us)
{
    int64_t left_us = moving->until_us - time_monotonic_us();
    return left_us < us ? (left_us > 1 ? left_us : 1) : us;
}

/* *ret_all: it is known of every proxy that nothing of the tenant runs there. */
static int wait_for_proxies(struct job_run *run, struct moving *moving, bool *ret_all,
                            struct error *err)
{
    struct catalog_proxy *left = NULL;
    size_t left_count = 0;
    int64_t grace_us = moving->pause_us / 4 < GRACE_US ? moving->pause_us / 4 : GRACE_US;
    const struct hold_wait wait = {.placement_ids = &run->placement_id,
                                   .count = 1,
                                   .until_us = time_monotonic_us() + grace_us,
                                   .ignore_unreachable = moving->ignore_unreachable,
                                   .cancelled = run->context->cancelled};
    int r = hold_wait_drained(run->catalog, run->arena, &wait, &left, &left_count, err);
    *ret_all = r == 0 && left_count == 0;
    if (r != -ERROR_TIMEOUT)
        return r;
    for (size_t i = 0; i < left_count; i++)
        if (!left[i].connected && !moving->ignore_unreachable)
            return r;
    error_clear(err); /* the fence ends what is left */
    return 0;
}

/* What a session prepared goes on without it. */
static int refuse_prepared(const struct moving *moving, struct error *err)
{
    struct place *from = moving->from;
    const char *const parameters[] = {from->isolated.database, from->isolated.role,
                                      from->isolated.ro_role};
    _cleanup_pg_connection_ struct pg_connection *admin = NULL;
    _cleanup_pg_result_ struct pg_result *result = NULL;
    int r = server_connect(&from->server, NULL, &admin, err);
    if (r == 0)
        r = pg_query(admin, sql_move_prepared_transactions, 3, parameters, &result, err);
    if (r == 0 && pg_i64(result, 0, 0) > 0)
        r = error_set(err, ERROR_STATE, "the tenant has %lld prepared transactions",
                      (long long)pg_i64(result, 0, 0));
    return r;
}

int pause_check(const struct moving *moving, struct error *err)
{
    int r = isolation_fence(&moving->from->server.isolation, &moving->from->site.isolation,
                            &moving->from->isolated, 0, err);
    if (r == 0)
        r = refuse_prepared(moving, err);
    return r < 0 ? r : moving_check_time(moving, err);
}

/* Whether the job is still ours, and the move where it was: while this process was away, somebody
 * else may have undone it all. */
static int check_still_ours(struct job_run *run, const struct moving *moving, struct error *err)
{
    struct catalog_move now;
    int r = catalog_move_get(run->catalog, run->arena, moving->move.id, &now, err);
    if (r == 0 && now.held_unix_us == 0)
        r = error_set(err, ERROR_CANCELLED, "somebody else has ended the move");
    return r;
}

static int close_place(struct job_run *run, struct moving *moving, bool all, struct error *err)
{
    struct place *from = moving->from;
    int r = isolation_fence(&from->server.isolation, &from->site.isolation, &from->isolated,
                            all ? 0 : at_most(moving, LATE_US), err);
    if (r == 0)
        r = check_still_ours(run, moving, err);
    if (r < 0) {
        struct error closed = {0};
        if (isolation_unfence(&from->server.isolation, &from->site.isolation, &from->isolated,
                              &closed) < 0)
            log_write_error(LOG_WARNING, &closed, "the tenant's place stays closed for now");
    }
    return r;
}

int pause_begin(struct job_run *run, struct moving *moving, struct error *err)
{
    bool all = false;
    moving->until_us = time_monotonic_us() + moving->pause_us;
    int r = begin_to_wait(run, moving, err);
    if (r < 0)
        return r;
    failpoint("move.held");
    job_tell(run, "the tenant waits; for its transactions to end");
    r = wait_for_proxies(run, moving, &all, err);
    if (r == 0)
        r = close_place(run, moving, all, err);
    failpoint("move.fenced");
    return r < 0 ? r : refuse_prepared(moving, err);
}

/* Of a tenant that is suspended, logins stay closed; the fence goes in any case. */
static int open_place(struct job_run *run, struct place *place, struct error *err)
{
    struct catalog_tenant tenant;
    int r = catalog_tenant_get(run->catalog, run->arena, run->tenant_id, &tenant, err);
    if (r == 0)
        r = isolation_unfence(&place->server.isolation, &place->site.isolation, &place->isolated,
                              err);
    if (r == 0 && tenant.status != CATALOG_TENANT_ACTIVE)
        r = isolation_set_login(&place->server.isolation, &place->isolated, false, err);
    return r;
}

int pause_undo(struct job_run *run, struct moving *moving, struct error *err)
{
    if (moving->move.held_unix_us == 0)
        return 0;
    int r = open_place(run, moving->from, err);
    if (r == 0)
        r = catalog_placement_release(run->catalog, run->placement_id, err);
    return r < 0 ? r : catalog_move_released(run->catalog, moving->move.id, err);
}
