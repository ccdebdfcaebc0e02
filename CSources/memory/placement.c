/* placement.c - wishes, and the policies that carry them out.
 *
 * Invariant: nothing strict is asked for before every page is where it belongs. Committing under
 * MPOL_BIND ends in an out-of-memory kill where a node is full; under MPOL_PREFERRED pages spill to
 * other nodes, which is read back (memory/residency.c), mended (team/populate.c), or an error.
 */
#include <linux/mempolicy.h>
#include <muster/core/placement.h>
#include <muster/core/schedule.h>
#include <stdio.h>
#include <stdlib.h>

#include "memory/placement.h"
#include "os/os.h"

#ifndef MPOL_WEIGHTED_INTERLEAVE
#define MPOL_WEIGHTED_INTERLEAVE 6 /* Linux 6.9 */
#endif

/* Dealing by blocks makes at most so many pieces: each costs two system calls and a piece of the
 * list that goes to the workers. */
#define DEALT_PIECES_MAX 8192u

/* A policy for each piece is a mapping of its own in the leader, of vm.max_map_count (65,530) in
 * all; with more pieces than this, one policy covers all of them. */
#define BOUND_PIECES_MAX 1024u

#define HUGE_BYTES (2ull << 20)

int muster_placement_add(struct muster_placement *placement, uint32_t node, uint32_t weight)
{
    if (node >= MUSTER_NODES_MAX || weight == 0 || weight > UINT8_MAX ||
        placement->nodes[node / 64] >> (node % 64) & 1)
        return -EINVAL;
    placement->nodes[node / 64] |= (uint64_t)1 << (node % 64);
    placement->weights[node] = (uint8_t)weight;
    return 0;
}

static int check_node(const struct muster_topology *topology, uint32_t id)
{
    int position = muster_topology_node_position(topology, id);
    if (position < 0 || !topology->nodes[position].has_memory)
        return -ENODEV;
    return topology->nodes[position].allowed ? 0 : -EACCES;
}

