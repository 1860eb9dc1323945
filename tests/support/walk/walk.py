"""The walk itself: who does the next step, waiting for answers, judging them, and the end."""
import collections
import random
import selectors
import time

from support import wire
from support.walk import Violation, chaos, marks, ops_rows
from support.walk.journal import NEVER, Journal
from support.walk.line import Line, Login
from support.walk.locks import LockBook
from support.walk.operation import KINDS
from support.walk.plan import Plan
from support.walk.replies import ItemCounter
from support.walk.session import Session, When
from support.walk.settings import ALL_SQL, NAMES, SETTINGS

ANSWER_SECONDS = 30  # within which every step must be answered
RESCUE_SECONDS = 5  # after which clients that hold a connection by mistake are asked to let it go
LAST_STEPS = 60
LAST_OF_CLIENT = 25
HOT_STEPS = 60  # steps for which a few tenants are busy
SEED_DRAWS = 8
REPORTED = [setting.name for setting in SETTINGS if setting.reported]


class Tenant:
    """One of the walk's, as its clients know it."""

    def __init__(self, slug, mode, rules, secret, password=None, user=None, database="things",
                 tenant_id=None):
        self.slug, self.mode, self.rules = slug, mode, rules
        self.secret, self.password = secret, password
        self.user, self.database = user or slug, database
        self.tenant_id = tenant_id
        self.mark = marks.mark_of(slug)
        self.journal, self.locks = Journal(), LockBook()
        self.asked_dates = set()  # values of DateStyle that its clients may have had

    def join(self, walk):
        """What must be known before the first step, over a connection of its own."""
        self.walk = walk
        connection = wire.Wire(walk.host, walk.port)
        with connection:
            connection.login(self.user, self.database, self.secret)
            values = row_of(connection, ALL_SQL)
            self.defaults = dict(zip(NAMES, values))
            self._identity = tuple(row_of(connection, (
                "SELECT session_user::text, current_user::text, current_database()::text,"
                " current_schemas(false)::text")))
            self.seeds = {}
            for _ in range(2):
                seed = round(walk.dice.uniform(-1, 1), 6)
                draws = ", ".join(["floor(random() * 1e15)::int8"] * SEED_DRAWS)
                connection.ask(wire.query(f"SELECT setseed({seed})"))
                self.seeds[seed] = [int(value) for value in row_of(connection, f"SELECT {draws}")]

    def identity(self):
        return self._identity

    def note_id(self, number):
        """A sequence gave it to this tenant. In row isolation a sequence is everybody's."""
        if self.mode == "row":
            owner = self.walk.ids.setdefault(number, self)
            if owner is not self:
                raise Violation(f"id {number} was given to {owner.slug} before")

    def check_id(self, number, what):
        if self.mode == "row" and self.walk.ids.get(number, self) is not self:
            raise Violation(f"{what}: {number} was given to {self.walk.ids[number].slug}")

    def check_random(self, number, what):
        owner = self.walk.random_owner.get(number, self)
        if owner is not self:
            raise Violation(f"{what}: {number} comes of a seed of {owner.slug}'s")


def row_of(connection, sql):
    row = next(message.columns for message in connection.ask(wire.query(sql))
               if message.type == "D")
    return [None if value is None else value.decode() for value in row]


class Client:
    """A slot of a tenant: one connection after the other, whose rows nobody else writes."""

    def __init__(self, walk, tenant, slot):
        self.walk, self.tenant, self.slot = walk, tenant, slot
        self.plan = Plan(self, walk.dice)
        self.line = self.session = self.step = self.login = None
        self.messages, self.parts = [], []  # of the step under way; flushed steps before it
        self.ready = 0
        self.counter = None
        self.rows, self.doubtful = {}, set()
        self.committed = self.bodies = 0
        self.stale_keys = []
        self.cancels = []  # lines of requests that the proxy has not closed yet
        self.log = collections.deque(maxlen=LAST_OF_CLIENT)

    def __str__(self):
        return f"{self.tenant.slug}.{self.slot}"


class Cancel:
    """A CancelRequest under way."""

    def __init__(self, line, target):
        self.line, self.target = line, target


