#include "migrate/folder.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/str.h"

enum { NAME_MAX_LENGTH = 200, PART_MAX_DIGITS = 18 };

static const char naming_hint[] = "name it like 0001_customers.sql or V1__customers.sql";

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* One number; false without a digit or with too many. */
static bool parse_part(const char **cursor, int64_t *ret)
{
    const char *at = *cursor;
    int64_t value = 0;
    size_t digits = 0;
    for (; is_digit(*at); at++) {
        if (value > 0)
            digits++;
        if (digits >= PART_MAX_DIGITS)
            return false;
        value = value * 10 + (*at - '0');
    }
    if (at == *cursor)
        return false;
    *cursor = at;
    *ret = value;
    return true;
}

/* Trailing zeros mean nothing: 1.0 is 1. */
static void version_normalize(struct migration_version *version)
{
    while (version->count > 1 && version->parts[version->count - 1] == 0)
        version->count--;
}

static void version_format(const struct migration_version *version,
                           char ret_text[MIGRATION_VERSION_SIZE])
{
    size_t used = 0;
    ret_text[0] = '\0';
    for (size_t i = 0; i < version->count; i++) {
        int n = snprintf(ret_text + used, MIGRATION_VERSION_SIZE - used, "%s%lld", i ? "." : "",
                         (long long)version->parts[i]);
        used += (size_t)n;
        if (used >= MIGRATION_VERSION_SIZE)
            return;
    }
}

/*
 * Numbers with `separators` between them. Stops before a separator that no digit follows, which is
 * how 1_2__name ends at the two underscores.
 */
static bool parse_version(const char **cursor, const char *separators,
                          struct migration_version *ret)
{
    struct migration_version version = {0};
    const char *at = *cursor;
    size_t text_length = 0;
    for (;;) {
        const char *start = at;
        if (version.count == MIGRATION_VERSION_PARTS ||
            !parse_part(&at, &version.parts[version.count]))
            return false;
        version.count++;
        text_length += (size_t)(at - start) + 1;
        if (*at == '\0' || !strchr(separators, *at) || !is_digit(at[1]))
            break;
        at++;
    }
    version_normalize(&version);
    if (text_length >= MIGRATION_VERSION_SIZE)
        return false;
    *cursor = at;
    *ret = version;
    return true;
}

bool migration_version_parse(const char *text, struct migration_version *ret)
{
    struct migration_version version;
    if (!parse_version(&text, ".", &version) || *text != '\0')
        return false;
    *ret = version;
    return true;
}

int migration_version_compare(const struct migration_version *a, const struct migration_version *b)
{
    for (size_t i = 0; i < a->count || i < b->count; i++) {
        int64_t left = i < a->count ? a->parts[i] : 0;
        int64_t right = i < b->count ? b->parts[i] : 0;
        if (left != right)
            return left < right ? -1 : 1;
    }
    return 0;
}

