#include "cli/output.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/str.h"
#include "base/time.h"
#include "cli/cli.h"

enum { TEXT_MAXIMUM = 1 << 20 };

/* ---- values ---- */

json_t *output_text(const char *text)
{
    if (!text)
        return json_null();
    json_t *value = json_string(text);
    return value ? value : json_string("(not UTF-8)");
}

json_t *output_time_us(int64_t unix_us)
{
    char text[TIME_TEXT_SIZE];
    if (unix_us == 0)
        return json_null();
    time_format(unix_us, text);
    return json_string(text);
}

json_t *output_id(int64_t id)
{
    return id == 0 ? json_null() : json_integer(id);
}

const char *output_size(int64_t bytes, char ret[OUTPUT_SIZE_SIZE])
{
    static const char *const units[] = {"B", "kB", "MB", "GB", "TB"};
    double size = (double)bytes;
    size_t unit = 0;
    for (; size >= 1024 && unit + 1 < array_size(units); unit++)
        size /= 1024;
    snprintf(ret, OUTPUT_SIZE_SIZE, "%.*f %s", unit == 0 ? 0 : 1, size, units[unit]);
    return ret;
}

/* ---- people's form ---- */

void output_escaped(FILE *file, const char *text)
{
    _cleanup_buffer_ struct buffer buffer = BUFFER_INIT(TEXT_MAXIMUM);
    buffer_append_escaped(&buffer, text, false);
    fputs(buffer_string(&buffer), file);
}

/* Our own text with others' in it: its lines are ours, any other control character is not. */
static void reeve_printf(2, 0) print_text(FILE *file, const char *format, va_list arguments)
{
    _cleanup_buffer_ struct buffer plain = BUFFER_INIT(TEXT_MAXIMUM);
    _cleanup_buffer_ struct buffer buffer = BUFFER_INIT(4 * TEXT_MAXIMUM);
    buffer_vprintf(&plain, format, arguments);
    buffer_append_escaped(&buffer, buffer_string(&plain), true);
    fprintf(file, "%s\n", buffer_string(&buffer));
}

static void append_value(struct buffer *buffer, const json_t *value)
{
    size_t index;
    json_t *item;
    const char *key;
    switch (json_typeof(value)) {
    case JSON_STRING:
        buffer_append_escaped(buffer, json_string_value(value), false);
        break;
    case JSON_INTEGER:
        buffer_printf(buffer, "%lld", (long long)json_integer_value(value));
        break;
    case JSON_REAL:
        buffer_printf(buffer, "%.3f", json_real_value(value));
        break;
    case JSON_TRUE:
    case JSON_FALSE:
        buffer_append_string(buffer, json_is_true(value) ? "yes" : "no");
        break;
    case JSON_ARRAY:
        json_array_foreach((json_t *)(uintptr_t)value, index, item)
        {
            if (index > 0)
                buffer_append_string(buffer, json_is_object(item) ? "; " : ", ");
            append_value(buffer, item);
        }
        break;
    case JSON_OBJECT:
        index = 0;
        json_object_foreach((json_t *)(uintptr_t)value, key, item)
        {
            buffer_append_string(buffer, index++ > 0 ? ", " : "");
            buffer_append_escaped(buffer, key, false);
            buffer_append_string(buffer, " ");
            append_value(buffer, item);
        }
        break;
    case JSON_NULL:
        buffer_append_byte(buffer, '-');
        break;
    }
}

/* "2026-01-02 03:04:05Z": seconds are enough for people. */
static void append_time(struct buffer *buffer, const json_t *value)
{
    const char *text = json_string_value(value);
    if (!text || strlen(text) < 19) {
        append_value(buffer, value);
        return;
    }
    buffer_append(buffer, text, 10);
    buffer_append_byte(buffer, ' ');
    buffer_append(buffer, text + 11, 8);
    buffer_append_byte(buffer, 'Z');
}

static char *field_text(const json_t *record, const struct output_field *field)
{
    _cleanup_buffer_ struct buffer buffer = BUFFER_INIT(TEXT_MAXIMUM);
    const json_t *value = json_object_get(record, field->key);
    if (value && field->kind == OUTPUT_TIME)
        append_time(&buffer, value);
    else if (value)
        append_value(&buffer, value);
    if (buffer.length == 0)
        buffer_append_string(&buffer, "-");
    return buffer_take(&buffer);
}

/* Characters, not bytes: continuation bytes take no place. */
static size_t width_of(const char *text)
{
    size_t width = 0;
    for (; *text; text++)
        width += ((unsigned char)*text & 0xC0) != 0x80;
    return width;
}

static void print_padded(const char *text, size_t width, bool last)
{
    fputs(text, stdout);
    for (size_t i = width_of(text); !last && i < width + 2; i++)
        fputc(' ', stdout);
}

/* ---- checks ---- */

static const struct output_field *find_field(const struct output_field *fields, const char *key)
{
    for (; fields->key; fields++) {
        if (strcmp(fields->key, key) == 0)
            return fields;
    }
    return NULL;
}

