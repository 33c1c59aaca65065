/* SPDX-License-Identifier: Apache-2.0 */
/* Guards the table of contexts: what is found and what is not, reuse only when nothing is pending,
 * windows and receipts that survive a clean stop, 512 bytes a device. */
#include "dataplane/contexts.h"
#include "dataplane/contexts_private.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <urcu-qsbr.h>

#define DEVICES  300u
#define PATIENTS 10u

static struct contexts *contexts;

static void
setup(void)
{
        struct contexts_config config = {
            .devices = DEVICES, .patients = PATIENTS, .workers = 3, .backend = ENGINE_AUTO};
        uint8_t key[SEAL_KEY_BYTES] = {9};
        char why[512] = "";
        bool locked;

        cr_assert_eq(contexts_create(&contexts, &config, &locked, why, sizeof(why)), 0, "%s", why);
        for (uint32_t patient = 0; patient < PATIENTS; patient++)
                cr_assert_eq(contexts_patient_set(contexts, patient, key, 1), 0);
}

static void
teardown(void)
{
        contexts_destroy(contexts);
}

TestSuite(contexts, .init = setup, .fini = teardown);

static struct context_spec
native_spec(uint32_t slot, uint8_t generation)
{
        struct context_spec spec = {
            .context_id = 1000 + slot * 256 + generation,
            .slot = slot,
            .patient = slot % PATIENTS,
            .generation = generation,
            .native = true,
            .oscore =
                {
                    .secret = {1, 2, 3, (uint8_t)slot, (uint8_t)(slot >> 8), generation},
                    .secret_bytes = 16,
                    .sender_id = {0xff},
                    .sender_id_bytes = 1,
                    .recipient_id_bytes = NATIVE_KID_BYTES,
                    .alg = AEAD_AES_CCM_16_64_128,
                },
        };

        native_kid(spec.oscore.recipient_id, slot, generation);
        return spec;
}

static struct context_spec
foreign_spec(uint32_t slot, const char *kid, const char *id_context)
{
        struct context_spec spec = native_spec(slot, 0);

        spec.native = false;
        memset(spec.oscore.recipient_id, 0, sizeof(spec.oscore.recipient_id));
        spec.oscore.recipient_id_bytes = (uint8_t)strlen(kid);
        memcpy(spec.oscore.recipient_id, kid, strlen(kid));
        if (id_context != NULL) {
                spec.oscore.has_id_context = true;
                spec.oscore.id_context_bytes = (uint8_t)strlen(id_context);
                memcpy(spec.oscore.id_context, id_context, strlen(id_context));
        }
        return spec;
}

static struct context *
find(const void *kid, size_t kid_bytes, const char *id_context)
{
        struct oscore_option option = {
            .kid = kid, .kid_bytes = (uint8_t)kid_bytes, .has_kid = true};

        if (id_context != NULL) {
                option.has_kid_context = true;
                option.kid_context = (const uint8_t *)id_context;
                option.kid_context_bytes = (uint8_t)strlen(id_context);
        }
        return contexts_find(contexts, &option);
}

static struct context *
find_native(uint32_t slot, uint8_t generation)
{
        uint8_t kid[NATIVE_KID_BYTES];

        native_kid(kid, slot, generation);
        return find(kid, sizeof(kid), NULL);
}

Test(contexts, a_native_kid_is_shard_slot_generation)
{
        uint8_t kid[NATIVE_KID_BYTES];

        native_kid(kid, 0x01020305, 0x77);
        cr_assert_arr_eq(kid, ((uint8_t[]){0x05, 0x01, 0x02, 0x03, 0x05, 0x77}), 6);
}

Test(contexts, every_native_device_is_found_and_no_other)
{
        for (uint32_t slot = 0; slot < DEVICES; slot += 2) {
                struct context_spec spec = native_spec(slot, (uint8_t)slot);

                cr_assert_eq(contexts_add(contexts, &spec), 0);
        }
        cr_assert_eq(contexts_count(contexts), DEVICES / 2);
        for (uint32_t slot = 0; slot < DEVICES; slot++) {
                struct context *context = find_native(slot, (uint8_t)slot);

                cr_assert_eq(context != NULL, slot % 2 == 0);
                cr_assert_null(find_native(slot, (uint8_t)(slot + 1)));
                if (context == NULL)
                        continue;
                cr_assert_eq(context_slot(contexts, context), slot);
                cr_assert_eq(context->context_id, 1000 + slot * 256 + (uint8_t)slot);
                cr_assert_eq(context_owner(contexts, context), slot % CONTEXT_SHARDS % 3);
        }
        cr_assert_null(find_native(DEVICES, 0));
        cr_assert_null(find_native(UINT32_MAX, 0));
}

