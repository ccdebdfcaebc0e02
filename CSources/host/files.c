/* files.c - single files of a host, live or recorded, and what it lets a process do. */
#include <limits.h>
#include <linux/mempolicy.h>
#include <muster/core/host.h>
#include <muster/core/placement.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host/affinity.h"
#include "os/os.h"

static int make_path(char full[PATH_MAX], const char *root, const char *path)
{
    int length = snprintf(full, PATH_MAX, "%s/%s", root ? root : "", path);
    return length < 0 || length >= PATH_MAX ? -ENAMETOOLONG : 0;
}

int64_t muster_host_read(const char *root, const char *path, char *text, size_t size_bytes)
{
    char full[PATH_MAX];
    int status = make_path(full, root, path);
    return status ? status : muster__os_read_text(full, text, size_bytes);
}

int muster_host_list(const char *root, const char *path,
                     int (*visit)(const char *name, void *context), void *context)
{
    char full[PATH_MAX];
    int status = make_path(full, root, path);
    return status ? status : muster__os_list(full, visit, context);
}

int muster_host_write(const char *root, const char *path, const char *text, size_t size_bytes)
{
    char full[PATH_MAX];
    int status = make_path(full, root, path);
    for (char *slash = full + 1; status == 0 && (slash = strchr(slash, '/')) != NULL; slash++) {
        *slash = '\0';
        status = muster__os_make_directory(full);
        status = status == -EEXIST ? 0 : status;
        *slash = '/';
    }
    if (status)
        return status;
    int fd = muster__os_open(full, true, true);
    if (fd < 0)
        return fd;
    int64_t written = muster__os_write(fd, text, size_bytes);
    status = muster__os_finish(fd);
    return written < 0 ? (int)written : status;
}

int muster_host_try_placement(void)
{
    void *page = NULL;
    uint32_t size_bytes = muster__os_page_bytes();
    int status = muster__os_map(-1, 0, size_bytes, false, NULL, &page);
    if (status)
        return status;
    status = muster__os_mbind(page, size_bytes, MPOL_DEFAULT, NULL, 0, 0);
    muster__os_unmap(page, size_bytes);
    uint64_t nodes[MUSTER_NODES_MAX / 64];
    int mode = 0;
    if (status == 0)
        status = muster__os_task_policy(&mode, nodes, MUSTER_NODES_MAX);
    return status < 0 ? status : muster__os_set_task_policy(mode, nodes, MUSTER_NODES_MAX);
}

int muster_host_try_residency(void)
{
    int here = 0, node = 0;
    void *page = &here; /* on the stack: in memory */
    return muster__os_move_pages(&page, 1, NULL, &node);
}

int muster_host_try_affinity(void)
{
    uint64_t mask[MUSTER__AFFINITY_BITS / 64];
    int status = muster__os_affinity_get(mask, MUSTER__AFFINITY_BITS);
    return status < 0 ? status : muster__os_affinity_set(mask, MUSTER__AFFINITY_BITS);
}

int muster_host_try_call(const char *name)
{
    return muster__os_ask_call(name);
}

int muster_host_refusal(const char *function, int error)
{
    return muster__os_refusal(-error, function);
}

int muster_host_try_calls(int32_t *statuses, uint32_t capacity)
{
    return muster__os_ask_calls(statuses, capacity);
}
