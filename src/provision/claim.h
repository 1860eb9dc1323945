/*
 * claim.h - a server belongs to one Reeve.
 *
 * What Reeve makes on a server has names that come from the ids in its catalog, and it goes on with
 * what it finds there by these names. Those of another catalog are the same, so a server that two
 * Reeves worked on would have one tenant's data under another tenant's name. The comment of the
 * role reeve_claim says whose a server is (docs/decisions/0007-a-server-belongs-to-one-reeve.md).
 */
#ifndef PROVISION_CLAIM_H
#define PROVISION_CLAIM_H

#include "pg/connection.h"

/* Claims the server for that installation (an UUID) unless it has it. The connection is the
 * administrator's, to any database. ERROR_STATE: it is another's; nothing was changed. */
int claim_server(struct pg_connection *admin, const char *cluster, const char *installation,
                 struct error *err);
/* The same, but a server that is nobody's stays so: ERROR_STATE. */
int claim_check(struct pg_connection *admin, const char *cluster, const char *installation,
                struct error *err);
/* Nobody's again; the caller has made sure that it was claimed. */
int claim_drop(struct pg_connection *admin, struct error *err);

#endif
