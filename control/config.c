/* SPDX-License-Identifier: Apache-2.0 */
#include "control/config.h"

#include "control/yaml_reader.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define HTTP_PORT    8470
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static int
read_u32(struct yaml_reader *reader, const struct yaml_key *key, void *user)
{
        uint64_t number;
        int rc = yaml_read_number(reader, key->name, key->low, key->high, &number);

        if (rc == 0)
                *(uint32_t *)((char *)user + key->offset) = (uint32_t)number;
        return rc;
}

static int
read_u16(struct yaml_reader *reader, const struct yaml_key *key, void *user)
{
        uint64_t number;
        int rc = yaml_read_number(reader, key->name, key->low, key->high, &number);

        if (rc == 0)
                *(uint16_t *)((char *)user + key->offset) = (uint16_t)number;
        return rc;
}

static int
read_bool(struct yaml_reader *reader, const struct yaml_key *key, void *user)
{
        return yaml_read_bool(reader, key->name, (bool *)((char *)user + key->offset));
}

/* A path or another text: high + 1 bytes at the field. */
static int
read_text(struct yaml_reader *reader, const struct yaml_key *key, void *user)
{
        const char *text;
        int rc = yaml_read_text(reader, key->name, key->low, key->high, &text);

        if (rc == 0)
                strcpy((char *)user + key->offset, text);
        return rc;
}

/* C2SP signed-note: a key name is not empty and has no space (Unicode's either) and no plus. */
static int
read_origin(struct yaml_reader *reader, const struct yaml_key *key, void *user)
{
        const char *text;
        int rc = yaml_read_text(reader, key->name, key->low, key->high, &text);

        if (rc != 0)
                return rc;
        for (const char *p = text; *p != '\0'; p++)
                if ((unsigned char)*p <= 0x20 || (unsigned char)*p >= 0x7f || *p == '+')
                        return yaml_fail(reader,
                            "origin must be printable ASCII without spaces and \"+\", like "
                            "aorta.example/log");
        strcpy((char *)user + key->offset, text);
        return 0;
}

static int
read_huge(struct yaml_reader *reader, const struct yaml_key *key, void *user)
{
        static const char *const words[] = {"auto", "yes", "no", NULL};
        unsigned index;
        int rc = yaml_read_word(reader, key->name, words, &index);

        static_assert(HUGE_AUTO == 0 && HUGE_YES == 1 && HUGE_NO == 2, "order of words");
        if (rc == 0)
                ((struct config *)user)->huge = (__typeof__(((struct config *)user)->huge))index;
        return rc;
}

static int
read_crypto(struct yaml_reader *reader, const struct yaml_key *key, void *user)
{
        static const char *const words[] = {"auto", "ipsec-mb", "portable", NULL};
        unsigned index;
        int rc = yaml_read_word(reader, key->name, words, &index);

        static_assert(
            ENGINE_AUTO == 0 && ENGINE_IPSEC_MB == 1 && ENGINE_PORTABLE == 2, "order of words");
        if (rc == 0)
                ((struct config *)user)->crypto = (enum engine_backend)index;
        return rc;
}

/* The gateway's own address: one a host can have. "none" leaves the field all zero. */
static int
read_ip4(struct yaml_reader *reader, const struct yaml_key *key, void *user)
{
        uint8_t *ip = (uint8_t *)user + key->offset;
        const char *text;
        int rc = yaml_read_text(reader, key->name, 1, INET_ADDRSTRLEN, &text);

        if (rc != 0)
                return rc;
        memset(ip, 0, 4);
        if (strcmp(text, "none") == 0)
                return 0;
        if (inet_pton(AF_INET, text, ip) != 1)
                return yaml_fail(
                    reader, "ip4 must be an IPv4 address like 10.77.0.2, or none, not a name");
        if (ip[0] == 0 || ip[0] == 127 || ip[0] >= 224)
                return yaml_fail(
                    reader, "ip4 must be a host's address: not 0/8, loopback, multicast, reserved");
        return 0;
}

static int
read_ip6(struct yaml_reader *reader, const struct yaml_key *key, void *user)
{
        static const uint8_t loopback[16] = {[15] = 1}, zero[16];
        uint8_t *ip = (uint8_t *)user + key->offset;
        const char *text;
        int rc = yaml_read_text(reader, key->name, 1, INET6_ADDRSTRLEN, &text);

        if (rc != 0)
                return rc;
        memset(ip, 0, 16);
        if (strcmp(text, "none") == 0)
                return 0;
        if (inet_pton(AF_INET6, text, ip) != 1)
                return yaml_fail(
                    reader, "ip6 must be an IPv6 address like \"fd77::2\", or none, not a name");
        if (ip[0] == 0xff || memcmp(ip, zero, 12) == 0 || memcmp(ip, loopback, 16) == 0)
                return yaml_fail(
                    reader, "ip6 must be a host's address: not loopback, multicast or zero");
        return 0;
}

