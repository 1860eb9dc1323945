/* login.c - items 3 to 6 and 30: startup packets, credentials, suspension, cancel keys. */
#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "attack/internal.h"
#include "base/str.h"
#include "base/time.h"
#include "catalog/credential.h"
#include "catalog/tenant.h"
#include "provision/provision.h"

/* By when suspending and revoking must have taken effect: a second is promised, and a busy machine
 * is forgiven another. */
enum { EFFECT_WITHIN_US = 2000000 };

/* A login that failed without a word of the proxy's, or for want of a slot, says nothing about a
 * defence. */
static void note_refusal(struct attack_outcome *outcome, const struct error *refusal)
{
    const char *sqlstate = refusal->sqlstate;
    if (!*sqlstate || str_has_prefix(sqlstate, "08") || str_has_prefix(sqlstate, "53")) {
        outcome->inconclusive = true;
        outcome_back(outcome, "%s", refusal->message);
    } else
        outcome_back(outcome, "refused with %s", sqlstate);
}

/* Opens a connection that may be refused, which is noted; *ret is NULL then. */
static int open_or_note(struct attack_stage *stage, const struct session_login *login,
                        struct attack_outcome *outcome, struct pg_connection **ret,
                        struct error *err)
{
    struct error own = {0};
    int result = session_open(stage, &stage->attacker, login, ret, &own);
    if (result == -ERROR_CANCELLED) {
        *err = own;
        return result;
    }
    if (result == 0)
        outcome_back(outcome, "let in");
    else
        note_refusal(outcome, &own);
    return 0;
}

/* ---- 3: the startup packet ---- */

/* The text is libpq keywords, behind all others. Refused, or without effect. */
static int play_startup(struct attack_stage *stage, const struct attack *attack,
                        struct attack_outcome *outcome, struct error *err)
{
    _cleanup_arena_ struct arena arena = {0};
    _cleanup_pg_connection_ struct pg_connection *connection = NULL;
    const char *missing = NULL;
    const struct session_login login = {
        .more = words_expand(stage, &arena, attack->sql, false, &missing)};
    int result = open_or_note(stage, &login, outcome, &connection, err);
    if (result < 0 || !connection)
        return result;
    return look_round(stage, connection, "after this login", outcome, err);
}

#define STARTUP(id_, title_, options_)                                                             \
    ATTACK_PLAYED("startup." id_, 3, title_, REACH_ANY, 0, play_startup, options_)

/* A replication connection would read everybody's changes. */
static int play_replication(struct attack_stage *stage, const struct attack *attack,
                            struct attack_outcome *outcome, struct error *err)
{
    _cleanup_pg_connection_ struct pg_connection *connection = NULL;
    const struct session_login login = {.more = attack->sql};
    int result = open_or_note(stage, &login, outcome, &connection, err);
    if (result < 0 || !connection)
        return result;
    result = session_say(connection, PG_RAW_SIMPLE, "IDENTIFY_SYSTEM", outcome, err);
    if (result == 0 && outcome->accepted > 0)
        outcome_gain(outcome, "the attacker has a replication connection");
    return result;
}

/* ---- 4 and 30: credentials ---- */

/* A login that must be refused as every wrong password is. */
static int must_fail(struct attack_stage *stage, const struct session_login *login,
                     struct attack_outcome *outcome, struct error *err)
{
    _cleanup_pg_connection_ struct pg_connection *connection = NULL;
    int result = open_or_note(stage, login, outcome, &connection, err);
    if (connection)
        outcome_gain(outcome, "the login was accepted");
    return result;
}

static int play_token(struct attack_stage *stage, const struct credential_spec *spec,
                      const char *user, bool record, struct attack_outcome *outcome,
                      struct error *err)
{
    _cleanup_catalog_wipe_ char *token = NULL;
    int result = credential_issue(stage, &stage->attacker, spec, record, &token, NULL, err);
    const struct session_login login = {.user = user, .token = token};
    return result < 0 ? result : must_fail(stage, &login, outcome, err);
}

