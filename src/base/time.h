/*
 * time.h - clocks. All in microseconds.
 */
#ifndef BASE_TIME_H
#define BASE_TIME_H

#include "base/compiler.h"

enum { TIME_MS = 1000, TIME_S = 1000000 };

/* CLOCK_MONOTONIC: for durations and deadlines. */
int64_t time_monotonic_us(void);
/* Since 1970-01-01 UTC: for what people and tokens see. */
int64_t time_unix_us(void);
/* RFC 3339 in UTC with milliseconds; size at least TIME_TEXT_SIZE. */
enum { TIME_TEXT_SIZE = 32 };
void time_format(int64_t unix_us, char *ret_text);

#endif
