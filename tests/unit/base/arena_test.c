/* Arenas: alignment, lifetimes, and the end of one that is overdrawn. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdalign.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/arena.h"

static void test_memory_is_aligned_and_apart(void **state)
{
    (void)state;
    _cleanup_arena_ struct arena arena = {0};
    char *blocks[200];
    for (size_t i = 0; i < array_size(blocks); i++) {
        blocks[i] = arena_alloc(&arena, i);
        assert_int_equal((uintptr_t)blocks[i] % alignof(max_align_t), 0);
        memset(blocks[i], (int)i, i);
    }
    for (size_t i = 0; i < array_size(blocks); i++) {
        for (size_t k = 0; k < i; k++)
            assert_int_equal((unsigned char)blocks[i][k], i);
    }
}

static void test_large_blocks(void **state)
{
    (void)state;
    _cleanup_arena_ struct arena arena = {0};
    char *small = arena_strdup(&arena, "small");
    char *large = arena_zalloc(&arena, 1 << 20);
    char *after = arena_strdup(&arena, "after");
    assert_int_equal(large[0], 0);
    assert_int_equal(large[(1 << 20) - 1], 0);
    memset(large, 'x', 1 << 20);
    assert_string_equal(small, "small");
    assert_string_equal(after, "after");
}

static void test_copies(void **state)
{
    (void)state;
    _cleanup_arena_ struct arena arena = {0};
    assert_string_equal(arena_strdup(&arena, ""), "");
    assert_string_equal(arena_strndup(&arena, "abcdef", 3), "abc");
    assert_string_equal(arena_strndup(&arena, "ab\0cd", 5), "ab");
    assert_string_equal(arena_strndup(&arena, "ab", 100), "ab");
    assert_string_equal(arena_printf(&arena, "%s-%d", "x", 7), "x-7");
    assert_string_equal(arena_printf(&arena, "%s", ""), "");
    assert_memory_equal(arena_memdup(&arena, "a\0b", 3), "a\0b", 3);
    assert_non_null(arena_memdup(&arena, NULL, 0));
    char *numbers = arena_printf(&arena, "%0*d", 40000, 1);
    assert_int_equal(strlen(numbers), 40000);
    assert_int_equal(numbers[39999], '1');
}

static void test_reset_makes_it_new(void **state)
{
    (void)state;
    struct arena arena;
    arena_init(&arena, 100);
    for (int i = 0; i < 10; i++) {
        arena_alloc(&arena, 100);
        assert_int_equal(arena.used, 100);
        arena_reset(&arena);
        assert_int_equal(arena.used, 0);
        assert_null(arena.chunks);
        assert_int_equal(arena.maximum, 100);
    }
}

static void ends_by_abort(size_t maximum, size_t first, size_t second)
{
    fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        signal(SIGABRT, SIG_DFL); /* cmocka and sanitizers have handlers of their own */
        close(STDERR_FILENO);
        struct arena arena;
        arena_init(&arena, maximum);
        arena_alloc(&arena, first);
        arena_alloc(&arena, second);
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGABRT);
}

static void test_the_maximum(void **state)
{
    (void)state;
    _cleanup_arena_ struct arena arena;
    arena_init(&arena, 100);
    arena_alloc(&arena, 60);
    arena_alloc(&arena, 40);
    assert_int_equal(arena.used, 100);
    ends_by_abort(100, 60, 41);
    ends_by_abort(100, 0, 101);
    ends_by_abort(100, 1, SIZE_MAX);
    ends_by_abort(100, 100, SIZE_MAX - 50);
    ends_by_abort(0, 1, ARENA_DEFAULT_MAXIMUM);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_memory_is_aligned_and_apart),
        cmocka_unit_test(test_large_blocks),
        cmocka_unit_test(test_copies),
        cmocka_unit_test(test_reset_makes_it_new),
        cmocka_unit_test(test_the_maximum),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