static int play_others_token(struct attack_stage *stage, const struct attack *attack reeve_unused,
                             struct attack_outcome *outcome, struct error *err)
{
    const struct session_login login = {.user = stage->victim.slug, .token = stage->attacker.token};
    outcome_tried(outcome, "the victim's name with the attacker's token");
    return must_fail(stage, &login, outcome, err);
}

static int play_foreign_key(struct attack_stage *stage, const struct attack *attack reeve_unused,
                            struct attack_outcome *outcome, struct error *err)
{
    const struct credential_spec spec = {
        .tenant = stage->victim.slug, .tenant_id = stage->victim.tenant_id, .foreign_key = true};
    outcome_tried(outcome, "a token for the victim, signed with another key");
    return play_token(stage, &spec, stage->victim.slug, false, outcome, err);
}

static int play_expired(struct attack_stage *stage, const struct attack *attack reeve_unused,
                        struct attack_outcome *outcome, struct error *err)
{
    const struct credential_spec spec = {.ttl_us = -600 * (int64_t)TIME_S};
    outcome_tried(outcome, "the attacker's own token, expired ten minutes ago");
    return play_token(stage, &spec, NULL, true, outcome, err);
}

static int play_unrecorded(struct attack_stage *stage, const struct attack *attack reeve_unused,
                           struct attack_outcome *outcome, struct error *err)
{
    const struct credential_spec spec = {0};
    outcome_tried(outcome, "a token with a good signature that was never issued");
    return play_token(stage, &spec, NULL, false, outcome, err);
}

static int play_other_service(struct attack_stage *stage, const struct attack *attack reeve_unused,
                              struct attack_outcome *outcome, struct error *err)
{
    const struct credential_spec spec = {.service = stage->other_service};
    outcome_tried(outcome, "a token for service %s at service %s", stage->other_service,
                  stage->target->service);
    return play_token(stage, &spec, NULL, true, outcome, err);
}

/* News of a revocation takes its time to the proxies, as suspension does. */
static int wait_until_refused(struct attack_stage *stage, const struct session_login *login,
                              struct error *err)
{
    int64_t deadline_us = time_monotonic_us() + EFFECT_WITHIN_US;
    int result = 0;
    while (result == 0 && time_monotonic_us() < deadline_us) {
        _cleanup_pg_connection_ struct pg_connection *connection = NULL;
        struct error own = {0};
        result = session_open(stage, &stage->attacker, login, &connection, &own);
        if (result == -ERROR_CANCELLED)
            *err = own;
    }
    return result == -ERROR_CANCELLED ? result : 0;
}

static int play_revoked(struct attack_stage *stage, const struct attack *attack reeve_unused,
                        struct attack_outcome *outcome, struct error *err)
{
    const struct credential_spec spec = {0};
    _cleanup_catalog_wipe_ char *token = NULL;
    char jti[33];
    int result = credential_issue(stage, &stage->attacker, &spec, true, &token, jti, err);
    if (result == 0)
        result = catalog_token_revoke(stage->catalog, stage->attacker.tenant_id, jti, err);
    const struct session_login login = {.token = token};
    outcome_tried(outcome, "a token that was revoked, until it is refused or %d s are over",
                  EFFECT_WITHIN_US / TIME_S);
    if (result == 0)
        result = wait_until_refused(stage, &login, err);
    return result < 0 ? result : must_fail(stage, &login, outcome, err);
}

/* Header, claims and signature; the copy is the caller's to wipe. */
static char *join_token(const char *header_of, const char *claims_of, const char *signature_of)
{
    const char *header_end = strchr(header_of, '.');
    const char *claims = strchr(claims_of, '.') + 1;
    const char *signature = strrchr(signature_of, '.') + 1;
    return xasprintf("%.*s.%.*s.%s", (int)(header_end - header_of), header_of,
                     (int)strcspn(claims, "."), claims, signature);
}

