"""Who may log in: passwords by SCRAM and in clear text, tokens of every algorithm, and what those
who may not are told."""
import base64

import psycopg
import pytest

from support import tokens, wire
from support.process import temporary_folder, wait_until
from support.reeve import Tenant, running_serve
from support.tokens import Issuer
from support.world import error_of, unique

ALGORITHMS = ("RS256", "ES256", "EdDSA", "HS256")


@pytest.fixture(scope="module")
def issuers(world):
    """algorithm -> Issuer, each registered under an issuer name of its own."""
    found = {}
    with temporary_folder("reeve-keys-") as folder:
        for algorithm in ALGORITHMS:
            issuer = Issuer(algorithm, f"https://{algorithm.lower()}.example")
            issuer.register(world.reeve, folder)
            found[algorithm] = issuer
        yield found


def works(world, tenant, password, seconds=10, server=None):
    """A login that must come to work within the time that the proxy takes to hear of news."""
    def logged_in():
        try:
            with (server or world.reeve).connect(tenant, password=password) as connection:
                return connection.execute("SELECT 1").fetchone() == (1,)
        except psycopg.OperationalError:
            return False

    wait_until(logged_in, f"{tenant.slug} logs in", seconds)


def test_password(world, tenant):
    works(world, tenant, tenant.password, 1)


def test_scram_alone(world, tenant):
    with running_serve(world.reeve, auth="scram") as proxy:
        with wire.Wire("127.0.0.1", proxy.port) as connection:
            messages = connection.login(tenant.slug, tenant.service, tenant.password)
            requests = [message.body[:4] for message in messages if message.type == "R"]
            assert requests[0] == b"\0\0\0\x0a"  # SASL, and the client checked the server's proof
            assert connection.ask(wire.query("SELECT 1"))[-1].body == b"I"
        error = error_of(proxy.connect, tenant, password=tenant.password + "x")
        assert "password authentication failed" in str(error)


def test_new_password_replaces_the_old(world):
    tenant = world.new_tenant("row")
    works(world, tenant, tenant.password, 1)
    world.reeve.new_password(tenant.slug, "another-password-1")
    works(world, tenant, "another-password-1")
    error_of(world.reeve.connect, tenant, password=tenant.password)


@pytest.mark.parametrize("password", ["ünïcödé-pässwörd-☂", "with space and 'quotes' \\ and \"more\"",
                                      "x" * 200])
def test_odd_passwords(world, password):
    tenant = world.new_tenant("row", credentials=False)
    world.reeve.new_password(tenant.slug, password)
    works(world, tenant, password)
    error_of(world.reeve.connect, tenant, password=password + "x")


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_tokens_of_an_issuer(world, issuers, tenant, algorithm):
    works(world, tenant, issuers[algorithm].token(tenant.slug))


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_jwks_files(world, tenant, algorithm):
    issuer = Issuer(algorithm, f"https://jwks-{unique()}.example", key_id=unique("k"))
    with temporary_folder("reeve-keys-") as folder:
        issuer.register(world.reeve, folder, jwks=True)
    works(world, tenant, issuer.token(tenant.slug))


def test_tenant_id_claim(world, issuers, tenant):
    """`tenant_id` is accepted beside `tenantId`."""
    works(world, tenant, issuers["ES256"].token(None, tenant_id=tenant.slug))


def test_own_tenant_claim(world, tenant):
    issuer = Issuer("ES256", f"https://claim-{unique()}.example", key_id=unique("k"))
    with temporary_folder("reeve-keys-") as folder:
        issuer.register(world.reeve, folder, "--tenant-claim", "org")
    works(world, tenant, issuer.token(None, org=tenant.slug))
    error_of(world.reeve.connect, tenant, password=issuer.token(tenant.slug))


def test_a_shared_secret_is_sealed_at_rest(world, issuers, tenant):
    """The catalog holds nothing that signs tokens; public keys are there to be read."""
    stored = dict(world.reeve.query("SELECT issuer, jwks::text FROM reeve.issuer"))
    secret, public = issuers["HS256"], issuers["RS256"]
    encoded = base64.urlsafe_b64encode(secret.key).decode().rstrip("=")
    assert "sealed" in stored[secret.issuer]
    assert encoded not in stored[secret.issuer]
    assert '"n"' in stored[public.issuer]
    works(world, tenant, secret.token(tenant.slug))


def test_audience_may_be_a_list(world, issuers, tenant):
    works(world, tenant, issuers["RS256"].token(tenant.slug, aud=["other", tokens.AUDIENCE]))


def test_own_token_with_a_time_to_live(world):
    tenant = world.new_tenant("row")
    token = world.reeve.token(tenant.slug, "--ttl", "2s")
    works(world, tenant, token, 2)

    def expired():
        try:
            world.reeve.connect(tenant, password=token).close()
            return False
        except psycopg.OperationalError:
            return True

    # Two seconds and the 30 that clocks may differ by.
    wait_until(expired, "the token expires", 45)


