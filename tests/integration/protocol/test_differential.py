"""Raw message sequences, straight to PostgreSQL and through Reeve, compared message by message."""
import struct

import pytest

from support import wire
from support.differential import exchange, show, transcript
from support.process import wait_until
from support.wire import (bind, close, copy_data, copy_done, copy_fail, describe, execute, flush,
                          frame, function_call, parse, query, sync, text)
from support.world import DATA

INT4 = 23
MEGABYTES = 1 << 20


def pipeline(*messages):
    return b"".join(messages)


def selects(count):
    """A pipeline of that many unnamed statements with one Sync."""
    return pipeline(*(pipeline(parse(f"SELECT {number}"), bind(), execute())
                      for number in range(count)), sync())


# name: (messages, number of ReadyForQuery expected)
CASES = {
    # ---- simple protocol ----
    "simple": ([query("SELECT 1")], 1),
    "simple empty": ([query("")], 1),
    "simple blank and comment": ([query("  -- nothing\n ;;")], 1),
    "simple several statements": ([query("SELECT 1; SELECT 'two'; SELECT 3.0")], 1),
    "simple error in the second": ([query("SELECT 1; SELECT 1/0; SELECT 2")], 1),
    "simple syntax error": ([query("SELEKT 1")], 1),
    "simple error position": ([query("SELECT nothing_here FROM thing")], 1),
    "simple null and empty": ([query("SELECT NULL, ''")], 1),
    "simple no columns": ([query("SELECT")], 1),
    "simple command tags": ([query("BEGIN; INSERT INTO thing (name) VALUES ('tag'); UPDATE thing"
                                   " SET amount = 2 WHERE name = 'tag'; DELETE FROM thing"
                                   " WHERE name = 'tag'; ROLLBACK")], 1),
    "simple transaction block": ([query("BEGIN"), query("SELECT 1"), query("COMMIT")], 3),
    "simple failed transaction": ([query("BEGIN"), query("SELECT 1/0"), query("SELECT 1"),
                                   query("ROLLBACK"), query("SELECT 2")], 5),
    "simple queries sent ahead": ([pipeline(*(query(f"SELECT {n}") for n in range(50)))], 50),
    "simple notices": ([query("DO $$ BEGIN RAISE NOTICE 'a'; RAISE WARNING 'b' USING DETAIL = 'c',"
                              " HINT = 'd'; END $$")], 1),
    "simple own error fields": ([query("DO $$ BEGIN RAISE EXCEPTION 'own' USING ERRCODE = 'XY123',"
                                       " DETAIL = 'detail', HINT = 'hint', SCHEMA = 's',"
                                       " TABLE = 't', COLUMN = 'c', DATATYPE = 'd',"
                                       " CONSTRAINT = 'n'; END $$")], 1),
    "simple commit warnings": ([query("COMMIT"), query("BEGIN; BEGIN; ROLLBACK")], 2),
    "simple savepoints": ([query("BEGIN; SAVEPOINT a; SELECT 1/0"), query("ROLLBACK TO a"),
                           query("SELECT 5; COMMIT")], 3),
    "simple sql prepare": ([query("PREPARE s AS SELECT $1::int"), query("EXECUTE s(4)"),
                            query("DEALLOCATE s"), query("EXECUTE s(4)")], 4),
    "simple sql cursor": ([query("BEGIN; DECLARE c CURSOR FOR SELECT generate_series(1, 5)"),
                           query("FETCH 2 FROM c"), query("FETCH ALL FROM c; COMMIT")], 3),
    "simple row of 2 MB": ([query(f"SELECT repeat('x', {2 * MEGABYTES})")], 1),
    "simple text of 3 MB": ([query("SELECT length('" + "y" * 3 * MEGABYTES + "')")], 1),
    "simple many rows": ([query("SELECT i, repeat('z', i % 300) FROM generate_series(1, 5000) i")],
                         1),
    "simple show and set": ([query("SET extra_float_digits = 2"), query("SHOW extra_float_digits"),
                             query("RESET extra_float_digits")], 3),
    "simple parameter status": ([query("SET DateStyle = 'German'"), query("SELECT date '2020-02-01'"),
                                 query("RESET DateStyle")], 3),
    "simple parameter status rolled back": (
        [query("BEGIN; SET TimeZone = 'Asia/Tokyo'"), query("SHOW TimeZone"), query("ROLLBACK"),
         query("SHOW TimeZone")], 4),
    "simple transaction characteristics": (
        [query("BEGIN ISOLATION LEVEL SERIALIZABLE READ ONLY"), query("SHOW transaction_isolation"),
         query("INSERT INTO thing (name) VALUES ('x')"), query("ROLLBACK"),
         query("SHOW transaction_isolation")], 5),
    "simple discard all": ([query("SET work_mem = '5MB'"), query("DISCARD ALL"),
                            query("SHOW work_mem")], 3),
    # ---- extended protocol ----
    "extended": ([pipeline(parse("SELECT $1::int + 1", types=[INT4]), bind([41]), describe("P"),
                           execute(), sync())], 1),
    "extended describe statement": ([pipeline(parse("SELECT $1::int, 'x' AS t", "s1"),
                                              describe("S", "s1"), sync(),
                                              close("S", "s1"), sync())], 2),
    "extended describe no data": ([pipeline(parse("DELETE FROM thing WHERE id = -1", "s2"),
                                            describe("S", "s2"), bind(name="s2"), describe("P"),
                                            execute(), close("S", "s2"), sync())], 1),
    "extended named twice": ([pipeline(parse("SELECT 1", "dup"), parse("SELECT 2", "dup"), sync(),
                                       bind(name="dup"), execute(), sync(), close("S", "dup"),
                                       sync())], 3),
    "extended named used again": (
        [pipeline(parse("SELECT $1::text", "again"), sync()),
         *(pipeline(bind([f"n{n}"], "again"), execute(), sync()) for n in range(20)),
         pipeline(close("S", "again"), sync())], 22),
    "extended name used after close": ([pipeline(parse("SELECT 1", "gone"), close("S", "gone"),
                                                 bind(name="gone"), execute(), sync())], 1),
    "extended other text under a closed name": (
        [pipeline(parse("SELECT 1", "reuse"), bind(name="reuse"), execute(), close("S", "reuse"),
                  parse("SELECT 'two'", "reuse"), bind(name="reuse"), describe("P"), execute(),
                  close("S", "reuse"), sync())], 1),
    "extended unknown statement": ([pipeline(bind(name="nobody"), execute(), sync())], 1),
    "extended describe unknown statement": ([pipeline(describe("S", "nobody"), sync())], 1),
    "extended describe unknown portal": ([pipeline(describe("P", "nobody"), sync())], 1),
    "extended close unknown": ([pipeline(close("S", "nobody"), close("P", "nobody"), sync())], 1),
    "extended execute unknown portal": ([pipeline(execute("nobody"), sync())], 1),
    "extended error in Parse": ([pipeline(parse("SELEKT", "bad"), bind(name="bad"), execute(),
                                          sync()), pipeline(bind(name="bad"), sync())], 2),
    "extended error in Bind": ([pipeline(parse("SELECT $1::int"), bind(["x"]), execute(),
                                         sync())], 1),
    "extended too few parameters": ([pipeline(parse("SELECT $1::int"), bind([]), execute(),
                                              sync())], 1),
    "extended error in Execute": ([pipeline(parse("SELECT 1/$1::int"), bind([0]), execute(),
                                            parse("SELECT 'skipped'"), bind(), execute(), sync()),
                                   pipeline(parse("SELECT 'after'"), bind(), execute(), sync())],
                                  2),
    "extended several statements refused": ([pipeline(parse("SELECT 1; SELECT 2"), sync())], 1),
    "extended empty query": ([pipeline(parse(""), bind(), describe("P"), execute(), sync())], 1),
    "extended binary": ([pipeline(parse("SELECT $1::int, $2::bytea"), bind(
        [struct.pack("!i", 77), b"\0\1\2"], formats=[1], results=[1]), describe("P"), execute(),
        sync())], 1),
    "extended null parameter": ([pipeline(parse("SELECT $1::text IS NULL"), bind([None]), execute(),
                                          sync())], 1),
    "extended parameter of 4 MB": ([pipeline(parse("SELECT length($1::text)"),
                                             bind(["p" * 4 * MEGABYTES]), execute(), sync())], 1),
    "extended statement text of 1 MB": ([pipeline(
        parse("SELECT /*" + "c" * MEGABYTES + "*/ 5", "long"), bind(name="long"), execute(),
        close("S", "long"), sync())], 1),
    "extended 500 statements in a pipeline": ([selects(500)], 1),
    "extended 200 pipelines sent ahead": ([pipeline(*(selects(1) for _ in range(200)))], 200),
    "extended error in the middle of pipelines": (
        [pipeline(selects(3), parse("SELECT 1/0"), bind(), execute(), parse("SELECT 8"), bind(),
                  execute(), sync(), selects(2))], 3),
    "extended error with faked replies behind it": (
        [pipeline(parse("SELECT 1", "f1"), parse("SELECT 2", "f2"), sync()),
         pipeline(parse("SELECT 1/0"), bind(), execute(), parse("SELECT 3", "f3"),
                  close("S", "f1"), bind(name="f2"), execute(), sync()),
         pipeline(bind(name="f1"), execute(), sync()), pipeline(bind(name="f3"), sync()),
         pipeline(close("S", "f1"), close("S", "f2"), close("S", "f3"), sync())], 5),
    "extended statements in a transaction": (
        [pipeline(parse("BEGIN"), bind(), execute(), sync(),
                  parse("SELECT 1"), bind(), execute(), sync(),
                  parse("COMMIT"), bind(), execute(), sync())], 3),
    "extended transaction in one pipeline": (
        [pipeline(*(pipeline(parse(sql), bind(), execute()) for sql in (
            "BEGIN", "INSERT INTO thing (name) VALUES ('in pipeline')",
            "DELETE FROM thing WHERE name = 'in pipeline'", "COMMIT")), sync())], 1),
    "extended portal with row limit": (
        [pipeline(parse("BEGIN"), bind(), execute(), sync()),
         pipeline(parse("SELECT generate_series(1, 10)"), bind(portal="p"), execute("p", 4),
                  sync()),
         pipeline(execute("p", 4), sync()), pipeline(execute("p", 0), sync()),
         pipeline(close("P", "p"), parse("COMMIT"), bind(), execute(), sync())], 5),
    "extended suspended portal and Flush": (
        [pipeline(parse("SELECT generate_series(1, 6)"), bind(), execute("", 2), flush()),
         pipeline(execute("", 2), flush()), pipeline(execute("", 0), sync())], 1),
    "extended portal gone after Sync": ([pipeline(parse("SELECT 1"), bind(portal="q"), sync(),
                                                  execute("q"), sync())], 2),
    "extended sync alone": ([pipeline(sync(), sync(), sync())], 3),
    "extended flush alone": ([pipeline(flush(), flush(), sync())], 1),
    "extended unnamed kept over Sync": ([pipeline(parse("SELECT $1::int"), sync()),
                                         pipeline(bind([5]), execute(), sync()),
                                         pipeline(bind([6]), execute(), sync())], 3),
    "extended unnamed dropped by simple query": ([pipeline(parse("SELECT 1"), sync()), query("SELECT 2"),
                                                  pipeline(bind(), execute(), sync())], 3),
    "extended deallocate all": ([pipeline(parse("SELECT 1", "d1"), sync()),
                                 query("DEALLOCATE ALL"),
                                 pipeline(bind(name="d1"), execute(), sync())], 3),
    "extended deallocate in the middle of a pipeline": (
        [pipeline(parse("SELECT 1", "d2"), bind(name="d2"), execute(), parse("DEALLOCATE ALL"),
                  bind(), execute(), bind(name="d2"), execute(), sync())], 1),
    "extended deallocate by name": ([pipeline(parse("SELECT 1", "d3"), sync()),
                                     query("DEALLOCATE d3"),
                                     pipeline(bind(name="d3"), execute(), sync())], 3),
    "extended execute of a prepared by SQL": ([query("PREPARE viasql AS SELECT 9"),
                                               pipeline(bind(name="viasql"), execute(), sync()),
                                               query("DEALLOCATE viasql")], 3),
    # ---- simple in the middle of a pipeline ----
    "simple in a pipeline": ([pipeline(parse("SELECT 1"), bind(), execute(), query("SELECT 2"),
                                       parse("SELECT 3"), bind(), execute(), sync())], 2),
    "simple error in a pipeline": ([pipeline(parse("SELECT 1"), bind(), execute(),
                                             query("SELECT 1/0"), parse("SELECT 3"), bind(),
                                             execute(), sync())], 2),
    "simple after an extended error": ([pipeline(parse("SELEKT"), query("SELECT 'skipped'"),
                                                 sync(), query("SELECT 'seen'"))], 2),
    # ---- COPY ----
    "copy out": ([query("COPY (SELECT i FROM generate_series(1, 300) i) TO STDOUT")], 1),
    "copy out binary": ([query("COPY (SELECT 1::int) TO STDOUT BINARY")], 1),
    "copy out with an error": ([query("COPY (SELECT 1/(5-i) FROM generate_series(1, 9) i)"
                                      " TO STDOUT")], 1),
    "copy out extended": ([pipeline(parse("COPY (SELECT 1) TO STDOUT"), bind(), execute(),
                                    sync())], 1),
    "copy data without copy": ([pipeline(copy_data(b"x\n"), copy_done(), query("SELECT 1"))], 1),
    "copy fail without copy": ([pipeline(copy_fail("no"), query("SELECT 1"))], 1),
    # ---- other ----
    "function call": ([function_call(177, [struct.pack("!i", 20), struct.pack("!i", 22)])], 1),
    "function call unknown": ([function_call(1, [])], 1),
    "function call error": ([function_call(154, [struct.pack("!i", 1), struct.pack("!i", 0)])], 1),
    "bad bind lengths": ([pipeline(parse("SELECT 1"), frame("B", text("") + text("") + b"\0\0")),
                          sync()], 1),
}

