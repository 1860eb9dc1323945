"""Slots, change streams and COPY between servers (pg/stream.h, pg/copy.h, change/pgoutput.h), through
tests/programs/change_tail.c, on every version of PostgreSQL that there is."""
import concurrent.futures
import contextlib
import json
import subprocess
import threading

import pytest

from support import newer
from support.postgres import running_postgres
from support.process import ROOT, wait_until

TIMEOUT = 60  # seconds


def find_program():
    for folder in ("asan", "release"):
        program = ROOT / "build" / folder / "tests" / "programs" / "change-tail"
        if program.exists():
            return program
    raise AssertionError("build it first: change-tail")


PROGRAM = find_program()


class Server:
    def __init__(self, postgres):
        self.postgres = postgres
        self.admin = postgres.connect()

    def conninfo(self, database="postgres"):
        return (f"host={self.postgres.folder} port={self.postgres.port} user=postgres"
                f" dbname={database}")

    def execute(self, text, values=None):
        cursor = self.admin.execute(text, values)
        return cursor.fetchall() if cursor.description else []

    @contextlib.contextmanager
    def slot(self, name):
        """(LSN, snapshot); the snapshot is there as long as the context."""
        with subprocess.Popen([PROGRAM, "slot", self.conninfo(), name], stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE, text=True) as program:
            try:
                line = json.loads(program.stdout.readline())
                yield line["lsn"], line["snapshot"]
            finally:
                program.stdin.close()
                program.wait(TIMEOUT)

    def drop_slot(self, name):
        wait_until(lambda: self.execute("SELECT 1 FROM pg_replication_slots WHERE slot_name = %s"
                                        " AND NOT active", [name]), "the slot is free")
        self.execute("SELECT pg_drop_replication_slot(%s)", [name])

    def follow(self, slot, publication, version=1, lsn="0/0"):
        """Everything up to the message `end`, which is sent now."""
        self.execute("SELECT pg_logical_emit_message(true, 'end', '')")
        done = subprocess.run([PROGRAM, "follow", self.conninfo(), slot, publication, str(version),
                               lsn], capture_output=True, text=True, timeout=TIMEOUT, check=False)
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture(scope="module", params=[None, *newer.VERSIONS],
                ids=lambda version: str(version or 15))
def server(request):
    settings = {"wal_level": "logical", "logical_decoding_work_mem": "64kB",
                "max_replication_slots": "4"}
    with running_postgres(version=request.param, settings=settings) as postgres:
        yield Server(postgres)


@pytest.fixture
def table(server):
    """app.thing, published whole as `things`, and a slot of that name behind its making."""
    server.execute("DROP SCHEMA IF EXISTS app CASCADE; CREATE SCHEMA app;"
                   " CREATE TABLE app.thing (id bigint PRIMARY KEY, name text, body text);"
                   " ALTER TABLE app.thing ALTER body SET STORAGE EXTERNAL;"
                   " DROP PUBLICATION IF EXISTS things;"
                   " CREATE PUBLICATION things FOR TABLE app.thing")
    with server.slot("things"):
        pass
    yield "app.thing"
    server.drop_slot("things")


def kinds(lines):
    return [line["kind"] for line in lines]


def changes(lines):
    """Without relations and the transaction that ends the test."""
    assert [line["kind"] for line in lines[-3:]] == ["begin", "message", "commit"]
    return [line for line in lines[:-3] if line["kind"] != "relation"]


