"""Several tenants move with one command: which are meant, so many at once, what is skipped, what fails, what
an interruption leaves."""
import contextlib
import json
import re
import signal
import subprocess

import pytest

from support import postgres, process, shop
from support.agreement import wait_for_jobs
from support.process import wait_until
from support.reeve import binary, environment, running_reeve
from support.terminal import on_terminal
from support.world import DATA, World, unique
from test_move import audited, is_stopped, orphans, placement

SERVICE = "bank"
SOON_SECONDS = 90
SLOTS = "SELECT slot_name FROM pg_replication_slots ORDER BY 1"
USAGE, NOT_FOUND, STATE, INTERRUPTED = 2, 66, 74, 130


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """The shop's tables, but that each has a key."""
    folder = tmp_path_factory.mktemp("bank")
    folder.chmod(0o755)
    text = (DATA / "shop" / "0001_shop.sql").read_text()
    (folder / "0001_bank.sql").write_text(text.replace("CREATE TABLE visit (",
                                                       "CREATE TABLE visit (\n    id bigserial PRIMARY KEY,"))
    with running_reeve() as server:
        made = World(server)
        made.add_service(SERVICE, folder)
        yield made


@pytest.fixture(scope="module")
def other(world):
    with postgres.running_postgres(settings={"wal_level": "logical"}) as server:
        world.add_cluster("other", server, 20)
        yield server


def add_tenants(world, mode, count, filled=True):
    """Tenants of one name but for a number, which is what --match says."""
    name = unique("many")
    tenants = [world.reeve.add_tenant(f"{name}-{number}", SERVICE, mode) for number in range(count)]
    for tenant in tenants if filled else []:
        with world.reeve.connect(tenant) as connection:
            shop.fill(connection, 5)
    return name, tenants


def move(world, name, *options, **kinds):
    return world.reeve.cli("move", "--match", f"slug={name}-*", SERVICE, *options, **kinds)


def statuses(record):
    return {one["tenant"]: one["status"] for one in record["moves"]}


def isolations(world, tenants):
    return [placement(world, tenant)["isolation"] for tenant in tenants]


def intervals(world, name):
    """From when to when each tenant's moves were jobs, by their beginning."""
    return world.reeve.query(
        "SELECT j.started_at, j.finished_at FROM reeve.job j JOIN reeve.tenant t ON t.id = j.tenant_id"
        " WHERE t.slug LIKE %s AND j.kind IN ('move', 'move_online') ORDER BY 1", f"{name}-%")


def at_once(times):
    """How many there were at most."""
    return max(sum(begun <= moment < over for begun, over in times) for moment, _ in times)


# ---- what is meant ----

def test_a_plan(world, other):
    name, tenants = add_tenants(world, "row", 3)
    plan = move(world, name, "--to", "database", "--cluster", "other", "--dry-run", json=True).json
    assert plan["dry_run"] and (plan["count"], plan["planned"], plan["moved"]) == (3, 3, 0)
    assert plan["tenant"] is None and plan["service"] == SERVICE
    first = plan["moves"][0]
    assert first["command"] == f"reeve move --to database --cluster other {name}-0 {SERVICE}"
    assert (first["from"], first["to"]) == ("row on local", "database on other")
    assert first["bytes"] > 1000 and first["rows"] == 20 + 5 + 4 + 30 + 1 and first["error"] is None
    text = move(world, name, "--to", "database", "--dry-run").out
    assert f"{name}-2" in text and "COMMAND" in text
    assert re.search(r"^3 tenants, [0-9.]+ kB: 3 planned$", text, re.M), text
    assert isolations(world, tenants) == ["row"] * 3
    assert intervals(world, name) == []


def test_the_command_of_a_plan_moves_one(world):
    name, tenants = add_tenants(world, "row", 2, filled=False)
    plan = move(world, name, "--to", "schema", "--dry-run", json=True).json
    world.reeve.cli(*plan["moves"][1]["command"].split()[1:])
    assert isolations(world, tenants) == ["row", "schema"]


