/* SPDX-License-Identifier: Apache-2.0 */
/* The gateway's daemon: start-up in order, the control thread's loop, the drain. */
#include "control/config.h"
#include "control/daemon.h"
#include "control/drain.h"
#include "control/eal.h"
#include "control/indexer.h"
#include "control/http_daemon.h"
#include "control/publisher.h"
#include "control/recovery.h"
#include "control/registry.h"
#include "control/socket.h"
#include "control/writer.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <sodium.h>

#define EXIT_USAGE 2

static struct daemon daemon_state;

static void
usage(FILE *to)
{
        fputs("usage: aortad -c FILE [--check] [--cut-tail]\n"
              "\n"
              "Runs the Aorta gateway in the foreground until SIGTERM or SIGINT, then drains: what "
              "is\n"
              "durable is answered, nothing acknowledged is lost.\n"
              "\n"
              "  -c, --config FILE  the configuration (YAML; docs/operations.md)\n"
              "      --check        only check the configuration; exit status 0 when it is good\n"
              "      --cut-tail     cut a last group that missing volumes may hold, and go on with "
              "the\n"
              "                     volumes that are there; what was signed is never cut\n"
              "      --version      print the version\n"
              "  -h, --help         this text\n"
              "\n"
              "Exit status: 0 clean stop, 1 failure (the last line says why), 2 usage.\n",
            to);
}

static void
on_signal(int number)
{
        (void)number;
        atomic_store_explicit(&daemon_state.stop, true, memory_order_release);
}

static void
catch_signals(void)
{
        struct sigaction action = {.sa_handler = on_signal};

        sigaction(SIGTERM, &action, NULL);
        sigaction(SIGINT, &action, NULL);
        signal(SIGPIPE, SIG_IGN);
        signal(SIGHUP, SIG_IGN);
}

/* No cores: plaintext and keys must not reach a disk (promise 6). */
static int
harden(char *why)
{
        struct rlimit none = {0, 0};

        if (setrlimit(RLIMIT_CORE, &none) < 0 || prctl(PR_SET_DUMPABLE, 0) < 0) {
                snprintf(why, CONFIG_WHY_BYTES, "cannot forbid core dumps: %s", strerror(errno));
                return -errno;
        }
        umask(077);
        return 0;
}

/* Held until the process ends: one daemon a state folder. */
static int
lock_state(const struct config *config, char *why)
{
        char path[PATH_MAX + 8];
        int fd;

        if (mkdir(config->state, 0700) < 0 && errno != EEXIST) {
                snprintf(
                    why, CONFIG_WHY_BYTES, "state folder %s: %s", config->state, strerror(errno));
                return -errno;
        }
        snprintf(path, sizeof(path), "%s/lock", config->state);
        fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (fd < 0) {
                snprintf(why, CONFIG_WHY_BYTES, "%s: %s", path, strerror(errno));
                return -errno;
        }
        if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
                snprintf(why, CONFIG_WHY_BYTES,
                    "another aortad runs on the state folder %s: stop it first, or give this one a "
                    "state "
                    "folder of its own",
                    config->state);
                close(fd);
                return -EBUSY;
        }
        return 0;
}

struct publishing {
        struct daemon *daemon;
        const struct recovered *recovered;
        char *why;
};

static int
publish_patient(struct daemon *daemon, uint32_t slot)
{
        uint8_t key[DATA_KEY_BYTES];
        uint32_t epoch;
        int r = registry_patient_key(daemon->registry, slot, key, &epoch);

        if (r == 0)
                r = contexts_patient_set(daemon->contexts, slot, key, epoch);
        sodium_memzero(key, sizeof(key));
        return r;
}

static int
publish_device(void *user, const struct device *device)
{
        struct publishing *publishing = user;
        struct daemon *daemon = publishing->daemon;
        struct context_spec spec = {
            .context_id = device->context_id,
            .slot = device->slot,
            .patient = device->patient_slot,
            .generation = device->generation,
            .native = device->native,
            .lab = device->lab,
            .window = publishing->recovered->windows[device->slot],
        };
        struct credentials credentials;
        int r = registry_credentials(daemon->registry, device, &credentials);

        memcpy(spec.name, device->name, sizeof(spec.name));
        if (r == 0)
                r = publish_patient(daemon, device->patient_slot);
        if (r == 0) {
                spec.oscore = credentials.oscore;
                r = contexts_add(daemon->contexts, &spec);
        }
        sodium_memzero(&credentials, sizeof(credentials));
        sodium_memzero(&spec, sizeof(spec));
        if (r < 0)
                snprintf(publishing->why, CONFIG_WHY_BYTES, "device %s cannot be loaded: %s%s",
                    device->name, strerror(-r),
                    r == -EBADMSG ? " (wrapped under another realm key?)" : "");
        return r;
}

