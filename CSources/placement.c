/* placement.c - policies, and reading back what they did.
 *
 * mbind and move_pages are called directly: libnuma's own placement calls return nothing and may
 * print or exit.
 */
#include <muster/placement.h>
#include <muster/schedule.h>
#include <numaif.h>
#include <stdlib.h>
#include <string.h>

#include "os.h"

/* Pages asked about in one system call: 4,096 pages are 32 KiB of arguments. */
#define QUERY_PAGES 4096u

static int check_node(const struct muster_topology *topology, uint32_t id)
{
    int position = muster_topology_node_position(topology, id);
    if (position < 0 || topology->nodes[position].memory_total_bytes == 0)
        return -ENODEV;
    return topology->nodes[position].allowed ? 0 : -EACCES;
}

int muster_placement_check(const struct muster_placement *placement,
                           const struct muster_topology *topology)
{
    switch (placement->kind) {
    case MUSTER_FIRST_TOUCH:
    case MUSTER_BLOCKED:
        return 0;
    case MUSTER_BIND:
        return check_node(topology, placement->node);
    case MUSTER_INTERLEAVE:
        for (uint32_t id = 0; id < MUSTER_NODES_MAX; id++)
            if (placement->nodes[id / 64] >> (id % 64) & 1) {
                int status = check_node(topology, id);
                if (status < 0)
                    return status;
            }
        return 0;
    }
    return -EINVAL;
}

/* What refuses placement as such, in a container say, and is not about this array. */
static int refusal(int status)
{
    return status == -EPERM || status == -ENOSYS ? -EXDEV : status;
}

static int apply_one(void *address, uint64_t size_bytes, enum muster_placement_step step,
                     uint32_t node)
{
    uint64_t mask[MUSTER_NODES_MAX / 64] = {0};
    if (node >= MUSTER_NODES_MAX)
        return -ENODEV;
    mask[node / 64] = (uint64_t)1 << (node % 64);
    int mode = step == MUSTER_PLACEMENT_PREFER ? MPOL_PREFERRED : MPOL_BIND;
    return refusal(muster__os_mbind(address, size_bytes, mode, mask, MUSTER_NODES_MAX, 0));
}

static int apply_interleave(const struct muster_placement *placement, void *address,
                            uint64_t size_bytes, const struct muster_topology *topology)
{
    uint64_t mask[MUSTER_NODES_MAX / 64];
    bool any = false;
    memcpy(mask, placement->nodes, sizeof mask);
    for (uint32_t word = 0; word < MUSTER_NODES_MAX / 64; word++)
        any |= mask[word] != 0;
    for (uint32_t i = 0; i < topology->node_count && !any; i++) {
        const struct muster_node *node = &topology->nodes[i];
        if (node->allowed && node->memory_total_bytes > 0 && node->id < MUSTER_NODES_MAX)
            mask[node->id / 64] |= (uint64_t)1 << (node->id % 64);
    }
    /* Interleave falls back to other nodes when one is full, so it is safe in both steps. */
    return refusal(
        muster__os_mbind(address, size_bytes, MPOL_INTERLEAVE, mask, MUSTER_NODES_MAX, 0));
}

int muster_placement_apply(const struct muster_placement *placement,
                           enum muster_placement_step step, void *address, uint64_t size_bytes,
                           uint64_t block_bytes, const uint32_t *rank_nodes, uint32_t ranks,
                           const struct muster_topology *topology)
{
    if (size_bytes == 0 || placement->kind == MUSTER_FIRST_TOUCH)
        return 0;
    if (placement->kind == MUSTER_BIND)
        return apply_one(address, size_bytes, step, placement->node);
    if (placement->kind == MUSTER_INTERLEAVE)
        return step == MUSTER_PLACEMENT_PREFER
                   ? apply_interleave(placement, address, size_bytes, topology)
                   : 0;
    if (placement->kind != MUSTER_BLOCKED)
        return -EINVAL;
    uint64_t page = topology->page_bytes;
    uint64_t blocks = muster_schedule_chunks(size_bytes, block_bytes);
    for (uint32_t rank = 0; rank < ranks;) {
        /* Neighbouring ranks of one node share one policy: fewer kernel mappings. */
        uint32_t last = rank;
        while (last + 1 < ranks && rank_nodes[last + 1] == rank_nodes[rank])
            last++;
        /* A page that two ranks share belongs to the later one. */
        uint64_t first_byte =
            muster_schedule_block(blocks, ranks, rank).first * block_bytes / page * page;
        uint64_t end_byte =
            muster_schedule_block(blocks, ranks, last).end * block_bytes / page * page;
        if (last + 1 == ranks || end_byte > size_bytes)
            end_byte = size_bytes;
        if (first_byte < end_byte) {
            int status = apply_one((unsigned char *)address + first_byte, end_byte - first_byte,
                                   step, rank_nodes[rank]);
            if (status < 0)
                return status;
        }
        rank = last + 1;
    }
    return 0;
}

