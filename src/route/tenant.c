#include <stdatomic.h>

#include "base/crypto.h"
#include "route/route.h"

/* What is handed out stands behind its counter. */
struct counted_tenant {
    atomic_size_t references;
    struct route_tenant tenant;
};

struct counted_globals {
    atomic_size_t references;
    struct route_globals globals;
};

/* True when it was the last reference. */
static bool give_back(atomic_size_t *references)
{
    return atomic_fetch_sub_explicit(references, 1, memory_order_acq_rel) == 1;
}

static void take(atomic_size_t *references)
{
    atomic_fetch_add_explicit(references, 1, memory_order_relaxed);
}

/* Verifiers and key sets may hold what a password or a signature is checked with. */
static void free_secret(char *text)
{
    if (text)
        crypto_wipe(text, strlen(text));
    free(text);
}

struct route_tenant *route_tenant_new(void)
{
    struct counted_tenant *counted = xcalloc(1, sizeof(*counted));
    atomic_init(&counted->references, 1);
    return &counted->tenant;
}

void route_tenant_ref(struct route_tenant *tenant)
{
    take(&container_of(tenant, struct counted_tenant, tenant)->references);
}

void route_tenant_unref(struct route_tenant *tenant)
{
    if (!tenant)
        return;
    struct counted_tenant *counted = container_of(tenant, struct counted_tenant, tenant);
    if (!give_back(&counted->references))
        return;
    free_secret(tenant->scram_verifier);
    free(tenant->tokens);
    free(tenant->placements);
    free(counted);
}

struct route_globals *route_globals_new(void)
{
    struct counted_globals *counted = xcalloc(1, sizeof(*counted));
    atomic_init(&counted->references, 1);
    return &counted->globals;
}

void route_globals_ref(struct route_globals *globals)
{
    take(&container_of(globals, struct counted_globals, globals)->references);
}

void route_globals_unref(struct route_globals *globals)
{
    if (!globals)
        return;
    struct counted_globals *counted = container_of(globals, struct counted_globals, globals);
    if (!give_back(&counted->references))
        return;
    for (size_t i = 0; i < globals->issuer_count; i++) {
        struct route_issuer *issuer = &globals->issuers[i];
        free(issuer->name);
        free(issuer->issuer);
        free(issuer->audience);
        free(issuer->tenant_claim);
        free_secret(issuer->jwks);
    }
    free(globals->services);
    free(globals->clusters);
    free(globals->issuers);
    free(counted);
}