/* The workers' back end by its name: engines of one choice are all alike. */
static int
name_backend(struct daemon *daemon, char *why)
{
        struct engine *engine;
        int r = engine_create(&engine, daemon->config.crypto);

        if (r < 0) {
                snprintf(why, CONFIG_WHY_BYTES,
                    "the crypto engine does not start here: %s; try dataplane.crypto: portable",
                    strerror(-r));
                return r;
        }
        daemon->backend = engine_backend_name(engine);
        engine_destroy(engine);
        return 0;
}

static int
start_contexts(struct daemon *daemon, const struct recovered *recovered, char *why)
{
        struct contexts_config config = {
            .devices = daemon->config.devices,
            .patients = daemon->config.patients,
            .workers = daemon->config.workers,
            .backend = daemon->config.crypto,
        };
        struct publishing publishing = {daemon, recovered, why};
        int r = contexts_create(
            &daemon->contexts, &config, &daemon->keys_locked, why, CONFIG_WHY_BYTES);

        if (r < 0)
                return r;
        if (!daemon->keys_locked)
                fprintf(stderr, "aortad: WARNING: keys are not locked in memory and may reach a "
                                "swap device: reserve "
                                "huge pages, raise RLIMIT_MEMLOCK, or switch swap off\n");
        return registry_walk(daemon->registry, false, publish_device, &publishing);
}

static int
start_dataplane(struct daemon *daemon, char *why)
{
        const struct config *config = &daemon->config;
        struct dataplane_config dataplane = {
            .mbufs = config->mbufs,
            .coap_port = config->coap_port,
            .lab = config->lab,
            .realm = config->realm,
            .boot_epoch = daemon->boot_epoch,
            .backend = config->crypto,
            .contexts = daemon->contexts,
            .view = &daemon->view,
            .idle_sleep = config->idle_sleep,
        };
        int r;

        memcpy(dataplane.ip4, config->ip4, sizeof(dataplane.ip4));
        memcpy(dataplane.ip6, config->ip6, sizeof(dataplane.ip6));
        randombytes_buf(dataplane.echo_secret, sizeof(dataplane.echo_secret));
        r = eal_ports(config, &dataplane, why);
        if (r == 0)
                r = dataplane_create(&daemon->dataplane, &dataplane, why);
        sodium_memzero(dataplane.echo_secret, sizeof(dataplane.echo_secret));
        return r;
}

/* Before the writer, which feeds it. */
static int
start_indexer(struct daemon *daemon, const struct recovered *recovered)
{
        const struct config *config = &daemon->config;
        char path[PATH_MAX + 8];
        struct indexer_config indexer = {
            .path = path,
            .vault = daemon->vault,
            .leaves = recovered->tip.leaves,
            .realm_key = daemon->realm_key,
            .registry = daemon->registry,
            .reserve_bytes = (uint64_t)config->reserve_mib << 20,
            .core = (int)config->control_core,
        };

        snprintf(path, sizeof(path), "%s/index", config->state);
        return config->index ? indexer_start(&daemon->indexer, &indexer) : 0;
}

static int
start_ledger(struct daemon *daemon, const struct recovered *recovered, char *why)
{
        const struct config *config = &daemon->config;
        struct publisher_config publisher = {
            .log = recovered->log,
            .view = &daemon->view,
            .interval_ms = config->checkpoint_ms,
            .core = (int)config->control_core,
        };
        struct writer_config writer = {
            .vault = daemon->vault,
            .tip = &recovered->tip,
            .tree = &recovered->tree,
            .workers = config->workers,
            .view = &daemon->view,
            .group_records = config->group_records,
            .group_us = config->group_us,
            .core = (int)config->control_core,
        };
        int r;

        /* The recovered tree is signed again, at no smaller size, before anything is served. */
        r = log_publish(recovered->log);
        if (r < 0) {
                snprintf(why, CONFIG_WHY_BYTES, "the log %s cannot be published: %s", config->log,
                    strerror(-r));
                return r;
        }
        atomic_store(&daemon->view.leaves, recovered->tip.leaves);
        atomic_store(&daemon->view.published, log_published(recovered->log));
        r = publisher_start(&daemon->publisher, &publisher);
        if (r == 0)
                r = start_indexer(daemon, recovered);
        if (r == 0) {
                writer.publisher = daemon->publisher;
                writer.indexer = daemon->indexer;
                for (unsigned w = 0; w < config->workers; w++) {
                        writer.commit[w] = dataplane_commit_ring(daemon->dataplane, w);
                        writer.receipt[w] = dataplane_receipt_ring(daemon->dataplane, w);
                }
                r = writer_start(&daemon->writer, &writer);
        }
        if (r < 0)
                snprintf(
                    why, CONFIG_WHY_BYTES, "cannot start the ledger's threads: %s", strerror(-r));
        return r;
}

