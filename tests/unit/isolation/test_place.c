/* Placements: what tenants can reach and what they cannot, and dropping one beside others. */
#include "fixture.h"

#include "base/buffer.h"

static const char *const modes[] = {"row", "schema", "database"};

static const char *const migrations[] = {
    "CREATE TABLE country (code text PRIMARY KEY); COMMENT ON TABLE country IS '@reeve:shared';"
    "INSERT INTO country VALUES ('NO');"
    "CREATE TABLE a (id int PRIMARY KEY, email text UNIQUE, country text REFERENCES country);"
    "CREATE TABLE b (id serial PRIMARY KEY, a_id int REFERENCES a ON DELETE CASCADE);"
    "CREATE VIEW v AS SELECT id, email FROM a;"
    "CREATE FUNCTION f() RETURNS bigint LANGUAGE sql AS 'SELECT count(*) FROM a'",
    NULL};

struct pair {
    struct test_service service;
    struct isolation_placement one, two;
};

static void make_pair(struct pair *ret, const char *service, const char *mode, int64_t id)
{
    make_service(&ret->service, service, "row schema database", migrations);
    attach(&ret->service, mode, id, id + 1000, &ret->one);
    attach(&ret->service, mode, id + 1, id + 1001, &ret->two);
    _cleanup_pg_connection_ struct pg_connection *one = login(&ret->one), *two = login(&ret->two);
    run(one, "INSERT INTO a VALUES (1, 'x@one', 'NO'), (2, 'same', 'NO'); INSERT INTO b(a_id) "
             "VALUES (1), (2)");
    run(two, "INSERT INTO a VALUES (1, 'x@two', 'NO'), (3, 'same', 'NO'); INSERT INTO b(a_id) "
             "VALUES (1), (3)");
}

/* The same in every mode: own rows only, and nothing but DML. */
static void check_pair(const struct pair *pair)
{
    _cleanup_pg_connection_ struct pg_connection *one = login(&pair->one), *two = login(&pair->two);
    assert_values(one, "SELECT email FROM a ORDER BY id", "x@one,same");
    assert_values(two, "SELECT email FROM a ORDER BY id", "x@two,same");
    assert_values(one, "SELECT email FROM v ORDER BY id", "x@one,same");
    assert_values(one, "SELECT f()", "2");
    assert_values(one, "SELECT reeve.tenant_id()",
                  pg_from_i64(&fixture_arena, pair->one.tenant_id));
    char sql[256];
    snprintf(sql, sizeof(sql), "UPDATE a SET tenant_id = %lld WHERE id = 1",
             (long long)pair->two.tenant_id);
    const char *refused =
        strcmp(isolation_name(pair->one.isolation), "row") == 0 ? "42501" : "23514";
    fails(one, refused, sql);
    snprintf(sql, sizeof(sql), "INSERT INTO a (id, tenant_id) VALUES (9, %lld)",
             (long long)pair->two.tenant_id);
    fails(one, refused, sql);
    /* keys are no oracle: what the neighbour has is free, and cannot be pointed at */
    run(one, "BEGIN; INSERT INTO a VALUES (3, 'x@two'); DELETE FROM a WHERE id = 3; ROLLBACK");
    fails(one, "23503", "INSERT INTO b (a_id) VALUES (3)");
    fails(one, "23505", "INSERT INTO a VALUES (2, 'other')");
    assert_values(one, "WITH gone AS (DELETE FROM b RETURNING 1) SELECT count(*) FROM gone", "2");
    assert_values(two, "SELECT count(*) FROM b", "2");
    run(one, "INSERT INTO b (a_id) VALUES (1), (2)");
    static const char *const not_allowed[] = {
        "TRUNCATE a",
        "TRUNCATE country",
        "INSERT INTO country VALUES ('XX')",
        "DELETE FROM country",
        "CREATE TABLE mine (id int)",
        "CREATE TABLE public.mine (id int)",
        "CREATE TEMP TABLE mine (id int)",
        "CREATE SCHEMA mine",
        "CREATE FUNCTION leak(int) RETURNS bool LANGUAGE sql AS 'SELECT true'",
        "CREATE FUNCTION pg_temp.leak(int) RETURNS bool LANGUAGE sql AS 'SELECT true'",
        "ALTER TABLE a DISABLE ROW LEVEL SECURITY",
        "CREATE POLICY mine ON a USING (true)",
        "CREATE TRIGGER t AFTER INSERT ON a EXECUTE FUNCTION suppress_redundant_updates_trigger()",
        "SELECT * FROM reeve.role_tenant",
        "SELECT * FROM reeve.migration",
        "UPDATE reeve.role_tenant SET tenant_id = 1",
        "SELECT lo_create(0)",
        "SELECT lo_from_bytea(0, 'x')",
        "CREATE ROLE mine",
        "CREATE DATABASE mine",
        "SET session_replication_role TO replica",
        "COPY a TO PROGRAM 'cat'",
        "SELECT pg_read_file('PG_VERSION')",
        "ALTER DATABASE postgres SET search_path TO x",
    };
    for (size_t i = 0; i < array_size(not_allowed); i++) /* "must be owner" is 42501 as well */
        fails(one, "42501", not_allowed[i]);
    static const char *const databases[] = {"postgres", "template1"};
    for (size_t i = 0; i < array_size(databases); i++)
        fixture_connect_fails(pair->one.role, databases[i], "42501");
}

