"""A server's messages, sorted to what they answer."""
import dataclasses

from support.walk import Violation

COMPLETIONS = {"P": "1", "B": "2", "D": "Tn", "E": "CIs", "C": "3"}  # by kind of item


@dataclasses.dataclass
class Result:
    """What one statement brought."""

    rows: list = dataclasses.field(default_factory=list)  # of lists of bytes or None
    copied: list = dataclasses.field(default_factory=list)  # CopyData
    copied_out: bool = False
    copied_in: bool = False
    notices: list = dataclasses.field(default_factory=list)
    tag: str = None  # None: an empty query
    suspended: bool = False
    formats: int = 0  # 1: binary, of the rows
    error: object = None  # the ErrorResponse

    def take(self, message):
        """A message in the middle. False when it is none."""
        if message.type == "D":
            self.rows.append(message.columns)
        elif message.type == "d":
            self.copied.append(message.body)
        elif message.type == "H":
            self.copied_out = True
        elif message.type == "G":
            self.copied_in = True
        elif message.type == "N":
            self.notices.append(message)
        elif message.type not in "Stc":
            return False
        return True

    def end(self, message):
        if message.type == "E":
            self.error = message
        elif message.type == "s":
            self.suspended = True
        elif message.type == "C":
            self.tag = message.body[:-1].decode()
            self.suspended = False

    @property
    def sqlstate(self):
        return self.error.sqlstate if self.error else None


def split_ready(messages, count):
    """The messages up to each of `count` ReadyForQuery, with the statuses."""
    parts, current = [], []
    for message in messages:
        if message.type == "Z":
            parts.append((current, message.body.decode()))
            current = []
        else:
            current.append(message)
    if len(parts) != count or current:
        raise Violation(f"{len(parts)} ReadyForQuery and {len(current)} messages, not {count} and 0")
    return parts


def of_query(messages, statements):
    """Results of a simple query's statements: one each, but none behind an error."""
    results, current = [], Result()
    for message in messages:
        if current.take(message) or message.type == "T":
            continue
        if message.type not in "CIE":
            raise Violation(f"an unexpected message in a query's answer: {message}")
        current.end(message)
        results.append(current)
        if message.type == "E":
            break
        current = Result()
    rest = messages[messages.index(results[-1].error) + 1:] if results and results[-1].error else []
    stray = [message for message in rest if message.type not in "NS"]
    if stray:
        raise Violation(f"messages behind an error: {stray}")
    failed = bool(results) and results[-1].error is not None
    if len(results) > statements or (len(results) < statements and not failed):
        raise Violation(f"{len(results)} results of {statements} statements")
    return results


def of_items(messages, items):
    """[(item, Result)] of an extended-protocol segment's messages, up to the first error; the error
    of a Sync is (None, Result)."""
    found, at = [], 0
    current = Result()
    for message in messages:
        if current.take(message) or message.type == "t":
            continue
        item = items[at] if at < len(items) else None
        if message.type == "E":
            current.end(message)
            found.append((item, current))
            return found, True
        if item is None or message.type not in COMPLETIONS[item.kind]:
            raise Violation(f"{message} where the answer to {item} was due")
        current.end(message)
        found.append((item, current))
        current = Result()
        at += 1
    return found, False


class ItemCounter:
    """Whether a flushed part of a segment has been answered, message by message."""

    def __init__(self, count):
        self.left = count

    def done(self, message):
        if message.type == "E":
            self.left = 0
        elif message.type in "12TnCIs3":
            self.left -= 1
        return self.left <= 0