def test_every_change(server, table):
    server.execute(f"INSERT INTO {table} VALUES (1, NULL, repeat('x', 5000))")
    server.execute(f"UPDATE {table} SET name = 'é'")
    server.execute(f"UPDATE {table} SET id = 2")
    server.execute(f"DELETE FROM {table}")
    server.execute(f"TRUNCATE {table}")
    lines = server.follow("things", "things")
    relation = next(line for line in lines if line["kind"] == "relation")
    assert relation["name"] == "thing"
    assert relation["columns"] == [["id", True], ["name", False], ["body", False]]
    told = changes(lines)
    assert kinds(told) == [kind for change in ("insert", "update", "update", "delete", "truncate")
                           for kind in ("begin", change, "commit")]
    assert told[1]["new"] == ["1", None, "x" * 5000]
    assert told[4]["new"] == ["1", "é", True] and "old" not in told[4]
    assert told[7]["old"] == ["1", None, None] and told[7]["new"] == ["2", "é", True]
    assert told[10]["old"] == ["2", None, None]
    assert told[13]["relations"] == [relation["relation"]]


def test_a_filter_keeps_one_tenants_rows(server, table):
    server.execute("CREATE TABLE app.shared (tenant_id bigint, id bigint, name text,"
                   " PRIMARY KEY (tenant_id, id));"
                   " CREATE PUBLICATION mine FOR TABLE app.shared WHERE (tenant_id = 7)")
    for statement in ("INSERT INTO app.shared VALUES (7, 1, 'a'), (8, 1, 'b')",
                      "UPDATE app.shared SET name = name || '!'",
                      "DELETE FROM app.shared"):
        server.execute(statement)
    told = changes(server.follow("things", "mine"))
    rows = [line.get("new") or line.get("old") for line in told if line["kind"] not in
            ("begin", "commit")]
    assert rows == [["7", "1", "a"], ["7", "1", "a!"], ["7", "1", None]]
    server.execute("DROP PUBLICATION mine")


def test_a_large_transaction_comes_in_pieces(server, table):
    with server.postgres.connect(autocommit=False) as other:
        other.execute(f"INSERT INTO {table} SELECT i, 'kept' FROM generate_series(1, 3000) i")
        other.execute("SAVEPOINT s")
        other.execute(f"INSERT INTO {table} SELECT i, 'undone' FROM generate_series(3001, 6000) i")
        other.execute("ROLLBACK TO s")
        other.commit()
    lines = server.follow("things", "things", version=2)
    told = kinds(lines)
    assert "stream start" in told and told.count("stream start") == told.count("stream stop")
    assert told.count("stream commit") == 1 and "begin" not in told[:told.index("stream commit")]
    [transaction] = {line["xid"] for line in lines if line["kind"] == "stream commit"}
    undone = {line["sub_xid"] for line in lines if line["kind"] == "stream abort"}
    inserted = [line for line in lines if line["kind"] == "insert"]
    kept = [line for line in inserted if line["xid"] not in undone]
    assert [line["new"][0] for line in kept] == [str(i) for i in range(1, 3001)]
    assert {line["xid"] for line in kept} == {transaction}
    assert {line["new"][1] for line in inserted if line["xid"] in undone} <= {"undone"}


def test_what_was_confirmed_is_not_told_again(server, table):
    server.execute(f"INSERT INTO {table} VALUES (1)")
    assert "insert" in kinds(server.follow("things", "things"))
    server.execute(f"INSERT INTO {table} VALUES (2)")
    told = changes(server.follow("things", "things"))
    assert [line["new"][0] for line in told if line["kind"] == "insert"] == ["2"]


def test_snapshot_and_stream_meet(server, table):
    """While others write: every row is in the snapshot or in the stream, and in one of them."""
    stop = threading.Event()

    def write(writer):
        with server.postgres.connect() as connection:
            count = 0
            while not stop.is_set():
                connection.execute(f"INSERT INTO {table} VALUES (%s)", [writer * 1000000 + count])
                count += 1
            return {writer * 1000000 + i for i in range(count)}

    with concurrent.futures.ThreadPoolExecutor() as threads:
        writers = [threads.submit(write, writer) for writer in range(3)]
        try:
            rows = f"SELECT count(*) FROM {table}"
            wait_until(lambda: server.execute(rows)[0][0] > 100, "rows are written")
            with server.slot("met") as (_, snapshot), \
                    server.postgres.connect(autocommit=False) as reader:
                reader.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
                reader.execute(f"SET TRANSACTION SNAPSHOT '{snapshot}'")
                before = server.execute(rows)[0][0]
                wait_until(lambda: server.execute(rows)[0][0] > before + 100, "more are written")
                seen = {row[0] for row in reader.execute(f"SELECT id FROM {table}")}
        finally:
            stop.set()
        written = set().union(*(writer.result() for writer in writers))
    streamed = [int(line["new"][0]) for line in server.follow("met", "things")
                if line["kind"] == "insert"]
    server.drop_slot("met")
    assert len(streamed) == len(set(streamed)) and not seen & set(streamed)
    assert seen | set(streamed) == written
    assert len(seen) > 100 and len(streamed) > 100


