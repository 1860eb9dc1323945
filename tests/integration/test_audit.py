"""`reeve audit`: it is silent where all is well, and names whatever is taken out (THREATS 8 to 13, 29,
38). Each case breaks one thing as superuser, sees the finding, and mends it."""
import contextlib
import dataclasses
import re
import threading

import pytest

from support.audited import EXIT_CRITICAL, EXIT_WARNINGS, Audited
from support.postgres import running_postgres
from support.reeve import running_reeve
from support.some import few
from support.world import World, unique

# No query's, or only a migration's (test_audit_migrations.py), or the guard's (test_audit_guard.py).
OWN_TESTS = {"migration-outside", "server-hole", "not-audited", "guard-wrong"}


@pytest.fixture(scope="module")
def audited():
    """Under login enforcement, where there is more to be wrong: roles, memberships, mappings."""
    with running_reeve() as server:
        server.cli("cluster", "enforce", "local", "login")
        yield Audited(World(server))


def test_a_sound_world_under_the_guard():
    with running_reeve() as server:
        Audited(World(server)).assert_sound()


@pytest.fixture(autouse=True)
def log_is_clean(audited):
    yield
    audited.reeve.check_log()


# ---- where all is well ----

def test_a_sound_world(audited):
    """Tenants in all three modes, two services: nothing at warning or above."""
    audited.assert_sound()
    for name in ("row-a", "schema-b", "database-a", "things", "orders"):
        audited.assert_sound(name)
    audited.assert_sound("--tenant", "schema-a", "--service", "orders")


def test_what_is_only_good_to_know(audited):
    """A gin index cannot be led by the tenant column: that is told, and no more."""
    result = audited.audit()
    told = [one for one in result.json["findings"] if one["code"] == "index-not-led"]
    assert {one["severity"] for one in told} == {"info"}
    assert {one["database"] for one in told} == {"svc_orders"}
    assert result.json["counts"]["info"] == len(result.json["findings"])
    assert audited.findings("--all", "--severity", "warning") == []


# ---- one thing taken out ----

@dataclasses.dataclass
class Case:
    code: str
    database: str  # "svc_things" unless another
    breaks: str    # statements with ;; between them
    mends: str
    object: str
    severity: str = "critical"
    tenant: str = None   # whose finding it is
    service: str = "things"


SVC = "svc_things"
POLICY = ("CREATE POLICY reeve_tenant ON app.part USING (tenant_id = (SELECT reeve.tenant_id()))"
          " WITH CHECK (tenant_id = (SELECT reeve.tenant_id()))")
OWNER_POLICY = ("coalesce(tenant_id = nullif(current_setting('reeve_owner.tenant', true), '')::bigint,"
                " true)")
TENANT_ID = """
CREATE OR REPLACE FUNCTION reeve.tenant_id() RETURNS bigint
LANGUAGE plpgsql STABLE SECURITY DEFINER PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$ BEGIN RETURN (SELECT r.tenant_id FROM reeve.role_tenant r WHERE r.role_name = session_user);
END $$"""
STATISTICS_VIEW = """
DO $do$
DECLARE
    definition text := pg_get_viewdef('pg_catalog.pg_stats_ext');
BEGIN
    SET LOCAL allow_system_table_mods = on;
    EXECUTE 'CREATE TABLE public.kept_definition AS SELECT ' || quote_literal(definition) || '::text AS d';
    EXECUTE 'CREATE OR REPLACE VIEW pg_catalog.pg_stats_ext WITH (security_barrier) AS '
        || regexp_replace(definition, 'pg_has_role\\([^)]*\\)', 'true', 'g');
END $do$"""
STATISTICS_VIEW_BACK = """
DO $do$
DECLARE
    definition text;
BEGIN
    SET LOCAL allow_system_table_mods = on;
    SELECT d INTO definition FROM public.kept_definition;
    EXECUTE 'CREATE OR REPLACE VIEW pg_catalog.pg_stats_ext WITH (security_barrier) AS ' || definition;
    DROP TABLE public.kept_definition;
END $do$"""

