/*
 * placement_record.h - a placement as commands print it.
 */
#ifndef CLI_PLACEMENT_RECORD_H
#define CLI_PLACEMENT_RECORD_H

#include "catalog/placement.h"
#include "cli/context.h"

extern const struct output_field placement_fields[];

/* The record of placement_fields. */
json_t *placement_record(struct arena *arena, const struct config *config,
                         const struct catalog_placement *placement);
/* "schema t_000042 in database svc_orders on cluster local". */
const char *placement_describe(struct arena *arena, const struct catalog_placement *placement);

#endif
