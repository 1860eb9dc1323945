#include "base/failpoint.h"

#ifdef REEVE_FAILPOINTS

#include <signal.h>

bool failpoint_chosen(const char *variable, const char *name)
{
    const char *at = getenv(variable); /* NOLINT(concurrency-mt-unsafe): set before threads start */
    size_t length = strlen(name);
    while (at && *at) {
        if (strncmp(at, name, length) == 0 && (at[length] == ',' || at[length] == '\0'))
            return true;
        at = strchr(at, ',');
        if (at)
            at++;
    }
    return false;
}

long long failpoint_number(const char *variable, long long otherwise)
{
    const char *text = getenv(variable); /* NOLINT(concurrency-mt-unsafe): likewise */
    return text && *text ? strtoll(text, NULL, 10) : otherwise;
}

void failpoint_hit(const char *name)
{
    if (failpoint_chosen("REEVE_CRASH_AT", name))
        raise(SIGKILL);
    if (failpoint_chosen("REEVE_STOP_AT", name))
        raise(SIGSTOP);
}

#endif
