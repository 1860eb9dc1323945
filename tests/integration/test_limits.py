"""`reeve limit`: what a tenant may have at once, and for how long, whatever its SQL says."""
import contextlib
import dataclasses
import select
import signal
import threading
import time

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
def tenant(world, mode):
    """One of the test's own, so that its limits harm no other."""
    return world.new_tenant(mode)


def set_limit(world, limit, value, *whose):
    """And the proxy has heard of it."""
    world.reeve.cli("limit", "set", limit, value, *whose)
    world.reeve.wait_until_heard()


def of(tenant):
    return "--tenant", tenant.slug, "--service", tenant.service


def error_of(action, *arguments, **options):
    with pytest.raises(psycopg.Error) as raised:
        action(*arguments, **options)
    return raised.value


def in_force(world, tenant):
    shown = world.reeve.cli("limit", "show", tenant.slug, tenant.service, json=True).json
    return {one["limit"]: (one["value"], one["from"]) for one in shown}


# ---- the command ----

def test_the_most_particular_holds(world):
    tenant = world.new_tenant("row")
    assert in_force(world, tenant)["max_clients"] == ("none", "configuration")
    assert in_force(world, tenant)["idle_transaction_timeout"] == ("10m", "configuration")
    set_limit(world, "max_clients", "7", "--service", tenant.service)
    assert in_force(world, tenant)["max_clients"] == ("7", "service")
    set_limit(world, "max_clients", "none", "--tenant", tenant.slug)
    assert in_force(world, tenant)["max_clients"] == ("none", "tenant")
    set_limit(world, "max_clients", "9", *of(tenant))
    assert in_force(world, tenant)["max_clients"] == ("9", "tenant and service")
    listed = world.reeve.cli("limit", "list", json=True).json
    assert [(one["tenant"], one["service"], one["number"]) for one in listed] == [
        (None, "things", 7), (tenant.slug, None, 0), (tenant.slug, "things", 9)]
    for whose in (of(tenant), ("--tenant", tenant.slug), ("--service", tenant.service)):
        world.reeve.cli("limit", "unset", "max_clients", *whose)
    assert in_force(world, tenant)["max_clients"] == ("none", "configuration")
    assert world.reeve.cli("limit", "list", json=True).json == []


@pytest.mark.parametrize("limit, value", [("max_clients", "0"), ("max_clients", "-1"), ("max_clients", "3s"),
                                          ("query_timeout", "1us"), ("query_timeout", "x"), ("sleep", "1"),
                                          ("max_result_size", "1023"), ("max_result_size", "10s"),
                                          ("max_result_size", "1025TB"), ("query_timeout", "400d"), ("max_clients", "1000001"),
                                          ("weight", "0"), ("weight", "10001"), ("weight", "2x")])
def test_values_that_are_none(world, limit, value):
    result = world.reeve.cli("limit", "set", limit, value, "--service", "things", check=False)
    assert result.code == 2, result.text
    assert world.reeve.cli("limit", "list", json=True).json == []


def test_whose_it_is_must_be_said(world):
    assert world.reeve.cli("limit", "set", "max_clients", "3", check=False).code == 2
    assert "there is no tenant" in world.reeve.cli("limit", "set", "max_clients", "3", "--tenant", "nobody",
                                                   check=False).err
    result = world.reeve.cli("limit", "unset", "max_clients", "--service", "things", check=False)
    assert "there is no limit" in result.err


def test_changes_are_told(world):
    tenant = world.new_tenant("row")
    set_limit(world, "query_timeout", "90s", *of(tenant))
    world.reeve.cli("limit", "unset", "query_timeout", *of(tenant))
    events = world.reeve.cli("events", "--tenant", tenant.slug, json=True).json
    told = [(event["action"], event["detail"]) for event in events if event["action"].startswith("limit.")]
    assert sorted(told, key=str) == [("limit.set", {"limit": "query_timeout", "value": 90_000_000}),
                                     ("limit.unset", {"limit": "query_timeout"})]


