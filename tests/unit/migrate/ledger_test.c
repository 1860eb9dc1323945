/* What the ledger says against what the folder holds: pending, changed, gone, too late. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "migrate/ledger.h"

static struct migration migrations[] = {
    {.version = {1, {1}},
     .version_text = "1",
     .checksum = "aa",
     .name = "one",
     .file = "1_one.sql"},
    {.version = {2, {1, 5}},
     .version_text = "1.5",
     .checksum = "bb",
     .name = "more",
     .file = "V1_5__more.sql"},
    {.version = {1, {10}},
     .version_text = "10",
     .checksum = "cc",
     .name = "ten",
     .file = "10_ten.sql"},
};
static const struct migration_set set = {.folder = "/srv/m", .count = 3, .migrations = migrations};

struct fixture {
    struct arena arena;
    struct ledger_plan plan;
    struct error err;
};

static int set_up(void **state)
{
    struct fixture *f = xcalloc(1, sizeof(*f));
    arena_init(&f->arena, 0);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    arena_reset(&f->arena);
    free(f);
    return 0;
}

static int compare(struct fixture *f, const struct ledger_entry *entries, size_t count)
{
    return ledger_compare(entries, count, &set, &f->arena, &f->plan, &f->err);
}

static void test_everything_is_pending_at_first(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(compare(f, NULL, 0), 0);
    assert_string_equal(f->plan.from, "");
    assert_string_equal(f->plan.to, "10");
    assert_int_equal(f->plan.count, 3);
    assert_ptr_equal(f->plan.pending[0], &migrations[0]);
    assert_ptr_equal(f->plan.pending[2], &migrations[2]);
}

static void test_the_rest_is_pending(void **state)
{
    struct fixture *f = *state;
    const struct ledger_entry entries[] = {{"1.5", "more", "bb"}, {"1", "one", "aa"}};
    assert_int_equal(compare(f, entries, 2), 0);
    assert_string_equal(f->plan.from, "1.5");
    assert_int_equal(f->plan.count, 1);
    assert_ptr_equal(f->plan.pending[0], &migrations[2]);
}

static void test_nothing_is_pending(void **state)
{
    struct fixture *f = *state;
    const struct ledger_entry entries[] = {{"1", "", "aa"}, {"1.5", "", "bb"}, {"10", "", "cc"}};
    assert_int_equal(compare(f, entries, 3), 0);
    assert_string_equal(f->plan.from, "10");
    assert_int_equal(f->plan.count, 0);
}

static void expect_refused(struct fixture *f, const struct ledger_entry *entries, size_t count,
                           const char *message, const char *hint)
{
    f->plan.count = 99;
    assert_int_equal(compare(f, entries, count), -ERROR_MIGRATION);
    assert_string_equal(f->err.message, message);
    assert_string_equal(f->err.hint, hint);
    assert_int_equal(f->plan.count, 99); /* untouched */
}

static void test_a_changed_file_is_named(void **state)
{
    const struct ledger_entry entries[] = {{"1", "one", "aa"}, {"1.5", "more", "drifted"}};
    expect_refused(*state, entries, 2,
                   "migration file \"V1_5__more.sql\" was changed after it had been applied",
                   "restore the file as it was; what should change goes into a new migration");
}

static void test_a_file_that_is_gone_is_named(void **state)
{
    const struct ledger_entry entries[] = {{"1", "one", "aa"}, {"2", "two", "x"}};
    expect_refused(*state, entries, 2,
                   "migration 2 \"two\" has been applied, but its file is no longer in /srv/m",
                   "put the file back; to undo what it did, add a new migration");
}

static void test_a_file_that_comes_too_late_is_named(void **state)
{
    const struct ledger_entry entries[] = {{"1", "one", "aa"}, {"10", "ten", "cc"}};
    expect_refused(
        *state, entries, 2,
        "migration file \"V1_5__more.sql\" was never applied, but the newer version 10 was",
        "give it a version above 10");
}

#define ledger_test(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ledger_test(test_everything_is_pending_at_first),
        ledger_test(test_the_rest_is_pending),
        ledger_test(test_nothing_is_pending),
        ledger_test(test_a_changed_file_is_named),
        ledger_test(test_a_file_that_is_gone_is_named),
        ledger_test(test_a_file_that_comes_too_late_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
