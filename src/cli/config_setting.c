#include "cli/config_setting.h"

#include "auth/bearer.h"
#include "base/time.h"
#include "metrics/metrics.h"

/* In the order of enum engine_kind, enum proxy_auth and enum log_level. */
static const char *const engine_choices[] = {"auto", "epoll", "io_uring", NULL};
static const char *const auth_choices[] = {"auto", "scram", "password", "oauth", NULL};
static const char *const level_choices[] = {"debug", "info", "warning", "error", NULL};

#define AT(member) offsetof(struct config, member)
#define SECONDS(n) ((int64_t)(n)*TIME_S)

const struct setting config_settings[] = {
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
    {.key = "max_tenant_backends",
     .kind = SETTING_NUMBER,
     .offset = AT(limits.values[ROUTE_LIMIT_BACKENDS]),
     .minimum = 0,
     .maximum = 1000000,
     .fallback = "0",
     .value = "0 to 1000000",
     .help = "Server connections that one tenant may have in one service, idle ones too; where it "
             "shares them with others, that it may use at once. 0: no limit."},
    {.key = "min_tenant_backends",
     .kind = SETTING_NUMBER,
     .offset = AT(limits.values[ROUTE_LIMIT_BACKENDS_KEPT]),
     .minimum = 0,
     .maximum = 1000000,
     .fallback = "0",
     .value = "0 to 1000000",
     .help = "Server connections that are kept open for one tenant in one service from its first "
             "client on, where it has some of its own. 0: none."},
    {.key = "tenant_transaction_rate",
     .kind = SETTING_NUMBER,
     .offset = AT(limits.values[ROUTE_LIMIT_TRANSACTION_RATE]),
     .minimum = 0,
     .maximum = 1000000,
     .fallback = "0",
     .value = "0 to 1000000",
     .help = "Transactions a second of one tenant in one service; those of a second may come at "
             "once, others wait. 0: no limit."},
    {.key = "tenant_byte_rate",
     .kind = SETTING_SIZE,
     .offset = AT(limits.values[ROUTE_LIMIT_BYTE_RATE]),
     .minimum = 0,
     .maximum = 1LL << 50,
     .fallback = "0",
     .value = "SIZE",
     .help = "Bytes a second of one tenant in one service, to and from its clients; whoever has "
             "moved more waits with the next transaction. 0: no limit."},
    {.key = "max_result_size",
     .kind = SETTING_SIZE,
     .offset = AT(limits.values[ROUTE_LIMIT_RESULT_SIZE]),
     .minimum = 0,
     .maximum = 1LL << 50,
     .fallback = "0",
     .value = "SIZE",
     .help = "A client whose query is answered with more bytes than this is disconnected, and the "
             "server is interrupted. 0: no limit."},
    {.key = "queue_timeout",
     .kind = SETTING_DURATION,
     .offset = AT(limits.values[ROUTE_LIMIT_QUEUE_US]),
     .minimum = SECONDS(1),
     .maximum = SECONDS(3600),
     .fallback = "30s",
     .value = "DURATION",
     .help = "How long a transaction waits for a server connection before it fails."},
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

_Static_assert(array_size(config_settings) <= CONFIG_SETTINGS_MAX, "a line is kept of each");
const size_t config_setting_count = array_size(config_settings);

/* ---- the reference ---- */

void config_write_reference(FILE *file)
{
    fputs("# The configuration file\n\n"
          "Made by `reeve help --markdown config`; do not edit.\n\n"
          "`key = value` lines; a line that begins with `#` is a comment. Relative paths are "
          "relative\n"
          "to the file's folder. Durations are written `500ms`, `10s`, `5m`, `12h`, `30d`, sizes\n"
          "`64kB`, `10MB`, `1GB`. Commands look for the file at `--config FILE`, `$REEVE_CONFIG`,\n"
          "`./reeve.conf` and `/etc/reeve/reeve.conf`, in this order. SIGHUP makes `reeve serve` "
          "read it\n"
          "again; settings marked \"at start\" need a restart. Anything wrong in it is one error "
          "that names\n"
          "the line, and a running server keeps what it has.\n\n"
          "| setting | value | default | changes | meaning |\n|---|---|---|---|---|\n",
          file);
    for (size_t i = 0; i < config_setting_count; i++) {
        const struct setting *setting = &config_settings[i];
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
