/* SPDX-License-Identifier: Apache-2.0 */
/* What is kept in copies on every volume: the store, the signer's memory and the boot epoch. Any m
 * volumes may be lost, and none of them forgets, forks or goes back. */
#include "ledger/head.h"
#include "ledger/store.h"

#include "faulty_io.h"
#include "vault_helpers.h"

#define DATA   3u
#define PARITY 2u
#define N      (DATA + PARITY)
#define SLOTS  200u

static struct writing w;
static uint32_t seen[SLOTS];

static int
see(void *user, uint32_t slot, const uint8_t *value, uint32_t value_bytes)
{
        cr_assert(slot < SLOTS && value_bytes == sizeof(uint32_t));
        memcpy(&seen[slot], value, value_bytes);
        return 0;
}

static int
open_store(struct store **store, char *why)
{
        struct store_volumes volumes = {w.volumes, DATA, PARITY, &faulty.io};
        memset(seen, 0, sizeof(seen));
        return store_open_volumes(store, &volumes, see, NULL, why);
}

static struct store *
open_well(void)
{
        struct store *store;
        char why[STORE_WHY_BYTES];
        cr_assert_eq(open_store(&store, why), 0, "%s", why);
        return store;
}

static void
put(struct store *store, uint32_t slot, uint32_t value)
{
        cr_assert_eq(store_put(store, slot, &value, sizeof(value)), 0);
}

static void
begin(void)
{
        writing_init_volumes(&w, DATA, PARITY);
        faulty_io(w.volumes, N);
}

static void
copy_remove(unsigned volume)
{
        char path[PATH_MAX];
        snprintf(path, sizeof(path), "%.4000s/store.a", w.volume_paths[volume]);
        cr_assert_eq(unlink(path), 0);
}

Test(copies, any_k_volumes_have_the_store)
{
        begin();
        for (unsigned a = 0; a < N; a++) {
                struct store *store = open_well();
                cr_assert_eq(store_copies(store), 0x1f);
                for (uint32_t slot = 0; slot < SLOTS; slot += 9)
                        put(store, slot, slot * 3 + a + 1);
                store_close(store);
                copy_remove(a);
                copy_remove((a + 2) % N);
                store = open_well();
                for (uint32_t slot = 0; slot < SLOTS; slot += 9)
                        cr_assert_eq(seen[slot], slot * 3 + a + 1);
                store_close(store);
        }
        writing_end(&w);
}

/* Copies fail one after the other; what a put said was durable is on any k that are left. */
Test(copies, a_put_is_on_more_than_m_volumes)
{
        begin();
        struct store *store = open_well();
        put(store, 1, 1);
        faulty_set(0, FAULT_WRITE_ERROR, EIO);
        put(store, 1, 2);
        cr_assert_eq(store_copies(store), 0x1e);
        faulty_set(3, FAULT_WRITE_ERROR, EIO);
        put(store, 1, 3);
        cr_assert_eq(store_copies(store), 0x16);
        faulty_set(1, FAULT_WRITE_ERROR, EIO);
        uint32_t value = 4;
        cr_assert_eq(store_put(store, 1, &value, sizeof(value)), -EIO, "two are too few");
        store_close(store);
        faulty_io(w.volumes, N);
        /* The two stale copies and one of those with the last value. */
        const char *kept[N];
        memcpy(kept, w.volumes, sizeof(kept));
        w.volumes[2] = w.volumes[4] = NULL;
        store = open_well();
        cr_assert(seen[1] >= 3, "%u", seen[1]);
        cr_assert_eq(store_copies(store), 0x0b);
        store_close(store);
        /* Two are too few to know. */
        char why[STORE_WHY_BYTES];
        w.volumes[1] = NULL;
        cr_assert_eq(open_store(&store, why), -EBADMSG);
        cr_assert_not_null(strstr(why, "3 are needed"), "%s", why);
        memcpy(w.volumes, kept, sizeof(kept));
        writing_end(&w);
}

