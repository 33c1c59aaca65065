/* SPDX-License-Identifier: Apache-2.0 */
/* The names under which a context is found by hash: a foreign kid with its ID context, a lab
 * device's name. The control thread adds and removes; any thread looks up between quiescent states.
 */
#ifndef AORTA_DATAPLANE_CONTEXTS_NAMES_H
#define AORTA_DATAPLANE_CONTEXTS_NAMES_H

#include "dataplane/contexts_private.h"

/* What a key says it is, ‖ lengths ‖ bytes; a lab name is the longest. */
#define NAME_KEY_BYTES_MAX 72u

struct name_entry;

struct name_key {
        uint8_t bytes[NAME_KEY_BYTES_MAX];
        uint8_t n;
};

/* False when a part is longer than any context's. */
bool name_key_kid(struct name_key *key, const uint8_t *kid, size_t kid_bytes, bool has_id_context,
    const uint8_t *id_context, size_t id_context_bytes);
bool name_key_lab(struct name_key *key, const uint8_t *name, size_t name_bytes);

struct names;

int names_create(struct names **names);
/* Frees the entries with it; no reader is left. */
void names_destroy(struct names *names);
struct context *names_find(const struct names *names, const struct name_key *key);

/* Names a context that belongs to slot. 0, -EEXIST or -ENOMEM. */
int names_add(
    struct names *names, const struct name_key *key, struct context *context, uint32_t slot);
/* Takes out all names of a slot; the list is the caller's to free after a grace period. */
struct name_entry *names_remove(struct names *names, uint32_t slot);
void names_free(struct name_entry *list);
uint64_t names_bytes(const struct names *names);

#endif
