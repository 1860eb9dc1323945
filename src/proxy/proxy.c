/*
 * proxy.c - the data plane as a whole: its threads, and what its workers share.
 *
 * What is shared: the settings (atomics, or under `lock`), the keys of the issuers (counted), the
 * budgets (one a cluster, each with a lock of its own; made once and kept). Everything else belongs
 * to one worker.
 */
#include "proxy/proxy.h"

#include "auth/bearer.h"
#include "base/log.h"
#include "proxy/backend.h"

/* ---- settings ---- */

static void apply_settings(struct proxy *proxy, const struct proxy_config *config)
{
    atomic_store(&proxy->login_timeout_us, config->login_timeout_us);
    atomic_store(&proxy->idle_backend_us, config->idle_backend_us);
    atomic_store(&proxy->backend_lifetime_us, config->backend_lifetime_us);
    atomic_store(&proxy->slow_transaction_us, config->slow_transaction_us);
    atomic_store(&proxy->connect_timeout_us, config->connect_timeout_us);
    atomic_store(&proxy->shutdown_timeout_us, config->shutdown_timeout_us);
    atomic_store(&proxy->max_clients, config->max_clients);
    atomic_store(&proxy->max_prepared, config->max_prepared);
    atomic_store(&proxy->max_schemas, config->max_schemas);
    for (size_t i = 0; i < ROUTE_LIMITS; i++)
        atomic_store(&proxy->limits[i], config->limits.values[i]);
    atomic_store(&proxy->auth, config->auth);
    atomic_store(&proxy->tls_required, config->tls_required);
}

SSL_CTX *proxy_tls(struct proxy *proxy)
{
    pthread_mutex_lock(&proxy->lock);
    SSL_CTX *tls = proxy->config.tls;
    if (tls)
        SSL_CTX_up_ref(tls);
    pthread_mutex_unlock(&proxy->lock);
    return tls;
}

static void set_tls(struct proxy *proxy, SSL_CTX *tls)
{
    if (tls)
        SSL_CTX_up_ref(tls);
    pthread_mutex_lock(&proxy->lock);
    SSL_CTX *old = proxy->config.tls;
    proxy->config.tls = tls;
    pthread_mutex_unlock(&proxy->lock);
    SSL_CTX_free(old);
}

char *proxy_oauth(struct proxy *proxy)
{
    pthread_mutex_lock(&proxy->lock);
    char *found = proxy->oauth ? xstrdup(proxy->oauth) : NULL;
    pthread_mutex_unlock(&proxy->lock);
    return found;
}

static void set_oauth(struct proxy *proxy, const struct proxy_config *config)
{
    _cleanup_buffer_ struct buffer text = BUFFER_INIT(BEARER_MAX_FAILURE);
    if (config->oauth_issuer)
        bearer_put_failure(&text, config->oauth_issuer, config->oauth_scope);
    pthread_mutex_lock(&proxy->lock);
    char *old = proxy->oauth;
    proxy->oauth = config->oauth_issuer ? buffer_take(&text) : NULL;
    pthread_mutex_unlock(&proxy->lock);
    free(old);
}

/* ---- keys of the issuers ---- */

static struct keyring *keyring_new(struct auth_keyring *keys)
{
    struct keyring *keyring = xcalloc(1, sizeof(*keyring));
    atomic_init(&keyring->references, 1);
    keyring->keys = keys;
    return keyring;
}

void keyring_unref(struct keyring *keyring)
{
    if (!keyring || atomic_fetch_sub(&keyring->references, 1) > 1)
        return;
    auth_keyring_free(keyring->keys);
    free(keyring);
}

struct keyring *proxy_keyring(struct proxy *proxy)
{
    pthread_mutex_lock(&proxy->lock);
    struct keyring *keyring = proxy->keyring;
    atomic_fetch_add(&keyring->references, 1);
    pthread_mutex_unlock(&proxy->lock);
    return keyring;
}

