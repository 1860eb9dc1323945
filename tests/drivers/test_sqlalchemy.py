"""SQLAlchemy 1.4 over psycopg2 and asyncpg: engines as they are by default, with their pools."""
import asyncio
import concurrent.futures
import functools

import pytest
import sqlalchemy as sa
from sqlalchemy import exc, orm
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext import asyncio as sa_asyncio

from support.reeve import MODES
from support.world import unique

WORKERS, ROUNDS = 12, 20
LARGE = 8 * 1024 * 1024
Base = orm.declarative_base()


class Thing(Base):
    __tablename__ = "thing"
    id = sa.Column(sa.BigInteger, primary_key=True)
    name = sa.Column(sa.Text, nullable=False)
    amount = sa.Column(sa.Numeric, server_default="0")
    body = sa.Column(sa.Text)
    data = sa.Column(sa.LargeBinary)
    parts = orm.relationship("Part", back_populates="thing",
                             cascade="all, delete-orphan", passive_deletes=True)


class Part(Base):
    __tablename__ = "part"
    id = sa.Column(sa.BigInteger, primary_key=True)
    thing_id = sa.Column(sa.ForeignKey("thing.id"), nullable=False)
    label = sa.Column(sa.Text, nullable=False)
    thing = orm.relationship("Thing", back_populates="parts")


def url(world, tenant, driver):
    return sa.engine.URL.create(f"postgresql+{driver}", tenant.slug, tenant.secret, "127.0.0.1",
                                world.reeve.port, tenant.service)


@pytest.fixture
def engine(world, tenant):
    made = sa.create_engine(url(world, tenant, "psycopg2"), future=True)
    yield made
    made.dispose()


def sqlstate(failed):
    return failed.value.orig.pgcode


def test_orm(engine):
    name = unique()
    with orm.Session(engine) as session, session.begin():
        session.add(Thing(name=name, amount=5, body="grüße ☂", data=b"\0\xff",
                          parts=[Part(label="one"), Part(label="two")]))
    with orm.Session(engine) as session:
        found = session.execute(sa.select(Thing).where(Thing.name == name).options(
            orm.selectinload(Thing.parts))).scalar_one()
        assert (str(found.amount), found.body, found.data) == ("5.00", "grüße ☂", b"\0\xff")
        assert sorted(part.label for part in found.parts) == ["one", "two"]
        found.body = "new"
        session.commit()
        assert session.get(Thing, found.id).body == "new"
        session.delete(found)
        session.commit()


def test_transactions(engine):
    kept, lost = unique("kept"), unique("lost")
    with orm.Session(engine) as session:
        session.add(Thing(name=kept))
        session.flush()
        with pytest.raises(exc.IntegrityError) as failed, session.begin_nested():
            session.add(Thing(name=kept))
            session.flush()
        assert sqlstate(failed) == "23505"
        session.commit()
        session.add(Thing(name=lost))
        session.flush()
        session.rollback()
        names = session.scalars(sa.select(Thing.name).where(Thing.name.in_([kept, lost]))).all()
    assert names == [kept]


def test_errors(engine):
    for sql, code in [("SELEKT", "42601"), ("SELECT 1/0", "22012"), ("TABLE nowhere", "42P01")]:
        with engine.connect() as connection:
            with pytest.raises(exc.DBAPIError) as failed:
                connection.execute(sa.text(sql))
            assert sqlstate(failed) == code
            with pytest.raises(exc.DBAPIError) as failed:
                connection.execute(sa.text("SELECT 1"))
            assert sqlstate(failed) == "25P02"
            connection.rollback()
            assert connection.scalar(sa.text("SELECT 1")) == 1


def test_isolation_levels(engine):
    """Set on a connection that goes back to the pool, which puts it back."""
    for level in ("SERIALIZABLE", "AUTOCOMMIT"):
        with engine.connect().execution_options(isolation_level=level) as connection:
            expected = "serializable" if level == "SERIALIZABLE" else "read committed"
            assert connection.scalar(sa.text("SHOW transaction_isolation")) == expected
        with engine.connect() as connection:
            assert connection.scalar(sa.text("SHOW transaction_isolation")) == "read committed"
    with engine.connect().execution_options(postgresql_readonly=True) as connection:
        with pytest.raises(exc.InternalError) as failed:
            connection.execute(sa.delete(Part))
        assert sqlstate(failed) == "25006"


def test_batches(engine):
    prefix = unique("batch")
    rows = [{"name": f"{prefix}{number}", "amount": number} for number in range(1000)]
    with engine.begin() as connection:
        connection.execute(sa.insert(Thing), rows)
        assert connection.execute(
            sa.select(sa.func.count(), sa.func.sum(Thing.amount)).where(
                Thing.name.startswith(prefix))).one() == (1000, 499500)


def test_upsert(world, engine):
    """A shaped service's keys have tenant_id: an upsert names the constraint, or all of it."""
    name = unique()
    insert = postgresql.insert(Thing).values(name=name, body="one")
    if not world.direct:
        with engine.connect() as connection:
            with pytest.raises(exc.ProgrammingError) as failed:
                connection.execute(insert.on_conflict_do_nothing(index_elements=["name"]))
            assert sqlstate(failed) == "42P10"
            assert "tenant_id" in failed.value.orig.diag.message_hint
    upsert = insert.on_conflict_do_update(constraint="thing_name_key", set_={"body": "two"})
    with engine.begin() as connection:
        connection.execute(upsert)
        connection.execute(upsert)
        assert connection.scalar(sa.select(Thing.body).where(Thing.name == name)) == "two"


def test_server_side_cursor(engine):
    with engine.connect().execution_options(stream_results=True, max_row_buffer=100) as connection:
        rows = connection.execute(sa.text("SELECT i FROM generate_series(1, 2000) i"))
        assert sum(number for (number,) in rows) == 2001000


