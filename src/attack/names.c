/* names.c - items 23 to 29: what all sessions of a database or a server share. */
#include <poll.h>

#include "attack/internal.h"

static const char no_connection_beside[] =
    "the victim was given no server connection while the attacker had one";

/* ---- 23: notifications ---- */

/* Within a transaction the server keeps what is heard until its end, and nothing else can take it.
 */
static int hear(struct pg_connection *listener, struct attack_outcome *hearing,
                struct pg_connection *speaker, struct attack_outcome *saying,
                const char *const texts[], size_t count_, struct error *err)
{
    int result = session_say(listener, PG_RAW_SIMPLE, "BEGIN; SELECT 1", hearing, err);
    for (size_t i = 0; result == 0 && i < count_; i++)
        result = session_say(speaker, PG_RAW_SIMPLE, texts[i], saying, err);
    hearing->notified = false; /* what was before that is its own */
    if (result == 0)
        result = session_say(listener, PG_RAW_SIMPLE, "COMMIT", hearing, err);
    if (result == 0)
        result = session_say(listener, PG_RAW_SIMPLE, "SELECT 1", hearing, err);
    return result;
}

static int play_notify(struct attack_stage *stage, const struct attack *attack reeve_unused,
                       struct attack_outcome *outcome, struct error *err)
{
    static const char *const listens[] = {
        "LISTEN reeve_attack",
        "DO $$ BEGIN EXECUTE 'LIS' || 'TEN reeve_attack'; END $$",
        "DO $$ BEGIN EXECUTE 'LIS' || 'TEN \"{}\"'; END $$",
    };
    static const char *const forged[] = {
        "NOTIFY reeve_attack, 'forged'",
        "SELECT pg_notify('reeve_attack', 'forged')",
        "DO $$ BEGIN EXECUTE 'NOT' || 'IFY reeve_attack'; END $$",
    };
    _cleanup_arena_ struct arena arena = {0};
    _cleanup_pg_connection_ struct pg_connection *attacker = NULL, *victim = NULL;
    struct attack_outcome aside;
    const char *const announced[] = {
        arena_printf(&arena, "NOTIFY reeve_attack, '%s'", stage->victim.secret),
        arena_printf(&arena, "SELECT pg_notify('reeve_attack', '%s')", stage->victim.secret),
    };
    int result = session_try(stage, &stage->attacker, NULL, outcome, &attacker, err);
    if (result == 0 && attacker)
        result = session_try(stage, &stage->victim, NULL, outcome, &victim, err);
    if (result < 0 || !victim)
        return result;
    outcome_tried(outcome, "LISTEN, also with its words hidden in a DO block, and NOTIFY by the"
                           " victim on the same channel; the same the other way round");
    for (size_t i = 0; result == 0 && i < array_size(listens); i++)
        result = session_say(attacker, PG_RAW_SIMPLE, listens[i], outcome, err);
    outcome_init(&aside, stage, &arena);
    if (result == 0)
        result = hear(attacker, outcome, victim, &aside, announced, array_size(announced), err);
    if (result == 0 && outcome->notified)
        outcome_gain(outcome, "the attacker hears what the victim announces");
    bool sent = aside.accepted > 0;
    if (result == 0)
        result = session_say(victim, PG_RAW_SIMPLE, "LISTEN reeve_attack", &aside, err);
    if (result == 0)
        result = hear(victim, &aside, attacker, outcome, forged, array_size(forged), err);
    if (result == 0 && aside.notified)
        outcome_gain(outcome, "the victim hears what the attacker announces");
    if (result == 0 && aside.inconclusive && !outcome->inconclusive)
        outcome_decide(outcome, ATTACK_SKIPPED, "%s", no_connection_beside);
    outcome_free(&aside);
    outcome_back(outcome, sent ? "nothing was heard" : "NOTIFY is refused");
    return result;
}

/* ---- 24: advisory locks ---- */

