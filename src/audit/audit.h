/*
 * audit.h - the static audit: whether a server's catalogs are as Reeve's isolation needs them.
 *
 * The checks are a table (check.c): each has a stable code, the worst severity that it reports, and
 * one query of sql/audit that gives a row a finding, and none where all is well. Nothing is
 * changed.
 *
 * Who audits a whole cluster tells the facts first (audit_facts_...): which services and placements
 * the catalog has there. Then audit_cluster, audit_database for each of facts->databases, and
 * audit_holes. A migration audits its own target with audit_target, in its transaction.
 *
 * No thread affinity; connections, facts and reports are one thread's at a time. Texts live in the
 * arena of the facts or of the report.
 */
#ifndef AUDIT_AUDIT_H
#define AUDIT_AUDIT_H

#include "base/arena.h"
#include "base/error.h"
#include "base/hash.h"
#include "isolation/isolation.h"

struct pg_connection;

/* ---- findings ---- */

/* critical: a tenant may reach what is another's, or what must be there is not, or could not be
 * looked at. warning: isolation holds, but something is not as Reeve makes it, or weaker than it
 * could be. info: good to know. */
enum audit_severity { AUDIT_INFO, AUDIT_WARNING, AUDIT_CRITICAL, AUDIT_SEVERITIES };
const char *audit_severity_name(enum audit_severity severity); /* "warning" */
/* ERROR_USAGE that lists the names. */
int audit_severity_parse(const char *name, enum audit_severity *ret, struct error *err);

struct audit_check;

struct audit_finding {
    enum audit_severity severity;
    const struct audit_check *check;
    const char *code;             /* the check's: "rls-not-forced" */
    const char *database;         /* NULL: the cluster's */
    const char *object;           /* "app.orders" */
    const char *message, *remedy; /* one line each */
    const char *subject;          /* role, schema or database that it is about; NULL: none */
    const char *cluster;          /* these three are the caller's to fill in; NULL until then */
    const char *tenant, *service;
};

enum { AUDIT_MAX_FINDINGS = 20000 }; /* further ones are counted alone */

struct audit_report {
    struct arena *arena;
    struct audit_finding *findings;
    size_t count, capacity;
    size_t dropped; /* past AUDIT_MAX_FINDINGS */
};
void audit_report_init(struct audit_report *report, struct arena *arena);
/* Texts are copied. */
void audit_report_add(struct audit_report *report, const struct audit_finding *finding);
/* Keeps those for which `keep` is true. */
void audit_report_filter(struct audit_report *report,
                         bool (*keep)(void *context, const struct audit_finding *finding),
                         void *context);
/* The worst first; within a severity by code, place and object. */
void audit_report_sort(struct audit_report *report);
/* How many there are of a severity. */
size_t audit_report_number(const struct audit_report *report, enum audit_severity severity);
/* What could not be looked at, as a finding: nobody may take silence for peace. */
void audit_report_failure(struct audit_report *report, const char *database, const char *object,
                          const struct error *error);

/* ---- the table of checks, for people ---- */

/* NULL past the last. */
const struct audit_check *audit_check_at(size_t index);
const char *audit_check_code(const struct audit_check *check);
const char *audit_check_title(const struct audit_check *check);
enum audit_severity audit_check_severity(const struct audit_check *check); /* its worst */
/* True: compares what the catalog has with what the server has, which change meanwhile: a finding
 * holds when it is found twice, the second time from a catalog that was read anew. */
bool audit_check_compares(const struct audit_check *check);

/* ---- facts: what the catalog has on one cluster ---- */

struct audit_names {
    const char **items;
    size_t count, capacity;
};

/* A database of Reeve's: shared, a template, or a tenant's. */
struct audit_database {
    struct audit_database *next;
    struct hash_node node; /* by name */
    const char *name;
    bool expected;                    /* must be there */
    bool audited;                     /* something in it is in the audit's scope */
    struct isolation_target *targets; /* whose schemas are to be audited */
    size_t target_count, target_capacity;
    struct audit_names schemas;                      /* of all targets, audited or not */
    struct audit_names known_schemas;                /* tenants' own */
    struct audit_names missing_schemas;              /* those of them that must be there */
    struct audit_names roles;                        /* of placements, whatever their state */
    struct audit_names mapped_roles, mapped_tenants; /* pairs: what reeve.role_tenant must say */
    struct audit_names row_tenants; /* ids of tenants whose rows may be in shared tables */
    struct audit_names pool_roles;  /* who enters tenants here: none, or the proxy's role */
};

struct audit_facts {
    struct arena *arena;
    bool everything; /* all placements of the cluster are known: orphans can be told */
    struct audit_database *databases;
    struct hash_table by_name;
    struct audit_names database_names, expected_databases;
    struct audit_names owner_roles, group_roles;
    struct audit_names session_roles; /* those that tenants' and the proxy's sessions may have */
    struct audit_names known_roles, expected_roles, suspended_roles;
    struct audit_names entered_roles;      /* under the guard: nobody logs in as these */
    struct audit_names members, member_of; /* pairs: memberships that there must be */
    struct audit_names connect_roles, connect_databases; /* pairs: who may connect where */
    struct audit_names streams; /* of moves that are open, wherever they are */
};

void audit_facts_init(struct audit_facts *facts, struct arena *arena, bool everything);
void audit_facts_free(struct audit_facts *facts);
#define _cleanup_audit_facts_ _cleanup_(audit_facts_free)

struct audit_service_facts {
    bool prepared; /* its roles and databases must be there */
    bool audited;  /* in the audit's scope: its shared tables and template are audited */
};
/* Borrows the service's strings. */
void audit_facts_service(struct audit_facts *facts, const struct isolation_service *service,
                         const struct audit_service_facts *about);

struct audit_placement_facts {
    bool placed;    /* ready: all of it must be there (else some of it may be) */
    bool audited;   /* in the audit's scope */
    bool suspended; /* its roles must not log in */
};
/* Its service comes first. Borrows the strings of both. */
void audit_facts_placement(struct audit_facts *facts, const struct isolation_service *service,
                           const struct isolation_placement *placement,
                           const struct audit_placement_facts *about);

/* What a move has on servers; borrowed. */
void audit_facts_stream(struct audit_facts *facts, const char *name);

/* ---- auditing ---- */

/* Roles, databases and the server's version; on a connection to any database, as administrator.
 * A check that fails becomes a finding; errors are ERROR_CONNECTION, ERROR_CANCELLED and
 * ERROR_TIMEOUT of the connection itself. */
int audit_cluster(struct pg_connection *maintenance, const struct audit_facts *facts,
                  struct audit_report *report, struct error *err);
/* One database and its targets, on a connection to it as administrator. Errors likewise. */
int audit_database(struct pg_connection *data, const struct audit_facts *facts,
                   const struct audit_database *database, struct audit_report *report,
                   struct error *err);
/*
 * One target, in the caller's transaction as owner role or administrator: its schema, and what the
 * transaction did outside it. Sets search_path for the rest of the transaction, so that nothing
 * that a migration made stands in for what the checks call.
 */
int audit_target(struct pg_connection *connection, const struct isolation_target *target,
                 struct audit_report *report, struct error *err);

/* Findings about a server of that version (150020), of sight alone. */
void audit_holes(int server_version, struct audit_report *report);

#endif
