/*
 * page.h - what the lists that only grow (jobs, audit events) have in common.
 */
#ifndef CLI_PAGE_H
#define CLI_PAGE_H

#include "cli/context.h"

enum { PAGE_DEFAULT = 100, PAGE_MAXIMUM = 100000 };

#define PAGE_OPTIONS                                                                               \
    {.name = "tenant", .value = "SLUG", .kind = CLI_TEXT, .help = "those of one tenant"},          \
    {                                                                                              \
        .name = "limit", .value = "N", .kind = CLI_NUMBER, .minimum = 1, .maximum = PAGE_MAXIMUM,  \
        .fallback = "100", .help = "at most so many"                                               \
    }

/* The id of the tenant that --tenant names; 0 without it. */
int page_tenant(const struct cli *cli, struct catalog *catalog, struct arena *arena,
                int64_t *ret_id, struct error *err);
/* A JSON object that was stored as text; null for NULL and for what is none. */
json_t *page_object(const char *text);

#endif
