#include "cli/nouns.h"

#include "catalog/audit_event.h"
#include "catalog/credential.h"
#include "catalog/tag.h"
#include "catalog/tenant.h"
#include "cli/placement_record.h"
#include "cli/prompt.h"
#include "cli/url.h"
#include "provision/provision.h"

static const struct cli_parameter slug_argument[] = {
    {.name = "SLUG",
     .required = true,
     .kind = CLI_TEXT,
     .help = "the tenant; clients give it as the user name"},
    {0},
};

static const struct cli_parameter tag_arguments[] = {
    {.name = "SLUG", .required = true, .kind = CLI_TEXT, .help = "the tenant"},
    {.name = "TAG",
     .required = true,
     .many = true,
     .kind = CLI_TEXT,
     .help = "a name (a-z, 0-9, - and _), or NAME=VALUE; it takes the place of one of that name"},
    {0},
};

static const struct cli_parameter untag_arguments[] = {
    {.name = "SLUG", .required = true, .kind = CLI_TEXT, .help = "the tenant"},
    {.name = "NAME", .required = true, .many = true, .kind = CLI_TEXT, .help = "the tag's name"},
    {0},
};

static const struct cli_parameter place_arguments[] = {
    {.name = "SLUG", .required = true, .kind = CLI_TEXT, .help = "the tenant"},
    {.name = "SERVICE", .required = true, .kind = CLI_TEXT, .help = "the service"},
    {0},
};

static const struct cli_parameter create_options[] = {
    {.name = "name",
     .value = "TEXT",
     .kind = CLI_TEXT,
     .fallback = "the slug",
     .help = "what people call it"},
    {0},
};

static const struct cli_parameter yes_options[] = {CLI_OPTION_YES, {0}};

static const struct cli_parameter attach_options[] = {
    {.name = "isolation",
     .value = "MODE",
     .kind = CLI_CHOICE,
     .choice = cli_isolation_choice,
     .fallback = "the service's",
     .help = "how its data is kept apart"},
    {.name = "cluster",
     .value = "NAME",
     .kind = CLI_TEXT,
     .fallback = "the service's",
     .help = "where its data is put"},
    {.name = "database",
     .value = "NAME",
     .kind = CLI_TEXT,
     .fallback = "the default one",
     .help = "the service's shared database that it is put into, which is made if it is not there "
             "(row, schema)"},
    {0},
};

static const char *status_choice(size_t index)
{
    return index <= CATALOG_TENANT_DELETED
               ? catalog_tenant_status_name((enum catalog_tenant_status)index)
               : NULL;
}

static const struct cli_parameter list_options[] = {
    {.name = "status",
     .value = "STATUS",
     .kind = CLI_CHOICE,
     .choice = status_choice,
     .help = "those in one status"},
    {.name = "tag",
     .value = "TAG",
     .kind = CLI_TEXT,
     .help = "those with a tag: NAME=VALUE, or NAME, whatever its value"},
    {.name = "all", .kind = CLI_FLAG, .help = "deleted ones too"},
    {0},
};

#define TENANT_FIELDS                                                                              \
    {.key = "slug",                                                                                \
     .title = "SLUG",                                                                              \
     .kind = OUTPUT_TEXT,                                                                          \
     .help = "what clients give as user name"},                                                    \
        {.key = "name", .title = "NAME", .kind = OUTPUT_TEXT, .help = "what people call it"},      \
        {.key = "status",                                                                          \
         .title = "STATUS",                                                                        \
         .kind = OUTPUT_TEXT,                                                                      \
         .help = "active, suspended, deleting, deleted"},                                          \
        {.key = "tags",                                                                            \
         .title = "TAGS",                                                                          \
         .kind = OUTPUT_LIST,                                                                      \
         .help = "what was said of it: names, or NAME=VALUE"},                                     \
        {.key = "created_at",                                                                      \
         .title = "CREATED",                                                                       \
         .kind = OUTPUT_TIME,                                                                      \
         .help = "when it was created"},                                                           \
        {.key = "deleted_at",                                                                      \
         .title = "DELETED",                                                                       \
         .kind = OUTPUT_TIME,                                                                      \
         .detail = true,                                                                           \
         .help = "when it was deleted; null when it was not"},                                     \
    {                                                                                              \
        .key = "id", .title = "ID", .kind = OUTPUT_NUMBER, .detail = true,                         \
        .help = "its number, which its rows carry as tenant_id"                                    \
    }

