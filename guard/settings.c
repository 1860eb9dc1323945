/*
 * settings.c - the role cannot be changed, and the context goes along to parallel workers.
 *
 * Every way to change a role goes through the hooks of the settings `role` and
 * `session_authorization`: SET, SET LOCAL, set_config, a function's SET clause, and, past the check
 * hook, RESET, DISCARD ALL, ROLLBACK and SET SESSION AUTHORIZATION DEFAULT. In an armed session the
 * check hook refuses, and the assign hook does nothing.
 *
 * The context is a C structure that a parallel worker does not have. It gets it from a setting that
 * cannot be changed after the connection's start (PGC_SU_BACKEND: SET, RESET, set_config and a
 * function's SET clause are refused before any hook), whose check hook refuses every value that
 * does not come from here, and that is shown to superusers alone.
 */
#include "guard.h"

#include "access/parallel.h"
#include "access/xact.h"
#include "fmgr.h"
#include "nodes/pg_list.h"
#include "parser/parse_func.h"
#include "utils/builtins.h"

#define CONTEXT_SETTING "reeve_guard.context"

enum { CONTEXT_SIZE = 128, PATH_SIZE = 256 };

PG_FUNCTION_INFO_V1(reeve_guard_tenant_id);
PG_FUNCTION_INFO_V1(reeve_guard_tenant_slug);

/* ---- role and session_authorization ---- */

struct wrapped {
    const char *name;
    const char *harmless; /* a value that may be set; NULL: none */
    GucStringCheckHook check;
    GucStringAssignHook assign;
};

static struct wrapped role = {.name = "role", .harmless = "none"};
static struct wrapped authorization = {.name = "session_authorization"};
static struct config_string *search_path;

static bool check_locked(const struct wrapped *wrapped, char **value, void **extra,
                         GucSource source)
{
    bool harmless = wrapped->harmless && *value && strcmp(*value, wrapped->harmless) == 0;
    if (!guard_is_locked() || InitializingParallelWorker || harmless ||
        guard_mutation("guard.role"))
        return wrapped->check(value, extra, source);
    GUC_check_errcode(ERRCODE_INSUFFICIENT_PRIVILEGE);
    GUC_check_errmsg("a tenant cannot change its role");
    return false;
}

static void assign_locked(const struct wrapped *wrapped, const char *value, void *extra)
{
    if (!guard_is_locked() || InitializingParallelWorker || guard_mutation("guard.role"))
        wrapped->assign(value, extra);
}

static bool check_role_setting(char **value, void **extra, GucSource source)
{
    return check_locked(&role, value, extra, source);
}

static void assign_role_setting(const char *value, void *extra)
{
    assign_locked(&role, value, extra);
}

static bool check_authorization(char **value, void **extra, GucSource source)
{
    return check_locked(&authorization, value, extra, source);
}

static void assign_authorization(const char *value, void *extra)
{
    assign_locked(&authorization, value, extra);
}

/* A text setting of the server's own, with both hooks. */
static struct config_string *find_text(const char *name)
{
    struct config_generic *setting = guard_find_setting(name);
    if (!setting || setting->vartype != PGC_STRING)
        ereport(FATAL, (errcode(ERRCODE_INTERNAL_ERROR),
                        errmsg("reeve_guard: this server has no setting \"%s\"", name)));
    struct config_string *text = (struct config_string *)setting;
    /* cppcheck-suppress nullPointerRedundantCheck ; a fatal error does not return */
    if (!text->check_hook || !text->assign_hook)
        ereport(FATAL, (errcode(ERRCODE_INTERNAL_ERROR),
                        errmsg("reeve_guard: the setting \"%s\" has no hooks", name)));
    return text;
}

static void wrap(struct wrapped *wrapped, GucStringCheckHook check, GucStringAssignHook assign)
{
    struct config_string *text = find_text(wrapped->name);
    wrapped->check = text->check_hook;
    wrapped->assign = text->assign_hook;
    text->check_hook = check;
    text->assign_hook = assign;
}