Test(contexts, a_native_kid_of_another_shard_is_none)
{
        struct context_spec spec = native_spec(5, 0);
        uint8_t kid[NATIVE_KID_BYTES];

        cr_assert_eq(contexts_add(contexts, &spec), 0);
        native_kid(kid, 5, 0);
        for (unsigned shard = 0; shard < 256; shard++) {
                kid[0] = (uint8_t)shard;
                cr_assert_eq(find(kid, sizeof(kid), NULL) != NULL, shard == 5);
        }
        for (unsigned bytes = 0; bytes < NATIVE_KID_BYTES; bytes++)
                cr_assert_null(find(kid, bytes, NULL));
}

Test(contexts, foreign_devices_are_found_by_kid_and_id_context)
{
        struct context_spec a = foreign_spec(1, "a", NULL);
        struct context_spec a_one = foreign_spec(2, "a", "one");
        struct context_spec a_empty = foreign_spec(3, "a", "");
        struct context_spec none = foreign_spec(4, "", NULL);
        struct context_spec twice = foreign_spec(6, "a", "one");

        cr_assert_eq(contexts_add(contexts, &a), 0);
        cr_assert_eq(contexts_add(contexts, &a_one), 0);
        cr_assert_eq(contexts_add(contexts, &a_empty), 0);
        cr_assert_eq(contexts_add(contexts, &none), 0);
        cr_assert_eq(contexts_add(contexts, &twice), -EEXIST);
        cr_assert_eq(context_slot(contexts, find("a", 1, NULL)), 1);
        cr_assert_eq(context_slot(contexts, find("a", 1, "one")), 2);
        cr_assert_eq(context_slot(contexts, find("a", 1, "")), 3);
        cr_assert_eq(context_slot(contexts, find("", 0, NULL)), 4);
        cr_assert_null(find("a", 1, "two"));
        cr_assert_null(find("b", 1, NULL));
        cr_assert_null(find("ao", 2, "ne"), "lengths count");
        cr_assert_null(find("12345678", 8, NULL), "longer than any kid");
        cr_assert_null(find("a", 1, "12345678901234567"), "longer than any ID context");
        cr_assert_eq(contexts_count(contexts), 4);
        /* A refused one leaves its slot as it was. */
        cr_assert_eq(contexts_remove(contexts, 6), -ENOENT);
        a = foreign_spec(6, "c", NULL);
        cr_assert_eq(contexts_add(contexts, &a), 0);
        cr_assert_eq(context_slot(contexts, find("c", 1, NULL)), 6);
}

Test(contexts, many_foreign_devices)
{
        char kid[8];

        for (uint32_t slot = 0; slot < DEVICES; slot++) {
                struct context_spec spec;

                snprintf(kid, sizeof(kid), "k%u", slot);
                spec = foreign_spec(slot, kid, slot % 2 == 0 ? NULL : "x");
                cr_assert_eq(contexts_add(contexts, &spec), 0);
        }
        for (uint32_t slot = 0; slot < DEVICES; slot += 3)
                cr_assert_eq(contexts_remove(contexts, slot), 0);
        for (uint32_t slot = 0; slot < DEVICES; slot++) {
                snprintf(kid, sizeof(kid), "k%u", slot);
                cr_assert_eq(
                    find(kid, strlen(kid), slot % 2 == 0 ? NULL : "x") != NULL, slot % 3 != 0);
                cr_assert_null(find(kid, strlen(kid), slot % 2 == 0 ? "x" : NULL));
        }
}

Test(contexts, lab_devices_are_found_by_name)
{
        struct context_spec spec = native_spec(7, 1);

        spec.lab = true;
        strcpy(spec.name, "demo");
        cr_assert_eq(contexts_add(contexts, &spec), 0);
        cr_assert_eq(
            context_slot(contexts, contexts_find_lab(contexts, (const uint8_t *)"demo", 4)), 7);
        cr_assert_null(contexts_find_lab(contexts, (const uint8_t *)"demos", 5));
        cr_assert_null(contexts_find_lab(contexts, (const uint8_t *)"dem", 3));
        cr_assert_null(contexts_find_lab(contexts, (const uint8_t *)"", 0));
        cr_assert_null(find("demo", 4, NULL), "a lab name is no kid");
        spec = native_spec(8, 1);
        spec.lab = true;
        strcpy(spec.name, "demo");
        cr_assert_eq(contexts_add(contexts, &spec), -EEXIST);
        cr_assert_null(find_native(8, 1));
        spec = native_spec(9, 1);
        strcpy(spec.name, "plain");
        cr_assert_eq(contexts_add(contexts, &spec), 0);
        cr_assert_null(contexts_find_lab(contexts, (const uint8_t *)"plain", 5));
        cr_assert_eq(contexts_remove(contexts, 7), 0);
        cr_assert_null(contexts_find_lab(contexts, (const uint8_t *)"demo", 4));
}

