"""Statements with which a session would get hold of more than its own, or leave more behind than the
words of its texts show."""
import datetime

from support.walk import Violation
from support.walk.operation import Operation, quote
from support.walk.ops_session import HIDDEN_NAME, dollar
from support.walk.settings import DATE_STYLE

FIRST_HIDDEN_KEY = 1000  # of advisory locks, above all others


def hidden(statement):
    """In the text of a block, of which no proxy knows what it runs."""
    return f"DO $d$ BEGIN EXECUTE {dollar(statement)}; END $d$"


def hidden_key(tenant):
    return FIRST_HIDDEN_KEY + tenant.walk.tenants.index(tenant)


# ---- who it is ----

class ResetRole(Operation):
    """Nothing changes: a session has no other role to go back to, as WhoAmI says."""

    sure = True
    weight = 4
    takes_snapshot = False
    texts = ("RESET ROLE", "SET ROLE NONE", "SET LOCAL ROLE NONE", "RESET SESSION AUTHORIZATION",
             "SET SESSION AUTHORIZATION DEFAULT", hidden("RESET ROLE"),
             "SELECT set_config('role', 'none', false)")

    def __init__(self, text):
        super().__init__()
        self.sql = text

    def __repr__(self):
        return self.sql

    @classmethod
    def make(cls, plan):
        return cls(plan.dice.choice(cls.texts))


class ChangeItself(ResetRole):
    """What PostgreSQL lets a role do to itself, and the guard does not: the role may be others' too."""

    sure = False
    always_fails = True
    weight = 2
    texts = ("ALTER ROLE CURRENT_USER SET work_mem = '5MB'", "ALTER ROLE CURRENT_USER PASSWORD 'mine'",
             "ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO PUBLIC",
             hidden("ALTER ROLE CURRENT_USER RESET ALL"))

    @classmethod
    def make(cls, plan):
        return super().make(plan) if plan.client.tenant.rules.guarded else None

    def refused(self, session):
        return {"42501"}


# ---- what it leaves behind ----

class HiddenPrepare(Operation):
    """Stays in the server session: for the same tenant's other clients, for nobody else's."""

    weight = 2
    takes_snapshot = False

    def __init__(self, mark):
        super().__init__()
        self.sql = hidden(f"PREPARE {HIDDEN_NAME} AS SELECT {quote(mark)}::text")

    @classmethod
    def make(cls, plan):
        return cls(plan.client.tenant.mark)

    def may_fail(self, session):
        return {"42P05"}


class HiddenExecute(Operation):
    sql = f"EXECUTE {HIDDEN_NAME}"
    columns = ("text",)
    weight = 2

    def may_fail(self, session):
        return {"26000"}

    def check(self, session, result, when):
        self.want(self.rows(result), [(session.tenant.mark,)])


class HiddenLock(Operation):
    """A session's advisory lock with a key of the tenant's, which stays likewise."""

    columns = ("bool",)
    weight = 2
    nameable = True
    sql = 'SELECT U&"pg_try\\005Fadvisory\\005Flock"($1)'

    @classmethod
    def make(cls, plan):
        return cls(("int8", hidden_key(plan.client.tenant)))

    def refused(self, session):
        return set() if session.tenant.rules.locks_keys else {"42501"}


class OwnLocks(Operation):
    """What this server session holds is the tenant's."""

    sure = True
    columns = ("int8",)
    weight = 2
    sql = ("SELECT objid::int8 FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()"
           f" AND objid::int8 >= {FIRST_HIDDEN_KEY}")

    def check(self, session, result, when):
        others = {key for (key,) in self.rows(result)} - {hidden_key(session.tenant)}
        if others:
            raise Violation(f"{self}: locks of somebody else: {others}")


class HiddenListen(Operation):
    """Where it works, nothing comes of it: see Notify. The guard refuses it where it is not to be seen."""

    sql = hidden("LISTEN walk")
    weight = 1
    takes_snapshot = False

    @classmethod
    def make(cls, plan):
        return cls() if plan.client.tenant.rules.is_tenant else None

    def refused(self, session):
        return {"0A000"} if session.tenant.rules.guarded else set()


class SetHiddenDateStyle(Operation):
    """Until the transaction ends, in a spelling that does not show it."""

    sure = True
    weight = 2
    needs = ("transaction",)

    def __init__(self, value):
        super().__init__()
        self.value = value
        self.sql = f"SELECT U&\"set\\005Fconfig\"('Date' || 'Style', {quote(value)}, true)"

    @classmethod
    def make(cls, plan):
        value = plan.dice.choice(["SQL, DMY", "ISO, YMD"])
        plan.client.tenant.asked_dates.add(value)
        return cls(value)

    def effect(self, session, result, when):
        session.settings.set(DATE_STYLE, self.value, local=True)


class ReadDate(Operation):
    """A literal has the meaning that DateStyle gave it when the statement was parsed, or, since a
    statement may be parsed again, at any time since the login; never a neighbour's. Clients of one
    tenant may get it as another of them had it, unseen, in a transaction: see src/proxy/prepare.h."""

    sure = True
    sql = "SELECT ('03/04/05'::date - '2000-01-01'::date)::int8"
    columns = ("int8",)
    weight = 4
    nameable = is_everybodys = True
    dates = {"MDY": datetime.date(2005, 3, 4), "DMY": datetime.date(2005, 4, 3),
             "YMD": datetime.date(2003, 4, 5)}

    def parsed(self, session):
        session.settings.dates |= session.settings.now(DATE_STYLE)

    def check(self, session, result, when):
        styles = session.settings.dates | session.settings.now(DATE_STYLE)
        if not session.tenant.rules.own_meanings:
            styles |= session.tenant.asked_dates
        orders = {style.split(", ")[1] for style in styles}
        allowed = {(self.dates[order] - datetime.date(2000, 1, 1)).days for order in orders}
        number = self.one(result)[0]
        if number not in allowed:
            self.want(number, f"one of {allowed}", "a date")


# ---- locks of tables ----

class LockTable(Operation):
    """In a mode that stops nobody."""

    weight = 2
    needs = ("transaction",)
    mode = "ROW EXCLUSIVE"

    def __init__(self, table):
        super().__init__()
        self.sql = f"LOCK TABLE {table} IN {self.mode} MODE"

    @classmethod
    def make(cls, plan):
        return cls(plan.dice.choice(["thing", "part"]))

    def may_fail(self, session):
        return set() if session.tx.explicit else {"25P01"}


class LockWholeTable(LockTable):
    """In one that stops all tenants who share the table: where it is not refused it is not tried."""

    always_fails = True
    weight = 2
    needs = ()
    mode = "SHARE ROW EXCLUSIVE"

    @classmethod
    def make(cls, plan):
        return None if plan.client.tenant.rules.locks_tables else super().make(plan)

    def refused(self, session):
        return {"42501"}
