/*
 * plant.c - putting rows into tables that nobody has described.
 *
 * Columns that need a value get one by their type; what refers to another table gets whatever row
 * is there; text gets the secret, which is digits alone, so that no rule about upper and lower case
 * changes it. CHECK constraints cannot be known: several forms of values are tried. Tables that
 * refuse all of them stay empty, and the report names them.
 */
#include "attack/internal.h"
#include "pg/quote.h"
#include "sql/statements.h"

enum { VARIANTS = 6, STRATEGIES = 2, PASSES = 4 };

struct plant_column {
    const char *name, *type, *base, *category;
    int64_t maximum; /* characters; 0: any number */
    bool needed, tenant, free_text;
    const char *label;                     /* of an enum */
    const char *refers_to, *refers_column; /* NULL: to nothing */
};

/* ---- values ---- */

/* The secret in a form that rules about texts may ask for; NULL when it does not fit. */
static const char *text_value(struct arena *arena, const struct plant_column *column,
                              const char *secret, int variant)
{
    static const char *const forms[VARIANTS] = {
        "%s", "x%s", "%s@example.com", "https://%s.example.com/", "+%s", "X-%s",
    };
    _cleanup_buffer_ struct buffer text = BUFFER_INIT(256);
    const char *form = forms[variant];
    const char *at = strstr(form, "%s");
    buffer_append(&text, form, (size_t)(at - form));
    buffer_append_string(&text, secret);
    buffer_append_string(&text, at + 2);
    if (column->maximum == 0 || (int64_t)text.length <= column->maximum)
        return arena_strdup(arena, buffer_string(&text));
    return NULL;
}

static const char *short_text(struct arena *arena, const struct plant_column *column,
                              const char *secret, int variant)
{
    const char *from = variant % 2 == 0 ? secret : "abcdefghijklmnopqrstuvwxyz";
    size_t length = strlen(from);
    return arena_strndup(arena, from,
                         (size_t)column->maximum < length ? (size_t)column->maximum : length);
}

static const char *named_value(struct arena *arena, const char *base, const char *secret)
{
    const struct {
        const char *base, *value;
    } values[] = {
        {"json", arena_printf(arena, "{\"note\": \"%s\"}", secret)},
        {"jsonb", arena_printf(arena, "{\"note\": \"%s\"}", secret)},
        {"uuid", arena_printf(arena, "%.8s-%.4s-4000-8000-%.12s", secret, secret + 8, secret + 8)},
        {"bytea", "\\x00"},
        {"xml", "<note/>"},
        {"tsvector", "note"},
        {"point", "(0,0)"},
        {"macaddr", "08:00:2b:01:02:03"},
        {"cidr", "127.0.0.0/8"},
        {"bit", "0"},
        {"varbit", "0"},
        {"hstore", "a=>b"},
    };
    for (size_t i = 0; i < array_size(values); i++)
        if (strcmp(values[i].base, base) == 0)
            return values[i].value;
    return NULL;
}

static const char *category_value(const char *category, int variant)
{
    static const struct {
        char category;
        const char *values[VARIANTS];
    } rows[] = {
        {'N', {"1", "10", "0", "100", "2", "1000"}},
        {'D', {"now", "2001-02-03", "2030-01-01", "now", "now", "now"}},
        {'T', {"1 day", "1 hour", "1 month", "1 day", "1 day", "1 day"}},
        {'B', {"true", "false", "true", "true", "true", "true"}},
        {'I', {"127.0.0.1", "::1", "127.0.0.1", "127.0.0.1", "127.0.0.1", "127.0.0.1"}},
        {'A', {"{}", "{}", "{}", "{}", "{}", "{}"}},
        {'R', {"empty", "empty", "empty", "empty", "empty", "empty"}},
    };
    for (size_t i = 0; i < array_size(rows); i++)
        if (rows[i].category == category[0])
            return rows[i].values[variant];
    return NULL;
}

