#include "move/apply.h"

#include "base/buffer.h"
#include "base/failpoint.h"
#include "change/pgoutput.h"
#include "pg/quote.h"
#include "pg/stream.h"
#include "sql/statements.h"

enum { STATEMENT_MAX = 1 << 20, PENDING_MAX = 1000 };

#define MARKER_PREFIX "reeve"

/* A table as the stream tells it. */
struct relation {
    struct relation *next;
    uint32_t id;
    struct arena arena;
    const char *table; /* quoted, with its schema */
    size_t count;
    const char **columns; /* quoted */
    bool *keys;
    bool has_key;
};

struct applier {
    struct pg_connection *owner;
    const struct isolation_placement *target;
    const struct isolation_placement *source;
    struct pgoutput_decoder *decoder;
    struct relation *relations;
    struct arena values; /* of the change at hand */
    int64_t move_id;
    const char *marker;
    uint64_t lsn;         /* committed on the target */
    uint64_t pending_lsn; /* of the last whole transaction that was taken */
    size_t pending;       /* changes that are not committed */
    bool within;          /* a transaction of the source */
    bool passing;         /* which was applied before */
    bool marking;         /* which has the marker */
    bool marked;
};

/* ---- how far ---- */

static int read_progress(struct applier *applier, struct error *err)
{
    const char *id = pg_from_i64(&applier->values, applier->move_id);
    _cleanup_pg_result_ struct pg_result *result = NULL;
    int r = pg_query(applier->owner, sql_move_progress_select, 1, &id, &result, err);
    if (r < 0)
        return r;
    if (pg_rows(result) == 0 || !pg_lsn_parse(pg_text(result, 0, 0), &applier->lsn))
        return error_set(err, ERROR_STATE, "nothing says how far move %lld was applied",
                         (long long)applier->move_id);
    applier->pending_lsn = applier->lsn;
    return 0;
}

static int write_progress(struct applier *applier, struct error *err)
{
    char lsn[PG_LSN_SIZE];
    pg_lsn_format(applier->pending_lsn, lsn);
    const char *const parameters[] = {pg_from_i64(&applier->values, applier->move_id), lsn};
    return pg_execute(applier->owner, sql_move_progress_set, 2, parameters, NULL, err);
}

/* ---- open and free ---- */

int applier_open(const struct moving *moving, struct applier **ret, struct error *err)
{
    struct applier *applier = xcalloc(1, sizeof(*applier));
    arena_init(&applier->values, 0);
    applier->decoder = pgoutput_decoder_new();
    applier->target = &moving->to->isolated;
    applier->source = &moving->from->isolated;
    applier->move_id = moving->move.id;
    applier->marker = "";
    int r = moving_open(moving->to, &applier->owner, err);
    if (r == 0)
        r = read_progress(applier, err);
    if (r < 0) {
        applier_free(applier);
        return r;
    }
    *ret = applier;
    return 0;
}

static void free_relation(struct relation *relation)
{
    arena_reset(&relation->arena);
    free(relation);
}

struct applier *applier_free(struct applier *applier)
{
    if (!applier)
        return NULL;
    while (applier->relations) {
        struct relation *relation = applier->relations;
        applier->relations = relation->next;
        free_relation(relation);
    }
    pgoutput_decoder_free(applier->decoder);
    pg_close(applier->owner);
    arena_reset(&applier->values);
    free(applier);
    return NULL;
}

/* ---- tables ---- */

static struct relation *find_relation(struct applier *applier, uint32_t id)
{
    for (struct relation *relation = applier->relations; relation; relation = relation->next)
        if (relation->id == id)
            return relation;
    return NULL;
}

static struct relation *must_find(struct applier *applier, uint32_t id, struct error *err)
{
    struct relation *relation = find_relation(applier, id);
    if (!relation)
        error_set(err, ERROR_PROTOCOL, "a change of a table that the stream has not told of");
    return relation;
}

