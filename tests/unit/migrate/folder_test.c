/* The folder of migrations: names, order, what is refused and with which words. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <ftw.h>
#include <sys/stat.h>
#include <unistd.h>

#include "migrate/folder.h"

struct fixture {
    char folder[64];
    struct arena arena;
    struct error err;
};

static int set_up(void **state)
{
    struct fixture *f = xcalloc(1, sizeof(*f));
    snprintf(f->folder, sizeof(f->folder), "/tmp/reeve-migrations-XXXXXX");
    assert_non_null(mkdtemp(f->folder));
    arena_init(&f->arena, 0);
    *state = f;
    return 0;
}

static int remove_entry(const char *path, const struct stat *status, int type, struct FTW *walk)
{
    (void)status;
    (void)type;
    (void)walk;
    return remove(path);
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    nftw(f->folder, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
    arena_reset(&f->arena);
    free(f);
    return 0;
}

static void put_bytes(struct fixture *f, const char *name, const char *bytes, size_t length)
{
    char path[512];
    snprintf(path, sizeof(path), "%s/%s", f->folder, name);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, length), (ssize_t)length);
    close(fd);
}

static void put(struct fixture *f, const char *name, const char *text)
{
    put_bytes(f, name, text, strlen(text));
}

static void expect_order(struct fixture *f, const char *const *files, size_t count)
{
    struct migration_set set;
    int r = migration_folder_read(f->folder, &f->arena, &set, &f->err);
    if (r < 0)
        fail_msg("%s", f->err.message);
    assert_int_equal(set.count, count);
    for (size_t i = 0; i < count; i++)
        assert_string_equal(set.migrations[i].file, files[i]);
}

static void expect_refused(struct fixture *f, int code, const char *message)
{
    struct migration_set set;
    int r = migration_folder_read(f->folder, &f->arena, &set, &f->err);
    assert_int_equal(r, -code);
    assert_string_equal(f->err.message, message);
}

static void test_plain_names_are_ordered_as_numbers(void **state)
{
    struct fixture *f = *state;
    put(f, "10_ten.sql", "select 10");
    put(f, "2_two.sql", "select 2");
    put(f, "0001_one.sql", "select 1");
    put(f, "README.md", "not a migration");
    put(f, ".0003_hidden.sql", "an editor's swap file");
    const char *const order[] = {"0001_one.sql", "2_two.sql", "10_ten.sql"};
    expect_order(f, order, 3);
}

static void test_flyway_names_are_ordered_part_by_part(void **state)
{
    struct fixture *f = *state;
    put(f, "V1_10__j.sql", "");
    put(f, "V1__a.sql", "");
    put(f, "V1.2__b.sql", "");
    put(f, "V1_2_1__c.sql", "");
    put(f, "V2__2nd.sql", "");
    const char *const order[] = {"V1__a.sql", "V1.2__b.sql", "V1_2_1__c.sql", "V1_10__j.sql",
                                 "V2__2nd.sql"};
    expect_order(f, order, 5);
}

static void test_fields_of_a_migration(void **state)
{
    struct fixture *f = *state;
    put(f, "V01.0__add_customers.sql", "abc");
    put(f, "V20240131120000__later.sql", "\xEF\xBB\xBFselect 1");
    struct migration_set set;
    assert_int_equal(migration_folder_read(f->folder, &f->arena, &set, &f->err), 0);
    const struct migration *first = &set.migrations[0];
    assert_string_equal(first->version_text, "1");
    assert_string_equal(first->name, "add_customers");
    assert_string_equal(first->sql, "abc");
    assert_int_equal(first->length, 3);
    assert_string_equal(first->checksum,
                        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    assert_string_equal(migration_set_newest(&set), "20240131120000");
    assert_string_equal(set.migrations[1].sql, "select 1"); /* without the byte order mark */
    assert_ptr_equal(migration_set_find(&set, "1"), first);
    assert_null(migration_set_find(&set, "2"));
    assert_null(migration_set_find(&set, "x"));
    assert_int_equal(set.folder[0], '/');
}

static void test_same_version_twice_is_refused(void **state)
{
    struct fixture *f = *state;
    put(f, "0002_b.sql", "");
    put(f, "2_a.sql", "");
    expect_refused(f, ERROR_INVALID,
                   "migration files \"0002_b.sql\" and \"2_a.sql\" have the same version 2");
}

static void test_one_and_one_zero_are_the_same_version(void **state)
{
    struct fixture *f = *state;
    put(f, "V1.0__b.sql", "");
    put(f, "V1__a.sql", "");
    expect_refused(f, ERROR_INVALID,
                   "migration files \"V1.0__b.sql\" and \"V1__a.sql\" have the same version 1");
}

struct bad_name {
    const char *name, *why;
};

