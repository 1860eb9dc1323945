/*
 * route.h - what the data plane must know of tenants: an immutable, versioned snapshot.
 *
 * The catalog room writes it, the proxy reads it. A snapshot never changes; the next one shares
 * with it what did not change (tenants are kept in ROUTE_SHARDS shards, each replaced as a whole).
 * Everything is reference-counted with atomic counters: a reader takes the current snapshot with
 * route_table_acquire (a short lock), and may keep a tenant or a placement beyond it.
 */
#ifndef ROUTE_ROUTE_H
#define ROUTE_ROUTE_H

#include "base/compiler.h"

enum { ROUTE_SHARDS = 1024, ROUTE_NAME_SIZE = 64 };

enum route_tenant_status { ROUTE_TENANT_ACTIVE, ROUTE_TENANT_SUSPENDED, ROUTE_TENANT_GONE };
enum route_placement_state { ROUTE_PLACEMENT_READY, ROUTE_PLACEMENT_UNAVAILABLE };

/* How to log in to a server. The password is sealed (crypto_seal); only connector threads open it.
 */
struct route_login {
    char role[ROUTE_NAME_SIZE];
    char seal_context[ROUTE_NAME_SIZE]; /* what crypto_open wants as context */
    uint8_t sealed_password[128];
    size_t sealed_length;
};

/* What a shared session is entered with (enforcement `guard`). */
struct route_entry {
    char role[ROUTE_NAME_SIZE];
    char search_path[2 * ROUTE_NAME_SIZE + 16]; /* as the setting's text */
};

/* What a tenant may have, of a service: see docs/limits.md. The catalog's names are
 * route_limit_name's, and so are those of the settings with what holds where nothing is said. */
enum route_limit {
    ROUTE_LIMIT_CLIENTS,          /* logged in at once */
    ROUTE_LIMIT_TRANSACTIONS,     /* that have a server connection at once */
    ROUTE_LIMIT_BACKENDS,         /* server connections of its own; shared ones: in use at once */
    ROUTE_LIMIT_BACKENDS_KEPT,    /* of its own, that stay open */
    ROUTE_LIMIT_TRANSACTION_RATE, /* a second */
    ROUTE_LIMIT_BYTE_RATE,        /* a second, to and from its clients */
    ROUTE_LIMIT_RESULT_SIZE,      /* of the answer to one query, in bytes */
    ROUTE_LIMIT_QUEUE_US,         /* for a server connection to be had */
    ROUTE_LIMIT_QUERY_US,         /* for the server to answer */
    ROUTE_LIMIT_TRANSACTION_US,   /* from its first message to its end */
    ROUTE_LIMIT_IDLE_TRANSACTION_US, /* for the client, within a transaction */
    ROUTE_LIMIT_IDLE_PINNED_US,      /* the same, without one, but with a server connection */
    ROUTE_LIMIT_WEIGHT,              /* percent of what others get of shared server connections */
    ROUTE_LIMITS,
};
enum { ROUTE_LIMIT_NONE = 0, ROUTE_LIMIT_UNSET = -1 };

struct route_limits {
    int64_t values[ROUTE_LIMITS];
};
extern const struct route_limits route_limits_unset;
/* "max_clients" ...; NULL past the last. */
const char *route_limit_name(size_t limit);
/* What its value is: a number of something, microseconds or bytes. */
enum route_limit_kind {
    ROUTE_LIMIT_NUMBER,
    ROUTE_LIMIT_TIME,
    ROUTE_LIMIT_SIZE,
    ROUTE_LIMIT_PERCENT
};
enum route_limit_kind route_limit_kind(enum route_limit limit);

struct route_placement {
    int64_t id;
    int64_t tenant_id;
    int64_t service_id;
    int64_t cluster_id;
    int64_t epoch;
    enum route_placement_state state;
    char service[ROUTE_NAME_SIZE];
    char database[ROUTE_NAME_SIZE];
    struct route_login read_write;
    struct route_login read_only; /* role "" when there is none */
    bool guarded;       /* enforcement `guard`: the cluster's pool role logs in, for many tenants */
    bool shared_tables; /* other tenants' rows are in the same tables */
    bool own_database;  /* nobody else is in its database */
    struct route_entry read_write_entry, read_only_entry;
    struct route_limits limits; /* of the tenant in this service, or else of the tenant */
    int64_t held_until_unix_us; /* its new transactions wait until then; 0: they do not */
    int64_t hold;               /* the number of its last hold */
};

