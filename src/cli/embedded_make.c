#include "cli/embedded.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <locale.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/crypto.h"
#include "base/str.h"
#include "cli/process.h"

enum { PASSWORD_BYTES = 32 };

static const char settings[] =
    "\n"
    "# ---- set by \"reeve dev\" when it made this server; yours to change ----\n"
    "max_connections = 200\n"
    "max_locks_per_transaction = 256\n"
    "password_encryption = 'scram-sha-256'\n"
    "wal_level = logical\n"
    "max_wal_senders = 20\n"
    "max_replication_slots = 20\n"
    "log_line_prefix = '%m [%p] %q%u@%d '\n";

/* Everybody proves who they are, also on this machine: tenants have roles of their own. */
static const char access_rules[] =
    "# Made by \"reeve dev\". There is no TCP; the socket's folder is private as well.\n"
    "local  all          all  scram-sha-256\n"
    "local  replication  all  scram-sha-256\n";

int embedded_private_folder(const struct embedded *server, const char *path, struct error *err)
{
    if (mkdir(path, 0700) < 0 && errno != EEXIST)
        return error_errno(err, errno, "cannot make the folder %s", path);
    _cleanup_close_ int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    struct stat status;
    if (fd < 0 || fstat(fd, &status) < 0)
        return error_errno(err, errno, "cannot open the folder %s", path);
    uid_t owner = server->user ? server->uid : geteuid();
    if (status.st_uid != owner && status.st_uid != geteuid()) {
        int result = error_set(err, ERROR_DENIED, "the folder %s belongs to somebody else", path);
        error_hint(err, "remove it, or choose another --dir");
        return result;
    }
    if (server->user && fchown(fd, server->uid, server->gid) < 0)
        return error_errno(err, errno, "cannot give the folder %s to %s", path, server->user);
    if (fchmod(fd, 0700) < 0)
        return error_errno(err, errno, "cannot set the mode of %s", path);
    return 0;
}

/* ---- files ---- */

static int write_bytes(int fd, const char *path, const char *text, struct error *err)
{
    size_t length = strlen(text);
    while (length > 0) {
        ssize_t written = write(fd, text, length);
        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0)
            return error_errno(err, errno, "cannot write %s", path);
        text += written;
        length -= (size_t)written;
    }
    if (fsync(fd) < 0)
        return error_errno(err, errno, "cannot write %s", path);
    return 0;
}

static int write_file(const char *path, int flags, const char *text, struct error *err)
{
    _cleanup_close_ int fd = open(path, O_WRONLY | O_CLOEXEC | O_NOFOLLOW | flags, 0600);
    if (fd < 0)
        return error_errno(err, errno, "cannot open %s", path);
    return write_bytes(fd, path, text, err);
}

/* ---- the superuser's password ---- */

static int make_passfile(const struct embedded *server, struct arena *arena, struct error *err)
{
    if (access(server->passfile, F_OK) == 0)
        return 0;
    uint8_t secret[PASSWORD_BYTES];
    char password[2 * PASSWORD_BYTES + 1];
    char line[sizeof(password) + 64];
    crypto_random(secret, sizeof(secret));
    str_hex(secret, sizeof(secret), password);
    snprintf(line, sizeof(line), "*:*:*:" EMBEDDED_SUPERUSER ":%s\n", password);
    /* Complete or not there: a rename at the end. */
    const char *temporary = arena_printf(arena, "%s.new", server->passfile);
    unlink(temporary);
    int result = write_file(temporary, O_CREAT | O_EXCL, line, err);
    crypto_wipe(secret, sizeof(secret));
    crypto_wipe(password, sizeof(password));
    crypto_wipe(line, sizeof(line));
    if (result < 0)
        return result;
    if (rename(temporary, server->passfile) < 0)
        return error_errno(err, errno, "cannot make %s", server->passfile);
    return 0;
}

