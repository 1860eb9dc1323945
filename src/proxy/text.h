/*
 * text.h - what the words of a query text say that it does to the session.
 *
 * A hint, never a defence: what matters for isolation is decided by the server.
 */
#ifndef PROXY_TEXT_H
#define PROXY_TEXT_H

#include <stdbool.h>
#include <stddef.h>

enum text_flags {
    TEXT_CHANGES_SETTINGS = 1 << 0, /* SET, set_config, DO, CALL: to be looked at afterwards */
    TEXT_PINS = 1 << 1,             /* session state that cannot be carried: advisory locks, HOLD */
    TEXT_DISCARDS = 1 << 2,         /* DISCARD ALL, DEALLOCATE ALL: prepared statements are gone */
    TEXT_LISTENS = 1 << 3,          /* LISTEN: refused where channels are everybody's */
    TEXT_DEALLOCATES = 1 << 4,      /* DEALLOCATE name */
    TEXT_CHANGES_NAMES = TEXT_DISCARDS | TEXT_DEALLOCATES,
    TEXT_BEGINS = 1 << 5, /* BEGIN or START TRANSACTION, and nothing else: runs no code */
};

enum { TEXT_NAME_SIZE = 1024, TEXT_DEALLOCATES_MAX = 64 };

/* Flags of a query text; the text may be cut short. Takes time in proportion to its length. */
unsigned text_flags(const char *text, size_t length);

struct text_deallocate {
    size_t start, end;         /* of the name as it is written; `end` 0: none was found yet */
    bool behind_all;           /* DEALLOCATE ALL stands in front of it */
    char name[TEXT_NAME_SIZE]; /* folded to lower case where it is not quoted */
};

/* How much of a text is in front of its first LISTEN; all of it where there is none. */
size_t text_before_listen(const char *text, size_t length);

/* The next "DEALLOCATE [PREPARE] name" behind `found->end`. */
bool text_next_deallocate(const char *text, size_t length, struct text_deallocate *found);

#endif
