#include "cli/nouns.h"

#include "base/crypto.h"
#include "catalog/cluster.h"
#include "cli/context.h"
#include "cli/prompt.h"
#include "pg/conninfo.h"
#include "provision/provision.h"

enum { DEFAULT_MAX_BACKENDS = 100 };

static const struct cli_parameter name_argument[] = {
    {.name = "NAME", .required = true, .kind = CLI_TEXT, .help = "the cluster"},
    {0},
};

static const struct cli_parameter add_options[] = {
    {.name = "conninfo",
     .value = "CONNINFO",
     .kind = CLI_TEXT,
     .required = true,
     .help = "libpq keywords that say where it is (host, port, sslmode, sslrootcert, ...); no "
             "user, password or dbname"},
    {.name = "admin-user",
     .value = "ROLE",
     .kind = CLI_TEXT,
     .fallback = "postgres",
     .help = "the role that Reeve works as: a superuser, or one with CREATEDB and CREATEROLE"},
    {.name = "password-file",
     .value = "FILE",
     .kind = CLI_FILE,
     .help = "its first line is the role's password (- for standard input); it is kept encrypted"},
    {.name = "maintenance-db",
     .value = "NAME",
     .kind = CLI_TEXT,
     .fallback = "postgres",
     .help = "the database to connect to for work on the cluster itself"},
    {.name = "max-backends",
     .value = "N",
     .kind = CLI_NUMBER,
     .minimum = 1,
     .maximum = 100000,
     .fallback = "100",
     .help = "server connections that one proxy may open to it"},
    {.name = "enforcement",
     .value = "HOW",
     .kind = CLI_CHOICE,
     .choice = provision_enforcement_at,
     .help = "guard (shared connections, needs the extension reeve_guard) or login (connections of "
             "each tenant's own); without it, guard where the server can have it"},
    {.name = "guard-library",
     .value = "PATH",
     .kind = CLI_TEXT,
     .help = "where that server finds the guard's library, when it is not installed in its own "
             "folder"},
    {0},
};

static const struct cli_parameter enforce_arguments[] = {
    {.name = "NAME", .required = true, .kind = CLI_TEXT, .help = "the cluster"},
    {.name = "HOW",
     .required = true,
     .kind = CLI_CHOICE,
     .choice = provision_enforcement_at,
     .help = "guard or login: of placements that come; those that are there keep theirs"},
    {0},
};

static const struct cli_parameter enforce_options[] = {
    {.name = "guard-library",
     .value = "PATH",
     .kind = CLI_TEXT,
     .help = "where that server finds the guard's library, when it is not installed in its own "
             "folder"},
    {0},
};

static const struct cli_parameter set_options[] = {
    {.name = "conninfo",
     .value = "CONNINFO",
     .kind = CLI_TEXT,
     .help = "where it is now: the same server, or a copy of it that has taken its place"},
    {.name = "max-backends",
     .value = "N",
     .kind = CLI_NUMBER,
     .minimum = 1,
     .maximum = 100000,
     .help = "server connections that one proxy may open to it"},
    {.name = "disk",
     .value = "SIZE",
     .kind = CLI_SIZE,
     .minimum = 0,
     .maximum = INT64_C(1) << 50,
     .help = "how large the disk is that its data and WAL are on: moves that would not fit are not "
             "begun; 0: nobody knows"},
    {0},
};

static const struct cli_parameter remove_options[] = {CLI_OPTION_YES, {0}};

static const struct output_field fields[] = {
    {.key = "name", .title = "NAME", .kind = OUTPUT_TEXT, .help = "what Reeve calls it"},
    {.key = "conninfo",
     .title = "CONNINFO",
     .kind = OUTPUT_TEXT,
     .help = "where it is: libpq keywords"},
    {.key = "admin_user", .title = "ADMIN", .kind = OUTPUT_TEXT, .help = "the role Reeve works as"},
    {.key = "maintenance_db",
     .title = "MAINTENANCE-DB",
     .kind = OUTPUT_TEXT,
     .detail = true,
     .help = "the database for work on the cluster itself"},
    {.key = "max_backends",
     .title = "MAX-BACKENDS",
     .kind = OUTPUT_NUMBER,
     .help = "server connections that one proxy may open"},
    {.key = "disk_bytes",
     .title = "DISK",
     .kind = OUTPUT_NUMBER,
     .detail = true,
     .help = "size of its disk, as \"reeve cluster set --disk\" says; null: nobody has said"},
    {.key = "enforcement",
     .title = "ENFORCEMENT",
     .kind = OUTPUT_TEXT,
     .help = "how tenants that share a database are locked in: guard or login"},
    {.key = "enforcement_reason",
     .title = "WHY",
     .kind = OUTPUT_TEXT,
     .detail = true,
     .help = "why it is that"},
    {.key = "created_at", .title = "CREATED", .kind = OUTPUT_TIME, .help = "when it was added"},
    {0},
};

static const struct output_field name_fields[] = {
    {.key = "name", .title = "NAME", .kind = OUTPUT_TEXT, .help = "the cluster"},
    {0},
};