# COPY FROM is for the modes in which PostgreSQL allows it.
COPY_IN_CASES = {
    "copy in": ([query("COPY thing (name, amount) FROM STDIN"),
                 pipeline(copy_data(b"copied-1\t1\n"), copy_data(b"copied-2\t2\n"), copy_done()),
                 query("DELETE FROM thing WHERE name LIKE 'copied-%'")], 2),
    "copy in sent ahead": ([pipeline(query("COPY thing (name) FROM STDIN"), copy_data(b"ahead\n"),
                                     copy_done(), query("DELETE FROM thing WHERE name = 'ahead'"))],
                           2),
    "copy in failed by the client": ([pipeline(query("COPY thing (name) FROM STDIN"),
                                               copy_data(b"x\n"), copy_fail("changed my mind")),
                                      query("SELECT 1")], 2),
    "copy in with bad data": ([pipeline(query("COPY thing (name, amount) FROM STDIN"),
                                        copy_data(b"bad\tnot a number\n"), copy_data(b"more\t1\n"),
                                        copy_done()), query("SELECT 1")], 2),
    "copy in with much data behind the error": (
        [pipeline(query("COPY thing (name, amount) FROM STDIN"), copy_data(b"bad\tx\n"),
                  *(copy_data(b"row\t1\n" * 1000) for _ in range(200)), copy_done()),
         query("SELECT 1")], 2),
    "copy in extended": ([pipeline(parse("COPY thing (name) FROM STDIN"), bind(), execute(),
                                   copy_data(b"extended\n"), copy_done(), sync()),
                          query("DELETE FROM thing WHERE name = 'extended'")], 2),
    "copy in extended, Sync before the data": (
        [pipeline(parse("COPY thing (name) FROM STDIN"), bind(), execute(), sync()),
         pipeline(copy_data(b"late\n"), copy_done(), sync()),
         query("DELETE FROM thing WHERE name = 'late'")], 2),
    "copy in extended with an error": (
        [pipeline(parse("COPY thing (name, amount) FROM STDIN"), bind(), execute(),
                  copy_data(b"bad\tx\n"), copy_done(), sync()), query("SELECT 1")], 2),
    "copy in of 3 MB": ([pipeline(query("COPY thing (name, body) FROM STDIN"),
                                  copy_data(b"big\t" + b"b" * 3 * MEGABYTES + b"\n"), copy_done()),
                         query("DELETE FROM thing WHERE name = 'big'")], 2),
    "two copies in one query": ([query("COPY thing (name) FROM STDIN; COPY (SELECT 5) TO STDOUT"),
                                 pipeline(copy_data(b"two\n"), copy_done()),
                                 query("DELETE FROM thing WHERE name = 'two'")], 2),
}


