"""A service has several shared databases on one cluster: tenants are put into one of them, and moved from one to
another. Each is migrated, audited and closed to the tenants of the others."""
import itertools
import signal
import types

import psycopg
import pytest

from support import shop
from support.process import wait_until
from support.reeve import ENFORCEMENT, running_reeve
from support.world import DATA, create_service, error_of
from test_move import (audited, is_stopped, last_move, orphans, placement, server_objects, start)

SERVICE, SMALL = "bank", "small"
SHARED = ["row", "schema"]
DEFAULT = "svc_bank"
SOON_SECONDS = 60
numbers = itertools.count(1)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    made = {}
    for name in (SERVICE, SMALL):
        made[name] = tmp_path_factory.mktemp(name)
        made[name].chmod(0o755)
    text = (DATA / "shop" / "0001_shop.sql").read_text()
    (made[SERVICE] / "0001_bank.sql").write_text(
        text.replace("CREATE TABLE visit (", "CREATE TABLE visit (\n    id bigserial PRIMARY KEY,"))
    (made[SMALL] / "0001_note.sql").write_text("CREATE TABLE note (id integer PRIMARY KEY, text text);")
    return made


@pytest.fixture(scope="module")
def world(folders):
    with running_reeve() as server:
        for name, folder in folders.items():
            create_service(server, name, folder)
        yield types.SimpleNamespace(reeve=server)


def new_tenant(world, mode, service=SERVICE, database=None):
    tenant = world.reeve.add_tenant(f"t-{next(numbers)}", service, mode, database=database)
    if service == SERVICE:
        with world.reeve.connect(tenant) as connection:
            shop.fill(connection)
    return tenant


def move(world, tenant, *options, **kinds):
    return world.reeve.cli("move", tenant.slug, tenant.service, *options, **kinds)


def where(world, tenant):
    found = placement(world, tenant)
    return found["isolation"], found["database"]


def current_database(world, tenant):
    with world.reeve.connect(tenant) as connection:
        return connection.execute("SELECT current_database()").fetchone()[0]


def assert_clean(world, tenant):
    assert audited(world, tenant) == [] and orphans(world) == []


# ---- moving ----

@pytest.mark.parametrize("mode", SHARED)
def test_online_and_back(world, mode):
    tenant, stays = new_tenant(world, mode), new_tenant(world, mode)
    with shop.running(lambda: world.reeve.connect(tenant)) as application:
        wait_until(lambda: application.count() > 30, "it works", SOON_SECONDS)
        done = move(world, tenant, "--database", "pool_online", json=True).json
        assert done["from"].endswith(f"{DEFAULT} on cluster local")
        assert done["to"].endswith("pool_online on cluster local")
        moved_at = application.count()
        wait_until(lambda: application.count() > moved_at + 30, "it works there", SOON_SECONDS)
        assert current_database(world, tenant) == "pool_online"
        assert_clean(world, tenant)
        shown = last_move(world, tenant)
        assert (shown["from"], shown["to"]) == (f"{mode} in {DEFAULT} on local", f"{mode} in pool_online on local")
        world.reeve.cli("move", "revert", tenant.slug, SERVICE, "--pause", "5s")
        reverted_at = application.count()
        wait_until(lambda: application.count() > reverted_at + 30, "and back", SOON_SECONDS)
    assert application.errors == []
    assert where(world, tenant) == (mode, DEFAULT)
    with world.reeve.connect(tenant) as connection:
        application.check(connection)
    with world.reeve.connect(stays) as connection:
        assert connection.execute("SELECT count(*) FROM ledger").fetchone() == (50,)
    assert_clean(world, tenant)


@pytest.mark.parametrize("mode", SHARED)
def test_offline_and_finish(world, mode):
    tenant = new_tenant(world, mode)
    with world.reeve.connect(tenant) as connection:
        contents = shop.contents(connection)
    old = placement(world, tenant)
    move(world, tenant, "--database", "pool_offline", "--offline")
    world.reeve.cli("move", "finish", tenant.slug, SERVICE)
    assert where(world, tenant) == (mode, "pool_offline")
    assert ("role", old["role"]) not in server_objects(world.reeve)
    assert_clean(world, tenant)
    # What is not named stays as it is: another isolation, in the same database.
    other = SHARED[SHARED.index(mode) - 1]
    move(world, tenant, "--to", other, "--offline")
    world.reeve.cli("move", "finish", tenant.slug, SERVICE)
    assert where(world, tenant) == (other, "pool_offline")
    # The default one has a name, too.
    move(world, tenant, "--database", DEFAULT, "--offline")
    world.reeve.cli("move", "finish", tenant.slug, SERVICE)
    assert where(world, tenant) == (other, DEFAULT)
    with world.reeve.connect(tenant) as connection:
        assert shop.contents(connection) == contents
    assert_clean(world, tenant)


