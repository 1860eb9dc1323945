"""SCRAM-SHA-256-PLUS (PROTOCOL 15): a login over TLS is good for this server's certificate alone."""
import hashlib
import ssl
import struct

import psycopg
import pytest
from cryptography.hazmat.primitives import hashes

from support import certificates, wire
from support.notice import must_notice, without
from support.process import temporary_folder, wait_until
from support.relay import running_relay
from support.reeve import running_serve
from support.wire import NUL, Scram, frame, text

PLUS = "SCRAM-SHA-256-PLUS"
PLAIN = "SCRAM-SHA-256"
MISMATCH = "channel binding check failed"
DOWNGRADE = "channel binding negotiation error"

# What signs the certificate, and the hash that binds to it: SHA-256 where that is broken.
KINDS = {
    "ecdsa sha256": (certificates.ec_key, hashes.SHA256(), hashlib.sha256),
    "ecdsa sha1": (certificates.ec_key, hashes.SHA1(), hashlib.sha256),
    "rsa sha384": (certificates.rsa_key, hashes.SHA384(), hashlib.sha384),
    "rsa sha512": (certificates.rsa_key, hashes.SHA512(), hashlib.sha512),
}


@pytest.fixture(scope="module")
def folder():
    with temporary_folder("reeve-binding-") as made:
        yield made


@pytest.fixture(scope="module")
def pki(folder):
    return certificates.write_certificate(folder)


@pytest.fixture(scope="module")
def server(world, pki):
    with running_serve(world.reeve, auth="scram", tls_cert=pki[0], tls_key=pki[1]) as proxy:
        yield proxy


@pytest.fixture
def tenant(world):
    return world.tenant("row")


def connect(proxy, tenant, **options):
    return proxy.connect(tenant, **{"password": tenant.password, "sslmode": "require", **options})


def refusal(proxy, tenant, **options):
    with pytest.raises(psycopg.OperationalError) as refused:
        connect(proxy, tenant, **options).close()
    return str(refused.value)


# ---- libpq ----

@pytest.mark.parametrize("kind", KINDS)
def test_libpq_binds_to_every_kind_of_certificate(world, folder, tenant, kind):
    make_key, digest, _ = KINDS[kind]
    certificate, key = certificates.write_certificate(folder, kind.replace(" ", "-"), make_key(),
                                                      digest)
    with running_serve(world.reeve, auth="scram", tls_cert=certificate, tls_key=key) as proxy:
        with connect(proxy, tenant, channel_binding="require") as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
        check_offer(proxy, tenant, [PLUS, PLAIN])
        der = ssl.PEM_cert_to_DER_cert(certificate.read_text())
        log_in(proxy, tenant, PLUS, binding=KINDS[kind][2](der).digest())


@pytest.mark.parametrize("choice", ["disable", "prefer", "require"])
def test_libpqs_choices(server, tenant, choice):
    with connect(server, tenant, channel_binding=choice) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
    assert "authentication failed" in refusal(server, tenant, channel_binding=choice,
                                              password="wrong")


def test_a_stranger_looks_like_a_tenant(server, tenant):
    """An unknown tenant binds as well, and is refused in the same words."""
    errors = {refusal(server, tenant, user=user, password="wrong", channel_binding="require")
              .replace(user, "X") for user in (tenant.slug, "no-such-tenant")}
    assert len(errors) == 1 and "authentication failed" in errors.pop()


def test_without_tls_there_is_nothing_to_bind_to(server, tenant):
    check_offer(server, tenant, [PLAIN], tls=False)
    assert "channel binding" in refusal(server, tenant, channel_binding="require",
                                        sslmode="disable")
    with connect(server, tenant, sslmode="disable") as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_a_signature_without_a_hash(world, folder, tenant):
    """Ed25519: RFC 5929 has no binding for it. It is not offered, so clients that could (`y`) are
    right, and those that must bind refuse."""
    certificate, key = certificates.write_certificate(folder, "ed25519",
                                                      certificates.ed25519_key(), None)
    with running_serve(world.reeve, auth="scram", tls_cert=certificate, tls_key=key) as proxy:
        check_offer(proxy, tenant, [PLAIN])
        with connect(proxy, tenant, channel_binding="prefer") as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
        log_in(proxy, tenant, PLAIN, header="y,,")
        assert "channel binding" in refusal(proxy, tenant, channel_binding="require")


