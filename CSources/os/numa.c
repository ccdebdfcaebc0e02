/* numa.c - see numa.h. */
#define _GNU_SOURCE
#include "os/numa.h"

#include <sys/syscall.h>
#include <unistd.h>

long muster__mbind(void *address, unsigned long size_bytes, int mode, const unsigned long *nodes,
                   unsigned long most_node, unsigned flags)
{
    return syscall(SYS_mbind, address, size_bytes, mode, nodes, most_node, flags);
}

long muster__get_mempolicy(int *mode, unsigned long *nodes, unsigned long most_node, void *address,
                           unsigned long flags)
{
    return syscall(SYS_get_mempolicy, mode, nodes, most_node, address, flags);
}

long muster__set_mempolicy(int mode, const unsigned long *nodes, unsigned long most_node)
{
    return syscall(SYS_set_mempolicy, mode, nodes, most_node);
}

long muster__move_pages(int pid, unsigned long count, void **pages, const int *nodes, int *status,
                        int flags)
{
    return syscall(SYS_move_pages, pid, count, pages, nodes, status, flags);
}

long muster__migrate_pages(int pid, unsigned long most_node, const unsigned long *from,
                           const unsigned long *to)
{
    return syscall(SYS_migrate_pages, pid, most_node, from, to);
}
