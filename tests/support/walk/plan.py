"""What one client does next: by the dice, and by what it did before, never by answers.

A plan knows what its client has sent, so it knows roughly what state the session is in: whether a
transaction is open, which names are taken, which rows may be there. Where that is wrong (a statement
failed that was to work), the statements that follow are the test of how errors are answered.
"""
from support import wire
from support.walk import operation as operations
from support.walk import ops_hidden, ops_rows, ops_session, ops_state
from support.walk import ops_transaction as transaction
from support.walk.delivery import Call, Extended, Item, Simple, Step
from support.walk.settings import DATE_STYLE, SETTINGS, is_custom

NAMES_MAX = 30  # rows of one client, about
TRANSACTION_STEPS = 10
PINNED_LIFE = 6  # steps of a client that keeps a server connection

SENDS = ((46, "simple"), (34, "extended"), (5, "flush"), (4, "call"), (2, "slow"))


class Plan:
    """One client's, over all of its connections."""

    def __init__(self, client, dice):
        self.client = client
        self.dice = dice
        self.names = []  # rows of thing that should be there
        self.serial = self.portals = 0
        self.disconnected()

    def disconnected(self):
        """The rows of what was under way are not touched any more: nobody knows what became of
        them, and their locks may still be held."""
        for name in getattr(self, "touched", ()):
            if name in self.names:
                self.names.remove(name)
        self.up = self.settled = False  # settled: the login is behind it
        self.touched = []
        self.in_transaction = self.maybe_failed = self.short_timeout = False
        self.pinned = self.shaky = False
        self.age = self.slow = 0
        self.savepoints = []
        self.open_segment = None
        self.sql_names, self.wire_names = set(), set()
        self.cursors = self.held_cursors = False
        self.unnamed = None

    def connected(self):
        self.up = True
        self.life = self.dice.randrange(3, 40)

    @property
    def holds(self):
        """Keeps a server connection from everybody else, until it does its next step at least."""
        return bool(self.in_transaction or self.pinned or self.shaky or self.slow
                    or self.open_segment)

    # -- what operations ask --

    def new_name(self):
        name = f"{self.client.slot}-{self.serial}"
        self.serial += 1
        self.names.append(name)
        self.touched.append(name)
        return name

    def new_prefix(self, count):
        prefix = self.new_name() + "-"
        for number in range(1, count + 1):
            self.names.append(f"{prefix}{number}")
            self.touched.append(f"{prefix}{number}")
        return prefix

    def some_name(self):
        if not self.names:
            return None
        name = self.dice.choice(self.names)
        self.touched.append(name)
        return name

    def take_name(self):
        name = self.some_name()
        if name:
            self.names.remove(name)
        return name

    def new_body(self):
        """A text with the tenant's mark that is nowhere else."""
        self.client.bodies += 1
        return f"{self.client.tenant.mark} {self.client.slot}.{self.client.bodies}"

    def new_data(self):
        if self.dice.random() < 0.3:
            return None
        return self.client.tenant.mark.encode() + self.dice.randbytes(self.dice.randrange(8))

    def fill(self, setting, value):
        tenant = self.client.tenant
        if setting.name == DATE_STYLE:
            tenant.asked_dates.add(value)
        return value.replace("{mark}", tenant.mark).replace(
            "{default}", tenant.defaults[setting.name] or "")

    # -- statements --

    def _has(self, need, room):
        if need == "transaction":
            return self.in_transaction or self.dice.random() < 0.02
        if need == "no transaction":
            return not self.in_transaction and room
        if need == "pins":
            return self.client.walk.may_pin(self.client)
        if need == "short timeout":
            return self.short_timeout
        if need == "prepared by SQL":
            return bool(self.sql_names)
        assert need == "cursors", need
        return self.cursors or self.held_cursors or self.dice.random() < 0.02

    def _candidates(self, room, fits):
        return [kind for kind in operations.KINDS
                if fits(kind) and all(self._has(need, room) for need in kind.needs)]

    def choose(self, room, fits):
        """One statement for the state that the ones before leave; None when nothing fits."""
        while True:
            kind = self._likely() if self.dice.random() < 0.5 else None
            if kind is None or not fits(kind) or not all(self._has(need, room)
                                                         for need in kind.needs):
                kinds = self._candidates(room, fits)
                if not kinds:
                    return None
                weights = [self.client.walk.weights.get(kind, kind.weight) for kind in kinds]
                kind = self.dice.choices(kinds, weights)[0]
            made = kind.make(self)
            if made:
                self._follow(made)
                return made

    def _likely(self):
        """What the state asks for."""
        if self.maybe_failed:
            return self.dice.choice([transaction.Rollback, transaction.RollbackTo,
                                     transaction.Commit, None])
        if self.in_transaction and self.age > TRANSACTION_STEPS:
            return transaction.Commit
        if self.short_timeout:
            return self.dice.choice([ops_session.SleepTooLong, None])
        if self.savepoints and self.dice.random() < 0.2:
            return self.dice.choice([transaction.RollbackTo, transaction.Release])
        if (self.cursors or self.held_cursors) and self.dice.random() < 0.4:
            return self.dice.choice([ops_state.Fetch, ops_state.CloseCursor])
        if self.sql_names and self.dice.random() < 0.4:
            return ops_session.SqlExecute
        return ops_rows.Delete if len(self.names) > NAMES_MAX else None

    def _follow(self, made):
        """What the plan knows of the session after this statement."""
        if isinstance(made, transaction.Begin):
            self.in_transaction = True
        elif isinstance(made, transaction.End):
            self.in_transaction = self.in_transaction and made.chains
            self._transaction_over()
        elif isinstance(made, transaction.SetSavepoint):
            self.savepoints.append(made.name)
        elif isinstance(made, ops_session.ShortTimeout):
            self.short_timeout = self.in_transaction
        elif isinstance(made, ops_state.Declare):
            self.cursors = self.in_transaction
            self.held_cursors = self.held_cursors or made.hold
        elif isinstance(made, ops_session.ShortTimeoutForLong):
            self.short_timeout = True
        if self.in_transaction and (not made.sure or self.short_timeout or self.shaky):
            self.maybe_failed = True
        if made.pins:
            self.pinned = True
            self.life = min(self.life, PINNED_LIFE)

    def _transaction_over(self):
        self.maybe_failed = self.short_timeout = self.cursors = False
        self.savepoints = []
        self.age = 0

    def several(self, room, fits, most):
        """Statements for one message or pipeline. A transaction begins in front of them all or
        behind the end of another, and ends where nothing in front of the end may have failed: an
        end that is skipped would leave a transaction that the plan knows nothing of."""
        count = 1 if self.dice.random() < 0.5 else self.dice.randrange(2, most + 1)
        made = []
        while len(made) < count:
            begins = not made or isinstance(made[-1], transaction.End)
            ends = not made or not self.maybe_failed and all(one.sure for one in made)

            def suits(kind):
                if (kind.alone and made or issubclass(kind, transaction.Begin) and not begins
                        or issubclass(kind, transaction.End) and not ends):
                    return False
                return fits(kind, made)

            chosen = self.choose(room, suits)
            if chosen is None:
                break
            made.append(chosen)
            if chosen.alone or chosen.last:
                break
        return made

    # -- steps --

    def step(self, room):
        """The next ordinary step of a client that is connected."""
        if not self.in_transaction and not self.open_segment:
            self.touched.clear()
        if self.open_segment:
            return self.finish_segment()
        if self.shaky and not self.in_transaction:
            # Its end of the transaction may have been what was cancelled.
            self.shaky = False
            return self.rollback("to be sure")
        if self.in_transaction:
            self.age += 1
        if self.in_transaction and self.age > 2 * TRANSACTION_STEPS:
            self.in_transaction = False
            self._transaction_over()
            return self.rollback("at last")
        room = room or self.holds
        words = [word for _weight, word in SENDS]
        word = self.dice.choices(words, [weight for weight, _word in SENDS])[0]
        if word in ("flush", "slow") and not room:
            word = "simple"
        if word == "slow":
            return self.read_slowly()
        return getattr(self, word)(room)

    def begin_step(self, title):
        """Now and then with a Flush in front, which has nothing to flush."""
        return Step(self.client, title, data=wire.flush() if self.dice.random() < 0.05 else b"")

    def rollback(self, why):
        made = Step(self.client, why)
        return made.add(Simple([transaction.Rollback()]), self.client.tenant.mark)

    def simple(self, room):
        step = self.begin_step("simple")
        for _ in range(1 if self.dice.random() < 0.9 else 3):
            made = self.several(room, lambda _kind, _made: True, 5)
            step.add(Simple(made), self.client.tenant.mark)
        return step

    def call(self, room):
        setting = self.dice.choice([one for one in SETTINGS if not is_custom(one.name)])
        value = self.fill(setting, self.dice.choice(setting.values))
        made = ops_session.SetByParameters(("text", setting.name), ("text", value),
                                           ("bool", self.dice.random() < 0.3))
        return self.begin_step("call").add(Call([made]), self.client.tenant.mark)

    def read_slowly(self):
        self.slow = self.dice.randrange(1, 8)
        step = Step(self.client, "slow reader", slow=True)
        return step.add(Simple([ops_rows.Large.make(self)]), self.client.tenant.mark)

    def extended(self, room):
        step = self.begin_step("extended")
        count = self.dice.choice([1, 1, 1, 2, 4])
        for _ in range(count):
            step.add(self.segment(room), self.client.tenant.mark)
        return step

    def flush(self, room):
        """A part of a pipeline, answered without a Sync; what follows comes with the next step."""
        segment = Extended()
        for made in self.several(room, self._fits_flush, 3):
            self.put(segment, made)
        segment.add_message(wire.flush())
        self.open_segment = segment
        self._cut = len(segment.data)
        return Step(self.client, "flush", [], segment.data, ends="flush",
                    flushed=len(segment.items), about=str(segment))

    @staticmethod
    def _fits_flush(kind, _made):
        return not (kind.simple_only or kind.alone or kind.last or kind.pins
                    or issubclass(kind, transaction.Control))

    def finish_segment(self):
        self.unnamed = None
        segment, self.open_segment = self.open_segment, None
        if self.dice.random() < 0.5:
            for made in self.several(True, self._fits_flush, 3):
                self.put(segment, made)
        segment.add_message(wire.sync())
        step = Step(self.client, "flushed", [segment], segment.data[self._cut:])
        segment.end = len(segment.data)
        return step

    def segment(self, room):
        def fits(kind, made):
            if kind.simple_only or issubclass(kind, transaction.Begin) and made:
                return False
            return not (made and isinstance(made[-1], transaction.End))

        segment = Extended()
        if self.unnamed or self.dice.random() < 0.1:
            self.use_unnamed(segment)
        else:
            for made in self.several(room, fits, 5):
                self.put(segment, made)
        segment.add_message(wire.sync())
        return segment

    def use_unnamed(self, segment):
        """An unnamed statement is prepared in one pipeline and run in another, if it is still
        there then."""
        kind, self.unnamed = self.unnamed, None
        if kind:
            made = kind.make(self)
            if made:
                segment.operations.append(made)
                self._run(segment, made, "", False, self.dice.random() < 0.5)
            return
        made = self.choose(False, lambda kind: kind.nameable)
        self.unnamed = type(made)
        segment.operations.append(made)
        segment.add(Item("P", made), wire.parse(made.template() + self.comment(made)))

    # -- messages of the extended protocol --

    def put(self, segment, made):
        """One statement's messages."""
        segment.operations.append(made)
        kind = type(made)
        named = kind.nameable
        name = self.statement_name(kind)
        binary = self.dice.random() < 0.5
        shape = self.dice.random() * (0.6 if kind.is_everybodys else 1)
        fresh = True
        if named and shape < 0.25 and name in self.wire_names:
            fresh = False
        elif named and shape < 0.6:
            self.wire_names.add(name)
            segment.add(Item("P", made, name=name),
                        wire.parse(made.template() + self.comment(made), name))
        elif named and shape < 0.63:
            fresh = False  # most probably nobody knows this name
        else:
            name, self.unnamed = "", None
            segment.add(Item("P", made), wire.parse(made.template() + self.comment(made)))
        self._run(segment, made, name, fresh, binary)
        if name and self.dice.random() < 0.2:
            self.wire_names.discard(name)
            segment.add(Item("C", made, name=name), wire.close("S", name))

    def _run(self, segment, made, name, fresh, binary):
        portal = ""
        if self.dice.random() < 0.3:
            self.portals += 1
            portal = f"portal {self.client.tenant.mark} {self.portals}"
        parameters = made.parameters(binary)
        formats = [1] if binary and parameters else []
        segment.add(Item("B", made, name=name, fresh=fresh),
                    wire.bind(parameters, name, portal, formats, [1] if binary else []))
        if self.dice.random() < 0.5:
            segment.add(Item("D", made), wire.describe("P", portal))
        if self.dice.random() < 0.1:
            segment.add_message(wire.flush())
        if made.columns and not made.writes and self.dice.random() < 0.2:
            segment.add(Item("E", made, last=False, binary=binary), wire.execute(portal, 2))
        segment.add(Item("E", made, binary=binary), wire.execute(portal))
        if made.data:
            segment.add_message(made.data)
        if portal:
            segment.add(Item("C", made), wire.close("P", portal))

    def comment(self, made):
        """Without the mark the text is the same in all tenants, and may be prepared for all. From
        time to time it is a new one, which somebody is the first to prepare."""
        if self.dice.random() < 0.5 and not made.is_everybodys:
            return f" /*{self.client.tenant.mark}*/"
        variants = self.client.walk.variants
        variants[type(made)] += self.dice.random() < 0.1
        return f" /*{variants[type(made)]}*/"

    @staticmethod
    def statement_name(kind):
        """The same in all clients of all tenants; every fifth looks like a proxy's own."""
        at = operations.KINDS.index(kind)
        return f"reeve_{at}" if at % 5 == 0 else f"s_{kind.__name__.lower()}"