def test_several_terms(world):
    name, _tenants = add_tenants(world, "row", 2, filled=False)
    schema = world.reeve.add_tenant(f"{name}-x", SERVICE, "schema")
    found = world.reeve.cli("move", "--match", f"slug={name}-*,isolation=row,cluster=local", "--to", "database",
                            "--dry-run", json=True).json
    assert sorted(statuses(found)) == [f"{name}-0", f"{name}-1"] and found["service"] is None
    found = move(world, name, "--to", "database", "--dry-run", json=True).json
    assert schema.slug in statuses(found)
    world.reeve.cli("tenant", "attach", schema.slug, "things", "--isolation", "schema")
    found = world.reeve.cli("move", "--match", f"slug={schema.slug}", "--to", "database", "--dry-run", json=True).json
    assert sorted(one["service"] for one in found["moves"]) == [SERVICE, "things"]


def test_by_tags(world):
    name, tenants = add_tenants(world, "row", 3, filled=False)
    plan = unique("plan")
    world.reeve.cli("tenant", "tag", tenants[0].slug, f"plan={plan}", "regulated")
    world.reeve.cli("tenant", "tag", tenants[1].slug, f"plan={plan}")
    for terms, meant in ((f"plan={plan}", tenants[:2]), (f"tag=regulated,slug={name}-*", tenants[:1]),
                         (f"plan={plan},tag=regulated", tenants[:1])):
        found = world.reeve.cli("move", "--match", terms, "--to", "schema", "--dry-run", json=True).json
        assert list(statuses(found)) == [tenant.slug for tenant in meant]
    world.reeve.cli("move", "--match", f"plan={plan}", SERVICE, "--to", "schema", "--finish", "--yes")
    assert isolations(world, tenants) == ["schema", "schema", "row"]


@pytest.mark.parametrize("arguments, code, words", [
    (["--match", "slug=nobody-*", SERVICE, "--to", "schema"], NOT_FOUND, "no tenant of service bank is meant"),
    (["--match", "slug", SERVICE, "--to", "schema"], USAGE, 'there is no "="'),
    (["--match", "slug=a*", SERVICE], USAGE, "--to"),
    (["--match", "slug=a*", "acme", SERVICE, "--to", "schema"], USAGE, "the service alone"),
    (["--match", "slug=*", "nothing", "--to", "schema"], NOT_FOUND, "nothing"),
    (["--match", "slug=*", "--cluster", "nowhere"], NOT_FOUND, "nowhere"),
    (["acme", "--to", "schema"], USAGE, "SERVICE is missing"),
    (["--to", "schema"], USAGE, "SLUG is missing"),
    (["acme", SERVICE, "--to", "schema", "--parallel", "2"], USAGE, "--parallel is for several"),
    (["acme", SERVICE, "--to", "schema", "--finish"], USAGE, "--finish is for several"),
])
def test_what_is_refused(world, arguments, code, words):
    result = world.reeve.cli("move", *arguments, check=False)
    assert result.code == code and words in result.err, result.text


# ---- moving ----

@pytest.mark.parametrize("how", ["online", "offline"])
def test_so_many_at_once(world, how):
    """Under an application of each: no error, and every acknowledged write exactly once."""
    name, tenants = add_tenants(world, "row", 4, filled=False)
    for tenant in tenants:
        with world.reeve.connect(tenant) as connection:
            shop.fill(connection)
    options = ["--offline"] if how == "offline" else ["--pause", "20s"]
    with contextlib.ExitStack() as stack:
        applications = [stack.enter_context(shop.running(lambda one=one: world.reeve.connect(one), threads=1))
                        for one in tenants]
        wait_until(lambda: all(one.count() > 5 for one in applications), "they work", SOON_SECONDS)
        done = move(world, name, "--to", "schema", "--parallel", 2, "--yes", *options, json=True).json
        moved_at = [one.count() for one in applications]
        wait_until(lambda: all(one.count() > before + 5 for one, before in zip(applications, moved_at)),
                   "they work on", SOON_SECONDS)
    assert [one.errors for one in applications] == [[]] * 4
    for tenant, application in zip(tenants, applications):
        with world.reeve.connect(tenant) as connection:
            application.check(connection)
    assert (done["count"], done["moved"], done["failed"], done["dry_run"]) == (4, 4, 0, False)
    assert all(one["pause_ms"] > 0 and not one["finished"] and one["error"] is None for one in done["moves"])
    assert isolations(world, tenants) == ["schema"] * 4
    times = intervals(world, name)
    assert len(times) == 4 and at_once(times) == 2
    again = move(world, name, "--to", "schema", "--yes", json=True).json
    assert again["skipped"] == 4 and all("already" in one["reason"] for one in again["moves"])
    back = move(world, name, "--to", "row", "--yes", json=True).json
    assert back["skipped"] == 4 and all("old place is kept" in one["reason"] for one in back["moves"])
    for tenant in tenants:
        world.reeve.cli("move", "finish", tenant.slug, SERVICE)
    assert orphans(world) == [] and audited(world, tenants[0]) == []


