/*
 * rotate.c - load of many connections, of which a fixed number is at work at any moment.
 *
 *   bench-rotate FILE SLOTS [SCHEMAS]
 *
 * FILE has a conninfo a line. Each of SLOTS workers takes the connection that has rested longest,
 * runs one transaction on it, and puts it back; so the work goes round all connections in turn, as
 * the requests of many tenants do. One thread, one epoll: it costs what libpq costs.
 *
 * SCHEMAS has a schema a line. The connections share them out, and each goes from one of its
 * schemas to the next with every transaction, whose statements name the tables with it (in the
 * simple protocol alone): a server without a pooler does the work of many tenants.
 *
 * It says "ready" when all are logged in. Then for each line of standard input
 *
 *   SCRIPT MODE SECONDS ACCOUNTS        such as: select simple 5 100
 *
 * it works until every connection has had a transaction (or for 10 s: a pooler may let some
 * starve), lets all come to rest, says "warm" and waits for a line; works for SECONDS, lets all
 * come to rest again, and says what it counted as a JSON object. So who reads CPU times at both
 * ends reads those of the counted transactions and of nothing else.
 *
 * A transaction that fails is rolled back and counted as an error, of the warm-up too, and the
 * first error of a run is said on standard error; a connection that is lost is an error and is
 * logged in again. What cannot be begun at all ends the program with status 1.
 */
#include <errno.h>
#include <libpq-fe.h>
#include <sys/epoll.h>

#include "load.h"

enum {
    CONNINFO_MAX = 4096,
    CONNECTIONS_MAX = 100000,
    SAMPLES_MAX = 8 * 1000 * 1000,
    STATEMENT_MAX = 256,
    SCHEMA_SIZE = 64,
    PARAMETERS_MAX = 4,
    EVENTS = 64,
    WARM_UP_US = 500 * TIME_MS, /* at least */
    WARM_UP_MAX_US = 10 * TIME_S,
    DEADLINE_US = 120 * TIME_S, /* without an answer of anybody */
};

/* What pgbench draws anew for each transaction. An account's branch and teller are of its hundred:
 * a tenant has 1 branch and 10 tellers for 100 accounts. */
enum value { ACCOUNT, TELLER, BRANCH, DELTA, VALUE_COUNT };

struct step {
    const char *name, *text;
    enum value parameters[PARAMETERS_MAX];
    int count;
};

struct script {
    const char *name;
    const struct step *steps;
    size_t count;
};

static const struct step select_steps[] = {
    {"account", "SELECT abalance FROM pgbench_accounts WHERE aid = $1", {ACCOUNT}, 1},
};

/* pgbench's tpcb-like. */
static const struct step tpcb_steps[] = {
    {"begin", "BEGIN", {0}, 0},
    {"add_account",
     "UPDATE pgbench_accounts SET abalance = abalance + $1 WHERE aid = $2",
     {DELTA, ACCOUNT},
     2},
    {"account", "SELECT abalance FROM pgbench_accounts WHERE aid = $1", {ACCOUNT}, 1},
    {"add_teller",
     "UPDATE pgbench_tellers SET tbalance = tbalance + $1 WHERE tid = $2",
     {DELTA, TELLER},
     2},
    {"add_branch",
     "UPDATE pgbench_branches SET bbalance = bbalance + $1 WHERE bid = $2",
     {DELTA, BRANCH},
     2},
    {"add_history",
     "INSERT INTO pgbench_history (tid, bid, aid, delta, mtime)"
     " VALUES ($1, $2, $3, $4, CURRENT_TIMESTAMP)",
     {TELLER, BRANCH, ACCOUNT, DELTA},
     4},
    {"end", "END", {0}, 0},
};

static const struct script scripts[] = {
    {"select", select_steps, array_size(select_steps)},
    {"tpcb", tpcb_steps, array_size(tpcb_steps)},
};

