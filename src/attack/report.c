#include "attack/report.h"

#include <jansson.h>

#include "auth/token.h"
#include "base/str.h"
#include "base/time.h"

enum { REPORT_FORMAT = 1, HEX_SIZE = 2 * CRYPTO_SHA256_SIZE + 1 };

static const char text_mark[] = "signature: ";
static const char json_mark[] = "  \"signature\": \"";
static const char json_end[] = "\"\n}\n";
static const char method[] = "hmac-sha256 ";

/* ---- for people ---- */

/* What servers and tenants say stays on its line: nothing in it can be taken for one of ours. */
static void put_line(struct buffer *out, const char *label, const char *text)
{
    buffer_append_string(out, label);
    buffer_append_escaped(out, text, false);
    buffer_append_byte(out, '\n');
}

static void put_result(struct buffer *out, const struct attack_result *result)
{
    buffer_printf(out, "\n%-8s  %s (%d): %s\n", attack_verdict_name(result->verdict), result->id,
                  result->threat, result->title);
    if (*result->tried)
        put_line(out, "    tried: ", result->tried);
    if (*result->back)
        put_line(out, "    back:  ", result->back);
    if (result->why)
        put_line(out, "    why:   ", result->why);
}

static void put_target(struct buffer *out, const struct attack_target *target)
{
    buffer_printf(out,
                  "\n== service %s, isolation %s, cluster %s, enforcement %s\n"
                  "placements in it: %lld\nattacker: %s\nvictim: %s\n"
                  "server sessions shared by both: %s\n",
                  target->service, target->isolation, target->cluster, target->enforcement,
                  (long long)target->placements, target->attacker, target->victim,
                  target->shares_sessions ? "yes" : "no");
    if (target->database)
        put_line(out, "shared database: ", target->database);
    put_line(out, "tables with rows to steal: ", *target->filled ? target->filled : "none");
    put_line(out, "tables that took no row: ", *target->unfilled ? target->unfilled : "none");
    for (size_t i = 0; i < target->count; i++)
        put_result(out, &target->results[i]);
}

/* The worst once more, at the end, where it is looked for. */
static void put_findings(struct buffer *out, const struct attack_report *report)
{
    for (size_t i = 0; i < report->target_count; i++) {
        const struct attack_target *target = &report->targets[i];
        for (size_t k = 0; k < target->count; k++)
            if (target->results[k].verdict == ATTACK_FINDING)
                buffer_printf(out, "finding: %s (%s, %s, %s)\n", target->results[k].id,
                              target->service, target->isolation, target->cluster);
    }
}

static void put_text(struct buffer *out, const struct attack_report *report)
{
    char started[TIME_TEXT_SIZE], ended[TIME_TEXT_SIZE];
    time_format(report->started_unix_us, started);
    time_format(report->ended_unix_us, ended);
    buffer_printf(out,
                  "Reeve attack report\nformat: %d\nreeve: %s\nstarted: %s\nended: %s\n"
                  "endpoint: %s\n",
                  REPORT_FORMAT, REEVE_VERSION, started, ended, report->endpoint);
    for (size_t i = 0; i < report->cluster_count; i++) {
        buffer_printf(out, "cluster: %s, ", report->clusters[i].name);
        put_line(out, "PostgreSQL ", report->clusters[i].version);
    }
    for (size_t i = 0; i < report->target_count; i++)
        put_target(out, &report->targets[i]);
    buffer_append_string(out, "\n== end\n");
    put_findings(out, report);
    put_line(out, "throwaway tenants: ", report->not_removed ? report->not_removed : "removed");
    buffer_append_string(out, "counts:");
    for (int i = 0; i < ATTACK_VERDICTS; i++)
        buffer_printf(out, "%s %s %zu", i > 0 ? "," : "",
                      attack_verdict_name((enum attack_verdict)i), report->counts[i]);
    buffer_append_byte(out, '\n');
}

/* ---- JSON ---- */

static json_t *text_value(const char *text)
{
    json_t *value = text ? json_string(text) : json_null();
    return value ? value : json_string("(not UTF-8)");
}

static void set_text(json_t *object, const char *key, const char *text)
{
    json_object_set_new(object, key, text_value(text));
}

static json_t *result_json(const struct attack_result *result)
{
    json_t *object = json_object();
    set_text(object, "id", result->id);
    json_object_set_new(object, "threat", json_integer(result->threat));
    set_text(object, "title", result->title);
    set_text(object, "verdict", attack_verdict_name(result->verdict));
    set_text(object, "tried", result->tried);
    set_text(object, "back", result->back);
    set_text(object, "why", result->why);
    return object;
}

static json_t *target_json(const struct attack_target *target)
{
    json_t *object = json_object(), *results = json_array();
    set_text(object, "service", target->service);
    set_text(object, "isolation", target->isolation);
    set_text(object, "cluster", target->cluster);
    set_text(object, "database", target->database);
    set_text(object, "enforcement", target->enforcement);
    json_object_set_new(object, "placements", json_integer(target->placements));
    set_text(object, "attacker", target->attacker);
    set_text(object, "victim", target->victim);
    json_object_set_new(object, "shares_sessions", json_boolean(target->shares_sessions));
    set_text(object, "filled", target->filled);
    set_text(object, "unfilled", target->unfilled);
    for (size_t i = 0; i < target->count; i++)
        json_array_append_new(results, result_json(&target->results[i]));
    json_object_set_new(object, "attacks", results);
    return object;
}