def test_one_after_the_other(world):
    """And each old place goes as soon as its tenant has moved: the slots of ten moves would not be there."""
    name, tenants = add_tenants(world, "schema", 3)
    slots = world.reeve.query(SLOTS)
    result = move(world, name, "--to", "database", "--parallel", 1, "--finish", "--yes")
    lines = result.out.splitlines()
    assert re.fullmatch(rf"{name}-0 \({SERVICE}\): moved, schema on local -> database on local, waited for [0-9.]+ s",
                        lines[0]), result.text
    assert re.fullmatch(r"3 tenants, [0-9.]+ kB: 3 moved", lines[-1]), result.text
    assert len(lines) == 4
    assert isolations(world, tenants) == ["database"] * 3
    assert at_once(intervals(world, name)) == 1
    phases = [one["phase"] for tenant in tenants
              for one in world.reeve.cli("move", "status", tenant.slug, "--all", json=True).json]
    assert phases == ["finished"] * 3
    assert world.reeve.query(SLOTS) == slots
    assert orphans(world) == []


def test_what_is_skipped(world, other):
    name, tenants = add_tenants(world, "schema", 4, filled=False)
    world.reeve.cli("tenant", "suspend", tenants[0].slug)
    world.reeve.cli("hold", tenants[1].slug, "--for", "10m")
    world.reeve.cli("move", tenants[2].slug, SERVICE, "--cluster", "other")
    done = move(world, name, "--to", "database", "--cluster", "local", "--yes", json=True).json
    why = {one["tenant"]: one["reason"] for one in done["moves"] if one["status"] == "skipped"}
    assert why == {tenants[0].slug: "its tenant is suspended", tenants[1].slug: "it is held",
                   tenants[2].slug: "it has moved, and its old place is kept"}
    assert statuses(done)[tenants[3].slug] == "moved" and done["skipped"] == 3
    assert isolations(world, tenants) == ["schema"] * 3 + ["database"]
    assert placement(world, tenants[1])["held_until"] is not None


# ---- what goes wrong ----

def spoil(world, tenant):
    """A row that the new place's tables refuse; nothing that is looked at shows it."""
    place = placement(world, tenant)
    with world.reeve.admin(place["database"]) as admin:
        admin.execute(f"ALTER TABLE {place['schema']}.account DROP CONSTRAINT account_owner_key")
    with world.reeve.connect(tenant) as connection:
        connection.execute("INSERT INTO account (owner, balance) SELECT owner, 0 FROM account LIMIT 1")


def refuse(world, tenant):
    """What a plan shows."""
    place = placement(world, tenant)
    with world.reeve.admin(place["database"]) as admin:
        admin.execute(f"ALTER TABLE {place['schema']}.ledger ENABLE ALWAYS TRIGGER ledger_counts")


def test_one_that_fails_does_not_stop_the_rest(world):
    name, tenants = add_tenants(world, "schema", 5)
    spoil(world, tenants[1])
    refuse(world, tenants[2])
    result = move(world, name, "--to", "database", "--yes", json=True, check=False)
    done = result.json
    assert result.code == STATE and "2 of 5 tenants were not moved" in result.err, result.text
    assert list(statuses(done).values()) == ["moved", "failed", "refused", "moved", "moved"]
    failed, refused = done["moves"][1]["error"], done["moves"][2]["error"]
    assert "duplicate" in failed["message"] and "ledger_counts" in refused["message"]
    assert isolations(world, tenants) == ["database", "schema", "schema", "database", "database"]
    moves = world.reeve.cli("move", "status", tenants[1].slug, "--all", json=True).json
    assert [one["phase"] for one in moves] == ["aborted"]
    with world.reeve.connect(tenants[1]) as connection:
        assert connection.execute("SELECT count(*) FROM account").fetchone() == (21,)
    assert orphans(world) == []


