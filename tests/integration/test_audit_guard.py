"""`reeve audit` under the guard: the role that enters everybody, and the functions it does so with.
Each case takes one thing out as superuser, sees the finding, and mends it."""
import pathlib
import shutil

import pytest

from support.audited import EXIT_CRITICAL, Audited
from support.reeve import running_reeve
from support.world import World

from test_audit import Case, broken

SVC = "svc_things"
POOL = "role reeve_pool"


@pytest.fixture(scope="module")
def audited():
    with running_reeve() as server:
        server.cli("cluster", "enforce", "local", "guard")
        yield Audited(World(server))


@pytest.fixture(autouse=True)
def log_is_clean(audited):
    yield
    audited.reeve.check_log()


def pool(code, breaks, mends, database="postgres", object_=POOL, **more):
    """About reeve_pool, which is no service's."""
    return Case(code, database, breaks, mends, object_, **{"service": None, **more})


def function(signature, breaks, mends=None):
    return Case("guard-wrong", SVC, breaks, mends or "SELECT 1", f"routine reeve.{signature}")


ENTER = "reeve.enter(bytea,bigint,integer,bytea)"
CASES = {
    # -- what it is --
    **{attribute.lower(): pool("role-attributes", f"ALTER ROLE reeve_pool {attribute}",
                               f"ALTER ROLE reeve_pool NO{attribute}")
       for attribute in ("SUPERUSER", "BYPASSRLS", "CREATEROLE", "CREATEDB", "REPLICATION")},
    "no login": pool("guard-wrong", "ALTER ROLE reeve_pool NOLOGIN", "ALTER ROLE reeve_pool LOGIN",
                     service="things"),
    "gone": pool("guard-wrong", "ALTER ROLE reeve_pool RENAME TO away",
                 "ALTER ROLE away RENAME TO reeve_pool", service="things"),
    # -- what it is a member of, and who of it --
    **{f"member of {role}": pool("role-member", f"GRANT {role} TO reeve_pool",
                                 f"REVOKE {role} FROM reeve_pool")
       for role in ("run_things", "run_things_ro", "use_things", "own_things", "run_orders",
                    "{schema_a}", "{schema_a_ro}", "{database_a}", "pg_read_all_data",
                    "pg_signal_backend", "pg_execute_server_program")},
    "a tenant is a member": Case("role-member", "postgres", "GRANT reeve_pool TO {schema_a}",
                                 "REVOKE reeve_pool FROM {schema_a}", "role {schema_a}",
                                 tenant="schema-a"),
    "tenants are members": Case("role-member", "postgres", "GRANT reeve_pool TO run_things",
                                "REVOKE reeve_pool FROM run_things", "role run_things"),
    "a tenant is a member of its neighbour": Case(
        "role-member", "postgres", "GRANT {schema_b} TO {schema_a}", "REVOKE {schema_b} FROM {schema_a}",
        "role {schema_a}", tenant="schema-a"),
    # -- what it owns --
    "owns a table": pool("role-owns", "CREATE TABLE public.mine (i int);;"
                         "ALTER TABLE public.mine OWNER TO reeve_pool", "DROP TABLE public.mine", SVC),
    "owns a service's table": pool(
        "role-owns", "ALTER TABLE app.kind OWNER TO reeve_pool",
        "ALTER TABLE app.kind OWNER TO own_things", SVC),
    "owns a table that tenants share": Case(
        "owner-wrong", SVC, "ALTER TABLE app.kind OWNER TO reeve_pool",
        "ALTER TABLE app.kind OWNER TO own_things", "table app.kind"),
    "owns a database": pool("role-owns", "ALTER DATABASE {database_a_database} OWNER TO reeve_pool",
                            "ALTER DATABASE {database_a_database} OWNER TO own_things"),
    "owns the guard": Case("reeve-schema", SVC, f"ALTER FUNCTION {ENTER} OWNER TO reeve_pool",
                           f"ALTER FUNCTION {ENTER} OWNER TO CURRENT_USER;;"
                           f"GRANT EXECUTE ON FUNCTION {ENTER} TO reeve_pool",
                           "routine reeve.enter(key bytea, tenant_id bigint, flags integer,"
                           " names bytea)"),
    # -- what it may do --
    "reads a service's table": Case("privilege-foreign", SVC, "GRANT SELECT ON app.thing TO reeve_pool",
                                    "REVOKE SELECT ON app.thing FROM reeve_pool", "table app.thing"),
    "uses a tenant's schema": Case(
        "privilege-foreign", SVC, "GRANT USAGE ON SCHEMA {schema_a} TO reeve_pool",
        "REVOKE USAGE ON SCHEMA {schema_a} FROM reeve_pool", "schema {schema_a}", tenant="schema-a"),
    "makes objects": pool("schema-open", "GRANT CREATE ON SCHEMA public TO reeve_pool",
                          "REVOKE CREATE ON SCHEMA public FROM reeve_pool", SVC, "schema public",
                          service="things"),
    "reads another table": pool(
        "privilege-elsewhere", "CREATE TABLE public.notes (i int);;"
        "GRANT SELECT ON public.notes TO reeve_pool", "DROP TABLE public.notes", SVC,
        "table public.notes", service="things"),
    "reads files": pool(
        "privilege-elsewhere", "GRANT EXECUTE ON FUNCTION pg_catalog.pg_ls_dir(text) TO reeve_pool",
        "REVOKE EXECUTE ON FUNCTION pg_catalog.pg_ls_dir(text) FROM reeve_pool", SVC,
        "function pg_ls_dir(text)", service="things"),
    "writes who is who": Case("reeve-schema", SVC, "GRANT INSERT ON reeve.role_tenant TO reeve_pool",
                              "REVOKE INSERT ON reeve.role_tenant FROM reeve_pool",
                              "table reeve.role_tenant"),
    "has a policy": Case("policy-widens", SVC, "CREATE POLICY wide ON app.thing TO reeve_pool"
                         " USING (true)", "DROP POLICY wide ON app.thing", "policy wide on app.thing"),
    "gets what is made next": Case(
        "default-privileges", SVC,
        "ALTER DEFAULT PRIVILEGES FOR ROLE own_things GRANT SELECT ON TABLES TO reeve_pool",
        "ALTER DEFAULT PRIVILEGES FOR ROLE own_things REVOKE SELECT ON TABLES FROM reeve_pool",
        "default privileges of own_things"),
    "sets what superusers may": pool(
        "parameter-privileges", "GRANT SET ON PARAMETER session_replication_role TO reeve_pool",
        "REVOKE SET ON PARAMETER session_replication_role FROM reeve_pool",
        object_="parameter session_replication_role"),
    # -- where it may connect --
    "in a tenant's database": pool(
        "database-foreign", "GRANT CONNECT ON DATABASE {database_a_database} TO reeve_pool",
        "REVOKE CONNECT ON DATABASE {database_a_database} FROM reeve_pool",
        object_="database {database_a_database}"),
    "in Reeve's own": pool("database-foreign", "GRANT CONNECT ON DATABASE postgres TO reeve_pool",
                           "REVOKE CONNECT ON DATABASE postgres FROM reeve_pool",
                           object_="database postgres"),
    "with temporary tables": pool("database-foreign", "GRANT TEMPORARY ON DATABASE svc_things TO"
                                  " reeve_pool", "REVOKE TEMPORARY ON DATABASE svc_things FROM"
                                  " reeve_pool", object_="database svc_things"),
    "and gives it on": pool(
        "database-foreign", "GRANT CONNECT ON DATABASE svc_things TO reeve_pool WITH GRANT OPTION",
        "REVOKE GRANT OPTION FOR CONNECT ON DATABASE svc_things FROM reeve_pool",
        object_="database svc_things"),
    "nowhere": pool("guard-wrong", "REVOKE CONNECT ON DATABASE svc_things FROM reeve_pool",
                    "GRANT CONNECT ON DATABASE svc_things TO reeve_pool", SVC, service="things"),
    "everybody connects": Case("database-open", "postgres", "GRANT CONNECT ON DATABASE svc_things TO"
                               " PUBLIC", "REVOKE CONNECT ON DATABASE svc_things FROM PUBLIC",
                               "database svc_things"),
    "everybody reads": Case("privilege-public", SVC, "GRANT SELECT ON app.thing TO PUBLIC",
                            "REVOKE SELECT ON app.thing FROM PUBLIC", "table app.thing"),
    "everybody uses a tenant's schema": Case(
        "privilege-public", SVC, "GRANT USAGE ON SCHEMA {schema_a} TO PUBLIC",
        "REVOKE USAGE ON SCHEMA {schema_a} FROM PUBLIC", "schema {schema_a}", tenant="schema-a"),
    # -- the tenants' roles --
    "a tenant's role logs in": Case("role-login", "postgres", "ALTER ROLE {schema_a} LOGIN",
                                    "ALTER ROLE {schema_a} NOLOGIN", "role {schema_a}", "warning",
                                    "schema-a"),
    "the group logs in": Case("role-login", "postgres", "ALTER ROLE run_things LOGIN",
                              "ALTER ROLE run_things NOLOGIN", "role run_things", "warning"),
    "a tenant passes policies by": Case("role-attributes", "postgres", "ALTER ROLE run_things BYPASSRLS",
                                        "ALTER ROLE run_things NOBYPASSRLS", "role run_things"),
    # -- the functions --
    "arm for everybody": function("arm(bytea)", "GRANT EXECUTE ON FUNCTION reeve.arm(bytea) TO PUBLIC",
                                  "REVOKE EXECUTE ON FUNCTION reeve.arm(bytea) FROM PUBLIC"),
    "enter for a tenant": function(
        "enter(bytea,bigint,integer,bytea)", f"GRANT EXECUTE ON FUNCTION {ENTER} TO {{schema_a}}",
        f"REVOKE EXECUTE ON FUNCTION {ENTER} FROM {{schema_a}}"),
    "leave for the group": function(
        "leave(bytea)", "GRANT EXECUTE ON FUNCTION reeve.leave(bytea) TO run_things",
        "REVOKE EXECUTE ON FUNCTION reeve.leave(bytea) FROM run_things"),
    "arm for nobody": function("arm(bytea)", "REVOKE EXECUTE ON FUNCTION reeve.arm(bytea) FROM reeve_pool",
                               "GRANT EXECUTE ON FUNCTION reeve.arm(bytea) TO reeve_pool"),
    "arm away": function("arm(bytea)", "ALTER FUNCTION reeve.arm(bytea) SET SCHEMA public",
                         "ALTER FUNCTION public.arm(bytea) SET SCHEMA reeve"),
    "enter under another name": function(
        "enter(bytea,bigint,integer,bytea)", f"ALTER FUNCTION {ENTER} RENAME TO entered",
        "ALTER FUNCTION reeve.entered(bytea, bigint, integer, bytea) RENAME TO enter"),
}


