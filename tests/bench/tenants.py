#!/usr/bin/env python3
"""Many tenants on few backends: Reeve's guard, Reeve's logins, PgBouncer with a user a tenant.

    make bench-tenants
    tests/bench/tenants.py [--tenants 1000] [--rounds 3] [--seconds 2] [--isolation schema ...]
                           [--script select ...] [--mode simple ...] [--write-docs]

One PostgreSQL, and for each isolation one service under the guard and one with login roles, each
with `--tenants` tenants of 1 branch, 10 tellers and 100 accounts; and one tenant that is as large as
all of them together. bench-rotate holds a connection a tenant and has 64 at work at any moment, in
turn; counting begins when every tenant has had a transaction, or after 10 s. What many sockets cost
is not what many tenants cost, so the single tenant is there with 64 connections and with as many as
there are tenants. What many schemas cost the server alone, "direct, all tenants" says: each of its
connections goes from one of its tenants to the next, with the schema's name in the statement; nobody
is entered, and nothing keeps tenants apart. The subjects take turns within each round, and another
one begins in the next. "pgbouncer/all" may have a backend a tenant; it is started anew for its turn,
as its backends would be in the others' way. Each measurement is a line in build/bench.jsonl.
"""
import concurrent.futures
import contextlib
import pathlib
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from support import postgres, process, reeve as reeve_support, tokens, world  # noqa: E402
import bouncer  # noqa: E402
import command  # noqa: E402
import cost  # noqa: E402
import pgbench  # noqa: E402
import results  # noqa: E402
import rotation  # noqa: E402

SLOTS = 64
BACKENDS = 20
ACCOUNTS = 100  # a tenant
ISOLATIONS = ("schema", "row")
SCRIPTS = ("select", "tpcb")
SERVICES = {"guard": "guarded", "login": "logged"}  # by enforcement
LARGE = "large"  # the single tenant
IN_TURN = "pgbouncer/all"
ALIKE = "guard, one tenant, as many clients"  # what guard is compared with
SHARED_OUT = f"direct, all tenants over {BACKENDS} connections"
NAMES = ("direct, one tenant", SHARED_OUT, "guard, one tenant", ALIKE, "guard", "login",
         f"pgbouncer/{BACKENDS}", IN_TURN)
ATTACHING = 4  # commands at once
TOKEN_SECONDS = 86400
EVERYBODY = "b_all"  # who may read all schemas
GROUP = "bench_tenants"  # the roles of those who come past Reeve
SETTINGS = {"shared_buffers": "256MB", "autovacuum": "off", "random_page_cost": "1"}
SERVER_SAYS = ("fsync, synchronous_commit, full_page_writes and autovacuum off,"
               " shared_buffers 256MB, random_page_cost 1 (else 100 rows are read without their index)")


# ---- the server and its tenants ----

def trust_the_bench(server):
    """PgBouncer's logins cost the server no hashing, which favours PgBouncer."""
    rules = server.data / "pg_hba.conf"
    rules.write_text(f"local all +{GROUP} trust\nhost all +{GROUP} 127.0.0.1/32 trust\n"
                     + rules.read_text())


def attach_all(reeve, service, slugs):
    with concurrent.futures.ThreadPoolExecutor(ATTACHING) as pool:
        attached = [pool.submit(reeve.cli, "tenant", "attach", slug, service) for slug in slugs]
        try:
            for done in concurrent.futures.as_completed(attached):
                done.result()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def create_tenants(reeve, slugs):
    """An identity is a row: the catalog is told of all in one statement."""
    reeve.query("INSERT INTO reeve.tenant (slug, name) SELECT s, s FROM unnest(%s::text[]) s",
                slugs)


def create_service(reeve, server, enforcement, isolation, slugs):
    library = ["--guard-library", server.guard] if enforcement == "guard" else []
    reeve.cli("cluster", "enforce", "bench", enforcement, *library)
    reeve.cli("service", "create", SERVICES[enforcement], "--migrations", world.DATA / "pgbench",
              "--isolation", isolation, "--cluster", "bench")
    began = time.monotonic()
    attach_all(reeve, SERVICES[enforcement], slugs)
    return time.monotonic() - began


def placements(reeve, enforcement):
    """slug -> (database, schema, role, tenant's id)"""
    return {slug: tuple(rest) for slug, *rest in reeve.query(
        "SELECT t.slug, p.database, p.schema, p.role, t.id FROM reeve.placement p"
        " JOIN reeve.tenant t ON t.id = p.tenant_id JOIN reeve.service s ON s.id = p.service_id"
        " WHERE s.name = %s", SERVICES[enforcement])}


