"""Statements made into messages, and their answers judged.

A step is what a client sends at once. Its segments each bring one ReadyForQuery: a Query message, or
messages of the extended protocol up to a Sync.
"""
import dataclasses

from support import wire
from support.walk import Violation, replies
from support.walk.journal import NEVER
from support.walk.session import ABORTED, When

SET_CONFIG_OID = 2078
DUPLICATE = "42P05"
UNKNOWN = "26000"


@dataclasses.dataclass
class Item:
    """A message of the extended protocol that is answered."""

    kind: str  # P, B, D, E, C
    operation: object
    end: int = 0  # offset in the step behind it
    name: str = ""  # of the statement
    fresh: bool = True  # the statement was prepared in front of it, under whatever name
    last: bool = True  # of the Executes of its operation
    binary: bool = False

    def __str__(self):
        return f"{self.kind} {self.name!r} of {self.operation}"


class Segment:
    """What all kinds have in common."""

    def __init__(self, operations):
        self.operations = list(operations)
        self.end = 0  # offset in the step behind its last message

    def __str__(self):
        return f"{self.word}: " + "; ".join(map(str, self.operations))

    def asked(self, session, now):
        for operation in self.operations:
            if hasattr(operation, "asked"):
                operation.asked(session, now)

    def drop(self, session, operations):
        """These never ran."""
        for operation in operations:
            if hasattr(operation, "dropped"):
                operation.dropped(session)


class Simple(Segment):
    """One Query message."""

    word = "Q"

    def messages(self, mark):
        text = "; ".join(f"{operation.simple()} /*{mark}*/" for operation in self.operations)
        return wire.query(text) + self.operations[-1].data

    def judge(self, session, messages, status, when):
        session.start_segment(True)
        results = replies.of_query(messages, len(self.operations))
        for operation, result in zip(self.operations, results):
            session.run(operation, result, when)
        self.drop(session, self.operations[len(results):])
        session.end_segment(when, status)

    def assume(self, session, cut, when):
        """The client went away when `cut` bytes of the step had been sent."""
        session.start_segment(True)
        for operation in self.operations if self.end <= cut else ():
            if not session.skipping:
                session.run(operation, None, when)
        session.end_segment(when)


class Extended(Segment):
    """Parse, Bind, Describe, Execute and Close, up to a Sync."""

    word = "X"

    def __init__(self, operations=()):
        super().__init__(operations)
        self.items = []
        self.data = b""
        self.cuts = []  # offsets at which a flushed part ends

    def __str__(self):
        texts = []
        for operation in self.operations:
            items = [item for item in self.items if item.operation is operation]
            kinds = "".join(item.kind for item in items)
            texts.append(f"{kinds} {items[0].name} {operation}")
        return f"{self.word}: " + "; ".join(texts)

    def add(self, item, message):
        self.data += message
        item.end = len(self.data)
        self.items.append(item)

    def add_message(self, message):
        """One that brings no answer of its own."""
        self.data += message

    def messages(self, _mark):
        return self.data

    def shift(self, offset):
        """The step has other segments in front of this one."""
        for item in self.items:
            item.end += offset

    def judge(self, session, messages, status, when):
        session.start_segment(False)
        found, failed = replies.of_items(messages, self.items)
        rows, ran = replies.Result(), set()
        error = None
        for item, result in found:
            if item is None:  # the Sync itself failed
                error = result.error
                break
            rows = self._judge_item(session, item, result, rows, when)
            if item.kind == "E" or result.error:
                ran.add(item.operation)
        if not failed and len(found) != len(self.items):
            raise Violation(f"{len(found)} answers to {len(self.items)} messages")
        self.drop(session, [operation for operation in self.operations if operation not in ran])
        session.end_segment(when, status, error)

    def _judge_item(self, session, item, result, rows, when):
        """Returns what the Executes of a portal have brought so far."""
        if result.error and item.operation is None:
            raise Violation(f"{item}: {result.error}")
        if item.kind == "P":
            self._judge_parse(session, item, result, when)
        elif item.kind == "B" and not item.fresh and not self._is_known(session, item, result):
            self._must_be(session, item, result, {UNKNOWN})
        elif item.kind == "C" and not result.error:
            session.wire.pop(item.name, None)
        elif result.error:
            session.run(item.operation, result, when)
        elif item.kind == "E":
            rows.rows += result.rows
            rows.copied += result.copied
            rows.copied_out |= result.copied_out
            rows.notices += result.notices
            rows.tag, rows.formats = result.tag, int(item.binary)
            if item.last:
                if result.suspended:
                    raise Violation(f"{item}: the portal is suspended")
                session.run(item.operation, rows, when)
                return replies.Result()
        return rows

    @staticmethod
    def _is_known(session, item, result=None):
        if item.name:
            return item.name in session.wire
        # PostgreSQL forgets it when its Parse fails; a proxy may prepare it again.
        asked = type(item.operation) is session.unnamed_asked and (
            not result or result.sqlstate != UNKNOWN)
        return asked or type(item.operation) is session.unnamed

    def _judge_parse(self, session, item, result, when):
        if item.name and item.name in session.wire:
            allowed = {DUPLICATE}
            if session.tx and session.tx.failed:
                allowed.add(ABORTED)
            self._must_be(session, item, result, allowed | session.excuses())
        elif result.error:
            if not item.name:
                session.unnamed, session.unnamed_asked = None, type(item.operation)
            session.run(item.operation, result, when)
        elif item.name:
            session.wire[item.name] = type(item.operation)
            item.operation.parsed(session)
        else:
            session.unnamed = session.unnamed_asked = type(item.operation)
            item.operation.parsed(session)

    @staticmethod
    def _must_be(session, item, result, states):
        if result.sqlstate not in states | session.excuses():
            raise Violation(f"{item}: {result.error or 'worked'}, where one of {states} was due")
        session.fail(item.operation)

    def assume(self, session, cut, when):
        session.start_segment(False)
        for item in self.items:
            if item.end > cut or session.skipping:
                break
            if item.kind in "PB" and item.name and not item.fresh and item.name not in session.wire:
                session.fail(item.operation)
            elif item.kind == "P" and item.name in session.wire:
                session.fail(item.operation)
            elif item.kind == "P" and item.name:
                session.wire[item.name] = type(item.operation)
            elif item.kind == "P":
                session.unnamed = type(item.operation)
            elif item.kind == "B" and not item.fresh and not self._is_known(session, item):
                session.fail(item.operation)
            elif item.kind == "C":
                session.wire.pop(item.name, None)
            elif item.kind == "E" and item.last:
                session.run(item.operation, None, when)
        if self.end > cut:
            session.skipping = True  # no Sync: what is not committed yet never will be
        session.end_segment(when)


