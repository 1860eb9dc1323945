"""LISTEN and NOTIFY of a tenant with a database of its own: the client keeps its server connection."""
import threading

import psycopg
import pytest

from support import process, wire
from support.reeve import running_reeve, running_serve
from support.world import World

SOON_SECONDS = 20


@pytest.fixture(scope="module")
def world():
    with running_reeve({"workers": 1}) as server:
        yield World(server)


@pytest.fixture
def listener(world):
    with world.reeve.connect(world.tenant("database")) as connection:
        connection.execute("LISTEN news")
        yield connection


class Hearing:
    """What the connection hears until it is told to stop."""

    def __init__(self, connection):
        self.connection, self.heard = connection, []
        self.thread = threading.Thread(target=self.work)

    def work(self):
        for notice in self.connection.notifies():
            self.heard.append((notice.channel, notice.payload))
            if notice.payload == "stop":
                return

    def __enter__(self):
        self.thread.start()
        return self.heard

    def __exit__(self, *_):
        self.thread.join(SOON_SECONDS)


def test_it_hears_while_it_waits(world, listener):
    with world.reeve.connect(world.tenant("database")) as other, Hearing(listener) as heard:
        other.execute("NOTIFY news, 'one'")
        other.execute("SELECT pg_notify('news', 'two'), pg_notify('else', 'no')")
        with other.transaction():
            other.execute("NOTIFY news, 'three'")
        other.execute("NOTIFY news, 'stop'")
    assert heard == [("news", "one"), ("news", "two"), ("news", "three"), ("news", "stop")]


def test_nothing_of_other_tenants(world, listener):
    with (world.reeve.connect(world.tenant("database")) as own, Hearing(listener) as heard):
        for tenant in (world.tenant("database", "b"), world.tenant("schema"), world.tenant("row")):
            with world.reeve.connect(tenant) as other:
                other.execute("NOTIFY news, 'of a neighbour'")
        own.execute("NOTIFY news, 'stop'")
    assert heard == [("news", "stop")]


def test_it_goes_on_with_other_work(world, listener):
    with world.reeve.connect(world.tenant("database")) as other:
        pid = listener.execute("SELECT pg_backend_pid()").fetchone()
        for number in range(5):
            other.execute(f"NOTIFY news, '{number}'")
            with listener.transaction():
                assert listener.execute("SELECT pg_backend_pid()").fetchone() == pid
        with Hearing(listener) as heard:
            other.execute("NOTIFY news, 'stop'")
    assert heard[-1] == ("news", "stop")


def test_nobody_inherits_it(world):
    """The server connection of one that listened is no other's."""
    tenant = world.tenant("database", "c")
    with running_serve(world.reeve, workers=1) as server:
        with server.connect(tenant) as connection:
            connection.execute("LISTEN news")
            pid = connection.execute("SELECT pg_backend_pid()").fetchone()
        with (wire.connect_to_tenant(server, tenant) as one, server.connect(tenant) as two):
            one.ask(wire.query("BEGIN"))
            two.execute("NOTIFY news, 'for nobody'")
            found = one.ask(wire.query("SELECT pg_backend_pid()")) + one.ask(wire.query("COMMIT"))
            assert "A" not in [message.type for message in found]
            assert two.execute("SELECT pg_backend_pid()").fetchone() != pid


def test_as_a_prepared_statement(world):
    with world.reeve.connect(world.tenant("database")) as other:
        with wire.connect_to_tenant(world.reeve, world.tenant("database")) as one:
            for name in ("", "named"):
                found = one.ask(wire.parse(f"LISTEN {name or 'unnamed'}", name) + wire.bind(name=name)
                                + wire.execute() + wire.sync())
                assert "E" not in [message.type for message in found], found
            for channel in ("unnamed", "named"):
                other.execute(f"NOTIFY {channel}, 'hello'")
                heard = one.receive()
                assert heard.type == "A" and channel.encode() in heard.body


def test_a_stop_does_not_wait_for_it(world):
    with running_serve(world.reeve, workers=1, shutdown_timeout="10m") as server:
        with server.connect(world.tenant("database")) as connection:
            connection.execute("LISTEN news")
            server.stop(SOON_SECONDS)
            with pytest.raises(psycopg.Error, match="administrator command"):
                connection.execute("SELECT 1")


def test_how_long_it_may_do_nothing(world):
    """idle_pinned_timeout, for who keeps a server connection."""
    with running_serve(world.reeve, workers=1, idle_pinned_timeout="300ms") as server:
        with server.connect(world.tenant("database")) as connection:
            connection.execute("LISTEN news")
            process.wait_until(lambda: "idle_pinned_timeout passed" in server.log(), "it is ended",
                               SOON_SECONDS)
