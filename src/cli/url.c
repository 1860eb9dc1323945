#include "cli/url.h"

#include "base/buffer.h"
#include "cli/config.h"

enum { MAX_URL = 64 * 1024 };

/* RFC 3986: everything but the unreserved characters. */
static void append_encoded(struct buffer *buffer, const char *text)
{
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;
        if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
            strchr("-._~", c))
            buffer_append_byte(buffer, c);
        else
            buffer_printf(buffer, "%%%02X", c);
    }
}

static const struct config_listen *choose_listen(const struct config *config)
{
    for (size_t i = 0; i < config->listen_count; i++) {
        if (config->listen[i].host)
            return &config->listen[i];
    }
    return &config->listen[0];
}

static bool is_wildcard(const char *host)
{
    return strcmp(host, "*") == 0 || strcmp(host, "0.0.0.0") == 0 || strcmp(host, "::") == 0;
}

void url_endpoint(const struct config *config, const char **ret_host, int *ret_port)
{
    const struct config_listen *listen = choose_listen(config);
    *ret_port = listen->port;
    if (!listen->host)
        *ret_host = listen->folder;
    else
        *ret_host = is_wildcard(listen->host) ? "localhost" : listen->host;
}

static void append_host(struct buffer *buffer, const struct config_listen *listen)
{
    if (!listen->host)
        append_encoded(buffer, listen->folder);
    else if (is_wildcard(listen->host))
        buffer_append_string(buffer, "localhost");
    else if (strchr(listen->host, ':'))
        buffer_printf(buffer, "[%s]", listen->host);
    else
        append_encoded(buffer, listen->host);
    buffer_printf(buffer, ":%d", listen->port);
}

const char *url_make(struct arena *arena, const struct config *config, const char *slug,
                     const char *service, const char *secret)
{
    _cleanup_buffer_ struct buffer buffer = BUFFER_INIT(MAX_URL);
    const struct config_listen *listen = choose_listen(config);
    buffer_append_string(&buffer, "postgres://");
    append_encoded(&buffer, slug);
    if (secret) {
        buffer_append_byte(&buffer, ':');
        append_encoded(&buffer, secret);
    }
    buffer_append_byte(&buffer, '@');
    append_host(&buffer, listen);
    buffer_append_byte(&buffer, '/');
    append_encoded(&buffer, service ? service : "SERVICE");
    if (config->tls_required && listen->host)
        buffer_append_string(&buffer, "?sslmode=require");
    return arena_strdup(arena, buffer_string(&buffer));
}
