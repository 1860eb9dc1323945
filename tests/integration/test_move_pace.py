"""Copying gives way while others' commits are slow, goes on when they are quick, and minds nobody who is
not there."""
import contextlib
import subprocess
import threading

import pytest

from support import process
from support.postgres import running_postgres
from support.process import wait_until
from support.reeve import binary, environment, running_reeve
from support.world import World, unique
from test_move import orphans

SERVICE = "things"
SOON_SECONDS = 90
SLOWED = "slowed down, commits take"
LATER = 8  # lines of copying, two a second: by then the tests' own sessions count no more
SLOW_COMMITS = {"commit_delay": "100000", "commit_siblings": "0"}  # each waits for 0.1 s


@pytest.fixture(scope="module")
def world():
    """A cluster whose commits wait for the disk."""
    settings = {"wal_level": "logical", "fsync": "on", "synchronous_commit": "on"}
    with running_postgres(settings=settings) as server, running_reeve() as reeve:
        made = World(reeve)
        made.add_cluster("durable", server, 20)
        made.durable = server
        yield made


def make_tenant(world, cluster):
    """Of some 20 MB: with --rate it is copied for long enough."""
    made = world.reeve.add_tenant(unique("pace"), SERVICE, "schema", cluster=cluster)
    with world.reeve.connect(made) as connection:
        connection.execute("INSERT INTO thing (name, body) SELECT g, string_agg(md5(g || '.' || h), '') FROM"
                           " generate_series(1, 2000) g, generate_series(1, 320) h GROUP BY g")
    return made


@pytest.fixture
def tenant(world):
    made = make_tenant(world, "durable")
    yield made
    world.reeve.cli("tenant", "delete", made.slug, "--yes")


@contextlib.contextmanager
def slow_commits(world):
    with world.durable.connect() as admin:
        admin.autocommit = True
        for name, value in SLOW_COMMITS.items():
            admin.execute(f"ALTER SYSTEM SET {name} = {value}")
        admin.execute("SELECT pg_reload_conf()")
        try:
            yield
        finally:
            for name in SLOW_COMMITS:
                admin.execute(f"ALTER SYSTEM RESET {name}")
            admin.execute("SELECT pg_reload_conf()")


@contextlib.contextmanager
def neighbour_at_work(world):
    """Commits, without a pause."""
    neighbour = world.reeve.add_tenant(unique("busy"), SERVICE, "schema", cluster="durable")
    over = threading.Event()

    def work():
        with world.reeve.connect(neighbour) as connection:
            while not over.wait(0.01):
                connection.execute("INSERT INTO thing (name) VALUES (gen_random_uuid()::text)")

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        world.reeve.cli("tenant", "delete", neighbour.slug, "--yes")


class Move:
    """`reeve move` and what it says while it goes on."""

    def __init__(self, world, tenant, *options, to="database", cluster="durable"):
        self.world, self.tenant = world, tenant
        command = [str(binary()), "move", tenant.slug, SERVICE, "--to", to, "--cluster", cluster, *options]
        self.process = process.spawn(command, text=True, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL,
                                     env=environment(REEVE_CONFIG=world.reeve.config_path,
                                                     REEVE_USUAL_COMMIT_US="1000"))
        self.lines = []
        self.reader = threading.Thread(target=self._read)
        self.reader.start()

    def _read(self):
        for line in self.process.stderr:
            self.lines.append(line)

    def __enter__(self):
        return self

    def __exit__(self, *_reason):
        self.process.kill()
        self.process.wait()
        self.reader.join()
        self.process.stderr.close()

    def wait_for(self, found, what):
        """Until one of the lines that come from now on is such a one."""
        known = len(self.lines)
        wait_until(lambda: any(found(line) for line in self.lines[known:]) or self.process.poll() is not None,
                   what, SOON_SECONDS)
        assert any(found(line) for line in self.lines[known:]), "".join(self.lines)


def is_copying(line):
    return " rows, " in line and SLOWED not in line


def is_slowed_down(line):
    return " rows, " in line and SLOWED in line


def abort(world, tenant):
    world.reeve.cli("move", "abort", tenant.slug, SERVICE)
    assert orphans(world) == []


@pytest.mark.parametrize("cluster, to, to_cluster", [
    ("durable", "database", "durable"), ("durable", "row", "durable"), ("durable", "schema", "local"),
    ("local", "schema", "durable")], ids=["own", "shared", "from", "to"])
def test_it_gives_way_and_goes_on(world, cluster, to, to_cluster):
    """To commits at either end; rows of shared tables too."""
    tenant = make_tenant(world, cluster)
    with neighbour_at_work(world), Move(world, tenant, "--rate", "512kB", to=to, cluster=to_cluster) as move:
        move.wait_for(is_copying, "it copies")
        with slow_commits(world):
            move.wait_for(is_slowed_down, "it is slowed down")
        move.wait_for(is_copying, "it goes on")
        abort(world, tenant)
    world.reeve.cli("tenant", "delete", tenant.slug, "--yes")


def test_who_does_not_want_it(world, tenant):
    with neighbour_at_work(world), slow_commits(world), Move(world, tenant, "--rate", "2MB", "--yield", "0") as move:
        move.wait_for(is_copying, "it copies")
        wait_until(lambda: move.process.poll() is not None, "it is done", SOON_SECONDS)
    assert move.process.returncode == 0 and not any(map(is_slowed_down, move.lines))
    world.reeve.cli("move", "finish", tenant.slug, SERVICE)


def test_how_long_it_takes_is_told(world, tenant):
    """Also where the only table is not done yet."""
    def left_s():
        told = world.reeve.cli("move", "status", tenant.slug, json=True).json
        return told[0]["left_s"] if told else None

    with Move(world, tenant, "--rate", "512kB") as move:
        wait_until(lambda: left_s() is not None, "it is told", SOON_SECONDS)
        wait_until(lambda: 2 < (left_s() or 0) < 120, "it is about right", SOON_SECONDS)
        first = left_s()
        wait_until(lambda: 0 < (left_s() or 0) < first, "it becomes less", SOON_SECONDS)
        abort(world, tenant)
        assert move.process.wait(SOON_SECONDS) != 0


def test_nobody_else_is_there(world, tenant):
    """What a copy does to its own commits is nobody's business."""
    with slow_commits(world), Move(world, tenant, "--rate", "2MB") as move:
        move.wait_for(is_copying, "it copies")
        wait_until(lambda: move.process.poll() is not None, "it is done", SOON_SECONDS)
    later = [line for line in move.lines if " rows, " in line][LATER:]
    assert move.process.returncode == 0 and later and not any(map(is_slowed_down, later))
    world.reeve.cli("move", "finish", tenant.slug, SERVICE)
