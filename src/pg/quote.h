/*
 * quote.h - the one place that quotes identifiers and literals for SQL that must be made as text.
 *
 * For DDL alone, where PostgreSQL takes no parameters; everywhere else values are bound. Results
 * are right whatever standard_conforming_strings and the session's settings are; client encoding is
 * UTF-8 on every connection of ours.
 */
#ifndef PG_QUOTE_H
#define PG_QUOTE_H

#include "base/arena.h"
#include "base/buffer.h"

/* "name", always with quotes. Appends; 0 or -ERROR_LIMIT as the buffer says. */
int pg_quote_identifier(struct buffer *buffer, const char *name);
/* "schema"."name". */
int pg_quote_qualified(struct buffer *buffer, const char *schema, const char *name);
/* 'text', or  E'text' when there is a backslash in it; NULL gives the word NULL. */
int pg_quote_literal(struct buffer *buffer, const char *text);

/* The same as strings in the arena. */
const char *pg_identifier(struct arena *arena, const char *name);
const char *pg_qualified(struct arena *arena, const char *schema, const char *name);
const char *pg_literal(struct arena *arena, const char *text);

#endif