Test(copies, a_volume_that_joins_gets_every_value)
{
        begin();
        struct store *store = open_well();
        char why[STORE_WHY_BYTES];
        for (uint32_t slot = 0; slot < SLOTS; slot++)
                put(store, slot, slot + 1);
        cr_assert_eq(store_leave(store, 2), 0);
        put(store, 7, 700);
        copy_remove(2);
        cr_assert_eq(store_join(store, 2, w.volume_paths[2], why), 0, "%s", why);
        cr_assert_eq(store_copies(store), 0x1f);
        put(store, 8, 800);
        store_close(store);
        w.volumes[0] = w.volumes[1] = NULL;
        copy_remove(3);
        copy_remove(4);
        store = NULL;
        cr_assert_eq(open_store(&store, why), -EBADMSG, "one copy of the three is there");
        writing_end(&w);
}

/* ---- heads ---- */

static void
head_of(struct head *head)
{
        head->size = w.tree.size;
        tree_root(&w.tree, head->root);
}

static void
vault_make(void)
{
        begin();
        w.config.io = &faulty.io;
        w.config.stepped = true;
        writing_begin(&w);
        cr_assert_eq(writing_group(&w, 20), 0);
}

Test(copies, a_head_is_on_every_member_before_it_is_signed)
{
        vault_make();
        struct head head, read;
        head_of(&head);
        cr_assert_eq(vault_remember(w.vault, &head), 0);
        for (unsigned i = 0; i < N; i++) {
                cr_assert_eq(head_read(w.volume_paths[i], &read), 0);
                cr_assert_eq(read.size, 20);
        }
        faulty_set(1, FAULT_WRITE_ERROR, EIO);
        cr_assert_eq(writing_group(&w, 20), 0);
        head_of(&head);
        cr_assert_eq(vault_remember(w.vault, &head), 0);
        faulty_set(2, FAULT_WRITE_ERROR, EIO);
        head.size = 41;
        cr_assert_eq(vault_remember(w.vault, &head), 0, "and that member is found out");
        cr_assert_eq(vault_tend(w.vault), 0);
        struct vault_status status;
        vault_status(w.vault, &status);
        cr_assert_eq(status.members, N - 2);
        head.size = 40;
        cr_assert_eq(vault_remember(w.vault, &head), -EINVAL, "never back");
        faulty_set(3, FAULT_WRITE_ERROR, EIO);
        head.size = 42;
        cr_assert_eq(vault_remember(w.vault, &head), -EIO, "below the floor nothing is signed");
        writing_end(&w);
}

Test(copies, a_shorter_tree_than_any_volume_remembers_is_refused)
{
        vault_make();
        struct head head;
        head_of(&head);
        head.size++;
        writing_close(&w);
        cr_assert_eq(head_write(w.volume_paths[4], &head), 0);
        cr_assert_eq(writing_recover(&w, 0), -EBADMSG);
        cr_assert_not_null(strstr(w.why, "21 were signed"), "%s", w.why);
        writing_end(&w);
}

Test(copies, another_tree_than_any_volume_remembers_is_refused)
{
        vault_make();
        writing_close(&w);
        struct head head = {.size = 13};
        cr_assert_eq(head_write(w.volume_paths[3], &head), 0);
        cr_assert_eq(writing_recover(&w, 0), -EBADMSG);
        cr_assert_not_null(strstr(w.why, "fork"), "%s", w.why);
        writing_end(&w);
}

/* ---- the boot epoch ---- */

Test(copies, an_epoch_is_above_what_any_k_volumes_know)
{
        begin();
        uint32_t epoch = 0;
        for (unsigned i = 0; i < N; i++)
                cr_assert_eq(mkdir(w.volume_paths[i], 0700), 0);
        cr_assert_eq(boot_epoch_next_all(&faulty.io, w.volumes, N, DATA, 0, &epoch), 0);
        cr_assert_eq(epoch, 1);
        faulty_set(0, FAULT_WRITE_ERROR, EIO);
        faulty_set(1, FAULT_WRITE_ERROR, EIO);
        cr_assert_eq(boot_epoch_next_all(&faulty.io, w.volumes, N, DATA, 0, &epoch), 0);
        cr_assert_eq(epoch, 2);
        faulty_set(2, FAULT_WRITE_ERROR, EIO);
        cr_assert_eq(boot_epoch_next_all(&faulty.io, w.volumes, N, DATA, 0, &epoch), -EIO);
        faulty_io(w.volumes, N);
        cr_assert_eq(boot_epoch_next_all(&faulty.io, w.volumes, DATA, DATA, 0, &epoch), 0);
        cr_assert(epoch >= 3, "%u", epoch);
        writing_end(&w);
}
