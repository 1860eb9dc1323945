#include "change/pgoutput.h"

#include "wire/message.h"

/* Where the stream is. */
enum place { OUTSIDE, IN_TRANSACTION, IN_PIECE };

struct pgoutput_decoder {
    enum place place;
    struct pgoutput_value old_values[PGOUTPUT_COLUMNS_MAX];
    struct pgoutput_value new_values[PGOUTPUT_COLUMNS_MAX];
    struct pgoutput_column columns[PGOUTPUT_COLUMNS_MAX];
    uint32_t *relations; /* of TRUNCATE; room for relation_room */
    size_t relation_room;
};

/* One message while it is read. */
struct reading {
    struct pgoutput_decoder *decoder;
    struct wire_reader reader;
    struct pgoutput_message message;
};

struct pgoutput_decoder *pgoutput_decoder_new(void)
{
    return xcalloc(1, sizeof(struct pgoutput_decoder));
}

struct pgoutput_decoder *pgoutput_decoder_free(struct pgoutput_decoder *decoder)
{
    if (decoder)
        free(decoder->relations);
    free(decoder);
    return NULL;
}

/* ---- parts ---- */

static uint32_t read_u32(struct wire_reader *reader)
{
    return (uint32_t)wire_read_i32(reader);
}

static uint64_t read_u64(struct wire_reader *reader)
{
    uint64_t high = read_u32(reader);
    return high << 32 | read_u32(reader);
}

static int64_t read_time(struct wire_reader *reader)
{
    return (int64_t)read_u64(reader);
}

/* A count that can be true; else the reader fails. */
static size_t read_count(struct wire_reader *reader, int32_t count, size_t most)
{
    if (count < 0 || (size_t)count > most)
        reader->failed = true;
    return reader->failed ? 0 : (size_t)count;
}

static struct pgoutput_value read_value(struct wire_reader *reader)
{
    struct pgoutput_value value = {.kind = PGOUTPUT_NULL};
    uint8_t kind = wire_read_u8(reader);
    switch (kind) {
    case PGOUTPUT_NULL:
    case PGOUTPUT_UNCHANGED:
        value.kind = (enum pgoutput_value_kind)kind;
        break;
    case PGOUTPUT_TEXT:
    case PGOUTPUT_BINARY:
        value.kind = (enum pgoutput_value_kind)kind;
        size_t length = read_count(reader, wire_read_i32(reader), wire_reader_left(reader));
        value.bytes = wire_read_bytes(reader, length);
        break;
    default:
        reader->failed = true;
    }
    return value;
}

static struct pgoutput_tuple read_tuple(struct wire_reader *reader, struct pgoutput_value *values)
{
    size_t count = read_count(reader, wire_read_i16(reader), PGOUTPUT_COLUMNS_MAX);
    for (size_t i = 0; i < count && !reader->failed; i++)
        values[i] = read_value(reader);
    return (struct pgoutput_tuple){count, values};
}

static void read_old(struct reading *of, uint8_t kind)
{
    of->message.old_kind = (char)kind;
    of->message.old_tuple = read_tuple(&of->reader, of->decoder->old_values);
}

static void read_new(struct reading *of, uint8_t kind)
{
    if (kind != 'N')
        of->reader.failed = true;
    of->message.new_tuple = read_tuple(&of->reader, of->decoder->new_values);
}

static void read_flags(struct reading *of) /* none is in use */
{
    if (wire_read_u8(&of->reader) != 0)
        of->reader.failed = true;
}

static void read_commit_positions(struct reading *of)
{
    of->message.lsn = read_u64(&of->reader);
    of->message.end_lsn = read_u64(&of->reader);
    of->message.commit_time_us = read_time(&of->reader);
}

/* ---- messages ---- */

static void read_begin(struct reading *of)
{
    of->message.lsn = read_u64(&of->reader);
    of->message.commit_time_us = read_time(&of->reader);
    of->message.xid = read_u32(&of->reader);
}

static void read_commit(struct reading *of)
{
    read_flags(of);
    read_commit_positions(of);
}

static void read_origin(struct reading *of)
{
    of->message.lsn = read_u64(&of->reader);
    of->message.name = wire_read_cstring(&of->reader);
}