CASES = {
    # -- row-level security --
    "rls off": Case("rls-disabled", SVC, "ALTER TABLE app.thing DISABLE ROW LEVEL SECURITY",
                    "ALTER TABLE app.thing ENABLE ROW LEVEL SECURITY", "app.thing"),
    "rls not forced": Case("rls-not-forced", SVC, "ALTER TABLE app.part NO FORCE ROW LEVEL SECURITY",
                           "ALTER TABLE app.part FORCE ROW LEVEL SECURITY", "app.part"),
    "no policy": Case("policy-missing", SVC, "DROP POLICY reeve_tenant ON app.part", POLICY,
                      "app.part", "warning"),
    "policy for SELECT alone": Case(
        "policy-missing", SVC, "DROP POLICY reeve_tenant ON app.part;;"
        + POLICY.replace(" USING", " FOR SELECT USING").partition(" WITH CHECK")[0],
        "DROP POLICY reeve_tenant ON app.part;;" + POLICY, "app.part", "warning"),
    "no owner's policy": Case(
        "policy-missing", SVC, "DROP POLICY reeve_owner ON app.part",
        f"CREATE POLICY reeve_owner ON app.part TO own_things USING ({OWNER_POLICY})"
        f" WITH CHECK ({OWNER_POLICY})", "app.part", "warning"),
    "policy for all": Case("policy-widens", SVC, "CREATE POLICY wide ON app.thing USING (true)",
                           "DROP POLICY wide ON app.thing", "policy wide on app.thing"),
    "policy for one tenant": Case(
        "policy-widens", SVC, "CREATE POLICY wide ON app.thing FOR SELECT TO {row_a} USING (id > 0)",
        "DROP POLICY wide ON app.thing", "policy wide on app.thing"),
    "policy for a group": Case(
        "policy-widens", SVC, "CREATE POLICY wide ON app.thing FOR INSERT TO run_things"
        " WITH CHECK (tenant_id > 0)", "DROP POLICY wide ON app.thing", "policy wide on app.thing"),
    "policy changed": Case(
        "policy-widens", SVC, "ALTER POLICY reeve_tenant ON app.part USING (true)",
        "ALTER POLICY reeve_tenant ON app.part USING (tenant_id = (SELECT reeve.tenant_id()))",
        "policy reeve_tenant on app.part"),
    "check of a policy changed": Case(
        "policy-widens", SVC, "ALTER POLICY reeve_tenant ON app.part WITH CHECK (tenant_id > 0)",
        "ALTER POLICY reeve_tenant ON app.part WITH CHECK (tenant_id = (SELECT reeve.tenant_id()))",
        "policy reeve_tenant on app.part"),
    "owner's policy for all": Case(
        "policy-widens", SVC, "ALTER POLICY reeve_owner ON app.part TO PUBLIC",
        "ALTER POLICY reeve_owner ON app.part TO own_things", "policy reeve_owner on app.part"),
    "policy for a stranger": Case(
        "policy-unknown", SVC, "CREATE ROLE analyst;;"
        "CREATE POLICY reading ON app.thing TO analyst USING (true)",
        "DROP POLICY reading ON app.thing;; DROP ROLE analyst", "policy reading on app.thing",
        "warning"),
    "restrictive policy": Case(
        "policy-unknown", SVC, "CREATE POLICY less ON app.thing AS RESTRICTIVE USING (id > 0)",
        "DROP POLICY less ON app.thing", "policy less on app.thing", "warning"),
    # -- shape --
    "table without the column": Case(
        "tenant-column-missing", SVC, "CREATE TABLE app.loose (id int);;"
        "ALTER TABLE app.loose OWNER TO own_things", "DROP TABLE app.loose", "app.loose"),
    "column that may be null": Case(
        "tenant-column-missing", SVC, "CREATE TABLE {schema_a}.loose (tenant_id bigint);;"
        "ALTER TABLE {schema_a}.loose OWNER TO own_things", "DROP TABLE {schema_a}.loose",
        "{schema_a}.loose", "warning", "schema-a"),
    "no check": Case(
        "tenant-check-missing", SVC,
        "ALTER TABLE {schema_a}.part DROP CONSTRAINT reeve_tenant_check",
        "ALTER TABLE {schema_a}.part ADD CONSTRAINT reeve_tenant_check"
        " CHECK (tenant_id = '{schema_a_id}'::bigint)", "{schema_a}.part", "warning", "schema-a"),
    "key over tenants": Case("key-without-tenant", SVC, "CREATE UNIQUE INDEX spans ON app.thing (name)",
                             "DROP INDEX app.spans", "app.spans"),
    "key over tenants, own table": Case(
        "key-without-tenant", "{database_a_database}", "CREATE UNIQUE INDEX spans ON app.thing (name)",
        "DROP INDEX app.spans", "app.spans", "warning", "database-a"),
    "exclusion over tenants": Case(
        "key-without-tenant", SVC,
        "ALTER TABLE app.part ADD CONSTRAINT spans EXCLUDE USING hash (label WITH =)",
        "ALTER TABLE app.part DROP CONSTRAINT spans", "app.spans"),
    "key not led": Case("key-not-led", SVC, "CREATE UNIQUE INDEX behind ON app.thing (name, tenant_id)",
                        "DROP INDEX app.behind", "app.behind", "info"),
    "key led": Case(
        "key-led", SVC, "CREATE UNIQUE INDEX before ON {schema_a}.thing (tenant_id, name)",
        "DROP INDEX {schema_a}.before", "{schema_a}.before", "info", "schema-a"),
    "index led": Case(
        "key-led", "{database_a_database}", "CREATE INDEX before ON app.part (tenant_id, label)",
        "DROP INDEX app.before", "app.before", "info", "database-a"),
    "index not led": Case("index-not-led", SVC, "CREATE INDEX labels ON app.part (label)",
                          "DROP INDEX app.labels", "app.labels", "warning"),
    "foreign key without the column": Case(
        "foreign-key-crosses", SVC, "ALTER TABLE app.thing ADD CONSTRAINT alone UNIQUE (id);;"
        "ALTER TABLE app.part ADD CONSTRAINT crosses FOREIGN KEY (thing_id) REFERENCES app.thing (id)",
        "ALTER TABLE app.part DROP CONSTRAINT crosses;; ALTER TABLE app.thing DROP CONSTRAINT alone",
        "foreign key crosses of app.part"),
    "foreign key to another schema": Case(
        "foreign-key-crosses", SVC, "ALTER TABLE {schema_a}.part ADD CONSTRAINT crosses"
        " FOREIGN KEY (tenant_id, thing_id) REFERENCES {schema_b}.thing (tenant_id, id)",
        "ALTER TABLE {schema_a}.part DROP CONSTRAINT crosses",
        "foreign key crosses of {schema_a}.part", tenant="schema-a"),
    "materialized view": Case(
        "table-kind", SVC, "CREATE MATERIALIZED VIEW app.held AS SELECT 1 AS one;;"
        "ALTER MATERIALIZED VIEW app.held OWNER TO own_things", "DROP MATERIALIZED VIEW app.held",
        "app.held"),
    "partitioned table": Case(
        "table-kind", SVC, "CREATE TABLE app.split (tenant_id bigint NOT NULL)"
        " PARTITION BY LIST (tenant_id);; ALTER TABLE app.split OWNER TO own_things",
        "DROP TABLE app.split", "app.split"),
    "shared table with tenants": Case(
        "shared-with-tenants", SVC, "COMMENT ON TABLE app.part IS '@reeve:shared parts'",
        "COMMENT ON TABLE app.part IS NULL", "app.part"),
    "view with its owner's rights": Case(
        "view-owner-rights", SVC, "ALTER VIEW app.thing_parts RESET (security_invoker)",
        "ALTER VIEW app.thing_parts SET (security_invoker = true)", "view app.thing_parts"),
    "rule": Case("view-owner-rights", SVC, "CREATE RULE twice AS ON DELETE TO app.part DO ALSO NOTHING",
                 "DROP RULE twice ON app.part", "rule twice on app.part"),
    "view of another's table": Case(
        "view-crosses", SVC, "CREATE VIEW {schema_a}.peek WITH (security_invoker = true)"
        " AS SELECT name FROM {schema_b}.thing;; ALTER VIEW {schema_a}.peek OWNER TO own_things",
        "DROP VIEW {schema_a}.peek", "view {schema_a}.peek", tenant="schema-a"),
    "definer": Case(
        "definer-function", SVC, "CREATE FUNCTION app.all_of_it() RETURNS bigint LANGUAGE sql"
        " SECURITY DEFINER AS 'SELECT count(*) FROM app.thing';;"
        "ALTER FUNCTION app.all_of_it() OWNER TO own_things", "DROP FUNCTION app.all_of_it()",
        "function app.all_of_it()"),
    "definer of a tenant's own": Case(
        "definer-function", SVC, "CREATE FUNCTION {schema_a}.mine() RETURNS int LANGUAGE sql"
        " SECURITY DEFINER AS 'SELECT 1'", "DROP FUNCTION {schema_a}.mine()",
        "function {schema_a}.mine()", "warning", "schema-a"),
    # -- privileges --
    "table for PUBLIC": Case("privilege-public", SVC, "GRANT SELECT ON app.thing TO PUBLIC",
                             "REVOKE SELECT ON app.thing FROM PUBLIC", "table app.thing"),
    "column for PUBLIC": Case("privilege-public", SVC, "GRANT SELECT (name) ON app.thing TO PUBLIC",
                              "REVOKE SELECT (name) ON app.thing FROM PUBLIC", "table app.thing"),
    "schema for PUBLIC": Case("privilege-public", SVC, "GRANT USAGE ON SCHEMA {schema_a} TO PUBLIC",
                              "REVOKE USAGE ON SCHEMA {schema_a} FROM PUBLIC", "schema {schema_a}",
                              tenant="schema-a"),
    "function for PUBLIC": Case(
        "privilege-public", SVC, "CREATE FUNCTION app.harmless() RETURNS int LANGUAGE sql"
        " AS 'SELECT 1';; ALTER FUNCTION app.harmless() OWNER TO own_things",
        "DROP FUNCTION app.harmless()", "routine app.harmless()", "warning"),
    "table for a neighbour": Case(
        "privilege-foreign", SVC, "GRANT SELECT ON {schema_a}.thing TO {schema_b}",
        "REVOKE SELECT ON {schema_a}.thing FROM {schema_b}", "table {schema_a}.thing",
        tenant="schema-a"),
    "schema for a neighbour": Case(
        "privilege-foreign", SVC, "GRANT USAGE ON SCHEMA {schema_a} TO {schema_b}",
        "REVOKE USAGE ON SCHEMA {schema_a} FROM {schema_b}", "schema {schema_a}", tenant="schema-a"),
    "column for another service": Case(
        "privilege-foreign", SVC, "GRANT UPDATE (body) ON app.thing TO run_orders",
        "REVOKE UPDATE (body) ON app.thing FROM run_orders", "table app.thing"),
    "table for the proxy": Case(
        "privilege-foreign", SVC, "GRANT SELECT ON app.kind TO reeve_pool",
        "REVOKE SELECT ON app.kind FROM reeve_pool",
        "table app.kind"),
    "table for a stranger": Case(
        "privilege-foreign", SVC, "CREATE ROLE analyst;; GRANT SELECT ON app.thing TO analyst",
        "DROP OWNED BY analyst;; DROP ROLE analyst", "table app.thing", "warning"),
    "truncate": Case("privilege-excess", SVC, "GRANT TRUNCATE ON app.thing TO run_things",
                     "REVOKE TRUNCATE ON app.thing FROM run_things", "table app.thing"),
    "writing reference data": Case("privilege-excess", SVC, "GRANT UPDATE ON app.kind TO run_things",
                                   "REVOKE UPDATE ON app.kind FROM run_things", "table app.kind"),
    "writing by a reader": Case(
        "privilege-excess", "{database_a_database}", "GRANT DELETE ON app.part TO {database_a_ro}",
        "REVOKE DELETE ON app.part FROM {database_a_ro}", "table app.part", tenant="database-a"),
    "column by a reader": Case(
        "privilege-excess", SVC, "GRANT UPDATE (name) ON {schema_a}.thing TO {schema_a_ro}",
        "REVOKE UPDATE (name) ON {schema_a}.thing FROM {schema_a_ro}", "table {schema_a}.thing",
        tenant="schema-a"),
    "making objects": Case("privilege-excess", SVC, "GRANT CREATE ON SCHEMA {schema_a} TO {schema_a}",
                           "REVOKE CREATE ON SCHEMA {schema_a} FROM {schema_a}", "schema {schema_a}",
                           tenant="schema-a"),
    "giving on": Case("privilege-excess", SVC,
                      "GRANT SELECT ON {schema_a}.thing TO {schema_a} WITH GRANT OPTION",
                      "REVOKE GRANT OPTION FOR SELECT ON {schema_a}.thing FROM {schema_a}",
                      "table {schema_a}.thing", tenant="schema-a"),
    "setting a sequence": Case("privilege-excess", SVC,
                               "GRANT UPDATE ON SEQUENCE app.thing_id_seq TO run_things",
                               "REVOKE UPDATE ON SEQUENCE app.thing_id_seq FROM run_things",
                               "sequence app.thing_id_seq"),
    "table of a tenant": Case("owner-wrong", SVC, "ALTER TABLE {schema_a}.kind OWNER TO {schema_a}",
                              "ALTER TABLE {schema_a}.kind OWNER TO own_things;;"
                              "SELECT 1", "table {schema_a}.kind", tenant="schema-a"),
    "view of the administrator": Case("owner-wrong", SVC, "CREATE VIEW app.one WITH"
                                      " (security_invoker = true) AS SELECT 1 AS one",
                                      "DROP VIEW app.one", "view app.one", "warning"),
    # -- databases --
    "dblink": Case("extension", SVC, "CREATE EXTENSION dblink", "DROP EXTENSION dblink",
                   "extension dblink"),
    "pg_stat_statements": Case("extension", SVC, "CREATE EXTENSION pg_stat_statements",
                               "DROP EXTENSION pg_stat_statements", "extension pg_stat_statements",
                               "warning"),
    "unknown extension": Case("extension", "{database_a_database}", "CREATE EXTENSION amcheck",
                              "DROP EXTENSION amcheck", "extension amcheck", "warning",
                              "database-a"),
    "language": Case("language", SVC, "CREATE LANGUAGE strange HANDLER plpgsql_call_handler",
                     "DROP LANGUAGE strange", "language strange"),
    "trusted language": Case("language", SVC,
                             "CREATE TRUSTED LANGUAGE strange HANDLER plpgsql_call_handler",
                             "DROP LANGUAGE strange", "language strange", "warning"),
    "definer in public": Case(
        "definer-outside", SVC, "CREATE FUNCTION public.whoami() RETURNS text LANGUAGE sql"
        " SECURITY DEFINER AS 'SELECT current_user::text'", "DROP FUNCTION public.whoami()",
        "function public.whoami()"),
    "C function": Case(
        "native-function", SVC, "CREATE FUNCTION public.raw(text) RETURNS int LANGUAGE internal"
        " AS 'textlen'", "DROP FUNCTION public.raw(text)", "function public.raw(text)"),
    "public open": Case("schema-open", SVC, "GRANT CREATE ON SCHEMA public TO PUBLIC",
                        "REVOKE CREATE ON SCHEMA public FROM PUBLIC", "schema public"),
    "schema open to a tenant": Case(
        "schema-open", SVC, "CREATE SCHEMA extra;; GRANT CREATE ON SCHEMA extra TO {row_a}",
        "DROP SCHEMA extra", "schema extra"),
    "mapping writable": Case("reeve-schema", SVC, "GRANT INSERT ON reeve.role_tenant TO own_things",
                             "REVOKE INSERT ON reeve.role_tenant FROM own_things",
                             "table reeve.role_tenant"),
    "mapping readable": Case("reeve-schema", SVC, "GRANT SELECT ON reeve.role_tenant TO PUBLIC",
                             "REVOKE SELECT ON reeve.role_tenant FROM PUBLIC",
                             "table reeve.role_tenant"),
    "Reeve's schema open": Case("reeve-schema", SVC, "GRANT CREATE ON SCHEMA reeve TO own_things",
                                "REVOKE CREATE ON SCHEMA reeve FROM own_things", "schema reeve"),
    "function of the owner": Case(
        "reeve-schema", SVC, "ALTER FUNCTION reeve.tenant_id() OWNER TO own_things",
        "ALTER FUNCTION reeve.tenant_id() OWNER TO CURRENT_USER", "routine reeve.tenant_id()"),
    "function replaced": Case(
        "reeve-schema", SVC, "CREATE OR REPLACE FUNCTION reeve.tenant_id() RETURNS bigint"
        " LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp"
        " AS $$ BEGIN RETURN 1; END $$", TENANT_ID, "routine reeve.tenant_id()"),
    "function without search_path": Case(
        "reeve-schema", SVC, TENANT_ID + ";;ALTER FUNCTION reeve.tenant_id() RESET search_path", TENANT_ID,
        "routine reeve.tenant_id()"),
    "function too many": Case(
        "reeve-schema", SVC, "CREATE FUNCTION reeve.tenant_id(int) RETURNS bigint LANGUAGE sql"
        " AS 'SELECT 1::bigint'", "DROP FUNCTION reeve.tenant_id(int)",
        "routine reeve.tenant_id(integer)"),
    "table in public": Case(
        "privilege-elsewhere", SVC, "CREATE TABLE public.notes (i int);;"
        "GRANT SELECT ON public.notes TO {row_a}", "DROP TABLE public.notes", "table public.notes",
        tenant="row-a"),
    "function for the proxy": Case(
        "privilege-elsewhere", SVC, "GRANT EXECUTE ON FUNCTION pg_catalog.pg_read_file(text) TO reeve_pool",
        "REVOKE EXECUTE ON FUNCTION pg_catalog.pg_read_file(text) FROM reeve_pool", "function pg_read_file(text)"),
    "new tables for PUBLIC": Case(
        "default-privileges", SVC,
        "ALTER DEFAULT PRIVILEGES FOR ROLE own_things GRANT SELECT ON TABLES TO PUBLIC",
        "ALTER DEFAULT PRIVILEGES FOR ROLE own_things REVOKE SELECT ON TABLES FROM PUBLIC",
        "default privileges of own_things"),
    "new functions for PUBLIC": Case(
        "default-privileges", SVC,
        "ALTER DEFAULT PRIVILEGES FOR ROLE own_things GRANT EXECUTE ON ROUTINES TO PUBLIC",
        "ALTER DEFAULT PRIVILEGES FOR ROLE own_things REVOKE EXECUTE ON ROUTINES FROM PUBLIC",
        "default privileges of own_things", "warning"),
    "large objects": Case("large-objects", SVC,
                          "GRANT EXECUTE ON FUNCTION pg_catalog.lo_create(oid) TO PUBLIC",
                          "REVOKE EXECUTE ON FUNCTION pg_catalog.lo_create(oid) FROM PUBLIC",
                          "large objects", "warning"),
    "statistics": Case("statistics-views", SVC, STATISTICS_VIEW, STATISTICS_VIEW_BACK,
                       "view pg_catalog.pg_stats_ext", "warning"),
    "foreign server": Case(
        "foreign-server", SVC, "CREATE FOREIGN DATA WRAPPER way_out;;"
        "CREATE SERVER elsewhere FOREIGN DATA WRAPPER way_out",
        "DROP FOREIGN DATA WRAPPER way_out CASCADE", "server elsewhere", "warning"),
    "foreign server for all": Case(
        "foreign-server", SVC, "CREATE FOREIGN DATA WRAPPER way_out;;"
        "CREATE SERVER elsewhere FOREIGN DATA WRAPPER way_out;;"
        "CREATE USER MAPPING FOR PUBLIC SERVER elsewhere",
        "DROP FOREIGN DATA WRAPPER way_out CASCADE", "server elsewhere"),
    "schema gone": Case("schema-missing", SVC, "ALTER SCHEMA {schema_b} RENAME TO away",
                        "ALTER SCHEMA away RENAME TO {schema_b}", "schema {schema_b}",
                        tenant="schema-b"),
    "schema left": Case("orphan-schema", SVC, "CREATE SCHEMA t_999999", "DROP SCHEMA t_999999",
                        "schema t_999999", "warning"),
    "somebody else": Case(
        "mapping-wrong", SVC,
        "UPDATE reeve.role_tenant SET tenant_id = -tenant_id WHERE role_name = '{row_a}'",
        "UPDATE reeve.role_tenant SET tenant_id = -tenant_id WHERE role_name = '{row_a}'",
        "role_tenant of {row_a}", tenant="row-a"),
    "nobody": Case(
        "mapping-wrong", "{database_a_database}",
        "CREATE TABLE public.kept AS SELECT * FROM reeve.role_tenant WHERE role_name = '{database_a}'"
        ";; DELETE FROM reeve.role_tenant WHERE role_name = '{database_a}'",
        "INSERT INTO reeve.role_tenant SELECT * FROM public.kept;; DROP TABLE public.kept",
        "role_tenant of {database_a}", "warning", "database-a"),
    "mapping left": Case("orphan-mapping", SVC,
                         "INSERT INTO reeve.role_tenant VALUES ('t_999999', 1)",
                         "DELETE FROM reeve.role_tenant WHERE role_name = 't_999999'",
                         "role_tenant of t_999999", "warning"),
    "rows left": Case("orphan-rows", SVC,
                      "INSERT INTO app.thing (tenant_id, name) VALUES ({tenant}, 'left')",
                      "DELETE FROM app.thing WHERE tenant_id = {tenant}", "app.thing", "warning"),
    # -- clusters --
    "bypasses": Case("role-attributes", "postgres", "ALTER ROLE {row_a} BYPASSRLS",
                     "ALTER ROLE {row_a} NOBYPASSRLS", "role {row_a}", tenant="row-a"),
    "superuser": Case("role-attributes", "postgres", "ALTER ROLE own_things SUPERUSER",
                      "ALTER ROLE own_things NOSUPERUSER", "role own_things"),
    "group makes roles": Case("role-attributes", "postgres", "ALTER ROLE run_things CREATEROLE",
                              "ALTER ROLE run_things NOCREATEROLE", "role run_things"),
    "member of a neighbour": Case("role-member", "postgres", "GRANT {row_b} TO {row_a}",
                                  "REVOKE {row_b} FROM {row_a}", "role {row_a}", tenant="row-a"),
    "member of the owner": Case("role-member", "postgres", "GRANT own_things TO {schema_a_ro}",
                                "REVOKE own_things FROM {schema_a_ro}", "role {schema_a_ro}",
                                tenant="schema-a"),
    "owner reads all": Case("role-member", "postgres", "GRANT pg_read_all_data TO own_things",
                            "REVOKE pg_read_all_data FROM own_things", "role own_things"),
    "member may make members": Case(
        "role-member", "postgres", "GRANT run_things TO {row_a} WITH ADMIN OPTION",
        "REVOKE ADMIN OPTION FOR run_things FROM {row_a}", "role {row_a}", tenant="row-a"),
    "no member": Case("role-member", "postgres", "REVOKE use_things FROM {schema_a}",
                      "GRANT use_things TO {schema_a}", "role {schema_a}", "warning", "schema-a"),
    "member for the proxy": Case(
        "role-member", "postgres", "GRANT run_things TO reeve_pool",
        "REVOKE run_things FROM reeve_pool", "role reeve_pool", service=None),
    "owns a table": Case("role-owns", SVC, "CREATE TABLE public.mine (i int);;"
                         "ALTER TABLE public.mine OWNER TO {row_a}", "DROP TABLE public.mine",
                         "role {row_a}", tenant="row-a"),
    "owns a database": Case("role-owns", "postgres", "ALTER DATABASE {database_b_database}"
                            " OWNER TO {database_b}",
                            "ALTER DATABASE {database_b_database} OWNER TO own_things;;"
                            "REVOKE ALL ON DATABASE {database_b_database} FROM {database_b};;"
                            "GRANT CONNECT ON DATABASE {database_b_database} TO {database_b}",
                            "role {database_b}", tenant="database-b"),
    "group logs in": Case("role-login", "postgres", "ALTER ROLE use_things LOGIN",
                          "ALTER ROLE use_things NOLOGIN", "role use_things", "warning"),
    "role gone": Case("role-missing", "postgres", "ALTER ROLE {row_b_ro} RENAME TO away",
                      "ALTER ROLE away RENAME TO {row_b_ro}", "role {row_b_ro}", tenant="row-b"),
    "role left": Case("orphan-role", "postgres", "CREATE ROLE t_999999_ro", "DROP ROLE t_999999_ro",
                      "role t_999999_ro", "warning", service=None),
    "group left": Case("orphan-role", "postgres", "CREATE ROLE run_nothing", "DROP ROLE run_nothing",
                       "role run_nothing", "warning", service=None),
    "database gone": Case("database-missing", "postgres",
                          "ALTER DATABASE {database_b_database} RENAME TO away",
                          "ALTER DATABASE away RENAME TO {database_b_database}",
                          "database {database_b_database}", tenant="database-b"),
    "database shut": Case("database-missing", "postgres",
                          "ALTER DATABASE {database_b_database} ALLOW_CONNECTIONS false",
                          "ALTER DATABASE {database_b_database} ALLOW_CONNECTIONS true",
                          "database {database_b_database}", tenant="database-b"),
    "database left": Case("orphan-database", "postgres", "CREATE DATABASE tpl_nothing",
                          "DROP DATABASE tpl_nothing", "database tpl_nothing", "warning",
                          service=None),
    "slot left": Case("orphan-slot", "postgres",
                      "SELECT pg_create_physical_replication_slot('reeve_back_999999')",
                      "SELECT pg_drop_replication_slot('reeve_back_999999')",
                      "replication slot reeve_back_999999", "warning", service=None),
    "publication left": Case("orphan-stream", SVC, "CREATE PUBLICATION reeve_move_999999_mark",
                             "DROP PUBLICATION reeve_move_999999_mark", "publication reeve_move_999999_mark", "warning"),
    "progress left": Case("orphan-stream", SVC, "CREATE TABLE reeve.reeve_back_999999 (lsn bigint)",
                          "DROP TABLE reeve.reeve_back_999999", "table reeve.reeve_back_999999", "warning"),
    "database open": Case("database-open", "postgres", "GRANT CONNECT ON DATABASE svc_things TO PUBLIC",
                          "REVOKE CONNECT ON DATABASE svc_things FROM PUBLIC", "database svc_things"),
    "other database open": Case("database-open", "postgres",
                                "GRANT TEMPORARY ON DATABASE postgres TO PUBLIC",
                                "REVOKE TEMPORARY ON DATABASE postgres FROM PUBLIC",
                                "database postgres", "warning", service=None),
    "database for a neighbour": Case(
        "database-foreign", "postgres",
        "GRANT CONNECT ON DATABASE {database_a_database} TO {database_b}",
        "REVOKE CONNECT ON DATABASE {database_a_database} FROM {database_b}",
        "database {database_a_database}", tenant="database-b"),
    "temporary tables": Case("database-foreign", "postgres",
                             "GRANT TEMPORARY ON DATABASE svc_things TO use_things",
                             "REVOKE TEMPORARY ON DATABASE svc_things FROM use_things",
                             "database svc_things"),
    "database for the proxy": Case(
        "database-foreign", "postgres", "GRANT CONNECT ON DATABASE {database_a_database} TO reeve_pool",
        "REVOKE CONNECT ON DATABASE {database_a_database} FROM reeve_pool",
        "database {database_a_database}", service=None),
    "parameter": Case("parameter-privileges", "postgres",
                      "GRANT SET ON PARAMETER session_replication_role TO {row_a}",
                      "REVOKE SET ON PARAMETER session_replication_role FROM {row_a}",
                      "parameter session_replication_role", tenant="row-a"),
}


