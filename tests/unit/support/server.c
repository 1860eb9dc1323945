#include "support/server.h"

#include <dirent.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/time.h"

static const int64_t start_limit_us = 60 * (int64_t)TIME_S;

static struct arena arena;
static char folder[] = "/tmp/reeve-unit-XXXXXX";
static pid_t server_pid = -1;

/* The programs of the newest PostgreSQL that is installed. */
static const char *find_programs(void)
{
    static const char *const versions[] = {"18", "17", "16", "15"};
    for (size_t i = 0; i < array_size(versions); i++) {
        const char *path = arena_printf(&arena, "/usr/lib/postgresql/%s/bin", versions[i]);
        if (access(arena_printf(&arena, "%s/postgres", path), X_OK) == 0)
            return path;
    }
    fail_msg("no PostgreSQL in /usr/lib/postgresql");
    return NULL;
}

/* PostgreSQL refuses to run as root. */
static const struct passwd *server_user(void)
{
    if (geteuid() != 0)
        return NULL;
    const struct passwd *user = getpwnam("postgres");
    return user ? user : getpwnam("nobody");
}

static pid_t start_program(const char *const *arguments)
{
    const struct passwd *user = server_user();
    pid_t parent = getpid(), pid = fork();
    assert_true(pid >= 0);
    if (pid > 0)
        return pid;
    if (user && (setgroups(0, NULL) < 0 || setgid(user->pw_gid) < 0 || setuid(user->pw_uid) < 0))
        _exit(126);
    prctl(PR_SET_PDEATHSIG, SIGQUIT);
    int log = open(arena_printf(&arena, "%s/log", folder), O_WRONLY | O_CREAT | O_APPEND, 0600);
    if (getppid() != parent || log < 0 || chdir(folder) < 0 || dup2(log, STDOUT_FILENO) < 0 ||
        dup2(log, STDERR_FILENO) < 0)
        _exit(126);
    execv(arguments[0], (char *const *)(uintptr_t)arguments);
    _exit(127);
}

static void make_data(void)
{
    const char *const initdb[] = {arena_printf(&arena, "%s/initdb", find_programs()),
                                  "-D",
                                  arena_printf(&arena, "%s/data", folder),
                                  "-U",
                                  "postgres",
                                  "-A",
                                  "trust",
                                  "-E",
                                  "UTF8",
                                  "--locale=C.UTF-8",
                                  "--no-sync",
                                  NULL};
    int status;
    pid_t pid = start_program(initdb);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

static void wait_for_login(void)
{
    int64_t deadline = time_monotonic_us() + start_limit_us;
    for (;;) {
        struct pg_connection *connection = NULL;
        struct error err = {0};
        if (test_server_login("postgres", "postgres", true, &connection, &err) == 0) {
            pg_close(connection);
            return;
        }
        if (time_monotonic_us() > deadline || waitpid(server_pid, NULL, WNOHANG) != 0)
            fail_msg("PostgreSQL does not start: %s", err.message);
        nanosleep(&(struct timespec){.tv_nsec = 20 * 1000000}, NULL);
    }
}

void test_server_resume(void)
{
    const char *const postgres[] = {arena_printf(&arena, "%s/postgres", find_programs()),
                                    "-D",
                                    arena_printf(&arena, "%s/data", folder),
                                    "-c",
                                    "listen_addresses=",
                                    "-c",
                                    arena_printf(&arena, "unix_socket_directories=%s", folder),
                                    "-c",
                                    "fsync=off",
                                    "-c",
                                    "full_page_writes=off",
                                    "-c",
                                    "max_connections=50",
                                    NULL};
    server_pid = start_program(postgres);
    wait_for_login();
}

void test_server_start(void)
{
    arena_init(&arena, 0);
    assert_non_null(mkdtemp(folder));
    const struct passwd *user = server_user();
    if (user)
        assert_int_equal(chown(folder, user->pw_uid, user->pw_gid), 0);
    make_data();
    test_server_resume();
}

void test_server_halt(void)
{
    if (server_pid > 0) {
        kill(server_pid, SIGQUIT);
        waitpid(server_pid, NULL, 0);
    }
    server_pid = -1;
}

static void remove_folder(const char *path)
{
    DIR *directory = opendir(path);
    if (!directory) {
        unlink(path);
        return;
    }
    const struct dirent *entry;
    while ((entry = readdir(directory))) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        _cleanup_free_ char *child = xasprintf("%s/%s", path, entry->d_name);
        struct stat info;
        if (lstat(child, &info) == 0 && S_ISDIR(info.st_mode))
            remove_folder(child);
        else
            unlink(child);
    }
    closedir(directory);
    rmdir(path);
}

void test_server_stop(void)
{
    test_server_halt();
    remove_folder(folder);
    arena_reset(&arena);
}

const char *test_server_conninfo(void)
{
    return arena_printf(&arena, "host=%s", folder);
}

int test_server_login(const char *role, const char *database, bool bare, struct pg_connection **ret,
                      struct error *err)
{
    const struct pg_options options = {
        .conninfo = test_server_conninfo(),
        .user = role,
        .database = database,
        .application_name = "test",
        .bare = bare,
    };
    return pg_connect(&options, ret, err);
}
