"""THREATS 31, 34 and 35: connections, silence, slowness, huge messages, names that nobody has.

Each with a proxy of its own beside the world's, so that limits can be small. A defence that is a
setting is taken out by setting it as high as it goes.
"""
import contextlib
import pathlib
import statistics
import threading
import time

import psycopg
import pytest

from support import process, wire
from support.notice import must_notice
from support.reeve import running_serve
from support.world import unique

MEGABYTE = 1 << 20
PATIENCE_SECONDS = 5.0  # a neighbour's query, at most, on a machine that does other things as well
LIMITS = {"max_clients": 30, "login_timeout": "2s", "max_prepared": 50, "workers": 1}


@pytest.fixture(scope="module")
def small_memory():
    """A sanitizer that keeps freed memory for long would look like a leak."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ASAN_OPTIONS", "quarantine_size_mb=4")
        yield


@pytest.fixture(scope="module")
def proxy(world, small_memory):
    with running_serve(world.reeve, **LIMITS) as server:
        yield server


@pytest.fixture
def attacker(world, mode):
    return world.tenant(mode, "a")


@pytest.fixture
def victim(world, mode):
    return world.tenant(mode, "b")


def resident(server):
    """Bytes of memory that the server process has in use."""
    for line in pathlib.Path(f"/proc/{server.process.pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("no VmRSS")


class Neighbour:
    """Works beside the attack: every query is answered, and soon."""

    def __init__(self, proxy, tenant):
        self.connection = proxy.connect(tenant)
        self.over = threading.Event()
        self.seconds, self.failure = [], None
        self.thread = threading.Thread(target=self.work)

    def work(self):
        try:
            while not self.over.is_set():
                begun = time.monotonic()
                assert self.connection.execute("SELECT 1").fetchone() == (1,)
                self.seconds.append(time.monotonic() - begun)
        except (psycopg.Error, AssertionError) as failure:
            self.failure = failure

    def __enter__(self):
        self.connection.execute("SELECT 1")
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.thread.join()
        self.connection.close()
        assert self.failure is None, f"the neighbour is told {self.failure}"
        assert self.seconds and max(self.seconds) < PATIENCE_SECONDS, max(self.seconds, default=0)
        assert statistics.median(self.seconds) < 0.5


def can_log_in(proxy, tenant):
    try:
        with proxy.connect(tenant) as connection:
            return connection.execute("SELECT 1").fetchone() == (1,)
    except psycopg.OperationalError:
        return False


def all_close(connections):
    for connection in connections:
        connection.close()


# ---- 31: connections ----

def open_without_end(proxy, attacker, victim):
    """Clients beyond max_clients are told so; who is there already goes on as before."""
    opened, errors = [], []
    try:
        with Neighbour(proxy, victim):
            for _ in range(4 * LIMITS["max_clients"]):
                connection = wire.Wire("127.0.0.1", proxy.port)
                try:
                    connection.login(attacker.slug, attacker.service, attacker.token)
                    opened.append(connection)
                except (wire.Refused, wire.Closed) as error:
                    errors.append(error)
                    connection.close()
        assert len(opened) < LIMITS["max_clients"], f"{len(opened)} connections"
        assert {error.sqlstate for error in errors if isinstance(error, wire.Refused)} == {"53300"}
        assert errors[0].fields["H"]
    finally:
        all_close(opened)
    process.wait_until(lambda: can_log_in(proxy, victim), "the neighbour logs in afterwards", 20)


def test_connections_without_end(proxy, attacker, victim):
    open_without_end(proxy, attacker, victim)


def test_connections_without_end_are_noticed(world):
    """Without max_clients."""
    with running_serve(world.reeve, **{**LIMITS, "max_clients": 1000000}) as server:
        must_notice(open_without_end, server, world.tenant("schema", "a"), world.tenant("schema", "b"))


def lock_out(proxy, attacker, victim):
    """One tenant's connections, as many as there may be, leave room for others."""
    opened = []
    try:
        for _ in range(LIMITS["max_clients"] + 5):
            connection = wire.Wire("127.0.0.1", proxy.port)
            opened.append(connection)
            try:
                connection.login(attacker.slug, attacker.service, attacker.token)
            except (wire.Refused, wire.Closed):
                break
        assert can_log_in(proxy, victim), "the neighbour cannot log in meanwhile"
    finally:
        all_close(opened)
        process.wait_until(lambda: can_log_in(proxy, victim), "the neighbour logs in afterwards", 20)


def test_one_tenants_connections_leave_room_for_others(world, attacker, victim):
    with running_serve(world.reeve, **LIMITS, max_tenant_clients=10) as server:
        lock_out(server, attacker, victim)


def test_one_tenants_connections_are_noticed(world, attacker, victim):
    """Without max_tenant_clients."""
    with running_serve(world.reeve, **LIMITS) as server:
        must_notice(lock_out, server, attacker, victim)