/* The set of keys unsealed: wipe and free it with free_jwks. NULL when it cannot be used. */
static char *open_jwks(const struct proxy *proxy, const struct auth_issuer *issuer)
{
    char *jwks = NULL;
    struct auth_keyring *tried = NULL;
    struct error reason = {0};
    struct auth_issuer one = *issuer;
    int result = auth_jwks_open(proxy->issuer_key, issuer->name, issuer->jwks, &jwks, &reason);
    one.jwks = jwks;
    if (result == 0)
        result = auth_keyring_create(&one, 1, NULL, &tried, &reason);
    auth_keyring_free(tried);
    if (result == 0)
        return jwks;
    log_write_error(LOG_ERROR, &reason, "the keys of an issuer cannot be used");
    free(jwks);
    return NULL;
}

static void free_jwks(const char *jwks)
{
    crypto_wipe((char *)(uintptr_t)jwks, strlen(jwks));
    free((char *)(uintptr_t)jwks);
}

/* Issuers whose keys cannot be read are left out: their tokens are refused, all others work. */
static int make_keys(const struct proxy *proxy, const struct route_globals *globals,
                     struct auth_keyring **ret, struct error *err)
{
    size_t issuer_count = globals ? globals->issuer_count : 0;
    struct auth_issuer *issuers = xcalloc(issuer_count + 1, sizeof(*issuers));
    size_t count_ = 0;
    for (size_t i = 0; i < issuer_count; i++) {
        const struct route_issuer *from = &globals->issuers[i];
        struct auth_issuer one = {.name = from->name,
                                  .issuer = from->issuer,
                                  .audience = from->audience,
                                  .tenant_claim = from->tenant_claim,
                                  .jwks = from->jwks,
                                  .leeway_s = from->leeway_s};
        one.jwks = open_jwks(proxy, &one);
        if (one.jwks)
            issuers[count_++] = one;
    }
    int result = auth_keyring_create(issuers, count_, proxy->token_key, ret, err);
    for (size_t i = 0; i < count_; i++)
        free_jwks(issuers[i].jwks);
    free(issuers);
    return result;
}

static int renew_keyring(struct proxy *proxy, const struct route_globals *globals,
                         struct error *err)
{
    struct auth_keyring *keys = NULL;
    int result = make_keys(proxy, globals, &keys, err);
    if (result < 0)
        return result;
    struct keyring *keyring = keyring_new(keys);
    pthread_mutex_lock(&proxy->lock);
    struct keyring *old = proxy->keyring;
    proxy->keyring = keyring;
    pthread_mutex_unlock(&proxy->lock);
    keyring_unref(old);
    return 0;
}

/* ---- budgets ---- */

static struct budget *find_budget(const struct proxy *proxy, int64_t cluster_id)
{
    for (size_t i = 0; i < proxy->budget_count; i++) {
        if (proxy->budgets[i]->cluster_id == cluster_id)
            return proxy->budgets[i];
    }
    return NULL;
}

struct budget *proxy_budget(struct proxy *proxy, const struct route_cluster *cluster)
{
    pthread_mutex_lock(&proxy->lock);
    struct budget *budget = find_budget(proxy, cluster->id);
    if (!budget && proxy->budget_count < CLUSTERS_MAX) {
        budget = xcalloc(1, sizeof(*budget));
        budget_init(budget, cluster->id, cluster->max_backends);
        proxy->budgets[proxy->budget_count++] = budget;
    }
    pthread_mutex_unlock(&proxy->lock);
    return budget;
}

struct eviction_note {
    struct note note;
    struct budget *budget;
};

static void eviction_received(struct worker *worker, struct note *note);

static void ask_eviction(struct proxy *proxy, const struct worker *but, struct budget *budget)
{
    for (int i = 0; i < proxy->worker_count; i++) {
        struct worker *worker = proxy->workers[i];
        if (worker == but ||
            atomic_load_explicit(&worker->counters.backends_idle, memory_order_relaxed) == 0)
            continue;
        struct eviction_note *eviction = xcalloc(1, sizeof(*eviction));
        eviction->budget = budget;
        atomic_fetch_add(&budget->evictions_asked, 1);
        worker_post(worker, &eviction->note, LETTER_EVICT, eviction_received);
    }
}

