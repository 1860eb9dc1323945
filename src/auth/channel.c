/*
 * channel.c - tls-server-end-point (RFC 5929, section 4): what a client of SCRAM-SHA-256-PLUS binds
 * its proof to.
 */
#include <openssl/err.h>
#include <openssl/x509.h>

#include "auth/scram.h"

/* The hash of the certificate's signature; SHA-256 for those that are broken. NULL where the
 * signature has no hash of its own (Ed25519), for which the standard has no binding. */
static const EVP_MD *choose_digest(X509 *certificate)
{
    int digest = NID_undef;
    if (X509_get_signature_info(certificate, &digest, NULL, NULL, NULL) != 1)
        return NULL;
    if (digest == NID_md5 || digest == NID_sha1)
        return EVP_sha256();
    return digest == NID_undef ? NULL : EVP_get_digestbynid(digest);
}

void scram_channel_of(X509 *certificate, struct scram_channel *ret)
{
    unsigned char hash[EVP_MAX_MD_SIZE];
    unsigned length = 0;
    *ret = (struct scram_channel){0};
    ERR_set_mark();
    const EVP_MD *digest = certificate ? choose_digest(certificate) : NULL;
    if (digest && X509_digest(certificate, digest, hash, &length) == 1 && length > 0 &&
        length <= sizeof(ret->data)) {
        memcpy(ret->data, hash, length);
        ret->length = length;
        ret->offered = true;
    }
    ERR_pop_to_mark();
}