FILL = """
INSERT INTO {schema}.pgbench_branches ({column}bid, bbalance)
SELECT {value}i, 0 FROM generate_series(1, {branches}) i;
INSERT INTO {schema}.pgbench_tellers ({column}tid, bid, tbalance)
SELECT {value}i, (i - 1) / 10 + 1, 0 FROM generate_series(1, {branches} * 10) i;
INSERT INTO {schema}.pgbench_accounts ({column}aid, bid, abalance, filler)
SELECT {value}i, (i - 1) / 100 + 1, 0, '' FROM generate_series(1, {branches} * 100) i;
"""


def fill(server, places, isolation, large_branches):
    """As superuser, whom row-level security does not hold."""
    database = next(iter(places.values()))[0]
    with server.connect(database) as admin:
        for slug, (_database, schema, _role, tenant_id) in places.items():
            shaped = isolation == "row"
            admin.execute(FILL.format(
                schema=schema, column="tenant_id, " if shaped else "",
                value=f"{tenant_id}, " if shaped else "",
                branches=large_branches if slug == LARGE else 1))
        admin.execute("VACUUM ANALYZE")
        return admin.execute("SELECT pg_database_size(current_database())").fetchone()[0]


def create_bouncer_roles(server, places, isolation):
    """For each tenant a login role b_SLUG with its tenant's rights, for who comes past Reeve."""
    database = next(iter(places.values()))[0]
    with server.connect(database) as admin, admin.transaction():
        admin.execute(f'CREATE ROLE {GROUP}; GRANT CONNECT ON DATABASE "{database}" TO {GROUP}')
        service_role = admin.execute("SELECT rolname FROM pg_roles WHERE rolname ~ %s",
                                     [r"^run_guarded(\$\d+)?$"]).fetchone()[0]
        admin.execute(f"CREATE ROLE {EVERYBODY} SUPERUSER LOGIN; GRANT {GROUP} TO {EVERYBODY}")
        for slug, (_database, schema, role, tenant_id) in places.items():
            rights = service_role if isolation == "row" else role
            admin.execute(f'CREATE ROLE "b_{slug}" LOGIN; GRANT {GROUP}, "{rights}" TO "b_{slug}";'
                          f' ALTER ROLE "b_{slug}" IN DATABASE "{database}"'
                          f" SET search_path = {schema}, public")
            admin.execute("INSERT INTO reeve.role_tenant (role_name, tenant_id) VALUES (%s, %s)",
                          [f"b_{slug}", tenant_id])
    return database


def prepare(reeve, server, isolation, count, enforcements):
    """(tenants' slugs, the database under the guard, what it took as text)"""
    slugs = [f"t-{number}" for number in range(1, count + 1)]
    reeve.cli("cluster", "add", "bench", "--conninfo", f"host={server.folder} port={server.port}",
              "--max-backends", BACKENDS, "--enforcement", "guard", "--guard-library", server.guard)
    create_tenants(reeve, [LARGE, *slugs])
    said = []
    for enforcement in enforcements:
        seconds = create_service(reeve, server, enforcement, isolation, [LARGE, *slugs])
        places = placements(reeve, enforcement)
        size = fill(server, places, isolation, count)
        said.append(f"{enforcement}: {count + 1} placements in {seconds:.0f} s"
                    f" ({seconds * 1000 / (count + 1):.0f} ms each), {size / 2**20:.0f} MB")
        print(f"{isolation}: {said[-1]}", flush=True)
    database = create_bouncer_roles(server, placements(reeve, "guard"), isolation)
    return slugs, database, "; ".join(said)


# ---- subjects ----

