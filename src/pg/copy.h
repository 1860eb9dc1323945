/*
 * copy.h - COPY from one connection to another, without a look at what is copied.
 */
#ifndef PG_COPY_H
#define PG_COPY_H

#include "pg/connection.h"

struct pg_copy_spec {
    const char *out; /* "COPY ... TO STDOUT (FORMAT binary)", on the source */
    const char *in;  /* "COPY ... FROM STDIN (FORMAT binary)", on the target */
    /* Called every PG_COPY_STEP bytes or so, with how many they were: may wait (a throttle). A
     * negative return ends the copy and is returned. NULL: nobody wants to know. */
    int (*passed)(void *owner, size_t bytes, struct error *err);
    void *owner;
};

enum { PG_COPY_STEP = 256 * 1024 };

/* Both connections stay usable, unless they were lost: a failure on one side ends the command on
 * the other, and a transaction that it stands in has failed. The error is that of the side which
 * failed first, but that what the target refuses is noticed when the source has told all. Ended by
 * the source's cancel flag; the connections' statement timeouts hold on their servers. */
int pg_copy(struct pg_connection *source, struct pg_connection *target,
            const struct pg_copy_spec *spec, int64_t *ret_rows, int64_t *ret_bytes,
            struct error *err);

#endif
