/*
 * arena.h - memory that is given back all at once.
 *
 * For a job step, a CLI command, a request. Not thread-safe: one owner. An arena has a maximum;
 * past it the process aborts, as callers bound what they put in.
 */
#ifndef BASE_ARENA_H
#define BASE_ARENA_H

#include <stdarg.h>

#include "base/compiler.h"

struct arena_chunk;

struct arena {
    struct arena_chunk *chunks;
    size_t used;    /* bytes handed out */
    size_t maximum; /* bytes; 0 means ARENA_DEFAULT_MAXIMUM */
};

enum { ARENA_DEFAULT_MAXIMUM = 1 << 30 };

void arena_init(struct arena *arena, size_t maximum);
/* Gives everything back; the arena may be used again. */
void arena_reset(struct arena *arena);
#define _cleanup_arena_ _cleanup_(arena_reset)

/* All results live until arena_reset and are aligned for any type; never NULL. */
void *arena_alloc(struct arena *arena, size_t size) __attribute__((returns_nonnull));
void *arena_zalloc(struct arena *arena, size_t size) __attribute__((returns_nonnull));
char *arena_strdup(struct arena *arena, const char *text) __attribute__((returns_nonnull));
char *arena_strndup(struct arena *arena, const char *text, size_t length)
    __attribute__((returns_nonnull));
void *arena_memdup(struct arena *arena, const void *bytes, size_t size)
    __attribute__((returns_nonnull));
char *arena_printf(struct arena *arena, const char *format, ...) reeve_printf(2, 3)
    __attribute__((returns_nonnull));

#endif
