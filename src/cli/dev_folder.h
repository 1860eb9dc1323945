/*
 * dev_folder.h - the folder of `reeve dev`: made, locked, and its configuration kept up to date.
 */
#ifndef CLI_DEV_FOLDER_H
#define CLI_DEV_FOLDER_H

#include <sys/types.h>

#include "base/arena.h"
#include "base/error.h"

struct dev_folder {
    const char *path; /* absolute */
    int lock_fd;      /* held as long as the process lives */
};

/* Makes the folder when it is not there (its parent must be) and gives its absolute path. */
int dev_folder_make(const char *given, struct arena *arena, const char **ret_path,
                    struct error *err);
/* Locks it for this process. ERROR_BUSY names the process that has it. */
int dev_folder_lock(const char *path, struct arena *arena, int *ret_fd, struct error *err);
/* The process that holds the lock; 0 when nobody does. */
pid_t dev_folder_owner(const char *path, struct arena *arena);

/* The port that FOLDER/reeve.conf has; 0 when there is none yet. */
int dev_folder_port(const char *path, struct arena *arena);
/* Writes FOLDER/reeve.conf: listen, control, key_file and status_socket as given, every other line
 * as it was. *ret_config: its path. */
int dev_folder_configure(const char *path, int port, const char *control, struct arena *arena,
                         const char **ret_config, struct error *err);
/* A port of 127.0.0.1 that is free now. */
int dev_free_port(int *ret_port, struct error *err);

#endif
