#include "provision/audit.h"

#include "catalog/move.h"
#include "catalog/tenant.h"
#include "migrate/site.h"
#include "pg/connection.h"
#include "provision/server.h"
#include "provision/stream.h"

/* ---- what is to be audited ---- */

struct audit_job {
    const struct job_context *context;
    const struct provision_audit_scope *scope;
    struct catalog *catalog;
    struct arena *arena; /* lives as long as the audit */
    struct audit_report *report;
    int64_t tenant_id, service_id; /* of the scope; 0: all */
};

static int find_scope(struct audit_job *job, struct error *err)
{
    struct catalog_tenant tenant = {0};
    struct catalog_service service = {0};
    struct catalog_placement placement;
    const struct provision_audit_scope *scope = job->scope;
    int r = 0;
    if (scope->tenant)
        r = catalog_tenant_find(job->catalog, job->arena, scope->tenant, &tenant, err);
    if (r == 0 && scope->service)
        r = catalog_service_find(job->catalog, job->arena, scope->service, &service, err);
    if (r == 0 && scope->tenant && scope->service)
        r = catalog_placement_find(job->catalog, job->arena, scope->tenant, scope->service,
                                   &placement, err);
    job->tenant_id = tenant.id;
    job->service_id = service.id;
    return r;
}

static bool is_everything(const struct audit_job *job)
{
    return job->tenant_id == 0 && job->service_id == 0;
}

static bool in_scope(const struct audit_job *job, const struct catalog_placement *placement)
{
    return (job->tenant_id == 0 || job->tenant_id == placement->tenant_id) &&
           (job->service_id == 0 || job->service_id == placement->service_id);
}

/* ---- what the catalog has on one cluster ---- */

struct place_service {
    struct site site;
    bool prepared;
    bool audited;
};

/* Who a name on the server belongs to. */
struct owner {
    const char *name, *tenant, *service;
};

struct picture {
    struct place_service *services;
    size_t service_count;
    struct catalog_placement *placements;
    size_t placement_count;
    struct catalog_move *moves; /* whose other place is here */
    size_t move_count;
    int64_t *suspended; /* ids of tenants, ascending */
    size_t suspended_count;
    struct owner *owners; /* by name */
    size_t owner_count;
    struct audit_facts facts;
    bool audited; /* anything at all */
};

static void picture_free(struct picture *picture)
{
    audit_facts_free(&picture->facts);
}
#define _cleanup_picture_ _cleanup_(picture_free)

static int compare_ids(const void *a, const void *b)
{
    int64_t left = *(const int64_t *)a, right = *(const int64_t *)b;
    return left < right ? -1 : left > right;
}

static int compare_owners(const void *a, const void *b)
{
    return strcmp(((const struct owner *)a)->name, ((const struct owner *)b)->name);
}

static int load_suspended(struct audit_job *job, struct picture *picture, struct error *err)
{
    const struct catalog_tenant_filter filter = {.status = CATALOG_TENANT_SUSPENDED};
    struct catalog_tenant *tenants;
    int r = catalog_tenant_list(job->catalog, job->arena, &filter, &tenants,
                                &picture->suspended_count, err);
    if (r < 0)
        return r;
    picture->suspended = arena_zalloc(job->arena, (picture->suspended_count + 1) * sizeof(int64_t));
    for (size_t i = 0; i < picture->suspended_count; i++)
        picture->suspended[i] = tenants[i].id;
    qsort(picture->suspended, picture->suspended_count, sizeof(int64_t), compare_ids);
    return 0;
}

static int load_service(struct audit_job *job, const struct catalog_cluster *cluster,
                        int64_t service_id, struct place_service *ret, struct error *err)
{
    struct catalog_service_database *databases;
    size_t count;
    int r =
        site_load(job->context, job->catalog, job->arena, service_id, cluster->id, &ret->site, err);
    if (r == 0)
        r = catalog_service_database_list(job->catalog, job->arena, service_id, cluster->id,
                                          &databases, &count, err);
    if (r == 0)
        ret->prepared = count > 0 && ret->site.login.owner_password.length > 0;
    return r;
}

static int load_services(struct audit_job *job, const struct catalog_cluster *cluster,
                         struct picture *picture, struct error *err)
{
    struct catalog_service *services;
    int r = catalog_service_list(job->catalog, job->arena, &services, &picture->service_count, err);
    if (r < 0)
        return r;
    picture->services =
        arena_zalloc(job->arena, (picture->service_count + 1) * sizeof(*picture->services));
    for (size_t i = 0; r == 0 && i < picture->service_count; i++) {
        r = load_service(job, cluster, services[i].id, &picture->services[i], err);
        /* A tenant's services are found with its placements. */
        picture->services[i].audited =
            job->tenant_id == 0 && (job->service_id == 0 || job->service_id == services[i].id);
    }
    return r;
}

