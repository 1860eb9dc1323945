#!/usr/bin/env python3
"""What a tenant costs in each isolation: to make it and to remove it, its disk, its work.

    make bench-isolations
    tests/bench/isolations.py [--tenants 500] [--rounds 3] [--seconds 2] [--isolation row ...] [--write-docs]

For each isolation a PostgreSQL and a Reeve of its own, which take turns, and a service with `--tenants` tenants that have
pgbench's tables: 1 branch, 10 tellers, 100 accounts each. bench-rotate holds a connection a tenant and has
16 at work at any moment, in turn; counting begins when every tenant has had a transaction. Rows and schemas
are under the guard with 20 server connections; a database is always a login of its own, so that there may
be a server connection for each tenant. Each measurement is a line in build/bench.jsonl.
"""
import concurrent.futures
import contextlib
import pathlib
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from support import postgres, process, reeve as reeve_support, tokens, world  # noqa: E402
import command  # noqa: E402
import results  # noqa: E402
import tenants  # noqa: E402

ISOLATIONS = ("row", "schema", "database")
SCRIPTS = ("select", "tpcb")
SERVICE, CLUSTER = "accounts", "bench"
SLOTS, SHARED_BACKENDS = 16, 20
SPARE = 60  # connections of administrators and jobs
CONTEXTS = {"row": "^reeve_pool$", "schema": "^reeve_pool$", "database": "^t_"}  # whose the work's sessions are
HEAD = ("isolation", "to make, ms", "to remove, ms", "disk, MB", "disk with its rows, MB", "select, tps", "p99, ms",
        "server, CPU µs", "TPC-B, tps", "p99, ms", "server, CPU µs", "backends", "backends, MB", "errors")


class Work(tenants.Subject):
    """Of tenants that may each be in a database of its own."""

    def logins(self):
        return self.admin.execute("SELECT sum(sessions)::bigint FROM pg_stat_database").fetchone()[0]

    def backends(self, server):
        with server.connect() as admin:
            return {pid for (pid,) in admin.execute(
                "SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend' AND usename ~ %s", [self.role])}


def bytes_of(server):
    with server.connect() as admin:
        admin.execute("CHECKPOINT")
        return admin.execute("SELECT sum(pg_database_size(oid))::bigint FROM pg_database").fetchone()[0]


def remove_all(reeve, slugs):
    with concurrent.futures.ThreadPoolExecutor(tenants.ATTACHING) as pool:
        list(pool.map(lambda slug: reeve.cli("tenant", "delete", slug, "--yes"), slugs))


