#include "migrate/migrate.h"
#include "move/internal.h"
#include "provision/jobs.h"

const struct job_definition *const move_jobs[] = {
    &provision_attach_job,
    &provision_detach_job,
    &provision_tenant_delete_job,
    &provision_service_create_job,
    &migrate_job,
    &provision_enforce_job,
    &move_job,
    &move_revert_job,
    &move_finish_job,
    &move_online_job,
    &move_back_job,
    NULL,
};
