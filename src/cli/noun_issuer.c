#include "cli/nouns.h"

#include "auth/token.h"
#include "base/crypto.h"
#include "base/str.h"
#include "base/time.h"
#include "catalog/audit_event.h"
#include "catalog/issuer.h"
#include "cli/context.h"
#include "cli/prompt.h"

enum { MAX_KEY_FILE = 256 * 1024, MAX_LEEWAY_S = 300 };

static const struct cli_parameter name_argument[] = {
    {.name = "NAME", .required = true, .kind = CLI_TEXT, .help = "what Reeve calls the issuer"},
    {0},
};

static const struct cli_parameter add_options[] = {
    {.name = "issuer",
     .value = "TEXT",
     .kind = CLI_TEXT,
     .required = true,
     .help = "what its tokens have as claim iss, such as https://id.example"},
    {.name = "audience",
     .value = "TEXT",
     .kind = CLI_TEXT,
     .help = "what its tokens must have in claim aud; without it that is not checked"},
    {.name = "key",
     .value = "FILE",
     .kind = CLI_FILE,
     .help = "its public key: PEM or JWK (RSA, EC P-256, Ed25519); - for standard input"},
    {.name = "jwks", .value = "FILE", .kind = CLI_FILE, .help = "its public keys: a JWKS"},
    {.name = "secret",
     .value = "FILE",
     .kind = CLI_FILE,
     .help = "a secret shared with it, for HS256: 32 bytes or more; the end of a text's last line "
             "is not part of it"},
    {.name = "key-id",
     .value = "TEXT",
     .kind = CLI_TEXT,
     .help = "the key's id (kid) where --key or --secret has none; without it the key fits tokens "
             "with any kid"},
    {.name = "tenant-claim",
     .value = "NAME",
     .kind = CLI_TEXT,
     .fallback = "tenantId, accepting tenant_id",
     .help = "the claim that names the tenant"},
    {.name = "leeway",
     .value = "TIME",
     .kind = CLI_DURATION,
     .minimum = 0,
     .maximum = MAX_LEEWAY_S * (int64_t)TIME_S,
     .fallback = "30s",
     .help = "by how much its clock may differ from ours"},
    {0},
};

static const struct cli_parameter remove_options[] = {CLI_OPTION_YES, {0}};

static const struct output_field fields[] = {
    {.key = "name", .title = "NAME", .kind = OUTPUT_TEXT, .help = "what Reeve calls it"},
    {.key = "issuer", .title = "ISSUER", .kind = OUTPUT_TEXT, .help = "claim iss"},
    {.key = "audience",
     .title = "AUDIENCE",
     .kind = OUTPUT_TEXT,
     .help = "claim aud; null: not checked"},
    {.key = "tenant_claim",
     .title = "TENANT-CLAIM",
     .kind = OUTPUT_TEXT,
     .help = "names the tenant; null: tenantId or tenant_id"},
    {.key = "leeway_s",
     .title = "LEEWAY",
     .kind = OUTPUT_NUMBER,
     .help = "by how many seconds its clock may differ"},
    {.key = "keys",
     .title = "KEYS",
     .kind = OUTPUT_LIST,
     .help = "an object each: kty (RSA, EC, OKP, oct), kid (null: none)"},
    {.key = "created_at", .title = "CREATED", .kind = OUTPUT_TIME, .help = "when it was added"},
    {0},
};

static const struct output_field name_fields[] = {
    {.key = "name", .kind = OUTPUT_TEXT, .help = "the issuer"},
    {0},
};

/* Kinds and ids of the keys: a shared secret is not for showing. */
static json_t *key_records(const char *jwks)
{
    json_t *records = json_array();
    json_t *set = json_loads(jwks, 0, NULL);
    const json_t *keys = json_object_get(set, "keys");
    for (size_t i = 0; i < json_array_size(keys); i++) {
        const json_t *key = json_array_get(keys, i);
        json_array_append_new(
            records, json_pack("{s:o, s:o}", "kty",
                               output_text(json_string_value(json_object_get(key, "kty"))), "kid",
                               output_text(json_string_value(json_object_get(key, "kid")))));
    }
    json_decref(set);
    return records;
}

static json_t *issuer_record(const struct catalog_issuer *issuer)
{
    json_t *record = json_object();
    json_object_set_new(record, "name", output_text(issuer->name));
    json_object_set_new(record, "issuer", output_text(issuer->issuer));
    json_object_set_new(record, "audience", output_text(issuer->audience));
    json_object_set_new(record, "tenant_claim", output_text(issuer->tenant_claim));
    json_object_set_new(record, "leeway_s", json_integer(issuer->leeway_s));
    json_object_set_new(record, "keys", key_records(issuer->jwks));
    json_object_set_new(record, "created_at", output_time_us(issuer->created_unix_us));
    return record;
}

