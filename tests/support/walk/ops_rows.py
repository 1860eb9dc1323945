"""Statements that write and read rows of thing and part."""
import struct

from support.walk import Violation
from support.walk.operation import Operation

# A row of thing is ("t", name): (amount, body, data); of part ("p", name of its thing, label): True.
COLUMNS = ("text", "int8", "text", "bytea")
LIST = "name, amount::int8, body, data"
EXPLICIT_IDS = 1_000_000_000  # above all that sequences give; the same in every tenant


def key_of(name):
    return ("t", name)


def part_key(name, label):
    return ("p", name, label)


def is_thing(key):
    return key[0] == "t"


def is_part(key):
    return key[0] == "p"


def things(rows):
    """{key: value} of rows with LIST's columns."""
    found = {}
    for name, *value in rows:
        if key_of(name) in found:
            raise Violation(f"thing {name} came twice")
        found[key_of(name)] = tuple(value)
    return found


def parts_of(session, name):
    return [key for key in session.view() if is_part(key) and key[1] == name]


class Write(Operation):
    writes = True

    def want_rows(self, result, rows):
        self.want(self.rows(result), rows)

    def failed(self, session):
        if session.tx:
            session.tx.last_id = "?"  # the sequence may have moved on before it failed

    def want_tag(self, result, tag):
        self.want(result.tag, tag, "tag")


class NewThing(Write):
    """What inserts have in common: values are ("text", name), ("int8", amount), ("text", body),
    ("bytea", data)."""

    returns_id = True

    @classmethod
    def make(cls, plan):
        name = plan.new_name()
        return cls(("text", name), ("int8", plan.dice.randrange(1000)),
                   ("text", plan.new_body()), ("bytea", plan.new_data()))

    @property
    def key(self):
        return key_of(self.values[0][1])

    @property
    def value(self):
        return tuple(value for _kind, value in self.values[1:4])

    def row(self):
        return (self.key[1], *self.value)

    def effect(self, session, result, when):
        session.write(self.key, self.value)


class Insert(NewThing):
    sql = ("INSERT INTO thing (name, amount, body, data) VALUES ($1, $2, $3, $4)"
           " RETURNING id, name, amount::int8, body, data")
    columns = ("int8", *COLUMNS)
    weight = 14
    nameable = True

    def check(self, session, result, when):
        number, *row = self.one(result)
        self.want(tuple(row), self.row())
        self.want_tag(result, "INSERT 0 1")
        session.tenant.note_id(number)
        session.tx.last_id = number


class InsertWithId(NewThing):
    """The ids are the same in every tenant: keys must not meet."""

    sql = ("INSERT INTO thing (name, amount, body, data, id) VALUES ($1, $2, $3, $4, $5)"
           " RETURNING id, name")
    columns = ("int8", "text")
    weight = 3
    nameable = True

    @classmethod
    def make(cls, plan):
        made = super().make(plan)
        slot, _, serial = made.key[1].partition("-")
        number = EXPLICIT_IDS + int(slot) * 10_000_000 + int(serial)
        return cls(*made.values, ("int8", number))

    def check(self, session, result, when):
        self.want(self.one(result), (self.values[4][1], self.key[1]))


class InsertQuietly(NewThing):
    """Without RETURNING."""

    sql = "INSERT INTO thing (name, amount, body, data) SELECT $1, $2, $3, $4"
    weight = 4
    nameable = True

    def check(self, session, result, when):
        self.want_tag(result, "INSERT 0 1")
        session.tx.last_id = "?"


class Upsert(NewThing):
    """Of a row that is there, or of a new one."""

    sql = ("INSERT INTO thing (name, amount, body, data) VALUES ($1, $2, $3, $4)"
           " ON CONFLICT ON CONSTRAINT thing_name_key DO UPDATE SET amount = excluded.amount,"
           " body = excluded.body, data = excluded.data RETURNING name, amount::int8, body, data")
    columns = COLUMNS
    weight = 4
    nameable = True

    @classmethod
    def make(cls, plan):
        made = super().make(plan)
        known = plan.some_name() if plan.dice.random() < 0.6 else None
        return cls(("text", known), *made.values[1:]) if known else made

    def check(self, session, result, when):
        self.want_rows(result, [self.row()])
        session.tx.last_id = "?"


