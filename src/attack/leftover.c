/* leftover.c - items 17 to 22: nothing of the attacker's session reaches the victim's. */
#include "attack/internal.h"
#include "base/time.h"

enum { SETTLE_US = 3000000, PROBES = 3, HUNTERS = 6, HUNT_TIMEOUT_US = 2000000 };

/* ---- a question that the victim asks before and after ---- */

struct answer {
    char value[256]; /* or the SQLSTATE of the refusal */
    char pid[24];    /* of the server process that gave it */
};

/* In a session of the victim's own. */
static int ask_victim(struct attack_stage *stage, const char *probe, struct answer *ret,
                      struct attack_outcome *outcome, struct error *err)
{
    _cleanup_pg_connection_ struct pg_connection *victim = NULL;
    _cleanup_arena_ struct arena arena = {0};
    struct attack_outcome aside;
    int result = session_try(stage, &stage->victim, NULL, outcome, &victim, err);
    if (result < 0 || !victim)
        return result;
    outcome_init(&aside, stage, outcome->arena);
    result = session_say(victim, PG_RAW_SIMPLE,
                         arena_printf(&arena, "SELECT pg_backend_pid(); %s", probe), &aside, err);
    const char *names = buffer_string(&aside.names); /* the process, and what it answered */
    snprintf(ret->pid, sizeof(ret->pid), "%.*s", (int)strcspn(names, ","), names);
    snprintf(ret->value, sizeof(ret->value), "%s",
             aside.refused > 0 ? aside.sqlstate : aside.value);
    outcome->inconclusive |= aside.inconclusive;
    outcome_free(&aside);
    return result;
}

/* ---- the same server session ---- */

static int ask_quickly(struct pg_connection *connection, const char *sql,
                       struct attack_outcome *outcome, struct error *err)
{
    const struct pg_raw_request request = {.style = PG_RAW_SIMPLE,
                                           .sql = sql,
                                           .timeout_us = HUNT_TIMEOUT_US,
                                           .visit = session_note,
                                           .owner = outcome};
    int result = pg_raw_run(connection, &request, err);
    return result < 0 ? session_failed(outcome, result, err) : 0;
}

/* One more client of the victim's, which keeps the server connection that it is given; asks the
 * question there when it is the attacker's (`pid`). */
static int hunt_once(struct attack_stage *stage, const char *probe, const char *pid,
                     struct pg_connection **ret, struct answer *answer, struct arena *arena,
                     struct error *err)
{
    struct attack_outcome aside;
    outcome_init(&aside, stage, arena);
    int result = session_try(stage, &stage->victim, NULL, &aside, ret, err);
    if (result == 0 && *ret)
        result = ask_quickly(*ret, "BEGIN; SELECT pg_backend_pid()", &aside, err);
    bool found = result == 0 && strcmp(aside.value, pid) == 0;
    if (found) {
        result = ask_quickly(*ret, arena_printf(arena, "ROLLBACK; %s", probe), &aside, err);
        snprintf(answer->pid, sizeof(answer->pid), "%s", pid);
        snprintf(answer->value, sizeof(answer->value), "%s",
                 aside.refused > 0 ? aside.sqlstate : aside.value);
    }
    outcome_free(&aside);
    return result;
}

/* Proxies keep tenants to the server sessions that they had. The victim takes more and more of them
 * until it has the attacker's; answer->pid stays empty when it never gets it. */
static int hunt(struct attack_stage *stage, const char *probe, const char *pid,
                struct answer *answer, struct error *err)
{
    _cleanup_arena_ struct arena arena = {0};
    struct pg_connection *hunters[HUNTERS] = {NULL};
    int result = 0;
    if (!stage->same_database || strcmp(stage->enforcement, "login") == 0 || !*pid)
        return 0; /* no session is ever another tenant's */
    for (size_t i = 0; result == 0 && i < HUNTERS && !*answer->pid; i++) {
        result = hunt_once(stage, probe, pid, &hunters[i], answer, &arena, err);
        if (!hunters[i] || pg_is_broken(hunters[i]))
            break; /* there are no more to be had */
    }
    for (size_t i = 0; i < HUNTERS; i++)
        pg_close(hunters[i]);
    return result;
}

int leftover_shares_session(struct attack_stage *stage, bool *ret, struct error *err)
{
    _cleanup_pg_connection_ struct pg_connection *attacker = NULL;
    struct attack_outcome aside;
    struct answer same = {0};
    outcome_init(&aside, stage, stage->arena);
    int result = session_try(stage, &stage->attacker, NULL, &aside, &attacker, err);
    if (result == 0 && attacker)
        result = session_say(attacker, PG_RAW_SIMPLE, "SELECT pg_backend_pid()", &aside, err);
    attacker = pg_close(attacker);
    if (result == 0)
        result = hunt(stage, "SELECT 1", aside.value, &same, err);
    outcome_free(&aside);
    *ret = *same.pid != '\0';
    return result;
}

