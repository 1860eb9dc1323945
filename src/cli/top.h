/*
 * top.h - `reeve top`: what the server answers, what two answers say together, and how it looks.
 *
 * A server answers with what it has counted since its start (top_answer, on its status thread). The
 * command compares two answers (top_compare) and prints the outcome as JSON or as a screen.
 */
#ifndef CLI_TOP_H
#define CLI_TOP_H

#include <jansson.h>

#include "base/buffer.h"
#include "proxy/proxy.h"
#include "proxy/survey.h"

enum { TOP_TENANTS_MAX = 1000 };

/* "transactions" ...: what answers call the figures, by enum proxy_use. */
extern const char *const top_use_names[PROXY_USES];

/* ---- the server's side ---- */

/* `status` is taken over. */
json_t *top_answer(struct proxy *proxy, struct route_table *routes, json_t *status);

/* ---- comparing ---- */

struct top_row { /* of a tenant in a service; of all; of those that are not told one by one */
    const char *tenant, *service; /* the answer's */
    int64_t clients, waiting, backends, longest_wait_us;
    bool measured;            /* was in both answers, or is new: else the rates are 0 */
    double rates[PROXY_USES]; /* a second */
    double ended_us;          /* a second: backend time of what has ended, from its beginning on */
    bool forgotten;           /* the server had given up its figures, and began at 0 again */
    double share;             /* of all backend time, 0 to 1 */
};

struct top_view {
    const json_t *answer; /* the newer one, which must live as long */
    double seconds;       /* between the two; 0: there is one alone, or another server's */
    struct top_row whole, others;
    struct top_row *rows; /* in the answer's order */
    size_t count;
};

/* `before` may be NULL. */
void top_compare(const json_t *before, const json_t *after, struct top_view *ret);
void top_view_free(struct top_view *view);

enum top_order {
    TOP_BY_TRANSACTIONS,
    TOP_BY_BACKEND_TIME,
    TOP_BY_WAITING,
    TOP_BY_ERRORS,
    TOP_ORDERS
};
/* The key that asks for it: t, b, w, e. */
extern const char top_order_keys[TOP_ORDERS];
const char *top_order_name(size_t order); /* NULL past the last */
void top_sort(struct top_view *view, enum top_order order);

/* What --json prints. */
json_t *top_record(const struct top_view *view);

/* ---- the screen ---- */

struct top_screen {
    enum top_order order;
    size_t rows, columns; /* of the terminal; 0: as much as there is */
    size_t tenants_max;   /* lines of tenants; 0: as many as fit */
    bool live;            /* with keys, and attributes of a terminal */
};

/* Whole lines, none wider than the screen; what others have chosen is escaped. */
void top_render(struct buffer *buffer, const struct top_view *view,
                const struct top_screen *screen);

/* ---- the terminal ---- */

/* Keys come one by one and unseen, and the screen is another one, until top_terminal_leave. */
int top_terminal_enter(struct error *err);
void top_terminal_leave(void);
void top_terminal_size(size_t *ret_rows, size_t *ret_columns);
/* Replaces what is on the screen. */
void top_terminal_show(const struct buffer *text);
/* Waits for a key or the deadline. The key; 0: the time is over; -1: the terminal's size has
 * changed, or the process was stopped and goes on; -2: a signal is to end it, or there is no
 * terminal any more. */
int top_terminal_wait(int64_t deadline_us);
/* After top_terminal_leave: ends the process as the signal would have, if there was one. */
void top_terminal_die(void);

#endif
