/*
 * worker.h - one worker thread: its loop, its clients, pools and backends; and the proxy around it.
 *
 * Everything a worker owns is touched by its own thread alone. Other threads reach it with letters
 * (enum letter_kind). A client is handed, once it has logged in, to the worker of its placement's
 * pool.
 */
#ifndef PROXY_WORKER_H
#define PROXY_WORKER_H

#include <pthread.h>
#include <stdatomic.h>

#include "auth/token.h"
#include "base/failpoint.h"
#include "net/engine.h"
#include "proxy/budget.h"
#include "proxy/pairs.h"
#include "proxy/proxy.h"
#include "proxy/statement.h"
#include "proxy/survey.h"
#include "proxy/threads.h"

struct client;
struct backend;
struct pool;

enum {
    WORKERS_MAX = 64,
    SHARED_BACKENDS_A_WORKER = 32, /* of a shared pool, at least, where several have it */
    CLUSTERS_MAX = 1024,
    OUTPUT_HIGH_WATER = 256 * 1024, /* bytes waiting for a peer at which the other side is paused */
    CONNECTOR_THREADS = 16,
    CANCEL_THREADS = 4, /* their own: a server that does not answer them must not stop logins */
    AUTH_THREADS = 4,
};

enum letter_kind {
    LETTER_TASK,     /* struct task: something that this worker asked for is done */
    LETTER_CLIENT,   /* a client that logged in and belongs to a pool here */
    LETTER_CHANGED,  /* routes changed */
    LETTER_CANCEL,   /* a CancelRequest for a client here */
    LETTER_EVICT,    /* another worker's pool starves on a cluster: close an idle backend */
    LETTER_GRANT,    /* a budget granted a slot to a pool here */
    LETTER_SHUTDOWN, /* or: no new clients */
};

struct note {
    struct letter letter; /* first */
    enum letter_kind kind;
    void (*received)(struct worker *worker, struct note *note); /* owns the note */
};

/* Work for another thread that comes back as a note. */
struct job {
    struct note note; /* first; kind LETTER_TASK */
    struct task task;
    struct worker *worker;
    void (*run)(struct job *job);
    void (*done)(struct worker *worker, struct note *note);
};

struct counters {
    _Atomic int64_t clients, clients_waiting, backends, backends_idle, logins, logins_failed;
    _Atomic int64_t used[PROXY_USES], waits[PROXY_WAIT_BOUNDS + 1];
};

/* One writer a counter: no read-modify-write on the bus. */
static inline void count(_Atomic int64_t *counter, int64_t by)
{
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + by,
                          memory_order_relaxed);
}

/* A worker's idle backends of one cluster, least recently used first. */
struct worker_cluster {
    struct hash_node node;
    struct worker *worker;
    struct budget *budget;
    struct list idle;
    struct timer yield_timer; /* while somebody wants slots: who keeps idle backends for long */
    bool terminating;         /* a server process of it is being ended: see ending.h */
};

struct worker {
    struct proxy *proxy;
    int index;
    pthread_t thread;
    bool started;
    struct engine *engine;
    struct mailbox *mailbox;
    struct listener *listeners[PROXY_MAX_LISTEN];
    struct hash_table pools;      /* struct pool by placement and access, or by database */
    struct hash_table places;     /* struct place by placement and access */
    struct hash_table statements; /* struct statement_store by scope */
    struct hash_table tenants;    /* struct tenant_clients by tenant id */
    struct hash_table keys;       /* struct client by cancel key */
    struct hash_table clusters;   /* struct worker_cluster by id */
    struct hash_table past;       /* struct usage_past by placement */
    struct list clients;          /* every client of this worker */
    struct list logins;           /* clients that are logging in, oldest first */
    struct list idle;             /* idle backends of all clusters, least recently used first */
    struct list linked;           /* struct deadline of backends that a client has */
    struct list rated;            /* struct rate of places that wait for what it brings */
    struct list lacking;          /* pools that have fewer backends than they keep */
    struct list cancelling;       /* clients of cancel requests that are to be sent again */
    struct list ending;           /* backends whose server has not noticed that they are closed */
    struct list starving;         /* pools that have a claim */
    struct list unused, unused_places; /* that may be freed at the end of the turn */
    struct timer login_timer, idle_timer, retry_timer, shutdown_timer, deadline_timer, hold_timer,
        cancel_timer, rate_timer, keep_timer, ending_timer;
    struct pairs_store pairs;
    struct pairs *no_pairs;
    struct counters counters;
    int jobs; /* tasks under way on other threads */
    uint64_t next_serial, next_turn, next_backend;
    bool past_given_up, gives_up_ending;
    bool shutting_down, stopping;
    struct buffer scratch; /* for messages that are made here; empty between uses */
};

