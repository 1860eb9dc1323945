"""psycopg 3: extended protocol, prepared statements, pipelines, binary, COPY."""
import concurrent.futures
import threading
import time

import psycopg
import pytest
from psycopg import errors

from support.process import wait_until
from support.world import error_of, unique

LARGE = 20 * 1024 * 1024
REUSES = 1000


def test_insert_and_select(connection):
    name = unique()
    row = connection.execute(
        "INSERT INTO thing (name, amount, body) VALUES (%s, %s, %s) RETURNING id, amount",
        [name, "12.50", "grüße ☂"]).fetchone()
    found = connection.execute("SELECT id, amount, body FROM thing WHERE name = %s",
                               [name]).fetchone()
    assert found == (*row, "grüße ☂")


def test_commit_and_rollback(world, tenant):
    kept, lost = unique("kept"), unique("lost")
    with world.reeve.connect(tenant, autocommit=False) as connection:
        connection.execute("INSERT INTO thing (name) VALUES (%s)", [kept])
        connection.commit()
        connection.execute("INSERT INTO thing (name) VALUES (%s)", [lost])
        connection.rollback()
        names = connection.execute("SELECT name FROM thing WHERE name IN (%s, %s)",
                                   [kept, lost]).fetchall()
    assert names == [(kept,)]


def test_savepoints(connection):
    name = unique()
    with connection.transaction():
        connection.execute("INSERT INTO thing (name) VALUES (%s)", [name])
        with pytest.raises(errors.UniqueViolation):
            with connection.transaction():
                connection.execute("INSERT INTO thing (name) VALUES (%s)", [name])
        connection.execute("UPDATE thing SET body = 'after' WHERE name = %s", [name])
    assert connection.execute("SELECT body FROM thing WHERE name = %s",
                              [name]).fetchone() == ("after",)


def test_transaction_isolation_level(world, tenant):
    with world.reeve.connect(tenant, autocommit=False) as connection:
        connection.isolation_level = psycopg.IsolationLevel.SERIALIZABLE
        assert connection.execute("SHOW transaction_isolation").fetchone() == ("serializable",)
        connection.rollback()
        connection.isolation_level = None
        assert connection.execute("SHOW transaction_isolation").fetchone() == ("read committed",)


def test_prepared_reuse_beside_other_clients(world, tenant):
    """Three clients use the same statements under the same names, in turn, so that backends are
    shared between them."""
    clients = [world.reeve.connect(tenant) for _ in range(3)]
    try:
        for number in range(REUSES):
            client = clients[number % 3]
            total = client.execute("SELECT %s::int + %s::int", [number, 1], prepare=True)
            assert total.fetchone() == (number + 1,)
            count = client.execute("SELECT count(*) FROM kind WHERE code <> %s", ["-"],
                                   prepare=True)
            assert count.fetchone() == (2,)
    finally:
        for client in clients:
            client.close()


def test_more_statements_than_psycopg_keeps(connection):
    """psycopg closes the oldest ones itself (DEALLOCATE)."""
    connection.prepared_max = 10
    for number in range(60):
        row = connection.execute(f"SELECT %s::int + {number}", [1], prepare=True).fetchone()
        assert row == (number + 1,)
    assert connection.execute("SELECT %s::int + 0", [1], prepare=True).fetchone() == (1,)


def test_errors_leave_the_connection_usable(connection):
    cases = [
        ("SELEKT 1", errors.SyntaxError),
        ("SELECT * FROM no_such_table", errors.UndefinedTable),
        ("SELECT 1 / 0", errors.DivisionByZero),
        ("INSERT INTO thing (name, amount) VALUES ('negative', -1)", errors.CheckViolation),
        ("INSERT INTO part (thing_id, label) VALUES (-1, 'x')", errors.ForeignKeyViolation),
        ("INSERT INTO thing (name) VALUES (NULL)", errors.NotNullViolation),
    ]
    for prepare in (False, True):
        for sql, expected in cases:
            with pytest.raises(expected):
                connection.execute(sql, prepare=prepare)
            assert connection.execute("SELECT 1").fetchone() == (1,)


def test_failed_transaction(world, tenant):
    with world.reeve.connect(tenant, autocommit=False) as connection:
        with pytest.raises(errors.DivisionByZero):
            connection.execute("SELECT 1 / 0")
        with pytest.raises(errors.InFailedSqlTransaction):
            connection.execute("SELECT 1")
        connection.rollback()
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_copy_out(connection):
    prefix = unique("copy")
    connection.execute("INSERT INTO thing (name, amount) SELECT %s || i, i"
                       " FROM generate_series(1, 500) i", [prefix])
    with connection.cursor().copy("COPY (SELECT name, amount FROM thing WHERE name LIKE '"
                                  + prefix + "%' ORDER BY amount) TO STDOUT") as copy:
        rows = list(copy.rows())
    assert rows == [(f"{prefix}{number}", f"{number}.00") for number in range(1, 501)]


def test_copy_in(world, mode, connection):
    prefix = unique("copy")

    def load():
        with connection.cursor().copy("COPY thing (name, amount) FROM STDIN") as copy:
            for number in range(2000):
                copy.write_row((f"{prefix}{number}", number))

    if mode == "row" and not world.direct:
        error = error_of(load)
        assert error.sqlstate == "0A000"
        assert "row-level security" in error.diag.message_primary
        assert "INSERT" in error.diag.message_hint
        expected = 0
    else:
        load()
        expected = 2000
    count = connection.execute("SELECT count(*) FROM thing WHERE name LIKE %s", [prefix + "%"])
    assert count.fetchone() == (expected,)


