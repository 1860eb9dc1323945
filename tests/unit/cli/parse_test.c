#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "cli/cli.h"

/* A table of its own, so that these tests do not change with the commands. */

static const char *color(size_t index)
{
    static const char *const names[] = {"red", "green", "blue", NULL};
    return names[index];
}

static int nothing(struct cli *cli reeve_unused, struct error *err reeve_unused)
{
    return 0;
}

static const struct cli_parameter paint_arguments[] = {
    {.name = "WALL", .required = true, .kind = CLI_TEXT, .help = "what to paint"},
    {.name = "CORNER", .kind = CLI_TEXT, .help = "where to begin"},
    {0},
};
static const struct cli_parameter mend_arguments[] = {
    {.name = "WALL", .required = true, .kind = CLI_TEXT, .help = "what to mend"},
    {.name = "HOLE", .required = true, .many = true, .kind = CLI_TEXT, .help = "where"},
    {0},
};
static const struct cli_parameter paint_options[] = {
    {.name = "color", .value = "COLOR", .kind = CLI_CHOICE, .choice = color, .help = "the color"},
    {.name = "also", .value = "COLORS", .kind = CLI_CHOICES, .choice = color, .help = "others"},
    {.name = "coats",
     .value = "N",
     .kind = CLI_NUMBER,
     .minimum = 1,
     .maximum = 9,
     .help = "how often"},
    {.name = "dry",
     .value = "TIME",
     .kind = CLI_DURATION,
     .minimum = 1000000,
     .maximum = 3600000000,
     .help = "how long"},
    {.name = "yes", .kind = CLI_FLAG, .help = "do not ask"},
    {0},
};
static const struct output_field fields[] = {{.key = "name", .help = "its name"}, {0}};
static const struct cli_command wall_commands[] = {
    {.verb = "paint",
     .summary = "Paints",
     .arguments = paint_arguments,
     .options = paint_options,
     .fields = fields,
     .run = nothing},
    {.verb = "mend", .summary = "Mends", .arguments = mend_arguments, .run = nothing},
    {.verb = "paper", .summary = "Papers", .no_config = true, .run = nothing},
    {0},
};
static const struct cli_command look_commands[] = {{.summary = "Looks", .run = nothing}, {0}};
static const struct cli_noun wall = {.name = "wall", .summary = "Walls", .commands = wall_commands};
static const struct cli_noun look = {.name = "look", .summary = "Looks", .commands = look_commands};
static const struct cli_noun *const nouns[] = {&wall, &look, NULL};

enum { MAX_WORDS = 16 };

static int parse(struct cli *cli, struct error *err, const char *line)
{
    static char text[512];
    char *words[MAX_WORDS];
    int count = 0;
    arena_reset(&cli->arena);
    *cli = (struct cli){0};
    *err = (struct error){0};
    snprintf(text, sizeof(text), "%s", line);
    char *rest = NULL;
    for (char *word = strtok_r(text, " ", &rest); word; word = strtok_r(NULL, " ", &rest))
        words[count++] = word;
    return cli_parse(cli, nouns, count, words, err);
}

static void test_values(void **state reeve_unused)
{
    struct cli cli = {0};
    struct error err;
    const char *const *texts;
    assert_int_equal(parse(&cli, &err,
                           "wall paint north --color green --also red,blue --also=green --coats=3 "
                           "--dry 5m --json --config f"),
                     0);
    assert_string_equal(cli.command->verb, "paint");
    assert_string_equal(cli_text(&cli, "WALL"), "north");
    assert_null(cli_text(&cli, "CORNER"));
    assert_string_equal(cli_text(&cli, "color"), "green");
    assert_int_equal(cli_texts(&cli, "also", &texts), 3);
    assert_string_equal(texts[0], "red");
    assert_string_equal(texts[1], "blue");
    assert_string_equal(texts[2], "green");
    assert_int_equal(cli_number(&cli, "coats", 1), 3);
    assert_int_equal(cli_duration_us(&cli, "dry", 0), 300000000);
    assert_false(cli_flag(&cli, "yes"));
    assert_true(cli.json);
    assert_string_equal(cli.config_path, "f");

    assert_int_equal(parse(&cli, &err, "wall paint --yes -- --odd-name corner"), 0);
    assert_string_equal(cli_text(&cli, "WALL"), "--odd-name");
    assert_string_equal(cli_text(&cli, "CORNER"), "corner");
    assert_true(cli_flag(&cli, "yes"));
    assert_int_equal(cli_number(&cli, "coats", 1), 1);
    arena_reset(&cli.arena);
}

