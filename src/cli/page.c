#include "cli/page.h"

#include "catalog/tenant.h"

int page_tenant(const struct cli *cli, struct catalog *catalog, struct arena *arena,
                int64_t *ret_id, struct error *err)
{
    struct catalog_tenant tenant = {0};
    const char *slug = cli_text(cli, "tenant");
    int result = slug ? catalog_tenant_find(catalog, arena, slug, &tenant, err) : 0;
    if (result == 0)
        *ret_id = tenant.id;
    return result;
}

json_t *page_object(const char *text)
{
    json_t *object = text ? json_loads(text, 0, NULL) : NULL;
    return object ? object : json_null();
}
