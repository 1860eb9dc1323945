#include "provision/base.h"

#include "auth/scram.h"
#include "base/str.h"
#include "catalog/move.h"

enum { PASSWORD_BYTES = 32 };

struct catalog_sealed base_random_password(struct arena *arena, const uint8_t key[CRYPTO_KEY_SIZE],
                                           const char *context)
{
    uint8_t bytes[PASSWORD_BYTES];
    char password[2 * PASSWORD_BYTES + 1];
    crypto_random(bytes, sizeof(bytes));
    str_hex(bytes, sizeof(bytes), password);
    struct catalog_sealed sealed = catalog_seal(arena, key, context, password);
    crypto_wipe(bytes, sizeof(bytes));
    crypto_wipe(password, sizeof(password));
    return sealed;
}

int base_verifier(struct arena *arena, const uint8_t key[CRYPTO_KEY_SIZE], const char *context,
                  const struct catalog_sealed *sealed, const char **ret, struct error *err)
{
    _cleanup_catalog_wipe_ char *password = NULL;
    int r = catalog_unseal(key, context, sealed, &password, err);
    if (r < 0)
        return r;
    char *verifier = arena_zalloc(arena, SCRAM_VERIFIER_TEXT_MAX);
    scram_verifier_make(password, SCRAM_MACHINE_ITERATIONS, verifier);
    *ret = verifier;
    return 0;
}

/* Stored first: a role with a password that nobody knows would be of no use. */
static int ensure_owner(struct catalog *catalog, struct arena *arena, struct site *site,
                        const struct server *server, struct error *err)
{
    const uint8_t *key = server->context->master_key;
    char context[CATALOG_SECRET_CONTEXT_SIZE];
    catalog_owner_context(site->cluster.id, site->isolation.owner_role, context);
    const struct catalog_service_owner fresh = {
        .service_id = site->service.id,
        .cluster_id = site->cluster.id,
        .role = site->isolation.owner_role,
        .password = base_random_password(arena, key, context),
    };
    struct catalog_service_owner owner;
    int r = catalog_service_owner_ensure(catalog, arena, &fresh, &owner, err);
    if (r < 0)
        return r;
    site->login.owner_password = owner.password;
    return base_verifier(arena, key, context, &owner.password, &site->isolation.owner_verifier,
                         err);
}

static int ensure_database(struct catalog *catalog, const struct site *site,
                           enum catalog_database_kind kind, const char *name, struct error *err)
{
    if (!name)
        return 0;
    const struct catalog_service_database database = {
        .service_id = site->service.id,
        .cluster_id = site->cluster.id,
        .kind = kind,
        .database = name,
    };
    return catalog_service_database_ensure(catalog, &database, NULL, err);
}

/* The rows are written behind the server's work, so they say that it is done. */
static int is_prepared(struct catalog *catalog, struct arena *arena, const struct site *site,
                       bool *ret, struct error *err)
{
    struct catalog_service_database *databases;
    size_t count;
    int r = catalog_service_database_list(catalog, arena, site->service.id, site->cluster.id,
                                          &databases, &count, err);
    if (r < 0)
        return r;
    bool shared = !site->isolation.shared_database, template = !site->isolation.template_database;
    for (size_t i = 0; i < count; i++) {
        template |= databases[i].kind == CATALOG_DATABASE_TEMPLATE;
        shared |= databases[i].kind == CATALOG_DATABASE_SHARED && site->isolation.shared_database &&
                  strcmp(databases[i].database, site->isolation.shared_database) == 0;
    }
    *ret = site->login.owner_password.length > 0 && shared && template;
    return 0;
}

int base_prepare(struct catalog *catalog, struct arena *arena, struct site *site,
                 struct server *server, struct error *err)
{
    bool prepared = false;
    int r = is_prepared(catalog, arena, site, &prepared, err);
    if (r < 0 || prepared)
        return r;
    r = isolation_prepare_cluster(&server->isolation, err);
    if (r == 0)
        r = ensure_owner(catalog, arena, site, server, err);
    if (r == 0)
        r = isolation_prepare_service(&server->isolation, &site->isolation, err);
    site->isolation.owner_verifier = NULL; /* from here on the role keeps what it has */
    if (r == 0)
        r = ensure_database(catalog, site, CATALOG_DATABASE_SHARED, site->isolation.shared_database,
                            err);
    if (r == 0)
        r = ensure_database(catalog, site, CATALOG_DATABASE_TEMPLATE,
                            site->isolation.template_database, err);
    return r;
}

int base_migrate(struct catalog *catalog, struct arena *arena, const struct site *site,
                 const struct isolation_target *target, const struct migration_set *set,
                 struct error *err)
{
    struct migrate_result result;
    int r = site_migrate(catalog, site, target, NULL, set, false, arena, &result, err);
    if (r < 0)
        error_prefix(err, "%s on cluster %s", target->description, site->cluster.name);
    return r;
}

/* database NULL: whichever it is. */
static bool is_in(const struct site *site, const char *database,
                  const struct catalog_placement *place)
{
    return place->service_id == site->service.id &&
           (!database || strcmp(place->database, database) == 0);
}

static int refuse_place(const struct site *site, const struct catalog_placement *place,
                        const char *why, struct error *err)
{
    error_set(err, ERROR_STATE,
              "tenant \"%s\" %s database \"%s\" of service \"%s\" on cluster \"%s\"", place->tenant,
              why, place->database, site->service.name, site->cluster.name);
    error_hint(err, "move or detach it, or finish its move, first");
    return -ERROR_STATE;
}

/* Whoever comes in has its row in the catalog before it waits for the site's lock. */
int base_check_unused(struct catalog *catalog, const struct site *site, const char *database,
                      struct error *err)
{
    _cleanup_arena_ struct arena arena;
    arena_init(&arena, 0);
    struct catalog_placement_filter filter = CATALOG_PLACEMENT_ANY;
    filter.service_id = site->service.id;
    filter.cluster_id = site->cluster.id;
    const struct catalog_move_filter other = {.cluster_id = site->cluster.id, .open = true};
    struct catalog_placement *placements = NULL;
    struct catalog_move *moves = NULL;
    size_t count = 0, move_count = 0;
    int r = catalog_placement_list(catalog, &arena, &filter, &placements, &count, err);
    if (r == 0)
        r = catalog_move_list(catalog, &arena, &other, &moves, &move_count, err);
    for (size_t i = 0; r == 0 && i < count; i++)
        if (is_in(site, database, &placements[i]))
            r = refuse_place(site, &placements[i], "is in", err);
    for (size_t i = 0; r == 0 && i < move_count; i++)
        if (is_in(site, database, &moves[i].place))
            r = refuse_place(site, &moves[i].place, "has an open move, and a place in", err);
    return r;
}

int base_drop(struct catalog *catalog, const struct site *site, struct server *server,
              struct error *err)
{
    int r = base_check_unused(catalog, site, NULL, err);
    if (r == 0)
        r = isolation_drop_service(&server->isolation, &site->isolation, err);
    if (r == 0)
        r = catalog_service_database_delete(catalog, site->service.id, site->cluster.id, NULL, err);
    if (r == 0)
        r = catalog_service_owner_delete(catalog, site->service.id, site->cluster.id, err);
    return r;
}

int base_drop_shared(struct catalog *catalog, const struct site *site, struct server *server,
                     struct error *err)
{
    int r = isolation_drop_shared(&server->isolation, &site->isolation, err);
    return r < 0 ? r
                 : catalog_service_database_delete(catalog, site->service.id, site->cluster.id,
                                                   site->isolation.shared_database, err);
}
