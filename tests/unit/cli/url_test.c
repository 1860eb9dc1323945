#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "cli/config.h"
#include "cli/url.h"

static void test_urls(void **state reeve_unused)
{
    static const struct {
        struct config_listen listen[2];
        size_t count;
        bool tls_required;
        const char *service, *secret, *url;
    } cases[] = {
        {{{.host = "127.0.0.1", .port = 6432}},
         1,
         false,
         "orders",
         NULL,
         "postgres://acme@127.0.0.1:6432/orders"},
        {{{.host = "db.example", .port = 7}},
         1,
         true,
         "orders",
         NULL,
         "postgres://acme@db.example:7/orders?sslmode=require"},
        {{{.host = "*", .port = 6432}},
         1,
         false,
         NULL,
         NULL,
         "postgres://acme@localhost:6432/SERVICE"},
        {{{.host = "::", .port = 6432}},
         1,
         false,
         "orders",
         NULL,
         "postgres://acme@localhost:6432/orders"},
        {{{.host = "::1", .port = 6432}},
         1,
         false,
         "orders",
         NULL,
         "postgres://acme@[::1]:6432/orders"},
        {{{.folder = "/run/a b", .port = 6432}},
         1,
         true,
         "orders",
         NULL,
         "postgres://acme@%2Frun%2Fa%20b:6432/orders"},
        /* An address of the network is of use to more than a socket is. */
        {{{.folder = "/run", .port = 1}, {.host = "h", .port = 2}},
         2,
         false,
         "orders",
         NULL,
         "postgres://acme@h:2/orders"},
        {{{.host = "h", .port = 1}},
         1,
         false,
         "orders",
         "a.b-c_d~:/@%?#",
         "postgres://acme:a.b-c_d~%3A%2F%40%25%3F%23@h:1/orders"},
    };
    for (size_t i = 0; i < array_size(cases); i++) {
        _cleanup_arena_ struct arena arena = {0};
        struct config config = {.listen_count = cases[i].count,
                                .tls_required = cases[i].tls_required};
        memcpy(config.listen, cases[i].listen, sizeof(cases[i].listen));
        assert_string_equal(url_make(&arena, &config, "acme", cases[i].service, cases[i].secret),
                            cases[i].url);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_urls)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
