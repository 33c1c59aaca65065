/* SPDX-License-Identifier: Apache-2.0 */
/* The key file, KEY_FILE_BYTES long:
 *
 *   offset  bytes  content
 *        0      8  "AORTAKEY"
 *        8      4  version, 1, little-endian
 *       12      4  zero
 *       16     32  the realm key
 *       48     16  BLAKE2b-128 of bytes 0 to 47
 *
 * The checksum finds a damaged file; it is no secret and needs none (the key is 256 random bits).
 */
#include "crypto/keys.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/mman.h>
#include <sodium.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define KEY_FILE_BYTES    64u
#define KEY_FILE_VERSION  1u
#define AT_VERSION        8u
#define AT_ZERO           12u
#define AT_KEY            16u
#define AT_CHECKSUM       48u
#define CHECKSUM_BYTES    16u
#define FINGERPRINT_BYTES 16u
#define SECURE_PAGE_BYTES (UINT64_C(2) << 20)

static const char KEY_FILE_MAGIC[AT_VERSION] = {'A', 'O', 'R', 'T', 'A', 'K', 'E', 'Y'};
static const char KDF_CONTEXT[crypto_kdf_CONTEXTBYTES] = {'a', 'o', 'r', 't', 'a', 'k', 'e', 'y'};
enum { SUBKEY_WRAP = 1, SUBKEY_FINGERPRINT = 2, SUBKEY_PSEUDONYM = 3 };

/* The realm key itself is needed only to derive these. */
struct realm_key {
        uint8_t wrap[crypto_aead_xchacha20poly1305_ietf_KEYBYTES];
        uint8_t fingerprint[crypto_generichash_KEYBYTES];
        uint8_t pseudonym[crypto_generichash_KEYBYTES];
};

static_assert(WRAP_OVERHEAD == crypto_aead_xchacha20poly1305_ietf_NPUBBYTES +
                                   crypto_aead_xchacha20poly1305_ietf_ABYTES,
    "a nonce and a tag");
static_assert(REALM_KEY_BYTES == crypto_kdf_KEYBYTES, "the realm key is a derivation key");

/* ---- the key file ---- */

static void
file_header(uint8_t file[KEY_FILE_BYTES])
{
        memcpy(file, KEY_FILE_MAGIC, sizeof(KEY_FILE_MAGIC));
        memset(file + AT_VERSION, 0, AT_KEY - AT_VERSION);
        file[AT_VERSION] = KEY_FILE_VERSION;
}

static void
file_checksum(uint8_t checksum[CHECKSUM_BYTES], const uint8_t file[KEY_FILE_BYTES])
{
        crypto_generichash(checksum, CHECKSUM_BYTES, file, AT_CHECKSUM, NULL, 0);
}

static bool
file_valid(const uint8_t file[KEY_FILE_BYTES])
{
        uint8_t header[KEY_FILE_BYTES], checksum[CHECKSUM_BYTES];
        file_header(header);
        file_checksum(checksum, file);
        return memcmp(file, header, AT_KEY) == 0 &&
               sodium_memcmp(file + AT_CHECKSUM, checksum, CHECKSUM_BYTES) == 0;
}

static int
write_all(int fd, const uint8_t *in, size_t bytes)
{
        while (bytes > 0) {
                ssize_t n = write(fd, in, bytes);
                if (n < 0 && errno == EINTR)
                        continue;
                if (n <= 0)
                        return n < 0 ? -errno : -EIO;
                in += n;
                bytes -= (size_t)n;
        }
        return 0;
}

/* Reads bytes or to the file's end; returns what was read or -errno. */
static ssize_t
read_all(int fd, uint8_t *out, size_t bytes)
{
        size_t got = 0;
        while (got < bytes) {
                ssize_t n = read(fd, out + got, bytes - got);
                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return -errno;
                if (n == 0)
                        break;
                got += (size_t)n;
        }
        return (ssize_t)got;
}

static int
flush_folder_of(const char *path)
{
        char folder[PATH_MAX];
        const char *slash = strrchr(path, '/');
        size_t bytes = slash == NULL ? 1 : slash == path ? 1 : (size_t)(slash - path);

        if (bytes >= sizeof(folder))
                return -ENAMETOOLONG;
        memcpy(folder, slash == NULL ? "." : path, bytes);
        folder[bytes] = '\0';
        int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0)
                return -errno;
        int rc = fsync(fd) < 0 ? -errno : 0;
        close(fd); /* nothing was written through it */
        return rc;
}

