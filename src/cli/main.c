#include "cli/cli.h"

#include <signal.h>
#include <unistd.h>

#include "base/log.h"
#include "base/time.h"

atomic_bool cli_cancelled;

/* The first one asks politely; the next finds the default and ends the process. */
static void cancel(int number reeve_unused)
{
    atomic_store(&cli_cancelled, true);
}

static void catch_signals(void)
{
    struct sigaction action = {.sa_handler = cancel, .sa_flags = (int)SA_RESETHAND};
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    signal(SIGPIPE, SIG_IGN);
}

int cli_pause(int64_t us, struct error *err)
{
    int64_t end_us = time_monotonic_us() + us;
    while (!atomic_load(&cli_cancelled)) {
        int64_t left_us = end_us - time_monotonic_us();
        if (left_us <= 0)
            return 0;
        usleep((useconds_t)(left_us < 100 * TIME_MS ? left_us : 100 * TIME_MS));
    }
    return error_set(err, ERROR_CANCELLED, "interrupted");
}

static void print_help(const struct cli *cli)
{
    if (cli->command)
        cli_help_command(stdout, cli->noun, cli->command);
    else if (cli->noun)
        cli_help_noun(stdout, cli->noun);
    else
        cli_help_all(stdout, cli_nouns);
}

static int run(struct cli *cli, int argc, char **argv, struct error *err)
{
    int result = cli_parse(cli, cli_nouns, argc - 1, argv + 1, err);
    if (result < 0)
        return result;
    if (cli->help) {
        print_help(cli);
        return 0;
    }
    return cli->command->run(cli, err);
}

int cli_main(int argc, char **argv)
{
    struct cli cli = {0};
    struct error err = {0};
    /* What jobs log while a person watches progress is of interest when it is a warning. */
    log_set_level(LOG_WARNING);
    catch_signals();
    int result = run(&cli, argc, argv, &err);
    if (result == 0 && (fflush(stdout) != 0 || ferror(stdout)))
        result = error_set(&err, ERROR_IO, "cannot write to standard output");
    output_progress_end();
    if (result < 0)
        output_error(&err);
    arena_reset(&cli.arena);
    return result < 0 ? error_info(result)->exit_code : 0;
}
