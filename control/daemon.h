/* SPDX-License-Identifier: Apache-2.0 */
/* The running gateway, as the control thread sees it: what start-up makes, what commands read and
 * change, what the drain takes down. One instance a process; the control thread owns every field,
 * but for `view` and `stop`. */
#ifndef AORTA_CONTROL_DAEMON_H
#define AORTA_CONTROL_DAEMON_H

#include "control/config.h"
#include "crypto/note.h"
#include "dataplane/dataplane.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct contexts;
struct http;
struct indexer;
struct publisher;
struct realm_key;
struct registry;
struct vault;
struct writer;

struct daemon {
        struct config config;
        struct realm_key *realm_key;
        struct note_verifier verifier; /* of the log's signer */
        struct registry *registry;
        struct contexts *contexts;
        struct dataplane *dataplane;
        struct vault *vault;
        struct writer *writer;
        struct publisher *publisher;
        struct indexer *indexer; /* NULL: off */
        struct http *http;       /* NULL: off */
        struct ledger_view view;
        uint32_t boot_epoch;
        uint64_t started_ns; /* Unix time */
        const char *backend; /* engine_backend_name(): static */
        const char *memory;  /* how packet memory is held: "huge pages" or "ordinary pages" */
        bool keys_locked;    /* contexts_create()'s answer */
        _Atomic bool stop;   /* set by SIGTERM's handler and the shutdown command */
};

#endif