static const struct output_field fields[] = {TENANT_FIELDS, {0}};

static const struct output_field show_fields[] = {
    TENANT_FIELDS,
    {.key = "services",
     .title = "SERVICES",
     .kind = OUTPUT_LIST,
     .help = "the services that it is attached to"},
    {.key = "has_password",
     .title = "PASSWORD",
     .kind = OUTPUT_BOOLEAN,
     .help = "whether it can log in with a password"},
    {.key = "tokens",
     .title = "TOKENS",
     .kind = OUTPUT_NUMBER,
     .help = "how many tokens of Reeve's own are good now"},
    {0},
};

static json_t *text_list(const char *const *texts, size_t count)
{
    json_t *list = json_array();
    for (size_t i = 0; i < count; i++)
        json_array_append_new(list, output_text(texts[i]));
    return list;
}

static json_t *tenant_record(const struct catalog_tenant *tenant)
{
    json_t *record = json_object();
    json_object_set_new(record, "slug", output_text(tenant->slug));
    json_object_set_new(record, "name", output_text(tenant->name));
    json_object_set_new(record, "status", output_text(catalog_tenant_status_name(tenant->status)));
    json_object_set_new(record, "tags", text_list(tenant->tags, tenant->tag_count));
    json_object_set_new(record, "created_at", output_time_us(tenant->created_unix_us));
    json_object_set_new(record, "deleted_at", output_time_us(tenant->deleted_unix_us));
    json_object_set_new(record, "id", output_id(tenant->id));
    return record;
}

static int list_placements(struct catalog *catalog, struct arena *arena, int64_t tenant_id,
                           struct catalog_placement **ret, size_t *ret_count, struct error *err)
{
    struct catalog_placement_filter filter = CATALOG_PLACEMENT_ANY;
    filter.tenant_id = tenant_id;
    return catalog_placement_list(catalog, arena, &filter, ret, ret_count, err);
}

/* ---- create ---- */

static int insert(const struct cli *cli, const struct context *context, struct catalog *catalog,
                  int64_t *ret_id, struct error *err)
{
    const char *slug = cli_text(cli, "SLUG");
    int result = catalog_begin(catalog, err);
    if (result < 0)
        return result;
    struct catalog_audit_event event = {.action = "tenant.create"};
    result = catalog_tenant_create(catalog, slug, cli_text(cli, "name"), &event.tenant_id, err);
    result =
        context_commit(context, catalog, result, &event, json_pack("{s:s}", "tenant", slug), err);
    if (result == 0)
        *ret_id = event.tenant_id;
    return result;
}

static int run_create(struct cli *cli, struct error *err)
{
    _cleanup_context_ struct context context = {0};
    _cleanup_catalog_ struct catalog *catalog = NULL;
    struct catalog_tenant tenant = {0};
    int64_t id = 0;
    int result = context_check_slug("tenant slug", cli_text(cli, "SLUG"), err);
    if (result == 0)
        result = context_open_catalog(cli, &context, &catalog, err);
    if (result == 0)
        result = insert(cli, &context, catalog, &id, err);
    if (result == 0)
        result = catalog_tenant_get(catalog, &cli->arena, id, &tenant, err);
    if (result < 0)
        return result;
    output_done(cli, tenant_record(&tenant),
                "Tenant \"%s\" is created. It has no data and no credentials yet.\n"
                "  its data:     reeve tenant attach %s SERVICE\n"
                "  a token:      reeve token issue %s\n"
                "  a password:   reeve password set %s\n"
                "  then connect: psql %s",
                tenant.slug, tenant.slug, tenant.slug, tenant.slug,
                url_make(&cli->arena, &context.config, tenant.slug, NULL, NULL));
    return 0;
}

/* ---- list, show ---- */