/* ---- add ---- */

struct key_source {
    const char *file;
    bool secret;
};

static int choose_source(const struct cli *cli, struct key_source *ret, struct error *err)
{
    static const char *const names[] = {"key", "jwks", "secret"};
    size_t given = 0;
    for (size_t i = 0; i < array_size(names); i++) {
        const char *file = cli_text(cli, names[i]);
        if (!file)
            continue;
        *ret = (struct key_source){.file = file, .secret = strcmp(names[i], "secret") == 0};
        given++;
    }
    if (given == 1)
        return 0;
    int result = error_set(err, ERROR_USAGE,
                           given ? "--key, --jwks and --secret exclude each other"
                                 : "the issuer's key is missing");
    error_hint(err, "pass one of --key FILE, --jwks FILE and --secret FILE");
    return result;
}

/* An editor ends a text with a line's end, which nobody means to be part of a secret. */
static size_t secret_length(const struct buffer *bytes)
{
    size_t length = bytes->length;
    if (length > 0 && bytes->data[length - 1] == '\n')
        length--;
    if (length > 0 && length < bytes->length && bytes->data[length - 1] == '\r')
        length--;
    for (size_t i = 0; i < length; i++) {
        unsigned char c = (unsigned char)bytes->data[i];
        if (c < 0x20 || c > 0x7E)
            return bytes->length;
    }
    return length;
}

static int read_keys(const struct cli *cli, const struct key_source *source, char **ret_jwks,
                     struct error *err)
{
    struct buffer bytes = BUFFER_INIT(MAX_KEY_FILE);
    int result = prompt_file(source->file, &bytes, err);
    if (result == 0) {
        size_t length = source->secret ? secret_length(&bytes) : bytes.length;
        result = auth_jwks_from_file_bytes(buffer_string(&bytes), length, source->secret,
                                           cli_text(cli, "key-id"), ret_jwks, err);
        if (result < 0)
            error_prefix(err, "%s", source->file);
    }
    if (bytes.data)
        crypto_wipe(bytes.data, bytes.capacity);
    buffer_free(&bytes);
    return result;
}

/* The proxy must be able to use it: tried here, where it can be refused. */
static int try_out(const struct catalog_issuer *issuer, struct error *err)
{
    const struct auth_issuer tried = {.name = issuer->name,
                                      .issuer = issuer->issuer,
                                      .audience = issuer->audience,
                                      .tenant_claim = issuer->tenant_claim,
                                      .jwks = issuer->jwks,
                                      .leeway_s = issuer->leeway_s};
    struct auth_keyring *keyring = NULL;
    int result = auth_keyring_create(&tried, 1, NULL, &keyring, err);
    auth_keyring_free(keyring);
    return result;
}

static int insert(const struct context *context, struct catalog *catalog,
                  const struct catalog_issuer *issuer, struct error *err)
{
    const struct catalog_audit_event event = {.action = "issuer.add"};
    int64_t id;
    int result = catalog_begin(catalog, err);
    if (result < 0)
        return result;
    result = catalog_issuer_create(catalog, issuer, &id, err);
    return context_commit(context, catalog, result, &event,
                          json_pack("{s:s, s:s}", "name", issuer->name, "issuer", issuer->issuer),
                          err);
}

/* A shared secret is not kept as it is. */
static int seal(const struct context *context, struct catalog_issuer *issuer, char **ret_stored,
                struct error *err)
{
    uint8_t key[CRYPTO_KEY_SIZE];
    auth_derive_key(context->job.master_key, AUTH_ISSUER_KEY_LABEL, key);
    int result = auth_jwks_seal(key, issuer->name, issuer->jwks, ret_stored, err);
    crypto_wipe(key, sizeof(key));
    issuer->jwks = *ret_stored;
    return result;
}

