/* placement.h - what placement.c, residency.c and commit.c share. Private. */
#ifndef MUSTER_MEMORY_PLACEMENT_H
#define MUSTER_MEMORY_PLACEMENT_H

#include <muster/core/placement.h>

/* What refuses placement as such, in a container say, becomes -EXDEV: it is not about this array.
 */
int muster__placement_refusal(int status);

/* Pages asked about in one system call: 4,096 pages are 32 KiB of arguments. */
#define MUSTER__QUERY_PAGES 4096u

/* Room for a question about pages and its answer. */
struct muster__query {
    void *pages[MUSTER__QUERY_PAGES];
    int nodes[MUSTER__QUERY_PAGES];
    int status[MUSTER__QUERY_PAGES];
};

/* Asks for the nodes of `count` pages that are mapped here, step_bytes apart, into query->status.
 */
int muster__query_nodes(struct muster__query *query, unsigned char *start, uint64_t count,
                        uint64_t step_bytes);

#endif
