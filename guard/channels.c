/*
 * channels.c - channels of LISTEN and NOTIFY with a name space of each tenant's own.
 *
 * A channel is a name that a whole database shares. In a tenant's session every name gets the
 * tenant's mark in front before the server sees it: in LISTEN, UNLISTEN and NOTIFY, wherever they
 * come from; for pg_notify by calling a function of ours in its place, which is put there when a
 * query is planned, behind views, rules and defaults. Where pg_notify would be executed all the
 * same, it is refused.
 *
 * A mark cannot be guessed: it is a MAC of the tenant's number under a secret of the database. A
 * tenant with logins of its own may be in the same database, and nothing stands between that one
 * and any channel whose name it knows.
 *
 * What is heard goes to the proxy with the tenant's number in the place of the mark ("2a:news"), so
 * that it can see for itself whose it is; the client gets the name without either. LISTEN must be a
 * statement of its own: only then does the proxy know that the client is to keep the session.
 */
#include "guard.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/namespace.h"
#include "catalog/objectaccess.h"
#include "catalog/pg_language.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "commands/async.h"
#include "common/hmac.h"
#include "fmgr.h"
#include "funcapi.h"
#include "nodes/pg_list.h"
#include "optimizer/planner.h"
#include "parser/parse_func.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"

enum {
    SECRET_SIZE = 32,
    MAC_SIZE = 32,
    MARK_LENGTH = 12, /* 72 bits */
    NAME_MAX_LENGTH = NAMEDATALEN - 1 - MARK_LENGTH,
};

PG_FUNCTION_INFO_V1(reeve_guard_notify);
PG_FUNCTION_INFO_V1(reeve_guard_listening_channels);

static planner_hook_type next_planner;
static object_access_hook_type next_access;
static needs_fmgr_hook_type next_needs_fmgr;

/* ---- the mark ---- */

static uint8 secret[SECRET_SIZE];
static bool has_secret;
static char mark[MARK_LENGTH + 1];
static int64 mark_of; /* the tenant whose it is */

static void take_secret(Relation relation, HeapTuple tuple)
{
    bool is_null;
    Datum value = heap_getattr(tuple, 1, RelationGetDescr(relation), &is_null);
    const bytea *bytes = is_null ? NULL : DatumGetByteaPP(value);
    if (!bytes || VARSIZE_ANY_EXHDR(bytes) != SECRET_SIZE)
        return;
    memcpy(secret, VARDATA_ANY(bytes), SECRET_SIZE);
    has_secret = true;
}

void guard_channels_arm(void)
{
    Oid schema = get_namespace_oid("reeve", true);
    Oid table = OidIsValid(schema) ? get_relname_relid("channel_secret", schema) : InvalidOid;
    if (!OidIsValid(table))
        return; /* made by a script that is older: channels are refused */
    Relation relation = table_open(table, AccessShareLock);
    const FormData_pg_attribute *column = TupleDescAttr(RelationGetDescr(relation), 0);
    if (relation->rd_rel->relkind == RELKIND_RELATION && column->atttypid == BYTEAOID) {
        /* Without looking at rights: nobody but a superuser has any. */
        SysScanDesc scan = systable_beginscan(relation, InvalidOid, false, NULL, 0, NULL);
        HeapTuple tuple = systable_getnext(scan);
        if (HeapTupleIsValid(tuple))
            take_secret(relation, tuple);
        systable_endscan(scan);
    }
    table_close(relation, AccessShareLock);
}

static void make_mark(void)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    uint8 mac[MAC_SIZE];
    uint64 number = (uint64)guard_context.tenant_id;
    pg_hmac_ctx *hmac = pg_hmac_create(PG_SHA256);
    bool made = hmac && pg_hmac_init(hmac, secret, SECRET_SIZE) >= 0 &&
                pg_hmac_update(hmac, (const uint8 *)&number, sizeof(number)) >= 0 &&
                pg_hmac_final(hmac, mac, sizeof(mac)) >= 0;
    pg_hmac_free(hmac);
    if (!made)
        ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR), errmsg("a channel cannot be named")));
    for (int i = 0; i < MARK_LENGTH; i++)
        mark[i] = digits[mac[i] % 64];
    mark_of = guard_context.tenant_id;
}

