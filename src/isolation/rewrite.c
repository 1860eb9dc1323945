#include "isolation/rewrite.h"

#include <jansson.h>
#include <pg_query.h>
#include <strings.h>

#include "base/buffer.h"
#include "isolation/token.h"

enum { NAME_SIZE = 64, MAX_MIGRATION = 64 * 1024 * 1024 };

struct insertion {
    size_t offset;
    const char *text;
};

struct name_list {
    size_t count, capacity;
    const char **names;
};

struct rewriter {
    struct arena *arena;
    const char *original;
    char *text; /* the original with what was lifted blanked out */
    bool (*is_shaped)(void *context, const char *table);
    void *context;
    struct name_list renamed; /* shaped tables under the names that this migration gives them */
    size_t key_count, key_capacity;
    struct foreign_key *keys;
    size_t insertion_count, insertion_capacity; /* of the statement at hand */
    struct insertion *insertions;
    size_t statement_count, statement_capacity;
    struct statement *statements;
};

/* One statement as it is looked at. */
struct parsed {
    const json_t *node; /* of the kind's own object */
    const char *kind;
    size_t start, end;
    struct token_list tokens;
};

static const char *get_string(const json_t *object, const char *key)
{
    return json_string_value(json_object_get(object, key));
}

static size_t get_offset(const json_t *object, const char *key)
{
    json_int_t value = json_integer_value(json_object_get(object, key));
    return value > 0 ? (size_t)value : 0;
}

static bool get_true(const json_t *object, const char *key)
{
    return json_is_true(json_object_get(object, key));
}

static char get_action(const json_t *object, const char *key)
{
    const char *text = get_string(object, key);
    return text ? text[0] : 'a';
}

static int line_of(const char *text, size_t offset)
{
    int line = 1;
    for (size_t i = 0; i < offset && text[i]; i++)
        line += text[i] == '\n';
    return line;
}

/* Makes room for one more element of an array that grows in the arena. */
static void *grow(struct arena *arena, void *array, size_t count, size_t *capacity, size_t size)
{
    if (count < *capacity)
        return array;
    size_t larger = *capacity ? 2 * *capacity : 8;
    void *copy = arena_zalloc(arena, larger * size);
    if (count > 0)
        memcpy(copy, array, count * size);
    *capacity = larger;
    return copy;
}

static size_t copy_names(struct arena *arena, const json_t *list, const char ***ret)
{
    size_t count = json_array_size(list);
    const char **names = arena_zalloc(arena, (count + 1) * sizeof(*names));
    for (size_t i = 0; i < count; i++) {
        const json_t *item = json_object_get(json_array_get(list, i), "String");
        const char *name = get_string(item, "sval");
        names[i] = arena_strdup(arena, name ? name : "");
    }
    *ret = names;
    return count;
}

static void blank(struct rewriter *rewriter, size_t start, size_t end)
{
    for (size_t i = start; i < end; i++)
        if (rewriter->text[i] != '\n')
            rewriter->text[i] = ' ';
}

static void insert(struct rewriter *rewriter, size_t offset, const char *text)
{
    rewriter->insertions = grow(rewriter->arena, rewriter->insertions, rewriter->insertion_count,
                                &rewriter->insertion_capacity, sizeof(*rewriter->insertions));
    rewriter->insertions[rewriter->insertion_count++] = (struct insertion){offset, text};
}

/* ---- refusals ---- */

struct refusal {
    const char *kind; /* of libpg_query's tree */
    const char *what; /* completes "a migration may not ..." */
    const char *hint;
};