/* The value as SQL; NULL when there is none. *ret_secret: the secret stands in it. */
static const char *column_value(struct arena *arena, const struct plant_column *column,
                                const char *schema, const char *secret, int variant,
                                bool *ret_secret)
{
    *ret_secret = false;
    if (column->refers_to)
        return arena_printf(arena, "(SELECT %s FROM %s LIMIT 1)",
                            pg_identifier(arena, column->refers_column),
                            pg_qualified(arena, schema, column->refers_to));
    const char *value = column->label;
    if (!value && column->category[0] == 'S') {
        value = text_value(arena, column, secret, variant);
        *ret_secret = value != NULL;
        if (!value)
            value = short_text(arena, column, secret, variant);
    }
    if (!value)
        value = named_value(arena, column->base, secret);
    if (!value)
        value = category_value(column->category, variant);
    return value ? arena_printf(arena, "%s::%s", pg_literal(arena, value), column->type) : NULL;
}

static bool takes_part(const struct plant_column *column, int strategy)
{
    return !column->tenant &&
           (column->needed || (strategy == 0 && column->free_text && !column->refers_to));
}

/* ---- an INSERT ---- */

struct insert {
    struct buffer names, values;
    const char *secret_column; /* the first one that the secret stands in */
};

/* `without`: a column that is left out; NULL: none. */
static void insert_make(struct arena *arena, const struct plant_table *table, const char *schema,
                        const char *secret, int variant, int strategy, const char *without,
                        struct insert *ret)
{
    for (size_t i = 0; i < table->column_count; i++) {
        const struct plant_column *column = &table->columns[i];
        bool has_secret;
        if (!takes_part(column, strategy) || (without && strcmp(without, column->name) == 0))
            continue;
        const char *value = column_value(arena, column, schema, secret, variant, &has_secret);
        if (!value)
            continue;
        const char *comma = ret->names.length > 0 ? ", " : "";
        buffer_printf(&ret->names, "%s%s", comma, pg_identifier(arena, column->name));
        buffer_printf(&ret->values, "%s%s", comma, value);
        if (has_secret && !ret->secret_column)
            ret->secret_column = column->name;
    }
}

static void insert_free(struct insert *insert)
{
    buffer_free(&insert->names);
    buffer_free(&insert->values);
}
#define _cleanup_insert_ _cleanup_(insert_free)
#define INSERT_INIT                                                                                \
    ((struct insert){.names = BUFFER_INIT(ATTACK_TEXT_MAX), .values = BUFFER_INIT(ATTACK_TEXT_MAX)})

static const char *insert_text(struct arena *arena, const struct plant_table *table,
                               const char *schema, const struct insert *insert)
{
    const char *name = pg_qualified(arena, schema, table->name);
    if (insert->names.length == 0)
        return arena_printf(arena, "INSERT INTO %s DEFAULT VALUES", name);
    return arena_printf(arena, "INSERT INTO %s (%s) VALUES (%s)", name,
                        buffer_string(&insert->names), buffer_string(&insert->values));
}

static void add_value(struct arena *arena, struct insert *insert, const char *column,
                      const char *value)
{
    const char *comma = insert->names.length > 0 ? ", " : "";
    buffer_printf(&insert->names, "%s%s", comma, pg_identifier(arena, column));
    buffer_printf(&insert->values, "%s%s", comma, value);
}

const char *plant_insert(struct arena *arena, const struct plant_table *table, const char *schema,
                         const char *secret, int64_t tenant_id)
{
    _cleanup_insert_ struct insert insert = INSERT_INIT;
    insert_make(arena, table, schema, secret, table->variant, table->strategy, NULL, &insert);
    if (tenant_id != 0)
        add_value(arena, &insert, "tenant_id", arena_printf(arena, "%lld", (long long)tenant_id));
    return insert_text(arena, table, schema, &insert);
}

