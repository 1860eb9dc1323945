#include <errno.h>
#include <openssl/ssl.h>
#include <poll.h>

#include "base/time.h"
#include "pg/internal.h"

bool pg_is_cancelled(const struct pg_connection *connection)
{
    return connection->cancelled && atomic_load(connection->cancelled);
}

int pg_cancelled_error(struct error *err)
{
    return error_set(err, ERROR_CANCELLED, "interrupted");
}

static int milliseconds_until(int64_t deadline_us)
{
    if (deadline_us == PG_NO_TIMEOUT)
        return -1;
    int64_t left_us = deadline_us - time_monotonic_us();
    if (left_us <= 0)
        return 0;
    int64_t left_ms = (left_us + TIME_MS - 1) / TIME_MS;
    return left_ms > 3600000 ? 3600000 : (int)left_ms;
}

enum pg_ready pg_wait_ready(int fd, short events, int64_t deadline_us, const atomic_bool *cancelled)
{
    for (;;) {
        if (cancelled && atomic_load(cancelled))
            return PG_READY_CANCELLED;
        int left_ms = milliseconds_until(deadline_us);
        int wait_ms = left_ms;
        if (cancelled && (wait_ms < 0 || wait_ms > PG_CANCEL_TICK_MS))
            wait_ms = PG_CANCEL_TICK_MS;
        struct pollfd entry = {.fd = fd, .events = events};
        int n = poll(&entry, 1, wait_ms);
        /* An error of poll itself is left to libpq, which meets the same socket. */
        if (n > 0 || (n < 0 && errno != EINTR))
            return PG_READY;
        if (left_ms == 0)
            return PG_READY_TIMEOUT;
    }
}

/* What was decrypted with what was read before: nothing on the socket tells of it. */
bool pg_has_unread(const struct pg_connection *connection)
{
    SSL *ssl = PQsslStruct(connection->libpq, "OpenSSL");
    return ssl && SSL_pending(ssl) > 0;
}

enum pg_ready pg_wait_either(const struct pg_connection *connection, int wake_fd,
                             int64_t deadline_us)
{
    struct pollfd entries[2] = {{.fd = PQsocket(connection->libpq), .events = POLLIN},
                                {.fd = wake_fd, .events = POLLIN}};
    for (;;) {
        if (pg_is_cancelled(connection))
            return PG_READY_CANCELLED;
        if (pg_has_unread(connection))
            return PG_READY;
        int left_ms = milliseconds_until(deadline_us);
        int wait_ms = left_ms;
        if (connection->cancelled && (wait_ms < 0 || wait_ms > PG_CANCEL_TICK_MS))
            wait_ms = PG_CANCEL_TICK_MS;
        int n = poll(entries, 2, wait_ms);
        if (entries[0].revents || (n < 0 && errno != EINTR))
            return PG_READY;
        if (entries[1].revents || left_ms == 0)
            return PG_READY_TIMEOUT;
    }
}

/* Takes every notification off that has arrived. */
static bool take_notifications(struct pg_connection *connection)
{
    bool any = false;
    PGnotify *notification;
    while ((notification = PQnotifies(connection->libpq)) != NULL) {
        PQfreemem(notification);
        any = true;
    }
    return any;
}

int pg_wait_notification(struct pg_connection *connection, int wake_fd, int64_t timeout_us,
                         enum pg_wait *ret, struct error *err)
{
    int64_t deadline_us = time_monotonic_us() + timeout_us;
    for (;;) {
        if (pg_is_broken(connection) || !PQconsumeInput(connection->libpq))
            return pg_connection_lost(connection, err);
        if (take_notifications(connection)) {
            *ret = PG_WAIT_NOTIFIED;
            return 0;
        }
        struct pollfd entries[2] = {{.fd = PQsocket(connection->libpq), .events = POLLIN},
                                    {.fd = wake_fd, .events = POLLIN}};
        int left_ms = pg_has_unread(connection) ? 0 : milliseconds_until(deadline_us);
        int n = poll(entries, 2, left_ms);
        if (n > 0 && entries[1].revents) {
            *ret = PG_WAIT_WOKEN;
            return 0;
        }
        if (n == 0 && milliseconds_until(deadline_us) == 0) {
            *ret = PG_WAIT_TIMEOUT;
            return 0;
        }
    }
}
