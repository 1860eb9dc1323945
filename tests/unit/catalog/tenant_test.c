/* Tenants, placements, passwords and tokens. */
#include "catalog/fixture.h"

#include "base/time.h"
#include "catalog/credential.h"
#include "catalog/placement.h"
#include "catalog/service.h"
#include "catalog/tag.h"

#define VERIFIER "SCRAM-SHA-256$4096:c2FsdA==$c3RvcmVk:c2VydmVy"

static void set_status(int64_t id, enum catalog_tenant_status status)
{
    works(catalog_tenant_set_status(catalog, id, status, &err));
}

/* ---- tenants ---- */

static void test_tenants(void **state)
{
    (void)state;
    struct catalog_tenant found;
    int64_t id = 0;
    works(catalog_tenant_create(catalog, "acme", "Acme \"Ltd\" \xe2\x98\x82", &id, &err));
    refuses(ERROR_EXISTS, "there is a tenant \"acme\" already",
            catalog_tenant_create(catalog, "acme", NULL, NULL, &err));
    works(catalog_tenant_find(catalog, &arena, "acme", &found, &err));
    assert_int_equal(found.id, id);
    assert_string_equal(found.slug, "acme");
    assert_string_equal(found.name, "Acme \"Ltd\" \xe2\x98\x82");
    assert_int_equal(found.status, CATALOG_TENANT_ACTIVE);
    assert_true(found.created_unix_us > time_unix_us() - 600 * (int64_t)TIME_S);
    assert_true(found.created_unix_us < time_unix_us() + 600 * (int64_t)TIME_S);
    assert_int_equal(found.deleted_unix_us, 0);
    works(catalog_tenant_get(catalog, &arena, make_tenant("beta"), &found, &err));
    assert_string_equal(found.name, "beta");
    refuses(ERROR_NOT_FOUND, "there is no tenant \"nobody\"",
            catalog_tenant_find(catalog, &arena, "nobody", &found, &err));
    refuses(ERROR_NOT_FOUND, "tenant 999", catalog_tenant_get(catalog, &arena, 999, &found, &err));
    assert_int_equal(catalog_tenant_get(catalog, &arena, 999, &found, NULL), -ERROR_NOT_FOUND);
    refuses(ERROR_INVALID, "slug", catalog_tenant_create(catalog, "Acme", NULL, NULL, &err));
    refuses(ERROR_INVALID, "slug", catalog_tenant_create(catalog, "", NULL, NULL, &err));
    refuses(ERROR_INVALID, "name", catalog_tenant_create(catalog, "x", "a\nb", NULL, &err));
    refuses(ERROR_INVALID, "name", catalog_tenant_create(catalog, "x", "", NULL, &err));
    /* what no check of ours stands before */
    refuses(ERROR_INVALID, "", catalog_tenant_find(catalog, &arena, "\xff", &found, &err));
    refuses(ERROR_NOT_FOUND, "DROP",
            catalog_tenant_find(catalog, &arena, "x'; DROP TABLE reeve.tenant --", &found, &err));
    works(catalog_tenant_find(catalog, &arena, "acme", &found, &err));
}

