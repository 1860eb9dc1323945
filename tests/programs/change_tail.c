/*
 * change_tail - pg/stream.h, pg/copy.h and change/pgoutput.h at work on a server, for
 * tests/integration/test_changes.py.
 *
 *   change_tail slot CONNINFO NAME               makes a slot, prints it, keeps its snapshot until
 *                                                its standard input ends
 *   change_tail follow CONNINFO NAME PUBLICATION VERSION LSN
 *                                                prints every message until the end of a
 *                                                transaction with one of pg_logical_emit_message
 *                                                with the prefix "end"
 *   change_tail copy SOURCE TARGET OUT IN        prints rows and bytes
 *
 * A line of JSON each. Ends with 1 and the error on its standard error.
 */
#include <inttypes.h>
#include <jansson.h>

#include "change/pgoutput.h"
#include "pg/copy.h"
#include "pg/stream.h"

enum { WAIT_US = 30 * 1000000 };

static void print(json_t *line)
{
    json_dumpf(line, stdout, JSON_COMPACT | JSON_ENCODE_ANY);
    putchar('\n');
    fflush(stdout);
    json_decref(line);
}

static json_t *lsn_json(uint64_t lsn)
{
    char text[PG_LSN_SIZE];
    pg_lsn_format(lsn, text);
    return json_string(text);
}

static int connect_to(const char *conninfo, bool replication, struct pg_connection **ret,
                      struct error *err)
{
    struct pg_options options = {.conninfo = conninfo, .replication = replication};
    return pg_connect(&options, ret, err);
}

/* ---- slot ---- */

static int make_slot(char **arguments, struct error *err)
{
    _cleanup_pg_connection_ struct pg_connection *connection = NULL;
    struct pg_slot slot = {0};
    int r = connect_to(arguments[0], true, &connection, err);
    if (r == 0)
        r = pg_slot_create(connection, arguments[1], PG_SLOT_LASTING, &slot, err);
    if (r < 0)
        return r;
    print(json_pack("{s:o, s:s}", "lsn", lsn_json(slot.consistent_lsn), "snapshot", slot.snapshot));
    while (getchar() != EOF)
        continue;
    return 0;
}

/* ---- follow ---- */

static json_t *tuple_json(struct pgoutput_tuple tuple)
{
    json_t *values = json_array();
    for (size_t i = 0; i < tuple.count; i++) {
        struct pgoutput_value value = tuple.values[i];
        if (value.kind == PGOUTPUT_NULL)
            json_array_append_new(values, json_null());
        else if (value.kind == PGOUTPUT_UNCHANGED)
            json_array_append_new(values, json_true());
        else
            json_array_append_new(values, json_stringn(value.bytes.data, value.bytes.length));
    }
    return values;
}

static json_t *columns_json(const struct pgoutput_message *message)
{
    json_t *columns = json_array();
    for (size_t i = 0; i < message->column_count; i++)
        json_array_append_new(columns, json_pack("[s, b]", message->columns[i].name,
                                                 (int)message->columns[i].is_key));
    return columns;
}

static json_t *relations_json(const struct pgoutput_message *message)
{
    json_t *relations = json_array();
    for (size_t i = 0; i < message->relation_count; i++)
        json_array_append_new(relations, json_integer(message->relations[i]));
    return relations;
}

static const char *const kinds[] = {
    [PGOUTPUT_BEGIN] = "begin",
    [PGOUTPUT_COMMIT] = "commit",
    [PGOUTPUT_ORIGIN] = "origin",
    [PGOUTPUT_RELATION] = "relation",
    [PGOUTPUT_TYPE] = "type",
    [PGOUTPUT_INSERT] = "insert",
    [PGOUTPUT_UPDATE] = "update",
    [PGOUTPUT_DELETE] = "delete",
    [PGOUTPUT_TRUNCATE] = "truncate",
    [PGOUTPUT_MESSAGE] = "message",
    [PGOUTPUT_STREAM_START] = "stream start",
    [PGOUTPUT_STREAM_STOP] = "stream stop",
    [PGOUTPUT_STREAM_COMMIT] = "stream commit",
    [PGOUTPUT_STREAM_ABORT] = "stream abort",
};

static json_t *message_json(const struct pgoutput_message *message)
{
    json_t *line = json_pack("{s:s, s:I, s:I}", "kind", kinds[message->kind], "xid",
                             (json_int_t)message->xid, "relation", (json_int_t)message->relation);
    if (message->name)
        json_object_set_new(line, "name", json_string(message->name));
    if (message->columns)
        json_object_set_new(line, "columns", columns_json(message));
    if (message->old_kind)
        json_object_set_new(line, "old", tuple_json(message->old_tuple));
    if (message->new_tuple.count > 0)
        json_object_set_new(line, "new", tuple_json(message->new_tuple));
    if (message->relations)
        json_object_set_new(line, "relations", relations_json(message));
    if (message->sub_xid)
        json_object_set_new(line, "sub_xid", json_integer(message->sub_xid));
    if (message->end_lsn)
        json_object_set_new(line, "end_lsn", lsn_json(message->end_lsn));
    return line;
}

