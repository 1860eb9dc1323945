/* Crash points: a name is the whole name, and a release build has none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/failpoint.h"

static int clear_environment(void **state)
{
    (void)state;
    unsetenv("REEVE_CRASH_AT");
    unsetenv("REEVE_FAIL_AT");
    unsetenv("REEVE_MUTATE");
    return 0;
}

#ifdef REEVE_FAILPOINTS
static const bool built_in = true;
#else
static const bool built_in = false;
#endif

/* How a child that passes failpoint("a.b") ends: a signal's number or 0. */
static int child_ends_by(const char *crash_at)
{
    fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        setenv("REEVE_CRASH_AT", crash_at, 1);
        failpoint("a.b");
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

static void test_crashes(void **state)
{
    (void)state;
    assert_int_equal(child_ends_by("a.b"), built_in ? SIGKILL : 0);
    assert_int_equal(child_ends_by("x,a.b"), built_in ? SIGKILL : 0);
    assert_int_equal(child_ends_by("a"), 0);
    assert_int_equal(child_ends_by("a.b.c"), 0);
    assert_int_equal(child_ends_by("xa.b"), 0);
    assert_int_equal(child_ends_by(""), 0);
}

static void test_names_in_a_list(void **state)
{
    (void)state;
    assert_false(failpoint_fails("one"));
    assert_false(mutation("one"));
    setenv("REEVE_FAIL_AT", "one", 1);
    setenv("REEVE_MUTATE", "two,three", 1);
    assert_int_equal(failpoint_fails("one"), built_in);
    assert_false(failpoint_fails("two"));
    assert_false(mutation("one"));
    assert_int_equal(mutation("two"), built_in);
    assert_int_equal(mutation("three"), built_in);
    assert_false(mutation("thre"));
    assert_false(mutation("hree"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_crashes, clear_environment, clear_environment),
        cmocka_unit_test_setup_teardown(test_names_in_a_list, clear_environment, clear_environment),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
