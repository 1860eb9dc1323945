"""THREATS 11, 12, 15 and 16: what is seen of rows that are not shown. Leaky expressions, statistics,
views and functions, COPY, and the figures that PostgreSQL tells everybody."""
import re

import psycopg
import pytest

from support import attack, process
from support.attack import quietly
from support.notice import database_of, hole, made, must_notice
from support.world import create_service

SECURITY = (process.ROOT / "docs" / "security.md").read_text()

# ---- 11: expressions that say what they have seen ----

LEAKY = {
    "cast": "SELECT count(*) FROM thing WHERE name::int = 1",
    "division": "SELECT count(*) FROM thing WHERE 1 / (CASE WHEN name LIKE '{secret}' THEN 0"
                " ELSE 1 END) = 1",
    "pattern": "SELECT count(*) FROM thing WHERE 'x' ~ ('(' || name)",
    "json": "SELECT count(*) FROM thing WHERE name::json IS NOT NULL",
    "cast of the tenant's rows": "SELECT count(*) FROM thing WHERE tenant_id = {id} AND body::int = 1",
    "cheaper than the policy": "SELECT count(*) FROM thing WHERE tenant_id IS NOT NULL"
                               " AND (tenant_id = {id} OR name::int = 1) AND name::int = 1",
    "join": "SELECT count(*) FROM kind k JOIN thing t ON t.name::int = length(k.code)",
    "subquery": "SELECT count(*) FROM kind WHERE EXISTS (SELECT FROM thing WHERE name::int = 1)",
    "lateral": "SELECT count(*) FROM thing, LATERAL (SELECT name::int AS number OFFSET 0) l"
               " WHERE number = 1",
    "update": "UPDATE thing SET body = 'forged' WHERE name::int = 1",
    "delete": "DELETE FROM thing WHERE body::int = 1",
    "merge": "MERGE INTO thing t USING kind k ON t.name::int = length(k.code)"
             " WHEN MATCHED THEN DELETE",
    "having": "SELECT name::int FROM thing GROUP BY name HAVING name::int = 1",
    "view": "SELECT count(*) FROM thing_parts WHERE name::int = 1",
    "part": "SELECT count(*) FROM part WHERE label::int = 1",
    "by its schema": "SELECT count(*) FROM {schema}.thing WHERE name::int = 1",
    "query_to_xml": "SELECT query_to_xml('SELECT name FROM {schema}.thing', true, false, '')",
    "table_to_xml": "SELECT table_to_xml('{schema}.thing', true, false, '')",
    "database_to_xml": "SELECT database_to_xml(true, false, '')",
    "ts_stat": "SELECT * FROM ts_stat('SELECT to_tsvector(name) FROM {schema}.thing')",
}


def leak(stage, text):
    """With no row of its own the attacker's query has nothing to fail at. Only who may not use the
    schema at all is told so."""
    with stage.connect() as connection:
        connection.execute("DELETE FROM thing WHERE tenant_id <> %s", [stage.victim_id])
        text = text.format(**stage.words(), secret=stage.secret)
        try:
            rows = str(connection.execute(text).fetchall() if text.startswith("SELECT")
                       else connection.execute(text))
        except psycopg.Error as error:
            assert error.sqlstate in ("42501", "42P01"), f"a filtered row was looked at: {error}"
            rows = str(error)
        assert stage.secret not in rows
    attack.check_victim_unharmed(stage)


@pytest.mark.parametrize("name", LEAKY)
def test_leaky_expressions(stage, name):
    leak(stage, LEAKY[name])


@pytest.mark.parametrize("name", LEAKY)
def test_leaky_expressions_are_noticed(bare, leaking, name):
    must_notice(leak, leaking, LEAKY[name])


@pytest.fixture(scope="module")
def row_stage(bare):
    return made(bare, "row")


