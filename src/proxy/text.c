#include "proxy/text.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

/* ---- words ---- */

/* Skips blanks and comments (nested, as PostgreSQL's are), and semicolons if that is wanted. */
static const char *skip(const char *at, const char *end, bool semicolons)
{
    while (at < end) {
        if (isspace((unsigned char)*at) || (semicolons && *at == ';')) {
            at++;
        } else if (end - at >= 2 && at[0] == '-' && at[1] == '-') {
            while (at < end && *at != '\n' && *at != '\r')
                at++;
        } else if (end - at >= 2 && at[0] == '/' && at[1] == '*') {
            int depth = 0;
            do {
                if (end - at >= 2 && at[0] == '/' && at[1] == '*') {
                    depth++;
                    at += 2;
                } else if (end - at >= 2 && at[0] == '*' && at[1] == '/') {
                    depth--;
                    at += 2;
                } else {
                    at++;
                }
            } while (at < end && depth > 0);
        } else {
            break;
        }
    }
    return at;
}

static const char *skip_blanks(const char *at, const char *end)
{
    return skip(at, end, false);
}

static const char *skip_to_statement(const char *at, const char *end)
{
    return skip(at, end, true);
}

static bool is_word(char c)
{
    return isalnum((unsigned char)c) || c == '_' || c == '$' || (unsigned char)c >= 0x80;
}

/* Whether the next word is this one; moves behind it and the blanks that follow. */
static bool take_word(const char **at, const char *end, const char *word)
{
    size_t length = strlen(word);
    if ((size_t)(end - *at) < length || strncasecmp(*at, word, length) != 0)
        return false;
    if (*at + length < end && is_word((*at)[length]))
        return false;
    *at = skip_blanks(*at + length, end);
    return true;
}

static bool surrounds(const char *underscore, const char *start, const char *end,
                      const char *before, const char *after)
{
    size_t before_length = strlen(before);
    size_t after_length = strlen(after);
    return (size_t)(underscore - start) >= before_length &&
           (size_t)(end - underscore - 1) >= after_length &&
           strncasecmp(underscore - before_length, before, before_length) == 0 &&
           strncasecmp(underscore + 1, after, after_length) == 0;
}

/* Whether a DECLARE that begins before here is WITH HOLD. */
static bool take_with_hold(const char **at, const char *end)
{
    while (*at < end && **at != ';') {
        if (is_word((*at)[-1]) || !take_word(at, end, "with"))
            (*at)++;
        else if (take_word(at, end, "hold"))
            return true;
    }
    return false;
}

/* ---- statements ---- */

/* Behind a string or a quoted name that begins here. Two quotes in a row are two strings to this,
 * which ends in the same place. */
static const char *skip_quoted(const char *at, const char *end, bool escapes)
{
    char quote = *at++;
    for (; at < end && *at != quote; at++) {
        if (escapes && *at == '\\' && at + 1 < end)
            at++;
    }
    return at < end ? at + 1 : end;
}

/* Behind "$tag$ ... $tag$", or behind the dollar where that is something else. */
static const char *skip_dollar_quoted(const char *at, const char *end)
{
    const char *tag_end = at + 1;
    while (tag_end < end && *tag_end != '$' && is_word(*tag_end))
        tag_end++;
    if (tag_end == end || *tag_end != '$' || isdigit((unsigned char)at[1]))
        return at + 1;
    size_t length = (size_t)(tag_end + 1 - at);
    const char *close = memmem(tag_end + 1, (size_t)(end - tag_end - 1), at, length);
    return close ? close + length : end;
}

/*
 * The statement behind this one: behind the next semicolon that stands in no literal, name or
 * comment, and the blanks there. As PostgreSQL's scanner sees them (scan.l) with
 * standard_conforming_strings on.
 */
static const char *next_statement(const char *at, const char *end)
{
    char before = ' ';
    if (!memchr(at, ';', (size_t)(end - at)))
        return end; /* as nearly always */
    while (at < end && *at != ';') {
        const char *start = at;
        if (*at == '\'' || *at == '"')
            at = skip_quoted(at, end, *at == '\'' && (before == 'e' || before == 'E'));
        else if (*at == '$' && !is_word(before))
            at = skip_dollar_quoted(at, end);
        else if (*at == '-' || *at == '/')
            at = skip_blanks(at, end);
        if (at == start) { /* "e" within a word is no prefix of a string */
            before = is_word(before) && is_word(*at) ? '_' : *at;
            at++;
        } else {
            before = ' ';
        }
    }
    return at < end ? skip_to_statement(at, end) : end;
}

/* ---- flags ---- */

