#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/str.h"
#include "net/engine.h"

enum { ADDRESSES_MAX = 64, ADDRESS_TEXT_SIZE = INET6_ADDRSTRLEN + 16 };

union address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
    struct sockaddr_un local;
    struct sockaddr_storage storage;
};

static void address_text(const union address *address, char *ret_text, size_t size)
{
    char host[INET6_ADDRSTRLEN] = "";
    if (address->any.sa_family == AF_UNIX) {
        snprintf(ret_text, size, "unix");
    } else if (address->any.sa_family == AF_INET) {
        inet_ntop(AF_INET, &address->v4.sin_addr, host, sizeof(host));
        snprintf(ret_text, size, "%s:%u", host, (unsigned)ntohs(address->v4.sin_port));
    } else if (address->any.sa_family == AF_INET6) {
        inet_ntop(AF_INET6, &address->v6.sin6_addr, host, sizeof(host));
        snprintf(ret_text, size, "[%s]:%u", host, (unsigned)ntohs(address->v6.sin6_port));
    } else {
        snprintf(ret_text, size, "unknown");
    }
}

/* ---- TCP ---- */

static void set_port(union address *address, int port)
{
    if (address->any.sa_family == AF_INET)
        address->v4.sin_port = htons((uint16_t)port);
    else
        address->v6.sin6_port = htons((uint16_t)port);
}

static int listen_error(const union address *address, int error_number, struct error *err)
{
    char text[ADDRESS_TEXT_SIZE];
    address_text(address, text, sizeof(text));
    int result = error_errno(err, error_number, "cannot listen on %s", text);
    if (error_number == EADDRINUSE)
        error_hint(err, "another process listens there: end it, or choose another port");
    return result;
}

/* An address that this machine does not have: others of the same host may do. */
static bool is_absent(int error_number)
{
    return error_number == EAFNOSUPPORT || error_number == EADDRNOTAVAIL;
}

static bool bind_and_listen(int fd, const union address *address, socklen_t length)
{
    int on = 1;
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0)
        return false;
    if (address->any.sa_family == AF_INET6 &&
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on)) < 0)
        return false;
    return bind(fd, &address->any, length) == 0 && listen(fd, SOMAXCONN) == 0;
}

/* *ret_fd is -1 for an address that is absent; the error tells which. */
static int open_tcp(const union address *address, socklen_t length, int *ret_fd, struct error *err)
{
    int fd = socket(address->any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd >= 0 && bind_and_listen(fd, address, length)) {
        *ret_fd = fd;
        return 0;
    }
    int error_number = errno;
    if (fd >= 0)
        close(fd);
    int result = listen_error(address, error_number, err);
    if (!is_absent(error_number))
        return result;
    *ret_fd = -1;
    return 0;
}

static bool seen_before(const struct addrinfo *all, const struct addrinfo *item)
{
    for (; all != item; all = all->ai_next) {
        if (all->ai_addrlen == item->ai_addrlen &&
            memcmp(all->ai_addr, item->ai_addr, item->ai_addrlen) == 0)
            return true;
    }
    return false;
}

/* Returns the number of descriptors written, or an error; then there are none. */
static int open_all(const struct addrinfo *all, int port, int *fds, int maximum, struct error *err)
{
    int count = 0;
    int result = 0;
    for (const struct addrinfo *item = all; item && count < maximum && result == 0;
         item = item->ai_next) {
        union address address = {0};
        bool usable = item->ai_family == AF_INET || item->ai_family == AF_INET6;
        if (!usable || item->ai_addrlen > sizeof(address) || seen_before(all, item))
            continue;
        memcpy(&address, item->ai_addr, item->ai_addrlen);
        /* Port 0: the kernel chooses, once for all addresses. */
        set_port(&address, port == 0 && count > 0 ? net_local_port(fds[0]) : port);
        int fd = -1;
        result = open_tcp(&address, item->ai_addrlen, &fd, err);
        if (fd >= 0)
            fds[count++] = fd;
    }
    if (result < 0) {
        while (count > 0)
            close(fds[--count]);
        return result;
    }
    return count;
}

