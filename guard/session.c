/*
 * session.c - arming a session, entering it as a tenant, leaving it.
 *
 *            arm(key)              enter(key, ...)
 *   login ------------> nobody's <-----------------> a tenant's
 *                                 empty Flush, leave(key)
 *
 * The proxy sends, in front of a tenant's first message:
 *
 *   Flush                 leaves at once. ReadyForQuery was the last that was sent, so there is
 *                         nothing to flush; no client's Flush comes here in that state (the proxy
 *                         swallows them). It runs no transaction and cannot fail.
 *   Close ''              the unnamed statement of the tenant before
 *   FunctionCall enter    a transaction of its own; no name that SQL could take away, no plan
 *   ...                   the tenant's messages, in the same packet
 *
 * So whatever goes wrong in entering, even before the function is reached, finds a session that is
 * nobody's: the messages behind it end it, and the proxy gives none of their answers to anyone.
 * From the function's first line to the end of its transaction every error is fatal.
 */
#include "guard.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_authid.h"
#include "commands/async.h"
#include "commands/sequence.h"
#include "common/pg_prng.h"
#include "fmgr.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/portal.h"
#include "utils/syscache.h"

PG_MODULE_MAGIC;

void _PG_init(void);

PG_FUNCTION_INFO_V1(reeve_guard_arm);
PG_FUNCTION_INFO_V1(reeve_guard_enter);
PG_FUNCTION_INFO_V1(reeve_guard_leave);

struct guard_context guard_context;
bool guard_armed;

static uint8 guard_key[GUARD_KEY_SIZE];

/* Errors are fatal, and cancel requests wait, until the transaction that enters or leaves has
 * ended. */
static bool changing;
static bool exit_on_any_error_before;

#ifdef REEVE_FAILPOINTS
bool guard_mutation(const char *name)
{
    const char *at = getenv("REEVE_MUTATE");
    size_t length = strlen(name);
    while (at && *at) {
        if (strncmp(at, name, length) == 0 && (at[length] == ',' || at[length] == '\0'))
            return true;
        at = strchr(at, ',');
        if (at)
            at++;
    }
    return false;
}
#endif

/* ---- leaving ---- */

/* No allocation, no catalog, no transaction needed: it cannot fail. */
static void leave(void)
{
    memset(&guard_context, 0, sizeof(guard_context));
    guard_context_withdraw();
    SetCurrentRoleId(InvalidOid, false);
    guard_settings_disarm();
}

/* ---- the empty Flush ---- */

static const PQcommMethods *stock_methods;
static PQcommMethods watching_methods;
static bool something_sent; /* since the last flush */
static bool ready_told;     /* ReadyForQuery was the last answer: the server waits for a command */
static bool answer_waits;   /* the next flush is the one behind entering */

static int watch_message(char type, const char *bytes, size_t length)
{
    something_sent = true;
    if (type != 'A' && type != 'N' && type != 'S') /* what comes at any time */
        ready_told = type == 'Z';
    if (type == 'A')
        return guard_channels_tell(bytes, length, stock_methods->putmessage);
    return stock_methods->putmessage(type, bytes, length);
}

/* The answer to entering goes out with that to the message behind it, if there is one already: two
 * packets cost server and proxy a system call each, and a wake-up. */
static bool may_wait(void)
{
    bool waits = answer_waits && !changing && guard_more_has_come();
    answer_waits = false;
    return waits;
}

/* The server flushes while it waits for a message where it has looked for notifications, and may
 * have found none that are this session's. */
static int watch_flush(void)
{
    bool asked = !pq_is_reading_msg() || guard_mutation("guard.reading");
    bool ready = ready_told || guard_mutation("guard.ready");
    bool empty = asked && ready && !something_sent && !changing && guard_is_entered() &&
                 !IsTransactionState() && !IsTransactionOrTransactionBlock();
    something_sent = false;
    if (may_wait())
        return 0;
    if (empty && !guard_mutation("guard.flush"))
        leave();
    return stock_methods->flush();
}

static void watch_flushes(void)
{
    stock_methods = PqCommMethods;
    watching_methods = *stock_methods;
    watching_methods.putmessage = watch_message;
    watching_methods.flush = watch_flush;
    PqCommMethods = &watching_methods;
}

