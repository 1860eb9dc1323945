"""Takes the defences out, one at a time, and sees that an attack gets through and is noticed.

An attack test that passes here without its defence would prove nothing in the other files.
"""
import pathlib
import re

import psycopg
import pytest

from support import attack, process
from support.notice import database_of, hole, made, must_notice, without
from support.reeve import ENFORCEMENT, running_reeve
from support.world import World

import test_exhaustion
import test_fairness
import test_identity
import test_leftovers
import test_operators_tools
import test_row_leaks


def test_row_security_off(bare):
    stage = made(bare, "row")
    with database_of(stage) as admin:
        admin.execute("ALTER TABLE app.thing DISABLE ROW LEVEL SECURITY")
        try:
            must_notice(attack.run_sql_attack, stage, attack.CONTEXT["schema by name"])
            must_notice(attack.run_in_one_message, stage, attack.CONTEXT["reset"])
            must_notice(attack.check_row_security_is_forced, stage)
        finally:
            admin.execute("ALTER TABLE app.thing ENABLE ROW LEVEL SECURITY")
    attack.run_sql_attack(stage, attack.CONTEXT["schema by name"])


def test_row_security_not_forced(bare):
    stage = made(bare, "row")
    with database_of(stage) as admin:
        admin.execute("ALTER TABLE app.part NO FORCE ROW LEVEL SECURITY")
        try:
            must_notice(attack.check_row_security_is_forced, stage)
        finally:
            admin.execute("ALTER TABLE app.part FORCE ROW LEVEL SECURITY")


@pytest.mark.parametrize("attribute", ["BYPASSRLS", "SUPERUSER", "CREATEROLE"])
def test_powerful_role(bare, attribute):
    stage = made(bare, "row")
    role = stage.attacker_place["role"]
    guarded = stage.attacker_place["enforcement"] == "guard"
    with database_of(stage) as admin:
        admin.execute(f"ALTER ROLE {role} {attribute}")
        try:
            must_notice(attack.check_role_attributes, stage)
            if guarded:  # nobody is let in as such a role
                with pytest.raises(psycopg.OperationalError), stage.connect() as connection:
                    stage.end_attackers_backends()
                    connection.execute("SELECT 1")
            elif attribute != "CREATEROLE":
                must_notice(attack.run_sql_attack, stage, attack.CONTEXT["reset"])
        finally:
            admin.execute(f"ALTER ROLE {role} NO{attribute}")


def test_policy_without_check(bare):
    """USING alone lets a tenant write into another's rows."""
    stage = made(bare, "row")
    with database_of(stage) as admin:
        admin.execute("CREATE POLICY hole ON app.thing FOR INSERT WITH CHECK (true)")
        try:
            must_notice(attack.forge, stage, attack.FORGERIES["insert"])
        finally:
            admin.execute("DELETE FROM app.thing WHERE name LIKE 'forged%'")
            admin.execute("DROP POLICY hole ON app.thing")
    attack.forge(stage, attack.FORGERIES["insert"])


def test_policy_by_a_setting(bare):
    """What everybody does: a policy that reads a setting which SQL may set."""
    stage = made(bare, "row")
    with database_of(stage) as admin:
        admin.execute("CREATE POLICY hole ON app.thing USING (tenant_id ="
                      " nullif(current_setting('reeve.tenant_id', true), '')::bigint)")
        try:
            # Not "alter role": PostgreSQL lets no role keep a setting that nobody has defined.
            for name in ("set", "set_config", "in DO"):
                must_notice(attack.run_sql_attack, stage, attack.CONTEXT[name])
            must_notice(attack.run_in_one_message, stage, attack.CONTEXT["set_config"])
            must_notice(attack_startup, stage)
        finally:
            admin.execute("DROP POLICY hole ON app.thing")


def attack_startup(stage):
    test_identity.attack_startup(stage, {"options": f"-c reeve.tenant_id={stage.victim_id}",
                                         "search_path": stage.victim_place["schema"]})


def test_keys_without_the_tenant(bare):
    """A unique key over the natural column alone is an oracle."""
    stage = made(bare, "row")
    with database_of(stage) as admin:
        admin.execute("CREATE UNIQUE INDEX hole ON app.thing (name)")
        try:
            must_notice(attack.attack_keys_as_oracle, stage)
        finally:
            admin.execute("DROP INDEX app.hole")


def test_open_schema(bare):
    stage = made(bare, "schema")
    schema, role = stage.victim_place["schema"], stage.attacker_place["role"]
    with database_of(stage) as admin:
        admin.execute(f"GRANT USAGE ON SCHEMA {schema} TO {role}")
        admin.execute(f"GRANT SELECT ON {schema}.thing TO PUBLIC")
    must_notice(attack.run_sql_attack, stage, attack.CONTEXT["search_path"])


