"""OAUTHBEARER (RFC 7628), as clients of PostgreSQL 18 log in with a token: what is offered to whom,
every way in which it fails, and that a token is worth what it is as a password."""
import json
import struct
import time

import psycopg
import pytest

from support import certificates, tokens, wire
from support.notice import must_notice, without
from support.process import free_port, temporary_folder, wait_until
from support.reeve import Tenant, running_serve
from support.tokens import Issuer
from support.wire import NUL, frame, text
from support.world import DATA, unique

from test_tls import outside_address

BEARER, PLUS, SCRAM = "OAUTHBEARER", "SCRAM-SHA-256-PLUS", "SCRAM-SHA-256"
ISSUER = "https://id.example/realm"
SCOPE = "openid reeve"
DISCOVERY = {"status": "invalid_token", "scope": SCOPE,
             "openid-configuration": f"{ISSUER}/.well-known/openid-configuration"}
CLEAR_TEXT, SASL, CONTINUE = 3, 10, 11
ASKED_FOR = {"options": "-c reeve.auth=oauth"}
SEPARATOR = b"\1"
LOGIN_SECONDS = 3


@pytest.fixture(scope="module")
def folder():
    with temporary_folder("reeve-oauth-") as made:
        yield made


@pytest.fixture(scope="module")
def pki(folder):
    return certificates.write_certificate(folder)


@pytest.fixture(scope="module")
def issuer(world, folder):
    made = Issuer("ES256", f"https://{unique('oauth')}.example", unique("k"))
    made.register(world.reeve, folder)
    return made


@pytest.fixture(scope="module")
def settings(pki):
    return {"tls_cert": pki[0], "tls_key": pki[1], "oauth_issuer": ISSUER, "oauth_scope": SCOPE}


@pytest.fixture(scope="module")
def alone(world, settings, folder):
    """Offers nothing else, everywhere on this machine and with a socket."""
    port = free_port()
    with running_serve(world.reeve, auth="oauth", listen=[f"*:{port}", f"{folder}:{port}"],
                       login_timeout=f"{LOGIN_SECONDS}s", **settings) as proxy:
        yield proxy


@pytest.fixture(scope="module")
def beside(world, settings):
    """Offers it behind SCRAM."""
    port = free_port()
    with running_serve(world.reeve, auth="scram", listen=[f"*:{port}"], **settings) as proxy:
        yield proxy


@pytest.fixture(scope="module")
def auto(world, settings):
    """Asks for clear text, but for those who ask for this."""
    port = free_port()
    with running_serve(world.reeve, listen=[f"*:{port}"], **settings) as proxy:
        yield proxy


@pytest.fixture
def tenant(world):
    return world.tenant("row")


# ---- messages ----

def started(proxy, tenant, tls=True, host="127.0.0.1", **parameters):
    connection = wire.Wire(host, proxy.port)
    if tls:
        connection.send(wire.ssl_request())
        assert connection.receive_byte() == b"S"
        connection.start_tls()
    connection.send(wire.startup(user=tenant.slug, database=tenant.service, **parameters))
    return connection


def request(connection):
    """Of the next message: kind and data of an authentication request."""
    message = connection.receive()
    assert message.type == "R", message
    return struct.unpack_from("!i", message.body)[0], message.body[4:]


def offer(connection):
    kind, data = request(connection)
    if kind == CLEAR_TEXT:
        return None
    assert kind == SASL and data.endswith(NUL + NUL)
    return data[:-2].decode().split("\0")


def first(token=None, auth=None, header="n,,", more=b""):
    auth = auth if auth is not None else f"Bearer {token}"
    return header.encode() + SEPARATOR + more + f"auth={auth}".encode() + SEPARATOR * 2


def choose(message, mechanism=BEARER):
    length = -1 if message is None else len(message)
    return frame("p", text(mechanism) + struct.pack("!i", length) + (message or b""))


def offered(proxy, tenant, **options):
    with started(proxy, tenant, **options) as connection:
        return offer(connection)


