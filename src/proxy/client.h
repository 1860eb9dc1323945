/*
 * client.h - a frontend connection.
 *
 *   STARTUP -> PASSWORD -> CHECKING -> HANDING -> IDLE <-> WAITING -> ACTIVE
 *                 ^         ^   |                  ^-------------------/
 *                 |      RESOLVING
 *                 \--------------/  (OAUTHBEARER: it is told why not, and answers)
 *   any state -> CLOSED (client_close: the one way out)
 *
 *   STARTUP    packets without a type byte: SSLRequest, CancelRequest, StartupMessage
 *   RESOLVING  its credential does not fit the snapshot: the catalog is asked for news, once
 *   PASSWORD   an authentication request was sent; the answer is a 'p' message
 *   CHECKING   an authentication thread has a copy of its credential
 *   HANDING    on its way to another worker; nobody touches it
 *   IDLE       logged in, no backend, no transaction
 *   WAITING    has sent something that needs a backend; not read from; gone when it hangs up, and
 *              what it sent with it: nothing of that was begun
 *   ACTIVE     linked to a backend, both ways
 *
 * client_set_state is the only writer of `state`.
 */
#ifndef PROXY_CLIENT_H
#define PROXY_CLIENT_H

#include "proxy/expect.h"
#include "proxy/worker.h"
#include "wire/message.h"

enum client_state {
    CLIENT_STARTUP,
    CLIENT_RESOLVING,
    CLIENT_PASSWORD,
    CLIENT_CHECKING,
    CLIENT_HANDING,
    CLIENT_IDLE,
    CLIENT_WAITING,
    CLIENT_ACTIVE,
    CLIENT_CLOSED,
};

enum {
    CANCEL_SECRET_SIZE = 32, /* from protocol 3.2 on, as PostgreSQL's */
    CANCEL_SECRET_OLD_SIZE = 4,
};

/* What it has sent is refused, without a backend. */
enum client_refusal {
    REFUSE_NOTHING,
    REFUSE_NEXT,      /* what comes next, be it a query or a batch */
    REFUSE_TILL_SYNC, /* the rest of a batch; the client was told */
};

struct login; /* what is needed during login alone: login.c */

struct client {
    struct note note; /* first: to be handed over */
    enum client_state state;
    struct worker *worker;
    struct stream *stream;
    struct place *place;
    struct backend *backend; /* ACTIVE */
    struct login *login;     /* until IDLE is reached first */
    struct list link;        /* worker.clients */
    struct list timed;       /* worker.logins */
    struct list of_place;    /* place.queue.clients */
    struct list of_tenant;   /* tenant_clients.clients */
    struct list cancelling;  /* worker.cancelling: a cancel request is to be sent again */
    int64_t cancel_us;       /* when */
    int cancel_tries;        /* how often it was */
    int64_t since_us;        /* when it began to log in or to wait, as far as timeouts go */
    int64_t queued_us;       /* when it began to wait for a backend */
    struct hash_node key_node;
    /* Its key; of one that is here to cancel, the key that it has sent. */
    uint32_t cancel_id; /* worker index in the low 6 bits, random above */
    uint8_t cancel_secret[CANCEL_SECRET_SIZE];
    size_t cancel_secret_length; /* the bytes of it that there are */
    int64_t tenant_id;
    char tenant[ROUTE_NAME_SIZE];
    char service[ROUTE_NAME_SIZE];
    bool read_only;
    bool local;             /* Unix socket or loopback */
    bool secure;            /* TLS */
    bool too_many;          /* to be refused once it has said who it is */
    bool has_key;           /* is in worker.keys */
    bool pinned;            /* keeps its backend until it ends */
    bool listens;           /* is told of notifications, and keeps its backend while it is */
    bool checking_settings; /* waits for a backend in order to log in */
    bool skip_till_sync;    /* an error was answered: the server ignores all but Sync */
    bool half_told;         /* its backend was taken away in the middle of a message to it */
    enum client_refusal refusal;
    bool first_due;  /* it has got its backend for a message that was not passed on yet */
    bool in_message; /* `forward_left` or `drop_left` belong to a message under way */

    struct pairs *settings;   /* what it has set */
    struct pairs *parameters; /* ParameterStatus that it has been told */
    struct list custom_names; /* of struct custom_name: settings with a dot that it has used */
    int custom_name_count;
    int settings_retries; /* backends that could not put them in place */

    struct hash_table statements;  /* struct client_statement by name */
    struct statement_store *store; /* of its statements where they are shared, and for which */
    struct pairs *store_settings;  /* settings; NULL until needed */
    struct statement *unnamed;     /* its unnamed statement, to be prepared again elsewhere */
    unsigned portal_flags;         /* of the statement that was bound last */
    uint64_t serial;               /* of this client, never reused in its worker */

    size_t forward_left, drop_left;
    struct buffer gather; /* a message that must be seen whole and is larger than a read */
    struct buffer handed; /* HANDING: bytes read ahead */
    int handed_fd;
    SSL *handed_ssl;
};

struct custom_name {
    struct list link;
    char name[];
};

void client_accepted(struct worker *worker, int fd);
void client_set_state(struct client *client, enum client_state state);
/* Its backend is not given back at the end of a transaction. */
static inline bool client_keeps_backend(const struct client *client)
{
    return client->pinned || client->listens;
}
/* Reads from it again, unless it waits for its login. */
void client_resume(struct client *client);
/* Ends it at once: its backend is given back if it is clean, else closed. */
void client_close(struct client *client);
/* Tells it a FATAL error first. */
void client_fail(struct client *client, const char *sqlstate, const char *message,
                 const char *hint);
void client_fail_error(struct client *client, const struct error *err);

/* arrival.c */
/* Out of its worker, with the bytes that were read ahead; on failure nothing has changed. Nobody
 * but its note has it then. */
int client_leave(struct client *client, struct error *err);
/* Into that worker. False: it could not be, and is gone. */
bool client_arrive(struct worker *worker, struct client *client);

/* login.c */
/* TLS is on. */
void login_secured(struct client *client);
size_t login_received(struct client *client, const char *bytes, size_t length);
void login_free(struct login *login);
/* AuthenticationOk, ParameterStatus, BackendKeyData, ReadyForQuery; then it is IDLE. */
void login_finish(struct client *client);
/* A client came from another worker, or from this one, with its tenant known. */
void login_arrived(struct worker *worker, struct note *note);

/* from_client.c: messages of a client that is logged in. */
size_t client_received(struct client *client, const char *bytes, size_t length);
/* It waits for a backend, and does no more: its query, or its batch up to Sync, is answered as
 * cancelled. */
void client_refuse_waiting(struct client *client);
/* Closes the statement table and everything else that the message code owns. */
void client_messages_free(struct client *client);

/* cancel.c */
/* Its secret is as long as a client of that protocol version can take. */
void client_key_add(struct client *client, uint32_t version);
/* Cancels what the client waits for, if that is a query of its own. */
void client_cancel(struct client *client);
/* What it was for has been answered: it is not sent again. Accepts NULL. */
static inline void cancel_is_over(struct client *client)
{
    if (client)
        list_remove(&client->cancelling);
}
/* Ends the client that has sent the request, once it has had its effect. The secret is copied. */
void cancel_request(struct client *from, uint32_t id, struct str secret);
/* The worker's timer. */
void cancel_look(void *worker);

#endif
