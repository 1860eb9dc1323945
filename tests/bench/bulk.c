/*
 * bulk.c - moves many bytes over one connection, and says how long it took.
 *
 *   bench-bulk WAY BYTES ROW_BYTES STATEMENT <CONNINFO
 *
 * WAY is out (STATEMENT is a COPY TO STDOUT), rows (a query, taken row by row) or in (a COPY FROM
 * STDIN of one text column, which is given BYTES in rows of ROW_BYTES). The conninfo comes on
 * standard input: it may hold a password. What the time does not hold is the login.
 *
 * It says what it moved as a JSON object, and logs out at the end of standard input: until then
 * the server's process is there for its CPU time to be read. What goes wrong, or fewer bytes than
 * BYTES, ends it with status 1.
 */
#include <libpq-fe.h>

#include "load.h"

enum { CONNINFO_MAX = 4096, ROW_MAX = 64 * 1024 * 1024, PIECE = 64 * 1024 };

struct transfer {
    PGconn *pg;
    const char *statement;
    int64_t bytes, row_bytes, moved;
};

/* Runs the statement up to its first result, which must be of this kind. */
static void begin_copy(const struct transfer *transfer, ExecStatusType expected)
{
    PGresult *result = PQexec(transfer->pg, transfer->statement);
    if (PQresultStatus(result) != expected)
        load_fail("%s", PQerrorMessage(transfer->pg));
    PQclear(result);
}

static void expect_end(const struct transfer *transfer)
{
    PGresult *result;
    while ((result = PQgetResult(transfer->pg))) {
        ExecStatusType status = PQresultStatus(result);
        if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK)
            load_fail("%s", PQerrorMessage(transfer->pg));
        PQclear(result);
    }
}

static void copy_out(struct transfer *transfer)
{
    char *row;
    int length;
    begin_copy(transfer, PGRES_COPY_OUT);
    while ((length = PQgetCopyData(transfer->pg, &row, 0)) > 0) {
        transfer->moved += length;
        PQfreemem(row);
    }
    if (length == -2)
        load_fail("%s", PQerrorMessage(transfer->pg));
    expect_end(transfer);
}

static void take_rows(struct transfer *transfer)
{
    PGresult *result;
    if (!PQsendQuery(transfer->pg, transfer->statement) || !PQsetSingleRowMode(transfer->pg))
        load_fail("%s", PQerrorMessage(transfer->pg));
    while ((result = PQgetResult(transfer->pg))) {
        ExecStatusType status = PQresultStatus(result);
        if (status != PGRES_SINGLE_TUPLE && status != PGRES_TUPLES_OK)
            load_fail("%s", PQerrorMessage(transfer->pg));
        if (status == PGRES_SINGLE_TUPLE)
            transfer->moved += PQgetlength(result, 0, 0);
        PQclear(result);
    }
}

static char *make_rows(int64_t row_bytes, int *ret_length)
{
    int64_t count = row_bytes < PIECE ? PIECE / row_bytes : 1;
    char *rows = xcalloc(1, (size_t)(count * row_bytes));
    memset(rows, 'x', (size_t)(count * row_bytes));
    for (int64_t i = 1; i <= count; i++)
        rows[i * row_bytes - 1] = '\n';
    *ret_length = (int)(count * row_bytes);
    return rows;
}

static void copy_in(struct transfer *transfer)
{
    int length;
    char *rows = make_rows(transfer->row_bytes, &length);
    begin_copy(transfer, PGRES_COPY_IN);
    for (; transfer->moved < transfer->bytes; transfer->moved += length) {
        if (PQputCopyData(transfer->pg, rows, length) != 1)
            load_fail("%s", PQerrorMessage(transfer->pg));
    }
    if (PQputCopyEnd(transfer->pg, NULL) != 1)
        load_fail("%s", PQerrorMessage(transfer->pg));
    expect_end(transfer);
    free(rows);
}

static const struct way {
    const char *name;
    void (*run)(struct transfer *transfer);
} ways[] = {{"out", copy_out}, {"rows", take_rows}, {"in", copy_in}};

static const struct way *find_way(const char *name)
{
    for (size_t i = 0; i < array_size(ways); i++) {
        if (strcmp(ways[i].name, name) == 0)
            return &ways[i];
    }
    return NULL;
}

int main(int argc, char **argv)
{
    char conninfo[CONNINFO_MAX];
    struct transfer transfer = {0};
    const struct way *way = argc == 5 ? find_way(argv[1]) : NULL;
    if (!way || !str_to_i64(argv[2], 1, INT64_MAX / 2, &transfer.bytes) ||
        !str_to_i64(argv[3], 2, ROW_MAX, &transfer.row_bytes))
        load_fail("usage: bench-bulk out|rows|in BYTES ROW_BYTES STATEMENT <CONNINFO");
    if (!fgets(conninfo, sizeof(conninfo), stdin))
        load_fail("there is no conninfo on standard input");
    transfer.statement = argv[4];
    transfer.pg = PQconnectdb(conninfo);
    if (PQstatus(transfer.pg) != CONNECTION_OK)
        load_fail("%s", PQerrorMessage(transfer.pg));
    int64_t begin_us = time_monotonic_us();
    double cpu_before = load_cpu_seconds();
    way->run(&transfer);
    int64_t taken_us = time_monotonic_us() - begin_us;
    if (transfer.moved < transfer.bytes)
        load_fail("%lld bytes came, of %lld", (long long)transfer.moved, (long long)transfer.bytes);
    printf("{\"bytes\": %lld, \"seconds\": %.6f, \"cpu_seconds\": %.6f}\n",
           (long long)transfer.moved, (double)taken_us / TIME_S, load_cpu_seconds() - cpu_before);
    fflush(stdout);
    while (fgets(conninfo, sizeof(conninfo), stdin))
        continue;
    PQfinish(transfer.pg);
    return 0;
}
