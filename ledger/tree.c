/* SPDX-License-Identifier: Apache-2.0 */
#include "ledger/tree.h"

#include <assert.h>
#include <sodium.h>
#include <string.h>

#define NODE_INPUT_BYTES (1 + 2 * HASH_BYTES)
#define LEAF_INPUT_BYTES (1 + LEAF_ENTRY_BYTES)

static_assert(HASH_BYTES == SHA256_BYTES, "the tree hashes with SHA-256");

void
tree_init(struct tree *tree)
{
        memset(tree, 0, sizeof(*tree));
}

/* One layer: the nodes above m children whose first has the given index; left is the child before
 * them when that index is odd. Nodes go to the front of hashes, which is safe because a batch
 * copies its children before it writes, and node j lies at or before the first child that a later
 * batch reads. */
static uint32_t
hash_layer(struct engine *engine, uint8_t *hashes, uint32_t m, bool odd, const uint8_t *left)
{
        uint8_t inputs[ENGINE_BATCH_MAX][NODE_INPUT_BYTES];
        struct sha256_job jobs[ENGINE_BATCH_MAX];
        const uint32_t nodes = (m + odd) / 2;
        uint32_t done = 0;

        while (done < nodes) {
                uint32_t batch = nodes - done;
                if (batch > ENGINE_BATCH_MAX)
                        batch = ENGINE_BATCH_MAX;
                for (uint32_t i = 0; i < batch; i++) {
                        const uint32_t child = 2 * (done + i);
                        uint8_t *in = inputs[i];
                        in[0] = 0x01;
                        if (!odd) {
                                memcpy(in + 1, hashes + child * HASH_BYTES, 2 * HASH_BYTES);
                        } else if (child == 0) {
                                memcpy(in + 1, left, HASH_BYTES);
                                memcpy(in + 1 + HASH_BYTES, hashes, HASH_BYTES);
                        } else {
                                memcpy(in + 1, hashes + (child - 1) * HASH_BYTES, 2 * HASH_BYTES);
                        }
                        jobs[i].in = in;
                        jobs[i].in_bytes = NODE_INPUT_BYTES;
                        jobs[i].out = hashes + (done + i) * HASH_BYTES;
                }
                engine_sha256(engine, jobs, batch);
                done += batch;
        }
        return nodes;
}

void
tree_append_layers(struct tree *tree, struct engine *engine, uint8_t *hashes, uint32_t n,
    tree_layer_fn *layer, void *user)
{
        assert(n <= TREE_BATCH_MAX);
        assert(n <= UINT64_MAX - tree->size);

        uint64_t first = tree->size;
        const uint64_t end = first + n;
        uint32_t m = n;

        for (unsigned level = 0; m > 0; level++) {
                assert(level < TREE_LEVELS_MAX);
                assert(first == tree->size >> level && first + m == end >> level);
                if (layer != NULL)
                        layer(user, level, first, hashes, m);

                uint8_t last[HASH_BYTES];
                const bool alone = (first + m) & 1; /* the last child waits for its sibling */
                if (alone)
                        memcpy(last, hashes + (m - 1) * HASH_BYTES, HASH_BYTES);
                m = hash_layer(engine, hashes, m, first & 1, tree->peaks[level]);
                if (alone)
                        memcpy(tree->peaks[level], last, HASH_BYTES);
                first >>= 1;
        }
        tree->size = end;
}

void
tree_append(struct tree *tree, struct engine *engine, uint8_t *hashes, uint32_t n)
{
        tree_append_layers(tree, engine, hashes, n, NULL, NULL);
}

void
tree_leaf_hashes(struct engine *engine, uint8_t *hashes, const uint8_t *entries, uint32_t n)
{
        uint8_t inputs[ENGINE_BATCH_MAX][LEAF_INPUT_BYTES];
        struct sha256_job jobs[ENGINE_BATCH_MAX];

        while (n > 0) {
                const uint32_t batch = n < ENGINE_BATCH_MAX ? n : ENGINE_BATCH_MAX;
                for (uint32_t i = 0; i < batch; i++) {
                        inputs[i][0] = 0x00;
                        memcpy(inputs[i] + 1, entries + i * LEAF_ENTRY_BYTES, LEAF_ENTRY_BYTES);
                        jobs[i].in = inputs[i];
                        jobs[i].in_bytes = LEAF_INPUT_BYTES;
                        jobs[i].out = hashes + i * HASH_BYTES;
                }
                engine_sha256(engine, jobs, batch);
                entries += batch * LEAF_ENTRY_BYTES;
                hashes += batch * HASH_BYTES;
                n -= batch;
        }
}

void
tree_root(const struct tree *tree, uint8_t root[HASH_BYTES])
{
        bool any = false;

        for (unsigned level = 0; level < TREE_LEVELS_MAX; level++) {
                if ((tree->size >> level & 1) == 0)
                        continue;
                if (any)
                        tree_node(root, tree->peaks[level], root);
                else
                        memcpy(root, tree->peaks[level], HASH_BYTES);
                any = true;
        }
        if (!any)
                crypto_hash_sha256(root, (const uint8_t *)"", 0);
}