static void check_roles(const struct pair *pair)
{
    _cleanup_pg_connection_ struct pg_connection *one = login(&pair->one);
    char sql[256];
    snprintf(sql, sizeof(sql), "SET ROLE %s", pair->two.role);
    fails(one, "42501", sql);
    snprintf(sql, sizeof(sql), "SET SESSION AUTHORIZATION %s", pair->two.role);
    fails(one, "42501", sql);
    snprintf(sql, sizeof(sql), "SET ROLE %s", pair->service.service.owner_role);
    fails(one, "42501", sql);
    snprintf(sql, sizeof(sql), "ALTER ROLE %s SET search_path TO x", pair->two.role);
    fails(one, "42501", sql);
    /* what can be set changes nothing */
    run(one, "RESET ROLE; SET SESSION AUTHORIZATION DEFAULT; RESET ALL");
    snprintf(sql, sizeof(sql), "SET reeve_owner.tenant TO '%lld'", (long long)pair->two.tenant_id);
    run(one, sql);
    snprintf(sql, sizeof(sql), "SET search_path TO %s", pair->one.schema);
    run(one, sql);
    assert_values(one, "SELECT email FROM a ORDER BY id", "x@one,same");
    run(one, "DISCARD ALL");
    _cleanup_pg_connection_ struct pg_connection *two = login(&pair->two);
    snprintf(sql, sizeof(sql), "SELECT pg_terminate_backend(%d)", pg_backend_pid(two));
    fails(one, "42501", sql);
    snprintf(sql, sizeof(sql), "SELECT query FROM pg_stat_activity WHERE pid = %d",
             pg_backend_pid(two));
    assert_string_equal(values(one, sql), "<insufficient privilege>");
    _cleanup_pg_connection_ struct pg_connection *reader = login_read_only(&pair->one);
    assert_values(reader, "SELECT email FROM a ORDER BY id", "x@one,same");
    fails(reader, "25006", "DELETE FROM a");
    run(reader, "SET default_transaction_read_only TO off");
    fails(reader, "42501", "DELETE FROM a");
    fails(reader, "42501", "SELECT nextval('b_id_seq')");
    assert_values(reader, "SELECT code FROM country", "NO");
}

static void test_row(void **state)
{
    (void)state;
    struct pair pair;
    make_pair(&pair, "row-pair", "row", 200);
    check_pair(&pair);
    check_roles(&pair);
    _cleanup_pg_connection_ struct pg_connection *first = login(&pair.one);
    fails(first, "42501", "DROP POLICY reeve_tenant ON a");
    fails(first, "42501", "ALTER POLICY reeve_tenant ON a USING (true)");
    /* a role that nobody is mapped to sees nothing */
    _cleanup_pg_connection_ struct pg_connection *admin =
        fixture_connect("postgres", pair.one.database);
    run(admin, "DELETE FROM reeve.role_tenant WHERE role_name = 't_000200'");
    _cleanup_pg_connection_ struct pg_connection *one = login(&pair.one);
    run(one, "SET reeve_owner.tenant TO '1201'");
    assert_values(one, "SELECT count(*) FROM a", "0");
    fails(one, "42501", "INSERT INTO a VALUES (7)");
}

