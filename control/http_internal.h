/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the HTTP server share. */
#ifndef AORTA_CONTROL_HTTP_INTERNAL_H
#define AORTA_CONTROL_HTTP_INTERNAL_H

#include "control/http.h"

#include <microhttpd.h>

struct http {
        struct http_config config;
        struct MHD_Daemon *daemon;
        int folder; /* of the log */
        bool get;   /* the request at hand is GET; ranges are of no other (RFC 9110 §14.2) */
        uint64_t published; /* the tree that the checkpoint was last seen to cover */
        char text[HTTP_METRICS_BYTES_MAX];
};

/* Answers by a line of text that is never kept by a cache. more: another header, or NULL. */
enum MHD_Result http_say(struct MHD_Connection *connection, unsigned status, const char *text,
    const char *more, const char *more_value);

/* Answers by bytes: with an ETag, conditional and ranged (RFC 9110 §13, §14). */
struct http_content {
        const char *type, *cache_control;
        const void *bytes;
        size_t n;
};
enum MHD_Result http_answer(
    struct http *http, struct MHD_Connection *connection, const struct http_content *content);

/* The log's files; path begins after the first slash. */
enum MHD_Result http_checkpoint(struct http *http, struct MHD_Connection *connection);
enum MHD_Result http_tile(struct http *http, struct MHD_Connection *connection, const char *path);

#endif
