"""A tenant's rows as they must be, from the commits that its clients were told of.

A row is written by the clients of one slot alone, one connection after the other, so its history is a
line of versions. A version is there from some moment between the sending of its commit and the
answer; in doubt (the client went away before the answer) it may come at any time or never. So what
another client sees of a row, in a snapshot that was taken between two moments, is one of few values.

Moments are ticks of the walk's clock, which moves with every step sent and every step answered.
"""
import dataclasses
import math

from support.walk import Violation

NEVER = math.inf


@dataclasses.dataclass(eq=False)
class Group:
    """What one transaction wrote: {key: value, or None for a row that is gone}."""

    effects: dict
    sent: float
    acked: float = NEVER  # NEVER: in doubt
    loose: bool = False  # parts of it may have been undone: not all or nothing


@dataclasses.dataclass(eq=False)
class Read:
    """What a statement returned, to be compared once it is known what was under way meanwhile."""

    sent: float
    done: float
    rows: dict
    covers: object  # key -> whether the statement would have returned this row
    what: str
    waits_for: set = dataclasses.field(default_factory=set)


def slot_of(key):
    """Which of the tenant's clients writes a row: names begin with the slot's number."""
    return int(key[1].partition("-")[0])


class Journal:
    """One tenant's."""

    def __init__(self):
        self.history = {}  # key -> [(value, Group)], oldest first
        self.under_way = {}  # step number -> when it was sent
        self.snapshots = {}  # whoever keeps a snapshot -> when it was sent
        self.reads = []

    # -- writing --

    def commit(self, group):
        for key, value in group.effects.items():
            versions = self.history.setdefault(key, [])
            versions.append((value, group))
            self._prune(key)

    def _prune(self, key):
        """What nobody can see any more is forgotten."""
        oldest = min([*self.under_way.values(), *self.snapshots.values(),
                      *(read.sent for read in self.reads)], default=NEVER)
        versions = self.history[key]
        for at in range(len(versions) - 1, -1, -1):
            value, group = versions[at]
            if group.acked <= oldest:
                del versions[:at]
                if value is None and len(versions) == 1:
                    del self.history[key]
                return

    def doubts(self):
        """Groups that may or may not be there."""
        found = []
        for versions in self.history.values():
            for _value, group in versions:
                if group.acked == NEVER and group not in found:
                    found.append(group)
        return found

    # -- reading --

    def possible(self, key, sent, done):
        """The values that a snapshot taken between these moments may have of a row."""
        found = []
        for value, group in reversed(self.history.get(key, ())):
            if group.sent <= done:
                found.append(value)
            if group.acked <= sent:
                return found
        found.append(None)
        return found

    def compare(self, read):
        """Rows of a read with the journal; keys that are covered and have not come must be able to
        be absent."""
        for key, value in read.rows.items():
            allowed = self.possible(key, read.sent, read.done)
            if value not in allowed:
                raise Violation(f"{read.what}: row {key} is {value}, and may be {allowed}")
        for key in self.history:
            if key in read.rows or not read.covers(key):
                continue
            allowed = self.possible(key, read.sent, read.done)
            if None not in allowed:
                raise Violation(f"{read.what}: row {key} is missing; it may be {allowed}")

    # -- what is under way --

    def step_sent(self, number, now):
        self.under_way[number] = now

    def step_done(self, number):
        """Its effects are in the journal: reads that waited for it can be compared."""
        self.under_way.pop(number, None)
        due = []
        for read in self.reads:
            read.waits_for.discard(number)
            if not read.waits_for:
                due.append(read)
        self.reads = [read for read in self.reads if read.waits_for]
        for read in due:
            self.compare(read)

    def read(self, read, step):
        """Compares now, or when all other steps that may have written meanwhile have been judged."""
        read.waits_for = {number for number in self.under_way if number != step}
        if read.waits_for:
            self.reads.append(read)
        else:
            self.compare(read)
