#include "catalog/tag.h"

#include "base/str.h"
#include "catalog/internal.h"
#include "sql/statements.h"

/* *ret_value is "" where there is none; the name is in the arena. */
static int take_apart(struct arena *arena, const char *tag, const char **ret_name,
                      const char **ret_value, struct error *err)
{
    size_t length = strcspn(tag, "=");
    const char *name = arena_strndup(arena, tag, length);
    int r = str_check_slug("tag", name, err);
    if (r == 0 && tag[length] == '=')
        r = str_check_display_name("tag's value", tag + length + 1, err);
    if (r < 0)
        return r;
    *ret_name = name;
    *ret_value = tag[length] == '=' ? tag + length + 1 : "";
    return 0;
}

int catalog_tag_check(const char *tag, struct error *err)
{
    _cleanup_arena_ struct arena arena = {0};
    const char *name, *value;
    return take_apart(&arena, tag, &name, &value, err);
}

int catalog_tag_set(struct catalog *catalog, int64_t tenant_id, const char *tag, struct error *err)
{
    _cleanup_arena_ struct arena arena = {0};
    const char *name, *value;
    int r = take_apart(&arena, tag, &name, &value, err);
    if (r < 0)
        return r;
    struct catalog_statement statement =
        CATALOG_STATEMENT(sql_catalog_tenant_tag_set, pg_from_i64(&arena, tenant_id), name, value);
    statement.subject =
        arena_printf(&arena, "tag \"%s\" of tenant %lld", name, (long long)tenant_id);
    return catalog_change(catalog, &statement, err);
}

int catalog_tag_unset(struct catalog *catalog, int64_t tenant_id, const char *name,
                      struct error *err)
{
    _cleanup_arena_ struct arena arena = {0};
    struct catalog_statement statement =
        CATALOG_STATEMENT(sql_catalog_tenant_tag_delete, pg_from_i64(&arena, tenant_id), name);
    statement.subject = arena_printf(&arena, "tag \"%s\" of that tenant", name);
    return catalog_change(catalog, &statement, err);
}

bool catalog_tenant_has_tag(const struct catalog_tenant *tenant, const char *wanted)
{
    size_t length = strlen(wanted);
    for (size_t i = 0; i < tenant->tag_count; i++) {
        const char *tag = tenant->tags[i];
        if (str_has_prefix(tag, wanted) &&
            (tag[length] == '\0' || (tag[length] == '=' && !strchr(wanted, '='))))
            return true;
    }
    return false;
}
