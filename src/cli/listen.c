#include "cli/listen.h"

#include <sys/socket.h>
#include <unistd.h>

#include "net/engine.h"

static const char *name_of(const struct config_listen *listen, struct arena *arena)
{
    return listen->folder ? config_socket_path(arena, listen)
                          : arena_printf(arena, "%s:%d", listen->host, listen->port);
}

/* Returns how many it found. */
static int take_handed(const char *name, bool is_path, struct listen_set *handed,
                       struct listen_set *set)
{
    int count = 0;
    for (int i = 0; handed && i < handed->count && set->count < PROXY_MAX_LISTEN; i++) {
        if (handed->fds[i] < 0 || strcmp(handed->names[i], name) != 0)
            continue;
        set->fds[set->count] = handed->fds[i];
        set->names[set->count] = name;
        set->paths[set->count] = is_path ? name : NULL;
        set->count++;
        handed->fds[i] = -1;
        count++;
    }
    return count;
}

static int open_one(const struct config_listen *listen, const char *name, struct listen_set *set,
                    struct error *err)
{
    int *fds = set->fds + set->count;
    int count = 1;
    if (listen->folder) {
        int result = net_listen_unix(name, fds, err);
        if (result < 0)
            return result;
    } else {
        count = net_listen_tcp(listen->host, listen->port, fds, PROXY_MAX_LISTEN - set->count, err);
        if (count < 0)
            return count;
    }
    for (; count > 0; count--) {
        set->names[set->count] = name;
        set->paths[set->count] = listen->folder ? name : NULL;
        set->count++;
    }
    return 0;
}

static int open_all(const struct config *config, struct listen_set *handed, struct arena *arena,
                    struct listen_set *set, struct error *err)
{
    for (size_t i = 0; i < config->listen_count; i++) {
        const struct config_listen *listen = &config->listen[i];
        const char *name = name_of(listen, arena);
        if (take_handed(name, listen->folder != NULL, handed, set) > 0)
            continue;
        if (set->count == PROXY_MAX_LISTEN)
            return error_set(err, ERROR_CONFIG, "there are more than %d addresses to listen on",
                             PROXY_MAX_LISTEN);
        int result = open_one(listen, name, set, err);
        if (result < 0)
            return result;
    }
    return 0;
}

int listen_open(const struct config *config, struct listen_set *handed, struct arena *arena,
                struct listen_set *ret, struct error *err)
{
    struct listen_set set = {0};
    int result = open_all(config, handed, arena, &set, err);
    if (result < 0) {
        if (handed)
            listen_give_up_paths(&set); /* who handed them over has them still */
        listen_close(&set);
    } else {
        *ret = set;
    }
    for (int i = 0; handed && i < handed->count; i++) {
        if (handed->fds[i] >= 0)
            close(handed->fds[i]);
        handed->fds[i] = -1;
    }
    return result;
}

int listen_open_metrics(const struct config *config, struct listen_set *handed, struct arena *arena,
                        struct listen_set *ret, struct error *err)
{
    const struct config_listen *listen = &config->metrics_listen;
    struct listen_set set = {0};
    int result = 0;
    if (!listen->host)
        return 0;
    const char *name = arena_printf(arena, "metrics %s", name_of(listen, arena));
    if (take_handed(name, false, handed, &set) == 0)
        result = open_one(listen, name, &set, err);
    if (result < 0) {
        error_prefix(err, "metrics_listen");
        return result;
    }
    *ret = set;
    return 0;
}

void listen_give_up_paths(struct listen_set *set)
{
    for (int i = 0; i < set->count; i++)
        set->paths[i] = NULL;
}

void listen_refuse(const struct listen_set *set)
{
    for (int i = 0; i < set->count; i++)
        shutdown(set->fds[i], SHUT_RDWR);
}

void listen_close(struct listen_set *set)
{
    for (int i = 0; i < set->count; i++) {
        if (set->paths[i])
            unlink(set->paths[i]);
        close(set->fds[i]);
    }
    set->count = 0;
}
