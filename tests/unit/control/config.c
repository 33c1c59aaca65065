/* SPDX-License-Identifier: Apache-2.0 */
/* The configuration is read exactly, and what is wrong in it is named with its place. */
#include "control/config.h"
#include "control/yaml_reader.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PORTS "dataplane:\n  ports:\n    - device: net_null0\n"

static struct config config;
static char why[CONFIG_WHY_BYTES];

static int
load(const char *text)
{
        memset(why, 0, sizeof(why));
        return config_load_text(&config, text, strlen(text), "a.yaml", "/etc/aorta", why);
}

/* The text is refused with exactly this message. */
static void
refused(const char *text, const char *message)
{
        int rc = load(text);

        cr_expect_eq(rc, -EINVAL, "%s: %d", text, rc);
        cr_expect_str_eq(why, message, "%s:\n got %s\nwant %s", text, why, message);
}

/* The HTTP server's address as text. */
static const char *
http_text(void)
{
        const struct sockaddr_in *v4 = (const struct sockaddr_in *)&config.http;
        const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)&config.http;
        static char text[80];
        char address[INET6_ADDRSTRLEN] = "";

        if (config.http.ss_family == AF_UNSPEC)
                return "off";
        if (config.http.ss_family == AF_INET)
                snprintf(text, sizeof(text), "4 %s %u",
                    inet_ntop(AF_INET, &v4->sin_addr, address, sizeof(address)),
                    ntohs(v4->sin_port));
        else
                snprintf(text, sizeof(text), "6 %s %u",
                    inet_ntop(AF_INET6, &v6->sin6_addr, address, sizeof(address)),
                    ntohs(v6->sin6_port));
        return text;
}

Test(config, defaults)
{
        cr_assert_eq(load(PORTS), 0, "%s", why);
        cr_assert_eq(config.realm, 1);
        cr_assert_str_eq(config.origin, "aorta.example/log");
        cr_assert(!config.lab);
        cr_assert_str_eq(config.state, "/var/lib/aorta");
        cr_assert_str_eq(config.realm_key, "/var/lib/aorta/realm.key");
        cr_assert_str_eq(config.log_key, "/var/lib/aorta/log.key");
        cr_assert_str_eq(config.volume, "/var/lib/aorta/volumes/0");
        cr_assert_eq(config.volumes, 6);
        cr_assert_str_eq(config.volume_path[5], "/var/lib/aorta/volumes/5");
        cr_assert_eq(config.data, 4);
        cr_assert_eq(config.parity, 2);
        cr_assert_eq(config.floor, 4);
        cr_assert_str_eq(config.socket, "/var/lib/aorta/control.sock");
        cr_assert_str_eq(config.log, "/var/lib/aorta/log");
        cr_assert_eq(config.workers, 1);
        cr_assert_eq(config.worker_cores[0], 0);
        cr_assert_eq(config.control_core, 1);
        cr_assert_eq(config.memory_mib, 256);
        cr_assert_eq(config.huge, HUGE_AUTO);
        cr_assert_eq(config.devices, 100000);
        cr_assert_eq(config.patients, 100000);
        cr_assert_eq(config.crypto, ENGINE_AUTO);
        cr_assert(config.idle_sleep);
        cr_assert_eq(config.mbufs, 16384);
        cr_assert_eq(config.ports, 1);
        cr_assert_str_eq(config.port[0].device, "net_null0");
        cr_assert_eq(config.port[0].queues, 1);
        cr_assert_arr_eq(config.ip4, ((uint8_t[]){10, 77, 0, 2}), 4);
        cr_assert_arr_eq(config.ip6, ((uint8_t[16]){0xfd, 0x77, [15] = 2}), 16);
        cr_assert_eq(config.coap_port, 5683);
        cr_assert_eq(config.segment_mib, 64);
        cr_assert_eq(config.reserve_mib, 256);
        cr_assert_eq(config.group_records, 4096);
        cr_assert_eq(config.group_us, 1000);
        cr_assert_eq(config.checkpoint_ms, 1000);
        cr_assert_eq(config.drain_ms, 5000);
        cr_assert_str_eq(http_text(), "4 127.0.0.1 8470");
}

