#include "catalog/cluster.h"

#include "base/str.h"
#include "catalog/audit_event.h"
#include "catalog/move.h"
#include "pg/connection.h"
#include "pg/conninfo.h"
#include "provision/base.h"
#include "provision/claim.h"
#include "provision/enforcement.h"
#include "provision/provision.h"
#include "sql/statements.h"

enum { OLDEST_SERVER = 150000, DEFAULT_MAX_BACKENDS = 100 };

/* ---- add ---- */

static int check_spec(struct catalog *catalog, struct arena *arena,
                      const struct provision_cluster_spec *spec, struct error *err)
{
    struct catalog_cluster existing;
    int r = str_check_slug("cluster name", spec->name, err);
    if (r == 0)
        r = pg_conninfo_check_server(spec->conninfo, err);
    if (r < 0)
        return r;
    if (spec->max_backends < 0)
        return error_set(err, ERROR_INVALID, "the number of backends must be 1 or more");
    r = catalog_cluster_find(catalog, arena, spec->name, &existing, err);
    if (r == 0)
        return error_set(err, ERROR_EXISTS, "there is a cluster \"%s\" already", spec->name);
    if (r == -ERROR_NOT_FOUND) {
        error_clear(err);
        return 0;
    }
    return r;
}

static int check_server(struct pg_connection *admin, const struct catalog_cluster *cluster,
                        struct error *err)
{
    int version = pg_server_version(admin);
    if (version < OLDEST_SERVER)
        return error_set(err, ERROR_UNSUPPORTED,
                         "cluster \"%s\" runs PostgreSQL %d; Reeve needs 15 or newer",
                         cluster->name, version / 10000);
    _cleanup_pg_result_ struct pg_result *row = NULL;
    int r = pg_query(admin, sql_provision_admin_rights, 0, NULL, &row, err);
    if (r < 0)
        return r;
    if (pg_rows(row) == 1 && (pg_bool(row, 0, 0) || pg_bool(row, 0, 1)))
        return 0;
    error_set(err, ERROR_DENIED, "role \"%s\" of cluster \"%s\" may not create databases and roles",
              cluster->admin_user, cluster->name);
    error_hint(err, "ALTER ROLE ... CREATEDB CREATEROLE, or name a superuser");
    return -ERROR_DENIED;
}

/* "" when the server does not say. */
static const char *system_identifier(struct pg_connection *connection, struct arena *arena)
{
    _cleanup_pg_result_ struct pg_result *row = NULL;
    struct error ignored;
    if (pg_query(connection, sql_provision_system_identifier, 0, NULL, &row, &ignored) < 0)
        return "";
    const char *text = pg_text_copy(row, 0, 0, arena);
    return text ? text : "";
}

/* The control database is no tenant's business either, where it is on the same server. */
static int close_control_database(struct server *server, struct pg_connection *admin,
                                  struct catalog *catalog, struct arena *arena, struct error *err)
{
    struct pg_connection *control = catalog_connection(catalog);
    const char *here = system_identifier(control, arena);
    if (here[0] == '\0' || strcmp(here, system_identifier(admin, arena)) != 0)
        return 0;
    return isolation_close_database(&server->isolation, pg_database(control), err);
}

static int prepare(const struct job_context *context, struct catalog *catalog, struct arena *arena,
                   const struct provision_cluster_spec *spec, struct catalog_cluster *cluster,
                   struct error *err)
{
    struct server server;
    server_init(&server, context, cluster);
    _cleanup_pg_connection_ struct pg_connection *admin = NULL;
    int r = server_connect(&server, NULL, &admin, err);
    if (r == 0)
        r = check_server(admin, cluster, err);
    if (r == 0)
        r = claim_server(admin, cluster->name, cluster->installation, err);
    if (r == 0)
        r = isolation_prepare_cluster(&server.isolation, err);
    if (r == 0)
        r = enforcement_choose(&server, arena, spec->enforcement, spec->guard_library, cluster,
                               err);
    if (r == 0)
        r = close_control_database(&server, admin, catalog, arena, err);
    return r;
}

