/* SPDX-License-Identifier: Apache-2.0 */
/* aorta-verify: checks offline, with libsodium alone, that a sealed record is in a log: no daemon,
 * no network, nothing of the operator's but the log's verifier key. */
#include "control/hex.h"
#include "crypto/note.h"
#include "crypto/seal.h"
#include "ledger/log.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <sodium.h>

#define EXIT_USAGE      2
#define PROOF_BYTES_MAX (3 * NOTE_BYTES_MAX) /* hashes, an extra line, the checkpoint */
#define KEY_BYTES_MAX   80u                  /* 64 digits and white space */
#define CONTENT_JSON    110u

struct question {
        const char *vkey, *key_hash, *key_file, *proof_file, *sealed_file;
};

struct record {
        uint8_t sealed[SEAL_BYTES_MAX];
        size_t sealed_bytes;
        struct seal_header header;
        uint8_t key[SEAL_KEY_BYTES], key_hash[HASH_BYTES];
};

static void
usage(FILE *to)
{
        fputs(
            "usage: aorta-verify --vkey KEY (--key-hash HEX | --key FILE) PROOF SEALED\n"
            "\n"
            "Checks that the sealed record in the file SEALED is in the log whose verifier key is "
            "KEY,\n"
            "by the proof (c2sp.org/tlog-proof@v1) in the file PROOF. Needs no network.\n"
            "\n"
            "  --vkey KEY      the log's verifier key, from who is trusted to know it\n"
            "  --key-hash HEX  SHA-256 of the patient's data key: shows that the record is in the "
            "log\n"
            "  --key FILE      the patient's data key, 64 hexadecimal digits: opens the record "
            "too\n"
            "  --help          this text\n"
            "\n"
            "Exit status: 0 proven, 1 not proven, 2 usage.\n",
            to);
}

static int say(const char *format, ...) __attribute__((format(printf, 1, 2)));

static int
say(const char *format, ...)
{
        va_list list;

        fputs("aorta-verify: NOT proven: ", stderr);
        va_start(list, format);
        vfprintf(stderr, format, list);
        va_end(list);
        fputc('\n', stderr);
        return -1;
}

/* The whole file, at most out_bytes: its length, or -1 told. */
static long
read_file(const char *path, void *out, size_t out_bytes)
{
        size_t n = 0;
        ssize_t got = 1;
        char more;
        int fd = open(path, O_RDONLY | O_CLOEXEC);

        while (fd >= 0 && got > 0) {
                got = n < out_bytes ? read(fd, (char *)out + n, out_bytes - n) : read(fd, &more, 1);
                if (got > 0 && n == out_bytes) {
                        close(fd);
                        return say("%s is longer than it can be", path);
                }
                if (got > 0)
                        n += (size_t)got;
        }
        if (fd < 0 || got < 0) {
                say("%s cannot be read: %s", path, strerror(errno));
                if (fd >= 0)
                        close(fd);
                return -1;
        }
        close(fd);
        return (long)n;
}

static int
read_key(struct record *record, const char *path)
{
        char text[KEY_BYTES_MAX + 1];
        long n = read_file(path, text, KEY_BYTES_MAX);
        int rc = 0;

        if (n < 0)
                return -1;
        text[n] = '\0';
        text[strcspn(text, " \t\r\n")] = '\0';
        if (hex_decode(record->key, sizeof(record->key), text) != SEAL_KEY_BYTES)
                rc = say("%s holds no key: 64 hexadecimal digits", path);
        sodium_memzero(text, sizeof(text));
        seal_key_hash(record->key_hash, record->key);
        return rc;
}

static int
read_record(struct record *record, const struct question *question)
{
        const long n = read_file(question->sealed_file, record->sealed, sizeof(record->sealed));

        if (n < 0)
                return -1;
        record->sealed_bytes = (size_t)n;
        if (seal_header_read(&record->header, record->sealed, record->sealed_bytes) != 0)
                return say("%s is no sealed record", question->sealed_file);
        if (question->key_file != NULL)
                return read_key(record, question->key_file);
        if (hex_decode(record->key_hash, HASH_BYTES, question->key_hash) != HASH_BYTES)
                return say("the key hash is not 64 hexadecimal digits");
        return 0;
}

/* The log's entry for the record, made from what we hold. */
static void
entry_of(uint8_t entry[LEAF_ENTRY_BYTES], const struct record *record)
{
        uint8_t digest[HASH_BYTES];

        seal_digest(digest, record->key_hash, record->sealed, record->sealed_bytes);
        leaf_entry_write(entry, record->header.kind, record->header.received_ns, digest);
}

static int
check_proof(const struct question *question, const struct record *record,
    struct checkpoint *checkpoint, uint64_t *leaf)
{
        static char text[PROOF_BYTES_MAX + 1];
        uint8_t path[64][HASH_BYTES], entry[LEAF_ENTRY_BYTES], hash[HASH_BYTES];
        struct note_verifier verifier;
        const char *note = NULL;
        size_t note_bytes, body = 0;
        unsigned n = 0;
        long bytes;
        int rc;

