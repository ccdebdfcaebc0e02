/* policy.c - the system calls of os.h about NUMA: memory policies, CPUs, and how much memory is
 * free. */
#define _GNU_SOURCE
#include <sched.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include "os/call.h"
#include "os/numa.h"

#ifndef SYS_set_mempolicy_home_node
#define SYS_set_mempolicy_home_node 450 /* on every architecture */
#endif

int muster__os_mbind(void *address, uint64_t size_bytes, int mode, const uint64_t *nodes,
                     uint32_t mask_bits, uint32_t flags)
{
    INJECT();
    ENTER();
    /* The kernel reads maxnode - 1 bits (numa-facts: off by one), hence + 1. */
    return (int)taken(muster__mbind(address, size_bytes, mode, (const unsigned long *)nodes,
                                    nodes ? mask_bits + 1ul : 0ul, flags),
                      errno_before);
}

void muster__os_forget_policy(void *address, uint64_t size_bytes)
{
    ENTER();
    (void)muster__mbind(address, size_bytes, MPOL_DEFAULT, NULL, 0, 0);
    errno = errno_before;
}

int muster__os_task_policy(int *mode, uint64_t *nodes, uint32_t mask_bits)
{
    INJECT();
    ENTER();
    memset(nodes, 0, mask_bits / 8);
    return (int)taken(muster__get_mempolicy(mode, (unsigned long *)nodes, mask_bits, NULL, 0),
                      errno_before);
}

int muster__os_set_task_policy(int mode, const uint64_t *nodes, uint32_t mask_bits)
{
    INJECT();
    ENTER();
    return (int)taken(
        muster__set_mempolicy(mode, (const unsigned long *)nodes, nodes ? mask_bits + 1ul : 0ul),
        errno_before);
}

void muster__os_restore_task_policy(int mode, const uint64_t *nodes, uint32_t mask_bits)
{
    ENTER(); /* clean-up: not injected */
    bool any = false;
    for (uint32_t word = 0; word < mask_bits / 64; word++)
        any |= nodes[word] != 0;
    /* MPOL_DEFAULT and MPOL_LOCAL refuse a mask. */
    (void)muster__set_mempolicy(mode, any ? (const unsigned long *)nodes : NULL,
                                any ? mask_bits + 1ul : 0);
    errno = errno_before;
}

int muster__os_move_pages(void **pages, uint64_t count, const int *nodes, int *status)
{
    INJECT();
    ENTER();
    return (int)taken(muster__move_pages(0, count, pages, nodes, status, nodes ? MPOL_MF_MOVE : 0),
                      errno_before);
}

int muster__os_home_node(void *address, uint64_t size_bytes, uint32_t node)
{
    INJECT();
    ENTER();
    return (int)taken(syscall(SYS_set_mempolicy_home_node, address, size_bytes, (long)node, 0l),
                      errno_before);
}

int muster__os_memory_nodes(uint64_t *mask, uint32_t mask_bits)
{
    INJECT();
    ENTER();
    int mode = 0;
    memset(mask, 0, (mask_bits + 7) / 8);
    return (int)taken(
        muster__get_mempolicy(&mode, (unsigned long *)mask, mask_bits, NULL, MPOL_F_MEMS_ALLOWED),
        errno_before);
}

int muster__os_affinity_get(uint64_t *mask, uint32_t mask_bits)
{
    INJECT();
    ENTER();
    memset(mask, 0, mask_bits / 8);
    return (int)taken(syscall(SYS_sched_getaffinity, 0, mask_bits / 8, mask), errno_before);
}

int muster__os_affinity_set(const uint64_t *mask, uint32_t mask_bits)
{
    INJECT();
    ENTER();
    return (int)taken(syscall(SYS_sched_setaffinity, 0, mask_bits / 8, mask), errno_before);
}

int muster__os_cpu(uint32_t *cpu, uint32_t *node)
{
    INJECT();
    ENTER();
    unsigned c = 0, n = 0;
    int status = (int)taken(getcpu(&c, &n), errno_before);
    if (status == 0) {
        *cpu = c;
        *node = n;
    }
    return status;
}

int muster__os_memory(uint64_t *total_bytes, uint64_t *free_bytes)
{
    INJECT();
    ENTER();
    struct sysinfo info;
    int status = (int)taken(sysinfo(&info), errno_before);
    if (status == 0) {
        *total_bytes = (uint64_t)info.totalram * info.mem_unit;
        *free_bytes = (uint64_t)info.freeram * info.mem_unit;
    }
    return status;
}