def say_nothing(proxy, send_a_byte):
    """Connections that never log in are ended in time, with whatever they send now and then; others
    get in as soon as they are gone."""
    connections = [wire.Wire("127.0.0.1", proxy.port) for _ in range(LIMITS["max_clients"])]
    packet = wire.startup(user="somebody", database="things")
    try:
        begun, sent, open_ones = time.monotonic(), 0, set(connections)

        def all_ended():
            nonlocal sent
            for connection in list(open_ones):
                connection.socket.setblocking(False)
                try:
                    if send_a_byte and sent < (time.monotonic() - begun) * 4:
                        connection.socket.send(packet[sent:sent + 1])
                    if connection.socket.recv(1 << 10) == b"":
                        open_ones.discard(connection)
                except BlockingIOError:
                    pass
                except OSError:
                    open_ones.discard(connection)
            sent += send_a_byte and sent < (time.monotonic() - begun) * 4
            return not open_ones

        try:
            process.wait_until(all_ended, "silent connections are ended", 10)
        except process.Deadline as late:
            raise AssertionError(f"still open after ten seconds: {len(open_ones)}") from late
    finally:
        all_close(connections)


@pytest.mark.parametrize("send_a_byte", [False, True], ids=["silent", "a byte now and then"])
def test_silence(world, proxy, send_a_byte):
    victim = world.tenant("schema", "b")
    with Neighbour(proxy, victim):
        say_nothing(proxy, send_a_byte)
    process.wait_until(lambda: can_log_in(proxy, victim), "the neighbour logs in afterwards", 20)


def test_silence_is_noticed(world):
    with running_serve(world.reeve, **{**LIMITS, "login_timeout": "10m"}) as server:
        must_notice(say_nothing, server, False)


def slow_sender(proxy, attacker, victim):
    """A message begun and never ended holds memory for what came, and no server connection."""
    slow = []
    try:
        for number in range(10):
            connection = wire.connect_to_tenant(proxy, attacker)
            connection.send((b"Q", b"P", b"B", b"Q", b"P")[number % 5]
                            + b"\x3f\xff\xff\xff" + b"SELECT" * (number + 1))
            slow.append(connection)
        with Neighbour(proxy, victim) as neighbour:
            process.wait_until(lambda: len(neighbour.seconds) > 50, "the neighbour works on", 20)
    finally:
        all_close(slow)


def test_messages_begun_and_never_ended(proxy, attacker, victim):
    slow_sender(proxy, attacker, victim)


def never_read(proxy, attacker, victim, memory):
    """Results of hundreds of megabytes that nobody takes stay where they come from."""
    before = resident(proxy)
    hungry = [wire.connect_to_tenant(proxy, attacker) for _ in range(4)]
    try:
        for connection in hungry:
            connection.send(wire.query("SELECT repeat('x', 100000) FROM generate_series(1, 600)"))
            connection.receive_until("D")
        with Neighbour(proxy, victim) as neighbour:
            process.wait_until(lambda: len(neighbour.seconds) > 100, "the neighbour works on", 20)
        grown = resident(proxy) - before
        assert grown < memory, f"{grown / MEGABYTE:.0f} MB for results that nobody reads"
    finally:
        all_close(hungry)


def test_results_that_nobody_reads(proxy, attacker, victim):
    never_read(proxy, attacker, victim, 64 * MEGABYTE)


# ---- 34: much of everything ----

HUGE_QUERY = wire.frame("Q", b"SELECT /*" + b"x" * (48 * MEGABYTE) + b"*/ 1\0")
HUGE = {
    "query": HUGE_QUERY,
    "query that the server does not read yet": wire.query("SELECT pg_sleep(3)") + HUGE_QUERY,
    "unnamed statement": wire.parse("SELECT /*" + "x" * (48 * MEGABYTE) + "*/ 1") + wire.sync(),
    "value": (wire.parse("SELECT length($1::text)") + wire.bind([b"x" * (48 * MEGABYTE)])
              + wire.execute() + wire.sync()),
}


def send_in_pieces(connection, data):
    for at in range(0, len(data), MEGABYTE):
        connection.send(data[at:at + MEGABYTE])


def huge(proxy, attacker, victim, data):
    """They pass through, or are refused; they are not kept."""
    before = resident(proxy)
    most = 0
    with Neighbour(proxy, victim):
        for _ in range(2):
            with wire.connect_to_tenant(proxy, attacker) as connection:
                answers = []
                reader = threading.Thread(target=lambda: answers.extend(connection.until_ready()))
                reader.start()
                for at in range(0, len(data), MEGABYTE):
                    connection.send(data[at:at + MEGABYTE])
                    most = max(most, resident(proxy) - before)
                reader.join()
                assert answers[-1].type == "Z"
    assert most < 32 * MEGABYTE, f"{most / MEGABYTE:.0f} MB for a message of {len(data) / MEGABYTE:.0f}"