/* What the words say that a statement begins with; moves behind what was looked at. */
static unsigned start_flags(const char **at, const char *end)
{
    if (*at == end)
        return 0;
    switch (**at | 0x20) {
    case 's':
        if (take_word(at, end, "start"))
            return TEXT_BEGINS;
        return take_word(at, end, "set") ? TEXT_CHANGES_SETTINGS : 0;
    case 'c':
        return take_word(at, end, "call") ? TEXT_CHANGES_SETTINGS : 0;
    case 'b':
        return take_word(at, end, "begin") ? TEXT_BEGINS : 0;
    case 'l':
        return take_word(at, end, "listen") ? TEXT_LISTENS : 0;
    case 'd':
        if (take_word(at, end, "do"))
            return TEXT_CHANGES_SETTINGS;
        if (take_word(at, end, "discard"))
            return take_word(at, end, "all") ? TEXT_DISCARDS | TEXT_CHANGES_SETTINGS : 0;
        if (take_word(at, end, "deallocate")) {
            take_word(at, end, "prepare");
            return take_word(at, end, "all") ? TEXT_DISCARDS : TEXT_DEALLOCATES;
        }
        return take_word(at, end, "declare") && take_with_hold(at, end) ? TEXT_PINS : 0;
    default:
        return 0;
    }
}

/*
 * Statements behind the first one, and what might be one: a semicolon may stand in a literal. Only
 * those flags that do no harm where they are wrong. Comments with semicolons in them may be looked
 * through again and again, so a text with too much of that is taken for one that changes settings.
 */
static unsigned possible_flags(const char *text, size_t length)
{
    const char *end = text + length;
    size_t looked_at = 0;
    unsigned flags = 0;
    const char *next = text;
    const char *at;
    while ((at = memchr(next, ';', (size_t)(end - next))) != NULL) {
        while (at < end && (isspace((unsigned char)*at) || *at == ';'))
            at++;
        next = at;
        at = skip_to_statement(at, end);
        flags |= start_flags(&at, end);
        looked_at += (size_t)(at - next);
        if (looked_at > 4 * length)
            return TEXT_CHANGES_SETTINGS | TEXT_PINS;
    }
    return flags & (TEXT_CHANGES_SETTINGS | TEXT_PINS);
}

unsigned text_flags(const char *text, size_t length)
{
    const char *end = text + length;
    unsigned flags = possible_flags(text, length);
    for (const char *at = memchr(text, '_', length); at;
         at = memchr(at + 1, '_', (size_t)(end - at - 1))) {
        if (surrounds(at, text, end, "set", "config"))
            flags |= TEXT_CHANGES_SETTINGS;
        else if (surrounds(at, text, end, "advisory", "lock"))
            flags |= TEXT_PINS;
    }
    for (const char *at = skip_to_statement(text, end); at < end; at = next_statement(at, end)) {
        const char *words = at;
        flags |= start_flags(&words, end);
    }
    if ((flags & TEXT_BEGINS) && memchr(text, ';', length))
        flags &= ~(unsigned)TEXT_BEGINS; /* perhaps more than that */
    return flags;
}

/* ---- LISTEN ---- */

size_t text_before_listen(const char *text, size_t length)
{
    const char *end = text + length;
    for (const char *at = skip_to_statement(text, end); at < end; at = next_statement(at, end)) {
        const char *words = at;
        if (take_word(&words, end, "listen"))
            return (size_t)(at - text);
    }
    return length;
}

/* ---- DEALLOCATE ---- */

/* A name as the server's scanner reads it; moves behind it. False: there is none that fits. */
static bool take_name(const char **at, const char *end, char *ret_name, size_t size)
{
    size_t used = 0;
    bool quoted = *at < end && **at == '"';
    if (quoted)
        ++*at;
    for (;; ++*at) {
        bool ends = *at == end || (quoted ? **at == '"' : !is_word(**at));
        if (ends && !(quoted && end - *at >= 2 && (*at)[1] == '"'))
            break;
        if (ends)
            ++*at; /* a quote that is doubled */
        if (used + 1 >= size)
            return false;
        ret_name[used++] = quoted ? **at : (char)tolower((unsigned char)**at);
    }
    ret_name[used] = '\0';
    if (quoted && *at == end)
        return false;
    if (quoted)
        ++*at;
    return used > 0;
}

bool text_next_deallocate(const char *text, size_t length, struct text_deallocate *found)
{
    const char *end = text + length;
    const char *at =
        found->end == 0 ? skip_to_statement(text, end) : next_statement(text + found->end, end);
    for (; at < end; at = next_statement(at, end)) {
        const char *words = at;
        if (!take_word(&words, end, "deallocate"))
            continue;
        take_word(&words, end, "prepare");
        const char *start = words;
        if (!take_name(&words, end, found->name, sizeof(found->name)))
            continue;
        if (*start != '"' && strcmp(found->name, "all") == 0) {
            found->behind_all = true;
            continue;
        }
        found->start = (size_t)(start - text);
        found->end = (size_t)(words - text);
        return true;
    }
    return false;
}
