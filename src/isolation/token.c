#include "isolation/token.h"

#include <strings.h>

static bool is_name_start(unsigned char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c >= 0x80;
}

static bool is_digit(unsigned char c)
{
    return c >= '0' && c <= '9';
}

static bool is_name_part(unsigned char c)
{
    return is_name_start(c) || is_digit(c) || c == '$';
}

static bool is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* Behind a comment that begins at `at`; comments of the second kind nest. */
static size_t skip_comment(const char *text, size_t at, size_t end)
{
    if (text[at] == '-') {
        while (at < end && text[at] != '\n' && text[at] != '\r')
            at++;
        return at;
    }
    int depth = 0;
    while (at < end) {
        if (at + 1 < end && text[at] == '/' && text[at + 1] == '*') {
            depth++;
            at += 2;
        } else if (at + 1 < end && text[at] == '*' && text[at + 1] == '/') {
            at += 2;
            if (--depth == 0)
                break;
        } else {
            at++;
        }
    }
    return at;
}

static bool starts_comment(const char *text, size_t at, size_t end)
{
    return at + 1 < end &&
           ((text[at] == '-' && text[at + 1] == '-') || (text[at] == '/' && text[at + 1] == '*'));
}

/* Behind a quoted run that begins at `at`; a doubled quote stands for itself. */
static size_t skip_quoted(const char *text, size_t at, size_t end, bool escapes)
{
    char quote = text[at++];
    while (at < end) {
        if (escapes && text[at] == '\\')
            at += 2;
        else if (text[at] != quote)
            at++;
        else if (at + 1 < end && text[at + 1] == quote)
            at += 2;
        else
            return at + 1;
    }
    return end;
}

/* Behind $tag$...$tag$, or `at` when none begins there. */
static size_t skip_dollar_quoted(const char *text, size_t at, size_t end)
{
    size_t tag_end = at + 1;
    if (tag_end < end && is_digit((unsigned char)text[tag_end]))
        return at;
    while (tag_end < end && text[tag_end] != '$' && is_name_part((unsigned char)text[tag_end]))
        tag_end++;
    if (tag_end >= end || text[tag_end] != '$')
        return at;
    size_t tag_length = tag_end + 1 - at;
    for (size_t i = tag_end + 1; i + tag_length <= end; i++)
        if (memcmp(text + i, text + at, tag_length) == 0)
            return i + tag_length;
    return end;
}

/* Strings and names with a prefix: E'', B'', X'', N'', U&'', U&"". Fills kind and returns where
 * it ends, or `at` when it is none. */
static size_t skip_prefixed(const char *text, size_t at, size_t end, enum token_kind *ret_kind)
{
    char prefix = text[at];
    if ((prefix == 'u' || prefix == 'U') && at + 2 < end && text[at + 1] == '&' &&
        (text[at + 2] == '\'' || text[at + 2] == '"')) {
        *ret_kind = text[at + 2] == '"' ? TOKEN_QUOTED_NAME : TOKEN_STRING;
        return skip_quoted(text, at + 2, end, false);
    }
    if (at + 1 < end && text[at + 1] == '\'' && strchr("eEbBxXnN", prefix)) {
        *ret_kind = TOKEN_STRING;
        return skip_quoted(text, at + 1, end, prefix == 'e' || prefix == 'E');
    }
    return at;
}

static size_t scan_one(const char *text, size_t at, size_t end, enum token_kind *ret_kind)
{
    unsigned char c = (unsigned char)text[at];
    size_t next = at;
    if (c == '\'' || c == '"') {
        *ret_kind = c == '"' ? TOKEN_QUOTED_NAME : TOKEN_STRING;
        return skip_quoted(text, at, end, false);
    }
    if (c == '$' && (next = skip_dollar_quoted(text, at, end)) > at) {
        *ret_kind = TOKEN_STRING;
        return next;
    }
    if (is_name_start(c)) {
        if ((next = skip_prefixed(text, at, end, ret_kind)) > at)
            return next;
        *ret_kind = TOKEN_WORD;
        for (next = at + 1; next < end && is_name_part((unsigned char)text[next]); next++)
            ;
        return next;
    }
    if (is_digit(c)) {
        *ret_kind = TOKEN_NUMBER;
        for (next = at + 1;
             next < end && (is_name_part((unsigned char)text[next]) || text[next] == '.'); next++)
            ;
        return next;
    }
    *ret_kind = TOKEN_SYMBOL;
    return at + 1;
}

void token_scan(struct arena *arena, const char *text, size_t start, size_t end,
                struct token_list *ret)
{
    size_t capacity = 64, count = 0;
    struct token *tokens = arena_alloc(arena, capacity * sizeof(*tokens));
    for (size_t at = start; at < end;) {
        if (is_space(text[at])) {
            at++;
            continue;
        }
        if (starts_comment(text, at, end)) {
            at = skip_comment(text, at, end);
            continue;
        }
        if (count == capacity) {
            struct token *larger = arena_alloc(arena, 2 * capacity * sizeof(*tokens));
            memcpy(larger, tokens, count * sizeof(*tokens));
            tokens = larger;
            capacity *= 2;
        }
        struct token *token = &tokens[count++];
        token->start = at;
        at = scan_one(text, at, end, &token->kind);
        if (at > end)
            at = end;
        token->end = at;
    }
    *ret = (struct token_list){text, tokens, count};
}

bool token_is(const struct token_list *list, size_t index, const char *word)
{
    if (index >= list->count)
        return false;
    const struct token *token = &list->tokens[index];
    size_t length = token->end - token->start;
    return (token->kind == TOKEN_WORD || token->kind == TOKEN_SYMBOL) && strlen(word) == length &&
           strncasecmp(list->text + token->start, word, length) == 0;
}

size_t token_at(const struct token_list *list, size_t offset)
{
    size_t index = 0;
    while (index < list->count && list->tokens[index].start < offset)
        index++;
    return index;
}

size_t token_skip_group(const struct token_list *list, size_t index)
{
    int depth = 0;
    for (; index < list->count; index++) {
        if (token_is(list, index, "("))
            depth++;
        else if (token_is(list, index, ")") && --depth == 0)
            return index + 1;
    }
    return index;
}
