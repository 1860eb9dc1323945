"""A tenant moves while its application works: from each isolation to each, and to another cluster, and back
along the change stream. No error, every acknowledged write exactly once."""
import contextlib
from concurrent import futures
import time

import psycopg
import pytest

from support import postgres, shop
from support.bank import let_go, started, wait_until_stopped
from support.process import wait_until
from support.reeve import MODES, running_reeve
from support.world import DATA, World
from test_move import SOME_BETWEEN, SOME_WITHIN, audited, orphans, placement

SOON_SECONDS = 90
SERVICE = "bank"


def shop_folder(tmp_path_factory):
    """The shop's tables, but that each has a key."""
    folder = tmp_path_factory.mktemp("bank")
    folder.chmod(0o755)
    text = (DATA / "shop" / "0001_shop.sql").read_text()
    (folder / "0001_bank.sql").write_text(text.replace("CREATE TABLE visit (",
                                                       "CREATE TABLE visit (\n    id bigserial PRIMARY KEY,"))
    return folder


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    with running_reeve() as server:
        made = World(server)
        made.add_service(SERVICE, shop_folder(tmp_path_factory))
        yield made


def new_tenant(world, mode):
    tenant = world.new_tenant(mode, SERVICE)
    with world.reeve.connect(tenant) as connection:
        shop.fill(connection)
    return tenant


@pytest.fixture(scope="module")
def other(world):
    with postgres.running_postgres(settings={"wal_level": "logical"}) as server:
        world.add_cluster("other", server, 20)
        yield server


def move(world, tenant, *options, **kinds):
    return world.reeve.cli("move", tenant.slug, tenant.service, *options, **kinds)


def status(world, tenant, all_of_them=False):
    """Of its last move."""
    options = ["--all"] if all_of_them else []
    return world.reeve.cli("move", "status", tenant.slug, *options, json=True).json[-1]


def streams(world):
    return (world.reeve.query("SELECT slot_name FROM pg_replication_slots")
            + [row for name in world.reeve.query("SELECT datname FROM pg_database WHERE datallowconn")
               for row in world.reeve.query("SELECT pubname FROM pg_publication", database=name[0])])


@pytest.mark.parametrize("before, after", SOME_WITHIN)
def test_within_a_cluster(world, before, after):
    tenant = new_tenant(world, before)
    with shop.running(lambda: world.reeve.connect(tenant)) as application:
        wait_until(lambda: application.count() > 30, "it works", SOON_SECONDS)
        done = move(world, tenant, "--to", after, json=True).json
        moved_at = application.count()
        wait_until(lambda: application.count() > moved_at + 30, "it works on", SOON_SECONDS)
    assert application.errors == []
    assert done["pause_ms"] < 2500
    with world.reeve.connect(tenant) as connection:
        application.check(connection)
    assert placement(world, tenant)["isolation"] == after
    world.reeve.cli("move", "finish", tenant.slug, SERVICE)
    assert streams(world) == [] and audited(world, tenant) == [] and orphans(world) == []


@pytest.mark.parametrize("before, after", SOME_BETWEEN)
def test_to_another_cluster_and_back(world, other, before, after):
    tenant = new_tenant(world, before)
    with shop.running(lambda: world.reeve.connect(tenant)) as application:
        wait_until(lambda: application.count() > 30, "it works", SOON_SECONDS)
        move(world, tenant, "--to", after, "--cluster", "other")
        moved_at = application.count()
        wait_until(lambda: application.count() > moved_at + 30, "it works there", SOON_SECONDS)
        world.reeve.cli("move", "revert", tenant.slug, SERVICE)
        reverted_at = application.count()
        wait_until(lambda: application.count() > reverted_at + 30, "and back", SOON_SECONDS)
    assert application.errors == []
    assert placement(world, tenant)["cluster"] == "local"
    with world.reeve.connect(tenant) as connection:
        application.check(connection)
    assert streams(world) == [] and orphans(world) == []
    with other.connect() as admin:
        assert admin.execute("SELECT count(*) FROM pg_replication_slots").fetchone() == (0,)


@contextlib.contextmanager
def careless(world):
    """Its commits do not wait for the disk, which has the log seconds later alone."""
    with world.reeve.admin() as admin:
        for change in ("SET synchronous_commit = off", "SET wal_writer_delay = '2s'"):
            admin.execute(f"ALTER SYSTEM {change}")
        admin.execute("SELECT pg_reload_conf()")
        try:
            yield
        finally:
            for name in ("synchronous_commit", "wal_writer_delay"):
                admin.execute(f"ALTER SYSTEM RESET {name}")
            admin.execute("SELECT pg_reload_conf()")


