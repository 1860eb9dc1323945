/*
 * top_screen.c - a view as lines of text.
 */
#include "base/time.h"
#include "cli/top.h"

enum {
    LINE_MAX_BYTES = 4096,
    NAME_WIDTH = 24,       /* of tenants', databases' and clusters' names, at least; */
    SHORT_NAME_WIDTH = 12, /* of those that stand behind them; */
    NAME_WIDTH_MAX = 40,   /* and at most, on a terminal */
    SECTION_ROWS = 4,      /* clusters, and databases, that a terminal shows; */
    LOW_ROWS = 24,         /* one with fewer lines has one of each, */
    LOWEST_ROWS = 16,      /* and one with fewer none: tenants come first */
};

struct page {
    struct buffer *buffer;
    const struct top_screen *screen;
    size_t lines;
};

/* ---- lines ---- */

/* Bytes of so many characters: continuation bytes take no place. */
static size_t cut(const char *line, size_t columns)
{
    size_t at = 0;
    for (size_t width = 0; line[at]; at++) {
        bool begins = ((unsigned char)line[at] & 0xC0) != 0x80;
        if (begins && ++width > columns)
            break;
    }
    return at;
}

static void put_line(struct page *page, const struct buffer *line, bool heading)
{
    const struct top_screen *screen = page->screen;
    if (screen->rows > 0 && page->lines >= screen->rows)
        return;
    const char *text = buffer_string(line);
    size_t length = screen->columns > 0 ? cut(text, screen->columns) : line->length;
    while (length > 0 && text[length - 1] == ' ')
        length--;
    bool marked = heading && screen->live;
    buffer_append_string(page->buffer, marked ? "\033[7m" : "");
    buffer_append(page->buffer, text, length);
    buffer_append_string(page->buffer, marked ? "\033[0m\n" : "\n");
    page->lines++;
}

static void put_blank(struct page *page)
{
    const struct buffer line = {0};
    put_line(page, &line, false);
}

static void append_name(struct buffer *line, const char *name, size_t width)
{
    size_t before = line->length;
    buffer_append_escaped(line, name, false);
    const char *added = buffer_string(line) + before;
    size_t length = cut(added, width);
    if (added[length] != '\0') { /* it is longer */
        line->length = before + length;
        line->data[line->length] = '\0';
    }
    size_t shown = 0;
    for (const char *at = buffer_string(line) + before; *at; at++)
        shown += ((unsigned char)*at & 0xC0) != 0x80;
    for (; shown < width + 2; shown++)
        buffer_append_byte(line, ' ');
}

/* ---- numbers ---- */

static void append_text(struct buffer *line, int width, const char *text)
{
    buffer_printf(line, "%*s", width, text);
}

static void append_number(struct buffer *line, int width, int64_t number)
{
    buffer_printf(line, "%*lld", width, (long long)number);
}

/* "-" for what is not measured yet. */
static void append_rate(struct buffer *line, int width, const struct top_row *row, double value)
{
    char text[32] = "-";
    if (row->measured)
        snprintf(text, sizeof(text), value < 1000 ? "%.1f" : "%.0f", value);
    append_text(line, width, text);
}

static void append_percent(struct buffer *line, int width, const struct top_row *row)
{
    char text[32] = "-";
    if (row->measured)
        snprintf(text, sizeof(text), "%.1f%%", row->share * 100);
    append_text(line, width, text);
}

static void append_bytes(struct buffer *line, int width, const struct top_row *row, double value)
{
    static const char *const units[] = {"B", "kB", "MB", "GB"};
    char text[32] = "-";
    size_t unit = 0;
    for (; value >= 1000 && unit + 1 < array_size(units); unit++)
        value /= 1000;
    if (row->measured)
        snprintf(text, sizeof(text), unit == 0 ? "%.0f %s" : "%.1f %s", value, units[unit]);
    append_text(line, width, text);
}

static void append_wait(struct buffer *line, int width, int64_t us)
{
    char text[32] = "-";
    if (us >= TIME_S)
        snprintf(text, sizeof(text), "%.1f s", (double)us / TIME_S);
    else if (us > 0)
        snprintf(text, sizeof(text), "%.1f ms", (double)us / TIME_MS);
    append_text(line, width, text);
}

static int64_t member(const json_t *object, const char *key)
{
    return json_integer_value(json_object_get(object, key));
}

static const char *name_member(const json_t *object, const char *key)
{
    const char *name = json_string_value(json_object_get(object, key));
    return name && *name ? name : "-";
}

/* ---- columns of names ---- */

static size_t wider(const struct page *page, size_t width, const char *name)
{
    size_t length = strlen(name);
    size_t most = page->screen->columns > 0 ? NAME_WIDTH_MAX : LINE_MAX_BYTES;
    return length <= width ? width : length < most ? length : most;
}

