"""Somebody in the middle: `Relay` ends TLS with a certificate of its own and passes on what it reads,
`FaultyRelay` passes on what it reads until something goes wrong."""
import contextlib
import dataclasses
import random
import select
import socket
import ssl
import struct
import threading

from support import wire


class Relay:
    """Listens on `port`. `to_client` may change what the server says (bytes to bytes)."""

    def __init__(self, server_port, certificate, key, to_client=lambda data: data):
        self.server_port = server_port
        self.to_client = to_client
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(certificate, key)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.thread.join(20)
        self.listener.close()

    def _serve(self):
        with contextlib.suppress(OSError):  # closed
            while True:
                client = self.listener.accept()[0]
                with contextlib.suppress(OSError, wire.Closed), client:
                    self._connect(client)

    def _connect(self, client):
        client.settimeout(wire.DEADLINE_SECONDS)
        assert client.recv(8, socket.MSG_WAITALL) == wire.ssl_request()
        client.sendall(b"S")
        with self.context.wrap_socket(client, server_side=True) as victim, \
                wire.Wire("127.0.0.1", self.server_port) as server:
            server.send(wire.ssl_request())
            assert server.receive_byte() == b"S"
            server.start_tls()
            self._pump(victim, server.socket)

    def _pump(self, client, server):
        while True:
            waiting = [side for side in (client, server) if side.pending()]
            for side in waiting or select.select([client, server], [], [])[0]:
                data = side.recv(1 << 16)
                if not data:
                    return
                if side is client:
                    server.sendall(data)
                else:
                    client.sendall(self.to_client(data))


@contextlib.contextmanager
def running_relay(*arguments, **options):
    relay = Relay(*arguments, **options)
    try:
        yield relay
    finally:
        relay.close()


TO_SERVER, TO_CLIENT = "to server", "to client"
RESET = struct.pack("ii", 1, 0)
READ_SIZE = 1 << 16
KEPT_MAX = 1 << 17  # bytes that are read and not passed on yet
STEP_SECONDS = 0.05


@dataclasses.dataclass(frozen=True)
class Fault:
    """What goes wrong in one direction of a connection, once `after` bytes of it have passed:

    close       both sides see the end
    reset       both sides see a reset
    half-close  the receiver sees the end, the other direction goes on
    stall       nothing passes any more in this direction
    garbage     `size` bytes are others than were sent
    gap         `size` bytes are lost
    delay       from here on 50 ms pass between two pieces of `size` bytes
    """

    direction: str
    what: str
    after: int = 0
    size: int = 40


class Direction:
    """Bytes from one socket to another."""

    def __init__(self, name, source, sink, fault, chance):
        self.name, self.source, self.sink, self.chance = name, source, sink, chance
        self.fault = fault if fault and fault.direction == name else None
        self.kept, self.passed = b"", 0
        self.ended = self.stalled = self.told_end = False
        self.broken = None  # "close" or "reset": of the connection as a whole

    def wants_to_read(self):
        return not self.ended and not self.stalled and len(self.kept) < KEPT_MAX

    def read(self):
        data = self.source.recv(READ_SIZE)
        if not data:
            self.ended = True
            return
        left = self.fault.after - self.passed if self.fault else 0
        self.passed += len(data)
        if self.fault and self.fault.what != "delay" and len(data) >= left:
            data = data[:left] + self._go_wrong(data[left:])
        self.kept += data

    def _go_wrong(self, data):
        what, size = self.fault.what, self.fault.size
        self.fault = None
        if what in ("garbage", "gap"):
            others = bytes(byte ^ self.chance.randrange(1, 256) for byte in data[:size])
            return (others if what == "garbage" else b"") + data[size:]
        self.stalled = True
        self.ended = what == "half-close"
        self.broken = what if what in ("close", "reset") else None
        return b""

    def is_slow(self):
        return bool(self.fault) and self.fault.what == "delay" and self.passed > self.fault.after

    def write(self):
        sent = self.sink.send(self.kept[:self.fault.size] if self.is_slow() else self.kept)
        self.kept = self.kept[sent:]

    def tell_end(self):
        if self.ended and not self.kept and not self.told_end:
            self.told_end = True
            with contextlib.suppress(OSError):
                self.sink.shutdown(socket.SHUT_WR)


class FaultyRelay:
    """Listens on `port`. `fault` is what goes wrong with each connection from then on, `faults` are
    for one each, the next ones."""

    def __init__(self, server_port, seed=0):
        self.server_port, self.chance = server_port, random.Random(seed)
        self.fault, self.faults = None, []
        self.passed = {TO_SERVER: 0, TO_CLIENT: 0}  # bytes of the connection that ended last
        self.open = 0
        self.over, self.dropped = threading.Event(), 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.threads = [threading.Thread(target=self._serve, daemon=True)]
        self.threads[0].start()

    def close(self):
        self.over.set()
        self.listener.shutdown(socket.SHUT_RDWR)
        for thread in self.threads:
            thread.join(20)
        self.listener.close()

    def drop_all(self):
        """Every connection ends."""
        self.dropped += 1

    def _serve(self):
        with contextlib.suppress(OSError):  # closed
            while True:
                client = self.listener.accept()[0]
                fault = self.faults.pop(0) if self.faults else self.fault
                self.open += 1
                thread = threading.Thread(target=self._connect, args=[client, fault], daemon=True)
                self.threads.append(thread)
                thread.start()

    def _connect(self, client, fault):
        try:
            self._connect_both(client, fault)
        finally:
            self.open -= 1

    def _connect_both(self, client, fault):
        with contextlib.suppress(OSError), client, \
                socket.create_connection(("127.0.0.1", self.server_port), timeout=20) as server:
            for side in (client, server):
                side.setblocking(False)
                side.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            directions = [Direction(TO_SERVER, client, server, fault, self.chance),
                          Direction(TO_CLIENT, server, client, fault, self.chance)]
            try:
                self._pump(directions, self.dropped)
            finally:
                self.passed = {one.name: one.passed for one in directions}
                if any(one.broken == "reset" for one in directions):
                    for side in (client, server):
                        side.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)

    def _pump(self, directions, dropped):
        while not self.over.is_set() and self.dropped == dropped:
            if any(one.broken and not one.kept for one in directions):
                return
            if all(one.ended and not one.kept for one in directions):
                return
            slow = any(one.kept and one.is_slow() for one in directions)
            readers = [one.source for one in directions if one.wants_to_read()]
            writers = [one.sink for one in directions if one.kept]
            if slow:
                self.over.wait(STEP_SECONDS)
            readable, writable, _ = select.select(readers, writers, [], STEP_SECONDS)
            for one in directions:
                if one.sink in writable and one.kept:
                    one.write()
                if one.source in readable and one.wants_to_read():
                    one.read()
                one.tell_end()


@contextlib.contextmanager
def faulty_relay(server_port, **options):
    relay = FaultyRelay(server_port, **options)
    try:
        yield relay
    finally:
        relay.close()