@pytest.fixture(scope="module")
def model(plain):
    """A database on plain PostgreSQL with the same tables."""
    with plain.connect() as admin:
        admin.execute("CREATE DATABASE model")
    with plain.connect("model") as connection:
        connection.execute((DATA / "things" / "0001_things.sql").read_text())
    return plain


def both(world, model, mode, chunks, ready):
    with wire.connect_to_plain(model, "model") as direct:
        expected = transcript(exchange(direct, chunks, ready))
    with wire.connect_to_tenant(world.reeve, world.tenant(mode)) as through:
        found = transcript(exchange(through, chunks, ready))
    assert found == expected, f"PostgreSQL:\n{show(expected)}\nReeve:\n{show(found)}"


@pytest.mark.parametrize("mode", ["row", "database"])
@pytest.mark.parametrize("name", CASES)
def test_same_messages(world, model, mode, name):
    chunks, ready = CASES[name]
    both(world, model, mode, chunks, ready)


@pytest.mark.parametrize("mode", ["schema", "database"])
@pytest.mark.parametrize("name", COPY_IN_CASES)
def test_same_messages_of_copy_in(world, model, mode, name):
    chunks, ready = COPY_IN_CASES[name]
    both(world, model, mode, chunks, ready)


@pytest.mark.parametrize("name", ["simple several statements", "extended error in Execute",
                                  "extended portal with row limit", "simple in a pipeline",
                                  "extended error with faked replies behind it"])