static int run_list(struct cli *cli, struct error *err)
{
    _cleanup_catalog_ struct catalog *catalog = NULL;
    struct catalog_tenant_filter filter = {.with_deleted = cli_flag(cli, "all"), .status = -1};
    struct catalog_tenant *tenants = NULL;
    size_t count = 0;
    enum catalog_tenant_status status;
    const char *name = cli_text(cli, "status"), *tag = cli_text(cli, "tag");
    int result = name ? catalog_tenant_status_parse(name, &status, err) : 0;
    if (result == 0 && tag)
        result = catalog_tag_check(tag, err);
    if (result == 0 && name) {
        filter.status = (int)status;
        filter.with_deleted = true;
    }
    if (result == 0)
        result = context_read_catalog(cli, &catalog, err);
    if (result == 0)
        result = catalog_tenant_list(catalog, &cli->arena, &filter, &tenants, &count, err);
    if (result < 0)
        return result;
    json_t *records = json_array();
    for (size_t i = 0; i < count; i++) {
        if (!tag || catalog_tenant_has_tag(&tenants[i], tag))
            json_array_append_new(records, tenant_record(&tenants[i]));
    }
    output_list(cli, records,
                name || tag ? "There are no such tenants."
                            : "There are no tenants; \"reeve tenant create\" makes one.");
    return 0;
}

static int run_show(struct cli *cli, struct error *err)
{
    _cleanup_catalog_ struct catalog *catalog = NULL;
    struct arena *arena = &cli->arena;
    struct catalog_tenant tenant = {0};
    struct catalog_placement *placements = NULL;
    struct catalog_token *tokens = NULL;
    const char *verifier = NULL;
    size_t placement_count = 0, token_count = 0;
    int result = context_read_catalog(cli, &catalog, err);
    if (result == 0)
        result = catalog_tenant_find(catalog, arena, cli_text(cli, "SLUG"), &tenant, err);
    if (result == 0)
        result = list_placements(catalog, arena, tenant.id, &placements, &placement_count, err);
    if (result == 0)
        result = catalog_password_get(catalog, arena, tenant.id, &verifier, err);
    if (result == 0)
        result = catalog_token_list(catalog, arena, tenant.id, false, &tokens, &token_count, err);
    if (result < 0)
        return result;
    json_t *services = json_array();
    for (size_t i = 0; i < placement_count; i++)
        json_array_append_new(services, output_text(placements[i].service));
    json_t *record = tenant_record(&tenant);
    json_object_set_new(record, "services", services);
    json_object_set_new(record, "has_password", json_boolean(verifier != NULL));
    json_object_set_new(record, "tokens", json_integer((json_int_t)token_count));
    output_record(cli, record);
    return 0;
}

/* ---- suspend, resume, delete ---- */

/* The tenant's record when something was done to it; it may be deleted by now. */
static int print_done(const struct cli *cli, struct catalog *catalog, struct arena *arena,
                      int64_t tenant_id, const char *what, struct error *err)
{
    struct catalog_tenant tenant = {0};
    int result = catalog_tenant_get(catalog, arena, tenant_id, &tenant, err);
    if (result == 0)
        output_done(cli, tenant_record(&tenant), "Tenant \"%s\" is %s", tenant.slug, what);
    return result;
}

static int set_status(struct cli *cli,
                      int (*change)(const struct job_context *, const char *, struct error *),
                      const char *what, struct error *err)
{
    _cleanup_context_ struct context context = {0};
    _cleanup_catalog_ struct catalog *catalog = NULL;
    struct catalog_tenant tenant = {0};
    int result = context_open_tenant(cli, &context, &catalog, &tenant, err);
    if (result == 0)
        result = change(&context.job, tenant.slug, err);
    return result < 0 ? result : print_done(cli, catalog, &cli->arena, tenant.id, what, err);
}

static int run_suspend(struct cli *cli, struct error *err)
{
    return set_status(cli, provision_tenant_suspend,
                      "suspended: its connections end now, and new ones are refused.", err);
}

static int run_resume(struct cli *cli, struct error *err)
{
    return set_status(cli, provision_tenant_resume, "active: it may connect.", err);
}

/* What would be lost, for the confirmation. */
static int describe_delete(struct catalog *catalog, struct arena *arena,
                           const struct catalog_tenant *tenant, const char **ret, struct error *err)
{
    struct catalog_placement *placements = NULL;
    size_t count = 0;
    int result = list_placements(catalog, arena, tenant->id, &placements, &count, err);
    if (result < 0)
        return result;
    const char *text =
        arena_printf(arena, "This deletes tenant \"%s\" and its credentials", tenant->slug);
    for (size_t i = 0; i < count; i++)
        text = arena_printf(arena, "%s%s %s: %s", text, i ? ";" : ", with all its data for service",
                            placements[i].service, placement_describe(arena, &placements[i]));
    *ret = arena_printf(arena, "%s.", text);
    return 0;
}

