#include "cli/context.h"

#include <pwd.h>
#include <unistd.h>

#include "base/str.h"
#include "base/time.h"
#include "catalog/audit_event.h"
#include "catalog/tenant.h"
#include "cli/connector.h"
#include "isolation/isolation.h"
#include "move/move.h"

static const int64_t lock_wait_us = 30 * (int64_t)TIME_S;

const char *cli_isolation_choice(size_t index)
{
    const struct isolation *isolation = isolation_at(index);
    return isolation ? isolation_name(isolation) : NULL;
}

/* ---- opening ---- */

static void show_progress(void *owner reeve_unused, const struct job_progress *progress)
{
    output_progress(progress->number, progress->count, progress->text);
}

/* "cli:alice": who the audit trail says it was. */
static const char *actor_name(struct arena *arena)
{
    const struct passwd *entry = getpwuid(geteuid());
    if (entry && entry->pw_name[0])
        return arena_printf(arena, "cli:%s", entry->pw_name);
    return arena_printf(arena, "cli:%u", (unsigned)geteuid());
}

int context_config(struct cli *cli, struct config *ret, struct error *err)
{
    const char *path = NULL;
    /* Commands reach the servers that `reeve serve` reaches, whatever the caller's PG* say. */
    connector_clean_environment();
    int result = config_find(cli->config_path, &cli->arena, &path, err);
    return result < 0 ? result : config_read(path, &cli->arena, ret, err);
}

int context_from_config(const struct config *config, const char *actor, struct context *ret,
                        struct error *err)
{
    uint8_t key[CRYPTO_KEY_SIZE];
    int result = crypto_key_file_read(config->key_file, key, err);
    if (result < 0)
        return result;
    *ret = (struct context){.config = *config,
                            .job = {.control = config->control,
                                    .actor = actor,
                                    .definitions = move_jobs,
                                    .undoes_when_cancelled = true,
                                    .cancelled = &cli_cancelled,
                                    .lock_wait_us = lock_wait_us,
                                    .progress = show_progress}};
    memcpy(ret->job.master_key, key, sizeof(key));
    crypto_wipe(key, sizeof(key));
    return 0;
}

int context_open(struct cli *cli, struct context *ret, struct error *err)
{
    struct config config;
    int result = context_config(cli, &config, err);
    return result < 0 ? result : context_from_config(&config, actor_name(&cli->arena), ret, err);
}

void context_close(struct context *context)
{
    crypto_wipe(context->job.master_key, sizeof(context->job.master_key));
}

int context_catalog(const struct context *context, struct catalog **ret, struct error *err)
{
    return catalog_open(context->config.control, ret, err);
}

int context_open_catalog(struct cli *cli, struct context *ret, struct catalog **ret_catalog,
                         struct error *err)
{
    int result = context_open(cli, ret, err);
    return result < 0 ? result : context_catalog(ret, ret_catalog, err);
}

int context_open_tenant(struct cli *cli, struct context *ret, struct catalog **ret_catalog,
                        struct catalog_tenant *ret_tenant, struct error *err)
{
    int result = context_open_catalog(cli, ret, ret_catalog, err);
    if (result == 0)
        result =
            catalog_tenant_find(*ret_catalog, &cli->arena, cli_text(cli, "SLUG"), ret_tenant, err);
    return result;
}

int context_read_catalog(struct cli *cli, struct catalog **ret, struct error *err)
{
    struct config config;
    int result = context_config(cli, &config, err);
    return result < 0 ? result : catalog_open(config.control, ret, err);
}

/* ---- changes ---- */

int context_commit(const struct context *context, struct catalog *catalog, int result,
                   const struct catalog_audit_event *event, json_t *detail, struct error *err)
{
    _cleanup_catalog_rollback_ struct catalog *transaction = catalog;
    _cleanup_free_ char *text = detail ? json_dumps(detail, JSON_COMPACT) : NULL;
    json_decref(detail);
    struct catalog_audit_event complete = *event;
    complete.actor = context->job.actor;
    complete.detail = text;
    if (result == 0)
        result = catalog_audit_append(transaction, &complete, err);
    return result < 0 ? result : catalog_commit(transaction, err);
}

int context_check_slug(const char *what, const char *slug, struct error *err)
{
    enum { SHOWN = 64 };
    char named[128];
    size_t length = strlen(slug), shown = length;
    if (length > SHOWN) {
        shown = SHOWN;
        while (shown > 0 && ((unsigned char)slug[shown] & 0xC0) == 0x80)
            shown--;
    }
    snprintf(named, sizeof(named), "%s \"%.*s%s\"", what, (int)shown, slug,
             shown < length ? "..." : "");
    return str_check_slug(named, slug, err);
}