def test_same_messages_byte_by_byte(world, model, name):
    """However the bytes are cut, the answer is the same."""
    chunks, ready = CASES[name]
    cut = [bytes([byte]) for byte in b"".join(chunks)]
    both(world, model, "schema", cut, ready)


def test_login_parameters(world, model):
    """ParameterStatus and what else comes with a login."""
    with wire.Wire("127.0.0.1", model.port) as direct:
        expected = direct.login("postgres", "model", model.password, client_encoding="UTF8",
                                application_name="same", DateStyle="SQL, DMY")
    tenant = world.tenant("schema")
    with wire.Wire("127.0.0.1", world.reeve.port) as through:
        found = through.login(tenant.slug, tenant.service, tenant.secret, client_encoding="UTF8",
                              application_name="same", DateStyle="SQL, DMY")
    expected, found = (sorted(message for message in transcript(messages)
                              if message[0] in "SZ") for messages in (expected, found))
    assert found == expected


def test_error_comes_before_sync(world):
    """An ErrorResponse is not held back until Sync."""
    with wire.connect_to_tenant(world.reeve, world.tenant("schema")) as connection:
        connection.send(parse("SELEKT"))
        assert connection.receive().sqlstate == "42601"
        assert [message.type for message in connection.ask(sync())] == ["Z"]


