/*
 * judge.c - advice from facts: a pure function.
 *
 * Those that are regulated are judged first, then who has most backend time; who is to leave a
 * cluster is counted at the other from then on, so that a cluster is not advised to more than it
 * has room for.
 */
#include "advise/advise.h"

#include "advise/effect.h"
#include "base/time.h"

static const double mega = 1024.0 * 1024.0;
static const double slower_least_us =
    TIME_MS; /* by so much a neighbour's transaction is longer at least */

struct judging {
    const struct advise_facts *facts;
    const struct advise_rules *rules;
    struct arena *arena;
    struct advise_use *loads; /* of the clusters, what is not known counted at each */
    int64_t *moved_us;        /* backend time that advice takes there, or away */
    const char **taken;       /* the tenant that is to be alone there; NULL: none */
    int64_t *databases;       /* bytes that are known */
    bool *databases_known;    /* of all that are there */
    struct advice *advice;
    size_t count;
};

const char *advise_cause_name(enum advise_cause cause)
{
    static const char *const names[] = {[ADVISE_REGULATED] = "regulated",
                                        [ADVISE_BUSY] = "busy",
                                        [ADVISE_LARGE] = "large",
                                        [ADVISE_QUIET] = "quiet"};
    return names[cause];
}

/* ---- sums ---- */

static void add_up(struct judging *judging)
{
    const struct advise_facts *facts = judging->facts;
    for (size_t i = 0; i < facts->cluster_count; i++)
        judging->loads[i].backend_us = facts->rest_backend_us;
    for (size_t i = 0; i < facts->database_count; i++)
        judging->databases_known[i] = true;
    for (size_t i = 0; i < facts->placement_count; i++) {
        const struct advise_placement *placement = &facts->placements[i];
        struct advise_use *load = &judging->loads[placement->cluster];
        if (placement->used_known) {
            load->backend_us += placement->used.backend_us;
            load->wait_us += placement->used.wait_us;
            load->transactions += placement->used.transactions;
        }
        judging->databases[placement->database] += placement->bytes;
        judging->databases_known[placement->database] &= placement->size_known;
    }
}

/* 0 to 1; negative: not known. */
static double share_of(const struct judging *judging, const struct advise_placement *placement)
{
    int64_t all = judging->loads[placement->cluster].backend_us;
    if (!placement->used_known)
        return -1;
    return all > 0 ? (double)placement->used.backend_us / (double)all : 0;
}

/* That each transaction of the others on its cluster has waited. */
static double neighbours_wait_us(const struct judging *judging,
                                 const struct advise_placement *placement)
{
    const struct advise_use *load = &judging->loads[placement->cluster];
    int64_t transactions = load->transactions - placement->used.transactions;
    int64_t wait_us = load->wait_us - placement->used.wait_us;
    return transactions > 0 ? (double)wait_us / (double)transactions : 0;
}

/* ---- isolations ---- */

static size_t strength(const struct isolation *isolation)
{
    size_t i = 0;
    while (isolation_at(i) && isolation_at(i) != isolation)
        i++;
    return i;
}

/* The strongest that the service allows, of those that do (not) share a database; NULL: none. */
static const struct isolation *strongest(const struct advise_placement *placement, bool shares)
{
    const struct isolation *found = NULL;
    for (size_t i = 0; i < placement->allowed_count; i++) {
        const struct isolation *isolation = placement->allowed[i];
        if (isolation_shares_database(isolation) == shares &&
            (!found || strength(isolation) > strength(found)))
            found = isolation;
    }
    return found;
}

/* One that is stronger than what it has: in a database of its own where that is allowed. */
static const struct isolation *stronger(const struct advise_placement *placement)
{
    const struct isolation *own = strongest(placement, false);
    const struct isolation *best = own ? own : strongest(placement, true);
    return best && strength(best) > strength(placement->isolation) ? best : NULL;
}

/* ---- clusters ---- */