@pytest.mark.parametrize("mode", ["schema", "database"])
def test_copy_in_that_the_client_gives_up(connection):
    name = unique()
    with pytest.raises(errors.QueryCanceled, match="changed my mind"):
        with connection.cursor().copy("COPY thing (name) FROM STDIN") as copy:
            copy.write_row((name,))
            raise RuntimeError("changed my mind")
    assert connection.execute("SELECT count(*) FROM thing WHERE name = %s",
                              [name]).fetchone() == (0,)


def test_large_values(connection):
    name, body = unique(), "x" * LARGE
    connection.execute("INSERT INTO thing (name, body, data) VALUES (%s, %s, %b)",
                       [name, body, body.encode()])
    row = connection.execute("SELECT body, data FROM thing WHERE name = %s", [name],
                             binary=True).fetchone()
    assert row[0] == body
    assert row[1] == body.encode()
    connection.execute("DELETE FROM thing WHERE name = %s", [name])


def test_large_simple_query(world, tenant):
    with world.reeve.connect(tenant, factory=psycopg.connect) as connection:
        cursor = psycopg.ClientCursor(connection)
        assert cursor.execute("SELECT length(%s)", ["y" * LARGE]).fetchone() == (LARGE,)


def test_many_rows(connection):
    total = 0
    with connection.transaction(), connection.cursor("many") as cursor:
        cursor.itersize = 1000
        for (number,) in cursor.execute("SELECT i FROM generate_series(1, 20000) i"):
            total += number
    assert total == 20000 * 20001 // 2


def test_pipeline(connection):
    with connection.pipeline():
        cursors = [connection.execute("SELECT %s::int", [number]) for number in range(500)]
    assert [cursor.fetchone()[0] for cursor in cursors] == list(range(500))


def test_pipeline_with_prepared_statements(connection):
    with connection.pipeline():
        cursors = [connection.execute("SELECT %s::int * 2", [number], prepare=True)
                   for number in range(500)]
    assert [cursor.fetchone()[0] for cursor in cursors] == [2 * number for number in range(500)]


def test_pipeline_with_an_error(connection):
    """The whole implicit transaction is undone, and what follows the next Sync works."""
    name = unique()
    with pytest.raises(errors.DivisionByZero):
        with connection.pipeline():
            connection.execute("INSERT INTO thing (name) VALUES (%s)", [name])
            connection.execute("SELECT 1 / 0")
            connection.execute("INSERT INTO thing (name) VALUES (%s)", [name + "-2"])
    assert connection.execute("SELECT count(*) FROM thing WHERE name LIKE %s",
                              [name + "%"]).fetchone() == (0,)


def test_executemany(connection):
    prefix = unique("many")
    cursor = connection.cursor()
    cursor.executemany("INSERT INTO thing (name, amount) VALUES (%s, %s)",
                       [(f"{prefix}{number}", number) for number in range(300)])
    assert connection.execute("SELECT count(*), sum(amount) FROM thing WHERE name LIKE %s",
                              [prefix + "%"]).fetchone() == (300, 44850)


def test_cancel(world, tenant):
    with world.reeve.connect(tenant) as connection:
        with concurrent.futures.ThreadPoolExecutor(1) as thread:
            begun = time.monotonic()
            waiting = thread.submit(connection.execute, "SELECT pg_sleep(60)")

            def cancelled():
                connection.cancel()
                return waiting.done()

            wait_until(cancelled, "the query is cancelled", 30)
            with pytest.raises(errors.QueryCanceled):
                waiting.result()
            assert time.monotonic() - begun < 30
        # What came too late must not hit what comes next.
        for number in range(20):
            assert connection.execute("SELECT %s::int", [number]).fetchone() == (number,)


def test_notices(connection):
    heard = []
    connection.add_notice_handler(lambda notice: heard.append(notice.message_primary))
    connection.execute("DO $$ BEGIN RAISE NOTICE 'hello'; END $$")
    assert heard == ["hello"]


def test_many_threads(world, tenant):
    failures = []

    def work(worker):
        with world.reeve.connect(tenant) as connection:
            for number in range(50):
                row = connection.execute("SELECT %s::int, %s::int", [worker, number],
                                         prepare=number > 5).fetchone()
                if row != (worker, number):
                    failures.append((worker, number, row))

    threads = [threading.Thread(target=work, args=[worker]) for worker in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_tenants_in_turn_see_their_own(world, mode):
    """Everybody writes the same natural key, and reads his own row alone."""
    name = unique("shared-name")
    letters = "abc"
    clients = {letter: world.reeve.connect(world.tenant(mode, letter)) for letter in letters}
    try:
        for letter, client in clients.items():
            client.execute("INSERT INTO thing (name, body) VALUES (%s, %s)", [name, letter])
        for _ in range(20):
            for letter, client in clients.items():
                rows = client.execute("SELECT body FROM thing WHERE name = %s", [name],
                                      prepare=True).fetchall()
                assert rows == [(letter,)]
    finally:
        for client in clients.values():
            client.close()
