/*
 * servers.c - what a move needs of the two servers, and what they have left: slots, senders,
 * connections, WAL. Part of a plan.
 */
#include "move/internal.h"
#include "move/plan.h"
#include "sql/statements.h"

enum {
    CONNECTIONS_BESIDE_JOBS =
        5,           /* of a move at each end: what leads, watches, applies, looks, probes */
    SLOW_SLOT_S = 10 /* a transaction that is this old is worth telling */
};

/* For each byte of the tables and their indexes copying writes this much WAL at most, and takes
 * this much room: rows that go into shared tables pass through a temporary table. */
static const double wal_for_a_byte = 1.5, room_for_a_byte = 1.2, room_in_shared_tables = 2.2;

static int add_each(struct planning *planning, bool problems, struct pg_connection *admin,
                    const char *sql, const char *parameter, const char *cluster, struct error *err)
{
    _cleanup_pg_result_ struct pg_result *result = NULL;
    int r = pg_query(admin, sql, parameter ? 1 : 0, &parameter, &result, err);
    for (size_t i = 0; r == 0 && i < pg_rows(result); i++) {
        const char *what =
            arena_printf(planning->arena, "cluster \"%s\": %s", cluster, pg_text(result, i, 0));
        const char *remedy = pg_text_copy(result, i, 1, planning->arena);
        if (problems)
            planning_add_problem(planning, what, remedy);
        else
            planning_add_remark(planning, what, remedy);
    }
    return r;
}

static void check_left(struct planning *planning, const struct move_need *need, const char *what,
                       int64_t needed, int64_t left, const char *setting)
{
    if (needed <= left)
        return;
    planning_add_problem(
        planning,
        arena_printf(planning->arena, "cluster \"%s\" has %lld %s left, and the move needs %lld",
                     need->cluster, (long long)(left > 0 ? left : 0), what, (long long)needed),
        arena_printf(planning->arena, "raise %s", setting));
}

/* The stream's slot keeps what copying writes, where both ends are on one server. */
static void check_wal(struct planning *planning, const struct move_spec *spec,
                      const struct move_need *need, int64_t server_keeps)
{
    if (!planning->one_server || need->slots == 0)
        return;
    int64_t expected = (int64_t)((double)planning->bytes * wal_for_a_byte);
    const char *text = arena_printf(
        planning->arena, "while it copies, a slot of cluster \"%s\" keeps up to %lld MB of WAL",
        need->cluster, (long long)(expected >> 20));
    if (spec->wal_limit > 0 && expected > spec->wal_limit)
        planning_add_problem(
            planning,
            arena_printf(planning->arena, "%s, and may keep %lld MB", text,
                         (long long)(spec->wal_limit >> 20)),
            arena_printf(planning->arena, "--keep-wal %lldGB", (long long)(expected >> 30) + 1));
    if (server_keeps >= 0 && expected > server_keeps)
        planning_add_problem(planning,
                             arena_printf(planning->arena,
                                          "%s, and max_slot_wal_keep_size is %lld MB", text,
                                          (long long)(server_keeps >> 20)),
                             "raise max_slot_wal_keep_size, or move with --offline");
}

/* A server does not tell how large its disk is; somebody may have said. */
static int check_disk(struct planning *planning, const struct catalog_cluster *cluster,
                      struct pg_connection *admin, const struct move_need *need, struct error *err)
{
    if (cluster->disk_bytes == 0 || need->bytes == 0)
        return 0;
    _cleanup_pg_result_ struct pg_result *used = NULL;
    int r = pg_query(admin, sql_move_disk_used, 0, NULL, &used, err);
    if (r < 0)
        return r;
    int64_t left = cluster->disk_bytes - pg_i64(used, 0, 0) - pg_i64(used, 0, 1);
    if (need->bytes <= left)
        return 0;
    planning_add_problem(
        planning,
        arena_printf(planning->arena,
                     "cluster \"%s\" has about %lld MB of its disk left, and the move may need "
                     "%lld MB",
                     need->cluster, (long long)((left > 0 ? left : 0) >> 20),
                     (long long)(need->bytes >> 20)),
        arena_printf(planning->arena,
                     "make room there, and `reeve cluster set %s --disk` says how large it is",
                     need->cluster));
    return 0;
}

static int look_at_server(struct planning *planning, const struct move_spec *spec,
                          const struct catalog_cluster *cluster, struct pg_connection *admin,
                          struct move_need *need, struct error *err)
{
    _cleanup_pg_result_ struct pg_result *facts = NULL;
    int r = pg_query(admin, sql_move_server_facts, 0, NULL, &facts, err);
    if (r < 0)
        return r;
    need->slots_left = pg_i64(facts, 0, 0);
    check_left(planning, need, "connections", need->connections, pg_i64(facts, 0, 2),
               "max_connections, or lower --jobs");
    r = check_disk(planning, cluster, admin, need, err);
    if (r < 0)
        return r;
    if (spec->offline)
        return 0;
    check_left(planning, need, "replication slots", need->slots, need->slots_left,
               "max_replication_slots");
    check_left(planning, need, "WAL senders", need->slots, pg_i64(facts, 0, 1), "max_wal_senders");
    check_wal(planning, spec, need, pg_i64(facts, 0, 3));
    r = add_each(planning, true, admin, sql_move_stream_problems, NULL, need->cluster, err);
    if (r < 0)
        return r;
    char seconds[16];
    snprintf(seconds, sizeof(seconds), "%d", SLOW_SLOT_S);
    return add_each(planning, false, admin, sql_move_slow_slot, seconds, need->cluster, err);
}

static void count_needs(struct planning *planning, const struct move_spec *spec)
{
    const struct place *from = planning->from, *to = planning->to;
    int64_t connections = spec->jobs + CONNECTIONS_BESIDE_JOBS;
    int64_t slots = spec->offline ? 0 : 1;
    struct move_need *needs = planning->needs;
    needs[0] = (struct move_need){
        .cluster = from->site.cluster.name, .slots = slots, .connections = connections};
    needs[1] = (struct move_need){
        .cluster = to->site.cluster.name, .slots = slots, .connections = connections};
    bool shares = isolation_shares_tables(to->isolated.isolation);
    needs[1].bytes =
        (int64_t)((double)planning->bytes * (shares ? room_in_shared_tables : room_for_a_byte));
    if (from->site.cluster.id != to->site.cluster.id)
        return;
    needs[0].slots *= 2;
    needs[0].connections *= 2;
    needs[0].bytes = needs[1].bytes;
    if (!spec->offline)
        needs[0].bytes += (int64_t)((double)planning->bytes * wal_for_a_byte);
    needs[1] = (struct move_need){0};
    planning->one_server = true;
}

int planning_look_at_servers(struct planning *planning, const struct move_spec *spec,
                             struct pg_connection *source, struct pg_connection *target,
                             struct error *err)
{
    count_needs(planning, spec);
    int r = look_at_server(planning, spec, &planning->from->site.cluster, source,
                           &planning->needs[0], err);
    if (r == 0 && planning->needs[1].cluster)
        r = look_at_server(planning, spec, &planning->to->site.cluster, target, &planning->needs[1],
                           err);
    return r;
}