@contextlib.contextmanager
def broken(audited, case):
    audited.run(case.database, case.breaks)
    try:
        yield
    finally:
        audited.run(case.database, case.mends)


# Of what these are of nothing else is said: a table, or a database that is not there.
ALONE = ("shared table with tenants", "database gone", "database shut")
TOGETHER = 6


def groups():
    """Of cases of different checks, with REEVE_TESTS_SOME; else each case by itself."""
    if not few():
        return [[name] for name in CASES]
    made = []
    for name, case in CASES.items():
        group = next((group for group in made if len(group) < TOGETHER
                      and not {name, *group}.intersection(ALONE)
                      and case.code not in {CASES[other].code for other in group}), None)
        if group is None:
            made.append(group := [])
        group.append(name)
    return made


@pytest.mark.parametrize("names", groups(), ids="+".join)
def test_notices(audited, names):
    """All of these at once."""
    cases = [CASES[name] for name in names]
    wanted = [audited.text(case.object) for case in cases]  # while they are called so
    with contextlib.ExitStack() as all_broken:
        for case in cases:
            all_broken.enter_context(broken(audited, case))
        result = audited.audit()
    for case, named in zip(cases, wanted):
        found = [one for one in result.json["findings"] if one["code"] == case.code]
        assert named in [one["object"] for one in found], result.text
        finding = next(one for one in found if one["object"] == named)
        assert finding["severity"] == case.severity, finding
        assert finding["cluster"] == "local" and finding["message"] and finding["remedy"], finding
        assert finding["tenant"] == case.tenant and finding["service"] == case.service, finding
    assert result.code == {"info": 0, "warning": EXIT_WARNINGS, "critical": EXIT_CRITICAL}[worst(result.json)], \
        result.text
    if not few():
        audited.assert_sound()


