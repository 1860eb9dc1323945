/*
 * log.h - one line an event on standard error.
 *
 * 2026-01-02T03:04:05.678Z INFO  worker-0: client logged in tenant=acme placement=42
 *
 * Thread-safe; a line is one write. Control characters are escaped (\n, \x1b, \xc2\x9b), so that
 * no tenant-chosen text can forge a line or drive a terminal. Never pass a secret: no password,
 * token, verifier, key, query text or connection string.
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include "base/compiler.h"
#include "base/error.h"

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARNING, LOG_ERROR };

void log_set_level(enum log_level level);
enum log_level log_get_level(void);
/* "debug", "info", "warning", "error". */
bool log_level_from_name(const char *name, enum log_level *ret);
/* The name that this thread's lines carry; at most 15 characters are kept. */
void log_set_thread_name(const char *name);

void log_write(enum log_level level, const char *format, ...) reeve_printf(2, 3);
/* "text: message (SQLSTATE)[ detail]" */
void log_write_error(enum log_level level, const struct error *err, const char *format, ...)
    reeve_printf(3, 4);

#define log_debug(...)                                                                             \
    do {                                                                                           \
        if (unlikely(log_get_level() <= LOG_DEBUG))                                                \
            log_write(LOG_DEBUG, __VA_ARGS__);                                                     \
    } while (0)
#define log_info(...) log_write(LOG_INFO, __VA_ARGS__)
#define log_warning(...) log_write(LOG_WARNING, __VA_ARGS__)
#define log_error(...) log_write(LOG_ERROR, __VA_ARGS__)

#endif
