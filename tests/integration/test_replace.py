"""`reeve serve --replace`: a new program takes over from one that runs, and nobody is refused."""
import contextlib
import signal
import threading

import psycopg
import pytest

from support import process
from support.reeve import Serve, environment, binary, running_reeve
from support.world import World

SOON_SECONDS = 30
CLIENTS = 6


@pytest.fixture(scope="module")
def world():
    with running_reeve({"workers": 1}) as server:
        yield World(server)


@pytest.fixture
def folder():
    with process.temporary_folder() as made:
        yield made


@pytest.fixture
def server(world, folder):
    port = process.free_port()
    running = Serve(world.reeve, folder / "serve", workers=2, shutdown_timeout="20s",
                    listen=[f"127.0.0.1:{port}", f"{folder / 'serve'}:{port}"])
    running.port = port
    try:
        running.start()
        yield running
    finally:
        if running.process:
            running.process.kill()
            running.process.wait()


@contextlib.contextmanager
def successor(server, **env):
    """The process of a further `reeve serve --replace` with the same configuration."""
    with open(server.log_path, "ab") as log:
        started = process.spawn([str(binary()), "serve", "--replace", "--config",
                                 str(server.config_path)], stdout=log, stderr=log,
                                env=environment(**env))
    try:
        yield started
    finally:
        started.kill()
        started.wait()


def serving_pid(world, server):
    return world.reeve.status(server)["server"]["pid"]


class Comers:
    """Clients that connect, ask and go, all the time."""

    def __init__(self, server, tenant, **options):
        self.server, self.tenant, self.options = server, tenant, options
        self.over, self.failures, self.counts = threading.Event(), [], [0] * CLIENTS
        self.threads = [threading.Thread(target=self.work, args=[number])
                        for number in range(CLIENTS)]

    def work(self, number):
        while not self.over.is_set() and not self.failures:
            try:
                with self.server.connect(self.tenant, **self.options) as connection:
                    assert connection.execute("SELECT 1").fetchone() == (1,)
                self.counts[number] += 1
            except psycopg.Error as failure:
                self.failures.append(failure)

    def further(self):
        """Everybody has come and gone once more."""
        before = list(self.counts)
        process.wait_until(lambda: self.failures or all(
            now > then + 1 for now, then in zip(self.counts, before)), "they come", SOON_SECONDS)

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        self.further()
        return self

    def stop(self):
        self.over.set()
        for thread in self.threads:
            thread.join()

    def __exit__(self, *_):
        self.stop()
        assert self.failures == [], self.failures


@contextlib.contextmanager
def replaced(world, server):
    """The successor's process, which serves."""
    with successor(server) as new:
        process.wait_until(lambda: new.poll() is not None or serving_pid(world, server) == new.pid,
                           "the new one serves", SOON_SECONDS)
        assert new.poll() is None, server.log()
        yield new


@pytest.mark.parametrize("way", ["tcp", "unix"])
def test_nobody_is_refused(world, server, way):
    options = {"host": str(server.folder)} if way == "unix" else {}
    tenant = world.tenant("row")
    old = server.process
    assert serving_pid(world, server) == old.pid
    with contextlib.ExitStack() as stack:
        comers = stack.enter_context(Comers(server, tenant, **options))
        stack.enter_context(replaced(world, server))
        comers.further()
        assert old.wait(SOON_SECONDS) == 0
        comers.further()
        comers.stop()


def test_the_old_one_finishes_its_transactions(world, server):
    tenant = world.tenant("schema")
    with server.connect(tenant) as running, server.connect(tenant) as idle:
        idle.execute("SELECT 1")
        with contextlib.suppress(psycopg.Error), running.transaction():
            running.execute("INSERT INTO thing (name) VALUES ('of the old one')")
            with replaced(world, server) as new:
                with pytest.raises(psycopg.Error, match="administrator command"):
                    process.wait_until(lambda: idle.execute("SELECT 1") is None, "it is told",
                                       SOON_SECONDS)
                assert server.process.poll() is None
                running.execute("COMMIT")
                assert server.process.wait(SOON_SECONDS) == 0
                with server.connect(tenant) as again:
                    assert again.execute("SELECT count(*) FROM thing WHERE name = 'of the old one'"
                                         ).fetchone() == (1,)
                new.send_signal(signal.SIGTERM)
                assert new.wait(SOON_SECONDS) == 0
    assert not (server.folder / "status.sock").exists()
    assert not list(server.folder.glob(".s.PGSQL.*"))


def test_one_that_cannot_start_changes_nothing(world, server):
    tenant = world.tenant("row")
    control = server.settings["control"]
    server.write(control="host=127.0.0.1 port=1 dbname=nobody")
    with successor(server) as new:
        assert new.wait(SOON_SECONDS) != 0
    server.write(control=control)
    for host in (None, str(server.folder)):
        with server.connect(tenant, **({"host": host} if host else {})) as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
    assert serving_pid(world, server) == server.process.pid


def test_without_one_that_runs(world, server):
    server.stop()
    with successor(server) as new:
        process.wait_until(lambda: (server.folder / "status.sock").exists(), "it is there",
                           SOON_SECONDS)
        assert serving_pid(world, server) == new.pid


def test_one_after_the_other(world, server):
    with contextlib.ExitStack() as stack:
        comers = stack.enter_context(Comers(server, world.tenant("row")))
        for _ in range(3):
            stack.enter_context(replaced(world, server))
            comers.further()
        comers.stop()


def test_the_embedded_server_stays(world):
    """`reeve dev` is its PostgreSQL's parent: it cannot be replaced."""
    done = process.spawn([str(binary()), "serve", "--replace", "--config",
                          str(world.reeve.config_path)], stderr=-1, text=True, env=environment())
    _, said = done.communicate(timeout=SOON_SECONDS)
    assert done.returncode != 0 and "handover" in said
    with world.reeve.connect(world.tenant("row")) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
