/* SPDX-License-Identifier: Apache-2.0 */
/* Promise 5, the signer's memory: it never goes back, and a torn write leaves the head before it.
 * And the boot epoch of promise 4: each start gets a new one. */
#include "ledger/head.h"

#include "vault_helpers.h"

static struct head
head_of(uint64_t size, uint8_t fill)
{
        struct head head = {.size = size};
        memset(head.root, fill, sizeof(head.root));
        return head;
}

static void
head_check(const char *path, uint64_t size, uint8_t fill)
{
        struct head head, want = head_of(size, fill);
        cr_assert_eq(head_read(path, &head), 0);
        cr_assert_eq(head.size, want.size);
        cr_assert_eq(memcmp(head.root, want.root, HASH_BYTES), 0);
}

Test(head, remembers_the_last)
{
        char path[PATH_MAX];
        folder_new(path);
        struct head head;
        cr_assert_eq(head_read(path, &head), -ENOENT);
        for (unsigned i = 0; i < 9; i++) {
                head = head_of(10 * i, (uint8_t)i);
                cr_assert_eq(head_write(path, &head), 0);
                head_check(path, 10 * i, (uint8_t)i);
        }
        folder_remove(path);
}

Test(head, refuses_to_go_back_or_to_fork)
{
        char path[PATH_MAX];
        folder_new(path);
        struct head head = head_of(100, 1);
        cr_assert_eq(head_write(path, &head), 0);
        cr_assert_eq(head_write(path, &head), 0, "the same again is no change");
        head = head_of(99, 1);
        cr_assert_eq(head_write(path, &head), -EINVAL);
        head = head_of(100, 2);
        cr_assert_eq(head_write(path, &head), -EINVAL);
        head_check(path, 100, 1);
        folder_remove(path);
}

/* Whatever a torn write leaves in the block that was being written, the one before it counts. */
Test(head, a_torn_block_leaves_the_one_before)
{
        char path[PATH_MAX], file[PATH_MAX];
        folder_new(path);
        snprintf(file, sizeof(file), "%.4000s/head", path);
        struct head first = head_of(7, 7), second = head_of(8, 8), third = head_of(9, 9);
        cr_assert_eq(head_write(path, &first), 0);
        cr_assert_eq(head_write(path, &second), 0);
        for (uint64_t at = 0; at < 64; at++) {
                raw_flip(file, BLOCK_BYTES + at, 0x10);
                head_check(path, 7, 7);
                raw_flip(file, BLOCK_BYTES + at, 0x10);
                head_check(path, 8, 8);
        }
        cr_assert_eq(head_write(path, &third), 0);
        raw_flip(file, 4000, 1);
        head_check(path, 8, 8);
        cr_assert_eq(head_write(path, &third), 0, "over the damaged block");
        head_check(path, 9, 9);
        raw_flip(file, 17, 1);
        raw_flip(file, BLOCK_BYTES + 17, 1);
        struct head head;
        cr_assert_eq(head_read(path, &head), -EBADMSG);
        cr_assert_eq(head_write(path, &third), -EBADMSG, "no head, no signature");
        folder_remove(path);
}

Test(head, a_short_file_is_damaged)
{
        char path[PATH_MAX], file[PATH_MAX];
        folder_new(path);
        snprintf(file, sizeof(file), "%.4000s/head", path);
        close(open(file, O_CREAT | O_WRONLY, 0600));
        struct head head;
        cr_assert_eq(head_read(path, &head), -EBADMSG);
        folder_remove(path);
}

Test(epoch, counts_starts)
{
        char path[PATH_MAX], file[PATH_MAX];
        folder_new(path);
        snprintf(file, sizeof(file), "%.4000s/epoch", path);
        uint32_t epoch = 0;
        for (uint32_t i = 1; i < 6; i++) {
                cr_assert_eq(boot_epoch_next(path, 0, &epoch), 0);
                cr_assert_eq(epoch, i);
        }
        cr_assert_eq(boot_epoch_next(path, 1000, &epoch), 0);
        cr_assert_eq(epoch, 1001, "above the floor");
        cr_assert_eq(boot_epoch_next(path, 5, &epoch), 0);
        cr_assert_eq(epoch, 1002, "never back");
        cr_assert_eq(boot_epoch_next(path, BOOT_EPOCH_MAX - 1, &epoch), 0);
        cr_assert_eq(epoch, BOOT_EPOCH_MAX);
        cr_assert_eq(boot_epoch_next(path, 0, &epoch), -EOVERFLOW);
        raw_flip(file, 30, 1);
        raw_flip(file, BLOCK_BYTES + 30, 1);
        cr_assert_eq(boot_epoch_next(path, 0, &epoch), -EBADMSG, "not from 1 again");
        folder_remove(path);
}
