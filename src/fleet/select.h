/*
 * select.h - placements, with all that decides whether a command for many may move them.
 */
#ifndef FLEET_SELECT_H
#define FLEET_SELECT_H

#include "catalog/placement.h"
#include "fleet/match.h"

struct fleet_placement {
    struct catalog_placement placement;
    const char *const *tags; /* its tenant's */
    size_t tag_count;
    const char *busy; /* why it stays where it is, for people; NULL: nothing keeps it */
};

struct fleet_filter {
    const char *service; /* NULL: of all */
    const struct match *match;
};

/* Those that the filter names, by id; in the arena. ERROR_NOT_FOUND: there is no such service. */
int fleet_select(struct catalog *catalog, const struct fleet_filter *filter, struct arena *arena,
                 struct fleet_placement **ret, size_t *ret_count, struct error *err);

/* Why a move of the placement to there (NULL: as it is) is not begun at all, for people; NULL:
 * it can be tried. */
const char *fleet_skip(const struct fleet_placement *placement, const char *isolation,
                       const char *cluster, const char *database, struct arena *arena);

#endif