/* The name that the server knows a tenant's channel by. */
static char *channel_of(const char *name)
{
    if (guard_mutation("guard.channels"))
        return pstrdup(name);
    if (!guard_is_entered() || !has_secret)
        ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
                        errmsg("this database is not prepared for LISTEN and NOTIFY"),
                        errhint("The operator does that: reeve cluster enforce CLUSTER guard")));
    if (*name == '\0')
        ereport(ERROR,
                (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("channel name cannot be empty")));
    if (strlen(name) > NAME_MAX_LENGTH)
        ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("channel name too long"),
                        errhint("Where tenants share a database it has %d bytes at most.",
                                NAME_MAX_LENGTH)));
    if (mark_of != guard_context.tenant_id)
        make_mark();
    return psprintf("%s%s", mark, name);
}

/* ---- statements ---- */

static void check_listen(ProcessUtilityContext context)
{
    if (context != PROCESS_UTILITY_TOPLEVEL)
        ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
                        errmsg("LISTEN is not supported in functions where sessions are shared"),
                        errhint("Send it as a statement of its own.")));
}

PlannedStmt *guard_channels_translate(PlannedStmt *planned, ProcessUtilityContext context)
{
    /* The statement may be a cached plan's or a rule's: what is changed is a copy. */
    Node *statement = NULL;
    switch ((int)nodeTag(planned->utilityStmt)) {
    case T_NotifyStmt:
        statement = copyObject(planned->utilityStmt);
        ((NotifyStmt *)statement)->conditionname =
            channel_of(((NotifyStmt *)statement)->conditionname);
        break;
    case T_ListenStmt:
        check_listen(context);
        statement = copyObject(planned->utilityStmt);
        ((ListenStmt *)statement)->conditionname =
            channel_of(((ListenStmt *)statement)->conditionname);
        break;
    case T_UnlistenStmt:
        if (!((const UnlistenStmt *)planned->utilityStmt)->conditionname)
            return planned; /* all of them */
        statement = copyObject(planned->utilityStmt);
        ((UnlistenStmt *)statement)->conditionname =
            channel_of(((UnlistenStmt *)statement)->conditionname);
        break;
    default:
        return planned;
    }
    PlannedStmt *translated = makeNode(PlannedStmt);
    *translated = *planned;
    translated->utilityStmt = statement;
    return translated;
}

/* ---- functions ---- */

/* As pg_notify, also in what NULL is. */
Datum reeve_guard_notify(PG_FUNCTION_ARGS)
{
    const char *name = PG_ARGISNULL(0) ? "" : text_to_cstring(PG_GETARG_TEXT_PP(0));
    const char *payload = PG_ARGISNULL(1) ? "" : text_to_cstring(PG_GETARG_TEXT_PP(1));
    PreventCommandDuringRecovery("NOTIFY");
    Async_Notify(channel_of(name), payload);
    PG_RETURN_VOID();
}

Datum reeve_guard_listening_channels(PG_FUNCTION_ARGS)
{
    Datum found = pg_listening_channels(fcinfo);
    const ReturnSetInfo *set = (const ReturnSetInfo *)fcinfo->resultinfo;
    if (set->isDone == ExprEndResult)
        return found;
    const text *channel = DatumGetTextPP(found);
    int length = (int)VARSIZE_ANY_EXHDR(channel);
    bool own = length > MARK_LENGTH && mark_of == guard_context.tenant_id &&
               memcmp(VARDATA_ANY(channel), mark, MARK_LENGTH) == 0;
    return own ? PointerGetDatum(cstring_to_text_with_len(VARDATA_ANY(channel) + MARK_LENGTH,
                                                          length - MARK_LENGTH))
               : found;
}

/* ---- replacing calls ---- */

/* One of ours, in schema reeve. */
static Oid find_own(const char *name, int arguments)
{
    static const Oid types[] = {TEXTOID, TEXTOID};
    List *names = list_make2(makeString(pstrdup("reeve")), makeString(pstrdup(name)));
    return LookupFuncName(names, arguments, types, true);
}

