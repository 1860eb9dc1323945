"""Who is measured: PostgreSQL itself, PgBouncer, Reeve on each engine, and a relay on each, which
knows no protocol and is what the engine alone costs."""
import contextlib
import os
import subprocess

import psycopg.conninfo

from support import certificates, postgres, process, reeve as reeve_support, world

import bouncer
import command
import pgbench

RELAY = command.RELEASE / "tests" / "bench" / "relay"
ENGINES = ("io_uring", "epoll")
BACKENDS = 20
PAST_REEVE = "bounced"  # a database
ROLE = "bench"  # who comes past Reeve, with the same password


class Subject:
    """Where clients connect to, and whose CPU counts (None: nobody's)."""

    def __init__(self, name, port, user, database, password, pid=None):
        self.name, self.port, self.user = name, port, user
        self.database, self.password, self.pid = database, password, pid
        self.sslmode = "disable"
        self.protocols = {mode: mode for mode in pgbench.MODES}

    def over_tls(self):
        """The same, for clients that want TLS."""
        other = Subject(self.name, self.port, self.user, self.database, self.password, self.pid)
        other.sslmode = "require"
        return other

    def conninfo(self):
        return psycopg.conninfo.make_conninfo(
            host="127.0.0.1", port=self.port, user=self.user, dbname=self.database,
            password=self.password, sslmode=self.sslmode)

    def cpu_seconds(self):
        """Of the pooler's process and those of its children that run the same program; 0: none."""
        return sum(map(process.cpu_seconds, self.pids()))

    def pids(self):
        if self.pid is None:
            return []
        program = os.readlink(f"/proc/{self.pid}/exe")
        found = [self.pid]
        for child in process.children(self.pid):
            with contextlib.suppress(OSError):
                if os.readlink(f"/proc/{child}/exe") == program:
                    found.append(child)
        return found


# ---- the relay, and which engines there are ----

@contextlib.contextmanager
def running_relay(engine, target):
    """Yields (port, pid)."""
    port = process.free_port()
    relay = process.spawn([RELAY, engine, str(port), str(target)], stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True)
    try:
        if not relay.stdout.readline().startswith("relay: port"):
            raise RuntimeError(relay.communicate()[1].strip())
        yield port, relay.pid
    finally:
        relay.kill()
        relay.communicate()


def engines():
    """(the engines that there are, why others are not)"""
    found, missing = [], []
    for engine in ENGINES:
        try:
            with running_relay(engine, process.free_port()):
                found.append(engine)
        except RuntimeError as reason:
            missing.append(f"engine {engine}: {reason}")
    return found, missing


# ---- a database that Reeve knows nothing of ----

def create_past_reeve(server, roles, accounts=100_000):
    """Database PAST_REEVE, and for each role (whose password is its name) pgbench's tables in its
    own schema."""
    with server.connect() as admin:
        admin.execute(f"CREATE DATABASE {PAST_REEVE}")
    for role in roles:
        with server.connect(PAST_REEVE) as admin:
            admin.execute(f"CREATE ROLE {role} LOGIN PASSWORD '{role}';"
                          f" CREATE SCHEMA AUTHORIZATION {role}")
            admin.execute(f"SET search_path = {role}; SET ROLE {role}")
            admin.execute((world.DATA / "pgbench" / "0001_pgbench.sql").read_text())
            world.fill_pgbench(admin, accounts)
    with server.connect(PAST_REEVE) as admin:
        admin.execute("VACUUM ANALYZE")


# ---- one tenant, and every way to its tables ----