static void test_statuses(void **state)
{
    (void)state;
    enum { A = CATALOG_TENANT_ACTIVE, S, DELETING, DELETED };
    static const struct {
        int from[2]; /* the way to where it begins; -1: it is active */
        int to;
        bool allowed;
    } cases[] = {
        {{-1, -1}, S, true},
        {{S, -1}, A, true},
        {{-1, -1}, DELETING, true},
        {{S, -1}, DELETING, true},
        {{DELETING, -1}, DELETED, true},
        {{-1, -1}, DELETED, false},
        {{S, -1}, DELETED, false},
        {{DELETING, -1}, A, false},
        {{DELETING, -1}, S, false},
        {{DELETING, DELETED}, A, false},
        {{DELETING, DELETED}, S, false},
        {{DELETING, DELETED}, DELETING, false},
    };
    for (size_t i = 0; i < array_size(cases); i++) {
        int64_t id = make_tenant(arena_printf(&arena, "tenant-%zu", i));
        struct catalog_tenant found;
        for (size_t k = 0; k < 2 && cases[i].from[k] >= 0; k++)
            set_status(id, (enum catalog_tenant_status)cases[i].from[k]);
        works(catalog_tenant_get(catalog, &arena, id, &found, &err));
        set_status(id, found.status); /* where it is: no error */
        enum catalog_tenant_status to = (enum catalog_tenant_status)cases[i].to;
        if (cases[i].allowed)
            set_status(id, to);
        else
            refuses(ERROR_STATE, "it cannot become",
                    catalog_tenant_set_status(catalog, id, to, &err));
        enum catalog_tenant_status now = cases[i].allowed ? to : found.status;
        works(catalog_tenant_get(catalog, &arena, id, &found, &err));
        assert_int_equal(found.status, now);
        assert_int_equal(found.deleted_unix_us != 0, now == CATALOG_TENANT_DELETED);
    }
    refuses(ERROR_NOT_FOUND, "tenant 999",
            catalog_tenant_set_status(catalog, 999, CATALOG_TENANT_ACTIVE, &err));
    enum catalog_tenant_status status;
    works(catalog_tenant_status_parse("suspended", &status, &err));
    assert_int_equal(status, CATALOG_TENANT_SUSPENDED);
    assert_string_equal(catalog_tenant_status_name(CATALOG_TENANT_DELETED), "deleted");
    refuses(ERROR_USAGE, "active, suspended, deleting",
            catalog_tenant_status_parse("gone", &status, &err));
}

static void test_tags(void **state)
{
    (void)state;
    static const char *const wrong[] = {"", "=", "=x", "x=", "Big", "a b", "x=\n", "x=\xff"};
    int64_t id = make_tenant("acme");
    struct catalog_tenant found;
    works(catalog_tenant_get(catalog, &arena, id, &found, &err));
    assert_int_equal(found.tag_count, 0);
    works(catalog_tag_set(catalog, id, "plan=basic", &err));
    works(catalog_tag_set(catalog, id, "regulated", &err));
    works(catalog_tag_set(catalog, id, "a=\"x\", {y}", &err));
    works(catalog_tag_set(catalog, id, "plan=b=c", &err));
    works(catalog_tenant_get(catalog, &arena, id, &found, &err));
    assert_int_equal(found.tag_count, 3);
    assert_string_equal(found.tags[0], "a=\"x\", {y}");
    assert_string_equal(found.tags[1], "plan=b=c");
    assert_string_equal(found.tags[2], "regulated");
    assert_true(catalog_tenant_has_tag(&found, "regulated"));
    assert_true(catalog_tenant_has_tag(&found, "plan"));
    assert_true(catalog_tenant_has_tag(&found, "plan=b=c"));
    assert_false(catalog_tenant_has_tag(&found, "plan=b"));
    assert_false(catalog_tenant_has_tag(&found, "plan="));
    assert_false(catalog_tenant_has_tag(&found, "pla"));
    assert_false(catalog_tenant_has_tag(&found, "regulated=x"));
    assert_false(catalog_tenant_has_tag(&found, "regulatedx"));
    for (size_t i = 0; i < array_size(wrong); i++) {
        refuses(ERROR_INVALID, "tag", catalog_tag_check(wrong[i], &err));
        refuses(ERROR_INVALID, "tag", catalog_tag_set(catalog, id, wrong[i], &err));
    }
    works(catalog_tag_unset(catalog, id, "plan", &err));
    refuses(ERROR_NOT_FOUND, "tag \"plan\"", catalog_tag_unset(catalog, id, "plan", &err));
    works(catalog_tenant_get(catalog, &arena, id, &found, &err));
    assert_int_equal(found.tag_count, 2);
    refuses(ERROR_NOT_FOUND, "no such tenant", catalog_tag_set(catalog, 999, "x", &err));
}

