#include "move/apply.h"

#include "base/buffer.h"
#include "base/failpoint.h"
#include "change/pgoutput.h"
#include "move/pieces.h"
#include "pg/pipeline.h"
#include "pg/quote.h"
#include "pg/stream.h"
#include "sql/statements.h"

enum {
    STATEMENT_MAX = 1 << 20,
    PENDING_MAX = 1000,
    STEP_BYTES = 64 << 10,   /* of a large transaction, at once */
    MESSAGE_COST = 64,       /* of each message there, whatever its length */
    MESSAGE_MAX = 128 << 20, /* of a row that changes: a copy of its values is made */
    NAME_SIZE = 64,
};

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
    bool replaced; /* UPDATE cannot set all of its columns */
    bool marks;    /* no tenant's: what applier_await waits for */
};

struct applier {
    struct pg_connection *owner;
    struct pg_pipeline *pipeline; /* on that */
    const struct isolation_placement *target;
    const struct isolation_placement *source;
    struct pgoutput_decoder *decoder;
    struct pieces *pieces;
    struct relation *relations;
    struct arena values;      /* of the change at hand */
    char progress[NAME_SIZE]; /* a table of the target's */
    char marks[NAME_SIZE];    /* one of the source's */
    const char *marker;
    uint64_t lsn;         /* committed on the target */
    uint64_t pending_lsn; /* of the last whole transaction that was taken */
    size_t pending;       /* changes that are not committed */
    bool open;            /* a transaction of the target */
    bool within;          /* a transaction of the source */
    uint64_t stop_lsn;    /* what commits there or later is not taken; 0: all is */
    bool beyond;          /* there was such a transaction */
    bool passing;         /* which was applied before, or is beyond that */
    bool marking;         /* which has the marker */
    bool marked;
};

/* ---- how far ---- */

static int read_progress(struct applier *applier, struct error *err)
{
    _cleanup_pg_result_ struct pg_result *result = NULL;
    const char *sql = arena_printf(&applier->values, "SELECT lsn FROM reeve.%s", applier->progress);
    int r = pg_query(applier->owner, sql, 0, NULL, &result, err);
    if (r < 0)
        return r;
    if (pg_rows(result) != 1 || !pg_lsn_parse(pg_text(result, 0, 0), &applier->lsn))
        return error_set(err, ERROR_STATE, "nothing says how far the stream was applied");
    applier->pending_lsn = applier->lsn;
    return 0;
}

static int write_progress(struct applier *applier, struct error *err)
{
    char lsn[PG_LSN_SIZE];
    char sql[100];
    const char *parameter = lsn;
    pg_lsn_format(applier->pending_lsn, lsn);
    snprintf(sql, sizeof(sql), "UPDATE reeve.%s SET lsn = $1::pg_lsn", applier->progress);
    return pg_pipeline_add(applier->pipeline, sql, 1, &parameter, 1, NULL, err);
}

/* ---- open and free ---- */

int applier_open(const struct moving *moving, enum stream_way way, struct applier **ret,
                 struct error *err)
{
    struct applier *applier = xcalloc(1, sizeof(*applier));
    arena_init(&applier->values, 0);
    applier->decoder = pgoutput_decoder_new();
    applier->pieces = pieces_new();
    applier->target = &moving->to->isolated;
    applier->source = &moving->from->isolated;
    (void)str_copy(applier->progress, NAME_SIZE,
                   stream_name(&applier->values, moving->move.id, way));
    (void)str_copy(applier->marks, NAME_SIZE,
                   stream_mark_name(&applier->values, moving->move.id, way));
    applier->marker = "";
    int r = moving_open(moving->to, &applier->owner, err);
    if (r == 0)
        applier->pipeline = pg_pipeline_new(applier->owner);
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
    pieces_free(applier->pieces);
    pg_pipeline_free(applier->pipeline);
    pg_close(applier->owner);
    arena_reset(&applier->values);
    free(applier);
    return NULL;
}

