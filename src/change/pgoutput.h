/*
 * pgoutput.h - what the output plugin `pgoutput` says about changes of a database, protocol
 * versions 1 and 2 ("Logical Replication Message Formats", PostgreSQL's manual).
 *
 * A message is what one XLogData of a replication stream carries. Reading copies nothing: every
 * text and value points into the message, and is gone with it. A decoder belongs to one stream: it
 * remembers that a piece of a large transaction is being told, since messages have another form
 * then, and it checks that pieces begin and end in turn.
 *
 *            STREAM_START                         BEGIN
 *   outside ---------------> piece       outside -------> transaction
 *      ^                      |             ^                 |
 *      |    STREAM_STOP       |             |      COMMIT     |
 *      +----------------------+             +-----------------+
 *   and outside alone: STREAM_COMMIT, STREAM_ABORT
 */
#ifndef CHANGE_PGOUTPUT_H
#define CHANGE_PGOUTPUT_H

#include "base/error.h"
#include "base/str.h"

enum pgoutput_kind {
    PGOUTPUT_BEGIN,
    PGOUTPUT_COMMIT,
    PGOUTPUT_ORIGIN, /* where the transaction came from */
    PGOUTPUT_RELATION,
    PGOUTPUT_TYPE,
    PGOUTPUT_INSERT,
    PGOUTPUT_UPDATE,
    PGOUTPUT_DELETE,
    PGOUTPUT_TRUNCATE,
    PGOUTPUT_MESSAGE, /* pg_logical_emit_message */
    PGOUTPUT_STREAM_START,
    PGOUTPUT_STREAM_STOP,
    PGOUTPUT_STREAM_COMMIT,
    PGOUTPUT_STREAM_ABORT,
};

enum {
    PGOUTPUT_COLUMNS_MAX = 1600, /* PostgreSQL's MaxHeapAttributeNumber */
    PGOUTPUT_RELATIONS_MAX = 65536,
};

enum pgoutput_value_kind {
    PGOUTPUT_NULL = 'n',
    PGOUTPUT_UNCHANGED = 'u', /* a TOASTed value that an update left alone: it is not told */
    PGOUTPUT_TEXT = 't',
    PGOUTPUT_BINARY = 'b',
};

struct pgoutput_value {
    enum pgoutput_value_kind kind;
    struct str bytes; /* of the text and binary kinds; not ended by a NUL */
};

struct pgoutput_tuple {
    size_t count;
    const struct pgoutput_value *values; /* the decoder's, until the next message */
};

struct pgoutput_column {
    bool is_key; /* of the replica identity */
    const char *name;
    uint32_t type;
    int32_t modifier;
};

/* Dates are microseconds since 2000-01-01. */
struct pgoutput_message {
    enum pgoutput_kind kind;
    uint32_t xid; /* BEGIN, STREAM_*; of whatever a piece holds: the (sub)transaction; else 0 */
    uint64_t lsn; /* BEGIN: of the end of the commit record; *COMMIT: of its start; ORIGIN: of the
                   * commit there; MESSAGE: its own */
    uint64_t end_lsn; /* *COMMIT: behind the commit record */
    int64_t commit_time_us;
    uint32_t sub_xid; /* STREAM_ABORT: what of the transaction is undone; xid itself: all of it */
    bool is_first;    /* STREAM_START: the transaction's first piece */
    bool is_transactional; /* MESSAGE */
    const char *name;      /* ORIGIN, RELATION, TYPE; MESSAGE: its prefix */
    const char *schema;    /* RELATION, TYPE; pg_catalog's is "" */
    uint32_t relation;     /* RELATION, INSERT, UPDATE, DELETE; TYPE: the type's id */
    char identity;         /* RELATION: pg_class.relreplident: d n f i */
    size_t column_count;   /* RELATION */
    const struct pgoutput_column *columns; /* the decoder's, until the next message */
    struct str content;                    /* MESSAGE */
    /* UPDATE, DELETE: 'K' the old key, in a tuple whose other values are null; 'O' the old row; 0
     * there is none (the update left the key alone). */
    char old_kind;
    struct pgoutput_tuple old_tuple, new_tuple;
    bool cascade, restart_identity; /* TRUNCATE */
    size_t relation_count;          /* TRUNCATE */
    const uint32_t *relations;      /* the decoder's, until the next message */
};

struct pgoutput_decoder;
struct pgoutput_decoder *pgoutput_decoder_new(void);
/* Accepts NULL; returns NULL. */
struct pgoutput_decoder *pgoutput_decoder_free(struct pgoutput_decoder *decoder);
DEFINE_CLEANUP(struct pgoutput_decoder *, pgoutput_decoder_free);
#define _cleanup_pgoutput_decoder_ _cleanup_(cleanup_pgoutput_decoder_free)

/* ERROR_PROTOCOL: not a message, or not one that may come now; *ret is untouched then, and the
 * decoder of no use any more. */
int pgoutput_decode(struct pgoutput_decoder *decoder, struct str message,
                    struct pgoutput_message *ret, struct error *err);

#endif