/* Closes an idle backend for each claim that waits, and for each slot that there are too many of.
 */
static bool evict_here(struct worker *worker, struct budget *budget)
{
    struct worker_cluster *cluster = worker_cluster_of(worker, budget);
    bool found = false;
    for (int left = budget_wanted(budget); left > 0; left--) {
        struct backend *victim = pool_find_spare(cluster);
        if (!victim && budget_is_over(budget))
            victim = list_first(&cluster->idle, struct backend, cluster_lru);
        if (!victim)
            break;
        backend_evict(victim);
        found = true;
    }
    worker_cluster_look_later(cluster);
    return found;
}

static void eviction_received(struct worker *worker, struct note *note)
{
    struct eviction_note *eviction = container_of(note, struct eviction_note, note);
    struct budget *budget = eviction->budget;
    free(eviction);
    if (evict_here(worker, budget))
        atomic_store(&budget->evictions_found, true);
    if (atomic_fetch_sub(&budget->evictions_asked, 1) > 1)
        return;
    /* Who came to wait during this round did not ask. */
    if (atomic_exchange(&budget->evictions_found, false) && budget_wanted(budget) > 0)
        ask_eviction(worker->proxy, NULL, budget);
}

void proxy_ask_eviction(struct worker *worker, struct budget *budget)
{
    /* One round of questions at a time; a backend that becomes idle meanwhile looks for itself. */
    if (atomic_load(&budget->evictions_asked) == 0)
        ask_eviction(worker->proxy, worker, budget);
}

static void renew_budgets(struct proxy *proxy, const struct route_globals *globals)
{
    pthread_mutex_lock(&proxy->lock);
    for (size_t i = 0; i < globals->cluster_count; i++) {
        struct budget *budget = find_budget(proxy, globals->clusters[i].id);
        if (!budget)
            continue;
        budget_set_maximum(budget, globals->clusters[i].max_backends);
        struct worker *woken;
        while ((woken = budget_grant(budget)) != NULL)
            worker_tell_granted(woken);
        if (budget_wanted(budget) > 0)
            ask_eviction(proxy, NULL, budget);
    }
    pthread_mutex_unlock(&proxy->lock);
}

/* ---- routes ---- */

/* On the publishing thread. */
static void routes_changed(void *owner, const int64_t *ids, size_t count_, bool globals_changed)
{
    struct proxy *proxy = owner;
    struct error err = {0};
    if (globals_changed) {
        struct route_snapshot *snapshot = route_table_acquire(proxy->routes);
        const struct route_globals *globals = route_snapshot_globals(snapshot);
        if (globals) {
            renew_budgets(proxy, globals);
            if (renew_keyring(proxy, globals, &err) < 0)
                log_write_error(LOG_ERROR, &err, "the issuers' keys were not renewed");
        }
        route_snapshot_release(snapshot);
    }
    for (int i = 0; i < proxy->worker_count; i++)
        worker_routes_changed(proxy->workers[i], ids, count_, globals_changed);
}

/* A shared pool is one worker's, or a few workers' where it may have many backends: where workers
 * have few each, they pass them to and fro, and each time costs a login. */
struct worker *proxy_worker_of(struct proxy *proxy, const struct route_placement *placement,
                               const struct route_cluster *cluster)
{
    uint64_t count_ = (uint64_t)proxy->worker_count;
    uint64_t own = hash_u64((uint64_t)placement->id);
    if (!placement->guarded || !cluster)
        return proxy->workers[own % count_];
    uint64_t sharing = (uint64_t)cluster->max_backends / SHARED_BACKENDS_A_WORKER;
    sharing = sharing < 1 ? 1 : sharing > count_ ? count_ : sharing;
    uint64_t first = hash_u64(hash_string(placement->database) ^ (uint64_t)cluster->id);
    return proxy->workers[(first + own % sharing) % count_];
}

