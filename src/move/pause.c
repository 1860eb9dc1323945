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

#include <unistd.h>

enum {
    SLACK_US = 600 * TIME_S, /* for undoing: also where somebody else has to find out first */
    GRACE_US = 30 * TIME_S,
    LATE_US = 30 * TIME_S,
    UNDO_TRIES = 5,
    UNDO_PAUSE_US = 300 * TIME_MS,
    UNDO_TRY_US = 30 * TIME_S,
    RELEASE_US = 5 * TIME_S, /* others wait behind it, and it is tried again */
};

/* For transactions to end by themselves. */
static int64_t grace_us(const struct moving *moving)
{
    return moving->pause_us / 2 < GRACE_US ? moving->pause_us / 2 : GRACE_US;
}

static int begin_to_wait(struct job_run *run, struct moving *moving, struct error *err)
{
    int r = catalog_begin(run->catalog, err);
    if (r < 0)
        return r;
    _cleanup_catalog_rollback_ struct catalog *transaction = run->catalog;
    struct catalog_placement now = {0};
    r = catalog_placement_get(transaction, run->arena, run->placement_id, &now, err);
    if (r == 0 && now.held_until_unix_us != 0 && moving->move.held_unix_us == 0)
        r = error_set(err, ERROR_BUSY, "somebody else lets the tenant wait");
    if (r < 0)
        return r;
    /* Longer than the pause may be, as going on must come before its end. */
    r = catalog_placement_hold(transaction, run->placement_id, moving->pause_us + SLACK_US,
                               moving->gentle ? -1 : grace_us(moving), err);
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
    const struct hold_wait wait = {.placement_ids = &run->placement_id,
                                   .count = 1,
                                   .until_us = time_monotonic_us() + grace_us(moving) * 3 / 2,
                                   .ignore_unreachable = moving->ignore_unreachable,
                                   .cancelled = run->context->cancelled};
    int r = hold_wait_drained(run->catalog, run->arena, &wait, &left, &left_count, err);
    *ret_all = r == 0 && left_count == 0;
    if (r != -ERROR_TIMEOUT || moving->gentle)
        return r;
    for (size_t i = 0; i < left_count; i++)
        if (!left[i].connected && !moving->ignore_unreachable)
            return r;
    error_clear(err); /* the fence ends what is left */
    return 0;
}

/* What a session prepared goes on without it. */
static int refuse_prepared(const struct moving *moving, struct pg_connection *admin,
                           struct error *err)
{
    struct place *from = moving->from;
    const char *const parameters[] = {from->isolated.database, from->isolated.role,
                                      from->isolated.ro_role};
    _cleanup_pg_connection_ struct pg_connection *own = NULL;
    _cleanup_pg_result_ struct pg_result *result = NULL;
    int r = admin ? 0 : server_connect(&from->server, NULL, &own, err);
    if (r == 0)
        r = pg_query(admin ? admin : own, sql_move_prepared_transactions, 3, parameters, &result,
                     err);
    if (r < 0 || pg_i64(result, 0, 0) == 0)
        return r;
    int code = moving->move.offline ? ERROR_STATE : ERROR_BUSY;
    error_set(err, code, "the tenant has %lld prepared transactions",
              (long long)pg_i64(result, 0, 0));
    error_hint(err, "COMMIT PREPARED or ROLLBACK PREPARED ends them");
    return -code;
}

