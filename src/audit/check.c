#include "audit/check.h"

#include "sql/statements.h"

/* clang-format off */
static const struct audit_check checks[] = {
    /* ---- the schemas of placements ---- */
    {"rls-disabled", "row-level security is enabled on every table that tenants share",
     sql_audit_rls_disabled, AUDIT_CRITICAL, AUDIT_OF_TARGETS, IN_MIGRATION | ROW_ONLY,
     {VALUE_ROW_TABLES}},
    {"rls-not-forced", "row-level security holds for the owner of these tables too",
     sql_audit_rls_not_forced, AUDIT_CRITICAL, AUDIT_OF_TARGETS, IN_MIGRATION | ROW_ONLY,
     {VALUE_ROW_TABLES}},
    {"policy-missing", "Reeve's policies cover every command",
     sql_audit_policy_missing, AUDIT_WARNING, AUDIT_OF_TARGETS, 0,
     {VALUE_ROW_TABLES, VALUE_TENANT_POLICY, VALUE_OWNER_POLICY}},
    {"policy-widens", "no policy gives tenants more than their own rows",
     sql_audit_policy_widens, AUDIT_CRITICAL, AUDIT_OF_TARGETS, IN_MIGRATION | ROW_ONLY,
     {VALUE_ROW_TABLES, VALUE_TENANT_POLICY}},
    {"policy-unknown", "all policies are Reeve's",
     sql_audit_policy_unknown, AUDIT_WARNING, AUDIT_OF_TARGETS, 0,
     {VALUE_ROW_TABLES, VALUE_TENANT_POLICY}},
    {"tenant-column-missing", "tenants' tables have the tenant column",
     sql_audit_tenant_column_missing, AUDIT_CRITICAL, AUDIT_OF_TARGETS, IN_MIGRATION | ROW_ONLY,
     {VALUE_ROW_TABLES, VALUE_OWN_TABLES}},
    {"tenant-check-missing", "a tenant's own tables take no other tenant's rows",
     sql_audit_tenant_check_missing, AUDIT_WARNING, AUDIT_OF_TARGETS, 0,
     {VALUE_TARGETS, VALUE_OWN_TABLES}},
    {"key-without-tenant", "unique keys hold the tenant column",
     sql_audit_key_without_tenant, AUDIT_CRITICAL, AUDIT_OF_TARGETS, IN_MIGRATION | ROW_ONLY,
     {VALUE_ROW_TABLES, VALUE_OWN_TABLES}},
    {"key-not-led", "unique keys of shared tables begin with the tenant column",
     sql_audit_key_not_led, AUDIT_INFO, AUDIT_OF_TARGETS, 0,
     {VALUE_ROW_TABLES}},
    {"index-not-led", "indexes of shared tables begin with the tenant column",
     sql_audit_index_not_led, AUDIT_WARNING, AUDIT_OF_TARGETS, 0,
     {VALUE_ROW_TABLES}},
    {"key-led", "keys and indexes of a tenant's own tables do not begin with the tenant column",
     sql_audit_key_led, AUDIT_INFO, AUDIT_OF_TARGETS, 0,
     {VALUE_OWN_TABLES}},
    {"foreign-key-crosses", "foreign keys stay within a tenant",
     sql_audit_foreign_key_crosses, AUDIT_CRITICAL, AUDIT_OF_TARGETS, IN_MIGRATION,
     {VALUE_RELATIONS, VALUE_ROW_TABLES, VALUE_OWN_TABLES}},
    {"table-kind",
     "no partitions, inheritance, foreign tables or materialized views among shared tables",
     sql_audit_table_kind, AUDIT_CRITICAL, AUDIT_OF_TARGETS, IN_MIGRATION | ROW_ONLY,
     {VALUE_TARGETS, VALUE_RELATIONS}},
    {"shared-with-tenants", "reference data for all tenants holds no tenant's rows",
     sql_audit_shared_with_tenants, AUDIT_CRITICAL, AUDIT_OF_TARGETS, IN_MIGRATION | ROW_ONLY,
     {VALUE_TARGETS, VALUE_SHARED_TABLES}},
    {"view-owner-rights", "views run with the rights of whoever asks, and there are no rules",
     sql_audit_view_owner_rights, AUDIT_CRITICAL, AUDIT_OF_TARGETS, IN_MIGRATION | ROW_ONLY,
     {VALUE_TARGETS, VALUE_RELATIONS}},
    {"view-crosses", "views use relations of their own schema alone",
     sql_audit_view_crosses, AUDIT_CRITICAL, AUDIT_OF_TARGETS, IN_MIGRATION,
     {VALUE_RELATIONS}},
    {"definer-function", "functions of services run with the rights of whoever calls",
     sql_audit_definer_function, AUDIT_CRITICAL, AUDIT_OF_TARGETS, IN_MIGRATION | ROW_ONLY,
     {VALUE_TARGETS, VALUE_ROUTINES}},
    {"privilege-public", "PUBLIC has no privileges in services' schemas",
     sql_audit_privilege_public, AUDIT_CRITICAL, AUDIT_OF_TARGETS, IN_MIGRATION,
     {VALUE_TARGET_SCHEMAS, VALUE_RELATIONS, VALUE_ROUTINES}},
    {"privilege-foreign", "nobody but a place's own roles has privileges there",
     sql_audit_privilege_foreign, AUDIT_CRITICAL, AUDIT_OF_TARGETS, IN_MIGRATION,
     {VALUE_TARGETS, VALUE_RELATIONS, VALUE_ROUTINES}},
    {"privilege-excess", "a place's roles may read and write rows and nothing else",
     sql_audit_privilege_excess, AUDIT_CRITICAL, AUDIT_OF_TARGETS, IN_MIGRATION,
     {VALUE_TARGETS, VALUE_RELATIONS, VALUE_ROUTINES, VALUE_SHARED_TABLES}},
    {"owner-wrong", "all of a service is its owner role's",
     sql_audit_owner_wrong, AUDIT_CRITICAL, AUDIT_OF_TARGETS, IN_MIGRATION,
     {VALUE_TARGETS, VALUE_RELATIONS, VALUE_ROUTINES}},
    {"migration-outside",
     "a migration changes nothing outside its own schema (in migrations alone)",
     sql_audit_migration_outside, AUDIT_CRITICAL, AUDIT_OF_MIGRATION, IN_MIGRATION,
     {VALUE_TARGET_SCHEMAS}},

    /* ---- databases ---- */
    {"extension", "extensions are on the list of harmless ones",
     sql_audit_extension, AUDIT_CRITICAL, AUDIT_OF_DATABASE, IN_MIGRATION,
     {VALUE_FRESH}},
    {"language", "languages are internal, c, sql and plpgsql",
     sql_audit_language, AUDIT_CRITICAL, AUDIT_OF_DATABASE, IN_MIGRATION,
     {VALUE_FRESH}},
    {"definer-outside", "no SECURITY DEFINER functions for tenants but Reeve's own",
     sql_audit_definer_outside, AUDIT_CRITICAL, AUDIT_OF_DATABASE, 0,
     {VALUE_SCHEMAS}},
    {"native-function", "functions in C belong to extensions",
     sql_audit_native_function, AUDIT_CRITICAL, AUDIT_OF_DATABASE, 0,
     {VALUE_NONE}},
    {"schema-open", "tenants can make objects nowhere",
     sql_audit_schema_open, AUDIT_CRITICAL, AUDIT_OF_DATABASE, 0,
     {VALUE_SCHEMAS}},
    {"reeve-schema", "schema reeve, which says who a session is, is as Reeve made it",
     sql_audit_reeve_schema, AUDIT_CRITICAL, AUDIT_OF_DATABASE, 0,
     {VALUE_NONE}},
    {"guard-wrong", "the guard is there for whom tenants are entered by, and for nobody else",
     sql_audit_guard_wrong, AUDIT_CRITICAL, AUDIT_OF_DATABASE, COMPARES,
     {VALUE_POOL_ROLES}},
    {"privilege-elsewhere",
     "tenants' roles and reeve_pool have no privileges outside services' schemas",
     sql_audit_privilege_elsewhere, AUDIT_CRITICAL, AUDIT_OF_DATABASE, 0,
     {VALUE_SCHEMAS, VALUE_SESSION_ROLES}},
    {"default-privileges", "nothing new is open to PUBLIC or tenants by itself",
     sql_audit_default_privileges, AUDIT_CRITICAL, AUDIT_OF_DATABASE, IN_MIGRATION,
     {VALUE_FRESH}},
    {"large-objects", "large objects are out of reach",
     sql_audit_large_objects, AUDIT_WARNING, AUDIT_OF_DATABASE, 0,
     {VALUE_NONE}},
    {"statistics-views", "the fix for CVE-2024-4317 is in this database",
     sql_audit_statistics_views, AUDIT_WARNING, AUDIT_OF_DATABASE, 0,
     {VALUE_NONE}},
    {"foreign-server", "no foreign servers",
     sql_audit_foreign_server, AUDIT_CRITICAL, AUDIT_OF_DATABASE, 0,
     {VALUE_NONE}},
    {"mapping-wrong", "reeve.role_tenant says what the catalog says",
     sql_audit_mapping_wrong, AUDIT_CRITICAL, AUDIT_OF_DATABASE, COMPARES,
     {VALUE_MAPPED_ROLES, VALUE_MAPPED_TENANTS}},
    {"orphan-mapping", "reeve.role_tenant has no roles that the catalog does not know",
     sql_audit_orphan_mapping, AUDIT_WARNING, AUDIT_OF_DATABASE, EVERYTHING | COMPARES,
     {VALUE_ROLES}},
    {"schema-missing", "placements' schemas are there",
     sql_audit_schema_missing, AUDIT_CRITICAL, AUDIT_OF_DATABASE, COMPARES,
     {VALUE_MISSING_SCHEMAS}},
    {"orphan-schema", "every tenant's schema has its placement",
     sql_audit_orphan_schema, AUDIT_WARNING, AUDIT_OF_DATABASE, EVERYTHING | COMPARES,
     {VALUE_KNOWN_SCHEMAS}},
    {"orphan-rows", "shared tables have no rows of tenants who have no placement there",
     sql_audit_orphan_rows, AUDIT_WARNING, AUDIT_OF_DATABASE, EVERYTHING | COMPARES | GENERATES,
     {VALUE_ROW_TABLES, VALUE_ROW_TENANTS}},
    {"orphan-stream", "every publication and table of a move has its open move",
     sql_audit_orphan_stream, AUDIT_WARNING, AUDIT_OF_DATABASE, EVERYTHING | COMPARES,
     {VALUE_STREAMS}},

    /* ---- clusters ---- */
    {"role-attributes",
     "no role of Reeve's is a superuser, bypasses row-level security, or makes roles or databases",
     sql_audit_role_attributes, AUDIT_CRITICAL, AUDIT_OF_CLUSTER, 0,
     {VALUE_SESSION_ROLES, VALUE_OWNER_ROLES}},
    {"role-member", "roles are members of what Reeve made them members of",
     sql_audit_role_member, AUDIT_CRITICAL, AUDIT_OF_CLUSTER, 0,
     {VALUE_SESSION_ROLES, VALUE_OWNER_ROLES, VALUE_MEMBERS, VALUE_MEMBER_OF,
      VALUE_EXPECTED_ROLES}},
    {"role-owns", "tenants own nothing",
     sql_audit_role_owns, AUDIT_CRITICAL, AUDIT_OF_CLUSTER, 0,
     {VALUE_SESSION_ROLES}},
    {"role-login", "groups, suspended tenants and roles that are only entered cannot log in",
     sql_audit_role_login, AUDIT_WARNING, AUDIT_OF_CLUSTER, COMPARES,
     {VALUE_GROUP_ROLES, VALUE_SUSPENDED_ROLES, VALUE_ENTERED_ROLES}},
    {"role-missing", "placements' and services' roles are there",
     sql_audit_role_missing, AUDIT_CRITICAL, AUDIT_OF_CLUSTER, COMPARES,
     {VALUE_EXPECTED_ROLES}},
    {"orphan-role", "every role of Reeve's has its placement or service",
     sql_audit_orphan_role, AUDIT_WARNING, AUDIT_OF_CLUSTER, EVERYTHING | COMPARES,
     {VALUE_KNOWN_ROLES}},
    {"database-missing", "placements' and services' databases are there",
     sql_audit_database_missing, AUDIT_CRITICAL, AUDIT_OF_CLUSTER, COMPARES,
     {VALUE_EXPECTED_DATABASES}},
    {"orphan-database", "every database of Reeve's has its placement or service",
     sql_audit_orphan_database, AUDIT_WARNING, AUDIT_OF_CLUSTER, EVERYTHING | COMPARES,
     {VALUE_DATABASES, VALUE_OWNER_ROLES}},
    {"orphan-slot", "every replication slot of a move has its open move",
     sql_audit_orphan_slot, AUDIT_WARNING, AUDIT_OF_CLUSTER, EVERYTHING | COMPARES,
     {VALUE_STREAMS}},
    {"database-open", "PUBLIC has no privileges on databases",
     sql_audit_database_open, AUDIT_CRITICAL, AUDIT_OF_CLUSTER, 0,
     {VALUE_DATABASES}},
    {"database-foreign", "tenants may connect to their own database and make nothing there",
     sql_audit_database_foreign, AUDIT_CRITICAL, AUDIT_OF_CLUSTER, 0,
     {VALUE_CONNECT_ROLES, VALUE_CONNECT_DATABASES, VALUE_SESSION_ROLES, VALUE_OWNER_ROLES}},
    {"parameter-privileges", "tenants may not change settings that only a superuser may",
     sql_audit_parameter_privileges, AUDIT_CRITICAL, AUDIT_OF_CLUSTER, 0,
     {VALUE_NONE}},
    {"server-hole", "the server has no known holes that tenants could use",
     NULL, AUDIT_CRITICAL, AUDIT_OF_NOTHING, 0,
     {VALUE_NONE}},
    {"not-audited", "every place could be looked at",
     NULL, AUDIT_CRITICAL, AUDIT_OF_NOTHING, COMPARES,
     {VALUE_NONE}},
};
/* clang-format on */

const struct audit_check *audit_check_at(size_t index)
{
    return index < array_size(checks) ? &checks[index] : NULL;
}

const struct audit_check *audit_check_find(const char *code)
{
    for (size_t i = 0; i < array_size(checks); i++)
        if (strcmp(checks[i].code, code) == 0)
            return &checks[i];
    abort();
}

const char *audit_check_code(const struct audit_check *check)
{
    return check->code;
}

const char *audit_check_title(const struct audit_check *check)
{
    return check->title;
}

enum audit_severity audit_check_severity(const struct audit_check *check)
{
    return check->severity;
}

bool audit_check_compares(const struct audit_check *check)
{
    return check->flags & COMPARES;
}
