/*
 * plan.h - a move before it is begun. Private to this room.
 */
#ifndef MOVE_PLAN_H
#define MOVE_PLAN_H

#include "base/time.h"
#include "catalog/tenant.h"
#include "move/move.h"
#include "provision/place.h"

struct planning {
    struct arena *arena;
    struct catalog_tenant tenant;
    struct place *from, *to;
    struct catalog_place where; /* the new place, as the catalog will have it */
    struct migration_set set;
    int64_t tables, bytes, rows;
    struct move_problem *problems;
    size_t problem_count;
};

/* What was asked for, checked against the catalog. *ret is zeroes before. */
int planning_begin(const struct job_context *context, struct catalog *catalog, struct arena *arena,
                   const struct move_spec *spec, struct planning *ret, struct error *err);
/* Both ends: sizes and problems. */
int planning_look(struct planning *planning, bool offline, struct error *err);
/* How long the tenant would wait, offline: a guess on the safe side. */
int64_t planning_pause_us(const struct planning *planning);

#endif
