#include "cli/config.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

#include "auth/bearer.h"
#include "base/buffer.h"
#include "base/str.h"
#include "base/time.h"
#include "cli/cli.h"
#include "cli/config_listen.h"
#include "metrics/metrics.h"
#include "pg/conninfo.h"

enum { MAX_FILE_BYTES = 1 << 20 };

enum setting_kind {
    SETTING_LISTEN,  /* may be repeated */
    SETTING_ADDRESS, /* TCP, with its port, or "off" */
    SETTING_CONNINFO,
    SETTING_PATH,
    SETTING_NUMBER,
    SETTING_WORKERS,
    SETTING_DURATION,
    SETTING_BOOLEAN,
    SETTING_CHOICE,
    SETTING_CHECKED,
};

struct setting {
    const char *key;
    size_t offset;
    int64_t minimum, maximum;
    const char *const *choices; /* their index is the value */
    int (*check)(const char *value, struct error *err);
    const char *fallback; /* as it would stand in the file; NULL: nothing */
    const char *value;
    const char *help;
    enum setting_kind kind;
    bool required;
    bool restart; /* SIGHUP does not change it */
};

/* In the order of enum engine_kind, enum proxy_auth and enum log_level. */
static const char *const engine_choices[] = {"auto", "epoll", "io_uring", NULL};
static const char *const auth_choices[] = {"auto", "scram", "password", "oauth", NULL};
static const char *const level_choices[] = {"debug", "info", "warning", "error", NULL};

#define AT(member) offsetof(struct config, member)
#define SECONDS(n) ((int64_t)(n)*TIME_S)

