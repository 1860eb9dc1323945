/*
 * keep.c - behind a move: what the tenant writes at its new place is brought to the old one, until
 * somebody finishes or reverts it; the slot for that keeps no more WAL than it may, and the old
 * place is kept no longer than it was to be.
 */
#include "base/log.h"
#include "base/str.h"
#include "base/time.h"
#include "catalog/catalog.h"
#include "move/flip.h"
#include "move/follow.h"

static const int64_t turn_us = 10 * TIME_S; /* of one tenant; then it is others' turn */

static bool is_transient(int r)
{
    return r == -ERROR_CONNECTION || r == -ERROR_CANCELLED || r == -ERROR_BUSY ||
           r == -ERROR_TIMEOUT;
}

/* Going back copies then, while the tenant waits. */
static int give_up(struct job_run *run, struct moving *moving, const struct error *why,
                   struct error *err)
{
    struct error ignored = {0};
    int r = stream_drop(moving->from, moving->move.id, STREAM_BACK, err);
    if (r == 0)
        r = catalog_move_lose_stream(run->catalog, moving->move.id, why->message, err);
    if (r < 0)
        return r;
    flip_disallow(run, moving);
    log_write_error(LOG_WARNING, why,
                    "tenant %s service %s: its old place is not followed any more",
                    moving->move.place.tenant, moving->move.place.service);
    if (stream_drop(moving->to, moving->move.id, STREAM_BACK, &ignored) < 0) /* `finish` does */
        log_debug("what the stream has at its end stays for now: %s", ignored.message);
    return 0;
}

/* An empty text: there is none any more. */
static int set_error(struct job_run *run, struct moving *moving, const char *text,
                     struct error *err)
{
    return moving_set_phase(run, moving, CATALOG_MOVE_MOVED, text, err);
}

static bool has_error(const struct catalog_move *move, const char *prefix)
{
    return move->error && str_has_prefix(move->error, prefix);
}

/* What its last step could not do. */
static int drop_forward(struct job_run *run, struct moving *moving, struct error *err)
{
    struct error why = {0};
    int r = moving_drop_stream(moving, STREAM_FORWARD, &why);
    if (r < 0)
        log_debug("the stream of move %lld stays for now: %s", (long long)moving->move.id,
                  why.message);
    return r < 0 ? 0 : set_error(run, moving, "", err);
}

static int tell_behind(struct job_run *run, struct moving *moving, const struct error *why,
                       struct error *err)
{
    const char *text = arena_printf(run->arena, MOVE_ERROR_BEHIND "%s", why->message);
    if (has_error(&moving->move, text))
        return 0;
    log_write_error(LOG_WARNING, why, "tenant %s service %s: its old place falls behind",
                    moving->move.place.tenant, moving->move.place.service);
    if (has_error(&moving->move, MOVE_ERROR_SETTLE)) /* the next turn does that first */
        return 0;
    return set_error(run, moving, text, err);
}

static int follow_back(struct job_run *run, struct moving *moving, struct error *err)
{
    struct error why = {0};
    if (has_error(&moving->move, MOVE_ERROR_SETTLE)) {
        int dropped = drop_forward(run, moving, err);
        if (dropped < 0)
            return dropped;
    }
    /* From a connection to the new place alone: the old one may be gone. */
    int r = follow_look_at_slot(run, moving, moving->from, STREAM_BACK, &why);
    if (r == 0)
        r = place_read_migrations(run, &moving->making, &why);
    if (r == 0)
        r = flip_check_stream(run, moving, &why);
    if (r == -ERROR_LIMIT || r == -ERROR_MIGRATION || r == -ERROR_STATE)
        return give_up(run, moving, &why, err);
    if (r == 0)
        r = follow_drain(run, moving, STREAM_BACK, turn_us, &why);
    if (r < 0 && !is_transient(r))
        return tell_behind(run, moving, &why, err);
    if (r == 0 && has_error(&moving->move, MOVE_ERROR_BEHIND))
        return set_error(run, moving, "", err);
    return 0; /* the next turn tries again, until its slot keeps too much */
}

/* Under the placement's lock: somebody may have ended the move meanwhile. */
static int keep_locked(const struct job_context *context, struct catalog *catalog, int64_t move_id,
                       struct error *err)
{
    _cleanup_arena_ struct arena arena;
    arena_init(&arena, 0);
    struct catalog_move move = {0};
    int r = catalog_move_get(catalog, &arena, move_id, &move, err);
    if (r < 0 || move.phase != CATALOG_MOVE_MOVED || move.offline)
        return r;
    int64_t job_id = 0;
    r = move_pending(catalog, move.place.id, &job_id, err);
    if (r < 0 || job_id != 0)
        return r;
    struct job_run run = {
        .context = context,
        .catalog = catalog,
        .arena = &arena,
        .placement_id = move.place.id,
        .tenant_id = move.place.tenant_id,
        .service_id = move.place.service_id,
        .arguments = arena_printf(
            &arena, "{\"move\": %lld, \"pause_us\": 0, \"jobs\": 1, \"ignore\": false}",
            (long long)move_id),
    };
    struct moving *moving;
    r = moving_load(&run, &moving, err);
    return r < 0 ? r : follow_back(&run, moving, err);
}

static int keep_one(const struct job_context *context, struct catalog *catalog,
                    const struct catalog_move *move, struct error *err)
{
    char subject[JOB_SUBJECT_SIZE];
    job_subject_placement(move->place.id, subject);
    int r = job_lock(catalog, subject, 0, context->cancelled, err);
    if (r < 0)
        return r;
    r = keep_locked(context, catalog, move->id, err);
    job_unlock(catalog, subject);
    return r;
}

static bool is_over_time(const struct catalog_move *move)
{
    return move->keep_us > 0 && move->phase == CATALOG_MOVE_MOVED &&
           time_unix_us() > move->phase_unix_us + move->keep_us;
}

static int keep(const struct job_context *context, struct catalog *catalog,
                const struct catalog_move *move, struct error *err)
{
    if (is_over_time(move) && !move_is_unlike(move))
        return move_finish(context, move->place.tenant, move->place.service, false, false, err);
    if (move->phase == CATALOG_MOVE_MOVED && !move->offline)
        return keep_one(context, catalog, move, err);
    return 0;
}

int move_keep(const struct job_context *context, struct error *err)
{
    _cleanup_arena_ struct arena arena;
    arena_init(&arena, 0);
    _cleanup_catalog_ struct catalog *catalog = NULL;
    const struct catalog_move_filter filter = {.open = true};
    struct job_context impatient = *context;
    impatient.lock_wait_us = 0;
    struct catalog_move *moves = NULL;
    size_t count = 0;
    int r = catalog_open(context->control, &catalog, err);
    if (r == 0)
        r = catalog_move_list(catalog, &arena, &filter, &moves, &count, err);
    for (size_t i = 0; r == 0 && i < count && !job_cancelled(context); i++) {
        struct error why = {0};
        int kept = keep(&impatient, catalog, &moves[i], &why);
        if (kept < 0 && !is_transient(kept))
            log_write_error(LOG_WARNING, &why, "move %lld cannot be kept up",
                            (long long)moves[i].id);
        if (pg_is_broken(catalog_connection(catalog)))
            return kept;
    }
    return r;
}
