/* SPDX-License-Identifier: Apache-2.0 */
/* The log's signing key: an Ed25519 seed, wrapped under the realm key in a file of its own. */
#ifndef AORTA_CONTROL_LOG_KEY_H
#define AORTA_CONTROL_LOG_KEY_H

#include "crypto/keys.h"
#include "crypto/note.h"

/* Makes a new one, mode 0600, never over an existing file; durable. */
int log_key_create_file(const char *path, const struct realm_key *realm_key);
/* -ENOENT; -EBADMSG: damaged, or wrapped under another realm key. */
int log_key_load(struct note_signer **signer, const char *path, const char *origin, const struct realm_key *realm_key);

#endif
