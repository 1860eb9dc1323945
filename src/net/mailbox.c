/*
 * mailbox.c - a stack that any thread pushes to and the engine's thread takes as a whole; turned
 * round it is in order.
 */
#include "net/internal.h"

struct mailbox {
    struct remains remains;
    struct list link; /* engine.mailboxes */
    struct engine *engine;
    void (*received)(void *owner, struct letter *letter);
    void *owner;
    _Atomic(struct letter *) posted; /* the latest first */
    struct letter *taken;            /* in order; the engine's thread's */
    struct letter *taken_last;
};

int mailbox_create(struct engine *engine, void (*received)(void *owner, struct letter *letter),
                   void *owner, struct mailbox **ret, struct error *err reeve_unused)
{
    struct mailbox *mailbox = xcalloc(1, sizeof(*mailbox));
    mailbox->engine = engine;
    mailbox->received = received;
    mailbox->owner = owner;
    list_append(&engine->mailboxes, &mailbox->link);
    *ret = mailbox;
    return 0;
}

void mailbox_post(struct mailbox *mailbox, struct letter *letter)
{
    /* The letter may be received, and the mailbox freed, as soon as it is in. */
    struct engine *engine = mailbox->engine;
    struct letter *latest = atomic_load_explicit(&mailbox->posted, memory_order_relaxed);
    do
        letter->next = latest;
    while (!atomic_compare_exchange_weak(&mailbox->posted, &latest, letter));
    if (!atomic_exchange(&engine->woken, true))
        engine_wake(engine);
}

/* Puts what was posted behind what was taken before. */
static void take(struct mailbox *mailbox)
{
    struct letter *latest = atomic_exchange(&mailbox->posted, NULL);
    struct letter *last = latest;
    struct letter *first = NULL;
    while (latest) {
        struct letter *earlier = latest->next;
        latest->next = first;
        first = latest;
        latest = earlier;
    }
    if (!first)
        return;
    if (mailbox->taken)
        mailbox->taken_last->next = first;
    else
        mailbox->taken = first;
    mailbox->taken_last = last;
}

static void hand_out(struct mailbox *mailbox)
{
    /* A callback may free the mailbox, which hands out the rest: look again every time. */
    struct letter *letter;
    while ((letter = mailbox->taken) != NULL) {
        mailbox->taken = letter->next;
        letter->next = NULL;
        mailbox->received(mailbox->owner, letter);
        engine_flush_forgotten(mailbox->engine);
    }
}

void engine_receive_letters(struct engine *engine)
{
    struct list left;
    list_init(&left);
    while (!list_empty(&engine->mailboxes)) {
        struct list *link = engine->mailboxes.next;
        list_remove(link);
        list_append(&left, link);
    }
    while (!list_empty(&left)) {
        struct list *link = left.next;
        struct mailbox *mailbox = list_entry(link, struct mailbox, link);
        list_remove(link);
        list_append(&engine->mailboxes, link);
        take(mailbox);
        hand_out(mailbox);
    }
}

static void release(struct remains *remains)
{
    free(container_of(remains, struct mailbox, remains));
}

void mailbox_free(struct mailbox *mailbox)
{
    if (!mailbox)
        return;
    do {
        take(mailbox);
        hand_out(mailbox);
    } while (atomic_load(&mailbox->posted));
    list_remove(&mailbox->link);
    engine_bury(mailbox->engine, &mailbox->remains, release);
}
