"""What the online moves are tried with: `reeve dev`, which has the catalog, and clusters "one" and "two" that a
test may kill; a service whose tables are the shop's, but that each has a key; and what a move may leave."""
import contextlib
import os
import pathlib
import re
import select
import signal
import socket
import subprocess
import threading

import psycopg.conninfo
import pytest
from psycopg_pool import ConnectionPool

from support import foreign, postgres, process, shop
from support.agreement import wait_for_jobs
from support.process import wait_until
from support.reeve import binary, environment, running_reeve, running_serve
from support.world import DATA, World, unique

SERVICE = "bank"
SOON_SECONDS = 60
WAL = {"wal_level": "logical", "synchronous_commit": "on", "max_prepared_transactions": "5"}
PLACES = """
    SELECT c.name, p.database, p.schema, p.role, p.ro_role FROM reeve.placement p
    JOIN reeve.cluster c ON c.id = p.cluster_id"""
LOST = re.compile(r"^(OperationalError|InterfaceError|AdminShutdown|CrashShutdown|CannotConnectNow|IdleSessionTimeout"
                  r"|TooManyConnections|ConnectionException|ConnectionFailure|ConnectionDoesNotExist"
                  r"|SqlclientUnableToEstablishSqlconnection|ProtocolViolation): ")


class Bank(World):
    """Without World's tenants."""

    def __init__(self, reeve, folder, servers):
        self.reeve, self.servers = reeve, servers
        self.services, self.tenants, self.tight_tenants = set(), {}, {}
        self.made, self.known = [], []
        text = (DATA / "shop" / "0001_shop.sql").read_text()
        folder.mkdir()
        folder.chmod(0o755)
        (folder / "0001_bank.sql").write_text(
            text.replace("CREATE TABLE visit (", "CREATE TABLE visit (\n    id bigserial PRIMARY KEY,"))
        for name, server in servers.items():
            self.add_cluster(name, server, 20)
        self.add_service(SERVICE, folder)

    def tenant_at(self, isolation, cluster):
        tenant = self.reeve.add_tenant(unique("b"), SERVICE, isolation, cluster=cluster)
        self.made.append(tenant)
        with self.reeve.connect(tenant) as connection:
            shop.fill(connection)
        return tenant

    def working(self, tenant, through=None, **options):
        """An application of the tenant's that works already."""
        return working(lambda: (through or self.reeve).connect(tenant), **options)

    def move(self, tenant, isolation, cluster, *options, **kinds):
        return self.reeve.cli("move", tenant.slug, SERVICE, "--to", isolation, "--cluster", cluster, *options,
                              **kinds)

    def behind(self, verb, tenant, *options, **kinds):
        """finish, revert or abort."""
        return self.reeve.cli("move", verb, tenant.slug, SERVICE, *options, **kinds)

    def last_move(self, tenant):
        return self.reeve.cli("move", "status", tenant.slug, "--all", json=True).json[-1]

    def phase(self, tenant):
        return self.last_move(tenant)["phase"]

    def is_in(self, tenant, phase):
        """Whether its last move is; also where it has none yet."""
        found = self.reeve.query("SELECT m.phase FROM reeve.move m JOIN reeve.placement p ON p.id = m.placement_id"
                                 " JOIN reeve.tenant t ON t.id = p.tenant_id WHERE t.slug = %s ORDER BY m.id DESC"
                                 " LIMIT 1", tenant.slug)
        return found == [(phase,)]

    def pauses(self, tenant):
        """{when it began: seconds or None} of its last move's last pause."""
        return dict(self.reeve.query(
            "SELECT m.held_at, extract(epoch FROM m.released_at - m.held_at)::float8 FROM reeve.move m"
            " JOIN reeve.placement p ON p.id = m.placement_id JOIN reeve.tenant t ON t.id = p.tenant_id"
            " WHERE t.slug = %s AND m.held_at IS NOT NULL ORDER BY m.id DESC LIMIT 1", tenant.slug))

    def place(self, tenant):
        found = self.reeve.cli("placement", "show", tenant.slug, SERVICE, json=True).json
        return found["isolation"], found["cluster"]

    def check(self, tenant, application):
        with self.reeve.connect(tenant) as connection:
            application.check(connection)

    def connect(self, cluster, database="postgres"):
        """As administrator."""
        return self.reeve.admin(database) if cluster == "local" else self.servers[cluster].connect(database)

    def leftovers(self):
        """What no placement needs, on any server, and tenants that wait, and moves that are not over; but for
        what a test that failed has left."""
        return [one for one in self._leftovers() if one not in self.known]

    def clean_up(self):
        """Behind a test that may have failed."""
        if self.leftovers():
            for tenant in self.made:
                for command in (["move", "abort", tenant.slug, SERVICE], ["tenant", "delete", tenant.slug, "--yes"]):
                    with contextlib.suppress(subprocess.TimeoutExpired):
                        self.reeve.cli(*command, check=False, seconds=20)
            self.known = self._leftovers()
        self.made = []

    def _leftovers(self):
        places = self.reeve.query(PLACES)
        found = []
        for cluster in ["local", *self.servers]:
            needed = {name for place in places if place[0] == cluster for name in place[1:]}
            found += [(cluster, *one) for one in self._objects(cluster) if one[1] not in needed]
        found += self.reeve.query("SELECT 'held', id FROM reeve.placement WHERE held_until > now()")
        found += self.reeve.query("SELECT 'open move', id, phase FROM reeve.move WHERE ended_at IS NULL")
        found += self.reeve.query("SELECT 'open job', id FROM reeve.job WHERE state IN ('queued', 'running',"
                                  " 'compensating')")
        return found

    def _objects(self, cluster):
        with self.connect(cluster) as admin:
            found = admin.execute("SELECT 'slot', slot_name FROM pg_replication_slots UNION ALL"
                                  " SELECT 'role', rolname FROM pg_roles WHERE rolname ~ '^t_[0-9]' UNION ALL"
                                  " SELECT 'database', datname FROM pg_database WHERE datname ~ '^d_[0-9]'"
                                  " UNION ALL SELECT 'right', parname || acl.grantee::regrole::text FROM"
                                  " pg_parameter_acl, aclexplode(paracl) acl"
                                  " WHERE parname = 'session_replication_role' AND acl.grantee::regrole::text"
                                  " LIKE '%bank%'").fetchall()
            databases = admin.execute("SELECT datname FROM pg_database WHERE datallowconn").fetchall()
        for (database,) in databases:
            with self.connect(cluster, database) as admin:
                found += admin.execute("SELECT 'publication', pubname FROM pg_publication UNION ALL"
                                       " SELECT 'schema', nspname FROM pg_namespace WHERE nspname ~ '^t_[0-9]'"
                                       ).fetchall()
                if admin.execute("SELECT to_regclass('reeve.move_progress') IS NOT NULL").fetchone()[0]:
                    found += admin.execute("SELECT 'progress', move_id FROM reeve.move_progress").fetchall()
        return found

    def audited(self):
        """What the audit finds that is more than a remark."""
        found = self.reeve.cli("audit", "--all", json=True, check=False).json["findings"]
        return [(one["code"], one["object"]) for one in found
                if (one["severity"] != "info" and one["code"] != "server-hole") or one["code"].startswith("orphan")]


