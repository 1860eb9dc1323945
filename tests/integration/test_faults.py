"""Connections that break anywhere, between proxy and server and between client and proxy; slow ones;
kill -9 of the server and of the proxy. No hang, no wrong row, nothing left behind (PROTOCOL 17 to 20).

The cluster here is reached through a relay (support/relay.py) that misbehaves where it is told to.
"""
import hashlib
import os
import signal
import struct
import threading
import types

import pytest

from support import postgres, process, relay, wire
from support.differential import show, transcript
from support.process import wait_until
from support.reeve import MODES, running_serve
from support.vitals import MEGABYTE, Vitals, resident
from support.wire import bind, copy_data, copy_done, describe, execute, parse, query, sync

BACKENDS = 3
SETTINGS = {"workers": 1, "connect_timeout": "2s", "queue_timeout": "10s", "login_timeout": "10s"}
CLOSED = wire.Message("closed", b"")
SOON = 15  # seconds in which everything here must have an end
PLACES = 24  # at which a connection is cut, in each direction
ROW = b"r" * 700
TALK = [
    query(f"SELECT 1, '{ROW.decode()}'"),
    parse("SELECT name FROM thing WHERE amount < $1::int ORDER BY name", "named")
    + bind(["1000"], "named") + describe("P") + execute() + sync(),
    query("BEGIN; INSERT INTO thing (name) VALUES ('half')"), query("SELECT 2"), query("ROLLBACK"),
]


@pytest.fixture(scope="module")
def server():
    with postgres.running_postgres(settings={"synchronous_commit": "on"}) as running:
        yield running


@pytest.fixture(scope="module")
def between(server):
    """The relay between the proxy and the server."""
    with relay.faulty_relay(server.port) as running:
        yield running


@pytest.fixture(scope="module")
def tenants(world, server, between):
    """(mode, "a" or "b") -> tenant, each with one row that says whose it is."""
    through = types.SimpleNamespace(port=between.port, guard=server.guard, password=server.password)
    world.add_cluster("faulty", through, BACKENDS)
    found = {(mode, letter): world.new_tenant(mode, cluster="faulty")
             for mode in MODES for letter in "ab"}
    for tenant in found.values():
        with world.reeve.connect(tenant) as connection:
            connection.execute("INSERT INTO thing (name) VALUES (%s)", [tenant.slug])
    return found