def test_a_deleted_tenant_has_none(world):
    tenant = world.new_tenant("row")
    set_limit(world, "max_clients", "3", "--tenant", tenant.slug)
    world.reeve.cli("tenant", "delete", tenant.slug, "--yes")
    assert world.reeve.cli("limit", "list", json=True).json == []


# ---- clients ----

def test_clients(world, tenant):
    set_limit(world, "max_clients", "2", *of(tenant))
    with world.reeve.connect(tenant), world.reeve.connect(tenant) as second:
        error = error_of(world.reeve.connect, tenant)
        assert "too many clients" in str(error) and "operator" in str(error), error
        second.close()
        with world.reeve.connect(tenant) as third:
            assert third.execute("SELECT 1").fetchone() == (1,)


# ---- transactions at once ----

def test_transactions_at_once(world, tenant):
    """The second waits until the first is over; a neighbour does not."""
    neighbour = world.new_tenant(tenant.mode)
    set_limit(world, "max_transactions", "1", *of(tenant))
    with world.reeve.connect(tenant) as first, world.reeve.connect(tenant) as second:
        first.execute("SELECT 1")
        answers = []
        with first.transaction():
            first.execute("SELECT 1")
            thread = threading.Thread(target=lambda: answers.append(second.execute("SELECT 2").fetchone()))
            thread.start()
            process.wait_until(lambda: world.reeve.status()["server"]["clients_waiting"] or answers,
                               "the second waits", SOON_SECONDS)
            assert answers == []
            with world.reeve.connect(neighbour) as other:
                assert other.execute("SELECT 3").fetchone() == (3,)
            assert answers == []
        thread.join(SOON_SECONDS)
        assert answers == [(2,)]
    # Again and again, and none is lost.
    with contextlib.ExitStack() as stack:
        connections = [stack.enter_context(world.reeve.connect(tenant)) for _ in range(4)]
        counts = [0] * len(connections)

        def work(number):
            for _ in range(50):
                counts[number] += connections[number].execute("SELECT 1").fetchone()[0]

        threads = [threading.Thread(target=work, args=[number]) for number in range(len(connections))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert counts == [50] * len(connections)


RATES = {
    "queries": wire.query("SELECT 1"),
    "batches": wire.parse("SELECT 1") + wire.bind() + wire.execute() + wire.sync(),
}


@pytest.mark.parametrize("way", RATES)
def test_transactions_a_second(world, tenant, way):
    """Ten at once, then ten a second: also of who sends all of them at once."""
    neighbour = world.new_tenant(tenant.mode)
    set_limit(world, "transaction_rate", "10", *of(tenant))
    with (wire.connect_to_tenant(world.reeve, tenant) as connection,
          world.reeve.connect(neighbour) as free):
        connection.ask(wire.query("SELECT 1"))
        begun = time.monotonic()
        connection.send(RATES[way] * 200)
        for _ in range(60):
            free.execute("SELECT 1")
        freely = time.monotonic() - begun
        connection.until_ready(count=200)
        assert time.monotonic() - begun > 10  # 200 - 10 at once, and some that were under way
        assert freely < 10
        set_limit(world, "transaction_rate", "none", *of(tenant))
        connection.ask(*[wire.query("SELECT 1")] * 100, ready=100)


def test_a_rate_holds_for_all_its_clients(world, mode):
    tenant = world.new_tenant(mode)
    set_limit(world, "transaction_rate", "20", *of(tenant))
    begun = time.monotonic()
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(world.reeve.connect(tenant)) for _ in range(4)]
        for _ in range(25):
            for client in clients:
                assert client.execute("SELECT 1").fetchone() == (1,)
    assert time.monotonic() - begun > (100 - 20) / 20 - 1


MOVES = {
    "rows": "SELECT repeat('x', 3000000)",
    "many rows": "SELECT repeat('x', 1000) FROM generate_series(1, 3000)",
    "a query": f"SELECT length('{'x' * 3_000_000}')",
}