# ---- somebody in the middle ----

def is_refused_through(relay, tenant, choice, words):
    """By Reeve, not by libpq. What logs in there lets the one in the middle in."""
    try:
        connect(relay, tenant, channel_binding=choice).close()
    except psycopg.OperationalError as error:
        assert words in str(error)
    else:
        raise AssertionError("logged in through somebody in the middle")


class Through:
    """Connects as the proxy does, but to the relay."""

    def __init__(self, proxy, port):
        self.proxy = proxy
        self.port = port

    def connect(self, tenant, **options):
        return self.proxy.connect(tenant, port=self.port, **options)


def bound_elsewhere(proxy, tenant, folder):
    with running_relay(proxy.port, *certificates.write_certificate(folder, "middle")) as relay:
        is_refused_through(Through(proxy, relay.port), tenant, "require", MISMATCH)


def downgraded(proxy, tenant, folder):
    """The better mechanism is taken out of the list, as if the server were an old one."""
    def strip(data):
        offer = text(PLUS) + text(PLAIN) + NUL
        return frame("R", struct.pack("!i", 10) + text(PLAIN) + NUL) if offer in data else data

    with running_relay(proxy.port, *certificates.write_certificate(folder, "middle"),
                       to_client=strip) as relay:
        is_refused_through(Through(proxy, relay.port), tenant, "prefer", DOWNGRADE)


def test_who_ends_tls_in_the_middle_cannot_log_in(server, tenant, folder):
    bound_elsewhere(server, tenant, folder)


def test_who_takes_the_mechanism_away_cannot_log_in(server, tenant, folder):
    downgraded(server, tenant, folder)


def test_unbound_logins_do_pass_the_middle(server, tenant, folder):
    """Without this the two above would prove nothing."""
    with running_relay(server.port, *certificates.write_certificate(folder, "middle")) as relay:
        with connect(Through(server, relay.port), tenant, channel_binding="disable") as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)


@pytest.mark.parametrize("defence, attack", [("auth.binding", bound_elsewhere),
                                             ("auth.downgrade", downgraded)])
def test_logins_through_the_middle_are_noticed(world, pki, tenant, folder, defence, attack):
    with without(defence), running_serve(world.reeve, auth="scram", tls_cert=pki[0],
                                         tls_key=pki[1]) as proxy:
        must_notice(attack, proxy, tenant, folder)


# ---- raw bytes ----

def started(proxy, tenant, tls=True):
    connection = wire.Wire("127.0.0.1", proxy.port)
    if tls:
        connection.send(wire.ssl_request())
        assert connection.receive_byte() == b"S"
        connection.start_tls()
    connection.send(wire.startup(user=tenant.slug, database=tenant.service))
    return connection


def check_offer(proxy, tenant, mechanisms, tls=True):
    with started(proxy, tenant, tls) as connection:
        body = connection.receive().body
        assert struct.unpack_from("!i", body)[0] == 10
        assert body[4:] == b"".join(map(text, mechanisms)) + NUL


def log_in(proxy, tenant, mechanism, tls=True, password=None, **options):
    with started(proxy, tenant, tls) as connection:
        scram = Scram(password or tenant.password, **options)
        connection.authenticate(None, scram, mechanism)
        assert connection.ask(wire.query("SELECT 1"))[-1].body == b"I"


def digest_of(pki, kind=hashlib.sha256):
    return kind(ssl.PEM_cert_to_DER_cert(pki[0].read_text())).digest()


def test_raw_logins(server, tenant, pki):
    check_offer(server, tenant, [PLUS, PLAIN])
    log_in(server, tenant, PLUS, binding=digest_of(pki))
    log_in(server, tenant, PLAIN)
    log_in(server, tenant, PLAIN, tls=False)
    log_in(server, tenant, PLAIN, tls=False, header="y,,")


