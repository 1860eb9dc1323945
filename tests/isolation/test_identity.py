"""THREATS 3, 4, 5, 6 and 30: startup packets, tokens, suspension, cancel keys, other services."""
import base64
import hashlib
import hmac
import json
import os
import struct
import threading
import time

import psycopg
import pytest

from support import attack, certificates, wire
from support.cancel import send_cancel, sleeping, wrong_secrets
from support.process import temporary_folder
from support.reeve import Tenant
from support.tokens import Issuer, claims, encoded, unsigned
from support.world import error_of, unique

# ---- 3: the startup packet ----

STARTUPS = {
    "role": {"role": "{role}"},
    "session_authorization": {"session_authorization": "{role}"},
    "search_path": {"search_path": "{schema}"},
    "options role": {"options": "-c role={role}"},
    "options role long": {"options": "--role={role}"},
    "options session_authorization": {"options": "-c session_authorization={role}"},
    "options search_path": {"options": "-c search_path={schema}"},
    "options row_security": {"options": "-c row_security=off"},
    "options tenant": {"options": "-c reeve.tenant_id={id}"},
    "options replication role": {"options": "-c session_replication_role=replica"},
    "options escaped": {"options": "-c\\ role={role} -c r\\ole={role}"},
    "tenant": {"reeve.tenant_id": "{id}"},
    "replication": {"replication": "database"},
    "physical replication": {"replication": "true"},
    "protocol option": {"_pq_.role": "{role}"},
}


@pytest.mark.parametrize("name", STARTUPS)
def test_startup(stage, name):
    parameters = {key: value.format(**stage.words()) for key, value in STARTUPS[name].items()}
    attack_startup(stage, parameters)


def attack_startup(stage, parameters):
    """Refused, or without any effect."""
    tenant = stage.attacker
    with wire.Wire("127.0.0.1", stage.reeve.port) as connection:
        try:
            connection.login(tenant.slug, tenant.service, tenant.token, **parameters)
        except (wire.Refused, wire.Closed):
            return
        answers = connection.ask(wire.query(
            "SELECT session_user || ' ' || current_user; SELECT name FROM thing;"
            f" SELECT * FROM {stage.victim_place['schema']}.thing; "))
        assert stage.secret.encode() not in b"".join(message.body for message in answers)
        rows = [message.columns[0] for message in answers if message.type == "D"]
        place = stage.attacker_place
        assert rows[0] == f"{place['login_role']} {place['role']}".encode()
        answers = connection.ask(wire.frame("Q", b"IDENTIFY_SYSTEM\0"))
        assert answers[0].type == "E", "a replication connection"


# ---- 4: tokens ----

@pytest.fixture(scope="module")
def issuer(world):
    return register_issuers(world)


def register_issuers(world):
    """An issuer of each algorithm, with keys in one JWKS-less registration each."""
    made = {algorithm: Issuer(algorithm, f"https://{unique()}.example", unique("k"))
            for algorithm in ("RS256", "ES256", "EdDSA", "HS256")}
    with temporary_folder("reeve-keys-") as folder:
        for each in made.values():
            each.register(world.reeve, folder)
    return made


def now():
    return int(time.time())


