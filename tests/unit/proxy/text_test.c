/* What the words of a text say, and the names that it deallocates. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/compiler.h"
#include "proxy/text.h"

/* ---- flags of a text ---- */

static char *copy_exactly(const char *bytes, size_t length)
{
    char *exact = xmalloc(length); /* so that ASan sees a read behind it */
    memcpy(exact, bytes, length);
    return exact;
}

static unsigned flags_of_bytes(const char *text, size_t length)
{
    _cleanup_free_ char *exact = copy_exactly(text, length);
    return text_flags(exact, length);
}

static unsigned flags_of(const char *text)
{
    return flags_of_bytes(text, strlen(text));
}

struct expected {
    const char *text;
    unsigned flags;
};

static void check_flags(const struct expected *cases, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        unsigned flags = flags_of(cases[i].text);
        if (flags != cases[i].flags)
            fail_msg("flags %#x instead of %#x: %s", flags, cases[i].flags, cases[i].text);
    }
}

#define CHECK_FLAGS(...)                                                                           \
    do {                                                                                           \
        static const struct expected cases_[] = {__VA_ARGS__};                                     \
        check_flags(cases_, array_size(cases_));                                                   \
    } while (0)

enum { SETS = TEXT_CHANGES_SETTINGS, PINS = TEXT_PINS };

static void test_texts_that_say_nothing(void **state)
{
    (void)state;
    CHECK_FLAGS({"", 0}, {" ", 0}, {";", 0}, {"SELECT 1", 0}, {"begin;", 0}, {"COMMIT;", 0},
                {"INSERT INTO t VALUES (1)", 0}, {"update t set x = 1", 0}, {"EXECUTE p(1)", 0},
                {"delete from t", 0}, {"DROP TABLE t", 0}, {"CREATE TABLE t (x int)", 0},
                {"COPY t FROM STDIN", 0}, {"LOCK t", 0}, {"SHOW x", 0}, {"(SELECT 1)", 0},
                {"\"set\" x", 0}, {"'set'", 0}, {"$$ set $$", 0}, {"-", 0}, {"/", 0});
}

static void test_beginning_a_transaction(void **state)
{
    (void)state;
    CHECK_FLAGS({"begin", TEXT_BEGINS}, {" BEGIN ISOLATION LEVEL SERIALIZABLE", TEXT_BEGINS},
                {"/* c */ START TRANSACTION READ ONLY", TEXT_BEGINS}, {"begin; select f()", 0},
                {"beginning", 0}, {"starting", 0}, {"begin;", 0});
}

static void test_words_that_change_settings(void **state)
{
    (void)state;
    CHECK_FLAGS({"SET x = 1", SETS}, {"set x to 1", SETS}, {"SeT x = 1", SETS}, {"set", SETS},
                {"SET\tx=1", SETS}, {"set\"x\"=1", SETS}, {"SET/**/x=1", SETS},
                {"do $$ begin end $$", SETS}, {"DO LANGUAGE plpgsql $$$$", SETS}, {"do", SETS},
                {"CALL p()", SETS}, {"call\np()", SETS}, {"settle", 0}, {"set_x", 0}, {"set1", 0},
                {"set$", 0}, {"set\xc3\xa4", 0}, {"done", 0}, {"called()", 0}, {"d", 0}, {"s", 0});
}

static void test_set_config(void **state)
{
    (void)state;
    CHECK_FLAGS({"select set_config('a.b', 'c', false)", SETS},
                {"SELECT pg_catalog.SET_CONFIG($1, $2, true)", SETS},
                {"select \"set_config\"('a.b', 'c', false)", SETS},
                {"with x as (select Set_Config('a', 'b', false)) select 1", SETS},
                {"set_config", SETS}, {"select a_set_config_b", SETS}, {"select set config", 0},
                {"select set__config", 0}, {"select set_confi", 0}, {"select et_config", 0},
                {"_config", 0}, {"set_", 0}, {"_", 0}, {"____________", 0});
}

