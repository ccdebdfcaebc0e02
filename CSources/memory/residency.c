/* residency.c - where pages really lie.
 *
 * mbind's and madvise's success says nothing about it, and the kernel only tells of pages that this
 * process maps: so they are mapped first (reading only), then asked about (move_pages without
 * nodes).
 */
#include <linux/mempolicy.h>
#include <stdlib.h>
#include <string.h>

#include "memory/placement.h"
#include "os/os.h"

int muster__query_nodes(struct muster__query *query, unsigned char *start, uint64_t count,
                        uint64_t step_bytes)
{
    for (uint64_t i = 0; i < count; i++)
        query->pages[i] = start + i * step_bytes;
    return muster__placement_refusal(
        muster__os_move_pages(query->pages, count, NULL, query->status));
}

/* Calls visit for each page, with its offset and its node, or -1. */
static int walk(void *address, uint64_t size_bytes, uint64_t page_bytes,
                void (*visit)(void *context, uint64_t offset_bytes, int node), void *context)
{
    struct muster__query *query = malloc(sizeof *query);
    int status = query ? 0 : -ENOMEM;
    for (uint64_t done = 0; status == 0 && done < size_bytes;) {
        uint64_t rest = (size_bytes - done + page_bytes - 1) / page_bytes;
        uint64_t count = rest < MUSTER__QUERY_PAGES ? rest : MUSTER__QUERY_PAGES;
        unsigned char *start = (unsigned char *)address + done;
        status = muster__os_populate(start, count * page_bytes, false);
        if (status == 0)
            status = muster__query_nodes(query, start, count, page_bytes);
        for (uint64_t i = 0; status == 0 && i < count; i++) {
            int node = query->status[i];
            bool is_known = node >= 0 && (uint32_t)node < MUSTER_NODES_MAX;
            visit(context, done + i * page_bytes, is_known ? node : -1);
        }
        done += count * page_bytes;
    }
    free(query);
    return status;
}

struct counting {
    uint64_t page_bytes;
    uint64_t *node_bytes;
    uint64_t absent_bytes;
};

static void count_page(void *context, uint64_t offset_bytes, int node)
{
    struct counting *counting = context;
    (void)offset_bytes;
    if (node >= 0)
        counting->node_bytes[node] += counting->page_bytes;
    else
        counting->absent_bytes += counting->page_bytes;
}

int muster_placement_residency(void *address, uint64_t size_bytes, uint64_t page_bytes,
                               uint64_t *node_bytes, uint64_t *absent_bytes)
{
    struct counting counting = {.page_bytes = page_bytes,
                                .node_bytes = calloc(MUSTER_NODES_MAX, sizeof(uint64_t))};
    if (!counting.node_bytes)
        return -ENOMEM;
    int status = walk(address, size_bytes, page_bytes, count_page, &counting);
    if (status == 0) {
        memcpy(node_bytes, counting.node_bytes, MUSTER_NODES_MAX * sizeof(uint64_t));
        *absent_bytes = counting.absent_bytes;
    }
    free(counting.node_bytes);
    return status;
}

struct listing {
    uint64_t page_bytes;
    int32_t *nodes;
};

static void list_page(void *context, uint64_t offset_bytes, int node)
{
    struct listing *listing = context;
    listing->nodes[offset_bytes / listing->page_bytes] = node;
}

int muster_placement_nodes(void *address, uint64_t size_bytes, uint64_t page_bytes, int32_t *nodes)
{
    struct listing listing = {.page_bytes = page_bytes, .nodes = nodes};
    return walk(address, size_bytes, page_bytes, list_page, &listing);
}

struct verifying {
    uint64_t page_bytes, size_bytes;
    const struct muster_piece *pieces;
    uint64_t piece_count, piece; /* pages come by rising offset */
    uint64_t right_bytes;
};

static void verify_page(void *context, uint64_t offset_bytes, int node)
{
    struct verifying *verifying = context;
    while (verifying->piece < verifying->piece_count &&
           verifying->pieces[verifying->piece].end_bytes <= offset_bytes)
        verifying->piece++;
    if (verifying->piece == verifying->piece_count || node < 0)
        return;
    uint32_t wanted = verifying->pieces[verifying->piece].node;
    uint64_t rest = verifying->size_bytes - offset_bytes;
    if (wanted == MUSTER_NODE_ANY || wanted == (uint32_t)node)
        verifying->right_bytes += rest < verifying->page_bytes ? rest : verifying->page_bytes;
}

int muster_placement_verify(void *address, uint64_t size_bytes, uint64_t page_bytes,
                            const struct muster_piece *pieces, uint64_t piece_count,
                            uint64_t *right_bytes)
{
    struct verifying verifying = {.page_bytes = page_bytes,
                                  .size_bytes = size_bytes,
                                  .pieces = pieces,
                                  .piece_count = piece_count};
    int status = walk(address, size_bytes, page_bytes, verify_page, &verifying);
    if (status == 0)
        *right_bytes = verifying.right_bytes;
    return status;
}