@pytest.mark.parametrize("options, at", [([], "move.copied"), (["--offline"], "move.copy.before")])
def test_undone(world, options, at):
    """The tenant is where it was; the database stays, for whoever is next."""
    tenant = new_tenant(world, "row")
    running = start(world, tenant.slug, SERVICE, "--database", "pool_undone", *options, REEVE_STOP_AT=at)
    try:
        wait_until(lambda: is_stopped(running), "it is about to copy", SOON_SECONDS)
        world.reeve.query("UPDATE reeve.move SET stop_wanted = true WHERE ended_at IS NULL RETURNING id")
        running.send_signal(signal.SIGCONT)
        running.communicate(timeout=SOON_SECONDS)
    finally:
        running.kill()
    assert last_move(world, tenant)["phase"] == "aborted"
    assert where(world, tenant) == ("row", DEFAULT)
    assert ("database", "pool_undone") in server_objects(world.reeve)
    with world.reeve.connect(tenant) as connection:
        assert connection.execute("SELECT count(*) FROM ledger").fetchone() == (50,)
    assert_clean(world, tenant)


def test_several_at_once(world):
    tenants = [new_tenant(world, mode, SMALL, "pool_match") for mode in SHARED]
    match = ["--match", "database=pool_match", SMALL, "--database", "pool_matched", "--offline", "--finish", "--yes"]
    done = world.reeve.cli("move", *match, json=True).json
    assert done["moved"] == 2 and {one["to"] for one in done["moves"]} == {
        f"{mode} in pool_matched on local" for mode in SHARED}
    assert [where(world, one)[1] for one in tenants] == ["pool_matched"] * 2
    match[1] = "database=pool_matched"
    done = world.reeve.cli("move", *match, json=True, check=False).json
    assert done["skipped"] == 2 and "already" in done["moves"][0]["reason"]
    world.reeve.cli("tenant", "delete", tenants[0].slug, "--yes")
    assert_clean(world, tenants[1])


# ---- apart ----

@pytest.mark.parametrize("mode", SHARED)
def test_attached_apart(world, mode):
    here, there = new_tenant(world, mode, SMALL), new_tenant(world, mode, SMALL, "pool_apart")
    assert where(world, there) == (mode, "pool_apart")
    for tenant, text in ((here, "here"), (there, "there")):
        with world.reeve.connect(tenant) as connection:
            connection.execute("INSERT INTO note VALUES (1, %s)", [text])
            assert connection.execute("SELECT text FROM note").fetchall() == [(text,)]
    assert current_database(world, there) == "pool_apart"
    for tenant, own, foreign in ((here, "svc_small", "pool_apart"), (there, "pool_apart", "svc_small")):
        found = placement(world, tenant)
        role = found["role"]
        if ENFORCEMENT == "guard":
            role = world.reeve.query("SELECT enter_role FROM reeve.placement p JOIN reeve.tenant t ON t.id ="
                                     " tenant_id WHERE slug = %s", tenant.slug)[0][0]
        may = [world.reeve.query("SELECT has_database_privilege(%s, %s, 'CONNECT')", role, database)[0][0]
               for database in (own, foreign)]
        assert may[1] is False and (may[0] is True or ENFORCEMENT == "guard")
        if mode == "row":
            assert error_of(no_right, world, foreign, role).sqlstate == "42501"
    assert_clean(world, there)


def no_right(world, database, role):
    with world.reeve.admin(database) as admin:
        admin.execute(psycopg.sql.SQL("SET ROLE {}").format(psycopg.sql.Identifier(role)))
        admin.execute("SELECT * FROM app.note")


def test_a_migration_goes_to_all(world, folders):
    tenants = [new_tenant(world, mode, SMALL, database) for mode in SHARED for database in (None, "pool_migrated")]
    (folders[SMALL] / "0002_more.sql").write_text("CREATE TABLE more (id integer PRIMARY KEY);")
    world.reeve.cli("migrate", SMALL)
    for tenant in tenants:
        assert placement(world, tenant)["schema_version"] == "2"
        with world.reeve.connect(tenant) as connection:
            connection.execute("INSERT INTO more VALUES (1)")
    shown = world.reeve.cli("service", "show", SMALL, json=True).json["databases"]
    assert {one["schema_version"] for one in shown} == {"2"}
    assert {"svc_small", "tpl_small", "pool_migrated"} <= {one["database"] for one in shown}
    assert_clean(world, tenants[-1])
    # What is made later begins with all of them.
    late = new_tenant(world, "row", SMALL, "pool_late")
    with world.reeve.connect(late) as connection:
        connection.execute("INSERT INTO more VALUES (1)")


