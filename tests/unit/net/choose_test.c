/* Which engine is chosen, also where a container refuses io_uring. */
#include "harness.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

/* From now on, in this process, as in a container whose profile does not know the call. */
static void refuse_io_uring(void)
{
    struct sock_filter steps[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_io_uring_setup, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {.len = array_size(steps), .filter = steps};
    assert_int_equal(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
    assert_int_equal(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0), 0);
}

static void test_names(void **state reeve_unused)
{
    assert_string_equal(engine_kind_name(ENGINE_AUTO), "auto");
    assert_string_equal(engine_kind_name(ENGINE_EPOLL), "epoll");
    assert_string_equal(engine_kind_name(ENGINE_IO_URING), "io_uring");
}

static void test_auto_is_one_of_them(void **state reeve_unused)
{
    struct engine *engine = NULL;
    struct error err = {0};
    struct error reason = {0};
    enum engine_kind kind = ENGINE_AUTO;
    assert_int_equal(engine_choose(ENGINE_AUTO, &kind, &reason, &err), 0);
    assert_int_equal(kind, reason.code == 0 ? ENGINE_IO_URING : ENGINE_EPOLL);
    assert_int_equal(engine_create(ENGINE_AUTO, &engine, &err), 0);
    assert_string_equal(engine_name(engine), engine_kind_name(kind));
    engine_free(engine);
    assert_int_equal(engine_choose(ENGINE_EPOLL, &kind, NULL, &err), 0);
    assert_int_equal(kind, ENGINE_EPOLL);
}

/* The last test: nothing takes the refusal back. */
static void test_refused(void **state reeve_unused)
{
    struct engine *engine = NULL;
    struct error err = {0};
    struct error reason = {0};
    enum engine_kind kind = ENGINE_AUTO;
    refuse_io_uring();
    assert_int_equal(engine_choose(ENGINE_AUTO, &kind, &reason, &err), 0);
    assert_int_equal(kind, ENGINE_EPOLL);
    assert_int_equal(reason.code, -ERROR_UNSUPPORTED);
    assert_int_equal(engine_create(ENGINE_AUTO, &engine, &err), 0);
    assert_string_equal(engine_name(engine), "epoll");
    run_turns(engine, 1);
    engine_free(engine);
    engine = NULL;
    assert_int_equal(engine_create(ENGINE_IO_URING, &engine, &err), -ERROR_UNSUPPORTED);
    assert_null(engine);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_auto_is_one_of_them),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
