/* play.c - one attack from its text to its verdict. */
#include "attack/internal.h"

enum { ATTEMPTS = 3 }; /* where an answer says nothing: the server was busy, a backend was ended */

/* Nobody is kept waiting by an attack that gets as far as a lock. */
static const char begin[] = "BEGIN; SET LOCAL lock_timeout = '1s'";

/* ---- statement by statement ---- */

/* What comes back is of no interest. */
static int quietly(struct pg_connection *connection, const char *sql, struct error *err)
{
    const struct pg_raw_request request = {
        .style = PG_RAW_SIMPLE, .sql = sql, .timeout_us = ATTACK_STATEMENT_TIMEOUT_US};
    int result = pg_raw_run(connection, &request, err);
    if (result == -ERROR_CANCELLED)
        return result;
    error_clear(err);
    return 0;
}

static int play_statement(struct attack_stage *stage, const struct attack *attack,
                          struct pg_connection *connection, enum pg_raw_style style,
                          const char *sql, struct attack_outcome *outcome, struct error *err)
{
    bool inside = attack->flags & IN_TRANSACTION;
    size_t accepted = outcome->accepted;
    int result = inside ? quietly(connection, begin, err) : 0;
    if (result == 0)
        result = session_say(connection, style, sql, outcome, err);
    if (result < 0 || pg_is_broken(connection))
        return result;
    bool failed = pg_raw_transaction(connection) == PG_RAW_FAILED;
    if (failed)
        session_rollback(connection);
    /* What was refused has changed nothing, unless the session was changed by what came before. */
    if (attack->flags & ALL_STYLES || outcome->accepted > accepted)
        result = look_round(stage, connection, "after it", outcome, err);
    if (inside)
        session_rollback(connection);
    return result;
}

static int play_statements(struct attack_stage *stage, const struct attack *attack,
                           enum pg_raw_style style, const char *text,
                           struct attack_outcome *outcome, struct error *err)
{
    _cleanup_arena_ struct arena arena = {0};
    _cleanup_pg_connection_ struct pg_connection *connection = NULL;
    int result = session_try(stage, &stage->attacker, NULL, outcome, &connection, err);
    if (result < 0 || !connection)
        return result;
    for (const char *sql; result == 0 && (sql = words_next_statement(&arena, &text));)
        result = play_statement(stage, attack, connection, style, sql, outcome, err);
    if (result < 0)
        return result;
    session_rollback(connection);
    return look_round(stage, connection, "after it", outcome, err);
}

/* ---- all in one message, with the look at its end ---- */

static int play_message(struct attack_stage *stage, const struct attack *attack, const char *text,
                        struct attack_outcome *outcome, struct error *err)
{
    _cleanup_arena_ struct arena arena = {0};
    _cleanup_pg_connection_ struct pg_connection *connection = NULL;
    struct attack_outcome aside;
    int result = session_try(stage, &stage->attacker, NULL, outcome, &connection, err);
    if (result < 0 || !connection)
        return result;
    outcome_init(&aside, stage, outcome->arena);
    aside.hidden = outcome->hidden;
    aside.quiet = outcome->quiet;
    const char *first = attack->flags & IN_TRANSACTION ? begin : "";
    result = session_say(connection, PG_RAW_SIMPLE,
                         arena_printf(&arena, "%s; %s; %s", first, text, look_sql(stage, &arena)),
                         &aside, err);
    if (aside.gain.length > 0)
        outcome_gain(outcome, "%s", buffer_string(&aside.gain));
    outcome->inconclusive |= aside.inconclusive;
    outcome_free(&aside);
    if (result < 0)
        return result;
    session_rollback(connection);
    return look_round(stage, connection, "after it", outcome, err);
}

/* ---- in every style ---- */

/* What a role's sessions begin with is seen from the next login on, and then put back. */
static int play_defaults(struct attack_stage *stage, struct attack_outcome *outcome,
                         struct error *err)
{
    int result = stage_end_backends(stage, err);
    return result < 0 ? result : look_anew(stage, "in its next session", outcome, err);
}

static int play_styles(struct attack_stage *stage, const struct attack *attack, const char *text,
                       struct attack_outcome *outcome, struct error *err)
{
    int result = play_statements(stage, attack, PG_RAW_SIMPLE, text, outcome, err);
    if (!(attack->flags & ALL_STYLES))
        return result;
    if (result == 0)
        result = play_statements(stage, attack, PG_RAW_EXTENDED, text, outcome, err);
    if (result == 0)
        result = play_message(stage, attack, text, outcome, err);
    return result < 0 ? result : look_anew(stage, "in its next session", outcome, err);
}

