/* SPDX-License-Identifier: Apache-2.0 */
/* The simulated queue. What a request does is done when its completion is polled, with the buffer's
 * bytes of that moment: a buffer that was used for something else meanwhile writes that. */
#include "tests/sim/disk_internal.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define LATENCY_US_MIN 40u
#define LATENCY_US_MAX 600u
/* When the kernel gives a hung command up: -EIO then. */
#define HUNG_US (UINT64_C(30) * 1000000u)

static struct sim_disk *
of(struct io_queue *queue)
{
        return (struct sim_disk *)queue->io;
}

int
sim_queue_open(struct io *io, struct io_queue **out)
{
        struct sim_disk *disk = (struct sim_disk *)io;
        int error = call_enter(disk);
        if (error)
                return error;
        for (unsigned i = 0; i < QUEUES_MAX; i++) {
                if (disk->queues[i] != NULL)
                        continue;
                struct sim_queue *queue = calloc(1, sizeof(*queue));
                assert(queue != NULL);
                queue->queue.io = io;
                disk->queues[i] = queue;
                error = (int)call_leave(disk, 0, "queue_open()");
                if (error) {
                        disk->queues[i] = NULL;
                        free(queue);
                        return error;
                }
                *out = &queue->queue;
                return 0;
        }
        return -EMFILE;
}

int
sim_queue_register(struct io_queue *queue, const struct iovec *buffers, unsigned n)
{
        return rng_chance(&of(queue)->rng, 100000) ? -ENOMEM : 0;
}

/* What will come of the request. */
static void
request_judge(struct sim_disk *disk, struct request *request)
{
        const struct io_request *asked = &request->asked;
        struct node *node = request->node;
        const struct sim_faults *faults = faults_of(disk, node);
        request->ready_us = disk->now_us + rng_between(&disk->rng, LATENCY_US_MIN, LATENCY_US_MAX);
        request->result = (int32_t)asked->bytes;
        if (faults == NULL)
                return;
        if (faults->hung) {
                request->ready_us = disk->now_us + HUNG_US;
                request->hung = true;
        } else if (faults->slow_us > 0)
                request->ready_us += rng_below(&disk->rng, 2 * (uint64_t)faults->slow_us);
        if (!asked->write)
                return;
        int error = fault_write(disk, node, asked->offset_bytes + asked->bytes > node->bytes);
        if (error) {
                request->result = error;
                return;
        }
        if (rng_chance(&disk->rng, faults->short_ppm)) {
                request->result = (int32_t)(rng_below(&disk->rng, asked->bytes / SIM_SECTOR_BYTES) *
                                            SIM_SECTOR_BYTES);
                disk->counts.shorts++;
                return;
        }
        request->lost = rng_chance(&disk->rng, faults->lost_ppm);
        if (request->lost)
                disk->counts.lost++;
        else if (rng_chance(&disk->rng, faults->misdirected_ppm))
                request->elsewhere =
                    place_elsewhere(disk, node, asked->bytes, &request->elsewhere_bytes);
        if (request->elsewhere != NULL) {
                request->lost = true;
                disk->counts.misdirected++;
        }
}

int
sim_queue_submit(struct io_queue *own, const struct io_request *requests, unsigned n)
{
        struct sim_disk *disk = of(own);
        assert(n > 0 && n <= IO_BATCH_MAX);
        int error = effect_enter(disk);
        if (error)
                return error;
        for (unsigned i = 0; i < n; i++) {
                const struct io_request *asked = &requests[i];
                assert(asked->fd >= 0 && disk->descriptors[asked->fd].node != NULL);
                const struct descriptor *descriptor = &disk->descriptors[asked->fd];
                assert(descriptor->flags & (asked->write ? IO_WRITE : IO_READ));
                assert((uintptr_t)asked->buffer % SIM_PAGE_BYTES == 0);
                assert(asked->bytes % SIM_PAGE_BYTES == 0);
                assert(asked->offset_bytes % SIM_PAGE_BYTES == 0);
                struct request *request = disk->requests;
                while (request->queue != NULL)
                        request++;
                assert(request < disk->requests + REQUESTS_MAX);
                *request = (struct request){
                    .queue = (struct sim_queue *)own,
                    .node = descriptor->node,
                    .asked = *asked,
                };
                request_judge(disk, request);
                if (disk->trace != NULL)
                        fprintf(disk->trace, "%18s  %s(%d #%lu, %u at %lu) tag %lx\n", "queued",
                            asked->write ? "write" : "read", asked->fd,
                            (unsigned long)request->node->inode, asked->bytes,
                            (unsigned long)asked->offset_bytes, (unsigned long)asked->tag);
        }
        int handed = (int)call_leave(disk, (int64_t)n, "queue_submit(%u)", n);
        /* What the ended machine had in flight was given up with it. */
        for (unsigned i = 0; i < REQUESTS_MAX && handed < 0; i++)
                if (disk->requests[i].queue == (struct sim_queue *)own)
                        disk->requests[i].queue = NULL;
        return handed;
}