@pytest.mark.parametrize("most", [2, 4])
def test_failures_are_counted(world, most):
    name, tenants = add_tenants(world, "schema", 4, filled=False)
    lost = {"REEVE_FAIL_AT": "move.lose"}
    for tenant in tenants:
        with world.reeve.connect(tenant) as connection:
            shop.fill(connection, 3)
    result = move(world, name, "--to", "database", "--offline", "--parallel", 1, "--jobs", 1, "--max-failures", most,
                  "--yes", json=True, check=False, env=lost)
    assert result.code == STATE, result.text
    assert list(statuses(result.json).values()) == ["failed"] * most + ["not begun"] * (4 - most)
    assert isolations(world, tenants) == ["schema"] * 4
    assert len(intervals(world, name)) == most
    assert orphans(world) == []


# ---- who is asked ----

def test_nothing_moves_unasked(world):
    name, tenants = add_tenants(world, "row", 2, filled=False)
    result = move(world, name, "--to", "schema", check=False)
    assert result.code == USAGE and "This moves 2 tenants" in result.err and "--yes" in result.err, result.text
    assert isolations(world, tenants) == ["row"] * 2


@pytest.mark.parametrize("typed", ["move 2", "yes"])
def test_who_sits_at_a_terminal_is_asked(world, typed):
    name, tenants = add_tenants(world, "row", 2, filled=False)
    command = [str(binary()), "move", "--match", f"slug={name}-*", SERVICE, "--to", "schema"]
    with on_terminal(command, env=environment(REEVE_CONFIG=world.reeve.config_path)) as terminal:
        wait_until(lambda: terminal.read() or "planned" in terminal.received and f"{name}-1" in terminal.received,
                   "the plan is shown", SOON_SECONDS)
        terminal.press(typed + "\n")
        code, err = terminal.wait(SOON_SECONDS)
    assert 'Type "move 2" to go on' in err
    if typed == "yes":
        assert code == INTERRUPTED and "not confirmed" in err
    else:
        assert code == 0, err
    assert isolations(world, tenants) == ["row" if typed == "yes" else "schema"] * 2


# ---- interrupted ----

def goes_on(running):
    """Whether it has ended; each of its threads may stop it once more."""
    if running.poll() is None and is_stopped(running):
        running.send_signal(signal.SIGCONT)
    return running.poll() is not None


def test_an_interruption(world):
    """Those that are under way are undone, and no other begins."""
    name, tenants = add_tenants(world, "schema", 4)
    command = [str(binary()), "move", "--match", f"slug={name}-*", SERVICE, "--to", "database", "--offline",
               "--yes", "--json"]
    running = process.spawn(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                            env=environment(REEVE_CONFIG=world.reeve.config_path,
                                            REEVE_STOP_AT="move.copy.before"))
    try:
        wait_until(lambda: is_stopped(running), "one is about to copy", SOON_SECONDS)
        running.send_signal(signal.SIGINT)
        wait_until(lambda: goes_on(running), "it ends", SOON_SECONDS)
        out, err = running.communicate()
    finally:
        running.kill()
    assert running.returncode == INTERRUPTED and "interrupted" in err, (out, err)
    found = list(statuses(json.loads(out)).values())
    assert sorted(found) == ["interrupted", "interrupted", "not begun", "not begun"]
    assert isolations(world, tenants) == ["schema"] * 4
    phases = [one["phase"] for tenant in tenants
              for one in world.reeve.cli("move", "status", tenant.slug, "--all", json=True).json]
    assert 1 <= len(phases) <= 2 and set(phases) == {"aborted"}
    assert orphans(world) == [] and audited(world, tenants[0]) == []


def test_a_command_that_was_killed(world):
    """The server ends what it has left, and the same command again moves those that are left."""
    name, tenants = add_tenants(world, "schema", 3)
    arguments = ["move", "--match", f"slug={name}-*", SERVICE, "--to", "database", "--offline", "--yes"]
    running = process.spawn([str(binary()), *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                            env=environment(REEVE_CONFIG=world.reeve.config_path,
                                            REEVE_STOP_AT="move.copy.before"))
    try:
        wait_until(lambda: is_stopped(running), "one is about to copy", SOON_SECONDS)
    finally:
        running.kill()
        running.wait()
    wait_for_jobs(world.reeve, 200)
    assert isolations(world, tenants) == ["schema"] * 3 and orphans(world) == []
    done = world.reeve.cli(*arguments, json=True).json
    assert list(statuses(done).values()) == ["moved"] * 3
    assert isolations(world, tenants) == ["database"] * 3
