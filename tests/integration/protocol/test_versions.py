"""Protocol 3.0 and 3.2: what is negotiated, and cancel keys of 4 and 32 bytes (PROTOCOL 13 and 16)."""
import os
import struct

import pytest

from support import wire
from support.cancel import send_cancel, sleeping, wrong_secrets
from support.wire import NUL, PROTOCOL_3_0, PROTOCOL_3_2

PROTOCOL_3_1 = 3 << 16 | 1  # no version at all, but PostgreSQL 18 takes it like 3.0
PROTOCOL_3_99 = 3 << 16 | 99
SECRET_BYTES = {PROTOCOL_3_0: 4, PROTOCOL_3_1: 4, PROTOCOL_3_2: 32, PROTOCOL_3_99: 32}
LONG = pytest.mark.skipif("REEVE_TESTS_DIRECT" in os.environ, reason="PostgreSQL 15 has no 3.2")


def named(version):
    return f"{version >> 16}.{version & 0xFFFF}"


def both_versions(test):
    return pytest.mark.parametrize("version", [PROTOCOL_3_0, PROTOCOL_3_2], ids=named)(test)


@pytest.fixture
def tenant(world):
    return world.tenant("row")


def negotiated(connection):
    """The version and the names of options of the NegotiateProtocolVersion that came, or None; and
    the login goes on behind it."""
    message = connection.receive()
    if message.type != "v":
        assert message.type == "R"
        return None
    version, count = struct.unpack_from("!ii", message.body)
    names = message.body[8:].split(NUL)
    assert len(names) == count + 1 and names.pop() == b""
    return version, names


@LONG
@pytest.mark.parametrize("asked, answer", [
    (PROTOCOL_3_0, None), (PROTOCOL_3_1, None), (PROTOCOL_3_2, None),
    (3 << 16 | 3, PROTOCOL_3_2), (PROTOCOL_3_99, PROTOCOL_3_2), (3 << 16 | 9999, PROTOCOL_3_2),
    (3 << 16 | 0xFFFF, PROTOCOL_3_2)], ids=lambda value: value and named(value))
def test_newer_versions_alone_are_negotiated(world, tenant, asked, answer):
    with wire.Wire("127.0.0.1", world.reeve.port) as connection:
        connection.send(wire.startup(asked, user=tenant.slug, database=tenant.service))
        assert negotiated(connection) == (answer and (answer, []))


@LONG
@pytest.mark.parametrize("asked, answer", [
    (PROTOCOL_3_0, PROTOCOL_3_0), (PROTOCOL_3_2, PROTOCOL_3_2), (PROTOCOL_3_99, PROTOCOL_3_2)],
    ids=named)
def test_unknown_options_are_named_whatever_the_version(world, tenant, asked, answer):
    with wire.Wire("127.0.0.1", world.reeve.port) as connection:
        connection.send(wire.startup(asked, user=tenant.slug, database=tenant.service,
                                     **{"_pq_.shiny": "1", "_pq_.other": "x"}))
        assert negotiated(connection) == (answer, [b"_pq_.shiny", b"_pq_.other"])
        connection.send(wire.frame("p", wire.text(tenant.secret)))
        assert connection.until_ready()[0].type == "R"


@LONG
@pytest.mark.parametrize("version", SECRET_BYTES, ids=named)
def test_the_secret_is_as_long_as_the_version_can_take(world, tenant, version):
    secrets = set()
    for _ in range(3):
        with wire.connect_to_tenant(world.reeve, tenant, version) as connection:
            pid, secret = connection.key
            assert pid > 0 and len(secret) == SECRET_BYTES[version]
            assert connection.ask(wire.query("SELECT 1"))[-1].body == b"I"
            secrets.add(secret)
    assert len(secrets) == 3
    halves = {half for secret in secrets for half in (secret[:len(secret) // 2],
                                                      secret[len(secret) // 2:])}
    assert len(halves) == 6, "all of it is random"


@LONG
@pytest.mark.parametrize("version", SECRET_BYTES, ids=named)
def test_the_right_key_cancels(world, tenant, version):
    victim, thread, outcome = sleeping(world.reeve, tenant, "60", version)
    send_cancel(world.reeve, *victim.key)
    thread.join(timeout=20)
    assert outcome and outcome[0].sqlstate == "57014"
    assert victim.ask(wire.query("SELECT 1"))[-1].body == b"I"
    victim.close()


@LONG
@both_versions
def test_wrong_keys_cancel_nothing(world, tenant, version):
    """A byte changed, cut off, more behind it; the client goes on, and then its key is still good."""
    victim, thread, outcome = sleeping(world.reeve, tenant, "5", version)
    pid, secret = victim.key
    tried = 0
    for wrong in wrong_secrets(secret):
        send_cancel(world.reeve, pid, wrong)
        tried += 1
    assert tried >= 9 and thread.is_alive()
    send_cancel(world.reeve, pid, secret[:3])  # shorter than any: malformed, and as silent
    send_cancel(world.reeve, pid, secret.ljust(257, b"x"))
    send_cancel(world.reeve, pid, b"")
    assert thread.is_alive(), "the query was over before all were tried"
    thread.join()
    assert [message.type for message in outcome] == ["C", "Z"]
    victim.close()


@LONG
@both_versions
def test_a_key_is_one_clients_alone(world, tenant, version):
    """Neither another client's key nor one made of two clients', of the same tenant, cancels."""
    other = wire.connect_to_tenant(world.reeve, tenant, version)
    victim, thread, outcome = sleeping(world.reeve, tenant, "2", version)
    send_cancel(world.reeve, *other.key)
    send_cancel(world.reeve, victim.key[0], other.key[1])
    send_cancel(world.reeve, other.key[0], victim.key[1])
    assert thread.is_alive()
    thread.join()
    assert [message.type for message in outcome] == ["C", "Z"]
    victim.close()
    other.close()


@LONG
def test_a_key_of_one_version_does_for_no_other(world, tenant):
    """The old client's short secret is no beginning of the new one's, nor the reverse."""
    old = wire.connect_to_tenant(world.reeve, tenant, PROTOCOL_3_0)
    victim, thread, outcome = sleeping(world.reeve, tenant, "2", PROTOCOL_3_2)
    pid, secret = victim.key
    for wrong in (secret[:4], secret[-4:], old.key[1], old.key[1] * 8):
        send_cancel(world.reeve, pid, wrong)
    assert thread.is_alive()
    thread.join()
    assert [message.type for message in outcome] == ["C", "Z"]
    victim.close()
    old.close()
