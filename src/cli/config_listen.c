#include "cli/config_listen.h"

#include "base/str.h"

/* Takes ":PORT" off the end, when there is one. False when what stands there is no port. */
static bool split_port(char *text, int *ret_port)
{
    char *colon = strrchr(text, ':');
    if (!colon)
        return true;
    int64_t port;
    if (!str_to_i64(colon + 1, 1, 65535, &port))
        return false;
    *colon = '\0';
    *ret_port = (int)port;
    return true;
}

static int bad_listen(struct error *err, const char *value, const char *reason)
{
    int result = error_set(err, ERROR_CONFIG, "cannot listen on \"%s\": %s", value, reason);
    error_hint(err, "write HOST:PORT, [IPV6]:PORT, *:PORT, or a folder for a Unix socket");
    return result;
}

static int parse_unix(char *text, const char *value, struct arena *arena, const char *folder,
                      struct config_listen *listen, struct error *err)
{
    if (!split_port(text, &listen->port))
        return bad_listen(err, value, "the port must be a number from 1 to 65535");
    size_t length = strlen(text);
    while (length > 1 && text[length - 1] == '/')
        text[--length] = '\0';
    listen->folder = text[0] == '/' ? text : arena_printf(arena, "%s/%s", folder, text);
    const char *path = config_socket_path(arena, listen);
    if (strlen(path) > CONFIG_SOCKET_PATH_MAX) {
        int result = error_set(err, ERROR_CONFIG, "the Unix socket's path is too long: %s", path);
        error_detail(err, "it has %zu bytes; the system allows %d", strlen(path),
                     CONFIG_SOCKET_PATH_MAX);
        error_hint(err, "choose a folder with a shorter path");
        return result;
    }
    return 0;
}

static int parse_tcp(char *text, const char *value, struct config_listen *listen, struct error *err)
{
    bool bracketed = text[0] == '[';
    char *close = bracketed ? strchr(text, ']') : NULL;
    if (bracketed && (!close || (close[1] && close[1] != ':')))
        return bad_listen(err, value, "an IPv6 address stands in brackets, as in [::1]:6432");
    if (!bracketed && strchr(text, ':') != strrchr(text, ':'))
        return bad_listen(err, value, "an IPv6 address stands in brackets, as in [::1]:6432");
    bool has_port = close ? close[1] == ':' : strchr(text, ':') != NULL;
    if (has_port && !split_port(text, &listen->port))
        return bad_listen(err, value, "the port must be a number from 1 to 65535");
    if (close) {
        *close = '\0';
        text++;
    }
    if (!*text || strpbrk(text, " \t,/"))
        return bad_listen(err, value, "there is no such form of address");
    listen->host = text;
    return 0;
}

int config_parse_listen(const char *value, struct arena *arena, const char *folder,
                        struct config_listen *ret, struct error *err)
{
    struct config_listen listen = {.port = CONFIG_DEFAULT_PORT};
    char *text = arena_strdup(arena, value);
    int result = value[0] == '/' || value[0] == '.'
                     ? parse_unix(text, value, arena, folder, &listen, err)
                     : parse_tcp(text, value, &listen, err);
    if (result == 0)
        *ret = listen;
    return result;
}

int config_parse_address(const char *value, struct arena *arena, struct config_listen *ret,
                         struct error *err)
{
    struct config_listen listen = {0};
    int result = parse_tcp(arena_strdup(arena, value), value, &listen, err);
    if (result == 0 && listen.port == 0)
        result = bad_listen(err, value, "there is no port");
    if (result < 0) {
        error_hint(err, "write HOST:PORT, [IPV6]:PORT or *:PORT, or \"off\"");
        return result;
    }
    *ret = listen;
    return 0;
}

const char *config_socket_path(struct arena *arena, const struct config_listen *listen)
{
    return arena_printf(arena, "%s/.s.PGSQL.%d",
                        strcmp(listen->folder, "/") == 0 ? "" : listen->folder, listen->port);
}