def test_strangers_are_told_the_same(world):
    """Unknown tenant, wrong password, suspended tenant, unknown service, a token for nothing: one
    text, one SQLSTATE; the log tells them apart."""
    suspended = world.new_tenant("row")
    world.reeve.cli("tenant", "suspend", suspended.slug)
    known = world.tenant("row")
    attempts = {
        "unknown tenant": (Tenant("no-such-tenant", "row", "things", None, None), "guess-1"),
        "wrong password": (known, "guess-2"),
        "suspended tenant": (suspended, "guess-3"),
        "deleted": (Tenant("never-was", "row", "things", None, None), "guess-4"),
        "unknown service": (known.other_service("no_such_service"), "guess-5"),
        "a database of PostgreSQL's": (known.other_service("postgres"), "guess-6"),
        "the shared database": (known.other_service("svc_things"), "guess-7"),
        "token-like": (known, "aaaa.bbbb.cccc"),
    }
    texts = {}
    for name, (tenant, password) in attempts.items():
        with wire.Wire("127.0.0.1", world.reeve.port) as connection:
            with pytest.raises(wire.Refused) as refused:
                connection.login(tenant.slug, tenant.service, password)
            fields = dict(refused.value.fields)
            assert connection.rest() == []
        fields["M"] = fields["M"].replace(tenant.slug, "TENANT")
        texts[name] = tuple(sorted(fields.items()))
    assert len(set(texts.values())) == 1, texts
    assert dict(texts["unknown tenant"])["C"] == "28P01"


def test_strangers_are_asked_the_same(world):
    """Not even the kind of authentication that is asked for tells who exists."""
    known, unknown = world.tenant("row"), Tenant("no-such-tenant", "row", "things", None, None)
    for proxy_auth in ("auto", "scram"):
        with running_serve(world.reeve, auth=proxy_auth) as proxy:
            asked = []
            for tenant in (known, unknown):
                with wire.Wire("127.0.0.1", proxy.port) as connection:
                    connection.send(wire.startup(user=tenant.slug, database=tenant.service))
                    asked.append(connection.receive())
            assert asked[0] == asked[1]


def scram_challenge(port, slug):
    with wire.Wire("127.0.0.1", port) as connection:
        connection.send(wire.startup(user=slug, database="things"))
        connection.receive()
        first = wire.Scram("x").first()
        connection.send(wire.frame("p", wire.text("SCRAM-SHA-256") +
                                   len(first).to_bytes(4, "big") + first))
        values = dict(part.split("=", 1)
                      for part in connection.receive().body[4:].decode().split(","))
        return values["s"], values["i"]


def test_salts_of_strangers_look_real(world):
    """An unknown tenant has a salt of the same form that stays the same, as a real one has."""
    with running_serve(world.reeve, auth="scram") as proxy:
        real = scram_challenge(proxy.port, world.tenant("row").slug)
        made_up = {scram_challenge(proxy.port, "no-such-tenant") for _ in range(3)}
        other = scram_challenge(proxy.port, "no-such-tenant-2")
    assert len(made_up) == 1
    (salt, iterations) = made_up.pop()
    assert (len(salt), iterations) == (len(real[0]), real[1])
    assert other[0] != salt


def test_the_log_tells_them_apart(world):
    tenant = world.new_tenant("row")
    world.reeve.cli("tenant", "suspend", tenant.slug)
    slug = unique("nobody")
    error_of(world.reeve.connect, tenant)
    error_of(world.reeve.connect, Tenant(slug, "row", "things", "x", None))

    def logged():
        log = world.reeve.log_path.read_text(errors="replace")
        lines = [line for line in log.splitlines() if tenant.slug in line or slug in line]
        return any("suspend" in line for line in lines) and any(slug in line for line in lines)

    wait_until(logged, "both failures are in the log with their reasons", 10)


def test_a_tenant_without_a_password(world, mode):
    tenant = world.new_tenant(mode, credentials=False)
    error = error_of(world.reeve.connect, tenant, password="anything")
    assert "password authentication failed" in str(error)
    works(world, tenant, world.reeve.token(tenant.slug))


def test_url(world, tenant):
    """What `reeve url` prints connects, once the password is filled in."""
    url = world.reeve.cli("url", tenant.slug, tenant.service).out.strip()
    assert url.startswith("postgres")
    parameters = psycopg.conninfo.conninfo_to_dict(url)
    assert parameters["user"] == tenant.slug
    assert parameters["dbname"] == tenant.service
    parameters["password"] = tenant.token
    with psycopg.connect(psycopg.conninfo.make_conninfo(**parameters)) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
