"""One connection as PostgreSQL would have it: what each answer must be, given the ones before."""
import dataclasses
import struct

from support.walk import Violation
from support.walk.journal import NEVER, Group, Read, slot_of
from support.walk.settings import ISOLATION, READ_ONLY, SHORT_TIMEOUT, TIMEOUT, Settings

CANCELED = "57014"
ABORTED = "25P02"
SERIALIZATION = "40001"
READ_ONLY_STATE = "25006"


@dataclasses.dataclass
class When:
    """When a step was sent, and when its answer had come. `done` is NEVER for one whose client went
    away: nobody knows what became of it."""

    sent: float
    done: float
    step: int

    @property
    def known(self):
        return self.done != NEVER


@dataclasses.dataclass
class Savepoint:
    name: str
    overlay: dict
    settings: dict
    cursors: set
    locks: int


@dataclasses.dataclass(eq=False)
class Transaction:
    explicit: bool
    read_only: bool  # None: not known
    isolation: str  # None: not known
    begun: float  # when its first statement was sent
    settings: dict  # as they were before it
    overlay: dict = dataclasses.field(default_factory=dict)  # what it has written
    savepoints: list = dataclasses.field(default_factory=list)
    cursors: dict = dataclasses.field(default_factory=dict)
    failed: bool = False
    maybe_over: bool = False  # an error in COMMIT: ReadyForQuery says whether it has ended
    loose: bool = False  # something in it may have failed unseen
    snapshot: tuple = None  # (sent, done) of the one it keeps
    last_id: object = None  # what currval must say; "?" when only the server knows
    seed: list = None  # [numbers that random() must give next]
    locks: list = dataclasses.field(default_factory=list)

    @property
    def keeps_snapshot(self):
        return self.isolation in ("repeatable read", "serializable")