/* What it was that failed. */
static int explain(struct applier *applier, int result, struct error *err)
{
    const struct relation *relation = pg_pipeline_failed(applier->pipeline);
    if (result < 0)
        error_detail(err, "%s", ""); /* which may show a row */
    if (result < 0 && relation)
        error_prefix(err, "table %s", relation->table);
    return result;
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

/* GENERATED ALWAYS AS IDENTITY, and in no key. */
static int ask_identity(struct applier *applier, const char *table, bool *ret, struct error *err)
{
    const char *const parameters[] = {applier->target->schema, table};
    _cleanup_pg_result_ struct pg_result *result = NULL;
    int r = pg_query(applier->owner, sql_move_identity, 2, parameters, &result, err);
    if (r == 0)
        *ret = pg_bool(result, 0, 0);
    return r;
}

static int learn(struct applier *applier, const struct pgoutput_message *message, struct error *err)
{
    bool marks =
        strcmp(message->schema, "reeve") == 0 && strcmp(message->name, applier->marks) == 0;
    if (!marks && strcmp(message->schema, applier->source->schema) != 0)
        return error_set(err, ERROR_PROTOCOL, "the stream tells of a table in schema \"%s\"",
                         message->schema);
    int r = explain(applier, pg_pipeline_end(applier->pipeline, err), err);
    if (r < 0)
        return r;
    forget_relation(applier, message->relation);
    struct relation *relation = xcalloc(1, sizeof(*relation));
    arena_init(&relation->arena, 0);
    relation->id = message->relation;
    relation->marks = marks;
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
    return marks ? 0 : ask_identity(applier, message->name, &relation->replaced, err);
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
    int r = change->sql.failed
                ? error_set(err, ERROR_LIMIT, "table %s has too many columns", relation->table)
                : pg_pipeline_add(applier->pipeline, buffer_string(&change->sql), change->count,
                                  change->parameters, 1, relation, err);
    buffer_free(&change->sql);
    applier->pending++;
    return explain(applier, r, err);
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
        r = pg_pipeline_add(applier->pipeline, buffer_string(&sql), 0, NULL, PG_ANY_ROWS, relation,
                            err);
        applier->pending++;
    }
    return r;
}

/* ---- messages ---- */

static int begin_target(struct applier *applier, struct error *err)
{
    int r = applier->open
                ? 0
                : pg_pipeline_add(applier->pipeline, "BEGIN", 0, NULL, PG_ANY_ROWS, NULL, err);
    applier->open = true;
    return r;
}

static int take_mark(struct applier *applier, const struct pgoutput_message *message,
                     struct error *err)
{
    const struct pgoutput_tuple *row = &message->new_tuple;
    if (message->kind != PGOUTPUT_INSERT || row->count != 1)
        return error_set(err, ERROR_PROTOCOL, "table reeve.%s has changed in another way",
                         applier->marks);
    const struct str mark = row->values[0].bytes;
    applier->marking |= mark.length > 0 && mark.length == strlen(applier->marker) &&
                        memcmp(mark.data, applier->marker, mark.length) == 0;
    return 0;
}

static int take_row(struct applier *applier, const struct pgoutput_message *message,
                    struct error *err)
{
    const struct relation *relation = must_find(applier, message->relation, err);
    if (!relation)
        return -ERROR_PROTOCOL;
    const struct pgoutput_tuple *old = &message->old_tuple, *new = &message->new_tuple;
    if (relation->marks)
        return take_mark(applier, message, err);
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
    if (message->old_kind || relation->replaced)
        return replace(applier, relation, message->old_kind ? old : new, new, err);
    return update(applier, relation, new, err);
}

