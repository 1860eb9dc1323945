"""Statements about what a session leaves behind, and about what is refused or fails."""
from support.walk import Violation
from support.walk.operation import Operation, quote
from support.walk.ops_rows import COLUMNS, LIST, is_thing, things
from support.walk.ops_session import dollar
from support.walk.settings import NO_NOTICES

ADVISORY_KEYS = 4
CURSORS = ("c1", "c2")


# ---- cursors ----

class Cursor:
    def __init__(self, name, hold, view, snapshot):
        self.name, self.hold = name, hold
        self.view, self.snapshot = view, snapshot
        self.rows = []
        self.damaged = False


class Declare(Operation):
    weight = 4
    needs = ("transaction",)
    hold = False
    word = ""

    def __init__(self, name):
        super().__init__()
        self.name = name
        self.sql = f"DECLARE {name} CURSOR {self.word}FOR SELECT {LIST} FROM thing"

    def __repr__(self):
        return f"DECLARE {self.name} {self.word}"

    @classmethod
    def make(cls, plan):
        return cls(plan.dice.choice(CURSORS))

    def refused(self, session):
        return {"42P03"} if session.cursor(self.name) else set()

    def may_fail(self, session):
        # In an implicit transaction: by the number of statements in the message.
        return {"25P01"} if not (session.tx.explicit or self.hold) else set()

    def effect(self, session, result, when):
        session.add_cursor(Cursor(self.name, self.hold, session.view(), session.snapshot(when)))


class DeclareWithHold(Declare):
    weight = 1
    needs = ("pins",)
    pins = True
    hold = True
    word = "with hold"

    def __init__(self, name):
        super().__init__(name)
        self.sql = f"DECLARE {name} NO SCROLL CURSOR WITH HOLD FOR SELECT {LIST} FROM thing"


class Fetch(Operation):
    columns = COLUMNS
    weight = 6
    needs = ("cursors",)
    takes_snapshot = False

    def __init__(self, name, count):
        super().__init__()
        self.name, self.count = name, count
        self.sql = f"FETCH {count} FROM {name}"

    def __repr__(self):
        return self.sql

    @classmethod
    def make(cls, plan):
        return cls(plan.dice.choice(CURSORS), plan.dice.choice([1, 3, 10, "ALL"]))

    def refused(self, session):
        return set() if session.cursor(self.name) else {"34000"}

    def may_fail(self, session):
        cursor = session.cursor(self.name)
        return {"34000", "55000"} if cursor and cursor.damaged else set()

    def failed(self, session):
        cursor = session.cursor(self.name)
        if cursor:
            cursor.damaged = True

    def check(self, session, result, when):
        cursor = session.cursor(self.name)
        rows = self.rows(result)
        if cursor.damaged:
            return
        cursor.rows += rows
        found = things(cursor.rows)
        over = self.count == "ALL" or len(rows) < self.count
        session.compare(found, lambda key: over and is_thing(key) or key in found, str(self), when,
                        cursor.view, cursor.snapshot)

    def effect(self, session, result, when):
        if result is None:
            session.cursor(self.name).damaged = True


class CloseCursor(Fetch):
    weight = 2
    columns = ()

    def __init__(self, name, _count):
        super().__init__(name, 0)
        self.sql = f"CLOSE {name}"

    def check(self, session, result, when):
        pass

    def effect(self, session, result, when):
        session.close_cursor(self.name)


class Cursors(Operation):
    """No cursor of anybody else; portals that were bound are in the list by the tenant's mark."""

    sure = True
    sql = "SELECT name, statement FROM pg_cursors WHERE name <> ''"
    columns = ("text", "text")
    weight = 3
    nameable = True

    def check(self, session, result, when):
        for name, text in self.rows(result):
            if not session.cursor(name) and session.tenant.mark not in name:
                raise Violation(f"a cursor of somebody else: {name}: {text}")


# ---- sequences and numbers ----

class Currval(Operation):
    """Within the transaction it is this client's last; else nobody's, or its tenant's."""

    sql = "SELECT currval(pg_get_serial_sequence('thing', 'id')), lastval()"
    columns = ("int8", "int8")
    weight = 4
    nameable = True

    @staticmethod
    def _is_known(session):
        return session.tx.last_id not in (None, "?")

    def may_fail(self, session):
        return set() if self._is_known(session) else {"55000"}

    def check(self, session, result, when):
        found = self.one(result)
        if self._is_known(session):
            self.want(found[0], session.tx.last_id, "currval")
        session.tenant.check_id(found[0], str(self))


class SetSeed(Operation):
    sure = True
    sql = "SELECT setseed($1)::text"
    columns = ("text",)
    weight = 2
    nameable = True

    @classmethod
    def make(cls, plan):
        return cls(("float8", plan.dice.choice(sorted(plan.client.tenant.seeds))))

    def failed(self, session):
        if session.tx:
            session.tx.seed = None

    def effect(self, session, result, when):
        session.tx.seed = list(session.tenant.seeds[self.values[0][1]])


class Random(Operation):
    """After this client's setseed in the same transaction its numbers; never those of a neighbour's
    seed."""

    sure = True
    sql = "SELECT floor(random() * 1e15)::int8"
    columns = ("int8",)
    weight = 4

    def check(self, session, result, when):
        number = self.one(result)[0]
        if session.tx.seed:
            self.want(number, session.tx.seed.pop(0), "random")
        session.tenant.check_random(number, str(self))

    def failed(self, session):
        if session.tx:
            session.tx.seed = None

    def effect(self, session, result, when):
        if result is None:
            session.tx.seed = None


# ---- locks ----

