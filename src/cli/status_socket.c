#include "cli/status_socket.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/log.h"
#include "base/str.h"
#include "net/engine.h"

enum { ANSWER_MAX = 256 * 1024 * 1024, ASK_TIMEOUT_S = 10, SERVE_TIMEOUT_S = 5 };

/* ---- the server's side ---- */

struct status_server {
    char path[sizeof(((struct sockaddr_un *)0)->sun_path)];
    int listen_fd, stop_fd;
    status_answer *answer;
    void *owner;
    pthread_t thread;
};

static void set_timeouts(int fd, int seconds)
{
    struct timeval timeout = {.tv_sec = seconds};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout));
}

static bool read_question(int fd, char ret[STATUS_QUESTION_MAX])
{
    size_t length = 0;
    while (length < STATUS_QUESTION_MAX - 1) {
        ssize_t got = recv(fd, ret + length, STATUS_QUESTION_MAX - 1 - length, 0);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return false;
        length += (size_t)got;
        ret[length] = '\0';
        char *end = strchr(ret, '\n');
        if (end) {
            *end = '\0';
            return true;
        }
    }
    return false;
}

static void send_all(int fd, const char *text, size_t length)
{
    while (length > 0) {
        ssize_t sent = send(fd, text, length, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent <= 0)
            return; /* one that vanished, or does not read, is no matter */
        text += sent;
        length -= (size_t)sent;
    }
}

/* In front of the answer, with a blank that they can go with. */
static void send_descriptors(int fd, const struct status_descriptors *descriptors)
{
    char blank = ' ';
    struct iovec bytes = {&blank, 1};
    union {
        char bytes[CMSG_SPACE(sizeof(descriptors->fds))];
        struct cmsghdr align;
    } control = {0};
    size_t size = descriptors->count * sizeof(int);
    struct msghdr message = {.msg_iov = &bytes,
                             .msg_iovlen = 1,
                             .msg_control = control.bytes,
                             .msg_controllen = CMSG_SPACE(size)};
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(size);
    memcpy(CMSG_DATA(header), descriptors->fds, size);
    while (sendmsg(fd, &message, MSG_NOSIGNAL) < 0 && errno == EINTR)
        ;
}

static void serve(const struct status_server *server, int fd)
{
    char question[STATUS_QUESTION_MAX];
    struct status_descriptors descriptors = {.count = 0};
    set_timeouts(fd, SERVE_TIMEOUT_S);
    json_t *answer =
        read_question(fd, question) ? server->answer(server->owner, question, &descriptors) : NULL;
    char *text = answer ? json_dumps(answer, JSON_COMPACT | JSON_PRESERVE_ORDER) : NULL;
    json_decref(answer);
    if (!text)
        return;
    if (descriptors.count > 0)
        send_descriptors(fd, &descriptors);
    send_all(fd, text, strlen(text));
    send_all(fd, "\n", 1);
    free(text);
}

static void *run(void *argument)
{
    struct status_server *server = argument;
    struct pollfd entries[] = {{.fd = server->listen_fd, .events = POLLIN},
                               {.fd = server->stop_fd, .events = POLLIN}};
    log_set_thread_name("status");
    for (;;) {
        if (poll(entries, array_size(entries), -1) < 0 && errno != EINTR)
            break;
        if (entries[1].revents)
            break;
        _cleanup_close_ int fd = accept4(server->listen_fd, NULL, NULL, SOCK_CLOEXEC);
        if (fd >= 0)
            serve(server, fd);
    }
    return NULL;
}

static int begin(struct status_server *server, const char *path, struct error *err)
{
    int result = net_listen_unix(path, &server->listen_fd, err);
    if (result < 0) {
        error_prefix(err, "status_socket");
        return result;
    }
    str_copy(server->path, sizeof(server->path), path);
    if (chmod(path, 0600) < 0)
        return error_errno(err, errno, "cannot set the mode of %s", path);
    server->stop_fd = eventfd(0, EFD_CLOEXEC);
    if (server->stop_fd < 0)
        return error_errno(err, errno, "cannot make an eventfd");
    int failed = pthread_create(&server->thread, NULL, run, server);
    return failed ? error_errno(err, failed, "cannot start the status thread") : 0;
}

static void release(struct status_server *server)
{
    if (server->path[0])
        unlink(server->path);
    if (server->listen_fd >= 0)
        close(server->listen_fd);
    if (server->stop_fd >= 0)
        close(server->stop_fd);
    free(server);
}

