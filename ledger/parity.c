/* SPDX-License-Identifier: Apache-2.0 */
#include "ledger/parity.h"

#include <assert.h>
#include <errno.h>
#include <isa-l/erasure_code.h>
#include <string.h>

void
parity_init(struct parity *parity, unsigned data, unsigned parity_n)
{
        assert(data > 0 && data + parity_n <= PARITY_FRAGMENTS_MAX);
        memset(parity, 0, sizeof(*parity));
        parity->data = data;
        parity->parity = parity_n;
        gf_gen_cauchy1_matrix(parity->matrix, (int)(data + parity_n), (int)data);
        if (parity_n > 0)
                ec_init_tables(
                    (int)data, (int)parity_n, parity->matrix + (size_t)data * data, parity->tables);
}

void
parity_encode(const struct parity *parity, uint32_t bytes, uint8_t *const *fragments)
{
        if (parity->parity == 0)
                return;
        uint8_t *in[PARITY_FRAGMENTS_MAX], *out[PARITY_FRAGMENTS_MAX];
        memcpy(in, fragments, parity->data * sizeof(*in));
        memcpy(out, fragments + parity->data, parity->parity * sizeof(*out));
        ec_encode_data((int)bytes, (int)parity->data, (int)parity->parity,
            (uint8_t *)(uintptr_t)parity->tables, in, out);
}

/* The row that makes fragment i of the good ones: its row of the matrix times the inverse of
 * theirs.
 */
static void
row_make(const struct parity *parity, unsigned i, const uint8_t *inverse, uint8_t *row)
{
        unsigned k = parity->data;
        for (unsigned c = 0; c < k; c++) {
                row[c] = 0;
                for (unsigned j = 0; j < k; j++)
                        row[c] ^= gf_mul(parity->matrix[i * k + j], inverse[j * k + c]);
        }
}

int
parity_rebuild(const struct parity *parity, uint32_t bytes, uint8_t *const *fragments,
    const bool *good, const bool *wanted)
{
        unsigned k = parity->data, n = k + parity->parity, in_n = 0, out_n = 0;
        uint8_t *in[PARITY_FRAGMENTS_MAX], *out[PARITY_FRAGMENTS_MAX];
        uint8_t square[PARITY_FRAGMENTS_MAX * PARITY_FRAGMENTS_MAX];
        uint8_t inverse[PARITY_FRAGMENTS_MAX * PARITY_FRAGMENTS_MAX];
        uint8_t rows[PARITY_FRAGMENTS_MAX * PARITY_FRAGMENTS_MAX];
        uint8_t tables[32 * PARITY_FRAGMENTS_MAX * PARITY_FRAGMENTS_MAX];
        for (unsigned i = 0; i < n && in_n < k; i++) {
                if (!good[i])
                        continue;
                memcpy(square + in_n * k, parity->matrix + i * k, k);
                in[in_n++] = fragments[i];
        }
        if (in_n < k)
                return -EBADMSG;
        int singular = gf_invert_matrix(square, inverse, (int)k);
        assert(!singular); /* every square part of a Cauchy matrix under the identity is regular */
        for (unsigned i = 0; i < n; i++) {
                if (good[i] || !wanted[i])
                        continue;
                row_make(parity, i, inverse, rows + out_n * k);
                out[out_n++] = fragments[i];
        }
        if (out_n == 0)
                return 0;
        ec_init_tables((int)k, (int)out_n, rows, tables);
        ec_encode_data((int)bytes, (int)k, (int)out_n, tables, in, out);
        return 0;
}
