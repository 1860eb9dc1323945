"""Logins that are malformed, at every byte (THREATS 3 and 7): the connection ends, Reeve does not."""
import base64
import contextlib
import os
import pathlib
import socket
import struct

import pytest

from support import wire
from support.process import cpu_seconds, wait_until
from support.reeve import running_reeve
from support.wire import NUL, Scram, Wire, frame, startup, text, untyped
from support.world import DATA, create_service

TENANT = "acme"
SERVICE = "things"


@pytest.fixture(scope="module")
def server():
    """A Reeve that asks for SCRAM, with a short login timeout."""
    with running_reeve(settings={"auth": "scram", "login_timeout": "5s"}) as reeve:
        create_service(reeve, SERVICE, DATA / "things", "schema")
        reeve.tenant = reeve.add_tenant(TENANT, SERVICE)
        wait_until(lambda: is_known(reeve), "the proxy has heard of the tenant's password")
        yield reeve


@pytest.fixture(autouse=True)
def still_well(server):
    """After each test: a good login works, no descriptor has leaked, no CPU is burnt."""
    descriptors = pathlib.Path(f"/proc/{server.process.pid}/fd")
    before = len(os.listdir(descriptors))
    yield
    server.check_log()
    with good_login(server) as connection:
        assert connection.ask(wire.query("SELECT 1"))[-1].body == b"I"
    wait_until(lambda: len(os.listdir(descriptors)) <= before + 3, "descriptors are closed", 30)


def good_login(server):
    connection = Wire("127.0.0.1", server.port)
    connection.login(TENANT, SERVICE, server.tenant.password)
    return connection


def is_known(server):
    """SCRAM does not ask the catalog for news, as that would tell who is there by the time it takes."""
    with contextlib.suppress(wire.Refused), good_login(server):
        return True
    return False


def opened(server):
    return Wire("127.0.0.1", server.port, seconds=20)


def is_refused(connection):
    """All that came until the end is at most one FATAL error; no login."""
    messages = connection.rest()
    assert not [message for message in messages if message.type == "Z"], messages
    errors = [message for message in messages if message.type == "E"]
    assert len(errors) <= 1
    for error in errors:
        assert error.fields["S"] == "FATAL"
        assert error.fields["M"]
    return errors[0] if errors else None


GOOD_STARTUP = startup(user=TENANT, database=SERVICE, application_name="x")


def test_startup_cut_at_every_byte(server):
    for length in range(len(GOOD_STARTUP)):
        with opened(server) as connection:
            connection.send(GOOD_STARTUP[:length])
            connection.socket.shutdown(socket.SHUT_WR)
            is_refused(connection)


def test_startup_with_every_byte_changed(server):
    """Each byte to 0, 255 and its neighbour value: an error, an end, or a request to prove who."""
    for position in range(len(GOOD_STARTUP)):
        for value in (0, 255, GOOD_STARTUP[position] ^ 1):
            with opened(server) as connection:
                changed = bytearray(GOOD_STARTUP)
                changed[position] = value
                connection.send(bytes(changed))
                connection.socket.shutdown(socket.SHUT_WR)
                is_refused(connection)


def sasl_start(connection, mechanism="SCRAM-SHA-256", first=None):
    connection.send(GOOD_STARTUP)
    request = connection.receive()
    assert request.type == "R" and struct.unpack_from("!i", request.body)[0] == 10
    if first is not None:
        connection.send(frame("p", text(mechanism) + struct.pack("!i", len(first)) + first))


def test_sasl_messages_cut_at_every_byte(server):
    scram = Scram(server.tenant.password)
    first = scram.first()
    message = frame("p", text("SCRAM-SHA-256") + struct.pack("!i", len(first)) + first)
    for length in range(len(message)):
        with opened(server) as connection:
            sasl_start(connection)
            connection.send(message[:length])
            connection.socket.shutdown(socket.SHUT_WR)
            is_refused(connection)


def test_sasl_first_with_every_byte_changed(server):
    first = Scram(server.tenant.password, nonce="abcdefghijklmnopqr").first()
    message = frame("p", text("SCRAM-SHA-256") + struct.pack("!i", len(first)) + first)
    for position in range(len(message)):
        for value in (0, 255, message[position] ^ 1):
            changed = bytearray(message)
            changed[position] = value
            with opened(server) as connection:
                sasl_start(connection)
                connection.send(bytes(changed))
                connection.socket.shutdown(socket.SHUT_WR)
                is_refused(connection)


