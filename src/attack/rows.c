/* rows.c - items 8 to 16: row-level security, keys, statistics; and tables' locks (32). */
#include "attack/internal.h"
#include "base/str.h"
#include "pg/quote.h"

/* ---- 11: operators that tell what they are given ---- */

/* A row that is not the attacker's and was looked at makes a cast fail, whatever the error says. */
static void judge_cast(const struct attack *attack reeve_unused, struct attack_outcome *outcome)
{
    if (outcome->refused > 0 && str_has_prefix(outcome->sqlstate, "22"))
        outcome_decide(
            outcome, ATTACK_FINDING,
            "an expression of the attacker's was evaluated on rows that are not its own");
}

/* ---- 14: one prepared statement, two tenants ---- */

static int play_prepared(struct attack_stage *stage, const struct attack *attack,
                         struct attack_outcome *outcome, struct error *err)
{
    _cleanup_arena_ struct arena arena = {0};
    _cleanup_pg_connection_ struct pg_connection *attacker = NULL, *victim = NULL;
    const char *missing;
    const char *sql = words_expand(stage, &arena, attack->sql, false, &missing);
    struct attack_outcome aside;
    int result = session_try(stage, &stage->attacker, NULL, outcome, &attacker, err);
    if (result == 0 && attacker)
        result = session_try(stage, &stage->victim, NULL, outcome, &victim, err);
    if (result < 0 || !victim)
        return result;
    outcome_init(&aside, stage, &arena); /* the victim may see its own secret */
    for (int i = 0; result == 0 && i < 6; i++) {
        result = session_say(victim, i == 0 ? PG_RAW_PREPARE : PG_RAW_PREPARED, sql, &aside, err);
        if (result == 0)
            result =
                session_say(attacker, i == 0 ? PG_RAW_PREPARE : PG_RAW_PREPARED, sql, outcome, err);
    }
    if (result == 0 && aside.rows == 0)
        outcome->inconclusive = true; /* a statement that shows nothing to anybody proves nothing */
    outcome_free(&aside);
    return result;
}

/* ---- 10: keys ---- */

/* A row with the victim's own text in it must go in, as nobody else's rows are there. */
static void judge_key(struct attack_outcome *outcome, const char *table)
{
    if (strcmp(outcome->sqlstate, "23505") == 0 || strcmp(outcome->sqlstate, "23P01") == 0)
        outcome_gain(outcome, "table %s tells that a neighbour's key exists", table);
}

/* In a table from which the attacker's own row is taken first, so that it is not in the way. */
static int play_key(struct attack_stage *stage, const struct plant_table *table,
                    struct pg_connection *attacker, struct attack_outcome *outcome,
                    struct error *err)
{
    _cleanup_arena_ struct arena arena = {0};
    const char *schema = stage->attacker.place->isolated.schema;
    const char *where = table->has_tenant ? arena_printf(&arena, " WHERE tenant_id = %lld",
                                                         (long long)stage->attacker.tenant_id)
                                          : "";
    struct attack_outcome aside;
    outcome_init(&aside, stage, &arena);
    int result = session_say(attacker, PG_RAW_SIMPLE,
                             arena_printf(&arena, "BEGIN; DELETE FROM %s%s",
                                          pg_qualified(&arena, schema, table->name), where),
                             &aside, err);
    if (result == 0 && aside.refused == 0)
        result =
            session_say(attacker, PG_RAW_SIMPLE,
                        plant_insert(&arena, table, schema, stage->victim.secret, 0), outcome, err);
    outcome_free(&aside);
    session_rollback(attacker);
    return result;
}

static int play_keys(struct attack_stage *stage, const struct attack *attack reeve_unused,
                     struct attack_outcome *outcome, struct error *err)
{
    _cleanup_pg_connection_ struct pg_connection *attacker = NULL;
    int result = session_try(stage, &stage->attacker, NULL, outcome, &attacker, err);
    outcome_tried(outcome, "a row with the same text as the victim's, in each table that has one");
    for (size_t i = 0; result == 0 && attacker && i < stage->plant.filled; i++) {
        const struct plant_table *table = stage->plant.order[i];
        if (!table->secret_column)
            continue;
        outcome->sqlstate[0] = '\0';
        result = play_key(stage, table, attacker, outcome, err);
        judge_key(outcome, table->name);
    }
    if (result == 0 && attacker && outcome->accepted == 0 && outcome->gain.length == 0)
        outcome_decide(outcome, ATTACK_SKIPPED, "no table took such a row, for other reasons");
    return result;
}