static void test_deletion(void **state)
{
    (void)state;
    int64_t cluster = make_cluster(1), service = make_service(1, cluster), id = make_tenant("acme");
    struct catalog_token token = {.tenant_id = id,
                                  .jti = "0123456789abcdef0123456789abcdef",
                                  .expires_unix_us = time_unix_us() + 3600 * (int64_t)TIME_S};
    struct catalog_tenant found;
    const char *verifier = NULL;
    struct catalog_token *tokens = NULL;
    size_t count = 0;
    works(catalog_password_set(catalog, id, VERIFIER, &err));
    works(catalog_token_add(catalog, &token, NULL, &err));
    int64_t placement = make_ready_placement(id, service, cluster);
    set_status(id, CATALOG_TENANT_DELETING);
    refuses(ERROR_STATE, "still has placements",
            catalog_tenant_set_status(catalog, id, CATALOG_TENANT_DELETED, &err));
    works(catalog_placement_set_state(catalog, placement, CATALOG_PLACEMENT_DELETING, &err));
    works(catalog_placement_delete(catalog, placement, &err));
    set_status(id, CATALOG_TENANT_DELETED);
    works(catalog_password_get(catalog, &arena, id, &verifier, &err));
    assert_null(verifier);
    works(catalog_token_list(catalog, &arena, id, true, &tokens, &count, &err));
    assert_int_equal(count, 1);
    assert_true(tokens[0].revoked_unix_us > 0);
    refuses(ERROR_NOT_FOUND, "acme", catalog_tenant_find(catalog, &arena, "acme", &found, &err));
    int64_t again = make_tenant("acme"); /* the slug is free */
    works(catalog_tenant_find(catalog, &arena, "acme", &found, &err));
    assert_int_equal(found.id, again);
}

static void check_list(const struct catalog_tenant_filter *filter, const char *expected)
{
    struct catalog_tenant *list = NULL;
    size_t count = 0;
    char text[256] = "";
    works(catalog_tenant_list(catalog, &arena, filter, &list, &count, &err));
    for (size_t i = 0, length = 0; i < count; i++)
        length += (size_t)snprintf(text + length, sizeof(text) - length, "%s%s", i ? " " : "",
                                   list[i].slug);
    assert_string_equal(text, expected);
}

static void test_tenant_lists(void **state)
{
    (void)state;
    check_list(NULL, "");
    set_status(make_tenant("delta"), CATALOG_TENANT_SUSPENDED);
    make_tenant("alpha");
    make_tenant("b_eta");
    make_tenant("b-eta");
    int64_t gone = make_tenant("gone");
    set_status(gone, CATALOG_TENANT_DELETING);
    check_list(NULL, "alpha b-eta b_eta delta gone");
    set_status(gone, CATALOG_TENANT_DELETED);
    check_list(NULL, "alpha b-eta b_eta delta");
    check_list(&(struct catalog_tenant_filter){.status = -1, .with_deleted = true},
               "alpha b-eta b_eta delta gone");
    check_list(&(struct catalog_tenant_filter){.status = CATALOG_TENANT_DELETED}, "gone");
    check_list(&(struct catalog_tenant_filter){.status = CATALOG_TENANT_SUSPENDED}, "delta");
    check_list(&(struct catalog_tenant_filter){.status = -1, .limit = 2}, "alpha b-eta");
    check_list(&(struct catalog_tenant_filter){.status = -1, .limit = 2, .after_slug = "b-eta"},
               "b_eta delta");
    check_list(&(struct catalog_tenant_filter){.status = -1, .after_slug = "zzz"}, "");
}

/* ---- placements ---- */

