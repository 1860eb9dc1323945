"""Which differences between PostgreSQL and Reeve are allowed, and why.

Beside what support.differential leaves out (who is logged in, where in the server's source an error
arose, table OIDs):

- Errors of integrity (class 23) say which key and row: those have a tenant column, and a schema that is
  the tenant's. The message, the table and the constraint must be the same.
- Errors of rights (42501) may say it in the guard's words.
- Where a text has a DEALLOCATE, what it names is called otherwise on the server, and an error's position
  behind it is another.
- In a failed transaction the answer up to the next ReadyForQuery may be 25P02, that it has failed: on
  this backend a statement may have to be parsed again, and there that fails.
- A malformed message may end the connection with a FATAL 08P01 of Reeve's, where PostgreSQL reports an
  ERROR, or skips it behind another; and so may a message in the middle of COPY data, where PostgreSQL
  has both an ERROR and a FATAL. What came before must have been answered alike, as far as it was.
"""
from support.differential import normal

VIOLATION, FAILED = "08P01", "25P02"
LEFT_OUT = {"23": set("Ds"), "42501": set("MDHPW")}


def transcript(messages):
    return [found for found in map(_normal, messages) if found]


def _normal(message):
    found = normal(message)
    if not found or found[0] != "E":
        return found
    skipped = set().union(*(fields for state, fields in LEFT_OUT.items()
                            if message.sqlstate.startswith(state)))
    return ("E", tuple((field, text) for field, text in found[1] if field not in skipped))


def _is_violation(found):
    if found[0] != "E":
        return False
    fields = dict(found[1])
    return fields["C"] == VIOLATION and fields["S"] == "FATAL"


def is_ended_early(expected, found):
    """Whether Reeve ended the connection, after what PostgreSQL answers too."""
    return (len(found) >= 2 and found[-1][0] == "closed" and _is_violation(found[-2])
            and found[:-2] == expected[:len(found) - 2])


def _without_positions(transcript):
    return [(found[0], tuple(field for field in found[1] if field[0] != "P")) if found[0] == "E"
            else found for found in transcript]


def _deallocates(conversation):
    return any("DEALLOCATE" in str(step) for step in conversation["steps"])


def _to_ready(transcript, at):
    while at < len(transcript) and transcript[at][0] != "Z":
        at += 1
    return at


def are_same(expected, found):
    """Up to where Reeve says that the transaction has failed: there both go on with the next
    ReadyForQuery, which must say so too."""
    at = there = 0
    while at < len(expected) and there < len(found):
        if expected[at] != found[there]:
            if found[there][0] != "E" or dict(found[there][1])["C"] != FAILED:
                return False
            at, there = _to_ready(expected, at), _to_ready(found, there)
            if expected[at:at + 1] != [("Z", b"E")] or found[there:there + 1] != [("Z", b"E")]:
                return False
        at, there = at + 1, there + 1
    return at == len(expected) and there == len(found)


def is_malformed(conversation):
    return any(step[0] == "raw" for step in conversation["steps"])


def agree(conversation, expected, found):
    """`expected` and `found` are transcripts."""
    if _deallocates(conversation):
        expected, found = _without_positions(expected), _without_positions(found)
    return are_same(expected, found) or (is_ended_early(expected, found) and (
        is_malformed(conversation) or expected[-1][0] == "closed"))


def _line(item):
    if item[0] in "EN":
        fields = dict(item[1])
        return f"{item[0]} {' '.join(f'{name}={fields[name]!r}' for name in sorted(fields))}"
    return repr(item)[:160]


def show(expected, found, around=6):
    """Where they part, with what came before."""
    same = 0
    while same < min(len(expected), len(found)) and expected[same] == found[same]:
        same += 1
    lines = [f"the first {same} messages are the same"]
    for name, messages in (("PostgreSQL", expected), ("Reeve", found)):
        lines.append(f"{name}:")
        lines += ["    " + _line(item) for item in messages[max(0, same - 2):same + around]]
    return "\n".join(lines)
