/*
 * result.h - rows that a statement gave. All values are text as PostgreSQL writes it.
 *
 * struct pg_result is libpq's own PGresult, seen through these functions alone.
 *
 * Texts live as long as the result. Rows and columns count from 0; a place that is not there is a
 * defect in the caller and reads as NULL.
 */
#ifndef PG_RESULT_H
#define PG_RESULT_H

#include "base/arena.h"
#include "base/error.h"

struct pg_result;

/* Accepts NULL; returns NULL. */
struct pg_result *pg_result_free(struct pg_result *result);
DEFINE_CLEANUP(struct pg_result *, pg_result_free);
#define _cleanup_pg_result_ _cleanup_(cleanup_pg_result_free)

size_t pg_rows(const struct pg_result *result);
size_t pg_columns(const struct pg_result *result);
/* Rows that an INSERT, UPDATE, DELETE, ... touched; 0 for other commands. */
int64_t pg_affected(const struct pg_result *result);

bool pg_is_null(const struct pg_result *result, size_t row, size_t column);
/* NULL for SQL's NULL. */
const char *pg_text(const struct pg_result *result, size_t row, size_t column);
/* A copy in the arena; NULL for NULL. */
const char *pg_text_copy(const struct pg_result *result, size_t row, size_t column,
                         struct arena *arena);
/* 0 and false for NULL (and for what is no number). */
int64_t pg_i64(const struct pg_result *result, size_t row, size_t column);
bool pg_bool(const struct pg_result *result, size_t row, size_t column);
/* A bytea decoded into at most `size` bytes; NULL gives length 0. ERROR_LIMIT when it is longer,
 * ERROR_INVALID when it is no bytea. */
int pg_bytea(const struct pg_result *result, size_t row, size_t column, void *ret_bytes,
             size_t size, size_t *ret_length, struct error *err);
/* The same into the arena. */
int pg_bytea_copy(const struct pg_result *result, size_t row, size_t column, struct arena *arena,
                  const uint8_t **ret_bytes, size_t *ret_length, struct error *err);

/* Parameters, as text in the arena. */
const char *pg_from_i64(struct arena *arena, int64_t value);
const char *pg_from_bool(bool value); /* "t" or "f", static */
/* A bytea in hexadecimal form. */
const char *pg_from_bytes(struct arena *arena, const void *bytes, size_t length);
/* An array ("{1,2}", "{"a","b"}") for a parameter of type bigint[] or text[]. */
const char *pg_from_i64_array(struct arena *arena, const int64_t *values, size_t count);
const char *pg_from_text_array(struct arena *arena, const char *const *values, size_t count);
/* The same of a result's column, whose values are copied. */
const char *pg_from_column(struct arena *arena, const struct pg_result *result, size_t column);
/* A text[] or name[] value taken apart, without NULLs in it; texts in the arena. ERROR_INVALID. */
int pg_text_array(const struct pg_result *result, size_t row, size_t column, struct arena *arena,
                  const char *const **ret, size_t *ret_count, struct error *err);

#endif
