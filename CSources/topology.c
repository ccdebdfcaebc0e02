/* topology.c - nodes, CPUs, memory, distances and caches of a host, live or recorded.
 *
 * Invariant: a number out of a file never becomes an index. It is looked up among the CPUs and
 * nodes that are already known, and a number that is not there is an error.
 *
 * Files that each kernel with the feature has are required (-EUCLEAN without them); those that
 * depend on the architecture, the firmware or the hypervisor are optional and leave "unknown".
 */
#include "affinity.h"
#include "os.h"
#include "topology_read.h"
#include "topology_text.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Node numbers lie below this: NODES_SHIFT is at most 10 on every architecture, and get_mempolicy
 * refuses a mask of fewer bits than the kernel has nodes. */
#define NODE_IDS_MAX 1024u

/* sched_getaffinity refuses a mask of fewer bits than the kernel has CPUs: never ask with less than
 * NR_CPUS can be on x86, whatever the list of possible CPUs says. */
#define CPU_MASK_BITS_MIN 8192u

/* A SLIT entry is one byte (ACPI 6.5, 5.2.17), and kernels keep those of device trees in one too.
 */
#define DISTANCE_MAX   255u
#define DISTANCE_LOCAL 10u

/* -- looking up ----------------------------------------------------------------------------- */

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

/* -- CPUs ----------------------------------------------------------------------------------- */

/* A core's or package's number; kernels write -1 where the firmware names none. */
static int read_cpu_number(struct muster__reader *reader, uint32_t id, const char *name,
                           int32_t *number)
{
    int status = muster__reader_file(reader, MUSTER__CPUS "/cpu%u/topology/%s", id, name);
    if (status == -ENOENT)
        return 0;
    if (status == 0)
        status = muster__text_integer(reader->text, number);
    if (status == 0 && *number < 0)
        *number = -1;
    return status;
}

static int read_cpus(struct muster__reader *reader, struct muster_topology *topology)
{
    int status = muster__reader_file(reader, MUSTER__CPUS "/possible");
    if (status == -ENOENT)
        status = muster__reader_file(reader, MUSTER__CPUS "/online");
    if (status)
        return status;
    int64_t count = muster__reader_ids(reader, reader->text);
    if (count <= 0)
        return count < 0 ? (int)count : -EUCLEAN;
    topology->cpus = calloc((size_t)count, sizeof *topology->cpus);
    if (topology->cpus == NULL)
        return -ENOMEM;
    topology->cpu_count = (uint32_t)count;
    for (uint32_t i = 0; i < topology->cpu_count; i++)
        topology->cpus[i] = (struct muster_cpu){.id = reader->ids[i],
                                                .node = -1,
                                                .core = -1,
                                                .package = -1,
                                                .core_cpu = reader->ids[i],
                                                .cache_cpu = -1};

    status = muster__reader_file(reader, MUSTER__CPUS "/online");
    if (status)
        return status;
    count = muster__reader_ids(reader, reader->text);
    if (count <= 0)
        return count < 0 ? (int)count : -EUCLEAN;
    for (int64_t i = 0; i < count; i++) {
        struct muster_cpu *cpu = muster__topology_cpu(topology, reader->ids[i]);
        if (cpu == NULL)
            return -EUCLEAN;
        cpu->online = 1;
    }

    /* A CPU that is off line has no topology directory, and a host can have thousands of them. */
    for (uint32_t i = 0; i < topology->cpu_count && status == 0; i++) {
        struct muster_cpu *cpu = &topology->cpus[i];
        if (!cpu->online)
            continue;
        status = read_cpu_number(reader, cpu->id, "core_id", &cpu->core);
        if (status == 0)
            status = read_cpu_number(reader, cpu->id, "physical_package_id", &cpu->package);
    }
    return status;
}

/* Needs the CPUs' nodes: without a list, cores are told apart by numbers that are unique only with
 * the package, and some firmware numbers packages of all nodes 0. */
static int read_siblings(struct muster__reader *reader, struct muster_topology *topology)
{
    for (uint32_t i = 0; i < topology->cpu_count; i++) {
        struct muster_cpu *cpu = &topology->cpus[i];
        /* A sibling that was read has named the whole core. */
        if (!cpu->online || cpu->core_cpu != cpu->id)
            continue;
        int status = muster__reader_file(
            reader, MUSTER__CPUS "/cpu%u/topology/thread_siblings_list", cpu->id);
        if (status == -ENOENT) {
            for (uint32_t j = 0; j < i && cpu->core >= 0 && cpu->package >= 0; j++) {
                const struct muster_cpu *other = &topology->cpus[j];
                if (other->online && other->core == cpu->core && other->package == cpu->package &&
                    other->node == cpu->node) {
                    cpu->core_cpu = other->core_cpu;
                    break;
                }
            }
            continue;
        }
        int64_t count = status ? status : muster__reader_ids(reader, reader->text);
        if (count < 0)
            return (int)count;
        bool has_itself = false;
        for (int64_t j = 0; j < count; j++) {
            struct muster_cpu *sibling = muster__topology_cpu(topology, reader->ids[j]);
            if (sibling == NULL)
                return -EUCLEAN;
            has_itself = has_itself || sibling == cpu;
            if (sibling->online && sibling->id > cpu->id)
                sibling->core_cpu = cpu->id;
        }
        if (!has_itself)
            return -EUCLEAN;
    }
    return 0;
}