struct tenant_clients {
    struct hash_node node;
    int64_t tenant_id;
    struct list clients;
};

/* Keys of the issuers, replaced when they change; counted. */
struct keyring {
    _Atomic int references;
    struct auth_keyring *keys;
};

struct proxy {
    struct proxy_config config; /* as at the start, but for `tls`; without the key */
    pthread_mutex_t lock;       /* of config, keyring, oauth and budgets */
    struct route_table *routes;
    struct proxy_connector connector;
    struct proxy_resolver resolver;
    struct keyring *keyring;
    char *oauth; /* bearer_put_failure's text; NULL: OAUTHBEARER is not offered */
    uint8_t token_key[CRYPTO_KEY_SIZE], mock_key[CRYPTO_KEY_SIZE], issuer_key[CRYPTO_KEY_SIZE];
    struct threads *connectors, *authenticators, *cancellers;
    struct budget *budgets[CLUSTERS_MAX];
    size_t budget_count;
    _Atomic int client_count;
    _Atomic int64_t login_timeout_us, idle_backend_us, connect_timeout_us, shutdown_timeout_us,
        backend_lifetime_us, slow_transaction_us;
    _Atomic int max_clients, max_prepared, max_schemas;
    _Atomic int64_t limits[ROUTE_LIMITS]; /* where the catalog says nothing */
    _Atomic int auth;                     /* enum proxy_auth */
    atomic_bool tls_required;
    int worker_count;
    struct worker *workers[WORKERS_MAX];
    bool started, joined;
};

int worker_create(struct proxy *proxy, int index, struct worker **ret, struct error *err);
int worker_start(struct worker *worker, struct error *err);
void worker_free(struct worker *worker);
/* Thread-safe: `received` is called on the worker's thread. */
void worker_post(struct worker *worker, struct note *note, enum letter_kind kind,
                 void (*received)(struct worker *worker, struct note *note));
/* Runs `run` on one of the threads and then `done` on this worker. `key` as in struct task. */
void worker_run(struct worker *worker, struct threads *threads, int64_t key, struct job *job,
                void (*run)(struct job *job),
                void (*done)(struct worker *worker, struct note *note));
/* As worker_run, but `run` is called at once, on this worker: for what takes microseconds. */
void worker_run_here(struct worker *worker, struct job *job, void (*run)(struct job *job),
                     void (*done)(struct worker *worker, struct note *note));

/* The worker that has the pools of a placement. */
struct worker *proxy_worker_of(struct proxy *proxy, const struct route_placement *placement,
                               const struct route_cluster *cluster);
struct budget *proxy_budget(struct proxy *proxy, const struct route_cluster *cluster);
struct keyring *proxy_keyring(struct proxy *proxy); /* a reference of the caller's */
void keyring_unref(struct keyring *keyring);
char *proxy_oauth(struct proxy *proxy); /* a copy of struct proxy.oauth, or NULL; free with free */
/* Has every worker but this one close an idle backend of the cluster, if it has one. */
void proxy_ask_eviction(struct worker *worker, struct budget *budget);
SSL_CTX *proxy_tls(struct proxy *proxy); /* a reference of the caller's, or NULL */

struct worker_cluster *worker_cluster_of(struct worker *worker, struct budget *budget);
/* If somebody wants slots of the cluster, looks for backends that were kept long enough, from time
 * to time. */
void worker_cluster_look_later(struct worker_cluster *cluster);
/* Gives a slot of the claim's pool back and wakes who got it. */
void worker_release_slot(struct budget *budget, struct budget_claim *claim);
/* A pool of its was granted a slot. Any thread. */
void worker_tell_granted(struct worker *worker);
/* On the publishing thread: ids NULL or `all` mean that anything may have changed. */
void worker_routes_changed(struct worker *worker, const int64_t *ids, size_t count_, bool all);
/* Takes the note over; begins to end: see proxy_shut_down. */
void worker_shut_down(struct worker *worker, struct note *note);
/* Its listeners are closed, and that is all: their sockets are another process's too. */
void worker_stop_accepting(struct worker *worker, struct note *note);
/* Ends the loop when a shutdown was asked for and nothing is left. */
void worker_check_stopped(struct worker *worker);

#endif