int embedded_password(const struct embedded *server, char ret[128], struct error *err)
{
    static const char prefix[] = "*:*:*:" EMBEDDED_SUPERUSER ":";
    char line[256] = {0};
    _cleanup_close_ int fd = open(server->passfile, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return error_errno(err, errno, "cannot open %s", server->passfile);
    ssize_t got = read(fd, line, sizeof(line) - 1);
    if (got < 0)
        return error_errno(err, errno, "cannot read %s", server->passfile);
    line[strcspn(line, "\n")] = '\0';
    bool good = str_has_prefix(line, prefix) && str_copy(ret, 128, line + sizeof(prefix) - 1);
    crypto_wipe(line, sizeof(line));
    if (good)
        return 0;
    return error_set(err, ERROR_STATE, "%s was not written by Reeve", server->passfile);
}

/* ---- initdb ---- */

static int remove_entry(const char *path, const struct stat *status reeve_unused,
                        int kind reeve_unused, struct FTW *place reeve_unused)
{
    return remove(path);
}

static const char *find_locale(void)
{
    locale_t found = newlocale(LC_ALL_MASK, "C.UTF-8", (locale_t)0);
    if (!found)
        return "C";
    freelocale(found);
    return "C.UTF-8";
}

/* Gives initdb the password in a file that only its user can read. */
static int write_password_file(const struct embedded *server, const char *path, struct error *err)
{
    char password[128];
    int result = embedded_password(server, password, err);
    if (result < 0)
        return result;
    unlink(path);
    result = write_file(path, O_CREAT | O_EXCL, password, err);
    crypto_wipe(password, sizeof(password));
    if (result == 0 && server->user && chown(path, server->uid, server->gid) < 0)
        result = error_errno(err, errno, "cannot give %s to %s", path, server->user);
    return result;
}

static int run_initdb(const struct embedded *server, const char *data, const char *password_file,
                      struct arena *arena, struct error *err)
{
    char output[4096];
    int status = 0;
    const char *argv[] = {arena_printf(arena, "%s/initdb", server->binary_folder),
                          "--pgdata",
                          data,
                          "--username",
                          EMBEDDED_SUPERUSER,
                          "--pwfile",
                          password_file,
                          "--auth",
                          "scram-sha-256",
                          "--encoding",
                          "UTF8",
                          "--locale",
                          find_locale(),
                          "--no-instructions",
                          NULL};
    struct process_spec spec = {
        .argv = argv, .user = server->user, .uid = server->uid, .gid = server->gid};
    int result = process_capture(&spec, output, sizeof(output), &status, err);
    if (result < 0 || status == 0)
        return result;
    const char *reason = strstr(output, "initdb: error: ");
    result = error_set(err, ERROR_STATE, "initdb could not make a PostgreSQL server in %s", data);
    if (reason)
        error_detail(err, "%.*s", (int)strcspn(reason, "\n"), reason);
    else
        error_detail(err, "it ended with status %d", status);
    return result;
}

static int fill_data(const struct embedded *server, const char *data, const char *password_file,
                     struct arena *arena, struct error *err)
{
    int result = embedded_private_folder(server, data, err);
    if (result == 0)
        result = write_password_file(server, password_file, err);
    if (result == 0)
        result = run_initdb(server, data, password_file, arena, err);
    if (result == 0)
        result =
            write_file(arena_printf(arena, "%s/postgresql.conf", data), O_APPEND, settings, err);
    if (result == 0)
        result =
            write_file(arena_printf(arena, "%s/pg_hba.conf", data), O_TRUNC, access_rules, err);
    return result;
}

int embedded_make(struct embedded *server, const char *folder, struct arena *arena,
                  struct error *err)
{
    bool made = access(arena_printf(arena, "%s/PG_VERSION", server->data), F_OK) == 0;
    if (made && access(server->passfile, F_OK) < 0) {
        int result = error_set(err, ERROR_STATE, "%s is gone, and with it PostgreSQL's password",
                               server->passfile);
        error_hint(err, "put it back, or remove %s to begin anew (all data in it is lost)", folder);
        return result;
    }
    if (made)
        return 0;
    int result = make_passfile(server, arena, err);
    if (result < 0)
        return result;
    /* What a killed run left of its initdb. */
    const char *data = arena_printf(arena, "%s/pg.new", folder);
    const char *password_file = arena_printf(arena, "%s/initdb.password", folder);
    nftw(data, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
    result = fill_data(server, data, password_file, arena, err);
    unlink(password_file);
    if (result == 0 && rename(data, server->data) < 0)
        result = error_errno(err, errno, "cannot rename %s to %s", data, server->data);
    if (result < 0)
        nftw(data, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
    return result;
}