static struct catalog_place a_place(int64_t cluster_id, const char *role)
{
    static const uint8_t sealed[] = {1, 2, 3, 4};
    return (struct catalog_place){
        .cluster_id = cluster_id,
        .isolation = "row",
        .database = "Shared Db",
        .schema = "app",
        .role = role,
        .ro_role = arena_printf(&arena, "%s_ro", role),
        .role_password = {sealed, 4},
        .ro_password = {sealed, 3},
    };
}

static void test_placements(void **state)
{
    (void)state;
    int64_t cluster = make_cluster(1), service = make_service(1, cluster), id = 0;
    int64_t tenant = make_tenant("acme");
    struct catalog_placement found;
    refuses(ERROR_NOT_FOUND, "there is no placement of tenant \"acme\" for service \"service-1\"",
            catalog_placement_find(catalog, &arena, "acme", "service-1", &found, &err));
    refuses(ERROR_NOT_FOUND, "there is no service \"nothing\"",
            catalog_placement_find(catalog, &arena, "acme", "nothing", &found, &err));
    refuses(ERROR_NOT_FOUND, "there is no tenant \"nobody\"",
            catalog_placement_find(catalog, &arena, "nobody", "nothing", &found, &err));
    works(catalog_placement_create(catalog, tenant, service, cluster, "schema", &id, &err));
    refuses(ERROR_EXISTS, "the tenant has one",
            catalog_placement_create(catalog, tenant, service, cluster, "row", NULL, &err));
    works(catalog_placement_find(catalog, &arena, "acme", "service-1", &found, &err));
    assert_int_equal(found.id, id);
    assert_string_equal(found.isolation, "schema");
    assert_string_equal(found.database, "");
    assert_string_equal(found.role, "");
    assert_int_equal(found.role_password.length, 0);
    assert_int_equal(found.epoch, 1);
    assert_int_equal(found.state, CATALOG_PLACEMENT_PROVISIONING);

    struct catalog_place place = a_place(cluster, "t_1");
    works(catalog_placement_set_place(catalog, id, &place, &err));
    works(catalog_placement_set_version(catalog, id, "0007", &err));
    works(catalog_placement_get(catalog, &arena, id, &found, &err));
    assert_string_equal(found.tenant, "acme");
    assert_string_equal(found.service, "service-1");
    assert_string_equal(found.cluster, "cluster-1");
    assert_int_equal(found.tenant_id, tenant);
    assert_int_equal(found.service_id, service);
    assert_int_equal(found.cluster_id, cluster);
    assert_string_equal(found.isolation, "row");
    assert_string_equal(found.database, "Shared Db");
    assert_string_equal(found.schema, "app");
    assert_string_equal(found.role, "t_1");
    assert_string_equal(found.ro_role, "t_1_ro");
    assert_int_equal(found.role_password.length, 4);
    assert_memory_equal(found.role_password.bytes, place.role_password.bytes, 4);
    assert_int_equal(found.ro_password.length, 3);
    assert_string_equal(found.schema_version, "0007");
    assert_int_equal(found.epoch, 1); /* nobody has used it yet */
    assert_true(found.created_unix_us > 0);
    refuses(ERROR_NOT_FOUND, "placement 999",
            catalog_placement_get(catalog, &arena, 999, &found, &err));
    refuses(ERROR_NOT_FOUND, "placement 999",
            catalog_placement_set_version(catalog, 999, "1", &err));
    refuses(ERROR_NOT_FOUND, "placement 999",
            catalog_placement_set_place(catalog, 999, &place, &err));
    refuses(ERROR_NOT_FOUND, "placement 999", catalog_placement_delete(catalog, 999, &err));
}

