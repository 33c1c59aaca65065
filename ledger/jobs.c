/* SPDX-License-Identifier: Apache-2.0 */
#include "ledger/vault_internal.h"

bool
job_step(struct vault *vault)
{
        return false;
}

void
job_end(struct vault *vault)
{
}
