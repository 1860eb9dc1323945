#include "migrate/fleet.h"

#include "base/log.h"

void fleet_init(struct fleet *fleet, const struct job_context *context,
                const struct migrate_options *options, const struct migration_set *set,
                int64_t service_id)
{
    *fleet = (struct fleet){
        .context = context, .options = options, .set = set, .service_id = service_id};
    pthread_mutex_init(&fleet->mutex, NULL);
    snprintf(fleet->summary.newest, sizeof(fleet->summary.newest), "%s", migration_set_newest(set));
}

void fleet_destroy(struct fleet *fleet)
{
    pthread_mutex_destroy(&fleet->mutex);
}

/* ---- outcomes ---- */

static void count_outcome(struct migrate_summary *summary, enum migrate_status status)
{
    switch (status) {
    case MIGRATE_CURRENT:
        summary->current++;
        break;
    case MIGRATE_PENDING:
        summary->pending++;
        break;
    case MIGRATE_APPLIED:
        summary->applied++;
        break;
    case MIGRATE_FAILED:
        summary->failed++;
        break;
    }
}

static void tell(struct fleet *fleet, const struct migrate_outcome *outcome)
{
    pthread_mutex_lock(&fleet->mutex);
    fleet->summary.targets++;
    count_outcome(&fleet->summary, outcome->status);
    if (outcome->status == MIGRATE_FAILED && !fleet->failed) {
        fleet->failed = true;
        fleet->failure = *outcome->error;
    }
    if (fleet->options->outcome)
        fleet->options->outcome(fleet->options->owner, outcome);
    pthread_mutex_unlock(&fleet->mutex);
}

static enum migrate_status status_of(const struct migrate_result *result, bool dry_run)
{
    if (result->file_count == 0)
        return MIGRATE_CURRENT;
    return dry_run ? MIGRATE_PENDING : MIGRATE_APPLIED;
}

/* Migrates one target and tells what came of it; the error names it. */
static int migrate_one(struct fleet *fleet, struct catalog *catalog, const struct site *site,
                       const struct isolation_target *target,
                       const struct catalog_placement *placement, struct migrate_outcome *outcome,
                       struct arena *arena, struct error *err)
{
    struct migrate_result result = {.from = "", .to = fleet->summary.newest};
    int r = site_migrate(catalog, site, target, placement, fleet->set, fleet->options->dry_run,
                         arena, &result, err);
    outcome->status = r < 0 ? MIGRATE_FAILED : status_of(&result, fleet->options->dry_run);
    outcome->from = result.from;
    outcome->to = result.to;
    outcome->files = result.files;
    outcome->file_count = result.file_count;
    outcome->notes = result.notes;
    outcome->note_count = result.note_count;
    if (r < 0) {
        error_prefix(err, "%s", outcome->target);
        outcome->error = err;
    }
    tell(fleet, outcome);
    return r;
}

/* ---- what is shared ---- */

static int migrate_bases_locked(struct fleet *fleet, struct catalog *catalog,
                                const struct site *site, struct arena *arena, struct error *err)
{
    const struct isolation_target *targets;
    size_t count = isolation_base_targets(arena, &site->isolation, &targets);
    int r = 0;
    if (site->empty || site->login.owner_password.length == 0)
        return 0;
    for (size_t i = 0; r == 0 && i < count; i++) {
        struct migrate_outcome outcome = {.target = arena_printf(arena, "%s on cluster %s",
                                                                 targets[i].description,
                                                                 site->cluster.name)};
        r = migrate_one(fleet, catalog, site, &targets[i], NULL, &outcome, arena, err);
    }
    return r;
}

/* A database may have been made or dropped since the cluster was found. */
static int migrate_cluster_bases(struct fleet *fleet, struct catalog *catalog, int64_t cluster_id,
                                 struct arena *arena, struct error *err)
{
    struct site site;
    int r = site_load_locked(fleet->context, catalog, arena, fleet->service_id, cluster_id, NULL,
                             &site, err);
    if (r < 0)
        return r;
    r = migrate_bases_locked(fleet, catalog, &site, arena, err);
    site_unlock(catalog, &site);
    return r;
}

struct visits {
    int64_t *clusters;
    size_t count;
};

static bool was_visited(const struct visits *visits, int64_t cluster_id)
{
    for (size_t i = 0; i < visits->count; i++)
        if (visits->clusters[i] == cluster_id)
            return true;
    return false;
}

static int visit_new_clusters(struct fleet *fleet, struct catalog *catalog, struct visits *visits,
                              struct arena *arena, struct error *err)
{
    struct catalog_service_database *databases;
    size_t count;
    int r = catalog_service_database_list(catalog, arena, fleet->service_id, 0, &databases, &count,
                                          err);
    if (r < 0)
        return r;
    int64_t *clusters = arena_zalloc(arena, (visits->count + count + 1) * sizeof(*clusters));
    for (size_t i = 0; i < visits->count; i++)
        clusters[i] = visits->clusters[i];
    visits->clusters = clusters;
    for (size_t i = 0; r == 0 && i < count; i++) {
        if (was_visited(visits, databases[i].cluster_id))
            continue;
        clusters[visits->count++] = databases[i].cluster_id;
        r = migrate_cluster_bases(fleet, catalog, databases[i].cluster_id, arena, err);
    }
    return r;
}

/* The service may have come to another cluster meanwhile, with what the folder had before. */
int fleet_migrate_bases(struct fleet *fleet, struct catalog *catalog, struct arena *arena,
                        struct error *err)
{
    struct visits visits = {0};
    size_t before;
    int r;
    do {
        before = visits.count;
        r = visit_new_clusters(fleet, catalog, &visits, arena, err);
    } while (r == 0 && visits.count > before);
    return r;
}