static void read_relation(struct reading *of)
{
    struct wire_reader *reader = &of->reader;
    struct pgoutput_column *columns = of->decoder->columns;
    of->message.relation = read_u32(reader);
    of->message.schema = wire_read_cstring(reader);
    of->message.name = wire_read_cstring(reader);
    of->message.identity = (char)wire_read_u8(reader);
    size_t count = read_count(reader, wire_read_i16(reader), PGOUTPUT_COLUMNS_MAX);
    for (size_t i = 0; i < count && !reader->failed; i++) {
        columns[i].is_key = (wire_read_u8(reader) & 1) != 0;
        columns[i].name = wire_read_cstring(reader);
        columns[i].type = read_u32(reader);
        columns[i].modifier = wire_read_i32(reader);
    }
    if (!strchr("dnfi", of->message.identity) || of->message.identity == '\0')
        reader->failed = true;
    of->message.column_count = count;
    of->message.columns = columns;
}

static void read_type(struct reading *of)
{
    of->message.relation = read_u32(&of->reader);
    of->message.schema = wire_read_cstring(&of->reader);
    of->message.name = wire_read_cstring(&of->reader);
}

static void read_insert(struct reading *of)
{
    of->message.relation = read_u32(&of->reader);
    read_new(of, wire_read_u8(&of->reader));
}

static void read_update(struct reading *of)
{
    of->message.relation = read_u32(&of->reader);
    uint8_t kind = wire_read_u8(&of->reader);
    if (kind == 'K' || kind == 'O') {
        read_old(of, kind);
        kind = wire_read_u8(&of->reader);
    }
    read_new(of, kind);
}

static void read_delete(struct reading *of)
{
    of->message.relation = read_u32(&of->reader);
    uint8_t kind = wire_read_u8(&of->reader);
    if (kind != 'K' && kind != 'O')
        of->reader.failed = true;
    read_old(of, kind);
}

static void read_truncate(struct reading *of)
{
    enum { CASCADE = 1, RESTART_IDENTITY = 2 };
    struct pgoutput_decoder *decoder = of->decoder;
    size_t count = read_count(&of->reader, wire_read_i32(&of->reader), PGOUTPUT_RELATIONS_MAX);
    uint8_t options = wire_read_u8(&of->reader);
    if (count > wire_reader_left(&of->reader) / sizeof(uint32_t)) {
        of->reader.failed = true;
        return;
    }
    if (count > decoder->relation_room) {
        free(decoder->relations);
        decoder->relations = xcalloc(count, sizeof(*decoder->relations));
        decoder->relation_room = count;
    }
    for (size_t i = 0; i < count; i++)
        decoder->relations[i] = read_u32(&of->reader);
    of->message.cascade = (options & CASCADE) != 0;
    of->message.restart_identity = (options & RESTART_IDENTITY) != 0;
    of->message.relation_count = count;
    of->message.relations = decoder->relations;
}

static void read_message(struct reading *of)
{
    struct wire_reader *reader = &of->reader;
    of->message.is_transactional = (wire_read_u8(reader) & 1) != 0;
    of->message.lsn = read_u64(reader);
    of->message.name = wire_read_cstring(reader);
    size_t length = read_count(reader, wire_read_i32(reader), wire_reader_left(reader));
    of->message.content = wire_read_bytes(reader, length);
}

static void read_stream_start(struct reading *of)
{
    of->message.xid = read_u32(&of->reader);
    of->message.is_first = wire_read_u8(&of->reader) != 0;
}

static void read_nothing(struct reading *of reeve_unused)
{
}

static void read_stream_commit(struct reading *of)
{
    of->message.xid = read_u32(&of->reader);
    read_flags(of);
    read_commit_positions(of);
}

static void read_stream_abort(struct reading *of)
{
    of->message.xid = read_u32(&of->reader);
    of->message.sub_xid = read_u32(&of->reader);
}