def test_sasl_final_with_every_byte_changed(server):
    """A changed proof, nonce or binding never logs in."""
    length, position = 1, 0
    while position < length:
        with opened(server) as connection:
            scram = Scram(server.tenant.password)
            sasl_start(connection, first=scram.first())
            challenge = connection.receive()
            final = bytearray(frame("p", scram.final(challenge.body[4:])))
            length = len(final)
            final[position] ^= 1
            connection.send(bytes(final))
            connection.socket.shutdown(socket.SHUT_WR)
            is_refused(connection)
        position += 1


BAD_FIRST = {
    "empty": b"",
    "no attributes": b"n,,",
    "only commas": b"n,,,,,,,",
    "no nonce": b"n,,n=x",
    "empty nonce": b"n,,n=,r=",
    "nonce of 100,000 bytes": b"n,,n=,r=" + b"a" * 100_000,
    "nonce with control characters": b"n,,n=,r=abc\x01\x02def",
    "user of 100,000 bytes": b"n,,n=" + b"u" * 100_000 + b",r=abcdefghijkl",
    "channel binding that was not offered": b"p=tls-server-end-point,,n=,r=abcdefghijkl",
    "unknown flag": b"z,,n=,r=abcdefghijkl",
    "mandatory extension": b"n,,m=ext,n=,r=abcdefghijkl",
    "authorization identity": b"n,a=other,n=,r=abcdefghijkl",
    "NUL": b"n,,n=\x00,r=abc",
    "not UTF-8": b"\xff\xfe\xfd",
}


@pytest.mark.parametrize("name", BAD_FIRST)
def test_bad_sasl_first_messages(server, name):
    with opened(server) as connection:
        sasl_start(connection, first=BAD_FIRST[name])
        is_refused(connection)


@pytest.mark.parametrize("mechanism", ["", "PLAIN", "SCRAM-SHA-1", "SCRAM-SHA-256-PLUS",
                                       "x" * 10_000])
def test_unknown_mechanism(server, mechanism):
    with opened(server) as connection:
        sasl_start(connection, mechanism, Scram("x").first())
        is_refused(connection)


@pytest.mark.parametrize("declared", [-2, -1, 0, 5, 1 << 30, -(1 << 31)])
def test_wrong_length_within_sasl_message(server, declared):
    with opened(server) as connection:
        sasl_start(connection)
        connection.send(frame("p", text("SCRAM-SHA-256") + struct.pack("!i", declared) + b"n,,n=,"))
        is_refused(connection)


def test_bad_final_messages(server):
    for make in (lambda final: b"", lambda final: b"c=biws", lambda final: final[:-20],
                 lambda final: final + b",x=y", lambda final: b"c=" + b"A" * 50_000,
                 lambda final: final.replace(b"c=biws", b"c=cCw="),
                 lambda final: final.rpartition(b"p=")[0] + b"p=" + base64.b64encode(b"\0" * 32),
                 lambda final: final.rpartition(b"p=")[0] + b"p=!!!!"):
        with opened(server) as connection:
            scram = Scram(server.tenant.password)
            sasl_start(connection, first=scram.first())
            challenge = connection.receive()
            connection.send(frame("p", make(scram.final(challenge.body[4:]))))
            is_refused(connection)


def test_second_startup_during_sasl(server):
    with opened(server) as connection:
        sasl_start(connection)
        connection.send(GOOD_STARTUP)
        is_refused(connection)


@pytest.mark.parametrize("kind", ["Q", "X", "P", "d", "\0", "S"])
def test_other_messages_during_sasl(server, kind):
    with opened(server) as connection:
        sasl_start(connection)
        connection.send(frame(kind, text("SELECT 1")))
        is_refused(connection)


def test_messages_behind_the_startup_do_not_run(server):
    """A query sent before the login is over is no part of the login."""
    with opened(server) as connection:
        connection.send(GOOD_STARTUP, wire.query("SELECT 1"), wire.query("SELECT 2"))
        is_refused(connection)


