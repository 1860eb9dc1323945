"""Stands in for a World with plain PostgreSQL: no Reeve at all.

`REEVE_TESTS_DIRECT=1 pytest tests/drivers` runs the driver tests straight against PostgreSQL, which
tells a fault of the tests from one of Reeve. A tenant is a role with a database of its own.
"""
import psycopg
import psycopg.sql

from support.reeve import Reeve, Tenant
from support.world import DATA, LETTERS, MODES, fill_pgbench


class DirectServer:
    """What tests use of support.reeve.Reeve."""

    conninfo = Reeve.conninfo
    connect = Reeve.connect

    def __init__(self, server):
        self.port = server.port
        self.process = server.process

    def check_log(self):
        pass

    def log(self):
        return ""


class DirectWorld:
    """Tenants as databases; nothing refuses COPY FROM, whatever the mode."""

    direct = True

    def __init__(self, server):
        self.server = server
        self.reeve = DirectServer(server)
        self.tenants = {}
        for mode in MODES:
            for letter in LETTERS:
                self.tenants[f"{mode}-{letter}"] = self._add(f"{mode}-{letter}", mode, "things")

    def _add(self, slug, mode, service):
        role, database = psycopg.sql.Identifier(slug), psycopg.sql.Identifier(f"{slug}-{service}")
        with self.server.connect() as admin:
            if not admin.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [slug]).fetchone():
                admin.execute(psycopg.sql.SQL("CREATE ROLE {} LOGIN PASSWORD 'secret'").format(role))
            admin.execute(psycopg.sql.SQL("CREATE DATABASE {} OWNER {}").format(database, role))
        tenant = Tenant(slug, mode, f"{slug}-{service}", None, "secret")
        with self.reeve.connect(tenant) as connection:
            connection.execute((DATA / service / f"0001_{service}.sql").read_text())
        return tenant

    def tenant(self, mode, letter="a"):
        return self.tenants[f"{mode}-{letter}"]

    def pgbench(self, mode, letter="a", accounts=100_000):
        name = f"{mode}-{letter}/pgbench"
        if name not in self.tenants:
            self.tenants[name] = self._add(f"{mode}-{letter}", mode, "pgbench")
            with self.reeve.connect(self.tenants[name]) as connection:
                fill_pgbench(connection, accounts)
        return self.tenants[name]
