/*
 * message.h - reading and writing the messages of protocol 3.
 *
 * Pure bytes in, bytes out: no sockets, no allocation but in the caller's buffers, no state kept.
 * Source: PostgreSQL's manual, chapter "Frontend/Backend Protocol" (message formats).
 */
#ifndef WIRE_MESSAGE_H
#define WIRE_MESSAGE_H

#include "base/buffer.h"
#include "base/error.h"
#include "base/str.h"

enum {
    WIRE_HEADER_SIZE = 5,          /* type byte and length */
    WIRE_MAX_MESSAGE = 0x3fffffff, /* PostgreSQL's own PQ_LARGE_MESSAGE_LIMIT */
    WIRE_PROTOCOL_3_0 = 0x00030000,
    WIRE_PROTOCOL_3_2 = 0x00030002, /* the newest: cancel keys may be longer than 4 bytes */
    WIRE_SSL_REQUEST = 80877103,
    WIRE_GSSENC_REQUEST = 80877104,
    WIRE_CANCEL_REQUEST = 80877102,
    WIRE_MAX_STARTUP = 10000, /* PostgreSQL's MAX_STARTUP_PACKET_LENGTH */
    WIRE_MAX_STARTUP_PARAMETERS = 100,
};

/* ---- frames ---- */
struct wire_frame {
    char type;
    uint32_t body_length; /* bytes behind the header */
};
/* Reads a frame's header from the front of the bytes. 1: read; 0: fewer than WIRE_HEADER_SIZE
 * bytes; -ERROR_PROTOCOL: the length is below 4 or above WIRE_MAX_MESSAGE. */
int wire_frame_read(const char *bytes, size_t length, struct wire_frame *ret, struct error *err);

/* ---- reading bodies ----
 * A reader never passes its end: after a read that did not fit, `failed` is set, and this and every
 * later read gives zero or an empty string. Check once, at the end. */
struct wire_reader {
    const char *at;
    const char *end;
    bool failed;
};
struct wire_reader wire_reader_of(const char *body, size_t length);
uint8_t wire_read_u8(struct wire_reader *reader);
int16_t wire_read_i16(struct wire_reader *reader);
int32_t wire_read_i32(struct wire_reader *reader);
const char *wire_read_cstring(struct wire_reader *reader); /* in place; "" on failure */
struct str wire_read_bytes(struct wire_reader *reader, size_t length);
size_t wire_reader_left(const struct wire_reader *reader);

/* ---- startup packets (no type byte) ---- */
enum wire_startup_kind { WIRE_STARTUP, WIRE_STARTUP_SSL, WIRE_STARTUP_GSSENC, WIRE_STARTUP_CANCEL };
struct wire_startup {
    enum wire_startup_kind kind;
    uint32_t version;       /* WIRE_STARTUP: major << 16 | minor; major is 3 */
    size_t parameter_count; /* pointers into the packet */
    struct {
        const char *name;
        const char *value;
    } parameters[WIRE_MAX_STARTUP_PARAMETERS];
    bool has_unknown_options; /* a _pq_. parameter was there */
    int32_t cancel_pid;       /* WIRE_STARTUP_CANCEL */
    struct str cancel_secret; /* 4 to 256 bytes, into the packet */
};
/* Size of the whole packet from its first bytes: 0 when fewer than 4 bytes are there,
 * -ERROR_PROTOCOL when it is below 8 or above WIRE_MAX_STARTUP, which closes the connection. */
int wire_startup_size(const char *bytes, size_t length, size_t *ret_size, struct error *err);
/* Reads one whole packet (packet[0..size), length word included). -ERROR_PROTOCOL with a message
 * for the client: unsupported major version, missing terminator, odd strings, too many parameters,
 * a parameter given twice, trailing bytes, no user. */
int wire_startup_read(const char *packet, size_t size, struct wire_startup *ret, struct error *err);
/* The version that is spoken with this client: what it asks for, or the newest if that is older. */
uint32_t wire_startup_version(const struct wire_startup *startup);
/* The value of a parameter or NULL. */
const char *wire_startup_get(const struct wire_startup *startup, const char *name);

/*
 * Splits the startup parameter `options` as PostgreSQL does (pg_split_opts: blanks separate,
 * backslash escapes; then "-c name=value" and "--name=value", '-' in a name becoming '_').
 * Calls `found` for each setting; other switches are refused. -ERROR_INVALID with a message.
 * A result of `found` other than 0 ends it and is returned.
 */
int wire_options_read(const char *options,
                      int (*found)(void *owner, const char *name, const char *value,
                                   struct error *err),
                      void *owner, struct error *err);

/* ---- ErrorResponse and NoticeResponse ---- */
struct wire_error_fields { /* into the message; NULL where absent or cut off */
    const char *severity, *sqlstate, *message, *detail, *hint, *context;
};
/* Never fails: unknown fields are skipped and a body that ends early gives what was there. */
void wire_error_read(const char *body, size_t length, struct wire_error_fields *ret);

/* ---- writing ----
 * All append one message to the buffer; when it does not fit, buffer->failed is set. */
size_t wire_begin(struct buffer *out, char type); /* returns a mark for wire_end */
void wire_end(struct buffer *out, size_t mark);   /* fills the length in */
void wire_put_i16(struct buffer *out, int16_t value);
void wire_put_i32(struct buffer *out, int32_t value);
void wire_put_cstring(struct buffer *out, const char *text);
/* A message without a body: ParseComplete '1', Sync 'S', ... */
void wire_put_empty(struct buffer *out, char type);
void wire_put_ready_for_query(struct buffer *out, char status);
void wire_put_parameter_status(struct buffer *out, const char *name, const char *value);
void wire_put_backend_key_data(struct buffer *out, int32_t pid, const void *secret, size_t length);
void wire_put_command_complete(struct buffer *out, const char *tag);
/* ErrorResponse; severity "ERROR" or "FATAL"; detail and hint may be NULL or "". */
void wire_put_error(struct buffer *out, const char *severity, const char *sqlstate,
                    const char *message, const char *detail, const char *hint);
void wire_put_notice(struct buffer *out, const char *severity, const char *sqlstate,
                     const char *message, const char *hint);
/* Authentication requests: 0 ok, 3 cleartext, 10 SASL (one mechanism list), 11 and 12 with data. */
void wire_put_authentication(struct buffer *out, int32_t kind, const void *data, size_t length);
/* NegotiateProtocolVersion: `version` is what will be spoken; names the protocol options. */
void wire_put_negotiate_version(struct buffer *out, uint32_t version,
                                const struct wire_startup *startup);
/* Frontend messages that the proxy injects. */
void wire_put_query(struct buffer *out, const char *sql);
void wire_put_parse(struct buffer *out, const char *name, const char *sql, const void *type_oids,
                    size_t type_count); /* OIDs in network order, as received */
void wire_put_close_statement(struct buffer *out, const char *name);

#endif
