/*
 * top_terminal.c - the terminal of `reeve top`: raw keys, a screen of its own, signals.
 *
 * Signals that matter are blocked but while it waits, so that none is lost between a look and the
 * next wait. Whatever ends the command, the terminal is as it was: on SIGTSTP as well, before the
 * process stops.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "base/error.h"
#include "base/time.h"
#include "cli/top.h"

static const int signals[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP, SIGWINCH};

static struct termios before;
static sigset_t mask_before;
static struct sigaction actions_before[array_size(signals)];
static bool entered;
static volatile sig_atomic_t caught[array_size(signals)];
static int ending; /* the signal that is to end the process */

static void note(int number)
{
    for (size_t i = 0; i < array_size(signals); i++) {
        if (signals[i] == number)
            caught[i] = 1;
    }
}

static void write_all(const char *bytes, size_t length)
{
    while (length > 0) {
        ssize_t written = write(STDOUT_FILENO, bytes, length);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return; /* a terminal that is gone: the next wait says so */
        bytes += written;
        length -= (size_t)written;
    }
}

static void write_text(const char *text)
{
    write_all(text, strlen(text));
}

static int take_screen(struct error *err)
{
    struct termios raw = before;
    raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
    raw.c_cc[VMIN] = 0;
    raw.c_cc[VTIME] = 0;
    if (tcsetattr(STDIN_FILENO, TCSAFLUSH, &raw) < 0)
        return error_errno(err, errno, "cannot set the terminal");
    write_text("\033[?1049h\033[?25l\033[2J");
    return 0;
}

static void give_screen_back(void)
{
    write_text("\033[?25h\033[?1049l");
    tcsetattr(STDIN_FILENO, TCSAFLUSH, &before);
}

int top_terminal_enter(struct error *err)
{
    if (tcgetattr(STDIN_FILENO, &before) < 0)
        return error_errno(err, errno, "cannot read the terminal's settings");
    sigset_t set;
    struct sigaction action = {.sa_handler = note};
    sigemptyset(&set);
    sigemptyset(&action.sa_mask);
    for (size_t i = 0; i < array_size(signals); i++)
        sigaddset(&set, signals[i]);
    sigprocmask(SIG_BLOCK, &set, &mask_before);
    for (size_t i = 0; i < array_size(signals); i++)
        sigaction(signals[i], &action, &actions_before[i]);
    entered = true;
    int result = take_screen(err);
    if (result < 0)
        top_terminal_leave();
    return result;
}

void top_terminal_leave(void)
{
    if (!entered)
        return;
    entered = false;
    give_screen_back();
    for (size_t i = 0; i < array_size(signals); i++)
        sigaction(signals[i], &actions_before[i], NULL);
    sigprocmask(SIG_SETMASK, &mask_before, NULL);
}

void top_terminal_die(void)
{
    if (ending == 0)
        return;
    signal(ending, SIG_DFL);
    raise(ending);
}

void top_terminal_size(size_t *ret_rows, size_t *ret_columns)
{
    struct winsize size;
    bool known = ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_row > 0 && size.ws_col > 0;
    *ret_rows = known ? size.ws_row : 24;
    *ret_columns = known ? size.ws_col : 80;
}

/* Each line is cleared before it is written, and what is below the last, so that nothing flickers;
 * behind a text that reaches the edge nothing must be cleared. */
void top_terminal_show(const struct buffer *text)
{
    _cleanup_buffer_ struct buffer out = BUFFER_INIT(1 << 20);
    size_t rows;
    size_t columns;
    size_t lines = 0;
    top_terminal_size(&rows, &columns);
    buffer_append_string(&out, "\033[H");
    for (const char *line = buffer_string(text); *line && lines < rows; lines++) {
        const char *end = strchrnul(line, '\n');
        buffer_append_string(&out, lines > 0 ? "\n\033[K" : "\033[K");
        buffer_append(&out, line, (size_t)(end - line));
        line = *end ? end + 1 : end;
    }
    buffer_append_string(&out, lines < rows ? "\n\033[J\033[H" : "\033[H");
    write_all(buffer_string(&out), out.length);
}

static void stop_for_now(void)
{
    struct error ignored;
    give_screen_back();
    raise(SIGSTOP);
    (void)take_screen(&ignored);
}

/* What the signals ask for, as top_terminal_wait tells it; 0: there were none. */
static int take_signals(void)
{
    int told = 0;
    for (size_t i = 0; i < array_size(signals); i++) {
        if (!caught[i])
            continue;
        caught[i] = 0;
        if (signals[i] == SIGTSTP) {
            stop_for_now();
        } else if (signals[i] != SIGWINCH) {
            ending = signals[i];
            return -2;
        }
        told = -1;
    }
    return told;
}

static int read_key(void)
{
    unsigned char key;
    ssize_t got = read(STDIN_FILENO, &key, 1);
    if (got == 1)
        return key == 0 ? ' ' : key;
    return got < 0 && errno == EINTR ? -1 : -2;
}

int top_terminal_wait(int64_t deadline_us)
{
    struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
    int64_t left_us = deadline_us - time_monotonic_us();
    if (left_us < 0)
        left_us = 0;
    const struct timespec left = {.tv_sec = left_us / TIME_S, .tv_nsec = left_us % TIME_S * 1000};
    int ready = ppoll(&input, 1, &left, &mask_before);
    int told = take_signals();
    if (told != 0 || ready == 0)
        return told;
    return ready < 0 ? -1 : read_key();
}
