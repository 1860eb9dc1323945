#include "base/log.h"

#include <stdatomic.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/time.h"

enum { LINE_MAX_BYTES = 4096, TEXT_MAX_BYTES = 2048 };

static _Atomic int current_level = LOG_INFO;
static _Thread_local char thread_name[16] = "main";

void log_set_level(enum log_level level)
{
    atomic_store_explicit(&current_level, (int)level, memory_order_relaxed);
}

enum log_level log_get_level(void)
{
    return (enum log_level)atomic_load_explicit(&current_level, memory_order_relaxed);
}

bool log_level_from_name(const char *name, enum log_level *ret)
{
    static const char *const names[] = {"debug", "info", "warning", "error"};
    for (size_t i = 0; i < array_size(names); i++) {
        if (strcmp(name, names[i]) == 0) {
            *ret = (enum log_level)i;
            return true;
        }
    }
    return false;
}

void log_set_thread_name(const char *name)
{
    snprintf(thread_name, sizeof(thread_name), "%s", name);
    prctl(PR_SET_NAME, thread_name);
}

/* Appends text with control characters escaped; returns the new length. */
static size_t append_escaped(char *line, size_t length, const char *text)
{
    static const char digits[] = "0123456789abcdef";
    for (; *text && length < LINE_MAX_BYTES - 8; text++) {
        unsigned char c = (unsigned char)*text;
        if (c == '\n' || c == '\r' || c == '\t') {
            line[length++] = '\\';
            line[length++] = c == '\n' ? 'n' : c == '\r' ? 'r' : 't';
        } else if (c < 0x20 || c == 0x7F) {
            line[length++] = '\\';
            line[length++] = 'x';
            line[length++] = digits[c >> 4];
            line[length++] = digits[c & 15];
        } else {
            line[length++] = (char)c;
        }
    }
    return length;
}

static void write_line(enum log_level level, const char *text)
{
    static const char *const names[] = {"DEBUG", "INFO ", "WARN ", "ERROR"};
    char line[LINE_MAX_BYTES];
    char when[TIME_TEXT_SIZE];
    time_format(time_unix_us(), when);
    int prefix = snprintf(line, sizeof(line), "%s %s %s: ", when, names[level], thread_name);
    size_t length = append_escaped(line, prefix > 0 ? (size_t)prefix : 0, text);
    line[length++] = '\n';
    ssize_t ignored = write(STDERR_FILENO, line, length);
    (void)ignored;
}

void log_write(enum log_level level, const char *format, ...)
{
    if (level < log_get_level())
        return;
    char text[TEXT_MAX_BYTES];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    write_line(level, text);
}

void log_write_error(enum log_level level, const struct error *err, const char *format, ...)
{
    if (level < log_get_level())
        return;
    char text[TEXT_MAX_BYTES];
    char whole[LINE_MAX_BYTES];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    snprintf(whole, sizeof(whole), "%s: %s (%s)%s%s", text, err->message, err->sqlstate,
             err->detail[0] ? " " : "", err->detail);
    write_line(level, whole);
}