static size_t width_of_members(const struct page *page, const json_t *list, const char *key,
                               size_t least)
{
    size_t index;
    json_t *item;
    json_array_foreach(list, index, item) least = wider(page, least, name_member(item, key));
    return least;
}

/* ---- sections ---- */

static void put_head(struct page *page, const struct top_view *view)
{
    _cleanup_buffer_ struct buffer line = BUFFER_INIT(LINE_MAX_BYTES);
    const json_t *server = json_object_get(view->answer, "server");
    const struct top_row *whole = &view->whole;
    int64_t up_s = member(server, "uptime_s");
    buffer_append_string(&line, "reeve ");
    buffer_append_escaped(&line, name_member(server, "version"), false);
    buffer_printf(&line, "  pid %lld  up %lldd %02lld:%02lld:%02lld  engine ",
                  (long long)member(server, "pid"), (long long)(up_s / 86400),
                  (long long)(up_s / 3600 % 24), (long long)(up_s / 60 % 60),
                  (long long)(up_s % 60));
    buffer_append_escaped(&line, name_member(server, "engine"), false);
    if (json_is_true(json_object_get(server, "stopping")))
        buffer_append_string(&line, "  STOPPING");
    if (!json_is_true(json_object_get(view->answer, "complete")))
        buffer_append_string(&line, "  (not every worker answered in time)");
    put_line(page, &line, false);
    buffer_reset(&line);
    buffer_printf(
        &line, "clients %lld, %lld waiting   server connections %lld, %lld idle   ",
        (long long)member(server, "clients"), (long long)member(server, "clients_waiting"),
        (long long)member(server, "backends"), (long long)member(server, "backends_idle"));
    buffer_printf(&line, "logins %lld, %lld failed", (long long)member(server, "logins"),
                  (long long)member(server, "logins_failed"));
    put_line(page, &line, false);
    buffer_reset(&line);
    buffer_append_string(&line, "a second: transactions ");
    append_rate(&line, 0, whole, whole->rates[PROXY_USE_TRANSACTIONS]);
    buffer_append_string(&line, "   queries ");
    append_rate(&line, 0, whole, whole->rates[PROXY_USE_QUERIES]);
    buffer_append_string(&line, "   errors ");
    append_rate(&line, 0, whole, whole->rates[PROXY_USE_ERRORS]);
    buffer_append_string(&line, "   in ");
    append_bytes(&line, 0, whole, whole->rates[PROXY_USE_BYTES_IN]);
    buffer_append_string(&line, "   out ");
    append_bytes(&line, 0, whole, whole->rates[PROXY_USE_BYTES_OUT]);
    put_line(page, &line, false);
}

/* How many of them are shown; 0: the section is left out. */
static size_t shown_of(const struct page *page, size_t count)
{
    size_t rows = page->screen->rows;
    if (rows == 0)
        return count;
    size_t most = rows < LOWEST_ROWS ? 0 : rows < LOW_ROWS ? 1 : SECTION_ROWS;
    return count < most ? count : most;
}

static void put_more(struct page *page, size_t left)
{
    _cleanup_buffer_ struct buffer line = BUFFER_INIT(LINE_MAX_BYTES);
    if (left == 0)
        return;
    buffer_printf(&line, "... and %zu more", left);
    put_line(page, &line, false);
}

static void put_clusters(struct page *page, const struct top_view *view)
{
    const json_t *clusters = json_object_get(view->answer, "clusters");
    size_t shown = shown_of(page, json_array_size(clusters));
    if (shown == 0)
        return;
    _cleanup_buffer_ struct buffer line = BUFFER_INIT(LINE_MAX_BYTES);
    size_t width = width_of_members(page, clusters, "cluster", NAME_WIDTH);
    put_blank(page);
    append_name(&line, "CLUSTER", width);
    buffer_printf(&line, "%9s%9s%15s", "BACKENDS", "MAX", "POOLS-WAITING");
    put_line(page, &line, true);
    for (size_t i = 0; i < shown; i++) {
        const json_t *cluster = json_array_get(clusters, i);
        buffer_reset(&line);
        append_name(&line, name_member(cluster, "cluster"), width);
        append_number(&line, 9, member(cluster, "backends"));
        append_number(&line, 9, member(cluster, "max_backends"));
        append_number(&line, 15, member(cluster, "pools_waiting"));
        put_line(page, &line, false);
    }
    put_more(page, json_array_size(clusters) - shown);
}