def test_all_of_it_is_mended(audited):
    audited.assert_sound()


def worst(report):
    present = {one["severity"] for one in report["findings"]}
    return next(name for name in ("critical", "warning", "info") if name in present)


def test_every_check_has_its_case(audited):
    checks = audited.audit("--list").json["checks"]
    assert {one["code"] for one in checks} == {case.code for case in CASES.values()} | OWN_TESTS
    severities = {one["code"]: one["severity"] for one in checks}
    for case in CASES.values():
        order = ("info", "warning", "critical")
        assert order.index(case.severity) <= order.index(severities[case.code]), case


MENDED_BY_REMEDY = ("rls off", "policy for all", "column for PUBLIC", "schema for a neighbour",
                    "setting a sequence", "view with its owner's rights", "bypasses",
                    "member of a neighbour", "parameter", "database open", "new tables for PUBLIC")


@pytest.mark.parametrize("name", MENDED_BY_REMEDY)
def test_the_remedy_works(audited, name):
    """Where the remedy is a statement, it is the one that mends."""
    case = CASES[name]
    audited.run(case.database, case.breaks)
    try:
        remedy = next(one["remedy"] for one in audited.findings() if one["code"] == case.code)
        audited.run(case.database, remedy)
        audited.assert_sound()
    except BaseException:
        audited.run(case.database, case.mends)
        raise