/* "ADDRESS:PORT", an IPv6 address in brackets. */
static bool
parse_listen(struct sockaddr_storage *listen, const char *text)
{
        struct sockaddr_in *v4 = (struct sockaddr_in *)listen;
        struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)listen;
        const char *colon = strrchr(text, ':');
        char address[INET6_ADDRSTRLEN], *end;
        unsigned long port;
        bool six = text[0] == '[';
        size_t n;

        if (colon == NULL || colon[1] < '1' || colon[1] > '9' || (six && colon[-1] != ']'))
                return false;
        port = strtoul(colon + 1, &end, 10);
        n = (size_t)(colon - text) - (six ? 2 : 0);
        if (*end != '\0' || port > UINT16_MAX || n >= sizeof(address))
                return false;
        memcpy(address, text + six, n);
        address[n] = '\0';
        memset(listen, 0, sizeof(*listen));
        if (six) {
                v6->sin6_family = AF_INET6;
                v6->sin6_port = htons((uint16_t)port);
                return inet_pton(AF_INET6, address, &v6->sin6_addr) == 1;
        }
        v4->sin_family = AF_INET;
        v4->sin_port = htons((uint16_t)port);
        return inet_pton(AF_INET, address, &v4->sin_addr) == 1;
}

static int
read_listen(struct yaml_reader *reader, const struct yaml_key *key, void *user)
{
        struct config *config = user;
        const char *text;
        int rc = yaml_read_text(reader, key->name, key->low, key->high, &text);

        if (rc != 0)
                return rc;
        if (strcmp(text, "off") == 0)
                config->http.ss_family = AF_UNSPEC;
        else if (!parse_listen(&config->http, text))
                return yaml_fail(reader, "listen must be an address and a port like "
                                         "\"127.0.0.1:8470\" or \"[::1]:8470\", or off");
        return 0;
}

static int
read_core(struct yaml_reader *reader, const char *what, unsigned i, void *user)
{
        struct config *config = user;
        uint64_t number;
        int rc = yaml_read_number(reader, what, 0, CONFIG_CORE_MAX, &number);

        if (rc != 0)
                return rc;
        assert(i < WORKERS_MAX);
        config->worker_cores[i] = (unsigned)number;
        config->worker_cores_n = i + 1;
        return 0;
}

static int
read_cores(struct yaml_reader *reader, const struct yaml_key *key, void *user)
{
        return yaml_read_sequence(reader, key->name, 1, WORKERS_MAX, read_core, user);
}

static int
read_port(struct yaml_reader *reader, const char *what, unsigned i, void *user)
{
        struct config *config = user;
        struct yaml_key keys[] = {
            {"device", read_text, offsetof(__typeof__(config->port[0]), device), 1,
                CONFIG_DEVICE_MAX},
            {"queues", read_u16, offsetof(__typeof__(config->port[0]), queues), 1, QUEUES_MAX},
        };
        int rc;

        assert(i < PORTS_MAX);
        config->port[i].queues = 1;
        rc = yaml_read_mapping(
            reader, "an entry of ports", keys, (unsigned)COUNT(keys), &config->port[i]);
        if (rc != 0)
                return rc;
        if (!keys[0].given)
                return yaml_fail(reader, "this port has no device: add one, like device: "
                                         "net_af_xdp0,iface=aorta0");
        for (unsigned j = 0; j < i; j++)
                if (strcmp(config->port[j].device, config->port[i].device) == 0)
                        return yaml_fail(reader, "this device is listed twice in ports");
        config->ports = i + 1;
        return 0;
}

static int
read_ports(struct yaml_reader *reader, const struct yaml_key *key, void *user)
{
        return yaml_read_sequence(reader, key->name, 1, PORTS_MAX, read_port, user);
}

#define U32(name, field, low, high)                                                                \
        {                                                                                          \
                name, read_u32, offsetof(struct config, field), low, high                          \
        }

