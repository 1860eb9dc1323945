/* Every mode gives a service's tables the same shape; what has none is refused. */
#include "fixture.h"

#include "base/buffer.h"

static const char *const modes[] = {"row", "schema", "database"};

/* A line for each part of a shape; the schema's name is cut out. */
static const char outline_sql[] =
    "SELECT replace(line, quote_ident(n.nspname) || '.', '') FROM pg_namespace n, LATERAL ("
    " SELECT format('column %s.%s %s %s %s', c.relname,"
    "   (SELECT count(*) FROM pg_attribute b WHERE b.attrelid = a.attrelid AND b.attnum > 0"
    "      AND b.attnum <= a.attnum AND NOT b.attisdropped),"
    "   a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull) AS line"
    "  FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0"
    "   AND NOT a.attisdropped WHERE c.relnamespace = n.oid AND c.relkind IN ('r', 'v')"
    " UNION ALL SELECT format('constraint %s on %s: %s [%s]', conname, conrelid::regclass,"
    "   pg_get_constraintdef(oid), obj_description(oid, 'pg_constraint'))"
    "  FROM pg_constraint WHERE connamespace = n.oid AND conname <> 'reeve_tenant_check'"
    " UNION ALL SELECT format('index %s [%s]', pg_get_indexdef(i.indexrelid),"
    "   obj_description(i.indexrelid, 'pg_class'))"
    "  FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid WHERE c.relnamespace = n.oid"
    " UNION ALL SELECT format('view %s %s %s', c.relname, c.reloptions, pg_get_viewdef(c.oid))"
    "  FROM pg_class c WHERE c.relnamespace = n.oid AND c.relkind = 'v'"
    ") lines WHERE n.nspname = current_schema() ORDER BY 1";

/* What all modes must have in common: all but where in a key the tenant column stands. */
static const char common_sql[] = "SELECT regexp_replace(line, 'tenant_id, |, tenant_id', '', 'g') "
                                 "FROM (%s) AS o (line) ORDER BY 1";

static void assert_has(const char *shape, const char *const *expected, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (!strstr(shape, expected[i]))
            fail_msg("no \"%s\" in %s", expected[i], shape);
}

static struct pg_connection *admin_at(const struct isolation_placement *placement)
{
    struct pg_connection *admin = fixture_connect("postgres", placement->database);
    run(admin, arena_printf(&fixture_arena, "SET search_path TO %s, public", placement->schema));
    return admin;
}

