/* SPDX-License-Identifier: Apache-2.0 */
/* aortactl: what an operator asks of a running aortad. */
#include "control/aortactl.h"

#include <errno.h>
#include <limits.h>
#include <malloc.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SOCKET_NAME "control.sock"

struct command {
        const char *words;    /* one or two */
        const char *argument; /* its name in capitals, or NULL; a second one after a space */
        ctl_fn *run;
        struct ctl_option options[CTL_OPTIONS_MAX];
        const char *line; /* of the overview */
        const char *help;
};

static const struct command commands[] = {
    {"status", NULL, ctl_status, {{"all", false}}, "what the gateway does and has done",
        "Shows state, counters, drops by reason and flush times.\n"
        "  --all              also reasons that never occurred\n"},
    {"device add", NULL, ctl_device_add,
        {{"name", true}, {"patient", true}, {"kid", true}, {"secret-file", true}, {"salt", true},
            {"id-context", true}, {"server-id", true}, {"alg", true}, {"lab", false}},
        "enrol a device; prints its credentials once",
        "Enrols a device, in effect at once, and prints its OSCORE credentials: only this once.\n"
        "  --name NAME        1 to 63 of A-Z a-z 0-9 . _ : -\n"
        "  --patient NAME     to whom it belongs; made when new\n"
        "  --alg NAME         AES-CCM-16-64-128 (default), A128GCM, A256GCM, ChaCha20/Poly1305,\n"
        "                     AES-CCM-16-128-128, or the COSE number\n"
        "  --lab              may also post without OSCORE while the daemon has lab: true\n"
        "For a device that has its credentials already:\n"
        "  --kid HEX          its sender ID\n"
        "  --secret-file FILE its master secret in hexadecimal; - for standard input\n"
        "  --salt HEX         its master salt\n"
        "  --id-context HEX   its ID context\n"
        "  --server-id HEX    the ID it expects of the server (default 41)\n"},
    {"device add-many", NULL, ctl_device_add_many,
        {{"prefix", true}, {"count", true}, {"first", true}, {"alg", true}, {"out", true}},
        "enrol many devices into a credentials file",
        "Enrols devices PREFIX0, PREFIX1, ..., each of a patient of the same name.\n"
        "  --prefix TEXT      of their names\n"
        "  --count N          how many\n"
        "  --first N          number of the first (default 0)\n"
        "  --alg NAME         as for device add\n"
        "  --out FILE         new, mode 0600; one line a device:\n"
        "                     name alg kid server-id secret salt [id-context]\n"
        "                     (alg is the COSE number, the rest hexadecimal, - for no bytes)\n"},
    {"device list", NULL, ctl_device_list, {{"all", false}}, "list devices",
        "  --all              removed ones too\n"},
    {"device show", "NAME", ctl_device_show, {{NULL}}, "show a device", ""},
    {"device remove", "NAME", ctl_device_remove, {{NULL}}, "remove a device",
        "Takes a device out of use at once. Its records stay readable; its secret is overwritten\n"
        "and never accepted again.\n"},
    {"record get", "LEAF", ctl_record_get, {{NULL}}, "open a record",
        "Opens the record at a leaf of the ledger and prints its resolved SenML, device, patient,\n"
        "times and flags.\n"},
    {"record export", "LEAF", ctl_record_export, {{"o", true}}, "write out a record, sealed",
        "Writes the sealed bytes of the record at a leaf, as they lie in the vault: what "
        "aorta-verify\n"
        "checks with a proof. They are encrypted; their header tells the device's number and the "
        "time.\n"
        "  -o FILE            the file\n"},
    {"record key-hash", "LEAF", ctl_record_key_hash, {{NULL}}, "print the hash of a record's key",
        "Prints the SHA-256 of the patient's data key, which the record's digest in the log is "
        "bound\n"
        "to. It opens nothing, but it is the same for all records of the patient.\n"},
    {"record key", "LEAF", ctl_record_key, {{"o", true}}, "hand out the key that opens a record",
        "Writes the patient's data key, 64 hexadecimal digits, into a new file of mode 0600. It "
        "opens\n"
        "EVERY record of the patient, and cannot be taken back. For the patient alone.\n"
        "  -o FILE            the new file\n"},
    {"record find", NULL, ctl_record_find,
        {{"patient", true}, {"from", true}, {"to", true}, {"code", true}, {"limit", true}},
        "find a patient's records by time",
        "Prints a patient's records, newest first, one a line; with --json all of `record get` of\n"
        "each, and what the index covers. Records that the index does not cover yet are missing:\n"
        "it says so.\n"
        "  --patient NAME     whose\n"
        "  --from TIME        received at this time or later\n"
        "  --to TIME          received before this time\n"
        "  --code LOINC       only those that hold a value of this code\n"
        "  --limit N          at most so many (default 100)\n"
        "A time is RFC 3339 (2026-03-01T08:00:00Z, a date alone is its midnight in UTC) or Unix\n"
        "seconds.\n"},
    {"index status", NULL, ctl_index_status, {{NULL}}, "what the index of records covers", ""},
    {"index rebuild", NULL, ctl_index_rebuild, {{"wait", false}}, "make the index anew",
        "Drops the index of records by patient and time, and makes it anew from the vault, in the\n"
        "background: records are taken meanwhile, but found only once it covers them.\n"
        "  --wait             show progress, until it is done\n"},
    {"vault status", NULL, ctl_vault_status, {{NULL}}, "state of the volumes",
        "Shows each volume's slot, state (member, following, filling, stale, missing), free "
        "space,\n"
        "segments, bad and repaired fragments and folder, and what is being scrubbed or "
        "rebuilt.\n"},
    {"vault scrub", NULL, ctl_vault_scrub, {{"no-wait", false}}, "read all volumes and repair them",
        "Reads and checks every fragment on every member, and writes bad ones again. Shows "
        "progress\n"
        "until it is done, and fails when something could not be repaired. Ctrl-C ends the "
        "watching,\n"
        "not the scrub.\n"
        "  --no-wait          start it and return\n"},
    {"vault rebuild", "VOLUME", ctl_vault_rebuild, {{"no-wait", false}},
        "fill a volume that is no member again",
        "Fills a volume that is stale or missing, from the others, while traffic flows; then it is "
        "a\n"
        "member again. VOLUME is its slot or its folder, as vault status shows them. Shows "
        "progress\n"
        "until it is done. Ctrl-C ends the watching, not the rebuild.\n"
        "  --no-wait          start it and return\n"},
    {"vault replace", "VOLUME PATH", ctl_vault_replace, {{"no-wait", false}},
        "put a new folder in a volume's place",
        "From now on the volume (its slot or its folder) is in the folder PATH, empty or absent, "
        "which\n"
        "is filled as by vault rebuild. Write it into the configuration's ledger.volumes too: the "
        "next\n"
        "start goes by that.\n"
        "  --no-wait          start it and return\n"},
    {"log checkpoint", NULL, ctl_log_checkpoint, {{NULL}}, "publish and print the checkpoint", ""},
    {"log consistency", "OLD NEW", ctl_log_consistency, {{"url", true}, {"vkey", true}},
        "prove that the log only grew",
        "Proves from the tiles that the tree NEW extends the tree OLD, and prints roots and proof "
        "(RFC\n"
        "6962 2.1.2). Each is a number of leaves, or a file that holds a checkpoint kept from "
        "then: "
        "its\n"
        "signature is checked, and its root must be the one that the tiles have.\n"
        "  --url URL          of a log served over HTTP; no daemon is asked\n"
        "  --vkey KEY         that log's verifier key\n"},
    {"log verify", NULL, ctl_log_verify, {{"url", true}, {"vkey", true}},
        "verify the whole log and every record",
        "Reads the log's folder itself, checks the checkpoint's signature, every tile and entry "
        "up\n"
        "to its size, and that each entry is that of a record in the vault which opens under its\n"
        "patient's key.\n"
        "For a stranger, with no daemon and no vault: signature, tiles and entries.\n"
        "  --url URL          of a log served over HTTP\n"
        "  --vkey KEY         its verifier key\n"},
    {"log match", "FILE", ctl_log_match, {{NULL}}, "match acknowledgements against the ledger",
        "FILE has a line an acknowledgement: device, partial IV, leaf. Tells how many are lost "
        "(no\n"
        "such record at that leaf) and how many records there are twice.\n"},
    {"log prove", "LEAF", ctl_log_prove, {{"o", true}, {"url", true}, {"vkey", true}},
        "prove that a leaf is in the log",
        "Prints a proof (c2sp.org/tlog-proof@v1) against the newest checkpoint.\n"
        "  -o FILE            into a file\n"
        "  --url URL          of a log served over HTTP; no daemon is asked\n"
        "  --vkey KEY         that log's verifier key\n"},
    {"log vkey", NULL, ctl_log_vkey, {{NULL}}, "print the log's verifier key", ""},
    {"graph", NULL, ctl_graph, {{"dot", true}}, "export the live graph of nodes",
        "  --dot FILE         into a file (default: standard output)\n"},
    {"shutdown", NULL, ctl_shutdown, {{NULL}}, "drain and stop the daemon",
        "Like SIGTERM: what is durable is answered, then the daemon ends.\n"},
};
#define COMMANDS (sizeof(commands) / sizeof(commands[0]))