class Call(Segment):
    """A FunctionCall message: set_config, of which no text tells."""

    word = "F"

    def messages(self, _mark):
        values = [value.encode() if isinstance(value, str) else b"f" if value is False else b"t"
                  for _kind, value in self.operations[0].values]
        return wire.function_call(SET_CONFIG_OID, values, formats=(0,), result=0)

    def judge(self, session, messages, status, when):
        session.start_segment(False)
        operation = self.operations[0]
        answers = [message for message in messages if message.type not in "NS"]
        if [message.type for message in answers] not in (["V"], ["E"]):
            raise Violation(f"{operation}: {answers} in answer to a FunctionCall")
        result = replies.Result(tag="")
        if answers[0].type == "E":
            result.error = answers[0]
        else:
            result.rows = [[answers[0].body[4:]]]
        session.run(operation, result, when)
        session.end_segment(when, status)

    def assume(self, session, cut, when):
        session.start_segment(False)
        if self.end <= cut:
            session.run(self.operations[0], None, when)
        session.end_segment(when)


@dataclasses.dataclass(eq=False)
class Step:
    """What one client sends at once, and how its end is known."""

    client: object
    title: str
    segments: list = dataclasses.field(default_factory=list)
    data: bytes = b""
    number: int = 0
    sent: float = 0
    ends: str = "ready"  # ready, flush, login, eof: what its answer ends with
    flushed: int = 0  # answers that a flush brings
    slow: bool = False  # the answer is not read for a while
    about: str = ""  # for the log, where there are no segments yet

    def add(self, segment, mark):
        if isinstance(segment, Extended):
            segment.shift(len(self.data))
        self.data += segment.messages(mark)
        segment.end = len(self.data)
        self.segments.append(segment)
        return self

    def __str__(self):
        inside = self.about or " | ".join(map(str, self.segments))
        return f"{self.number} {self.client} {self.title} {inside}"

    def judge(self, session, messages, done):
        when = When(self.sent, done, self.number)
        parts = replies.split_ready(messages, len(self.segments))
        for segment, (found, status) in zip(self.segments, parts):
            segment.judge(session, found, status, when)

    def assume(self, session, cut):
        """Its client went away."""
        when = When(self.sent, NEVER, self.number)
        for segment in self.segments:
            if isinstance(segment, Extended) or segment.end <= cut:
                segment.assume(session, cut, when)
