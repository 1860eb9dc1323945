/* What is kept of large transactions: in memory, in files without names, and thrown away again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "move/spool.h"

enum { BLOCK = 64 << 10, HEAD = 8, MANY = 3000, LARGE = 300000, MB = 1 << 20 };

static char folder[] = "/tmp/reeve-spool-test-XXXXXX";

static int make_folder(void **state reeve_unused)
{
    return mkdtemp(folder) ? 0 : -1;
}

/* Nothing is left in it. */
static int drop_folder(void **state reeve_unused)
{
    return rmdir(folder);
}

static struct spool *new_spool(void)
{
    return spool_new(folder, 64 * MB);
}

static void begin(struct spool *spool, uint32_t xid)
{
    assert_int_equal(spool_begin(spool, xid, true, NULL), 0);
}

static void add(struct spool *spool, uint32_t xid, uint32_t sub_xid, const char *text)
{
    assert_int_equal(spool_add(spool, xid, sub_xid, str_of(text), NULL), 0);
}

/* "1", "2", ... */
static void add_numbers(struct spool *spool, uint32_t xid, uint32_t sub_xid, int first, int last)
{
    char text[16];
    for (int i = first; i <= last; i++) {
        snprintf(text, sizeof(text), "%d", i);
        add(spool, xid, sub_xid, text);
    }
}

static void assert_next(struct spool *spool, uint32_t sub_xid, const char *text)
{
    struct spool_change change;
    assert_int_equal(spool_next(spool, &change, NULL), 1);
    assert_int_equal(change.length, strlen(text));
    assert_memory_equal(change.bytes, text, change.length);
    assert_int_equal(change.sub_xid, sub_xid);
}

static void assert_numbers(struct spool *spool, uint32_t sub_xid, int first, int last)
{
    char text[16];
    for (int i = first; i <= last; i++) {
        snprintf(text, sizeof(text), "%d", i);
        assert_next(spool, sub_xid, text);
    }
}

static void assert_end(struct spool *spool)
{
    struct spool_change change;
    assert_int_equal(spool_next(spool, &change, NULL), 0);
}

static void test_interleaved(void **state reeve_unused)
{
    _cleanup_spool_ struct spool *spool = new_spool();
    begin(spool, 7);
    add_numbers(spool, 7, 7, 1, MANY * 5);
    begin(spool, 8);
    add_numbers(spool, 8, 8, 1, 3);
    assert_int_equal(spool_begin(spool, 7, false, NULL), 0);
    add(spool, 7, 9, "");
    assert_int_equal(spool_replay(spool, 8, NULL), 0);
    assert_numbers(spool, 8, 1, 3);
    assert_end(spool);
    assert_int_equal(spool_replay(spool, 7, NULL), 0);
    assert_int_equal(spool_sub_count(spool), 1);
    assert_int_equal(spool_sub(spool, 0), 9);
    assert_numbers(spool, 7, 1, MANY * 5);
    assert_next(spool, 9, "");
    assert_end(spool);
    assert_int_equal(spool_size(spool), 0);
}

static char *large(char letter)
{
    char *text = xmalloc(LARGE + 1);
    memset(text, letter, LARGE);
    text[LARGE] = '\0';
    return text;
}

/* Of any size, at any place of a block. */
static void test_large_changes(void **state reeve_unused)
{
    _cleanup_spool_ struct spool *spool = new_spool();
    _cleanup_free_ char *a = large('a'), *b = large('b'), *whole = large('w');
    whole[BLOCK - HEAD] = '\0';
    begin(spool, 1);
    add(spool, 1, 1, a);
    add(spool, 1, 1, "small");
    add(spool, 1, 1, b);
    add(spool, 1, 1, whole);
    add(spool, 1, 1, whole);
    add(spool, 1, 1, "last");
    assert_int_equal(spool_size(spool), 6 * HEAD + 2 * LARGE + 2 * (BLOCK - HEAD) + 5 + 4);
    assert_int_equal(spool_replay(spool, 1, NULL), 0);
    assert_next(spool, 1, a);
    assert_next(spool, 1, "small");
    assert_next(spool, 1, b);
    assert_next(spool, 1, whole);
    assert_next(spool, 1, whole);
    assert_next(spool, 1, "last");
    assert_end(spool);
}

