#include "cli/cli.h"

#include "base/str.h"
#include "base/time.h"

const struct cli_parameter cli_common_options[] = {
    {.name = "config",
     .value = "FILE",
     .kind = CLI_FILE,
     .fallback = "$REEVE_CONFIG, ./reeve.conf, /etc/reeve/reeve.conf",
     .help = "the configuration file"},
    {.name = "json", .kind = CLI_FLAG, .help = "print the result as JSON"},
    {.name = "help", .kind = CLI_FLAG, .help = "print this help (also -h)"},
    {0},
};

bool cli_has_common_option(const struct cli_command *command, const struct cli_parameter *option)
{
    if (strcmp(option->name, "config") == 0)
        return !command->no_config;
    if (strcmp(option->name, "json") == 0)
        return command->fields != NULL;
    return true;
}

/* ---- what the tables hold ---- */

static size_t count_parameters(const struct cli_parameter *parameters)
{
    size_t count = 0;
    while (parameters && parameters[count].name)
        count++;
    return count;
}

static struct cli_value *find_value(const struct cli *cli, const char *name)
{
    for (size_t i = 0; i < cli->value_count; i++) {
        if (strcmp(cli->values[i].parameter->name, name) == 0)
            return &cli->values[i];
    }
    return NULL;
}

static const struct cli_value *declared_value(const struct cli *cli, const char *name)
{
    const struct cli_value *value = find_value(cli, name);
    if (!value) {
        fprintf(stderr, "reeve: the command's table does not declare %s\n", name);
        abort();
    }
    return value;
}

const char *cli_text(const struct cli *cli, const char *name)
{
    const struct cli_value *value = declared_value(cli, name);
    return value->count > 0 ? value->texts[value->count - 1] : NULL;
}

bool cli_flag(const struct cli *cli, const char *name)
{
    return declared_value(cli, name)->count > 0;
}

int64_t cli_number(const struct cli *cli, const char *name, int64_t fallback)
{
    const char *text = cli_text(cli, name);
    int64_t number = fallback;
    if (text)
        str_to_i64(text, INT64_MIN, INT64_MAX, &number);
    return number;
}

int64_t cli_size(const struct cli *cli, const char *name, int64_t fallback)
{
    const char *text = cli_text(cli, name);
    int64_t bytes = fallback;
    if (text)
        str_to_size(text, &bytes);
    return bytes;
}

int64_t cli_duration_us(const struct cli *cli, const char *name, int64_t fallback_us)
{
    const char *text = cli_text(cli, name);
    int64_t us = fallback_us;
    if (text)
        str_to_duration_us(text, &us);
    return us;
}

size_t cli_texts(const struct cli *cli, const char *name, const char *const **ret)
{
    const struct cli_value *value = declared_value(cli, name);
    *ret = value->texts;
    return value->count;
}

/* ---- the command ---- */

static const char *noun_name(void *context, size_t index)
{
    const struct cli_noun *const *nouns = context;
    return nouns[index] ? nouns[index]->name : NULL;
}

static const char *verb_name(void *context, size_t index)
{
    const struct cli_command *commands = context;
    return commands[index].summary ? commands[index].verb : NULL;
}

const struct cli_command *cli_command_without_verb(const struct cli_noun *noun)
{
    const struct cli_command *command = noun->commands;
    while (command->summary && command->verb)
        command++;
    return command->summary ? command : NULL;
}

static const struct cli_noun *find_noun(const struct cli_noun *const *nouns, const char *name)
{
    for (; *nouns; nouns++) {
        if (strcmp((*nouns)->name, name) == 0)
            return *nouns;
    }
    return NULL;
}

static int unknown_noun(const struct cli_noun *const *nouns, const char *typed, struct error *err)
{
    int result = error_set(err, ERROR_USAGE, "there is no command \"%s\"", typed);
    const char *nearest = cli_nearest(typed, noun_name, (void *)(uintptr_t)nouns);
    if (nearest)
        error_hint(err, "did you mean \"reeve %s\"?", nearest);
    else
        error_hint(err, "\"reeve --help\" lists the commands");
    return result;
}

