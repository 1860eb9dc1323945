/*
 * budget.h - how many backends a cluster may have, over all pools of all workers.
 *
 * A slot is taken before a login to the server begins and given back when the backend is closed. A
 * pool that finds none left queues here. Its share is the maximum over all pools that have slots or
 * queue for one: a slot that comes free goes to who has less than a share, and among those alike to
 * who has waited longest. Thread-safe.
 */
#ifndef PROXY_BUDGET_H
#define PROXY_BUDGET_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/list.h"
#include "net/engine.h"

struct worker;
struct budget_claim;

enum {
    BUDGET_YIELD_US = 50 * 1000, /* who has waited so much longer than another gets its slot */
    BUDGET_KEPT_US = 100 * 1000, /* so long an idle backend of no more than a share is kept */
};

struct budget {
    int64_t cluster_id;
    pthread_mutex_t lock;
    int maximum, used;
    int reserved;         /* that pools keep: see budget_reserve */
    int pool_count;       /* claims that have slots or are queued */
    struct list starving; /* of budget_claim, oldest first */
    _Atomic int starving_count;
    atomic_bool evictions_found; /* one of them closed a backend */
    _Atomic int evictions_asked; /* questions to other workers that are under way */
};

/* A pool's wish for a slot. Belongs to the pool; `granted` under the budget's lock. */
struct budget_claim {
    struct list link; /* in budget.starving, or in no list */
    struct worker *worker;
    int64_t since_us;
    bool queued;
    int granted; /* slots that were given and not yet collected */
    int held;    /* slots, with those */
};

void budget_init(struct budget *budget, int64_t cluster_id, int maximum);
void budget_destroy(struct budget *budget);
void budget_set_maximum(struct budget *budget, int maximum);
void budget_claim_init(struct budget_claim *claim, struct worker *worker);

/* True: a slot was taken (first of all one that was granted and not collected), and the claim waits
 * no longer. False: it waits in the queue since `since_us`. So a claim is in the queue, or has one
 * grant, or neither. */
bool budget_acquire(struct budget *budget, struct budget_claim *claim, int64_t since_us);
/* The oldest of those that the claim stands for was served: it stands for younger ones now. Nothing
 * for a claim that is not queued. */
void budget_renew(struct budget *budget, struct budget_claim *claim, int64_t since_us);
/* Takes the slots that were granted while it waited. */
int budget_collect(struct budget *budget, struct budget_claim *claim);
/* Leaves the queue. Returns the slots that were granted meanwhile: the caller releases them. */
int budget_withdraw(struct budget *budget, struct budget_claim *claim);
/* Gives a slot that is free (the maximum was raised) to who is next. Returns its worker, which must
 * be woken; NULL when no slot is free or nobody waits. */
struct worker *budget_grant(struct budget *budget);
/* How many backends should be closed: for claims that wait, or because the maximum was lowered. */
int budget_wanted(struct budget *budget);
/* Whether there are more than the maximum, which was lowered. */
bool budget_is_over(struct budget *budget);
/* Takes a slot for the pool if one is free and nobody waits for it. */
bool budget_take_free(struct budget *budget, struct budget_claim *claim);
/* A pool that keeps `before` backends would keep `wanted`: returns how many it may, as all together
 * keep half of the maximum at most. That takes no slot. */
int budget_reserve(struct budget *budget, int before, int wanted);
/* Gives a slot of the pool's back. Returns the worker whose claim got it (it must be woken), or
 * NULL. */
struct worker *budget_release(struct budget *budget, struct budget_claim *claim);

/*
 * Whether a slot of this pool that nobody uses now is to go to another pool's claim. Its oldest
 * client waits since `waits_since_us` (INT64_MAX: nobody does), its backend is idle since
 * `idle_since_us`, and `now_us` is the same clock. Each change of hands costs a login, so:
 *
 * - who has more than a share gives at once to who has less;
 * - who has no more than a share keeps it, while somebody waits there or for BUDGET_KEPT_US;
 * - else it goes to who has waited BUDGET_YIELD_US longer, or to anybody when nobody waits there.
 *
 * Where there are more pools than slots the last alone holds.
 */
bool budget_owes(struct budget *budget, const struct budget_claim *claim, int64_t waits_since_us,
                 int64_t idle_since_us, int64_t now_us);

#endif
