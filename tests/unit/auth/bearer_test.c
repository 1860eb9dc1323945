/* OAUTHBEARER's messages (RFC 7628, RFC 6750). \1 is the separator. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <jansson.h>

#include "auth/bearer.h"

#define MESSAGE(text) text, sizeof(text) - 1

struct message {
    const char *bytes;
    size_t length;
    const char *expected; /* the token, or the detail or message of the error */
};

static void test_tokens(void **state)
{
    (void)state;
    static const struct message messages[] = {
        {MESSAGE("n,,\1auth=Bearer abc\1\1"), "abc"},
        {MESSAGE("y,,\1auth=Bearer abc\1\1"), "abc"},
        {MESSAGE("n,,\1auth=bEaReR abc\1\1"), "abc"},
        {MESSAGE("n,,\1auth=Bearer    abc\1\1"), "abc"},
        {MESSAGE("n,,\1auth=Bearer aA0-._~+/==\1\1"), "aA0-._~+/=="},
        {MESSAGE("n,,\1host=a\1port=1\1auth=Bearer x.y.z\1\1"), "x.y.z"},
        {MESSAGE("n,,\1auth=Bearer x.y.z\1unknown=\1\1"), "x.y.z"},
        {MESSAGE("n,,\1unknown= \t\r\n=~\1auth=Bearer a\1\1"), "a"},
        {MESSAGE("n,,\1AUTH=other\1auth=Bearer a\1\1"), "a"}, /* keys are as they are */
        {MESSAGE("n,,\1auth=\1\1"), ""},
        {MESSAGE("n,,\1host=a\1auth=\1\1"), ""},
    };
    for (size_t i = 0; i < array_size(messages); i++) {
        struct str token = {0};
        struct error err = {0};
        assert_int_equal(bearer_read(messages[i].bytes, messages[i].length, &token, &err), 0);
        assert_true(str_equal_text(token, messages[i].expected));
    }
}

static void test_malformed(void **state)
{
    (void)state;
    static const char header_ends[] = "the message ends in its header";
    static const char no_separator[] = "no separator behind the header";
    static const char no_end[] = "the message does not come to its end";
    static const char bad_value[] = "a value holds a byte that may not stand there";
    static const char bad_key[] = "the name of a key is empty or not of letters";
    static const char cut[] = "a key and value without their end";
    static const struct message messages[] = {
        {MESSAGE(""), header_ends},
        {MESSAGE("n"), header_ends},
        {MESSAGE("n,"), header_ends},
        {MESSAGE("\1"), header_ends},
        {MESSAGE("n,,"), no_separator},
        {MESSAGE("n,,auth=Bearer a\1\1"), no_separator},
        {MESSAGE("p=tls-server-end-point,,\1auth=Bearer a\1\1"),
         "the client binds the channel, which this mechanism cannot"},
        {MESSAGE("x,,\1auth=Bearer a\1\1"), "unexpected channel-binding flag"},
        {MESSAGE("\0,,\1auth=Bearer a\1\1"), "unexpected channel-binding flag"},
        {MESSAGE("nn,\1auth=Bearer a\1\1"), "no comma behind the channel-binding flag"},
        {MESSAGE("n,b=c,\1auth=Bearer a\1\1"), "unexpected attribute in the header"},
        {MESSAGE("n,,\1"), no_end},
        {MESSAGE("n,,\1auth=Bearer a\1"), no_end},
        {MESSAGE("n,,\1auth=Bearer a"), cut},
        {MESSAGE("n,,\1auth"), cut},
        {MESSAGE("n,,\1auth\1\1"), "a key without a value"},
        {MESSAGE("n,,\1=Bearer a\1\1"), bad_key},
        {MESSAGE("n,,\1au th=Bearer a\1\1"), bad_key},
        {MESSAGE("n,,\1auth0=Bearer a\1\1"), bad_key},
        {MESSAGE("n,,\1auth\0=Bearer a\1\1"), bad_key},
        {MESSAGE("n,,\1auth=Bearer a\0\1\1"), bad_value},
        {MESSAGE("n,,\1auth=Bearer \x7f\1\1"), bad_value},
        {MESSAGE("n,,\1auth=Bearer \xc3\xa9\1\1"), bad_value},
        {MESSAGE("n,,\1host=\x02\1auth=Bearer a\1\1"), bad_value},
        {MESSAGE("n,,\1auth=Bearer a\1auth=Bearer b\1\1"), "\"auth\" is there twice"},
        {MESSAGE("n,,\1auth=\1auth=\1\1"), "\"auth\" is there twice"},
        {MESSAGE("n,,\1\1"), "\"auth\" is not there"},
        {MESSAGE("n,,\1host=a\1\1"), "\"auth\" is not there"},
        {MESSAGE("n,,\1auth=Bearer a\1\1x"), "there is more behind the end of the message"},
        {MESSAGE("n,,\1auth=Bearer a\1\1\1"), "there is more behind the end of the message"},
        {MESSAGE("n,,\1auth=Bearer a\1\1\0"), "there is more behind the end of the message"},
    };
    for (size_t i = 0; i < array_size(messages); i++) {
        struct str token = STR_LITERAL("untouched");
        struct error err = {0};
        int result = bearer_read(messages[i].bytes, messages[i].length, &token, &err);
        assert_int_equal(result, -ERROR_PROTOCOL);
        assert_string_equal(err.message, "malformed OAUTHBEARER message");
        assert_string_equal(err.sqlstate, "08P01");
        assert_string_equal(err.detail, messages[i].expected);
        assert_true(str_equal_text(token, "untouched"));
    }
}