struct connection {
    PGconn *pg;
    size_t schema; /* of this transaction */
    bool prepared[array_size(scripts)];
    bool used; /* in this run */
    bool active, failed, rolling_back;
    size_t step;
    int values[VALUE_COUNT];
    int64_t started_us;
};

struct run {
    size_t script;
    bool prepared;
    int64_t length_us;
    int accounts;
    bool counting, stopping;
    int64_t begin_us, end_us;
    size_t active, unused;
    size_t errors, lost; /* transactions; of them, those whose connection ended */
    size_t count;        /* samples: microseconds of the counted transactions */
    double cpu_seconds;
};

struct rotation {
    struct connection *connections;
    size_t count, slots;
    char **schemas; /* NULL: tables are named without */
    size_t schema_count;
    size_t *resting; /* a ring */
    size_t resting_from, resting_count;
    int epoll;
    int32_t *samples;
    struct run run;
};

/* ---- logging in ---- */

static void watch(const struct rotation *rotation, size_t index)
{
    PGconn *pg = rotation->connections[index].pg;
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = index};
    if (PQstatus(pg) != CONNECTION_OK)
        load_fail("connection %zu: %s", index + 1, PQerrorMessage(pg));
    if (epoll_ctl(rotation->epoll, EPOLL_CTL_ADD, PQsocket(pg), &event) < 0)
        load_fail("epoll_ctl: %s", strerror(errno));
}

static void add_connection(struct rotation *rotation, const char *conninfo)
{
    if (rotation->count == CONNECTIONS_MAX)
        load_fail("more than %d connections", CONNECTIONS_MAX);
    rotation->connections[rotation->count].pg = PQconnectdb(conninfo);
    watch(rotation, rotation->count);
    rotation->resting[rotation->count] = rotation->count;
    rotation->count++;
}

static void log_in(struct rotation *rotation, const char *path)
{
    char line[CONNINFO_MAX];
    FILE *file = fopen(path, "re");
    if (!file)
        load_fail("%s: %s", path, strerror(errno));
    while (fgets(line, sizeof(line), file))
        add_connection(rotation, line);
    fclose(file);
    rotation->resting_count = rotation->count;
    if (rotation->count < rotation->slots)
        load_fail("%zu connections are too few for %zu slots", rotation->count, rotation->slots);
}

static void read_schemas(struct rotation *rotation, const char *path)
{
    char line[SCHEMA_SIZE];
    FILE *file = fopen(path, "re");
    if (!file)
        load_fail("%s: %s", path, strerror(errno));
    rotation->schemas = xcalloc(CONNECTIONS_MAX, sizeof(*rotation->schemas));
    while (rotation->schema_count < CONNECTIONS_MAX && fgets(line, sizeof(line), file)) {
        line[strcspn(line, "\n")] = '\0';
        rotation->schemas[rotation->schema_count++] = xstrdup(line);
    }
    fclose(file);
    if (rotation->schema_count < rotation->count)
        load_fail("%zu schemas are too few for %zu connections", rotation->schema_count,
                  rotation->count);
}

static void prepare(struct connection *connection, size_t number)
{
    const struct script *script = &scripts[number];
    for (size_t step = 0; !connection->prepared[number] && step < script->count; step++) {
        char name[STATEMENT_MAX];
        snprintf(name, sizeof(name), "%s_%s", script->name, script->steps[step].name);
        PGresult *result = PQprepare(connection->pg, name, script->steps[step].text, 0, NULL);
        if (PQresultStatus(result) != PGRES_COMMAND_OK)
            load_fail("prepare: %s", PQerrorMessage(connection->pg));
        PQclear(result);
    }
    connection->prepared[number] = true;
}

/* All others wait meanwhile: it is not to happen, and what happens all the same is shown. */
static void log_in_again(struct rotation *rotation, size_t index)
{
    struct connection *connection = &rotation->connections[index];
    epoll_ctl(rotation->epoll, EPOLL_CTL_DEL, PQsocket(connection->pg), NULL);
    PQreset(connection->pg);
    watch(rotation, index);
    memset(connection->prepared, 0, sizeof(connection->prepared));
    if (rotation->run.prepared)
        prepare(connection, rotation->run.script);
}

