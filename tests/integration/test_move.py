"""A tenant moves while it waits (`reeve move --offline`): from each isolation to each, and to another
cluster. Its application sees no error, its data is the same, and nothing is left behind."""
import contextlib
import signal
import subprocess

import psycopg
import pytest

from support import postgres, process, shop
from support.agreement import server_objects
from support.process import wait_until
from support.reeve import MODES, binary, environment, running_reeve, running_serve
from support.some import some
from support.world import DATA, World
from test_example import outline

SERVICE = "shop"
WITHIN = [(before, after) for before in MODES for after in MODES if before != after]
BETWEEN = [(before, after) for before in MODES for after in MODES]
SOME_WITHIN = some(WITHIN, [("row", "schema"), ("schema", "database"), ("database", "row")])
SOME_BETWEEN = some(BETWEEN, [("row", "row"), ("schema", "row"), ("database", "schema")])
SOON_SECONDS = 60
INTERRUPTED = 130


@pytest.fixture(scope="module")
def world():
    with running_reeve() as server:
        made = World(server)
        made.add_service(SERVICE, DATA / SERVICE)
        yield made


@pytest.fixture(scope="module")
def other(world):
    """Another cluster."""
    with postgres.running_postgres() as server:
        world.add_cluster("other", server, 20)
        yield server


@pytest.fixture(scope="module", autouse=True)
def neighbours(world):
    """Tenants of each isolation who have nothing to do with it."""
    tenants = [world.new_tenant(mode, SERVICE) for mode in MODES]
    before = {}
    for tenant in tenants:
        with world.reeve.connect(tenant) as connection:
            shop.fill(connection)
            before[tenant.slug] = shop.contents(connection)
    yield
    for tenant in tenants:
        with world.reeve.connect(tenant) as connection:
            assert shop.contents(connection) == before[tenant.slug]


def new_tenant(world, mode, cluster=None):
    tenant = world.new_tenant(mode, SERVICE, cluster=cluster)
    with world.reeve.connect(tenant) as connection:
        shop.fill(connection)
    return tenant


def move(world, tenant, *options, **kinds):
    return world.reeve.cli("move", tenant.slug, tenant.service, "--offline", *options, **kinds)


def last_move(world, tenant):
    return world.reeve.cli("move", "status", tenant.slug, "--all", json=True).json[-1]


def placement(world, tenant):
    return world.reeve.cli("placement", "show", tenant.slug, tenant.service, json=True).json


def audited(world, tenant):
    """What the audit finds that is more than a remark."""
    found = world.reeve.cli("audit", tenant.slug, json=True, check=False).json
    return [(one["severity"], one["code"], one["object"]) for one in found["findings"]
            if one["severity"] != "info" and one["code"] != "server-hole"]


def orphans(world):
    found = world.reeve.cli("audit", "--all", json=True, check=False).json
    return [(one["code"], one["object"]) for one in found["findings"] if one["code"].startswith("orphan")]


def works_on(connection):
    """Numbers go on where they were."""
    connection.execute("INSERT INTO account (owner, balance) VALUES ('new', 0)")
    connection.execute("INSERT INTO ledger (account_id, amount, note) SELECT max(id), 0, 'new' FROM account")
    assert connection.execute("SELECT max(id) > 50 FROM ledger").fetchone() == (True,)


def shape_of(world, tenant):
    """Columns, keys, names of constraints and indexes."""
    place = placement(world, tenant)
    with world.reeve.admin(place["database"]) as admin:
        return outline(admin, place["schema"])


def move_and_check(world, tenant, *options):
    with world.reeve.connect(tenant) as connection:
        before = shop.contents(connection)
        assert connection.execute("SELECT 1", prepare=True).fetchone() == (1,)
        done = move(world, tenant, *options, json=True).json
        # The same connection goes on at the new place.
        assert shop.contents(connection) == before
        works_on(connection)
        after = shop.contents(connection)
    assert done["pause_ms"] > 0 and not done["dry_run"] and done["problems"] == []
    assert last_move(world, tenant)["phase"] == "moved"
    return after


