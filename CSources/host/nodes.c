/* nodes.c - the NUMA nodes of a host, with their CPUs, memory and distances.
 *
 * Where files contradict one another, hwloc's rules (2.x, look_sysfsnode):
 * - A node whose CPUs are in part another's, one with a smaller number, is left out: Linux itself
 *   makes no such nodes, so firmware or a faked /sys is at fault, and a rank can't be at home on
 * two of them. With numa=fake the kernel does make them, and they stay; a CPU is the first one's.
 * - A row of distances that has too many columns counts up to the last node. One that has too few
 *   says nothing, for nobody knows which are missing (hwloc then drops all rows; we drop the one).
 * - A node that is on line by node/online and has no directory is left out.
 */
#include "base/text.h"
#include "host/read.h"
#include "os/os.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A SLIT entry is one byte (ACPI 6.5, 5.2.17), and kernels keep those of device trees in one too.
 */
#define DISTANCE_MAX   255u
#define DISTANCE_LOCAL 10u

static const struct muster__set_file cpu_files[] = {{"cpulist", false}, {"cpumap", true}};

/* -- memory --------------------------------------------------------------------------------- */

/* The counters that `head` begins: "" in proc/meminfo, "Node 0 " in a node's. Returns whether the
 * total is there. */
static bool parse_memory(const char *text, const char *head, struct muster_node *node)
{
    char line[64];
    uint64_t total_bytes, free_bytes;

    snprintf(line, sizeof line, "%sMemTotal:", head);
    if (muster__text_memory(text, line, &total_bytes) < 0)
        return false;
    node->memory_total_bytes = total_bytes;
    node->has_memory = total_bytes > 0;
    snprintf(line, sizeof line, "%sMemFree:", head);
    if (muster__text_memory(text, line, &free_bytes) == 0) {
        /* The kernel reads the two one after the other, and counts free pages per CPU with a lag.
         */
        node->memory_free_bytes = free_bytes < total_bytes ? free_bytes : total_bytes;
        node->knows_free = 1;
    }
    return true;
}

/* The memory of the only node, which is the host's. A container can fake proc/meminfo: of this host
 * the kernel's own call says the same. */
static void read_whole_memory(struct muster__reader *reader, struct muster_node *node)
{
    uint64_t total_bytes, free_bytes;
    if (reader->is_live && muster__os_memory(&total_bytes, &free_bytes) == 0) {
        node->memory_total_bytes = total_bytes;
        node->memory_free_bytes = free_bytes < total_bytes ? free_bytes : total_bytes;
        node->knows_free = 1;
        return;
    }
    int status = muster__reader_file(reader, "proc/meminfo");
    if (status == 0 && !parse_memory(reader->text, "", node))
        status = MUSTER__GARBLED;
    if (status < 0)
        muster__reader_note(reader, "proc/meminfo", muster__reader_why(status),
                            "how much memory there is is unknown");
    else if (!node->knows_free)
        muster__reader_note(reader, "proc/meminfo", "has no MemFree",
                            "how much memory is free is unknown");
}

/* Whether a list of nodes has this one. -1: there is no such list. */
static int is_listed(struct muster__reader *reader, const char *name, uint32_t id)
{
    if (muster__reader_file(reader, MUSTER__NODES "/%s", name) < 0)
        return -1;
    int64_t count = muster__reader_ids(reader, reader->text);
    for (int64_t i = 0; i < count; i++)
        if (reader->ids[i] == id)
            return 1;
    return count < 0 ? -1 : 0;
}

static void read_memory(struct muster__reader *reader, const char *folder, struct muster_node *node,
                        bool is_only_one)
{
    char head[32];
    snprintf(head, sizeof head, "Node %u ", node->id);
    int status = muster__reader_file(reader, "%s/meminfo", folder);
    if (status == 0 && !parse_memory(reader->text, head, node))
        status = MUSTER__GARBLED;
    if (status < 0) {
        node->has_memory = is_listed(reader, "has_memory", node->id) != 0;
        muster__reader_note_in(reader, folder, "meminfo", muster__reader_why(status),
                               is_only_one ? "the memory of the whole host is read instead"
                                           : "how much memory the node has is unknown");
        if (is_only_one)
            read_whole_memory(reader, node);
    } else if (!node->knows_free && node->has_memory) {
        muster__reader_note_in(reader, folder, "meminfo", "has no MemFree that makes sense",
                               "how much memory of the node is free is unknown");
    }
}

/* -- CPUs ----------------------------------------------------------------------------------- */