class Subject:
    """Who is measured: its connections, its pooler's process, and its backends' roles."""

    def __init__(self, name, conninfos, slots, role, database, pid=None, accounts=ACCOUNTS,
                 schemas=None):
        self.name, self.conninfos, self.slots = name, conninfos, slots
        self.role, self.database, self.pid = role, database, pid
        self.accounts, self.schemas = accounts, schemas
        self.load = self.admin = None
        self.others = set()  # backends of the same roles that are somebody else's

    @contextlib.contextmanager
    def logged_in(self, folder, server):
        with rotation.Rotation(self.name, self.conninfos, self.slots, folder,
                               self.schemas) as self.load, server.connect() as self.admin:
            yield self

    def run(self, script, mode, seconds, server):
        """A dictionary of metrics."""
        self.load.warm_up(script, mode, seconds, self.accounts)
        before = self.spent(server)
        found = self.load.count()
        after = self.spent(server)
        return {"tps": found["transactions"] / found["seconds"], "p50_us": found["p50_us"],
                "p99_us": found["p99_us"], "starved": found["starved"],
                "errors": found["errors"], "lost": found["lost"],
                "load_cpu_us_per_txn": found["cpu_us_per_txn"],
                **{name: (after[name] - before[name]) / found["transactions"] for name in after},
                **self.memory(server)}

    def spent(self, server):
        """What grows with transactions, so far."""
        found = {"server_cpu_us_per_txn": cost.server_cpu_seconds(server.process.pid) * 1e6,
                 "logins_per_txn": self.logins()}
        if self.pid:
            found["pooler_cpu_us_per_txn"] = process.cpu_seconds(self.pid) * 1e6
        return found

    def logins(self):
        """To the server, so far."""
        return self.admin.execute("SELECT sessions FROM pg_stat_database WHERE datname = %s",
                                  [self.database]).fetchone()[0]

    def backends(self, server):
        with server.connect() as admin:
            return {pid for (pid,) in admin.execute(
                "SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend'"
                " AND usename ~ %s AND datname = %s", [self.role, self.database])} - self.others

    def memory(self, server):
        sizes = [size for pid in self.backends(server) if (size := cost.own_bytes(pid))]
        found = {"backends": len(sizes), "server_mb": sum(sizes) / 2**20}
        if self.pid:
            found["pooler_mb"] = cost.resident_bytes(self.pid) / 2**20
        return found


UNITS = {"tps": "1/s", "backends": "count", "logins_per_txn": "count", "starved": "count",
         "errors": "count", "lost": "count"}


def unit_of(metric):
    return UNITS.get(metric, "MB" if metric.endswith("_mb") else "us")


def running_pgbouncer(server, database, slugs, backends):
    """A user and a pool of one connection a tenant, `backends` in all."""
    return bouncer.running(
        bouncer.newest(), f"host={server.folder} port={server.port} dbname={database}",
        {f"b_{slug}": "" for slug in [LARGE, *slugs]}, max_client_conn=len(slugs) + 100,
        default_pool_size=1, max_db_connections=backends, query_wait_timeout=0)


def bouncer_subject(name, slugs, database, port, pid):
    lines = [f"host=127.0.0.1 port={port} user=b_{slug} dbname=bench" for slug in slugs]
    return Subject(name, lines, SLOTS, "^b_t-", database, pid)