struct refusal {
    char sqlstate[SQLSTATE_SIZE];
    char text[600]; /* message and detail */
};

static void note_error(void *owner, const struct pg_raw_piece *piece)
{
    struct refusal *refusal = owner;
    if (piece->kind != PG_RAW_ERROR)
        return;
    str_copy(refusal->sqlstate, sizeof(refusal->sqlstate), piece->sqlstate);
    snprintf(refusal->text, sizeof(refusal->text), "%s / %s", piece->message, piece->detail);
}

static int victims_key(struct attack_stage *stage, struct arena *arena, const char **ret,
                       struct error *err)
{
    _cleanup_pg_connection_ struct pg_connection *victim = NULL;
    const struct plant *plant = &stage->plant;
    const char *schema = stage->victim.place->isolated.schema;
    const char *column = pg_identifier(arena, plant->parent_column);
    int result = session_open(stage, &stage->victim, NULL, &victim, err);
    if (result == 0)
        result = session_ask(victim, arena,
                             arena_printf(arena,
                                          "SELECT %s FROM %s WHERE tenant_id = %lld AND %s IS NOT"
                                          " NULL LIMIT 1",
                                          column, pg_qualified(arena, schema, plant->parent->name),
                                          (long long)stage->victim.tenant_id, column),
                             ret, err);
    return result;
}

/* Without the number, which the attacker chose. */
static void remove_number(char *text, const char *number)
{
    for (char *at; (at = strstr(text, number)) != NULL;)
        memmove(at, at + strlen(number), strlen(at + strlen(number)) + 1);
}

static int refer_to(struct attack_stage *stage, struct pg_connection *attacker, const char *key,
                    struct refusal *ret, struct error *err)
{
    _cleanup_arena_ struct arena arena = {0};
    char secret[ATTACK_SECRET_SIZE];
    words_random_digits(secret);
    const char *sql =
        plant_insert_with(&arena, stage->plant.child, stage->attacker.place->isolated.schema,
                          secret, stage->plant.child_column, key);
    const struct pg_raw_request request = {.style = PG_RAW_SIMPLE,
                                           .sql = arena_printf(&arena, "BEGIN; %s", sql),
                                           .timeout_us = ATTACK_STATEMENT_TIMEOUT_US,
                                           .visit = note_error,
                                           .owner = ret};
    int result = pg_raw_run(attacker, &request, err);
    session_rollback(attacker);
    remove_number(ret->text, key);
    return result;
}

/* A reference to the victim's row must fail in the same words as one to no row at all. */
static int play_reference(struct attack_stage *stage, const struct attack *attack reeve_unused,
                          struct attack_outcome *outcome, struct error *err)
{
    _cleanup_arena_ struct arena arena = {0};
    _cleanup_pg_connection_ struct pg_connection *attacker = NULL;
    struct refusal victims = {0}, nobodys = {0};
    const char *key = NULL;
    outcome_tried(outcome, "rows in %s that refer to a row of the victim's in %s, and to none",
                  stage->plant.child->name, stage->plant.parent->name);
    int result = victims_key(stage, &arena, &key, err);
    if (result == 0 && key)
        result = session_try(stage, &stage->attacker, NULL, outcome, &attacker, err);
    if (result == 0 && !key)
        outcome_decide(outcome, ATTACK_SKIPPED, "the victim has no row to refer to");
    if (result < 0 || !attacker)
        return result;
    result = refer_to(stage, attacker, key, &victims, err);
    if (result == 0)
        result = refer_to(stage, attacker, "2147480000", &nobodys, err);
    if (result < 0)
        return session_failed(outcome, result, err);
    outcome_back(outcome, "%s for the victim's row, %s for none",
                 victims.sqlstate[0] ? victims.sqlstate : "accepted",
                 nobodys.sqlstate[0] ? nobodys.sqlstate : "accepted");
    if (!victims.sqlstate[0])
        outcome_gain(outcome, "a row of the attacker's may refer to one of the victim's");
    else if (strcmp(victims.sqlstate, nobodys.sqlstate) != 0 ||
             strcmp(victims.text, nobodys.text) != 0)
        outcome_gain(outcome, "the answers tell whether the victim has a row");
    return 0;
}

