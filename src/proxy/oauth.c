/*
 * oauth.c - a login with OAUTHBEARER (auth/bearer.h).
 *
 * The token takes the way of one that was sent as a password (credential.c), and one that is not
 * good is counted and logged there and then; but the client hears of it in two steps: first where
 * tokens are had, then, when it has answered, the same words as every other. In between it is one
 * that is logging in, and has no more time than those have.
 */
#include "auth/bearer.h"
#include "base/log.h"
#include "proxy/login.h"
#include "wire/sqlstate.h"

int oauth_refuse(struct client *client)
{
    struct login *login = client->login;
    login->bearer = BEARER_FAILED;
    login_send_request(client, 11, login->oauth, strlen(login->oauth));
    client_set_state(client, CLIENT_PASSWORD);
    if (stream_read_paused(client->stream))
        stream_resume_read(client->stream);
    return LOGIN_TAKEN;
}

static int take_farewell(struct client *client, struct str message)
{
    if (bearer_is_farewell(message.data, message.length))
        return login_turn_away(client);
    client_fail(client, SQLSTATE_PROTOCOL_VIOLATION, "malformed OAUTHBEARER message", NULL);
    return LOGIN_GONE;
}

int oauth_received(struct client *client, struct str message)
{
    struct error err = {0};
    struct str token;
    if (client->login->bearer == BEARER_FAILED)
        return take_farewell(client, message);
    int result = bearer_read(message.data, message.length, &token, &err);
    if (result < 0 && result != -ERROR_AUTH)
        return login_reject(client, err.sqlstate, err.message, err.hint);
    client->login->bearer = BEARER_CHECKING;
    if (result < 0)
        return login_refuse(client, err.message);
    if (token.length > 0)
        return credential_check_token(client, token);
    log_debug("a client asks where tokens are had tenant=%s", client->login->shown);
    return oauth_refuse(client);
}