/* What was rolled back: in the block, in the file, within another one. */
static void test_subtransactions(void **state reeve_unused)
{
    _cleanup_spool_ struct spool *spool = new_spool();
    begin(spool, 10);
    add_numbers(spool, 10, 10, 1, 3);
    add(spool, 10, 11, "released");
    add(spool, 10, 12, "undone");
    spool_abort(spool, 10, 12);
    add_numbers(spool, 10, 13, 1, MANY * 5); /* more than a block */
    uint64_t size = spool_size(spool);
    add_numbers(spool, 10, 15, 1, MANY * 5); /* within the next, which writes after it */
    add_numbers(spool, 10, 14, 1, MANY * 5);
    spool_abort(spool, 10, 15);
    assert_int_equal(spool_size(spool), size);
    spool_abort(spool, 10, 14); /* gone with it */
    spool_abort(spool, 10, 99); /* it had no change */
    assert_int_equal(spool_size(spool), size);
    add_numbers(spool, 10, 10, 4, 5);
    assert_int_equal(spool_replay(spool, 10, NULL), 0);
    assert_int_equal(spool_sub_count(spool), 2);
    assert_numbers(spool, 10, 1, 3);
    assert_next(spool, 11, "released");
    assert_numbers(spool, 13, 1, MANY * 5);
    assert_numbers(spool, 10, 4, 5);
    assert_end(spool);
}

/* Each of a great many, also where numbers begin anew, is found again. */
static void test_many_subtransactions(void **state reeve_unused)
{
    _cleanup_spool_ struct spool *spool = new_spool();
    const uint32_t top = UINT32_MAX - MANY, outer = top + 1, first = top + 2;
    begin(spool, top);
    add(spool, top, top, "top");
    for (uint32_t i = 0; i < 2 * MANY; i++) {
        add(spool, top, first + i, "inner");
        if (i % 2 == 0)
            add(spool, top, outer, "outer");
    }
    uint64_t size = spool_size(spool);
    add(spool, top, first + 2 * MANY, "the last");
    spool_abort(spool, top, first + 2 * MANY);
    assert_int_equal(spool_size(spool), size);
    spool_abort(spool, top, first + 1);
    assert_int_equal(spool_replay(spool, top, NULL), 0);
    assert_int_equal(spool_sub_count(spool), 2);
    assert_next(spool, top, "top");
    assert_next(spool, first, "inner");
    assert_next(spool, outer, "outer");
    assert_end(spool);
}

static void test_rolled_back(void **state reeve_unused)
{
    _cleanup_spool_ struct spool *spool = new_spool();
    begin(spool, 1);
    add_numbers(spool, 1, 2, 1, MANY * 5);
    spool_abort(spool, 1, 1);
    spool_abort(spool, 1, 1);
    spool_abort(spool, 5, 6);
    assert_int_equal(spool_size(spool), 0);
    begin(spool, 1);
    assert_int_equal(spool_replay(spool, 1, NULL), 0);
    assert_end(spool);
}

/* More at once than may have a block. */
static void test_many_transactions(void **state reeve_unused)
{
    _cleanup_spool_ struct spool *spool = new_spool();
    for (uint32_t xid = 1; xid <= MANY / 10; xid++) {
        begin(spool, xid);
        add_numbers(spool, xid, xid, 1, 2);
    }
    assert_int_equal(spool_begin(spool, 1, false, NULL), 0);
    add_numbers(spool, 1, 1, 3, 4);
    assert_int_equal(spool_replay(spool, 1, NULL), 0);
    assert_numbers(spool, 1, 1, 4);
    assert_end(spool);
    for (uint32_t xid = 2; xid <= MANY / 10; xid++) {
        assert_int_equal(spool_replay(spool, xid, NULL), 0);
        assert_numbers(spool, xid, 1, 2);
        assert_end(spool);
    }
}

static void test_too_many(void **state reeve_unused)
{
    _cleanup_spool_ struct spool *spool = new_spool();
    struct error err;
    for (uint32_t xid = 1; xid <= 10000; xid++)
        begin(spool, xid);
    assert_int_equal(spool_begin(spool, 10001, true, &err), -ERROR_LIMIT);
    assert_string_equal(err.message, "there are more than 10000 large transactions at once");
    spool_abort(spool, 5, 5);
    begin(spool, 10001);
}

