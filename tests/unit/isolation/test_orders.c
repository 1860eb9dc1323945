/* examples/orders works unchanged in every mode, and gives the same answers in each. */
#include "fixture.h"

#include <dirent.h>
#include <sys/stat.h>

#include "base/buffer.h"
#include "base/str.h"

static const char *folder;

static const char *read_text(const char *path)
{
    FILE *file = fopen(path, "re");
    assert_non_null(file);
    _cleanup_buffer_ struct buffer text = BUFFER_INIT(1 << 20);
    char bytes[4096];
    size_t count;
    while ((count = fread(bytes, 1, sizeof(bytes), file)) > 0)
        buffer_append(&text, bytes, count);
    fclose(file);
    return arena_strdup(&fixture_arena, buffer_string(&text));
}

static int is_migration(const struct dirent *entry)
{
    return str_has_suffix(entry->d_name, ".sql");
}

static const char *const *read_migrations(void)
{
    const char *path = arena_printf(&fixture_arena, "%s/orders/migrations", folder);
    struct dirent **entries;
    int count = scandir(path, &entries, is_migration, alphasort);
    assert_true(count >= 4);
    const char **texts = arena_zalloc(&fixture_arena, ((size_t)count + 1) * sizeof(*texts));
    for (int i = 0; i < count; i++) {
        texts[i] = read_text(arena_printf(&fixture_arena, "%s/%s", path, entries[i]->d_name));
        free(entries[i]);
    }
    free(entries);
    return texts;
}

static const char *file(const char *name)
{
    return read_text(arena_printf(&fixture_arena, "%s/orders/%s", folder, name));
}

/* What each query of a file gives, whole rows as text. */
static const char *answers(struct pg_connection *connection, const char *queries)
{
    _cleanup_buffer_ struct buffer all = BUFFER_INIT(1 << 20);
    char *rest = arena_strdup(&fixture_arena, queries), *query;
    while ((query = strsep(&rest, ";"))) {
        if (!strstr(query, "SELECT"))
            continue;
        buffer_append_string(
            &all,
            values(connection,
                   arena_printf(&fixture_arena, "SELECT answer::text FROM (%s) AS answer", query)));
        buffer_append_byte(&all, '\n');
    }
    return arena_strdup(&fixture_arena, buffer_string(&all));
}

static void check_triggers(struct pg_connection *tenant)
{
    run(tenant, "UPDATE order_items SET quantity = 3 WHERE order_id = (SELECT id FROM orders WHERE"
                " number = 'A-1002')");
    assert_values(tenant, "SELECT total FROM orders WHERE number = 'A-1002'", "29997.00");
    assert_values(tenant, "SELECT updated_at > ordered_at FROM orders WHERE number = 'A-1002'",
                  "t");
}

static void check_keys(struct pg_connection *tenant)
{
    fails(tenant, "23505",
          "INSERT INTO customers (email, name, country) VALUES "
          "('ADA@example.com', 'x', 'GB')");
    fails(tenant, "23505", "INSERT INTO categories (name) VALUES ('Instruments')");
    fails(tenant, "23503", "DELETE FROM customers WHERE email = 'ada@example.com'");
    fails(tenant, "23503", "INSERT INTO customers (email, name, country) VALUES ('x', 'x', 'XX')");
    fails(tenant, "42501", "DELETE FROM currencies");
    run(tenant, "UPDATE warehouses SET code = 'BGO'");
    assert_values(tenant, "SELECT DISTINCT warehouse FROM stock", "BGO");
    run(tenant, "DELETE FROM discounts");
    assert_values(tenant, "SELECT count(discount) FROM orders", "0");
}

static void test_orders(void **state)
{
    (void)state;
    static const char *const modes[] = {"row", "schema", "database"};
    struct test_service service;
    struct isolation_placement placed[6];
    struct pg_connection *tenants[6];
    const char *expected = NULL;
    make_service(&service, "orders", "row schema database", read_migrations());
    for (size_t i = 0; i < array_size(placed); i++) {
        attach(&service, modes[i / 2], 1 + (int64_t)i, 101 + (int64_t)i, &placed[i]);
        tenants[i] = login(&placed[i]);
        run(tenants[i], file("sample.sql"));
    }
    for (size_t i = 0; i < array_size(placed); i++) {
        const char *given = answers(tenants[i], file("queries.sql"));
        if (!expected)
            expected = given;
        assert_string_equal(given, expected);
        check_triggers(tenants[i]);
        check_keys(tenants[i]);
    }
    assert_non_null(strstr(expected, "(A-1001,\"Ada King\",\"United Kingdom\",paid,73.00,2)"));
    for (size_t i = 0; i < array_size(placed); i++)
        tenants[i] = pg_close(tenants[i]);
}

int main(int count, char **arguments)
{
    if (count != 2) {
        fprintf(stderr, "usage: %s EXAMPLES\n", arguments[0]);
        return 2;
    }
    folder = arguments[1];
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_orders)};
    return cmocka_run_group_tests(tests, fixture_start, fixture_stop);
}
