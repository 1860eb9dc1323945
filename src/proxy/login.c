#include "proxy/login.h"
#include "proxy/place.h"

#include <arpa/inet.h>
#include <strings.h>

#include "auth/bearer.h"
#include "base/failpoint.h"
#include "base/log.h"
#include "proxy/backend.h"
#include "wire/sqlstate.h"

enum {
    PEER_NAME_SIZE = 80,
    TLS_HANDSHAKE_RECORD = 0x16,      /* no length of a startup packet begins with it */
    PASSWORD_MESSAGE_MAX = 16 * 1024, /* a token and SASL's messages fit well */
    MECHANISMS_MAX = 128,
};

static const char alpn_protocol[] = "postgresql";
/* How a client says in `options` that it wants to be offered OAUTHBEARER. */
static const char auth_parameter[] = "reeve.auth";

struct login *login_new(void)
{
    return xcalloc(1, sizeof(struct login));
}

void login_free(struct login *login)
{
    if (!login)
        return;
    credential_forget(login);
    for (size_t i = 0; i < login->setting_count; i++) {
        free((char *)login->settings[i].name);
        free((char *)login->settings[i].value);
    }
    if (login->scram)
        crypto_wipe(login->scram, sizeof(*login->scram));
    free(login->scram);
    free(login->oauth);
    free(login);
}

/* ---- refusing ---- */

static void log_refusal(struct client *client, const char *reason)
{
    char peer[PEER_NAME_SIZE];
    net_peer_name(stream_fd(client->stream), peer, sizeof(peer));
    log_info("login refused tenant=%s service=%s peer=%s: %s", client->login->shown,
             client->service, peer, reason);
    count(&client->worker->counters.logins_failed, 1);
}

int login_reject(struct client *client, const char *sqlstate, const char *message, const char *hint)
{
    log_refusal(client, message);
    client_fail(client, sqlstate, message, hint);
    return LOGIN_GONE;
}

/* As PostgreSQL says it of each. */
int login_turn_away(struct client *client)
{
    bool bearer = client->login->bearer != BEARER_NONE;
    char message[WIRE_PRINTABLE_SIZE + 64];
    snprintf(message, sizeof(message), "%s authentication failed for user \"%s\"",
             bearer ? "OAuth bearer" : "password", client->login->shown);
    client_fail(client,
                bearer ? SQLSTATE_INVALID_AUTHORIZATION_SPECIFICATION : SQLSTATE_INVALID_PASSWORD,
                message, NULL);
    return LOGIN_GONE;
}

int login_refuse(struct client *client, const char *reason)
{
    log_refusal(client, reason);
    return client->login->bearer == BEARER_NONE ? login_turn_away(client) : oauth_refuse(client);
}

static int reject_error(struct client *client, const struct error *err)
{
    return login_reject(client, err->sqlstate, err->message, err->hint);
}

/* ---- settings of the startup packet ---- */

/* No setting of the session: how the client wants to say who it is. */
static int choose_auth(struct login *login, const char *value, struct error *err)
{
    if (strcmp(value, "oauth") != 0)
        return error_set(err, ERROR_INVALID, "parameter \"%s\" must be \"oauth\"", auth_parameter);
    login->wants_bearer = true;
    return 0;
}

static int add_setting(void *owner, const char *name, const char *value, struct error *err)
{
    struct login *login = owner;
    char shown[WIRE_PRINTABLE_SIZE];
    if (strcasecmp(name, auth_parameter) == 0)
        return choose_auth(login, value, err);
    if (!session_setting_allowed(name)) {
        int result = error_set(err, ERROR_DENIED, "parameter \"%s\" may not be set at the start",
                               wire_printable(name, shown));
        return result;
    }
    if (login->setting_count == LOGIN_SETTINGS_MAX)
        return error_set(err, ERROR_LIMIT, "too many settings at the start");
    if (!str_is_utf8(value, strlen(value)))
        return error_set(err, ERROR_INVALID, "the value of parameter \"%s\" is not valid UTF-8",
                         wire_printable(name, shown));
    login->settings[login->setting_count++] = (struct pair){xstrdup(name), xstrdup(value)};
    return 0;
}

/* "off", "false", "no", "0" as PostgreSQL's boolean startup parameter takes them. */
static bool means_off(const char *value)
{
    static const char *const words[] = {"off", "false", "no", "0", "f", "n"};
    for (size_t i = 0; i < array_size(words); i++) {
        if (strcasecmp(value, words[i]) == 0)
            return true;
    }
    return false;
}

