"""Server connections whose client has gone while the server was at its work: they count until the
server's process has ended, and it is ended (src/proxy/ending.h)."""
import contextlib

import psycopg
import pytest

from support import process, wire
from support.postgres import running_postgres
from support.reeve import running_reeve
from support.world import World

SOON_SECONDS = 20
STUBBORN = ("DO $$ BEGIN LOOP BEGIN PERFORM pg_sleep(60);"
            " EXCEPTION WHEN query_canceled THEN NULL; END; END LOOP; END $$")


@pytest.fixture(scope="module")
def world():
    with running_reeve({"workers": 1}) as server:
        yield World(server)


@pytest.fixture
def tenant(world, mode):
    return world.new_tenant(mode)


def states(world, tenant):
    return [row["state"] for row in world.reeve.cli("ps", json=True).json
            if row["tenant"] == tenant.slug]


def running(world, text):
    with world.reeve.admin() as admin:
        return admin.execute("SELECT count(*) FROM pg_stat_activity WHERE query LIKE %s AND state ="
                             " 'active' AND pid <> pg_backend_pid()", [f"%{text}%"]).fetchone()[0]


@contextlib.contextmanager
def left(world, tenant, *messages):
    """What a client has begun that is gone by now."""
    with wire.connect_to_tenant(world.reeve, tenant) as connection:
        connection.send(*messages)
        process.wait_until(lambda: "active" in states(world, tenant), "it runs", SOON_SECONDS)
    yield


@pytest.mark.parametrize("messages", [
    (wire.query(STUBBORN),),
    (wire.query("SELECT pg_sleep(59)"), wire.query("SELECT pg_sleep(61)"), wire.query(STUBBORN)),
], ids=["catches the cancel request", "pipelined behind it"])
def test_it_is_ended(world, tenant, messages):
    if len(messages) == 1:  # with a limit that is reached nothing is passed on behind the first
        world.reeve.cli("limit", "set", "max_transactions", "1", "--tenant", tenant.slug)
        world.reeve.wait_until_heard()
    with left(world, tenant, *messages):
        process.wait_until(lambda: "ending" in states(world, tenant), "it is ending", SOON_SECONDS)
        held = world.reeve.cli("hold", tenant.slug, "--wait", "--for", "1s", check=False)
        assert held.code != 0 and "runs still" in held.err
        process.wait_until(lambda: states(world, tenant).count("ending") == 0, "it has ended",
                           SOON_SECONDS)
        assert running(world, "pg_sleep(60)") == running(world, "pg_sleep(61)") == 0
    with world.reeve.connect(tenant) as connection:  # its one transaction
        assert connection.execute("SELECT 1").fetchone() == (1,)


TALKING = ("DO $$ BEGIN LOOP BEGIN LOOP RAISE NOTICE '%', repeat('x', 4000); END LOOP;"
           " EXCEPTION WHEN query_canceled THEN NULL; END; END LOOP; END $$")


def test_who_talks_without_end(world, tenant):
    """It keeps no worker: others are served meanwhile."""
    with world.reeve.connect(world.new_tenant(tenant.mode)) as neighbour:
        with wire.connect_to_tenant(world.reeve, tenant) as connection:
            connection.send(wire.query(TALKING))
            connection.receive_until("N")
        while states(world, tenant):
            assert neighbour.execute("SELECT 1").fetchone() == (1,)


@pytest.fixture
def server(world):
    """Of its own: a server belongs to one Reeve."""
    with running_postgres() as running_server:
        world.add_cluster("by-tcp", running_server, 10)
        yield running_server


def test_a_server_by_tcp(world, server):
    """The process is known by the port of the proxy's end."""
    tenant = world.new_tenant("schema", cluster="by-tcp")
    with wire.connect_to_tenant(world.reeve, tenant) as connection:
        connection.send(wire.query(STUBBORN))
        process.wait_until(lambda: "active" in states(world, tenant), "it runs", SOON_SECONDS)
    process.wait_until(lambda: not states(world, tenant), "it has ended", SOON_SECONDS)
    with server.connect() as admin:
        assert admin.execute("SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%query_canceled%'"
                             " AND state = 'active' AND pid <> pg_backend_pid()").fetchone() == (0,)


def test_what_is_short_ends_by_itself(world, tenant):
    """And is done, as its client did not hear whether it was."""
    with world.reeve.connect(tenant) as connection:
        for number in range(20):
            with wire.connect_to_tenant(world.reeve, tenant) as goes:
                goes.send(wire.query(f"INSERT INTO thing (name) VALUES ('{number}')"))
        world.reeve.cli("hold", tenant.slug, "--wait", "--for", "20s")
        world.reeve.cli("release", tenant.slug)
        before = connection.execute("SELECT count(*) FROM thing").fetchone()
        for _ in range(3):
            assert connection.execute("SELECT count(*) FROM thing").fetchone() == before


def test_a_tenants_limit_holds_for_who_comes_and_goes(world):
    tenant = world.new_tenant("schema")
    world.reeve.cli("limit", "set", "max_transactions", "2", "--tenant", tenant.slug)
    world.reeve.wait_until_heard()
    for _ in range(4):
        with wire.connect_to_tenant(world.reeve, tenant) as connection:
            connection.send(wire.query(STUBBORN))
            process.wait_until(lambda: "active" in states(world, tenant)
                               or world.reeve.status()["server"]["clients_waiting"] > 0,
                               "it runs or waits", SOON_SECONDS)
        assert running(world, "pg_sleep(60)") <= 2
    process.wait_until(lambda: "ending" not in states(world, tenant), "all have ended", SOON_SECONDS)


def test_a_stop_does_not_wait_for_it():
    with running_reeve({"workers": 1, "shutdown_timeout": "1s"}) as server:
        world = World(server)
        tenant = world.new_tenant("row")
        with wire.connect_to_tenant(server, tenant) as connection:
            connection.send(wire.query(STUBBORN))
            process.wait_until(lambda: "active" in states(world, tenant), "it runs", SOON_SECONDS)
        with contextlib.suppress(psycopg.Error):
            server.stop(seconds=SOON_SECONDS)