@pytest.mark.parametrize("length", [-(1 << 31), -1, 0, 1, 3, 4, 5, 7, 10_001, 1 << 24, (1 << 31) - 1])
def test_startup_lengths(server, length):
    with opened(server) as connection:
        connection.send(struct.pack("!i", length) + GOOD_STARTUP[4:])
        connection.socket.shutdown(socket.SHUT_WR)
        is_refused(connection)


@pytest.mark.parametrize("length", [-(1 << 31), -1, 0, 3, 1 << 20, (1 << 31) - 1])
def test_password_message_lengths(server, length):
    with opened(server) as connection:
        sasl_start(connection)
        connection.send(b"p" + struct.pack("!i", length) + b"x" * 100)
        connection.socket.shutdown(socket.SHUT_WR)
        is_refused(connection)


@pytest.mark.parametrize("request_bytes", [wire.ssl_request(), wire.gssenc_request()],
                         ids=["SSLRequest", "GSSENCRequest"])
def test_encryption_request_twice(server, request_bytes):
    with opened(server) as connection:
        connection.send(request_bytes)
        assert connection.receive_byte() == b"N"
        with contextlib.suppress(ConnectionError):
            connection.send(request_bytes)
        is_refused(connection)


def test_both_encryption_requests_once_each(server):
    """What libpq does with gssencmode and sslmode set to prefer."""
    with opened(server) as connection:
        for request in (wire.gssenc_request(), wire.ssl_request()):
            connection.send(request)
            assert connection.receive_byte() == b"N"
        connection.login(TENANT, SERVICE, server.tenant.password)


@pytest.mark.parametrize("request_bytes", [wire.ssl_request(), wire.gssenc_request()],
                         ids=["SSLRequest", "GSSENCRequest"])
def test_encryption_requests_without_end(server, request_bytes):
    with opened(server) as connection:
        with contextlib.suppress(ConnectionError):
            connection.send(request_bytes * 10_000)
        with contextlib.suppress(AssertionError, ConnectionError, wire.Closed):
            while connection.receive_byte():
                pass


@pytest.mark.parametrize("major, minor", [(0, 0), (1, 0), (2, 0), (4, 0), (65535, 65535), (1234, 0),
                                          (1234, 5681)])
def test_unknown_protocol_versions(server, major, minor):
    with opened(server) as connection:
        connection.send(startup(major << 16 | minor if major < 32768 else -1, user=TENANT,
                                database=SERVICE))
        is_refused(connection)


@pytest.mark.parametrize("minor", [3, 99])
def test_newer_minor_version_is_negotiated(server, minor):
    with opened(server) as connection:
        connection.send(startup(3 << 16 | minor, user=TENANT, database=SERVICE))
        answer = connection.receive()
        assert answer.type == "v"
        newest, count = struct.unpack_from("!ii", answer.body)
        assert newest == wire.PROTOCOL_3_2
        assert count == 0
        connection.authenticate(server.tenant.password)


def test_unknown_protocol_options_are_named(server):
    with opened(server) as connection:
        connection.send(startup(user=TENANT, database=SERVICE, **{"_pq_.shiny": "1",
                                                                  "_pq_.other": "x"}))
        answer = connection.receive()
        assert answer.type == "v"
        assert struct.unpack_from("!ii", answer.body)[1] == 2
        assert answer.body[8:].split(NUL)[:2] == [b"_pq_.shiny", b"_pq_.other"]
        connection.authenticate(server.tenant.password)


