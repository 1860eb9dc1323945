#include "migrate/ledger.h"

#include "pg/connection.h"
#include "sql/statements.h"

static int file_gone(const struct ledger_entry *entry, const struct migration_set *set,
                     struct error *err)
{
    error_set(err, ERROR_MIGRATION,
              "migration %s \"%s\" has been applied, but its file is no longer in %s",
              entry->version, entry->name, set->folder);
    error_hint(err, "put the file back; to undo what it did, add a new migration");
    return -ERROR_MIGRATION;
}

static int file_changed(const struct migration *migration, struct error *err)
{
    error_set(err, ERROR_MIGRATION, "migration file \"%s\" was changed after it had been applied",
              migration->file);
    error_hint(err, "restore the file as it was; what should change goes into a new migration");
    return -ERROR_MIGRATION;
}

static int file_too_late(const struct migration *migration, const char *newest, struct error *err)
{
    error_set(err, ERROR_MIGRATION,
              "migration file \"%s\" was never applied, but the newer version %s was",
              migration->file, newest);
    error_hint(err, "give it a version above %s", newest);
    return -ERROR_MIGRATION;
}

/* Marks what was applied; finds the newest of it. */
static int check_entries(const struct ledger_entry *entries, size_t count,
                         const struct migration_set *set, bool *applied,
                         const struct migration **ret_newest, struct error *err)
{
    const struct migration *newest = NULL;
    for (size_t i = 0; i < count; i++) {
        const struct migration *migration = migration_set_find(set, entries[i].version);
        if (!migration)
            return file_gone(&entries[i], set, err);
        if (strcmp(migration->checksum, entries[i].checksum) != 0)
            return file_changed(migration, err);
        applied[migration - set->migrations] = true;
        if (!newest || migration > newest)
            newest = migration;
    }
    *ret_newest = newest;
    return 0;
}

int ledger_compare(const struct ledger_entry *entries, size_t count,
                   const struct migration_set *set, struct arena *arena, struct ledger_plan *ret,
                   struct error *err)
{
    bool *applied = arena_zalloc(arena, set->count * sizeof(*applied));
    const struct migration *newest;
    int r = check_entries(entries, count, set, applied, &newest, err);
    if (r < 0)
        return r;
    const struct migration **pending = arena_zalloc(arena, set->count * sizeof(struct migration *));
    size_t pending_count = 0;
    for (size_t i = 0; i < set->count; i++) {
        const struct migration *migration = &set->migrations[i];
        if (applied[i])
            continue;
        if (newest && migration < newest)
            return file_too_late(migration, newest->version_text, err);
        pending[pending_count++] = migration;
    }
    *ret = (struct ledger_plan){
        .from = newest ? newest->version_text : "",
        .to = migration_set_newest(set),
        .count = pending_count,
        .pending = pending,
    };
    return 0;
}

int ledger_read(struct pg_connection *connection, const char *schema,
                const struct migration_set *set, struct arena *arena, struct ledger_plan *ret,
                struct error *err)
{
    _cleanup_pg_result_ struct pg_result *rows = NULL;
    int r = pg_query(connection, sql_migrate_ledger_read, 1, &schema, &rows, err);
    if (r < 0)
        return r;
    size_t count = pg_rows(rows);
    struct ledger_entry *entries = arena_zalloc(arena, (count + 1) * sizeof(*entries));
    for (size_t i = 0; i < count; i++)
        entries[i] = (struct ledger_entry){.version = pg_text_copy(rows, i, 0, arena),
                                           .name = pg_text_copy(rows, i, 1, arena),
                                           .checksum = pg_text_copy(rows, i, 2, arena)};
    return ledger_compare(entries, count, set, arena, ret, err);
}

int ledger_add(struct pg_connection *connection, const char *schema,
               const struct migration *migration, struct error *err)
{
    const char *const parameters[] = {schema, migration->version_text, migration->name,
                                      migration->checksum};
    return pg_execute(connection, sql_migrate_ledger_add, 4, parameters, NULL, err);
}