@pytest.mark.parametrize("way", MOVES)
def test_bytes_a_second(world, tenant, way):
    """Six seconds' worth at once, so that the next waits for five; a neighbour does not."""
    neighbour = world.new_tenant(tenant.mode)
    set_limit(world, "byte_rate", "500000B", *of(tenant))
    with (world.reeve.connect(tenant) as connection, world.reeve.connect(tenant) as second,
          world.reeve.connect(neighbour) as free):
        second.execute("SELECT 1")
        begun = time.monotonic()
        connection.execute(MOVES[way])
        assert time.monotonic() - begun < 4  # what has begun is not held up
        free.execute(MOVES[way])
        free.execute("SELECT 1")
        freely = time.monotonic() - begun
        second.execute("SELECT 1")
        assert time.monotonic() - begun > 4.9
        assert freely < 4.9
        set_limit(world, "byte_rate", "none", *of(tenant))
        connection.execute(MOVES[way])
        set_limit(world, "byte_rate", "500000B", *of(tenant))
        begun = time.monotonic()
        second.execute("SELECT 1")  # what was moved without a limit does not count
        assert time.monotonic() - begun < 4


def test_bytes_that_fail_to_wait(world, tenant):
    set_limit(world, "byte_rate", "1MB", *of(tenant))
    set_limit(world, "queue_timeout", "200ms", *of(tenant))
    with wire.connect_to_tenant(world.reeve, tenant) as connection:
        connection.ask(wire.query("SELECT repeat('x', 30000000)"))
        connection.send(wire.query("SELECT 1"))
        error = connection.rest()[-1]
        assert error.sqlstate == "53300" and "as many bytes as its rate" in error.fields["M"], error
    set_limit(world, "byte_rate", "none", *of(tenant))
    with world.reeve.connect(tenant) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


@pytest.mark.parametrize("limit, value, work", [
    ("byte_rate", "1000000B", "SELECT repeat('x', 1000000)"), ("transaction_rate", "4", "SELECT 1;")])
def test_who_comes_back_does_not_begin_anew(world, tenant, limit, value, work):
    set_limit(world, limit, value, *of(tenant))
    times = 4 if limit == "byte_rate" else 12
    begun = time.monotonic()
    for _ in range(times):
        with world.reeve.connect(tenant) as connection:
            connection.execute(work)
    assert time.monotonic() - begun > 1.5


def test_a_pipeline_of_bytes(world, tenant):
    """It is ahead of its rate by so much as a pipeline is."""
    set_limit(world, "byte_rate", "1000000B", *of(tenant))
    with wire.connect_to_tenant(world.reeve, tenant) as connection:
        connection.ask(wire.query("SELECT 1"))
        begun = time.monotonic()
        connection.ask(*[wire.query("SELECT repeat('x', 20000)")] * 300, ready=300)
        assert time.monotonic() - begun > 3  # 6 MB; 1 at once, and some that were under way


def test_more_transactions_at_once_than_before(world, tenant):
    """Who waits goes on when the limit is raised."""
    set_limit(world, "max_transactions", "1", *of(tenant))
    with world.reeve.connect(tenant) as first, world.reeve.connect(tenant) as second:
        answers = []
        with first.transaction():
            first.execute("SELECT 1")
            thread = threading.Thread(target=lambda: answers.append(second.execute("SELECT 2").fetchone()))
            thread.start()
            world.reeve.cli("limit", "set", "max_transactions", "2", *of(tenant))
            thread.join(SOON_SECONDS)
            assert answers == [(2,)]


# ---- how long who waits ----

@contextlib.contextmanager
def waiting(world, tenant):
    """One that has all that the tenant may have, and another that waits for it: its answers."""
    set_limit(world, "max_transactions", "1", *of(tenant))
    with (contextlib.closing(world.reeve.connect(tenant)) as first,
          wire.connect_to_tenant(world.reeve, tenant) as second):
        answers = []

        def work():
            second.send(wire.query("SELECT 2"))
            for message in second.receive_until("EZ"):
                if message.type == "D":
                    answers.append(message.columns)
                elif message.type == "E":
                    answers.append(message.sqlstate)

        first.execute("BEGIN")
        thread = threading.Thread(target=work)
        thread.start()
        process.wait_until(lambda: world.reeve.status()["server"]["clients_waiting"] or answers,
                           "the second waits", SOON_SECONDS)
        yield first, thread, answers
        first.close()
        thread.join(SOON_SECONDS)


