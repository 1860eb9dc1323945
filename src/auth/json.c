/* JSON and base64url as tokens and key files must have them: one spelling, no surprises. */
#include "auth/internal.h"

/* Told before jansson reads it, so that nothing recurses into what a stranger sent. */
static bool is_too_deep(struct str text)
{
    size_t depth = 0;
    bool in_string = false;
    for (size_t i = 0; i < text.length; i++) {
        char c = text.data[i];
        if (in_string) {
            if (c == '\\')
                i++;
            else if (c == '"')
                in_string = false;
        } else if (c == '"') {
            in_string = true;
        } else if (c == '{' || c == '[') {
            if (++depth > JSON_MAX_DEPTH)
                return true;
        } else if ((c == '}' || c == ']') && depth > 0) {
            depth--;
        }
    }
    return false;
}

int auth_json_parse(struct str text, enum error_code code, const char *what, json_t **ret,
                    struct error *err)
{
    if (is_too_deep(text))
        return error_set(err, code, "%s is nested more than %d levels deep", what, JSON_MAX_DEPTH);
    json_error_t problem = {0};
    json_t *found = json_loadb(text.data, text.length, JSON_REJECT_DUPLICATES, &problem);
    if (!found) {
        /* problem.text repeats what it stumbled over: not for a log. */
        bool duplicate = json_error_code(&problem) == json_error_duplicate_key;
        int result = error_set(err, code, "%s %s", what,
                               duplicate ? "names a member twice" : "is not a JSON object");
        if (problem.line > 0)
            error_detail(err, "line %d, column %d", problem.line, problem.column);
        return result;
    }
    if (!json_is_object(found)) {
        json_decref(found);
        return error_set(err, code, "%s is not a JSON object", what);
    }
    *ret = found;
    return 0;
}

bool auth_base64url_character(char c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_';
}

ssize_t auth_base64url_decode(struct str text, void *ret_bytes, size_t size)
{
    size_t padded = (text.length + 3) / 4 * 4;
    if (text.length % 4 == 1)
        return -1;
    char *plain = xmalloc(padded + 1);
    bool good = true;
    for (size_t i = 0; i < text.length; i++) {
        char c = text.data[i];
        good = good && auth_base64url_character(c);
        plain[i] = c == '-' ? '+' : c == '_' ? '/' : c;
    }
    memset(plain + text.length, '=', padded - text.length);
    ssize_t written = good ? crypto_base64_decode(plain, padded, ret_bytes, size) : -1;
    crypto_wipe(plain, padded); /* it may be a secret */
    free(plain);
    return written;
}

void auth_base64url_append(struct buffer *out, const void *bytes, size_t length)
{
    size_t room = CRYPTO_BASE64_SIZE(length);
    char *text = xmalloc(room);
    size_t written = crypto_base64_encode(bytes, length, text);
    while (written > 0 && text[written - 1] == '=')
        written--;
    for (size_t i = 0; i < written; i++)
        text[i] = (char)(text[i] == '+' ? '-' : text[i] == '/' ? '_' : text[i]);
    buffer_append(out, text, written);
    crypto_wipe(text, room);
    free(text);
}

const char *auth_show(const char *text, char ret[SHOWN_SIZE])
{
    static const char dots[] = "...";
    size_t length = 0;
    for (; length < SHOWN_SIZE - sizeof(dots) && text[length]; length++) {
        bool printable = text[length] >= 0x20 && text[length] < 0x7F;
        ret[length] = (char)(printable ? text[length] : '?');
    }
    ret[length] = '\0';
    if (text[length])
        memcpy(ret + length, dots, sizeof(dots));
    return ret;
}