int status_server_start(const char *path, status_answer *answer, void *owner,
                        struct status_server **ret, struct error *err)
{
    struct status_server *server = xcalloc(1, sizeof(*server));
    server->listen_fd = server->stop_fd = -1;
    server->answer = answer;
    server->owner = owner;
    int result = begin(server, path, err);
    if (result < 0) {
        release(server);
        return result;
    }
    *ret = server;
    return 0;
}

int status_server_move(struct status_server *server, const char *path, struct error *err)
{
    if (rename(server->path, path) < 0)
        return error_errno(err, errno, "cannot rename %s to %s", server->path, path);
    str_copy(server->path, sizeof(server->path), path);
    return 0;
}

void status_server_give_up_path(struct status_server *server)
{
    server->path[0] = '\0';
}

struct status_server *status_server_stop(struct status_server *server)
{
    if (!server)
        return NULL;
    uint64_t one = 1;
    ssize_t ignored = write(server->stop_fd, &one, sizeof(one));
    (void)ignored;
    pthread_join(server->thread, NULL);
    release(server);
    return NULL;
}

/* ---- the asker's side ---- */

static int connect_to(const char *path, int *ret_fd, struct error *err)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (!str_copy(address.sun_path, sizeof(address.sun_path), path))
        return error_set(err, ERROR_CONFIG, "the path of status_socket is too long: %s", path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return error_errno(err, errno, "cannot make a socket");
    set_timeouts(fd, ASK_TIMEOUT_S);
    if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
        int result = error_set(err, ERROR_CONNECTION, "no server answers at %s: %s", path,
                               strerrordesc_np(errno));
        error_hint(err, "start it with \"reeve serve\" or \"reeve dev\"");
        close(fd);
        return result;
    }
    *ret_fd = fd;
    return 0;
}

void status_descriptors_close(struct status_descriptors *descriptors)
{
    while (descriptors->count > 0)
        close(descriptors->fds[--descriptors->count]);
}

static void keep_descriptors(struct msghdr *message, struct status_descriptors *ret)
{
    for (struct cmsghdr *header = CMSG_FIRSTHDR(message); header;
         header = CMSG_NXTHDR(message, header)) {
        if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS)
            continue;
        size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < count; i++) {
            int fd;
            memcpy(&fd, CMSG_DATA(header) + i * sizeof(int), sizeof(int));
            if (ret->count < STATUS_DESCRIPTORS_MAX)
                ret->fds[ret->count++] = fd;
            else
                close(fd);
        }
    }
}

/* As read; descriptors that come along are kept. */
static ssize_t read_some(int fd, char *at, size_t size, struct status_descriptors *ret)
{
    union {
        char bytes[CMSG_SPACE(sizeof(ret->fds))];
        struct cmsghdr align;
    } control;
    struct iovec bytes = {at, size};
    struct msghdr message = {.msg_iov = &bytes,
                             .msg_iovlen = 1,
                             .msg_control = control.bytes,
                             .msg_controllen = sizeof(control.bytes)};
    ssize_t got = recvmsg(fd, &message, MSG_CMSG_CLOEXEC);
    if (got >= 0)
        keep_descriptors(&message, ret);
    return got;
}

int status_socket_ask(const char *path, const char *question, json_t **ret, struct error *err)
{
    struct status_descriptors none = {.count = 0};
    int result = status_socket_ask_for(path, question, ret, &none, err);
    status_descriptors_close(&none);
    return result;
}

int status_socket_ask_for(const char *path, const char *question, json_t **ret,
                          struct status_descriptors *ret_descriptors, struct error *err)
{
    _cleanup_close_ int fd = -1;
    int result = connect_to(path, &fd, err);
    if (result < 0)
        return result;
    send_all(fd, question, strlen(question));
    send_all(fd, "\n", 1);
    _cleanup_buffer_ struct buffer bytes = BUFFER_INIT(ANSWER_MAX);
    for (;;) {
        char *at = buffer_reserve(&bytes, 4096);
        ssize_t got = at ? read_some(fd, at, 4096, ret_descriptors) : 0;
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return error_set(err, ERROR_TIMEOUT, "the server at %s did not answer within %d s",
                             path, ASK_TIMEOUT_S);
        if (got == 0)
            break;
        buffer_commit(&bytes, (size_t)got);
    }
    json_t *answer = json_loadb(bytes.data ? bytes.data : "", bytes.length, 0, NULL);
    if (!answer)
        return error_set(err, ERROR_PROTOCOL, "what answers at %s does not know \"%s\"", path,
                         question);
    *ret = answer;
    return 0;
}
