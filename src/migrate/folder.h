/*
 * folder.h - a service's folder of migrations, read and checked as a whole.
 *
 * Two ways of naming:
 *   plain numbered   0001_customers.sql   12_add_index.sql
 *   Flyway           V1__customers.sql    V1_2__add_index.sql    V1.2.1__x.sql
 * Versions are compared part by part as numbers: 2 < 10, 1.2 < 1.10, and 1 = 1.0 = 01. Any other
 * name that ends in .sql is refused, so that no file is left out in silence; other files, and
 * names that begin with '.', are ignored. Subfolders are not entered.
 */
#ifndef MIGRATE_FOLDER_H
#define MIGRATE_FOLDER_H

#include "base/arena.h"
#include "base/crypto.h"
#include "base/error.h"

enum {
    MIGRATION_MAX_FILES = 10000,
    MIGRATION_MAX_BYTES = 16 << 20,        /* one file */
    MIGRATION_MAX_TOTAL_BYTES = 256 << 20, /* a folder */
    MIGRATION_VERSION_PARTS = 8,
    MIGRATION_VERSION_SIZE = 96,
    MIGRATION_CHECKSUM_SIZE = 2 * CRYPTO_SHA256_SIZE + 1,
};

struct migration_version {
    size_t count;
    int64_t parts[MIGRATION_VERSION_PARTS];
};

struct migration {
    struct migration_version version;
    char version_text[MIGRATION_VERSION_SIZE]; /* canonical: "1", "1.2"; no leading or trailing
                                                  zeros */
    char checksum[MIGRATION_CHECKSUM_SIZE];    /* SHA-256 of the file's bytes, hexadecimal */
    const char *name;                          /* "customers" */
    const char *file;                          /* "0001_customers.sql" */
    const char *sql;                           /* the file's bytes, NUL-terminated, no NUL within */
    size_t length;
};

struct migration_set {
    const char *folder; /* absolute, symbolic links resolved */
    size_t count;
    const struct migration *migrations; /* by version */
};

/* Everything lives in the arena. ERROR_INVALID names the file and the remedy; ERROR_NOT_FOUND when
 * there is no such folder; ERROR_LIMIT, ERROR_IO. An empty folder is ERROR_INVALID. */
int migration_folder_read(const char *folder, struct arena *arena, struct migration_set *ret,
                          struct error *err);
/* The last migration's version_text. */
const char *migration_set_newest(const struct migration_set *set);
/* NULL when there is none of that version. */
const struct migration *migration_set_find(const struct migration_set *set,
                                           const char *version_text);

/* "1.2" as the ledger keeps it; false when it is no version. */
bool migration_version_parse(const char *text, struct migration_version *ret);
/* Below, equal to or above 0. */
int migration_version_compare(const struct migration_version *a, const struct migration_version *b);

#endif
