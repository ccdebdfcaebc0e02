/* records.c - the records of a host, after it was read: finding one by its number, giving all back.
 */
#include <stdlib.h>
#include <string.h>

#include "host/read.h"

/* Both kinds of record begin with their id. */
_Static_assert(offsetof(struct muster_node, id) == 0 && offsetof(struct muster_cpu, id) == 0,
               "by_id compares the first member");

static int by_id(const void *key, const void *record)
{
    uint32_t wanted, id;
    memcpy(&wanted, key, sizeof wanted);
    memcpy(&id, record, sizeof id);
    return (wanted > id) - (wanted < id);
}

struct muster_cpu *muster__topology_cpu(const struct muster_topology *topology, uint32_t id)
{
    return bsearch(&id, topology->cpus, topology->cpu_count, sizeof *topology->cpus, by_id);
}

int muster_topology_node_position(const struct muster_topology *topology, uint32_t id)
{
    const struct muster_node *node =
        bsearch(&id, topology->nodes, topology->node_count, sizeof *node, by_id);
    return node ? (int)(node - topology->nodes) : -ENOENT;
}

void muster_topology_destroy(struct muster_topology *topology)
{
    if (topology == NULL)
        return;
    free(topology->nodes);
    free(topology->cpus);
    free(topology->distances);
    free(topology->notes);
    free(topology);
}