class Session:
    """Of one login."""

    def __init__(self, client, startup):
        self.client = client
        self.tenant = client.tenant
        self.slot = client.slot
        self.settings = Settings(client.tenant.defaults, startup)
        self.tx = None
        self.prepared = {}  # PREPARE: name -> class of operation
        self.wire = {}  # Parse: name -> class of operation
        self.unnamed = None  # class of the operation whose text it has
        self.unnamed_asked = None  # that of the last Parse, whether it worked or not
        self.held_cursors = {}
        self.excused = False  # within the segment at hand: cancels and timeouts are possible
        self.cancels = 0  # requests that the proxy has not answered yet
        self.late_cancels = 0  # when it answered the last that may still hit; 0: none
        self.assumed = {}  # what its last step may have committed, when the client went away
        self.skipping = False  # an error ended the message or the pipeline

    # -- transactions --

    def begin(self, when, explicit, read_only=None, isolation=None):
        if self.tx:  # BEGIN makes an explicit one of the implicit one
            self.tx.explicit = self.tx.explicit or explicit
            if read_only is not None:
                self.tx.read_only = read_only
            return
        if read_only is None:
            read_only = self.settings.is_now(READ_ONLY, "on")
        if isolation is None:
            isolation = next(iter(self.settings.now(ISOLATION)))
        self.tx = Transaction(explicit, read_only, isolation, when.sent, self.settings.copy())

    def commit(self, when):
        """Everything that the transaction did holds from now on."""
        tx, self.tx = self.tx, None
        self.settings.end_local()
        self.held_cursors.update(
            {name: cursor for name, cursor in tx.cursors.items() if cursor.hold})
        self._drop_cursors(cursor for cursor in tx.cursors.values() if not cursor.hold)
        self._let_go(tx, when)
        if tx.overlay:
            self._publish(Group(tx.overlay, when.sent, when.done, tx.loose))

    def _publish(self, group):
        self.tenant.journal.commit(group)
        self.client.committed += 1
        rows = self.client.rows
        for key, value in group.effects.items():
            if group.acked == NEVER:
                self.client.doubtful.add(key)
                self.assumed[key] = value
            elif value is None:
                rows.pop(key, None)
            else:
                rows[key] = value

    def roll_back(self, when):
        tx, self.tx = self.tx, None
        self.settings.restore(tx.settings)
        self._drop_cursors(tx.cursors.values())
        self._let_go(tx, when)

    def _let_go(self, tx, when):
        for holding in tx.locks:
            holding.given_up = when.sent
            holding.released = when.done
        self.tenant.journal.snapshots.pop(tx, None)

    def _drop_cursors(self, cursors):
        for cursor in list(cursors):
            self.tenant.journal.snapshots.pop(cursor, None)

    def set_savepoint(self, name):
        self.tx.savepoints.append(Savepoint(name, dict(self.tx.overlay), self.settings.copy(),
                                            set(self.tx.cursors), len(self.tx.locks)))

    def find_savepoint(self, name):
        """Its index, the innermost of that name; None."""
        for at in range(len(self.tx.savepoints) - 1, -1, -1):
            if self.tx.savepoints[at].name == name:
                return at
        return None

    def release(self, at):
        del self.tx.savepoints[at:]

    def roll_back_to(self, at):
        """The savepoint stays."""
        tx, saved = self.tx, self.tx.savepoints[at]
        tx.overlay = dict(saved.overlay)
        self.settings.restore(saved.settings)
        gone = [name for name in tx.cursors if name not in saved.cursors]
        self._drop_cursors(tx.cursors[name] for name in gone)
        for name in gone:
            del tx.cursors[name]
        self._doubt_locks(saved.locks)
        del tx.savepoints[at + 1:]
        tx.failed = False

    # -- a segment: a Query message, or everything up to a Sync --

    def start_segment(self, simple):
        self.skipping = False
        self.excused = self.cancels > 0 or self.late_cancels > 0
        if simple:
            self.unnamed = self.unnamed_asked = None

    def end_segment(self, when, status=None, error=None):
        """The implicit transaction ends. `error` is one that came with the Sync itself."""
        if error and not self._is_excused(error.sqlstate):
            raise Violation(f"an error at the end of a pipeline: {error}")
        if self.tx and not self.tx.explicit:
            if error or self.skipping:
                self.roll_back(when)
            else:
                self.tx.loose = self.tx.loose or self.excused
                self.commit(when)
        if status is None:
            return
        if self.tx and self.tx.maybe_over and status == "I":
            self.roll_back(when)
        expected = "I" if not self.tx else "E" if self.tx.failed else "T"
        if status != expected:
            raise Violation(f"ReadyForQuery says {status}, not {expected}")

    # -- a statement --

    def excuses(self):
        """Errors that may come whatever the statement."""
        found = set()
        if self.excused or self.settings.is_now(TIMEOUT, SHORT_TIMEOUT):
            self.excused = True
            found.add(CANCELED)
        if (self.tx and self.tx.isolation in ("serializable", None)) or self.settings.is_now(
                ISOLATION, "serializable"):
            found.add(SERIALIZATION)
        if self.tx and self.tx.read_only is None:
            found.add(READ_ONLY_STATE)
        return found

    def _is_excused(self, sqlstate):
        return sqlstate in self.excuses()

    def refusal(self, operation):
        """SQLSTATEs with one of which it must fail now; empty: it must not fail."""
        early = operation.refused_early(self)
        if early:
            return early
        if self.tx and self.tx.failed and not operation.in_failed:
            return {ABORTED}
        found = set(operation.refused(self))
        if operation.writes and self.tx and self.tx.read_only:
            found = {READ_ONLY_STATE}
        return found

    def run(self, operation, result, when):
        """Judges one statement's result and does to the model what it did to the server. A result
        of None: nobody knows it, and it is taken to have worked if it could."""
        if not self.tx and operation.transactional:
            self.begin(when, explicit=False)
        excuses = self.excuses()
        must = self.refusal(operation)
        if result is None:
            if self.tx and excuses:
                self.tx.loose = True
            if must:
                self.fail(operation)
            else:
                operation.done(self, None, when)
            return
        if result.error:
            if result.sqlstate not in must | excuses | set(operation.may_fail(self)):
                wanted = f"one of {must}" if must else "no error"
                raise Violation(f"{operation}: {result.error}, where {wanted} was due")
            self.fail(operation)
            return
        if must:
            raise Violation(f"{operation}: worked ({result.tag}), where one of {must} was due")
        self._keep_snapshot(operation, when)
        try:
            operation.done(self, result, when)
        except (ValueError, struct.error) as error:
            raise Violation(f"{operation}: a result that cannot be read: {error}") from error
        self.tenant.walk.worked[type(operation).__name__] += 1

    def fail(self, operation):
        self.skipping = True
        operation.failed(self)
        if self.tx and self.tx.explicit:
            self.tx.failed = True
            # The server undoes settings and locks at once, not with the ROLLBACK that follows.
            within = self.tx.savepoints[-1:]
            self.settings.restore(within[0].settings if within else self.tx.settings)
            self._doubt_locks(within[0].locks if within else 0)

    def _doubt_locks(self, behind):
        """Those that the transaction took since then are not known to be held any more."""
        for holding in self.tx.locks[behind:]:
            holding.given_up = 0

    def _keep_snapshot(self, operation, when):
        tx = self.tx
        if tx and tx.keeps_snapshot and not tx.snapshot and operation.takes_snapshot:
            tx.snapshot = (tx.begun, when.done)
            self.tenant.journal.snapshots[tx] = tx.begun

    # -- rows --

    def view(self):
        """This client's own rows as it must see them."""
        found = dict(self.client.rows)
        written = self.assumed | (self.tx.overlay if self.tx else {})
        for key, value in written.items():
            if value is None:
                found.pop(key, None)
            else:
                found[key] = value
        return found

    def row(self, key):
        """None: not there."""
        if self.tx and key in self.tx.overlay:
            return self.tx.overlay[key]
        return self.assumed[key] if key in self.assumed else self.client.rows.get(key)

    def write(self, key, value):
        assert key not in self.client.doubtful or key in self.assumed, f"in doubt: {key}"
        self.tx.overlay[key] = value

    def snapshot(self, when):
        """(sent, done) of the snapshot that a statement of now sees."""
        if self.tx and self.tx.isolation is None:
            return self.tx.begun, when.done
        return self.tx.snapshot if self.tx and self.tx.snapshot else (when.sent, when.done)

    def compare(self, rows, covers, what, when, view=None, snapshot=None):
        """Rows that a statement returned: this client's own to the letter, others' as they may be.
        `covers(key)` says which rows had to come."""
        view = self.view() if view is None else view
        sent, done = snapshot or self.snapshot(when)
        doubtful = set(self.client.doubtful)  # as it is now: others' rows may be compared later

        def is_own(key):
            return slot_of(key) == self.slot and key not in doubtful

        own = {key: value for key, value in rows.items() if is_own(key)}
        wanted = {key: value for key, value in view.items() if is_own(key) and covers(key)}
        if own != wanted:
            missing = {key: value for key, value in wanted.items() if own.get(key) != value}
            extra = {key: value for key, value in own.items() if wanted.get(key) != value}
            raise Violation(f"{what}: of its own rows missing: {missing}; not to be there: {extra}")
        others = {key: value for key, value in rows.items() if not is_own(key)}
        self.tenant.journal.read(
            Read(sent, done, others, lambda key: covers(key) and not is_own(key), what), when.step)

    # -- cursors --

    def cursor(self, name):
        if self.tx and name in self.tx.cursors:
            return self.tx.cursors[name]
        return self.held_cursors.get(name)

    def add_cursor(self, cursor):
        self.tx.cursors[cursor.name] = cursor
        self.tenant.journal.snapshots[cursor] = cursor.snapshot[0]

    def close_cursor(self, name):
        cursor = self.cursor(name)
        self._drop_cursors([cursor])
        for where in ((self.tx.cursors if self.tx else {}), self.held_cursors):
            if where.get(name) is cursor:
                del where[name]

    # -- the end --

    def discard(self, when):
        """DISCARD ALL."""
        self.settings.reset_all()
        self.prepared.clear()
        self.wire.clear()
        self.unnamed = self.unnamed_asked = None
        self._drop_cursors(self.held_cursors.values())
        self.held_cursors.clear()
        self.tenant.locks.give_up(self, when)

    def end(self, when, known):
        """The connection is gone; `known`: the server knows by now."""
        if self.tx:
            self.roll_back(when)
        self._drop_cursors(self.held_cursors.values())
        self.tenant.locks.give_up(self, when, released=known)
