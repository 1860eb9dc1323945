"""Large transactions while a tenant moves: the stream tells of them in pieces while they run, and they are applied
when they commit, once, without what was rolled back; also when whoever keeps them is killed."""
import contextlib
import os
import pathlib
import signal

import pytest

from support.agreement import wait_for_jobs
from support.bank import let_go, started, wait_until_stopped
from support.process import temporary_folder, wait_until
from support.reeve import running_reeve, running_serve
from support.world import World, unique
from test_move import placement

SERVICE = "large"
SOON_SECONDS = 60
TABLES = """
CREATE TABLE thing (id bigint PRIMARY KEY, name text, long text);
CREATE TABLE pair (a integer, b integer, note text, PRIMARY KEY (a, b));
CREATE TABLE brief (id bigint PRIMARY KEY, note text);
"""
FIRST = ["INSERT INTO thing SELECT i, 'first', (SELECT string_agg(md5(i::text || j), '') FROM generate_series(1, 200) j)"
         " FROM generate_series(1, 20) i",
         "INSERT INTO pair SELECT i % 100, i, 'first' FROM generate_series(1, 1000) i",
         "INSERT INTO brief SELECT i, 'first' FROM generate_series(1, 10) i"]
THINGS = "INSERT INTO thing SELECT i, repeat('{0}', 100) FROM generate_series({1}, {2}) i"
CONTENTS = ["SELECT t::text FROM (SELECT id, name, md5(long) FROM thing) t ORDER BY id",
            "SELECT t::text FROM (SELECT a, b, note FROM pair) t ORDER BY a, b",
            "SELECT t::text FROM (SELECT id, note FROM brief) t ORDER BY id"]


class Large(World):
    """Without World's tenants. Everything that is larger than a few rows comes in pieces."""

    def __init__(self, reeve, folder, spool):
        self.reeve, self.spool = reeve, spool
        self.services, self.tenants, self.tight_tenants = set(), {}, {}
        folder.mkdir()
        folder.chmod(0o755)
        (folder / "0001_large.sql").write_text(TABLES)
        reeve.query("ALTER SYSTEM SET logical_decoding_work_mem = '64kB'")
        reeve.query("SELECT pg_reload_conf()")
        self.add_service(SERVICE, folder)

    def tenant_at(self, mode):
        tenant = self.reeve.add_tenant(unique("l"), SERVICE, mode)
        with self.reeve.connect(tenant) as connection:
            for statement in FIRST:
                connection.execute(statement)
        return tenant

    def started_move(self, tenant, to, *options, **env):
        """`reeve move`, whose copy is done and which is about to follow."""
        return started(self, tenant.slug, SERVICE, "--to", to, *options, TMPDIR=str(self.spool),
                       REEVE_STOP_AT="move.catching_up", **env)

    def streamed(self, tenant):
        """How often a stream of the tenant's move told of a transaction that ran."""
        return self.slot(tenant, "SELECT coalesce(sum(stream_count), 0)::bigint FROM pg_stat_replication_slots")

    def slot(self, tenant, query):
        number = self.reeve.query(
            "SELECT max(m.id) FROM reeve.move m JOIN reeve.placement p ON p.id = m.placement_id"
            " JOIN reeve.tenant t ON t.id = p.tenant_id WHERE t.slug = %s", tenant.slug)[0][0]
        found = self.reeve.query(f"{query} WHERE slot_name IN ('reeve_move_{number}', 'reeve_back_{number}')")
        return found[0][0] if found else None

    def is_told_more(self, tenant, go_on=lambda: None):
        """Calls go_on, and waits until it was told more often than before."""
        before = self.streamed(tenant)
        go_on()
        wait_until(lambda: self.streamed(tenant) > before, "it is told in pieces", SOON_SECONDS)

    def files(self, pid):
        """{mode, ...} of what a process has open in the spool's directory, without a name."""
        found = set()
        for file in pathlib.Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(FileNotFoundError):  # closed meanwhile
                if os.readlink(file).startswith(f"{self.spool}/"):
                    found.add(oct(file.stat().st_mode & 0o777))
        return found

    @contextlib.contextmanager
    def transactions(self, tenant, count):
        """Open ones."""
        with contextlib.ExitStack() as stack:
            yield [stack.enter_context(self.reeve.connect(tenant, autocommit=False)) for _ in range(count)]

    def contents(self, tenant):
        with self.reeve.connect(tenant) as connection:
            return [connection.execute(statement).fetchall() for statement in CONTENTS]

    def is_over(self, tenant):
        """Nothing is left of its moves, neither on servers nor where transactions were kept."""
        wait_until(lambda: os.listdir(self.spool) == [], "nothing is in the spool's directory", SOON_SECONDS)
        assert self.reeve.query("SELECT slot_name FROM pg_replication_slots") == []
        assert self.reeve.cli("move", "status", tenant.slug, json=True).json == []