static int run_delete(struct cli *cli, struct error *err)
{
    _cleanup_context_ struct context context = {0};
    _cleanup_catalog_ struct catalog *catalog = NULL;
    struct catalog_tenant tenant = {0};
    const char *what = NULL;
    int result = context_open_tenant(cli, &context, &catalog, &tenant, err);
    if (result == 0)
        result = describe_delete(catalog, &cli->arena, &tenant, &what, err);
    if (result == 0)
        result = prompt_confirm(cli, what, tenant.slug, err);
    if (result == 0)
        result = provision_tenant_delete(&context.job, tenant.slug, err);
    return result < 0 ? result
                      : print_done(cli, catalog, &cli->arena, tenant.id,
                                   "deleted, with all its data. Its slug is free again.", err);
}

/* ---- tag, untag ---- */

static int change_tags(struct catalog *catalog, int64_t tenant_id, const char *const *tags,
                       size_t count, bool set, struct error *err)
{
    int result = 0;
    for (size_t i = 0; result == 0 && i < count; i++)
        result = set ? catalog_tag_set(catalog, tenant_id, tags[i], err)
                     : catalog_tag_unset(catalog, tenant_id, tags[i], err);
    return result;
}

/* All of them or none. */
static int run_tags(struct cli *cli, const char *argument, bool set, struct error *err)
{
    _cleanup_context_ struct context context = {0};
    _cleanup_catalog_ struct catalog *catalog = NULL;
    struct catalog_tenant tenant = {0};
    const char *const *tags;
    size_t count = cli_texts(cli, argument, &tags);
    int result = context_open_tenant(cli, &context, &catalog, &tenant, err);
    if (result == 0)
        result = catalog_begin(catalog, err);
    if (result < 0)
        return result;
    const struct catalog_audit_event event = {.action = set ? "tenant.tag" : "tenant.untag",
                                              .tenant_id = tenant.id};
    json_t *detail = json_pack("{s:o}", "tags", text_list(tags, count));
    result = change_tags(catalog, tenant.id, tags, count, set, err);
    result = context_commit(&context, catalog, result, &event, detail, err);
    return result < 0 ? result
                      : print_done(cli, catalog, &cli->arena, tenant.id,
                                   set ? "tagged." : "without the tag now.", err);
}

static int run_tag(struct cli *cli, struct error *err)
{
    return run_tags(cli, "TAG", true, err);
}

static int run_untag(struct cli *cli, struct error *err)
{
    return run_tags(cli, "NAME", false, err);
}

/* ---- attach, detach ---- */

static void print_attached(struct cli *cli, const struct config *config,
                           const struct catalog_placement *placement)
{
    struct arena *arena = &cli->arena;
    output_done(cli, placement_record(arena, config, placement),
                "Tenant \"%s\" is attached to service \"%s\" with isolation %s:\n"
                "  its data is in %s, at version %s.\n"
                "  connect: psql %s\n"
                "  with the tenant's password, or with a token from: reeve token issue %s",
                placement->tenant, placement->service, placement->isolation,
                placement_describe(arena, placement), placement->schema_version,
                url_make(arena, config, placement->tenant, placement->service, NULL),
                placement->tenant);
}

static int run_attach(struct cli *cli, struct error *err)
{
    _cleanup_context_ struct context context = {0};
    _cleanup_catalog_ struct catalog *catalog = NULL;
    const struct provision_attach_spec spec = {.tenant = cli_text(cli, "SLUG"),
                                               .service = cli_text(cli, "SERVICE"),
                                               .isolation = cli_text(cli, "isolation"),
                                               .cluster = cli_text(cli, "cluster"),
                                               .database = cli_text(cli, "database")};
    struct catalog_placement placement = {0};
    int64_t id = 0;
    int result = context_open_catalog(cli, &context, &catalog, err);
    if (result == 0)
        result = provision_attach(&context.job, &spec, &id, err);
    if (result == 0)
        result = catalog_placement_get(catalog, &cli->arena, id, &placement, err);
    if (result == 0)
        print_attached(cli, &context.config, &placement);
    return result;
}

static const struct output_field detach_fields[] = {
    {.key = "tenant", .kind = OUTPUT_TEXT, .help = "the tenant's slug"},
    {.key = "service", .kind = OUTPUT_TEXT, .help = "the service it was attached to"},
    {.key = "dropped", .kind = OUTPUT_TEXT, .help = "where its data was"},
    {0},
};

