/* pool.c - what a pool of huge pages has, and memory of it. */
#include <muster/core/placement.h>
#include <muster/core/pool.h>
#include <stdio.h>
#include <stdlib.h>

#include "os/os.h"

static int read_count(const char *folder, uint64_t page_bytes, const char *file, uint64_t *count)
{
    char path[160], text[32], *end = NULL;
    snprintf(path, sizeof path, "%s/hugepages/hugepages-%llukB/%s", folder,
             (unsigned long long)(page_bytes / 1024), file);
    int64_t length = muster__os_read_text(path, text, sizeof text);
    if (length < 0)
        return (int)length;
    *count = strtoull(text, &end, 10);
    return end == text ? -EUCLEAN : 0;
}

int muster_pool_free_pages(uint64_t page_bytes, uint32_t node, uint64_t *pages)
{
    char folder[64] = "/sys/kernel/mm";
    uint64_t count = 0, reserved = 0;
    bool all = node == MUSTER_NODE_ANY;
    if (!all)
        snprintf(folder, sizeof folder, "/sys/devices/system/node/node%u", node);
    int status = read_count(folder, page_bytes, "free_hugepages", &count);
    if (status == 0 && all)
        status = read_count(folder, page_bytes, "resv_hugepages", &reserved);
    if (status < 0)
        return status;
    *pages = count > reserved ? count - reserved : 0;
    return 0;
}

/* Takes over a memfd, or its error. */
static int give_size(int made, uint64_t size_bytes, int *fd)
{
    if (made < 0)
        return made;
    int status = muster__os_truncate(made, size_bytes);
    if (status == 0)
        status = muster__os_seal_size(made);
    if (status < 0) {
        muster__os_close(made);
        return status;
    }
    *fd = made;
    return 0;
}

int muster_pool_create(uint64_t page_bytes, uint64_t size_bytes, int *fd)
{
    return give_size(muster__os_memfd_pool("muster-pool", page_bytes), size_bytes, fd);
}

int muster_memory_create(uint64_t size_bytes, int *fd)
{
    return give_size(muster__os_memfd("muster-array"), size_bytes, fd);
}