# name: function(issuers, attacker's slug, victim's slug) -> token that must not let anybody in
FORGED = {
    "another tenant": lambda i, a, v: i["RS256"].token(a),
    "no tenant": lambda i, a, v: i["RS256"].token(None),
    "empty tenant": lambda i, a, v: i["RS256"].token(""),
    "tenant as a list": lambda i, a, v: i["RS256"].token([v]),
    "two tenant claims that differ": lambda i, a, v: i["RS256"].token(v, tenant_id=a),
    "expired": lambda i, a, v: i["RS256"].token(v, exp=now() - 120),
    "without expiry": lambda i, a, v: i["RS256"].token(v, exp=None),
    "expiry as text": lambda i, a, v: forged_claims(i["HS256"], v, exp="9999999999"),
    "not yet valid": lambda i, a, v: i["RS256"].token(v, nbf=now() + 600),
    "wrong audience": lambda i, a, v: i["RS256"].token(v, aud="somebody-else"),
    "no audience": lambda i, a, v: i["RS256"].token(v, aud=None),
    "wrong issuer": lambda i, a, v: i["RS256"].token(v, iss="https://evil.example"),
    "no issuer": lambda i, a, v: i["RS256"].token(v, iss=None),
    "another issuer's name": lambda i, a, v: i["RS256"].token(v, iss=i["ES256"].issuer),
    "reeve's name": lambda i, a, v: i["HS256"].token(v, iss="reeve"),
    "alg none": lambda i, a, v: unsigned(v, {"alg": "none", "kid": i["RS256"].key_id},
                                         iss=i["RS256"].issuer),
    "alg None": lambda i, a, v: unsigned(v, {"alg": "NoNe"}, iss=i["RS256"].issuer),
    "no alg": lambda i, a, v: unsigned(v, {"kid": i["RS256"].key_id}, iss=i["RS256"].issuer),
    "signature cut off": lambda i, a, v: i["RS256"].token(v).rpartition(".")[0] + ".",
    "signature of another token": lambda i, a, v: i["RS256"].token(v).rpartition(".")[0] + "."
                                  + i["RS256"].token(a).rpartition(".")[2],
    "HS256 with the RSA public key": lambda i, a, v: confused(i["RS256"], v),
    "HS256 with the EC public key": lambda i, a, v: confused(i["ES256"], v),
    "unknown key": lambda i, a, v: i["RS256"].token(v, key=certificates.rsa_key()),
    "unknown key id": lambda i, a, v: i["RS256"].token(v, headers={"kid": "nobody"},
                                                       key=certificates.rsa_key()),
    "key in the header": lambda i, a, v: own_key_in_header(i["RS256"], v),
    "key by address": lambda i, a, v: i["RS256"].token(
        v, key=certificates.rsa_key(), headers={"jku": "http://127.0.0.1:1/keys"}),
    "claims changed": lambda i, a, v: changed(i["RS256"].token(a), a, v),
    "not base64": lambda i, a, v: "!!!.???.###",
    "no JSON": lambda i, a, v: "e30.bm90IGpzb24.c2ln",
    "many dots": lambda i, a, v: i["RS256"].token(v) + ".x.y",
    "long": lambda i, a, v: i["RS256"].token(v, padding="x" * 50_000),
    "deep": lambda i, a, v: i["HS256"].token(v, deep="[" * 10, nested=deep(500)),
}


def deep(levels):
    found = []
    for _ in range(levels):
        found = [found]
    return found


def forged_claims(issuer, tenant, **changes):
    """PyJWT refuses to make some of these: signed by hand."""
    body = (f"{encoded({'alg': 'HS256', 'kid': issuer.key_id})}."
            f"{encoded(claims(tenant, iss=issuer.issuer, **changes))}")
    return f"{body}.{encoded(hmac.digest(issuer.key, body.encode(), hashlib.sha256))}"


def confused(issuer, tenant):
    """HS256 keyed with the public key's text, as libraries once accepted."""
    body = (f"{encoded({'alg': 'HS256', 'kid': issuer.key_id})}."
            f"{encoded(claims(tenant, iss=issuer.issuer))}")
    return f"{body}.{encoded(hmac.digest(issuer.public_bytes(), body.encode(), hashlib.sha256))}"


def own_key_in_header(issuer, tenant):
    mine = Issuer("RS256", issuer.issuer, issuer.key_id)
    return issuer.token(tenant, key=mine.key, headers={"kid": issuer.key_id, "jwk": mine.jwk()})


def changed(token, old, new):
    header, body, signature = token.split(".")
    found = json.loads(base64.urlsafe_b64decode(body + "=="))
    assert found["tenantId"] == old
    return f"{header}.{encoded({**found, 'tenantId': new})}.{signature}"


@pytest.mark.parametrize("name", FORGED)
def test_forged_tokens(world, issuer, mode, name):
    attack_by_token(world, issuer, mode, name)


def attack_by_token(world, issuer, mode, name):
    """Refused, with the same words as a wrong password, before any backend is touched."""
    attacker, victim = world.tenant(mode, "a"), world.tenant(mode, "b")
    token = FORGED[name](issuer, attacker.slug, victim.slug)
    role = world.placement(victim)["login_role"]
    logins = "SELECT count(*) FROM pg_stat_activity WHERE usename = %s"
    before = world.reeve.query(logins, role)
    with wire.Wire("127.0.0.1", world.reeve.port) as connection:
        try:
            connection.login(victim.slug, victim.service, token)
        except wire.Refused as refused:
            assert refused.sqlstate == "28P01", refused.fields
            assert refused.fields["M"] == (
                f'password authentication failed for user "{victim.slug}"')
        except wire.Closed:
            assert len(token) > 8192, "closed without a word"
        else:
            raise AssertionError(f"the token got in: {token}")
    after = world.reeve.query(logins, role)
    assert after[0][0] <= before[0][0]


