/* Verdicts: what counts as a defence, and what does not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "attack/internal.h"

static struct arena arena;

static int teardown(void **state)
{
    (void)state;
    arena_reset(&arena);
    return 0;
}

static const struct attack plain = {.id = "x"}, listed = {.id = "x", .expected = "0A000 3F000"},
                           residual = {.id = "x", .residual = "it cannot"};

struct answer {
    size_t accepted, refused;
    const char *sqlstate;
    int64_t rows, affected;
};

static enum attack_verdict verdict_of(attack_judge judge, const struct attack *attack,
                                      struct answer answer)
{
    struct attack_outcome outcome;
    outcome_init(&outcome, NULL, &arena);
    outcome.accepted = answer.accepted;
    outcome.refused = answer.refused;
    outcome.rows = answer.rows;
    outcome.affected = answer.affected;
    if (answer.sqlstate)
        snprintf(outcome.sqlstate, sizeof(outcome.sqlstate), "%s", answer.sqlstate);
    judge(attack, &outcome);
    assert_true(outcome.decided);
    enum attack_verdict verdict = outcome.verdict;
    outcome_free(&outcome);
    return verdict;
}

static void test_refused(void **state)
{
    (void)state;
    const struct {
        const struct attack *attack;
        struct answer answer;
        enum attack_verdict verdict;
    } cases[] = {
        {&plain, {0, 1, "42501", 0, 0}, ATTACK_PASS},
        {&plain, {1, 0, NULL, 0, 0}, ATTACK_FINDING},
        {&plain, {1, 1, "42501", 0, 0}, ATTACK_FINDING},
        {&plain, {0, 1, "42601", 0, 0}, ATTACK_SKIPPED}, /* a text with a mistake tries nothing */
        {&plain, {0, 0, NULL, 0, 0}, ATTACK_SKIPPED},
        {&listed, {0, 1, "3F000", 0, 0}, ATTACK_PASS},
        {&listed, {0, 1, "42501", 0, 0}, ATTACK_SKIPPED},
    };
    for (size_t i = 0; i < array_size(cases); i++)
        assert_int_equal(verdict_of(judge_refused, cases[i].attack, cases[i].answer),
                         cases[i].verdict);
}

static void test_others(void **state)
{
    (void)state;
    const struct answer nothing = {1, 0, NULL, 0, 0}, rows = {1, 0, NULL, 3, 0},
                        touched = {1, 0, NULL, 0, 2}, refused = {0, 1, "42501", 0, 0};
    assert_int_equal(verdict_of(judge_empty, &plain, nothing), ATTACK_PASS);
    assert_int_equal(verdict_of(judge_empty, &plain, rows), ATTACK_FINDING);
    assert_int_equal(verdict_of(judge_empty, &plain, refused), ATTACK_SKIPPED);
    assert_int_equal(verdict_of(judge_untouched, &plain, nothing), ATTACK_PASS);
    assert_int_equal(verdict_of(judge_untouched, &plain, touched), ATTACK_FINDING);
    assert_int_equal(verdict_of(judge_untouched, &plain, refused), ATTACK_PASS);
    assert_int_equal(verdict_of(judge_residual, &residual, rows), ATTACK_RESIDUAL);
    assert_int_equal(verdict_of(judge_residual, &residual, nothing), ATTACK_PASS);
    assert_int_equal(verdict_of(judge_residual, &residual, refused), ATTACK_PASS);
}

static struct attack_outcome after(enum pg_raw_kind kind, const char *sqlstate, const char *message,
                                   const char *hidden)
{
    struct attack_outcome outcome;
    const struct pg_raw_piece piece = {.kind = kind,
                                       .tag = "",
                                       .sqlstate = sqlstate,
                                       .message = message,
                                       .detail = "",
                                       .hint = ""};
    outcome_init(&outcome, NULL, &arena);
    outcome.hidden = hidden;
    session_note(&outcome, &piece);
    return outcome;
}

/* No slot, no connection, a defect: none of it is a refusal. */
static void test_answers_that_say_nothing(void **state)
{
    (void)state;
    static const char *const nothing[] = {"53300", "57P01", "57014", "08006", "XX000", "58030"};
    static const char *const something[] = {"42501", "0A000", "28P01", "23514", "57000", "25006"};
    for (size_t i = 0; i < array_size(nothing); i++) {
        struct attack_outcome outcome = after(PG_RAW_ERROR, nothing[i], "x", NULL);
        assert_true(outcome.inconclusive);
        outcome_free(&outcome);
    }
    for (size_t i = 0; i < array_size(something); i++) {
        struct attack_outcome outcome = after(PG_RAW_ERROR, something[i], "x", NULL);
        assert_false(outcome.inconclusive);
        outcome_free(&outcome);
    }
}

static void test_secrets_in_answers(void **state)
{
    (void)state;
    static const enum pg_raw_kind kinds[] = {PG_RAW_ERROR, PG_RAW_NOTICE, PG_RAW_NOTIFICATION,
                                             PG_RAW_COPY_ROW};
    for (size_t i = 0; i < array_size(kinds); i++) {
        struct attack_outcome found = after(kinds[i], "22000", "it is 777", "777");
        assert_true(found.gain.length > 0);
        outcome_free(&found);
        struct attack_outcome none = after(kinds[i], "22000", "it is 888", "777");
        assert_int_equal(none.gain.length, 0);
        outcome_free(&none);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_others),
        cmocka_unit_test(test_answers_that_say_nothing),
        cmocka_unit_test(test_secrets_in_answers),
    };
    return cmocka_run_group_tests(tests, NULL, teardown);
}