static struct place_service *service_of(const struct picture *picture,
                                        const struct catalog_placement *placement)
{
    for (size_t i = 0; i < picture->service_count; i++)
        if (picture->services[i].site.service.id == placement->service_id)
            return &picture->services[i];
    return NULL;
}

static int load_placements(struct audit_job *job, const struct catalog_cluster *cluster,
                           struct picture *picture, struct error *err)
{
    struct catalog_placement_filter filter = CATALOG_PLACEMENT_ANY;
    filter.cluster_id = cluster->id;
    const struct catalog_move_filter other = {.cluster_id = cluster->id, .open = true};
    int r = catalog_placement_list(job->catalog, job->arena, &filter, &picture->placements,
                                   &picture->placement_count, err);
    if (r == 0)
        r = catalog_move_list(job->catalog, job->arena, &other, &picture->moves,
                              &picture->move_count, err);
    for (size_t i = 0; r == 0 && i < picture->placement_count; i++) {
        struct place_service *service = service_of(picture, &picture->placements[i]);
        if (service && in_scope(job, &picture->placements[i]))
            picture->audited = service->audited = true;
    }
    for (size_t i = 0; r == 0 && i < picture->service_count; i++)
        picture->audited |= picture->services[i].audited && picture->services[i].prepared;
    return r;
}

static void add_owner(struct picture *picture, const char *name, const char *tenant,
                      const char *service)
{
    if (name)
        picture->owners[picture->owner_count++] = (struct owner){name, tenant, service};
}

/* A placement's schema has its role's name, where it has one of its own. */
static void add_placement_owners(struct picture *picture,
                                 const struct isolation_placement *isolated,
                                 const struct catalog_placement *placement)
{
    add_owner(picture, isolated->role, placement->tenant, placement->service);
    add_owner(picture, isolated->ro_role, placement->tenant, placement->service);
    if (!isolation_shares_database(isolated->isolation))
        add_owner(picture, isolated->database, placement->tenant, placement->service);
}

enum { SERVICE_NAMES = 5, DATABASE_NAMES = 4, PLACEMENT_NAMES = 3 };

static void add_service_owners(struct arena *arena, struct picture *picture,
                               const struct isolation_service *service)
{
    const char *const own[SERVICE_NAMES] = {service->owner_role, service->template_database,
                                            service->use_role, service->run_role,
                                            service->run_ro_role};
    for (size_t i = 0; i < array_size(own); i++)
        add_owner(picture, own[i], NULL, service->name);
    for (size_t i = 0; i < service->shared_count; i++) {
        struct isolation_service of = *service;
        isolation_service_choose(arena, &of, service->shared_databases[i]);
        const char *const names[DATABASE_NAMES] = {of.shared_database, of.use_role, of.run_role,
                                                   of.run_ro_role};
        for (size_t n = 0; n < array_size(names); n++)
            add_owner(picture, names[n], NULL, service->name);
    }
}

static void add_service_facts(struct arena *arena, struct picture *picture)
{
    for (size_t i = 0; i < picture->service_count; i++) {
        const struct place_service *service = &picture->services[i];
        const struct isolation_service *isolation = &service->site.isolation;
        const struct audit_service_facts about = {.prepared = service->prepared,
                                                  .audited = service->audited};
        audit_facts_service(&picture->facts, isolation, &about);
        add_service_owners(arena, picture, isolation);
    }
}

/* `placed`: all of it must be there, else some of it may be. */
static int add_place_facts(struct audit_job *job, struct picture *picture,
                           const struct catalog_placement *placement, bool placed,
                           struct error *err)
{
    const struct place_service *service = service_of(picture, placement);
    struct isolation_placement *isolated = arena_zalloc(job->arena, sizeof(*isolated));
    if (!service) /* it came after the list of services */
        return 0;
    int r = site_placement(job->arena, &service->site, placement, isolated, err);
    if (r < 0)
        return r;
    const struct audit_placement_facts about = {
        .placed = placed,
        .audited = in_scope(job, placement),
        .suspended = bsearch(&placement->tenant_id, picture->suspended, picture->suspended_count,
                             sizeof(int64_t), compare_ids),
    };
    audit_facts_placement(&picture->facts, &service->site.isolation, isolated, &about);
    add_placement_owners(picture, isolated, placement);
    return 0;
}

static int add_placement_facts(struct audit_job *job, struct picture *picture, struct error *err)
{
    int r = 0;
    for (size_t i = 0; r == 0 && i < picture->placement_count; i++) {
        const struct catalog_placement *placement = &picture->placements[i];
        bool placed = placement->state == CATALOG_PLACEMENT_READY ||
                      placement->state == CATALOG_PLACEMENT_MIGRATING;
        r = add_place_facts(job, picture, placement, placed, err);
    }
    for (size_t i = 0; r == 0 && i < picture->move_count; i++)
        r = add_place_facts(job, picture, &picture->moves[i].place, false, err);
    return r;
}

