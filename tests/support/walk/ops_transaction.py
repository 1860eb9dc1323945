"""Transactions and savepoints."""
from support.walk import Violation
from support.walk.operation import Operation
from support.walk.settings import ISOLATION, READ_ONLY

SAVEPOINTS = ("one", "two", "three")


class Control(Operation):
    transactional = False
    takes_snapshot = False

    def want_tag(self, result, *tags):
        if result.tag not in tags:
            raise Violation(f"{self}: {result.tag}, not {tags}")


class Begin(Control):
    sure = True
    sql = "BEGIN"
    weight = 12
    needs = ("no transaction",)
    read_only = isolation = None

    def may_fail(self, session):
        return {"25001"} if session.tx and self.isolation else set()

    def check(self, session, result, when):
        self.want_tag(result, "BEGIN", "START TRANSACTION")

    def effect(self, session, result, when):
        session.begin(when, True, self.read_only, self.isolation)


class Start(Begin):
    sql = "START /* not BEGIN */ TRANSACTION READ WRITE"
    weight = 2
    read_only = False


class BeginReadOnly(Begin):
    sql = "BEGIN TRANSACTION READ ONLY"
    weight = 1
    read_only = True


class BeginRepeatableRead(Begin):
    sql = "BEGIN ISOLATION LEVEL REPEATABLE READ"
    weight = 4
    isolation = "repeatable read"


class BeginSerializable(Begin):
    sql = "BEGIN ISOLATION LEVEL SERIALIZABLE"
    weight = 1
    isolation = "serializable"


class End(Control):
    """The transaction ends."""

    sure = True
    in_failed = True
    needs = ("transaction",)
    commits = True
    chains = False

    def refused(self, session):
        # AND CHAIN alone says that there must be a transaction block.
        return {"25P01"} if self.chains and not (session.tx and session.tx.explicit) else set()

    def failed(self, session):
        if session.tx:
            session.tx.maybe_over = True

    def check(self, session, result, when):
        good = self.commits and not (session.tx and session.tx.failed)
        self.want_tag(result, "COMMIT" if good else "ROLLBACK")

    def effect(self, session, result, when):
        tx = session.tx
        if not tx:
            return
        if self.commits and not tx.failed:
            session.commit(when)
        else:
            session.roll_back(when)
        if self.chains and tx.failed:
            # PostgreSQL's versions differ in what of the failed one's characteristics is kept.
            session.begin(when, True)
            session.tx.read_only = session.tx.isolation = None
        elif self.chains:
            session.begin(when, True, tx.read_only, tx.isolation)


class Commit(End):
    sql = "COMMIT"
    weight = 14


class EndWord(End):
    sql = "END TRANSACTION"
    weight = 2


class CommitAndChain(End):
    sql = "COMMIT AND CHAIN"
    weight = 1
    chains = True


class Rollback(End):
    sql = "ROLLBACK"
    weight = 6
    commits = False


class Abort(End):
    sql = "ABORT"
    weight = 1
    commits = False


class RollbackAndChain(End):
    sql = "ROLLBACK AND CHAIN"
    weight = 1
    commits = False
    chains = True


class OnSavepoint(Control):
    needs = ("transaction",)
    word = ""

    def __init__(self, name="one"):
        super().__init__()
        self.name = name
        self.sql = f"{self.word} {name}"

    def __repr__(self):
        return self.sql

    @classmethod
    def make(cls, plan):
        return cls(plan.dice.choice(SAVEPOINTS))

    @staticmethod
    def one_that_is_set(plan):
        known = plan.savepoints if plan.dice.random() < 0.9 else None
        return plan.dice.choice(known or SAVEPOINTS)

    def refused_early(self, session):
        if not session.tx:
            return {"25P01"}
        return set()

    def refused(self, session):
        return set() if session.tx.explicit else {"25P01"}


class SetSavepoint(OnSavepoint):
    sure = True
    word = "SAVEPOINT"
    weight = 7

    def effect(self, session, result, when):
        session.set_savepoint(self.name)


class Release(OnSavepoint):
    word = "RELEASE SAVEPOINT"
    weight = 3

    @classmethod
    def make(cls, plan):
        return cls(cls.one_that_is_set(plan))

    def refused(self, session):
        found = super().refused(session)
        return found or ({"3B001"} if session.find_savepoint(self.name) is None else set())

    def effect(self, session, result, when):
        session.release(session.find_savepoint(self.name))


class RollbackTo(Release):
    word = "ROLLBACK TO SAVEPOINT"
    weight = 6
    in_failed = True

    def effect(self, session, result, when):
        session.roll_back_to(session.find_savepoint(self.name))


class ShowTransaction(Operation):
    """What the transaction is, which a server connection keeps from nobody."""

    sure = True
    sql = "SELECT current_setting('transaction_isolation'), current_setting('transaction_read_only')"
    columns = ("text", "text")
    weight = 2
    nameable = True

    def check(self, session, result, when):
        tx = session.tx
        if tx.isolation is None:
            return
        self.want(self.one(result), (tx.isolation, "on" if tx.read_only else "off"))


class Characteristics(Operation):
    """SET SESSION CHARACTERISTICS, which says nothing of the settings' names."""

    sure = True
    weight = 1
    takes_snapshot = False

    def __init__(self, words, name, value):
        super().__init__()
        self.name, self.value = name, value
        self.sql = f"SET SESSION CHARACTERISTICS AS TRANSACTION {words}"

    @classmethod
    def make(cls, plan):
        return cls(*plan.dice.choice([
            ("ISOLATION LEVEL READ COMMITTED", ISOLATION, "read committed"),
            ("ISOLATION LEVEL REPEATABLE READ", ISOLATION, "repeatable read"),
            ("READ WRITE", READ_ONLY, "off"), ("READ ONLY", READ_ONLY, "on")]))

    def effect(self, session, result, when):
        session.settings.set(self.name, self.value)


class Sleep(Operation):
    """Something to cancel."""

    sure = True
    sql = "SELECT pg_sleep($1)::text"
    columns = ("text",)
    weight = 3
    nameable = True

    @classmethod
    def make(cls, plan):
        return cls(("float8", plan.dice.choice([0.001, 0.02, 0.05, 0.2])))

    def check(self, session, result, when):
        self.want(self.rows(result), [("",)])