static void test_same_shape(void **state)
{
    (void)state;
    const char *const migrations[] = {
        "CREATE TABLE country (code text PRIMARY KEY, name text NOT NULL UNIQUE);"
        "COMMENT ON TABLE country IS '@reeve:shared countries';"
        "INSERT INTO country VALUES ('NO', 'Norway'), ('FR', 'France');"
        "CREATE TABLE \"Odd \"\"table\" (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,"
        "  email text UNIQUE, country text REFERENCES country, \"a b\" int DEFAULT 7, c int,"
        "  UNIQUE (id, c),"
        "  CONSTRAINT wide UNIQUE (\"a b\", c));"
        "CREATE UNIQUE INDEX odd_lower ON \"Odd \"\"table\" (lower(email) DESC NULLS LAST)"
        "  WHERE c > 0;"
        "COMMENT ON INDEX odd_lower IS 'a comment';"
        "CREATE INDEX odd_brin ON \"Odd \"\"table\" USING brin (c) WITH (pages_per_range = 4);"
        "CREATE INDEX odd_hash ON \"Odd \"\"table\" USING hash (c);"
        "CREATE TABLE child (id int PRIMARY KEY,"
        "  odd int REFERENCES \"Odd \"\"table\" ON DELETE SET NULL ON UPDATE CASCADE,"
        "  email text DEFAULT 'none' CONSTRAINT by_email REFERENCES \"Odd \"\"table\" (email)"
        "    MATCH FULL ON DELETE SET DEFAULT,"
        "  x int, y int, CONSTRAINT xy FOREIGN KEY (x, y) REFERENCES \"Odd \"\"table\" (id, c)"
        "    ON DELETE SET NULL (y),"
        "  parent int REFERENCES child ON DELETE CASCADE DEFERRABLE);"
        "CREATE VIEW odd_view AS SELECT o.*, n.name FROM \"Odd \"\"table\" o"
        "  LEFT JOIN country n ON n.code = o.country",
        /* Keys to tables that have their shape already, in every form. */
        "CREATE TABLE later (id bigserial PRIMARY KEY, child int NOT NULL REFERENCES child,"
        "  odd int REFERENCES \"Odd \"\"table\" (id) ON DELETE SET NULL, c int,"
        "  FOREIGN KEY (odd, c) REFERENCES \"Odd \"\"table\" (id, c) DEFERRABLE,"
        "  FOREIGN KEY (child) REFERENCES child ON DELETE CASCADE);\n"
        "ALTER TABLE child ADD COLUMN later bigint REFERENCES later, ADD COLUMN twin int UNIQUE"
        "  REFERENCES child ON DELETE SET NULL;\n"
        "ALTER TABLE child ADD CONSTRAINT twice FOREIGN KEY (twin) REFERENCES child;\n"
        "CREATE INDEX ON later (child);",
        "ALTER TABLE child RENAME TO kid; CREATE TABLE toy (kid int PRIMARY KEY REFERENCES kid);"
        "DROP VIEW odd_view; ALTER TABLE \"Odd \"\"table\" DROP COLUMN \"a b\";"
        "CREATE VIEW odd_view AS SELECT o.* FROM \"Odd \"\"table\" o",
        NULL};
    struct test_service service;
    make_service(&service, "same-shape", "row schema database", migrations);
    const char *shapes[3], *common[3];
    for (size_t i = 0; i < array_size(modes); i++) {
        struct isolation_placement placement;
        attach(&service, modes[i], 100 + (int64_t)i, 1000 + (int64_t)i, &placement);
        _cleanup_pg_connection_ struct pg_connection *admin = admin_at(&placement);
        shapes[i] = values(admin, outline_sql);
        common[i] = values(admin, arena_printf(&fixture_arena, common_sql, outline_sql));
    }
    assert_string_equal(common[0], common[1]);
    assert_string_equal(common[0], common[2]);
    assert_string_equal(shapes[1], shapes[2]);
    static const char *const in_all[] = {
        "constraint by_email on kid: FOREIGN KEY (tenant_id, email) REFERENCES \"Odd \"\"table\""
        "(tenant_id, email) ON DELETE SET DEFAULT (email) []",
        "constraint child_odd_fkey on kid: FOREIGN KEY (tenant_id, odd) REFERENCES "
        "\"Odd \"\"table\"(tenant_id, id) ON UPDATE CASCADE ON DELETE SET NULL (odd) []",
        "constraint xy on kid: FOREIGN KEY (tenant_id, x, y) REFERENCES \"Odd \"\"table\""
        "(tenant_id, id, c) ON DELETE SET NULL (y) []",
        "constraint child_parent_fkey on kid: FOREIGN KEY (tenant_id, parent) REFERENCES "
        "kid(tenant_id, id) ON DELETE CASCADE DEFERRABLE []",
        "constraint Odd \"table_country_fkey on \"Odd \"\"table\": FOREIGN KEY (country) "
        "REFERENCES "
        "country(code) []",
        "constraint later_child_fkey on later: FOREIGN KEY (tenant_id, child) REFERENCES "
        "kid(tenant_id, id) []",
        "constraint later_child_fkey1 on later: FOREIGN KEY (tenant_id, child) REFERENCES "
        "kid(tenant_id, id) ON DELETE CASCADE []",
        "constraint later_odd_fkey on later: FOREIGN KEY (tenant_id, odd) REFERENCES "
        "\"Odd \"\"table\"(tenant_id, id) ON DELETE SET NULL (odd) []",
        "constraint later_odd_c_fkey on later: FOREIGN KEY (tenant_id, odd, c) REFERENCES "
        "\"Odd \"\"table\"(tenant_id, id, c) DEFERRABLE []",
        "constraint child_later_fkey on kid: FOREIGN KEY (tenant_id, later) REFERENCES "
        "later(tenant_id, id) []",
        "constraint twice on kid: ",
        "constraint toy_kid_fkey on toy: FOREIGN KEY (tenant_id, kid) REFERENCES "
        "kid(tenant_id, id) []",
        "constraint country_name_key on country: UNIQUE (name) []",
        "index CREATE INDEX odd_hash ON \"Odd \"\"table\" USING hash (c) []",
        "view odd_view {security_invoker=true} ",
        "column kid.6 parent integer f",
        "column kid.7 tenant_id bigint t",
    };
    static const char *const in_shared_tables[] = {
        "constraint Odd \"table_pkey on \"Odd \"\"table\": PRIMARY KEY (tenant_id, id) []",
        "constraint child_twin_key on kid: UNIQUE (tenant_id, twin) []",
        "index CREATE UNIQUE INDEX odd_lower ON \"Odd \"\"table\" USING btree (tenant_id, "
        "lower(email) DESC NULLS LAST) WHERE (c > 0) [a comment]",
        "index CREATE INDEX odd_brin ON \"Odd \"\"table\" USING brin (tenant_id, c) "
        "WITH (pages_per_range='4') []",
        "index CREATE INDEX later_child_idx ON later USING btree (tenant_id, child) []",
    };
    static const char *const in_own_tables[] = {
        "constraint Odd \"table_pkey on \"Odd \"\"table\": PRIMARY KEY (id, tenant_id) []",
        "constraint child_twin_key on kid: UNIQUE (twin, tenant_id) []",
        "index CREATE UNIQUE INDEX odd_lower ON \"Odd \"\"table\" USING btree (lower(email) DESC "
        "NULLS LAST, tenant_id) WHERE (c > 0) [a comment]",
        "index CREATE INDEX odd_brin ON \"Odd \"\"table\" USING brin (c) "
        "WITH (pages_per_range='4') []",
        "index CREATE INDEX later_child_idx ON later USING btree (child) []",
    };
    for (size_t i = 0; i < array_size(modes); i++)
        assert_has(shapes[i], in_all, array_size(in_all));
    assert_has(shapes[0], in_shared_tables, array_size(in_shared_tables));
    assert_has(shapes[1], in_own_tables, array_size(in_own_tables));
}