static const char global_help[] =
    "  --json             answer in one line of JSON\n"
    "  --socket PATH      the daemon's control socket (default: " SOCKET_NAME " in $AORTA_STATE,\n"
    "                     or in ./var)\n"
    "  --help             this text\n"
    "Exit status: 0 done, 1 refused or failed, 2 usage, 3 no daemon answers.\n";

static void
overview(FILE *to)
{
        fputs("usage: aortactl [--json] [--socket PATH] COMMAND ...\n\n", to);
        for (size_t i = 0; i < COMMANDS; i++)
                fprintf(to, "  %-16s %-11s %s\n", commands[i].words,
                    commands[i].argument != NULL ? commands[i].argument : "", commands[i].line);
        fprintf(to, "\n`aortactl COMMAND --help` tells more.\n\n%s", global_help);
}

static void
help(const struct command *command)
{
        printf("usage: aortactl %s%s%s [options]\n\n%s%s", command->words,
            command->argument != NULL ? " " : "",
            command->argument != NULL ? command->argument : "", command->help, global_help);
}

int
ctl_fail(int status, const char *format, ...)
{
        va_list list;

        fputs("aortactl: ", stderr);
        va_start(list, format);
        vfprintf(stderr, format, list);
        va_end(list);
        fputc('\n', stderr);
        return status;
}

