"""Shared databases that are half made, somebody else's, or made and dropped while others are at work."""
import contextlib
import itertools
import subprocess
import types

import pytest

from support import process
from support.agreement import server_objects
from support.process import wait_until
from support.reeve import ENFORCEMENT, binary, environment, running_reeve
from support.world import create_service
from test_crash import crash
from test_move import audited, orphans, placement

SOON_SECONDS = 60
LOCKER = "the test has the lock"
numbers = itertools.count(1)


@pytest.fixture(scope="module")
def world():
    with running_reeve() as server:
        yield types.SimpleNamespace(reeve=server)


@pytest.fixture
def service(world, tmp_path):
    tmp_path.chmod(0o755)
    (tmp_path / "0001_note.sql").write_text("CREATE TABLE note (id integer PRIMARY KEY, text text);")
    name = f"s{next(numbers)}"
    create_service(world.reeve, name, tmp_path)
    return name


def new_tenant(world, service, database=None, mode="row"):
    return world.reeve.add_tenant(f"t-{next(numbers)}", service, mode, database=database)


def start(world, *arguments):
    return process.spawn([str(binary()), *arguments], text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                         env=environment(REEVE_CONFIG=world.reeve.config_path))


def ended(running):
    """Its exit code and what it said."""
    out, err = running.communicate(timeout=SOON_SECONDS)
    return running.returncode, out + err


def refused(world, *arguments):
    result = world.reeve.cli(*arguments, check=False)
    assert result.code != 0, result.text
    return result.err


@contextlib.contextmanager
def locked(world, name, database=None):
    with world.reeve.admin(database, application_name=LOCKER) as admin:
        wait_until(lambda: admin.execute("SELECT pg_try_advisory_lock(hashtextextended(%s, 0))",
                                         [name]).fetchone()[0], "the lock is free", SOON_SECONDS)
        yield


@contextlib.contextmanager
def site_locked(world, service):
    """As a command does that works on what the service's tenants share."""
    where = world.reeve.query("SELECT id, cluster_id FROM reeve.service WHERE name = %s", service)[0]
    with locked(world, "reeve:site:%d:%d" % where):
        yield


def wait_for_lock(world, running):
    """Until it asks again and again for a lock; or has ended, which is the test's to see."""
    asked = set()

    def is_waiting():
        asked.update(world.reeve.query(
            "SELECT pid, query_start FROM pg_stat_activity a WHERE query LIKE '%%pg_catalog.pg_try_advisory_lock%%'"
            " AND backend_start > (SELECT backend_start FROM pg_stat_activity WHERE application_name = %s)", LOCKER))
        pids = [pid for pid, _start in asked]
        return running.poll() is not None or len(pids) > len(set(pids))

    wait_until(is_waiting, "it waits for the site", SOON_SECONDS)


def forget(world, database):
    """What `reeve service drop-database` does, by hand."""
    world.reeve.query("DELETE FROM reeve.service_database WHERE database = %s", database)
    world.reeve.query(f"DROP DATABASE {database} WITH (FORCE)")
    for role in group_names(database):
        world.reeve.query(f'DROP ROLE "{role}"')


def group_names(database):
    if database.startswith("svc_"):
        service = database.removeprefix("svc_")
        return [f"run_{service}", f"run_{service}_ro", f"use_{service}"]
    return [f"{kind}_${database}" for kind in ("run", "run_ro", "use")]


def left_of(world, database):
    return [name for _kind, name in server_objects(world.reeve) if database in name]


# ---- the default one is not needed ----

def test_no_shared_database_is_left(world, service):
    """Only the template: nothing makes the default one, or looks into it."""
    forget(world, f"svc_{service}")
    tenant = new_tenant(world, service, "pool_only")
    world.reeve.cli("tenant", "detach", tenant.slug, service, "--yes")
    world.reeve.cli("service", "drop-database", service, "pool_only", "--yes")
    shown = world.reeve.cli("service", "show", service, json=True).json["databases"]
    assert [one["database"] for one in shown] == [f"tpl_{service}"]
    world.reeve.cli("migrate", service)
    world.reeve.cli("cluster", "enforce", "local", ENFORCEMENT)
    assert left_of(world, f"svc_{service}") == []
    assert world.reeve.cli("audit", "--all", json=True, check=False).json["findings"] == []
    tenant = new_tenant(world, service)
    assert placement(world, types.SimpleNamespace(slug=tenant.slug, service=service))["database"] == f"svc_{service}"


@pytest.mark.parametrize("point", ["isolation.drop.fences.after", "isolation.drop.shared.after"])
def test_a_killed_drop_is_run_again(world, service, point):
    """The catalog still names what may be gone."""
    database = f"pool_killed_{next(numbers)}"
    tenant = new_tenant(world, service, database)
    world.reeve.cli("tenant", "detach", tenant.slug, service, "--yes")
    drop = ["service", "drop-database", service, database, "--yes"]
    crash(world.reeve, point, *drop)
    world.reeve.cli(*drop)
    assert left_of(world, database) == []
    world.reeve.cli("migrate", service)
    assert world.reeve.cli("audit", "--all", json=True, check=False).json["findings"] == []
    with world.reeve.connect(new_tenant(world, service, database)) as connection:
        assert connection.execute("SELECT current_database()").fetchone() == (database,)


# ---- half made ----

def half_make(world, service, database, made):
    for role in group_names(database):
        world.reeve.query(f'CREATE ROLE "{role}"')
    if made:
        world.reeve.query(f"CREATE DATABASE {database} OWNER own_{service} ALLOW_CONNECTIONS false")