/* Does what was asked for, as it was judged. */
static int32_t
request_carry_out(struct sim_disk *disk, struct request *request)
{
        const struct io_request *asked = &request->asked;
        struct node *node = request->node;
        if (disk->crashed)
                return -EIO;
        if (request->hung)
                request->result = -EIO;
        if (!asked->write) {
                int error = request->hung ? -EIO : fault_read(disk, node);
                uint64_t bytes = asked->bytes;
                if (error)
                        return error;
                if (asked->offset_bytes >= node->bytes)
                        return 0;
                if (bytes > node->bytes - asked->offset_bytes)
                        bytes = node->bytes - asked->offset_bytes;
                node_get(node, asked->offset_bytes, asked->buffer, bytes);
                return (int32_t)bytes;
        }
        if (request->result == -EIO)
                write_torn(disk, node, asked->offset_bytes, asked->buffer, asked->bytes);
        if (request->result <= 0)
                return request->result;
        node_put(node, asked->offset_bytes, asked->buffer, (size_t)request->result, !request->lost,
            true);
        if (request->elsewhere != NULL)
                node_put(request->elsewhere, request->elsewhere_bytes, asked->buffer, asked->bytes,
                    true, false);
        return request->result;
}

static struct request *
request_first(struct sim_disk *disk, const struct io_queue *queue)
{
        struct request *first = NULL;
        for (unsigned i = 0; i < REQUESTS_MAX; i++) {
                struct request *request = &disk->requests[i];
                if ((const struct io_queue *)request->queue == queue &&
                    (first == NULL || request->ready_us < first->ready_us))
                        first = request;
        }
        return first;
}

int
sim_queue_poll(struct io_queue *own, struct io_done *done, unsigned max, uint32_t wait_us)
{
        struct sim_disk *disk = of(own);
        unsigned n = 0;
        struct request *first = request_first(disk, own);
        /* An ended machine's requests come back, all of them failed. */
        if (first != NULL)
                (void)effect_enter(disk);
        else if (call_enter(disk))
                return -EIO;
        if (first == NULL || first->ready_us > disk->now_us) {
                uint64_t until = disk->now_us + wait_us;
                disk->now_us = first != NULL && first->ready_us < until ? first->ready_us : until;
        }
        while (n < max && first != NULL && first->ready_us <= disk->now_us) {
                if (disk->now_us - first->ready_us > 0 && first->ready_us > 0)
                        disk->counts.late++;
                done[n].tag = first->asked.tag;
                done[n].result = request_carry_out(disk, first);
                if (disk->trace != NULL)
                        fprintf(disk->trace, "%18s  tag %lx = %d\n", "done",
                            (unsigned long)done[n].tag, done[n].result);
                first->queue = NULL;
                n++;
                first = request_first(disk, own);
        }
        if (!disk->dying)
                return (int)n;
        /* What was carried out stays so; it was just not told. */
        sim_disk_crash(disk);
        for (unsigned i = 0; i < n; i++)
                done[i].result = -EIO;
        return (int)n;
}

void
sim_queue_close(struct io_queue *own)
{
        struct sim_disk *disk = of(own);
        for (unsigned i = 0; i < REQUESTS_MAX; i++) {
                struct request *request = &disk->requests[i];
                if (request->queue != (struct sim_queue *)own)
                        continue;
                if (!disk->crashed && !request->hung)
                        request_carry_out(disk, request);
                request->queue = NULL;
        }
        for (unsigned i = 0; i < QUEUES_MAX; i++)
                if (disk->queues[i] == (struct sim_queue *)own)
                        disk->queues[i] = NULL;
        free(own);
}
