"""What is said at random: a seed makes a conversation.

Most of it makes sense, so that it gets somewhere; then steps are left out, doubled and swapped. What is
not said: what shows who is logged in or what the server is (versions, oids, keys of rows), whether
somebody had a setting of his own before on this server connection ('' instead of NULL), what depends on time, what is refused by contract (LISTEN, roles, and under the guard catalogs and DDL), and EXECUTE by
SQL of a statement that was prepared by a message, or the reverse under the same name: the names of
messages are the client's own, those on the server are shared.
"""
import random
import struct

from support.generated.steps import large

INT4, TEXT = 23, 25
BY_MESSAGE = ["p1", "p2", "p3"]  # names of Parse
BY_SQL = ["q1", "q2"]            # names of PREPARE
PORTALS = ["v1", "v2"]
CURSORS = ["c1", "c2"]
DISCARD = "DISCARD ALL"
SETTINGS = {
    "TimeZone": ["Asia/Tokyo", "UTC", "nowhere"],
    "DateStyle": ["German", "SQL, DMY", "ISO, MDY", "Sundial"],
    "IntervalStyle": ["iso_8601", "postgres"],
    "extra_float_digits": ["0", "3"],
    "bytea_output": ["escape", "hex"],
    "application_name": ["one", "it''s two"],
    "client_encoding": ["LATIN1", "UTF8", "KLINGON"],
    "standard_conforming_strings": ["on"],  # off is refused where sessions are shared
    "statement_timeout": ["30s", "31s"],
    "app.user": ["ann", "bob"],
    "transform_null_equals": ["on", "off"],
    "no_such_setting": ["1"],
}