/* Deleting one's own row of the same key must not take the victim's with it. */
static int play_cascade(struct attack_stage *stage, const struct attack *attack reeve_unused,
                        struct attack_outcome *outcome, struct error *err)
{
    _cleanup_arena_ struct arena arena = {0};
    _cleanup_pg_connection_ struct pg_connection *attacker = NULL;
    const struct plant *plant = &stage->plant;
    const char *schema = stage->attacker.place->isolated.schema;
    const char *key = NULL;
    char secret[ATTACK_SECRET_SIZE];
    words_random_digits(secret);
    outcome_tried(outcome,
                  "a row in %s with the key of the victim's, one in %s that refers to it,"
                  " and deleting it",
                  plant->parent->name, plant->child->name);
    int result = victims_key(stage, &arena, &key, err);
    if (result == 0 && key)
        result = session_try(stage, &stage->attacker, NULL, outcome, &attacker, err);
    if (result == 0 && !key)
        outcome_decide(outcome, ATTACK_SKIPPED, "the victim has no row with a key to take");
    if (result < 0 || !attacker)
        return result;
    const char *const texts[] = {
        plant_insert_with(&arena, plant->parent, schema, secret, plant->parent_column, key),
        plant_insert_with(&arena, plant->child, schema, secret, plant->child_column, key),
        /* Only what is theirs is in danger, should policies not hold. */
        arena_printf(&arena, "DELETE FROM %s WHERE %s = %s AND tenant_id IN (%lld, %lld)",
                     pg_qualified(&arena, schema, plant->parent->name),
                     pg_identifier(&arena, plant->parent_column), key,
                     (long long)stage->attacker.tenant_id, (long long)stage->victim.tenant_id),
    };
    for (size_t i = 0; result == 0 && i < array_size(texts); i++)
        result = session_say(attacker, PG_RAW_SIMPLE, texts[i], outcome, err);
    if (result == 0 && outcome->refused > 0)
        judge_key(outcome, plant->parent->name);
    return result;
}

/* ---- 15: COPY ---- */

static int play_copy(struct attack_stage *stage, const struct attack *attack,
                     struct attack_outcome *outcome, struct error *err)
{
    _cleanup_arena_ struct arena arena = {0};
    _cleanup_pg_connection_ struct pg_connection *attacker = NULL;
    const char *missing;
    const char *sql = words_expand(stage, &arena, attack->sql, false, &missing);
    int result = session_try(stage, &stage->attacker, NULL, outcome, &attacker, err);
    if (result < 0 || !attacker)
        return result;
    const struct pg_raw_request request = {
        .style = PG_RAW_SIMPLE,
        .sql = arena_printf(&arena, "BEGIN; %s", sql),
        .copy = arena_printf(&arena, "1\t%lld\n", (long long)stage->victim.tenant_id),
        .timeout_us = ATTACK_STATEMENT_TIMEOUT_US,
        .visit = session_note,
        .owner = outcome};
    result = pg_raw_run(attacker, &request, err);
    if (result < 0)
        return session_failed(outcome, result, err);
    session_rollback(attacker);
    outcome->accepted -= outcome->accepted > 0; /* BEGIN */
    judge_refused(attack, outcome);
    return 0;
}

/* ---- 16: what EXPLAIN tells ---- */

static void note_removed(void *owner, const struct pg_raw_piece *piece)
{
    bool *removed = owner;
    for (size_t i = 0; piece->rows && i < pg_rows(piece->rows); i++) {
        const char *line = pg_text(piece->rows, i, 0);
        if (line && strstr(line, "Rows Removed by Filter"))
            *removed = true;
    }
}