struct route_token { /* a live token of Reeve's own */
    char jti[40];
    int64_t expires_unix_s;
};

struct route_tenant {
    int64_t id;
    char slug[ROUTE_NAME_SIZE];
    enum route_tenant_status status;
    char *scram_verifier; /* NULL: no password */
    size_t token_count;
    struct route_token *tokens;
    size_t placement_count;
    struct route_placement *placements;
};

struct route_service {
    int64_t id;
    char name[ROUTE_NAME_SIZE];
    struct route_limits limits;
};

struct route_cluster {
    int64_t id;
    char name[ROUTE_NAME_SIZE];
    char conninfo[1024]; /* libpq keywords for host, port, sslmode, ...: no user, no password, no
                            dbname */
    int max_backends;
    struct route_login pool; /* of shared backends; role "" without the guard */
};

struct route_issuer { /* for auth_keyring_create */
    char *name, *issuer, *audience, *tenant_claim,
        *jwks; /* audience and tenant_claim may be NULL */
    int leeway_s;
};

/* What is not a tenant's: small, replaced as a whole. */
struct route_globals {
    int64_t version;
    size_t service_count, cluster_count, issuer_count;
    struct route_service *services;
    struct route_cluster *clusters;
    struct route_issuer *issuers;
};

struct route_snapshot;
struct route_table;

/* ---- making (catalog) ----
 * Builders hand malloc'd, zeroed structures over; the snapshot owns them and frees their members.
 */
struct route_tenant *route_tenant_new(void);
void route_tenant_ref(struct route_tenant *tenant);
void route_tenant_unref(struct route_tenant *tenant); /* accepts NULL */
struct route_globals *route_globals_new(void);
void route_globals_ref(struct route_globals *globals);
void route_globals_unref(struct route_globals *globals);

/* Starts empty, at version 0. */
struct route_table *route_table_new(void);
void route_table_free(struct route_table *table);

/* What changed: `tenants` replace those of the same id (status GONE removes); `globals` may be
 * NULL. Takes over a reference of each. Publishes a new snapshot and tells the listeners. */
void route_table_apply(struct route_table *table, int64_t version, struct route_tenant **tenants,
                       size_t count, struct route_globals *globals);
/* Replaces everything: tenants that are not among these are gone, and so are globals when NULL. */
void route_table_replace(struct route_table *table, int64_t version, struct route_tenant **tenants,
                         size_t count, struct route_globals *globals);
int64_t route_table_version(const struct route_table *table);

/* Called on the publishing thread after each publication, with the ids of tenants that changed
 * (ids NULL: any of them may have). At most 8 listeners, added before threads start. */
void route_table_listen(struct route_table *table,
                        void (*changed)(void *owner, const int64_t *ids, size_t count,
                                        bool globals_changed),
                        void *owner);

/* ---- reading (proxy) ---- */
struct route_snapshot *route_table_acquire(struct route_table *table);
void route_snapshot_release(struct route_snapshot *snapshot); /* accepts NULL */
int64_t route_snapshot_version(const struct route_snapshot *snapshot);
/* NULL when not there. The result lives as long as the snapshot, or longer with route_tenant_ref.
 */
const struct route_tenant *route_find_slug(const struct route_snapshot *snapshot, const char *slug);
const struct route_tenant *route_find_id(const struct route_snapshot *snapshot, int64_t tenant_id);
/* All of these may return NULL. */
const struct route_placement *route_find_placement(const struct route_tenant *tenant,
                                                   const char *service);
const struct route_globals *route_snapshot_globals(const struct route_snapshot *snapshot);
const struct route_cluster *route_find_cluster(const struct route_globals *globals, int64_t id);
const struct route_service *route_find_service(const struct route_globals *globals,
                                               const char *name);
/* Of all that is said the most particular: the tenant's in the service, the tenant's, the
 * service's, else `fallback`'s. */
struct route_limits route_limits_in_force(const struct route_globals *globals,
                                          const struct route_placement *placement,
                                          const struct route_limits *fallback);
bool route_token_live(const struct route_tenant *tenant, const char *jti, int64_t now_unix_s);

#endif