@pytest.fixture
def leaking(row_stage):
    """Row isolation without row-level security."""
    opening = ";".join(f"ALTER TABLE app.{table} DISABLE ROW LEVEL SECURITY"
                       for table in ("thing", "part"))
    with hole(row_stage, opening, opening.replace("DISABLE", "ENABLE")):
        yield row_stage


# ---- 11: statistics ----

STATISTICS = ["pg_stats", "pg_stats_ext", "pg_stats_ext_exprs", "pg_statistic",
              "pg_statistic_ext_data", "pg_statistic_ext"]


def read_statistics(stage):
    with stage.connect() as connection:
        for name in STATISTICS:
            try:
                rows = connection.execute(f"SELECT t::text FROM pg_catalog.{name} t").fetchall()
            except psycopg.errors.InsufficientPrivilege:
                continue
            assert stage.secret not in str(rows), f"{name} shows the victim's values"


@pytest.fixture
def counted(stage):
    """Statistics of all kinds, of the victim's values."""
    with database_of(stage) as admin:
        make_statistics(admin, stage)
        yield stage
        admin.execute(f"DROP STATISTICS {stage.victim_place['schema']}.kinds,"
                      f" {stage.victim_place['schema']}.expressions")


def make_statistics(admin, stage):
    """So that the values are common ones in them all."""
    schema = stage.victim_place["schema"]
    admin.execute(f"CREATE STATISTICS {schema}.kinds (mcv) ON name, body FROM {schema}.thing")
    admin.execute(f"CREATE STATISTICS {schema}.expressions ON (lower(body)) FROM {schema}.thing")
    with stage.connect(stage.victim) as victim:
        victim.execute("INSERT INTO thing (name, body) SELECT %s || n, %s FROM generate_series(1, 20) n",
                       [stage.secret, stage.secret])
    admin.execute(f"ANALYZE {schema}.thing")
    seen = admin.execute("SELECT count(*) FROM pg_stats WHERE schemaname = %s AND most_common_vals::text"
                         " LIKE %s", [schema, f"%{stage.secret}%"]).fetchone()[0]
    assert seen, "there is nothing to be seen"
    with stage.connect(stage.victim) as victim:
        victim.execute("DELETE FROM thing WHERE body = %s", [stage.secret])


def test_statistics(counted):
    read_statistics(counted)


# Views of before CVE-2024-4317 and, for rows, CVE-2017-7484.
OPEN_VIEW = """
DO $do$
DECLARE
    definition text := pg_get_viewdef('pg_catalog.{view}');
BEGIN
    SET LOCAL allow_system_table_mods = on;
    CREATE TABLE public.kept_definition AS SELECT definition AS d;
    EXECUTE 'CREATE OR REPLACE VIEW pg_catalog.{view} WITH (security_barrier) AS '
        || regexp_replace(regexp_replace(definition, 'pg_has_role\\([^)]*\\)', 'true', 'g'),
                          'row_security_active\\([^)]*\\)', 'false', 'g');
END $do$"""
CLOSED_VIEW = """
DO $do$
DECLARE
    definition text;
BEGIN
    SET LOCAL allow_system_table_mods = on;
    SELECT d INTO definition FROM public.kept_definition;
    EXECUTE 'CREATE OR REPLACE VIEW pg_catalog.{view} WITH (security_barrier) AS ' || definition;
    DROP TABLE public.kept_definition;
END $do$"""


@pytest.mark.parametrize("view", ["pg_stats", "pg_stats_ext", "pg_stats_ext_exprs"])
def test_statistics_are_noticed(bare, view):
    stage = made(bare, "row")
    with database_of(stage) as admin:
        make_statistics(admin, stage)
        try:
            read_statistics(stage)
            with hole(stage, OPEN_VIEW.replace("{view}", view).replace("{", "{{").replace("}", "}}"),
                      CLOSED_VIEW.replace("{view}", view)):
                must_notice(read_statistics, stage)
        finally:
            admin.execute("DROP STATISTICS app.kinds, app.expressions")


