#include "cli/config.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/str.h"
#include "base/time.h"
#include "cli/cli.h"
#include "cli/config_listen.h"
#include "cli/config_setting.h"
#include "pg/conninfo.h"

enum { MAX_FILE_BYTES = 1 << 20 };

struct reader {
    struct arena *arena;
    struct config *config;
    const char *path;
    size_t line;
    size_t seen[CONFIG_SETTINGS_MAX]; /* the line that set it; 0: not yet */
};

/* ---- values ---- */

static void *slot(struct config *config, const struct setting *setting)
{
    return (char *)config + setting->offset;
}

static int set_path(struct reader *reader, const struct setting *setting, const char *value)
{
    const char **target = slot(reader->config, setting);
    *target = value[0] == '/' ? arena_strdup(reader->arena, value)
                              : arena_printf(reader->arena, "%s/%s", reader->config->folder, value);
    return 0;
}

static int set_number(struct reader *reader, const struct setting *setting, const char *value,
                      struct error *err)
{
    if (!str_to_i64(value, setting->minimum, setting->maximum, slot(reader->config, setting)))
        return error_set(err, ERROR_CONFIG, "%s must be a number from %lld to %lld, not \"%s\"",
                         setting->key, (long long)setting->minimum, (long long)setting->maximum,
                         value);
    return 0;
}

static int set_workers(struct reader *reader, const struct setting *setting, const char *value,
                       struct error *err)
{
    int64_t *target = slot(reader->config, setting);
    if (strcmp(value, "auto") == 0) {
        *target = 0;
        return 0;
    }
    if (!str_to_i64(value, setting->minimum, setting->maximum, target))
        return error_set(err, ERROR_CONFIG,
                         "%s must be \"auto\" or a number from 1 to 64, not \"%s\"", setting->key,
                         value);
    return 0;
}

static int set_duration(struct reader *reader, const struct setting *setting, const char *value,
                        struct error *err)
{
    int64_t us;
    if (!str_to_duration_us(value, &us)) {
        int result = error_set(err, ERROR_CONFIG, "%s is no duration: \"%s\"", setting->key, value);
        error_hint(err, "write 500ms, 10s, 5m, 12h or 30d");
        return result;
    }
    if (us < setting->minimum || us > setting->maximum)
        return error_set(err, ERROR_CONFIG, "%s must be from %llds to %llds, not \"%s\"",
                         setting->key, (long long)(setting->minimum / TIME_S),
                         (long long)(setting->maximum / TIME_S), value);
    *(int64_t *)slot(reader->config, setting) = us;
    return 0;
}

static int set_size(struct reader *reader, const struct setting *setting, const char *value,
                    struct error *err)
{
    int64_t bytes;
    if (!str_to_size(value, &bytes)) {
        int result = error_set(err, ERROR_CONFIG, "%s is no size: \"%s\"", setting->key, value);
        error_hint(err, "write 64kB, 10MB or 1GB");
        return result;
    }
    if (bytes < setting->minimum || bytes > setting->maximum)
        return error_set(err, ERROR_CONFIG, "%s must be from %lld to %lld bytes, not \"%s\"",
                         setting->key, (long long)setting->minimum, (long long)setting->maximum,
                         value);
    *(int64_t *)slot(reader->config, setting) = bytes;
    return 0;
}

static int set_boolean(struct reader *reader, const struct setting *setting, const char *value,
                       struct error *err)
{
    static const char *const words[] = {"off", "on", "no", "yes", "false", "true"};
    for (size_t i = 0; i < array_size(words); i++) {
        if (strcmp(value, words[i]) == 0) {
            *(bool *)slot(reader->config, setting) = i % 2 == 1;
            return 0;
        }
    }
    return error_set(err, ERROR_CONFIG, "%s must be \"on\" or \"off\", not \"%s\"", setting->key,
                     value);
}

static const char *name_in_list(void *context, size_t index)
{
    return ((const char *const *)context)[index];
}

