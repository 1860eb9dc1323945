/*
 * backend.h - a server connection.
 *
 *   CONNECTING -> IDLE <-> LINKED -> CLOSED
 *                    \-> CANCELLING (free, but a cancel request for it is under way) -> IDLE
 *   CLOSED -> ENDING, while the server is at its work still: see ending.h
 *
 * A backend is IDLE only when its queue of expected replies is empty, the last ReadyForQuery said
 * 'I' and nothing was sent since. Any doubt closes it.
 */
#ifndef PROXY_BACKEND_H
#define PROXY_BACKEND_H

#include "proxy/deadline.h"
#include "proxy/pool.h"

enum backend_state {
    BACKEND_CONNECTING,
    BACKEND_IDLE,
    BACKEND_LINKED,
    BACKEND_CANCELLING,
    BACKEND_CLOSED,
    BACKEND_ENDING,
};

enum copy_state {
    COPY_NONE,
    COPY_IN,       /* the server takes CopyData; Sync is ignored until the client ends it */
    COPY_IN_ENDED, /* the client has ended it; CommandComplete or an error comes */
};

struct backend {
    struct pool *pool;
    struct worker *worker;
    struct worker_cluster *cluster; /* whose slot it has */
    struct place *place;            /* that it served last; NULL: none, or one that is gone */
    struct list of_place;           /* place.backends */
    int64_t entered_epoch;          /* of that place */
    struct client *client; /* LINKED; NULL while a client that went is being cleaned up after */
    struct stream *stream;
    struct proxy_connection connection;
    struct list link;                                   /* pool.backends */
    struct list idle;                                   /* pool.idle */
    struct list lru;                                    /* worker.idle */
    struct list cluster_lru;                            /* worker_cluster.idle */
    struct list ending;                                 /* worker.ending */
    int64_t ending_since_us, ending_us, ending_wait_us; /* next look, and the one behind it */
    size_t ending_step;
    struct place *ending_of; /* whose transaction it was */
    int64_t connected_us, idle_since_us;
    uint64_t generation; /* of its pool when it was made */
    /* Schemas that it has been on, by placement: an open hash table. */
    int64_t *touched;
    size_t touched_size, touched_count;
    uint64_t chance; /* a number of its own, so that not all are worn at once */
    uint64_t
        settings_of;   /* serial of a client whose settings may be more than `settings`; 0: none */
    uint64_t turn;     /* counts how often it was entered, over all backends of the worker */
    int64_t linked_us; /* when its client got it */
    struct deadline deadline;
    int64_t answer_bytes;         /* that its client was sent since the last ReadyForQuery */
    size_t seat;                  /* if `seated` */
    struct statement *wanted[32]; /* to be prepared when it is entered next: see prepare.h */
    size_t wanted_count;
    struct expect_queue expected;
    struct backend_statements statements;
    uint64_t unnamed_client; /* serial of the client whose unnamed statement it has; 0: not known */
    struct statement *unnamed;      /* NULL: none, or one that was streamed through */
    struct pairs *settings;         /* in force beyond the role's defaults */
    struct pairs *parameters;       /* as reported by ParameterStatus */
    size_t forward_left, drop_left; /* of the message at hand */
    /* Rows of a capture, gathered. */
    struct pair captured[PAIRS_MAX];
    size_t captured_count;
    bool captured_listening; /* the client still listens to something */
    enum backend_state state;
    enum copy_state copy;
    unsigned copy_syncs; /* Syncs that the server ignores, if it reads them before the COPY fails */
    int cancels;         /* cancel requests under way */
    char status;         /* of the last ReadyForQuery */
    bool copy_data_sent; /* CopyData was, behind the last command */
    bool copy_sync_late; /* one of `copy_syncs` may stand behind some of it */
    bool seated;         /* see home.h */
    bool unsynced;   /* messages were taken that no Sync, Query or FunctionCall stands behind yet */
    bool connected;  /* `connection` is to be closed */
    bool must_enter; /* the client's first message has not come yet: see backend_enter */
    bool entered;    /* the settings are in force: told after the message at hand */
    bool end_seen;   /* the server has closed its side */
    bool told_fatal; /* the server's own FATAL went to the client: add none of ours */
    bool tainted;    /* to be closed instead of pooled */
    bool pristine;   /* the session is as entering made it: nothing has run since */
    bool batch_open; /* messages that begin a transaction were sent since the last Sync */
    bool reply_due;  /* something was sent since the last Flush that is answered */
    bool flushed;    /* the client has asked for what there is, the proxy's own answers too */
    bool settings_dirty; /* the client may have changed settings: to be captured */
    bool doubtful; /* it may answer more often than is expected: closed when the client has its due
                    */
    bool unnamed_streamed;
    bool capture_overflow;
    bool nudged; /* was asked for what is under way, since the client's next message needs it */
    bool capture_again;  /* the capture under way was cancelled: once more */
    int capture_retries; /* of it */
};

