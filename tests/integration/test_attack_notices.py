"""`reeve audit --attack` finds holes: those that an administrator made, and defences taken out."""
import contextlib

import pytest

from support import reeve as reeve_support
from support.attacked import ATTACKED, attack, create_things, ids, results, throwaway

pytestmark = pytest.mark.timeout(900)

RUNS = 3  # of the suite, at most


@pytest.fixture(scope="module")
def server():
    """A Reeve of this module's own: holes are made in it."""
    with reeve_support.running_reeve() as running:
        create_things(running)
        yield running


def run_with_holes(server, isolation, holes, mends=()):
    """Holes and mends are SQL of the administrator's in the shared database."""
    for text in holes:
        server.query(text, database="svc_things")
    try:
        done = attack(server, "--isolation", isolation, json=True, check=False)
    finally:
        for text in mends:
            server.query(text, database="svc_things")
    assert throwaway(server) == []
    assert done.code == ATTACKED, done.text[-3000:]
    return done.json


def test_what_making_a_tenant_repairs(server):
    """It is looked at before the tenants are made, who therefore find it whole."""
    report = run_with_holes(server, "row", [
        "ALTER TABLE app.thing DISABLE ROW LEVEL SECURITY",
        "ALTER VIEW app.thing_parts RESET (security_invoker)",
        "GRANT TRUNCATE ON app.part TO run_things",
        "GRANT UPDATE ON app.kind TO run_things",
        "CREATE UNIQUE INDEX hole ON app.thing (name)"], ["DROP INDEX app.hole"])
    assert ids(report, "FINDING") == {"rows.shape"}
    why = results(report)["row", "rows.shape"]["why"]
    for part in ("table thing: row-level security", "view thing_parts", "index hole",
                 "TRUNCATE on part for run_things", "UPDATE on kind for run_things"):
        assert part in why
    # And it has said the truth: the tables are whole now.
    healed = attack(server, "--isolation", "row", json=True).json
    assert results(healed)["row", "rows.shape"]["verdict"] == "PASS"


def test_what_no_tenant_can_be_made_with(server):
    report = run_with_holes(
        server, "row,schema",
        ["CREATE POLICY hole ON app.thing USING (true)",
         "CREATE FUNCTION app.hole() RETURNS bigint LANGUAGE sql SECURITY DEFINER AS 'SELECT 1::bigint'"],
        ["DROP POLICY hole ON app.thing", "DROP FUNCTION app.hole()"])
    entry = results(report)["row", "rows.shape"]
    assert entry["verdict"] == "FINDING"
    assert 'function "hole" is SECURITY DEFINER' in entry["why"] and 'policy "hole"' in entry["why"]
    tried = [isolation for isolation, _ in results(report)]
    assert tried.count("row") == 1, "the row target was attacked"
    assert tried.count("schema") > 140, "the other target was not attacked"


@contextlib.contextmanager
def made_again(server, *texts):
    """The administrator's holes come back whenever a tenant has been made, as an event trigger does
    it with the grants that are the last step of it."""
    body = " ".join(f"EXECUTE {quoted(text)};" for text in texts)
    server.query("CREATE FUNCTION public.sabotage() RETURNS event_trigger LANGUAGE plpgsql"
                 " SECURITY DEFINER AS $hole$ BEGIN"
                 " IF current_setting('sabotage.busy', true) = 'yes' THEN RETURN; END IF;"
                 f" PERFORM set_config('sabotage.busy', 'yes', true); {body}"
                 " PERFORM set_config('sabotage.busy', '', true); END $hole$",
                 database="svc_things")
    server.query("REVOKE EXECUTE ON FUNCTION public.sabotage() FROM PUBLIC", database="svc_things")
    server.query("CREATE EVENT TRIGGER sabotage ON ddl_command_end WHEN TAG IN ('GRANT')"
                 " EXECUTE FUNCTION public.sabotage()", database="svc_things")
    try:
        yield
    finally:
        server.query("DROP EVENT TRIGGER sabotage", database="svc_things")
        server.query("DROP FUNCTION public.sabotage()", database="svc_things")
        # Making a tenant mends the rest.
        server.add_tenant("mender", "things", "row", credentials=False)
        server.cli("tenant", "delete", "mender", "--yes")


def quoted(text):
    return "'" + text.replace("'", "''") + "'"


