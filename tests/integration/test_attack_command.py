"""`reeve audit --attack`: passes on a healthy system, leaves nothing behind, and signs what it says.
That it finds holes: test_attack_notices.py."""
import json
import re
import signal
import subprocess

import pytest

from support import certificates, process, reeve as reeve_support
from support.agreement import server_objects
from support.attacked import attack, create_things, ids, results, throwaway

NO_SUCH, BUSY, USAGE, UNREACHABLE, INTERRUPTED, INVALID = 66, 75, 2, 69, 130, 65
pytestmark = pytest.mark.timeout(900)  # a run is a minute, and more on a busy machine
# What can be tried as a tenant with SQL: docs/attack.md says what the others are.
THREATS = {*range(1, 7), *range(8, 31), 32, 36, 37, 38}


@pytest.fixture(scope="module")
def server():
    """A Reeve of this module's own with one service and no tenants."""
    with reeve_support.running_reeve() as running:
        create_things(running)
        yield running


def rows_left(server):
    return server.query("SELECT (SELECT count(*) FROM app.thing) + (SELECT count(*) FROM app.part)"
                        " + (SELECT count(*) FROM reeve.role_tenant)",
                        database="svc_things")[0][0]


# ---- a healthy system ----

@pytest.fixture(scope="module")
def healthy(server):
    """The report of a run in every isolation, as JSON text, and what there was before it."""
    before = server_objects(server), rows_left(server)
    done = attack(server, "--isolation", "row,schema,database", json=True)
    return done, before


def test_nothing_gets_through(healthy):
    report = healthy[0].json
    assert ids(report, "FINDING") == set()
    assert ids(report, "SKIPPED") == set()
    assert report["counts"]["FINDING"] == 0
    assert report["not_removed"] is None
    modes = {target["isolation"] for target in report["targets"]}
    assert modes == {"row", "schema", "database"}
    for mode in modes:
        tried = [entry for (isolation, _), entry in results(report).items() if isolation == mode]
        assert len(tried) > 140, f"{mode}: only {len(tried)} attacks"
        assert all(entry["tried"] for entry in tried)


def test_every_threat_is_tried(healthy):
    tried = {entry["threat"] for entry in results(healthy[0].json).values()
             if entry["verdict"] != "SKIPPED"}
    assert tried == THREATS


def test_residuals_are_those_that_are_documented(healthy):
    text = (process.ROOT / "docs" / "attack.md").read_text()
    for name in ids(healthy[0].json, "RESIDUAL"):
        assert f"`{name}`" in text, f"{name} is not in docs/attack.md"


def test_it_starts_with_what_was_attacked(healthy):
    report = healthy[0].json
    assert list(report)[:5] == ["format", "reeve", "started_at", "ended_at", "endpoint"]
    assert report["clusters"][0]["name"] == "local"
    assert report["clusters"][0]["server_version"].startswith("1")
    assert list(report)[-1] == "signature"
    target = report["targets"][0]
    assert target["service"] == "things"
    assert {entry["isolation"]: entry["enforcement"] for entry in report["targets"]} == {
        "row": "guard", "schema": "guard", "database": "login"}
    assert "thing" in target["filled"] and "part" in target["filled"]
    assert target["unfilled"] == ""


def test_shared_sessions_are_attacked(healthy):
    """With two workers or so, one victim in four shares sessions with the attacker."""
    shared = {entry["isolation"]: entry["shares_sessions"] for entry in healthy[0].json["targets"]}
    assert shared["database"] is False
    assert shared["row"] or shared["schema"]
    assert any("session that the attacker had" in entry["back"]
               for entry in results(healthy[0].json).values())


def test_nothing_is_left(server, healthy):
    assert (server_objects(server), rows_left(server)) == healthy[1]
    assert throwaway(server) == []
    assert server.cli("tenant", "list", json=True).json == []
    assert server.query("SELECT count(*) FROM reeve.credential WHERE revoked_at IS NULL") == [(0,)]


def test_it_is_in_the_audit_trail(server, healthy):
    events = {event["action"]: event
              for event in server.cli("events", "--limit", "500", json=True).json}
    assert "attack.start" in events
    counts = healthy[0].json["counts"]
    assert events["attack.end"]["detail"]["pass"] == counts["PASS"]
    assert events["attack.end"]["detail"]["finding"] == 0


def test_no_secret_in_the_report(healthy):
    out = healthy[0].out + healthy[0].err
    assert "eyJ" not in out, "a token"
    # The markers that stood in the victims' rows are 20 digits.
    for entry in results(healthy[0].json).values():
        assert not re.search(r"\bLIKE '%\d{20}%'", entry["tried"])


# ---- the signature ----

def verify(server, path):
    return server.cli("audit", "--verify", path, check=False)


