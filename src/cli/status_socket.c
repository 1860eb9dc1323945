#include "cli/status_socket.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/str.h"
#include "net/engine.h"

enum { ANSWER_MAX = 64 * 1024, ASK_TIMEOUT_S = 5 };

int status_socket_listen(const char *path, int *ret_fd, struct error *err)
{
    int fd = -1;
    int result = net_listen_unix(path, &fd, err);
    if (result < 0) {
        error_prefix(err, "status_socket");
        return result;
    }
    if (chmod(path, 0600) < 0) {
        result = error_errno(err, errno, "cannot set the mode of %s", path);
        close(fd);
        return result;
    }
    *ret_fd = fd;
    return 0;
}

void status_socket_answer(int fd, json_t *answer)
{
    char *text = json_dumps(answer, JSON_COMPACT | JSON_PRESERVE_ORDER);
    json_decref(answer);
    if (!text)
        return;
    for (;;) {
        _cleanup_close_ int client = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (client < 0)
            break;
        /* A fresh socket's buffer holds it all; a client that vanished is no matter. */
        send(client, text, strlen(text), MSG_NOSIGNAL);
        send(client, "\n", 1, MSG_NOSIGNAL);
    }
    free(text);
}

static int connect_to(const char *path, int *ret_fd, struct error *err)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (!str_copy(address.sun_path, sizeof(address.sun_path), path))
        return error_set(err, ERROR_CONFIG, "the path of status_socket is too long: %s", path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return error_errno(err, errno, "cannot make a socket");
    struct timeval timeout = {.tv_sec = ASK_TIMEOUT_S};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
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

int status_socket_ask(const char *path, json_t **ret, struct error *err)
{
    _cleanup_close_ int fd = -1;
    int result = connect_to(path, &fd, err);
    if (result < 0)
        return result;
    _cleanup_buffer_ struct buffer bytes = BUFFER_INIT(ANSWER_MAX);
    for (;;) {
        char *at = buffer_reserve(&bytes, 4096);
        ssize_t got = at ? read(fd, at, 4096) : 0;
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
        return error_set(err, ERROR_PROTOCOL, "what answers at %s is no server of Reeve's", path);
    *ret = answer;
    return 0;
}
