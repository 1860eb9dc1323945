"""Servers to walk on: Reeve with a few server connections, or PostgreSQL alone."""
import contextlib
import itertools

from psycopg import sql

from support import direct
from support.process import wait_until
from support.reeve import MODES, running_reeve
from support.walk.ops_hidden import FIRST_HIDDEN_KEY
from support.walk.rules import POSTGRESQL, rules_of
from support.walk.walk import Tenant, Walk
from support.world import DATA, create_service

BACKENDS = 3
QUEUE_TIMEOUT = "5m"  # a walk's own deadline is shorter, and says more
SESSIONS = ("SELECT pid, usename, state, left(query, 100), now() - state_change"
            " FROM pg_stat_activity"
            " WHERE backend_type = 'client backend' AND usename <> current_user")
BUSY = SESSIONS + " AND state <> 'idle'"
LOCKS = ("SELECT * FROM pg_locks WHERE locktype = 'advisory' AND pid IN (SELECT pid FROM"
         " pg_stat_activity WHERE backend_type = 'client backend' AND usename <> current_user)"
         f" AND objid::int8 < {FIRST_HIDDEN_KEY}")


class ReeveWorld:
    """A `reeve dev` whose cluster has BACKENDS server connections for all tenants."""

    def __init__(self, reeve, enforcement):
        self.reeve, self.enforcement = reeve, enforcement
        self.numbers = {mode: itertools.count() for mode in MODES}
        reeve.cli("cluster", "enforce", "local", enforcement)
        reeve.query("UPDATE reeve.cluster SET max_backends = %s WHERE name = 'local'", BACKENDS)
        create_service(reeve, "things", DATA / "things")

    def new_tenants(self, modes, each):
        """Tenants that nobody has used; the first of each mode has a password too."""
        return [self._new_tenant(mode, number == 0) for mode in modes for number in range(each)]

    def _new_tenant(self, mode, with_password):
        slug = f"w{mode[0]}{next(self.numbers[mode]):02d}"
        self.reeve.add_tenant(slug, "things", mode, credentials=False)
        number = self.reeve.query("SELECT id FROM reeve.tenant WHERE slug = %s", slug)[0][0]
        return Tenant(slug, mode, rules_of(mode, self.enforcement), self.reeve.token(slug),
                      tenant_id=number,
                      password=self.reeve.new_password(slug) if with_password else None)

    def walk(self, tenants, seed, **options):
        return Walk("127.0.0.1", self.reeve.port, tenants, seed, holders=BACKENDS, look=self.look,
                    quiet=self.quiet, **options)

    def look(self):
        status = self.reeve.cli("status", json=True).json["server"]
        backends = self.reeve.cli("ps", json=True).json
        return f"{status}; backends: {backends}; on the server: {self.reeve.query(SESSIONS)}"

    def quiet(self):
        """Waits until nobody's transaction, lock or connection is left."""
        def gone():
            status = self.reeve.cli("status", json=True).json["server"]
            return (status["clients"] == 0 and not self.reeve.query(BUSY)
                    and not self.reeve.query(LOCKS))

        wait_until(gone, "the walk's clients have left nothing", 30)
        self.reeve.check_log()
        text = self.reeve.log_path.read_text(encoding="utf-8", errors="replace")
        assert "out of step" not in text, text[-5000:]


@contextlib.contextmanager
def reeve_world(enforcement, **env):
    with running_reeve({"queue_timeout": QUEUE_TIMEOUT}, **env) as reeve:
        yield ReeveWorld(reeve, enforcement)


class PlainWorld:
    """PostgreSQL alone, a database a tenant: what the model must agree with in any case."""

    numbers = itertools.count()

    def __init__(self, server):
        self.server = server

    def new_tenants(self, count):
        return [self._new_tenant() for _ in range(count)]

    def _new_tenant(self):
        slug = f"wd{next(self.numbers):02d}"
        name = sql.Identifier(slug)
        with self.server.connect() as admin:
            admin.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD 'secret'").format(name))
            admin.execute(sql.SQL("CREATE DATABASE {0} OWNER {0}").format(name))
            # Other tests' tenants are on this server too, and may connect to nothing but their own.
            admin.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(name))
        with self.server.connect(slug) as connection:
            connection.execute(sql.SQL("SET ROLE {}").format(name))
            connection.execute((direct.DATA / "things" / "0001_things.sql").read_text())
        return Tenant(slug, "database", POSTGRESQL, "secret", database=slug)

    def walk(self, tenants, seed, **options):
        return Walk("127.0.0.1", self.server.port, tenants, seed, **options)
