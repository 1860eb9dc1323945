"""Clients that hang up while they wait for a server connection (PROTOCOL 20)."""
import socket
import struct

import pytest

from support import certificates, wire
from support.process import temporary_folder, wait_until
from support.reeve import running_serve
from support.wire import bind, execute, flush, parse, query, sync

AT_ONCE = 10  # seconds at most; the queue timeout is 30
RESET = struct.pack("ii", 1, 0)


@pytest.fixture(scope="module")
def tight(world, plain):
    """Tenants of one cluster that has one server connection."""
    return world.tight(plain)


@pytest.fixture
def stays(world, tight):
    """Logged in before the server connection is held: the first login of a tenant needs one, too."""
    with wire.connect_to_tenant(world.reeve, tight["row", "a"]) as connection:
        yield connection


@pytest.fixture
def goes(world, tight):
    with wire.connect_to_tenant(world.reeve, tight["database", "b"]) as connection:
        yield connection


@pytest.fixture
def holder(world, tight, stays, goes):
    """A client with a transaction, and so the only server connection."""
    with wire.connect_to_tenant(world.reeve, tight["schema", "a"]) as connection:
        connection.ask(query("BEGIN"))
        yield connection
        assert connection.ask(query("SELECT 1"))[-1].body == b"T", "it was kept all the time"
        assert connection.ask(query("COMMIT"))[-1].body == b"I"


def waiting(reeve):
    return reeve.cli("status", json=True).json["server"]["clients_waiting"]


def wait_for(reeve, count):
    wait_until(lambda: waiting(reeve) == count, f"{count} clients wait", AT_ONCE)


def close(client):
    client.close()


def reset(client):
    client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    client.close()


def terminate(client):
    client.send(wire.terminate())
    client.close()


def say_more(client):
    """Bytes that nobody has read stand in front of the end."""
    client.send(query("SELECT 2"), parse("SELECT 3"), bind(), execute(), sync())
    client.close()


def cut_off(client):
    client.send(query("SELECT 2")[:-3])
    client.close()


def shut(client):
    """It would still read: PostgreSQL's own check of clients (client_connection_check_interval)
    makes no difference either."""
    client.socket.shutdown(socket.SHUT_WR)


@pytest.mark.parametrize("way", [close, reset, terminate, say_more, cut_off, shut])
def test_who_hangs_up_waits_no_more(world, tight, stays, goes, holder, way):
    stays.send(query("SELECT 5"))
    goes.send(query("INSERT INTO thing (name) VALUES ('by who hung up')"))
    wait_for(world.reeve, 2)
    way(goes)
    wait_for(world.reeve, 1)
    holder.ask(query("COMMIT"))
    assert [message.type for message in stays.until_ready()] == list("TDCZ")
    with wire.connect_to_tenant(world.reeve, tight["database", "b"]) as other:
        found = other.ask(query("SELECT count(*) FROM thing WHERE name = 'by who hung up'"))
        assert found[1].columns == [b"0"]
    holder.ask(query("BEGIN"))


def test_a_pipeline_is_given_up_whole(world, goes, holder):
    goes.send(parse("SELECT 1"), bind(), execute(), flush())
    wait_for(world.reeve, 1)
    goes.close()
    wait_for(world.reeve, 0)


def test_who_hangs_up_in_the_packet_of_its_message(world, tight, holder):
    """The end may be there before it begins to wait: then no event tells of it any more."""
    for _ in range(10):
        with wire.connect_to_tenant(world.reeve, tight["schema", "a"]) as again:
            again.send(query("SELECT 1"), wire.terminate())
            again.socket.shutdown(socket.SHUT_WR)
            assert again.rest() == []
    wait_for(world.reeve, 0)


def test_who_hangs_up_in_its_login(world, tight, holder):
    """A login with settings that nobody has had waits for a server connection to try them on."""
    tenant = tight["row", "b"]
    with wire.Wire("127.0.0.1", world.reeve.port) as late:
        late.send(wire.startup(user=tenant.slug, database=tenant.service,
                               application_name="never before"))
        assert late.receive().type == "R"
        late.send(wire.frame("p", wire.text(tenant.secret)))
        wait_for(world.reeve, 1)
        late.close()
        wait_for(world.reeve, 0)


@pytest.mark.parametrize("way", [close, reset, terminate])
def test_who_hangs_up_over_tls(world, tight, way):
    """On a proxy of its own, which has a budget of its own as well."""
    tenant = tight["schema", "b"]
    with temporary_folder("reeve-hang-up-") as folder:
        certificate, key = certificates.write_certificate(folder)
        with running_serve(world.reeve, tls_cert=certificate, tls_key=key) as proxy:
            with over_tls(proxy, tight["row", "a"]) as first, over_tls(proxy, tenant) as goes:
                first.ask(query("BEGIN"))
                goes.send(query("SELECT 1"))
                wait_for(proxy, 1)
                way(goes)
                wait_for(proxy, 0)
                assert first.ask(query("COMMIT"))[-1].body == b"I"


def over_tls(proxy, tenant):
    connection = wire.Wire("127.0.0.1", proxy.port)
    connection.send(wire.ssl_request())
    assert connection.receive_byte() == b"S"
    connection.start_tls()
    connection.login(tenant.slug, tenant.service, tenant.secret)
    return connection