const char *plant_insert_with(struct arena *arena, const struct plant_table *table,
                              const char *schema, const char *secret, const char *column,
                              const char *value)
{
    _cleanup_insert_ struct insert insert = INSERT_INIT;
    insert_make(arena, table, schema, secret, table->variant, table->strategy, column, &insert);
    add_value(arena, &insert, column, value);
    return arena_printf(arena, "INSERT INTO %s (%s) OVERRIDING SYSTEM VALUE VALUES (%s)",
                        pg_qualified(arena, schema, table->name), buffer_string(&insert.names),
                        buffer_string(&insert.values));
}

/* ---- reading the tables ---- */

static void read_column(const struct pg_result *rows, size_t row, struct arena *arena,
                        struct plant_column *ret)
{
    *ret = (struct plant_column){
        .name = pg_text_copy(rows, row, 1, arena),
        .type = pg_text_copy(rows, row, 2, arena),
        .base = pg_text_copy(rows, row, 3, arena),
        .category = pg_text_copy(rows, row, 4, arena),
        .maximum = pg_i64(rows, row, 5),
        .needed = pg_bool(rows, row, 6),
        .tenant = pg_bool(rows, row, 7),
        .label = pg_text_copy(rows, row, 8, arena),
        .refers_to = pg_text_copy(rows, row, 9, arena),
        .refers_column = pg_text_copy(rows, row, 10, arena),
        .free_text = pg_bool(rows, row, 11),
    };
}

static struct plant_table *table_of(struct plant *plant, const char *name)
{
    for (size_t i = 0; i < plant->count; i++)
        if (strcmp(plant->tables[i].name, name) == 0)
            return &plant->tables[i];
    return NULL;
}

static int read_tables(struct attack_stage *stage, struct pg_connection *victim, struct error *err)
{
    _cleanup_pg_result_ struct pg_result *rows = NULL;
    struct plant *plant = &stage->plant;
    const char *schema = stage->victim.place->isolated.schema;
    int result = pg_query(victim, sql_attack_columns, 1, &schema, &rows, err);
    if (result < 0)
        return result;
    size_t count = pg_rows(rows);
    struct plant_column *columns = arena_zalloc(stage->arena, (count + 1) * sizeof(*columns));
    plant->tables = arena_zalloc(stage->arena, (count + 1) * sizeof(*plant->tables));
    plant->order = arena_zalloc(stage->arena, (count + 1) * sizeof(struct plant_table *));
    for (size_t i = 0; i < count; i++) {
        const char *name = pg_text(rows, i, 0);
        struct plant_table *table =
            plant->count > 0 && strcmp(plant->tables[plant->count - 1].name, name) == 0
                ? &plant->tables[plant->count - 1]
                : &plant->tables[plant->count++];
        if (!table->name) {
            table->name = arena_strdup(stage->arena, name);
            table->columns = &columns[i];
        }
        read_column(rows, i, stage->arena, &columns[i]);
        table->column_count++;
        table->has_tenant |= columns[i].tenant;
        table->needs += columns[i].needed && columns[i].refers_to;
    }
    return 0;
}

/* ---- filling them ---- */

static int insert_row(struct pg_connection *connection, const char *sql, char *ret_failure,
                      size_t size, struct error *err)
{
    struct error own = {0};
    int result = pg_execute(connection, sql, 0, NULL, NULL, &own);
    if (result == 0)
        return 1;
    if (result == -ERROR_CANCELLED || pg_is_broken(connection)) {
        *err = own;
        return result;
    }
    snprintf(ret_failure, size, "%s %s", own.sqlstate, own.message);
    return 0;
}

/* 1 when it went in. */
static int fill(struct attack_stage *stage, struct pg_connection *victim, struct plant_table *table,
                struct error *err)
{
    const char *schema = stage->victim.place->isolated.schema;
    for (int strategy = 0; strategy < STRATEGIES; strategy++)
        for (int variant = 0; variant < VARIANTS; variant++) {
            _cleanup_arena_ struct arena arena = {0};
            _cleanup_insert_ struct insert insert = INSERT_INIT;
            insert_make(&arena, table, schema, stage->victim.secret, variant, strategy, NULL,
                        &insert);
            int result = insert_row(victim, insert_text(&arena, table, schema, &insert),
                                    table->failure, sizeof(table->failure), err);
            if (result == 0)
                continue;
            table->variant = variant;
            table->strategy = strategy;
            table->secret_column = insert.secret_column;
            return result;
        }
    return 0;
}

