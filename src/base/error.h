/*
 * error.h - how a function says that it failed.
 *
 * A function that can fail returns int: 0, or a negative code of the table below, and fills an
 * optional `struct error` (NULL where the caller does not care). A failed function leaves its
 * ret_ parameters untouched. The table gives each code its SQLSTATE (PostgreSQL's manual,
 * appendix A), HTTP status and CLI exit code; there is no other such table.
 */
#ifndef BASE_ERROR_H
#define BASE_ERROR_H

#include <stdarg.h>

#include "base/compiler.h"

/* clang-format off */
/*     code               sqlstate  http exit  meaning */
#define REEVE_ERROR_TABLE(X)                                                                       \
    X(ERROR_INTERNAL,     "XX000",  500, 70, "a defect in Reeve")                                  \
    X(ERROR_USAGE,        "22023",  400, 2,  "wrong arguments")                                    \
    X(ERROR_CONFIG,       "F0000",  500, 78, "wrong configuration")                                \
    X(ERROR_INVALID,      "22023",  422, 65, "a value that is not acceptable")                     \
    X(ERROR_NOT_FOUND,    "42704",  404, 66, "no such thing")                                      \
    X(ERROR_EXISTS,       "42710",  409, 73, "it is there already")                                \
    X(ERROR_STATE,        "55000",  409, 74, "not possible in the present state")                  \
    X(ERROR_BUSY,         "55006",  409, 75, "in use; try again later")                            \
    X(ERROR_AUTH,         "28P01",  401, 77, "authentication failed")                              \
    X(ERROR_DENIED,       "42501",  403, 77, "not permitted")                                      \
    X(ERROR_SUSPENDED,    "57P03",  403, 77, "the tenant is suspended")                            \
    X(ERROR_PROTOCOL,     "08P01",  400, 76, "protocol violation")                                 \
    X(ERROR_LIMIT,        "54000",  413, 65, "a limit was exceeded")                               \
    X(ERROR_CONNECTION,   "08006",  503, 69, "a server cannot be reached")                         \
    X(ERROR_TIMEOUT,      "57014",  504, 75, "a deadline passed")                                  \
    X(ERROR_SERVER,       "58000",  502, 70, "PostgreSQL answered with an error")                  \
    X(ERROR_MIGRATION,    "55000",  422, 65, "a migration failed or cannot be shaped")             \
    X(ERROR_IO,           "58030",  500, 74, "a file or socket failed")                            \
    X(ERROR_CANCELLED,    "57014",  409, 130, "interrupted or not confirmed")                      \
    X(ERROR_UNSUPPORTED,  "0A000",  501, 64, "not supported")                                      \
    X(ERROR_WARNINGS,     "55000",  409, 10, "the audit found warnings, and nothing critical")     \
    X(ERROR_CRITICAL,     "55000",  409, 11, "the audit found something critical")                \
    X(ERROR_ATTACKED,     "55000",  409, 12, "an attack of the attack suite got through")

enum error_code {
    ERROR_NONE = 0,
#define X(code, sqlstate, http, exit_code, meaning) code,
    REEVE_ERROR_TABLE(X)
#undef X
    ERROR_CODE_COUNT
};
/* clang-format on */

enum { ERROR_TEXT_MAX = 1024, SQLSTATE_SIZE = 6 };

struct error {
    int code; /* negative, as returned; 0 when nothing is set */
    char sqlstate[SQLSTATE_SIZE];
    char message[ERROR_TEXT_MAX];
    char detail[ERROR_TEXT_MAX];
    char hint[ERROR_TEXT_MAX];
};

struct error_info {
    enum error_code code;
    const char *name; /* "NOT_FOUND" */
    const char sqlstate[SQLSTATE_SIZE];
    int http_status;
    int exit_code;
    const char *meaning;
};

/* The table's row for a code; accepts the negative form; unknown codes give ERROR_INTERNAL's. */
const struct error_info *error_info(int code);

/* Sets code and message, clears the rest, and returns -code. err may be NULL. */
int error_set(struct error *err, enum error_code code, const char *format, ...) reeve_printf(3, 4);
int error_vset(struct error *err, enum error_code code, const char *format, va_list arguments)
    reeve_printf(3, 0);

/* Add to an error that is set; err may be NULL. */
void error_detail(struct error *err, const char *format, ...) reeve_printf(2, 3);
void error_hint(struct error *err, const char *format, ...) reeve_printf(2, 3);
void error_sqlstate(struct error *err, const char *sqlstate);
/* Puts "prefix: " in front of the message. */
void error_prefix(struct error *err, const char *format, ...) reeve_printf(2, 3);
void error_clear(struct error *err);

/* error_set(ERROR_IO) with strerror(error_number) behind the formatted text. */
int error_errno(struct error *err, int error_number, const char *format, ...) reeve_printf(3, 4);

#endif