static void take_begin(struct applier *applier, const struct pgoutput_message *message)
{
    applier->within = true;
    applier->beyond |= applier->stop_lsn > 0 && message->lsn >= applier->stop_lsn;
    applier->passing = applier->beyond || message->lsn < applier->lsn;
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

static int refuse_row(struct error *err)
{
    return error_set(err, ERROR_LIMIT, "a row of more than %d MB was written", MESSAGE_MAX >> 20);
}

/* What comes outside of pieces, or was in one. */
static int take_plain(struct applier *applier, const struct pgoutput_message *message,
                      struct error *err)
{
    int r = 0;
    switch (message->kind) {
    case PGOUTPUT_BEGIN:
        take_begin(applier, message);
        return 0;
    case PGOUTPUT_COMMIT:
        return take_commit(applier, message, err);
    case PGOUTPUT_RELATION:
        return learn(applier, message, err);
    case PGOUTPUT_INSERT:
    case PGOUTPUT_UPDATE:
    case PGOUTPUT_DELETE:
        return applier->passing ? 0 : take_row(applier, message, err);
    case PGOUTPUT_TRUNCATE:
        if (applier->passing)
            return 0;
        r = begin_target(applier, err);
        return r < 0 ? r : truncate(applier, message, err);
    case PGOUTPUT_MESSAGE:
    case PGOUTPUT_ORIGIN:
    case PGOUTPUT_TYPE:
        return 0;
    case PGOUTPUT_STREAM_START: /* others may be long in coming */
        r = applier_commit(applier, err);
        return r < 0 ? r : pieces_start(applier->pieces, message, err);
    case PGOUTPUT_STREAM_ABORT:
        pieces_abort(applier->pieces, message);
        return 0;
    case PGOUTPUT_STREAM_COMMIT:
        return pieces_commit(applier->pieces, message, err);
    case PGOUTPUT_STREAM_STOP:
        break;
    }
    return error_set(err, ERROR_PROTOCOL, "the stream tells of the end of no piece");
}

static int take(struct applier *applier, struct str bytes, struct error *err)
{
    struct pgoutput_message message;
    bool kept = pieces_is_within(applier->pieces); /* too large is what is committed */
    if (bytes.length > MESSAGE_MAX && !kept)
        return refuse_row(err);
    int r = pgoutput_decode(applier->decoder, bytes, &message, err);
    if (r < 0)
        return r;
    if (!kept)
        return take_plain(applier, &message, err);
    if (bytes.length > MESSAGE_MAX)
        bytes = (struct str){0};
    return pieces_add(applier->pieces, &message, bytes, err);
}

int applier_take(struct applier *applier, struct str bytes, struct error *err)
{
    if (pieces_is_replaying(applier->pieces))
        return error_set(err, ERROR_INTERNAL, "a large transaction is not replayed to its end");
    return take(applier, bytes, err);
}

bool applier_is_replaying(const struct applier *applier)
{
    return pieces_is_replaying(applier->pieces);
}

int applier_replay(struct applier *applier, struct error *err)
{
    int r = 0;
    for (size_t done = 0; r == 0 && done < STEP_BYTES && pieces_is_replaying(applier->pieces);) {
        struct str bytes = {0};
        bool there = false;
        r = pieces_next(applier->pieces, &there, &bytes, err);
        if (r == 0 && there && bytes.length > 0)
            r = take(applier, bytes, err);
        else if (r == 0 && there && !applier->passing)
            r = refuse_row(err);
        done += there || bytes.length > 0 ? bytes.length + MESSAGE_COST : STEP_BYTES;
    }
    return r;
}

bool applier_had_no_room(const struct applier *applier)
{
    return pieces_had_no_room(applier->pieces);
}

void applier_ask(struct applier *applier, struct pg_connection *source)
{
    pieces_ask(applier->pieces, source);
}

bool applier_keeps(const struct applier *applier)
{
    return pieces_size(applier->pieces) > 0;
}

int applier_commit(struct applier *applier, struct error *err)
{
    if ((applier->within && !applier->passing) || applier->lsn == applier->pending_lsn)
        return 0;
    failpoint("move.applying");
    int r = begin_target(applier, err);
    if (r == 0)
        r = write_progress(applier, err);
    if (r == 0)
        r = pg_pipeline_add(applier->pipeline, "COMMIT", 0, NULL, PG_ANY_ROWS, NULL, err);
    if (r == 0)
        r = pg_pipeline_end(applier->pipeline, err);
    if (r < 0)
        return explain(applier, r, err);
    applier->open = false;
    applier->lsn = applier->pending_lsn;
    applier->pending = 0;
    return 0;
}

int applier_pass(struct applier *applier, uint64_t lsn, struct error *err)
{
    applier->pending_lsn = lsn;
    return applier_commit(applier, err);
}

int applier_set_timeout(struct applier *applier, int64_t timeout_us, struct error *err)
{
    return pg_set_statement_timeout(applier->owner, timeout_us, err);
}

uint64_t applier_lsn(const struct applier *applier)
{
    return applier->lsn;
}

bool applier_is_clean(const struct applier *applier)
{
    return !applier->within && !applier->beyond && !pieces_is_replaying(applier->pieces) &&
           applier->lsn == applier->pending_lsn;
}

void applier_stop_at(struct applier *applier, uint64_t lsn)
{
    applier->stop_lsn = lsn;
}

bool applier_is_beyond(const struct applier *applier)
{
    return applier->beyond;
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
