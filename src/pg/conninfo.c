#include "pg/conninfo.h"

#include <libpq-fe.h>

static void free_options(PQconninfoOption **options)
{
    PQconninfoFree(*options);
}
#define _cleanup_options_ _cleanup_(free_options)

/* libpq's own message is not passed on: it may quote a password. */
static int parse(const char *conninfo, PQconninfoOption **ret, struct error *err)
{
    char *message = NULL;
    PQconninfoOption *options = PQconninfoParse(conninfo, &message);
    PQfreemem(message);
    if (!options) {
        error_set(err, ERROR_INVALID,
                  "the connection string cannot be read (it is not shown: it may hold a password)");
        error_hint(err, "write libpq keywords, such as: host=db.example port=5432 dbname=reeve");
        return -ERROR_INVALID;
    }
    *ret = options;
    return 0;
}

static const char *value_of(const PQconninfoOption *options, const char *keyword)
{
    for (; options->keyword; options++)
        if (strcmp(options->keyword, keyword) == 0 && options->val && *options->val)
            return options->val;
    return NULL;
}

int pg_conninfo_check(const char *conninfo, struct error *err)
{
    _cleanup_options_ PQconninfoOption *options = NULL;
    return parse(conninfo, &options, err);
}

int pg_conninfo_check_server(const char *conninfo, struct error *err)
{
    static const char *const refused[] = {"user",   "password", "passfile",
                                          "dbname", "service",  "options"};
    _cleanup_options_ PQconninfoOption *options = NULL;
    int r = parse(conninfo, &options, err);
    if (r < 0)
        return r;
    for (size_t i = 0; i < array_size(refused); i++) {
        if (!value_of(options, refused[i]))
            continue;
        error_set(err, ERROR_INVALID, "a cluster's connection string must not have %s", refused[i]);
        error_hint(err, "it says where the server is: host, port, sslmode, sslrootcert");
        return -ERROR_INVALID;
    }
    if (!value_of(options, "host") && !value_of(options, "hostaddr")) {
        error_set(err, ERROR_INVALID, "a cluster's connection string must have host");
        error_hint(err, "write libpq keywords, such as: host=db.example port=5432");
        return -ERROR_INVALID;
    }
    return 0;
}

const char *pg_conninfo_value(struct arena *arena, const char *conninfo, const char *keyword)
{
    _cleanup_options_ PQconninfoOption *options = NULL;
    if (!conninfo || parse(conninfo, &options, NULL) < 0)
        return NULL;
    const char *value = value_of(options, keyword);
    return value ? arena_strdup(arena, value) : NULL;
}

const char *pg_conninfo_describe(struct arena *arena, const char *conninfo)
{
    _cleanup_options_ PQconninfoOption *options = NULL;
    if (!conninfo || !*conninfo || parse(conninfo, &options, NULL) < 0)
        return "the default server";
    const char *host = value_of(options, "host");
    if (!host)
        host = value_of(options, "hostaddr");
    const char *port = value_of(options, "port");
    return arena_printf(arena, "%s:%s", host ? host : "localhost", port ? port : "5432");
}
