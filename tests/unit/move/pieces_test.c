/* Large transactions of a stream come back as plain ones, message by message, when they commit. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "move/pieces.h"

#define BYTES(literal) ((struct str){(literal), sizeof(literal) - 1})
#define START(first) BYTES("S\0\0\2\1" first)
#define STOP BYTES("E")
#define XID "\0\0\2\1"
#define RELATION(xid)                                                                              \
    BYTES("R" xid "\0\0\1\2app\0thing\0d\0\1"                                                      \
          "\1id\0\0\0\0\x14\xff\xff\xff\xff")
#define INSERT(xid, digit) BYTES("I" xid "\0\0\1\2N\0\1t\0\0\0\1" digit)
#define TRUNCATE(xid) BYTES("T" xid "\0\0\0\1\0\0\0\1\2")
#define COMMIT BYTES("c" XID "\0\0\0\0\1\0\0\0\2\0\0\0\1\0\0\0\3\0\0\0\0\0\0\0\7")
#define PLAIN_BEGIN BYTES("B\0\0\0\1\0\0\0\2\0\0\0\0\0\0\0\7" XID)
#define PLAIN_COMMIT BYTES("C\0\0\0\0\1\0\0\0\2\0\0\0\1\0\0\0\3\0\0\0\0\0\0\0\7")

struct stream {
    struct pgoutput_decoder *decoder;
    struct pieces *pieces;
};

static struct stream open_stream(void)
{
    return (struct stream){pgoutput_decoder_new(), pieces_new()};
}

static void close_stream(struct stream *stream)
{
    pgoutput_decoder_free(stream->decoder);
    pieces_free(stream->pieces);
}

static int take(struct stream *stream, struct str bytes, struct error *err)
{
    struct pgoutput_message message;
    assert_int_equal(pgoutput_decode(stream->decoder, bytes, &message, NULL), 0);
    if (pieces_is_within(stream->pieces))
        return pieces_add(stream->pieces, &message, bytes, err);
    if (message.kind == PGOUTPUT_STREAM_START)
        return pieces_start(stream->pieces, &message, err);
    if (message.kind == PGOUTPUT_STREAM_COMMIT)
        return pieces_commit(stream->pieces, &message, err);
    if (message.kind == PGOUTPUT_STREAM_ABORT)
        pieces_abort(stream->pieces, &message);
    return 0;
}

static void takes(struct stream *stream, struct str bytes)
{
    assert_int_equal(take(stream, bytes, NULL), 0);
}

static struct str next(struct stream *stream)
{
    struct str told = {0};
    bool there = false;
    while (!there)
        assert_int_equal(pieces_next(stream->pieces, &there, &told, NULL), 0);
    return told;
}

/* And the stream's decoder understands it. */
static void gives(struct stream *stream, struct str bytes)
{
    struct pgoutput_message message;
    assert_true(pieces_is_replaying(stream->pieces));
    struct str told = next(stream);
    assert_int_equal(told.length, bytes.length);
    assert_memory_equal(told.data, bytes.data, told.length);
    assert_int_equal(pgoutput_decode(stream->decoder, told, &message, NULL), 0);
}

static void test_replayed(void **state reeve_unused)
{
    struct stream stream = open_stream();
    takes(&stream, START("\1"));
    takes(&stream, BYTES("O\0\0\0\0\0\0\0\11elsewhere\0"));
    takes(&stream, RELATION(XID));
    takes(&stream, BYTES("Y" XID "\0\0\1\3app\0mood\0"));
    takes(&stream, INSERT(XID, "1"));
    takes(&stream, STOP);
    assert_false(pieces_is_within(stream.pieces));
    assert_int_not_equal(pieces_size(stream.pieces), 0);
    takes(&stream, PLAIN_BEGIN); /* another one in between */
    takes(&stream, PLAIN_COMMIT);
    takes(&stream, START("\0"));
    takes(&stream, TRUNCATE(XID));
    takes(&stream, STOP);
    takes(&stream, COMMIT);
    gives(&stream, PLAIN_BEGIN);
    gives(&stream, RELATION(""));
    gives(&stream, INSERT("", "1"));
    gives(&stream, TRUNCATE(""));
    gives(&stream, PLAIN_COMMIT);
    assert_false(pieces_is_replaying(stream.pieces));
    assert_int_equal(pieces_size(stream.pieces), 0);
    close_stream(&stream);
}

