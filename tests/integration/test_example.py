"""The example service works, unchanged, in every mode."""
import re

import pytest

from support.world import ORDERS

TABLES_AT_LEAST = 8


# Where the tenant column stands in a key: first in shared tables, last in a tenant's own.
IN_A_KEY = re.compile(r"\btenant_id, |, tenant_id\b")


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
    return [tuple(IN_A_KEY.sub("", strip.sub("", str(value))) for value in row)
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


def test_unique_keys_have_the_tenant_column(world, tenants):
    """In front where tenants share the index, behind where one has it."""
    for mode, number in (("row", 0), ("schema", -1), ("database", -1)):
        place = world.placement(tenants[mode, "a"])
        with world.reeve.admin(place["database"]) as admin:
            keys = [columns for (columns,) in admin.execute(
                "SELECT array_agg(a.attname::text ORDER BY u.position) FROM pg_index x"
                " JOIN pg_class c ON c.oid = x.indrelid AND c.relnamespace = %s::regnamespace"
                " CROSS JOIN unnest((x.indkey::int2[])[0:x.indnkeyatts - 1])"
                " WITH ORDINALITY AS u (number, position)"
                " JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = u.number"
                " WHERE x.indisunique GROUP BY x.indexrelid", [place["schema"]])]
        tenants_keys = [columns for columns in keys if "tenant_id" in columns]
        assert len(tenants_keys) >= TABLES_AT_LEAST - 1, keys
        assert {columns[number] for columns in tenants_keys} == {"tenant_id"}


def test_migrations_are_ordinary_sql():
    """Nothing in them knows of tenants."""
    for path in sorted((ORDERS / "migrations").glob("*.sql")):
        text = re.sub(r"--.*", "", path.read_text())
        text = re.sub(r"COMMENT ON .*?;", "", text, flags=re.S)
        assert "tenant" not in text.lower(), path
