"""What a change stream must bring over as it is, and what ends a stream: values whose text depends on
settings, keys that change, numbers that sequences give, migrations, large rows, servers that wait."""
from concurrent import futures

import pytest

from support.process import wait_until
from support.reeve import running_reeve
from support.world import World
from test_move import SOME_WITHIN, audited, orphans, placement

SOON_SECONDS = 90
LONG_SECONDS = 400
SERVICE = "values"
TABLES = """
CREATE TYPE pair AS (a integer, b text);
CREATE TABLE thing (
    id bigint PRIMARY KEY,
    number bigint GENERATED ALWAYS AS IDENTITY (START WITH 100),
    span interval, share double precision, single real, amount numeric, cost money, seen timestamptz,
    day date, photo bytea, doc jsonb, couple pair, many text[], class regclass, long text
);
CREATE TABLE place (x integer, y integer, name text UNIQUE DEFERRABLE INITIALLY DEFERRED, PRIMARY KEY (x, y));
CREATE INDEX thing_day ON thing (day);
CREATE INDEX thing_name ON place (lower(name)) WHERE x > 0;
CREATE SEQUENCE ticket;
SELECT setval('ticket', 4711, false);
CREATE SEQUENCE down INCREMENT -5 MINVALUE -1000 MAXVALUE 0 START WITH -5;
"""
ROWS = ["INSERT INTO thing (id, span, share, single, amount, cost, seen, day, photo, doc, couple, many, class, long) VALUES"
        " ({0}, '-1 years 2 mons -3 days 04:05:06.789', 1e-300 / 3, 'NaN', '-0.00001000', '-1234.5',"
        " '0044-03-15 00:00:00+00 BC', '-infinity', '\\x00ff', '{{\"a\": [1, null, \"\\u00e9\"]}}', ROW(1, NULL),"
        " ARRAY['', NULL, '{{}}', 'a\"b\\c'], 'place', repeat('long ', 100000))",
        "INSERT INTO place VALUES ({0}, 1, 'one{0}'), ({0}, 2, 'two{0}')"]
CHANGES = ["UPDATE thing SET day = '2026-11-26' WHERE id = {0}",  # with a long value that is not told
           "UPDATE thing SET number = DEFAULT WHERE id = {0}",  # which UPDATE may set to nothing else
           "UPDATE thing SET id = id + 1000 WHERE id = {0}",
           "BEGIN; UPDATE place SET name = 'x{0}' WHERE (x, y) = ({0}, 1);"
           " UPDATE place SET name = 'one{0}' WHERE (x, y) = ({0}, 2);"
           " UPDATE place SET name = 'two{0}' WHERE (x, y) = ({0}, 1); COMMIT",
           "UPDATE place SET y = y + 10 WHERE x = {0}",
           "BEGIN; SAVEPOINT s; INSERT INTO place VALUES ({0}, 99, 'gone'); ROLLBACK TO s;"
           " SAVEPOINT t; INSERT INTO place VALUES ({0}, 98, NULL); RELEASE t; COMMIT",
           "DELETE FROM place WHERE (x, y) = ({0}, 98)"]
