#include "move/pace.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>

#include "base/failpoint.h"
#include "base/log.h"
#include "base/time.h"
#include "sql/statements.h"

enum {
    PROBE_US = 50 * TIME_MS,
    STALL_US = 5 * TIME_MS, /* an answer to a probe is looked for so often */
    DECIDE_US = TIME_S / PACE_DECISIONS_PER_S,
    LOOK_US = TIME_S,         /* who else is there */
    BURST_US = 100 * TIME_MS, /* that may be made up for */
    HALT_US = 100 * TIME_MS,  /* halt is looked at so often */
    BREATH_US = 2 * TIME_S,   /* that is waited for commits to be quick, at most */
    PROBES = 10,              /* that are averaged */
    FIRST_PROBES = 5,         /* before anything is copied */
    SLOWER_MAX = 4,           /* times what a commit took then, may it take */
    QUICK_FOR_MORE = PACE_DECISIONS_PER_S,
};

static const double first_rate = 16 << 20, least_rate = 2 << 20; /* bytes a second */
static const double slower = 0.7, faster = 1.15, quick_share = 0.6, used_share = 0.5;

/* ---- deciding ---- */

struct pace_decision pace_begin(const struct pace_bounds *bounds, bool others)
{
    if (!others || bounds->commit_us == 0)
        return (struct pace_decision){.members = bounds->members};
    return (struct pace_decision){.bytes_per_s = first_rate, .members = 1};
}

static struct pace_decision slow_down(const struct pace_decision *last,
                                      const struct pace_seen *seen)
{
    double rate = last->bytes_per_s < seen->bytes_per_s ? last->bytes_per_s : seen->bytes_per_s;
    rate *= slower;
    return (struct pace_decision){.bytes_per_s = rate > least_rate ? rate : least_rate,
                                  .members = last->members > 1 ? last->members - 1 : 1,
                                  .tight = true};
}

/* What is not used up is not raised: it would be no bound when it is needed. */
static struct pace_decision speed_up(const struct pace_bounds *bounds,
                                     const struct pace_decision *last, const struct pace_seen *seen)
{
    struct pace_decision next = *last;
    next.tight = false;
    next.quick++;
    if (seen->bytes_per_s > last->bytes_per_s * used_share)
        next.bytes_per_s *= faster;
    if (next.quick % QUICK_FOR_MORE == 0 && next.members < bounds->members)
        next.members++;
    return next;
}

struct pace_decision pace_decide(const struct pace_bounds *bounds, const struct pace_decision *last,
                                 const struct pace_seen *seen)
{
    if (!seen->others || bounds->commit_us == 0 || last->bytes_per_s == 0)
        return pace_begin(bounds, seen->others);
    if (seen->commit_us > bounds->commit_us)
        return slow_down(last, seen);
    if ((double)seen->commit_us < (double)bounds->commit_us * quick_share)
        return speed_up(bounds, last, seen);
    struct pace_decision next = *last;
    next.tight = false;
    next.quick = 0;
    return next;
}

/* ---- an end ---- */

struct end {
    struct place *place;
    struct pg_connection *connection; /* NULL: it cannot be asked */
    bool others;
    int64_t took_us[PROBES];
    size_t probes;
    int64_t usual_us; /* before anything was copied */
};

struct pace {
    pthread_t thread;
    const atomic_bool *halt;
    atomic_bool ended; /* what is asked of a server is given up */
    struct pace_bounds bounds;
    struct end ends[2];
    size_t end_count;
    int64_t looked_us, decided_us, counted; /* counted: of passed, when it was decided last */

    pthread_mutex_t lock;
    pthread_cond_t changed;
    /* Under the lock. */
    bool stop;
    struct pace_decision decision;
    int64_t commit_us;
    int64_t probing_us; /* since when; 0: nobody waits for a commit */
    int inside;         /* members */
    int64_t passed;     /* bytes */
    int64_t next_us;    /* when the next byte may go */
};

static void give_up(struct pace *pace, struct end *end, const struct error *why)
{
    if (!atomic_load(&pace->ended))
        log_write_error(LOG_WARNING, why,
                        "cluster %s: what a commit takes is not known, and copying not slowed down",
                        end->place->site.cluster.name);
    end->connection = pg_close(end->connection);
    end->others = false;
}

