/* SPDX-License-Identifier: Apache-2.0 */
/* Guards: a key file is made once, private and whole; a damaged or readable one is refused; what
 * was wrapped opens only unaltered, under its key and in its context; secure pages are what they
 * say. */
#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "crypto/keys.h"

#define FILE_BYTES 64
#define PAGE_2M    (2u << 20)

static char folder[256];
static char path[300];

static void
setup(void)
{
        const char *tmp = getenv("TMPDIR");
        cr_assert_geq(sodium_init(), 0);
        snprintf(folder, sizeof(folder), "%s/aorta-keys-XXXXXX", tmp != NULL ? tmp : "/tmp");
        cr_assert_not_null(mkdtemp(folder));
        snprintf(path, sizeof(path), "%s/realm.key", folder);
}

static unsigned
entries(bool remove_them)
{
        unsigned n = 0;
        DIR *dir = opendir(folder);
        cr_assert_not_null(dir);
        for (struct dirent *e; (e = readdir(dir)) != NULL;) {
                if (e->d_name[0] == '.')
                        continue;
                n++;
                if (remove_them)
                        unlinkat(dirfd(dir), e->d_name, 0);
        }
        closedir(dir);
        return n;
}

static void
teardown(void)
{
        entries(true);
        rmdir(folder);
}

TestSuite(keys, .init = setup, .fini = teardown);

static void
read_file(uint8_t file[FILE_BYTES])
{
        FILE *f = fopen(path, "rb");
        cr_assert_not_null(f);
        cr_assert_eq(fread(file, 1, FILE_BYTES, f), FILE_BYTES);
        cr_assert_eq(fgetc(f), EOF);
        fclose(f);
}

static void
write_file(const uint8_t *file, size_t bytes)
{
        int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
        cr_assert_geq(fd, 0);
        cr_assert_eq(write(fd, file, bytes), (ssize_t)bytes);
        close(fd);
}

static struct realm_key *
new_key(void)
{
        struct realm_key *key = NULL;
        unlink(path);
        cr_assert_eq(realm_key_create_file(path), 0);
        cr_assert_eq(realm_key_load(&key, path), 0);
        return key;
}

Test(keys, file_is_private_whole_and_never_replaced)
{
        static const mode_t masks[] = {0, 022, 0777};
        uint8_t first[FILE_BYTES], again[FILE_BYTES], sum[16];
        for (unsigned i = 0; i < 3; i++) {
                struct stat st;
                unlink(path);
                umask(masks[i]);
                int rc = realm_key_create_file(path);
                umask(022);
                cr_assert_eq(rc, 0);
                cr_assert_eq(stat(path, &st), 0);
                cr_assert_eq(st.st_mode & 07777, 0600);
                cr_assert_eq(entries(false), 1, "a temporary file stayed behind");
        }
        read_file(first);
        cr_assert_eq(memcmp(first, "AORTAKEY\1\0\0\0\0\0\0\0", 16), 0);
        crypto_generichash(sum, 16, first, 48, NULL, 0);
        cr_assert_arr_eq(first + 48, sum, 16);
        cr_assert_eq(realm_key_create_file(path), -EEXIST);
        read_file(again);
        cr_assert_arr_eq(first, again, FILE_BYTES);
        cr_assert_eq(entries(false), 1);
        unlink(path);
        cr_assert_eq(realm_key_create_file(path), 0);
        read_file(again);
        cr_assert_arr_neq(first + 16, again + 16, 32, "two keys are the same");
}

Test(keys, file_cannot_be_made)
{
        char where[400];
        snprintf(where, sizeof(where), "%s/absent/realm.key", folder);
        cr_assert_eq(realm_key_create_file(where), -ENOENT);
        char *longest = malloc(10000);
        memset(longest, 'x', 9999);
        longest[9999] = '\0';
        cr_assert_eq(realm_key_create_file(longest), -ENAMETOOLONG);
        free(longest);
        /* A dangling symbolic link is a name that is taken. */
        snprintf(where, sizeof(where), "%s/elsewhere", folder);
        cr_assert_eq(symlink(where, path), 0);
        cr_assert_eq(realm_key_create_file(path), -EEXIST);
        cr_assert_neq(access(where, F_OK), 0);
}