static void test_schema(void **state)
{
    (void)state;
    struct pair pair;
    make_pair(&pair, "schema-pair", "schema", 210);
    check_pair(&pair);
    check_roles(&pair);
    _cleanup_pg_connection_ struct pg_connection *one = login(&pair.one);
    fails(one, "42501", "SELECT * FROM t_000211.a");
    fails(one, "42501", "SELECT t_000211.f()");
    fails(one, "42501", "SELECT nextval('t_000211.b_id_seq')");
    fails(one, "42501", "SELECT * FROM app.a");
}

static void test_database(void **state)
{
    (void)state;
    struct pair pair;
    make_pair(&pair, "database-pair", "database", 220);
    check_pair(&pair);
    check_roles(&pair);
    fixture_connect_fails(pair.one.role, pair.two.database, "42501");
    fixture_connect_fails(pair.one.role, pair.service.service.template_database, "42501");
    fixture_connect_fails(pair.one.role, pair.service.service.shared_database, "42501");
}

/* ---- dropping ---- */

static void test_drop_leaves_neighbours(void **state)
{
    (void)state;
    struct test_service service;
    struct isolation_placement placed[6];
    make_service(&service, "drop", "row schema database", migrations);
    for (size_t i = 0; i < array_size(placed); i++) {
        attach(&service, modes[i / 2], 230 + (int64_t)i, 1230 + (int64_t)i, &placed[i]);
        _cleanup_pg_connection_ struct pg_connection *tenant = login(&placed[i]);
        run(tenant, "INSERT INTO a VALUES (1, 'x', 'NO'); INSERT INTO b(a_id) VALUES (1)");
        assert_string_not_equal(inspect(&service, &placed[i]), "");
    }
    struct error err = {0};
    assert_int_equal(isolation_drop_service(&fixture_server, &service.service, &err), -ERROR_STATE);
    for (size_t i = 0; i < array_size(placed); i += 2) {
        _cleanup_pg_connection_ struct pg_connection *open = login(&placed[i]);
        run(open, "BEGIN; UPDATE a SET email = 'locked'");
        drop(&service, &placed[i]);
        assert_string_equal(inspect(&service, &placed[i]), "");
        assert_true(pg_execute_script(open, "SELECT 1", &err) < 0);
    }
    for (size_t i = 1; i < array_size(placed); i += 2) {
        _cleanup_pg_connection_ struct pg_connection *tenant = login(&placed[i]);
        assert_values(tenant, "SELECT email FROM a JOIN b ON a_id = a.id", "x");
        assert_values(tenant, "SELECT code FROM country", "NO");
    }
    for (size_t i = 1; i < array_size(placed); i += 2)
        drop(&service, &placed[i]);
    for (int again = 0; again < 2; again++)
        assert_int_equal(isolation_drop_service(&fixture_server, &service.service, &err), 0);
    _cleanup_pg_connection_ struct pg_connection *admin = fixture_connect("postgres", "postgres");
    assert_values(admin, "SELECT rolname FROM pg_roles WHERE rolname ~ '_drop(_ro)?$'", "");
    assert_values(admin, "SELECT datname FROM pg_database WHERE datname ~ '_drop$'", "");
}

static void test_inspect(void **state)
{
    (void)state;
    struct test_service service;
    struct isolation_placement placement;
    make_service(&service, "inspect", "row schema database", migrations);
    attach(&service, "row", 240, 1240, &placement);
    _cleanup_pg_connection_ struct pg_connection *tenant = login(&placement);
    run(tenant, "INSERT INTO a VALUES (1), (2)");
    assert_string_equal(inspect(&service, &placement),
                        "role t_000240\nrole t_000240_ro\n"
                        "tenant of role t_000240 in database svc_inspect\n"
                        "tenant of role t_000240_ro in database svc_inspect\n"
                        "2 rows in app.a in database svc_inspect");
    assert_string_equal(
        isolation_describe(&fixture_arena, &placement, "local"),
        "rows of tenant 1240 in schema app of database svc_inspect on cluster local");
    attach(&service, "schema", 241, 1241, &placement);
    assert_string_equal(inspect(&service, &placement),
                        "role t_000241\nrole t_000241_ro\n"
                        "ledger of t_000241 in database svc_inspect\n"
                        "schema t_000241 in database svc_inspect\n"
                        "tenant of role t_000241 in database svc_inspect\n"
                        "tenant of role t_000241_ro in database svc_inspect");
    attach(&service, "database", 242, 1242, &placement);
    assert_string_equal(inspect(&service, &placement),
                        "database d_000242\nrole t_000242\nrole t_000242_ro");
}

