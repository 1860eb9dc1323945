/* Primitives against published vectors, and sealed secrets against tampering. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/crypto.h"
#include "base/str.h"

static void is_hex(const void *bytes, size_t length, const char *expected)
{
    char text[129];
    assert_true(length <= 64);
    str_hex(bytes, length, text);
    assert_string_equal(text, expected);
}

static void test_sha256(void **state)
{
    (void)state;
    uint8_t hash[CRYPTO_SHA256_SIZE];
    crypto_sha256("", 0, hash);
    is_hex(hash, 32, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    crypto_sha256("abc", 3, hash); /* FIPS 180-2, B.1 */
    is_hex(hash, 32, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

static void test_hmac(void **state)
{
    (void)state;
    uint8_t mac[CRYPTO_SHA256_SIZE];
    /* RFC 4231, cases 1, 2 and 6 (a key longer than a block). */
    crypto_hmac_sha256("\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b"
                       "\x0b\x0b",
                       20, "Hi There", 8, mac);
    is_hex(mac, 32, "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
    crypto_hmac_sha256("Jefe", 4, "what do ya want for nothing?", 28, mac);
    is_hex(mac, 32, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    uint8_t key[131];
    memset(key, 0xaa, sizeof(key));
    static const char data[] = "Test Using Larger Than Block-Size Key - Hash Key First";
    crypto_hmac_sha256(key, sizeof(key), data, sizeof(data) - 1, mac);
    is_hex(mac, 32, "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
}

static void test_pbkdf2(void **state)
{
    (void)state;
    uint8_t key[CRYPTO_SHA256_SIZE];
    /* RFC 7914, section 11 (first half of the first vector), and the widely used set that mirrors
     * RFC 6070 for SHA-256. */
    crypto_pbkdf2_sha256("passwd", 6, "salt", 4, 1, key);
    is_hex(key, 32, "55ac046e56e3089fec1691c22544b605f94185216dde0465e68b9d57c20dacbc");
    crypto_pbkdf2_sha256("password", 8, "salt", 4, 2, key);
    is_hex(key, 32, "ae4d0c95af6b46d32d0adff928f06dd02a303f8ef3c251dfd6e2d85a95474c43");
    crypto_pbkdf2_sha256("password", 8, "salt", 4, 4096, key);
    is_hex(key, 32, "c5e478d59288c841aa530db6845c4c8d962893a001ce4e11a4963873aa98134a");
}

static void test_base64(void **state)
{
    (void)state;
    static const struct {
        const char *plain, *text;
    } cases[] = {{"", ""},
                 {"f", "Zg=="},
                 {"fo", "Zm8="},
                 {"foo", "Zm9v"},
                 {"foob", "Zm9vYg=="},
                 {"fooba", "Zm9vYmE="},
                 {"foobar", "Zm9vYmFy"}};
    for (size_t i = 0; i < array_size(cases); i++) { /* RFC 4648, section 10 */
        size_t length = strlen(cases[i].plain);
        char text[16];
        assert_int_equal(crypto_base64_encode(cases[i].plain, length, text), strlen(cases[i].text));
        assert_string_equal(text, cases[i].text);
        assert_true(strlen(text) < CRYPTO_BASE64_SIZE(length));
        char plain[16];
        assert_int_equal(crypto_base64_decode(cases[i].text, strlen(cases[i].text), plain, length),
                         length);
        assert_memory_equal(plain, cases[i].plain, length);
        if (length > 0)
            assert_int_equal(
                crypto_base64_decode(cases[i].text, strlen(cases[i].text), plain, length - 1), -1);
    }
    uint8_t bytes[3];
    assert_int_equal(crypto_base64_decode("+/+/", 4, bytes, 3), 3);
    assert_memory_equal(bytes, "\xfb\xff\xbf", 3);
}

static void test_base64_is_strict(void **state)
{
    (void)state;
    static const char *const bad[] = {"Z",     "Zg",       "Zg=",      "Zh==",    "Zm9=",  "====",
                                      "Z===",  "=Zg=",     "Zg==Zg==", "Zm 8",    "Zm8\n", "-_-_",
                                      "Zm9v=", "Zm9v====", "Zm9v\n",   "Zm9\xff", "Z=g="};
    for (size_t i = 0; i < array_size(bad); i++) {
        uint8_t bytes[64];
        if (crypto_base64_decode(bad[i], strlen(bad[i]), bytes, sizeof(bytes)) != -1)
            fail_msg("%s", bad[i]);
    }
    uint8_t bytes[4];
    assert_int_equal(crypto_base64_decode("Zm9\0", 4, bytes, sizeof(bytes)), -1);
}

static void test_equal_and_wipe(void **state)
{
    (void)state;
    char secret[8] = "secret!";
    assert_true(crypto_equal(secret, "secret!", 8));
    assert_false(crypto_equal(secret, "secret?", 8));
    assert_true(crypto_equal(secret, "SECRET!", 0));
    crypto_wipe(secret, sizeof(secret));
    for (size_t i = 0; i < sizeof(secret); i++)
        assert_int_equal(secret[i], 0);
}

static void test_random(void **state)
{
    (void)state;
    uint8_t first[1000] = {0}, second[1000] = {0};
    crypto_random(first, 0);
    assert_int_equal(first[0], 0);
    crypto_random(first, sizeof(first)); /* more than getrandom gives at once */
    crypto_random(second, sizeof(second));
    assert_memory_not_equal(first, second, 16);
    assert_memory_not_equal(first + 984, second + 984, 16);
    uint8_t zeros[16] = {0};
    assert_memory_not_equal(first + 984, zeros, 16);
}

static const uint8_t KEY[CRYPTO_KEY_SIZE] = "0123456789abcdef0123456789abcde";
static const char CONTEXT[] = "login:t_000042";
static const char SECRET[] = "a secret of some length";
enum { SECRET_SIZE = sizeof(SECRET), SEALED_SIZE = SECRET_SIZE + CRYPTO_SEAL_OVERHEAD };

static void test_seal_and_open(void **state)
{
    (void)state;
    for (size_t length = 0; length <= SECRET_SIZE; length++) {
        uint8_t *sealed = xmalloc(length + CRYPTO_SEAL_OVERHEAD);
        char *opened = xmalloc(length);
        crypto_seal(KEY, CONTEXT, SECRET, length, sealed);
        assert_int_equal(sealed[0], 1);
        assert_int_equal(
            crypto_open(KEY, CONTEXT, sealed, length + CRYPTO_SEAL_OVERHEAD, opened, NULL), 0);
        assert_memory_equal(opened, SECRET, length);
        free(sealed);
        free(opened);
    }
}

static void test_seals_differ(void **state)
{
    (void)state;
    uint8_t one[SEALED_SIZE], two[SEALED_SIZE];
    crypto_seal(KEY, CONTEXT, SECRET, SECRET_SIZE, one);
    crypto_seal(KEY, CONTEXT, SECRET, SECRET_SIZE, two);
    assert_memory_not_equal(one + 1, two + 1, 12);
    assert_memory_not_equal(one + 13, two + 13, SECRET_SIZE);
    assert_null(memmem(one, sizeof(one), SECRET, 8));
}

static void cannot_open(const uint8_t *key, const char *context, const uint8_t *sealed,
                        size_t length, const char *message)
{
    char opened[SEALED_SIZE] = "untouched";
    struct error err = {0};
    assert_int_equal(crypto_open(key, context, sealed, length, opened, &err), -ERROR_INVALID);
    assert_string_equal(opened, "untouched");
    if (message)
        assert_string_equal(err.message, message);
    assert_null(strstr(err.message, SECRET));
}

static void test_wrong_key_or_context(void **state)
{
    (void)state;
    static const char message[] = "a stored secret (login:t_000042) cannot be decrypted";
    uint8_t sealed[SEALED_SIZE], other[CRYPTO_KEY_SIZE];
    crypto_seal(KEY, CONTEXT, SECRET, SECRET_SIZE, sealed);
    for (size_t i = 0; i < CRYPTO_KEY_SIZE; i++) {
        memcpy(other, KEY, sizeof(other));
        other[i] ^= 1;
        cannot_open(other, CONTEXT, sealed, sizeof(sealed), message);
    }
    cannot_open(KEY, "login:t_000043", sealed, sizeof(sealed),
                "a stored secret (login:t_000043) cannot be decrypted");
    cannot_open(KEY, "login:t_00004", sealed, sizeof(sealed), NULL);
    cannot_open(KEY, "", sealed, sizeof(sealed), NULL);

    crypto_seal(KEY, "", SECRET, SECRET_SIZE, sealed);
    cannot_open(KEY, CONTEXT, sealed, sizeof(sealed), message);
    char opened[SECRET_SIZE];
    assert_int_equal(crypto_open(KEY, "", sealed, sizeof(sealed), opened, NULL), 0);
}

static void test_every_flipped_bit_is_seen(void **state)
{
    (void)state;
    uint8_t sealed[SEALED_SIZE];
    crypto_seal(KEY, CONTEXT, SECRET, SECRET_SIZE, sealed);
    for (size_t bit = 0; bit < 8 * sizeof(sealed); bit++) {
        sealed[bit / 8] ^= (uint8_t)(1 << bit % 8);
        cannot_open(KEY, CONTEXT, sealed, sizeof(sealed), NULL);
        sealed[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    char opened[SECRET_SIZE];
    assert_int_equal(crypto_open(KEY, CONTEXT, sealed, sizeof(sealed), opened, NULL), 0);
}

static void test_cut_off_and_unknown_forms(void **state)
{
    (void)state;
    uint8_t sealed[SEALED_SIZE];
    crypto_seal(KEY, CONTEXT, SECRET, SECRET_SIZE, sealed);
    for (size_t length = 0; length < sizeof(sealed); length++) {
        uint8_t *exact = xmalloc(length);
        memcpy(exact, sealed, length);
        cannot_open(KEY, CONTEXT, exact, length,
                    length < CRYPTO_SEAL_OVERHEAD
                        ? "a stored secret (login:t_000042) has an unknown form"
                        : "a stored secret (login:t_000042) cannot be decrypted");
        free(exact);
    }
    sealed[0] = 2;
    cannot_open(KEY, CONTEXT, sealed, sizeof(sealed),
                "a stored secret (login:t_000042) has an unknown form");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sha256),
        cmocka_unit_test(test_hmac),
        cmocka_unit_test(test_pbkdf2),
        cmocka_unit_test(test_base64),
        cmocka_unit_test(test_base64_is_strict),
        cmocka_unit_test(test_equal_and_wipe),
        cmocka_unit_test(test_random),
        cmocka_unit_test(test_seal_and_open),
        cmocka_unit_test(test_seals_differ),
        cmocka_unit_test(test_wrong_key_or_context),
        cmocka_unit_test(test_every_flipped_bit_is_seen),
        cmocka_unit_test(test_cut_off_and_unknown_forms),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