# ---- what is right in another form ----

def test_the_other_form_of_the_policy(audited):
    direct = "tenant_id = reeve.tenant_id()"
    audited.run(SVC, f"ALTER POLICY reeve_tenant ON app.thing USING ({direct}) WITH CHECK ({direct})")
    try:
        audited.assert_sound()
    finally:
        form = "tenant_id = (SELECT reeve.tenant_id())"
        audited.run(SVC, f"ALTER POLICY reeve_tenant ON app.thing USING ({form}) WITH CHECK ({form})")


# ---- the catalog and the servers ----

def test_a_suspended_tenant_that_may_log_in(audited):
    tenant = audited.world.new_tenant("schema", credentials=False)
    role = audited.world.placement(tenant)["role"]
    audited.reeve.cli("tenant", "suspend", tenant.slug)
    audited.assert_sound()
    audited.run("postgres", f"ALTER ROLE {role} LOGIN")
    found = audited.findings("--all")
    assert [(one["code"], one["object"], one["tenant"]) for one in found
            if one["severity"] != "info"] == [("role-login", f"role {role}", tenant.slug)]
    audited.reeve.cli("tenant", "resume", tenant.slug)
    audited.assert_sound()


def test_what_a_placement_leaves_is_an_orphan(audited):
    """Its row goes without its objects, as a hand in the control database would do it."""
    tenant = audited.world.new_tenant("row", credentials=False)
    place = audited.world.placement(tenant)
    audited.run(SVC, "INSERT INTO app.thing (tenant_id, name) SELECT tenant_id, 'left'"
                     f" FROM reeve.role_tenant WHERE role_name = '{place['role']}'")
    with audited.reeve.admin() as control:
        control.execute("UPDATE reeve.placement SET state = 'deleting' WHERE id = %s", [place["id"]])
        row = control.execute("DELETE FROM reeve.placement WHERE id = %s RETURNING tenant_id",
                              [place["id"]]).fetchone()
    found = {(one["code"], one["object"]) for one in audited.findings() if one["severity"] != "info"}
    assert found == {("orphan-role", f"role {place['role']}"),
                     ("orphan-role", f"role {place['ro_role']}"),
                     ("orphan-mapping", f"role_tenant of {place['role']}"),
                     ("orphan-mapping", f"role_tenant of {place['ro_role']}"),
                     ("orphan-rows", "app.thing")}
    audited.run(SVC, f"""
        DELETE FROM app.thing WHERE tenant_id = {row[0]};;
        DELETE FROM reeve.role_tenant WHERE tenant_id = {row[0]};;
        DROP ROLE {place['role']};; DROP ROLE {place['ro_role']}""")
    audited.assert_sound()


