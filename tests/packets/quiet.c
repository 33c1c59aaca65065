/* SPDX-License-Identifier: Apache-2.0 */
/* Promise 8: the record path, once started, makes no allocation, takes no lock, makes no system
 * call and writes no log. A worker's own thread carries 100,000 records over ports of rings, under
 * a seccomp filter that traps every system call, while its allocations and locks are counted. */
#include "dataplane/drops.h"
#include "dataplane/plumbing.h"
#include "tests/packets/device.h"
#include "tests/packets/frames.h"
#include "tests/packets/harness.h"

#include <dlfcn.h>
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#include <criterion/criterion.h>

#include <rte_malloc.h>

#define RECORDS      100000u
#define DEVICES      200u
#define FLIGHT       4096u /* requests without an answer */
#define INJECT_BURST 64u
#define DEADLINE_S   120

/* ---- what the guarded thread must not do ---- */

static _Atomic bool armed;    /* the worker walks */
static __thread bool guarded; /* this thread is the worker */
static _Atomic uint64_t allocations, locks, calls;
static _Atomic int call_number; /* of the last forbidden system call */
static _Atomic int filter_error;

static void
count(_Atomic uint64_t *counter)
{
        if (guarded && atomic_load_explicit(&armed, memory_order_relaxed))
                atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);
}

#ifdef __SANITIZE_ADDRESS__
/* The sanitizer owns the allocator, and tells. */
int __sanitizer_install_malloc_and_free_hooks(
    void (*malloc_hook)(const volatile void *, size_t), void (*free_hook)(const volatile void *));

static void
on_malloc(const volatile void *memory, size_t bytes)
{
        count(&allocations);
}

static void
on_free(const volatile void *memory)
{
        count(&allocations);
}

static void
watch_allocations(void)
{
        cr_assert_neq(__sanitizer_install_malloc_and_free_hooks(on_malloc, on_free), 0);
}
#else
/* These stand before libc's for every library of the process; same heap. */
void *__libc_malloc(size_t bytes);
void *__libc_calloc(size_t n, size_t bytes);
void *__libc_realloc(void *memory, size_t bytes);
void *__libc_memalign(size_t align, size_t bytes);

void *
malloc(size_t bytes)
{
        count(&allocations);
        return __libc_malloc(bytes);
}

void *
calloc(size_t n, size_t bytes)
{
        count(&allocations);
        return __libc_calloc(n, bytes);
}

void *
realloc(void *memory, size_t bytes)
{
        count(&allocations);
        return __libc_realloc(memory, bytes);
}

void *
aligned_alloc(size_t align, size_t bytes)
{
        count(&allocations);
        return __libc_memalign(align, bytes);
}

static void
watch_allocations(void)
{
}
#endif

/* Likewise: every library's calls come here first. */
int
pthread_mutex_lock(pthread_mutex_t *mutex)
{
        static int (*_Atomic real)(pthread_mutex_t *);

        if (real == NULL)
                real = (int (*)(pthread_mutex_t *))dlsym(RTLD_NEXT, "pthread_mutex_lock");
        count(&locks);
        return real(mutex);
}

static void
on_forbidden_call(int signal, siginfo_t *info, void *context)
{
        ((ucontext_t *)context)->uc_mcontext.gregs[REG_RAX] = -ENOSYS;
        if (!atomic_load(&armed))
                return;
        atomic_store(&call_number, info->si_syscall);
        atomic_fetch_add(&calls, 1);
}

/* Traps all but the return from the trap, and the single bytes by which EAL speaks to its threads
 * before and after a worker's body. */
static int
forbid_system_calls(void)
{
        static struct sock_filter code[] = {
            BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
            BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_rt_sigreturn, 4, 0),
            BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_read, 1, 0),
            BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_write, 0, 3),
            BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[2])),
            BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 1, 0, 1),
            BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
            BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP),
        };
        struct sock_fprog program = {.len = sizeof(code) / sizeof(code[0]), .filter = code};

        if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
            syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) != 0)
                return errno;
        return 0;
}

