/* numa.h - the kernel's calls about memory policy, for which the C library has no functions.
 * Private to this room.
 *
 * Not libnuma's: it reads the host when it is loaded, and where it is refused what it wants, it
 * prints to stderr and leaves the process with masks of size 0, before main has begun.
 */
#ifndef MUSTER_OS_NUMA_H
#define MUSTER_OS_NUMA_H

#include <linux/mempolicy.h>

long muster__mbind(void *address, unsigned long size_bytes, int mode, const unsigned long *nodes,
                   unsigned long most_node, unsigned flags);
long muster__get_mempolicy(int *mode, unsigned long *nodes, unsigned long most_node, void *address,
                           unsigned long flags);
long muster__set_mempolicy(int mode, const unsigned long *nodes, unsigned long most_node);
long muster__move_pages(int pid, unsigned long count, void **pages, const int *nodes, int *status,
                        int flags);
long muster__migrate_pages(int pid, unsigned long most_node, const unsigned long *from,
                           const unsigned long *to);

#endif
