"""Statements about the session: its settings, what it has prepared, who it is."""
import re

from support.walk import Violation
from support.walk.operation import Operation, quote
from support.walk.ops_rows import COLUMNS, LIST, is_thing, things
from support.walk.settings import (ALL_SQL, BY_NAME, HIDDEN, NAMES, SETTINGS, SHORT_TIMEOUT,
                                   TIMEOUT)

OWN_NAMES = re.compile(r"reeve_[0-9a-f]{16}")  # the proxy's, of what Parse has made
LIKE_OWN = "reeve_"
HIDDEN_NAME = "hidden"  # prepared in a block's text: see ops_hidden.py


def dollar(value):
    """A literal within a DO block."""
    return f"$q${value}$q$"


# ---- settings ----

# (weight, text with {name}, {value} as a literal, {inner} as one within a DO block; local?)
SPELLINGS = (
    (8, "SET {name} TO {value}", False),
    (3, "SET SESSION {name} = {value}", False),
    (5, "SET LOCAL {name} TO {value}", True),
    (2, "/* ; */ set /* x */ {name} = {value}", False),
    (1, ";; SET {name} TO {value}", False),
    (4, "SELECT set_config('{name}', {value}, false)", False),
    (3, "SELECT set_config('{name}', {value}, true)", True),
    (2, 'SELECT * FROM pg_catalog . "set_config" (\'{name}\', {value}, false)', False),
    (2, "DO $d$ BEGIN PERFORM set_config('{name}', {inner}, false); END $d$", False),
    (2, "DO $d$ BEGIN PERFORM set_config('{name}', {inner}, true); END $d$", True),
    (2, "DO $d$ BEGIN EXECUTE 'SET {name} = ' || quote_literal({inner}); END $d$", False),
    (1, "EXPLAIN (ANALYZE, COSTS off, TIMING off, SUMMARY off)"
        " SELECT set_config('{name}', {value}, false)", False),
    (1, "COPY (SELECT set_config('{name}', {value}, false)) TO STDOUT", False),
    (1, "WITH w AS (SELECT set_config('{name}', {value}, false) AS v) SELECT v FROM w", False),
)
# search_path is a list of names to SET, and a text to set_config.
NO_LIST = [spelling for spelling in SPELLINGS if "set_config" in spelling[1]]


class Set(Operation):
    sure = True
    weight = 16
    takes_snapshot = False

    def __init__(self, name, value, text, local):
        super().__init__()
        self.name, self.value, self.local = name, value, local
        self.sql = text.format(name=name, value=quote(value), inner=dollar(value))

    def __repr__(self):
        return self.sql

    @classmethod
    def make(cls, plan):
        setting = plan.dice.choices(SETTINGS, [setting.weight for setting in SETTINGS])[0]
        value = plan.fill(setting, plan.dice.choice(setting.values))
        spellings = NO_LIST if setting.name == "search_path" else SPELLINGS
        _, text, local = plan.dice.choices(spellings, [weight for weight, *_ in spellings])[0]
        return cls(setting.name, value, text, local)

    def effect(self, session, result, when):
        session.settings.set(self.name, self.value, self.local)


class SetByParameters(Operation):
    """Name and value as parameters, or said by name of a prepared statement."""

    sure = True
    sql = "SELECT set_config($1, $2, $3)"
    columns = ("text",)
    weight = 3
    nameable = True

    @classmethod
    def make(cls, plan):
        setting = plan.dice.choice(SETTINGS)
        value = plan.fill(setting, plan.dice.choice(setting.values))
        return cls(("text", setting.name), ("text", value), ("bool", plan.dice.random() < 0.3))

    def check(self, session, result, when):
        self.want(self.one(result), (self.values[1][1],))

    def effect(self, session, result, when):
        (_, name), (_, value), (_, local) = self.values
        session.settings.set(name, value, local)


class SetHidden(Operation):
    """In a spelling that shows neither that something is set nor what."""

    sure = True
    weight = 3
    texts = ("SELECT U&\"set\\005Fconfig\"('walk' || '.hidden', {value}, false)",
             "SELECT U&\"set!005Fconfig\" UESCAPE '!' ({name}, {value}, false)",
             "DO $d$ BEGIN EXECUTE 'SELECT ' || 'set' || '_config(''walk' || '.hidden'', '''"
             " || {inner} || ''', false)'; END $d$")

    def __init__(self, text, value):
        super().__init__()
        self.sql = text.format(name=quote(HIDDEN), value=quote(value), inner=dollar(value))

    @classmethod
    def make(cls, plan):
        return cls(plan.dice.choice(cls.texts), plan.new_body())


