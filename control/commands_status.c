/* SPDX-License-Identifier: Apache-2.0 */
#include "control/commands.h"

#include "control/health.h"
#include "control/histogram.h"
#include "control/registry.h"
#include "control/writer.h"
#include "dataplane/drops.h"
#include "ledger/vault.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

static void
set_number(json_t *object, const char *name, uint64_t number)
{
        json_object_set_new(
            object, name, json_integer(number <= INT64_MAX ? (json_int_t)number : INT64_MAX));
}

static json_t *
counters_json(const struct dataplane_counters *counters)
{
        json_t *object = json_object();

#define X(name, help) set_number(object, #name, counters->name);
        COUNTERS(X)
#undef X
        return object;
}

static json_t *
drops_json(const struct dataplane_counters *counters)
{
        json_t *object = json_object();

        for (int reason = DROP_NONE + 1; reason < DROP_REASON_COUNT; reason++)
                set_number(object, drop_metric((enum drop_reason)reason), counters->drops[reason]);
        return object;
}

static json_t *
flush_json(const uint64_t *counts)
{
        static const struct {
                const char *name;
                double part;
        } parts[] = {{"p50", 0.5}, {"p90", 0.9}, {"p99", 0.99}, {"max", 1.0}};
        json_t *object = json_object(), *buckets = json_array();

        for (unsigned i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
                set_number(object, parts[i].name,
                    histogram_part(counts, HISTOGRAM_COARSE_BUCKETS, HISTOGRAM_COARSE_SUB_BITS,
                        parts[i].part));
        for (unsigned i = 0; i < HISTOGRAM_COARSE_BUCKETS; i++) {
                json_t *bucket;

                if (counts[i] == 0)
                        continue;
                bucket = json_object();
                set_number(bucket, "up_to_us", histogram_high(HISTOGRAM_COARSE_SUB_BITS, i));
                set_number(bucket, "flushes", counts[i]);
                json_array_append_new(buckets, bucket);
        }
        json_object_set_new(object, "buckets", buckets);
        return object;
}

static void
set_ledger(struct daemon *daemon, json_t *json, const struct writer_stats *writer)
{
        json_t *ledger = json_object();
        struct vault_stats vault;

        memset(&vault, 0, sizeof(vault));
        vault_stats(daemon->vault, &vault);
        set_number(ledger, "groups", writer->groups);
        set_number(ledger, "stalls_no_space", writer->stalls_no_space);
        set_number(ledger, "segments", vault.segments);
        set_number(ledger, "bytes_written", vault.bytes_written);
        set_number(ledger, "free_bytes", vault.free_bytes);
        json_object_set_new(ledger, "flush_us", flush_json(writer->flush_us));
        json_object_set_new(json, "ledger", ledger);
}

static void
set_state(struct daemon *daemon, json_t *json)
{
        char why[HEALTH_WHY_BYTES];
        const bool healthy = health(daemon, why);
        json_t *text = json_string(why);

        json_object_set_new(json, "state",
            json_string(!healthy         ? "refusing"
                        : why[0] != '\0' ? "degraded"
                                         : "ok"));
        /* A folder's name may be no UTF-8. */
        json_object_set_new(
            json, "why", text != NULL ? text : json_string("look at `aortactl vault status`"));
}

int
command_status(struct daemon *daemon, json_t *request, struct reply *reply)
{
        struct dataplane_counters counters;
        struct writer_stats writer;
        struct timespec now;
        json_t *json = reply->json;
        uint64_t now_ns;

        clock_gettime(CLOCK_REALTIME, &now);
        now_ns = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
        dataplane_counters(daemon->dataplane, &counters);
        writer_stats(daemon->writer, &writer);
        set_state(daemon, json);
        set_number(json, "uptime_s",
            now_ns > daemon->started_ns ? (now_ns - daemon->started_ns) / 1000000000u : 0);
        set_number(json, "boot_epoch", daemon->boot_epoch);
        set_number(json, "realm", daemon->config.realm);
        json_object_set_new(json, "lab", json_boolean(daemon->config.lab));
        set_number(json, "workers", daemon->config.workers);
        json_object_set_new(
            json, "crypto", json_string(daemon->backend != NULL ? daemon->backend : "unknown"));
        json_object_set_new(
            json, "memory", json_string(daemon->memory != NULL ? daemon->memory : "unknown"));
        json_object_set_new(json, "keys_locked", json_boolean(daemon->keys_locked));
        set_number(json, "devices", registry_devices(daemon->registry));
        set_number(json, "devices_max", daemon->config.devices);
        set_number(json, "patients", registry_patients(daemon->registry));
        set_number(json, "patients_max", daemon->config.patients);
        set_number(json, "leaves", atomic_load(&daemon->view.leaves));
        set_number(json, "published", atomic_load(&daemon->view.published));
        set_number(json, "context_bytes", contexts_bytes(daemon->contexts));
        set_number(json, "pending", dataplane_pending(daemon->dataplane));
        set_ledger(daemon, json, &writer);
        json_object_set_new(json, "vault", command_vault_json(daemon));
        json_object_set_new(json, "index", command_index_json(daemon));
        json_object_set_new(json, "counters", counters_json(&counters));
        json_object_set_new(json, "drops", drops_json(&counters));
        return 0;
}