/* ---- fatal errors ---- */

static void begin_change(void)
{
    if (!changing)
        exit_on_any_error_before = ExitOnAnyError;
    else
        RESUME_INTERRUPTS();
    HOLD_INTERRUPTS();
    changing = true;
    ExitOnAnyError = true;
}

static void at_transaction_event(XactEvent event, void *argument)
{
    (void)argument;
    if (changing && event == XACT_EVENT_COMMIT) {
        changing = false;
        ExitOnAnyError = exit_on_any_error_before;
        RESUME_INTERRUPTS();
    }
}

/* In time that does not depend on where keys differ. */
static void check_key(const bytea *given)
{
    uint8 difference = 0;
    if (!guard_armed || VARSIZE_ANY_EXHDR(given) != GUARD_KEY_SIZE)
        ereport(FATAL, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE), errmsg("reeve_guard: not armed")));
    const uint8 *bytes = (const uint8 *)VARDATA_ANY(given);
    for (int i = 0; i < GUARD_KEY_SIZE; i++)
        difference |= (uint8)(bytes[i] ^ guard_key[i]);
    if (difference != 0 && !guard_mutation("guard.key"))
        ereport(FATAL, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE), errmsg("reeve_guard: wrong key")));
}

void guard_must_be_entered(void)
{
    if (!guard_armed || guard_is_entered() || changing || guard_mutation("guard.nobody"))
        return;
    ereport(FATAL, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
                    errmsg("reeve_guard: a statement came to a session that is nobody's")));
}

/* ---- what a session leaves behind ---- */

/* ExitOnAnyError is a setting's own variable: what the tenant before has set goes, and what the
 * next one sets comes, while it is true for us. */
static void change_exit_on_error(void (*change)(const char *value), const char *value)
{
    bool mine = changing && !guard_mutation("guard.exit");
    if (mine)
        ExitOnAnyError = exit_on_any_error_before;
    change(value);
    if (!mine)
        return;
    exit_on_any_error_before = ExitOnAnyError;
    ExitOnAnyError = true;
}

static void reset_settings(const char *unused)
{
    (void)unused;
    ResetAllOptions();
    guard_settings_rearm();
}

static void set_exit_on_error(const char *value)
{
    set_config_option("exit_on_error", value, PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SET, true,
                      ERROR, false);
}

/* Of DISCARD ALL all but the proxy's prepared statements and the plans. As nobody. */
static void clear_session(void)
{
    PortalHashTableDeleteAll();
    if (!guard_mutation("guard.prepared"))
        guard_statements_drop();
    if (!guard_mutation("guard.unlisten"))
        Async_UnlistenAll();
    if (!guard_mutation("guard.advisory"))
        LockReleaseAll(USER_LOCKMETHOD, true);
    ResetTempTableNamespace();
    if (!guard_mutation("guard.sequences"))
        ResetSequenceCaches();
    if (!guard_mutation("guard.settings"))
        change_exit_on_error(reset_settings, NULL);
    /* setseed() of one must not tell what random() gives to the next. */
    double seed = pg_prng_double(&pg_global_prng_state) * 2.0 - 1.0;
    if (!guard_mutation("guard.random"))
        DirectFunctionCall1(setseed, Float8GetDatum(seed));
}

void guard_session_discard(bool top_level)
{
    PreventInTransactionBlock(top_level, "DISCARD ALL");
    clear_session();
}

/* ---- entering ---- */

/* The names of `enter`: zero-terminated strings, one behind the other. */
struct names {
    const char *at, *end;
};

static const char *next_name(struct names *names)
{
    const char *text = names->at;
    const char *stop = text < names->end ? memchr(text, '\0', (size_t)(names->end - text)) : NULL;
    if (!stop || !pg_verifymbstr(text, (int)(stop - text), true))
        ereport(FATAL, (errcode(ERRCODE_PROTOCOL_VIOLATION),
                        errmsg("reeve_guard: the names to enter with are malformed")));
    /* cppcheck-suppress nullPointerArithmeticRedundantCheck ; a fatal error does not return */
    names->at = stop + 1;
    return text;
}

