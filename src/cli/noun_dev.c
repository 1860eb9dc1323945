#include "cli/nouns.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/crypto.h"
#include "base/log.h"
#include "base/str.h"
#include "base/time.h"
#include "catalog/cluster.h"
#include "cli/connector.h"
#include "cli/context.h"
#include "cli/dev_folder.h"
#include "cli/embedded.h"
#include "cli/server.h"
#include "pg/connection.h"
#include "provision/provision.h"
#include "sql/statements.h"

#define CONTROL_DATABASE "reeve"
#define CLUSTER_NAME "local"

static const struct cli_parameter options[] = {
    {.name = "dir",
     .value = "DIR",
     .kind = CLI_FOLDER,
     .fallback = "./reeve-dev",
     .help = "everything is in here; made when it is not there"},
    {.name = "port",
     .value = "N",
     .kind = CLI_NUMBER,
     .minimum = 0,
     .maximum = 65535,
     .fallback = "as the last time, else 6432",
     .help = "port on 127.0.0.1 that clients connect to; 0 takes a free one"},
    {.name = "pg-bindir",
     .value = "DIR",
     .kind = CLI_FOLDER,
     .fallback = "$REEVE_PG_BINDIR, else looked for",
     .help = "PostgreSQL's server programs (initdb, postgres)"},
    {.name = "detach", .kind = CLI_FLAG, .help = "return once it is ready; it runs on"},
    {.name = "stop", .kind = CLI_FLAG, .help = "stop the one that runs in DIR"},
    {0},
};

static const char *const examples[] = {
    "reeve dev", "reeve dev --dir /tmp/try --port 7000 --detach",
    "reeve --help            # in another shell: export REEVE_CONFIG=/tmp/try/reeve.conf",
    "reeve dev --dir /tmp/try --stop", NULL};

static int run(struct cli *cli, struct error *err);

static const struct cli_command commands[] = {
    {.summary = "Run Reeve with a PostgreSQL of its own in a folder",
     .description =
         "For one machine: makes DIR with a private PostgreSQL (no TCP, nothing shared with other "
         "servers here), the control database, a key, and DIR/reeve.conf for the other commands; "
         "then serves clients on 127.0.0.1 and on a Unix socket in DIR until it is stopped with "
         "Ctrl-C or SIGTERM. PostgreSQL ends with it, also when it is killed. As root, PostgreSQL "
         "runs as the user postgres or nobody.",
     .options = options,
     .no_config = true,
     .examples = examples,
     .run = run},
    {0},
};

const struct cli_noun cli_noun_dev = {.name = "dev",
                                      .summary =
                                          "Run Reeve with a PostgreSQL of its own in a folder",
                                      .commands = commands};

/* ---- stopping another ---- */

static void pause_a_little(void)
{
    struct timespec time = {.tv_nsec = 20 * 1000000};
    nanosleep(&time, NULL);
}

static int stop_other(const char *folder, struct arena *arena, struct error *err)
{
    pid_t owner = dev_folder_owner(folder, arena);
    if (!owner) {
        output_note("nothing runs in %s", folder);
        return 0;
    }
    if (kill(owner, SIGTERM) < 0)
        return error_errno(err, errno, "cannot stop process %d", (int)owner);
    int64_t deadline = time_monotonic_us() + 180 * (int64_t)TIME_S;
    while (dev_folder_owner(folder, arena) == owner) {
        if (time_monotonic_us() > deadline)
            return error_set(err, ERROR_TIMEOUT, "process %d does not stop", (int)owner);
        pause_a_little();
    }
    puts("Reeve has stopped.");
    return 0;
}

/* ---- in the background ---- */

/* The last error that the child wrote to its log, for ours. */
static void report_child_log(const char *log, struct error *err)
{
    char text[4096] = "";
    _cleanup_close_ int fd = open(log, O_RDONLY | O_CLOEXEC);
    off_t size = fd < 0 ? 0 : lseek(fd, 0, SEEK_END);
    off_t from = size > (off_t)sizeof(text) - 1 ? size - ((off_t)sizeof(text) - 1) : 0;
    if (fd >= 0 && pread(fd, text, sizeof(text) - 1, from) > 0) {
        const char *last = NULL;
        for (const char *at = strstr(text, "reeve: "); at; at = strstr(at + 1, "reeve: "))
            last = at;
        if (last)
            error_detail(err, "%s", last);
    }
    error_hint(err, "see %s", log);
}

