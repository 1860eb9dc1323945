"""LISTEN and NOTIFY: the client keeps its server connection, and hears of its own tenant alone. Where
tenants share a database it takes the guard."""
import contextlib
import threading

import psycopg
import pytest

from support import process, wire
from support.postgres import running_postgres
from support.reeve import ENFORCEMENT, MODES, running_reeve, running_serve
from support.world import World

SOON_SECONDS = 20
LISTENING = MODES if ENFORCEMENT == "guard" else ["database"]


@pytest.fixture(scope="module")
def world():
    with running_reeve({"workers": 1}) as server:
        yield World(server)


@pytest.fixture(scope="module")
def plain():
    """Of this Reeve's own."""
    with running_postgres() as server:
        yield server


@pytest.fixture(params=LISTENING)
def mode(request):
    return request.param


@pytest.fixture
def listener(world, tenant):
    with world.reeve.connect(tenant) as connection:
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


def test_it_hears_while_it_waits(world, tenant, listener):
    with world.reeve.connect(tenant) as other, Hearing(listener) as heard:
        other.execute("NOTIFY news, 'one'")
        other.execute("SELECT pg_notify('news', 'two'), pg_notify('else', 'no')")
        with other.transaction():
            other.execute("NOTIFY news, 'three'")
        other.execute("NOTIFY news, 'stop'")
    assert heard == [("news", "one"), ("news", "two"), ("news", "three"), ("news", "stop")]


def test_nothing_of_other_tenants(world, mode, tenant, listener):
    others = [world.tenant(each, letter) for each in MODES for letter in "ab"]
    with world.reeve.connect(tenant) as own, Hearing(listener) as heard:
        for number, other in enumerate(each for each in others if each is not tenant):
            with world.reeve.connect(other) as neighbour:
                neighbour.execute("NOTIFY news, 'of a neighbour'")
                neighbour.execute("SELECT pg_notify('news', 'of a neighbour')")
            own.execute(f"NOTIFY news, '{number}'")
        own.execute("NOTIFY news, 'stop'")
    assert heard == [("news", str(number)) for number in range(len(others) - 1)] + [("news", "stop")]


def test_neighbours_that_listen_to_the_same(world, mode):
    """At once, each with its own."""
    tenants = [world.tenant(mode, letter) for letter in "abc"]
    with contextlib.ExitStack() as stack:
        listeners = [stack.enter_context(world.reeve.connect(tenant)) for tenant in tenants]
        for connection in listeners:
            connection.execute("LISTEN news")
        heard = [stack.enter_context(Hearing(connection)) for connection in listeners]
        for tenant in tenants:
            with world.reeve.connect(tenant) as speaker:
                speaker.execute(f"NOTIFY news, '{tenant.slug}'")
                speaker.execute("NOTIFY news, 'stop'")
    assert heard == [[("news", tenant.slug), ("news", "stop")] for tenant in tenants]


def test_it_goes_on_with_other_work(world, tenant, listener):
    with world.reeve.connect(tenant) as other:
        pid = listener.execute("SELECT pg_backend_pid()").fetchone()
        for number in range(5):
            other.execute(f"NOTIFY news, '{number}'")
            with listener.transaction():
                assert listener.execute("SELECT pg_backend_pid()").fetchone() == pid
        with Hearing(listener) as heard:
            other.execute("NOTIFY news, 'stop'")
    assert heard[-1] == ("news", "stop")


def test_nobody_inherits_it(world, mode):
    """The server connection of one that listened is no other's."""
    tenant = world.tenant(mode, "c")
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


def test_as_a_prepared_statement(world, tenant):
    with world.reeve.connect(tenant) as other:
        with wire.connect_to_tenant(world.reeve, tenant) as one:
            for name in ("", "named"):
                found = one.ask(wire.parse(f"LISTEN {name or 'unnamed'}", name) + wire.bind(name=name)
                                + wire.execute() + wire.sync())
                assert "E" not in [message.type for message in found], found
            for channel in ("unnamed", "named"):
                other.execute(f"NOTIFY {channel}, 'hello'")
                heard = one.receive()
                assert heard.type == "A" and heard.body[4:] == channel.encode() + b"\0hello\0"


