/* context.c - items 1 and 2: who the attacker is, and where names lead, cannot be changed from SQL.
 */
#include "attack/internal.h"

/* What can be read without doing anything is said once, here; all other attacks tell what else. */
static int play_nothing(struct attack_stage *stage, const struct attack *attack reeve_unused,
                        struct attack_outcome *outcome, struct error *err reeve_unused)
{
    const struct attack_side *own = &stage->attacker;
    outcome_tried(outcome, "reading every relation that can be named, right after the login");
    for (size_t i = 0; i < stage->known_leak_count; i++)
        outcome_gain(outcome, "the attacker reads %s", stage->known_leaks[i]);
    const struct isolation_placement *place = &own->place->isolated;
    const char *role = place->guarded ? place->enter_role : place->role;
    if (strcmp(own->who.current_user, role) != 0)
        outcome_gain(outcome, "the attacker is %s and not %s", own->who.current_user, role);
    if (own->who.tenant_id != own->tenant_id)
        outcome_gain(outcome, "the attacker counts as tenant %lld and not %lld",
                     (long long)own->who.tenant_id, (long long)own->tenant_id);
    outcome_back(outcome, "role %s, tenant %lld, %zu relations with what is not its own",
                 own->who.current_user, (long long)own->who.tenant_id, stage->known_leak_count);
    return 0;
}

const struct attack attacks_context[] = {
    ATTACK_PLAYED("context.nothing", 1, "reading without any trick", REACH_ANY, 0, play_nothing,
                  NULL),
    ATTACK_NO_GAIN("context.set", 1, "SET of the tenant setting", 0,
                   "SET reeve.tenant_id = '{id}'"),
    ATTACK_NO_GAIN("context.set_other_names", 1, "SET of settings that others use", 0,
                   "SET reeve.tenant = '{id}'; SET app.tenant_id = '{id}';"
                   " SET app.current_tenant = '{id}'; SET reeve_owner.tenant = '{id}'"),
    ATTACK_NO_GAIN("context.set_config", 1, "set_config()", 0,
                   "SELECT set_config('reeve.tenant_id', '{id}', false)"),
    ATTACK_NO_GAIN("context.set_config_local", 1, "set_config() in a transaction", 0,
                   "BEGIN; SELECT set_config('reeve.tenant_id', '{id}', true)"),
    ATTACK_NO_GAIN("context.reset", 1, "RESET", 0, "RESET reeve.tenant_id; RESET ALL"),
    ATTACK_NO_GAIN("context.do", 1, "set_config() in a DO block", 0,
                   "DO $$ BEGIN PERFORM set_config('reeve.tenant_id', '{id}', false); END $$"),
    ATTACK_NO_GAIN("context.do_set", 1, "SET in a DO block", 0,
                   "DO $$ BEGIN SET reeve.tenant_id = '{id}'; END $$"),
    ATTACK_NO_GAIN(
        "context.function", 1, "set_config() in a function", 0,
        "CREATE FUNCTION pg_temp.f() RETURNS text LANGUAGE sql AS"
        " $$ SELECT set_config('reeve.tenant_id', '{id}', false) $$; SELECT pg_temp.f()"),
    ATTACK_NO_GAIN("context.function_set_clause", 1, "a function's SET clause", 0,
                   "CREATE FUNCTION pg_temp.g() RETURNS text LANGUAGE sql"
                   " SET reeve.tenant_id = '{id}' AS $$ SELECT {column}::text FROM {table} LIMIT 1"
                   " $$; SELECT pg_temp.g()"),
    ATTACK_NO_GAIN("context.view", 1, "set_config() in a view's expression", 0,
                   "CREATE TEMP VIEW v AS SELECT set_config('reeve.tenant_id', '{id}', false),"
                   " t.* FROM {table} t; SELECT * FROM pg_temp.v LIMIT 100"),
    ATTACK_NO_GAIN("context.alter_role", 1, "the setting as the role's default", ROLE_DEFAULTS,
                   "ALTER ROLE {own_role} SET reeve.tenant_id = '{id}'"),
    ATTACK_NO_GAIN("context.alter_role_database", 1, "the same in one database", ROLE_DEFAULTS,
                   "ALTER ROLE {own_role} IN DATABASE {database} SET reeve.tenant_id = '{id}'"),
    ATTACK_NO_GAIN("context.alter_role_path", 1, "search_path as the role's default", ROLE_DEFAULTS,
                   "ALTER ROLE {own_role} SET search_path = {schema}"),
    ATTACK_NO_GAIN("context.alter_role_row_security", 1, "row_security off as the role's default",
                   ROLE_DEFAULTS, "ALTER ROLE {own_role} SET row_security = off"),
    ATTACK_REFUSED("context.alter_role_all", 1, "the setting for every role", IN_TRANSACTION,
                   "ALTER ROLE ALL SET reeve.tenant_id = '{id}'", NULL),
    ATTACK_REFUSED("context.alter_database", 1, "the setting for the database", IN_TRANSACTION,
                   "ALTER DATABASE {own_database} SET reeve.tenant_id = '{id}'", NULL),
    ATTACK_REFUSED("context.alter_system", 1, "ALTER SYSTEM", 0, "ALTER SYSTEM RESET reeve.attack",
                   NULL),
    ATTACK_NO_GAIN("context.row_security", 1, "SET row_security = off", 0,
                   "SET row_security = off"),
    ATTACK_NO_GAIN("context.replica", 1, "SET session_replication_role", 0,
                   "SET session_replication_role = replica"),
    ATTACK_NO_GAIN("context.search_path", 1, "search_path with the victim's schema", 0,
                   "SET search_path = {schema}, {own_schema}, public"),
    ATTACK_NO_GAIN("context.search_path_local", 1, "the same in a transaction", 0,
                   "BEGIN; SET LOCAL search_path = {schema}"),
    ATTACK_NO_GAIN("context.shadow", 1, "a function that shadows reeve.tenant_id()", 0,
                   "CREATE FUNCTION pg_temp.tenant_id() RETURNS bigint LANGUAGE sql AS"
                   " $$ SELECT {id}::bigint $$; SET search_path = pg_temp, reeve, {schema}"),
    ATTACK_REFUSED("context.replace", 1, "another body for reeve.tenant_id()", IN_TRANSACTION,
                   "CREATE OR REPLACE FUNCTION reeve.tenant_id() RETURNS bigint LANGUAGE sql"
                   " AS $$ SELECT {id}::bigint $$",
                   NULL),
    ATTACK_REFUSED("context.mapping", 1, "writing which role is which tenant", IN_TRANSACTION,
                   "UPDATE reeve.role_tenant SET tenant_id = {id} WHERE role_name = {own_role:s};"
                   " INSERT INTO reeve.role_tenant VALUES ('reeve_attack', {id});"
                   " SELECT count(*) FROM reeve.role_tenant",
                   NULL),
    ATTACK_NO_GAIN("context.by_name", 1, "the victim's table by its full name", 0,
                   "SELECT {column} FROM {victim_table} WHERE {column}::text LIKE '%{secret_a}%'"),
    ATTACK_NO_GAIN("context.other_database", 1, "the victim's table in another database", 0,
                   "SELECT * FROM {database}.{victim_table} LIMIT 100"),
    {0},
};

