#include "migrate/site.h"

#include "base/time.h"
#include "pg/connection.h"
#include "sql/statements.h"

enum { SITE_MIN_WAIT_US = 60 * TIME_S };

static int find_modes(const struct catalog_service *service, struct arena *arena,
                      const struct isolation ***ret, struct error *err)
{
    const struct isolation **modes =
        arena_zalloc(arena, (service->allowed_count + 1) *
                                sizeof(*modes)); /* NOLINT(bugprone-sizeof-expression) */
    for (size_t i = 0; i < service->allowed_count; i++) {
        int r = isolation_parse(service->allowed[i], &modes[i], err);
        if (r < 0)
            return r;
    }
    *ret = modes;
    return 0;
}

static void find_guard(struct arena *arena, struct site *site)
{
    if (!site->cluster.guard_library || !site->cluster.pool_role)
        return;
    struct isolation_guard *guard = arena_zalloc(arena, sizeof(*guard));
    guard->library = site->cluster.guard_library;
    guard->pool_role = site->cluster.pool_role;
    site->isolation.guard = guard;
}

static int load_owner(struct catalog *catalog, struct arena *arena, struct site *site,
                      struct error *err)
{
    struct catalog_service_owner owner;
    int r =
        catalog_service_owner_get(catalog, arena, site->service.id, site->cluster.id, &owner, err);
    if (r == -ERROR_NOT_FOUND) {
        error_clear(err);
        return 0;
    }
    if (r == 0)
        site->login.owner_password = owner.password;
    return r;
}

static bool has_database(const struct isolation_service *service, const char *database)
{
    for (size_t i = 0; i < service->shared_count; i++)
        if (strcmp(service->shared_databases[i], database) == 0)
            return true;
    return false;
}

/* All that the catalog has, and the one that is asked for. The default one is among them without
 * being asked for only where the service has nothing yet, not even its template. */
static int find_databases(struct catalog *catalog, struct arena *arena, const char *asked,
                          struct site *site, struct error *err)
{
    struct isolation_service *service = &site->isolation;
    struct catalog_service_database *databases;
    size_t count;
    int r = catalog_service_database_list(catalog, arena, site->service.id, site->cluster.id,
                                          &databases, &count, err);
    if (r < 0)
        return r;
    site->empty = count == 0;
    if (!service->shared_database)
        return 0;
    const char **all =
        arena_zalloc(arena, (count + 1) * sizeof(*all)); /* NOLINT(bugprone-sizeof-expression) */
    service->shared_databases = all;
    service->shared_count = 0;
    for (size_t i = 0; i < count; i++)
        if (databases[i].kind == CATALOG_DATABASE_SHARED)
            all[service->shared_count++] = databases[i].database;
    isolation_service_choose(arena, service, asked);
    bool wanted = (asked && *asked) || count == 0;
    site->to_be_made = !has_database(service, service->shared_database);
    service->shared_is_new = site->to_be_made;
    if (wanted && site->to_be_made)
        all[service->shared_count++] = service->shared_database;
    return 0;
}

int site_load(const struct job_context *context, struct catalog *catalog, struct arena *arena,
              int64_t service_id, int64_t cluster_id, struct site *ret, struct error *err)
{
    return site_load_at(context, catalog, arena, service_id, cluster_id, NULL, ret, err);
}

/* The placement's shared database; NULL for one that has none, or none yet. */
static int shared_database_of(const struct catalog_placement *placement, const char **ret,
                              struct error *err)
{
    const struct isolation *mode;
    int r = isolation_parse(placement->isolation, &mode, err);
    if (r == 0)
        *ret = isolation_shares_database(mode) ? placement->database : NULL;
    return r;
}

int site_load_of(const struct job_context *context, struct catalog *catalog, struct arena *arena,
                 const struct catalog_placement *placement, struct site *ret, struct error *err)
{
    const char *database = NULL;
    int r = shared_database_of(placement, &database, err);
    return r < 0 ? r
                 : site_load_at(context, catalog, arena, placement->service_id,
                                placement->cluster_id, database, ret, err);
}

int site_load_at(const struct job_context *context, struct catalog *catalog, struct arena *arena,
                 int64_t service_id, int64_t cluster_id, const char *database, struct site *ret,
                 struct error *err)
{
    struct site site = {0};
    const struct isolation **modes = NULL;
    int r = catalog_service_get(catalog, arena, service_id, &site.service, err);
    if (r == 0)
        r = catalog_cluster_get(catalog, arena, cluster_id, &site.cluster, err);
    if (r == 0)
        r = find_modes(&site.service, arena, &modes, err);
    if (r < 0)
        return r;
    isolation_service_init(arena, site.service.id, site.service.name, modes,
                           site.service.allowed_count, &site.isolation);
    find_guard(arena, &site);
    r = find_databases(catalog, arena, database, &site, err);
    if (r < 0)
        return r;
    site.login = (struct migrate_login){
        .cluster_id = site.cluster.id,
        .conninfo = site.cluster.conninfo,
        .master_key = context->master_key,
        .cancelled = context->cancelled,
    };
    r = load_owner(catalog, arena, &site, err);
    if (r < 0)
        return r;
    *ret = site;
    return 0;
}

