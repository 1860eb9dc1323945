#!/usr/bin/env python3
"""What clients and tenants take of the pooler's memory, and what it does when nobody asks.

    make bench-memory
    tests/bench/memory.py [--rounds 1] [--seconds 30] [--clients 10000] [--tenants 100000]
                          [--case plain ...] [--write-docs]

Clients: bench-rotate logs `--clients` of them in, and they do nothing; then each has one select on
one of 20 backends, and they do nothing again. Memory is what the pooler's resident set grew by, a
client, since one client had been there and gone; the kernel's memory for sockets is not in it. CPU
is the pooler's user and system time over `--seconds` with all clients idle. The cases: clients of
one tenant without TLS, and with it, and without TLS of a tenant each (Reeve alone). A new process
is measured each time: Reeve on each engine, and PgBouncer.

Tenants: the catalog is told of `--tenants` with a placement and a password each, in one statement a
table: row tenants that look like a real one, for which nothing is made on a server. Memory is what
a Reeve that starts with them has more, a tenant, than one that starts without ("loaded"), and what
a running one grew by when it heard of them all at once ("heard of"); CPU is of one that has loaded
them.

$REEVE_BENCH_PGBOUNCER: the program of a newer PgBouncer than Debian's, to be measured in its place.
"""
import contextlib
import pathlib
import subprocess
import sys
import time

import psycopg

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from support import certificates, postgres, process  # noqa: E402
from support import reeve as reeve_support, tokens, world  # noqa: E402
import bouncer  # noqa: E402
import command  # noqa: E402
import cost  # noqa: E402
import results  # noqa: E402
import rotation  # noqa: E402
import subjects  # noqa: E402

SERVICE = "rows"
FIRST = "t-0"  # the one real tenant
SLOTS = 64
TOKEN_SECONDS = 86400
CASES = ("plain", "tls", "tenants")
IDLE, USED = "have done nothing", "have had a transaction"
NONE, HEARD, LOADED = "none but one", "heard of", "loaded"
KNOWN = "known tenants"

TENANTS = "INSERT INTO reeve.tenant (slug, name) SELECT s, s FROM unnest(%s::text[]) s"
PLACEMENTS = """
INSERT INTO reeve.placement (tenant_id, service_id, cluster_id, isolation, database, schema, role,
                             role_password, enforcement, enter_role, schema_version, state)
SELECT t.id, p.service_id, p.cluster_id, p.isolation, p.database, p.schema, 'none_' || t.id,
       p.role_password, p.enforcement, p.enter_role, p.schema_version, 'ready'
FROM reeve.tenant t, reeve.placement p JOIN reeve.tenant f ON f.id = p.tenant_id
WHERE f.slug = %s AND t.slug = ANY (%s)
"""
PASSWORDS = """
INSERT INTO reeve.credential (tenant_id, kind, verifier)
SELECT t.id, 'password', c.verifier
FROM reeve.tenant t, reeve.credential c JOIN reeve.tenant f ON f.id = c.tenant_id
WHERE f.slug = %s AND c.kind = 'password' AND t.slug = ANY (%s)
"""


# ---- the catalog ----

def create_service(reeve, server):
    """With one tenant, whose row in the shared tables every tenant of the catalog gets as well."""
    reeve.cli("cluster", "add", "bench", "--conninfo", f"host={server.folder} port={server.port}",
              "--max-backends", subjects.BACKENDS, "--enforcement", "guard", "--guard-library",
              server.guard)
    reeve.cli("service", "create", SERVICE, "--migrations", world.DATA / "pgbench", "--isolation",
              "row", "--cluster", "bench")
    reeve.add_tenant(FIRST, SERVICE)
    give_rows(reeve, server, [FIRST])


def give_rows(reeve, server, slugs):
    """A branch and an account for each, as superuser, whom row-level security does not hold."""
    places = reeve.query("SELECT t.id, p.database, p.schema FROM reeve.placement p"
                         " JOIN reeve.tenant t ON t.id = p.tenant_id"
                         " WHERE t.slug = ANY (%s)", slugs)
    _id, database, schema = places[0]
    ids = [tenant_id for tenant_id, _database, _schema in places]
    with server.connect(database) as admin:
        admin.execute(f"INSERT INTO {schema}.pgbench_branches (tenant_id, bid, bbalance)"
                      " SELECT i, 1, 0 FROM unnest(%s::bigint[]) i", [ids])
        admin.execute(f"INSERT INTO {schema}.pgbench_accounts (tenant_id, aid, bid, abalance)"
                      " SELECT i, 1, 1, 0 FROM unnest(%s::bigint[]) i", [ids])
        admin.execute("ANALYZE")


def know_tenants(reeve, slugs):
    """Nothing is made on a server."""
    reeve.query(TENANTS, slugs)
    reeve.query(PLACEMENTS, FIRST, slugs)
    reeve.query(PASSWORDS, FIRST, slugs)


# ---- who is measured ----