static void fill_cluster(const struct job_context *context, struct arena *arena,
                         const struct provision_cluster_spec *spec, struct catalog_cluster *ret)
{
    *ret = (struct catalog_cluster){
        .name = spec->name,
        .conninfo = spec->conninfo,
        .admin_user = spec->admin_user,
        .maintenance_db = spec->maintenance_db ? spec->maintenance_db : "postgres",
        .max_backends = spec->max_backends ? spec->max_backends : DEFAULT_MAX_BACKENDS,
        .enforcement = CATALOG_LOGIN,
    };
    if (!spec->admin_password)
        return;
    char name[CATALOG_SECRET_CONTEXT_SIZE];
    catalog_cluster_context(spec->name, name);
    ret->admin_password = catalog_seal(arena, context->master_key, name, spec->admin_password);
}

static int audit(const struct job_context *context, struct catalog *catalog, struct arena *arena,
                 const char *action, const char *name, struct error *err)
{
    const struct catalog_audit_event event = {
        .actor = context->actor,
        .action = action,
        .detail = arena_printf(arena, "{\"cluster\":\"%s\"}", name), /* a slug */
    };
    return catalog_audit_append(catalog, &event, err);
}

int provision_cluster_add(const struct job_context *context,
                          const struct provision_cluster_spec *spec, int64_t *ret_id,
                          struct error *err)
{
    _cleanup_arena_ struct arena arena;
    arena_init(&arena, 0);
    _cleanup_catalog_ struct catalog *catalog = NULL;
    struct catalog_cluster cluster;
    int r = catalog_open(context->control, &catalog, err);
    if (r == 0)
        r = check_spec(catalog, &arena, spec, err);
    const char *installation = NULL;
    if (r == 0)
        r = catalog_installation(catalog, &arena, &installation, err);
    if (r < 0)
        return r;
    fill_cluster(context, &arena, spec, &cluster);
    cluster.installation = installation;
    r = prepare(context, catalog, &arena, spec, &cluster, err);
    if (r == 0)
        r = catalog_begin(catalog, err);
    if (r < 0)
        return r;
    _cleanup_catalog_rollback_ struct catalog *transaction = catalog;
    int64_t id = 0;
    r = catalog_cluster_create(transaction, &cluster, &id, err);
    if (r == 0)
        r = audit(context, transaction, &arena, "cluster.add", spec->name, err);
    if (r == 0)
        r = catalog_commit(transaction, err);
    if (r == 0 && ret_id)
        *ret_id = id;
    return r;
}

/* ---- set ---- */

/* "" where it does not answer. */
static const char *identify(const struct job_context *context,
                            const struct catalog_cluster *cluster, struct arena *arena)
{
    struct server server;
    struct error ignored = {0};
    server_init(&server, context, cluster);
    server.claimed = true; /* whoever else's it is, it stays that */
    _cleanup_pg_connection_ struct pg_connection *admin = NULL;
    return server_connect(&server, NULL, &admin, &ignored) < 0 ? ""
                                                               : system_identifier(admin, arena);
}

/* All of one Reeve's servers have its claim: the address of another cluster would give its tenants
 * to this one. */
static int check_no_other(const struct job_context *context, struct catalog *catalog,
                          struct arena *arena, const struct catalog_cluster *cluster,
                          const char *identifier, struct error *err)
{
    struct catalog_cluster *clusters = NULL;
    size_t count = 0;
    const char *before = identify(context, cluster, arena);
    if (*before && strcmp(before, identifier) == 0)
        return 0;
    int r = catalog_cluster_list(catalog, arena, &clusters, &count, err);
    for (size_t i = 0; r == 0 && i < count; i++)
        if (clusters[i].id != cluster->id &&
            strcmp(identify(context, &clusters[i], arena), identifier) == 0)
            return error_set(err, ERROR_STATE, "the server there is cluster \"%s\"",
                             clusters[i].name);
    if (r < 0 || !*before)
        return r;
    error_set(err, ERROR_STATE, "the server there is not what cluster \"%s\" is on", cluster->name);
    error_hint(err, "where that is so, shut the other one down first");
    return -ERROR_STATE;
}