static void put_databases(struct page *page, const struct top_view *view)
{
    const json_t *databases = json_object_get(view->answer, "databases");
    size_t shown = shown_of(page, json_array_size(databases));
    if (shown == 0)
        return;
    _cleanup_buffer_ struct buffer line = BUFFER_INIT(LINE_MAX_BYTES);
    size_t width = width_of_members(page, databases, "database", NAME_WIDTH);
    size_t cluster_width = width_of_members(page, databases, "cluster", SHORT_NAME_WIDTH);
    put_blank(page);
    append_name(&line, "DATABASE", width);
    append_name(&line, "CLUSTER", cluster_width);
    buffer_printf(&line, "%9s%9s%12s%9s", "BACKENDS", "IDLE", "CONNECTING", "WAITING");
    put_line(page, &line, true);
    for (size_t i = 0; i < shown; i++) {
        const json_t *database = json_array_get(databases, i);
        buffer_reset(&line);
        append_name(&line, name_member(database, "database"), width);
        append_name(&line, name_member(database, "cluster"), cluster_width);
        append_number(&line, 9, member(database, "backends"));
        append_number(&line, 9, member(database, "idle"));
        append_number(&line, 12, member(database, "connecting"));
        append_number(&line, 9, member(database, "waiting"));
        put_line(page, &line, false);
    }
    put_more(page, json_array_size(databases) - shown);
}

struct widths {
    size_t tenant, service;
};

static void put_tenant(struct page *page, const struct top_row *row, const char *tenant,
                       const char *service, struct widths widths)
{
    _cleanup_buffer_ struct buffer line = BUFFER_INIT(LINE_MAX_BYTES);
    append_name(&line, tenant, widths.tenant);
    append_name(&line, service, widths.service);
    append_rate(&line, 9, row, row->rates[PROXY_USE_TRANSACTIONS]);
    append_percent(&line, 8, row);
    append_rate(&line, 8, row, row->rates[PROXY_USE_BACKEND_US] / TIME_S);
    append_number(&line, 9, row->waiting);
    append_wait(&line, 10, row->longest_wait_us);
    append_rate(&line, 9, row, row->rates[PROXY_USE_ERRORS]);
    append_number(&line, 9, row->clients);
    append_bytes(&line, 10, row, row->rates[PROXY_USE_BYTES_IN]);
    append_bytes(&line, 10, row, row->rates[PROXY_USE_BYTES_OUT]);
    put_line(page, &line, false);
}

static struct widths widths_of(const struct page *page, const struct top_view *view)
{
    struct widths widths = {NAME_WIDTH, SHORT_NAME_WIDTH};
    for (size_t i = 0; i < view->count; i++) {
        widths.tenant = wider(page, widths.tenant, view->rows[i].tenant);
        widths.service = wider(page, widths.service, view->rows[i].service);
    }
    return widths;
}

/* Lines that are left for them, when one is kept for all others, and one for the keys. */
static size_t tenants_shown(const struct page *page, const struct top_view *view)
{
    const struct top_screen *screen = page->screen;
    size_t shown = view->count;
    if (screen->tenants_max > 0 && shown > screen->tenants_max)
        shown = screen->tenants_max;
    if (screen->rows > 0) {
        size_t used = page->lines + 1 + (screen->live ? 1 : 0);
        size_t room = screen->rows > used ? screen->rows - used : 0;
        if (shown > room)
            shown = room;
    }
    return shown;
}

static void put_tenants(struct page *page, const struct top_view *view)
{
    _cleanup_buffer_ struct buffer line = BUFFER_INIT(LINE_MAX_BYTES);
    struct widths widths = widths_of(page, view);
    enum top_order order = page->screen->order;
    put_blank(page);
    append_name(&line, "TENANT", widths.tenant);
    append_name(&line, "SERVICE", widths.service);
    buffer_printf(&line, "%9s%8s%8s%9s%10s%9s%9s%10s%10s",
                  order == TOP_BY_TRANSACTIONS ? "*TRANS/S" : "TRANS/S",
                  order == TOP_BY_BACKEND_TIME ? "*SHARE" : "SHARE", "IN-USE",
                  order == TOP_BY_WAITING ? "*WAITING" : "WAITING", "LONGEST",
                  order == TOP_BY_ERRORS ? "*ERR/S" : "ERR/S", "CLIENTS", "IN/S", "OUT/S");
    put_line(page, &line, true);
    size_t shown = tenants_shown(page, view);
    for (size_t i = 0; i < shown; i++)
        put_tenant(page, &view->rows[i], view->rows[i].tenant, view->rows[i].service, widths);
    if (shown < view->count)
        put_more(page, view->count - shown);
    else if (json_is_true(json_object_get(view->answer, "left_out")))
        put_tenant(page, &view->others, "(others)", "", widths);
}

void top_render(struct buffer *buffer, const struct top_view *view, const struct top_screen *screen)
{
    struct page page = {.buffer = buffer, .screen = screen};
    put_head(&page, view);
    put_clusters(&page, view);
    put_databases(&page, view);
    put_tenants(&page, view);
    if (!screen->live)
        return;
    _cleanup_buffer_ struct buffer line = BUFFER_INIT(LINE_MAX_BYTES);
    buffer_append_string(&line, "sort by: t transactions  b backend time  w waiting  e errors   q "
                                "quits");
    put_line(&page, &line, false);
}
