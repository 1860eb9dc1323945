/*
 * move_many.h - `reeve move --match`, and what it has in common with `reeve rebalance`: the plan,
 * the confirmation, a line a tenant as it ends, the summary.
 */
#ifndef CLI_MOVE_MANY_H
#define CLI_MOVE_MANY_H

#include "cli/context.h"
#include "fleet/many.h"

struct cli;

/* Options of commands that move many; the command reads them with move_many_begin. */
#define MOVE_MANY_OPTIONS                                                                          \
    {.name = "parallel",                                                                           \
     .value = "N",                                                                                 \
     .kind = CLI_NUMBER,                                                                           \
     .minimum = 1,                                                                                 \
     .maximum = MANY_MAX_PARALLEL,                                                                 \
     .fallback = "2",                                                                              \
     .help = "of several tenants: so many move at once"},                                          \
        {.name = "max-failures",                                                                   \
         .value = "K",                                                                             \
         .kind = CLI_NUMBER,                                                                       \
         .minimum = 1,                                                                             \
         .maximum = 1000000,                                                                       \
         .fallback = "3",                                                                          \
         .help = "of several tenants: when so many have failed, no more begin"},                   \
        {.name = "finish",                                                                         \
         .kind = CLI_FLAG,                                                                         \
         .help = "of several tenants: drop each one's old place as soon as it has moved; there "   \
                 "is no way back then"},                                                           \
        CLI_OPTION_YES

#define MOVE_MATCH_OPTION                                                                          \
    {                                                                                              \
        .name = "match", .value = "TERMS", .kind = CLI_TEXT,                                       \
        .help = "instead of SLUG, several tenants: KEY=VALUE with commas between, all of which "   \
                "must hold (of one key given twice, either): slug, service, cluster, database, "   \
                "isolation, "                                                                      \
                "plan or another tag of the tenant, tag=NAME; * and ? stand for any characters"    \
    }

/* Fields that the record has for several tenants; `when` stands in front of what they are. */
#define MOVE_MANY_FIELDS(when)                                                                     \
    {.key = "count", .kind = OUTPUT_NUMBER, .help = when "placements that are meant"},             \
        {.key = "planned",                                                                         \
         .kind = OUTPUT_NUMBER,                                                                    \
         .help = when "those that would be moved, with --dry-run"},                                \
        {.key = "moved", .kind = OUTPUT_NUMBER, .help = when "those that were moved"},             \
        {.key = "skipped",                                                                         \
         .kind = OUTPUT_NUMBER,                                                                    \
         .help = when "those that are there already, or cannot be moved at present"},              \
        {.key = "refused",                                                                         \
         .kind = OUTPUT_NUMBER,                                                                    \
         .help = when "those that were not begun as they would have failed"},                      \
        {.key = "failed", .kind = OUTPUT_NUMBER, .help = when "those whose move failed"},          \
        {.key = "interrupted",                                                                     \
         .kind = OUTPUT_NUMBER,                                                                    \
         .help = when "those whose move was interrupted"},                                         \
        {.key = "not_begun",                                                                       \
         .kind = OUTPUT_NUMBER,                                                                    \
         .help = when "those that were not begun after failures or an interruption"},              \
    {                                                                                              \
        .key = "moves", .kind = OUTPUT_LIST,                                                       \
        .help =                                                                                    \
            when "one object a placement: tenant, service, status (planned, skipped, "             \
                 "refused, moved, failed, interrupted, not begun), from, to (isolation and "       \
                 "cluster), tables, rows, bytes, pause_ms (--dry-run: about), finished (whether "  \
                 "its old place is gone), command (that moves it alone), reason (why it is "       \
                 "skipped, or proposed), error (null, or sqlstate, message and hint)"              \
    }

/* One run of a command that moves many. */
struct move_many {
    struct cli *cli;
    const struct context *context;
    struct many_options options;
    struct many_item *items;
    size_t count;
    size_t ended; /* moves that are over */
    bool shown;   /* who is asked has seen the plan */
};

/* From the command's options. `how`: of the moves. */
void move_many_begin(struct cli *cli, const struct context *context, const struct move_spec *how,
                     struct move_many *ret);
/* Looks at every item that is planned. As many_look. */
int move_many_look(struct move_many *many, struct error *err);
/* The table of what would be done, for people; `most` lines (0: all). */
void move_many_print_plan(const struct move_many *many, size_t most);
/* Asks, with a table on a terminal, and moves. An error behind the first move still wants
 * move_many_add_figures and the record to be printed: *ret_begun is true then. */
int move_many_carry_out(struct move_many *many, bool *ret_begun, struct error *err);
/* Sets the fields of MOVE_MANY_FIELDS. */
void move_many_add_figures(const struct move_many *many, json_t *record);
/* One line for people: "2 moved, 1 failed". */
void move_many_print_summary(const struct move_many *many);

/* `reeve move --match`, or anything that asks for it without: ERROR_USAGE. */
bool move_many_is_meant(const struct cli *cli);
int move_many_run(struct cli *cli, const struct move_spec *how, struct error *err);
/* Of one tenant: both arguments are needed, and nothing of the above. ERROR_USAGE. */
int move_many_check_one(const struct cli *cli, struct error *err);

#endif
