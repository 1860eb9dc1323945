/*
 * route_load.h - the catalog's present state, or what changed in it, as a route table wants it.
 *
 * Each load is one transaction that sees one state of the catalog.
 */
#ifndef CATALOG_ROUTE_LOAD_H
#define CATALOG_ROUTE_LOAD_H

#include "catalog/internal.h"
#include "route/route.h"

enum { CATALOG_HISTORY_SIZE = 40 };

/* How far somebody has followed which catalog. All zero: not at all. */
struct catalog_position {
    int64_t version;
    int64_t pruned; /* changes up to this version are not kept any more */
    char history[CATALOG_HISTORY_SIZE];
};

enum catalog_load { CATALOG_LOAD_NOTHING, CATALOG_LOAD_CHANGES, CATALOG_LOAD_EVERYTHING };

/*
 * Brings the table from *position to what the catalog is now, and moves *position with it: nothing
 * to do, the changes since, or everything where the changes are not there (or are very many).
 * A failure leaves table and position as they were. ret says what was loaded.
 */
int catalog_route_load(struct catalog *catalog, struct route_table *table,
                       struct catalog_position *position, enum catalog_load *ret,
                       struct error *err);

#endif