static const struct refusal refusals[] = {
    {"TransactionStmt", "begin, end or roll back transactions",
     "Each migration runs in one transaction that Reeve opens and ends."},
    {"CreateSchemaStmt", "create schemas", "Every table of a service lives in one schema."},
    {"AlterObjectSchemaStmt", "move objects to another schema",
     "Every table of a service lives in one schema."},
    {"GrantStmt", "grant or revoke privileges", "Reeve gives tenants their privileges."},
    {"GrantRoleStmt", "grant or revoke roles", "Reeve gives tenants their privileges."},
    {"AlterDefaultPrivilegesStmt", "change default privileges",
     "Reeve gives tenants their privileges."},
    {"AlterOwnerStmt", "change owners", "Everything belongs to the service's owner role."},
    {"ReassignOwnedStmt", "change owners", "Everything belongs to the service's owner role."},
    {"DropOwnedStmt", "drop what a role owns", "Drop the tables by name."},
    {"CreateRoleStmt", "create roles", "Roles belong to Reeve."},
    {"AlterRoleStmt", "alter roles", "Roles belong to Reeve."},
    {"AlterRoleSetStmt", "alter roles", "Roles belong to Reeve."},
    {"DropRoleStmt", "drop roles", "Roles belong to Reeve."},
    {"CreatedbStmt", "create databases", "Databases belong to Reeve."},
    {"AlterDatabaseStmt", "alter databases", "Databases belong to Reeve."},
    {"AlterDatabaseSetStmt", "alter databases", "Databases belong to Reeve."},
    {"DropdbStmt", "drop databases", "Databases belong to Reeve."},
    {"VacuumStmt", "vacuum", "Leave it to autovacuum: a migration runs in a transaction."},
};

static int refuse(const struct rewriter *rewriter, const struct parsed *statement, const char *what,
                  const char *hint, struct error *err)
{
    const struct token *first = &statement->tokens.tokens[0]; /* a statement has a word */
    int r = error_set(err, ERROR_MIGRATION, "line %d: %.*s: a migration may not %s",
                      line_of(rewriter->original, first->start), (int)(first->end - first->start),
                      rewriter->original + first->start, what);
    error_hint(err, "%s", hint);
    return r;
}

/* ANALYZE alone is a VacuumStmt too, and is fine. */
static bool is_analyze(const struct parsed *statement)
{
    return strcmp(statement->kind, "VacuumStmt") == 0 && !get_true(statement->node, "is_vacuumcmd");
}

static int check_statement(const struct rewriter *rewriter, const struct parsed *statement,
                           struct error *err)
{
    for (size_t i = 0; i < array_size(refusals); i++)
        if (strcmp(statement->kind, refusals[i].kind) == 0 && !is_analyze(statement))
            return refuse(rewriter, statement, refusals[i].what, refusals[i].hint, err);
    if (strcmp(statement->kind, "VariableSetStmt") == 0) {
        const char *name = get_string(statement->node, "name");
        static const char *const kept[] = {"search_path", "role", "session_authorization"};
        for (size_t i = 0; name && i < array_size(kept); i++)
            if (strcasecmp(name, kept[i]) == 0)
                return refuse(rewriter, statement, "change role or search_path",
                              "Names without a schema find the service's own tables.", err);
    }
    if (strcmp(statement->kind, "IndexStmt") == 0 && get_true(statement->node, "concurrent"))
        return refuse(rewriter, statement, "create an index concurrently",
                      "A migration runs in a transaction; leave CONCURRENTLY out.", err);
    if (strcmp(statement->kind, "CopyStmt") == 0 && !json_object_get(statement->node, "filename"))
        return refuse(rewriter, statement, "copy from standard input", "Use INSERT.", err);
    return 0;
}

/* ---- foreign keys ---- */

static bool is_shaped(const struct rewriter *rewriter, const char *table)
{
    for (size_t i = 0; i < rewriter->renamed.count; i++)
        if (strcmp(rewriter->renamed.names[i], table) == 0)
            return true;
    return rewriter->is_shaped(rewriter->context, table);
}

/* The tokens of a foreign-key clause: where it ends, and what its attributes say. */
static size_t scan_clause(const struct token_list *tokens, size_t index, struct foreign_key *key)
{
    if (token_is(tokens, index, "constraint"))
        index += 2;
    if (token_is(tokens, index, "foreign"))
        index = token_skip_group(tokens, index + 2);
    index += 2; /* REFERENCES name */
    while (token_is(tokens, index, "."))
        index += 2;
    if (token_is(tokens, index, "("))
        index = token_skip_group(tokens, index);
    for (;;) {
        if (token_is(tokens, index, "match")) {
            index += 2;
        } else if (token_is(tokens, index, "on")) {
            bool two_words =
                token_is(tokens, index + 2, "set") || token_is(tokens, index + 2, "no");
            index += two_words ? 4 : 3;
            if (token_is(tokens, index, "("))
                index = token_skip_group(tokens, index);
        } else if (token_is(tokens, index, "deferrable")) {
            key->deferrable = true;
            index++;
        } else if (token_is(tokens, index, "initially")) {
            key->deferred = token_is(tokens, index + 1, "deferred");
            key->deferrable |= key->deferred;
            index += 2;
        } else if (token_is(tokens, index, "not") && token_is(tokens, index + 1, "deferrable")) {
            index += 2;
        } else if (token_is(tokens, index, "not") && token_is(tokens, index + 1, "valid")) {
            key->not_valid = true;
            index += 2;
        } else {
            return index;
        }
    }
}

