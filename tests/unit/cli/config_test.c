#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/time.h"
#include "cli/config.h"

static char folder[] = "/tmp/reeve-config-test-XXXXXX";
static char path[64];

static int make_folder(void **state reeve_unused)
{
    if (!mkdtemp(folder))
        return -1;
    snprintf(path, sizeof(path), "%s/reeve.conf", folder);
    return 0;
}

static int remove_folder(void **state reeve_unused)
{
    unlink(path);
    return rmdir(folder);
}

static int read_text(const char *text, size_t length, mode_t mode, struct arena *arena,
                     struct config *ret, struct error *err)
{
    unlink(path);
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, length), length);
    assert_int_equal(fchmod(fd, mode), 0);
    close(fd);
    *err = (struct error){0};
    return config_read(path, arena, ret, err);
}

static void test_fallbacks(void **state reeve_unused)
{
    static const char text[] = "# a comment\n\n  control = host=/run/pg dbname=reeve\n";
    _cleanup_arena_ struct arena arena = {0};
    struct config config;
    struct error err;
    assert_int_equal(read_text(text, sizeof(text) - 1, 0644, &arena, &config, &err), 0);
    assert_string_equal(config.path, path);
    assert_string_equal(config.folder, folder);
    assert_int_equal(config.listen_count, 1);
    assert_string_equal(config.listen[0].host, "127.0.0.1");
    assert_int_equal(config.listen[0].port, 6432);
    assert_string_equal(config.control, "host=/run/pg dbname=reeve");
    assert_string_equal(config.key_file, arena_printf(&arena, "%s/key", folder));
    assert_string_equal(config.status_socket, arena_printf(&arena, "%s/status.sock", folder));
    assert_null(config.metrics_listen.host);
    assert_int_equal(config.metrics_tenants, 100);
    assert_int_equal(config.workers, 0);
    assert_int_equal(config.engine, ENGINE_AUTO);
    assert_null(config.tls_cert);
    assert_false(config.tls_required);
    assert_int_equal(config.auth, PROXY_AUTH_AUTO);
    assert_int_equal(config.log_level, LOG_INFO);
    assert_int_equal(config.login_timeout_us, 15 * (int64_t)TIME_S);
}

static void test_values(void **state reeve_unused)
{
    static const char text[] = "listen = [::1]:7000\r\n"
                               "listen=*:7001\n"
                               "listen = /run/reeve:7002\n"
                               "listen = ./sockets/\n"
                               "control = postgres://c.example/reeve\n"
                               "key_file = /etc/reeve/key\n"
                               "workers = 3\n"
                               "engine = io_uring\n"
                               "tls_cert = cert.pem\n"
                               "tls_key = key.pem\n"
                               "tls_required = on\n"
                               "auth = password\n"
                               "max_clients = 17\n"
                               "metrics_listen = [::]:9187\n"
                               "metrics_tenants = 0\n"
                               "queue_timeout = 2m\n"
                               "shutdown_timeout = 0s\n"
                               "log_level = debug";
    _cleanup_arena_ struct arena arena = {0};
    struct config config;
    struct error err;
    assert_int_equal(read_text(text, sizeof(text) - 1, 0644, &arena, &config, &err), 0);
    assert_int_equal(config.listen_count, 4);
    assert_string_equal(config.listen[0].host, "::1");
    assert_int_equal(config.listen[0].port, 7000);
    assert_string_equal(config.listen[1].host, "*");
    assert_string_equal(config_socket_path(&arena, &config.listen[2]), "/run/reeve/.s.PGSQL.7002");
    assert_int_equal(config.listen[3].port, 6432);
    assert_string_equal(config.key_file, "/etc/reeve/key");
    assert_string_equal(config.tls_cert, arena_printf(&arena, "%s/cert.pem", folder));
    assert_int_equal(config.workers, 3);
    assert_int_equal(config.engine, ENGINE_IO_URING);
    assert_true(config.tls_required);
    assert_int_equal(config.auth, PROXY_AUTH_CLEARTEXT);
    assert_int_equal(config.max_clients, 17);
    assert_string_equal(config.metrics_listen.host, "::");
    assert_int_equal(config.metrics_listen.port, 9187);
    assert_int_equal(config.metrics_tenants, 0);
    assert_int_equal(config.limits.values[ROUTE_LIMIT_QUEUE_US], 120 * (int64_t)TIME_S);
    assert_int_equal(config.shutdown_timeout_us, 0);
    assert_int_equal(config.log_level, LOG_DEBUG);
}

#define CONTROL "control = dbname=reeve\n"

