"""`reeve dev` as the tests run it, and the command line."""
import contextlib
import dataclasses
import json
import os
import pathlib
import re
import signal
import socket
import subprocess

import psycopg
import psycopg.conninfo

from support import process

MODES = ("row", "schema", "database")
# How tenants that share a database are locked in, where a test does not say.
ENFORCEMENT = os.environ.get("REEVE_TESTS_ENFORCEMENT", "guard")
# What every server waits with, where a test does not say.
ENGINE = os.environ.get("REEVE_ENGINE")
SANITIZER_REPORT = re.compile(
    r"ERROR: (Address|Leak|Memory|Thread)Sanitizer|runtime error: |SUMMARY: \w+Sanitizer")
SANITIZER_OPTIONS = {
    "ASAN_OPTIONS": "detect_leaks=1:abort_on_error=0:detect_stack_use_after_return=1",
    "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1",
    "TSAN_OPTIONS": "halt_on_error=1:exitcode=66:second_deadlock_stack=1",
}


def binary():
    """$REEVE_BINARY, else the sanitized build, else the release."""
    if "REEVE_BINARY" in os.environ:
        return pathlib.Path(os.environ["REEVE_BINARY"]).resolve()
    for folder in ("asan", "release"):
        path = process.ROOT / "build" / folder / "reeve"
        if path.exists():
            return path
    raise RuntimeError("there is no build/asan/reeve: run make build-asan")


class CommandFailed(AssertionError):
    """A command that was to succeed did not."""


@dataclasses.dataclass
class Result:
    """What a command gave."""

    command: list
    code: int
    out: str
    err: str

    @property
    def json(self):
        return json.loads(self.out)

    @property
    def text(self):
        return f"$ {' '.join(map(str, self.command))}\n{self.out}{self.err}[exit {self.code}]"


def environment(**extra):
    values = {name: value for name, value in os.environ.items()
              if not name.startswith(("PG", "REEVE_"))}
    for name, value in SANITIZER_OPTIONS.items():
        values[name] = ":".join(filter(None, (value, os.environ.get(name))))
    values.update({name: str(value) for name, value in extra.items() if value is not None})
    return values


def run(*arguments, env=None, input=None, cwd=None, seconds=120):
    """Runs the reeve command without a configuration."""
    command = [str(binary()), *map(str, arguments)]
    done = subprocess.run(command, env=env or environment(), input=input, cwd=cwd,
                          stdin=subprocess.DEVNULL if input is None else None,
                          capture_output=True, text=True, timeout=seconds,
                          preexec_fn=process.end_with_parent(signal.SIGKILL))
    result = Result(command, done.returncode, done.stdout, done.stderr)
    assert not SANITIZER_REPORT.search(result.err), result.text
    return result


@dataclasses.dataclass
class Tenant:
    """A tenant with one placement in service `service`, and its credentials."""

    slug: str
    mode: str
    service: str
    token: str
    password: str

    @property
    def secret(self):
        """What it logs in with."""
        return self.token or self.password

    def other_service(self, service):
        return dataclasses.replace(self, service=service)


