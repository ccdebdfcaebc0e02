/* binding.h - which CPU and node each rank of a team gets.
 *
 * A binding is a pure function of the host, the number of ranks and what was asked: the same rank
 * of the same team gets the same CPU each time, also as a replacement. Unless a list is asked for,
 * no two ranks are on SMT siblings while a core is without a rank, and only CPUs that are on line
 * and allowed (affinity and cpuset) are used. Neighbouring ranks are neighbours on the host: they
 * meet at the borders of their blocks.
 */
#ifndef MUSTER_CORE_BINDING_H
#define MUSTER_CORE_BINDING_H

#include <muster/base.h>
#include <muster/core/topology.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What can be asked for. */
enum muster_binding {
    MUSTER_SPREAD = 0,  /* evenly over nodes, then packages, last-level caches and cores */
    MUSTER_COMPACT = 1, /* node after node, each next one the nearest to those before */
    MUSTER_UNBOUND = 2, /* wherever the kernel runs them */
    MUSTER_CPUS = 3     /* rank r on the r-th CPU of a list */
};

/* muster_seat.cpu of a rank that is bound to none. */
#define MUSTER_NO_CPU UINT32_MAX

/* A rank's place. */
struct muster_seat {
    uint32_t cpu;  /* the kernel's number, or MUSTER_NO_CPU */
    uint32_t home; /* node where the rank's pages should lie: that of its CPU or, if that one has no
                      memory that is allowed, the one on which the kernel's own first touch puts
                      them (struct muster_node, home) */
};

/* Gives each rank a seat.
 *
 * kind: enum muster_binding. cpus: `count` CPU numbers for MUSTER_CPUS, NULL and 0 otherwise; more
 * than ranks are allowed and left over. ranks: at least 1. seats: receives `ranks` seats on
 * success. Where ranks outnumber the CPUs that may be used, or for MUSTER_UNBOUND, no seat has a
 * CPU, and homes are dealt in equal blocks over the nodes with such CPUs, by rising number.
 *
 * bad: receives the CPU that is at fault for -ENODEV, -EACCES and -EEXIST; may be NULL.
 * Returns: 0; -EINVAL: an unknown kind, or a list shorter than ranks; -ENODEV: a CPU of the list
 * that is absent or off line; -EACCES: one that this process may not use; -EEXIST: one that comes
 * twice; -ENOMEM. */
int muster_binding_assign(const struct muster_topology *topology, uint32_t kind,
                          const uint32_t *cpus, uint32_t count, uint32_t ranks,
                          struct muster_seat *seats, uint32_t *bad);

/* Binds the calling process, a worker, to its CPU for life. Returns: 0, or an errno of
 * sched_setaffinity. */
int muster_binding_enter(uint32_t cpu);

/* For a worker that is bound to no CPU, forked by a leader that is: takes back what it inherited.
 */
int muster_binding_leave_inherited(void);

/* Binds the calling thread, a leader that works, to rank 0's CPU until muster_binding_release, once
 * for each success. Until then topologies read by this thread go on to show what it could use
 * before. Returns: 0, or an errno of sched_getaffinity or sched_setaffinity. */
int muster_binding_hold(uint32_t cpu);

/* Ends one hold; the last one restores the thread's affinity. */
void muster_binding_release(void);

#ifdef __cplusplus
}
#endif

#endif