# ---- 12: views, and functions that run as somebody else ----

def call_everything(stage):
    """Reads every relation, and calls every function outside PostgreSQL's own that the attacker may
    call, with nothing and with the victim's number."""
    with stage.connect() as connection:
        leaks = attack.loot(stage, connection)
        assert not leaks, f"the attacker reads the victim's rows in {leaks}"
        functions = connection.execute(
            "SELECT format('%I.%I', nspname, proname), pronargs, proargtypes[0] = 'bigint'::regtype"
            " FROM pg_proc p JOIN pg_namespace n ON n.oid = pronamespace"
            " WHERE nspname NOT IN ('pg_catalog', 'information_schema') AND prokind = 'f'"
            " AND pronargs - pronargdefaults <= 1").fetchall()
        for name, count, takes_number in functions:
            if count > 1 or (count == 1 and not takes_number):
                continue
            arguments = f"({stage.victim_id})" if count else "()"
            rows = []
            for text in (f"SELECT * FROM {name}{arguments}", f"SELECT {name}{arguments}::text"):
                try:
                    rows += connection.execute(text).fetchall()
                except psycopg.Error as error:
                    rows.append(str(error))
            assert stage.secret not in str(rows), f"{name} shows the victim's rows"
        counted = connection.execute("SELECT count(*) FROM thing_parts WHERE name = %s",
                                     [stage.secret]).fetchone()
        assert counted == (0,), "the view counts the victim's rows"


def test_views_and_functions(stage):
    call_everything(stage)


DOORS = {
    "view of its owner": ("ALTER VIEW app.thing_parts RESET (security_invoker)",
                          "ALTER VIEW app.thing_parts SET (security_invoker = true)"),
    "new view": ("CREATE VIEW app.hole AS SELECT * FROM app.thing; GRANT SELECT ON app.hole TO PUBLIC",
                 "DROP VIEW app.hole"),
    "materialized view": ("CREATE MATERIALIZED VIEW app.hole AS SELECT * FROM app.thing;"
                          " GRANT SELECT ON app.hole TO PUBLIC", "DROP MATERIALIZED VIEW app.hole"),
    "partition": ("CREATE TABLE app.hole AS SELECT * FROM app.thing; GRANT SELECT ON app.hole TO PUBLIC",
                  "DROP TABLE app.hole"),
    "definer": ("CREATE FUNCTION app.hole() RETURNS SETOF app.thing LANGUAGE sql SECURITY DEFINER"
                " AS 'SELECT * FROM app.thing'", "DROP FUNCTION app.hole()"),
    "definer with an argument": (
        "CREATE FUNCTION app.hole(bigint) RETURNS SETOF text LANGUAGE sql SECURITY DEFINER"
        " AS 'SELECT name FROM app.thing WHERE tenant_id = $1'", "DROP FUNCTION app.hole(bigint)"),
    "definer that fails": (
        "CREATE FUNCTION app.hole() RETURNS int LANGUAGE sql SECURITY DEFINER"
        " AS 'SELECT string_agg(name, $$,$$)::int FROM app.thing'", "DROP FUNCTION app.hole()"),
}


@pytest.mark.parametrize("name", DOORS)
def test_views_and_functions_are_noticed(bare, name):
    stage = made(bare, "row")
    with hole(stage, *DOORS[name]):
        must_notice(call_everything, stage)
    call_everything(stage)