/* ---- the context ---- */

static char *published = NULL; /* "tenant role flags slug", or "" */
static bool publishing;

static bool check_context(char **value, void **extra, GucSource source)
{
    (void)extra;
    (void)source;
    if (publishing || InitializingParallelWorker || !*value || **value == '\0')
        return true;
    GUC_check_errcode(ERRCODE_INSUFFICIENT_PRIVILEGE);
    GUC_check_errmsg("\"%s\" cannot be set", CONTEXT_SETTING);
    return false;
}

static void assign_context(const char *value, void *extra)
{
    (void)extra;
    if (!InitializingParallelWorker)
        return;
    struct guard_context context = {0};
    long long tenant_id = 0;
    if (value && sscanf(value, "%lld %u %d %63s", &tenant_id, &context.role, &context.flags,
                        context.slug) == 4)
        context.tenant_id = tenant_id;
    guard_context = context;
}

/* The setting's own text is written over: to set it costs a walk over all settings at commit. */
void guard_context_publish(void)
{
    static char *room;
    if (!room || published != room) {
        char blank[CONTEXT_SIZE];
        memset(blank, ' ', sizeof(blank) - 1);
        blank[sizeof(blank) - 1] = '\0';
        publishing = true;
        set_config_option(CONTEXT_SETTING, blank, PGC_SU_BACKEND, PGC_S_SESSION, GUC_ACTION_SET,
                          true, ERROR, false);
        publishing = false;
        room = published;
    }
    snprintf(room, CONTEXT_SIZE, "%lld %u %d %s", (long long)guard_context.tenant_id,
             guard_context.role, guard_context.flags, guard_context.slug);
}

void guard_context_withdraw(void)
{
    if (published && *published)
        *published = '\0';
}

/* ---- what RESET and DISCARD go back to ---- */

/* As the client's startup packet would have set it. */
static void set_default(const char *name, const char *value)
{
    set_config_option(name, value, PGC_USERSET, PGC_S_CLIENT, GUC_ACTION_SET, true, ERROR, false);
}

void guard_set_read_only(bool read_only)
{
    if (DefaultXactReadOnly != read_only)
        set_default("default_transaction_read_only", read_only ? "on" : "off");
}

/*
 * Written over as well, where it is as it was left here: both the setting's value and what it is
 * reset to. What else there is to setting it is the assign hook, which has the server look the
 * schemas up anew.
 */
void guard_set_search_path(const char *path)
{
    static char *room; /* of PATH_SIZE; the setting's */
    struct config_string *setting = search_path;
    bool known = room && setting->reset_val == room && *setting->variable == room;
    bool fits = strlen(path) < PATH_SIZE && !GUARD_SEARCH_PATH_IS_REPORTED;
    if (known && fits) {
        strlcpy(room, path, PATH_SIZE);
        setting->assign_hook(room, NULL);
        return;
    }
    room = NULL;
    if (!fits) {
        set_default("search_path", path);
        return;
    }
    char padded[PATH_SIZE];
    snprintf(padded, sizeof(padded), "%-*s", PATH_SIZE - 1, path);
    set_default("search_path", padded);
    room = setting->reset_val;
    strlcpy(room, path, PATH_SIZE);
}

/* ---- what is in force while the session is nobody's ---- */

enum { DEADLINES_MAX = 4 };
static struct config_int *deadlines[DEADLINES_MAX];
static struct config_bool *deferrable;
static struct config_enum *isolation;

void guard_settings_disarm(void)
{
    for (int i = 0; i < DEADLINES_MAX && deadlines[i]; i++)
        *deadlines[i]->variable = 0;
    if (guard_mutation("guard.deferrable"))
        return;
    *deferrable->variable = false;
    *isolation->variable = XACT_READ_COMMITTED;
}

void guard_settings_rearm(void)
{
    for (int i = 0; i < DEADLINES_MAX && deadlines[i]; i++)
        *deadlines[i]->variable = deadlines[i]->reset_val;
    *deferrable->variable = deferrable->reset_val;
    *isolation->variable = isolation->reset_val;
}

