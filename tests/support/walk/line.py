"""A client's connection: bytes out and messages in, without ever blocking."""
import socket
import struct

from support import wire

RECEIVE_SIZE = 1 << 18
LINGER_RESET = struct.pack("ii", 1, 0)


class Line:
    """One TCP connection to the server under test."""

    def __init__(self, host, port):
        # Only connecting waits: the listener's backlog answers at once.
        self.socket = socket.create_connection((host, port), timeout=30)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.setblocking(False)
        self.out = bytearray()
        self.sent = 0  # bytes that the kernel took, of all that was ever sent
        self.received = bytearray()
        self.eof = False
        self.paused = False  # a slow reader: nothing is read
        self.parameters = {}
        self.key = None

    def fileno(self):
        return self.socket.fileno()

    @property
    def closed(self):
        return self.socket.fileno() < 0

    def send(self, data):
        self.out += data
        self.push()

    def push(self):
        """Sends what the kernel takes."""
        while self.out and not self.closed:
            try:
                count = self.socket.send(self.out)
            except BlockingIOError:
                return
            except OSError:
                self.out.clear()  # the reader sees how it ended
                return
            self.sent += count
            del self.out[:count]

    def pull(self):
        """All messages that have come."""
        while not self.eof and not self.closed and not self.paused:
            try:
                data = self.socket.recv(RECEIVE_SIZE)
            except BlockingIOError:
                break
            except OSError:
                data = b""
            if not data:
                self.eof = True
                break
            self.received += data
        return list(self._messages())

    def _messages(self):
        at = 0
        while len(self.received) - at >= 5:
            length = struct.unpack_from("!i", self.received, at + 1)[0]
            assert length >= 4, bytes(self.received[at:at + 20])
            end = at + 1 + length
            if end > len(self.received):
                break
            message = wire.Message(chr(self.received[at]), bytes(self.received[at + 5:end]))
            at = end
            self._note(message)
            yield message
        del self.received[:at]

    def _note(self, message):
        if message.type == "K":
            self.key = (struct.unpack_from("!i", message.body)[0], message.body[4:])
        elif message.type == "S":
            name, value = message.body.split(b"\0")[:2]
            self.parameters[name.decode()] = value.decode()

    # -- ends --

    def shut(self):
        """No more from us; what comes is still read."""
        try:
            self.socket.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def close(self, reset=False):
        if reset:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_RESET)
        self.socket.close()


class Login:
    """The client's side of a login, message by message."""

    def __init__(self, password):
        self.password = password
        self.scram = None

    def answer(self, message):
        """What to send in answer to a message of the login, or b""."""
        if message.type != "R":
            return b""
        code, rest = struct.unpack_from("!i", message.body)[0], message.body[4:]
        if code == 3:
            return wire.frame("p", wire.text(self.password))
        if code == 10:
            self.scram = wire.Scram(self.password)
            first = self.scram.first()
            return wire.frame("p", wire.text("SCRAM-SHA-256") + struct.pack("!i", len(first)) + first)
        if code == 11:
            return wire.frame("p", self.scram.final(rest))
        if code == 12:
            self.scram.check(rest)
        return b""