static int
read_dataplane(struct yaml_reader *reader, const struct yaml_key *key, void *user)
{
        struct config *config = user;
        struct yaml_key keys[] = {
            U32("workers", workers, 1, WORKERS_MAX),
            {"worker_cores", read_cores},
            U32("control_core", control_core, 0, CONFIG_CORE_MAX),
            U32("memory_mib", memory_mib, 64, 1u << 20),
            {"huge", read_huge},
            U32("devices", devices, 1, DEVICES_MAX),
            U32("patients", patients, 1, PATIENTS_MAX),
            {"crypto", read_crypto},
            {"idle_sleep", read_bool, offsetof(struct config, idle_sleep)},
            U32("mbufs", mbufs, 1024, 1u << 20),
            {"ports", read_ports},
        };
        int rc = yaml_read_mapping(reader, key->name, keys, (unsigned)COUNT(keys), config);

        if (rc != 0)
                return rc;
        if (config->worker_cores_n == 0)
                for (unsigned i = 0; i < config->workers; i++)
                        config->worker_cores[i] = i;
        else if (!keys[0].given)
                config->workers = config->worker_cores_n;
        else if (config->worker_cores_n != config->workers)
                return yaml_fail(reader,
                    "worker_cores lists %u cores for %u workers: list one a worker",
                    config->worker_cores_n, config->workers);
        return 0;
}

static int
read_network(struct yaml_reader *reader, const struct yaml_key *key, void *user)
{
        struct config *config = user;
        struct yaml_key keys[] = {
            {"ip4", read_ip4, offsetof(struct config, ip4)},
            {"ip6", read_ip6, offsetof(struct config, ip6)},
            {"coap_port", read_u16, offsetof(struct config, coap_port), 1, UINT16_MAX},
        };

        return yaml_read_mapping(reader, key->name, keys, (unsigned)COUNT(keys), config);
}

static int
read_volume(struct yaml_reader *reader, const char *what, unsigned i, void *user)
{
        struct config *config = user;
        const char *text;
        int rc = yaml_read_text(reader, what, 1, PATH_MAX - 1, &text);

        if (rc != 0)
                return rc;
        assert(i < CONFIG_VOLUMES_MAX);
        for (unsigned j = 0; j < i; j++)
                if (strcmp(config->volume_path[j], text) == 0)
                        return yaml_fail(reader, "this folder is listed twice in volumes");
        strcpy(config->volume_path[i], text);
        config->volumes = i + 1;
        return 0;
}

static int
read_volumes(struct yaml_reader *reader, const struct yaml_key *key, void *user)
{
        return yaml_read_sequence(reader, key->name, 1, CONFIG_VOLUMES_MAX, read_volume, user);
}

/* What data, parity and floor were not given follows from the number of volumes. */
static int
settle_volumes(struct yaml_reader *reader, struct config *config, bool one, bool many)
{
        if (one && many)
                return yaml_fail(reader,
                    "volume and volumes exclude each other: list the folders in "
                    "volumes");
        if (one)
                config->volumes = 1;
        if (config->data == 0) {
                config->data =
                    config->volumes > config->parity ? config->volumes - config->parity : 0;
                if (config->parity == 0 && config->volumes > 1) {
                        config->parity =
                            (config->volumes - 1) / 2 < 2 ? (config->volumes - 1) / 2 : 2;
                        config->data = config->volumes - config->parity;
                }
        }
        if (config->data + config->parity != config->volumes || config->data <= config->parity)
                return yaml_fail(reader,
                    "%u volumes are not data (%u) plus parity (%u), with more data than parity",
                    config->volumes, config->data, config->parity);
        if (config->floor == 0)
                config->floor = config->data;
        if (config->floor < config->data || config->floor > config->volumes)
                return yaml_fail(reader,
                    "floor must be from data (%u) to the number of volumes (%u)", config->data,
                    config->volumes);
        return 0;
}

static int
read_ledger(struct yaml_reader *reader, const struct yaml_key *key, void *user)
{
        struct config *config = user;
        struct yaml_key keys[] = {
            {"volume", read_text, offsetof(struct config, volume), 1, PATH_MAX - 1},
            {"volumes", read_volumes},
            U32("data", data, 1, CONFIG_VOLUMES_MAX),
            U32("parity", parity, 0, CONFIG_VOLUMES_MAX / 2),
            U32("floor", floor, 0, CONFIG_VOLUMES_MAX),
            U32("fence_ms", fence_ms, 10, 600000),
            U32("segment_mib", segment_mib, 4, 1024),
            U32("reserve_mib", reserve_mib, 0, 1u << 20),
            U32("group_records", group_records, 1, 4096),
            U32("group_us", group_us, 1, 1000000),
            U32("checkpoint_ms", checkpoint_ms, 10, 3600000),
            {"index", read_bool, offsetof(struct config, index)},
        };
        int rc = yaml_read_mapping(reader, key->name, keys, (unsigned)COUNT(keys), user);

        return rc != 0 ? rc : settle_volumes(reader, config, keys[0].given, keys[1].given);
}

