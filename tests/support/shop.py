"""A small bank (tests/data/shop) and an application that keeps a journal of what was acknowledged."""
import contextlib
import itertools
import threading
import uuid

import psycopg

ACCOUNTS = 20
OPENING = 1000
AGAIN_SECONDS = 0.05
TABLES = {"account": "id", "ledger": "id", "node": "id", "visit": "path", "tally": "id", "country": "code"}


def fill(connection, entries=50):
    """Rows in every table, with values that are awkward to copy."""
    with connection.transaction():
        for number in range(ACCOUNTS):
            connection.execute(
                "INSERT INTO account (owner, balance, mood, tags, doc, photo, span, share) VALUES"
                " (%s, %s, %s, %s, %s, %s, %s, %s)",
                [f"owner-{number}", OPENING, "cross" if number % 3 else "calm",
                 ["a\tb", "c\\d", 'quote"', ""][:number % 5], '{"n": %d, "t": "\\u00e9\\n"}' % number,
                 bytes(range(number * 10 % 256)), "1 month 2 days 03:04:05.678", number / 7 or "NaN"])
        connection.execute("INSERT INTO tally VALUES (1, 0)")
        connection.execute("INSERT INTO node VALUES (1, 3, 'one'), (2, 1, 'two'), (3, 2, 'three'),"
                           " (4, NULL, '')")
        connection.execute("INSERT INTO visit (path) SELECT CASE WHEN n % 4 > 0 THEN '/' || n END"
                           " FROM generate_series(1, 30) n")
        for number in range(entries):
            connection.execute("INSERT INTO ledger (account_id, amount, note) SELECT min(id) + %s, 0, %s FROM"
                               " account", [number % ACCOUNTS, f"opening {number}"])


def contents(connection):
    """Every row as the application sees it."""
    return {table: connection.execute(
        f"SELECT t::text FROM (SELECT * FROM {table}) t ORDER BY {key} NULLS FIRST, t::text").fetchall()
        for table, key in TABLES.items()}


class Application:
    """Threads that transfer money, each over connections of its own, until they are stopped. Whose connection
    breaks connects again."""

    def __init__(self, connect, threads=3, reconnect_every=40, pace=0.0):
        """pace: seconds between two transfers."""
        self.connect, self.reconnect_every, self.pace = connect, reconnect_every, pace
        self.acknowledged, self.in_doubt, self.errors, self.slowest = [], [], [], 0.0
        self.over = threading.Event()
        self.threads = [threading.Thread(target=self._work, args=[number]) for number in range(threads)]

    def _work(self, number):
        turns = itertools.count(number)
        while not self.over.is_set():
            try:
                with self.connect() as connection:
                    for turn in itertools.islice(turns, self.reconnect_every):
                        if self.over.is_set():
                            break
                        self._transfer_or_doubt(connection, turn)
                        if self.pace:
                            self.over.wait(self.pace)
            except psycopg.Error as error:
                self.errors.append(f"{type(error).__name__}: {error}")
                self.over.wait(AGAIN_SECONDS)

    def _transfer_or_doubt(self, connection, turn):
        note = uuid.uuid4().hex
        try:
            self._transfer(connection, turn, note)
        except psycopg.Error:
            self.in_doubt.append(note)
            raise
        self.acknowledged.append(note)

    def _transfer(self, connection, turn, note):
        source, target = turn * 7 % ACCOUNTS, (turn * 7 + 3) % ACCOUNTS
        first, second = sorted((source, target))
        with connection.transaction():
            connection.execute("SELECT id FROM account WHERE owner IN (%s, %s) ORDER BY id FOR UPDATE",
                               [f"owner-{first}", f"owner-{second}"], prepare=True)
            for account, amount in ((source, -1), (target, 1)):
                connection.execute("UPDATE account SET balance = balance + %s WHERE owner = %s",
                                   [amount, f"owner-{account}"], prepare=True)
                connection.execute("INSERT INTO ledger (account_id, amount, note) SELECT id, %s, %s FROM"
                                   " account WHERE owner = %s", [amount, note, f"owner-{account}"],
                                   prepare=turn % 2 == 0)

    def count(self):
        return len(self.acknowledged)

    def check(self, connection):
        """Each acknowledged transfer is there exactly once, and nothing else is but, once at most, what a
        connection broke in."""
        found = connection.execute("SELECT note, count(*), sum(amount) FROM ledger WHERE note NOT LIKE"
                                   " 'opening %%' GROUP BY note").fetchall()
        due = {(note, 2, 0) for note in self.acknowledged}
        lost, surplus = due - set(found), set(found) - due - {(note, 2, 0) for note in self.in_doubt}
        assert not lost and not surplus, (len(due), len(lost), len(surplus), list(lost)[:3], list(surplus)[:3])
        assert connection.execute("SELECT sum(balance) FROM account").fetchone() == (ACCOUNTS * OPENING,)
        assert connection.execute("SELECT (SELECT entries FROM tally) = (SELECT count(*) FROM ledger)"
                                  ).fetchone() == (True,)


@contextlib.contextmanager
def running(connect, **options):
    application = Application(connect, **options)
    for thread in application.threads:
        thread.start()
    try:
        yield application
    finally:
        application.over.set()
        for thread in application.threads:
            thread.join(120)
