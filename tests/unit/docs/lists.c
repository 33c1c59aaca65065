/* SPDX-License-Identifier: Apache-2.0 */
/* docs/operations.md names every drop reason, counter, configuration key and limit, as the code
 * does. */
#include "control/config.h"
#include "control/http.h"
#include "control/yaml_reader.h"
#include "dataplane/dataplane.h"
#include "dataplane/drops.h"
#include "crypto/note.h"
#include "crypto/seal.h"
#include "dataplane/records.h"
#include "ledger/head.h"
#include "ledger/store.h"
#include "ledger/vault.h"
#include "tests/unit/docs/page.h"

#include <ctype.h>
#include <stdarg.h>

#define PAGE "docs/operations.md"
#define END  "<!-- end -->"

static char table[1u << 16];

static void row(const char *format, ...) __attribute__((format(printf, 1, 2)));

static void
row(const char *format, ...)
{
        size_t n = strlen(table);
        va_list args;

        va_start(args, format);
        vsnprintf(table + n, sizeof(table) - n, format, args);
        va_end(args);
        cr_assert(strlen(table) < sizeof(table) - 1);
}

Test(lists, drop_reasons)
{
        row("| reason | what happened |\n|---|---|\n");
        for (unsigned i = DROP_NONE + 1; i < DROP_REASON_COUNT; i++)
                row("| `%s` | %s |\n", drop_metric(i), drop_text(i));
        page_expect(PAGE, "<!-- drops -->", END, table);
}

Test(lists, counters)
{
        row("| counter | what it counts |\n|---|---|\n");
#define X(name, help) row("| `%s` | %s |\n", #name, help);
        COUNTERS(X)
#undef X
        page_expect(PAGE, "<!-- counters -->", END, table);
}

/* ---- limits ---- */

static const struct {
        const char *name;
        uint64_t value;
        const char *text;
} limits[] = {
#define LIMIT(name, text)                                                                          \
        {                                                                                          \
#name, name, text                                                                  \
        }
    /* dataplane/limits.h, all of it. */
    LIMIT(WORKERS_MAX, "workers (polling threads)"),
    LIMIT(PORTS_MAX, "ports"),
    LIMIT(QUEUES_MAX, "queues a port"),
    LIMIT(WALK_PACKETS_MAX, "packets one graph walk takes in, all sources together"),
    LIMIT(PORT_BURST_MAX, "packets of one queue in a walk"),
    LIMIT(STRAY_SHARE_MAX, "packets of other workers in a walk"),
    LIMIT(STRAY_RING_SLOTS, "slots of the ring between a pair of workers; full: `stray_ring_full`"),
    LIMIT(COMMIT_RING_SLOTS,
        "descriptors on their way to the ledger writer, a worker; full: `ring_full`"),
    LIMIT(RECEIPT_RING_SLOTS,
        "receipts on their way back, a worker; as many as pending slots, so never full"),
    LIMIT(PENDING_SLOTS, "requests between commit and receipt, a worker; full: `pending_full`"),
    LIMIT(RECEIPT_BURST_MAX, "receipts one walk takes"),
    LIMIT(CONTEXT_RECEIPTS, "last receipts kept a device, for its retransmissions"),
    LIMIT(REPLAY_WINDOW_BITS, "width of a replay window; older: `oscore_replay`"),
    LIMIT(DEVICES_MAX, "devices"),
    LIMIT(PATIENTS_MAX, "patients"),
    LIMIT(DEVICE_NAME_MAX, "bytes of a device's name"),
    LIMIT(MAX_AGE_BUSY_S, "seconds of Max-Age in a 5.03"),
    LIMIT(COAP_REQUEST_MAX, "bytes of a request's UDP payload"),
    /* Of other headers. */
    LIMIT(PENDING_CONTEXT_MAX, "pending requests of one device"),
    LIMIT(ERROR_REPLIES_PER_S,
        "unprotected error replies a second and worker; more: `rate_limited_error`"),
    LIMIT(CHALLENGES_PER_S, "Echo challenges a second and worker; more: `rate_limited_error`"),
    LIMIT(SEAL_PAYLOAD_MAX, "bytes of a SenML pack; more: 4.13 with Size1"),
    LIMIT(GROUP_RECORDS_MAX, "records of a group"),
    LIMIT(GROUP_BYTES_MAX, "bytes of a group on disk"),
    LIMIT(STORE_SLOTS_MAX, "entries of the registry: devices, removed ones too, and patients"),
    LIMIT(BOOT_EPOCH_MAX, "starts of a state"),
    LIMIT(NOTE_NAME_BYTES_MAX, "bytes of the log's origin"),
    LIMIT(YAML_FILE_BYTES_MAX, "bytes of the configuration"),
    LIMIT(HTTP_CONNECTIONS_MAX, "HTTP connections; more are closed"),
    LIMIT(HTTP_CONNECTIONS_PER_IP_MAX, "HTTP connections of one address"),
    LIMIT(HTTP_CONNECTION_BYTES_MAX, "bytes of an HTTP request's line and headers; more are 4xx"),
    LIMIT(HTTP_IDLE_S, "seconds that a silent HTTP connection is kept"),
    LIMIT(HTTP_METRICS_BYTES_MAX, "bytes of `/metrics`"),
};
#define LIMITS (sizeof(limits) / sizeof(limits[0]))

