#include "pg/stream.h"

#include <endian.h>
#include <poll.h>

#include "base/time.h"
#include "pg/internal.h"
#include "pg/quote.h"

/* Seconds from the Unix epoch to PostgreSQL's, 2000-01-01. */
#define POSTGRES_EPOCH_S INT64_C(946684800)

enum { LSN_DIGITS_MAX = 8, SLOT_NAME_MAX = 63 };

struct pg_stream {
    struct pg_connection *connection;
    char *row; /* libpq's, of the piece that was told last */
};

/* ---- LSNs ---- */

void pg_lsn_format(uint64_t lsn, char ret[PG_LSN_SIZE])
{
    snprintf(ret, PG_LSN_SIZE, "%X/%X", (unsigned int)(lsn >> 32), (unsigned int)lsn);
}

/* At most eight hexadecimal digits; *text is moved behind them. */
static bool read_half(const char **text, uint64_t *ret)
{
    uint64_t value = 0;
    size_t digits = strspn(*text, "0123456789abcdefABCDEF");
    if (digits == 0 || digits > LSN_DIGITS_MAX)
        return false;
    for (size_t i = 0; i < digits; i++) {
        int c = (unsigned char)(*text)[i] | 0x20; /* lower case; digits have that bit */
        value = value << 4 | (uint64_t)(c <= '9' ? c - '0' : c - 'a' + 10);
    }
    *text += digits;
    *ret = value;
    return true;
}

bool pg_lsn_parse(const char *text, uint64_t *ret)
{
    uint64_t high, low;
    if (!read_half(&text, &high) || *text++ != '/' || !read_half(&text, &low) || *text != '\0')
        return false;
    *ret = high << 32 | low;
    return true;
}

/* ---- slots ---- */

