/* SPDX-License-Identifier: Apache-2.0 */
/* log match: every acknowledgement of a client's log against the ledger's records. */
#include "control/aortactl.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAME_MAX_BYTES 63

struct acknowledgement {
        uint64_t leaf, partial_iv;
        char device[NAME_MAX_BYTES + 1];
};

struct origin {
        uint64_t context_id, partial_iv;
};

struct matching {
        struct acknowledgement *acks;
        size_t acks_n, acks_room;
        struct origin *origins; /* of OSCORE records */
        size_t origins_n, origins_room;
        size_t next; /* acknowledgement to match, in leaf order */
        uint64_t matched, leaves;
};

/* Doubles an array of size-byte elements when it is full. */
static bool
grow(void **array, size_t n, size_t *room, size_t size)
{
        size_t wanted = *room == 0 ? 4096 : *room * 2;
        void *grown;

        if (n < *room)
                return true;
        grown = reallocarray(*array, wanted, size);
        if (grown == NULL)
                return false;
        *array = grown;
        *room = wanted;
        return true;
}

static int
read_acknowledgements(struct matching *matching, const char *path)
{
        FILE *file = strcmp(path, "-") == 0 ? stdin : fopen(path, "re");
        char line[256], rest;
        uint64_t number = 0;
        int status = CTL_OK;

        if (file == NULL)
                return ctl_fail(CTL_FAILED, "%s cannot be read: %s", path, strerror(errno));
        while (status == CTL_OK && fgets(line, sizeof(line), file) != NULL) {
                struct acknowledgement ack;

                number++;
                if (line[0] == '\n' || line[0] == '#')
                        continue;
                if (sscanf(line, "%63s %" SCNu64 " %" SCNu64 " %c", ack.device, &ack.partial_iv,
                        &ack.leaf, &rest) != 3)
                        status = ctl_fail(CTL_FAILED,
                            "%s:%" PRIu64 ": a line must be: device, partial IV, leaf", path,
                            number);
                else if (!grow((void **)&matching->acks, matching->acks_n, &matching->acks_room,
                             sizeof(ack)))
                        status = ctl_fail(CTL_FAILED, "no memory");
                else
                        matching->acks[matching->acks_n++] = ack;
        }
        if (ferror(file))
                status = ctl_fail(CTL_FAILED, "%s cannot be read: %s", path, strerror(errno));
        if (file != stdin)
                fclose(file);
        return status;
}

static int
compare_acks(const void *a, const void *b)
{
        const struct acknowledgement *x = a, *y = b;

        return (x->leaf > y->leaf) - (x->leaf < y->leaf);
}

static int
compare_origins(const void *a, const void *b)
{
        const struct origin *x = a, *y = b;

        if (x->context_id != y->context_id)
                return x->context_id < y->context_id ? -1 : 1;
        return (x->partial_iv > y->partial_iv) - (x->partial_iv < y->partial_iv);
}

/* One record of the ledger: [device, partial IV, kind, context id]. */
static bool
take_record(struct matching *matching, uint64_t leaf, const json_t *record)
{
        const char *device = json_string_value(json_array_get(record, 0));
        const char *kind = json_string_value(json_array_get(record, 2));
        uint64_t piv = (uint64_t)json_integer_value(json_array_get(record, 1));
        bool oscore = kind != NULL && strcmp(kind, "oscore") == 0;

        if (device == NULL || kind == NULL)
                return false;
        for (; matching->next < matching->acks_n && matching->acks[matching->next].leaf <= leaf;
             matching->next++) {
                const struct acknowledgement *ack = &matching->acks[matching->next];

                matching->matched += ack->leaf == leaf && oscore && ack->partial_iv == piv &&
                                     strcmp(ack->device, device) == 0;
        }
        if (!oscore)
                return true;
        if (!grow((void **)&matching->origins, matching->origins_n, &matching->origins_room,
                sizeof(struct origin)))
                return false;
        matching->origins[matching->origins_n++] =
            (struct origin){(uint64_t)json_integer_value(json_array_get(record, 3)), piv};
        return true;
}

static int
walk_ledger(struct ctl *ctl, struct matching *matching)
{
        json_t *request, *answer = NULL, *record;
        uint64_t leaf = 0;
        int status;
        size_t i;

        for (;;) {
                request = ctl_new("record scan");
                json_object_set_new(request, "leaf", json_integer((json_int_t)leaf));
                json_object_set_new(request, "origins", json_true());
                status = ctl_ask(ctl, request, NULL, &answer);
                if (status == CTL_FAILED && answer != NULL &&
                    strcmp(ctl_text(answer, "code"), "ENOENT") == 0) {
                        json_decref(answer);
                        matching->leaves = leaf;
                        return CTL_OK;
                }
                if (status != CTL_OK) {
                        if (answer != NULL)
                                ctl_fail(status, "%s", ctl_text(answer, "error"));
                        json_decref(answer);
                        return status;
                }
                json_array_foreach(json_object_get(answer, "origins"), i, record)
                {
                        if (!take_record(matching, leaf + i, record))
                                status = ctl_fail(
                                    CTL_FAILED, "no memory, or the daemon's answer is malformed");
                }
                if (status == CTL_OK && i == 0)
                        status = ctl_fail(CTL_FAILED, "the daemon's answer is malformed");
                leaf += i;
                json_decref(answer);
                if (status != CTL_OK)
                        return status;
        }
}

int
ctl_log_match(struct ctl *ctl)
{
        struct matching matching = {.acks = NULL};
        uint64_t lost, duplicates = 0;
        int status = read_acknowledgements(&matching, ctl->argument);

        if (status == CTL_OK && matching.acks_n > 0)
                qsort(matching.acks, matching.acks_n, sizeof(matching.acks[0]), compare_acks);
        if (status == CTL_OK)
                status = walk_ledger(ctl, &matching);
        if (status == CTL_OK && matching.origins_n > 0)
                qsort(matching.origins, matching.origins_n, sizeof(matching.origins[0]),
                    compare_origins);
        for (size_t i = 1; status == CTL_OK && i < matching.origins_n; i++)
                duplicates += compare_origins(&matching.origins[i - 1], &matching.origins[i]) == 0;
        lost = matching.acks_n - matching.matched;
        if (status == CTL_OK) {
                printf(ctl->json ? "{\"ok\":%s,\"acknowledged\":%zu,\"matched\":%" PRIu64
                                   ",\"lost\":%" PRIu64 ",\"duplicates\":%" PRIu64
                                   ",\"leaves\":%" PRIu64 "}\n"
                                 : "%s%zu acknowledged, %" PRIu64 " matched, %" PRIu64
                                   " lost, %" PRIu64 " duplicates, among %" PRIu64 " leaves\n",
                    !ctl->json                     ? ""
                    : lost == 0 && duplicates == 0 ? "true"
                                                   : "false",
                    matching.acks_n, matching.matched, lost, duplicates, matching.leaves);
                if (lost != 0 || duplicates != 0)
                        status = CTL_FAILED;
        }
        free(matching.acks);
        free(matching.origins);
        return status;
}
