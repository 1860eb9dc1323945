#include "proxy/answer.h"

#include "base/log.h"
#include "proxy/place.h"
#include "wire/sqlstate.h"

int64_t answer_most(const struct backend *backend)
{
    const struct client *client = backend->client;
    int64_t most = client ? client->place->limits.values[ROUTE_LIMIT_RESULT_SIZE] : 0;
    return most > 0 && !mutation("proxy.result_size") ? most : INT64_MAX;
}

void answer_end(struct backend *backend)
{
    struct client *client = backend->client;
    char message[128];
    snprintf(message, sizeof(message),
             "terminating connection: the result is larger than max_result_size (%lld bytes)",
             (long long)client->place->limits.values[ROUTE_LIMIT_RESULT_SIZE]);
    log_warning("max_result_size passed tenant=%s service=%s pid=%d: closing the connection",
                client->tenant, client->service, backend->connection.backend_pid);
    client_fail(client, SQLSTATE_PROGRAM_LIMIT_EXCEEDED, message,
                "read it in parts (a cursor and FETCH, or LIMIT), or ask the operator of this "
                "service for more");
}