def test_signature_of_json(server, healthy, tmp_path):
    path = tmp_path / "report.json"
    path.write_text(healthy[0].out)
    assert verify(server, path).code == 0


@pytest.fixture(scope="module")
def text_report(server, tmp_path_factory):
    path = tmp_path_factory.mktemp("attack") / "report.txt"
    attack(server, "--isolation", "database", "--output", path)
    return path


def test_report_for_people(text_report):
    lines = text_report.read_text().splitlines()
    assert lines[0] == "Reeve attack report"
    assert any(line.startswith("cluster: local, PostgreSQL ") for line in lines)
    assert re.fullmatch(r"counts: PASS \d+, FINDING 0, RESIDUAL \d+, SKIPPED 0", lines[-2])
    assert re.fullmatch(r"signature: hmac-sha256 [0-9a-f]{64}", lines[-1])


def test_a_changed_byte_is_noticed(server, text_report, tmp_path):
    good = text_report.read_bytes()
    assert verify(server, text_report).code == 0
    path = tmp_path / "changed"
    places = [0, len(good) // 3, len(good) // 2, good.index(b"counts:") + 13, len(good) - 100,
              len(good) - 60, len(good) - 2, len(good) - 1]
    forgeries = [good[:place] + bytes([good[place] ^ 1]) + good[place + 1:] for place in places]
    forgeries += [good[1:], good[:-1], good + b"\n", good + good, b"", b"x", good[-80:]]
    for forged in forgeries:
        path.write_bytes(forged)
        refused = verify(server, path)
        assert refused.code == INVALID, refused.text


def test_another_key_is_noticed(text_report):
    with reeve_support.running_reeve() as other:
        assert verify(other, text_report).code == INVALID


def test_control_characters_stay_on_their_line(text_report):
    for line in text_report.read_text().split("\n"):
        assert line == "" or line.isprintable(), repr(line)
    assert "\\n" in text_report.read_text(), "an attack with a newline in a name was tried"


# ---- being interrupted ----

def start(server, *arguments, until="[10/"):
    """A run that goes on by itself, when it has got as far as the line that begins so."""
    running = process.spawn(
        [str(reeve_support.binary()), "audit", "--attack", "--isolation", "schema", *arguments],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        env=reeve_support.environment(REEVE_CONFIG=server.config_path))
    for line in running.stderr:
        if line.startswith(until):
            return running
    raise AssertionError(f"it ended with {running.wait()}")


def finish(running):
    rest = running.stderr.read()
    running.stderr.close()
    return running.wait(timeout=120), rest


def test_interrupted(server):
    before = server_objects(server)
    running = start(server)
    try:
        tenants = throwaway(server)
        assert len(tenants) >= 2
        second = attack(server, check=False)
        assert second.code == BUSY and "somebody else" in second.err
        assert throwaway(server) == tenants, "a run took away another's tenants"
    finally:
        running.send_signal(signal.SIGINT)
    code, rest = finish(running)
    assert code == INTERRUPTED, rest
    assert "interrupted" in rest
    assert throwaway(server) == []
    assert server_objects(server) == before


def test_interrupted_while_tenants_are_made(server):
    before = server_objects(server)
    running = start(server, until="things schema on local: make two tenants")
    running.send_signal(signal.SIGINT)
    code, rest = finish(running)
    assert code == INTERRUPTED, rest
    assert throwaway(server) == []
    assert server_objects(server) == before


def test_killed(server):
    """The next run takes away what is left."""
    before = server_objects(server)
    running = start(server)
    running.kill()
    finish(running)
    assert len(throwaway(server)) >= 2
    assert server_objects(server) != before
    # A tenant that only has such a name is somebody's.
    server.cli("tenant", "create", "reeve-attack-0123456789ab-a", "--name", "Ours")
    server.cli("tenant", "create", "reeve-attack-mine")
    refused = process.wait_until(
        lambda: not_busy(attack(server, "--service", "nothing", check=False)),
        "the killed run's lock is free")
    assert refused.code == NO_SUCH
    assert {slug for slug, _ in throwaway(server)} == {"reeve-attack-0123456789ab-a",
                                                      "reeve-attack-mine"}
    assert server_objects(server) == before
    for slug, _ in throwaway(server):
        server.cli("tenant", "delete", slug, "--yes")


def not_busy(result):
    return result if result.code != BUSY else None


# ---- what it is told ----