def test_tenants_that_come_and_go(audited):
    """Nothing is missing or left over because it was made or dropped while the audit ran."""
    stop, failures = threading.Event(), []

    def come_and_go(mode):
        try:
            slug = unique(mode)
            audited.reeve.cli("tenant", "create", slug)
            while not stop.is_set():
                audited.reeve.cli("tenant", "attach", slug, "things", "--isolation", mode)
                audited.reeve.cli("tenant", "detach", slug, "things", "--yes")
            audited.reeve.cli("tenant", "delete", slug, "--yes")
        except AssertionError as failure:
            failures.append(failure)

    threads = [threading.Thread(target=come_and_go, args=[mode])
               for mode in ("row", "schema", "database")]
    for thread in threads:
        thread.start()
    try:
        for _ in range(6):
            audited.assert_sound()
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert failures == []
    audited.assert_sound()


# ---- the scope ----

def test_a_neighbours_findings_are_not_told(audited):
    cases = ["table for a neighbour", "bypasses", "role left"]
    with contextlib.ExitStack() as stack:
        for name in cases:
            stack.enter_context(broken(audited, CASES[name]))
        codes = {"schema-a": {"privilege-foreign"}, "row-a": {"role-attributes"}, "schema-b": set(),
                 "things": {"privilege-foreign", "role-attributes"}, "orders": set()}
        for name, wanted in codes.items():
            found = audited.findings(name, "--severity", "warning")
            assert {one["code"] for one in found} == wanted, name
        both = audited.findings("--tenant", "row-a", "--service", "orders", "--severity", "warning")
        assert both == []
    audited.assert_sound()


