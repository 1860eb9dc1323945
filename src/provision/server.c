#include "provision/server.h"

#include "base/time.h"
#include "pg/connection.h"
#include "provision/claim.h"

/* CREATE DATABASE copies files: slow machines and large templates take their time. */
#define ADMIN_STATEMENT_TIMEOUT_US ((int64_t)600 * TIME_S)

static int unseal_admin(const struct server *server, char **ret, struct error *err)
{
    const struct catalog_cluster *cluster = server->cluster;
    if (cluster->admin_password.length == 0)
        return 0;
    char context[CATALOG_SECRET_CONTEXT_SIZE];
    catalog_cluster_context(cluster->name, context);
    return catalog_unseal(server->context->master_key, context, &cluster->admin_password, ret, err);
}

static int64_t statement_timeout_us(const struct server *server)
{
    if (server->until_us == 0)
        return ADMIN_STATEMENT_TIMEOUT_US;
    int64_t left_us = server->until_us - time_monotonic_us();
    return left_us > TIME_S / 10 ? left_us : TIME_S / 10;
}

/* 0: the usual one. */
static int64_t connect_timeout_us(const struct server *server)
{
    const int64_t usual_us = (int64_t)PG_DEFAULT_CONNECT_TIMEOUT_S * TIME_S;
    int64_t left_us = server->until_us == 0 ? 0 : statement_timeout_us(server);
    return left_us < usual_us ? left_us : usual_us;
}

static int connect_as_admin(struct server *server, const char *database, bool replication,
                            struct pg_connection **ret, struct error *err)
{
    _cleanup_catalog_wipe_ char *password = NULL;
    int r = unseal_admin(server, &password, err);
    if (r < 0)
        return r;
    const struct pg_options options = {
        .conninfo = server->cluster->conninfo,
        .user = server->cluster->admin_user,
        .password = password,
        .database = database ? database : server->cluster->maintenance_db,
        .application_name = "reeve provision",
        .replication = replication,
        .connect_timeout_us = connect_timeout_us(server),
        .statement_timeout_us = statement_timeout_us(server),
        .cancelled = server->context->cancelled,
    };
    r = pg_connect(&options, ret, err);
    if (r < 0) {
        error_prefix(err, "cluster \"%s\"", server->cluster->name);
        return r;
    }
    if (!server->claimed && server->cluster->id != 0 && !replication)
        r = claim_server(*ret, server->cluster->name, server->cluster->installation, err);
    if (r < 0)
        *ret = pg_close(*ret);
    if (r == 0 && !server->claimed)
        server->claimed = true;
    return r;
}

int server_connect(struct server *server, const char *database, struct pg_connection **ret,
                   struct error *err)
{
    return connect_as_admin(server, database, false, ret, err);
}

int server_connect_for_stream(struct server *server, const char *database,
                              struct pg_connection **ret, struct error *err)
{
    return connect_as_admin(server, database, true, ret, err);
}

static int connect_for_isolation(void *context, const char *database, struct pg_connection **ret,
                                 struct error *err)
{
    return server_connect(context, database, ret, err);
}

void server_init(struct server *server, const struct job_context *context,
                 const struct catalog_cluster *cluster)
{
    *server = (struct server){.context = context, .cluster = cluster};
    server->isolation =
        (struct isolation_server){.connect = connect_for_isolation, .context = server};
}
