"""Saying a conversation: what comes is read while it is written, and there is a deadline."""
import collections
import select
import time

from support import wire
from support.generated import steps

DEADLINE_SECONDS = 20
HURRIED_SECONDS = 4  # while shrinking: what is late once is late in what is left of it
QUIET_SECONDS = 0.004  # of a pause: long enough for a backend to be given back
CLOSED = wire.Message("closed", b"")
STUCK = wire.Message("stuck", b"")
READ_SIZE = 1 << 18


class Conversation:
    """Over a logged-in Wire."""

    def __init__(self, connection, pieces, seconds):
        self.connection, self.socket = connection, connection.socket
        self.pieces = collections.deque(pieces)
        self.seconds = seconds
        self.found = []
        self.at_end = False

    def hold(self):
        """Every message up to the ReadyForQuery behind END, or CLOSED, or STUCK at the deadline."""
        self.socket.setblocking(False)
        end = time.monotonic() + self.seconds
        try:
            while not self._is_over():
                if time.monotonic() > end:
                    return self.found + [STUCK]
                self._turn()
        except (wire.Closed, ConnectionError):
            return self.found + [CLOSED]
        return self.found

    def _is_over(self):
        return self.at_end and self.found[-1].type == "Z"

    def _turn(self):
        pausing = bool(self.pieces) and self.pieces[0] is steps.PAUSE
        writing = bool(self.pieces) and not pausing
        wait = QUIET_SECONDS if pausing else 1.0
        readable, writable, _ = select.select([self.socket], [self.socket] if writing else [], [],
                                              wait)
        if readable:
            self._read()
        elif pausing:
            self.pieces.popleft()
        if writable:
            self._write()

    def _write(self):
        """Where the server has closed, what it said before is still to be read."""
        piece = self.pieces.popleft()
        try:
            sent = self.socket.send(piece)
        except ConnectionError:
            self.pieces.clear()
            return
        if sent < len(piece):
            self.pieces.appendleft(piece[sent:])

    def _read(self):
        data = self.socket.recv(READ_SIZE)
        if not data:
            raise wire.Closed
        self.connection.received += data
        self.found += whole_messages(self.connection)
        self.at_end = self.at_end or any(
            message.type == "D" and message.body.endswith(steps.END) for message in self.found[-20:])


def whole_messages(connection):
    """Those that have come already."""
    found = []
    while len(connection.received) >= 5:
        length = int.from_bytes(connection.received[1:5], "big")
        if len(connection.received) < length + 1:
            break
        found.append(connection.receive())
    return found


def converse(connection, conversation, seconds=DEADLINE_SECONDS):
    whole = [*steps.PRELUDE, *conversation["steps"], *steps.EPILOGUE]
    return Conversation(connection, steps.pieces(whole, conversation["cut"]), seconds).hold()