static void test_index_details_are_kept(void **state)
{
    (void)state;
    const char *const migrations[] = {
        "CREATE TABLE t (a int, b text, c int, d int,"
        "  CONSTRAINT wide UNIQUE NULLS NOT DISTINCT (a, b) INCLUDE (c, d)"
        "  WITH (fillfactor = 70, deduplicate_items = off) DEFERRABLE INITIALLY DEFERRED);"
        "COMMENT ON CONSTRAINT wide ON t IS 'it''s wide';"
        "CREATE UNIQUE INDEX odd ON t (b COLLATE \"C\" text_pattern_ops DESC, (a + 1), abs(c))"
        "  INCLUDE (d) WITH (fillfactor = 70) WHERE b <> ')' AND (a > 0 OR c IS NULL);"
        "ALTER TABLE t ALTER a SET NOT NULL; CREATE UNIQUE INDEX identity ON t (a);"
        "ALTER TABLE t REPLICA IDENTITY USING INDEX identity",
        NULL};
    static const struct {
        const char *mode, *wide, *odd, *identity;
    } cases[] = {
        {"row", "(tenant_id, a, b)",
         "(tenant_id, b COLLATE \"C\" text_pattern_ops DESC, ((a + 1)), abs(c))", "(tenant_id, a)"},
        {"schema", "(a, b, tenant_id)",
         "(b COLLATE \"C\" text_pattern_ops DESC, ((a + 1)), abs(c), tenant_id)", "(a, tenant_id)"},
    };
    struct test_service service;
    make_service(&service, "details", "row schema", migrations);
    for (size_t i = 0; i < array_size(cases); i++) {
        struct isolation_placement placement;
        attach(&service, cases[i].mode, 110 + (int64_t)i, 1010 + (int64_t)i, &placement);
        _cleanup_pg_connection_ struct pg_connection *admin = admin_at(&placement);
        assert_values(
            admin,
            "SELECT pg_get_constraintdef(oid) || ' ' || obj_description(oid, 'pg_constraint')"
            " FROM pg_constraint WHERE conname = 'wide' AND conrelid = 't'::regclass",
            arena_printf(&fixture_arena,
                         "UNIQUE NULLS NOT DISTINCT %s INCLUDE (c, d) DEFERRABLE INITIALLY "
                         "DEFERRED it's wide",
                         cases[i].wide));
        assert_values(admin, "SELECT reloptions::text FROM pg_class WHERE oid = 'wide'::regclass",
                      "{fillfactor=70,deduplicate_items=off}");
        assert_values(
            admin, "SELECT substr(d, strpos(d, '(')) FROM pg_get_indexdef('odd'::regclass) AS d",
            arena_printf(&fixture_arena,
                         "%s INCLUDE (d) WITH (fillfactor='70') WHERE ((b <> ')'::text) AND "
                         "((a > 0) OR (c IS NULL)))",
                         cases[i].odd));
        assert_values(
            admin,
            "SELECT substr(d, strpos(d, '(')) FROM pg_index, pg_get_indexdef(indexrelid) AS d"
            " WHERE indrelid = 't'::regclass AND indisreplident",
            cases[i].identity);
    }
}

