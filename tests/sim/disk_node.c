/* SPDX-License-Identifier: Apache-2.0 */
/* Files and folders in memory. */
#include "tests/sim/disk_internal.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static void *
must(void *memory)
{
        assert(memory != NULL);
        return memory;
}

struct node *
node_make(struct sim_disk *disk, uint32_t on, bool is_folder)
{
        struct node *node = must(calloc(1, sizeof(*node)));
        node->inode = disk->next_inode++;
        node->disk = on;
        node->is_folder = is_folder;
        node->locked_by = -1;
        node->next = disk->nodes;
        disk->nodes = node;
        return node;
}

void
node_free(struct node *node)
{
        for (size_t i = 0; i < node->pages_n; i++) {
                if (node->pages[i] == NULL)
                        continue;
                free(node->pages[i]->honest);
                free(node->pages[i]);
        }
        free(node->pages);
        free(node->now.all);
        free(node->durable.all);
        free(node->changes);
        free(node);
}

/* ---- bytes ---- */

void
node_get(const struct node *node, uint64_t offset_bytes, void *out, size_t bytes)
{
        uint8_t *to = out;
        while (bytes > 0) {
                size_t page = offset_bytes / SIM_PAGE_BYTES, at = offset_bytes % SIM_PAGE_BYTES;
                size_t n = SIM_PAGE_BYTES - at < bytes ? SIM_PAGE_BYTES - at : bytes;
                if (page < node->pages_n && node->pages[page] != NULL)
                        memcpy(to, node->pages[page]->data + at, n);
                else
                        memset(to, 0, n);
                to += n;
                offset_bytes += n;
                bytes -= n;
        }
}

static bool
is_zero(const uint8_t *in, size_t bytes)
{
        return in[0] == 0 && memcmp(in, in + 1, bytes - 1) == 0;
}

static struct page *
page_make(struct node *node, size_t index)
{
        if (index >= node->pages_n) {
                size_t n = (index + 1) * 2;
                node->pages = must(realloc(node->pages, n * sizeof(node->pages[0])));
                memset(
                    node->pages + node->pages_n, 0, (n - node->pages_n) * sizeof(node->pages[0]));
                node->pages_n = n;
        }
        if (node->pages[index] == NULL)
                node->pages[index] = must(calloc(1, sizeof(struct page)));
        return node->pages[index];
}

static void
page_put(struct node *node, size_t index, size_t at, const uint8_t *in, size_t n, bool medium,
    bool honest)
{
        struct page *page = index < node->pages_n ? node->pages[index] : NULL;
        if (page == NULL) {
                /* A page of zeros that gets zeros. */
                if (is_zero(in, n))
                        return;
                page = page_make(node, index);
        }
        if (medium != honest && page->honest == NULL) {
                page->honest = must(malloc(SIM_PAGE_BYTES));
                memcpy(page->honest, page->data, SIM_PAGE_BYTES);
        }
        if (medium)
                memcpy(page->data + at, in, n);
        if (honest && page->honest != NULL)
                memcpy(page->honest + at, in, n);
        if (page->honest != NULL && memcmp(page->honest, page->data, SIM_PAGE_BYTES) == 0) {
                free(page->honest);
                page->honest = NULL;
        }
}

void
node_put(struct node *node, uint64_t offset_bytes, const void *in, size_t bytes, bool medium,
    bool honest)
{
        const uint8_t *from = in;
        node_grow(node, offset_bytes + bytes);
        while (bytes > 0) {
                size_t page = offset_bytes / SIM_PAGE_BYTES, at = offset_bytes % SIM_PAGE_BYTES;
                size_t n = SIM_PAGE_BYTES - at < bytes ? SIM_PAGE_BYTES - at : bytes;
                page_put(node, page, at, from, n, medium, honest);
                from += n;
                offset_bytes += n;
                bytes -= n;
        }
}

void
node_grow(struct node *node, uint64_t bytes)
{
        if (node->bytes < bytes)
                node->bytes = bytes;
        /* O_DSYNC writes what is needed to read the bytes back, so the length too. */
        if (node->durable_bytes < bytes)
                node->durable_bytes = bytes;
}

/* ---- names ---- */

static struct entry *
entry_find(const struct entries *entries, const char *name)
{
        for (unsigned i = 0; i < entries->n; i++)
                if (strcmp(entries->all[i].name, name) == 0)
                        return &entries->all[i];
        return NULL;
}

struct node *
entries_find(const struct entries *entries, const char *name)
{
        struct entry *entry = entry_find(entries, name);
        return entry != NULL ? entry->node : NULL;
}

void
entries_set(struct entries *entries, const char *name, struct node *node)
{
        struct entry *entry = entry_find(entries, name);
        if (node == NULL) {
                if (entry != NULL)
                        *entry = entries->all[--entries->n];
                return;
        }
        if (entry == NULL) {
                if (entries->n == entries->room) {
                        entries->room = entries->room ? 2 * entries->room : 8;
                        entries->all =
                            must(realloc(entries->all, entries->room * sizeof(entries->all[0])));
                }
                entry = &entries->all[entries->n++];
                assert(strlen(name) < NAME_BYTES);
                strcpy(entry->name, name);
        }
        entry->node = node;
}

void
entries_copy(struct entries *to, const struct entries *from)
{
        to->n = 0;
        for (unsigned i = 0; i < from->n; i++)
                entries_set(to, from->all[i].name, from->all[i].node);
}

void
node_change(struct node *folder, const char *from, const char *to, struct node *node)
{
        if (folder->changes_n == folder->changes_room) {
                folder->changes_room = folder->changes_room ? 2 * folder->changes_room : 8;
                folder->changes = must(
                    realloc(folder->changes, folder->changes_room * sizeof(folder->changes[0])));
        }
        struct change *change = &folder->changes[folder->changes_n++];
        *change = (struct change){.node = node};
        if (from != NULL) {
                struct node *gone = entries_find(&folder->now, from);
                if (gone != NULL && gone != node)
                        gone->links--;
                strcpy(change->from, from);
                entries_set(&folder->now, from, NULL);
        }
        if (to != NULL) {
                struct node *replaced = entries_find(&folder->now, to);
                if (replaced != NULL)
                        replaced->links--;
                strcpy(change->to, to);
                entries_set(&folder->now, to, node);
        }
}

void
node_sync(struct node *folder)
{
        entries_copy(&folder->durable, &folder->now);
        folder->changes_n = 0;
}

struct node *
node_copy(struct sim_disk *disk, const struct node *from)
{
        struct node *to = node_make(disk, from->disk, from->is_folder);
        to->bytes = to->durable_bytes = from->bytes;
        to->links = 1;
        for (size_t i = 0; i < from->pages_n; i++) {
                if (from->pages[i] == NULL)
                        continue;
                struct page *page = page_make(to, i);
                memcpy(page->data, from->pages[i]->data, SIM_PAGE_BYTES);
                if (from->pages[i]->honest != NULL) {
                        page->honest = must(malloc(SIM_PAGE_BYTES));
                        memcpy(page->honest, from->pages[i]->honest, SIM_PAGE_BYTES);
                }
        }
        for (unsigned i = 0; i < from->now.n; i++)
                entries_set(
                    &to->now, from->now.all[i].name, node_copy(disk, from->now.all[i].node));
        node_sync(to);
        return to;
}
