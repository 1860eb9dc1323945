/*
 * output.h - what commands print: results on standard output, progress and errors on standard
 * error.
 *
 * A command makes JSON objects and says with a table of fields what is in them; from the same table
 * come the columns for people, --json and the reference. Control characters in texts are escaped,
 * so that nothing stored can drive a terminal.
 */
#ifndef CLI_OUTPUT_H
#define CLI_OUTPUT_H

#include <jansson.h>

#include "base/error.h"

enum output_kind {
    OUTPUT_TEXT,
    OUTPUT_NUMBER,
    OUTPUT_BOOLEAN,
    OUTPUT_TIME,
    OUTPUT_LIST,
    OUTPUT_OBJECT
};

struct output_field {
    const char *key;   /* in JSON; stable */
    const char *title; /* for people; NULL: in JSON alone */
    enum output_kind kind;
    bool detail; /* for people: not in lists */
    const char *help;
};

struct cli;

/* Prints `record` (an object; a reference is taken over) for people or as JSON. Every key of it
 * must be in the command's table of fields, and every field in it (null when there is no value). */
void output_record(const struct cli *cli, json_t *record);
/* The same for an array of objects; `none` is what people read when it is empty. */
void output_list(const struct cli *cli, json_t *records, const char *none);
/* For people alone: a table of other objects than the command's, whose keys need not all be in it.
 */
void output_table(const struct output_field *fields, json_t *records);
/* As JSON, the record; for people, the text. */
void output_done(const struct cli *cli, json_t *record, const char *format, ...) reeve_printf(3, 4);

/* JSON values; the text NULL becomes null. */
json_t *output_text(const char *text);
json_t *output_time_us(int64_t unix_us); /* RFC 3339; null for 0 */
json_t *output_id(int64_t id);           /* null for 0 */

/* "12.3 MB", for people. */
enum { OUTPUT_SIZE_SIZE = 32 };
const char *output_size(int64_t bytes, char ret[OUTPUT_SIZE_SIZE]);

/* A line for people on standard error, not part of the result. */
void output_note(const char *format, ...) reeve_printf(1, 2);
/* "reeve: message", "detail: ..." and "hint: ..." on standard error. */
void output_error(const struct error *err);
/* Text with control characters escaped. */
void output_escaped(FILE *file, const char *text);

/* Progress on standard error: one line rewritten on a terminal, plain lines elsewhere. */
void output_progress(size_t number, size_t count, const char *text);
/* Takes the line away before other output. */
void output_progress_end(void);

#endif
