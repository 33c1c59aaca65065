/* SPDX-License-Identifier: Apache-2.0 */
/* Parity by a Cauchy matrix over GF(2^8) (ISA-L): any k of the k+m fragments give the others. */
#ifndef AORTA_LEDGER_PARITY_H
#define AORTA_LEDGER_PARITY_H

#include <stdbool.h>
#include <stdint.h>

#define PARITY_FRAGMENTS_MAX 16u

struct parity {
        unsigned data, parity;
        uint8_t matrix[PARITY_FRAGMENTS_MAX * PARITY_FRAGMENTS_MAX];
        uint8_t tables[32 * PARITY_FRAGMENTS_MAX * PARITY_FRAGMENTS_MAX];
};

/* data > 0, data + parity <= PARITY_FRAGMENTS_MAX. Read-only afterwards: any thread may use it. */
void parity_init(struct parity *parity, unsigned data, unsigned parity_n);
/* Makes fragments data to data+parity-1 of those before; bytes each. */
void parity_encode(const struct parity *parity, uint32_t bytes, uint8_t *const *fragments);
/* Makes each fragment that is not good and is wanted, of the first data good ones. 0, or -EBADMSG
 * when fewer are good. */
int parity_rebuild(const struct parity *parity, uint32_t bytes, uint8_t *const *fragments,
    const bool *good, const bool *wanted);

#endif
