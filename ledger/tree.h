/* SPDX-License-Identifier: Apache-2.0 */
/* The Merkle tree's frontier (RFC 6962 §2.1): appends in batches, one layer at a time, and knows its
 * size and root; it keeps no leaves. */
#ifndef AORTA_LEDGER_TREE_H
#define AORTA_LEDGER_TREE_H

#include "crypto/engine.h"
#include "ledger/leaf.h"

#include <stdint.h>

#define TREE_LEVELS_MAX 64u
#define TREE_BATCH_MAX  4096u

struct tree {
        uint64_t size;
        /* peaks[l] is the root of the full subtree of 2^l leaves where bit l of size is set. */
        uint8_t peaks[TREE_LEVELS_MAX][HASH_BYTES];
};

void tree_init(struct tree *tree);
/* Appends n <= TREE_BATCH_MAX leaf hashes (n × HASH_BYTES; the buffer is overwritten as scratch). */
void tree_append(struct tree *tree, struct engine *engine, uint8_t *hashes, uint32_t n);
/* The same; layer (may be NULL) sees each layer of complete nodes as it is made, from the leaf hashes at
 * level 0 up: n nodes of 2^level leaves each, the first with index `first` on its level. A tile of level L
 * is made of the nodes of level 8 L. */
typedef void tree_layer_fn(
    void *user, unsigned level, uint64_t first, const uint8_t *hashes, uint32_t n);
void tree_append_layers(struct tree *tree, struct engine *engine, uint8_t *hashes, uint32_t n,
    tree_layer_fn *layer, void *user);
/* Leaf hashes of n entries of LEAF_ENTRY_BYTES each, in batches by the engine. */
void tree_leaf_hashes(struct engine *engine, uint8_t *hashes, const uint8_t *entries, uint32_t n);
/* The root; of an empty tree SHA-256(""). */
void tree_root(const struct tree *tree, uint8_t root[HASH_BYTES]);
/* SHA-256(0x01 ‖ left ‖ right). */
void tree_node(uint8_t out[HASH_BYTES], const uint8_t left[HASH_BYTES], const uint8_t right[HASH_BYTES]);

#endif