/* Where a message may stand, a bit each. */
enum {
    MAY_OUTSIDE = 1 << OUTSIDE,
    MAY_TRANSACTION = 1 << IN_TRANSACTION,
    MAY_PIECE = 1 << IN_PIECE
};
enum {
    MAY_ANYWHERE = MAY_OUTSIDE | MAY_TRANSACTION | MAY_PIECE,
    MAY_WITHIN = MAY_TRANSACTION | MAY_PIECE
};

static const struct form {
    char type;
    enum pgoutput_kind kind;
    unsigned int may_stand;
    bool tells_xid; /* in a piece, in front of everything else */
    void (*read)(struct reading *of);
} forms[] = {
    {'B', PGOUTPUT_BEGIN, MAY_OUTSIDE, false, read_begin},
    {'C', PGOUTPUT_COMMIT, MAY_TRANSACTION, false, read_commit},
    {'O', PGOUTPUT_ORIGIN, MAY_WITHIN, false, read_origin},
    {'R', PGOUTPUT_RELATION, MAY_WITHIN, true, read_relation},
    {'Y', PGOUTPUT_TYPE, MAY_WITHIN, true, read_type},
    {'I', PGOUTPUT_INSERT, MAY_WITHIN, true, read_insert},
    {'U', PGOUTPUT_UPDATE, MAY_WITHIN, true, read_update},
    {'D', PGOUTPUT_DELETE, MAY_WITHIN, true, read_delete},
    {'T', PGOUTPUT_TRUNCATE, MAY_WITHIN, true, read_truncate},
    {'M', PGOUTPUT_MESSAGE, MAY_ANYWHERE, true, read_message}, /* outside: not of a transaction */
    {'S', PGOUTPUT_STREAM_START, MAY_OUTSIDE, false, read_stream_start},
    {'E', PGOUTPUT_STREAM_STOP, MAY_PIECE, false, read_nothing},
    {'c', PGOUTPUT_STREAM_COMMIT, MAY_OUTSIDE, false, read_stream_commit},
    {'A', PGOUTPUT_STREAM_ABORT, MAY_OUTSIDE, false, read_stream_abort},
};

static const struct form *find_form(uint8_t type)
{
    for (size_t i = 0; i < array_size(forms); i++) {
        if (forms[i].type == (char)type)
            return &forms[i];
    }
    return NULL;
}

static enum place place_behind(enum place place, enum pgoutput_kind kind)
{
    switch (kind) {
    case PGOUTPUT_BEGIN:
        return IN_TRANSACTION;
    case PGOUTPUT_STREAM_START:
        return IN_PIECE;
    case PGOUTPUT_COMMIT:
    case PGOUTPUT_STREAM_STOP:
        return OUTSIDE;
    case PGOUTPUT_ORIGIN:
    case PGOUTPUT_RELATION:
    case PGOUTPUT_TYPE:
    case PGOUTPUT_INSERT:
    case PGOUTPUT_UPDATE:
    case PGOUTPUT_DELETE:
    case PGOUTPUT_TRUNCATE:
    case PGOUTPUT_MESSAGE:
    case PGOUTPUT_STREAM_COMMIT:
    case PGOUTPUT_STREAM_ABORT:
        break;
    }
    return place;
}

int pgoutput_decode(struct pgoutput_decoder *decoder, struct str message,
                    struct pgoutput_message *ret, struct error *err)
{
    struct reading of = {.decoder = decoder,
                         .reader = wire_reader_of(message.data, message.length)};
    uint8_t type = wire_read_u8(&of.reader);
    const struct form *form = find_form(type);
    if (!form)
        return error_set(err, ERROR_PROTOCOL, "the change stream has a message of unknown type %u",
                         type);
    if (!(form->may_stand & 1u << decoder->place))
        return error_set(err, ERROR_PROTOCOL,
                         "the change stream has a message of type '%c' where none may be", type);
    of.message.kind = form->kind;
    if (form->tells_xid && decoder->place == IN_PIECE)
        of.message.xid = read_u32(&of.reader);
    form->read(&of);
    if (of.reader.failed || wire_reader_left(&of.reader) > 0)
        return error_set(err, ERROR_PROTOCOL,
                         "the change stream has a malformed message of type '%c'", type);
    decoder->place = place_behind(decoder->place, form->kind);
    *ret = of.message;
    return 0;
}
