#include "cli/tls.h"

#include <errno.h>
#include <openssl/err.h>
#include <sys/stat.h>

static int openssl_error(struct error *err, const char *what, const char *path)
{
    char reason[256] = "unknown reason";
    unsigned long code = ERR_peek_last_error();
    if (code)
        ERR_error_string_n(code, reason, sizeof(reason));
    ERR_clear_error();
    int result = error_set(err, ERROR_CONFIG, "cannot use the TLS %s in %s", what, path);
    error_detail(err, "%s", reason);
    return result;
}

static int check_key_file(const char *path, struct error *err)
{
    struct stat status;
    if (stat(path, &status) < 0)
        return error_set(err, ERROR_CONFIG, "cannot open the TLS key %s: %s", path,
                         strerrordesc_np(errno));
    if ((status.st_mode & 027) == 0)
        return 0;
    int result = error_set(err, ERROR_CONFIG, "the TLS key %s can be read by others", path);
    error_hint(err, "chmod 600 %s", path);
    return result;
}

/* The protocol's name in ALPN, which clients of PostgreSQL 17 and newer ask for. */
static int choose_protocol(SSL *ssl reeve_unused, const unsigned char **ret,
                           unsigned char *ret_length, const unsigned char *offered,
                           unsigned int length, void *argument reeve_unused)
{
    static const unsigned char wanted[] = "\012postgresql";
    unsigned char *chosen = NULL;
    if (SSL_select_next_proto(&chosen, ret_length, wanted, sizeof(wanted) - 1, offered, length) !=
        OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    *ret = chosen;
    return SSL_TLSEXT_ERR_OK;
}

/* A server cannot be asked for a passphrase. */
static int no_passphrase(char *text reeve_unused, int size reeve_unused, int write reeve_unused,
                         void *argument reeve_unused)
{
    return 0;
}

int tls_server_context(const char *certificate, const char *key, SSL_CTX **ret, struct error *err)
{
    int result = check_key_file(key, err);
    if (result < 0)
        return result;
    ERR_clear_error();
    SSL_CTX *context = SSL_CTX_new(TLS_server_method());
    if (!context)
        return error_set(err, ERROR_INTERNAL, "OpenSSL has no TLS");
    static const unsigned char session_context[] = "reeve";
    SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
    SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                                     SSL_OP_CIPHER_SERVER_PREFERENCE);
    SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                  SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_session_id_context(context, session_context, sizeof(session_context) - 1);
    SSL_CTX_set_alpn_select_cb(context, choose_protocol, NULL);
    SSL_CTX_set_default_passwd_cb(context, no_passphrase);
    if (SSL_CTX_use_certificate_chain_file(context, certificate) != 1)
        result = openssl_error(err, "certificate", certificate);
    else if (SSL_CTX_use_PrivateKey_file(context, key, SSL_FILETYPE_PEM) != 1)
        result = openssl_error(err, "key", key);
    else if (SSL_CTX_check_private_key(context) != 1)
        result = openssl_error(err, "key (it does not belong to the certificate)", key);
    if (result < 0) {
        SSL_CTX_free(context);
        return result;
    }
    *ret = context;
    return 0;
}