def test_a_stop_does_not_wait_for_it(world, tenant):
    with running_serve(world.reeve, workers=1, shutdown_timeout="10m") as server:
        with server.connect(tenant) as connection:
            connection.execute("LISTEN news")
            server.stop(SOON_SECONDS)
            with pytest.raises(psycopg.Error, match="administrator command"):
                connection.execute("SELECT 1")


def test_how_long_it_may_do_nothing(world, tenant):
    """idle_pinned_timeout, for who keeps a server connection."""
    with running_serve(world.reeve, workers=1, idle_pinned_timeout="300ms") as server:
        with server.connect(tenant) as connection:
            connection.execute("LISTEN news")
            process.wait_until(lambda: "idle_pinned_timeout passed" in server.log(), "it is ended",
                               SOON_SECONDS)


def kept(server):
    """How many clients keep a server connection though nothing is under way."""
    return [row["state"] for row in server.cli("ps", json=True).json].count("kept")


UNLISTENED = ["UNLISTEN *", "UNLISTEN news", "DISCARD ALL", "BEGIN; UNLISTEN *; COMMIT",
              "DO $$ BEGIN EXECUTE 'UNLISTEN *'; END $$"]


@pytest.mark.parametrize("text", UNLISTENED)
def test_it_is_given_back(world, tenant, text):
    """And it is as good as new for the next one."""
    with running_serve(world.reeve, workers=1) as server:
        with server.connect(tenant) as one, server.connect(tenant) as two:
            one.execute("LISTEN news")
            pid = one.execute("SELECT pg_backend_pid()").fetchone()
            assert kept(server) == 1
            one.execute(text)
            assert kept(server) == 0
            assert two.execute("SELECT pg_backend_pid()").fetchone() == pid
            one.execute("LISTEN news")
            two.execute("NOTIFY news, 'again'")
            assert next(one.notifies()).payload == "again"


NOT_UNLISTENED = ["UNLISTEN other", "BEGIN; UNLISTEN *; ROLLBACK",
                  "BEGIN; SAVEPOINT a; UNLISTEN *; ROLLBACK TO a; COMMIT",
                  "BEGIN; UNLISTEN *; LISTEN news; COMMIT"]


@pytest.mark.parametrize("text", NOT_UNLISTENED)
def test_it_is_kept(world, tenant, listener, text):
    pid = listener.execute("SELECT pg_backend_pid()").fetchone()
    listener.execute(text)
    with world.reeve.connect(tenant) as other:
        other.execute("NOTIFY news, 'still'")
    assert next(listener.notifies()).payload == "still"
    assert listener.execute("SELECT pg_backend_pid()").fetchone() == pid


@pytest.mark.parametrize("text", ["BEGIN; LISTEN news; ROLLBACK", "BEGIN; LISTEN news; SELECT 1/0"])
def test_rolled_back(world, tenant, text):
    with running_serve(world.reeve, workers=1) as server:
        with server.connect(tenant) as connection:
            with contextlib.suppress(psycopg.errors.DivisionByZero):
                connection.execute(text)
            connection.execute("ROLLBACK")
            assert kept(server) == 0


def test_what_it_listens_to(listener):
    listener.execute('LISTEN "Größe; its"')
    names = {name for (name,) in listener.execute("SELECT * FROM pg_listening_channels()")}
    assert names == {"news", "Größe; its"}
    listener.execute("UNLISTEN news")
    assert listener.execute("SELECT pg_listening_channels()").fetchall() == [("Größe; its",)]


WAYS = {
    "in a transaction": "BEGIN; NOTIFY news, 'x'; COMMIT",
    "in a block": "DO $$ BEGIN NOTIFY news, 'x'; END $$",
    "hidden in a block": "DO $$ BEGIN EXECUTE 'NOT' || 'IFY news, ''x'''; END $$",
    "by PERFORM": "DO $$ BEGIN PERFORM pg_notify('news', 'x'); END $$",
    "by PREPARE": "PREPARE p AS SELECT pg_notify('news', $1); EXECUTE p('x')",
    "in a table's place": "SELECT * FROM pg_notify('news', 'x')",
}


