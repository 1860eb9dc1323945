#include "base/time.h"
#include "cli/top.h"

static const int64_t survey_timeout_us = 2 * (int64_t)TIME_S;

const char *const top_use_names[PROXY_USES] = {
    [PROXY_USE_TRANSACTIONS] = "transactions",
    [PROXY_USE_QUERIES] = "queries",
    [PROXY_USE_ERRORS] = "errors",
    [PROXY_USE_BACKEND_US] = "backend_us",
    [PROXY_USE_WAITS] = "waits",
    [PROXY_USE_WAIT_US] = "wait_us",
    [PROXY_USE_BYTES_IN] = "bytes_in",
    [PROXY_USE_BYTES_OUT] = "bytes_out",
};

static json_t *usage_object(const struct proxy_usage *used)
{
    json_t *object = json_object();
    for (size_t i = 0; i < PROXY_USES; i++)
        json_object_set_new(object, top_use_names[i], json_integer(used->of[i]));
    return object;
}

static json_t *tenant_object(const struct proxy_tenant_figures *figures)
{
    return json_pack("{s:s, s:s, s:o, s:I, s:I, s:I, s:I, s:I}", "tenant", figures->tenant,
                     "service", figures->service, "used", usage_object(&figures->used), "clients",
                     (json_int_t)figures->load.clients, "waiting",
                     (json_int_t)figures->load.waiting, "backends",
                     (json_int_t)figures->load.backends, "longest_wait_us",
                     (json_int_t)figures->load.longest_wait_us, "running_us",
                     (json_int_t)figures->load.running_us);
}

static json_t *database_object(const struct proxy_database_figures *figures,
                               const struct route_globals *globals)
{
    const struct route_cluster *cluster = route_find_cluster(globals, figures->cluster_id);
    return json_pack("{s:s, s:s, s:I, s:I, s:I, s:I}", "cluster", cluster ? cluster->name : "",
                     "database", figures->database, "backends", (json_int_t)figures->backends,
                     "idle", (json_int_t)figures->idle, "connecting",
                     (json_int_t)figures->connecting, "waiting", (json_int_t)figures->waiting);
}

static json_t *cluster_object(const struct proxy_budget_figures *figures, const char *name)
{
    return json_pack("{s:s, s:I, s:I, s:I}", "cluster", name, "backends", (json_int_t)figures->used,
                     "max_backends", (json_int_t)figures->maximum, "pools_waiting",
                     (json_int_t)figures->starving);
}

json_t *top_answer(struct proxy *proxy, struct route_table *routes, json_t *status)
{
    struct proxy_survey survey;
    proxy_survey_take(proxy, TOP_TENANTS_MAX, survey_timeout_us, &survey);
    struct route_snapshot *snapshot = route_table_acquire(routes);
    const struct route_globals *globals = route_snapshot_globals(snapshot);
    json_t *tenants = json_array();
    json_t *databases = json_array();
    json_t *clusters = json_array();
    for (size_t i = 0; i < survey.tenant_count; i++)
        json_array_append_new(tenants, tenant_object(&survey.tenants[i]));
    for (size_t i = 0; i < survey.database_count; i++)
        json_array_append_new(databases, database_object(&survey.databases[i], globals));
    for (size_t i = 0; i < survey.budget_count; i++) {
        const struct route_cluster *cluster =
            route_find_cluster(globals, survey.budgets[i].cluster_id);
        if (cluster)
            json_array_append_new(clusters, cluster_object(&survey.budgets[i], cluster->name));
    }
    const struct proxy_tenant_figures whole = {.used = survey.used, .load = survey.load};
    json_t *answer = json_pack(
        "{s:o, s:b, s:I, s:o, s:o, s:b, s:o, s:o}", "server", status, "complete", survey.complete,
        "taken_us", (json_int_t)survey.taken_us, "whole", tenant_object(&whole), "tenants", tenants,
        "left_out", survey.tenants_left_out, "databases", databases, "clusters", clusters);
    route_snapshot_release(snapshot);
    proxy_survey_free(&survey);
    return answer;
}
