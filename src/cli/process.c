#include "cli/process.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/str.h"

extern char **environ;

/* What a user has in PGHOST, PGDATA, ... is not meant for this server. */
static void drop_pg_environment(void)
{
    for (size_t i = 0; environ[i];) {
        char name[64];
        size_t length = strcspn(environ[i], "=");
        if (str_has_prefix(environ[i], "PG") && length < sizeof(name)) {
            memcpy(name, environ[i], length);
            name[length] = '\0';
            unsetenv(name);
        } else {
            i++;
        }
    }
}

static bool become_user(const struct process_spec *spec)
{
    if (!spec->user)
        return true;
    return initgroups(spec->user, spec->gid) == 0 && setgid(spec->gid) == 0 &&
           setuid(spec->uid) == 0;
}

static bool arrange_files(const struct process_spec *spec)
{
    int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    int output_fd = spec->output_fd >= 0 ? spec->output_fd : null_fd;
    return null_fd >= 0 && dup2(null_fd, STDIN_FILENO) >= 0 &&
           dup2(output_fd, STDOUT_FILENO) >= 0 && dup2(output_fd, STDERR_FILENO) >= 0;
}

static _Noreturn void run_child(const struct process_spec *spec, pid_t parent)
{
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    signal(SIGPIPE, SIG_DFL);
    /* A session of its own: Ctrl-C on the terminal is for us alone, who stop things in order. */
    setsid();
    if (!become_user(spec) || !arrange_files(spec) || chdir("/") < 0)
        _exit(126);
    /* After the change of user, which takes it away. */
    if (spec->death_signal && prctl(PR_SET_PDEATHSIG, spec->death_signal) < 0)
        _exit(126);
    if (spec->death_signal && getppid() != parent)
        _exit(125);
    drop_pg_environment();
    umask(077);
    execv(spec->argv[0], (char *const *)(uintptr_t)spec->argv);
    _exit(127);
}

int process_start(const struct process_spec *spec, pid_t *ret, struct error *err)
{
    pid_t parent = getpid();
    fflush(NULL);
    pid_t pid = fork();
    if (pid < 0)
        return error_errno(err, errno, "cannot start %s", spec->argv[0]);
    if (pid == 0)
        run_child(spec, parent);
    *ret = pid;
    return 0;
}

static int wait_for(pid_t pid, const char *name, int *ret_status, struct error *err)
{
    int status;
    while (waitpid(pid, &status, 0) < 0) {
        if (errno != EINTR)
            return error_errno(err, errno, "cannot wait for %s", name);
    }
    *ret_status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    return 0;
}

int process_run(const struct process_spec *spec, int *ret_status, struct error *err)
{
    pid_t pid = 0;
    int result = process_start(spec, &pid, err);
    if (result < 0)
        return result;
    return wait_for(pid, spec->argv[0], ret_status, err);
}

int process_capture(struct process_spec *spec, char *ret_output, size_t size, int *ret_status,
                    struct error *err)
{
    int pipe_fds[2];
    if (pipe2(pipe_fds, O_CLOEXEC) < 0)
        return error_errno(err, errno, "cannot make a pipe");
    _cleanup_close_ int read_fd = pipe_fds[0];
    spec->output_fd = pipe_fds[1];
    pid_t pid = 0;
    int result = process_start(spec, &pid, err);
    close(pipe_fds[1]);
    if (result < 0)
        return result;
    size_t length = 0;
    for (;;) {
        char rest[256];
        bool room = length + 1 < size;
        ssize_t got = room ? read(read_fd, ret_output + length, size - 1 - length)
                           : read(read_fd, rest, sizeof(rest));
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            break;
        if (room)
            length += (size_t)got;
    }
    ret_output[length] = '\0';
    return wait_for(pid, spec->argv[0], ret_status, err);
}

bool process_user_enters(const struct process_spec *spec, const char *folder)
{
    fflush(NULL);
    pid_t pid = fork();
    if (pid < 0)
        return false;
    if (pid == 0)
        _exit(become_user(spec) && access(folder, X_OK) == 0 ? 0 : 1);
    int status = 1;
    return wait_for(pid, "a check", &status, NULL) == 0 && status == 0;
}
