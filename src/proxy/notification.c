#include "proxy/notification.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "wire/message.h"

bool notification_write_own(int64_t tenant_id, const char *body, size_t length, struct buffer *out)
{
    struct wire_reader reader = wire_reader_of(body, length);
    int32_t sender = wire_read_i32(&reader);
    const char *channel = wire_read_cstring(&reader);
    const char *payload = wire_read_cstring(&reader);
    char tenant[24];
    snprintf(tenant, sizeof(tenant), "%" PRIx64 ":", (uint64_t)tenant_id);
    if (reader.failed || !str_has_prefix(channel, tenant))
        return false;
    size_t mark = wire_begin(out, 'A');
    wire_put_i32(out, sender);
    wire_put_cstring(out, channel + strlen(tenant));
    wire_put_cstring(out, payload);
    wire_end(out, mark);
    return true;
}
