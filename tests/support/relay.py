"""Somebody in the middle: ends TLS with a certificate of their own, and passes on what they read."""
import contextlib
import select
import socket
import ssl
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
