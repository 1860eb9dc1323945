/*
 * flip.c - the moment at which a tenant goes on at its other place, and what must hold for it.
 */
#include "move/flip.h"

#include "base/failpoint.h"
#include "base/log.h"
#include "catalog/tenant.h"
#include "migrate/ledger.h"

/* ---- the same version at both ends ---- */

static int read_version(struct job_run *run, struct moving *moving, struct place *place,
                        const char **ret, struct error *err)
{
    struct ledger_plan plan;
    _cleanup_pg_connection_ struct pg_connection *data = NULL;
    int r = server_connect(&place->server, place->isolated.database, &data, err);
    if (r == 0)
        r = ledger_read(data, place->isolated.schema, &moving->making.set, run->arena, &plan, err);
    if (r == 0)
        *ret = plan.from;
    return r;
}

/* What a migration changed, the stream has not told. */
static int check_stream_version(const struct moving *moving, const char *here, struct error *err)
{
    const char *version = moving->move.version;
    if (!*version || strcmp(version, here) == 0)
        return 0;
    error_set(err, ERROR_MIGRATION,
              "the service is at version %s, and the change stream began at %s", here, version);
    if (moving->move.flipped)
        error_hint(err,
                   "`reeve move revert --offline` copies the data back while the tenant waits");
    return -ERROR_MIGRATION;
}

int flip_check_stream(struct job_run *run, struct moving *moving, struct error *err)
{
    const char *here = "";
    int r = read_version(run, moving, moving->from, &here, err);
    if (r ==
        -ERROR_MIGRATION) /* this program's folder is another: that says nothing of the stream */
        return err ? error_set(err, ERROR_INVALID, "%s", err->message) : -ERROR_INVALID;
    return r < 0 ? r : check_stream_version(moving, here, err);
}

int flip_check_versions(struct job_run *run, struct moving *moving, struct error *err)
{
    const char *here = "", *there = "";
    int r = read_version(run, moving, moving->from, &here, err);
    if (r == 0)
        r = read_version(run, moving, moving->to, &there, err);
    if (r < 0)
        return r;
    if (strcmp(here, there) == 0)
        return 0;
    error_set(err, ERROR_STATE, "the places are at different versions, %s and %s", here, there);
    error_hint(err, "`reeve migrate %s` brings both to the newest",
               moving->from->placement.service);
    return -ERROR_STATE;
}

int flip_set_version(struct job_run *run, struct moving *moving, struct error *err)
{
    const char *here = "";
    int r = read_version(run, moving, moving->from, &here, err);
    if (r == 0)
        r = catalog_move_set_version(run->catalog, moving->move.id, here, err);
    if (r == 0)
        moving->move.version = here;
    return r;
}

/* ---- migrations stay away ---- */

bool flip_is_shared(struct job_run *run, const struct place *place)
{
    struct isolation_target target;
    isolation_target(run->arena, &place->site.isolation, &place->isolated, &target);
    return site_is_base(run->arena, &place->site, &target);
}

/* A migration of tables that tenants share knows nothing of this one, and is kept away by the
 * site's lock; one of a place of its own by the placement's. The locks end with the job's session.
 */
int flip_keep_migrations_away(struct job_run *run, struct moving *moving, bool waits,
                              struct error *err)
{
    const struct place *places[] = {moving->from, moving->to};
    if (places[0]->site.cluster.id > places[1]->site.cluster.id) {
        places[0] = moving->to;
        places[1] = moving->from;
    }
    int r = 0;
    for (size_t i = 0; r == 0 && i < array_size(places); i++)
        if (flip_is_shared(run, places[i]))
            r = waits ? site_lock(run->context, run->catalog, &places[i]->site, err)
                      : site_try_lock(run->context, run->catalog, &places[i]->site, err);
    return r < 0 ? r : flip_check_versions(run, moving, err);
}