def test_severity_decides_what_is_shown_and_the_exit_status(audited):
    with broken(audited, CASES["no policy"]):
        result = audited.audit("--all", "--severity", "critical")
        assert result.code == 0 and result.json["findings"] == []
        assert result.json["counts"]["warning"] == 1
        assert audited.audit("--all", "--severity", "warning").code == EXIT_WARNINGS
    text = audited.reeve.cli("audit", "--all", "--severity", "warning").out
    assert text.startswith("0 critical, 0 warnings")


def test_for_people(audited):
    with broken(audited, CASES["rls off"]):
        result = audited.reeve.cli("audit", "things", check=False)
    assert result.code == EXIT_CRITICAL
    line = result.out.splitlines()[0]
    assert re.match(r"CRITICAL  rls-disabled  app\.thing in svc_things on local .*; remedy: ALTER", line)
    assert "1 critical" in result.out and "critical" in result.err


def test_wrong_arguments(audited):
    for arguments, word in ((["--nothing"], "nothing"), (["row-a", "--all"], "--all"),
                            (["row-a", "--service", "things"], "--service"),
                            (["--all", "--severity", "bad"], "bad")):
        result = audited.reeve.cli("audit", *arguments, check=False)
        assert result.code == 2 and word in result.err, result.text
    result = audited.reeve.cli("audit", check=False)
    assert result.code == 2 and "--all" in result.err, result.text
    for arguments in (["nobody"], ["--tenant", "nobody"], ["--service", "nothing"],
                      ["--tenant", "row-b", "--service", "orders"]):
        assert audited.reeve.cli("audit", *arguments, check=False).code == 66, arguments


