/*
 * measure.h - what placements' data takes on the clusters. Private to this room.
 */
#ifndef FLEET_MEASURE_H
#define FLEET_MEASURE_H

#include "catalog/placement.h"
#include "job/job.h"

enum { MEASURE_UNKNOWN = -1 }; /* its cluster cannot be looked at */

/* As isolation_measure. ret_bytes has a place for each placement. A cluster that cannot be reached
 * is no error. */
int fleet_measure(const struct job_context *context, struct catalog *catalog,
                  const struct catalog_placement *const *placements, size_t count,
                  struct arena *arena, int64_t *ret_bytes, struct error *err);

#endif