static int set_choice(struct reader *reader, const struct setting *setting, const char *value,
                      struct error *err)
{
    for (size_t i = 0; setting->choices[i]; i++) {
        if (strcmp(value, setting->choices[i]) == 0) {
            *(int64_t *)slot(reader->config, setting) = (int64_t)i;
            return 0;
        }
    }
    int result = error_set(err, ERROR_CONFIG, "%s must be one of %s, not \"%s\"", setting->key,
                           setting->value, value);
    const char *nearest = cli_nearest(value, name_in_list, (void *)(uintptr_t)setting->choices);
    if (nearest)
        error_hint(err, "did you mean \"%s\"?", nearest);
    return result;
}

static int set_conninfo(struct reader *reader, const struct setting *setting, const char *value,
                        struct error *err)
{
    struct error reason = {0};
    if (pg_conninfo_check(value, &reason) < 0) {
        int result = error_set(err, ERROR_CONFIG, "%s is no connection string: %s", setting->key,
                               reason.message);
        error_hint(err,
                   "write for example: control = host=/run/postgresql dbname=reeve user=reeve");
        return result;
    }
    *(const char **)slot(reader->config, setting) = arena_strdup(reader->arena, value);
    return 0;
}

static int set_listen(struct reader *reader, const char *value, struct error *err)
{
    struct config *config = reader->config;
    if (config->listen_count == PROXY_MAX_LISTEN)
        return error_set(err, ERROR_CONFIG, "listen may be given %d times at most",
                         PROXY_MAX_LISTEN);
    struct config_listen *listen = &config->listen[config->listen_count];
    int result = config_parse_listen(value, reader->arena, config->folder, listen, err);
    if (result == 0)
        config->listen_count++;
    return result;
}

static int set_address(struct reader *reader, const struct setting *setting, const char *value,
                       struct error *err)
{
    struct config_listen *listen = slot(reader->config, setting);
    if (strcmp(value, "off") == 0)
        return 0;
    int result = config_parse_address(value, reader->arena, listen, err);
    if (result < 0)
        error_prefix(err, "%s", setting->key);
    return result;
}

static int set_checked(struct reader *reader, const struct setting *setting, const char *value,
                       struct error *err)
{
    struct error reason = {0};
    if (setting->check(value, &reason) < 0)
        return error_set(err, ERROR_CONFIG, "%s: %s", setting->key, reason.message);
    *(const char **)slot(reader->config, setting) = arena_strdup(reader->arena, value);
    return 0;
}

static int set_value(struct reader *reader, const struct setting *setting, const char *value,
                     struct error *err)
{
    switch (setting->kind) {
    case SETTING_LISTEN:
        return set_listen(reader, value, err);
    case SETTING_ADDRESS:
        return set_address(reader, setting, value, err);
    case SETTING_CONNINFO:
        return set_conninfo(reader, setting, value, err);
    case SETTING_PATH:
        return set_path(reader, setting, value);
    case SETTING_NUMBER:
        return set_number(reader, setting, value, err);
    case SETTING_WORKERS:
        return set_workers(reader, setting, value, err);
    case SETTING_DURATION:
        return set_duration(reader, setting, value, err);
    case SETTING_SIZE:
        return set_size(reader, setting, value, err);
    case SETTING_BOOLEAN:
        return set_boolean(reader, setting, value, err);
    case SETTING_CHOICE:
        return set_choice(reader, setting, value, err);
    case SETTING_CHECKED:
        return set_checked(reader, setting, value, err);
    }
    return error_set(err, ERROR_INTERNAL, "setting %s has no kind", setting->key);
}

/* ---- lines ---- */

static char *trim(char *text)
{
    while (*text == ' ' || *text == '\t')
        text++;
    size_t length = strlen(text);
    while (length > 0 && strchr(" \t\r", text[length - 1]))
        text[--length] = '\0';
    return text;
}

static const char *setting_name(void *context reeve_unused, size_t index)
{
    return index < config_setting_count ? config_settings[index].key : NULL;
}

