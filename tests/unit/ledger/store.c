/* SPDX-License-Identifier: Apache-2.0 */
/* The in-place store: a put that returned is there in both copies, a torn write costs nothing, and
 * what was erased is gone from the files. */
#include "ledger/store.h"

#include "vault_helpers.h"

#include <signal.h>
#include <sys/resource.h>

#define SLOTS_SEEN 5000u

struct seen {
        uint32_t n, last;
        uint32_t bytes[SLOTS_SEEN];
        uint8_t values[SLOTS_SEEN][STORE_VALUE_BYTES];
};

static struct seen seen;

static int
see(void *user, uint32_t slot, const uint8_t *value, uint32_t value_bytes)
{
        struct seen *s = user;
        cr_assert(slot < SLOTS_SEEN && value_bytes <= STORE_VALUE_BYTES);
        cr_assert(s->n == 0 || slot > s->last, "in order");
        s->n++;
        s->last = slot;
        s->bytes[slot] = value_bytes + 1; /* 0: not seen */
        memcpy(s->values[slot], value, value_bytes);
        return 0;
}

static int
open_seen(struct store **store, const char *path)
{
        char why[STORE_WHY_BYTES];
        memset(&seen, 0, sizeof(seen));
        int error = store_open(store, path, see, &seen, why);
        cr_assert(error == 0 || why[0] != '\0');
        return error;
}

static uint32_t
value_make(uint8_t value[STORE_VALUE_BYTES], uint32_t slot, uint32_t version)
{
        uint8_t seed[randombytes_SEEDBYTES] = {0};
        memcpy(seed, &slot, sizeof(slot));
        memcpy(seed + 4, &version, sizeof(version));
        randombytes_buf_deterministic(value, STORE_VALUE_BYTES, seed);
        return 1 + slot * 37 % STORE_VALUE_BYTES;
}

static void
put(struct store *store, uint32_t slot, uint32_t version)
{
        uint8_t value[STORE_VALUE_BYTES];
        uint32_t bytes = value_make(value, slot, version);
        cr_assert_eq(store_put(store, slot, value, bytes), 0);
}

static void
seen_check(uint32_t slot, uint32_t version)
{
        uint8_t value[STORE_VALUE_BYTES];
        uint32_t bytes = value_make(value, slot, version);
        cr_assert_eq(seen.bytes[slot], bytes + 1, "slot %u", slot);
        cr_assert_eq(memcmp(seen.values[slot], value, bytes), 0, "slot %u", slot);
}

static void
copy_path(char out[PATH_MAX], const char *path, char copy)
{
        snprintf(out, PATH_MAX, "%.4000s/store.%c", path, copy);
}

static uint64_t
slot_offset(uint32_t slot)
{
        return BLOCK_BYTES + (uint64_t)slot * STORE_SLOT_BYTES;
}

/* Whether the file holds the bytes anywhere. */
static bool
file_holds(const char *file, const uint8_t *bytes, size_t n)
{
        struct stat st;
        cr_assert_eq(stat(file, &st), 0);
        uint8_t *all = malloc((size_t)st.st_size);
        raw_read(file, 0, all, (size_t)st.st_size);
        bool found = memmem(all, (size_t)st.st_size, bytes, n) != NULL;
        free(all);
        return found;
}

Test(store, keeps_what_was_put)
{
        char path[PATH_MAX];
        struct store *store;
        folder_new(path);
        cr_assert_eq(open_seen(&store, path), 0);
        cr_assert_eq(store_end(store), 0);
        static const uint32_t slots[] = {0, 1, 7, 8, 9, 2047, 2048, 4100};
        for (unsigned i = 0; i < 8; i++)
                put(store, slots[i], 1);
        put(store, 7, 2);
        cr_assert_eq(store_put(store, 3, "", 0), 0, "an empty value is one");
        cr_assert_eq(store_end(store), 4101);
        store_close(store);
        cr_assert_eq(open_seen(&store, path), 0);
        cr_assert_eq(seen.n, 9);
        for (unsigned i = 0; i < 8; i++)
                seen_check(slots[i], slots[i] == 7 ? 2 : 1);
        cr_assert_eq(seen.bytes[3], 1);
        cr_assert_eq(store_end(store), 4101);
        store_close(store);
        folder_remove(path);
}

