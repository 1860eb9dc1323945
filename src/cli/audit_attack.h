/*
 * audit_attack.h - `reeve audit --attack` and `reeve audit --verify FILE`: the attack suite
 * (attack/) and its signed reports.
 */
#ifndef CLI_AUDIT_ATTACK_H
#define CLI_AUDIT_ATTACK_H

#include "cli/cli.h"

/* For the table of the command, which also has --service NAME. */
#define AUDIT_ATTACK_OPTIONS                                                                       \
    {.name = "attack",                                                                             \
     .kind = CLI_FLAG,                                                                             \
     .help = "run the attack suite on the live system, with two throwaway tenants"},               \
        {.name = "isolation",                                                                      \
         .value = "MODE,...",                                                                      \
         .kind = CLI_CHOICES,                                                                      \
         .choice = cli_isolation_choice,                                                           \
         .fallback = "those in use",                                                               \
         .help = "what the suite attacks, of services that allow it"},                             \
        {.name = "endpoint",                                                                       \
         .value = "HOST:PORT",                                                                     \
         .kind = CLI_TEXT,                                                                         \
         .fallback = "the first that the configuration listens on",                                \
         .help = "where the suite connects; a Unix socket as FOLDER:PORT"},                        \
        {.name = "output",                                                                         \
         .value = "FILE",                                                                          \
         .kind = CLI_FILE,                                                                         \
         .fallback = "standard output",                                                            \
         .help = "where the suite's report is written"},                                           \
    {                                                                                              \
        .name = "verify", .value = "FILE", .kind = CLI_FILE,                                       \
        .help = "check the signature of a report of the suite with the key file, and nothing else" \
    }

/* What --json of the suite's report has besides `counts`; docs/attack.md says more. */
#define AUDIT_ATTACK_FIELDS                                                                        \
    {.key = "format", .kind = OUTPUT_NUMBER, .help = "--attack: of the report, 1"},                \
        {.key = "reeve", .kind = OUTPUT_TEXT, .help = "--attack: the version that attacked"},      \
        {.key = "started_at", .kind = OUTPUT_TIME, .help = "--attack: when it began"},             \
        {.key = "ended_at", .kind = OUTPUT_TIME, .help = "--attack: when it ended"},               \
        {.key = "endpoint", .kind = OUTPUT_TEXT, .help = "--attack: where it connected"},          \
        {.key = "clusters",                                                                        \
         .kind = OUTPUT_LIST,                                                                      \
         .help = "--attack: name and server_version of each"},                                     \
        {.key = "targets",                                                                         \
         .kind = OUTPUT_LIST,                                                                      \
         .help = "--attack: an object a service, isolation, cluster and enforcement, with its "    \
                 "attacks: id, "                                                                   \
                 "threat, title, verdict (PASS, FINDING, RESIDUAL, SKIPPED), tried, back, why"},   \
        {.key = "not_removed",                                                                     \
         .kind = OUTPUT_TEXT,                                                                      \
         .help = "--attack: why throwaway tenants are still there; null: they are gone"},          \
        {.key = "signature",                                                                       \
         .kind = OUTPUT_TEXT,                                                                      \
         .help = "--attack: of all bytes in front of its line, under the key file's key"},         \
        {.key = "verified",                                                                        \
         .kind = OUTPUT_TEXT,                                                                      \
         .help = "--verify: the report whose signature is good"},                                  \
    {                                                                                              \
        .key = "bytes", .kind = OUTPUT_NUMBER, .help = "--verify: how long it is"                  \
    }

/* Runs what --attack or --verify asks for. ERROR_ATTACKED when an attack got through; ERROR_INVALID
 * when a signature is not good. */
int audit_attack_command(struct cli *cli, struct error *err);

#endif