static void test_authorization_identity(void **state)
{
    (void)state;
    struct str token;
    struct error err = {0};
    assert_int_equal(bearer_read(MESSAGE("n,a=acme,\1auth=Bearer a\1\1"), &token, &err),
                     -ERROR_PROTOCOL);
    assert_string_equal(err.message, "client uses authorization identity, but it is not supported");
    assert_string_equal(err.sqlstate, "0A000");
}

/* Well-formed, and refused as a wrong token is. Nothing of it is repeated. */
static void test_no_tokens(void **state)
{
    (void)state;
    static const char scheme[] = "the credential is not of the scheme \"Bearer\"";
    static const char no_token[] = "what stands behind \"Bearer\" is no token";
    static const struct message messages[] = {
        {MESSAGE("n,,\1auth=Basic YTpi\1\1"), scheme},
        {MESSAGE("n,,\1auth=Bearer\1\1"), scheme},
        {MESSAGE("n,,\1auth=Bearerabc\1\1"), scheme},
        {MESSAGE("n,,\1auth= Bearer abc\1\1"), scheme},
        {MESSAGE("n,,\1auth= \1\1"), scheme},
        {MESSAGE("n,,\1auth=Bearer \1\1"), no_token},
        {MESSAGE("n,,\1auth=Bearer    \1\1"), no_token},
        {MESSAGE("n,,\1auth=Bearer ==\1\1"), no_token},
        {MESSAGE("n,,\1auth=Bearer a=b\1\1"), no_token},
        {MESSAGE("n,,\1auth=Bearer a b\1\1"), no_token},
        {MESSAGE("n,,\1auth=Bearer abc \1\1"), no_token},
        {MESSAGE("n,,\1auth=Bearer a,b\1\1"), no_token},
        {MESSAGE("n,,\1auth=Bearer \ta\1\1"), no_token},
    };
    for (size_t i = 0; i < array_size(messages); i++) {
        struct str token = STR_LITERAL("untouched");
        struct error err = {0};
        int result = bearer_read(messages[i].bytes, messages[i].length, &token, &err);
        assert_int_equal(result, -ERROR_AUTH);
        assert_string_equal(err.message, messages[i].expected);
        assert_true(str_equal_text(token, "untouched"));
    }
}

/* A message that ends before its end is never good, wherever that is. */
static void test_cut_at_every_byte(void **state)
{
    (void)state;
    static const char whole[] = "n,,\1host=a\1auth=Bearer x.y.z\1\1";
    for (size_t length = 0; length < sizeof(whole) - 1; length++) {
        struct str token;
        _cleanup_free_ char *part = xmalloc(length + 1); /* of that size, for the sanitizer */
        memcpy(part, whole, length);
        assert_int_equal(bearer_read(part, length, &token, NULL), -ERROR_PROTOCOL);
    }
}

static void test_farewell(void **state)
{
    (void)state;
    assert_true(bearer_is_farewell(MESSAGE("\1")));
    assert_false(bearer_is_farewell(MESSAGE("")));
    assert_false(bearer_is_farewell(MESSAGE("\1\1")));
    assert_false(bearer_is_farewell(MESSAGE("x")));
}