static const struct setting settings[] = {
    {.key = "listen",
     .kind = SETTING_LISTEN,
     .offset = AT(listen),
     .fallback = "127.0.0.1:6432",
     .restart = true,
     .value = "HOST:PORT | [IPV6]:PORT | *:PORT | FOLDER[:PORT]",
     .help = "Where clients connect: an address and port, or a folder for the Unix socket "
             "`FOLDER/.s.PGSQL.PORT`. May be given up to 16 times."},
    {.key = "control",
     .kind = SETTING_CONNINFO,
     .offset = AT(control),
     .required = true,
     .restart = true,
     .value = "CONNINFO",
     .help = "How to reach the control database: libpq's `keyword=value` pairs or a URI. Keep its "
             "password in a `passfile`; where it stands here, the file must not be readable by "
             "others."},
    {.key = "key_file",
     .kind = SETTING_PATH,
     .offset = AT(key_file),
     .fallback = "key",
     .restart = true,
     .value = "FILE",
     .help =
         "The key that secrets in the catalog are sealed with and Reeve's own tokens are signed "
         "with. `reeve init` makes it. Back it up: without it the catalog's secrets are lost."},
    {.key = "workers",
     .kind = SETTING_WORKERS,
     .offset = AT(workers),
     .minimum = 1,
     .maximum = 64,
     .fallback = "auto",
     .restart = true,
     .value = "auto | 1 to 64",
     .help = "Worker threads of the proxy; `auto` is one a processor."},
    {.key = "engine",
     .kind = SETTING_CHOICE,
     .offset = AT(engine),
     .choices = engine_choices,
     .fallback = "auto",
     .restart = true,
     .value = "auto | epoll | io_uring",
     .help =
         "What worker threads wait with. `io_uring` costs fewer system calls; it needs Linux "
         "6.0, and a container that allows it. `auto`: `io_uring` where it works, else `epoll`; "
         "`reeve status` says which."},
    {.key = "tls_cert",
     .kind = SETTING_PATH,
     .offset = AT(tls_cert),
     .value = "FILE",
     .help = "Certificate chain (PEM) that clients are shown. Without it TLS is not offered."},
    {.key = "tls_key",
     .kind = SETTING_PATH,
     .offset = AT(tls_key),
     .value = "FILE",
     .help = "Its private key (PEM), not readable by others."},
    {.key = "tls_required",
     .kind = SETTING_BOOLEAN,
     .offset = AT(tls_required),
     .fallback = "off",
     .value = "on | off",
     .help = "Refuse TCP clients without TLS, but for those on this machine."},
    {.key = "auth",
     .kind = SETTING_CHOICE,
     .offset = AT(auth),
     .choices = auth_choices,
     .fallback = "auto",
     .value = "auto | scram | password | oauth",
     .help = "How clients prove who they are. `scram`: by password with SCRAM-SHA-256 alone, "
             "over TLS with channel binding (SCRAM-SHA-256-PLUS) as well. "
             "`password`: password or token in clear text, over TLS, a Unix socket or loopback "
             "alone. `oauth`: by token with OAUTHBEARER (clients of PostgreSQL 18), there too. "
             "`auto`: whichever fits the tenant and the connection."},
    {.key = "oauth_issuer",
     .kind = SETTING_CHECKED,
     .offset = AT(oauth_issuer),
     .check = bearer_check_issuer,
     .value = "https://HOST[:PORT][/PATH]",
     .help = "Where clients that log in with OAUTHBEARER get their tokens, as they name it in "
             "`oauth_issuer`; a URL below `/.well-known/` is sent as it is. With it the mechanism "
             "is offered over TLS, a Unix socket or loopback: behind SCRAM where `auth` is "
             "`scram`, and alone to clients that ask for it (`options=-creeve.auth=oauth`). Whose "
             "tokens are good is `reeve issuer add`'s to say."},
    {.key = "oauth_scope",
     .kind = SETTING_CHECKED,
     .offset = AT(oauth_scope),
     .check = bearer_check_scope,
     .fallback = "openid",
     .value = "SCOPE ...",
     .help = "The scopes that those clients ask for there."},
    {.key = "max_clients",
     .kind = SETTING_NUMBER,
     .offset = AT(max_clients),
     .minimum = 1,
     .maximum = 1000000,
     .fallback = "10000",
     .value = "1 to 1000000",
     .help = "Client connections at once, over all workers."},
    {.key = "login_timeout",
     .kind = SETTING_DURATION,
     .offset = AT(login_timeout_us),
     .minimum = SECONDS(1),
     .maximum = SECONDS(600),
     .fallback = "15s",
     .value = "DURATION",
     .help = "A client must be logged in within this time."},
    {.key = "queue_timeout",
     .kind = SETTING_DURATION,
     .offset = AT(queue_timeout_us),
     .minimum = SECONDS(1),
     .maximum = SECONDS(3600),
     .fallback = "30s",
     .value = "DURATION",
     .help = "How long a transaction waits for a server connection before it fails."},
    {.key = "connect_timeout",
     .kind = SETTING_DURATION,
     .offset = AT(connect_timeout_us),
     .minimum = SECONDS(1),
     .maximum = SECONDS(600),
     .fallback = "10s",
     .value = "DURATION",
     .help = "One login to a PostgreSQL server must be done within this time."},
    {.key = "idle_backend_timeout",
     .kind = SETTING_DURATION,
     .offset = AT(idle_backend_us),
     .minimum = SECONDS(1),
     .maximum = SECONDS(86400),
     .fallback = "10m",
     .value = "DURATION",
     .help = "A server connection that nobody used for this long is closed."},
    {.key = "backend_lifetime",
     .kind = SETTING_DURATION,
     .offset = AT(backend_lifetime_us),
     .minimum = 0,
     .maximum = SECONDS(31536000),
     .fallback = "1h",
     .value = "DURATION",
     .help = "A server connection that is older, or up to a tenth younger (by chance, so that not "
             "all are replaced at once), is replaced between two transactions. 0: never."},
    {.key = "shutdown_timeout",
     .kind = SETTING_DURATION,
     .offset = AT(shutdown_timeout_us),
     .minimum = 0,
     .maximum = SECONDS(3600),
     .fallback = "30s",
     .value = "DURATION",
     .help = "At SIGTERM running transactions may take this long to finish."},
    {.key = "max_prepared",
     .kind = SETTING_NUMBER,
     .offset = AT(max_prepared),
     .minimum = 1,
     .maximum = 100000,
     .fallback = "1000",
     .value = "1 to 100000",
     .help = "Prepared statements that a client may have, and that are kept on a server "
             "connection."},
    {.key = "max_schemas",
     .kind = SETTING_NUMBER,
     .offset = AT(max_schemas),
     .minimum = 1,
     .maximum = 100000,
     .fallback = "256",
     .value = "1 to 100000",
     .help = "Under the guard, a server connection that has served so many tenants' schemas, or "
             "up to a quarter fewer, is replaced: the server process keeps what it has read of "
             "each one's tables."},
    {.key = "max_tenant_clients",
     .kind = SETTING_NUMBER,
     .offset = AT(limits.values[ROUTE_LIMIT_CLIENTS]),
     .minimum = 0,
     .maximum = 1000000,
     .fallback = "0",
     .value = "0 to 1000000",
     .help =
         "Client connections at once of one tenant in one service; 0: no limit. This and the "
         "settings down to `idle_pinned_timeout` hold where `reeve limit set` says nothing else "
         "(there without `tenant_`)."},
    {.key = "max_tenant_transactions",
     .kind = SETTING_NUMBER,
     .offset = AT(limits.values[ROUTE_LIMIT_TRANSACTIONS]),
     .minimum = 0,
     .maximum = 1000000,
     .fallback = "0",
     .value = "0 to 1000000",
     .help = "Server connections that one tenant may use at once in one service; others of its "
             "transactions wait. 0: no limit."},
    {.key = "tenant_transaction_rate",
     .kind = SETTING_NUMBER,
     .offset = AT(limits.values[ROUTE_LIMIT_TRANSACTION_RATE]),
     .minimum = 0,
     .maximum = 1000000,
     .fallback = "0",
     .value = "0 to 1000000",
     .help = "Transactions a second of one tenant in one service; those of a second may come at "
             "once, others wait. 0: no limit."},
    {.key = "query_timeout",
     .kind = SETTING_DURATION,
     .offset = AT(limits.values[ROUTE_LIMIT_QUERY_US]),
     .minimum = 0,
     .maximum = SECONDS(31536000),
     .fallback = "0",
     .value = "DURATION",
     .help =
         "A server that has not answered a client's message within this time is interrupted and "
         "the "
         "client's connection ends, also when the client does not read the answer. 0: no limit."},
    {.key = "transaction_timeout",
     .kind = SETTING_DURATION,
     .offset = AT(limits.values[ROUTE_LIMIT_TRANSACTION_US]),
     .minimum = 0,
     .maximum = SECONDS(31536000),
     .fallback = "0",
     .value = "DURATION",
     .help = "The same for a whole transaction. 0: no limit."},
    {.key = "idle_transaction_timeout",
     .kind = SETTING_DURATION,
     .offset = AT(limits.values[ROUTE_LIMIT_IDLE_TRANSACTION_US]),
     .minimum = 0,
     .maximum = SECONDS(31536000),
     .fallback = "10m",
     .value = "DURATION",
     .help =
         "A client that leaves a transaction open, or a message or a pipeline without its end, for "
         "this long is disconnected. SQL cannot lift it. 0: no limit."},
    {.key = "idle_pinned_timeout",
     .kind = SETTING_DURATION,
     .offset = AT(limits.values[ROUTE_LIMIT_IDLE_PINNED_US]),
     .minimum = 0,
     .maximum = SECONDS(31536000),
     .fallback = "0",
     .value = "DURATION",
     .help =
         "A client that keeps a server connection without a transaction (for a temporary table, "
         "say) and sends nothing for this long is disconnected. 0: no limit."},
    {.key = "log_slow_transaction",
     .kind = SETTING_DURATION,
     .offset = AT(slow_transaction_us),
     .minimum = 0,
     .maximum = SECONDS(31536000),
     .fallback = "0",
     .value = "DURATION",
     .help = "A line for each transaction that had a server connection for as long or longer: "
             "tenant, service, placement, server process, seconds. Not what it said. 0: none."},
    {.key = "log_level",
     .kind = SETTING_CHOICE,
     .offset = AT(log_level),
     .choices = level_choices,
     .fallback = "info",
     .value = "debug | info | warning | error",
     .help = "What is written to standard error: one line an event."},
    {.key = "status_socket",
     .kind = SETTING_PATH,
     .offset = AT(status_socket),
     .fallback = "status.sock",
     .restart = true,
     .value = "FILE",
     .help = "Unix socket on which `reeve serve` tells `reeve status`, `reeve ps` and `reeve top` "
             "its figures."},
    {.key = "metrics_listen",
     .kind = SETTING_ADDRESS,
     .offset = AT(metrics_listen),
     .fallback = "off",
     .restart = true,
     .value = "HOST:PORT | [IPV6]:PORT | *:PORT | off",
     .help = "Where Prometheus finds `GET /metrics` ([metrics.md](metrics.md)): plain HTTP, for "
             "whoever reaches it, with names of tenants in it."},
    {.key = "metrics_tenants",
     .kind = SETTING_NUMBER,
     .offset = AT(metrics_tenants),
     .minimum = 0,
     .maximum = METRICS_TENANTS_MAX,
     .fallback = "100",
     .value = "0 to 10000",
     .help = "Tenants, each in a service, with metrics of their own: those with most backend time. "
             "The others are told as one."},
};

