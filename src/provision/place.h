/*
 * place.h - one placement while a job works on it: what the catalog says and what the isolation
 * wants to know, loaded once a job.
 */
#ifndef PROVISION_PLACE_H
#define PROVISION_PLACE_H

#include "provision/base.h"

struct place {
    struct catalog_placement placement;
    struct site site;
    struct server server;
    struct isolation_placement isolated;
};

/* In the arena, by its id. ERROR_NOT_FOUND. */
int place_load(const struct job_context *context, struct catalog *catalog, struct arena *arena,
               int64_t placement_id, struct place **ret, struct error *err);

/* The same at another place of it than the catalog's: `placement` is borrowed (catalog/move.h). */
int place_load_at(const struct job_context *context, struct catalog *catalog, struct arena *arena,
                  const struct catalog_placement *placement, struct place **ret, struct error *err);

/* ERROR_USAGE: there is no such isolation; ERROR_INVALID: the service does not allow it. */
int place_check_isolation(const struct catalog_service *service, const char *isolation,
                          struct error *err);
/* Whether a place in that isolation may be in the shared database of that name (NULL: of no name),
 * which may be one that is to be made. ERROR_USAGE: the isolation has none; ERROR_INVALID: the
 * name; ERROR_EXISTS: somebody else has it. Asks the server. */
int place_check_database(const struct job_context *context, struct catalog *catalog,
                         struct arena *arena, const struct catalog_service *service,
                         const char *isolation, int64_t cluster_id, const char *database,
                         struct error *err);
/* What a place of the placement would be in that isolation, on that cluster and of that generation,
 * with new passwords; in the arena. database: the shared one, if the isolation has one (NULL: the
 * default). */
int place_design(const struct job_context *context, struct catalog *catalog, struct arena *arena,
                 const struct catalog_placement *placement, const char *isolation,
                 int64_t cluster_id, const char *database, int64_t generation,
                 struct catalog_place *ret, struct error *err);
/* Where the catalog says that its data is, and its sealed passwords: for a placement that was just
 * created. database as above. In the caller's transaction. */
int place_assign(const struct job_context *context, struct catalog *catalog, struct arena *arena,
                 int64_t placement_id, const char *database, struct error *err);

/* The server's objects, with the passwords that the catalog has. */
int place_create(struct place *place, struct arena *arena, struct error *err);
/* Ends its sessions and drops its data, in whatever state it is. */
int place_drop(struct place *place, struct error *err);

/*
 * The steps in which a job makes a place, each of which may be run again: the service on that
 * cluster, roles and place, migrations, privileges.
 */
struct place_making {
    struct place *place;
    struct migration_set set;
    bool has_set;
};
int place_read_migrations(struct job_run *run, struct place_making *making, struct error *err);
int place_prepare(struct job_run *run, struct place_making *making, struct error *err);
int place_make(struct job_run *run, struct place_making *making, struct error *err);
/* `follow`: the catalog's placement has the version then. */
int place_migrate(struct job_run *run, struct place_making *making, bool follow, struct error *err);
int place_finish(struct job_run *run, const struct place_making *making, struct error *err);

/* One line of the audit trail; detail is a JSON object or NULL. */
int place_audit(const struct job_context *context, struct catalog *catalog, const char *action,
                const struct catalog_placement *placement, const char *detail, struct error *err);

#endif