/* As PostgreSQL applies them: `options` first, then the others. */
static int read_settings(struct login *login, const struct wire_startup *startup, struct error *err)
{
    const char *replication = wire_startup_get(startup, "replication");
    if (replication && !means_off(replication))
        return error_set(err, ERROR_UNSUPPORTED, "replication connections are not supported");
    const char *options = wire_startup_get(startup, "options");
    int result = options ? wire_options_read(options, add_setting, login, err) : 0;
    for (size_t i = 0; result == 0 && i < startup->parameter_count; i++) {
        const char *name = startup->parameters[i].name;
        if (strcmp(name, "user") != 0 && strcmp(name, "database") != 0 &&
            strcmp(name, "options") != 0 && strcmp(name, "replication") != 0 &&
            !str_has_prefix(name, "_pq_."))
            result = add_setting(login, name, startup->parameters[i].value, err);
    }
    return result;
}

/* ---- the startup packet ---- */

void login_send_request(struct client *client, int32_t kind, const void *data, size_t length)
{
    struct buffer *out = &client->worker->scratch;
    wire_put_authentication(out, kind, data, length);
    stream_write(client->stream, buffer_string(out), out->length);
    stream_flush(client->stream);
    buffer_reset(out);
}

static void put_mechanism(struct buffer *out, const char *name)
{
    buffer_append(out, name, strlen(name) + 1);
}

/* As PostgreSQL, SCRAM-SHA-256-PLUS first: libpq takes the first that it knows, so that one which
 * knows OAUTHBEARER takes it only where it is offered alone. */
static void offer_mechanisms(struct client *client)
{
    struct login *login = client->login;
    _cleanup_buffer_ struct buffer names = BUFFER_INIT(MECHANISMS_MAX);
    if (login->scram_offered && client->secure)
        scram_channel_of(SSL_get_certificate(stream_ssl(client->stream)), &login->channel);
    if (login->channel.offered)
        put_mechanism(&names, SCRAM_MECHANISM_PLUS);
    if (login->scram_offered)
        put_mechanism(&names, SCRAM_MECHANISM);
    if (login->oauth)
        put_mechanism(&names, BEARER_MECHANISM);
    put_mechanism(&names, "");
    login_send_request(client, 10, names.data, names.length);
}

/* Who listens on the way must not read it. */
static int refuse_clear_text(struct client *client, bool bearer)
{
    return login_reject(client, SQLSTATE_INVALID_AUTHORIZATION_SPECIFICATION,
                        bearer ? "a bearer token is taken over TLS or a Unix socket alone"
                               : "a clear-text credential is taken over TLS or a Unix socket alone",
                        "connect with sslmode=require");
}

static int ask_for_credential(struct client *client)
{
    struct login *login = client->login;
    struct proxy *proxy = client->worker->proxy;
    enum proxy_auth auth = (enum proxy_auth)atomic_load(&proxy->auth);
    bool trusted = client->secure || client->local || mutation("proxy.clear_text");
    bool bearer_alone = auth == PROXY_AUTH_OAUTH || login->wants_bearer;
    if ((auth == PROXY_AUTH_CLEARTEXT || bearer_alone) && !trusted)
        return refuse_clear_text(client, bearer_alone);
    if (trusted)
        login->oauth = proxy_oauth(proxy);
    if (bearer_alone && !login->oauth)
        return login_reject(client, SQLSTATE_INVALID_AUTHORIZATION_SPECIFICATION,
                            "OAuth is not offered here",
                            "oauth_issuer in Reeve's configuration has it offered");
    login->scram_offered =
        !bearer_alone && (auth == PROXY_AUTH_SCRAM || (auth == PROXY_AUTH_AUTO && !trusted));
    login->sasl = login->scram_offered || bearer_alone;
    if (login->sasl)
        offer_mechanisms(client);
    else
        login_send_request(client, 3, NULL, 0);
    client_set_state(client, CLIENT_PASSWORD);
    return LOGIN_TAKEN;
}

static void negotiate(struct client *client, const struct wire_startup *startup)
{
    client->login->version = wire_startup_version(startup);
    if (client->login->version == startup->version && !startup->has_unknown_options)
        return;
    struct buffer *out = &client->worker->scratch;
    wire_put_negotiate_version(out, client->login->version, startup);
    stream_write(client->stream, buffer_string(out), out->length);
    buffer_reset(out);
}

