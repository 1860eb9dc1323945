/* words.c - attack texts: their words, their statements. */
#include <ctype.h>

#include "attack/internal.h"
#include "base/str.h"
#include "pg/quote.h"

void words_random_digits(char ret[ATTACK_SECRET_SIZE])
{
    uint8_t random[ATTACK_SECRET_SIZE - 1];
    crypto_random(random, sizeof(random));
    for (size_t i = 0; i < sizeof(random); i++)
        ret[i] = (char)('0' + random[i] % 10);
    if (ret[0] == '0')
        ret[0] = '7'; /* a number keeps all of its digits */
    ret[sizeof(random)] = '\0';
}

void words_add(struct attack_stage *stage, const char *name, const char *value, bool identifier)
{
    if (stage->word_count == ATTACK_WORDS_MAX)
        return;
    stage->words[stage->word_count++] = (struct attack_word){name, value, identifier};
}

static const char *half(struct arena *arena, const char *secret, int which)
{
    size_t middle = strlen(secret) / 2;
    return which == 0 ? arena_strndup(arena, secret, middle) : arena_strdup(arena, secret + middle);
}

void words_fill(struct attack_stage *stage)
{
    struct arena *arena = stage->arena;
    const struct isolation_placement *victim = &stage->victim.place->isolated;
    const struct isolation_placement *own = &stage->attacker.place->isolated;
    const struct isolation_service *service = &stage->victim.place->site.isolation;
    const struct {
        const char *name, *value;
        bool identifier;
    } words[] = {
        {"id", arena_printf(arena, "%lld", (long long)stage->victim.tenant_id), false},
        {"own_id", arena_printf(arena, "%lld", (long long)stage->attacker.tenant_id), false},
        {"slug", stage->victim.slug, true},
        {"role", victim->role, true},
        {"own_role", own->role, true},
        {"schema", victim->schema, true},
        {"own_schema", own->schema, true},
        {"database", victim->database, true},
        {"own_database", own->database, true},
        {"owner", service->owner_role, true},
        {"run", service->run_role, true},
        {"admin", stage->victim.place->site.cluster.admin_user, true},
        {"secret", stage->victim.secret, false},
        {"secret_a", half(arena, stage->victim.secret, 0), false},
        {"secret_b", half(arena, stage->victim.secret, 1), false},
        {"own_secret", stage->attacker.secret, false},
        {"activity_a", half(arena, stage->activity, 0), false},
        {"activity_b", half(arena, stage->activity, 1), false},
    };
    for (size_t i = 0; i < array_size(words); i++)
        words_add(stage, words[i].name, words[i].value, words[i].identifier);
}

static const struct attack_word *find(const struct attack_stage *stage, const char *name,
                                      size_t length)
{
    for (size_t i = 0; i < stage->word_count; i++) {
        const char *known = stage->words[i].name;
        if (strlen(known) == length && memcmp(known, name, length) == 0)
            return &stage->words[i];
    }
    return NULL;
}

static void put(struct buffer *out, const struct attack_word *word, char form)
{
    const char *value = word->value;
    if (form == 's')
        pg_quote_literal(out, value);
    else if (form == 'i' || (!form && word->identifier))
        pg_quote_identifier(out, value);
    else
        buffer_append_string(out, value);
}

/* "{name}" or "{name:s}" at `at`: its length, or 0. */
static size_t match(const struct attack_stage *stage, const char *at,
                    const struct attack_word **ret_word, char *ret_form)
{
    size_t length = 0;
    while (islower((unsigned char)at[1 + length]) || at[1 + length] == '_')
        length++;
    const char *end = at + 1 + length;
    char form = 0;
    if (end[0] == ':' && end[1]) {
        form = end[1];
        end += 2;
    }
    const struct attack_word *word = *end == '}' ? find(stage, at + 1, length) : NULL;
    if (!word)
        return 0;
    *ret_word = word;
    *ret_form = form;
    return (size_t)(end + 1 - at);
}

static const char *replace(struct arena *arena, const char *text, const char *what)
{
    _cleanup_buffer_ struct buffer out = BUFFER_INIT(ATTACK_TEXT_MAX);
    for (const char *at; (at = strstr(text, what)) != NULL; text = at + strlen(what)) {
        buffer_append(&out, text, (size_t)(at - text));
        buffer_append_string(&out, "SECRET");
    }
    buffer_append_string(&out, text);
    return arena_strdup(arena, buffer_string(&out));
}

/* The secrets open nothing, but a report is kept for long and its reader should not have to know.
 */
static const char *without_secrets(const struct attack_stage *stage, struct arena *arena,
                                   const char *text)
{
    static const char *const names[] = {"secret", "own_secret", "secret_a", "secret_b"};
    for (size_t i = 0; i < array_size(names); i++) {
        const struct attack_word *word = find(stage, names[i], strlen(names[i]));
        if (word)
            text = replace(arena, text, word->value);
    }
    return text;
}

const char *words_expand(const struct attack_stage *stage, struct arena *arena, const char *text,
                         bool shown, const char **ret_missing)
{
    _cleanup_buffer_ struct buffer out = BUFFER_INIT(ATTACK_TEXT_MAX);
    while (*text) {
        size_t plain = strcspn(text, "{");
        buffer_append(&out, text, plain);
        text += plain;
        if (!*text)
            break;
        const struct attack_word *word = NULL;
        char form = 0;
        size_t length = match(stage, text, &word, &form);
        if (length == 0) {
            buffer_append_byte(&out, (uint8_t)*text++);
            continue;
        }
        if (!word->value) {
            *ret_missing = word->name;
            return NULL;
        }
        put(&out, word, form);
        text += length;
    }
    const char *expanded = arena_strdup(arena, buffer_string(&out));
    return shown ? without_secrets(stage, arena, expanded) : expanded;
}

const char *words_next_statement(struct arena *arena, const char **at)
{
    const char *start = *at;
    bool quoted = false;
    while (isspace((unsigned char)*start))
        start++;
    const char *end = start;
    for (; *end && (quoted || *end != ';'); end++) {
        if (end[0] != '$' || end[1] != '$')
            continue;
        quoted = !quoted;
        end++;
    }
    if (end == start)
        return NULL;
    *at = *end ? end + 1 : end;
    return arena_strndup(arena, start, (size_t)(end - start));
}