@pytest.mark.parametrize("before, after", SOME_WITHIN)
def test_within_a_cluster(world, before, after):
    tenant = new_tenant(world, before)
    was, shape = placement(world, tenant), shape_of(world, tenant)
    contents = move_and_check(world, tenant, "--to", after)
    now = placement(world, tenant)
    assert shape_of(world, tenant) == shape and len(shape) > 20
    assert now["isolation"] == after and now["epoch"] > was["epoch"]
    assert audited(world, tenant) == [] and orphans(world) == []
    world.reeve.cli("move", "finish", tenant.slug, SERVICE)
    assert last_move(world, tenant)["phase"] == "finished"
    with world.reeve.connect(tenant) as connection:
        assert shop.contents(connection) == contents
    assert audited(world, tenant) == [] and orphans(world) == []
    assert not set(old_objects(was)) & server_objects(world.reeve)


def old_objects(was):
    """What only the old place had."""
    objects = [("role", was["role"])]
    if was["isolation"] == "schema":
        objects.append(("schema", f"{was['database']}.{was['schema']}"))
    if was["isolation"] == "database":
        objects.append(("database", was["database"]))
    return objects


@pytest.mark.parametrize("before, after", SOME_BETWEEN)
def test_to_another_cluster_and_back(world, other, before, after):
    tenant = new_tenant(world, before)
    contents = move_and_check(world, tenant, "--to", after, "--cluster", "other")
    assert placement(world, tenant)["cluster"] == "other"
    world.reeve.cli("move", "revert", tenant.slug, SERVICE)
    now = placement(world, tenant)
    assert (now["cluster"], now["isolation"]) == ("local", before)
    assert last_move(world, tenant)["phase"] == "reverted"
    with world.reeve.connect(tenant) as connection:
        assert shop.contents(connection) == contents
        connection.execute("INSERT INTO visit (path) VALUES ('after')")
    assert audited(world, tenant) == [] and orphans(world) == []
    with other.connect() as admin:
        assert admin.execute("SELECT count(*) FROM pg_roles WHERE rolname ~ '^t_'").fetchone() == (0,)


@pytest.mark.parametrize("before, after", SOME_WITHIN)
def test_under_an_application(world, before, after):
    tenant = new_tenant(world, before)
    with shop.running(lambda: world.reeve.connect(tenant)) as application:
        wait_until(lambda: application.count() > 30, "it works", SOON_SECONDS)
        move(world, tenant, "--to", after)
        moved_at = application.count()
        wait_until(lambda: application.count() > moved_at + 30, "it works on", SOON_SECONDS)
        world.reeve.cli("move", "finish", tenant.slug, SERVICE)
        finished_at = application.count()
        wait_until(lambda: application.count() > finished_at + 30, "and on", SOON_SECONDS)
    assert application.errors == []
    with world.reeve.connect(tenant) as connection:
        application.check(connection)


# ---- what is refused ----

def refused(world, tenant, *options):
    result = move(world, tenant, *options, check=False)
    assert result.code not in (0, INTERRUPTED), result.text
    return result.err


def test_refusals(world, other):
    tenant = new_tenant(world, "row")
    assert "already" in refused(world, tenant, "--to", "row")
    assert "--to" in refused(world, tenant)
    assert "nowhere" in refused(world, tenant, "--cluster", "nowhere")
    online = world.reeve.cli("move", tenant.slug, SERVICE, "--to", "schema", check=False)
    assert online.code != 0 and "--offline" in online.err
    nobody = world.reeve.cli("move", "nobody", SERVICE, "--to", "schema", "--offline", check=False)
    assert nobody.code != 0 and "nobody" in nobody.err
    for verb in ("finish", "revert", "abort"):
        nothing = world.reeve.cli("move", verb, tenant.slug, SERVICE, check=False)
        assert nothing.code != 0 and "no open move" in nothing.err
    world.reeve.cli("tenant", "suspend", tenant.slug)
    assert "suspended" in refused(world, tenant, "--to", "schema")
    world.reeve.cli("tenant", "resume", tenant.slug)
    move(world, tenant, "--to", "schema")
    assert "open move" in refused(world, tenant, "--to", "database")
    assert "moved" in world.reeve.cli("move", "abort", tenant.slug, SERVICE, check=False).err


