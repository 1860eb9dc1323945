#!/usr/bin/env python3
"""Connection churn: pgbench that connects anew for each transaction.

    make bench-churn
    tests/bench/churn.py [--rounds 5] [--seconds 5] [--clients 8] [--case tls-scram ...]
                         [--write-docs]

`pgbench -C -j 8`, select-only, straight to PostgreSQL, through PgBouncer and through Reeve on each
engine, in three ways to log in:

- token: no TLS, Reeve's token and PgBouncer's password (auth_type=plain) in clear text;
- scram: no TLS, SCRAM-SHA-256 on both sides;
- tls-scram: the same over TLS; one certificate for all, and no session is taken up again.

Both poolers know SCRAM verifiers of 4,096 iterations, and not passwords; PgBouncer with the clear
password would derive a key at each login. CPU is user and system time of the pooler's own processes
by the number of connects, of which each has one select. What pgbench itself spends on a connect is
in the table: with SCRAM a client derives a key at each login, some milliseconds that all subjects
share, so that their rates are what pgbench can do; what a pooler could do is in its CPU alone.

$REEVE_BENCH_PGBOUNCER: the program of a newer PgBouncer than Debian's, to be measured beside it.
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

CASES = ("token", "scram", "tls-scram")
TARGET = 1.5  # of PgBouncer's connects a second
UNITS = {"connects_per_s": "1/s"}


def make_subjects(place, programs, engines):
    """case -> its subjects"""
    place.create_pgbench()
    tls = place.certificate()
    verifier = {subjects.ROLE: place.verifier()}
    token = [*(place.through_bouncer(program, {subjects.ROLE: subjects.ROLE}, auth_type="plain")
               for program in programs),
             *(place.through_reeve(engine) for engine in engines)]
    scram = [place.direct(),
             *(place.through_bouncer(program, verifier, tls, auth_type="scram-sha-256")
               for program in programs),
             *(place.through_reeve(engine, by_password=True, tls=tls) for engine in engines)]
    return {"token": token, "scram": scram, "tls-scram": [subject.over_tls() for subject in scram]}


def open_backends(found, options):
    """So that no pooler's logins to the server are in what a client's connect costs it."""
    for case in options.case:
        for subject in found[case]:
            pgbench.run(subject, 2 * options.clients, 1, sampling=0)


def measure(figures, case, subject, options, round_number):
    with pgbench.Load(subject, options.clients, options.seconds, "-C", threads=options.clients,
                      sampling=0) as load:
        run = load.finish()
    for metric, value in (("connects_per_s", run.tps), ("cpu_us_per_connect", run.cpu_us),
                          ("load_cpu_us_per_connect", run.load_cpu_us)):
        if value is not None:
            figures.record(case, subject.name, metric, value, UNITS.get(metric, "us"), round_number)
    print(f"round {round_number}: {case}: {subject.name}: {run.tps:,.0f} connects/s,"
          f" CPU {results.number(run.cpu_us, 1) or '-'} µs each", flush=True)


# ---- results ----

HEAD = ("case", "subject", "connects/s", "of PgBouncer", "pooler, CPU µs/connect", "of PgBouncer",
        "load, CPU µs/connect")


def row(figures, case, name, program):
    def value(metric, subject=name):
        return figures.median(case, subject, metric)

    rate, cpu = value("connects_per_s"), value("cpu_us_per_connect")
    return (case, name, results.number(rate),
            results.ratio(rate, value("connects_per_s", program.name)), results.number(cpu, 1),
            results.ratio(cpu, value("cpu_us_per_connect", program.name)),
            results.number(value("load_cpu_us_per_connect"), 1))


def verdict(figures, case, name, program):
    def both(metric):
        return (figures.median(case, subject, metric) for subject in (name, program.name))

    whose = f"{program.name}'s"
    rate, other_rate = both("connects_per_s")
    cpu, other_cpu = both("cpu_us_per_connect")
    return results.verdict(
        f"{case}, {name}",
        results.in_words("connects a second", results.at_least(rate, other_rate, TARGET, whose)),
        f"CPU a connect {cpu / other_cpu:.3f} of {whose}" if cpu and other_cpu else None)


def report(figures, found, program, missing, options, load_before, version):
    lines = [f"Medians of {options.rounds} rounds of {options.seconds} s each,"
             f" {results.machine(load_before)}; PostgreSQL {version}, {options.clients} clients,"
             f" {subjects.BACKENDS} backends for each pooler, Reeve with {options.workers} workers."
             f" “of PgBouncer” is of {program.name}.", ""]
    lines += results.table(HEAD, [row(figures, case, subject.name, program)
                                  for case in options.case for subject in found[case]])
    lines.append("")
    for case in options.case:
        for engine in subjects.ENGINES:
            lines += verdict(figures, case, f"reeve/{engine}", program)
    return lines + results.skipped(missing)


def main():
    parser = command.parser(__doc__)
    parser.add_argument("--clients", type=int, default=8, help="and threads of pgbench")
    parser.add_argument("--case", action="append", choices=CASES)
    options = parser.parse_args()
    options.case = options.case or CASES
    load_before = command.begin()
    figures = results.Figures("churn")
    programs, no_newer = bouncer.programs()
    engines, missing = subjects.engines()
    with subjects.running_place(options.workers, subjects.allow_tls) as place:
        found = make_subjects(place, programs, engines)
        open_backends(found, options)
        for round_number in range(1, options.rounds + 1):
            for case in options.case:
                for subject in command.in_order(found[case], round_number):
                    measure(figures, case, subject, options, round_number)
        lines = report(figures, found, programs[-1], missing + [no_newer] * bool(no_newer),
                       options, load_before, place.version())
    print("\n" + "\n".join(lines))
    if options.write_docs:
        results.write_docs("churn", lines)


if __name__ == "__main__":
    main()