static bool has_others(const struct judging *judging, size_t cluster, const char *tenant)
{
    const struct advise_facts *facts = judging->facts;
    for (size_t i = 0; i < facts->placement_count; i++) {
        if (facts->placements[i].cluster == cluster &&
            strcmp(facts->placements[i].tenant, tenant) != 0)
            return true;
    }
    return false;
}

/* Of nobody who must be alone there. */
static bool is_open(const struct judging *judging, size_t cluster)
{
    const struct advise_facts *facts = judging->facts;
    for (size_t i = 0; judging->rules->regulated_alone && i < facts->placement_count; i++) {
        if (facts->placements[i].cluster == cluster && facts->placements[i].regulated)
            return false;
    }
    return !judging->taken[cluster];
}

/* Backend time by what the cluster may have at once. */
static double fullness(const struct judging *judging, size_t cluster, int64_t more_us)
{
    int64_t us = judging->loads[cluster].backend_us + judging->moved_us[cluster] + more_us;
    int64_t backends = judging->facts->clusters[cluster].max_backends;
    return (double)us / (double)(backends > 0 ? backends : 1);
}

/* The emptiest that with the tenant is less full than its own is now; -1: none. */
static int64_t find_room(const struct judging *judging, const struct advise_placement *placement)
{
    int64_t found = -1;
    double least = fullness(judging, placement->cluster, 0);
    for (size_t i = 0; i < judging->facts->cluster_count; i++) {
        double then = fullness(judging, i, placement->used.backend_us);
        if (i != placement->cluster && is_open(judging, i) && then < least) {
            found = (int64_t)i;
            least = then;
        }
    }
    return found;
}

static int64_t find_empty(const struct judging *judging, const struct advise_placement *placement)
{
    for (size_t i = 0; i < judging->facts->cluster_count; i++) {
        const char *taken = judging->taken[i];
        if ((!taken || strcmp(taken, placement->tenant) == 0) &&
            !has_others(judging, i, placement->tenant))
            return (int64_t)i;
    }
    return -1;
}

static void move_to(struct judging *judging, struct advice *advice, int64_t cluster)
{
    const struct advise_placement *placement = advice->placement;
    if (cluster < 0 || (size_t)cluster == placement->cluster)
        return;
    advice->cluster = judging->facts->clusters[cluster].name;
    judging->moved_us[cluster] += placement->used.backend_us;
    judging->moved_us[placement->cluster] -= placement->used.backend_us;
    if (judging->rules->regulated_alone && placement->regulated)
        judging->taken[cluster] = placement->tenant;
}

/* ---- the causes ---- */

static void add_reason(struct advice *advice, enum advise_cause cause, const char *text)
{
    advice->reasons[advice->reason_count++] = (struct advise_reason){cause, text};
}

static void be_in_the_way(struct judging *judging, struct advice *advice, const char *what)
{
    advice->obstacle =
        advice->obstacle ? arena_printf(judging->arena, "%s; %s", advice->obstacle, what) : what;
}

static void judge_regulated(struct judging *judging, struct advice *advice)
{
    const struct advise_placement *placement = advice->placement;
    bool shares = isolation_shares_database(placement->isolation);
    bool crowded = placement->regulated && judging->rules->regulated_alone &&
                   has_others(judging, placement->cluster, placement->tenant);
    if (!placement->regulated || (!shares && !crowded))
        return;
    add_reason(advice, ADVISE_REGULATED,
               arena_printf(judging->arena, "it is tagged \"%s\" and shares %s with other tenants",
                            judging->rules->regulated, shares ? "a database" : "a cluster"));
    if (shares) {
        advice->isolation = strongest(placement, false);
        if (!advice->isolation)
            be_in_the_way(judging, advice,
                          arena_printf(judging->arena,
                                       "service %s allows no database of a tenant's own",
                                       placement->service));
    }
    if (!crowded)
        return;
    int64_t empty = find_empty(judging, placement);
    move_to(judging, advice, empty);
    if (empty < 0)
        be_in_the_way(judging, advice, "no cluster is without other tenants");
}

