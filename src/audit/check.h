/*
 * check.h - the table of checks. Private to this room.
 */
#ifndef AUDIT_CHECK_H
#define AUDIT_CHECK_H

#include "audit/audit.h"

enum audit_scope {
    AUDIT_OF_CLUSTER,
    AUDIT_OF_DATABASE,
    AUDIT_OF_TARGETS,   /* in each database, of all targets at once */
    AUDIT_OF_MIGRATION, /* by audit_target alone */
    AUDIT_OF_NOTHING,   /* no query: the code of findings that are made here */
};

/* What a check's query is given, in the order of its parameters. */
enum audit_value {
    VALUE_NONE,
    /* of the targets: JSON, an array of names, then arrays of oids */
    VALUE_TARGETS,
    VALUE_TARGET_SCHEMAS,
    VALUE_RELATIONS,
    VALUE_ROW_TABLES,
    VALUE_OWN_TABLES,
    VALUE_SHARED_TABLES,
    VALUE_ROUTINES,
    /* of the database */
    VALUE_SCHEMAS, /* of all targets, audited or not */
    VALUE_KNOWN_SCHEMAS,
    VALUE_MISSING_SCHEMAS,
    VALUE_ROLES,
    VALUE_MAPPED_ROLES,
    VALUE_MAPPED_TENANTS,
    VALUE_ROW_TENANTS,
    VALUE_POOL_ROLES,
    /* of the cluster */
    VALUE_DATABASES,
    VALUE_EXPECTED_DATABASES,
    VALUE_OWNER_ROLES,
    VALUE_GROUP_ROLES,
    VALUE_SESSION_ROLES,
    VALUE_KNOWN_ROLES,
    VALUE_EXPECTED_ROLES,
    VALUE_SUSPENDED_ROLES,
    VALUE_ENTERED_ROLES,
    VALUE_MEMBERS,
    VALUE_MEMBER_OF,
    VALUE_CONNECT_ROLES,
    VALUE_CONNECT_DATABASES,
    VALUE_STREAMS,
    /* always the same */
    VALUE_TENANT_POLICY, /* what reeve_tenant's expression may look like */
    VALUE_OWNER_POLICY,
    VALUE_FRESH, /* only what this transaction made */
    AUDIT_VALUES
};

enum { AUDIT_CHECK_VALUES = 5 };

enum audit_flag {
    IN_MIGRATION = 1, /* audit_target runs it too */
    ROW_ONLY = 16,    /* there, only of tables that row-level security keeps apart: elsewhere it is
                         critical of nothing */
    EVERYTHING = 2,   /* only where the facts are complete */
    COMPARES = 4,     /* what the catalog has with what the server has */
    GENERATES = 8,    /* the query gives queries, each of which gives findings */
};

struct audit_check {
    const char *code;
    const char *title;
    const char *sql;
    enum audit_severity severity; /* the worst: a row's own, where it says one, is at most this */
    enum audit_scope scope;
    unsigned int flags;
    enum audit_value values[AUDIT_CHECK_VALUES];
};

/* Columns of a check's query. */
enum { COLUMN_OBJECT, COLUMN_MESSAGE, COLUMN_REMEDY, COLUMN_SUBJECT, COLUMN_SEVERITY };

/* By code; the code must be in the table. */
const struct audit_check *audit_check_find(const char *code);

#endif