/* In the parent: prints what the child says when it is ready. */
static int wait_for_child(int fd, pid_t child, const char *log, struct error *err)
{
    char text[1024];
    bool ready = false;
    ssize_t got;
    while ((got = read(fd, text, sizeof(text))) != 0) {
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            break;
        fwrite(text, 1, (size_t)got, stdout);
        ready = true;
    }
    int status = 0;
    if (ready)
        return 0;
    while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
    }
    int result = error_set(err, ERROR_STATE, "Reeve did not start");
    report_child_log(log, err);
    return result;
}

/* Returns in the child with *ret_parent false; in the parent when the child is ready or gone. */
static int detach(const char *folder, struct arena *arena, bool *ret_parent, struct error *err)
{
    int fds[2];
    const char *log = arena_printf(arena, "%s/reeve.log", folder);
    _cleanup_close_ int log_fd =
        open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (log_fd < 0)
        return error_errno(err, errno, "cannot open %s", log);
    if (pipe2(fds, O_CLOEXEC) < 0)
        return error_errno(err, errno, "cannot make a pipe");
    fflush(NULL);
    pid_t child = fork();
    if (child < 0)
        return error_errno(err, errno, "cannot start a process");
    *ret_parent = child > 0;
    if (child > 0) {
        close(fds[1]);
        int result = wait_for_child(fds[0], child, log, err);
        close(fds[0]);
        return result;
    }
    close(fds[0]);
    setsid();
    int null_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (dup2(null_fd, STDIN_FILENO) < 0 || dup2(fds[1], STDOUT_FILENO) < 0 ||
        dup2(log_fd, STDERR_FILENO) < 0)
        _exit(70);
    close(fds[1]);
    return 0;
}

/* ---- setting up ---- */

struct dev {
    struct arena *arena;
    const char *folder;
    struct embedded server;
    const char *config_path;
    struct config config;
    bool detached;
};

static int make_control_database(const struct dev *dev, struct error *err)
{
    static const char *const parameters[] = {CONTROL_DATABASE};
    _cleanup_pg_connection_ struct pg_connection *connection = NULL;
    _cleanup_pg_result_ struct pg_result *found = NULL;
    int result = embedded_connect(&dev->server, "postgres", &connection, err);
    if (result == 0)
        result = pg_query(connection, sql_cli_control_database_exists, 1, parameters, &found, err);
    if (result == 0 && pg_rows(found) == 0)
        result = pg_execute(connection, sql_cli_control_database_create, 0, NULL, NULL, err);
    return result;
}

static int make_key(const struct dev *dev, struct error *err)
{
    const char *path = arena_printf(dev->arena, "%s/key", dev->folder);
    return access(path, F_OK) == 0 ? 0 : crypto_key_file_create(path, err);
}

static int choose_port(struct cli *cli, const struct dev *dev, int *ret, struct error *err)
{
    if (!cli_text(cli, "port")) {
        int before = dev_folder_port(dev->folder, dev->arena);
        *ret = before ? before : CONFIG_DEFAULT_PORT;
        return 0;
    }
    *ret = (int)cli_number(cli, "port", CONFIG_DEFAULT_PORT);
    return *ret == 0 ? dev_free_port(ret, err) : 0;
}

static int configure(struct cli *cli, struct dev *dev, struct error *err)
{
    int port = 0;
    int result = choose_port(cli, dev, &port, err);
    if (result == 0)
        result = dev_folder_configure(dev->folder, port,
                                      embedded_conninfo(&dev->server, CONTROL_DATABASE, dev->arena),
                                      dev->arena, &dev->config_path, err);
    if (result == 0)
        result = config_read(dev->config_path, dev->arena, &dev->config, err);
    return result;
}

static int add_cluster(const struct dev *dev, const struct context *context, const char *conninfo,
                       struct error *err)
{
    char password[128];
    int result = embedded_password(&dev->server, password, err);
    if (result < 0)
        return result;
    const struct provision_cluster_spec spec = {.name = CLUSTER_NAME,
                                                .conninfo = conninfo,
                                                .admin_user = EMBEDDED_SUPERUSER,
                                                .admin_password = password,
                                                .guard_library = dev->server.guard};
    int64_t id = 0;
    result = provision_cluster_add(&context->job, &spec, &id, err);
    crypto_wipe(password, sizeof(password));
    return result;
}

