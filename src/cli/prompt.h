/*
 * prompt.h - asking the person at the terminal, or the file that stands in.
 */
#ifndef CLI_PROMPT_H
#define CLI_PROMPT_H

#include "base/buffer.h"
#include "cli/cli.h"

enum { PROMPT_PASSWORD_MIN = 8, PROMPT_PASSWORD_MAX = 512 };

/* Has `wanted` typed out before something that cannot be undone, unless --yes is given (the
 * command must have that option). Without a terminal and --yes: ERROR_USAGE; something else typed:
 * ERROR_CANCELLED. `what` tells what would happen. */
int prompt_confirm(const struct cli *cli, const char *what, const char *wanted, struct error *err);

/* A tenant's new password: the first line of the file ("-": of standard input); without a file
 * typed twice without echo, or the first line of standard input when that is no terminal. Checked:
 * 8 to 512 bytes of UTF-8 without control characters. crypto_wipe it. ERROR_NOT_FOUND, ERROR_IO,
 * ERROR_INVALID, ERROR_CANCELLED. */
int prompt_password(const char *file, char ret[PROMPT_PASSWORD_MAX + 1], struct error *err);

/* The first line of a file ("-": of standard input), which is somebody else's password: not
 * checked. crypto_wipe it. ERROR_NOT_FOUND, ERROR_IO, ERROR_INVALID, ERROR_CANCELLED. */
int prompt_secret(const char *file, char ret[PROMPT_PASSWORD_MAX + 1], struct error *err);

/* All of a file ("-": standard input), appended. ERROR_NOT_FOUND, ERROR_IO, ERROR_LIMIT past the
 * buffer's maximum. */
int prompt_file(const char *file, struct buffer *ret, struct error *err);

#endif
