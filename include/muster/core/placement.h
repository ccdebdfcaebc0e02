/* placement.h - which NUMA node each page of an array should lie on, and where it really lies.
 *
 * A policy on an arena mapping is the object's: it holds for every process that touches the page
 * first. mbind's success says nothing about where pages are, so residency is read back page by
 * page. Strict policies can end in an out-of-memory kill while pages are committed; so a placement
 * is applied in two steps: prefer, commit, read back, and only then bind.
 */
#ifndef MUSTER_CORE_PLACEMENT_H
#define MUSTER_CORE_PLACEMENT_H

#include <muster/base.h>
#include <muster/core/roll.h>
#include <muster/core/topology.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Highest node number that a placement can name, plus one (the kernel's MAX_NUMNODES on x86-64). */
#define MUSTER_NODES_MAX 1024u

/* A node of a piece whose pages may lie anywhere. */
#define MUSTER_NODE_ANY UINT32_MAX

/* Where pages should lie. */
enum muster_placement_kind {
    MUSTER_FIRST_TOUCH = 0, /* on the node of the rank that commits them: its static share */
    MUSTER_BIND = 1,        /* on one node */
    MUSTER_INTERLEAVE = 2,  /* page by page over some nodes */
    MUSTER_BLOCKED = 3,     /* each rank's static share on the rank's home node */
    MUSTER_WEIGHTED = 4,    /* page by page over some nodes, in given proportions */
    MUSTER_MIRRORED = 5     /* a copy on each rank's home node */
};

/* A wish. All zero: first touch. */
struct muster_placement {
    uint32_t kind;                         /* enum muster_placement_kind */
    uint32_t node;                         /* MUSTER_BIND: the node's id */
    uint64_t nodes[MUSTER_NODES_MAX / 64]; /* MUSTER_INTERLEAVE, MUSTER_WEIGHTED: ids as bits; none
                                              set: every node that may be used */
    uint8_t weights[MUSTER_NODES_MAX];     /* MUSTER_WEIGHTED: 1 to 255 for each of them */
};

/* Adds a node to a wish for several. weight: 1 to 255; without meaning for MUSTER_INTERLEAVE.
 * Returns: 0; -EINVAL: no kernel has such a node, it is there already, or the weight is 0 or
 * above 255. */
int muster_placement_add(struct muster_placement *placement, uint32_t node, uint32_t weight);

/* Checks a wish against a host before any memory is touched.
 *
 * Returns: 0; -EINVAL: an unknown kind; -ENODEV: a node that is absent or has no memory; -EACCES: a
 * node that this process's cpuset does not allow. The kernel would drop such nodes silently from a
 * set (numa-facts: "the absent bit is dropped"), so they are refused here. */
int muster_placement_check(const struct muster_placement *placement,
                           const struct muster_topology *topology);

/* -- plan ----------------------------------------------------------------------------------- */

/* A piece of an array whose pages belong on one node. Pieces lie one behind the other. */
struct muster_piece {
    uint64_t end_bytes; /* from the start of the array; it begins where the last one ends */
    uint32_t node;      /* the kernel's id, or MUSTER_NODE_ANY */
    uint32_t reserved;
};

/* What puts the pages on their nodes. */
enum muster_plan_mode {
    MUSTER_PLAN_TOUCH = 0,  /* the process that touches them; pieces say on which node */
    MUSTER_PLAN_KERNEL = 1, /* the kernel, page by page, by the object's policy; one piece */
    MUSTER_PLAN_PIECES = 2  /* the process that commits a piece prefers its node */
};

/* How a wish is carried out for one array. */
struct muster_plan {
    uint32_t mode;        /* enum muster_plan_mode */
    int32_t why_blocks;   /* MUSTER_WEIGHTED by pieces: -ENOSYS: this kernel has no weights; -EPERM:
                             it has others, and they are a setting of the whole system; otherwise 0 */
    uint64_t unit_bytes;  /* borders of pieces are multiples of it */
    uint64_t block_bytes; /* dealt to a node at a time; MUSTER_MIRRORED: from one copy to the next;
                             0: no dealing by blocks */
    uint64_t piece_count;
};