/* As the audit says of keys that stand wrongly: it works with rows in them that two tenants have.
 */
static void test_keys_made_anew(void **state)
{
    (void)state;
    const char *migrations[] = {"CREATE TABLE t (id int PRIMARY KEY, email text UNIQUE)", NULL,
                                NULL};
    struct test_service service;
    make_service(&service, "anew", "row schema", migrations);
    struct isolation_placement placed[3];
    static const char *const places[] = {"row", "row", "schema"};
    for (size_t i = 0; i < array_size(places); i++) {
        attach(&service, places[i], 115 + (int64_t)i, 1015 + (int64_t)i, &placed[i]);
        _cleanup_pg_connection_ struct pg_connection *tenant = login(&placed[i]);
        run(tenant, "INSERT INTO t VALUES (1, 'the same')");
    }
    migrations[1] = "ALTER TABLE t DROP CONSTRAINT t_email_key,"
                    " ADD CONSTRAINT t_email_key UNIQUE (email, tenant_id)";
    struct isolation_placement other;
    attach(&service, "row", 118, 1018, &other);
    attach(&service, "schema", 119, 1019, &other);
    const struct isolation_placement *const looked_at[] = {&placed[0], &other};
    for (size_t i = 0; i < array_size(looked_at); i++) {
        _cleanup_pg_connection_ struct pg_connection *admin = admin_at(looked_at[i]);
        assert_values(admin,
                      "SELECT pg_get_constraintdef(oid) FROM pg_constraint"
                      " WHERE conname = 't_email_key' AND conrelid = 't'::regclass",
                      "UNIQUE (email, tenant_id)");
    }
}

static void test_values_by_mode(void **state)
{
    (void)state;
    const char *const migrations[] = {"CREATE TABLE t (id int PRIMARY KEY)", NULL};
    struct test_service service;
    make_service(&service, "values", "row schema database", migrations);
    struct isolation_placement placement;
    attach(&service, "row", 120, 1020, &placement);
    _cleanup_pg_connection_ struct pg_connection *shared = admin_at(&placement);
    static const char default_sql[] =
        "SELECT pg_get_expr(adbin, adrelid) FROM pg_attrdef WHERE adrelid = 't'::regclass";
    static const char check_sql[] =
        "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = 'reeve_tenant_check'"
        " AND conrelid = 't'::regclass";
    assert_values(shared, default_sql, "reeve.tenant_id()");
    assert_values(shared, check_sql, "");
    assert_values(shared,
                  "SELECT relrowsecurity AND relforcerowsecurity FROM pg_class WHERE oid = "
                  "'t'::regclass",
                  "t");
    assert_values(shared, "SELECT polname FROM pg_policy WHERE polrelid = 't'::regclass ORDER BY 1",
                  "reeve_owner,reeve_tenant");
    static const char *const own[] = {"schema", "database"};
    for (size_t i = 0; i < array_size(own); i++) {
        attach(&service, own[i], 121 + (int64_t)i, 1021 + (int64_t)i, &placement);
        _cleanup_pg_connection_ struct pg_connection *admin = admin_at(&placement);
        assert_values(admin, default_sql, i ? "'1022'::bigint" : "'1021'::bigint");
        assert_values(admin, check_sql,
                      i ? "CHECK ((tenant_id = '1022'::bigint))"
                        : "CHECK ((tenant_id = '1021'::bigint))");
        assert_values(admin, "SELECT relrowsecurity FROM pg_class WHERE oid = 't'::regclass", "f");
    }
    _cleanup_pg_connection_ struct pg_connection *template =
        fixture_connect("postgres", service.service.template_database);
    run(template, "SET search_path TO app");
    assert_values(template, default_sql, "");
    assert_values(template, check_sql, "");
}