class ShowHidden(Operation):
    """Whose it is the marks say."""

    sure = True
    sql = f"SELECT current_setting('{HIDDEN}', true)"
    columns = ("text",)
    weight = 3


class SetTimeZone(Set):
    weight = 1

    @classmethod
    def make(cls, plan):
        return cls("TimeZone", plan.dice.choice(BY_NAME["TimeZone"].values),
                   "SET TIME ZONE {value}", False)


class SetNames(Set):
    weight = 1

    @classmethod
    def make(cls, plan):
        return cls("client_encoding", plan.dice.choice(BY_NAME["client_encoding"].values),
                   "SET NAMES {value}", False)


class Reset(Operation):
    sure = True
    weight = 6
    takes_snapshot = False

    def __init__(self, text, name):
        super().__init__()
        self.name = name
        self.sql = text.format(name=name)

    def __repr__(self):
        return self.sql

    @classmethod
    def make(cls, plan):
        return cls(plan.dice.choice(["RESET {name}", "SET {name} TO DEFAULT"]),
                   plan.dice.choice(NAMES))

    def effect(self, session, result, when):
        session.settings.reset(self.name)


class ResetAll(Operation):
    sure = True
    sql = "RESET ALL"
    weight = 2
    takes_snapshot = False

    def effect(self, session, result, when):
        session.settings.reset_all()


class Show(Operation):
    weight = 4
    takes_snapshot = False
    columns = ("text",)

    def __init__(self, name):
        super().__init__()
        self.name = name
        self.sql = f"SHOW {name}"

    @classmethod
    def make(cls, plan):
        return cls(plan.dice.choice(NAMES))

    def refused(self, session):
        return set()

    def may_fail(self, session):
        # A name with a dot that nobody has set on this server connection.
        return {"42704"} if None in session.settings.now(self.name) else set()

    def check(self, session, result, when):
        value = self.one(result)[0]
        if value not in session.settings.now(self.name):
            raise Violation(f"SHOW {self.name}: {value!r}, not {session.settings.now(self.name)}")


class ShowAll(Operation):
    """Every setting that the walk changes, in one statement."""

    sure = True
    sql = ALL_SQL
    columns = ("text",) * len(NAMES)
    weight = 16
    nameable = True

    def check(self, session, result, when):
        for name, value in zip(NAMES, self.one(result)):
            if value not in session.settings.now(name):
                raise Violation(f"setting {name} is {value!r}, not {session.settings.now(name)}")


class ShowChanged(Operation):
    """What pg_settings says was set in this session."""

    sure = True
    sql = "SELECT name FROM pg_settings WHERE source = 'session'"
    columns = ("text",)
    weight = 3

    def check(self, session, result, when):
        ours = {name.lower() for name in NAMES} | {"transaction_read_only", "transaction_isolation",
                                                    "transaction_deferrable", "role", HIDDEN}
        stray = {name for (name,) in self.rows(result) if name.lower() not in ours}
        if stray:
            raise Violation(f"settings that nobody of this tenant has set: {stray}")


class ShortTimeout(Operation):
    """For the transaction. What follows in it may fail, and what sleeps must."""

    sure = True
    sql = f"SET LOCAL {TIMEOUT} = '{SHORT_TIMEOUT}'"
    weight = 2
    needs = ("transaction",)
    takes_snapshot = False

    def effect(self, session, result, when):
        session.settings.set(TIMEOUT, SHORT_TIMEOUT, local=True)


class ShortTimeoutForLong(Operation):
    """For the session. Every statement may fail from here on, so the client does not stay long."""

    sql = f"SET {TIMEOUT} = '{SHORT_TIMEOUT}'"
    weight = 1
    needs = ("pins",)
    pins = True
    takes_snapshot = False

    def effect(self, session, result, when):
        session.settings.set(TIMEOUT, SHORT_TIMEOUT)


class SleepTooLong(Operation):
    always_fails = True
    sql = "SELECT pg_sleep(0.01), 'never'"
    columns = ("text", "text")
    weight = 3
    needs = ("short timeout",)

    def refused(self, session):
        return {"57014"} if session.settings.now(TIMEOUT) == {SHORT_TIMEOUT} else set()


# ---- prepared by SQL ----


def is_reserved(session, name):
    """In a session that is shared."""
    return {"42939"} if session.tenant.rules.guarded and name.startswith(LIKE_OWN) else set()