/* -- nodes ---------------------------------------------------------------------------------- */

/* The counters that `head` begins: "" in proc/meminfo, "Node 0 " in a node's. */
static int parse_memory(const char *text, const char *head, struct muster_node *node)
{
    char line[64];
    uint64_t total_bytes, free_bytes;

    snprintf(line, sizeof line, "%sMemTotal:", head);
    int status = muster__text_memory(text, line, &total_bytes);
    if (status)
        return status;
    snprintf(line, sizeof line, "%sMemFree:", head);
    status = muster__text_memory(text, line, &free_bytes);
    if (status)
        return status;
    /* The kernel reads the two one after the other, and counts free pages per CPU with a lag. */
    node->memory_free_bytes = free_bytes < total_bytes ? free_bytes : total_bytes;
    node->memory_total_bytes = total_bytes;
    return 0;
}

/* For a file that must be there: its absence is damage, not "no such host". */
static int required(int status)
{
    return status == -ENOENT ? -EUCLEAN : status;
}

static int read_node(struct muster__reader *reader, struct muster_topology *topology,
                     struct muster_node *node)
{
    int status = required(muster__reader_file(reader, MUSTER__NODES "/node%u/cpulist", node->id));
    if (status)
        return status;
    int64_t count = muster__reader_ids(reader, reader->text);
    if (count < 0)
        return (int)count;
    for (int64_t i = 0; i < count; i++) {
        struct muster_cpu *cpu = muster__topology_cpu(topology, reader->ids[i]);
        if (cpu == NULL || cpu->node >= 0)
            return -EUCLEAN;
        cpu->node = (int32_t)node->id;
        node->cpu_count += cpu->online;
    }

    char head[32];
    snprintf(head, sizeof head, "Node %u ", node->id);
    status = required(muster__reader_file(reader, MUSTER__NODES "/node%u/meminfo", node->id));
    return status ? status : parse_memory(reader->text, head, node);
}

/* The kernel writes one column per node that is on line, in rising order; nodes that are not have
 * none. So a row is by position, like ours. */
static int read_distances(struct muster__reader *reader, struct muster_topology *topology)
{
    for (uint32_t i = 0; i < topology->node_count; i++) {
        uint32_t *row = topology->distances + (size_t)i * topology->node_count;
        int status =
            muster__reader_file(reader, MUSTER__NODES "/node%u/distance", topology->nodes[i].id);
        if (status == 0)
            status = muster__text_row(reader->text, row, topology->node_count, DISTANCE_MAX);
        if (status && status != -ENOENT)
            return status;
    }
    return 0;
}

/* Room for `count` nodes and their distances; at most 1024, so 4 MiB. */
static int make_nodes(struct muster_topology *topology, uint32_t count)
{
    topology->nodes = calloc(count, sizeof *topology->nodes);
    topology->distances = calloc((size_t)count * count, sizeof *topology->distances);
    if (topology->nodes == NULL || topology->distances == NULL)
        return -ENOMEM;
    topology->node_count = count;
    return 0;
}

/* A kernel without NUMA: one node that has it all. */
static int read_whole_host(struct muster__reader *reader, struct muster_topology *topology)
{
    int status = make_nodes(topology, 1);
    if (status)
        return status;
    struct muster_node *node = topology->nodes;
    topology->distances[0] = DISTANCE_LOCAL;
    node->allowed = 1;
    for (uint32_t i = 0; i < topology->cpu_count; i++) {
        topology->cpus[i].node = 0;
        node->cpu_count += topology->cpus[i].online;
    }

    status = muster__reader_file(reader, "proc/meminfo");
    if (status)
        return status == -ENOENT ? 0 : status;
    return parse_memory(reader->text, "", node);
}

/* The list behind `head` in proc/self/status, as bits below mask_bits. -ENOENT: no such file, or no
 * such line in it. */
static int read_status_list(struct muster__reader *reader, const char *head, uint64_t *mask,
                            uint32_t mask_bits)
{
    int status = muster__reader_file(reader, "proc/self/status");
    const char *list = status ? NULL : muster__text_line(reader->text, head);
    if (list == NULL)
        return status ? status : -ENOENT;
    reader->text[strcspn(list, "\n") + (size_t)(list - reader->text)] = '\0';
    int64_t count = muster__reader_ids(reader, list);
    for (int64_t i = 0; i < count && reader->ids[i] < mask_bits; i++)
        mask[reader->ids[i] / 64] |= UINT64_C(1) << reader->ids[i] % 64;
    return count < 0 ? (int)count : 0;
}

