/*
 * move_options.h - the options of commands that move tenants.
 */
#ifndef CLI_MOVE_OPTIONS_H
#define CLI_MOVE_OPTIONS_H

#include "base/time.h"
#include "cli/cli.h"
#include "move/move.h"

#define MOVE_COPY_OPTIONS                                                                          \
    {.name = "pause",                                                                              \
     .value = "TIME",                                                                              \
     .kind = CLI_DURATION,                                                                         \
     .minimum = TIME_S / 10,                                                                       \
     .maximum = 50 * 60 * (int64_t)TIME_S,                                                         \
     .fallback = "2s; 10m with --offline",                                                         \
     .help =                                                                                       \
         "for how long the tenant may wait at most; when it is over, it goes on where it was: "    \
         "the move is tried again later, and undone with --offline"},                              \
        {.name = "rate",                                                                           \
         .value = "SIZE",                                                                          \
         .kind = CLI_SIZE,                                                                         \
         .minimum = 64 << 10,                                                                      \
         .maximum = INT64_C(1) << 40,                                                              \
         .fallback = "no bound",                                                                   \
         .help = "bytes a second that are copied at most, so that others notice less of it"},      \
        {.name = "yield",                                                                          \
         .value = "TIME",                                                                          \
         .kind = CLI_DURATION,                                                                     \
         .minimum = 0,                                                                             \
         .maximum = 10 * (int64_t)TIME_S,                                                          \
         .fallback = "10ms",                                                                       \
         .help = "copying and comparing slow down while a commit at either end takes longer on "   \
                 "average (or four times of what it took before) and others are at work there; "   \
                 "0: never, and never while the tenant waits"},                                    \
        {.name = "jobs",                                                                           \
         .value = "N",                                                                             \
         .kind = CLI_NUMBER,                                                                       \
         .minimum = 1,                                                                             \
         .maximum = MOVE_MAX_JOBS,                                                                 \
         .fallback = "4",                                                                          \
         .help = "tables, or parts of large ones, that are copied at once"},                       \
    {                                                                                              \
        .name = "ignore-unreachable", .kind = CLI_FLAG,                                            \
        .help = "do not wait for proxies that are gone, or cut off from the control database"      \
    }

#define MOVE_KEEP_OPTIONS                                                                          \
    {.name = "keep",                                                                               \
     .value = "TIME",                                                                              \
     .kind = CLI_DURATION,                                                                         \
     .minimum = 60 * (int64_t)TIME_S,                                                              \
     .maximum = 365 * 86400 * (int64_t)TIME_S,                                                     \
     .fallback = "until \"reeve move finish\"",                                                    \
     .help = "the old place is dropped so long after the move"},                                   \
    {                                                                                              \
        .name = "keep-wal", .value = "SIZE", .kind = CLI_SIZE, .minimum = 16 << 20,                \
        .maximum = INT64_C(1) << 50, .fallback = "16GB",                                           \
        .help = "WAL that the change streams may make a server keep: the move is given up when "   \
                "it would "                                                                        \
                "be more, and the way back along the stream"                                       \
    }

/* MOVE_COPY_OPTIONS and --offline; pause_us 0: nobody says. What is not of these is zeroes. */
struct move_spec move_options_read(struct cli *cli);
/* When nobody says. */
int64_t move_options_pause_us(const struct move_spec *spec);
/* --keep-wal, in bytes. */
int64_t move_options_wal_limit(struct cli *cli);

#endif
