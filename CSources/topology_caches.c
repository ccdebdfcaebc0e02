/* topology_caches.c - the last-level caches of a host: their sizes, and who shares them.
 *
 * A CPU's last-level cache is the largest of its highest level; hosts whose CPUs differ have caches
 * of different levels and sizes. All files here are optional: many guests and device trees name no
 * caches.
 */
#include "topology_read.h"
#include "topology_text.h"
#include <stdlib.h>
#include <string.h>

/* The last-level cache of one CPU, while its cache directory is walked. */
struct last_level {
    struct muster__reader *reader;
    uint32_t cpu;
    uint32_t index; /* of its directory */
    int32_t level;  /* 0: none seen */
    uint64_t size_bytes;
};

static int visit_cache(const char *name, void *context)
{
    struct last_level *last = context;
    struct muster__reader *reader = last->reader;
    int32_t index, level;
    uint64_t size_bytes = 0;

    /* Firmware can leave gaps in these numbers, so the names are listed, not counted. */
    if (strncmp(name, "index", 5) != 0 || muster__text_integer(name + 5, &index) || index < 0)
        return 0;
    int status =
        muster__reader_file(reader, MUSTER__CPUS "/cpu%u/cache/index%d/level", last->cpu, index);
    if (status == 0)
        status = muster__text_integer(reader->text, &level);
    if (status)
        return status == -ENOENT ? 0 : status;
    if (level <= 0)
        return -EUCLEAN;

    status =
        muster__reader_file(reader, MUSTER__CPUS "/cpu%u/cache/index%d/type", last->cpu, index);
    if (status && status != -ENOENT)
        return status;
    if (status == 0 && muster__text_is(reader->text, "Instruction"))
        return 0;
    if (status == 0 && !muster__text_is(reader->text, "Data") &&
        !muster__text_is(reader->text, "Unified"))
        return -EUCLEAN;

    /* Device trees often name a cache without its size. */
    status =
        muster__reader_file(reader, MUSTER__CPUS "/cpu%u/cache/index%d/size", last->cpu, index);
    if (status == 0)
        status = muster__text_size(reader->text, &size_bytes);
    if (status && status != -ENOENT)
        return status;

    if (level > last->level || (level == last->level && size_bytes > last->size_bytes)) {
        last->index = (uint32_t)index;
        last->level = level;
        last->size_bytes = size_bytes;
    }
    return 0;
}

/* Marks the CPUs that share a cache as covered. Without a list, the cache is the CPU's own. */
static int cover_sharers(struct muster__reader *reader, struct muster_topology *topology,
                         const struct last_level *last, bool *covered)
{
    muster__topology_cpu(topology, last->cpu)->cache_cpu = (int32_t)last->cpu;
    int status = muster__reader_file(reader, MUSTER__CPUS "/cpu%u/cache/index%u/shared_cpu_list",
                                     last->cpu, last->index);
    if (status)
        return status == -ENOENT ? 0 : status;
    int64_t count = muster__reader_ids(reader, reader->text);
    if (count < 0)
        return (int)count;
    bool has_itself = false;
    for (int64_t i = 0; i < count; i++) {
        struct muster_cpu *cpu = muster__topology_cpu(topology, reader->ids[i]);
        if (cpu == NULL)
            return -EUCLEAN;
        has_itself = has_itself || cpu->id == last->cpu;
        if (cpu->online && cpu->cache_cpu < 0)
            cpu->cache_cpu = (int32_t)last->cpu;
        covered[cpu - topology->cpus] = true;
    }
    return has_itself ? 0 : -EUCLEAN;
}

/* One CPU of each sharing set is read: 16 files per CPU would be 130,000 on the largest hosts. */
int muster__topology_read_caches(struct muster__reader *reader, struct muster_topology *topology)
{
    int status = 0;
    bool *covered = calloc(topology->cpu_count, sizeof *covered);
    if (covered == NULL)
        return -ENOMEM;
    for (uint32_t i = 0; i < topology->cpu_count; i++) {
        if (!topology->cpus[i].online || covered[i])
            continue;
        struct last_level last = {.reader = reader, .cpu = topology->cpus[i].id};
        status =
            muster__reader_list(reader, visit_cache, &last, MUSTER__CPUS "/cpu%u/cache", last.cpu);
        status = status == -ENOENT ? 0 : status;
        if (status == 0 && last.level > 0)
            status = cover_sharers(reader, topology, &last, covered);
        if (status)
            break;
        if (last.size_bytes > topology->last_level_cache_bytes)
            topology->last_level_cache_bytes = last.size_bytes;
        if (__builtin_add_overflow(topology->last_level_cache_total_bytes, last.size_bytes,
                                   &topology->last_level_cache_total_bytes)) {
            status = -EUCLEAN;
            break;
        }
    }
    free(covered);
    return status;
}