def test_a_server_that_does_not_wait_for_its_disk(world):
    """A change stream has what is on the disk: the mover's mark is, though nobody else writes there who
    would wait for that."""
    tenant = new_tenant(world, "schema")
    with careless(world):
        move(world, tenant, "--to", "database", "--pause", "500ms")
        world.reeve.cli("move", "revert", tenant.slug, SERVICE, "--pause", "500ms")
    with world.reeve.connect(tenant) as connection:
        assert connection.execute("SELECT count(*) FROM account").fetchone() == (shop.ACCOUNTS,)
    assert streams(world) == [] and orphans(world) == []


@pytest.mark.parametrize("mode", MODES)
def test_a_transaction_that_does_not_end(world, mode):
    """Several times it is waited for, and the tenant goes on meanwhile; then it is ended."""
    tenant = new_tenant(world, mode)
    to = "schema" if mode == "database" else "database"
    with world.reeve.connect(tenant) as late, world.reeve.connect(tenant) as other, \
            futures.ThreadPoolExecutor(1) as pool:
        late.execute("BEGIN")
        late.execute("SELECT * FROM tally")  # no write: making a slot would wait for it, and nobody else
        begun, slowest = time.monotonic(), 0.0
        moving = pool.submit(move, world, tenant, "--to", to, "--pause", "500ms")
        while not moving.done():
            since = time.monotonic()
            other.execute("SELECT count(*) FROM account")
            slowest = max(slowest, time.monotonic() - since)
            futures.wait([moving], timeout=0.02)
        moving.result()
        took = time.monotonic() - begun
        assert status(world, tenant)["pauses"] > 1  # it was tried more than once
        assert slowest < took / 2, (slowest, took)  # and let go on in between
        with pytest.raises(psycopg.OperationalError, match="being moved"):
            late.execute("SELECT 1")
    world.reeve.cli("move", "finish", tenant.slug, SERVICE)
    with world.reeve.connect(tenant) as connection:
        assert connection.execute("SELECT count(*) FROM account").fetchone() == (shop.ACCOUNTS,)


def test_the_old_place_is_kept_up(world):
    """What is written behind the move is brought to the old place by `reeve serve`."""
    tenant = new_tenant(world, "schema")
    move(world, tenant, "--to", "database")
    with world.reeve.connect(tenant) as connection:
        connection.execute("INSERT INTO ledger (account_id, amount, note) SELECT min(id), 0, 'behind' FROM account")
    old = world.reeve.query("SELECT database, schema FROM reeve.move WHERE placement_id = "
                            "(SELECT id FROM reeve.placement WHERE tenant_id = "
                            f"(SELECT id FROM reeve.tenant WHERE slug = '{tenant.slug}'))")[0]
    query = f"SELECT count(*) FROM {old[1]}.ledger WHERE note = 'behind'"
    wait_until(lambda: world.reeve.query(query, database=old[0]) == [(1,)], "it is there", SOON_SECONDS)
    world.reeve.cli("move", "finish", tenant.slug, SERVICE)


def test_an_old_place_that_falls_behind(world):
    """It is told, and not any more when it has caught up; so `--keep` ends as it was to."""
    tenant = new_tenant(world, "schema")
    move(world, tenant, "--to", "database", "--keep", "30m")
    database, schema = world.reeve.query("SELECT database, schema FROM reeve.move WHERE phase = 'moved'"
                                         " ORDER BY id DESC LIMIT 1")[0]
    with world.reeve.admin(database) as admin, world.reeve.connect(tenant) as connection:
        admin.execute(f"ALTER TABLE {schema}.ledger ADD CONSTRAINT no_more CHECK (note <> 'refused') NOT VALID")
        connection.execute("INSERT INTO ledger (account_id, amount, note) SELECT min(id), 0, 'refused' FROM account")
        wait_until(lambda: "falls behind" in (status(world, tenant)["error"] or ""), "it is told", SOON_SECONDS)
        connection.execute("INSERT INTO visit (path) SELECT repeat('x', 100) FROM generate_series(1, 100000)")
        wait_until(lambda: (status(world, tenant)["lag_bytes"] or 0) > 10_000_000, "how far is told", SOON_SECONDS)
        admin.execute(f"ALTER TABLE {schema}.ledger DROP CONSTRAINT no_more")
        wait_until(lambda: status(world, tenant)["error"] is None, "it has caught up", SOON_SECONDS)
        wait_until(lambda: status(world, tenant)["lag_bytes"] < 1_000_000, "and is not behind", SOON_SECONDS)
        assert admin.execute(f"SELECT count(*) FROM {schema}.ledger WHERE note = 'refused'").fetchone() == (1,)
    world.reeve.cli("move", "finish", tenant.slug, SERVICE)


def test_a_stream_that_stays(world):
    """The tenant has moved all the same; who keeps the old place up drops it."""
    tenant = new_tenant(world, "schema")
    failed = move(world, tenant, "--to", "database", env={"REEVE_FAIL_AT": "move.settle"}, check=False)
    assert failed.code != 0 and placement(world, tenant)["isolation"] == "database"
    wait_until(lambda: [name for (name,) in streams(world) if name.startswith("reeve_move_")] == [], "it is dropped",
               SOON_SECONDS)
    wait_until(lambda: status(world, tenant)["error"] is None, "it is not told any more", SOON_SECONDS)
    world.reeve.cli("move", "finish", tenant.slug, SERVICE)
    assert streams(world) == [] and audited(world, tenant) == []


