#include "base/crypto.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/str.h"

enum { SEAL_VERSION = 1, NONCE_SIZE = 12, TAG_SIZE = 16 };

static void must(bool good, const char *what)
{
    if (likely(good))
        return;
    fprintf(stderr, "reeve: OpenSSL failed: %s\n", what);
    abort();
}

void crypto_random(void *ret_bytes, size_t length)
{
    char *at = ret_bytes;
    while (length > 0) {
        ssize_t got = getrandom(at, length > 256 ? 256 : length, 0);
        if (got < 0 && errno == EINTR)
            continue;
        must(got > 0, "getrandom");
        at += got;
        length -= (size_t)got;
    }
}

bool crypto_equal(const void *a, const void *b, size_t length)
{
    return CRYPTO_memcmp(a, b, length) == 0;
}

void crypto_wipe(void *bytes, size_t length)
{
    OPENSSL_cleanse(bytes, length);
}

void crypto_sha256(const void *bytes, size_t length, uint8_t ret[CRYPTO_SHA256_SIZE])
{
    must(EVP_Digest(bytes, length, ret, NULL, EVP_sha256(), NULL) == 1, "SHA-256");
}

void crypto_hmac_sha256(const void *key, size_t key_length, const void *bytes, size_t length,
                        uint8_t ret[CRYPTO_SHA256_SIZE])
{
    must(HMAC(EVP_sha256(), key, (int)key_length, bytes, length, ret, NULL) != NULL, "HMAC");
}

void crypto_pbkdf2_sha256(const void *password, size_t password_length, const void *salt,
                          size_t salt_length, int iterations, uint8_t ret[CRYPTO_SHA256_SIZE])
{
    must(PKCS5_PBKDF2_HMAC(password, (int)password_length, salt, (int)salt_length, iterations,
                           EVP_sha256(), CRYPTO_SHA256_SIZE, ret) == 1,
         "PBKDF2");
}

size_t crypto_base64_encode(const void *bytes, size_t length, char *ret_text)
{
    int written = EVP_EncodeBlock((unsigned char *)ret_text, bytes, (int)length);
    return (size_t)written;
}