@pytest.mark.parametrize("name", CASES)
def test_notices(audited, name):
    case = CASES[name]
    wanted = audited.text(case.object)
    with broken(audited, case):
        result = audited.audit()
        found = [one for one in result.json["findings"]
                 if one["code"] == case.code and one["object"] == wanted]
        assert found, result.text
        assert {one["severity"] for one in found} == {case.severity}, found
        assert {one["tenant"] for one in found} == {case.tenant}, found
        assert case.service in {one["service"] for one in found}, found
        assert all(one["message"] and one["remedy"] for one in found)
        if case.severity == "critical":
            assert result.code == EXIT_CRITICAL, result.text
    audited.assert_sound()


def redefine(audited, name, text):
    """What a hand in the database puts in a function's place; then the remedy."""
    audited.run(SVC, text)
    try:
        found = [one for one in audited.findings() if one["severity"] == "critical"]
        assert ("guard-wrong", f"routine reeve.{name}") in {
            (one["code"], one["object"]) for one in found}, found
        assert "cluster enforce" in next(one["remedy"] for one in found
                                         if one["code"] == "guard-wrong")
        return found
    finally:
        audited.reeve.cli("cluster", "enforce", "local", "guard")
        audited.assert_sound()


def test_a_function_in_sql(audited):
    """It would let everybody be anybody."""
    redefine(audited, "arm(bytea)", "CREATE OR REPLACE FUNCTION reeve.arm(key bytea) RETURNS void"
                                    " LANGUAGE sql AS ''")
    redefine(audited, "tenant_id()", "CREATE OR REPLACE FUNCTION reeve.tenant_id() RETURNS bigint"
                                     " LANGUAGE sql STABLE AS 'SELECT 1::bigint'")