/* What is printed is what the table says: no key that is not documented, and none left out. */
static void complete_record(const struct cli *cli, json_t *record)
{
    const struct output_field *fields = cli->command->fields;
    const char *key;
    json_t *value;
    json_object_foreach(record, key, value)
    {
        if (!find_field(fields, key)) {
            fprintf(stderr, "reeve: the command's fields do not declare %s\n", key);
            abort();
        }
    }
    for (; fields->key; fields++) {
        if (!json_object_get(record, fields->key))
            json_object_set_new(record, fields->key, json_null());
    }
}

static void print_json(json_t *value)
{
    json_dumpf(value, stdout, JSON_INDENT(2) | JSON_PRESERVE_ORDER);
    fputc('\n', stdout);
}

/* ---- records and lists ---- */

void output_record(const struct cli *cli, json_t *record)
{
    output_progress_end();
    complete_record(cli, record);
    if (cli->json) {
        print_json(record);
        json_decref(record);
        return;
    }
    size_t width = 0;
    for (const struct output_field *field = cli->command->fields; field->key; field++) {
        if (field->title && width_of(field->title) > width)
            width = width_of(field->title);
    }
    for (const struct output_field *field = cli->command->fields; field->key; field++) {
        if (!field->title)
            continue;
        _cleanup_free_ char *text = field_text(record, field);
        print_padded(field->title, width, false);
        puts(text);
    }
    json_decref(record);
}

static bool in_list(const struct output_field *field)
{
    return field->title && !field->detail;
}

static void print_table(const struct output_field *fields, json_t *records)
{
    size_t widths[32] = {0};
    size_t column = 0, last = 0;
    size_t index;
    json_t *record;
    for (const struct output_field *field = fields; field->key; field++, column++) {
        if (!in_list(field) || column >= array_size(widths))
            continue;
        last = column;
        widths[column] = width_of(field->title);
        json_array_foreach(records, index, record)
        {
            _cleanup_free_ char *text = field_text(record, field);
            if (width_of(text) > widths[column])
                widths[column] = width_of(text);
        }
    }
    for (column = 0; column <= last; column++) {
        if (in_list(&fields[column]))
            print_padded(fields[column].title, widths[column], column == last);
    }
    putchar('\n');
    json_array_foreach(records, index, record)
    {
        for (column = 0; column <= last; column++) {
            if (!in_list(&fields[column]))
                continue;
            _cleanup_free_ char *text = field_text(record, &fields[column]);
            print_padded(text, widths[column], column == last);
        }
        putchar('\n');
    }
}

void output_list(const struct cli *cli, json_t *records, const char *none)
{
    size_t index;
    json_t *record;
    output_progress_end();
    json_array_foreach(records, index, record) complete_record(cli, record);
    if (cli->json)
        print_json(records);
    else if (json_array_size(records) > 0)
        print_table(cli->command->fields, records);
    else
        puts(none);
    json_decref(records);
}

void output_table(const struct output_field *fields, json_t *records)
{
    output_progress_end();
    print_table(fields, records);
    json_decref(records);
}

void output_done(const struct cli *cli, json_t *record, const char *format, ...)
{
    if (cli->json) {
        output_record(cli, record);
        return;
    }
    output_progress_end();
    complete_record(cli, record);
    va_list arguments;
    va_start(arguments, format);
    print_text(stdout, format, arguments);
    va_end(arguments);
    json_decref(record); /* the text may be made of what is in it */
}

/* ---- standard error ---- */

static size_t progress_width; /* of the line that stands on the terminal; 0: none */

void output_note(const char *format, ...)
{
    output_progress_end();
    va_list arguments;
    va_start(arguments, format);
    print_text(stderr, format, arguments);
    va_end(arguments);
}

void output_error(const struct error *err)
{
    output_progress_end();
    fflush(stdout);
    fputs("reeve: ", stderr);
    output_escaped(stderr, err->message);
    fputc('\n', stderr);
    if (err->detail[0]) {
        fputs("detail: ", stderr);
        output_escaped(stderr, err->detail);
        fputc('\n', stderr);
    }
    if (err->hint[0]) {
        fputs("hint: ", stderr);
        output_escaped(stderr, err->hint);
        fputc('\n', stderr);
    }
}

static size_t terminal_columns(void)
{
    struct winsize size;
    if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) < 0 || size.ws_col < 20)
        return 80;
    return size.ws_col;
}

void output_progress(size_t number, size_t count, const char *text)
{
    _cleanup_buffer_ struct buffer line = BUFFER_INIT(TEXT_MAXIMUM);
    if (number > 0)
        buffer_printf(&line, "[%zu/%zu] ", number, count);
    buffer_append_escaped(&line, text, false);
    if (!isatty(STDERR_FILENO)) {
        fprintf(stderr, "%s\n", buffer_string(&line));
        return;
    }
    int columns = (int)terminal_columns() - 1;
    fprintf(stderr, "\r\033[K%.*s", columns, buffer_string(&line));
    fflush(stderr);
    progress_width = line.length;
}

void output_progress_end(void)
{
    if (progress_width > 0) {
        fputs("\r\033[K", stderr);
        fflush(stderr);
    }
    progress_width = 0;
}
