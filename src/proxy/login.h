/*
 * login.h - from the first byte to ReadyForQuery.
 *
 *   login.c       packets without a type byte, the authentication request, settings, the end
 *   credential.c  the client's answer: SCRAM's messages, clear-text passwords and tokens
 *   oauth.c       the same where it chose OAUTHBEARER
 *   arrival.c     on to the worker that has the placement's pool
 *
 * Threads: the worker's; clear-text credentials are checked on authentication threads with copies.
 * Before a credential was found good, every failure looks the same to the client (28P01; 28000
 * where it chose OAUTHBEARER), and takes the same way; the log has the reason.
 */
#ifndef PROXY_LOGIN_H
#define PROXY_LOGIN_H

#include "auth/scram.h"
#include "proxy/client.h"
#include "wire/printable.h"

enum { LOGIN_SETTINGS_MAX = PAIRS_MAX };

/* Results of functions that take bytes of a client: it is gone (freed), taken, or more must come.
 */
enum login_result { LOGIN_GONE = -1, LOGIN_TAKEN = 0, LOGIN_MORE = 1 };

/* NONE -> CHOSEN: its first message is to come, or to come again with something in it
 *      -> CHECKING -> (logged in)
 *      -> FAILED: it was told where tokens are had, and is refused when it has answered */
enum login_bearer { BEARER_NONE, BEARER_CHOSEN, BEARER_CHECKING, BEARER_FAILED };

struct attempt; /* a credential that is being checked: credential.c */

struct login {
    bool asked_ssl, asked_gss;
    bool direct_tls;                 /* it began with a TLS handshake */
    uint32_t version;                /* of the protocol, as it is spoken with this client */
    bool sasl;                       /* SASL was asked for, else a clear-text credential */
    char shown[WIRE_PRINTABLE_SIZE]; /* the user name, fit for messages */
    struct scram_channel channel;    /* what SASL is offered with */
    struct scram_server *scram;      /* from the first SASL message on */
    bool scram_offered;
    bool wants_bearer;        /* the client asked to be offered OAUTHBEARER alone */
    enum login_bearer bearer; /* once the client chose OAUTHBEARER */
    char *oauth;              /* what a failure of it says; NULL: it was not offered */
    struct attempt *attempt;
    int64_t placement_id; /* known once the credential was found good */
    /* What it asked for at the start, checked by name; strings are the login's. */
    struct pair settings[LOGIN_SETTINGS_MAX];
    size_t setting_count;
};

struct login *login_new(void);
/* Refuses it as every stranger is refused; the reason goes to the log. Returns LOGIN_GONE, or
 * LOGIN_TAKEN where it chose OAUTHBEARER and may answer. */
int login_refuse(struct client *client, const char *reason);
/* Refuses a client whose credential was good, with the true reason. Returns LOGIN_GONE. */
int login_reject(struct client *client, const char *sqlstate, const char *message,
                 const char *hint);

/* Ends it with the words for every stranger; nothing is logged or counted. Returns LOGIN_GONE. */
int login_turn_away(struct client *client);
/* An authentication request, as wire_put_authentication has them. */
void login_send_request(struct client *client, int32_t kind, const void *data, size_t length);

/* credential.c */
/* A 'p' message. The bytes are the body. */
int credential_received(struct client *client, const char *body, size_t length);
void credential_forget(struct login *login);
/* Has a token checked as one that was sent as a password; login_refuse when it is not good. */
int credential_check_token(struct client *client, struct str token);

/* oauth.c */
/* A message of a client that chose OAUTHBEARER. */
int oauth_received(struct client *client, struct str message);
/* Its token is not good, or there was none: it is told where tokens are had. Returns LOGIN_TAKEN.
 */
int oauth_refuse(struct client *client);

/* arrival.c */
/* The credential is good: to the worker that has the pool of this placement. Not from within the
 * stream's `received`. */
void login_hand_over(struct client *client, const struct route_snapshot *snapshot,
                     const struct route_placement *placement);

/* client.c, for logins alone */
struct client *client_new(void);
/* Takes fd and ssl over on success. */
int client_attach(struct client *client, struct worker *worker, int fd, SSL *ssl,
                  struct error *err);
/* Takes it out of its worker's lists. */
void client_detach(struct client *client);
void client_join_tenant(struct client *client);
void client_free(struct client *client);

#endif
