/* SPDX-License-Identifier: Apache-2.0 */
/* Saved replay windows: exact, used once, bound to the vault's tip, and gone whatever they held
 * (promise 2). */
#include "control/windows.h"
#include "tests/unit/control/folder.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <sodium.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define DEVICES 3u

static char folder[64];
static struct contexts *contexts;
static struct context_window windows[DEVICES];
static const struct vault_tip tip = {.leaves = 1000, .groups = 7, .last_group = {1, 2, 3}};

/* Device 0 is fresh, 1 exact with a full set of receipts, 2 unknown. */
static void
make_windows(void)
{
        windows[1].state = WINDOW_KNOWN;
        windows[1].top = UINT64_C(0xfedcba9876);
        windows[1].bits = UINT64_C(0x800000000000000f);
        windows[1].receipts_n = CONTEXT_RECEIPTS;
        for (unsigned i = 0; i < CONTEXT_RECEIPTS; i++) {
                windows[1].receipts[i].partial_iv = windows[1].top - 3 + i;
                windows[1].receipts[i].leaf = 900 + i;
                memset(windows[1].receipts[i].tag, 0x10 + (int)i, 8);
        }
        windows[2].state = WINDOW_UNKNOWN;
        windows[2].top = 41;
        windows[2].bits = 1;
        windows[2].receipts_n = 1;
        windows[2].receipts[0] = (struct context_receipt){.partial_iv = 41, .leaf = 5, .tag = {9}};
}

static void
add_device(uint32_t slot)
{
        struct context_spec spec = {
            .context_id = 100 + slot,
            .slot = slot,
            .generation = 1,
            .native = true,
            .oscore = {.secret_bytes = 16,
                .sender_id_bytes = 1,
                .sender_id = {0x41},
                .recipient_id_bytes = NATIVE_KID_BYTES,
                .alg = 10},
            .window = windows[slot],
        };

        native_kid(spec.oscore.recipient_id, slot, 1);
        spec.oscore.secret[0] = (uint8_t)slot;
        cr_assert_eq(contexts_add(contexts, &spec), 0);
}

static void
setup(void)
{
        struct contexts_config config = {.devices = 64, .patients = 1, .workers = 1};
        uint8_t key[SEAL_KEY_BYTES] = {0};
        char why[512] = "";
        bool locked;

        cr_assert(sodium_init() >= 0);
        /* In memory where there is a place: thousands of flushes follow. */
        strcpy(folder, "/dev/shm/aorta-windows-XXXXXX");
        if (mkdtemp(folder) == NULL)
                folder_make(folder, sizeof(folder));
        cr_assert_eq(contexts_create(&contexts, &config, &locked, why, sizeof(why)), 0, "%s", why);
        cr_assert_eq(contexts_patient_set(contexts, 0, key, 1), 0);
        make_windows();
        for (uint32_t slot = 0; slot < DEVICES; slot++)
                add_device(slot);
        cr_assert_eq(windows_save(folder, contexts, &tip), 0);
}

static void
teardown(void)
{
        contexts_destroy(contexts);
        folder_remove(folder);
}

TestSuite(windows, .init = setup, .fini = teardown);

static bool
there(const char *name)
{
        char path[128];

        snprintf(path, sizeof(path), "%s/%s", folder, name);
        return access(path, F_OK) == 0;
}

static void
put_back(const uint8_t *raw, size_t bytes)
{
        char path[128];
        FILE *file;

        snprintf(path, sizeof(path), "%s/windows", folder);
        file = fopen(path, "wb");
        cr_assert_not_null(file);
        cr_assert_eq(fwrite(raw, 1, bytes, file), bytes);
        fclose(file);
}

static int
count_window(void *user, uint64_t context_id, const struct context_window *window)
{
        (*(unsigned *)user)++;
        return 0;
}

static int
check_window(void *user, uint64_t context_id, const struct context_window *window)
{
        const struct context_window *want;

        cr_assert(context_id >= 100 && context_id < 100 + DEVICES);
        want = &windows[context_id - 100];
        cr_expect_eq(window->state, want->state);
        cr_expect_eq(window->receipts_n, want->receipts_n);
        if (want->state != WINDOW_FRESH) {
                cr_expect_eq(window->top, want->top);
                cr_expect_eq(window->bits, want->bits);
        }
        for (uint32_t i = 0; i < want->receipts_n; i++) {
                cr_expect_eq(window->receipts[i].partial_iv, want->receipts[i].partial_iv);
                cr_expect_eq(window->receipts[i].leaf, want->receipts[i].leaf);
                cr_expect_eq(memcmp(window->receipts[i].tag, want->receipts[i].tag, 8), 0);
        }
        (*(unsigned *)user)++;
        return 0;
}