static int check_no_moves(struct catalog *catalog, struct arena *arena,
                          const struct catalog_cluster *cluster, struct error *err)
{
    const struct catalog_move_filter open = {.open = true};
    struct catalog_move *moves = NULL;
    size_t count = 0;
    int r = catalog_move_list(catalog, arena, &open, &moves, &count, err);
    for (size_t i = 0; r == 0 && i < count; i++) {
        const struct catalog_move *move = &moves[i];
        bool is_here = strcmp(move->from_cluster, cluster->name) == 0 ||
                       strcmp(move->to_cluster, cluster->name) == 0;
        if (!is_here || move->phase == CATALOG_MOVE_MOVED)
            continue;
        error_set(err, ERROR_STATE, "tenant \"%s\" of service \"%s\" moves there or from there",
                  move->place.tenant, move->place.service);
        error_hint(err, "`reeve move abort %s %s` first", move->place.tenant, move->place.service);
        r = -ERROR_STATE;
    }
    return r;
}

/* A server that nobody has claimed is not claimed for this: it would have none of the tenants. */
static int check_new_address(const struct job_context *context, struct catalog *catalog,
                             struct arena *arena, const struct catalog_cluster *old,
                             const char *conninfo, struct error *err)
{
    struct catalog_cluster cluster = *old;
    struct server server;
    cluster.conninfo = conninfo;
    server_init(&server, context, &cluster);
    server.claimed = true;
    _cleanup_pg_connection_ struct pg_connection *admin = NULL;
    _cleanup_pg_result_ struct pg_result *standby = NULL;
    int r = check_no_moves(catalog, arena, old, err);
    if (r == 0)
        r = server_connect(&server, NULL, &admin, err);
    if (r == 0)
        r = check_server(admin, &cluster, err);
    if (r == 0)
        r = claim_check(admin, cluster.name, cluster.installation, err);
    if (r == 0)
        r = pg_query(admin, "SELECT pg_catalog.pg_is_in_recovery()", 0, NULL, &standby, err);
    if (r == 0 && pg_bool(standby, 0, 0))
        r = error_set(err, ERROR_STATE, "the server there is a standby, and takes no writes yet");
    return r < 0
               ? r
               : check_no_other(context, catalog, arena, old, system_identifier(admin, arena), err);
}

int provision_cluster_set(const struct job_context *context, const char *name,
                          const struct catalog_cluster_change *change, struct error *err)
{
    _cleanup_arena_ struct arena arena;
    arena_init(&arena, 0);
    _cleanup_catalog_ struct catalog *catalog = NULL;
    struct catalog_cluster cluster = {0};
    int r = change->conninfo ? pg_conninfo_check_server(change->conninfo, err) : 0;
    if (r == 0)
        r = catalog_open(context->control, &catalog, err);
    if (r == 0)
        r = catalog_cluster_find(catalog, &arena, name, &cluster, err);
    if (r == 0 && change->conninfo)
        r = check_new_address(context, catalog, &arena, &cluster, change->conninfo, err);
    if (r == 0)
        r = catalog_begin(catalog, err);
    if (r < 0)
        return r;
    _cleanup_catalog_rollback_ struct catalog *transaction = catalog;
    r = catalog_cluster_set(transaction, cluster.id, change, err);
    if (r == 0)
        r = audit(context, transaction, &arena, "cluster.set", cluster.name, err);
    return r < 0 ? r : catalog_commit(transaction, err);
}

/* ---- remove ---- */

