#include "auth/bearer.h"

#include <strings.h>

#include "wire/sqlstate.h"

enum { SEPARATOR = 1 };

static const char SCHEME[] = "Bearer ";

static int malformed(struct error *err, const char *detail)
{
    int result = error_set(err, ERROR_PROTOCOL, "malformed OAUTHBEARER message");
    error_detail(err, "%s", detail);
    return result;
}

/* ---- characters, whatever the locale ---- */

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_letter_or_digit(char c)
{
    return is_letter(c) || (c >= '0' && c <= '9');
}

/* RFC 7628, 3.1: VCHAR, space, tab, CR, LF. */
static bool may_be_in_value(char c)
{
    return (c >= 0x20 && c <= 0x7E) || c == '\t' || c == '\r' || c == '\n';
}

static bool consists_of(struct str text, bool (*may_be)(char c))
{
    for (size_t i = 0; i < text.length; i++) {
        if (!may_be(text.data[i]))
            return false;
    }
    return true;
}

static struct str behind(struct str text, size_t count)
{
    return (struct str){text.data + count, text.length - count};
}

/* ---- the client's first message ---- */

/* "n,," or "y,,": there is no OAUTHBEARER-PLUS, so nobody can have bound the channel. */
static int take_header(struct str *rest, struct error *err)
{
    if (rest->length < strlen("n,,"))
        return malformed(err, "the message ends in its header");
    if (rest->data[0] == 'p')
        return malformed(err, "the client binds the channel, which this mechanism cannot");
    if (rest->data[0] != 'n' && rest->data[0] != 'y')
        return malformed(err, "unexpected channel-binding flag");
    if (rest->data[1] != ',')
        return malformed(err, "no comma behind the channel-binding flag");
    if (rest->data[2] == 'a') {
        int result = error_set(err, ERROR_PROTOCOL,
                               "client uses authorization identity, but it is not supported");
        error_sqlstate(err, SQLSTATE_FEATURE_NOT_SUPPORTED);
        return result;
    }
    if (rest->data[2] != ',')
        return malformed(err, "unexpected attribute in the header");
    *rest = behind(*rest, strlen("n,,"));
    if (rest->length == 0 || rest->data[0] != SEPARATOR)
        return malformed(err, "no separator behind the header");
    *rest = behind(*rest, 1);
    return 0;
}

/* key=value, and the separator behind it. */
static int take_pair(struct str *rest, struct str *ret_key, struct str *ret_value,
                     struct error *err)
{
    const char *end = memchr(rest->data, SEPARATOR, rest->length);
    if (!end)
        return malformed(err, "a key and value without their end");
    struct str pair = {rest->data, (size_t)(end - rest->data)};
    const char *equals = memchr(pair.data, '=', pair.length);
    if (!equals)
        return malformed(err, "a key without a value");
    struct str key = {pair.data, (size_t)(equals - pair.data)};
    struct str value = behind(pair, key.length + 1);
    if (key.length == 0 || !consists_of(key, is_letter))
        return malformed(err, "the name of a key is empty or not of letters");
    if (!consists_of(value, may_be_in_value))
        return malformed(err, "a value holds a byte that may not stand there");
    *ret_key = key;
    *ret_value = value;
    *rest = behind(*rest, pair.length + 1);
    return 0;
}

/* Up to the separator that ends the list. Keys that we do not know are skipped. */
static int take_pairs(struct str *rest, struct str *ret_auth, struct error *err)
{
    struct str auth = {0};
    struct str key = {0};
    struct str value = {0};
    while (rest->length > 0 && rest->data[0] != SEPARATOR) {
        int result = take_pair(rest, &key, &value, err);
        if (result < 0)
            return result;
        if (!str_equal_text(key, "auth"))
            continue;
        if (auth.data)
            return malformed(err, "\"auth\" is there twice");
        auth = value;
    }
    if (rest->length == 0)
        return malformed(err, "the message does not come to its end");
    *rest = behind(*rest, 1);
    if (!auth.data)
        return malformed(err, "\"auth\" is not there");
    *ret_auth = auth;
    return 0;
}

