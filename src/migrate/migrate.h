/*
 * migrate.h - bringing a service's placements to its newest migration.
 *
 * All pending files of one placement are applied in one transaction, as the service's owner role:
 * a failure leaves that placement exactly as it was. The ledger (reeve.migration in each data
 * database) is written in the same transaction and is the truth; the catalog's schema_version
 * follows it. Migrations cannot end the transaction themselves: BEGIN, COMMIT and their like are
 * refused.
 */
#ifndef MIGRATE_MIGRATE_H
#define MIGRATE_MIGRATE_H

#include "base/error.h"
#include "job/job.h"
#include "migrate/folder.h"

enum { MIGRATE_DEFAULT_CONCURRENCY = 4, MIGRATE_MAX_CONCURRENCY = 64 };

enum migrate_status {
    MIGRATE_CURRENT, /* nothing was pending */
    MIGRATE_PENDING, /* dry run: `files` would be applied */
    MIGRATE_APPLIED, /* `files` were applied */
    MIGRATE_FAILED,
};

extern const struct job_definition migrate_job;

/* One target's outcome; valid during the callback alone. */
struct migrate_outcome {
    enum migrate_status status;
    const char *target;       /* "template on local", "shared rows on local", "acme (schema)" */
    const char *tenant;       /* slug; NULL for the template and the shared schema */
    int64_t placement_id;     /* 0 likewise */
    const char *from, *to;    /* versions; from is "" when nothing was applied yet */
    const char *const *files; /* pending or applied */
    size_t file_count;
    const char *const *notes; /* what shaping did, for people */
    size_t note_count;
    const struct error *error; /* MIGRATE_FAILED */
};

struct migrate_options {
    bool dry_run;
    int concurrency; /* targets at once; 0: MIGRATE_DEFAULT_CONCURRENCY */
    void (*outcome)(void *owner,
                    const struct migrate_outcome *outcome); /* one at a time; or NULL */
    void *owner;
};

struct migrate_summary {
    size_t targets, current, applied, pending, failed, untouched; /* untouched: after a failure */
    char newest[MIGRATION_VERSION_SIZE];
};

/*
 * Brings a service to its folder's newest version: template and shared databases first, then every
 * placement, `concurrency` at once. Stops taking up targets at the first failure and returns it,
 * naming the target, file, line and SQLSTATE. Row placements follow their shared schema. Safe to
 * run again. ERROR_NOT_FOUND, ERROR_INVALID (folder), ERROR_BUSY, ERROR_MIGRATION,
 * ERROR_CONNECTION. ret_summary is filled in also upon failure; may be NULL.
 */
int migrate_service(const struct job_context *context, const char *service,
                    const struct migrate_options *options, struct migrate_summary *ret_summary,
                    struct error *err);

#endif