int net_listen_tcp(const char *host, int port, int *ret_fds, int maximum, struct error *err)
{
    struct addrinfo hints = {.ai_family = AF_UNSPEC,
                             .ai_socktype = SOCK_STREAM,
                             .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    struct addrinfo *found = NULL;
    struct error absent = {0};
    int fds[ADDRESSES_MAX];
    if (host && strcmp(host, "*") == 0)
        host = NULL;
    if (maximum <= 0 || port < 0 || port > UINT16_MAX)
        return error_set(err, ERROR_INVALID, "cannot listen on port %d", port);
    int failure = getaddrinfo(host, "0", &hints, &found);
    if (failure != 0)
        return error_set(err, ERROR_CONFIG, "cannot find the address of \"%s\" to listen on: %s",
                         host ? host : "*", gai_strerror(failure));
    int count =
        open_all(found, port, fds, maximum < ADDRESSES_MAX ? maximum : ADDRESSES_MAX, &absent);
    freeaddrinfo(found);
    if (count == 0) /* every address is absent */
        count = -ERROR_IO;
    if (count < 0) {
        if (err)
            *err = absent;
        return count;
    }
    memcpy(ret_fds, fds, (size_t)count * sizeof(int));
    return count;
}

/* ---- Unix ---- */

/* Serialises those that replace a stale file in one folder: each would remove the other's new one.
 * To be closed once the socket listens, as a bound one that does not yet looks stale. */
static int lock_folder(const char *path)
{
    const char *slash = strrchr(path, '/');
    size_t length = slash ? (size_t)(slash - path) : 0;
    _cleanup_free_ char *folder = slash ? xstrndup(path, length > 0 ? length : 1) : xstrdup(".");
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    while (fd >= 0 && flock(fd, LOCK_EX) < 0 && errno == EINTR)
        ;
    return fd;
}

static int remove_stale(const struct sockaddr_un *address, struct error *err)
{
    const char *path = address->sun_path;
    struct stat status;
    if (lstat(path, &status) < 0)
        return errno == ENOENT ? 0 : error_errno(err, errno, "cannot look at %s", path);
    if (!S_ISSOCK(status.st_mode))
        return error_set(err, ERROR_EXISTS, "cannot listen on %s: it is there and is no socket",
                         path);
    _cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return error_errno(err, errno, "cannot make a socket");
    if (connect(fd, (const struct sockaddr *)address, sizeof(*address)) < 0 &&
        (errno == ECONNREFUSED || errno == ENOENT)) {
        if (unlink(path) < 0 && errno != ENOENT)
            return error_errno(err, errno, "cannot remove the stale socket %s", path);
        return 0;
    }
    int result = error_set(err, ERROR_BUSY, "another process listens on %s", path);
    error_hint(err, "end it, or choose another folder");
    return result;
}

static int bind_unix(int fd, const struct sockaddr_un *address, struct error *err)
{
    const char *path = address->sun_path;
    _cleanup_close_ int lock reeve_unused = lock_folder(path);
    int result = remove_stale(address, err);
    if (result < 0)
        return result;
    if (bind(fd, (const struct sockaddr *)address, sizeof(*address)) < 0)
        return error_errno(err, errno, "cannot listen on %s", path);
    if (chmod(path, 0777) < 0 || listen(fd, SOMAXCONN) < 0) {
        result = error_errno(err, errno, "cannot listen on %s", path);
        unlink(path);
    }
    return result;
}

int net_listen_unix(const char *path, int *ret_fd, struct error *err)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (*path == '\0' || !str_copy(address.sun_path, sizeof(address.sun_path), path))
        return error_set(err, ERROR_CONFIG,
                         "cannot listen on \"%s\": a socket's path has 1 to %zu bytes", path,
                         sizeof(address.sun_path) - 1);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return error_errno(err, errno, "cannot make a socket");
    int result = bind_unix(fd, &address, err);
    if (result < 0) {
        close(fd);
        return result;
    }
    *ret_fd = fd;
    return 0;
}

/* ---- questions ---- */

int net_local_port(int fd)
{
    union address address = {0};
    socklen_t length = sizeof(address);
    if (getsockname(fd, &address.any, &length) < 0)
        return 0;
    if (address.any.sa_family == AF_INET)
        return ntohs(address.v4.sin_port);
    return address.any.sa_family == AF_INET6 ? ntohs(address.v6.sin6_port) : 0;
}

static bool peer_of(int fd, union address *ret)
{
    socklen_t length = sizeof(*ret);
    *ret = (union address){0};
    return getpeername(fd, &ret->any, &length) == 0;
}

bool net_peer_is_local(int fd)
{
    union address peer;
    if (!peer_of(fd, &peer))
        return false;
    if (peer.any.sa_family == AF_UNIX)
        return true;
    if (peer.any.sa_family == AF_INET)
        return ntohl(peer.v4.sin_addr.s_addr) >> 24 == IN_LOOPBACKNET;
    if (peer.any.sa_family != AF_INET6)
        return false;
    const struct in6_addr *address = &peer.v6.sin6_addr;
    return IN6_IS_ADDR_LOOPBACK(address) ||
           (IN6_IS_ADDR_V4MAPPED(address) && address->s6_addr[12] == IN_LOOPBACKNET);
}

void net_peer_name(int fd, char *ret_text, size_t size)
{
    union address peer;
    if (peer_of(fd, &peer))
        address_text(&peer, ret_text, size);
    else
        snprintf(ret_text, size, "unknown");
}