def test_row_security_off(server):
    with made_again(server, "ALTER TABLE app.thing DISABLE ROW LEVEL SECURITY"):
        report = run_with_holes(server, "row", [])
    found = ids(report, "FINDING")
    wanted = {"context.nothing", "rows.forced", "rows.insert", "rows.insert_select", "rows.update",
              "rows.merge", "rows.merge_update", "rows.update_victims", "rows.delete_victims",
              "rows.delete_by_name", "context.by_name", "statistics.cast", "statistics.values",
              "prepared.shared", "copy.from", "keys.cascade"}
    assert wanted <= found, (wanted - found, [results(report)["row", name]
                                              for name in wanted - found])
    why = results(report)["row", "context.nothing"]["why"]
    assert "app.thing" in why and "app.part" not in why
    # What leaks anyway is said once: an attack that adds nothing to it held.
    assert not {"role.reset", "context.set", "role.discard", "startup.role"} & found
    # What got through was rolled back, but for what can reach the throwaway tenants' rows alone.
    harmed = {name for (_, name), entry in results(report).items()
              if "rows are not what they were" in (entry["why"] or "")}
    assert harmed <= {"keys.cascade"}


def test_policy_by_a_setting(server):
    """What everybody does: a policy that reads a setting which SQL may set."""
    with made_again(server, "ALTER POLICY reeve_tenant ON app.thing USING (tenant_id = coalesce("
                            "nullif(current_setting('reeve.tenant_id', true), '')::bigint,"
                            " reeve.tenant_id()))"):
        report = run_with_holes(server, "row", [])
    found = ids(report, "FINDING")
    assert {"context.set", "context.set_config", "context.set_config_local", "context.do",
            "context.do_set", "startup.tenant"} <= found
    assert not {"context.nothing", "rows.forced", "role.reset", "context.set_other_names",
                "rows.delete_victims"} & found


def test_tenant_by_a_setting(server):
    """The function that says who the tenant is, asked by every policy."""
    original = server.query("SELECT pg_get_functiondef('reeve.tenant_id()'::regprocedure)",
                            database="svc_things")[0][0]
    server.cli("cluster", "enforce", "local", "login")
    try:
        report = run_with_holes(
            server, "row",
            ["CREATE OR REPLACE FUNCTION reeve.tenant_id() RETURNS bigint LANGUAGE sql STABLE"
             " SECURITY DEFINER AS $$ SELECT coalesce(nullif(current_setting('app.tenant_id', true),"
             " '')::bigint, reeve.login_tenant()) $$"], [original])
    finally:
        server.cli("cluster", "enforce", "local", "guard")
    assert report["targets"][0]["enforcement"] == "login"
    found = ids(report, "FINDING")
    assert "context.set_other_names" in found
    assert "counts as tenant" in results(report)["row", "context.set_other_names"]["why"]
    assert not {"context.nothing", "context.set", "context.set_config"} & found


def test_keys_without_the_tenant(server):
    """Unique keys and references over natural columns alone tell of neighbours."""
    with made_again(server, "DROP INDEX IF EXISTS app.hole",
                    "CREATE UNIQUE INDEX hole ON app.thing (name)"):
        report = run_with_holes(server, "row", [], ["DROP INDEX app.hole"])
    assert "keys.unique" in ids(report, "FINDING")
    assert "table thing" in results(report)["row", "keys.unique"]["why"]


def test_many_small_holes(server):
    """Each is found by the attack that is meant for it."""
    again = {
        "rows.insert": "ALTER POLICY reeve_tenant ON app.thing WITH CHECK (true)",
        "rows.shared": "GRANT UPDATE ON app.kind TO run_things",
        "views.invoker": "ALTER VIEW app.thing_parts RESET (security_invoker)",
        "privileges.tables": "GRANT TRIGGER ON app.part TO run_things",
    }
    holes = {
        "views.definer": ("CREATE FUNCTION public.hole() RETURNS bigint LANGUAGE sql"
                          " SECURITY DEFINER AS 'SELECT 1::bigint'", "DROP FUNCTION public.hole()"),
        "public.connect": ("GRANT CONNECT ON DATABASE postgres TO PUBLIC",
                           "REVOKE CONNECT ON DATABASE postgres FROM PUBLIC"),
        "public.temporary": ("GRANT TEMP ON DATABASE svc_things TO PUBLIC",
                             "REVOKE TEMP ON DATABASE svc_things FROM PUBLIC"),
        "public.create": ("GRANT CREATE ON SCHEMA public TO PUBLIC",
                          "REVOKE CREATE ON SCHEMA public FROM PUBLIC"),
        "objects.large": ("GRANT EXECUTE ON FUNCTION lo_create(oid) TO PUBLIC",
                          "REVOKE EXECUTE ON FUNCTION lo_create(oid) FROM PUBLIC"),
        "files.read": ("GRANT EXECUTE ON FUNCTION pg_read_file(text) TO PUBLIC",
                       "REVOKE EXECUTE ON FUNCTION pg_read_file(text) FROM PUBLIC"),
        "shared.query_text": ("GRANT pg_read_all_stats TO use_things",
                              "REVOKE pg_read_all_stats FROM use_things"),
        "shared.running_query": ("GRANT pg_signal_backend TO use_things",
                                 "REVOKE pg_signal_backend FROM use_things"),
        "context.mapping": ("GRANT SELECT ON reeve.role_tenant TO PUBLIC",
                            "REVOKE SELECT ON reeve.role_tenant FROM PUBLIC"),
    }
    with made_again(server, *again.values()):
        report = run_with_holes(server, "row", [hole for hole, _ in holes.values()],
                                [mend for _, mend in holes.values()])
    found = ids(report, "FINDING")
    assert {*again, *holes} <= found, {*again, *holes} - found
    # A view of all tenants' rows is seen without doing anything.
    assert "app.thing_parts" in results(report)["row", "context.nothing"]["why"]
    # These had nothing to do with it.
    assert not {"context.set", "role.set", "rows.forced", "login.others_token", "login.read_only",
                "shared.notify", "code.load", "cancel.guessed", "keys.unique"} & found