class Subjects:
    """Everybody who is measured for one isolation."""

    def __init__(self, stack, server, reeve, issuer, slugs, database, isolation, options):
        self.stack, self.server, self.reeve, self.issuer = stack, server, reeve, issuer
        self.slugs, self.database, self.workers = slugs, database, options.workers
        self.folder = stack.enter_context(process.temporary_folder("reeve-bench-"))
        found = [self.direct(), *self.shared_out(isolation), *self.through_reeve(),
                 self.through_pgbouncer()]
        self.lasting = [subject for subject in found if subject.name in options.subject]
        for subject in self.lasting:
            began = time.monotonic()
            stack.enter_context(subject.logged_in(self.folder, self.server))
            print(f"{subject.name}: {len(subject.conninfos)} connections in"
                  f" {time.monotonic() - began:.1f} s", flush=True)

    def direct(self):
        line = (f"host=127.0.0.1 port={self.server.port} user=b_{LARGE}"
                f" dbname={self.database}")
        return Subject("direct, one tenant", [line] * BACKENDS, BACKENDS, f"^b_{LARGE}$",
                       self.database, accounts=ACCOUNTS * len(self.slugs))

    def shared_out(self, isolation):
        """Rows cannot be told apart without somebody's rights."""
        if isolation != "schema":
            return
        places = placements(self.reeve, "guard")
        line = f"host=127.0.0.1 port={self.server.port} user={EVERYBODY} dbname={self.database}"
        yield Subject(SHARED_OUT, [line] * BACKENDS, BACKENDS, f"^{EVERYBODY}$", self.database,
                      schemas=[places[slug][1] for slug in self.slugs])

    def reeve_lines(self, proxy, enforcement, slugs):
        return [f"host=127.0.0.1 port={proxy.port} user={slug} dbname={SERVICES[enforcement]}"
                f" sslmode=disable password={self.issuer.token(slug, exp=int(time.time()) + TOKEN_SECONDS)}"
                for slug in slugs]

    def through_reeve(self):
        """A proxy for each enforcement, as each may have 20 backends."""
        guard, login = (self.stack.enter_context(reeve_support.running_serve(self.reeve, workers=self.workers))
                        for _ in SERVICES)
        yield Subject("guard, one tenant", self.reeve_lines(guard, "guard", [LARGE] * SLOTS),
                      SLOTS, "^reeve_pool$", self.database, guard.process.pid,
                      ACCOUNTS * len(self.slugs))
        yield Subject(ALIKE, self.reeve_lines(guard, "guard", [LARGE] * len(self.slugs)), SLOTS,
                      "^reeve_pool$", self.database, guard.process.pid,
                      ACCOUNTS * len(self.slugs))
        yield Subject("guard", self.reeve_lines(guard, "guard", self.slugs), SLOTS,
                      "^reeve_pool$", self.database, guard.process.pid)
        if not (logged := placements(self.reeve, "login")):
            return
        other = next(iter(logged.values()))[0]
        yield Subject("login", self.reeve_lines(login, "login", self.slugs), SLOTS, "^t_",
                      other, login.process.pid)

    def through_pgbouncer(self):
        port, pid = self.stack.enter_context(
            running_pgbouncer(self.server, self.database, self.slugs, BACKENDS))
        return bouncer_subject(f"pgbouncer/{BACKENDS}", self.slugs, self.database, port, pid)

    @contextlib.contextmanager
    def in_turn(self):
        """pgbouncer/all, for as long as its turn lasts."""
        with running_pgbouncer(self.server, self.database, self.slugs,
                               len(self.slugs)) as (port, pid):
            subject = bouncer_subject(IN_TURN, self.slugs, self.database, port, pid)
            subject.others = subject.backends(self.server)
            with subject.logged_in(self.folder, self.server):
                yield subject


# ---- measuring ----

def measure(figures, case, subject, options, round_number, server):
    _isolation, script, mode = case.split("/")
    if mode == "prepared" and subject.schemas:
        return
    if mode == "prepared" and subject.name.startswith("pgbouncer") and \
            not bouncer.newest().prepares:
        return
    found = subject.run(script, mode, options.seconds, server)
    for metric, value in found.items():
        figures.record(case, subject.name, metric, value, unit_of(metric), round_number)
    print(f"round {round_number}: {case}: {subject.name}: {found['tps']:,.0f}/s,"
          f" p99 {found['p99_us'] / 1000:,.1f} ms, {found['backends']:.0f} backends,"
          f" {found['server_mb']:,.0f} MB, CPU µs/txn {found['server_cpu_us_per_txn']:,.1f} server"
          f" {found.get('pooler_cpu_us_per_txn', 0):,.1f} pooler,"
          f" {found['logins_per_txn']:.4f} logins/txn, {found['errors']} errors,"
          f" {found['starved']} starved", flush=True)


def measure_isolation(isolation, options, figures):
    """What provisioning took, as text."""
    cases = [f"{isolation}/{script}/{mode}" for mode in options.mode for script in options.script]
    settings = {**SETTINGS, "max_connections": options.tenants + 200}
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(postgres.running_postgres(prepare=trust_the_bench,
                                                               settings=settings))
        reeve = stack.enter_context(reeve_support.running_reeve())
        issuer = tokens.Issuer("ES256")
        with process.temporary_folder("reeve-bench-") as folder:
            issuer.register(reeve, folder)
        enforcements = [name for name in SERVICES if name != "login" or name in options.subject]
        slugs, database, said = prepare(reeve, server, isolation, options.tenants, enforcements)
        subjects = Subjects(stack, server, reeve, issuer, slugs, database, isolation, options)
        for round_number in range(1, options.rounds + 1):
            for case in cases:
                for subject in command.in_order(subjects.lasting, round_number):
                    measure(figures, case, subject, options, round_number, server)
            if IN_TURN not in options.subject:
                continue
            with subjects.in_turn() as subject:
                for case in cases:
                    measure(figures, case, subject, options, round_number, server)
    return said


# ---- results ----