static int play_forged(struct attack_stage *stage, bool unsigned_, struct attack_outcome *outcome,
                       struct error *err)
{
    static const char none[] = "eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.."; /* {"alg":"none", ...} */
    const struct credential_spec spec = {
        .tenant = stage->victim.slug, .tenant_id = stage->victim.tenant_id, .foreign_key = true};
    _cleanup_catalog_wipe_ char *claims = NULL;
    _cleanup_catalog_wipe_ char *token = NULL;
    int result = credential_issue(stage, &stage->attacker, &spec, false, &claims, NULL, err);
    if (result < 0)
        return result;
    token = unsigned_ ? join_token(none, claims, none)
                      : join_token(stage->attacker.token, claims, stage->attacker.token);
    const struct session_login login = {.user = stage->victim.slug, .token = token};
    return must_fail(stage, &login, outcome, err);
}

static int play_unsigned(struct attack_stage *stage, const struct attack *attack reeve_unused,
                         struct attack_outcome *outcome, struct error *err)
{
    outcome_tried(outcome, "a token for the victim with \"alg\": \"none\" and no signature");
    return play_forged(stage, true, outcome, err);
}

static int play_changed(struct attack_stage *stage, const struct attack *attack reeve_unused,
                        struct attack_outcome *outcome, struct error *err)
{
    outcome_tried(outcome, "the attacker's token with the victim's claims put in");
    return play_forged(stage, false, outcome, err);
}

static int play_guesses(struct attack_stage *stage, const struct attack *attack reeve_unused,
                        struct attack_outcome *outcome, struct error *err)
{
    static const char *const guesses[] = {"password", "postgres", "reeve", "\x01"};
    int result = 0;
    outcome_tried(outcome, "the victim's name with its role, its own name and other guesses");
    for (size_t i = 0; result == 0 && i < array_size(guesses) + 2; i++) {
        const char *guess = i == 0   ? stage->victim.slug
                            : i == 1 ? stage->victim.place->isolated.role
                                     : guesses[i - 2];
        const struct session_login login = {.user = stage->victim.slug, .token = guess};
        result = must_fail(stage, &login, outcome, err);
    }
    return result;
}

/* One answer whether a tenant is there or not: whoever asks learns nothing. */
static int play_unknown(struct attack_stage *stage, const struct attack *attack reeve_unused,
                        struct attack_outcome *outcome, struct error *err)
{
    const char *const users[] = {stage->victim.slug, ATTACK_SLUG_PREFIX "nobody"};
    char said[2][ERROR_TEXT_MAX];
    outcome_tried(outcome, "a wrong password for the victim, and for nobody");
    for (size_t i = 0; i < array_size(users); i++) {
        _cleanup_pg_connection_ struct pg_connection *connection = NULL;
        const struct session_login login = {.user = users[i], .token = "wrong"};
        struct error own = {0};
        int result = session_open(stage, &stage->attacker, &login, &connection, &own);
        if (result == -ERROR_CANCELLED) {
            *err = own;
            return result;
        }
        /* The same but for the name that the client gave itself. */
        char *name = strstr(own.message, users[i]);
        if (name)
            *name = '\0';
        snprintf(said[i], sizeof(said[i]), "%s %s", own.sqlstate, own.message);
        outcome_back(outcome, "%s", own.sqlstate);
    }
    if (strcmp(said[0], said[1]) != 0)
        outcome_gain(outcome, "the answers tell who exists: \"%s\" and \"%s\"", said[0], said[1]);
    return 0;
}

/* Names of roles and databases are no way in, whatever the token is good for. */
static int play_physical_names(struct attack_stage *stage, const struct attack *attack reeve_unused,
                               struct attack_outcome *outcome, struct error *err)
{
    const struct isolation_placement *victim = &stage->victim.place->isolated;
    const struct session_login logins[] = {
        {.database = victim->database},
        {.database = "postgres"},
        {.database = "template1"},
        {.database = stage->other_service},
        {.user = victim->role},
        {.user = victim->role, .database = victim->database},
        {.user = stage->victim.place->site.cluster.admin_user, .database = "postgres"},
    };
    int result = 0;
    outcome_tried(outcome, "the attacker's token with databases' and roles' real names");
    for (size_t i = 0; result == 0 && i < array_size(logins); i++)
        result = must_fail(stage, &logins[i], outcome, err);
    return result;
}

