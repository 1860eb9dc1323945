/* The packets of a new connection, one behind the other, as the proxy takes them. */
#include "fuzz.h"
#include "wire/message.h"

static int check_setting(void *owner, const char *name, const char *value, struct error *err)
{
    (void)err;
    require(*name != '\0' && !strchr(name, '-') && !strchr(name, '=') && value);
    ++*(size_t *)owner;
    return 0;
}

static void check_options(const char *options)
{
    struct error err = {0};
    size_t count = 0;
    int result = wire_options_read(options, check_setting, &count, &err);
    if (result == 0)
        require(count <= strlen(options) / 3);
    else
        require_error(result, &err);
}

/* The answer to unknown protocol options names each of them, in order. */
static void check_negotiation(const struct wire_startup *startup)
{
    _cleanup_buffer_ struct buffer out = BUFFER_INIT(2 * WIRE_MAX_STARTUP);
    uint32_t version = wire_startup_version(startup);
    require(version >= WIRE_PROTOCOL_3_0 && version <= WIRE_PROTOCOL_3_2);
    require(version <= startup->version);
    wire_put_negotiate_version(&out, version, startup);
    require(!out.failed);
    struct wire_frame frame;
    require(wire_frame_read(out.data, out.length, &frame, NULL) == 1);
    require(frame.type == 'v' && frame.body_length == out.length - WIRE_HEADER_SIZE);
    struct wire_reader reader = wire_reader_of(out.data + WIRE_HEADER_SIZE, frame.body_length);
    require(wire_read_i32(&reader) == (int32_t)version);
    int32_t count = wire_read_i32(&reader);
    require((count > 0) == startup->has_unknown_options);
    for (int32_t i = 0; i < count; i++) {
        const char *name = wire_read_cstring(&reader);
        require(str_has_prefix(name, "_pq_.") && wire_startup_get(startup, name));
    }
    require(!reader.failed && wire_reader_left(&reader) == 0);
}

static void check_startup(const struct wire_startup *startup, const char *packet, size_t size)
{
    require(startup->version >> 16 == 3);
    require(startup->parameter_count <= WIRE_MAX_STARTUP_PARAMETERS);
    for (size_t i = 0; i < startup->parameter_count; i++) {
        const char *name = startup->parameters[i].name;
        const char *value = startup->parameters[i].value;
        require(is_within(name, packet, size) && is_within(value, packet, size) && *name);
        require(wire_startup_get(startup, name) == value); /* given once */
    }
    const char *user = wire_startup_get(startup, "user");
    require(user && *user);
    const char *options = wire_startup_get(startup, "options");
    if (options)
        check_options(options);
    check_negotiation(startup);
}

static void check_packet(const char *packet, size_t size)
{
    struct wire_startup startup;
    struct error err = {0};
    int result = wire_startup_read(packet, size, &startup, &err);
    if (result < 0) {
        require(result == -ERROR_PROTOCOL);
        require_error(result, &err);
        return;
    }
    require(result == 0);
    switch (startup.kind) {
    case WIRE_STARTUP:
        check_startup(&startup, packet, size);
        break;
    case WIRE_STARTUP_SSL:
    case WIRE_STARTUP_GSSENC:
        require(size == 8);
        break;
    case WIRE_STARTUP_CANCEL:
        require(startup.cancel_secret.length >= 4 && startup.cancel_secret.length <= 256);
        require(startup.cancel_secret.data + startup.cancel_secret.length == packet + size);
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *at = (const char *)data;
    check_packet(at, size); /* whatever it says of its length */
    while (true) {
        size_t packet_size;
        struct error err = {0};
        int result = wire_startup_size(at, size, &packet_size, &err);
        if (result < 0) {
            require_error(result, &err);
            return 0;
        }
        require(packet_size == 0 ? size < 4 : packet_size >= 8 && packet_size <= WIRE_MAX_STARTUP);
        if (packet_size == 0 || packet_size > size)
            return 0;
        check_packet(at, packet_size);
        at += packet_size;
        size -= packet_size;
    }
}
