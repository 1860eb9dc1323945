/*
 * names.h - what the ids in rows are called, each looked up once.
 *
 * Rows of jobs and audit events may name what is gone: that is NULL, as is id 0.
 */
#ifndef CLI_NAMES_H
#define CLI_NAMES_H

#include "base/arena.h"
#include "base/error.h"

struct catalog;
struct name;

struct names {
    struct catalog *catalog;
    struct arena *arena; /* the names live here */
    struct name *known[3];
};
#define NAMES_INIT(from, in) ((struct names){.catalog = (from), .arena = (in)})

int names_tenant(struct names *names, int64_t id, const char **ret_slug, struct error *err);
int names_service(struct names *names, int64_t id, const char **ret, struct error *err);
int names_cluster(struct names *names, int64_t id, const char **ret, struct error *err);

#endif
