"""What other tenants notice of a large neighbour that moves."""
import contextlib

import move_load
import move_stage
import move_watch
import pgbench
import results

SERVICE = "accounts"
QUIET_CLIENTS, QUIET_RATE, QUIET_ROWS = 2, 100, 10_000
# Who moves, from and to; who does not, and where that is. Tenants of shared tables, and those of
# schemas, share a database each.
CASES = {"schema to database": ("schema", "database", ("schema", "database")),
         "row to schema": ("row", "schema", ("row", "database"))}
WHERE = {"schema": "in the same database", "row": "in the same tables",
         "database": "in another database"}
TIMES = ("before", "during", "after")
P99_TARGET_MS = 10  # what --yield lets a commit take
HEAD = ("move", "with", "neighbour", "when", "p50, ms", "p99, ms", "max, ms", "p99, of before",
        "move, s", "errors")


class Part:
    """Each case with each way to throttle it, once a round, and taken back."""

    name = "move-neighbour"

    def __init__(self, figures, stage, options):
        self.figures, self.stage, self.options = figures, stage, options
        self.shape = move_stage.Shape(options.pairs, size=options.neighbour_bytes)
        self.quiet_shape = move_stage.Shape(options.pairs, rows=QUIET_ROWS)
        self.large, self.quiet, self.missing = {}, {}, []
        usual = ("--jobs", options.jobs)
        self.ways = {"nothing": usual}
        if move_watch.can_be_slowed(stage.reeve):
            self.ways[f"--rate {options.throttle}"] = (*usual, "--rate", options.throttle)
        else:
            self.missing.append("moves with --rate, which `reeve move` does not know")
        self.ways["--jobs 1"] = ("--jobs", 1)

    def prepare(self):
        self.stage.add_service(SERVICE, self.shape.pairs)
        for before, _after, others in CASES.values():
            self.large[before] = self.stage.add_tenant(f"large-{before}", SERVICE, before)
            self.stage.fill(self.large[before], self.shape)
            for other in others:
                if other not in self.quiet:
                    self.quiet[other] = self.stage.add_tenant(f"quiet-{other}", SERVICE, other)
                    self.stage.fill(self.quiet[other], self.quiet_shape)

    def measure(self):
        for number in range(1, self.options.rounds + 1):
            for case, (before, _after, _others) in CASES.items():
                for way in self.ways:
                    self.measure_move(case, way, before, number)

    def measure_move(self, case, way, before, number):
        tenant, (_before, after, others) = self.large[before], CASES[case]
        with contextlib.ExitStack() as stack:
            clients = {other: stack.enter_context(move_load.readers(
                self.stage.subject(self.quiet[other]), QUIET_CLIENTS, QUIET_RATE, self.quiet_shape))
                for other in others}
            first = clients[others[0]]
            first.work(pgbench.SETTLING_US / 1e6)
            windows = {"before": first.work(self.options.seconds)}
            moved = move_watch.run(self.stage.reeve, tenant, after=(
                "--to", after, *self.ways[way]))
            windows["during"] = (moved.begun, moved.ended)
            windows["after"] = first.work(self.options.seconds)
            journals = {other: one.journal() for other, one in clients.items()}
        for other, journal in journals.items():
            for when, window in windows.items():
                self.record(subject(case, way, other), when, journal.waits_within(*window), number)
            self.figures.record(subject(case, way, other), "during", "errors", journal.error_count(),
                                "", number)
            self.figures.record(subject(case, way, other), "during", "seconds", moved.seconds(), "s",
                                number)
        if not moved.error:
            move_watch.take_back(self.stage.reeve, tenant, before)

    def record(self, case, when, waits, number):
        times = [taken for _due, taken in waits]
        found = {"p50_us": pgbench.percentile(times, 0.5), "p99_us": pgbench.percentile(times, 0.99),
                 "max_us": max(times, default=None)}
        for metric, value in found.items():
            if value is not None:
                self.figures.record(case, when, metric, value, "us", number)
        print(f"round {number}: {case}, {when}: p50 {results.milliseconds(found['p50_us'])} ms, p99"
              f" {results.milliseconds(found['p99_us'])} ms, max"
              f" {results.milliseconds(found['max_us'])} ms", flush=True)

    def row(self, case, way, other, when):
        def value(metric, of=when):
            return self.figures.median(subject(case, way, other), of, metric)

        return (case, way, WHERE[other], when, results.milliseconds(value("p50_us")),
                results.milliseconds(value("p99_us")),
                results.milliseconds(self.figures.worst(subject(case, way, other), when, "max_us")),
                results.ratio(value("p99_us"), value("p99_us", "before")),
                results.number(value("seconds"), 1), results.number(value("errors")))

    def report(self, load_before):
        size = self.options.neighbour_bytes / 1e9
        lines = [f"Medians of {self.options.rounds} rounds, maxima of all, {results.machine(load_before)};"
                 f" PostgreSQL {self.stage.version()}, {self.stage.settings()}. {size:.2f} GB in"
                 f" {2 * self.shape.pairs} tables move, --jobs {self.options.jobs}; each neighbour has"
                 f" {QUIET_CLIENTS} clients and a select that is due {QUIET_RATE} times a second; before"
                 f" and after are {self.options.seconds} s each.", ""]
        lines += results.table(HEAD, [
            self.row(case, way, other, when) for case, (_before, _after, others) in CASES.items()
            for way in self.ways for other in others for when in TIMES])
        return [*lines, "", *self.verdicts(), *results.skipped(self.missing)]

    def verdicts(self):
        for case, (_before, _after, others) in CASES.items():
            for way in self.ways:
                found = [self.figures.median(subject(case, way, other), "during", "p99_us") for other in others]
                if None not in found:
                    worst_ms = max(found) / 1000
                    met = "met" if worst_ms <= P99_TARGET_MS else "MISSED"
                    yield (f"- {case}, with {way}: p99 of a neighbour's select"
                           f" {worst_ms:.2f} ms during the move (at most {P99_TARGET_MS} ms: {met}).")


def subject(case, way, other):
    return f"{case}/{way}/{other}"
