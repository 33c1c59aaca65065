/* SPDX-License-Identifier: Apache-2.0 */
/* Dispatch, and the commands on the log and the daemon itself. */
#include "control/commands.h"

#include "control/client.h"
#include "control/publisher.h"
#include "control/socket.h"
#include "control/volumes.h"
#include "crypto/note.h"

#include <errno.h>
#include <inttypes.h>
#include <malloc.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define DOT_BYTES_MAX (1u << 20)
#define SERVE_WAIT_MS 200 /* how late a stop may be seen */
#define MEMBERS_MAX   12u /* of a request */

static void
free_wiped(void *p)
{
        if (p != NULL)
                explicit_bzero(p, malloc_usable_size(p));
        free(p);
}

void
commands_init(void)
{
        json_set_alloc_funcs(malloc, free_wiped);
}

int
command_fail(struct reply *reply, int error, const char *format, ...)
{
        va_list list;

        va_start(list, format);
        vsnprintf(reply->why, sizeof(reply->why), format, list);
        va_end(list);
        return error;
}

int
command_text(json_t *request, struct reply *reply, const char *name, const char **text)
{
        json_t *value = json_object_get(request, name);

        *text = NULL;
        if (value == NULL || json_is_null(value))
                return 0;
        if (!json_is_string(value) || strlen(json_string_value(value)) != json_string_length(value))
                return command_fail(reply, -EINVAL, "%s must be a text", name);
        *text = json_string_value(value);
        return 0;
}

int
command_required_text(json_t *request, struct reply *reply, const char *name, const char **text)
{
        int rc = command_text(request, reply, name, text);

        if (rc == 0 && *text == NULL)
                rc = command_fail(reply, -EINVAL, "%s is missing", name);
        return rc;
}

int
command_flag(json_t *request, struct reply *reply, const char *name, bool *flag)
{
        json_t *value = json_object_get(request, name);

        *flag = json_is_true(value);
        if (value != NULL && !json_is_boolean(value))
                return command_fail(reply, -EINVAL, "%s must be true or false", name);
        return 0;
}

int
command_number(json_t *request, struct reply *reply, const char *name, uint64_t low, uint64_t high,
    uint64_t if_absent, uint64_t *number)
{
        json_t *value = json_object_get(request, name);

        *number = if_absent;
        if (value == NULL)
                return 0;
        if (!json_is_integer(value) || json_integer_value(value) < 0 ||
            (uint64_t)json_integer_value(value) < low || (uint64_t)json_integer_value(value) > high)
                return command_fail(reply, -EINVAL,
                    "%s must be a number from %" PRIu64 " to %" PRIu64, name, low, high);
        *number = (uint64_t)json_integer_value(value);
        return 0;
}

void
time_text(char out[TIME_TEXT_BYTES], uint64_t ns)
{
        time_t seconds = (time_t)(ns / 1000000000);
        struct tm parts;
        size_t n;

        gmtime_r(&seconds, &parts);
        n = strftime(out, TIME_TEXT_BYTES, "%Y-%m-%dT%H:%M:%S", &parts);
        snprintf(out + n, TIME_TEXT_BYTES - n, ".%09" PRIu64 "Z", ns % 1000000000);
}

/* ---- log ---- */

/* Where the log lies and whose it is: the client verifies and proves from the folder itself. */
static int
command_log_info(struct daemon *daemon, json_t *request, struct reply *reply)
{
        char vkey[NOTE_VKEY_BYTES_MAX];
        int rc = note_vkey_write(vkey, &daemon->verifier);

        if (rc < 0)
                return command_fail(
                    reply, rc, "the log's key cannot be written out: %s", strerror(-rc));
        json_object_set_new(reply->json, "path", json_string(daemon->config.log));
        json_object_set_new(reply->json, "vkey", json_string(vkey));
        json_object_set_new(reply->json, "leaves", json_integer((json_int_t)daemon->view.leaves));
        json_object_set_new(
            reply->json, "published", json_integer((json_int_t)daemon->view.published));
        return 0;
}

static int
command_log_checkpoint(struct daemon *daemon, json_t *request, struct reply *reply)
{
        char note[NOTE_BYTES_MAX];
        long n;
        int rc = publisher_sync(daemon->publisher);

        if (rc != 0)
                return command_fail(reply, rc,
                    "no new checkpoint could be published: %s; check the disk under %s, then "
                    "restart aortad",
                    strerror(-rc), daemon->config.log);
        n = publisher_checkpoint(daemon->publisher, note, sizeof(note));
        if (n < 0)
                return command_fail(reply, (int)n,
                    n == -ENOENT ? "nothing is published yet: there are no records"
                                 : "the checkpoint cannot be read");
        json_object_set_new(reply->json, "checkpoint", json_string(note));
        return command_log_info(daemon, request, reply);
}

/* ---- the daemon ---- */

static int
command_graph(struct daemon *daemon, json_t *request, struct reply *reply)
{
        char path[PATH_MAX + 32], *text = malloc(DOT_BYTES_MAX);
        FILE *file = NULL;
        size_t n = 0;
        int rc = text == NULL ? -ENOMEM : 0;

        snprintf(path, sizeof(path), "%s/graph.dot.tmp", daemon->config.state);
        unlink(path);
        if (rc == 0)
                rc = dataplane_export_dot(daemon->dataplane, path);
        if (rc == 0 && (file = fopen(path, "r")) == NULL)
                rc = -errno;
        if (file != NULL) {
                n = fread(text, 1, DOT_BYTES_MAX, file);
                fclose(file);
        }
        unlink(path);
        if (rc == 0)
                json_object_set_new(reply->json, "dot", json_stringn(text, n));
        else
                command_fail(reply, rc, "the graph cannot be exported: %s", strerror(-rc));
        free(text);
        return rc;
}

