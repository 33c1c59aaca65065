/* SPDX-License-Identifier: Apache-2.0 */
#include "control/commands.h"

#include "control/hex.h"
#include "control/indexer.h"
#include "control/registry.h"
#include "dataplane/contexts.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

/* IANA's COSE names, and the numbers. */
static const struct {
        const char *name;
        uint8_t number;
} algorithms[] = {
    {"AES-CCM-16-64-128", AEAD_AES_CCM_16_64_128},
    {"A128GCM", AEAD_AES_128_GCM},
    {"A256GCM", AEAD_AES_256_GCM},
    {"ChaCha20/Poly1305", AEAD_CHACHA20_POLY1305},
    {"AES-CCM-16-128-128", AEAD_AES_CCM_16_128_128},
};
#define ALGORITHMS (sizeof(algorithms) / sizeof(algorithms[0]))

static const char *
alg_name(uint8_t number)
{
        for (size_t i = 0; i < ALGORITHMS; i++)
                if (algorithms[i].number == number)
                        return algorithms[i].name;
        return "unknown";
}

static int
read_alg(json_t *request, struct reply *reply, uint8_t *alg)
{
        const char *text;
        char number[4];
        int rc = command_text(request, reply, "alg", &text);

        *alg = AEAD_AES_CCM_16_64_128;
        if (rc != 0 || text == NULL)
                return rc;
        for (size_t i = 0; i < ALGORITHMS; i++) {
                snprintf(number, sizeof(number), "%u", algorithms[i].number);
                if (strcasecmp(text, algorithms[i].name) == 0 || strcmp(text, number) == 0) {
                        *alg = algorithms[i].number;
                        return 0;
                }
        }
        return command_fail(reply, -EINVAL,
            "no such algorithm: use AES-CCM-16-64-128 (10), A128GCM (1), A256GCM (3), "
            "ChaCha20/Poly1305 (24) or AES-CCM-16-128-128 (30)");
}

/* A member in hexadecimal; *given when it is there. */
static int
read_hex(json_t *request, struct reply *reply, const char *name, uint8_t *out, size_t max,
    uint8_t *bytes, bool *given)
{
        const char *text;
        long n;
        int rc = command_text(request, reply, name, &text);

        *bytes = 0;
        *given = text != NULL;
        if (rc != 0 || text == NULL)
                return rc;
        n = hex_decode(out, max, text);
        if (n == -E2BIG)
                return command_fail(reply, -EINVAL, "%s may have %zu bytes at most", name, max);
        if (n < 0)
                return command_fail(
                    reply, -EINVAL, "%s must be hexadecimal, two digits a byte", name);
        *bytes = (uint8_t)n;
        return 0;
}

static int
read_enrolment(json_t *request, struct reply *reply, struct enrolment *enrolment)
{
        bool given, secret_given = false, salt_given = false;
        int rc = command_required_text(request, reply, "name", &enrolment->name);

        if (rc == 0)
                rc = command_required_text(request, reply, "patient", &enrolment->patient);
        if (rc == 0)
                rc = command_flag(request, reply, "lab", &enrolment->lab);
        if (rc == 0)
                rc = read_alg(request, reply, &enrolment->alg);
        if (rc == 0)
                rc = read_hex(request, reply, "kid", enrolment->kid, sizeof(enrolment->kid),
                    &enrolment->kid_bytes, &given);
        if (rc == 0 && given && enrolment->kid_bytes == 0)
                return command_fail(reply, -EINVAL,
                    "an empty kid cannot be told from none: leave it out, or choose one byte");
        if (rc == 0)
                rc = read_hex(request, reply, "secret", enrolment->secret,
                    sizeof(enrolment->secret), &enrolment->secret_bytes, &secret_given);
        if (rc == 0 && secret_given && enrolment->secret_bytes == 0)
                return command_fail(
                    reply, -EINVAL, "the secret is empty: it must have 16 to 32 bytes");
        if (rc == 0)
                rc = read_hex(request, reply, "salt", enrolment->salt, sizeof(enrolment->salt),
                    &enrolment->salt_bytes, &salt_given);
        if (rc == 0)
                rc = read_hex(request, reply, "id_context", enrolment->id_context,
                    sizeof(enrolment->id_context), &enrolment->id_context_bytes,
                    &enrolment->has_id_context);
        if (rc == 0)
                rc = read_hex(request, reply, "server_id", enrolment->server_id,
                    sizeof(enrolment->server_id), &enrolment->server_id_bytes, &given);
        return rc;
}

static void
set_hex(json_t *object, const char *name, const uint8_t *bytes, size_t n)
{
        char text[2 * OSCORE_SECRET_BYTES_MAX + 1];

        assert(n <= OSCORE_SECRET_BYTES_MAX);
        hex_encode(text, bytes, n);
        json_object_set_new(object, name, json_string(text));
        sodium_memzero(text, sizeof(text));
}

