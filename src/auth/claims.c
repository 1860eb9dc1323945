/* What a signed token says: whom it lets in, where, and until when. */
#include "auth/internal.h"

static const int64_t TIME_MAX_S = 253402300799; /* the end of the year 9999 */

static int refuse_claim(struct error *err, const char *name, const char *what)
{
    char shown[SHOWN_SIZE];
    return error_set(err, ERROR_AUTH, "the token's claim \"%s\" %s", auth_show(name, shown), what);
}

/* ---- times ---- */

/* RFC 7519's NumericDate, rounded down. 1: there; 0: absent. */
static int read_time(const json_t *payload, const char *name, int64_t *ret, struct error *err)
{
    const json_t *value = json_object_get(payload, name);
    if (!value)
        return 0;
    if (!json_is_number(value))
        return refuse_claim(err, name, "is not a number");
    if (json_is_real(value)) {
        double seconds = json_real_value(value);
        if (!(seconds >= 0 && seconds <= (double)TIME_MAX_S))
            return refuse_claim(err, name, "is out of bounds");
        *ret = (int64_t)seconds;
        return 1;
    }
    int64_t seconds = json_integer_value(value);
    if (seconds < 0 || seconds > TIME_MAX_S)
        return refuse_claim(err, name, "is out of bounds");
    *ret = seconds;
    return 1;
}

static int check_not_before(const json_t *payload, const char *name, int64_t now, int leeway_s,
                            struct error *err)
{
    int64_t from = 0;
    int result = read_time(payload, name, &from, err);
    if (result <= 0)
        return result;
    if (from > now + leeway_s && !mutation("auth.not_before"))
        return error_set(err, ERROR_AUTH, "the token is not valid yet: \"%s\" is %lld s ahead",
                         name, (long long)(from - now));
    return 0;
}

static int read_validity(const json_t *payload, int leeway_s, int64_t now, int64_t *ret_expires,
                         struct error *err)
{
    int64_t expires = 0;
    int result = read_time(payload, "exp", &expires, err);
    if (result < 0)
        return result;
    if (result == 0)
        return error_set(err, ERROR_AUTH, "the token has no claim \"exp\"");
    if (now - leeway_s >= expires && !mutation("auth.expiry"))
        return error_set(err, ERROR_AUTH, "the token has expired %lld s ago",
                         (long long)(now - expires));
    result = check_not_before(payload, "nbf", now, leeway_s, err);
    if (result == 0)
        result = check_not_before(payload, "iat", now, leeway_s, err);
    if (result == 0)
        *ret_expires = expires;
    return result;
}

/* ---- audience ---- */

static int check_audience(const json_t *payload, const char *audience, struct error *err)
{
    const json_t *value = json_object_get(payload, "aud");
    bool found = false;
    if (json_is_string(value)) {
        found = audience && strcmp(json_string_value(value), audience) == 0;
    } else if (json_is_array(value)) {
        for (size_t i = 0; i < json_array_size(value); i++) {
            const char *text = json_string_value(json_array_get(value, i));
            if (!text)
                return refuse_claim(err, "aud", "is not a list of texts");
            found = found || (audience && strcmp(text, audience) == 0);
        }
    } else if (value) {
        return refuse_claim(err, "aud", "is neither a text nor a list");
    }
    if (!audience || found || mutation("auth.audience"))
        return 0;
    return refuse_claim(err, "aud", value ? "does not name this audience" : "is missing");
}

/* ---- tenant ---- */

/* The claim by its configured name; by default "tenantId" or "tenant_id", which may not differ. */
static int find_tenant(const struct keyring_issuer *issuer, const json_t *payload,
                       const char **ret_name, const json_t **ret, struct error *err)
{
    const char *name = issuer->tenant_claim ? issuer->tenant_claim : "tenantId";
    const json_t *value = json_object_get(payload, name);
    if (!issuer->tenant_claim && !issuer->is_own) {
        const json_t *other = json_object_get(payload, "tenant_id");
        if (value && other && !json_equal(value, other))
            return error_set(err, ERROR_AUTH,
                             "the token's claims \"tenantId\" and \"tenant_id\" differ");
        if (!value && other) {
            name = "tenant_id";
            value = other;
        }
    }
    if (!value)
        return refuse_claim(err, name, "is missing");
    *ret_name = name;
    *ret = value;
    return 0;
}

static int read_tenant(const struct keyring_issuer *issuer, const json_t *payload,
                       struct auth_claims *claims, struct error *err)
{
    const char *name = NULL;
    const json_t *value = NULL;
    int result = find_tenant(issuer, payload, &name, &value, err);
    if (result < 0)
        return result;
    if (json_is_integer(value)) {
        claims->tenant_is_id = true;
        claims->tenant_id = json_integer_value(value);
        return claims->tenant_id > 0 ? 0 : refuse_claim(err, name, "is not the id of a tenant");
    }
    if (!json_is_string(value))
        return refuse_claim(err, name, "is neither a text nor an integer");
    if (str_check_slug("", json_string_value(value), NULL) < 0 ||
        !str_copy(claims->tenant_slug, sizeof(claims->tenant_slug), json_string_value(value)))
        return refuse_claim(err, name, "is not the slug of a tenant");
    return 0;
}

/* ---- what it is good for ---- */

static int read_service(const json_t *payload, struct auth_claims *claims, struct error *err)
{
    const json_t *value = json_object_get(payload, "service");
    if (!value)
        return 0;
    /* An empty name, which would mean every service, is no slug. */
    if (!json_is_string(value) || str_check_slug("", json_string_value(value), NULL) < 0 ||
        !str_copy(claims->service, sizeof(claims->service), json_string_value(value)))
        return refuse_claim(err, "service", "is not the name of a service");
    return 0;
}

static int read_access(const json_t *payload, struct auth_claims *claims, struct error *err)
{
    const json_t *value = json_object_get(payload, "access");
    const char *text = json_string_value(value);
    if (!value)
        return 0;
    claims->read_only = text && strcmp(text, "ro") == 0;
    if (!claims->read_only && (!text || strcmp(text, "rw") != 0))
        return refuse_claim(err, "access", "is neither \"ro\" nor \"rw\"");
    return 0;
}

static int read_token_id(const struct keyring_issuer *issuer, const json_t *payload,
                         struct auth_claims *claims, struct error *err)
{
    const json_t *value = json_object_get(payload, "jti");
    if (value && !json_is_string(value))
        return refuse_claim(err, "jti", "is not a text");
    /* Nobody looks up a stranger's: one that is too long is as good as none. */
    if (value)
        str_copy(claims->jti, sizeof(claims->jti), json_string_value(value));
    if (issuer->is_own && !claims->jti[0])
        return refuse_claim(err, "jti", "is missing: the token could not be revoked");
    return 0;
}

int auth_claims_read(const struct keyring_issuer *issuer, const json_t *payload, int64_t now_unix_s,
                     struct auth_claims *ret, struct error *err)
{
    struct auth_claims claims = {.by_reeve = issuer->is_own};
    int result = check_audience(payload, issuer->audience, err);
    if (result == 0)
        result = read_validity(payload, issuer->leeway_s, now_unix_s, &claims.expires_unix_s, err);
    if (result == 0)
        result = read_tenant(issuer, payload, &claims, err);
    if (result == 0)
        result = read_service(payload, &claims, err);
    if (result == 0)
        result = read_access(payload, &claims, err);
    if (result == 0)
        result = read_token_id(issuer, payload, &claims, err);
    if (result < 0)
        return result;
    str_copy(claims.issuer_name, sizeof(claims.issuer_name), issuer->name);
    *ret = claims;
    return 0;
}
