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
    PROBE_TIMEOUT_US = 10 * TIME_S,
    STALL_US = 5 * TIME_MS, /* an answer to a probe is looked for so often */
    DECIDE_US = TIME_S / PACE_DECISIONS_PER_S,
    LOOK_US = TIME_S,         /* who else is there */
    BURST_US = 100 * TIME_MS, /* that may be made up for */
    DEBT_US = 5 * TIME_S,     /* that one long row may leave behind */
    HALT_US = 100 * TIME_MS,  /* halt is looked at so often */
    BREATH_US = 2 * TIME_S,   /* that a lone member waits for commits to be quick, at most */
    PROBES = 10,              /* that are averaged */
    FIRST_PROBES = 5,         /* before anything is copied */
    SLOWER_MAX = 4,           /* times what a commit took then, may it take */
    QUICK_FOR_MORE = PACE_DECISIONS_PER_S,
};

static const double first_rate = 16 << 20, least_rate = 2 << 20; /* bytes a second */
static const double slower = 0.7, faster = 1.15, quick = 0.6, used_share = 0.5;

/* ---- deciding ---- */

struct pace_decision pace_begin(int members, bool others)
{
    if (!others)
        return (struct pace_decision){.members = members};
    return (struct pace_decision){.bytes_per_s = first_rate, .members = 1};
}

static struct pace_decision slow_down(const struct pace_decision *last,
                                      const struct pace_seen *seen)
{
    double rate = last->bytes_per_s;
    if (seen->bytes_per_s > 0 && seen->bytes_per_s < rate) /* nothing: it was at something else */
        rate = seen->bytes_per_s;
    rate *= slower;
    return (struct pace_decision){.bytes_per_s = rate > least_rate ? rate : least_rate,
                                  .members = last->members > 1 ? last->members - 1 : 1,
                                  .tight = true};
}

/* What is not used up is not raised: it would be no bound when it is needed. */
static struct pace_decision speed_up(int members, const struct pace_decision *last,
                                     const struct pace_seen *seen)
{
    struct pace_decision next = *last;
    next.tight = false;
    next.quick++;
    if (seen->bytes_per_s > last->bytes_per_s * used_share)
        next.bytes_per_s *= faster;
    if (next.quick % QUICK_FOR_MORE == 0 && next.members < members)
        next.members++;
    return next;
}

struct pace_decision pace_decide(int members, const struct pace_decision *last,
                                 const struct pace_seen *seen)
{
    if (!seen->others || last->bytes_per_s == 0)
        return pace_begin(members, seen->others);
    if (seen->slowness > 1)
        return slow_down(last, seen);
    if (seen->slowness < quick)
        return speed_up(members, last, seen);
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
    int64_t bound_us; /* that a commit may take on average */
};

struct pace {
    pthread_t thread;
    const atomic_bool *halt;
    atomic_bool ended; /* what is asked of a server is given up */
    int members;       /* all that there are */
    struct end ends[2];
    size_t end_count;
    int64_t looked_us, decided_us, counted; /* counted: of passed, when it was decided last */

    pthread_mutex_t lock;
    pthread_cond_t changed;
    /* Under the lock. */
    bool stop;
    struct pace_decision decision;
    int64_t commit_us; /* of the slower end, on average */
    int64_t
        stalled_at_us; /* a commit that is waited for has taken too long then; 0: there is none */
    int inside;        /* members */
    int64_t passed;    /* bytes */
    int64_t next_us;   /* when the next byte may go */
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

/* What a commit takes when nothing holds it up: the least of some. */
static int64_t measure_usual_us(struct pace *pace, struct end *end)
{
    for (int i = 0; end->connection && i < FIRST_PROBES; i++)
        probe(pace, end);
    int64_t least_us = end->took_us[0];
    for (size_t i = 1; i < end->probes; i++)
        if (end->took_us[i] < least_us)
            least_us = end->took_us[i];
    return failpoint_number("REEVE_USUAL_COMMIT_US", least_us);
}

/* On the leader's thread, whose job can be cancelled meanwhile. */
static void open_end(struct pace *pace, struct place *place, int64_t yield_us, int64_t *usual_us)
{
    struct end *end = &pace->ends[pace->end_count++];
    struct error err = {0};
    *end = (struct end){.place = place};
    int r = server_connect(&place->server, NULL, &end->connection, &err);
    if (r == 0)
        r = pg_set_statement_timeout(end->connection, PROBE_TIMEOUT_US, &err);
    if (r == 0) /* whatever the administrator's is: others' may wait */
        r = pg_execute_script(end->connection, "SET synchronous_commit = on", &err);
    if (r < 0) {
        give_up(pace, end, &err);
        return;
    }
    if (*usual_us == 0)
        *usual_us = measure_usual_us(pace, end);
    if (end->connection)
        look(pace, end);
    int64_t slower_us = *usual_us * SLOWER_MAX;
    end->bound_us = yield_us > slower_us ? yield_us : slower_us;
}

/* ---- the thread ---- */

static void set_stalled_at(struct pace *pace, int64_t at_us)
{
    pthread_mutex_lock(&pace->lock);
    pace->stalled_at_us = at_us;
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
        set_stalled_at(pace, time_monotonic_us() + pace->ends[i].bound_us);
        probe(pace, &pace->ends[i]);
        set_stalled_at(pace, 0);
    }
}