static int find_setting(const char *key, size_t *ret, struct error *err)
{
    for (size_t i = 0; i < config_setting_count; i++) {
        if (strcmp(key, config_settings[i].key) == 0) {
            *ret = i;
            return 0;
        }
    }
    int result = error_set(err, ERROR_CONFIG, "there is no setting \"%s\"", key);
    const char *nearest = cli_nearest(key, setting_name, NULL);
    if (nearest)
        error_hint(err, "did you mean \"%s\"?", nearest);
    else
        error_hint(err, "\"reeve help --markdown config\" lists them");
    return result;
}

static int read_line(struct reader *reader, char *line, struct error *err)
{
    line = trim(line);
    if (!*line || *line == '#')
        return 0;
    char *equals = strchr(line, '=');
    if (!equals)
        return error_set(err, ERROR_CONFIG, "expected \"key = value\"");
    *equals = '\0';
    const char *key = trim(line);
    const char *value = trim(equals + 1);
    size_t index = 0;
    int result = find_setting(key, &index, err);
    if (result < 0)
        return result;
    const struct setting *setting = &config_settings[index];
    if (!*value)
        return error_set(err, ERROR_CONFIG, "%s has no value", key);
    if (reader->seen[index] && setting->kind != SETTING_LISTEN)
        return error_set(err, ERROR_CONFIG, "%s is set twice, first on line %zu", key,
                         reader->seen[index]);
    reader->seen[index] = reader->line;
    result = set_value(reader, setting, value, err);
    if (result < 0 && err && !err->hint[0] && strchr(value, '#'))
        error_hint(err, "a comment needs a line of its own");
    return result;
}

static int read_lines(struct reader *reader, char *text, struct error *err)
{
    while (text) {
        char *next = strchr(text, '\n');
        if (next)
            *next++ = '\0';
        reader->line++;
        int result = read_line(reader, text, err);
        if (result < 0) {
            error_prefix(err, "%s:%zu", reader->path, reader->line);
            return result;
        }
        text = next;
    }
    return 0;
}

static int set_fallbacks(struct reader *reader, struct error *err)
{
    for (size_t i = 0; i < config_setting_count; i++) {
        if (reader->seen[i])
            continue;
        if (config_settings[i].required) {
            int result = error_set(err, ERROR_CONFIG, "%s: %s is not set", reader->path,
                                   config_settings[i].key);
            error_hint(err, "add a line: %s = %s", config_settings[i].key,
                       config_settings[i].value);
            return result;
        }
        if (config_settings[i].fallback) {
            int result = set_value(reader, &config_settings[i], config_settings[i].fallback, err);
            if (result < 0)
                return result;
        }
    }
    return 0;
}

static int check_whole(const struct reader *reader, mode_t mode, struct error *err)
{
    const struct config *config = reader->config;
    if (!config->tls_cert != !config->tls_key)
        return error_set(err, ERROR_CONFIG, "%s: tls_cert and tls_key must be set together",
                         reader->path);
    if (config->tls_required && !config->tls_cert)
        return error_set(err, ERROR_CONFIG, "%s: tls_required needs tls_cert and tls_key",
                         reader->path);
    if (config->auth == PROXY_AUTH_OAUTH && !config->oauth_issuer)
        return error_set(err, ERROR_CONFIG, "%s: auth = oauth needs oauth_issuer", reader->path);
    if (config->status_socket && strlen(config->status_socket) > CONFIG_SOCKET_PATH_MAX) {
        int result = error_set(err, ERROR_CONFIG, "%s: the path of status_socket is too long: %s",
                               reader->path, config->status_socket);
        error_hint(err, "set status_socket to a path of at most %d bytes", CONFIG_SOCKET_PATH_MAX);
        return result;
    }
    if ((mode & 077) && pg_conninfo_value(reader->arena, config->control, "password")) {
        int result = error_set(err, ERROR_CONFIG, "%s holds a password and can be read by others",
                               reader->path);
        error_hint(err, "chmod 600 %s, or keep the password in a passfile", reader->path);
        return result;
    }
    return 0;
}