def test_a_plan(world, other):
    tenant = new_tenant(world, "row")
    plan = move(world, tenant, "--to", "database", "--cluster", "other", "--dry-run", json=True).json
    assert plan["dry_run"] and plan["problems"] == [] and plan["pause_ms"] > 0
    assert plan["tables"] == 5 and plan["rows"] == 20 + 50 + 4 + 30 + 1 and plan["bytes"] > 1000
    assert "shared" not in plan["to"] and "other" in plan["to"]
    assert placement(world, tenant)["isolation"] == "row"
    text = move(world, tenant, "--to", "database", "--dry-run").out
    assert "ROWS" in text and "database d_" in text
    assert world.reeve.cli("move", "status", tenant.slug, "--all", json=True).json == []


# ---- what is undone ----

def start(world, *arguments, **env):
    return process.spawn([str(binary()), "move", *arguments], text=True, stdout=subprocess.PIPE,
                         stderr=subprocess.PIPE, env=environment(REEVE_CONFIG=world.reeve.config_path, **env))


def is_stopped(running):
    with open(f"/proc/{running.pid}/stat", encoding="ascii", errors="replace") as stat:
        return stat.read().rpartition(")")[2].split()[0] == "T"


def assert_undone(world, tenant, objects, contents, words):
    assert last_move(world, tenant)["phase"] == "aborted"
    assert words in last_move(world, tenant)["error"]
    assert server_objects(world.reeve) == objects
    assert audited(world, tenant) == [] and orphans(world) == []
    with world.reeve.connect(tenant) as connection:
        assert shop.contents(connection) == contents
        works_on(connection)


@pytest.mark.parametrize("how", ["interrupt", "abort", "time"])
@pytest.mark.parametrize("before, after", [("row", "schema"), ("schema", "database"), ("database", "row")])
def test_undone(world, before, after, how):
    tenant = new_tenant(world, before)
    objects = server_objects(world.reeve)
    with world.reeve.connect(tenant) as connection:
        contents = shop.contents(connection)
    running = start(world, tenant.slug, SERVICE, "--offline", "--to", after, "--pause", "2s",
                    REEVE_STOP_AT="move.copy.before")
    others = []
    try:
        wait_until(lambda: is_stopped(running), "it is about to copy", SOON_SECONDS)
        found = world.reeve.cli("move", "status", tenant.slug, json=True).json
        assert [(one["phase"], one["waiting"]) for one in found] == [("copying", True)]
        if how == "interrupt":
            running.send_signal(signal.SIGINT)
        elif how == "abort":
            others.append(start(world, "abort", tenant.slug, SERVICE))
            wait_until(lambda: world.reeve.query("SELECT count(*) FROM reeve.move WHERE stop_wanted AND"
                                                 " ended_at IS NULL") == [(1,)], "it is told", SOON_SECONDS)
        else:
            wait_until(lambda: world.reeve.query("SELECT held_at < clock_timestamp() - interval '2 s' FROM"
                                                 " reeve.move ORDER BY id DESC LIMIT 1") == [(True,)],
                       "the time is over", SOON_SECONDS)
        running.send_signal(signal.SIGCONT)
        _, err = running.communicate(timeout=SOON_SECONDS)
        for one in others:
            one.communicate(timeout=SOON_SECONDS)
            assert one.returncode == 0
    finally:
        for one in [running, *others]:
            one.kill()
    words = {"interrupt": "interrupted", "abort": "aborted", "time": "waited"}[how]
    assert running.returncode != 0 and words in err
    assert_undone(world, tenant, objects, contents, words)


def test_a_move_that_is_not_finished_goes_with_its_tenant(world, other):
    objects = server_objects(world.reeve)
    tenant = new_tenant(world, "schema")
    move(world, tenant, "--cluster", "other")
    world.reeve.cli("tenant", "delete", tenant.slug, "--yes")
    assert server_objects(world.reeve) == objects
    assert orphans(world) == []


# ---- who did not hear of it ----

@pytest.mark.parametrize("before, after", SOME_WITHIN)
def test_a_proxy_that_does_not_answer_cannot_write_there(world, before, after):
    """One that was stopped in the middle of a client's session: what it says afterwards is in the new place
    or refused."""
    tenant = new_tenant(world, before)
    with running_serve(world.reeve) as away:
        with away.connect(tenant) as connection:
            connection.execute("INSERT INTO visit (path) VALUES ('before')")
            away.process.send_signal(signal.SIGSTOP)
            try:
                move(world, tenant, "--to", after, "--pause", "25s")
            finally:
                away.process.send_signal(signal.SIGCONT)
            written = []
            with contextlib.suppress(psycopg.Error):
                connection.execute("INSERT INTO visit (path) VALUES ('late')")
                written.append(("late",))
        with world.reeve.connect(tenant) as connection:
            found = connection.execute("SELECT path FROM visit WHERE path IN ('before', 'late')").fetchall()
            assert found == [("before",), *written]


