/*
 * advise_count.h - what tenants use, as the server on this machine counts it: since its start, or
 * from now on, in moments of a
 * quarter of a second to some minutes.
 */
#ifndef CLI_ADVISE_COUNT_H
#define CLI_ADVISE_COUNT_H

#include "advise/advise.h"
#include "cli/cli.h"

/* for_us: how long to look; 0: since the server's start, in no moments. That no server tells is no
 * failure: *ret is zero then, and *ret_lacking says why (NULL: nothing is lacking). Both are in the
 * arena of `cli`. ERROR_CANCELLED. */
int advise_count(struct cli *cli, const char *status_socket, int64_t for_us,
                 struct advise_counted *ret, const char **ret_lacking, struct error *err);

#endif
