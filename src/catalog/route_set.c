#include "catalog/route_set.h"

#include "base/log.h"
#include "base/time.h"
#include "base/str.h"
#include "sql/statements.h"

/* Makes room for one more in an array that grows by doubling and has no capacity of its own. */
static void *grow(void *array, size_t count, size_t size)
{
    if ((count & (count - 1)) != 0)
        return array;
    return xrealloc(array, (count ? count * 2 : 1) * size);
}

static void add_tenant(struct catalog_route_set *set, struct route_tenant *tenant)
{
    if (set->count == set->capacity) {
        set->capacity = set->capacity ? set->capacity * 2 : 16;
        set->tenants = xrealloc(set->tenants, set->capacity * sizeof(struct route_tenant *));
    }
    set->tenants[set->count++] = tenant;
}

void catalog_route_set_free(struct catalog_route_set *set)
{
    for (size_t i = 0; i < set->count; i++)
        route_tenant_unref(set->tenants[i]);
    free(set->tenants);
    *set = (struct catalog_route_set){0};
}

/* ---- rows, one at a time: there may be a million ---- */

static int take_tenant(const struct pg_result *row, void *argument, reeve_unused struct error *err)
{
    const char *verifier = pg_text(row, 0, 3);
    struct route_tenant *tenant = route_tenant_new();
    tenant->id = pg_i64(row, 0, 0);
    str_copy(tenant->slug, sizeof(tenant->slug), pg_text(row, 0, 1)); /* the schema's limit */
    tenant->status =
        strcmp(pg_text(row, 0, 2), "active") == 0 ? ROUTE_TENANT_ACTIVE : ROUTE_TENANT_SUSPENDED;
    if (verifier)
        tenant->scram_verifier = xstrdup(verifier);
    add_tenant(argument, tenant);
    return 0;
}

/* The row's tenant; NULL when it is not in the set: deleting, say. */
static struct route_tenant *owner_of(struct catalog_route_set *set, int64_t tenant_id)
{
    while (set->cursor < set->count && set->tenants[set->cursor]->id < tenant_id)
        set->cursor++;
    if (set->cursor == set->count || set->tenants[set->cursor]->id != tenant_id)
        return NULL;
    return set->tenants[set->cursor];
}

/* False: the connector could not log in with it. */
static bool take_login(const struct pg_result *result, size_t row, size_t role, size_t password,
                       struct route_login *ret)
{
    char context[CATALOG_SECRET_CONTEXT_SIZE];
    if (!str_copy(ret->role, sizeof(ret->role), pg_text(result, row, role)))
        return false;
    catalog_login_context(ret->role, context);
    return str_copy(ret->seal_context, sizeof(ret->seal_context), context) &&
           pg_bytea(result, row, password, ret->sealed_password, sizeof(ret->sealed_password),
                    &ret->sealed_length, NULL) == 0;
}

static bool take_entry(const struct pg_result *row, size_t role, struct route_entry *ret)
{
    return str_copy(ret->role, sizeof(ret->role), pg_text(row, 0, role)) &&
           str_copy(ret->search_path, sizeof(ret->search_path), pg_text(row, 0, 16));
}

