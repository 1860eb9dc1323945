/*
 * config.h - the configuration file: `key = value` lines, # comments, one table of settings.
 *
 * Relative paths are relative to the file's folder. docs/reference/config.md is made from the
 * table.
 */
#ifndef CLI_CONFIG_H
#define CLI_CONFIG_H

#include "base/arena.h"
#include "base/error.h"
#include "base/log.h"
#include "proxy/proxy.h"

enum { CONFIG_DEFAULT_PORT = 6432, CONFIG_SOCKET_PATH_MAX = 107 };

struct config_listen {
    const char *host; /* NULL for a Unix socket; "*" for every address */
    int port;
    const char *folder; /* of a Unix socket, absolute: FOLDER/.s.PGSQL.PORT; NULL for TCP */
};

/* Strings live in the arena that config_read was given. */
struct config {
    const char *path;   /* of the file, absolute */
    const char *folder; /* it is in */
    struct config_listen listen[PROXY_MAX_LISTEN];
    size_t listen_count;
    const char *control;
    const char *key_file;
    int64_t workers; /* 0: one a processor */
    int64_t engine;  /* enum engine_kind */
    const char *tls_cert, *tls_key;
    bool tls_required;
    int64_t auth;                           /* enum proxy_auth */
    const char *oauth_issuer, *oauth_scope; /* fit for struct proxy_config; issuer NULL: none */
    int64_t max_clients;
    int64_t login_timeout_us, connect_timeout_us, idle_backend_us, backend_lifetime_us,
        shutdown_timeout_us;
    int64_t max_prepared;
    int64_t max_schemas;
    struct route_limits limits; /* where the catalog says nothing */
    int64_t slow_transaction_us;
    int64_t log_level; /* enum log_level */
    const char *status_socket;
    struct config_listen metrics_listen; /* host NULL: off */
    int64_t metrics_tenants;
};

/* ERROR_CONFIG "FILE:LINE: ..." with the nearest key or the values that would do. Everything that
 * can be said without other files is checked: values, ranges, what must come together. */
int config_read(const char *path, struct arena *arena, struct config *ret, struct error *err);

/* `explicit_path`, else $REEVE_CONFIG, ./reeve.conf, /etc/reeve/reeve.conf. ERROR_CONFIG says
 * where it was looked for. */
int config_find(const char *explicit_path, struct arena *arena, const char **ret_path,
                struct error *err);

/* The path of a listening Unix socket. */
const char *config_socket_path(struct arena *arena, const struct config_listen *listen);

/* docs/reference/config.md. */
void config_write_reference(FILE *file);

#endif