static int fill_all(struct attack_stage *stage, struct pg_connection *victim, struct error *err)
{
    struct plant *plant = &stage->plant;
    size_t before = (size_t)-1;
    /* What refers to a table that comes later is tried again. */
    for (int pass = 0; pass < PASSES && plant->filled != before; pass++) {
        before = plant->filled;
        for (size_t i = 0; i < plant->count; i++) {
            struct plant_table *table = &plant->tables[i];
            int result = table->filled ? 0 : fill(stage, victim, table, err);
            if (result < 0)
                return result;
            if (result == 0)
                continue;
            table->filled = true;
            plant->order[plant->filled++] = table;
        }
    }
    return 0;
}

/* The attacker's own rows of the same shape; a table that takes none is of no use to attacks. */
static int fill_attackers(struct attack_stage *stage, struct pg_connection *attacker,
                          struct error *err)
{
    const char *schema = stage->attacker.place->isolated.schema;
    char failure[200];
    for (size_t i = 0; i < stage->plant.filled; i++) {
        _cleanup_arena_ struct arena arena = {0};
        struct plant_table *table = stage->plant.order[i];
        const char *sql = plant_insert(&arena, table, schema, stage->attacker.secret, 0);
        int result = insert_row(attacker, sql, failure, sizeof(failure), err);
        if (result < 0)
            return result;
        if (result == 0)
            table->secret_column = NULL;
    }
    return 0;
}

/* ---- choosing ---- */

static void choose_table(struct plant *plant)
{
    for (size_t i = 0; i < plant->filled; i++) {
        struct plant_table *table = plant->order[i];
        /* Attack texts stand between $$. */
        if (!table->secret_column || strchr(table->name, '$') || strchr(table->secret_column, '$'))
            continue;
        if (!plant->chosen || table->needs < plant->chosen->needs)
            plant->chosen = table;
    }
}

static int choose_pair(struct attack_stage *stage, struct pg_connection *victim, struct error *err)
{
    _cleanup_pg_result_ struct pg_result *rows = NULL;
    struct plant *plant = &stage->plant;
    const char *schema = stage->victim.place->isolated.schema;
    int result = pg_query(victim, sql_attack_pairs, 1, &schema, &rows, err);
    for (size_t i = 0; result == 0 && !plant->child && i < pg_rows(rows); i++) {
        struct plant_table *child = table_of(plant, pg_text(rows, i, 0));
        struct plant_table *parent = table_of(plant, pg_text(rows, i, 2));
        if (!child || !parent || !child->filled || !parent->filled || !child->has_tenant)
            continue;
        plant->child = child;
        plant->parent = parent;
        plant->child_column = pg_text_copy(rows, i, 1, stage->arena);
        plant->parent_column = pg_text_copy(rows, i, 3, stage->arena);
    }
    return result;
}

/* A column list and values for statements of another form than INSERT ... VALUES. */
static void add_forgery(struct attack_stage *stage, const char *schema)
{
    struct arena *arena = stage->arena;
    const struct plant_table *table = stage->plant.chosen;
    int64_t id = stage->victim.tenant_id;
    char forged[ATTACK_SECRET_SIZE];
    _cleanup_insert_ struct insert insert = INSERT_INIT;
    words_random_digits(forged);
    insert_make(arena, table, schema, forged, table->variant, table->strategy, NULL, &insert);
    words_add(stage, "forge_columns", arena_strdup(arena, buffer_string(&insert.names)), false);
    words_add(stage, "forge_values", arena_strdup(arena, buffer_string(&insert.values)), false);
    words_add(stage, "forge", plant_insert(arena, table, schema, forged, id), false);
    words_add(stage, "forge_same", plant_insert(arena, table, schema, stage->victim.secret, id),
              false);
    words_add(stage, "own_same", plant_insert(arena, table, schema, stage->victim.secret, 0),
              false);
}

