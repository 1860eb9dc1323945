/* The key file: what is taken, what is refused and with which words. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/crypto.h"
#include "base/str.h"

static const char DIGITS[] = "000102030405060708090a0b0c0d0e0f101112131415161718191A1B1C1D1E1F";
static char folder[] = "/tmp/reeve-key-XXXXXX";
static char path[64];

static int make_folder(void **state)
{
    (void)state;
    if (!mkdtemp(folder))
        return -1;
    snprintf(path, sizeof(path), "%s/key", folder);
    return 0;
}

static int remove_file(void **state)
{
    (void)state;
    if (rmdir(path) < 0)
        unlink(path);
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    return rmdir(folder);
}

static void write_file(const char *text, mode_t mode)
{
    unlink(path);
    _cleanup_close_ int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    assert_int_equal(fchmod(fd, mode), 0);
}

static void is_refused(int code, const char *message_format)
{
    uint8_t key[CRYPTO_KEY_SIZE], before[CRYPTO_KEY_SIZE];
    memset(key, 0x5a, sizeof(key));
    memcpy(before, key, sizeof(key));
    struct error err = {0};
    assert_int_equal(crypto_key_file_read(path, key, &err), -code);
    assert_memory_equal(key, before, sizeof(key));
    _cleanup_free_ char *expected = xasprintf("%s %s %s", "the key file", path, message_format);
    assert_string_equal(err.message, expected);
}

static void is_taken(const char *text, mode_t mode)
{
    write_file(text, mode);
    uint8_t key[CRYPTO_KEY_SIZE];
    struct error err = {0};
    if (crypto_key_file_read(path, key, &err) != 0)
        fail_msg("%s", err.message);
    for (int i = 0; i < CRYPTO_KEY_SIZE; i++)
        assert_int_equal(key[i], i);
}

static void test_good_files(void **state)
{
    (void)state;
    char line[80];
    is_taken(DIGITS, 0600);
    snprintf(line, sizeof(line), "%s\n", DIGITS);
    is_taken(line, 0600);
    is_taken(line, 0400);
}

static void test_modes(void **state)
{
    (void)state;
    static const mode_t modes[] = {0640, 0620, 0610, 0604, 0602, 0601, 0666, 0644};
    for (size_t i = 0; i < array_size(modes); i++) {
        write_file(DIGITS, modes[i]);
        is_refused(ERROR_CONFIG, "can be read by others");
    }
    struct error err = {0};
    uint8_t key[CRYPTO_KEY_SIZE];
    crypto_key_file_read(path, key, &err);
    assert_true(str_has_prefix(err.hint, "chmod 600 "));
}

static void test_contents(void **state)
{
    (void)state;
    static const char message[] = "does not hold 64 hexadecimal digits";
    char text[160];
    write_file("", 0600);
    is_refused(ERROR_CONFIG, message);
    write_file("\n", 0600);
    is_refused(ERROR_CONFIG, message);
    write_file(DIGITS + 1, 0600);
    is_refused(ERROR_CONFIG, message);
    snprintf(text, sizeof(text), "%s\n", DIGITS + 1);
    write_file(text, 0600);
    is_refused(ERROR_CONFIG, message);
    static const char *const tails[] = {"0", "00", " ", "\n\n", "\r\n", "\n0"};
    for (size_t i = 0; i < array_size(tails); i++) {
        snprintf(text, sizeof(text), "%s%s", DIGITS, tails[i]);
        write_file(text, 0600);
        is_refused(ERROR_CONFIG, message);
    }
    for (size_t at = 0; at < 64; at += 21) {
        snprintf(text, sizeof(text), "%s", DIGITS);
        text[at] = 'g';
        write_file(text, 0600);
        is_refused(ERROR_CONFIG, message);
    }
}

static void test_what_is_no_file(void **state)
{
    (void)state;
    assert_int_equal(mkdir(path, 0700), 0);
    is_refused(ERROR_CONFIG, "is not a regular file");
}

/* Without waiting for somebody to write to it. */
static void test_a_named_pipe(void **state)
{
    (void)state;
    assert_int_equal(mkfifo(path, 0600), 0);
    alarm(10);
    is_refused(ERROR_CONFIG, "is not a regular file");
    alarm(0);
}

static void test_no_file(void **state)
{
    (void)state;
    struct error err = {0};
    uint8_t key[CRYPTO_KEY_SIZE];
    assert_int_equal(crypto_key_file_read(path, key, &err), -ERROR_IO);
    _cleanup_free_ char *expected =
        xasprintf("cannot open the key file %s: No such file or directory", path);
    assert_string_equal(err.message, expected);
    assert_non_null(strstr(err.hint, "reeve init"));
}

static void test_create(void **state)
{
    (void)state;
    uint8_t key[CRYPTO_KEY_SIZE], again[CRYPTO_KEY_SIZE], other[CRYPTO_KEY_SIZE];
    struct error err = {0};
    mode_t mask = umask(0);
    assert_int_equal(crypto_key_file_create(path, &err), 0);
    umask(mask);
    struct stat status;
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(status.st_mode & 07777, 0600);
    assert_int_equal(status.st_size, 65);
    assert_int_equal(crypto_key_file_read(path, key, &err), 0);

    /* It is never replaced. */
    assert_int_equal(crypto_key_file_create(path, &err), -ERROR_IO);
    _cleanup_free_ char *expected = xasprintf("cannot create the key file %s: File exists", path);
    assert_string_equal(err.message, expected);
    assert_int_equal(crypto_key_file_read(path, again, &err), 0);
    assert_memory_equal(key, again, sizeof(key));

    unlink(path);
    assert_int_equal(crypto_key_file_create(path, &err), 0);
    assert_int_equal(crypto_key_file_read(path, other, &err), 0);
    assert_memory_not_equal(key, other, sizeof(key));
}

static void test_create_where_it_cannot(void **state)
{
    (void)state;
    struct error err = {0};
    assert_int_equal(crypto_key_file_create("/proc/no/such/folder", &err), -ERROR_IO);
    assert_string_equal(err.message, "cannot create the key file /proc/no/such/folder: "
                                     "No such file or directory");
    if (access("/dev/full", W_OK) == 0) { /* it is there: never replaced, never removed */
        assert_int_equal(crypto_key_file_create("/dev/full", &err), -ERROR_IO);
        assert_int_equal(access("/dev/full", F_OK), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_good_files, remove_file),
        cmocka_unit_test_teardown(test_modes, remove_file),
        cmocka_unit_test_teardown(test_contents, remove_file),
        cmocka_unit_test_teardown(test_what_is_no_file, remove_file),
        cmocka_unit_test_teardown(test_a_named_pipe, remove_file),
        cmocka_unit_test_teardown(test_no_file, remove_file),
        cmocka_unit_test_teardown(test_create, remove_file),
        cmocka_unit_test_teardown(test_create_where_it_cannot, remove_file),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
