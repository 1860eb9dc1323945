#include "base/log.h"

#include <stdatomic.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/failpoint.h"
#include "base/str.h"
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

/* Whether the character here is U+0080 to U+009F in UTF-8: line ends and escapes to some readers.
 */
static bool is_c1_control(const char *at)
{
    unsigned char second = (unsigned char)at[0] == 0xC2 ? (unsigned char)at[1] : 0;
    return second >= 0x80 && second <= 0x9F;
}

static size_t append_hex(char *line, size_t length, char byte)
{
    line[length++] = '\\';
    line[length++] = 'x';
    str_hex(&byte, 1, line + length);
    return length + 2;
}

/* Appends text with control characters escaped; returns the new length. */
static size_t append_escaped(char *line, size_t length, const char *text)
{
    bool raw = mutation("base.log_escape");
    for (; *text && length < LINE_MAX_BYTES - 12; text++) {
        unsigned char c = (unsigned char)*text;
        if (raw) {
            line[length++] = *text;
        } else if (c == '\n' || c == '\r' || c == '\t') {
            line[length++] = '\\';
            line[length++] = c == '\n' ? 'n' : c == '\r' ? 'r' : 't';
        } else if (c < 0x20 || c == 0x7F) {
            length = append_hex(line, length, *text);
        } else if (is_c1_control(text)) {
            length = append_hex(line, length, *text++);
            length = append_hex(line, length, *text);
        } else {
            line[length++] = *text;
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
