/* look.c - looking round after an attack: what the attacker sees, who it is, how the victim is. */
#include <jansson.h>

#include "attack/internal.h"
#include "base/str.h"
#include "sql/statements.h"

static const char look_sqlstate[] = "RV001"; /* as in sql/attack/look.sql */

struct look {
    json_t *said; /* NULL: the look never came back */
    char failure[300];
};

static void look_free(struct look *look)
{
    json_decref(look->said);
}
#define _cleanup_look_ _cleanup_(look_free)

static void note_look(void *owner, const struct pg_raw_piece *piece)
{
    struct look *look = owner;
    if (piece->kind == PG_RAW_NOTICE && strcmp(piece->sqlstate, look_sqlstate) == 0) {
        json_decref(look->said);
        look->said = json_loads(piece->message, 0, NULL);
    } else if (piece->kind == PG_RAW_ERROR)
        snprintf(look->failure, sizeof(look->failure), "%s %.250s", piece->sqlstate,
                 piece->message);
}

const char *look_sql(const struct attack_stage *stage, struct arena *arena)
{
    const char *missing;
    return words_expand(stage, arena, sql_attack_look, false, &missing);
}

static int look(const struct attack_stage *stage, struct pg_connection *connection,
                struct look *ret, struct error *err)
{
    _cleanup_arena_ struct arena arena = {0};
    const struct pg_raw_request request = {.style = PG_RAW_SIMPLE,
                                           .sql = look_sql(stage, &arena),
                                           .timeout_us = 2 * (int64_t)ATTACK_STATEMENT_TIMEOUT_US,
                                           .visit = note_look,
                                           .owner = ret};
    if (pg_raw_transaction(connection) == PG_RAW_FAILED)
        session_rollback(connection);
    return pg_raw_run(connection, &request, err);
}

/* ---- what a look says ---- */

static void read_who(const json_t *said, struct attack_who *ret)
{
    const char *session = json_string_value(json_object_get(said, "session_user"));
    const char *current = json_string_value(json_object_get(said, "current_user"));
    str_copy(ret->session_user, sizeof(ret->session_user), session ? session : "");
    str_copy(ret->current_user, sizeof(ret->current_user), current ? current : "");
    ret->tenant_id = json_integer_value(json_object_get(said, "tenant"));
}

static bool is_known(const struct attack_stage *stage, const char *leak)
{
    for (size_t i = 0; i < stage->known_leak_count; i++)
        if (strcmp(stage->known_leaks[i], leak) == 0)
            return true;
    return false;
}

static void compare(const struct attack_stage *stage, const json_t *said, const char *when,
                    struct attack_outcome *outcome)
{
    struct attack_who who;
    const struct attack_who *own = &stage->attacker.who;
    size_t index;
    json_t *leak;
    read_who(said, &who);
    const char *group = stage->victim.place->site.isolation.run_role;
    if (strcmp(who.session_user, own->session_user) == 0 && strcmp(who.current_user, group) == 0 &&
        strcmp(own->current_user, group) != 0)
        outcome->as_group = true; /* whose rights it has anyway, and no more */
    else if (strcmp(who.session_user, own->session_user) != 0 ||
             strcmp(who.current_user, own->current_user) != 0)
        outcome_gain(outcome, "%s the attacker is %s (session %s) instead of %s", when,
                     who.current_user, who.session_user, own->current_user);
    if (who.tenant_id != own->tenant_id)
        outcome_gain(outcome, "%s the attacker counts as tenant %lld instead of %lld", when,
                     (long long)who.tenant_id, (long long)own->tenant_id);
    json_array_foreach(json_object_get(said, "leaks"), index, leak)
    {
        const char *text = json_string_value(leak);
        if (text && !is_known(stage, text))
            outcome_gain(outcome, "%s the attacker reads %s", when, text);
    }
}

bool look_note(struct attack_outcome *outcome, const struct pg_raw_piece *piece)
{
    if (piece->kind != PG_RAW_NOTICE || strcmp(piece->sqlstate, look_sqlstate) != 0)
        return false;
    json_t *said = json_loads(piece->message, 0, NULL);
    compare(outcome->stage, said, "in the same message", outcome);
    json_decref(said);
    return true;
}

