"""The same bytes to PostgreSQL and through Reeve must bring the same messages back."""
from support import wire

# Parameters that differ by right: who is logged in, and what the cluster was made with.
SKIPPED_PARAMETERS = {"is_superuser", "session_authorization", "server_version"}
# Fields of errors and notices that say where in the server's source they arose.
SKIPPED_FIELDS = set("FLR")


def normal(message):
    """A message as something to be compared; None when it does not count."""
    if message.type == "S":
        name, value = message.body.split(wire.NUL)[:2]
        return None if name.decode() in SKIPPED_PARAMETERS else ("S", name, value)
    if message.type == "K":
        return ("K", len(message.body))
    if message.type in "EN":
        return (message.type, tuple(sorted(
            (field, value) for field, value in message.fields.items()
            if field not in SKIPPED_FIELDS)))
    if message.type == "T":
        # Table OIDs differ; names, types and formats must not.
        return ("T", without_table_oids(message.body))
    return (message.type, message.body)


def without_table_oids(body):
    parts, at = [], 2
    for _ in range(int.from_bytes(body[:2], "big")):
        end = body.index(wire.NUL, at)
        parts.append((body[at:end], body[end + 7:end + 19]))
        at = end + 19
    return tuple(parts)


def transcript(messages):
    return [found for found in map(normal, messages) if found]


def exchange(connection, chunks, ready):
    """Sends the chunks, each as one write, and reads until `ready` ReadyForQuery or the end."""
    found = []
    try:
        for chunk in chunks:
            connection.send(chunk)
        for _ in range(ready):
            while True:
                message = connection.receive()
                found.append(message)
                if message.type == "Z":
                    break
    except (wire.Closed, BrokenPipeError, ConnectionResetError):
        found.append(wire.Message("closed", b""))
    return found


def show(found):
    return "\n".join(f"    {repr(item)[:200]}" for item in found)
