#include "base/error.h"

#include <errno.h>
#include <unistd.h>

/* clang-format off */
static const struct error_info table[] = {
    {ERROR_NONE, "NONE", "00000", 200, 0, "no error"},
#define X(code, sqlstate, http, exit_code, meaning)                                                \
    {code, &#code[6], sqlstate, http, exit_code, meaning},
    REEVE_ERROR_TABLE(X)
#undef X
};
/* clang-format on */

const struct error_info *error_info(int code)
{
    if (code <= -ERROR_CODE_COUNT || code >= ERROR_CODE_COUNT)
        code = ERROR_INTERNAL;
    if (code < 0)
        code = -code;
    return &table[code];
}

/* Cuts a text that did not fit at a whole UTF-8 character. */
static void cut_at_character(char *text, size_t size, int length)
{
    if (length < 0 || (size_t)length < size)
        return;
    size_t end = size - 1;
    while (end > 0 && ((unsigned char)text[end - 1] & 0xC0) == 0x80)
        end--;
    if (end > 0 && (unsigned char)text[end - 1] >= 0xC0)
        end--;
    else
        end = size - 1;
    text[end] = '\0';
}

static void reeve_printf(3, 0)
    format_text(char *text, size_t size, const char *format, va_list arguments)
{
    int length = vsnprintf(text, size, format, arguments);
    if (length < 0)
        text[0] = '\0';
    cut_at_character(text, size, length);
}

int error_vset(struct error *err, enum error_code code, const char *format, va_list arguments)
{
    if (err) {
        err->code = -(int)code;
        memcpy(err->sqlstate, error_info(code)->sqlstate, SQLSTATE_SIZE);
        err->detail[0] = err->hint[0] = '\0';
        format_text(err->message, sizeof(err->message), format, arguments);
    }
    return -(int)code;
}

int error_set(struct error *err, enum error_code code, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    error_vset(err, code, format, arguments);
    va_end(arguments);
    return -(int)code;
}

void error_detail(struct error *err, const char *format, ...)
{
    if (!err)
        return;
    va_list arguments;
    va_start(arguments, format);
    format_text(err->detail, sizeof(err->detail), format, arguments);
    va_end(arguments);
}

void error_hint(struct error *err, const char *format, ...)
{
    if (!err)
        return;
    va_list arguments;
    va_start(arguments, format);
    format_text(err->hint, sizeof(err->hint), format, arguments);
    va_end(arguments);
}

void error_sqlstate(struct error *err, const char *sqlstate)
{
    if (err && sqlstate && strlen(sqlstate) == SQLSTATE_SIZE - 1)
        memcpy(err->sqlstate, sqlstate, SQLSTATE_SIZE);
}

void error_prefix(struct error *err, const char *format, ...)
{
    if (!err)
        return;
    char old[ERROR_TEXT_MAX];
    char prefix[ERROR_TEXT_MAX];
    memcpy(old, err->message, sizeof(old));
    va_list arguments;
    va_start(arguments, format);
    format_text(prefix, sizeof(prefix), format, arguments);
    va_end(arguments);
    int length = snprintf(err->message, sizeof(err->message), "%s: %s", prefix, old);
    cut_at_character(err->message, sizeof(err->message), length);
}

void error_clear(struct error *err)
{
    if (err)
        memset(err, 0, sizeof(*err));
}

int error_errno(struct error *err, int error_number, const char *format, ...)
{
    if (err) {
        va_list arguments;
        va_start(arguments, format);
        error_vset(err, ERROR_IO, format, arguments);
        va_end(arguments);
        char reason[128];
        size_t length = strlen(err->message);
        snprintf(err->message + length, sizeof(err->message) - length, ": %s",
                 strerror_r(error_number, reason, sizeof(reason)));
    }
    return -ERROR_IO;
}

/* ---- what compiler.h declares ---- */

void cleanup_close(int *fd)
{
    if (*fd >= 0) {
        int saved = errno;
        close(*fd);
        errno = saved;
    }
}

static void *checked(void *pointer)
{
    if (unlikely(!pointer)) {
        static const char message[] = "reeve: out of memory\n";
        ssize_t ignored = write(STDERR_FILENO, message, sizeof(message) - 1);
        (void)ignored;
        abort();
    }
    return pointer;
}

void *xmalloc(size_t size)
{
    return checked(malloc(size ? size : 1));
}

void *xcalloc(size_t count, size_t size)
{
    return checked(calloc(count ? count : 1, size ? size : 1));
}

void *xrealloc(void *pointer, size_t size)
{
    return checked(realloc(pointer, size ? size : 1));
}

char *xstrdup(const char *text)
{
    return checked(strdup(text));
}

char *xstrndup(const char *text, size_t length)
{
    return checked(strndup(text, length));
}

char *xasprintf(const char *format, ...)
{
    char *text = NULL;
    va_list arguments;
    va_start(arguments, format);
    int length = vasprintf(&text, format, arguments);
    va_end(arguments);
    return checked(length < 0 ? NULL : text);
}
