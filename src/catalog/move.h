/*
 * move.h - a placement that has two places, or had.
 *
 *   create
 *   ------> preparing -> copying -> verifying -> moved -> finishing -> finished
 *               \           \           \           \
 *                +-----------+-----------+           +-> reverting -> reverted
 *                            |
 *                            +-> aborting -> aborted
 *
 * A placement has one open move at most. `place` is where the placement is not: the new place until
 * catalog_move_flip, and from then on the old one. (Phase `catching up` is an online move's; nobody
 * sets `cutting over`.)
 */
#ifndef CATALOG_MOVE_H
#define CATALOG_MOVE_H

#include "catalog/placement.h"

enum catalog_move_phase {
    CATALOG_MOVE_PREPARING,
    CATALOG_MOVE_COPYING,
    CATALOG_MOVE_CATCHING_UP,
    CATALOG_MOVE_CUTTING_OVER,
    CATALOG_MOVE_VERIFYING,
    CATALOG_MOVE_MOVED,
    CATALOG_MOVE_FINISHING,
    CATALOG_MOVE_REVERTING,
    CATALOG_MOVE_ABORTING,
    CATALOG_MOVE_FINISHED,
    CATALOG_MOVE_REVERTED,
    CATALOG_MOVE_ABORTED,
};
const char *catalog_move_phase_name(enum catalog_move_phase phase); /* "catching up" */
/* None of its places is left but the placement's. */
bool catalog_move_is_over(enum catalog_move_phase phase);

struct catalog_move {
    int64_t id;
    struct catalog_placement place; /* the placement, with the place where it is not */
    enum catalog_move_phase phase;
    bool offline;
    bool flipped;     /* the placement is at the new place */
    bool abandoned;   /* the other place's server is gone for good: nobody asks it */
    bool stop_wanted; /* somebody wants it to be aborted */
    const char *from_isolation, *from_cluster, *to_isolation, *to_cluster;
    const char *from_database, *to_database; /* "": begun by an older Reeve */
    int64_t tables, bytes_total, rows_total; /* as it was planned: estimates */
    int64_t bytes_done, rows_done;
    int64_t pauses;   /* that the tenant has waited and gone on: of a revert, since that began */
    int64_t pause_us; /* the longest of these; 0: there was none */
    int64_t started_unix_us, ended_unix_us; /* 0: it is not over */
    const char *error;                      /* why it was given up; "" */
    int64_t held_unix_us;                   /* the tenant waits since then; 0: it does not */
    int64_t wal_limit;                      /* bytes that its slots may keep; 0: no bound */
    int64_t keep_us;       /* the old place goes so long after the flip; 0: when it is asked for */
    int64_t lag_bytes;     /* of WAL that was not applied at the other place; -1: none is told */
    int64_t phase_unix_us; /* since when it is in its phase */
    const char *version;   /* of the service, that its streams are for; "": it has none */
};

/* The first generation that no place of the placement has had. */
int catalog_move_generation(struct catalog *catalog, int64_t placement_id, int64_t *ret,
                            struct error *err);
/* Of `move`: offline, tables, bytes_total, rows_total, wal_limit, keep_us. Every member of `place`
 * must be set. ERROR_EXISTS: the placement has an open move. */
int catalog_move_create(struct catalog *catalog, int64_t placement_id,
                        const struct catalog_move *move, const struct catalog_place *place,
                        int64_t *ret_id, struct error *err);
/* In the arena. ERROR_NOT_FOUND. */
int catalog_move_get(struct catalog *catalog, struct arena *arena, int64_t id,
                     struct catalog_move *ret, struct error *err);
/* The open one of a placement. ERROR_NOT_FOUND. */
int catalog_move_of(struct catalog *catalog, struct arena *arena, int64_t placement_id,
                    struct catalog_move *ret, struct error *err);

struct catalog_move_filter {
    int64_t placement_id, tenant_id, cluster_id; /* of the other place's cluster; 0: any */
    bool open;
};
/* By id. */
int catalog_move_list(struct catalog *catalog, struct arena *arena,
                      const struct catalog_move_filter *filter, struct catalog_move **ret,
                      size_t *ret_count, struct error *err);

/* why NULL: the error there is stays, until the move is finished or reverted. */
int catalog_move_set_phase(struct catalog *catalog, int64_t id, enum catalog_move_phase phase,
                           const char *why, struct error *err);
/* What is to be copied; nothing of it is yet. */
int catalog_move_set_size(struct catalog *catalog, int64_t id, int64_t tables, struct error *err);
int catalog_move_set_version(struct catalog *catalog, int64_t id, const char *version,
                             struct error *err);
int catalog_move_set_lag(struct catalog *catalog, int64_t id, int64_t bytes, struct error *err);
/* The stream back is gone: the move goes on as an offline one. */
int catalog_move_lose_stream(struct catalog *catalog, int64_t id, const char *why,
                             struct error *err);
int catalog_move_set_done(struct catalog *catalog, int64_t id, int64_t bytes, int64_t rows,
                          bool *ret_stop_wanted, struct error *err);
/* When the tenant began to wait, and when it went on. */
int catalog_move_held(struct catalog *catalog, int64_t id, struct error *err);
int catalog_move_released(struct catalog *catalog, int64_t id, struct error *err);
/* Whoever carries it out shall give it up. */
int catalog_move_stop(struct catalog *catalog, int64_t id, struct error *err);
/* Its other place is not asked any more: the server is gone. */
int catalog_move_abandon(struct catalog *catalog, int64_t id, struct error *err);
/* The placement and the move exchange their places: the placement gets a new epoch.
 * ERROR_STATE: somebody wants it to be given up. */
int catalog_move_flip(struct catalog *catalog, int64_t id, struct error *err);

#endif
