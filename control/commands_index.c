/* SPDX-License-Identifier: Apache-2.0 */
/* Finding records by patient and time, and the index itself. */
#include "control/commands.h"

#include "control/indexer.h"
#include "control/record_open.h"
#include "control/registry.h"
#include "ledger/vault.h"

#include <errno.h>
#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CODE_BYTES_MAX 63u

static const char *
state_name(enum indexer_state state)
{
        switch (state) {
        case INDEXER_FOLLOWING:
                return "following";
        case INDEXER_REBUILDING:
                return "rebuilding";
        default:
                return "stopped";
        }
}

static void
set_number(json_t *object, const char *name, uint64_t number)
{
        json_object_set_new(object, name, json_integer((json_int_t)number));
}

/* One sentence on what is wrong with it; "" for nothing. */
static void
what_is_wrong(const struct daemon *daemon, const struct indexer_stats *stats, char *why)
{
        why[0] = '\0';
        if (stats->error == ENOSPC)
                snprintf(why, COMMAND_WHY_BYTES,
                    "no space under %s (ledger.reserve_mib is kept for the records): free some, "
                    "and it goes on",
                    daemon->config.state);
        else if (stats->error != 0)
                snprintf(why, COMMAND_WHY_BYTES,
                    "%s: check the disk under %s and the vault's; it is tried again by itself",
                    strerror(stats->error), daemon->config.state);
        else if (stats->unknown > 0)
                snprintf(why, COMMAND_WHY_BYTES,
                    "%" PRIu64 " records are of devices that the registry does not know, and "
                    "cannot be found",
                    stats->unknown);
}

json_t *
command_index_json(struct daemon *daemon)
{
        json_t *json = json_object();
        struct indexer_stats stats;
        char why[COMMAND_WHY_BYTES];

        if (daemon->indexer == NULL) {
                json_object_set_new(json, "state", json_string("off"));
                return json;
        }
        indexer_stats(daemon->indexer, &stats);
        what_is_wrong(daemon, &stats, why);
        json_object_set_new(json, "state", json_string(state_name(stats.state)));
        json_object_set_new(json, "why", json_string(why));
        set_number(json, "leaves", stats.leaves);
        set_number(json, "covered", stats.covered);
        set_number(json, "lag", stats.leaves - stats.covered);
        set_number(json, "added", stats.added);
        set_number(json, "from_vault", stats.from_vault);
        set_number(json, "unknown", stats.unknown);
        set_number(json, "rebuilds", stats.rebuilds);
        set_number(json, "batches", stats.batches);
        set_number(json, "batch_us_max", stats.batch_us_max);
        return json;
}

static int
need_index(const struct daemon *daemon, struct reply *reply)
{
        if (daemon->indexer != NULL)
                return 0;
        return command_fail(reply, -EOPNOTSUPP,
            "there is no index: set ledger.index: true in the configuration, and restart aortad");
}

int
command_index_status(struct daemon *daemon, json_t *request, struct reply *reply)
{
        json_object_set_new(reply->json, "index", command_index_json(daemon));
        return 0;
}

int
command_index_rebuild(struct daemon *daemon, json_t *request, struct reply *reply)
{
        int rc = need_index(daemon, reply);

        if (rc != 0)
                return rc;
        indexer_rebuild(daemon->indexer);
        return command_index_status(daemon, request, reply);
}

/* ---- find ---- */

struct search {
        uint32_t patient_slot;
        struct index_query query;
        uint64_t limit;
        const char *code; /* NULL: any */
};

static int
read_search(struct daemon *daemon, json_t *request, struct reply *reply, struct search *search)
{
        struct index_query *query = &search->query;
        const char *patient;
        int rc = command_required_text(request, reply, "patient", &patient);

        if (rc == 0)
                rc = command_text(request, reply, "code", &search->code);
        if (rc == 0 && search->code != NULL &&
            (search->code[0] == '\0' || strlen(search->code) > CODE_BYTES_MAX))
                rc = command_fail(reply, -EINVAL, "code must be a LOINC code, like 8867-4");
        if (rc == 0)
                rc = command_number(request, reply, "from_ns", 0, INT64_MAX, 0, &query->from_ns);
        if (rc == 0)
                rc = command_number(
                    request, reply, "to_ns", 0, INT64_MAX, UINT64_MAX, &query->to_ns);
        if (rc == 0)
                rc = command_number(request, reply, "before_ns", 0, INT64_MAX, UINT64_MAX,
                    &query->before.received_ns);
        if (rc == 0)
                rc = command_number(
                    request, reply, "before_leaf", 0, INT64_MAX, UINT64_MAX, &query->before.leaf);
        if (rc == 0)
                rc = command_number(
                    request, reply, "limit", 1, COMMAND_FIND_MAX, COMMAND_FIND_MAX, &search->limit);
        if (rc != 0)
                return rc;
        if (registry_find_patient(daemon->registry, patient, &search->patient_slot) != 0)
                return command_fail(reply, -ENOENT,
                    "no patient of that name: `aortactl device list` shows whose devices are "
                    "enrolled");
        indexer_patient(daemon->realm_key, search->patient_slot, query->patient);
        return 0;
}