/* Writes file to a new file at path, flushed. */
static int
write_new_file(const char *path, const uint8_t file[KEY_FILE_BYTES])
{
        int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
        if (fd < 0)
                return -errno;
        int rc = fchmod(fd, 0600) < 0 ? -errno : 0; /* whatever the umask is */
        if (rc == 0)
                rc = write_all(fd, file, KEY_FILE_BYTES);
        if (rc == 0 && fsync(fd) < 0)
                rc = -errno;
        if (close(fd) < 0 && rc == 0)
                rc = -errno;
        if (rc != 0)
                unlink(path);
        return rc;
}

int
realm_key_create_file(const char *path)
{
        char temporary[PATH_MAX];
        int n = snprintf(temporary, sizeof(temporary), "%s.%08x.new", path, randombytes_random());
        if (n < 0 || (size_t)n >= sizeof(temporary))
                return -ENAMETOOLONG;
        if (sodium_init() < 0)
                return -EIO;
        uint8_t *file = sodium_malloc(KEY_FILE_BYTES);
        if (file == NULL)
                return -ENOMEM;
        file_header(file);
        randombytes_buf(file + AT_KEY, REALM_KEY_BYTES);
        file_checksum(file + AT_CHECKSUM, file);

        /* Whole under its name or not there at all: link() refuses a name that is taken. */
        int rc = write_new_file(temporary, file);
        sodium_free(file);
        if (rc != 0)
                return rc;
        if (link(temporary, path) < 0)
                rc = -errno;
        if (unlink(temporary) < 0 && rc == 0)
                rc = -errno;
        return rc != 0 ? rc : flush_folder_of(path);
}

static int
check_file(int fd)
{
        struct stat st;
        if (fstat(fd, &st) < 0)
                return -errno;
        if (!S_ISREG(st.st_mode))
                return -EBADMSG;
        if ((st.st_mode & (S_IRWXG | S_IRWXO)) != 0)
                return -EACCES;
        return st.st_size == KEY_FILE_BYTES ? 0 : -EBADMSG;
}

static int
read_key_file(uint8_t file[KEY_FILE_BYTES], const char *path)
{
        /* O_NONBLOCK: a FIFO under that name must not hold up the start. */
        int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
        if (fd < 0)
                return -errno;
        int rc = check_file(fd);
        if (rc == 0) {
                ssize_t n = read_all(fd, file, KEY_FILE_BYTES);
                if (n < 0)
                        rc = (int)n;
                else if ((size_t)n != KEY_FILE_BYTES || !file_valid(file))
                        rc = -EBADMSG;
        }
        close(fd); /* only read from */
        return rc;
}

int
realm_key_load(struct realm_key **out, const char *path)
{
        if (sodium_init() < 0)
                return -EIO;
        struct realm_key *key = sodium_malloc(sizeof(*key));
        uint8_t *file = sodium_malloc(KEY_FILE_BYTES);
        int rc = key == NULL || file == NULL ? -ENOMEM : read_key_file(file, path);
        if (rc == 0) {
                crypto_kdf_derive_from_key(
                    key->wrap, sizeof(key->wrap), SUBKEY_WRAP, KDF_CONTEXT, file + AT_KEY);
                crypto_kdf_derive_from_key(key->fingerprint, sizeof(key->fingerprint),
                    SUBKEY_FINGERPRINT, KDF_CONTEXT, file + AT_KEY);
                crypto_kdf_derive_from_key(key->pseudonym, sizeof(key->pseudonym), SUBKEY_PSEUDONYM,
                    KDF_CONTEXT, file + AT_KEY);
                if (sodium_mprotect_readonly(key) < 0)
                        rc = -ENOMEM;
        }
        sodium_free(file); /* wipes */
        if (rc != 0) {
                sodium_free(key);
                return rc;
        }
        *out = key;
        return 0;
}

void
realm_key_free(struct realm_key *key)
{
        sodium_free(key);
}

/* ---- wrapping ---- */

