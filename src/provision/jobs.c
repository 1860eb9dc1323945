#include "provision/jobs.h"

#include "migrate/migrate.h"
#include "provision/provision.h"

const struct job_definition *const provision_jobs[] = {
    &provision_attach_job,
    &provision_detach_job,
    &provision_tenant_delete_job,
    &provision_service_create_job,
    &migrate_job,
    &provision_enforce_job,
    NULL,
};
