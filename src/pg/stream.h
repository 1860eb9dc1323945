/*
 * stream.h - logical replication: a slot, and the change stream that it gives (PostgreSQL's manual,
 * "Streaming Replication Protocol").
 *
 * A connection made with pg_options.replication speaks this and simple statements
 * (pg_execute_script) alone. While a stream is open it can do nothing else; a stream's end is the
 * connection's end. What a message says is change/'s business.
 */
#ifndef PG_STREAM_H
#define PG_STREAM_H

#include "base/str.h"
#include "pg/connection.h"

enum { PG_LSN_SIZE = 20, PG_SNAPSHOT_SIZE = 64 };

/* "16/B374D848". */
void pg_lsn_format(uint64_t lsn, char ret[PG_LSN_SIZE]);
/* False when the text is no LSN. */
bool pg_lsn_parse(const char *text, uint64_t *ret);

struct pg_slot {
    uint64_t consistent_lsn; /* every transaction that commits behind it is in the slot's stream */
    char snapshot[PG_SNAPSHOT_SIZE]; /* and every earlier one in this snapshot */
};

enum pg_slot_life { PG_SLOT_LASTING, PG_SLOT_OF_CONNECTION };

/*
 * Makes a logical slot for pgoutput and exports the snapshot where its stream begins. Others may
 * import that until the connection's next command, or its end. Waits for every transaction that is
 * open on the server; the cancel flag ends the wait. The name: a to z, 0 to 9, underscores.
 * ERROR_EXISTS: there is such a slot; ERROR_LIMIT: max_replication_slots; ERROR_STATE: wal_level
 * is below logical; ERROR_DENIED: the role may not replicate.
 */
int pg_slot_create(struct pg_connection *replication, const char *name, enum pg_slot_life life,
                   struct pg_slot *ret, struct error *err);

struct pg_stream;

struct pg_stream_spec {
    const char *slot;
    const char *publications[2]; /* the second may be NULL */
    uint64_t start_lsn;          /* of what comes first; before what was confirmed: from there on */
    bool in_pieces;              /* large transactions are told while they run: protocol 2 */
    bool messages;               /* those of pg_logical_emit_message too, which anybody may call */
};

/* The connection stays the caller's, and is closed behind the stream. The caller frees *ret. */
int pg_stream_open(struct pg_connection *replication, const struct pg_stream_spec *spec,
                   struct pg_stream **ret, struct error *err);
/* Accepts NULL; returns NULL. */
struct pg_stream *pg_stream_free(struct pg_stream *stream);
DEFINE_CLEANUP(struct pg_stream *, pg_stream_free);
#define _cleanup_pg_stream_ _cleanup_(cleanup_pg_stream_free)

enum pg_stream_kind {
    PG_STREAM_NOTHING,  /* the time is over, or wake_fd is readable */
    PG_STREAM_MESSAGE,  /* `message` */
    PG_STREAM_POSITION, /* the server has read so far, and there was nothing for this stream */
};

struct pg_stream_piece {
    enum pg_stream_kind kind;
    struct str message;   /* until the next call */
    uint64_t lsn;         /* PG_STREAM_MESSAGE: where it begins in the WAL; 0: nowhere */
    uint64_t end_lsn;     /* the end of the server's WAL, as far as it has read */
    bool answer_expected; /* the server wants to hear from us: pg_stream_confirm */
};

/* Waits for the next piece, timeout_us at most; 0: not at all. wake_fd is not read; -1: none.
 * ERROR_CONNECTION: the stream has ended, or the server. */
int pg_stream_next(struct pg_stream *stream, int wake_fd, int64_t timeout_us,
                   struct pg_stream_piece *ret, struct error *err);
/* Tells how far everything is safe here, so that the slot need not keep it. To be called within
 * the server's wal_sender_timeout, also with the same value again. */
int pg_stream_confirm(struct pg_stream *stream, uint64_t safe_lsn, struct error *err);

#endif
