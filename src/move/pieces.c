#include "move/pieces.h"

#include <endian.h>

#include "base/buffer.h"
#include "base/failpoint.h"
#include "move/spool.h"
#include "sql/statements.h"

static const uint64_t spool_limit = UINT64_C(64) << 30;

enum {
    BEGIN_SIZE = 1 + 8 + 8 + 4,
    COMMIT_SIZE = 1 + 1 + 8 + 8 + 8,
    XID_SIZE = 4, /* of the subtransaction, behind a message's type */
    ASKED_AT_ONCE = 10000,
    QUESTION_MAX = 16 * ASKED_AT_ONCE,
};

enum replay { NOT_REPLAYING, ASKING, AT_BEGIN, AT_CHANGES };

struct pieces {
    struct spool *spool;
    struct pg_connection *source;
    bool within, no_room;
    uint32_t xid; /* of the piece */
    enum replay replay;
    struct pgoutput_message commit; /* of the one that is replayed: numbers alone */
    uint32_t *undone;               /* its subtransactions that were rolled back, sorted */
    size_t undone_count, asked;     /* asked: subtransactions that the server was asked about */
    char message[COMMIT_SIZE];
};

struct pieces *pieces_new(void)
{
    struct pieces *pieces = xcalloc(1, sizeof(*pieces));
    pieces->spool = spool_new(spool_directory(), spool_limit);
    return pieces;
}

static void end_replay(struct pieces *pieces)
{
    pieces->replay = NOT_REPLAYING;
    free(take_pointer(pieces->undone));
    pieces->undone_count = pieces->asked = 0;
}

struct pieces *pieces_free(struct pieces *pieces)
{
    if (!pieces)
        return NULL;
    end_replay(pieces);
    spool_free(pieces->spool);
    free(pieces);
    return NULL;
}

void pieces_ask(struct pieces *pieces, struct pg_connection *source)
{
    pieces->source = source;
}

bool pieces_is_within(const struct pieces *pieces)
{
    return pieces->within;
}

bool pieces_is_replaying(const struct pieces *pieces)
{
    return pieces->replay != NOT_REPLAYING;
}

uint64_t pieces_size(const struct pieces *pieces)
{
    return spool_size(pieces->spool);
}

/* ---- what comes ---- */

bool pieces_had_no_room(const struct pieces *pieces)
{
    return pieces->no_room;
}

static int note_room(struct pieces *pieces, int result)
{
    pieces->no_room = result == -ERROR_IO || result == -ERROR_LIMIT;
    return result;
}

int pieces_start(struct pieces *pieces, const struct pgoutput_message *message, struct error *err)
{
    int r = note_room(pieces, spool_begin(pieces->spool, message->xid, message->is_first, err));
    if (r < 0)
        return r;
    pieces->within = true;
    pieces->xid = message->xid;
    return 0;
}

int pieces_add(struct pieces *pieces, const struct pgoutput_message *message, struct str bytes,
               struct error *err)
{
    switch (message->kind) {
    case PGOUTPUT_STREAM_STOP:
        if (spool_size(pieces->spool) > 0)
            failpoint("move.spooled");
        pieces->within = false;
        return 0;
    case PGOUTPUT_RELATION:
    case PGOUTPUT_INSERT:
    case PGOUTPUT_UPDATE:
    case PGOUTPUT_DELETE:
    case PGOUTPUT_TRUNCATE:
        return note_room(pieces, spool_add(pieces->spool, pieces->xid, message->xid, bytes, err));
    case PGOUTPUT_ORIGIN:
    case PGOUTPUT_TYPE:
    case PGOUTPUT_MESSAGE:
        return 0; /* nobody wants to know */
    case PGOUTPUT_BEGIN:
    case PGOUTPUT_COMMIT:
    case PGOUTPUT_STREAM_START:
    case PGOUTPUT_STREAM_COMMIT:
    case PGOUTPUT_STREAM_ABORT:
        break;
    }
    return error_set(err, ERROR_PROTOCOL, "the stream tells of what is in no piece");
}

void pieces_abort(struct pieces *pieces, const struct pgoutput_message *message)
{
    spool_abort(pieces->spool, message->xid, message->sub_xid);
}

/* ---- what was rolled back ---- */