@contextlib.contextmanager
def running_bank(make_reeve=running_reeve):
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(process.temporary_folder())
        servers = {name: stack.enter_context(postgres.running_postgres(settings=WAL, port=process.kept_port()))
                   for name in ("one", "two")}
        yield Bank(stack.enter_context(make_reeve()), folder / "bank", servers)


def bank_fixtures(make_reeve=running_reeve):
    """(bank, alive) of a test module: behind each test nothing of it is left for the next."""
    @pytest.fixture(scope="module", name="bank")
    def running():
        with running_bank(make_reeve) as found:
            yield found

    @pytest.fixture(autouse=True)
    def alive(bank):
        yield
        bank.clean_up()
        bank.reeve.check_log()

    return running, alive


@contextlib.contextmanager
def working(connect, threads=1, pace=0.02, **options):
    with shop.running(connect, threads=threads, pace=pace, **options) as application:
        goes_on(application)
        yield application


def goes_on(application, more=5, seconds=SOON_SECONDS):
    """It is acknowledged what it writes from now on."""
    due = application.count() + more
    wait_until(lambda: application.count() >= due, f"the application goes on ({application.errors[-3:]})", seconds)


def only_lost_connections(application):
    """Nobody told it anything else."""
    return [error for error in application.errors if not LOST.match(error)] == []


@contextlib.contextmanager
def working_with_a_pool(conninfo, threads=3, pace=0.1):
    """The same over psycopg_pool: each transfer on a connection that the pool gives."""
    with ConnectionPool(conninfo, min_size=1, max_size=2, kwargs={"autocommit": True}) as pool:
        with working(pool.connection, threads=threads, pace=pace, reconnect_every=1) as application:
            yield application


class NodeApplication:
    """tests/drivers/node/bank.js"""

    check = shop.Application.check

    def __init__(self, bank, tenant, workers=3, pace=100):
        command, extra = foreign.node("bank.js")()
        self.acknowledged, self.errors, self.begun = [], [], set()
        self.process = process.spawn(
            list(map(str, command)), text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            env={**environment(), **{name: str(value) for name, value in extra.items()}, "PGHOST": "127.0.0.1",
                 "PGPORT": str(bank.reeve.port), "PGUSER": tenant.slug, "PGPASSWORD": tenant.secret,
                 "PGDATABASE": SERVICE, "ACCOUNTS": str(shop.ACCOUNTS), "WORKERS": str(workers),
                 "PACE": str(pace)})
        self.reader = threading.Thread(target=self._read)
        self.reader.start()

    def _read(self):
        for line in self.process.stdout:
            word, _, rest = line.rstrip("\n").partition(" ")
            if word == "begun":
                self.begun.add(rest)
            elif word == "done":
                self.acknowledged.append(rest)
            else:
                self.errors.append(line)

    @property
    def in_doubt(self):
        return self.begun - set(self.acknowledged) if self.errors else set()

    def count(self):
        return len(self.acknowledged)

    def stop(self):
        self.process.stdin.close()
        try:
            assert self.process.wait(SOON_SECONDS) == 0
        finally:
            self.process.kill()
            self.reader.join(SOON_SECONDS)
            self.process.wait()


