/* A change stream: messages behind a length of two bytes each, to one decoder. */
#include "change/pgoutput.h"
#include "fuzz.h"

static void check_text(const char *text, struct str message)
{
    require(!text || is_within(text, message.data, message.length) || *text == '\0');
}

static void check_tuple(struct pgoutput_tuple tuple, struct str message)
{
    require(tuple.count <= PGOUTPUT_COLUMNS_MAX);
    for (size_t i = 0; i < tuple.count; i++) {
        struct str bytes = tuple.values[i].bytes;
        require(bytes.length == 0 || (bytes.data >= message.data &&
                                      bytes.data + bytes.length <= message.data + message.length));
    }
}

static void check(const struct pgoutput_message *told, struct str message)
{
    check_text(told->name, message);
    check_text(told->schema, message);
    check_tuple(told->old_tuple, message);
    check_tuple(told->new_tuple, message);
    require(told->column_count <= PGOUTPUT_COLUMNS_MAX);
    for (size_t i = 0; i < told->column_count; i++)
        check_text(told->columns[i].name, message);
    uint32_t sum = 0;
    for (size_t i = 0; i < told->relation_count; i++)
        sum += told->relations[i];
    require(told->relation_count > 0 || sum == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    _cleanup_pgoutput_decoder_ struct pgoutput_decoder *decoder = pgoutput_decoder_new();
    size_t at = 0;
    while (size - at >= 2) {
        size_t length = (size_t)data[at] << 8 | data[at + 1];
        at += 2;
        if (length > size - at)
            length = size - at;
        struct str message = {(const char *)data + at, length};
        struct pgoutput_message told;
        struct error err = {0};
        int result = pgoutput_decode(decoder, message, &told, &err);
        if (result < 0) {
            require_error(result, &err);
            return 0;
        }
        check(&told, message);
        at += length;
    }
    return 0;
}
