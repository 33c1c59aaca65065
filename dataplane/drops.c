/* SPDX-License-Identifier: Apache-2.0 */
#include "dataplane/drops.h"

static const struct {
        const char *metric;
        const char *text;
} reasons[DROP_REASON_COUNT] = {
    [DROP_NONE] = {"none", "Not dropped."},
#define DROP_ENTRY(name, metric, text) [DROP_##name] = {metric, text},
    DROP_REASONS(DROP_ENTRY)
#undef DROP_ENTRY
};

const char *
drop_metric(enum drop_reason reason)
{
        return (unsigned)reason < DROP_REASON_COUNT ? reasons[reason].metric : "unknown";
}

const char *
drop_text(enum drop_reason reason)
{
        return (unsigned)reason < DROP_REASON_COUNT ? reasons[reason].text : "unknown";
}