static int add(struct cli *cli, const struct key_source *source, struct error *err)
{
    _cleanup_context_ struct context context = {0};
    _cleanup_catalog_ struct catalog *catalog = NULL;
    _cleanup_free_ char *jwks = NULL;
    _cleanup_free_ char *stored = NULL;
    int64_t leeway_us = cli_duration_us(cli, "leeway", TOKEN_DEFAULT_LEEWAY_S * (int64_t)TIME_S);
    struct catalog_issuer issuer = {.name = cli_text(cli, "NAME"),
                                    .issuer = cli_text(cli, "issuer"),
                                    .audience = cli_text(cli, "audience"),
                                    .tenant_claim = cli_text(cli, "tenant-claim"),
                                    .leeway_s = (int)(leeway_us / TIME_S)};
    int result = read_keys(cli, source, &jwks, err);
    issuer.jwks = jwks;
    if (result == 0)
        result = try_out(&issuer, err);
    if (result == 0)
        result = context_open_catalog(cli, &context, &catalog, err);
    if (result == 0)
        result = seal(&context, &issuer, &stored, err);
    if (result == 0)
        result = insert(&context, catalog, &issuer, err);
    if (result == 0)
        result = catalog_issuer_find(catalog, &cli->arena, issuer.name, &issuer, err);
    if (result == 0)
        output_done(cli, issuer_record(&issuer),
                    "Issuer \"%s\" is added: tokens that %s signs are taken as passwords.",
                    issuer.name, issuer.issuer);
    if (jwks)
        crypto_wipe(jwks, strlen(jwks));
    return result;
}

static int run_add(struct cli *cli, struct error *err)
{
    struct key_source source = {0};
    int result = context_check_slug("issuer name", cli_text(cli, "NAME"), err);
    if (result == 0)
        result = choose_source(cli, &source, err);
    return result < 0 ? result : add(cli, &source, err);
}

/* ---- list, remove ---- */

static int run_list(struct cli *cli, struct error *err)
{
    _cleanup_catalog_ struct catalog *catalog = NULL;
    struct catalog_issuer *issuers = NULL;
    size_t count = 0;
    int result = context_read_catalog(cli, &catalog, err);
    if (result == 0)
        result = catalog_issuer_list(catalog, &cli->arena, &issuers, &count, err);
    if (result < 0)
        return result;
    json_t *records = json_array();
    for (size_t i = 0; i < count; i++)
        json_array_append_new(records, issuer_record(&issuers[i]));
    output_list(cli, records, "There are no issuers; \"reeve issuer add\" adds one.");
    return 0;
}

static int delete (const struct context *context, struct catalog *catalog,
                   const struct catalog_issuer *issuer, struct error *err)
{
    const struct catalog_audit_event event = {.action = "issuer.remove"};
    int result = catalog_begin(catalog, err);
    if (result < 0)
        return result;
    result = catalog_issuer_delete(catalog, issuer->id, err);
    return context_commit(context, catalog, result, &event,
                          json_pack("{s:s}", "name", issuer->name), err);
}

static int run_remove(struct cli *cli, struct error *err)
{
    _cleanup_context_ struct context context = {0};
    _cleanup_catalog_ struct catalog *catalog = NULL;
    struct catalog_issuer issuer = {0};
    const char *name = cli_text(cli, "NAME");
    int result = context_open_catalog(cli, &context, &catalog, err);
    if (result == 0)
        result = catalog_issuer_find(catalog, &cli->arena, name, &issuer, err);
    if (result < 0)
        return result;
    const char *what = arena_printf(
        &cli->arena, "This removes issuer \"%s\": its tokens are refused from then on.", name);
    result = prompt_confirm(cli, what, name, err);
    if (result == 0)
        result = delete (&context, catalog, &issuer, err);
    if (result == 0)
        output_done(cli, json_pack("{s:s}", "name", name), "Issuer \"%s\" is removed.", name);
    return result;
}

/* ---- the table ---- */

static const char *const add_examples[] = {
    "reeve issuer add login --issuer https://id.example --audience orders --jwks keys.json",
    "reeve issuer add legacy --issuer https://old.example --secret secret.txt --tenant-claim org",
    NULL};

static const struct cli_command commands[] = {
    {.verb = "add",
     .summary = "Take the tokens that somebody else signs",
     .description = "The key's type fixes the algorithm: RS256 for RSA, ES256 for EC P-256, EdDSA "
                    "for Ed25519, HS256 for a secret. Private keys are refused. Nothing is ever "
                    "fetched: when keys change, remove the issuer and add it again.",
     .arguments = name_argument,
     .options = add_options,
     .fields = fields,
     .examples = add_examples,
     .run = run_add},
    {.verb = "list", .summary = "List issuers", .fields = fields, .list = true, .run = run_list},
    {.verb = "remove",
     .summary = "Take an issuer's tokens no longer",
     .arguments = name_argument,
     .options = remove_options,
     .fields = name_fields,
     .run = run_remove},
    {0},
};

const struct cli_noun cli_noun_issuer = {
    .name = "issuer", .summary = "Who else may sign tokens", .commands = commands};
