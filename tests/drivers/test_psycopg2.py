"""psycopg2: the simple protocol, SQL-level PREPARE, server-side cursors."""
import concurrent.futures
import io

import psycopg2
import psycopg2.errorcodes
import psycopg2.extensions
import psycopg2.extras
import pytest

from support.process import wait_until
from support.world import unique

LARGE = 20 * 1024 * 1024


@pytest.fixture
def client(world, tenant):
    opened = psycopg2.connect(world.reeve.conninfo(tenant))
    yield opened
    opened.close()


def rows(client, sql, values=None):
    with client.cursor() as cursor:
        cursor.execute(sql, values)
        return cursor.fetchall()


def test_insert_select_commit_rollback(client):
    kept, lost = unique("kept"), unique("lost")
    with client, client.cursor() as cursor:
        cursor.execute("INSERT INTO thing (name, amount) VALUES (%s, %s) RETURNING amount",
                       [kept, 3])
        assert cursor.fetchone()[0] == 3
    with pytest.raises(RuntimeError), client, client.cursor() as cursor:
        cursor.execute("INSERT INTO thing (name) VALUES (%s)", [lost])
        raise RuntimeError("roll back")
    assert rows(client, "SELECT name FROM thing WHERE name IN (%s, %s)", [kept, lost]) == [(kept,)]


def test_sql_prepare_over_1000_reuses(client):
    client.autocommit = True
    with client.cursor() as cursor:
        cursor.execute("PREPARE twice (int) AS SELECT $1 * 2")
        for number in range(1000):
            cursor.execute("EXECUTE twice (%s)", [number])
            assert cursor.fetchone() == (2 * number,)
        cursor.execute("DEALLOCATE twice")
        with pytest.raises(psycopg2.Error) as failed:
            cursor.execute("EXECUTE twice (1)")
    assert failed.value.pgcode == psycopg2.errorcodes.INVALID_SQL_STATEMENT_NAME


def test_errors(client):
    client.autocommit = True
    for sql, code in [("SELEKT", "42601"), ("SELECT 1/0", "22012"), ("TABLE nowhere", "42P01")]:
        with pytest.raises(psycopg2.Error) as failed:
            rows(client, sql)
        assert failed.value.pgcode == code
        assert rows(client, "SELECT 1") == [(1,)]


def test_several_statements_in_one_message(client):
    name = unique()
    with client.cursor() as cursor:
        cursor.execute("INSERT INTO thing (name) VALUES (%s); SELECT 7", [name])
        assert cursor.fetchone() == (7,)
    client.rollback()
    assert rows(client, "SELECT count(*) FROM thing WHERE name = %s", [name]) == [(0,)]


def test_copy_out(client):
    out = io.StringIO()
    with client.cursor() as cursor:
        cursor.copy_expert("COPY (SELECT i, i * i FROM generate_series(1, 1000) i) TO STDOUT", out)
    assert out.getvalue().splitlines()[-1] == "1000\t1000000"


def test_copy_in(world, mode, client):
    prefix = unique("copy")
    data = io.StringIO("".join(f"{prefix}{number}\t{number}\n" for number in range(1000)))
    with client.cursor() as cursor:
        if mode == "row" and not world.direct:
            with pytest.raises(psycopg2.errors.FeatureNotSupported, match="INSERT"):
                cursor.copy_expert("COPY thing (name, amount) FROM STDIN", data)
            return
        cursor.copy_expert("COPY thing (name, amount) FROM STDIN", data)
    assert rows(client, "SELECT count(*) FROM thing WHERE name LIKE %s", [prefix + "%"]) == [(1000,)]


def test_large_values(client):
    name = unique()
    with client, client.cursor() as cursor:
        cursor.execute("INSERT INTO thing (name, body) VALUES (%s, %s)", [name, "z" * LARGE])
    assert rows(client, "SELECT length(body), body FROM thing WHERE name = %s",
                [name]) == [(LARGE, "z" * LARGE)]
    with client, client.cursor() as cursor:
        cursor.execute("DELETE FROM thing WHERE name = %s", [name])


def test_named_cursor(client):
    with client.cursor("chunks") as cursor:
        cursor.itersize = 100
        cursor.execute("SELECT i FROM generate_series(1, 2500) i")
        assert sum(row[0] for row in cursor) == 2500 * 2501 // 2


def test_named_cursor_with_hold(client):
    """It outlives its transaction, so it must outlive it here too."""
    with client.cursor("held", withhold=True) as cursor:
        cursor.itersize = 100
        cursor.execute("SELECT i FROM generate_series(1, 1000) i")
        assert cursor.fetchone() == (1,)
        client.commit()
        rows(client, "SELECT 1")
        client.commit()
        assert sum(row[0] for row in cursor) == 1000 * 1001 // 2 - 1


def test_execute_values(client):
    prefix = unique("values")
    with client, client.cursor() as cursor:
        psycopg2.extras.execute_values(
            cursor, "INSERT INTO thing (name, amount) VALUES %s",
            [(f"{prefix}{number}", number) for number in range(1000)], page_size=200)
    assert rows(client, "SELECT count(*) FROM thing WHERE name LIKE %s", [prefix + "%"]) == [(1000,)]


def test_cancel(client):
    client.autocommit = True
    with concurrent.futures.ThreadPoolExecutor(1) as thread:
        waiting = thread.submit(rows, client, "SELECT pg_sleep(60)")

        def cancelled():
            client.cancel()
            return waiting.done()

        wait_until(cancelled, "the query is cancelled", 30)
        with pytest.raises(psycopg2.extensions.QueryCanceledError):
            waiting.result()
    assert rows(client, "SELECT 1") == [(1,)]