/* An array, as plans are made for it. */
struct muster_layout {
    uint64_t size_bytes;  /* MUSTER_MIRRORED: of one copy; pieces then are copies, one behind the
                             other, in the order of the first rank of each node */
    uint64_t chunk_bytes; /* ranks' static shares are whole chunks of this size */
    uint64_t unit_bytes;  /* of placement: a base page, or the huge page it shall have */
    const uint32_t *rank_nodes; /* where each rank's memory is to lie */
    uint32_t ranks;
    uint32_t reserved;
};

/* Says how a wish is carried out, and cuts the array into pieces.
 *
 * pieces: room for `capacity` of them; dealing by blocks takes larger blocks where it is short.
 * Returns: 0; -EINVAL: an unknown kind; -E2BIG: more pieces than fit; -ENODEV: no node to deal to.
 * Source: Documentation/admin-guide/mm/numa_memory_policy.rst. */
int muster_placement_plan(const struct muster_placement *placement,
                          const struct muster_topology *topology,
                          const struct muster_layout *layout, struct muster_plan *plan,
                          struct muster_piece *pieces, uint64_t capacity);

/* A rank's static share of an array in bytes, borders moved down to a unit's: a unit that two ranks
 * share belongs to the later one. */
struct muster_interval muster_placement_share(uint64_t size_bytes, uint64_t chunk_bytes,
                                              uint64_t unit_bytes, uint32_t ranks, uint32_t rank);

/* The two steps around the commit of an array's memory. */
enum muster_placement_step { MUSTER_PLACEMENT_PREFER = 0, MUSTER_PLACEMENT_BIND = 1 };

/* Sets the policy of an array's pages.
 *
 * address, size_bytes: the array's room, of whole huge pages. MUSTER_PLACEMENT_PREFER: before the
 * commit; only where the kernel deals pages out. MUSTER_PLACEMENT_BIND: when all are where they
 * belong: strict from then on, which also keeps automatic balancing away. pieces: the plan's.
 * Returns: 0; -EXDEV: the kernel or a container refuses placement altogether; -ENOMEM: more pieces
 * than vm.max_map_count allows; or an errno of mbind. Source: mbind(2), with what kernels really do
 * in place of "Notes". */
int muster_placement_apply(const struct muster_placement *placement,
                           const struct muster_topology *topology, const struct muster_plan *plan,
                           const struct muster_piece *pieces, enum muster_placement_step step,
                           void *address, uint64_t size_bytes);

/* Moves pages of a range to a node, as far as the kernel lets them go: pages that other processes
 * map too stay where they are.
 *
 * The range is mapped and in memory. step_bytes: from one page to the next; a huge page is moved by
 * its first address. Returns: 0, also where pages have stayed: muster_placement_residency tells;
 * -EXDEV where the kernel refuses; -ENODEV, -EACCES: no such node, or not for this process;
 * -ENOMEM: the node is full; or an errno. Source: move_pages(2). */
int muster_placement_move(void *address, uint64_t size_bytes, uint64_t step_bytes, uint32_t node);

/* Whether this thread's own allocations follow a policy that it was given (numactl, or muster run
 * --placement): what it touches first then need not lie on its node. Returns: the policy (MPOL_*),
 * 0 for none or the local one; or an errno. Source: get_mempolicy(2). */
int muster_placement_own_policy(void);

/* -- reading back --------------------------------------------------------------------------- */

/* Counts the bytes of a range on each node.
 *
 * The pages are mapped here first, since the kernel only reports pages that this process maps; the
 * range must be committed or a file. node_bytes: MUSTER_NODES_MAX entries, overwritten.
 * absent_bytes: what lies nowhere (not in memory).
 * Returns: 0; -EXDEV where the kernel refuses the question; or an errno. Source: move_pages(2). */
int muster_placement_residency(void *address, uint64_t size_bytes, uint64_t page_bytes,
                               uint64_t *node_bytes, uint64_t *absent_bytes);

/* Says on which node each page of a range lies.
 *
 * As muster_placement_residency. nodes: one for each page; -1: in no node's memory. */
int muster_placement_nodes(void *address, uint64_t size_bytes, uint64_t page_bytes, int32_t *nodes);

/* Counts the bytes that lie where their piece says; all of a piece of MUSTER_NODE_ANY that are
 * there.
 *
 * As muster_placement_residency. right_bytes: receives the count. */
int muster_placement_verify(void *address, uint64_t size_bytes, uint64_t page_bytes,
                            const struct muster_piece *pieces, uint64_t piece_count,
                            uint64_t *right_bytes);

#ifdef __cplusplus
}
#endif

#endif
