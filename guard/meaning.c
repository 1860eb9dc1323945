/*
 * meaning.c - settings that decide what a statement's text means, and plans made under them.
 *
 * PostgreSQL keeps what it has analysed of a function's statements and of prepared ones, with
 * literals converted by the settings of that moment ('01/02/2024' by DateStyle), and does not look
 * at these settings again. In a session of one user that is harmless; here the next one to call the
 * function is another tenant. So what was kept is thrown away when a tenant is entered under other
 * settings than those of the plans, or when the one before has changed them meanwhile.
 *
 * What was parsed under standard_conforming_strings = off stays parsed: it cannot be set here.
 */
#include "guard.h"

#include "parser/parse_expr.h"
#include "pgtime.h"
#include "tsearch/ts_cache.h"
#include "utils/array.h"
#include "utils/datetime.h"
#include "utils/pg_locale.h"
#include "utils/plancache.h"
#include "utils/xml.h"

enum { TEXT_SIZE = 512 };

static struct config_string *time_zone_abbreviations;
static bool changed; /* since the last look, by the tenant who is there */

static void note_change(void)
{
    if (guard_is_entered())
        changed = true;
}

/* A setting's assign hook, with its type. */
#define WATCH(id, type, hook)                                                                      \
    static hook id##_next;                                                                         \
    static void id##_assigned(type value, void *extra)                                             \
    {                                                                                              \
        note_change();                                                                             \
        if (id##_next)                                                                             \
            id##_next(value, extra);                                                               \
    }

WATCH(date_style, const char *, GucStringAssignHook)
WATCH(interval_style, int, GucEnumAssignHook)
WATCH(time_zone, const char *, GucStringAssignHook)
WATCH(abbreviations, const char *, GucStringAssignHook)
WATCH(null_equals, bool, GucBoolAssignHook)
WATCH(array_nulls, bool, GucBoolAssignHook)
WATCH(xml_option, int, GucEnumAssignHook)
WATCH(text_search, const char *, GucStringAssignHook)
WATCH(monetary, const char *, GucStringAssignHook)

#define WRAP(id, name, structure, kind)                                                            \
    do {                                                                                           \
        struct structure *setting = (struct structure *)guard_must_find_setting(name, kind);       \
        id##_next = setting->assign_hook;                                                          \
        setting->assign_hook = id##_assigned;                                                      \
    } while (0)

static GucBoolCheckHook next_strings_check;

static bool check_strings(bool *value, void **extra, GucSource source)
{
    if (!guard_armed || *value || source < PGC_S_SESSION || guard_mutation("guard.meaning"))
        return !next_strings_check || next_strings_check(value, extra, source);
    GUC_check_errcode(ERRCODE_FEATURE_NOT_SUPPORTED);
    GUC_check_errmsg("\"standard_conforming_strings\" cannot be off in a shared session");
    return false;
}

/* What they are now. */
static void describe(char *text)
{
    int length = snprintf(text, TEXT_SIZE, "%d %d %d %s %s %d %d %d %s %s", DateStyle, DateOrder,
                          IntervalStyle, pg_get_timezone_name(session_timezone),
                          *time_zone_abbreviations->variable, Transform_null_equals, Array_nulls,
                          xmloption, TSCurrentConfig, locale_monetary);
    if (length >= TEXT_SIZE) /* never equal to another */
        text[0] = '\0';
}

void guard_meaning_entered(void)
{
    static char of_plans[TEXT_SIZE];
    char now[TEXT_SIZE];
    describe(now);
    bool same = !changed && now[0] != '\0' && strcmp(now, of_plans) == 0;
    changed = false;
    if (same)
        return;
    strlcpy(of_plans, now, sizeof(of_plans));
    if (!guard_mutation("guard.meaning"))
        ResetPlanCache();
}

void guard_meaning_init(void)
{
    WRAP(date_style, "DateStyle", config_string, PGC_STRING);
    WRAP(interval_style, "IntervalStyle", config_enum, PGC_ENUM);
    WRAP(time_zone, "TimeZone", config_string, PGC_STRING);
    WRAP(abbreviations, "timezone_abbreviations", config_string, PGC_STRING);
    WRAP(null_equals, "transform_null_equals", config_bool, PGC_BOOL);
    WRAP(array_nulls, "array_nulls", config_bool, PGC_BOOL);
    WRAP(xml_option, "xmloption", config_enum, PGC_ENUM);
    WRAP(text_search, "default_text_search_config", config_string, PGC_STRING);
    WRAP(monetary, "lc_monetary", config_string, PGC_STRING);
    time_zone_abbreviations =
        (struct config_string *)guard_must_find_setting("timezone_abbreviations", PGC_STRING);
    struct config_bool *strings =
        (struct config_bool *)guard_must_find_setting("standard_conforming_strings", PGC_BOOL);
    next_strings_check = strings->check_hook;
    strings->check_hook = check_strings;
}
