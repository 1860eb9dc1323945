/*
 * match.h - which tenants are meant: "plan=enterprise,isolation=row,slug=acme-*".
 *
 * A term is KEY=VALUE. Of different keys all must hold; of several terms with one key, any. Keys:
 *
 *   slug, service, cluster    by name
 *   database                  that it is in, by name: a shared one, or its own
 *   isolation                 by name, which must be one that there is
 *   tag                       the tenant has a tag of that name, whatever its value
 *   any other                 the tenant has the tag of that name with that value: plan=enterprise
 *
 * In a value `*` stands for any characters and `?` for one, but not in an isolation's.
 */
#ifndef FLEET_MATCH_H
#define FLEET_MATCH_H

#include "base/arena.h"
#include "base/error.h"

struct match;

/* What is looked at; all but the tags must be set. */
struct match_subject {
    const char *slug, *service, *isolation, *cluster, *database;
    const char *const *tags; /* "plan=enterprise", "regulated" */
    size_t tag_count;
};

/* In the arena; NULL matches everything. ERROR_USAGE names the term that is wrong. */
int match_parse(const char *text, struct arena *arena, struct match **ret, struct error *err);
bool match_holds(const struct match *match, const struct match_subject *subject);

#endif
