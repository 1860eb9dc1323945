#include "cli/cli.h"

enum { LINE_WIDTH = 96 };

/* Breaks text into lines at spaces; lines after the first are indented. */
static void print_wrapped(FILE *file, const char *text, size_t indent)
{
    size_t column = indent;
    while (*text) {
        size_t length = strcspn(text, " \n");
        if (column + length > LINE_WIDTH && column > indent) {
            fprintf(file, "\n%*s", (int)indent, "");
            column = indent;
        }
        fwrite(text, 1, length, file);
        column += length;
        text += length;
        if (*text == '\n') {
            fprintf(file, "\n%*s", (int)indent, "");
            column = indent;
            text++;
        } else if (*text == ' ') {
            text++;
            if (column + 1 + strcspn(text, " \n") <= LINE_WIDTH)
                fputc(' ', file);
            column++;
        }
    }
    fputc('\n', file);
}

static void print_value(FILE *file, const struct cli_parameter *option)
{
    if (option->kind == CLI_FLAG)
        return;
    fprintf(file, " %s", option->value);
}

static void print_usage(FILE *file, const struct cli_noun *noun, const struct cli_command *command)
{
    fprintf(file, "reeve %s%s%s", noun->name, command->verb ? " " : "",
            command->verb ? command->verb : "");
    const struct cli_parameter *parameter;
    for (parameter = command->arguments; parameter && parameter->name; parameter++) {
        fprintf(file, parameter->required ? " %s" : " [%s]", parameter->name);
        fputs(parameter->many ? "..." : "", file);
    }
    for (parameter = command->options; parameter && parameter->name; parameter++) {
        if (!parameter->required)
            continue;
        fprintf(file, " --%s", parameter->name);
        print_value(file, parameter);
    }
    fputs(" [options]\n", file);
}

void cli_help_all(FILE *file, const struct cli_noun *const *nouns)
{
    fputs("Reeve looks after the tenants of a product in PostgreSQL: one endpoint, one schema\n"
          "definition, three isolation levels.\n\n"
          "Usage: reeve COMMAND [arguments] [options]\n\nCommands:\n",
          file);
    for (; *nouns; nouns++) {
        if (!(*nouns)->hidden)
            fprintf(file, "  %-12s %s\n", (*nouns)->name, (*nouns)->summary);
    }
    fputs("\n\"reeve COMMAND --help\" says more. To begin: \"reeve dev\".\n", file);
}

void cli_help_noun(FILE *file, const struct cli_noun *noun)
{
    const struct cli_command *alone = cli_command_without_verb(noun);
    if (alone)
        cli_help_command(file, noun, alone);
    if (alone == noun->commands)
        return;
    if (alone)
        fputs("\nOther commands:\n", file);
    else
        fprintf(file, "%s\n\nUsage: reeve %s COMMAND [arguments] [options]\n\nCommands:\n",
                noun->summary, noun->name);
    for (const struct cli_command *command = noun->commands; command->summary && command->verb;
         command++)
        fprintf(file, "  %-12s %s\n", command->verb, command->summary);
    fprintf(file, "\n\"reeve %s COMMAND --help\" says more.\n", noun->name);
}

static void print_parameter(FILE *file, const struct cli_parameter *parameter, bool option)
{
    char left[80];
    snprintf(left, sizeof(left), "%s%s%s%s", option ? "--" : "", parameter->name,
             option && parameter->kind != CLI_FLAG ? " " : "",
             option && parameter->kind != CLI_FLAG ? parameter->value : "");
    enum { INDENT = 26 };
    if (strlen(left) < INDENT - 3)
        fprintf(file, "  %-*s", INDENT - 2, left);
    else
        fprintf(file, "  %s\n%*s", left, INDENT, "");
    char text[1024];
    size_t length = (size_t)snprintf(text, sizeof(text), "%s", parameter->help);
    if (parameter->choice && length < sizeof(text)) {
        length += (size_t)snprintf(text + length, sizeof(text) - length, ": ");
        for (size_t i = 0; parameter->choice(i) && length < sizeof(text); i++)
            length += (size_t)snprintf(text + length, sizeof(text) - length, "%s%s", i ? ", " : "",
                                       parameter->choice(i));
    }
    if (parameter->fallback && length < sizeof(text))
        snprintf(text + length, sizeof(text) - length, " (default: %s)", parameter->fallback);
    print_wrapped(file, text, INDENT);
}

