/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes are a CoAP message or a format error; a message's parts lie inside it in order, and
 * what is read of it can be written and read again. */
#include "dataplane/coap/coap.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_bounds(const struct coap_message *m, size_t bytes)
{
        size_t end = 0;

        assert(m->option_count <= COAP_OPTIONS_MAX && m->token_bytes <= COAP_TOKEN_BYTES_MAX);
        for (unsigned i = 0; i < m->option_count; i++) {
                const struct coap_option *option = &m->options[i];

                assert(option->offset > end || (i == 0 && option->offset > 0));
                end = (size_t)option->offset + option->bytes;
                assert(end <= bytes);
                assert(i == 0 || option->number >= option[-1].number);
                assert(coap_option_name(option->number) != NULL);
                assert(coap_find(m, option->number) != NULL);
        }
        assert((m->payload == NULL) == (m->payload_bytes == 0));
        assert(m->payload == NULL || m->payload + m->payload_bytes == m->data + bytes);
        assert(m->bad_option == 0 || coap_option_is_critical(m->bad_option));
}

static void
check_rewritten(const struct coap_message *m, bool inner, size_t bytes)
{
        static uint8_t out[COAP_MESSAGE_BYTES_MAX];
        struct coap_message again;
        struct coap_writer w;
        ssize_t written;

        if (inner)
                coap_write_begin_inner(&w, out, sizeof(out), m->code);
        else
                coap_write_begin(&w, out, sizeof(out), (enum coap_type)m->type, m->code,
                    m->message_id, m->token, m->token_bytes);
        for (unsigned i = 0; i < m->option_count; i++)
                coap_write_option(&w, m->options[i].number, coap_option_value(m, &m->options[i]),
                    m->options[i].bytes);
        coap_write_payload(&w, m->payload, m->payload_bytes);
        written = coap_write_end(&w);
        assert(written > 0 && (size_t)written <= bytes);
        assert((inner ? coap_parse_inner(&again, out, (size_t)written)
                      : coap_parse(&again, out, (size_t)written)) == COAP_OK);
        assert(again.option_count == m->option_count && again.present == m->present);
        assert(again.malformed == 0 && again.bad_option == 0);
        assert(again.code == m->code && again.message_id == m->message_id);
        assert(again.payload_bytes == m->payload_bytes);
        assert(memcmp(again.token, m->token, sizeof(m->token)) == 0);
}

static void
check(const uint8_t *data, size_t bytes, bool inner)
{
        struct coap_message m;
        const uint8_t *value;
        size_t value_bytes;
        uint32_t number;

        if ((inner ? coap_parse_inner(&m, data, bytes) : coap_parse(&m, data, bytes)) != COAP_OK)
                return;
        check_bounds(&m, bytes);
        check_rewritten(&m, inner, bytes);
        (void)coap_uri_path_equals(&m, ".well-known/core");
        if (coap_uri_query(&m, "d", &value, &value_bytes))
                assert(value >= data && value + value_bytes <= data + bytes);
        (void)coap_find_uint(&m, COAP_OPTION_CONTENT_FORMAT, &number);
        (void)coap_find_uint(&m, COAP_OPTION_URI_HOST, &number);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        uint8_t *copy = malloc(size + 1); /* ends where the message ends */

        assert(copy != NULL);
        if (size != 0)
                memcpy(copy + 1, data, size);
        check(copy + 1, size, false);
        check(copy + 1, size, true);
        free(copy);
        return 0;
}