/* ---- the file ---- */

static int read_bytes(const char *path, struct buffer *bytes, mode_t *ret_mode, struct error *err)
{
    _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        int reason = errno;
        return error_set(err, ERROR_CONFIG, "cannot open the configuration file %s: %s", path,
                         strerrordesc_np(reason));
    }
    struct stat status;
    if (fstat(fd, &status) < 0 || !S_ISREG(status.st_mode))
        return error_set(err, ERROR_CONFIG, "the configuration file %s is not a regular file",
                         path);
    for (;;) {
        char *at = buffer_reserve(bytes, 4096);
        if (!at)
            return error_set(err, ERROR_CONFIG, "the configuration file %s has more than %d bytes",
                             path, MAX_FILE_BYTES);
        ssize_t got = read(fd, at, 4096);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return error_errno(err, errno, "cannot read the configuration file %s", path);
        if (got == 0)
            break;
        buffer_commit(bytes, (size_t)got);
    }
    *ret_mode = status.st_mode;
    return 0;
}

static bool has_control_character(const char *line, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        unsigned char c = (unsigned char)line[i];
        if ((c < 0x20 && c != '\t' && c != '\r') || c == 0x7F)
            return true;
    }
    return false;
}

static int check_bytes(const char *path, const struct buffer *bytes, struct error *err)
{
    const char *text = buffer_string(bytes), *end = text + bytes->length;
    for (size_t line = 1; text < end; line++) {
        const char *next = memchr(text, '\n', (size_t)(end - text));
        size_t length = (size_t)((next ? next : end) - text);
        if (has_control_character(text, length))
            return error_set(err, ERROR_CONFIG, "%s:%zu: there is a control character", path, line);
        if (!str_is_utf8(text, length))
            return error_set(err, ERROR_CONFIG, "%s:%zu: this is not UTF-8 text", path, line);
        text += length + 1;
    }
    return 0;
}

int config_read(const char *path, struct arena *arena, struct config *ret, struct error *err)
{
    _cleanup_buffer_ struct buffer bytes = BUFFER_INIT(MAX_FILE_BYTES);
    mode_t mode = 0;
    int result = read_bytes(path, &bytes, &mode, err);
    if (result < 0)
        return result;
    result = check_bytes(path, &bytes, err);
    if (result < 0)
        return result;
    char resolved[PATH_MAX];
    if (!realpath(path, resolved))
        return error_errno(err, errno, "cannot resolve the path %s", path);
    struct config config = {.path = arena_strdup(arena, resolved)};
    char *folder = arena_strdup(arena, resolved);
    *strrchr(folder, '/') = '\0';
    config.folder = folder;
    struct reader reader = {.arena = arena, .config = &config, .path = path};
    result = read_lines(&reader, arena_strdup(arena, buffer_string(&bytes)), err);
    if (result == 0)
        result = set_fallbacks(&reader, err);
    if (result == 0)
        result = check_whole(&reader, mode, err);
    if (result < 0)
        return result;
    *ret = config;
    return 0;
}

int config_find(const char *explicit_path, struct arena *arena, const char **ret_path,
                struct error *err)
{
    const char *environment = getenv("REEVE_CONFIG");
    if (explicit_path || (environment && *environment)) {
        *ret_path = arena_strdup(arena, explicit_path ? explicit_path : environment);
        return 0;
    }
    static const char *const places[] = {"./reeve.conf", "/etc/reeve/reeve.conf"};
    for (size_t i = 0; i < array_size(places); i++) {
        if (access(places[i], F_OK) == 0) {
            *ret_path = places[i];
            return 0;
        }
    }
    int result = error_set(err, ERROR_CONFIG, "there is no configuration file");
    error_detail(err, "looked for ./reeve.conf and /etc/reeve/reeve.conf");
    error_hint(err, "pass --config FILE, set REEVE_CONFIG, or run \"reeve dev\" to begin");
    return result;
}