/* ---- before and after ---- */

static void compare(const struct answer *now, const char *before, struct attack_outcome *outcome)
{
    if (strcmp(now->value, before) != 0 && !outcome->inconclusive)
        outcome_gain(outcome,
                     "what the attacker left changes what the victim finds: \"%s\" instead"
                     " of \"%s\"",
                     now->value, before);
}

/*
 * What a session leaves is cleared behind its end, so it may take a moment until the answer is as
 * it was; but then it must be so every time, and in the session that the attacker had (`pid`).
 */
static int compare_answers(struct attack_stage *stage, const char *probe, const char *before,
                           const char *pid, struct attack_outcome *outcome, struct error *err)
{
    int64_t deadline_us = time_monotonic_us() + SETTLE_US;
    struct answer now = {0}, same = {0};
    int result = 0;
    do
        result = ask_victim(stage, probe, &now, outcome, err);
    while (result == 0 && strcmp(now.value, before) != 0 && time_monotonic_us() < deadline_us);
    for (int i = 0; result == 0 && i < PROBES && strcmp(now.value, before) == 0; i++)
        result = ask_victim(stage, probe, &now, outcome, err);
    if (result == 0)
        result = hunt(stage, probe, pid, &same, err);
    if (result < 0)
        return result;
    compare(&now, before, outcome);
    if (*same.pid)
        compare(&same, before, outcome);
    outcome_back(outcome, "the victim finds \"%s\"%s", now.value,
                 *same.pid ? ", also in the server session that the attacker had" : "");
    return 0;
}

static int ask_pid(struct pg_connection *attacker, struct attack_outcome *outcome, char ret[24],
                   struct error *err)
{
    struct attack_outcome aside;
    outcome_init(&aside, outcome->stage, outcome->arena);
    int result = session_say(attacker, PG_RAW_SIMPLE, "SELECT pg_backend_pid()", &aside, err);
    snprintf(ret, 24, "%s", aside.value);
    outcome_free(&aside);
    return result;
}

static int leave(struct attack_stage *stage, const char *text, bool cut, char ret_pid[24],
                 struct attack_outcome *outcome, struct error *err)
{
    _cleanup_pg_connection_ struct pg_connection *attacker = NULL;
    _cleanup_arena_ struct arena arena = {0};
    int result = session_try(stage, &stage->attacker, NULL, outcome, &attacker, err);
    if (result < 0 || !attacker)
        return result;
    result = ask_pid(attacker, outcome, ret_pid, err);
    for (const char *sql; result == 0 && (sql = words_next_statement(&arena, &text));)
        result = session_say(attacker, PG_RAW_SIMPLE, sql, outcome, err);
    if (cut)
        pg_raw_cut(attacker);
    return result;
}

static int play_left(struct attack_stage *stage, const struct attack *attack, bool cut,
                     struct attack_outcome *outcome, struct error *err)
{
    _cleanup_arena_ struct arena arena = {0};
    const char *missing;
    char pid[24] = "";
    struct answer before = {0};
    const char *text = words_expand(stage, &arena, attack->sql, false, &missing);
    const char *probe = words_expand(stage, &arena, attack->probe, false, &missing);
    outcome_tried(outcome, "then, as the victim: %s",
                  words_expand(stage, &arena, attack->probe, true, &missing));
    int result = ask_victim(stage, probe, &before, outcome, err);
    if (result == 0)
        result = leave(stage, text, cut, pid, outcome, err);
    if (result == 0)
        result = compare_answers(stage, probe, before.value, pid, outcome, err);
    return result < 0 ? result : look_anew(stage, "in its next session", outcome, err);
}

static int play_leftover(struct attack_stage *stage, const struct attack *attack,
                         struct attack_outcome *outcome, struct error *err)
{
    return play_left(stage, attack, false, outcome, err);
}

/* The client is gone in the middle of it, without a word. */
static int play_vanished(struct attack_stage *stage, const struct attack *attack,
                         struct attack_outcome *outcome, struct error *err)
{
    return play_left(stage, attack, true, outcome, err);
}

