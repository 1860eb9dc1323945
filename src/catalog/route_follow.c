#include "catalog/route_follow.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/crypto.h"
#include "base/failpoint.h"
#include "base/log.h"
#include "base/time.h"
#include "catalog/route_load.h"
#include "sql/statements.h"

static const int64_t back_off_least_us = 100 * TIME_MS;
static const int64_t back_off_most_us = 5 * (int64_t)TIME_S;
/* Refreshes that come while it connects, or waits for an answer, are kept waiting so long. */
static const int64_t connect_timeout_us = 3 * (int64_t)TIME_S;
static const int64_t statement_timeout_us = 10 * (int64_t)TIME_S;

/* Somebody who asked for a refresh. */
struct waiter {
    struct waiter *next;
    void (*done)(void *argument);
    void *argument;
};

struct catalog_follower {
    /* Set before the thread starts, then only read. */
    char *control;
    int64_t poll_us, refresh_us;
    struct route_table *table;
    int wake_fd; /* an eventfd: somebody asks, or it is time to stop */
    pthread_t thread;
    atomic_bool stopping;

    /* The thread's own (before it starts: the starter's). */
    struct catalog *catalog; /* NULL: away */
    struct catalog_position position;
    bool due;        /* something may have changed since the last load began */
    int64_t load_us; /* monotonic: when the last load began */
    int64_t back_off_us;

    pthread_mutex_t lock; /* of what follows */
    struct waiter *waiters;
    bool ended; /* nobody is there to answer */
    struct catalog_follower_state state;
};

/* ---- those who wait ---- */

static struct waiter *take_waiters(struct catalog_follower *follower)
{
    pthread_mutex_lock(&follower->lock);
    struct waiter *waiters = take_pointer(follower->waiters);
    pthread_mutex_unlock(&follower->lock);
    return waiters;
}

static bool anybody_waits(struct catalog_follower *follower)
{
    pthread_mutex_lock(&follower->lock);
    bool any = follower->waiters != NULL;
    pthread_mutex_unlock(&follower->lock);
    return any;
}

/* Without the lock: they may ask again. */
static void answer(struct waiter *waiters)
{
    while (waiters) {
        struct waiter *waiter = waiters;
        waiters = waiter->next;
        waiter->done(waiter->argument);
        free(waiter);
    }
}

static void wake(struct catalog_follower *follower)
{
    uint64_t one = 1;
    ssize_t ignored = write(follower->wake_fd, &one, sizeof(one));
    (void)ignored; /* it can only be full, and then it is readable */
}

static void drain(struct catalog_follower *follower)
{
    uint64_t count;
    ssize_t ignored = read(follower->wake_fd, &count, sizeof(count));
    (void)ignored;
}

void catalog_follower_refresh(void *follower_, void (*done)(void *argument), void *argument)
{
    struct catalog_follower *follower = follower_;
    struct waiter *waiter = xmalloc(sizeof(*waiter));
    *waiter = (struct waiter){.done = done, .argument = argument};
    pthread_mutex_lock(&follower->lock);
    bool ended = follower->ended;
    if (!ended) {
        waiter->next = follower->waiters;
        follower->waiters = waiter;
    }
    pthread_mutex_unlock(&follower->lock);
    if (ended)
        answer(waiter);
    else
        wake(follower);
}

/* ---- loading ---- */

static void note_load(struct catalog_follower *follower, enum catalog_load load, int64_t began_us)
{
    pthread_mutex_lock(&follower->lock);
    follower->state.connected = true;
    follower->state.version = follower->position.version;
    follower->state.synced_unix_us = began_us;
    follower->state.full_loads += load == CATALOG_LOAD_EVERYTHING;
    follower->state.incremental_loads += load == CATALOG_LOAD_CHANGES;
    pthread_mutex_unlock(&follower->lock);
}

static int load(struct catalog_follower *follower, struct error *err)
{
    int64_t began_us = time_unix_us();
    enum catalog_load what;
    follower->load_us = time_monotonic_us();
    follower->due = false;
    int r = catalog_route_load(follower->catalog, follower->table, &follower->position, &what, err);
    if (r == 0)
        note_load(follower, what, began_us);
    return r;
}

/* Connects, listens and loads; LISTEN comes first, so that no change falls in between. */
static int begin_following(struct catalog_follower *follower, int64_t timeout_us, struct error *err)
{
    const struct pg_options options = {
        .conninfo = follower->control,
        .application_name = "reeve routes",
        .connect_timeout_us = timeout_us,
        .statement_timeout_us = statement_timeout_us,
        .cancelled = &follower->stopping,
    };
    int r = catalog_open_with(&options, &follower->catalog, err);
    if (r == 0)
        r = pg_execute_script(follower->catalog->connection, sql_catalog_route_listen, err);
    if (r == 0)
        r = load(follower, err);
    if (r < 0)
        follower->catalog = catalog_close(follower->catalog);
    return r;
}

/* ---- away ---- */

static void go_away(struct catalog_follower *follower, const struct error *why)
{
    if (!atomic_load(&follower->stopping))
        log_write_error(LOG_WARNING, why,
                        "the catalog cannot be followed; routes stay as they are");
    follower->catalog = catalog_close(follower->catalog);
    follower->back_off_us = back_off_least_us;
    pthread_mutex_lock(&follower->lock);
    follower->state.connected = false;
    pthread_mutex_unlock(&follower->lock);
}