/* 37 */
static int play_odd_names(struct attack_stage *stage, const struct attack *attack reeve_unused,
                          struct attack_outcome *outcome, struct error *err)
{
    _cleanup_arena_ struct arena arena = {0};
    char *longest = arena_alloc(&arena, 10001);
    memset(longest, 'a', 10000);
    longest[10000] = '\0';
    const char *slug = stage->victim.slug;
    static const char look_alike[] = "\xd0\xb0" /* a Cyrillic a */ "cme";
    const char *const names[] = {arena_printf(&arena, "%s'--", slug),
                                 arena_printf(&arena, "%s\"", slug),
                                 arena_printf(&arena, "%s\n", slug),
                                 arena_printf(&arena, " %s", slug),
                                 arena_printf(&arena, "%s\x1b[31m", slug),
                                 "../../etc/passwd",
                                 look_alike,
                                 longest};
    int result = 0;
    outcome_tried(outcome,
                  "user and database names with quotes, newlines, escapes, 10,000 letters");
    for (size_t i = 0; result == 0 && i < 2 * array_size(names); i++) {
        const char *name = names[i / 2];
        const struct session_login login = {.user = i % 2 == 0 ? name : NULL,
                                            .database = i % 2 == 0 ? NULL : name};
        bool before = outcome->inconclusive;
        result = must_fail(stage, &login, outcome, err);
        outcome->inconclusive = before; /* closing the connection is an answer, here */
    }
    /* The same connection as ever must still be possible. */
    return result < 0 ? result : look_anew(stage, "after it", outcome, err);
}

/* A token for reading must not write. */
static int play_read_only(struct attack_stage *stage, const struct attack *attack,
                          struct attack_outcome *outcome, struct error *err)
{
    const struct credential_spec spec = {.read_only = true};
    _cleanup_arena_ struct arena arena = {0};
    _cleanup_catalog_wipe_ char *token = NULL;
    _cleanup_pg_connection_ struct pg_connection *connection = NULL;
    const char *missing = NULL;
    const char *text = words_expand(stage, &arena, attack->sql, false, &missing);
    int result = credential_issue(stage, &stage->attacker, &spec, true, &token, NULL, err);
    const struct session_login login = {.token = token};
    if (result == 0)
        result = session_try(stage, &stage->attacker, &login, outcome, &connection, err);
    if (result < 0 || !connection)
        return result;
    const char *const setups[] = {"SET default_transaction_read_only = off",
                                  "SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE"};
    struct attack_outcome aside;
    outcome_init(&aside, stage, &arena);
    for (size_t i = 0; result == 0 && i < array_size(setups); i++)
        result = session_say(connection, PG_RAW_SIMPLE, setups[i], &aside, err);
    outcome_free(&aside);
    if (result == 0)
        result = session_say(connection, PG_RAW_SIMPLE,
                             arena_printf(&arena, "BEGIN READ WRITE; %s", text), outcome, err);
    session_rollback(connection);
    if (result == 0 && outcome->accepted > 1) /* BEGIN is the first */
        outcome_gain(outcome, "a token for reading wrote");
    return result;
}

/* ---- 5: suspension ---- */

static int keep_asking(struct pg_connection *connection, int64_t deadline_us, struct error *err)
{
    while (!pg_is_broken(connection) && time_monotonic_us() < deadline_us) {
        const struct pg_raw_request request = {
            .style = PG_RAW_SIMPLE, .sql = "SELECT pg_sleep(0.01)", .timeout_us = EFFECT_WITHIN_US};
        if (pg_raw_run(connection, &request, err) == -ERROR_CANCELLED)
            return -ERROR_CANCELLED;
    }
    return 0;
}

