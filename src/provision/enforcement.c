#include "provision/enforcement.h"

#include "catalog/audit_event.h"
#include "catalog/service.h"
#include "migrate/apply.h"
#include "provision/base.h"
#include "provision/provision.h"

#define POOL_ROLE "reeve_pool"
#define INSTALLED_LIBRARY "$libdir/reeve_guard"

const char *provision_enforcement_at(size_t index)
{
    static const char *const names[] = {CATALOG_GUARD, CATALOG_LOGIN};
    return index < array_size(names) ? names[index] : NULL;
}

/* ---- which ---- */

static int check_wanted(const char *wanted, struct error *err)
{
    if (!wanted || strcmp(wanted, CATALOG_GUARD) == 0 || strcmp(wanted, CATALOG_LOGIN) == 0)
        return 0;
    int r = error_set(err, ERROR_INVALID, "there is no enforcement \"%.32s\"", wanted);
    error_hint(err, "use guard or login");
    return r;
}

/* Its password is sealed in the catalog before any proxy needs it, and stays the same. */
static int prepare_pool(struct server *server, struct arena *arena, struct catalog_cluster *cluster,
                        struct error *err)
{
    const uint8_t *key = server->context->master_key;
    char context[CATALOG_SECRET_CONTEXT_SIZE];
    struct isolation_guard guard = {.library = cluster->guard_library, .pool_role = POOL_ROLE};
    catalog_login_context(POOL_ROLE, context);
    if (!cluster->pool_role)
        cluster->pool_password = base_random_password(arena, key, context);
    cluster->pool_role = POOL_ROLE;
    int r = base_verifier(arena, key, context, &cluster->pool_password, &guard.pool_verifier, err);
    return r < 0 ? r : isolation_guard_prepare(&server->isolation, &guard, err);
}

int enforcement_choose(struct server *server, struct arena *arena, const char *wanted,
                       const char *library, struct catalog_cluster *cluster, struct error *err)
{
    int r = check_wanted(wanted, err);
    if (r < 0)
        return r;
    if (wanted && strcmp(wanted, CATALOG_LOGIN) == 0) {
        /* The guard stays where placements may use it; new ones do not. */
        cluster->enforcement = CATALOG_LOGIN;
        cluster->enforcement_reason = "it was chosen";
        return 0;
    }
    const char *candidates[2];
    size_t count = 0;
    if (library)
        candidates[count++] = library;
    else if (cluster->guard_library)
        candidates[count++] = cluster->guard_library;
    if (!library)
        candidates[count++] = INSTALLED_LIBRARY;
    const char *found = NULL, *reason = NULL;
    r = isolation_guard_find(&server->isolation, candidates, count, arena, &found, &reason, err);
    if (r < 0)
        return r;
    if (!found && wanted) {
        error_set(err, ERROR_UNSUPPORTED, "cluster \"%s\" cannot have the guard: %s", cluster->name,
                  reason);
        error_hint(err, "install the extension reeve_guard on that server, or use login");
        return -ERROR_UNSUPPORTED;
    }
    if (!found) {
        cluster->enforcement = CATALOG_LOGIN;
        cluster->enforcement_reason = arena_printf(arena, "no guard: %s", reason);
        return 0;
    }
    cluster->enforcement = CATALOG_GUARD;
    cluster->guard_library = arena_strdup(arena, found);
    cluster->enforcement_reason = arena_printf(arena, "the server loads %s", found);
    return prepare_pool(server, arena, cluster, err);
}

/* ---- a cluster that is there ---- */

/* The guard's functions in the service's shared databases, and policies that ask them. */
static int renew_locked(const struct job_context *context, struct arena *arena,
                        const struct site *site, struct error *err)
{
    struct server server;
    if (site->empty || site->login.owner_password.length == 0)
        return 0; /* it has nothing on this cluster */
    server_init(&server, context, &site->cluster);
    int r = isolation_renew_service(&server.isolation, &site->isolation, err);
    const struct isolation_target *targets;
    size_t count = isolation_base_targets(arena, &site->isolation, &targets);
    for (size_t i = 0; r == 0 && i < count; i++) {
        if (targets[i].row_security)
            r = migrate_finish(&site->login, &targets[i], arena, err);
    }
    return r;
}

/* Behind the lock, so that one which was dropped is not made anew. */
static int renew_service(const struct job_context *context, struct catalog *catalog,
                         struct arena *arena, int64_t service_id,
                         const struct catalog_cluster *cluster, struct error *err)
{
    struct site site;
    int r = site_load_locked(context, catalog, arena, service_id, cluster->id, NULL, &site, err);
    if (r < 0)
        return r;
    r = renew_locked(context, arena, &site, err);
    site_unlock(catalog, &site);
    return r;
}

static int store(const struct job_context *context, struct catalog *catalog, struct arena *arena,
                 const struct catalog_cluster *cluster, struct error *err)
{
    int r = catalog_begin(catalog, err);
    if (r < 0)
        return r;
    _cleanup_catalog_rollback_ struct catalog *transaction = catalog;
    const struct catalog_audit_event event = {
        .actor = context->actor,
        .action = "cluster.enforce",
        .detail = arena_printf(arena, "{\"cluster\":\"%s\",\"enforcement\":\"%s\"}", cluster->name,
                               cluster->enforcement),
    };
    r = catalog_cluster_set_enforcement(transaction, cluster, err);
    if (r == 0)
        r = catalog_audit_append(transaction, &event, err);
    return r < 0 ? r : catalog_commit(transaction, err);
}

int provision_cluster_enforce(const struct job_context *context, const char *name,
                              const char *enforcement, const char *library, struct error *err)
{
    _cleanup_arena_ struct arena arena;
    arena_init(&arena, 0);
    _cleanup_catalog_ struct catalog *catalog = NULL;
    struct catalog_cluster cluster;
    struct catalog_service *services = NULL;
    size_t count = 0;
    struct server server;
    int r = catalog_open(context->control, &catalog, err);
    if (r == 0)
        r = catalog_cluster_find(catalog, &arena, name, &cluster, err);
    if (r < 0)
        return r;
    server_init(&server, context, &cluster);
    r = enforcement_choose(&server, &arena, enforcement, library, &cluster, err);
    if (r == 0)
        r = store(context, catalog, &arena, &cluster, err);
    if (r == 0 && strcmp(cluster.enforcement, CATALOG_GUARD) == 0)
        r = catalog_service_list(catalog, &arena, &services, &count, err);
    for (size_t i = 0; r == 0 && i < count; i++)
        r = renew_service(context, catalog, &arena, services[i].id, &cluster, err);
    return r;
}