static const char everything[] = "# all keys\n"
                                 "realm: 4294967295\n"
                                 "origin: a.example/x\n"
                                 "lab: true\n"
                                 "state: s\n"
                                 "keys: { realm: /k/realm, log: \"l.key\" }\n"
                                 "dataplane:\n"
                                 "  workers: 3\n"
                                 "  worker_cores: [0, 1, 1]\n"
                                 "  control_core: 1\n"
                                 "  memory_mib: 512\n"
                                 "  huge: yes\n"
                                 "  devices: 7\n"
                                 "  patients: 8\n"
                                 "  crypto: portable\n"
                                 "  idle_sleep: false\n"
                                 "  mbufs: 2048\n"
                                 "  ports:\n"
                                 "    - device: net_memif0,id=0\n"
                                 "      queues: 2\n"
                                 "    - { device: \"0000:01:00.0\", queues: 16 }\n"
                                 "network: { ip4: 192.0.2.1, ip6: none, coap_port: 1 }\n"
                                 "ledger:\n"
                                 "  volume: /v\n"
                                 "  segment_mib: 4\n"
                                 "  reserve_mib: 0\n"
                                 "  group_records: 1\n"
                                 "  group_us: 2\n"
                                 "  checkpoint_ms: 10\n"
                                 "control: { socket: c }\n"
                                 "http: { listen: \"[2001:db8::1]:80\" }\n"
                                 "drain_ms: 0\n";

Test(config, every_key_is_read)
{
        cr_assert_eq(load(everything), 0, "%s", why);
        cr_assert_eq(config.realm, UINT32_MAX);
        cr_assert_str_eq(config.origin, "a.example/x");
        cr_assert(config.lab);
        cr_assert_str_eq(config.state, "/etc/aorta/s");
        cr_assert_str_eq(config.realm_key, "/k/realm");
        cr_assert_str_eq(config.log_key, "/etc/aorta/s/l.key");
        cr_assert_str_eq(config.volume, "/v");
        cr_assert_eq(config.volumes, 1);
        cr_assert_eq(config.data, 1);
        cr_assert_eq(config.parity, 0);
        cr_assert_str_eq(config.socket, "/etc/aorta/s/c");
        cr_assert_str_eq(config.log, "/etc/aorta/s/log");
        cr_assert_eq(config.workers, 3);
        cr_assert_arr_eq(config.worker_cores, ((unsigned[]){0, 1, 1}), 3 * sizeof(unsigned));
        cr_assert_eq(config.control_core, 1);
        cr_assert_eq(config.memory_mib, 512);
        cr_assert_eq(config.huge, HUGE_YES);
        cr_assert_eq(config.devices, 7);
        cr_assert_eq(config.patients, 8);
        cr_assert_eq(config.crypto, ENGINE_PORTABLE);
        cr_assert(!config.idle_sleep);
        cr_assert_eq(config.mbufs, 2048);
        cr_assert_eq(config.ports, 2);
        cr_assert_str_eq(config.port[0].device, "net_memif0,id=0");
        cr_assert_eq(config.port[0].queues, 2);
        cr_assert_str_eq(config.port[1].device, "0000:01:00.0");
        cr_assert_eq(config.port[1].queues, 16);
        cr_assert_arr_eq(config.ip4, ((uint8_t[]){192, 0, 2, 1}), 4);
        cr_assert_arr_eq(config.ip6, ((uint8_t[16]){0}), 16);
        cr_assert_eq(config.coap_port, 1);
        cr_assert_eq(config.segment_mib, 4);
        cr_assert_eq(config.reserve_mib, 0);
        cr_assert_eq(config.group_records, 1);
        cr_assert_eq(config.group_us, 2);
        cr_assert_eq(config.checkpoint_ms, 10);
        cr_assert_eq(config.drain_ms, 0);
        cr_assert_str_eq(http_text(), "6 2001:db8::1 80");
}

Test(config, workers_and_their_cores)
{
        cr_assert_eq(load(PORTS "  workers: 3\n"), 0, "%s", why);
        cr_assert_arr_eq(config.worker_cores, ((unsigned[]){0, 1, 2}), 3 * sizeof(unsigned));
        cr_assert_eq(load(PORTS "  worker_cores: [5, 3]\n"), 0, "%s", why);
        cr_assert_eq(config.workers, 2);
        cr_assert_arr_eq(config.worker_cores, ((unsigned[]){5, 3}), 2 * sizeof(unsigned));
        cr_assert_eq(load(PORTS "  worker_cores: [1]\n  control_core: 1\n"), 0, "%s", why);
        refused(PORTS "  workers: 2\n  worker_cores: [1]\n",
            "a.yaml:6:1: worker_cores lists 1 cores for 2 workers: list one a worker");
}