static int play_suspension(struct attack_stage *stage, const struct attack *attack reeve_unused,
                           struct attack_outcome *outcome, struct error *err)
{
    _cleanup_pg_connection_ struct pg_connection *connection = NULL;
    const struct session_login own = {0};
    int result = session_try(stage, &stage->attacker, NULL, outcome, &connection, err);
    if (result < 0 || !connection)
        return result;
    outcome_tried(outcome, "an open connection with a transaction in it, used on after \"reeve"
                           " tenant suspend\", and a new login");
    struct attack_outcome aside;
    outcome_init(&aside, stage, outcome->arena);
    result = session_say(connection, PG_RAW_SIMPLE, "BEGIN; SELECT 1", &aside, err);
    outcome_free(&aside);
    /* In the catalog alone: what ends the connection is the proxy, not the server's own end of it.
     */
    if (result == 0)
        result = catalog_tenant_set_status(stage->catalog, stage->attacker.tenant_id,
                                           CATALOG_TENANT_SUSPENDED, err);
    int64_t begun_us = time_monotonic_us();
    if (result == 0)
        result = keep_asking(connection, begun_us + EFFECT_WITHIN_US, err);
    if (result < 0)
        return result;
    if (!pg_is_broken(connection))
        outcome_gain(outcome, "the suspended tenant's connection is still served after %d s",
                     EFFECT_WITHIN_US / TIME_S);
    outcome_back(outcome, "%s",
                 pg_is_broken(connection) ? "the connection was ended" : "it goes on");
    result = must_fail(stage, &own, outcome, err);
    int resumed = provision_tenant_resume(stage->options->job, stage->attacker.slug,
                                          result == 0 ? err : NULL);
    return result < 0 ? result : resumed;
}

/* ---- 6: cancel requests ---- */

enum { CANCEL_GUESSES = 64, CANCEL_PACKET = 16 };

static void put_u32(uint8_t *at, uint32_t value)
{
    for (int i = 0; i < 4; i++)
        at[i] = (uint8_t)(value >> (24 - 8 * i));
}

/* One CancelRequest to where the connection's other end is. Failures are the attacker's lot. */
static void send_cancel(const struct pg_connection *connection, uint32_t pid, uint32_t key)
{
    struct sockaddr_storage address = {0};
    socklen_t size = sizeof(address);
    uint8_t packet[CANCEL_PACKET];
    if (getpeername(pg_socket(connection), (struct sockaddr *)&address, &size) < 0)
        return;
    _cleanup_close_ int fd = socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, size) < 0)
        return;
    put_u32(packet, CANCEL_PACKET);
    put_u32(packet + 4, 80877102);
    put_u32(packet + 8, pid);
    put_u32(packet + 12, key);
    if (send(fd, packet, sizeof(packet), MSG_NOSIGNAL) != CANCEL_PACKET)
        return;
    struct pollfd end = {.fd = fd, .events = POLLIN};
    (void)poll(&end, 1, 1000); /* the proxy closes once it has read it */
}

static void guess_keys(const struct pg_connection *victim)
{
    uint32_t pid = (uint32_t)pg_backend_pid(victim);
    for (uint32_t i = 0; i < CANCEL_GUESSES; i++) {
        uint32_t key;
        crypto_random(&key, sizeof(key));
        send_cancel(victim, i % 4 == 3 ? pid + i : pid, i % 8 == 7 ? i / 8 : key);
    }
}

