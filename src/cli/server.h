/*
 * server.h - `reeve serve`: data plane and control plane in one process.
 *
 * The main thread only waits: for signals, for those who ask for the status, for the proxy's end.
 *
 *   SIGTERM, SIGINT   no new clients; running transactions finish; then the end. Again: at once.
 *   SIGHUP            the configuration file and the TLS certificate are read again
 *
 * Another server may take over while it runs: see handover.h.
 */
#ifndef CLI_SERVER_H
#define CLI_SERVER_H

#include "cli/config.h"
#include "cli/embedded.h"

struct server_spec {
    const struct config *config;
    bool replace;              /* take over from a server that runs, if one does */
    struct embedded *embedded; /* its end is ours; NULL: none */
    /* Called once clients can connect. */
    void (*ready)(void *owner, const struct config *config);
    void *owner;
};

/* Blocks the signals that server_run reads. Before anything that starts threads or children. */
void server_block_signals(void);

/* Serves until it is told to stop. 0 after a stop that was asked for. The embedded server still
 * runs when this returns. */
int server_run(const struct server_spec *spec, struct error *err);

#endif