static int check_key(const json_t *constraint, const struct foreign_key *key, struct error *err)
{
    const char *why = NULL, *hint = NULL;
    if (key->update_action == 'n' || key->update_action == 'd') {
        why = "ON UPDATE SET NULL and ON UPDATE SET DEFAULT would set the tenant column too";
        hint = "Use ON UPDATE CASCADE or NO ACTION.";
    } else if (get_action(constraint, "fk_matchtype") == 'f' && key->column_count > 1) {
        why = "MATCH FULL with more than one column";
        hint = "Use MATCH SIMPLE, with a CHECK that all columns are null or none is.";
    }
    if (!why)
        return 0;
    int r = error_set(err, ERROR_MIGRATION,
                      "line %d: foreign key%s%s%s of table \"%s\" to \"%s\" cannot be shaped: %s",
                      key->line, key->name ? " \"" : "", key->name ? key->name : "",
                      key->name ? "\"" : "", key->table, key->referenced_table, why);
    error_hint(err, "%s", hint);
    return r;
}

/*
 * Takes one constraint out of the text when it is a foreign key to a shaped table. `column` is the
 * column that it stands behind, NULL for a table constraint. *ret_first and *ret_end are its
 * tokens.
 */
static int lift_constraint(struct rewriter *rewriter, const struct parsed *statement,
                           const json_t *constraint, const char *table, const char *column,
                           bool if_not_exists, bool *ret_lifted, size_t *ret_first, size_t *ret_end,
                           struct error *err)
{
    *ret_lifted = false;
    const char *type = get_string(constraint, "contype");
    const json_t *referenced = json_object_get(constraint, "pktable");
    const char *referenced_table = get_string(referenced, "relname");
    if (!type || strcmp(type, "CONSTR_FOREIGN") != 0 || !referenced_table ||
        get_string(referenced, "schemaname") || !is_shaped(rewriter, referenced_table))
        return 0;

    struct arena *arena = rewriter->arena;
    struct foreign_key key = {
        .table = arena_strdup(arena, table),
        .referenced_table = arena_strdup(arena, referenced_table),
        .update_action = get_action(constraint, "fk_upd_action"),
        .delete_action = get_action(constraint, "fk_del_action"),
        .if_not_exists = if_not_exists,
    };
    const char *name = get_string(constraint, "conname");
    key.name = name ? arena_strdup(arena, name) : NULL;
    if (column) {
        key.columns = arena_zalloc(arena, sizeof(*key.columns));
        key.columns[0] = arena_strdup(arena, column);
        key.column_count = 1;
    } else {
        key.column_count = copy_names(arena, json_object_get(constraint, "fk_attrs"), &key.columns);
    }
    key.referenced_column_count =
        copy_names(arena, json_object_get(constraint, "pk_attrs"), &key.referenced_columns);
    key.delete_column_count =
        copy_names(arena, json_object_get(constraint, "fk_del_set_cols"), &key.delete_columns);

    size_t location = get_offset(constraint, "location");
    key.line = line_of(rewriter->original, location);
    *ret_first = token_at(&statement->tokens, location);
    *ret_end = scan_clause(&statement->tokens, *ret_first, &key);
    if (*ret_end > statement->tokens.count || *ret_first >= *ret_end)
        return error_set(err, ERROR_INTERNAL, "line %d: cannot find the end of a foreign key",
                         key.line);
    int r = check_key(constraint, &key, err);
    if (r < 0)
        return r;

