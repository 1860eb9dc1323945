"""TLS towards clients and servers, Unix sockets, and where clear-text credentials are allowed."""
import socket
import ssl

import psycopg
import pytest

from support import certificates, postgres, wire
from support.notice import must_notice, without
from support.process import free_port, temporary_folder, wait_until
from support.reeve import running_serve
from support.world import error_of


@pytest.fixture(scope="module")
def pki():
    with temporary_folder("reeve-tls-") as folder:
        yield folder, *certificates.write_certificate(folder)


@pytest.fixture(scope="module")
def server(world, pki):
    """A proxy with TLS and a Unix socket."""
    folder, certificate, key = pki
    port = free_port()
    with running_serve(world.reeve, tls_cert=certificate, tls_key=key,
                       listen=[f"127.0.0.1:{port}", f"{folder}:{port}"]) as proxy:
        yield proxy


def outside_address():
    """An address of this machine that is not loopback."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # sends nothing
            address = probe.getsockname()[0]
        except OSError:
            address = "127.0.0.1"
    if address.startswith("127."):
        pytest.skip("this machine has no address but loopback")
    return address


@pytest.mark.parametrize("sslmode", ["require", "verify-ca", "verify-full"])
def test_tls(world, server, pki, mode, sslmode):
    with server.connect(world.tenant(mode), host="localhost", hostaddr="127.0.0.1",
                        sslmode=sslmode, sslrootcert=str(pki[1])) as connection:
        assert connection.pgconn.ssl_in_use
        body = "t" * 3_000_000
        assert connection.execute("SELECT %s::text", [body]).fetchone() == (body,)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_tls_versions(world, server, version):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.minimum_version = context.maximum_version = version
    tenant = world.tenant("schema")
    with wire.Wire("127.0.0.1", server.port) as connection:
        connection.send(wire.ssl_request())
        assert connection.receive_byte() == b"S"
        connection.start_tls(context)
        connection.login(tenant.slug, tenant.service, tenant.token)
        assert connection.ask(wire.query("SELECT 1"))[-1].body == b"I"


def direct_context(*protocols):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if protocols:
        context.set_alpn_protocols(protocols)
    return context


def test_direct_tls(world, server):
    """What libpq 17 does with sslnegotiation=direct: the handshake comes first."""
    tenant = world.tenant("schema")
    with wire.Wire("127.0.0.1", server.port) as connection:
        connection.start_tls(direct_context("postgresql"))
        assert connection.socket.selected_alpn_protocol() == "postgresql"
        connection.login(tenant.slug, tenant.service, tenant.token)
        assert connection.ask(wire.query("SELECT 1"))[-1].body == b"I"


@pytest.mark.parametrize("protocols", [(), ("http/1.1",)], ids=["no protocol", "another"])
def test_direct_tls_without_its_protocol_is_refused(world, server, protocols):
    tenant = world.tenant("schema")
    with wire.Wire("127.0.0.1", server.port, seconds=20) as connection:
        with pytest.raises((wire.Refused, wire.Closed, ssl.SSLError, ConnectionError)):
            connection.start_tls(direct_context(*protocols))
            connection.login(tenant.slug, tenant.service, tenant.token)


def test_direct_tls_where_there_is_none(world):
    with wire.Wire("127.0.0.1", world.reeve.port, seconds=20) as connection:
        with pytest.raises((ssl.SSLError, ConnectionError, OSError)):
            connection.start_tls(direct_context("postgresql"))


def test_direct_tls_within_tls_is_refused(server):
    with wire.Wire("127.0.0.1", server.port, seconds=20) as connection:
        connection.start_tls(direct_context("postgresql"))
        connection.send(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
        assert [message.type for message in connection.rest()] in ([], ["E"])


def test_old_tls_is_refused(server):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = ssl.TLSVersion.TLSv1
    context.maximum_version = ssl.TLSVersion.TLSv1_1
    with wire.Wire("127.0.0.1", server.port) as connection:
        connection.send(wire.ssl_request())
        assert connection.receive_byte() == b"S"
        with pytest.raises((ssl.SSLError, ConnectionError)):
            connection.start_tls(context)


def test_tls_that_is_not_offered(world):
    error = error_of(world.reeve.connect, world.tenant("row"), sslmode="require")
    assert "does not support SSL" in str(error)


def smuggle(server, tenant):
    """CVE-2021-23214: what a man in the middle puts in front of the handshake is no message."""
    smuggled = wire.startup(user=tenant.slug, database=tenant.service)
    with wire.Wire("127.0.0.1", server.port, seconds=20) as connection:
        connection.send(wire.ssl_request() + smuggled)
        try:
            answer = connection.receive_byte()
            assert answer in (b"S", b"E")
            connection.start_tls()
        except (wire.Closed, ssl.SSLError, ConnectionError):
            return
        # Had the smuggled startup been taken, this would be a second one.
        try:
            connection.login(tenant.slug, tenant.service, tenant.token)
        except (wire.Closed, wire.Refused, ConnectionError) as error:
            raise AssertionError("what was smuggled in was taken") from error


def test_bytes_behind_the_ssl_request_are_not_taken(world, server):
    smuggle(server, world.tenant("schema"))


def test_that_they_are_taken_is_noticed(world, pki):
    with without("proxy.smuggled"), running_serve(world.reeve, tls_cert=pki[1],
                                                  tls_key=pki[2]) as proxy:
        must_notice(smuggle, proxy, world.tenant("schema"))


def test_ssl_request_within_tls(server):
    with wire.Wire("127.0.0.1", server.port, seconds=20) as connection:
        connection.send(wire.ssl_request())
        assert connection.receive_byte() == b"S"
        connection.start_tls()
        connection.send(wire.ssl_request())
        messages = connection.rest()
        assert [message.type for message in messages] in ([], ["E"])


def test_a_handshake_cut_short(server, world):
    for data in (b"", b"\x16", b"\x16\x03\x01\x00\xff", b"\x00" * 100, b"GET / HTTP/1.0\r\n\r\n"):
        with wire.Wire("127.0.0.1", server.port, seconds=20) as connection:
            connection.send(wire.ssl_request())
            assert connection.receive_byte() == b"S"
            connection.send(data)
            connection.socket.shutdown(socket.SHUT_WR)
            while connection.socket.recv(1000):
                pass
    with server.connect(world.tenant("row"), sslmode="require") as connection:
        connection.execute("SELECT 1")


def test_unix_socket(world, server, pki, mode):
    with server.connect(world.tenant(mode), host=str(pki[0])) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_clear_text_from_outside_is_refused(world, pki):
    """A token over plain TCP from another machine: refused before it can be sent; with TLS fine."""
    address, port = outside_address(), free_port()
    tenant = world.tenant("schema")
    with running_serve(world.reeve, tls_cert=pki[1], tls_key=pki[2], auth="password",
                       listen=[f"127.0.0.1:{port}", f"{address}:{port}"]) as proxy:
        with wire.Wire(address, port) as connection:
            connection.send(wire.startup(user=tenant.slug, database=tenant.service))
            messages = connection.rest()
        assert [message.type for message in messages] == ["E"], "no password was asked for"
        assert "TLS" in messages[0].fields["M"] + messages[0].fields.get("H", "")
        with proxy.connect(tenant, host=address, port=port, sslmode="require") as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
        with proxy.connect(tenant, sslmode="disable") as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)


def test_scram_from_outside_needs_no_tls(world, pki):
    address, port = outside_address(), free_port()
    tenant = world.tenant("schema")
    with running_serve(world.reeve, auth="scram",
                       listen=[f"127.0.0.1:{port}", f"{address}:{port}"]) as proxy:
        with proxy.connect(tenant, host=address, port=port,
                           password=tenant.password) as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)


def test_tls_required(world, pki):
    address, port = outside_address(), free_port()
    tenant = world.tenant("schema")
    with running_serve(world.reeve, tls_cert=pki[1], tls_key=pki[2], tls_required="on",
                       auth="scram",
                       listen=[f"127.0.0.1:{port}", f"{address}:{port}"]) as proxy:
        error = error_of(proxy.connect, tenant, host=address, port=port, sslmode="disable",
                         password=tenant.password)
        assert "TLS" in str(error)
        for options in ({"host": address, "sslmode": "require"}, {"sslmode": "disable"}):
            with proxy.connect(tenant, port=port, password=tenant.password, **options) as one:
                assert one.execute("SELECT 1").fetchone() == (1,)


def test_reload_brings_a_new_certificate(world):
    with temporary_folder("reeve-tls-") as folder:
        first = certificates.write_certificate(folder, "localhost")
        second = certificates.write_certificate(folder, "second")
        with running_serve(world.reeve, tls_cert=first[0], tls_key=first[1]) as proxy:
            def common_name():
                pem = ssl.PEM_cert_to_DER_cert
                with wire.Wire("127.0.0.1", proxy.port) as connection:
                    connection.send(wire.ssl_request())
                    assert connection.receive_byte() == b"S"
                    connection.start_tls()
                    return connection.socket.getpeercert(True) == pem(second[0].read_text())

            with proxy.connect(world.tenant("row"), sslmode="require") as kept:
                assert not common_name()
                proxy.write(tls_cert=second[0], tls_key=second[1])
                proxy.process.send_signal(1)
                wait_until(common_name, "the new certificate is shown", 20)
                assert kept.execute("SELECT 1").fetchone() == (1,)


@pytest.fixture(scope="module")
def tls_cluster(world, pki):
    """A cluster that takes TLS alone."""
    folder, certificate, key = pki
    with postgres.running_postgres(prepare=lambda made: made.require_tls(certificate, key)) as made:
        world.reeve.cli("cluster", "add", "secure", "--conninfo",
                        f"host=localhost port={made.port} sslmode=verify-full"
                        f" sslrootcert={certificate}", "--admin-user", "postgres",
                        "--password-file", "-", input=made.password + "\n")
        yield made


def test_tls_towards_the_server(world, tls_cluster, mode):
    tenant = world.new_tenant(mode, cluster="secure")
    with world.reeve.connect(tenant) as connection:
        assert connection.execute("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
                                  ).fetchone() == (True,)
        body = "s" * 3_000_000
        for _ in range(3):
            assert connection.execute("SELECT %s::text", [body]).fetchone() == (body,)
        with pytest.raises(psycopg.errors.DivisionByZero):
            connection.execute("SELECT 1/0")
