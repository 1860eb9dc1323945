/*
 * effect.c - moments in which a tenant is at work beside moments in which it is calm.
 *
 * How much "at work" is, its own moments say: half of what it had in the second of those in which
 * it had most. Each neighbour is compared with itself, and weighs as much as it does while the
 * tenant is calm: what others do at which time, and that who is slowed down does less, makes no
 * difference.
 */
#include "advise/effect.h"

enum { OF_A_KIND_LEAST = 2 }; /* moments */
/* Transactions of a neighbour, and of all that are compared. */
enum { CALM_LEAST = 5, AT_WORK_LEAST = 3, ALL_CALM_LEAST = 50 };

enum kind { NEITHER, AT_WORK, CALM };

/* Those that are known; *ret_second: the second of the largest figures. */
static size_t count_known(const struct advise_placement *placement, size_t count,
                          double *ret_second)
{
    double largest = 0, second = 0;
    size_t known = 0;
    for (size_t i = 0; i < count; i++) {
        const struct advise_moment *moment = &placement->moments[i];
        if (!moment->known)
            continue;
        known++;
        if (moment->backends >= largest) {
            second = largest;
            largest = moment->backends;
        } else if (moment->backends > second) {
            second = moment->backends;
        }
    }
    *ret_second = second;
    return known;
}

/* What has waited through its work ends behind it: a moment is calm behind another that is. */
static bool find_kinds(const struct advise_placement *placement, size_t count, enum kind *kinds)
{
    double second;
    size_t at_work = 0, calm = 0;
    bool was_calm = false;
    if (count_known(placement, count, &second) < ADVISE_MOMENTS_LEAST || second <= 0)
        return false;
    for (size_t i = 0; i < count; i++) {
        const struct advise_moment *moment = &placement->moments[i];
        bool is_calm = moment->known && moment->backends <= second / 4;
        kinds[i] = moment->known && moment->backends >= second / 2 ? AT_WORK
                   : is_calm && was_calm                           ? CALM
                                                                   : NEITHER;
        at_work += kinds[i] == AT_WORK;
        calm += kinds[i] == CALM;
        was_calm = is_calm;
    }
    return at_work >= OF_A_KIND_LEAST && calm >= OF_A_KIND_LEAST;
}

static struct advise_moment add_up(const struct advise_placement *placement, const enum kind *kinds,
                                   size_t count, enum kind kind)
{
    struct advise_moment sum = {.known = true};
    for (size_t i = 0; i < count; i++) {
        const struct advise_moment *moment = &placement->moments[i];
        if (!moment->known || kinds[i] != kind)
            continue;
        sum.transactions += moment->transactions;
        sum.took_us += moment->took_us;
    }
    return sum;
}

struct advise_effect advise_effect(const struct advise_facts *facts,
                                   const struct advise_placement *placement, struct arena *arena)
{
    size_t count = facts->moment_count;
    enum kind *kinds = arena_zalloc(arena, (count + 1) * sizeof(*kinds));
    double at_work_us = 0, calm_us = 0, transactions = 0;
    if (!placement->moments || !find_kinds(placement, count, kinds))
        return (struct advise_effect){0};
    for (size_t i = 0; i < facts->placement_count; i++) {
        const struct advise_placement *other = &facts->placements[i];
        if (other->cluster != placement->cluster || !other->moments ||
            strcmp(other->tenant, placement->tenant) == 0)
            continue;
        struct advise_moment at_work = add_up(other, kinds, count, AT_WORK),
                             calm = add_up(other, kinds, count, CALM);
        if (at_work.transactions < AT_WORK_LEAST || calm.transactions < CALM_LEAST)
            continue;
        at_work_us += at_work.took_us / at_work.transactions * calm.transactions;
        calm_us += calm.took_us;
        transactions += calm.transactions;
    }
    if (transactions < ALL_CALM_LEAST)
        return (struct advise_effect){0};
    return (struct advise_effect){true, at_work_us / transactions, calm_us / transactions};
}
