#include "cli/cli.h"

enum { MAX_LENGTH = 32 };

static size_t minimum(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Edits between two words, a swap of neighbours counting as one (Damerau-Levenshtein, restricted).
 */
static size_t distance(const char *a, const char *b)
{
    size_t rows = strlen(a), columns = strlen(b);
    size_t table[MAX_LENGTH + 1][MAX_LENGTH + 1];
    for (size_t i = 0; i <= rows; i++) {
        for (size_t j = 0; j <= columns; j++) {
            if (i == 0 || j == 0) {
                table[i][j] = i + j;
                continue;
            }
            size_t change = table[i - 1][j - 1] + (a[i - 1] != b[j - 1]);
            size_t best = minimum(change, minimum(table[i - 1][j], table[i][j - 1]) + 1);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                best = minimum(best, table[i - 2][j - 2] + 1);
            table[i][j] = best;
        }
    }
    return table[rows][columns];
}

const char *cli_nearest(const char *typed, const char *(*name)(void *context, size_t index),
                        void *context)
{
    size_t length = strlen(typed);
    if (length == 0 || length > MAX_LENGTH)
        return NULL;
    const char *nearest = NULL;
    size_t least = length < 4 ? 1 : 1 + length / 4; /* what still counts as near */
    for (size_t i = 0; name(context, i); i++) {
        const char *candidate = name(context, i);
        if (strlen(candidate) > MAX_LENGTH)
            continue;
        size_t edits = distance(typed, candidate);
        bool begins = length >= 2 && strncmp(typed, candidate, length) == 0;
        if (edits < least || (edits == least && !nearest)) {
            least = edits;
            nearest = candidate;
        } else if (begins && !nearest) {
            nearest = candidate;
        }
    }
    return nearest;
}