@pytest.mark.parametrize("mode", ["schema"])
def test_membership(bare, mode):
    stage = made(bare, mode)
    with database_of(stage) as admin:
        admin.execute(f"GRANT {stage.victim_place['role']} TO {stage.attacker_place['role']}")
    must_notice(attack.check_role_attributes, stage)
    if stage.attacker_place["enforcement"] == "login":  # else the server sees reeve_pool run it
        must_notice(attack.attack_neighbours_queries, stage)
    must_notice(attack.run_sql_attack, stage, attack.CONTEXT["schema by name"])


@pytest.mark.parametrize("hole", ["GRANT CONNECT ON DATABASE postgres TO PUBLIC",
                                  "GRANT TEMP ON DATABASE {database} TO PUBLIC",
                                  "GRANT CREATE ON SCHEMA public TO PUBLIC"])
def test_publics_defaults(bare, hole):
    stage = made(bare, "schema")
    with database_of(stage) as admin:
        hole = hole.format(**stage.words())
        admin.execute(hole)
        try:
            must_notice(attack.check_public_has_nothing, stage)
            # The guard refuses to create anything, whatever the rights.
            if "postgres" not in hole and stage.attacker_place["enforcement"] == "login":
                must_notice(attack.attack_creating, stage)
        finally:
            admin.execute(hole.replace("GRANT", "REVOKE").replace(" TO ", " FROM "))
    attack.check_public_has_nothing(stage)


def test_definer_function(bare):
    stage = made(bare, "row")
    with database_of(stage) as admin:
        admin.execute("CREATE FUNCTION app.hole() RETURNS SETOF app.thing LANGUAGE sql"
                      " SECURITY DEFINER AS 'SELECT * FROM app.thing'")
        try:
            must_notice(attack.check_public_has_nothing, stage)
        finally:
            admin.execute("DROP FUNCTION app.hole()")


OPEN_DOORS = {
    "large objects": "FUNCTION pg_catalog.lo_create(oid)",
    "settings of the server": "FUNCTION pg_catalog.pg_reload_conf()",
}


@pytest.mark.parametrize("name", OPEN_DOORS)
def test_what_tenants_cannot_reach(bare, name):
    """28: what PostgreSQL itself, or Reeve, has closed."""
    stage = made(bare, "schema")
    with hole(stage, f"GRANT EXECUTE ON {OPEN_DOORS[name]} TO PUBLIC",
              f"REVOKE EXECUTE ON {OPEN_DOORS[name]} FROM PUBLIC"):
        must_notice(attack.attack_creating, stage)
    attack.attack_creating(stage)


@pytest.mark.parametrize("group", ["pg_execute_server_program", "pg_read_server_files"])
def test_programs_and_files(bare, group):
    stage = made(bare, "row")
    roles = f"{stage.attacker_place['role']}, {stage.attacker_place['login_role']}"
    function = "FUNCTION pg_catalog.pg_read_file(text)"
    with hole(stage, f"GRANT {group} TO {roles}; GRANT EXECUTE ON {function} TO PUBLIC",
              f"REVOKE {group} FROM {roles}; REVOKE EXECUTE ON {function} FROM PUBLIC"):
        must_notice(attack.attack_creating, stage)


@pytest.mark.parametrize("lock", test_leftovers.LOCKS)
def test_advisory_locks_in_one_key_space(bare, lock):
    """24: under login, where a superuser has revoked them; the guard's are guard.advisory's."""
    stage = made(bare, "schema")
    if stage.attacker_place["enforcement"] == "guard":
        return
    functions = [f"FUNCTION pg_catalog.{name}({types})" for types in ("bigint", "integer, integer")
                 for name in ("pg_advisory_lock", "pg_advisory_lock_shared", "pg_advisory_xact_lock",
                              "pg_try_advisory_lock", "pg_try_advisory_lock_shared")]
    with hole(stage, ";".join(f"GRANT EXECUTE ON {each} TO PUBLIC" for each in functions),
              ";".join(f"REVOKE EXECUTE ON {each} FROM PUBLIC" for each in functions)):
        must_notice(test_leftovers.take_lock, stage, lock)


@pytest.mark.parametrize("privilege", ["TRUNCATE", "REFERENCES", "TRIGGER"])
def test_rights_beyond_rows(bare, privilege):
    """13."""
    stage = made(bare, "row")
    with hole(stage, f"GRANT {privilege} ON app.thing TO run_things",
              f"REVOKE {privilege} ON app.thing FROM run_things"):
        must_notice(attack.check_rights_on_tables, stage)
    attack.check_rights_on_tables(stage)