int
realm_wrap(const struct realm_key *key, uint8_t *out, const uint8_t *in, size_t in_bytes,
    const void *context, size_t context_bytes)
{
        uint8_t *nonce = out;
        uint8_t *sealed = out + crypto_aead_xchacha20poly1305_ietf_NPUBBYTES;
        unsigned long long sealed_bytes = 0;

        /* Random 24-byte nonces do not repeat (XChaCha20's reason to be). */
        randombytes_buf(nonce, crypto_aead_xchacha20poly1305_ietf_NPUBBYTES);
        if (crypto_aead_xchacha20poly1305_ietf_encrypt(sealed, &sealed_bytes, in, in_bytes, context,
                context_bytes, NULL, nonce, key->wrap) != 0)
                return -EIO;
        assert(sealed_bytes == in_bytes + crypto_aead_xchacha20poly1305_ietf_ABYTES);
        return 0;
}

int
realm_unwrap(const struct realm_key *key, uint8_t *out, const uint8_t *in, size_t in_bytes,
    const void *context, size_t context_bytes)
{
        const size_t nonce_bytes = crypto_aead_xchacha20poly1305_ietf_NPUBBYTES;
        unsigned long long plain_bytes = 0;

        if (in_bytes < WRAP_OVERHEAD)
                return -EBADMSG;
        if (crypto_aead_xchacha20poly1305_ietf_decrypt(out, &plain_bytes, NULL, in + nonce_bytes,
                in_bytes - nonce_bytes, context, context_bytes, in, key->wrap) != 0)
                return -EBADMSG;
        assert(plain_bytes == in_bytes - WRAP_OVERHEAD);
        return 0;
}

void
realm_fingerprint(const struct realm_key *key, uint8_t out[FINGERPRINT_BYTES], const void *data,
    size_t data_bytes)
{
        int rc = crypto_generichash(
            out, FINGERPRINT_BYTES, data, data_bytes, key->fingerprint, sizeof(key->fingerprint));
        assert(rc == 0);
        (void)rc;
}

void
realm_pseudonym(const struct realm_key *key, uint8_t out[FINGERPRINT_BYTES], const void *data,
    size_t data_bytes)
{
        int rc = crypto_generichash(
            out, FINGERPRINT_BYTES, data, data_bytes, key->pseudonym, sizeof(key->pseudonym));
        assert(rc == 0);
        (void)rc;
}

/* ---- secure pages ---- */

/* bytes rounded up to whole huge pages; 0 when that overflows. */
static size_t
secure_bytes(size_t bytes)
{
        if (bytes > SIZE_MAX - (SECURE_PAGE_BYTES - 1))
                return 0;
        return (bytes + SECURE_PAGE_BYTES - 1) / SECURE_PAGE_BYTES * SECURE_PAGE_BYTES;
}

/* Huge pages, or NULL. They are faulted in here: a huge page that a control group withholds would
 * otherwise be a SIGBUS at its first use. */
static void *
map_huge(size_t bytes)
{
        void *pages = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
            MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB | MAP_HUGE_2MB, -1, 0);
        if (pages == MAP_FAILED)
                return NULL;
        /* EINVAL: a kernel before 5.14, which cannot tell. */
        if (madvise(pages, bytes, MADV_POPULATE_WRITE) < 0 && errno != EINVAL) {
                munmap(pages, bytes);
                return NULL;
        }
        return pages;
}

int
secure_pages_alloc(void **out, size_t bytes, enum secure_how *how)
{
        bytes = secure_bytes(bytes);
        if (bytes == 0)
                return -EINVAL;
        *how = SECURE_HUGE;
        void *pages = map_huge(bytes);
        if (pages == NULL) {
                pages =
                    mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
                if (pages == MAP_FAILED)
                        return -errno;
                /* mlock2(): sanitizers turn mlock() into nothing and have it report success. */
                *how = mlock2(pages, bytes, 0) == 0 ? SECURE_LOCKED : SECURE_UNLOCKED;
        }
        if (madvise(pages, bytes, MADV_DONTDUMP) < 0 || madvise(pages, bytes, MADV_DONTFORK) < 0) {
                int rc = -errno;
                munmap(pages, bytes);
                return rc;
        }
        *out = pages;
        return 0;
}

void
secure_pages_free(void *pages, size_t bytes)
{
        if (pages == NULL)
                return;
        bytes = secure_bytes(bytes);
        sodium_memzero(pages, bytes);
        int rc = munmap(pages, bytes);
        assert(rc == 0);
        (void)rc;
}