static int check_slot_name(const char *name, struct error *err)
{
    size_t length = strlen(name);
    if (length == 0 || length > SLOT_NAME_MAX ||
        strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_") != length)
        return error_set(err, ERROR_INVALID, "\"%s\" is no name for a replication slot", name);
    return 0;
}

/* What the server's refusal of a slot means. */
static int slot_error(int result, struct error *err)
{
    static const struct {
        const char *sqlstate;
        enum error_code code;
        const char *hint;
    } known[] = {
        {"42710", ERROR_EXISTS, NULL},
        {"53400", ERROR_LIMIT, "raise max_replication_slots on the server, or drop a slot"},
        {"55000", ERROR_STATE, "set wal_level = logical on the server and restart it"},
        {"42501", ERROR_DENIED, "the cluster's administrator needs the attribute REPLICATION"},
    };
    struct error said = *err;
    for (size_t i = 0; i < array_size(known); i++) {
        if (strcmp(said.sqlstate, known[i].sqlstate) != 0)
            continue;
        result = error_set(err, known[i].code, "%s", said.message);
        if (known[i].hint)
            error_hint(err, "%s", known[i].hint);
    }
    return result;
}

int pg_slot_create(struct pg_connection *replication, const char *name, enum pg_slot_life life,
                   struct pg_slot *ret, struct error *err)
{
    struct error own = {0};
    char sql[SLOT_NAME_MAX + 100];
    int result = check_slot_name(name, err);
    if (result < 0)
        return result;
    snprintf(sql, sizeof(sql), "CREATE_REPLICATION_SLOT %s %sLOGICAL pgoutput (SNAPSHOT 'export')",
             name, life == PG_SLOT_LASTING ? "" : "TEMPORARY ");
    struct pg_statement statement = {.sql = sql, .style = PG_SCRIPT};
    _cleanup_pg_result_ struct pg_result *row = NULL;
    int64_t timeout_us = replication->statement_timeout_us;
    replication->statement_timeout_us = PG_NO_TIMEOUT; /* it waits for others */
    result = pg_run(replication, &statement, &row, err ? err : &own);
    replication->statement_timeout_us = timeout_us;
    if (result < 0)
        return slot_error(result, err ? err : &own);
    struct pg_slot slot;
    if (pg_rows(row) != 1 || pg_columns(row) < 3 || pg_is_null(row, 0, 1) ||
        pg_is_null(row, 0, 2) || !pg_lsn_parse(pg_text(row, 0, 1), &slot.consistent_lsn) ||
        !str_copy(slot.snapshot, sizeof(slot.snapshot), pg_text(row, 0, 2)))
        return error_set(err, ERROR_PROTOCOL, "the server did not say where slot \"%s\" begins",
                         name);
    *ret = slot;
    return 0;
}

/* ---- the stream ---- */

int pg_stream_open(struct pg_connection *replication, const struct pg_stream_spec *spec,
                   struct pg_stream **ret, struct error *err)
{
    char lsn[PG_LSN_SIZE];
    int result = check_slot_name(spec->slot, err);
    if (result < 0)
        return result;
    pg_lsn_format(spec->start_lsn, lsn);
    _cleanup_arena_ struct arena arena = {0};
    /* The list of publications is parsed as identifiers, inside a literal. */
    const char *names = pg_identifier(&arena, spec->publications[0]);
    if (spec->publications[1])
        names = arena_printf(&arena, "%s, %s", names, pg_identifier(&arena, spec->publications[1]));
    const char *sql = arena_printf(
        &arena,
        "START_REPLICATION SLOT %s LOGICAL %s (proto_version '%d',"
        " publication_names %s%s%s)",
        spec->slot, lsn, spec->in_pieces ? 2 : 1, pg_literal(&arena, names),
        spec->in_pieces ? ", streaming 'on'" : "", spec->messages ? ", messages 'true'" : "");
    result = pg_begin_stream(replication, sql, err);
    if (result < 0)
        return result;
    struct pg_stream *stream = xcalloc(1, sizeof(*stream));
    stream->connection = replication;
    *ret = stream;
    return 0;
}

struct pg_stream *pg_stream_free(struct pg_stream *stream)
{
    if (!stream)
        return NULL;
    PQfreemem(stream->row);
    free(stream);
    return NULL;
}

static uint64_t get_u64(const char *bytes)
{
    uint64_t value;
    memcpy(&value, bytes, sizeof(value));
    return be64toh(value);
}

static void put_u64(char *bytes, uint64_t value)
{
    value = htobe64(value);
    memcpy(bytes, &value, sizeof(value));
}

/* XLogData and "Primary keepalive message". */
static int read_piece(const char *row, size_t length, struct pg_stream_piece *ret,
                      struct error *err)
{
    enum { DATA_HEADER = 1 + 8 + 8 + 8, KEEPALIVE_SIZE = 1 + 8 + 8 + 1 };
    if (row[0] == 'w' && length >= DATA_HEADER) {
        *ret = (struct pg_stream_piece){.kind = PG_STREAM_MESSAGE,
                                        .message = {row + DATA_HEADER, length - DATA_HEADER},
                                        .lsn = get_u64(row + 1),
                                        .end_lsn = get_u64(row + 9)};
        return 0;
    }
    if (row[0] == 'k' && length == KEEPALIVE_SIZE) {
        *ret = (struct pg_stream_piece){.kind = PG_STREAM_POSITION,
                                        .end_lsn = get_u64(row + 1),
                                        .answer_expected = row[KEEPALIVE_SIZE - 1] != 0};
        return 0;
    }
    return error_set(err, ERROR_PROTOCOL, "the server sent what is no part of a change stream");
}

/* The stream is over: why, if the server said. */
static int stream_ended(struct pg_connection *connection, struct error *err)
{
    PGresult *last = PQgetResult(connection->libpq);
    int result = last && PQresultStatus(last) == PGRES_FATAL_ERROR
                     ? pg_result_error(connection, last, err)
                     : error_set(err, ERROR_CONNECTION, "the server has ended the change stream");
    PQclear(last);
    connection->broken = true;
    return result;
}

int pg_stream_next(struct pg_stream *stream, int wake_fd, int64_t timeout_us,
                   struct pg_stream_piece *ret, struct error *err)
{
    struct pg_connection *connection = stream->connection;
    int64_t deadline_us = time_monotonic_us() + timeout_us;
    PQfreemem(take_pointer(stream->row));
    for (;;) {
        if (pg_is_cancelled(connection))
            return pg_cancelled_error(err);
        if (pg_is_broken(connection))
            return pg_connection_lost(connection, err);
        int length = PQgetCopyData(connection->libpq, &stream->row, 1);
        if (length > 0)
            return read_piece(stream->row, (size_t)length, ret, err);
        if (length < 0)
            return stream_ended(connection, err);
        switch (pg_wait_either(connection, wake_fd, deadline_us)) {
        case PG_READY:
            break;
        case PG_READY_TIMEOUT:
            *ret = (struct pg_stream_piece){.kind = PG_STREAM_NOTHING};
            return 0;
        case PG_READY_CANCELLED:
            return pg_cancelled_error(err);
        }
        if (!PQconsumeInput(connection->libpq))
            return pg_connection_lost(connection, err);
    }
}

/* "Standby status update". */
int pg_stream_confirm(struct pg_stream *stream, uint64_t safe_lsn, struct error *err)
{
    char message[1 + 8 + 8 + 8 + 8 + 1];
    struct pg_connection *connection = stream->connection;
    struct pg_patience patience = {.deadline_us = time_monotonic_us() + PG_GRACE_US,
                                   .cancelled = connection->cancelled,
                                   .at_once = true};
    message[0] = 'r';
    put_u64(message + 1, safe_lsn);  /* written */
    put_u64(message + 9, safe_lsn);  /* flushed */
    put_u64(message + 17, safe_lsn); /* applied */
    put_u64(message + 25, (uint64_t)(time_unix_us() - POSTGRES_EPOCH_S * TIME_S));
    message[33] = 0; /* no answer wanted */
    if (pg_is_broken(connection) || PQputCopyData(connection->libpq, message, sizeof(message)) != 1)
        return pg_connection_lost(connection, err);
    return pg_flush(connection, &patience, err);
}
