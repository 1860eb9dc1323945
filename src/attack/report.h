/*
 * report.h - a report as bytes: for people or as JSON, signed.
 *
 * The signature is an HMAC-SHA-256, under a key derived from the key file's, over every byte in
 * front of the line that it stands in. In the text that is the last line
 *     signature: hmac-sha256 HEX
 * and in JSON the last member,   "signature": "hmac-sha256 HEX"   with a closing brace behind it.
 */
#ifndef ATTACK_REPORT_H
#define ATTACK_REPORT_H

#include "attack/attack.h"
#include "base/buffer.h"

#define ATTACK_REPORT_KEY_LABEL "reeve attack reports"

enum { ATTACK_REPORT_MAX = 256 << 20 };

/* Appends the signed report. ERROR_LIMIT past the buffer's maximum. */
int attack_report_write(const struct attack_report *report, bool json,
                        const uint8_t master_key[CRYPTO_KEY_SIZE], struct buffer *ret,
                        struct error *err);
/* ERROR_INVALID when there is no signature, or it is not this key's over these bytes. */
int attack_report_verify(const char *bytes, size_t length,
                         const uint8_t master_key[CRYPTO_KEY_SIZE], struct error *err);

#endif