int pause_look_at_prepared(const struct moving *moving, struct pg_connection *admin,
                           struct error *err)
{
    return refuse_prepared(moving, admin, err);
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

int pause_is_ours(struct job_run *run, const struct moving *moving, struct error *err)
{
    int r = moving_check_time(moving, err);
    return r < 0 ? r : check_still_ours(run, moving, err);
}

int pause_check(struct job_run *run, const struct moving *moving, struct error *err)
{
    int r = pause_is_ours(run, moving, err);
    if (r == 0)
        r = isolation_fence(&moving->from->server.isolation, &moving->from->site.isolation,
                            &moving->from->isolated, 0, err);
    if (r == 0)
        r = refuse_prepared(moving, NULL, err);
    return r < 0 ? r : moving_check_time(moving, err);
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

/* Both ends' statements end with the pause; 0: they need not. */
static void set_limit(struct moving *moving, int64_t until_us)
{
    moving->until_us = until_us;
    moving->from->server.until_us = until_us;
    if (moving->to)
        moving->to->server.until_us = until_us;
}

int pause_look_at_proxies(struct job_run *run, const struct moving *moving, struct error *err)
{
    struct catalog_proxy *proxies = NULL;
    size_t count = 0;
    int r = moving->ignore_unreachable
                ? 0
                : catalog_proxy_list(run->catalog, run->arena, &proxies, &count, err);
    for (size_t i = 0; r == 0 && i < count; i++)
        if (!proxies[i].connected)
            r = error_set(err, ERROR_BUSY,
                          "the server %s is gone, or cut off from the control database",
                          proxies[i].name);
    if (r == -ERROR_BUSY)
        error_hint(err, "with --ignore-unreachable it is not waited for");
    return r;
}

int pause_begin(struct job_run *run, struct moving *moving, struct pg_connection *admin,
                struct error *err)
{
    bool all = false;
    set_limit(moving, time_monotonic_us() + moving->pause_us);
    int r = begin_to_wait(run, moving, err);
    if (r < 0)
        return r;
    failpoint("move.held");
    moving->move.held_unix_us = 1; /* some time: pause_undo has something to undo */
    job_tell(run, "the tenant waits; for its transactions to end");
    r = wait_for_proxies(run, moving, &all, err);
    if (r == 0)
        r = close_place(run, moving, all, err);
    failpoint("move.fenced");
    return r < 0 ? r : refuse_prepared(moving, admin, err);
}

/* Of a tenant that is suspended, logins stay closed; the fence goes in any case. */
static int open_place(struct job_run *run, struct place *place, struct error *err)
{
    struct catalog_tenant tenant;
    int r =
        isolation_unfence(&place->server.isolation, &place->site.isolation, &place->isolated, err);
    if (r == 0) /* as it is behind that */
        r = catalog_tenant_get(run->catalog, run->arena, run->tenant_id, &tenant, err);
    if (r == 0 && tenant.status != CATALOG_TENANT_ACTIVE)
        r = isolation_set_login(&place->server.isolation, &place->isolated, false, err);
    return r;
}

static int end_wait(struct job_run *run, const struct moving *moving, struct error *err)
{
    int r = catalog_begin(run->catalog, err);
    if (r < 0)
        return r;
    _cleanup_catalog_rollback_ struct catalog *transaction = run->catalog;
    r = catalog_placement_release(transaction, run->placement_id, err);
    if (r == 0)
        r = catalog_move_released(transaction, moving->move.id, err);
    return r < 0 ? r : catalog_commit(transaction, err);
}

static int go_on(struct job_run *run, struct moving *moving, struct error *err)
{
    int r = open_place(run, moving->from, err);
    if (r == 0)
        r = end_wait(run, moving, err);
    if (r == 0)
        moving->move.held_unix_us = 0;
    return r;
}

/* A tenant waits: also whoever was told to stop does this, and tries it more than once. */
int pause_undo(struct job_run *run, struct moving *moving, struct error *err)
{
    const struct job_context *context = run->context;
    struct job_context calm = *context;
    set_limit(moving, 0);
    if (moving->move.held_unix_us == 0)
        return 0;
    calm.cancelled = NULL;
    moving->from->server.context = &calm;
    int r = -ERROR_BUSY;
    for (int i = 0; r < 0 && i < UNDO_TRIES; i++) {
        if (i > 0)
            usleep((useconds_t)UNDO_PAUSE_US);
        error_clear(err);
        moving->from->server.until_us = time_monotonic_us() + UNDO_TRY_US;
        r = go_on(run, moving, err);
        if (pg_is_broken(catalog_connection(run->catalog)))
            break;
    }
    moving->from->server.until_us = 0;
    moving->from->server.context = context;
    return r;
}

static int close_other(struct job_run *run, struct moving *moving, int64_t try_us)
{
    struct place *to = moving->to;
    struct error open = {0};
    const struct job_context *context = run->context;
    struct job_context calm = *context;
    calm.cancelled = NULL;
    to->server.context = &calm;
    to->server.until_us = time_monotonic_us() + try_us;
    int r = isolation_fence(&to->server.isolation, &to->site.isolation, &to->isolated, 0, &open);
    if (r < 0)
        log_write_error(LOG_WARNING, &open, "a place that the tenant is not at stays open");
    to->server.until_us = 0;
    to->server.context = context;
    return r;
}

int pause_close_other(struct job_run *run, struct moving *moving)
{
    return close_other(run, moving, UNDO_TRY_US);
}

int pause_release(struct job_run *run, struct error *err)
{
    struct moving *moving;
    int r = moving_reload(run, &moving, err);
    if (r < 0 || catalog_move_is_over(moving->move.phase) || moving->move.held_unix_us == 0)
        return r;
    set_limit(moving, time_monotonic_us() + RELEASE_US);
    r = go_on(run, moving, err);
    set_limit(moving, 0);
    if (r == 0 && moving->move.flipped && !moving->move.abandoned)
        (void)close_other(run, moving, RELEASE_US); /* whoever goes on does it again */
    return r;
}

void pause_end(struct moving *moving)
{
    set_limit(moving, 0);
}

int pause_settle(struct job_run *run, struct moving *moving, struct error *err)
{
    struct place *to = moving->to;
    int r = moving->move.held_unix_us != 0 ? pause_undo(run, moving, err)
                                           : open_place(run, moving->from, err);
    if (r == 0 && moving->move.flipped && !moving->move.abandoned)
        r = isolation_fence(&to->server.isolation, &to->site.isolation, &to->isolated, 0, err);
    return r;
}