static json_t *report_json(const struct attack_report *report)
{
    char started[TIME_TEXT_SIZE], ended[TIME_TEXT_SIZE];
    json_t *object = json_object(), *clusters = json_array(), *targets = json_array();
    json_t *counts = json_object();
    time_format(report->started_unix_us, started);
    time_format(report->ended_unix_us, ended);
    json_object_set_new(object, "format", json_integer(REPORT_FORMAT));
    set_text(object, "reeve", REEVE_VERSION);
    set_text(object, "started_at", started);
    set_text(object, "ended_at", ended);
    set_text(object, "endpoint", report->endpoint);
    for (size_t i = 0; i < report->cluster_count; i++)
        json_array_append_new(clusters, json_pack("{s:s, s:s}", "name", report->clusters[i].name,
                                                  "server_version", report->clusters[i].version));
    json_object_set_new(object, "clusters", clusters);
    for (size_t i = 0; i < report->target_count; i++)
        json_array_append_new(targets, target_json(&report->targets[i]));
    json_object_set_new(object, "targets", targets);
    set_text(object, "not_removed", report->not_removed);
    for (int i = 0; i < ATTACK_VERDICTS; i++)
        json_object_set_new(counts, attack_verdict_name((enum attack_verdict)i),
                            json_integer((json_int_t)report->counts[i]));
    json_object_set_new(object, "counts", counts);
    return object;
}

/* All but the closing brace: the signature comes in front of it. */
static void put_json(struct buffer *out, const struct attack_report *report)
{
    json_t *object = report_json(report);
    _cleanup_free_ char *text = json_dumps(object, JSON_INDENT(2) | JSON_PRESERVE_ORDER);
    json_decref(object);
    size_t length = text ? strlen(text) : 0;
    if (length < 2)
        return;
    buffer_append(out, text, length - 2); /* "\n}" */
    buffer_append_string(out, ",\n");
}

/* ---- the signature ---- */

static void sign(const uint8_t master_key[CRYPTO_KEY_SIZE], const char *bytes, size_t length,
                 char ret[HEX_SIZE])
{
    uint8_t key[CRYPTO_KEY_SIZE], mac[CRYPTO_SHA256_SIZE];
    auth_derive_key(master_key, ATTACK_REPORT_KEY_LABEL, key);
    crypto_hmac_sha256(key, sizeof(key), bytes, length, mac);
    crypto_wipe(key, sizeof(key));
    str_hex(mac, sizeof(mac), ret);
}

int attack_report_write(const struct attack_report *report, bool json,
                        const uint8_t master_key[CRYPTO_KEY_SIZE], struct buffer *ret,
                        struct error *err)
{
    char hex[HEX_SIZE];
    _cleanup_buffer_ struct buffer out = BUFFER_INIT(ret->maximum);
    if (json)
        put_json(&out, report);
    else
        put_text(&out, report);
    sign(master_key, buffer_string(&out), out.length, hex);
    buffer_printf(&out, "%s%s%s%s", json ? json_mark : text_mark, method, hex,
                  json ? json_end : "\n");
    if (out.failed || buffer_append(ret, buffer_string(&out), out.length) < 0)
        return error_set(err, ERROR_LIMIT, "the report is too long");
    return 0;
}

/* Where the report ends whose signature stands in the last line, with `end` behind it; NULL when it
 * does not. */
static const char *find_signature(const char *bytes, size_t length, const char *mark,
                                  const char *end)
{
    size_t tail = strlen(mark) + strlen(method) + HEX_SIZE - 1 + strlen(end);
    if (length <= tail)
        return NULL;
    const char *at = bytes + length - tail;
    bool good = at[-1] == '\n' && memcmp(at, mark, strlen(mark)) == 0 &&
                memcmp(at + strlen(mark), method, strlen(method)) == 0 &&
                memcmp(bytes + length - strlen(end), end, strlen(end)) == 0;
    return good ? at : NULL;
}

int attack_report_verify(const char *bytes, size_t length,
                         const uint8_t master_key[CRYPTO_KEY_SIZE], struct error *err)
{
    char hex[HEX_SIZE];
    const char *mark = text_mark;
    const char *at = find_signature(bytes, length, text_mark, "\n");
    if (!at) {
        mark = json_mark;
        at = find_signature(bytes, length, json_mark, json_end);
    }
    if (!at) {
        int result = error_set(err, ERROR_INVALID, "the report does not end with a signature");
        error_hint(err, "it must be as it was written, to the last byte");
        return result;
    }
    sign(master_key, bytes, (size_t)(at - bytes), hex);
    if (crypto_equal(at + strlen(mark) + strlen(method), hex, HEX_SIZE - 1))
        return 0;
    int result = error_set(err, ERROR_INVALID, "the signature is not that of this report");
    error_hint(err, "the report was changed, or was signed with the key of another Reeve");
    return result;
}