def fence_of(world, tenant):
    return world.reeve.query(
        "SELECT rolname FROM pg_roles WHERE rolname = format('reeve_fence_%%s_%%s',"
        " (SELECT oid FROM pg_database WHERE datname = 'svc_shop'),"
        " (SELECT id FROM reeve.tenant WHERE slug = %s))", tenant.slug)


def test_the_old_place_is_closed(world):
    """Also to who enters it by the guard, or knows its password. Where a role lets everybody in, it stays so
    when the place is gone, until the tenant is there again."""
    for before in MODES:
        tenant = new_tenant(world, before)
        was = placement(world, tenant)
        after = "schema" if before == "database" else "database"
        move(world, tenant, "--to", after)
        roles = world.reeve.query("SELECT rolname, rolcanlogin, rolconnlimit FROM pg_roles WHERE rolname = %s",
                                  was["role"])
        nameless = before == "row" and was["enforcement"] == "guard"
        assert roles == ([] if nameless else [(was["role"], False, 0)])
        assert bool(fence_of(world, tenant)) == (before == "row")
        world.reeve.cli("move", "finish", tenant.slug, SERVICE)
        assert bool(fence_of(world, tenant)) == (before == "row")
        contents = move_and_check(world, tenant, "--to", before)
        assert fence_of(world, tenant) == []
        world.reeve.cli("move", "finish", tenant.slug, SERVICE)
        with world.reeve.connect(tenant) as connection:
            assert shop.contents(connection) == contents


# ---- what is not as it should be ----

@pytest.mark.parametrize("before, after", SOME_WITHIN)
def test_a_lost_row_is_noticed(world, before, after):
    """The copy loses a row of each table: the move says which, and is undone."""
    tenant = new_tenant(world, before)
    with world.reeve.connect(tenant) as connection:
        contents = shop.contents(connection)
    lost = move(world, tenant, "--to", after, "--jobs", 1, env={"REEVE_FAIL_AT": "move.lose"}, check=False)
    assert lost.code != 0 and "differs" in lost.err and "is missing" in lost.err
    assert last_move(world, tenant)["phase"] == "aborted"
    assert orphans(world) == [] and audited(world, tenant) == []
    with world.reeve.connect(tenant) as connection:
        assert shop.contents(connection) == contents
        works_on(connection)


def test_a_lost_row_on_the_way_back(world):
    tenant = new_tenant(world, "schema")
    contents = move_and_check(world, tenant, "--to", "database")
    lost = world.reeve.cli("move", "revert", tenant.slug, SERVICE, env={"REEVE_FAIL_AT": "move.lose"}, check=False)
    assert lost.code != 0 and "is missing" in lost.err
    assert last_move(world, tenant)["phase"] == "moved" and placement(world, tenant)["isolation"] == "database"
    with world.reeve.connect(tenant) as connection:
        assert shop.contents(connection) == contents
    world.reeve.cli("move", "revert", tenant.slug, SERVICE)
    with world.reeve.connect(tenant) as connection:
        assert shop.contents(connection) == contents


def test_problems(world):
    """What a copy would fail for is told before anything is made."""
    tenant = new_tenant(world, "schema")
    was = placement(world, tenant)
    with world.reeve.admin(was["database"]) as admin:
        admin.execute(f"ALTER TABLE {was['schema']}.ledger ENABLE ALWAYS TRIGGER ledger_counts")
        admin.execute(f"ALTER TABLE {was['schema']}.visit ADD CONSTRAINT short CHECK (length(path) < 2) NOT VALID")
    plan = move(world, tenant, "--to", "database", "--dry-run", json=True).json
    assert len(plan["problems"]) == 2
    assert "ledger_counts" in plan["problems"][1]["what"] and "short" in plan["problems"][0]["what"]
    assert "cannot be moved" in refused(world, tenant, "--to", "database")
    assert world.reeve.cli("move", "status", tenant.slug, "--all", json=True).json == []


