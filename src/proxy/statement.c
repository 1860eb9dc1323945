#include "proxy/statement.h"

#include "base/crypto.h"

/* ---- interned statements ---- */

static uint64_t scope_hash(const struct statement_scope *scope)
{
    uint64_t kind = (scope->client ? 16 : 0) + (scope->placeholders ? 8 : 0) +
                    (scope->read_only ? 4 : 0) + (scope->shared ? 2 : 0) + (scope->turn ? 1 : 0);
    return hash_u64((uint64_t)scope->id * 32 + kind + (uint64_t)(uintptr_t)scope->settings);
}

struct statement_store *statement_store_get(struct hash_table *stores,
                                            const struct statement_scope *scope)
{
    for (struct hash_node *node = hash_table_find(stores, scope_hash(scope)); node;
         node = hash_table_find_next(node)) {
        struct statement_store *found = container_of(node, struct statement_store, node);
        if (found->scope.id == scope->id && found->scope.read_only == scope->read_only &&
            found->scope.shared == scope->shared && found->scope.turn == scope->turn &&
            found->scope.client == scope->client &&
            found->scope.placeholders == scope->placeholders &&
            found->scope.settings == scope->settings) {
            found->references++;
            return found;
        }
    }
    struct statement_store *store = xcalloc(1, sizeof(*store));
    store->stores = stores;
    store->scope = *scope;
    if (scope->settings)
        pairs_ref(scope->settings);
    store->references = 1;
    hash_table_init(&store->statements);
    hash_table_insert(stores, &store->node, scope_hash(scope));
    return store;
}

void statement_store_unref(struct statement_store *store)
{
    if (!store || --store->references > 0)
        return;
    hash_table_remove(store->stores, &store->node);
    hash_table_free(&store->statements);
    pairs_unref(store->scope.settings);
    free(store);
}

struct statement *statement_intern(struct statement_store *store, const char *definition,
                                   size_t length)
{
    uint64_t hash = hash_bytes(definition, length);
    for (struct hash_node *node = hash_table_find(&store->statements, hash); node;
         node = hash_table_find_next(node)) {
        struct statement *found = container_of(node, struct statement, node);
        if (found->length == length && memcmp(found->definition, definition, length) == 0)
            return statement_ref(found);
    }
    struct statement *statement = xmalloc(sizeof(*statement) + length);
    *statement = (struct statement){.store = store, .references = 1, .length = length};
    crypto_random(&statement->id, sizeof(statement->id));
    store->references++;
    memcpy(statement->definition, definition, length);
    statement->flags = text_flags(statement->definition, strlen(statement->definition));
    hash_table_insert(&store->statements, &statement->node, hash);
    return statement;
}

struct statement *statement_ref(struct statement *statement)
{
    statement->references++;
    return statement;
}

void statement_unref(struct statement *statement)
{
    if (!statement || --statement->references > 0)
        return;
    hash_table_remove(&statement->store->statements, &statement->node);
    statement_store_unref(statement->store);
    statement_unref(statement->stands_for);
    free(statement);
}

void statement_server_name(const struct statement *statement,
                           char ret_name[STATEMENT_SERVER_NAME_SIZE])
{
    snprintf(ret_name, STATEMENT_SERVER_NAME_SIZE, "reeve_%016llx",
             (unsigned long long)statement->id);
}

bool statement_definition_check(const char *definition, size_t length)
{
    const char *end = memchr(definition, '\0', length);
    if (!end)
        return false;
    size_t left = length - (size_t)(end + 1 - definition);
    if (left < 2)
        return false;
    const unsigned char *count = (const unsigned char *)end + 1;
    size_t types = (size_t)count[0] << 8 | count[1];
    return left == 2 + 4 * types;
}

/* ---- a client's names ---- */

struct client_statement *client_statement_find(const struct hash_table *table, const char *name)
{
    for (struct hash_node *node = hash_table_find(table, hash_string(name)); node;
         node = hash_table_find_next(node)) {
        struct client_statement *found = container_of(node, struct client_statement, node);
        if (strcmp(found->name, name) == 0)
            return found;
    }
    return NULL;
}

struct client_statement *client_statement_add(struct hash_table *table, const char *name,
                                              struct statement *statement)
{
    size_t size = strlen(name) + 1;
    struct client_statement *added = xmalloc(sizeof(*added) + size);
    *added = (struct client_statement){
        .statement = statement_ref(statement), .references = 1, .in_table = true};
    memcpy(added->name, name, size);
    hash_table_insert(table, &added->node, hash_string(name));
    return added;
}

void client_statement_remove(struct hash_table *table, struct client_statement *statement)
{
    if (!statement->in_table)
        return;
    hash_table_remove(table, &statement->node);
    statement->in_table = false;
    client_statement_unref(statement);
}

void client_statement_restore(struct hash_table *table, struct client_statement *statement)
{
    if (statement->in_table || client_statement_find(table, statement->name))
        return;
    statement->references++;
    statement->in_table = true;
    hash_table_insert(table, &statement->node, hash_string(statement->name));
}

void client_statement_unref(struct client_statement *statement)
{
    if (!statement || --statement->references > 0)
        return;
    statement_unref(statement->statement);
    free(statement);
}