Test(config, keys_unknown_duplicate_or_of_the_wrong_kind)
{
        refused(PORTS "colour: red\n",
            "a.yaml:4:1: unknown key \"colour\" in the configuration: the keys are realm, origin, "
            "lab, state, keys, dataplane, network, ledger, control, http, drain_ms");
        refused("network:\n  ip5: 1\n",
            "a.yaml:2:3: unknown key \"ip5\" in network: the keys are ip4, ip6, coap_port");
        refused("keys: { realm: a, realm: b }\n",
            "a.yaml:1:19: key \"realm\" is given twice in keys: keep one");
        refused("lab: true\nlab: true\n",
            "a.yaml:2:1: key \"lab\" is given twice in the configuration: keep one");
        refused("lab: yes\n", "a.yaml:1:6: lab must be one of false, true, not \"yes\"");
        refused("lab: \"true\"\n", "a.yaml:1:6: lab must be true or false, without quotes");
        refused("lab: [true]\n", "a.yaml:1:6: lab must be one of false, true, not a list");
        refused("network: 3\n",
            "a.yaml:1:10: network must be a mapping of keys to values, not a single value");
        refused("network:\nlab: true\n",
            "a.yaml:1:9: network must be a mapping of keys to values, not nothing");
        refused("- a\n",
            "a.yaml:1:1: the configuration must be a mapping of keys to values, not a list");
        refused("state: {}\n", "a.yaml:1:8: state must be a text, not a mapping");
        refused(
            "? [a]\n: b\n", "a.yaml:1:3: a key of the configuration must be a word, not a list");
        refused("dataplane: { ports: { device: a } }\n",
            "a.yaml:1:21: ports must be a list, not a mapping");
}

Test(config, numbers_say_their_range)
{
        static const char *const bad[] = {"0", "65536", "-1", "1.5", "0x10", "'80'", "010", "", "~",
            "1e3", "99999999999999999999999"};
        static const char *const shown[] = {"0", "65536", "-1", "1.5", "0x10", "80", "010", "", "~",
            "1e3", "99999999999999999999999"};
        char text[128], message[256];

        for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
                snprintf(text, sizeof(text), "network: { coap_port: %s }\n", bad[i]);
                snprintf(message, sizeof(message),
                    "a.yaml:1:23: coap_port must be a number from 1 to 65535, not \"%s\"",
                    shown[i]);
                load(text);
                cr_expect_str_eq(strchr(why, ' '), strchr(message, ' '), "%s", why);
        }
        refused("realm: 4294967296\n",
            "a.yaml:1:8: realm must be a number from 0 to 4294967295, not \"4294967296\"");
        refused("ledger: { volume: a, volumes: [b] }\n",
            "a.yaml:1:35: volume and volumes exclude each other: list the folders in volumes");
        refused("ledger: { volumes: [a, b, a] }\n",
            "a.yaml:1:27: this folder is listed twice in volumes");
        refused("ledger: { volumes: [a, b, c], data: 1, parity: 2 }\n",
            "a.yaml:1:50: 3 volumes are not data (1) plus parity (2), with more data than parity");
        refused("ledger: { volumes: [a, b, c], floor: 1 }\n",
            "a.yaml:1:40: floor must be from data (2) to the number of volumes (3)");
        refused("ledger: { segment_mib: 3 }\n",
            "a.yaml:1:24: segment_mib must be a number from 4 to 1024, not \"3\"");
        refused("dataplane: { workers: 17 }\n",
            "a.yaml:1:23: workers must be a number from 1 to 16, not \"17\"");
        refused("dataplane: { devices: 16777217 }\n",
            "a.yaml:1:23: devices must be a number from 1 to 16777216, not \"16777217\"");
        refused("dataplane: { worker_cores: [0, 1024] }\n",
            "a.yaml:1:32: worker_cores must be a number from 0 to 1023, not \"1024\"");
        refused("dataplane: { worker_cores: [] }\n",
            "a.yaml:1:29: worker_cores has too few entries: at least 1");
        refused("dataplane: { worker_cores: [0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0] }\n",
            "a.yaml:1:61: worker_cores has too many entries: at most 16");
        refused(
            "realm: [1]\n", "a.yaml:1:8: realm must be a number from 0 to 4294967295, not a list");
}