static void
tell_ready(const struct daemon *daemon, const struct recovered *recovered)
{
        const struct config *config = &daemon->config;

        if (config->lab)
                fprintf(stderr,
                    "aortad: "
                    "************************************************************************\n"
                    "aortad: WARNING: lab: true. Plain CoAP is served to lab devices: such records "
                    "prove\n"
                    "aortad: no origin and travel unencrypted. Never use this with real patients.\n"
                    "aortad: "
                    "************************************************************************\n");
        fprintf(stderr,
            "aortad: ready: %u worker%s, %s, %s; %u devices, %lu leaves (%lu groups); last stop "
            "%s; "
            "control socket %s\n",
            config->workers, config->workers == 1 ? "" : "s", daemon->backend, daemon->memory,
            registry_devices(daemon->registry), (unsigned long)recovered->tip.leaves,
            (unsigned long)recovered->tip.groups,
            recovered->clean ? "clean" : "unclean: devices prove their freshness by Echo",
            config->socket);
}

static void
bind_to_core(unsigned core)
{
        cpu_set_t cores;

        CPU_ZERO(&cores);
        CPU_SET(core, &cores);
        if (sched_setaffinity(0, sizeof(cores), &cores) < 0)
                fprintf(stderr, "aortad: cannot bind to core %u: %s\n", core, strerror(errno));
}

static int
run(struct daemon *daemon, char *why)
{
        struct recovered recovered;
        struct control_socket *socket = NULL;
        bool huge = false;
        int r;

        r = harden(why);
        if (r == 0)
                r = name_backend(daemon, why);
        if (r == 0)
                r = lock_state(&daemon->config, why);
        if (r == 0)
                r = recovery_run(daemon, &recovered, why);
        if (r == 0)
                r = eal_start(&daemon->config, &huge, why);
        if (r < 0)
                return r;
        daemon->memory = huge ? "huge pages" : "ordinary pages";
        bind_to_core(daemon->config.control_core);
        r = start_contexts(daemon, &recovered, why);
        if (r == 0)
                r = start_dataplane(daemon, why);
        if (r == 0)
                r = start_ledger(daemon, &recovered, why);
        if (r == 0)
                r = control_socket_open(&socket, daemon, why);
        if (r == 0)
                r = http_daemon_start(daemon, AORTA_VERSION, why);
        if (r == 0 && (r = dataplane_start(daemon->dataplane)) < 0)
                snprintf(why, CONFIG_WHY_BYTES, "cannot start the workers: %s", strerror(-r));
        if (r < 0)
                return r;
        tell_ready(daemon, &recovered);
        recovery_free(&recovered);
        r = control_socket_serve(socket, daemon, why);
        control_socket_close(socket);
        if (r < 0)
                return r;
        return drain(daemon, why);
}

int
main(int argc, char **argv)
{
        static const struct option options[] = {
            {"config", required_argument, NULL, 'c'},
            {"check", no_argument, NULL, 'k'},
            {"cut-tail", no_argument, NULL, 't'},
            {"version", no_argument, NULL, 'v'},
            {"help", no_argument, NULL, 'h'},
            {0},
        };
        char why[CONFIG_WHY_BYTES] = "";
        const char *file = NULL;
        struct daemon *daemon = &daemon_state;
        struct timespec now;
        bool check = false, cut_tail = false;
        int c, r;

        while ((c = getopt_long(argc, argv, "c:h", options, NULL)) != -1) {
                switch (c) {
                case 'c':
                        file = optarg;
                        break;
                case 'k':
                        check = true;
                        break;
                case 't':
                        cut_tail = true;
                        break;
                case 'v':
                        puts("aortad " AORTA_VERSION);
                        return 0;
                case 'h':
                        usage(stdout);
                        return 0;
                default:
                        usage(stderr);
                        return EXIT_USAGE;
                }
        }
        if (file == NULL || optind != argc) {
                usage(stderr);
                return EXIT_USAGE;
        }
        if (config_load(&daemon->config, file, why) < 0) {
                fprintf(stderr, "aortad: %s\n", why);
                return EXIT_FAILURE;
        }
        daemon->config.cut_tail = cut_tail;
        if (check) {
                printf("%s: good\n", file);
                return 0;
        }
        if (sodium_init() < 0) {
                fprintf(stderr, "aortad: libsodium does not start\n");
                return EXIT_FAILURE;
        }
        clock_gettime(CLOCK_REALTIME, &now);
        daemon->started_ns = (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
        catch_signals();
        r = run(daemon, why);
        if (r < 0) {
                fprintf(stderr, "aortad: %s\n", why[0] != '\0' ? why : strerror(-r));
                return EXIT_FAILURE;
        }
        fprintf(stderr, "aortad: stopped, clean\n");
        return 0;
}
