/* The startup parameter "options" against glibc's getopt, which PostgreSQL uses too. */
#include <unistd.h>

#include "fuzz.h"
#include "wire/message.h"

enum { TEXT_MAX = WIRE_MAX_STARTUP, ARGUMENTS_MAX = TEXT_MAX / 2 + 2 };

static char *arguments[ARGUMENTS_MAX + 1];

/* The rules anew: a blank that is not escaped ends an argument. */
static int split_arguments(const char *text, char *memory)
{
    int count = 0;
    static char program[] = "postgres";
    arguments[count++] = program;
    while (true) {
        text += strspn(text, " \t\n\v\f\r");
        if (!*text)
            break;
        arguments[count++] = memory;
        while (*text && !strchr(" \t\n\v\f\r", *text)) {
            if (*text == '\\' && *++text == '\0')
                break;
            *memory++ = *text++;
        }
        *memory++ = '\0';
    }
    arguments[count] = NULL;
    return count;
}

/* "name=value\n" of each setting; false where something is to be refused. */
static bool expected_settings(int count, struct buffer *settings)
{
    bool good = true;
    optind = 0; /* starts getopt anew */
    opterr = 0;
    /* NOLINTNEXTLINE(concurrency-mt-unsafe): there is one thread */
    for (int flag; good && (flag = getopt(count, arguments, "c:-:")) != -1;) {
        const char *equals = flag == 'c' || flag == '-' ? strchr(optarg, '=') : NULL;
        good = equals && equals != optarg;
        if (!good)
            break;
        for (const char *c = optarg; c < equals; c++)
            buffer_append_byte(settings, (uint8_t)(*c == '-' ? '_' : *c));
        buffer_append_string(settings, equals);
        buffer_append_byte(settings, '\n');
    }
    return good && optind == count;
}

static int collect(void *owner, const char *name, const char *value, struct error *err)
{
    (void)err;
    buffer_append_string(owner, name);
    buffer_append_byte(owner, '=');
    buffer_append_string(owner, value);
    return buffer_append_byte(owner, '\n');
}

/* A last "--" says nothing to getopt; Reeve refuses it. */
static bool is_bare_end(int count)
{
    return strcmp(arguments[count - 1], "--") == 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char text[TEXT_MAX];
    static char memory[2 * TEXT_MAX];
    size = strnlen((const char *)data, size < TEXT_MAX ? size : TEXT_MAX - 1);
    memcpy(text, data, size);
    text[size] = '\0';

    _cleanup_buffer_ struct buffer expected = BUFFER_INIT(4 * TEXT_MAX);
    _cleanup_buffer_ struct buffer found = BUFFER_INIT(4 * TEXT_MAX);
    int count = split_arguments(text, memory);
    require(count <= ARGUMENTS_MAX);
    bool bare_end = is_bare_end(count); /* getopt reorders */
    bool good = expected_settings(count, &expected) && !bare_end;
    struct error err = {0};
    int result = wire_options_read(text, collect, &found, &err);
    require(!expected.failed && !found.failed);
    if (!good) {
        require(result == -ERROR_INVALID);
        require_error(result, &err);
        return 0;
    }
    require(result == 0);
    require(strcmp(buffer_string(&found), buffer_string(&expected)) == 0);
    return 0;
}
