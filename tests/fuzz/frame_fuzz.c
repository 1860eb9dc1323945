/* A stream of messages: the frame scanner against arithmetic, and the bodies' reader. */
#include "fuzz.h"
#include "wire/message.h"

static uint32_t big_endian(const uint8_t *bytes)
{
    return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

/* One read, chosen by `choice`, and what must hold of it. */
static void read_something(struct wire_reader *reader, uint8_t choice)
{
    const char *before = reader->at;
    size_t left = wire_reader_left(reader);
    bool failed = reader->failed;
    size_t want = choice / 5;
    switch (choice % 5) {
    case 0: {
        uint8_t value = wire_read_u8(reader);
        require(reader->failed ? value == 0 : value == (uint8_t)*before);
        want = 1;
        break;
    }
    case 1: {
        int16_t value = wire_read_i16(reader);
        const uint8_t *bytes = (const uint8_t *)before;
        require(reader->failed ? value == 0 : (uint16_t)value == (bytes[0] << 8 | bytes[1]));
        want = 2;
        break;
    }
    case 2: {
        int32_t value = wire_read_i32(reader);
        require(reader->failed ? value == 0
                               : (uint32_t)value == big_endian((const uint8_t *)before));
        want = 4;
        break;
    }
    case 3: {
        const char *text = wire_read_cstring(reader);
        require(reader->failed ? *text == '\0' : text == before);
        want = reader->failed ? left + 1 : strlen(text) + 1;
        break;
    }
    default: {
        struct str bytes = wire_read_bytes(reader, want);
        require(bytes.data && bytes.length == (reader->failed ? 0 : want));
        break;
    }
    }
    require(reader->failed == (failed || want > left));
    require(wire_reader_left(reader) == (reader->failed ? 0 : left - want));
}

/* Half of a body says what is read of the other half. */
static void read_body(const char *body, size_t length)
{
    size_t half = length / 2;
    struct wire_reader reader = wire_reader_of(body + half, length - half);
    for (size_t i = 0; i < half; i++)
        read_something(&reader, (uint8_t)body[i]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    while (true) {
        struct wire_frame frame = {'~', 12345};
        struct error err = {0};
        int result = wire_frame_read((const char *)data, size, &frame, &err);
        if (size < WIRE_HEADER_SIZE) {
            require(result == 0 && frame.type == '~' && frame.body_length == 12345);
            return 0;
        }
        uint32_t length = big_endian(data + 1);
        if (length < 4 || length > WIRE_MAX_MESSAGE) {
            require(result == -ERROR_PROTOCOL && frame.type == '~' && frame.body_length == 12345);
            require_error(result, &err);
            return 0;
        }
        require(result == 1 && frame.type == (char)data[0] && frame.body_length == length - 4);
        if (frame.body_length > size - WIRE_HEADER_SIZE)
            return 0;
        read_body((const char *)data + WIRE_HEADER_SIZE, frame.body_length);
        data += WIRE_HEADER_SIZE + frame.body_length;
        size -= WIRE_HEADER_SIZE + frame.body_length;
    }
}
