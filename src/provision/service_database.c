/* service_database.c - a shared database that no tenant is in any more goes. */
#include "catalog/audit_event.h"
#include "provision/base.h"
#include "provision/provision.h"

/* What the catalog does not know of may be the rest of a making that was cut off. */
static int find_rest(struct catalog *catalog, const struct site *site, struct server *server,
                     bool *ret, struct error *err)
{
    const char *database = site->isolation.shared_database;
    bool taken = true;
    struct error ignored;
    if (!database || isolation_check_database_name(database, &ignored) < 0)
        return 0;
    int r = catalog_service_database_taken(catalog, site->cluster.id, database, site->service.id,
                                           &taken, err);
    if (r < 0 || taken)
        return r;
    return isolation_shared_remains(&server->isolation, &site->isolation, ret, err);
}

static int check_droppable(struct catalog *catalog, struct arena *arena, const struct site *site,
                           struct server *server, struct error *err)
{
    const char *database = site->isolation.shared_database;
    bool there = database && !site->to_be_made;
    int r = there ? 0 : find_rest(catalog, site, server, &there, err);
    if (r < 0)
        return r;
    if (!there)
        return error_set(err, ERROR_NOT_FOUND,
                         "service \"%s\" has no such shared database on cluster \"%s\"",
                         site->service.name, site->cluster.name);
    if (strcmp(database, isolation_default_database(arena, &site->isolation)) != 0)
        return 0;
    return error_set(err, ERROR_STATE, "database \"%s\" is the service's default one", database);
}

static int drop_locked(const struct job_context *context, struct catalog *catalog,
                       struct arena *arena, struct site *site, struct error *err)
{
    struct server server;
    server_init(&server, context, &site->cluster);
    int r = check_droppable(catalog, arena, site, &server, err);
    if (r == 0)
        r = base_check_unused(catalog, site, site->isolation.shared_database, err);
    if (r == 0)
        r = base_drop_shared(catalog, site, &server, err);
    const struct catalog_audit_event event = {
        .actor = context->actor,
        .action = "service.drop-database",
        .service_id = site->service.id,
        .detail = arena_printf(arena, "{\"cluster\":\"%s\",\"database\":\"%s\"}",
                               site->cluster.name, site->isolation.shared_database),
    };
    return r < 0 ? r : catalog_audit_append(catalog, &event, err);
}

int provision_service_drop_database(const struct job_context *context, const char *name,
                                    const char *database, const char *cluster_name,
                                    struct error *err)
{
    _cleanup_arena_ struct arena arena;
    arena_init(&arena, 0);
    _cleanup_catalog_ struct catalog *catalog = NULL;
    struct catalog_service service = {0};
    struct catalog_cluster cluster = {0};
    struct site site;
    int r = catalog_open(context->control, &catalog, err);
    if (r == 0)
        r = catalog_service_find(catalog, &arena, name, &service, err);
    if (r == 0 && cluster_name)
        r = catalog_cluster_find(catalog, &arena, cluster_name, &cluster, err);
    if (r == 0)
        r = site_load_locked(context, catalog, &arena, service.id,
                             cluster_name ? cluster.id : service.cluster_id, database, &site, err);
    if (r < 0)
        return r;
    r = drop_locked(context, catalog, &arena, &site, err);
    site_unlock(catalog, &site);
    return r;
}
