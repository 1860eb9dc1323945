"""A small PostgreSQL client that sends exactly the bytes it is told to."""
import base64
import contextlib
import dataclasses
import hashlib
import hmac
import os
import socket
import ssl
import struct

PROTOCOL_3_0 = 3 << 16
PROTOCOL_3_2 = 3 << 16 | 2
CANCEL_CODE = 80877102
SSL_CODE = 80877103
GSSENC_CODE = 80877104
DEADLINE_SECONDS = 30
NUL = b"\0"


class Closed(Exception):
    """The server closed the connection."""


@dataclasses.dataclass(frozen=True)
class Message:
    """One message of the server."""

    type: str
    body: bytes

    @property
    def fields(self):
        """Of ErrorResponse and NoticeResponse: {"C": "42601", "M": ...}."""
        found = {}
        for part in self.body.split(NUL):
            if part:
                found[chr(part[0])] = part[1:].decode("utf-8", "replace")
        return found

    @property
    def sqlstate(self):
        return self.fields.get("C")

    @property
    def columns(self):
        """Of DataRow."""
        count, at, values = struct.unpack_from("!h", self.body)[0], 2, []
        for _ in range(count):
            length = struct.unpack_from("!i", self.body, at)[0]
            at += 4
            values.append(None if length < 0 else self.body[at:at + length])
            at += max(length, 0)
        return values

    def __repr__(self):
        if self.type in "EN":
            return f"{self.type}{self.fields}"
        return f"{self.type}{self.body[:60]!r}"


# ---- frontend messages ----

def frame(kind, body=b""):
    return kind.encode() + struct.pack("!i", len(body) + 4) + body


def text(value):
    return (value if isinstance(value, bytes) else value.encode()) + NUL


def untyped(body):
    """A packet of the startup phase."""
    return struct.pack("!i", len(body) + 4) + body


def startup(version=PROTOCOL_3_0, /, **parameters):
    body = struct.pack("!i", version)
    for name, value in parameters.items():
        body += text(name) + text(value)
    return untyped(body + NUL)


def query(sql):
    return frame("Q", text(sql))


def parse(sql, name="", types=()):
    return frame("P", text(name) + text(sql) + struct.pack(f"!h{len(types)}I", len(types), *types))


def bind(values=(), name="", portal="", formats=(), results=()):
    body = text(portal) + text(name) + struct.pack(f"!h{len(formats)}h", len(formats), *formats)
    body += struct.pack("!h", len(values))
    for value in values:
        if value is None:
            body += struct.pack("!i", -1)
        else:
            value = value if isinstance(value, bytes) else str(value).encode()
            body += struct.pack("!i", len(value)) + value
    return frame("B", body + struct.pack(f"!h{len(results)}h", len(results), *results))


def execute(portal="", rows=0):
    return frame("E", text(portal) + struct.pack("!i", rows))


def describe(what, name=""):
    return frame("D", what.encode() + text(name))


def close(what, name=""):
    return frame("C", what.encode() + text(name))


def copy_data(data):
    return frame("d", data)


def copy_done():
    return frame("c")


def copy_fail(reason):
    return frame("f", text(reason))


def function_call(oid, values=(), formats=(1,), result=1):
    body = struct.pack(f"!Ih{len(formats)}h", oid, len(formats), *formats)
    body += struct.pack("!h", len(values))
    for value in values:
        body += struct.pack("!i", -1) if value is None else struct.pack("!i", len(value)) + value
    return frame("F", body + struct.pack("!h", result))


def flush():
    return frame("H")


def sync():
    return frame("S")


def terminate():
    return frame("X")


def cancel(pid, secret):
    return untyped(struct.pack("!iI", CANCEL_CODE, pid) + secret)


def ssl_request():
    return untyped(struct.pack("!i", SSL_CODE))


def gssenc_request():
    return untyped(struct.pack("!i", GSSENC_CODE))


class Scram:
    """The client's side of SCRAM-SHA-256, and with `binding` (bytes) of SCRAM-SHA-256-PLUS; `header`
    says what it makes of channel binding."""

    def __init__(self, password, nonce=None, name="", header=None, binding=None):
        self.password = password.encode()
        self.nonce = nonce or base64.b64encode(os.urandom(18)).decode()
        self.header = header or ("n,," if binding is None else "p=tls-server-end-point,,")
        self.binding = binding or b""
        self.first_bare = f"n={name},r={self.nonce}"

    def first(self):
        return (self.header + self.first_bare).encode()

    def final(self, server_first):
        server_first = server_first.decode()
        values = dict(part.split("=", 1) for part in server_first.split(","))
        assert values["r"].startswith(self.nonce)
        salted = hashlib.pbkdf2_hmac("sha256", self.password, base64.b64decode(values["s"]),
                                     int(values["i"]))
        bound = base64.b64encode(self.header.encode() + self.binding).decode()
        without_proof = f"c={bound},r={values['r']}"
        message = f"{self.first_bare},{server_first},{without_proof}".encode()
        client_key = hmac.digest(salted, b"Client Key", "sha256")
        signature = hmac.digest(hashlib.sha256(client_key).digest(), message, "sha256")
        proof = bytes(a ^ b for a, b in zip(client_key, signature))
        server_key = hmac.digest(salted, b"Server Key", "sha256")
        self.server_signature = hmac.digest(server_key, message, "sha256")
        return f"{without_proof},p={base64.b64encode(proof).decode()}".encode()

    def check(self, server_final):
        expected = b"v=" + base64.b64encode(self.server_signature)
        assert server_final == expected, "the server did not prove that it knows the password"


