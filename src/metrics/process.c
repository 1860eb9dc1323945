#include <dirent.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/time.h"
#include "metrics/table.h"

/* The second number of /proc/self/statm, in pages. */
static int64_t resident_bytes(void)
{
    char line[256] = "";
    FILE *file = fopen("/proc/self/statm", "re");
    if (!file)
        return -1;
    const char *second = fgets(line, sizeof(line), file) ? strchr(line, ' ') : NULL;
    fclose(file);
    return second ? strtoll(second, NULL, 10) * sysconf(_SC_PAGESIZE) : -1;
}

/* Without the one that is needed to look. */
static int64_t open_fds(void)
{
    DIR *folder = opendir("/proc/self/fd");
    int64_t count = -1;
    if (!folder)
        return -1;
    for (const struct dirent *entry; (entry = readdir(folder)) != NULL;) {
        if (entry->d_name[0] != '.')
            count++;
    }
    closedir(folder);
    return count;
}

static int64_t us_of(struct timeval time)
{
    return (int64_t)time.tv_sec * TIME_S + time.tv_usec;
}

void metrics_process_take(struct metrics_process *ret)
{
    struct rusage used;
    struct rlimit limit;
    *ret = (struct metrics_process){.cpu_us = -1,
                                    .resident_bytes = resident_bytes(),
                                    .open_fds = open_fds(),
                                    .max_fds = -1,
                                    .started_unix_us = -1};
    if (getrusage(RUSAGE_SELF, &used) == 0)
        ret->cpu_us = us_of(used.ru_utime) + us_of(used.ru_stime);
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY)
        ret->max_fds = (int64_t)limit.rlim_cur;
}
