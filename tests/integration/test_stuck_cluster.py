"""A cluster that takes connections and answers nothing holds up nobody on another: neither who needs a
server connection there, nor who cancels a query there."""
import contextlib
import threading

import pytest

from support import postgres, relay, wire
from support.cancel import send_cancel
from support.process import wait_until
from support.reeve import running_reeve
from support.world import World

CANCELS = 8  # more than there are threads that cancel
TENANTS = 20  # more than there are threads that log in
TIMEOUT_SECONDS = 20
SOON_SECONDS = TIMEOUT_SECONDS / 2


@pytest.fixture(scope="module")
def world():
    with running_reeve({"workers": 1, "connect_timeout": f"{TIMEOUT_SECONDS}s"}) as server:
        yield World(server)


@pytest.fixture(scope="module")
def stuck(world):
    """The relay before the cluster, and tenants there: each with a pool of its own, one with a session."""
    with postgres.running_postgres() as server, relay.faulty_relay(server.port) as between:
        through = type("Through", (), {"port": between.port, "password": server.password})
        world.add_cluster("stuck", through, TENANTS * 2, enforcement="login")
        yield between, [world.new_tenant("row", cluster="stuck") for _ in range(TENANTS)]


def waiting(world):
    return world.reeve.status()["server"]["clients_waiting"]


def log_in(world, tenant):
    with contextlib.suppress(wire.Refused, wire.Closed, OSError), \
            wire.connect_to_tenant(world.reeve, tenant) as client:
        client.ask(wire.query("SELECT 1"))


def test_others_are_served(world, stuck):
    between, tenants = stuck
    other = world.new_tenant("database")
    threads = [threading.Thread(target=log_in, args=[world, tenant]) for tenant in tenants]
    between.fault = relay.Fault(relay.TO_CLIENT, "stall")
    try:
        for thread in threads:
            thread.start()
        wait_until(lambda: waiting(world) >= TENANTS and between.open > 0,
                   "all are about to be connected", TIMEOUT_SECONDS)
        with wire.Wire("127.0.0.1", world.reeve.port, SOON_SECONDS) as client:
            client.login(other.slug, other.service, other.secret)
            assert [one.type for one in client.ask(wire.query("SELECT 5"))] == list("TDCZ")
        assert any(thread.is_alive() for thread in threads)
    finally:
        between.fault = None
        between.drop_all()
        for thread in threads:
            thread.join()


def asleep(world, tenant):
    """A connection whose query sleeps for long."""
    connection = wire.connect_to_tenant(world.reeve, tenant)
    connection.socket.settimeout(SOON_SECONDS)
    connection.send(wire.query("DO $$ BEGIN RAISE NOTICE 'running'; PERFORM pg_sleep(100); END $$"))
    assert connection.receive().type == "N"
    return connection


def test_others_can_cancel(world, stuck):
    between, tenants = stuck
    other = world.new_tenant("database")
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(asleep(world, tenant)) for tenant in tenants[:CANCELS]]
        between.fault = relay.Fault(relay.TO_SERVER, "stall")  # connections of cancel requests
        try:
            before = between.open
            for client in clients:
                send_cancel(world.reeve, *client.key)
            wait_until(lambda: between.open > before, "a cancel request is under way", TIMEOUT_SECONDS)
            client = stack.enter_context(asleep(world, other))
            send_cancel(world.reeve, *client.key)
            assert [one.sqlstate for one in client.until_ready() if one.type == "E"] == ["57014"]
        finally:
            between.fault = None
            between.drop_all()