# ---- defences in Reeve's own code: mutation("name") in src/ ----

def mutations():
    found = set()
    for path in (pathlib.Path(process.ROOT) / "src").rglob("*.c"):
        found |= set(re.findall(r'\bmutation\("([^"]+)"\)', path.read_text()))
    return sorted(found)


def attack_settings(world):
    stage = attack.set_stage(world, world.tenant("row", "a"), world.tenant("row", "b"))
    refused = test_identity.STARTUPS["options replication role"]
    with stage.connect() as connection:
        before = connection.execute("SHOW session_replication_role").fetchone()
    assert before == ("origin",)
    # The proxy's list is in front of the server's own rules: told apart by the message.
    error = attack_login(stage, refused)
    assert error is None or "may not be set" in error or "not allowed" in error or (
        "permission denied" not in error), error


def attack_login(stage, parameters):
    from support import wire
    tenant = stage.attacker
    with wire.Wire("127.0.0.1", stage.reeve.port) as connection:
        try:
            connection.login(tenant.slug, tenant.service, tenant.token, **parameters)
        except wire.Refused as refused:
            return refused.fields["M"]
    return None


def attack_suspension(world):
    # In the catalog alone: `reeve tenant suspend` ends the server's sessions too, a second defence.
    test_identity.attack_after_suspension(world, "schema", "catalog")


def attack_migration(world):
    """38: a migration opens a column to everybody, where neither shaping nor grants look. The command
    runs without the defence; integration/test_audit_migrations.py has the same migration refused."""
    with process.temporary_folder("reeve-hostile-") as folder:
        (folder / "1_item.sql").write_text("CREATE TABLE item (id bigint PRIMARY KEY, name text);")
        world.reeve.cli("service", "create", "hostile", "--cluster", "local", "--migrations", folder,
                        "--isolation", "row")
        (folder / "2_open.sql").write_text(
            "DO $$ BEGIN GRANT SELECT (name) ON item TO PUBLIC; END $$;")
        world.reeve.cli("migrate", "hostile", env={"REEVE_MUTATE": "migrate.audit"})
    open_columns = world.reeve.query(
        "SELECT count(*) FROM pg_attribute WHERE attrelid = 'app.item'::regclass"
        " AND attacl IS NOT NULL", database="svc_hostile")
    assert open_columns == [(0,)], "a column is open to everybody"


def attack_entering(world):
    """Two tenants on one shared backend."""
    tenants = world.tenant("row", "a"), world.tenant("row", "b")
    stage = attack.set_stage(world, *tenants)
    attack.attack_in_turn(stage)


def attack_meaning(world):
    stage = attack.set_stage(world, world.tenant("row", "a"), world.tenant("row", "b"))
    test_leftovers.attack_meaning(stage)


def attack_flush(world):
    """A client's own Flush is none of the guard's: its session goes on."""
    from support import wire
    with wire.connect_to_tenant(world.reeve, world.tenant("schema", "a")) as connection:
        connection.ask(wire.query("SELECT count(*) FROM thing"))
        found = connection.ask(wire.flush(), wire.query("SELECT count(*) FROM thing"))
        assert "E" not in [message.type for message in found], found


def attack_refresh(world):
    test_exhaustion.hammer(world, world.reeve)


def by_neighbours(attack_function, *arguments):
    """One of test_exhaustion.py's, by a tenant against its neighbour."""
    def on_world(world):
        attack_function(world.reeve, world.tenant("schema", "a"), world.tenant("schema", "b"),
                        *arguments)

    return on_world


def attack_listening(world):
    stage = attack.set_stage(world, world.tenant("schema", "a"), world.tenant("schema", "b"))
    test_leftovers.listen(stage, "LISTEN channel" if ENFORCEMENT == "guard" else
                          "DO $$ BEGIN EXECUTE 'LISTEN channel'; END $$")


def attack_undone(world):
    """By another client of the tenant's own, and under the guard by a neighbour."""
    stage = attack.set_stage(world, world.tenant("schema", "a"), world.tenant("schema", "b"))
    test_leftovers.leave_undone(stage, "a transaction",
                                stage.victim if ENFORCEMENT == "guard" else stage.attacker)