class Merge(Upsert):
    sql = ("MERGE INTO thing USING (VALUES ($1, $2, $3, $4)) AS new (name, amount, body, data)"
           " ON thing.name = new.name WHEN MATCHED THEN UPDATE SET amount = new.amount,"
           " body = new.body, data = new.data WHEN NOT MATCHED THEN INSERT"
           " (name, amount, body, data) VALUES (new.name, new.amount, new.body, new.data)")
    columns = ()
    weight = 2
    nameable = False

    def check(self, session, result, when):
        self.want_tag(result, "MERGE 1")
        session.tx.last_id = "?"


class InsertAgain(NewThing):
    """A name that this client has taken: refused, unless it is gone."""

    sql = Insert.sql
    columns = Insert.columns
    weight = 3

    @classmethod
    def make(cls, plan):
        name = plan.some_name()
        made = super().make(plan)
        return name and cls(("text", name), *made.values[1:])

    def refused(self, session):
        return {"23505"} if session.row(self.key) is not None else set()

    def check(self, session, result, when):
        number, *row = self.one(result)
        self.want(tuple(row), self.row())
        session.tenant.note_id(number)
        session.tx.last_id = number


class InsertMany(Write):
    """In one statement, with as many rows as the dice say."""

    sql = ("WITH fresh AS (INSERT INTO thing (name, amount, body) SELECT $1 || n, n, $2"
           " FROM generate_series(1, $3) n RETURNING name, amount, body)"
           " SELECT name, amount::int8, body FROM fresh ORDER BY amount")
    columns = ("text", "int8", "text")
    weight = 4
    nameable = True

    @classmethod
    def make(cls, plan):
        count = plan.dice.randrange(2, 7)
        return cls(("text", plan.new_prefix(count)), ("text", plan.new_body()), ("int8", count))

    def _rows(self):
        (_, prefix), (_, body), (_, count) = self.values
        return [(f"{prefix}{n}", n, body) for n in range(1, count + 1)]

    def check(self, session, result, when):
        self.want_rows(result, self._rows())
        session.tx.last_id = "?"

    def effect(self, session, result, when):
        for name, amount, body in self._rows():
            session.write(key_of(name), (amount, body, None))


class Update(Write):
    sql = "UPDATE thing SET amount = amount + $2, body = $3 WHERE name = $1 RETURNING " + LIST
    columns = COLUMNS
    weight = 8
    nameable = True

    @classmethod
    def make(cls, plan):
        name = plan.some_name()
        return name and cls(("text", name), ("int8", plan.dice.randrange(1, 50)),
                            ("text", plan.new_body()))

    def after(self, session):
        """The row as it will be; None when there is none."""
        (_, name), (_, more), (_, body) = self.values
        old = session.row(key_of(name))
        return old and (old[0] + more, body, old[2])

    def check(self, session, result, when):
        after = self.after(session)
        self.want_rows(result, [(self.values[0][1], *after)] if after else [])
        self.want_tag(result, f"UPDATE {1 if after else 0}")

    def effect(self, session, result, when):
        after = self.after(session)
        if after:
            session.write(key_of(self.values[0][1]), after)


class Delete(Write):
    """Parts go with their thing."""

    sql = "DELETE FROM thing WHERE name = $1 RETURNING name, body"
    columns = ("text", "text")
    weight = 7
    nameable = True

    @classmethod
    def make(cls, plan):
        name = plan.take_name()
        return name and cls(("text", name))

    def check(self, session, result, when):
        name = self.values[0][1]
        old = session.row(key_of(name))
        self.want_rows(result, [(name, old[1])] if old else [])

    def effect(self, session, result, when):
        name = self.values[0][1]
        if session.row(key_of(name)) is None:
            return
        for key in [key_of(name), *parts_of(session, name)]:
            session.write(key, None)


