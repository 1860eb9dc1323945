"""One `reeve move` while it is watched in the catalog: when it was in which phase, how far it was, for
how long the tenant waited."""
import re
import subprocess
import threading
import time

from support import reeve as reeve_support

LOOK_SECONDS = 0.02
LONGEST_SECONDS = 3600  # a move that does not catch up follows for ever
OVER = ("finished", "reverted", "aborted")

LOOK = """
SELECT m.id, m.phase, m.bytes_done, m.rows_done, extract(epoch FROM m.held_at)::float8,
       extract(epoch FROM m.released_at)::float8
FROM reeve.move m
JOIN reeve.placement p ON p.id = m.placement_id
JOIN reeve.tenant t ON t.id = p.tenant_id
WHERE t.slug = %s
ORDER BY m.id DESC LIMIT 1
"""


class Moved:
    """What came of one command; times are the wall clock's, in seconds. `error`: why it failed."""

    def __init__(self):
        self.begun = self.ended = None
        self.phases = {}  # phase: when it was first seen, in turn
        self.metered = {}  # phase: what the meter said then
        self.bytes_done = self.rows_done = 0
        self.copied = None  # when the last byte was
        self.pauses = []  # (held, released); one that was given up has another behind it
        self.said_ms = None  # pause_ms as the command says it
        self.error = None

    def why(self):
        """The error's own line."""
        lines = [line for line in self.error.splitlines() if line.startswith("reeve: ")]
        return lines[-1] if lines else self.error

    def seconds(self):
        return self.ended - self.begun

    def _behind(self, phase):
        """The next one; None: there is none."""
        phases = list(self.phases)
        return next(iter(phases[phases.index(phase) + 1:]), None)

    def in_phase(self, phase):
        """Seconds; None when it was not seen."""
        if phase not in self.phases:
            return None
        return self.phases.get(self._behind(phase), self.ended) - self.phases[phase]

    def metered_in(self, phase):
        """By how much the meter went on; the phase is not the last."""
        return self.metered[self._behind(phase)] - self.metered[phase]

    def phase_at(self, when):
        """The phase that was seen last by then."""
        begun = [phase for phase, since in self.phases.items() if since <= when]
        return begun[-1] if begun else "preparing"

    def copy_seconds(self):
        """(of COPY alone, of all until the tables are as they were)"""
        whole = self.in_phase("copying")
        if whole is None or self.copied is None:
            return None, whole
        return self.copied - self.phases["copying"], whole

    def spent_so_far(self):
        return " -> ".join(self.phases)

    def spent(self):
        """In words: "preparing 0.31 s, copying ..."."""
        return ", ".join(f"{phase} {self.in_phase(phase):.2f} s" for phase in self.phases
                         if phase not in ("moved", *OVER))


class Watch:
    """A thread that looks, also at `meter` as each phase begins; a context."""

    def __init__(self, reeve, slug, meter):
        self.meter = meter
        self.connection = reeve.admin()
        self.slug = slug
        self.moved = Moved()
        self.over = threading.Event()
        self.thread = threading.Thread(target=self._look_on)
        self.known = self._look()[:1]  # a move that was over before

    def __enter__(self):
        self.moved.begun = time.time()
        self.thread.start()
        return self

    def __exit__(self, *_reason):
        self.over.set()
        self.thread.join()
        self.connection.close()

    def _look(self):
        return self.connection.execute(LOOK, [self.slug]).fetchone() or ()

    def _look_on(self):
        while not self.over.wait(LOOK_SECONDS):
            self._note()

    def _note(self):
        found = self._look()
        if not found or found[:1] == self.known:
            return
        moved, now = self.moved, time.time()
        _id, phase, bytes_done, moved.rows_done, held, released = found
        if phase not in moved.phases:
            moved.phases[phase], moved.metered[phase] = now, self.meter()
        if bytes_done > moved.bytes_done:
            moved.bytes_done, moved.copied = bytes_done, now
        if held and held >= moved.begun:
            if not moved.pauses or moved.pauses[-1][0] != held:
                moved.pauses.append((held, released))
            moved.pauses[-1] = (held, released)

    def finish(self):
        """Looks for the last time."""
        self.moved.ended = time.time()
        self.over.set()
        self.thread.join()
        self._note()


def run(reeve, tenant, *command, after=(), meter=lambda: 0):
    """`reeve move COMMAND TENANT SERVICE`; `after`: its options. A command that fails is told, not
    raised: of many moves the others count."""
    with Watch(reeve, tenant.slug, meter) as watch:
        moved = watch.moved
        if command:  # of a move that was there before
            watch.known = None
        try:
            done = reeve.cli("move", *command, tenant.slug, tenant.service, *after, json=True,
                             seconds=LONGEST_SECONDS)
            moved.said_ms = done.json.get("pause_ms")
        except reeve_support.CommandFailed as failure:
            moved.error = str(failure).partition("\n--- log:")[0]
        except subprocess.TimeoutExpired:
            moved.error = f"not over after {LONGEST_SECONDS} s: {moved.spent_so_far()}; it was aborted"
            reeve.cli("move", "abort", tenant.slug, tenant.service, check=False,
                      seconds=LONGEST_SECONDS)
        watch.finish()
    if moved.error:
        print(f"FAILED: {moved.error}", flush=True)
    return moved


def take_back(reeve, tenant, isolation, cluster="bench"):
    """To where it was, what came of that; by a further move when it cannot go back along the stream,
    so that what is to be measured next can be."""
    back = run(reeve, tenant, "revert")
    if back.error:
        for command in (["finish"], [], ["finish"]):
            where = [] if command else ["--to", isolation, "--cluster", cluster]
            reeve.cli("move", *command, tenant.slug, tenant.service, *where, seconds=LONGEST_SECONDS)
    return back


def can_be_slowed(reeve):
    """Whether `reeve move` has the option --rate."""
    return re.search(r"^\s+--rate\b", reeve.cli("move", "--help").out, re.MULTILINE) is not None
