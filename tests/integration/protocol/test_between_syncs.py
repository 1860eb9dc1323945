"""Between a message of the extended protocol and its Sync the backend belongs to its client, also
when every reply has come (PROTOCOL 1, 3 and 8). The tenants here share one backend."""
import pytest

from support import wire
from support.wire import bind, execute, flush, parse, query, sync


@pytest.fixture(scope="module")
def tight(world, plain):
    return world.tight(plain)


@pytest.fixture
def pair(world, tight, mode):
    """Two clients of one tenant, which share one backend."""
    tenant = tight[mode, "a"]
    with (wire.connect_to_tenant(world.reeve, tenant) as one,
          wire.connect_to_tenant(world.reeve, tenant) as two):
        yield one, two


def types(messages):
    return [message.type for message in messages]


def test_flushed_work_is_nobody_elses_to_commit(pair):
    """A client vanishes between Flush and Sync: its work is undone, whoever comes next."""
    one, two = pair
    one.send(parse("INSERT INTO thing (name) VALUES ('unsynced')"), bind(), execute(), flush())
    assert types(one.receive() for _ in range(3)) == ["1", "2", "C"]
    two.send(query("SELECT count(*) FROM thing WHERE name = 'unsynced'"))
    one.close()
    assert two.until_ready()[1].columns == [b"0"]


def test_after_an_error_the_server_waits_for_sync(pair):
    """Its ErrorResponse comes at once; what another client sends must not be skipped with it."""
    one, two = pair
    for _ in range(20):
        one.send(parse("SELEKT"), flush())
        assert one.receive().sqlstate == "42601"
        two.send(query("SELECT 2"))
        assert types(one.ask(sync())) == ["Z"]
        assert types(two.until_ready()) == ["T", "D", "C", "Z"]
        assert types(one.ask(query("SELECT 1"))) == ["T", "D", "C", "Z"]


def test_answers_of_the_proxys_own_wait_for_sync_too(pair):
    """Parse and Close that the proxy answers, a Flush, and only then the Sync."""
    one, two = pair
    one.ask(parse("SELECT 7", "seven"), sync())
    one.send(wire.close("S", "seven"), parse("SELECT 7", "seven"), flush())
    assert types(one.receive() for _ in range(2)) == ["3", "1"]
    two.send(query("SELECT 2"))
    assert types(one.ask(bind(name="seven"), execute(), sync())) == ["2", "D", "C", "Z"]
    assert types(two.until_ready()) == ["T", "D", "C", "Z"]