    rewriter->keys = grow(arena, rewriter->keys, rewriter->key_count, &rewriter->key_capacity,
                          sizeof(*rewriter->keys));
    rewriter->keys[rewriter->key_count++] = key;
    blank(rewriter, statement->tokens.tokens[*ret_first].start,
          statement->tokens.tokens[*ret_end - 1].end);
    *ret_lifted = true;
    return 0;
}

static int lift_column(struct rewriter *rewriter, const struct parsed *statement,
                       const json_t *column, const char *table, bool if_not_exists,
                       struct error *err)
{
    const char *name = get_string(column, "colname");
    size_t i;
    json_t *item;
    json_array_foreach(json_object_get(column, "constraints"), i, item)
    {
        bool lifted;
        size_t first, end;
        const json_t *constraint = json_object_get(item, "Constraint");
        int r = lift_constraint(rewriter, statement, constraint, table, name, if_not_exists,
                                &lifted, &first, &end, err);
        if (r < 0)
            return r;
    }
    return 0;
}

static bool is_blank(const struct rewriter *rewriter, const struct token *token)
{
    return rewriter->text[token->start] == ' ';
}

/* Blanks the comma that joined tokens [first, end) to what is left of the list before or behind
 * it. Commas that went with an earlier element are blank already. */
static void blank_comma(struct rewriter *rewriter, const struct token_list *tokens, size_t first,
                        size_t end)
{
    size_t before = first;
    while (before > 0 && is_blank(rewriter, &tokens->tokens[before - 1]))
        before--;
    if (before > 0 && token_is(tokens, before - 1, ","))
        blank(rewriter, tokens->tokens[before - 1].start, tokens->tokens[before - 1].end);
    else if (token_is(tokens, end, ","))
        blank(rewriter, tokens->tokens[end].start, tokens->tokens[end].end);
}

static int rewrite_create_table(struct rewriter *rewriter, const struct parsed *statement,
                                struct error *err)
{
    const char *table = get_string(json_object_get(statement->node, "relation"), "relname");
    bool if_not_exists = get_true(statement->node, "if_not_exists");
    size_t i;
    json_t *item;
    json_array_foreach(json_object_get(statement->node, "tableElts"), i, item)
    {
        const json_t *column = json_object_get(item, "ColumnDef");
        const json_t *constraint = json_object_get(item, "Constraint");
        int r = 0;
        if (column) {
            r = lift_column(rewriter, statement, column, table, if_not_exists, err);
        } else if (constraint) {
            bool lifted;
            size_t first, end;
            r = lift_constraint(rewriter, statement, constraint, table, NULL, if_not_exists,
                                &lifted, &first, &end, err);
            if (r == 0 && lifted)
                blank_comma(rewriter, &statement->tokens, first, end);
        }
        if (r < 0)
            return r;
    }
    return 0;
}

static int rewrite_alter_table(struct rewriter *rewriter, const struct parsed *statement,
                               struct error *err)
{
    const char *table = get_string(json_object_get(statement->node, "relation"), "relname");
    const json_t *commands = json_object_get(statement->node, "cmds");
    size_t gone = 0, i;
    json_t *item;
    json_array_foreach(commands, i, item)
    {
        const json_t *command = json_object_get(item, "AlterTableCmd");
        const json_t *definition = json_object_get(command, "def");
        const json_t *column = json_object_get(definition, "ColumnDef");
        const json_t *constraint = json_object_get(definition, "Constraint");
        const char *subtype = get_string(command, "subtype");
        int r = 0;
        if (subtype && column && strcmp(subtype, "AT_AddColumn") == 0) {
            r = lift_column(rewriter, statement, column, table, get_true(command, "missing_ok"),
                            err);
        } else if (subtype && constraint && strcmp(subtype, "AT_AddConstraint") == 0) {
            bool lifted;
            size_t first, end;
            r = lift_constraint(rewriter, statement, constraint, table, NULL, false, &lifted,
                                &first, &end, err);
            if (r == 0 && lifted) {
                size_t add = first - 1; /* ADD */
                blank(rewriter, statement->tokens.tokens[add].start,
                      statement->tokens.tokens[add].end);
                blank_comma(rewriter, &statement->tokens, add, end);
                gone++;
            }
        }
        if (r < 0)
            return r;
    }
    if (gone > 0 && gone == json_array_size(commands))
        blank(rewriter, statement->tokens.tokens[0].start,
              statement->tokens.tokens[statement->tokens.count - 1].end);
    return 0;
}