class Measured:
    """How to start one, and how its clients come to it."""

    def __init__(self, name, start, conninfos):
        self.name, self.start, self.conninfos = name, start, conninfos


class Makers:
    """Everybody who is measured."""

    def __init__(self, server, reeve, issuer, tls, options):
        self.server, self.reeve, self.issuer = server, reeve, issuer
        self.tls, self.options = tls, options

    def token(self, slug):
        return self.issuer.token(slug, exp=int(time.time()) + TOKEN_SECONDS)

    @contextlib.contextmanager
    def proxy(self, engine):
        """Yields (port, pid, the Serve)."""
        certificate, key = self.tls
        with reeve_support.running_serve(
                self.reeve, engine=engine, workers=self.options.workers, tls_cert=certificate,
                tls_key=key, max_clients=self.options.clients + 100) as proxy:
            yield proxy.port, proxy.process.pid, proxy

    @contextlib.contextmanager
    def bouncer(self, program):
        database = (f"host={self.server.folder} port={self.server.port}"
                    f" dbname={subjects.PAST_REEVE} user={subjects.ROLE} password={subjects.ROLE}")
        with bouncer.running(program, database, tls=self.tls, default_pool_size=subjects.BACKENDS,
                             max_client_conn=self.options.clients + 100) as (port, pid):
            yield port, pid, None

    def reeve_lines(self, slugs, sslmode):
        tail = f"dbname={SERVICE} sslmode={sslmode}"
        secrets = {slug: self.token(slug) for slug in set(slugs)}
        return lambda port: [f"host=127.0.0.1 port={port} user={slug} password={secrets[slug]}"
                             f" {tail}" for slug in slugs]

    def bouncer_lines(self, sslmode):
        return lambda port: [f"host=127.0.0.1 port={port} user={subjects.ROLE} dbname=bench"
                             f" sslmode={sslmode}"] * self.options.clients

    def of(self, case, engines, program, few):
        sslmode = "require" if case == "tls" else "disable"
        count = self.options.clients
        chosen = few if case == "tenants" else [FIRST] * count
        lines = self.reeve_lines(chosen, sslmode)
        for engine in engines:
            yield Measured(f"reeve/{engine}", lambda engine=engine: self.proxy(engine), lines)
        if case != "tenants":
            yield Measured(program.name, lambda: self.bouncer(program), self.bouncer_lines(sslmode))


# ---- measuring ----

def idle_cpu(pid, seconds, ended):
    """Milliseconds a second of a process that nobody asks anything."""
    before = cost.thread_seconds(pid)
    with contextlib.suppress(subprocess.TimeoutExpired):
        ended.wait(timeout=seconds)
        raise RuntimeError("the clients ended before their time")
    return (cost.thread_seconds(pid) - before) * 1e3 / seconds


def touch(measured, port):
    """Once, so that what a process takes with its first client is not counted for clients."""
    with psycopg.connect(measured.conninfos(port)[0], autocommit=True) as connection:
        connection.execute("SELECT 1")


def measure_clients(figures, case, measured, folder, options, round_number):
    def record(state, before, after):
        found = {"client_bytes": (after - before) / options.clients,
                 "idle_cpu_ms_per_s": idle_cpu(pid, options.seconds, load.load)}
        for metric, value in found.items():
            figures.record(f"{case}/{state}", measured.name, metric, value,
                           "B" if metric.endswith("bytes") else "ms/s", round_number)
        print(f"round {round_number}: {case}: {measured.name}: {options.clients} clients {state}:"
              f" {found['client_bytes']:,.0f} bytes each,"
              f" CPU {found['idle_cpu_ms_per_s']:.2f} ms/s", flush=True)

    with measured.start() as (port, pid, _proxy):
        touch(measured, port)
        before = cost.resident_bytes(pid)
        with rotation.Rotation(measured.name, measured.conninfos(port), min(SLOTS, options.clients),
                               folder) as load:
            record(IDLE, before, cost.resident_bytes(pid))
            load.warm_up("select", "simple", 1, 1)
            counted = load.count()
            if counted["starved"] or counted["errors"]:
                raise RuntimeError(f"{case}: {measured.name}: {counted}")
            record(USED, before, cost.resident_bytes(pid))


def record_resident(figures, state, pid, round_number):
    figures.record(KNOWN, state, "resident_bytes", cost.resident_bytes(pid), "B", round_number)


def measure_without_tenants(figures, makers, engine, options):
    for round_number in range(1, options.rounds + 1):
        with makers.proxy(engine) as (_port, pid, proxy):
            makers.reeve.wait_until_heard(proxy)
            record_resident(figures, NONE, pid, round_number)


def measure_hearing(figures, makers, engine, slugs):
    """Of tenants that were not known when it began."""
    with makers.proxy(engine) as (_port, pid, proxy):
        makers.reeve.wait_until_heard(proxy)
        before = cost.resident_bytes(pid)
        know_tenants(makers.reeve, slugs)
        makers.reeve.wait_until_heard(proxy)
        record_resident(figures, HEARD, pid, 1)
        figures.record(KNOWN, HEARD, "tenant_bytes",
                       (cost.resident_bytes(pid) - before) / len(slugs), "B", 1)


