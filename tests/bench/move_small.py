"""How long the whole command takes that moves a small tenant."""
import move_stage
import move_watch
import results

CASES = (("schema", "database"), ("row", "schema"))
SERVICE = "accounts"
TARGET_SECONDS = 5
PHASES = ("preparing", "copying", "catching up", "verifying")
HEAD = ("move", "whole: median, s", "worst, s", "pause_ms", *(f"{phase}, s" for phase in PHASES),
        "revert, s", "failed")


class Part:
    """Each case is a tenant that is moved and taken back, once a round."""

    name = "move-small"

    def __init__(self, figures, stage, options):
        self.figures, self.stage, self.options = figures, stage, options
        self.shape = move_stage.Shape(options.pairs, size=options.small_bytes)
        self.tenants = {}

    def prepare(self):
        self.stage.add_service(SERVICE, self.shape.pairs)
        for before, after in CASES:
            tenant = self.stage.add_tenant(f"small-{before}", SERVICE, before)
            self.stage.fill(tenant, self.shape)
            self.tenants[f"{before} to {after}"] = (tenant, before, after)

    def measure(self):
        for number in range(1, self.options.rounds + 1):
            for case, (tenant, before, after) in self.tenants.items():
                moved = move_watch.run(self.stage.reeve, tenant, after=("--to", after))
                self.record_move(case, moved, number)
                if moved.error:
                    continue
                back = move_watch.take_back(self.stage.reeve, tenant, before)
                self.record(case, "failed", int(back.error is not None), "", number)
                if not back.error:
                    self.record(case, "revert_s", back.seconds(), "s", number)

    def record(self, case, metric, value, unit, number):
        if value is not None:
            self.figures.record("small", case, metric, value, unit, number)

    def record_move(self, case, moved, number):
        self.record(case, "failed", int(moved.error is not None), "", number)
        if moved.error:
            return
        self.record(case, "seconds", moved.seconds(), "s", number)
        self.record(case, "pause_ms", moved.said_ms, "ms", number)
        for phase in PHASES:
            self.record(case, phase, moved.in_phase(phase), "s", number)
        print(f"round {number}: {case}: {moved.seconds():.2f} s, pause_ms {moved.said_ms}:"
              f" {moved.spent()}", flush=True)

    def row(self, case):
        def median(metric, digits=2):
            return results.number(self.figures.median("small", case, metric), digits)

        return (case, median("seconds"), results.number(self.figures.worst("small", case, "seconds"), 2),
                median("pause_ms", 0), *(median(phase) for phase in PHASES), median("revert_s"),
                results.number(self.figures.total("small", case, "failed")))

    def report(self, load_before):
        lines = [f"Medians of {self.options.rounds} rounds, {results.machine(load_before)}; PostgreSQL"
                 f" {self.stage.version()}, {self.stage.settings()}."
                 f" {self.options.small_bytes / 1e6:.0f} MB in {2 * self.shape.pairs} tables.", ""]
        lines += [*results.table(HEAD, [self.row(case) for case in self.tenants]), ""]
        for case in self.tenants:
            value = self.figures.worst("small", case, "seconds")
            if value is not None:
                lines.append(f"- {case}: {value:.2f} s at worst (at most {TARGET_SECONDS} s:"
                             f" {'met' if value <= TARGET_SECONDS else 'MISSED'}).")
        return lines
