#include "proxy/expect.h"

void expect_init(struct expect_queue *queue)
{
    *queue = (struct expect_queue){0};
}

/* Nothing is known of the server's unnamed statement when a Parse or Close of ours is skipped. */
static bool is_assumed(const struct expect *entry)
{
    if (entry->kind != EXPECT_PARSE && entry->kind != EXPECT_CLOSE)
        return false;
    return entry->name || entry->statement || entry->action == EXPECT_SWALLOW;
}

static void count_in(struct expect_queue *queue, const struct expect *entry)
{
    queue->names_changing += entry->flags != 0;
    if (entry->assumed)
        queue->names_open++;
    if (entry->takes_unnamed)
        queue->unnamed_open++;
    if (entry->kind != EXPECT_SYNC)
        return;
    queue->unnamed_in_doubt += queue->unnamed_open;
    queue->unnamed_open = 0;
    queue->names_in_doubt += queue->names_open;
    queue->names_open = 0;
}

static void drop(struct expect_queue *queue, struct expect *entry)
{
    queue->names_changing -= entry->flags != 0;
    if (entry->assumed)
        --*(queue->names_in_doubt > 0 ? &queue->names_in_doubt : &queue->names_open);
    if (entry->takes_unnamed)
        --*(queue->unnamed_in_doubt > 0 ? &queue->unnamed_in_doubt : &queue->unnamed_open);
    statement_unref(entry->statement);
    statement_unref(entry->unnamed);
    client_statement_unref(entry->name);
    client_names_free(entry->names);
}

void expect_free(struct expect_queue *queue)
{
    while (queue->count > 0)
        expect_pop(queue);
    free(queue->entries);
    expect_init(queue);
}

struct expect *expect_at(struct expect_queue *queue, size_t index)
{
    return &queue->entries[(queue->first + index) & (queue->capacity - 1)];
}

static void grow(struct expect_queue *queue)
{
    size_t capacity = queue->capacity ? queue->capacity * 2 : 16;
    struct expect *entries = xmalloc(capacity * sizeof(*entries));
    for (size_t i = 0; i < queue->count; i++)
        entries[i] = *expect_at(queue, i);
    free(queue->entries);
    queue->entries = entries;
    queue->capacity = capacity;
    queue->first = 0;
}

bool expect_push(struct expect_queue *queue, const struct expect *entry)
{
    if (queue->count >= EXPECT_MAX) {
        client_names_free(entry->names);
        return false;
    }
    if (queue->count == queue->capacity)
        grow(queue);
    struct expect *place = expect_at(queue, queue->count++);
    *place = *entry;
    place->assumed = is_assumed(entry);
    if (place->statement)
        statement_ref(place->statement);
    if (place->unnamed)
        statement_ref(place->unnamed);
    if (place->name)
        place->name->references++;
    count_in(queue, place);
    return true;
}

struct expect *expect_first(struct expect_queue *queue)
{
    return queue->count > 0 ? expect_at(queue, 0) : NULL;
}

const struct expect *expect_last(const struct expect_queue *queue)
{
    size_t last = queue->first + queue->count - 1;
    return queue->count > 0 ? &queue->entries[last & (queue->capacity - 1)] : NULL;
}

void expect_pop(struct expect_queue *queue)
{
    drop(queue, expect_at(queue, 0));
    queue->first = (queue->first + 1) & (queue->capacity - 1);
    queue->count--;
    if (queue->asked > 0)
        queue->asked--;
}

/* What is removed stands near the front, so it is the front that moves up. */
void expect_remove(struct expect_queue *queue, size_t index)
{
    drop(queue, expect_at(queue, index));
    for (size_t i = index; i > 0; i--)
        *expect_at(queue, i) = *expect_at(queue, i - 1);
    queue->first = (queue->first + 1) & (queue->capacity - 1);
    queue->count--;
    if (index < queue->asked)
        queue->asked--;
}

void expect_remove_kind(struct expect_queue *queue, size_t from, size_t to, enum expect_kind kind)
{
    size_t kept = to;
    size_t asked = queue->asked;
    for (size_t i = to; i > 0; i--) {
        struct expect *entry = expect_at(queue, i - 1);
        if (i > from && entry->kind == kind) {
            drop(queue, entry);
            queue->asked -= i <= asked;
        } else {
            *expect_at(queue, --kept) = *entry;
        }
    }
    queue->first = (queue->first + kept) & (queue->capacity - 1);
    queue->count -= kept;
}
