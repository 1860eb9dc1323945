/* Attack texts: statements, words, and what the tables of attacks hold. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "attack/internal.h"

static struct arena arena;

static int setup(void **state)
{
    (void)state;
    arena_init(&arena, 0);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    arena_reset(&arena);
    return 0;
}

static void test_statements(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *statements; /* with a bar between them */
    } cases[] = {
        {"", ""},
        {"  ", ""},
        {"SELECT 1", "SELECT 1|"},
        {"SELECT 1; SELECT 2;", "SELECT 1|SELECT 2|"},
        {"DO $$ BEGIN a; b; END $$; SELECT 2", "DO $$ BEGIN a; b; END $$|SELECT 2|"},
        {"DO $$ a; ", "DO $$ a; |"},
    };
    for (size_t i = 0; i < array_size(cases); i++) {
        _cleanup_buffer_ struct buffer found = BUFFER_INIT(1024);
        const char *at = cases[i].text;
        for (const char *sql; (sql = words_next_statement(&arena, &at)) != NULL;)
            buffer_printf(&found, "%s|", sql);
        assert_string_equal(buffer_string(&found), cases[i].statements);
    }
}

static const char *expand(const char *text, bool shown, const char **ret_missing)
{
    struct attack_stage stage = {0};
    words_add(&stage, "id", "42", false);
    words_add(&stage, "role", "t_\"7'", true);
    words_add(&stage, "secret", "1234567890", false);
    words_add(&stage, "secret_a", "12345", false);
    words_add(&stage, "insert", "VALUES ('1234567890')", false);
    words_add(&stage, "none", NULL, false);
    return words_expand(&stage, &arena, text, shown, ret_missing);
}

static void test_words(void **state)
{
    (void)state;
    const char *missing = NULL;
    assert_string_equal(expand("SET x = '{id}'", false, &missing), "SET x = '42'");
    assert_string_equal(expand("SET ROLE {role}", false, &missing), "SET ROLE \"t_\"\"7'\"");
    assert_string_equal(expand("{role:s} {role:t} {id:i}", false, &missing),
                        "'t_\"7''' t_\"7' \"42\"");
    assert_string_equal(expand("'{}' {unknown} {", false, &missing), "'{}' {unknown} {");
    assert_string_equal(expand("LIKE '%{secret_a}%'", false, &missing), "LIKE '%12345%'");
    assert_null(missing);
    assert_null(expand("SELECT {none}", false, &missing));
    assert_string_equal(missing, "none");
}

static void test_secrets_are_not_shown(void **state)
{
    (void)state;
    const char *missing = NULL;
    assert_string_equal(expand("{secret} {insert} {secret_a} {id}", true, &missing),
                        "SECRET VALUES ('SECRET') SECRET 42");
}

static void test_digits(void **state)
{
    (void)state;
    char one[ATTACK_SECRET_SIZE], other[ATTACK_SECRET_SIZE];
    words_random_digits(one);
    words_random_digits(other);
    assert_int_equal(strspn(one, "0123456789"), ATTACK_SECRET_SIZE - 1);
    assert_int_not_equal(one[0], '0');
    assert_string_not_equal(one, other);
}

/* ---- the tables ---- */

static void for_each(void (*check)(const struct attack *attack))
{
    for (size_t i = 0; attack_tables[i]; i++)
        for (const struct attack *attack = attack_tables[i]; attack->id; attack++)
            check(attack);
}

static void check_unique(const struct attack *attack)
{
    size_t count = 0;
    for (size_t i = 0; attack_tables[i]; i++)
        for (const struct attack *other = attack_tables[i]; other->id; other++)
            count += strcmp(other->id, attack->id) == 0;
    if (count != 1)
        fail_msg("%s is there %zu times", attack->id, count);
}

static void check_complete(const struct attack *attack)
{
    if (!attack->title || !*attack->title || attack->threat < 1 || attack->threat > 38)
        fail_msg("%s lacks a title or a threat", attack->id);
    if (!attack->play && (!attack->sql || !attack->judge))
        fail_msg("%s is sent nowhere, or judged by nobody", attack->id);
    if (attack->judge == judge_residual && !attack->residual)
        fail_msg("%s does not say why it cannot be closed", attack->id);
    /* A look at the end of one message follows what may have failed: only gain counts then. */
    if (attack->flags & ALL_STYLES && attack->judge == judge_refused)
        fail_msg("%s counts refusals, which looks would be counted as", attack->id);
}

/* What would harm others if it got through, and must not be committed. */
static void check_harmless(const struct attack *attack)
{
    static const char *const dangerous[] = {
        "DROP ",    "TRUNCATE",  "DISABLE ROW", "OWNER TO", "CREATE T", "CREATE R", "CREATE V",
        "CREATE P", "SUPERUSER", "ALTER TABLE", "ROLE ALL", "GRANT ",   "MERGE ",   "DELETE FROM"};
    /* Below: refused, or of a kind that changes nothing even where it is not. */
    static const char *const fine[] = {"shared.ledger"};
    for (size_t i = 0; i < array_size(fine); i++)
        if (strcmp(attack->id, fine[i]) == 0)
            return;
    for (size_t i = 0; attack->sql && i < array_size(dangerous); i++)
        if (strstr(attack->sql, dangerous[i]) && !(attack->flags & IN_TRANSACTION) &&
            !strstr(attack->sql, "CREATE TEMP") && attack->judge != judge_empty)
            fail_msg("%s is not in a transaction: %s", attack->id, attack->sql);
}

static void test_tables(void **state)
{
    (void)state;
    for_each(check_unique);
    for_each(check_complete);
    for_each(check_harmless);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_statements),
        cmocka_unit_test(test_words),
        cmocka_unit_test(test_secrets_are_not_shown),
        cmocka_unit_test(test_digits),
        cmocka_unit_test(test_tables),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
