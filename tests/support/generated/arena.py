"""The two servers, and the company that takes the backend away meanwhile."""
import contextlib
import itertools
import threading

import psycopg
from psycopg import sql

from support import wire
from support.generated import referee, shrink
from support.generated.conversation import DEADLINE_SECONDS, HURRIED_SECONDS, converse
from support.generated.steps import written
from support.world import DATA

NAME = "generated"
SHRINK_SECONDS = 60
TIMES = 3  # a conversation that failed once is held so often before it is called good
_databases = itertools.count(1)


def prepare(server):
    """A database with the same tables, of a role that may do what a tenant may; its name, and the
    role's."""
    name = f"{NAME}_{next(_databases)}"
    with server.connect() as admin:
        admin.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD 'secret'").format(sql.Identifier(name)))
        admin.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        admin.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(sql.Identifier(name)))
        admin.execute(sql.SQL("GRANT CONNECT ON DATABASE {0} TO {0}").format(sql.Identifier(name)))
    with server.connect(name) as connection:
        connection.execute((DATA / "things" / "0001_things.sql").read_text())
        connection.execute(sql.SQL(
            "GRANT SELECT, INSERT, UPDATE, DELETE ON thing, part TO {0}; GRANT SELECT ON kind,"
            " thing_parts TO {0}; GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO {0}").format(
                sql.Identifier(name)))
    return name


class Company:
    """Another tenant of the same backend, with settings and work of its own, until it is over."""

    def __init__(self, reeve, tenant):
        self.reeve, self.tenant = reeve, tenant
        self.over, self.failure, self.turns = threading.Event(), None, 0
        self.thread = threading.Thread(target=self._work)

    def _work(self):
        try:
            with self.reeve.connect(self.tenant) as connection:
                connection.execute("SET TimeZone = 'Europe/Oslo'; SET application_name = 'company';"
                                   " DELETE FROM thing;"
                                   " INSERT INTO thing (name) VALUES ('of company')")
                while not self.over.is_set():
                    found = connection.execute(
                        "SELECT %s::int, current_setting('TimeZone'), current_setting('app.user',"
                        " true), (SELECT string_agg(name, ',') FROM thing)", [self.turns]).fetchone()
                    assert found[:2] + found[3:] == (self.turns, "Europe/Oslo", "of company"), found
                    assert not found[2], found
                    self.turns += 1
        except (psycopg.Error, AssertionError) as failure:
            self.failure = failure

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.thread.join()

    def check(self):
        assert self.failure is None, f"the company is told {self.failure!r}"


class Arena:
    """Holds conversations with a database of plain PostgreSQL and with a tenant of Reeve."""

    def __init__(self, server, database, reeve, tenant):
        self.server, self.database, self.reeve, self.tenant = server, database, reeve, tenant
        self.read_log = self._log_size()
        self.held = 0

    def _log_size(self):
        return self.reeve.log_path.stat().st_size

    def _lost_step(self):
        """Whether the proxy has said so since it was asked last."""
        with open(self.reeve.log_path, "rb") as log:
            log.seek(self.read_log)
            news = log.read()
        self.read_log += len(news)
        lines = [line for line in news.decode(errors="replace").splitlines() if "out of step" in line]
        return "; ".join(lines)

    def both(self, conversation, seconds=DEADLINE_SECONDS):
        """The two transcripts."""
        with wire.Wire("127.0.0.1", self.server.port) as direct:
            direct.login(self.database, self.database, "secret")
            expected = referee.transcript(converse(direct, conversation, seconds))
        with wire.connect_to_tenant(self.reeve, self.tenant) as through:
            found = referee.transcript(converse(through, conversation, seconds))
        self.held += 1
        lost = self._lost_step()
        if lost:
            found.append(("log", lost))
        return expected, found

    def fails(self, conversation):
        expected, found = self.both(conversation, HURRIED_SECONDS)
        return not referee.agree(conversation, expected, found)

    def fails_at_times(self, conversation):
        return any(self.fails(conversation) for _ in range(TIMES))

    def must_agree(self, conversation):
        expected, found = self.both(conversation, HURRIED_SECONDS)
        assert referee.agree(conversation, expected, found), referee.show(expected, found)

    def check(self, conversation, seed=None):
        """Fails with the least conversation that shows a difference, and that difference."""
        expected, found = self.both(conversation)
        if referee.agree(conversation, expected, found):
            return
        first = referee.show(expected, found)
        least = shrink.shrink(conversation, self.fails_at_times, SHRINK_SECONDS)
        for _ in range(2 * TIMES):
            expected, found = self.both(least)
            if not referee.agree(least, expected, found):
                break
        raise AssertionError(
            f"seed {seed}\n{referee.show(expected, found)}\n--- of {written(least)}\n"
            f"--- before it was shrunk: {first}")


@contextlib.contextmanager
def kept_company(reeve, tenant):
    with Company(reeve, tenant) as company:
        yield company
    company.check()