        if (note_vkey_read(&verifier, question->vkey) != 0)
                return say("the verifier key is malformed");
        bytes = read_file(question->proof_file, text, PROOF_BYTES_MAX);
        if (bytes < 0)
                return -1;
        if (proof_parse(text, (size_t)bytes, leaf, path, &n, &note) != 0)
                return say("%s is no proof (c2sp.org/tlog-proof@v1)", question->proof_file);
        note_bytes = (size_t)(text + bytes - note);
        rc = note_open(note, note_bytes, &verifier, &body);
        if (rc == -ENOKEY)
                return say("the checkpoint is not signed by %s", verifier.name);
        if (rc != 0)
                return say("the checkpoint's signature is bad");
        if (checkpoint_parse(checkpoint, note, body) != 0)
                return say("the checkpoint is malformed");
        if (strcmp(checkpoint->origin, verifier.name) != 0)
                return say("the checkpoint is of another log");
        entry_of(entry, record);
        leaf_hash(hash, entry, sizeof(entry));
        if (proof_check(hash, *leaf, checkpoint->size, (const uint8_t(*)[HASH_BYTES])path, n,
                checkpoint->root) != 0)
                return say("the proof does not lead from this record under this key to the "
                           "checkpoint: another record, another key, or a forged proof");
        return 0;
}

/* What a device wrote may hold anything: what a terminal would obey is shown as hexadecimal. */
static void
print_payload(const uint8_t *plain, size_t n, bool text)
{
        for (size_t i = 0; i < n; i++) {
                if (!text)
                        printf("%02x", plain[i]);
                else if (plain[i] == '\n' || (plain[i] >= 0x20 && plain[i] != 0x7f))
                        putchar(plain[i]);
                else
                        printf("\\x%02x", plain[i]);
        }
        putchar('\n');
}

static int
open_record(const struct record *record)
{
        uint8_t plain[SEAL_PAYLOAD_MAX];
        const bool json = record->header.content_format == CONTENT_JSON;

        if (seal_open_record(plain, record->sealed, record->sealed_bytes, record->key) != 0)
                return say("the record does not open under this key");
        printf("payload     %s, %u bytes:\n", json ? "SenML JSON" : "SenML CBOR, in hexadecimal",
            record->header.payload_bytes);
        print_payload(plain, record->header.payload_bytes, json);
        sodium_memzero(plain, sizeof(plain));
        return 0;
}

static void
tell(const struct record *record, const struct checkpoint *checkpoint, uint64_t leaf)
{
        const time_t received = (time_t)(record->header.received_ns / 1000000000);
        char when[40] = "?";
        struct tm parts;

        if (gmtime_r(&received, &parts) != NULL)
                strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%SZ", &parts);
        printf("proven      leaf %" PRIu64 " of %s, whose tree of %" PRIu64 " leaves it signed\n",
            leaf, checkpoint->origin, checkpoint->size);
        printf("kind        %s\nreceived    %s\n",
            record->header.kind == RECORD_LAB ? "lab (plain CoAP: proves no origin)" : "oscore",
            when);
}

static int
verify(const struct question *question)
{
        struct checkpoint checkpoint;
        struct record record;
        uint64_t leaf = 0;
        int rc;

        memset(&record, 0, sizeof(record));
        rc = read_record(&record, question);
        if (rc == 0)
                rc = check_proof(question, &record, &checkpoint, &leaf);
        if (rc == 0) {
                tell(&record, &checkpoint, leaf);
                if (question->key_file != NULL)
                        rc = open_record(&record);
        }
        sodium_memzero(&record, sizeof(record));
        if (rc == 0 && fflush(stdout) != 0)
                rc = say("the output cannot be written: %s", strerror(errno));
        return rc == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

int
main(int argc, char **argv)
{
        static const struct option options[] = {
            {"vkey", required_argument, NULL, 'v'},
            {"key-hash", required_argument, NULL, 'd'},
            {"key", required_argument, NULL, 'k'},
            {"help", no_argument, NULL, 'h'},
            {0},
        };
        struct question question = {NULL};
        int c;

        while ((c = getopt_long(argc, argv, "h", options, NULL)) != -1) {
                switch (c) {
                case 'v':
                        question.vkey = optarg;
                        break;
                case 'd':
                        question.key_hash = optarg;
                        break;
                case 'k':
                        question.key_file = optarg;
                        break;
                case 'h':
                        usage(stdout);
                        return EXIT_SUCCESS;
                default:
                        usage(stderr);
                        return EXIT_USAGE;
                }
        }
        if (question.vkey == NULL || (question.key_hash == NULL) == (question.key_file == NULL) ||
            argc - optind != 2) {
                usage(stderr);
                return EXIT_USAGE;
        }
        question.proof_file = argv[optind];
        question.sealed_file = argv[optind + 1];
        if (sodium_init() < 0)
                return say("libsodium does not start"), EXIT_FAILURE;
        return verify(&question);
}