static int
read_keys(struct yaml_reader *reader, const struct yaml_key *key, void *user)
{
        struct yaml_key keys[] = {
            {"realm", read_text, offsetof(struct config, realm_key), 1, PATH_MAX - 1},
            {"log", read_text, offsetof(struct config, log_key), 1, PATH_MAX - 1},
        };

        return yaml_read_mapping(reader, key->name, keys, (unsigned)COUNT(keys), user);
}

static int
read_control(struct yaml_reader *reader, const struct yaml_key *key, void *user)
{
        struct yaml_key keys[] = {
            {"socket", read_text, offsetof(struct config, socket), 1, PATH_MAX - 1},
        };

        return yaml_read_mapping(reader, key->name, keys, (unsigned)COUNT(keys), user);
}

static int
read_http(struct yaml_reader *reader, const struct yaml_key *key, void *user)
{
        struct yaml_key keys[] = {
            {"listen", read_listen, 0, 1, INET6_ADDRSTRLEN + sizeof("[]:65535")},
        };

        return yaml_read_mapping(reader, key->name, keys, (unsigned)COUNT(keys), user);
}

static int
read_root(struct yaml_reader *reader, struct config *config)
{
        struct yaml_key keys[] = {
            U32("realm", realm, 0, UINT32_MAX),
            {"origin", read_origin, offsetof(struct config, origin), 1, sizeof(config->origin) - 1},
            {"lab", read_bool, offsetof(struct config, lab)},
            {"state", read_text, offsetof(struct config, state), 1, PATH_MAX - 1},
            {"keys", read_keys},
            {"dataplane", read_dataplane},
            {"network", read_network},
            {"ledger", read_ledger},
            {"control", read_control},
            {"http", read_http},
            U32("drain_ms", drain_ms, 0, 600000),
        };
        int rc;

        if (reader->event.type == YAML_STREAM_END_EVENT)
                return yaml_fail(reader, "the file is empty: it must name at least "
                                         "dataplane.ports");
        rc = yaml_read_mapping(reader, "the configuration", keys, (unsigned)COUNT(keys), config);
        if (rc != 0)
                return rc;
        if (config->ports == 0)
                return yaml_fail(reader, "dataplane.ports is missing: list at least one port, "
                                         "like - device: net_af_xdp0,iface=aorta0");
        return yaml_reader_end(reader);
}

