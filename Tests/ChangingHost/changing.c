/* changing.c - a host whose last CPU goes off line while it is read, and comes back.
 *
 *   changing TREE LESS
 *
 * TREE is a recorded host, LESS the same one with its last CPU off line. The program is linked with
 * `--wrap`, so that what the C core takes for this host's files are those of the one tree, and from
 * one read on those of the other. Pairs of reads are tried: whenever the CPU goes and comes
 * back, the host that is read is the one or the other, whole, or a note says that it may not be.
 *
 * Exit: 0 that held; 1 it did not, and the line says where.
 */
#define _GNU_SOURCE
#include <muster/core/topology.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int64_t __real_muster__os_read_text(const char *path, char *text, size_t capacity);
int __real_muster__os_list(const char *path, int (*visit)(const char *name, void *context),
                           void *context);
int __real_muster__os_open(const char *path, bool writable, bool create);
int64_t __wrap_muster__os_read_text(const char *path, char *text, size_t capacity);
int __wrap_muster__os_list(const char *path, int (*visit)(const char *name, void *context),
                           void *context);
int __wrap_muster__os_open(const char *path, bool writable, bool create);
int __wrap_muster__os_affinity_get(uint64_t *mask, uint32_t mask_bits);

static const char *trees[2]; /* with all CPUs, with one less */
static uint64_t reads;
static uint64_t goes, comes; /* the CPU is off line in the reads goes ..< comes */
static uint32_t cpu_count;
static bool counts_events; /* the kernel does */

static bool is_off(void)
{
    return reads >= goes && reads < comes;
}

/* Where a file of "this host" lies, at this read. */
static const char *place(const char *path)
{
    static char full[4096];
    snprintf(full, sizeof full, "%s%s", trees[is_off()], path);
    return full;
}

int64_t __wrap_muster__os_read_text(const char *path, char *text, size_t capacity)
{
    const char *full = place(path);
    if (strcmp(path, "/sys/kernel/uevent_seqnum") == 0 && counts_events)
        return snprintf(text, capacity, "%d\n", 1000 + (reads >= goes) + (reads >= comes));
    reads++;
    return __real_muster__os_read_text(full, text, capacity);
}

int __wrap_muster__os_list(const char *path, int (*visit)(const char *name, void *context),
                           void *context)
{
    const char *full = place(path);
    reads++;
    return __real_muster__os_list(full, visit, context);
}

int __wrap_muster__os_open(const char *path, bool writable, bool create)
{
    const char *full = place(path);
    reads++;
    return __real_muster__os_open(full, writable, create);
}

/* As the kernel has it: CPUs that are on line. */
int __wrap_muster__os_affinity_get(uint64_t *mask, uint32_t mask_bits)
{
    uint32_t count = is_off() ? cpu_count - 1 : cpu_count;
    reads++;
    memset(mask, 0, mask_bits / 8);
    mask[0] = (UINT64_C(1) << count) - 1;
    return (int)(mask_bits / 8);
}

/* All that a team uses of a host, as text. NULL: it can't be read. Ownership: free. */
static char *describe(bool *is_doubtful)
{
    struct muster_topology *host;
    char *text = NULL;
    size_t length;
    int status = muster_topology_create(NULL, &host);
    if (status < 0) {
        printf("status %d (%s)\n", status, muster_status_text(status));
        return NULL;
    }
    FILE *file = open_memstream(&text, &length);
    for (uint32_t i = 0; i < host->cpu_count; i++) {
        const struct muster_cpu *cpu = &host->cpus[i];
        fprintf(file, "cpu %u: node %d core %d of %u package %d of %d cache %d%s%s\n", cpu->id,
                cpu->node, cpu->core, cpu->core_cpu, cpu->package, cpu->package_cpu, cpu->cache_cpu,
                cpu->online ? " on line" : "", cpu->allowed ? " allowed" : "");
    }
    for (uint32_t i = 0; i < host->node_count; i++)
        fprintf(file, "node %u: %u CPUs%s\n", host->nodes[i].id, host->nodes[i].cpu_count,
                host->nodes[i].allowed ? " allowed" : "");
    fprintf(file, "%u CPUs, caches %llu of %llu\n", host->usable_cpu_count,
            (unsigned long long)host->last_level_cache_bytes,
            (unsigned long long)host->last_level_cache_total_bytes);
    *is_doubtful = false;
    for (uint32_t i = 0; i < host->note_count; i++) {
        *is_doubtful |= strstr(host->notes[i].text, "change again") != NULL;
        fprintf(file, "note: %s\n", host->notes[i].text);
    }
    fclose(file);
    muster_topology_destroy(host);
    return text;
}

static char *describe_at(uint64_t first, uint64_t end, bool *is_doubtful)
{
    reads = 0;
    goes = first;
    comes = end;
    return describe(is_doubtful);
}

/* Pairs of reads, for a kernel that counts events, or not. Returns: 0, or 1 with a line that says
 * what was wrong. */
static int try_all(bool counts)
{
    bool is_doubtful;
    counts_events = counts;
    char *all = describe_at(UINT64_MAX, UINT64_MAX, &is_doubtful);
    uint64_t most = reads;
    char *less = describe_at(0, UINT64_MAX, &is_doubtful);
    if (!all || !less || strcmp(all, less) == 0 || is_doubtful)
        return printf("the trees are alike, or can't be read\n%s%s", all, less), 1;
    uint64_t tried = 0, doubtful = 0;
    for (uint64_t first = 0; first < most; first++)
        /* A third of them where each reading takes twice as long. */
        for (uint64_t end = first + 1; end <= 2 * most; end += counts ? 1 : 3) {
            char *found = describe_at(first, end, &is_doubtful);
            if (!found || (!is_doubtful && strcmp(found, all) != 0 && strcmp(found, less) != 0)) {
                printf("the last CPU is off line in reads %llu ..< %llu of %llu:\n%s\nand not:\n%s",
                       (unsigned long long)first, (unsigned long long)end, (unsigned long long)most,
                       found ? found : "no host\n", all);
                return 1;
            }
            free(found);
            tried++;
            doubtful += is_doubtful;
        }
    printf("%llu pairs of reads, %llu with the note that the host changed again and again\n",
           (unsigned long long)tried, (unsigned long long)doubtful);
    free(all);
    free(less);
    return 0;
}

int main(int count, char **arguments)
{
    if (count != 4)
        return 64;
    trees[0] = arguments[1];
    trees[1] = arguments[2];
    cpu_count = (uint32_t)atoi(arguments[3]);
    return try_all(false) || try_all(true);
}