Test(contexts, bad_specs_are_refused)
{
        struct context_spec spec = native_spec(1, 0);

        spec.context_id = 0;
        cr_assert_eq(contexts_add(contexts, &spec), -EINVAL);
        spec = native_spec(DEVICES, 0);
        cr_assert_eq(contexts_add(contexts, &spec), -EINVAL);
        spec = native_spec(1, 0);
        spec.patient = PATIENTS;
        cr_assert_eq(contexts_add(contexts, &spec), -EINVAL);
        spec = native_spec(1, 0);
        spec.generation = 1; /* not the kid's */
        cr_assert_eq(contexts_add(contexts, &spec), -EINVAL);
        spec = native_spec(1, 0);
        spec.native = false; /* a foreign kid that looks native */
        cr_assert_eq(contexts_add(contexts, &spec), -EINVAL);
        spec = native_spec(1, 0);
        spec.oscore.alg = 99;
        cr_assert_eq(contexts_add(contexts, &spec), -EINVAL);
        spec = native_spec(1, 0);
        cr_assert_eq(contexts_patient_wipe(contexts, spec.patient), 0);
        cr_assert_eq(contexts_add(contexts, &spec), -EINVAL, "the patient has no key");
        cr_assert_eq(contexts_count(contexts), 0);
}

Test(contexts, a_removed_device_is_gone_at_once_and_its_slot_comes_anew)
{
        struct context_spec spec = native_spec(3, 1);

        cr_assert_eq(contexts_add(contexts, &spec), 0);
        cr_assert_eq(contexts_add(contexts, &spec), -EEXIST);
        cr_assert_eq(contexts_remove(contexts, 3), 0);
        cr_assert_eq(contexts_remove(contexts, 3), -ENOENT);
        cr_assert_null(find_native(3, 1));
        for (unsigned i = 0; i < CONTEXT_BYTES; i++)
                cr_assert_eq(
                    ((const uint8_t *)&contexts_table(contexts)->slots[3])[i], 0, "keys are wiped");
        spec = native_spec(3, 2);
        cr_assert_eq(contexts_add(contexts, &spec), 0);
        cr_assert_null(find_native(3, 1));
        cr_assert_not_null(find_native(3, 2));
}

Test(contexts, a_slot_with_something_pending_is_not_given_again)
{
        struct context_spec spec = native_spec(3, 1);
        struct context_spec other = native_spec(4, 1);
        struct context *context;

        cr_assert_eq(contexts_add(contexts, &spec), 0);
        context = find_native(3, 1);
        atomic_store(&context->pending, 17);
        cr_assert_eq(contexts_remove(contexts, 3), 0);
        cr_assert_null(find_native(3, 1));
        spec = native_spec(3, 2);
        cr_assert_eq(contexts_add(contexts, &spec), -EAGAIN);
        cr_assert_eq(context->context_id, 1000 + 3 * 256 + 1, "its reply needs it");
        /* Its keys go at the next occasion, whatever slot that is for. */
        atomic_store(&context->pending, PENDING_NONE);
        cr_assert_eq(contexts_add(contexts, &other), 0);
        cr_assert_eq(context->context_id, 0);
        cr_assert_eq(contexts_add(contexts, &spec), 0);
        cr_assert_not_null(find_native(3, 2));
}

struct reader {
        _Atomic bool registered, looked, stop;
        _Atomic unsigned walks;
};

static void *
reader_run(void *arg)
{
        struct reader *reader = arg;

        rcu_register_thread();
        atomic_store(&reader->registered, true);
        while (!atomic_load(&reader->looked))
                sched_yield();
        /* The walk in which it still holds what it looked up ends only now. */
        for (unsigned i = 0; i < 1000; i++)
                sched_yield();
        atomic_store(&reader->walks, 1);
        rcu_quiescent_state();
        while (!atomic_load(&reader->stop)) {
                rcu_quiescent_state();
                sched_yield();
        }
        rcu_unregister_thread();
        return NULL;
}

