/*
 * statement.h - prepared statements across backends.
 *
 * A statement is a text with its parameter types. It is interned in a store, which is a place's own
 * or shared by the tenants of a service whose rows are in the same tables, and has one name on
 * every backend: "reeve_" and random digits. A client's own names point to statements
 * (client_statement); a backend knows which of them it has prepared (backend_statement), the least
 * recently used is closed first. All of it belongs to one worker's thread.
 */
#ifndef PROXY_STATEMENT_H
#define PROXY_STATEMENT_H

#include "base/hash.h"
#include "base/list.h"
#include "base/str.h"
#include "proxy/pairs.h"
#include "proxy/text.h"

enum { STATEMENT_SERVER_NAME_SIZE = 32, STATEMENT_NAME_MAX = TEXT_NAME_SIZE - 1 };

/* Whose statements a store has. */
struct statement_scope {
    int64_t id; /* a service's when shared, a backend's turn's, a client's, else a placement's */
    bool read_only;
    bool shared;
    bool turn;
    bool client; /* one client's alone */
    bool placeholders;
    struct pairs *settings; /* those of all who use it; NULL: none; referenced by the store */
};

struct statement_store {
    struct hash_node node;
    struct hash_table *stores; /* that it is in */
    struct statement_scope scope;
    size_t references; /* of users, and one a statement */
    struct hash_table statements;
};

struct statement {
    struct hash_node node;
    struct statement_store *store;
    uint64_t id;
    size_t references;
    struct statement *stands_for; /* of a turn's copy: the shared one; referenced */
    unsigned flags;
    size_t length;     /* of the definition */
    char definition[]; /* a Parse message's body behind the name: text NUL count types */
};

/* Finds or makes it in the table, which must outlive it; a reference of the caller's. */
struct statement_store *statement_store_get(struct hash_table *stores,
                                            const struct statement_scope *scope);
void statement_store_unref(struct statement_store *store); /* accepts NULL */
/* A reference of the caller's. The definition was checked: see statement_definition_check. */
struct statement *statement_intern(struct statement_store *store, const char *definition,
                                   size_t length);
struct statement *statement_ref(struct statement *statement);
void statement_unref(struct statement *statement); /* accepts NULL */
void statement_server_name(const struct statement *statement,
                           char ret_name[STATEMENT_SERVER_NAME_SIZE]);
/* True when the bytes are a text with its NUL, a count and that many types, and nothing else. */
bool statement_definition_check(const char *definition, size_t length);

/* ---- a client's names ---- */
struct client_statement {
    struct hash_node node;
    struct statement *statement;
    size_t references; /* the client's table, and expected replies that may have to undo */
    bool in_table;
    char name[];
};
struct client_statement *client_statement_find(const struct hash_table *table, const char *name);
/* The name must not be there. The table has one reference. */
struct client_statement *client_statement_add(struct hash_table *table, const char *name,
                                              struct statement *statement);
void client_statement_remove(struct hash_table *table, struct client_statement *statement);
/* Puts back what was removed, unless the name was taken meanwhile. */
void client_statement_restore(struct hash_table *table, struct client_statement *statement);
void client_statement_unref(struct client_statement *statement); /* accepts NULL */
void client_statements_clear(struct hash_table *table);

/* Names that a text deallocates, in its order; the references are the list's. */
struct client_names {
    size_t count, done; /* of which so many are gone */
    struct client_statement *items[];
};
/* The names of the table that the text deallocates, each once, up to TEXT_DEALLOCATES_MAX; NULL
 * when there are none. */
struct client_names *client_names_deallocated(const struct hash_table *table, const char *text,
                                              size_t length);
void client_names_free(struct client_names *names); /* accepts NULL */

/* ---- what a backend has prepared ---- */
struct backend_statements {
    struct hash_table table; /* by statement id */
    struct list lru;         /* least recently used first */
    size_t turn_count;       /* of those of a turn's store */
};
void backend_statements_init(struct backend_statements *statements);
void backend_statements_clear(struct backend_statements *statements);
void backend_statements_free(struct backend_statements *statements);
/* True when prepared and not stale; then it is the most recently used. */
bool backend_statements_touch(struct backend_statements *statements, struct statement *statement);
/* Whether it is prepared and not stale. */
bool backend_statements_has(const struct backend_statements *statements,
                            const struct statement *statement);
/* Takes one of a turn's store out; the caller's reference. NULL: there is none. */
struct statement *backend_statements_take_turn(struct backend_statements *statements);
void backend_statements_add(struct backend_statements *statements, struct statement *statement);
/* A table was changed under it ("cached plan must not change result type"): it must be closed and
 * prepared again before its next use. */
void backend_statements_set_stale(struct backend_statements *statements,
                                  struct statement *statement);
bool backend_statements_stale(const struct backend_statements *statements,
                              const struct statement *statement);
void backend_statements_drop(struct backend_statements *statements, struct statement *statement);
/* When there are more than `maximum`: takes the least recently used out; the caller's reference. */
struct statement *backend_statements_evict(struct backend_statements *statements, size_t maximum);

#endif