class Walk:
    """Everybody."""

    def __init__(self, host, port, tenants, seed, clients=2, holders=3, tamper=None, trace=None,
                 look=None, quiet=None, weights=None):
        self.host, self.port = host, port
        self.seed = seed
        self.dice = random.Random(seed)
        self.tenants = tenants
        self.holders = holders  # server connections there are
        self.ids, self.random_owner = {}, {}
        self.variants = collections.Counter()  # of the texts that all tenants prepare, by kind
        self.worked = collections.Counter()  # statements that did, by class
        self.weights = weights or {}  # {kind of statement: how often}, where not as usual
        self.tamper = tamper
        self.quiet = quiet  # waits until the servers are idle, when all clients are gone
        self.look = look  # says what the server is doing, when an answer does not come
        self.trace = trace  # a file for every step; the last ones are told in any case
        self.selector = selectors.DefaultSelector()
        self.now = 0
        self.number = 0
        self.log = collections.deque(maxlen=LAST_STEPS)
        self.counts = collections.Counter()
        self.clients = []
        self.cancels = []
        self.hot, self.hot_left = [], 0
        self.last = None
        self._slots = clients

    # -- from start to end --

    def run(self, seconds=None, steps=None):
        """Walks, ends everything and compares what is left. A Violation says the seed and the last
        steps."""
        try:
            self._join()
            end = time.monotonic() + (seconds or 1e9)
            while time.monotonic() < end and (steps is None or self.number < steps):
                self.turn()
            self.finish()
            if self.quiet:
                self.quiet()
            self.verify()
        except (AssertionError, OSError, ValueError, KeyError, AttributeError, TypeError,
                IndexError) as error:
            raise self.explain(error) from error
        finally:
            for client in self.clients:
                if client.line:
                    client.line.close()
            self.selector.close()
        return self

    def explain(self, error):
        culprit = getattr(error, "client", None)
        lines = [f"{type(error).__name__}: {error}", f"seed: {self.seed}; step {self.number}"]
        if culprit:
            lines += [f"--- the last steps of {culprit}:", *culprit.log]
        lines += ["--- the last steps of all:", *self.log]
        return Violation("\n".join(lines))

    def _join(self):
        for tenant in self.tenants:
            try:
                tenant.join(self)
            except wire.Closed:
                raise Violation(f"{tenant.slug}'s first session is ended") from None
            for numbers in tenant.seeds.values():
                self.random_owner.update((number, tenant) for number in numbers)
            self.clients += [Client(self, tenant, slot) for slot in range(self._slots)]

    # -- who is next --

    def holding(self):
        return [client for client in self.clients if client.plan.holds]

    def may_pin(self, client):
        pinned = [other for other in self.clients if other.plan.pinned and other is not client]
        holding = self.holding()
        return not pinned and (client in holding or len(holding) < self.holders)

    def pick(self):
        """With every server connection held, one of the holders: nobody else can go on."""
        holding = self.holding()
        if len(holding) >= self.holders:
            return self.dice.choice(holding)
        if self.hot_left == 0:
            self.hot_left = HOT_STEPS
            tenants = self.dice.sample(self.tenants, min(len(self.tenants),
                                                         self.dice.randrange(1, 5)))
            self.hot = [client for client in self.clients if client.tenant in tenants]
        self.hot_left -= 1
        return self.dice.choice(self.hot if self.dice.random() < 0.8 else self.clients)

    def turn(self):
        client = self.pick()
        if client.plan.slow:
            client.plan.slow -= 1
            if client.plan.slow == 0 and client.line:
                client.line.paused = False
                self._watch(client)
            return
        room = len(self.holding()) < self.holders
        if self.last and self.dice.random() < 0.06:
            self.send_cancel(self.last if self.dice.random() < 0.7 else client, room)
            return
        self.wait_for(client)
        self.step(client, room)
        self.last = client
        self.pump(0)

    def step(self, client, room):
        plan = client.plan
        if not plan.up:
            if self.dice.random() < 0.05:
                self.hang_up_in_login(client)
                return
            step = chaos.login(client, self.dice)
            if not step.refused:
                plan.connected()
            self.send(client, step)
            return
        plan.settled = True
        plan.life -= 1
        if plan.life <= 0:
            self.send_end(client, chaos.end(client, self.dice, room))
        else:
            self.send(client, plan.step(room))

    # -- sending --

    def note(self, client, text):
        line = f"{client} {text}"
        if self.trace:
            print(line, file=self.trace)
        self.log.append(line)
        client.log.append(line)

    def begin(self, client, step):
        self.number += 1
        self.now += 1
        step.number, step.sent = self.number, self.now
        self.counts[step.title.split(" at ")[0]] += 1
        self.note(client, f"#{step.number} {str(step).split(' ', 2)[-1]}")
        client.step = step
        client.messages, client.ready = [], 0
        client.tenant.journal.step_sent(step.number, step.sent)

    def send(self, client, step):
        if step.ends == "login":
            client.line = Line(self.host, self.port)
            client.login = Login(step.password)
        self.begin(client, step)
        if step.ends == "flush":
            client.counter = ItemCounter(step.flushed)
        self._asked(client, step)
        client.line.paused = step.slow
        client.line.send(step.data)
        self._watch(client)

    def _asked(self, client, step):
        segments = step.segments
        if step.ends == "flush":
            segments = [client.plan.open_segment]
        for segment in segments:
            for operation in segment.operations:
                if hasattr(operation, "asked") and not operation.holding:
                    operation.asked(client.session, step.sent)

    def send_end(self, client, step):
        """The client goes away: at once, or when the server has."""
        self.begin(client, step)
        self._asked(client, step)
        if client.session:  # the server may have ended it before the end is seen here
            client.tenant.locks.give_up(client.session, When(step.sent, NEVER, step.number),
                                        released=False)
        client.line.send(step.data[:step.cut])
        step.cut = min(step.cut, step.cut - len(client.line.out))
        if step.half:
            client.line.shut()
        client.plan.disconnected()
        if step.ends == "eof":
            self._watch(client)
        else:
            self.gone(client)

    def hang_up_in_login(self, client):
        line = Line(self.host, self.port)
        packet = wire.startup(user=client.tenant.user, database=client.tenant.database)
        cut = self.dice.randrange(1, len(packet) + 1)
        self.note(client, f"hangs up {cut} bytes into its login")
        line.send(packet[:cut])
        line.close(reset=self.dice.random() < 0.5)

    def gone(self, client):
        """Its connection is over: what it had under way may have been done, or not."""
        step, session = client.step, client.session
        when = When(step.sent, NEVER, step.number)
        if session:
            cut = getattr(step, "cut", len(step.data))
            step.assume(session, cut + sum(len(part.data) for part, _ in client.parts))
            if self.trace:
                print(f"  {client} is gone, and may have done {session.assumed}", file=self.trace)
            session.end(when, known=False)
        if client.line.key:
            client.stale_keys.append(client.line.key)
        self._forget(client.line)
        client.line.close(reset=getattr(step, "reset", False))
        client.line = client.session = None
        self._done(client)

    def send_cancel(self, target, room):
        title, packet, hits = chaos.cancel(self, target, self.dice)
        if hits and not (room or target.plan.holds):
            return
        if hits:
            target.plan.shaky = True
            target.session.cancels += 1
            target.session.excused = True
        line = Line(self.host, self.port)
        line.send(packet)
        self.note(target, f"is cancelled: {title}")
        self.counts[f"cancel: {title}"] += 1
        cancel = Cancel(line, target.session if hits else None)
        self.cancels.append(cancel)
        self.selector.register(line, selectors.EVENT_READ, cancel)

    # -- receiving --

    def _watch(self, client):
        events = 0 if client.line.paused else selectors.EVENT_READ
        if client.line.out:
            events |= selectors.EVENT_WRITE
        self._forget(client.line)
        if events:
            self.selector.register(client.line, events, client)

    def _forget(self, line):
        if not line.closed and line.fileno() in self.selector.get_map():
            self.selector.unregister(line)

    def pump(self, timeout):
        """Takes what has come."""
        for key, events in self.selector.select(timeout):
            if isinstance(key.data, Cancel):
                self._cancel_answered(key.data)
                continue
            client = key.data
            if client.line is not key.fileobj:
                continue
            if events & selectors.EVENT_WRITE:
                client.line.push()
                self._watch(client)
            if events & selectors.EVENT_READ:
                self._receive(client)

    def _cancel_answered(self, cancel):
        cancel.line.pull()
        if not cancel.line.eof:
            return
        self.selector.unregister(cancel.line)
        cancel.line.close()
        self.cancels.remove(cancel)
        if cancel.target:
            self.now += 1
            cancel.target.cancels -= 1
            cancel.target.late_cancels = self.now

    def _receive(self, client):
        try:
            for message in client.line.pull():
                self._take(client, message)
            if client.line and client.line.eof:
                self._ended(client)
        except AssertionError as error:
            error.client = client
            raise

    def _take(self, client, message):
        if self.tamper:
            message = self.tamper(client, message)
            if message is None:
                return
        self._check_marks(client, message)
        step = client.step
        if step is None:
            if message.type not in "SN":
                raise Violation(f"{message}, and nothing was asked")
            return
        if step.ends == "login":
            self._log_in(client, step, message)
            return
        client.messages.append(message)
        if step.ends == "eof":
            return
        if message.type == "E" and message.fields.get("S") != "ERROR":
            raise Violation(f"the server ends the connection: {message}")
        if step.ends == "flush":
            if client.counter.done(message):
                client.parts.append((step, client.messages))
                client.step = None
        elif message.type == "Z":
            client.ready += 1
            if client.ready == len(step.segments):
                self._judge(client)

    @staticmethod
    def _check_marks(client, message):
        if message.type == "A":
            raise Violation(f"a notification: {message}")
        strangers = marks.owners(message.body) - {client.tenant.slug}
        if strangers:
            raise Violation(f"{client} gets what is {strangers}'s: {message.type} {message.body!r}")

    def _log_in(self, client, step, message):
        answer = client.login.answer(message)
        if answer:
            client.line.send(answer)
            self._watch(client)
        if message.type == "E":
            if not step.refused or message.sqlstate != "28P01":
                raise Violation(f"a login was refused: {message}")
            self._forget(client.line)
            client.line.close()
            client.line = None
            self._done(client)
        elif message.type == "Z":
            if step.refused:
                raise Violation("a login with a wrong password worked")
            client.session = Session(client, step.startup)
            self._check_parameters(client)
            self._done(client)

    def _judge(self, client):
        """Its answer is complete."""
        step, session = client.step, client.session
        self.now += 1
        earlier = [message for _part, messages in client.parts for message in messages]
        if client.parts:
            step.sent = client.parts[0][0].sent
        step.judge(session, earlier + client.messages, self.now)
        self._check_parameters(client)
        # A cancel that the proxy took before this step was sent can hit no later one, once the
        # server connection has been let go.
        if step.sent > session.late_cancels and not session.tx and not client.plan.pinned:
            session.late_cancels = 0
        self._done(client)

    def _done(self, client):
        journal = client.tenant.journal
        numbers = [part.number for part, _ in client.parts] + [client.step.number]
        client.parts, client.step, client.messages = [], None, []
        for number in numbers:
            journal.step_done(number)

    def _check_parameters(self, client):
        for name in REPORTED:
            value = client.line.parameters.get(name)
            if value not in client.session.settings.now(name):
                raise Violation(f"ParameterStatus says {name} is {value!r}, not"
                                f" {client.session.settings.now(name)}")

    def _ended(self, client):
        """The server has closed it."""
        step = client.step
        if step is None or step.ends not in ("eof",):
            raise Violation(f"the connection of {client} was closed")
        self.gone(client)

    # -- waiting --

    def wait_for(self, client):
        """Until its last step has been answered."""
        started = time.monotonic()
        rescued = False
        while client.step is not None:
            self.pump(0.2)
            waited = time.monotonic() - started
            if waited > RESCUE_SECONDS and not rescued:
                rescued = True
                self.rescue()
            if waited > ANSWER_SECONDS:
                error = Violation(
                    f"{client}: no answer to {client.step} within {ANSWER_SECONDS} s; so far:"
                    f" {client.messages[-5:]}; holding: {[str(one) for one in self.holding()]};"
                    f" {self.look() if self.look else ''}")
                error.client = client
                raise error

    def rescue(self):
        """Transactions that are open against the plans (their end was cancelled) are ended: out of
        turn, since others wait for their server connections."""
        for client in self.clients:
            if (client.session and client.session.tx and not client.plan.in_transaction
                    and client.step is None and not client.parts):
                self.counts["rescued"] += 1
                self.send(client, client.plan.rollback("rescue"))

    # -- the end --

    def finish(self):
        """Everybody goes: first who holds a server connection, then who waited for one."""
        for client in sorted(self.clients, key=lambda one: not one.plan.holds):
            if client.line is None:
                continue
            if client.plan.slow:
                client.plan.slow, client.line.paused = 0, False
                self._watch(client)
            self.wait_for(client)
            if client.line is None:
                continue
            self.send_end(client, chaos.EndStep(client, "terminate", [], wire.terminate(),
                                                ends="eof", cut=5))
        for client in self.clients:
            self.wait_for(client)
        end = time.monotonic() + ANSWER_SECONDS
        while self.cancels and time.monotonic() < end:
            self.pump(1)
        if self.cancels:
            raise Violation(f"{len(self.cancels)} cancel requests were never taken")

    def verify(self):
        """What is there is what was committed, of every tenant."""
        for tenant in self.tenants:
            with wire.Wire(self.host, self.port) as connection:
                connection.login(tenant.user, tenant.database, tenant.secret)
                rows = self._rows_left(connection)
            journal = tenant.journal
            assert not journal.reads and not journal.under_way
            for key in set(rows) | set(journal.history):
                allowed = journal.possible(key, self.now, self.now)
                if rows.get(key) not in allowed:
                    raise Violation(f"{tenant.slug}, at the end: {key} is {rows.get(key)}, and may"
                                    f" be {allowed}")
            for group in journal.doubts():
                self._check_whole(tenant, group, rows)
            self.counts["rows left"] += len(rows)

    @staticmethod
    def _rows_left(connection):
        rows = {}
        for message in connection.ask(wire.query(f"SELECT {ops_rows.LIST} FROM thing")):
            if message.type == "D":
                name, amount, body, data = message.columns
                rows[ops_rows.key_of(name.decode())] = (
                    int(amount), body.decode(), data and bytes.fromhex(data[2:].decode()))
        for message in connection.ask(wire.query(ops_rows.SelectParts.sql)):
            if message.type == "D":
                rows[ops_rows.part_key(*(column.decode() for column in message.columns))] = True
        return rows

    @staticmethod
    def _check_whole(tenant, group, rows):
        """A transaction whose end nobody saw is there as a whole, or not at all."""
        if group.loose:
            return
        there = {}
        for key, value in group.effects.items():
            *earlier, last = tenant.journal.history[key]
            before = [old for old, _group in earlier]
            if all(written.acked == NEVER for _value, written in earlier):
                before.append(None)  # nobody knows that it was ever there
            # Only where the row tells whether it was written: nothing has come later, and what it
            # was before is something else.
            if last[1] is group and value not in before:
                there[key] = rows.get(key) == value
        if len(set(there.values())) > 1:
            raise Violation(f"{tenant.slug}, at the end: half a transaction: {there}")

    def committed(self):
        """Transactions that wrote something and were acknowledged, or may have been."""
        return sum(client.committed for client in self.clients)

    def never_worked(self):
        """Kinds of statements of which none has worked in this walk, of those that can."""
        return {kind.__name__ for kind in KINDS if not kind.always_fails} - set(self.worked)

    def summary(self):
        counts = ", ".join(f"{name}: {count}" for name, count in sorted(self.counts.items()))
        return (f"seed {self.seed}: {self.number} steps, {self.committed()} commits; {counts};"
                f" never worked: {sorted(self.never_worked())}")