static void test_many(void **state reeve_unused)
{
    struct cli cli = {0};
    struct error err;
    const char *const *texts;
    assert_int_equal(parse(&cli, &err, "wall mend north a b --config f c"), 0);
    assert_string_equal(cli_text(&cli, "WALL"), "north");
    assert_int_equal(cli_texts(&cli, "HOLE", &texts), 3);
    assert_string_equal(texts[0], "a");
    assert_string_equal(texts[1], "b");
    assert_string_equal(texts[2], "c");
    assert_string_equal(cli.config_path, "f");
    assert_int_equal(parse(&cli, &err, "wall mend north"), -ERROR_USAGE);
    assert_string_equal(err.message, "HOLE is missing");
    arena_reset(&cli.arena);
}

static void test_refusals(void **state reeve_unused)
{
    static const struct {
        const char *line, *message, *hint;
    } cases[] = {
        {"", "a command is missing", "\"reeve --help\" lists the commands"},
        {"wal", "there is no command \"wal\"", "did you mean \"reeve wall\"?"},
        {"zzzzzz", "there is no command \"zzzzzz\"", "\"reeve --help\" lists the commands"},
        {"wall", "\"reeve wall\" needs a verb", "the verbs are: paint, mend, paper"},
        {"wall piant", "there is no command \"wall piant\"", "did you mean \"reeve wall paint\"?"},
        {"wall paint", "WALL is missing", "see \"reeve wall paint --help\""},
        {"wall paint a b c", "unexpected argument \"c\"", "see \"reeve wall paint --help\""},
        {"wall paint a --colr red", "\"reeve wall paint\" has no option --colr",
         "did you mean --color?"},
        {"wall paint a -x", "\"reeve wall paint\" has no option -x",
         "see \"reeve wall paint --help\""},
        {"wall paint a --color", "--color needs a value", "--color COLOR"},
        {"wall paint a --color --yes", "--color needs a value", "--color COLOR"},
        {"wall paint a --color rde", "--color cannot be \"rde\"", "did you mean \"red\"?"},
        {"wall paint a --color q", "--color cannot be \"q\"", "it is one of: red, green, blue"},
        {"wall paint a --color red --color red", "--color is given twice", ""},
        {"wall paint a --also red,,blue", "--also must not be empty", ""},
        {"wall paint a --coats 10", "--coats must be a number from 1 to 9, not \"10\"", ""},
        {"wall paint a --coats 1x", "--coats must be a number from 1 to 9, not \"1x\"", ""},
        {"wall paint a --dry soon", "--dry is no duration: \"soon\"",
         "write 500ms, 10s, 5m, 12h or 30d"},
        {"wall paint a --dry 2h", "--dry must be from 1s to 3600s, not \"2h\"", ""},
        {"wall paint a --yes=1", "--yes takes no value", ""},
        {"wall paint a --color=", "--color must not be empty", ""},
        {"wall paint \xff", "WALL is not UTF-8 text", ""},
        {"wall paper --config f", "\"reeve wall paper\" has no option --config",
         "see \"reeve wall paper --help\""},
        {"wall paper --json", "\"reeve wall paper\" has no option --json",
         "see \"reeve wall paper --help\""},
    };
    for (size_t i = 0; i < array_size(cases); i++) {
        struct cli cli = {0};
        struct error err;
        assert_int_equal(parse(&cli, &err, cases[i].line), -ERROR_USAGE);
        assert_string_equal(err.message, cases[i].message);
        assert_string_equal(err.hint, cases[i].hint);
        arena_reset(&cli.arena);
    }
}

static void test_help(void **state reeve_unused)
{
    struct cli cli = {0};
    struct error err;
    assert_int_equal(parse(&cli, &err, "--help"), 0);
    assert_true(cli.help);
    assert_null(cli.noun);
    assert_int_equal(parse(&cli, &err, "wall -h"), 0);
    assert_true(cli.help);
    assert_null(cli.command);
    /* Wrong values do not stand in the way of help. */
    assert_int_equal(parse(&cli, &err, "wall paint --coats 99 --help"), 0);
    assert_true(cli.help);
    assert_string_equal(cli.command->verb, "paint");
    arena_reset(&cli.arena);
}

static const char *word(void *context, size_t index)
{
    return ((const char *const *)context)[index];
}

static void test_nearest(void **state reeve_unused)
{
    static const char *const words[] = {"tenant", "token", "service", "status", NULL};
    void *context = (void *)(uintptr_t)words;
    assert_string_equal(cli_nearest("tennant", word, context), "tenant");
    assert_string_equal(cli_nearest("tokne", word, context), "token");
    assert_string_equal(cli_nearest("serv", word, context), "service");
    assert_null(cli_nearest("pineapple", word, context));
    assert_null(cli_nearest("", word, context));
    assert_null(cli_nearest("a-name-that-is-longer-than-any-command", word, context));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values),   cmocka_unit_test(test_many),
        cmocka_unit_test(test_refusals), cmocka_unit_test(test_help),
        cmocka_unit_test(test_nearest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
