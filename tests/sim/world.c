/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/world_internal.h"

#include "ledger/group.h"

#include <assert.h>
#include <errno.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define BOOT_CRASHES_MAX 4u
#define BOOT_CRASH_PPM   350000u
#define BOOT_CALLS_MAX   120u
#define RUN_CRASH_PPM    800000u
#define RUN_CALLS_MAX    500u
#define BEYOND_PPM       400000u
#define EXAM_PPM         400000u
#define OFF_FAULT_PPM    350000u
#define KEEP_PPM         200000u
#define MEND_PPM         100000u
#define END_ROUNDS       20000u

static uint64_t where_seed;
static uint32_t where_step;

void
world_where(uint64_t *seed, uint32_t *step)
{
        *seed = where_seed;
        *step = where_step;
}

void
world_fail(struct world *world, const char *format, ...)
{
        va_list args;
        if (world->broken)
                return;
        world->broken = true;
        va_start(args, format);
        vsnprintf(world->result->why, sizeof(world->result->why), format, args);
        va_end(args);
        world_say(world, "BROKEN: %s", world->result->why);
}

void
world_say(struct world *world, const char *format, ...)
{
        va_list args;
        if (world->config.trace == NULL)
                return;
        fprintf(world->config.trace, "-- step %u: ", world->result->step);
        va_start(args, format);
        vfprintf(world->config.trace, format, args);
        va_end(args);
        fputc('\n', world->config.trace);
}

/* ---- a world by seed ---- */

static void
profile_choose(struct world *world)
{
        static const struct {
                unsigned k, m;
        } codes[] = {{4, 2}, {4, 2}, {2, 1}, {3, 2}, {5, 3}, {1, 0}};
        struct rng *rng = &world->rng;
        unsigned code = (unsigned)rng_below(rng, sizeof(codes) / sizeof(codes[0]));
        world->k = codes[code].k;
        world->m = codes[code].m;
        world->n = world->k + world->m;
        world->floor = world->k;
        world->devices_n = (unsigned)rng_between(rng, 1, DEVICES_MAX);
        world->big_ppm = rng_chance(rng, 300000) ? 900000 : 20000;
        world->fault_ppm = rng_chance(rng, 200000) ? 0 : (uint32_t)rng_between(rng, 2, 14) * 10000u;
        world->liar_ppm = rng_chance(rng, 500000) ? 0 : 500000;
        world->lost_receipt_ppm = (uint32_t)rng_between(rng, 0, 5) * 100000u;
        for (unsigned i = 0; i < world->n; i++) {
                snprintf(world->paths[i], sizeof(world->paths[i]), "/d%u", i);
                world->path_list[i] = world->paths[i];
                world->disk_of[i] = i;
        }
        world->disks_n = world->n;
        world->vault = (struct vault_config){
            .volumes = world->path_list,
            .data = world->k,
            .parity = world->m,
            .floor = world->floor,
            /* The least that takes the largest group, so that segments end often. */
            .segment_bytes = segment_bytes_min(world->k),
            .spare_segments = 1,
            .share_percent = 100,
            .stepped = true,
            .io = world->io,
        };
        world->members = world->stores = (1u << world->n) - 1;
}

static void
world_open(struct world *world)
{
        int error = engine_create(&world->engine, ENGINE_PORTABLE);
        assert(!error);
        world->rng.state = world->config.seed * UINT64_C(0x2545f4914f6cdd1d) + 1;
        world->disk = sim_disk_open(rng_next(&world->rng));
        world->io = sim_disk_io(world->disk);
        sim_disk_trace(world->disk, world->config.trace);
        world->signed_heads = calloc(SIGNED_MAX, sizeof(world->signed_heads[0]));
        assert(world->signed_heads != NULL);
        profile_choose(world);
        devices_make(world);
        world->result->data = world->k;
        world->result->parity = world->m;
        world_say(world, "seed %lu: %u+%u, %u devices", (unsigned long)world->config.seed, world->k,
            world->m, world->devices_n);
}

static void
world_close(struct world *world)
{
        world->result->disk = *sim_disk_counts(world->disk);
        world->result->acknowledged = world->acknowledged;
        for (unsigned i = 0; i < world->devices_n; i++)
                world->result->records += world->devices[i].n;
        world->result->ok = !world->broken;
        gateway_down(world);
        sim_disk_close(world->disk);
        engine_destroy(world->engine);
        free(world->signed_heads);
        free(world->devices);
        free(world);
}