static int unknown_verb(const struct cli_noun *noun, const char *typed, struct error *err)
{
    int result;
    if (cli_command_without_verb(noun)) {
        result = error_set(err, ERROR_USAGE, "\"reeve %s\" needs arguments", noun->name);
        error_hint(err, "\"reeve %s --help\" says which", noun->name);
        return result;
    }
    if (typed)
        result = error_set(err, ERROR_USAGE, "there is no command \"%s %s\"", noun->name, typed);
    else
        result = error_set(err, ERROR_USAGE, "\"reeve %s\" needs a verb", noun->name);
    const char *nearest =
        typed ? cli_nearest(typed, verb_name, (void *)(uintptr_t)noun->commands) : NULL;
    if (nearest) {
        error_hint(err, "did you mean \"reeve %s %s\"?", noun->name, nearest);
        return result;
    }
    char verbs[256] = "";
    for (const struct cli_command *command = noun->commands; command->summary && command->verb;
         command++) {
        size_t length = strlen(verbs);
        snprintf(verbs + length, sizeof(verbs) - length, "%s%s", length ? ", " : "", command->verb);
    }
    error_hint(err, "the verbs are: %s", verbs);
    return result;
}

static bool is_help(const char *word)
{
    return strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0;
}

/* Finds noun and command; *ret_used is how many words that took. */
static int find_command(struct cli *cli, const struct cli_noun *const *nouns, int argc,
                        char *const *argv, int *ret_used, struct error *err)
{
    if (argc < 1) {
        int result = error_set(err, ERROR_USAGE, "a command is missing");
        error_hint(err, "\"reeve --help\" lists the commands");
        return result;
    }
    if (is_help(argv[0])) {
        cli->help = true;
        *ret_used = 1;
        return 0;
    }
    const char *first = strcmp(argv[0], "--version") == 0 ? "version" : argv[0];
    cli->noun = find_noun(nouns, first);
    if (!cli->noun)
        return unknown_noun(nouns, argv[0], err);
    *ret_used = 1;
    if (!cli->noun->commands[0].verb) {
        cli->command = &cli->noun->commands[0];
        return 0;
    }
    if (argc > 1 && is_help(argv[1])) {
        cli->help = true;
        *ret_used = 2;
        return 0;
    }
    for (const struct cli_command *command = cli->noun->commands;
         argc > 1 && command->summary && command->verb; command++) {
        if (strcmp(command->verb, argv[1]) == 0) {
            cli->command = command;
            *ret_used = 2;
            return 0;
        }
    }
    cli->command = cli_command_without_verb(cli->noun);
    if (cli->command && argc > 1)
        return 0;
    cli->command = NULL;
    return unknown_verb(cli->noun, argc > 1 ? argv[1] : NULL, err);
}

static const char *command_text(const struct cli *cli)
{
    return arena_printf((struct arena *)(uintptr_t)&cli->arena, "reeve %s%s%s", cli->noun->name,
                        cli->command->verb ? " " : "",
                        cli->command->verb ? cli->command->verb : "");
}

static void add_parameters(struct cli *cli, const struct cli_parameter *parameters, bool common)
{
    for (; parameters && parameters->name; parameters++) {
        if (!common || cli_has_common_option(cli->command, parameters))
            cli->values[cli->value_count++].parameter = parameters;
    }
}

static void make_values(struct cli *cli, int words)
{
    size_t maximum = count_parameters(cli->command->arguments) +
                     count_parameters(cli->command->options) + count_parameters(cli_common_options);
    cli->values = arena_zalloc(&cli->arena, maximum * sizeof(*cli->values));
    add_parameters(cli, cli->command->arguments, false);
    add_parameters(cli, cli->command->options, false);
    add_parameters(cli, cli_common_options, true);
    for (size_t i = 0; i < cli->value_count; i++)
        cli->values[i].texts = arena_zalloc(&cli->arena, (size_t)(words + 1) * sizeof(char *));
}

/* ---- values ---- */

static bool is_option(const struct cli *cli, const struct cli_value *value)
{
    size_t arguments = count_parameters(cli->command->arguments);
    return (size_t)(value - cli->values) >= arguments;
}

/* "SLUG" or "--isolation", for errors. */
static const char *shown_name(struct cli *cli, const struct cli_value *value)
{
    return is_option(cli, value) ? arena_printf(&cli->arena, "--%s", value->parameter->name)
                                 : value->parameter->name;
}

static const char *choice_name(void *context, size_t index)
{
    return ((const struct cli_parameter *)context)->choice(index);
}

