#include "fleet/many.h"

#include <pthread.h>

#include "catalog/move.h"

struct crew;

/* A thread of the crew, with what it works on. */
struct member {
    struct crew *crew;
    pthread_t thread;
    struct many_item *item;     /* at the moment; its own until it has ended */
    struct job_context context; /* the caller's, but for its progress */
};

/* The mutex guards what changes: next, failures, the arena, the callbacks. An item is its
 * member's. */
struct crew {
    const struct many_options *options;
    int (*work)(struct member *member, struct error *err);
    struct many_item *items;
    size_t count;
    struct arena *arena;

    pthread_mutex_t mutex;
    size_t next; /* index of the first item that nobody has taken up */
    size_t failures;
    bool counts_failures;
};

const char *many_status_name(enum many_status status)
{
    static const char *const names[] = {
        [MANY_PLANNED] = "planned",     [MANY_SKIPPED] = "skipped",
        [MANY_REFUSED] = "refused",     [MANY_MOVED] = "moved",
        [MANY_FAILED] = "failed",       [MANY_INTERRUPTED] = "interrupted",
        [MANY_NOT_BEGUN] = "not begun",
    };
    return names[status];
}

/* ---- the crew ---- */

static bool is_enough(const struct crew *crew)
{
    size_t maximum = crew->options->max_failures;
    return crew->counts_failures && maximum > 0 && crew->failures >= maximum;
}

/* NULL: there is none, or none may begin any more. */
static struct many_item *take_next(struct member *member)
{
    struct crew *crew = member->crew;
    struct many_item *item = NULL;
    pthread_mutex_lock(&crew->mutex);
    while (!item && !is_enough(crew) && !job_cancelled(&member->context) &&
           crew->next < crew->count) {
        struct many_item *next = &crew->items[crew->next++];
        if (next->status == MANY_PLANNED)
            item = next;
    }
    pthread_mutex_unlock(&crew->mutex);
    return item;
}

static bool is_failure(const struct many_item *item)
{
    return item->status == MANY_FAILED || (item->status == MANY_MOVED && item->why);
}

static void put_back(struct member *member, const struct error *why)
{
    struct crew *crew = member->crew;
    struct many_item *item = member->item;
    pthread_mutex_lock(&crew->mutex);
    if (why->code != 0)
        item->why = arena_memdup(crew->arena, why, sizeof(*why));
    crew->failures += is_failure(item);
    if (crew->counts_failures && crew->options->ended)
        crew->options->ended(crew->options->owner, item);
    pthread_mutex_unlock(&crew->mutex);
    member->item = NULL;
}

static void *member_main(void *argument)
{
    struct member *member = argument;
    while ((member->item = take_next(member))) {
        struct error why = {0};
        (void)member->crew->work(member, &why);
        put_back(member, &why);
    }
    return NULL;
}

static void tell_progress(void *owner, const struct job_progress *progress)
{
    struct member *member = owner;
    struct crew *crew = member->crew;
    if (!crew->options->progress)
        return;
    pthread_mutex_lock(&crew->mutex);
    crew->options->progress(crew->options->owner, member->item, progress);
    pthread_mutex_unlock(&crew->mutex);
}

static size_t choose_size(const struct crew *crew)
{
    size_t wanted = crew->options->parallel < 1 ? 1 : (size_t)crew->options->parallel;
    if (wanted > MANY_MAX_PARALLEL)
        wanted = MANY_MAX_PARALLEL;
    return wanted < crew->count ? wanted : crew->count;
}

static void run_crew(const struct job_context *context, struct crew *crew)
{
    struct member members[MANY_MAX_PARALLEL] = {0};
    size_t wanted = choose_size(crew), started = 0;
    pthread_mutex_init(&crew->mutex, NULL);
    for (size_t i = 0; i < wanted; i++) {
        members[i].crew = crew;
        members[i].context = *context;
        members[i].context.progress = tell_progress;
        members[i].context.progress_owner = &members[i];
    }
    while (started < wanted &&
           pthread_create(&members[started].thread, NULL, member_main, &members[started]) == 0)
        started++;
    if (started == 0 && wanted > 0)
        member_main(&members[0]); /* no thread to be had: do it here */
    for (size_t i = 0; i < started; i++)
        pthread_join(members[i].thread, NULL);
    for (size_t i = 0; i < wanted; i++)
        crypto_wipe(members[i].context.master_key, sizeof(members[i].context.master_key));
    pthread_mutex_destroy(&crew->mutex);
}