static int take_placement(const struct pg_result *row, void *argument,
                          reeve_unused struct error *err)
{
    struct route_tenant *tenant = owner_of(argument, pg_i64(row, 0, 0));
    if (!tenant)
        return 0;
    tenant->placements =
        grow(tenant->placements, tenant->placement_count, sizeof(struct route_placement));
    struct route_placement *placement = &tenant->placements[tenant->placement_count++];
    int64_t held_us = pg_i64(row, 0, 17); /* by the catalog's clock, which may not be ours */
    *placement = (struct route_placement){
        .id = pg_i64(row, 0, 1),
        .tenant_id = tenant->id,
        .service_id = pg_i64(row, 0, 2),
        .cluster_id = pg_i64(row, 0, 3),
        .epoch = pg_i64(row, 0, 4),
        .state = pg_bool(row, 0, 5) ? ROUTE_PLACEMENT_READY : ROUTE_PLACEMENT_UNAVAILABLE,
        .limits = route_limits_unset,
        .held_until_unix_us = held_us > 0 ? time_unix_us() + held_us : 0,
        .own_database = pg_bool(row, 0, 18),
        .hold = pg_i64(row, 0, 19),
    };
    str_copy(placement->service, sizeof(placement->service), pg_text(row, 0, 6));
    bool good = str_copy(placement->database, sizeof(placement->database), pg_text(row, 0, 7)) &&
                take_login(row, 0, 8, 9, &placement->read_write);
    if (good && *pg_text(row, 0, 10))
        good = take_login(row, 0, 10, 11, &placement->read_only);
    if (good && pg_bool(row, 0, 12)) {
        placement->guarded = true;
        placement->shared_tables = pg_bool(row, 0, 13);
        good = take_entry(row, 14, &placement->read_write_entry) &&
               take_entry(row, 15, &placement->read_only_entry);
    }
    if (!good) {
        log_warning("placement %lld has a name or a password that is too long; it is not served",
                    (long long)placement->id);
        placement->state = ROUTE_PLACEMENT_UNAVAILABLE;
    }
    return 0;
}

/* A limit that a newer program has set is none here. */
static void take_limit_value(struct route_limits *limits, const char *name, int64_t value)
{
    for (size_t i = 0; i < ROUTE_LIMITS; i++) {
        if (strcmp(route_limit_name(i), name) == 0)
            limits->values[i] = value;
    }
}

/* The tenant's own come first, then those in the service, which hold instead. */
static int take_limit(const struct pg_result *row, void *argument, reeve_unused struct error *err)
{
    struct route_tenant *tenant = owner_of(argument, pg_i64(row, 0, 0));
    for (size_t i = 0; tenant && i < tenant->placement_count; i++) {
        struct route_placement *placement = &tenant->placements[i];
        if (placement->id == pg_i64(row, 0, 1))
            take_limit_value(&placement->limits, pg_text(row, 0, 2), pg_i64(row, 0, 3));
    }
    return 0;
}

static int take_token(const struct pg_result *row, void *argument, reeve_unused struct error *err)
{
    struct route_tenant *tenant = owner_of(argument, pg_i64(row, 0, 0));
    if (!tenant)
        return 0;
    tenant->tokens = grow(tenant->tokens, tenant->token_count, sizeof(struct route_token));
    struct route_token *token = &tenant->tokens[tenant->token_count++];
    *token = (struct route_token){.expires_unix_s = pg_i64(row, 0, 2)};
    str_copy(token->jti, sizeof(token->jti), pg_text(row, 0, 1)); /* 32 digits */
    return 0;
}

int catalog_route_set_load(struct catalog *catalog, const char *ids, struct catalog_route_set *ret,
                           struct error *err)
{
    const struct {
        const char *sql;
        int (*take)(const struct pg_result *row, void *argument, struct error *err);
    } parts[] = {{sql_catalog_route_tenants, take_tenant},
                 {sql_catalog_route_placements, take_placement},
                 {sql_catalog_route_limits, take_limit},
                 {sql_catalog_route_tokens, take_token}};
    _cleanup_route_set_ struct catalog_route_set set = {0};
    for (size_t i = 0; i < array_size(parts); i++) {
        set.cursor = 0;
        int r = pg_query_each(catalog->connection, parts[i].sql, 1, &ids, parts[i].take, &set, err);
        if (r < 0)
            return r;
    }
    *ret = set;
    set = (struct catalog_route_set){0};
    return 0;
}