static void
set_defaults(struct config *config)
{
        memset(config, 0, sizeof(*config));
        config->realm = 1;
        strcpy(config->origin, "aorta.example/log");
        strcpy(config->state, "/var/lib/aorta");
        strcpy(config->realm_key, "realm.key");
        strcpy(config->log_key, "log.key");
        for (unsigned i = 0; i < 6; i++)
                snprintf(config->volume_path[i], sizeof(config->volume_path[i]), "volumes/%u", i);
        config->volumes = 6;
        config->fence_ms = 1000;
        strcpy(config->socket, "control.sock");
        config->workers = 1;
        config->control_core = 1;
        config->memory_mib = 256;
        config->huge = HUGE_AUTO;
        config->devices = 100000;
        config->patients = 100000;
        config->crypto = ENGINE_AUTO;
        config->idle_sleep = true;
        config->mbufs = 16384;
        memcpy(config->ip4, (uint8_t[]){10, 77, 0, 2}, 4);
        memcpy(config->ip6, (uint8_t[16]){0xfd, 0x77, [15] = 2}, 16);
        config->coap_port = 5683;
        config->segment_mib = 64;
        config->reserve_mib = 256;
        config->group_records = 4096;
        config->group_us = 1000;
        config->checkpoint_ms = 1000;
        config->index = true;
        config->drain_ms = 5000;
        *(struct sockaddr_in *)&config->http = (struct sockaddr_in){.sin_family = AF_INET,
            .sin_port = htons(HTTP_PORT),
            .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

/* path becomes absolute: itself, or below folder. */
static int
resolve(char path[PATH_MAX], const char *folder)
{
        char whole[PATH_MAX];
        int n;

        if (path[0] == '/')
                return 0;
        n = snprintf(whole, sizeof(whole), "%s/%s", strcmp(folder, "/") == 0 ? "" : folder, path);
        if (n < 0 || (size_t)n >= sizeof(whole))
                return -ENAMETOOLONG;
        strcpy(path, whole);
        return 0;
}

/* The defaults for a file without a ledger section, and the one folder of `volume`. */
static void
settle_paths(struct config *config)
{
        if (config->volume[0] != '\0')
                strcpy(config->volume_path[0], config->volume);
        if (config->data == 0) {
                config->data = 4;
                config->parity = 2;
                config->floor = 4;
        }
}

static int
resolve_paths(struct config *config, const char *base_folder, const char *name, char *why)
{
        int rc = resolve(config->state, base_folder);

        if (rc == 0)
                rc = resolve(config->realm_key, config->state);
        if (rc == 0)
                rc = resolve(config->log_key, config->state);
        if (rc == 0)
                settle_paths(config);
        for (unsigned i = 0; rc == 0 && i < config->volumes; i++)
                rc = resolve(config->volume_path[i], config->state);
        if (rc == 0)
                strcpy(config->volume, config->volume_path[0]);
        if (rc == 0)
                rc = resolve(config->socket, config->state);
        if (rc == 0) {
                strcpy(config->log, "log");
                rc = resolve(config->log, config->state);
        }
        if (rc != 0)
                snprintf(why, CONFIG_WHY_BYTES,
                    "%s:1:1: a path below state is longer than %d bytes: use a shorter state", name,
                    PATH_MAX - 1);
        return rc;
}

int
config_load_text(struct config *config, const char *text, size_t text_bytes, const char *name,
    const char *base_folder, char why[CONFIG_WHY_BYTES])
{
        struct yaml_reader reader;
        int rc;

        assert(base_folder[0] == '/');
        why[0] = '\0';
        set_defaults(config);
        if (text_bytes > YAML_FILE_BYTES_MAX) {
                snprintf(why, CONFIG_WHY_BYTES, "%s: larger than %u bytes: not a configuration",
                    name, YAML_FILE_BYTES_MAX);
                return -EFBIG;
        }
        rc = yaml_reader_open(&reader, text, text_bytes, name, why, CONFIG_WHY_BYTES);
        if (rc == 0) {
                rc = read_root(&reader, config);
                yaml_reader_close(&reader);
        }
        if (rc == 0)
                rc = resolve_paths(config, base_folder, name, why);
        if (rc != 0 && why[0] == '\0')
                snprintf(why, CONFIG_WHY_BYTES, "%s: %s", name, strerror(-rc));
        return rc;
}

/* Reads at most YAML_FILE_BYTES_MAX + 1 bytes: one more than is taken. */
static int
read_file(const char *path, char **text, size_t *text_bytes)
{
        size_t n = 0, room = YAML_FILE_BYTES_MAX + 1;
        struct stat status;
        ssize_t k = 1;
        char *buffer;
        int fd, rc = 0;

        fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
        if (fd < 0)
                return -errno;
        if (fstat(fd, &status) != 0)
                rc = -errno;
        else if (S_ISDIR(status.st_mode))
                rc = -EISDIR;
        else if (!S_ISREG(status.st_mode))
                rc = -EINVAL;
        buffer = rc == 0 ? malloc(room) : NULL;
        if (rc == 0 && buffer == NULL)
                rc = -ENOMEM;
        while (rc == 0 && n < room && k > 0) {
                k = read(fd, buffer + n, room - n);
                if (k > 0)
                        n += (size_t)k;
                else if (k < 0 && errno == EINTR)
                        k = 1;
                else if (k < 0)
                        rc = -errno;
        }
        close(fd);
        if (rc != 0) {
                free(buffer);
                return rc;
        }
        *text = buffer;
        *text_bytes = n;
        return 0;
}

int
config_load(struct config *config, const char *path, char why[CONFIG_WHY_BYTES])
{
        char folder[PATH_MAX], copy[PATH_MAX], *text = NULL;
        size_t text_bytes = 0;
        int rc;

        rc = strlen(path) < sizeof(copy) ? read_file(path, &text, &text_bytes) : -ENAMETOOLONG;
        if (rc != 0) {
                snprintf(why, CONFIG_WHY_BYTES, "%s: cannot be read: %s", path, strerror(-rc));
                return rc;
        }
        strcpy(copy, path);
        if (realpath(dirname(copy), folder) == NULL) {
                rc = -errno;
                snprintf(
                    why, CONFIG_WHY_BYTES, "%s: its folder is not found: %s", path, strerror(-rc));
        } else {
                rc = config_load_text(config, text, text_bytes, path, folder, why);
        }
        free(text);
        return rc;
}