static void replace_call(FuncExpr *call)
{
    static Oid notify = InvalidOid, listening_channels = InvalidOid; /* found when first needed */
    Oid *own = call->funcid == F_PG_NOTIFY               ? &notify
               : call->funcid == F_PG_LISTENING_CHANNELS ? &listening_channels
                                                         : NULL;
    if (!own)
        return;
    if (!OidIsValid(*own))
        *own = own == &notify ? find_own("notify", 2) : find_own("listening_channels", 0);
    if (OidIsValid(*own))
        call->funcid = *own;
}

/* The planner may change the query that it is given, and so may this. */
static PlannedStmt *plan(Query *query, const char *source, int options, ParamListInfo parameters)
{
    guard_statement_begins();
    if (guard_is_entered())
        guard_each_call((Node *)query, replace_call);
    return (next_planner ? next_planner : standard_planner)(query, source, options, parameters);
}

static bool has_word(HeapTuple function, AttrNumber attribute, const char *word)
{
    bool is_null;
    Datum value = SysCacheGetAttr(PROCOID, function, attribute, &is_null);
    if (is_null)
        return false;
    char *body = TextDatumGetCString(value);
    bool found = strcasestr(body, word) != NULL;
    pfree(body);
    return found;
}

/*
 * Whether a function is not to become a part of the query that calls it: the planner does that with
 * SQL functions, behind the walk above. One that is called plans its statements by itself. Words
 * that this does not find come to what refuses pg_notify.
 */
static bool is_to_be_called(Oid function)
{
    if (next_needs_fmgr && next_needs_fmgr(function))
        return true;
    if (!guard_is_entered() || function < FirstNormalObjectId)
        return false;
    HeapTuple tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
    if (!HeapTupleIsValid(tuple))
        return false;
    bool found = ((Form_pg_proc)GETSTRUCT(tuple))->prolang == SQLlanguageId &&
                 (has_word(tuple, Anum_pg_proc_prosrc, "pg_notify") ||
                  has_word(tuple, Anum_pg_proc_prosqlbody, ":funcid 3036 "));
    ReleaseSysCache(tuple);
    return found;
}

/* Whatever has not been replaced: a function call message, an argument of EXECUTE, a default of a
 * table that COPY fills. */
static void check_access(ObjectAccessType access, Oid class_id, Oid object, int part,
                         void *argument)
{
    if (next_access)
        next_access(access, class_id, object, part, argument);
    if (access == OAT_FUNCTION_EXECUTE && object == F_PG_NOTIFY && guard_is_entered() &&
        !guard_mutation("guard.notify"))
        ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
                        errmsg("pg_notify cannot be called in this way"),
                        errhint("Call it in a query, or use NOTIFY.")));
}

/* ---- what is heard ---- */

int guard_channels_tell(const char *bytes, size_t length,
                        int (*put)(char type, const char *bytes, size_t length))
{
    const size_t at = sizeof(int32); /* behind the sender's process id */
    bool own = guard_is_entered() && mark_of == guard_context.tenant_id &&
               length > at + MARK_LENGTH && memcmp(bytes + at, mark, MARK_LENGTH) == 0;
    if (!own)
        return guard_mutation("guard.channels") || guard_mutation("guard.heard")
                   ? put('A', bytes, length)
                   : 0;
    char number[24];
    int number_length =
        snprintf(number, sizeof(number), "%llx:", (unsigned long long)guard_context.tenant_id);
    size_t rest = length - at - MARK_LENGTH;
    char *told = palloc(at + (size_t)number_length + rest);
    memcpy(told, bytes, at);
    memcpy(told + at, number, (size_t)number_length);
    memcpy(told + at + number_length, bytes + at + MARK_LENGTH, rest);
    int result = put('A', told, at + (size_t)number_length + rest);
    pfree(told);
    return result;
}

void guard_channels_init(void)
{
    next_planner = planner_hook;
    planner_hook = plan;
    next_access = object_access_hook;
    object_access_hook = check_access;
    next_needs_fmgr = needs_fmgr_hook;
    needs_fmgr_hook = is_to_be_called;
}