/* pending: something of it is, so that its keys stay. */
static void
remove_under_a_reader(bool pending)
{
        struct context_spec spec = native_spec(3, 1);
        struct reader reader = {0};
        pthread_t thread;

        cr_assert_eq(contexts_add(contexts, &spec), 0);
        if (pending)
                atomic_store(&find_native(3, 1)->pending, 17);
        cr_assert_eq(pthread_create(&thread, NULL, reader_run, &reader), 0);
        while (!atomic_load(&reader.registered))
                sched_yield();
        atomic_store(&reader.looked, true);
        cr_assert_eq(contexts_remove(contexts, 3), 0);
        cr_assert_eq(atomic_load(&reader.walks), 1);
        atomic_store(&reader.stop, true);
        cr_assert_eq(pthread_join(thread, NULL), 0);
}

Test(contexts, removal_waits_for_the_walks_that_may_hold_it)
{
        remove_under_a_reader(false);
}

Test(contexts, removal_waits_for_the_walks_that_may_add_to_what_is_pending)
{
        remove_under_a_reader(true);
}

struct exported {
        struct context_window window[DEVICES];
        uint64_t context_id[DEVICES];
        unsigned n;
};

static int
export_one(void *user, uint64_t context_id, uint32_t slot, const struct context_window *window)
{
        struct exported *out = user;

        out->window[slot] = *window;
        out->context_id[slot] = context_id;
        out->n++;
        return 0;
}

Test(contexts, windows_and_receipts_survive_export_and_add)
{
        static struct exported out, again;
        struct context_spec spec = native_spec(3, 1);
        struct context *context;
        struct replay_window window;
        uint8_t tag[KEPT_TAG_BYTES] = {0};
        uint64_t leaf;

        cr_assert_eq(contexts_add(contexts, &spec), 0);
        context = find_native(3, 1);
        for (uint64_t piv = 0; piv < 6; piv++) {
                context_window_get(context, &window);
                replay_accept(&window, piv * 2);
                context_window_set(context, &window);
                tag[0] = (uint8_t)piv;
                context_receipt_keep(context, piv * 2, tag, (UINT64_C(1) << 40) + piv);
        }
        context->window_state = WINDOW_KNOWN;
        cr_assert_eq(contexts_export(contexts, export_one, &out), 0);
        cr_assert_eq(out.n, 1);
        cr_assert_eq(out.context_id[3], spec.context_id);
        cr_assert_eq(out.window[3].top, 10);
        cr_assert_eq(out.window[3].bits, 0x555);
        cr_assert_eq(out.window[3].receipts_n, CONTEXT_RECEIPTS);
        for (uint64_t i = 0; i < CONTEXT_RECEIPTS; i++) {
                cr_assert_eq(out.window[3].receipts[i].partial_iv, (i + 2) * 2);
                cr_assert_eq(out.window[3].receipts[i].leaf, (UINT64_C(1) << 40) + i + 2);
                cr_assert_eq(out.window[3].receipts[i].tag[0], i + 2);
        }
        cr_assert_eq(contexts_remove(contexts, 3), 0);
        spec.window = out.window[3];
        cr_assert_eq(contexts_add(contexts, &spec), 0);
        context = find_native(3, 1);
        tag[0] = 5;
        cr_assert(context_receipt_find(context, 10, tag, &leaf));
        cr_assert_eq(leaf, (UINT64_C(1) << 40) + 5);
        cr_assert(!context_receipt_find(context, 8, tag, &leaf), "another tag");
        cr_assert(!context_receipt_find(context, 0, tag, &leaf), "older than the last four");
        cr_assert_eq(contexts_export(contexts, export_one, &again), 0);
        cr_assert_eq(memcmp(&again.window[3], &out.window[3], sizeof(out.window[3])), 0);
}

