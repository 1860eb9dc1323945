#include "cli/nouns.h"

/* clang-format off */
const struct cli_noun *const cli_nouns[] = {
    &cli_noun_dev,
    &cli_noun_serve,
    &cli_noun_init,
    &cli_noun_status,
    &cli_noun_cluster,
    &cli_noun_service,
    &cli_noun_tenant,
    &cli_noun_placement,
    &cli_noun_top,
    &cli_noun_ps,
    &cli_noun_kill,
    &cli_noun_token,
    &cli_noun_password,
    &cli_noun_url,
    &cli_noun_issuer,
    &cli_noun_limit,
    &cli_noun_hold,
    &cli_noun_release,
    &cli_noun_migrate,
    &cli_noun_move,
    &cli_noun_rebalance,
    &cli_noun_audit,
    &cli_noun_job,
    &cli_noun_events,
    &cli_noun_completion,
    &cli_noun_version,
    &cli_noun_help,
    NULL,
};
/* clang-format on */
