/*
 * process.h - child processes, started while this process has one thread.
 */
#ifndef CLI_PROCESS_H
#define CLI_PROCESS_H

#include <sys/types.h>

#include "base/error.h"

struct process_spec {
    const char *const *argv; /* argv[0] is the path; ends with NULL */
    const char *user;        /* to become; NULL: stay who we are */
    uid_t uid;
    gid_t gid;
    int output_fd;    /* becomes standard output and error; -1: /dev/null */
    int death_signal; /* sent to the child when the calling thread ends; 0: none */
};

/* In a session of its own, without PG* in its environment. ERROR_IO. */
int process_start(const struct process_spec *spec, pid_t *ret, struct error *err);
/* Runs to the end; *ret_status is the exit status (128 + signal when it was killed). */
int process_run(const struct process_spec *spec, int *ret_status, struct error *err);
/* The same, with the first `size` - 1 bytes of its output. */
int process_capture(struct process_spec *spec, char *ret_output, size_t size, int *ret_status,
                    struct error *err);
/* True when the user may enter the folder and all above it. */
bool process_user_enters(const struct process_spec *spec, const char *folder);

#endif
