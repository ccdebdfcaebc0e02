/* topology_recall.c - a host that was read before: only what can have changed is read again.
 *
 * A host with hundreds of CPUs has thousands of files, and every team asks for them.
 */
#include <stdlib.h>
#include <string.h>

#include "topology_read.h"

/* What was read last; whoever has set `busy` may use it. */
static struct muster_topology *kept;
static uint32_t busy;

static void *copy_of(const void *from, size_t bytes)
{
    void *copy = malloc(bytes ? bytes : 1);
    return copy ? memcpy(copy, from, bytes) : NULL;
}

static struct muster_topology *duplicate(const struct muster_topology *host)
{
    struct muster_topology *copy = copy_of(host, sizeof *host);
    if (copy == NULL)
        return NULL;
    size_t nodes = host->node_count;
    copy->nodes = copy_of(host->nodes, nodes * sizeof *host->nodes);
    copy->cpus = copy_of(host->cpus, host->cpu_count * sizeof *host->cpus);
    copy->distances = copy_of(host->distances, nodes * nodes * sizeof *host->distances);
    if (copy->nodes == NULL || copy->cpus == NULL || copy->distances == NULL) {
        muster_topology_destroy(copy);
        return NULL;
    }
    return copy;
}

/* The list in a file. Returns how many numbers it has, or an errno. */
static int64_t read_ids(struct muster__reader *reader, const char *path)
{
    int status = muster__reader_file(reader, "%s", path);
    return status ? status : muster__reader_ids(reader, reader->text);
}

static bool has_same_cpus(struct muster__reader *reader, const struct muster_topology *host)
{
    int64_t count = read_ids(reader, MUSTER__CPUS "/online"), seen = 0;
    for (uint32_t i = 0; i < host->cpu_count; i++) {
        if (!host->cpus[i].online)
            continue;
        if (seen >= count || reader->ids[seen] != host->cpus[i].id)
            return false;
        seen++;
    }
    return seen == count;
}

/* Also whether the same ones have memory, without which none may be allocated there. A kernel
 * without node directories is read anew each time. */
static bool has_same_nodes(struct muster__reader *reader, const struct muster_topology *host)
{
    int64_t count = read_ids(reader, MUSTER__NODES "/online");
    if (count != host->node_count)
        return false;
    for (uint32_t i = 0; i < host->node_count; i++)
        if (reader->ids[i] != host->nodes[i].id)
            return false;
    int64_t with_memory = read_ids(reader, MUSTER__NODES "/has_memory"), seen = 0;
    for (uint32_t i = 0; i < host->node_count; i++) {
        if (host->nodes[i].memory_total_bytes == 0)
            continue;
        if (seen >= with_memory || reader->ids[seen] != host->nodes[i].id)
            return false;
        seen++;
    }
    return seen == with_memory;
}

/* A copy of what is kept, if that is still so. NULL: it is not, or could not be found out. */
static struct muster_topology *recall(void)
{
    struct muster__reader reader;
    if (kept == NULL || muster__reader_open(&reader, NULL) < 0)
        return NULL;
    struct muster_topology *host = NULL;
    if (has_same_cpus(&reader, kept) && has_same_nodes(&reader, kept))
        host = duplicate(kept);
    if (host != NULL && (muster__topology_read_allowed_cpus(&reader, host) < 0 ||
                         muster__topology_read_allowed_nodes(&reader, host) < 0 ||
                         muster__topology_read_homes(&reader, host) < 0)) {
        muster_topology_destroy(host);
        host = NULL;
    }
    muster__reader_close(&reader);
    return host;
}

int muster_topology_recall(struct muster_topology **topology)
{
    /* No waiting: a process that was forked meanwhile would wait for ever. */
    if (__atomic_exchange_n(&busy, 1, __ATOMIC_ACQUIRE) != 0)
        return muster_topology_create(NULL, topology);
    int status = 0;
    *topology = recall();
    if (*topology == NULL) {
        status = muster_topology_create(NULL, topology);
        muster_topology_destroy(kept);
        kept = status == 0 ? duplicate(*topology) : NULL;
    }
    __atomic_store_n(&busy, 0, __ATOMIC_RELEASE);
    return status;
}