def test_no_trigger_fires_for_who_deletes(world):
    """One that is enabled ALWAYS would run with the administrator's rights: nothing is deleted beside it."""
    tenant = new_tenant(world, "row")
    place = placement(world, tenant)
    move(world, tenant, "--to", "schema")
    change = "ALTER TABLE app.ledger ENABLE {} TRIGGER ledger_counts"
    with world.reeve.admin(place["database"]) as admin:
        admin.execute(change.format("ALWAYS"))
        try:
            found = world.reeve.cli("move", "finish", tenant.slug, SERVICE, check=False)
        finally:
            admin.execute(change.format(""))
    assert found.code != 0 and "ledger_counts" in found.err
    world.reeve.cli("move", "finish", tenant.slug, SERVICE)
    assert last_move(world, tenant)["phase"] == "finished" and orphans(world) == []


# ---- what others do meanwhile ----

@contextlib.contextmanager
def stopped_move(world, tenant, *options):
    """A move that is stopped as it begins to copy; it goes on at the end."""
    running = start(world, tenant.slug, SERVICE, "--offline", *options, REEVE_STOP_AT="move.copy.before")
    try:
        wait_until(lambda: is_stopped(running), "it is about to copy", SOON_SECONDS)
        yield running
        running.send_signal(signal.SIGCONT)
        running.out, running.err = running.communicate(timeout=SOON_SECONDS)
    finally:
        running.kill()


@pytest.mark.parametrize("before, after", SOME_WITHIN)
def test_suspended_meanwhile(world, before, after):
    """It stays where it was, suspended; and works there when it is resumed."""
    tenant = new_tenant(world, before)
    with world.reeve.connect(tenant) as connection:
        contents = shop.contents(connection)
    with stopped_move(world, tenant, "--to", after) as running:
        world.reeve.cli("tenant", "suspend", tenant.slug)
    assert running.returncode != 0 and "not active" in running.err
    assert last_move(world, tenant)["phase"] == "aborted"
    world.reeve.cli("tenant", "resume", tenant.slug)
    world.reeve.wait_until_heard()
    assert fence_of(world, tenant) == []
    with world.reeve.connect(tenant) as connection:
        assert shop.contents(connection) == contents
        works_on(connection)


def test_who_else_would_disturb_it(world, other):
    tenant = new_tenant(world, "row")
    with stopped_move(world, tenant, "--to", "schema", "--cluster", "other") as running:
        for command in (["release", tenant.slug], ["hold", tenant.slug]):
            found = world.reeve.cli(*command, check=False)
            assert found.code != 0 and "while it is moved" in found.err
        found = world.reeve.cli("cluster", "remove", "other", check=False)
        assert found.code != 0
    assert running.returncode == 0, running.err
    found = world.reeve.cli("cluster", "remove", "other", check=False)
    assert found.code != 0
    world.reeve.cli("move", "revert", tenant.slug, SERVICE)


def test_a_stale_plan(world):
    """Somebody else moves the tenant while a plan for it is made: nothing is done by the plan."""
    tenant = new_tenant(world, "row")
    running = start(world, tenant.slug, SERVICE, "--offline", "--to", "schema", REEVE_STOP_AT="move.planned")
    try:
        wait_until(lambda: is_stopped(running), "it has its plan", SOON_SECONDS)
        contents = move_and_check(world, tenant, "--to", "schema")
        world.reeve.cli("move", "finish", tenant.slug, SERVICE)
        running.send_signal(signal.SIGCONT)
        _, err = running.communicate(timeout=SOON_SECONDS)
    finally:
        running.kill()
    assert running.returncode != 0 and "was changed while it was looked at" in err
    assert placement(world, tenant)["isolation"] == "schema"
    with world.reeve.connect(tenant) as connection:
        assert shop.contents(connection) == contents


def test_an_abort_that_comes_late(world):
    """Behind the flip there is nothing to abort, and going back works all the same."""
    tenant = new_tenant(world, "schema")
    contents = move_and_check(world, tenant, "--to", "database")
    late = world.reeve.cli("move", "abort", tenant.slug, SERVICE, check=False)
    assert late.code != 0 and "revert" in late.err
    world.reeve.cli("move", "revert", tenant.slug, SERVICE)
    with world.reeve.connect(tenant) as connection:
        assert shop.contents(connection) == contents
