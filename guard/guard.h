/*
 * guard.h - what the files of the guard share. See README.md for the whole picture.
 */
#ifndef GUARD_GUARD_H
#define GUARD_GUARD_H

#include "compat.h"

#include "nodes/primnodes.h"
#include "tcop/utility.h"
#include "utils/palloc.h"

enum {
    GUARD_KEY_SIZE = 32,
    GUARD_SLUG_MAX = 63,
    GUARD_FLAG_READ_ONLY = 1,     /* default_transaction_read_only */
    GUARD_FLAG_SHARED_TABLES = 2, /* other tenants' rows are in the same tables */
};

/* Whose the session is. In the process's own memory: SQL has no way to it. */
struct guard_context {
    int64 tenant_id; /* 0: nobody's */
    Oid role;
    int flags;
    char slug[GUARD_SLUG_MAX + 1];
};

extern struct guard_context guard_context;
/* The session belongs to a proxy: it may be entered, and its role cannot be changed from SQL. */
extern bool guard_armed;

/* True while a tenant's own statements run. In parallel workers as well. */
static inline bool guard_is_entered(void)
{
    return guard_context.tenant_id != 0;
}

/* Roles cannot be changed: in an armed session, and in its parallel workers. */
static inline bool guard_is_locked(void)
{
    return guard_armed || guard_is_entered();
}

/* session.c: ends a session that runs a statement while it is nobody's: no tenant's may come there.
 */
void guard_must_be_entered(void);

/* fence.c: a place that is closed. */
void guard_fence_init(void);
void guard_fence_entered(void); /* the context is set; fatal where the tenant is fenced */
/* That, and guard_must_be_entered: for whatever a statement comes through. */
void guard_statement_begins(void);

/* session.c: what DISCARD ALL and DEALLOCATE ALL do, but for the proxy's statements. */
void guard_session_discard(bool top_level);

/* settings.c: the hooks of `role` and `session_authorization`, the setting that takes the context
 * to parallel workers, and what settings are reset to (to be called behind ResetAllOptions). */
void guard_settings_init(void);
void guard_set_search_path(const char *path);
void guard_set_read_only(bool read_only);
/* What the tenant before has set must not strike what is not its own any more: deadlines, and
 * transactions that wait for others to begin. Cannot fail. */
void guard_settings_disarm(void);
/* Behind ResetAllOptions, which passes over what only the operator has set: that is in force again.
 */
void guard_settings_rearm(void);
/* Of that type; a server without it is none that the guard knows: fatal. */
struct config_generic *guard_must_find_setting(const char *name, enum config_type type);
void guard_context_publish(void); /* in a transaction; errors are fatal by then */
void guard_context_withdraw(void);

/* meaning.c: plans are thrown away that were made under other settings than the tenant's. At the
 * end of entering. */
void guard_meaning_init(void);
void guard_meaning_entered(void);

/* statements.c: what a tenant may run besides queries; names that are the proxy's. */
void guard_statements_init(void);
void guard_statements_drop(void); /* those that SQL has prepared */

/* calls.c: for each call of a function in the query or expression, also in its parts. */
void guard_each_call(Node *node, void (*call)(FuncExpr *call));

/* advisory.c: advisory locks with a key space a tenant. */
void guard_advisory_init(void);

/* channels.c: LISTEN and NOTIFY with channels of each tenant's own. */
void guard_channels_init(void);
void guard_channels_arm(void); /* in a transaction: reads the secret that marks are made of */
/* The statement to run in the place of this one, in a tenant's session; that itself, mostly. */
PlannedStmt *guard_channels_translate(PlannedStmt *planned, ProcessUtilityContext context);
/* A NotificationResponse: told to the proxy by `put`, or kept back. */
int guard_channels_tell(const char *bytes, size_t length,
                        int (*put)(char type, const char *bytes, size_t length));

/* A defence that the test build can take out; never in a release build. */
#ifdef REEVE_FAILPOINTS
bool guard_mutation(const char *name);
#else
#define guard_mutation(name) false
#endif

#endif