@pytest.fixture(scope="module")
def world():
    with temporary_folder() as folder:
        spool = folder / "spool"
        spool.mkdir()
        spool.chmod(0o777)
        with running_reeve(TMPDIR=str(spool)) as server:
            yield Large(server, folder / "large", spool)


def write(world, tenant, base, begun):
    """Several at once, of all kinds. begun() is called when each has told of something, and none has ended."""
    with world.transactions(tenant, 3) as (one, two, undone), world.reeve.connect(tenant) as plain:
        one.execute(THINGS.format("a", base + 1, base + 1000))
        two.execute("UPDATE pair SET note = repeat('two', 50), a = a + 1 WHERE b > 500")
        undone.execute(THINGS.format("u", base + 5001, base + 8000))
        undone.execute("DELETE FROM thing WHERE id = 20")
        begun()
        plain.execute("INSERT INTO brief VALUES (%s, 'between')", [base])
        one.execute("SAVEPOINT outside")
        one.execute(THINGS.format("b", base + 1001, base + 2000))
        one.execute("SAVEPOINT within")
        one.execute(THINGS.format("c", base + 2001, base + 3000))
        one.execute("DELETE FROM pair WHERE b <= 500")
        one.execute("ROLLBACK TO within")
        one.execute(THINGS.format("d", base + 2001, base + 2500))
        one.execute("ROLLBACK TO outside")
        one.execute(THINGS.format("e", base + 1001, base + 1500))
        one.execute("SAVEPOINT kept")
        one.execute("UPDATE thing SET name = 'longer' WHERE id <= 10")  # the long value is not told
        one.execute("RELEASE kept")
        two.execute("DELETE FROM pair WHERE b > 900")
        one.execute("UPDATE thing SET id = -id - %s WHERE id BETWEEN %s AND %s OR id = 7", [base, base + 1, base + 300])
        one.execute("DELETE FROM thing WHERE id BETWEEN %s AND %s", [base + 301, base + 600])
        undone.rollback()
        two.commit()
        plain.execute("UPDATE brief SET note = 'later' WHERE id = %s", [base])
        one.commit()


def clear(world, tenant):
    """TRUNCATE is not for tenants."""
    place = placement(world, tenant)
    with world.reeve.admin(place["database"]) as admin, admin.transaction():
        admin.execute(f"SET LOCAL search_path = {place['schema']}, public")
        admin.execute("UPDATE brief SET note = repeat('x', 100)")
        admin.execute("TRUNCATE brief")
        admin.execute("INSERT INTO brief SELECT i, repeat('y', 100) FROM generate_series(1001, 3000) i")


@pytest.mark.parametrize("before, after", [("schema", "database"), ("row", "schema")])
def test_there_and_back(world, before, after):
    tenant = world.tenant_at(before)
    with world.started_move(tenant, after, "--pause", "10s") as moving:
        def begun():
            world.is_told_more(tenant, lambda: moving.send_signal(signal.SIGCONT))
            wait_until(lambda: world.files(moving.pid) == {"0o600"}, "it is kept in files", SOON_SECONDS)
            assert os.listdir(world.spool) == []

        wait_until_stopped(moving, "move.catching_up")
        if before != "row":
            clear(world, tenant)
        write(world, tenant, 10000, begun)
        there = world.contents(tenant)
        assert let_go(moving) == 0, moving.err
    assert placement(world, tenant)["isolation"] == after and world.contents(tenant) == there
    clear(world, tenant)
    # While they run, to the one that follows; or, which takes less time, behind them.
    write(world, tenant, 20000, lambda: None if before == "row" else world.is_told_more(tenant))
    there = world.contents(tenant)
    world.reeve.cli("move", "revert", tenant.slug, SERVICE, "--pause", "10s", env={"TMPDIR": str(world.spool)})
    assert placement(world, tenant)["isolation"] == before and world.contents(tenant) == there
    world.is_over(tenant)