def test_queue_timeout(world, tenant):
    """Of this tenant alone; what it has goes on."""
    neighbour = world.new_tenant(tenant.mode)
    set_limit(world, "queue_timeout", "300ms", *of(tenant))
    with waiting(world, neighbour) as (others, _, others_answers):
        with waiting(world, tenant) as (first, thread, answers):
            thread.join(SOON_SECONDS)
            assert answers == ["53300"]
            assert first.execute("SELECT 1").fetchone() == (1,)
        others.execute("SELECT pg_sleep(0.5)")
        assert others_answers == []
    assert others_answers == [[b"2"]]


def test_queue_timeout_of_who_waits_already(world, tenant):
    with waiting(world, tenant) as (_, thread, answers):
        set_limit(world, "queue_timeout", "200ms", *of(tenant))
        thread.join(SOON_SECONDS)
        assert answers == ["53300"]


@pytest.mark.parametrize("longer", ["1h", "none"])
def test_a_longer_queue_timeout_of_who_waits_already(world, tenant, longer):
    set_limit(world, "queue_timeout", "3s", *of(tenant))
    with waiting(world, tenant) as (first, thread, answers):
        set_limit(world, "queue_timeout", longer, *of(tenant))
        first.execute("SELECT pg_sleep(4)")
        assert answers == []
        first.execute("COMMIT")
        thread.join(SOON_SECONDS)
        assert answers == [[b"2"]]


# ---- the size of results ----

LARGE_ANSWERS = {
    "many rows": wire.query("SELECT repeat('x', 1000) FROM generate_series(1, 1000)"),
    "a row": wire.query("SELECT repeat('x', 1000000)"),
    "several results": wire.query("; ".join(["SELECT repeat('x', 30000)"] * 4)),
    "COPY": wire.query("COPY (SELECT repeat('x', 1000) FROM generate_series(1, 1000)) TO STDOUT"),
    "notices": wire.query("DO $$ BEGIN FOR i IN 1..1000 LOOP RAISE NOTICE '%', repeat('x', 1000); END LOOP; END $$"),
    "an error": wire.query("DO $$ BEGIN RAISE EXCEPTION '%', repeat('x', 1000000); END $$"),
    "a batch": (wire.parse("SELECT repeat('x', 30000)") + (wire.bind() + wire.execute()) * 4 + wire.sync()),
    "a portal read in parts": (wire.parse("SELECT repeat('x', 30000) FROM generate_series(1, 4)") + wire.bind()
                               + (wire.execute(rows=1) + wire.flush()) * 4 + wire.sync()),
}


@pytest.mark.parametrize("way", LARGE_ANSWERS)
def test_results_that_are_too_large(world, tenant, way):
    """The client gets whole messages, never more than it may, and an error that says what to do."""
    neighbour = world.new_tenant(tenant.mode)
    set_limit(world, "max_result_size", "100kB", *of(tenant))
    with wire.connect_to_tenant(world.reeve, tenant) as connection:
        connection.send(LARGE_ANSWERS[way])
        messages = connection.rest()
        error = messages.pop()
        assert (error.type, error.fields["S"], error.sqlstate) == ("E", "FATAL", "54000"), error
        assert "max_result_size (102400 bytes)" in error.fields["M"] and "FETCH" in error.fields["H"]
        assert sum(5 + len(message.body) for message in messages) <= 100 * 1024
    with world.reeve.connect(neighbour) as other:
        assert len(other.execute("SELECT repeat('x', 1000000)").fetchone()[0]) == 1_000_000


def test_results_that_are_not(world, tenant):
    """Each answer counts for itself: in a pipeline, and where a large result is read in parts."""
    part = "SELECT repeat('x', 90000)"
    set_limit(world, "max_result_size", "100kB", *of(tenant))
    with wire.connect_to_tenant(world.reeve, tenant) as connection:
        connection.ask(wire.query(part) * 5, ready=5)
        connection.ask((wire.parse(part) + wire.bind() + wire.execute() + wire.sync()) * 5, ready=5)
    with world.reeve.connect(tenant) as connection, connection.transaction():
        connection.execute(f"DECLARE large CURSOR FOR {part} FROM generate_series(1, 5)")
        for _ in range(5):
            assert len(connection.execute("FETCH 1 FROM large").fetchone()[0]) == 90_000
        set_limit(world, "max_result_size", "1GB", *of(tenant))
        connection.execute("MOVE BACKWARD ALL FROM large")
        assert len(connection.execute("FETCH ALL FROM large").fetchall()) == 5