/* Two places of one placement, as a move has them, share nothing. */
static void test_generations(void **state)
{
    (void)state;
    static const char *const left[] = {"schema t_000245 in database svc_generations",
                                       "database d_000246"};
    struct test_service service;
    make_service(&service, "generations", "row schema database", migrations);
    for (size_t i = 0; i < array_size(left); i++) {
        struct error err = {0};
        struct isolation_placement first, second;
        int64_t id = 245 + (int64_t)i;
        attach(&service, modes[i + 1], id, 1245, &first);
        second = first;
        isolation_placement_set_generation(&fixture_arena, &service.service, &second, 2);
        assert_string_equal(second.role, arena_printf(&fixture_arena, "%s_2", first.role));
        assert_string_equal(second.ro_role, arena_printf(&fixture_arena, "%s_ro", second.role));
        assert_string_equal(inspect(&service, &second), "");
        assert_int_equal(isolation_create(&fixture_server, &service.service, &second, &err), 0);
        const char *made = inspect(&service, &second);
        assert_non_null(strstr(made, "role t_00024"));
        assert_non_null(strstr(made, i == 0 ? "schema t_000245_2" : "database d_000246_2"));
        drop(&service, &second);
        assert_string_equal(inspect(&service, &second), "");
        assert_non_null(strstr(inspect(&service, &first), left[i]));
        _cleanup_pg_connection_ struct pg_connection *tenant = login(&first);
        assert_values(tenant, "SELECT count(*) FROM a", "0");
    }
}

/* A crash may leave any part of a placement: dropping takes whatever is there. */
static void test_drop_of_parts(void **state)
{
    (void)state;
    struct test_service service;
    make_service(&service, "parts", "row schema database", migrations);
    _cleanup_pg_connection_ struct pg_connection *admin = fixture_connect("postgres", "postgres");
    for (size_t i = 0; i < array_size(modes); i++) {
        struct isolation_placement placement;
        isolation_placement_init(&fixture_arena, &service.service, isolation_find(modes[i]),
                                 270 + (int64_t)i, 1270, &placement);
        drop(&service, &placement);
        run(admin, arena_printf(&fixture_arena, "CREATE ROLE %s", placement.ro_role));
        assert_string_equal(inspect(&service, &placement),
                            arena_printf(&fixture_arena, "role %s", placement.ro_role));
        drop(&service, &placement);
        placement.role_verifier = placement.ro_verifier = "unused";
        struct error err = {0};
        assert_int_equal(isolation_create(&fixture_server, &service.service, &placement, &err), 0);
        run(admin,
            arena_printf(&fixture_arena, "ALTER ROLE %s RENAME TO elsewhere", placement.role));
        drop(&service, &placement);
        run(admin, "DROP ROLE elsewhere");
        assert_string_equal(inspect(&service, &placement), "");
    }
}

/* Tables that point at each other, RESTRICT, triggers that write as rows go and forget whose: none
 * of it keeps a tenant's rows, or touches a neighbour's. */
static const char *const tangled[] = {
    "CREATE TABLE log (id bigserial PRIMARY KEY, what text);"
    "CREATE TABLE x (id int PRIMARY KEY, y int, note text);"
    "CREATE TABLE y (id int PRIMARY KEY, x int NOT NULL REFERENCES x ON DELETE RESTRICT);"
    "ALTER TABLE x ADD FOREIGN KEY (y) REFERENCES y ON DELETE RESTRICT;"
    "CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
    " INSERT INTO log (what, tenant_id) VALUES (TG_OP, OLD.tenant_id);"
    " UPDATE x SET note = 'touched' WHERE id = OLD.id; RETURN NULL; END $$;"
    "CREATE TRIGGER tell AFTER DELETE ON y FOR EACH ROW EXECUTE FUNCTION tell();",
    NULL};

