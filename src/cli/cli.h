/*
 * cli.h - the command table and what a command is given.
 *
 * A noun is one file with one table: its commands, their arguments and options, and the fields of
 * what they print. The parser, --help, `reeve completion` and docs/reference/cli.md are all made
 * from these tables, so nothing can be there in one and missing in another.
 */
#ifndef CLI_CLI_H
#define CLI_CLI_H

#include <stdatomic.h>

#include "base/arena.h"
#include "base/error.h"
#include "cli/output.h"

enum cli_kind {
    CLI_FLAG,     /* --yes: takes no value */
    CLI_TEXT,     /* anything but nothing */
    CLI_NUMBER,   /* within minimum and maximum */
    CLI_DURATION, /* "30s"; minimum and maximum in microseconds */
    CLI_SIZE,     /* "64MB"; minimum and maximum in bytes */
    CLI_CHOICE,   /* one of `choice` */
    CLI_CHOICES,  /* several of `choice`, with commas or by repeating the option */
    CLI_FILE,     /* a path */
    CLI_FOLDER,   /* a path */
};

/* What an argument or an option is. */
struct cli_parameter {
    const char *name;  /* an argument "SLUG", an option "isolation" (without the dashes) */
    const char *value; /* what stands for an option's value in help: "FILE"; NULL for flags */
    enum cli_kind kind;
    bool required;
    bool many;                           /* the last argument: one and more */
    int64_t minimum, maximum;            /* CLI_NUMBER, _DURATION, _SIZE */
    const char *(*choice)(size_t index); /* NULL past the last */
    const char *fallback;                /* what holds when it is not given, for help */
    const char *help;
};

struct cli;

struct cli_command {
    const char *verb;                      /* NULL: the noun alone; the only one, or the last */
    const char *summary;                   /* one line, no full stop */
    const char *description;               /* for --help; may be NULL */
    const struct cli_parameter *arguments; /* end with a NULL name; NULL: none */
    const struct cli_parameter *options;   /* likewise; --help, --config and --json are implied */
    const struct output_field *fields;     /* what --json prints; NULL: there is no --json */
    bool list;                             /* --json prints an array of such objects */
    bool no_config;                        /* works without a configuration file: no --config */
    const char *const *examples;           /* end with NULL; NULL: none */
    /* Exit status is that of the error's code; what must be printed was printed. */
    int (*run)(struct cli *cli, struct error *err);
};

struct cli_noun {
    const char *name;
    const char *summary;
    bool hidden;
    const struct cli_command *commands; /* end with a NULL summary */
};

/* What the noun does without a verb; NULL: it needs one. */
const struct cli_command *cli_command_without_verb(const struct cli_noun *noun);

/* All of them, in the order of help; ends with NULL. */
extern const struct cli_noun *const cli_nouns[];

/* What was given for one parameter. */
struct cli_value {
    const struct cli_parameter *parameter;
    size_t count;
    const char **texts;
};

/* One run of a command. */
struct cli {
    struct arena arena; /* until the end of the run */
    const struct cli_noun *noun;
    const struct cli_command *command;
    struct cli_value *values;
    size_t value_count;
    bool json;
    bool help;
    const char *config_path; /* --config; NULL when not given */
};

/* Set by the first SIGINT or SIGTERM of a command that is no server. */
extern atomic_bool cli_cancelled;

/* Waits. ERROR_CANCELLED when it is interrupted. */
int cli_pause(int64_t us, struct error *err);

/* Runs a command line; returns the exit status. */
int cli_main(int argc, char **argv);

/* ---- parsing ---- */

/*
 * Finds the command and its values. ERROR_USAGE names what is wrong and the nearest thing that
 * would be right. With help asked for, nothing is checked beyond the command (which may be NULL:
 * help on all, or on a noun with verbs).
 */
int cli_parse(struct cli *cli, const struct cli_noun *const *nouns, int argc, char *const *argv,
              struct error *err);

/* What was given; the name must be in the command's table (a defect otherwise: aborts). */
const char *cli_text(const struct cli *cli, const char *name); /* NULL when not given */
bool cli_flag(const struct cli *cli, const char *name);
int64_t cli_number(const struct cli *cli, const char *name, int64_t fallback);
int64_t cli_size(const struct cli *cli, const char *name, int64_t fallback); /* bytes */
int64_t cli_duration_us(const struct cli *cli, const char *name, int64_t fallback_us);
size_t cli_texts(const struct cli *cli, const char *name, const char *const **ret);

/* The nearest of the names to what was typed; NULL when nothing is near. */
const char *cli_nearest(const char *typed, const char *(*name)(void *context, size_t index),
                        void *context);

/* ---- help, all from the tables ---- */

void cli_help_all(FILE *file, const struct cli_noun *const *nouns);
void cli_help_noun(FILE *file, const struct cli_noun *noun);
void cli_help_command(FILE *file, const struct cli_noun *noun, const struct cli_command *command);
void cli_write_completion(FILE *file, const struct cli_noun *const *nouns);
void cli_write_reference(FILE *file, const struct cli_noun *const *nouns);

/* Options that many commands have. */
#define CLI_OPTION_YES                                                                             \
    {                                                                                              \
        .name = "yes", .kind = CLI_FLAG, .help = "do not ask for confirmation (for scripts)"       \
    }
/* The isolation modes that there are. */
const char *cli_isolation_choice(size_t index);

/* Options implied for every command; ends with a NULL name. */
extern const struct cli_parameter cli_common_options[];
bool cli_has_common_option(const struct cli_command *command, const struct cli_parameter *option);

#endif