/* NULL: they neither wait nor are slower as the rules say. */
static const char *how_others_fare(const struct judging *judging, const struct advice *advice)
{
    const struct advise_rules *rules = judging->rules;
    const struct advise_effect *effect = &advice->effect;
    double wait_us = neighbours_wait_us(judging, advice->placement);
    double more_us = effect->busy_us - effect->calm_us;
    const char *waits = NULL, *slower = NULL;
    if (wait_us > 0 && wait_us >= (double)rules->busy_wait_us)
        waits =
            arena_printf(judging->arena,
                         "each transaction of others there has waited %.1f ms for one, on average",
                         wait_us / TIME_MS);
    if (effect->known && more_us >= slower_least_us &&
        more_us >= rules->busy_slower * effect->calm_us)
        slower = arena_printf(
            judging->arena,
            "a transaction of others there takes %.1f ms while it is at work, and else %.1f ms",
            effect->busy_us / TIME_MS, effect->calm_us / TIME_MS);
    return waits && slower ? arena_printf(judging->arena, "%s, and %s", waits, slower)
           : waits         ? waits
                           : slower;
}

static void judge_busy(struct judging *judging, struct advice *advice)
{
    const struct advise_placement *placement = advice->placement;
    const struct advise_rules *rules = judging->rules;
    if (!placement->used_known || placement->counted_us < rules->busy_for_us ||
        advice->share < rules->busy_share)
        return;
    const char *others = how_others_fare(judging, advice);
    if (!others)
        return;
    add_reason(advice, ADVISE_BUSY,
               arena_printf(
                   judging->arena,
                   "it has had %.0f %% of the time of cluster %s's server connections, and %s",
                   100 * advice->share, judging->facts->clusters[placement->cluster].name, others));
    if (advice->cluster)
        return;
    int64_t room = find_room(judging, placement);
    move_to(judging, advice, room);
    if (room < 0 && isolation_shares_database(placement->isolation) && !advice->isolation)
        advice->isolation = strongest(placement, false);
    if (room < 0)
        be_in_the_way(judging, advice,
                      "no other cluster has room for it: add one (reeve cluster add), or bound "
                      "it (reeve limit set)");
}

static void judge_large(struct judging *judging, struct advice *advice)
{
    const struct advise_placement *placement = advice->placement;
    const struct advise_rules *rules = judging->rules;
    int64_t all = judging->databases[placement->database];
    bool all_known = judging->databases_known[placement->database];
    if (!isolation_shares_database(placement->isolation) || !all_known || all <= placement->bytes ||
        placement->bytes < rules->large_bytes ||
        (double)placement->bytes < rules->large_share * (double)all)
        return;
    add_reason(advice, ADVISE_LARGE,
               arena_printf(judging->arena,
                            "it has %s%.1f MB, %.0f %% of what tenants have in the database that "
                            "it shares",
                            placement->size_estimated ? "about " : "",
                            (double)placement->bytes / mega,
                            100 * (double)placement->bytes / (double)all));
    if (!advice->isolation)
        advice->isolation = stronger(placement);
    if (!advice->isolation)
        be_in_the_way(judging, advice,
                      arena_printf(judging->arena, "service %s allows no stronger isolation",
                                   placement->service));
}

static double per_hour(const struct advise_placement *placement)
{
    double hours = (double)placement->counted_us / (3600 * (double)TIME_S);
    return hours > 0 ? (double)placement->used.transactions / hours : 0;
}

