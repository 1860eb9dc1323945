#include "cli/embedded.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pwd.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/crypto.h"
#include "base/log.h"
#include "base/str.h"
#include "base/time.h"
#include "cli/guard_file.h"
#include "cli/process.h"
#include "pg/connection.h"

enum { PORT = 5432, SOCKET_PATH_MAX = 107, POLL_US = 20 * TIME_MS };

static const int64_t start_limit_us = 60 * (int64_t)TIME_S;
static const int64_t stop_limit_us = 60 * (int64_t)TIME_S;

static void pause_us(int64_t us)
{
    struct timespec time = {us / TIME_S, (us % TIME_S) * 1000};
    nanosleep(&time, NULL);
}

/* SIGINT and SIGTERM are blocked and read from a signalfd later: somebody wants us to stop. */
static bool stop_wanted(void)
{
    sigset_t pending;
    return sigpending(&pending) == 0 &&
           (sigismember(&pending, SIGINT) == 1 || sigismember(&pending, SIGTERM) == 1);
}

/* ---- where ---- */

static int choose_user(struct embedded *server, struct arena *arena, struct error *err)
{
    if (geteuid() != 0)
        return 0;
    static const char *const names[] = {"postgres", "nobody"};
    for (size_t i = 0; i < array_size(names); i++) {
        const struct passwd *entry = getpwnam(names[i]);
        if (!entry || entry->pw_uid == 0)
            continue;
        server->user = arena_strdup(arena, names[i]);
        server->uid = entry->pw_uid;
        server->gid = entry->pw_gid;
        return 0;
    }
    int result = error_set(err, ERROR_DENIED,
                           "PostgreSQL refuses to run as root, and there is no user \"postgres\"");
    error_hint(err, "run \"reeve dev\" as an ordinary user");
    return result;
}

/* The user who runs the server must be able to enter the folder and all above it. */
static int check_reachable(const struct embedded *server, const char *folder, struct error *err)
{
    struct process_spec spec = {.user = server->user, .uid = server->uid, .gid = server->gid};
    if (!server->user || process_user_enters(&spec, folder))
        return 0;
    int result = error_set(err, ERROR_DENIED, "the user %s, who runs PostgreSQL, cannot enter %s",
                           server->user, folder);
    error_detail(err, "PostgreSQL refuses to run as root");
    error_hint(err, "choose a --dir whose parents others may enter, such as one below /var/lib or "
                    "/tmp");
    return result;
}

static bool fits_socket(struct arena *arena, const char *folder)
{
    return strlen(arena_printf(arena, "%s/.s.PGSQL.%d", folder, PORT)) <= SOCKET_PATH_MAX;
}

static int choose_socket_folder(struct embedded *server, const char *folder, struct arena *arena,
                                struct error *err)
{
    server->socket_folder = arena_printf(arena, "%s/socket", folder);
    if (!fits_socket(arena, server->socket_folder)) {
        /* The same short name every time for the same folder. */
        uint8_t digest[CRYPTO_SHA256_SIZE];
        char name[17];
        crypto_sha256(folder, strlen(folder), digest);
        str_hex(digest, 8, name);
        const char *base = server->user ? NULL : getenv("XDG_RUNTIME_DIR");
        if (!base || base[0] != '/' || strlen(base) > 60)
            base = "/tmp";
        server->socket_folder =
            arena_printf(arena, "%s/reeve-%u-%s", base, (unsigned)geteuid(), name);
        log_info("%s is too long a path for a Unix socket; PostgreSQL's is in %s", folder,
                 server->socket_folder);
    }
    return embedded_private_folder(server, server->socket_folder, err);
}

/* The major version of the data that is there; 0 when there is none. */
static int data_major(const struct embedded *server, struct arena *arena)
{
    char text[16] = "";
    _cleanup_close_ int fd =
        open(arena_printf(arena, "%s/PG_VERSION", server->data), O_RDONLY | O_CLOEXEC);
    if (fd < 0 || read(fd, text, sizeof(text) - 1) <= 0)
        return 0;
    return (int)strtol(text, NULL, 10);
}

