/* One event is one line, whatever a tenant puts into it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <pthread.h>
#include <unistd.h>

#include "base/log.h"
#include "base/str.h"

enum { OUTPUT_SIZE = 16384 };

static char output[OUTPUT_SIZE];
static int saved_stderr = -1;
static int file = -1;

/* Standard error goes to a file until read_output. */
static void begin_capture(void)
{
    fflush(stderr);
    saved_stderr = dup(STDERR_FILENO);
    file = open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (file < 0) { /* a file system that cannot */
        char name[] = "/tmp/reeve-log-XXXXXX";
        file = mkstemp(name);
        unlink(name);
    }
    assert_true(saved_stderr >= 0 && file >= 0);
    assert_int_equal(dup2(file, STDERR_FILENO), STDERR_FILENO);
}

static size_t end_capture(void)
{
    dup2(saved_stderr, STDERR_FILENO);
    close(saved_stderr);
    ssize_t length = pread(file, output, sizeof(output) - 1, 0);
    close(file);
    assert_true(length >= 0);
    output[length] = '\0';
    return (size_t)length;
}

/* One whole line behind the time stamp, without its end. */
static const char *line(void)
{
    size_t length = end_capture();
    assert_true(length > 25);
    assert_ptr_equal(strchr(output, '\n'), output + length - 1);
    output[length - 1] = '\0';
    assert_int_equal(output[10], 'T');
    assert_int_equal(output[23], 'Z');
    assert_int_equal(output[24], ' ');
    return output + 25;
}

static int restore_level(void **state)
{
    (void)state;
    log_set_level(LOG_INFO);
    log_set_thread_name("main");
    return 0;
}

static void test_a_line(void **state)
{
    (void)state;
    begin_capture();
    log_info("client logged in tenant=%s placement=%d", "acme", 42);
    assert_string_equal(line(), "INFO  main: client logged in tenant=acme placement=42");
}

static void test_levels(void **state)
{
    (void)state;
    begin_capture();
    log_debug("hidden");
    assert_int_equal(end_capture(), 0);

    begin_capture();
    log_set_level(LOG_WARNING);
    log_info("hidden");
    log_warning("shown");
    assert_string_equal(line(), "WARN  main: shown");

    log_set_level(LOG_DEBUG);
    begin_capture();
    log_debug("shown");
    assert_string_equal(line(), "DEBUG main: shown");

    struct error err;
    error_set(&err, ERROR_IO, "no");
    log_set_level(LOG_ERROR);
    begin_capture();
    log_write_error(LOG_WARNING, &err, "hidden");
    assert_int_equal(end_capture(), 0);
}

static void test_names_of_levels(void **state)
{
    (void)state;
    static const char *const names[] = {"debug", "info", "warning", "error"};
    for (int i = 0; i < 4; i++) {
        enum log_level level = LOG_DEBUG;
        assert_true(log_level_from_name(names[i], &level));
        assert_int_equal(level, i);
    }
    enum log_level level = LOG_ERROR;
    assert_false(log_level_from_name("INFO", &level));
    assert_false(log_level_from_name("", &level));
    assert_int_equal(level, LOG_ERROR);
}

static void test_control_characters_are_escaped(void **state)
{
    (void)state;
    begin_capture();
    log_info("%s", "a\nb\rc\td\x1b[31m\x7f\x01"
                   "e");
    assert_string_equal(line(), "INFO  main: a\\nb\\rc\\td\\x1b[31m\\x7f\\x01e");
}

/* U+0080 to U+009F: U+0085 is a line's end to some readers, U+009B an escape to terminals. */
static void test_c1_controls_are_escaped(void **state)
{
    (void)state;
    begin_capture();
    log_info("%s", "a\xc2\x85"
                   "b\xc2\x9b"
                   "31m\xc2\xa0\xc3\x85 gr\xc3\xbc\xc3\x9f");
    assert_string_equal(line(), "INFO  main: a\\xc2\\x85b\\xc2\\x9b31m\xc2\xa0\xc3\x85 "
                                "gr\xc3\xbc\xc3\x9f");
}

static void test_forged_lines_stay_in_their_line(void **state)
{
    (void)state;
    begin_capture();
    log_info("tenant=%s", "x\n2026-01-02T03:04:05.678Z INFO  main: tenant=y");
    assert_string_equal(line(),
                        "INFO  main: tenant=x\\n2026-01-02T03:04:05.678Z INFO  main: tenant=y");
}

static void test_long_texts_are_cut(void **state)
{
    (void)state;
    char text[10000];
    memset(text, '\x01', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    begin_capture();
    log_info("%s", text);
    const char *cut = line();
    assert_in_range(strlen(cut), 2000, 4096);
    assert_true(str_has_prefix(cut, "INFO  main: \\x01\\x01"));
    assert_true(str_has_suffix(cut, "\\x01"));
}

static void test_errors(void **state)
{
    (void)state;
    struct error err;
    error_set(&err, ERROR_SERVER, "relation \"a\nb\" is not there");
    begin_capture();
    log_write_error(LOG_ERROR, &err, "placement %d", 7);
    assert_string_equal(line(), "ERROR main: placement 7: relation \"a\\nb\" is not there (58000)");
    error_detail(&err, "in detail");
    begin_capture();
    log_write_error(LOG_ERROR, &err, "placement %d", 7);
    assert_string_equal(
        line(), "ERROR main: placement 7: relation \"a\\nb\" is not there (58000) in detail");
}

static void test_thread_names(void **state)
{
    (void)state;
    log_set_thread_name("a-thread-with-a-long-name");
    begin_capture();
    log_info("hello");
    assert_string_equal(line(), "INFO  a-thread-with-a: hello");
}

enum { THREADS = 4, LINES = 25 };

static void *write_lines(void *argument)
{
    log_set_thread_name(argument);
    for (int i = 0; i < LINES; i++)
        log_info("0123456789012345678901234567890123456789");
    return NULL;
}

static void test_lines_of_threads_do_not_mix(void **state)
{
    (void)state;
    static char names[THREADS][4] = {"t-0", "t-1", "t-2", "t-3"};
    pthread_t threads[THREADS];
    begin_capture();
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, write_lines, names[i]), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    assert_true(end_capture() > 0);
    int count = 0;
    char *rest = NULL;
    for (char *at = strtok_r(output, "\n", &rest); at; at = strtok_r(NULL, "\n", &rest), count++) {
        assert_true(str_has_suffix(at, ": 0123456789012345678901234567890123456789"));
        assert_true(str_has_prefix(at + 25, "INFO  t-"));
        assert_int_equal(strlen(at), 25 + 6 + 3 + 2 + 40);
    }
    assert_int_equal(count, THREADS * LINES);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_a_line, restore_level),
        cmocka_unit_test_teardown(test_levels, restore_level),
        cmocka_unit_test_teardown(test_names_of_levels, restore_level),
        cmocka_unit_test_teardown(test_control_characters_are_escaped, restore_level),
        cmocka_unit_test_teardown(test_c1_controls_are_escaped, restore_level),
        cmocka_unit_test_teardown(test_forged_lines_stay_in_their_line, restore_level),
        cmocka_unit_test_teardown(test_long_texts_are_cut, restore_level),
        cmocka_unit_test_teardown(test_errors, restore_level),
        cmocka_unit_test_teardown(test_thread_names, restore_level),
        cmocka_unit_test_teardown(test_lines_of_threads_do_not_mix, restore_level),
    };
    log_set_thread_name("main");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