def test_flush_brings_answers(world):
    with wire.connect_to_tenant(world.reeve, world.tenant("schema")) as connection:
        connection.send(parse("SELECT 1", "flushed"), flush())
        assert connection.receive().type == "1"
        connection.send(bind(name="flushed"), describe("P"), flush())
        assert [connection.receive().type for _ in range(2)] == ["2", "T"]
        connection.send(execute(), flush())
        assert [connection.receive().type for _ in range(2)] == ["D", "C"]
        assert [message.type for message in connection.ask(sync())] == ["Z"]
        # The same again: the proxy answers Parse itself, and must not wait for Sync with it.
        connection.send(close("S", "flushed"), parse("SELECT 1", "flushed"), flush())
        assert [connection.receive().type for _ in range(2)] == ["3", "1"]
        connection.ask(sync())


def test_unknown_message_type(world, model):
    """FATAL, and the connection ends, as PostgreSQL does."""
    found = []
    for connection in (wire.connect_to_plain(model, "model"),
                       wire.connect_to_tenant(world.reeve, world.tenant("schema"))):
        with connection:
            connection.send(frame("?", b"what"))
            messages = connection.rest()
            found.append([(message.type, message.fields["S"], message.sqlstate)
                          for message in messages if message.type == "E"])
    assert found[0] == found[1] == [("E", "FATAL", "08P01")]