def chosen(proxy, tenant, message, **options):
    """A connection that has sent the mechanism's first message."""
    connection = started(proxy, tenant, **options)
    assert BEARER in offer(connection)
    connection.send(choose(message))
    return connection


def welcome(connection):
    """AuthenticationOk, with no SASL message in front of it, to ReadyForQuery; and it works."""
    messages = connection.until_ready()
    assert [message.body for message in messages if message.type == "R"] == [struct.pack("!i", 0)]
    assert messages[0].type == "R"
    assert connection.ask(wire.query("SELECT 1"))[-1].body == b"I"


def log_in(proxy, tenant, token, **options):
    with chosen(proxy, tenant, first(token), **options) as connection:
        welcome(connection)


def challenge(connection):
    kind, data = request(connection)
    assert kind == CONTINUE
    return json.loads(data)


def turned_away(connection):
    """The error behind the challenge, and the end."""
    connection.send(frame("p", SEPARATOR))
    messages = connection.rest()
    assert [message.type for message in messages] == ["E"], messages
    return messages[0].fields


def refuse(proxy, tenant, message, **options):
    with chosen(proxy, tenant, message, **options) as connection:
        assert challenge(connection) == DISCOVERY
        return turned_away(connection)


def refuse_at_once(proxy, tenant, *messages):
    """A login that the protocol forbids: one error, no challenge."""
    with started(proxy, tenant) as connection:
        assert BEARER in offer(connection)
        connection.send(*messages)
        found = connection.rest()
    assert [message.type for message in found] == ["E"], found
    return found[0].fields


# ---- what is offered ----

def test_alone(alone, tenant, folder):
    assert offered(alone, tenant) == [BEARER]
    assert offered(alone, tenant, tls=False) == [BEARER]  # loopback
    assert offered(alone, tenant, tls=False, host=folder) == [BEARER]


def test_behind_scram(beside, tenant):
    """libpq takes the first that it knows, and those before 18 do not know this one."""
    assert offered(beside, tenant) == [PLUS, SCRAM, BEARER]
    assert offered(beside, tenant, tls=False) == [SCRAM, BEARER]
    assert offered(beside, tenant, **ASKED_FOR) == [BEARER]


def test_where_clear_text_is_asked_for(auto, tenant):
    assert offered(auto, tenant) is None
    assert offered(auto, tenant, **ASKED_FOR) == [BEARER]
    for parameters in ({"reeve.auth": "oauth"}, {"options": "-creeve.auth=oauth"}):
        assert offered(auto, tenant, **parameters) == [BEARER]


def test_without_an_issuer(world, pki, tenant):
    with running_serve(world.reeve, auth="scram", tls_cert=pki[0], tls_key=pki[1]) as proxy:
        assert offered(proxy, tenant) == [PLUS, SCRAM]
        fields = refuse_startup(proxy, tenant, **ASKED_FOR)
        assert fields["C"] == "28000" and "OAuth is not offered here" in fields["M"]
        with started(proxy, tenant) as connection:
            connection.receive()
            connection.send(choose(first(tenant.token)))
            assert connection.rest()[0].sqlstate == "08P01"


def refuse_startup(proxy, tenant, **options):
    with started(proxy, tenant, **options) as connection:
        messages = connection.rest()
    assert [message.type for message in messages] == ["E"], messages
    return messages[0].fields


def over_the_network(proxy, tenant, **parameters):
    """A token that is sent where others may listen is refused before it is asked for."""
    fields = refuse_startup(proxy, tenant, tls=False, host=outside_address(), **parameters)
    assert fields["C"] == "28000" and "over TLS" in fields["M"]


def test_not_without_tls(alone, auto, beside, tenant):
    over_the_network(alone, tenant)
    over_the_network(auto, tenant, **ASKED_FOR)
    assert offered(beside, tenant, tls=False, host=outside_address()) == [SCRAM]
    log_in(alone, tenant, tenant.token, host=outside_address())


def test_what_else_may_be_asked_for(auto, tenant):
    fields = refuse_startup(auto, tenant, options="-c reeve.auth=none")
    assert fields["M"] == 'parameter "reeve.auth" must be "oauth"'


