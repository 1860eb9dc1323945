/* What is lifted out of migrations, what is put in, and what is refused. No server. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pg_query.h>

#include "base/buffer.h"
#include "isolation/rewrite.h"
#include "isolation/token.h"

static struct arena arena;

static bool shaped(void *context, const char *table)
{
    (void)context;
    return strcmp(table, "a") == 0 || strcmp(table, "Odd \"a") == 0;
}

static struct rewrite rewritten(const char *sql)
{
    struct rewrite rewrite;
    struct error err = {0};
    if (isolation_rewrite_migration(&arena, sql, shaped, NULL, &rewrite, &err) < 0)
        fail_msg("%s in: %s", err.message, sql);
    return rewrite;
}

/* White space as one blank, statements joined with "; ". */
static const char *squeezed(const struct rewrite *rewrite)
{
    _cleanup_buffer_ struct buffer text = BUFFER_INIT(1 << 16);
    for (size_t i = 0; i < rewrite->statement_count; i++) {
        if (i > 0)
            buffer_append_string(&text, "; ");
        bool blank = false;
        for (const char *c = rewrite->statements[i].sql; *c; c++) {
            bool space = *c == ' ' || *c == '\n';
            if (!space || !blank)
                buffer_append_byte(&text, space ? ' ' : (uint8_t)*c);
            blank = space;
        }
    }
    return arena_strdup(&arena, buffer_string(&text));
}

static const char *described(const struct foreign_key *key)
{
    _cleanup_buffer_ struct buffer text = BUFFER_INIT(4096);
    buffer_printf(&text, "%s %s (", key->table, key->name ? key->name : "-");
    for (size_t i = 0; i < key->column_count; i++)
        buffer_printf(&text, "%s%s", i ? "," : "", key->columns[i]);
    buffer_printf(&text, ") %s (", key->referenced_table);
    for (size_t i = 0; i < key->referenced_column_count; i++)
        buffer_printf(&text, "%s%s", i ? "," : "", key->referenced_columns[i]);
    buffer_printf(&text, ") %c%c", key->update_action, key->delete_action);
    for (size_t i = 0; i < key->delete_column_count; i++)
        buffer_printf(&text, " [%s]", key->delete_columns[i]);
    buffer_printf(&text, "%s%s%s%s", key->deferrable ? " deferrable" : "",
                  key->deferred ? " deferred" : "", key->not_valid ? " not-valid" : "",
                  key->if_not_exists ? " if-not-exists" : "");
    return arena_strdup(&arena, buffer_string(&text));
}

static void lifts(const char *sql, const char *left, const char *key)
{
    struct rewrite rewrite = rewritten(sql);
    assert_string_equal(squeezed(&rewrite), left);
    assert_int_equal(rewrite.key_count, 1);
    assert_string_equal(described(&rewrite.keys[0]), key);
}

static void test_untouched(void **state)
{
    (void)state;
    struct rewrite rewrite = rewritten("CREATE TABLE b (x int REFERENCES other);\n\n"
                                       " -- a comment\nSELECT 'a;b' ;");
    assert_int_equal(rewrite.key_count, 0);
    assert_int_equal(rewrite.statement_count, 2);
    assert_string_equal(rewrite.statements[0].sql, "CREATE TABLE b (x int REFERENCES other)");
    assert_string_equal(rewrite.statements[1].sql, "SELECT 'a;b'");
    assert_int_equal(rewrite.statements[0].line, 1);
    assert_int_equal(rewrite.statements[1].line, 4);
    assert_int_equal(rewritten("-- nothing\n").statement_count, 0);
    assert_int_equal(rewritten("").statement_count, 0);
}

