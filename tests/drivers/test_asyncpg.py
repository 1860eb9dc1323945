"""asyncpg: binary extended protocol, named statements by default, its own pool."""
import asyncio
import functools
import io

import asyncpg
import pytest

from support.world import unique

LARGE = 20 * 1024 * 1024


def arguments(world, tenant):
    return {"host": "127.0.0.1", "port": world.reeve.port, "user": tenant.slug,
            "database": tenant.service, "password": tenant.secret,
            "timeout": 30, "ssl": False}


def asynchronous(test):
    """Runs `async def test(client, ...)` with a client of the tenant."""

    @pytest.mark.parametrize("mode", ["row", "schema", "database"])
    def run(world, mode):
        async def body():
            client = await asyncpg.connect(**arguments(world, world.tenant(mode)))
            try:
                await test(client, world, mode)
            finally:
                client.terminate()

        asyncio.run(body())

    functools.update_wrapper(run, test)
    del run.__wrapped__
    return run


@asynchronous
async def test_insert_and_select(client, _world, _mode):
    name = unique()
    row = await client.fetchrow(
        "INSERT INTO thing (name, amount, data) VALUES ($1, $2, $3) RETURNING id, data",
        name, 5, b"\x00\xff")
    assert row["data"] == b"\x00\xff"
    assert await client.fetchval("SELECT name FROM thing WHERE id = $1", row["id"]) == name


@asynchronous
async def test_transactions(client, _world, _mode):
    kept, lost = unique("kept"), unique("lost")
    async with client.transaction():
        await client.execute("INSERT INTO thing (name) VALUES ($1)", kept)
        with pytest.raises(ZeroDivisionError):
            async with client.transaction():
                await client.execute("INSERT INTO thing (name) VALUES ($1)", lost)
                raise ZeroDivisionError
    rows = await client.fetch("SELECT name FROM thing WHERE name = ANY($1)", [kept, lost])
    assert [row["name"] for row in rows] == [kept]


@asynchronous
async def test_isolation_level(client, _world, _mode):
    async with client.transaction(isolation="repeatable_read", readonly=True):
        assert await client.fetchval("SHOW transaction_isolation") == "repeatable read"
        with pytest.raises(asyncpg.ReadOnlySQLTransactionError):
            await client.execute("DELETE FROM thing")
    assert await client.fetchval("SHOW transaction_read_only") == "off"


@asynchronous
async def test_prepared_over_1000_reuses(client, world, mode):
    other = await asyncpg.connect(**arguments(world, world.tenant(mode)))
    try:
        statements = [await each.prepare("SELECT $1::int + 1") for each in (client, other)]
        for number in range(1000):
            assert await statements[number % 2].fetchval(number) == number + 1
    finally:
        other.terminate()


@asynchronous
async def test_statement_cache_overflow(client, _world, _mode):
    """asyncpg closes the oldest of more than 100 statements."""
    for number in range(150):
        assert await client.fetchval(f"SELECT $1::int + {number}", 1) == number + 1
    assert await client.fetchval("SELECT $1::int + 0", 1) == 1


@asynchronous
async def test_errors(client, _world, _mode):
    for sql, expected in [("SELEKT", asyncpg.PostgresSyntaxError),
                          ("SELECT 1/0", asyncpg.DivisionByZeroError),
                          ("TABLE nowhere", asyncpg.UndefinedTableError)]:
        with pytest.raises(expected):
            await client.fetch(sql)
        assert await client.fetchval("SELECT 1") == 1


@asynchronous
async def test_copy_out(client, _world, _mode):
    out = io.BytesIO()
    await client.copy_from_query("SELECT i FROM generate_series(1, 1000) i", output=out)
    assert out.getvalue().split() == [str(number).encode() for number in range(1, 1001)]


@asynchronous
async def test_copy_in(client, world, mode):
    prefix = unique("copy")
    records = [(f"{prefix}{number}", number) for number in range(1000)]
    if mode == "row" and not world.direct:
        with pytest.raises(asyncpg.FeatureNotSupportedError) as failed:
            await client.copy_records_to_table("thing", records=records,
                                               columns=["name", "amount"])
        assert "INSERT" in failed.value.hint
        return
    await client.copy_records_to_table("thing", records=records, columns=["name", "amount"])
    assert await client.fetchval("SELECT count(*) FROM thing WHERE name LIKE $1",
                                 prefix + "%") == 1000


@asynchronous
async def test_large_values(client, _world, _mode):
    name = unique()
    await client.execute("INSERT INTO thing (name, body, data) VALUES ($1, $2, $3)",
                         name, "a" * LARGE, b"b" * LARGE)
    row = await client.fetchrow("SELECT body, data FROM thing WHERE name = $1", name)
    assert row["body"] == "a" * LARGE
    assert row["data"] == b"b" * LARGE
    await client.execute("DELETE FROM thing WHERE name = $1", name)


@asynchronous
async def test_executemany_is_one_pipeline(client, _world, _mode):
    prefix = unique("many")
    await client.executemany("INSERT INTO thing (name, amount) VALUES ($1, $2)",
                             [(f"{prefix}{number}", number) for number in range(2000)])
    assert await client.fetchval("SELECT count(*) FROM thing WHERE name LIKE $1",
                                 prefix + "%") == 2000
    with pytest.raises(asyncpg.CheckViolationError):
        await client.executemany("INSERT INTO thing (name, amount) VALUES ($1, $2)",
                                 [(f"{prefix}x{number}", 50 - number) for number in range(100)])
    assert await client.fetchval("SELECT count(*) FROM thing WHERE name LIKE $1",
                                 prefix + "x%") == 0


@asynchronous
async def test_cursor(client, _world, _mode):
    async with client.transaction():
        numbers = [row[0] async for row in
                   client.cursor("SELECT i FROM generate_series(1, 3000) i", prefetch=100)]
    assert numbers == list(range(1, 3001))


@asynchronous
async def test_cancel(client, _world, _mode):
    """A timeout of asyncpg sends a cancel request."""
    with pytest.raises(asyncio.TimeoutError):
        await client.execute("SELECT pg_sleep(60)", timeout=0.5)
    for number in range(20):
        assert await client.fetchval("SELECT $1::int", number) == number


@asynchronous
async def test_pool(_client, world, mode):
    """Its pool sends RESET ALL, UNLISTEN * and more between users."""
    pool = await asyncpg.create_pool(min_size=2, max_size=6,
                                     **arguments(world, world.tenant(mode)))

    async def work(worker):
        for number in range(20):
            async with pool.acquire() as client:
                assert await client.fetchval("SELECT $1::int + $2::int", worker, number) == (
                    worker + number)

    await asyncio.gather(*(work(worker) for worker in range(20)))
    await pool.close()