int muster_placement_check(const struct muster_placement *placement,
                           const struct muster_topology *topology)
{
    switch (placement->kind) {
    case MUSTER_FIRST_TOUCH:
    case MUSTER_BLOCKED:
    case MUSTER_MIRRORED:
        return 0;
    case MUSTER_BIND:
        return check_node(topology, placement->node);
    case MUSTER_INTERLEAVE:
    case MUSTER_WEIGHTED:
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

/* -- plan ----------------------------------------------------------------------------------- */

/* A node that pages are dealt to, and how many at a time. */
struct turn {
    uint32_t node;
    uint32_t weight;
};

static uint32_t list_turns(const struct muster_placement *placement,
                           const struct muster_topology *topology, struct turn *turns)
{
    bool named = false;
    for (uint32_t word = 0; word < MUSTER_NODES_MAX / 64; word++)
        named |= placement->nodes[word] != 0;
    uint32_t count = 0;
    for (uint32_t i = 0; i < topology->node_count; i++) {
        const struct muster_node *node = &topology->nodes[i];
        if (node->id >= MUSTER_NODES_MAX || !node->allowed || !node->has_memory)
            continue;
        if (named && !(placement->nodes[node->id / 64] >> (node->id % 64) & 1))
            continue;
        uint32_t weight =
            placement->kind == MUSTER_WEIGHTED && named ? placement->weights[node->id] : 1;
        turns[count++] = (struct turn){node->id, weight ? weight : 1};
    }
    return count;
}

/* Whether the kernel's own weights of these nodes are as wished for, up to a common factor. */
static int kernel_weights(const struct turn *turns, uint32_t count)
{
    uint64_t first = 0;
    for (uint32_t i = 0; i < count; i++) {
        char path[96], text[32];
        snprintf(path, sizeof path, "/sys/kernel/mm/mempolicy/weighted_interleave/node%u",
                 turns[i].node);
        if (muster__os_read_text(path, text, sizeof text) < 0)
            return -ENOSYS;
        uint64_t weight = strtoull(text, NULL, 10);
        if (i == 0)
            first = weight;
        if (weight == 0 || weight * turns[0].weight != first * turns[i].weight)
            return -EPERM;
    }
    return 0;
}

static int add_piece(struct muster_plan *plan, struct muster_piece *pieces, uint64_t capacity,
                     uint64_t end_bytes, uint32_t node)
{
    uint64_t begin = plan->piece_count ? pieces[plan->piece_count - 1].end_bytes : 0;
    if (end_bytes <= begin)
        return 0;
    if (plan->piece_count && pieces[plan->piece_count - 1].node == node) {
        pieces[plan->piece_count - 1].end_bytes = end_bytes;
        return 0;
    }
    if (plan->piece_count == capacity)
        return -E2BIG;
    pieces[plan->piece_count++] = (struct muster_piece){.end_bytes = end_bytes, .node = node};
    return 0;
}

/* Blocks in turn, `weight` of them to a node at a time. */
static int deal(const struct turn *turns, uint32_t count, uint64_t size_bytes,
                struct muster_plan *plan, struct muster_piece *pieces, uint64_t capacity)
{
    uint64_t round = 0, most = capacity < DEALT_PIECES_MAX ? capacity : DEALT_PIECES_MAX;
    for (uint32_t i = 0; i < count; i++)
        round += turns[i].weight;
    if (count == 0)
        return -ENODEV;
    if (most < 2 * (uint64_t)count)
        return -E2BIG;
    uint64_t rounds = most / count - 1;
    uint64_t units = (size_bytes + plan->unit_bytes - 1) / plan->unit_bytes;
    uint64_t units_a_block = (units + rounds * round - 1) / (rounds * round);
    plan->block_bytes = units_a_block * plan->unit_bytes;
    int status = 0;
    for (uint64_t at = 0; status == 0 && at < size_bytes;)
        for (uint32_t i = 0; status == 0 && i < count && at < size_bytes; i++) {
            uint64_t length = turns[i].weight * plan->block_bytes;
            at = size_bytes - at < length ? size_bytes : at + length;
            status = add_piece(plan, pieces, capacity, at, turns[i].node);
        }
    return status;
}

struct muster_interval muster_placement_share(uint64_t size_bytes, uint64_t chunk_bytes,
                                              uint64_t unit_bytes, uint32_t ranks, uint32_t rank)
{
    struct muster_interval chunks =
        muster_schedule_block(muster_schedule_chunks(size_bytes, chunk_bytes), ranks, rank);
    struct muster_interval share = {chunks.first * chunk_bytes / unit_bytes * unit_bytes,
                                    chunks.end * chunk_bytes / unit_bytes * unit_bytes};
    if (rank + 1 == ranks || share.end > size_bytes)
        share.end = size_bytes;
    if (share.first > share.end)
        share.first = share.end;
    return share;
}

int muster_placement_plan(const struct muster_placement *placement,
                          const struct muster_topology *topology,
                          const struct muster_layout *layout, struct muster_plan *plan,
                          struct muster_piece *pieces, uint64_t capacity)
{
    struct muster_plan made = {.unit_bytes = layout->unit_bytes, .mode = MUSTER_PLAN_PIECES};
    int status = 0;
    switch (placement->kind) {
    case MUSTER_BIND:
        status = add_piece(&made, pieces, capacity, layout->size_bytes, placement->node);
        break;
    case MUSTER_FIRST_TOUCH:
        made.mode = MUSTER_PLAN_TOUCH; /* fall through */
    case MUSTER_BLOCKED:
        for (uint32_t rank = 0; status == 0 && rank < layout->ranks; rank++)
            status = add_piece(&made, pieces, capacity,
                               muster_placement_share(layout->size_bytes, layout->chunk_bytes,
                                                      layout->unit_bytes, layout->ranks, rank)
                                   .end,
                               layout->rank_nodes[rank]);
        break;
    case MUSTER_MIRRORED:
        made.block_bytes =
            (layout->size_bytes + layout->unit_bytes - 1) / layout->unit_bytes * layout->unit_bytes;
        for (uint32_t rank = 0; status == 0 && rank < layout->ranks; rank++) {
            uint64_t copy = 0;
            while (copy < made.piece_count && pieces[copy].node != layout->rank_nodes[rank])
                copy++;
            if (copy == made.piece_count)
                status = add_piece(&made, pieces, capacity, (copy + 1) * made.block_bytes,
                                   layout->rank_nodes[rank]);
        }
        break;
    case MUSTER_INTERLEAVE:
    case MUSTER_WEIGHTED: {
        struct turn *turns = malloc(MUSTER_NODES_MAX * sizeof *turns);
        if (!turns)
            return -ENOMEM;
        uint32_t count = list_turns(placement, topology, turns);
        bool by_kernel = layout->unit_bytes == topology->page_bytes;
        if (placement->kind == MUSTER_WEIGHTED && count > 1) {
            made.why_blocks = kernel_weights(turns, count);
            by_kernel = by_kernel && made.why_blocks == 0;
        }
        if (by_kernel && count > 0) {
            made.mode = MUSTER_PLAN_KERNEL;
            status = add_piece(&made, pieces, capacity, layout->size_bytes, MUSTER_NODE_ANY);
        } else {
            status = deal(turns, count, layout->size_bytes, &made, pieces, capacity);
        }
        free(turns);
        break;
    }
    default:
        status = -EINVAL;
    }
    if (status == 0)
        *plan = made;
    return status;
}

/* -- policies ------------------------------------------------------------------------------- */

int muster__placement_refusal(int status)
{
    return status == -EPERM || status == -ENOSYS || status <= MUSTER_REFUSED ? -EXDEV : status;
}

static int bind_mask(void *address, uint64_t size_bytes, int mode, const uint64_t *mask)
{
    return muster__placement_refusal(
        muster__os_mbind(address, size_bytes, mode, mask, MUSTER_NODES_MAX, 0));
}

static int apply_to_all(const struct muster_placement *placement,
                        const struct muster_topology *topology, int mode, void *address,
                        uint64_t size_bytes)
{
    uint64_t mask[MUSTER_NODES_MAX / 64] = {0};
    struct turn *turns = malloc(MUSTER_NODES_MAX * sizeof *turns);
    if (!turns)
        return -ENOMEM;
    uint32_t count = list_turns(placement, topology, turns);
    for (uint32_t i = 0; i < count; i++)
        mask[turns[i].node / 64] |= (uint64_t)1 << (turns[i].node % 64);
    free(turns);
    return count ? bind_mask(address, size_bytes, mode, mask) : -ENODEV;
}

/* One policy a piece; or one for all, where there are too many or their borders lie within huge
 * pages: the kernel cuts its mapping at each border (and 6.1 never joins it again when the policy
 * goes), and what is cut can't be collapsed any more. */
static int bind_pieces(const struct muster_plan *plan, const struct muster_piece *pieces,
                       void *address, uint64_t size_bytes)
{
    uint64_t all[MUSTER_NODES_MAX / 64] = {0};
    bool one_each = plan->piece_count <= BOUND_PIECES_MAX;
    for (uint64_t i = 0; i < plan->piece_count; i++) {
        if (pieces[i].node >= MUSTER_NODES_MAX)
            return -ENODEV;
        all[pieces[i].node / 64] |= (uint64_t)1 << (pieces[i].node % 64);
        if (i + 1 < plan->piece_count && pieces[i].end_bytes % HUGE_BYTES)
            one_each = false;
    }
    if (!one_each || plan->piece_count == 0)
        return plan->piece_count ? bind_mask(address, size_bytes, MPOL_BIND, all) : 0;
    for (uint64_t i = 0, begin = 0; i < plan->piece_count; begin = pieces[i++].end_bytes) {
        uint64_t mask[MUSTER_NODES_MAX / 64] = {0};
        uint64_t end = i + 1 == plan->piece_count ? size_bytes : pieces[i].end_bytes;
        mask[pieces[i].node / 64] = (uint64_t)1 << (pieces[i].node % 64);
        int status = bind_mask((unsigned char *)address + begin, end - begin, MPOL_BIND, mask);
        if (status < 0)
            return status;
    }
    return 0;
}

int muster_placement_apply(const struct muster_placement *placement,
                           const struct muster_topology *topology, const struct muster_plan *plan,
                           const struct muster_piece *pieces, enum muster_placement_step step,
                           void *address, uint64_t size_bytes)
{
    bool deals = placement->kind == MUSTER_INTERLEAVE || placement->kind == MUSTER_WEIGHTED;
    if (size_bytes == 0 || plan->mode == MUSTER_PLAN_TOUCH)
        return 0;
    if (plan->mode == MUSTER_PLAN_KERNEL)
        /* Interleave falls back to other nodes when one is full, so it is safe before the commit,
         * and stays. */
        return step == MUSTER_PLACEMENT_BIND
                   ? 0
                   : apply_to_all(placement, topology,
                                  placement->kind == MUSTER_WEIGHTED ? MPOL_WEIGHTED_INTERLEAVE
                                                                     : MPOL_INTERLEAVE,
                                  address, size_bytes);
    if (step == MUSTER_PLACEMENT_PREFER)
        return 0; /* the process that commits a piece prefers its node by a policy of its own */
    if (deals)
        return apply_to_all(placement, topology, MPOL_INTERLEAVE, address, size_bytes);
    return bind_pieces(plan, pieces, address, size_bytes);
}

int muster_placement_own_policy(void)
{
    uint64_t nodes[MUSTER_NODES_MAX / 64];
    int mode = 0;
    int status = muster__placement_refusal(muster__os_task_policy(&mode, nodes, MUSTER_NODES_MAX));
    /* Above the mode stand its flags. */
    mode &= 0xff;
    return status < 0 ? status : mode == MPOL_LOCAL ? MPOL_DEFAULT : mode;
}