/* The client sends and is gone before anything comes back. */
static int play_unread(struct attack_stage *stage, const struct attack *attack,
                       struct attack_outcome *outcome, struct error *err)
{
    _cleanup_arena_ struct arena arena = {0};
    _cleanup_pg_connection_ struct pg_connection *attacker = NULL;
    const char *missing;
    char pid[24] = "";
    struct answer before = {0};
    int result = ask_victim(stage, attack->probe, &before, outcome, err);
    if (result == 0)
        result = session_try(stage, &stage->attacker, NULL, outcome, &attacker, err);
    if (result < 0 || !attacker)
        return result;
    const struct pg_raw_request request = {
        .style = PG_RAW_SIMPLE,
        .sql = words_expand(stage, &arena, attack->sql, false, &missing),
        .timeout_us = ATTACK_STATEMENT_TIMEOUT_US};
    result = ask_pid(attacker, outcome, pid, err);
    if (result == 0)
        result = pg_raw_send(attacker, &request, err);
    if (result < 0)
        return session_failed(outcome, result, err);
    pg_raw_cut(attacker);
    outcome_back(outcome, "the client is gone");
    return compare_answers(stage, attack->probe, before.value, pid, outcome, err);
}

/* ---- values that a session keeps ---- */

static void note_value(struct attack_outcome *outcome, const struct answer *answer)
{
    if (outcome->value[0] && strcmp(answer->value, outcome->value) == 0)
        outcome_gain(outcome, "the victim finds the attacker's value");
}

/* The victim must not find the attacker's value. */
static int play_value(struct attack_stage *stage, const struct attack *attack,
                      struct attack_outcome *outcome, struct error *err)
{
    _cleanup_arena_ struct arena arena = {0};
    const char *missing;
    struct answer theirs = {0}, same = {0};
    char pid[24] = "";
    outcome_tried(outcome, "then, as the victim: %s", attack->probe);
    int result = leave(stage, words_expand(stage, &arena, attack->sql, false, &missing), false, pid,
                       outcome, err);
    for (int i = 0; result == 0 && i < PROBES; i++) {
        result = ask_victim(stage, attack->probe, &theirs, outcome, err);
        note_value(outcome, &theirs);
    }
    if (result == 0)
        result = hunt(stage, attack->probe, pid, &same, err);
    note_value(outcome, &same);
    if (result == 0)
        outcome_back(outcome, "the victim finds another value, or none%s",
                     *same.pid ? ", also in the server session that the attacker had" : "");
    return result;
}

/* ---- 19: statements that the proxy counts on ---- */

static int play_deallocate(struct attack_stage *stage, const struct attack *attack,
                           struct attack_outcome *outcome, struct error *err)
{
    _cleanup_pg_connection_ struct pg_connection *victim = NULL;
    struct attack_outcome aside;
    char pid[24] = "";
    int result = session_try(stage, &stage->victim, NULL, outcome, &victim, err);
    if (result < 0 || !victim)
        return result;
    outcome_tried(outcome, "while the victim has a prepared statement");
    outcome_init(&aside, stage, outcome->arena);
    result = session_say(victim, PG_RAW_PREPARE, "SELECT 42", &aside, err);
    for (int i = 0; result == 0 && i < PROBES; i++) {
        result = leave(stage, attack->sql, false, pid, outcome, err);
        if (result == 0)
            result = session_say(victim, PG_RAW_PREPARED, NULL, &aside, err);
    }
    if (result == 0 && (aside.refused > 0 || strcmp(aside.value, "42") != 0))
        outcome_gain(outcome, "the victim's prepared statement is gone: %s", aside.sqlstate);
    outcome_back(outcome, "the victim's statement works on: %s", aside.value);
    outcome->inconclusive |= aside.inconclusive;
    outcome_free(&aside);
    return result;
}

/* ---- 22: values that a language keeps ---- */

static void judge_languages(const struct attack *attack, struct attack_outcome *outcome)
{
    if (strcmp(outcome->stage->enforcement, "login") == 0)
        judge_residual(attack, outcome);
    else
        judge_empty(attack, outcome);
}

/* ---- the table ---- */

#define LEFTOVER(id_, threat_, title_, play_, sql_, probe_)                                        \
    {                                                                                              \
        .id = "leftover." id_, .threat = (threat_), .title = (title_), .sql = (sql_),              \
        .probe = (probe_), .play = (play_)                                                         \
    }

#define SETTINGS                                                                                   \
    "SELECT string_agg(name || '=' || setting, ' ' ORDER BY name) FROM pg_settings WHERE name IN"  \
    " ('search_path', 'statement_timeout', 'default_transaction_read_only', 'work_mem',"           \
    " 'row_security', 'default_transaction_isolation', 'TimeZone')"

/* A transaction that begins with this very question. */
#define NEW_TRANSACTION                                                                            \
    "SELECT now() = statement_timestamp() AND pg_current_xact_id_if_assigned() IS NULL"