/* Waits until the time is over or it is time to stop; who asks meanwhile is told at once. */
static void back_off(struct catalog_follower *follower)
{
    int64_t until_us = time_monotonic_us() + follower->back_off_us;
    while (!atomic_load(&follower->stopping)) {
        answer(take_waiters(follower));
        int64_t left_us = until_us - time_monotonic_us();
        if (left_us <= 0)
            return;
        struct pollfd entry = {.fd = follower->wake_fd, .events = POLLIN};
        if (poll(&entry, 1, (int)((left_us + TIME_MS - 1) / TIME_MS)) > 0)
            drain(follower);
    }
}

static void try_again(struct catalog_follower *follower)
{
    struct error err = {0};
    back_off(follower);
    if (atomic_load(&follower->stopping))
        return;
    if (begin_following(follower, connect_timeout_us, &err) == 0) {
        log_info("the catalog is followed again");
        return;
    }
    log_debug("the catalog cannot be reached: %s", err.message);
    follower->back_off_us *= 2;
    if (follower->back_off_us > back_off_most_us)
        follower->back_off_us = back_off_most_us;
}

/* ---- following ---- */

/* How long until the next load: by the poll, or sooner when something is due. */
static int64_t time_to_load(struct catalog_follower *follower)
{
    bool soon = follower->due || anybody_waits(follower);
    if (soon && mutation("catalog.refresh"))
        return 0;
    int64_t at_us = follower->load_us + (soon ? follower->refresh_us : follower->poll_us);
    int64_t left_us = at_us - time_monotonic_us();
    return left_us > 0 ? left_us : 0;
}

/* Waits for the next thing, and loads when it is time to. */
static void follow(struct catalog_follower *follower)
{
    struct error err = {0};
    int64_t left_us = time_to_load(follower);
    if (left_us > 0) {
        enum pg_wait event;
        if (pg_wait_notification(follower->catalog->connection, follower->wake_fd, left_us, &event,
                                 &err) < 0) {
            go_away(follower, &err);
            return;
        }
        if (event == PG_WAIT_NOTIFIED)
            follower->due = true;
        else if (event == PG_WAIT_WOKEN)
            drain(follower);
        return;
    }
    struct waiter *waiters = take_waiters(follower); /* those who ask from here on: the next load */
    if (load(follower, &err) < 0)
        go_away(follower, &err);
    answer(waiters);
}

static void *run(void *argument)
{
    struct catalog_follower *follower = argument;
    log_set_thread_name("routes");
    while (!atomic_load(&follower->stopping)) {
        if (follower->catalog)
            follow(follower);
        else
            try_again(follower);
    }
    pthread_mutex_lock(&follower->lock);
    follower->ended = true;
    follower->state.connected = false;
    pthread_mutex_unlock(&follower->lock);
    answer(take_waiters(follower));
    return NULL;
}

/* ---- start and stop ---- */

static void free_follower(struct catalog_follower *follower)
{
    catalog_close(follower->catalog);
    cleanup_close(&follower->wake_fd);
    pthread_mutex_destroy(&follower->lock);
    crypto_wipe(follower->control, strlen(follower->control));
    free(follower->control);
    free(follower);
}

/* Signals are other threads' business. */
static int start_thread(struct catalog_follower *follower, struct error *err)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int number = pthread_create(&follower->thread, NULL, run, follower);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return number ? error_errno(err, number, "cannot start the thread that follows the catalog")
                  : 0;
}

int catalog_follower_start(const struct catalog_follower_options *options,
                           struct route_table *table, struct catalog_follower **ret,
                           struct error *err)
{
    struct catalog_follower *follower = xcalloc(1, sizeof(*follower));
    follower->control = xstrdup(options->control ? options->control : "");
    follower->poll_us =
        options->poll_us ? options->poll_us : (int64_t)CATALOG_FOLLOW_POLL_S * TIME_S;
    follower->refresh_us =
        options->refresh_us ? options->refresh_us : (int64_t)CATALOG_FOLLOW_REFRESH_MS * TIME_MS;
    follower->table = table;
    follower->back_off_us = back_off_least_us;
    pthread_mutex_init(&follower->lock, NULL);
    follower->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    int r = follower->wake_fd < 0 ? error_errno(err, errno, "cannot make an eventfd") : 0;
    if (r == 0)
        r = begin_following(follower, 0, err);
    if (r == 0)
        r = start_thread(follower, err);
    if (r < 0) {
        free_follower(follower);
        return r;
    }
    *ret = follower;
    return 0;
}

struct catalog_follower *catalog_follower_stop(struct catalog_follower *follower)
{
    if (!follower)
        return NULL;
    atomic_store(&follower->stopping, true);
    wake(follower);
    pthread_join(follower->thread, NULL);
    free_follower(follower);
    return NULL;
}

void catalog_follower_get_state(struct catalog_follower *follower,
                                struct catalog_follower_state *ret)
{
    pthread_mutex_lock(&follower->lock);
    *ret = follower->state;
    pthread_mutex_unlock(&follower->lock);
}
