/* SPDX-License-Identifier: Apache-2.0 */
/* What the examples of docs/formats.md are made from: fixed keys, nonces, times. */
#ifndef AORTA_TESTS_UNIT_DOCS_INPUTS_H
#define AORTA_TESTS_UNIT_DOCS_INPUTS_H

#include "crypto/seal.h"
#include "ledger/leaf.h"
#include "tests/unit/docs/page.h"

#include <fcntl.h>
#include <ftw.h>
#include <sodium.h>
#include <sys/stat.h>
#include <unistd.h>

#define INPUT_RECEIVED_NS UINT64_C(1767225600123456789) /* 2026-01-01T00:00:00.123456789Z */
#define INPUT_ORIGIN      "aorta.example/log"
#define INPUT_CONTEXT_ID  UINT64_C(7)
#define INPUT_BOOT_EPOCH  UINT64_C(3)

/* bytes counting up from first. */
UNUSED_OK void
input_count(uint8_t *out, size_t bytes, uint8_t first)
{
        for (size_t i = 0; i < bytes; i++)
                out[i] = (uint8_t)(first + i);
}

UNUSED_OK void
input_patient_key(uint8_t key[SEAL_KEY_BYTES])
{
        input_count(key, SEAL_KEY_BYTES, 0x00);
}

UNUSED_OK void
input_realm_key(uint8_t key[32])
{
        input_count(key, 32, 0x20);
}

UNUSED_OK void
input_log_seed(uint8_t seed[32])
{
        input_count(seed, 32, 0x40);
}

static const char input_json[] =
    "[{\"bn\":\"urn:dev:ow:10e2073a01080063:\",\"n\":\"8867-4\",\"u\":\"beat/min\",\"v\":72}]";
/* [{n: "8867-4", u: "beat/min", v: 400}] */
static const uint8_t input_cbor[] = {0x81, 0xa3, 0x00, 0x66, '8', '8', '6', '7', '-', '4', 0x01,
    0x68, 'b', 'e', 'a', 't', '/', 'm', 'i', 'n', 0x02, 0x19, 0x01, 0x90};

/* Record 0: JSON under OSCORE. Record 1: CBOR of a lab device, an implausible heart rate. */
UNUSED_OK uint32_t
input_sealed(unsigned i, uint8_t sealed[SEAL_BYTES_MAX], uint8_t digest[HASH_BYTES])
{
        struct seal_header header = {
            .kind = i == 0 ? RECORD_OSCORE : RECORD_LAB,
            .content_format = i == 0 ? 110 : 112,
            .realm = 1,
            .context_id = INPUT_CONTEXT_ID + i,
            .partial_iv = i == 0 ? 5 : 0,
            .key_epoch = 1,
            .payload_bytes = i == 0 ? sizeof(input_json) - 1 : sizeof(input_cbor),
            .received_ns = INPUT_RECEIVED_NS + i,
            .message_id = i == 0 ? 0 : UINT64_C(0xaf63bd4c8601b7e5) << 16 | 0x1234,
            .flags = i == 0 ? 0 : RECORD_FLAG_IMPLAUSIBLE,
            .oscore_tag_bytes = i == 0 ? 8 : 0,
        };
        const uint8_t *plain = i == 0 ? (const uint8_t *)input_json : input_cbor;
        uint8_t key[SEAL_KEY_BYTES], key_hash[32];
        unsigned long long sealed_bytes;

        if (i == 0)
                input_count(header.oscore_tag, 8, 0xe0);
        seal_nonce(header.nonce, INPUT_BOOT_EPOCH << 36 | UINT64_C(0xabcde) << 16, 0, i);
        input_patient_key(key);
        seal_header_write(sealed, &header);
        crypto_aead_chacha20poly1305_ietf_encrypt(sealed + SEAL_HEADER_BYTES, &sealed_bytes, plain,
            header.payload_bytes, sealed, SEAL_HEADER_BYTES, NULL, header.nonce, key);
        seal_key_hash(key_hash, key);
        seal_digest(digest, key_hash, sealed, SEAL_HEADER_BYTES + sealed_bytes);
        return (uint32_t)(SEAL_HEADER_BYTES + sealed_bytes);
}

UNUSED_OK void
input_entry(unsigned i, uint8_t entry[LEAF_ENTRY_BYTES])
{
        uint8_t sealed[SEAL_BYTES_MAX], digest[HASH_BYTES];

        (void)input_sealed(i, sealed, digest);
        leaf_entry_write(entry, sealed[1], INPUT_RECEIVED_NS + i, digest);
}

/* ---- a folder for one test, on a file system that takes O_DIRECT ---- */

static char place[128];

UNUSED_OK int
place_remove_one(const char *path, const struct stat *status, int kind, struct FTW *ftw)
{
        return remove(path);
}

UNUSED_OK void
place_make(void)
{
        cr_assert(sodium_init() >= 0);
        strcpy(place, "/var/tmp/aorta-docs-XXXXXX");
        cr_assert_not_null(mkdtemp(place));
}

UNUSED_OK void
place_remove(void)
{
        nftw(place, place_remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

UNUSED_OK const char *
place_path(const char *name)
{
        static char paths[4][256];
        static unsigned next;
        char *path = paths[next++ % 4];

        snprintf(path, sizeof(paths[0]), "%s/%s", place, name);
        return path;
}

/* Writes a file, with zeros up to file_bytes. */
UNUSED_OK void
place_write(const char *name, const void *bytes, size_t n, off_t file_bytes)
{
        int fd = open(place_path(name), O_WRONLY | O_CREAT | O_TRUNC, 0600);

        cr_assert(fd >= 0, "%s", name);
        cr_assert_eq(write(fd, bytes, n), (ssize_t)n);
        if (file_bytes > (off_t)n)
                cr_assert_eq(ftruncate(fd, file_bytes), 0);
        close(fd);
}

UNUSED_OK uint8_t *
place_read(const char *name, size_t *n)
{
        uint8_t *bytes = calloc(1, PAGE_BYTES_MAX * 2);
        int fd = open(place_path(name), O_RDONLY);
        ssize_t got;

        cr_assert(fd >= 0, "%s", name);
        got = read(fd, bytes, PAGE_BYTES_MAX * 2);
        cr_assert(got >= 0);
        close(fd);
        *n = (size_t)got;
        return bytes;
}

#endif