int play_sql(struct attack_stage *stage, const struct attack *attack,
             struct attack_outcome *outcome, struct error *err)
{
    _cleanup_arena_ struct arena arena = {0};
    struct stage_defaults *kept = NULL;
    const char *missing = NULL;
    const char *text = words_expand(stage, &arena, attack->sql, false, &missing);
    if (!text)
        return 0; /* play has said so */
    if (!(attack->flags & ROLE_DEFAULTS))
        return play_styles(stage, attack, text, outcome, err);
    int result = stage_keep_defaults(stage, &arena, &kept, err);
    if (result < 0)
        return result;
    result = play_styles(stage, attack, text, outcome, err);
    if (result == 0)
        result = play_defaults(stage, outcome, err);
    int restored = stage_restore_defaults(stage, kept, result == 0 ? err : NULL);
    return result < 0 ? result : restored;
}

/* ---- one attack ---- */

static bool reaches(const struct attack_stage *stage, const struct attack *attack)
{
    switch (attack->reach) {
    case REACH_ANY:
        break;
    case REACH_DATABASE:
        return stage->same_database;
    case REACH_TABLES:
        return stage->same_tables;
    case REACH_GUARD:
        return strcmp(stage->enforcement, "guard") == 0;
    }
    const struct plant_table *table = stage->plant.chosen;
    return !(attack->flags & NEEDS_TENANT) || !table || table->has_tenant;
}

static const char *why_not(const struct attack_stage *stage, const struct attack *attack,
                           struct arena *arena)
{
    const char *missing = NULL;
    if (attack->flags & NEEDS_TENANT && !stage->plant.chosen)
        return "no table could be filled with rows to attack";
    if (attack->flags & NEEDS_PAIR && !stage->plant.child)
        return "no table that could be filled refers to another by one number";
    if (attack->flags & WHOLE_TABLE && stage->known_leak_count > 0)
        return "it would read all rows that context.nothing says can be seen";
    if (!attack->sql || words_expand(stage, arena, attack->sql, true, &missing))
        return NULL;
    if (!stage->plant.chosen)
        return "no table could be filled with rows to attack";
    return arena_printf(arena, "the chosen table has no %s", missing);
}

static void conclude(const struct attack *attack, struct attack_outcome *outcome)
{
    if (outcome->gain.length > 0) {
        outcome->decided = false;
        outcome_decide(outcome, ATTACK_FINDING, "%s", buffer_string(&outcome->gain));
        return;
    }
    if (outcome->inconclusive && !outcome->decided)
        outcome_decide(outcome, ATTACK_FINDING,
                       "it could not be seen that the defence holds: no answer that says so");
    if (!outcome->decided && attack->judge)
        attack->judge(attack, outcome);
    outcome_decide(outcome, ATTACK_PASS, "%s", "");
}

static int attempt(struct attack_stage *stage, const struct attack *attack,
                   struct attack_outcome *outcome, struct error *err)
{
    attack_play how = attack->play ? attack->play : play_sql;
    if (!(attack->flags & OWN_TEXT))
        outcome->hidden = stage->victim.secret;
    outcome->quiet = attack->flags & QUIET;
    int result = how(stage, attack, outcome, err);
    return result < 0 ? result : look_after_victim(stage, outcome, err);
}

static void write_result(const struct attack *attack, const struct attack_outcome *outcome,
                         struct arena *arena, struct attack_result *ret)
{
    *ret = (struct attack_result){.id = attack->id,
                                  .threat = attack->threat,
                                  .title = attack->title,
                                  .verdict = outcome->verdict,
                                  .tried = arena_strdup(arena, buffer_string(&outcome->tried)),
                                  .back = arena_strdup(arena, buffer_string(&outcome->back)),
                                  .why = outcome->why};
}

int play(struct attack_stage *stage, const struct attack *attack, struct arena *arena,
         struct attack_result *ret, bool *ret_applies, struct error *err)
{
    int result = 0;
    *ret_applies = reaches(stage, attack);
    const char *reason = *ret_applies ? why_not(stage, attack, arena) : NULL;
    for (int i = 0; result == 0 && *ret_applies && i < ATTEMPTS; i++) {
        struct attack_outcome outcome;
        const char *missing;
        outcome_init(&outcome, stage, arena);
        if (attack->sql)
            outcome_tried(&outcome, "%s",
                          reason ? attack->sql
                                 : words_expand(stage, arena, attack->sql, true, &missing));
        if (reason)
            outcome_decide(&outcome, ATTACK_SKIPPED, "%s", reason);
        else
            result = attempt(stage, attack, &outcome, err);
        bool again = outcome.inconclusive && !outcome.decided && outcome.gain.length == 0;
        conclude(attack, &outcome);
        if (result == 0)
            write_result(attack, &outcome, arena, ret);
        outcome_free(&outcome);
        if (!again)
            break;
    }
    return result;
}
