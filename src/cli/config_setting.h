/*
 * config_setting.h - the table of settings, which the file's reader and its reference are made
 * from.
 */
#ifndef CLI_CONFIG_SETTING_H
#define CLI_CONFIG_SETTING_H

#include "cli/config.h"

enum { CONFIG_SETTINGS_MAX = 64 };

enum setting_kind {
    SETTING_LISTEN,  /* may be repeated */
    SETTING_ADDRESS, /* TCP, with its port, or "off" */
    SETTING_CONNINFO,
    SETTING_PATH,
    SETTING_NUMBER,
    SETTING_WORKERS,
    SETTING_DURATION,
    SETTING_SIZE,
    SETTING_BOOLEAN,
    SETTING_CHOICE,
    SETTING_CHECKED,
};

struct setting {
    const char *key;
    size_t offset;
    int64_t minimum, maximum;
    const char *const *choices; /* their index is the value */
    int (*check)(const char *value, struct error *err);
    const char *fallback; /* as it would stand in the file; NULL: nothing */
    const char *value;
    const char *help;
    enum setting_kind kind;
    bool required;
    bool restart; /* SIGHUP does not change it */
};

extern const struct setting config_settings[];
extern const size_t config_setting_count;

#endif