def test_the_server_is_interrupted(world, tenant):
    """It would go on for ten minutes."""
    set_limit(world, "max_result_size", "100kB", *of(tenant))
    with wire.connect_to_tenant(world.reeve, tenant) as connection:
        connection.send(wire.query("SELECT pg_backend_pid()"))
        pid = int(connection.until_ready()[1].columns[0])
        connection.send(wire.query("SELECT repeat('x', 1000000) UNION ALL SELECT 'y' FROM pg_sleep(600)"))
        assert told(connection) == "54000"
    process.wait_until(lambda: world.reeve.query("SELECT count(*) FROM pg_stat_activity WHERE pid = %s"
                                                 " AND state = 'active'", pid) == [(0,)],
                       "the server does no more", SOON_SECONDS)


def test_a_result_that_is_under_way(world, tenant):
    """What is said while the answer comes holds for it."""
    with wire.connect_to_tenant(world.reeve, tenant) as connection:
        connection.send(wire.query("DO $$ BEGIN FOR i IN 1..6000 LOOP RAISE NOTICE '%', repeat('x', 100);"
                                   " PERFORM pg_sleep(0.01); END LOOP; END $$"))
        connection.receive_until("N")
        set_limit(world, "max_result_size", "2kB", *of(tenant))
        assert told(connection) == "54000"


# ---- times ----

def hold(reeve, tenant, *messages, until):
    connection = wire.connect_to_tenant(reeve, tenant)
    connection.send(*messages)
    connection.receive_until(until)
    return connection


def told(connection):
    """The error that ends it."""
    errors = [message for message in connection.rest() if message.type == "E"]
    assert errors and errors[-1].fields["S"] == "FATAL", errors
    return errors[-1].sqlstate


ENDS = {
    "query_timeout": ([wire.query("DO $$ BEGIN RAISE NOTICE 'x'; LOOP BEGIN PERFORM pg_sleep(60);"
                                  " EXCEPTION WHEN query_canceled THEN END; END LOOP; END $$")], "N", "57014"),
    "transaction_timeout": ([wire.query("BEGIN"), wire.query("SELECT 1")], "Z", "25P04"),
    "idle_transaction_timeout": ([wire.query("SET idle_in_transaction_session_timeout = 0; BEGIN")], "Z",
                                 "25P03"),
    "idle_pinned_timeout": ([wire.query("PREPARE kept AS SELECT 1")], "Z", "57P05"),
}


@pytest.mark.parametrize("limit", ENDS)
def test_times(world, tenant, limit):
    messages, until, sqlstate = ENDS[limit]
    set_limit(world, limit, "300ms", *of(tenant))
    with hold(world.reeve, tenant, *messages, until=until) as held:
        assert told(held) == sqlstate
    neighbour = world.new_tenant(tenant.mode)
    with world.reeve.connect(neighbour) as other:
        assert other.execute("SELECT 1").fetchone() == (1,)


SLEEP = "SELECT pg_sleep(0.2); DO $$ BEGIN RAISE NOTICE 'sent at once, with what is in front of it'; END $$"
LARGE = "SELECT length('" + "x" * 300_000 + "')"
PUT_OFF = {
    "many statements in one message": [wire.query("; ".join([SLEEP] * 100))],
    "something behind it that nobody asks for": [wire.query("SELECT pg_sleep(60)") + wire.parse("SELECT 1")],
    "the same in a batch": [wire.parse("SELECT pg_sleep(60)") + wire.bind() + wire.execute() + wire.sync()
                            + wire.parse("SELECT 1")],
    "the same behind a Flush": [wire.parse("SELECT pg_sleep(60)") + wire.bind() + wire.execute() + wire.flush()
                                + wire.parse("SELECT 1")],
    "half a message behind it": [wire.query("SELECT pg_sleep(60)") + wire.query(LARGE)[:200_000]],
}


