"""The example service works, unchanged, in every mode."""
import re

import pytest

from support.world import ORDERS

TABLES_AT_LEAST = 8


def outline(connection, schema):
    """Columns, keys and constraint names: the same in every mode (DESIGN, invariant 4)."""
    columns = connection.execute(
        "SELECT table_name, column_name, data_type, is_nullable FROM information_schema.columns"
        " WHERE table_schema = %s ORDER BY 1, 2", [schema]).fetchall()
    constraints = connection.execute(
        "SELECT conrelid::regclass::text, conname, contype, pg_get_constraintdef(oid)"
        " FROM pg_constraint WHERE connamespace = %s::regnamespace AND contype <> 'c'"
        " ORDER BY 1, 2", [schema]).fetchall()
    indexes = connection.execute(
        "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = %s ORDER BY 1",
        [schema]).fetchall()
    strip = re.compile(rf"\b{re.escape(schema)}\.")
    return [tuple(strip.sub("", str(value)) for value in row)
            for row in [*columns, *constraints, *indexes]]


@pytest.fixture(scope="module")
def tenants(world):
    return {(mode, letter): world.orders(mode, letter)
            for mode in ("row", "schema", "database") for letter in "ab"}


def test_there_are_enough_tables(world, tenants, mode):
    with world.reeve.connect(tenants[mode, "a"]) as connection:
        place = world.placement(tenants[mode, "a"])
        count = connection.execute("SELECT count(*) FROM pg_tables WHERE schemaname = %s",
                                   [place["schema"]]).fetchone()[0]
    assert count >= TABLES_AT_LEAST


def test_one_shape_everywhere(world, tenants):
    shapes = {}
    for mode in ("row", "schema", "database"):
        place = world.placement(tenants[mode, "a"])
        with world.reeve.admin(place["database"]) as admin:
            admin.execute(f'SET search_path = "{place["schema"]}"')
            shapes[mode] = outline(admin, place["schema"])
    assert shapes["row"]
    assert shapes["schema"] == shapes["row"]
    assert shapes["database"] == shapes["row"]


def test_migrations_are_ordinary_sql():
    """Nothing in them knows of tenants."""
    for path in sorted((ORDERS / "migrations").glob("*.sql")):
        text = re.sub(r"--.*", "", path.read_text())
        text = re.sub(r"COMMENT ON .*?;", "", text, flags=re.S)
        assert "tenant" not in text.lower(), path
