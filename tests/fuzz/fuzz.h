/*
 * fuzz.h - what every fuzz target has in common.
 *
 * A target is one file with one LLVMFuzzerTestOneInput. It is linked with libFuzzer (option
 * fuzzing) or with replay.c, which feeds it its seeds in every build. A target does not only wait
 * for a sanitizer: it says with `require` what must hold of an answer.
 */
#ifndef FUZZ_FUZZ_H
#define FUZZ_FUZZ_H

#include "base/compiler.h"
#include "base/error.h"
#include "base/str.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define require(condition)                                                                         \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__, #condition);         \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

/* An error that was returned: set, of that code, and fit for a log and a client. */
static inline void require_error(int result, const struct error *err)
{
    require(result < 0 && err->code == result);
    require(strlen(err->sqlstate) == SQLSTATE_SIZE - 1);
    require(err->message[0] != '\0');
    require(str_is_utf8(err->message, strlen(err->message)));
    for (const char *c = err->message; *c; c++)
        require((unsigned char)*c >= 0x20 && *c != 0x7F);
}

/* A C string that lies within a run of bytes, its end included. */
static inline bool is_within(const char *text, const void *bytes, size_t length)
{
    const char *start = bytes;
    return text >= start && text < start + length &&
           memchr(text, '\0', (size_t)(start + length - text)) != NULL;
}

#endif