enum { SETTING_COUNT = array_size(settings) };

struct reader {
    struct arena *arena;
    struct config *config;
    const char *path;
    size_t line;
    size_t seen[SETTING_COUNT]; /* the line that set it; 0: not yet */
};

/* ---- values ---- */

static void *slot(struct config *config, const struct setting *setting)
{
    return (char *)config + setting->offset;
}

static int set_path(struct reader *reader, const struct setting *setting, const char *value)
{
    const char **target = slot(reader->config, setting);
    *target = value[0] == '/' ? arena_strdup(reader->arena, value)
                              : arena_printf(reader->arena, "%s/%s", reader->config->folder, value);
    return 0;
}

static int set_number(struct reader *reader, const struct setting *setting, const char *value,
                      struct error *err)
{
    if (!str_to_i64(value, setting->minimum, setting->maximum, slot(reader->config, setting)))
        return error_set(err, ERROR_CONFIG, "%s must be a number from %lld to %lld, not \"%s\"",
                         setting->key, (long long)setting->minimum, (long long)setting->maximum,
                         value);
    return 0;
}

static int set_workers(struct reader *reader, const struct setting *setting, const char *value,
                       struct error *err)
{
    int64_t *target = slot(reader->config, setting);
    if (strcmp(value, "auto") == 0) {
        *target = 0;
        return 0;
    }
    if (!str_to_i64(value, setting->minimum, setting->maximum, target))
        return error_set(err, ERROR_CONFIG,
                         "%s must be \"auto\" or a number from 1 to 64, not \"%s\"", setting->key,
                         value);
    return 0;
}