class Reeve:
    """A running `reeve dev`. Several may run, each in its own folder."""

    durable = True  # conftest.py says otherwise, and benchmarks do not

    def __init__(self, folder, port=None):
        self.folder = pathlib.Path(folder)
        self.port = port or process.free_port()
        self.process = None
        self.log_path = self.folder.parent / f"{self.folder.name}.log"

    # -- life --

    @property
    def config_path(self):
        return self.folder / "reeve.conf"

    def configure(self, **settings):
        """Adds lines to the configuration file; for a running Reeve, reload() makes them hold."""
        self.folder.mkdir(mode=0o755, exist_ok=True)
        old = self.config_path.read_text() if self.config_path.exists() else ""
        kept = [line for line in old.splitlines()
                if line.partition("=")[0].strip() not in settings]
        lines = [f"{name} = {value}" for name, value in settings.items() if value is not None]
        self.config_path.write_text("\n".join(kept + lines) + "\n")

    def reload(self):
        self.process.send_signal(signal.SIGHUP)

    def start(self, wait=True, **env):
        """Environment variables such as REEVE_CRASH_AT come as keywords."""
        if ENGINE and not self.has_setting("engine"):
            self.configure(engine=ENGINE)
        command = [str(binary()), "dev", "--dir", str(self.folder), "--port", str(self.port)]
        if "REEVE_PG_BIN" in os.environ:
            command += ["--pg-bindir", os.environ["REEVE_PG_BIN"]]
        with open(self.log_path, "ab") as log:
            self.process = process.spawn(command, stdout=log, stderr=log,
                                         env=environment(**env), cwd=self.folder.parent)
        if wait:
            process.wait_until(self._answers, f"reeve dev answers on port {self.port}", 90)
            if not self.durable:
                self.hurry()
            if ENFORCEMENT == "login":
                self.cli("cluster", "enforce", "local", "login")

    def hurry(self):
        """Its PostgreSQL waits for no disk: what is killed here are processes, never the machine. Nor
        does it compile a query that runs once; and where time is short, it seldom looks for databases
        to vacuum, of which there are hundreds."""
        settings = {"fsync": "off", "full_page_writes": "off", "jit": "off"}
        if os.environ.get("REEVE_TESTS_SOME"):
            settings["autovacuum_naptime"] = "10min"
        with self.admin() as admin:
            for name, value in settings.items():
                admin.execute(f"ALTER SYSTEM SET {name} = '{value}'")
            admin.execute("SELECT pg_reload_conf()")

    def _answers(self):
        if self.process.poll() is not None:
            raise AssertionError(f"reeve dev ended with {self.process.returncode}:\n{self.log()}")
        with contextlib.suppress(OSError), socket.create_connection(
                ("127.0.0.1", self.port), timeout=5) as probe:
            probe.sendall(b"\x00\x00\x00\x08\x04\xd2\x16\x2f")  # SSLRequest
            return probe.recv(1) in (b"N", b"S")
        return False

    def stop(self, seconds=60):
        """Gracefully; the exit status must be 0 and no sanitizer may have complained."""
        if not self.process:
            return
        helpers = process.children(self.process.pid)
        running = self.process.poll() is None
        status = process.stop(self.process, seconds)
        self.process = None
        self.check_log()
        if running:
            assert status == 0, f"reeve dev stopped with {status}:\n{self.log()}"
        process.wait_until(lambda: not any(map(process.is_running, helpers)),
                           "the embedded PostgreSQL is gone after reeve dev", 30)

    def kill(self):
        """kill -9; returns when it and its PostgreSQL are gone."""
        helpers = process.children(self.process.pid)
        self.process.kill()
        self.process.wait()
        self.process = None
        self.wait_gone(helpers)

    @staticmethod
    def wait_gone(pids):
        process.wait_until(lambda: not any(map(process.is_running, pids)),
                           "the embedded PostgreSQL ends with its parent", 30)

    def log(self):
        try:
            return self.log_path.read_text(encoding="utf-8", errors="replace")[-20000:]
        except OSError:
            return ""

    def check_log(self):
        text = self.log()
        assert not SANITIZER_REPORT.search(text), text

    def has_setting(self, key):
        with contextlib.suppress(OSError, KeyError):
            return bool(self.setting(key))
        return False

    def setting(self, key):
        """A value of the configuration file that `reeve dev` wrote."""
        for line in self.config_path.read_text().splitlines():
            name, equals, value = line.partition("=")
            if equals and name.strip() == key:
                return value.strip()
        raise KeyError(f"{key} is not in {self.config_path}")

    # -- commands --

    def cli(self, *arguments, check=True, json=False, env=None, **options):
        """Runs a command against this Reeve's configuration."""
        arguments = list(arguments) + (["--json"] if json else [])
        values = environment(REEVE_CONFIG=self.config_path, **(env or {}))
        result = run(*arguments, env=values, **options)
        if check and result.code != 0:
            raise CommandFailed(f"{result.text}\n--- log:\n{self.log()[-3000:]}")
        return result

    def status(self, server=None):
        """What `reeve status` tells, also of a proxy beside it."""
        where = ["--config", server.config_path] if server else []
        return self.cli("status", *where, json=True).json

    def wait_until_heard(self, server=None):
        """Until the proxy knows what the catalog says now."""
        def is_heard():
            found = self.status(server)
            return found["server"]["route_version"] >= version

        version = self.status()["catalog"]["route_version"]
        process.wait_until(is_heard, "the proxy has heard of a change", 30)

    def add_tenant(self, slug, service, mode=None, credentials=True, cluster=None, database=None):
        """Creates a tenant and, with a service, its placement."""
        self.cli("tenant", "create", slug)
        if service:
            isolation = ["--isolation", mode] if mode else []
            where = ["--cluster", cluster] if cluster else []
            where += ["--database", database] if database else []
            self.cli("tenant", "attach", slug, service, *isolation, *where)
        if not credentials:
            return Tenant(slug, mode, service, None, None)
        return Tenant(slug, mode, service, self.token(slug), self.new_password(slug))

    def add_cluster(self, name, server, max_backends, enforcement=ENFORCEMENT):
        """A support.postgres.Postgres as a further cluster."""
        library = ["--guard-library", server.guard] if enforcement == "guard" else []
        self.cli("cluster", "add", name, "--conninfo", f"host=127.0.0.1 port={server.port}", "--admin-user",
                 "postgres", "--password-file", "-", "--max-backends", max_backends, "--enforcement", enforcement,
                 *library, input=server.password + "\n")

    def token(self, slug, *options):
        return self.cli("token", "issue", slug, *options, json=True).json["token"]

    def new_password(self, slug, password=None):
        password = password or f"pw-{slug}-0123456789"
        self.cli("password", "set", slug, input=password + "\n")
        return password

    # -- connections --

    def conninfo(self, tenant, **options):
        """libpq's keywords for a tenant, by token unless a password is given."""
        values = {"host": "127.0.0.1", "port": self.port, "user": tenant.slug,
                  "dbname": tenant.service, "password": tenant.secret,
                  "connect_timeout": 30, **options}
        return psycopg.conninfo.make_conninfo(**values)

    def connect(self, tenant, autocommit=True, **options):
        """psycopg connection of a tenant through the proxy."""
        factory = options.pop("factory", psycopg.connect)
        return factory(self.conninfo(tenant, **options), autocommit=autocommit)

    def admin(self, database=None, **options):
        """A superuser's connection straight to the embedded PostgreSQL; default: the control
        database."""
        control = psycopg.conninfo.conninfo_to_dict(self.setting("control"))
        if database:
            control["dbname"] = database
        return psycopg.connect(psycopg.conninfo.make_conninfo(**control), autocommit=True,
                               **options)

    def query(self, sql, *values, database=None):
        """All rows of a query by the administrator."""
        with self.admin(database) as connection:
            cursor = connection.execute(sql, values or None)
            return cursor.fetchall() if cursor.description else []


