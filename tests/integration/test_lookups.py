"""A row is found by its key wherever the tenant is, and whether or not the query names tenant_id."""
import pytest

ROWS = 30_000
PAGES_AT_MOST = 12  # the index from its root, the row, and what is looked up of both

TABLE = """
CREATE TABLE part (id bigint PRIMARY KEY, code text UNIQUE, label text);
CREATE UNIQUE INDEX part_lower ON part (lower(label)) INCLUDE (code) WHERE id > 0;
CREATE INDEX part_label ON part (label);
"""
LOOKUPS = {
    "primary key": "id = 777",
    "unique constraint": "code = 'code 777'",
    "unique index": "lower(label) = 'label 777' AND id > 0",
    "index": "label = 'label 777'",
}
# lower() is not leakproof: PostgreSQL looks at the policy before it calls it (docs/isolation.md).
NOT_BEHIND_A_POLICY = ("row", "unique index")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lookups")
    (folder / "0001_part.sql").write_text(TABLE)
    return folder


@pytest.fixture(scope="module")
def filled(world, folder):
    """mode -> its tenant, whose rows a neighbour in the same mode has as well."""
    def fill(mode, letter):
        tenant = world.in_service(world.tenant(mode, letter), "lookups", folder)
        with world.reeve.connect(tenant) as connection:
            connection.execute("INSERT INTO part (id, code, label) SELECT i, 'code ' || i, 'label ' || i"
                               " FROM generate_series(1, %s) i", [ROWS])
        return tenant
    return {mode: [fill(mode, letter) for letter in "ab"][0] for mode in ("row", "schema", "database")}


@pytest.mark.parametrize("by", LOOKUPS)
@pytest.mark.parametrize("also", ["", " AND tenant_id = reeve.tenant_id()"])
def test_few_pages_are_read(world, filled, mode, by, also):
    with world.reeve.connect(filled[mode]) as connection:
        connection.execute("SET enable_seqscan = off")  # whatever is known of the table by now
        sql = f"SELECT id FROM part WHERE {LOOKUPS[by]}{also}"
        assert connection.execute(sql).fetchall() == [(777,)]
        told = connection.execute(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {sql}").fetchone()[0]
        plan = told[0]["Plan"]
        few = plan["Shared Hit Blocks"] + plan["Shared Read Blocks"] <= PAGES_AT_MOST
        assert few == ((mode, by) != NOT_BEHIND_A_POLICY), told