static void test_advisory_locks(void **state)
{
    (void)state;
    CHECK_FLAGS(
        {"select pg_advisory_lock(1)", PINS}, {"select pg_try_advisory_lock(1)", PINS},
        {"select pg_advisory_lock_shared(1, 2)", PINS},
        {"SELECT PG_TRY_ADVISORY_LOCK_SHARED(1)", PINS}, {"select pg_advisory_xact_lock(1)", 0},
        {"select pg_try_advisory_xact_lock_shared(1)", 0}, {"select pg_advisory_unlock(1)", 0},
        {"select pg_advisory_unlock_all()", 0}, {"advisory_lock", PINS}, {"advisory_loc", 0},
        {"dvisory_lock", 0}, {"set_config pg_advisory_lock", SETS | PINS});
}

static void test_listen(void **state)
{
    (void)state;
    CHECK_FLAGS({"LISTEN x", TEXT_LISTENS}, {"listen \"X\"", TEXT_LISTENS},
                {" ;; Listen x;", TEXT_LISTENS}, {"unlisten *", 0}, {"listener", 0}, {"liste", 0},
                {"NOTIFY x", 0}, {"lis", 0});
}

static void test_discard(void **state)
{
    (void)state;
    /* The others leave prepared statements and settings as they are. */
    CHECK_FLAGS({"DISCARD ALL", TEXT_DISCARDS | SETS}, {"discard all;", TEXT_DISCARDS | SETS},
                {"discard /* x */ all", TEXT_DISCARDS | SETS}, {"DISCARD PLANS", 0},
                {"DISCARD SEQUENCES", 0}, {"DISCARD TEMP", 0}, {"DISCARD TEMPORARY", 0},
                {"discard", 0}, {"discard allx", 0}, {"discardall", 0});
}

static void test_deallocate(void **state)
{
    (void)state;
    CHECK_FLAGS({"DEALLOCATE ALL", TEXT_DISCARDS}, {"deallocate prepare all ;", TEXT_DISCARDS},
                {"DEALLOCATE PREPARE\tAll", TEXT_DISCARDS}, {"deallocate x", TEXT_DEALLOCATES},
                {"deallocate prepare x", TEXT_DEALLOCATES},
                {"deallocate \"all\"", TEXT_DEALLOCATES},
                {"deallocate all_of_it", TEXT_DEALLOCATES}, {"deallocate", TEXT_DEALLOCATES},
                {"deallocated x", 0}, {"PREPARE x AS SELECT 1", 0});
}

static void test_declare(void **state)
{
    (void)state;
    CHECK_FLAGS({"DECLARE c CURSOR WITH HOLD FOR SELECT 1", PINS},
                {"declare c scroll cursor with  hold for select 1", PINS},
                {"declare \"hold\" cursor for select 1", 0},
                {"declare c cursor with/* */hold for select 1", PINS},
                {"declare c cursor with -- x\nhold for select 1", PINS},
                {"declare c cursor without hold for select 1", 0},
                {"declare c cursor for select 1", 0}, {"declare hold cursor for select 1", 0},
                {"declare withhold cursor for with x as (select 1) select hold from x", 0},
                {"declare c cursor with", 0}, {"declare c cursor with hol", 0},
                {"declare c cursor with hold", PINS}, {"declare", 0}, {"declare ", 0},
                {"declare c cursor with holdings", 0}, {"declare c cursor xwith hold", 0},
                {"declare c cursor with with hold", PINS}, {"select 'x with hold'", 0});
}