Test(windows, come_back_exact_and_once)
{
        unsigned seen = 0;
        char path[128];
        struct stat status;

        snprintf(path, sizeof(path), "%s/windows", folder);
        cr_assert_eq(stat(path, &status), 0);
        cr_expect_eq(status.st_mode & 0777, 0600);
        cr_expect_not(there("windows.tmp"));
        cr_assert_eq(windows_take(folder, &tip, check_window, &seen), 0);
        cr_expect_eq(seen, DEVICES);
        cr_expect_not(there("windows"), "windows that were used stand there to be used again");
        seen = 0;
        cr_expect_eq(windows_take(folder, &tip, check_window, &seen), -ENOENT);
        cr_expect_eq(seen, 0);
}

Test(windows, a_later_save_replaces_an_earlier)
{
        struct vault_tip later = tip;
        unsigned seen = 0;

        later.leaves++;
        cr_assert_eq(windows_save(folder, contexts, &later), 0);
        cr_expect_eq(windows_take(folder, &later, check_window, &seen), 0);
        cr_expect_eq(seen, DEVICES);
}

/* A vault that went on, or another one: what the windows say is not the truth any more. */
Test(windows, of_another_tip_are_refused)
{
        unsigned seen = 0;

        for (unsigned i = 0; i < 3; i++) {
                struct vault_tip other = tip;

                if (i == 0)
                        other.leaves++;
                else if (i == 1)
                        other.leaves--;
                else
                        other.last_group[31] ^= 1;
                cr_assert_eq(windows_save(folder, contexts, &tip), 0);
                cr_expect_eq(windows_take(folder, &other, count_window, &seen), -ESTALE);
                cr_expect_eq(seen, 0);
                cr_expect_not(there("windows"));
        }
}

Test(windows, with_a_flipped_bit_are_refused)
{
        size_t bytes;
        uint8_t *raw = folder_read(folder, "windows", &bytes);
        unsigned seen = 0;

        for (size_t bit = 0; bit < bytes * 8; bit++) {
                int r;

                raw[bit / 8] ^= (uint8_t)(1u << bit % 8);
                put_back(raw, bytes);
                raw[bit / 8] ^= (uint8_t)(1u << bit % 8);
                r = windows_take(folder, &tip, count_window, &seen);
                cr_assert(r == -EBADMSG, "bit %zu: %d", bit, r);
                cr_assert_eq(seen, 0);
                cr_assert_not(there("windows"));
        }
        free(raw);
}

Test(windows, cut_off_or_longer_are_refused)
{
        size_t bytes;
        uint8_t *raw = folder_read(folder, "windows", &bytes);
        unsigned seen = 0;

        raw[bytes] = 0;
        for (size_t n = 0; n <= bytes + 1; n++) {
                if (n == bytes)
                        continue;
                put_back(raw, n);
                cr_assert_eq(windows_take(folder, &tip, count_window, &seen), -EBADMSG, "%zu", n);
                cr_assert_eq(seen, 0);
                cr_assert_not(there("windows"));
        }
        free(raw);
}

/* The caller's refusal ends the walk, and the file is gone all the same. */
static int
refuse_window(void *user, uint64_t context_id, const struct context_window *window)
{
        (*(unsigned *)user)++;
        return -EPERM;
}

Test(windows, are_gone_when_their_taker_refuses)
{
        unsigned seen = 0;

        cr_expect_eq(windows_take(folder, &tip, refuse_window, &seen), -EPERM);
        cr_expect_eq(seen, 1);
        cr_expect_not(there("windows"));
}

/* A file that cannot be removed could be taken twice, so it is not taken at all. */
Test(windows, that_cannot_be_removed_are_not_used)
{
        unsigned seen = 0;
        char path[128];

        snprintf(path, sizeof(path), "%s/windows", folder);
        cr_assert_eq(unlink(path), 0);
        cr_assert_eq(mkdir(path, 0700), 0);
        cr_expect_lt(windows_take(folder, &tip, count_window, &seen), 0);
        cr_expect_eq(seen, 0);
        cr_assert_eq(rmdir(path), 0);
        cr_assert_eq(symlink("/etc/hostname", path), 0);
        cr_expect_lt(windows_take(folder, &tip, count_window, &seen), 0);
        cr_expect_eq(seen, 0);
}

Test(windows, are_not_saved_into_a_folder_that_is_not_there)
{
        cr_expect_lt(windows_save("/var/tmp/aorta-no-such-folder", contexts, &tip), 0);
}