@pytest.mark.parametrize("name", HUGE)
def test_huge_messages(proxy, attacker, victim, name):
    huge(proxy, attacker, victim, HUGE[name])


REFUSED = {
    "named statement": (wire.frame("P", wire.text("name") + b"SELECT /*" + b"x" * (17 * MEGABYTE)
                                   + b"*/ 1\0\0\0"), "08P01"),
    "name": (wire.parse("SELECT 1", "n" * 5000), "08P01"),
    "length below four": (b"Q\0\0\0\3", "08P01"),
    "length above all": (b"Q\x7f\xff\xff\xff", "08P01"),
    "negative length": (b"Q\xff\xff\xff\xff", "08P01"),
}


def too_large(proxy, attacker, victim, data, state):
    before = resident(proxy)
    with Neighbour(proxy, victim), wire.connect_to_tenant(proxy, attacker) as connection:
        try:
            send_in_pieces(connection, data)
        except OSError:
            pass  # it is closed while there is still something to send
        try:
            errors = [message for message in connection.rest() if message.type == "E"]
        except OSError:
            errors = []
        assert not errors or (errors[0].sqlstate == state and errors[0].fields["M"]), errors
        assert errors or len(data) > MEGABYTE
    assert resident(proxy) - before < 32 * MEGABYTE


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_too_large_is_refused(proxy, attacker, victim, name):
    too_large(proxy, attacker, victim, *REFUSED[name])


def prepare_without_end(proxy, attacker, victim):
    """Prepared statements are counted, and the error says what to do."""
    with Neighbour(proxy, victim):
        with wire.connect_to_tenant(proxy, attacker) as greedy:
            for number in range(LIMITS["max_prepared"] + 1):
                greedy.send(wire.parse(f"SELECT {number}", f"s{number}"), wire.sync())
                try:
                    found = greedy.receive_until("ZE")
                except wire.Closed:
                    break
                if found[-1].type == "E":
                    break
            else:
                raise AssertionError("more prepared statements than max_prepared")
            assert number >= LIMITS["max_prepared"] and found[-1].sqlstate == "53400"
            assert "max_prepared" in found[-1].fields["H"]


def test_prepared_statements_without_end(proxy, attacker, victim):
    prepare_without_end(proxy, attacker, victim)


def test_prepared_statements_without_end_are_noticed(world):
    with running_serve(world.reeve, **{**LIMITS, "max_prepared": 100000}) as server:
        must_notice(prepare_without_end, server, world.tenant("row", "a"), world.tenant("row", "b"))


def large_prepared(proxy, attacker, victim):
    """Few of many megabytes are no way round the count."""
    before = resident(proxy)
    with Neighbour(proxy, victim), wire.connect_to_tenant(proxy, attacker) as greedy:
        errors = []
        for number in range(LIMITS["max_prepared"]):
            try:
                greedy.send(wire.parse(f"SELECT {number} /*" + "x" * (4 * MEGABYTE) + "*/",
                                       f"s{number}"), wire.sync())
                errors += [one for one in greedy.receive_until("ZE") if one.type == "E"]
            except (wire.Closed, OSError):
                break
            if errors:
                break
        assert errors and errors[0].sqlstate == "53400", errors
        assert resident(proxy) - before < 160 * MEGABYTE


def test_large_prepared_statements(proxy, attacker, victim):
    large_prepared(proxy, attacker, victim)


def limited(world, mode, **limits):
    """A tenant of the test's own that has these limits."""
    tenant = world.new_tenant(mode)
    for limit, value in limits.items():
        world.reeve.cli("limit", "set", limit, value, "--tenant", tenant.slug)
    world.reeve.wait_until_heard()
    return tenant


def last_answer(connection, sql):
    connection.send(wire.query(sql))
    return connection.receive_until("EZ")[-1]


def ask_for_much(world):
    tenant = limited(world, "schema", max_result_size="64kB")
    with wire.connect_to_tenant(world.reeve, tenant) as connection:
        answer = last_answer(connection, "SELECT repeat('x', 1000000)")
        assert answer.type == "E" and answer.sqlstate == "54000"


def move_much(world):
    tenant = limited(world, "schema", byte_rate="1MB", queue_timeout="200ms")
    with wire.connect_to_tenant(world.reeve, tenant) as connection:
        assert last_answer(connection, "SELECT repeat('x', 20000000)").type == "Z"
        answer = last_answer(connection, "SELECT 1")
        assert answer.type == "E" and answer.sqlstate == "53300"


