/* SPDX-License-Identifier: Apache-2.0 */
/* The HTTP server: the published log for strangers, metrics and health for operators. Read-only.
 *
 *   /checkpoint · /tile/<L>/<N>[.p/<W>] · /tile/entries/<N>[.p/<W>] · /metrics · /healthz
 *
 * One thread of its own, which takes over the calling thread's CPUs. It shares nothing with the
 * record path but counters that it reads. */
#ifndef AORTA_CONTROL_HTTP_H
#define AORTA_CONTROL_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#define HTTP_CONNECTIONS_MAX        64u
#define HTTP_CONNECTIONS_PER_IP_MAX 32u
#define HTTP_CONNECTION_BYTES_MAX   (16u << 10) /* of a request's line and headers */
#define HTTP_IDLE_S                 10u
#define HTTP_METRICS_BYTES_MAX      (256u << 10)
#define HTTP_HEALTH_BYTES_MAX       512u
#define HTTP_CHECKPOINT_AGE_S       1u
#define HTTP_WHY_BYTES              512u

struct http;

struct http_config {
        struct sockaddr_storage listen;
        const char *log; /* the log's folder, which is there */
        void *user;
        /* Both are called by the server's thread. The metrics' text: its length, or -errno. */
        long (*metrics)(void *user, char *out, size_t out_bytes);
        /* False, with why (HTTP_HEALTH_BYTES_MAX) as one line without its end, when requests are
         * refused; true with why, which is told too, for an alarm; else true and "". */
        bool (*healthy)(void *user, char *why);
};

/* 0, or -errno with why (HTTP_WHY_BYTES): what cannot be listened on, and what to do. */
int http_start(struct http **http, const struct http_config *config, char *why);
/* The port that it listens on. */
uint16_t http_port(const struct http *http);
/* Waits for the answer that is being made, cuts the rest off. NULL is no server. */
void http_stop(struct http *http);

/* A Range field (RFC 9110 §14.1.2) on size bytes: one range of bytes is served; what is malformed
 * or of several ranges is as if it were not there. */
enum http_range { HTTP_RANGE_NONE, HTTP_RANGE_PART, HTTP_RANGE_UNSATISFIABLE };
enum http_range http_range_parse(const char *text, uint64_t size, uint64_t *first, uint64_t *bytes);

#endif