static int play_advisory(struct attack_stage *stage, const struct attack *attack,
                         struct attack_outcome *outcome, struct error *err)
{
    _cleanup_arena_ struct arena arena = {0};
    _cleanup_pg_connection_ struct pg_connection *attacker = NULL, *victim = NULL;
    struct attack_outcome aside;
    const char *key = arena_printf(&arena, "%lld::bigint", (long long)stage->victim.tenant_id);
    int result = session_try(stage, &stage->attacker, NULL, outcome, &attacker, err);
    if (result == 0 && attacker)
        result = session_try(stage, &stage->victim, NULL, outcome, &victim, err);
    if (result < 0 || !victim)
        return result;
    outcome_tried(outcome, "pg_advisory_xact_lock(KEY) in an open transaction, and"
                           " pg_try_advisory_xact_lock(KEY) by the victim");
    result = session_say(attacker, PG_RAW_SIMPLE,
                         arena_printf(&arena, "BEGIN; SELECT pg_advisory_xact_lock(%s)", key),
                         outcome, err);
    outcome_init(&aside, stage, &arena);
    if (result == 0)
        result = session_say(victim, PG_RAW_SIMPLE,
                             arena_printf(&arena, "SELECT pg_try_advisory_xact_lock(%s)", key),
                             &aside, err);
    if (result == 0 && aside.accepted > 0 && aside.value[0] == 'f')
        outcome_decide(outcome, ATTACK_RESIDUAL, "%s", attack->residual);
    else if (result == 0 && aside.inconclusive && !outcome->inconclusive)
        outcome_decide(outcome, ATTACK_SKIPPED, "%s", no_connection_beside);
    outcome_back(outcome, "the victim gets \"%s\"", aside.refused ? aside.sqlstate : aside.value);
    outcome_free(&aside);
    session_rollback(attacker);
    return result;
}

/* ---- 25 and 26: what the victim is running ---- */

static bool has_answered(const struct pg_connection *connection)
{
    struct pollfd entry = {.fd = pg_socket(connection), .events = POLLIN};
    return poll(&entry, 1, 0) > 0;
}

static int disturb(struct attack_stage *stage, struct pg_connection *attacker, const char *pid,
                   struct attack_outcome *outcome, struct error *err)
{
    static const char *const setups[] = {"SELECT 1", "RESET ROLE",
                                         "SET SESSION AUTHORIZATION DEFAULT", "DISCARD ALL"};
    static const char *const functions[] = {"pg_cancel_backend", "pg_terminate_backend"};
    _cleanup_arena_ struct arena arena = {0};
    int result = 0;
    for (size_t i = 0; result == 0 && i < array_size(setups); i++) {
        result = session_say(attacker, PG_RAW_SIMPLE, setups[i], outcome, err);
        for (size_t k = 0; result == 0 && k < array_size(functions); k++)
            result =
                session_say(attacker, PG_RAW_SIMPLE,
                            arena_printf(&arena, "SELECT %s(%s)", functions[k], pid), outcome, err);
        if (result == 0)
            result = look_round(stage, attacker, "while the victim's query runs", outcome, err);
    }
    return result;
}

/* The victim's server process, in a transaction that goes on: the query runs in the same one. */
static int begin_query(struct attack_stage *stage, struct pg_connection *victim,
                       struct arena *arena, const struct pg_raw_request *request,
                       const char **ret_pid, struct error *err)
{
    struct attack_outcome aside;
    outcome_init(&aside, stage, arena);
    int result = session_say(victim, PG_RAW_SIMPLE, "BEGIN; SELECT pg_backend_pid()", &aside, err);
    *ret_pid = arena_strdup(arena, aside.value);
    outcome_free(&aside);
    return result < 0 ? result : pg_raw_send(victim, request, err);
}

static int play_running(struct attack_stage *stage, const struct attack *attack reeve_unused,
                        struct attack_outcome *outcome, struct error *err)
{
    _cleanup_arena_ struct arena arena = {0};
    _cleanup_pg_connection_ struct pg_connection *attacker = NULL, *victim = NULL;
    struct attack_outcome aside;
    const char *pid = NULL;
    int result = session_try(stage, &stage->attacker, NULL, outcome, &attacker, err);
    if (result == 0 && attacker)
        result = session_try(stage, &stage->victim, NULL, outcome, &victim, err);
    if (result < 0 || !victim)
        return result;
    outcome_tried(outcome, "pg_stat_activity, pg_cancel_backend() and pg_terminate_backend() on the"
                           " process that runs the victim's query; after RESET ROLE, SET SESSION"
                           " AUTHORIZATION DEFAULT and DISCARD ALL too");
    outcome_init(&aside, stage, &arena);
    const struct pg_raw_request query = {
        .style = PG_RAW_SIMPLE,
        .sql = arena_printf(&arena, "/* %s */ SELECT pg_sleep(3); COMMIT", stage->activity),
        .timeout_us = ATTACK_STATEMENT_TIMEOUT_US,
        .visit = session_note,
        .owner = &aside};
    result = begin_query(stage, victim, &arena, &query, &pid, err);
    if (result == 0 && *pid)
        result = disturb(stage, attacker, pid, outcome, err);
    bool early = has_answered(victim);
    if (result == 0)
        result = pg_raw_collect(victim, &query, err);
    if (result == 0 || result == -ERROR_CONNECTION) {
        if (result < 0 || aside.refused > 0)
            outcome_gain(outcome, "the victim's query was ended: %s", aside.sqlstate);
        else if (early)
            outcome_decide(
                outcome, ATTACK_SKIPPED,
                "the victim's query was over before the attacker had a server connection");
        result = 0;
    }
    outcome_free(&aside);
    return result;
}