/* ---- a transaction ---- */

static void draw(struct connection *connection, int accounts)
{
    int account = (int)(random() % accounts);
    int hundred = account / 100;
    connection->values[ACCOUNT] = account + 1;
    connection->values[BRANCH] = hundred + 1;
    connection->values[TELLER] = hundred * 10 + (int)(random() % 10) + 1;
    connection->values[DELTA] = (int)(random() % 10001) - 5000;
}

/* The statement's text with its values in the place of $1 to $4, and a schema (or NULL) in front of
 * its tables. */
static void expand(const struct connection *connection, const struct step *step, const char *schema,
                   char *ret)
{
    size_t length = 0;
    for (const char *at = step->text; *at && length < STATEMENT_MAX - 64; at++) {
        if (schema && str_has_prefix(at, "pgbench_"))
            length += (size_t)snprintf(ret + length, STATEMENT_MAX - length, "%s.", schema);
        if (*at == '$') {
            int value = connection->values[step->parameters[*++at - '1']];
            length += (size_t)snprintf(ret + length, STATEMENT_MAX - length, "%d", value);
        } else {
            ret[length++] = *at;
        }
    }
    ret[length] = '\0';
}

static int send_prepared(const struct connection *connection, const struct script *script,
                         const struct step *step)
{
    char name[STATEMENT_MAX], texts[PARAMETERS_MAX][16];
    const char *values[PARAMETERS_MAX];
    for (int i = 0; i < step->count; i++) {
        snprintf(texts[i], sizeof(texts[i]), "%d", connection->values[step->parameters[i]]);
        values[i] = texts[i];
    }
    snprintf(name, sizeof(name), "%s_%s", script->name, step->name);
    return PQsendQueryPrepared(connection->pg, name, step->count, values, NULL, NULL, 0);
}

static bool send_step(const struct rotation *rotation, const struct connection *connection)
{
    const struct run *run = &rotation->run;
    const struct script *script = &scripts[run->script];
    const struct step *step = &script->steps[connection->step];
    char text[STATEMENT_MAX];
    if (run->prepared)
        return send_prepared(connection, script, step) == 1;
    expand(connection, step, rotation->schemas ? rotation->schemas[connection->schema] : NULL,
           text);
    return PQsendQuery(connection->pg, text) == 1;
}

static void note_error(struct run *run, struct connection *connection, const char *text)
{
    if (run->errors == 0)
        fprintf(stderr, "bench-rotate: the first error: %s\n", text);
    if (!connection->failed)
        run->errors++;
    connection->failed = true;
}

static void start_next(struct rotation *rotation)
{
    struct run *run = &rotation->run;
    size_t index = rotation->resting[rotation->resting_from];
    struct connection *connection = &rotation->connections[index];
    rotation->resting_from =
        rotation->resting_from + 1 < rotation->count ? rotation->resting_from + 1 : 0;
    rotation->resting_count--;
    run->active++;
    connection->active = true;
    connection->failed = connection->rolling_back = false;
    connection->step = 0;
    connection->started_us = time_monotonic_us();
    draw(connection, run->accounts);
    if (rotation->schemas) {
        connection->schema += rotation->count;
        if (connection->schema >= rotation->schema_count)
            connection->schema = index;
    }
    if (!send_step(rotation, connection))
        load_fail("connection %zu: %s", index + 1, PQerrorMessage(connection->pg));
}

static void finish(struct rotation *rotation, size_t index)
{
    struct run *run = &rotation->run;
    struct connection *connection = &rotation->connections[index];
    int64_t taken_us = time_monotonic_us() - connection->started_us;
    if (run->counting && !connection->failed && run->count < SAMPLES_MAX)
        rotation->samples[run->count++] = (int32_t)taken_us;
    if (!connection->used && !connection->failed) {
        connection->used = true;
        run->unused--;
    }
    run->active--;
    connection->active = connection->failed = false;
    rotation->resting[(rotation->resting_from + rotation->resting_count++) % rotation->count] =
        index;
    if (!run->stopping)
        start_next(rotation);
}

