/*
 * compiler.h - attributes, scope-bound cleanup and the functions that nobody may call.
 *
 * Every file of Reeve includes this first, through any header of base/.
 */
#ifndef BASE_COMPILER_H
#define BASE_COMPILER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <stdio.h>

#define reeve_printf(format_index, first_argument)                                                 \
    __attribute__((format(printf, format_index, first_argument)))
#define reeve_must_check __attribute__((warn_unused_result))
#define reeve_unused __attribute__((unused))

#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

#define array_size(a) (sizeof(a) / sizeof((a)[0]))
#define container_of(pointer, type, member) ((type *)((char *)(pointer)-offsetof(type, member)))

/* Runs function(&variable) when the variable leaves scope. */
#define _cleanup_(function) __attribute__((cleanup(function)))

static inline void cleanup_free(void *pointer_to_pointer)
{
    free(*(void **)pointer_to_pointer);
}
#define _cleanup_free_ _cleanup_(cleanup_free)

/* Defines cleanup_NAME for a pointer type with a free function that accepts NULL. */
#define DEFINE_CLEANUP(type, function)                                                             \
    static inline void cleanup_##function(type *pointer)                                           \
    {                                                                                              \
        if (*pointer)                                                                              \
            function(*pointer);                                                                    \
    }                                                                                              \
    struct reeve_require_semicolon

/* Moves ownership out of a _cleanup_ variable. */
#define take_pointer(pointer)                                                                      \
    ({                                                                                             \
        __typeof__(pointer) taken_ = (pointer);                                                    \
        (pointer) = NULL;                                                                          \
        taken_;                                                                                    \
    })

/* Closes *fd when it is not -1. */
void cleanup_close(int *fd);
#define _cleanup_close_ _cleanup_(cleanup_close)

/*
 * Allocation that cannot return NULL: the process ends with a message when memory is gone, as
 * there is no sound way to go on. Sizes that a client chooses are bounded before they come here.
 */
void *xmalloc(size_t size) __attribute__((malloc, returns_nonnull));
void *xcalloc(size_t count, size_t size) __attribute__((malloc, returns_nonnull));
void *xrealloc(void *pointer, size_t size) __attribute__((returns_nonnull));
char *xstrdup(const char *text) __attribute__((malloc, returns_nonnull));
char *xstrndup(const char *text, size_t length) __attribute__((malloc, returns_nonnull));
char *xasprintf(const char *format, ...) reeve_printf(1, 2)
    __attribute__((malloc, returns_nonnull));

/* Banned: no bound, not thread-safe, or errors that cannot be seen. */
#undef strcpy
#undef strcat
#undef sprintf
#undef vsprintf
#undef strtok
#define strcpy(...) reeve_banned_function_strcpy_use_str_copy
#define strcat(...) reeve_banned_function_strcat_use_buffer
#define sprintf(...) reeve_banned_function_sprintf_use_snprintf
#define vsprintf(...) reeve_banned_function_vsprintf_use_vsnprintf
#define strtok(...) reeve_banned_function_strtok_use_strtok_r

#endif
