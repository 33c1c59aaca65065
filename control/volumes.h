/* SPDX-License-Identifier: Apache-2.0 */
/* What the control thread does for the vault's volumes: tells the operator of each change, and keeps the
 * store's copies on the volumes that are members. */
#ifndef AORTA_CONTROL_VOLUMES_H
#define AORTA_CONTROL_VOLUMES_H

struct daemon;

/* Control thread, some ten times a second; cheap when nothing has changed. */
void volumes_tend(struct daemon *daemon);

#endif
