#include "audit/check.h"

#include "sql/statements.h"

/* clang-format off */
static const struct audit_check checks[] = {
    /* ---- the schemas of placements ---- */
    {"rls-disabled", AUDIT_CRITICAL, AUDIT_OF_TARGETS, sql_audit_rls_disabled,
     {VALUE_ROW_TABLES},
     "row-level security is enabled on every table that tenants share", IN_MIGRATION | ROW_ONLY},
    {"rls-not-forced", AUDIT_CRITICAL, AUDIT_OF_TARGETS, sql_audit_rls_not_forced,
     {VALUE_ROW_TABLES},
     "row-level security holds for the owner of these tables too", IN_MIGRATION | ROW_ONLY},
    {"policy-missing", AUDIT_WARNING, AUDIT_OF_TARGETS, sql_audit_policy_missing,
     {VALUE_ROW_TABLES, VALUE_TENANT_POLICY, VALUE_OWNER_POLICY},
     "Reeve's policies cover every command", 0},
    {"policy-widens", AUDIT_CRITICAL, AUDIT_OF_TARGETS, sql_audit_policy_widens,
     {VALUE_ROW_TABLES, VALUE_TENANT_POLICY},
     "no policy gives tenants more than their own rows", IN_MIGRATION | ROW_ONLY},
    {"policy-unknown", AUDIT_WARNING, AUDIT_OF_TARGETS, sql_audit_policy_unknown,
     {VALUE_ROW_TABLES, VALUE_TENANT_POLICY},
     "all policies are Reeve's", 0},
    {"tenant-column-missing", AUDIT_CRITICAL, AUDIT_OF_TARGETS, sql_audit_tenant_column_missing,
     {VALUE_ROW_TABLES, VALUE_OWN_TABLES},
     "tenants' tables have the tenant column", IN_MIGRATION | ROW_ONLY},
    {"tenant-check-missing", AUDIT_WARNING, AUDIT_OF_TARGETS, sql_audit_tenant_check_missing,
     {VALUE_TARGETS, VALUE_OWN_TABLES},
     "a tenant's own tables take no other tenant's rows", 0},
    {"key-without-tenant", AUDIT_CRITICAL, AUDIT_OF_TARGETS, sql_audit_key_without_tenant,
     {VALUE_ROW_TABLES, VALUE_OWN_TABLES},
     "unique keys hold the tenant column", IN_MIGRATION | ROW_ONLY},
    {"key-not-led", AUDIT_INFO, AUDIT_OF_TARGETS, sql_audit_key_not_led,
     {VALUE_ROW_TABLES, VALUE_OWN_TABLES},
     "unique keys begin with the tenant column", 0},
    {"index-not-led", AUDIT_WARNING, AUDIT_OF_TARGETS, sql_audit_index_not_led,
     {VALUE_ROW_TABLES, VALUE_OWN_TABLES},
     "indexes begin with the tenant column", 0},
    {"foreign-key-crosses", AUDIT_CRITICAL, AUDIT_OF_TARGETS, sql_audit_foreign_key_crosses,
     {VALUE_RELATIONS, VALUE_ROW_TABLES, VALUE_OWN_TABLES},
     "foreign keys stay within a tenant", IN_MIGRATION},
    {"table-kind", AUDIT_CRITICAL, AUDIT_OF_TARGETS, sql_audit_table_kind,
     {VALUE_TARGETS, VALUE_RELATIONS},
     "no partitions, inheritance, foreign tables or materialized views among shared tables",
     IN_MIGRATION | ROW_ONLY},
    {"shared-with-tenants", AUDIT_CRITICAL, AUDIT_OF_TARGETS, sql_audit_shared_with_tenants,
     {VALUE_TARGETS, VALUE_SHARED_TABLES},
     "reference data for all tenants holds no tenant's rows", IN_MIGRATION | ROW_ONLY},
    {"view-owner-rights", AUDIT_CRITICAL, AUDIT_OF_TARGETS, sql_audit_view_owner_rights,
     {VALUE_TARGETS, VALUE_RELATIONS},
     "views run with the rights of whoever asks, and there are no rules", IN_MIGRATION | ROW_ONLY},
    {"view-crosses", AUDIT_CRITICAL, AUDIT_OF_TARGETS, sql_audit_view_crosses,
     {VALUE_RELATIONS},
     "views use relations of their own schema alone", IN_MIGRATION},
    {"definer-function", AUDIT_CRITICAL, AUDIT_OF_TARGETS, sql_audit_definer_function,
     {VALUE_TARGETS, VALUE_ROUTINES},
     "functions of services run with the rights of whoever calls", IN_MIGRATION | ROW_ONLY},
    {"privilege-public", AUDIT_CRITICAL, AUDIT_OF_TARGETS, sql_audit_privilege_public,
     {VALUE_TARGET_SCHEMAS, VALUE_RELATIONS, VALUE_ROUTINES},
     "PUBLIC has no privileges in services' schemas", IN_MIGRATION},
    {"privilege-foreign", AUDIT_CRITICAL, AUDIT_OF_TARGETS, sql_audit_privilege_foreign,
     {VALUE_TARGETS, VALUE_RELATIONS, VALUE_ROUTINES},
     "nobody but a place's own roles has privileges there", IN_MIGRATION},
    {"privilege-excess", AUDIT_CRITICAL, AUDIT_OF_TARGETS, sql_audit_privilege_excess,
     {VALUE_TARGETS, VALUE_RELATIONS, VALUE_ROUTINES, VALUE_SHARED_TABLES},
     "a place's roles may read and write rows and nothing else", IN_MIGRATION},
    {"owner-wrong", AUDIT_CRITICAL, AUDIT_OF_TARGETS, sql_audit_owner_wrong,
     {VALUE_TARGETS, VALUE_RELATIONS, VALUE_ROUTINES},
     "all of a service is its owner role's", IN_MIGRATION},
    {"migration-outside", AUDIT_CRITICAL, AUDIT_OF_MIGRATION, sql_audit_migration_outside,
     {VALUE_TARGET_SCHEMAS},
     "a migration changes nothing outside its own schema (in migrations alone)", IN_MIGRATION},

    /* ---- databases ---- */
    {"extension", AUDIT_CRITICAL, AUDIT_OF_DATABASE, sql_audit_extension, {VALUE_FRESH},
     "extensions are on the list of harmless ones", IN_MIGRATION},
    {"language", AUDIT_CRITICAL, AUDIT_OF_DATABASE, sql_audit_language, {VALUE_FRESH},
     "languages are internal, c, sql and plpgsql", IN_MIGRATION},
    {"definer-outside", AUDIT_CRITICAL, AUDIT_OF_DATABASE, sql_audit_definer_outside,
     {VALUE_SCHEMAS},
     "no SECURITY DEFINER functions for tenants but Reeve's own", 0},
    {"native-function", AUDIT_CRITICAL, AUDIT_OF_DATABASE, sql_audit_native_function, {VALUE_NONE},
     "functions in C belong to extensions", 0},
    {"schema-open", AUDIT_CRITICAL, AUDIT_OF_DATABASE, sql_audit_schema_open, {VALUE_SCHEMAS},
     "tenants can make objects nowhere", 0},
    {"reeve-schema", AUDIT_CRITICAL, AUDIT_OF_DATABASE, sql_audit_reeve_schema, {VALUE_NONE},
     "schema reeve, which says who a session is, is as Reeve made it", 0},
    {"privilege-elsewhere", AUDIT_CRITICAL, AUDIT_OF_DATABASE, sql_audit_privilege_elsewhere,
     {VALUE_SCHEMAS},
     "tenants' roles and reeve_pool have no privileges outside services' schemas", 0},
    {"default-privileges", AUDIT_CRITICAL, AUDIT_OF_DATABASE, sql_audit_default_privileges,
     {VALUE_FRESH},
     "nothing new is open to PUBLIC or tenants by itself", IN_MIGRATION},
    {"large-objects", AUDIT_WARNING, AUDIT_OF_DATABASE, sql_audit_large_objects, {VALUE_NONE},
     "large objects are out of reach", 0},
    {"statistics-views", AUDIT_WARNING, AUDIT_OF_DATABASE, sql_audit_statistics_views,
     {VALUE_NONE},
     "the fix for CVE-2024-4317 is in this database", 0},
    {"foreign-server", AUDIT_CRITICAL, AUDIT_OF_DATABASE, sql_audit_foreign_server, {VALUE_NONE},
     "no foreign servers", 0},
    {"mapping-wrong", AUDIT_CRITICAL, AUDIT_OF_DATABASE, sql_audit_mapping_wrong,
     {VALUE_MAPPED_ROLES, VALUE_MAPPED_TENANTS},
     "reeve.role_tenant says what the catalog says", MISSING},
    {"orphan-mapping", AUDIT_WARNING, AUDIT_OF_DATABASE, sql_audit_orphan_mapping, {VALUE_ROLES},
     "reeve.role_tenant has no roles that the catalog does not know", EVERYTHING | ORPHAN},
    {"schema-missing", AUDIT_CRITICAL, AUDIT_OF_DATABASE, sql_audit_schema_missing,
     {VALUE_MISSING_SCHEMAS},
     "placements' schemas are there", MISSING},
    {"orphan-schema", AUDIT_WARNING, AUDIT_OF_DATABASE, sql_audit_orphan_schema,
     {VALUE_KNOWN_SCHEMAS},
     "every tenant's schema has its placement", EVERYTHING | ORPHAN},
    {"orphan-rows", AUDIT_WARNING, AUDIT_OF_DATABASE, sql_audit_orphan_rows,
     {VALUE_ROW_TABLES, VALUE_ROW_TENANTS},
     "shared tables have no rows of tenants who have no placement there",
     EVERYTHING | ORPHAN | GENERATES},

    /* ---- clusters ---- */
    {"role-attributes", AUDIT_CRITICAL, AUDIT_OF_CLUSTER, sql_audit_role_attributes,
     {VALUE_SESSION_ROLES, VALUE_OWNER_ROLES},
     "no role of Reeve's is a superuser, bypasses row-level security, or makes roles or databases",
     0},
    {"role-member", AUDIT_CRITICAL, AUDIT_OF_CLUSTER, sql_audit_role_member,
     {VALUE_SESSION_ROLES, VALUE_OWNER_ROLES, VALUE_MEMBERS, VALUE_MEMBER_OF},
     "roles are members of what Reeve made them members of", 0},
    {"role-owns", AUDIT_CRITICAL, AUDIT_OF_CLUSTER, sql_audit_role_owns, {VALUE_SESSION_ROLES},
     "tenants own nothing", 0},
    {"role-login", AUDIT_WARNING, AUDIT_OF_CLUSTER, sql_audit_role_login,
     {VALUE_GROUP_ROLES, VALUE_SUSPENDED_ROLES},
     "groups and suspended tenants cannot log in", 0},
    {"role-missing", AUDIT_CRITICAL, AUDIT_OF_CLUSTER, sql_audit_role_missing,
     {VALUE_EXPECTED_ROLES},
     "placements' and services' roles are there", MISSING},
    {"orphan-role", AUDIT_WARNING, AUDIT_OF_CLUSTER, sql_audit_orphan_role, {VALUE_KNOWN_ROLES},
     "every role of Reeve's has its placement or service", EVERYTHING | ORPHAN},
    {"database-missing", AUDIT_CRITICAL, AUDIT_OF_CLUSTER, sql_audit_database_missing,
     {VALUE_EXPECTED_DATABASES},
     "placements' and services' databases are there", MISSING},
    {"orphan-database", AUDIT_WARNING, AUDIT_OF_CLUSTER, sql_audit_orphan_database,
     {VALUE_DATABASES},
     "every database of Reeve's has its placement or service", EVERYTHING | ORPHAN},
    {"database-open", AUDIT_CRITICAL, AUDIT_OF_CLUSTER, sql_audit_database_open, {VALUE_DATABASES},
     "PUBLIC has no privileges on databases", 0},
    {"database-foreign", AUDIT_CRITICAL, AUDIT_OF_CLUSTER, sql_audit_database_foreign,
     {VALUE_CONNECT_ROLES, VALUE_CONNECT_DATABASES},
     "tenants may connect to their own database and make nothing there", 0},
    {"parameter-privileges", AUDIT_CRITICAL, AUDIT_OF_CLUSTER, sql_audit_parameter_privileges,
     {VALUE_NONE},
     "tenants may not change settings that only a superuser may", 0},
    {"server-hole", AUDIT_CRITICAL, AUDIT_OF_NOTHING, NULL, {VALUE_NONE},
     "the server has no known holes that tenants could use", 0},
    {"not-audited", AUDIT_CRITICAL, AUDIT_OF_NOTHING, NULL, {VALUE_NONE},
     "every place could be looked at", 0},
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

bool audit_check_orphan(const struct audit_check *check)
{
    return check->flags & ORPHAN;
}

bool audit_check_missing(const struct audit_check *check)
{
    return check->flags & MISSING;
}