static int add_streams(struct audit_job *job, struct picture *picture, struct error *err)
{
    const struct catalog_move_filter open = {.open = true};
    struct catalog_move *moves;
    size_t count;
    int r = catalog_move_list(job->catalog, job->arena, &open, &moves, &count, err);
    for (size_t i = 0; r == 0 && i < count; i++) {
        audit_facts_stream(&picture->facts, stream_name(job->arena, moves[i].id, STREAM_FORWARD));
        audit_facts_stream(&picture->facts, stream_name(job->arena, moves[i].id, STREAM_BACK));
    }
    return r;
}

static int picture_load(struct audit_job *job, const struct catalog_cluster *cluster,
                        struct picture *ret, struct error *err)
{
    audit_facts_init(&ret->facts, job->arena, is_everything(job));
    int r = load_suspended(job, ret, err);
    if (r == 0)
        r = load_services(job, cluster, ret, err);
    if (r == 0)
        r = load_placements(job, cluster, ret, err);
    if (r < 0)
        return r;
    size_t most = SERVICE_NAMES * ret->service_count +
                  PLACEMENT_NAMES * (ret->placement_count + ret->move_count);
    for (size_t i = 0; i < ret->service_count; i++)
        most += DATABASE_NAMES * ret->services[i].site.isolation.shared_count;
    ret->owners = arena_zalloc(job->arena, (most + 1) * sizeof(*ret->owners));
    add_service_facts(job->arena, ret);
    r = add_placement_facts(job, ret, err);
    if (r == 0)
        r = add_streams(job, ret, err);
    qsort(ret->owners, ret->owner_count, sizeof(*ret->owners), compare_owners);
    return r;
}

/* ---- one cluster ---- */

static const struct owner *find_owner(const struct picture *picture, const char *name)
{
    const struct owner key = {.name = name};
    return name ? bsearch(&key, picture->owners, picture->owner_count, sizeof(key), compare_owners)
                : NULL;
}

static void attribute(struct audit_report *report, size_t first, const struct picture *picture,
                      const struct catalog_cluster *cluster)
{
    for (size_t i = first; i < report->count; i++) {
        struct audit_finding *finding = &report->findings[i];
        const struct owner *owner = find_owner(picture, finding->subject);
        if (!owner)
            owner = find_owner(picture, finding->database);
        finding->cluster = arena_strdup(report->arena, cluster->name);
        if (owner && owner->tenant)
            finding->tenant = arena_strdup(report->arena, owner->tenant);
        if (owner && owner->service)
            finding->service = arena_strdup(report->arena, owner->service);
    }
}

static int audit_one_database(struct audit_job *job, struct server *server,
                              const struct picture *picture, const struct audit_database *database,
                              struct error *err)
{
    _cleanup_pg_connection_ struct pg_connection *data = NULL;
    int r = server_connect(server, database->name, &data, err);
    if (r == -ERROR_NOT_FOUND) /* which is a finding of the cluster's */
        return 0;
    return r < 0 ? r : audit_database(data, &picture->facts, database, job->report, err);
}

/* What fails is a finding, and the rest goes on; but for an interruption. */
static int tell_failure(struct audit_job *job, int r, const char *database, const char *object,
                        const struct error *error, struct error *err)
{
    if (r == -ERROR_CANCELLED || job_cancelled(job->context)) {
        if (err)
            *err = *error;
        return r;
    }
    if (r < 0)
        audit_report_failure(job->report, database, object, error);
    return 0;
}

static int audit_server(struct audit_job *job, struct server *server, const struct picture *picture,
                        struct error *err)
{
    struct error own;
    _cleanup_pg_connection_ struct pg_connection *maintenance = NULL;
    const char *object = arena_printf(job->arena, "cluster %s", server->cluster->name);
    int r = server_connect(server, NULL, &maintenance, &own);
    if (r < 0)
        return tell_failure(job, r, NULL, object, &own, err);
    r = audit_cluster(maintenance, &picture->facts, job->report, &own);
    r = tell_failure(job, r, NULL, object, &own, err);
    const struct audit_database *database = picture->facts.databases;
    for (; r == 0 && database; database = database->next) {
        if (!database->expected || !database->audited)
            continue;
        r = audit_one_database(job, server, picture, database, &own);
        r = tell_failure(job, r, database->name,
                         arena_printf(job->arena, "database %s", database->name), &own, err);
    }
    return r;
}

/* ---- looking twice ---- */

/*
 * An object that the server has at two times and the catalog has not in between belongs to nobody;
 * one that the catalog has at two times and the server has not in between is missing. So tenants
 * may come and go while the audit runs.
 */
