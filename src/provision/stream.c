#include "provision/stream.h"

#include "pg/connection.h"
#include "pg/quote.h"
#include "sql/statements.h"

const char *stream_name(struct arena *arena, int64_t move_id, enum stream_way way)
{
    return arena_printf(arena, "reeve_%s_%lld", way == STREAM_FORWARD ? "move" : "back",
                        (long long)move_id);
}

const char *stream_mark_name(struct arena *arena, int64_t move_id, enum stream_way way)
{
    return arena_printf(arena, "%s_mark", stream_name(arena, move_id, way));
}

const char *stream_index_name(struct arena *arena, int64_t move_id)
{
    return arena_printf(arena, "%s_index", stream_name(arena, move_id, STREAM_FORWARD));
}

int stream_drop(struct place *place, int64_t move_id, enum stream_way way, struct error *err)
{
    _cleanup_arena_ struct arena arena = {0};
    _cleanup_pg_connection_ struct pg_connection *admin = NULL;
    const char *name = stream_name(&arena, move_id, way);
    const char *mark = stream_mark_name(&arena, move_id, way);
    int r = server_connect(&place->server, place->isolated.database, &admin, err);
    if (r == -ERROR_NOT_FOUND) { /* with its database all of it has gone */
        error_clear(err);
        return 0;
    }
    if (r == 0)
        r = pg_execute(admin, sql_provision_slot_drop, 1, &name, NULL, err);
    if (r == 0)
        r = pg_execute_script(
            admin,
            arena_printf(&arena,
                         "DROP PUBLICATION IF EXISTS %s; DROP PUBLICATION IF EXISTS %s;"
                         " DROP TABLE IF EXISTS reeve.%s, reeve.%s",
                         name, mark, name, mark),
            err);
    if (r == 0 && way == STREAM_FORWARD)
        r = pg_execute_script(admin,
                              arena_printf(&arena, "DROP TABLE IF EXISTS reeve.%s",
                                           stream_index_name(&arena, move_id)),
                              err);
    return r;
}
