#include "wire/message.h"

#include <endian.h>

int wire_frame_read(const char *bytes, size_t length, struct wire_frame *ret, struct error *err)
{
    if (length < WIRE_HEADER_SIZE)
        return 0;
    uint32_t word;
    memcpy(&word, bytes + 1, sizeof(word));
    uint32_t message_length = be32toh(word);
    if (message_length < sizeof(word) || message_length > WIRE_MAX_MESSAGE)
        return error_set(err, ERROR_PROTOCOL, "invalid message length");
    ret->type = bytes[0];
    ret->body_length = message_length - (uint32_t)sizeof(word);
    return 1;
}