static void test_placements_that_are_refused(void **state)
{
    (void)state;
    int64_t cluster = make_cluster(1), service = make_service(1, cluster), id = 0;
    int64_t tenant = make_tenant("acme"), other = make_tenant("other"), second = 0;
    refuses(ERROR_INVALID, "does not allow isolation \"database\"",
            catalog_placement_create(catalog, tenant, service, cluster, "database", NULL, &err));
    assert_non_null(strstr(err.hint, "row, schema"));
    refuses(ERROR_NOT_FOUND, "no such tenant",
            catalog_placement_create(catalog, 999, service, cluster, "row", NULL, &err));
    refuses(ERROR_NOT_FOUND, "no such service",
            catalog_placement_create(catalog, tenant, 999, cluster, "row", NULL, &err));
    refuses(ERROR_NOT_FOUND, "no such cluster",
            catalog_placement_create(catalog, tenant, service, 999, "row", NULL, &err));
    set_status(tenant, CATALOG_TENANT_SUSPENDED);
    refuses(ERROR_STATE, "only an active tenant",
            catalog_placement_create(catalog, tenant, service, cluster, "row", NULL, &err));
    set_status(tenant, CATALOG_TENANT_ACTIVE);
    works(catalog_placement_create(catalog, tenant, service, cluster, "row", &id, &err));
    works(catalog_placement_create(catalog, other, service, cluster, "row", &second, &err));

    static uint8_t bytes[129];
    struct catalog_place place = a_place(cluster, "t_1");
    works(catalog_placement_set_place(catalog, id, &place, &err));
    refuses(ERROR_EXISTS, "role", catalog_placement_set_place(catalog, second, &place, &err));
    assert_string_equal(err.detail, "");
    place.role = "t_2";
    refuses(ERROR_EXISTS, "read-only role",
            catalog_placement_set_place(catalog, second, &place, &err));
    place.ro_role = NULL;
    refuses(ERROR_INVALID, "go together",
            catalog_placement_set_place(catalog, second, &place, &err));
    assert_string_equal(err.detail, "");
    place.ro_password.length = 0;
    place.role_password = (struct catalog_sealed){bytes, sizeof(bytes)};
    refuses(ERROR_INVALID, "too long", catalog_placement_set_place(catalog, second, &place, &err));
    place.role_password.length = 128;
    works(catalog_placement_set_place(catalog, second, &place, &err));
    place.isolation = "database";
    refuses(ERROR_INVALID, "does not allow",
            catalog_placement_set_place(catalog, second, &place, &err));
}

static void test_placement_states(void **state)
{
    (void)state;
    enum { P = CATALOG_PLACEMENT_PROVISIONING, READY, MIGRATING, DELETING, FAILED, STATES };
    static const bool allowed[STATES][STATES] = {
        [P] = {[P] = true, [READY] = true, [DELETING] = true, [FAILED] = true},
        [READY] = {[READY] = true, [MIGRATING] = true, [DELETING] = true, [FAILED] = true},
        [MIGRATING] = {[READY] = true, [MIGRATING] = true, [DELETING] = true, [FAILED] = true},
        [DELETING] = {[DELETING] = true, [FAILED] = true},
        [FAILED] = {[P] = true, [DELETING] = true, [FAILED] = true},
    };
    static const int way[STATES][3] = {[P] = {-1},
                                       [READY] = {READY, -1},
                                       [MIGRATING] = {READY, MIGRATING, -1},
                                       [DELETING] = {DELETING, -1},
                                       [FAILED] = {FAILED, -1}};
    int64_t cluster = make_cluster(1), service = make_service(1, cluster);
    for (int from = P; from < STATES; from++)
        for (int to = P; to < STATES; to++) {
            const char *name = arena_printf(&arena, "t_%d_%d", from, to);
            struct catalog_placement found;
            int64_t id = 0;
            works(catalog_placement_create(catalog, make_tenant(name), service, cluster, "row", &id,
                                           &err));
            struct catalog_place place = a_place(cluster, name);
            works(catalog_placement_set_place(catalog, id, &place, &err));
            for (const int *step = way[from]; *step >= 0; step++)
                works(catalog_placement_set_state(catalog, id,
                                                  (enum catalog_placement_state) * step, &err));
            enum catalog_placement_state wanted = (enum catalog_placement_state)to;
            if (allowed[from][to])
                works(catalog_placement_set_state(catalog, id, wanted, &err));
            else
                refuses(ERROR_STATE, "it cannot become",
                        catalog_placement_set_state(catalog, id, wanted, &err));
            works(catalog_placement_get(catalog, &arena, id, &found, &err));
            assert_int_equal(found.state, allowed[from][to] ? to : from);
            if (found.state == CATALOG_PLACEMENT_READY ||
                found.state == CATALOG_PLACEMENT_MIGRATING)
                refuses(ERROR_STATE, "cannot be removed",
                        catalog_placement_delete(catalog, id, &err));
            else
                works(catalog_placement_delete(catalog, id, &err));
        }
    refuses(ERROR_NOT_FOUND, "placement",
            catalog_placement_set_state(catalog, 999, CATALOG_PLACEMENT_READY, &err));
    assert_string_equal(catalog_placement_state_name(CATALOG_PLACEMENT_FAILED), "failed");
}

