/* recall.c - a host that was read before: only what can have changed is read again.
 *
 * A host with hundreds of CPUs has thousands of files, and every team asks for them. What can have
 * changed shows in three lists: the CPUs and the nodes that are on line, and the nodes that have
 * memory. Their texts are compared, so that a host that fakes or lacks them is recalled as well.
 */
#include <stdlib.h>
#include <string.h>

#include "host/read.h"

/* -- what is kept --------------------------------------------------------------------------- */

/* What was read last; the thread that has set `busy` may use it. */
static struct {
    struct muster_topology *host; /* NULL: nothing */
    struct muster__signs signs;
    bool has_nodes;               /* its nodes have directories */
    struct muster__cpu_mask mask; /* room, all zero; too large for a stack */
} kept;
static uint32_t busy;

static void *copy_of(const void *from, size_t bytes)
{
    void *copy = malloc(bytes ? bytes : 1);
    return copy && bytes ? memcpy(copy, from, bytes) : copy;
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
    copy->notes = copy_of(host->notes, host->note_count * sizeof *host->notes);
    if (!copy->nodes || !copy->cpus || !copy->distances || !copy->notes) {
        muster_topology_destroy(copy);
        return NULL;
    }
    return copy;
}

/* Whether the process may run on CPUs only that are known to be on line. */
static bool has_known_cpus(const struct muster_topology *host, const struct muster__cpu_mask *mask)
{
    for (uint32_t word = 0; word < mask->words; word++)
        for (uint64_t bits = mask->bits[word]; bits; bits &= bits - 1) {
            uint32_t id = word * 64 + (uint32_t)__builtin_ctzll(bits);
            const struct muster_cpu *cpu = muster__topology_cpu(host, id);
            if (cpu == NULL || !cpu->online)
                return false;
        }
    return true;
}

/* Asks once more what the process may use. Returns whether that is all that can have changed. */
static bool renew(struct muster__reader *reader, struct muster_topology *host)
{
    enum muster__allowed_source source = muster__topology_allowed(reader, &kept.mask);
    bool is_same = source == MUSTER__ALLOWED_EARLIER ||
                   (source == MUSTER__ALLOWED_ON_LINE && has_known_cpus(host, &kept.mask));
    if (is_same)
        muster__topology_allow(host, source, &kept.mask);
    memset(kept.mask.bits, 0, kept.mask.words * sizeof *kept.mask.bits);
    kept.mask.words = 0;
    /* A kernel without nodes allows the one that stands for all. */
    if (is_same && kept.has_nodes)
        muster__topology_allow_nodes(reader, host);
    return is_same && !reader->failure && !reader->is_blurred;
}

/* A copy of what is kept, if that is still so. NULL: it is not, or could not be found out. */
static struct muster_topology *recall(void)
{
    struct muster__reader reader;
    if (kept.host == NULL || muster__reader_open(&reader, NULL) < 0)
        return NULL;
    struct muster__signs signs = {.cpus = NULL};
    struct muster_topology *host = NULL;
    if (muster__signs_read(&reader, &signs) == 0) {
        if (muster__signs_are_equal(&signs, &kept.signs))
            host = duplicate(kept.host);
        muster__signs_free(&signs);
    }
    if (host != NULL && (!renew(&reader, host) || muster__topology_read_homes(&reader, host) < 0)) {
        muster_topology_destroy(host);
        host = NULL;
    }
    muster__reader_close(&reader);
    return host;
}

static int read_and_keep(struct muster_topology **topology)
{
    struct muster__signs signs = {.cpus = NULL};
    bool is_blurred = false;
    int status = muster__topology_read_live(&signs, topology, &is_blurred);
    muster_topology_destroy(kept.host);
    muster__signs_free(&kept.signs);
    /* A file that could not be read this time may be read the next. */
    kept.host = status == 0 && !is_blurred ? duplicate(*topology) : NULL;
    if (kept.host == NULL) {
        muster__signs_free(&signs);
        return status;
    }
    kept.signs = signs;
    struct muster__reader reader;
    kept.has_nodes = false;
    if (muster__reader_open(&reader, NULL) == 0) {
        kept.has_nodes = muster__reader_has(&reader, MUSTER__NODES);
        muster__reader_close(&reader);
    }
    return status;
}

int muster_topology_recall(struct muster_topology **topology)
{
    /* No waiting: a process that was forked meanwhile would wait for ever. */
    if (__atomic_exchange_n(&busy, 1, __ATOMIC_ACQUIRE) != 0)
        return muster_topology_create(NULL, topology);
    struct muster_topology *host = recall();
    int status = 0;
    if (host)
        *topology = host;
    else
        status = read_and_keep(topology);
    __atomic_store_n(&busy, 0, __ATOMIC_RELEASE);
    return status;
}