static void fill_tangled(const struct isolation_placement *placement)
{
    _cleanup_pg_connection_ struct pg_connection *tenant = login(placement);
    run(tenant, "INSERT INTO x (id) VALUES (1), (2); INSERT INTO y (id, x) VALUES (1, 2), (2, 1);"
                "UPDATE x SET y = id");
}

static void check_untouched(const struct isolation_placement *placement)
{
    _cleanup_pg_connection_ struct pg_connection *tenant = login(placement);
    assert_values(tenant, "SELECT count(*) FROM x JOIN y ON y.x = x.id WHERE note IS NULL", "2");
    assert_values(tenant, "SELECT count(*) FROM log", "0");
}

static void test_drop_tangled_rows(void **state)
{
    (void)state;
    struct test_service service;
    struct isolation_placement one, two;
    make_service(&service, "tangled", "row", tangled);
    attach(&service, "row", 250, 1250, &one);
    attach(&service, "row", 251, 1251, &two);
    fill_tangled(&one);
    fill_tangled(&two);
    drop(&service, &one);
    assert_string_equal(inspect(&service, &one), "");
    check_untouched(&two);
}

/* ---- an administrator who is no superuser, as managed servers have ---- */

static int connect_plain(void *context, const char *database, struct pg_connection **ret,
                         struct error *err)
{
    (void)context;
    (void)err;
    *ret = fixture_connect("plain_admin", database ? database : "postgres");
    return 0;
}

static void test_plain_administrator(void **state)
{
    (void)state;
    static const struct isolation_server plain = {.connect = connect_plain};
    _cleanup_pg_connection_ struct pg_connection *admin = fixture_connect("postgres", "postgres");
    run(admin, "CREATE ROLE plain_admin LOGIN CREATEDB CREATEROLE;"
               "GRANT CONNECT ON DATABASE postgres TO plain_admin");
    struct test_service service = {.migrations = tangled};
    const struct isolation *allowed[] = {isolation_at(0), isolation_at(1), isolation_at(2)};
    isolation_service_init(&fixture_arena, 900, "plain", allowed, 3, &service.service);
    service.service.owner_verifier = "unused";
    struct error err = {0};
    if (isolation_prepare_cluster(&plain, &err) < 0)
        fail_msg("isolation_prepare_cluster: %s %s", err.sqlstate, err.message);
    if (isolation_prepare_service(&plain, &service.service, &err) < 0)
        fail_msg("isolation_prepare_service: %s %s", err.sqlstate, err.message);
    struct isolation_placement placed[6];
    for (size_t i = 0; i < array_size(placed); i++) {
        struct isolation_target base;
        const struct isolation *isolation = allowed[i / 2];
        isolation_placement_init(&fixture_arena, &service.service, isolation, 910 + (int64_t)i,
                                 1910 + (int64_t)i, &placed[i]);
        placed[i].role_verifier = placed[i].ro_verifier = "unused";
        if (isolation_base_target(&fixture_arena, &service.service, isolation, &base))
            assert_int_equal(migrate(&base, tangled, NULL, &err), 0);
        if (isolation_create(&plain, &service.service, &placed[i], &err) < 0)
            fail_msg("isolation_create %s: %s", isolation_name(isolation), err.message);
        attach(&service, isolation_name(isolation), 910 + (int64_t)i, 1910 + (int64_t)i,
               &placed[i]);
        fill_tangled(&placed[i]);
    }
    for (size_t i = 0; i < array_size(placed); i += 2) {
        if (isolation_drop(&plain, &service.service, &placed[i], &err) < 0)
            fail_msg("isolation_drop: %s", err.message);
        assert_string_equal(inspect(&service, &placed[i]), "");
        check_untouched(&placed[i + 1]);
        assert_int_equal(isolation_drop(&plain, &service.service, &placed[i + 1], &err), 0);
    }
    if (isolation_drop_service(&plain, &service.service, &err) < 0)
        fail_msg("isolation_drop_service: %s", err.message);
}