static void test_refusals(void **state reeve_unused)
{
    static const struct {
        const char *text, *message; /* the message without the path */
    } cases[] = {
        {"", ": control is not set"},
        {CONTROL "worker = 2\n", ":2: there is no setting \"worker\""},
        {CONTROL "workers 2\n", ":2: expected \"key = value\""},
        {CONTROL "workers =\n", ":2: workers has no value"},
        {CONTROL "workers = 65\n",
         ":2: workers must be \"auto\" or a number from 1 to 64, not \"65\""},
        {CONTROL "engine = uring\n",
         ":2: engine must be one of auto | epoll | io_uring, not \"uring\""},
        {CONTROL "workers = 2 # two\n",
         ":2: workers must be \"auto\" or a number from 1 to 64, not \"2 # two\""},
        {CONTROL "\nmax_clients = 1\nmax_clients = 1\n",
         ":4: max_clients is set twice, first on line 3"},
        {CONTROL "auth = scramm\n",
         ":2: auth must be one of auto | scram | password | oauth, not \"scramm\""},
        {CONTROL "auth = oauth\n", ": auth = oauth needs oauth_issuer"},
        {CONTROL "oauth_issuer = http://id.example\n",
         ":2: oauth_issuer: an issuer's URL begins with https:// and a host"},
        {CONTROL "oauth_issuer = https://id.example\noauth_scope = a  b\n",
         ":3: oauth_scope: scopes have one space between each two"},
        {CONTROL "tls_required = maybe\n",
         ":2: tls_required must be \"on\" or \"off\", not \"maybe\""},
        {CONTROL "login_timeout = soon\n", ":2: login_timeout is no duration: \"soon\""},
        {CONTROL "login_timeout = 2d\n", ":2: login_timeout must be from 1s to 600s, not \"2d\""},
        {CONTROL "listen = ::1:6432\n",
         ":2: cannot listen on \"::1:6432\": an IPv6 address stands in brackets, as in [::1]:6432"},
        {CONTROL "listen = h:70000\n",
         ":2: cannot listen on \"h:70000\": the port must be a number from 1 to 65535"},
        {CONTROL "listen = a b:1\n",
         ":2: cannot listen on \"a b:1\": there is no such form of address"},
        {CONTROL "metrics_listen = localhost\n",
         ":2: metrics_listen: cannot listen on \"localhost\": there is no port"},
        {CONTROL "metrics_listen = ./here:1\n",
         ":2: metrics_listen: cannot listen on \"./here:1\": there is no such form of address"},
        {CONTROL "metrics_tenants = 10001\n",
         ":2: metrics_tenants must be a number from 0 to 10000, not \"10001\""},
        {CONTROL "tls_cert = x\n", ": tls_cert and tls_key must be set together"},
        {CONTROL "tls_required = on\n", ": tls_required needs tls_cert and tls_key"},
        {CONTROL "control = \x01\n", ":2: there is a control character"},
        {"control = host='x\n", NULL},
    };
    for (size_t i = 0; i < array_size(cases); i++) {
        _cleanup_arena_ struct arena arena = {0};
        struct config config = {.workers = 4711};
        struct error err;
        assert_int_equal(
            read_text(cases[i].text, strlen(cases[i].text), 0600, &arena, &config, &err),
            -ERROR_CONFIG);
        assert_memory_equal(err.message, path, strlen(path));
        if (cases[i].message)
            assert_string_equal(err.message + strlen(path), cases[i].message);
        assert_int_equal(config.workers, 4711);
    }
}

static void test_socket_path_limit(void **state reeve_unused)
{
    _cleanup_arena_ struct arena arena = {0};
    struct config config;
    struct error err;
    char text[256];
    const int suffix = (int)sizeof("/.s.PGSQL.6432") - 1;
    /* "/xxx" + "/.s.PGSQL.6432": 107 bytes are the most. */
    for (int length = 92; length <= 94; length++) {
        char name[128];
        memset(name, 'x', sizeof(name));
        name[length - 1] = '\0';
        snprintf(text, sizeof(text), CONTROL "listen = /%s\n", name);
        int result = read_text(text, strlen(text), 0600, &arena, &config, &err);
        assert_int_equal(result, length + suffix <= CONFIG_SOCKET_PATH_MAX ? 0 : -ERROR_CONFIG);
    }
}

static void test_password_needs_private_file(void **state reeve_unused)
{
    static const char text[] = "control = dbname=reeve password=secret-word\n";
    _cleanup_arena_ struct arena arena = {0};
    struct config config;
    struct error err;
    assert_int_equal(read_text(text, sizeof(text) - 1, 0600, &arena, &config, &err), 0);
    assert_int_equal(read_text(text, sizeof(text) - 1, 0644, &arena, &config, &err), -ERROR_CONFIG);
    assert_null(strstr(err.message, "secret-word"));
    assert_null(strstr(err.detail, "secret-word"));
    assert_null(strstr(err.hint, "secret-word"));
}

static void test_nul_and_encoding(void **state reeve_unused)
{
    _cleanup_arena_ struct arena arena = {0};
    struct config config;
    struct error err;
    assert_int_equal(read_text(CONTROL "\0", sizeof(CONTROL), 0600, &arena, &config, &err),
                     -ERROR_CONFIG);
    assert_int_equal(
        read_text(CONTROL "# \xff\n", sizeof(CONTROL) + 3, 0600, &arena, &config, &err),
        -ERROR_CONFIG);
    unlink(path);
    assert_int_equal(config_read(path, &arena, &config, &err), -ERROR_CONFIG);
}

static void test_find(void **state reeve_unused)
{
    _cleanup_arena_ struct arena arena = {0};
    const char *found = NULL;
    struct error err = {0};
    setenv("REEVE_CONFIG", "/from/environment", 1);
    assert_int_equal(config_find("/given", &arena, &found, &err), 0);
    assert_string_equal(found, "/given");
    assert_int_equal(config_find(NULL, &arena, &found, &err), 0);
    assert_string_equal(found, "/from/environment");
    unsetenv("REEVE_CONFIG");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fallbacks),
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_socket_path_limit),
        cmocka_unit_test(test_password_needs_private_file),
        cmocka_unit_test(test_nul_and_encoding),
        cmocka_unit_test(test_find),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