def test_a_function_that_is_gone(audited):
    redefine(audited, "arm(bytea)", "DROP FUNCTION reeve.arm(bytea)")
    redefine(audited, "leave(bytea)", "DROP FUNCTION reeve.leave(bytea)")


def library_of(audited):
    return pathlib.Path(audited.reeve.query(
        "SELECT probin FROM pg_proc WHERE oid = 'reeve.arm(bytea)'::regprocedure",
        database=SVC)[0][0])


def test_another_library(audited):
    """The one that arms is not the one that enters."""
    own = library_of(audited)
    other = own.with_name("reeve_guard_other.so")
    shutil.copy(own, other)
    other.chmod(0o755)
    found = redefine(audited, "arm(bytea)", "CREATE OR REPLACE FUNCTION reeve.arm(key bytea) RETURNS"
                                            f" void LANGUAGE c STRICT AS '{other}', 'reeve_guard_arm'")
    assert any("another library" in one["message"] for one in found)


def test_a_library_that_is_gone(audited):
    """What the server cannot load, no new session is armed by: the check says that it failed."""
    own = library_of(audited)
    aside = own.with_name("aside.so")
    own.rename(aside)
    try:
        found = {(one["code"], one["object"]): one for one in audited.findings()
                 if one["severity"] == "critical"}
        finding = found[("not-audited", "check guard-wrong")]
        assert own.name in finding["message"], finding
    finally:
        aside.rename(own)
    audited.assert_sound()