/* The CPUs of a node into reader->ids: from its files, or from its links to them. */
static int64_t read_node_cpus(struct muster__reader *reader, const char *folder, bool is_only_one)
{
    static const char *const effect = "which CPUs the node has is unknown";
    if (muster__reader_file(reader, "%s/%s", folder, cpu_files[0].name) == 0) {
        int64_t listed = muster__reader_ids(reader, reader->text);
        if (listed >= 0)
            return listed;
    }
    int64_t named = muster__reader_names(reader, folder, "cpu");
    bool is_told = named > 0 || is_only_one;
    int64_t count = muster__reader_set(
        reader, folder, cpu_files, 2, MUSTER__NO_ID,
        is_only_one ? "all CPUs are the only node's"
                    : (named > 0 ? "the links to its CPUs are read instead" : effect),
        is_told ? NULL : effect);
    if (count < 0 && named > 0 && !reader->failure)
        count = muster__reader_names(reader, folder, "cpu");
    return count;
}

static bool has_fake_nodes(struct muster__reader *reader)
{
    return muster__reader_file(reader, "proc/cmdline") == 0 &&
           strstr(reader->text, "numa=fake=") != NULL;
}

/* Gives a node its CPUs, which are in reader->ids. Returns false where another node has one. */
static bool take_cpus(struct muster__reader *reader, struct muster_topology *topology,
                      const char *folder, struct muster_node *node, int64_t count)
{
    bool is_strange = false, is_double = false;
    for (int64_t i = 0; i < count; i++) {
        const struct muster_cpu *cpu = muster__topology_cpu(topology, reader->ids[i]);
        is_strange = is_strange || cpu == NULL;
        is_double = is_double || (cpu != NULL && cpu->node >= 0);
    }
    if (is_strange)
        muster__reader_note(reader, folder, "names CPUs that this host has not",
                            "they are left out");
    if (is_double && !has_fake_nodes(reader)) {
        muster__reader_note(reader, folder, "names CPUs that another node has", "it is left out");
        return false;
    }
    for (int64_t i = 0; i < count; i++) {
        struct muster_cpu *cpu = muster__topology_cpu(topology, reader->ids[i]);
        if (cpu == NULL || cpu->node >= 0)
            continue;
        cpu->node = (int32_t)node->id;
        node->cpu_count += cpu->online;
    }
    return true;
}

/* On a host of one node there is nowhere else for a CPU to be. */
static void give_rest(struct muster_topology *topology)
{
    struct muster_node *node = topology->nodes;
    for (uint32_t i = 0; i < topology->cpu_count; i++) {
        struct muster_cpu *cpu = &topology->cpus[i];
        if (!cpu->online || cpu->node >= 0)
            continue;
        cpu->node = (int32_t)node->id;
        node->cpu_count++;
    }
}

/* -- distances ------------------------------------------------------------------------------ */

/* The kernel writes one column per node that is on line, in rising order; nodes that are not have
 * none. So a row is by position, like ours. column_of: which column is a node's, by position. */
static void read_distances(struct muster__reader *reader, struct muster_topology *topology,
                           const uint32_t *column_of, uint32_t column_count)
{
    uint32_t *row = calloc(column_count, sizeof *row);
    if (row == NULL) {
        muster__reader_fails(reader, -ENOMEM);
        return;
    }
    for (uint32_t i = 0; i < topology->node_count && !reader->failure; i++) {
        char folder[MUSTER__FOLDER_BYTES];
        snprintf(folder, sizeof folder, MUSTER__NODES "/node%u", topology->nodes[i].id);
        int64_t found = muster__reader_file(reader, "%s/distance", folder);
        if (found == 0)
            found = muster__text_row(reader->text, row, column_count, DISTANCE_MAX);
        const char *what = found < 0 ? muster__reader_why((int)found) : NULL;
        /* Nodes that were left out may have no column either. */
        bool is_by_position = found == topology->node_count;
        if (found >= 0 && found < column_count && !is_by_position)
            what = "has fewer columns than there are nodes";
        if (what) {
            muster__reader_note_in(reader, folder, "distance", what,
                                   "how far this node is from others is unknown");
            continue;
        }
        bool has_zero = false;
        for (uint32_t j = 0; j < topology->node_count; j++) {
            uint32_t value = row[is_by_position ? j : column_of[j]];
            topology->distances[(size_t)i * topology->node_count + j] = value;
            has_zero = has_zero || value == 0;
        }
        if (found > column_count)
            muster__reader_note_in(reader, folder, "distance",
                                   "has more columns than there are nodes", "the rest is left out");
        if (has_zero)
            muster__reader_note_in(reader, folder, "distance",
                                   "has distances that are none (0, or above 255)",
                                   "they are unknown");
    }
    free(row);
}

/* -- nodes ---------------------------------------------------------------------------------- */

