#include "isolation/isolation.h"

#include "base/buffer.h"
#include "base/str.h"
#include "isolation/server.h"
#include "pg/quote.h"
#include "sql/statements.h"

static const struct isolation *const modes[] = {
    &isolation_row,
    &isolation_schema,
    &isolation_database,
};

/* ---- modes ---- */

const struct isolation *isolation_find(const char *name)
{
    for (size_t i = 0; i < array_size(modes); i++)
        if (strcmp(modes[i]->name, name) == 0)
            return modes[i];
    return NULL;
}

const struct isolation *isolation_at(size_t index)
{
    return index < array_size(modes) ? modes[index] : NULL;
}

const char *isolation_name(const struct isolation *isolation)
{
    return isolation->name;
}

bool isolation_shares_tables(const struct isolation *isolation)
{
    return isolation->shares_tables;
}

bool isolation_shares_database(const struct isolation *isolation)
{
    return isolation->uses_shared_database;
}

const char *isolation_summary(const struct isolation *isolation)
{
    return isolation->summary;
}

int isolation_parse(const char *name, const struct isolation **ret, struct error *err)
{
    const struct isolation *found = isolation_find(name);
    if (found) {
        *ret = found;
        return 0;
    }
    _cleanup_buffer_ struct buffer names = BUFFER_INIT(256);
    for (size_t i = 0; i < array_size(modes); i++)
        buffer_printf(&names, "%s%s", i ? ", " : "", modes[i]->name);
    int r = error_set(err, ERROR_USAGE, "there is no isolation \"%.64s\"", name);
    error_hint(err, "Use one of: %s.", buffer_string(&names));
    return r;
}

/* ---- names ---- */

enum { LONGEST_SERVICE_IN_NAMES = 50 };

/*
 * What stands for the service in the names of roles and databases: its name where that needs no
 * quotes and leaves room for prefix and suffix, else a stem and its id. No service name holds a
 * '$', so the two forms never meet.
 */
static const char *service_stem(struct arena *arena, int64_t id, const char *name)
{
    if (strlen(name) <= LONGEST_SERVICE_IN_NAMES && !strchr(name, '-'))
        return name;
    char *stem = arena_strndup(arena, name, 32);
    for (char *c = stem; *c; c++)
        if (*c == '-')
            *c = '_';
    return arena_printf(arena, "%s$%lld", stem, (long long)id);
}

static unsigned int mode_bit(const struct isolation *isolation)
{
    for (unsigned int i = 0; i < array_size(modes); i++)
        if (modes[i] == isolation)
            return 1U << i;
    return 0;
}

static bool allows(const struct isolation_service *service, const struct isolation *isolation)
{
    return service->allowed & mode_bit(isolation);
}

/* Roles of the whole server, like databases: those of a database that was given a name are called
 * after it. No service has a '$' in front of a letter in its stem, so nobody else's are called so.
 */
static void name_groups(struct arena *arena, struct isolation_service *service)
{
    const char *stem = service_stem(arena, service->id, service->name);
    const char *chosen = service->shared_database;
    if (chosen && strcmp(chosen, isolation_default_database(arena, service)) != 0) {
        service->use_role = arena_printf(arena, "use_$%s", chosen);
        service->run_role = arena_printf(arena, "run_$%s", chosen);
        service->run_ro_role = arena_printf(arena, "run_ro_$%s", chosen);
        return;
    }
    service->use_role = arena_printf(arena, "use_%s", stem);
    service->run_role = arena_printf(arena, "run_%s", stem);
    service->run_ro_role = arena_printf(arena, "run_%s_ro", stem);
}

static bool uses_shared_database(const struct isolation_service *service)
{
    for (size_t i = 0; i < array_size(modes); i++)
        if (modes[i]->uses_shared_database && allows(service, modes[i]))
            return true;
    return false;
}

const char *isolation_default_database(struct arena *arena, const struct isolation_service *service)
{
    if (!uses_shared_database(service))
        return NULL;
    return arena_printf(arena, "svc_%s", service_stem(arena, service->id, service->name));
}

void isolation_service_choose(struct arena *arena, struct isolation_service *service,
                              const char *database)
{
    if (!uses_shared_database(service))
        return;
    service->shared_database = database && *database ? arena_strdup(arena, database)
                                                     : isolation_default_database(arena, service);
    service->shared_is_new = false;
    name_groups(arena, service);
}

struct isolation_service isolation_service_of(struct arena *arena,
                                              const struct isolation_service *service,
                                              const struct isolation_placement *placement)
{
    struct isolation_service of = *service;
    if (placement->isolation->uses_shared_database)
        isolation_service_choose(arena, &of, placement->database);
    return of;
}

/* Names of roles that are made of it are six letters longer. */
enum { LONGEST_SHARED_DATABASE = 50 };

int isolation_check_database_name(const char *name, struct error *err)
{
    /* What Reeve and PostgreSQL call databases, and words of pg_hba.conf. */
    static const char *const prefixes[] = {"svc_", "tpl_", "d_", "reeve", "pg_", "template"};
    static const char *const words[] = {"postgres", "all",       "sameuser",
                                        "samerole", "samegroup", "replication"};
    size_t length = strlen(name);
    if (length == 0 || length > LONGEST_SHARED_DATABASE ||
        strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_") != length || name[0] < 'a') {
        error_set(err, ERROR_INVALID, "\"%.80s\" is no name for a shared database", name);
        error_hint(err,
                   "it begins with a letter, and has lowercase letters, digits and _, %d at most",
                   LONGEST_SHARED_DATABASE);
        return -ERROR_INVALID;
    }
    bool reserved = false;
    for (size_t i = 0; i < array_size(prefixes); i++)
        reserved |= strncmp(name, prefixes[i], strlen(prefixes[i])) == 0;
    for (size_t i = 0; i < array_size(words); i++)
        reserved |= strcmp(name, words[i]) == 0;
    if (!reserved)
        return 0;
    error_set(err, ERROR_INVALID, "a shared database cannot be named \"%s\"", name);
    error_hint(err, "names that begin with svc_, tpl_, d_, reeve, pg_ or template are taken");
    return -ERROR_INVALID;
}

