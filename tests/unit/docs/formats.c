/* SPDX-License-Identifier: Apache-2.0 */
/* docs/formats.md, the ledger's part: each example is what the code makes from fixed inputs, and
 * what stands in the page goes through the real readers. */
#include "crypto/note.h"
#include "ledger/group.h"
#include "ledger/head.h"
#include "ledger/log.h"
#include "ledger/members.h"
#include "ledger/store.h"
#include "ledger/vault.h"
#include "tests/unit/docs/inputs.h"

#define SEGMENT_EXAMPLE_BYTES (UINT64_C(4) << 20)

TestSuite(formats, .init = place_make, .fini = place_remove);

Test(formats, sealed_record)
{
        static const char *const names[] = {"sealed-record", "sealed-record-lab"};
        uint8_t want[SEAL_BYTES_MAX], digest[HASH_BYTES], plain[SEAL_PAYLOAD_MAX], key[32],
            hash[32];
        uint8_t again[HASH_BYTES];
        struct seal_header header;

        input_patient_key(key);
        seal_key_hash(hash, key);
        for (unsigned i = 0; i < 2; i++) {
                uint32_t n = input_sealed(i, want, digest);
                uint8_t *there = example(names[i], want, n);

                cr_assert_eq(seal_header_read(&header, there, n), 0);
                cr_assert_eq(header.kind, i == 0 ? RECORD_OSCORE : RECORD_LAB);
                cr_assert_eq(header.received_ns, INPUT_RECEIVED_NS + i);
                cr_assert_eq(header.partial_iv, i == 0 ? 5 : 0);
                cr_assert_eq(seal_open_record(plain, there, n, key), 0);
                cr_assert_eq(
                    header.payload_bytes, i == 0 ? strlen(input_json) : sizeof(input_cbor));
                cr_assert_eq(
                    memcmp(plain, i == 0 ? (const void *)input_json : (const void *)input_cbor,
                        header.payload_bytes),
                    0);
                /* The digest by hand: SHA-256(SHA-256(key) ‖ sealed bytes). */
                crypto_hash_sha256_state state;
                crypto_hash_sha256_init(&state);
                crypto_hash_sha256_update(&state, hash, sizeof(hash));
                crypto_hash_sha256_update(&state, there, n);
                crypto_hash_sha256_final(&state, again);
                cr_assert_eq(memcmp(again, digest, sizeof(again)), 0);
                free(there);
        }
        (void)input_sealed(0, want, digest);
        uint8_t *there = example("record-digest", digest, sizeof(digest));
        cr_assert_eq(memcmp(there, digest, sizeof(digest)), 0);
        free(there);
}

Test(formats, leaf_entry)
{
        uint8_t want[LEAF_ENTRY_BYTES], hash[HASH_BYTES];
        uint8_t *there;

        input_entry(0, want);
        there = example("leaf-entry", want, sizeof(want));
        cr_assert_eq(there[0], LEAF_VERSION);
        cr_assert_eq(there[1], RECORD_OSCORE);
        cr_assert_eq(((uint32_t)there[2] << 24 | there[3] << 16 | there[4] << 8 | there[5]),
            INPUT_RECEIVED_NS / UINT64_C(60000000000));
        leaf_hash(hash, there, LEAF_ENTRY_BYTES);
        free(there);
        free(example("leaf-hash", hash, sizeof(hash)));
}

static const struct volume_id id = {
    .vault = "vault-id-example", /* 16 bytes each, without a NUL */
    .volume = "volume-id-sample",
};

static const struct fragment_layout layout = {.data = 1};

