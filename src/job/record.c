#include "job/record.h"

#include <jansson.h>

#include "base/str.h"

static const char *dump(struct arena *arena, json_t *object)
{
    _cleanup_free_ char *text = object ? json_dumps(object, JSON_COMPACT) : NULL;
    json_decref(object);
    return arena_strdup(arena, text ? text : "{}");
}

/* Servers and files say anything; JSON wants UTF-8. */
static json_t *text_or_placeholder(const char *text)
{
    return json_string(str_is_utf8(text, strlen(text)) ? text : "(not valid UTF-8)");
}

const char *record_progress(struct arena *arena, const struct job_run *run)
{
    json_t *object = json_object();
    json_object_set_new(object, "text", text_or_placeholder(run->text));
    json_object_set_new(object, "number", json_integer((json_int_t)run->step + 1));
    json_object_set_new(object, "count", json_integer((json_int_t)run->definition->step_count));
    return dump(arena, object);
}

const char *record_error(struct arena *arena, const struct error *error)
{
    json_t *object = json_object();
    json_object_set_new(object, "code", json_string(error_info(error->code)->name));
    json_object_set_new(object, "sqlstate", json_string(error->sqlstate));
    json_object_set_new(object, "message", text_or_placeholder(error->message));
    json_object_set_new(object, "detail", text_or_placeholder(error->detail));
    json_object_set_new(object, "hint", text_or_placeholder(error->hint));
    return dump(arena, object);
}

static void copy_member(const json_t *object, const char *member, char *target, size_t size)
{
    const char *text = json_string_value(json_object_get(object, member));
    if (text)
        snprintf(target, size, "%s", text);
}

static enum error_code code_from_name(const char *name)
{
    for (int code = 1; name && code < ERROR_CODE_COUNT; code++)
        if (strcmp(error_info(code)->name, name) == 0)
            return (enum error_code)code;
    return ERROR_INTERNAL;
}

void record_read_error(const char *json, struct error *ret)
{
    json_t *object = json ? json_loads(json, 0, NULL) : NULL;
    error_set(ret, code_from_name(json_string_value(json_object_get(object, "code"))),
              "the job had failed");
    if (object) {
        copy_member(object, "sqlstate", ret->sqlstate, sizeof(ret->sqlstate));
        copy_member(object, "message", ret->message, sizeof(ret->message));
        copy_member(object, "detail", ret->detail, sizeof(ret->detail));
        copy_member(object, "hint", ret->hint, sizeof(ret->hint));
    }
    json_decref(object);
}
