#include "cli/names.h"

#include "catalog/cluster.h"
#include "catalog/service.h"
#include "catalog/tenant.h"

enum kind { TENANT, SERVICE, CLUSTER };

struct name {
    struct name *next;
    int64_t id;
    const char *text;
};

static int load(struct names *names, enum kind kind, int64_t id, const char **ret,
                struct error *err)
{
    int result;
    if (kind == TENANT) {
        struct catalog_tenant tenant = {0};
        result = catalog_tenant_get(names->catalog, names->arena, id, &tenant, err);
        *ret = tenant.slug;
    } else if (kind == SERVICE) {
        struct catalog_service service = {0};
        result = catalog_service_get(names->catalog, names->arena, id, &service, err);
        *ret = service.name;
    } else {
        struct catalog_cluster cluster = {0};
        result = catalog_cluster_get(names->catalog, names->arena, id, &cluster, err);
        *ret = cluster.name;
    }
    if (result != -ERROR_NOT_FOUND)
        return result;
    error_clear(err);
    return 0;
}

static int find(struct names *names, enum kind kind, int64_t id, const char **ret,
                struct error *err)
{
    const struct name *known = names->known[kind];
    while (known && known->id != id)
        known = known->next;
    if (!known && id != 0) {
        const char *text = NULL;
        int result = load(names, kind, id, &text, err);
        if (result < 0)
            return result;
        struct name *found = arena_zalloc(names->arena, sizeof(*found));
        *found = (struct name){.next = names->known[kind], .id = id, .text = text};
        known = names->known[kind] = found;
    }
    *ret = known ? known->text : NULL;
    return 0;
}

int names_tenant(struct names *names, int64_t id, const char **ret_slug, struct error *err)
{
    return find(names, TENANT, id, ret_slug, err);
}

int names_service(struct names *names, int64_t id, const char **ret, struct error *err)
{
    return find(names, SERVICE, id, ret, err);
}

int names_cluster(struct names *names, int64_t id, const char **ret, struct error *err)
{
    return find(names, CLUSTER, id, ret, err);
}
