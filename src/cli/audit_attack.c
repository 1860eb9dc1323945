#include "cli/audit_attack.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "attack/report.h"
#include "base/str.h"
#include "cli/context.h"
#include "cli/prompt.h"
#include "cli/url.h"

/* ---- where to connect ---- */

/* "host:6432", "[::1]:6432", "/run/reeve:6432". */
static int read_endpoint(struct arena *arena, const char *text, struct attack_options *ret,
                         struct error *err)
{
    const char *colon = strrchr(text, ':');
    int64_t port = 0;
    size_t length = colon ? (size_t)(colon - text) : 0;
    if (length == 0 || !str_to_i64(colon + 1, 1, 65535, &port))
        return error_set(err, ERROR_USAGE, "--endpoint must be HOST:PORT, not \"%s\"", text);
    if (length > 2 && text[0] == '[' && text[length - 1] == ']') {
        text++;
        length -= 2;
    }
    ret->host = arena_strndup(arena, text, length);
    ret->port = (int)port;
    return 0;
}

static int choose_endpoint(struct cli *cli, const struct config *config, struct attack_options *ret,
                           struct error *err)
{
    const char *given = cli_text(cli, "endpoint");
    int result = 0;
    if (given)
        result = read_endpoint(&cli->arena, given, ret, err);
    else
        url_endpoint(config, &ret->host, &ret->port);
    if (result == 0 && config->tls_required && ret->host[0] != '/')
        ret->sslmode = "require";
    return result;
}

/* ---- the report ---- */

static int write_all(int fd, const char *bytes, size_t length)
{
    while (length > 0) {
        ssize_t written = write(fd, bytes, length);
        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0)
            return -1;
        bytes += written;
        length -= (size_t)written;
    }
    return 0;
}

/* Opened before anything is attacked: a report that cannot be written is of no use. */
static int open_output(const char *path, int *ret, struct error *err)
{
    *ret = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    return *ret < 0 ? error_errno(err, errno, "cannot write %s", path) : 0;
}

static int write_report(const struct cli *cli, const struct context *context, int output_fd,
                        const struct attack_report *report, struct error *err)
{
    _cleanup_buffer_ struct buffer bytes = BUFFER_INIT(ATTACK_REPORT_MAX);
    int result = attack_report_write(report, cli->json, context->job.master_key, &bytes, err);
    if (result < 0)
        return result;
    output_progress_end();
    if (output_fd < 0) {
        fwrite(buffer_string(&bytes), 1, bytes.length, stdout);
        return 0;
    }
    const char *path = cli_text(cli, "output");
    if (ftruncate(output_fd, 0) < 0 ||
        write_all(output_fd, buffer_string(&bytes), bytes.length) < 0 || fsync(output_fd) < 0)
        return error_errno(err, errno, "cannot write %s", path);
    output_note("The report is in %s; \"reeve audit --verify %s\" checks its signature.", path,
                path);
    return 0;
}

/* The exit status says whether anything got through; the tenants that stayed are said too. */
static int conclude(const struct attack_report *report, struct error *err)
{
    const size_t *counts = report->counts;
    output_note("%zu attacks held, %zu got through, %zu residual, %zu skipped.",
                counts[ATTACK_PASS], counts[ATTACK_FINDING], counts[ATTACK_RESIDUAL],
                counts[ATTACK_SKIPPED]);
    if (counts[ATTACK_FINDING] > 0) {
        error_set(err, ERROR_ATTACKED, "%zu attacks got through", counts[ATTACK_FINDING]);
        error_hint(err, "the report's lines that begin with FINDING say which, and how");
        return -ERROR_ATTACKED;
    }
    if (!report->not_removed)
        return 0;
    error_set(err, ERROR_STATE, "throwaway tenants could not be removed: %s", report->not_removed);
    error_hint(err, "the next run removes them first");
    return -ERROR_STATE;
}

/* ---- the commands ---- */

static void show_progress(void *owner reeve_unused, size_t number, size_t count, const char *text)
{
    output_progress(number, count, text);
}

static int attack(struct cli *cli, struct error *err)
{
    _cleanup_context_ struct context context = {0};
    _cleanup_attack_report_ struct attack_report report = {0};
    _cleanup_close_ int output_fd = -1;
    struct attack_options options = {.service = cli_text(cli, "service"),
                                     .progress = show_progress};
    options.isolation_count = cli_texts(cli, "isolation", &options.isolations);
    int result = context_open(cli, &context, err);
    if (result == 0)
        result = choose_endpoint(cli, &context.config, &options, err);
    if (result == 0 && cli_text(cli, "output"))
        result = open_output(cli_text(cli, "output"), &output_fd, err);
    if (result < 0)
        return result;
    context.job.progress = NULL; /* the suite tells of its own steps */
    options.job = &context.job;
    result = attack_run(&options, &report, err);
    if (result == 0)
        result = write_report(cli, &context, output_fd, &report, err);
    return result < 0 ? result : conclude(&report, err);
}

static int verify(struct cli *cli, struct error *err)
{
    _cleanup_context_ struct context context = {0};
    _cleanup_buffer_ struct buffer bytes = BUFFER_INIT(ATTACK_REPORT_MAX);
    const char *path = cli_text(cli, "verify");
    int result = context_open(cli, &context, err);
    if (result == 0)
        result = prompt_file(path, &bytes, err);
    if (result == 0)
        result =
            attack_report_verify(buffer_string(&bytes), bytes.length, context.job.master_key, err);
    if (result < 0)
        return result;
    output_done(cli, json_pack("{s:s, s:I}", "verified", path, "bytes", (json_int_t)bytes.length),
                "%s is as this Reeve signed it.", path);
    return 0;
}

int audit_attack_command(struct cli *cli, struct error *err)
{
    const char *report = cli_text(cli, "verify");
    if (report && cli_flag(cli, "attack"))
        return error_set(err, ERROR_USAGE, "--attack and --verify exclude each other");
    return report ? verify(cli, err) : attack(cli, err);
}
