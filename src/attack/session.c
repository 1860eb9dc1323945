/* session.c - connections through the endpoint, as clients make them, and what comes back. */
#include <strings.h>

#include "attack/internal.h"
#include "base/str.h"

/* A value of a connection string. */
static void put_value(struct buffer *out, const char *keyword, const char *value)
{
    buffer_printf(out, "%s='", keyword);
    for (; *value; value++) {
        if (*value == '\'' || *value == '\\')
            buffer_append_byte(out, '\\');
        buffer_append_byte(out, (uint8_t)*value);
    }
    buffer_append_string(out, "' ");
}

static void put_conninfo(const struct attack_options *options, const char *more, struct buffer *out)
{
    char port[16];
    snprintf(port, sizeof(port), "%d", options->port);
    put_value(out, "host", options->host);
    put_value(out, "port", port);
    if (options->sslmode)
        put_value(out, "sslmode", options->sslmode);
    if (more)
        buffer_append_string(out, more);
}

int session_open(const struct attack_stage *stage, const struct attack_side *side,
                 const struct session_login *login, struct pg_connection **ret, struct error *err)
{
    static const struct session_login own = {0};
    _cleanup_buffer_ struct buffer conninfo = BUFFER_INIT(ATTACK_TEXT_MAX);
    login = login ? login : &own;
    put_conninfo(stage->options, login->more, &conninfo);
    const struct pg_options options = {.conninfo = buffer_string(&conninfo),
                                       .user = login->user ? login->user : side->slug,
                                       .password = login->token ? login->token : side->token,
                                       .database = login->database ? login->database
                                                                   : stage->target->service,
                                       .application_name = "reeve attack",
                                       .bare = true,
                                       .cancelled = stage->options->job->cancelled};
    return pg_connect(&options, ret, err);
}

/* ---- answers ---- */

/*
 * Answers of these classes say nothing of a defence: the connection or a slot is missing, something
 * is shutting down, a deadline passed. Whoever counted them as refusals would pass a system that
 * was not attacked at all.
 */
static bool says_nothing(const char *sqlstate)
{
    static const char *const prefixes[] = {"08", "53", "57P", "57014", "58", "XX"};
    for (size_t i = 0; i < array_size(prefixes); i++)
        if (str_has_prefix(sqlstate, prefixes[i]))
            return true;
    return false;
}

static void look_for_secret(struct attack_outcome *outcome, const char *text, const char *where)
{
    if (outcome->hidden && text && strstr(text, outcome->hidden))
        outcome_gain(outcome, "the victim's secret stands in %s", where);
}

static void note_rows(struct attack_outcome *outcome, const struct pg_result *rows)
{
    for (size_t i = 0; i < pg_rows(rows); i++) {
        for (size_t k = 0; k < pg_columns(rows); k++)
            look_for_secret(outcome, pg_text(rows, i, k), "the rows that came back");
        const char *first = pg_text(rows, i, 0);
        snprintf(outcome->value, sizeof(outcome->value), "%s", first ? first : "");
        if (outcome->names.length < 200)
            buffer_printf(&outcome->names, "%s%s", outcome->names.length > 0 ? ", " : "",
                          outcome->value);
    }
    outcome->rows += (int64_t)pg_rows(rows);
}

static void note_done(struct attack_outcome *outcome, const struct pg_raw_piece *piece)
{
    outcome->accepted++;
    note_rows(outcome, piece->rows);
    if (pg_columns(piece->rows) == 0)
        outcome->affected += piece->affected;
    outcome_back(outcome, "%s", *piece->tag ? piece->tag : "nothing");
}

static void note_error(struct attack_outcome *outcome, const struct pg_raw_piece *piece)
{
    outcome->refused++;
    snprintf(outcome->sqlstate, sizeof(outcome->sqlstate), "%s", piece->sqlstate);
    if (says_nothing(piece->sqlstate))
        outcome->inconclusive = true;
    look_for_secret(outcome, piece->message, "an error");
    look_for_secret(outcome, piece->detail, "an error's detail");
    if (outcome->quiet)
        outcome_back(outcome, "%s", piece->sqlstate);
    else
        outcome_back(outcome, "%s%s%s", piece->sqlstate, *piece->sqlstate ? " " : "",
                     piece->message);
}

void session_note(void *owner, const struct pg_raw_piece *piece)
{
    struct attack_outcome *outcome = owner;
    switch (piece->kind) {
    case PG_RAW_DONE:
        note_done(outcome, piece);
        break;
    case PG_RAW_ERROR:
        note_error(outcome, piece);
        break;
    case PG_RAW_NOTICE:
        if (look_note(outcome, piece))
            break;
        look_for_secret(outcome, piece->message, "a notice");
        break;
    case PG_RAW_NOTIFICATION:
        look_for_secret(outcome, piece->message, "a notification");
        outcome->notified = true;
        outcome_back(outcome, "a notification");
        break;
    case PG_RAW_COPY_ROW:
        look_for_secret(outcome, piece->message, "what COPY gave");
        break;
    }
}

int session_failed(struct attack_outcome *outcome, int result, struct error *err)
{
    if (result == -ERROR_CANCELLED)
        return result;
    if (result == -ERROR_CONNECTION)
        outcome_back(outcome, "the connection was ended");
    else
        outcome_back(outcome, "%s", err ? err->message : "it failed");
    if (result == -ERROR_TIMEOUT)
        outcome->inconclusive = true;
    error_clear(err);
    return 0;
}

int session_say(struct pg_connection *connection, enum pg_raw_style style, const char *sql,
                struct attack_outcome *outcome, struct error *err)
{
    const struct pg_raw_request request = {.style = style,
                                           .sql = sql,
                                           .name = "attacked", /* of prepared statements alone */
                                           .timeout_us = ATTACK_STATEMENT_TIMEOUT_US,
                                           .visit = session_note,
                                           .owner = outcome};
    int result = pg_raw_run(connection, &request, err);
    return result < 0 ? session_failed(outcome, result, err) : 0;
}

int session_try(const struct attack_stage *stage, const struct attack_side *side,
                const struct session_login *login, struct attack_outcome *outcome,
                struct pg_connection **ret, struct error *err)
{
    int result = session_open(stage, side, login, ret, err);
    if (result == -ERROR_CANCELLED || result == 0)
        return result;
    outcome->inconclusive = true;
    outcome_back(outcome, "no connection: %s", err ? err->message : "refused");
    error_clear(err);
    *ret = NULL;
    return 0;
}

void session_rollback(struct pg_connection *connection)
{
    const struct pg_raw_request request = {
        .style = PG_RAW_SIMPLE, .sql = "ROLLBACK", .timeout_us = ATTACK_STATEMENT_TIMEOUT_US};
    if (!pg_is_broken(connection) && pg_raw_transaction(connection) != PG_RAW_IDLE)
        (void)pg_raw_run(connection, &request, NULL);
}

int session_ask(struct pg_connection *connection, struct arena *arena, const char *sql,
                const char **ret, struct error *err)
{
    _cleanup_pg_result_ struct pg_result *result = NULL;
    int r = pg_query(connection, sql, 0, NULL, &result, err);
    if (r == 0)
        *ret = pg_text_copy(result, 0, 0, arena);
    return r;
}
