"""The least of a conversation that still fails."""
import time


def _without(items, at, count):
    return items[:at] + items[at + count:]


def _fewer(conversation, fails, is_late):
    """Steps are left out, many at once and then one by one, until none can be."""
    size = max(1, len(conversation["steps"]) // 2)
    while True:
        at, left_out = 0, False
        while at < len(conversation["steps"]) and not is_late():
            tried = {**conversation, "steps": _without(conversation["steps"], at, size)}
            if fails(tried):
                conversation, left_out = tried, True
            else:
                at += size
        if is_late() or size == 1 and not left_out:
            return conversation
        size = max(1, size // 2)


def _simpler_cut(conversation, fails):
    for cut in ("steps", "whole"):
        tried = {**conversation, "cut": cut}
        if cut != conversation["cut"] and fails(tried):
            return tried
    return conversation


def _parts(sql):
    return [part for part in sql.split("; ") if part]


def _shorter_queries(conversation, fails, is_late):
    """Statements of one Query are left out."""
    for number, step in enumerate(conversation["steps"]):
        if step[0] != "query" or not isinstance(step[1], str):
            continue
        at = 0
        while len(_parts(step[1])) > 1 and at < len(_parts(step[1])) and not is_late():
            shorter = ["query", "; ".join(_without(_parts(step[1]), at, 1))]
            steps = [*conversation["steps"][:number], shorter, *conversation["steps"][number + 1:]]
            tried = {**conversation, "steps": steps}
            if fails(tried):
                conversation, step = tried, shorter
            else:
                at += 1
    return conversation


def shrink(conversation, fails, seconds):
    """`fails` says whether a conversation fails still; what is given back does."""
    end = time.monotonic() + seconds

    def is_late():
        return time.monotonic() > end

    conversation = _simpler_cut(conversation, fails)
    conversation = _fewer(conversation, fails, is_late)
    return _shorter_queries(conversation, fails, is_late)