class Wire:
    """A connection of messages. With no login, only the transport is there."""

    def __init__(self, host, port, seconds=DEADLINE_SECONDS):
        if str(host).startswith("/"):
            self.socket = socket.socket(socket.AF_UNIX)
            self.socket.settimeout(seconds)
            self.socket.connect(f"{host}/.s.PGSQL.{port}")
        else:
            self.socket = socket.create_connection((host, port), timeout=seconds)
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.received = b""
        self.parameters = {}
        self.key = None
        self.notices = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.socket.close()

    # -- bytes --

    def shut(self):
        """Wakes whoever waits in send() or receive()."""
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)

    def send(self, *messages):
        self.socket.sendall(b"".join(messages))

    def _more(self):
        try:
            data = self.socket.recv(1 << 18)
        except ConnectionResetError as error:
            raise Closed from error
        if not data:
            raise Closed
        self.received += data

    def receive_byte(self):
        """The answer to SSLRequest and GSSENCRequest."""
        while not self.received:
            self._more()
        byte, self.received = self.received[:1], self.received[1:]
        return byte

    def start_tls(self, context=None):
        if context is None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        self.socket = context.wrap_socket(self.socket, server_hostname="localhost")

    # -- messages --

    def receive(self):
        """The next message. Raises Closed at the end."""
        while len(self.received) < 5:
            self._more()
        length = struct.unpack_from("!i", self.received, 1)[0]
        assert length >= 4, self.received[:20]
        if len(self.received) < length + 1:
            parts, have = [self.received], len(self.received)
            while have < length + 1:
                self.received = b""
                self._more()
                parts.append(self.received)
                have += len(self.received)
            self.received = b"".join(parts)
        message = Message(chr(self.received[0]), self.received[5:length + 1])
        self.received = self.received[length + 1:]
        if message.type == "K":
            self.key = (struct.unpack_from("!i", message.body)[0], message.body[4:])
        elif message.type == "S":
            name, value = message.body.split(NUL)[:2]
            self.parameters[name.decode()] = value.decode()
        return message

    def receive_until(self, types):
        """Messages up to and including the first whose type is among `types`."""
        found = []
        while not found or found[-1].type not in types:
            found.append(self.receive())
        return found

    def until_ready(self, count=1):
        """Messages up to and including the count-th ReadyForQuery."""
        found = []
        for _ in range(count):
            found += self.receive_until("Z")
        return found

    def ask(self, *messages, ready=1):
        self.send(*messages)
        return self.until_ready(ready)

    def rest(self):
        """Everything until the server closes."""
        found = []
        try:
            while True:
                found.append(self.receive())
        except Closed:
            return found

    # -- login --

    def login(self, user, database, password=None, version=PROTOCOL_3_0, /, **parameters):
        """Through ReadyForQuery. A refused login raises Refused."""
        self.send(startup(version, user=user, database=database, **parameters))
        return self.authenticate(password)

    def authenticate(self, password, scram=None, mechanism="SCRAM-SHA-256"):
        """Through ReadyForQuery; with this side of SCRAM, if it is asked for."""
        found = []
        while True:
            message = self.receive()
            found.append(message)
            if message.type == "E":
                raise Refused(message)
            if message.type == "Z":
                return found
            if message.type != "R":
                continue
            code, rest = struct.unpack_from("!i", message.body)[0], message.body[4:]
            if code == 3:
                self.send(frame("p", text(password)))
            elif code == 10:
                assert b"SCRAM-SHA-256" in rest.split(NUL)
                scram = scram or Scram(password)
                first = scram.first()
                self.send(frame("p", text(mechanism) + struct.pack("!i", len(first)) + first))
            elif code == 11:
                self.send(frame("p", scram.final(rest)))
            elif code == 12:
                scram.check(rest)
            else:
                assert code == 0, f"authentication request {code}"


class Refused(Exception):
    """The server answered the login with an error."""

    def __init__(self, message):
        super().__init__(repr(message))
        self.message = message
        self.fields = message.fields
        self.sqlstate = message.sqlstate


def connect_to_plain(server, database="postgres", user="postgres", **parameters):
    """A logged-in Wire to a support.postgres.Postgres."""
    wire = Wire("127.0.0.1", server.port)
    wire.login(user, database, server.password, **parameters)
    return wire


def connect_to_tenant(reeve, tenant, version=PROTOCOL_3_0, /, **parameters):
    """A logged-in Wire through the proxy."""
    wire = Wire("127.0.0.1", reeve.port)
    wire.login(tenant.slug, tenant.service, tenant.secret, version, **parameters)
    return wire
