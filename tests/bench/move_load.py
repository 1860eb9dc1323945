"""Who works on a tenant while it moves: writers that keep a journal, and readers. Both are pgbench with
a schedule, so that a transaction is waited for from when it was due."""
import collections
import re
import subprocess
import time

import pgbench

FOREVER = 24 * 3600
ENDING_SECONDS = 120

# A transaction of a few statements, and a statement alone: each is a line of the journal.
TRANSACTION = """
\\set number :number + 1
\\set account random(1, :accounts)
BEGIN;
SELECT balance FROM account_{number} WHERE id = :account;
INSERT INTO entry_{number} (account_id, amount, kind, note, run, writer, number)
VALUES (:account, 1, 'pair', 'written while the tenant moves', :run, :client_id, :number);
UPDATE account_{number} SET balance = balance + 1, changes = changes + 1 WHERE id = :account;
END;
"""
STATEMENT = """
\\set number :number + 1
\\set account random(1, :accounts)
INSERT INTO entry_{number} (account_id, amount, kind, note, run, writer, number)
VALUES (:account, 1, 'single', 'written while the tenant moves', :run, :client_id, :number);
"""
READ = """
\\set account random(1, :accounts)
SELECT * FROM account_{number} WHERE id = :account;
"""


class Journal:
    """What a run of writers was told."""

    def __init__(self, run, logs, errors):
        self.run, self.errors = run, errors
        self.waits = []  # (when it was due, how long from then), in microseconds
        self.sent = collections.Counter()  # by writer, whose last number it is
        self.failed = collections.Counter()
        for line in logs.splitlines():
            writer, _count, taken, _script, seconds, us, *_lag = line.split()
            self.sent[int(writer)] += 1
            if not taken.isdigit():
                self.failed[int(writer)] += 1
                continue
            ended = int(seconds) * 1_000_000 + int(us)
            self.waits.append((ended - int(taken), int(taken)))

    def error_count(self):
        return len(self.errors) + sum(self.failed.values())

    def waits_within(self, begin, end):
        """Those that were waited for between these, in seconds."""
        return [(due, taken) for due, taken in self.waits
                if due <= end * 1e6 and due + taken >= begin * 1e6]


class Clients(pgbench.Load):
    """A context; they are logged in when it begins."""

    def __init__(self, subject, clients, rate, scripts, **variables):
        given = [word for name, value in variables.items() for word in ("-D", f"{name}={value}")]
        super().__init__(subject, clients, FOREVER, "-R", str(rate), *given, mode="prepared",
                         script=scripts, sampling=1)
        self.run = variables.get("run", 0)
        self.began = time.time()

    def __enter__(self):
        self.wait_logged_in()
        return self

    def work(self, seconds):
        """For so long they work on, if any does; the (begin, end) of that."""
        begin = time.time()
        try:
            self.process.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            return begin, time.time()
        raise RuntimeError(f"{self.subject.name}: no client is left:\n{self.process.communicate()[1]}")

    def journal(self):
        """Ends them. A client that got an error has ended before, and is told of."""
        if self.process.poll() is None:
            self.process.send_signal(pgbench.signal.SIGALRM)
        _out, text = self.process.communicate(timeout=ENDING_SECONDS)
        errors = [line for line in text.splitlines() if re.search(r"aborted in|error:|fatal:", line)]
        logs = "".join(path.read_text() for path in self.folder.glob("log.*"))
        return Journal(self.run, logs, errors)


def writers(subject, shape, options, run):
    scripts = [script.format(number=number) for script in (TRANSACTION, STATEMENT)
               for number in shape.numbers()]
    return Clients(subject, options.clients, options.rate, scripts, run=run, number=0,
                   accounts=shape.accounts)


def readers(subject, clients, rate, shape):
    return Clients(subject, clients, rate,
                   [READ.format(number=number) for number in shape.numbers()],
                   accounts=shape.accounts)


# ---- the journal and the tables ----

FOUND = """
WITH journal AS (SELECT * FROM unnest(%s::integer[], %s::integer[], %s::bigint[]) j (run, writer, last)),
entries AS ({entries}),
by_writer AS (
    SELECT j.last, count(e.number) AS there, count(DISTINCT e.number) AS different,
           count(DISTINCT e.number) FILTER (WHERE e.number <= j.last) AS acknowledged
    FROM journal j LEFT JOIN entries e USING (run, writer) GROUP BY j.run, j.writer, j.last
)
SELECT sum(last - acknowledged)::bigint, sum(there - different)::bigint,
       sum(different - acknowledged)::bigint,
       (SELECT count(*) FROM entries WHERE kind = 'pair'),
       (SELECT count(*) FROM entries), sum(there)::bigint
FROM by_writer
"""


class Account:
    """Whether everything that was acknowledged is there once."""

    def __init__(self, home, shape, journals):
        rows = [(journal.run, writer, sent) for journal in journals
                for writer, sent in sorted(journal.sent.items())]
        failed = sum(sum(journal.failed.values()) for journal in journals)
        numbers = shape.numbers()
        entries = " UNION ALL ".join(
            f"SELECT run, writer, number, kind FROM {home.schema}.entry_{number} WHERE run IS NOT NULL"
            for number in numbers)
        changes = " + ".join(f"(SELECT sum(changes) FROM {home.schema}.account_{number})"
                             for number in numbers)
        with home.connect() as admin:
            missing, self.doubled, self.in_doubt, pairs, everything, known = admin.execute(
                FOUND.format(entries=entries), [list(column) for column in zip(*rows)]).fetchone()
            changed = admin.execute(f"SELECT {changes}").fetchone()[0]
        self.written = sum(sent for _run, _writer, sent in rows) - failed
        self.lost = max(missing - failed, 0)
        self.strange = everything - known  # of a run or a writer that the journal does not know
        self.changes_lost = max(pairs - int(changed), 0)
        self.changes_doubled = max(int(changed) - pairs, 0)

    def text(self):
        return (f"of {self.written:,} writes that were acknowledged {self.lost} lost,"
                f" {self.doubled + self.strange} doubled; of the updates of their transactions"
                f" {self.changes_lost} lost, {self.changes_doubled} doubled; {self.in_doubt} more there"
                f" whose client was gone before the answer")