BAD_STARTUPS = {
    "no parameters": untyped(struct.pack("!i", wire.PROTOCOL_3_0) + NUL),
    "no terminator": untyped(struct.pack("!i", wire.PROTOCOL_3_0) + text("user") + text(TENANT)),
    "nothing behind the version": untyped(struct.pack("!i", wire.PROTOCOL_3_0)),
    "name without value": untyped(struct.pack("!i", wire.PROTOCOL_3_0) + text("user") + NUL),
    "bytes behind the terminator": untyped(struct.pack("!i", wire.PROTOCOL_3_0) + text("user")
                                           + text(TENANT) + NUL + b"more"),
    "no user": startup(database=SERVICE),
    "empty user": startup(user="", database=SERVICE),
    "empty database": startup(user=TENANT, database=""),
    "long user": startup(user="u" * 5000, database=SERVICE),
    "long database": startup(user=TENANT, database="d" * 5000),
    "control characters": startup(user="ac\nme\x1b[31m", database=SERVICE),
    "not UTF-8": startup(user=b"\xff\xfe", database=SERVICE),
    "replication": startup(user=TENANT, database=SERVICE, replication="true"),
    "logical replication": startup(user=TENANT, database=SERVICE, replication="database"),
    "unknown client_encoding": startup(user=TENANT, database=SERVICE, client_encoding="KLINGON"),
    "bad options": startup(user=TENANT, database=SERVICE, options="-c"),
    "options with a file": startup(user=TENANT, database=SERVICE, options="-D /etc"),
    "option role": startup(user=TENANT, database=SERVICE, options="-c role=postgres"),
    "role": startup(user=TENANT, database=SERVICE, role="postgres"),
    "session_authorization": startup(user=TENANT, database=SERVICE,
                                     session_authorization="postgres"),
    "unknown setting": startup(user=TENANT, database=SERVICE, no_such_setting="1"),
    "superuser's setting": startup(user=TENANT, database=SERVICE, log_statement="all"),
}


@pytest.mark.parametrize("name", BAD_STARTUPS)
def test_bad_startup_packets(server, name):
    """Each is refused, at the latest when the right password was given."""
    with opened(server) as connection:
        connection.send(BAD_STARTUPS[name])
        with pytest.raises((wire.Refused, wire.Closed, ConnectionError)):
            connection.authenticate(server.tenant.password)


def test_the_same_parameter_twice(server):
    """Whichever counts, it is one of the two, and the credential must fit it."""
    packet = untyped(struct.pack("!i", wire.PROTOCOL_3_0) + text("user") + text("nobody")
                     + text("user") + text(TENANT) + text("database") + text(SERVICE) + NUL)
    with opened(server) as connection:
        connection.send(packet)
        with contextlib.suppress(wire.Refused, wire.Closed):
            connection.authenticate(server.tenant.password)
            row = connection.ask(wire.query("SELECT count(*) FROM thing"))
            assert row[-1].body == b"I"


def test_too_many_parameters(server):
    many = {f"a{number}.b": "x" for number in range(2000)}
    with opened(server) as connection:
        connection.send(startup(user=TENANT, database=SERVICE, **many))
        with pytest.raises((wire.Refused, wire.Closed, ConnectionError)):
            connection.authenticate(server.tenant.password)


@pytest.mark.parametrize("packet", [
    untyped(struct.pack("!i", wire.CANCEL_CODE)),
    untyped(struct.pack("!ii", wire.CANCEL_CODE, 1)),
    wire.cancel(1, b"abcd"),
    wire.cancel(0xFFFFFFFF, b"\xff" * 4),
    wire.cancel(1, b"x" * 256),
    wire.cancel(1, b"x" * 5000),
], ids=["no key", "half a key", "unknown", "all ones", "long key", "too long"])
def test_cancel_requests_end_in_silence(server, packet):
    with opened(server) as connection:
        connection.send(packet)
        assert connection.rest() == []


@pytest.mark.parametrize("data", [b"", b"\0", b"\0" * 5, b"\0" * 4096, b"GET / HTTP/1.1\r\n\r\n",
                                  b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
                                  bytes(range(256)) * 64])
def test_other_protocols(server, data):
    with opened(server) as connection:
        with contextlib.suppress(ConnectionError):
            connection.send(data)
            connection.socket.shutdown(socket.SHUT_WR)
        is_refused(connection)


def test_silence_is_ended_by_the_login_timeout(server):
    with opened(server) as quiet, opened(server) as half:
        half.send(GOOD_STARTUP[:10])
        is_refused(quiet)
        is_refused(half)


def test_idle_logins_use_no_cpu(server):
    waiting = [opened(server) for _ in range(20)]
    before = cpu_seconds(server.process.pid)
    for connection in waiting:
        is_refused(connection)  # ended by the login timeout
        connection.close()
    assert cpu_seconds(server.process.pid) - before < 2.0
