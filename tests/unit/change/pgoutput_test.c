/* The messages of pgoutput, each as the manual writes it, whole and cut off at every byte. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/buffer.h"
#include "change/pgoutput.h"

#define BYTES(literal) ((struct str){(literal), sizeof(literal) - 1})

#define BEGIN BYTES("B\0\0\0\1\2\3\4\5\0\0\0\0\0\0\0\7\0\0\2\1")
#define COMMIT BYTES("C\0\0\0\0\1\0\0\0\2\0\0\0\1\0\0\0\3\0\0\0\0\0\0\0\7")
#define ORIGIN BYTES("O\0\0\0\0\0\0\0\11elsewhere\0")
#define RELATION                                                                                   \
    BYTES("R\0\0\1\2app\0thing\0d\0\2"                                                             \
          "\1id\0\0\0\0\x14\xff\xff\xff\xff"                                                       \
          "\0name\0\0\0\0\x19\0\0\0\4")
#define TYPE BYTES("Y\0\0\1\3app\0mood\0")
#define INSERT                                                                                     \
    BYTES("I\0\0\1\2N\0\3t\0\0\0\1"                                                                \
          "7nb\0\0\0\2\0\1")
#define UPDATE                                                                                     \
    BYTES("U\0\0\1\2N\0\2t\0\0\0\1"                                                                \
          "7u")
#define UPDATE_OF_KEY                                                                              \
    BYTES("U\0\0\1\2K\0\2t\0\0\0\1"                                                                \
          "7nN\0\2t\0\0\0\1"                                                                       \
          "8t\0\0\0\0")
#define DELETE                                                                                     \
    BYTES("D\0\0\1\2K\0\2t\0\0\0\1"                                                                \
          "7n")
#define DELETE_OF_ROW                                                                              \
    BYTES("D\0\0\1\2O\0\2t\0\0\0\1"                                                                \
          "7t\0\0\0\1x")
#define TRUNCATE BYTES("T\0\0\0\2\3\0\0\1\2\0\0\1\4")
#define MESSAGE BYTES("M\1\0\0\0\0\0\0\0\5reeve\0\0\0\0\2hi")
#define STREAM_START BYTES("S\0\0\2\1\1")
#define STREAM_STOP BYTES("E")
#define STREAM_COMMIT BYTES("c\0\0\2\1\0\0\0\0\1\0\0\0\2\0\0\0\1\0\0\0\3\0\0\0\0\0\0\0\7")
#define STREAM_ABORT BYTES("A\0\0\2\1\0\0\2\2")

/* As BEGIN or STREAM_START leave it; NULL: as it is made. */
static struct pgoutput_decoder *decoder_behind(const struct str *first)
{
    struct pgoutput_decoder *decoder = pgoutput_decoder_new();
    struct pgoutput_message message;
    if (first)
        assert_int_equal(pgoutput_decode(decoder, *first, &message, NULL), 0);
    return decoder;
}

static struct pgoutput_decoder *in_transaction(void)
{
    return decoder_behind(&BEGIN);
}

static struct pgoutput_message decoded(struct pgoutput_decoder *decoder, struct str bytes)
{
    struct pgoutput_message message = {0};
    struct error err = {0};
    if (pgoutput_decode(decoder, bytes, &message, &err) < 0)
        fail_msg("%s", err.message);
    return message;
}

static void must_be(struct pgoutput_value value, enum pgoutput_value_kind kind, struct str bytes)
{
    assert_int_equal(value.kind, kind);
    assert_int_equal(value.bytes.length, bytes.length);
    if (bytes.length > 0)
        assert_memory_equal(value.bytes.data, bytes.data, bytes.length);
}

/* ---- transactions ---- */

