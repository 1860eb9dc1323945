#!/usr/bin/env python3
"""Large results: COPY out, rows of 1 MB, and COPY in, of a gigabyte each over one connection.

    make bench-large
    tests/bench/large.py [--rounds 5] [--megabytes 1024] [--case copy-out ...] [--write-docs]

Straight to PostgreSQL, through PgBouncer and through Reeve on each engine; the client with TLS and
without, the poolers' way to the server always the Unix socket. COPY moves rows of 1,000 bytes, from
an unlogged table and into one that is emptied after each measurement; the rows of 1 MB are made by
the query and taken in libpq's single-row mode. bench-bulk (bulk.c) is the client: it drops what it
receives. Time is from the statement to the end of its result, without the login; CPU is user and
system time by 10^9 bytes: of the pooler's own processes, of all of the server's together, and of
the client. Client, pooler and server work at the same time, so that they are in each other's way
where there are less than three processors: a pooler's CPU is in the throughput there.

$REEVE_BENCH_PGBOUNCER: the program of a newer PgBouncer than Debian's, to be measured in its place.
"""
import contextlib
import json
import pathlib
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from support import process, world  # noqa: E402
import bouncer  # noqa: E402
import command  # noqa: E402
import cost  # noqa: E402
import results  # noqa: E402
import subjects  # noqa: E402

PROGRAM = command.RELEASE / "tests" / "bench" / "bench-bulk"
MEGABYTE = 2 ** 20
ROW_BYTES = 1000
TARGET = 0.9  # of direct
WAYS = {"copy-out": "out", "rows": "rows", "copy-in": "in"}
CLIENTS = ("plain", "tls")
UNITS = {"mb_per_s": "MB/s"}


def statement(way, count):
    """Moving `count` bytes at least."""
    if way == "rows":
        return f"SELECT repeat('x', {MEGABYTE}) FROM generate_series(1, {-(-count // MEGABYTE)})"
    return {"copy-out": "COPY outgoing TO STDOUT", "copy-in": "COPY incoming FROM STDIN"}[way]


def make_subjects(place, program, engines, count):
    place.create("bulk", world.DATA / "bulk")
    with place.admin() as admin:
        for table in ("outgoing", "incoming"):
            admin.execute(f"ALTER TABLE app.{table} SET UNLOGGED")
        admin.execute(f"INSERT INTO app.outgoing SELECT repeat('x', {ROW_BYTES - 1})"
                      f" FROM generate_series(1, {-(-count // ROW_BYTES)})")
    place.let_in("SELECT, INSERT")
    tls = place.certificate()
    plain = [place.direct(), place.through_bouncer(program, tls=tls),
             *(place.through_reeve(engine, tls=tls) for engine in engines)]
    return {"plain": plain, "tls": [subject.over_tls() for subject in plain]}


@contextlib.contextmanager
def transferred(subject, way, count):
    """What bench-bulk said; within it is logged in yet."""
    row_bytes = MEGABYTE if way == "rows" else ROW_BYTES
    load = process.spawn([PROGRAM, WAYS[way], str(count), str(row_bytes), statement(way, count)],
                         stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        load.stdin.write(subject.conninfo() + "\n")
        load.stdin.flush()
        line = load.stdout.readline()
        if not line:
            raise RuntimeError(f"{subject.name}: bench-bulk ended with {load.wait()}")
        yield json.loads(line)
        load.communicate()
    finally:
        load.kill()
        load.wait()


def measure(figures, place, case, subject, count, round_number):
    way = case.partition("/")[0]
    postmaster = place.server.process.pid
    server_before, pooler_before = cost.server_cpu_seconds(postmaster), subject.cpu_seconds()
    with transferred(subject, way, count) as moved:
        server = cost.server_cpu_seconds(postmaster) - server_before
        pooler = subject.cpu_seconds() - pooler_before
    gigabytes = moved["bytes"] / 1e9
    found = {"mb_per_s": moved["bytes"] / 1e6 / moved["seconds"],
             "server_cpu_ms_per_gb": server * 1e3 / gigabytes,
             "load_cpu_ms_per_gb": moved["cpu_seconds"] * 1e3 / gigabytes}
    if subject.pid:
        found["cpu_ms_per_gb"] = pooler * 1e3 / gigabytes
    for metric, value in found.items():
        figures.record(case, subject.name, metric, value, UNITS.get(metric, "ms"), round_number)
    print(f"round {round_number}: {case}: {subject.name}: {found['mb_per_s']:,.0f} MB/s,"
          f" CPU {results.number(found.get('cpu_ms_per_gb')) or '-'} ms/GB", flush=True)
    if way == "copy-in":
        with place.admin() as admin:
            admin.execute("TRUNCATE app.incoming")


# ---- results ----

HEAD = ("case", "subject", "MB/s", "of direct", "pooler, CPU ms/GB", "of PgBouncer",
        "server, CPU ms/GB", "load, CPU ms/GB")


def row(figures, case, name, program):
    def value(metric, subject=name):
        return figures.median(case, subject, metric)

    return (case, name, results.number(value("mb_per_s")),
            results.ratio(value("mb_per_s"), value("mb_per_s", "direct")),
            results.number(value("cpu_ms_per_gb")),
            results.ratio(value("cpu_ms_per_gb"), value("cpu_ms_per_gb", program.name)),
            results.number(value("server_cpu_ms_per_gb")),
            results.number(value("load_cpu_ms_per_gb")))


def verdict(figures, case, name, program):
    rate, direct, other = (figures.median(case, subject, "mb_per_s")
                           for subject in (name, "direct", program.name))
    return results.verdict(f"{case}, {name}", results.in_words(
        "throughput", results.at_least(rate, direct, TARGET, "direct"),
        f"{rate / other:.3f} of {program.name}'s" if rate and other else None))


def report(figures, found, program, missing, options, load_before, version):
    names = [subject.name for subject in found["plain"]]
    lines = [f"Medians of {options.rounds} rounds of {options.megabytes:,} MB each,"
             f" {results.machine(load_before)}; PostgreSQL {version}, Reeve with {options.workers}"
             f" workers.", ""]
    lines += results.table(HEAD, [row(figures, case, name, program)
                                  for case in options.case for name in names])
    lines.append("")
    for case in options.case:
        for engine in subjects.ENGINES:
            lines += verdict(figures, case, f"reeve/{engine}", program)
    return lines + results.skipped(missing)


def main():
    parser = command.parser(__doc__, seconds=None)
    parser.add_argument("--megabytes", type=int, default=1024, help="of each measurement")
    parser.add_argument("--case", action="append",
                        choices=[f"{way}/{client}" for way in WAYS for client in CLIENTS])
    options = parser.parse_args()
    options.case = options.case or [f"{way}/{client}" for way in WAYS for client in CLIENTS]
    count = options.megabytes * MEGABYTE
    load_before = command.begin()
    figures = results.Figures("large")
    program = bouncer.newest()
    engines, missing = subjects.engines()
    with subjects.running_place(options.workers, subjects.allow_tls) as place:
        found = make_subjects(place, program, engines, count)
        for round_number in range(1, options.rounds + 1):
            for case in options.case:
                for subject in command.in_order(found[case.rpartition("/")[2]], round_number):
                    measure(figures, place, case, subject, count, round_number)
        lines = report(figures, found, program, missing, options, load_before, place.version())
    print("\n" + "\n".join(lines))
    if options.write_docs:
        results.write_docs("large", lines)


if __name__ == "__main__":
    main()