static void test_unshaped_service(void **state)
{
    (void)state;
    const char *const migrations[] = {
        "CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1);"
        "CREATE MATERIALIZED VIEW m AS SELECT * FROM t",
        "CREATE TABLE u (t int REFERENCES t)", NULL};
    struct test_service service;
    make_service(&service, "unshaped", "schema database", migrations);
    assert_false(service.service.shaped);
    for (size_t i = 1; i < array_size(modes); i++) {
        struct isolation_placement placement;
        attach(&service, modes[i], 130 + (int64_t)i, 1030 + (int64_t)i, &placement);
        _cleanup_pg_connection_ struct pg_connection *tenant = login(&placement);
        assert_values(tenant, "SELECT id FROM t", "1");
        assert_values(tenant, "SELECT id FROM m", "1");
        run(tenant, "INSERT INTO t VALUES (2); INSERT INTO u VALUES (2)");
        assert_values(tenant,
                      "SELECT count(*) FROM information_schema.columns WHERE column_name = "
                      "'tenant_id' AND table_schema = current_schema()",
                      "0");
    }
}

/* ---- refusals: each is tried on the shared tables, and leaves nothing ---- */

static void refused(const struct test_service *service, const char *sql, const char *message)
{
    struct isolation_target target;
    assert_true(
        isolation_base_target(&fixture_arena, &service->service, isolation_find("row"), &target));
    const char *const migrations[] = {sql, NULL};
    struct error err = {0};
    int r = migrate(&target, migrations, NULL, &err);
    if (r != -ERROR_MIGRATION || err.code != r || !strstr(err.message, message))
        fail_msg("%d \"%s\", not \"%s\"", r, err.message, message);
    _cleanup_pg_connection_ struct pg_connection *admin =
        fixture_connect("postgres", target.database);
    assert_values(admin, "SELECT relname FROM pg_class WHERE relnamespace = 'app'::regnamespace",
                  "");
}

static void test_refused(void **state)
{
    (void)state;
    struct test_service service;
    make_service(&service, "refusals", "row", NULL);
    static const struct {
        const char *sql, *message;
    } cases[] = {
        {"CREATE TABLE p (id int) PARTITION BY LIST (id)", "table \"p\" is partitioned"},
        {"CREATE MATERIALIZED VIEW m AS SELECT 1", "\"m\" is a materialized view"},
        {"CREATE TABLE a (id int); CREATE TABLE b () INHERITS (a)", "table \"b\" inherits"},
        {"CREATE FUNCTION f() RETURNS int LANGUAGE sql SECURITY DEFINER AS 'SELECT 1'",
         "function \"f\" is SECURITY DEFINER"},
        {"CREATE TABLE t (tenant_id int)", "column \"tenant_id\" of table \"t\" is Reeve's"},
        {"CREATE TABLE t (tenant_id bigint); COMMENT ON TABLE t IS '@reeve:shared'",
         "table \"t\" is declared @reeve:shared"},
        {"CREATE TABLE t (r int4range, CONSTRAINT x EXCLUDE USING gist (r WITH &&))",
         "exclusion constraint \"x\" of table \"t\""},
        {"CREATE TABLE a (id int PRIMARY KEY); CREATE TABLE b (a int CONSTRAINT k REFERENCES a "
         "ON UPDATE SET NULL)",
         "foreign key \"k\" of table \"b\" cannot be shaped: ON UPDATE SET NULL"},
        {"CREATE TABLE a (x int, y int, UNIQUE (x, y)); CREATE TABLE b (x int, y int, CONSTRAINT k "
         "FOREIGN KEY (x, y) REFERENCES a (x, y) MATCH FULL)",
         "foreign key \"k\" of table \"b\" cannot be shaped: MATCH FULL"},
        {"CREATE TABLE a (id int PRIMARY KEY); CREATE TABLE b (a int CONSTRAINT k REFERENCES a);"
         "COMMENT ON TABLE b IS '@reeve:shared'",
         "foreign key \"k\" of shared table \"b\" references \"a\""},
        {"CREATE TABLE a (id int PRIMARY KEY, x int); CREATE VIEW v AS SELECT id, x, count(*) FROM "
         "a "
         "GROUP BY id",
         "view \"v\" groups by \"a_pkey\" of table \"a\" alone"},
        {"CREATE TABLE a (id int); CREATE POLICY p ON a", "policy \"p\" on table \"a\""},
        {"CREATE TABLE a (id int); CREATE RULE r AS ON INSERT TO a DO INSTEAD NOTHING",
         "rule \"r\" on \"a\""},
        {"CREATE TABLE a (id int); CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN "
         "RETURN OLD; END'; CREATE TRIGGER t BEFORE DELETE ON a FOR EACH ROW EXECUTE FUNCTION f();"
         "ALTER TABLE a ENABLE ALWAYS TRIGGER t",
         "trigger \"t\" on table \"a\" is enabled ALWAYS or REPLICA"},
        {"CREATE TABLE a (id int); INSERT INTO a VALUES (1)",
         "table \"a\" has rows that belong to no tenant"},
        {"CREATE TABLE a (id int);\n\nSELECT 1/0;", "line 3: division by zero"},
        {"SELECT 'ä',\n nosuch", "line 2: column \"nosuch\" does not exist"},
        {"CREATE TABLE public.stray (id int)", "made or changed \"public.stray\""},
        {"DO 'BEGIN SET LOCAL ROLE postgres; END'", "line 1: permission denied to set role"},
        {"DROP SCHEMA reeve CASCADE", "line 1: must be owner of schema reeve"},
        {"INSERT INTO reeve.role_tenant VALUES ('x', 1)", "line 1: permission denied"},
        {"CREATE TABLE a (id int); COMMIT", "COMMIT: a migration may not begin, end"},
    };
    for (size_t i = 0; i < array_size(cases); i++)
        refused(&service, cases[i].sql, cases[i].message);
}