/* A fragment of the two records, as group 0. Its bytes on disk. */
static uint32_t
make_group(uint8_t fragment[2 * BLOCK_BYTES], struct digester *digester)
{
        struct group_header header = {.id = id, .layout = layout, .epoch = 1, .records = 2};
        uint8_t sealed[SEAL_BYTES_MAX], digest[HASH_BYTES],
            *payload = fragment + GROUP_HEADER_BYTES;
        uint32_t at = 2 * GROUP_ENTRY_BYTES;

        memset(fragment, 0, 2 * BLOCK_BYTES);
        for (unsigned i = 0; i < 2; i++) {
                uint32_t n = input_sealed(i, sealed, digest);

                memcpy(payload + at, sealed, n);
                group_entry_write(
                    payload + i * GROUP_ENTRY_BYTES, digest, (uint16_t)n, sealed[1], at);
                at += n;
        }
        header.payload_bytes = at;
        crypto_hash_sha256(header.root, NULL, 0); /* of the empty tree */
        digester_sha256(digester, header.fragments[0], payload,
            group_disk_bytes(at, layout.data) - GROUP_HEADER_BYTES);
        group_header_write(fragment, &header, digester);
        return group_disk_bytes(at, layout.data);
}

static int
check_record(void *user, const struct vault_record *record)
{
        unsigned *seen = user;
        uint8_t sealed[SEAL_BYTES_MAX], digest[HASH_BYTES];
        uint32_t n = input_sealed(*seen, sealed, digest);

        cr_assert_eq(record->leaf, *seen);
        cr_assert_eq(record->sealed_bytes, n);
        cr_assert_eq(memcmp(record->sealed, sealed, n), 0);
        cr_assert_eq(memcmp(record->digest, digest, HASH_BYTES), 0);
        (*seen)++;
        return 0;
}

/* The page's volume, segment and group, as files, are a volume that the vault recovers. */
Test(formats, volume_segment_group)
{
        uint8_t block[BLOCK_BYTES], fragment[2 * BLOCK_BYTES];
        uint8_t entries[2][LEAF_ENTRY_BYTES], hash[2][HASH_BYTES], node[1 + 2 * HASH_BYTES] = {1};
        struct vault_config config = {.path = place, .segment_bytes = SEGMENT_EXAMPLE_BYTES};
        char why[VAULT_WHY_BYTES];
        struct digester digester;
        struct vault_tip tip;
        struct vault *vault;
        uint8_t *there, *segment;
        unsigned seen = 0;
        uint32_t bytes;

        cr_assert_eq(digester_open(&digester), 0);
        volume_block_write(block, &id, &layout);
        there = example("volume", block, sizeof(block));
        place_write("volume", there, BLOCK_BYTES, 0);
        free(there);

        struct members members = {.data = 1, .epoch = 1, .set = 1};
        memcpy(members.vault, id.vault, ID_BYTES);
        memcpy(members.volumes[0], id.volume, ID_BYTES);
        members_block_write(block, &members);
        there = example("members", block, sizeof(block));
        place_write("members", there, BLOCK_BYTES, 0);
        free(there);

        segment_block_write(block, &id, 0, SEGMENT_EXAMPLE_BYTES);
        there = example("segment", block, sizeof(block));
        bytes = make_group(fragment, &digester);
        segment = calloc(1, BLOCK_BYTES + bytes);
        memcpy(segment, there, BLOCK_BYTES);
        free(there);
        there = example("group", fragment, bytes);
        memcpy(segment + BLOCK_BYTES, there, bytes);
        free(there);
        cr_assert_eq(mkdir(place_path("segments"), 0700), 0);
        place_write("segments/00000000", segment, BLOCK_BYTES + bytes, SEGMENT_EXAMPLE_BYTES);
        free(segment);

        cr_assert_eq(vault_open(&vault, &config, why), 0, "%s", why);
        cr_assert_eq(vault_recover(vault, 2, check_record, &seen, NULL, &tip, why), 0, "%s", why);
        cr_assert_eq(seen, 2);
        cr_assert_eq(tip.leaves, 2);
        cr_assert_eq(tip.groups, 1);
        cr_assert_eq(tip.cut_bytes, 0);
        vault_close(vault);
        digester_close(&digester);

        /* The tree's root by hand. */
        for (unsigned i = 0; i < 2; i++) {
                input_entry(i, entries[i]);
                leaf_hash(hash[i], entries[i], LEAF_ENTRY_BYTES);
        }
        memcpy(node + 1, hash, sizeof(hash));
        crypto_hash_sha256(hash[0], node, sizeof(node));
        cr_assert_eq(memcmp(tip.root, hash[0], HASH_BYTES), 0);
}

