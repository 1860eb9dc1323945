"""How long a tenant that is written to waits when it is moved online."""
import move_load
import move_stage
import move_watch
import results

TENANT, SERVICE = "busy", "accounts"
FORTH, BACK, BOTH, STILL = "forth", "back", "both", "no move"
MEDIAN_TARGET_MS, WORST_TARGET_MS = 250, 1000
HEAD = ("move", "moves", "transactions/s", "longest wait: median, ms", "worst, ms",
        "but for the pause: worst, ms", "pause_ms: median", "worst", "cutovers", "errors", "failed", "whole: median, s", "copying, s",
        "copy, MB/s", "catching up, s")


def longest_ms(waits):
    """None of none."""
    return max((taken / 1e3 for _due, taken in waits), default=None)


def longest_by_phase(moved, waits):
    """In words: "copying 120, verifying 15"; by when it was due."""
    longest = {}
    for due, taken in waits:
        phase = moved.phase_at(due / 1e6)
        longest[phase] = max(longest.get(phase, 0), taken / 1e3)
    return ", ".join(f"{phase} {longest[phase]:.0f}" for phase in moved.phases if phase in longest)


class Part:
    """--moves moves, each second one of which goes back along the stream."""

    name = "move-pause"

    def __init__(self, figures, stage, options):
        self.figures, self.stage, self.options = figures, stage, options
        self.shape = move_stage.Shape(options.pairs, size=options.bytes)
        self.journals, self.notes = [], []
        self.moves = 0

    def prepare(self):
        isolations = dict.fromkeys((self.options.before, self.options.after, *self.options.allow))
        self.stage.add_service(SERVICE, self.shape.pairs, isolations=tuple(isolations))
        self.tenant = self.stage.add_tenant(TENANT, SERVICE, self.options.before)
        self.stage.fill(self.tenant, self.shape)
        self.bytes, self.index_bytes = self.stage.home(self.tenant).size()

    # -- measuring --

    def measure(self):
        run = 0
        while self.moves < self.options.moves:
            run += 1
            with move_load.writers(self.stage.subject(self.tenant), self.shape, self.options,
                                   run) as clients:
                still = clients.work(self.options.seconds)
                moved = self.forth_and_back(clients)
                journal = clients.journal()
            self.journals.append(journal)
            self.record(STILL, "longest_wait_ms", longest_ms(journal.waits_within(*still)),
                        "ms", run)
            self.record(STILL, "tps", len(journal.waits_within(*still)) / (still[1] - still[0]), "1/s",
                        run)
            for number, way, found in moved:
                self.record_move(number, way, found, journal)
            self.record(BOTH, "errors", journal.error_count(), "", run)
            self.notes += journal.errors[:3]
        self.account = move_load.Account(self.stage.home(self.tenant), self.shape, self.journals)
        for name in ("lost", "doubled", "strange", "changes_lost", "changes_doubled"):
            self.record(BOTH, name, getattr(self.account, name), "", run)

    def forth_and_back(self, clients):
        """[(number, way, what came of it)]; the tenant is where it was, but at the very end."""
        ways = ((FORTH, lambda: move_watch.run(self.stage.reeve, self.tenant, after=(
            "--to", self.options.after, "--jobs", self.options.jobs))),
                (BACK, lambda: move_watch.take_back(self.stage.reeve, self.tenant,
                                                    self.options.before)))
        found = []
        for way, move in ways[:self.options.moves - self.moves]:
            self.moves += 1
            moved = move()
            found.append((self.moves, way, moved))
            clients.work(self.options.seconds)
            if moved.error:
                self.notes.append(moved.why())
                break
        return found

    def record(self, way, metric, value, unit, number):
        if value is not None:
            self.figures.record("pause", way, metric, value, unit, number)

    def record_move(self, number, way, moved, journal):
        ways = (way, BOTH)
        pauses = [(held, released or moved.ended) for held, released in moved.pauses]
        waits = set(journal.waits_within(moved.begun, moved.ended))
        # For as long as it has lasted, what is due behind a pause waits for what was due in it.
        besides = longest_ms(waits.difference(*(
            journal.waits_within(held, 2 * released - held) for held, released in pauses)))
        longest = longest_ms(waits)
        _copied, whole = moved.copy_seconds()
        catching_up = moved.in_phase("catching up")
        held = sum(released - begun for begun, released in pauses)
        for each in ways:
            self.record(each, "tps", len(waits) / moved.seconds(), "1/s", number)
            self.record(each, "failed", int(moved.error is not None), "", number)
            if moved.error:
                continue
            self.record(each, "longest_wait_ms", longest, "ms", number)
            self.record(each, "longest_besides_ms", besides, "ms", number)
            self.record(each, "pause_ms", moved.said_ms, "ms", number)
            self.record(each, "held_ms", held * 1e3, "ms", number)
            self.record(each, "cutovers", len(moved.pauses), "", number)
            self.record(each, "seconds", moved.seconds(), "s", number)
            if way == FORTH:
                self.record(each, "copy_seconds", whole, "s", number)
                self.record(each, "copy_mb_per_s", self.bytes / 1e6 / whole if whole else None, "MB/s",
                            number)
                self.record(each, "catching_up_seconds", catching_up, "s", number)
        print(f"move {number}, {way}: longest wait {results.number(longest)} ms, but"
              f" for the pause {results.number(besides)} ms, pause_ms {moved.said_ms}, held"
              f" {held * 1e3:.0f} ms in {len(moved.pauses)} cutovers, {moved.seconds():.1f} s"
              f" ({moved.spent()}); longest waits by phase, ms:"
              f" {longest_by_phase(moved, waits)}", flush=True)

    # -- results --

    def row(self, way):
        def median(metric, digits=0):
            return results.number(self.figures.median("pause", way, metric), digits)

        def worst(metric):
            return results.number(self.figures.worst("pause", way, metric))

        def total(metric):
            return results.number(self.figures.total("pause", way, metric))

        moves = len(self.figures.values["pause", way, "seconds"])
        return (way, str(moves or ""), median("tps"), median("longest_wait_ms"), worst("longest_wait_ms"),
                worst("longest_besides_ms"), median("pause_ms"), worst("pause_ms"), worst("cutovers"),
                total("errors") if way == BOTH else "", total("failed") if moves else "",
                median("seconds", 1), median("copy_seconds", 1), median("copy_mb_per_s"),
                median("catching_up_seconds", 1))

    def report(self, load_before):
        options = self.options
        lines = [f"{options.moves} moves, {options.before} to {options.after},"
                 f" {results.machine(load_before)}; PostgreSQL {self.stage.version()}, {self.stage.settings()}."
                 f" {self.bytes / 1e9:.2f} GB and"
                 f" {self.index_bytes / 1e9:.2f} GB of indexes in {2 * self.shape.pairs} tables; "
                 f"{options.rate:,} writing transactions a second from {options.clients} clients,"
                 f" --jobs {options.jobs}.", ""]
        lines += results.table(HEAD, [self.row(way) for way in (STILL, FORTH, BACK, BOTH)])
        lines += ["", f"The clients' journal: {self.account.text()}.", ""]
        for what, found, target in (
                ("the longest wait's median", self.figures.median, MEDIAN_TARGET_MS),
                ("the longest wait of all", self.figures.worst, WORST_TARGET_MS)):
            value = found("pause", BOTH, "longest_wait_ms")
            if value is not None:
                lines.append(f"- {what}: {value:,.0f} ms (at most {target:,} ms:"
                             f" {'met' if value <= target else 'MISSED'}).")
        return lines + [f"- {note}" for note in self.notes[:10]]