static int check_choice(struct cli *cli, const struct cli_value *value, const char *text,
                        struct error *err)
{
    const struct cli_parameter *parameter = value->parameter;
    char choices[256] = "";
    for (size_t i = 0; parameter->choice(i); i++) {
        if (strcmp(parameter->choice(i), text) == 0)
            return 0;
        size_t length = strlen(choices);
        snprintf(choices + length, sizeof(choices) - length, "%s%s", length ? ", " : "",
                 parameter->choice(i));
    }
    int result = error_set(err, ERROR_USAGE, "%s cannot be \"%s\"", shown_name(cli, value), text);
    const char *nearest = cli_nearest(text, choice_name, (void *)(uintptr_t)parameter);
    if (nearest)
        error_hint(err, "did you mean \"%s\"?", nearest);
    else
        error_hint(err, "it is one of: %s", choices);
    return result;
}

static int check_number(struct cli *cli, const struct cli_value *value, const char *text,
                        struct error *err)
{
    int64_t number;
    const struct cli_parameter *parameter = value->parameter;
    if (str_to_i64(text, parameter->minimum, parameter->maximum, &number))
        return 0;
    return error_set(err, ERROR_USAGE, "%s must be a number from %lld to %lld, not \"%s\"",
                     shown_name(cli, value), (long long)parameter->minimum,
                     (long long)parameter->maximum, text);
}

static int check_duration(struct cli *cli, const struct cli_value *value, const char *text,
                          struct error *err)
{
    int64_t us;
    const struct cli_parameter *parameter = value->parameter;
    if (!str_to_duration_us(text, &us)) {
        int result =
            error_set(err, ERROR_USAGE, "%s is no duration: \"%s\"", shown_name(cli, value), text);
        error_hint(err, "write 500ms, 10s, 5m, 12h or 30d");
        return result;
    }
    if (us >= parameter->minimum && us <= parameter->maximum)
        return 0;
    return error_set(err, ERROR_USAGE, "%s must be from %gs to %.0fs, not \"%s\"",
                     shown_name(cli, value), (double)parameter->minimum / (double)TIME_S,
                     (double)parameter->maximum / (double)TIME_S, text);
}

static int check_size(struct cli *cli, const struct cli_value *value, const char *text,
                      struct error *err)
{
    int64_t bytes;
    const struct cli_parameter *parameter = value->parameter;
    int result = 0;
    if (!str_to_size(text, &bytes) || bytes < parameter->minimum || bytes > parameter->maximum)
        result = error_set(err, ERROR_USAGE, "%s must be from %lld kB to %lld GB, not \"%s\"",
                           shown_name(cli, value), (long long)(parameter->minimum >> 10),
                           (long long)(parameter->maximum >> 30), text);
    if (result < 0)
        error_hint(err, "write 64MB, or 16GB");
    return result;
}

static int check_text(struct cli *cli, const struct cli_value *value, const char *text,
                      struct error *err)
{
    if (!*text)
        return error_set(err, ERROR_USAGE, "%s must not be empty", shown_name(cli, value));
    if (!str_is_utf8(text, strlen(text)))
        return error_set(err, ERROR_USAGE, "%s is not UTF-8 text", shown_name(cli, value));
    switch (value->parameter->kind) {
    case CLI_NUMBER:
        return check_number(cli, value, text, err);
    case CLI_DURATION:
        return check_duration(cli, value, text, err);
    case CLI_SIZE:
        return check_size(cli, value, text, err);
    case CLI_CHOICE:
    case CLI_CHOICES:
        return check_choice(cli, value, text, err);
    case CLI_FLAG:
    case CLI_TEXT:
    case CLI_FILE:
    case CLI_FOLDER:
        break;
    }
    return 0;
}

static int add_text(struct cli *cli, struct cli_value *value, const char *text, struct error *err)
{
    if (value->count > 0 && value->parameter->kind != CLI_CHOICES && !value->parameter->many)
        return error_set(err, ERROR_USAGE, "%s is given twice", shown_name(cli, value));
    int result = check_text(cli, value, text, err);
    if (result < 0)
        return result;
    value->texts[value->count++] = text;
    return 0;
}

static int add_choices(struct cli *cli, struct cli_value *value, const char *list,
                       struct error *err)
{
    /* Each comma makes one more text than the command line has words. */
    size_t most = value->count + 1;
    for (const char *at = list; *at; at++)
        most += *at == ',';
    const char **texts = arena_zalloc(&cli->arena, most * sizeof(*texts));
    if (value->count > 0)
        memcpy(texts, value->texts, value->count * sizeof(*texts));
    value->texts = texts;
    char *rest = arena_strdup(&cli->arena, list);
    while (rest) {
        char *comma = strchr(rest, ',');
        if (comma)
            *comma++ = '\0';
        int result = add_text(cli, value, rest, err);
        if (result < 0)
            return result;
        rest = comma;
    }
    return 0;
}

