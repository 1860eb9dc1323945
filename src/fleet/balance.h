/*
 * balance.h - which tenants would have to move for clusters to even out: facts in, moves out.
 *
 * Each move is from the cluster with most to the one with least, and is the tenant that makes the
 * two most even: the largest there is up to about half of what is between them. So there are few
 * moves, each makes the clusters more even, and no tenant moves twice.
 */
#ifndef FLEET_BALANCE_H
#define FLEET_BALANCE_H

#include "base/arena.h"

struct balance_cluster {
    bool gives, takes; /* tenants may move from it; to it. Neither: it is left out of account */
};

/* A placement. */
struct balance_tenant {
    size_t cluster; /* index */
    int64_t weight; /* bytes, microseconds, or 1: not negative */
    bool stays;     /* it counts where it is, and does not move */
};

struct balance_facts {
    const struct balance_cluster *clusters;
    size_t cluster_count;
    const struct balance_tenant *tenants;
    size_t tenant_count;
};

struct balance_rules {
    double within;    /* two clusters are even when this part of the mean is between them */
    size_t max_moves; /* 0: as many as it takes */
};

struct balance_move {
    size_t tenant, from, to; /* indexes */
    int64_t between;         /* what `from` had more than `to`, before this move */
};

struct balance_plan {
    struct balance_move *moves; /* in their order */
    size_t move_count;
    int64_t *before, *after;            /* weight of each cluster */
    double spread_before, spread_after; /* most less least, in parts of the mean; 0: all is even */
};

/* In the arena. */
void balance_plan(const struct balance_facts *facts, const struct balance_rules *rules,
                  struct arena *arena, struct balance_plan *ret);

#endif