/* ---- life ---- */

/* Once for all workers. */
static int choose_engine(struct proxy *proxy, struct error *err)
{
    struct error reason = {0};
    int result = engine_choose(proxy->config.engine, &proxy->config.engine, &reason, err);
    if (result < 0)
        error_hint(err, "set engine = auto, or epoll");
    else if (reason.code != 0)
        log_info("engine epoll: %s", reason.message);
    return result;
}

const char *proxy_engine_name(const struct proxy *proxy)
{
    return engine_kind_name(proxy->config.engine);
}

static int make_workers(struct proxy *proxy, struct error *err)
{
    for (int i = 0; i < proxy->config.workers; i++) {
        int result = worker_create(proxy, i, &proxy->workers[i], err);
        if (result < 0)
            return result;
        proxy->worker_count++;
    }
    return 0;
}

static void free_workers(struct proxy *proxy)
{
    for (int i = 0; i < proxy->worker_count; i++)
        worker_free(proxy->workers[i]);
    proxy->worker_count = 0;
}

/* All on one engine: there may be locked memory for a few rings, and not for so many. */
static int make_workers_of_one_kind(struct proxy *proxy, enum engine_kind wanted, struct error *err)
{
    struct error reason;
    if (wanted == ENGINE_AUTO && proxy->config.engine == ENGINE_IO_URING) {
        if (make_workers(proxy, &reason) == 0)
            return 0;
        log_info("engine epoll: %s", reason.message);
        free_workers(proxy);
        proxy->config.engine = ENGINE_EPOLL;
    }
    return make_workers(proxy, err);
}

static int renew_from_routes(struct proxy *proxy, struct error *err)
{
    struct route_snapshot *snapshot = route_table_acquire(proxy->routes);
    int result = renew_keyring(proxy, route_snapshot_globals(snapshot), err);
    route_snapshot_release(snapshot);
    return result;
}

int proxy_create(const struct proxy_config *config, struct route_table *routes,
                 const struct proxy_connector *connector, const struct proxy_resolver *resolver,
                 struct proxy **ret, struct error *err)
{
    if (config->workers < 1 || config->workers > WORKERS_MAX)
        return error_set(err, ERROR_USAGE, "there may be 1 to %d workers", (int)WORKERS_MAX);
    struct proxy *proxy = xcalloc(1, sizeof(*proxy));
    pthread_mutex_init(&proxy->lock, NULL);
    proxy->config = *config;
    if (proxy->config.tls)
        SSL_CTX_up_ref(proxy->config.tls);
    proxy->config.oauth_issuer = proxy->config.oauth_scope = NULL; /* the caller's */
    apply_settings(proxy, config);
    set_oauth(proxy, config);
    proxy->routes = routes;
    proxy->connector = *connector;
    if (resolver)
        proxy->resolver = *resolver;
    auth_derive_key(config->key, AUTH_TOKEN_KEY_LABEL, proxy->token_key);
    auth_derive_key(config->key, AUTH_MOCK_KEY_LABEL, proxy->mock_key);
    auth_derive_key(config->key, AUTH_ISSUER_KEY_LABEL, proxy->issuer_key);
    crypto_wipe(proxy->config.key, sizeof(proxy->config.key));
    proxy->connectors = threads_new("connector", CONNECTOR_THREADS);
    proxy->cancellers = threads_new("cancel", CANCEL_THREADS);
    proxy->authenticators = threads_new("auth", AUTH_THREADS);
    int result = choose_engine(proxy, err);
    if (result == 0)
        result = renew_from_routes(proxy, err);
    if (result == 0)
        result = make_workers_of_one_kind(proxy, config->engine, err);
    if (result < 0) {
        proxy_free(proxy);
        return result;
    }
    route_table_listen(routes, routes_changed, proxy);
    *ret = proxy;
    return 0;
}