/* Under the lock. */
static void decide(struct pace *pace)
{
    int64_t now_us = time_monotonic_us();
    struct pace_seen seen = {.bytes_per_s = (double)(pace->passed - pace->counted) /
                                            (double)(now_us - pace->decided_us) * TIME_S};
    for (size_t i = 0; i < pace->end_count; i++) {
        const struct end *end = &pace->ends[i];
        if (!end->others)
            continue;
        double slowness = (double)average_us(end) / (double)end->bound_us;
        if (!seen.others || slowness > seen.slowness) {
            seen.slowness = slowness;
            pace->commit_us = average_us(end);
        }
        seen.others = true;
    }
    pace->counted = pace->passed;
    pace->decided_us = now_us;
    pace->decision = pace_decide(pace->members, &pace->decision, &seen);
    pthread_cond_broadcast(&pace->changed);
}

static void *run(void *argument)
{
    struct pace *pace = argument;
    bool over = false;
    while (!over) {
        ask_ends(pace, time_monotonic_us());
        pthread_mutex_lock(&pace->lock);
        if (time_monotonic_us() - pace->decided_us >= DECIDE_US)
            decide(pace);
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

static bool start_thread(struct pace *pace)
{
    sigset_t all, old;
    for (size_t i = 0; i < pace->end_count; i++)
        if (pace->ends[i].connection)
            pg_set_cancel_flag(pace->ends[i].connection, &pace->ended);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    bool started = pthread_create(&pace->thread, NULL, run, pace) == 0;
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return started;
}

struct pace *pace_start(struct moving *moving, int members, const atomic_bool *halt)
{
    struct pace *pace = calloc(1, sizeof(*pace));
    if (!pace)
        return NULL;
    pace->halt = halt;
    pace->members = members;
    pthread_mutex_init(&pace->lock, NULL);
    pthread_cond_init(&pace->changed, NULL);
    open_end(pace, moving->to, moving->yield_us, &moving->usual_commit_us[1]);
    if (moving->from->site.cluster.id != moving->to->site.cluster.id)
        open_end(pace, moving->from, moving->yield_us, &moving->usual_commit_us[0]);
    bool others = false;
    for (size_t i = 0; i < pace->end_count; i++)
        others |= pace->ends[i].others;
    pace->decision = pace_begin(pace->members, others);
    pace->looked_us = pace->decided_us = time_monotonic_us();
    return start_thread(pace) ? pace : pace_free(pace);
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
    return pace->stalled_at_us > 0 && now_us > pace->stalled_at_us;
}

void pace_pass(struct pace *pace, size_t bytes)
{
    if (!pace)
        return;
    pthread_mutex_lock(&pace->lock);
    pace->passed += (int64_t)bytes;
    /* However long commits take, all members together let least_rate through. */
    double most_s = (double)bytes / least_rate * pace->members;
    int64_t breath_us = time_monotonic_us() + (int64_t)(most_s * TIME_S);
    while (pace->decision.bytes_per_s > 0 && !is_over(pace)) {
        int64_t now_us = time_monotonic_us();
        if (is_stalled(pace, now_us) && now_us < breath_us) {
            wait_a_little(pace, STALL_US);
            continue;
        }
        if (pace->next_us < now_us - BURST_US)
            pace->next_us = now_us - BURST_US;
        if (pace->next_us <= now_us) {
            pace->next_us += (int64_t)((double)bytes / pace->decision.bytes_per_s * TIME_S);
            if (pace->next_us > now_us + DEBT_US)
                pace->next_us = now_us + DEBT_US;
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
        snprintf(ret, size, " (slowed down, commits take %.3g ms)",
                 (double)pace->commit_us / TIME_MS);
    pthread_mutex_unlock(&pace->lock);
}