int site_placement(struct arena *arena, const struct site *site,
                   const struct catalog_placement *placement, struct isolation_placement *ret,
                   struct error *err)
{
    const struct isolation *mode;
    const char *database = NULL;
    int r = isolation_parse(placement->isolation, &mode, err);
    if (r == 0)
        r = shared_database_of(placement, &database, err);
    if (r < 0)
        return r;
    struct isolation_service there = site->isolation;
    if (database && *database)
        isolation_service_choose(arena, &there, database);
    isolation_placement_init(arena, &there, mode, placement->id, placement->tenant_id, ret);
    isolation_placement_set_generation(arena, &there, ret, placement->generation);
    ret->tenant_slug = placement->tenant;
    if (strcmp(placement->enforcement, CATALOG_GUARD) == 0)
        isolation_placement_guard(&there, ret);
    return 0;
}

static void lock_name(const struct site *site, char ret[JOB_SUBJECT_SIZE])
{
    snprintf(ret, JOB_SUBJECT_SIZE, "site:%lld:%lld", (long long)site->service.id,
             (long long)site->cluster.id);
}

int site_lock(const struct job_context *context, struct catalog *catalog, const struct site *site,
              struct error *err)
{
    char name[JOB_SUBJECT_SIZE];
    lock_name(site, name);
    int64_t wait_us =
        context->lock_wait_us > SITE_MIN_WAIT_US ? context->lock_wait_us : SITE_MIN_WAIT_US;
    return job_lock(catalog, name, wait_us, context->cancelled, err);
}

int site_try_lock(const struct job_context *context, struct catalog *catalog,
                  const struct site *site, struct error *err)
{
    char name[JOB_SUBJECT_SIZE];
    lock_name(site, name);
    return job_lock(catalog, name, 0, context->cancelled, err);
}

int site_load_locked(const struct job_context *context, struct catalog *catalog,
                     struct arena *arena, int64_t service_id, int64_t cluster_id,
                     const char *database, struct site *ret, struct error *err)
{
    const struct site which = {.service.id = service_id, .cluster.id = cluster_id};
    int r = site_lock(context, catalog, &which, err);
    if (r < 0)
        return r;
    r = site_load_at(context, catalog, arena, service_id, cluster_id, database, ret, err);
    if (r < 0)
        site_unlock(catalog, &which);
    return r;
}

void site_unlock(struct catalog *catalog, const struct site *site)
{
    char name[JOB_SUBJECT_SIZE];
    lock_name(site, name);
    job_unlock(catalog, name);
}

/* ---- the catalog follows the ledger ---- */

static int database_follows(struct catalog *catalog, const struct site *site, const char *database,
                            const char *version, struct arena *arena, struct error *err)
{
    struct catalog_service_database *databases;
    size_t count;
    int r = catalog_service_database_list(catalog, arena, site->service.id, site->cluster.id,
                                          &databases, &count, err);
    for (size_t i = 0; r == 0 && i < count; i++)
        if (strcmp(databases[i].database, database) == 0 &&
            strcmp(databases[i].schema_version, version) != 0)
            r = catalog_service_database_set_version(catalog, databases[i].id, version, err);
    return r;
}

static int placements_follow(struct catalog *catalog, const struct site *site,
                             const struct isolation_target *target, const char *version,
                             struct arena *arena, struct error *err)
{
    const char *const parameters[] = {
        pg_from_i64(arena, site->service.id),
        pg_from_i64(arena, site->cluster.id),
        target->database,
        target->schema,
        version,
    };
    return pg_execute(catalog_connection(catalog), sql_migrate_placements_follow, 5, parameters,
                      NULL, err);
}

bool site_is_base(struct arena *arena, const struct site *site,
                  const struct isolation_target *target)
{
    const struct isolation_target *base;
    size_t count = isolation_base_targets(arena, &site->isolation, &base);
    for (size_t i = 0; i < count; i++)
        if (strcmp(base[i].database, target->database) == 0 &&
            strcmp(base[i].schema, target->schema) == 0)
            return true;
    return false;
}

/* Most runs find nothing to do: then nothing is written. */
static int placement_follows(struct catalog *catalog, const struct catalog_placement *placement,
                             const char *version, struct error *err)
{
    if (!placement || strcmp(placement->schema_version, version) == 0)
        return 0;
    return catalog_placement_set_version(catalog, placement->id, version, err);
}

int site_migrate(struct catalog *catalog, const struct site *site,
                 const struct isolation_target *target, const struct catalog_placement *placement,
                 const struct migration_set *set, bool dry_run, struct arena *arena,
                 struct migrate_result *ret, struct error *err)
{
    struct migrate_result result;
    int r = migrate_target(&site->login, target, set, dry_run, arena, &result, err);
    if (r < 0)
        return r;
    const char *version = dry_run ? result.from : result.to;
    if (!site_is_base(arena, site, target)) {
        r = placement_follows(catalog, placement, version, err);
    } else {
        r = database_follows(catalog, site, target->database, version, arena, err);
        if (r == 0)
            r = placements_follow(catalog, site, target, version, arena, err);
    }
    if (r < 0)
        return r;
    *ret = result;
    return 0;
}
