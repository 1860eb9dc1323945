#include "wire/message.h"

#include "wire/printable.h"

/* What isspace() takes in the C locale, which is PostgreSQL's until it has read its settings. */
static bool is_blank(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* Copies the next argument, unescaped, and moves *at behind it; false when there is none. The
 * argument's size must be more than strlen(*at). */
static bool next_argument(const char **at, char *ret_argument)
{
    while (is_blank(**at))
        (*at)++;
    if (!**at)
        return false;
    bool escaped = false;
    for (; **at && (escaped || !is_blank(**at)); (*at)++) {
        if (!escaped && **at == '\\') {
            escaped = true;
            continue;
        }
        escaped = false;
        *ret_argument++ = **at;
    }
    *ret_argument = '\0';
    return true;
}

static int refuse(struct error *err, const char *argument, const char *why)
{
    char shown[WIRE_PRINTABLE_SIZE];
    int result = error_set(err, ERROR_INVALID, "\"%s\" in startup parameter \"options\" %s",
                           wire_printable(argument, shown), why);
    error_hint(err, "write settings as -c name=value or --name=value");
    return result;
}

/* Splits "name=value" in place. */
static int split_setting(char *setting, const char **ret_value, struct error *err)
{
    char *equals = strchr(setting, '=');
    if (!equals)
        return refuse(err, setting, "has no value");
    if (equals == setting)
        return refuse(err, setting, "has no name");
    *equals = '\0';
    for (char *c = setting; *c; c++) {
        if (*c == '-')
            *c = '_';
    }
    *ret_value = equals + 1;
    return 0;
}

int wire_options_read(const char *options,
                      int (*found)(void *owner, const char *name, const char *value,
                                   struct error *err),
                      void *owner, struct error *err)
{
    char argument[WIRE_MAX_STARTUP] = "";
    if (strlen(options) >= sizeof(argument))
        return error_set(err, ERROR_INVALID, "startup parameter \"options\" is too long");
    while (next_argument(&options, argument)) {
        char *setting = argument + 2;
        if (strcmp(argument, "-c") == 0) {
            setting = argument;
            if (!next_argument(&options, argument))
                return refuse(err, "-c", "has no setting behind it");
        } else if (!str_has_prefix(argument, "-c") && !str_has_prefix(argument, "--")) {
            return refuse(err, argument, "is not supported");
        }
        const char *value = NULL;
        int result = split_setting(setting, &value, err);
        if (result == 0)
            result = found(owner, setting, value, err);
        if (result != 0)
            return result;
    }
    return 0;
}