int proxy_start(struct proxy *proxy, struct error *err)
{
    proxy->started = true;
    for (int i = 0; i < proxy->worker_count; i++) {
        int result = worker_start(proxy->workers[i], err);
        if (result < 0) {
            proxy_shut_down(proxy);
            proxy_wait(proxy);
            return result;
        }
    }
    return 0;
}

int proxy_reload(struct proxy *proxy, const struct proxy_config *config, struct error *err)
{
    apply_settings(proxy, config);
    set_tls(proxy, config->tls);
    set_oauth(proxy, config);
    for (int i = 0; i < proxy->worker_count; i++)
        worker_routes_changed(proxy->workers[i], NULL, 0, true); /* limits are in what they keep */
    const struct proxy_config *old = &proxy->config;
    bool same_sockets = config->listen_count == old->listen_count &&
                        memcmp(config->listen_fds, old->listen_fds,
                               (size_t)old->listen_count * sizeof(old->listen_fds[0])) == 0;
    if (config->workers != old->workers || !same_sockets)
        return error_set(err, ERROR_UNSUPPORTED,
                         "workers and listening sockets stay as they are until Reeve is started "
                         "anew");
    return 0;
}

static void tell_workers(struct proxy *proxy,
                         void (*received)(struct worker *worker, struct note *note))
{
    for (int i = 0; i < proxy->worker_count; i++) {
        if (proxy->workers[i]->started)
            worker_post(proxy->workers[i], xcalloc(1, sizeof(struct note)), LETTER_SHUTDOWN,
                        received);
    }
}

void proxy_stop_accepting(struct proxy *proxy)
{
    tell_workers(proxy, worker_stop_accepting);
}

void proxy_shut_down(struct proxy *proxy)
{
    tell_workers(proxy, worker_shut_down);
}

void proxy_wait(struct proxy *proxy)
{
    if (proxy->joined)
        return;
    proxy->joined = true;
    for (int i = 0; i < proxy->worker_count; i++) {
        if (proxy->workers[i]->started)
            pthread_join(proxy->workers[i]->thread, NULL);
    }
    threads_free(take_pointer(proxy->authenticators));
    threads_free(take_pointer(proxy->connectors));
    threads_free(take_pointer(proxy->cancellers));
}

void proxy_free(struct proxy *proxy)
{
    if (!proxy)
        return;
    threads_free(proxy->authenticators);
    threads_free(proxy->connectors);
    threads_free(proxy->cancellers);
    free_workers(proxy);
    for (size_t i = 0; i < proxy->budget_count; i++) {
        budget_destroy(proxy->budgets[i]);
        free(proxy->budgets[i]);
    }
    keyring_unref(proxy->keyring);
    free(proxy->oauth);
    SSL_CTX_free(proxy->config.tls);
    crypto_wipe(proxy->token_key, sizeof(proxy->token_key));
    crypto_wipe(proxy->mock_key, sizeof(proxy->mock_key));
    crypto_wipe(proxy->issuer_key, sizeof(proxy->issuer_key));
    pthread_mutex_destroy(&proxy->lock);
    free(proxy);
}

void proxy_get_statistics(struct proxy *proxy, struct proxy_statistics *ret)
{
    *ret = (struct proxy_statistics){0};
    for (int i = 0; i < proxy->worker_count; i++) {
        const struct counters *counters = &proxy->workers[i]->counters;
        ret->clients += atomic_load(&counters->clients);
        ret->clients_waiting += atomic_load(&counters->clients_waiting);
        ret->backends += atomic_load(&counters->backends);
        ret->backends_idle += atomic_load(&counters->backends_idle);
        ret->transactions += atomic_load(&counters->used[PROXY_USE_TRANSACTIONS]);
        ret->queries += atomic_load(&counters->used[PROXY_USE_QUERIES]);
        ret->logins += atomic_load(&counters->logins);
        ret->logins_failed += atomic_load(&counters->logins_failed);
        ret->bytes_in += atomic_load(&counters->used[PROXY_USE_BYTES_IN]);
        ret->bytes_out += atomic_load(&counters->used[PROXY_USE_BYTES_OUT]);
    }
}