/* A role that row-level security and privileges hold for. */
static Oid find_role(const char *name)
{
    HeapTuple tuple = SearchSysCache1(AUTHNAME, CStringGetDatum(name));
    if (!HeapTupleIsValid(tuple))
        ereport(FATAL, (errcode(ERRCODE_UNDEFINED_OBJECT),
                        errmsg("reeve_guard: role \"%s\" does not exist", name)));
    Form_pg_authid role = (Form_pg_authid)GETSTRUCT(tuple);
    Oid oid = role->oid;
    bool powerful = role->rolsuper || role->rolbypassrls || role->rolcreaterole ||
                    role->rolcreatedb || role->rolreplication;
    ReleaseSysCache(tuple);
    if (powerful)
        ereport(FATAL,
                (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
                 errmsg("reeve_guard: role \"%s\" has rights that no tenant may have", name)));
    return oid;
}

Datum reeve_guard_enter(PG_FUNCTION_ARGS)
{
    begin_change();
    check_key(PG_GETARG_BYTEA_PP(0));
    PreventInTransactionBlock(true, "reeve.enter");
    int64 tenant_id = PG_GETARG_INT64(1);
    int32 flags = PG_GETARG_INT32(2);
    const bytea *packed = PG_GETARG_BYTEA_PP(3);
    struct names names = {VARDATA_ANY(packed), VARDATA_ANY(packed) + VARSIZE_ANY_EXHDR(packed)};
    const char *slug = next_name(&names);
    const char *role_name = next_name(&names);
    const char *search_path = next_name(&names);
    if (tenant_id <= 0 || strlen(slug) > GUARD_SLUG_MAX)
        ereport(FATAL, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                        errmsg("reeve_guard: there is no such tenant")));

    leave();
    clear_session();
    Oid role = find_role(role_name);
    guard_set_search_path(search_path);
    guard_set_read_only((flags & GUARD_FLAG_READ_ONLY) != 0);
    SetCurrentRoleId(role, false);
    while (names.at < names.end) {
        const char *name = next_name(&names);
        const char *value = next_name(&names);
        if (pg_strcasecmp(name, "exit_on_error") == 0)
            change_exit_on_error(set_exit_on_error, value);
        else
            set_config_option(name, value, PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SET, true, ERROR,
                              false);
    }
    guard_context = (struct guard_context){.tenant_id = tenant_id, .role = role, .flags = flags};
    strlcpy(guard_context.slug, slug, sizeof(guard_context.slug));
    guard_fence_entered();
    guard_context_publish();
    guard_meaning_entered();
    answer_waits = true;
    PG_RETURN_VOID();
}

Datum reeve_guard_leave(PG_FUNCTION_ARGS)
{
    begin_change();
    check_key(PG_GETARG_BYTEA_PP(0));
    PreventInTransactionBlock(true, "reeve.leave");
    leave();
    clear_session();
    PG_RETURN_VOID();
}

/* ---- arming ---- */

Datum reeve_guard_arm(PG_FUNCTION_ARGS)
{
    const bytea *key = PG_GETARG_BYTEA_PP(0);
    if (guard_armed)
        ereport(FATAL, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
                        errmsg("reeve_guard: the session is armed already")));
    if (VARSIZE_ANY_EXHDR(key) != GUARD_KEY_SIZE)
        ereport(FATAL, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
                        errmsg("reeve_guard: the key must have %d bytes", GUARD_KEY_SIZE)));
    if (superuser() || GetUserId() != GetSessionUserId() || !MyProcPort)
        ereport(FATAL, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
                        errmsg("reeve_guard: only a session of its own login role without any "
                               "rights can be armed")));
    memcpy(guard_key, VARDATA_ANY(key), GUARD_KEY_SIZE);
    guard_channels_arm();
    watch_flushes();
    guard_armed = true;
    PG_RETURN_VOID();
}

/* ---- loading ---- */

void _PG_init(void)
{
    static bool done;
    if (done)
        return;
    done = true;
    guard_settings_init();
    guard_meaning_init();
    guard_fence_init();
    guard_statements_init();
    guard_advisory_init();
    guard_channels_init();
    RegisterXactCallback(at_transaction_event, NULL);
}