static void look(struct pace *pace, struct end *end)
{
    struct error err = {0};
    _cleanup_pg_result_ struct pg_result *found = NULL;
    if (pg_query(end->connection, sql_move_others_at_work, 0, NULL, &found, &err) < 0)
        give_up(pace, end, &err);
    else
        end->others = pg_bool(found, 0, 0);
}

static void probe(struct pace *pace, struct end *end)
{
    struct error err = {0};
    int64_t began_us = time_monotonic_us();
    if (pg_execute(end->connection, sql_move_probe, 0, NULL, NULL, &err) < 0)
        give_up(pace, end, &err);
    else
        end->took_us[end->probes++ % PROBES] = time_monotonic_us() - began_us;
}

static int64_t average_us(const struct end *end)
{
    size_t count = end->probes < PROBES ? end->probes : PROBES;
    int64_t sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += end->took_us[i];
    return count > 0 ? sum / (int64_t)count : 0;
}

static void open_end(struct pace *pace, struct place *place)
{
    struct end *end = &pace->ends[pace->end_count++];
    struct error err = {0};
    *end = (struct end){.place = place};
    if (server_connect(&place->server, NULL, &end->connection, &err) < 0) {
        give_up(pace, end, &err);
        return;
    }
    pg_set_cancel_flag(end->connection, &pace->ended);
    for (int i = 0; end->connection && i < FIRST_PROBES; i++)
        probe(pace, end);
    if (end->connection)
        look(pace, end);
    end->usual_us = failpoint_number("REEVE_USUAL_COMMIT_US", average_us(end));
    int64_t bound_us = end->usual_us * SLOWER_MAX;
    if (pace->bounds.commit_us > 0 && pace->bounds.commit_us < bound_us)
        pace->bounds.commit_us = bound_us;
}

/* ---- the thread ---- */

static void set_probing(struct pace *pace, int64_t since_us)
{
    pthread_mutex_lock(&pace->lock);
    pace->probing_us = since_us;
    pthread_mutex_unlock(&pace->lock);
}

/* Under the lock: until something changes, and not for long. */
static void wait_a_little(struct pace *pace, int64_t at_most_us)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    int64_t us = until.tv_nsec / 1000 + (at_most_us < HALT_US ? at_most_us : HALT_US);
    until.tv_sec += us / TIME_S;
    until.tv_nsec = us % TIME_S * 1000;
    (void)pthread_cond_timedwait(&pace->changed, &pace->lock, &until);
}

/* Under the lock. */
static bool is_over(const struct pace *pace)
{
    return pace->stop || atomic_load(pace->halt);
}

static void ask_ends(struct pace *pace, int64_t now_us)
{
    bool looks = now_us - pace->looked_us >= LOOK_US;
    if (looks)
        pace->looked_us = now_us;
    for (size_t i = 0; i < pace->end_count; i++) {
        if (pace->ends[i].connection && looks)
            look(pace, &pace->ends[i]);
        if (!pace->ends[i].connection || !pace->ends[i].others)
            continue;
        set_probing(pace, time_monotonic_us());
        probe(pace, &pace->ends[i]);
        set_probing(pace, 0);
    }
}

/* Under the lock. */
static void decide(struct pace *pace, int64_t now_us)
{
    struct pace_seen seen = {.bytes_per_s = (double)(pace->passed - pace->counted) /
                                            (double)(now_us - pace->decided_us) * TIME_S};
    for (size_t i = 0; i < pace->end_count; i++) {
        const struct end *end = &pace->ends[i];
        seen.others |= end->others;
        if (end->others && average_us(end) > seen.commit_us)
            seen.commit_us = average_us(end);
    }
    pace->counted = pace->passed;
    pace->decided_us = now_us;
    pace->commit_us = seen.commit_us;
    pace->decision = pace_decide(&pace->bounds, &pace->decision, &seen);
    pthread_cond_broadcast(&pace->changed);
}

static void *run(void *argument)
{
    struct pace *pace = argument;
    bool over = false;
    while (!over) {
        int64_t now_us = time_monotonic_us();
        ask_ends(pace, now_us);
        pthread_mutex_lock(&pace->lock);
        if (now_us - pace->decided_us >= DECIDE_US)
            decide(pace, now_us);
        wait_a_little(pace, PROBE_US);
        over = is_over(pace);
        pthread_mutex_unlock(&pace->lock);
    }
    return NULL;
}