REFUSED = {
    "another hash of the certificate": (PLUS, {"binding": hashlib.sha384}, "28000", MISMATCH),
    "a bit changed": (PLUS, {"binding": lambda der: _flipped(der, 0)}, "28000", MISMATCH),
    "the last bit changed": (PLUS, {"binding": lambda der: _flipped(der, 255)}, "28000", MISMATCH),
    "cut off": (PLUS, {"binding": lambda der: hashlib.sha256(der).digest()[:-1]}, "28000", MISMATCH),
    "more behind it": (PLUS, {"binding": lambda der: hashlib.sha256(der).digest() + NUL}, "28000",
                       MISMATCH),
    "nothing bound": (PLUS, {"binding": lambda der: b""}, "28000", MISMATCH),
    "plus with n": (PLUS, {"header": "n,,"}, "08P01", "malformed"),
    "plus with y": (PLUS, {"header": "y,,"}, "08P01", "malformed"),
    "plus with another type": (PLUS, {"header": "p=tls-unique,,", "binding": hashlib.sha256},
                               "08P01", "malformed"),
    "plain with y": (PLAIN, {"header": "y,,"}, "28000", DOWNGRADE),
    "plain with p": (PLAIN, {"binding": hashlib.sha256}, "08P01", "malformed"),
    "another mechanism": ("SCRAM-SHA-256-PLUS2", {}, "08P01", "invalid SASL response"),
}


def _flipped(der, bit):
    changed = bytearray(hashlib.sha256(der).digest())
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.parametrize("user", ["known", "unknown"])
def test_refused(server, tenant, pki, name, user):
    """With the right password, and with no tenant at all: in the same words."""
    mechanism, options, sqlstate, words = REFUSED[name]
    options = dict(options)
    if "binding" in options:
        made = options["binding"](ssl.PEM_cert_to_DER_cert(pki[0].read_text()))
        options["binding"] = made if isinstance(made, bytes) else made.digest()
    with wire.Wire("127.0.0.1", server.port) as connection:
        connection.send(wire.ssl_request())
        assert connection.receive_byte() == b"S"
        connection.start_tls()
        slug = tenant.slug if user == "known" else "no-such-tenant"
        connection.send(wire.startup(user=slug, database=tenant.service))
        with pytest.raises(wire.Refused) as refused:
            connection.authenticate(None, Scram(tenant.password, **options), mechanism)
    assert refused.value.sqlstate == sqlstate
    assert words in refused.value.fields["M"]


def test_plus_without_tls_is_refused(server, tenant, pki):
    with pytest.raises(wire.Refused) as refused:
        log_in(server, tenant, PLUS, tls=False, binding=digest_of(pki))
    assert refused.value.sqlstate == "08P01"


def test_wrong_password_with_the_right_binding(server, tenant, pki):
    with pytest.raises(wire.Refused) as refused:
        log_in(server, tenant, PLUS, password="wrong", binding=digest_of(pki))
    assert refused.value.sqlstate == "28P01"


def test_a_reloaded_certificate_is_the_one_bound_to(world, folder, tenant):
    """A session begun before the reload is bound to the certificate that it was shown."""
    first = certificates.write_certificate(folder, "before")
    second = certificates.write_certificate(folder, "after")
    with running_serve(world.reeve, auth="scram", tls_cert=first[0], tls_key=first[1]) as proxy:
        with started(proxy, tenant) as early:
            proxy.write(auth="scram", tls_cert=second[0], tls_key=second[1])
            proxy.process.send_signal(1)
            wait_for_certificate(proxy, second)
            early.authenticate(None, Scram(tenant.password, binding=digest_of(first)), PLUS)
        log_in(proxy, tenant, PLUS, binding=digest_of(second))
        with pytest.raises(wire.Refused):
            log_in(proxy, tenant, PLUS, binding=digest_of(first))


def wait_for_certificate(proxy, pki):
    def shown():
        with wire.Wire("127.0.0.1", proxy.port) as connection:
            connection.send(wire.ssl_request())
            assert connection.receive_byte() == b"S"
            connection.start_tls()
            return hashlib.sha256(connection.socket.getpeercert(True)).digest() == digest_of(pki)

    wait_until(shown, "the new certificate is shown", 20)