static struct move_spec make_spec(const struct member *member)
{
    struct move_spec spec = member->crew->options->how;
    spec.tenant = member->item->tenant;
    spec.service = member->item->service;
    spec.isolation = member->item->isolation;
    spec.cluster = member->item->cluster;
    if (member->item->database)
        spec.database = member->item->database;
    return spec;
}

/* ---- looking ---- */

static void take_plan(struct member *member, const struct move_plan *plan)
{
    struct many_item *item = member->item;
    pthread_mutex_lock(&member->crew->mutex);
    for (size_t i = 0; i < array_size(item->needs); i++) {
        item->needs[i] = plan->needs[i];
        if (plan->needs[i].cluster)
            item->needs[i].cluster = arena_strdup(member->crew->arena, plan->needs[i].cluster);
    }
    pthread_mutex_unlock(&member->crew->mutex);
    item->tables = plan->tables;
    item->bytes = plan->bytes;
    item->rows = plan->rows;
    item->pause_us = plan->pause_us;
}

static int check_plan(const struct move_plan *plan, struct error *err)
{
    if (plan->problem_count == 0)
        return 0;
    error_set(err, ERROR_STATE, "%s", plan->problems[0].what);
    if (plan->problems[0].remedy)
        error_hint(err, "%s", plan->problems[0].remedy);
    return -ERROR_STATE;
}

/* Interrupted, it stays planned: the caller asks why. */
static int look_at(struct member *member, struct error *err)
{
    _cleanup_arena_ struct arena arena;
    arena_init(&arena, 0);
    const struct move_spec spec = make_spec(member);
    struct move_plan plan = {0};
    int r = move_plan(&member->context, &spec, &arena, &plan, err);
    if (r == 0) {
        take_plan(member, &plan);
        r = check_plan(&plan, err);
    }
    if (r < 0 && !job_cancelled(&member->context))
        member->item->status = MANY_REFUSED;
    return r;
}

/* ---- slots ---- */

/* Where the slot that an item keeps is, until it is finished: its target. */
static const char *keeping_cluster(const struct many_item *item)
{
    return item->needs[1].cluster ? item->needs[1].cluster : item->needs[0].cluster;
}

/* Of that cluster, while the last of `kept` items moves that are in front of it, and others that
 * move with it: those have two there, or one. */
static bool has_slots(const struct many_options *options, const struct move_need *need, size_t kept)
{
    int64_t at_once = (int64_t)kept < options->parallel ? (int64_t)kept : options->parallel;
    int64_t needed = at_once * need->slots;
    if (!options->finish) /* of those that are through, one each */
        needed += (int64_t)kept - at_once;
    return needed <= need->slots_left;
}

static size_t count_planned(const struct many_item *items, size_t end, const char *cluster)
{
    size_t planned = 0;
    for (size_t i = 0; i < end; i++)
        planned += items[i].status == MANY_PLANNED && items[i].needs[0].slots > 0 &&
                   strcmp(keeping_cluster(&items[i]), cluster) == 0;
    return planned;
}

/* Slots are the server's: what fits alone may not fit with the others. */
static void refuse_beyond_slots(struct crew *crew)
{
    for (size_t i = 0; i < crew->count; i++) {
        struct many_item *item = &crew->items[i];
        if (item->status != MANY_PLANNED || item->needs[0].slots == 0)
            continue;
        const struct move_need *need = item->needs[1].cluster ? &item->needs[1] : &item->needs[0];
        size_t kept = count_planned(crew->items, i, need->cluster) + 1;
        if (has_slots(crew->options, need, kept))
            continue;
        struct error *why = arena_zalloc(crew->arena, sizeof(*why));
        error_set(why, ERROR_LIMIT,
                  "cluster \"%s\" has %lld replication slots left, too few for so many moves",
                  need->cluster, (long long)need->slots_left);
        error_hint(why, "raise max_replication_slots%s",
                   crew->options->finish ? ", or lower --parallel"
                                         : "; with --finish a move keeps none");
        item->why = why;
        item->status = MANY_REFUSED;
    }
}