static int ask(struct pieces *pieces, const char *question, struct error *err)
{
    _cleanup_pg_result_ struct pg_result *result = NULL;
    int r = pg_query(pieces->source, sql_move_rolled_back, 1, &question, &result, err);
    if (r == 0 && pg_rows(result) > spool_sub_count(pieces->spool) - pieces->undone_count)
        r = error_set(err, ERROR_PROTOCOL, "the server tells of subtransactions that nobody knows");
    for (size_t i = 0; r == 0 && i < pg_rows(result); i++) {
        if (!pg_bool(result, i, 1))
            return error_set(err, ERROR_STATE,
                             "the server does not know whether a subtransaction was rolled back");
        pieces->undone[pieces->undone_count++] = (uint32_t)pg_i64(result, i, 0);
    }
    return r;
}

static int by_number(const void *a, const void *b)
{
    const uint32_t *left = a, *right = b;
    return (*left > *right) - (*left < *right);
}

/* Some more of them. */
static int ask_about_some(struct pieces *pieces, struct error *err)
{
    size_t count = spool_sub_count(pieces->spool), end = pieces->asked + ASKED_AT_ONCE;
    if (!pieces->source)
        return error_set(err, ERROR_INTERNAL, "nobody can be asked about subtransactions");
    if (!pieces->undone)
        pieces->undone = xcalloc(count, sizeof(*pieces->undone));
    _cleanup_buffer_ struct buffer question = BUFFER_INIT(QUESTION_MAX);
    const char *before = "{";
    for (; pieces->asked < count && pieces->asked < end; pieces->asked++, before = ",")
        buffer_printf(&question, "%s%u", before, spool_sub(pieces->spool, pieces->asked));
    buffer_append_string(&question, "}");
    return ask(pieces, buffer_string(&question), err);
}

static bool is_undone(const struct pieces *pieces, uint32_t sub_xid)
{
    return pieces->undone_count > 0 && bsearch(&sub_xid, pieces->undone, pieces->undone_count,
                                               sizeof(*pieces->undone), by_number);
}

/* ---- replaying ---- */

int pieces_commit(struct pieces *pieces, const struct pgoutput_message *message, struct error *err)
{
    int r = spool_replay(pieces->spool, message->xid, err);
    if (r < 0)
        return r;
    pieces->commit = *message;
    pieces->replay = ASKING;
    return 0;
}

static char *put_u64(char *at, uint64_t value)
{
    value = htobe64(value);
    return mempcpy(at, &value, sizeof(value));
}

static struct str begin_message(struct pieces *pieces)
{
    char *at = pieces->message;
    uint32_t xid = htobe32(pieces->commit.xid);
    *at++ = 'B';
    at = put_u64(at, pieces->commit.lsn);
    at = put_u64(at, (uint64_t)pieces->commit.commit_time_us);
    memcpy(at, &xid, sizeof(xid));
    return (struct str){pieces->message, BEGIN_SIZE};
}

static struct str commit_message(struct pieces *pieces)
{
    char *at = pieces->message;
    *at++ = 'C';
    *at++ = 0; /* flags: there are none */
    at = put_u64(at, pieces->commit.lsn);
    at = put_u64(at, pieces->commit.end_lsn);
    (void)put_u64(at, (uint64_t)pieces->commit.commit_time_us);
    return (struct str){pieces->message, COMMIT_SIZE};
}

/* As it would have come outside of a piece. */
static struct str plain_message(struct spool_change change)
{
    if (change.length <= XID_SIZE)
        return (struct str){0};
    change.bytes[XID_SIZE] = change.bytes[0];
    return (struct str){change.bytes + XID_SIZE, change.length - XID_SIZE};
}

/* What a table looks like is told once, also when that was within what was rolled back. */
static bool is_wanted(const struct pieces *pieces, struct spool_change change)
{
    return !is_undone(pieces, change.sub_xid) || (change.length > 0 && change.bytes[0] == 'R');
}

int pieces_next(struct pieces *pieces, bool *ret_there, struct str *ret, struct error *err)
{
    *ret_there = false;
    if (pieces->replay == ASKING && pieces->asked < spool_sub_count(pieces->spool))
        return ask_about_some(pieces, err);
    if (pieces->replay == ASKING) {
        if (pieces->undone_count > 0)
            qsort(pieces->undone, pieces->undone_count, sizeof(*pieces->undone), by_number);
        pieces->replay = AT_BEGIN;
        return 0;
    }
    *ret_there = true;
    if (pieces->replay == AT_BEGIN) {
        pieces->replay = AT_CHANGES;
        *ret = begin_message(pieces);
        return 0;
    }
    struct spool_change change = {0};
    int r = spool_next(pieces->spool, &change, err);
    if (r < 0)
        return r;
    if (r == 0)
        end_replay(pieces);
    *ret = r == 0 ? commit_message(pieces) : plain_message(change);
    *ret_there = r == 0 || is_wanted(pieces, change);
    return 0;
}
