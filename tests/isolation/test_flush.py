"""A Flush of a client's own must not be taken for the proxy's, which leaves the tenant (docs/decisions
/0004): whoever could have the guard leave would go on as the proxy's role."""
import contextlib

import pytest

from support import wire
from support.reeve import MODES

SOON = 10  # seconds


@pytest.fixture(params=MODES)
def place(world, request):
    tenant = world.tenant(request.param, "a")
    return tenant, world.placement(tenant)["role"]


@pytest.fixture
def connection(world, place):
    with wire.connect_to_tenant(world.reeve, place[0]) as connected:
        connected.socket.settimeout(SOON)
        yield connected


WHO = (wire.parse("SELECT current_user"), wire.bind(), wire.execute())


def roles(messages):
    return {column.decode() for message in messages if message.type == "D"
            for column in message.columns}


def must_be(connection, role):
    """Also later, on the same server connection."""
    for _ in range(2):
        assert roles(connection.ask(wire.query("SELECT current_user"))) == {role}


@pytest.mark.parametrize("text", ["COMMIT", "ROLLBACK", "DISCARD ALL", "END"])
@pytest.mark.parametrize("flushes", [1, 2, 3])
def test_behind_the_end_of_a_transaction(connection, place, text, flushes):
    _, role = place
    connection.ask(wire.query("SELECT 1"))
    batch = [wire.parse(text), wire.bind(), wire.execute(), *[wire.flush()] * flushes]
    found = connection.ask(*batch, *WHO, wire.sync())
    assert roles(found) <= {role} and "E" not in [message.type for message in found], found
    must_be(connection, role)


@pytest.mark.parametrize("text", ["COMMIT", "DISCARD ALL"])
def test_flush_by_flush(connection, place, text):
    """Each in a packet of its own, when the one before has been answered."""
    _, role = place
    connection.send(wire.parse(text), wire.bind(), wire.execute(), wire.flush())
    connection.receive_until("C")
    for _ in range(3):
        connection.send(wire.flush())
    found = connection.ask(*WHO, wire.sync())
    assert roles(found) == {role}
    must_be(connection, role)


def test_behind_a_close(connection, place):
    _, role = place
    connection.send(wire.close("S", "nothing"), wire.flush())
    connection.receive_until("3")
    connection.send(wire.flush(), wire.flush())
    assert roles(connection.ask(*WHO, wire.sync())) == {role}
    must_be(connection, role)


@pytest.mark.parametrize("parts", [1, 2])
def test_in_refused_copy_data(connection, place, parts):
    """The server has refused the data, answers the Sync, and takes what comes then as commands."""
    _, role = place
    copy = (wire.parse("COPY thing (name) FROM STDIN (FORMAT binary)"), wire.bind(), wire.execute())
    data = wire.copy_data(b"no header of the binary format")
    more = wire.copy_data(b"x" * 100)
    found = []
    with contextlib.suppress(wire.Closed):  # which is what the proxy does where it is in doubt
        if parts == 1:
            connection.send(*copy, data, wire.sync(), more, wire.flush(), wire.flush())
        else:
            connection.send(*copy, data, wire.sync(), more[:50])
            connection.receive_until("Z")
            connection.send(more[50:], wire.flush(), wire.flush())
        connection.send(*WHO, wire.sync(), wire.query("SELECT current_user"))
        for message in iter(connection.receive, None):
            found.append(message)
            if sum(message.type == "Z" for message in found) == 4 - parts:
                break
    assert roles(found) <= {role}, found