/* The code of a SenML name is what follows its last ':' or '/'. */
static bool
has_code(const json_t *record, const char *code)
{
        const json_t *value;
        size_t i;

        json_array_foreach(json_object_get(record, "vitals"), i, value)
        {
                const char *name = json_string_value(json_object_get(value, "name"));
                size_t start = name != NULL ? strlen(name) : 0;

                while (start > 0 && name[start - 1] != ':' && name[start - 1] != '/')
                        start--;
                if (name != NULL && strcmp(name + start, code) == 0)
                        return true;
        }
        return false;
}

static int
open_hit(struct daemon *daemon, const struct search *search, uint64_t leaf, json_t *json,
    char **senml, char *why)
{
        uint8_t sealed[SEAL_BYTES_MAX], digest[HASH_BYTES];
        struct opened_record opened;
        uint32_t sealed_bytes = 0;
        int rc = vault_read_leaf(daemon->vault, leaf, sealed, &sealed_bytes, digest);

        if (rc != 0) {
                snprintf(why, COMMAND_WHY_BYTES,
                    "leaf %" PRIu64 " cannot be read from %s: %s; check the disk", leaf,
                    daemon->config.volume, strerror(-rc));
                return rc;
        }
        rc = record_open(daemon, leaf, sealed, sealed_bytes, digest, &opened, why);
        if (rc != 0)
                return rc;
        if (opened.device.patient_slot != search->patient_slot) {
                snprintf(why, COMMAND_WHY_BYTES,
                    "leaf %" PRIu64 " is another patient's: the index is wrong; make it anew "
                    "(aortactl index rebuild)",
                    leaf);
                rc = -EBADMSG;
        } else {
                rc = record_show(daemon, leaf, sealed_bytes, digest, &opened, json, senml, why);
        }
        sodium_memzero(opened.plain, sizeof(opened.plain));
        return rc;
}

/* A record as the text of its JSON, so that the decimal numbers in its SenML stay as they were
 * written; one that cannot be opened with its error. NULL: not of the code. */
static json_t *
hit_json(struct daemon *daemon, const struct search *search, uint64_t leaf)
{
        char why[COMMAND_WHY_BYTES] = "", *senml = NULL, *text = NULL, *whole = NULL;
        json_t *json = json_object(), *shown = NULL;
        int rc = open_hit(daemon, search, leaf, json, &senml, why);

        if (rc != 0) {
                json_object_clear(json);
                set_number(json, "leaf", leaf);
                json_object_set_new(
                    json, "error", json_string(why[0] != '\0' ? why : strerror(-rc)));
        }
        if (rc != 0 || search->code == NULL || has_code(json, search->code)) {
                text = json_dumps(json, JSON_COMPACT | JSON_ENSURE_ASCII);
                if (text != NULL && senml != NULL) {
                        text[strlen(text) - 1] = '\0'; /* its closing brace */
                        if (asprintf(&whole, "%s,\"senml\":%s}", text, senml) < 0)
                                whole = NULL;
                }
                shown = json_string(senml == NULL ? text : whole);
        }
        if (text != NULL)
                explicit_bzero(text, strlen(text));
        if (whole != NULL)
                explicit_bzero(whole, strlen(whole));
        if (senml != NULL)
                explicit_bzero(senml, strlen(senml));
        free(text);
        free(whole);
        free(senml);
        json_decref(json);
        return shown;
}

/* Why nothing can be looked up. */
static int
cannot_find(struct daemon *daemon, long error, struct reply *reply)
{
        struct indexer_stats stats;

        indexer_stats(daemon->indexer, &stats);
        if (error == -EAGAIN)
                return command_fail(reply, -EAGAIN, "the index is not open%s%s: try again soon",
                    stats.error != 0 ? ": " : "", stats.error != 0 ? strerror(stats.error) : "");
        return command_fail(reply, (int)error,
            "the index cannot be read (%s): make it anew by aortactl index rebuild",
            strerror((int)-error));
}

/* Records of a patient, newest first: one page of them, and where the next begins. */
int
command_record_find(struct daemon *daemon, json_t *request, struct reply *reply)
{
        struct index_hit hits[COMMAND_FIND_MAX];
        struct search search;
        json_t *records;
        long n;
        int rc = need_index(daemon, reply);

        if (rc == 0)
                rc = read_search(daemon, request, reply, &search);
        if (rc != 0)
                return rc;
        /* What it covers is told as of before the look-up: not more than was looked up in. */
        json_object_set_new(reply->json, "index", command_index_json(daemon));
        n = indexer_find(daemon->indexer, &search.query, hits, search.limit);
        if (n < 0)
                return cannot_find(daemon, n, reply);
        records = json_array();
        for (long i = 0; i < n; i++) {
                json_t *record = hit_json(daemon, &search, hits[i].leaf);

                if (record != NULL)
                        json_array_append_new(records, record);
        }
        json_object_set_new(reply->json, "records", records);
        json_object_set_new(reply->json, "more", json_boolean(n == (long)search.limit));
        if (n > 0) {
                set_number(reply->json, "before_ns", hits[n - 1].received_ns);
                set_number(reply->json, "before_leaf", hits[n - 1].leaf);
        }
        return 0;
}
