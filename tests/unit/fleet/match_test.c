/* Which tenants a text of terms means. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fleet/match.h"

static const char *const acme_tags[] = {"plan=enterprise", "regulated", "note=a=b"};
static const struct match_subject acme = {.slug = "acme-eu",
                                          .service = "orders",
                                          .isolation = "row",
                                          .cluster = "local",
                                          .database = "svc_orders",
                                          .tags = acme_tags,
                                          .tag_count = 3};

static bool holds(const char *text)
{
    _cleanup_arena_ struct arena arena;
    arena_init(&arena, 0);
    struct match *match;
    struct error err = {0};
    assert_int_equal(match_parse(text, &arena, &match, &err), 0);
    return match_holds(match, &acme);
}

static void assert_refused(const char *text, const char *message)
{
    _cleanup_arena_ struct arena arena;
    arena_init(&arena, 0);
    struct match *match = NULL;
    struct error err = {0};
    assert_int_equal(match_parse(text, &arena, &match, &err), -ERROR_USAGE);
    assert_null(match);
    assert_string_equal(err.message, message);
}

static void names(void **state reeve_unused)
{
    assert_true(holds("slug=acme-eu"));
    assert_false(holds("slug=acme"));
    assert_false(holds("slug=acme-eu2"));
    assert_true(holds("service=orders"));
    assert_false(holds("service=billing"));
    assert_true(holds("cluster=local"));
    assert_false(holds("cluster=c2"));
    assert_true(holds("database=svc_*"));
    assert_false(holds("database=pool7"));
    assert_true(holds("isolation=row"));
    assert_false(holds("isolation=schema"));
    assert_true(holds(NULL));
}

static void patterns(void **state reeve_unused)
{
    assert_true(holds("slug=acme-*"));
    assert_true(holds("slug=*"));
    assert_true(holds("slug=*eu"));
    assert_true(holds("slug=a*e*u"));
    assert_true(holds("slug=acme-eu*"));
    assert_true(holds("slug=acme-e?"));
    assert_false(holds("slug=acme-?"));
    assert_false(holds("slug=*-us"));
    assert_false(holds("slug=a*x*u"));
    assert_false(holds("slug=acme-eu?"));
    assert_false(holds("slug=[a-z]*")); /* no class: as it is written */
}

static void several(void **state reeve_unused)
{
    assert_true(holds("slug=acme-*,isolation=row,cluster=local"));
    assert_false(holds("slug=acme-*,isolation=schema"));
    assert_true(holds("isolation=schema,isolation=row"));
    assert_false(holds("isolation=schema,isolation=database"));
    assert_false(holds("isolation=schema,isolation=row,cluster=c2"));
}

static void tags(void **state reeve_unused)
{
    assert_true(holds("plan=enterprise"));
    assert_true(holds("plan=ent*"));
    assert_false(holds("plan=free"));
    assert_false(holds("pla=enterprise"));
    assert_false(holds("plans=enterprise"));
    assert_true(holds("note=a=b"));
    assert_false(holds("note=a"));
    assert_true(holds("tag=regulated"));
    assert_true(holds("tag=plan"));
    assert_false(holds("tag=enterprise"));
    assert_false(holds("tag=regulated2"));
    assert_false(holds("regulated=yes")); /* it has no value */
    assert_true(holds("tag=none,tag=regulated"));
    assert_false(holds("tag=regulated,plan=free"));
}

static void refusals(void **state reeve_unused)
{
    assert_refused("acme", "\"acme\" says of no tenant whether it is meant: there is no \"=\"");
    assert_refused("", "\"\" says of no tenant whether it is meant: there is no \"=\"");
    assert_refused("slug=a,", "\"\" says of no tenant whether it is meant: there is no \"=\"");
    assert_refused("slug=", "\"slug=\" says of no tenant whether it is meant: there is no value");
    assert_refused("=x",
                   "\"=x\" says of no tenant whether it is meant: what stands before \"=\" is "
                   "no key");
    assert_refused("Plan=x", "\"Plan=x\" says of no tenant whether it is meant: what stands before "
                             "\"=\" is no key");
    struct error err = {0};
    struct match *match = NULL;
    _cleanup_arena_ struct arena arena;
    arena_init(&arena, 0);
    assert_int_equal(match_parse("isolation=tables", &arena, &match, &err), -ERROR_USAGE);
    assert_non_null(strstr(err.message, "tables"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names), cmocka_unit_test(patterns), cmocka_unit_test(several),
        cmocka_unit_test(tags),  cmocka_unit_test(refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