class DeleteOfOthers(Write):
    """Without WHERE but for what spares this tenant: nobody else's rows may go."""

    sql = "DELETE FROM thing WHERE body IS NULL OR body NOT LIKE '%' || $1 || '%' RETURNING name, body"
    columns = ("text", "text")
    weight = 1

    @classmethod
    def make(cls, plan):
        return cls(("text", plan.client.tenant.mark))

    def check(self, session, result, when):
        self.want_rows(result, [])


class UpdateOfOthers(DeleteOfOthers):
    sql = ("UPDATE thing SET body = $1 WHERE body IS NULL OR body NOT LIKE '%' || $1 || '%'"
           " RETURNING name, body")
    weight = 1


class InsertPart(Write):
    sql = ("INSERT INTO part (thing_id, label) SELECT id, $2 FROM thing WHERE name = $1"
           " RETURNING label")
    columns = ("text",)
    weight = 5
    nameable = True

    @classmethod
    def make(cls, plan):
        name = plan.some_name()
        return name and cls(("text", name), ("text", plan.new_body()))

    def check(self, session, result, when):
        (_, name), (_, label) = self.values
        self.want_rows(result, [(label,)] if session.row(key_of(name)) else [])
        session.tx.last_id = "?"

    def effect(self, session, result, when):
        (_, name), (_, label) = self.values
        if session.row(key_of(name)):
            session.write(part_key(name, label), True)


class ForgedOwner(Write):
    """A row under another tenant's id: refused by policy or constraint."""

    always_fails = True
    sql = "INSERT INTO thing (name, body, tenant_id) VALUES ($1, $2, $3)"
    weight = 2

    @classmethod
    def make(cls, plan):
        if not plan.client.tenant.rules.is_tenant:
            return None
        other = plan.dice.choice([tenant for tenant in plan.client.walk.tenants
                                  if tenant is not plan.client.tenant])
        return cls(("text", plan.new_name()), ("text", plan.new_body()), ("int8", other.tenant_id))

    def refused(self, session):
        return {"42501", "23514"}  # a policy, or a constraint


class BadAmount(Write):
    always_fails = True
    sql = "INSERT INTO thing (name, body, amount) VALUES ($1, $2, -1)"
    weight = 2
    nameable = True

    @classmethod
    def make(cls, plan):
        return cls(("text", plan.new_name()), ("text", plan.new_body()))

    def refused(self, session):
        return {"23514"}


class BadOther(BadAmount):
    sql = "UPDATE kind SET title = $2 WHERE code = $1"
    weight = 1

    def refused(self, session):
        return {"42501"} if session.tenant.rules.is_tenant else set()

    def check(self, session, result, when):
        self.want_tag(result, "UPDATE 0")


# ---- reading ----

class Look(Operation):
    sure = True

    def own(self, session):
        """Which rows come: of one client, or all of the tenant's."""
        prefix = f"{session.slot}-"
        return lambda key: key[1].startswith(prefix)


class SelectOwn(Look):
    sql = f"SELECT {LIST} FROM thing WHERE name LIKE $1 || '%'"
    columns = COLUMNS
    weight = 8
    nameable = True

    @classmethod
    def make(cls, plan):
        return cls(("text", f"{plan.client.slot}-"))

    def check(self, session, result, when):
        own = self.own(session)
        session.compare(things(self.rows(result)), lambda key: is_thing(key) and own(key),
                        str(self), when)


class SelectForUpdate(SelectOwn):
    sure = False
    sql = SelectOwn.sql + " FOR UPDATE"
    weight = 2
    writes = True


class SelectAll(Look):
    sql = f"SELECT {LIST} FROM thing"
    columns = COLUMNS
    weight = 12
    nameable = True

    def check(self, session, result, when):
        session.compare(things(self.rows(result)), is_thing, str(self), when)


class SelectStar(Look):
    """With the tenant's number, where the table has one."""

    sql = "SELECT * FROM thing"
    weight = 4
    nameable = True

    def check(self, session, result, when):
        if result.formats:
            return  # the marks are looked for as everywhere
        tenant = session.tenant
        for row in result.rows:
            if len(row) > 6 and tenant.tenant_id is not None:
                self.want(int(row[6]), tenant.tenant_id, "tenant_id")
        found = {key_of(row[1].decode()) for row in result.rows}
        self.want(len(found), len(result.rows), "different names")