Test(lists, limits)
{
        char *header = page_read("dataplane/limits.h"), name[64];
        unsigned found = 0;

        row("| limit | value | of what |\n|---|---|---|\n");
        for (unsigned i = 0; i < LIMITS; i++)
                row("| `%s` | %lu | %s |\n", limits[i].name, (unsigned long)limits[i].value,
                    limits[i].text);
        page_expect(PAGE, "<!-- limits -->", END, table);

        /* None of limits.h is missing above. */
        for (const char *at = header; (at = strstr(at, "\n#define ")) != NULL; at++) {
                bool listed = false;

                cr_assert_eq(sscanf(at, "\n#define %63s", name), 1);
                if (strcmp(name, "AORTA_DATAPLANE_LIMITS_H") == 0)
                        continue;
                for (unsigned i = 0; i < LIMITS; i++)
                        listed = listed || strcmp(name, limits[i].name) == 0;
                cr_expect(listed, "%s of limits.h is not in this test's list", name);
                found++;
        }
        cr_expect_gt(found, 10);
        free(header);
}

/* ---- configuration ---- */

#define CONFIG_MINIMAL "dataplane:\n  ports:\n    - device: net_null0\n"

struct config_row {
        char key[64];
        char standard[128]; /* the default, or "" */
        uint64_t low, high; /* low > high: no range of numbers */
};

/* The page's table of keys: | `key` | `default` or — | range | meaning | */
static unsigned
config_rows(struct config_row *rows, unsigned rows_max)
{
        char *text = page_read(PAGE);
        size_t bytes;
        const char *at = page_block(text, "<!-- configuration -->", END, &bytes), *end = at + bytes;
        unsigned n = 0;

        while (at < end) {
                struct config_row *one = &rows[n];
                char standard[128] = "", range[128] = "";

                if (sscanf(at, "| `%63[^`]` | %127[^|]| %127[^|]|", one->key, standard, range) ==
                    3) {
                        one->standard[0] = '\0';
                        (void)sscanf(standard, "`%127[^`]`", one->standard);
                        one->low = 1;
                        one->high = 0;
                        if (sscanf(range, "%lu to %lu", &one->low, &one->high) != 2) {
                                one->low = 1;
                                one->high = 0;
                        }
                        cr_assert_lt(++n, rows_max);
                }
                at = strchr(at, '\n') + 1;
        }
        free(text);
        return n;
}