@pytest.fixture(scope="module")
def proxy(world, tenants):
    """One of its own, with deadlines that a test can wait for."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ASAN_OPTIONS", "quarantine_size_mb=4")
        with running_serve(world.reeve, **SETTINGS) as running:
            yield running


@pytest.fixture
def vitals(proxy, between, tenants):
    """Before and after: nothing is connected to the server."""
    for _ in range(3):
        for tenant in tenants.values():
            must_work(proxy, tenant)
    be_alone(between, proxy)
    before = Vitals(proxy)
    yield before
    be_alone(between, proxy)
    before.check()


def be_alone(between, proxy):
    between.fault, between.faults = None, []

    def alone():
        between.drop_all()
        found = proxy.cli("status", json=True).json["server"]
        return found["backends"] == found["clients"] == 0

    wait_until(alone, "nobody is connected", SOON)


def own_rows(connection):
    return [message.columns for message in connection.ask(
        query("SELECT name FROM thing ORDER BY name")) if message.type == "D"]


def must_work(proxy, tenant):
    """It sees its own row, and soon."""
    try:
        with wire.connect_to_tenant(proxy, tenant) as connection:
            connection.socket.settimeout(SOON)
            assert own_rows(connection) == [[tenant.slug.encode()]]
    except wire.Refused as refused:
        raise AssertionError(f"{refused}: {proxy.cli('ps').out}\n{proxy.log()[-2000:]}") from refused


def talk(connection):
    """All that is answered to TALK; after SOON at the latest there is an end."""
    connection.socket.settimeout(SOON)
    found = []
    try:
        for chunk in TALK:
            connection.send(chunk)
            found.append(connection.receive())
            while found[-1].type != "Z":
                found.append(connection.receive())
    except (wire.Closed, ConnectionError):
        found.append(CLOSED)
    return found


def assert_cut_short(found, tenant):
    """As much as there is of the whole is right; an error may stand at its end."""
    found = transcript(found)
    whole = found[-1][0] != "closed"
    if not whole:
        found.pop()
        if found and found[-1][0] == "E":
            found.pop()
    expected = transcript(expected_talk(tenant))
    assert found == (expected if whole else expected[:len(found)]), show(found)
    return whole


def expected_talk(tenant):
    """What TALK brings."""
    def row(*values):
        return wire.Message("D", len(values).to_bytes(2, "big") + b"".join(
            len(value).to_bytes(4, "big") + value for value in values))

    def done(tag, status="I"):
        return [wire.Message("C", tag + b"\0"), wire.Message("Z", status.encode())]

    def described(*columns):
        body = len(columns).to_bytes(2, "big")
        for name, oid, size, modifier in columns:
            body += name + struct.pack("!xihihih", 0, 0, oid, size, modifier, 0)
        return wire.Message("T", body)

    unnamed = b"?column?"
    return [described((unnamed, 23, 4, -1), (unnamed, 25, -1, -1)), row(b"1", ROW), *done(b"SELECT 1"),
            wire.Message("1", b""), wire.Message("2", b""), described((b"name", 25, -1, -1)),
            row(tenant.slug.encode()), *done(b"SELECT 1"),
            wire.Message("C", b"BEGIN\0"), *done(b"INSERT 0 1", "T"),
            described((unnamed, 23, 4, -1)), row(b"2"), *done(b"SELECT 1", "T"), *done(b"ROLLBACK")]


def places_of(length, count):
    return range(0, length, max(1, length // count))


def measure(between, proxy, tenant):
    """Bytes in each direction of a server connection that TALK is said on, login and all."""
    between.drop_all()
    with wire.connect_to_tenant(proxy, tenant) as connection:
        assert assert_cut_short(talk(connection), tenant)
    between.drop_all()
    wait_until(lambda: between.open == 0, "the relay has ended all", SOON)
    return dict(between.passed)


def break_once(between, proxy, tenant, fault):
    """TALK over a server connection that is new and has this fault."""
    between.drop_all()
    wait_until(lambda: between.open == 0, "the relay has ended all", SOON)
    between.faults = [fault]
    try:
        with wire.Wire("127.0.0.1", proxy.port, SOON) as connection:
            connection.login(tenant.slug, tenant.service, tenant.secret)
            return talk(connection)
    except wire.Refused as refused:
        return [refused.message, CLOSED]
    finally:
        between.faults = []


@pytest.mark.parametrize("what", ["close", "reset", "half-close"])
@pytest.mark.parametrize("direction", [relay.TO_SERVER, relay.TO_CLIENT])
def test_cut_between_proxy_and_server(proxy, between, tenants, vitals, direction, what):
    """In the login, in the middle of messages, between them: the client has what was whole, and an
    end; where it was the login that failed, another follows."""
    lengths = {mode: measure(between, proxy, tenants[mode, "a"])[direction] for mode in MODES}
    cut_short = 0
    for number, part in enumerate(places_of(PLACES * 100, PLACES)):
        mode = MODES[number % 3]
        after = lengths[mode] * part // (PLACES * 100)
        found = break_once(between, proxy, tenants[mode, "a"], relay.Fault(direction, what, after))
        cut_short += not assert_cut_short(found, tenants[mode, "a"])
        must_work(proxy, tenants[mode, "b"])
        must_work(proxy, tenants[mode, "a"])
    assert cut_short > 3, "too few cuts met the conversation"


@pytest.fixture
def impatient(world, proxy, tenants):
    """The first tenants' queries have a deadline: nothing else ends those that wait for a lost byte."""
    first = [tenants[mode, "a"].slug for mode in MODES]
    for slug in first:
        world.reeve.cli("limit", "set", "query_timeout", "2s", "--tenant", slug)
    world.reeve.wait_until_heard(proxy)
    yield
    for slug in first:
        world.reeve.cli("limit", "unset", "query_timeout", "--tenant", slug)
    world.reeve.wait_until_heard(proxy)


@pytest.mark.parametrize("what", ["garbage", "gap", "stall"])
@pytest.mark.parametrize("direction", [relay.TO_SERVER, relay.TO_CLIENT])
def test_nonsense_between_proxy_and_server(proxy, between, tenants, vitals, impatient, direction, what):
    """What one client is told may be anything; it has an end, and nobody else hears of it."""
    lengths = {mode: measure(between, proxy, tenants[mode, "a"])[direction] for mode in MODES}
    for number in range(6):
        mode = MODES[number % 3]
        after = lengths[mode] * (2 * number + 1) // 12
        break_once(between, proxy, tenants[mode, "a"], relay.Fault(direction, what, after))
        must_work(proxy, tenants[mode, "b"])
        must_work(proxy, tenants[mode, "a"])


