/*
 * parts.h - what copying and comparing consist of, and the indexes that are gone while a table
 * comes in by several transactions. Private to this room.
 */
#ifndef MOVE_PARTS_H
#define MOVE_PARTS_H

#include "move/internal.h"

/* What one member does at once. */
struct unit {
    size_t table;   /* of moving->tables */
    bool at_target; /* of a comparison: the end that is read */
    struct isolation_part part;
};

/* A table as its units come to their end; under the team's lock. */
struct table_work {
    bool in_parts; /* more than one is copied */
    size_t left;   /* units that are not done */
    struct isolation_fingerprint here, there;
};

struct units {
    struct unit *units; /* largest table first */
    size_t count;
    struct table_work *tables; /* one for each of moving->tables */
};

/* In the arena. */
void units_to_copy(const struct moving *moving, struct arena *arena, struct units *ret);
/* `there`: the target's tables, in any order; each end is read in parts of its own. */
void units_to_compare(const struct moving *moving, const struct isolation_table *there,
                      size_t there_count, struct arena *arena, struct units *ret);

/* ---- indexes, at the place that is copied to ---- */

/* What a copy that was cut off has dropped is there again. `owner` is a login of the owner role. */
int parts_put_indexes_back(const struct moving *moving, struct pg_connection *owner,
                           struct error *err);
/* Those of one table, behind its last part. */
int parts_put_indexes_back_of(const struct moving *moving, struct pg_connection *owner,
                              const struct isolation_table *table, struct error *err);
/* Of tables that are copied in parts those are dropped that can be made again. */
int parts_put_indexes_away(const struct moving *moving, struct pg_connection *owner,
                           const struct units *units, struct error *err);
/* The record goes, if there is one. ERROR_INTERNAL: an index is still in it. */
int parts_drop_record(const struct moving *moving, struct error *err);

/* What the target lacked before the copy, it may lack. The caller frees *ret. */
int parts_look_at_indexes(const struct moving *moving, struct pg_result **ret, struct error *err);
/* ERROR_INTERNAL names an index of the source that the target has no more. */
int parts_check_indexes(const struct moving *moving, const struct pg_result *before,
                        struct error *err);

#endif