static void test_epochs(void **state)
{
    (void)state;
    int64_t cluster = make_cluster(1), other = make_cluster(2), service = make_service(1, cluster);
    int64_t id = 0;
    struct catalog_placement found;
    works(
        catalog_placement_create(catalog, make_tenant("acme"), service, cluster, "row", &id, &err));
    refuses(ERROR_STATE, "has no place yet",
            catalog_placement_set_state(catalog, id, CATALOG_PLACEMENT_READY, &err));
    assert_string_equal(err.detail, "");
    struct catalog_place place = a_place(cluster, "t_1");
    works(catalog_placement_set_place(catalog, id, &place, &err));
    works(catalog_placement_set_state(catalog, id, CATALOG_PLACEMENT_READY, &err));
    works(catalog_placement_set_place(catalog, id, &place, &err)); /* where it is */
    works(catalog_placement_get(catalog, &arena, id, &found, &err));
    assert_int_equal(found.epoch, 1);
    assert_int_equal(found.generation, 1);
    place.generation = 2;
    works(catalog_placement_set_place(catalog, id, &place, &err));
    place.generation = 0; /* the one that it has */
    works(catalog_placement_set_place(catalog, id, &place, &err));
    works(catalog_placement_get(catalog, &arena, id, &found, &err));
    assert_int_equal(found.generation, 2);
    place.cluster_id = other;
    works(catalog_placement_set_place(catalog, id, &place, &err));
    place.schema = "moved";
    works(catalog_placement_set_place(catalog, id, &place, &err));
    place.role_password.length = 2; /* no change of the place */
    works(catalog_placement_set_place(catalog, id, &place, &err));
    works(catalog_placement_get(catalog, &arena, id, &found, &err));
    assert_int_equal(found.epoch, 3);
    assert_int_equal(found.cluster_id, other);
}

static size_t count_placements(struct catalog_placement_filter filter, int64_t *ret_first)
{
    struct catalog_placement *list = NULL;
    size_t count = 0;
    works(catalog_placement_list(catalog, &arena, &filter, &list, &count, &err));
    *ret_first = count ? list[0].id : 0;
    return count;
}

