/*
 * flip.h - the moment at which a tenant goes on at its other place. Private to this room.
 */
#ifndef MOVE_FLIP_H
#define MOVE_FLIP_H

#include "move/internal.h"

/* ERROR_STATE: the two places have not the same migrations. moving->making has them. */
int flip_check_versions(struct job_run *run, struct moving *moving, struct error *err);
/* ERROR_MIGRATION: the tenant's place was migrated since its stream began. */
int flip_check_stream(struct job_run *run, struct moving *moving, struct error *err);
/* From now on they must be at the version that the tenant's place has: its stream is for that. */
int flip_set_version(struct job_run *run, struct moving *moving, struct error *err);
/* Whether the place's tables are other tenants' too. */
bool flip_is_shared(struct job_run *run, const struct place *place);
/* Until flip_let_migrations, or the end of the job's session. ERROR_STATE as above. */
int flip_keep_migrations_away(struct job_run *run, struct moving *moving, bool waits,
                              struct error *err);
void flip_let_migrations(struct job_run *run, const struct moving *moving);
/* The tenant waits, and all of it is at `to`: it goes on there. The old place stays closed. */
int flip_now(struct job_run *run, struct moving *moving, const char *action,
             enum catalog_move_phase phase, struct error *err);
/* Behind the flip: what copying had the right to is taken back; a failure is told. */
void flip_disallow(struct job_run *run, struct moving *moving);

#endif