static int set_duration(struct reader *reader, const struct setting *setting, const char *value,
                        struct error *err)
{
    int64_t us;
    if (!str_to_duration_us(value, &us)) {
        int result = error_set(err, ERROR_CONFIG, "%s is no duration: \"%s\"", setting->key, value);
        error_hint(err, "write 500ms, 10s, 5m, 12h or 30d");
        return result;
    }
    if (us < setting->minimum || us > setting->maximum)
        return error_set(err, ERROR_CONFIG, "%s must be from %llds to %llds, not \"%s\"",
                         setting->key, (long long)(setting->minimum / TIME_S),
                         (long long)(setting->maximum / TIME_S), value);
    *(int64_t *)slot(reader->config, setting) = us;
    return 0;
}

static int set_boolean(struct reader *reader, const struct setting *setting, const char *value,
                       struct error *err)
{
    static const char *const words[] = {"off", "on", "no", "yes", "false", "true"};
    for (size_t i = 0; i < array_size(words); i++) {
        if (strcmp(value, words[i]) == 0) {
            *(bool *)slot(reader->config, setting) = i % 2 == 1;
            return 0;
        }
    }
    return error_set(err, ERROR_CONFIG, "%s must be \"on\" or \"off\", not \"%s\"", setting->key,
                     value);
}

static const char *name_in_list(void *context, size_t index)
{
    return ((const char *const *)context)[index];
}

static int set_choice(struct reader *reader, const struct setting *setting, const char *value,
                      struct error *err)
{
    for (size_t i = 0; setting->choices[i]; i++) {
        if (strcmp(value, setting->choices[i]) == 0) {
            *(int64_t *)slot(reader->config, setting) = (int64_t)i;
            return 0;
        }
    }
    int result = error_set(err, ERROR_CONFIG, "%s must be one of %s, not \"%s\"", setting->key,
                           setting->value, value);
    const char *nearest = cli_nearest(value, name_in_list, (void *)(uintptr_t)setting->choices);
    if (nearest)
        error_hint(err, "did you mean \"%s\"?", nearest);
    return result;
}