const char *
ctl_option(const struct ctl *ctl, const char *name)
{
        for (unsigned i = 0; i < CTL_OPTIONS_MAX && ctl->options[i].name != NULL; i++)
                if (strcmp(ctl->options[i].name, name) == 0 && ctl->options[i].given)
                        return ctl->options[i].takes_value ? ctl->options[i].value : "";
        return NULL;
}

bool
ctl_number(const char *text, uint64_t high, uint64_t *number)
{
        char *end;

        if (text == NULL || *text < '0' || *text > '9')
                return false;
        errno = 0;
        *number = strtoull(text, &end, 10);
        return errno == 0 && *end == '\0' && *number <= high;
}

const char *
ctl_text(const json_t *object, const char *name)
{
        const char *text = json_string_value(json_object_get(object, name));

        return text != NULL ? text : "";
}

long long
ctl_integer(const json_t *object, const char *name)
{
        return json_integer_value(json_object_get(object, name));
}

json_t *
ctl_new(const char *command)
{
        json_t *request = json_object();

        json_object_set_new(request, "command", json_string(command));
        return request;
}

static int
connect_once(struct ctl *ctl)
{
        int rc;

        if (ctl->client != NULL)
                return CTL_OK;
        rc = client_connect(&ctl->client, ctl->socket);
        if (rc == 0)
                return CTL_OK;
        if (rc == -EACCES || rc == -EPERM)
                return ctl_fail(CTL_NO_DAEMON,
                    "no access to the control socket %s: run aortactl as the daemon's user",
                    ctl->socket);
        return ctl_fail(CTL_NO_DAEMON,
            "no aortad answers at %s (%s): start it, or name its socket with --socket or its state "
            "folder in AORTA_STATE",
            ctl->socket, strerror(-rc));
}

