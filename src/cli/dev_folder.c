#include "cli/dev_folder.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/str.h"
#include "cli/config.h"

enum { MAX_CONFIG_BYTES = 1 << 20 };

static const char header[] =
    "# Made by \"reeve dev\", which keeps listen, control, key_file and status_socket up to date\n"
    "# whenever it starts. All other settings are yours: see docs/reference/config.md.\n";

static const char *const managed[] = {"listen", "control", "key_file", "status_socket"};

int dev_folder_make(const char *given, struct arena *arena, const char **ret_path,
                    struct error *err)
{
    char resolved[PATH_MAX];
    /* Others may enter, whatever the umask: PostgreSQL's user (when we are root) and clients of the
     * socket. Every secret in it has a mode of its own. */
    bool made = mkdir(given, 0755) == 0;
    if ((!made && errno != EEXIST) || (made && chmod(given, 0755) < 0))
        return error_errno(err, errno, "cannot make the folder %s", given);
    struct stat status;
    if (stat(given, &status) < 0 || !realpath(given, resolved))
        return error_errno(err, errno, "cannot use the folder %s", given);
    if (!S_ISDIR(status.st_mode))
        return error_set(err, ERROR_INVALID, "%s is not a folder", given);
    for (const char *at = resolved; *at; at++) {
        if ((unsigned char)*at < 0x20 || *at == 0x7F)
            return error_set(err, ERROR_INVALID, "the folder's path has a control character in it");
    }
    if (status.st_uid != geteuid()) {
        int result =
            error_set(err, ERROR_DENIED, "the folder %s belongs to another user", resolved);
        error_hint(err, "choose another --dir");
        return result;
    }
    *ret_path = arena_strdup(arena, resolved);
    return 0;
}

/* ---- the lock ---- */

static pid_t read_pid(int fd)
{
    char text[32] = "";
    int64_t pid = 0;
    if (pread(fd, text, sizeof(text) - 1, 0) <= 0)
        return 0;
    text[strcspn(text, "\n")] = '\0';
    str_to_i64(text, 1, INT_MAX, &pid);
    return (pid_t)pid;
}

static int take_lock(int fd, const char *path, const char *lock, struct error *err)
{
    if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
        if (errno != EWOULDBLOCK)
            return error_errno(err, errno, "cannot lock %s", lock);
        int result = error_set(err, ERROR_BUSY, "\"reeve dev\" is running in %s already", path);
        error_detail(err, "its process is %d", (int)read_pid(fd));
        error_hint(err, "stop it with \"reeve dev --stop --dir %s\", or choose another --dir",
                   path);
        return result;
    }
    char text[32];
    int length = snprintf(text, sizeof(text), "%d\n", (int)getpid());
    if (ftruncate(fd, 0) < 0 || pwrite(fd, text, (size_t)length, 0) != length)
        return error_errno(err, errno, "cannot write %s", lock);
    return 0;
}

