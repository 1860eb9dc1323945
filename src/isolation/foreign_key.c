/* foreign_key.c - adding, behind shaping, the foreign keys that were lifted out of a migration. */
#include "isolation/shape.h"
#include "pg/quote.h"
#include "sql/statements.h"

enum { NAME_ATTEMPTS = 1000 };

/* Takes the first of PostgreSQL's own candidates that no constraint of the schema has. */
static int choose_name(struct pg_connection *owner, const struct isolation_target *target,
                       struct arena *arena, const struct foreign_key *key, const char **ret,
                       struct error *err)
{
    if (key->name) {
        *ret = key->name;
        return 0;
    }
    for (unsigned int pass = 0; pass < NAME_ATTEMPTS; pass++) {
        const char *name = isolation_foreign_key_name(arena, key, pass);
        const char *const parameters[] = {target->schema, name};
        _cleanup_pg_result_ struct pg_result *taken = NULL;
        int r = pg_query(owner, sql_isolation_constraint_exists, 2, parameters, &taken, err);
        if (r < 0)
            return r;
        if (!pg_bool(taken, 0, 0)) {
            *ret = name;
            return 0;
        }
    }
    return error_set(err, ERROR_MIGRATION, "line %d: no name is free for a foreign key of \"%s\"",
                     key->line, key->table);
}

/* The statement said IF NOT EXISTS and passed over what it names: so does its foreign key. */
static int is_there(struct pg_connection *owner, const struct isolation_target *target,
                    struct arena *arena, const struct foreign_key *key, bool *ret,
                    struct error *err)
{
    *ret = false;
    if (!key->if_not_exists)
        return 0;
    const char *const parameters[] = {target->schema, key->table,
                                      pg_from_text_array(arena, key->columns, key->column_count),
                                      key->referenced_table};
    _cleanup_pg_result_ struct pg_result *result = NULL;
    int r = pg_query(owner, sql_isolation_foreign_key_exists, 4, parameters, &result, err);
    if (r == 0)
        *ret = pg_bool(result, 0, 0);
    return r;
}

static int referenced_columns(struct pg_connection *owner, const struct isolation_target *target,
                              struct arena *arena, const struct foreign_key *key,
                              const char *const **ret, size_t *ret_count, struct error *err)
{
    if (key->referenced_column_count > 0) {
        *ret = key->referenced_columns;
        *ret_count = key->referenced_column_count;
        return 0;
    }
    const char *const parameters[] = {target->schema, key->referenced_table};
    _cleanup_pg_result_ struct pg_result *result = NULL;
    int r = pg_query(owner, sql_isolation_primary_key_columns, 2, parameters, &result, err);
    if (r < 0)
        return r;
    return pg_text_array(result, 0, 0, arena, ret, ret_count, err);
}

static void add_columns(struct buffer *sql, const char *first, const char *const *columns,
                        size_t count)
{
    const char *separator = " (";
    if (first) {
        buffer_printf(sql, "%s%s", separator, first);
        separator = ", ";
    }
    for (size_t i = 0; i < count; i++) {
        buffer_append_string(sql, separator);
        pg_quote_identifier(sql, columns[i]);
        separator = ", ";
    }
    buffer_append_string(sql, ")");
}

static void add_actions(struct buffer *sql, const struct foreign_key *key)
{
    if (key->update_action == 'c')
        buffer_append_string(sql, " ON UPDATE CASCADE");
    else if (key->update_action == 'r')
        buffer_append_string(sql, " ON UPDATE RESTRICT");
    if (key->delete_action == 'c')
        buffer_append_string(sql, " ON DELETE CASCADE");
    else if (key->delete_action == 'r')
        buffer_append_string(sql, " ON DELETE RESTRICT");
    if (key->delete_action == 'n' || key->delete_action == 'd') {
        /* Not the tenant column, so the columns are named. */
        buffer_printf(sql, " ON DELETE SET %s", key->delete_action == 'n' ? "NULL" : "DEFAULT");
        if (key->delete_column_count > 0)
            add_columns(sql, NULL, key->delete_columns, key->delete_column_count);
        else
            add_columns(sql, NULL, key->columns, key->column_count);
    }
    if (key->deferrable)
        buffer_append_string(sql, " DEFERRABLE");
    if (key->deferred)
        buffer_append_string(sql, " INITIALLY DEFERRED");
    if (key->not_valid)
        buffer_append_string(sql, " NOT VALID");
}

int foreign_key_add(struct pg_connection *owner, const struct isolation_target *target,
                    struct arena *arena, const struct foreign_key *key,
                    struct isolation_report *report, struct error *err)
{
    bool there;
    const char *name = NULL;
    const char *const *referenced = NULL;
    size_t referenced_count = 0;
    int r = is_there(owner, target, arena, key, &there, err);
    if (r < 0 || there)
        return r;
    r = choose_name(owner, target, arena, key, &name, err);
    if (r == 0)
        r = referenced_columns(owner, target, arena, key, &referenced, &referenced_count, err);
    if (r < 0)
        return r;
    _cleanup_buffer_ struct buffer sql = BUFFER_INIT(1 << 16);
    buffer_append_string(&sql, "ALTER TABLE ");
    pg_quote_qualified(&sql, target->schema, key->table);
    buffer_append_string(&sql, " ADD CONSTRAINT ");
    pg_quote_identifier(&sql, name);
    buffer_append_string(&sql, " FOREIGN KEY");
    add_columns(&sql, "tenant_id", key->columns, key->column_count);
    buffer_append_string(&sql, " REFERENCES ");
    pg_quote_qualified(&sql, target->schema, key->referenced_table);
    add_columns(&sql, "tenant_id", referenced, referenced_count);
    add_actions(&sql, key);
    if (sql.failed)
        return error_set(err, ERROR_LIMIT, "line %d: a foreign key has too many columns",
                         key->line);
    r = pg_execute_script(owner, buffer_string(&sql), err);
    if (r < 0) {
        error_prefix(err, "line %d: foreign key \"%s\" of table \"%s\"", key->line, name,
                     key->table);
        if (err && r == -ERROR_SERVER)
            err->code = -ERROR_MIGRATION;
        return r == -ERROR_SERVER ? -ERROR_MIGRATION : r;
    }
    isolation_report_add(report, "table %s: foreign key %s added, led by tenant_id", key->table,
                         name);
    return 0;
}