@pytest.mark.parametrize("what", ["close", "reset", "half-close"])
@pytest.mark.parametrize("direction", [relay.TO_SERVER, relay.TO_CLIENT])
def test_cut_between_client_and_proxy(proxy, tenants, vitals, direction, what):
    """The server hears of no half message, and of no end of what was begun."""
    with relay.faulty_relay(proxy.port) as front:
        for mode in MODES:
            tenant = tenants[mode, "a"]
            with wire.connect_to_tenant(front, tenant) as connection:
                assert assert_cut_short(talk(connection), tenant)
            wait_until(lambda: front.open == 0, "the relay has ended all", SOON)
            for after in places_of(front.passed[direction], PLACES // 2):
                front.fault = relay.Fault(direction, what, after)
                meet_the_fault(front, tenant)
                must_work(proxy, tenant)
            front.fault = None
    wait_until(lambda: proxy.cli("status", json=True).json["server"]["clients"] == 0,
               "no client is left", SOON)


def meet_the_fault(front, tenant):
    try:
        with wire.Wire("127.0.0.1", front.port, SOON) as connection:
            connection.login(tenant.slug, tenant.service, tenant.secret)
            assert_cut_short(talk(connection), tenant)
    except (wire.Closed, ConnectionError):
        pass  # in the login


def test_bytes_one_by_one(proxy, between, tenants, vitals):
    """However slowly the server's answers come, they are the same."""
    tenant = tenants["schema", "a"]
    between.drop_all()
    between.fault = relay.Fault(relay.TO_CLIENT, "delay", 1000, 97)
    with wire.connect_to_tenant(proxy, tenant) as connection:
        assert assert_cut_short(talk(connection), tenant)


# ---- slow ones ----

VALUE = b"0123456789abcdef" * MEGABYTE


def read_slowly(connection, most):
    """The digest of all rows up to ReadyForQuery, with a look at something after each."""
    digest = hashlib.sha256()
    while True:
        message = connection.receive()
        most()
        if message.type == "D":
            digest.update(message.columns[0])
        if message.type == "Z":
            return digest.hexdigest()


def test_slow_readers(proxy, tenants, vitals):
    """A result of 100 MB that is not read, and then is: it is not kept meanwhile."""
    before, sizes = resident(proxy), []
    with wire.connect_to_tenant(proxy, tenants["schema", "a"]) as connection:
        connection.send(query("SELECT repeat(chr(65 + i % 26), 100000) FROM generate_series(1, 1000) i"))
        must_work(proxy, tenants["schema", "b"])  # it has the other server connection
        found = read_slowly(connection, lambda: sizes.append(resident(proxy)))
        assert own_rows(connection) == [[tenants["schema", "a"].slug.encode()]]
    expected = hashlib.sha256()
    for number in range(1, 1001):
        expected.update(bytes([65 + number % 26]) * 100_000)
    assert found == expected.hexdigest()
    assert max(sizes) - before < 40 * MEGABYTE, f"{(max(sizes) - before) / MEGABYTE:.0f} MB"


def test_a_server_that_reads_slowly(proxy, between, tenants, vitals, mode):
    """A value of 16 MB waits where it comes from."""
    between.drop_all()
    between.fault = relay.Fault(relay.TO_SERVER, "delay", 3000, MEGABYTE)
    before, sizes = resident(proxy), []
    with wire.connect_to_tenant(proxy, tenants[mode, "a"]) as connection:
        answers = []
        reader = threading.Thread(target=lambda: answers.extend(connection.until_ready()))
        reader.start()
        message = parse("SELECT md5($1::text)") + bind([VALUE]) + execute() + sync()
        for at in range(0, len(message), MEGABYTE):
            connection.send(message[at:at + MEGABYTE])
            sizes.append(resident(proxy))
        reader.join(SOON)
    assert [one.type for one in answers] == ["1", "2", "D", "C", "Z"]
    assert answers[2].columns == [hashlib.md5(VALUE).hexdigest().encode()]
    assert max(sizes) - before < 12 * MEGABYTE, f"{(max(sizes) - before) / MEGABYTE:.0f} MB"


def test_a_client_that_writes_slowly(proxy, tenants, vitals):
    """COPY in small pieces, and a neighbour who does not wait for it."""
    with wire.connect_to_tenant(proxy, tenants["schema", "a"]) as connection:
        connection.send(query("BEGIN; COPY thing (name) FROM STDIN"))
        assert [connection.receive().type for _ in range(2)] == ["C", "G"]
        data = b"".join(copy_data(b"slow-%d\n" % number) for number in range(300)) + copy_done()
        for at in range(0, len(data), 7):
            connection.send(data[at:at + 7])
        must_work(proxy, tenants["schema", "b"])
        assert [one.columns for one in connection.until_ready() + connection.ask(query(
            "SELECT count(*) FROM thing WHERE name LIKE 'slow-%'")) if one.type == "D"] == [[b"300"]]
        connection.ask(query("ROLLBACK"))


# ---- kill -9 ----

def in_transaction(proxy, tenant, mark):
    """One row committed, one not."""
    connection = wire.connect_to_tenant(proxy, tenant)
    connection.ask(query(f"INSERT INTO thing (name) VALUES ('whole {mark}')"))
    found = connection.ask(query(f"BEGIN; INSERT INTO thing (name) VALUES ('half {mark}')"))
    assert found[-1].body == b"T"
    return connection


def has_an_end(connection):
    connection.socket.settimeout(SOON)
    try:
        found = connection.ask(query("SELECT 'still there'"))
    except (wire.Closed, ConnectionError):
        return
    assert found[0].type == "E", found
    connection.close()


def works(proxy, tenant):
    try:
        with wire.connect_to_tenant(proxy, tenant) as connection:
            connection.socket.settimeout(SOON)
            return [tenant.slug.encode()] in own_rows(connection)
    except (wire.Refused, wire.Closed, ConnectionError):
        return False


def assert_whole(proxy, tenants, mark):
    """What was committed is there, what was not is not; and nobody else has it."""
    for (_, letter), tenant in tenants.items():
        with proxy.connect(tenant) as connection:
            found = connection.execute("DELETE FROM thing WHERE name LIKE %s RETURNING name",
                                       [f"% {mark}"]).fetchall()
        assert found == ([(f"whole {mark}",)] if letter == "a" else [])


@pytest.mark.parametrize("which", ["one process", "all of it"])
def test_kill_9_of_the_server(proxy, server, tenants, vitals, which):
    """A process of it in a transaction; then the server itself, which is started again."""
    clients = [in_transaction(proxy, tenants[mode, "a"], which) for mode in MODES]
    helpers = process.children(server.process.pid)
    if which == "all of it":
        server.process.kill()
        server.process.wait()
        wait_until(lambda: not any(map(process.is_running, helpers)), "its processes end", SOON)
    else:
        with server.connect() as admin:
            pids = [pid for pid, in admin.execute("SELECT pid FROM pg_stat_activity WHERE state ="
                                                  " 'idle in transaction'")]
        os.kill(pids[0], signal.SIGKILL)
        wait_until(lambda: not any(map(process.is_running, pids)), "the server ends them all", SOON)
    for client in clients:
        has_an_end(client)
    if which == "all of it":
        assert not works(proxy, tenants["row", "b"])
        server.start()
    for tenant in tenants.values():
        wait_until(lambda one=tenant: works(proxy, one), "it works again", 2 * SOON)
    assert_whole(proxy, tenants, which)


@pytest.mark.parametrize("doing", ["nothing", "a result", "COPY"])
def test_kill_9_of_the_proxy(world, server, between, tenants, vitals, doing):
    """The server rolls back what was open; whoever comes to the next proxy on that port works."""
    mark = f"proxy {doing}"
    with running_serve(world.reeve, **SETTINGS) as victim:
        clients = [in_transaction(victim, tenants[mode, "a"], mark) for mode in MODES]
        if doing == "a result":
            clients[0].send(query("SELECT repeat('x', 100000) FROM generate_series(1, 1000)"))
            clients[0].receive_until("D")
        elif doing == "COPY":
            clients[1].send(query("COPY thing (name) FROM STDIN"), copy_data(f"half copy {mark}\n".encode()))
            assert clients[1].receive().type == "G"
        victim.process.kill()
        victim.process.wait()
        for client in clients:
            assert client.rest() is not None
        wait_until(lambda: sessions(server) == 0, "the server's sessions have ended", SOON)
        victim.start()
        assert_whole(victim, tenants, mark)


def sessions(server):
    with server.connect() as admin:
        return admin.execute("SELECT count(*) FROM pg_stat_activity WHERE backend_type ="
                             " 'client backend' AND usename <> 'postgres'").fetchone()[0]
