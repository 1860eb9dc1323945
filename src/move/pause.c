/*
 * pause.c - the time in which a tenant waits: its new transactions are held in every proxy, those
 * that run end, and the place where it is, is closed to whoever did not hear of that.
 */
#include "base/time.h"
#include "catalog/tenant.h"
#include "move/internal.h"
#include "provision/hold.h"

enum { SLACK_US = 30 * TIME_S, GRACE_US = 30 * TIME_S, LATE_US = 30 * TIME_S };

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

int pause_begin(struct job_run *run, struct moving *moving, struct error *err)
{
    bool all = false;
    moving->until_us = time_monotonic_us() + moving->pause_us;
    int r = begin_to_wait(run, moving, err);
    if (r < 0)
        return r;
    job_tell(run, "the tenant waits; for its transactions to end");
    r = wait_for_proxies(run, moving, &all, err);
    if (r == 0)
        r = isolation_fence(&moving->from->server.isolation, &moving->from->site.isolation,
                            &moving->from->isolated, all ? 0 : LATE_US, err);
    return r;
}

static int open_place(struct job_run *run, struct place *place, struct error *err)
{
    struct catalog_tenant tenant;
    int r = catalog_tenant_get(run->catalog, run->arena, run->tenant_id, &tenant, err);
    if (r < 0 || tenant.status != CATALOG_TENANT_ACTIVE)
        return r;
    return isolation_unfence(&place->server.isolation, &place->isolated, err);
}

int pause_undo(struct job_run *run, struct moving *moving, struct error *err)
{
    int r = open_place(run, moving->from, err);
    if (r == 0)
        r = catalog_placement_release(run->catalog, run->placement_id, err);
    if (r == 0 && moving->move.held_unix_us != 0)
        r = catalog_move_released(run->catalog, moving->move.id, err);
    return r;
}
