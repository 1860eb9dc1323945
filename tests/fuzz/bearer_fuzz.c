/*
 * OAUTHBEARER's messages. The first byte chooses:
 *   m      a client's first message
 *   s      an issuer, a zero byte, scopes: from the configuration, and what clients are told of
 * them
 */
#include "fuzz.h"

#include <jansson.h>

#include "auth/bearer.h"

static bool is_in(char c, const char *characters)
{
    return c != '\0' && strchr(characters, c);
}

/* Nothing that could end a header, a JSON string or a line of a log. */
static void check_token(struct str token, struct str message)
{
    static const char characters[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~+/=";
    require(token.data >= message.data &&
            token.data + token.length <= message.data + message.length);
    for (size_t i = 0; i < token.length; i++)
        require(is_in(token.data[i], characters));
    require(token.length == 0 || token.data[0] != '=');
}

static void fuzz_message(struct str message)
{
    static const char untouched[] = "untouched";
    struct str token = {untouched, 0};
    struct error err = {0};
    int result = bearer_read(message.data, message.length, &token, &err);
    if (result < 0) {
        require(result == -ERROR_PROTOCOL || result == -ERROR_AUTH);
        require_error(result, &err);
        require(token.data == untouched);
        return;
    }
    check_token(token, message);
    require(message.data[0] == 'n' || message.data[0] == 'y');
    require(memcmp(message.data + 1, ",,\1", 3) == 0);
    require(memcmp(message.data + message.length - 2, "\1\1", 2) == 0);
    require(!memchr(message.data, '\0', message.length));
    require(!bearer_is_farewell(message.data, message.length));
    /* What is good stays good with keys that nobody knows, and is good once. */
    _cleanup_buffer_ struct buffer longer = BUFFER_INIT(message.length + 64);
    buffer_append(&longer, message.data, message.length - 1);
    buffer_append_string(&longer, "other=x\1\1");
    struct str same;
    require(bearer_read(longer.data, longer.length, &same, NULL) == 0);
    require(str_equal(same, token));
    buffer_reset(&longer);
    buffer_append(&longer, message.data, message.length - 1);
    buffer_append_string(&longer, "auth=\1\1");
    require(bearer_read(longer.data, longer.length, &same, NULL) == -ERROR_PROTOCOL);
}

static void fuzz_settings(struct str bytes)
{
    _cleanup_free_ char *issuer = xstrndup(bytes.data, bytes.length);
    size_t length = strlen(issuer);
    size_t skipped = length < bytes.length ? length + 1 : length;
    _cleanup_free_ char *scope = xstrndup(bytes.data + skipped, bytes.length - skipped);
    struct error err = {0};
    int result = bearer_check_issuer(issuer, &err);
    if (result == 0)
        result = bearer_check_scope(scope, &err);
    if (result < 0) {
        require(result == -ERROR_INVALID);
        require_error(result, &err);
        return;
    }
    _cleanup_buffer_ struct buffer out = BUFFER_INIT(BEARER_MAX_FAILURE);
    bearer_put_failure(&out, issuer, scope);
    require(!out.failed);
    json_t *found = json_loads(buffer_string(&out), JSON_REJECT_DUPLICATES, NULL);
    require(found && json_object_size(found) == 3);
    require(strcmp(json_string_value(json_object_get(found, "scope")), scope) == 0);
    require(
        str_has_prefix(json_string_value(json_object_get(found, "openid-configuration")), issuer));
    json_decref(found);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    struct str rest = {(const char *)data + 1, size - 1};
    if (data[0] == 's')
        fuzz_settings(rest);
    else
        fuzz_message(rest);
    return 0;
}
