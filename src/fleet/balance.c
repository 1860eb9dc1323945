#include "fleet/balance.h"

#include <sys/types.h>

struct balancing {
    const struct balance_facts *facts;
    int64_t *weights; /* of each cluster, with the moves so far */
    bool *moved;      /* each tenant */
    int64_t enough;   /* two clusters with no more between them are even */
};

enum { NONE = -1 };

/* What can neither give nor take is left out of account. */
static bool counts(const struct balancing *at, size_t cluster)
{
    return at->facts->clusters[cluster].gives || at->facts->clusters[cluster].takes;
}

static double mean(const struct balancing *at)
{
    size_t count = 0;
    int64_t sum = 0;
    for (size_t i = 0; i < at->facts->cluster_count; i++) {
        if (!counts(at, i))
            continue;
        sum += at->weights[i];
        count++;
    }
    return count > 0 ? (double)sum / (double)count : 0;
}

static double spread(const struct balancing *at)
{
    int64_t most = 0, least = INT64_MAX;
    for (size_t i = 0; i < at->facts->cluster_count; i++) {
        if (counts(at, i) && at->weights[i] > most)
            most = at->weights[i];
        if (counts(at, i) && at->weights[i] < least)
            least = at->weights[i];
    }
    return most > 0 ? (double)(most - least) / mean(at) : 0;
}

/* The cluster with least that takes tenants. */
static ssize_t find_taker(const struct balancing *at)
{
    ssize_t found = NONE;
    for (size_t i = 0; i < at->facts->cluster_count; i++)
        if (at->facts->clusters[i].takes && (found == NONE || at->weights[i] < at->weights[found]))
            found = (ssize_t)i;
    return found;
}

/* Whether a comes before b, of those that give: it has more. */
static bool gives_before(const struct balancing *at, size_t a, size_t b)
{
    const int64_t here = at->weights[a], there = at->weights[b];
    return here > there || (here == there && a < b);
}

/* The next one behind `last` (NONE: the first), by what they have. */
static ssize_t find_giver(const struct balancing *at, ssize_t last)
{
    ssize_t found = NONE;
    for (size_t i = 0; i < at->facts->cluster_count; i++)
        if (at->facts->clusters[i].gives && (last == NONE || gives_before(at, (size_t)last, i)) &&
            (found == NONE || gives_before(at, i, (size_t)found)))
            found = (ssize_t)i;
    return found;
}

static int64_t distance(int64_t a, int64_t b)
{
    return a > b ? a - b : b - a;
}

/* The one that leaves least between the two: what is between them is less each time. */
static ssize_t find_tenant(const struct balancing *at, size_t from, int64_t between)
{
    const struct balance_tenant *tenants = at->facts->tenants;
    ssize_t found = NONE;
    for (size_t i = 0; i < at->facts->tenant_count; i++) {
        int64_t weight = tenants[i].weight;
        if (tenants[i].cluster != from || tenants[i].stays || at->moved[i] || weight <= 0 ||
            weight >= between)
            continue;
        if (found == NONE || distance(between - weight, weight) <
                                 distance(between - tenants[found].weight, tenants[found].weight))
            found = (ssize_t)i;
    }
    return found;
}

static bool find_move(const struct balancing *at, struct balance_move *ret)
{
    ssize_t to = find_taker(at);
    ssize_t from = to == NONE ? NONE : find_giver(at, NONE);
    for (; from != NONE; from = find_giver(at, from)) {
        int64_t between = at->weights[from] - at->weights[to];
        if (between <= at->enough)
            return false; /* those behind have less still */
        ssize_t tenant = find_tenant(at, (size_t)from, between);
        if (tenant == NONE)
            continue;
        *ret = (struct balance_move){
            .tenant = (size_t)tenant, .from = (size_t)from, .to = (size_t)to, .between = between};
        return true;
    }
    return false;
}

static void make_move(struct balancing *at, const struct balance_move *move)
{
    int64_t weight = at->facts->tenants[move->tenant].weight;
    at->weights[move->from] -= weight;
    at->weights[move->to] += weight;
    at->moved[move->tenant] = true;
}

void balance_plan(const struct balance_facts *facts, const struct balance_rules *rules,
                  struct arena *arena, struct balance_plan *ret)
{
    size_t clusters = facts->cluster_count, tenants = facts->tenant_count;
    struct balancing at = {.facts = facts,
                           .weights = arena_zalloc(arena, (clusters + 1) * sizeof(int64_t)),
                           .moved = arena_zalloc(arena, tenants + 1)};
    *ret = (struct balance_plan){.moves = arena_zalloc(arena, (tenants + 1) * sizeof(*ret->moves))};
    for (size_t i = 0; i < tenants; i++)
        at.weights[facts->tenants[i].cluster] += facts->tenants[i].weight;
    at.enough = (int64_t)(rules->within * mean(&at));
    ret->before = arena_memdup(arena, at.weights, (clusters + 1) * sizeof(int64_t));
    ret->after = at.weights;
    ret->spread_before = spread(&at);
    struct balance_move move;
    while ((rules->max_moves == 0 || ret->move_count < rules->max_moves) && find_move(&at, &move)) {
        make_move(&at, &move);
        ret->moves[ret->move_count++] = move;
    }
    ret->spread_after = spread(&at);
}