static json_t *cluster_record(const struct catalog_cluster *cluster)
{
    json_t *record = json_object();
    json_object_set_new(record, "name", output_text(cluster->name));
    json_object_set_new(record, "conninfo", output_text(cluster->conninfo));
    json_object_set_new(record, "admin_user", output_text(cluster->admin_user));
    json_object_set_new(record, "maintenance_db", output_text(cluster->maintenance_db));
    json_object_set_new(record, "max_backends", json_integer(cluster->max_backends));
    json_object_set_new(record, "disk_bytes",
                        cluster->disk_bytes > 0 ? json_integer(cluster->disk_bytes) : json_null());
    json_object_set_new(record, "enforcement", output_text(cluster->enforcement));
    json_object_set_new(record, "enforcement_reason", output_text(cluster->enforcement_reason));
    json_object_set_new(record, "created_at", output_time_us(cluster->created_unix_us));
    return record;
}

/* ---- add ---- */

static int check_arguments(const struct cli *cli, struct error *err)
{
    int result = context_check_slug("cluster name", cli_text(cli, "NAME"), err);
    if (result < 0)
        return result;
    result = pg_conninfo_check_server(cli_text(cli, "conninfo"), err);
    if (result < 0)
        error_prefix(err, "--conninfo");
    return result;
}

static int add(const struct cli *cli, const struct context *context, int64_t *ret_id,
               struct error *err)
{
    char password[PROMPT_PASSWORD_MAX + 1];
    const char *file = cli_text(cli, "password-file");
    const char *user = cli_text(cli, "admin-user");
    int result = file ? prompt_secret(file, password, err) : 0;
    if (result < 0)
        return result;
    const struct provision_cluster_spec spec = {
        .name = cli_text(cli, "NAME"),
        .conninfo = cli_text(cli, "conninfo"),
        .admin_user = user ? user : "postgres",
        .admin_password = file ? password : NULL,
        .maintenance_db = cli_text(cli, "maintenance-db"),
        .max_backends = (int)cli_number(cli, "max-backends", DEFAULT_MAX_BACKENDS),
        .enforcement = cli_text(cli, "enforcement"),
        .guard_library = cli_text(cli, "guard-library")};
    result = provision_cluster_add(&context->job, &spec, ret_id, err);
    crypto_wipe(password, sizeof(password));
    return result;
}

static int run_add(struct cli *cli, struct error *err)
{
    _cleanup_context_ struct context context = {0};
    _cleanup_catalog_ struct catalog *catalog = NULL;
    struct catalog_cluster cluster = {0};
    int64_t id = 0;
    int result = check_arguments(cli, err);
    if (result == 0)
        result = context_open_catalog(cli, &context, &catalog, err);
    if (result == 0)
        result = add(cli, &context, &id, err);
    if (result == 0)
        result = catalog_cluster_get(catalog, &cli->arena, id, &cluster, err);
    if (result < 0)
        return result;
    output_done(
        cli, cluster_record(&cluster),
        "Cluster \"%s\" (%s) is added: PUBLIC's rights on its databases are taken away, and "
        "tenants can be placed on it.\n"
        "  enforcement: %s (%s)\n"
        "  next: reeve service create NAME --migrations DIR --isolation MODE --cluster %s",
        cluster.name, pg_conninfo_describe(&cli->arena, cluster.conninfo), cluster.enforcement,
        cluster.enforcement_reason, cluster.name);
    return 0;
}

/* ---- set ---- */

static int run_set(struct cli *cli, struct error *err)
{
    _cleanup_context_ struct context context = {0};
    _cleanup_catalog_ struct catalog *catalog = NULL;
    struct catalog_cluster cluster = {0};
    const char *name = cli_text(cli, "NAME");
    const int64_t unsaid = -1;
    int64_t disk_bytes = cli_size(cli, "disk", unsaid);
    const struct catalog_cluster_change change = {.conninfo = cli_text(cli, "conninfo"),
                                                  .max_backends =
                                                      (int)cli_number(cli, "max-backends", 0),
                                                  .disk_bytes = disk_bytes == unsaid ? 0
                                                                : disk_bytes == 0    ? -1
                                                                                     : disk_bytes};
    if (!change.conninfo && change.max_backends == 0 && change.disk_bytes == 0)
        return error_set(err, ERROR_USAGE, "--conninfo, --max-backends or --disk says what");
    int result = context_open_catalog(cli, &context, &catalog, err);
    if (result == 0)
        result = provision_cluster_set(&context.job, name, &change, err);
    if (result == 0)
        result = catalog_cluster_find(catalog, &cli->arena, name, &cluster, err);
    if (result < 0)
        return result;
    output_done(cli, cluster_record(&cluster), "Cluster \"%s\" is changed.", cluster.name);
    return 0;
}

/* ---- enforce ---- */