Test(keys, damaged_files_are_refused)
{
        struct realm_key *key = NULL;
        uint8_t file[FILE_BYTES + 1] = {0};
        cr_assert_eq(realm_key_load(&key, path), -ENOENT);
        cr_assert_eq(realm_key_create_file(path), 0);
        read_file(file);
        for (unsigned bit = 0; bit < FILE_BYTES * 8; bit++) {
                file[bit / 8] ^= (uint8_t)(1 << (bit % 8));
                write_file(file, FILE_BYTES);
                cr_assert_eq(realm_key_load(&key, path), -EBADMSG, "bit %u", bit);
                file[bit / 8] ^= (uint8_t)(1 << (bit % 8));
        }
        for (unsigned cut = 0; cut <= FILE_BYTES + 1; cut++) {
                if (cut == FILE_BYTES)
                        continue;
                write_file(file, cut);
                cr_assert_eq(realm_key_load(&key, path), -EBADMSG, "%u bytes", cut);
        }
        cr_assert_null(key);
        write_file(file, FILE_BYTES);
        cr_assert_eq(realm_key_load(&key, path), 0);
        realm_key_free(key);
}

Test(keys, open_modes_and_odd_files_are_refused)
{
        static const mode_t bad[] = {0640, 0604, 0660, 0644, 0666, 0620};
        struct realm_key *key = NULL;
        cr_assert_eq(realm_key_create_file(path), 0);
        for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
                cr_assert_eq(chmod(path, bad[i]), 0);
                cr_assert_eq(realm_key_load(&key, path), -EACCES, "mode %o", bad[i]);
        }
        cr_assert_eq(chmod(path, 0400), 0);
        cr_assert_eq(realm_key_load(&key, path), 0);
        realm_key_free(key);
        cr_assert_eq(realm_key_load(&key, folder), -EBADMSG, "a folder");
        unlink(path);
        cr_assert_eq(mkfifo(path, 0600), 0);
        cr_assert_eq(realm_key_load(&key, path), -EBADMSG, "a FIFO");
}

Test(keys, wrapped_opens_only_as_it_was_wrapped)
{
        struct realm_key *key = new_key(), *same = NULL;
        uint8_t secret[DATA_KEY_BYTES], wrapped[WRAPPED_KEY_BYTES], twin[WRAPPED_KEY_BYTES];
        uint8_t out[DATA_KEY_BYTES];
        randombytes_buf(secret, sizeof(secret));
        cr_assert_eq(realm_wrap(key, wrapped, secret, sizeof(secret), "patient7", 8), 0);
        cr_assert_eq(realm_wrap(key, twin, secret, sizeof(secret), "patient7", 8), 0);
        cr_assert_arr_neq(wrapped, twin, 24, "a nonce came twice");

        cr_assert_eq(realm_key_load(&same, path), 0);
        cr_assert_eq(realm_unwrap(same, out, wrapped, sizeof(wrapped), "patient7", 8), 0);
        cr_assert_arr_eq(out, secret, sizeof(secret));
        realm_key_free(same);

        for (size_t bit = 0; bit < sizeof(wrapped) * 8; bit++) {
                wrapped[bit / 8] ^= (uint8_t)(1 << (bit % 8));
                cr_assert_eq(
                    realm_unwrap(key, out, wrapped, sizeof(wrapped), "patient7", 8), -EBADMSG);
                wrapped[bit / 8] ^= (uint8_t)(1 << (bit % 8));
        }
        for (size_t cut = 0; cut < sizeof(wrapped); cut++)
                cr_assert_eq(realm_unwrap(key, out, wrapped, cut, "patient7", 8), -EBADMSG);
        cr_assert_eq(realm_unwrap(key, out, wrapped, sizeof(wrapped), "patient8", 8), -EBADMSG);
        cr_assert_eq(realm_unwrap(key, out, wrapped, sizeof(wrapped), "patient7", 7), -EBADMSG);
        cr_assert_eq(realm_unwrap(key, out, wrapped, sizeof(wrapped), NULL, 0), -EBADMSG);
        struct realm_key *other = new_key();
        cr_assert_eq(realm_unwrap(other, out, wrapped, sizeof(wrapped), "patient7", 8), -EBADMSG);
        cr_assert_eq(realm_unwrap(key, out, wrapped, sizeof(wrapped), "patient7", 8), 0);
        realm_key_free(other);
        realm_key_free(key);
}

Test(keys, fingerprints)
{
        struct realm_key *key = new_key(), *other = new_key();
        uint8_t a[16], b[16];
        realm_fingerprint(key, a, "secret", 6);
        realm_fingerprint(key, b, "secret", 6);
        cr_assert_arr_eq(a, b, 16);
        realm_fingerprint(key, b, "secres", 6);
        cr_assert_arr_neq(a, b, 16);
        realm_fingerprint(other, b, "secret", 6);
        cr_assert_arr_neq(a, b, 16, "a fingerprint that needs no key");
        crypto_generichash(b, 16, (const uint8_t *)"secret", 6, NULL, 0);
        cr_assert_arr_neq(a, b, 16);
        realm_key_free(key);
        realm_key_free(other);
}

