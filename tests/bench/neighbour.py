#!/usr/bin/env python3
"""The noisy neighbour: a quiet tenant's latency alone, and beside one that floods.

    make bench-neighbour
    tests/bench/neighbour.py [--rounds 5] [--seconds 5] [--clients 200] [--subject guard/row ...]
                             [--flood select ...] [--write-docs]

The quiet tenant has 2 clients, for which a select is due each hundredth of a second on average; the
flood is 200 clients of another tenant, each of which sends its next transaction when the last was
answered: `select`, which takes the processors, or `sleep` (pg_sleep of 10 ms), which takes server
connections and nothing else. 20 backends for each pooler. The quiet clients are logged in before,
and work through the time alone and each flood. What is measured is all of their transactions that
fell due in the one or the other, from 0.5 s after its beginning, and each from when it was due: who
is not served while the flood lasts has waited for its end. The subjects:

- direct: no pooler, a server process a client: what the machine itself does to the quiet tenant;
- guard/row, guard/schema: Reeve, both tenants on one pool;
- login/schema: Reeve, each tenant with server connections of its own, 20 in all;
- pgbouncer/user a tenant: a pool of up to 20 for each of two users on one database, 20 in all;
- pgbouncer/10 a tenant: the same with 10 for each, whoever needs them;
- pgbouncer/one user: both tenants as one user, and so in one pool.

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

from support import postgres, reeve as reeve_support, world  # noqa: E402
import bouncer  # noqa: E402
import command  # noqa: E402
import pgbench  # noqa: E402
import results  # noqa: E402
import subjects  # noqa: E402

BACKENDS = 20
QUIET_CLIENTS = 2
QUIET_RATE = 100  # transactions a second
CATCHING_UP_SECONDS = 1  # with what fell due in the flood
TARGET = 2  # times its value alone
FLOODS = {"select": None, "sleep": "SELECT pg_sleep(0.01);\n"}
SERVICES = {"guard/row": ("rows", "row", "guard"), "guard/schema": ("schemas", "schema", "guard"),
            "login/schema": ("logins", "schema", "login")}
EACH, HALF, ONE = ("pgbouncer/user a tenant", "pgbouncer/10 a tenant", "pgbouncer/one user")
NAMES = ("direct", *SERVICES, EACH, HALF, ONE)
TENANTS = ("quiet", "flood")
SHARED = "everybody"  # the one user


class Pair:
    """The two tenants as they come to one subject."""

    def __init__(self, name, quiet, flood):
        self.name, self.quiet, self.flood = name, quiet, flood


# ---- subjects ----

def past_reeve(name, port, database, roles, pid=None):
    return Pair(name, *(subjects.Subject(name, port, role, database, role, pid) for role in roles))


def through_pgbouncer(stack, server, program, name, roles, size):
    port, pid = stack.enter_context(bouncer.running(
        program, f"host={server.folder} port={server.port} dbname={subjects.PAST_REEVE}",
        {role: role for role in roles}, default_pool_size=size, max_db_connections=BACKENDS))
    return past_reeve(name, port, "bench", roles, pid)


def through_reeve(stack, reeve, server, name, options):
    """With a proxy of its own, as each may have 20 backends."""
    service, isolation, enforcement = SERVICES[name]
    library = ["--guard-library", server.guard] if enforcement == "guard" else []
    reeve.cli("cluster", "enforce", "bench", enforcement, *library)
    reeve.cli("service", "create", service, "--migrations", world.DATA / "pgbench", "--isolation",
              isolation, "--cluster", "bench")
    for slug in TENANTS:
        reeve.cli("tenant", "attach", slug, service)
    proxy = stack.enter_context(reeve_support.running_serve(reeve, workers=options.workers,
                                                            engine=options.engine))
    pair = Pair(name, *(subjects.Subject(name, proxy.port, slug, service, reeve.token(slug),
                                         proxy.process.pid) for slug in TENANTS))
    for subject in (pair.quiet, pair.flood):
        with psycopg.connect(subject.conninfo(), autocommit=True) as connection:
            world.fill_pgbench(connection, 100_000)
    return pair


def make_pairs(stack, server, reeve, program, options):
    subjects.create_past_reeve(server, (*TENANTS, SHARED))
    reeve.cli("cluster", "add", "bench", "--conninfo", f"host={server.folder} port={server.port}",
              "--max-backends", BACKENDS, "--enforcement", "guard", "--guard-library", server.guard)
    for slug in TENANTS:
        reeve.cli("tenant", "create", slug)
    wanted = options.subject
    if "direct" in wanted:
        yield past_reeve("direct", server.port, subjects.PAST_REEVE, TENANTS)
    for name in SERVICES:
        if name in wanted:
            yield through_reeve(stack, reeve, server, name, options)
    for name, roles, size in ((EACH, TENANTS, BACKENDS), (HALF, TENANTS, BACKENDS // 2),
                              (ONE, (SHARED, SHARED), BACKENDS)):
        if name in wanted:
            yield through_pgbouncer(stack, server, program, name, roles, size)


# ---- measuring ----

def work_on(quiet, seconds):
    """For so long the quiet tenant is at work."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        quiet.process.wait(timeout=seconds)
        raise RuntimeError(f"{quiet.subject.name}: the quiet tenant ended before its time:\n"
                           f"{quiet.process.communicate()[1]}")


