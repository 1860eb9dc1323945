#include "cli/nouns.h"

#include <unistd.h>

#include "base/time.h"
#include "cli/context.h"
#include "cli/status_socket.h"
#include "cli/top.h"

enum { SCREEN_MAX_BYTES = 1 << 20 };

static const char *order_choice(size_t index)
{
    return top_order_name(index);
}

static const struct cli_parameter options[] = {
    {.name = "interval",
     .value = "DURATION",
     .kind = CLI_DURATION,
     .minimum = 100 * TIME_MS,
     .maximum = (int64_t)3600 * TIME_S,
     .fallback = "2s",
     .help = "the time between two looks, which rates are made from"},
    {.name = "sort",
     .value = "BY",
     .kind = CLI_CHOICE,
     .choice = order_choice,
     .fallback = "transactions",
     .help = "what the first of the tenants have most of"},
    {.name = "limit",
     .value = "N",
     .kind = CLI_NUMBER,
     .minimum = 1,
     .maximum = TOP_TENANTS_MAX,
     .help = "tenants at most on a screen (default: as many as fit; with --once all)"},
    {.name = "once", .kind = CLI_FLAG, .help = "print one screen and end: for pipes"},
    {0},
};

static const struct output_field fields[] = {
    {.key = "seconds",
     .title = "seconds",
     .kind = OUTPUT_NUMBER,
     .help = "between the two looks that rates are made from"},
    {.key = "server", .title = "server", .kind = OUTPUT_OBJECT, .help = "as `reeve status` has it"},
    {.key = "whole",
     .title = "whole",
     .kind = OUTPUT_OBJECT,
     .help = "the figures of a tenant, of all together"},
    {.key = "tenants",
     .title = "tenants",
     .kind = OUTPUT_LIST,
     .help = "a tenant in a service each, in the order asked for: tenant, service, clients, "
             "waiting (clients), longest_wait_s, backends (that its clients have), and a second "
             "(null: not measured) transactions_per_s, queries_per_s, errors_per_s, backends_used "
             "(on average), backend_share (0 to 1), waits_per_s, wait_s_per_s, bytes_in_per_s, "
             "bytes_out_per_s"},
    {.key = "others",
     .title = "others",
     .kind = OUTPUT_OBJECT,
     .help = "the same of those that are not among them: beyond the 1,000 with most backend time"},
    {.key = "databases",
     .title = "databases",
     .kind = OUTPUT_LIST,
     .help = "cluster, database, backends, idle, connecting, waiting (clients)"},
    {.key = "clusters",
     .title = "clusters",
     .kind = OUTPUT_LIST,
     .help = "cluster, backends, max_backends, pools_waiting (for its budget)"},
    {0},
};

/* One run of the command. */
struct top {
    struct config config;
    int64_t interval_us;
    struct top_screen screen;
    json_t *before, *after; /* answers; NULL: none yet */
    bool answers;           /* the server did, the last time */
};

static int look(struct top *top, struct error *err)
{
    json_t *answer = NULL;
    int result = status_socket_ask(top->config.status_socket, "top", &answer, err);
    top->answers = result == 0;
    if (result < 0)
        return result;
    json_decref(top->before);
    top->before = top->after;
    top->after = answer;
    return 0;
}

/* ---- once ---- */

static int run_once(struct cli *cli, struct top *top, struct error *err)
{
    int result = look(top, err);
    if (result == 0)
        result = cli_pause(top->interval_us, err);
    if (result == 0)
        result = look(top, err);
    if (result < 0)
        return result;
    struct top_view view;
    top_compare(top->before, top->after, &view);
    top_sort(&view, top->screen.order);
    if (cli->json) {
        output_record(cli, top_record(&view));
    } else {
        _cleanup_buffer_ struct buffer text = BUFFER_INIT(SCREEN_MAX_BYTES);
        top_render(&text, &view, &top->screen);
        fputs(buffer_string(&text), stdout);
    }
    top_view_free(&view);
    return 0;
}

/* ---- live ---- */

static void show(struct top *top, const struct error *trouble)
{
    _cleanup_buffer_ struct buffer text = BUFFER_INIT(SCREEN_MAX_BYTES);
    top_terminal_size(&top->screen.rows, &top->screen.columns);
    if (!top->answers) {
        buffer_append_escaped(&text, trouble->message, false);
        buffer_append_string(&text, "\ntrying again; q quits\n");
    } else {
        struct top_view view;
        top_compare(top->before, top->after, &view);
        top_sort(&view, top->screen.order);
        top_render(&text, &view, &top->screen);
        top_view_free(&view);
    }
    top_terminal_show(&text);
}

/* Keys and signals until the deadline. False: it is to end. */
static bool attend(struct top *top, int64_t deadline_us, const struct error *trouble)
{
    int key;
    while ((key = top_terminal_wait(deadline_us)) != 0) {
        if (key == -2 || key == 'q' || key == 'Q')
            return false;
        for (size_t i = 0; key > 0 && i < TOP_ORDERS; i++) {
            if (top_order_keys[i] == key)
                top->screen.order = (enum top_order)i;
        }
        show(top, trouble);
    }
    return true;
}

static int run_live(struct top *top, struct error *err)
{
    int result = look(top, err); /* that none answers is told before the screen is taken */
    if (result == 0)
        result = top_terminal_enter(err);
    if (result < 0)
        return result;
    struct error trouble = {0};
    int64_t next_us = time_monotonic_us();
    do {
        show(top, &trouble);
        next_us += top->interval_us;
        int64_t now_us = time_monotonic_us();
        if (next_us < now_us) /* it was stopped, or the server took its time */
            next_us = now_us;
        if (!attend(top, next_us, &trouble))
            break;
        (void)look(top, &trouble);
    } while (true);
    top_terminal_leave();
    top_terminal_die();
    return 0;
}

static int run(struct cli *cli, struct error *err)
{
    struct top top = {.interval_us = cli_duration_us(cli, "interval", 2 * (int64_t)TIME_S)};
    const char *sort = cli_text(cli, "sort");
    for (size_t i = 0; sort && i < TOP_ORDERS; i++) {
        if (strcmp(sort, top_order_name(i)) == 0)
            top.screen.order = (enum top_order)i;
    }
    top.screen.tenants_max = (size_t)cli_number(cli, "limit", 0);
    top.screen.live = !cli->json && !cli_flag(cli, "once");
    if (top.screen.live && (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO))) {
        int result = error_set(err, ERROR_USAGE, "this is no terminal");
        error_hint(err, "pass --once for one screen, or --json");
        return result;
    }
    int result = context_config(cli, &top.config, err);
    if (result == 0)
        result = top.screen.live ? run_live(&top, err) : run_once(cli, &top, err);
    json_decref(top.before);
    json_decref(top.after);
    return result;
}

static const char *const examples[] = {"reeve top", "reeve top --sort waiting --interval 5s",
                                       "reeve top --once --limit 20", NULL};

static const struct cli_command commands[] = {
    {.summary = "Watch which tenants use the proxy, and how much",
     .description =
         "Asks the server that runs with this configuration on this machine, every two seconds, "
         "and shows what has happened between two looks: tenants by transactions a second, by "
         "their share of the time that server connections were in use (IN-USE: how many on "
         "average), by clients that wait, or by errors; server connections by database; budgets "
         "by cluster. Keys: t, b, w, e sort, q quits.",
     .options = options,
     .fields = fields,
     .examples = examples,
     .run = run},
    {0},
};

const struct cli_noun cli_noun_top = {
    .name = "top", .summary = "Watch the proxy's tenants", .commands = commands};