@contextlib.contextmanager
def working_in_node(bank, tenant):
    application = NodeApplication(bank, tenant)
    try:
        goes_on(application)
        yield application
    finally:
        application.stop()


# ---- commands that a test stops or kills ----

@contextlib.contextmanager
def started(bank, *arguments, config=None, **env):
    """`reeve move ...` beside the test."""
    running = process.spawn([str(binary()), "move", *arguments], text=True, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE,
                            env=environment(REEVE_CONFIG=config or bank.reeve.config_path, **env))
    try:
        yield running
    finally:
        running.kill()
        running.communicate()


@contextlib.contextmanager
def stopped_move(bank, tenant, isolation, cluster, at, *options, **env):
    with started(bank, tenant.slug, SERVICE, "--to", isolation, "--cluster", cluster, *options, REEVE_STOP_AT=at,
                 **env) as running:
        wait_until_stopped(running, at)
        yield running


def is_stopped(running):
    with open(f"/proc/{running.pid}/stat", encoding="ascii", errors="replace") as stat:
        return stat.read().rpartition(")")[2].split()[0] == "T"


def wait_until_stopped(running, at):
    def stopped():
        assert running.poll() is None, f"it never came to {at}:\n{running.stderr.read()}"
        return is_stopped(running)

    wait_until(stopped, f"it is stopped at {at}", SOON_SECONDS)


def let_go(running, seconds=SOON_SECONDS):
    """To its end, past every point that it stops at."""
    def over():
        if running.poll() is not None:
            return True
        if is_stopped(running):
            running.send_signal(signal.SIGCONT)
        return False

    wait_until(over, "the command ends", seconds)
    running.out, running.err = running.communicate()
    return running.returncode


def resume(bank, seconds=120):
    """A `reeve serve` takes up at its start what nobody runs."""
    with running_serve(bank.reeve):
        wait_for_jobs(bank.reeve, seconds)


# ---- servers that a test kills ----

def kill_server(server):
    """kill -9 of PostgreSQL and of all of its processes."""
    helpers = process.children(server.process.pid)
    server.process.kill()
    for helper in helpers:
        with contextlib.suppress(ProcessLookupError):
            os.kill(helper, signal.SIGKILL)
    server.process.wait()
    wait_until(lambda: not any(map(process.is_running, helpers)), "its processes end", SOON_SECONDS)


# ---- who is cut off from the catalog ----

class Line:
    """Between somebody and the control database: `deaf` loses its answers, `cut` ends it."""

    def __init__(self, reeve, folder):
        self.control = psycopg.conninfo.conninfo_to_dict(reeve.setting("control"))
        password = pathlib.Path(self.control.pop("passfile")).read_text().strip().rpartition(":")[2]
        name = f".s.PGSQL.{self.control['port']}"
        self.path = pathlib.Path(self.control["host"]) / name
        self.conninfo = psycopg.conninfo.make_conninfo(**{**self.control, "host": folder, "password": password})
        self.deaf = self.is_cut = False
        self.over = threading.Event()
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(folder / name))
        self.listener.listen()
        self.threads = [threading.Thread(target=self._accept)]
        self.threads[0].start()

    def close(self):
        self.over.set()
        self.listener.shutdown(socket.SHUT_RDWR)
        for thread in self.threads:
            thread.join(SOON_SECONDS)
        self.listener.close()

    def _accept(self):
        with contextlib.suppress(OSError):  # closed
            while True:
                client = self.listener.accept()[0]
                self.threads.append(threading.Thread(target=self._pass_on, args=[client]))
                self.threads[-1].start()

    def _pass_on(self, client):
        with contextlib.suppress(OSError), client, socket.socket(socket.AF_UNIX) as server:
            server.connect(str(self.path))
            while not self.over.is_set() and not self.is_cut:
                for side in select.select([client, server], [], [], process.POLL_SECONDS)[0]:
                    data = side.recv(1 << 16)
                    if not data:
                        return
                    if side is client:
                        server.sendall(data)
                    elif not self.deaf:
                        client.sendall(data)


@contextlib.contextmanager
def running_line(bank):
    with process.temporary_folder() as folder:
        line = Line(bank.reeve, folder)
        try:
            yield line
        finally:
            line.close()


def config_over(line, bank):
    """A configuration file for commands that reach the catalog over a line."""
    path = pathlib.Path(line.listener.getsockname()).parent / "reeve.conf"
    path.touch(mode=0o600)
    path.write_text(f"control = {line.conninfo}\nkey_file = {bank.reeve.folder / bank.reeve.setting('key_file')}\n")
    return path