static int base64_value(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

ssize_t crypto_base64_decode(const char *text, size_t length, void *ret_bytes, size_t size)
{
    if (length % 4 != 0)
        return -1;
    uint8_t *out = ret_bytes;
    size_t written = 0;
    for (size_t i = 0; i < length; i += 4) {
        bool last = i + 4 == length;
        int padding = last && text[i + 3] == '=' ? (text[i + 2] == '=' ? 2 : 1) : 0;
        int value[4] = {0, 0, 0, 0};
        for (int k = 0; k < 4 - padding; k++) {
            value[k] = base64_value(text[i + (size_t)k]);
            if (value[k] < 0)
                return -1;
        }
        uint8_t group[3] = {(uint8_t)(value[0] << 2 | value[1] >> 4),
                            (uint8_t)(value[1] << 4 | value[2] >> 2),
                            (uint8_t)(value[2] << 6 | value[3])};
        size_t count = 3 - (size_t)padding;
        /* Bits beyond the last byte must be zero, so that every value has one spelling. */
        if ((padding == 2 && (value[1] & 15)) || (padding == 1 && (value[2] & 3)))
            return -1;
        if (count > size - written)
            return -1;
        memcpy(out + written, group, count);
        written += count;
    }
    return (ssize_t)written;
}

void crypto_seal(const uint8_t key[CRYPTO_KEY_SIZE], const char *context, const void *bytes,
                 size_t length, uint8_t *ret_sealed)
{
    uint8_t *nonce = ret_sealed + 1;
    uint8_t *ciphertext = nonce + NONCE_SIZE;
    int written = 0;
    ret_sealed[0] = SEAL_VERSION;
    crypto_random(nonce, NONCE_SIZE);
    EVP_CIPHER_CTX *cipher = EVP_CIPHER_CTX_new();
    must(cipher && EVP_EncryptInit_ex(cipher, EVP_aes_256_gcm(), NULL, key, nonce) == 1 &&
             EVP_EncryptUpdate(cipher, NULL, &written, (const uint8_t *)context,
                               (int)strlen(context)) == 1 &&
             EVP_EncryptUpdate(cipher, ciphertext, &written, bytes, (int)length) == 1 &&
             EVP_EncryptFinal_ex(cipher, ciphertext + length, &written) == 1 &&
             EVP_CIPHER_CTX_ctrl(cipher, EVP_CTRL_GCM_GET_TAG, TAG_SIZE, ciphertext + length) == 1,
         "AES-256-GCM");
    EVP_CIPHER_CTX_free(cipher);
}

int crypto_open(const uint8_t key[CRYPTO_KEY_SIZE], const char *context, const uint8_t *sealed,
                size_t sealed_length, void *ret_bytes, struct error *err)
{
    if (sealed_length < CRYPTO_SEAL_OVERHEAD || sealed[0] != SEAL_VERSION)
        return error_set(err, ERROR_INVALID, "a stored secret (%s) has an unknown form", context);
    size_t length = sealed_length - CRYPTO_SEAL_OVERHEAD;
    const uint8_t *nonce = sealed + 1;
    const uint8_t *ciphertext = nonce + NONCE_SIZE;
    uint8_t tag[TAG_SIZE];
    memcpy(tag, ciphertext + length, TAG_SIZE);
    uint8_t *plain = xmalloc(length + 1);
    int written = 0;
    EVP_CIPHER_CTX *cipher = EVP_CIPHER_CTX_new();
    bool good = cipher && EVP_DecryptInit_ex(cipher, EVP_aes_256_gcm(), NULL, key, nonce) == 1 &&
                EVP_DecryptUpdate(cipher, NULL, &written, (const uint8_t *)context,
                                  (int)strlen(context)) == 1 &&
                EVP_DecryptUpdate(cipher, plain, &written, ciphertext, (int)length) == 1 &&
                EVP_CIPHER_CTX_ctrl(cipher, EVP_CTRL_GCM_SET_TAG, TAG_SIZE, tag) == 1 &&
                EVP_DecryptFinal_ex(cipher, plain + length, &written) == 1;
    EVP_CIPHER_CTX_free(cipher);
    if (good && length > 0)
        memcpy(ret_bytes, plain, length);
    crypto_wipe(plain, length + 1);
    free(plain);
    if (good)
        return 0;
    int result = error_set(err, ERROR_INVALID, "a stored secret (%s) cannot be decrypted", context);
    error_hint(err, "the key file is not the one that this catalog was made with");
    return result;
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

int crypto_key_file_read(const char *path, uint8_t ret_key[CRYPTO_KEY_SIZE], struct error *err)
{
    /* O_NONBLOCK: a named pipe is refused below, not waited for. */
    _cleanup_close_ int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0) {
        int result = error_errno(err, errno, "cannot open the key file %s", path);
        error_hint(err, "\"reeve init\" makes one; copy it to every machine that runs Reeve");
        return result;
    }
    struct stat status;
    if (fstat(fd, &status) < 0 || !S_ISREG(status.st_mode))
        return error_set(err, ERROR_CONFIG, "the key file %s is not a regular file", path);
    if (status.st_mode & 077) {
        int result = error_set(err, ERROR_CONFIG, "the key file %s can be read by others", path);
        error_hint(err, "chmod 600 %s", path);
        return result;
    }
    char text[2 * CRYPTO_KEY_SIZE + 2] = {0};
    ssize_t got = read(fd, text, sizeof(text));
    bool good = got == 2 * CRYPTO_KEY_SIZE ||
                (got == 2 * CRYPTO_KEY_SIZE + 1 && text[2 * CRYPTO_KEY_SIZE] == '\n');
    uint8_t key[CRYPTO_KEY_SIZE];
    for (size_t i = 0; good && i < CRYPTO_KEY_SIZE; i++) {
        int high = hex_value(text[2 * i]);
        int low = hex_value(text[2 * i + 1]);
        good = high >= 0 && low >= 0;
        key[i] = (uint8_t)(good ? high * 16 + low : 0);
    }
    if (good)
        memcpy(ret_key, key, sizeof(key));
    crypto_wipe(key, sizeof(key));
    crypto_wipe(text, sizeof(text));
    if (good)
        return 0;
    return error_set(err, ERROR_CONFIG, "the key file %s does not hold 64 hexadecimal digits",
                     path);
}

int crypto_key_file_create(const char *path, struct error *err)
{
    uint8_t key[CRYPTO_KEY_SIZE];
    char text[2 * CRYPTO_KEY_SIZE + 2];
    crypto_random(key, sizeof(key));
    str_hex(key, sizeof(key), text);
    text[2 * CRYPTO_KEY_SIZE] = '\n';
    _cleanup_close_ int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return error_errno(err, errno, "cannot create the key file %s", path);
    ssize_t length = 2 * CRYPTO_KEY_SIZE + 1;
    bool good = write(fd, text, (size_t)length) == length && fsync(fd) == 0;
    int reason = errno;
    crypto_wipe(key, sizeof(key));
    crypto_wipe(text, sizeof(text));
    if (good)
        return 0;
    unlink(path);
    return error_errno(err, reason, "cannot write the key file %s", path);
}
