/*
 * advisory.c - advisory locks with a key space of each tenant's own.
 *
 * Advisory locks have one key space a database, so in a shared database a tenant could wait for,
 * and keep waiting, its neighbours. PUBLIC may not call pg_advisory_lock and the like there; where
 * a tenant's query calls them, the call is replaced when the query is analysed by one of these
 * functions, which take the same key in another space: the lock tag's first field is the tenant's
 * number in place of the database's, the last one is 3 and 4 in place of 1 and 2.
 */
#include "guard.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "nodes/pg_list.h"
#include "parser/analyze.h"
#include "parser/parse_func.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"

enum { ONE_KEY = 3, TWO_KEYS = 4 };

static post_parse_analyze_hook_type next_analyze;

/* ---- the functions ---- */

static uint32 tenant_space(void)
{
    if (!guard_is_entered() || guard_context.tenant_id > PG_UINT32_MAX)
        ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
                        errmsg("advisory locks need a tenant")));
    return (uint32)guard_context.tenant_id;
}

static LOCKTAG tag_of(FunctionCallInfo fcinfo)
{
    LOCKTAG tag = {.locktag_field1 = tenant_space(),
                   .locktag_type = LOCKTAG_ADVISORY,
                   .locktag_lockmethodid = USER_LOCKMETHOD};
    if (fcinfo->nargs == 1) {
        uint64 key = (uint64)PG_GETARG_INT64(0);
        tag.locktag_field2 = (uint32)(key >> 32);
        tag.locktag_field3 = (uint32)key;
        tag.locktag_field4 = ONE_KEY;
    } else {
        tag.locktag_field2 = (uint32)PG_GETARG_INT32(0);
        tag.locktag_field3 = (uint32)PG_GETARG_INT32(1);
        tag.locktag_field4 = TWO_KEYS;
    }
    return tag;
}

#define LOCK_FUNCTION(name, mode, session)                                                         \
    PG_FUNCTION_INFO_V1(name);                                                                     \
    Datum name(PG_FUNCTION_ARGS)                                                                   \
    {                                                                                              \
        LOCKTAG tag = tag_of(fcinfo);                                                              \
        (void)LockAcquire(&tag, mode, session, false);                                             \
        PG_RETURN_VOID();                                                                          \
    }
#define TRY_FUNCTION(name, mode, session)                                                          \
    PG_FUNCTION_INFO_V1(name);                                                                     \
    Datum name(PG_FUNCTION_ARGS)                                                                   \
    {                                                                                              \
        LOCKTAG tag = tag_of(fcinfo);                                                              \
        PG_RETURN_BOOL(LockAcquire(&tag, mode, session, true) != LOCKACQUIRE_NOT_AVAIL);           \
    }
#define UNLOCK_FUNCTION(name, mode)                                                                \
    PG_FUNCTION_INFO_V1(name);                                                                     \
    Datum name(PG_FUNCTION_ARGS)                                                                   \
    {                                                                                              \
        LOCKTAG tag = tag_of(fcinfo);                                                              \
        PG_RETURN_BOOL(LockRelease(&tag, mode, true));                                             \
    }

LOCK_FUNCTION(reeve_guard_lock, ExclusiveLock, true)
LOCK_FUNCTION(reeve_guard_lock_shared, ShareLock, true)
LOCK_FUNCTION(reeve_guard_xact_lock, ExclusiveLock, false)
LOCK_FUNCTION(reeve_guard_xact_lock_shared, ShareLock, false)
TRY_FUNCTION(reeve_guard_try_lock, ExclusiveLock, true)
TRY_FUNCTION(reeve_guard_try_lock_shared, ShareLock, true)
TRY_FUNCTION(reeve_guard_try_xact_lock, ExclusiveLock, false)
TRY_FUNCTION(reeve_guard_try_xact_lock_shared, ShareLock, false)
UNLOCK_FUNCTION(reeve_guard_unlock, ExclusiveLock)
UNLOCK_FUNCTION(reeve_guard_unlock_shared, ShareLock)

/* ---- replacing calls ---- */

struct replacement {
    Oid stock;
    const char *name; /* in schema reeve */
    int arguments;
    Oid own; /* found when first needed */
};

#define PAIR(stock_name, own_name)                                                                 \
    {F_PG_##stock_name##_INT8, own_name, 1, InvalidOid},                                           \
    {                                                                                              \
        F_PG_##stock_name##_INT4_INT4, own_name, 2, InvalidOid                                     \
    }

static struct replacement replacements[] = {
    PAIR(ADVISORY_LOCK, "advisory_lock"),
    PAIR(ADVISORY_LOCK_SHARED, "advisory_lock_shared"),
    PAIR(ADVISORY_XACT_LOCK, "advisory_xact_lock"),
    PAIR(ADVISORY_XACT_LOCK_SHARED, "advisory_xact_lock_shared"),
    PAIR(TRY_ADVISORY_LOCK, "try_advisory_lock"),
    PAIR(TRY_ADVISORY_LOCK_SHARED, "try_advisory_lock_shared"),
    PAIR(TRY_ADVISORY_XACT_LOCK, "try_advisory_xact_lock"),
    PAIR(TRY_ADVISORY_XACT_LOCK_SHARED, "try_advisory_xact_lock_shared"),
    PAIR(ADVISORY_UNLOCK, "advisory_unlock"),
    PAIR(ADVISORY_UNLOCK_SHARED, "advisory_unlock_shared"),
};

static Oid find_own(struct replacement *replacement)
{
    static const Oid one[] = {INT8OID};
    static const Oid two[] = {INT4OID, INT4OID};
    if (!OidIsValid(replacement->own))
        replacement->own = LookupFuncName(
            list_make2(makeString(pstrdup("reeve")), makeString(pstrdup(replacement->name))),
            replacement->arguments, replacement->arguments == 1 ? one : two, true);
    return replacement->own;
}

static void replace_call(FuncExpr *call)
{
    /* All of them are old functions with low numbers. */
    if (call->funcid >= FirstNormalObjectId)
        return;
    for (size_t i = 0; i < lengthof(replacements); i++) {
        if (replacements[i].stock != call->funcid)
            continue;
        Oid own = find_own(&replacements[i]);
        if (OidIsValid(own))
            call->funcid = own;
        return;
    }
}

/* A query inside of EXPLAIN or DECLARE is analysed without the hook. */
static Node *inner_query(const Query *query)
{
    const Node *utility = query->utilityStmt;
    if (utility && IsA(utility, ExplainStmt))
        return ((const ExplainStmt *)utility)->query;
    if (utility && IsA(utility, DeclareCursorStmt))
        return ((const DeclareCursorStmt *)utility)->query;
    return NULL;
}

static void analyzed(ParseState *state, Query *query, JumbleState *jumble)
{
    if (next_analyze)
        next_analyze(state, query, jumble);
    if (!guard_is_entered())
        return;
    if (query->commandType != CMD_UTILITY)
        guard_each_call((Node *)query, replace_call);
    else
        guard_each_call(inner_query(query), replace_call);
}

void guard_advisory_init(void)
{
    next_analyze = post_parse_analyze_hook;
    post_parse_analyze_hook = analyzed;
}
