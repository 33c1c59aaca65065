/* SPDX-License-Identifier: Apache-2.0 */
/* Any text is a configuration or is refused with a message. */
#include "control/config.h"

#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        static struct config config;
        char why[CONFIG_WHY_BYTES];
        int rc = config_load_text(&config, (const char *)data, size, "fuzz", "/", why);

        if (rc != 0) {
                assert(strncmp(why, "fuzz:", 5) == 0 && strlen(why) < sizeof(why));
                return 0;
        }
        assert(config.ports >= 1 && config.ports <= PORTS_MAX);
        assert(config.workers >= 1 && config.workers <= WORKERS_MAX);
        assert(config.state[0] == '/' && config.socket[0] == '/' && config.origin[0] != '\0');
        return 0;
}
