#include "wire/message.h"

#include <endian.h>

#include "wire/printable.h"
#include "wire/sqlstate.h"

enum {
    LENGTH_SIZE = 4,
    HEAD_SIZE = 8, /* length word and version or request code */
    CANCEL_SECRET_MIN = 4,
    CANCEL_SECRET_MAX = 256,
};

static int violation(struct error *err, const char *text)
{
    return error_set(err, ERROR_PROTOCOL, "%s", text);
}

int wire_startup_size(const char *bytes, size_t length, size_t *ret_size, struct error *err)
{
    if (length < LENGTH_SIZE) {
        *ret_size = 0;
        return 0;
    }
    uint32_t word;
    memcpy(&word, bytes, sizeof(word));
    size_t size = be32toh(word);
    if (size < HEAD_SIZE || size > WIRE_MAX_STARTUP)
        return violation(err, "invalid length of startup packet");
    *ret_size = size;
    return 0;
}

uint32_t wire_startup_version(const struct wire_startup *startup)
{
    return startup->version < WIRE_PROTOCOL_3_2 ? startup->version : WIRE_PROTOCOL_3_2;
}

const char *wire_startup_get(const struct wire_startup *startup, const char *name)
{
    for (size_t i = 0; i < startup->parameter_count; i++) {
        if (strcmp(startup->parameters[i].name, name) == 0)
            return startup->parameters[i].value;
    }
    return NULL;
}

static int read_request(struct wire_reader *reader, enum wire_startup_kind kind,
                        struct wire_startup *ret, struct error *err)
{
    if (wire_reader_left(reader) > 0)
        return violation(err, "invalid startup packet layout: data behind an encryption request");
    ret->kind = kind;
    return 0;
}

static int read_cancel(struct wire_reader *reader, struct wire_startup *ret, struct error *err)
{
    ret->kind = WIRE_STARTUP_CANCEL;
    ret->cancel_pid = wire_read_i32(reader);
    size_t secret_length = wire_reader_left(reader);
    if (secret_length < CANCEL_SECRET_MIN || secret_length > CANCEL_SECRET_MAX)
        return violation(err, "invalid length of cancel request");
    ret->cancel_secret = wire_read_bytes(reader, secret_length);
    return 0;
}

static int add_parameter(struct wire_startup *startup, const char *name, const char *value,
                         struct error *err)
{
    if (startup->parameter_count == WIRE_MAX_STARTUP_PARAMETERS)
        return violation(err, "too many parameters in startup packet");
    /* Two readers of one packet must not take different values, so nothing is given twice. */
    if (wire_startup_get(startup, name)) {
        char shown[WIRE_PRINTABLE_SIZE];
        return error_set(err, ERROR_PROTOCOL, "startup parameter \"%s\" is given twice",
                         wire_printable(name, shown));
    }
    startup->parameters[startup->parameter_count].name = name;
    startup->parameters[startup->parameter_count].value = value;
    startup->parameter_count++;
    if (str_has_prefix(name, "_pq_."))
        startup->has_unknown_options = true;
    return 0;
}

static int read_parameters(struct wire_reader *reader, struct wire_startup *ret, struct error *err)
{
    for (;;) {
        const char *name = wire_read_cstring(reader);
        if (reader->failed || !*name)
            break;
        const char *value = wire_read_cstring(reader);
        if (reader->failed)
            break;
        int result = add_parameter(ret, name, value, err);
        if (result < 0)
            return result;
    }
    if (reader->failed || wire_reader_left(reader) > 0)
        return violation(err, "invalid startup packet layout: expected terminator as last byte");
    return 0;
}

static int read_startup(struct wire_reader *reader, uint32_t version, struct wire_startup *ret,
                        struct error *err)
{
    if (version >> 16 != WIRE_PROTOCOL_3_0 >> 16) {
        int result = error_set(err, ERROR_PROTOCOL,
                               "unsupported frontend protocol %u.%u: server supports 3.0 and later",
                               (unsigned)(version >> 16), (unsigned)(version & 0xFFFF));
        error_sqlstate(err, SQLSTATE_FEATURE_NOT_SUPPORTED);
        return result;
    }
    ret->kind = WIRE_STARTUP;
    ret->version = version;
    int result = read_parameters(reader, ret, err);
    if (result < 0)
        return result;
    const char *user = wire_startup_get(ret, "user");
    if (!user || !*user) {
        result = violation(err, "no PostgreSQL user name specified in startup packet");
        error_sqlstate(err, SQLSTATE_INVALID_AUTHORIZATION_SPECIFICATION);
        return result;
    }
    return 0;
}

int wire_startup_read(const char *packet, size_t size, struct wire_startup *ret, struct error *err)
{
    size_t announced = 0;
    int result = wire_startup_size(packet, size, &announced, err);
    if (result < 0)
        return result;
    if (size < HEAD_SIZE || announced != size)
        return violation(err, "invalid length of startup packet");

    struct wire_reader reader = wire_reader_of(packet + LENGTH_SIZE, size - LENGTH_SIZE);
    struct wire_startup startup = {0};
    uint32_t code = (uint32_t)wire_read_i32(&reader);
    switch (code) {
    case WIRE_SSL_REQUEST:
        result = read_request(&reader, WIRE_STARTUP_SSL, &startup, err);
        break;
    case WIRE_GSSENC_REQUEST:
        result = read_request(&reader, WIRE_STARTUP_GSSENC, &startup, err);
        break;
    case WIRE_CANCEL_REQUEST:
        result = read_cancel(&reader, &startup, err);
        break;
    default:
        result = read_startup(&reader, code, &startup, err);
        break;
    }
    if (result == 0)
        *ret = startup;
    return result;
}