Test(store, senseless_puts_are_refused)
{
        char path[PATH_MAX];
        struct store *store;
        uint8_t value[STORE_VALUE_BYTES + 1] = {0};
        folder_new(path);
        cr_assert_eq(open_seen(&store, path), 0);
        cr_assert_eq(store_put(store, STORE_SLOTS_MAX, value, 1), -EINVAL);
        cr_assert_eq(store_put(store, 0, value, sizeof(value)), -EINVAL);
        cr_assert_eq(store_erase(store, STORE_SLOTS_MAX), -EINVAL);
        struct store_item twice[2] = {{5, 1, value}, {5, 1, value}};
        cr_assert_eq(store_put_many(store, twice, 2), -EINVAL);
        cr_assert_eq(store_put_many(store, NULL, 0), 0);
        cr_assert_eq(store_end(store), 0);
        store_close(store);
        folder_remove(path);
}

Test(store, many_at_once_are_like_many)
{
        char path[PATH_MAX];
        struct store *store;
        enum { N = 3000 };
        static uint8_t values[N][STORE_VALUE_BYTES];
        static struct store_item items[N];
        folder_new(path);
        cr_assert_eq(open_seen(&store, path), 0);
        put(store, 11, 9);
        /* Every slot but each fifth, in an order that is not the slots'. */
        uint32_t n = 0;
        for (uint32_t i = 0; i < N; i++) {
                uint32_t slot = i * 1009 % N;
                if (slot % 5 == 1)
                        continue;
                uint32_t bytes = value_make(values[n], slot, 1);
                items[n] = (struct store_item){slot, bytes, values[n]};
                n++;
        }
        cr_assert_eq(store_put_many(store, items, n), 0);
        store_close(store);
        cr_assert_eq(open_seen(&store, path), 0);
        cr_assert_eq(seen.n, n + 1);
        for (uint32_t slot = 0; slot < N; slot++) {
                if (slot % 5 != 1)
                        seen_check(slot, 1);
                else
                        cr_assert_eq(seen.bytes[slot] != 0, slot == 11);
        }
        seen_check(11, 9);
        store_close(store);
        folder_remove(path);
}

/* A put was cut off while it wrote one copy: what it left there of the block does not matter. */
static void
torn_copy(char copy, uint32_t version_expected)
{
        char path[PATH_MAX], file[PATH_MAX];
        struct store *store;
        uint8_t old[BLOCK_BYTES], garbage[STORE_SLOT_BYTES];
        memset(garbage, 0xa5, sizeof(garbage));
        folder_new(path);
        copy_path(file, path, copy);
        for (uint32_t at = 0; at < BLOCK_BYTES; at += STORE_SLOT_BYTES) {
                cr_assert_eq(open_seen(&store, path), 0);
                for (uint32_t slot = 8; slot < 16; slot++)
                        put(store, slot, 1);
                char b[PATH_MAX];
                copy_path(b, path, 'b');
                raw_read(b, slot_offset(8), old, sizeof(old));
                for (uint32_t slot = 8; slot < 16; slot++)
                        put(store, slot, 2);
                store_close(store);
                /* a torn: b is not begun. b torn: a is done. */
                if (copy == 'a')
                        raw_write(b, slot_offset(8), old, sizeof(old));
                for (uint32_t i = 0; i <= at; i += STORE_SLOT_BYTES)
                        raw_write(file, slot_offset(8) + i, garbage, sizeof(garbage));
                cr_assert_eq(open_seen(&store, path), 0);
                for (uint32_t slot = 8; slot < 16; slot++)
                        seen_check(
                            slot, (slot - 8) * STORE_SLOT_BYTES <= at ? version_expected : 2);
                store_close(store);
                /* Repaired: now the other copy may be lost. */
                char other[PATH_MAX];
                copy_path(other, path, copy == 'a' ? 'b' : 'a');
                raw_write(other, slot_offset(8), garbage, sizeof(garbage));
                cr_assert_eq(open_seen(&store, path), 0);
                seen_check(8, version_expected);
                store_close(store);
        }
        folder_remove(path);
}