class Place:
    """One tenant in database isolation, on a cluster where each pooler may have BACKENDS. Reeve and
    PgBouncer reach it over the Unix socket, as the relay does."""

    def __init__(self, stack, server, reeve, workers):
        self.stack, self.server, self.reeve, self.workers = stack, server, reeve, workers
        self.tenant = self.database = None

    def create(self, service, migrations):
        """Its tables are in the schema `app`."""
        reeve, server = self.reeve, self.server
        reeve.cli("cluster", "add", "bench", "--conninfo",
                  f"host={server.folder} port={server.port}", "--admin-user", "postgres",
                  "--max-backends", BACKENDS)
        reeve.cli("service", "create", service, "--migrations", migrations, "--isolation",
                  "database", "--cluster", "bench")
        self.tenant = reeve.add_tenant("bench", service, cluster="bench")
        placement = reeve.cli("placement", "show", "bench", service, json=True).json
        self.database = placement["database"]

    def let_in(self, rights):
        """Makes the role that comes past Reeve, with `rights` on all tables of the tenant."""
        with self.admin() as admin:
            admin.execute(f"CREATE ROLE {ROLE} LOGIN PASSWORD '{ROLE}'")
            admin.execute(f'GRANT CONNECT ON DATABASE "{self.database}" TO {ROLE}')
            admin.execute(f"GRANT USAGE ON SCHEMA app TO {ROLE}")
            admin.execute(f"GRANT {rights} ON ALL TABLES IN SCHEMA app TO {ROLE}")
            admin.execute(f'ALTER ROLE {ROLE} IN DATABASE "{self.database}" SET search_path = app')
            admin.execute("VACUUM ANALYZE")

    def create_pgbench(self):
        """pgbench's tables at scale 1, to be read."""
        self.create("pgbench", world.DATA / "pgbench")
        with self.reeve.connect(self.tenant) as connection:
            world.fill_pgbench(connection, 100_000)
        self.let_in("SELECT")

    def admin(self):
        return self.server.connect(self.database)

    def version(self):
        with self.admin() as admin:
            return admin.execute("SHOW server_version").fetchone()[0].split()[0]

    def verifier(self):
        """The role's SCRAM verifier, as the server keeps it."""
        with self.admin() as admin:
            return admin.execute("SELECT rolpassword FROM pg_authid WHERE rolname = %s",
                                 [ROLE]).fetchone()[0]

    def direct(self):
        return Subject("direct", self.server.port, ROLE, self.database, ROLE)

    def through_relay(self, engine):
        socket = f"{self.server.folder}/.s.PGSQL.{self.server.port}"
        port, pid = self.stack.enter_context(running_relay(engine, socket))
        return Subject(f"relay/{engine}", port, ROLE, self.database, ROLE, pid)

    def through_bouncer(self, program, users=None, tls=None, **settings):
        database = (f"host={self.server.folder} port={self.server.port} dbname={self.database}"
                    f" user={ROLE} password={ROLE}")
        port, pid = self.stack.enter_context(bouncer.running(
            program, database, users, tls, default_pool_size=BACKENDS, **settings))
        subject = Subject(program.name, port, ROLE, "bench", ROLE, pid)
        if not program.prepares:
            subject.protocols["prepared"] = "extended"
        return subject

    def through_reeve(self, engine, by_password=False, tls=None, **settings):
        """By token in clear text, as a client on this machine may; else by SCRAM."""
        settings.update(zip(("tls_cert", "tls_key"), tls or ()))
        if by_password:
            settings["auth"] = "scram"
        proxy = self.stack.enter_context(reeve_support.running_serve(
            self.reeve, engine=engine, workers=self.workers, **settings))
        secret = self.tenant.password if by_password else self.tenant.token
        return Subject(f"reeve/{engine}", proxy.port, self.tenant.slug, self.tenant.service, secret,
                       proxy.process.pid)

    def certificate(self):
        """(certificate, key) for clients on this machine."""
        folder = self.stack.enter_context(process.temporary_folder("reeve-bench-"))
        return certificates.write_certificate(folder)


def allow_tls(server):
    """Before its start: TLS to the server itself is the client's to choose."""
    with process.temporary_folder("reeve-bench-") as folder:
        certificate, key = certificates.write_certificate(folder)
        server.require_tls(certificate, key)
    rules = server.data / "pg_hba.conf"
    rules.write_text(rules.read_text().replace("\nhostssl ", "\nhost "))


@contextlib.contextmanager
def running_place(workers, prepare=None, **settings):
    """prepare(server) is called before its start; settings are the server's."""
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(postgres.running_postgres(
            prepare, settings={"max_connections": 1000, **settings}))
        reeve = stack.enter_context(reeve_support.running_reeve())
        yield Place(stack, server, reeve, workers)
