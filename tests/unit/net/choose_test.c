/* Which engine is chosen, also where a container refuses io_uring, or a limit all but allows it.
 *
 * What refuses is never taken back, and holds for one thread and those that it starts: each test
 * of a refusal has a thread of its own. */
#include "harness.h"

#include <errno.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { LOCKED_BYTES = 64 * 1024, ENGINES = 4 };

static void on_a_thread(void *(*run)(void *argument), void *argument)
{
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, run, argument), 0);
    pthread_join(thread, NULL);
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

/* ---- refused ---- */

struct refusal {
    const char *who;
    uint32_t call;
    uint32_t error_number;
};

static void refuse(const struct refusal *refusal)
{
    struct sock_filter steps[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, refusal->call, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | refusal->error_number),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {.len = array_size(steps), .filter = steps};
    assert_int_equal(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
    assert_int_equal(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0), 0);
}

static void *choose_refused(void *argument)
{
    struct engine *engine = NULL;
    struct error err = {0};
    struct error reason = {0};
    enum engine_kind kind = ENGINE_AUTO;
    refuse(argument);
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
    return NULL;
}

static void test_refused(void **state reeve_unused)
{
    static struct refusal refusals[] = {
        {"a container whose profile does not know the call", __NR_io_uring_setup, EPERM},
        {"a kernel without io_uring", __NR_io_uring_setup, ENOSYS},
        {"a kernel that is too old for our flags", __NR_io_uring_setup, EINVAL},
        {"one that is too old for shared buffers", __NR_io_uring_register, EINVAL},
        {"a profile that knows one of the calls", __NR_io_uring_register, EPERM},
        {"a profile that knows two of them", __NR_io_uring_enter, EPERM},
    };
    for (size_t i = 0; i < array_size(refusals); i++) {
        print_message("refused by %s\n", refusals[i].who);
        on_a_thread(choose_refused, &refusals[i]);
    }
}

/* ---- a limit ---- */

/* Root may lock what it likes. */
static void drop_capabilities(void)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = {0};
    assert_int_equal(syscall(__NR_capset, &header, none), 0);
}

static void *choose_limited(void *argument reeve_unused)
{
    struct engine *engines[ENGINES] = {NULL};
    struct error err;
    drop_capabilities();
    for (size_t i = 0; i < ENGINES; i++) {
        assert_int_equal(engine_create(ENGINE_AUTO, &engines[i], &err), 0);
        run_turns(engines[i], 1);
    }
    for (size_t i = 0; i < ENGINES; i++)
        engine_free(engines[i]);
    return NULL;
}

/* A newer kernel counts rings as locked memory: the small one of the probe fits, ours do not. */
static void test_little_memory_to_lock(void **state reeve_unused)
{
    struct rlimit old;
    assert_int_equal(getrlimit(RLIMIT_MEMLOCK, &old), 0);
    struct rlimit limit = {.rlim_cur = LOCKED_BYTES, .rlim_max = old.rlim_max};
    if (old.rlim_max < limit.rlim_cur)
        limit.rlim_cur = old.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_MEMLOCK, &limit), 0);
    on_a_thread(choose_limited, NULL);
    assert_int_equal(setrlimit(RLIMIT_MEMLOCK, &old), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_auto_is_one_of_them),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_little_memory_to_lock),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
