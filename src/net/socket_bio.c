#include "net/socket_bio.h"

#include <errno.h>
#include <openssl/bio.h>
#include <pthread.h>
#include <sys/socket.h>

/* For the whole process, made once. */
static BIO_METHOD *method;
static int method_type;
static pthread_once_t method_once = PTHREAD_ONCE_INIT;

static int read_ahead(struct socket_bio *socket_bio, char *bytes, int length)
{
    size_t left = socket_bio->ahead_length - socket_bio->ahead_at;
    size_t taken = left < (size_t)length ? left : (size_t)length;
    memcpy(bytes, socket_bio->ahead + socket_bio->ahead_at, taken);
    socket_bio->ahead_at += taken;
    socket_bio->dry = false;
    return (int)taken;
}

static int bio_read(BIO *bio, char *bytes, int length)
{
    struct socket_bio *socket_bio = BIO_get_data(bio);
    ssize_t got;
    BIO_clear_retry_flags(bio);
    if (unlikely(socket_bio->ahead_at < socket_bio->ahead_length))
        return read_ahead(socket_bio, bytes, length);
    do
        got = recv(socket_bio->fd, bytes, (size_t)length, 0);
    while (got < 0 && errno == EINTR);
    socket_bio->dry = got < length;
    if (got < 0 && errno == EAGAIN)
        BIO_set_retry_read(bio);
    if (got == 0)
        BIO_set_flags(bio, BIO_FLAGS_IN_EOF);
    return (int)got;
}

static int bio_write(BIO *bio, const char *bytes, int length)
{
    struct socket_bio *socket_bio = BIO_get_data(bio);
    ssize_t written;
    BIO_clear_retry_flags(bio);
    do
        written = send(socket_bio->fd, bytes, (size_t)length, MSG_NOSIGNAL);
    while (written < 0 && errno == EINTR);
    if (written < 0 && errno == EAGAIN)
        BIO_set_retry_write(bio);
    return (int)written;
}

static long bio_control(BIO *bio, int command, long number reeve_unused, void *pointer reeve_unused)
{
    switch (command) {
    case BIO_CTRL_EOF:
        return BIO_test_flags(bio, BIO_FLAGS_IN_EOF) != 0;
    case BIO_CTRL_FLUSH:
        return 1;
    default:
        return 0;
    }
}

static int bio_destroy(BIO *bio)
{
    struct socket_bio *socket_bio = BIO_get_data(bio);
    if (socket_bio)
        free(socket_bio->ahead);
    free(socket_bio);
    BIO_set_data(bio, NULL);
    return 1;
}

static void make_method(void)
{
    method_type = BIO_get_new_index() | BIO_TYPE_SOURCE_SINK;
    method = BIO_meth_new(method_type, "reeve socket");
    if (!method)
        return;
    BIO_meth_set_read(method, bio_read);
    BIO_meth_set_write(method, bio_write);
    BIO_meth_set_ctrl(method, bio_control);
    BIO_meth_set_destroy(method, bio_destroy);
}

bool socket_bio_attach(SSL *ssl, int fd, const char *ahead, size_t ahead_length)
{
    pthread_once(&method_once, make_method);
    BIO *bio = method ? BIO_new(method) : NULL;
    if (!bio)
        return false;
    struct socket_bio *socket_bio = xcalloc(1, sizeof(*socket_bio));
    socket_bio->fd = fd;
    socket_bio->ahead = ahead_length > 0 ? xmalloc(ahead_length) : NULL;
    socket_bio->ahead_length = ahead_length;
    if (ahead_length > 0)
        memcpy(socket_bio->ahead, ahead, ahead_length);
    BIO_set_data(bio, socket_bio);
    BIO_set_init(bio, 1);
    SSL_set_bio(ssl, bio, bio);
    return true;
}

struct socket_bio *socket_bio_of(const SSL *ssl)
{
    BIO *bio = SSL_get_rbio(ssl);
    pthread_once(&method_once, make_method);
    return bio && BIO_method_type(bio) == method_type ? BIO_get_data(bio) : NULL;
}