@pytest.mark.parametrize("arguments, code, words", [
    (["--attack"], NO_SUCH, "--isolation"),
    (["--attack", "--service", "nothing"], NO_SUCH, "nothing"),
    (["--attack", "--isolation", "islands"], USAGE, "islands"),
    (["--attack", "--isolation", "row", "--endpoint", "nonsense"], USAGE, "HOST:PORT"),
    (["--attack", "--isolation", "row", "--endpoint", "127.0.0.1:99999"], USAGE, "HOST:PORT"),
    (["--attack", "--isolation", "row", "--endpoint", "127.0.0.1:1"], UNREACHABLE, "127.0.0.1"),
    (["--attack", "--isolation", "row", "--output", "/nowhere/report"], 74, "/nowhere/report"),
    (["--attack", "--verify", "x"], USAGE, "exclude"),
    (["--verify", "/nowhere/report"], NO_SUCH, "/nowhere/report"),
    (["--verify", "/etc/hostname"], INVALID, "signature"),
])
def test_wrong(server, arguments, code, words):
    before = server_objects(server)
    refused = server.cli("audit", *arguments, check=False, seconds=420)
    assert refused.code == code, refused.text
    assert words in refused.err
    assert "reeve: " in refused.err
    assert throwaway(server) == []
    assert server_objects(server) == before


def test_both_enforcements_in_use(server):
    """Placements that log in, on a cluster with the guard: both are attacked."""
    for slug in ("guarded", "logging-in"):
        server.add_tenant(slug, "things", "schema", credentials=False)
    server.cli("placement", "enforce", "logging-in", "things", "login")
    try:
        report = attack(server, json=True).json
    finally:
        for slug in ("guarded", "logging-in"):
            server.cli("tenant", "delete", slug, "--yes")
    assert [(target["isolation"], target["enforcement"], target["placements"])
            for target in report["targets"]] == [("schema", "guard", 1), ("schema", "login", 1)]
    assert ids(report, "FINDING") == ids(report, "SKIPPED") == set()
    residual = [{entry["id"] for entry in target["attacks"] if entry["verdict"] == "RESIDUAL"}
                for target in report["targets"]]
    assert residual[0] == residual[1]


def test_it_attacks_what_is_in_use(server):
    """Without --isolation: where tenants are. Their rows stay as they are."""
    tenant = server.add_tenant("customer", "things", "database")
    try:
        with server.connect(tenant) as connection:
            connection.execute("INSERT INTO thing (name) VALUES ('mine')")
            before = connection.execute("SELECT * FROM thing").fetchall()
            done = attack(server, json=True)
            assert connection.execute("SELECT * FROM thing").fetchall() == before
        targets = json.loads(done.out)["targets"]
        assert [(target["isolation"], target["placements"]) for target in targets] == [
            ("database", 1)]
    finally:
        server.cli("tenant", "delete", "customer", "--yes")


@pytest.mark.seldom
def test_one_server_connection_for_both(server):
    """What needs two at once is skipped, and says why; all else works."""
    def budget(number):
        server.query("UPDATE reeve.cluster SET max_backends = %s", number)

    budget(1)
    try:
        report = attack(server, "--isolation", "schema", json=True).json
    finally:
        budget(100)
    assert ids(report, "FINDING") == set()
    assert ids(report, "SKIPPED") <= {"shared.running_query", "shared.advisory_locks",
                                      "shared.notify"}
    for name in ids(report, "SKIPPED"):
        assert "server connection" in results(report)["schema", name]["why"]


@pytest.mark.seldom
def test_through_tls_and_a_unix_socket(server):
    """The endpoint that the configuration asks for, or another."""
    with process.temporary_folder("reeve-tls-") as folder:
        certificate, key = certificates.write_certificate(folder)
        port = process.free_port()
        with reeve_support.running_serve(server, tls_cert=certificate, tls_key=key,
                                         tls_required="on",
                                         listen=[f"127.0.0.1:{port}", f"{folder}:{port}"]) as proxy:
            for arguments, endpoint in (([], f"127.0.0.1:{port}"),
                                        (["--endpoint", f"{folder}:{port}"], f"{folder}:{port}")):
                done = attack(server, "--isolation", "database", "--config", proxy.config_path,
                              *arguments, json=True)
                assert done.json["endpoint"] == endpoint
                assert ids(done.json, "FINDING") == ids(done.json, "SKIPPED") == set()


def test_a_service_that_nobody_can_fill(server, tmp_path):
    """Tables that take no row: catalogs alone are attacked, and the report says so."""
    (tmp_path / "0001_odd.sql").write_text(
        "CREATE TABLE odd (word text NOT NULL CHECK (word = 'nobody guesses this'));")
    server.cli("service", "create", "odd", "--migrations", tmp_path, "--isolation", "schema")
    done = attack(server, "--service", "odd", "--isolation", "schema", json=True)
    target = done.json["targets"][0]
    assert target["filled"] == "" and "odd (23514" in target["unfilled"]
    skipped = ids(done.json, "SKIPPED")
    assert "rows.own" in skipped and "context.nothing" not in skipped
    assert "no table could be filled" in results(done.json)["schema", "rows.own"]["why"]
    server.cli("service", "delete", "odd", "--yes")