int many_look(const struct job_context *context, const struct many_options *options,
              struct many_item *items, size_t count, struct arena *arena, struct error *err)
{
    struct crew crew = {
        .options = options, .work = look_at, .items = items, .count = count, .arena = arena};
    run_crew(context, &crew);
    refuse_beyond_slots(&crew);
    return job_cancelled(context) ? error_set(err, ERROR_CANCELLED, "interrupted") : 0;
}

/* ---- moving ---- */

/* What the move was, from its row. */
static int read_outcome(struct member *member, struct error *err)
{
    _cleanup_arena_ struct arena arena;
    arena_init(&arena, 0);
    _cleanup_catalog_ struct catalog *catalog = NULL;
    struct catalog_move *moves = NULL;
    size_t count = 0;
    const struct catalog_move_filter filter = {.placement_id = member->item->placement_id};
    int r = catalog_open(member->context.control, &catalog, err);
    if (r == 0)
        r = catalog_move_list(catalog, &arena, &filter, &moves, &count, err);
    if (r < 0 || count == 0)
        return r;
    member->item->pause_us = moves[count - 1].pause_us;
    member->item->rows = moves[count - 1].rows_done;
    member->item->bytes = moves[count - 1].bytes_done;
    return 0;
}

static int move_one(struct member *member, struct error *err)
{
    struct many_item *item = member->item;
    const struct move_spec spec = make_spec(member);
    int r = move_start(&member->context, &spec, err);
    if (r < 0) {
        bool interrupted = r == -ERROR_CANCELLED && job_cancelled(&member->context);
        item->status = interrupted ? MANY_INTERRUPTED : MANY_FAILED;
        return r;
    }
    item->status = MANY_MOVED;
    r = read_outcome(member, err);
    if (r == 0 && member->crew->options->finish)
        r = move_finish(&member->context, item->tenant, item->service, false, false, err);
    item->finished = r == 0 && member->crew->options->finish;
    return r;
}

void many_summarize(const struct many_item *items, size_t count, struct many_summary *ret)
{
    *ret = (struct many_summary){0};
    for (size_t i = 0; i < count; i++) {
        ret->of[items[i].status]++;
        ret->failures += is_failure(&items[i]);
        if (items[i].status == MANY_PLANNED || items[i].status == MANY_MOVED)
            ret->bytes += items[i].bytes;
    }
}

static int tell_unmoved(const struct many_item *items, size_t count, struct error *err)
{
    size_t unmoved = 0, meant = 0;
    const struct many_item *first = NULL;
    for (size_t i = 0; i < count; i++) {
        if (items[i].status == MANY_SKIPPED)
            continue;
        meant++;
        if (items[i].status == MANY_MOVED && !items[i].why)
            continue;
        unmoved++;
        if (!first && items[i].why)
            first = &items[i];
    }
    if (unmoved == 0)
        return 0;
    error_set(err, ERROR_STATE, "%zu of %zu tenants were not moved, or not as they should be",
              unmoved, meant);
    if (first)
        error_detail(err, "tenant \"%s\": %.900s", first->tenant, first->why->message);
    error_hint(err, "run the command again for those that are left, when that is mended");
    return -ERROR_STATE;
}

int many_run(const struct job_context *context, const struct many_options *options,
             struct many_item *items, size_t count, struct arena *arena, struct error *err)
{
    struct crew crew = {.options = options,
                        .work = move_one,
                        .items = items,
                        .count = count,
                        .arena = arena,
                        .counts_failures = true};
    run_crew(context, &crew);
    for (size_t i = 0; i < count; i++)
        if (items[i].status == MANY_PLANNED)
            items[i].status = MANY_NOT_BEGUN;
    if (job_cancelled(context))
        return error_set(err, ERROR_CANCELLED, "interrupted");
    return tell_unmoved(items, count, err);
}
