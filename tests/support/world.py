"""A running Reeve with tenants in every mode: what most tests work with."""
import itertools
import uuid

import psycopg

from support.process import ROOT
from support.reeve import ENFORCEMENT, MODES

DATA = ROOT / "tests" / "data"
ORDERS = ROOT / "examples" / "orders"
LETTERS = "abc"
_numbers = itertools.count(1)


def unique(prefix="x"):
    """A name that no other test uses."""
    return f"{prefix}-{uuid.uuid4().hex[:10]}"


def create_service(reeve, name, migrations, default="row", cluster="local"):
    others = [mode for mode in MODES if mode != default]
    reeve.cli("service", "create", name, "--migrations", migrations, "--isolation", default,
              "--allow", ",".join(others), "--cluster", cluster)


class World:
    """Services `things` (tests/data/things) and, when asked for, `orders` and `pgbench`; tenants
    row-a, row-b, row-c, schema-a ... with a placement of their mode in `things`."""

    direct = False
    DATA = DATA
    ORDERS = ORDERS / "migrations"

    def __init__(self, reeve):
        self.reeve = reeve
        self.services = set()
        self.tenants = {}
        self.tight_tenants = {}
        self.add_service("things", DATA / "things")
        for mode in MODES:
            for letter in LETTERS:
                slug = f"{mode}-{letter}"
                self.tenants[slug] = reeve.add_tenant(slug, "things", mode)

    def add_service(self, name, migrations):
        if name not in self.services:
            create_service(self.reeve, name, migrations)
            self.services.add(name)

    def tenant(self, mode, letter="a"):
        return self.tenants[f"{mode}-{letter}"]

    def in_service(self, tenant, service, migrations):
        """The same tenant's placement, of the same mode, in another service."""
        self.add_service(service, migrations)
        name = f"{tenant.slug}/{service}"
        if name not in self.tenants:
            self.reeve.cli("tenant", "attach", tenant.slug, service, "--isolation", tenant.mode)
            self.tenants[name] = tenant.other_service(service)
        return self.tenants[name]

    def orders(self, mode, letter="a"):
        return self.in_service(self.tenant(mode, letter), "orders", self.ORDERS)

    def pgbench(self, mode, letter="a", accounts=100_000):
        """A tenant whose pgbench tables are filled at scale 1."""
        known = f"{mode}-{letter}/pgbench" in self.tenants
        tenant = self.in_service(self.tenant(mode, letter), "pgbench", DATA / "pgbench")
        if not known:
            with self.reeve.connect(tenant) as connection:
                fill_pgbench(connection, accounts)
        return tenant

    def new_tenant(self, mode, service="things", **options):
        """A tenant of the test's own."""
        return self.reeve.add_tenant(f"{mode}-new-{next(_numbers)}", service, mode, **options)

    def add_cluster(self, name, server, max_backends, enforcement=ENFORCEMENT):
        self.reeve.add_cluster(name, server, max_backends, enforcement)

    def tight(self, server):
        """(mode, "a" or "b") -> tenant, all on a cluster with max_backends = 1."""
        if not self.tight_tenants:
            self.add_cluster("tight", server, 1)
            for mode in MODES:
                for letter in "ab":
                    self.tight_tenants[mode, letter] = self.new_tenant(mode, cluster="tight")
        return self.tight_tenants

    def placement(self, tenant):
        """The placement's row as `reeve placement show` gives it, and who its sessions are:
        login_role (session_user), role (current_user)."""
        found = self.reeve.cli("placement", "show", tenant.slug, tenant.service, json=True).json
        found["own_role"] = found["login_role"] = found["role"]
        if found["enforcement"] == "guard":
            found["login_role"] = "reeve_pool"
            if found["isolation"] == "row":
                found["role"] = "run_" + tenant.service.replace("-", "_")
        return found


def fill_pgbench(connection, accounts):
    connection.execute("INSERT INTO pgbench_branches (bid, bbalance) VALUES (1, 0)")
    connection.execute("INSERT INTO pgbench_tellers (tid, bid, tbalance)"
                       " SELECT i, 1, 0 FROM generate_series(1, 10) i")
    connection.execute("INSERT INTO pgbench_accounts (aid, bid, abalance, filler)"
                       " SELECT i, 1, 0, '' FROM generate_series(1, %s) i", [accounts])


def error_of(action, *arguments, **options):
    """The psycopg error that an action must raise."""
    try:
        action(*arguments, **options)
    except psycopg.Error as error:
        return error
    raise AssertionError(f"{action} did not fail")