Test(store, a_torn_write_of_a_leaves_the_old_value)
{
        torn_copy('a', 1);
}

Test(store, a_torn_write_of_b_leaves_the_new_value)
{
        torn_copy('b', 2);
}

Test(store, damage_in_both_copies_is_told)
{
        char path[PATH_MAX], a[PATH_MAX], b[PATH_MAX], why[STORE_WHY_BYTES];
        struct store *store;
        folder_new(path);
        copy_path(a, path, 'a');
        copy_path(b, path, 'b');
        cr_assert_eq(open_seen(&store, path), 0);
        put(store, 21, 1);
        put(store, 22, 1);
        store_close(store);
        for (uint64_t at = 0; at < STORE_SLOT_BYTES; at += 37) {
                raw_flip(a, slot_offset(21) + at, 2);
                raw_flip(b, slot_offset(21) + (at + 100) % STORE_SLOT_BYTES, 2);
                cr_assert_eq(store_open(&store, path, see, &seen, why), -EBADMSG);
                cr_assert_not_null(strstr(why, "slot 21"), "%s", why);
                raw_flip(a, slot_offset(21) + at, 2);
                raw_flip(b, slot_offset(21) + (at + 100) % STORE_SLOT_BYTES, 2);
        }
        /* A whole slot in another's place is damage too. */
        uint8_t slot[STORE_SLOT_BYTES];
        raw_read(a, slot_offset(22), slot, sizeof(slot));
        raw_write(a, slot_offset(21), slot, sizeof(slot));
        cr_assert_eq(open_seen(&store, path), 0);
        seen_check(21, 1);
        store_close(store);
        folder_remove(path);
}

Test(store, erase_leaves_nothing)
{
        char path[PATH_MAX], files[2][PATH_MAX];
        struct store *store;
        uint8_t value[STORE_VALUE_BYTES], next[STORE_VALUE_BYTES];
        folder_new(path);
        copy_path(files[0], path, 'a');
        copy_path(files[1], path, 'b');
        cr_assert_eq(open_seen(&store, path), 0);
        value_make(value, 12, 1);
        value_make(next, 12, 2);
        cr_assert_eq(store_put(store, 12, value, sizeof(value)), 0);
        put(store, 13, 1);
        for (unsigned i = 0; i < 2; i++)
                cr_assert(file_holds(files[i], value, 16));
        cr_assert_eq(store_put(store, 12, next, 20), 0);
        for (unsigned i = 0; i < 2; i++) {
                cr_assert(!file_holds(files[i], value + STORE_VALUE_BYTES - 16, 16), "overwritten");
                cr_assert(file_holds(files[i], next, 16));
        }
        cr_assert_eq(store_erase(store, 12), 0);
        for (unsigned i = 0; i < 2; i++)
                cr_assert(!file_holds(files[i], next, 16));
        cr_assert_eq(store_erase(store, 400), 0, "never used");
        cr_assert_eq(store_end(store), 14);
        store_close(store);
        cr_assert_eq(open_seen(&store, path), 0);
        cr_assert_eq(seen.n, 1);
        seen_check(13, 1);
        put(store, 12, 3);
        store_close(store);
        cr_assert_eq(open_seen(&store, path), 0);
        seen_check(12, 3);
        store_close(store);
        folder_remove(path);
}

/* An erasure that was cut off after the first copy: the value does not come back, and goes from the
 * other. */