def test_good_tokens_of_the_same_issuers(world, issuer, mode):
    """Without this the test above would prove nothing."""
    tenant = world.tenant(mode, "b")
    for each in issuer.values():
        with world.reeve.connect(tenant, password=each.token(tenant.slug)) as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)


def test_within_the_clock_skew(world, issuer):
    """30 seconds are forgiven, no more."""
    tenant = world.tenant("row", "b")
    for changes in ({"exp": now() - 5}, {"nbf": now() + 5}):
        world.reeve.connect(tenant, password=issuer["ES256"].token(tenant.slug, **changes)).close()
    for changes in ({"exp": now() - 60}, {"nbf": now() + 60}):
        error_of(world.reeve.connect, tenant,
                 password=issuer["ES256"].token(tenant.slug, **changes))


def test_user_and_token_of_different_tenants(world, mode):
    """Also for Reeve's own tokens."""
    attacker, victim = world.tenant(mode, "a"), world.tenant(mode, "b")
    error = error_of(world.reeve.connect, victim, password=attacker.token)
    assert "password authentication failed" in str(error)


# ---- 5: suspension ----

def attack_after_suspension(world, mode, action):
    """Goes on using an open connection; returns when it is ended, fails after a second and a bit."""
    tenant = world.new_tenant(mode)
    connection = wire.connect_to_tenant(world.reeve, tenant)
    connection.ask(wire.query("BEGIN; INSERT INTO thing (name) VALUES ('before')"))
    if action == "suspend":
        world.reeve.cli("tenant", "suspend", tenant.slug)
    elif action == "catalog":
        world.reeve.query("UPDATE reeve.tenant SET status = 'suspended' WHERE slug = %s",
                          tenant.slug)
    else:
        world.reeve.cli("tenant", "delete", tenant.slug, "--yes")
    end = time.monotonic() + 2.0
    try:
        while time.monotonic() < end:
            answers = connection.ask(wire.query("SELECT 1"))
            if any(message.type == "E" and message.fields["S"] == "FATAL" for message in answers):
                return
    except (wire.Closed, OSError):
        return
    finally:
        connection.close()
    raise AssertionError(f"still served two seconds after: {action}")


@pytest.mark.parametrize("action", ["suspend", "catalog", "delete"])
def test_open_connections_are_ended(world, mode, action):
    attack_after_suspension(world, mode, action)


# ---- 6: cancel requests ----

VERSIONS = pytest.mark.parametrize("version", [wire.PROTOCOL_3_0, wire.PROTOCOL_3_2],
                                   ids=["3.0", "3.2"])


@VERSIONS
def test_guessed_keys_cancel_nothing(world, mode, version):
    guess_keys(world, mode, version)


def guess_keys(world, mode, version=wire.PROTOCOL_3_2):
    victim, thread, outcome = sleeping(world.reeve, world.tenant(mode, "b"), version=version)
    pid, secret = victim.key
    for guess in ([(pid, os.urandom(len(secret))) for _ in range(50)]
                  + [(pid, wrong) for wrong in wrong_secrets(secret)]
                  + [(pid ^ bit, secret) for bit in (1, 64, 1 << 20)]
                  + [(number, bytes(len(secret))) for number in range(20)]
                  + [(pid, bytes(byte ^ 1 for byte in secret))]):
        send_cancel(world.reeve, *guess)
    thread.join()
    victim.close()
    assert [message.type for message in outcome] == ["C", "Z"]


@VERSIONS
def test_another_tenants_key_cancels_its_own_alone(world, mode, version):
    """Nor does the victim's process id with a secret that is good elsewhere."""
    attacker = wire.connect_to_tenant(world.reeve, world.tenant(mode, "a"), version)
    victim, thread, outcome = sleeping(world.reeve, world.tenant(mode, "b"), version=version)
    for _ in range(20):
        send_cancel(world.reeve, *attacker.key)
        send_cancel(world.reeve, victim.key[0], attacker.key[1])
    thread.join()
    attacker.close()
    victim.close()
    assert [message.type for message in outcome] == ["C", "Z"]


@VERSIONS
def test_the_key_does_cancel_its_own(world, mode, version):
    """Without this the tests above would prove nothing."""
    victim, thread, outcome = sleeping(world.reeve, world.tenant(mode, "b"), "60", version)
    send_cancel(world.reeve, *victim.key)
    thread.join(timeout=20)
    assert outcome and outcome[0].sqlstate == "57014"
    victim.close()


