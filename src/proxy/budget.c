#include "proxy/budget.h"

enum { CLAIMS_SEARCH = 64 /* claims that are looked at for one of less than a share */ };

void budget_init(struct budget *budget, int64_t cluster_id, int maximum)
{
    *budget = (struct budget){.cluster_id = cluster_id, .maximum = maximum};
    pthread_mutex_init(&budget->lock, NULL);
    list_init(&budget->starving);
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

/* ---- shares; the lock is held ---- */

static bool counts(const struct budget_claim *claim)
{
    return claim->held > 0 || claim->queued;
}

static void hold(struct budget *budget, struct budget_claim *claim, int by)
{
    bool counted = counts(claim);
    claim->held += by;
    budget->pool_count += counts(claim) - counted;
}

static void set_queued(struct budget *budget, struct budget_claim *claim, bool queued)
{
    bool counted = counts(claim);
    claim->queued = queued;
    budget->pool_count += counts(claim) - counted;
}

static int share_of(const struct budget *budget)
{
    int share = budget->pool_count > 0 ? budget->maximum / budget->pool_count : 0;
    return share > 0 ? share : 1;
}

/* ---- the queue; the lock is held ---- */

static void leave_queue(struct budget *budget, struct budget_claim *claim)
{
    if (!claim->queued)
        return;
    list_remove(&claim->link);
    set_queued(budget, claim, false);
    atomic_fetch_sub(&budget->starving_count, 1);
}

/* Oldest first; claims come nearly in order, so the search from the end is short. */
static void enter_queue(struct budget *budget, struct budget_claim *claim, int64_t since_us)
{
    if (claim->queued)
        return;
    claim->since_us = since_us;
    set_queued(budget, claim, true);
    struct list *after = budget->starving.previous;
    while (after != &budget->starving &&
           list_entry(after, struct budget_claim, link)->since_us > since_us)
        after = after->previous;
    list_insert_(&claim->link, after, after->next);
    atomic_fetch_add(&budget->starving_count, 1);
}

/* Who gets the next slot: the oldest of those that have less than a share, else the oldest. */
static struct budget_claim *next_claim(const struct budget *budget)
{
    int share = share_of(budget), looked_at = 0;
    list_for_each (link, &budget->starving) {
        struct budget_claim *claim = list_entry(link, struct budget_claim, link);
        if (claim->held < share)
            return claim;
        if (++looked_at == CLAIMS_SEARCH)
            break;
    }
    return list_first(&budget->starving, struct budget_claim, link);
}

static struct worker *grant(struct budget *budget, struct budget_claim *claim)
{
    leave_queue(budget, claim);
    hold(budget, claim, 1);
    claim->granted++;
    return claim->worker;
}

/* ---- claims and slots ---- */

bool budget_acquire(struct budget *budget, struct budget_claim *claim, int64_t since_us)
{
    pthread_mutex_lock(&budget->lock);
    const struct budget_claim *next = next_claim(budget);
    bool granted = claim->granted > 0;
    bool first = !next || next == claim || (!claim->queued && since_us < next->since_us);
    bool got = granted || (budget->used < budget->maximum && first);
    if (granted) {
        claim->granted--; /* it came since the last look, and is counted already */
    } else if (got) {
        budget->used++;
        hold(budget, claim, 1);
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
    struct budget_claim *claim = next_claim(budget);
    if (claim && budget->used < budget->maximum) {
        budget->used++;
        woken = grant(budget, claim);
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

bool budget_take_free(struct budget *budget, struct budget_claim *claim)
{
    pthread_mutex_lock(&budget->lock);
    bool free_ = list_empty(&budget->starving) && budget->used < budget->maximum;
    if (free_) {
        budget->used++;
        hold(budget, claim, 1);
    }
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

struct worker *budget_release(struct budget *budget, struct budget_claim *claim)
{
    struct worker *woken = NULL;
    pthread_mutex_lock(&budget->lock);
    hold(budget, claim, -1);
    struct budget_claim *next = next_claim(budget);
    if (next && budget->used <= budget->maximum)
        woken = grant(budget, next);
    else
        budget->used--;
    pthread_mutex_unlock(&budget->lock);
    return woken;
}

/* ---- who keeps a slot ---- */

static bool owes(const struct budget *budget, const struct budget_claim *claim,
                 int64_t waits_since_us, int64_t idle_us)
{
    const struct budget_claim *next = next_claim(budget);
    if (!next || next == claim)
        return false;
    int share = share_of(budget);
    bool waits = waits_since_us != INT64_MAX;
    if (budget->pool_count <= budget->maximum) {
        if (claim->held <= share)
            return !waits && idle_us >= BUDGET_KEPT_US;
        if (next->held < share)
            return true;
    }
    return !waits || waits_since_us - BUDGET_YIELD_US > next->since_us;
}

bool budget_owes(struct budget *budget, const struct budget_claim *claim, int64_t waits_since_us,
                 int64_t idle_since_us, int64_t now_us)
{
    if (atomic_load_explicit(&budget->starving_count, memory_order_relaxed) == 0)
        return false;
    pthread_mutex_lock(&budget->lock);
    bool result = owes(budget, claim, waits_since_us, now_us - idle_since_us);
    pthread_mutex_unlock(&budget->lock);
    return result;
}