class Grammar:
    """Makes the steps of one conversation."""

    def __init__(self, chance, copy_in):
        self.chance, self.copy_in = chance, copy_in
        self.steps = []

    # ---- SQL ----

    def pick(self, *choices):
        """One of (weight, thing) or of things."""
        weights = [choice[0] if isinstance(choice, tuple) else 1 for choice in choices]
        things = [choice[1] if isinstance(choice, tuple) else choice for choice in choices]
        found = self.chance.choices(things, weights)[0]
        return found() if callable(found) else found

    def name(self):
        return f"n{self.chance.randrange(1, 7)}"

    def number(self):
        return self.chance.choice([0, 1, 2, 3, 7, 40])

    def statement(self):
        return self.pick((8, self.select), (6, self.change), (7, self.transaction), (4, self.setting),
                         (4, self.prepared), (3, self.cursor), (2, self.mistake), (2, self.block),
                         (1, self.copy_out), (1, self.odd))

    def select(self):
        number = self.number()
        return self.pick(
            f"SELECT {number}", f"SELECT {number}, 'x', NULL", "SELECT",
            f"SELECT i, repeat('z', i) FROM generate_series(1, {number}) i",
            "SELECT name, amount FROM thing ORDER BY name", "SELECT count(*) FROM thing",
            f"SELECT name FROM thing WHERE name = '{self.name()}' FOR UPDATE",
            "SELECT date '2020-02-01', interval '1 day 2 hours', 0.1::float8, '\\x0102'::bytea",
            "SELECT title FROM kind ORDER BY code", "SELECT 'caf\u00e9', length('caf\u00e9')",
            f"SELECT repeat('r', {self.chance.choice([10, 9000, 70000])})",
            "SELECT nullif(current_setting('app.user', true), '')", "SELECT 'a\\'", "VALUES (1), (2)",
            "EXPLAIN (COSTS OFF) SELECT 1", "SELECT name, parts FROM thing_parts ORDER BY name")

    def change(self):
        name, number = self.name(), self.number()
        return self.pick(
            f"INSERT INTO thing (name, amount) VALUES ('{name}', {number})",
            f"INSERT INTO thing (name) VALUES ('{name}') ON CONFLICT DO NOTHING",
            f"INSERT INTO thing (name, amount) VALUES ('{name}', {number}) ON CONFLICT ON CONSTRAINT"
            " thing_name_key DO UPDATE SET amount = excluded.amount RETURNING name, amount",
            f"UPDATE thing SET amount = amount + {number} WHERE name = '{name}'",
            f"UPDATE thing SET body = repeat('b', {number * 1000}) RETURNING length(body)",
            f"DELETE FROM thing WHERE name = '{name}'", "DELETE FROM thing RETURNING 'gone'",
            f"UPDATE thing SET amount = -1 WHERE name = '{name}'",
            "INSERT INTO thing (name) VALUES (NULL)",
            "INSERT INTO part (thing_id, label) SELECT id, 'label' FROM thing")

    def transaction(self):
        point = self.chance.choice("ab")
        return self.pick(
            (6, "BEGIN"), (5, "COMMIT"), (5, "ROLLBACK"), "BEGIN READ ONLY", "START TRANSACTION",
            "BEGIN ISOLATION LEVEL SERIALIZABLE", "COMMIT AND CHAIN", "ROLLBACK AND CHAIN",
            (3, f"SAVEPOINT {point}"), (3, f"ROLLBACK TO {point}"), (2, f"RELEASE {point}"),
            "SET TRANSACTION READ ONLY", "SHOW transaction_isolation", "SHOW transaction_read_only",
            "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ", "END")

    def setting(self):
        name = self.chance.choice(list(SETTINGS))
        value = self.chance.choice(SETTINGS[name])
        return self.pick(
            (4, f"SET {name} = '{value}'"), (2, f"SET LOCAL {name} = '{value}'"),
            (2, f"RESET {name}"),
            (4, f"SHOW {name if name != 'app.user' else 'TimeZone'}"), "RESET ALL",
            f"SELECT set_config('{name}', '{value}', {self.chance.choice(['true', 'false'])})",
            "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY", f"SET {name} TO DEFAULT",
            "SET TIME ZONE 'America/Lima'")

    def prepared(self):
        name = self.chance.choice(BY_SQL)
        return self.pick(
            (4, f"PREPARE {name} AS SELECT $1::int, name FROM thing ORDER BY name"),
            (2, f"PREPARE {name} (text) AS INSERT INTO thing (name) VALUES ($1)"),
            (4, f"EXECUTE {name} (5)"), f"EXECUTE {name} ('{self.name()}')", (2, f"DEALLOCATE {name}"),
            (3, f"DEALLOCATE {self.chance.choice(BY_MESSAGE)}"), "DEALLOCATE ALL",
            f"DEALLOCATE PREPARE \"{self.chance.choice(BY_MESSAGE)}\"", "DEALLOCATE nobody",
            "DISCARD PLANS", "DISCARD SEQUENCES")

    def cursor(self):
        name = self.chance.choice(CURSORS)
        return self.pick(
            (4, f"DECLARE {name} CURSOR FOR SELECT generate_series(1, 9)"),
            f"DECLARE {name} SCROLL CURSOR WITH HOLD FOR SELECT name FROM thing ORDER BY name",
            (3, f"FETCH {self.chance.choice(['1', '3', 'ALL', 'PRIOR'])} FROM {name}"),
            f"FETCH 2 FROM {self.chance.choice(PORTALS)}", f"MOVE 2 IN {name}", f"CLOSE {name}",
            "CLOSE ALL")

    def mistake(self):
        return self.pick("SELEKT", "SELECT 1/0", "SELECT nothing_here FROM thing", "TABLE nowhere",
                         "SELECT 'open", "SELECT 1 +", "SELECT $1", "INSERT INTO kind VALUES ('z', '')",
                         "SELECT no_such_function(1)", "SELECT '\u00e9'::int")

    def block(self):
        name = self.chance.choice(list(SETTINGS))
        return self.pick(
            "DO $$ BEGIN RAISE NOTICE 'said; by; a; block'; END $$",
            "DO $$ BEGIN RAISE EXCEPTION 'own' USING ERRCODE = 'XY123', DETAIL = 'why'; END $$",
            f"DO $$ BEGIN PERFORM set_config('{name}', '{SETTINGS[name][0]}', false); END $$",
            "DO $$ BEGIN PERFORM 1/0; EXCEPTION WHEN division_by_zero THEN NULL; END $$",
            "DO $$ BEGIN COMMIT; END $$",
            f"DO $$ BEGIN INSERT INTO thing (name) VALUES ('{self.name()}'); END $$")

    def copy_out(self):
        return self.pick(
            f"COPY (SELECT i, 'x' FROM generate_series(1, {self.number()}) i) TO STDOUT",
            "COPY (SELECT name FROM thing ORDER BY name) TO STDOUT (FORMAT csv, HEADER)",
            "COPY (SELECT 1::int) TO STDOUT BINARY",
            "COPY (SELECT 1/(3-i) FROM generate_series(1, 9) i) TO STDOUT")

    def odd(self):
        return self.pick("", " ", "-- nothing", "/* nothing */", "NOTIFY channel", ";", "CHECKPOINT",
                         "UNLISTEN *")

    def text(self):
        """Of a Query: one statement or some."""
        count = self.chance.choices([1, 2, 3, 4], [12, 3, 2, 1])[0]
        return "; ".join(self.statement() for _ in range(count))

    # ---- messages ----

    def say(self, *step):
        self.steps.append(list(step))

    def query(self):
        if self.chance.random() < 0.03:
            self.say("sync")
            self.say("query", DISCARD)
        else:
            self.say("query", self.text())

    def with_parameters(self):
        """A text with parameters, their types and values that often fit."""
        value = self.pick("5", "0", "x", {"hex": "00000007"}, None)
        return self.chance.choice([
            ("SELECT $1::int + 1", [INT4], [value]), ("SELECT $1::text, $2::int", [], ["t", value]),
            ("SELECT 10 / $1::int", [], [value]), ("SELECT length($1)", [TEXT], [self.big_value()]),
            ("INSERT INTO thing (name) VALUES ($1)", [], [self.name()]),
            ("SELECT name FROM thing WHERE name <> $1 ORDER BY name", [TEXT], [self.name()]),
            ("SELECT generate_series(1, $1::int)", [], ["9"]),
            ("SELECT set_config($1, $2, false)", [], ["app.user", "by parameter"])])

    def pick_text(self, name):
        """Of a Parse, and its types and values. What a statement with a name deallocates by SQL is not
        found: tests/data/differential/known."""
        while True:
            found = self.any_text()
            if not name or "DEALLOCATE" not in found[0]:
                return found

    def any_text(self):
        if self.chance.random() < 0.45:
            return self.with_parameters()
        return self.statement() if self.chance.random() < 0.9 else self.text(), [], []

    def big_value(self):
        return self.pick((6, "short"), (2, lambda: large("v", 20000)), (1, lambda: large("w", 300000)))

    def batch(self):
        """Parse, Bind, Describe, Execute, and an end, or not."""
        for _ in range(self.chance.choices([1, 2, 4], [5, 2, 1])[0]):
            self.run_one()
        self.end()

    def run_one(self):
        name = self.chance.choice(["", "", *BY_MESSAGE])
        portal = self.chance.choice(["", "", "", *PORTALS])
        sql, types, values = self.pick_text(name)
        if self.chance.random() < 0.85:
            self.say("parse", name, sql, types)
        if self.chance.random() < 0.2:
            self.say("describe", "S", name)
        self.bind(portal, name, values)
        if self.chance.random() < 0.4:
            self.say("describe", "P", portal)
        self.say("execute", portal, self.chance.choice([0, 0, 0, 1, 2]))
        if self.chance.random() < 0.15:
            self.say("close", *self.pick_name())

    def bind(self, portal, name, values):
        formats = self.chance.choices([[], [0], [1], [0, 1, 1]], [12, 2, 1, 1])[0]
        results = self.chance.choices([[], [0], [1], [0, 1]], [12, 2, 2, 1])[0]
        self.say("bind", portal, name, values, formats, results)

    def pick_name(self):
        if self.chance.random() < 0.6:
            return "S", self.chance.choice(["", *BY_MESSAGE, *BY_SQL])
        return "P", self.chance.choice(["", *PORTALS, *CURSORS])

    def again(self):
        """A statement that is there, perhaps."""
        name = self.chance.choice([*BY_MESSAGE, *BY_MESSAGE, *BY_SQL, ""])
        self.bind("", name, self.chance.choice([[], ["5"], ["a", "3"]]))
        self.say("execute", "", self.chance.choice([0, 0, 1]))
        self.end()

    def rows_by_portion(self):
        portal = self.chance.choice(["", *PORTALS])
        if self.chance.random() < 0.5:
            self.say("query", "BEGIN")
        self.say("parse", "", "SELECT generate_series(1, 7)", [])
        self.say("bind", portal, "", [])
        for _ in range(self.chance.randrange(1, 5)):
            self.say("execute", portal, self.chance.choice([1, 2, 3, 0]))
            if self.chance.random() < 0.5:
                self.end()

    def end(self):
        for step in self.pick((8, [["sync"]]), (2, [["flush"]]), (2, []), (1, [["sync"], ["sync"]]),
                              (1, [["flush"], ["sync"]]), (3, [["sync"], ["pause"]])):
            self.say(*step)

    def single(self):
        """One message, wherever we are."""
        self.pick(
            lambda: self.say("sync"), lambda: self.say("flush"), lambda: self.say("pause"),
            lambda: self.say("close", *self.pick_name()),
            lambda: self.say("describe", *self.pick_name()),
            lambda: self.say("execute", self.chance.choice(["", *PORTALS, *CURSORS]), 2),
            lambda: self.say("parse", "p1", *self.pick_text("p1")[:2]),
            lambda: self.say("copy_data", "stray\n"), lambda: self.say("copy_done"),
            lambda: self.say("copy_fail", "stray"))

    def copy_from(self):
        if not self.copy_in:
            return self.query()
        sql = self.pick("COPY thing (name, amount) FROM STDIN", "COPY thing (name) FROM STDIN (FORMAT csv)",
                        "COPY thing (name) FROM STDIN; SELECT 'behind'",
                        "SELECT 'before'; COPY thing (name) FROM STDIN; COPY thing (name) FROM STDIN",
                        "COPY thing (name) FROM STDIN BINARY", "COPY nowhere FROM STDIN")
        if self.chance.random() < 0.5:
            self.say("query", sql)
        else:
            self.say("parse", "", sql.split(";")[0], [])
            self.say("bind", "", "", [])
            self.say("execute", "", 0)
            if self.chance.random() < 0.5:
                self.say("sync")  # as libpq does; the server ignores it
        for _ in range(self.chance.randrange(4)):
            self.copy_part()
        self.pick((5, lambda: self.say("copy_done")), (2, lambda: self.say("copy_fail", "no more")),
                  (1, lambda: None))
        if self.chance.random() < 0.6:
            self.end()

    def copy_part(self):
        name = self.name()
        self.pick(
            (4, lambda: self.say("copy_data", f"{name}\t4\n")), lambda: self.say("copy_data", f"{name}\n"),
            lambda: self.say("copy_data", "bad\tnot a number\n"), lambda: self.say("copy_data", "half"),
            lambda: self.say("copy_data", ""), lambda: self.say("copy_data", "\\.\n"),
            lambda: self.say("copy_data", large("row\t1\n", 3000)), lambda: self.say("flush"),
            lambda: self.say("pause"))

    def call(self):
        """int4pl, int4div, unknown, textcat; with arguments that do not always fit."""
        four = [{"hex": struct.pack("!i", number).hex()} for number in (20, 0)]
        self.pick(
            (3, lambda: self.say("call", 177, four)), lambda: self.say("call", 154, four),
            lambda: self.say("call", 1, []), lambda: self.say("call", 177, four[:1]),
            lambda: self.say("call", 1258, ["text", "cat"], [0], 0),
            lambda: self.say("call", 177, ["20", "x"], [0], 0),
            lambda: self.say("call", 177, [None, four[0]]))

    def malformed(self):
        """After some of these there is no going on."""
        self.pick(
            lambda: self.say("raw", "B", {"hex": "00000000"}), lambda: self.say("raw", "S", "x"),
            lambda: self.say("raw", "D", {"hex": "5800"}), lambda: self.say("raw", "C", ""),
            lambda: self.say("raw", "P", "no end"), lambda: self.say("raw", "E", {"hex": "00"}),
            lambda: self.say("raw", "Q", "SELECT 1"), lambda: self.say("raw", "H", "x"),
            lambda: self.say("raw", "F", {"hex": "000000b1"}), lambda: self.say("raw", "?", ""),
            lambda: self.say("raw", "p", "secret\0"), lambda: self.say("raw", "Q", ""),
            lambda: self.say("raw", "P", {"hex": "0053454c45435420310000017f"}),
            lambda: self.say("raw", "Q", {"hex": "53454c4543542031003b00"}))

    def mishaps(self):
        """Steps left out, doubled and swapped."""
        for _ in range(self.chance.choices([0, 1, 3], [6, 2, 1])[0]):
            at = self.chance.randrange(len(self.steps))
            what = self.chance.randrange(3)
            if what == 0 and len(self.steps) > 1:
                del self.steps[at]
            elif what == 1:
                self.steps.insert(at, self.steps[at])
            else:
                other = self.chance.randrange(len(self.steps))
                self.steps[at], self.steps[other] = self.steps[other], self.steps[at]

    def conversation(self):
        for _ in range(self.chance.randrange(2, 14)):
            self.pick((7, self.query), (8, self.batch), (4, self.again), (2, self.rows_by_portion),
                      (3, self.single), (2, self.copy_from), (1, self.call),
                      (1, lambda: self.say("pause")))
        self.mishaps()
        if self.chance.random() < 0.06:
            self.malformed()
        cut = self.chance.choices(["steps", "whole", "bytes", self.chance.randrange(1 << 30)],
                                  [4, 4, 1, 4])[0]
        return {"copy_in": self.copy_in, "cut": cut, "steps": self.steps}


def speaks_in_data(steps):
    """Whether something stands behind CopyData that nothing ended: see tests/data/differential/known. Where
    the COPY has failed, and the proxy has not heard of it, it ends the connection."""
    in_data = False
    for kind in (step[0] for step in steps):
        if kind in ("copy_data", "copy_done", "copy_fail"):
            in_data = kind == "copy_data"
        elif kind not in ("flush", "pause") and in_data:
            return True
    return False


def crashes_postgresql(steps):
    """What may crash PostgreSQL 15 itself: Execute or Describe of the unnamed portal that a Query has left
    behind finds statements that were freed. And DISCARD ALL in a pipeline."""
    bound = False
    for before, step in zip([["none"], *steps], steps):
        if step[0] == "bind" and step[1] == "":
            bound = True
        elif step[0] in ("query", "call", "sync"):
            bound = False
        if step == ["query", DISCARD] and before[0] != "sync":
            return True
        if not bound and (step[:2] == ["execute", ""] or step == ["describe", "P", ""]):
            return True
    return False


def conversation(seed, copy_in):
    chance = random.Random(seed)
    while True:
        found = Grammar(chance, copy_in).conversation()
        if not speaks_in_data(found["steps"]) and not crashes_postgresql(found["steps"]):
            return found
