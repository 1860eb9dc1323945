/*
 * proxy.h - the data plane: what wiring must give it, and how to start and stop it.
 *
 * proxy_create copies its configuration. proxy_start makes the worker, auth and connector threads.
 */
#ifndef PROXY_PROXY_H
#define PROXY_PROXY_H

#include <openssl/ssl.h>

#include "base/crypto.h"
#include "base/error.h"
#include "net/engine.h"
#include "route/route.h"

enum { PROXY_MAX_LISTEN = 16 };

enum proxy_auth { PROXY_AUTH_AUTO, PROXY_AUTH_SCRAM, PROXY_AUTH_CLEARTEXT, PROXY_AUTH_OAUTH };

struct proxy_config {
    int workers; /* 1 to 64 */
    enum engine_kind engine;
    int listen_fds[PROXY_MAX_LISTEN]; /* bound and listening; the caller's */
    int listen_count;
    SSL_CTX *tls;      /* NULL: TLS is refused with 'N'. Referenced. */
    bool tls_required; /* TCP clients that are not local must use TLS */
    enum proxy_auth auth;
    /* bearer_check_issuer and _scope have passed them. NULL: no OAUTHBEARER. Copied. */
    const char *oauth_issuer, *oauth_scope;
    int max_clients;              /* over all workers */
    int64_t login_timeout_us;     /* from accept to ReadyForQuery */
    int64_t connect_timeout_us;   /* one login to a server */
    int64_t idle_backend_us;      /* an idle backend is closed after this */
    int64_t backend_lifetime_us;  /* one that is older is replaced; 0: never */
    int64_t slow_transaction_us;  /* one that takes as long is logged; 0: none */
    int64_t shutdown_timeout_us;  /* running transactions may finish for this long */
    int max_prepared;             /* statements a client may have; and per backend */
    int max_schemas;              /* that a shared backend may have been on */
    struct route_limits limits;   /* where the catalog says nothing; none is unset */
    uint8_t key[CRYPTO_KEY_SIZE]; /* the key file's */
};

/* A server connection past its login. Made and freed by the connector, used by a worker. */
struct proxy_connection {
    void *handle;       /* the connector's (a PGconn) */
    int fd;             /* the socket, non-blocking; still the handle's */
    SSL *ssl;           /* NULL, or the handle's */
    int server_version; /* 150020 */
    int32_t backend_pid;
    /* Of a guarded one: what it was armed with, and reeve.enter's OID. */
    uint8_t guard_key[CRYPTO_KEY_SIZE];
    uint32_t enter_function;
    size_t parameter_count; /* ParameterStatus as at login */
    struct {
        char name[64];
        char value[256];
    } parameters[32];
};

struct proxy_target {
    char conninfo[1024]; /* struct route_cluster.conninfo */
    char database[ROUTE_NAME_SIZE];
    struct route_login login;
    bool guarded; /* to be armed after its login */
    int64_t timeout_us;
};

/* Called on connector threads, several at once; they may block. */
struct proxy_connector {
    void *context;
    /* The server's own SQLSTATE, message, detail and hint are in err. */
    int (*connect)(void *context, const struct proxy_target *target, struct proxy_connection *ret,
                   struct error *err);
    /* Sends a CancelRequest for what the connection is running. */
    int (*cancel)(void *context, struct proxy_connection *connection, struct error *err);
    /* Logs in as target says and ends that session of the same role, if the server has it with that
     * client port (-1: a Unix socket): by now it may be another server that answers there. */
    int (*terminate)(void *context, const struct proxy_target *target, int32_t backend_pid,
                     int client_port, struct error *err);
    /* Closes socket and handle. Any thread; must not block for long. */
    void (*close)(void *context, struct proxy_connection *connection);
};

/* A tenant that the snapshot does not have, or not yet: asks the catalog for changes, once for all
 * who ask at the same time. `done` is called on any thread after the table was brought up to date,
 * or when that could not be done. NULL: a miss is final. */
struct proxy_resolver {
    void *context;
    void (*refresh)(void *context, void (*done)(void *argument), void *argument);
};

struct proxy;

int proxy_create(const struct proxy_config *config, struct route_table *routes,
                 const struct proxy_connector *connector, const struct proxy_resolver *resolver,
                 struct proxy **ret, struct error *err);
/* "epoll" or "io_uring": what the workers wait with. */
const char *proxy_engine_name(const struct proxy *proxy);
int proxy_start(struct proxy *proxy, struct error *err);
/* New settings and TLS certificates for what comes; clients stay. Workers, their engine and
 * listening sockets cannot be changed (ERROR_UNSUPPORTED names what differs, and the rest is
 * applied). */
int proxy_reload(struct proxy *proxy, const struct proxy_config *config, struct error *err);
/* No new clients; idle clients are told 57P01 and closed, running transactions finish or are ended
 * at the shutdown timeout. Returns at once. */
void proxy_shut_down(struct proxy *proxy);
/* No new clients; those that are there are served as before. From any thread. */
void proxy_stop_accepting(struct proxy *proxy);
/* Waits for the workers to end, then joins every thread. */
void proxy_wait(struct proxy *proxy);
void proxy_free(struct proxy *proxy); /* accepts NULL */

/* Counters for `reeve status`; a consistent enough sum over the workers. */
struct proxy_statistics {
    int64_t clients, clients_waiting, backends, backends_idle;
    int64_t transactions, queries, logins, logins_failed, bytes_in, bytes_out;
};
void proxy_get_statistics(struct proxy *proxy, struct proxy_statistics *ret);

/* A server connection, for `reeve ps`. */
struct proxy_backend {
    int32_t pid; /* of the server's process; 0 while it connects */
    int worker;
    int64_t cluster_id, placement_id; /* that it serves, or served last; 0: none */
    const char *state; /* connecting, idle, active, idle in transaction, kept, cancelling, closing,
                          ending */
    bool guarded, read_only;
    size_t prepared; /* statements */
    size_t schemas;  /* of how many tenants it has served, where each has its own */
    char database[ROUTE_NAME_SIZE], login_role[ROUTE_NAME_SIZE];
    char tenant[ROUTE_NAME_SIZE]; /* "": none */
    char service[ROUTE_NAME_SIZE];
};
/* Calls `found` on this thread for every backend of every worker. False: not all workers answered
 * in time. Not for worker threads, nor while the proxy is freed. */
bool proxy_list_backends(struct proxy *proxy, int64_t timeout_us,
                         void (*found)(void *owner, const struct proxy_backend *backend),
                         void *owner);

/* Ends the backend (its pid, cluster_id and worker say which) and its client's connection, or just
 * cancels what it runs. Returns at once; one that is gone by then is no matter. */
void proxy_kill_backend(struct proxy *proxy, const struct proxy_backend *backend, bool cancel);

#endif
