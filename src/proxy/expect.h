/*
 * expect.h - the ordered queue of replies that a backend still owes.
 *
 * One entry a message that was sent to the server (or answered by the proxy in its place). It is
 * what makes transaction pooling sound: a backend is free only when the queue is empty and its last
 * ReadyForQuery said 'I'.
 */
#ifndef PROXY_EXPECT_H
#define PROXY_EXPECT_H

#include "proxy/statement.h"

enum expect_kind {
    EXPECT_PARSE,              /* ParseComplete */
    EXPECT_BIND,               /* BindComplete */
    EXPECT_DESCRIBE_STATEMENT, /* ParameterDescription, then RowDescription or NoData */
    EXPECT_DESCRIBE_PORTAL,    /* RowDescription or NoData */
    EXPECT_EXECUTE,       /* rows or COPY, then CommandComplete, EmptyQuery or PortalSuspended */
    EXPECT_CLOSE,         /* CloseComplete */
    EXPECT_SYNC,          /* ReadyForQuery */
    EXPECT_QUERY,         /* anything up to ReadyForQuery */
    EXPECT_FUNCTION_CALL, /* FunctionCallResponse, ReadyForQuery */
    EXPECT_COPY_END,      /* nothing: marks where the client ended its COPY data */
};

enum expect_action {
    EXPECT_FORWARD,   /* to the client */
    EXPECT_SWALLOW,   /* ours */
    EXPECT_FAKE,      /* not sent to the server: the proxy answers in its place */
    EXPECT_DUPLICATE, /* a Parse whose name is taken: the server's error is told with the client's
                         name */
    EXPECT_CAPTURE,   /* ours: its rows are the session's settings */
    EXPECT_PRIVATE,   /* ours, and so is an error that it brings */
    EXPECT_SETTINGS,  /* ours: puts the client's settings in place; an error ends the client */
    EXPECT_ENTER,     /* ours: makes the session the client's; an error ends both */
};

struct expect {
    enum expect_kind kind : 8;
    enum expect_action action : 8;
    bool answered : 1;             /* something of its answer has come */
    bool assumed : 1;              /* set by expect_push: later messages count on it */
    bool takes_unnamed : 1;        /* it replaces the client's unnamed statement, or drops it */
    unsigned flags;                /* TEXT_DISCARDS, TEXT_DEALLOCATES: what it may do to names */
    struct statement *statement;   /* PARSE: what becomes prepared; CLOSE: what was evicted;
                                      BIND, DESCRIBE_STATEMENT: what is used */
    struct client_statement *name; /* PARSE, CLOSE: what must be undone after an error; BIND: what
                                      the client calls the statement */
    struct client_names *names;    /* EXECUTE, QUERY: what it deallocates; the entry's own */
    struct statement *unnamed;     /* what `takes_unnamed` replaces, or NULL */
};

enum { EXPECT_MAX = 32768 };

struct expect_queue {
    struct expect *entries; /* a ring; NULL until used */
    size_t capacity, first, count;
    /* Entries that later messages count on: behind the last Sync, and in front of a Sync that was
     * not answered. */
    size_t names_open, names_in_doubt;
    size_t unnamed_open, unnamed_in_doubt; /* the same of entries with `takes_unnamed` */
    size_t names_changing;                 /* entries with flags */
    size_t asked; /* first ones that the server answers whatever the client does: deadline.h */
};

void expect_init(struct expect_queue *queue);
void expect_free(struct expect_queue *queue); /* drops every entry's references */
/* Takes references of its own, and `names`. False when EXPECT_MAX are waiting. */
bool expect_push(struct expect_queue *queue, const struct expect *entry);
struct expect *expect_first(struct expect_queue *queue);            /* NULL when empty */
const struct expect *expect_last(const struct expect_queue *queue); /* NULL when empty */
struct expect *expect_at(struct expect_queue *queue, size_t index);
void expect_pop(struct expect_queue *queue);
/* Entries may move: pointers to them are not valid any more. */
void expect_remove(struct expect_queue *queue, size_t index);
/* The same of those of a kind among the entries [from, to), in one pass over [0, to). */
void expect_remove_kind(struct expect_queue *queue, size_t from, size_t to, enum expect_kind kind);
/* Whether it is not known yet what the names in a client's later messages stand for: an error in
 * front of a Sync that is under way would undo what was assumed of them and of the server's
 * statements. */
static inline bool expect_names_in_doubt(const struct expect_queue *queue)
{
    return queue->names_in_doubt > 0;
}
/* The same of the unnamed statement, unless it was replaced since. */
static inline bool expect_unnamed_in_doubt(const struct expect_queue *queue)
{
    return queue->unnamed_in_doubt > 0 && queue->unnamed_open == 0;
}
/* The same, since what is under way may deallocate them. */
static inline bool expect_names_changing(const struct expect_queue *queue)
{
    return queue->names_changing > 0;
}
static inline bool expect_empty(const struct expect_queue *queue)
{
    return queue->count == 0;
}

#endif