def test_stale_keys(world, mode):
    """A key outlives neither its connection nor its query."""
    tenant = world.tenant(mode, "b")
    gone = wire.connect_to_tenant(world.reeve, tenant)
    gone.ask(wire.query("SELECT 1"))
    key = gone.key
    gone.send(wire.terminate())
    gone.rest()
    victim, thread, outcome = sleeping(world.reeve, tenant)
    for _ in range(20):
        send_cancel(world.reeve, *key)
    thread.join()
    victim.close()
    assert [message.type for message in outcome] == ["C", "Z"]


def test_a_late_cancel_does_not_hit_the_next_client(world, stages, mode):
    """Two clients share one backend; one cancels all the time, also when it has nothing running."""
    stage = stages(mode)
    canceller = wire.connect_to_tenant(world.reeve, stage.attacker)
    over = threading.Event()

    def cancel():
        while not over.is_set():
            send_cancel(world.reeve, *canceller.key)

    thread = threading.Thread(target=cancel)
    thread.start()
    try:
        # Another client of the attacker's, and the victim: both come to the same backend budget.
        with stage.connect() as sibling, stage.connect(stage.victim) as victim:
            for _ in range(40):
                answers = canceller.ask(wire.query("SELECT pg_sleep(0.002)"))
                assert answers[-1].type == "Z"
                for other in (sibling, victim):
                    assert other.execute("SELECT 1 FROM pg_sleep(0.002)").fetchone() == (1,)
    finally:
        over.set()
        thread.join()
        canceller.close()


def test_key_length_and_randomness(world):
    """Keys are unguessable: no two alike in the half that is not the address."""
    seen = set()
    for _ in range(20):
        with wire.connect_to_tenant(world.reeve, world.tenant("row")) as connection:
            pid, secret = connection.key
            seen.add((struct.pack("!i", pid), secret))
    assert len({secret for _, secret in seen}) == 20
    assert len({pid for pid, _ in seen}) == 20


# ---- 30: another service ----

def test_token_for_one_service(world, mode):
    use_elsewhere(world, mode)


def use_elsewhere(world, mode):
    tenant = world.new_tenant(mode)
    world.in_service(tenant, "pgbench", world.DATA / "pgbench")
    token = world.reeve.token(tenant.slug, "--service", "things")
    with world.reeve.connect(tenant, password=token) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
    error = error_of(world.reeve.connect, tenant.other_service("pgbench"), password=token)
    assert "password authentication failed" in str(error)
    with world.reeve.connect(tenant.other_service("pgbench")) as connection:
        assert connection.execute("SELECT count(*) FROM pgbench_accounts").fetchone() == (0,)


def test_service_claim_of_an_issuer(world, issuer, mode):
    tenant = world.tenant(mode)
    works = issuer["ES256"].token(tenant.slug, service="things")
    other = issuer["ES256"].token(tenant.slug, service="elsewhere")
    world.reeve.connect(tenant, password=works).close()
    error_of(world.reeve.connect, tenant, password=other)


@pytest.mark.parametrize("database", ["postgres", "template0", "template1", "reeve", "svc_things",
                                      "tpl_things", "pgbench2", "things; --", "\"things\"", "THINGS"])
def test_databases_that_are_no_service(world, mode, database):
    tenant = world.tenant(mode)
    error_of(world.reeve.connect, tenant.other_service(database))


def test_a_neighbours_database_by_name(world):
    """The physical name is no way in."""
    victim = world.placement(world.tenant("database", "b"))["database"]
    for letter in "ab":
        tenant = world.tenant("database", letter)
        with pytest.raises(psycopg.OperationalError):
            world.reeve.connect(tenant.other_service(victim))
    unknown = Tenant(world.placement(world.tenant("schema", "b"))["own_role"], "schema", "things",
                     world.tenant("schema", "a").token, None)
    error_of(world.reeve.connect, unknown)


def test_the_stage_is_what_it_says(stage):
    """Two tenants, one backend: the attacks of this folder share it."""
    with stage.connect() as attacker, stage.connect(stage.victim) as victim:
        pids = {connection.execute("SELECT pg_backend_pid()").fetchone()[0]
                for connection in (attacker, attacker, victim, attacker)}
        assert pids
        attack.check_nothing_gained(stage, attacker)
    with stage.admin("postgres") as admin:
        count = admin.execute(r"SELECT count(*) FROM pg_stat_activity WHERE usename LIKE 't\_%'"
                              " OR usename = 'reeve_pool'")
        assert count.fetchone()[0] <= 1
