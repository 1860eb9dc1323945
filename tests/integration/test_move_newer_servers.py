"""Moves from PostgreSQL 15 to 16, 17 and 18, within those, and back, while an application works; and with an
administrator who is no superuser."""
import pytest

from support import newer, shop
from support.postgres import running_postgres
from support.process import wait_until
from support.reeve import running_reeve
from support.world import World
from test_move_online import SERVICE, move, orphans, placement, shop_folder, status, streams

SOON_SECONDS = 90
LIMITED = """
CREATE ROLE limited LOGIN CREATEDB CREATEROLE REPLICATION PASSWORD 'secret';
GRANT SET ON PARAMETER session_replication_role TO limited WITH GRANT OPTION"""
ADMINS = dict(zip(newer.VERSIONS, ("postgres", "limited", "postgres")))
ROUND = [("schema", "newer"), ("row", "newer"), ("schema", "local")]


@pytest.fixture(scope="module", params=newer.VERSIONS)
def world(request, tmp_path_factory):
    admin = ADMINS[request.param]
    with running_postgres(version=request.param, settings={"wal_level": "logical"}) as server, running_reeve() as reeve:
        if admin == "limited":
            with server.connect() as connection:
                connection.execute(LIMITED)
        reeve.cli("cluster", "add", "newer", "--conninfo", f"host=127.0.0.1 port={server.port}", "--admin-user", admin,
                  "--password-file", "-", input=server.password + "\n")
        made = World(reeve)
        made.newer = server
        made.add_service(SERVICE, shop_folder(tmp_path_factory))
        yield made


def goes_on(application):
    before = application.count()
    wait_until(lambda: application.count() > before + 20, "it works on", SOON_SECONDS)


def test_there_and_around_and_back(world):
    tenant = world.new_tenant("schema", SERVICE)
    with world.reeve.connect(tenant) as connection:
        shop.fill(connection)
    with shop.running(lambda: world.reeve.connect(tenant)) as application:
        for isolation, cluster in ROUND:
            move(world, tenant, "--to", isolation, "--cluster", cluster, "--pause", "5s")
            goes_on(application)
            place = placement(world, tenant)
            assert (place["isolation"], place["cluster"]) == (isolation, cluster)
            world.reeve.cli("move", "finish", tenant.slug, SERVICE)
        move(world, tenant, "--to", "database", "--cluster", "newer", "--pause", "5s")
        goes_on(application)
        world.reeve.cli("move", "revert", tenant.slug, SERVICE, "--pause", "5s")
        goes_on(application)
    assert application.errors == [] and status(world, tenant, all_of_them=True)["phase"] == "reverted"
    with world.reeve.connect(tenant) as connection:
        application.check(connection)
    assert streams(world) == [] and orphans(world) == []
    with world.newer.connect() as admin:
        assert admin.execute("SELECT count(*) FROM pg_replication_slots").fetchone() == (0,)
    world.reeve.check_log()


def test_offline(world):
    tenant = world.new_tenant("row", SERVICE)
    with world.reeve.connect(tenant) as connection:
        shop.fill(connection)
        before = shop.contents(connection)
        move(world, tenant, "--to", "schema", "--cluster", "newer", "--offline")
        assert shop.contents(connection) == before
    world.reeve.cli("move", "revert", tenant.slug, SERVICE)
    with world.reeve.connect(tenant) as connection:
        assert shop.contents(connection) == before
    assert orphans(world) == []