int
ctl_ask(struct ctl *ctl, json_t *request, char **line, json_t **answer)
{
        char *text = json_dumps(request, JSON_COMPACT), *got = NULL;
        json_error_t error;
        int rc, status = connect_once(ctl);

        *answer = NULL;
        json_decref(request);
        if (status == CTL_OK && text == NULL)
                status = ctl_fail(CTL_FAILED, "no memory, or an argument is not UTF-8");
        if (status != CTL_OK) {
                client_free_line(text);
                return status;
        }
        rc = client_request(ctl->client, text, &got);
        client_free_line(text);
        if (rc != 0)
                return ctl_fail(
                    CTL_NO_DAEMON, "aortad at %s ended or hangs: %s", ctl->socket, strerror(-rc));
        *answer = json_loads(got, 0, &error);
        if (!json_is_object(*answer)) {
                client_free_line(got);
                return ctl_fail(CTL_NO_DAEMON, "what answers at %s is no aortad", ctl->socket);
        }
        if (line != NULL)
                *line = got;
        else
                client_free_line(got);
        return json_is_true(json_object_get(*answer, "ok")) ? CTL_OK : CTL_FAILED;
}

int
ctl_request(struct ctl *ctl, json_t *request, char **line, json_t **answer)
{
        char *got = NULL;
        int status = ctl_ask(ctl, request, &got, answer);

        if (status == CTL_FAILED && *answer != NULL) {
                if (ctl->json)
                        puts(got);
                ctl_fail(CTL_FAILED, "%s", ctl_text(*answer, "error"));
        }
        if (status != CTL_OK) {
                client_free_line(got);
                json_decref(*answer);
                *answer = NULL;
                return status;
        }
        if (line != NULL)
                *line = got;
        else
                client_free_line(got);
        return CTL_OK;
}

/* Takes one option at argv[i], known to the command or everywhere; returns the arguments used, 0
 * when it is none, negative after telling what is wrong. */
static int
take_option(struct ctl *ctl, int argc, char **argv, int i, bool *wants_help)
{
        struct ctl_option global[] = {{"json", false}, {"help", false}, {"socket", true}};
        struct ctl_option *option = NULL;
        const char *name = argv[i], *equals;
        size_t bytes;

        if (name[0] != '-' || name[1] == '\0')
                return 0;
        name += name[1] == '-' ? 2 : 1;
        if (strcmp(argv[i], "-h") == 0)
                name = "help";
        equals = strchr(name, '=');
        bytes = equals != NULL ? (size_t)(equals - name) : strlen(name);
        for (unsigned k = 0; k < CTL_OPTIONS_MAX && ctl->options[k].name != NULL; k++)
                if (strlen(ctl->options[k].name) == bytes &&
                    strncmp(ctl->options[k].name, name, bytes) == 0)
                        option = &ctl->options[k];
        for (unsigned k = 0; k < 3 && option == NULL; k++)
                if (strlen(global[k].name) == bytes && strncmp(global[k].name, name, bytes) == 0)
                        option = &global[k];
        if (option == NULL) {
                ctl_fail(CTL_USAGE, "unknown option %s: see --help", argv[i]);
                return -1;
        }
        if (option->given || option->takes_value != (equals != NULL || option->takes_value)) {
                ctl_fail(CTL_USAGE, "%s: given twice, or takes no value: see --help", argv[i]);
                return -1;
        }
        if (option->takes_value && equals == NULL && i + 1 >= argc) {
                ctl_fail(CTL_USAGE, "%s needs a value: see --help", argv[i]);
                return -1;
        }
        option->given = true;
        if (option->takes_value)
                option->value = equals != NULL ? equals + 1 : argv[i + 1];
        ctl->json |= global[0].given;
        *wants_help |= global[1].given;
        if (global[2].given)
                ctl->socket = global[2].value;
        return option->takes_value && equals == NULL ? 2 : 1;
}