def test_killed_with_half_of_it(world):
    """It comes again. What was rolled back meanwhile is not applied, although a server that has had it on its disk
    does not tell of that."""
    tenant = world.tenant_at("schema")
    with world.transactions(tenant, 1) as (late,), world.reeve.connect(tenant) as plain:
        with world.started_move(tenant, "database", REEVE_CRASH_AT="move.spooled") as moving:
            wait_until_stopped(moving, "move.catching_up")
            late.execute(THINGS.format("a", 10001, 11000))
            late.execute("SAVEPOINT undone")
            late.execute(THINGS.format("b", 11001, 20000))  # more than a server reads back at once
            plain.execute("INSERT INTO brief VALUES (11, 'plain')")
            moving.send_signal(signal.SIGCONT)
            wait_until(lambda: moving.poll() is not None, "it is killed", SOON_SECONDS)
            assert moving.returncode == -signal.SIGKILL and os.listdir(world.spool) == []
        with running_serve(world.reeve):  # takes it up, catches up and makes the other slot, which waits for `late`
            wait_until(lambda: world.slot(tenant, "SELECT max(slot_name) FILTER (WHERE slot_name ~ 'back' AND active)"
                                          " FROM pg_replication_slots"), "it is gone on with", SOON_SECONDS)
            late.execute(THINGS.format("c", 20001, 20100))  # what makes it one piece, and not two
            late.execute("ROLLBACK TO undone")
            late.execute(THINGS.format("d", 30001, 31000))
            late.commit()
            there = world.contents(tenant)
            wait_for_jobs(world.reeve)
    assert placement(world, tenant)["isolation"] == "database" and world.contents(tenant) == there
    world.reeve.cli("move", "finish", tenant.slug, SERVICE)
    world.is_over(tenant)


def test_killed_while_it_is_replayed(world):
    """What was applied of it is not there; then all of it is, once."""
    tenant = world.tenant_at("row")
    with world.started_move(tenant, "schema", REEVE_CRASH_AT="move.replaying") as moving:
        wait_until_stopped(moving, "move.catching_up")
        write(world, tenant, 10000, lambda: None)
        moving.send_signal(signal.SIGCONT)
        wait_until(lambda: moving.poll() is not None, "it is killed", SOON_SECONDS)
        assert moving.returncode == -signal.SIGKILL and os.listdir(world.spool) == []
    there = world.contents(tenant)
    with running_serve(world.reeve):
        wait_for_jobs(world.reeve)
    assert placement(world, tenant)["isolation"] == "schema" and world.contents(tenant) == there
    world.reeve.cli("move", "finish", tenant.slug, SERVICE)
    world.is_over(tenant)


def test_a_row_that_is_too_large(world):
    """It undoes the move."""
    tenant = world.tenant_at("schema")
    with world.started_move(tenant, "database") as moving:
        wait_until_stopped(moving, "move.catching_up")
        with world.transactions(tenant, 1) as (large,):
            large.execute(THINGS.format("a", 10001, 11000))
            large.execute("INSERT INTO brief VALUES (11, repeat('x', 140000000))")
        assert let_go(moving) != 0
    assert "a row of more than 128 MB was written" in moving.err
    assert placement(world, tenant)["isolation"] == "schema"
    world.is_over(tenant)


def test_there_is_no_room(world):
    """Large transactions stay on the server then, and the move goes on."""
    tenant = world.tenant_at("schema")
    with world.started_move(tenant, "database") as moving:
        wait_until_stopped(moving, "move.catching_up")
        with world.transactions(tenant, 1) as (large,):
            large.execute(THINGS.format("a", 10001, 20000))
        world.spool.rename(world.spool.with_name("gone"))
        try:
            assert let_go(moving) == 0
        finally:
            world.spool.with_name("gone").rename(world.spool)
    assert "cannot be kept in" in moving.err and "stay on the server" in moving.err
    assert placement(world, tenant)["isolation"] == "database"
    with world.reeve.connect(tenant) as connection:
        assert connection.execute("SELECT count(*) FROM thing WHERE id > 10000").fetchone() == (10000,)
    world.reeve.cli("move", "finish", tenant.slug, SERVICE)