HEAD = ("case", "subject", "tps", "of guard, one tenant", "of as many clients", "p50, ms", "p99, ms",
        "pooler, CPU µs/txn", "server, CPU µs/txn", "load, CPU µs/txn", "logins/txn", "backends",
        "backends, MB", "pooler, MB", "errors", "starved")


def row(figures, case, subject):
    def value(metric):
        return figures.median(case, subject, metric)

    def milliseconds(metric):
        return results.number(value(metric) / 1000, 2)

    return (case, subject, results.number(value("tps")),
            results.ratio(value("tps"), figures.median(case, "guard, one tenant", "tps")),
            results.ratio(value("tps"), figures.median(case, ALIKE, "tps")),
            milliseconds("p50_us"), milliseconds("p99_us"),
            results.number(value("pooler_cpu_us_per_txn"), 1),
            results.number(value("server_cpu_us_per_txn"), 1),
            results.number(value("load_cpu_us_per_txn"), 1),
            results.number(value("logins_per_txn"), 3), results.number(value("backends")),
            results.number(value("server_mb")), results.number(value("pooler_mb"), 1),
            results.number(figures.total(case, subject, "errors")),
            results.number(value("starved")))


def verdict(figures, case):
    """A line on the target; None when it was not all measured."""
    one, alike, many, few, every = (figures.median(case, name, "tps") for name in (
        "guard, one tenant", ALIKE, "guard", f"pgbouncer/{BACKENDS}", IN_TURN))
    if None in (one, alike, many, few, every):
        return None
    backends, size = (figures.median(case, IN_TURN, metric)
                      for metric in ("backends", "server_mb"))
    own = figures.median(case, "guard", "server_mb")
    end = results.memory_total() / 2**20 / (size / backends)
    return (f"- {case}: guard has {many / one:.2f} of its single tenant's throughput"
            f" ({many / alike:.2f} where that has as many connections),"
            f" {many / few:.1f} times PgBouncer's with as many backends, {many / every:.2f} of"
            f" PgBouncer's with a backend a tenant, whose backends take {size:,.0f} MB against"
            f" {own:,.0f} MB: {size / backends:.1f} MB a tenant, so that this machine's memory ends"
            f" at {end:,.0f} tenants.")


def report(figures, options, said, load_before):
    cases = list(dict.fromkeys(case for case, _subject, _metric in figures.values))
    with_values = {(case, subject) for case, subject, _metric in figures.values}
    rows = [row(figures, case, subject) for case in cases for subject in NAMES
            if (case, subject) in with_values]
    lines = [f"Medians of {options.rounds} rounds of {options.seconds} s each,"
             f" {results.machine(load_before)}. {options.tenants} tenants, {SLOTS} clients at work,"
             f" {BACKENDS} backends, Reeve with {options.workers} workers; {SERVER_SAYS}."
             f" PgBouncer {bouncer.newest().text}: transaction pooling,"
             f" default_pool_size 1, max_db_connections {BACKENDS} or (all) {options.tenants}, its"
             " logins to the server by trust.", "",
             *results.table(HEAD, rows), ""]
    lines += [line for line in (verdict(figures, case) for case in cases) if line]
    return lines + [""] + [f"Provisioning, {isolation}, {ATTACHING} commands at once: {text}."
                           for isolation, text in said.items()]


def main():
    parser = command.parser(__doc__, rounds=3, seconds=2)
    parser.add_argument("--tenants", type=int, default=1000)
    parser.add_argument("--isolation", action="append", choices=ISOLATIONS)
    parser.add_argument("--script", action="append", choices=SCRIPTS)
    parser.add_argument("--subject", action="append", choices=NAMES)
    parser.add_argument("--mode", action="append", choices=pgbench.MODES,
                        help="protocol; default: simple")
    options = parser.parse_args()
    if options.tenants < 2 * SLOTS:
        parser.error(f"--tenants must be at least {2 * SLOTS}: some rest while others work")
    options.script = options.script or SCRIPTS
    options.subject = options.subject or NAMES
    options.mode = options.mode or ["simple"]
    load_before = command.begin()
    figures = results.Figures("tenants")
    said = {isolation: measure_isolation(isolation, options, figures)
            for isolation in options.isolation or ISOLATIONS}
    lines = report(figures, options, said, load_before)
    print("\n" + "\n".join(lines))
    if options.write_docs:
        results.write_docs("tenants", lines)


if __name__ == "__main__":
    main()