def test_a_name_of_both(audited):
    audited.reeve.cli("tenant", "create", "things")
    try:
        result = audited.reeve.cli("audit", "things", check=False)
        assert result.code == 2 and "--service things" in result.err, result.text
        audited.assert_sound("--service", "things")
        audited.assert_sound("--tenant", "things")
    finally:
        audited.reeve.cli("tenant", "delete", "things", "--yes")


# ---- what cannot be looked at ----

def test_a_check_that_fails_is_a_finding(audited):
    audited.run(SVC, "ALTER TABLE reeve.role_tenant RENAME TO away")
    try:
        result = audited.audit()
    finally:
        audited.run(SVC, "ALTER TABLE reeve.away RENAME TO role_tenant")
    found = [one for one in result.json["findings"] if one["code"] == "not-audited"]
    assert {one["object"] for one in found} == {"check mapping-wrong", "check orphan-mapping"}
    assert {one["database"] for one in found} == {SVC} and result.code == EXIT_CRITICAL
    audited.assert_sound()


def test_a_cluster_that_is_down_is_a_finding(audited):
    with running_postgres() as server:
        audited.world.add_cluster("second", server, 5)
        audited.assert_sound()
        server.stop()
        result = audited.audit()
        found = [one for one in result.json["findings"] if one["severity"] != "info"]
        assert [(one["code"], one["cluster"]) for one in found] == [("not-audited", "second")]
        assert server.password not in result.out + result.err
        audited.assert_sound("things")
        audited.reeve.cli("cluster", "remove", "second", "--yes")


def test_without_a_superuser(audited):
    """All checks work for an administrator who may make databases and roles and no more; what only a
    superuser can close is told."""
    with running_postgres() as server:
        with server.connect() as admin:
            admin.execute("CREATE ROLE limited LOGIN CREATEDB CREATEROLE PASSWORD 'limited'")
        audited.reeve.cli("cluster", "add", "managed", "--conninfo",
                          f"host=127.0.0.1 port={server.port}", "--admin-user", "limited",
                          "--password-file", "-", input="limited\n")
        tenants = [audited.world.new_tenant(mode, credentials=False, cluster="managed")
                   for mode in ("row", "schema", "database")]
        try:
            result = audited.audit()
            found = [one for one in result.json["findings"] if one["severity"] != "info"]
            assert {(one["code"], one["severity"], one["cluster"]) for one in found} == {
                ("large-objects", "warning", "managed"), ("database-open", "warning", "managed")}
            assert result.code == EXIT_WARNINGS
        finally:
            for tenant in tenants:
                audited.reeve.cli("tenant", "delete", tenant.slug, "--yes")
            audited.reeve.cli("cluster", "remove", "managed", "--yes")
    audited.assert_sound()


def test_an_old_server(audited):
    result = audited.audit(env={"REEVE_FAIL_AT": "audit.server"})
    holes = [one for one in result.json["findings"] if one["code"] == "server-hole"]
    assert {"CVE-2023-2455", "CVE-2024-10976", "CVE-2025-8713"} <= {one["object"] for one in holes}
    assert all("15." in one["remedy"] for one in holes) and result.code == EXIT_CRITICAL
