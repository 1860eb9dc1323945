#include "cli/embedded.h"

#include <glob.h>
#include <unistd.h>

#include "base/str.h"
#include "cli/process.h"

enum { OLDEST_MAJOR = 15 };

static const char *join(struct arena *arena, const char *folder, const char *name)
{
    return arena_printf(arena, "%s/%s", folder, name);
}

static bool has_binaries(struct arena *arena, const char *folder)
{
    return access(join(arena, folder, "initdb"), X_OK) == 0 &&
           access(join(arena, folder, "postgres"), X_OK) == 0;
}

/* "postgres (PostgreSQL) 15.20 (Debian ...)" -> 15; 0 when it cannot be told. */
static int major_of(struct arena *arena, const char *folder)
{
    char output[256];
    int status = 0;
    const char *argv[] = {join(arena, folder, "postgres"), "--version", NULL};
    struct process_spec spec = {.argv = argv};
    if (process_capture(&spec, output, sizeof(output), &status, NULL) < 0 || status != 0)
        return 0;
    const char *number = strstr(output, ") ");
    return number ? (int)strtol(number + 2, NULL, 10) : 0;
}

static const char *from_pg_config(struct arena *arena)
{
    static const char *const places[] = {"/usr/bin/pg_config", "/usr/local/bin/pg_config"};
    for (size_t i = 0; i < array_size(places); i++) {
        char output[1024];
        int status = 0;
        const char *argv[] = {places[i], "--bindir", NULL};
        struct process_spec spec = {.argv = argv};
        if (access(places[i], X_OK) < 0 ||
            process_capture(&spec, output, sizeof(output), &status, NULL) < 0 || status != 0)
            continue;
        output[strcspn(output, "\n")] = '\0';
        if (has_binaries(arena, output))
            return arena_strdup(arena, output);
    }
    return NULL;
}

/* The number in /usr/lib/postgresql/15/bin and /usr/pgsql-15/bin. */
static int number_in_path(const char *path)
{
    const char *at = strpbrk(path, "0123456789");
    return at ? (int)strtol(at, NULL, 10) : 0;
}

/* The newest of the distributions' folders; `major` alone unless it is 0. */
static const char *from_folders(struct arena *arena, int major)
{
    static const char *const patterns[] = {"/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin"};
    const char *best = NULL;
    int best_number = 0;
    for (size_t i = 0; i < array_size(patterns); i++) {
        glob_t found;
        if (glob(patterns[i], 0, NULL, &found) != 0)
            continue;
        for (size_t k = 0; k < found.gl_pathc; k++) {
            int number = number_in_path(found.gl_pathv[k]);
            if (number <= best_number || (major && number != major) ||
                !has_binaries(arena, found.gl_pathv[k]))
                continue;
            best_number = number;
            best = arena_strdup(arena, found.gl_pathv[k]);
        }
        globfree(&found);
    }
    return best;
}

static int check_given(struct arena *arena, const char *folder, const char *source,
                       struct error *err)
{
    if (has_binaries(arena, folder))
        return 0;
    int result =
        error_set(err, ERROR_NOT_FOUND, "%s has no initdb and postgres (%s)", folder, source);
    error_hint(err, "give the folder that holds PostgreSQL's server programs, such as "
                    "/usr/lib/postgresql/15/bin");
    return result;
}

int embedded_find_binaries(const char *given, int major, struct arena *arena, const char **ret,
                           int *ret_major, struct error *err)
{
    const char *environment = getenv("REEVE_PG_BINDIR");
    const char *folder = given;
    const char *source = "--pg-bindir";
    if (!folder && environment && *environment) {
        folder = environment;
        source = "REEVE_PG_BINDIR";
    }
    if (folder) {
        int result = check_given(arena, folder, source, err);
        if (result < 0)
            return result;
    }
    if (!folder && major)
        folder = from_folders(arena, major);
    if (!folder)
        folder = from_pg_config(arena);
    if (!folder)
        folder = from_folders(arena, 0);
    if (!folder) {
        int result = error_set(err, ERROR_NOT_FOUND, "PostgreSQL's server programs were not found");
        error_detail(err, "looked in pg_config's folder, /usr/lib/postgresql/*/bin and "
                          "/usr/pgsql-*/bin");
        error_hint(err, "install PostgreSQL (apt install postgresql), or pass --pg-bindir FOLDER");
        return result;
    }
    int found = major_of(arena, folder);
    if (found < OLDEST_MAJOR) {
        int result = error_set(err, ERROR_UNSUPPORTED, "%s/postgres is not PostgreSQL %d or newer",
                               folder, OLDEST_MAJOR);
        error_hint(err, "pass --pg-bindir with the folder of a newer one");
        return result;
    }
    *ret = folder;
    *ret_major = found;
    return 0;
}