void isolation_service_init(struct arena *arena, int64_t service_id, const char *service_name,
                            const struct isolation *const *allowed, size_t allowed_count,
                            struct isolation_service *ret)
{
    const char *stem = service_stem(arena, service_id, service_name);
    struct isolation_service service = {
        .id = service_id,
        .name = arena_strdup(arena, service_name),
        .owner_role = arena_printf(arena, "own_%s", stem),
    };
    for (size_t i = 0; i < allowed_count; i++) {
        service.allowed |= mode_bit(allowed[i]);
        service.shaped |= allowed[i]->needs_shape;
        if (allowed[i]->uses_template_database && !service.template_database)
            service.template_database = arena_printf(arena, "tpl_%s", stem);
    }
    name_groups(arena, &service);
    isolation_service_choose(arena, &service, NULL);
    if (service.shared_database) {
        const char **all =
            arena_zalloc(arena, sizeof(*all)); /* NOLINT(bugprone-sizeof-expression) */
        all[0] = service.shared_database;
        service.shared_databases = all;
        service.shared_count = 1;
    }
    *ret = service;
}

void isolation_placement_init(struct arena *arena, const struct isolation_service *service,
                              const struct isolation *isolation, int64_t placement_id,
                              int64_t tenant_id, struct isolation_placement *ret)
{
    struct isolation_placement placement = {
        .id = placement_id,
        .tenant_id = tenant_id,
        .isolation = isolation,
    };
    isolation_placement_set_generation(arena, service, &placement, 1);
    *ret = placement;
}

const char *isolation_own_name(struct arena *arena, const char *prefix,
                               const struct isolation_placement *placement)
{
    long long id = placement->id, generation = placement->generation;
    return generation == 1 ? arena_printf(arena, "%s_%06lld", prefix, id)
                           : arena_printf(arena, "%s_%06lld_%lld", prefix, id, generation);
}

void isolation_placement_set_generation(struct arena *arena,
                                        const struct isolation_service *service,
                                        struct isolation_placement *placement, int64_t generation)
{
    placement->generation = generation;
    placement->role = isolation_own_name(arena, "t", placement);
    placement->ro_role = arena_printf(arena, "%s_ro", placement->role);
    placement->isolation->place(arena, service, placement);
}

bool isolation_placement_guard(const struct isolation_service *service,
                               struct isolation_placement *placement)
{
    if (!service->guard || !placement->isolation->uses_shared_database)
        return false;
    bool shares = placement->isolation->shares_tables;
    placement->guarded = true;
    placement->enter_role = shares ? service->run_role : placement->role;
    placement->enter_ro_role = shares ? service->run_ro_role : placement->ro_role;
    return true;
}

const char *isolation_describe(struct arena *arena, const struct isolation_placement *placement,
                               const char *cluster_name)
{
    return arena_printf(arena, "%s on cluster %s", placement->isolation->describe(arena, placement),
                        cluster_name);
}

/* ---- reports ---- */

void isolation_report_init(struct isolation_report *report, struct arena *arena)
{
    *report = (struct isolation_report){.arena = arena};
}

void isolation_report_add(struct isolation_report *report, const char *format, ...)
{
    if (!report)
        return;
    _cleanup_buffer_ struct buffer line = BUFFER_INIT(4096);
    va_list arguments;
    va_start(arguments, format);
    buffer_vprintf(&line, format, arguments);
    va_end(arguments);
    if (report->count == report->capacity) {
        size_t larger = report->capacity ? 2 * report->capacity : 16;
        const char **lines = arena_zalloc(report->arena, larger * sizeof(*lines));
        if (report->count > 0)
            memcpy(lines, report->lines, report->count * sizeof(*lines));
        report->lines = lines;
        report->capacity = larger;
    }
    report->lines[report->count++] = arena_strdup(report->arena, buffer_string(&line));
}

/* ---- targets ---- */

bool isolation_base_target(struct arena *arena, const struct isolation_service *service,
                           const struct isolation *isolation, struct isolation_target *ret)
{
    if (!isolation->base_target)
        return false;
    isolation->base_target(arena, service, ret);
    return true;
}

void isolation_target(struct arena *arena, const struct isolation_service *service,
                      const struct isolation_placement *placement, struct isolation_target *ret)
{
    const struct isolation_service of = isolation_service_of(arena, service, placement);
    placement->isolation->target(arena, &of, placement, ret);
}

size_t isolation_base_targets(struct arena *arena, const struct isolation_service *service,
                              const struct isolation_target **ret)
{
    struct isolation_target *targets =
        arena_zalloc(arena, (array_size(modes) * (service->shared_count + 1)) * sizeof(*targets));
    size_t count = 0;
    for (size_t i = 0; i < array_size(modes); i++) {
        if (!allows(service, modes[i]))
            continue;
        size_t databases = modes[i]->uses_shared_database ? service->shared_count : 1;
        for (size_t at = 0; at < databases; at++) {
            struct isolation_service of = *service;
            if (modes[i]->uses_shared_database)
                isolation_service_choose(arena, &of, service->shared_databases[at]);
            count += isolation_base_target(arena, &of, modes[i], &targets[count]);
        }
    }
    *ret = targets;
    return count;
}