/* ---- crashes and boots ---- */

static void
crash_plan(struct world *world, uint32_t ppm, uint32_t calls_max)
{
        bool crash = !world->calm && rng_chance(&world->rng, ppm);
        sim_disk_crash_kind(world->disk, rng_chance(&world->rng, 300000));
        /* Soon as often as late. */
        while (rng_chance(&world->rng, 400000) && calls_max > 16)
                calls_max /= 2;
        sim_disk_crash_in(world->disk, crash ? rng_between(&world->rng, 1, calls_max) : 0);
}

/* Off: what happens to disks while nobody looks. */
static void
time_off(struct world *world)
{
        if (world->calm || world->m == 0)
                return;
        for (unsigned i = 0; i < world->n; i++)
                if (rng_chance(&world->rng, KEEP_PPM) &&
                    !sim_disk_has_faults(world->disk, world->disk_of[i]) &&
                    sim_disk_damage(world->disk, world->disk_of[i]) == 0)
                        sim_disk_keep(world->disk, world->disk_of[i]);
        while (rng_chance(&world->rng, world->fault_ppm > 0 ? OFF_FAULT_PPM : 0))
                fault_inject_off(world);
}

/* Starts of copies. */
static void
what_ifs(struct world *world)
{
        if (world->m == 0 || !world->was_up)
                return;
        if (rng_chance(&world->rng, EXAM_PPM) || world->calm) {
                world->result->exams++;
                operator_exam(world);
        }
        if (!world->broken && rng_chance(&world->rng, BEYOND_PPM))
                operator_beyond(world);
        /* All is acknowledged and signed at the end: what lies last is known. */
        if (!world->broken && world->ended)
                operator_beyond_tail(world);
}

/* Slots that came up as members with nothing wrong are whole again. */
static void
boot_look(struct world *world)
{
        world->members = 0;
        world->scrubs_seen = 0;
        world->rebuilding = -1;
        for (unsigned i = 0; i < world->n; i++)
                world->scrubs_wanted[i] = UINT64_MAX;
        world->booting = true;
        operator_look(world);
        world->booting = false;
        world->restored &= world->members;
        for (unsigned i = 0; i < world->n; i++)
                if (world->touched >> i & 1 && world->touched_until[i] != UINT64_MAX)
                        world->touched_until[i] = world->groups + 1;
}

/* Starts the gateway, through crashes, until it is up. */
static void
start(struct world *world)
{
        char why[VAULT_WHY_BYTES];
        int error;
        for (unsigned crashes = 0;;) {
                crash_plan(world, crashes < BOOT_CRASHES_MAX ? BOOT_CRASH_PPM : 0, BOOT_CALLS_MAX);
                bool up = gateway_boot(world, &error, why);
                if (world->broken)
                        return;
                if (sim_disk_crashed(world->disk)) {
                        if (up)
                                gateway_down(world);
                        world->result->crashes_in_boot++;
                        crashes++;
                        sim_disk_power_on(world->disk);
                        continue;
                }
                if (up)
                        break;
                world->result->stops++;
                if (!world->was_up && !world->calm) {
                        /* Made by halves, and nothing promised yet: the operator begins anew. */
                        for (unsigned i = 0; i < world->n; i++)
                                sim_disk_wipe(world->disk, world->disk_of[i]);
                        sim_disk_power_on(world->disk);
                        world->calm = true;
                        start(world);
                        world->calm = false;
                        return;
                }
                uint32_t impaired = operator_impaired(world);
                world_fail(world, "it does not start (%s) with slots %x impaired: %s",
                    strerror(-error), impaired, why);
                return;
        }
        world->was_up = true;
        uint64_t rebuilds = world->result->rebuilds;
        boot_look(world);
        world->result->rebuilds = rebuilds;
        crash_plan(world, RUN_CRASH_PPM, RUN_CALLS_MAX);
}

/* From whatever state the machine is in: down, off for a while, up again. */
static void
restart(struct world *world)
{
        world->result->crashes += sim_disk_crashed(world->disk);
        gateway_down(world);
        sim_disk_power_on(world->disk);
        sim_disk_crash_in(world->disk, 0);
        time_off(world);
        what_ifs(world);
        if (!world->broken)
                start(world);
}

