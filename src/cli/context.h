/*
 * context.h - what most commands begin with: the configuration, the key, the control database.
 */
#ifndef CLI_CONTEXT_H
#define CLI_CONTEXT_H

#include <jansson.h>

#include "cli/cli.h"
#include "cli/config.h"
#include "job/job.h"

struct catalog;
struct catalog_audit_event;
struct catalog_tenant;

struct context {
    struct config config;
    struct job_context job; /* with the key; progress goes to standard error */
};

/* Finds and reads the configuration and the key file. Wipe with context_close. */
int context_open(struct cli *cli, struct context *ret, struct error *err);
/* The same from a configuration that was read already. */
int context_from_config(const struct config *config, const char *actor, struct context *ret,
                        struct error *err);
void context_close(struct context *context);
#define _cleanup_context_ _cleanup_(context_close)

/* The configuration alone. */
int context_config(struct cli *cli, struct config *ret, struct error *err);

/* Opens the catalog and checks its version; the caller closes it (_cleanup_catalog_). */
int context_catalog(const struct context *context, struct catalog **ret, struct error *err);
/* context_open and context_catalog. */
int context_open_catalog(struct cli *cli, struct context *ret, struct catalog **ret_catalog,
                         struct error *err);
/* The same, and the tenant that the command's argument SLUG names. */
int context_open_tenant(struct cli *cli, struct context *ret, struct catalog **ret_catalog,
                        struct catalog_tenant *ret_tenant, struct error *err);
/* The catalog for a command that only looks: no key is needed. */
int context_read_catalog(struct cli *cli, struct catalog **ret, struct error *err);

/*
 * Ends a change that catalog_begin began: when `result` is 0, writes its audit event (whose actor
 * is filled in, and whose detail is `detail`, taken over; NULL: none) and commits, else rolls back.
 * Returns `result`, or what failed here.
 */
int context_commit(const struct context *context, struct catalog *catalog, int result,
                   const struct catalog_audit_event *event, json_t *detail, struct error *err);

/* str_check_slug for a new thing's name, with the name in the error. `what`: "tenant slug". */
int context_check_slug(const char *what, const char *slug, struct error *err);

#endif
