/* populate.h - what a commit job does: each rank populates its static share of an array.
 *
 * The leader plans (placement.h), writes the pieces to the team's list and dispatches the job; each
 * rank prefers a piece's node, populates it, reads back and moves what lies elsewhere, and leaves
 * in its slot how far it came. Only then does the leader make the policy strict.
 */
#ifndef MUSTER_CORE_POPULATE_H
#define MUSTER_CORE_POPULATE_H

#include <muster/core/placement.h>
#include <muster/core/team.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The huge page that shared memory can be collapsed to: x86-64, and aarch64 with 4 KiB pages. */
#define MUSTER_HUGE_PAGE_BYTES (2ull << 20)

/* `flags` of a MUSTER_JOB_COMMIT. */
enum muster_commit_flag {
    MUSTER_COMMIT_PLACE = 1, /* the pieces' nodes are asked for */
    MUSTER_COMMIT_HUGE = 2,  /* try huge pages */
    MUSTER_COMMIT_READ = 4,  /* a file: its pages are read in, not written to */
    MUSTER_COMMIT_POOL = 8,  /* it is made of a pool's huge pages, of unit_bytes (pool.h) */
    MUSTER_COMMIT_COUNT =
        16 /* the kernel chooses the nodes: count what came of it (no pieces then) */
};

/* What a rank has to say of its share, as bits. */
enum muster_commit_remark {
    MUSTER_COMMIT_REFUSED = 1,   /* this system lets nobody choose nodes */
    MUSTER_COMMIT_UNREAD = 2,    /* nor ask where pages lie */
    MUSTER_COMMIT_NOT_HUGE = 4,  /* some huge pages could not be had */
    MUSTER_COMMIT_FORBIDDEN = 8, /* a cpuset keeps this rank off a node that is asked for */
    MUSTER_COMMIT_UNCOUNTED = 16 /* pages lie on nodes that muster_commit_counts has no room for */
};

/* Where the pieces of a commit job go: room for MUSTER_LIST_MAX. Leader, between jobs. */
struct muster_piece *muster_team_pieces(struct muster_team *team);

/* After a commit job with MUSTER_COMMIT_COUNT: a rank's pages on each node, by the node's id. They
 * stand where pieces do, so such a job has none.
 *
 * count: receives how many ids there is room for. Concurrency: leader, between jobs; the rank, in
 * the job. */
uint64_t *muster_commit_counts(struct muster_team *team, uint32_t rank, uint32_t *count);

/* A rank's part of a commit job; for the leader, in place of a rank that has no process.
 *
 * Results are in the rank's slot: misplaced_bytes, huge_bytes, remarks.
 * Returns: 0; -EUCLEAN: the job makes no sense; -ENOMEM; -EFAULT: a hugetlb pool is empty; or
 * another errno of madvise, set_mempolicy or move_pages. A node without room is no error: it shows
 * in misplaced_bytes. */
int muster_worker_commit(struct muster_team *team, uint32_t rank);

/* The size of the huge pages that transparent collapse makes here; 0: this kernel has none, or is
 * older than Linux 6.1. Source: /sys/kernel/mm/transparent_hugepage/hpage_pmd_size. */
uint64_t muster_huge_page_bytes(void);

#ifdef __cplusplus
}
#endif

#endif