void catalog_route_set_add_gone(struct catalog_route_set *set, const int64_t *ids, size_t count)
{
    size_t known = set->count;
    for (size_t i = 0, at = 0; i < count; i++) {
        while (at < known && set->tenants[at]->id < ids[i])
            at++;
        if (at < known && set->tenants[at]->id == ids[i])
            continue;
        struct route_tenant *tenant = route_tenant_new();
        tenant->id = ids[i];
        tenant->status = ROUTE_TENANT_GONE;
        add_tenant(set, tenant);
    }
}

/* ---- what is not a tenant's ---- */

static char *copy(const struct pg_result *result, size_t row, size_t column)
{
    const char *text = pg_text(result, row, column);
    return text ? xstrdup(text) : NULL;
}

static void take_services(const struct pg_result *result, struct route_globals *globals)
{
    globals->service_count = pg_rows(result);
    globals->services = xcalloc(globals->service_count + 1, sizeof(struct route_service));
    for (size_t i = 0; i < globals->service_count; i++) {
        struct route_service *service = &globals->services[i];
        service->id = pg_i64(result, i, 0);
        str_copy(service->name, sizeof(service->name), pg_text(result, i, 1));
        service->limits = route_limits_unset;
    }
}

static void take_service_limits(const struct pg_result *result, struct route_globals *globals)
{
    for (size_t i = 0; i < pg_rows(result); i++) {
        for (size_t k = 0; k < globals->service_count; k++) {
            if (globals->services[k].id == pg_i64(result, i, 0))
                take_limit_value(&globals->services[k].limits, pg_text(result, i, 1),
                                 pg_i64(result, i, 2));
        }
    }
}

static void take_clusters(const struct pg_result *result, struct route_globals *globals)
{
    globals->cluster_count = pg_rows(result);
    globals->clusters = xcalloc(globals->cluster_count + 1, sizeof(struct route_cluster));
    for (size_t i = 0; i < globals->cluster_count; i++) {
        struct route_cluster *cluster = &globals->clusters[i];
        cluster->id = pg_i64(result, i, 0);
        str_copy(cluster->name, sizeof(cluster->name), pg_text(result, i, 1));
        str_copy(cluster->conninfo, sizeof(cluster->conninfo), pg_text(result, i, 2));
        cluster->max_backends = (int)pg_i64(result, i, 3);
        if (*pg_text(result, i, 4) && !take_login(result, i, 4, 5, &cluster->pool))
            cluster->pool.role[0] = '\0';
    }
}

static void take_issuers(const struct pg_result *result, struct route_globals *globals)
{
    globals->issuer_count = pg_rows(result);
    globals->issuers = xcalloc(globals->issuer_count + 1, sizeof(struct route_issuer));
    for (size_t i = 0; i < globals->issuer_count; i++)
        globals->issuers[i] = (struct route_issuer){
            .name = copy(result, i, 0),
            .issuer = copy(result, i, 1),
            .audience = copy(result, i, 2),
            .tenant_claim = copy(result, i, 3),
            .jwks = copy(result, i, 4),
            .leeway_s = (int)pg_i64(result, i, 5),
        };
}

int catalog_route_globals_load(struct catalog *catalog, int64_t version, struct route_globals **ret,
                               struct error *err)
{
    static const struct {
        const char *sql;
        void (*take)(const struct pg_result *result, struct route_globals *globals);
    } parts[] = {{sql_catalog_route_services, take_services},
                 {sql_catalog_route_service_limits, take_service_limits},
                 {sql_catalog_route_clusters, take_clusters},
                 {sql_catalog_route_issuers, take_issuers}};
    struct route_globals *globals = route_globals_new();
    globals->version = version;
    for (size_t i = 0; i < array_size(parts); i++) {
        _cleanup_pg_result_ struct pg_result *result = NULL;
        int r = pg_query(catalog->connection, parts[i].sql, 0, NULL, &result, err);
        if (r < 0) {
            route_globals_unref(globals);
            return r;
        }
        parts[i].take(result, globals);
    }
    *ret = globals;
    return 0;
}