static int choose_binaries(struct embedded *server, const char *given, struct arena *arena,
                           struct error *err)
{
    int wanted = data_major(server, arena);
    int found = 0;
    int result = embedded_find_binaries(given, wanted, arena, &server->binary_folder, &found, err);
    server->major = found;
    if (result < 0 || !wanted || wanted == found)
        return result;
    result = error_set(err, ERROR_UNSUPPORTED,
                       "%s was made by PostgreSQL %d, and the programs in %s are version %d",
                       server->data, wanted, server->binary_folder, found);
    error_hint(err, "pass --pg-bindir with the folder of version %d", wanted);
    return result;
}

/* ---- one that an earlier run left behind ---- */

static pid_t read_pid_file(const char *path)
{
    char text[64] = "";
    _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || read(fd, text, sizeof(text) - 1) <= 0)
        return 0;
    long pid = strtol(text, NULL, 10);
    return pid > 1 && pid <= INT_MAX ? (pid_t)pid : 0;
}

/*
 * A postmaster of ours is known by its command line, which says its data folder, so that nobody
 * else's process is ever touched. (Its working directory would need ptrace's rights to be seen.)
 */
static bool is_our_postmaster(const struct embedded *server, pid_t pid, struct arena *arena)
{
    char line[PATH_MAX + 512] = "";
    _cleanup_close_ int fd =
        open(arena_printf(arena, "/proc/%d/cmdline", (int)pid), O_RDONLY | O_CLOEXEC);
    ssize_t length = fd < 0 ? -1 : read(fd, line, sizeof(line) - 3);
    if (length <= 0)
        return false;
    memset(line + length, 0, 3);
    const char *option = line + strlen(line) + 1;
    const char *folder = option + strlen(option) + 1;
    return str_has_suffix(line, "/postgres") && option < line + length &&
           strcmp(option, "-D") == 0 && folder < line + length && strcmp(folder, server->data) == 0;
}

static bool wait_gone(const struct embedded *server, pid_t pid, int64_t limit_us,
                      struct arena *arena)
{
    int64_t deadline = time_monotonic_us() + limit_us;
    while (is_our_postmaster(server, pid, arena)) {
        if (time_monotonic_us() > deadline)
            return false;
        pause_us(POLL_US);
    }
    return true;
}

/* Lock files name a process by its number, which may be another's by now, or a zombie's that nobody
 * reaps: PostgreSQL would take either for a running server. The folders are ours alone, and the
 * caller's lock says that no other Reeve runs here. */
static void remove_lock_files(const struct embedded *server, struct arena *arena)
{
    unlink(arena_printf(arena, "%s/postmaster.pid", server->data));
    unlink(arena_printf(arena, "%s/.s.PGSQL.%d.lock", server->socket_folder, PORT));
    unlink(arena_printf(arena, "%s/.s.PGSQL.%d", server->socket_folder, PORT));
}

static int end_leftover(const struct embedded *server, struct arena *arena, struct error *err)
{
    pid_t pid = read_pid_file(arena_printf(arena, "%s/postmaster.pid", server->data));
    if (pid && is_our_postmaster(server, pid, arena)) {
        log_info("stopping the PostgreSQL that an earlier run left behind (process %d)", (int)pid);
        kill(pid, SIGINT);
        if (!wait_gone(server, pid, stop_limit_us / 2, arena)) {
            kill(pid, SIGQUIT);
            if (!wait_gone(server, pid, stop_limit_us / 2, arena)) {
                int result =
                    error_set(err, ERROR_BUSY, "PostgreSQL of an earlier run does not stop");
                error_detail(err, "its process is %d", (int)pid);
                return result;
            }
        }
    }
    remove_lock_files(server, arena);
    return 0;
}

/* ---- starting ---- */

