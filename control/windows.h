/* SPDX-License-Identifier: Apache-2.0 */
/* What a clean stop saves: exact replay windows and receipts, bound to the vault's tip; consumed at
 * start. */
#ifndef AORTA_CONTROL_WINDOWS_H
#define AORTA_CONTROL_WINDOWS_H

#include "dataplane/contexts.h"
#include "ledger/vault.h"

#include <stdbool.h>
#include <stdint.h>

/* Writes `windows` in folder path, durable on return. Only while no worker runs. 0 or -errno. */
int windows_save(const char *path, const struct contexts *contexts, const struct vault_tip *tip);

/* Reads `windows` and removes it (folder flushed) whatever it holds, so that no later start can use
 * it again. fn gets each saved window. 0: all were given. -ENOENT: there is none (no clean stop).
 * -EBADMSG: damaged, -ESTALE: of another tip; then fn was not called. */
typedef int windows_fn(void *user, uint64_t context_id, const struct context_window *window);
int windows_take(const char *path, const struct vault_tip *tip, windows_fn *fn, void *user);

#endif