/* Each of the three sins once, the first two while the kernel still listens. */
static void
misbehave(bool forbidden)
{
        static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
        void *volatile memory;

        if (forbidden) {
                (void)syscall(SYS_getppid);
                return;
        }
        memory = malloc(16);
        free(memory);
        pthread_mutex_lock(&mutex);
        pthread_mutex_unlock(&mutex);
}

/* Before each walk, in the worker's thread. user: whether to misbehave. */
static void
guard(void *user, unsigned worker)
{
        static bool done;
        int error;

        if (done)
                return;
        done = true;
        guarded = true;
        atomic_store(&armed, true);
        if (user != NULL)
                misbehave(false);
        error = forbid_system_calls();
        atomic_store(&filter_error, error);
        if (user != NULL && error == 0)
                misbehave(true);
}

/* ---- the load ---- */

static struct harness harness;
static struct device devices[DEVICES];
static uint8_t got[HARNESS_FRAME_MAX];

static void
inject_next(struct engine *engine, unsigned i)
{
        uint8_t message[DEVICE_MESSAGE_MAX];
        struct device *device = &devices[i % DEVICES];
        struct device_request request;
        struct wire wire;
        size_t bytes;

        device_next(device, &request);
        bytes = device_protect(device, engine, &request, message);
        wire_datagram(&wire, i % 3 == 0 ? 6 : 4, harness.mac[0], (uint16_t)(20000 + i % DEVICES),
            message, bytes);
        harness_inject(&harness, wire.bytes, wire.n);
}

static unsigned
take_answers(void)
{
        unsigned n = 0;
        size_t bytes, payload_bytes;

        while ((bytes = harness_take(&harness, got)) != 0) {
                const uint8_t *payload = wire_payload(got, bytes, &payload_bytes);

                cr_assert_geq(payload_bytes, 4);
                cr_assert_eq(payload[1], 0x44, "RFC 8613 4.2: 2.04 outside");
                n++;
        }
        return n;
}

static size_t
rte_allocations(void)
{
        struct rte_malloc_socket_stats stats;

        cr_assert_eq(rte_malloc_get_socket_stats((int)rte_socket_id(), &stats), 0);
        return stats.alloc_count;
}

static void
open_quiet(bool misbehaves)
{
        struct harness_options options = {
            .config = {.before_walk = guard, .before_walk_user = misbehaves ? &harness : NULL},
            .devices = DEVICES,
            .forget = true,
        };
        struct sigaction action = {.sa_sigaction = on_forbidden_call, .sa_flags = SA_SIGINFO};

        cr_assert_eq(sigaction(SIGSYS, &action, NULL), 0);
        watch_allocations();
        harness_open(&harness, &options);
        for (unsigned i = 0; i < DEVICES; i++)
                device_enrol(&devices[i], harness.contexts, i, AEAD_AES_CCM_16_64_128);
}

static void
carry(unsigned records)
{
        time_t deadline = time(NULL) + DEADLINE_S;
        unsigned sent = 0, answered = 0;
        struct engine *engine;

        cr_assert_eq(engine_create(&engine, ENGINE_AUTO), 0);
        while (answered < records) {
                for (unsigned i = 0; i < INJECT_BURST; i++) {
                        if (sent < records && sent - answered < FLIGHT)
                                inject_next(engine, sent++);
                }
                harness_writer_turn(&harness);
                answered += take_answers();
                if (answered < records && time(NULL) > deadline)
                        cr_assert_fail("only %u of %u records answered", answered, records);
        }
        engine_destroy(engine);
}