static void forget_relation(struct applier *applier, uint32_t id)
{
    for (struct relation **at = &applier->relations; *at; at = &(*at)->next) {
        if ((*at)->id != id)
            continue;
        struct relation *relation = *at;
        *at = relation->next;
        free_relation(relation);
        return;
    }
}

static int learn(struct applier *applier, const struct pgoutput_message *message, struct error *err)
{
    if (strcmp(message->schema, applier->source->schema) != 0)
        return error_set(err, ERROR_PROTOCOL, "the stream tells of a table in schema \"%s\"",
                         message->schema);
    forget_relation(applier, message->relation);
    struct relation *relation = xcalloc(1, sizeof(*relation));
    arena_init(&relation->arena, 0);
    relation->id = message->relation;
    relation->table = arena_strdup(
        &relation->arena, pg_qualified(&relation->arena, applier->target->schema, message->name));
    relation->count = message->column_count;
    relation->columns =
        arena_zalloc(&relation->arena, (relation->count + 1) * sizeof(*relation->columns));
    relation->keys = arena_zalloc(&relation->arena, (relation->count + 1) * sizeof(bool));
    for (size_t i = 0; i < relation->count; i++) {
        relation->columns[i] = pg_identifier(&relation->arena, message->columns[i].name);
        relation->keys[i] = message->columns[i].is_key;
        relation->has_key |= message->columns[i].is_key;
    }
    relation->next = applier->relations;
    applier->relations = relation;
    return 0;
}

/* ---- statements ---- */

/* A statement while it is written. */
struct change {
    struct buffer sql;
    struct arena *values;
    const char **parameters;
    int count;
};

static void change_begin(struct change *change, struct applier *applier, size_t columns)
{
    arena_reset(&applier->values);
    arena_init(&applier->values, 0);
    *change = (struct change){.sql = BUFFER_INIT(STATEMENT_MAX), .values = &applier->values};
    change->parameters =
        arena_zalloc(&applier->values, (2 * columns + 2) * sizeof(*change->parameters));
}

static void put_value(struct change *change, const struct pgoutput_value *value)
{
    change->parameters[change->count++] =
        value->kind == PGOUTPUT_NULL
            ? NULL
            : arena_strndup(change->values, value->bytes.data, value->bytes.length);
    buffer_printf(&change->sql, "$%d", change->count);
}

static void put_key(struct change *change, const struct relation *relation,
                    const struct pgoutput_tuple *tuple)
{
    const char *word = " WHERE ";
    for (size_t i = 0; i < relation->count; i++) {
        if (!relation->keys[i])
            continue;
        buffer_printf(&change->sql, "%s%s = ", word, relation->columns[i]);
        put_value(change, &tuple->values[i]);
        word = " AND ";
    }
}

static void put_columns(struct change *change, const struct relation *relation)
{
    for (size_t i = 0; i < relation->count; i++)
        buffer_printf(&change->sql, "%s%s", i ? ", " : "", relation->columns[i]);
}

static int run(struct applier *applier, struct change *change, const struct relation *relation,
               struct error *err)
{
    int64_t rows = 0;
    int r = change->sql.failed
                ? error_set(err, ERROR_LIMIT, "table %s has too many columns", relation->table)
                : pg_execute(applier->owner, buffer_string(&change->sql), change->count,
                             change->parameters, &rows, err);
    buffer_free(&change->sql);
    if (r < 0) {
        error_detail(err, "%s", ""); /* which may show a row */
        error_prefix(err, "table %s", relation->table);
        return r;
    }
    applier->pending++;
    if (rows == 1)
        return 0;
    return error_set(err, ERROR_STATE, "table %s has %lld rows where one was to change",
                     relation->table, (long long)rows);
}

static int check_tuple(const struct relation *relation, const struct pgoutput_tuple *tuple,
                       struct error *err)
{
    if (tuple->count == relation->count)
        return 0;
    return error_set(err, ERROR_MIGRATION, "table %s was changed", relation->table);
}