static void lose(struct rotation *rotation, size_t index)
{
    struct connection *connection = &rotation->connections[index];
    note_error(&rotation->run, connection, PQerrorMessage(connection->pg));
    rotation->run.lost++;
    log_in_again(rotation, index);
    if (connection->active)
        finish(rotation, index);
}

static void note_result(struct run *run, struct connection *connection, PGresult *result)
{
    ExecStatusType status = PQresultStatus(result);
    if (status != PGRES_TUPLES_OK && status != PGRES_COMMAND_OK)
        note_error(run, connection, PQresultErrorMessage(result));
    else if (status == PGRES_TUPLES_OK && PQntuples(result) != 1)
        note_error(run, connection, "not one account");
    else if (status == PGRES_COMMAND_OK && strncmp(PQcmdStatus(result), "UPDATE", 6) == 0 &&
             strcmp(PQcmdTuples(result), "1") != 0)
        note_error(run, connection, "not one row was updated");
}

/* The server has answered a step. */
static void step_done(struct rotation *rotation, size_t index)
{
    struct run *run = &rotation->run;
    struct connection *connection = &rotation->connections[index];
    bool sent;
    if (connection->failed && PQtransactionStatus(connection->pg) == PQTRANS_IDLE) {
        finish(rotation, index);
        return;
    }
    if (connection->failed && !connection->rolling_back) {
        connection->rolling_back = true;
        sent = PQsendQuery(connection->pg, "ROLLBACK") == 1;
    } else if (!connection->failed && ++connection->step < scripts[run->script].count) {
        sent = send_step(rotation, connection);
    } else {
        finish(rotation, index);
        return;
    }
    if (!sent)
        lose(rotation, index);
}

static void go_on(struct rotation *rotation, size_t index)
{
    struct connection *connection = &rotation->connections[index];
    if (!PQconsumeInput(connection->pg)) {
        lose(rotation, index);
        return;
    }
    while (PQtransactionStatus(connection->pg) == PQTRANS_ACTIVE && !PQisBusy(connection->pg)) {
        PGresult *result = PQgetResult(connection->pg);
        if (result) {
            note_result(&rotation->run, connection, result);
            PQclear(result);
            continue;
        }
        step_done(rotation, index);
        return;
    }
    if (PQstatus(connection->pg) != CONNECTION_OK)
        lose(rotation, index);
}

/* ---- a run ---- */

static void say(const char *text)
{
    puts(text);
    fflush(stdout);
}

static bool is_over(const struct run *run, int64_t now_us)
{
    int64_t length_us = run->counting      ? run->length_us
                        : run->unused == 0 ? WARM_UP_US
                                           : WARM_UP_MAX_US;
    return now_us - run->begin_us >= length_us;
}

/* Starts the slots and returns when all have come to rest. */
static void work(struct rotation *rotation, bool counting)
{
    struct run *run = &rotation->run;
    struct epoll_event events[EVENTS];
    double cpu_before = load_cpu_seconds();
    run->counting = counting;
    run->stopping = false;
    run->begin_us = time_monotonic_us();
    int64_t heard_us = run->begin_us;
    for (size_t i = 0; i < rotation->slots; i++)
        start_next(rotation);
    while (run->active > 0) {
        int count = epoll_wait(rotation->epoll, events, EVENTS, 100);
        if (count < 0 && errno != EINTR)
            load_fail("epoll_wait: %s", strerror(errno));
        for (int i = 0; i < count; i++)
            go_on(rotation, events[i].data.u64);
        int64_t now_us = time_monotonic_us();
        run->stopping = run->stopping || is_over(run, now_us);
        if (count > 0)
            heard_us = now_us;
        else if (now_us - heard_us > DEADLINE_US)
            load_fail("no answer for %d s", DEADLINE_US / TIME_S);
    }
    run->end_us = time_monotonic_us();
    run->cpu_seconds = load_cpu_seconds() - cpu_before;
}