def test_unknown_tenants_are_offered_the_same(alone, beside, auto, tenant):
    nobody = Tenant("no-such-tenant", "row", "things", None, None)
    for proxy in (alone, beside, auto):
        assert offered(proxy, nobody) == offered(proxy, tenant)


def test_it_is_no_setting(auto, tenant):
    with chosen(auto, tenant, first(tenant.token), **ASKED_FOR) as connection:
        connection.until_ready()
        answer = connection.ask(wire.query("SELECT current_setting('reeve.auth', true) IS NULL"))
        assert [message.columns for message in answer if message.type == "D"] == [[b"t"]]


# ---- good tokens ----

def test_a_token_of_reeves(alone, world, mode):
    tenant = world.tenant(mode)
    log_in(alone, tenant, tenant.token)


@pytest.mark.parametrize("algorithm", ("RS256", "ES256", "EdDSA", "HS256"))
def test_a_token_of_an_issuer(alone, world, tenant, folder, algorithm):
    made = Issuer(algorithm, f"https://{unique('oauth')}.example", unique("k"))
    made.register(world.reeve, folder)
    log_in(alone, tenant, made.token(tenant.slug))


def test_beside_others(beside, auto, tenant):
    log_in(beside, tenant, tenant.token)
    log_in(beside, tenant, tenant.token, tls=False)
    log_in(auto, tenant, tenant.token, **ASKED_FOR)


def test_what_else_may_stand_in_the_message(alone, tenant):
    for message in (first(tenant.token, header="y,,"),
                    first(tenant.token, more=b"host=db.example\1port=5432\1new=\1"),
                    first(auth=f"bEARER   {tenant.token}")):
        with chosen(alone, tenant, message) as connection:
            welcome(connection)


def test_the_message_may_come_when_it_is_asked_for(alone, tenant):
    """SASLInitialResponse without an initial response."""
    with chosen(alone, tenant, None) as connection:
        assert request(connection) == (CONTINUE, b"")
        connection.send(frame("p", first(tenant.token)))
        welcome(connection)


def test_byte_by_byte(alone, tenant):
    with started(alone, tenant) as connection:
        offer(connection)
        for byte in choose(first(tenant.token)):
            connection.send(bytes([byte]))
        welcome(connection)


def test_a_tenant_made_a_moment_ago(alone, world):
    made = world.new_tenant("schema")
    log_in(alone, made, made.token)


def test_a_token_to_read_with(alone, world, tenant):
    token = world.reeve.token(tenant.slug, "--access", "ro")
    with chosen(alone, tenant, first(token)) as connection:
        connection.until_ready()
        answer = connection.ask(wire.query("INSERT INTO thing (name) VALUES ('x')"))
        assert answer[0].sqlstate == "25006", answer


# ---- tokens that are none, and not good ----

def expired(world, issuer, tenant):
    return first(issuer.token(tenant.slug, exp=int(time.time()) - 120))


def revoked(world, issuer, tenant):
    made = world.reeve.cli("token", "issue", tenant.slug, json=True).json
    world.reeve.cli("token", "revoke", tenant.slug, made["id"])
    return first(made["token"])


NOT_GOOD = {
    "another tenant's": lambda w, i, t: first(w.tenant("row", "b").token),
    "another tenant's, of an issuer": lambda w, i, t: first(i.token("row-b")),
    "expired": expired,
    "revoked": revoked,
    "wrong audience": lambda w, i, t: first(i.token(t.slug, aud="somebody-else")),
    "unsigned": lambda w, i, t: first(tokens.unsigned(t.slug, {"alg": "none"}, iss=i.issuer)),
    "looks like one": lambda w, i, t: first("aaaa.bbbb.cccc"),
    "the password": lambda w, i, t: first(t.password),
    "too long": lambda w, i, t: first("a" * 9000),
    "no token": lambda w, i, t: first(""),
    "another scheme": lambda w, i, t: first(auth="Basic YTpi"),
    "no scheme": lambda w, i, t: first(auth=t.token),
    "two words": lambda w, i, t: first("no token"),
}