void flip_let_migrations(struct job_run *run, const struct moving *moving)
{
    const struct place *places[] = {moving->from, moving->to};
    for (size_t i = 0; i < array_size(places); i++)
        if (flip_is_shared(run, places[i]))
            site_unlock(run->catalog, &places[i]->site);
}

/* ---- the flip ---- */

static int commit_flip(struct job_run *run, const struct moving *moving, const char *action,
                       enum catalog_move_phase phase, struct error *err)
{
    const struct catalog_move *move = &moving->move;
    const char *detail = arena_printf(run->arena, "{\"from\":\"%s\",\"to\":\"%s\",\"rows\":%lld}",
                                      moving->from->placement.isolation,
                                      moving->to->placement.isolation, (long long)move->rows_done);
    int r = catalog_begin(run->catalog, err);
    if (r < 0)
        return r;
    _cleanup_catalog_rollback_ struct catalog *transaction = run->catalog;
    r = catalog_move_flip(transaction, move->id, err);
    if (r == 0)
        r = catalog_placement_release(transaction, run->placement_id, err);
    if (r == 0)
        r = catalog_move_released(transaction, move->id, err);
    if (r == 0)
        r = catalog_move_set_phase(transaction, move->id, phase, NULL, err);
    if (r == 0)
        r = place_audit(run->context, transaction, action, &moving->from->placement, detail, err);
    failpoint("move.flipping");
    return r < 0 ? r : catalog_commit(transaction, err);
}

static int check_tenant(struct job_run *run, bool *ret_active, struct error *err)
{
    struct catalog_tenant tenant;
    int r = catalog_tenant_get(run->catalog, run->arena, run->tenant_id, &tenant, err);
    if (r == 0)
        *ret_active = tenant.status == CATALOG_TENANT_ACTIVE;
    return r;
}

/* The new place is opened last: until then only what the catalog says leads to the old one. */
static int open_and_flip(struct job_run *run, struct moving *moving, const char *action,
                         enum catalog_move_phase phase, struct error *err)
{
    struct place *to = moving->to;
    bool active = false;
    int r = check_tenant(run, &active, err);
    if (r == 0 && !active)
        r = error_set(err, ERROR_STATE, "tenant \"%s\" is not active", to->placement.tenant);
    if (r < 0)
        return r;
    r = isolation_unfence(&to->server.isolation, &to->site.isolation, &to->isolated, err);
    if (r == 0)
        r = commit_flip(run, moving, action, phase, err);
    failpoint("move.flipped");
    moving->in_doubt = r < 0 && pg_is_broken(catalog_connection(run->catalog));
    if (r < 0 && !moving->in_doubt && pause_close_other(run, moving) < 0)
        moving->in_doubt = true; /* whoever goes on closes it first */
    return r;
}

/* The tenant has moved: a failure is told, and the audit tells it again. */
void flip_disallow(struct job_run *run, struct moving *moving)
{
    struct error err = {0};
    if (moving_disallow(run, moving, &err) < 0)
        log_write_error(LOG_WARNING, &err, "role %s may still set session_replication_role",
                        moving->from->site.isolation.owner_role);
}

/* Whoever was suspended meanwhile has closed the old place alone. */
static void close_suspended(struct job_run *run, struct moving *moving)
{
    struct error err = {0};
    bool active = true;
    int r = check_tenant(run, &active, &err);
    if (r == 0 && !active)
        r = isolation_set_login(&moving->to->server.isolation, &moving->to->isolated, false, &err);
    if (r < 0)
        log_write_error(LOG_WARNING, &err, "a suspended tenant's roles may still log in");
}

int flip_now(struct job_run *run, struct moving *moving, const char *action,
             enum catalog_move_phase phase, struct error *err)
{
    int r = moving_check_stop(run, moving, err);
    if (r == 0)
        r = open_and_flip(run, moving, action, phase, err);
    if (r == 0)
        close_suspended(run, moving);
    return r;
}