def take_all_backends(world):
    """Where they are its own, idle or not."""
    tenant = limited(world, "database", max_backends="2", queue_timeout="200ms")
    with contextlib.ExitStack() as stack:
        connections = [stack.enter_context(wire.connect_to_tenant(world.reeve, tenant)) for _ in range(3)]
        for connection in connections[:2]:
            assert last_answer(connection, "BEGIN").type == "Z"
        answer = last_answer(connections[2], "BEGIN")
        assert answer.type == "E" and answer.sqlstate == "53300"


@pytest.mark.parametrize("attack", [ask_for_much, move_much, take_all_backends])
def test_a_tenants_own_limits(world, attack):
    attack(world)


def endless_pipeline(proxy, attacker, victim):
    """Message upon message and no Sync, with nobody who reads the answers: it is not read from for
    ever."""
    before, sent = resident(proxy), 0
    step = wire.parse("SELECT 1") + wire.bind() + wire.describe("P") + wire.execute()
    with Neighbour(proxy, victim), wire.connect_to_tenant(proxy, attacker) as greedy:
        greedy.socket.settimeout(1.0)
        end = time.monotonic() + 20
        try:
            while time.monotonic() < end and sent < 256 * MEGABYTE:
                sent += greedy.socket.send(step * 2000)
        except (TimeoutError, OSError):
            pass  # it reads no more
        grown = resident(proxy) - before
        assert grown < 64 * MEGABYTE, f"{grown / MEGABYTE:.0f} MB for {sent / MEGABYTE:.0f} MB sent"
        assert sent < 256 * MEGABYTE, "it reads whatever is sent"


def test_endless_pipelines(proxy, attacker, victim):
    endless_pipeline(proxy, attacker, victim)


# ---- 35: names that nobody has ----

NAMES = 1500
THREADS = 12
REFRESH_SECONDS = 0.02  # the control database is asked for news at most this often


def refused(proxy, user, password, database="things"):
    with wire.Wire("127.0.0.1", proxy.port) as connection:
        try:
            connection.login(user, database, password)
        except wire.Refused as error:
            return error.sqlstate
    raise AssertionError(f"{user} got in")


def no_token(number):
    """Looks like one, and no key that could have signed it is known."""
    return ("eyJhbGciOiJFUzI1NiIsImtpZCI6Im4ifQ.eyJpc3MiOiJodHRwczovL24uZXhhbXBsZSJ9."
            f"{number:086d}")


def flood(proxy, world):
    """Distinct names and tokens, many at once. Nothing is remembered of them."""
    failures, numbers = [], iter(range(NAMES))
    lock = threading.Lock()

    def work():
        while True:
            with lock:
                number = next(numbers, None)
            if number is None or failures:
                return
            try:
                user = unique("nobody") if number % 2 else world.tenant("row").slug
                state = refused(proxy, user, no_token(number))
                assert state == "28P01", state
            except (AssertionError, OSError, wire.Closed) as failure:
                failures.append(failure)

    threads = [threading.Thread(target=work) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_names_that_nobody_has(world, proxy):
    """Bounded memory, nothing written, and neighbours that keep working and logging in."""
    tables = ("tenant", "credential", "audit_event", "job", "route_change")
    counts = " UNION ALL ".join(
        f"SELECT '{table}', (xpath('/row/c/text()', query_to_xml('SELECT count(*) AS c FROM"
        f" reeve.{table}', false, true, '')))[1]::text FROM (SELECT to_regclass('reeve.{table}') AS r)"
        " t WHERE r IS NOT NULL" for table in tables)
    rows = world.reeve.query(counts)
    assert len(rows) == len(tables)
    flood(proxy, world)  # once, for what the sanitizer and libraries take for themselves
    before = resident(proxy)
    victim = world.tenant("schema", "b")
    with Neighbour(proxy, victim):
        flood(proxy, world)
        assert can_log_in(proxy, victim)
    grown = resident(proxy) - before
    assert grown < 16 * MEGABYTE, f"{grown / MEGABYTE:.0f} MB for {NAMES} names that nobody has"
    assert world.reeve.query(counts) == rows


def hammer(world, proxy, number=60):
    """One after the other, each would ask the control database: not more often than it may."""
    begun = time.monotonic()
    for each in range(number):
        assert refused(proxy, unique("nobody"), no_token(each)) == "28P01"
    seconds = time.monotonic() - begun
    assert seconds >= (number - 1) * REFRESH_SECONDS, (
        f"{number} questions to the control database in {seconds:.2f} s")


def test_the_control_database_is_not_hammered(world, proxy):
    hammer(world, proxy)


def test_a_lost_control_database_is_no_way_in(world, proxy):
    """Who is known gets in meanwhile, who is not is refused."""
    with world.reeve.admin() as admin:
        admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                      " WHERE application_name = 'reeve routes'")
    for number in range(5):
        assert refused(proxy, unique("nobody"), no_token(number)) == "28P01"
    assert can_log_in(proxy, world.tenant("schema", "b"))