static int
command_shutdown(struct daemon *daemon, json_t *request, struct reply *reply)
{
        atomic_store_explicit(&daemon->stop, true, memory_order_release);
        json_object_set_new(
            reply->json, "drain_ms", json_integer((json_int_t)daemon->config.drain_ms));
        return 0;
}

/* ---- dispatch ---- */

static const struct command {
        const char *name;
        command_fn *run;
        const char *members[MEMBERS_MAX]; /* besides "command" */
} commands[] = {
    {"status", command_status, {NULL}},
    {"device add", command_device_add,
        {"name", "patient", "lab", "alg", "kid", "secret", "salt", "id_context", "server_id"}},
    {"device add-many", command_device_add_many, {"prefix", "first", "count", "alg"}},
    {"device list", command_device_list, {"all", "position", "limit"}},
    {"device show", command_device_show, {"name"}},
    {"device remove", command_device_remove, {"name"}},
    {"record get", command_record_get, {"leaf"}},
    {"record export", command_record_export, {"leaf"}},
    {"record key-hash", command_record_key_hash, {"leaf"}},
    {"record key", command_record_key, {"leaf"}},
    {"record scan", command_record_scan, {"leaf", "limit", "origins"}},
    {"record find", command_record_find,
        {"patient", "from_ns", "to_ns", "code", "limit", "before_ns", "before_leaf"}},
    {"index status", command_index_status, {NULL}},
    {"index rebuild", command_index_rebuild, {NULL}},
    {"vault status", command_vault_status, {NULL}},
    {"vault scrub", command_vault_scrub, {NULL}},
    {"vault rebuild", command_vault_rebuild, {"volume"}},
    {"vault replace", command_vault_replace, {"volume", "path"}},
    {"log info", command_log_info, {NULL}},
    {"log checkpoint", command_log_checkpoint, {NULL}},
    {"graph", command_graph, {NULL}},
    {"shutdown", command_shutdown, {NULL}},
};

static const struct command *
find_command(json_t *request, struct reply *reply)
{
        const char *name = json_string_value(json_object_get(request, "command"));

        for (size_t i = 0; name != NULL && i < sizeof(commands) / sizeof(commands[0]); i++)
                if (strcmp(commands[i].name, name) == 0)
                        return &commands[i];
        command_fail(
            reply, -ENOSYS, "no such command: aortactl and aortad must be of the same version");
        return NULL;
}

static int
check_members(const struct command *command, json_t *request, struct reply *reply)
{
        const char *name;
        json_t *value;

        json_object_foreach(request, name, value)
        {
                bool known = strcmp(name, "command") == 0;

                for (unsigned i = 0; i < MEMBERS_MAX && command->members[i] != NULL && !known; i++)
                        known = strcmp(name, command->members[i]) == 0;
                if (!known)
                        return command_fail(
                            reply, -EINVAL, "%s takes no member of that name", command->name);
        }
        return 0;
}

static int
run(struct daemon *daemon, const char *line, size_t bytes, struct reply *reply)
{
        const struct command *command;
        json_error_t error;
        json_t *request;
        int rc;

        request = json_loadb(line, bytes, JSON_REJECT_DUPLICATES, &error);
        if (!json_is_object(request)) {
                json_decref(request);
                return command_fail(reply, -EBADMSG, "the request is not one JSON object");
        }
        command = find_command(request, reply);
        rc = command == NULL ? -ENOSYS : check_members(command, request, reply);
        if (rc == 0)
                rc = command->run(daemon, request, reply);
        json_decref(request);
        return rc;
}

/* The object with its raw member, which comes last. */
static char *
dump(const struct reply *reply)
{
        char *text = json_dumps(reply->json, JSON_COMPACT | JSON_ENSURE_ASCII), *whole = NULL;

        if (text == NULL || reply->raw == NULL)
                return text;
        text[strlen(text) - 1] = '\0'; /* its closing brace */
        if (asprintf(&whole, "%s,\"%s\":%s}", text, reply->raw_name, reply->raw) < 0)
                whole = NULL;
        free_wiped(text);
        return whole;
}

char *
commands_answer(void *user, const char *line, size_t bytes)
{
        struct reply reply = {.json = json_object()};
        const char *code;
        char *text;
        int rc = run(user, line, bytes, &reply);

        if (rc < 0) {
                json_decref(reply.json);
                reply.json = json_object();
                code = strerrorname_np(-rc);
                if (reply.why[0] == '\0')
                        snprintf(reply.why, sizeof(reply.why), "%s", strerror(-rc));
                json_object_set_new(reply.json, "ok", json_false());
                json_object_set_new(reply.json, "code", json_string(code != NULL ? code : "?"));
                json_object_set_new(reply.json, "error", json_string(reply.why));
                free(reply.raw);
                reply.raw = NULL;
        } else {
                json_object_set_new(reply.json, "ok", json_true());
        }
        text = dump(&reply);
        json_decref(reply.json);
        if (reply.raw != NULL)
                free_wiped(reply.raw);
        return text;
}

int
control_socket_open(struct control_socket **control, struct daemon *daemon, char *why)
{
        commands_init();
        return control_socket_listen(control, daemon->config.socket, commands_answer, daemon, why);
}

int
control_socket_serve(struct control_socket *control, struct daemon *daemon, char *why)
{
        int rc = 0;

        while (rc == 0 && !atomic_load_explicit(&daemon->stop, memory_order_acquire)) {
                rc = control_socket_poll(control, SERVE_WAIT_MS);
                volumes_tend(daemon);
        }
        if (rc < 0)
                snprintf(why, COMMAND_WHY_BYTES, "the control socket fails: %s", strerror(-rc));
        return rc;
}