class Serve:
    """`reeve serve` beside a `reeve dev`: a further proxy on the same catalog, with settings of its
    own."""

    connect = Reeve.connect
    conninfo = Reeve.conninfo
    log = Reeve.log
    check_log = Reeve.check_log
    cli = Reeve.cli
    _answers = Reeve._answers

    def __init__(self, reeve, folder, **settings):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(mode=0o755)
        listen = settings.get("listen")
        self.port = int(listen[0].rpartition(":")[2]) if listen else process.free_port()
        self.config_path = self.folder / "serve.conf"
        self.log_path = self.folder / "serve.log"
        self.process = None
        key = reeve.folder / reeve.setting("key_file")
        self.settings = {"listen": f"127.0.0.1:{self.port}", "control": reeve.setting("control"),
                         "key_file": key, "status_socket": self.folder / "status.sock", "engine": ENGINE,
                         **settings}
        self.write()

    def write(self, **changes):
        """The configuration file anew; a setting of None is left out."""
        self.settings.update(changes)
        lines = []
        for name, value in self.settings.items():
            values = value if isinstance(value, list) else [value]
            lines += [f"{name} = {one}" for one in values if one is not None]
        made = self.config_path.with_suffix(".new")  # who reads it meanwhile reads a whole one
        made.write_text("\n".join(lines) + "\n")
        made.chmod(0o600)
        made.replace(self.config_path)

    def start(self, under=(), **env):
        """`under`: a command that runs it, with its arguments."""
        with open(self.log_path, "ab") as log:
            self.process = process.spawn(
                [*under, str(binary()), "serve", "--config", str(self.config_path)], stdout=log,
                stderr=log, env=environment(**env))
        process.wait_until(self._answers, f"reeve serve answers on port {self.port}", 60)

    def stop(self, seconds=60):
        if not self.process:
            return
        running = self.process.poll() is None
        status = process.stop(self.process, seconds)
        self.process = None
        self.check_log()
        if running:
            assert status == 0, f"reeve serve stopped with {status}:\n{self.log()}"


@contextlib.contextmanager
def running_serve(reeve, under=(), **settings):
    with process.temporary_folder() as folder:
        server = Serve(reeve, folder / "serve", **settings)
        try:
            server.start(under)
            yield server
            server.stop()
        finally:
            if server.process:
                server.process.kill()
                server.process.wait()


@contextlib.contextmanager
def running_reeve(settings=None, start=True, **env):
    """A Reeve in a folder of its own, with settings of reeve.conf and environment variables."""
    with process.temporary_folder() as folder:
        server = Reeve(folder / "dev")
        if settings:
            server.configure(**settings)
        try:
            if start:
                server.start(**env)
            yield server
            server.stop()
        finally:
            if server.process:
                server.process.kill()
                server.process.wait()
