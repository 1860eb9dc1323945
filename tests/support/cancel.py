"""Cancel requests as raw bytes, and a query that they are for."""
import threading

from support import wire


def send_cancel(server, pid, secret):
    """Returns once the proxy has taken it: it closes without a word."""
    with wire.Wire("127.0.0.1", server.port) as connection:
        connection.send(wire.cancel(pid & 0xFFFFFFFF, secret))
        assert connection.rest() == []


def sleeping(server, tenant, seconds="1.5", version=wire.PROTOCOL_3_0):
    """A connection whose query sleeps, the thread that waits for it, and its outcome: a list of
    messages that is filled at the end. Returns when the query runs."""
    connection = wire.connect_to_tenant(server, tenant, version)
    outcome = []
    running = threading.Event()

    def work():
        connection.send(wire.query("DO $$ BEGIN RAISE NOTICE 'running'; PERFORM pg_sleep("
                                   f"{seconds}); END $$"))
        assert connection.receive().type == "N"
        running.set()
        outcome.extend(connection.until_ready())

    thread = threading.Thread(target=work)
    thread.start()
    assert running.wait(20)
    return connection, thread, outcome


def wrong_secrets(secret):
    """Secrets that are nearly this one: of its length, cut off, and with more behind it."""
    changed = [bytes(byte ^ (position == at) for position, byte in enumerate(secret))
               for at in range(len(secret))]
    cut = [secret[:length] for length in (4, len(secret) // 2, len(secret) - 1)
           if 4 <= length < len(secret)]
    longer = [secret + more for more in (b"\0", b"x", secret)]
    longer += [secret.ljust(length, fill) for length in (32, 256) for fill in (b"\0", b"x")
               if length > len(secret)]
    return changed + cut + longer
