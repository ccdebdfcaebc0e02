/* topology.c - nodes, CPUs, memory, distances and caches of a host, live or recorded.
 *
 * Invariant: a number out of a file never becomes an index. It is looked up among the CPUs and
 * nodes that are already known, and a number that is not there is left out.
 *
 * No file is required: see topology.h. What is wrong with a file is noted while it is read
 * (host/read.h); only a lack of memory or of descriptors ends a reading.
 */
#include "host/read.h"
#include "os/os.h"
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* -- one reading ---------------------------------------------------------------------------- */

static int read_host(struct muster__reader *reader, struct muster_topology *topology)
{
    int status = muster__topology_read_cpus(reader, topology);
    if (status == 0)
        status = muster__topology_read_nodes(reader, topology);
    if (status == 0)
        status = muster__topology_read_groups(reader, topology);
    if (status == 0)
        status = muster__topology_read_caches(reader, topology);
    if (status == 0)
        status = muster__topology_read_homes(reader, topology);
    /* glibc answers from the auxiliary vector: no system call. */
    if (reader->is_live)
        topology->page_bytes = (uint64_t)sysconf(_SC_PAGESIZE);
    return status ? status : muster__reader_give_notes(reader, topology);
}

static int read_once(const char *root, struct muster_topology **topology, bool *is_blurred)
{
    struct muster__reader reader;
    struct muster_topology *host = calloc(1, sizeof *host);
    int status = host ? muster__reader_open(&reader, root) : -ENOMEM;
    if (status == 0) {
        status = read_host(&reader, host);
        *is_blurred = reader.is_blurred;
        muster__reader_close(&reader);
    }
    if (status)
        muster_topology_destroy(host);
    else
        *topology = host;
    return status;
}

/* -- a host that changes while it is read --------------------------------------------------- */

/* A CPU that goes takes its files with it, in the middle of a reading too. */
#define READINGS_MAX 8

static bool has_same_notes(const struct muster_topology *one, const struct muster_topology *other)
{
    if (one->note_count != other->note_count)
        return false;
    for (uint32_t i = 0; i < one->note_count; i++)
        if (strcmp(one->notes[i].text, other->notes[i].text) != 0)
            return false;
    return true;
}

/* Whether two readings say the same of CPUs, nodes and distances. How much memory is free changes
 * all the time. */
static bool are_alike(const struct muster_topology *one, const struct muster_topology *other)
{
    size_t nodes = one->node_count;
    if (nodes != other->node_count || one->cpu_count != other->cpu_count ||
        memcmp(one->cpus, other->cpus, one->cpu_count * sizeof *one->cpus) != 0 ||
        memcmp(one->distances, other->distances, nodes * nodes * sizeof *one->distances) != 0)
        return false;
    for (size_t i = 0; i < nodes; i++)
        if (one->nodes[i].id != other->nodes[i].id ||
            one->nodes[i].cpu_count != other->nodes[i].cpu_count ||
            one->nodes[i].allowed != other->nodes[i].allowed ||
            one->nodes[i].memory_total_bytes != other->nodes[i].memory_total_bytes)
            return false;
    return true;
}

static int add_note(struct muster_topology *topology, const char *text)
{
    struct muster_note *notes =
        realloc(topology->notes, (topology->note_count + 1) * sizeof *topology->notes);
    if (notes == NULL)
        return -ENOMEM;
    topology->notes = notes;
    struct muster_note *note = &notes[topology->note_count++];
    *note = (struct muster_note){.is_about_caches = 0};
    strncpy(note->text, text, sizeof note->text - 1);
    return 0;
}

static int read_signs(struct muster__signs *signs)
{
    struct muster__reader reader;
    int status = muster__reader_open(&reader, NULL);
    if (status)
        return status;
    status = muster__signs_read(&reader, signs);
    muster__reader_close(&reader);
    return status;
}

/* A reading counts if the same CPUs and nodes were on line before and after it, and nothing has
 * happened meanwhile: a CPU can go and come back. The kernel counts such events, together with all
 * others; where it does not say, or some came, a second reading must be like the one before. One
 * that has notes must, too. */
int muster__topology_read_live(struct muster__signs *signs, struct muster_topology **topology,
                               bool *is_blurred)
{
    struct muster_topology *last = NULL;
    int status = read_signs(signs);
    for (int readings = 1; status == 0; readings++) {
        struct muster_topology *host = NULL;
        struct muster__signs after;
        status = read_once(NULL, &host, is_blurred);
        if (status == 0)
            status = read_signs(&after);
        if (status) {
            muster_topology_destroy(host);
            break;
        }
        bool is_steady = muster__signs_are_equal(signs, &after);
        bool is_quiet = after.events && signs->events && strcmp(after.events, signs->events) == 0;
        bool is_agreed = (is_quiet && host->note_count == 0) ||
                         (last != NULL && has_same_notes(last, host) && are_alike(last, host));
        muster_topology_destroy(last);
        last = host;
        muster__signs_free(signs);
        *signs = after;
        if (is_steady && is_agreed)
            break;
        if (readings == READINGS_MAX) {
            *is_blurred = true;
            status = add_note(last, "/" MUSTER__CPUS "/online and the files beside it change again "
                                    "and again: what was read last may not fit together");
            break;
        }
    }
    if (status)
        muster_topology_destroy(last);
    else
        *topology = last;
    return status;
}

/* -- the whole ------------------------------------------------------------------------------ */

static int stop(const char *name, void *context)
{
    (void)name;
    (void)context;
    return 1;
}

int muster_topology_create(const char *root, struct muster_topology **topology)
{
    bool is_blurred;
    if (root == NULL) {
        struct muster__signs signs = {.cpus = NULL};
        int status = muster__topology_read_live(&signs, topology, &is_blurred);
        muster__signs_free(&signs);
        return status;
    }
    /* As for every path; it must not become this host by way of "/sys". */
    if (*root == '\0')
        return -ENOENT;
    int status = muster__os_list(root, stop, NULL);
    return status < 0 ? status : read_once(root, topology, &is_blurred);
}

int muster_topology_here(uint32_t *cpu, uint32_t *node)
{
    return muster__os_cpu(cpu, node);
}