static void remove_node(struct hash_node *node, void *argument)
{
    client_statement_remove(argument, container_of(node, struct client_statement, node));
}

void client_statements_clear(struct hash_table *table)
{
    hash_table_each(table, remove_node, table);
}

static bool is_listed(const struct client_names *names, const struct client_statement *name)
{
    for (size_t i = 0; names && i < names->count; i++) {
        if (names->items[i] == name)
            return true;
    }
    return false;
}

struct client_names *client_names_deallocated(const struct hash_table *table, const char *text,
                                              size_t length)
{
    struct client_names *names = NULL;
    struct text_deallocate found = {0};
    while (text_next_deallocate(text, length, &found)) {
        struct client_statement *known = client_statement_find(table, found.name);
        if (!known || found.behind_all || is_listed(names, known))
            continue; /* nobody's by then */
        size_t count = names ? names->count : 0;
        if (count == TEXT_DEALLOCATES_MAX)
            break;
        names = xrealloc(names, sizeof(*names) + (count + 1) * sizeof(void *));
        names->items[count] = known;
        names->count = count + 1;
        names->done = 0;
        known->references++;
    }
    return names;
}

void client_names_free(struct client_names *names)
{
    for (size_t i = 0; names && i < names->count; i++)
        client_statement_unref(names->items[i]);
    free(names);
}

/* ---- what a backend has prepared ---- */

struct backend_statement {
    struct hash_node node;
    struct list lru;
    struct statement *statement;
    bool stale; /* its plan does not fit the tables any more */
};

void backend_statements_init(struct backend_statements *statements)
{
    hash_table_init(&statements->table);
    list_init(&statements->lru);
    statements->turn_count = 0;
}

static struct backend_statement *find_prepared(const struct backend_statements *statements,
                                               const struct statement *statement)
{
    for (struct hash_node *node = hash_table_find(&statements->table, hash_u64(statement->id));
         node; node = hash_table_find_next(node)) {
        struct backend_statement *found = container_of(node, struct backend_statement, node);
        if (found->statement == statement)
            return found;
    }
    return NULL;
}

static void drop_prepared(struct backend_statements *statements, struct backend_statement *prepared)
{
    hash_table_remove(&statements->table, &prepared->node);
    list_remove(&prepared->lru);
    if (prepared->statement->store->scope.turn)
        statements->turn_count--;
    statement_unref(prepared->statement);
    free(prepared);
}

void backend_statements_clear(struct backend_statements *statements)
{
    list_for_each_safe (link, &statements->lru)
        drop_prepared(statements, list_entry(link, struct backend_statement, lru));
}

void backend_statements_free(struct backend_statements *statements)
{
    backend_statements_clear(statements);
    hash_table_free(&statements->table);
}

bool backend_statements_touch(struct backend_statements *statements, struct statement *statement)
{
    struct backend_statement *prepared = find_prepared(statements, statement);
    if (!prepared || prepared->stale)
        return false;
    list_remove(&prepared->lru);
    list_append(&statements->lru, &prepared->lru);
    return true;
}

bool backend_statements_has(const struct backend_statements *statements,
                            const struct statement *statement)
{
    const struct backend_statement *prepared = find_prepared(statements, statement);
    return prepared && !prepared->stale;
}

struct statement *backend_statements_take_turn(struct backend_statements *statements)
{
    if (statements->turn_count == 0)
        return NULL;
    list_for_each (link, &statements->lru) {
        struct backend_statement *prepared = list_entry(link, struct backend_statement, lru);
        if (!prepared->statement->store->scope.turn)
            continue;
        struct statement *statement = statement_ref(prepared->statement);
        drop_prepared(statements, prepared);
        return statement;
    }
    return NULL;
}

void backend_statements_drop(struct backend_statements *statements, struct statement *statement)
{
    struct backend_statement *prepared = find_prepared(statements, statement);
    if (prepared)
        drop_prepared(statements, prepared);
}

void backend_statements_add(struct backend_statements *statements, struct statement *statement)
{
    backend_statements_drop(statements, statement);
    struct backend_statement *prepared = xcalloc(1, sizeof(*prepared));
    prepared->statement = statement_ref(statement);
    if (statement->store->scope.turn)
        statements->turn_count++;
    list_append(&statements->lru, &prepared->lru);
    hash_table_insert(&statements->table, &prepared->node, hash_u64(statement->id));
}

void backend_statements_set_stale(struct backend_statements *statements,
                                  struct statement *statement)
{
    struct backend_statement *prepared = find_prepared(statements, statement);
    if (prepared)
        prepared->stale = true;
}

bool backend_statements_stale(const struct backend_statements *statements,
                              const struct statement *statement)
{
    const struct backend_statement *prepared = find_prepared(statements, statement);
    return prepared && prepared->stale;
}

struct statement *backend_statements_evict(struct backend_statements *statements, size_t maximum)
{
    if (statements->table.count <= maximum)
        return NULL;
    struct backend_statement *oldest = list_first(&statements->lru, struct backend_statement, lru);
    struct statement *statement = statement_ref(oldest->statement);
    drop_prepared(statements, oldest);
    return statement;
}
