#include "cli/presence.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/crypto.h"
#include "base/log.h"
#include "base/str.h"
#include "base/time.h"
#include "catalog/proxy.h"
#include "pg/connection.h"
#include "proxy/drain.h"
#include "sql/statements.h"

static const int64_t seen_every_us = 10 * (int64_t)TIME_S;
static const int64_t back_off_us = TIME_S;
/* While a hold is not drained: from the first on, twice as long each time. */
enum { LOOK_FIRST_US = 2 * TIME_MS, LOOK_LAST_US = 200 * TIME_MS };
static const int64_t answer_timeout_us = 500 * TIME_MS;

enum { NAME_SIZE = 300 };

struct presence {
    char *control;
    struct proxy *proxy;
    int wake_fd;
    atomic_bool stopping;
    pthread_t thread;

    /* The thread's own (before it starts: the starter's). */
    struct catalog *catalog; /* NULL: away */
    int64_t id;              /* in the catalog; 0: not registered */
    int64_t seen_us;
    int64_t look_us; /* until the next look at what is not drained */
    bool complained;
};

/* ---- the control database ---- */

static void name_host(char ret[NAME_SIZE])
{
    if (gethostname(ret, NAME_SIZE) < 0)
        snprintf(ret, NAME_SIZE, "unknown");
    ret[NAME_SIZE - 1] = '\0';
}

/* Of this machine, and its process is no more: killed, or the machine was. */
static bool is_dead(const struct catalog_proxy *proxy, const char *host)
{
    int64_t pid;
    const char *colon = strrchr(proxy->name, ':');
    return !proxy->connected && colon && (size_t)(colon - proxy->name) == strlen(host) &&
           strncmp(proxy->name, host, strlen(host)) == 0 &&
           str_to_i64(colon + 1, 1, INT32_MAX, &pid) && kill((pid_t)pid, 0) < 0 && errno == ESRCH;
}

static int forget_dead(struct presence *presence, const char *host, struct error *err)
{
    _cleanup_arena_ struct arena arena = {0};
    struct catalog_proxy *proxies = NULL;
    size_t count = 0;
    int r = catalog_proxy_forget(presence->catalog, err);
    if (r == 0)
        r = catalog_proxy_list(presence->catalog, &arena, &proxies, &count, err);
    for (size_t i = 0; r == 0 && i < count; i++) {
        if (!is_dead(&proxies[i], host))
            continue;
        r = catalog_proxy_leave(presence->catalog, proxies[i].id, err);
        if (r == -ERROR_NOT_FOUND)
            r = 0; /* somebody else has done it */
    }
    return r;
}

/* Under a new id each time: the server may take a session that is lost for alive. */
static int enlist(struct presence *presence, struct error *err)
{
    char host[NAME_SIZE], name[NAME_SIZE + 16];
    name_host(host);
    snprintf(name, sizeof(name), "%s:%d", host, (int)getpid());
    if (presence->id != 0)
        (void)catalog_proxy_leave(presence->catalog, presence->id, NULL);
    presence->id = 0;
    int r = forget_dead(presence, host, err);
    return r < 0 ? r : catalog_proxy_register(presence->catalog, name, &presence->id, err);
}

static int come(struct presence *presence, struct error *err)
{
    int r = catalog_proxy_open(presence->control, &presence->stopping, &presence->catalog, err);
    if (r < 0)
        return r;
    r = pg_execute_script(catalog_connection(presence->catalog), sql_catalog_route_listen, err);
    if (r == 0)
        r = enlist(presence, err);
    if (r < 0) {
        presence->catalog = catalog_close(presence->catalog);
        return r;
    }
    presence->seen_us = time_monotonic_us();
    presence->complained = false;
    return 0;
}

static void go_away(struct presence *presence, const struct error *why)
{
    if (!presence->complained && !atomic_load(&presence->stopping))
        log_write_error(LOG_WARNING, why,
                        "other Reeves cannot be told which holds are in force here");
    presence->complained = true;
    presence->catalog = catalog_close(presence->catalog);
}

/* ---- holds ---- */

static void look_until_ended(struct presence *presence, int64_t ends_in_us, bool *ret_left)
{
    *ret_left = true;
    if (ends_in_us >= 0 && ends_in_us < presence->look_us)
        presence->look_us = ends_in_us > LOOK_FIRST_US ? ends_in_us : LOOK_FIRST_US;
}