static void test_blanks_and_comments_in_front(void **state)
{
    (void)state;
    CHECK_FLAGS({" \t\r\n\f\vset x = 1", SETS}, {"-- c\nset x = 1", SETS},
                {"-- c\rset x = 1", SETS}, {"-- a\n-- b\n set x = 1", SETS}, {"-- set x = 1", 0},
                {"--\nlisten x", TEXT_LISTENS}, {"/* c */set x = 1", SETS}, {"/**/set x = 1", SETS},
                {"/***/set x = 1", SETS}, {"/*/ set x = 1", 0}, {"/*/*/ set x = 1", 0},
                {"/* a /* b */ set x = 1", 0}, {"/* a /* b */ */ set x = 1", SETS},
                {"/*/**/*/set x = 1", SETS}, {"/* -- */ set x = 1", SETS},
                {"-- /*\nset x = 1", SETS}, {"/* set x = 1 */", 0},
                {"/* /* */ */ /* */ -- x\n ; listen x", TEXT_LISTENS}, {"*/ set x = 1", 0},
                {"- - set x", 0}, {"/ * set x */ set x", 0});
}

static void test_several_statements(void **state)
{
    (void)state;
    CHECK_FLAGS(
        {"begin; set x = 1", SETS}, {"begin;set x = 1;commit", SETS},
        {"begin; ;; -- c\n /* ; */ set local x = 1", SETS}, {"begin; do $$ $$", SETS},
        {"begin; CALL p(); commit", SETS},
        {"begin; declare c cursor with hold for select 1; commit", PINS},
        {"begin; declare c cursor for select 1; fetch c -- with hold", 0},
        {"begin; update t set x = 1; commit", 0}, {"select 1; select 2;", 0},
        {"select 1;;;;;;;;;;;;;;;;;;;;;;;;;;;;;;;;;;;;;;;;;;;;;;;;;;;;;;;;;;;", 0},
        {"set x = 1; listen y", SETS | TEXT_LISTENS}, {"listen y; set x = 1", SETS | TEXT_LISTENS},
        {"begin; listen y; commit", TEXT_LISTENS}, {"do $$;$$; listen y", SETS | TEXT_LISTENS},
        {"select 1; deallocate all", TEXT_DISCARDS},
        {"select 1 /* ; */ ; deallocate x", TEXT_DEALLOCATES},
        {"deallocate x; deallocate all", TEXT_DEALLOCATES | TEXT_DISCARDS});
}

/* A semicolon may stand in a literal: what would refuse or forget something is not guessed. */
static void test_words_in_literals(void **state)
{
    (void)state;
    CHECK_FLAGS({"select '; listen x'", 0}, {"select 'a; discard all'", SETS},
                {"select $$; deallocate all$$", 0}, {"select \"; deallocate x\"", 0},
                {"select '; set x = 1'", SETS}, /* costs one more query, no more */
                {"select ';/*'; set x = 1", SETS}, {"select ';--'; set x = 1", SETS},
                {"select ';'; listen x", TEXT_LISTENS}, {"select ''';'; listen x", TEXT_LISTENS},
                {"select ''';listen x'''", 0}, {"select e'\\';listen x'", 0},
                {"select E'\\\\'; listen x", TEXT_LISTENS},
                {"select the'\\'; listen x", TEXT_LISTENS}, {"select \"a\"\";listen x\"", 0},
                {"select $a$;listen x$b$;listen x$a$", 0}, {"select $a$ $a; listen x", 0},
                {"select $1; listen x", TEXT_LISTENS}, {"select a$b$; listen x", TEXT_LISTENS},
                {"select $$'$$; listen x", TEXT_LISTENS}, {"select 1 -- ; listen x", 0},
                {"select 1 /* ; listen x */", 0}, {"select 1 - 1; listen x", TEXT_LISTENS},
                {"select 1 / 1; listen x", TEXT_LISTENS}, {"select 'listen x'", 0},
                {"select 'set x'", 0}, {"select 'set_config'", SETS});
}