static void judge_group(const struct attack *attack, struct attack_outcome *outcome)
{
    if (outcome->as_group)
        outcome_decide(outcome, ATTACK_RESIDUAL, "%s", attack->residual);
}

const struct attack attacks_role[] = {
    ATTACK_NO_GAIN("role.reset", 2, "RESET ROLE", 0, "RESET ROLE"),
    ATTACK_NO_GAIN("role.none", 2, "SET ROLE NONE", 0, "SET ROLE NONE"),
    ATTACK_REFUSED("role.set", 2, "SET ROLE to the victim's role", 0, "SET ROLE {role}", NULL),
    ATTACK_REFUSED("role.set_owner", 2, "SET ROLE to the tables' owner", 0, "SET ROLE {owner}",
                   NULL),
    {.id = "role.set_group",
     .threat = 2,
     .title = "SET ROLE to the group that tenants of shared tables are in",
     .flags = ALL_STYLES,
     .sql = "SET ROLE {run}",
     .residual =
         "before PostgreSQL 16 a member may take its group's role; it has the rights that the"
         " member has through it and no more, and policies go by the session's user",
     .judge = judge_group},
    ATTACK_REFUSED("role.set_admin", 2, "SET ROLE to the administrator", 0, "SET ROLE {admin}",
                   NULL),
    ATTACK_NO_GAIN("role.set_local", 2, "SET LOCAL ROLE", 0, "BEGIN; SET LOCAL ROLE {role}"),
    ATTACK_NO_GAIN("role.set_config", 2, "set_config('role')", 0,
                   "SELECT set_config('role', {role:s}, false)"),
    ATTACK_NO_GAIN("role.do", 2, "SET ROLE in a DO block", 0,
                   "DO $$ BEGIN SET ROLE {role}; END $$"),
    ATTACK_NO_GAIN("role.session", 2, "SET SESSION AUTHORIZATION", 0,
                   "SET SESSION AUTHORIZATION {role}"),
    ATTACK_NO_GAIN("role.session_admin", 2, "SET SESSION AUTHORIZATION to the administrator", 0,
                   "SET SESSION AUTHORIZATION {admin}"),
    ATTACK_NO_GAIN("role.session_default", 2, "SET SESSION AUTHORIZATION DEFAULT", 0,
                   "SET SESSION AUTHORIZATION DEFAULT"),
    ATTACK_NO_GAIN("role.session_local", 2, "SET LOCAL SESSION AUTHORIZATION", 0,
                   "BEGIN; SET LOCAL SESSION AUTHORIZATION {role}"),
    ATTACK_NO_GAIN("role.session_config", 2, "set_config('session_authorization')", 0,
                   "SELECT set_config('session_authorization', {role:s}, false)"),
    ATTACK_NO_GAIN("role.session_reset", 2, "RESET SESSION AUTHORIZATION", 0,
                   "RESET SESSION AUTHORIZATION"),
    ATTACK_NO_GAIN("role.discard", 2, "DISCARD ALL", 0, "DISCARD ALL"),
    ATTACK_NO_GAIN("role.discard_set", 2, "DISCARD ALL, then SET ROLE", 0,
                   "DISCARD ALL; SET ROLE {role}"),
    ATTACK_NO_GAIN("role.savepoint", 2, "SET ROLE behind a savepoint", 0,
                   "BEGIN; SAVEPOINT s; SET ROLE {role}"),
    ATTACK_NO_GAIN("role.rolled_back", 2, "RESET ROLE, rolled back", 0,
                   "BEGIN; SAVEPOINT s; RESET ROLE; ROLLBACK TO s; COMMIT"),
    ATTACK_NO_GAIN("role.rolled_back_set", 2, "SET ROLE, rolled back, then RESET ROLE", 0,
                   "BEGIN; SAVEPOINT s; SET ROLE {role}; ROLLBACK TO s; RESET ROLE; COMMIT"),
    ATTACK_NO_GAIN("role.two_phase", 2, "SET ROLE in a prepared transaction", 0,
                   "BEGIN; SET ROLE {role}; PREPARE TRANSACTION 'reeve-attack';"
                   " ROLLBACK PREPARED 'reeve-attack'"),
    ATTACK_NO_GAIN("role.default", 2, "another role as the role's default", ROLE_DEFAULTS,
                   "ALTER ROLE {own_role} SET role = {role:s}"),
    ATTACK_REFUSED("role.superuser", 2, "becoming a superuser", IN_TRANSACTION,
                   "ALTER ROLE {own_role} SUPERUSER", NULL),
    ATTACK_REFUSED("role.bypass", 2, "becoming exempt from policies", IN_TRANSACTION,
                   "ALTER ROLE {own_role} BYPASSRLS; ALTER ROLE {own_role} CREATEROLE;"
                   " ALTER ROLE {own_role} CREATEDB; ALTER ROLE {own_role} REPLICATION",
                   NULL),
    ATTACK_REFUSED("role.victims_password", 2, "another password for the victim", IN_TRANSACTION,
                   "ALTER ROLE {role} PASSWORD 'known'", NULL),
    ATTACK_REFUSED("role.create", 2, "CREATE ROLE", IN_TRANSACTION, "CREATE ROLE reeve_attack",
                   NULL),
    ATTACK_REFUSED("role.grant", 2, "GRANT of the victim's role", IN_TRANSACTION,
                   "GRANT {role} TO {own_role}; GRANT {owner} TO {own_role}", NULL),
    ATTACK_REFUSED("role.owned", 2, "DROP and REASSIGN OWNED of the victim", IN_TRANSACTION,
                   "DROP OWNED BY {role}; REASSIGN OWNED BY {role} TO {own_role}", NULL),
    ATTACK_NO_GAIN("role.statement", 2, "a statement kept across SET ROLE", 0,
                   "PREPARE p AS SELECT * FROM {table} LIMIT 100; SET ROLE {role}; EXECUTE p;"
                   " DEALLOCATE p"),
    {0},
};
