/*
 * compat.h - everything that differs between PostgreSQL versions, and nothing else.
 *
 * Built and tested on 15. The branches for 16 to 18 follow those versions' sources: the guard must
 * be built against their headers and pass tests/isolation before anybody trusts it there.
 */
#ifndef GUARD_COMPAT_H
#define GUARD_COMPAT_H

#include "postgres.h"

#include "libpq/libpq.h"
#include "miscadmin.h"
#include "storage/lock.h"
#include "storage/proc.h"
#include "utils/guc.h"
#include "utils/guc_tables.h"

#if defined(PG_VERSION_NUM) && PG_VERSION_NUM < 150000
#error "reeve_guard needs PostgreSQL 15 or newer"
#endif

/* The variable's own structure, whose hooks can be wrapped. NULL when there is none. */
static inline struct config_generic *guard_find_setting(const char *name)
{
#if PG_VERSION_NUM >= 160000
    return find_option(name, false, true, 0);
#else
    struct config_generic **all = get_guc_variables();
    int count = GetNumConfigOptions();
    for (int i = 0; i < count; i++)
        if (strcmp(all[i]->name, name) == 0)
            return all[i];
    return NULL;
#endif
}

/* Whether clients are told of it: it has to be set as settings are, to be noticed. */
#define GUARD_SEARCH_PATH_IS_REPORTED (PG_VERSION_NUM >= 180000)

/* Whether the client has sent more than what was read as messages. */
static inline bool guard_more_has_come(void)
{
#if PG_VERSION_NUM >= 170000
    return pq_buffer_remaining_data() > 0;
#else
    return pq_buffer_has_data();
#endif
}

/* The names of the server's own deadlines; NULL behind the last. */
static inline const char *guard_deadline_name(int index)
{
    static const char *const names[] = {
        "statement_timeout",
        "lock_timeout",
#if PG_VERSION_NUM >= 170000
        "transaction_timeout",
#endif
    };
    return index < (int)lengthof(names) ? names[index] : NULL;
}

#endif