def test_a_difference_and_no_way_back(world):
    """The old place does not take what was written since: the tenant stays where it works, and that is told."""
    tenant = new_tenant(world, "schema")
    with started(world, tenant.slug, SERVICE, "--to", "database", REEVE_STOP_AT="move.comparing",
                 REEVE_FAIL_AT="move.lose.visit") as moving:
        wait_until_stopped(moving, "move.comparing")
        with world.reeve.connect(tenant) as connection:
            connection.execute("INSERT INTO ledger (account_id, amount, note) SELECT min(id), 0, 'here' FROM account")
        database, schema = world.reeve.query("SELECT database, schema FROM reeve.move ORDER BY id DESC LIMIT 1")[0]
        with world.reeve.admin(database) as admin:
            admin.execute(f"ALTER TABLE {schema}.ledger ADD CONSTRAINT no_more CHECK (note <> 'here') NOT VALID")
        assert let_go(moving) != 0
    told = status(world, tenant)
    assert (told["phase"], told["offline"]) == ("moved", True) and placement(world, tenant)["isolation"] == "database"
    assert 'the copy differs' in told["error"] and "going back along the stream" in told["error"]
    assert streams(world) == [] and audited(world, tenant) == []
    with world.reeve.connect(tenant) as connection:
        assert connection.execute("SELECT count(*) FROM ledger WHERE note = 'here'").fetchone() == (1,)
    for verb in ("finish", "revert"):  # what is lost there alone has the row
        refused = world.reeve.cli("move", verb, tenant.slug, SERVICE, check=False)
        assert refused.code != 0 and "the copy differs" in refused.err and "--anyway" in refused.err
    world.reeve.cli("move", "finish", tenant.slug, SERVICE, "--anyway")


def test_a_slot_that_keeps_too_much(world):
    """The way back along the stream is given up; going back copies then."""
    tenant = new_tenant(world, "schema")
    move(world, tenant, "--to", "database", "--keep-wal", "16MB")
    with world.reeve.connect(tenant) as connection:
        lock = world.reeve.query("SELECT database, schema FROM reeve.move WHERE phase = 'moved' AND NOT offline"
                                 " ORDER BY id DESC LIMIT 1")[0]
        with world.reeve.admin(lock[0]) as admin, admin.transaction():  # the old place cannot be written
            admin.execute(f"LOCK TABLE {lock[1]}.ledger IN ACCESS EXCLUSIVE MODE")
            for _ in range(3):
                connection.execute("INSERT INTO ledger (account_id, amount, note) SELECT (SELECT min(id) FROM account),"
                                   " 0, string_agg(gen_random_uuid()::text, '') FROM generate_series(1, 250000)")
            wait_until(lambda: status(world, tenant)["offline"], "it is given up", SOON_SECONDS)
    assert "keeps" in status(world, tenant)["error"]
    world.reeve.cli("move", "revert", tenant.slug, SERVICE)
    with world.reeve.connect(tenant) as connection:
        assert connection.execute("SELECT count(*) FROM ledger WHERE length(note) > 1000").fetchone() == (3,)
    assert streams(world) == [] and audited(world, tenant) == []


def test_the_old_place_is_dropped_when_its_time_is_over(world):
    tenant = new_tenant(world, "schema")
    move(world, tenant, "--to", "row", "--keep", "1m")
    world.reeve.query("UPDATE reeve.move SET phase_at = phase_at - interval '1 minute' WHERE phase = 'moved'"
                      " RETURNING 1")
    wait_until(lambda: world.reeve.cli("move", "status", tenant.slug, json=True).json == [], "it is over",
               SOON_SECONDS)
    assert streams(world) == [] and audited(world, tenant) == []


def test_a_server_that_is_gone_for_good(world):
    tenant = new_tenant(world, "schema")
    with postgres.running_postgres(settings={"wal_level": "logical"}) as server:
        world.add_cluster("gone", server, 20)
        move(world, tenant, "--cluster", "gone")
        world.reeve.cli("move", "finish", tenant.slug, SERVICE)
        move(world, tenant, "--cluster", "local")
    failed = world.reeve.cli("move", "finish", tenant.slug, SERVICE, check=False)
    assert failed.code != 0 and status(world, tenant)["phase"] == "finishing"
    world.reeve.cli("move", "finish", tenant.slug, SERVICE, "--abandon")
    assert streams(world) == [] and audited(world, tenant) == []
    with world.reeve.connect(tenant) as connection:
        assert connection.execute("SELECT count(*) FROM account").fetchone() == (shop.ACCOUNTS,)
    move(world, tenant, "--to", "row")
    world.reeve.cli("move", "finish", tenant.slug, SERVICE)
