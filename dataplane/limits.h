/* SPDX-License-Identifier: Apache-2.0 */
/* Every queue, table and length of the record path, by name. */
#ifndef AORTA_DATAPLANE_LIMITS_H
#define AORTA_DATAPLANE_LIMITS_H

#define WORKERS_MAX        16u
#define PORTS_MAX          8u
#define QUEUES_MAX         WORKERS_MAX
#define WALK_PACKETS_MAX   256u     /* packets one graph walk takes in, all sources together */
#define PORT_BURST_MAX     64u      /* of them from one port's queue */
#define STRAY_SHARE_MAX    64u      /* of them handed over by other workers */
#define STRAY_RING_SLOTS   1024u    /* a pair of workers */
#define COMMIT_RING_SLOTS  16384u   /* descriptors to the ledger writer, a worker */
#define RECEIPT_RING_SLOTS 16384u   /* = pending slots: a receipt always finds room */
#define PENDING_SLOTS      16384u   /* requests between commit and receipt, a worker */
#define RECEIPT_BURST_MAX  256u     /* receipts one walk takes */
#define CONTEXT_RECEIPTS   4u       /* last replies kept a context */
#define REPLAY_WINDOW_BITS 64u
#define DEVICES_MAX        (1u << 24)
#define PATIENTS_MAX       (1u << 24)
#define DEVICE_NAME_MAX    63u      /* bytes; a lab device is named in ?d= */
#define MAX_AGE_BUSY_S     5u       /* Max-Age of a 5.03 */
#define COAP_REQUEST_MAX   1500u    /* a UDP payload above is dropped */

#endif