@pytest.mark.parametrize("way", PUT_OFF)
def test_a_query_timeout_cannot_be_put_off(world, way):
    tenant = world.new_tenant("schema")
    set_limit(world, "query_timeout", "500ms", *of(tenant))
    with wire.connect_to_tenant(world.reeve, tenant) as held:
        held.socket.settimeout(SOON_SECONDS)
        held.send(*PUT_OFF[way])
        try:
            assert told(held) == "57014"
        except TimeoutError:
            raise AssertionError("it goes on") from None


HELD_BY_CLIENT = {
    "a pipeline without a Sync": [wire.parse("SELECT 1") + wire.bind() + wire.execute()],
    "a pipeline that was flushed": [wire.parse("SELECT 1") + wire.bind() + wire.execute() + wire.flush()],
    "a named statement": [wire.query("BEGIN"), wire.parse("SELECT 1", name="one")],
    "a message without an end": [wire.query("BEGIN"), wire.query("SELECT 1")[:-3]],
    "a large message without an end": [wire.query(LARGE)[:200_000]],
    "a large message of a statement": [wire.parse(LARGE)[:200_000]],
}


@pytest.mark.parametrize("way", HELD_BY_CLIENT)
def test_whatever_the_client_leaves_open(world, way):
    """The server waits for it, so that no query timeout is needed."""
    tenant = world.new_tenant("schema")
    set_limit(world, "idle_transaction_timeout", "300ms", *of(tenant))
    with wire.connect_to_tenant(world.reeve, tenant) as held:
        held.send(*HELD_BY_CLIENT[way])
        assert told(held) == "25P03"


def pause(connection):
    """Of a client that thinks: nothing comes meanwhile."""
    assert select.select([connection.socket], [], [], 0.1)[0] == []


def test_a_client_that_goes_on_is_not_idle(world):
    """It reads a portal bit by bit, for longer than it may be idle."""
    tenant = world.new_tenant("schema")
    set_limit(world, "idle_transaction_timeout", "400ms", *of(tenant))
    set_limit(world, "query_timeout", "400ms", *of(tenant))
    with wire.connect_to_tenant(world.reeve, tenant) as connection:
        connection.send(wire.parse("SELECT generate_series(1, 100)"), wire.bind(), wire.execute(rows=1),
                        wire.flush())
        connection.receive_until("s")
        for _ in range(12):
            pause(connection)
            connection.send(wire.execute(rows=1), wire.flush())
            connection.receive_until("s")
        assert connection.ask(wire.sync())[-1].body == b"I"


def test_who_waited_is_not_ended_with_who_was_in_front(world):
    """Several wait for one that exceeds its time; each has its own before it."""
    tenant = world.new_tenant("row")
    set_limit(world, "max_transactions", "1", *of(tenant))
    with contextlib.ExitStack() as stack:
        first, *others = [stack.enter_context(contextlib.closing(world.reeve.connect(tenant)))
                          for _ in range(4)]
        neighbour = stack.enter_context(world.reeve.connect(world.new_tenant("row")))
        first.execute("BEGIN")
        neighbour.execute("SELECT pg_sleep(0.5)")  # an idle backend that was used before
        answers = []

        def work(connection):
            try:
                answers.append(connection.execute("SELECT 1").fetchone())
            except psycopg.Error as error:
                answers.append(error)

        threads = [threading.Thread(target=work, args=[connection]) for connection in others]
        for thread in threads:
            thread.start()
        process.wait_until(lambda: world.reeve.status()["server"]["clients_waiting"] == len(others) or answers,
                           "they wait", SOON_SECONDS)
        set_limit(world, "transaction_timeout", "300ms", *of(tenant))
        for thread in threads:
            thread.join(SOON_SECONDS)
        assert answers == [(1,)] * len(others)


