#include "cli/cli.h"

/* bash completion, made from the command table: `reeve completion bash`. */

static const char prologue[] =
    "# bash completion for reeve. Load it with:  source <(reeve completion bash)\n"
    "_reeve() {\n"
    "    local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD-1]}\n"
    "    local words=() word\n"
    "    for word in \"${COMP_WORDS[@]:1:COMP_CWORD-1}\"; do\n"
    "        case $word in -*) ;; *) words+=(\"$word\") ;; esac\n"
    "    done\n"
    "    local noun=${words[0]-} verb=${words[1]-}\n"
    "    COMPREPLY=()\n";

static const char epilogue[] = "}\ncomplete -F _reeve reeve\n";

static void write_choices(FILE *file, const struct cli_parameter *parameter)
{
    for (size_t i = 0; parameter->choice(i); i++)
        fprintf(file, "%s%s", i ? " " : "", parameter->choice(i));
}

/* What may follow --option. */
static void write_option_value(FILE *file, const struct cli_parameter *option)
{
    if (option->kind == CLI_FLAG)
        return;
    fprintf(file, "        --%s)", option->name);
    switch (option->kind) {
    case CLI_FILE:
        fputs(" mapfile -t COMPREPLY < <(compgen -f -- \"$current\"); compopt -o filenames; return "
              ";;\n",
              file);
        return;
    case CLI_FOLDER:
        fputs(" mapfile -t COMPREPLY < <(compgen -d -- \"$current\"); compopt -o filenames; return "
              ";;\n",
              file);
        return;
    case CLI_CHOICE:
    case CLI_CHOICES:
        fputs(" mapfile -t COMPREPLY < <(compgen -W \"", file);
        write_choices(file, option);
        fputs("\" -- \"$current\"); return ;;\n", file);
        return;
    case CLI_FLAG:
    case CLI_TEXT:
    case CLI_NUMBER:
    case CLI_DURATION:
    case CLI_SIZE:
        break;
    }
    fputs(" return ;;\n", file);
}

static void write_command(FILE *file, const struct cli_noun *noun,
                          const struct cli_command *command)
{
    const struct cli_parameter *option;
    fprintf(file, "    \"%s %s\")\n        case $previous in\n", noun->name,
            command->verb ? command->verb : "");
    for (option = command->options; option && option->name; option++)
        write_option_value(file, option);
    for (option = cli_common_options; option->name; option++) {
        if (cli_has_common_option(command, option))
            write_option_value(file, option);
    }
    fputs("        esac\n        mapfile -t COMPREPLY < <(compgen -W \"", file);
    const struct cli_parameter *argument = command->arguments;
    for (; argument && argument->name; argument++) {
        if (argument->choice) {
            write_choices(file, argument);
            fputc(' ', file);
        }
    }
    for (option = command->options; option && option->name; option++)
        fprintf(file, "--%s ", option->name);
    for (option = cli_common_options; option->name; option++) {
        if (cli_has_common_option(command, option))
            fprintf(file, "--%s ", option->name);
    }
    fputs("\" -- \"$current\") ;;\n", file);
}

static void write_verbs(FILE *file, const struct cli_noun *noun, const char *separator)
{
    for (const struct cli_command *command = noun->commands; command->summary && command->verb;
         command++)
        fprintf(file, "%s%s", command->verb, separator);
}

void cli_write_completion(FILE *file, const struct cli_noun *const *nouns)
{
    fputs(prologue, file);
    fputs("    if [ ${#words[@]} -eq 0 ]; then\n        mapfile -t COMPREPLY < <(compgen -W \"",
          file);
    for (size_t i = 0; nouns[i]; i++)
        fprintf(file, "%s ", nouns[i]->name);
    fputs("--help\" -- \"$current\")\n        return\n    fi\n    case $noun in\n", file);
    for (size_t i = 0; nouns[i]; i++) {
        if (!nouns[i]->commands[0].verb) {
            fprintf(file, "    %s) verb= ;;\n", nouns[i]->name);
            continue;
        }
        fprintf(file,
                "    %s)\n        if [ ${#words[@]} -eq 1 ]; then\n"
                "            mapfile -t COMPREPLY < <(compgen -W \"",
                nouns[i]->name);
        write_verbs(file, nouns[i], " ");
        fputs("--help\" -- \"$current\")\n            return\n        fi\n", file);
        if (cli_command_without_verb(nouns[i])) {
            fputs("        case $verb in ", file);
            write_verbs(file, nouns[i], "|");
            fputs("--help) ;; *) verb= ;; esac\n", file);
        }
        fputs("        ;;\n", file);
    }
    fputs("    esac\n    case \"$noun $verb\" in\n", file);
    for (size_t i = 0; nouns[i]; i++) {
        for (const struct cli_command *command = nouns[i]->commands; command->summary; command++)
            write_command(file, nouns[i], command);
    }
    fputs("    esac\n", file);
    fputs(epilogue, file);
}