Test(config, origin)
{
        static const char message[] = "a.yaml:1:9: origin must be printable ASCII without spaces "
                                      "and \"+\", like aorta.example/log";

        refused("origin: \"\"\n", "a.yaml:1:9: origin must have 1 to 255 bytes");
        refused("origin: a b\n", message);
        refused("origin: a+b\n", message);
        refused("origin: \"a\xc2\xa0"
                "b\"\n",
            message);
        refused("origin: \"a\\nb\"\n", "a.yaml:1:9: origin holds a control character");
}

Test(config, ports)
{
        refused("lab: true\n",
            "a.yaml:2:1: dataplane.ports is missing: list at least one port, like - device: "
            "net_af_xdp0,iface=aorta0");
        refused("", "a.yaml:1:1: the file is empty: it must name at least dataplane.ports");
        refused(
            "# nothing\n", "a.yaml:2:1: the file is empty: it must name at least dataplane.ports");
        refused("dataplane: { ports: [] }\n", "a.yaml:1:22: ports has too few entries: at least 1");
        refused("dataplane: { ports: [ { queues: 1 } ] }\n",
            "a.yaml:1:35: this port has no device: add one, like device: net_af_xdp0,iface=aorta0");
        refused("dataplane: { ports: [ { device: a, queues: 17 } ] }\n",
            "a.yaml:1:44: queues must be a number from 1 to 16, not \"17\"");
        refused("dataplane: { ports: [ { device: a }, { device: a } ] }\n",
            "a.yaml:1:50: this device is listed twice in ports");
        refused("dataplane: { ports: [ {device: a}, {device: b}, {device: c}, {device: d}, "
                "{device: e}, {device: f}, {device: g}, {device: h}, {device: i} ] }\n",
            "a.yaml:1:127: ports has too many entries: at most 8");
}

Test(config, words_and_addresses)
{
        refused("dataplane: { huge: maybe }\n",
            "a.yaml:1:20: huge must be one of auto, yes, no, not \"maybe\"");
        refused("dataplane: { crypto: rot13 }\n",
            "a.yaml:1:22: crypto must be one of auto, ipsec-mb, portable, not \"rot13\"");
        refused("network: { ip4: 10.0.0 }\n",
            "a.yaml:1:17: ip4 must be an IPv4 address like 10.77.0.2, or none, not a name");
        refused("network: { ip4: 224.0.0.1 }\n",
            "a.yaml:1:17: ip4 must be a host's address: not 0/8, loopback, multicast, reserved");
        refused("network: { ip6: \"fe80\" }\n",
            "a.yaml:1:17: ip6 must be an IPv6 address like \"fd77::2\", or none, not a name");
        refused("network: { ip6: \"::1\" }\n",
            "a.yaml:1:17: ip6 must be a host's address: not loopback, multicast or zero");
        refused("network: { ip6: \"ff02::1\" }\n",
            "a.yaml:1:17: ip6 must be a host's address: not loopback, multicast or zero");
}

Test(config, http_address)
{
        static const char *const bad[] = {"127.0.0.1", "127.0.0.1:", ":80", "127.0.0.1:0",
            "127.0.0.1:65536", "127.0.0.1:80x", "127.0.0.1:080", "127.0.0.1:+80", "127.0.0.1: 80",
            "localhost:80", "::1:80", "[::1]", "[::1]:", "[::1]80", "[::1:80", "::1]:80",
            "[127.0.0.1]:80", "[]:80", "[:80", "[", "1.2.3:80", "on", "Off",
            "127.0.0.1:99999999999", "[0000:0000:0000:0000:0000:0000:000.000.000.0000]:80"};
        char text[160];

        cr_assert_eq(load("http: { listen: off }\n" PORTS), 0, "%s", why);
        cr_assert_str_eq(http_text(), "off");
        cr_assert_eq(load("http:\n  listen: 0.0.0.0:65535\n" PORTS), 0, "%s", why);
        cr_assert_str_eq(http_text(), "4 0.0.0.0 65535");
        cr_assert_eq(load("http: { listen: \"[::]:1\" }\n" PORTS), 0, "%s", why);
        cr_assert_str_eq(http_text(), "6 :: 1");
        for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
                snprintf(text, sizeof(text), "http: { listen: \"%s\" }\n", bad[i]);
                refused(text, "a.yaml:1:17: listen must be an address and a port like "
                              "\"127.0.0.1:8470\" or \"[::1]:8470\", or off");
        }
        refused("http: { listen: \"\" }\n", "a.yaml:1:17: listen must have 1 to 55 bytes");
}

