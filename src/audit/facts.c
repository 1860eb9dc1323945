/*
 * facts.c - what there must be on a cluster, from what the catalog has there.
 *
 * It follows from where a placement is and to whom its target's privileges go, not from its
 * isolation: a role that has none of its own gets them from the group that has; one whose place is
 * in a database that others share gets CONNECT from the service's group, else its own.
 */
#include "audit/audit.h"

#define POOL_ROLE "reeve_pool" /* the proxy's, under guard enforcement: it may be missing */

static void add(struct arena *arena, struct audit_names *names, const char *name)
{
    if (names->count == names->capacity) {
        size_t larger = names->capacity ? 2 * names->capacity : 16;
        const char **items = arena_zalloc(arena, larger * sizeof(*items));
        if (names->count > 0)
            memcpy(items, names->items, names->count * sizeof(*items));
        names->items = items;
        names->capacity = larger;
    }
    names->items[names->count++] = name;
}

static void add_pair(struct arena *arena, struct audit_names *first, struct audit_names *second,
                     const char *a, const char *b)
{
    add(arena, first, a);
    add(arena, second, b);
}

void audit_facts_init(struct audit_facts *facts, struct arena *arena, bool everything)
{
    *facts = (struct audit_facts){.arena = arena, .everything = everything};
    add(arena, &facts->session_roles, POOL_ROLE);
}

void audit_facts_free(struct audit_facts *facts)
{
    hash_table_free(&facts->by_name);
}

static struct audit_database *find_database(struct audit_facts *facts, const char *name)
{
    struct hash_node *node = hash_table_find(&facts->by_name, hash_string(name));
    for (; node; node = hash_table_find_next(node)) {
        struct audit_database *database = container_of(node, struct audit_database, node);
        if (strcmp(database->name, name) == 0)
            return database;
    }
    return NULL;
}

static struct audit_database *add_database(struct audit_facts *facts, const char *name)
{
    struct audit_database *database = arena_zalloc(facts->arena, sizeof(*database));
    database->name = name;
    database->next = facts->databases;
    facts->databases = database;
    hash_table_insert(&facts->by_name, &database->node, hash_string(name));
    add(facts->arena, &facts->database_names, name);
    return database;
}

static void expect_database(struct audit_facts *facts, struct audit_database *database)
{
    if (database->expected)
        return;
    database->expected = true;
    add(facts->arena, &facts->expected_databases, database->name);
}

static void add_target(struct arena *arena, struct audit_database *database,
                       const struct isolation_target *target)
{
    if (database->target_count == database->target_capacity) {
        size_t larger = database->target_capacity ? 2 * database->target_capacity : 4;
        struct isolation_target *targets = arena_zalloc(arena, larger * sizeof(*targets));
        if (database->target_count > 0)
            memcpy(targets, database->targets, database->target_count * sizeof(*targets));
        database->targets = targets;
        database->target_capacity = larger;
    }
    database->targets[database->target_count++] = *target;
}

void audit_facts_stream(struct audit_facts *facts, const char *name)
{
    add(facts->arena, &facts->streams, name);
}

/* ---- services ---- */

static void owner_role(struct audit_facts *facts, const struct isolation_service *service,
                       bool prepared)
{
    add(facts->arena, &facts->owner_roles, service->owner_role);
    add(facts->arena, &facts->known_roles, service->owner_role);
    if (prepared)
        add(facts->arena, &facts->expected_roles, service->owner_role);
}

static void group_roles(struct audit_facts *facts, const struct isolation_service *service,
                        bool prepared)
{
    struct arena *arena = facts->arena;
    const char *const groups[] = {service->use_role, service->run_role, service->run_ro_role};
    for (size_t i = 0; i < array_size(groups); i++) {
        add(arena, &facts->group_roles, groups[i]);
        add(arena, &facts->session_roles, groups[i]);
        add(arena, &facts->known_roles, groups[i]);
        if (prepared)
            add(arena, &facts->expected_roles, groups[i]);
    }
    for (size_t i = 1; i < array_size(groups); i++)
        add_pair(arena, &facts->members, &facts->member_of, groups[i], service->use_role);
}

static void service_database(struct audit_facts *facts, const char *name, bool prepared)
{
    struct audit_database *database = name ? add_database(facts, name) : NULL;
    if (database && prepared)
        expect_database(facts, database);
}

/* One shared database, and who may connect to it. */
static void shared_database(struct audit_facts *facts, const struct isolation_service *service,
                            bool prepared)
{
    group_roles(facts, service, prepared);
    service_database(facts, service->shared_database, prepared);
    add_pair(facts->arena, &facts->connect_roles, &facts->connect_databases, service->use_role,
             service->shared_database);
    add_pair(facts->arena, &facts->connect_roles, &facts->connect_databases, POOL_ROLE,
             service->shared_database);
}

