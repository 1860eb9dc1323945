/* ErrorResponse bodies, whole or not, and that they survive being written again. */
#include "fuzz.h"
#include "wire/message.h"

static void check_field(const char *field, const uint8_t *data, size_t size)
{
    require(!field || is_within(field, data, size));
}

static void check_same(const char *before, const char *after, const char *missing)
{
    const char *expected = before ? before : missing;
    require(expected ? after && strcmp(after, expected) == 0 : !after);
}

static const char *unless_empty(const char *text)
{
    return text && *text ? text : NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct wire_error_fields fields;
    wire_error_read((const char *)data, size, &fields);
    check_field(fields.severity, data, size);
    check_field(fields.sqlstate, data, size);
    check_field(fields.message, data, size);
    check_field(fields.detail, data, size);
    check_field(fields.hint, data, size);

    _cleanup_buffer_ struct buffer out = BUFFER_INIT(4 * size + 100);
    wire_put_error(&out, fields.severity, fields.sqlstate, fields.message, fields.detail,
                   fields.hint);
    require(!out.failed);
    struct wire_frame frame;
    require(wire_frame_read(out.data, out.length, &frame, NULL) == 1);
    require(frame.type == 'E' && frame.body_length == out.length - WIRE_HEADER_SIZE);
    struct wire_error_fields again;
    wire_error_read(out.data + WIRE_HEADER_SIZE, frame.body_length, &again);
    check_same(fields.severity, again.severity, "ERROR");
    check_same(fields.sqlstate, again.sqlstate, "XX000");
    check_same(fields.message, again.message, "");
    check_same(unless_empty(fields.detail), again.detail, NULL);
    check_same(unless_empty(fields.hint), again.hint, NULL);
    return 0;
}
