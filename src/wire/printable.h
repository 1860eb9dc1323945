/*
 * printable.h - a client's bytes as they may stand in a message.
 *
 * What comes before login has no known encoding, so only printable ASCII is repeated.
 */
#ifndef WIRE_PRINTABLE_H
#define WIRE_PRINTABLE_H

#include "base/compiler.h"

enum { WIRE_PRINTABLE_SIZE = 64 };

/* Copies at most WIRE_PRINTABLE_SIZE - 1 characters, '?' for each that is not printable ASCII, and
 * returns the target. */
static inline const char *wire_printable(const char *text, char target[WIRE_PRINTABLE_SIZE])
{
    size_t length = strnlen(text, WIRE_PRINTABLE_SIZE - 1);
    for (size_t i = 0; i < length; i++)
        target[i] = text[i] >= 0x20 && text[i] < 0x7F ? text[i] : '?';
    target[length] = '\0';
    return target;
}

#endif