CONTENTS = ["SELECT t::text FROM (SELECT * FROM thing) t ORDER BY id", "SELECT t::text FROM (SELECT * FROM place) t"
            " ORDER BY x, y"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("values")
    folder.chmod(0o755)
    (folder / "0001_values.sql").write_text(TABLES)
    return folder


@pytest.fixture(scope="module")
def world(folder):
    with running_reeve() as server:
        made = World(server)
        made.add_service(SERVICE, folder)
        yield made


def move(world, tenant, *options, **kinds):
    return world.reeve.cli("move", tenant.slug, SERVICE, *options, **kinds)


def revert(world, tenant, *options, **kinds):
    return world.reeve.cli("move", "revert", tenant.slug, SERVICE, *options, **kinds)


def status(world, tenant):
    return world.reeve.cli("move", "status", tenant.slug, json=True).json[0]


def fill(connection, number):
    for statement in ROWS:
        connection.execute(statement.format(number))


def contents(connection):
    return [connection.execute(statement).fetchall() for statement in CONTENTS]


def streams(world):
    return (world.reeve.query("SELECT slot_name FROM pg_replication_slots")
            + [row for name in world.reeve.query("SELECT datname FROM pg_database WHERE datallowconn")
               for row in world.reeve.query("SELECT pubname FROM pg_publication UNION ALL SELECT relname FROM pg_class"
                                            " WHERE relname ~ '^reeve_(move|back)_'", database=name[0])])


@pytest.mark.parametrize("before, after", SOME_WITHIN)
def test_values_there_and_back(world, before, after):
    """Whatever the database says of how values are shown: what is written behind the move comes back."""
    tenant = world.new_tenant(before, SERVICE)
    with world.reeve.connect(tenant) as connection:
        fill(connection, 1)
        there = contents(connection)
    move(world, tenant, "--to", after)
    where = placement(world, tenant)
    for setting in ("IntervalStyle = 'sql_standard'", "DateStyle = 'SQL, DMY'", "extra_float_digits = -3",
                    "bytea_output = 'escape'"):
        world.reeve.query(f"ALTER DATABASE {where['database']} SET {setting}")
    try:
        with world.reeve.connect(tenant, options="-c IntervalStyle=postgres -c DateStyle=ISO,MDY"
                                 " -c extra_float_digits=1 -c bytea_output=hex") as connection:
            assert contents(connection) == there
            fill(connection, 2)
            for statement in CHANGES:
                connection.execute(statement.format(2))
            there = contents(connection)
            assert [connection.execute(f"SELECT nextval('{name}')").fetchone()[0] for name in ("ticket", "down")] == \
                [4711, -5] or "row" in (before, after)
        revert(world, tenant)
    finally:
        if after != "database":
            world.reeve.query(f"ALTER DATABASE {where['database']} RESET ALL")
    with world.reeve.connect(tenant) as connection:
        assert contents(connection) == there
        if before != "row":
            assert connection.execute("SELECT indexname FROM pg_indexes WHERE schemaname = current_schema() AND"
                                      " indexname IN ('thing_day', 'thing_name') ORDER BY 1").fetchall() == [("thing_day",), ("thing_name",)]
    assert streams(world) == [] and audited(world, tenant) == [] and orphans(world) == []


def test_indexes_and_sequences_are_there(world):
    tenant = world.new_tenant("row", SERVICE)
    with world.reeve.connect(tenant) as connection:
        fill(connection, 1)
    move(world, tenant, "--to", "schema")
    with world.reeve.connect(tenant) as connection:
        assert connection.execute("SELECT indexdef ~ 'lower' FROM pg_indexes WHERE schemaname = current_schema() AND"
                                  " indexname IN ('thing_day', 'thing_name') ORDER BY 1").fetchall() == [(False,), (True,)]
    world.reeve.cli("move", "finish", tenant.slug, SERVICE)


def test_a_migration_behind_the_move(world, folder):
    """The stream does not tell of what a migration has made: going back along it would lose that."""
    tenant = world.new_tenant("schema", SERVICE)
    move(world, tenant, "--to", "database")
    later = folder / "0002_note.sql"
    later.write_text("CREATE TABLE note (id bigint PRIMARY KEY, body text);")
    world.reeve.cli("migrate", SERVICE)
    with world.reeve.connect(tenant) as connection:
        connection.execute("INSERT INTO note VALUES (1, 'written behind')")
    refused = revert(world, tenant, check=False)
    if refused.code != 0:  # or the stream was given up already, and it was copied
        assert "version" in refused.text
        wait_until(lambda: status(world, tenant)["offline"], "the stream is given up", SOON_SECONDS)
        revert(world, tenant, "--offline")
    assert placement(world, tenant)["isolation"] == "schema"
    with world.reeve.connect(tenant) as connection:
        assert connection.execute("SELECT body FROM note").fetchall() == [("written behind",)]
    assert streams(world) == []


@pytest.mark.parametrize("table, problem", [
    ("CREATE TABLE bad (id bigint PRIMARY KEY DEFERRABLE)", "no primary key"),
    ("CREATE TABLE bad (id bigint)", "no primary key"),
    ("CREATE UNLOGGED TABLE bad (id bigint PRIMARY KEY)", "unlogged")])
def test_tables_that_a_stream_cannot_tell_of(world, tmp_path, table, problem):
    """Published, they would make every tenant's UPDATE fail."""
    tmp_path.chmod(0o755)
    (tmp_path / "0001_bad.sql").write_text(table + ";")
    name = f"bad{abs(hash(table)) % 10000}"
    world.add_service(name, tmp_path)
    tenant = world.new_tenant("schema", name)
    plan = world.reeve.cli("move", tenant.slug, name, "--to", "database", "--dry-run", json=True).json
    assert any(problem in one["what"] for one in plan["problems"]), plan
    refused = world.reeve.cli("move", tenant.slug, name, "--to", "database", check=False)
    assert refused.code != 0 and streams(world) == []


def test_a_tenant_is_deleted_while_its_old_place_is_followed(world):
    tenant = world.new_tenant("row", SERVICE)
    move(world, tenant, "--to", "schema")
    assert streams(world) != []
    world.reeve.cli("tenant", "delete", tenant.slug, "--yes")
    assert streams(world) == [] and orphans(world) == []


def test_abort_while_a_transaction_is_waited_for(world):
    """Making a slot waits for every transaction that writes, anybody's."""
    tenant, other = world.new_tenant("schema", SERVICE), world.new_tenant("schema", SERVICE)
    with world.reeve.connect(other, autocommit=False) as late, futures.ThreadPoolExecutor(1) as pool:
        late.execute("INSERT INTO place VALUES (1, 1, 'open')")
        moving = pool.submit(move, world, tenant, "--to", "database", check=False)
        wait_until(lambda: world.reeve.query("SELECT count(*) FROM pg_replication_slots WHERE active") == [(1,)]
                   or moving.done(), "the slot is being made", SOON_SECONDS)
        world.reeve.cli("move", "abort", tenant.slug, SERVICE)
        assert moving.result().code != 0 and "aborted" in moving.result().text
        late.rollback()
    assert placement(world, tenant)["isolation"] == "schema" and streams(world) == [] and orphans(world) == []


def test_a_row_that_is_too_large(world):
    """It ends the way back along the stream, and nothing else."""
    tenant = world.new_tenant("schema", SERVICE)
    move(world, tenant, "--to", "database")
    with world.reeve.connect(tenant) as connection:
        connection.execute("INSERT INTO thing (id, long) VALUES (9, repeat('x', 140000000))")
    refused = revert(world, tenant, check=False, seconds=LONG_SECONDS)
    assert refused.code != 0 and "128 MB" in refused.text
    revert(world, tenant, "--offline", seconds=LONG_SECONDS)
    with world.reeve.connect(tenant) as connection:
        assert connection.execute("SELECT length(long) FROM thing WHERE id = 9").fetchone() == (140000000,)
    assert streams(world) == []
