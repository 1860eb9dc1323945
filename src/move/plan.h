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
    struct move_problem *problems, *remarks;
    size_t problem_count, remark_count;
    struct move_need needs[2]; /* of the source's cluster, of the target's; one: the second is
                                * zeroes */
    bool one_server;
};

/* What was asked for, checked against the catalog. *ret is zeroes before. */
int planning_begin(const struct job_context *context, struct catalog *catalog, struct arena *arena,
                   const struct move_spec *spec, struct planning *ret, struct error *err);
/* ERROR_STATE: somebody lets it wait. */
int planning_check_held(const struct catalog_placement *placement, struct error *err);
/* Both ends: sizes, problems and remarks. */
int planning_look(struct planning *planning, const struct move_spec *spec, struct error *err);
/* A part of that: what the move needs of the servers. Behind the sizes. */
int planning_look_at_servers(struct planning *planning, const struct move_spec *spec,
                             struct pg_connection *source, struct pg_connection *target,
                             struct error *err);
/* What the move would fail for; what should be known before it. Texts are borrowed; remedy NULL:
 * there is none. Too many of them are left out. */
void planning_add_problem(struct planning *planning, const char *what, const char *remedy);
void planning_add_remark(struct planning *planning, const char *what, const char *remedy);
/* How long copying takes, and how long the tenant would wait: guesses on the safe side. */
int64_t planning_copy_us(const struct planning *planning, const struct move_spec *spec);
int64_t planning_pause_us(const struct planning *planning, const struct move_spec *spec);

#endif
