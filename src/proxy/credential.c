/*
 * credential.c - the answer to the authentication request, and whether it is good.
 *
 * SCRAM costs a few HMACs and is done here, as is a token of Reeve's own form. A clear-text
 * password costs PBKDF2 and another token a public key's signature: both are checked on an
 * authentication thread, with copies of all that is needed. A check that fails is made once more
 * after the catalog was asked for news: a tenant, a token or a password that was made a moment ago
 * must work, and one that does not exist takes as long as a wrong one.
 */
#include "auth/bearer.h"
#include "base/log.h"
#include "base/time.h"
#include "proxy/login.h"
#include "wire/sqlstate.h"

/* ---- clear-text credentials ---- */

/*
 *   (made) -> checking -> refused -> asking the catalog -> checking -> refused
 *                    \-> good            (once)                   \-> good
 *
 * While it is `busy` somebody else has a pointer to it, and its end frees it when the client went.
 */
struct attempt {
    struct job job;        /* first */
    struct note news;      /* from the follower */
    struct client *client; /* NULL once it is gone */
    struct worker *worker;
    bool busy;
    bool refreshed;
    char *secret; /* NULL for SCRAM, which was checked */
    size_t length;
    struct route_snapshot *snapshot;   /* what it is checked against */
    const struct route_tenant *tenant; /* in it; NULL: unknown */
    struct keyring *keyring;
    struct scram_verifier verifier;
    bool doomed;        /* the verifier is made up */
    bool must_be_token; /* and is none of the tenant's passwords */
    /* What came of it: */
    bool good, is_token;
    struct auth_claims claims;
    struct error err;
};

static void attempt_free(struct attempt *attempt)
{
    if (attempt->secret)
        crypto_wipe(attempt->secret, attempt->length);
    free(attempt->secret);
    crypto_wipe(&attempt->verifier, sizeof(attempt->verifier));
    route_snapshot_release(attempt->snapshot);
    keyring_unref(attempt->keyring);
    free(attempt);
}

void credential_forget(struct login *login)
{
    struct attempt *attempt = take_pointer(login->attempt);
    if (!attempt)
        return;
    attempt->client = NULL;
    if (!attempt->busy)
        attempt_free(attempt);
}

/* The tenant's verifier, or one that no password fits. True when it is made up. */
static bool find_verifier(struct client *client, const struct route_tenant *tenant,
                          struct scram_verifier *ret)
{
    if (tenant && tenant->scram_verifier &&
        scram_verifier_parse(tenant->scram_verifier, ret, NULL) == 0)
        return false;
    scram_verifier_mock(client->login->shown, client->worker->proxy->mock_key, ret);
    return true;
}

static void look_up(struct attempt *attempt)
{
    struct client *client = attempt->client;
    route_snapshot_release(attempt->snapshot);
    attempt->snapshot = route_table_acquire(client->worker->proxy->routes);
    attempt->tenant = route_find_slug(attempt->snapshot, client->tenant);
}

static struct attempt *attempt_new(struct client *client)
{
    struct attempt *attempt = xcalloc(1, sizeof(*attempt));
    attempt->client = client;
    attempt->worker = client->worker;
    client->login->attempt = attempt;
    look_up(attempt);
    return attempt;
}

/* On an authentication thread, or the worker's. */
static void check(struct job *job)
{
    struct attempt *attempt = container_of(job, struct attempt, job);
    attempt->is_token =
        attempt->must_be_token || auth_looks_like_token(attempt->secret, attempt->length);
    error_clear(&attempt->err);
    if (attempt->is_token) {
        attempt->good =
            auth_token_verify(attempt->keyring->keys, attempt->secret, attempt->length,
                              time_unix_us() / TIME_S, &attempt->claims, &attempt->err) == 0;
        return;
    }
    attempt->good = scram_verifier_check(&attempt->verifier, attempt->secret) && !attempt->doomed;
    if (!attempt->good)
        error_set(&attempt->err, ERROR_AUTH, "wrong password");
}

/* What a token says, against whom and what was asked for. */
static int check_claims(const struct attempt *attempt, struct error *err)
{
    const struct auth_claims *claims = &attempt->claims;
    const struct route_tenant *tenant = attempt->tenant;
    bool same = claims->tenant_is_id ? claims->tenant_id == tenant->id
                                     : strcmp(claims->tenant_slug, tenant->slug) == 0;
    if (!same && !mutation("proxy.tenant"))
        return error_set(err, ERROR_AUTH, "the token (issuer %s) is another tenant's",
                         claims->issuer_name);
    if (claims->by_reeve &&
        !route_token_live(tenant, claims->jti, time_unix_us() / TIME_S - TOKEN_DEFAULT_LEEWAY_S))
        return error_set(err, ERROR_AUTH, "the token was revoked, has expired or is unknown");
    if (claims->service[0] && strcmp(claims->service, attempt->client->service) != 0 &&
        !mutation("proxy.service"))
        return error_set(err, ERROR_AUTH, "the token is for service \"%s\" alone", claims->service);
    return 0;
}

