#include "cli/prompt.h"

#include <errno.h>
#include <fcntl.h>
#include <termios.h>
#include <unistd.h>

#include "base/crypto.h"
#include "base/str.h"

/* One line without its end; ERROR_CANCELLED upon a signal or the end of input. */
static int read_line(int fd, char *ret, size_t size, struct error *err)
{
    size_t length = 0;
    for (;;) {
        char byte;
        ssize_t got = read(fd, &byte, 1);
        if (got < 0 && errno == EINTR && !atomic_load(&cli_cancelled))
            continue;
        if (got < 0 || (got == 0 && length == 0))
            return error_set(err, ERROR_CANCELLED, "nothing was entered");
        if (got == 0 || byte == '\n')
            break;
        if (byte == '\0')
            return error_set(err, ERROR_INVALID, "what was entered has a NUL byte in it");
        if (length + 1 == size)
            return error_set(err, ERROR_INVALID, "what was entered is longer than %zu bytes",
                             size - 1);
        ret[length++] = byte;
    }
    if (length > 0 && ret[length - 1] == '\r')
        length--;
    ret[length] = '\0';
    return 0;
}

int prompt_confirm(const struct cli *cli, const char *what, const char *wanted, struct error *err)
{
    if (cli_flag(cli, "yes"))
        return 0;
    if (!isatty(STDIN_FILENO)) {
        int result = error_set(err, ERROR_USAGE, "this needs a confirmation");
        error_detail(err, "%s", what);
        error_hint(err, "pass --yes to do it without being asked");
        return result;
    }
    char typed[256];
    output_note("%s", what);
    fprintf(stderr, "Type \"%s\" to go on: ", wanted);
    fflush(stderr);
    int result = read_line(STDIN_FILENO, typed, sizeof(typed), err);
    if (result == 0 && strcmp(typed, wanted) != 0)
        result = error_set(err, ERROR_CANCELLED, "not confirmed; nothing was changed");
    return result;
}

static int check_password(const char *password, struct error *err)
{
    size_t length = strlen(password);
    if (length < PROMPT_PASSWORD_MIN) {
        int result = error_set(err, ERROR_INVALID, "the password has fewer than %d bytes",
                               PROMPT_PASSWORD_MIN);
        error_hint(err, "--generate makes a strong one");
        return result;
    }
    if (!str_is_utf8(password, length))
        return error_set(err, ERROR_INVALID, "the password is not UTF-8 text");
    for (const char *at = password; *at; at++) {
        if ((unsigned char)*at < 0x20 || *at == 0x7F)
            return error_set(err, ERROR_INVALID, "the password has a control character in it");
    }
    return 0;
}

/* Reads with echo off, and puts it back on whatever happens (signals set a flag only). */
static int read_hidden(int fd, const char *prompt, char *ret, size_t size, struct error *err)
{
    struct termios before, hidden;
    if (tcgetattr(fd, &before) < 0)
        return error_errno(err, errno, "cannot read from the terminal");
    hidden = before;
    hidden.c_lflag &= (tcflag_t) ~(ECHO | ECHOE | ECHOK | ECHONL);
    fputs(prompt, stderr);
    fflush(stderr);
    tcsetattr(fd, TCSAFLUSH, &hidden);
    int result = read_line(fd, ret, size, err);
    tcsetattr(fd, TCSAFLUSH, &before);
    fputc('\n', stderr);
    return result;
}

static int ask_twice(char ret[PROMPT_PASSWORD_MAX + 1], struct error *err)
{
    char again[PROMPT_PASSWORD_MAX + 1];
    int result = read_hidden(STDIN_FILENO, "New password: ", ret, PROMPT_PASSWORD_MAX + 1, err);
    if (result == 0)
        result = check_password(ret, err);
    if (result == 0)
        result = read_hidden(STDIN_FILENO, "Once more: ", again, sizeof(again), err);
    if (result == 0 && strcmp(ret, again) != 0)
        result = error_set(err, ERROR_INVALID, "the two passwords differ; nothing was changed");
    crypto_wipe(again, sizeof(again));
    return result;
}

int prompt_password(const char *file, char ret[PROMPT_PASSWORD_MAX + 1], struct error *err)
{
    if (!file && isatty(STDIN_FILENO))
        return ask_twice(ret, err);
    int result = prompt_secret(file ? file : "-", ret, err);
    return result < 0 ? result : check_password(ret, err);
}

/* ---- files ---- */

/* *ret_opened is what the caller closes; -1 for standard input. */
static int open_input(const char *file, int *ret_fd, int *ret_opened, struct error *err)
{
    if (strcmp(file, "-") == 0) {
        *ret_fd = STDIN_FILENO;
        return 0;
    }
    int fd = open(file, O_RDONLY | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT)
        return error_set(err, ERROR_NOT_FOUND, "there is no file %s", file);
    if (fd < 0)
        return error_errno(err, errno, "cannot open %s", file);
    *ret_fd = *ret_opened = fd;
    return 0;
}

int prompt_secret(const char *file, char ret[PROMPT_PASSWORD_MAX + 1], struct error *err)
{
    _cleanup_close_ int opened = -1;
    int fd = -1;
    int result = open_input(file, &fd, &opened, err);
    if (result == 0)
        result = read_line(fd, ret, PROMPT_PASSWORD_MAX + 1, err);
    if (result < 0 && opened >= 0)
        error_prefix(err, "%s", file);
    return result;
}

int prompt_file(const char *file, struct buffer *ret, struct error *err)
{
    _cleanup_close_ int opened = -1;
    char chunk[4096];
    int fd = -1;
    int result = open_input(file, &fd, &opened, err);
    while (result == 0) {
        ssize_t got = read(fd, chunk, sizeof(chunk));
        if (got == 0)
            break;
        if (got < 0 && errno == EINTR && !atomic_load(&cli_cancelled))
            continue;
        if (got < 0)
            result = error_errno(err, errno, "cannot read %s", file);
        else if (buffer_append(ret, chunk, (size_t)got) < 0)
            result = error_set(err, ERROR_LIMIT, "%s has more than %zu bytes", file, ret->maximum);
    }
    crypto_wipe(chunk, sizeof(chunk));
    return result;
}