static bool may_be_in_token(char c)
{
    return is_letter_or_digit(c) || (c != '\0' && strchr("-._~+/", c));
}

/* RFC 6750, 2.1: "Bearer" 1*SP b64token; the scheme in any case (RFC 7628, 4). */
static int read_token(struct str auth, struct str *ret, struct error *err)
{
    if (auth.length < strlen(SCHEME) || strncasecmp(auth.data, SCHEME, strlen(SCHEME)) != 0)
        return error_set(err, ERROR_AUTH, "the credential is not of the scheme \"Bearer\"");
    struct str token = behind(auth, strlen(SCHEME));
    while (token.length > 0 && token.data[0] == ' ')
        token = behind(token, 1);
    struct str unpadded = token;
    while (unpadded.length > 0 && unpadded.data[unpadded.length - 1] == '=')
        unpadded.length--;
    if (unpadded.length == 0 || !consists_of(unpadded, may_be_in_token))
        return error_set(err, ERROR_AUTH, "what stands behind \"Bearer\" is no token");
    *ret = token;
    return 0;
}

int bearer_read(const char *message, size_t length, struct str *ret_token, struct error *err)
{
    struct str rest = {message, length};
    struct str auth = {0};
    int result = take_header(&rest, err);
    if (result == 0)
        result = take_pairs(&rest, &auth, err);
    if (result == 0 && rest.length > 0)
        result = malformed(err, "there is more behind the end of the message");
    if (result < 0)
        return result;
    if (auth.length > 0)
        return read_token(auth, ret_token, err);
    *ret_token = auth;
    return 0;
}

bool bearer_is_farewell(const char *message, size_t length)
{
    return length == 1 && message[0] == SEPARATOR;
}

/* ---- where tokens are had ---- */

/* RFC 3986, but for what begins a query and a fragment. */
static bool may_be_in_issuer(char c)
{
    return is_letter_or_digit(c) || (c != '\0' && strchr("-._~:/[]@!$&'()*+,;=%", c));
}

int bearer_check_issuer(const char *issuer, struct error *err)
{
    static const char scheme[] = "https://";
    const char *host = issuer + strlen(scheme);
    if (!str_has_prefix(issuer, scheme) || *host == '\0' || *host == '/')
        return error_set(err, ERROR_INVALID, "an issuer's URL begins with https:// and a host");
    if (strlen(issuer) > BEARER_MAX_ISSUER)
        return error_set(err, ERROR_INVALID, "an issuer's URL has at most %d bytes",
                         BEARER_MAX_ISSUER);
    if (!consists_of(str_of(issuer), may_be_in_issuer))
        return error_set(err, ERROR_INVALID,
                         "an issuer's URL has no query, no fragment, and nothing but ASCII that "
                         "URLs may have");
    return 0;
}

/* RFC 6749, 3.3: what JSON would have to escape is not among them. */
static bool may_be_in_scope(char c)
{
    return c >= 0x20 && c <= 0x7E && c != '"' && c != '\\';
}

int bearer_check_scope(const char *scope, struct error *err)
{
    size_t length = strlen(scope);
    if (length > BEARER_MAX_SCOPE)
        return error_set(err, ERROR_INVALID, "scopes have at most %d bytes", BEARER_MAX_SCOPE);
    if (length == 0 || scope[0] == ' ' || scope[length - 1] == ' ' || strstr(scope, "  "))
        return error_set(err, ERROR_INVALID, "scopes have one space between each two");
    if (!consists_of(str_of(scope), may_be_in_scope))
        return error_set(err, ERROR_INVALID,
                         "a scope is of printable ASCII without quotes and backslashes");
    return 0;
}

void bearer_put_failure(struct buffer *out, const char *issuer, const char *scope)
{
    bool named = strstr(issuer, "/.well-known/") != NULL;
    buffer_printf(out,
                  "{\"status\": \"invalid_token\", \"openid-configuration\": \"%s%s\", "
                  "\"scope\": \"%s\"}",
                  issuer, named ? "" : "/.well-known/openid-configuration", scope);
}
