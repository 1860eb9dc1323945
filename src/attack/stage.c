/* stage.c - the two tenants of one target: their making, their credentials, their rows. */
#include "attack/internal.h"
#include "base/str.h"
#include "catalog/audit_event.h"
#include "catalog/service.h"
#include "catalog/tenant.h"
#include "pg/quote.h"
#include "provision/provision.h"
#include "sql/statements.h"

enum { RUN_ID_BYTES = 6, ANALYZE_MAX_BYTES = 8 << 20, VICTIMS = 4 };

/* ---- tenants ---- */

static int create(struct attack_stage *stage, struct attack_side *side, const char *slug,
                  const char *what, struct error *err)
{
    struct catalog_audit_event event = {.actor = stage->options->job->actor,
                                        .action = "tenant.create"};
    const char *name = arena_printf(stage->arena, ATTACK_TENANT_NAME " (%s)", what);
    int result = catalog_begin(stage->catalog, err);
    if (result < 0)
        return result;
    _cleanup_catalog_rollback_ struct catalog *transaction = stage->catalog;
    result = catalog_tenant_create(transaction, slug, name, &event.tenant_id, err);
    if (result == 0)
        result = catalog_audit_append(transaction, &event, err);
    if (result == 0)
        result = catalog_commit(transaction, err);
    if (result < 0)
        return result;
    side->slug = slug;
    side->tenant_id = event.tenant_id;
    return 0;
}

static int attach(struct attack_stage *stage, struct attack_side *side, struct error *err)
{
    const struct provision_attach_spec spec = {.tenant = side->slug,
                                               .service = stage->target->service,
                                               .isolation = stage->target->isolation,
                                               .cluster = stage->target->cluster,
                                               .database = stage->target->database};
    const struct job_context *job = stage->options->job;
    int64_t id = 0;
    int result = provision_attach(job, &spec, &id, err);
    if (result == 0)
        result = place_load(job, stage->catalog, stage->arena, id, &side->place, err);
    if (result < 0 || !stage->enforcement ||
        strcmp(stage->enforcement, side->place->placement.enforcement) == 0)
        return result;
    /* New placements have the cluster's enforcement; the target is of those that have another. */
    result = provision_enforce(job, side->slug, spec.service, stage->enforcement, err);
    return result < 0 ? result
                      : place_load(job, stage->catalog, stage->arena, id, &side->place, err);
}

static int make_side(struct attack_stage *stage, struct attack_side *side, const char *slug,
                     const char *what, struct error *err)
{
    const struct credential_spec own = {0};
    words_random_digits(side->secret);
    int result = create(stage, side, slug, what, err);
    if (result == 0)
        result = attach(stage, side, err);
    return result < 0 ? result : credential_issue(stage, side, &own, true, &side->token, NULL, err);
}

static const char *new_slug(struct arena *arena, char side)
{
    uint8_t random[RUN_ID_BYTES];
    char run[2 * RUN_ID_BYTES + 1];
    crypto_random(random, sizeof(random));
    str_hex(random, sizeof(random), run);
    return arena_printf(arena, ATTACK_SLUG_PREFIX "%s-%c", run, side);
}

static int make_victim(struct attack_stage *stage, struct error *err)
{
    stage->victim.token = catalog_wipe(stage->victim.token);
    int result = make_side(stage, &stage->victim, new_slug(stage->arena, 'b'), "victim", err);
    if (result < 0)
        return result;
    const struct isolation_placement *own = &stage->attacker.place->isolated;
    const struct isolation_placement *victim = &stage->victim.place->isolated;
    stage->enforcement = stage->victim.place->placement.enforcement;
    stage->same_database = strcmp(own->database, victim->database) == 0;
    stage->same_tables = stage->same_database && strcmp(own->schema, victim->schema) == 0;
    return leftover_shares_session(stage, &stage->shares_sessions, err);
}

/* Where sessions are shared at all, a proxy shares them among those tenants that chance has given
 * to one of its threads: another victim may be luckier. What is left over goes with all others. */
