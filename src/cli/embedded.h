/*
 * embedded.h - the private PostgreSQL of `reeve dev`: made, started and stopped as a child.
 *
 *   DIR/lib       the guard's library, which its sessions load
 *   DIR/pg        its data, 0700, of the user that runs it
 *   DIR/socket    its Unix socket, 0700, likewise: the only way in (no TCP). Where DIR's path is
 * too long for a socket, a private folder below $XDG_RUNTIME_DIR or /tmp stands in. DIR/pgpass the
 * superuser's password as a libpq passfile, 0600, ours DIR/postgres.log
 *
 * As root it runs as the user `postgres`, or else `nobody`. It is told to stop (fast shutdown) when
 * the thread that started it ends, however that happens: so start it from the main thread. All
 * functions belong to that thread.
 */
#ifndef CLI_EMBEDDED_H
#define CLI_EMBEDDED_H

#include <sys/types.h>

#include "base/arena.h"
#include "base/error.h"

#define EMBEDDED_SUPERUSER "reeve"

struct embedded_options {
    const char *folder;        /* DIR, absolute; it is there */
    const char *binary_folder; /* of initdb and postgres; NULL: looked for */
};

struct embedded {
    pid_t pid; /* 0: not running */
    /* All of these live in the arena of embedded_start. */
    const char *binary_folder;
    const char *data;
    const char *socket_folder;
    const char *passfile;
    const char *log;
    const char *guard; /* the guard's library, for this server; NULL: there is none */
    int major;         /* of its version */
    const char *user;  /* who runs it; NULL: the caller */
    uid_t uid;
    gid_t gid;
};

/*
 * Makes the server if it is not there, deals with one that a killed run left behind, starts it and
 * waits until it answers (60 s). The caller holds the lock on DIR. ERROR_NOT_FOUND (no PostgreSQL),
 * ERROR_UNSUPPORTED (older than 15), ERROR_DENIED (its user cannot reach DIR), ERROR_TIMEOUT,
 * ERROR_STATE (it ended; the log's last lines are in detail), ERROR_IO.
 */
int embedded_start(const struct embedded_options *options, struct arena *arena,
                   struct embedded *ret, struct error *err);

/* Fast shutdown; after 60 s, or at once with `immediately`, immediate shutdown. */
void embedded_stop(struct embedded *server, bool immediately);

/* Looks whether the child has ended (after SIGCHLD); then pid is 0 and this is true. */
bool embedded_has_ended(struct embedded *server);

/* "host='...' port=5432 user=reeve passfile='...' dbname=NAME", or without user, passfile and
 * dbname when database is NULL. */
const char *embedded_conninfo(const struct embedded *server, const char *database,
                              struct arena *arena);
/* Reads the superuser's password; crypto_wipe it. */
int embedded_password(const struct embedded *server, char ret[128], struct error *err);

/* The binaries: `given`, $REEVE_PG_BINDIR, those of version `major` (0: no wish), pg_config
 * --bindir, the newest of /usr/lib/postgresql/N/bin and /usr/pgsql-N/bin. ERROR_NOT_FOUND,
 * ERROR_UNSUPPORTED. */
int embedded_find_binaries(const char *given, int major, struct arena *arena, const char **ret,
                           int *ret_major, struct error *err);
/* Makes the data folder (initdb) and the passfile when they are not there. */
int embedded_make(struct embedded *server, const char *folder, struct arena *arena,
                  struct error *err);
/* A folder of mode 0700 that belongs to the user who runs the server, made when it is not there.
 * ERROR_DENIED when it is somebody else's. */
int embedded_private_folder(const struct embedded *server, const char *path, struct error *err);

/* Connects as the superuser; used for waiting and to make the control database. */
struct pg_connection;
int embedded_connect(const struct embedded *server, const char *database,
                     struct pg_connection **ret, struct error *err);

#endif