static int insert(struct applier *applier, const struct relation *relation,
                  const struct pgoutput_tuple *row, struct error *err)
{
    struct change change;
    change_begin(&change, applier, relation->count);
    buffer_printf(&change.sql, "INSERT INTO %s (", relation->table);
    put_columns(&change, relation);
    buffer_append_string(&change.sql, ") OVERRIDING SYSTEM VALUE VALUES (");
    for (size_t i = 0; i < relation->count; i++) {
        buffer_append_string(&change.sql, i ? ", " : "");
        put_value(&change, &row->values[i]);
    }
    buffer_append_string(&change.sql, ")");
    return run(applier, &change, relation, err);
}

static int delete (struct applier *applier, const struct relation *relation,
                   const struct pgoutput_tuple *key, struct error *err)
{
    struct change change;
    change_begin(&change, applier, relation->count);
    buffer_printf(&change.sql, "DELETE FROM %s", relation->table);
    put_key(&change, relation, key);
    return run(applier, &change, relation, err);
}

/*
 * The row is replaced as a whole: that says a new key and what is GENERATED ALWAYS, which UPDATE
 * cannot set, and keeps the values that the stream does not tell, as they were not changed.
 */
static int replace(struct applier *applier, const struct relation *relation,
                   const struct pgoutput_tuple *key, const struct pgoutput_tuple *row,
                   struct error *err)
{
    struct change change;
    change_begin(&change, applier, relation->count);
    buffer_printf(&change.sql, "WITH old AS (DELETE FROM %s", relation->table);
    put_key(&change, relation, key);
    buffer_printf(&change.sql, " RETURNING *) INSERT INTO %s (", relation->table);
    put_columns(&change, relation);
    buffer_append_string(&change.sql, ") OVERRIDING SYSTEM VALUE SELECT ");
    for (size_t i = 0; i < relation->count; i++) {
        buffer_append_string(&change.sql, i ? ", " : "");
        if (row->values[i].kind == PGOUTPUT_UNCHANGED)
            buffer_printf(&change.sql, "old.%s", relation->columns[i]);
        else
            put_value(&change, &row->values[i]);
    }
    buffer_append_string(&change.sql, " FROM old");
    return run(applier, &change, relation, err);
}

/* The key stays: it need not be set, and rows that are updated often stay where they are. */
static int update(struct applier *applier, const struct relation *relation,
                  const struct pgoutput_tuple *row, struct error *err)
{
    struct change change;
    bool first = true;
    change_begin(&change, applier, relation->count);
    buffer_printf(&change.sql, "UPDATE %s SET ", relation->table);
    for (size_t i = 0; i < relation->count; i++) {
        if (relation->keys[i] || row->values[i].kind == PGOUTPUT_UNCHANGED)
            continue;
        buffer_printf(&change.sql, "%s%s = ", first ? "" : ", ", relation->columns[i]);
        put_value(&change, &row->values[i]);
        first = false;
    }
    if (first) { /* nothing but its key, which is the same */
        buffer_free(&change.sql);
        return 0;
    }
    put_key(&change, relation, row);
    return run(applier, &change, relation, err);
}

static int truncate(struct applier *applier, const struct pgoutput_message *message,
                    struct error *err)
{
    int r = 0;
    for (size_t i = 0; r == 0 && i < message->relation_count; i++) {
        const struct relation *relation = must_find(applier, message->relations[i], err);
        if (!relation)
            return -ERROR_PROTOCOL;
        _cleanup_buffer_ struct buffer sql = BUFFER_INIT(STATEMENT_MAX);
        buffer_printf(&sql, "DELETE FROM ONLY %s", relation->table); /* of this tenant's, by RLS */
        r = pg_execute(applier->owner, buffer_string(&sql), 0, NULL, NULL, err);
        applier->pending++;
    }
    return r;
}

/* ---- messages ---- */

static int begin_target(struct applier *applier, struct error *err)
{
    return pg_in_transaction(applier->owner) ? 0 : pg_begin(applier->owner, err);
}