static void test_a_transaction(void **state)
{
    (void)state;
    _cleanup_pgoutput_decoder_ struct pgoutput_decoder *decoder = pgoutput_decoder_new();
    struct pgoutput_message begin = decoded(decoder, BEGIN);
    assert_int_equal(begin.kind, PGOUTPUT_BEGIN);
    assert_int_equal(begin.lsn, 0x102030405);
    assert_int_equal(begin.commit_time_us, 7);
    assert_int_equal(begin.xid, 0x201);
    struct pgoutput_message origin = decoded(decoder, ORIGIN);
    assert_int_equal(origin.kind, PGOUTPUT_ORIGIN);
    assert_int_equal(origin.lsn, 9);
    assert_string_equal(origin.name, "elsewhere");
    struct pgoutput_message commit = decoded(decoder, COMMIT);
    assert_int_equal(commit.kind, PGOUTPUT_COMMIT);
    assert_int_equal(commit.lsn, 0x100000002);
    assert_int_equal(commit.end_lsn, 0x100000003);
    assert_int_equal(commit.commit_time_us, 7);
    assert_int_equal(decoded(decoder, BEGIN).kind, PGOUTPUT_BEGIN);
}

static void test_a_transaction_in_pieces(void **state)
{
    (void)state;
    _cleanup_pgoutput_decoder_ struct pgoutput_decoder *decoder = pgoutput_decoder_new();
    struct pgoutput_message start = decoded(decoder, STREAM_START);
    assert_int_equal(start.kind, PGOUTPUT_STREAM_START);
    assert_int_equal(start.xid, 0x201);
    assert_true(start.is_first);
    struct pgoutput_message insert = decoded(decoder, BYTES("I\0\0\2\2\0\0\1\2N\0\1n"));
    assert_int_equal(insert.xid, 0x202);
    assert_int_equal(insert.relation, 0x102);
    assert_int_equal(decoded(decoder, STREAM_STOP).kind, PGOUTPUT_STREAM_STOP);
    struct pgoutput_message abort = decoded(decoder, STREAM_ABORT);
    assert_int_equal(abort.kind, PGOUTPUT_STREAM_ABORT);
    assert_int_equal(abort.xid, 0x201);
    assert_int_equal(abort.sub_xid, 0x202);
    struct pgoutput_message commit = decoded(decoder, STREAM_COMMIT);
    assert_int_equal(commit.kind, PGOUTPUT_STREAM_COMMIT);
    assert_int_equal(commit.xid, 0x201);
    assert_int_equal(commit.end_lsn, 0x100000003);
}

/* ---- what changes ---- */

static void test_relation(void **state)
{
    (void)state;
    _cleanup_pgoutput_decoder_ struct pgoutput_decoder *decoder = in_transaction();
    struct pgoutput_message relation = decoded(decoder, RELATION);
    assert_int_equal(relation.kind, PGOUTPUT_RELATION);
    assert_int_equal(relation.relation, 0x102);
    assert_int_equal(relation.xid, 0);
    assert_string_equal(relation.schema, "app");
    assert_string_equal(relation.name, "thing");
    assert_int_equal(relation.identity, 'd');
    assert_int_equal(relation.column_count, 2);
    assert_true(relation.columns[0].is_key);
    assert_string_equal(relation.columns[0].name, "id");
    assert_int_equal(relation.columns[0].type, 20);
    assert_int_equal(relation.columns[0].modifier, -1);
    assert_false(relation.columns[1].is_key);
    assert_string_equal(relation.columns[1].name, "name");
    assert_int_equal(relation.columns[1].modifier, 4);
    struct pgoutput_message type = decoded(decoder, TYPE);
    assert_int_equal(type.kind, PGOUTPUT_TYPE);
    assert_int_equal(type.relation, 0x103);
    assert_string_equal(type.name, "mood");
}

static void test_insert(void **state)
{
    (void)state;
    _cleanup_pgoutput_decoder_ struct pgoutput_decoder *decoder = in_transaction();
    struct pgoutput_message insert = decoded(decoder, INSERT);
    assert_int_equal(insert.kind, PGOUTPUT_INSERT);
    assert_int_equal(insert.relation, 0x102);
    assert_int_equal(insert.old_kind, 0);
    assert_int_equal(insert.new_tuple.count, 3);
    must_be(insert.new_tuple.values[0], PGOUTPUT_TEXT, BYTES("7"));
    must_be(insert.new_tuple.values[1], PGOUTPUT_NULL, BYTES(""));
    must_be(insert.new_tuple.values[2], PGOUTPUT_BINARY, BYTES("\0\1"));
}

