"""What bench-move plays on: servers that decode their WAL, one Reeve, tenants whose tables are
filled, and their sizes."""
import concurrent.futures
import contextlib
import pathlib

from support import postgres, process, reeve as reeve_support, world

import subjects

BACKENDS = 20
PAIR = world.DATA / "accounts" / "pair.sql"
ROW_BYTES = 400  # of either table, in the heap
ENTRIES_AN_ACCOUNT = 4
FILLING_AT_ONCE = 2
# Data that is to be kept: what a move waits for at its commits is part of what is measured.
SETTINGS = {"wal_level": "logical", "fsync": "on", "synchronous_commit": "on",
            "full_page_writes": "on", "max_connections": 200, "max_wal_size": "4GB",
            "min_wal_size": "4GB",  # else its files are made while they are needed
            "autovacuum": "on"}
AS_SAID = ("fsync", "synchronous_commit", "full_page_writes", "shared_buffers", "max_wal_size",
           "min_wal_size")

ACCOUNTS = """
INSERT INTO {account} ({key} id, owner, email, balance, about, opened_at)
SELECT {value} i, 'owner ' || i, md5(i::text) || '@example.com', i % 100000 / 100.0,
       repeat(md5('about ' || i), 7), now() - i * interval '37 seconds'
FROM generate_series(1, {count}) i
"""
ENTRIES = """
INSERT INTO {entry} ({key} id, account_id, amount, kind, note, at)
SELECT {value} i, 1 + i::bigint * 7919 % {accounts}, i % 10000 / 100.0, (ARRAY['card', 'cash', 'wire'])[1 + i % 3],
       repeat(md5('note ' || i), 8), now() - i * interval '11 seconds'
FROM generate_series(1, {count}) i
"""


class Shape:
    """How many rows make so many bytes in so many pairs of tables."""

    def __init__(self, pairs, size=None, rows=None):
        self.pairs = pairs
        in_a_pair = (rows or size // ROW_BYTES) // pairs
        self.accounts = max(in_a_pair // (ENTRIES_AN_ACCOUNT + 1), 1)
        self.entries = max(in_a_pair - self.accounts, 1)

    def numbers(self):
        return [f"{number:02d}" for number in range(self.pairs)]


class Home:
    """Where a tenant is: on which server, in which database and schema."""

    def __init__(self, stage, tenant, servers):
        found = stage.reeve.cli("placement", "show", tenant.slug, tenant.service, json=True).json
        self.server = servers[found["cluster"]]
        self.database, self.schema = found["database"], found["schema"]
        self.isolation = found["isolation"]

    def connect(self):
        return self.server.connect(self.database)

    def ask(self, sql, *values):
        """The first row."""
        with self.connect() as admin:
            return admin.execute(sql, values or None).fetchone()

    def size(self):
        """(bytes of its tables, of their indexes)"""
        return self.ask("SELECT sum(pg_table_size(oid))::bigint, sum(pg_indexes_size(oid))::bigint"
                        " FROM pg_class WHERE relnamespace = %s::regnamespace AND relkind = 'r'",
                        f'"{self.schema}"')


class Stage:
    """One Reeve and its clusters, whose names are the keys of `servers`."""

    def __init__(self, stack, options):
        self.stack, self.options = stack, options
        self.reeve = stack.enter_context(reeve_support.running_reeve())
        self.folder = stack.enter_context(process.temporary_folder("reeve-bench-"))
        self.servers = {}

    def add_cluster(self, name):
        settings = {**SETTINGS, "shared_buffers": self.options.shared_buffers}
        server = self.stack.enter_context(postgres.running_postgres(settings=settings))
        self.reeve.cli("cluster", "add", name, "--conninfo",
                       f"host={server.folder} port={server.port}", "--admin-user", "postgres",
                       "--max-backends", BACKENDS, "--enforcement", "guard", "--guard-library",
                       server.guard)
        self.servers[name] = server
        return server

    def add_service(self, name, pairs, cluster="bench", isolations=("row", "schema", "database")):
        """With so many pairs of tables. Where row isolation is none of those, they have no tenant column."""
        folder = pathlib.Path(self.folder / name)
        folder.mkdir()
        text = PAIR.read_text()
        (folder / "0001_accounts.sql").write_text(
            "\n".join(text.replace("NN", f"{number:02d}") for number in range(pairs)))
        self.reeve.cli("service", "create", name, "--migrations", folder, "--isolation", isolations[0], "--allow",
                       ",".join(isolations[1:]) or isolations[0], "--cluster", cluster)

    def add_tenant(self, slug, service, isolation):
        return self.reeve.add_tenant(slug, service, isolation)

    def home(self, tenant):
        return Home(self, tenant, self.servers)

    def subject(self, tenant):
        """As pgbench comes to it."""
        return subjects.Subject(tenant.slug, self.reeve.port, tenant.slug, tenant.service,
                                tenant.token)

    def number(self, tenant):
        """What is in tenant_id."""
        return self.reeve.query("SELECT id FROM reeve.tenant WHERE slug = %s", tenant.slug)[0][0]

    def fill(self, tenant, shape):
        """As superuser, whom row-level security does not hold."""
        home = self.home(tenant)
        key = ("tenant_id,", f"{self.number(tenant)},") if home.isolation == "row" else ("", "")
        run_at_once(home, [statement for number in shape.numbers()
                           for statement in filling(home.schema, number, shape, *key)])
        settle(home)

    def version(self):
        with next(iter(self.servers.values())).connect() as admin:
            return admin.execute("SHOW server_version").fetchone()[0].split()[0]

    def settings(self):
        """What of the servers' settings the figures depend on."""
        with next(iter(self.servers.values())).connect() as admin:
            return ", ".join(f"{name} {admin.execute(f'SHOW {name}').fetchone()[0]}"
                             for name in AS_SAID)


@contextlib.contextmanager
def running_stage(options, *clusters):
    with contextlib.ExitStack() as stack:
        stage = Stage(stack, options)
        for name in clusters:
            stage.add_cluster(name)
        yield stage


# ---- filling ----

def filling(schema, number, shape, key="", value=""):
    """What fills one pair of tables; the two may run at once, as no foreign key is looked at."""
    names = {"account": f"{schema}.account_{number}", "entry": f"{schema}.entry_{number}",
             "key": key, "value": value, "accounts": shape.accounts}
    return (ENTRIES.format(count=shape.entries, **names),
            ACCOUNTS.format(count=shape.accounts, **names))


def run_at_once(home, statements):
    def run(statement):
        with home.connect() as admin:
            admin.execute("SET session_replication_role = replica")
            admin.execute(statement)

    with concurrent.futures.ThreadPoolExecutor(FILLING_AT_ONCE) as pool:
        list(pool.map(run, statements))


def settle(home):
    """The tables' sequences behind what they have, and everything on the disk."""
    with home.connect() as admin:
        entries = admin.execute("SELECT relname FROM pg_class WHERE relnamespace = %s::regnamespace"
                                " AND relname ~ '^entry_[0-9]+$'", [f'"{home.schema}"']).fetchall()
        for (name,) in entries:
            table = f"{home.schema}.{name}"
            admin.execute(f"SELECT setval(pg_get_serial_sequence('{table}', 'id'),"
                          f" (SELECT max(id) FROM {table}))")
        admin.execute("VACUUM ANALYZE")
        admin.execute("CHECKPOINT")