static int play_explain(struct attack_stage *stage, const struct attack *attack,
                        struct attack_outcome *outcome, struct error *err)
{
    _cleanup_arena_ struct arena arena = {0};
    _cleanup_pg_connection_ struct pg_connection *attacker = NULL;
    const char *missing;
    bool removed = false;
    int result = session_try(stage, &stage->attacker, NULL, outcome, &attacker, err);
    if (result < 0 || !attacker)
        return result;
    const struct pg_raw_request request = {
        .style = PG_RAW_SIMPLE,
        .sql = words_expand(stage, &arena, attack->sql, false, &missing),
        .timeout_us = ATTACK_STATEMENT_TIMEOUT_US,
        .visit = note_removed,
        .owner = &removed};
    result = pg_raw_run(attacker, &request, err);
    if (result < 0)
        return session_failed(outcome, result, err);
    outcome_back(outcome, removed ? "how many rows the policy kept back" : "no such number");
    if (removed)
        outcome_decide(outcome, ATTACK_RESIDUAL,
                       "PostgreSQL counts rows that a policy keeps back, where no index leads to"
                       " the tenant's own");
    return 0;
}

/* ---- 32: locks ---- */

/* In one message, so that nobody waits. */
static int play_lock(struct attack_stage *stage, const struct attack *attack,
                     struct attack_outcome *outcome, struct error *err)
{
    _cleanup_arena_ struct arena arena = {0};
    _cleanup_pg_connection_ struct pg_connection *attacker = NULL;
    const char *missing;
    int result = session_try(stage, &stage->attacker, NULL, outcome, &attacker, err);
    if (result == 0 && attacker)
        result =
            session_say(attacker, PG_RAW_SIMPLE,
                        words_expand(stage, &arena, attack->sql, false, &missing), outcome, err);
    if (result < 0 || !attacker)
        return result;
    session_rollback(attacker);
    if (outcome->refused == 0 || strcmp(outcome->sqlstate, "55P03") == 0)
        outcome_decide(outcome, ATTACK_RESIDUAL,
                       "who may delete rows may lock the table, and every tenant of it waits: the"
                       " deadlines for transactions are what ends it");
    return 0;
}

/* ---- the table ---- */

#define OWN_SCHEMA "relnamespace = pg_catalog.to_regnamespace(quote_ident({own_schema:s}))"