static void test_update(void **state)
{
    (void)state;
    _cleanup_pgoutput_decoder_ struct pgoutput_decoder *decoder = in_transaction();
    struct pgoutput_message update = decoded(decoder, UPDATE);
    assert_int_equal(update.kind, PGOUTPUT_UPDATE);
    assert_int_equal(update.old_kind, 0);
    assert_int_equal(update.old_tuple.count, 0);
    must_be(update.new_tuple.values[1], PGOUTPUT_UNCHANGED, BYTES(""));
    update = decoded(decoder, UPDATE_OF_KEY);
    assert_int_equal(update.old_kind, 'K');
    must_be(update.old_tuple.values[0], PGOUTPUT_TEXT, BYTES("7"));
    must_be(update.old_tuple.values[1], PGOUTPUT_NULL, BYTES(""));
    must_be(update.new_tuple.values[0], PGOUTPUT_TEXT, BYTES("8"));
    must_be(update.new_tuple.values[1], PGOUTPUT_TEXT, BYTES(""));
}

static void test_delete(void **state)
{
    (void)state;
    _cleanup_pgoutput_decoder_ struct pgoutput_decoder *decoder = in_transaction();
    struct pgoutput_message delete = decoded(decoder, DELETE);
    assert_int_equal(delete.kind, PGOUTPUT_DELETE);
    assert_int_equal(delete.old_kind, 'K');
    must_be(delete.old_tuple.values[0], PGOUTPUT_TEXT, BYTES("7"));
    delete = decoded(decoder, DELETE_OF_ROW);
    assert_int_equal(delete.old_kind, 'O');
    must_be(delete.old_tuple.values[1], PGOUTPUT_TEXT, BYTES("x"));
}

static void test_truncate(void **state)
{
    (void)state;
    _cleanup_pgoutput_decoder_ struct pgoutput_decoder *decoder = in_transaction();
    struct pgoutput_message truncate = decoded(decoder, TRUNCATE);
    assert_int_equal(truncate.kind, PGOUTPUT_TRUNCATE);
    assert_true(truncate.cascade && truncate.restart_identity);
    assert_int_equal(truncate.relation_count, 2);
    assert_int_equal(truncate.relations[0], 0x102);
    assert_int_equal(truncate.relations[1], 0x104);
    assert_int_equal(decoded(decoder, BYTES("T\0\0\0\1\0\0\0\1\5")).relations[0], 0x105);
}

static void test_message(void **state)
{
    (void)state;
    _cleanup_pgoutput_decoder_ struct pgoutput_decoder *decoder = in_transaction();
    struct pgoutput_message message = decoded(decoder, MESSAGE);
    assert_int_equal(message.kind, PGOUTPUT_MESSAGE);
    assert_true(message.is_transactional);
    assert_int_equal(message.lsn, 5);
    assert_string_equal(message.name, "reeve");
    assert_true(str_equal_text(message.content, "hi"));
}

/* ---- what is none ---- */

static void must_refuse(struct pgoutput_decoder *decoder, struct str bytes)
{
    struct pgoutput_message message = {.relation = 42};
    struct error err = {0};
    assert_int_equal(pgoutput_decode(decoder, bytes, &message, &err), -ERROR_PROTOCOL);
    assert_int_equal(message.relation, 42);
    assert_true(strlen(err.message) > 0);
}

struct whole {
    struct str bytes;
    struct str first; /* what must come before it; empty: nothing */
};

/* Over copies that end where the bytes do, so that ASan sees a read behind them. */
static void must_need_all(const struct whole *whole)
{
    for (size_t length = 0; length < whole->bytes.length; length++) {
        _cleanup_pgoutput_decoder_ struct pgoutput_decoder *decoder =
            decoder_behind(whole->first.length ? &whole->first : NULL);
        _cleanup_free_ char *copy = xmalloc(length);
        memcpy(copy, whole->bytes.data, length);
        must_refuse(decoder, (struct str){copy, length});
    }
    _cleanup_pgoutput_decoder_ struct pgoutput_decoder *decoder =
        decoder_behind(whole->first.length ? &whole->first : NULL);
    _cleanup_buffer_ struct buffer more = BUFFER_INIT(1024);
    buffer_append(&more, whole->bytes.data, whole->bytes.length);
    buffer_append_byte(&more, '\0');
    must_refuse(decoder, (struct str){more.data, more.length});
}