class SelectOne(Look):
    sql = f"SELECT {LIST} FROM thing WHERE name = $1"
    columns = COLUMNS
    weight = 6
    nameable = True

    @classmethod
    def make(cls, plan):
        name = plan.some_name()
        return name and cls(("text", name))

    def check(self, session, result, when):
        name = self.values[0][1]
        session.compare(things(self.rows(result)), lambda key: key == key_of(name), str(self), when)


class SelectParts(Look):
    sql = "SELECT t.name, p.label FROM part p JOIN thing t ON t.id = p.thing_id"
    columns = ("text", "text")
    weight = 6
    nameable = True

    def check(self, session, result, when):
        found = {part_key(*row): True for row in self.rows(result)}
        session.compare(found, is_part, str(self), when)


class SelectOrphans(Look):
    """Parts without a thing that one may see."""

    sql = "SELECT p.label FROM part p LEFT JOIN thing t ON t.id = p.thing_id WHERE t.id IS NULL"
    columns = ("text",)
    weight = 1

    def check(self, session, result, when):
        self.want(self.rows(result), [])


class CountOwn(Look):
    sql = ("SELECT count(*), coalesce(sum(amount), 0)::int8 FROM thing WHERE name LIKE $1 || '%'"
           " AND body LIKE '%' || $2 || '%'")
    columns = ("int8", "int8")
    weight = 4
    nameable = True

    @classmethod
    def make(cls, plan):
        return cls(("text", f"{plan.client.slot}-"), ("text", plan.client.tenant.mark))

    def check(self, session, result, when):
        if session.client.doubtful:
            return  # its rows are compared one by one elsewhere
        own = [value[0] for key, value in session.view().items() if is_thing(key)]
        self.want(self.one(result), (len(own), sum(own)))


class CountOfOthers(Look):
    sql = ("SELECT count(*) FILTER (WHERE body NOT LIKE '%' || $1 || '%' OR body IS NULL),"
           " (SELECT count(*) FROM part WHERE label NOT LIKE '%' || $1 || '%') FROM thing")
    columns = ("int8", "int8")
    weight = 4
    nameable = True

    @classmethod
    def make(cls, plan):
        return cls(("text", plan.client.tenant.mark))

    def check(self, session, result, when):
        self.want(self.one(result), (0, 0))


class SelectView(Look):
    """A view sees no more than its reader: every row of it has a thing that one may see."""

    sql = "SELECT v.name, t.body, v.parts FROM thing_parts v LEFT JOIN thing t USING (name)"
    columns = ("text", "text", "int8")
    weight = 3

    def check(self, session, result, when):
        for name, body, _parts in self.rows(result):
            if body is None or session.tenant.mark not in body:
                raise Violation(f"{self}: {name} is somebody else's")


class SelectKinds(Look):
    sql = "SELECT code, title FROM kind ORDER BY code"
    columns = ("text", "text")
    weight = 1
    nameable = True

    def check(self, session, result, when):
        self.want(self.rows(result), [("a", "first kind"), ("b", "second kind")])


class Large(Look):
    """More than fits the buffers between the server and a client that does not read."""

    sql = "SELECT n, repeat('z', 3000) || $1 FROM generate_series(1, $2) n"
    columns = ("int8", "text")
    weight = 1

    @classmethod
    def make(cls, plan):
        return cls(("text", plan.client.tenant.mark), ("int8", plan.dice.choice([20, 100, 400])))

    def check(self, session, result, when):
        (_, mark), (_, count) = self.values
        rows = self.rows(result)
        self.want([n for n, _text in rows], list(range(1, count + 1)), "numbers")
        self.want({text for _n, text in rows}, {"z" * 3000 + mark}, "texts")


# ---- COPY ----