static int compare(const void *left, const void *right)
{
    int32_t a = *(const int32_t *)left, b = *(const int32_t *)right;
    return (a > b) - (a < b);
}

static void report(const struct rotation *rotation)
{
    const struct run *run = &rotation->run;
    if (run->count == 0)
        load_fail("no transaction was counted");
    qsort(rotation->samples, run->count, sizeof(*rotation->samples), compare);
    printf("{\"transactions\": %zu, \"errors\": %zu, \"lost\": %zu, \"starved\": %zu,"
           " \"seconds\": %.3f, \"p50_us\": %d, \"p99_us\": %d, \"cpu_us_per_txn\": %.2f}\n",
           run->count, run->errors, run->lost, run->unused,
           (double)(run->end_us - run->begin_us) / TIME_S, rotation->samples[run->count / 2],
           rotation->samples[run->count * 99 / 100],
           run->cpu_seconds * TIME_S / (double)run->count);
    fflush(stdout);
}

static void run_script(struct rotation *rotation)
{
    char line[STATEMENT_MAX];
    struct run *run = &rotation->run;
    for (size_t i = 0; run->prepared && i < rotation->count; i++)
        prepare(&rotation->connections[i], run->script);
    run->unused = rotation->count;
    for (size_t i = 0; i < rotation->count; i++)
        rotation->connections[i].used = false;
    work(rotation, false);
    say("warm");
    if (!fgets(line, sizeof(line), stdin))
        exit(0);
    work(rotation, true);
    report(rotation);
}

static void begin_run(struct rotation *rotation, const char *line)
{
    char name[16], mode[16], seconds_text[16], accounts_text[16];
    int64_t seconds, accounts;
    if (sscanf(line, "%15s %15s %15s %15s", name, mode, seconds_text, accounts_text) != 4 ||
        !str_to_i64(seconds_text, 1, 3600, &seconds) ||
        !str_to_i64(accounts_text, 1, INT32_MAX, &accounts))
        load_fail("not understood: %s", line);
    rotation->run = (struct run){.prepared = strcmp(mode, "prepared") == 0,
                                 .length_us = seconds * TIME_S,
                                 .accounts = (int)accounts};
    struct run *run = &rotation->run;
    while (run->script < array_size(scripts) && strcmp(scripts[run->script].name, name) != 0)
        run->script++;
    if (run->script == array_size(scripts))
        load_fail("there is no script %s", name);
    if (rotation->schemas && run->prepared)
        load_fail("schemas are for the simple protocol alone");
}

int main(int argc, char **argv)
{
    char line[STATEMENT_MAX];
    int64_t slots;
    struct rotation rotation = {.epoll = epoll_create1(EPOLL_CLOEXEC)};
    if (argc < 3 || argc > 4 || rotation.epoll < 0 ||
        !str_to_i64(argv[2], 1, CONNECTIONS_MAX, &slots))
        load_fail("usage: bench-rotate FILE SLOTS [SCHEMAS]");
    rotation.slots = (size_t)slots;
    rotation.connections = xcalloc(CONNECTIONS_MAX, sizeof(*rotation.connections));
    rotation.resting = xcalloc(CONNECTIONS_MAX, sizeof(*rotation.resting));
    rotation.samples = xcalloc(SAMPLES_MAX, sizeof(*rotation.samples));
    log_in(&rotation, argv[1]);
    if (argc == 4)
        read_schemas(&rotation, argv[3]);
    say("ready");
    while (fgets(line, sizeof(line), stdin)) {
        begin_run(&rotation, line);
        run_script(&rotation);
    }
    return 0; /* the connections end with the process */
}