def test_a_migrations_view_is_the_callers(bare):
    """An author's ordinary CREATE VIEW gets security_invoker; what cannot is refused by name."""
    with process.temporary_folder("reeve-views-") as folder:
        for path in (bare.DATA / "things").iterdir():
            (folder / path.name).write_text(path.read_text())
        create_service(bare.reeve, "viewed", folder)
        stage = attack.set_stage(bare, *(bare.new_tenant("row", "viewed") for _ in range(2)))
        (folder / "0002_view.sql").write_text("CREATE VIEW named AS SELECT name FROM thing;")
        bare.reeve.cli("migrate", "viewed")
        call_everything(stage)
        with stage.connect(stage.victim) as victim:
            assert victim.execute("SELECT * FROM named").fetchall() == [(stage.secret,)]
        (folder / "0003_held.sql").write_text(
            "CREATE MATERIALIZED VIEW held AS SELECT name FROM thing;")
        refused = bare.reeve.cli("migrate", "viewed", check=False)
        assert refused.code != 0 and "held" in refused.err, refused.text
        call_everything(stage)


# ---- 15: COPY ----

def copy_in(connection, text, data):
    """Returns the error, or None."""
    try:
        with connection.cursor() as cursor, cursor.copy(text) as copy:
            copy.write(data)
    except psycopg.Error as error:
        return error
    return None


COPIES = {
    "forged": ("COPY thing (tenant_id, name) FROM STDIN", "{id}\tforged\n"),
    "forged, by its schema": ("COPY {schema}.thing (tenant_id, name) FROM STDIN", "{id}\tforged\n"),
    "forged in binary": ("COPY thing FROM STDIN (FORMAT binary)", ""),
    "forged and frozen": ("COPY part (tenant_id, thing_id, label) FROM STDIN (FREEZE)",
                          "{id}\t1\tforged\n"),
    "reference data": ("COPY kind FROM STDIN", "f\tforged\n"),
    "from a file": ("COPY thing (name) FROM '/etc/passwd'", ""),
    "from a program": ("COPY thing (name) FROM PROGRAM 'echo forged'", ""),
}


def attack_by_copy(stage, text, data):
    words = stage.words()
    with stage.connect() as connection:
        copy_in(connection, text.format(**words), data.format(**words))
        with connection.transaction():
            copy_in(connection, text.format(**words), data.format(**words))
        titles = connection.execute("SELECT code FROM kind ORDER BY 1").fetchall()
        assert titles == [("a",), ("b",)], "reference data was written"
        attack.check_nothing_gained(stage, connection)
    with database_of(stage) as admin:
        schema = stage.victim_place["schema"]
        forged = admin.execute(f"SELECT count(*) FROM {schema}.thing WHERE tenant_id = %s AND name"
                               " LIKE 'forged%%'", [stage.victim_id]).fetchone()
        assert forged == (0,), "a forged row is in the victim's place"
        wrong = admin.execute("SELECT count(*) FROM pg_class c WHERE relname = 'thing'"
                              " AND relnamespace = %s::regnamespace",
                              [stage.attacker_place["schema"]]).fetchone()
        assert wrong == (1,) or stage.mode == "database"
    with stage.admin(stage.attacker_place["database"]) as admin:
        schema = stage.attacker_place["schema"]
        forged = admin.execute(f"SELECT count(*) FROM {schema}.thing WHERE tenant_id = %s AND name"
                               " LIKE 'forged%%'", [stage.victim_id]).fetchone()
        assert forged == (0,), "a row in the attacker's place is marked as the victim's"
    attack.check_victim_unharmed(stage)


@pytest.mark.parametrize("name", COPIES)
def test_copy_in(stage, name):
    attack_by_copy(stage, *COPIES[name])


@pytest.mark.parametrize("mode", ["row", "schema", "database"])
def test_copy_in_is_noticed(bare, mode):
    """Policies in row isolation, the check of the tenant column elsewhere."""
    stage = made(bare, mode)
    schema = stage.attacker_place["schema"]
    with stage.admin(stage.attacker_place["database"]) as admin:
        if mode == "row":
            admin.execute("ALTER TABLE app.thing DISABLE ROW LEVEL SECURITY")
        else:
            admin.execute(f"ALTER TABLE {schema}.thing DROP CONSTRAINT reeve_tenant_check")
        try:
            must_notice(attack_by_copy, stage, *COPIES["forged"])
        finally:
            admin.execute(f"DELETE FROM {schema}.thing WHERE name = 'forged'")
            if mode == "row":
                admin.execute("ALTER TABLE app.thing ENABLE ROW LEVEL SECURITY")


