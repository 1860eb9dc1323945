/*
 * token_issue.h - a token of Reeve's own, for `reeve token issue` and `reeve url --token`.
 */
#ifndef CLI_TOKEN_ISSUE_H
#define CLI_TOKEN_ISSUE_H

#include "cli/context.h"

#define TOKEN_ISSUE_OPTIONS                                                                        \
    {.name = "access",                                                                             \
     .value = "ACCESS",                                                                            \
     .kind = CLI_CHOICE,                                                                           \
     .choice = token_access_choice,                                                                \
     .fallback = "rw",                                                                             \
     .help = "what the token's bearer may do"},                                                    \
    {                                                                                              \
        .name = "ttl", .value = "TIME", .kind = CLI_DURATION, .minimum = TIME_S,                   \
        .maximum = TOKEN_ISSUE_MAX_TTL_DAYS * 86400LL * TIME_S, .fallback = "30d",                 \
        .help = "how long the token is good: 500s, 12h, 30d"                                       \
    }
enum { TOKEN_ISSUE_MAX_TTL_DAYS = 3650, TOKEN_ISSUE_TTL_DAYS = 30, TOKEN_ISSUE_JTI_SIZE = 33 };

/* "rw", "ro" */
const char *token_access_choice(size_t index);

struct token_issue {
    int64_t tenant_id, service_id; /* service_id 0: every service */
    const char *tenant, *service;  /* service NULL likewise */
    bool read_only;
    int64_t ttl_us;
    /* What comes of it. */
    char jti[TOKEN_ISSUE_JTI_SIZE];
    int64_t expires_unix_us;
    char *token; /* crypto_wipe and free it */
};

/* Reads --access and --ttl. */
void token_issue_options(const struct cli *cli, struct token_issue *ret);
/* Records the token in the catalog, with an audit event, and signs it. */
int token_issue(const struct context *context, struct catalog *catalog, struct token_issue *token,
                struct error *err);
void token_issue_free(struct token_issue *token);
#define _cleanup_token_issue_ _cleanup_(token_issue_free)

#endif
