"""psycopg_pool, as it is by default: a pool of psycopg 3's connections, in threads and in asyncio."""
import asyncio
import concurrent.futures

import psycopg
import pytest
from psycopg import errors
from psycopg_pool import AsyncConnectionPool, ConnectionPool, PoolTimeout

from support.world import unique

THREADS, ROUNDS = 12, 20


@pytest.fixture
def pool(world, tenant):
    with ConnectionPool(world.reeve.conninfo(tenant)) as opened:
        opened.wait()
        yield opened


def share(pools, name):
    """What each of two tenants wrote under the same name."""
    for number, each in enumerate(pools):
        with each.connection() as connection:
            connection.execute("INSERT INTO thing (name, body) VALUES (%s, %s)", [name, str(number)])


def test_rows_of_two_tenants(world, pool, neighbour):
    name = unique("shared")
    with ConnectionPool(world.reeve.conninfo(neighbour)) as other:
        pools = [pool, other]
        share(pools, name)

        def work(worker):
            found = set()
            for _ in range(ROUNDS):
                with pools[worker % 2].connection() as connection:
                    found |= set(connection.execute("SELECT body FROM thing WHERE name = %s",
                                                    [name]).fetchall())
            return found

        with concurrent.futures.ThreadPoolExecutor(THREADS) as threads:
            for worker, found in enumerate(threads.map(work, range(THREADS))):
                assert found == {(str(worker % 2),)}


def test_rows_of_two_tenants_in_asyncio(world, tenant, neighbour):
    name = unique("shared")

    async def work(pool, number):
        for _ in range(ROUNDS):
            async with pool.connection() as connection, connection.pipeline():
                cursors = [await connection.execute("SELECT body FROM thing WHERE name = %s", [name])
                           for _ in range(3)]
                for cursor in cursors:
                    assert await cursor.fetchall() == [(str(number),)]

    async def body():
        pools = [AsyncConnectionPool(world.reeve.conninfo(each), min_size=2, max_size=4)
                 for each in (tenant, neighbour)]
        for number, pool in enumerate(pools):
            async with pool.connection() as connection:
                await connection.execute("INSERT INTO thing (name, body) VALUES (%s, %s)",
                                         [name, str(number)])
        await asyncio.gather(*(work(pools[worker % 2], worker % 2) for worker in range(THREADS)))
        for pool in pools:
            await pool.close()

    asyncio.run(body())


def test_a_transaction_ends_with_its_turn(pool):
    """Committed, or rolled back where it failed; the connection is good for the next."""
    kept, lost = unique("kept"), unique("lost")
    with pool.connection() as connection:
        connection.execute("INSERT INTO thing (name) VALUES (%s)", [kept])
    with pytest.raises(errors.DivisionByZero), pool.connection() as connection:
        connection.execute("INSERT INTO thing (name) VALUES (%s)", [lost])
        connection.execute("SELECT 1 / 0")
    for _ in range(pool.max_size + 1):
        with pool.connection() as connection:
            assert connection.execute("SELECT name FROM thing WHERE name = ANY (%s)",
                                      [[kept, lost]]).fetchall() == [(kept,)]


def test_prepared_statements_go_round(pool):
    """psycopg prepares what it has run five times, under the same names in each connection."""
    with concurrent.futures.ThreadPoolExecutor(4) as threads:
        def work(number):
            with pool.connection() as connection:
                return connection.execute("SELECT %s::int + 1", [number]).fetchone()

        assert list(threads.map(work, range(300))) == [(number + 1,) for number in range(300)]


def test_configure_and_reset(world, tenant):
    """What is set at connect stays; a pool may reset everything, if psycopg is to prepare nothing: it
    does not know that DISCARD ALL takes its statements away, with or without Reeve."""
    def configure(connection):
        connection.execute("SET TIME ZONE 'Asia/Tokyo'")
        connection.commit()

    def reset(connection):
        connection.autocommit = True
        connection.execute("DISCARD ALL")
        connection.autocommit = False
        configure(connection)

    with ConnectionPool(world.reeve.conninfo(tenant), min_size=2, configure=configure,
                        reset=reset, kwargs={"prepare_threshold": None}) as pool:
        for number in range(20):
            with pool.connection() as connection:
                assert connection.execute("SHOW TimeZone").fetchone() == ("Asia/Tokyo",)
                assert connection.execute("SELECT %s::int", [number]).fetchone() == (number,)
                connection.execute("SET TIME ZONE 'Europe/Berlin'")


def test_connections_that_are_lost(world, tenant):
    """The pool's check finds those that were closed, and makes new ones."""
    with ConnectionPool(world.reeve.conninfo(tenant), min_size=2) as pool:
        pool.wait()
        with pytest.raises(psycopg.OperationalError), pool.connection() as connection:
            connection.close()
            connection.execute("SELECT 1")
        pool.check()
        with pool.connection() as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)


def test_a_full_pool(world, tenant):
    with ConnectionPool(world.reeve.conninfo(tenant), min_size=1, max_size=1) as pool:
        with pool.connection():
            with pytest.raises(PoolTimeout), pool.connection(timeout=0.1):
                pass
        with pool.connection() as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