/* Room for `count` nodes and their distances; at most 1024, so 4 MiB. */
static int make_nodes(struct muster_topology *topology, uint32_t count)
{
    free(topology->nodes);
    free(topology->distances);
    topology->node_count = 0;
    topology->nodes = calloc(count, sizeof *topology->nodes);
    topology->distances = calloc((size_t)count * count, sizeof *topology->distances);
    if (topology->nodes == NULL || topology->distances == NULL)
        return -ENOMEM;
    topology->node_count = count;
    return 0;
}

/* A kernel without NUMA, or a /sys without it: one node that has it all. */
static int read_whole_host(struct muster__reader *reader, struct muster_topology *topology)
{
    int status = make_nodes(topology, 1);
    if (status)
        return status;
    struct muster_node *node = topology->nodes;
    topology->distances[0] = DISTANCE_LOCAL;
    node->has_memory = 1;
    node->allowed = 1;
    for (uint32_t i = 0; i < topology->cpu_count; i++) {
        topology->cpus[i].node = 0;
        node->cpu_count += topology->cpus[i].online;
    }
    read_whole_memory(reader, node);
    return reader->failure;
}

/* The numbers of the nodes on line, into reader->ids. Returns how many, 0 where none is known. */
static int64_t list_nodes(struct muster__reader *reader)
{
    int64_t count = muster__reader_file(reader, MUSTER__NODES "/online");
    if (count == 0)
        count = muster__reader_ids(reader, reader->text);
    if (count > 0 && reader->ids[count - 1] >= MUSTER__NODE_IDS_MAX)
        count = MUSTER__GARBLED;
    if (count > 0)
        return count;
    int status = count == 0 ? MUSTER__EMPTY : (int)count;
    /* A node that is off line has no directory. */
    count = muster__reader_names(reader, MUSTER__NODES, "node");
    while (count > 0 && reader->ids[count - 1] >= MUSTER__NODE_IDS_MAX)
        count--;
    if (count <= 0)
        muster__reader_note(reader, MUSTER__NODES,
                            status == -ENOENT ? "is not there" : "has no nodes",
                            "all CPUs and all memory count as one node");
    else if (status != -ENOENT)
        muster__reader_note(reader, MUSTER__NODES "/online", muster__reader_why(status),
                            "the nodes that have a directory are on line");
    return count > 0 ? count : 0;
}

/* Reads one node. Returns whether it is one. */
static bool read_node(struct muster__reader *reader, struct muster_topology *topology,
                      struct muster_node *node, bool is_only_one, bool *has_unknown)
{
    char folder[MUSTER__FOLDER_BYTES];
    snprintf(folder, sizeof folder, MUSTER__NODES "/node%u", node->id);
    if (!muster__reader_has(reader, folder)) {
        muster__reader_note(reader, folder, muster__reader_why(-ENOENT),
                            "the node is left out, though node/online names it");
        return false;
    }
    int64_t count = read_node_cpus(reader, folder, is_only_one);
    *has_unknown = *has_unknown || count < 0;
    if (count > 0 && !take_cpus(reader, topology, folder, node, count))
        return false;
    read_memory(reader, folder, node, is_only_one);
    return true;
}

/* A CPU on line that no node names has none, unless there is one node only. */
static void note_homeless(struct muster__reader *reader, struct muster_topology *topology)
{
    for (uint32_t i = 0; i < topology->cpu_count; i++)
        if (topology->cpus[i].online && topology->cpus[i].node < 0) {
            muster__reader_note(reader, MUSTER__NODES, "has no node for some CPUs that are on line",
                                topology->node_count == 1 ? "they are the only node's"
                                                          : "their node is unknown");
            return;
        }
}

int muster__topology_read_nodes(struct muster__reader *reader, struct muster_topology *topology)
{
    int64_t listed = list_nodes(reader);
    if (listed == 0 || reader->failure)
        return reader->failure ? reader->failure : read_whole_host(reader, topology);
    uint32_t columns[MUSTER__NODE_IDS_MAX];
    int status = make_nodes(topology, (uint32_t)listed);
    if (status)
        return status;
    for (uint32_t i = 0; i < topology->node_count; i++)
        topology->nodes[i].id = reader->ids[i];
    uint32_t kept = 0;
    bool has_unknown = false;
    for (uint32_t i = 0; i < (uint32_t)listed && !reader->failure; i++) {
        struct muster_node node = {.id = topology->nodes[i].id};
        if (!read_node(reader, topology, &node, listed == 1, &has_unknown))
            continue;
        columns[kept] = i;
        topology->nodes[kept++] = node;
    }
    if (reader->failure)
        return reader->failure;
    if (kept == 0)
        return read_whole_host(reader, topology);
    topology->node_count = kept;
    if (!has_unknown)
        note_homeless(reader, topology);
    if (kept == 1)
        give_rest(topology);
    read_distances(reader, topology, columns, (uint32_t)listed);
    if (!reader->failure)
        muster__topology_allow_nodes(reader, topology);
    return reader->failure;
}