static void test_rolled_back(void **state reeve_unused)
{
    struct stream stream = open_stream();
    takes(&stream, START("\1"));
    takes(&stream, INSERT(XID, "1"));
    takes(&stream, INSERT("\0\0\2\2", "2"));
    takes(&stream, STOP);
    takes(&stream, BYTES("A" XID "\0\0\2\2"));
    takes(&stream, START("\0"));
    takes(&stream, INSERT(XID, "3"));
    takes(&stream, STOP);
    takes(&stream, COMMIT);
    gives(&stream, PLAIN_BEGIN);
    gives(&stream, INSERT("", "1"));
    gives(&stream, INSERT("", "3"));
    gives(&stream, PLAIN_COMMIT);
    takes(&stream, START("\1"));
    takes(&stream, INSERT(XID, "4"));
    takes(&stream, STOP);
    takes(&stream, BYTES("A" XID XID));
    takes(&stream, BYTES("A" XID XID)); /* not known any more */
    assert_int_equal(pieces_size(stream.pieces), 0);
    close_stream(&stream);
}

/* Other tenants' transactions have pieces in which there is nothing. */
static void test_empty(void **state reeve_unused)
{
    struct stream stream = open_stream();
    takes(&stream, START("\1"));
    takes(&stream, STOP);
    assert_int_equal(pieces_size(stream.pieces), 0);
    takes(&stream, COMMIT);
    gives(&stream, PLAIN_BEGIN);
    gives(&stream, PLAIN_COMMIT);
    close_stream(&stream);
}

/* Instead of a change that is too large, which is only then of interest. */
static void test_empty_bytes(void **state reeve_unused)
{
    struct stream stream = open_stream();
    struct pgoutput_message message;
    takes(&stream, START("\1"));
    assert_int_equal(pgoutput_decode(stream.decoder, INSERT(XID, "1"), &message, NULL), 0);
    assert_int_equal(pieces_add(stream.pieces, &message, (struct str){0}, NULL), 0);
    takes(&stream, STOP);
    takes(&stream, COMMIT);
    gives(&stream, PLAIN_BEGIN);
    assert_int_equal(next(&stream).length, 0);
    gives(&stream, PLAIN_COMMIT);
    close_stream(&stream);
}

static void test_out_of_turn(void **state reeve_unused)
{
    struct stream stream = open_stream();
    struct error err;
    assert_int_equal(take(&stream, COMMIT, &err), -ERROR_PROTOCOL);
    assert_int_equal(take(&stream, START("\0"), &err), -ERROR_PROTOCOL);
    close_stream(&stream);
}

/* What was rolled back is asked of the server, and of nobody else. */
static void test_nobody_to_ask(void **state reeve_unused)
{
    struct stream stream = open_stream();
    struct error err;
    takes(&stream, START("\1"));
    takes(&stream, INSERT("\0\0\2\2", "2"));
    takes(&stream, STOP);
    takes(&stream, COMMIT);
    bool there = false;
    struct str told;
    assert_int_equal(pieces_next(stream.pieces, &there, &told, &err), -ERROR_INTERNAL);
    assert_false(there);
    close_stream(&stream);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_replayed),    cmocka_unit_test(test_rolled_back),
        cmocka_unit_test(test_empty),       cmocka_unit_test(test_empty_bytes),
        cmocka_unit_test(test_out_of_turn), cmocka_unit_test(test_nobody_to_ask),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