static void test_later_migrations_mend(void **state)
{
    (void)state;
    const char *const migrations[] = {
        "CREATE TABLE t (id int PRIMARY KEY); CREATE VIEW v AS SELECT id FROM t",
        "DROP POLICY reeve_tenant ON t; ALTER TABLE t NO FORCE ROW LEVEL SECURITY;"
        "ALTER TABLE t ALTER tenant_id DROP DEFAULT; ALTER VIEW v RESET (security_invoker);"
        "DO 'BEGIN GRANT ALL ON t TO PUBLIC; END'",
        "ALTER POLICY reeve_tenant ON t USING (true)", NULL};
    struct test_service service;
    make_service(&service, "mend", "row", migrations);
    struct isolation_placement one, two;
    attach(&service, "row", 140, 1040, &one);
    attach(&service, "row", 141, 1041, &two);
    _cleanup_pg_connection_ struct pg_connection *a = login(&one), *b = login(&two);
    run(a, "INSERT INTO t VALUES (1)");
    assert_values(a, "SELECT id FROM v", "1");
    assert_values(b, "SELECT id FROM t", "");
    assert_values(b, "SELECT id FROM v", "");
    fails(b, "42501", "TRUNCATE t");
}

/* Extensions go where every tenant's place finds them; with one, an exclusion constraint can carry
 * the tenant column. */
static void test_extensions(void **state)
{
    (void)state;
    const char *const migrations[] = {
        "CREATE EXTENSION btree_gist; CREATE EXTENSION citext;"
        "CREATE TABLE booking (tenant_id bigint NOT NULL, room citext, during int4range,"
        "  CONSTRAINT no_overlap EXCLUDE USING gist (tenant_id WITH =, during WITH &&))",
        NULL};
    struct test_service service;
    make_service(&service, "extensions", "row schema database", migrations);
    for (size_t i = 0; i < 2 * array_size(modes); i++) {
        struct isolation_placement placement;
        attach(&service, modes[i / 2], 170 + (int64_t)i, 1070 + (int64_t)i, &placement);
        _cleanup_pg_connection_ struct pg_connection *tenant = login(&placement);
        run(tenant, "INSERT INTO booking (room, during) VALUES ('A', '[1,5)')");
        assert_values(tenant, "SELECT during FROM booking WHERE room = 'a'", "[1,5)");
        fails(tenant, "23P01", "INSERT INTO booking (room, during) VALUES ('A', '[2,3)')");
    }
}