/* Begins a login; the caller has taken a slot. */
void backend_connect(struct pool *pool);
/* Closes it and gives the slot back; its client, if any, must have been dealt with. */
void backend_close(struct backend *backend);
/* As backend_close, and what it is running is cancelled on the server. */
void backend_abort(struct backend *backend);
void backend_link(struct backend *backend, struct client *client);
/* Takes them apart; the client, if any, is told nothing and the backend stays LINKED. */
void backend_unlink(struct backend *backend);
/* Tells the client what it sees differently since it was linked to this backend. */
void backend_tell_parameters(struct backend *backend);
/* Nothing is expected and the transaction is over: capture settings, release or keep it. */
void backend_transaction_ended(struct backend *backend);
/* Its client goes away. */
void backend_client_gone(struct backend *backend);
/* An idle one is as if it had been used now: it is kept. */
void backend_renew(struct backend *backend);
/* Puts an idle one to its end (budget, idle timeout, stale). */
void backend_evict(struct backend *backend);
/* Whether its slot is to go to another pool, if it is free now: see budget_owes. */
bool backend_slot_is_owed(const struct backend *backend);
/* Cancels what the linked client runs. */
void backend_cancel(struct backend *backend);
/* A cancel request is under way, and what it is for may be over: what would be sent now could be
 * hit instead. The client is read on when the request has ended. */
bool backend_may_be_hit(const struct backend *backend);

/* NULL: it has no client. */
static inline struct place *backend_clients_place(const struct backend *backend)
{
    return backend->client ? backend->client->place : NULL;
}

/* from_server.c */
/* Gives the client those answers of the proxy's own that are next in the queue. */
void backend_answer_fakes(struct backend *backend);
size_t backend_received(struct backend *backend, const char *bytes, size_t length);

/* The place that it serves from now on. */
void backend_set_place(struct backend *backend, struct place *place);
void backend_forget_place(struct backend *backend);
/* The tenant's name for the log. */
const char *backend_tenant(const struct backend *backend);

/* prepare.c */
/* A message of that type was sent. */
void backend_note_sent(struct backend *backend, char type);
/* A copy was parsed without an error: what it stands for is to be prepared when it is entered. */
void backend_want(struct backend *backend, struct statement *statement);

/* enter.c */
/* Under the guard: makes it the client's, unless it is already. Called when the client's first
 * message is at hand, so that both go out in one packet. */
void backend_enter(struct backend *backend, struct client *client);
/* The server refused: ends both connections. */
void backend_enter_refused(struct backend *backend, const struct wire_error_fields *fields);
/* It has been on too many schemas: to be closed instead of pooled. */
bool backend_is_worn(const struct backend *backend);
bool backend_has_touched(const struct backend *backend, const struct place *place);

/* session.c */
/* Puts the client's settings in force in front of its first message. */
void session_enter(struct backend *backend, struct client *client);
/* They are in force: the client hears what is different. */
void session_entered(struct backend *backend);
/* They are in force for a client that is logging in: its login is complete, the backend free. */
void session_checked(struct backend *backend);
/* The server refused them: ends the client with the server's words. */
void session_refused(struct backend *backend, const struct wire_error_fields *fields);
/* Asks for the settings in force. */
void session_capture(struct backend *backend);
void session_captured_row(struct backend *backend, const char *body, size_t length);
void session_capture_failed(struct backend *backend, const struct wire_error_fields *fields);
void session_captured(struct backend *backend);
/* Whether the client's messages must wait until its settings are in force, or known. */
bool session_is_unsettled(const struct backend *backend);
void session_free_captured(struct backend *backend);
/* Settings that a startup packet or a capture may carry. */
bool session_setting_allowed(const char *name);
/* Notes the names of settings with a dot in a text. */
void session_note_names(struct client *client, const char *text, size_t length);
void session_free_names(struct client *client);

#endif
