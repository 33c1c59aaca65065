/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes are an OSCORE option's value or malformed; what is accepted has that one spelling. */
#include "dataplane/coap/oscore_option.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        uint8_t out[OSCORE_OPTION_BYTES_MAX];
        uint8_t *copy = malloc(size + 1); /* ends where the value ends */
        struct oscore_option option;
        ssize_t written;

        assert(copy != NULL);
        if (size != 0)
                memcpy(copy + 1, data, size);
        if (oscore_option_parse(&option, copy + 1, size) == OSCORE_OPTION_OK) {
                assert(option.piv < UINT64_C(1) << 40);
                assert(!option.has_kid || option.kid + option.kid_bytes == copy + 1 + size);
                written = oscore_option_write(out, sizeof(out), &option);
                assert(written == (ssize_t)size && memcmp(out, copy + 1, size) == 0);
        }
        free(copy);
        return 0;
}
