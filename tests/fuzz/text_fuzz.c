/*
 * Query texts as the proxy looks at them: the input, and what is left of it when it is cut short at
 * each of its first bytes.
 */
#include "fuzz.h"
#include "proxy/text.h"

enum { ALL_FLAGS = (TEXT_BEGINS << 1) - 1, CUT_MAX = 64 };

/* Names come in order, lie in the text, and fit. */
static size_t count_names(const char *text, size_t length)
{
    struct text_deallocate found = {0};
    size_t count = 0;
    size_t before = 0;
    while (text_next_deallocate(text, length, &found)) {
        require(found.start >= before && found.start < found.end && found.end <= length);
        require(found.name[0] != '\0' && strlen(found.name) < sizeof(found.name));
        before = found.end;
        count++;
    }
    return count;
}

static void look(const char *text, size_t length)
{
    unsigned flags = text_flags(text, length);
    require((flags & ~(unsigned)ALL_FLAGS) == 0);
    size_t listen = text_before_listen(text, length);
    require(listen <= length);
    require(((flags & TEXT_LISTENS) != 0) == (listen < length));
    /* Whatever stands in front of the LISTEN is whole, and has none itself. */
    require(text_before_listen(text, listen) == listen);
    if (count_names(text, length) > 0)
        require((flags & TEXT_DEALLOCATES) != 0);
}

/* In a run of exactly its length: a sanitizer sees what is read behind it. */
static void look_at_copy(const uint8_t *data, size_t length)
{
    char *text = xmalloc(length ? length : 1);
    memcpy(text, data, length);
    look(text, length);
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size = strnlen((const char *)data, size); /* a message's text ends there */
    for (size_t length = 0; length < size && length < CUT_MAX; length++)
        look_at_copy(data, length);
    look_at_copy(data, size);
    return 0;
}