int look_round(struct attack_stage *stage, struct pg_connection *connection, const char *when,
               struct attack_outcome *outcome, struct error *err)
{
    _cleanup_look_ struct look seen = {0};
    if (pg_is_broken(connection))
        return 0; /* a session that is gone has gained nothing */
    int result = look(stage, connection, &seen, err);
    if (result < 0 && !seen.said) {
        snprintf(seen.failure, sizeof(seen.failure), "%s", err ? err->message : "it failed");
        result = result == -ERROR_CONNECTION || result == -ERROR_TIMEOUT ? 0 : result;
    }
    if (seen.said)
        compare(stage, seen.said, when, outcome);
    else if (result == 0) {
        outcome->inconclusive = true;
        outcome_back(outcome, "could not look round %s: %s", when, seen.failure);
    }
    return result;
}

int look_anew(struct attack_stage *stage, const char *when, struct attack_outcome *outcome,
              struct error *err)
{
    _cleanup_pg_connection_ struct pg_connection *connection = NULL;
    int result = session_try(stage, &stage->attacker, NULL, outcome, &connection, err);
    if (result == 0 && connection)
        result = look_round(stage, connection, when, outcome, err);
    return result;
}

/* ---- before anything is done ---- */

static void remember(struct attack_stage *stage, const json_t *leaks)
{
    size_t index;
    json_t *leak;
    stage->known_leaks =
        arena_zalloc(stage->arena, (json_array_size(leaks) + 1) * sizeof(*stage->known_leaks));
    json_array_foreach((json_t *)(uintptr_t)leaks, index, leak)
    {
        if (json_is_string(leak))
            stage->known_leaks[stage->known_leak_count++] =
                arena_strdup(stage->arena, json_string_value(leak));
    }
}

int look_first(struct attack_stage *stage, struct error *err)
{
    _cleanup_look_ struct look seen = {0};
    _cleanup_pg_connection_ struct pg_connection *connection = NULL;
    int result = session_open(stage, &stage->attacker, NULL, &connection, err);
    if (result == 0)
        result = look(stage, connection, &seen, err);
    if (result < 0)
        return result;
    if (!seen.said) {
        result = error_set(err, ERROR_UNSUPPORTED,
                           "tenants of service \"%s\" cannot be looked round as: %s",
                           stage->target->service, seen.failure);
        error_hint(err, "the suite runs a DO block of plpgsql as the tenant");
        return result;
    }
    read_who(seen.said, &stage->attacker.who);
    remember(stage, json_object_get(seen.said, "leaks"));
    return 0;
}

/* ---- the victim ---- */

/* The victim's rows as one text; NULL when its connection is gone. */
static int digest(struct attack_stage *stage, char **ret, struct error *err)
{
    _cleanup_pg_result_ struct pg_result *rows = NULL;
    int result = pg_query(stage->watch, stage->digest_sql, 0, NULL, &rows, err);
    if (result == 0)
        *ret = xstrdup(pg_text(rows, 0, 0) ? pg_text(rows, 0, 0) : "");
    return result;
}

static int watch_again(struct attack_stage *stage, struct error *err)
{
    if (stage->watch && !pg_is_broken(stage->watch))
        return 0;
    stage->watch = pg_close(stage->watch);
    return session_open(stage, &stage->victim, NULL, &stage->watch, err);
}

int look_after_victim(struct attack_stage *stage, struct attack_outcome *outcome, struct error *err)
{
    _cleanup_free_ char *now = NULL;
    int result = watch_again(stage, err);
    if (result == 0)
        result = digest(stage, &now, err);
    if (result == -ERROR_CANCELLED)
        return result;
    if (result < 0) {
        outcome_gain(outcome, "the victim's connection is disturbed: %s",
                     err ? err->message : "it failed");
        error_clear(err);
        stage->watch = pg_close(stage->watch);
        return 0;
    }
    if (stage->digest && now && strcmp(stage->digest, now) != 0)
        outcome_gain(outcome, "the victim's rows are not what they were");
    free(stage->digest);
    stage->digest = take_pointer(now);
    return 0;
}