static int take_startup(struct client *client, const struct wire_startup *startup)
{
    struct proxy *proxy = client->worker->proxy;
    struct error err = {0};
    const char *user = wire_startup_get(startup, "user");
    const char *database = wire_startup_get(startup, "database");
    /* A name that does not fit is no tenant's and no service's: it stays empty. */
    wire_printable(user, client->login->shown);
    str_copy(client->tenant, sizeof(client->tenant), user);
    str_copy(client->service, sizeof(client->service), database ? database : user);
    if (client->too_many)
        return login_reject(client, SQLSTATE_TOO_MANY_CONNECTIONS,
                            "sorry, too many clients already",
                            "see max_clients in Reeve's configuration");
    if (client->worker->shutting_down)
        return login_reject(client, SQLSTATE_CANNOT_CONNECT_NOW, "Reeve is shutting down", NULL);
    if (!client->secure && !client->local && atomic_load(&proxy->tls_required))
        return login_reject(client, SQLSTATE_INVALID_AUTHORIZATION_SPECIFICATION,
                            "connections without TLS are not taken",
                            "connect with sslmode=require");
    if (read_settings(client->login, startup, &err) < 0)
        return reject_error(client, &err);
    negotiate(client, startup);
    return ask_for_credential(client);
}

/* ---- requests in front of it ---- */

static int answer_byte(struct client *client, char byte)
{
    stream_write(client->stream, &byte, 1);
    stream_flush(client->stream);
    return LOGIN_TAKEN;
}

static int take_ssl_request(struct client *client)
{
    struct error err = {0};
    SSL_CTX *tls = proxy_tls(client->worker->proxy);
    if (!tls)
        return answer_byte(client, 'N');
    answer_byte(client, 'S');
    int result = stream_start_tls(client->stream, tls, &err);
    SSL_CTX_free(tls);
    return result < 0 ? reject_error(client, &err) : LOGIN_TAKEN;
}

/* Each kind once, with nothing behind it (CVE-2021-23214: what came in plain text must not be taken
 * for what came encrypted). */
static int take_request(struct client *client, enum wire_startup_kind kind, bool more_behind)
{
    struct login *login = client->login;
    bool ssl = kind == WIRE_STARTUP_SSL;
    bool *asked = ssl ? &login->asked_ssl : &login->asked_gss;
    if (*asked || client->secure)
        return login_reject(client, SQLSTATE_PROTOCOL_VIOLATION,
                            "encryption was asked for more than once", NULL);
    if (more_behind && !mutation("proxy.smuggled"))
        return login_reject(client, SQLSTATE_PROTOCOL_VIOLATION,
                            "received unencrypted data after an encryption request", NULL);
    *asked = true;
    return ssl ? take_ssl_request(client) : answer_byte(client, 'N');
}

/* Never answered, whatever comes of it. */
static int take_cancel(struct client *client, const struct wire_startup *startup)
{
    cancel_request(client, (uint32_t)startup->cancel_pid, startup->cancel_secret);
    return LOGIN_GONE;
}

/* "Direct" TLS, as PostgreSQL 17 takes it: no SSLRequest in front, and ALPN must say what it is. */
static bool begins_with_handshake(const struct client *client, const char *bytes)
{
    return bytes[0] == TLS_HANDSHAKE_RECORD && !client->secure && !client->login->asked_ssl &&
           !client->login->asked_gss;
}

static int take_handshake(struct client *client, const char *bytes, size_t length,
                          size_t *ret_taken)
{
    struct error err = {0};
    SSL_CTX *tls = proxy_tls(client->worker->proxy);
    if (!tls)
        return login_reject(client, SQLSTATE_PROTOCOL_VIOLATION, "TLS is not offered here", NULL);
    client->login->asked_ssl = client->login->direct_tls = true;
    int result = stream_start_direct_tls(client->stream, tls, bytes, length, &err);
    SSL_CTX_free(tls);
    *ret_taken = length;
    return result < 0 ? reject_error(client, &err) : LOGIN_TAKEN;
}

void login_secured(struct client *client)
{
    const unsigned char *protocol = NULL;
    unsigned length = 0;
    if (!client->login || !client->login->direct_tls)
        return;
    SSL_get0_alpn_selected(stream_ssl(client->stream), &protocol, &length);
    if (length != sizeof(alpn_protocol) - 1 || memcmp(protocol, alpn_protocol, length) != 0)
        login_reject(client, SQLSTATE_PROTOCOL_VIOLATION,
                     "direct TLS without the protocol \"postgresql\" (ALPN)",
                     "use a client of PostgreSQL 17 or newer, or SSLRequest");
}