def window(quiet, seconds):
    """The (begin, end) of a time that counts, in microseconds."""
    work_on(quiet, pgbench.SETTLING_US / 1e6)
    begin = time.time()
    work_on(quiet, seconds)
    return begin * 1e6, time.time() * 1e6


def flooded(quiet, pair, kind, options):
    """(window, the flood's transactions a second)"""
    with pgbench.Load(pair.flood, options.clients, pgbench.FOREVER, script=FLOODS[kind],
                      sampling=0) as flood:
        flood.wait_logged_in()
        found = window(quiet, options.seconds)
        run = flood.stop()
    work_on(quiet, CATCHING_UP_SECONDS)
    return found, run.tps


def measure(figures, pair, options, round_number):
    with pgbench.Load(pair.quiet, QUIET_CLIENTS, pgbench.FOREVER, "-R", str(QUIET_RATE),
                      sampling=1) as quiet:
        quiet.wait_logged_in()
        windows = {"alone": (window(quiet, options.seconds), None)}
        for kind in options.flood:
            windows[kind] = flooded(quiet, pair, kind, options)
        run = quiet.stop()
    for case, ((begin, end), flood_tps) in windows.items():
        due = [(begun, taken) for begun, taken in run.samples if begin <= begun < end]
        served = sum(begin <= begun + taken < end for begun, taken in run.samples)
        times = [taken for _begun, taken in due]
        found = {"p50_us": pgbench.percentile(times, 0.5),
                 "p99_us": pgbench.percentile(times, 0.99),
                 "quiet_tps": served / (end - begin) * 1e6, "flood_tps": flood_tps}
        record(figures, case, pair.name, found, round_number)


def record(figures, case, name, found, round_number):
    for metric, value in found.items():
        if value is not None:
            figures.record(case, name, metric, value, "us" if metric.endswith("_us") else "1/s",
                           round_number)
    print(f"round {round_number}: {case}: {name}: p50 {results.milliseconds(found['p50_us'])} ms,"
          f" p99 {results.milliseconds(found['p99_us'])} ms,"
          f" {results.number(found['quiet_tps'])}/s, flood"
          f" {results.number(found['flood_tps']) or '-'}/s", flush=True)


# ---- results ----

HEAD = ("flood", "subject", "p50, ms", "p99, ms", "p50, of alone", "p99, of alone", "quiet, tps",
        "flood, tps")


def row(figures, case, name):
    def value(metric, of=case):
        return figures.median(of, name, metric)

    return (case, name, results.milliseconds(value("p50_us")),
            results.milliseconds(value("p99_us")),
            results.ratio(value("p50_us"), value("p50_us", "alone")),
            results.ratio(value("p99_us"), value("p99_us", "alone")),
            results.number(value("quiet_tps")), results.number(value("flood_tps")))


def verdict(figures, case, name, program):
    alone, beside, other = (figures.median(of, subject, "p99_us") for of, subject in (
        ("alone", name), (case, name), (case, EACH)))
    whose = f"PgBouncer {program.text}'s with a user a tenant"
    return results.verdict(f"{case}, {name}", results.in_words(
        "the quiet tenant's p99", results.at_most(beside, alone, TARGET, "its value alone"),
        f"{beside / other:.3f} of {whose}" if beside and other else None))


def report(figures, program, options, load_before, version):
    cases = ("alone", *options.flood)
    lines = [f"Medians of {options.rounds} rounds of {options.seconds} s each,"
             f" {results.machine(load_before)}; PostgreSQL {version}, PgBouncer {program.text},"
             f" {BACKENDS} backends for each pooler, Reeve with {options.workers} workers and"
             f" engine {options.engine}. {options.clients} clients flood, {QUIET_CLIENTS} do not.", ""]
    lines += results.table(HEAD, [row(figures, case, name) for case in cases for name in NAMES
                                  if name in options.subject])
    lines.append("")
    for case in options.flood:
        for name in SERVICES:
            lines += verdict(figures, case, name, program)
    return lines


def main():
    parser = command.parser(__doc__)
    parser.add_argument("--clients", type=int, default=200, help="that flood")
    parser.add_argument("--engine", default="auto", help="of Reeve")
    parser.add_argument("--subject", action="append", choices=NAMES)
    parser.add_argument("--flood", action="append", choices=FLOODS)
    options = parser.parse_args()
    options.subject = options.subject or NAMES
    options.flood = options.flood or list(FLOODS)
    load_before = command.begin()
    figures = results.Figures("neighbour")
    program = bouncer.newest()
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(postgres.running_postgres(settings={"max_connections": 1000}))
        reeve = stack.enter_context(reeve_support.running_reeve())
        pairs = list(make_pairs(stack, server, reeve, program, options))
        with server.connect() as admin:
            version = admin.execute("SHOW server_version").fetchone()[0].split()[0]
        for round_number in range(1, options.rounds + 1):
            for pair in command.in_order(pairs, round_number):
                measure(figures, pair, options, round_number)
    lines = report(figures, program, options, load_before, version)
    print("\n" + "\n".join(lines))
    if options.write_docs:
        results.write_docs("neighbour", lines)


if __name__ == "__main__":
    main()