static const char *kind_name(enum output_kind kind)
{
    static const char *const names[] = {
        [OUTPUT_TEXT] = "text", [OUTPUT_NUMBER] = "number", [OUTPUT_BOOLEAN] = "boolean",
        [OUTPUT_TIME] = "time", [OUTPUT_LIST] = "list",     [OUTPUT_OBJECT] = "object"};
    return names[kind];
}

static void print_fields(FILE *file, const struct cli_command *command)
{
    fprintf(file, "\nWith --json, %s:\n",
            command->list ? "an array of objects with these keys" : "an object with these keys");
    for (const struct output_field *field = command->fields; field->key; field++) {
        fprintf(file, "  %-20s %-8s ", field->key, kind_name(field->kind));
        print_wrapped(file, field->help, 32);
    }
}

void cli_help_command(FILE *file, const struct cli_noun *noun, const struct cli_command *command)
{
    fprintf(file, "%s\n\nUsage: ", command->summary);
    print_usage(file, noun, command);
    if (command->description) {
        fputc('\n', file);
        print_wrapped(file, command->description, 0);
    }
    const struct cli_parameter *parameter = command->arguments;
    if (parameter && parameter->name)
        fputs("\nArguments:\n", file);
    for (; parameter && parameter->name; parameter++)
        print_parameter(file, parameter, false);
    fputs("\nOptions:\n", file);
    for (parameter = command->options; parameter && parameter->name; parameter++)
        print_parameter(file, parameter, true);
    for (parameter = cli_common_options; parameter->name; parameter++) {
        if (cli_has_common_option(command, parameter))
            print_parameter(file, parameter, true);
    }
    if (command->fields)
        print_fields(file, command);
    if (command->examples)
        fputs("\nExamples:\n", file);
    for (size_t i = 0; command->examples && command->examples[i]; i++)
        fprintf(file, "  %s\n", command->examples[i]);
}

/* ---- docs/reference/cli.md ---- */

static void write_exit_codes(FILE *file)
{
    fputs(
        "## Exit codes\n\n"
        "Errors are lines on standard error: `reeve: MESSAGE`, then `detail: ...` and `hint: ...`\n"
        "where there is more to say. 0 is success.\n\n"
        "| exit code | error | SQLSTATE | meaning |\n|---|---|---|---|\n",
        file);
    for (int code = 1; code < ERROR_CODE_COUNT; code++) {
        const struct error_info *info = error_info(code);
        fprintf(file, "| %d | %s | %s | %s |\n", info->exit_code, info->name, info->sqlstate,
                info->meaning);
    }
}

void cli_write_reference(FILE *file, const struct cli_noun *const *nouns)
{
    fputs("# The command line\n\nMade by `reeve help --markdown cli`; do not edit. The same texts "
          "are in\n`reeve COMMAND --help`.\n\n",
          file);
    for (size_t i = 0; nouns[i]; i++) {
        if (nouns[i]->hidden)
            continue;
        fprintf(file, "- [%s](#reeve-%s): %s\n", nouns[i]->name, nouns[i]->name, nouns[i]->summary);
    }
    fputs("- [exit codes](#exit-codes)\n\n", file);
    for (; *nouns; nouns++) {
        if ((*nouns)->hidden)
            continue;
        fprintf(file, "## reeve %s\n\n%s.\n\n", (*nouns)->name, (*nouns)->summary);
        for (const struct cli_command *command = (*nouns)->commands; command->summary; command++) {
            if ((*nouns)->commands[0].verb)
                fprintf(file, "### reeve %s%s%s\n\n", (*nouns)->name, command->verb ? " " : "",
                        command->verb ? command->verb : "");
            fputs("```text\n", file);
            cli_help_command(file, *nouns, command);
            fputs("```\n\n", file);
        }
    }
    write_exit_codes(file);
}
