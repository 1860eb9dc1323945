/*
 * relay.c - a TCP relay that knows no protocol: what the engine alone costs.
 *
 *   relay ENGINE PORT TARGET
 *
 * ENGINE is auto, epoll or io_uring; TARGET is a port of this machine or the path of a Unix socket.
 * Every client has a server connection of its own, and one thread passes bytes both ways until
 * SIGTERM or SIGINT. It is the yardstick for the proxy: same engine, same system calls a message,
 * none of the proxy's own work.
 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/list.h"
#include "base/str.h"
#include "net/engine.h"

enum { HIGH_WATER = 256 * 1024, LISTENING_MAX = 1 };

struct pair;

struct side {
    struct pair *pair;
    struct side *other;
    struct stream *stream;
};

struct pair {
    struct list link;
    struct side client, server;
};

struct relay {
    struct engine *engine;
    struct list pairs;
    const char *path; /* of a Unix socket, or NULL */
    int port;
};

static void end_pair(struct pair *pair)
{
    stream_close(pair->client.stream);
    stream_close(pair->server.stream);
    list_remove(&pair->link);
    free(pair);
}

static size_t received(void *owner, const char *bytes, size_t length)
{
    const struct side *side = owner;
    struct stream *to = side->other->stream;
    stream_queue(to, bytes, length);
    stream_flush(to);
    if (stream_pending(to) > HIGH_WATER)
        stream_pause_read(side->stream);
    return length;
}

static void drained(void *owner)
{
    struct stream *from = ((struct side *)owner)->other->stream;
    if (stream_read_paused(from))
        stream_resume_read(from);
}

static void closed(void *owner, const struct error *reason reeve_unused)
{
    end_pair(((struct side *)owner)->pair);
}

static const struct stream_events events = {
    .received = received, .drained = drained, .closed = closed};

/* -1: cannot. On this machine it does not wait. */
static int connect_to_target(const struct relay *relay)
{
    struct sockaddr_un local = {.sun_family = AF_UNIX};
    struct sockaddr_in internet = {.sin_family = AF_INET,
                                   .sin_port = htons((uint16_t)relay->port),
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const struct sockaddr *address = (const struct sockaddr *)&internet;
    socklen_t size = sizeof(internet);
    if (relay->path) {
        str_copy(local.sun_path, sizeof(local.sun_path), relay->path);
        address = (const struct sockaddr *)&local;
        size = sizeof(local);
    }
    int fd = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int on = 1;
    if (fd < 0)
        return -1;
    if (connect(fd, address, size) < 0) {
        close(fd);
        return -1;
    }
    if (!relay->path)
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    return fd;
}

static bool open_side(const struct relay *relay, struct pair *pair, struct side *side,
                      struct side *other, int fd)
{
    struct error err;
    side->pair = pair;
    side->other = other;
    if (fd >= 0 &&
        stream_create(relay->engine, fd, NULL, false, &events, side, &side->stream, &err) == 0)
        return true;
    if (fd >= 0)
        close(fd);
    return false;
}

static void accepted(void *owner, int fd)
{
    struct relay *relay = owner;
    struct pair *pair = xcalloc(1, sizeof(*pair));
    list_append(&relay->pairs, &pair->link);
    bool opened = open_side(relay, pair, &pair->client, &pair->server, fd);
    if (!opened || !open_side(relay, pair, &pair->server, &pair->client, connect_to_target(relay)))
        end_pair(pair);
}

static struct engine *running;

static void stop(int number reeve_unused)
{
    engine_stop(running);
}

static bool parse_engine(const char *name, enum engine_kind *ret)
{
    for (int kind = ENGINE_AUTO; kind <= ENGINE_IO_URING; kind++) {
        *ret = (enum engine_kind)kind;
        if (strcmp(name, engine_kind_name(*ret)) == 0)
            return true;
    }
    return false;
}

static bool parse_port(const char *text, int *ret)
{
    int64_t port;
    if (!str_to_i64(text, 1, 65535, &port))
        return false;
    *ret = (int)port;
    return true;
}

static int fail(const struct error *err)
{
    fprintf(stderr, "relay: %s\n", err->message);
    return 1;
}

static int run(struct relay *relay, enum engine_kind kind, int port)
{
    struct error err;
    struct listener *listener = NULL;
    struct sigaction action = {.sa_handler = stop};
    int fd;
    if (engine_create(kind, &relay->engine, &err) < 0)
        return fail(&err);
    if (net_listen_tcp("127.0.0.1", port, &fd, LISTENING_MAX, &err) < 0 ||
        listener_create(relay->engine, fd, accepted, relay, &listener, &err) < 0)
        return fail(&err);
    running = relay->engine;
    signal(SIGPIPE, SIG_IGN);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    printf("relay: port %d, %s\n", port, engine_name(relay->engine));
    fflush(stdout);
    engine_run(relay->engine);
    listener_close(listener);
    list_for_each_safe (link, &relay->pairs)
        end_pair(list_entry(link, struct pair, link));
    engine_free(relay->engine);
    close(fd);
    return 0;
}

int main(int argc, char **argv)
{
    struct relay relay = {0};
    enum engine_kind kind;
    int port;
    list_init(&relay.pairs);
    bool understood = argc == 4 && parse_engine(argv[1], &kind) && parse_port(argv[2], &port);
    if (understood && argv[3][0] == '/')
        relay.path = argv[3];
    else
        understood = understood && parse_port(argv[3], &relay.port);
    if (!understood) {
        fprintf(stderr, "usage: relay auto|epoll|io_uring PORT TARGET_PORT|/TARGET_SOCKET\n");
        return 64;
    }
    return run(&relay, kind, port);
}