static int take_row(struct applier *applier, const struct pgoutput_message *message,
                    struct error *err)
{
    const struct relation *relation = must_find(applier, message->relation, err);
    if (!relation)
        return -ERROR_PROTOCOL;
    const struct pgoutput_tuple *old = &message->old_tuple, *new = &message->new_tuple;
    if (message->kind != PGOUTPUT_INSERT && !relation->has_key)
        return error_set(err, ERROR_STATE, "table %s has no key", relation->table);
    int r = begin_target(applier, err);
    if (r == 0 && message->kind != PGOUTPUT_DELETE)
        r = check_tuple(relation, new, err);
    if (r == 0 && message->old_kind)
        r = check_tuple(relation, old, err);
    if (r < 0)
        return r;
    if (message->kind == PGOUTPUT_INSERT)
        return insert(applier, relation, new, err);
    if (message->kind == PGOUTPUT_DELETE)
        return delete (applier, relation, old, err);
    return message->old_kind ? replace(applier, relation, old, new, err)
                             : update(applier, relation, new, err);
}

static void take_begin(struct applier *applier, const struct pgoutput_message *message)
{
    applier->within = true;
    applier->passing = message->lsn < applier->lsn;
    applier->marking = false;
}

static int take_commit(struct applier *applier, const struct pgoutput_message *message,
                       struct error *err)
{
    applier->within = false;
    if (applier->passing)
        return 0;
    applier->pending_lsn = message->end_lsn;
    applier->marked |= applier->marking;
    return applier->pending >= PENDING_MAX ? applier_commit(applier, err) : 0;
}

static void take_message(struct applier *applier, const struct pgoutput_message *message)
{
    size_t length = strlen(applier->marker);
    applier->marking |= length > 0 && strcmp(message->name, MARKER_PREFIX) == 0 &&
                        message->content.length == length &&
                        memcmp(message->content.data, applier->marker, length) == 0;
}

int applier_take(struct applier *applier, struct str bytes, struct error *err)
{
    struct pgoutput_message message;
    int r = pgoutput_decode(applier->decoder, bytes, &message, err);
    if (r < 0)
        return r;
    switch (message.kind) {
    case PGOUTPUT_BEGIN:
        take_begin(applier, &message);
        return 0;
    case PGOUTPUT_COMMIT:
        return take_commit(applier, &message, err);
    case PGOUTPUT_RELATION:
        return learn(applier, &message, err);
    case PGOUTPUT_INSERT:
    case PGOUTPUT_UPDATE:
    case PGOUTPUT_DELETE:
        return applier->passing ? 0 : take_row(applier, &message, err);
    case PGOUTPUT_TRUNCATE:
        if (applier->passing)
            return 0;
        r = begin_target(applier, err);
        return r < 0 ? r : truncate(applier, &message, err);
    case PGOUTPUT_MESSAGE:
        take_message(applier, &message);
        return 0;
    case PGOUTPUT_ORIGIN:
    case PGOUTPUT_TYPE:
        return 0;
    case PGOUTPUT_STREAM_START:
    case PGOUTPUT_STREAM_STOP:
    case PGOUTPUT_STREAM_COMMIT:
    case PGOUTPUT_STREAM_ABORT:
        break;
    }
    return error_set(err, ERROR_PROTOCOL, "the stream tells of pieces that were not asked for");
}

int applier_commit(struct applier *applier, struct error *err)
{
    if (applier->within || applier->lsn == applier->pending_lsn)
        return 0;
    int r = begin_target(applier, err);
    if (r == 0)
        r = write_progress(applier, err);
    failpoint("move.applying");
    if (r == 0)
        r = pg_commit(applier->owner, err);
    if (r < 0)
        return r;
    applier->lsn = applier->pending_lsn;
    applier->pending = 0;
    return 0;
}

uint64_t applier_lsn(const struct applier *applier)
{
    return applier->lsn;
}

bool applier_is_clean(const struct applier *applier)
{
    return !applier->within && applier->lsn == applier->pending_lsn;
}

void applier_await(struct applier *applier, const char *marker)
{
    applier->marker = marker;
    applier->marked = applier->marking = false;
}

bool applier_is_marked(const struct applier *applier)
{
    return applier->marked;
}