Test(store, an_erasure_wins_over_the_old_value)
{
        char path[PATH_MAX], b[PATH_MAX];
        struct store *store;
        uint8_t old[STORE_SLOT_BYTES];
        folder_new(path);
        copy_path(b, path, 'b');
        cr_assert_eq(open_seen(&store, path), 0);
        put(store, 5, 1);
        raw_read(b, slot_offset(5), old, sizeof(old));
        cr_assert_eq(store_erase(store, 5), 0);
        store_close(store);
        raw_write(b, slot_offset(5), old, sizeof(old));
        cr_assert_eq(open_seen(&store, path), 0);
        cr_assert_eq(seen.n, 0);
        cr_assert(!file_holds(b, old + 24, 16));
        store_close(store);
        folder_remove(path);
}

Test(store, a_lost_file_is_made_from_the_other)
{
        for (char copy = 'a'; copy <= 'b'; copy++) {
                char path[PATH_MAX], file[PATH_MAX], other[PATH_MAX];
                struct store *store;
                folder_new(path);
                copy_path(file, path, copy);
                copy_path(other, path, copy == 'a' ? 'b' : 'a');
                cr_assert_eq(open_seen(&store, path), 0);
                for (uint32_t slot = 0; slot < 2100; slot += 50)
                        put(store, slot, 1);
                store_close(store);
                cr_assert_eq(unlink(file), 0);
                cr_assert_eq(open_seen(&store, path), 0);
                store_close(store);
                raw_flip(other, 20, 1); /* its first block */
                raw_flip(other, slot_offset(50) + 40, 1);
                cr_assert_eq(open_seen(&store, path), 0);
                for (uint32_t slot = 0; slot < 2100; slot += 50)
                        seen_check(slot, 1);
                store_close(store);
                folder_remove(path);
        }
}

Test(store, files_of_something_else_are_refused)
{
        char path[PATH_MAX], other[PATH_MAX], a[PATH_MAX], from[PATH_MAX];
        struct store *store;
        folder_new(path);
        folder_new(other);
        copy_path(a, path, 'a');
        int fd = open(a, O_CREAT | O_WRONLY, 0600);
        cr_assert_eq(write(fd, "dear diary", 10), 10);
        close(fd);
        cr_assert_eq(open_seen(&store, path), -EBADMSG);
        unlink(a);
        cr_assert_eq(open_seen(&store, path), 0);
        store_close(store);
        cr_assert_eq(open_seen(&store, other), 0);
        store_close(store);
        copy_path(from, other, 'a');
        cr_assert_eq(rename(from, a), 0);
        cr_assert_eq(open_seen(&store, path), -EBADMSG, "copies of two stores");
        folder_remove(path);
        folder_remove(other);
}

/* Too little room to grow: an error, and everything before is as it was. */
Test(store, a_full_disk_leaves_the_old_values)
{
        char path[PATH_MAX];
        struct store *store;
        folder_new(path);
        cr_assert_eq(open_seen(&store, path), 0);
        put(store, 0, 1);
        signal(SIGXFSZ, SIG_IGN);
        struct rlimit limit, small = {3u << 19, RLIM_INFINITY};
        cr_assert_eq(getrlimit(RLIMIT_FSIZE, &limit), 0);
        small.rlim_max = limit.rlim_max;
        cr_assert_eq(setrlimit(RLIMIT_FSIZE, &small), 0);
        uint8_t value[8] = {1};
        int error = store_put(store, 4000, value, sizeof(value));
        for (char copy = 'a'; copy <= 'b'; copy++) {
                char file[PATH_MAX];
                struct stat st;
                copy_path(file, path, copy);
                cr_assert_eq(stat(file, &st), 0);
                cr_assert_eq(st.st_size, BLOCK_BYTES + (1 << 20), "what was grown is given back");
        }
        put(store, 1, 1);
        put(store, 0, 2);
        cr_assert_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
        cr_assert_eq(error, -EFBIG);
        put(store, 4000, 1);
        store_close(store);
        cr_assert_eq(open_seen(&store, path), 0);
        cr_assert_eq(seen.n, 3);
        seen_check(0, 2);
        seen_check(1, 1);
        seen_check(4000, 1);
        store_close(store);
        folder_remove(path);
}