static void test_suspension(void **state)
{
    (void)state;
    struct test_service service;
    struct isolation_placement placement;
    make_service(&service, "suspend", "schema", migrations);
    attach(&service, "schema", 260, 1260, &placement);
    _cleanup_pg_connection_ struct pg_connection *open = login(&placement);
    struct error err = {0};
    assert_int_equal(isolation_set_login(&fixture_server, &placement, false, &err), 0);
    assert_true(pg_execute_script(open, "SELECT 1", &err) < 0);
    fixture_connect_fails(placement.role, placement.database, "not permitted to log in");
    fixture_connect_fails(placement.ro_role, placement.database, "not permitted to log in");
    assert_int_equal(isolation_set_login(&fixture_server, &placement, true, &err), 0);
    _cleanup_pg_connection_ struct pg_connection *again = login(&placement);
    assert_values(again, "SELECT count(*) FROM a", "0");
}

static void test_names(void **state)
{
    (void)state;
    struct isolation_service service;
    const struct isolation *row = isolation_find("row"), *database = isolation_find("database");
    isolation_service_init(&fixture_arena, 7, "a_b", &row, 1, &service);
    assert_string_equal(service.shared_database, "svc_a_b");
    assert_null(service.template_database);
    assert_true(service.shaped);
    isolation_service_choose(&fixture_arena, &service, "pool7");
    assert_string_equal(service.shared_database, "pool7");
    assert_string_equal(service.use_role, "use_$pool7");
    assert_string_equal(service.run_role, "run_$pool7");
    assert_string_equal(service.run_ro_role, "run_ro_$pool7");
    isolation_service_choose(&fixture_arena, &service, "");
    assert_string_equal(service.shared_database, "svc_a_b");
    assert_string_equal(service.run_ro_role, "run_a_b_ro");
    isolation_service_init(&fixture_arena, 7, "a-b", &database, 1, &service);
    assert_string_equal(service.owner_role, "own_a_b$7");
    assert_string_equal(service.template_database, "tpl_a_b$7");
    assert_null(service.shared_database);
    assert_false(service.shaped);
    isolation_service_init(&fixture_arena, INT64_MAX,
                           "a123456789012345678901234567890123456789012345678901234567890ab", &row,
                           1, &service);
    assert_true(strlen(service.run_ro_role) <= 63);
    struct error err = {0};
    static const char *const wrong[] = {"",
                                        "7pool",
                                        "Pool",
                                        "po ol",
                                        "po\"ol",
                                        "pool$7",
                                        "svc_orders",
                                        "tpl_x",
                                        "d_000042",
                                        "reeve",
                                        "reeve_x",
                                        "postgres",
                                        "pg_x",
                                        "template1",
                                        "all",
                                        "replication",
                                        "sameuser",
                                        "p\xc3\xb6ol",
                                        "_pool",
                                        "po-ol",
                                        "a12345678901234567890123456789012345678901234567890"};
    for (size_t i = 0; i < array_size(wrong); i++)
        assert_int_equal(isolation_check_database_name(wrong[i], &err), -ERROR_INVALID);
    assert_int_equal(isolation_check_database_name("pool_7", &err), 0);
    const struct isolation *found = NULL;
    assert_int_equal(isolation_parse("rows", &found, &err), -ERROR_USAGE);
    assert_string_equal(err.hint, "Use one of: row, schema, database.");
    assert_null(found);
    assert_int_equal(isolation_parse("row", &found, &err), 0);
    assert_ptr_equal(found, row);
    /* a role that is there no more and whose password is not known */
    struct isolation_placement placement;
    isolation_placement_init(&fixture_arena, &service, row, 1234567, 1, &placement);
    assert_string_equal(placement.ro_role, "t_1234567_ro");
    assert_int_equal(isolation_create(&fixture_server, &service, &placement, &err), -ERROR_STATE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_row),
        cmocka_unit_test(test_schema),
        cmocka_unit_test(test_database),
        cmocka_unit_test(test_drop_leaves_neighbours),
        cmocka_unit_test(test_inspect),
        cmocka_unit_test(test_generations),
        cmocka_unit_test(test_drop_of_parts),
        cmocka_unit_test(test_drop_tangled_rows),
        cmocka_unit_test(test_plain_administrator),
        cmocka_unit_test(test_suspension),
    };
    return cmocka_run_group_tests(tests, fixture_start, fixture_stop);
}