static void test_texts_that_are_cut_off(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "  /* a /* b */ c */ -- d\n set x = 1; set y = 2",
        "declare c cursor with hold for select set_config('a', 'b', false)",
        "deallocate prepare \"a\"\"b\" ; discard all",
        "begin; declare c cursor with /* hold */ hold for select pg_advisory_lock(1);",
        "; ;-- x\n/**/do $$ begin end $$; call p(); listen x; discard/* */all",
    };
    for (size_t i = 0; i < array_size(texts); i++) {
        for (size_t length = 0; length <= strlen(texts[i]); length++)
            flags_of_bytes(texts[i], length);
    }
    assert_int_equal(flags_of_bytes("set x", 3), SETS);
    assert_int_equal(flags_of_bytes("set x", 2), 0);
    assert_int_equal(flags_of_bytes("settle", 3), SETS); /* all there is of it */
    assert_int_equal(flags_of_bytes("listen x", 5), 0);
    assert_int_equal(flags_of_bytes("x; set", 6), SETS);
    assert_int_equal(flags_of_bytes("x; set", 5), 0);
    assert_int_equal(flags_of_bytes("set_config", 9), 0);
    assert_int_equal(flags_of_bytes("\0set x", 6), 0);
}

/* Bytes that make a scan begin again and again; in a quadratic one these take hours. */
static void test_hostile_texts_take_linear_time(void **state)
{
    (void)state;
    static const char *const pieces[] = {
        ";",
        "; ",
        ";--",
        ";/*",
        "/*",
        "--",
        "_",
        ";set/*",
        ";declare/*",
        ";declare ",
        "declare with/*",
        ";discard/*",
        "set_",
        "advisory_",
        ";/**/",
        ";do--",
        "with ",
        "/*/",
        ";/*;*/",
        "_set_config",
        "'",
        "$a$ ",
        "$a",
        "e'\\",
        ";deallocate ",
        "\n;\r",
    };
    enum { SIZE = 4 * 1024 * 1024 };
    _cleanup_free_ char *text = xmalloc(SIZE);
    for (size_t i = 0; i < array_size(pieces); i++) {
        size_t length = strlen(pieces[i]);
        for (size_t at = 0; at < SIZE; at++)
            text[at] = pieces[i][at % length];
        text_flags(text, SIZE);
        struct text_deallocate found = {0};
        while (text_next_deallocate(text, SIZE, &found))
            continue;
        for (size_t at = 0; at < 8; at++)
            text[at] = "declare "[at];
        text_flags(text, SIZE);
    }
}

/* Where it would be too much to look at everything, more is assumed and not less. */
static void test_a_text_too_odd_to_look_through(void **state)
{
    (void)state;
    char text[1000];
    for (size_t i = 0; i < sizeof(text); i++)
        text[i] = ";--"[i % 3];
    assert_int_equal(text_flags(text, sizeof(text)), SETS | PINS);
    /* Comments that hold statements are not that odd. */
    CHECK_FLAGS({"create table a ();\n/*\ninsert into a values (1);\ninsert into a values (2);\n"
                 "insert into a values (3);\n-- and; so; on; and; so; on\n*/\nselect 1; -- a; b\n",
                 0});
}

/* ---- DEALLOCATE name ---- */

/* `wanted`: the names, with a blank between them. */
static void check_names(const char *text, const char *wanted)
{
    size_t length = strlen(text);
    _cleanup_free_ char *exact = copy_exactly(text, length);
    struct text_deallocate found = {0};
    char names[256] = "";
    while (text_next_deallocate(exact, length, &found)) {
        assert_true(found.start < found.end && found.end <= length);
        snprintf(names + strlen(names), sizeof(names) - strlen(names), "%s%s", *names ? " " : "",
                 found.name);
    }
    if (strcmp(names, wanted) != 0)
        fail_msg("\"%s\" instead of \"%s\": %s", names, wanted, text);
}

static void test_deallocated_names(void **state)
{
    (void)state;
    check_names("DEALLOCATE x", "x");
    check_names("deallocate prepare MixedCase", "mixedcase");
    check_names(" /* c */ Deallocate -- d\n x ; ", "x");
    check_names("deallocate \"MixedCase\"", "MixedCase");
    check_names("deallocate\"x\"", "x");
    check_names("deallocate \"a\"\"b\"", "a\"b");
    check_names("deallocate \"\"\"\"", "\"");
    check_names("deallocate \"a b;c\"", "a b;c");
    check_names("deallocate prepared", "prepared");
    check_names("deallocate \"prepare\"", "prepare");
    check_names("deallocate \"all\"", "all");
    check_names("deallocate a_1$", "a_1$");
    check_names("deallocate s\xc3\xb6me", "s\xc3\xb6me");
    check_names("deallocate x/* c */", "x");
    check_names("deallocate x /* never closed", "x");
    check_names("deallocate x; select 1", "x");
    check_names("select 1; deallocate x", "x");
    check_names("deallocate x;deallocate prepare \"Y\"; select ';deallocate z'", "x Y");
    check_names("begin;deallocate all;deallocate x;commit", "x");
}