struct config_generic *guard_must_find_setting(const char *name, enum config_type type)
{
    struct config_generic *setting = guard_find_setting(name);
    if (!setting || setting->vartype != type)
        ereport(FATAL, (errcode(ERRCODE_INTERNAL_ERROR),
                        errmsg("reeve_guard: this server has no setting \"%s\"", name)));
    return setting;
}

/* The server's FATAL to a session that is between two tenants would be the next one's: the proxy
 * has deadlines of its own for who is idle. */
static GucIntCheckHook next_idle_check;

static bool check_idle_session(int *value, void **extra, GucSource source)
{
    if (guard_armed && !guard_mutation("guard.idle"))
        *value = 0;
    return !next_idle_check || next_idle_check(value, extra, source);
}

static void find_settings(void)
{
    for (int i = 0; guard_deadline_name(i); i++)
        deadlines[i] =
            (struct config_int *)guard_must_find_setting(guard_deadline_name(i), PGC_INT);
    isolation =
        (struct config_enum *)guard_must_find_setting("default_transaction_isolation", PGC_ENUM);
    deferrable =
        (struct config_bool *)guard_must_find_setting("default_transaction_deferrable", PGC_BOOL);
    struct config_int *idle =
        (struct config_int *)guard_must_find_setting("idle_session_timeout", PGC_INT);
    next_idle_check = idle->check_hook;
    idle->check_hook = check_idle_session;
}

/* ---- what SQL may ask ---- */

/* A session that no proxy has armed is known by its login role: functions of Reeve's look it up. */
static bool ask_login(const char *name, Datum *ret)
{
    Oid function = LookupFuncName(
        list_make2(makeString(pstrdup("reeve")), makeString(pstrdup(name))), 0, NULL, true);
    if (!OidIsValid(function))
        return false;
    FmgrInfo info;
    LOCAL_FCINFO(call, 0);
    fmgr_info(function, &info);
    InitFunctionCallInfoData(*call, &info, 0, InvalidOid, NULL, NULL);
    *ret = FunctionCallInvoke(call);
    return !call->isnull;
}

/* The answer holds as long as the role is logged in. */
static bool login_tenant(int64 *ret)
{
    static Oid known_role = InvalidOid;
    static int64 known_tenant = 0;
    Datum answer;
    if (known_role != GetSessionUserId()) {
        if (!ask_login("login_tenant", &answer))
            return false;
        known_role = GetSessionUserId();
        known_tenant = DatumGetInt64(answer);
    }
    *ret = known_tenant;
    return true;
}

Datum reeve_guard_tenant_id(PG_FUNCTION_ARGS)
{
    int64 tenant_id;
    if (guard_is_entered())
        PG_RETURN_INT64(guard_context.tenant_id);
    if (guard_armed || !login_tenant(&tenant_id))
        PG_RETURN_NULL();
    PG_RETURN_INT64(tenant_id);
}

Datum reeve_guard_tenant_slug(PG_FUNCTION_ARGS)
{
    Datum answer;
    if (guard_is_entered())
        PG_RETURN_TEXT_P(cstring_to_text(guard_context.slug));
    if (guard_armed || !ask_login("login_tenant_slug", &answer))
        PG_RETURN_NULL();
    PG_RETURN_DATUM(answer);
}

void guard_settings_init(void)
{
    wrap(&role, check_role_setting, assign_role_setting);
    wrap(&authorization, check_authorization, assign_authorization);
    search_path = find_text("search_path");
    find_settings();
    DefineCustomStringVariable(CONTEXT_SETTING, "Whose this session is.", NULL, &published, "",
                               PGC_SU_BACKEND,
                               GUC_NO_SHOW_ALL | GUC_NO_RESET_ALL | GUC_NOT_IN_SAMPLE |
                                   GUC_DISALLOW_IN_FILE | GUC_SUPERUSER_ONLY,
                               check_context, assign_context, NULL);
    MarkGUCPrefixReserved("reeve_guard");
}