static const struct command *
find_command(int argc, char **argv, int i, int *used)
{
        char two[64];

        for (*used = 2; *used >= 1; --*used) {
                if (i + *used > argc)
                        continue;
                snprintf(two, sizeof(two), *used == 2 ? "%.20s %.20s" : "%.20s", argv[i],
                    *used == 2 ? argv[i + 1] : "");
                for (size_t k = 0; k < COMMANDS; k++)
                        if (strcmp(commands[k].words, two) == 0)
                                return &commands[k];
        }
        return NULL;
}

static bool
takes_two(const struct command *command)
{
        return command->argument != NULL && strchr(command->argument, ' ') != NULL;
}

static int
run(struct ctl *ctl, const struct command *command, int argc, char **argv, int i)
{
        bool wants_help = false;
        int used, status;

        memcpy(ctl->options, command->options, sizeof(ctl->options));
        while (i < argc) {
                used = take_option(ctl, argc, argv, i, &wants_help);
                if (used < 0)
                        return CTL_USAGE;
                if (used == 0) {
                        if (ctl->argument != NULL ? !takes_two(command) || ctl->second != NULL
                                                  : command->argument == NULL)
                                return ctl_fail(CTL_USAGE, "%s: unexpected argument %s: see --help",
                                    command->words, argv[i]);
                        *(ctl->argument == NULL ? &ctl->argument : &ctl->second) = argv[i];
                        used = 1;
                }
                i += used;
        }
        if (wants_help) {
                help(command);
                return CTL_OK;
        }
        if (command->argument != NULL &&
            (ctl->argument == NULL || (takes_two(command) && ctl->second == NULL)))
                return ctl_fail(
                    CTL_USAGE, "%s needs %s: see --help", command->words, command->argument);
        status = command->run(ctl);
        if (fflush(stdout) != 0 && status == CTL_OK)
                status = ctl_fail(CTL_FAILED, "the output cannot be written: %s", strerror(errno));
        return status;
}

static void
free_wiped(void *p)
{
        if (p != NULL)
                explicit_bzero(p, malloc_usable_size(p));
        free(p);
}

int
main(int argc, char **argv)
{
        const char *state = getenv("AORTA_STATE");
        const struct command *command;
        struct ctl ctl = {.json = false};
        char path[PATH_MAX];
        bool wants_help = false;
        int i = 1, used, status;

        json_set_alloc_funcs(malloc, free_wiped);
        snprintf(path, sizeof(path), "%s/" SOCKET_NAME,
            state != NULL && state[0] != '\0' ? state : "var");
        ctl.socket = path;
        while (i < argc && (used = take_option(&ctl, argc, argv, i, &wants_help)) != 0) {
                if (used < 0)
                        return CTL_USAGE;
                i += used;
        }
        if (wants_help) {
                overview(stdout);
                return CTL_OK;
        }
        command = i < argc ? find_command(argc, argv, i, &used) : NULL;
        if (command == NULL) {
                if (i < argc)
                        ctl_fail(CTL_USAGE, "no such command: %s", argv[i]);
                overview(stderr);
                return CTL_USAGE;
        }
        status = run(&ctl, command, argc, argv, i + used);
        if (ctl.client != NULL)
                client_close(ctl.client);
        return status;
}