class TryLock(Operation):
    sure = True
    columns = ("bool",)
    sql = "SELECT pg_try_advisory_lock($1)"
    weight = 1
    pins = True
    needs = ("pins",)
    holding = None

    @classmethod
    def make(cls, plan):
        made = cls(("int8", plan.dice.randrange(ADVISORY_KEYS)))
        made.sure = plan.client.tenant.rules.locks_keys
        return made

    def refused(self, session):
        return set() if session.tenant.rules.locks_keys else {"42501"}

    def asked(self, session, now):
        """The statement is on its way."""
        self.holding = session.tenant.locks.asked(session, self.values[0][1], now)

    def dropped(self, session):
        """It never ran, or failed."""
        session.tenant.locks.forget(self.holding)

    def failed(self, session):
        if session.excused:
            self.keep(session)  # it may have been taken before the error
        else:
            self.dropped(session)

    def check(self, session, result, when):
        if self.one(result)[0]:
            session.tenant.locks.got(self.holding, when.done)
            self.keep(session)
        else:
            session.tenant.locks.refused(self.holding, when.done)

    def keep(self, session):
        pass


class TryLockInTransaction(TryLock):
    sql = "SELECT pg_try_advisory_xact_lock($1)"
    weight = 3
    pins = False
    needs = ()

    def keep(self, session):
        session.tx.locks.append(self.holding)

    def effect(self, session, result, when):
        if result is None:
            self.keep(session)


class UnlockAll(Operation):
    sure = True
    sql = "SELECT pg_advisory_unlock_all()::text"
    columns = ("text",)
    weight = 1
    needs = ("pins",)
    pins = True

    def effect(self, session, result, when):
        in_transaction = set(session.tx.locks) if session.tx else set()
        session.tenant.locks.give_up(session, when, but=in_transaction)


# ---- what is refused, or means nothing here ----

class TemporaryTable(Operation):
    always_fails = True
    sql = "CREATE TEMP TABLE scratch AS SELECT 1 AS n"
    weight = 2
    takes_snapshot = False
    writes = True

    @classmethod
    def make(cls, plan):
        rules = plan.client.tenant.rules
        made = cls()
        made.writes = not rules.guarded  # the guard refuses it in front of all else
        return made if rules.is_tenant else None

    def refused(self, session):
        return {"42501"}


class ShadowTable(TemporaryTable):
    """A table of one's own in front of the real one."""

    sql = "CREATE TEMP TABLE thing (name text, amount int, body text, data bytea)"
    weight = 1


class Listen(Operation):
    """Where it is refused: integration/test_listen.py has the others."""

    always_fails = True
    sql = "LISTEN walk"
    weight = 1
    takes_snapshot = False

    @classmethod
    def make(cls, plan):
        rules = plan.client.tenant.rules
        return cls() if rules.is_tenant and not rules.listens else None

    def refused(self, session):
        return {"0A000"}


class Notify(Operation):
    """Heard by nobody: a notification that comes is a violation wherever it comes."""

    sure = True
    weight = 2
    takes_snapshot = False

    def __init__(self, payload):
        super().__init__()
        self.sql = f"NOTIFY walk, {quote(payload)}"

    @classmethod
    def make(cls, plan):
        return cls(plan.new_body())


class Notice(Operation):
    """Comes back to the one who raised it."""

    sure = True
    weight = 3

    def __init__(self, text):
        super().__init__()
        self.text = text
        self.sql = f"DO $d$ BEGIN RAISE NOTICE '%', {dollar(text)}; END $d$"

    @classmethod
    def make(cls, plan):
        return cls(plan.new_body())

    def check(self, session, result, when):
        if session.settings.is_now(NO_NOTICES, "error"):
            return
        texts = [notice.fields["M"] for notice in result.notices]
        if self.text not in texts:
            raise Violation(f"a notice was lost: {self.text} is not in {texts}")


class Fail(Operation):
    """Errors of many kinds, at many stages."""

    always_fails = True
    weight = 8
    kinds = (("SELECT 1/0", "22012"), ("SELECT 1/(random() * 0)::int", "22012"),
             ("SELECT 'x'::text::int8", "22P02"), ("SELECT nothing FROM thing", "42703"),
             ("SELECT * FROM no_such_table", "42P01"), ("SELECT no_such_function()", "42883"),
             ("DO $d$ BEGIN RAISE EXCEPTION '%', {own} USING ERRCODE = 'XY123'; END $d$", "XY123"),
             ("TRUNCATE thing, part", None), ("CREATE TABLE mine (i int)", None),
             ("ALTER TABLE thing DISABLE ROW LEVEL SECURITY", None),
             ("SET ROLE pg_monitor", None), ("SET no_such_setting = 1", "42704"),
             ("SET SESSION AUTHORIZATION pg_monitor", None))

    def __init__(self, text, sqlstate):
        super().__init__()
        self.sql, self.sqlstate = text, sqlstate

    def __repr__(self):
        return f"Fail[{self.sql[:50]}]"

    @classmethod
    def make(cls, plan):
        kinds = [kind for kind in cls.kinds
                 if kind[1] or plan.client.tenant.rules.is_tenant]
        text, sqlstate = plan.dice.choice(kinds)
        return cls(text.replace("{own}", dollar(plan.new_body())), sqlstate or "42501")

    def failed(self, session):
        if session.tx:
            session.tx.seed = None  # one of them draws a random number

    def refused(self, session):
        found = {self.sqlstate}
        if self.sqlstate == "42501" and session.tx and session.tx.read_only:
            found.add("25006")
        return found


class BadSyntax(Operation):
    always_fails = True
    sql = "SELEKT 1"
    weight = 2
    alone = True  # in a simple query it fails the whole message before anything has run

    def refused_early(self, session):
        return {"42601"}


class Empty(Operation):
    sql = ""
    weight = 1
    transactional = False
    takes_snapshot = False
    in_failed = True
    simple_only = True
    alone = True
