#include "cli/guard_file.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/crypto.h"
#include "base/str.h"
#include "guard/guard_files.h"

static const struct guard_file *find_library(int major)
{
    const struct guard_file *file = guard_files;
    while (file->name && (file->major == 0 || file->major != major))
        file++;
    return file->name ? file : NULL;
}

static const char *path_of(const char *folder, const struct guard_file *file, struct arena *arena)
{
    uint8_t digest[CRYPTO_SHA256_SIZE];
    char name[17];
    crypto_sha256(file->bytes, file->length, digest);
    str_hex(digest, 8, name);
    return arena_printf(arena, "%s/reeve_guard-%d-%s.so", folder, file->major, name);
}

static int write_all(int fd, const char *path, const struct guard_file *file, struct error *err)
{
    for (size_t at = 0; at < file->length;) {
        ssize_t written = write(fd, file->bytes + at, file->length - at);
        if (written < 0 && errno != EINTR)
            return error_errno(err, errno, "cannot write %s", path);
        at += written > 0 ? (size_t)written : 0;
    }
    if (fchmod(fd, 0755) < 0 || fsync(fd) < 0)
        return error_errno(err, errno, "cannot write %s", path);
    return 0;
}

/* Complete or not there: a server may load it at any moment. */
static int write_file(const char *path, const struct guard_file *file, struct arena *arena,
                      struct error *err)
{
    const char *temporary = arena_printf(arena, "%s.new", path);
    unlink(temporary);
    _cleanup_close_ int fd =
        open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return error_errno(err, errno, "cannot make %s", temporary);
    int result = write_all(fd, temporary, file, err);
    if (result == 0 && rename(temporary, path) < 0)
        result = error_errno(err, errno, "cannot make %s", path);
    if (result < 0)
        unlink(temporary);
    return result;
}

int guard_file_write(const char *folder, int major, struct arena *arena, const char **ret,
                     struct error *err)
{
    const struct guard_file *file = find_library(major);
    *ret = NULL;
    if (!file)
        return 0;
    if (mkdir(folder, 0755) < 0 && errno != EEXIST)
        return error_errno(err, errno, "cannot make the folder %s", folder);
    if (chmod(folder, 0755) < 0)
        return error_errno(err, errno, "cannot set the mode of %s", folder);
    const char *path = path_of(folder, file, arena);
    int result = access(path, F_OK) == 0 ? 0 : write_file(path, file, arena, err);
    if (result == 0)
        *ret = path;
    return result;
}