@pytest.mark.parametrize("made", [False, True], ids=["groups", "database"])
def test_what_is_half_made(world, service, made):
    database = f"pool_half_{next(numbers)}"
    half_make(world, service, database, made)
    if made:
        assert "drop-database" in world.reeve.cli("service", "delete", service, "--yes", check=False).text
    world.reeve.cli("service", "drop-database", service, database, "--yes")
    assert left_of(world, database) == []
    assert "no such" in refused(world, "service", "drop-database", service, database, "--yes")
    half_make(world, service, database, made)
    tenant = new_tenant(world, service, database)
    with world.reeve.connect(tenant) as connection:
        assert connection.execute("SELECT current_database()").fetchone() == (database,)
    world.reeve.cli("tenant", "detach", tenant.slug, service, "--yes")
    world.reeve.cli("service", "delete", service, "--yes")
    assert left_of(world, database) == [] and orphans(world) == []


# ---- somebody else's ----

def test_a_restored_backup_is_not_taken_over(world, service):
    world.reeve.query(f"CREATE DATABASE pool_restored OWNER own_{service}")
    with world.reeve.admin("pool_restored") as admin:
        admin.execute("CREATE SCHEMA reeve")
        admin.execute("CREATE TABLE reeve.migration AS SELECT 'app'::name AS target, '1' AS version")
    tenant = new_tenant(world, service)
    world.reeve.cli("tenant", "create", "restorer")
    for arguments in (["tenant", "attach", "restorer", service, "--database", "pool_restored"],
                      ["move", tenant.slug, service, "--database", "pool_restored", "--offline"],
                      ["service", "drop-database", service, "pool_restored", "--yes"]):
        assert "backup" in refused(world, *arguments)
    assert world.reeve.query("SELECT datacl FROM pg_database WHERE datname = 'pool_restored'") == [(None,)]
    world.reeve.query("DROP DATABASE pool_restored")


def test_a_name_is_taken_as_it_is_prepared(world, service):
    maintenance = world.reeve.query("SELECT maintenance_db FROM reeve.cluster")[0][0]
    waiting = "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
    world.reeve.cli("tenant", "create", "slow")
    with locked(world, "reeve database pool_taken", maintenance):
        running = start(world, "tenant", "attach", "slow", service, "--database", "pool_taken")
        wait_until(lambda: world.reeve.query(waiting), "it waits for the name", SOON_SECONDS)
        world.reeve.query("CREATE DATABASE pool_taken")
    code, text = ended(running)
    assert code != 0 and "pool_taken" in text
    assert world.reeve.query("SELECT datacl FROM pg_database WHERE datname = 'pool_taken'") == [(None,)]
    world.reeve.query("DROP DATABASE pool_taken")
    assert left_of(world, "pool_taken") == []


# ---- while others are at work ----

def test_a_service_that_gets_a_tenant_is_not_deleted(world, service):
    world.reeve.cli("tenant", "create", "sudden")
    with site_locked(world, service):
        deleting = start(world, "service", "delete", service, "--yes")
        wait_for_lock(world, deleting)
        attaching = start(world, "tenant", "attach", "sudden", service)
        wait_until(lambda: world.reeve.query("SELECT 1 FROM reeve.placement p JOIN reeve.tenant t ON t.id = tenant_id"
                                             " WHERE slug = 'sudden'"), "the tenant comes", SOON_SECONDS)
    code, text = ended(deleting)
    assert code != 0 and "sudden" in text
    assert ended(attaching)[0] == 0
    assert audited(world, types.SimpleNamespace(slug="sudden", service=service)) == []


@pytest.mark.parametrize("arguments", [["migrate"], ["cluster", "enforce", "local", ENFORCEMENT]],
                         ids=["migrate", "enforce"])
def test_one_that_is_dropped_meanwhile_stays_away(world, service, arguments):
    database = f"pool_away_{next(numbers)}"
    tenant = new_tenant(world, service, database)
    world.reeve.cli("tenant", "detach", tenant.slug, service, "--yes")
    if arguments == ["migrate"]:
        arguments = ["migrate", service]
    with site_locked(world, service):
        running = start(world, *arguments)
        wait_for_lock(world, running)
        forget(world, database)
    code, text = ended(running)
    assert code == 0, text
    assert left_of(world, database) == []


def test_one_that_is_made_meanwhile_has_the_newest_migrations(world, service, tmp_path):
    tenant = types.SimpleNamespace(slug="newest", service=service)
    world.reeve.cli("tenant", "create", tenant.slug)
    with site_locked(world, service):
        running = start(world, "tenant", "attach", "newest", service, "--database", "pool_newest")
        wait_for_lock(world, running)
        (tmp_path / "0002_more.sql").write_text("CREATE TABLE more (id integer PRIMARY KEY);")
    code, text = ended(running)
    assert code == 0, text
    assert placement(world, tenant)["schema_version"] == "2"


# ---- what is dropped is gone ----

@pytest.mark.skipif(ENFORCEMENT != "guard", reason="no fences without the guard")
def test_fences_go_with_their_database(world, service):
    tenant = new_tenant(world, service, "pool_fenced")
    oid = world.reeve.query("SELECT oid FROM pg_database WHERE datname = 'pool_fenced'")[0][0]
    world.reeve.cli("move", tenant.slug, service, "--database", f"svc_{service}", "--offline")
    world.reeve.cli("move", "finish", tenant.slug, service)
    fences = "SELECT rolname FROM pg_roles WHERE starts_with(rolname::text, %s)"
    assert len(world.reeve.query(fences, f"reeve_fence_{oid}_")) == 1
    world.reeve.cli("service", "drop-database", service, "pool_fenced", "--yes")
    assert world.reeve.query(fences, f"reeve_fence_{oid}_") == []
    assert audited(world, tenant) == [] and orphans(world) == []
