#include "cli/handover.h"

static void describe(const struct listen_set *set, json_t *names, struct status_descriptors *ret)
{
    for (int i = 0; i < set->count && ret->count < STATUS_DESCRIPTORS_MAX; i++) {
        json_array_append_new(names, json_string(set->names[i]));
        ret->fds[ret->count++] = set->fds[i];
    }
}

json_t *handover_describe(const struct listen_set *set, const struct listen_set *metrics,
                          struct status_descriptors *ret)
{
    json_t *names = json_array();
    describe(set, names, ret);
    describe(metrics, names, ret);
    return json_pack("{s:o}", "listen", names);
}

/* As many names as descriptors, or nothing that can be used. */
static int read_names(const json_t *names, struct status_descriptors *descriptors,
                      struct arena *arena, struct listen_set *ret, struct error *err)
{
    size_t count = json_array_size(names);
    if (count != descriptors->count || count > LISTEN_SET_MAX)
        return error_set(err, ERROR_PROTOCOL,
                         "the running server hands over %zu sockets under %zu names",
                         descriptors->count, count);
    for (size_t i = 0; i < count; i++) {
        const char *name = json_string_value(json_array_get(names, i));
        ret->names[i] = arena_strdup(arena, name ? name : "");
        ret->fds[i] = descriptors->fds[i];
    }
    ret->count = (int)count;
    descriptors->count = 0;
    return 0;
}

int handover_ask(const char *status_path, struct arena *arena, struct listen_set *ret,
                 struct error *err)
{
    struct status_descriptors descriptors = {.count = 0};
    json_t *answer = NULL;
    *ret = (struct listen_set){0};
    int result = status_socket_ask_for(status_path, "handover", &answer, &descriptors, err);
    if (result == -ERROR_CONNECTION) {
        error_clear(err);
        return 0;
    }
    if (result == 0)
        result = read_names(json_object_get(answer, "listen"), &descriptors, arena, ret, err);
    status_descriptors_close(&descriptors);
    json_decref(answer);
    return result;
}

int handover_retire(const char *status_path, struct error *err)
{
    json_t *answer = NULL;
    int result = status_socket_ask(status_path, "retire", &answer, err);
    if (result == 0 && !json_is_true(json_object_get(answer, "granted")))
        result = error_set(err, ERROR_STATE,
                           "the running server is stopping, or is being replaced by another one");
    json_decref(answer);
    return result;
}