int dev_folder_lock(const char *path, struct arena *arena, int *ret_fd, struct error *err)
{
    const char *lock = arena_printf(arena, "%s/lock", path);
    int fd = open(lock, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return error_errno(err, errno, "cannot open %s", lock);
    int result = take_lock(fd, path, lock, err);
    if (result < 0)
        close(fd);
    else
        *ret_fd = fd;
    return result;
}

pid_t dev_folder_owner(const char *path, struct arena *arena)
{
    _cleanup_close_ int fd = open(arena_printf(arena, "%s/lock", path), O_RDONLY | O_CLOEXEC);
    if (fd < 0 || flock(fd, LOCK_SH | LOCK_NB) == 0)
        return 0;
    return read_pid(fd);
}

/* ---- the configuration file ---- */

static int read_file(const char *path, struct buffer *bytes, struct error *err)
{
    _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? 0 : error_errno(err, errno, "cannot open %s", path);
    for (;;) {
        char *at = buffer_reserve(bytes, 4096);
        if (!at)
            return error_set(err, ERROR_LIMIT, "%s is too large", path);
        ssize_t got = read(fd, at, 4096);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return error_errno(err, errno, "cannot read %s", path);
        if (got == 0)
            return 0;
        buffer_commit(bytes, (size_t)got);
    }
}

static bool is_managed(const char *line, size_t length)
{
    size_t skip = strspn(line, " \t");
    for (size_t i = 0; i < array_size(managed); i++) {
        size_t name = strlen(managed[i]);
        if (skip + name >= length || strncmp(line + skip, managed[i], name) != 0)
            continue;
        size_t after = skip + name + strspn(line + skip + name, " \t");
        if (after < length && line[after] == '=')
            return true;
    }
    return false;
}

/* Copies the lines that are the user's. */
static void copy_own_lines(const char *text, struct buffer *target)
{
    if (str_has_prefix(text, header))
        text += sizeof(header) - 1;
    while (*text) {
        size_t length = strcspn(text, "\n");
        if (!is_managed(text, length)) {
            buffer_append(target, text, length);
            buffer_append_byte(target, '\n');
        }
        text += length + (text[length] == '\n');
    }
}

int dev_folder_port(const char *path, struct arena *arena)
{
    struct config config;
    const char *file = arena_printf(arena, "%s/reeve.conf", path);
    if (access(file, F_OK) < 0 || config_read(file, arena, &config, NULL) < 0)
        return 0;
    for (size_t i = 0; i < config.listen_count; i++) {
        if (config.listen[i].host)
            return config.listen[i].port;
    }
    return 0;
}

static int replace_file(const char *path, const struct buffer *bytes, struct arena *arena,
                        struct error *err)
{
    const char *temporary = arena_printf(arena, "%s.new", path);
    _cleanup_close_ int fd =
        open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return error_errno(err, errno, "cannot open %s", temporary);
    if (write(fd, bytes->data, bytes->length) != (ssize_t)bytes->length || fsync(fd) < 0 ||
        rename(temporary, path) < 0)
        return error_errno(err, errno, "cannot write %s", path);
    return 0;
}

int dev_folder_configure(const char *path, int port, const char *control, struct arena *arena,
                         const char **ret_config, struct error *err)
{
    _cleanup_buffer_ struct buffer old = BUFFER_INIT(MAX_CONFIG_BYTES);
    _cleanup_buffer_ struct buffer new = BUFFER_INIT(2 * MAX_CONFIG_BYTES);
    const char *file = arena_printf(arena, "%s/reeve.conf", path);
    int result = read_file(file, &old, err);
    if (result < 0)
        return result;
    buffer_append_string(&new, header);
    buffer_printf(&new, "listen = 127.0.0.1:%d\n", port);
    struct config_listen local = {.folder = path, .port = port};
    if (strlen(config_socket_path(arena, &local)) <= CONFIG_SOCKET_PATH_MAX)
        buffer_printf(&new, "listen = %s:%d\n", path, port);
    buffer_printf(&new, "control = %s\nkey_file = key\n", control);
    if (strlen(path) + sizeof("/status.sock") <= CONFIG_SOCKET_PATH_MAX)
        buffer_append_string(&new, "status_socket = status.sock\n");
    else
        buffer_printf(&new, "status_socket = /tmp/reeve-%u-%d-status.sock\n", (unsigned)geteuid(),
                      port);
    copy_own_lines(buffer_string(&old), &new);
    result = replace_file(file, &new, arena, err);
    if (result == 0)
        *ret_config = file;
    return result;
}

int dev_free_port(int *ret_port, struct error *err)
{
    _cleanup_close_ int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof(address);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, length) < 0 ||
        getsockname(fd, (struct sockaddr *)&address, &length) < 0)
        return error_errno(err, errno, "cannot find a free port");
    *ret_port = ntohs(address.sin_port);
    return 0;
}
