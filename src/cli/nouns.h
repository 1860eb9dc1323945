/*
 * nouns.h - what the files noun_*.c bring to the command table.
 */
#ifndef CLI_NOUNS_H
#define CLI_NOUNS_H

#include "cli/cli.h"

extern const struct cli_noun cli_noun_advise;
extern const struct cli_noun cli_noun_audit;
extern const struct cli_noun cli_noun_cluster;
extern const struct cli_noun cli_noun_completion;
extern const struct cli_noun cli_noun_dev;
extern const struct cli_noun cli_noun_events;
extern const struct cli_noun cli_noun_help;
extern const struct cli_noun cli_noun_init;
extern const struct cli_noun cli_noun_issuer;
extern const struct cli_noun cli_noun_kill;
extern const struct cli_noun cli_noun_limit;
extern const struct cli_noun cli_noun_hold;
extern const struct cli_noun cli_noun_release;
extern const struct cli_noun cli_noun_job;
extern const struct cli_noun cli_noun_migrate;
extern const struct cli_noun cli_noun_move;
extern const struct cli_noun cli_noun_password;
extern const struct cli_noun cli_noun_placement;
extern const struct cli_noun cli_noun_ps;
extern const struct cli_noun cli_noun_rebalance;
extern const struct cli_noun cli_noun_serve;
extern const struct cli_noun cli_noun_service;
extern const struct cli_noun cli_noun_status;
extern const struct cli_noun cli_noun_tenant;
extern const struct cli_noun cli_noun_token;
extern const struct cli_noun cli_noun_top;
extern const struct cli_noun cli_noun_url;
extern const struct cli_noun cli_noun_version;

#endif