static struct pace *pace_free(struct pace *pace)
{
    for (size_t i = 0; i < pace->end_count; i++)
        pg_close(pace->ends[i].connection);
    pthread_cond_destroy(&pace->changed);
    pthread_mutex_destroy(&pace->lock);
    free(pace);
    return NULL;
}

struct pace *pace_start(const struct moving *moving, int members, const atomic_bool *halt)
{
    struct pace *pace = calloc(1, sizeof(*pace));
    if (!pace)
        return NULL;
    pace->halt = halt;
    pace->bounds = (struct pace_bounds){.commit_us = moving->yield_us, .members = members};
    pthread_mutex_init(&pace->lock, NULL);
    pthread_cond_init(&pace->changed, NULL);
    open_end(pace, moving->to);
    if (moving->from->site.cluster.id != moving->to->site.cluster.id)
        open_end(pace, moving->from);
    bool others = false;
    for (size_t i = 0; i < pace->end_count; i++)
        others |= pace->ends[i].others;
    pace->decision = pace_begin(&pace->bounds, others);
    pace->looked_us = pace->decided_us = time_monotonic_us();
    return pthread_create(&pace->thread, NULL, run, pace) == 0 ? pace : pace_free(pace);
}

struct pace *pace_stop(struct pace *pace)
{
    if (!pace)
        return NULL;
    pthread_mutex_lock(&pace->lock);
    pace->stop = true;
    atomic_store(&pace->ended, true);
    pthread_cond_broadcast(&pace->changed);
    pthread_mutex_unlock(&pace->lock);
    pthread_join(pace->thread, NULL);
    return pace_free(pace);
}

/* ---- members ---- */

/* Under the lock: a commit waits longer than it may, right now. */
static bool is_stalled(const struct pace *pace, int64_t now_us)
{
    return pace->probing_us > 0 && now_us - pace->probing_us > pace->bounds.commit_us;
}

void pace_pass(struct pace *pace, size_t bytes)
{
    if (!pace)
        return;
    pthread_mutex_lock(&pace->lock);
    pace->passed += (int64_t)bytes;
    int64_t since_us = time_monotonic_us();
    while (pace->decision.bytes_per_s > 0 && !is_over(pace)) {
        int64_t now_us = time_monotonic_us();
        if (is_stalled(pace, now_us) && now_us - since_us < BREATH_US) {
            wait_a_little(pace, STALL_US);
            continue;
        }
        if (pace->next_us < now_us - BURST_US)
            pace->next_us = now_us - BURST_US;
        if (pace->next_us <= now_us) {
            pace->next_us += (int64_t)((double)bytes / pace->decision.bytes_per_s * TIME_S);
            break;
        }
        wait_a_little(pace, pace->next_us - now_us);
    }
    pthread_mutex_unlock(&pace->lock);
}

void pace_enter(struct pace *pace)
{
    if (!pace)
        return;
    pthread_mutex_lock(&pace->lock);
    int64_t since_us = time_monotonic_us();
    while (!is_over(pace) &&
           (pace->inside >= pace->decision.members || (pace->decision.tight && pace->inside == 0 &&
                                                       time_monotonic_us() - since_us < BREATH_US)))
        wait_a_little(pace, HALT_US);
    pace->inside++;
    pthread_mutex_unlock(&pace->lock);
}

void pace_leave(struct pace *pace)
{
    if (!pace)
        return;
    pthread_mutex_lock(&pace->lock);
    pace->inside--;
    pthread_cond_broadcast(&pace->changed);
    pthread_mutex_unlock(&pace->lock);
}

bool pace_has_others(struct pace *pace)
{
    if (!pace)
        return false;
    pthread_mutex_lock(&pace->lock);
    bool others = pace->decision.bytes_per_s > 0;
    pthread_mutex_unlock(&pace->lock);
    return others;
}

void pace_describe(struct pace *pace, char *ret, size_t size)
{
    ret[0] = '\0';
    if (!pace)
        return;
    pthread_mutex_lock(&pace->lock);
    if (pace->decision.tight)
        snprintf(ret, size, " (slowed down, commits take %lld ms)",
                 (long long)(pace->commit_us / TIME_MS));
    pthread_mutex_unlock(&pace->lock);
}
