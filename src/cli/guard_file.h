/*
 * guard_file.h - the guard's files, which this program carries, written where a server finds them.
 */
#ifndef CLI_GUARD_FILE_H
#define CLI_GUARD_FILE_H

#include "base/arena.h"
#include "base/error.h"

/* Writes the library for a server's major version into a folder (made, 0755, when it is not there)
 * under a name of its content's own, unless it is there. *ret is its path in the arena, NULL when
 * this program was built without one for that version. */
int guard_file_write(const char *folder, int major, struct arena *arena, const char **ret,
                     struct error *err);

#endif