static int judge(struct attempt *attempt, struct error *err)
{
    if (!attempt->tenant)
        return error_set(err, ERROR_AUTH, "there is no such tenant");
    if (!attempt->good) {
        *err = attempt->err;
        if (!attempt->is_token && attempt->doomed)
            return error_set(err, ERROR_AUTH, "the tenant has no password");
        return err->code;
    }
    return attempt->is_token ? check_claims(attempt, err) : 0;
}

/* The placement that it asks for, if that can be used now. */
static const struct route_placement *find_served(const struct attempt *attempt)
{
    const struct route_placement *placement =
        route_find_placement(attempt->tenant, attempt->client->service);
    return placement && placement->state == ROUTE_PLACEMENT_READY ? placement : NULL;
}

/* Somebody who proved who they are may know why they cannot come in. */
static void let_in(struct attempt *attempt)
{
    struct client *client = attempt->client;
    const struct route_tenant *tenant = attempt->tenant;
    char message[ROUTE_NAME_SIZE * 2 + 64];
    if (tenant->status != ROUTE_TENANT_ACTIVE) {
        snprintf(message, sizeof(message), "tenant \"%s\" is suspended", tenant->slug);
        login_reject(client, SQLSTATE_CANNOT_CONNECT_NOW, message,
                     "ask the operator of this service");
        return;
    }
    const struct route_placement *placement = route_find_placement(tenant, client->service);
    if (!placement) {
        char shown[WIRE_PRINTABLE_SIZE];
        snprintf(message, sizeof(message), "database \"%s\" does not exist",
                 wire_printable(client->service, shown));
        login_reject(client, SQLSTATE_INVALID_CATALOG_NAME, message,
                     "the database name is that of a service the tenant is attached to");
        return;
    }
    client->tenant_id = tenant->id;
    client->read_only = attempt->is_token && attempt->claims.read_only;
    /* The attempt lives until the login is over. */
    login_hand_over(client, attempt->snapshot, placement);
}

static void checked(struct worker *worker, struct note *note);

static void begin_check(struct attempt *attempt)
{
    struct client *client = attempt->client;
    struct proxy *proxy = client->worker->proxy;
    keyring_unref(attempt->keyring);
    attempt->keyring = proxy_keyring(proxy);
    bool quick = auth_token_is_quick(attempt->secret, attempt->length);
    attempt->doomed = quick || find_verifier(client, attempt->tenant, &attempt->verifier);
    attempt->busy = true;
    client_set_state(client, CLIENT_CHECKING);
    stream_pause_read(client->stream);
    if (quick)
        worker_run_here(client->worker, &attempt->job, check, checked);
    else
        worker_run(client->worker, proxy->authenticators, 0, &attempt->job, check, checked);
}

static void news_received(struct worker *worker, struct note *note)
{
    struct attempt *attempt = container_of(note, struct attempt, news);
    worker->jobs--;
    attempt->busy = false;
    if (!attempt->client) {
        attempt_free(attempt);
    } else {
        look_up(attempt);
        begin_check(attempt);
    }
    worker_check_stopped(worker);
}

/* On any thread. */
static void news_came(void *argument)
{
    struct attempt *attempt = argument;
    worker_post(attempt->worker, &attempt->news, LETTER_TASK, news_received);
}

static bool ask_for_news(struct attempt *attempt)
{
    const struct proxy_resolver *resolver = &attempt->worker->proxy->resolver;
    if (attempt->refreshed || !resolver->refresh)
        return false;
    attempt->refreshed = attempt->busy = true;
    attempt->worker->jobs++;
    client_set_state(attempt->client, CLIENT_RESOLVING);
    resolver->refresh(resolver->context, news_came, attempt);
    return true;
}

static void checked(struct worker *worker reeve_unused, struct note *note)
{
    struct attempt *attempt =
        container_of(container_of(note, struct job, note), struct attempt, job);
    struct error err = {0};
    attempt->busy = false;
    if (!attempt->client) {
        attempt_free(attempt);
        return;
    }
    int result = judge(attempt, &err);
    if ((result < 0 || !find_served(attempt)) && ask_for_news(attempt))
        return;
    if (result < 0)
        login_refuse(attempt->client, err.message);
    else
        let_in(attempt);
}

static int check_secret(struct client *client, struct str secret, bool must_be_token)
{
    if (secret.length > TOKEN_MAX_LENGTH)
        return login_refuse(client, "the credential is too long");
    struct attempt *attempt = attempt_new(client);
    attempt->must_be_token = must_be_token && !mutation("proxy.bearer");
    attempt->secret = xstrndup(secret.data, secret.length);
    attempt->length = secret.length;
    begin_check(attempt);
    return LOGIN_TAKEN;
}