Test(quiet, no_allocation_lock_or_system_call_over_100k_records)
{
        struct dataplane_counters counters;
        size_t rte_before;

        open_quiet(false);
        cr_assert_eq(dataplane_start(harness.dataplane), 0);
        rte_before = rte_allocations();
        carry(RECORDS);
        cr_expect_eq(rte_allocations(), rte_before, "EAL memory was allocated");
        atomic_store(&armed, false);
        dataplane_stop(harness.dataplane);

        if (filter_error != 0)
                printf("SKIPPED packets/quiet system calls: no seccomp filter here (%s)\n",
                    strerror(filter_error));
        cr_expect_eq(
            calls, 0, "%lu system calls, the last of number %d", (unsigned long)calls, call_number);
        cr_expect_eq(allocations, 0, "%lu allocations", (unsigned long)allocations);
        cr_expect_eq(locks, 0, "%lu locks", (unsigned long)locks);
        cr_expect_eq(graph_streams_grown(harness.dataplane->workers[0]), 0);
        dataplane_counters(harness.dataplane, &counters);
        cr_expect_eq(counters.records, RECORDS);
        cr_expect_eq(counters.acknowledged, RECORDS);
        cr_expect_eq(harness_drops_all(&harness), 0);
        cr_expect_eq(dataplane_pending(harness.dataplane), 0);
        harness_close(&harness);
}

/* The watchers see what they are there for. */
Test(quiet, watchers_see)
{
        open_quiet(true);
        cr_assert_eq(dataplane_start(harness.dataplane), 0);
        carry(100);
        atomic_store(&armed, false);
        dataplane_stop(harness.dataplane);
        cr_assert_neq(allocations, 0);
        cr_assert_neq(locks, 0);
        if (filter_error == 0) {
                cr_assert_eq(calls, 1);
                cr_assert_eq(call_number, SYS_getppid);
        }
        harness_close(&harness);
}

/* All packets a walk may take in are answered at once, and as many receipts come as it may take.
 * How much of that meets in one node at a time hangs on the order in which nodes run; so each has
 * room for all of it from the start, since a stream that grows allocates. */
Test(quiet, fullest_walk_grows_no_stream)
{
        struct harness_options options = {
            .queues = WALK_PACKETS_MAX / PORT_BURST_MAX, .devices = DEVICES};
        struct node_stat stats[32];
        uint64_t before = 0, after = 0;
        struct engine *engine;
        struct wire wire;
        struct rte_node *node;
        rte_graph_off_t off;
        rte_node_t count;
        unsigned n;

        harness_open(&harness, &options);
        for (unsigned i = 0; i < DEVICES; i++)
                device_enrol(&devices[i], harness.contexts, i, AEAD_AES_CCM_16_64_128);
        cr_assert_eq(engine_create(&engine, ENGINE_AUTO), 0);
        harness.writer = WRITER_HOLD;
        for (unsigned i = 0; i < RECEIPT_BURST_MAX; i++)
                inject_next(engine, i);
        harness_drive(&harness);
        cr_assert_eq(harness.kept_n, RECEIPT_BURST_MAX);

        wire_ether(&wire, harness.mac[0], peer_mac, NULL, 0, 0x0800);
        wire_ip4(&wire, peer_ip4, gateway_ip4, 1, NULL, 0);
        wire_echo(&wire, 1, 1, "full", 4);
        wire_finish(&wire);
        for (unsigned i = 0; i < WALK_PACKETS_MAX; i++)
                harness_inject_at(&harness, 0, i / PORT_BURST_MAX, wire.bytes, wire.n);
        harness_release(&harness, RECEIPT_COMMITTED);
        n = dataplane_node_stats(harness.dataplane, stats, 32);
        for (unsigned i = 0; i < n; i++)
                before += strcmp(stats[i].name, "port_tx") == 0 ? stats[i].objs : 0;
        cr_assert_eq(dataplane_walk(harness.dataplane, 0), WALK_PACKETS_MAX);
        n = dataplane_node_stats(harness.dataplane, stats, 32);
        for (unsigned i = 0; i < n; i++)
                after += strcmp(stats[i].name, "port_tx") == 0 ? stats[i].objs : 0;
        cr_assert_eq(after - before, WALK_PACKETS_MAX + RECEIPT_BURST_MAX);
        cr_assert_eq(graph_streams_grown(harness.dataplane->workers[0]), 0);
        rte_graph_foreach_node(count, off, harness.dataplane->workers[0]->graph, node)
        {
                cr_expect_geq(node->size, WALK_PACKETS_MAX + RECEIPT_BURST_MAX, "%s", node->name);
        }
        engine_destroy(engine);
        harness_close(&harness);
}
