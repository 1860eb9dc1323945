#include "proxy/budget.h"

void budget_init(struct budget *budget, int64_t cluster_id, int maximum)
{
    *budget = (struct budget){.cluster_id = cluster_id, .maximum = maximum};
    pthread_mutex_init(&budget->lock, NULL);
    list_init(&budget->starving);
    atomic_store(&budget->oldest_us, INT64_MAX);
}

void budget_destroy(struct budget *budget)
{
    pthread_mutex_destroy(&budget->lock);
}

void budget_set_maximum(struct budget *budget, int maximum)
{
    pthread_mutex_lock(&budget->lock);
    budget->maximum = maximum;
    pthread_mutex_unlock(&budget->lock);
}

void budget_claim_init(struct budget_claim *claim, struct worker *worker)
{
    *claim = (struct budget_claim){.worker = worker};
    list_init(&claim->link);
}

/* The lock is held. */
static void note_oldest(struct budget *budget)
{
    struct budget_claim *oldest = list_first(&budget->starving, struct budget_claim, link);
    atomic_store_explicit(&budget->oldest_us, oldest ? oldest->since_us : INT64_MAX,
                          memory_order_relaxed);
    atomic_store_explicit(&budget->oldest, oldest, memory_order_relaxed);
}

static void leave_queue(struct budget *budget, struct budget_claim *claim)
{
    if (!claim->queued)
        return;
    list_remove(&claim->link);
    claim->queued = false;
    atomic_fetch_sub(&budget->starving_count, 1);
    note_oldest(budget);
}

/* Oldest first; claims come nearly in order, so the search from the end is short. */
static void enter_queue(struct budget *budget, struct budget_claim *claim, int64_t since_us)
{
    if (claim->queued)
        return;
    claim->since_us = since_us;
    claim->queued = true;
    struct list *after = budget->starving.previous;
    while (after != &budget->starving &&
           list_entry(after, struct budget_claim, link)->since_us > since_us)
        after = after->previous;
    list_insert_(&claim->link, after, after->next);
    atomic_fetch_add(&budget->starving_count, 1);
    note_oldest(budget);
}

bool budget_acquire(struct budget *budget, struct budget_claim *claim, int64_t since_us)
{
    pthread_mutex_lock(&budget->lock);
    struct budget_claim *oldest = list_first(&budget->starving, struct budget_claim, link);
    bool granted = claim->granted > 0;
    bool first = !oldest || oldest == claim || (!claim->queued && since_us < oldest->since_us);
    bool got = granted || (budget->used < budget->maximum && first);
    if (granted) {
        claim->granted--; /* it came since the last look, and is counted already */
    } else if (got) {
        budget->used++;
        leave_queue(budget, claim);
    } else {
        enter_queue(budget, claim, since_us);
    }
    pthread_mutex_unlock(&budget->lock);
    return got;
}

void budget_renew(struct budget *budget, struct budget_claim *claim, int64_t since_us)
{
    pthread_mutex_lock(&budget->lock);
    if (claim->queued && claim->since_us != since_us) {
        leave_queue(budget, claim);
        enter_queue(budget, claim, since_us);
    }
    pthread_mutex_unlock(&budget->lock);
}

int budget_collect(struct budget *budget, struct budget_claim *claim)
{
    pthread_mutex_lock(&budget->lock);
    int granted = claim->granted;
    claim->granted = 0;
    pthread_mutex_unlock(&budget->lock);
    return granted;
}

int budget_withdraw(struct budget *budget, struct budget_claim *claim)
{
    pthread_mutex_lock(&budget->lock);
    leave_queue(budget, claim);
    int granted = claim->granted;
    claim->granted = 0;
    pthread_mutex_unlock(&budget->lock);
    return granted;
}

struct worker *budget_grant(struct budget *budget)
{
    struct worker *woken = NULL;
    pthread_mutex_lock(&budget->lock);
    struct budget_claim *claim = list_first(&budget->starving, struct budget_claim, link);
    if (claim && budget->used < budget->maximum) {
        leave_queue(budget, claim);
        claim->granted++;
        budget->used++;
        woken = claim->worker;
    }
    pthread_mutex_unlock(&budget->lock);
    return woken;
}

int budget_wanted(struct budget *budget)
{
    pthread_mutex_lock(&budget->lock);
    int over = budget->used > budget->maximum ? budget->used - budget->maximum : 0;
    int wanted = over + atomic_load(&budget->starving_count);
    pthread_mutex_unlock(&budget->lock);
    return wanted;
}

bool budget_is_over(struct budget *budget)
{
    pthread_mutex_lock(&budget->lock);
    bool over = budget->used > budget->maximum;
    pthread_mutex_unlock(&budget->lock);
    return over;
}

bool budget_take_free(struct budget *budget)
{
    pthread_mutex_lock(&budget->lock);
    bool free_ = list_empty(&budget->starving) && budget->used < budget->maximum;
    if (free_)
        budget->used++;
    pthread_mutex_unlock(&budget->lock);
    return free_;
}

int budget_reserve(struct budget *budget, int before, int wanted)
{
    if (before == 0 && wanted == 0)
        return 0;
    pthread_mutex_lock(&budget->lock);
    budget->reserved -= before;
    int left = budget->maximum / 2 - budget->reserved;
    int may = wanted < left ? wanted : left > 0 ? left : 0;
    budget->reserved += may;
    pthread_mutex_unlock(&budget->lock);
    return may;
}

struct worker *budget_release(struct budget *budget)
{
    struct worker *woken = NULL;
    pthread_mutex_lock(&budget->lock);
    struct budget_claim *claim = list_first(&budget->starving, struct budget_claim, link);
    if (claim && budget->used <= budget->maximum) {
        leave_queue(budget, claim);
        claim->granted++;
        woken = claim->worker;
    } else {
        budget->used--;
    }
    pthread_mutex_unlock(&budget->lock);
    return woken;
}