/* ---- the rest ---- */

static void rewrite_rename(struct rewriter *rewriter, const struct parsed *statement)
{
    const char *type = get_string(statement->node, "renameType");
    const char *table = get_string(json_object_get(statement->node, "relation"), "relname");
    const char *name = get_string(statement->node, "newname");
    if (!type || strcmp(type, "OBJECT_TABLE") != 0 || !table || !name ||
        !is_shaped(rewriter, table))
        return;
    struct name_list *list = &rewriter->renamed;
    list->names =
        grow(rewriter->arena, list->names, list->count, &list->capacity, sizeof(*list->names));
    list->names[list->count++] = arena_strdup(rewriter->arena, name);
}

/* Extensions are a database's, not a schema's: the second tenant finds it there already. */
static int rewrite_extension(struct rewriter *rewriter, const struct parsed *statement,
                             struct error *err)
{
    const struct token_list *tokens = &statement->tokens;
    size_t i;
    json_t *item;
    bool placed = false;
    json_array_foreach(json_object_get(statement->node, "options"), i, item)
    {
        const json_t *option = json_object_get(item, "DefElem");
        const char *name = get_string(option, "defname");
        if (!name || strcmp(name, "schema") != 0)
            continue;
        const json_t *argument = json_object_get(option, "arg");
        const char *schema = get_string(json_object_get(argument, "String"), "sval");
        placed = true;
        if (!schema || (strcmp(schema, "public") != 0 && strcmp(schema, "pg_catalog") != 0))
            return refuse(rewriter, statement, "put an extension into a schema of its own",
                          "Leave SCHEMA out: extensions go to public.", err);
    }
    if (!get_true(statement->node, "if_not_exists") && tokens->count > 2)
        insert(rewriter, tokens->tokens[2].start, "IF NOT EXISTS ");
    if (!placed && tokens->count > 0)
        insert(rewriter, tokens->tokens[tokens->count - 1].end, " SCHEMA public");
    return 0;
}

static int rewrite_statement(struct rewriter *rewriter, const struct parsed *statement,
                             struct error *err)
{
    int r = check_statement(rewriter, statement, err);
    if (r < 0)
        return r;
    if (strcmp(statement->kind, "CreateStmt") == 0)
        return rewrite_create_table(rewriter, statement, err);
    if (strcmp(statement->kind, "AlterTableStmt") == 0)
        return rewrite_alter_table(rewriter, statement, err);
    if (strcmp(statement->kind, "CreateExtensionStmt") == 0)
        return rewrite_extension(rewriter, statement, err);
    if (strcmp(statement->kind, "RenameStmt") == 0)
        rewrite_rename(rewriter, statement);
    return 0;
}

/* Copies what is left of the statement, with what is to be put into it. */
static void keep_statement(struct rewriter *rewriter, const struct parsed *statement)
{
    const struct token_list *tokens = &statement->tokens;
    size_t first = 0;
    while (first < tokens->count && is_blank(rewriter, &tokens->tokens[first]))
        first++;
    if (first == tokens->count)
        return;
    size_t done = tokens->tokens[0].start, end = tokens->tokens[tokens->count - 1].end;
    _cleanup_buffer_ struct buffer buffer = BUFFER_INIT(2 * (size_t)MAX_MIGRATION);
    int line = line_of(rewriter->original, done);
    for (size_t i = 0; i < rewriter->insertion_count; i++) {
        const struct insertion *insertion = &rewriter->insertions[i];
        buffer_append(&buffer, rewriter->text + done, insertion->offset - done);
        buffer_append_string(&buffer, insertion->text);
        done = insertion->offset;
    }
    buffer_append(&buffer, rewriter->text + done, end - done);
    rewriter->statements = grow(rewriter->arena, rewriter->statements, rewriter->statement_count,
                                &rewriter->statement_capacity, sizeof(*rewriter->statements));
    rewriter->statements[rewriter->statement_count++] =
        (struct statement){arena_strdup(rewriter->arena, buffer_string(&buffer)), line};
}

