#include "provision/claim.h"

#include "base/str.h"
#include "pg/quote.h"
#include "sql/statements.h"

#define CLAIM_PREFIX "Belongs to the Reeve whose catalog is "

/* *ret NULL: it is nobody's. */
static int find(struct pg_connection *admin, struct arena *arena, const char **ret,
                struct error *err)
{
    _cleanup_pg_result_ struct pg_result *row = NULL;
    *ret = NULL;
    int r = pg_query(admin, sql_provision_claim_select, 0, NULL, &row, err);
    if (r == 0 && pg_rows(row) > 0)
        *ret = pg_text_copy(row, 0, 0, arena);
    return r;
}

static int refuse(const char *cluster, const char *found, struct error *err)
{
    const char *owner =
        str_has_prefix(found, CLAIM_PREFIX) ? found + strlen(CLAIM_PREFIX) : "not known";
    error_set(err, ERROR_STATE, "cluster \"%s\" belongs to another Reeve (catalog %s)", cluster,
              owner);
    error_hint(err,
               "two Reeves on one server would take each other's tenants for their own; if the "
               "other one is gone with all its tenants, drop the role reeve_claim there");
    return -ERROR_STATE;
}

int claim_server(struct pg_connection *admin, const char *cluster, const char *installation,
                 struct error *err)
{
    _cleanup_arena_ struct arena arena;
    arena_init(&arena, 0);
    const char *claim = arena_printf(&arena, CLAIM_PREFIX "%s", installation);
    const char *found;
    int r = find(admin, &arena, &found, err);
    if (r == 0 && !found) {
        const char *make = arena_printf(&arena,
                                        "CREATE ROLE reeve_claim NOLOGIN;"
                                        "COMMENT ON ROLE reeve_claim IS %s",
                                        pg_literal(&arena, claim));
        struct error refused = {0};
        int made = pg_execute_script(admin, make, &refused);
        /* Where another was faster, what it has made decides. */
        r = find(admin, &arena, &found, err);
        if (r == 0 && !found) {
            *err = refused;
            return made;
        }
    }
    if (r != 0 || !found)
        return r;
    return strcmp(found, claim) == 0 ? 0 : refuse(cluster, found, err);
}

int claim_check(struct pg_connection *admin, const char *cluster, const char *installation,
                struct error *err)
{
    _cleanup_arena_ struct arena arena = {0};
    const char *found = NULL;
    int r = find(admin, &arena, &found, err);
    if (r < 0)
        return r;
    if (found && strcmp(found, arena_printf(&arena, CLAIM_PREFIX "%s", installation)) == 0)
        return 0;
    if (found)
        return refuse(cluster, found, err);
    error_set(err, ERROR_STATE, "the server there is not what cluster \"%s\" is on", cluster);
    error_hint(err, "it has no role reeve_claim; a copy of the server has");
    return -ERROR_STATE;
}

int claim_drop(struct pg_connection *admin, struct error *err)
{
    return pg_execute_script(admin, "DROP ROLE IF EXISTS reeve_claim", err);
}
