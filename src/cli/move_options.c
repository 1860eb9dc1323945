#include "cli/move_options.h"

enum { USUAL_JOBS = 4, USUAL_YIELD_US = 10 * TIME_MS };
static const int64_t usual_wal_limit = (int64_t)16 << 30;

struct move_spec move_options_read(struct cli *cli)
{
    return (struct move_spec){
        .pause_us = cli_duration_us(cli, "pause", 0),
        .jobs = (int)cli_number(cli, "jobs", USUAL_JOBS),
        .rate = cli_size(cli, "rate", 0),
        .yield_us = cli_duration_us(cli, "yield", USUAL_YIELD_US),
        .offline = cli_flag(cli, "offline"),
        .ignore_unreachable = cli_flag(cli, "ignore-unreachable"),
    };
}

int64_t move_options_pause_us(const struct move_spec *spec)
{
    return spec->offline ? MOVE_OFFLINE_PAUSE_US : MOVE_PAUSE_US;
}

int64_t move_options_wal_limit(struct cli *cli)
{
    return cli_size(cli, "keep-wal", usual_wal_limit);
}
