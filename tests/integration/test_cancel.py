"""Cancel requests that come while their query has not begun, or when it is over."""
import threading

import pytest

from support import wire
from support.cancel import send_cancel
from support.process import wait_until
from support.reeve import running_reeve
from support.world import World

SOON_SECONDS = 20
CANCELED = "57014"


@pytest.fixture(scope="module")
def world():
    with running_reeve({"workers": 2}) as server:
        yield World(server)


@pytest.fixture
def tenant(world, mode):
    return world.new_tenant(mode)


@pytest.fixture
def client(world, tenant):
    with wire.connect_to_tenant(world.reeve, tenant) as connection:
        connection.ask(wire.query("SELECT 1"))
        connection.socket.settimeout(SOON_SECONDS)
        yield connection


@pytest.fixture
def held(world, tenant):
    world.reeve.cli("hold", tenant.slug)
    world.reeve.wait_until_heard()
    yield
    world.reeve.cli("release", tenant.slug)
    world.reeve.wait_until_heard()


def waits(world):
    return world.reeve.status()["server"]["clients_waiting"] == 1


def cancel_while_it_waits(world, client, messages):
    client.send(messages)
    wait_until(lambda: waits(world), "it waits", SOON_SECONDS)
    send_cancel(world.reeve, *client.key)
    return client.until_ready()


def release(world, tenant):
    world.reeve.cli("release", tenant.slug)
    world.reeve.wait_until_heard()


def check_it_goes_on(client):
    assert types(client.ask(wire.query("SELECT 1"))) == "TDCZ"


def types(messages):
    return "".join(message.type for message in messages)


def extended(text, name=""):
    return wire.parse(text, name) + wire.bind(name=name) + wire.execute()


def test_of_a_query_that_waits(world, tenant, client, held):
    """It is answered at once, not when it would have had its turn."""
    found = cancel_while_it_waits(world, client, wire.query("SELECT pg_sleep(60)"))
    assert [(one.type, one.sqlstate) for one in found[:-1]] == [("E", CANCELED)]
    assert found[-1].body == b"I"
    release(world, tenant)
    check_it_goes_on(client)


def test_of_a_batch_that_waits(world, tenant, client, held):
    """One error, and nothing of the batch was done: its statement is not there."""
    batch = extended("SELECT 1", "one") + extended("SELECT 2") + wire.sync()
    found = cancel_while_it_waits(world, client, batch)
    assert types(found) == "EZ" and found[0].sqlstate == CANCELED
    release(world, tenant)
    found = client.ask(wire.bind(name="one") + wire.execute() + wire.sync())
    assert types(found) == "EZ" and found[0].sqlstate == "26000"
    check_it_goes_on(client)


def test_of_an_unnamed_statement_that_waits(world, tenant, client):
    """The one before is gone, as in PostgreSQL: what is bound is never another than was parsed last."""
    client.ask(wire.parse("SELECT 'before'") + wire.sync())
    world.reeve.cli("hold", tenant.slug)
    world.reeve.wait_until_heard()
    found = cancel_while_it_waits(world, client, wire.parse("SELECT $1, $2") + wire.sync())
    assert types(found) == "EZ" and found[0].sqlstate == CANCELED
    release(world, tenant)
    found = client.ask(wire.bind() + wire.execute() + wire.sync())
    assert types(found) == "EZ" and found[0].sqlstate == "26000"
    check_it_goes_on(client)


def test_of_a_batch_without_a_sync(world, tenant, client, held):
    """The error comes without one, as from PostgreSQL; what else comes is skipped until it."""
    client.send(extended("SELECT pg_sleep(60)") + wire.flush())
    wait_until(lambda: waits(world), "it waits", SOON_SECONDS)
    send_cancel(world.reeve, *client.key)
    assert client.receive().sqlstate == CANCELED
    found = client.ask(extended("SELECT 2") + wire.sync())
    assert types(found) == "Z"
    release(world, tenant)
    check_it_goes_on(client)


def test_of_a_query_behind_a_batch_without_a_sync(world, tenant, client, held):
    """As PostgreSQL, which skips it as well: only a Sync ends what the error has begun."""
    client.send(extended("SELECT pg_sleep(60)") + wire.flush())
    wait_until(lambda: waits(world), "it waits", SOON_SECONDS)
    send_cancel(world.reeve, *client.key)
    assert client.receive().sqlstate == CANCELED
    assert types(client.ask(wire.query("SELECT 2") + wire.sync())) == "Z"
    release(world, tenant)
    check_it_goes_on(client)


def test_of_the_first_of_several_that_wait(world, tenant, client, held):
    """A cancel request is for one query: the next is run when its turn comes."""
    client.send(wire.query("SELECT pg_sleep(60)") + wire.query("SELECT 2"))
    wait_until(lambda: waits(world), "it waits", SOON_SECONDS)
    send_cancel(world.reeve, *client.key)
    assert types(client.until_ready()) == "EZ"
    wait_until(lambda: waits(world), "the next waits", SOON_SECONDS)
    release(world, tenant)
    assert types(client.until_ready()) == "TDCZ"


def test_of_a_large_query_that_waits(world, tenant, client, held):
    """Most of it comes when it has been refused already."""
    text = "SELECT pg_sleep(60) -- " + "x" * (8 << 20)
    sender = threading.Thread(target=lambda: client.send(wire.query(text)))
    sender.start()
    wait_until(lambda: waits(world), "it waits", SOON_SECONDS)
    send_cancel(world.reeve, *client.key)
    found = client.until_ready()
    sender.join()
    assert types(found) == "EZ" and found[0].sqlstate == CANCELED
    release(world, tenant)
    check_it_goes_on(client)


def test_one_that_is_late_hits_nothing(world, client):
    """The next query of the same transaction is not cancelled by it: as from PostgreSQL, a request
    whose connection is closed has had its effect, if any."""
    late = 0
    for _ in range(100):
        client.ask(wire.query("BEGIN"))
        client.send(wire.query("SELECT pg_sleep(0.002)"))
        send_cancel(world.reeve, *client.key)
        if "E" not in types(client.until_ready()):
            late += 1
            assert types(client.ask(wire.query("SELECT 1 FROM pg_sleep(0.01)"))) == "TDCZ"
        client.ask(wire.query("ROLLBACK"))
    assert late < 100
