#include "metrics/ledger.h"

#include "base/str.h"

static void add(struct proxy_usage *to, const struct proxy_usage *from, int sign)
{
    for (size_t i = 0; i < PROXY_USES; i++)
        to->of[i] += sign * from->of[i];
}

static int by_names(const void *a, const void *b)
{
    const struct ledger_entry *one = a;
    const struct ledger_entry *other = b;
    int order = strcmp(one->tenant, other->tenant);
    return order != 0 ? order : strcmp(one->service, other->service);
}

static struct ledger_entry *entries_of(const struct proxy_survey *survey)
{
    struct ledger_entry *entries = xcalloc(survey->tenant_count + 1, sizeof(*entries));
    for (size_t i = 0; i < survey->tenant_count; i++) {
        const struct proxy_tenant_figures *figures = &survey->tenants[i];
        entries[i].last = figures->used;
        entries[i].load = figures->load;
        str_copy(entries[i].tenant, sizeof(entries[i].tenant), figures->tenant);
        str_copy(entries[i].service, sizeof(entries[i].service), figures->service);
    }
    qsort(entries, survey->tenant_count, sizeof(*entries), by_names);
    return entries;
}

/* Less than before: the proxy has forgotten the tenant meanwhile, and began anew. */
static void go_on(struct ledger_entry *entry, const struct ledger_entry *before)
{
    entry->used = before->used;
    for (size_t i = 0; i < PROXY_USES; i++) {
        int64_t now = entry->last.of[i];
        entry->used.of[i] += now >= before->last.of[i] ? now - before->last.of[i] : now;
    }
}

void ledger_take(struct ledger *ledger, const struct proxy_survey *survey)
{
    struct ledger_entry *entries = entries_of(survey);
    struct ledger_entry others = {.used = survey->used, .load = survey->load};
    size_t before = 0;
    for (size_t i = 0; i < survey->tenant_count; i++) {
        struct ledger_entry *entry = &entries[i];
        while (before < ledger->count && by_names(&ledger->entries[before], entry) < 0)
            add(&ledger->taken_along, &ledger->entries[before++].used, 1);
        if (before < ledger->count && by_names(&ledger->entries[before], entry) == 0)
            go_on(entry, &ledger->entries[before++]);
        else if (!ledger->left_out)
            entry->used = entry->last;
        add(&others.used, &entry->used, -1);
        others.load.clients -= entry->load.clients;
        others.load.waiting -= entry->load.waiting;
        others.load.backends -= entry->load.backends;
    }
    while (before < ledger->count)
        add(&ledger->taken_along, &ledger->entries[before++].used, 1);
    add(&others.used, &ledger->taken_along, -1);
    free(ledger->entries);
    ledger->entries = entries;
    ledger->count = survey->tenant_count;
    ledger->others = others;
    ledger->left_out = survey->tenants_left_out;
}

void ledger_free(struct ledger *ledger)
{
    free(ledger->entries);
    *ledger = (struct ledger){0};
}