/* The keys of control/config.c's tables, by their functions. */
static unsigned
config_keys(char keys[][64], unsigned keys_max)
{
        static const struct {
                const char *function, *prefix;
        } sections[] = {
            {"read_root(", ""},
            {"read_keys(", "keys."},
            {"read_dataplane(", "dataplane."},
            {"read_port(", "dataplane.ports[]."},
            {"read_network(", "network."},
            {"read_ledger(", "ledger."},
            {"read_control(", "control."},
            {"read_http(", "http."},
        };
        char *source = page_read("control/config.c"), name[64], reader[64];
        const char *prefix = NULL;
        unsigned n = 0;

        for (char *line = strtok(source, "\n"); line != NULL; line = strtok(NULL, "\n")) {
                if (!isspace((unsigned char)line[0]) && strchr(line, '(') != NULL) {
                        prefix = NULL;
                        for (unsigned i = 0; i < sizeof(sections) / sizeof(sections[0]); i++)
                                if (strncmp(line, sections[i].function,
                                        strlen(sections[i].function)) == 0)
                                        prefix = sections[i].prefix;
                }
                line += strspn(line, " ");
                reader[0] = '\0';
                if (sscanf(line, "U32(\"%63[a-z0-9_]\",", name) != 1 &&
                    sscanf(line, "{\"%63[a-z0-9_]\", %63[a-z0-9_]", name, reader) != 2)
                        continue;
                cr_assert_not_null(
                    prefix, "a table of config.c that this test does not know: %s", name);
                /* What only holds others. */
                bool holds = false;
                for (unsigned i = 0; i < sizeof(sections) / sizeof(sections[0]); i++)
                        holds =
                            holds || (strncmp(sections[i].function, reader, strlen(reader)) == 0 &&
                                         reader[0] != '\0');
                if (holds || strcmp(reader, "read_ports") == 0)
                        continue;
                snprintf(keys[n], 64, "%s%s", prefix, name);
                cr_assert_lt(++n, keys_max);
        }
        free(source);
        return n;
}

/* The smallest configuration with one key more. */
static int
load_with(struct config *config, const char *key, const char *value)
{
        char text[512], why[CONFIG_WHY_BYTES], section[64] = "";
        const char *dot = strrchr(key, '.');

        if (dot == NULL)
                snprintf(text, sizeof(text), "%s: %s\n" CONFIG_MINIMAL, key, value);
        else if (strncmp(key, "dataplane.ports[].", 18) == 0)
                snprintf(text, sizeof(text), CONFIG_MINIMAL "      %s: %s\n", dot + 1, value);
        else if (strncmp(key, "dataplane.", 10) == 0)
                snprintf(text, sizeof(text), CONFIG_MINIMAL "  %s: %s\n", dot + 1, value);
        else {
                memcpy(section, key, (size_t)(dot - key));
                snprintf(
                    text, sizeof(text), CONFIG_MINIMAL "%s:\n  %s: %s\n", section, dot + 1, value);
        }
        return config_load_text(config, text, strlen(text), "text", "/", why);
}

Test(lists, configuration_keys)
{
        static struct config_row rows[64];
        static char keys[64][64];
        unsigned rows_n = config_rows(rows, 64), keys_n = config_keys(keys, 64);

        cr_assert_gt(keys_n, 20);
        cr_expect_eq(rows_n, keys_n, "%u rows for %u keys", rows_n, keys_n);
        for (unsigned k = 0; k < keys_n; k++) {
                bool listed = false;

                for (unsigned i = 0; i < rows_n; i++)
                        listed = listed || strcmp(rows[i].key, keys[k]) == 0;
                cr_expect(listed, "%s names no key %s", PAGE, keys[k]);
        }
}

/* A key set to its default changes nothing; a number's range ends where the page says. */
Test(lists, configuration_values)
{
        static struct config_row rows[64];
        static struct config plain, with;
        unsigned rows_n = config_rows(rows, 64), ranges = 0, defaults = 0;
        char why[CONFIG_WHY_BYTES], value[32];

        cr_assert_eq(
            config_load_text(&plain, CONFIG_MINIMAL, strlen(CONFIG_MINIMAL), "text", "/", why), 0,
            "%s", why);
        for (unsigned i = 0; i < rows_n; i++) {
                const struct config_row *one = &rows[i];

                if (one->standard[0] != '\0') {
                        cr_expect_eq(load_with(&with, one->key, one->standard), 0, "%s", one->key);
                        cr_expect_eq(memcmp(&with, &plain, sizeof(plain)), 0,
                            "%s: %s is not the default", one->key, one->standard);
                        defaults++;
                }
                if (one->low > one->high)
                        continue;
                ranges++;
                for (int side = -1; side <= 1; side += 2) {
                        uint64_t edge = side < 0 ? one->low : one->high;

                        snprintf(value, sizeof(value), "%lu", edge);
                        cr_expect_eq(
                            load_with(&with, one->key, value), 0, "%s: %s", one->key, value);
                        if (edge == 0)
                                continue;
                        snprintf(value, sizeof(value), "%lu", edge + (uint64_t)(int64_t)side);
                        cr_expect_neq(
                            load_with(&with, one->key, value), 0, "%s: %s", one->key, value);
                }
        }
        cr_expect_gt(ranges, 10);
        cr_expect_gt(defaults, 15);
}