static int set_conninfo(struct reader *reader, const struct setting *setting, const char *value,
                        struct error *err)
{
    struct error reason = {0};
    if (pg_conninfo_check(value, &reason) < 0) {
        int result = error_set(err, ERROR_CONFIG, "%s is no connection string: %s", setting->key,
                               reason.message);
        error_hint(err,
                   "write for example: control = host=/run/postgresql dbname=reeve user=reeve");
        return result;
    }
    *(const char **)slot(reader->config, setting) = arena_strdup(reader->arena, value);
    return 0;
}

static int set_listen(struct reader *reader, const char *value, struct error *err)
{
    struct config *config = reader->config;
    if (config->listen_count == PROXY_MAX_LISTEN)
        return error_set(err, ERROR_CONFIG, "listen may be given %d times at most",
                         PROXY_MAX_LISTEN);
    struct config_listen *listen = &config->listen[config->listen_count];
    int result = config_parse_listen(value, reader->arena, config->folder, listen, err);
    if (result == 0)
        config->listen_count++;
    return result;
}

static int set_address(struct reader *reader, const struct setting *setting, const char *value,
                       struct error *err)
{
    struct config_listen *listen = slot(reader->config, setting);
    if (strcmp(value, "off") == 0)
        return 0;
    int result = config_parse_address(value, reader->arena, listen, err);
    if (result < 0)
        error_prefix(err, "%s", setting->key);
    return result;
}

static int set_checked(struct reader *reader, const struct setting *setting, const char *value,
                       struct error *err)
{
    struct error reason = {0};
    if (setting->check(value, &reason) < 0)
        return error_set(err, ERROR_CONFIG, "%s: %s", setting->key, reason.message);
    *(const char **)slot(reader->config, setting) = arena_strdup(reader->arena, value);
    return 0;
}

static int set_value(struct reader *reader, const struct setting *setting, const char *value,
                     struct error *err)
{
    switch (setting->kind) {
    case SETTING_LISTEN:
        return set_listen(reader, value, err);
    case SETTING_ADDRESS:
        return set_address(reader, setting, value, err);
    case SETTING_CONNINFO:
        return set_conninfo(reader, setting, value, err);
    case SETTING_PATH:
        return set_path(reader, setting, value);
    case SETTING_NUMBER:
        return set_number(reader, setting, value, err);
    case SETTING_WORKERS:
        return set_workers(reader, setting, value, err);
    case SETTING_DURATION:
        return set_duration(reader, setting, value, err);
    case SETTING_BOOLEAN:
        return set_boolean(reader, setting, value, err);
    case SETTING_CHOICE:
        return set_choice(reader, setting, value, err);
    case SETTING_CHECKED:
        return set_checked(reader, setting, value, err);
    }
    return error_set(err, ERROR_INTERNAL, "setting %s has no kind", setting->key);
}

/* ---- lines ---- */

static char *trim(char *text)
{
    while (*text == ' ' || *text == '\t')
        text++;
    size_t length = strlen(text);
    while (length > 0 && strchr(" \t\r", text[length - 1]))
        text[--length] = '\0';
    return text;
}

static const char *setting_name(void *context reeve_unused, size_t index)
{
    return index < SETTING_COUNT ? settings[index].key : NULL;
}

static int find_setting(const char *key, size_t *ret, struct error *err)
{
    for (size_t i = 0; i < SETTING_COUNT; i++) {
        if (strcmp(key, settings[i].key) == 0) {
            *ret = i;
            return 0;
        }
    }
    int result = error_set(err, ERROR_CONFIG, "there is no setting \"%s\"", key);
    const char *nearest = cli_nearest(key, setting_name, NULL);
    if (nearest)
        error_hint(err, "did you mean \"%s\"?", nearest);
    else
        error_hint(err, "\"reeve help --markdown config\" lists them");
    return result;
}