Test(formats, head_and_epoch)
{
        struct head head = {.size = 2}, got;
        uint8_t *made, *there;
        uint32_t epoch;
        size_t n;

        input_count(head.root, HASH_BYTES, 0x60);
        cr_assert_eq(head_write(place, &head), 0);
        head.size = 3;
        input_count(head.root, HASH_BYTES, 0x80);
        cr_assert_eq(head_write(place, &head), 0);
        made = place_read("head", &n);
        there = example("head", made, n);
        place_write("head", there, n, 0);
        free(made);
        free(there);
        cr_assert_eq(head_read(place, &got), 0);
        cr_assert_eq(got.size, 3);
        cr_assert_eq(memcmp(got.root, head.root, HASH_BYTES), 0);

        for (unsigned i = 0; i < 2; i++)
                cr_assert_eq(boot_epoch_next(place, 0, &epoch), 0);
        made = place_read("epoch", &n);
        there = example("epoch", made, n);
        place_write("epoch", there, n, 0);
        free(made);
        free(there);
        cr_assert_eq(boot_epoch_next(place, 0, &epoch), 0);
        cr_assert_eq(epoch, 3, "the page's epoch is 2");
}

static int
check_value(void *user, uint32_t slot, const uint8_t *value, uint32_t value_bytes)
{
        unsigned *seen = user;

        cr_assert_eq(slot, 0);
        cr_assert_eq(value_bytes, 5);
        cr_assert_eq(memcmp(value, "value", 5), 0);
        (*seen)++;
        return 0;
}

/* Slot 0 holds a value, slot 1 was erased. */
Test(formats, store)
{
        enum { SHOWN_BYTES = BLOCK_BYTES + 3 * STORE_SLOT_BYTES, AT_ID = 16 };
        char why[STORE_WHY_BYTES];
        struct store *store;
        unsigned seen = 0;
        uint8_t *made, *there;
        size_t n;

        cr_assert_eq(store_open(&store, place, NULL, NULL, why), 0, "%s", why);
        cr_assert_eq(store_put(store, 0, "value", 5), 0);
        cr_assert_eq(store_put(store, 1, "secret", 6), 0);
        cr_assert_eq(store_erase(store, 1), 0);
        store_close(store);
        made = place_read("store.a", &n);
        cr_assert(n > SHOWN_BYTES);
        cr_assert(bytes_are_zero(made + SHOWN_BYTES, n - SHOWN_BYTES));
        /* The one random field. */
        memcpy(made + AT_ID, "store-id-example", ID_BYTES);
        uint32_t crc = crc32c(made, BLOCK_BYTES - 4);
        memcpy(made + BLOCK_BYTES - 4, &crc, sizeof(crc));
        there = example("store", made, SHOWN_BYTES);

        /* The page's copy alone is a store; its other copy is made again. */
        cr_assert_eq(unlink(place_path("store.b")), 0);
        place_write("store.a", there, SHOWN_BYTES, (off_t)n);
        cr_assert_eq(store_open(&store, place, check_value, &seen, why), 0, "%s", why);
        cr_assert_eq(seen, 1);
        cr_assert_eq(store_end(store), 2);
        store_close(store);
        free(made);
        free(there);
}

static int
check_entry(void *user, uint64_t leaf, const uint8_t *entry, uint32_t entry_bytes)
{
        unsigned *seen = user;
        uint8_t want[LEAF_ENTRY_BYTES];

        input_entry((unsigned)leaf, want);
        cr_assert_eq(entry_bytes, LEAF_ENTRY_BYTES);
        cr_assert_eq(memcmp(entry, want, entry_bytes), 0);
        (*seen)++;
        return 0;
}