def test_enforcement_in_every_database(world):
    """Switched to and fro, in a database that has a name as in the default one."""
    tenant = new_tenant(world, "row", SMALL, "pool_enforced")
    if ENFORCEMENT != "guard":
        pytest.skip("no guard to switch from")
    for enforcement in ("login", "guard"):
        world.reeve.cli("placement", "enforce", tenant.slug, SMALL, enforcement)
        assert current_database(world, tenant) == "pool_enforced"
        assert_clean(world, tenant)


# ---- what is refused ----

def refused(world, *arguments):
    result = world.reeve.cli(*arguments, check=False)
    assert result.code != 0, result.text
    return result.err


def test_refusals(world):
    tenant = new_tenant(world, "row", SMALL)
    own = new_tenant(world, "database", SMALL)
    objects = server_objects(world.reeve)
    mover = ["move", tenant.slug, SMALL, "--offline", "--database"]
    for name in ("svc_bank", "tpl_small", "reeve", "postgres", "Pool", "7pool", "pg_pool", "d_000001"):
        assert "name" in refused(world, *mover, name)
    assert "already" in refused(world, *mover, "svc_small")
    assert "database of its own" in refused(world, "move", own.slug, SMALL, "--offline", "--database", "pool_x")
    assert "has one of its own" in refused(world, *mover, "pool_x", "--to", "database")
    assert "has one of its own" in refused(world, "tenant", "attach", tenant.slug, SERVICE, "--isolation",
                                           "database", "--database", "pool_x")
    plan = world.reeve.cli(*mover, "pool_x", "--dry-run", json=True).json
    assert plan["makes_database"] and plan["problems"] == []
    assert "would be made" in world.reeve.cli(*mover, "pool_x", "--dry-run").text
    assert server_objects(world.reeve) == objects


def test_what_is_somebody_elses(world):
    tenant = new_tenant(world, "row", SMALL)
    with world.reeve.admin() as admin:
        admin.execute("CREATE DATABASE theirs")
    new_tenant(world, "row", SERVICE, "pool_bank")
    before = acl_of(world, "theirs")
    for name in ("theirs", "pool_bank"):
        assert name in refused(world, "move", tenant.slug, SMALL, "--offline", "--database", name)
    assert "theirs" in refused(world, "tenant", "attach", tenant.slug, SERVICE, "--isolation", "row",
                               "--database", "theirs")
    assert acl_of(world, "theirs") == before
    assert world.reeve.query("SELECT to_regnamespace('reeve') IS NULL", database="theirs") == [(True,)]
    # It comes as the move is about to make its own: nothing of it is touched.
    running = start(world, tenant.slug, SMALL, "--database", "late", "--offline", REEVE_STOP_AT="move.planned")
    try:
        wait_until(lambda: is_stopped(running), "it is planned", SOON_SECONDS)
        with world.reeve.admin() as admin:
            admin.execute("CREATE DATABASE late")
        running.send_signal(signal.SIGCONT)
        _out, err = running.communicate(timeout=SOON_SECONDS)
    finally:
        running.kill()
    assert running.returncode != 0 and "late" in err
    assert acl_of(world, "late") == acl_of(world, "theirs")
    assert where(world, tenant) == ("row", "svc_small")
    with world.reeve.admin() as admin:
        admin.execute("DROP DATABASE theirs")
        admin.execute("DROP DATABASE late")
    assert_clean(world, tenant)


def acl_of(world, database):
    return world.reeve.query("SELECT datacl::text, datallowconn, shobj_description(oid, 'pg_database')"
                             " FROM pg_database WHERE datname = %s", database)


def test_one_is_dropped(world):
    tenant = new_tenant(world, "row", SMALL, "pool_dropped")
    drop = ["service", "drop-database", SMALL]
    assert tenant.slug in refused(world, *drop, "pool_dropped", "--yes")
    assert "default" in refused(world, *drop, "svc_small", "--yes")
    for name in ("nowhere", "postgres", "tpl_small", "svc_bank"):
        assert "no such" in refused(world, *drop, name, "--yes")
    move(world, tenant, "--database", "svc_small", "--offline")
    assert "open move" in refused(world, *drop, "pool_dropped", "--yes")
    world.reeve.cli("move", "finish", tenant.slug, SMALL)
    world.reeve.cli(*drop, "pool_dropped", "--yes")
    assert not [name for _kind, name in server_objects(world.reeve) if "pool_dropped" in name]
    assert_clean(world, tenant)
    # It is made again when it is wanted again.
    new_tenant(world, "row", SMALL, "pool_dropped")
    assert_clean(world, tenant)


def test_a_service_goes_with_all_of_them(world, folders):
    create_service(world.reeve, "gone", folders[SMALL])
    tenant = new_tenant(world, "row", "gone", "pool_gone")
    world.reeve.cli("tenant", "detach", tenant.slug, "gone", "--yes")
    world.reeve.cli("service", "delete", "gone", "--yes")
    left = [name for kind, name in server_objects(world.reeve) if kind in ("role", "database") and "gone" in name]
    assert left == [] and orphans(world) == []
