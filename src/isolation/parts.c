#include "isolation/parts.h"

#include <string.h>

size_t isolation_part_count(int64_t bytes, int64_t blocks, int64_t part_bytes)
{
    if (blocks <= 1 || part_bytes <= 0 || bytes <= part_bytes)
        return 1;
    int64_t count = (bytes - 1) / part_bytes + 1;
    if (count > blocks)
        count = blocks;
    return count > ISOLATION_PARTS_MAX ? ISOLATION_PARTS_MAX : (size_t)count;
}

struct isolation_part isolation_part_at(int64_t blocks, size_t count, size_t number)
{
    int64_t parts = (int64_t)count, at = (int64_t)number;
    return (struct isolation_part){.from = blocks * at / parts,
                                   .to = at + 1 < parts ? blocks * (at + 1) / parts : 0};
}

void isolation_part_put(struct buffer *sql, const char *word, const struct isolation_part *part)
{
    if (part->from > 0)
        buffer_printf(sql, " %s ctid >= '(%lld,0)'::pg_catalog.tid", word, (long long)part->from);
    if (part->to > 0)
        buffer_printf(sql, " %s ctid < '(%lld,0)'::pg_catalog.tid", part->from > 0 ? "AND" : word,
                      (long long)part->to);
}

bool isolation_sum_parse(const char *text, isolation_sum *ret)
{
    enum { DIGITS = 38 }; /* of 2^126 */
    bool negative = *text == '-';
    const char *digits = text + negative;
    size_t length = strspn(digits, "0123456789");
    if (length == 0 || length > DIGITS || digits[length] != '\0')
        return false;
    isolation_sum sum = 0;
    for (size_t i = 0; i < length; i++)
        sum = sum * 10 + (digits[i] - '0');
    *ret = negative ? -sum : sum;
    return true;
}
