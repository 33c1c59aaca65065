/* SPDX-License-Identifier: Apache-2.0 */
#include "control/registry_entry.h"

#include <errno.h>
#include <string.h>

/* A place in a value; writing and reading go through the same fields in the same order. */
struct cursor {
        uint8_t *out;
        const uint8_t *in;
        bool bad;
};

static void
put(struct cursor *cursor, uint64_t number, unsigned bytes)
{
        for (unsigned i = 0; i < bytes; i++)
                *cursor->out++ = (uint8_t)(number >> (8 * i));
}

static uint64_t
get(struct cursor *cursor, unsigned bytes)
{
        uint64_t number = 0;

        for (unsigned i = 0; i < bytes; i++)
                number |= (uint64_t)*cursor->in++ << (8 * i);
        return number;
}

static void
put_bytes(struct cursor *cursor, const void *bytes, unsigned n)
{
        memcpy(cursor->out, bytes, n);
        cursor->out += n;
}

static void
get_bytes(struct cursor *cursor, void *bytes, unsigned n)
{
        memcpy(bytes, cursor->in, n);
        cursor->in += n;
}

/* Length and bytes in a field of 1 + room. */
static void
put_short(struct cursor *cursor, const void *bytes, unsigned n, unsigned room)
{
        assert(n <= room);
        *cursor->out++ = (uint8_t)n;
        memset(cursor->out, 0, room);
        memcpy(cursor->out, bytes, n);
        cursor->out += room;
}

static uint8_t
get_short(struct cursor *cursor, void *bytes, unsigned room)
{
        uint8_t n = *cursor->in++;

        if (n > room) {
                cursor->bad = true;
                n = 0;
        }
        memcpy(bytes, cursor->in, n);
        cursor->in += room;
        return n;
}

static void
get_name(struct cursor *cursor, char name[ENTRY_NAME_BYTES])
{
        uint8_t n = get_short(cursor, name, ENTRY_NAME_BYTES - 1);

        name[n] = '\0';
        if (!entry_name_valid(name) || strlen(name) != n)
                cursor->bad = true;
}

bool
entry_name_valid(const char *name)
{
        size_t n = strnlen(name, ENTRY_NAME_BYTES);

        if (n < 1 || n > ENTRY_NAME_BYTES - 1)
                return false;
        for (size_t i = 0; i < n; i++) {
                char c = name[i];

                if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                        c == '.' || c == '_' || c == ':' || c == '-'))
                        return false;
        }
        return true;
}

void
entry_write_patient(uint8_t *value, const struct patient_entry *patient)
{
        struct cursor cursor = {.out = value};

        put(&cursor, ENTRY_PATIENT, 1);
        put(&cursor, ENTRY_VERSION, 1);
        put(&cursor, patient->slot, 4);
        put(&cursor, patient->key_epoch, 4);
        put_short(&cursor, patient->name, (unsigned)strlen(patient->name), ENTRY_NAME_BYTES - 1);
        put_bytes(&cursor, patient->wrapped, WRAPPED_KEY_BYTES);
        assert(cursor.out == value + ENTRY_PATIENT_VALUE_BYTES);
}

int
entry_read_patient(struct patient_entry *patient, const uint8_t *value, uint32_t value_bytes)
{
        struct cursor cursor = {.in = value};

        if (value_bytes != ENTRY_PATIENT_VALUE_BYTES || get(&cursor, 1) != ENTRY_PATIENT ||
            get(&cursor, 1) != ENTRY_VERSION)
                return -EBADMSG;
        patient->slot = (uint32_t)get(&cursor, 4);
        patient->key_epoch = (uint32_t)get(&cursor, 4);
        get_name(&cursor, patient->name);
        get_bytes(&cursor, patient->wrapped, WRAPPED_KEY_BYTES);
        return cursor.bad ? -EBADMSG : 0;
}

void
entry_write_device(uint8_t *value, const struct device_entry *device)
{
        struct cursor cursor = {.out = value};

        assert((device->flags & ~ENTRY_FLAGS) == 0);
        put(&cursor, ENTRY_DEVICE, 1);
        put(&cursor, ENTRY_VERSION, 1);
        put(&cursor, device->flags, 1);
        put(&cursor, device->alg, 1);
        put(&cursor, device->generation, 1);
        put(&cursor, device->slot, 4);
        put(&cursor, device->patient, 4);
        put(&cursor, device->context_id, 8);
        put(&cursor, device->enrolled_ns, 8);
        put_short(&cursor, device->kid, device->kid_bytes, OSCORE_ID_BYTES_MAX);
        put_short(&cursor, device->server_id, device->server_id_bytes, OSCORE_ID_BYTES_MAX);
        put_short(
            &cursor, device->id_context, device->id_context_bytes, OSCORE_ID_CONTEXT_BYTES_MAX);
        put_short(&cursor, device->name, (unsigned)strlen(device->name), ENTRY_NAME_BYTES - 1);
        put_bytes(&cursor, device->fingerprint, ENTRY_FINGERPRINT_BYTES);
        put_bytes(&cursor, device->wrapped, ENTRY_WRAPPED_BYTES);
        assert(cursor.out == value + ENTRY_DEVICE_VALUE_BYTES);
}

int
entry_read_device(struct device_entry *device, const uint8_t *value, uint32_t value_bytes)
{
        struct cursor cursor = {.in = value};

        if (value_bytes != ENTRY_DEVICE_VALUE_BYTES || get(&cursor, 1) != ENTRY_DEVICE ||
            get(&cursor, 1) != ENTRY_VERSION)
                return -EBADMSG;
        device->flags = (uint8_t)get(&cursor, 1);
        device->alg = (uint8_t)get(&cursor, 1);
        device->generation = (uint8_t)get(&cursor, 1);
        device->slot = (uint32_t)get(&cursor, 4);
        device->patient = (uint32_t)get(&cursor, 4);
        device->context_id = get(&cursor, 8);
        device->enrolled_ns = get(&cursor, 8);
        device->kid_bytes = get_short(&cursor, device->kid, OSCORE_ID_BYTES_MAX);
        device->server_id_bytes = get_short(&cursor, device->server_id, OSCORE_ID_BYTES_MAX);
        device->id_context_bytes =
            get_short(&cursor, device->id_context, OSCORE_ID_CONTEXT_BYTES_MAX);
        get_name(&cursor, device->name);
        get_bytes(&cursor, device->fingerprint, ENTRY_FINGERPRINT_BYTES);
        get_bytes(&cursor, device->wrapped, ENTRY_WRAPPED_BYTES);
        if (cursor.bad || (device->flags & ~ENTRY_FLAGS) != 0 || device->context_id == 0 ||
            aead_key_bytes(device->alg) == 0 || device->kid_bytes == 0)
                return -EBADMSG;
        return 0;
}