def test_copy_in_works_or_says_what_to_do(stage):
    with stage.connect() as connection:
        error = copy_in(connection, "COPY thing (name) FROM STDIN", "copied\n")
        if error is None:
            assert connection.execute("DELETE FROM thing WHERE name = 'copied' RETURNING name"
                                      ).fetchall() == [("copied",)]
            return
        assert stage.mode == "row" and error.sqlstate == "0A000", error
        assert "INSERT" in error.diag.message_hint
        # And it does work as the hint says, on the same connection.
        connection.execute("INSERT INTO thing (name) VALUES ('inserted')")
        connection.execute("DELETE FROM thing WHERE name = 'inserted'")


def copy_out(stage):
    schema = stage.victim_place["schema"]
    texts = ["COPY thing TO STDOUT", "COPY (SELECT * FROM thing) TO STDOUT",
             f"COPY {schema}.thing TO STDOUT", f"COPY (TABLE {schema}.part) TO STDOUT",
             "COPY thing (name, body) TO STDOUT (FORMAT binary)", "COPY thing_parts TO STDOUT",
             "COPY (DELETE FROM thing RETURNING *) TO STDOUT",
             "COPY (SELECT * FROM pg_stats) TO STDOUT", "COPY thing TO '/tmp/reeve-attack'"]
    with stage.connect() as connection:
        for text in texts:
            found = b""
            try:
                with connection.cursor() as cursor, cursor.copy(text) as copy:
                    found = b"".join(bytes(block) for block in copy)
            except psycopg.Error as error:
                found = str(error).encode()
            assert stage.secret.encode() not in found, f"{text} shows the victim's rows"
    attack.check_victim_unharmed(stage)


def test_copy_out(stage):
    copy_out(stage)


def test_copy_out_is_noticed(bare, leaking):
    must_notice(copy_out, leaking)


# ---- 16: figures ----

def explain(stage):
    """Plans say how many, never what."""
    options = "ANALYZE, VERBOSE, BUFFERS, SETTINGS"
    schema = stage.victim_place["schema"]
    texts = ["SELECT * FROM thing", "SELECT name FROM thing WHERE body LIKE '%' ORDER BY name",
             f"SELECT * FROM {schema}.thing", "SELECT * FROM thing_parts",
             "SELECT * FROM thing JOIN part ON part.thing_id = thing.id",
             "UPDATE thing SET body = 'forged'", "DELETE FROM part"]
    with stage.connect() as connection:
        quietly(connection, "SET enable_indexscan = off; SET enable_bitmapscan = off;"
                            " SET enable_indexonlyscan = off; SET debug_print_plan = on;"
                            " SET client_min_messages = debug5")
        seen = []
        connection.add_notice_handler(lambda notice: seen.append(
            f"{notice.message_primary} {notice.message_detail}"))
        for text in texts:
            for how in ("TEXT", "JSON"):
                try:
                    rows = connection.execute(f"EXPLAIN ({options}, FORMAT {how}) {text}").fetchall()
                except psycopg.Error as error:
                    rows = str(error)
                assert stage.secret not in str(rows), text
        assert stage.secret not in str(seen), "a notice shows the victim's values"
    attack.check_victim_unharmed(stage)


def test_plans(stage):
    explain(stage)


def walk_tuples(stage):
    """By their place on disk, and by who wrote them."""
    with stage.connect() as connection:
        for table in ("thing", "part", f"{stage.victim_place['schema']}.thing"):
            for condition in ("ctid = ANY (ARRAY(SELECT format('(%s,%s)', b, o)::tid FROM"
                              " generate_series(0, 9) b, generate_series(1, 80) o))",
                              "ctid < '(100,1)'", "xmin::text::bigint > 0", "tableoid <> 0"):
                try:
                    rows = connection.execute(f"SELECT * FROM {table} WHERE {condition}").fetchall()
                except psycopg.errors.InsufficientPrivilege:
                    continue
                assert stage.secret not in str(rows), (table, condition)