ATTACKS = {
    "catalog.refresh": attack_refresh,
    "migrate.audit": attack_migration,
    "proxy.enter": attack_entering,
    "proxy.flush": attack_flush,
    "proxy.gather": by_neighbours(test_exhaustion.too_large,
                                  *test_exhaustion.REFUSED["named statement"]),
    "proxy.byte_rate": test_exhaustion.move_much,
    "proxy.max_backends": test_exhaustion.take_all_backends,
    "proxy.notify": attack_listening,
    "proxy.large_statements": by_neighbours(test_exhaustion.large_prepared),
    "proxy.patience": test_fairness.attack_starvation,
    "proxy.pipeline": test_fairness.attack_by_pipeline,
    "proxy.pristine": attack_meaning,
    "proxy.reserve": test_fairness.attack_reserve,
    "proxy.result_size": test_exhaustion.ask_for_much,
    "proxy.settings": attack_settings,
    "proxy.suspend": attack_suspension,
    "proxy.undone": attack_undone,
}
GUARD_ALONE = {"proxy.enter", "proxy.flush", "proxy.patience", "proxy.pristine", "proxy.reserve"}
# What stands behind it under the guard, and is taken out with it; alone, test_guard.py does.
BEHIND = {"proxy.notify": ["guard.channels"], "proxy.pristine": ["guard.meaning"]}

# 4, 6 and 30, each by an attack that no other of these defences would stop: out all at once.
IDENTITY = {
    "auth.audience": "wrong audience",
    "auth.expiry": "expired",
    "auth.not_before": "not yet valid",
    "auth.signature": "unknown key",
    "proxy.cancel": test_identity.guess_keys,
    "proxy.service": test_identity.use_elsewhere,
    "proxy.tenant": "another tenant",
}


# In integration/test_channel_binding.py, test_oauth.py and test_tls.py.
ELSEWHERE = ["auth.binding", "auth.downgrade", "proxy.bearer", "proxy.clear_text",
             "proxy.smuggled"]

# 31 and 34: net.pending, without which nobody waits for whom is slow to read.
SLOWNESS = {
    "query": by_neighbours(test_exhaustion.huge,
                           test_exhaustion.HUGE["query that the server does not read yet"]),
    # The last, as it takes most: memory that is free again would hide what the others take.
    "results": by_neighbours(test_exhaustion.never_read, 64 * test_exhaustion.MEGABYTE),
}


# 36 and 37, in the operators' own tools: a name with control characters is refused and, were it not,
# shown without them, so that it takes both to be out for anybody to notice the first.
TEXTS = {
    "base.escape": (["base.escape"], test_operators_tools.name_a_tenant, "escape"),
    "base.log_escape": (["base.log_escape"], test_operators_tools.write_into_logs, "row"),
    "base.name": (["base.name", "base.escape"], test_operators_tools.call_a_tenant, "a\x1b[31mb"),
    "pg.quote": (["pg.quote"], test_operators_tools.name_objects, "row"),
}


@pytest.mark.parametrize("name", TEXTS)
def test_texts(bare, name):
    defences, attack_function, argument = TEXTS[name]
    with without(*defences):
        must_notice(attack_function, bare, argument)


def test_plans(bare):
    """16: a policy that names what is the neighbour's is shown to everybody who asks for a plan."""
    stage = made(bare, "row")
    with hole(stage, f"CREATE POLICY hole ON app.thing AS RESTRICTIVE USING (name <> '{stage.secret}x')",
              "DROP POLICY hole ON app.thing"):
        must_notice(test_row_leaks.explain, stage)
    test_row_leaks.explain(stage)


def test_every_mutation_has_an_attack():
    assert sorted([*ATTACKS, *IDENTITY, *TEXTS, *ELSEWHERE, "net.pending"]) == mutations()


@pytest.mark.parametrize("name", ATTACKS)
def test_mutation(name):
    """Every defence that can be taken out has an attack that notices."""
    if ENFORCEMENT == "login" and name in GUARD_ALONE:
        return
    mutations_ = [name, *(BEHIND.get(name, []) if ENFORCEMENT == "guard" else [])]
    with running_reeve({"workers": 1}, REEVE_MUTATE=",".join(mutations_)) as server:
        must_notice(ATTACKS[name], World(server))


@pytest.fixture(scope="module")
def credulous():
    with running_reeve({"workers": 1}, REEVE_MUTATE=",".join(IDENTITY)) as server:
        world = World(server)
        yield world, test_identity.register_issuers(world)


@pytest.mark.parametrize("name", IDENTITY)
def test_mutation_of_identity(credulous, mode, name):
    world, issuers = credulous
    if callable(IDENTITY[name]):
        must_notice(IDENTITY[name], world, mode)
    else:
        must_notice(test_identity.attack_by_token, world, issuers, mode, IDENTITY[name])


@pytest.fixture(scope="module")
def impatient():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ASAN_OPTIONS", "quarantine_size_mb=4")
        with running_reeve({"workers": 1}, REEVE_MUTATE="net.pending") as server:
            yield World(server)


@pytest.mark.parametrize("name", SLOWNESS)
def test_mutation_of_back_pressure(impatient, name):
    must_notice(SLOWNESS[name], impatient)