static int make_sides(struct attack_stage *stage, struct error *err)
{
    words_random_digits(stage->activity);
    int result = make_side(stage, &stage->attacker, new_slug(stage->arena, 'a'), "attacker", err);
    if (result == 0)
        result = make_victim(stage, err);
    for (int i = 1; i < VICTIMS && result == 0 && !stage->shares_sessions && stage->same_database &&
                    strcmp(stage->enforcement, "login") != 0;
         i++)
        result = make_victim(stage, err);
    return result;
}

/* ---- the administrator ---- */

int stage_admin(struct attack_stage *stage, const char *database, struct pg_connection **ret,
                struct error *err)
{
    return server_connect(&stage->victim.place->server, database, ret, err);
}

static int ask_admin(struct attack_stage *stage, struct error *err)
{
    _cleanup_pg_connection_ struct pg_connection *admin = NULL;
    const char *superuser = NULL;
    int result = stage_admin(stage, NULL, &admin, err);
    if (result == 0)
        result = session_ask(admin, stage->arena, sql_isolation_is_superuser, &superuser, err);
    stage->superuser = superuser && superuser[0] == 't';
    words_add(stage, "superuser", stage->superuser ? "true" : "false", false);
    return result;
}

/* What the planner keeps of a table's values must not be seen either: so it is made to know some. A
 * large table is left alone. */
static int analyze(struct attack_stage *stage, struct error *err)
{
    _cleanup_pg_connection_ struct pg_connection *admin = NULL;
    const struct plant_table *table = stage->plant.chosen;
    const struct isolation_placement *place = &stage->victim.place->isolated;
    if (!table)
        return 0;
    const char *name = pg_qualified(stage->arena, place->schema, table->name);
    const char *size = NULL;
    int64_t bytes = INT64_MAX;
    int result = stage_admin(stage, place->database, &admin, err);
    if (result == 0)
        result = session_ask(admin, stage->arena,
                             arena_printf(stage->arena, "SELECT pg_catalog.pg_relation_size(%s)",
                                          pg_literal(stage->arena, name)),
                             &size, err);
    if (result < 0 || !size || !str_to_i64(size, 0, INT64_MAX, &bytes) || bytes > ANALYZE_MAX_BYTES)
        return result;
    return pg_execute(admin, arena_printf(stage->arena, "ANALYZE %s", name), 0, NULL, NULL, err);
}

int stage_end_backends(struct attack_stage *stage, struct error *err)
{
    _cleanup_pg_connection_ struct pg_connection *admin = NULL;
    const char *role = stage->attacker.place->isolated.role;
    int result = stage_admin(stage, NULL, &admin, err);
    return result < 0 ? result : pg_execute(admin, sql_attack_end_backends, 1, &role, NULL, err);
}

/* ---- the whole ---- */

static int find_other_service(struct attack_stage *stage, struct error *err)
{
    struct catalog_service *services;
    size_t count;
    int result = catalog_service_list(stage->catalog, stage->arena, &services, &count, err);
    stage->other_service = ATTACK_SLUG_PREFIX "elsewhere";
    for (size_t i = 0; result == 0 && i < count; i++)
        if (services[i].id != stage->target->service_id)
            stage->other_service = services[i].name;
    return result;
}

static int fill(struct attack_stage *stage, struct error *err)
{
    _cleanup_pg_connection_ struct pg_connection *victim = NULL, *attacker = NULL;
    int result = session_open(stage, &stage->victim, NULL, &victim, err);
    if (result == 0)
        result = session_open(stage, &stage->attacker, NULL, &attacker, err);
    return result < 0 ? result : plant_rows(stage, victim, attacker, err);
}

int stage_begin(struct attack_stage *stage, struct error *err)
{
    struct attack_outcome ignored;
    int result = make_sides(stage, err);
    if (result == 0)
        result = find_other_service(stage, err);
    if (result < 0)
        return result;
    words_fill(stage);
    words_add(stage, "other_service", stage->other_service, true);
    result = ask_admin(stage, err);
    if (result == 0)
        result = fill(stage, err);
    if (result == 0)
        result = analyze(stage, err);
    outcome_init(&ignored, stage, stage->arena);
    if (result == 0)
        result = look_after_victim(stage, &ignored, err);
    outcome_free(&ignored);
    return result < 0 ? result : look_first(stage, err);
}

