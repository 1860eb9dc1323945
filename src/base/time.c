#include "base/time.h"

#include <time.h>

static int64_t read_clock(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (int64_t)now.tv_sec * TIME_S + now.tv_nsec / 1000;
}

int64_t time_monotonic_us(void)
{
    return read_clock(CLOCK_MONOTONIC);
}

int64_t time_unix_us(void)
{
    return read_clock(CLOCK_REALTIME);
}

void time_format(int64_t unix_us, char *ret_text)
{
    int64_t us = unix_us % TIME_S;
    time_t seconds = (time_t)(unix_us / TIME_S);
    if (us < 0) { /* before 1970: down to the whole second, not towards 1970 */
        us += TIME_S;
        seconds--;
    }
    struct tm parts;
    gmtime_r(&seconds, &parts);
    size_t length = strftime(ret_text, TIME_TEXT_SIZE, "%Y-%m-%dT%H:%M:%S", &parts);
    snprintf(ret_text + length, TIME_TEXT_SIZE - length, ".%03dZ", (int)(us / TIME_MS));
}