/* ---- steps ---- */

/* What the vault's threads do. */
static void
vault_steps(struct world *world)
{
        for (uint64_t n = rng_between(&world->rng, 1, 12); n > 0; n--)
                if (!vault_step(world->gateway.vault) || sim_disk_crashed(world->disk))
                        return;
}

static void
step(struct world *world)
{
        struct rng *rng = &world->rng;
        uint64_t dice = rng_below(rng, 1000);
        if (rng_chance(rng, world->fault_ppm))
                fault_inject(world);
        if (rng_chance(rng, MEND_PPM))
                fault_mend(world);
        if (dice < 430)
                gateway_write(world);
        else if (dice < 700)
                devices_send(
                    world, (unsigned)rng_between(rng, 1, rng_chance(rng, 200000) ? 300 : 20));
        else if (dice < 800)
                vault_steps(world);
        else if (dice < 840)
                device_enrol(world);
        else if (dice < 880)
                gateway_sign(world);
        else if (dice < 940)
                gateway_read(world);
        else if (dice < 975)
                operator_act(world);
        else if (dice < 977)
                gateway_second(world);
        else if (dice < 985)
                world->io->ops->sleep_us(world->io, rng_below(rng, 2000000));
        else if (dice < 988)
                sim_disk_crash(world->disk);
        else if (dice < 990 && world->gateway.flying == NULL)
                restart(world);
        else if (dice < 992 && world->m > 0)
                operator_catastrophe(world);
        world->io->ops->sleep_us(world->io, rng_below(rng, 5000));
}

static void
steps(struct world *world)
{
        uint32_t n = world->config.steps ? world->config.steps : WORLD_STEPS;
        for (uint32_t i = 0; i < n && !world->broken; i++) {
                where_step = world->result->step = i;
                step(world);
                if (!world->broken && !sim_disk_crashed(world->disk) && world->gateway.up)
                        operator_look(world);
                if (world->gateway.failed && !sim_disk_crashed(world->disk))
                        sim_disk_crash(world->disk);
                if (!world->broken && sim_disk_crashed(world->disk))
                        restart(world);
        }
}

/* No more faults: everything that was sent is acknowledged, all volumes become members again, and a
 * last start finds all of it. */
static void
end(struct world *world)
{
        world->calm = true;
        sim_disk_crash_in(world->disk, 0);
        faults_mend_all(world);
        if (!sim_disk_crashed(world->disk))
                sim_disk_crash(world->disk);
        restart(world);
        for (unsigned i = 0; i < END_ROUNDS && !world->broken; i++) {
                if (devices_are_told(world) && gateway_is_idle(world))
                        break;
                devices_send(world, 64);
                gateway_write(world);
                (void)vault_step(world->gateway.vault);
                for (unsigned d = 0; d < world->devices_n; d++)
                        if (world->devices[d].enrolment == ENROL_TRIED)
                                device_enrol(world);
        }
        if (!world->broken && !devices_are_told(world))
                world_fail(world, "some records are never acknowledged");
        if (!world->broken && world->m > 0)
                operator_repair(world);
        if (!world->broken && world->m > 0)
                operator_scrub(world);
        if (!world->broken && world->m > 0) {
                /* What lies beside the groups is read at a start: out and in again. */
                sim_disk_crash(world->disk);
                restart(world);
                if (!world->broken)
                        operator_repair(world);
        }
        if (!world->broken)
                gateway_sign(world);
        if (world->broken || sim_disk_crashed(world->disk))
                return;
        world->ended = world->signed_n > 0 &&
                       world->signed_heads[world->signed_n - 1].size == world->gateway.tree.size;
        sim_disk_crash(world->disk);
        restart(world);
        if (!world->broken && world->members != (1u << world->n) - 1)
                world_fail(
                    world, "volumes are left out of the last start: members %x", world->members);
}

void
world_run(const struct world_config *config, struct world_result *result)
{
        struct world *world = calloc(1, sizeof(*world));
        assert(world != NULL);
        memset(result, 0, sizeof(*result));
        world->config = *config;
        world->result = result;
        where_seed = config->seed;
        where_step = 0;
        world_open(world);
        start(world);
        if (!world->broken)
                steps(world);
        if (!world->broken)
                end(world);
        world_close(world);
}