# ---- refusals ----

def refused(*arguments):
    done = subprocess.run([PROGRAM, *arguments], stdin=subprocess.DEVNULL, capture_output=True,
                          text=True, timeout=TIMEOUT, check=False)
    assert done.returncode == 1, done.stdout
    return done.stderr


def test_slots_that_cannot_be_made(server, table):
    assert refused("slot", server.conninfo(), "things").startswith("EXISTS")
    assert refused("slot", server.conninfo(), 'x"; y').startswith("INVALID")
    for number in range(3):
        with server.slot(f"more_{number}"):
            pass
    assert refused("slot", server.conninfo(), "too_many").startswith("LIMIT")
    for number in range(3):
        server.drop_slot(f"more_{number}")


def test_streams_that_cannot_be_had(server, table):
    assert "does not exist" in refused("follow", server.conninfo(), "nothing", "things", "1", "0/0")
    if server.postgres.version == 18:
        return  # which passes over a publication that is not there
    server.execute(f"INSERT INTO {table} VALUES (1)")
    assert 'publication "other" does not exist' in refused(
        "follow", server.conninfo(), "things", "other", "1", "0/0").replace("the ", "")


# ---- COPY ----

@pytest.fixture
def copied(server):
    server.execute("DROP SCHEMA IF EXISTS app CASCADE; CREATE SCHEMA app;"
                   " CREATE TABLE app.one (id bigint PRIMARY KEY, body text);"
                   " CREATE TABLE app.two (LIKE app.one INCLUDING ALL);"
                   " INSERT INTO app.one SELECT i, repeat('x', 1000)"
                   " FROM generate_series(1, 5000) i")


def copy(server, out, into):
    return [PROGRAM, "copy", server.conninfo(), server.conninfo(), out, into]


OUT = "COPY app.one TO STDOUT (FORMAT binary)"
INTO = "COPY app.two FROM STDIN (FORMAT binary)"


def test_copy(server, copied):
    line = json.loads(subprocess.run(copy(server, OUT, INTO), capture_output=True, check=True,
                                     timeout=TIMEOUT).stdout)
    assert line["rows"] == 5000 and line["bytes"] > 5000 * 1000
    assert server.execute("TABLE app.one EXCEPT TABLE app.two") == []
    assert server.execute("SELECT count(*) FROM app.two") == [(5000,)]


@pytest.mark.parametrize("out, into, said", [
    ("COPY app.none TO STDOUT", INTO, "42P01"),
    (OUT, "COPY app.none FROM STDIN", "42P01"),
    (OUT, "COPY app.two FROM STDIN", ""),  # the formats differ
    ("COPY (SELECT 1 / (id - 4000), body FROM app.one ORDER BY id) TO STDOUT (FORMAT binary)", INTO,
     "22012"),
    ("COPY (SELECT 1::bigint, body FROM app.one) TO STDOUT (FORMAT binary)", INTO, "23505"),
    ("SELECT 1", INTO, "INTERNAL"),
])
def test_a_copy_that_fails(server, copied, out, into, said):
    """The reason comes from the side that failed, and nothing is there."""
    assert said in refused(*copy(server, out, into)[1:])
    assert server.execute("SELECT count(*) FROM app.two") == [(0,)]
