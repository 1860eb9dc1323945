/*
 * fence.c - a place that is closed: no transaction of its tenant begins there any more.
 *
 * Whoever moves a tenant away cannot count on proxies for that, as one may be cut off and believe
 * that the tenant is still here. So it is looked at here, at entering and again in each
 * transaction, since a session that served the same tenant last is not entered again. A tenant with
 * a role of its own is fenced by that role's connection limit 0; one in shared tables has none, and
 * is fenced by a role that is there for that alone, reeve_fence_<oid of the database>_<tenant>.
 * Roles are in a cache that every transaction brings up to date as it begins: one that begins
 * behind the fence's commit sees it.
 */
#include "guard.h"

#include "access/parallel.h"
#include "access/xact.h"
#include "catalog/pg_authid.h"
#include "executor/executor.h"
#include "utils/syscache.h"

static ExecutorStart_hook_type next_start;
static bool looked; /* in this transaction */
static char fence_role[NAMEDATALEN];

static bool role_is_closed(void)
{
    HeapTuple tuple = SearchSysCache1(AUTHOID, ObjectIdGetDatum(guard_context.role));
    if (!HeapTupleIsValid(tuple))
        return true;
    bool closed = ((Form_pg_authid)GETSTRUCT(tuple))->rolconnlimit == 0;
    ReleaseSysCache(tuple);
    return closed;
}

static bool is_fenced(void)
{
    bool shares = guard_context.flags & GUARD_FLAG_SHARED_TABLES;
    return role_is_closed() ||
           (shares && SearchSysCacheExists1(AUTHNAME, CStringGetDatum(fence_role)));
}

static void check(void)
{
    if (is_fenced() && !guard_mutation("guard.fence"))
        ereport(FATAL, (errcode(ERRCODE_TOO_MANY_CONNECTIONS),
                        errmsg("reeve_guard: the tenant's place here is fenced"),
                        errdetail("It is being moved, or was.")));
}

void guard_fence_entered(void)
{
    snprintf(fence_role, sizeof(fence_role), "reeve_fence_%u_%lld", MyDatabaseId,
             (long long)guard_context.tenant_id);
    check();
}

void guard_statement_begins(void)
{
    guard_must_be_entered();
    if (looked || !guard_is_entered() || IsParallelWorker() || !IsTransactionState())
        return;
    looked = true;
    check();
}

/* Also what was planned before, and is not looked at by any other hook. */
static void start(QueryDesc *query, int flags)
{
    guard_statement_begins();
    if (next_start)
        next_start(query, flags);
    else
        standard_ExecutorStart(query, flags);
}

static void at_transaction_event(XactEvent event, void *argument)
{
    (void)argument;
    if (event == XACT_EVENT_COMMIT || event == XACT_EVENT_ABORT || event == XACT_EVENT_PREPARE)
        looked = false;
}

void guard_fence_init(void)
{
    next_start = ExecutorStart_hook;
    ExecutorStart_hook = start;
    RegisterXactCallback(at_transaction_event, NULL);
}