/* As the device needs them: it sends as its kid and receives from the server's ID. */
static json_t *
credentials_json(const struct device *device, const struct credentials *credentials)
{
        const struct oscore_input *oscore = &credentials->oscore;
        json_t *object = json_object();

        json_object_set_new(object, "name", json_string(device->name));
        json_object_set_new(object, "alg", json_integer(oscore->alg));
        json_object_set_new(object, "alg_name", json_string(alg_name(oscore->alg)));
        set_hex(object, "sender_id", oscore->recipient_id, oscore->recipient_id_bytes);
        set_hex(object, "recipient_id", oscore->sender_id, oscore->sender_id_bytes);
        set_hex(object, "secret", oscore->secret, oscore->secret_bytes);
        set_hex(object, "salt", oscore->salt, oscore->salt_bytes);
        if (oscore->has_id_context)
                set_hex(object, "id_context", oscore->id_context, oscore->id_context_bytes);
        return object;
}

static json_t *
device_json(const struct device *device)
{
        json_t *object = json_object();
        char time[TIME_TEXT_BYTES];

        time_text(time, device->enrolled_ns);
        json_object_set_new(object, "name", json_string(device->name));
        json_object_set_new(object, "patient", json_string(device->patient));
        set_hex(object, "kid", device->kid, device->kid_bytes);
        if (device->has_id_context)
                set_hex(object, "id_context", device->id_context, device->id_context_bytes);
        json_object_set_new(object, "alg", json_integer(device->alg));
        json_object_set_new(object, "alg_name", json_string(alg_name(device->alg)));
        json_object_set_new(object, "native", json_boolean(device->native));
        json_object_set_new(object, "lab", json_boolean(device->lab));
        json_object_set_new(object, "removed", json_boolean(device->removed));
        json_object_set_new(object, "context_id", json_integer((json_int_t)device->context_id));
        json_object_set_new(object, "enrolled", json_string(time));
        return object;
}

/* The slot's former device may have something pending: that takes a flush. */
static int
add_context(struct contexts *contexts, const struct context_spec *spec)
{
        static const struct timespec wait = {.tv_nsec = 1000000};
        int rc = contexts_add(contexts, spec);

        for (unsigned ms = 0; rc == -EAGAIN && ms < COMMAND_SLOT_WAIT_MS; ms++) {
                nanosleep(&wait, NULL);
                rc = contexts_add(contexts, spec);
        }
        return rc;
}

/* In effect for the next packet. */
static int
publish(struct daemon *daemon, const struct device *device, const struct credentials *credentials)
{
        struct context_spec spec = {
            .context_id = device->context_id,
            .slot = device->slot,
            .patient = device->patient_slot,
            .generation = device->generation,
            .native = device->native,
            .lab = device->lab,
            .oscore = credentials->oscore,
            .window = {.state = WINDOW_FRESH},
        };
        uint8_t key[DATA_KEY_BYTES];
        uint32_t epoch;
        int rc = 0;

        strcpy(spec.name, device->name);
        /* Only for the first device: setting a key makes a patient's records wait for a moment. */
        if (registry_patient_devices(daemon->registry, device->patient_slot) == 1) {
                rc = registry_patient_key(daemon->registry, device->patient_slot, key, &epoch);
                if (rc == 0)
                        rc = contexts_patient_set(
                            daemon->contexts, device->patient_slot, key, epoch);
                sodium_memzero(key, sizeof(key));
        }
        if (rc == 0)
                rc = indexer_learn(daemon->indexer, device->context_id, device->patient_slot);
        if (rc == 0)
                rc = add_context(daemon->contexts, &spec);
        sodium_memzero(&spec, sizeof(spec));
        return rc;
}

/* Enrolled, but not in effect: taken back, so that nothing is left half done. */
static int
take_back(struct daemon *daemon, const char *name, int error, struct reply *reply)
{
        struct device device;
        int rc = registry_remove(daemon->registry, name, &device);

        if (rc != 0)
                return command_fail(reply, error,
                    "%s could not be put into effect (%s), nor its enrolment be taken back (%s): "
                    "remove it, and check the disk",
                    name, strerror(-error), strerror(-rc));
        if (error == -EAGAIN)
                return command_fail(reply, error,
                    "the slot's former device still has a record on its way: try again in a "
                    "second");
        return command_fail(
            reply, error, "%s could not be put into effect: %s", name, strerror(-error));
}

int
command_device_add(struct daemon *daemon, json_t *request, struct reply *reply)
{
        struct credentials credentials = {0};
        struct enrolment enrolment = {0};
        struct device device;
        int rc = read_enrolment(request, reply, &enrolment);

        if (rc == 0)
                rc =
                    registry_enrol(daemon->registry, &enrolment, &device, &credentials, reply->why);
        if (rc == 0) {
                rc = publish(daemon, &device, &credentials);
                if (rc != 0)
                        take_back(daemon, device.name, rc, reply);
        }
        if (rc == 0) {
                json_object_set_new(reply->json, "device", device_json(&device));
                json_object_set_new(
                    reply->json, "credentials", credentials_json(&device, &credentials));
                if (device.lab && !daemon->config.lab)
                        json_object_set_new(reply->json, "note",
                            json_string("the plain listener is off: set lab: true and restart"));
        }
        sodium_memzero(&credentials, sizeof(credentials));
        sodium_memzero(&enrolment, sizeof(enrolment));
        return rc;
}

