"""A plain PostgreSQL of the tests' own: what Reeve is compared with, and further clusters."""
import contextlib
import os
import pathlib
import signal
import subprocess

import psycopg

from support import newer, process
from support.guard_library import library

BIN = pathlib.Path(os.environ.get("REEVE_PG_BIN", "/usr/lib/postgresql/15/bin"))
SETTINGS = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "max_connections": "300",
    "shared_buffers": "64MB",
    "log_min_messages": "fatal",
    "unix_socket_permissions": "0777",
}


class Postgres:
    """Superuser `postgres` by trust on the socket, password `secret` over TCP; every other role by
    password."""

    password = "secret"

    def __init__(self, folder, port=None, settings=None, version=None):
        """version: one of newer.VERSIONS, else that of BIN, which alone has the guard."""
        self.version = version
        self.bin = BIN
        self.folder = pathlib.Path(folder)
        self.data = self.folder / "data"
        self.port = port or process.free_port()
        self.settings = {**SETTINGS, **(settings or {})}
        self.process = None

    def create(self):
        self.folder.mkdir(parents=True, exist_ok=True)
        self.folder.chmod(0o755)
        process.give_away(self.folder)
        if self.version:
            self.bin = newer.install(self.version, self.folder / "server")
        password_file = self.folder / "password"
        password_file.write_text(self.password)
        process.give_away(password_file)
        subprocess.run(
            [self.bin / "initdb", "-D", self.data, "-U", "postgres", "-E", "UTF8", "--locale=C.UTF-8",
             "--auth-local=trust", "--auth-host=scram-sha-256", f"--pwfile={password_file}",
             "--no-sync"],
            check=True, stdout=subprocess.DEVNULL, cwd=self.folder, **process.unprivileged())
        if not self.version:
            self.guard = self.folder / "reeve_guard.so"
            self.guard.write_bytes(library().read_bytes())
            self.guard.chmod(0o755)
        rules = self.data / "pg_hba.conf"
        rules.write_text("local all postgres trust\nlocal all all scram-sha-256\n"
                         + rules.read_text())

    def require_tls(self, certificate, key):
        """Before start: TCP clients must use TLS."""
        for source, name in ((certificate, "server.crt"), (key, "server.key")):
            target = self.folder / name
            target.write_bytes(pathlib.Path(source).read_bytes())
            target.chmod(0o600)
            process.give_away(target)
        self.settings.update(ssl="on", ssl_cert_file=self.folder / "server.crt",
                             ssl_key_file=self.folder / "server.key")
        rules = (self.data / "pg_hba.conf").read_text()
        (self.data / "pg_hba.conf").write_text(rules.replace("\nhost ", "\nhostssl "))

    def start(self):
        command = [self.bin / "postgres", "-D", self.data, "-k", self.folder, "-p", str(self.port),
                   "-h", "127.0.0.1"]
        for name, value in self.settings.items():
            command += ["-c", f"{name}={value}"]
        with open(self.folder / "log", "ab") as log:
            self.process = process.spawn(command, stop_signal=signal.SIGINT, stdout=log,
                                         stderr=log, cwd=self.folder, **process.unprivileged())
        process.wait_until(self._answers, "PostgreSQL takes connections", 60)

    def _answers(self):
        if self.process.poll() is not None:
            raise AssertionError(f"PostgreSQL ended: {(self.folder / 'log').read_text()[-2000:]}")
        with contextlib.suppress(psycopg.OperationalError):
            self.connect().close()
            return True
        return False

    def connect(self, database="postgres", **options):
        """As superuser over the socket, autocommit."""
        options.setdefault("autocommit", True)
        return psycopg.connect(host=str(self.folder), port=self.port, user="postgres",
                               dbname=database, **options)

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            try:
                self.process.wait(timeout=30)
            except subprocess.TimeoutExpired:
                self.process.send_signal(signal.SIGQUIT)
                self.process.wait(timeout=30)


@contextlib.contextmanager
def running_postgres(prepare=None, **options):
    """prepare(server) is called between initdb and the start."""
    with process.temporary_folder("reeve-pg-") as folder:
        server = Postgres(folder / "pg", **options)
        server.create()
        if prepare:
            prepare(server)
        try:
            server.start()
            yield server
        finally:
            server.stop()