static void test_placement_lists(void **state)
{
    (void)state;
    int64_t cluster = make_cluster(1), other = make_cluster(2), first = 0;
    int64_t service = make_service(1, cluster), second = make_service(2, cluster);
    int64_t acme = make_tenant("acme"), beta = make_tenant("beta"), ids[3];
    ids[0] = make_ready_placement(acme, service, cluster);
    ids[1] = make_ready_placement(acme, second, other);
    works(catalog_placement_create(catalog, beta, service, cluster, "row", &ids[2], &err));
    struct catalog_placement *list = NULL;
    size_t count = 0;
    works(catalog_placement_list(catalog, &arena, NULL, &list, &count, &err));
    assert_int_equal(count, 3);
    struct catalog_placement_filter filter = CATALOG_PLACEMENT_ANY;
    filter.tenant_id = acme;
    assert_int_equal(count_placements(filter, &first), 2);
    filter.service_id = second;
    assert_int_equal(count_placements(filter, &first), 1);
    assert_int_equal(first, ids[1]);
    filter = CATALOG_PLACEMENT_ANY;
    filter.cluster_id = other;
    assert_int_equal(count_placements(filter, &first), 1);
    filter = CATALOG_PLACEMENT_ANY;
    filter.state = CATALOG_PLACEMENT_PROVISIONING;
    assert_int_equal(count_placements(filter, &first), 1);
    assert_int_equal(first, ids[2]);
    filter = CATALOG_PLACEMENT_ANY;
    filter.limit = 1;
    assert_int_equal(count_placements(filter, &first), 1);
    filter.after_id = first;
    assert_int_equal(count_placements(filter, &first), 1);
    assert_int_equal(first, ids[1]);
    filter.after_id = ids[2];
    assert_int_equal(count_placements(filter, &first), 0);
}

/* ---- passwords and tokens ---- */

static void test_passwords(void **state)
{
    (void)state;
    int64_t id = make_tenant("acme");
    const char *verifier = "unset";
    works(catalog_password_get(catalog, &arena, id, &verifier, &err));
    assert_null(verifier);
    works(catalog_password_set(catalog, id, VERIFIER, &err));
    works(catalog_password_set(catalog, id, VERIFIER "2", &err));
    works(catalog_password_get(catalog, &arena, id, &verifier, &err));
    assert_string_equal(verifier, VERIFIER "2");
    works(catalog_password_remove(catalog, id, &err));
    works(catalog_password_remove(catalog, id, &err));
    works(catalog_password_get(catalog, &arena, id, &verifier, &err));
    assert_null(verifier);
    refuses(ERROR_INVALID, "password of tenant",
            catalog_password_set(catalog, id, "cleartext-hush", &err));
    assert_null(strstr(err.message, "hush"));
    assert_string_equal(err.detail, "");
    refuses(ERROR_NOT_FOUND, "no such tenant", catalog_password_set(catalog, 999, VERIFIER, &err));
    set_status(id, CATALOG_TENANT_SUSPENDED);
    works(catalog_password_set(catalog, id, VERIFIER, &err));
    set_status(id, CATALOG_TENANT_DELETING);
    refuses(ERROR_STATE, "gets no credentials", catalog_password_set(catalog, id, VERIFIER, &err));
}

static const char *jti(int number)
{
    return arena_printf(&arena, "%032x", number);
}