void stage_end(struct attack_stage *stage)
{
    stage->watch = pg_close(stage->watch);
    free(stage->digest);
    stage->digest = NULL;
    stage->attacker.token = catalog_wipe(stage->attacker.token);
    stage->victim.token = catalog_wipe(stage->victim.token);
}

/* ---- what the attacker's role begins its sessions with ---- */

struct stage_defaults {
    struct pg_result *rows; /* (database or NULL, setting, value) */
};

static void free_rows(struct pg_result **rows)
{
    *rows = pg_result_free(*rows);
}

static int read_defaults(struct attack_stage *stage, struct pg_connection *admin,
                         struct pg_result **ret, struct error *err)
{
    const char *role = stage->attacker.place->isolated.role;
    return pg_query(admin, sql_attack_role_defaults, 1, &role, ret, err);
}

int stage_keep_defaults(struct attack_stage *stage, struct arena *arena,
                        struct stage_defaults **ret, struct error *err)
{
    _cleanup_pg_connection_ struct pg_connection *admin = NULL;
    struct stage_defaults *kept = arena_zalloc(arena, sizeof(*kept));
    int result = stage_admin(stage, NULL, &admin, err);
    if (result == 0)
        result = read_defaults(stage, admin, &kept->rows, err);
    if (result == 0)
        *ret = kept;
    return result;
}

static bool same_rows(const struct pg_result *a, const struct pg_result *b)
{
    if (pg_rows(a) != pg_rows(b))
        return false;
    for (size_t i = 0; i < pg_rows(a); i++)
        for (size_t k = 0; k < pg_columns(a); k++) {
            const char *one = pg_text(a, i, k), *other = pg_text(b, i, k);
            if (strcmp(one ? one : "", other ? other : "") != 0)
                return false;
        }
    return true;
}

static const char *of_database(struct arena *arena, const struct pg_result *rows, size_t row)
{
    const char *database = pg_text(rows, row, 0);
    return database ? arena_printf(arena, " IN DATABASE %s", pg_identifier(arena, database)) : "";
}

static int reset_all(struct pg_connection *admin, struct arena *arena, const char *role,
                     const struct pg_result *rows, struct error *err)
{
    int result = 0;
    for (size_t i = 0; result == 0 && i < pg_rows(rows); i++)
        result = pg_execute(
            admin,
            arena_printf(arena, "ALTER ROLE %s%s RESET ALL", role, of_database(arena, rows, i)), 0,
            NULL, NULL, err);
    return result;
}

/* By way of the session's own setting, as a stored value is no literal (a list of names). */
static int set_all(struct pg_connection *admin, struct arena *arena, const char *role,
                   const struct pg_result *rows, struct error *err)
{
    int result = 0;
    for (size_t i = 0; result == 0 && i < pg_rows(rows); i++) {
        const char *const setting[] = {pg_text(rows, i, 1), pg_text(rows, i, 2)};
        result =
            pg_execute(admin, "SELECT pg_catalog.set_config($1, $2, false)", 2, setting, NULL, err);
        if (result == 0)
            result = pg_execute(admin,
                                arena_printf(arena, "ALTER ROLE %s%s SET %s FROM CURRENT", role,
                                             of_database(arena, rows, i), setting[0]),
                                0, NULL, NULL, err);
    }
    return result;
}

int stage_restore_defaults(struct attack_stage *stage, const struct stage_defaults *kept,
                           struct error *err)
{
    _cleanup_arena_ struct arena arena = {0};
    _cleanup_pg_connection_ struct pg_connection *admin = NULL;
    _cleanup_(free_rows) struct pg_result *before = kept->rows;
    _cleanup_pg_result_ struct pg_result *now = NULL;
    const char *role = pg_identifier(&arena, stage->attacker.place->isolated.role);
    int result = stage_admin(stage, NULL, &admin, err);
    if (result == 0)
        result = read_defaults(stage, admin, &now, err);
    if (result < 0 || same_rows(before, now))
        return result;
    result = reset_all(admin, &arena, role, now, err);
    if (result == 0)
        result = set_all(admin, &arena, role, before, err);
    return result < 0 ? result : stage_end_backends(stage, err);
}
