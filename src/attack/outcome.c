/* outcome.c - what came of one attack, gathered piece by piece; and the verdicts. */
#include "attack/internal.h"

enum { LIST_MAX = 2000, TEXT_MAX = 4000 };

const char *attack_verdict_name(enum attack_verdict verdict)
{
    static const char *const names[] = {"PASS", "FINDING", "RESIDUAL", "SKIPPED"};
    return names[verdict];
}

void outcome_init(struct attack_outcome *outcome, const struct attack_stage *stage,
                  struct arena *arena)
{
    *outcome = (struct attack_outcome){.stage = stage, .arena = arena};
    buffer_init(&outcome->tried, TEXT_MAX);
    buffer_init(&outcome->back, TEXT_MAX);
    buffer_init(&outcome->gain, LIST_MAX);
    buffer_init(&outcome->names, LIST_MAX);
}

void outcome_free(struct attack_outcome *outcome)
{
    buffer_free(&outcome->tried);
    buffer_free(&outcome->back);
    buffer_free(&outcome->gain);
    buffer_free(&outcome->names);
}

/* Once each, as attacks in several styles are answered alike. What does not fit is left out. */
static void reeve_printf(2, 0) add(struct buffer *buffer, const char *format, va_list arguments)
{
    _cleanup_buffer_ struct buffer text = BUFFER_INIT(TEXT_MAX);
    buffer_vprintf(&text, format, arguments);
    if (strstr(buffer_string(buffer), buffer_string(&text)))
        return;
    if (buffer->length > 0)
        buffer_append_string(buffer, "; ");
    buffer_append(buffer, buffer_string(&text), text.length);
}

void outcome_back(struct attack_outcome *outcome, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    add(&outcome->back, format, arguments);
    va_end(arguments);
}

void outcome_tried(struct attack_outcome *outcome, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    add(&outcome->tried, format, arguments);
    va_end(arguments);
}

void outcome_gain(struct attack_outcome *outcome, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    add(&outcome->gain, format, arguments);
    va_end(arguments);
}

void outcome_decide(struct attack_outcome *outcome, enum attack_verdict verdict, const char *format,
                    ...)
{
    _cleanup_buffer_ struct buffer text = BUFFER_INIT(TEXT_MAX);
    if (outcome->decided)
        return;
    va_list arguments;
    va_start(arguments, format);
    buffer_vprintf(&text, format, arguments);
    va_end(arguments);
    outcome->decided = true;
    outcome->verdict = verdict;
    outcome->why = text.length > 0 ? arena_strdup(outcome->arena, buffer_string(&text)) : NULL;
}

/* ---- verdicts ---- */

static bool is_listed(const char *sqlstates, const char *sqlstate)
{
    return *sqlstate && strstr(sqlstates, sqlstate);
}

void judge_refused(const struct attack *attack, struct attack_outcome *outcome)
{
    const char *expected = attack->expected ? attack->expected : "42501";
    if (outcome->accepted > 0)
        outcome_decide(outcome, ATTACK_FINDING, "the server accepted what it must refuse");
    else if (is_listed(expected, outcome->sqlstate))
        outcome_decide(outcome, ATTACK_PASS, "%s", "");
    else
        outcome_decide(outcome, ATTACK_SKIPPED,
                       "refused, but not for the reason that is expected (%s): nothing was tried",
                       expected);
}

void judge_no_gain(const struct attack *attack reeve_unused, struct attack_outcome *outcome)
{
    outcome_decide(outcome, ATTACK_PASS, "%s", "");
}

void judge_empty(const struct attack *attack reeve_unused, struct attack_outcome *outcome)
{
    if (outcome->refused > 0)
        outcome_decide(outcome, ATTACK_SKIPPED, "the question was refused: nothing is known");
    else if (outcome->rows > 0)
        outcome_decide(outcome, ATTACK_FINDING, "there should be none: %s",
                       buffer_string(&outcome->names));
    else
        outcome_decide(outcome, ATTACK_PASS, "%s", "");
}

void judge_untouched(const struct attack *attack reeve_unused, struct attack_outcome *outcome)
{
    if (outcome->affected > 0)
        outcome_decide(outcome, ATTACK_FINDING, "%lld rows of the victim were touched",
                       (long long)outcome->affected);
    else
        outcome_decide(outcome, ATTACK_PASS, "%s", "");
}

void judge_residual(const struct attack *attack, struct attack_outcome *outcome)
{
    if (outcome->accepted > 0 && outcome->rows + outcome->affected > 0)
        outcome_decide(outcome, ATTACK_RESIDUAL, "%s", attack->residual);
    else
        outcome_decide(outcome, ATTACK_PASS, "%s", "");
}