def test_tuples_by_their_place(stage):
    walk_tuples(stage)


def test_tuples_by_their_place_are_noticed(bare, leaking):
    must_notice(walk_tuples, leaking)


def move_sequences(stage):
    """A shared sequence that a tenant can set makes its neighbours' inserts fail."""
    for sequence in ("thing_id_seq", "part_id_seq", f"{stage.victim_place['schema']}.thing_id_seq"):
        with stage.connect() as connection:
            for text in (f"SELECT setval('{sequence}', 1)", f"SELECT setval('{sequence}', 1, false)",
                         f"ALTER SEQUENCE {sequence} RESTART", f"TRUNCATE thing RESTART IDENTITY"):
                error = quietly(connection, text)
                assert error is not None, f"allowed: {text}"
    with stage.connect(stage.victim) as victim:
        victim.execute("INSERT INTO thing (name) VALUES ('numbered')")
        victim.execute("DELETE FROM thing WHERE name = 'numbered'")


def test_sequences_cannot_be_set(stage):
    move_sequences(stage)


def test_sequences_are_noticed(bare):
    stage = made(bare, "row")
    with hole(stage, "GRANT UPDATE ON SEQUENCE app.thing_id_seq TO run_things",
              "REVOKE UPDATE ON SEQUENCE app.thing_id_seq FROM run_things"):
        must_notice(move_sequences, stage)


# What stock PostgreSQL tells everybody of a table, and the word for it in docs/security.md.
RESIDUAL = {
    "reltuples": "SELECT reltuples FROM pg_class WHERE oid = %s",
    "pg_relation_size": "SELECT pg_relation_size(%s::oid)",
    "pg_stat_user_tables": "SELECT n_tup_ins FROM pg_stat_all_tables WHERE relid = %s",
    "pg_locks": "SELECT count(*) FROM pg_locks WHERE relation = %s",
    "`xid`s": "SELECT pg_current_xact_id()::text::bigint + %s - %s",
    "pg_stat_database": "SELECT sum(xact_commit)::bigint FROM pg_stat_database WHERE %s::oid <> 0",
}


@pytest.mark.parametrize("name", RESIDUAL)
def test_what_is_residual_is_a_number_and_documented(stage, name):
    assert name.strip("`") in SECURITY.partition("## What is residual")[2].partition("\n## ")[0]
    with database_of(stage) as admin:
        table = admin.execute(f"SELECT '{stage.victim_place['schema']}.thing'::regclass::oid"
                              ).fetchone()[0]
    text = RESIDUAL[name]
    with stage.connect() as connection:
        rows = connection.execute(text, [table] * text.count("%s")).fetchall()
    for row in rows:
        assert re.fullmatch(r"-?[0-9]+(\.[0-9]+)?", str(row[0])) or row[0] is None, row


def measure_databases(stage):
    """Of databases that are not its own a tenant is told no size."""
    with stage.connect() as connection:
        names = [name for (name,) in connection.execute(
            "SELECT datname FROM pg_database WHERE datallowconn")]
        own = stage.attacker_place["database"]
        for name in {*names, stage.victim_place["database"]} - {own}:
            error = quietly(connection, f"SELECT pg_database_size('{name}')")
            assert error is not None and error.sqlstate == "42501", f"the size of {name} is told"


def test_sizes_of_databases(stage):
    measure_databases(stage)


def test_sizes_of_databases_are_noticed(bare):
    stage = made(bare, "database")
    with hole(stage, "GRANT CONNECT ON DATABASE {database} TO PUBLIC",
              "REVOKE CONNECT ON DATABASE {database} FROM PUBLIC"):
        must_notice(measure_databases, stage)
