#include "fleet/match.h"

#include "base/str.h"
#include "isolation/isolation.h"

enum { TERMS_MAX = 64, KEY_MAX = 63 };

enum key {
    KEY_SLUG,
    KEY_SERVICE,
    KEY_CLUSTER,
    KEY_DATABASE,
    KEY_ISOLATION,
    KEY_TAG,
    KEY_TAG_VALUE
};

static const char *const key_names[] = {
    [KEY_SLUG] = "slug",         [KEY_SERVICE] = "service",     [KEY_CLUSTER] = "cluster",
    [KEY_DATABASE] = "database", [KEY_ISOLATION] = "isolation", [KEY_TAG] = "tag",
};

struct term {
    enum key key;
    const char *name; /* the key as it was written */
    const char *pattern;
};

struct match {
    struct term *terms;
    size_t count;
};

/* ---- reading ---- */

static enum key find_key(const char *name)
{
    for (size_t i = 0; i < array_size(key_names); i++)
        if (strcmp(key_names[i], name) == 0)
            return (enum key)i;
    return KEY_TAG_VALUE;
}

static bool is_key(const char *name)
{
    size_t length = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_-");
    return length > 0 && length <= KEY_MAX && name[length] == '\0';
}

static int wrong_term(const char *term, const char *why, struct error *err)
{
    error_set(err, ERROR_USAGE, "\"%.100s\" says of no tenant whether it is meant: %s", term, why);
    error_hint(err, "write KEY=VALUE, with commas between several: plan=enterprise,isolation=row");
    return -ERROR_USAGE;
}

static int add_term(struct match *match, const char *text, struct arena *arena, struct error *err)
{
    char *name = arena_strdup(arena, text);
    char *equals = strchr(name, '=');
    if (!equals)
        return wrong_term(text, "there is no \"=\"", err);
    *equals = '\0';
    if (!is_key(name))
        return wrong_term(text, "what stands before \"=\" is no key", err);
    if (equals[1] == '\0')
        return wrong_term(text, "there is no value", err);
    const struct term term = {.key = find_key(name), .name = name, .pattern = equals + 1};
    if (term.key == KEY_ISOLATION) {
        const struct isolation *isolation;
        int r = isolation_parse(term.pattern, &isolation, err);
        if (r < 0)
            return r;
    }
    if (match->count == TERMS_MAX)
        return error_set(err, ERROR_USAGE, "there are more than %d terms", TERMS_MAX);
    match->terms[match->count++] = term;
    return 0;
}

int match_parse(const char *text, struct arena *arena, struct match **ret, struct error *err)
{
    struct match *match = arena_zalloc(arena, sizeof(*match));
    match->terms = arena_zalloc(arena, TERMS_MAX * sizeof(*match->terms));
    char *rest = text ? arena_strdup(arena, text) : NULL;
    while (rest) {
        char *comma = strchr(rest, ',');
        if (comma)
            *comma++ = '\0';
        int r = add_term(match, rest, arena, err);
        if (r < 0)
            return r;
        rest = comma;
    }
    *ret = match;
    return 0;
}

/* ---- matching ---- */

/* Upon a mismatch the last star takes one character more. */
static bool is_like(struct str text, const char *pattern)
{
    const char *star = NULL;
    size_t at = 0, starred = 0;
    while (at < text.length) {
        if (*pattern == '*') {
            star = ++pattern;
            starred = at;
        } else if (*pattern == '?' || (*pattern && *pattern == text.data[at])) {
            pattern++;
            at++;
        } else if (star) {
            pattern = star;
            at = ++starred;
        } else {
            return false;
        }
    }
    return pattern[strspn(pattern, "*")] == '\0';
}

/* "plan=enterprise": its value is "" where there is a name alone. */
static bool tag_holds(const char *tag, const struct term *term)
{
    size_t length = strcspn(tag, "=");
    const struct str name = {tag, length};
    if (term->key == KEY_TAG)
        return is_like(name, term->pattern);
    return str_equal_text(name, term->name) &&
           is_like(str_of(tag[length] ? tag + length + 1 : ""), term->pattern);
}

static bool has_tag(const struct match_subject *subject, const struct term *term)
{
    for (size_t i = 0; i < subject->tag_count; i++)
        if (tag_holds(subject->tags[i], term))
            return true;
    return false;
}

static bool term_holds(const struct term *term, const struct match_subject *subject)
{
    switch (term->key) {
    case KEY_SLUG:
        return is_like(str_of(subject->slug), term->pattern);
    case KEY_SERVICE:
        return is_like(str_of(subject->service), term->pattern);
    case KEY_CLUSTER:
        return is_like(str_of(subject->cluster), term->pattern);
    case KEY_DATABASE:
        return is_like(str_of(subject->database), term->pattern);
    case KEY_ISOLATION:
        return strcmp(subject->isolation, term->pattern) == 0;
    case KEY_TAG:
    case KEY_TAG_VALUE:
        return has_tag(subject, term);
    }
    return false;
}

static bool is_same_key(const struct term *a, const struct term *b)
{
    return strcmp(a->name, b->name) == 0;
}

bool match_holds(const struct match *match, const struct match_subject *subject)
{
    for (size_t i = 0; i < match->count; i++) {
        bool holds = false;
        for (size_t j = 0; j < match->count && !holds; j++)
            holds = is_same_key(&match->terms[i], &match->terms[j]) &&
                    term_holds(&match->terms[j], subject);
        if (!holds)
            return false;
    }
    return true;
}