static int run_detach(struct cli *cli, struct error *err)
{
    _cleanup_context_ struct context context = {0};
    _cleanup_catalog_ struct catalog *catalog = NULL;
    struct catalog_placement placement = {0};
    const char *slug = cli_text(cli, "SLUG"), *service = cli_text(cli, "SERVICE");
    int result = context_open_catalog(cli, &context, &catalog, err);
    if (result == 0)
        result = catalog_placement_find(catalog, &cli->arena, slug, service, &placement, err);
    if (result < 0)
        return result;
    const char *place = placement_describe(&cli->arena, &placement);
    const char *what =
        arena_printf(&cli->arena, "This drops all data of tenant \"%s\" for service \"%s\": %s.",
                     slug, service, place);
    result = prompt_confirm(cli, what, slug, err);
    if (result == 0)
        result = provision_detach(&context.job, slug, service, err);
    if (result == 0)
        output_done(
            cli, json_pack("{s:s, s:s, s:s}", "tenant", slug, "service", service, "dropped", place),
            "Tenant \"%s\" is detached from service \"%s\": its data (%s) is dropped.", slug,
            service, place);
    return result;
}

/* ---- the table ---- */

static const char *const create_examples[] = {"reeve tenant create acme --name \"Acme Ltd\"", NULL};
static const char *const tag_examples[] = {"reeve tenant tag acme regulated plan=enterprise", NULL};
static const char *const attach_examples[] = {
    "reeve tenant attach acme orders", "reeve tenant attach acme orders --isolation database",
    NULL};

static const struct cli_command commands[] = {
    {.verb = "create",
     .summary = "Create a tenant",
     .description = "A tenant is an identity, nothing more: attach it to services, and give it a "
                    "token or a password.",
     .arguments = slug_argument,
     .options = create_options,
     .fields = fields,
     .examples = create_examples,
     .run = run_create},
    {.verb = "list",
     .summary = "List tenants",
     .options = list_options,
     .fields = fields,
     .list = true,
     .run = run_list},
    {.verb = "show",
     .summary = "Show a tenant",
     .arguments = slug_argument,
     .fields = show_fields,
     .run = run_show},
    {.verb = "tag",
     .summary = "Say of a tenant what others pick it by",
     .description = "Tags change nothing of how the tenant is served. \"reeve advise\" looks at "
                    "them (regulated), and \"reeve tenant list --tag\" lists by them.",
     .arguments = tag_arguments,
     .fields = fields,
     .examples = tag_examples,
     .run = run_tag},
    {.verb = "untag",
     .summary = "Take tags away from a tenant",
     .arguments = untag_arguments,
     .fields = fields,
     .run = run_untag},
    {.verb = "suspend",
     .summary = "End a tenant's connections and refuse new ones",
     .description = "Its data stays. On every proxy its connections end within a second.",
     .arguments = slug_argument,
     .fields = fields,
     .run = run_suspend},
    {.verb = "resume",
     .summary = "Let a suspended tenant connect again",
     .arguments = slug_argument,
     .fields = fields,
     .run = run_resume},
    {.verb = "delete",
     .summary = "Delete a tenant with all its data",
     .description = "Its credentials end at once; then its data for every service is dropped, and "
                    "nothing of any other tenant. Cannot be undone; asks for confirmation.",
     .arguments = slug_argument,
     .options = yes_options,
     .fields = fields,
     .run = run_delete},
    {.verb = "attach",
     .summary = "Give a tenant a place of its own in a service",
     .description = "Makes the place, applies the service's migrations and opens it. When it "
                    "fails, nothing is left; when it is cut off, do it again, or \"reeve serve\" "
                    "goes on with it.",
     .arguments = place_arguments,
     .options = attach_options,
     .fields = placement_fields,
     .examples = attach_examples,
     .run = run_attach},
    {.verb = "detach",
     .summary = "Drop a tenant's data for a service",
     .description = "Cannot be undone; asks for confirmation.",
     .arguments = place_arguments,
     .options = yes_options,
     .fields = detach_fields,
     .run = run_detach},
    {0},
};

const struct cli_noun cli_noun_tenant = {
    .name = "tenant", .summary = "The customers who are looked after", .commands = commands};