static int read_line(struct reader *reader, char *line, struct error *err)
{
    line = trim(line);
    if (!*line || *line == '#')
        return 0;
    char *equals = strchr(line, '=');
    if (!equals)
        return error_set(err, ERROR_CONFIG, "expected \"key = value\"");
    *equals = '\0';
    const char *key = trim(line);
    const char *value = trim(equals + 1);
    size_t index = 0;
    int result = find_setting(key, &index, err);
    if (result < 0)
        return result;
    const struct setting *setting = &settings[index];
    if (!*value)
        return error_set(err, ERROR_CONFIG, "%s has no value", key);
    if (reader->seen[index] && setting->kind != SETTING_LISTEN)
        return error_set(err, ERROR_CONFIG, "%s is set twice, first on line %zu", key,
                         reader->seen[index]);
    reader->seen[index] = reader->line;
    result = set_value(reader, setting, value, err);
    if (result < 0 && err && !err->hint[0] && strchr(value, '#'))
        error_hint(err, "a comment needs a line of its own");
    return result;
}

static int read_lines(struct reader *reader, char *text, struct error *err)
{
    while (text) {
        char *next = strchr(text, '\n');
        if (next)
            *next++ = '\0';
        reader->line++;
        int result = read_line(reader, text, err);
        if (result < 0) {
            error_prefix(err, "%s:%zu", reader->path, reader->line);
            return result;
        }
        text = next;
    }
    return 0;
}

static int set_fallbacks(struct reader *reader, struct error *err)
{
    for (size_t i = 0; i < SETTING_COUNT; i++) {
        if (reader->seen[i])
            continue;
        if (settings[i].required) {
            int result =
                error_set(err, ERROR_CONFIG, "%s: %s is not set", reader->path, settings[i].key);
            error_hint(err, "add a line: %s = %s", settings[i].key, settings[i].value);
            return result;
        }
        if (settings[i].fallback) {
            int result = set_value(reader, &settings[i], settings[i].fallback, err);
            if (result < 0)
                return result;
        }
    }
    return 0;
}

static int check_whole(const struct reader *reader, mode_t mode, struct error *err)
{
    const struct config *config = reader->config;
    if (!config->tls_cert != !config->tls_key)
        return error_set(err, ERROR_CONFIG, "%s: tls_cert and tls_key must be set together",
                         reader->path);
    if (config->tls_required && !config->tls_cert)
        return error_set(err, ERROR_CONFIG, "%s: tls_required needs tls_cert and tls_key",
                         reader->path);
    if (config->auth == PROXY_AUTH_OAUTH && !config->oauth_issuer)
        return error_set(err, ERROR_CONFIG, "%s: auth = oauth needs oauth_issuer", reader->path);
    if (config->status_socket && strlen(config->status_socket) > CONFIG_SOCKET_PATH_MAX) {
        int result = error_set(err, ERROR_CONFIG, "%s: the path of status_socket is too long: %s",
                               reader->path, config->status_socket);
        error_hint(err, "set status_socket to a path of at most %d bytes", CONFIG_SOCKET_PATH_MAX);
        return result;
    }
    if ((mode & 077) && pg_conninfo_value(reader->arena, config->control, "password")) {
        int result = error_set(err, ERROR_CONFIG, "%s holds a password and can be read by others",
                               reader->path);
        error_hint(err, "chmod 600 %s, or keep the password in a passfile", reader->path);
        return result;
    }
    return 0;
}

/* ---- the file ---- */

static int read_bytes(const char *path, struct buffer *bytes, mode_t *ret_mode, struct error *err)
{
    _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        int reason = errno;
        return error_set(err, ERROR_CONFIG, "cannot open the configuration file %s: %s", path,
                         strerrordesc_np(reason));
    }
    struct stat status;
    if (fstat(fd, &status) < 0 || !S_ISREG(status.st_mode))
        return error_set(err, ERROR_CONFIG, "the configuration file %s is not a regular file",
                         path);
    for (;;) {
        char *at = buffer_reserve(bytes, 4096);
        if (!at)
            return error_set(err, ERROR_CONFIG, "the configuration file %s has more than %d bytes",
                             path, MAX_FILE_BYTES);
        ssize_t got = read(fd, at, 4096);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return error_errno(err, errno, "cannot read the configuration file %s", path);
        if (got == 0)
            break;
        buffer_commit(bytes, (size_t)got);
    }
    *ret_mode = status.st_mode;
    return 0;
}

static bool has_control_character(const char *line, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        unsigned char c = (unsigned char)line[i];
        if ((c < 0x20 && c != '\t' && c != '\r') || c == 0x7F)
            return true;
    }
    return false;
}

