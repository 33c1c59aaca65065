/* SPDX-License-Identifier: Apache-2.0 */
/* From files to a state that may serve: vault, registry, tree, log, windows. */
#ifndef AORTA_CONTROL_RECOVERY_H
#define AORTA_CONTROL_RECOVERY_H

#include "control/daemon.h"
#include "dataplane/contexts.h"
#include "ledger/log.h"
#include "ledger/tree.h"
#include "ledger/vault.h"

struct recovered {
        struct log *log; /* all leaves appended, not yet published */
        struct vault_tip tip;
        struct tree tree;
        bool clean; /* the last stop was clean, or there was never a start */
        /* Of device slot i, capacity config.devices: windows and receipts. */
        struct context_window *windows;
};

/* Opens keys (made when the state is new), vault and registry into daemon, takes the boot epoch, recovers
 * every group, checks the head's memory, and reads the saved windows. Afterwards writing may begin:
 * vault_begin() has been called. why has CONFIG_WHY_BYTES. */
int recovery_run(struct daemon *daemon, struct recovered *recovered, char *why);
void recovery_free(struct recovered *recovered);

#endif