static void test_column_constraints(void **state)
{
    (void)state;
    lifts("CREATE TABLE b (id int, a_id int REFERENCES a)", "CREATE TABLE b (id int, a_id int )",
          "b - (a_id) a () aa");
    lifts("CREATE TABLE b (a_id int DEFAULT 3 CONSTRAINT k REFERENCES a (id) ON UPDATE CASCADE "
          "ON DELETE SET NULL NOT NULL, c int)",
          "CREATE TABLE b (a_id int DEFAULT 3 NOT NULL, c int)", "b k (a_id) a (id) cn");
    lifts("CREATE TABLE b (a_id int REFERENCES a MATCH FULL ON DELETE NO ACTION DEFERRABLE "
          "INITIALLY DEFERRED UNIQUE)",
          "CREATE TABLE b (a_id int UNIQUE)", "b - (a_id) a () aa deferrable deferred");
    lifts("CREATE TABLE IF NOT EXISTS b (a_id int NOT NULL REFERENCES \"Odd \"\"a\" -- why\n)",
          "CREATE TABLE IF NOT EXISTS b (a_id int NOT NULL -- why )",
          "b - (a_id) Odd \"a () aa if-not-exists");
    lifts("ALTER TABLE c ADD COLUMN IF NOT EXISTS x text DEFAULT 'REFERENCES a, ' REFERENCES a "
          "NOT DEFERRABLE, ADD y int",
          "ALTER TABLE c ADD COLUMN IF NOT EXISTS x text DEFAULT 'REFERENCES a, ' , ADD y int",
          "c - (x) a () aa if-not-exists");
}

static void test_table_constraints(void **state)
{
    (void)state;
    lifts("CREATE TABLE b (x int, y int, FOREIGN KEY (x, y) REFERENCES a (p, q) "
          "ON DELETE SET DEFAULT (y))",
          "CREATE TABLE b (x int, y int )", "b - (x,y) a (p,q) ad [y]");
    lifts("CREATE TABLE b (FOREIGN KEY (x) REFERENCES a, x int)", "CREATE TABLE b ( x int)",
          "b - (x) a () aa");
    lifts("CREATE TABLE b (x int, CONSTRAINT \"k,)\" FOREIGN KEY (x) REFERENCES a, CHECK (x > 0))",
          "CREATE TABLE b (x int , CHECK (x > 0))", "b k,) (x) a () aa");
    lifts("ALTER TABLE b ADD CONSTRAINT k FOREIGN KEY (x) REFERENCES a NOT VALID; SELECT 1",
          "SELECT 1", "b k (x) a () aa not-valid");
    lifts("ALTER TABLE b ADD FOREIGN KEY (x) REFERENCES a, ALTER x SET NOT NULL",
          "ALTER TABLE b ALTER x SET NOT NULL", "b - (x) a () aa");
    lifts("ALTER TABLE b ALTER x SET NOT NULL, ADD FOREIGN KEY (x) REFERENCES a",
          "ALTER TABLE b ALTER x SET NOT NULL ", "b - (x) a () aa");
}

static void test_several(void **state)
{
    (void)state;
    struct rewrite rewrite = rewritten(
        "CREATE TABLE b (FOREIGN KEY (x) REFERENCES a, /* , */ FOREIGN KEY (y) REFERENCES"
        " a, x int, y int REFERENCES a, FOREIGN KEY (x, y) REFERENCES a);\n"
        "ALTER TABLE b ADD FOREIGN KEY (y) REFERENCES a, ADD FOREIGN KEY (x) REFERENCES a");
    assert_int_equal(rewrite.key_count, 6);
    assert_string_equal(squeezed(&rewrite), "CREATE TABLE b ( /* , */ x int, y int )");
    assert_string_equal(described(&rewrite.keys[3]), "b - (x,y) a () aa");
    assert_int_equal(rewrite.keys[5].line, 2);
}

static void test_renamed_tables(void **state)
{
    (void)state;
    lifts("ALTER TABLE a RENAME TO a2; CREATE TABLE b (x int REFERENCES a2)",
          "ALTER TABLE a RENAME TO a2; CREATE TABLE b (x int )", "b - (x) a2 () aa");
}

static void test_extensions(void **state)
{
    (void)state;
    struct rewrite rewrite = rewritten("CREATE EXTENSION citext -- why\n;"
                                       "CREATE EXTENSION IF NOT EXISTS \"x\" VERSION '1'");
    assert_string_equal(squeezed(&rewrite),
                        "CREATE EXTENSION IF NOT EXISTS citext SCHEMA public; "
                        "CREATE EXTENSION IF NOT EXISTS \"x\" VERSION '1' SCHEMA public");
}

static void refused(const char *sql, const char *message)
{
    struct rewrite rewrite = {.key_count = 77};
    struct error err = {0};
    int r = isolation_rewrite_migration(&arena, sql, shaped, NULL, &rewrite, &err);
    if (r != -ERROR_MIGRATION || strcmp(err.message, message) != 0)
        fail_msg("%d \"%s\", not \"%s\"", r, err.message, message);
    assert_int_equal(rewrite.key_count, 77);
}