@pytest.mark.parametrize("way", WAYS)
def test_ways(world, mode, tenant, way):
    with wire.connect_to_tenant(world.reeve, tenant) as one, world.reeve.connect(tenant) as other:
        one.ask(wire.query("LISTEN news"))
        with world.reeve.connect(world.tenant(mode, "b")) as neighbour:
            neighbour.execute(WAYS[way].replace("'x'", "'of a neighbour'"))
        other.execute(WAYS[way])
        heard = one.receive()
        assert (heard.type, heard.body[4:]) == ("A", b"news\0x\0")


@pytest.mark.parametrize("shared", [mode for mode in LISTENING if mode != "database"])
def test_on_one_server_connection(world, plain, shared):
    """Whoever comes next on it hears nothing, listening too."""
    tight = world.tight(plain)
    with world.reeve.connect(tight[shared, "a"]) as connection:
        connection.execute("LISTEN news")
        connection.execute("NOTIFY news, 'for nobody else'")
        connection.execute("UNLISTEN *; LISTEN news")
    for letter in "bab":
        with wire.connect_to_tenant(world.reeve, tight[shared, letter]) as next_one:
            found = next_one.ask(wire.query("LISTEN news")) + next_one.ask(wire.query("SELECT 1"))
            assert "A" not in [message.type for message in found]
            with plain.connect(world.placement(tight[shared, letter])["database"]) as admin:
                admin.execute("NOTIFY news, 'of the administrator'")
            found = next_one.ask(wire.query("NOTIFY news, 'own'"))
            assert [message.body[4:] for message in found if message.type == "A"] == [b"news\0own\0"]
            next_one.ask(wire.query("UNLISTEN *"))


@pytest.mark.parametrize("shared", ["schema", "row"])
def test_refused_without_the_guard(world, shared):
    tenant = world.new_tenant(shared)
    if ENFORCEMENT == "guard":
        world.reeve.cli("placement", "enforce", tenant.slug, "things", "login")
    with world.reeve.connect(tenant) as connection:
        with pytest.raises(psycopg.errors.FeatureNotSupported, match="enforcement guard"):
            connection.execute("LISTEN something")
        assert connection.execute("SELECT 1").fetchone() == (1,)


@pytest.mark.skipif(ENFORCEMENT != "guard", reason="without it nobody listens")
def test_a_neighbour_without_the_guard(world):
    """May notify any channel of the database whose name it knows: it cannot know this one's."""
    tenant, other = world.tenant("schema"), world.new_tenant("schema")
    world.reeve.cli("placement", "enforce", other.slug, "things", "login")
    number = world.reeve.query("SELECT id FROM reeve.tenant WHERE slug = %s", tenant.slug)[0][0]
    with wire.connect_to_tenant(world.reeve, tenant) as one, world.reeve.connect(other) as neighbour:
        one.ask(wire.query("LISTEN news"))
        for name in ("news", f"{number:x}:news", f"{number}:news"):
            neighbour.execute("SELECT pg_notify(%s, 'of a neighbour')", [name])
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            neighbour.execute("SELECT * FROM reeve.channel_secret")
        found = one.ask(wire.query("SELECT 1"))
        assert "A" not in [message.type for message in found]


GONE = "elsewhere|server closed the connection"


@pytest.mark.skipif(ENFORCEMENT != "guard", reason="enforcement is changed to another")
def test_a_change_of_enforcement(world):
    """Its channels would be others: it is told, when its transaction is over. (TCP may take that back
    when what the client sends crosses it.)"""
    tenant = world.new_tenant("schema")
    with world.reeve.connect(tenant) as idle, world.reeve.connect(tenant) as busy:
        idle.execute("LISTEN news")
        busy.execute("LISTEN news; BEGIN")
        world.reeve.cli("placement", "enforce", tenant.slug, "things", "login")
        with pytest.raises(psycopg.OperationalError, match=GONE):
            while True:
                idle.execute("SELECT pg_sleep(0.01)")
        assert busy.execute("SELECT 1").fetchone() == (1,)
        with pytest.raises(psycopg.OperationalError, match=GONE):
            busy.execute("COMMIT")
            busy.execute("SELECT 1")
