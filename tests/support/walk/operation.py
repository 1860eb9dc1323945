"""What a statement is: its text, its parameters, what it must bring and what it does.

A class is a kind of statement: `make` rolls one for a plan, `sql` is its text with $1, $2 ... An
instance goes out as a simple query with literals, or as a statement with parameters, in text or
binary; named statements are prepared from one instance and run with another's parameters, so all
instances of a class that is `nameable` have the same text.
"""
import struct

from support.walk import Violation

KINDS = []  # every class with a weight: what plans choose from


def quote(value):
    return "'" + value.replace("'", "''") + "'"


def literal(kind, value):
    """As text of SQL; good whatever standard_conforming_strings says."""
    if value is None:
        return f"NULL::{kind}"
    if kind == "bytea":
        return f"decode('{value.hex()}', 'hex')"
    if kind == "bool":
        return "true" if value else "false"
    return f"{quote(str(value))}::{kind}"


def encode(kind, value, binary):
    """As a Bind message's parameter."""
    if value is None:
        return None
    if not binary:
        if kind == "bytea":
            return b"\\x" + value.hex().encode()
        if kind == "bool":
            return b"t" if value else b"f"
        return str(value).encode()
    if kind == "int8":
        return struct.pack("!q", value)
    if kind == "float8":
        return struct.pack("!d", value)
    if kind == "bool":
        return b"\1" if value else b"\0"
    return value if isinstance(value, bytes) else str(value).encode()


def decode(kind, raw, binary):
    """A column of a row."""
    if raw is None:
        return None
    if kind == "int8":
        return struct.unpack("!q", raw)[0] if binary else int(raw)
    if kind == "bool":
        return raw == (b"\1" if binary else b"t")
    if kind == "bytea":
        return raw if binary else bytes.fromhex(raw[2:].decode())
    return raw.decode()


class Operation:
    """One statement."""

    sql = ""
    columns = ()  # kinds of what it returns
    weight = 0  # 0: chosen by nobody but itself
    writes = False  # refused in a read-only transaction
    transactional = True  # starts a transaction where there is none
    takes_snapshot = True
    in_failed = False  # works in a failed transaction
    nameable = False  # may be prepared under a name
    is_everybodys = False  # of those: always, and with a text that all tenants have
    simple_only = False
    alone = False  # not together with other statements in a message or pipeline
    last = False  # nothing may come behind it in its message
    only_in = ()  # isolations; (): all
    needs = ()  # of the plan: "transaction", "no transaction", "pins"
    sure = False  # whatever the state: it does not fail, as far as the plan can know
    always_fails = False  # unless nobody refuses what Reeve does
    pins = False  # keeps the server connection with its client from here on
    data = b""  # CopyData and its end, to be sent behind it

    def __init_subclass__(cls, **options):
        super().__init_subclass__(**options)
        if cls.weight:
            KINDS.append(cls)

    def __init__(self, *values):
        """values: (kind, value) for each parameter."""
        self.values = values

    def __repr__(self):
        return f"{type(self).__name__}{[value for _kind, value in self.values]}"

    # -- to the server --

    @classmethod
    def make(cls, plan):
        """One for this client at this time; None where there is nothing to do it with."""
        return cls()

    def template(self):
        """The text with its parameters' casts."""
        text = self.sql
        for at in range(len(self.values), 0, -1):
            text = text.replace(f"${at}", f"${at}::{self.values[at - 1][0]}")
        return text

    def simple(self):
        text = self.sql
        for at in range(len(self.values), 0, -1):
            text = text.replace(f"${at}", literal(*self.values[at - 1]))
        return text

    def parameters(self, binary):
        return [encode(kind, value, binary) for kind, value in self.values]

    # -- by the model: `session` is as it was before this statement --

    def refused_early(self, session):
        """SQLSTATEs of what is refused before the state of the transaction is looked at."""
        return set()

    def refused(self, session):
        """SQLSTATEs with which it must fail in a transaction that is in order."""
        return set()

    def may_fail(self, session):
        return set()

    def failed(self, session):
        """It did."""

    def parsed(self, session):
        """It was prepared, to be run now or later."""

    def done(self, session, result, when):
        """It worked; a result of None is not known."""
        if result is not None:
            self.check(session, result, when)
        self.effect(session, result, when)

    def check(self, session, result, when):
        """Compares the result with what it must be."""

    def effect(self, session, result, when):
        """Does it to the model."""

    # -- help for both --

    def rows(self, result):
        binary = result.formats == 1
        for row in result.rows:
            if len(row) != len(self.columns):
                raise Violation(f"{self}: {len(row)} columns, not {len(self.columns)}")
        return [tuple(decode(kind, raw, binary) for kind, raw in zip(self.columns, row))
                for row in result.rows]

    def want(self, found, wanted, what="rows"):
        if found != wanted:
            raise Violation(f"{self}: {what}: {found!r}, not {wanted!r}")

    def one(self, result):
        rows = self.rows(result)
        if len(rows) != 1:
            raise Violation(f"{self}: {len(rows)} rows, not 1")
        return rows[0]
