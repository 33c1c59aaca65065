/* SPDX-License-Identifier: Apache-2.0 */
/* What the world's files share. Three kinds of memory: the witness's and the devices', which
 * outlive a crash; the gateway's, which does not; the operator's knowledge of what is wrong with
 * the disks. */
#ifndef AORTA_TESTS_SIM_WORLD_INTERNAL_H
#define AORTA_TESTS_SIM_WORLD_INTERNAL_H

#include "crypto/engine.h"
#include "crypto/seal.h"
#include "ledger/head.h"
#include "ledger/store.h"
#include "ledger/tree.h"
#include "ledger/vault.h"
#include "tests/sim/world.h"

#define DEVICES_MAX     8u
#define RECORDS_MAX     4096u /* of a device */
#define OUTSTANDING_MAX 256u
#define SIGNED_MAX      4096u
#define BATCH_MAX       1024u
#define KEY_VALUE_BYTES (8u + 24u + 16u + SEAL_KEY_BYTES) /* context ‖ nonce ‖ boxed key */

/* What the gateway knows of a record. */
enum heard { HEARD_NOTHING, HEARD_PENDING, HEARD_COMMITTED };

struct sent {
        bool told;         /* the device has its receipt */
        bool acknowledged; /* a receipt was sent */
        uint64_t leaf;
        uint8_t digest[HASH_BYTES];
        uint8_t heard; /* the gateway's */
        uint64_t heard_leaf;
        uint32_t seen; /* the boot that found it last */
};

enum enrolment { ENROL_NOT, ENROL_TRIED, ENROL_DONE };

struct device {
        uint64_t context_id;
        uint8_t key[SEAL_KEY_BYTES];
        enum enrolment enrolment;
        uint32_t n;     /* records 0 to n-1 were sent at least once */
        uint32_t first; /* all before are told */
        struct sent sent[RECORDS_MAX];
        /* The gateway's. */
        bool known;
        uint8_t loaded_key[SEAL_KEY_BYTES];
        uint8_t key_hash[32];
};

struct arrival {
        uint32_t device, record;
        uint32_t sealed_bytes;
        uint8_t digest[HASH_BYTES];
        uint8_t sealed[SEAL_BYTES_MAX];
};

struct recipients {
        uint32_t n;
        struct {
                uint32_t device, record;
                uint8_t digest[HASH_BYTES];
        } of[GROUP_RECORDS_MAX];
};

struct gateway {
        bool up;
        struct vault *vault;
        struct store *store;
        struct tree tree;
        uint8_t root[HASH_BYTES];
        uint32_t epoch, counter;
        struct group *filling, *flying;
        struct recipients recipients[2];
        unsigned filling_recipients;
        struct arrival *inbox;
        uint32_t inbox_n, inbox_at, inbox_room;
        uint32_t no_segment; /* submits in a row that found none */
        bool failed;
};

struct world {
        struct world_config config;
        struct world_result *result;
        struct rng rng;
        struct sim_disk *disk;
        struct io *io;
        struct engine *engine;
        bool broken;

        /* The network and its settings, by seed. */
        unsigned n, k, m, floor, devices_n;
        struct vault_config vault;
        char paths[VAULT_VOLUMES_MAX][16];
        const char *path_list[VAULT_VOLUMES_MAX];
        unsigned disk_of[VAULT_VOLUMES_MAX];
        unsigned disks_n;
        uint32_t big_ppm, fault_ppm, crash_ppm, lost_receipt_ppm, liar_ppm;
        bool booting, was_up, ended;
        bool calm; /* no more faults and crashes: the end */

        struct device *devices;
        struct gateway gateway;

        /* The witness. */
        uint64_t acknowledged; /* in number */
        struct head *signed_heads;
        unsigned signed_n;
        uint32_t last_epoch;

        /* The operator: what is, or may still be, wrong with which slots. */
        uint32_t members;  /* when it was last seen */
        uint32_t touched;  /* something was done to them, and it is not known to be over */
        uint32_t restored; /* hold an older state */
        uint32_t stores;   /* hold every value of the store */
        uint64_t touched_until[VAULT_VOLUMES_MAX]; /* groups */
        uint64_t scrubs_seen, scrubs_wanted[VAULT_VOLUMES_MAX];
        uint64_t groups;
        int rebuilding; /* slot; -1 */
};

/* Ends the run: a promise was broken. */
void world_fail(struct world *world, const char *format, ...) __attribute__((format(printf, 2, 3)));
void world_say(struct world *world, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* ---- world_device.c ---- */

void devices_make(struct world *world);
/* New records and retransmissions. */
void devices_send(struct world *world, unsigned records);
void device_enrol(struct world *world);
/* A receipt on its way: it may be lost. */
void receipt_send(struct world *world, struct sent *sent, uint64_t leaf);
bool devices_are_told(const struct world *world);
/* Of the store's recovery. */
int key_load(void *user, uint32_t slot, const uint8_t *value, uint32_t value_bytes);
/* Whether a sealed record is one that was sent: its device and number; false, world_fail() called.
 */
bool record_check(struct world *world, const struct vault_record *record, struct device **device,
    struct sent **sent, struct seal_header *header);

/* ---- world_gateway.c ---- */

/* From the disks alone to serving; whether it is up. *error and why tell why not. Checks all that
 * was promised. A crash within leaves it down. */
bool gateway_boot(struct world *world, int *error, char *why);
/* After a crash, or a stop. */
void gateway_down(struct world *world);
void gateway_write(struct world *world);
void gateway_sign(struct world *world);
void gateway_read(struct world *world);
/* A second process on the same volumes. */
void gateway_second(struct world *world);
/* Nothing in flight, nothing waiting. */
bool gateway_is_idle(const struct world *world);

/* ---- world_operator.c ---- */

/* Slots with anything wrong. */
uint32_t operator_impaired(struct world *world);
/* Looks at the vault, keeps the store's copies in step with its members. */
void operator_look(struct world *world);
void fault_inject(struct world *world);
void fault_mend(struct world *world);
void faults_mend_all(struct world *world);
/* While the machine is off. */
void fault_inject_off(struct world *world);
/* Rebuilds, replaces, scrubs. */
void operator_act(struct world *world);
/* Repairs whatever is not a member. */
void operator_repair(struct world *world);
/* Damages m volumes and scrubs. */
void operator_scrub(struct world *world);
/* With the machine off, on a copy of the disks: a start without as many volumes as it may lack, so
 * that what was acknowledged is on all that are unharmed; a start with more wrong than it bears. */
void operator_exam(struct world *world);
void operator_beyond(struct world *world);
void operator_beyond_tail(struct world *world);
/* More volumes fail than it can do without, and the machine ends. */
void operator_catastrophe(struct world *world);

#endif