static void test_tokens(void **state)
{
    (void)state;
    int64_t cluster = make_cluster(1), service = make_service(1, cluster), id = 0;
    int64_t tenant = make_tenant("acme"), other = make_tenant("other");
    int64_t later = time_unix_us() + 3600 * (int64_t)TIME_S;
    struct catalog_token token = {.tenant_id = tenant, .jti = jti(1), .expires_unix_us = later + 7};
    struct catalog_token *list = NULL;
    size_t count = 0;
    works(catalog_token_add(catalog, &token, &id, &err));
    refuses(ERROR_EXISTS, "already", catalog_token_add(catalog, &token, NULL, &err));
    token.jti = jti(2);
    token.service_id = service;
    token.read_only = true;
    works(catalog_token_add(catalog, &token, NULL, &err));
    token.jti = jti(3);
    token.expires_unix_us = time_unix_us() - 3600 * (int64_t)TIME_S;
    works(catalog_token_add(catalog, &token, NULL, &err));
    works(catalog_token_list(catalog, &arena, tenant, false, &list, &count, &err));
    assert_int_equal(count, 2); /* newest first, without the expired one */
    assert_string_equal(list[0].jti, jti(2));
    assert_string_equal(list[0].service, "service-1");
    assert_int_equal(list[0].service_id, service);
    assert_true(list[0].read_only);
    assert_int_equal(list[1].id, id);
    assert_int_equal(list[1].tenant_id, tenant);
    assert_null(list[1].service);
    assert_false(list[1].read_only);
    assert_int_equal(list[1].expires_unix_us, later + 7);
    assert_int_equal(list[1].revoked_unix_us, 0);
    works(catalog_token_list(catalog, &arena, tenant, true, &list, &count, &err));
    assert_int_equal(count, 3);

    works(catalog_token_revoke(catalog, tenant, jti(1), &err));
    works(catalog_token_revoke(catalog, tenant, jti(1), &err));
    refuses(ERROR_NOT_FOUND, "token", catalog_token_revoke(catalog, other, jti(2), &err));
    refuses(ERROR_NOT_FOUND, "token", catalog_token_revoke(catalog, tenant, jti(9), &err));
    works(catalog_token_list(catalog, &arena, tenant, false, &list, &count, &err));
    assert_int_equal(count, 1);
    token.jti = "not-a-jti";
    refuses(ERROR_INVALID, "token", catalog_token_add(catalog, &token, NULL, &err));
    token.jti = jti(4);
    token.service_id = 999;
    refuses(ERROR_NOT_FOUND, "no such service", catalog_token_add(catalog, &token, NULL, &err));
    token.service_id = 0;
    token.tenant_id = 999;
    refuses(ERROR_NOT_FOUND, "no such tenant", catalog_token_add(catalog, &token, NULL, &err));
    set_status(other, CATALOG_TENANT_DELETING);
    token.tenant_id = other;
    refuses(ERROR_STATE, "gets no credentials", catalog_token_add(catalog, &token, NULL, &err));
    works(catalog_service_delete(catalog, service, &err)); /* and the tokens for it alone */
    works(catalog_token_list(catalog, &arena, tenant, true, &list, &count, &err));
    assert_int_equal(count, 1);
}

static void test_revoking_everything(void **state)
{
    (void)state;
    int64_t tenant = make_tenant("acme"), other = make_tenant("other");
    int64_t later = time_unix_us() + 3600 * (int64_t)TIME_S;
    struct catalog_token *list = NULL;
    size_t count = 0;
    const char *verifier = NULL;
    for (int i = 0; i < 3; i++) {
        struct catalog_token token = {
            .tenant_id = i == 2 ? other : tenant, .jti = jti(i), .expires_unix_us = later};
        works(catalog_token_add(catalog, &token, NULL, &err));
    }
    works(catalog_password_set(catalog, tenant, VERIFIER, &err));
    works(catalog_begin(catalog, &err));
    works(catalog_credential_revoke_all(catalog, tenant, &err));
    catalog_rollback(catalog); /* it was part of the caller's transaction */
    works(catalog_token_list(catalog, &arena, tenant, false, &list, &count, &err));
    assert_int_equal(count, 2);
    works(catalog_credential_revoke_all(catalog, tenant, &err));
    works(catalog_credential_revoke_all(catalog, tenant, &err));
    works(catalog_token_list(catalog, &arena, tenant, false, &list, &count, &err));
    assert_int_equal(count, 0);
    works(catalog_password_get(catalog, &arena, tenant, &verifier, &err));
    assert_null(verifier);
    works(catalog_token_list(catalog, &arena, other, false, &list, &count, &err));
    assert_int_equal(count, 1);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_open, fixture_close)
    const struct CMUnitTest tests[] = {
        TEST(test_tenants),
        TEST(test_statuses),
        TEST(test_tags),
        TEST(test_deletion),
        TEST(test_tenant_lists),
        TEST(test_placements),
        TEST(test_placements_that_are_refused),
        TEST(test_placement_states),
        TEST(test_epochs),
        TEST(test_placement_lists),
        TEST(test_passwords),
        TEST(test_tokens),
        TEST(test_revoking_everything),
    };
    return cmocka_run_group_tests(tests, fixture_start, fixture_stop);
}
