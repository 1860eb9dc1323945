"""A conversation as data that JSON can hold, and its bytes."""
import json
import random

from support import wire

PAUSE = None  # a piece that is nothing: nothing more is said until the server is quiet
BYTE_BY_BYTE_MAX = 3000
PIECES_MAX = 200

# The rows that every conversation finds, and what is said last: it ends COPY, pipeline and
# transaction, whatever state they are in, shows the rows that are left, and ends with END.
END = b"the end of the conversation"
PRELUDE = [["query", "WITH gone AS (DELETE FROM thing) SELECT"],
           ["query", "INSERT INTO thing (name, amount) VALUES ('n1', 1), ('n2', 2), ('n3', 3)"]]
EPILOGUE = [["copy_fail", "the end"], ["sync"], ["query", "ROLLBACK"], ["query", "CLOSE ALL"],
            ["query", "SELECT name, amount, left(body, 20), length(body) FROM thing ORDER BY name"],
            ["query", f"SELECT '{END.decode()}'"]]


def value(found):
    """A string, None, or what JSON has no words for."""
    if isinstance(found, dict):
        if "hex" in found:
            return bytes.fromhex(found["hex"])
        return found["repeat"].encode() * found["times"]
    return found.encode() if isinstance(found, str) else found


def large(text, times):
    return {"repeat": text, "times": times}


def _bind(portal, name, values, formats=(), results=()):
    return wire.bind(list(map(value, values)), name, portal, formats, results)


def _call(oid, values, formats=(1,), result=1):
    return wire.function_call(oid, list(map(value, values)), formats, result)


MESSAGES = {
    "query": lambda sql: wire.query(value(sql)),
    "parse": lambda name, sql, types=(): wire.parse(value(sql), name, types),
    "bind": _bind,
    "execute": wire.execute,
    "describe": wire.describe,
    "close": wire.close,
    "flush": wire.flush,
    "sync": wire.sync,
    "copy_data": lambda data: wire.copy_data(value(data)),
    "copy_done": wire.copy_done,
    "copy_fail": wire.copy_fail,
    "call": _call,
    "raw": lambda kind, body: wire.frame(kind, value(body)),
}


def message(step):
    kind, *arguments = step
    return MESSAGES[kind](*arguments)


def pieces(steps, cut):
    """What is written at once, one after the other. `cut`: "steps", "whole", "bytes", or a number
    that seeds where it is cut."""
    found = []
    for step in steps:
        if step[0] == "pause":
            found.append(PAUSE)
        elif cut == "steps" or not found or found[-1] is PAUSE:
            found.append(message(step))
        else:
            found[-1] += message(step)
    if cut in ("steps", "whole"):
        return found
    chance = random.Random(cut)
    return [part for piece in found for part in _cut(piece, cut, chance)]


def _cut(piece, cut, chance):
    if piece is PAUSE or not piece:
        return [piece]
    if cut == "bytes" and len(piece) <= BYTE_BY_BYTE_MAX:
        return [piece[at:at + 1] for at in range(len(piece))]
    places = sorted(chance.randrange(len(piece))
                    for _ in range(min(PIECES_MAX, chance.randrange(1, 12 + len(piece) // 40))))
    return [piece[start:end] for start, end in zip([0, *places], [*places, len(piece)])
            if start < end]


def written(conversation):
    """As the corpus has it: a step a line."""
    head = {name: found for name, found in conversation.items() if name != "steps"}
    lines = ",\n".join("  " + json.dumps(step) for step in conversation["steps"])
    return json.dumps(head)[:-1] + f', "steps": [\n{lines}\n]}}'