def test_both_accesses_count(world, mode):
    tenant = world.new_tenant(mode)
    issued = world.reeve.cli("token", "issue", tenant.slug, "--access", "ro", json=True).json
    reader = dataclasses.replace(tenant, token=issued["token"])
    set_limit(world, "max_transactions", "1", *of(tenant))
    with world.reeve.connect(tenant) as writing, world.reeve.connect(reader) as reading:
        answers = []
        with writing.transaction():
            writing.execute("SELECT 1")
            thread = threading.Thread(target=lambda: answers.append(reading.execute("SELECT 2").fetchone()))
            thread.start()
            process.wait_until(lambda: world.reeve.status()["server"]["clients_waiting"] or answers,
                               "the reader waits", SOON_SECONDS)
            assert answers == []
        thread.join(SOON_SECONDS)
        assert answers == [(2,)]


def test_a_limit_ends_what_is_going_on(world, tenant):
    with hold(world.reeve, tenant, wire.query("BEGIN"), until="Z") as held:
        set_limit(world, "idle_transaction_timeout", "200ms", *of(tenant))
        assert told(held) == "25P03"


def test_work_within_the_times_goes_on(world, tenant):
    """Many queries, none of which is long, in a session and in a transaction."""
    for limit in ("query_timeout", "idle_transaction_timeout", "idle_pinned_timeout"):
        set_limit(world, limit, "1s", *of(tenant))
    with world.reeve.connect(tenant) as connection:
        with connection.transaction():
            for _ in range(20):
                connection.execute("SELECT pg_sleep(0.1)")
        with connection.pipeline():
            found = [connection.execute("SELECT 1 FROM pg_sleep(0.1)") for _ in range(5)]
        assert [one.fetchone() for one in found] == [(1,)] * 5
        connection.execute("PREPARE kept AS SELECT 2")
        for _ in range(20):
            assert connection.execute("SELECT 1 FROM pg_sleep(0.1)").fetchone() == (1,)


@pytest.mark.parametrize("mode", ["schema", "database"])  # PostgreSQL has no COPY FROM for row
def test_copy_that_goes_on_is_not_idle(world, tenant):
    set_limit(world, "idle_transaction_timeout", "500ms", *of(tenant))
    with wire.connect_to_tenant(world.reeve, tenant) as connection:
        connection.send(wire.query("COPY thing (name) FROM STDIN"))
        connection.receive_until("G")
        for number in range(8):
            connection.send(wire.copy_data(f"row {number}\n".encode()))
            assert select.select([connection.socket], [], [], 0.2)[0] == []
        connection.send(wire.copy_done())
        assert connection.until_ready()[-1].body == b"I"
        connection.send(wire.query("COPY thing (name) FROM STDIN"))
        connection.receive_until("G")
        assert told(connection) == "25P03"


# ---- the configuration ----

def test_settings_hold_for_all(world, mode):
    tenant = world.tenant(mode)
    with running_serve(world.reeve, idle_transaction_timeout="300ms", max_tenant_clients=1) as server:
        with server.connect(tenant) as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
            assert "too many clients" in str(error_of(server.connect, tenant))
        with hold(server, tenant, wire.query("BEGIN"), until="Z") as held:
            assert told(held) == "25P03"
        server.write(idle_transaction_timeout="0", max_tenant_clients=0)
        server.process.send_signal(signal.SIGHUP)

        def two_come_in():
            with contextlib.suppress(psycopg.OperationalError), server.connect(tenant), server.connect(tenant):
                return True
            return False

        process.wait_until(two_come_in, "the new settings are in force", SOON_SECONDS)


def test_unknown_limits_of_a_newer_catalog(world):
    """A proxy that does not know it goes on."""
    world.reeve.query("INSERT INTO reeve.resource_limit (service_id, name, value)"
                      " SELECT id, 'max_wishes', 3 FROM reeve.service WHERE name = 'things'")
    tenant = world.new_tenant("row")
    with world.reeve.connect(tenant) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
    listed = world.reeve.cli("limit", "list", json=True).json
    assert [one["value"] for one in listed if one["limit"] == "max_wishes"] == ["3"]
    world.reeve.query("DELETE FROM reeve.resource_limit WHERE name = 'max_wishes'")