def test_open_schemas(server):
    """Every tenant's schema is opened to everybody once it is made."""
    # Not before its migrations are done, and once: they are audited, and would fail.
    opening = r"""DO $$ DECLARE name text; BEGIN
        FOR name IN SELECT target FROM reeve.migration WHERE target LIKE 't\_%'
            AND NOT has_schema_privilege('public', target, 'USAGE') LOOP
            EXECUTE format('GRANT USAGE ON SCHEMA %I TO PUBLIC', name);
            EXECUTE format('GRANT SELECT, DELETE ON ALL TABLES IN SCHEMA %I TO PUBLIC', name);
        END LOOP; END $$"""
    with made_again(server, opening):
        report = run_with_holes(server, "schema", [])
    found = ids(report, "FINDING")
    assert {"context.nothing", "context.by_name", "rows.delete_by_name"} <= found
    assert not {"context.set", "role.set", "rows.insert", "suspend.open_connection"} & found


def attacked_without(*defences, any_of=()):
    """What is found with these defences taken out: in one run, or in the first of a few that finds
    any of `any_of`. Chance decides which tenants meet in a server session."""
    found = set()
    with reeve_support.running_reeve(REEVE_MUTATE=",".join(defences)) as server:
        create_things(server)
        for _ in range(RUNS):
            done = attack(server, "--isolation", "row,schema", json=True, check=False)
            assert done.code == ATTACKED
            assert throwaway(server) == []
            found |= ids(done.json, "FINDING")
            if not any_of or found & any_of:
                break
    return found


def test_a_guard_that_lets_roles_go():
    found = attacked_without("guard.role")
    assert {"role.reset", "role.none", "guard.caught"} <= found


def test_a_guard_that_forgets_to_clear():
    """Sessions must be shared between attacker and victim for this to be seen."""
    left = {"leftover.settings", "leftover.sequence"}
    found = attacked_without("guard.settings", "guard.sequences", "guard.random", "guard.prepared",
                             "guard.advisory", "guard.names", "guard.utility", "guard.notify",
                             any_of=left)
    assert {"guard.password", "guard.notify", "guard.statements"} <= found
    assert left & found, found


def test_a_proxy_that_does_not_hear_of_suspension():
    with reeve_support.running_reeve(REEVE_MUTATE="proxy.suspend") as server:
        create_things(server)
        done = attack(server, "--isolation", "schema", json=True, check=False)
        assert done.code == ATTACKED
        assert ids(done.json, "FINDING") == {"suspend.open_connection"}
        assert throwaway(server) == []


def test_channels_that_are_everybodys():
    """Under the guard it takes both: the proxy sees whose a notification is."""
    assert attacked_without("guard.channels", "proxy.notify") == {"shared.notify"}
    with reeve_support.running_reeve(REEVE_MUTATE="guard.channels") as server:
        create_things(server)
        done = attack(server, "--isolation", "schema", json=True)
        assert ids(done.json, "FINDING") == set()


def test_a_proxy_that_passes_notifications_on():
    """Under login, where the proxy alone stands in front of them."""
    with reeve_support.running_reeve(REEVE_MUTATE="proxy.notify") as server:
        create_things(server)
        server.cli("cluster", "enforce", "local", "login")
        done = attack(server, "--isolation", "schema", json=True, check=False)
        assert done.code == ATTACKED
        assert ids(done.json, "FINDING") == {"shared.notify"}
