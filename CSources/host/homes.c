/* homes.c - where pages lie that a CPU of each node touches first.
 *
 * A node that this process may allocate on is its own home. For any other, the kernel goes through
 * the nodes by distance, and deals equally near ones out in turn as it builds those lists: which
 * one comes first depends on when they were built (at boot, before other CPUs run, or when memory
 * was plugged in). So a live host is asked: one page is touched, and read back. What is predicted
 * stands for hosts that can't be asked, recorded ones or under a filter of system calls.
 */
#include <linux/mempolicy.h>
#include <muster/testing.h>
#include <stdlib.h>
#include <string.h>

#include "host/read.h"
#include "os/os.h"

#define NODES_MAX     1024u /* bits of a mask of nodes (numa-facts: never fewer) */
#define CPU_MASK_BITS 1048576u

#define DISTANCE_LOCAL   10u  /* from a node to itself (ACPI 6.5, 5.2.17) */
#define DISTANCE_UNKNOWN 256u /* farther than any that a host says */

/* -- asking --------------------------------------------------------------------------------- */

/* The node of a page under a policy that leaves the choice to the kernel, when touched now. Returns
 * it, or an errno. */
static int touch(unsigned char *page, uint64_t page_bytes)
{
    int status = muster__os_populate(page, page_bytes, true);
    if (status < 0)
        return status;
    void *pages[1] = {page};
    int node = -1;
    status = muster__os_move_pages(pages, 1, NULL, &node);
    return status < 0 ? status : node;
}

/* Asks as if from a node: a policy's home node is where the kernel begins to look (Linux 5.17), so
 * this thread need not go there. */
static int ask_from_node(unsigned char *page, uint64_t page_bytes, uint32_t node)
{
    uint64_t nodes[NODES_MAX / 64];
    int status = muster__os_memory_nodes(nodes, NODES_MAX);
    if (status == 0)
        status = muster__os_mbind(page, page_bytes, MPOL_BIND, nodes, NODES_MAX, 0);
    if (status == 0)
        status = muster__os_home_node(page, page_bytes, node);
    return status < 0 ? status : touch(page, page_bytes);
}

/* Asks from a CPU, where this thread goes for as long as that takes. */
static int ask_from_cpu(unsigned char *page, uint64_t page_bytes, uint32_t cpu)
{
    uint64_t *before = calloc(2 * CPU_MASK_BITS / 64, sizeof *before);
    if (before == NULL)
        return -ENOMEM;
    uint64_t *there = before + CPU_MASK_BITS / 64;
    there[cpu / 64] = UINT64_C(1) << (cpu % 64);
    /* Not the policy of this process, which may be any. */
    int status = muster__os_mbind(page, page_bytes, MPOL_LOCAL, NULL, 0, 0);
    if (status == 0)
        status = muster__os_affinity_get(before, CPU_MASK_BITS);
    if (status >= 0) {
        /* As many bits as the kernel has filled. */
        uint32_t bits = (uint32_t)status * 8;
        status = cpu < bits ? muster__os_affinity_set(there, bits) : -EINVAL;
        if (status == 0) {
            status = touch(page, page_bytes);
            (void)muster__os_affinity_set(before, bits);
        }
    }
    free(before);
    return status;
}

static int cpu_of(const struct muster_topology *topology, uint32_t node)
{
    for (uint32_t i = 0; i < topology->cpu_count; i++)
        if (topology->cpus[i].online && topology->cpus[i].node == (int32_t)node)
            return (int)topology->cpus[i].id;
    return -ENODEV;
}

static int ask(const struct muster_topology *topology, uint32_t node)
{
    uint64_t page_bytes = muster__os_page_bytes();
    unsigned char *page = muster__os_zeros(page_bytes);
    if (page == NULL)
        return -ENOMEM;
    int found = ask_from_node(page, page_bytes, node);
    int cpu = found < 0 ? cpu_of(topology, node) : -1;
    if (cpu >= 0)
        found = ask_from_cpu(page, page_bytes, (uint32_t)cpu);
    muster__os_unmap(page, page_bytes);
    return found;
}

/* -- predicting ----------------------------------------------------------------------------- */

/* A node as one of the kernel's lists has it. */
struct place {
    uint32_t node; /* position */
    uint32_t distance;
    uint64_t cost;
};

static int by_cost(const void *left, const void *right)
{
    const struct place *a = left, *b = right;
    if (a->cost != b->cost)
        return a->cost < b->cost ? -1 : 1;
    return a->node < b->node ? -1 : 1;
}

/* What the kernel does when it builds its lists, node after node: the nearest come first; the next
 * numbers before those below; then those that head the fewest lists so far. (It also prefers nodes
 * without CPUs, but at boot none has any yet: in guests of Linux 6.1 and 6.12 this is what came.)
 * Source: mm/page_alloc.c, find_next_best_node and build_zonelists. */
static int predict(struct muster_topology *topology)
{
    uint32_t count = topology->node_count;
    struct place *places = calloc(count, sizeof *places);
    uint32_t *loads = calloc(count, sizeof *loads);
    int status = places && loads ? 0 : -ENOMEM;
    for (uint32_t own = 0; status == 0 && own < count; own++) {
        struct muster_node *node = &topology->nodes[own];
        uint32_t listed = 0, last = DISTANCE_LOCAL;
        for (uint32_t other = 0; other < count; other++) {
            if (!topology->nodes[other].has_memory || other == own)
                continue;
            uint32_t distance = topology->distances[(size_t)own * count + other];
            if (distance == 0)
                distance = DISTANCE_UNKNOWN;
            uint64_t cost = (uint64_t)(distance + (other < own)) * NODES_MAX + loads[other];
            places[listed++] = (struct place){other, distance, cost};
        }
        qsort(places, listed, sizeof *places, by_cost);
        bool has_home = node->allowed;
        for (uint32_t i = 0; i < listed; i++) {
            loads[places[i].node] += places[i].distance != last;
            last = places[i].distance;
            if (!has_home && topology->nodes[places[i].node].allowed) {
                node->home = topology->nodes[places[i].node].id;
                has_home = true;
            }
        }
    }
    free(places);
    free(loads);
    return status;
}

static int find_homes(struct muster_topology *topology, bool is_live)
{
    bool are_all_allowed = true, is_any_allowed = false;
    for (uint32_t i = 0; i < topology->node_count; i++) {
        struct muster_node *node = &topology->nodes[i];
        node->home = node->id;
        are_all_allowed &= node->allowed != 0;
        is_any_allowed |= node->allowed != 0;
    }
    if (are_all_allowed || !is_any_allowed)
        return 0;
    int status = predict(topology);
    for (uint32_t i = 0; status == 0 && is_live && i < topology->node_count; i++) {
        struct muster_node *node = &topology->nodes[i];
        if (node->allowed || node->cpu_count == 0)
            continue;
        int found = ask(topology, node->id);
        int position = found < 0 ? -1 : muster_topology_node_position(topology, (uint32_t)found);
        /* Otherwise the prediction stands: the answer was refused, or memory changed meanwhile. */
        if (position >= 0 && topology->nodes[position].allowed)
            node->home = (uint32_t)found;
    }
    return status;
}

int muster__topology_read_homes(struct muster__reader *reader, struct muster_topology *topology)
{
    return find_homes(topology, reader->is_live);
}

int muster_testing_predict_homes(struct muster_topology *topology)
{
    return find_homes(topology, false);
}