static void test_cut_off(void **state)
{
    (void)state;
    const struct whole all[] = {
        {BEGIN, BYTES("")},
        {COMMIT, BEGIN},
        {ORIGIN, BEGIN},
        {RELATION, BEGIN},
        {TYPE, BEGIN},
        {INSERT, BEGIN},
        {UPDATE, BEGIN},
        {UPDATE_OF_KEY, BEGIN},
        {DELETE, BEGIN},
        {DELETE_OF_ROW, BEGIN},
        {TRUNCATE, BEGIN},
        {MESSAGE, BYTES("")},
        {STREAM_START, BYTES("")},
        {STREAM_STOP, STREAM_START},
        {STREAM_COMMIT, BYTES("")},
        {STREAM_ABORT, BYTES("")},
    };
    for (size_t i = 0; i < array_size(all); i++)
        must_need_all(&all[i]);
}

static void test_malformed(void **state)
{
    (void)state;
    const struct str bad[] = {
        BYTES("Z"),
        BYTES("I\0\0\1\2K\0\1n"),                 /* an insert has no old row */
        BYTES("I\0\0\1\2N\0\1x"),                 /* no such kind of value */
        BYTES("I\0\0\1\2N\xff\xff"),              /* less than no columns */
        BYTES("I\0\0\1\2N\0\1t\xff\xff\xff\xff"), /* a value shorter than nothing */
        BYTES("I\0\0\1\2N\0\1t\x7f\xff\xff\xff"
              "a"),
        BYTES("I\0\0\1\2N\x7f\xff"), /* more columns than a table has */
        BYTES("U\0\0\1\2K\0\1nK\0\1n"),
        BYTES("D\0\0\1\2N\0\1n"),
        BYTES("R\0\0\1\2app\0thing\0x\0\0"), /* no such replica identity */
        BYTES("T\x7f\xff\xff\xff\0\0\0\0\1"),
        BYTES("T\xff\xff\xff\xff\0"),
        BYTES("C\1\0\0\0\1\0\0\0\2\0\0\0\1\0\0\0\3\0\0\0\0\0\0\0\7"), /* flags of the future */
    };
    for (size_t i = 0; i < array_size(bad); i++) {
        _cleanup_pgoutput_decoder_ struct pgoutput_decoder *decoder = in_transaction();
        must_refuse(decoder, bad[i]);
    }
}

static void test_out_of_turn(void **state)
{
    (void)state;
    const struct whole all[] = {
        {COMMIT, BYTES("")},   {INSERT, BYTES("")},           {STREAM_STOP, BYTES("")},
        {BEGIN, BEGIN},        {STREAM_START, BEGIN},         {STREAM_COMMIT, BEGIN},
        {BEGIN, STREAM_START}, {COMMIT, STREAM_START},        {STREAM_START, STREAM_START},
        {STREAM_STOP, BEGIN},  {STREAM_COMMIT, STREAM_START}, {STREAM_ABORT, STREAM_START},
        {STREAM_ABORT, BEGIN}, {RELATION, BYTES("")},         {ORIGIN, BYTES("")},
    };
    for (size_t i = 0; i < array_size(all); i++) {
        _cleanup_pgoutput_decoder_ struct pgoutput_decoder *decoder =
            decoder_behind(all[i].first.length ? &all[i].first : NULL);
        must_refuse(decoder, all[i].bytes);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_transaction), cmocka_unit_test(test_a_transaction_in_pieces),
        cmocka_unit_test(test_relation),      cmocka_unit_test(test_insert),
        cmocka_unit_test(test_update),        cmocka_unit_test(test_delete),
        cmocka_unit_test(test_truncate),      cmocka_unit_test(test_message),
        cmocka_unit_test(test_cut_off),       cmocka_unit_test(test_malformed),
        cmocka_unit_test(test_out_of_turn),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