/* The words between the version and ".sql". */
static bool check_name(const char *name, size_t length)
{
    if (length == 0)
        return false;
    for (size_t i = 0; i < length; i++) {
        char c = name[i];
        if (!is_digit(c) && !(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') && c != '_' &&
            c != '-' && c != '.')
            return false;
    }
    return true;
}

static int bad_name(struct error *err, const char *file, const char *why)
{
    error_set(err, ERROR_INVALID, "migration file \"%s\": %s", file, why);
    error_hint(err, "%s; files that are no migrations must not end in .sql", naming_hint);
    return -ERROR_INVALID;
}

static int parse_file_name(const char *file, struct arena *arena, struct migration *ret,
                           struct error *err)
{
    size_t length = strlen(file) - strlen(".sql");
    if (length > NAME_MAX_LENGTH)
        return bad_name(err, file, "its name is longer than 200 characters");
    if (file[0] == 'v' && is_digit(file[1]))
        return bad_name(err, file, "its name begins with a small v, not with V");
    if (file[0] == 'R' && file[1] == '_' && file[2] == '_')
        return bad_name(err, file, "repeatable migrations are not supported");
    if (file[0] == 'U' && is_digit(file[1]))
        return bad_name(err, file, "undo migrations are not supported");

    bool flyway = file[0] == 'V';
    const char *at = flyway ? file + 1 : file;
    const char *separator = flyway ? "__" : "_";
    struct migration_version version;
    if (!is_digit(*at))
        return bad_name(err, file, "its name does not begin with a version number");
    if (!parse_version(&at, flyway ? "._" : "", &version))
        return bad_name(err, file, "its version number is too long");
    if (!str_has_prefix(at, separator))
        return bad_name(err, file,
                        flyway ? "two underscores must follow the version number"
                               : "an underscore must follow the version number");
    at += strlen(separator);
    if (at > file + length || !check_name(at, (size_t)(file + length - at)))
        return bad_name(
            err, file,
            "after the version, a name of letters, digits, '_', '-' and '.' is expected");
    ret->version = version;
    version_format(&version, ret->version_text);
    ret->file = arena_strdup(arena, file);
    ret->name = arena_strndup(arena, at, (size_t)(file + length - at));
    return 0;
}

static int read_all(int fd, char *bytes, size_t size, size_t *ret_length)
{
    size_t length = 0;
    while (length < size) {
        ssize_t n = read(fd, bytes + length, size - length);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        if (n == 0)
            break;
        length += (size_t)n;
    }
    *ret_length = length;
    return 0;
}

static int check_text(const char *file, const char *bytes, size_t length, struct error *err)
{
    if (memchr(bytes, '\0', length)) {
        error_set(err, ERROR_INVALID, "migration file \"%s\" contains a NUL byte", file);
        error_hint(err, "save it as plain UTF-8 text");
        return -ERROR_INVALID;
    }
    if (!str_is_utf8(bytes, length)) {
        error_set(err, ERROR_INVALID, "migration file \"%s\" is not valid UTF-8", file);
        error_hint(err, "convert it, for example with iconv -f LATIN1 -t UTF-8");
        return -ERROR_INVALID;
    }
    return 0;
}

static int read_file(int folder_fd, struct arena *arena, struct migration *migration,
                     struct error *err)
{
    const char *file = migration->file;
    /* O_NONBLOCK: a named pipe must not hold us up before fstat has refused it. */
    _cleanup_close_ int fd = openat(folder_fd, file, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0)
        return error_errno(err, errno, "cannot open migration file \"%s\"", file);
    struct stat status;
    if (fstat(fd, &status) < 0)
        return error_errno(err, errno, "cannot examine migration file \"%s\"", file);
    if (!S_ISREG(status.st_mode))
        return error_set(err, ERROR_INVALID, "migration file \"%s\" is not a regular file", file);
    if (status.st_size > MIGRATION_MAX_BYTES)
        return error_set(err, ERROR_LIMIT, "migration file \"%s\" is larger than %d bytes", file,
                         MIGRATION_MAX_BYTES);
    size_t size = (size_t)status.st_size;
    char *bytes = arena_alloc(arena, size + 1);
    size_t length = 0;
    int r = read_all(fd, bytes, size, &length);
    if (r < 0)
        return error_errno(err, -r, "cannot read migration file \"%s\"", file);
    bytes[length] = '\0';
    r = check_text(file, bytes, length, err);
    if (r < 0)
        return r;
    uint8_t digest[CRYPTO_SHA256_SIZE];
    crypto_sha256(bytes, length, digest);
    str_hex(digest, sizeof(digest), migration->checksum);
    size_t mark = str_has_prefix(bytes, "\xEF\xBB\xBF") ? 3 : 0; /* PostgreSQL refuses it */
    migration->sql = bytes + mark;
    migration->length = length - mark;
    return 0;
}

static int compare_migrations(const void *a, const void *b)
{
    const struct migration *left = a, *right = b;
    int order = migration_version_compare(&left->version, &right->version);
    return order ? order : strcmp(left->file, right->file);
}

struct listing {
    struct migration *migrations; /* malloc'd */
    size_t count, capacity;
};

static void listing_free(struct listing *listing)
{
    free(listing->migrations);
}

static int list_files(DIR *directory, const char *folder, struct arena *arena,
                      struct listing *listing, struct error *err)
{
    for (;;) {
        errno = 0;
        struct dirent *entry = readdir(directory); /* NOLINT(concurrency-mt-unsafe): own DIR */
        if (!entry) {
            if (errno != 0)
                return error_errno(err, errno, "cannot list migrations folder %s", folder);
            return 0;
        }
        const char *name = entry->d_name;
        if (name[0] == '.' || !str_has_suffix(name, ".sql"))
            continue;
        if (listing->count == MIGRATION_MAX_FILES)
            return error_set(err, ERROR_LIMIT, "migrations folder %s has more than %d files",
                             folder, MIGRATION_MAX_FILES);
        if (listing->count == listing->capacity) {
            listing->capacity = listing->capacity ? 2 * listing->capacity : 32;
            listing->migrations =
                xrealloc(listing->migrations, listing->capacity * sizeof(*listing->migrations));
        }
        struct migration *migration = &listing->migrations[listing->count];
        *migration = (struct migration){0};
        int r = parse_file_name(name, arena, migration, err);
        if (r < 0)
            return r;
        listing->count++;
    }
}

static int check_listing(const struct listing *listing, const char *folder, struct error *err)
{
    if (listing->count == 0) {
        error_set(err, ERROR_INVALID, "migrations folder %s has no migrations", folder);
        error_hint(err, "add a first one and %s", naming_hint);
        return -ERROR_INVALID;
    }
    for (size_t i = 1; i < listing->count; i++) {
        const struct migration *a = &listing->migrations[i - 1], *b = &listing->migrations[i];
        if (migration_version_compare(&a->version, &b->version) == 0) {
            error_set(err, ERROR_INVALID,
                      "migration files \"%s\" and \"%s\" have the same version %s", a->file,
                      b->file, a->version_text);
            error_hint(err, "give one of them the next free number");
            return -ERROR_INVALID;
        }
    }
    return 0;
}

static int read_files(int folder_fd, const char *folder, struct arena *arena,
                      const struct listing *listing, struct error *err)
{
    size_t total = 0;
    for (size_t i = 0; i < listing->count; i++) {
        int r = read_file(folder_fd, arena, &listing->migrations[i], err);
        if (r < 0)
            return r;
        total += listing->migrations[i].length;
        if (total > MIGRATION_MAX_TOTAL_BYTES)
            return error_set(err, ERROR_LIMIT, "migrations folder %s holds more than %d bytes",
                             folder, MIGRATION_MAX_TOTAL_BYTES);
    }
    return 0;
}

static int open_folder(const char *folder, DIR **ret, struct error *err)
{
    DIR *directory = opendir(folder);
    if (directory) {
        *ret = directory;
        return 0;
    }
    if (errno == ENOENT || errno == ENOTDIR) {
        error_set(err, ERROR_NOT_FOUND, "there is no migrations folder at %s", folder);
        error_hint(err, "pass the folder that holds the service's .sql files");
        return -ERROR_NOT_FOUND;
    }
    return error_errno(err, errno, "cannot open migrations folder %s", folder);
}

static void close_directory(DIR **directory)
{
    if (*directory)
        closedir(*directory);
}

int migration_folder_read(const char *folder, struct arena *arena, struct migration_set *ret,
                          struct error *err)
{
    _cleanup_(close_directory) DIR *directory = NULL;
    int r = open_folder(folder, &directory, err);
    if (!directory)
        return r;
    _cleanup_free_ char *absolute = realpath(folder, NULL);
    if (!absolute)
        return error_errno(err, errno, "cannot resolve migrations folder %s", folder);
    _cleanup_(listing_free) struct listing listing = {0};
    r = list_files(directory, folder, arena, &listing, err);
    if (r < 0)
        return r;
    if (listing.count > 1)
        qsort(listing.migrations, listing.count, sizeof(*listing.migrations), compare_migrations);
    r = check_listing(&listing, folder, err);
    if (r < 0)
        return r;
    r = read_files(dirfd(directory), folder, arena, &listing, err);
    if (r < 0)
        return r;
    *ret = (struct migration_set){
        .folder = arena_strdup(arena, absolute),
        .count = listing.count,
        .migrations =
            arena_memdup(arena, listing.migrations, listing.count * sizeof(*listing.migrations)),
    };
    return 0;
}

const char *migration_set_newest(const struct migration_set *set)
{
    return set->migrations[set->count - 1].version_text;
}

const struct migration *migration_set_find(const struct migration_set *set,
                                           const char *version_text)
{
    struct migration_version version;
    if (!migration_version_parse(version_text, &version))
        return NULL;
    for (size_t i = 0; i < set->count; i++)
        if (migration_version_compare(&set->migrations[i].version, &version) == 0)
            return &set->migrations[i];
    return NULL;
}