class Prepare(Operation):
    weight = 1
    takes_snapshot = False
    pins = True
    needs = ("pins",)
    # Names of the client's own, and such as a proxy may use for its statements.
    names = ("by_sql", "also_by_sql", "reeve_1", "reeve_7")

    def __init__(self, name):
        super().__init__()
        self.name = name
        self.sql = f"PREPARE {name} (text) AS SELECT {LIST} FROM thing WHERE name LIKE $1 || '%'"

    def __repr__(self):
        return f"PREPARE {self.name}"

    @classmethod
    def make(cls, plan):
        name = plan.dice.choice(cls.names)
        plan.sql_names.add(name)
        return cls(name)

    def refused(self, session):
        return is_reserved(session, self.name) or (
            {"42P05"} if self.name in session.prepared else set())

    def effect(self, session, result, when):
        session.prepared[self.name] = SqlExecute


class SqlExecute(Operation):
    columns = COLUMNS
    weight = 4
    needs = ("prepared by SQL",)

    def __init__(self, name, slot):
        super().__init__()
        self.name = name
        self.sql = f"EXECUTE {name} ('{slot}-')"

    def __repr__(self):
        return f"EXECUTE {self.name}"

    @classmethod
    def make(cls, plan):
        return cls(plan.dice.choice(sorted(plan.sql_names)), plan.client.slot)

    def refused(self, session):
        return is_reserved(session, self.name) or (
            set() if self.name in session.prepared else {"26000"})

    def check(self, session, result, when):
        prefix = f"{session.slot}-"
        session.compare(things(self.rows(result)),
                        lambda key: is_thing(key) and key[1].startswith(prefix), str(self), when)


class Deallocate(Operation):
    """By name, of what PREPARE has made, or of nobody's."""

    weight = 2
    takes_snapshot = False

    def __init__(self, name):
        super().__init__()
        self.name = name
        self.sql = f"DEALLOCATE {name}"

    def __repr__(self):
        return self.sql

    @classmethod
    def names(cls, plan):
        return [*sorted(plan.sql_names), "nobodys", "reeve_1", "reeve_2", "reeve_33"]

    @classmethod
    def make(cls, plan):
        names = cls.names(plan)
        return names and cls(plan.dice.choice(names))

    def _known(self, session):
        return self.name in session.prepared or self.name in session.wire

    def refused(self, session):
        return set() if self._known(session) else {"26000"}

    def may_fail(self, session):
        # What looks like a name of the proxy's own is nobody's, also when SQL has made it.
        made_by_sql = self.name in session.prepared and self.name.startswith(LIKE_OWN)
        return {"26000"} if made_by_sql else set()

    def effect(self, session, result, when):
        session.prepared.pop(self.name, None)
        session.wire.pop(self.name, None)


class DeallocateParsed(Deallocate):
    """Of what Parse has made."""

    @classmethod
    def names(cls, plan):
        return sorted(plan.wire_names)


class DeallocateAll(Operation):
    sql = "DEALLOCATE ALL"
    weight = 1
    takes_snapshot = False

    def effect(self, session, result, when):
        session.prepared.clear()
        session.wire.clear()


class DiscardAll(Operation):
    sql = "DISCARD ALL"
    weight = 2
    takes_snapshot = False
    alone = True

    def refused(self, session):
        return {"25001"} if session.tx.explicit else set()

    def effect(self, session, result, when):
        session.discard(when)


class DiscardPlans(Operation):
    sure = True
    sql = "DISCARD PLANS"
    weight = 1
    takes_snapshot = False


class PreparedStatements(Operation):
    """No name of another client but the proxy's own. (Nor a text of another tenant: the marks.)"""

    sure = True
    sql = "SELECT name, statement, from_sql FROM pg_prepared_statements"
    columns = ("text", "text", "bool")
    weight = 5

    @classmethod
    def make(cls, plan):
        made = cls()
        made.sure = plan.client.tenant.rules.sees_prepared
        return made

    def refused(self, session):
        return set() if session.tenant.rules.sees_prepared else {"42501"}

    def check(self, session, result, when):
        for name, text, from_sql in self.rows(result):
            if from_sql and name not in session.prepared and name != HIDDEN_NAME:
                raise Violation(f"a prepared statement of somebody else: {name}: {text}")
            if not from_sql and name not in session.wire and not OWN_NAMES.fullmatch(name):
                raise Violation(f"a prepared statement that this client has not: {name}: {text}")


class Activity(Operation):
    """Texts of neighbours would be found by their marks."""

    sure = True
    sql = "SELECT query FROM pg_stat_activity WHERE query LIKE '%@w%'"
    columns = ("text",)
    weight = 3


class WhoAmI(Operation):
    sure = True
    sql = ("SELECT session_user::text, current_user::text, current_database()::text,"
           " current_schemas(false)::text")
    columns = ("text",) * 4
    weight = 4
    nameable = True

    def check(self, session, result, when):
        self.want(self.one(result), session.tenant.identity(), "identity")