struct second_look {
    struct audit_finding *before; /* of the first, sorted */
    size_t before_count;
    size_t first; /* where the second begins */
    const struct audit_finding *findings;
};

static int compare_places(const void *left, const void *right)
{
    const struct audit_finding *a = left, *b = right;
    const char *const texts[][2] = {{a->code, b->code},
                                    {a->database, b->database},
                                    {a->object, b->object},
                                    {a->subject, b->subject}};
    int r = 0;
    for (size_t i = 0; r == 0 && i < array_size(texts); i++)
        r = strcmp(texts[i][0] ? texts[i][0] : "", texts[i][1] ? texts[i][1] : "");
    return r;
}

static bool still_holds(void *context, const struct audit_finding *finding)
{
    const struct second_look *look = context;
    bool second = finding >= look->findings + look->first;
    return !second || !audit_check_compares(finding->check) ||
           bsearch(finding, look->before, look->before_count, sizeof(*finding), compare_places);
}

static bool disagrees(const struct audit_report *report, size_t first)
{
    for (size_t i = first; i < report->count; i++)
        if (audit_check_compares(report->findings[i].check))
            return true;
    return false;
}

/* Takes the cluster's findings out of the report, and keeps a copy. */
static void put_aside(struct audit_job *job, size_t first, struct second_look *ret)
{
    struct audit_report *report = job->report;
    size_t count = report->count - first;
    *ret = (struct second_look){
        .before = arena_memdup(job->arena, report->findings + first, count * sizeof(*ret->before)),
        .before_count = count,
        .first = first,
    };
    qsort(ret->before, count, sizeof(*ret->before), compare_places);
    report->count = first;
}

/* ---- all clusters ---- */

static bool is_of_scope(void *context, const struct audit_finding *finding)
{
    const struct provision_audit_scope *scope = context;
    if (scope->tenant && finding->tenant && strcmp(finding->tenant, scope->tenant) != 0)
        return false;
    if (scope->service && finding->service && strcmp(finding->service, scope->service) != 0)
        return false;
    return true;
}

static bool is_audited(const struct picture *picture, const char *service)
{
    for (size_t i = 0; i < picture->service_count; i++)
        if (strcmp(picture->services[i].site.service.name, service) == 0)
            return picture->services[i].audited;
    return false;
}

struct cluster_scope {
    const struct picture *picture;
    const char *cluster;
};

/* What is wrong with a service that has no part in the scope is nobody's business here. */
static bool is_of_cluster(void *context, const struct audit_finding *finding)
{
    const struct cluster_scope *scope = context;
    return !finding->service || strcmp(finding->cluster, scope->cluster) != 0 ||
           is_audited(scope->picture, finding->service);
}

static int look(struct audit_job *job, const struct catalog_cluster *cluster, struct error *err)
{
    _cleanup_picture_ struct picture picture = {0};
    int r = picture_load(job, cluster, &picture, err);
    if (r < 0 || (!picture.audited && !is_everything(job)))
        return r;
    struct server server;
    server_init(&server, job->context, cluster);
    size_t first = job->report->count;
    r = audit_server(job, &server, &picture, err);
    attribute(job->report, first, &picture, cluster);
    struct cluster_scope scope = {&picture, cluster->name};
    audit_report_filter(job->report, is_of_cluster, &scope);
    return r;
}

static int audit_one_cluster(struct audit_job *job, const struct catalog_cluster *cluster,
                             struct error *err)
{
    size_t first = job->report->count;
    int r = look(job, cluster, err);
    if (r < 0 || !disagrees(job->report, first))
        return r;
    struct second_look second;
    put_aside(job, first, &second);
    r = look(job, cluster, err);
    second.findings = job->report->findings;
    audit_report_filter(job->report, still_holds, &second);
    return r;
}

int provision_audit(const struct job_context *context, const struct provision_audit_scope *scope,
                    struct audit_report *report, struct error *err)
{
    _cleanup_arena_ struct arena arena;
    arena_init(&arena, 0);
    _cleanup_catalog_ struct catalog *catalog = NULL;
    int r = catalog_open(context->control, &catalog, err);
    if (r < 0)
        return r;
    struct audit_job job = {
        .context = context, .scope = scope, .catalog = catalog, .arena = &arena, .report = report};
    struct catalog_cluster *clusters = NULL;
    size_t count = 0;
    r = find_scope(&job, err);
    if (r == 0)
        r = catalog_cluster_list(catalog, &arena, &clusters, &count, err);
    for (size_t i = 0; r == 0 && i < count; i++)
        r = audit_one_cluster(&job, &clusters[i], err);
    struct provision_audit_scope wanted = *scope;
    audit_report_filter(report, is_of_scope, &wanted);
    return r;
}