def measure_with_tenants(figures, makers, engine, options):
    none = figures.median(KNOWN, NONE, "resident_bytes")
    for round_number in range(1, options.rounds + 1):
        with makers.proxy(engine) as (_port, pid, proxy):
            makers.reeve.wait_until_heard(proxy)
            record_resident(figures, LOADED, pid, round_number)
            figures.record(KNOWN, LOADED, "tenant_bytes",
                           (cost.resident_bytes(pid) - none) / options.tenants, "B", round_number)
            figures.record(KNOWN, LOADED, "idle_cpu_ms_per_s",
                           idle_cpu(pid, options.seconds, proxy.process), "ms/s", round_number)


# ---- results ----

CLIENT_HEAD = ("clients", "subject", "bytes a client", "of PgBouncer", "idle, CPU ms/s")
TENANT_HEAD = (KNOWN, "resident, MB", "bytes a tenant", "idle, CPU ms/s")


def client_row(figures, case, state, name, program):
    def value(metric, subject=name):
        return figures.median(f"{case}/{state}", subject, metric)

    return (f"{case}, {state}", name, results.number(value("client_bytes")),
            results.ratio(value("client_bytes"), value("client_bytes", program.name)),
            results.number(value("idle_cpu_ms_per_s"), 2))


def tenant_row(figures, state):
    def value(metric):
        return figures.median(KNOWN, state, metric)

    return (state, results.number(value("resident_bytes") / 2**20, 1),
            results.number(value("tenant_bytes")), results.number(value("idle_cpu_ms_per_s"), 2))


def report(figures, program, missing, options, load_before, version):
    lines = [f"Medians of {options.rounds} rounds, {results.machine(load_before)}; PostgreSQL"
             f" {version}, PgBouncer {program.text}, {options.clients:,} clients,"
             f" {subjects.BACKENDS} backends, {options.tenants:,} tenants, idle for"
             f" {options.seconds} s, Reeve with {options.workers} workers.", ""]
    with_values = {(case, subject) for case, subject, _metric in figures.values}
    names = [f"reeve/{engine}" for engine in subjects.ENGINES] + [program.name]
    lines += results.table(CLIENT_HEAD, [
        client_row(figures, case, state, name, program) for case in options.case
        for state in (IDLE, USED) for name in names if (f"{case}/{state}", name) in with_values])
    lines += ["", *results.table(TENANT_HEAD, [tenant_row(figures, state)
                                               for state in (NONE, HEARD, LOADED)])]
    return lines + results.skipped(missing)


def measure_all(figures, server, reeve, program, engines, options):
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(process.temporary_folder("reeve-bench-"))
        issuer = tokens.Issuer("ES256")
        issuer.register(reeve, folder)
        create_service(reeve, server)
        subjects.create_past_reeve(server, [subjects.ROLE], accounts=1)
        makers = Makers(server, reeve, issuer, certificates.write_certificate(folder), options)
        slugs = [f"t-{number}" for number in range(1, options.tenants + 1)]
        few = slugs[:options.clients]
        measure_without_tenants(figures, makers, engines[0], options)
        # What a process frees after loading tenants is room for clients: few tenants, then.
        for case in options.case:
            if case == "tenants":
                know_tenants(reeve, few)
                give_rows(reeve, server, few)
            for round_number in range(1, options.rounds + 1):
                found = list(makers.of(case, engines, program, few))
                for measured in command.in_order(found, round_number):
                    measure_clients(figures, case, measured, folder, options, round_number)
        rest = slugs[options.clients:] if "tenants" in options.case else slugs
        measure_hearing(figures, makers, engines[0], rest)
        measure_with_tenants(figures, makers, engines[0], options)


def main():
    parser = command.parser(__doc__, rounds=1, seconds=30)
    parser.add_argument("--clients", type=int, default=10_000)
    parser.add_argument("--tenants", type=int, default=100_000)
    parser.add_argument("--case", action="append", choices=CASES)
    options = parser.parse_args()
    options.case = [case for case in CASES if case in (options.case or CASES)]
    if options.tenants <= options.clients:
        parser.error("--tenants must be more than --clients, each of which has one of its own")
    load_before = command.begin()
    figures = results.Figures("memory")
    program = bouncer.newest()
    engines, missing = subjects.engines()
    with postgres.running_postgres() as server, reeve_support.running_reeve() as reeve:
        measure_all(figures, server, reeve, program, engines, options)
        with server.connect() as admin:
            version = admin.execute("SHOW server_version").fetchone()[0].split()[0]
    lines = report(figures, program, missing, options, load_before, version)
    print("\n" + "\n".join(lines))
    if options.write_docs:
        results.write_docs("memory", lines)


if __name__ == "__main__":
    main()
