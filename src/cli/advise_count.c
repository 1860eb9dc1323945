#include "cli/advise_count.h"

#include "base/hash.h"
#include "base/time.h"
#include "cli/status_socket.h"
#include "cli/top.h"

enum { MOMENTS_MAX = 600, MET_MAX = 10 * TOP_TENANTS_MAX };
static const int64_t moment_us_least = 250 * (int64_t)TIME_MS, moment_us_wanted = TIME_S;

/* A tenant in a service that an answer has told of. */
struct met {
    struct hash_node node; /* counting.met */
    const char *tenant, *service;
    struct advise_moment *moments; /* moments_max */
};

struct counting {
    struct cli *cli;
    const char *status_socket;
    int64_t for_us, moment_us;
    size_t moments_max;
    struct advise_counted counted;
    struct hash_table met;
    json_t *first, *last; /* answers */
};

/* ---- what two answers say ---- */

static int64_t amount(const struct top_row *row, double seconds, enum proxy_use use)
{
    return (int64_t)(row->rates[use] * seconds + 0.5);
}

static struct advise_use use_of(const struct top_row *row, double seconds)
{
    return (struct advise_use){.backend_us = amount(row, seconds, PROXY_USE_BACKEND_US),
                               .wait_us = amount(row, seconds, PROXY_USE_WAIT_US),
                               .transactions = amount(row, seconds, PROXY_USE_TRANSACTIONS)};
}

/* NULL: too many were met before. */
static struct met *meet(struct counting *counting, const struct top_row *row)
{
    struct arena *arena = &counting->cli->arena;
    uint64_t hash = hash_string(row->tenant); /* it has few services */
    struct hash_node *node = hash_table_find(&counting->met, hash);
    for (; node; node = hash_table_find_next(node)) {
        struct met *met = container_of(node, struct met, node);
        if (strcmp(met->tenant, row->tenant) == 0 && strcmp(met->service, row->service) == 0)
            return met;
    }
    if (counting->met.count == MET_MAX)
        return NULL;
    struct met *met = arena_zalloc(arena, sizeof(*met));
    met->moments = arena_zalloc(arena, (counting->moments_max + 1) * sizeof(*met->moments));
    met->tenant = arena_strdup(arena, row->tenant);
    met->service = arena_strdup(arena, row->service);
    hash_table_insert(&counting->met, &met->node, hash);
    return met;
}

static void add_moment(struct counting *counting, const json_t *before, const json_t *after)
{
    struct top_view view;
    top_compare(before, after, &view);
    for (size_t i = 0; i < view.count; i++) {
        const struct top_row *row = &view.rows[i];
        struct met *met = row->measured && !row->forgotten ? meet(counting, row) : NULL;
        if (met)
            met->moments[counting->counted.moment_count] = (struct advise_moment){
                .known = true,
                .backends = row->rates[PROXY_USE_BACKEND_US] / (double)TIME_S,
                .transactions = row->rates[PROXY_USE_TRANSACTIONS] * view.seconds,
                .took_us = (row->ended_us + row->rates[PROXY_USE_WAIT_US]) * view.seconds,
            };
    }
    counting->counted.moment_count++;
    top_view_free(&view);
}

static void add_up(struct counting *counting)
{
    struct arena *arena = &counting->cli->arena;
    struct advise_counted *counted = &counting->counted;
    struct top_view view;
    top_compare(counting->first, counting->last, &view);
    struct advise_tenant_use *tenants = arena_zalloc(arena, (view.count + 1) * sizeof(*tenants));
    counted->us = (int64_t)(view.seconds * (double)TIME_S);
    counted->left_out = json_is_true(json_object_get(counting->last, "left_out"));
    counted->whole_backend_us = use_of(&view.whole, view.seconds).backend_us;
    counted->tenants = tenants;
    for (size_t i = 0; i < view.count; i++) {
        const struct top_row *row = &view.rows[i];
        counted->left_out |= !row->measured;
        if (!row->measured)
            continue;
        const struct met *met = meet(counting, row);
        tenants[counted->tenant_count++] = (struct advise_tenant_use){
            .tenant = arena_strdup(arena, row->tenant),
            .service = arena_strdup(arena, row->service),
            .used = use_of(row, view.seconds),
            .moments = met ? met->moments : NULL,
        };
    }
    top_view_free(&view);
}

