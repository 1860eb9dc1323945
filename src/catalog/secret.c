#include <inttypes.h>

#include "base/crypto.h"
#include "catalog/catalog.h"

void catalog_login_context(const char *role, char ret_context[CATALOG_SECRET_CONTEXT_SIZE])
{
    snprintf(ret_context, CATALOG_SECRET_CONTEXT_SIZE, "login:%s", role);
}

void catalog_owner_context(int64_t cluster_id, const char *role,
                           char ret_context[CATALOG_SECRET_CONTEXT_SIZE])
{
    snprintf(ret_context, CATALOG_SECRET_CONTEXT_SIZE, "owner:%" PRId64 ":%s", cluster_id, role);
}

void catalog_cluster_context(const char *name, char ret_context[CATALOG_SECRET_CONTEXT_SIZE])
{
    snprintf(ret_context, CATALOG_SECRET_CONTEXT_SIZE, "cluster:%s", name);
}

struct catalog_sealed catalog_seal(struct arena *arena, const uint8_t key[32], const char *context,
                                   const char *secret)
{
    size_t length = strlen(secret);
    uint8_t *bytes = arena_alloc(arena, length + CRYPTO_SEAL_OVERHEAD);
    crypto_seal(key, context, secret, length, bytes);
    return (struct catalog_sealed){bytes, length + CRYPTO_SEAL_OVERHEAD};
}

int catalog_unseal(const uint8_t key[32], const char *context, const struct catalog_sealed *sealed,
                   char **ret_secret, struct error *err)
{
    char *secret = xcalloc(1, sealed->length + 1);
    int r = crypto_open(key, context, sealed->bytes, sealed->length, secret, err);
    if (r < 0) {
        free(secret);
        return r;
    }
    *ret_secret = secret;
    return 0;
}

char *catalog_wipe(char *secret)
{
    if (secret)
        crypto_wipe(secret, strlen(secret));
    free(secret);
    return NULL;
}
