/* affinity.h - which CPUs the calling thread may use, apart from those it is bound to by teams.
 * Private to the C core.
 *
 * A leader that works is bound to rank 0's CPU for its team's life. What it could use before is
 * kept here, once for a thread however many teams it leads, so that a second team made meanwhile
 * sees the whole host, and that teams may end in any order.
 */
#ifndef MUSTER_HOST_AFFINITY_H
#define MUSTER_HOST_AFFINITY_H

#include <muster/base.h>

/* Room of a mask: sched_getaffinity refuses fewer bits than the kernel has CPUs, and NR_CPUS is at
 * most 8192 on x86; twice that for others. */
#define MUSTER__AFFINITY_BITS 16384u

/* CPUs that this thread could use were no team binding it. Returns as muster__os_affinity_get. */
int muster__affinity_get(uint64_t *mask, uint32_t mask_bits);

/* Whether a team binds this thread, so that the above is what was so before. */
bool muster__affinity_is_held(void);

#endif