static int run_enforce(struct cli *cli, struct error *err)
{
    _cleanup_context_ struct context context = {0};
    _cleanup_catalog_ struct catalog *catalog = NULL;
    struct catalog_cluster cluster = {0};
    const char *name = cli_text(cli, "NAME");
    int result = context_open_catalog(cli, &context, &catalog, err);
    if (result == 0)
        result = provision_cluster_enforce(&context.job, name, cli_text(cli, "HOW"),
                                           cli_text(cli, "guard-library"), err);
    if (result == 0)
        result = catalog_cluster_find(catalog, &cli->arena, name, &cluster, err);
    if (result < 0)
        return result;
    output_done(cli, cluster_record(&cluster),
                "Cluster \"%s\" places tenants with enforcement %s (%s).\n"
                "  placements that are there: reeve placement enforce TENANT SERVICE %s",
                cluster.name, cluster.enforcement, cluster.enforcement_reason, cluster.enforcement);
    return 0;
}

/* ---- list, show, remove ---- */

static int run_list(struct cli *cli, struct error *err)
{
    _cleanup_catalog_ struct catalog *catalog = NULL;
    struct catalog_cluster *clusters = NULL;
    size_t count = 0;
    int result = context_read_catalog(cli, &catalog, err);
    if (result == 0)
        result = catalog_cluster_list(catalog, &cli->arena, &clusters, &count, err);
    if (result < 0)
        return result;
    json_t *records = json_array();
    for (size_t i = 0; i < count; i++)
        json_array_append_new(records, cluster_record(&clusters[i]));
    output_list(cli, records, "There are no clusters; \"reeve cluster add\" adds one.");
    return 0;
}

static int run_show(struct cli *cli, struct error *err)
{
    _cleanup_catalog_ struct catalog *catalog = NULL;
    struct catalog_cluster cluster = {0};
    int result = context_read_catalog(cli, &catalog, err);
    if (result == 0)
        result = catalog_cluster_find(catalog, &cli->arena, cli_text(cli, "NAME"), &cluster, err);
    if (result == 0)
        output_record(cli, cluster_record(&cluster));
    return result;
}

static int run_remove(struct cli *cli, struct error *err)
{
    _cleanup_context_ struct context context = {0};
    _cleanup_catalog_ struct catalog *catalog = NULL;
    struct catalog_cluster cluster = {0};
    const char *name = cli_text(cli, "NAME");
    int result = context_open_catalog(cli, &context, &catalog, err);
    if (result == 0)
        result = catalog_cluster_find(catalog, &cli->arena, name, &cluster, err);
    if (result < 0)
        return result;
    const char *what = arena_printf(&cli->arena,
                                    "This removes cluster \"%s\" and drops what services keep "
                                    "ready for tenants there.",
                                    name);
    result = prompt_confirm(cli, what, name, err);
    if (result == 0)
        result = provision_cluster_remove(&context.job, name, err);
    if (result == 0)
        output_done(cli, json_pack("{s:s}", "name", name), "Cluster \"%s\" is removed.", name);
    return result;
}

/* ---- the table ---- */

static const char *const add_examples[] = {
    "reeve cluster add west --conninfo \"host=pg1.example port=5432 sslmode=verify-full\"",
    "reeve cluster add west --conninfo host=/run/postgresql --admin-user reeve_admin "
    "--password-file -",
    NULL};

static const struct cli_command commands[] = {
    {.verb = "add",
     .summary = "Add a PostgreSQL server that tenants may be placed on",
     .description =
         "Connects, checks that it is PostgreSQL 15 or newer and that the role may create "
         "databases and roles, and takes away what PostgreSQL gives to everybody there: CONNECT "
         "and TEMPORARY on postgres and template1, CREATE on the schema public. The server is this "
         "Reeve's from then on: another one is refused there.",
     .arguments = name_argument,
     .options = add_options,
     .fields = fields,
     .examples = add_examples,
     .run = run_add},
    {.verb = "list", .summary = "List clusters", .fields = fields, .list = true, .run = run_list},
    {.verb = "show",
     .summary = "Show a cluster",
     .arguments = name_argument,
     .fields = fields,
     .run = run_show},
    {.verb = "set",
     .summary = "Change where a cluster is, or what it has",
     .description =
         "Behind a failover or a move of the server, --conninfo says where it is now: it must be "
         "the same server or a copy of it, and this Reeve's. Proxies follow at once; their server "
         "connections to the old address end as those of a server that is gone.",
     .arguments = name_argument,
     .options = set_options,
     .fields = fields,
     .run = run_set},
    {.verb = "enforce",
     .summary = "Choose how tenants that share a database are locked in",
     .description = "Looks for the guard on the server and prepares the services' databases there "
                    "for it. Says why when the server cannot have it.",
     .arguments = enforce_arguments,
     .options = enforce_options,
     .fields = fields,
     .run = run_enforce},
    {.verb = "remove",
     .summary = "Forget a cluster that has no tenants",
     .description =
         "Refused while placements are on it, or services place their tenants there by "
         "default. Drops the services' templates and shared databases there, and leaves the "
         "server to whichever Reeve claims it next.",
     .arguments = name_argument,
     .options = remove_options,
     .fields = name_fields,
     .run = run_remove},
    {0},
};

const struct cli_noun cli_noun_cluster = {.name = "cluster",
                                          .summary =
                                              "PostgreSQL servers that tenants are placed on",
                                          .commands = commands};