/* ---- words ---- */

static const char *option_name(void *context, size_t index)
{
    const struct cli *cli = context;
    index += count_parameters(cli->command->arguments);
    return index < cli->value_count ? cli->values[index].parameter->name : NULL;
}

static int unknown_option(struct cli *cli, const char *word, struct error *err)
{
    size_t length = strcspn(word, "=");
    int result = error_set(err, ERROR_USAGE, "\"%s\" has no option %.*s", command_text(cli),
                           (int)length, word);
    char *name = arena_strndup(&cli->arena, word, length);
    name += strspn(name, "-");
    const char *nearest = cli_nearest(name, option_name, cli);
    if (nearest)
        error_hint(err, "did you mean --%s?", nearest);
    else
        error_hint(err, "see \"%s --help\"", command_text(cli));
    return result;
}

static int parse_option(struct cli *cli, int argc, char *const *argv, int *at, struct error *err)
{
    char *name = arena_strdup(&cli->arena, argv[*at] + 2);
    char *attached = strchr(name, '=');
    if (attached)
        *attached++ = '\0';
    struct cli_value *value = find_value(cli, name);
    if (!value || !is_option(cli, value))
        return unknown_option(cli, argv[*at], err);
    if (value->parameter->kind == CLI_FLAG) {
        if (attached)
            return error_set(err, ERROR_USAGE, "--%s takes no value", name);
        value->texts[0] = "";
        value->count = 1;
        return 0;
    }
    const char *text = attached;
    if (!text) {
        if (*at + 1 >= argc || str_has_prefix(argv[*at + 1], "--")) {
            int result = error_set(err, ERROR_USAGE, "--%s needs a value", name);
            error_hint(err, "--%s %s", name, value->parameter->value);
            return result;
        }
        text = argv[++*at];
    }
    return value->parameter->kind == CLI_CHOICES ? add_choices(cli, value, text, err)
                                                 : add_text(cli, value, text, err);
}

static int parse_argument(struct cli *cli, const char *word, size_t *taken, struct error *err)
{
    if (*taken == count_parameters(cli->command->arguments)) {
        int result = error_set(err, ERROR_USAGE, "unexpected argument \"%s\"", word);
        error_hint(err, "see \"%s --help\"", command_text(cli));
        return result;
    }
    struct cli_value *value = &cli->values[*taken];
    *taken += !value->parameter->many;
    return add_text(cli, value, word, err);
}

static int check_required(struct cli *cli, struct error *err)
{
    for (size_t i = 0; i < cli->value_count; i++) {
        const struct cli_value *value = &cli->values[i];
        if (!value->parameter->required || value->count > 0)
            continue;
        int result = error_set(err, ERROR_USAGE, "%s is missing", shown_name(cli, value));
        error_detail(err, "%s: %s", shown_name(cli, value), value->parameter->help);
        error_hint(err, "see \"%s --help\"", command_text(cli));
        return result;
    }
    return 0;
}

static int parse_words(struct cli *cli, int argc, char *const *argv, struct error *err)
{
    size_t taken = 0;
    bool options = true;
    for (int i = 0; i < argc; i++) {
        int result;
        if (options && strcmp(argv[i], "--") == 0) {
            options = false;
            continue;
        }
        if (options && str_has_prefix(argv[i], "--"))
            result = parse_option(cli, argc, argv, &i, err);
        else if (options && argv[i][0] == '-' && argv[i][1])
            result = unknown_option(cli, argv[i], err);
        else
            result = parse_argument(cli, argv[i], &taken, err);
        if (result < 0)
            return result;
    }
    return check_required(cli, err);
}

int cli_parse(struct cli *cli, const struct cli_noun *const *nouns, int argc, char *const *argv,
              struct error *err)
{
    int used = 0;
    int result = find_command(cli, nouns, argc, argv, &used, err);
    if (result < 0 || !cli->command)
        return result;
    for (int i = used; i < argc && strcmp(argv[i], "--") != 0; i++) {
        if (is_help(argv[i])) {
            cli->help = true;
            return 0;
        }
    }
    make_values(cli, argc);
    result = parse_words(cli, argc - used, argv + used, err);
    if (result < 0)
        return result;
    cli->json = cli->command->fields && cli_flag(cli, "json");
    cli->config_path = cli->command->no_config ? NULL : cli_text(cli, "config");
    return 0;
}