/* ---- 28: large objects ---- */

static void judge_large_object(const struct attack *attack, struct attack_outcome *outcome)
{
    if (outcome->accepted > 0 && !outcome->stage->superuser)
        outcome_decide(outcome, ATTACK_RESIDUAL,
                       "only a superuser can take large objects away from everybody, and this"
                       " cluster's administrator is none");
    else
        judge_refused(attack, outcome);
}

/* ---- the table ---- */

/* Databases that our administrator could close; others are the provider's of a managed server. */
#define OURS "({superuser} OR pg_get_userbyid(datdba) IN ({admin:s}, {owner:s}))"

const struct attack attacks_names[] = {
    ATTACK_PLAYED("shared.notify", 23, "LISTEN and NOTIFY on a channel of the victim's", REACH_ANY,
                  0, play_notify, NULL),
    {.id = "shared.advisory_locks",
     .threat = 24,
     .title = "an advisory lock that the victim wants",
     .reach = REACH_DATABASE,
     .residual = "advisory locks share one key space per database: tenants of one database can keep"
                 " each other waiting, and signal to each other",
     .play = play_advisory},
    ATTACK_PLAYED("shared.running_query", 26, "reading and ending the victim's query", REACH_ANY, 0,
                  play_running, NULL),
    ATTACK_EMPTY(
        "shared.query_text", 25, "query texts of others", REACH_ANY,
        "SELECT usename FROM pg_stat_activity WHERE usename <> current_user AND"
        " usename <> session_user AND query <> '<insufficient privilege>' AND query <> ''"),
    ATTACK_SEEN(
        "shared.sessions", 25, "which roles have sessions", REACH_ANY,
        "SELECT usename FROM pg_stat_activity WHERE usename <> current_user AND"
        " usename <> session_user LIMIT 3",
        "pg_stat_activity lists all sessions of a server; of others no text and no address"),
    ATTACK_SEEN("shared.locks", 25, "locks of others", REACH_ANY,
                "SELECT pid FROM pg_locks WHERE pid <> pg_backend_pid() LIMIT 3",
                "pg_locks lists all locks of a server, as numbers"),
    ATTACK_EMPTY("shared.settings", 25, "settings that hold credentials", REACH_ANY,
                 "SELECT name FROM pg_settings WHERE name IN ('primary_conninfo',"
                 " 'ssl_passphrase_command') AND setting <> ''"),
    ATTACK_REFUSED("shared.passwords", 25, "tables of passwords and keys", 0,
                   "SELECT count(rolpassword) FROM pg_authid; SELECT count(passwd) FROM pg_shadow;"
                   " SELECT count(umoptions) FROM pg_user_mapping;"
                   " SELECT count(subconninfo) FROM pg_subscription;"
                   " SELECT count(*) FROM pg_hba_file_rules; SELECT count(*) FROM pg_file_settings;"
                   " SELECT count(*) FROM pg_largeobject; SELECT count(*) FROM pg_statistic",
                   NULL),
    ATTACK_REFUSED("shared.ledger", 38, "what migrations have done, and in whose place", 0,
                   "SELECT count(*) FROM reeve.migration; DELETE FROM reeve.migration WHERE false;"
                   " INSERT INTO reeve.migration SELECT * FROM reeve.migration WHERE false",
                   NULL),

    ATTACK_EMPTY("catalogs.meaning", 27, "who the victim is, anywhere in the catalogs", REACH_ANY,
                 "SELECT 'a role' FROM pg_roles WHERE rolname LIKE '%' || {slug:s} || '%' UNION ALL"
                 " SELECT 'a schema' FROM pg_namespace WHERE nspname LIKE '%' || {slug:s} || '%'"
                 " UNION ALL SELECT 'a database' FROM pg_database WHERE datname LIKE '%' ||"
                 " {slug:s} || '%' UNION ALL SELECT 'a comment' FROM pg_description WHERE"
                 " description LIKE '%' || {slug:s} || '%' UNION ALL SELECT 'a shared comment' FROM"
                 " pg_shdescription WHERE description LIKE '%' || {slug:s} || '%' UNION ALL SELECT"
                 " 'a function' FROM pg_proc WHERE prosrc LIKE '%' || {slug:s} || '%' UNION ALL"
                 " SELECT 'a default' FROM pg_db_role_setting WHERE array_to_string(setconfig, ' ')"
                 " LIKE '%' || {slug:s} || '%' UNION ALL SELECT 'an application name' FROM"
                 " pg_stat_activity WHERE application_name LIKE '%' || {slug:s} || '%'"),
    ATTACK_SEEN("catalogs.roles", 27, "that the victim's role exists", REACH_ANY,
                "SELECT rolname FROM pg_roles WHERE rolname = {role:s}",
                "pg_roles can be read by all: names are numbers that say nothing of who it is"),
    ATTACK_SEEN("catalogs.schemas", 27, "that the victim's schema and tables exist", REACH_DATABASE,
                "SELECT nspname FROM pg_namespace WHERE nspname = {schema:s}",
                "a database's catalogs can be read by all its roles: names are numbers"),
    ATTACK_SEEN("catalogs.databases", 27, "that the victim's database exists", REACH_ANY,
                "SELECT datname FROM pg_database WHERE datname = {database:s}",
                "pg_database can be read by all: names are numbers, or the service's"),

    {.id = "objects.large",
     .threat = 28,
     .title = "large objects",
     .flags = IN_TRANSACTION,
     .sql = "SELECT lo_create(0); SELECT lo_creat(-1); SELECT lo_from_bytea(0, '')",
     .judge = judge_large_object},
    ATTACK_REFUSED("objects.large_files", 28, "large objects from and to files", IN_TRANSACTION,
                   "SELECT lo_import('PG_VERSION'); SELECT lo_export(1, '/dev/null')", NULL),
    ATTACK_REFUSED("files.read", 28, "the server's files", 0,
                   "SELECT pg_read_file('PG_VERSION'); SELECT pg_read_binary_file('PG_VERSION');"
                   " SELECT pg_ls_dir('.'); SELECT pg_stat_file('PG_VERSION');"
                   " SELECT pg_ls_waldir(); SELECT pg_ls_tmpdir(); SELECT pg_current_logfile()",
                   NULL),
    ATTACK_REFUSED("files.copy", 28, "COPY from and to files and programs", 0,
                   "COPY (SELECT 1) TO '/dev/null'; COPY (SELECT 1) TO PROGRAM 'true'", NULL),
    ATTACK_REFUSED("files.copy_from", 28, "COPY into one's table from files and programs",
                   IN_TRANSACTION,
                   "COPY {own_table} ({column}) FROM '/dev/null';"
                   " COPY {own_table} ({column}) FROM PROGRAM 'true'",
                   NULL),
    ATTACK_REFUSED("code.load", 28, "LOAD", 0, "LOAD 'plpgsql'; LOAD '$libdir/dblink'", NULL),
    ATTACK_REFUSED("code.languages", 28, "untrusted languages", IN_TRANSACTION,
                   "DO LANGUAGE plpython3u $$ pass $$; DO LANGUAGE plperlu $$ 1 $$;"
                   " CREATE FUNCTION pg_temp.reeve_attack() RETURNS int LANGUAGE c AS 'x', 'y'",
                   "42501 42704"),
    ATTACK_EMPTY("code.extensions", 28, "extensions that reach out of the database", REACH_ANY,
                 "SELECT extname FROM pg_extension WHERE extname IN ('dblink', 'postgres_fdw',"
                 " 'file_fdw', 'adminpack', 'plpython3u', 'plperlu', 'pltclu', 'pageinspect')"
                 " UNION ALL SELECT srvname FROM pg_foreign_server WHERE"
                 " has_server_privilege(oid, 'USAGE')"),
    ATTACK_REFUSED("server.administration", 28, "administering the server", 0,
                   "SELECT pg_reload_conf(); SELECT pg_rotate_logfile(); SELECT pg_switch_wal();"
                   " CHECKPOINT; SELECT pg_stat_reset(); SELECT"
                   " pg_create_logical_replication_slot('reeve_attack', 'pgoutput', true)",
                   NULL),

    ATTACK_EMPTY(
        "public.connect", 29, "other databases that may be connected to", REACH_ANY,
        "SELECT datname FROM pg_database WHERE datallowconn AND"
        " datname <> current_database() AND has_database_privilege(oid, 'CONNECT') AND " OURS),
    ATTACK_SEEN("public.connect_others", 29, "the same, of databases that are not ours", REACH_ANY,
                "SELECT datname FROM pg_database WHERE datallowconn AND"
                " datname <> current_database() AND has_database_privilege(oid, 'CONNECT') AND NOT"
                " " OURS,
                "these are the provider's: only their owner can close them"),
    ATTACK_EMPTY(
        "public.temporary", 29, "temporary tables, and schemas, in a database", REACH_ANY,
        "SELECT datname FROM pg_database WHERE (has_database_privilege(oid, 'TEMPORARY') OR"
        " has_database_privilege(oid, 'CREATE')) AND " OURS),
    ATTACK_EMPTY("public.create", 29, "schemas that a tenant may create in", REACH_ANY,
                 "SELECT nspname FROM pg_namespace WHERE has_schema_privilege(oid, 'CREATE') AND"
                 " nspname NOT LIKE 'pg\\_temp%' AND nspname NOT LIKE 'pg\\_toast\\_temp%'"),
    {0},
};