static void judge_quiet(struct judging *judging, struct advice *advice)
{
    const struct advise_placement *placement = advice->placement;
    const struct advise_rules *rules = judging->rules;
    if (advice->reason_count > 0 || placement->regulated || !placement->used_known ||
        !placement->size_known || isolation_shares_database(placement->isolation) ||
        placement->counted_us == 0 || placement->counted_us < rules->quiet_for_us ||
        placement->bytes > rules->quiet_bytes ||
        per_hour(placement) > (double)rules->quiet_per_hour)
        return;
    advice->isolation =
        isolation_shares_database(placement->usual) ? placement->usual : strongest(placement, true);
    if (!advice->isolation)
        return; /* the service wants it so */
    add_reason(advice, ADVISE_QUIET,
               arena_printf(judging->arena,
                            "it has a database of its own, with the server connections that it "
                            "takes, for %.1f MB and %.0f transactions an hour",
                            (double)placement->bytes / mega, per_hour(placement)));
}

/* ---- all of them ---- */

static int by_turn(const void *a, const void *b)
{
    const struct advise_placement *one = *(const struct advise_placement *const *)a;
    const struct advise_placement *other = *(const struct advise_placement *const *)b;
    if (one->regulated != other->regulated)
        return one->regulated ? -1 : 1;
    if (one->used.backend_us != other->used.backend_us)
        return one->used.backend_us < other->used.backend_us ? 1 : -1;
    int order = strcmp(one->tenant, other->tenant);
    return order != 0 ? order : strcmp(one->service, other->service);
}

static int by_pressure(const void *a, const void *b)
{
    const struct advice *one = a, *other = b;
    if (one->reasons[0].cause != other->reasons[0].cause)
        return one->reasons[0].cause < other->reasons[0].cause ? -1 : 1;
    int order = strcmp(one->placement->tenant, other->placement->tenant);
    return order != 0 ? order : strcmp(one->placement->service, other->placement->service);
}

static void judge_one(struct judging *judging, const struct advise_placement *placement)
{
    struct advice *advice = &judging->advice[judging->count];
    *advice = (struct advice){.placement = placement, .share = share_of(judging, placement)};
    if (advice->share >= judging->rules->busy_share)
        advice->effect = advise_effect(judging->facts, placement, judging->arena);
    judge_regulated(judging, advice);
    judge_busy(judging, advice);
    judge_large(judging, advice);
    judge_quiet(judging, advice);
    judging->count += advice->reason_count > 0;
}

void advise_judge(const struct advise_facts *facts, const struct advise_rules *rules,
                  struct arena *arena, struct advice **ret, size_t *ret_count)
{
    size_t count = facts->placement_count, clusters = facts->cluster_count + 1;
    struct judging judging = {
        .facts = facts,
        .rules = rules,
        .arena = arena,
        .loads = arena_zalloc(arena, clusters * sizeof(*judging.loads)),
        .moved_us = arena_zalloc(arena, clusters * sizeof(*judging.moved_us)),
        .taken = arena_zalloc(
            arena, clusters * sizeof(*judging.taken)), /* NOLINT(bugprone-sizeof-expression) */
        .databases = arena_zalloc(arena, (facts->database_count + 1) * sizeof(*judging.databases)),
        .databases_known =
            arena_zalloc(arena, (facts->database_count + 1) * sizeof(*judging.databases_known)),
        .advice = arena_zalloc(arena, (count + 1) * sizeof(*judging.advice)),
    };
    const struct advise_placement **order =
        arena_zalloc(arena, (count + 1) * sizeof(*order)); /* NOLINT(bugprone-sizeof-expression) */
    for (size_t i = 0; i < count; i++)
        order[i] = &facts->placements[i];
    add_up(&judging);
    qsort(order, count, sizeof(*order), by_turn); /* NOLINT(bugprone-sizeof-expression) */
    for (size_t i = 0; i < count; i++) {
        if (!order[i]->closed && !order[i]->excepted)
            judge_one(&judging, order[i]);
    }
    qsort(judging.advice, judging.count, sizeof(*judging.advice), by_pressure);
    *ret = judging.advice;
    *ret_count = judging.count;
}