/* The catalog knows the server by its socket's path, and the guard's library by its own. */
static int follow_cluster(struct catalog *catalog, const struct catalog_cluster *cluster,
                          const char *conninfo, struct error *err)
{
    if (strcmp(cluster->conninfo, conninfo) == 0)
        return 0;
    const struct catalog_cluster_change change = {.conninfo = conninfo};
    return catalog_cluster_set(catalog, cluster->id, &change, err);
}

/* The folder was moved, or this program has another guard than the one before. */
static int follow_guard(const struct dev *dev, const struct context *context,
                        const struct catalog_cluster *cluster, struct error *err)
{
    const char *library = dev->server.guard;
    bool chosen = strcmp(cluster->enforcement, CATALOG_LOGIN) == 0 && cluster->guard_library;
    if (!library || chosen ||
        (cluster->guard_library && strcmp(cluster->guard_library, library) == 0))
        return 0;
    return provision_cluster_enforce(&context->job, CLUSTER_NAME, CATALOG_GUARD, library, err);
}

static int set_up_catalog(struct dev *dev, struct error *err)
{
    _cleanup_context_ struct context context = {0};
    _cleanup_catalog_ struct catalog *catalog = NULL;
    struct catalog_cluster cluster = {0};
    const char *conninfo = embedded_conninfo(&dev->server, NULL, dev->arena);
    int result = context_from_config(&dev->config, "dev", &context, err);
    if (result == 0)
        result = catalog_upgrade(dev->config.control, NULL, NULL, err);
    if (result == 0)
        result = context_catalog(&context, &catalog, err);
    if (result < 0)
        return result;
    result = catalog_cluster_find(catalog, dev->arena, CLUSTER_NAME, &cluster, err);
    if (result == -ERROR_NOT_FOUND) {
        error_clear(err);
        return add_cluster(dev, &context, conninfo, err);
    }
    if (result == 0)
        result = follow_cluster(catalog, &cluster, conninfo, err);
    return result < 0 ? result : follow_guard(dev, &context, &cluster, err);
}

static void print_ready(void *owner, const struct config *config)
{
    const struct dev *dev = owner;
    for (size_t i = 0; i < config->listen_count; i++) {
        if (config->listen[i].host) {
            printf("Reeve is ready on %s:%d\n", config->listen[i].host, config->listen[i].port);
            break;
        }
    }
    printf("configuration: %s\n", config->path);
    if (!dev->detached)
        printf("In another shell:  export REEVE_CONFIG=%s\nStop it with Ctrl-C.\n", config->path);
    fflush(stdout);
    if (dev->detached) {
        /* Tells the waiting parent that this was all. */
        int null_fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
        if (null_fd >= 0) {
            dup2(null_fd, STDOUT_FILENO);
            close(null_fd);
        }
    }
}

static int set_up_and_serve(struct cli *cli, struct dev *dev, struct error *err)
{
    int result = make_key(dev, err);
    if (result == 0)
        result = make_control_database(dev, err);
    if (result == 0)
        result = configure(cli, dev, err);
    if (result == 0)
        result = set_up_catalog(dev, err);
    if (result < 0)
        return result;
    struct server_spec spec = {
        .config = &dev->config, .embedded = &dev->server, .ready = print_ready, .owner = dev};
    return server_run(&spec, err);
}

static int run(struct cli *cli, struct error *err)
{
    struct dev dev = {.arena = &cli->arena};
    const char *given = cli_text(cli, "dir");
    int result = dev_folder_make(given ? given : "reeve-dev", dev.arena, &dev.folder, err);
    if (result < 0)
        return result;
    if (cli_flag(cli, "stop"))
        return stop_other(dev.folder, dev.arena, err);
    if (cli_flag(cli, "detach")) {
        bool parent = false;
        result = detach(dev.folder, dev.arena, &parent, err);
        if (result < 0 || parent)
            return result;
        dev.detached = true;
    }
    server_block_signals();
    connector_clean_environment();
    _cleanup_close_ int lock_fd = -1;
    result = dev_folder_lock(dev.folder, dev.arena, &lock_fd, err);
    if (result < 0)
        return result;
    struct embedded_options start = {.folder = dev.folder,
                                     .binary_folder = cli_text(cli, "pg-bindir")};
    result = embedded_start(&start, dev.arena, &dev.server, err);
    if (result < 0)
        return result;
    result = set_up_and_serve(cli, &dev, err);
    embedded_stop(&dev.server, false);
    return result;
}
