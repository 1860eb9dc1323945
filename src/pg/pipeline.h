/*
 * pipeline.h - many statements in one round trip (libpq's "Pipeline Mode"): for what is known
 * before the server has answered.
 *
 * Statements are prepared the first time that their text is seen. They are no transaction by
 * themselves: BEGIN and COMMIT are statements like others. Behind one that failed nothing is done
 * until pg_pipeline_end. Between an add and the end the connection can do nothing else.
 */
#ifndef PG_PIPELINE_H
#define PG_PIPELINE_H

#include "pg/connection.h"

struct pg_pipeline;

/* The connection stays the caller's, and must outlive it. */
struct pg_pipeline *pg_pipeline_new(struct pg_connection *connection);
/* Accepts NULL; returns NULL. */
struct pg_pipeline *pg_pipeline_free(struct pg_pipeline *pipeline);

enum { PG_ANY_ROWS = -1 };

/* rows: that it must change, or PG_ANY_ROWS. tag: for pg_pipeline_failed, borrowed until the end.
 * Now and then it waits for what was added before, and tells of its failure. */
int pg_pipeline_add(struct pg_pipeline *pipeline, const char *sql, int count,
                    const char *const *parameters, int64_t rows, const void *tag,
                    struct error *err);
/* Waits for all of them. ERROR_STATE: one has changed other than its rows, or a COMMIT has rolled
 * back. */
int pg_pipeline_end(struct pg_pipeline *pipeline, struct error *err);
/* The tag of the first statement that failed; NULL: none did. */
const void *pg_pipeline_failed(const struct pg_pipeline *pipeline);

#endif