@pytest.mark.parametrize("name", NOT_GOOD)
def test_not_good(alone, world, issuer, tenant, name):
    """The challenge says where tokens are had, and the error what it always says."""
    message = NOT_GOOD[name](world, issuer, tenant)
    before = world.reeve.status(alone)["server"]["logins_failed"]
    fields = refuse(alone, tenant, message)
    assert fields["S"] == "FATAL" and fields["C"] == "28000"
    assert fields["M"] == f'OAuth bearer authentication failed for user "{tenant.slug}"'
    wait_until(lambda: world.reeve.status(alone)["server"]["logins_failed"] == before + 1,
               "it is counted, once", 10)
    secret = message.rpartition(b" ")[2].rpartition(b"=")[2].rstrip(SEPARATOR).decode()
    assert len(secret) < 6 or secret not in alone.log_path.read_text()


def test_a_token_for_another_service(alone, world, tenant):
    other = world.in_service(tenant, "letters", DATA / "things")
    token = world.reeve.token(tenant.slug, "--service", "letters")
    log_in(alone, other, token)
    refuse(alone, tenant, first(token))


def test_strangers_are_told_the_same(alone, world):
    nobody = Tenant("no-such-tenant", "row", "things", None, None)
    suspended = world.new_tenant("row")
    world.reeve.cli("tenant", "suspend", suspended.slug)
    known = world.tenant("row")
    found = set()
    for tenant in (nobody, suspended, known, known.other_service("no_such_service")):
        for message in (first("aaaa.bbbb.cccc"), first("guess"), first(auth="")):
            fields = refuse(alone, tenant, message)
            found.add(tuple(sorted(fields.items())) if tenant is known else tuple(sorted(
                {**fields, "M": fields["M"].replace(tenant.slug, known.slug)}.items())))
    assert len(found) == 1, found


def test_who_proved_it_is_told_why(alone, world):
    suspended = world.new_tenant("row")
    log_in(alone, suspended, suspended.token)
    world.reeve.cli("tenant", "suspend", suspended.slug)
    world.reeve.wait_until_heard(alone)
    with chosen(alone, suspended, first(suspended.token)) as connection:
        error = connection.rest()
    assert [message.type for message in error] == ["E"]
    assert "is suspended" in error[0].fields["M"]


def test_discovery(alone, world, tenant):
    """An empty `auth` asks where tokens are had: that is no failed login."""
    before = world.reeve.status(alone)["server"]["logins_failed"]
    fields = refuse(alone, tenant, first(auth=""))
    assert fields["C"] == "28000"
    assert world.reeve.status(alone)["server"]["logins_failed"] == before


# ---- what the protocol forbids ----