static void test_data_migrations(void **state)
{
    (void)state;
    const char *first[] = {"CREATE TABLE t (id int PRIMARY KEY, n int)", NULL, NULL};
    struct test_service service;
    make_service(&service, "data", "row schema", first);
    struct isolation_placement one, two;
    attach(&service, "row", 150, 1050, &one);
    attach(&service, "row", 151, 1051, &two);
    _cleanup_pg_connection_ struct pg_connection *a = login(&one), *b = login(&two);
    run(a, "INSERT INTO t VALUES (1, 10)");
    run(b, "INSERT INTO t VALUES (1, 20)");
    first[1] = "ALTER TABLE t ADD COLUMN twice int; UPDATE t SET twice = 2 * n;"
               "ALTER TABLE t ALTER twice SET NOT NULL; CREATE TABLE u (id int PRIMARY KEY, n int)";
    struct isolation_placement three;
    attach(&service, "row", 152, 1052, &three);
    assert_values(a, "SELECT twice FROM t", "20");
    assert_values(b, "SELECT twice FROM t", "40");
    /* deferred checks that a migration leaves behind do not stand in shaping's way */
    const char *const more[] = {
        first[0], first[1],
        "ALTER TABLE t ADD CONSTRAINT d UNIQUE (n) DEFERRABLE INITIALLY DEFERRED;"
        "INSERT INTO u (tenant_id, id, n) SELECT tenant_id, id, n FROM t; UPDATE t SET n = n + 1",
        NULL};
    service.migrations = more;
    struct isolation_placement four;
    attach(&service, "row", 153, 1053, &four);
    assert_values(a, "SELECT n FROM u", "10");
    assert_values(b, "SELECT n FROM u", "20");
}

static void test_foreign_key_actions(void **state)
{
    (void)state;
    const char *const migrations[] = {
        "CREATE TABLE a (id int PRIMARY KEY);"
        "CREATE TABLE b (id int PRIMARY KEY, n int REFERENCES a ON DELETE SET NULL,"
        "  c int REFERENCES a ON DELETE CASCADE ON UPDATE CASCADE,"
        "  r int REFERENCES a ON DELETE RESTRICT)",
        NULL};
    struct test_service service;
    make_service(&service, "actions", "row schema database", migrations);
    struct isolation_placement neighbour;
    attach(&service, "row", 160, 1060, &neighbour);
    _cleanup_pg_connection_ struct pg_connection *other = login(&neighbour);
    run(other,
        "INSERT INTO a VALUES (1), (2), (3); INSERT INTO b VALUES (1, 1, 1, 1), (2, 2, 2, 3)");
    for (size_t i = 0; i < array_size(modes); i++) {
        struct isolation_placement placement;
        attach(&service, modes[i], 161 + (int64_t)i, 1061 + (int64_t)i, &placement);
        _cleanup_pg_connection_ struct pg_connection *tenant = login(&placement);
        run(tenant,
            "INSERT INTO a VALUES (1), (2), (3);"
            "INSERT INTO b VALUES (1, 1, NULL, NULL), (2, NULL, 2, NULL), (3, NULL, NULL, 3)");
        run(tenant, "DELETE FROM a WHERE id = 1");
        assert_values(tenant, "SELECT n FROM b WHERE id = 1", "null");
        run(tenant, "UPDATE a SET id = 20 WHERE id = 2");
        assert_values(tenant, "SELECT c FROM b WHERE id = 2", "20");
        run(tenant, "DELETE FROM a WHERE id = 20");
        assert_values(tenant, "SELECT id FROM b ORDER BY 1", "1,3");
        fails(tenant, "23503", "DELETE FROM a WHERE id = 3");
        fails(tenant, "23503", "INSERT INTO b VALUES (9, 99)");
    }
    assert_values(other, "SELECT id || ':' || c FROM b ORDER BY id", "1:1,2:2");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same_shape),
        cmocka_unit_test(test_index_details_are_kept),
        cmocka_unit_test(test_keys_made_anew),
        cmocka_unit_test(test_values_by_mode),
        cmocka_unit_test(test_unshaped_service),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_later_migrations_mend),
        cmocka_unit_test(test_extensions),
        cmocka_unit_test(test_data_migrations),
        cmocka_unit_test(test_foreign_key_actions),
    };
    return cmocka_run_group_tests(tests, fixture_start, fixture_stop);
}