static void test_no_deallocated_names(void **state)
{
    (void)state;
    check_names("", "");
    check_names("deallocate", "");
    check_names("deallocate ", "");
    check_names("deallocate prepare", "");
    check_names("deallocate;x", "");
    check_names("deallocate \"", "");
    check_names("deallocate \"\"", "");
    check_names("deallocate \"a", "");
    check_names("deallocate \"a\"\"", "");
    check_names("deallocate 'x'", "");
    check_names("deallocate all", "");
    check_names("select deallocate x", "");
    check_names("select '; deallocate x'", "");
    check_names("select $$; deallocate x$$", "");
}

static void check_long_name(size_t length, bool fits)
{
    char text[TEXT_NAME_SIZE + 32] = "deallocate ";
    size_t at = strlen(text);
    memset(text + at, 'n', length);
    struct text_deallocate found = {0};
    assert_int_equal(text_next_deallocate(text, at + length, &found), fits);
    if (!fits)
        return;
    assert_int_equal(found.start, at);
    assert_int_equal(found.end, at + length);
    assert_int_equal(strlen(found.name), length);
}

static void test_a_name_that_does_not_fit(void **state)
{
    (void)state;
    check_long_name(TEXT_NAME_SIZE - 1, true);
    check_long_name(TEXT_NAME_SIZE, false);
}

static void test_names_behind_all(void **state)
{
    (void)state;
    static const char text[] = "deallocate x; deallocate all; deallocate y";
    struct text_deallocate found = {0};
    assert_true(text_next_deallocate(text, strlen(text), &found));
    assert_false(found.behind_all);
    assert_true(text_next_deallocate(text, strlen(text), &found));
    assert_string_equal(found.name, "y");
    assert_true(found.behind_all);
}

static void check_before_listen(const char *text, const char *before)
{
    assert_int_equal(text_before_listen(text, strlen(text)), strlen(before));
}

static void test_what_is_in_front_of_listen(void **state)
{
    (void)state;
    check_before_listen("listen x", "");
    check_before_listen(" ;-- listen y\n LISTEN x; select 1", " ;-- listen y\n ");
    check_before_listen("select ';listen x'; listen x; listen y", "select ';listen x'; ");
    check_before_listen("select 1", "select 1");
    check_before_listen("unlisten x; listener", "unlisten x; listener");
    check_before_listen("", "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_texts_that_say_nothing),
        cmocka_unit_test(test_beginning_a_transaction),
        cmocka_unit_test(test_words_that_change_settings),
        cmocka_unit_test(test_set_config),
        cmocka_unit_test(test_advisory_locks),
        cmocka_unit_test(test_listen),
        cmocka_unit_test(test_discard),
        cmocka_unit_test(test_deallocate),
        cmocka_unit_test(test_declare),
        cmocka_unit_test(test_blanks_and_comments_in_front),
        cmocka_unit_test(test_several_statements),
        cmocka_unit_test(test_words_in_literals),
        cmocka_unit_test(test_texts_that_are_cut_off),
        cmocka_unit_test(test_hostile_texts_take_linear_time),
        cmocka_unit_test(test_a_text_too_odd_to_look_through),
        cmocka_unit_test(test_deallocated_names),
        cmocka_unit_test(test_no_deallocated_names),
        cmocka_unit_test(test_a_name_that_does_not_fit),
        cmocka_unit_test(test_names_behind_all),
        cmocka_unit_test(test_what_is_in_front_of_listen),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