def test_bad_length(world):
    """A length below 4 ends the connection and harms nobody else."""
    with wire.connect_to_tenant(world.reeve, world.tenant("schema")) as connection:
        connection.send(b"Q" + struct.pack("!i", 3))
        assert {message.type for message in connection.rest()} <= {"E"}
    with wire.connect_to_tenant(world.reeve, world.tenant("schema")) as connection:
        assert connection.ask(query("SELECT 1"))[-1].body == b"I"


def test_terminate_in_a_transaction_rolls_back(world):
    tenant = world.tenant("schema")
    with wire.connect_to_tenant(world.reeve, tenant) as connection:
        connection.ask(query("BEGIN; INSERT INTO thing (name) VALUES ('never')"))
        connection.send(wire.terminate())
        assert connection.rest() == []
    with wire.connect_to_tenant(world.reeve, tenant) as connection:
        rows = connection.ask(query("SELECT count(*) FROM thing WHERE name = 'never'"))
        assert rows[1].columns == [b"0"]


@pytest.mark.parametrize("cut", [
    query("SELECT pg_sleep(60)")[:-3],
    parse("SELECT 1") + bind()[:6],
    query("BEGIN; INSERT INTO thing (name) VALUES ('cut')"),
    query("COPY thing (name) FROM STDIN") + copy_data(b"cut\n"),
    query("COPY thing (name) FROM STDIN") + copy_data(b"cut\n" * 100)[:50],
    parse("INSERT INTO thing (name) VALUES ('cut')") + bind() + execute(),
    query("SELECT repeat('x', 1000000) FROM generate_series(1, 100)"),
], ids=["in a frame", "in a pipeline", "in a transaction", "in COPY", "in CopyData",
        "before Sync", "not reading"])
def test_disconnect_anywhere_leaves_nothing(world, cut):
    """No transaction, lock or row is left of a client that vanishes."""
    tenant = world.tenant("schema", "c")
    connection = wire.connect_to_tenant(world.reeve, tenant)
    connection.send(cut)
    connection.close()
    role = world.placement(tenant)["login_role"]

    def quiet():
        return world.reeve.query(
            "SELECT count(*) FROM pg_stat_activity WHERE usename = %s AND state <> 'idle'",
            role) == [(0,)]

    wait_until(quiet, "no transaction is left", 30)
    with wire.connect_to_tenant(world.reeve, tenant) as after:
        rows = after.ask(query("SELECT count(*) FROM thing WHERE name = 'cut'"))
        assert rows[1].columns == [b"0"]