/* Attacks that need a table say so by these, and are skipped. */
static void no_words(struct attack_stage *stage)
{
    static const char *const names[] = {
        "table",    "table_name",      "own_table",    "victim_table", "column",
        "sequence", "victim_sequence", "unique",       "forge",        "forge_same",
        "own_same", "forge_columns",   "forge_values",
    };
    for (size_t i = 0; i < array_size(names); i++)
        words_add(stage, names[i], NULL, false);
}

static int add_words(struct attack_stage *stage, struct pg_connection *victim, struct error *err)
{
    struct arena *arena = stage->arena;
    const struct plant_table *table = stage->plant.chosen;
    const char *victims = stage->victim.place->isolated.schema;
    const char *own = stage->attacker.place->isolated.schema;
    if (!table) {
        no_words(stage);
        return 0;
    }
    _cleanup_pg_result_ struct pg_result *facts = NULL;
    int result = pg_query(victim, sql_attack_table_facts, 2,
                          (const char *const[]){victims, table->name}, &facts, err);
    if (result < 0)
        return result;
    const char *sequence = pg_text_copy(facts, 0, 0, arena);
    words_add(stage, "table", pg_identifier(arena, table->name), false);
    words_add(stage, "table_name", table->name, true);
    words_add(stage, "own_table", pg_qualified(arena, own, table->name), false);
    words_add(stage, "victim_table", pg_qualified(arena, victims, table->name), false);
    words_add(stage, "column", table->secret_column, true);
    words_add(stage, "sequence", sequence ? pg_qualified(arena, own, sequence) : NULL, false);
    words_add(stage, "victim_sequence", sequence ? pg_qualified(arena, victims, sequence) : NULL,
              false);
    words_add(stage, "unique", pg_text_copy(facts, 0, 1, arena), true);
    add_forgery(stage, own);
    return 0;
}

/* ---- the victim's rows as one text ---- */

static void make_digest(struct attack_stage *stage)
{
    _cleanup_buffer_ struct buffer sql = BUFFER_INIT(8 * ATTACK_TEXT_MAX);
    struct arena *arena = stage->arena;
    const struct plant *plant = &stage->plant;
    const char *schema = stage->victim.place->isolated.schema;
    /* The mark stands in front, as the server shows but the beginning of a query. */
    buffer_printf(&sql,
                  "/* %s */ SELECT pg_catalog.array_to_string(ARRAY[session_user::text,"
                  " current_user::text",
                  stage->activity);
    for (size_t i = 0; i < plant->count; i++) {
        buffer_append_string(&sql, ", (SELECT pg_catalog.md5(pg_catalog.string_agg(t::text, ''"
                                   " ORDER BY t::text)) FROM ");
        buffer_append_string(&sql, pg_qualified(arena, schema, plant->tables[i].name));
        buffer_append_string(&sql, " t");
        if (plant->tables[i].has_tenant)
            buffer_printf(&sql, " WHERE t.tenant_id = %lld", (long long)stage->victim.tenant_id);
        buffer_append_string(&sql, ")");
    }
    buffer_append_string(&sql, "], ' ', '-')");
    stage->digest_sql = arena_strdup(arena, buffer_string(&sql));
}

int plant_rows(struct attack_stage *stage, struct pg_connection *victim,
               struct pg_connection *attacker, struct error *err)
{
    int result = read_tables(stage, victim, err);
    if (result == 0)
        result = fill_all(stage, victim, err);
    if (result == 0)
        result = fill_attackers(stage, attacker, err);
    if (result < 0)
        return result;
    choose_table(&stage->plant);
    result = choose_pair(stage, victim, err);
    if (result == 0)
        result = add_words(stage, victim, err);
    if (result == 0)
        make_digest(stage);
    return result;
}