Test(config, indirection_is_refused)
{
        refused("lab: &x true\n", "a.yaml:1:6: anchors are not allowed: remove the &name");
        refused("lab: *x\n", "a.yaml:1:6: aliases are not allowed: write the value out");
        refused("lab: !!bool true\n", "a.yaml:1:6: tags are not allowed: remove the !tag");
        refused("network: &x { }\n", "a.yaml:1:10: anchors are not allowed: remove the &name");
        refused(PORTS "---\nlab: true\n", "a.yaml:4:1: a second document: keep one in a file");
}

Test(config, what_is_not_yaml)
{
        static const char *const bad[] = {"a: [", "\t", "\"", "{a", "a: b: c", "%", "\xff\xfe",
            "lab: \x01", "lab: true\n  realm: 1\n", "{{{{{{{{", "[[[[[[[["};

        for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
                cr_expect_eq(load(bad[i]), -EINVAL, "%s", bad[i]);
                cr_expect_eq(strncmp(why, "a.yaml:1:", 9) == 0 || strncmp(why, "a.yaml:2:", 9) == 0,
                    1, "%s", why);
        }
        cr_assert_eq(config_load_text(&config, "lab: tr\0ue", 10, "a.yaml", "/", why), -EINVAL);
        cr_assert_eq(
            config_load_text(&config, "state: \"a\\0b\"", 13, "a.yaml", "/", why), -EINVAL);
        cr_assert_str_eq(why, "a.yaml:1:8: state holds a control character");
}

/* No prefix of a good file is taken for another than it is, and none does harm. */
Test(config, every_truncation)
{
        for (size_t n = 0; n < sizeof(everything) - 1; n++) {
                char *copy = malloc(n + 1);

                memcpy(copy, everything, n);
                config_load_text(&config, copy, n, "a.yaml", "/", why);
                free(copy);
        }
}

Test(config, size_and_length_are_bounded)
{
        char *text = malloc(YAML_FILE_BYTES_MAX + 2);

        memset(text, '\n', YAML_FILE_BYTES_MAX + 2);
        memcpy(text, PORTS, strlen(PORTS));
        cr_assert_eq(config_load_text(&config, text, YAML_FILE_BYTES_MAX, "a.yaml", "/", why), 0);
        cr_assert_eq(
            config_load_text(&config, text, YAML_FILE_BYTES_MAX + 1, "a.yaml", "/", why), -EFBIG);
        cr_assert_str_eq(why, "a.yaml: larger than 1048576 bytes: not a configuration");
        memset(text, '[', YAML_FILE_BYTES_MAX);
        cr_assert_eq(
            config_load_text(&config, text, YAML_FILE_BYTES_MAX, "a.yaml", "/", why), -EINVAL);
        memset(text, 's', 5000);
        memcpy(text, "state: ", 7);
        text[7 + 4090] = '\0';
        strcat(text, "\n" PORTS);
        cr_assert_eq(load(text), -ENAMETOOLONG);
        cr_assert_str_eq(
            why, "a.yaml:1:1: a path below state is longer than 4095 bytes: use a shorter state");
        free(text);
}

Test(config, file)
{
        char folder[] = "/tmp/aorta-config-XXXXXX", path[128], real[PATH_MAX], want[PATH_MAX + 8];
        FILE *file;

        cr_assert(mkdtemp(folder) != NULL);
        snprintf(path, sizeof(path), "%s/aorta.yaml", folder);
        cr_assert_eq(config_load(&config, path, why), -ENOENT);
        cr_assert(strstr(why, "cannot be read: No such file") != NULL, "%s", why);
        cr_assert_eq(config_load(&config, folder, why), -EISDIR);
        file = fopen(path, "w");
        fputs("state: var\n" PORTS, file);
        fclose(file);
        cr_assert_eq(config_load(&config, path, why), 0, "%s", why);
        cr_assert(realpath(folder, real) != NULL);
        snprintf(want, sizeof(want), "%s/var", real);
        cr_assert_str_eq(config.state, want);
        unlink(path);
        rmdir(folder);
}
