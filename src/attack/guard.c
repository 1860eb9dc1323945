/*
 * guard.c - items 1, 2 and 19 where tenants take turns in one server session: what holds the
 * session to its tenant cannot be called, forged, replaced or left.
 */
#include "attack/internal.h"

#define NO_GAIN(id_, threat_, title_, sql_)                                                        \
    {                                                                                              \
        .id = "guard." id_, .threat = (threat_), .title = (title_), .reach = REACH_GUARD,          \
        .flags = ALL_STYLES, .sql = (sql_), .judge = judge_no_gain                                 \
    }
#define REFUSED(id_, threat_, title_, flags_, sql_, sqlstates_)                                    \
    {                                                                                              \
        .id = "guard." id_, .threat = (threat_), .title = (title_), .reach = REACH_GUARD,          \
        .flags = (flags_), .sql = (sql_), .expected = (sqlstates_), .judge = judge_refused         \
    }

#define KEY "'\\x00000000000000000000000000000000'::bytea"

const struct attack attacks_guard[] = {
    REFUSED("enter", 1, "entering as the victim", 0,
            "SELECT reeve.enter(" KEY ", {id}, 0, ''::bytea);"
            " DO $$ BEGIN PERFORM reeve.enter(" KEY ", {id}, 0, ''::bytea); END $$",
            NULL),
    REFUSED("leave", 2, "leaving the tenant", 0,
            "SELECT reeve.leave(" KEY "); DO $$ BEGIN PERFORM reeve.leave(" KEY "); END $$", NULL),
    REFUSED("arm", 2, "a key of the attacker's own", 0, "SELECT reeve.arm(" KEY ")", NULL),
    REFUSED("replace", 1, "other functions in the place of the guard's", IN_TRANSACTION,
            "CREATE OR REPLACE FUNCTION reeve.enter(key bytea, tenant_id bigint, flags integer,"
            " names bytea) RETURNS void LANGUAGE sql AS $$ SELECT $$;"
            " ALTER FUNCTION reeve.tenant_id() RESET ALL; DROP FUNCTION reeve.leave(bytea);"
            " GRANT EXECUTE ON FUNCTION reeve.enter(bytea, bigint, integer, bytea) TO PUBLIC;"
            " ALTER SCHEMA reeve RENAME TO reeve_attack",
            NULL),
    REFUSED("context", 1, "the setting that tells parallel workers whose the session is", 0,
            "SET reeve_guard.context = '{id} 10 0 attack'; SET LOCAL reeve_guard.context = '';"
            " SELECT set_config('reeve_guard.context', '{id} 10 0 attack', false);"
            " RESET reeve_guard.context; SHOW reeve_guard.context;"
            " SELECT current_setting('reeve_guard.context')",
            "42501 55P02"),
    REFUSED("setting", 1, "settings under the guard's name", 0,
            "SET reeve_guard.tenant = '{id}'; SELECT set_config('reeve_guard.armed', 'off', false)",
            "42501 42602"),
    NO_GAIN("context_clause", 1, "the same setting in a function's SET clause",
            "CREATE FUNCTION pg_temp.h() RETURNS bigint LANGUAGE sql SET reeve_guard.context ="
            " '{id} 10 0 attack' AS $$ SELECT reeve.tenant_id() $$; SELECT pg_temp.h()"),
    NO_GAIN("reset_all", 1, "RESET ALL, then an error that rolls it back",
            "BEGIN; RESET ALL; SELECT 1/0; ROLLBACK; RESET ALL"),
    NO_GAIN("caught", 2, "leaving the role in blocks that catch the refusal",
            "DO $$ BEGIN BEGIN SET ROLE {admin}; EXCEPTION WHEN OTHERS THEN RESET ROLE; END;"
            " BEGIN RESET SESSION AUTHORIZATION; EXCEPTION WHEN OTHERS THEN NULL; END;"
            " BEGIN SET LOCAL ROLE NONE; PERFORM 1/0; EXCEPTION WHEN OTHERS THEN RESET ROLE; END;"
            " END $$"),
    NO_GAIN("role_clause", 2, "a function that runs as another role",
            "CREATE FUNCTION pg_temp.r() RETURNS name LANGUAGE sql SET role = {admin:s} AS"
            " $$ SELECT current_user $$; SELECT pg_temp.r()"),
    NO_GAIN("local_none", 2, "a setting of the role that a savepoint takes back",
            "BEGIN; SAVEPOINT a; SET LOCAL ROLE NONE; SAVEPOINT b; RESET ROLE; ROLLBACK TO a;"
            " RELEASE a; COMMIT; SET ROLE NONE"),
    NO_GAIN("parallel", 1, "parallel workers",
            "SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0;"
            " SET min_parallel_table_scan_size = 0; SET force_parallel_mode = on"),
    REFUSED(
        "password", 2, "rights and a password for the role of the session", IN_TRANSACTION,
        "ALTER ROLE CURRENT_USER PASSWORD 'known'; ALTER ROLE SESSION_USER PASSWORD 'known';"
        " DROP OWNED BY CURRENT_USER; ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO PUBLIC",
        NULL),
    REFUSED("listen", 23, "LISTEN where the proxy does not see it, in a session that many use", 0,
            "DO $$ BEGIN EXECUTE 'LIS' || 'TEN reeve_attack'; END $$", "0A000"),
    REFUSED("notify", 23, "pg_notify itself, in the place of what gives it the tenant's channels",
            0,
            "DO $$ BEGIN EXECUTE 'PREPARE attack_notify (text) AS SELECT $1';"
            " EXECUTE 'EXECUTE attack_notify(pg_notify(''reeve_attack'', '''')::text)'; END $$",
            "42501"),
    REFUSED("statements", 19, "statements that the proxy has prepared", 0,
            "PREPARE reeve_attack AS SELECT 1;"
            " DO $$ BEGIN EXECUTE 'PRE' || 'PARE reeve_1 AS SELECT 1'; END $$;"
            " DO $$ BEGIN EXECUTE 'DEALLO' || 'CATE reeve_1'; END $$;"
            " DO $$ BEGIN EXECUTE 'EXE' || 'CUTE reeve_1'; END $$",
            "42939"),
    {0},
};