static int rewrite_tree(struct rewriter *rewriter, const char *tree_text, struct error *err)
{
    json_error_t json_error;
    json_t *tree = json_loads(tree_text, JSON_ALLOW_NUL, &json_error);
    if (!tree)
        return error_set(err, ERROR_INTERNAL, "cannot read the parser's answer: %s",
                         json_error.text);
    int r = 0;
    size_t i, length = strlen(rewriter->original);
    json_t *item;
    json_array_foreach(json_object_get(tree, "stmts"), i, item)
    {
        json_t *first = json_object_get(item, "stmt");
        void *member = first ? json_object_iter(first) : NULL;
        if (!member)
            continue;
        struct parsed statement = {
            .node = json_object_iter_value(member),
            .kind = json_object_iter_key(member),
            .start = get_offset(item, "stmt_location"),
        };
        size_t statement_length = get_offset(item, "stmt_len");
        statement.end = statement_length ? statement.start + statement_length : length;
        token_scan(rewriter->arena, rewriter->original, statement.start, statement.end,
                   &statement.tokens);
        rewriter->insertion_count = 0;
        if ((r = rewrite_statement(rewriter, &statement, err)) < 0)
            break;
        keep_statement(rewriter, &statement);
    }
    json_decref(tree);
    return r;
}

int isolation_rewrite_migration(struct arena *arena, const char *sql,
                                bool (*is_shaped_callback)(void *context, const char *table),
                                void *context, struct rewrite *ret, struct error *err)
{
    if (strlen(sql) > MAX_MIGRATION)
        return error_set(err, ERROR_LIMIT, "a migration is longer than %d bytes", MAX_MIGRATION);
    PgQueryParseResult parsed = pg_query_parse(sql);
    struct rewriter rewriter = {
        .arena = arena,
        .original = sql,
        .text = arena_strdup(arena, sql),
        .is_shaped = is_shaped_callback,
        .context = context,
    };
    int r;
    if (parsed.error) {
        size_t offset = parsed.error->cursorpos > 0 ? (size_t)parsed.error->cursorpos - 1 : 0;
        r = error_set(err, ERROR_MIGRATION, "line %d: %s", line_of(sql, offset),
                      parsed.error->message);
        error_sqlstate(err, "42601");
        if (strchr(sql, '\\'))
            error_hint(err, "A migration is plain SQL; commands of psql (\\...) do not work.");
    } else {
        r = rewrite_tree(&rewriter, parsed.parse_tree, err);
    }
    pg_query_free_parse_result(parsed);
    if (r < 0)
        return r;
    *ret = (struct rewrite){
        .statement_count = rewriter.statement_count,
        .statements = rewriter.statements,
        .key_count = rewriter.key_count,
        .keys = rewriter.keys,
    };
    return 0;
}

/* ---- names, as makeObjectName and ChooseForeignKeyConstraintNameAddition make them ---- */

/* The longest prefix of at most `length` bytes that ends at a whole character. */
static size_t clip(const char *text, size_t length)
{
    if (strlen(text) <= length)
        return strlen(text);
    while (length > 0 && ((unsigned char)text[length] & 0xC0) == 0x80)
        length--;
    return length;
}

const char *isolation_foreign_key_name(struct arena *arena, const struct foreign_key *key,
                                       unsigned int pass)
{
    _cleanup_buffer_ struct buffer columns = BUFFER_INIT(4 * NAME_SIZE);
    for (size_t i = 0; i < key->column_count && columns.length < NAME_SIZE; i++) {
        if (i > 0)
            buffer_append_byte(&columns, '_');
        buffer_append(&columns, key->columns[i], clip(key->columns[i], NAME_SIZE - 1));
    }
    const char *label = pass == 0 ? "fkey" : arena_printf(arena, "fkey%u", pass);
    size_t available = NAME_SIZE - 1 - (strlen(label) + 2);
    size_t table = strlen(key->table), addition = columns.length;
    while (table + addition > available) {
        if (table > addition)
            table--;
        else
            addition--;
    }
    table = clip(key->table, table);
    addition = clip(buffer_string(&columns), addition);
    return arena_printf(arena, "%.*s_%.*s_%s", (int)table, key->table, (int)addition,
                        buffer_string(&columns), label);
}
