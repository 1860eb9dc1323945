"""PgBouncer: which programs there are to measure, and running one.

Debian's is always measured. $REEVE_BENCH_PGBOUNCER names the program of a newer one, which is
measured beside it, or in its place where a benchmark takes one alone.
"""
import contextlib
import dataclasses
import os
import re
import shutil
import signal
import socket
import subprocess

from support import process

NEWER = "REEVE_BENCH_PGBOUNCER"


@dataclasses.dataclass(frozen=True)
class Program:
    """A pgbouncer that can be started."""

    path: str
    version: tuple
    text: str

    @property
    def name(self):
        return f"pgbouncer/{self.text}"

    @property
    def prepares(self):
        """Has prepared statements in transaction pooling."""
        return self.version >= (1, 21)


def program_at(path):
    out = subprocess.run([path, "--version"], capture_output=True, text=True, check=True).stdout
    found = re.search(r"PgBouncer ((\d+)\.(\d+)\S*)", out)
    return Program(path, (int(found[2]), int(found[3])), found[1])


def programs():
    """(the programs, Debian's first; why there is no newer one, or None)"""
    debian = program_at(shutil.which("pgbouncer") or "/usr/sbin/pgbouncer")
    path = os.environ.get(NEWER)
    if not path:
        return [debian], f"a newer PgBouncer: ${NEWER} names none"
    newer = program_at(path)
    if newer.text == debian.text:
        return [debian], f"a newer PgBouncer: ${NEWER} names {newer.text}, which is Debian's"
    return [debian, newer], None


def newest():
    return programs()[0][-1]


def answers(port):
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


def certificate_lines(folder, tls):
    """Settings that show clients this (certificate, key); TLS is theirs to choose."""
    lines = ["client_tls_sslmode = allow"]
    for source, setting in zip(tls, ("cert", "key")):
        copy = folder / f"client.{setting}"
        copy.write_bytes(source.read_bytes())
        copy.chmod(0o600)
        process.give_away(copy)
        lines.append(f"client_tls_{setting}_file = {copy}")
    return lines


@contextlib.contextmanager
def running(program, database, users=None, tls=None, **settings):
    """Transaction pooling of the database "bench", which is `database` (a conninfo); `users`:
    name -> password or verifier, else anybody is let in. Yields (port, pid)."""
    port = process.free_port()
    values = {"listen_addr": "127.0.0.1", "listen_port": port, "unix_socket_dir": "",
              "auth_type": "trust" if users else "any", "pool_mode": "transaction",
              "max_client_conn": 1000, "log_connections": 0, "log_disconnections": 0,
              "log_stats": 0, **settings}
    if program.prepares:
        values["max_prepared_statements"] = 100
    with process.temporary_folder("reeve-bench-") as folder:
        folder.chmod(0o755)
        if users:
            (folder / "users").write_text(
                "".join(f'"{name}" "{secret}"\n' for name, secret in users.items()))
            values["auth_file"] = folder / "users"
        lines = [f"{name} = {value}" for name, value in values.items()]
        lines += certificate_lines(folder, tls) if tls else []
        config = folder / "pgbouncer.ini"
        config.write_text("\n".join(
            ["[databases]", f"bench = {database}", "[pgbouncer]", *lines, ""]))
        with open(folder / "log", "wb") as log:
            pooler = process.spawn([program.path, str(config)], stop_signal=signal.SIGKILL,
                                     stdout=log, stderr=log, **process.unprivileged())
        try:
            process.wait_until(lambda: answers(port) or pooler.poll() is not None,
                               "PgBouncer answers")
            if pooler.poll() is not None:
                raise RuntimeError(f"PgBouncer ended: {(folder / 'log').read_text()[-2000:]}")
            yield port, pooler.pid
        finally:
            pooler.kill()
            pooler.wait()
