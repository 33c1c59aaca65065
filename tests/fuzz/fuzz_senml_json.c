/* SPDX-License-Identifier: Apache-2.0 */
/* SenML JSON: no input crashes, and what is accepted keeps the invariants. */
#include "tests/fuzz/senml_invariants.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
        check_parsed(senml_parse_json(&pack, data, n, NOW_NS), n);
        return 0;
}