def test_large_values(engine):
    name, body = unique("large"), "s" * LARGE
    with orm.Session(engine) as session:
        session.add(Thing(name=name, body=body, data=body.encode()))
        session.commit()
        found = session.scalars(sa.select(Thing).where(Thing.name == name)).one()
        assert found.body == body and found.data == body.encode()
        session.delete(found)
        session.commit()


def test_introspection(engine):
    looks = sa.inspect(engine)
    assert {"thing", "part", "kind"} <= set(looks.get_table_names())
    assert "thing_parts" in looks.get_view_names()
    assert {column["name"] for column in looks.get_columns("part")} >= {"id", "thing_id", "label"}
    key, = looks.get_foreign_keys("part")
    assert key["referred_table"] == "thing" and "thing_id" in key["constrained_columns"]
    assert "id" in looks.get_pk_constraint("thing")["constrained_columns"]
    tables = sa.MetaData()
    tables.reflect(engine, only=["thing", "part"])
    assert set(tables.tables) == {"thing", "part"}


def test_pre_ping_and_settings(world, tenant):
    """A pool that asks before each use, and sets something at connect."""
    zones = ["Asia/Tokyo", "Europe/Berlin"]
    engines = [sa.create_engine(url(world, tenant, "psycopg2"), pool_pre_ping=True, pool_size=2,
                                connect_args={"options": f"-c TimeZone={zone}"}) for zone in zones]
    for number in range(30):
        with engines[number % 2].connect() as connection:
            assert connection.scalar(sa.text("SHOW TimeZone")) == zones[number % 2]
    for each in engines:
        each.dispose()


def test_pools_of_two_tenants(world, engine, neighbour):
    name = unique("shared")
    other = sa.create_engine(url(world, neighbour, "psycopg2"), future=True)
    engines = [engine, other]
    for number, each in enumerate(engines):
        with orm.Session(each) as session, session.begin():
            session.add(Thing(name=name, body=str(number)))

    def work(worker):
        found = set()
        for _ in range(ROUNDS):
            with orm.Session(engines[worker % 2]) as session:
                found |= set(session.scalars(sa.select(Thing.body).where(Thing.name == name)))
        return found

    with concurrent.futures.ThreadPoolExecutor(WORKERS) as threads:
        for worker, found in enumerate(threads.map(work, range(WORKERS))):
            assert found == {str(worker % 2)}
    other.dispose()


# ---- asyncpg: named statements, which are kept, and types that it asks for ----

def asynchronous(test):
    """Runs `async def test(engine, world, mode)` with an engine of the tenant's."""

    @pytest.mark.parametrize("mode", MODES)
    def run(world, mode):
        async def body():
            engine = sa_asyncio.create_async_engine(url(world, world.tenant(mode), "asyncpg"))
            try:
                await test(engine, world, mode)
            finally:
                await engine.dispose()

        asyncio.run(body())

    functools.update_wrapper(run, test)
    del run.__wrapped__
    return run


@asynchronous
async def test_asyncpg_orm(engine, _world, _mode):
    name = unique()
    async with sa_asyncio.AsyncSession(engine) as session:
        session.add(Thing(name=name, amount=5, data=b"\0\xff", parts=[Part(label="one")]))
        await session.commit()
    async with sa_asyncio.AsyncSession(engine) as session:
        found = (await session.execute(sa.select(Thing).where(Thing.name == name).options(
            orm.selectinload(Thing.parts)))).scalar_one()
        assert found.data == b"\0\xff" and [part.label for part in found.parts] == ["one"]


@asynchronous
async def test_asyncpg_transactions_and_errors(engine, _world, _mode):
    kept, lost = unique("kept"), unique("lost")
    async with engine.begin() as connection:
        await connection.execute(sa.insert(Thing).values(name=kept))
        with pytest.raises(exc.IntegrityError):
            async with connection.begin_nested():
                await connection.execute(sa.insert(Thing).values(name=kept))
    async with engine.connect() as connection:
        await connection.execute(sa.insert(Thing).values(name=lost))
        with pytest.raises(exc.DBAPIError) as failed:
            await connection.execute(sa.text("SELECT 1 / 0"))
        assert sqlstate(failed) == "22012"
        await connection.rollback()
        names = await connection.scalars(sa.select(Thing.name).where(Thing.name.in_([kept, lost])))
        assert names.all() == [kept]


@asynchronous
async def test_asyncpg_stream(engine, _world, _mode):
    async with engine.connect() as connection:
        rows = await connection.stream(sa.text("SELECT i FROM generate_series(1, 2000) i"))
        assert sum([number async for (number,) in rows]) == 2001000


@asynchronous
async def test_asyncpg_introspection(engine, _world, _mode):
    async with engine.connect() as connection:
        names = await connection.run_sync(lambda each: sa.inspect(each).get_table_names())
    assert {"thing", "part", "kind"} <= set(names)


@asynchronous
async def test_asyncpg_pools_of_two_tenants(engine, world, mode):
    name = unique("shared")
    other = sa_asyncio.create_async_engine(url(world, world.tenant(mode, "b"), "asyncpg"))
    engines = [engine, other]
    for number, each in enumerate(engines):
        async with each.begin() as connection:
            await connection.execute(sa.insert(Thing).values(name=name, body=str(number)))

    async def work(worker):
        for _ in range(ROUNDS):
            async with engines[worker % 2].connect() as connection:
                found = await connection.scalars(sa.select(Thing.body).where(Thing.name == name))
                assert found.all() == [str(worker % 2)]

    await asyncio.gather(*(work(worker) for worker in range(WORKERS)))
    await other.dispose()