static int check_unused(struct catalog *catalog, struct arena *arena,
                        const struct catalog_cluster *cluster,
                        const struct catalog_service *services, size_t service_count,
                        struct error *err)
{
    struct catalog_placement_filter filter = CATALOG_PLACEMENT_ANY;
    filter.cluster_id = cluster->id;
    struct catalog_placement *placements;
    size_t count;
    int r = catalog_placement_list(catalog, arena, &filter, &placements, &count, err);
    if (r < 0)
        return r;
    if (count > 0) {
        error_set(err, ERROR_STATE,
                  "cluster \"%s\" has %zu placements, the first is \"%s\" of \"%s\"", cluster->name,
                  count, placements[0].service, placements[0].tenant);
        error_hint(err, "detach them first");
        return -ERROR_STATE;
    }
    const struct catalog_move_filter other = {.cluster_id = cluster->id, .open = true};
    struct catalog_move *moves;
    r = catalog_move_list(catalog, arena, &other, &moves, &count, err);
    if (r < 0)
        return r;
    if (count > 0) {
        error_set(err, ERROR_STATE,
                  "cluster \"%s\" has a place of \"%s\" of \"%s\", which is being moved or was",
                  cluster->name, moves[0].place.service, moves[0].place.tenant);
        error_hint(err, "`reeve move status` shows such; finish or revert it first");
        return -ERROR_STATE;
    }
    for (size_t i = 0; i < service_count; i++)
        if (services[i].cluster_id == cluster->id) {
            error_set(err, ERROR_STATE, "cluster \"%s\" is where service \"%s\" places its tenants",
                      cluster->name, services[i].name);
            error_hint(err, "delete the service first");
            return -ERROR_STATE;
        }
    return 0;
}

/* The sites stay locked until the catalog's session ends, which is the cluster's end. */
static int drop_services(const struct job_context *context, struct catalog *catalog,
                         struct arena *arena, const struct catalog_cluster *cluster,
                         const struct catalog_service *services, size_t count, struct error *err)
{
    struct server server;
    server_init(&server, context, cluster);
    int r = 0;
    for (size_t i = 0; r == 0 && i < count; i++) {
        struct site site;
        r = site_load_locked(context, catalog, arena, services[i].id, cluster->id, NULL, &site,
                             err);
        if (r == 0 && site.login.owner_password.length > 0)
            r = base_drop(catalog, &site, &server, err);
    }
    return r;
}

/* Another entry of the catalog for the same server claims it anew when it is needed. A server that
 * is gone has nothing to give up. */
static int give_up_server(const struct job_context *context, const struct catalog_cluster *cluster,
                          struct error *err)
{
    struct server server;
    server_init(&server, context, cluster);
    _cleanup_pg_connection_ struct pg_connection *admin = NULL;
    int r = server_connect(&server, NULL, &admin, err);
    if (r == -ERROR_CONNECTION) {
        error_clear(err);
        return 0;
    }
    return r < 0 ? r : claim_drop(admin, err);
}

int provision_cluster_remove(const struct job_context *context, const char *name, struct error *err)
{
    _cleanup_arena_ struct arena arena;
    arena_init(&arena, 0);
    _cleanup_catalog_ struct catalog *catalog = NULL;
    struct catalog_cluster cluster;
    struct catalog_service *services = NULL;
    size_t count = 0;
    int r = catalog_open(context->control, &catalog, err);
    if (r == 0)
        r = catalog_cluster_find(catalog, &arena, name, &cluster, err);
    if (r == 0)
        r = catalog_service_list(catalog, &arena, &services, &count, err);
    if (r == 0)
        r = check_unused(catalog, &arena, &cluster, services, count, err);
    if (r == 0)
        r = drop_services(context, catalog, &arena, &cluster, services, count, err);
    if (r == 0)
        r = give_up_server(context, &cluster, err);
    if (r == 0)
        r = catalog_begin(catalog, err);
    if (r != 0)
        return r;
    _cleanup_catalog_rollback_ struct catalog *transaction = catalog;
    r = catalog_cluster_delete(transaction, cluster.id, err);
    if (r == 0)
        r = audit(context, transaction, &arena, "cluster.remove", cluster.name, err);
    return r < 0 ? r : catalog_commit(transaction, err);
}
