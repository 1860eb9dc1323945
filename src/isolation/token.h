/*
 * token.h - PostgreSQL's lexical rules, as far as it takes to find where a clause ends.
 *
 * libpg_query says where a clause begins, not where it ends. The text has been parsed already, so
 * nothing here meets an unterminated string.
 */
#ifndef ISOLATION_TOKEN_H
#define ISOLATION_TOKEN_H

#include "base/arena.h"

enum token_kind { TOKEN_WORD, TOKEN_QUOTED_NAME, TOKEN_STRING, TOKEN_NUMBER, TOKEN_SYMBOL };

struct token {
    enum token_kind kind;
    size_t start, end; /* byte offsets into the whole text; end is behind the last byte */
};

struct token_list {
    const char *text;
    struct token *tokens;
    size_t count;
};

/* The tokens of text[start, end), comments and white space left out; they live in the arena. */
void token_scan(struct arena *arena, const char *text, size_t start, size_t end,
                struct token_list *ret);
/* True when token `index` is that key word (any case) or symbol; false past the end. */
bool token_is(const struct token_list *list, size_t index, const char *word);
/* The index of the first token that starts at or behind an offset; list->count when none does. */
size_t token_at(const struct token_list *list, size_t offset);
/* With token `index` an opening parenthesis, the index behind its closing one. */
size_t token_skip_group(const struct token_list *list, size_t index);

#endif