static void test_issuers(void **state)
{
    (void)state;
    static const char *const good[] = {
        "https://id.example", "https://id.example/", "https://[::1]:8443/a/b~c",
        "https://id.example/.well-known/oauth-authorization-server/a"};
    static const char *const bad[] = {
        "",
        "id.example",
        "http://id.example",
        "HTTPS://id.example",
        "https://",
        "https:///path",
        "https://id.example/?a=b",
        "https://id.example/#a",
        "https://id.example/a b",
        "https://id.example/\"",
        "https://id.example/\\",
        "https://id.example/\x01",
        "https://\xc3\xa9.example",
    };
    for (size_t i = 0; i < array_size(good); i++)
        assert_int_equal(bearer_check_issuer(good[i], NULL), 0);
    for (size_t i = 0; i < array_size(bad); i++)
        assert_int_equal(bearer_check_issuer(bad[i], NULL), -ERROR_INVALID);
    char text[BEARER_MAX_ISSUER + 2] = "https://";
    memset(text + 8, 'a', BEARER_MAX_ISSUER - 8);
    assert_int_equal(bearer_check_issuer(text, NULL), 0);
    text[BEARER_MAX_ISSUER] = 'a';
    assert_int_equal(bearer_check_issuer(text, NULL), -ERROR_INVALID);
}

static void test_scopes(void **state)
{
    (void)state;
    static const char *const good[] = {"openid", "openid email", "!#[]~ a:b/c"};
    static const char *const bad[] = {"",     " ",   " a",   "a ",       "a  b",
                                      "a\tb", "a\"", "a\\b", "\xc3\xa9", "a\x7f"};
    for (size_t i = 0; i < array_size(good); i++)
        assert_int_equal(bearer_check_scope(good[i], NULL), 0);
    for (size_t i = 0; i < array_size(bad); i++)
        assert_int_equal(bearer_check_scope(bad[i], NULL), -ERROR_INVALID);
    char text[BEARER_MAX_SCOPE + 2] = "";
    memset(text, 'a', BEARER_MAX_SCOPE + 1);
    assert_int_equal(bearer_check_scope(text, NULL), -ERROR_INVALID);
    text[BEARER_MAX_SCOPE] = '\0';
    assert_int_equal(bearer_check_scope(text, NULL), 0);
}

static void is_failure(const char *issuer, const char *scope, const char *configuration)
{
    _cleanup_buffer_ struct buffer out = BUFFER_INIT(BEARER_MAX_FAILURE);
    bearer_put_failure(&out, issuer, scope);
    json_t *found = json_loads(buffer_string(&out), JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(found);
    assert_int_equal(json_object_size(found), 3);
    assert_string_equal(json_string_value(json_object_get(found, "status")), "invalid_token");
    assert_string_equal(json_string_value(json_object_get(found, "openid-configuration")),
                        configuration);
    assert_string_equal(json_string_value(json_object_get(found, "scope")), scope);
    json_decref(found);
}

static void test_failure(void **state)
{
    (void)state;
    is_failure("https://id.example", "openid",
               "https://id.example/.well-known/openid-configuration");
    is_failure("https://id.example/", "a b",
               "https://id.example//.well-known/openid-configuration");
    is_failure("https://id.example/.well-known/oauth-authorization-server/x", "openid",
               "https://id.example/.well-known/oauth-authorization-server/x");
    char issuer[BEARER_MAX_ISSUER + 1] = "https://";
    char scope[BEARER_MAX_SCOPE + 1] = "";
    char expected[BEARER_MAX_ISSUER + 64];
    memset(issuer + 8, 'a', BEARER_MAX_ISSUER - 8);
    memset(scope, 's', BEARER_MAX_SCOPE);
    snprintf(expected, sizeof(expected), "%s/.well-known/openid-configuration", issuer);
    is_failure(issuer, scope, expected);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tokens),
        cmocka_unit_test(test_malformed),
        cmocka_unit_test(test_authorization_identity),
        cmocka_unit_test(test_no_tokens),
        cmocka_unit_test(test_cut_at_every_byte),
        cmocka_unit_test(test_farewell),
        cmocka_unit_test(test_issuers),
        cmocka_unit_test(test_scopes),
        cmocka_unit_test(test_failure),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
