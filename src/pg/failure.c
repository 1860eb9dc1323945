#include "pg/internal.h"

#include "base/str.h"

static int code_of(const struct pg_connection *connection, const char *sqlstate)
{
    static const struct {
        const char *prefix; /* of the SQLSTATE */
        enum error_code code;
    } codes[] = {
        {"08", ERROR_CONNECTION},    {"57P01", ERROR_CONNECTION}, {"57P02", ERROR_CONNECTION},
        {"57P03", ERROR_CONNECTION}, {"57014", ERROR_TIMEOUT},    {"28", ERROR_AUTH},
        {"55006", ERROR_BUSY},       {"55P03", ERROR_BUSY},       {"40P01", ERROR_BUSY},
        {"40001", ERROR_BUSY},
    };
    for (size_t i = 0; i < array_size(codes); i++) {
        if (!str_has_prefix(sqlstate, codes[i].prefix))
            continue;
        if (codes[i].code == ERROR_TIMEOUT && connection && pg_is_cancelled(connection))
            return ERROR_CANCELLED;
        return codes[i].code;
    }
    return ERROR_SERVER;
}

static const char *field(const PGresult *result, int which)
{
    const char *text = PQresultErrorField(result, which);
    return text ? text : "";
}

static void keep(char *target, size_t size, const char *text)
{
    snprintf(target, size, "%s", text);
}

static void keep_failure(struct pg_failure *failure, const PGresult *result)
{
    int64_t position = 0;
    *failure = (struct pg_failure){0};
    if (str_to_i64(field(result, PG_DIAG_STATEMENT_POSITION), 1, INT32_MAX, &position))
        failure->position = (int)position;
    keep(failure->schema, sizeof(failure->schema), field(result, PG_DIAG_SCHEMA_NAME));
    keep(failure->table, sizeof(failure->table), field(result, PG_DIAG_TABLE_NAME));
    keep(failure->column, sizeof(failure->column), field(result, PG_DIAG_COLUMN_NAME));
    keep(failure->constraint, sizeof(failure->constraint), field(result, PG_DIAG_CONSTRAINT_NAME));
    keep(failure->context, sizeof(failure->context), field(result, PG_DIAG_CONTEXT));
}

int pg_connection_lost(struct pg_connection *connection, struct error *err)
{
    connection->broken = true;
    return error_set(err, ERROR_CONNECTION, "the connection to the server was lost");
}

int pg_result_error(struct pg_connection *connection, const PGresult *result, struct error *err)
{
    keep_failure(&connection->failure, result);
    const char *sqlstate = field(result, PG_DIAG_SQLSTATE);
    if (!*sqlstate) {
        /* libpq's own: the server did not get to say anything. */
        if (PQstatus(connection->libpq) != CONNECTION_OK)
            return pg_connection_lost(connection, err);
        return error_set(err, ERROR_SERVER, "libpq: %s", PQresultErrorMessage(result));
    }
    int code = code_of(connection, sqlstate);
    if (PQstatus(connection->libpq) != CONNECTION_OK)
        connection->broken = true;
    if (code == ERROR_CANCELLED) /* who interrupts us has not sent a "user request" */
        return pg_cancelled_error(err);
    error_set(err, code, "%s", field(result, PG_DIAG_MESSAGE_PRIMARY));
    error_sqlstate(err, sqlstate);
    if (*field(result, PG_DIAG_MESSAGE_DETAIL))
        error_detail(err, "%s", field(result, PG_DIAG_MESSAGE_DETAIL));
    if (*field(result, PG_DIAG_MESSAGE_HINT))
        error_hint(err, "%s", field(result, PG_DIAG_MESSAGE_HINT));
    return -code;
}

/* The last "FATAL:  28P01: " of the text; its severity may be in any language. */
static const char *find_sqlstate(const char *text, char ret_sqlstate[SQLSTATE_SIZE])
{
    const char *found = NULL;
    for (const char *at = strstr(text, ":  "); at; at = strstr(at + 1, ":  ")) {
        const char *code = at + 3;
        size_t length = strspn(code, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ");
        if (length != SQLSTATE_SIZE - 1 || !str_has_prefix(code + length, ": "))
            continue;
        snprintf(ret_sqlstate, SQLSTATE_SIZE, "%.5s", code);
        found = at;
    }
    return found;
}

/* Up to where libpq's next labelled line begins (DETAIL, HINT, LOCATION, in any language). */
static int line_length(const char *text)
{
    return (int)strcspn(text, "\n");
}

int pg_login_error(const char *text, const char *where, struct error *err)
{
    char sqlstate[SQLSTATE_SIZE] = "";
    const char *said = find_sqlstate(text, sqlstate);
    if (said) {
        const char *message = said + 3 + SQLSTATE_SIZE - 1 + 2;
        int code = ERROR_CONNECTION;
        if (str_has_prefix(sqlstate, "28"))
            code = ERROR_AUTH;
        else if (strcmp(sqlstate, "3D000") == 0)
            code = ERROR_NOT_FOUND;
        error_set(err, code, "cannot connect to %s: %.*s", where, line_length(message), message);
        error_sqlstate(err, sqlstate);
        return -code;
    }
    /* Several lines: one for each address that was tried; the first says most. */
    return error_set(err, ERROR_CONNECTION, "cannot connect to %s: %.*s", where, line_length(text),
                     text);
}
