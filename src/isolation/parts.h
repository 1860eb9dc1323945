/*
 * parts.h - a large table as ranges of its blocks, which several connections read at once.
 *
 * Ranges, not keys: any table has blocks, a scan of a range reads those alone (a TID range scan),
 * and whatever the ranges are, each row version is in exactly one of them. All parts must be read
 * in one snapshot, or while nobody writes, and with a lock on the table in between, as a rewrite
 * (VACUUM FULL) takes rows from one part to another.
 */
#ifndef ISOLATION_PARTS_H
#define ISOLATION_PARTS_H

#include "base/arena.h"
#include "base/buffer.h"

struct isolation_part {
    int64_t from; /* block, and those behind it; 0: from the first */
    int64_t to;   /* block that is no more of it; 0: to the end, however far the table has grown */
};

enum { ISOLATION_PARTS_MAX = 4096 /* of one table */ };

/* How many parts a table of so many bytes (with its long values) is, 1 at least. `blocks` are those
 * that can be read in ranges; 0: it can be read as a whole only. */
size_t isolation_part_count(int64_t bytes, int64_t blocks, int64_t part_bytes);
/* The parts from 0 to count - 1 are the table. One part is all of it. */
struct isolation_part isolation_part_at(int64_t blocks, size_t count, size_t number);
/* A condition, with `word` ("WHERE") in front of it; nothing for the whole table. */
void isolation_part_put(struct buffer *sql, const char *word, const struct isolation_part *part);

/* Of 64-bit hashes of rows: exact, as 2^63 rows of 2^63 each are less than 2^127. */
__extension__ typedef __int128 isolation_sum;
/* A decimal number as PostgreSQL writes it. False: it is none, or not of such a sum. */
bool isolation_sum_parse(const char *text, isolation_sum *ret);

#endif