/* Says which are drained. *ret_left: some are not yet. */
static int look(struct presence *presence, bool *ret_left, struct error *err)
{
    _cleanup_arena_ struct arena arena = {0};
    struct catalog_hold *holds = NULL;
    size_t count = 0;
    int r = catalog_hold_pending(presence->catalog, &arena, presence->id, &holds, &count, err);
    *ret_left = false;
    for (size_t i = 0; r == 0 && i < count; i++) {
        const struct drain_question question = {.tenant_id = holds[i].tenant_id,
                                                .placement_id = holds[i].placement_id,
                                                .hold = holds[i].number,
                                                .route_version = holds[i].route_version};
        if (holds[i].ends_in_us == 0)
            proxy_end_held(presence->proxy, &question, answer_timeout_us);
        if (proxy_is_drained(presence->proxy, &question, answer_timeout_us))
            r = catalog_hold_drained(presence->catalog, presence->id, &holds[i], err);
        else
            look_until_ended(presence, holds[i].ends_in_us, ret_left);
    }
    return r;
}

static int say_seen(struct presence *presence, struct error *err)
{
    if (time_monotonic_us() - presence->seen_us < seen_every_us)
        return 0;
    presence->seen_us = time_monotonic_us();
    int r = catalog_proxy_seen(presence->catalog, presence->id, err);
    return r == -ERROR_NOT_FOUND ? enlist(presence, err) : r;
}

/* A route's change may be a hold. */
static int stay(struct presence *presence, struct error *err)
{
    bool left = false;
    enum pg_wait event = PG_WAIT_TIMEOUT;
    int r = say_seen(presence, err);
    if (r == 0)
        r = look(presence, &left, err);
    if (r == 0)
        r = pg_wait_notification(catalog_connection(presence->catalog), presence->wake_fd,
                                 left ? presence->look_us : seen_every_us, &event, err);
    if (r < 0)
        return r;
    presence->look_us = event == PG_WAIT_NOTIFIED              ? LOOK_FIRST_US
                        : presence->look_us < LOOK_LAST_US / 2 ? 2 * presence->look_us
                                                               : LOOK_LAST_US;
    return 0;
}

static void back_off(const struct presence *presence)
{
    struct pollfd entry = {.fd = presence->wake_fd, .events = POLLIN};
    (void)poll(&entry, 1, (int)(back_off_us / TIME_MS));
}

static void *run(void *argument)
{
    struct presence *presence = argument;
    log_set_thread_name("presence");
    while (!atomic_load(&presence->stopping)) {
        struct error err = {0};
        int r = presence->catalog ? stay(presence, &err) : come(presence, &err);
        if (r == 0)
            continue;
        go_away(presence, &err);
        back_off(presence);
    }
    return NULL;
}

/* ---- start and stop ---- */

static void free_presence(struct presence *presence)
{
    catalog_close(presence->catalog);
    if (presence->wake_fd >= 0)
        close(presence->wake_fd);
    crypto_wipe(presence->control, strlen(presence->control));
    free(presence->control);
    free(presence);
}

int presence_start(const char *control, struct proxy *proxy, struct presence **ret,
                   struct error *err)
{
    struct presence *presence = xcalloc(1, sizeof(*presence));
    presence->control = xstrdup(control ? control : "");
    presence->proxy = proxy;
    presence->look_us = LOOK_FIRST_US;
    presence->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    int r = presence->wake_fd < 0 ? error_errno(err, errno, "cannot make an eventfd") : 0;
    if (r == 0)
        r = come(presence, err);
    if (r == 0) {
        int number = pthread_create(&presence->thread, NULL, run, presence);
        r = number ? error_errno(err, number, "cannot start a thread") : 0;
    }
    if (r < 0) {
        free_presence(presence);
        return r;
    }
    *ret = presence;
    return 0;
}

struct presence *presence_stop(struct presence *presence)
{
    if (!presence)
        return NULL;
    uint64_t one = 1;
    atomic_store(&presence->stopping, true);
    ssize_t ignored = write(presence->wake_fd, &one, sizeof(one));
    (void)ignored;
    pthread_join(presence->thread, NULL);
    if (presence->catalog) {
        struct error err = {0};
        pg_set_cancel_flag(catalog_connection(presence->catalog), NULL);
        if (catalog_proxy_leave(presence->catalog, presence->id, &err) < 0)
            log_debug("cannot say that this server ends: %s", err.message);
    }
    free_presence(presence);
    return NULL;
}
