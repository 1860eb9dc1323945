/*
 * statements.c - what a tenant may run besides queries.
 *
 * Privileges already refuse nearly all of the rest. What they do not refuse is what a role may do
 * to itself (its password, its default privileges, DROP OWNED), and in a shared session the role
 * and the names are not the tenant's alone. So utility statements are refused unless they are known
 * to be harmless; those of a SECURITY DEFINER function run as its owner and are not looked at.
 *
 * Names that begin with "reeve_" are of statements that the proxy has prepared, perhaps for another
 * tenant: SQL may not use them.
 */
#include "guard.h"

#include "catalog/pg_class.h"
#include "commands/prepare.h"
#include "nodes/parsenodes.h"
#include "nodes/pg_list.h"
#include "utils/memutils.h"

#define PROXY_PREFIX "reeve_"

static ProcessUtility_hook_type next_utility;

/* ---- statements that SQL has prepared ---- */

static List *prepared_names; /* of char *, in TopMemoryContext */

static void note_prepared(const char *name)
{
    MemoryContext before = MemoryContextSwitchTo(TopMemoryContext);
    prepared_names = lappend(prepared_names, pstrdup(name));
    MemoryContextSwitchTo(before);
}

static void forget_prepared(const char *name)
{
    ListCell *cell;
    foreach(cell, prepared_names)
    {
        char *known = lfirst(cell);
        if (strcmp(known, name) != 0)
            continue;
        prepared_names = foreach_delete_current(prepared_names, cell);
        pfree(known);
    }
}

void guard_statements_drop(void)
{
    ListCell *cell;
    foreach(cell, prepared_names)
    {
        PreparedStatement *statement = FetchPreparedStatement(lfirst(cell), false);
        if (statement && statement->from_sql)
            DropPreparedStatement(lfirst(cell), false);
    }
    list_free_deep(prepared_names);
    prepared_names = NIL;
}

/* ---- what is allowed ---- */

static void refuse(const char *what, const char *hint)
{
    ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE), errmsg("a tenant cannot %s", what),
                    hint ? errhint("%s", hint) : 0));
}

static void check_name(const char *name)
{
    if (name && strncmp(name, PROXY_PREFIX, strlen(PROXY_PREFIX)) == 0 &&
        !guard_mutation("guard.names"))
        ereport(ERROR, (errcode(ERRCODE_RESERVED_NAME),
                        errmsg("names of prepared statements that begin with \"%s\" are reserved",
                               PROXY_PREFIX)));
}

static void check_transaction(const TransactionStmt *statement)
{
    if (statement->kind == TRANS_STMT_PREPARE || statement->kind == TRANS_STMT_COMMIT_PREPARED ||
        statement->kind == TRANS_STMT_ROLLBACK_PREPARED)
        refuse("use prepared transactions", NULL);
}

/* Where tables are shared, a lock that conflicts with writing would stop the neighbours. */
static void check_lock(const LockStmt *statement)
{
    if ((guard_context.flags & GUARD_FLAG_SHARED_TABLES) && statement->mode > RowExclusiveLock &&
        !guard_mutation("guard.lock"))
        refuse("lock a whole table here", "Lock rows instead: SELECT ... FOR UPDATE.");
}

static void check_created(const RangeVar *relation)
{
    refuse(relation->relpersistence == RELPERSISTENCE_TEMP
               ? "create temporary tables in a shared session"
               : "create or change objects, roles or rights",
           NULL);
}

static void check_utility(const Node *statement);

static void check_explained(const Node *query)
{
    if (query && IsA(query, Query) && ((const Query *)query)->utilityStmt)
        check_utility(((const Query *)query)->utilityStmt);
}

static void check_utility(const Node *statement)
{
    switch ((int)nodeTag(statement)) {
    case T_TransactionStmt:
        check_transaction((const TransactionStmt *)statement);
        break;
    case T_LockStmt:
        check_lock((const LockStmt *)statement);
        break;
    case T_PrepareStmt:
        check_name(((const PrepareStmt *)statement)->name);
        break;
    case T_ExecuteStmt:
        check_name(((const ExecuteStmt *)statement)->name);
        break;
    case T_CreateStmt:
        check_created(((const CreateStmt *)statement)->relation);
        break;
    case T_CreateTableAsStmt:
        check_created(((const CreateTableAsStmt *)statement)->into->rel);
        break;
    case T_ExplainStmt:
        check_explained(((const ExplainStmt *)statement)->query);
        break;
    case T_LoadStmt:
        refuse("load libraries", NULL);
        break;
    case T_VariableSetStmt:
    case T_VariableShowStmt:
    case T_DeclareCursorStmt:
    case T_ClosePortalStmt:
    case T_FetchStmt:
    case T_CopyStmt:
    case T_DoStmt:
    case T_CallStmt:
    case T_DiscardStmt:
    case T_ConstraintsSetStmt:
    case T_DeallocateStmt:
    case T_ListenStmt:
    case T_NotifyStmt:
    case T_UnlistenStmt:
        break;
    default:
        refuse("create or change objects, roles or rights", NULL);
    }
}

static void note_done(const Node *statement)
{
    if (IsA(statement, PrepareStmt))
        note_prepared(((const PrepareStmt *)statement)->name);
    else if (IsA(statement, DeallocateStmt))
        forget_prepared(((const DeallocateStmt *)statement)->name);
}

/*
 * DEALLOCATE of a statement that the proxy has prepared: the client has it by another name, and the
 * proxy, which knows that, puts its own into the text. Others may use it too, so it stays.
 */
static bool is_shared_deallocate(const Node *statement)
{
    const char *name =
        IsA(statement, DeallocateStmt) ? ((const DeallocateStmt *)statement)->name : NULL;
    return name && strncmp(name, PROXY_PREFIX, strlen(PROXY_PREFIX)) == 0 &&
           FetchPreparedStatement(name, false) && !guard_mutation("guard.names");
}

/* What takes all prepared statements away takes those that SQL has made: the proxy's are not the
 * tenant's alone. Returns whether it was that. */
static bool run_discard(const Node *statement, ProcessUtilityContext context)
{
    if (IsA(statement, DeallocateStmt) && !((const DeallocateStmt *)statement)->name)
        guard_statements_drop();
    else if (IsA(statement, DiscardStmt) && ((const DiscardStmt *)statement)->target == DISCARD_ALL)
        guard_session_discard(context == PROCESS_UTILITY_TOPLEVEL);
    else
        return false;
    return true;
}

static void run_utility(PlannedStmt *planned, const char *text, bool read_only,
                        ProcessUtilityContext context, ParamListInfo parameters,
                        QueryEnvironment *environment, DestReceiver *destination,
                        QueryCompletion *completion)
{
    const Node *statement = planned->utilityStmt;
    guard_statement_begins();
    bool entered = guard_is_entered();
    if (entered && GetUserId() == guard_context.role && !guard_mutation("guard.utility"))
        check_utility(statement);
    if (entered && (is_shared_deallocate(statement) || run_discard(statement, context)))
        return;
    if (entered)
        planned = guard_channels_translate(planned, context);
    (next_utility ? next_utility : standard_ProcessUtility)(
        planned, text, read_only, context, parameters, environment, destination, completion);
    if (entered)
        note_done(statement);
}

void guard_statements_init(void)
{
    next_utility = ProcessUtility_hook;
    ProcessUtility_hook = run_utility;
}