static void test_bad_names_are_refused_one_by_one(void **state)
{
    static const struct bad_name bad[] = {
        {"customers.sql", "its name does not begin with a version number"},
        {"V__x.sql", "its name does not begin with a version number"},
        {"0001.sql", "an underscore must follow the version number"},
        {"0001-x.sql", "an underscore must follow the version number"},
        {"0001_.sql", "after the version, a name of letters, digits, '_', '-' and '.' is expected"},
        {"0001_a b.sql",
         "after the version, a name of letters, digits, '_', '-' and '.' is expected"},
        {"V1_x.sql", "two underscores must follow the version number"},
        {"V1__.sql", "after the version, a name of letters, digits, '_', '-' and '.' is expected"},
        {"v1__x.sql", "its name begins with a small v, not with V"},
        {"R__views.sql", "repeatable migrations are not supported"},
        {"U1__x.sql", "undo migrations are not supported"},
        {"9999999999999999999_x.sql", "its version number is too long"},
        {"V1.1.1.1.1.1.1.1.1__x.sql", "its version number is too long"},
    };
    struct fixture *f = *state;
    put(f, "0000_fine.sql", "");
    for (size_t i = 0; i < array_size(bad); i++) {
        put(f, bad[i].name, "");
        char message[512];
        snprintf(message, sizeof(message), "migration file \"%s\": %s", bad[i].name, bad[i].why);
        expect_refused(f, ERROR_INVALID, message);
        assert_string_equal(f->err.hint, "name it like 0001_customers.sql or V1__customers.sql; "
                                         "files that are no migrations must not end in .sql");
        char path[512];
        snprintf(path, sizeof(path), "%s/%s", f->folder, bad[i].name);
        assert_int_equal(unlink(path), 0);
    }
}

static void test_bad_bytes_are_refused(void **state)
{
    struct fixture *f = *state;
    put_bytes(f, "1_x.sql", "select '\xff'", 10);
    expect_refused(f, ERROR_INVALID, "migration file \"1_x.sql\" is not valid UTF-8");
    put_bytes(f, "1_x.sql", "sel\0ect", 7);
    expect_refused(f, ERROR_INVALID, "migration file \"1_x.sql\" contains a NUL byte");
}

static void test_what_is_no_file_is_refused(void **state)
{
    struct fixture *f = *state;
    char path[128];
    snprintf(path, sizeof(path), "%s/1_x.sql", f->folder);
    assert_int_equal(mkdir(path, 0700), 0);
    expect_refused(f, ERROR_INVALID, "migration file \"1_x.sql\" is not a regular file");
    assert_int_equal(rmdir(path), 0);
    assert_int_equal(mkfifo(path, 0600), 0);
    expect_refused(f, ERROR_INVALID, "migration file \"1_x.sql\" is not a regular file");
}

static void test_too_large_a_file_is_refused(void **state)
{
    struct fixture *f = *state;
    char path[128];
    put(f, "1_x.sql", "");
    snprintf(path, sizeof(path), "%s/1_x.sql", f->folder);
    assert_int_equal(truncate(path, (off_t)MIGRATION_MAX_BYTES + 1), 0);
    expect_refused(f, ERROR_LIMIT, "migration file \"1_x.sql\" is larger than 16777216 bytes");
}

static void test_missing_and_empty_folders(void **state)
{
    struct fixture *f = *state;
    struct migration_set set;
    char message[256];
    snprintf(message, sizeof(message), "migrations folder %s has no migrations", f->folder);
    expect_refused(f, ERROR_INVALID, message);
    assert_int_equal(migration_folder_read("/nowhere/at/all", &f->arena, &set, &f->err),
                     -ERROR_NOT_FOUND);
    assert_string_equal(f->err.message, "there is no migrations folder at /nowhere/at/all");
}

static int compare(const char *a, const char *b)
{
    struct migration_version left, right;
    assert_true(migration_version_parse(a, &left));
    assert_true(migration_version_parse(b, &right));
    return migration_version_compare(&left, &right);
}

static void test_versions_compare_as_numbers(void **state)
{
    (void)state;
    assert_true(compare("2", "10") < 0);
    assert_true(compare("1.10", "1.9") > 0);
    assert_true(compare("1", "1.0.0") == 0);
    assert_true(compare("1", "1.0.1") < 0);
    assert_true(compare("0", "0.1") < 0);
    struct migration_version ignored;
    assert_false(migration_version_parse("", &ignored));
    assert_false(migration_version_parse("1.", &ignored));
    assert_false(migration_version_parse("1_2", &ignored));
    assert_false(migration_version_parse("-1", &ignored));
}

#define folder_test(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        folder_test(test_plain_names_are_ordered_as_numbers),
        folder_test(test_flyway_names_are_ordered_part_by_part),
        folder_test(test_fields_of_a_migration),
        folder_test(test_same_version_twice_is_refused),
        folder_test(test_one_and_one_zero_are_the_same_version),
        folder_test(test_bad_names_are_refused_one_by_one),
        folder_test(test_bad_bytes_are_refused),
        folder_test(test_what_is_no_file_is_refused),
        folder_test(test_too_large_a_file_is_refused),
        folder_test(test_missing_and_empty_folders),
        cmocka_unit_test(test_versions_compare_as_numbers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