MALFORMED = {
    "authorization identity": (first("x", header="n,a=row-a,"), "0A000"),
    "channel binding": (first("x", header="p=tls-server-end-point,,"), "08P01"),
    "empty": (b"", "08P01"),
    "the answer to nothing": (SEPARATOR, "08P01"),
    "header alone": (b"n,,", "08P01"),
    "truncated": (first("x")[:-1], "08P01"),
    "no auth": (b"n,,\1host=a\1\1", "08P01"),
    "auth twice": (b"n,,\1auth=Bearer a\1auth=Bearer b\1\1", "08P01"),
    "zero byte": (first("x\0y"), "08P01"),
    "more behind": (first("x") + b"x", "08P01"),
    "huge": (first("a" * 20_000), "08P01"),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed(alone, tenant, name):
    message, sqlstate = MALFORMED[name]
    assert refuse_at_once(alone, tenant, choose(message))["C"] == sqlstate


def test_lengths_that_are_not_so(alone, tenant):
    message = first(tenant.token)
    for length in (-2, -1, 0, len(message) - 1, len(message) + 1, 2**31 - 1):
        fields = refuse_at_once(alone, tenant, frame(
            "p", text(BEARER) + struct.pack("!i", length) + message))
        assert fields["C"] == "08P01"


def test_mechanisms_that_were_not_offered(alone, beside, tenant):
    for mechanism in (SCRAM, PLUS, "OAUTHBEARER-PLUS", "oauthbearer", ""):
        fields = refuse_at_once(alone, tenant, choose(wire.Scram("x").first(), mechanism))
        assert fields["C"] == "08P01"
    with started(beside, tenant) as connection:
        offer(connection)
        connection.send(choose(None, SCRAM))
        assert connection.rest()[0].sqlstate == "08P01"


@pytest.mark.parametrize("answer", [b"", b"\1\1", b"x", b"n,,\1auth=Bearer {token}\1\1"])
def test_other_answers_to_the_challenge(alone, tenant, answer):
    """Above all not a second token."""
    with chosen(alone, tenant, first("wrong")) as connection:
        assert challenge(connection) == DISCOVERY
        connection.send(frame("p", answer.replace(b"{token}", tenant.token.encode())))
        messages = connection.rest()
        assert [message.type for message in messages] == ["E"]
        assert messages[0].sqlstate == "08P01"


def test_answers_that_do_not_wait(alone, tenant):
    """All at once: the same, in turn."""
    with started(alone, tenant) as connection:
        connection.send(choose(first("wrong")), frame("p", SEPARATOR), wire.query("SELECT 1"))
        assert offer(connection) == [BEARER]
        assert challenge(connection) == DISCOVERY
        assert [message.sqlstate for message in connection.rest()] == ["28000"]


def test_who_never_answers(alone, tenant):
    """The time for a login is over when it is, however far that has come."""
    began = time.monotonic()
    with chosen(alone, tenant, first("wrong")) as connection:
        assert challenge(connection) == DISCOVERY
        connection.rest()
    assert time.monotonic() - began < LOGIN_SECONDS + 15


def test_who_hangs_up(alone, world, tenant):
    def clients():
        return world.reeve.status(alone)["server"]["clients"]

    for message in (first("wrong"), first(auth=""), first(tenant.token), None):
        chosen(alone, tenant, message).close()
    wait_until(lambda: clients() == 0, "they are gone", 20)


# ---- defences out ----

@pytest.fixture
def unguarded(world, settings):
    port = free_port()
    with without("proxy.bearer", "proxy.clear_text"), running_serve(
            world.reeve, auth="oauth", listen=[f"*:{port}"], **settings) as proxy:
        yield proxy


def test_without_defences_it_is_noticed(unguarded, tenant):
    must_notice(refuse, unguarded, tenant, first(tenant.password))
    must_notice(over_the_network, unguarded, tenant)


# ---- settings ----

def test_reload(world, settings, tenant):
    with running_serve(world.reeve, auth="scram", **{**settings, "oauth_issuer": None}) as proxy:
        assert offered(proxy, tenant) == [PLUS, SCRAM]
        proxy.write(oauth_issuer="https://other.example")
        proxy.process.send_signal(1)
        wait_until(lambda: BEARER in offered(proxy, tenant), "it is offered", 20)
        with chosen(proxy, tenant, first("wrong")) as connection:
            assert challenge(connection)["openid-configuration"].startswith("https://other.example/")
        proxy.write(oauth_issuer=None)
        proxy.process.send_signal(1)
        wait_until(lambda: BEARER not in offered(proxy, tenant), "it is offered no more", 20)


# ---- real clients ----

@pytest.mark.parametrize("binding", ["disable", "prefer", "require"])
def test_libpq_15_takes_scram(beside, tenant, binding):
    with beside.connect(tenant, password=tenant.password, sslmode="require",
                        channel_binding=binding) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_libpq_15_sends_tokens_as_passwords(auto, tenant):
    with auto.connect(tenant, password=tenant.token, sslmode="require") as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_libpq_15_says_what_it_lacks(alone, tenant):
    with pytest.raises(psycopg.OperationalError, match="SASL authentication mechanisms"):
        alone.connect(tenant, sslmode="require")