static void test_out_of_turn(void **state reeve_unused)
{
    _cleanup_spool_ struct spool *spool = new_spool();
    struct error err;
    assert_int_equal(spool_begin(spool, 1, false, &err), -ERROR_PROTOCOL);
    assert_int_equal(spool_add(spool, 1, 1, str_of("x"), &err), -ERROR_PROTOCOL);
    assert_int_equal(spool_replay(spool, 1, &err), -ERROR_PROTOCOL);
    begin(spool, 1);
    assert_int_equal(spool_begin(spool, 1, true, &err), -ERROR_PROTOCOL);
    assert_string_equal(err.message, "the stream tells of a large transaction out of its turn");
}

static void test_limit(void **state reeve_unused)
{
    _cleanup_spool_ struct spool *spool = spool_new(folder, MB);
    _cleanup_free_ char *a = large('a');
    struct error err;
    begin(spool, 1);
    begin(spool, 2);
    for (int i = 0; i < 3; i++)
        add(spool, 1 + (uint32_t)i % 2, 1 + (uint32_t)i % 2, a);
    assert_int_equal(spool_add(spool, 1, 1, str_of(a), &err), -ERROR_LIMIT);
    assert_string_equal(err.message,
                        "large transactions that are open have written more than 1 MB");
    spool_abort(spool, 2, 2);
    add(spool, 1, 1, a);
}

/* The disk is full: nothing of the change counts, and what was there is there. */
static void test_no_room(void **state reeve_unused)
{
    _cleanup_spool_ struct spool *spool = new_spool();
    _cleanup_spool_ struct spool *nowhere = spool_new("/nowhere/at/all", MB);
    _cleanup_free_ char *a = large('a');
    struct rlimit before, tight;
    struct error err;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    tight = (struct rlimit){.rlim_cur = LARGE + BLOCK, .rlim_max = before.rlim_max};
    begin(spool, 1);
    add(spool, 1, 1, a);
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &tight), 0);
    int r = spool_add(spool, 1, 1, str_of(a), &err);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    signal(SIGXFSZ, SIG_DFL);
    assert_int_equal(r, -ERROR_IO);
    assert_non_null(strstr(err.message, folder));
    assert_string_equal(err.hint, "make room there, or set TMPDIR to a directory that has more");
    add(spool, 1, 1, "behind");
    assert_int_equal(spool_replay(spool, 1, NULL), 0);
    assert_next(spool, 1, a);
    assert_next(spool, 1, "behind");
    begin(nowhere, 1);
    assert_int_equal(spool_add(nowhere, 1, 1, str_of(a), &err), -ERROR_IO);
    assert_non_null(strstr(err.message, "/nowhere/at/all"));
}

static void test_nothing_is_seen(void **state reeve_unused)
{
    _cleanup_spool_ struct spool *spool = new_spool();
    _cleanup_free_ char *a = large('a');
    begin(spool, 1);
    add(spool, 1, 1, a);
    DIR *directory = opendir(folder);
    int count = 0;
    while (readdir(directory))
        count++;
    closedir(directory);
    assert_int_equal(count, 2); /* . and .. */
}

static void test_directory(void **state reeve_unused)
{
    setenv("TMPDIR", folder, 1);
    assert_string_equal(spool_directory(), folder);
    assert_true(spool_is_possible());
    setenv("TMPDIR", "/nowhere/at/all", 1);
    assert_false(spool_is_possible());
    setenv("TMPDIR", "somewhere", 1);
    assert_int_equal(*spool_directory(), '/');
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_interleaved),     cmocka_unit_test(test_large_changes),
        cmocka_unit_test(test_subtransactions), cmocka_unit_test(test_many_subtransactions),
        cmocka_unit_test(test_rolled_back),     cmocka_unit_test(test_many_transactions),
        cmocka_unit_test(test_too_many),        cmocka_unit_test(test_out_of_turn),
        cmocka_unit_test(test_limit),           cmocka_unit_test(test_no_room),
        cmocka_unit_test(test_nothing_is_seen), cmocka_unit_test(test_directory),
    };
    return cmocka_run_group_tests(tests, make_folder, drop_folder);
}