static void test_refused(void **state)
{
    (void)state;
    refused("SELECT 1;\nCOMMIT;",
            "line 2: COMMIT: a migration may not begin, end or roll back transactions");
    refused("\n\n  SET LOCAL search_path TO x",
            "line 3: SET: a migration may not change role or search_path");
    refused("SET ROLE x", "line 1: SET: a migration may not change role or search_path");
    refused("SET SESSION AUTHORIZATION x",
            "line 1: SET: a migration may not change role or search_path");
    refused("CREATE SCHEMA s", "line 1: CREATE: a migration may not create schemas");
    refused("GRANT SELECT ON a TO public",
            "line 1: GRANT: a migration may not grant or revoke privileges");
    refused("CREATE INDEX CONCURRENTLY ON a (x)",
            "line 1: CREATE: a migration may not create an index concurrently");
    refused("COPY a FROM stdin", "line 1: COPY: a migration may not copy from standard input");
    refused("CREATE EXTENSION x SCHEMA y",
            "line 1: CREATE: a migration may not put an extension into a schema of its own");
    refused("SELECT 1;\n\nSELEC 2", "line 3: syntax error at or near \"SELEC\"");
    refused("CREATE TABLE b (x int REFERENCES a ON UPDATE SET NULL)",
            "line 1: foreign key of table \"b\" to \"a\" cannot be shaped: ON UPDATE SET NULL and "
            "ON UPDATE SET DEFAULT would set the tenant column too");
    refused(
        "CREATE TABLE b (x int, y int, CONSTRAINT k FOREIGN KEY (x, y) REFERENCES a MATCH FULL)",
        "line 1: foreign key \"k\" of table \"b\" to \"a\" cannot be shaped: MATCH FULL with "
        "more than one column");
    assert_int_equal(rewritten("ANALYZE a; SET LOCAL work_mem TO '64MB'").statement_count, 2);
}

static void test_names(void **state)
{
    (void)state;
    const char *columns[] = {"x", "y", "a_column_with_a_name_of_forty_characters_"};
    struct foreign_key key = {.table = "b", .columns = columns, .column_count = 2};
    assert_string_equal(isolation_foreign_key_name(&arena, &key, 0), "b_x_y_fkey");
    assert_string_equal(isolation_foreign_key_name(&arena, &key, 2), "b_x_y_fkey2");
    key.table = "a_table_with_a_name_of_sixty_three_characters_______________end";
    key.columns = &columns[2];
    key.column_count = 1;
    assert_int_equal(strlen(isolation_foreign_key_name(&arena, &key, 0)), 63);
    /* as PostgreSQL 15 names it */
    assert_string_equal(isolation_foreign_key_name(&arena, &key, 0),
                        "a_table_with_a_name_of_sixty__a_column_with_a_name_of_fort_fkey");
}

static void test_tokens(void **state)
{
    (void)state;
    static const char text[] = "a/* /* */ , */\"q\"\"x\" 'it''s' E'\\'' $$ ( $$ $t$ $$ $t$ (1.5, "
                               "(u&\"z\")) --(\n$1";
    static const enum token_kind kinds[] = {
        TOKEN_WORD,        TOKEN_QUOTED_NAME, TOKEN_STRING, TOKEN_STRING, TOKEN_STRING,
        TOKEN_STRING,      TOKEN_SYMBOL,      TOKEN_NUMBER, TOKEN_SYMBOL, TOKEN_SYMBOL,
        TOKEN_QUOTED_NAME, TOKEN_SYMBOL,      TOKEN_SYMBOL, TOKEN_SYMBOL, TOKEN_NUMBER};
    struct token_list list;
    token_scan(&arena, text, 0, strlen(text), &list);
    assert_int_equal(list.count, array_size(kinds));
    for (size_t i = 0; i < array_size(kinds); i++)
        assert_int_equal(list.tokens[i].kind, kinds[i]);
    assert_int_equal(token_skip_group(&list, 6), 13);
    assert_true(token_is(&list, 0, "A"));
    assert_false(token_is(&list, 99, "a"));
}

static int set_up(void **state)
{
    (void)state;
    arena_init(&arena, 0);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    arena_reset(&arena);
    pg_query_exit();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_untouched),
        cmocka_unit_test(test_column_constraints),
        cmocka_unit_test(test_table_constraints),
        cmocka_unit_test(test_several),
        cmocka_unit_test(test_renamed_tables),
        cmocka_unit_test(test_extensions),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_tokens),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