static int play_cancel(struct attack_stage *stage, const struct attack *attack reeve_unused,
                       struct attack_outcome *outcome, struct error *err)
{
    _cleanup_pg_connection_ struct pg_connection *attacker = NULL, *victim = NULL;
    const struct pg_raw_request sleep = {.style = PG_RAW_SIMPLE,
                                         .sql = "SELECT pg_sleep(1)",
                                         .timeout_us = ATTACK_STATEMENT_TIMEOUT_US,
                                         .visit = session_note,
                                         .owner = outcome};
    int result = session_try(stage, &stage->attacker, NULL, outcome, &attacker, err);
    if (result == 0 && attacker)
        result = session_try(stage, &stage->victim, NULL, outcome, &victim, err);
    if (result < 0 || !victim)
        return result;
    outcome_tried(outcome,
                  "%d cancel requests with guessed keys, and the attacker's own, while the"
                  " victim's query runs",
                  CANCEL_GUESSES);
    result = pg_raw_send(victim, &sleep, err);
    if (result == 0) {
        guess_keys(victim);
        for (int i = 0; i < 4; i++)
            (void)pg_cancel(attacker, NULL);
        result = pg_raw_collect(victim, &sleep, err);
    }
    if (result < 0)
        return session_failed(outcome, result, err);
    if (outcome->refused > 0)
        outcome_gain(outcome, "the victim's query was cancelled");
    return 0;
}

/* ---- the table ---- */

#define LOGIN(id_, threat_, title_, play_)                                                         \
    ATTACK_PLAYED(id_, threat_, title_, REACH_ANY, 0, play_, NULL)

const struct attack attacks_login[] = {
    STARTUP("role", "options with the victim's role", "options='-c role={role:t}'"),
    STARTUP("role_long", "the same, long form", "options='--role={role:t}'"),
    STARTUP("session", "options with session_authorization",
            "options='-c session_authorization={role:t}'"),
    STARTUP("search_path", "options with the victim's schema",
            "options='-c search_path={schema:t}'"),
    STARTUP("row_security", "options with row_security off", "options='-c row_security=off'"),
    STARTUP("tenant", "options with the tenant setting", "options='-c reeve.tenant_id={id}'"),
    STARTUP("owner", "options with the owner's tenant setting",
            "options='-c reeve_owner.tenant={id}'"),
    STARTUP("replica", "options with session_replication_role",
            "options='-c session_replication_role=replica'"),
    STARTUP("escaped", "options with escapes in them",
            "options='-c\\\\ role={role:t} -c r\\\\ole={role:t}'"),
    STARTUP("guard_context", "options with the setting that parallel workers read",
            "options='-c reeve_guard.context={id}\\\\ 10\\\\ 0\\\\ attack'"),
    STARTUP("many", "options with several settings",
            "options='-c search_path={schema:t} -c role={role:t} -c is_superuser=on'"),
    ATTACK_PLAYED("startup.replication", 3, "a replication connection to the database", REACH_ANY,
                  0, play_replication, "replication=database"),
    ATTACK_PLAYED("startup.replication_physical", 3, "a physical replication connection", REACH_ANY,
                  0, play_replication, "replication=true"),
    LOGIN("login.others_token", 4, "another tenant's name with one's own token", play_others_token),
    LOGIN("login.foreign_key", 4, "a token signed by somebody else", play_foreign_key),
    LOGIN("login.unsigned", 4, "a token without a signature", play_unsigned),
    LOGIN("login.changed", 4, "a token whose claims were changed", play_changed),
    LOGIN("login.expired", 4, "an expired token", play_expired),
    LOGIN("login.revoked", 4, "a revoked token", play_revoked),
    LOGIN("login.unrecorded", 4, "a token that was never issued", play_unrecorded),
    LOGIN("login.guesses", 4, "guessed passwords", play_guesses),
    LOGIN("login.unknown", 4, "whether a tenant exists", play_unknown),
    LOGIN("login.physical_names", 30, "real names of databases and roles", play_physical_names),
    LOGIN("login.other_service", 30, "a token for another service", play_other_service),
    ATTACK_PLAYED("login.read_only", 30, "writing with a token for reading", REACH_ANY,
                  NEEDS_TENANT, play_read_only, "{own_same}"),
    LOGIN("login.odd_names", 37, "user and database names that are none", play_odd_names),
    LOGIN("cancel.guessed", 6, "cancelling with guessed and foreign keys", play_cancel),
    LOGIN("suspend.open_connection", 5, "going on after suspension", play_suspension),
    {0},
};
