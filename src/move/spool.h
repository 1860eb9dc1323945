/*
 * spool.h - what a change stream tells of large transactions while they run, kept until they
 * commit. Private to this room.
 *
 * A transaction's changes are bytes to the spool. They are in one order; each belongs to the
 * transaction itself or to one of its subtransactions. What is more than a block (64 kB) of a
 * transaction is in a file of its own that has no name (mode 0600): it is gone with the process,
 * and read by nobody else. In memory are a block of some of the transactions, 16 MB at most, and 16
 * bytes for a subtransaction; and, while one is replayed, a block or its largest change.
 */
#ifndef MOVE_SPOOL_H
#define MOVE_SPOOL_H

#include "base/str.h"

struct spool;

/* Of one stream. directory: for the files, borrowed; limit: bytes altogether. */
struct spool *spool_new(const char *directory, uint64_t limit);
/* Accepts NULL; returns NULL. Everything that is kept is thrown away. */
struct spool *spool_free(struct spool *spool);
DEFINE_CLEANUP(struct spool *, spool_free);
#define _cleanup_spool_ _cleanup_(cleanup_spool_free)

/* TMPDIR, where it is an absolute path; else /var/tmp, or where there is none /tmp, which may be in
 * memory. Never NULL; of the process, or static. */
const char *spool_directory(void);
/* Files can be made there. */
bool spool_is_possible(void);

/* The transaction is told of (further). ERROR_PROTOCOL: for the first time, although it is known,
 * or not for the first time and it is not; ERROR_LIMIT: too many are open. */
int spool_begin(struct spool *spool, uint32_t xid, bool first, struct error *err);
/* A change of a transaction that was begun; sub_xid: its subtransaction, or xid itself. The bytes
 * are copied. ERROR_LIMIT: the spool's bytes, or too many subtransactions; ERROR_IO: also when the
 * disk is full. */
int spool_add(struct spool *spool, uint32_t xid, uint32_t sub_xid, struct str change,
              struct error *err);
/* A subtransaction's changes are gone, and all behind the first of them, since whatever has come
 * behind it belongs to it or to one within it; or, where sub_xid is xid, the whole transaction.
 * Nothing where one is not known: it had no change. */
void spool_abort(struct spool *spool, uint32_t xid, uint32_t sub_xid);
/* It is to be replayed. One at a time. ERROR_PROTOCOL: it is not known. */
int spool_replay(struct spool *spool, uint32_t xid, struct error *err);
/* The subtransactions of the one that is replayed; i < spool_sub_count. */
size_t spool_sub_count(const struct spool *spool);
uint32_t spool_sub(const struct spool *spool, size_t i);

struct spool_change {
    char *bytes; /* which the caller may change */
    size_t length;
    uint32_t sub_xid;
};

/* 1: its next change, until the next call; 0: there was none left, and the transaction is gone.
 * ERROR_IO. */
int spool_next(struct spool *spool, struct spool_change *ret, struct error *err);

/* Bytes, of all transactions that it has. */
uint64_t spool_size(const struct spool *spool);

#endif