/* Mems_allowed_list says the same where a sandbox forbids get_mempolicy, as Docker's default
 * seccomp profile does; without that line every node is taken for allowed. */
static int read_allowed_nodes(struct muster__reader *reader, uint64_t *mask)
{
    int status = reader->is_live ? muster__os_memory_nodes(mask, NODE_IDS_MAX) : -ENOSYS;
    if (status != -EPERM && status != -ENOSYS)
        return status < 0 ? status : 0;
    status = read_status_list(reader, "Mems_allowed_list:\t", mask, NODE_IDS_MAX);
    if (status == -ENOENT)
        memset(mask, 0xff, NODE_IDS_MAX / 8);
    return status == -ENOENT ? 0 : status;
}

static int read_nodes(struct muster__reader *reader, struct muster_topology *topology)
{
    int status = muster__reader_file(reader, MUSTER__NODES "/online");
    if (status)
        return status == -ENOENT ? read_whole_host(reader, topology) : status;
    int64_t count = muster__reader_ids(reader, reader->text);
    if (count < 0)
        return (int)count;
    if (count == 0 || reader->ids[count - 1] >= NODE_IDS_MAX)
        return -EUCLEAN;
    status = make_nodes(topology, (uint32_t)count);
    if (status)
        return status;
    for (uint32_t i = 0; i < topology->node_count; i++)
        topology->nodes[i].id = reader->ids[i];
    for (uint32_t i = 0; i < topology->node_count && status == 0; i++)
        status = read_node(reader, topology, &topology->nodes[i]);
    if (status == 0)
        status = read_distances(reader, topology);
    if (status)
        return status;

    return muster__topology_read_allowed_nodes(reader, topology);
}

int muster__topology_read_allowed_nodes(struct muster__reader *reader,
                                        struct muster_topology *topology)
{
    uint64_t mask[NODE_IDS_MAX / 64] = {0};
    int status = read_allowed_nodes(reader, mask);
    for (uint32_t i = 0; i < topology->node_count; i++) {
        struct muster_node *node = &topology->nodes[i];
        node->allowed = (mask[node->id / 64] >> node->id % 64 & 1) && node->memory_total_bytes > 0;
    }
    return status;
}

int muster__topology_read_allowed_cpus(struct muster__reader *reader,
                                       struct muster_topology *topology)
{
    topology->usable_cpu_count = 0;
    uint32_t bits = topology->cpus[topology->cpu_count - 1].id / 64 * 64 + 64;
    bits = bits < CPU_MASK_BITS_MIN ? CPU_MASK_BITS_MIN : bits;
    uint64_t *mask = calloc(bits / 64, sizeof *mask);
    if (mask == NULL)
        return -ENOMEM;
    int status = reader->is_live ? muster__affinity_get(mask, bits)
                                 : read_status_list(reader, "Cpus_allowed_list:\t", mask, bits);
    bool is_said = status != -ENOENT;
    status = is_said ? status : 0;
    for (uint32_t i = 0; i < topology->cpu_count && status >= 0; i++) {
        struct muster_cpu *cpu = &topology->cpus[i];
        cpu->allowed = is_said ? mask[cpu->id / 64] >> cpu->id % 64 & 1 : cpu->online;
        topology->usable_cpu_count += cpu->allowed && cpu->online;
    }
    free(mask);
    return status < 0 ? status : 0;
}

/* -- the whole ------------------------------------------------------------------------------ */

static int read_host(struct muster__reader *reader, struct muster_topology *topology)
{
    int status = read_cpus(reader, topology);
    if (status == 0)
        status = read_nodes(reader, topology);
    if (status == 0)
        status = read_siblings(reader, topology);
    if (status == 0)
        status = muster__topology_read_allowed_cpus(reader, topology);
    if (status == 0)
        status = muster__topology_read_caches(reader, topology);
    if (status == 0)
        status = muster__topology_read_homes(reader, topology);
    /* glibc answers from the auxiliary vector: no system call. */
    if (reader->is_live)
        topology->page_bytes = (uint64_t)sysconf(_SC_PAGESIZE);
    return status;
}

int muster_topology_create(const char *root, struct muster_topology **topology)
{
    /* As for every path; it must not become this host by way of "/sys". */
    if (root != NULL && *root == '\0')
        return -ENOENT;
    struct muster_topology *host = calloc(1, sizeof *host);
    if (host == NULL)
        return -ENOMEM;
    struct muster__reader reader;
    int status = muster__reader_open(&reader, root);
    if (status == 0) {
        status = read_host(&reader, host);
        muster__reader_close(&reader);
    }
    if (status)
        muster_topology_destroy(host);
    else
        *topology = host;
    return status;
}

void muster_topology_destroy(struct muster_topology *topology)
{
    if (topology == NULL)
        return;
    free(topology->nodes);
    free(topology->cpus);
    free(topology->distances);
    free(topology);
}

int muster_topology_here(uint32_t *cpu, uint32_t *node)
{
    return muster__os_cpu(cpu, node);
}
