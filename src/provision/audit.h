/*
 * audit.h - the static audit of everything that the catalog has, or of a part of it.
 */
#ifndef PROVISION_AUDIT_H
#define PROVISION_AUDIT_H

#include "audit/audit.h"
#include "job/job.h"

/* All NULL: everything, and with it what on the servers belongs to nobody. Both: one placement. */
struct provision_audit_scope {
    const char *tenant; /* slug: its placements, and what it shares with others */
    const char *service;
};

/*
 * Reads the catalogs of every cluster and database in the scope, without locks and without changing
 * anything; what the catalog and a server say differently is looked at twice, since tenants come
 * and go meanwhile. What cannot be reached is a finding. Findings live in the report's arena.
 * ERROR_NOT_FOUND, and errors of the control database.
 */
int provision_audit(const struct job_context *context, const struct provision_audit_scope *scope,
                    struct audit_report *report, struct error *err);

#endif
