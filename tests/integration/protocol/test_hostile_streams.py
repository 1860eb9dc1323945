"""Streams that are legal byte by byte and meant to harm: replies out of step around COPY, memory that
grows with what a client sends or does not read, backends that nobody gets back."""
import re
import pathlib
import time

import pytest

from support import wire
from support.wire import (bind, close, copy_data, copy_done, execute, flush, parse, query, sync)

MEGABYTE = 1 << 20


@pytest.fixture(scope="module")
def tight(world, plain):
    return world.tight(plain)


def resident(server):
    """Bytes of memory that the server process has in use."""
    for line in pathlib.Path(f"/proc/{server.process.pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("no VmRSS")


def rows_of(messages):
    return [message.columns for message in messages if message.type == "D"]


@pytest.mark.parametrize("messages", [
    query("COPY thing FROM STDIN (FREEZE)") + copy_data(b"") * 11_000 + sync(),
    query("COPY thing (name, amount) FROM STDIN") + copy_data(b"x\ty\n") + sync() * 50,
    query("COPY thing FROM STDIN; COPY thing FROM STDIN") + copy_done() + copy_done() + sync(),
], ids=["a COPY that cannot be", "many Syncs", "two COPYs in a query"])
def test_sync_around_copy_leaves_nobody_out_of_step(world, tight, messages):
    """Whatever comes back to the one who sends this, the next client gets its own rows."""
    tenant = tight["schema", "a"]
    for number in range(5):
        with wire.connect_to_tenant(world.reeve, tenant) as hostile:
            hostile.send(messages)
            hostile.receive()
            with wire.connect_to_tenant(world.reeve, tenant) as victim:
                for again in range(5):
                    mark = f"{number}-{again}".encode()
                    assert rows_of(victim.ask(query(f"SELECT '{mark.decode()}'"))) == [[mark]]


def test_two_copies_in_a_query_work(world):
    """Sent ahead, with a CopyDone for each, and a Sync behind them."""
    with wire.connect_to_tenant(world.reeve, world.tenant("schema", "b")) as connection:
        found = connection.ask(
            query("COPY thing (name) FROM STDIN; COPY thing (name) FROM STDIN")
            + copy_data(b"first-of-two\n") + copy_done() + copy_data(b"second-of-two\n")
            + copy_done())
        assert [message.type for message in found] == ["G", "C", "G", "C", "Z"]
        assert [message.type for message in connection.ask(sync())] == ["Z"]
        assert rows_of(connection.ask(query(
            "DELETE FROM thing WHERE name LIKE '%-of-two' RETURNING 1"))) == [[b"1"], [b"1"]]


def test_names_taken_twice_cost_no_memory(world):
    """A text of 4 MB, and ten thousand small messages that name it again."""
    with wire.connect_to_tenant(world.reeve, world.tenant("schema")) as connection:
        long_text = "SELECT /*" + "c" * 4 * MEGABYTE + "*/ 1"
        connection.ask(parse(long_text, "long") + sync())
        before = resident(world.reeve)
        for _ in range(20):
            connection.send(b"".join(parse("SELECT 2", "long") + sync() for _ in range(500)))
            for _ in range(500):
                assert connection.until_ready()[0].sqlstate == "42P05"
        assert resident(world.reeve) - before < 64 * MEGABYTE


def test_a_queue_of_answers_of_the_proxys_own_ends(world, tight):
    """33,000 Closes of nothing, without a Sync: answered; and the backend is free when they go."""
    tenant = tight["schema", "a"]
    with wire.connect_to_tenant(world.reeve, tenant) as connection:
        connection.send(close("S", "nosuch") * 33_000 + sync())
        assert len(connection.until_ready()) == 33_001
        connection.send(close("S", "nosuch") * 33_000)
    with wire.connect_to_tenant(world.reeve, tight["schema", "b"]) as other:
        assert rows_of(other.ask(query("SELECT 5"))) == [[b"5"]]


def test_a_queue_that_is_full_before_the_server_answers_ends(world, tight):
    """The same while the server is still at work: nothing but its one answer takes them out."""
    with wire.connect_to_tenant(world.reeve, tight["schema", "a"]) as connection:
        connection.send(query("SELECT pg_sleep(1)") + close("S", "nosuch") * 33_000 + sync())
        assert connection.until_ready()[-1].type == "Z"
        assert len(connection.until_ready()) == 33_001


def test_a_client_that_does_not_read_is_not_read(world):
    """Answers of the proxy's own pile up to a limit, and then it is read from no more."""
    with wire.connect_to_tenant(world.reeve, world.tenant("schema")) as connection:
        before = resident(world.reeve)
        chunk = (close("S", "nosuch") * 200 + flush()) * 100
        connection.socket.settimeout(1.0)
        sent, end = 0, time.monotonic() + 20
        try:
            while sent < 200 * MEGABYTE and time.monotonic() < end:
                sent += connection.socket.send(chunk)
        except TimeoutError:
            pass  # it reads no more: as it should be
        assert sent < 100 * MEGABYTE
        assert resident(world.reeve) - before < 64 * MEGABYTE


def test_own_names_are_nobodys(world, tight):
    """A client that guesses the proxy's names takes nothing from another one."""
    tenant = tight["schema", "a"]
    with (wire.connect_to_tenant(world.reeve, tenant) as honest,
          wire.connect_to_tenant(world.reeve, tenant) as hostile):
        honest.ask(parse("SELECT 'honest'", "mine") + sync())
        for number in range(12):
            found = hostile.ask(query(f"DEALLOCATE reeve_{number}"))
            assert found[0].sqlstate == "26000"
        assert rows_of(honest.ask(bind(name="mine") + execute() + sync())) == [[b"honest"]]


def test_texts_of_other_tenants_leave_no_trace(world):
    """Server-side names say nothing of what neighbours prepare."""
    def names(connection, text):
        connection.ask(parse(text, "guess") + sync())
        return rows_of(connection.ask(query("SELECT name FROM pg_prepared_statements")))

    tenants = [world.new_tenant("row") for _ in range(2)]
    with wire.connect_to_tenant(world.reeve, tenants[0]) as curious:
        found = curious.ask(query("SELECT name FROM pg_prepared_statements"))
        if found[0].type == "E":  # where the guard is, nobody may look
            assert found[0].sqlstate == "42501"
            return
    with (wire.connect_to_tenant(world.reeve, tenants[0]) as neighbour,
          wire.connect_to_tenant(world.reeve, tenants[1]) as curious):
        for number in range(20):
            neighbour.ask(parse(f"SELECT 'secret-{number}'", f"s{number}") + sync())
        found = names(curious, "SELECT 'secret-7'")
        assert len(found) == 1 and re.fullmatch(rb"reeve_[0-9a-f]{16}", found[0][0]), found


def test_a_neighbours_setting_does_not_end_a_login(world, tight):
    """backslash_quote of the client before."""
    tenant = tight["schema", "a"]
    with wire.connect_to_tenant(world.reeve, tenant) as one:
        one.ask(query("SET backslash_quote = off"))
        with wire.Wire("127.0.0.1", world.reeve.port) as two:
            two.login(tenant.slug, tenant.service, tenant.secret, application_name="it's \\ odd")
            assert rows_of(two.ask(query("SHOW application_name"))) == [[b"it's \\ odd"]]