/* ---- placements ---- */

static bool is_migrated(const struct catalog_placement *placement)
{
    return placement->state == CATALOG_PLACEMENT_READY ||
           placement->state == CATALOG_PLACEMENT_MIGRATING;
}

static int migrate_locked(struct fleet *fleet, struct catalog *catalog, int64_t id,
                          struct arena *arena, struct error *err)
{
    struct catalog_placement placement; /* read behind the lock: it may have gone */
    int r = catalog_placement_get(catalog, arena, id, &placement, err);
    if (r == -ERROR_NOT_FOUND || (r == 0 && !is_migrated(&placement))) {
        error_clear(err);
        return 0;
    }
    struct site site;
    struct isolation_placement isolated;
    if (r == 0)
        r = site_load_of(fleet->context, catalog, arena, &placement, &site, err);
    if (r == 0)
        r = site_placement(arena, &site, &placement, &isolated, err);
    if (r != 0)
        return r;
    struct isolation_target target;
    isolation_target(arena, &site.isolation, &isolated, &target);
    if (site_is_base(arena, &site, &target))
        return 0; /* done with the bases */
    struct migrate_outcome outcome = {
        .target = arena_printf(arena, "tenant \"%s\" (%s)", placement.tenant,
                               isolation_describe(arena, &isolated, site.cluster.name)),
        .tenant = placement.tenant,
        .placement_id = id,
    };
    return migrate_one(fleet, catalog, &site, &target, &placement, &outcome, arena, err);
}

static int migrate_placement(struct fleet *fleet, struct catalog *catalog, int64_t id,
                             struct error *err)
{
    _cleanup_arena_ struct arena arena;
    arena_init(&arena, 0);
    char subject[JOB_SUBJECT_SIZE];
    job_subject_placement(id, subject);
    int r =
        job_lock(catalog, subject, fleet->context->lock_wait_us, fleet->context->cancelled, err);
    if (r < 0)
        return r;
    r = migrate_locked(fleet, catalog, id, &arena, err);
    job_unlock(catalog, subject);
    return r;
}

/* The next placement's id; false when all are taken up, or one has failed. */
static bool take_next(struct fleet *fleet, int64_t *ret_id)
{
    pthread_mutex_lock(&fleet->mutex);
    bool more =
        !fleet->failed && !job_cancelled(fleet->context) && fleet->next < fleet->placement_count;
    if (more)
        *ret_id = fleet->placement_ids[fleet->next++];
    pthread_mutex_unlock(&fleet->mutex);
    return more;
}

/* A failure that no outcome has told of: of a lock, or of the control database. */
static void keep_failure(struct fleet *fleet, const struct error *why)
{
    pthread_mutex_lock(&fleet->mutex);
    if (!fleet->failed) {
        fleet->failed = true;
        fleet->failure = *why;
    }
    pthread_mutex_unlock(&fleet->mutex);
}

static void *migrator_main(void *argument)
{
    struct fleet *fleet = argument;
    struct error err = {0};
    _cleanup_catalog_ struct catalog *catalog = NULL;
    int r = catalog_open(fleet->context->control, &catalog, &err);
    int64_t id;
    while (r == 0 && take_next(fleet, &id))
        r = migrate_placement(fleet, catalog, id, &err);
    if (r < 0)
        keep_failure(fleet, &err);
    return NULL;
}

static size_t choose_concurrency(const struct fleet *fleet)
{
    size_t wanted = fleet->options->concurrency > 0 ? (size_t)fleet->options->concurrency
                                                    : MIGRATE_DEFAULT_CONCURRENCY;
    if (wanted > MIGRATE_MAX_CONCURRENCY)
        wanted = MIGRATE_MAX_CONCURRENCY;
    return wanted < fleet->placement_count ? wanted : fleet->placement_count;
}

static void run_migrators(struct fleet *fleet)
{
    pthread_t threads[MIGRATE_MAX_CONCURRENCY];
    size_t wanted = choose_concurrency(fleet), started = 0;
    while (started < wanted && pthread_create(&threads[started], NULL, migrator_main, fleet) == 0)
        started++;
    if (started == 0 && wanted > 0)
        migrator_main(fleet); /* no thread to be had: do it here */
    for (size_t i = 0; i < started; i++)
        pthread_join(threads[i], NULL);
}

static int list_placements(struct fleet *fleet, struct catalog *catalog, struct arena *arena,
                           struct error *err)
{
    struct catalog_placement_filter filter = CATALOG_PLACEMENT_ANY;
    filter.service_id = fleet->service_id;
    struct catalog_placement *placements;
    size_t count;
    int r = catalog_placement_list(catalog, arena, &filter, &placements, &count, err);
    if (r < 0)
        return r;
    int64_t *ids = arena_alloc(arena, (count + 1) * sizeof(*ids));
    size_t kept = 0;
    for (size_t i = 0; i < count; i++)
        if (is_migrated(&placements[i]))
            ids[kept++] = placements[i].id;
    fleet->placement_ids = ids;
    fleet->placement_count = kept;
    return 0;
}

int fleet_migrate_placements(struct fleet *fleet, struct catalog *catalog, struct arena *arena,
                             struct error *err)
{
    int r = list_placements(fleet, catalog, arena, err);
    if (r < 0)
        return r;
    run_migrators(fleet);
    fleet->summary.untouched = fleet->placement_count - fleet->next;
    if (fleet->failed) {
        if (err)
            *err = fleet->failure;
        return fleet->failure.code;
    }
    if (job_cancelled(fleet->context))
        return error_set(err, ERROR_CANCELLED, "interrupted");
    return 0;
}