/* The page's proof: leaf 0 of two. */
static void
check_proof(const char *note, const struct checkpoint *checkpoint)
{
        uint8_t proof[64][HASH_BYTES], entry[LEAF_ENTRY_BYTES], hash[HASH_BYTES];
        char text[NOTE_BYTES_MAX + 4096], *there, why[LOG_WHY_BYTES];
        const char *inside;
        uint64_t leaf;
        unsigned n;

        cr_assert_eq(log_prove(place_path("log"), 0, 2, proof, &n, why), 0, "%s", why);
        cr_assert(proof_write(text, sizeof(text), 0, proof, n, note) > 0);
        there = example_text("tlog-proof", text);
        memset(proof, 0, sizeof(proof));
        cr_assert_eq(proof_parse(there, strlen(there), &leaf, proof, &n, &inside), 0);
        cr_assert_eq(leaf, 0);
        cr_assert_str_eq(inside, note);
        input_entry(0, entry);
        leaf_hash(hash, entry, LEAF_ENTRY_BYTES);
        cr_assert_eq(proof_check(hash, leaf, 2, proof, n, checkpoint->root), 0);
        free(there);
}

/* The page's checkpoint, tile and bundle, as files, are a log that verifies. */
Test(formats, log)
{
        uint8_t seed[32], entries[2 * LEAF_ENTRY_BYTES], *made, *tile, *bundle;
        char vkey[NOTE_VKEY_BYTES_MAX], note[NOTE_BYTES_MAX], why[LOG_WHY_BYTES] = "", *there;
        const char *head_paths[] = {place};
        struct log_config config = {.path = place_path("log"), .head_paths = head_paths};
        struct note_verifier verifier;
        struct checkpoint checkpoint;
        struct note_signer *signer;
        struct log *log;
        unsigned seen = 0;
        size_t tile_bytes, bundle_bytes;

        config.head_paths_n = 1;
        input_log_seed(seed);
        cr_assert_eq(note_signer_create(&signer, INPUT_ORIGIN, seed), 0);
        config.signer = signer;
        cr_assert_eq(log_open(&log, &config, why), 0, "%s", why);
        input_entry(0, entries);
        input_entry(1, entries + LEAF_ENTRY_BYTES);
        cr_assert_eq(log_append(log, entries, 2), 0);
        cr_assert_eq(log_publish(log), 0, "%s", log_why(log));
        cr_assert(log_checkpoint(log, note, sizeof(note)) > 0);
        log_close(log);

        note_signer_verifier(signer, &verifier);
        cr_assert_eq(note_vkey_write(vkey, &verifier), 0);
        strcat(vkey, "\n");
        there = example_text("vkey", vkey);
        *strchr(there, '\n') = '\0';
        cr_assert_eq(note_vkey_read(&verifier, there), 0);
        free(there);
        there = example_text("checkpoint", note);
        place_write("log/checkpoint", there, strlen(there), 0);
        free(there);
        made = place_read("log/tile/0/000.p/2", &tile_bytes);
        tile = example("tile", made, tile_bytes);
        place_write("log/tile/0/000.p/2", tile, tile_bytes, 0);
        free(made);
        made = place_read("log/tile/entries/000.p/2", &bundle_bytes);
        bundle = example("entry-bundle", made, bundle_bytes);
        place_write("log/tile/entries/000.p/2", bundle, bundle_bytes, 0);
        free(made);

        cr_assert_eq(log_verify(place_path("log"), &verifier, check_entry, &seen, &checkpoint, why),
            0, "%s", why);
        cr_assert_eq(seen, 2);
        cr_assert_str_eq(checkpoint.origin, INPUT_ORIGIN);
        check_proof(note, &checkpoint);
        free(tile);
        free(bundle);
        note_signer_free(signer);
}