def test_an_administrator_is_nobody(audited):
    """The mapping of logins makes nobody of the administrator's sessions a tenant's."""
    name = audited.reeve.query("SELECT session_user")[0][0]
    audited.run(SVC, f"INSERT INTO reeve.role_tenant VALUES ('{name}', {{schema_a_id}}, 'schema-a')")
    try:
        found = [one["object"] for one in audited.findings() if one["code"] == "guard-wrong"]
        assert found == ["routine reeve.tenant_id()"]
    finally:
        audited.run(SVC, f"DELETE FROM reeve.role_tenant WHERE role_name = '{name}'")
    audited.assert_sound()


def test_under_login_nobody_asks_for_the_guard(audited):
    """The functions may stay, and go, where no tenant is entered by them."""
    names = [f"{mode}-{letter}" for mode in ("row", "schema") for letter in "abc"]
    services = [("things", names), ("orders", ["row-a", "schema-a"])]
    for service, slugs in services:
        for slug in slugs:
            audited.reeve.cli("placement", "enforce", slug, service, "login")
    audited.run("postgres", "ALTER ROLE reeve_pool NOLOGIN")
    try:
        audited.assert_sound()
    finally:
        audited.run("postgres", "ALTER ROLE reeve_pool LOGIN")
        for service, slugs in services:
            for slug in slugs:
                audited.reeve.cli("placement", "enforce", slug, service, "guard")
    audited.assert_sound()