static int check_bytes(const char *path, const struct buffer *bytes, struct error *err)
{
    const char *text = buffer_string(bytes), *end = text + bytes->length;
    for (size_t line = 1; text < end; line++) {
        const char *next = memchr(text, '\n', (size_t)(end - text));
        size_t length = (size_t)((next ? next : end) - text);
        if (has_control_character(text, length))
            return error_set(err, ERROR_CONFIG, "%s:%zu: there is a control character", path, line);
        if (!str_is_utf8(text, length))
            return error_set(err, ERROR_CONFIG, "%s:%zu: this is not UTF-8 text", path, line);
        text += length + 1;
    }
    return 0;
}

int config_read(const char *path, struct arena *arena, struct config *ret, struct error *err)
{
    _cleanup_buffer_ struct buffer bytes = BUFFER_INIT(MAX_FILE_BYTES);
    mode_t mode = 0;
    int result = read_bytes(path, &bytes, &mode, err);
    if (result < 0)
        return result;
    result = check_bytes(path, &bytes, err);
    if (result < 0)
        return result;
    char resolved[PATH_MAX];
    if (!realpath(path, resolved))
        return error_errno(err, errno, "cannot resolve the path %s", path);
    struct config config = {.path = arena_strdup(arena, resolved)};
    char *folder = arena_strdup(arena, resolved);
    *strrchr(folder, '/') = '\0';
    config.folder = folder;
    struct reader reader = {.arena = arena, .config = &config, .path = path};
    result = read_lines(&reader, arena_strdup(arena, buffer_string(&bytes)), err);
    if (result == 0)
        result = set_fallbacks(&reader, err);
    if (result == 0)
        result = check_whole(&reader, mode, err);
    if (result < 0)
        return result;
    *ret = config;
    return 0;
}

int config_find(const char *explicit_path, struct arena *arena, const char **ret_path,
                struct error *err)
{
    const char *environment = getenv("REEVE_CONFIG");
    if (explicit_path || (environment && *environment)) {
        *ret_path = arena_strdup(arena, explicit_path ? explicit_path : environment);
        return 0;
    }
    static const char *const places[] = {"./reeve.conf", "/etc/reeve/reeve.conf"};
    for (size_t i = 0; i < array_size(places); i++) {
        if (access(places[i], F_OK) == 0) {
            *ret_path = places[i];
            return 0;
        }
    }
    int result = error_set(err, ERROR_CONFIG, "there is no configuration file");
    error_detail(err, "looked for ./reeve.conf and /etc/reeve/reeve.conf");
    error_hint(err, "pass --config FILE, set REEVE_CONFIG, or run \"reeve dev\" to begin");
    return result;
}

/* ---- the reference ---- */

void config_write_reference(FILE *file)
{
    fputs(
        "# The configuration file\n\n"
        "Made by `reeve help --markdown config`; do not edit.\n\n"
        "`key = value` lines; a line that begins with `#` is a comment. Relative paths are "
        "relative\n"
        "to the file's folder. Durations are written `500ms`, `10s`, `5m`, `12h`, `30d`. Commands\n"
        "look for the file at `--config FILE`, `$REEVE_CONFIG`, `./reeve.conf` and\n"
        "`/etc/reeve/reeve.conf`, in this order. SIGHUP makes `reeve serve` read it again; "
        "settings\n"
        "marked \"at start\" need a restart. Anything wrong in it is one error that names the "
        "line,\n"
        "and a running server keeps what it has.\n\n"
        "| setting | value | default | changes | meaning |\n|---|---|---|---|---|\n",
        file);
    for (size_t i = 0; i < SETTING_COUNT; i++) {
        const struct setting *setting = &settings[i];
        fprintf(file, "| `%s` | `", setting->key);
        for (const char *at = setting->value; *at; at++) {
            if (*at == '|')
                fputc('\\', file);
            fputc(*at, file);
        }
        fprintf(file, "` | %s%s%s | %s | %s |\n", setting->fallback ? "`" : "",
                setting->fallback   ? setting->fallback
                : setting->required ? "(must be set)"
                                    : "(none)",
                setting->fallback ? "`" : "", setting->restart ? "at start" : "SIGHUP",
                setting->help);
    }
}