/* Everything up to a commit is safe once it has been printed. Ends with that of the message. */
static int take(struct pg_stream *stream, struct pgoutput_decoder *decoder, struct str bytes,
                uint64_t *safe_lsn, bool *ret_end, struct error *err)
{
    static bool last;
    struct pgoutput_message message;
    int r = pgoutput_decode(decoder, bytes, &message, err);
    if (r < 0)
        return r;
    print(message_json(&message));
    if (message.kind == PGOUTPUT_COMMIT || message.kind == PGOUTPUT_STREAM_COMMIT) {
        *safe_lsn = message.end_lsn;
        r = pg_stream_confirm(stream, *safe_lsn, err);
    }
    last |= message.kind == PGOUTPUT_MESSAGE && strcmp(message.name, "end") == 0;
    *ret_end = last && message.kind == PGOUTPUT_COMMIT;
    return r;
}

static int follow_stream(struct pg_stream *stream, struct error *err)
{
    _cleanup_pgoutput_decoder_ struct pgoutput_decoder *decoder = pgoutput_decoder_new();
    uint64_t safe_lsn = 0;
    bool end = false;
    while (!end) {
        struct pg_stream_piece piece;
        int r = pg_stream_next(stream, -1, WAIT_US, &piece, err);
        if (r == 0 && piece.kind == PG_STREAM_NOTHING)
            return error_set(err, ERROR_TIMEOUT, "nothing comes");
        if (r == 0 && piece.kind == PG_STREAM_MESSAGE)
            r = take(stream, decoder, piece.message, &safe_lsn, &end, err);
        if (r == 0 && piece.answer_expected)
            r = pg_stream_confirm(stream, safe_lsn, err);
        if (r < 0)
            return r;
    }
    return 0;
}

static int follow(char **arguments, struct error *err)
{
    _cleanup_pg_connection_ struct pg_connection *connection = NULL;
    _cleanup_pg_stream_ struct pg_stream *stream = NULL;
    struct pg_stream_spec spec = {.slot = arguments[1],
                                  .publications[0] = arguments[2],
                                  .messages = true,
                                  .in_pieces = strcmp(arguments[3], "2") == 0};
    if (!pg_lsn_parse(arguments[4], &spec.start_lsn))
        return error_set(err, ERROR_INVALID, "%s is no LSN", arguments[4]);
    int r = connect_to(arguments[0], true, &connection, err);
    if (r == 0)
        r = pg_stream_open(connection, &spec, &stream, err);
    return r < 0 ? r : follow_stream(stream, err);
}

/* ---- copy ---- */

static int copy(char **arguments, struct error *err)
{
    _cleanup_pg_connection_ struct pg_connection *source = NULL, *target = NULL;
    struct pg_copy_spec spec = {.out = arguments[2], .in = arguments[3]};
    int64_t rows = 0, bytes = 0;
    int r = connect_to(arguments[0], false, &source, err);
    if (r == 0)
        r = connect_to(arguments[1], false, &target, err);
    if (r == 0)
        r = pg_copy(source, target, &spec, &rows, &bytes, err);
    /* Both are of use still. */
    if (!source || !target)
        return r;
    if (pg_execute(source, "SELECT 1", 0, NULL, NULL, NULL) < 0 ||
        pg_execute(target, "SELECT 1", 0, NULL, NULL, NULL) < 0)
        return error_set(err, ERROR_INTERNAL, "a connection is out of step");
    if (r == 0)
        print(json_pack("{s:I, s:I}", "rows", (json_int_t)rows, "bytes", (json_int_t)bytes));
    return r;
}

int main(int count, char **arguments)
{
    static const struct {
        const char *name;
        int count;
        int (*run)(char **arguments, struct error *err);
    } commands[] = {{"slot", 2, make_slot}, {"follow", 5, follow}, {"copy", 4, copy}};
    for (size_t i = 0; i < array_size(commands) && count > 1; i++) {
        if (strcmp(arguments[1], commands[i].name) != 0 || count != commands[i].count + 2)
            continue;
        struct error err = {0};
        if (commands[i].run(arguments + 2, &err) == 0)
            return 0;
        fprintf(stderr, "%s %s %s\n", error_info(err.code)->name, err.sqlstate, err.message);
        return 1;
    }
    fputs("see the file's head\n", stderr);
    return 2;
}
