#include "base/str.h"

#include <errno.h>
#include <limits.h>

#include "base/failpoint.h"

struct str str_of(const char *text)
{
    return (struct str){text, text ? strlen(text) : 0};
}

bool str_equal(struct str a, struct str b)
{
    return a.length == b.length && (a.length == 0 || memcmp(a.data, b.data, a.length) == 0);
}

bool str_equal_text(struct str a, const char *text)
{
    return str_equal(a, str_of(text));
}

bool str_copy(char *target, size_t size, const char *source)
{
    size_t length = strlen(source);
    if (length >= size) {
        target[0] = '\0';
        return false;
    }
    memcpy(target, source, length + 1);
    return true;
}

bool str_has_prefix(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

bool str_has_suffix(const char *text, const char *suffix)
{
    size_t length = strlen(text);
    size_t suffix_length = strlen(suffix);
    return length >= suffix_length && strcmp(text + length - suffix_length, suffix) == 0;
}

bool str_to_i64(const char *text, int64_t minimum, int64_t maximum, int64_t *ret)
{
    if (!text || !((*text >= '0' && *text <= '9') || *text == '-'))
        return false;
    char *end = NULL;
    errno = 0;
    long long value = strtoll(text, &end, 10);
    if (errno || end == text || *end || value < minimum || value > maximum)
        return false;
    *ret = value;
    return true;
}

struct unit {
    const char *suffix;
    int64_t amount;
};

/* The whole text as a number of one of these units, the last of which has an empty suffix. */
static bool read_amount(const char *text, const struct unit *unit, int64_t *ret)
{
    if (!text || *text < '0' || *text > '9')
        return false;
    char *end = NULL;
    errno = 0;
    long long value = strtoll(text, &end, 10);
    if (errno || value < 0)
        return false;
    while (*unit->suffix && strcmp(end, unit->suffix) != 0)
        unit++;
    if (strcmp(end, unit->suffix) != 0 || value > INT64_MAX / unit->amount)
        return false;
    *ret = value * unit->amount;
    return true;
}

bool str_to_duration_us(const char *text, int64_t *ret_us)
{
    static const struct unit units[] = {
        {"us", 1},         {"ms", 1000},        {"s", 1000000},       {"m", 60000000},
        {"min", 60000000}, {"h", 3600000000LL}, {"d", 86400000000LL}, {"", 1000000}};
    return read_amount(text, units, ret_us);
}

bool str_to_size(const char *text, int64_t *ret_bytes)
{
    static const struct unit units[] = {{"B", 1},        {"kB", 1 << 10},   {"MB", 1 << 20},
                                        {"GB", 1 << 30}, {"TB", 1LL << 40}, {"", 1}};
    return read_amount(text, units, ret_bytes);
}

bool str_is_utf8(const char *bytes, size_t length)
{
    if (length == 0) /* bytes may be NULL */
        return true;
    const unsigned char *at = (const unsigned char *)bytes;
    const unsigned char *end = at + length;
    while (at < end) {
        unsigned char first = *at++;
        if (first < 0x80)
            continue;
        int more = first >= 0xF0 ? 3 : first >= 0xE0 ? 2 : 1;
        uint32_t value = first & (0x3Fu >> more);
        if (first < 0xC2 || first > 0xF4 || end - at < more)
            return false;
        for (int i = 0; i < more; i++, at++) {
            if ((*at & 0xC0) != 0x80)
                return false;
            value = (value << 6) | (*at & 0x3Fu);
        }
        static const uint32_t least[] = {0, 0x80, 0x800, 0x10000};
        if (value < least[more] || value > 0x10FFFF || (value >= 0xD800 && value <= 0xDFFF))
            return false;
    }
    return true;
}

static bool slug_character(char c, bool first)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || (!first && (c == '-' || c == '_'));
}

int str_check_slug(const char *what, const char *slug, struct error *err)
{
    size_t length = strlen(slug);
    bool good = length >= 1 && length <= 63;
    for (size_t i = 0; good && i < length; i++)
        good = slug_character(slug[i], i == 0);
    if (good)
        return 0;
    int result = error_set(err, ERROR_INVALID, "%s is not valid", what);
    error_hint(err, "use 1 to 63 of a-z, 0-9, '-' and '_', beginning with a letter or a digit");
    return result;
}

/* Of valid UTF-8: C0, DEL, and C1 (U+0080 to U+009F, two bytes), which terminals obey too. */
static bool has_control_character(const char *text, size_t length)
{
    if (mutation("base.name"))
        return false;
    for (size_t i = 0; i < length; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c < 0x20 || c == 0x7F || (c == 0xC2 && (unsigned char)text[i + 1] < 0xA0))
            return true;
    }
    return false;
}

/* Of valid UTF-8: what breaks a line (U+2028, U+2029) or turns the order of the text around it
 * (U+202A to U+202E, U+2066 to U+2069), so that one name reads as another. */
static bool has_layout_character(const char *text)
{
    for (const unsigned char *at = (const unsigned char *)text; *at; at++) {
        if (at[0] == 0xE2 && at[1] == 0x80 && at[2] >= 0xA8 && at[2] <= 0xAE)
            return true;
        if (at[0] == 0xE2 && at[1] == 0x81 && at[2] >= 0xA6 && at[2] <= 0xA9)
            return true;
    }
    return false;
}

int str_check_display_name(const char *what, const char *name, struct error *err)
{
    size_t length = strlen(name);
    if (length >= 1 && length <= 200 && str_is_utf8(name, length) &&
        !has_control_character(name, length) && !has_layout_character(name))
        return 0;
    int result = error_set(err, ERROR_INVALID, "%s is not valid", what);
    error_hint(err, "use 1 to 200 bytes of UTF-8 text without control characters, line separators "
                    "and characters that turn its direction");
    return result;
}

void str_hex(const void *bytes, size_t length, char *ret_text)
{
    static const char digits[] = "0123456789abcdef";
    const unsigned char *at = bytes;
    for (size_t i = 0; i < length; i++) {
        ret_text[2 * i] = digits[at[i] >> 4];
        ret_text[2 * i + 1] = digits[at[i] & 15];
    }
    ret_text[2 * length] = '\0';
}
