#!/usr/bin/env python3
"""pgbench select-only: straight to PostgreSQL, through a bare relay, PgBouncer and Reeve.

    make bench-pooler
    tests/bench/pooler.py [--rounds 5] [--seconds 5] [--write-docs] [--case prepared/64 ...]

One PostgreSQL serves all, and each pooler may have 20 backends to it over a Unix socket; the relay,
which pools nothing, has one a client. Clients come over TCP loopback from one pgbench thread. The
subjects take turns within each round, and another one begins in the next, so that the machine's
moods meet all of them; compare ratios, not absolute figures across runs. CPU is user and system
time of the pooler's own processes from the moment when all clients are logged in, by the
transactions that pgbench counted; pgbench's own has the logins in it. Latencies are of each tenth
transaction, from 0.5 s after the first on. Each measurement is a line in build/bench.jsonl.

$REEVE_BENCH_PGBOUNCER: the program of a newer PgBouncer than Debian's, to be measured beside it.
Before 1.21 it has no prepared statements in transaction pooling; its prepared rows are then
measured with pgbench's extended protocol, and marked.
"""
import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

import bouncer  # noqa: E402
import command  # noqa: E402
import pgbench  # noqa: E402
import results  # noqa: E402
import subjects  # noqa: E402

CLIENTS = (16, 64, 256)
MOST = max(CLIENTS)
CPU_TARGETS = {"io_uring": 0.6, "epoll": 0.85}  # of PgBouncer's
RELAY_TARGET = 1.3
UNITS = {"tps": "1/s"}


def make_subjects(place, programs, engines):
    place.create_pgbench()
    return [place.direct(),
            *(place.through_relay(engine) for engine in engines),
            *(place.through_bouncer(program) for program in programs),
            *(place.through_reeve(engine) for engine in engines)]


def measure(figures, case, subject, seconds, round_number):
    mode, clients = case.split("/")
    run = pgbench.run(subject, int(clients), seconds, mode=mode)
    found = {"tps": run.tps, "cpu_us_per_txn": run.cpu_us, "load_cpu_us_per_txn": run.load_cpu_us,
             "p50_us": run.latency_us(0.5),
             "p99_us": run.latency_us(0.99)}
    for metric, value in found.items():
        if value is not None:
            figures.record(case, subject.name, metric, value, UNITS.get(metric, "us"), round_number)
    print(f"round {round_number}: {case}: {subject.name}: {run.tps:,.0f}/s,"
          f" CPU {results.number(run.cpu_us, 1) or '-'} µs/txn,"
          f" p99 {results.milliseconds(found['p99_us'])} ms", flush=True)


# ---- results ----

HEAD = ("case", "subject", "tps", "of direct", "pooler, CPU µs/txn", "of PgBouncer", "of the relay",
        "p50, ms", "p99, ms", "load, CPU µs/txn")


def is_marked(case, name, programs):
    """PgBouncer without prepared statements does other work."""
    return case.startswith("prepared") and \
        any(program.name == name and not program.prepares for program in programs)


def row(figures, case, name, programs):
    def value(metric, subject=name):
        return figures.median(case, subject, metric)

    cpu, engine = value("cpu_us_per_txn"), name.partition("/")[2]
    return (case, name + (" *" if is_marked(case, name, programs) else ""),
            results.number(value("tps")), results.ratio(value("tps"), value("tps", "direct")),
            results.number(cpu, 1),
            results.ratio(cpu, value("cpu_us_per_txn", programs[-1].name)),
            results.ratio(cpu, value("cpu_us_per_txn", f"relay/{engine}")),
            results.milliseconds(value("p50_us")), results.milliseconds(value("p99_us")),
            results.number(value("load_cpu_us_per_txn"), 1))


def verdict(figures, case, engine, program):
    def value(metric, subject=f"reeve/{engine}"):
        return figures.median(case, subject, metric)

    other = program.name
    mark = " *" if is_marked(case, other, [program]) else ""
    cpu, whose = value("cpu_us_per_txn"), f"{other}'s{mark}"
    return results.verdict(
        f"{case}, {engine}",
        results.in_words(
            "CPU",
            results.at_most(cpu, value("cpu_us_per_txn", other), CPU_TARGETS[engine], whose),
            results.at_most(cpu, value("cpu_us_per_txn", f"relay/{engine}"), RELAY_TARGET,
                            "the relay's")),
        results.in_words("throughput",
                         results.at_least(value("tps"), value("tps", other), 1, whose)),
        results.in_words("p99", results.at_most(value("p99_us"), value("p99_us", other), 1, whose))
        if case.endswith(f"/{MOST}") else None)


def report(figures, cases, names, programs, missing, options, load_before, version):
    lines = [f"Medians of {options.rounds} rounds of {options.seconds} s each,"
             f" {results.machine(load_before)}; PostgreSQL {version},"
             f" {subjects.BACKENDS} backends for each pooler, Reeve with {options.workers} workers."
             f" “of PgBouncer” is of {programs[-1].name}.", ""]
    lines += results.table(HEAD, [row(figures, case, name, programs)
                                  for case in cases for name in names])
    lines.append("")
    for case in cases:
        for engine in subjects.ENGINES:
            lines += verdict(figures, case, engine, programs[-1])
    marked = [program.name for program in programs if not program.prepares]
    if marked:
        lines += ["", f"\\* {marked[0]} has no prepared statements in transaction pooling (1.21"
                  " has): its figures in these rows are of pgbench's extended protocol, which"
                  " parses at each transaction, and are not the same work."]
    return lines + results.skipped(missing)


def main():
    parser = command.parser(__doc__)
    parser.add_argument("--clients", type=int, action="append", help=f"default: {CLIENTS}")
    parser.add_argument("--case", action="append", help='such as "prepared/64"; default: all')
    options = parser.parse_args()
    cases = options.case or [f"{mode}/{count}" for mode in pgbench.MODES
                             for count in options.clients or CLIENTS]
    load_before = command.begin()
    figures = results.Figures("pooler")
    programs, no_newer = bouncer.programs()
    engines, missing = subjects.engines()
    with subjects.running_place(options.workers) as place:
        found = make_subjects(place, programs, engines)
        for round_number in range(1, options.rounds + 1):
            for case in cases:
                for subject in command.in_order(found, round_number):
                    measure(figures, case, subject, options.seconds, round_number)
        lines = report(figures, cases, [subject.name for subject in found], programs,
                       missing + [no_newer] * bool(no_newer), options, load_before,
                       place.version())
    print("\n" + "\n".join(lines))
    if options.write_docs:
        results.write_docs("pooler", lines)


if __name__ == "__main__":
    main()
