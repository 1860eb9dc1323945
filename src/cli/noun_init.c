#include "cli/nouns.h"

#include <unistd.h>

#include "base/crypto.h"
#include "catalog/status.h"
#include "cli/context.h"
#include "pg/conninfo.h"

static const struct output_field fields[] = {
    {.key = "config", .kind = OUTPUT_TEXT, .help = "the configuration file that was read"},
    {.key = "control", .kind = OUTPUT_TEXT, .help = "the server of the control database"},
    {.key = "database_created",
     .kind = OUTPUT_BOOLEAN,
     .help = "whether the control database was made"},
    {.key = "from_version",
     .kind = OUTPUT_NUMBER,
     .help = "the catalog's version before; 0: there was none"},
    {.key = "version", .kind = OUTPUT_NUMBER, .help = "the catalog's version now"},
    {.key = "key_file", .kind = OUTPUT_TEXT, .help = "the key file"},
    {.key = "key_created", .kind = OUTPUT_BOOLEAN, .help = "whether the key file was made"},
    {0},
};

struct outcome {
    bool database_created, key_created;
    int from, to;
};

/* A new key beside a catalog that holds secrets would make all of them unreadable. */
static int check_empty(const struct config *config, struct error *err)
{
    _cleanup_catalog_ struct catalog *catalog = NULL;
    struct catalog_status status = {0};
    int64_t tenants = 0;
    int result = catalog_open(config->control, &catalog, err);
    if (result == 0)
        result = catalog_status_get(catalog, &status, err);
    if (result < 0)
        return result;
    for (size_t i = 0; i < array_size(status.tenants); i++)
        tenants += status.tenants[i];
    if (status.clusters == 0 && tenants == 0)
        return 0;
    result = error_set(err, ERROR_STATE,
                       "the key file %s is not there, and the catalog is in use already",
                       config->key_file);
    error_hint(err, "copy the key file that the catalog was made with to that path; without it the "
                    "secrets in the catalog cannot be read");
    return result;
}

static int make_key(const struct config *config, bool *ret_created, struct error *err)
{
    uint8_t key[CRYPTO_KEY_SIZE];
    if (access(config->key_file, F_OK) == 0) {
        int found = crypto_key_file_read(config->key_file, key, err);
        crypto_wipe(key, sizeof(key));
        return found;
    }
    int result = check_empty(config, err);
    if (result == 0)
        result = crypto_key_file_create(config->key_file, err);
    *ret_created = result == 0;
    return result;
}

static void print_outcome(struct cli *cli, const struct config *config,
                          const struct outcome *outcome)
{
    const char *server = pg_conninfo_describe(&cli->arena, config->control);
    const char *catalog = arena_printf(&cli->arena, "is at version %d already", outcome->to);
    if (outcome->from == 0)
        catalog = arena_printf(&cli->arena, "is made, at version %d", outcome->to);
    else if (outcome->from < outcome->to)
        catalog = arena_printf(&cli->arena, "is brought from version %d to %d", outcome->from,
                               outcome->to);
    output_done(
        cli,
        json_pack("{s:s, s:s, s:b, s:i, s:i, s:s, s:b}", "config", config->path, "control", server,
                  "database_created", outcome->database_created, "from_version", outcome->from,
                  "version", outcome->to, "key_file", config->key_file, "key_created",
                  outcome->key_created),
        "The control database on %s %s; the catalog in it %s.\n"
        "The key file %s %s.\n"
        "  next: reeve cluster add NAME --conninfo CONNINFO\n"
        "        reeve serve --config %s",
        server, outcome->database_created ? "is made" : "is there", catalog, config->key_file,
        outcome->key_created ? "is made: back it up, without it the catalog's secrets are lost"
                             : "is there already",
        config->path);
}

static int run(struct cli *cli, struct error *err)
{
    struct config config;
    struct outcome outcome = {0};
    int result = context_config(cli, &config, err);
    if (result == 0)
        result = catalog_create_database(config.control, &outcome.database_created, err);
    if (result == 0)
        result = catalog_upgrade(config.control, &outcome.from, &outcome.to, err);
    if (result == 0)
        result = make_key(&config, &outcome.key_created, err);
    if (result == 0)
        print_outcome(cli, &config, &outcome);
    return result;
}

static const char *const examples[] = {"reeve init --config /etc/reeve/reeve.conf", NULL};

static const struct cli_command commands[] = {
    {.summary = "Make the control database, its catalog and the key file",
     .description =
         "Makes what is not there: the database that the setting control names (as its user, who "
         "may then create databases), the catalog in it, and the key file. A catalog of an older "
         "Reeve is upgraded. Safe to run again; nothing that is there is replaced.",
     .fields = fields,
     .examples = examples,
     .run = run},
    {0},
};

const struct cli_noun cli_noun_init = {
    .name = "init",
    .summary = "Make the control database, its catalog and the key file",
    .commands = commands};