static int take_packet(struct client *client, const char *bytes, size_t length, size_t *ret_taken)
{
    struct error err = {0};
    struct wire_startup startup = {0};
    size_t size = 0;
    if (begins_with_handshake(client, bytes))
        return take_handshake(client, bytes, length, ret_taken);
    int result = wire_startup_size(bytes, length, &size, &err);
    if (result < 0)
        return reject_error(client, &err);
    if (size == 0 || length < size)
        return LOGIN_MORE;
    result = wire_startup_read(bytes, size, &startup, &err);
    if (result < 0) {
        /* A malformed CancelRequest gets no answer either. */
        uint32_t code;
        memcpy(&code, bytes + sizeof(code), sizeof(code));
        if (ntohl(code) != WIRE_CANCEL_REQUEST)
            return reject_error(client, &err);
        client_close(client);
        return LOGIN_GONE;
    }
    *ret_taken = size;
    switch (startup.kind) {
    case WIRE_STARTUP_SSL:
    case WIRE_STARTUP_GSSENC:
        return take_request(client, startup.kind, length > size);
    case WIRE_STARTUP_CANCEL:
        return take_cancel(client, &startup);
    case WIRE_STARTUP:
        break;
    }
    return take_startup(client, &startup);
}

/* ---- the answer to the authentication request ---- */

static int take_answer(struct client *client, const char *bytes, size_t length, size_t *ret_taken)
{
    struct error err = {0};
    struct wire_frame frame;
    if (bytes[0] != 'p')
        return login_reject(client, SQLSTATE_PROTOCOL_VIOLATION,
                            "expected an answer to the authentication request", NULL);
    int result = wire_frame_read(bytes, length, &frame, &err);
    if (result < 0)
        return reject_error(client, &err);
    if (result == 0)
        return LOGIN_MORE;
    if (frame.body_length > PASSWORD_MESSAGE_MAX && !client->login->sasl)
        return login_refuse(client, "the credential is too long");
    if (frame.body_length > PASSWORD_MESSAGE_MAX)
        return login_reject(client, SQLSTATE_PROTOCOL_VIOLATION,
                            "the answer to the authentication request is too long", NULL);
    if (length < WIRE_HEADER_SIZE + frame.body_length)
        return LOGIN_MORE;
    *ret_taken = WIRE_HEADER_SIZE + frame.body_length;
    return credential_received(client, bytes + WIRE_HEADER_SIZE, frame.body_length);
}

size_t login_received(struct client *client, const char *bytes, size_t length)
{
    size_t at = 0;
    while (at < length) {
        size_t taken = 0;
        int result = LOGIN_MORE;
        if (client->state == CLIENT_STARTUP)
            result = take_packet(client, bytes + at, length - at, &taken);
        else if (client->state == CLIENT_PASSWORD)
            result = take_answer(client, bytes + at, length - at, &taken);
        else
            stream_pause_read(client->stream); /* it waits for us; what it sends is for later */
        if (result == LOGIN_GONE)
            return length;
        at += taken;
        if (result == LOGIN_MORE)
            break;
    }
    return at;
}

/* ---- the end ---- */

void login_finish(struct client *client)
{
    struct buffer *out = &client->worker->scratch;
    client_key_add(client, client->login->version);
    for (size_t i = 0; client->settings && i < client->settings->count; i++)
        session_note_names(client, client->settings->items[i].name,
                           strlen(client->settings->items[i].name));
    wire_put_authentication(out, 0, NULL, 0);
    for (size_t i = 0; i < client->parameters->count; i++)
        wire_put_parameter_status(out, client->parameters->items[i].name,
                                  client->parameters->items[i].value);
    wire_put_parameter_status(out, "session_authorization", client->tenant);
    wire_put_backend_key_data(out, (int32_t)client->cancel_id, client->cancel_secret,
                              client->cancel_secret_length);
    wire_put_ready_for_query(out, 'I');
    stream_write(client->stream, buffer_string(out), out->length);
    stream_flush(client->stream);
    buffer_reset(out);
    login_free(take_pointer(client->login));
    list_remove(&client->timed);
    count(&client->worker->counters.logins, 1);
    log_debug("client logged in tenant=%s service=%s placement=%lld", client->tenant,
              client->service, (long long)client->place->placement_id);
    if (client->state != CLIENT_ACTIVE) {
        client_set_state(client, CLIENT_IDLE);
        client_resume(client);
    }
}