void audit_facts_service(struct audit_facts *facts, const struct isolation_service *service,
                         const struct audit_service_facts *about)
{
    owner_role(facts, service, about->prepared);
    for (size_t i = 0; i < service->shared_count; i++) {
        struct isolation_service of = *service;
        isolation_service_choose(facts->arena, &of, service->shared_databases[i]);
        shared_database(facts, &of, about->prepared);
    }
    if (service->shared_count == 0) /* those of a default one that was never made are not there */
        group_roles(facts, service, about->prepared && !service->shared_database);
    service_database(facts, service->template_database, about->prepared);
    const struct isolation_target *targets;
    size_t count = isolation_base_targets(facts->arena, service, &targets);
    for (size_t i = 0; i < count; i++) {
        struct audit_database *database = find_database(facts, targets[i].database);
        add(facts->arena, &database->schemas, targets[i].schema);
        database->audited |= about->prepared && about->audited;
        if (about->prepared && about->audited)
            add_target(facts->arena, database, &targets[i]);
    }
}

/* ---- placements ---- */

static void placement_roles(struct audit_facts *facts, const struct isolation_service *service,
                            const struct isolation_placement *placement,
                            const struct isolation_target *target,
                            const struct audit_placement_facts *about)
{
    struct arena *arena = facts->arena;
    const struct {
        const char *role, *granted;
    } roles[] = {{placement->role, target->grant_role},
                 {placement->ro_role, target->grant_ro_role}};
    bool shared = isolation_shares_database(placement->isolation);
    /* Under the guard, rows need no role of the tenant's own: who it is stands in the session. */
    if (placement->guarded && target->tenant_id == 0)
        return;
    for (size_t i = 0; i < array_size(roles); i++) {
        add(arena, &facts->session_roles, roles[i].role);
        add(arena, &facts->known_roles, roles[i].role);
        if (about->placed)
            add(arena, &facts->expected_roles, roles[i].role);
        if (about->suspended)
            add(arena, &facts->suspended_roles, roles[i].role);
        if (placement->guarded) { /* it is entered, and needs no membership to connect */
            if (about->placed)
                add(arena, &facts->entered_roles, roles[i].role);
            continue;
        }
        if (strcmp(roles[i].role, roles[i].granted) != 0)
            add_pair(arena, &facts->members, &facts->member_of, roles[i].role, roles[i].granted);
        else if (shared)
            add_pair(arena, &facts->members, &facts->member_of, roles[i].role, service->use_role);
        else
            add_pair(arena, &facts->connect_roles, &facts->connect_databases, roles[i].role,
                     placement->database);
    }
}

static void placement_mapping(struct arena *arena, struct audit_database *database,
                              const struct isolation_placement *placement, bool placed,
                              bool shared_tables)
{
    const char *tenant = arena_printf(arena, "%lld", (long long)placement->tenant_id);
    const char *const roles[] = {placement->role, placement->ro_role};
    for (size_t i = 0; i < array_size(roles); i++) {
        add(arena, &database->roles, roles[i]);
        if (placed && !placement->guarded)
            add_pair(arena, &database->mapped_roles, &database->mapped_tenants, roles[i], tenant);
    }
    if (shared_tables)
        add(arena, &database->row_tenants, tenant);
}

void audit_facts_placement(struct audit_facts *facts, const struct isolation_service *service,
                           const struct isolation_placement *placement,
                           const struct audit_placement_facts *about)
{
    struct isolation_target target;
    isolation_target(facts->arena, service, placement, &target);
    const struct isolation_service of = isolation_service_of(facts->arena, service, placement);
    struct audit_database *database = find_database(facts, target.database);
    if (!database && isolation_shares_database(placement->isolation)) {
        shared_database(facts, &of, false); /* its first placement is being made */
        database = find_database(facts, target.database);
    } else if (!database) {
        database = add_database(facts, target.database);
    }
    if (about->placed)
        expect_database(facts, database);
    if (about->placed && placement->guarded && database->pool_roles.count == 0)
        add(facts->arena, &database->pool_roles, POOL_ROLE);
    placement_roles(facts, &of, placement, &target, about);
    bool shared_tables = target.tenant_id == 0; /* then they are a target of the service's */
    placement_mapping(facts->arena, database, placement, about->placed, shared_tables);
    database->audited |= about->placed && about->audited;
    if (shared_tables)
        return;
    add(facts->arena, &database->schemas, target.schema);
    add(facts->arena, &database->known_schemas, target.schema);
    if (about->placed)
        add(facts->arena, &database->missing_schemas, target.schema);
    if (about->placed && about->audited)
        add_target(facts->arena, database, &target);
}