/* The value for a list of folders: quoted, so that a comma in it separates nothing. */
static const char *quote_folder(struct arena *arena, const char *folder)
{
    _cleanup_buffer_ struct buffer buffer = BUFFER_INIT(PATH_MAX * 2);
    buffer_append_byte(&buffer, '"');
    for (; *folder; folder++) {
        if (*folder == '"')
            buffer_append_byte(&buffer, '"');
        buffer_append_byte(&buffer, (uint8_t)*folder);
    }
    buffer_append_byte(&buffer, '"');
    return arena_strdup(arena, buffer_string(&buffer));
}

static int start_process(struct embedded *server, struct arena *arena, struct error *err)
{
    _cleanup_close_ int log_fd =
        open(server->log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (log_fd < 0)
        return error_errno(err, errno, "cannot open %s", server->log);
    const char *port = arena_printf(arena, "%d", PORT);
    const char *argv[] = {arena_printf(arena, "%s/postgres", server->binary_folder),
                          "-D",
                          server->data,
                          "-p",
                          port,
                          "-c",
                          "listen_addresses=",
                          "-c",
                          arena_printf(arena, "unix_socket_directories=%s",
                                       quote_folder(arena, server->socket_folder)),
                          "-c",
                          "unix_socket_permissions=0777",
                          "-c",
                          "logging_collector=off",
                          NULL};
    struct process_spec spec = {.argv = argv,
                                .user = server->user,
                                .uid = server->uid,
                                .gid = server->gid,
                                .output_fd = log_fd,
                                .death_signal = SIGINT};
    return process_start(&spec, &server->pid, err);
}

/* The end of the log, for the error's detail. */
static void read_log_tail(const struct embedded *server, char *ret, size_t size)
{
    ret[0] = '\0';
    _cleanup_close_ int fd = open(server->log, O_RDONLY | O_CLOEXEC);
    struct stat status;
    if (fd < 0 || fstat(fd, &status) < 0)
        return;
    off_t from = status.st_size > (off_t)size - 1 ? status.st_size - ((off_t)size - 1) : 0;
    ssize_t got = pread(fd, ret, size - 1, from);
    ret[got > 0 ? got : 0] = '\0';
}

static int wait_ready(struct embedded *server, struct error *err)
{
    int64_t deadline = time_monotonic_us() + start_limit_us;
    for (;;) {
        struct error reason = {0};
        struct pg_connection *connection = NULL;
        if (embedded_connect(server, "postgres", &connection, &reason) == 0) {
            pg_close(connection);
            return 0;
        }
        if (embedded_has_ended(server)) {
            char tail[600];
            read_log_tail(server, tail, sizeof(tail));
            int result = error_set(err, ERROR_STATE, "PostgreSQL ended while it was being started");
            error_detail(err, "%s", tail);
            error_hint(err, "see %s", server->log);
            return result;
        }
        if (reason.code == -ERROR_AUTH) {
            int result = error_set(err, ERROR_AUTH, "PostgreSQL does not take the password in %s",
                                   server->passfile);
            error_detail(err, "%s", reason.message);
            return result;
        }
        if (stop_wanted())
            return error_set(err, ERROR_CANCELLED, "interrupted");
        if (time_monotonic_us() > deadline) {
            int result = error_set(err, ERROR_TIMEOUT, "PostgreSQL did not start within 60 s");
            error_detail(err, "%s", reason.message);
            error_hint(err, "see %s", server->log);
            return result;
        }
        pause_us(POLL_US);
    }
}

/* Backends of a postmaster that was killed go by themselves, but not before they notice. */
static bool is_memory_in_use(const struct error *err)
{
    return err->code == -ERROR_STATE && strstr(err->detail, "shared memory block") != NULL;
}

static int start_and_wait(struct embedded *server, struct arena *arena, struct error *err)
{
    for (int attempt = 0;; attempt++) {
        struct error reason = {0};
        int result = start_process(server, arena, &reason);
        if (result == 0)
            result = wait_ready(server, &reason);
        if (result == 0)
            return 0;
        embedded_stop(server, true);
        if (attempt < 20 && is_memory_in_use(&reason) && !stop_wanted()) {
            pause_us(250 * (int64_t)TIME_MS);
            continue;
        }
        if (err)
            *err = reason;
        return result;
    }
}

int embedded_start(const struct embedded_options *options, struct arena *arena,
                   struct embedded *ret, struct error *err)
{
    const char *folder = options->folder;
    struct embedded server = {
        .data = arena_printf(arena, "%s/pg", folder),
        .passfile = arena_printf(arena, "%s/pgpass", folder),
        .log = arena_printf(arena, "%s/postgres.log", folder),
    };
    int result = choose_user(&server, arena, err);
    if (result == 0)
        result = check_reachable(&server, folder, err);
    if (result == 0)
        result = choose_binaries(&server, options->binary_folder, arena, err);
    if (result == 0)
        result = choose_socket_folder(&server, folder, arena, err);
    if (result == 0)
        result = embedded_make(&server, folder, arena, err);
    if (result == 0)
        result = guard_file_write(arena_printf(arena, "%s/lib", folder), server.major, arena,
                                  &server.guard, err);
    if (result == 0)
        result = end_leftover(&server, arena, err);
    if (result == 0)
        result = start_and_wait(&server, arena, err);
    if (result == 0)
        *ret = server;
    return result;
}

/* ---- stopping ---- */

bool embedded_has_ended(struct embedded *server)
{
    int status;
    if (server->pid && waitpid(server->pid, &status, WNOHANG) == server->pid)
        server->pid = 0;
    return server->pid == 0;
}

static bool wait_ended(struct embedded *server, int64_t limit_us)
{
    int64_t deadline = time_monotonic_us() + limit_us;
    while (!embedded_has_ended(server)) {
        if (time_monotonic_us() > deadline)
            return false;
        pause_us(POLL_US);
    }
    return true;
}

void embedded_stop(struct embedded *server, bool immediately)
{
    if (embedded_has_ended(server))
        return;
    kill(server->pid, immediately ? SIGQUIT : SIGINT);
    if (wait_ended(server, stop_limit_us))
        return;
    log_warning("PostgreSQL does not stop; ending it at once");
    kill(server->pid, SIGQUIT);
    if (!wait_ended(server, stop_limit_us))
        kill(server->pid, SIGKILL);
}

/* ---- connecting ---- */

/* A value of a connection string, in quotes. */
static const char *quote_value(struct arena *arena, const char *value)
{
    _cleanup_buffer_ struct buffer buffer = BUFFER_INIT(PATH_MAX * 2);
    buffer_append_byte(&buffer, '\'');
    for (; *value; value++) {
        if (*value == '\'' || *value == '\\')
            buffer_append_byte(&buffer, '\\');
        buffer_append_byte(&buffer, (uint8_t)*value);
    }
    buffer_append_byte(&buffer, '\'');
    return arena_strdup(arena, buffer_string(&buffer));
}

const char *embedded_conninfo(const struct embedded *server, const char *database,
                              struct arena *arena)
{
    const char *where =
        arena_printf(arena, "host=%s port=%d", quote_value(arena, server->socket_folder), PORT);
    if (!database)
        return where;
    return arena_printf(arena, "%s user=%s passfile=%s dbname=%s", where, EMBEDDED_SUPERUSER,
                        quote_value(arena, server->passfile), quote_value(arena, database));
}

int embedded_connect(const struct embedded *server, const char *database,
                     struct pg_connection **ret, struct error *err)
{
    _cleanup_arena_ struct arena arena = {0};
    struct pg_options options = {
        .conninfo = embedded_conninfo(server, database, &arena),
        .connect_timeout_us = 5 * (int64_t)TIME_S,
    };
    return pg_connect(&options, ret, err);
}