int muster_placement_residency(void *address, uint64_t size_bytes, uint64_t page_bytes,
                               uint64_t *node_bytes, uint64_t *absent_bytes)
{
    struct {
        void *pages[QUERY_PAGES];
        int status[QUERY_PAGES];
    } *query = malloc(sizeof *query);
    uint64_t *counted = calloc(MUSTER_NODES_MAX, sizeof *counted);
    uint64_t absent = 0;
    int status = query && counted ? 0 : -ENOMEM;
    for (uint64_t done = 0; status == 0 && done < size_bytes;) {
        uint64_t rest = (size_bytes - done + page_bytes - 1) / page_bytes;
        uint64_t count = rest < QUERY_PAGES ? rest : QUERY_PAGES;
        unsigned char *start = (unsigned char *)address + done;
        status = muster__os_populate(start, count * page_bytes, false);
        for (uint64_t i = 0; i < count; i++)
            query->pages[i] = start + i * page_bytes;
        if (status == 0)
            status = refusal(muster__os_move_pages(query->pages, count, NULL, query->status));
        for (uint64_t i = 0; status == 0 && i < count; i++) {
            int node = query->status[i];
            if (node >= 0 && (uint32_t)node < MUSTER_NODES_MAX)
                counted[node] += page_bytes;
            else
                absent += page_bytes;
        }
        done += count * page_bytes;
    }
    if (status == 0) {
        memcpy(node_bytes, counted, MUSTER_NODES_MAX * sizeof *counted);
        *absent_bytes = absent;
    }
    free(query);
    free(counted);
    return status;
}

static bool has_usable_cpu(const struct muster_topology *topology, uint32_t node)
{
    for (uint32_t i = 0; i < topology->cpu_count; i++) {
        const struct muster_cpu *cpu = &topology->cpus[i];
        if (cpu->node == (int32_t)node && cpu->online && cpu->allowed)
            return true;
    }
    return false;
}

void muster_placement_rank_nodes(const struct muster_topology *topology, uint32_t ranks,
                                 uint32_t *rank_nodes)
{
    uint32_t usable = 0;
    for (uint32_t i = 0; i < topology->node_count; i++)
        usable += has_usable_cpu(topology, topology->nodes[i].id);
    if (usable == 0) {
        memset(rank_nodes, 0, ranks * sizeof *rank_nodes);
        return;
    }
    uint32_t seen = 0;
    for (uint32_t i = 0; i < topology->node_count; i++) {
        if (!has_usable_cpu(topology, topology->nodes[i].id))
            continue;
        struct muster_interval share = muster_schedule_block(ranks, usable, seen++);
        for (uint64_t rank = share.first; rank < share.end; rank++)
            rank_nodes[rank] = topology->nodes[i].id;
    }
}

int muster_placement_run_on(const struct muster_topology *topology, uint32_t node)
{
    uint64_t mask[16384 / 64] = {0};
    bool any = false;
    for (uint32_t i = 0; i < topology->cpu_count; i++) {
        const struct muster_cpu *cpu = &topology->cpus[i];
        /* Not a cast of `node`: UINT32_MAX would be -1, a CPU whose node is unknown. */
        if (cpu->node == (int64_t)node && cpu->online && cpu->allowed && cpu->id < 16384) {
            mask[cpu->id / 64] |= (uint64_t)1 << (cpu->id % 64);
            any = true;
        }
    }
    return any ? muster__os_affinity_set(mask, 16384) : -ENODEV;
}