const struct attack attacks_rows[] = {
    ATTACK_EMPTY("rows.attributes", 8, "attributes of the role that policies do not hold for",
                 REACH_ANY,
                 "SELECT rolname FROM pg_roles WHERE rolname IN ({role:s}, {own_role:s},"
                 " session_user, current_user) AND (rolsuper OR rolbypassrls OR rolcreaterole OR"
                 " rolcreatedb OR rolreplication)"),
    ATTACK_EMPTY("rows.membership", 8, "membership in a role that owns, bypasses or logs in",
                 REACH_ANY,
                 "SELECT g.rolname FROM pg_roles g WHERE g.rolname <> current_user AND"
                 " pg_has_role(current_user, g.oid, 'MEMBER') AND (g.rolsuper OR g.rolbypassrls OR"
                 " g.rolcreaterole OR g.rolcanlogin OR g.rolname LIKE 'pg\\_%' OR EXISTS"
                 " (SELECT FROM pg_class WHERE relowner = g.oid))"),
    ATTACK_EMPTY("rows.ownership", 8, "relations, functions, schemas that a tenant owns", REACH_ANY,
                 "SELECT relname FROM pg_class WHERE pg_get_userbyid(relowner) IN (current_user,"
                 " {role:s}) UNION ALL SELECT proname FROM pg_proc WHERE"
                 " pg_get_userbyid(proowner) IN (current_user, {role:s}) UNION ALL"
                 " SELECT nspname FROM pg_namespace WHERE pg_get_userbyid(nspowner) IN"
                 " (current_user, {role:s}) UNION ALL SELECT datname FROM pg_database WHERE"
                 " pg_get_userbyid(datdba) IN (current_user, {role:s})"),
    ATTACK_EMPTY("rows.forced", 8, "tenants' tables without forced row-level security",
                 REACH_TABLES,
                 "SELECT relname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND"
                 " a.attname = 'tenant_id' AND NOT a.attisdropped WHERE relkind IN ('r', 'p') AND"
                 " " OWN_SCHEMA " AND NOT (relrowsecurity AND relforcerowsecurity)"),
    ATTACK_EMPTY("rows.policies", 8, "policies that are not Reeve's", REACH_TABLES,
                 "SELECT relname || ': ' || polname FROM pg_policy p JOIN pg_class c ON"
                 " c.oid = polrelid WHERE " OWN_SCHEMA " AND polname NOT LIKE 'reeve\\_%'"),
    ATTACK_REFUSED("rows.disable", 8, "switching row-level security off", IN_TRANSACTION,
                   "ALTER TABLE {own_table} DISABLE ROW LEVEL SECURITY;"
                   " ALTER TABLE {own_table} NO FORCE ROW LEVEL SECURITY",
                   NULL),
    ATTACK_REFUSED("rows.policy", 8, "making and dropping policies", IN_TRANSACTION,
                   "CREATE POLICY reeve_attack ON {own_table} USING (true);"
                   " DROP POLICY reeve_tenant ON {own_table};"
                   " ALTER POLICY reeve_tenant ON {own_table} USING (true)",
                   NULL),
    ATTACK_REFUSED("rows.own", 8, "owning, renaming and dropping the table", IN_TRANSACTION,
                   "ALTER TABLE {own_table} OWNER TO {own_role};"
                   " ALTER TABLE {own_table} RENAME TO reeve_attack;"
                   " ALTER TABLE {own_table} ADD COLUMN reeve_attack int;"
                   " DROP TABLE {own_table} CASCADE",
                   NULL),
    ATTACK_NO_GAIN("rows.grant", 8, "granting what one has", IN_TRANSACTION,
                   "GRANT SELECT ON {own_table} TO PUBLIC; GRANT ALL ON {victim_table} TO"
                   " {own_role}"),

    ATTACK_REFUSED("rows.insert", 9, "INSERT with the victim's tenant id",
                   IN_TRANSACTION | NEEDS_TENANT, "{forge}", "42501 23514"),
    ATTACK_REFUSED(
        "rows.insert_select", 9, "INSERT ... SELECT with it", IN_TRANSACTION | NEEDS_TENANT,
        "INSERT INTO {own_table} (tenant_id, {forge_columns}) SELECT {id}, {forge_values}",
        "42501 23514"),
    ATTACK_REFUSED("rows.update", 9, "UPDATE of one's own row to it", IN_TRANSACTION | NEEDS_TENANT,
                   "UPDATE {own_table} SET tenant_id = {id} WHERE tenant_id = {own_id}",
                   "42501 23514"),
    ATTACK_REFUSED("rows.upsert_nothing", 9, "ON CONFLICT DO NOTHING on the victim's key",
                   IN_TRANSACTION | NEEDS_TENANT | OWN_TEXT, "{forge_same} ON CONFLICT DO NOTHING",
                   "42501 23514"),
    ATTACK_REFUSED("rows.upsert", 9, "ON CONFLICT DO UPDATE on the victim's key",
                   IN_TRANSACTION | NEEDS_TENANT | OWN_TEXT,
                   "{forge_same} ON CONFLICT ON CONSTRAINT {unique} DO UPDATE SET tenant_id = {id}",
                   "42501 23514"),
    ATTACK_REFUSED(
        "rows.merge", 9, "MERGE that inserts for the victim", IN_TRANSACTION | NEEDS_TENANT,
        "MERGE INTO {own_table} t USING (SELECT {id}::bigint AS i) v ON t.tenant_id = v.i"
        " AND t.tenant_id < 0 WHEN NOT MATCHED THEN INSERT (tenant_id, {forge_columns})"
        " VALUES (v.i, {forge_values})",
        "42501 23514"),
    ATTACK_UNTOUCHED("rows.merge_update", 9, "MERGE that changes the victim's rows", NEEDS_TENANT,
                     "MERGE INTO {own_table} t USING (SELECT {id}::bigint AS i) v ON"
                     " t.tenant_id = v.i WHEN MATCHED THEN UPDATE SET {column} = t.{column}"),
    ATTACK_UNTOUCHED("rows.update_victims", 9, "UPDATE of the victim's rows", NEEDS_TENANT,
                     "UPDATE {own_table} SET {column} = {column} WHERE tenant_id = {id}"),
    ATTACK_UNTOUCHED("rows.delete_victims", 9, "DELETE of the victim's rows", NEEDS_TENANT,
                     "DELETE FROM {own_table} WHERE tenant_id = {id}"),
    ATTACK_UNTOUCHED("rows.delete_by_name", 9, "the same, by the table's full name", OWN_TEXT,
                     "UPDATE {victim_table} SET {column} = {column} WHERE {column}::text LIKE"
                     " '%{secret}%'; DELETE FROM {victim_table} WHERE {column}::text LIKE"
                     " '%{secret}%'"),
    ATTACK_EMPTY("rows.shared", 9, "reference tables that a tenant may write", REACH_ANY,
                 "SELECT relname FROM pg_class c WHERE relkind = 'r' AND " OWN_SCHEMA
                 " AND obj_description(c.oid, 'pg_class') LIKE '@reeve:shared%' AND"
                 " has_table_privilege(c.oid, 'INSERT, UPDATE, DELETE, TRUNCATE')"),

    ATTACK_PLAYED("keys.unique", 10, "the victim's natural keys", REACH_ANY, OWN_TEXT, play_keys,
                  NULL),
    ATTACK_PLAYED("keys.reference", 10, "a reference to the victim's row", REACH_TABLES,
                  NEEDS_TENANT | NEEDS_PAIR, play_reference, NULL),

    {.id = "statistics.cast",
     .threat = 11,
     .title = "a cast that fails on what it is given",
     .flags = QUIET,
     .sql = "SELECT count(*) FROM {own_table} WHERE CASE WHEN {column}::text LIKE '%{own_secret}%'"
            " THEN 1 ELSE {column}::text::date - '2000-01-01'::date END = 0",
     .judge = judge_cast},
    ATTACK_NO_GAIN("statistics.function", 11, "a function that tells what it is given", 0,
                   "CREATE FUNCTION pg_temp.leak(text) RETURNS boolean LANGUAGE plpgsql COST 0.1 AS"
                   " $$ BEGIN RAISE NOTICE '%', $1; RETURN true; END $$;"
                   " SELECT count(*) FROM {table} WHERE pg_temp.leak({column}::text)"),
    ATTACK_EMPTY("statistics.values", 11, "the victim's values among the planner's", REACH_ANY,
                 "SELECT tablename FROM pg_stats t WHERE schemaname = {schema:s} AND t::text LIKE"
                 " '%' || {secret_a:s} || {secret_b:s} || '%' AND {column:s} <> ''"),
    ATTACK_EMPTY("statistics.extended", 11, "the same in extended statistics", REACH_ANY,
                 "SELECT tablename FROM pg_stats_ext t WHERE schemaname = {schema:s} AND t::text"
                 " LIKE '%' || {secret_a:s} || {secret_b:s} || '%'"),

    ATTACK_EMPTY("views.invoker", 12, "views that ask with their owner's rights", REACH_TABLES,
                 "SELECT relname FROM pg_class c WHERE relkind = 'v' AND " OWN_SCHEMA
                 " AND has_table_privilege(c.oid, 'SELECT') AND NOT coalesce(reloptions, '{}') &&"
                 " ARRAY['security_invoker=true', 'security_invoker=on', 'security_invoker=1',"
                 " 'security_invoker=yes']"),
    ATTACK_EMPTY("views.materialized", 12, "materialized views and foreign tables", REACH_TABLES,
                 "SELECT relname FROM pg_class c WHERE relkind IN ('m', 'f') AND " OWN_SCHEMA
                 " AND has_table_privilege(c.oid, 'SELECT')"),
    ATTACK_EMPTY("views.definer", 12, "functions that run with their owner's rights", REACH_ANY,
                 "SELECT p.oid::regprocedure::text FROM pg_proc p WHERE prosecdef AND"
                 " has_function_privilege(p.oid, 'EXECUTE') AND"
                 " has_schema_privilege(pronamespace, 'USAGE') AND NOT (pronamespace ="
                 " 'reeve'::regnamespace AND proname IN ('tenant_id', 'tenant_slug',"
                 " 'login_tenant', 'login_tenant_slug'))"),

    ATTACK_EMPTY("privileges.partitions", 13, "partitions that can be read directly", REACH_TABLES,
                 "SELECT relname FROM pg_class c WHERE relispartition AND relkind IN ('r', 'p') AND"
                 " has_table_privilege(c.oid, 'SELECT') AND NOT relrowsecurity AND " OWN_SCHEMA),
    ATTACK_EMPTY("privileges.tables", 13, "TRUNCATE, REFERENCES, TRIGGER", REACH_ANY,
                 "SELECT c.oid::regclass::text FROM pg_class c WHERE relkind IN ('r', 'p', 'v') AND"
                 " has_table_privilege(c.oid, 'TRUNCATE, REFERENCES, TRIGGER')"),
    ATTACK_REFUSED("privileges.truncate", 13, "TRUNCATE", IN_TRANSACTION,
                   "TRUNCATE {own_table}; TRUNCATE {victim_table} CASCADE", NULL),
    ATTACK_REFUSED("privileges.trigger", 13, "CREATE TRIGGER and CREATE RULE", IN_TRANSACTION,
                   "CREATE TRIGGER reeve_attack BEFORE INSERT ON {own_table} FOR EACH ROW EXECUTE"
                   " FUNCTION suppress_redundant_updates_trigger();"
                   " CREATE RULE reeve_attack AS ON DELETE TO {own_table} DO INSTEAD NOTHING;"
                   " CREATE INDEX reeve_attack ON {own_table} ({column})",
                   NULL),

    ATTACK_PLAYED("prepared.shared", 14, "one prepared statement, run by both in turn", REACH_ANY,
                  NEEDS_TENANT, play_prepared,
                  "SELECT {column} FROM {table} WHERE {column}::text LIKE '%{secret_a}%'"),
    {.id = "copy.from",
     .threat = 15,
     .title = "COPY FROM with the victim's tenant id",
     .flags = NEEDS_TENANT,
     .sql = "COPY {own_table} ({column}, tenant_id) FROM STDIN",
     .expected = "0A000 42501 23514 23502 23503 22P02",
     .play = play_copy},
    ATTACK_NO_GAIN("copy.to", 15, "COPY TO", WHOLE_TABLE,
                   "COPY {table} ({column}) TO STDOUT; COPY {victim_table} ({column}) TO STDOUT"),

    ATTACK_PLAYED("residual.explain", 16, "EXPLAIN ANALYZE counts rows that were kept back",
                  REACH_TABLES, NEEDS_TENANT, play_explain,
                  "EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF)"
                  " SELECT count({column}) FROM {table}"),
    ATTACK_SEEN("residual.sizes", 16, "sizes and estimates of the victim's tables", REACH_DATABASE,
                "SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace"
                " WHERE nspname = {schema:s} AND relname = {table_name:s} AND"
                " pg_relation_size(c.oid) > 0",
                "every role of a database may read pg_class and its tables' sizes"),
    ATTACK_SEEN("residual.counters", 16, "activity counters of the victim's tables", REACH_DATABASE,
                "SELECT relname FROM pg_stat_all_tables WHERE schemaname = {schema:s} AND relname ="
                " {table_name:s} AND n_tup_ins > 0",
                "every role of a database may read its tables' counters"),
    ATTACK_SEEN(
        "residual.sequence", 16, "how far the victim's sequence has come", REACH_DATABASE,
        "SELECT last_value FROM {victim_sequence}",
        "tenants of shared tables draw from one sequence: its values tell how busy all are"),
    ATTACK_PLAYED("residual.lock", 32, "LOCK TABLE on shared tables", REACH_TABLES, 0, play_lock,
                  "BEGIN; LOCK TABLE {own_table} IN ACCESS EXCLUSIVE MODE NOWAIT; ROLLBACK"),
    /* The last one: where it gets through, the victim's row is gone. */
    ATTACK_PLAYED("keys.cascade", 10, "a cascade from a row with the victim's key", REACH_TABLES,
                  NEEDS_TENANT | NEEDS_PAIR, play_cascade, NULL),
    {0},
};