class Stage:
    """A server and a Reeve with tenants of one isolation."""

    def __init__(self, stack, isolation, options, figures):
        self.isolation, self.options, self.figures, self.subject = isolation, options, figures, None
        self.slugs = [f"t-{number}" for number in range(1, options.tenants + 1)]
        own = options.tenants if isolation == "database" else SHARED_BACKENDS
        self.server = stack.enter_context(postgres.running_postgres(
            settings={**tenants.SETTINGS, "max_connections": own + SPARE}))
        self.reeve = stack.enter_context(reeve_support.running_reeve())
        self.issuer = tokens.Issuer("ES256")
        with process.temporary_folder("reeve-bench-") as folder:
            self.issuer.register(self.reeve, folder)
        self.reeve.cli("cluster", "add", CLUSTER, "--conninfo", f"host={self.server.folder} port={self.server.port}",
                       "--max-backends", own, "--enforcement", "guard", "--guard-library", self.server.guard)
        self.reeve.cli("service", "create", SERVICE, "--migrations", world.DATA / "pgbench", "--isolation", isolation,
                       "--cluster", CLUSTER)

    def record(self, metric, value, unit, number=1):
        self.figures.record("tenants", self.isolation, metric, value, unit, number)

    def make_all(self):
        """The first one makes what they share."""
        tenants.create_tenants(self.reeve, ["first", *self.slugs])
        tenants.attach_all(self.reeve, SERVICE, ["first"])
        count, before = len(self.slugs), bytes_of(self.server)
        began = time.monotonic()
        tenants.attach_all(self.reeve, SERVICE, self.slugs)
        self.record("make_ms", (time.monotonic() - began) * 1000 / count, "ms")
        self.record("disk_mb", (bytes_of(self.server) - before) / 2**20 / count, "MB")
        self.fill()
        self.record("filled_mb", (bytes_of(self.server) - before) / 2**20 / count, "MB")

    def fill(self):
        column, value = ("tenant_id, ", "{}, ") if self.isolation == "row" else ("", "")
        places = self.reeve.query("SELECT p.database, p.schema, p.tenant_id FROM reeve.placement p JOIN reeve.tenant t"
                                  " ON t.id = p.tenant_id WHERE t.slug <> 'first'")
        with contextlib.ExitStack() as stack:
            admin, open_one = None, None
            for database, schema, tenant_id in sorted(places):
                if database != open_one:
                    stack.close()
                    admin, open_one = stack.enter_context(self.server.connect(database)), database
                admin.execute(tenants.FILL.format(schema=schema, column=column, value=value.format(tenant_id),
                                                  branches=1))
        for database in {place[0] for place in places}:
            with self.server.connect(database) as admin:
                admin.execute("VACUUM ANALYZE")

    def remove_all(self):
        began = time.monotonic()
        remove_all(self.reeve, self.slugs)
        self.record("remove_ms", (time.monotonic() - began) * 1000 / len(self.slugs), "ms")

    @contextlib.contextmanager
    def logged_in(self):
        """All tenants are connected."""
        with reeve_support.running_serve(self.reeve, workers=self.options.workers) as proxy, \
                process.temporary_folder("reeve-bench-") as folder:
            lines = [f"host=127.0.0.1 port={proxy.port} user={slug} dbname={SERVICE} sslmode=disable password="
                     f"{self.issuer.token(slug, exp=int(time.time()) + tenants.TOKEN_SECONDS)}" for slug in self.slugs]
            self.subject = Work(self.isolation, lines, SLOTS, CONTEXTS[self.isolation], None, proxy.process.pid)
            with self.subject.logged_in(folder, self.server):
                yield

    def measure(self, script, number):
        found = self.subject.run(script, "simple", self.options.seconds, self.server)
        for metric, value in found.items():
            self.figures.record(script, self.isolation, metric, value, tenants.unit_of(metric), number)
        print(f"round {number}: {self.isolation}: {script}: {found['tps']:,.0f}/s, {found['backends']} backends,"
              f" {found['server_mb']:,.0f} MB, {found['logins_per_txn']:.4f} logins/txn, {found['errors']} errors,"
              f" {found['starved']} starved", flush=True)


def row(figures, isolation):
    def one(metric, digits):
        return results.number(figures.median("tenants", isolation, metric), digits)

    def work(script):
        return (results.number(figures.median(script, isolation, "tps")),
                results.milliseconds(figures.median(script, isolation, "p99_us")),
                results.number(figures.median(script, isolation, "server_cpu_us_per_txn"), 1))

    return (isolation, one("make_ms", 0), one("remove_ms", 0), one("disk_mb", 2), one("filled_mb", 2), *work("select"),
            *work("tpcb"), results.number(figures.worst("tpcb", isolation, "backends")),
            results.number(figures.worst("tpcb", isolation, "server_mb")),
            results.number(sum(figures.total(script, isolation, "errors") for script in SCRIPTS)))


def main():
    parser = command.parser(__doc__, rounds=3, seconds=2)
    parser.add_argument("--tenants", type=int, default=500)
    parser.add_argument("--isolation", action="append", choices=ISOLATIONS)
    options = parser.parse_args()
    if options.tenants < 2 * SLOTS:
        parser.error(f"--tenants must be at least {2 * SLOTS}: some rest while others work")
    load_before = command.begin()
    figures = results.Figures("isolations")
    measured = options.isolation or ISOLATIONS
    with contextlib.ExitStack() as stack:
        stages = [Stage(stack, isolation, options, figures) for isolation in measured]
        for stage in stages:
            stage.make_all()
        with contextlib.ExitStack() as sessions:
            for stage in stages:
                sessions.enter_context(stage.logged_in())
            for number in range(1, options.rounds + 1):
                for script in SCRIPTS:
                    for stage in command.in_order(stages, number):
                        stage.measure(script, number)
        for stage in stages:
            stage.remove_all()
    lines = [f"{options.tenants} tenants, medians of {options.rounds} rounds of {options.seconds} s each,"
             f" {results.machine(load_before)}. {SLOTS} clients at work; {tenants.ATTACHING} commands at once make and"
             f" remove; {tenants.SERVER_SAYS}.", "", *results.table(HEAD, [row(figures, one) for one in measured])]
    print("\n" + "\n".join(lines))
    if options.write_docs:
        results.write_docs("isolations", lines)


if __name__ == "__main__":
    main()