class CopyOut(Look):
    sql = f"COPY (SELECT {LIST} FROM thing) TO STDOUT"
    weight = 4

    def check(self, session, result, when):
        if not result.copied_out:
            raise Violation(f"{self}: no CopyOutResponse")
        rows = [self.split(line) for line in b"".join(result.copied).splitlines()]
        session.compare(things(rows), is_thing, str(self), when)

    @staticmethod
    def split(line):
        name, amount, body, data = line.split(b"\t")
        return (name.decode(), int(amount), body.decode(),
                None if data == b"\\N" else bytes.fromhex(data[3:].decode()))


class CopyOutBinary(Look):
    sql = CopyOut.sql + " (FORMAT binary)"
    weight = 3

    def check(self, session, result, when):
        session.compare(things(self.tuples(b"".join(result.copied))), is_thing, str(self), when)

    def tuples(self, data):
        at, found = 19, []
        self.want(data[:11], b"PGCOPY\n\xff\r\n\0", "signature")
        while True:
            count = struct.unpack_from("!h", data, at)[0]
            at += 2
            if count < 0:
                self.want(at, len(data), "length")
                return found
            row = []
            for _ in range(count):
                length = struct.unpack_from("!i", data, at)[0]
                at += 4
                row.append(None if length < 0 else data[at:at + length])
                at += max(length, 0)
            name, amount, body, bytes_ = row
            found.append((name.decode(), struct.unpack("!q", amount)[0], body.decode(), bytes_))


class CopyParts(Look):
    sql = "COPY (SELECT t.name, p.label FROM part p JOIN thing t ON t.id = p.thing_id) TO STDOUT"
    weight = 2

    def check(self, session, result, when):
        rows = [line.decode().split("\t") for line in b"".join(result.copied).splitlines()]
        session.compare({part_key(*row): True for row in rows}, is_part, str(self), when)


class CopyIn(Write):
    """Row isolation refuses it; then the data are left over and harm nobody."""

    sql = "COPY thing (name, amount, body, data) FROM STDIN"
    weight = 5
    last = True  # its data follow the message
    refusals = set()

    @classmethod
    def make(cls, plan):
        made = cls()
        made.lines = [(plan.new_name(), plan.dice.randrange(1000), plan.new_body(),
                       plan.new_data()) for _ in range(plan.dice.randrange(1, 5))]
        made.data = made.messages()
        # Row security is looked at in front of all else.
        made.writes = plan.client.tenant.rules.copies_in
        return made

    def __repr__(self):
        return f"{type(self).__name__}{[line[0] for line in self.lines]}"

    def text_of(self, line):
        name, amount, body, data = line
        hexed = "\\N" if data is None else "\\\\x" + data.hex()
        return f"{name}\t{amount}\t{body}\t{hexed}\n".encode()

    def messages(self):
        from support import wire
        return b"".join(wire.copy_data(self.text_of(line)) for line in self.lines) + wire.copy_done()

    def refused(self, session):
        if not session.tenant.rules.copies_in:
            return {"0A000"}
        return set(self.refusals)

    def check(self, session, result, when):
        self.want_tag(result, f"COPY {len(self.lines)}")
        session.tx.last_id = "?"

    def effect(self, session, result, when):
        for name, *value in self.lines:
            session.write(key_of(name), tuple(value))


class CopyInCut(CopyIn):
    """All data in one message, cut at odd places into several."""

    weight = 2

    def messages(self):
        from support import wire
        text = b"".join(map(self.text_of, self.lines))
        cuts = [0, len(text) // 3, len(text) // 2, len(text)]
        return b"".join(wire.copy_data(text[start:end])
                        for start, end in zip(cuts, cuts[1:])) + wire.copy_done()


class CopyInGivenUp(CopyIn):
    """The client changes its mind."""

    always_fails = True
    weight = 3
    refusals = {"57014"}

    def messages(self):
        from support import wire
        return (b"".join(wire.copy_data(self.text_of(line)) for line in self.lines)
                + wire.copy_fail("changed my mind"))


class CopyInBad(CopyIn):
    """Data that are no rows, and more behind them."""

    always_fails = True
    weight = 3
    refusals = {"22P02", "22P04"}

    def messages(self):
        from support import wire
        good = [wire.copy_data(self.text_of(line)) for line in self.lines]
        return b"".join([*good, wire.copy_data(b"no row\n"), *good, wire.copy_done()])