struct many {
        struct daemon *daemon;
        struct reply *reply;
        json_t *list;
        int error; /* of the first that could not be put into effect */
};

static int
enrolled_one(void *user, const struct device *device, const struct credentials *credentials)
{
        struct many *many = user;
        struct device removed;

        /* Those after a failure are durable already, but will be told to no one. */
        if (many->error != 0)
                return registry_remove(many->daemon->registry, device->name, &removed);
        many->error = publish(many->daemon, device, credentials);
        if (many->error != 0)
                take_back(many->daemon, device->name, many->error, many->reply);
        else
                json_array_append_new(many->list, credentials_json(device, credentials));
        return 0;
}

int
command_device_add_many(struct daemon *daemon, json_t *request, struct reply *reply)
{
        struct many many = {.daemon = daemon, .reply = reply};
        char why[REGISTRY_WHY_BYTES];
        uint64_t first, count;
        const char *prefix;
        uint8_t alg;
        int rc = command_required_text(request, reply, "prefix", &prefix);

        if (rc == 0)
                rc = command_number(request, reply, "first", 0, DEVICES_MAX, 0, &first);
        if (rc == 0)
                rc = command_number(request, reply, "count", 1, COMMAND_ENROL_MAX, 1, &count);
        if (rc == 0)
                rc = read_alg(request, reply, &alg);
        if (rc != 0)
                return rc;
        many.list = json_array();
        rc = registry_enrol_range(daemon->registry, prefix, (uint32_t)first, (uint32_t)count, alg,
            enrolled_one, &many, why);
        if (many.error != 0)
                rc = many.error;
        /* What was enrolled is told, also when not all could be: its credentials come only once. */
        if (rc != 0 && json_array_size(many.list) == 0) {
                json_decref(many.list);
                if (reply->why[0] == '\0')
                        snprintf(reply->why, sizeof(reply->why), "%s", why);
                return rc;
        }
        if (rc != 0)
                json_object_set_new(reply->json, "stopped",
                    json_string(reply->why[0] != '\0' ? reply->why
                                : why[0] != '\0'      ? why
                                                      : strerror(-rc)));
        json_object_set_new(reply->json, "credentials", many.list);
        return 0;
}

int
command_device_list(struct daemon *daemon, json_t *request, struct reply *reply)
{
        uint64_t from, limit;
        struct device *devices;
        uint32_t position, n;
        json_t *list;
        bool all = false;
        int rc = command_flag(request, reply, "all", &all);

        if (rc == 0)
                rc = command_number(request, reply, "position", 0, UINT32_MAX, 0, &from);
        if (rc == 0)
                rc = command_number(
                    request, reply, "limit", 1, COMMAND_PAGE_MAX, COMMAND_PAGE_MAX, &limit);
        if (rc != 0)
                return rc;
        devices = calloc(limit, sizeof(*devices));
        if (devices == NULL)
                return -ENOMEM;
        position = (uint32_t)from;
        n = registry_page(daemon->registry, all, &position, devices, (uint32_t)limit);
        list = json_array();
        for (uint32_t i = 0; i < n; i++)
                json_array_append_new(list, device_json(&devices[i]));
        free(devices);
        json_object_set_new(reply->json, "devices", list);
        json_object_set_new(reply->json, "position", json_integer(position));
        json_object_set_new(reply->json, "more", json_boolean(n == limit));
        return 0;
}

static int
no_such_device(struct reply *reply)
{
        return command_fail(reply, -ENOENT,
            "no device of that name is enrolled: `aortactl device list` shows them");
}

int
command_device_show(struct daemon *daemon, json_t *request, struct reply *reply)
{
        struct device device;
        const char *name;
        int rc = command_required_text(request, reply, "name", &name);

        if (rc != 0)
                return rc;
        if (registry_find(daemon->registry, name, &device) != 0)
                return no_such_device(reply);
        json_object_set_new(reply->json, "device", device_json(&device));
        return 0;
}

/* First out of effect, then out of the registry: never the other way round. */
int
command_device_remove(struct daemon *daemon, json_t *request, struct reply *reply)
{
        struct device device;
        const char *name;
        int rc = command_required_text(request, reply, "name", &name);

        if (rc != 0)
                return rc;
        if (registry_find(daemon->registry, name, &device) != 0)
                return no_such_device(reply);
        rc = contexts_remove(daemon->contexts, device.slot);
        if (rc != 0 && rc != -ENOENT)
                return command_fail(
                    reply, rc, "%s could not be taken out of effect: %s", name, strerror(-rc));
        rc = registry_remove(daemon->registry, name, &device);
        if (rc != 0)
                return command_fail(reply, rc,
                    "%s is out of effect, but only until the next start: its removal could not be "
                    "written (%s); check the disk, then remove it again",
                    name, strerror(-rc));
        json_object_set_new(reply->json, "device", device_json(&device));
        return 0;
}
