/* Cleanup at the end of a scope, and allocation that does not return NULL. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/compiler.h"

static void test_descriptors_are_closed(void **state)
{
    (void)state;
    int kept;
    {
        _cleanup_close_ int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
        assert_true(fd >= 0);
        kept = fd;
        errno = EDOM;
    }
    assert_int_equal(errno, EDOM);
    assert_int_equal(fcntl(kept, F_GETFD), -1);
    assert_int_equal(errno, EBADF);
    _cleanup_close_ reeve_unused int none = -1;
}

static void test_ownership_moves(void **state)
{
    (void)state;
    char *outside;
    {
        _cleanup_free_ char *inside = xstrdup("mine");
        outside = take_pointer(inside);
        assert_null(inside);
    }
    assert_string_equal(outside, "mine");
    free(outside);
}

static void test_sizes_of_zero(void **state)
{
    (void)state;
    _cleanup_free_ void *one = xmalloc(0);
    _cleanup_free_ void *two = xcalloc(0, 8);
    _cleanup_free_ void *three = xcalloc(8, 0);
    _cleanup_free_ void *four = xrealloc(NULL, 0);
    four = xrealloc(four, 0);
    assert_non_null(one);
    assert_non_null(two);
    assert_non_null(three);
    assert_non_null(four);
}

static void test_copies(void **state)
{
    (void)state;
    _cleanup_free_ char *part = xstrndup("abcdef", 2);
    assert_string_equal(part, "ab");
    _cleanup_free_ char *text = xasprintf("%s=%d", "n", 5);
    assert_string_equal(text, "n=5");
    _cleanup_free_ char *zeros = xcalloc(3, 5);
    for (int i = 0; i < 15; i++)
        assert_int_equal(zeros[i], 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_descriptors_are_closed),
        cmocka_unit_test(test_ownership_moves),
        cmocka_unit_test(test_sizes_of_zero),
        cmocka_unit_test(test_copies),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