const struct attack attacks_leftover[] = {
    LEFTOVER("temp_table", 17, "a temporary table", play_leftover,
             "CREATE TEMP TABLE reeve_attack (i int)",
             "SELECT to_regclass('pg_temp.reeve_attack') IS NULL"),
    LEFTOVER("temp_shadow", 17, "a temporary table that shadows the victim's", play_leftover,
             "CREATE TEMP TABLE {table} (i int)",
             "SELECT {table:s}::regclass = {victim_table:s}::regclass"),
    LEFTOVER("temp_function", 17, "a temporary function", play_leftover,
             "CREATE FUNCTION pg_temp.reeve_attack() RETURNS int LANGUAGE sql AS 'SELECT 1'",
             "SELECT to_regproc('pg_temp.reeve_attack') IS NULL"),
    LEFTOVER("settings", 18, "settings", play_leftover,
             "SET search_path = nowhere; SET default_transaction_read_only = on;"
             " SET work_mem = '64kB'; SET row_security = off; SET statement_timeout = 900000;"
             " SET TimeZone = 'Asia/Tokyo'; SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION"
             " LEVEL SERIALIZABLE",
             SETTINGS),
    LEFTOVER("hidden_settings", 18, "settings whose words are hidden from the proxy", play_leftover,
             "DO $$ BEGIN EXECUTE 'SE' || 'T work_mem = ''64kB'''; EXECUTE 'SE' || 'T search_path ="
             " nowhere'; EXECUTE 'SE' || 'T default_transaction_read_only = on'; END $$",
             SETTINGS),
    LEFTOVER("own_settings", 18, "settings of the application's own", play_leftover,
             "SET reeve_attack.x = 'left'; SELECT set_config('reeve_attack.x', 'left', false)",
             "SELECT coalesce(current_setting('reeve_attack.x', true), '')"),
    LEFTOVER("random", 18, "the seed of random()", play_value,
             "SELECT setseed(0.25); SELECT random(); DO $$ BEGIN PERFORM setseed(0.25); END $$",
             "SELECT random()"),
    LEFTOVER("prepare", 19, "PREPARE", play_leftover, "PREPARE attack_left AS SELECT 1",
             "SELECT count(*) FROM pg_prepared_statements WHERE name = 'attack_left'"),
    {.id = "leftover.deallocate",
     .threat = 19,
     .title = "DEALLOCATE ALL and DISCARD ALL",
     .sql = "DEALLOCATE ALL; DISCARD PLANS; DISCARD ALL",
     .play = play_deallocate},
    LEFTOVER("cursor", 20, "a cursor that is held", play_leftover,
             "BEGIN; DECLARE reeve_attack CURSOR WITH HOLD FOR SELECT 1; COMMIT",
             "SELECT count(*) FROM pg_cursors WHERE name = 'reeve_attack'"),
    LEFTOVER("advisory_lock", 20, "an advisory lock on a key that the victim takes", play_leftover,
             "SELECT pg_advisory_lock({own_id}::bigint)",
             "SELECT pg_try_advisory_xact_lock({own_id}::bigint)"),
    LEFTOVER("listen", 20, "LISTEN", play_leftover,
             "LISTEN reeve_attack; DO $$ BEGIN EXECUTE 'LIS' || 'TEN reeve_attack'; END $$",
             "SELECT count(*) FROM pg_listening_channels()"),
    LEFTOVER("sequence", 20, "a sequence's last value", play_value,
             "SELECT max(nextval({sequence:s})) FROM generate_series(1, 20); SELECT lastval()",
             "SELECT lastval()"),
    LEFTOVER("transaction", 21, "an open transaction, and a client that vanishes", play_vanished,
             "BEGIN; {own_same}; SELECT txid_current()", NEW_TRANSACTION),
    LEFTOVER("failed_transaction", 21, "a failed transaction, and a client that vanishes",
             play_vanished, "BEGIN; SELECT 1/0", NEW_TRANSACTION),
    LEFTOVER("query", 21, "a query under way, and a client that vanishes", play_unread,
             "BEGIN; SELECT txid_current(), pg_sleep(2)", NEW_TRANSACTION),
    LEFTOVER("copy", 21, "COPY under way, and a client that vanishes", play_unread,
             "COPY {table} ({column}) FROM STDIN", NEW_TRANSACTION),
    LEFTOVER("copy_out", 21, "an answer that nobody reads, and a client that vanishes", play_unread,
             "COPY (SELECT repeat('x', 1000) FROM generate_series(1, 20000)) TO STDOUT",
             NEW_TRANSACTION),
    {.id = "leftover.languages",
     .threat = 22,
     .title = "procedural languages that keep values between calls",
     .sql =
         "SELECT lanname FROM pg_language WHERE lanname NOT IN ('internal', 'c', 'sql', 'plpgsql')"
         " AND has_language_privilege(oid, 'USAGE')",
     .residual = "such a language keeps values in the session; but where a tenant logs in as itself"
                 " no other tenant is given its session",
     .judge = judge_languages},
    {0},
};
