/*
 * jobs.h - the definitions, for this room; everybody else has move_jobs (move/move.h).
 */
#ifndef PROVISION_JOBS_H
#define PROVISION_JOBS_H

#include "provision/place.h"

extern const struct job_definition provision_attach_job;         /* on a placement */
extern const struct job_definition provision_detach_job;         /* on a placement */
extern const struct job_definition provision_enforce_job;        /* on a placement */
extern const struct job_definition provision_tenant_delete_job;  /* on a tenant */
extern const struct job_definition provision_service_create_job; /* on a service */

/* What detaching does, for a job on something larger: locks the placement, ends whatever was
 * unfinished, drops it all. Nothing when it is gone. */
int provision_remove_placement(const struct job_context *context, struct catalog *catalog,
                               int64_t placement_id, struct error *err);

#endif
