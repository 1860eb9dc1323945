#include "cli/listen.h"

#include <sys/socket.h>
#include <unistd.h>

#include "net/engine.h"

static int open_one(const struct config_listen *listen, struct arena *arena, struct listen_set *set,
                    struct error *err)
{
    if (listen->folder) {
        const char *path = config_socket_path(arena, listen);
        int result = net_listen_unix(path, &set->fds[set->count], err);
        if (result == 0)
            set->paths[set->count++] = path;
        return result;
    }
    int count = net_listen_tcp(listen->host, listen->port, set->fds + set->count,
                               PROXY_MAX_LISTEN - set->count, err);
    if (count < 0)
        return count;
    set->count += count;
    return 0;
}

int listen_open(const struct config *config, struct arena *arena, struct listen_set *ret,
                struct error *err)
{
    struct listen_set set = {0};
    for (size_t i = 0; i < config->listen_count; i++) {
        int result = set.count == PROXY_MAX_LISTEN
                         ? error_set(err, ERROR_CONFIG,
                                     "there are more than %d addresses to "
                                     "listen on",
                                     PROXY_MAX_LISTEN)
                         : open_one(&config->listen[i], arena, &set, err);
        if (result < 0) {
            listen_close(&set);
            return result;
        }
    }
    *ret = set;
    return 0;
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
