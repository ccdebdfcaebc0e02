/* placement.h - which NUMA node each page of an array should lie on, and where it really lies.
 *
 * A policy on an arena mapping is the object's: it holds for every process that touches the page
 * first. mbind's success says nothing about where pages are, so residency is read back page by
 * page. Strict policies can end in an out-of-memory kill while pages are committed; so a placement
 * is applied in two steps: prefer, commit, read back, and only then bind.
 */
#ifndef MUSTER_PLACEMENT_H
#define MUSTER_PLACEMENT_H

#include <muster/base.h>
#include <muster/topology.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Highest node number that a placement can name, plus one (the kernel's MAX_NUMNODES on x86-64). */
#define MUSTER_NODES_MAX 1024u

/* Where pages should lie. */
enum muster_placement_kind {
    MUSTER_FIRST_TOUCH = 0, /* on the node of the rank that commits them: its static share */
    MUSTER_BIND = 1,        /* on one node */
    MUSTER_INTERLEAVE = 2,  /* page by page over some nodes */
    MUSTER_BLOCKED = 3      /* each rank's static share on the rank's home node */
};

/* A wish. */
struct muster_placement {
    uint32_t kind; /* enum muster_placement_kind */
    uint32_t node; /* MUSTER_BIND: the node's id */
    uint64_t
        nodes[MUSTER_NODES_MAX / 64]; /* MUSTER_INTERLEAVE: ids as bits; none set: every node */
};

/* The two steps of a placement. */
enum muster_placement_step { MUSTER_PLACEMENT_PREFER = 0, MUSTER_PLACEMENT_BIND = 1 };

/* Checks a wish against a host before any memory is touched.
 *
 * Returns: 0; -EINVAL: an unknown kind; -ENODEV: a node that is absent or has no memory; -EACCES: a
 * node that this process's cpuset does not allow. The kernel would drop such nodes silently from a
 * set (numa-facts: "the absent bit is dropped"), so they are refused here. */
int muster_placement_check(const struct muster_placement *placement,
                           const struct muster_topology *topology);

/* Sets the policy of an array's pages.
 *
 * address, size_bytes: whole base pages. block_bytes: MUSTER_BLOCKED: bytes of a chunk; the
 * ranks' shares are whole chunks, their borders moved down to a page's. rank_nodes: home node of
 * each of `ranks` ranks, for MUSTER_BLOCKED. Returns: 0; -EXDEV: the kernel or a container refuses
 * placement altogether; -ENOMEM: more pieces than vm.max_map_count allows; or an errno of mbind.
 * First touch sets nothing. Source: mbind(2), with what kernels really do in place of "Notes". */
int muster_placement_apply(const struct muster_placement *placement,
                           enum muster_placement_step step, void *address, uint64_t size_bytes,
                           uint64_t block_bytes, const uint32_t *rank_nodes, uint32_t ranks,
                           const struct muster_topology *topology);

/* Counts the bytes of a range on each node.
 *
 * The pages are mapped here first, since the kernel only reports pages that this process maps; the
 * range must be committed or a file. node_bytes: MUSTER_NODES_MAX entries, overwritten.
 * absent_bytes: what lies nowhere (not in memory).
 * Returns: 0; -EXDEV where the kernel refuses the question; or an errno. Source: move_pages(2). */
int muster_placement_residency(void *address, uint64_t size_bytes, uint64_t page_bytes,
                               uint64_t *node_bytes, uint64_t *absent_bytes);

/* Home nodes of the ranks of a team: neighbouring ranks in equal blocks over the nodes that have
 * CPUs this process may use, by rising id. rank_nodes: receives `ranks` node ids. */
void muster_placement_rank_nodes(const struct muster_topology *topology, uint32_t ranks,
                                 uint32_t *rank_nodes);

/* Binds this process to the CPUs of a node that it may use. Returns: 0, -ENODEV: the node has no
 * such CPU, or an errno of sched_setaffinity. */
int muster_placement_run_on(const struct muster_topology *topology, uint32_t node);

#ifdef __cplusplus
}
#endif

#endif