/* ---- asking ---- */

/* Since a server's start is since an answer without any tenant, so long before. */
static json_t *empty_answer(const json_t *answer)
{
    json_t *server = json_object_get(answer, "server");
    json_int_t up_s = json_integer_value(json_object_get(server, "uptime_s"));
    json_int_t taken_us = json_integer_value(json_object_get(answer, "taken_us"));
    return json_pack("{s:O, s:I, s:{}, s:[], s:b}", "server", server, "taken_us",
                     taken_us - (up_s > 0 ? up_s : 1) * TIME_S, "whole", "tenants", "left_out",
                     false);
}

static json_int_t pid_of(const json_t *answer)
{
    return json_integer_value(json_object_get(json_object_get(answer, "server"), "pid"));
}

static int check(const struct counting *counting, const json_t *answer, struct error *err)
{
    if (!json_is_true(json_object_get(answer, "complete")))
        return error_set(err, ERROR_TIMEOUT, "a part of the server did not answer in time");
    if (counting->first && pid_of(answer) != pid_of(counting->first))
        return error_set(err, ERROR_STATE, "the server was replaced meanwhile");
    return 0;
}

static int look(const struct counting *counting, json_t **ret, struct error *err)
{
    json_t *answer = NULL;
    int result = status_socket_ask(counting->status_socket, "top", &answer, err);
    if (result == 0)
        result = check(counting, answer, err);
    if (result == 0)
        *ret = answer;
    else
        json_decref(answer);
    return result;
}

/* A look that fails makes a moment longer; the last one, or one at another server, ends it: 1, *why
 * says how. ERROR_CANCELLED. */
static int watch(struct counting *counting, struct error *why, struct error *err)
{
    int64_t deadline = time_monotonic_us() + counting->for_us, left_us = counting->for_us;
    for (; left_us > 0; left_us = deadline - time_monotonic_us()) {
        json_t *answer = NULL;
        bool is_moment = left_us >= counting->moment_us &&
                         counting->counted.moment_count < counting->moments_max;
        int64_t pause_us = is_moment ? counting->moment_us : left_us;
        int result = cli_pause(pause_us, err);
        if (result < 0)
            return result;
        result = look(counting, &answer, why);
        if (result == -ERROR_STATE || (result < 0 && time_monotonic_us() >= deadline))
            return 1;
        if (result < 0)
            continue;
        if (is_moment)
            add_moment(counting, counting->last, answer);
        if (counting->last != counting->first)
            json_decref(counting->last);
        counting->last = answer;
    }
    return 0;
}

/* As watch. */
static int count_all(struct counting *counting, struct error *why, struct error *err)
{
    int result = 0;
    if (look(counting, &counting->last, why) < 0)
        return 1;
    if (counting->for_us > 0) {
        counting->first = counting->last;
        result = watch(counting, why, err);
    } else {
        counting->first = empty_answer(counting->last);
    }
    if (result == 0)
        add_up(counting);
    return result;
}

static int64_t choose_moment(int64_t for_us)
{
    int64_t us = for_us / 60 < moment_us_wanted ? for_us / 60 : moment_us_wanted;
    if (us < for_us / MOMENTS_MAX)
        us = for_us / MOMENTS_MAX;
    return us > moment_us_least ? us : moment_us_least;
}

int advise_count(struct cli *cli, const char *status_socket, int64_t for_us,
                 struct advise_counted *ret, const char **ret_lacking, struct error *err)
{
    struct error why = {0};
    struct counting counting = {.cli = cli,
                                .status_socket = status_socket,
                                .for_us = for_us,
                                .moment_us = choose_moment(for_us)};
    counting.moments_max = (size_t)(for_us / counting.moment_us);
    hash_table_init(&counting.met);
    int result = count_all(&counting, &why, err);
    if (counting.first != counting.last)
        json_decref(counting.first);
    json_decref(counting.last);
    hash_table_free(&counting.met);
    if (result < 0)
        return result;
    *ret = result == 0 ? counting.counted : (struct advise_counted){0};
    *ret_lacking =
        result == 0
            ? NULL
            : arena_printf(&cli->arena,
                           "what tenants use is not known, and nobody is called busy or quiet: %s",
                           why.message);
    return 0;
}