int credential_check_token(struct client *client, struct str token)
{
    return check_secret(client, token, true);
}

static int take_clear_text(struct client *client, const char *body, size_t length)
{
    if (length == 0 || body[length - 1] != '\0' || memchr(body, '\0', length - 1))
        return login_reject(client, SQLSTATE_PROTOCOL_VIOLATION, "invalid password message", NULL);
    if (length == 1)
        return login_refuse(client, "the password is empty");
    return check_secret(client, (struct str){body, length - 1}, false);
}

/* ---- SCRAM ---- */

static int refuse_sasl(struct client *client, const struct error *err)
{
    if (err->code == -ERROR_AUTH)
        return login_refuse(client, "wrong password (SCRAM)");
    return login_reject(client, err->sqlstate, err->message, err->hint);
}

/* One of those that were offered: remembers which. */
static bool choose_mechanism(struct login *login, const char *mechanism)
{
    struct scram_channel *channel = &login->channel;
    if (login->oauth && strcmp(mechanism, BEARER_MECHANISM) == 0) {
        login->bearer = BEARER_CHOSEN;
        return true;
    }
    channel->bound = channel->offered && strcmp(mechanism, SCRAM_MECHANISM_PLUS) == 0;
    return channel->bound || (login->scram_offered && strcmp(mechanism, SCRAM_MECHANISM) == 0);
}

static int take_scram_first(struct client *client, struct str first);

/* SASLInitialResponse: mechanism, length, the mechanism's first message; length -1: that comes when
 * it is asked for, which PostgreSQL's SCRAM does not take. */
static int take_sasl_first(struct client *client, const char *body, size_t length)
{
    struct login *login = client->login;
    struct wire_reader reader = wire_reader_of(body, length);
    const char *mechanism = wire_read_cstring(&reader);
    int32_t declared = wire_read_i32(&reader);
    bool later = declared == -1;
    if (reader.failed || (later ? 0 : declared) != (int64_t)wire_reader_left(&reader) ||
        !choose_mechanism(login, mechanism) || (later && login->bearer == BEARER_NONE))
        return login_reject(client, SQLSTATE_PROTOCOL_VIOLATION, "invalid SASL response", NULL);
    if (later) {
        login_send_request(client, 11, NULL, 0);
        return LOGIN_TAKEN;
    }
    struct str first = wire_read_bytes(&reader, (size_t)declared);
    return login->bearer == BEARER_NONE ? take_scram_first(client, first)
                                        : oauth_received(client, first);
}

/* client-first-message */
static int take_scram_first(struct client *client, struct str first)
{
    struct attempt *attempt = attempt_new(client);
    bool doomed = find_verifier(client, attempt->tenant, &attempt->verifier);
    struct error err = {0};
    _cleanup_buffer_ struct buffer reply = BUFFER_INIT(SCRAM_MAX_MESSAGE);
    client->login->scram = xcalloc(1, sizeof(*client->login->scram));
    if (scram_server_first(client->login->scram, &attempt->verifier, doomed,
                           &client->login->channel, first.data, first.length, &reply, &err) < 0)
        return refuse_sasl(client, &err);
    login_send_request(client, 11, reply.data, reply.length);
    return LOGIN_TAKEN;
}

/* Out of the stream's callback, as the stream may be given to another worker. */
static void proved(struct worker *worker, struct note *note)
{
    struct attempt *attempt = container_of(note, struct attempt, news);
    worker->jobs--;
    attempt->busy = false;
    if (attempt->client)
        let_in(attempt);
    else
        attempt_free(attempt);
    worker_check_stopped(worker);
}

static int take_sasl_final(struct client *client, const char *body, size_t length)
{
    struct error err = {0};
    _cleanup_buffer_ struct buffer reply = BUFFER_INIT(SCRAM_MAX_MESSAGE);
    struct attempt *attempt = client->login->attempt;
    if (scram_server_final(client->login->scram, body, length, &reply, &err) < 0)
        return refuse_sasl(client, &err);
    if (!attempt->tenant) /* cannot be: every exchange with a made-up verifier is doomed */
        return login_refuse(client, "there is no such tenant");
    login_send_request(client, 12, reply.data, reply.length);
    client_set_state(client, CLIENT_CHECKING);
    stream_pause_read(client->stream);
    attempt->busy = true;
    client->worker->jobs++;
    worker_post(client->worker, &attempt->news, LETTER_TASK, proved);
    return LOGIN_TAKEN;
}

int credential_received(struct client *client, const char *body, size_t length)
{
    if (!client->login->sasl)
        return take_clear_text(client, body, length);
    if (client->login->bearer != BEARER_NONE)
        return oauth_received(client, (struct str){body, length});
    return client->login->scram ? take_sasl_final(client, body, length)
                                : take_sasl_first(client, body, length);
}