Test(contexts, bad_windows_are_refused)
{
        struct context_spec spec = native_spec(3, 1);

        spec.window =
            (struct context_window){.state = WINDOW_KNOWN, .top = OSCORE_PIV_MAX + 1, .bits = 1};
        cr_assert_eq(contexts_add(contexts, &spec), -EINVAL);
        spec.window = (struct context_window){.state = WINDOW_KNOWN, .top = 3, .bits = 2};
        cr_assert_eq(contexts_add(contexts, &spec), -EINVAL, "the top itself was accepted");
        spec.window = (struct context_window){.receipts_n = CONTEXT_RECEIPTS + 1};
        cr_assert_eq(contexts_add(contexts, &spec), -EINVAL);
        /* Receipts of partial IVs that would be accepted once more, under the same nonce. */
        spec.window = (struct context_window){.state = WINDOW_KNOWN,
            .top = 8,
            .bits = 1,
            .receipts_n = 1,
            .receipts = {{.partial_iv = 7, .leaf = 1}}};
        cr_assert_eq(contexts_add(contexts, &spec), -EINVAL);
        spec.window.state = WINDOW_UNKNOWN;
        spec.window.bits = 0;
        cr_assert_eq(contexts_add(contexts, &spec), -EINVAL);
        spec.window.bits = 3;
        cr_assert_eq(contexts_add(contexts, &spec), 0);
}

Test(contexts, all_algorithms_hold_their_keys)
{
        static const uint8_t algs[] = {AEAD_AES_128_GCM, AEAD_AES_256_GCM, AEAD_AES_CCM_16_64_128,
            AEAD_CHACHA20_POLY1305, AEAD_AES_CCM_16_128_128};
        struct engine *engine;
        uint32_t slot = 0;

        cr_assert_eq(engine_create(&engine, ENGINE_AUTO), 0);
        for (unsigned round = 0; round < 40; round++) {
                for (unsigned i = 0; i < sizeof(algs); i++, slot++) {
                        struct context_spec spec = native_spec(slot, (uint8_t)round);
                        struct oscore_keys keys;
                        _Alignas(64) uint8_t wanted[4096] = {0};
                        struct context *context;

                        spec.oscore.alg = algs[i];
                        cr_assert_eq(contexts_add(contexts, &spec), 0);
                        context = find_native(slot, (uint8_t)round);
                        cr_assert_eq(oscore_derive_keys(&spec.oscore, &keys), 0);
                        cr_assert_eq(
                            aead_expand_key(engine, algs[i], keys.recipient_key, wanted), 0);
                        cr_assert_eq(memcmp(context_recipient_key(context), wanted,
                                         aead_expanded_bytes(algs[i])),
                            0);
                        cr_assert_eq(aead_expand_key(engine, algs[i], keys.sender_key, wanted), 0);
                        cr_assert_eq(memcmp(context_sender_key(context), wanted,
                                         aead_expanded_bytes(algs[i])),
                            0);
                        cr_assert_eq((uintptr_t)context_recipient_key(context) % 16, 0);
                }
                for (unsigned i = 1; round % 2 == 1 && i <= sizeof(algs); i++)
                        cr_assert_eq(contexts_remove(contexts, slot - i), 0);
                if (round % 2 == 1)
                        slot -= sizeof(algs);
        }
        engine_destroy(engine);
}

Test(contexts, a_device_costs_512_bytes)
{
        struct contexts_config config = {.devices = 100000, .patients = 1, .workers = 1};
        struct contexts *large;
        char why[512] = "";
        bool locked;

        cr_assert_eq(contexts_create(&large, &config, &locked, why, sizeof(why)), 0, "%s", why);
        /* But for the one patient, and the rounding of two tables to huge pages. */
        cr_assert_leq(contexts_bytes(large), config.devices * UINT64_C(512) + (4u << 20) + 16384);
        contexts_destroy(large);
}

Test(contexts, a_patients_key_is_replaced_and_wiped)
{
        uint8_t key[SEAL_KEY_BYTES] = {1, 2, 3}, hash[32];
        struct patient *patient = &contexts_table(contexts)->patients[2];

        cr_assert_eq(contexts_patient_set(contexts, 2, key, 5), 0);
        seal_key_hash(hash, key);
        cr_assert_eq(atomic_load(&patient->state), PATIENT_READY);
        cr_assert_eq(patient->key_epoch, 5);
        cr_assert_arr_eq(patient->key, key, sizeof(key));
        cr_assert_arr_eq(patient->key_hash, hash, sizeof(hash));
        cr_assert_eq(contexts_patient_wipe(contexts, 2), 0);
        for (unsigned i = 0; i < sizeof(*patient); i++)
                cr_assert_eq(((const uint8_t *)patient)[i], 0);
        cr_assert_eq(contexts_patient_wipe(contexts, 2), -ENOENT);
        cr_assert_eq(contexts_patient_set(contexts, PATIENTS, key, 1), -EINVAL);
}
