/* A change stream as pgoutput_fuzz.c has it, whose large transactions are kept and come back. */
#include "change/pgoutput.h"
#include "fuzz.h"
#include "move/pieces.h"

/* What was understood once is so again, and from BEGIN to COMMIT. False: somebody would have to be
 * asked about subtransactions, and nobody is there. */
static bool replay(struct pieces *pieces, struct pgoutput_decoder *decoder)
{
    struct pgoutput_message told = {.kind = PGOUTPUT_MESSAGE};
    for (bool first = true; pieces_is_replaying(pieces); first = false) {
        struct str bytes;
        bool there = false;
        while (!there) {
            int result = pieces_next(pieces, &there, &bytes, NULL);
            if (first && result == -ERROR_INTERNAL)
                return false;
            require(result == 0);
        }
        require(pgoutput_decode(decoder, bytes, &told, NULL) == 0);
        require(first == (told.kind == PGOUTPUT_BEGIN));
    }
    require(told.kind == PGOUTPUT_COMMIT);
    return true;
}

static int take(struct pieces *pieces, const struct pgoutput_message *told, struct str message,
                struct error *err)
{
    if (pieces_is_within(pieces))
        return pieces_add(pieces, told, message, err);
    if (told->kind == PGOUTPUT_STREAM_START)
        return pieces_start(pieces, told, err);
    if (told->kind == PGOUTPUT_STREAM_COMMIT)
        return pieces_commit(pieces, told, err);
    if (told->kind == PGOUTPUT_STREAM_ABORT)
        pieces_abort(pieces, told);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    _cleanup_pgoutput_decoder_ struct pgoutput_decoder *decoder = pgoutput_decoder_new();
    _cleanup_pieces_ struct pieces *pieces = pieces_new();
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
        if (result == 0)
            result = take(pieces, &told, message, &err);
        if (result < 0) {
            require_error(result, &err);
            return 0;
        }
        if (pieces_is_replaying(pieces) && !replay(pieces, decoder))
            return 0;
        at += length;
    }
    return 0;
}
