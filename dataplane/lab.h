/* SPDX-License-Identifier: Apache-2.0 */
/* Duplicates of plain (lab) records, which have no partial IV to tell them by: the (endpoint,
 * message ID) of those accepted, for as long as RFC 7252 §4.8.2 lets a message ID live. One table a
 * worker, of bounded size: when a set is full of the living, a new record is refused. */
#ifndef AORTA_DATAPLANE_LAB_H
#define AORTA_DATAPLANE_LAB_H

#include "dataplane/net/frame.h"

#include <stdbool.h>
#include <stdint.h>

#define LAB_SETS            8192u
#define LAB_WAYS            8u
#define LAB_ENTRY_NONE      UINT32_MAX
#define EXCHANGE_LIFETIME_S 247u /* of a CON's message ID */
#define NON_LIFETIME_S      145u

struct lab_table;

enum lab_state {
        LAB_FREE,
        LAB_PENDING, /* accepted, not yet durable */
        LAB_DONE,    /* acknowledged at leaf */
        LAB_SILENT,  /* may be durable: never answered */
};

int lab_create(struct lab_table **table);
void lab_destroy(struct lab_table *table);

/* Finds the entry of a message (*found), or makes one that is pending. LAB_ENTRY_NONE when there is
 * no room. */
uint32_t lab_take(struct lab_table *table, const struct endpoint *endpoint, uint16_t message_id,
    bool confirmable, uint64_t now_ns, bool *found);
enum lab_state lab_state(const struct lab_table *table, uint32_t entry, uint64_t *leaf);
void lab_done(struct lab_table *table, uint32_t entry, uint64_t leaf);
void lab_silence(struct lab_table *table, uint32_t entry);
/* Refused: as if it had never come. */
void lab_release(struct lab_table *table, uint32_t entry);

#endif