/* ---- secure pages ---- */

/* Locked kilobytes of this process, or -1 where the kernel does not tell. */
static long
locked_kb(void)
{
        char line[200];
        long kb = -1;
        FILE *f = fopen("/proc/self/status", "r");
        if (f == NULL)
                return -1;
        while (fgets(line, sizeof(line), f) != NULL && sscanf(line, "VmLck: %ld", &kb) != 1)
                ;
        fclose(f);
        return kb;
}

static void
check_how(enum secure_how how, long before, long after, long bytes)
{
        if (before < 0 || after < 0)
                return;
        if (how == SECURE_LOCKED)
                cr_assert_geq(after - before, bytes / 1024, "said to be locked");
        if (how == SECURE_UNLOCKED)
                cr_assert_eq(after, before, "said not to be locked");
}

static bool
all_zero(const uint8_t *p, size_t bytes)
{
        return sodium_is_zero(p, bytes) == 1;
}

Test(keys, secure_pages_are_zero_and_writable)
{
        static const size_t sizes[] = {1, PAGE_2M, PAGE_2M + 1};
        for (unsigned i = 0; i < 3; i++) {
                for (unsigned round = 0; round < 2; round++) {
                        size_t rounded = sizes[i] > PAGE_2M ? 2 * PAGE_2M : PAGE_2M;
                        void *pages = NULL;
                        enum secure_how how;
                        long before = locked_kb();
                        cr_assert_eq(secure_pages_alloc(&pages, sizes[i], &how), 0);
                        check_how(how, before, locked_kb(), (long)rounded);
                        cr_assert(all_zero(pages, rounded));
                        memset(pages, 0xc3, rounded);
                        secure_pages_free(pages, sizes[i]);
                        cr_assert_eq(locked_kb(), before);
                }
        }
        secure_pages_free(NULL, 1);
}

Test(keys, secure_pages_of_impossible_sizes)
{
        void *pages = NULL;
        enum secure_how how;
        cr_assert_eq(secure_pages_alloc(&pages, 0, &how), -EINVAL);
        cr_assert_eq(secure_pages_alloc(&pages, SIZE_MAX, &how), -EINVAL);
        cr_assert_eq(secure_pages_alloc(&pages, SIZE_MAX - PAGE_2M, &how), -ENOMEM);
        cr_assert_null(pages);
}

/* A child has no mapping there: mincore() says so without touching it. */
Test(keys, secure_pages_stay_out_of_children)
{
        void *pages = NULL;
        enum secure_how how;
        int status = 0;
        cr_assert_eq(secure_pages_alloc(&pages, 1, &how), 0);
        memset(pages, 1, PAGE_2M);
        pid_t child = fork();
        cr_assert_geq(child, 0);
        if (child == 0) {
                unsigned char seen[1];
                _exit(mincore(pages, 4096, seen) < 0 && errno == ENOMEM ? 0 : 1);
        }
        cr_assert_eq(waitpid(child, &status, 0), child);
        cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0, "a child sees the keys");
        secure_pages_free(pages, 1);
}

/* Without the right to lock, memory is given all the same, and how says the truth. */
Test(keys, secure_pages_without_the_right_to_lock)
{
        struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
        struct __user_cap_data_struct caps[2];
        struct rlimit none = {0, 0};
        cr_assert_eq(syscall(SYS_capget, &header, caps), 0);
        caps[0].effective &= ~(1u << CAP_IPC_LOCK);
        cr_assert_eq(syscall(SYS_capset, &header, caps), 0);
        cr_assert_eq(setrlimit(RLIMIT_MEMLOCK, &none), 0);

        /* What the kernel really grants now; mlock2(), which sanitizers do not replace. */
        void *probe = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        cr_assert_neq(probe, MAP_FAILED);
        bool may_lock = mlock2(probe, 4096, 0) == 0;
        munmap(probe, 4096);

        void *pages = NULL;
        enum secure_how how;
        long before = locked_kb();
        cr_assert_eq(secure_pages_alloc(&pages, 1, &how), 0);
        check_how(how, before, locked_kb(), PAGE_2M);
        if (!may_lock)
                cr_assert_neq(how, SECURE_LOCKED);
        cr_assert(all_zero(pages, PAGE_2M));
        secure_pages_free(pages, 1);
}
