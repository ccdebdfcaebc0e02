/* caches.c - the caches of a host: their sizes, and the CPUs that share them.
 *
 * A CPU's last-level cache is the largest of its highest level; hosts whose CPUs differ have caches
 * of different levels and sizes. Many guests and device trees name no caches, or not their sizes.
 *
 * As in hwloc (2.x, look_sysfscpu), a cache is that of the first on-line CPU in its set, and is
 * read there only. So where two CPUs contradict each other, a set counts if its own first CPU says
 * the same; and an empty set (ia64) is the core's. A set that is missing is taken for the core's
 * too: more CPUs may share the cache, and the note says so.
 */
#include "base/text.h"
#include "host/read.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct muster__set_file sharer_files[] = {{"shared_cpu_list", false},
                                                       {"shared_cpu_map", true}};

/* Beyond any host's; a larger number is no level. */
#define LEVEL_MAX 9

/* The caches of one CPU, while its cache directory is walked. */
struct walk {
    struct muster__reader *reader;
    struct muster_topology *topology;
    struct muster_cpu *cpu;
    uint32_t *indices; /* of its directories, rising */
    uint32_t count;
};

/* Which caches a CPU has, into walk->indices. Returns 0, -ENOENT: it has none, or an errno.
 * Firmware can leave gaps in these numbers, so the names are listed, not counted. */
static int list_caches(struct walk *walk)
{
    char folder[MUSTER__FOLDER_BYTES];
    struct muster__reader *reader = walk->reader;
    snprintf(folder, sizeof folder, MUSTER__CPUS "/cpu%u/cache", walk->cpu->id);
    int64_t count = muster__reader_names(reader, folder, "index");
    walk->count = 0;
    if (count <= 0) {
        muster__reader_note(reader, folder, count < 0 ? muster__reader_why((int)count) : "is empty",
                            "which caches the CPU has is unknown");
        return reader->failure ? reader->failure : -ENOENT;
    }
    uint32_t *indices = realloc(walk->indices, (size_t)count * sizeof *indices);
    if (indices == NULL)
        return reader->failure = -ENOMEM;
    memcpy(indices, reader->ids, (size_t)count * sizeof *indices);
    walk->indices = indices;
    walk->count = (uint32_t)count;
    return 0;
}

static void make_folder(const struct walk *walk, uint32_t index, char folder[MUSTER__FOLDER_BYTES])
{
    snprintf(folder, MUSTER__FOLDER_BYTES, MUSTER__CPUS "/cpu%u/cache/index%u", walk->cpu->id,
             index);
}

/* Level and type. Returns whether it is a cache. */
static bool read_kind(struct walk *walk, uint32_t index, struct muster_cache *cache)
{
    static const char *const types[] = {"", "Data", "Instruction", "Unified"};
    struct muster__reader *reader = walk->reader;
    char folder[MUSTER__FOLDER_BYTES];
    int32_t level = 0;
    make_folder(walk, index, folder);
    *cache = (struct muster_cache){.type = MUSTER_CACHE_UNKNOWN};

    int status = muster__reader_file(reader, "%s/level", folder);
    if (status == 0)
        status = muster__text_integer(reader->text, &level);
    if (status == 0 && (level < 1 || level > LEVEL_MAX))
        status = MUSTER__GARBLED;
    if (status < 0) {
        muster__reader_note_in(reader, folder, "level", muster__reader_why(status),
                               "the cache is left out");
        return false;
    }
    cache->level = (uint32_t)level;

    status = muster__reader_file(reader, "%s/type", folder);
    for (uint32_t type = MUSTER_CACHE_DATA; status == 0 && type <= MUSTER_CACHE_UNIFIED; type++)
        if (muster__text_is(reader->text, types[type]))
            cache->type = type;
    if (status == 0 && cache->type == MUSTER_CACHE_UNKNOWN)
        status = MUSTER__GARBLED;
    if (status < 0)
        muster__reader_note_in(reader, folder, "type", muster__reader_why(status),
                               "the cache counts as one of data");
    return true;
}

/* Device trees often name a cache without its size. */
static void read_size(struct walk *walk, uint32_t index, struct muster_cache *cache)
{
    char folder[MUSTER__FOLDER_BYTES];
    make_folder(walk, index, folder);
    int status = muster__reader_file(walk->reader, "%s/size", folder);
    if (status == 0)
        status = muster__text_size(walk->reader->text, &cache->size_bytes);
    if (status < 0)
        muster__reader_note_in(walk->reader, folder, "size", muster__reader_why(status),
                               "the cache's size is unknown");
}

/* The CPUs of a core, into reader->ids. */
static int64_t list_core(struct walk *walk)
{
    const struct muster_topology *topology = walk->topology;
    uint32_t count = 0;
    for (uint32_t i = 0; i < topology->cpu_count; i++)
        count += topology->cpus[i].core_cpu == walk->cpu->core_cpu;
    if (count > walk->reader->ids_capacity) {
        uint32_t *ids = realloc(walk->reader->ids, count * sizeof *ids);
        if (ids == NULL)
            return walk->reader->failure = -ENOMEM;
        walk->reader->ids = ids;
        walk->reader->ids_capacity = count;
    }
    count = 0;
    for (uint32_t i = 0; i < topology->cpu_count; i++)
        if (topology->cpus[i].core_cpu == walk->cpu->core_cpu)
            walk->reader->ids[count++] = topology->cpus[i].id;
    return count;
}

/* The on-line CPUs that share a cache, into cache->cpus: valid until the reader reads on. Returns
 * whether they are known. */
static bool read_sharers(struct walk *walk, uint32_t index, struct muster_cache *cache)
{
    struct muster__reader *reader = walk->reader;
    static const char *const effect = "the cache counts as its core's; more CPUs may share it";
    char folder[MUSTER__FOLDER_BYTES];
    make_folder(walk, index, folder);
    int64_t count =
        muster__reader_set(reader, folder, sharer_files, 2, MUSTER__NO_ID, effect, effect);
    bool is_known = count >= 0, has_itself = false, is_strange = false;
    uint32_t kept = 0;
    for (int64_t i = 0; i < count; i++) {
        const struct muster_cpu *cpu = muster__topology_cpu(walk->topology, reader->ids[i]);
        is_strange = is_strange || cpu == NULL;
        has_itself = has_itself || cpu == walk->cpu;
        if (cpu != NULL && cpu->online)
            reader->ids[kept++] = cpu->id;
    }
    if (is_strange)
        muster__reader_note_in(reader, folder, sharer_files[0].name,
                               "names CPUs that this host has not", "they are left out");
    if (count >= 0 && !has_itself)
        muster__reader_note_in(reader, folder, sharer_files[0].name,
                               count > 0 ? "leaves out its own CPU" : "names no CPU", effect);
    if (!has_itself && !reader->failure) {
        is_known = is_known && count == 0;
        count = list_core(walk);
        kept = count < 0 ? 0 : (uint32_t)count;
    }
    cache->cpus = reader->ids;
    cache->cpu_count = kept;
    return is_known;
}

/* -- the last level ------------------------------------------------------------------------- */

/* The last-level cache of the walk's CPU. Returns the index of its directory; -1: none is known. */
static int64_t find_last(struct walk *walk, struct muster_cache *last)
{
    int64_t found = -1;
    if (list_caches(walk) < 0)
        return -1;
    for (uint32_t i = 0; i < walk->count && !walk->reader->failure; i++) {
        struct muster_cache cache;
        if (!read_kind(walk, walk->indices[i], &cache) || cache.type == MUSTER_CACHE_INSTRUCTION ||
            cache.level < last->level)
            continue;
        read_size(walk, walk->indices[i], &cache);
        if (cache.level > last->level || cache.size_bytes > last->size_bytes) {
            *last = cache;
            found = walk->indices[i];
        }
    }
    return found;
}

/* Tells the CPUs that share the walk's CPU's last-level cache, and counts it if it is that CPU's.
 */
static void cover_sharers(struct walk *walk, uint32_t index, struct muster_cache *last,
                          bool *covered)
{
    struct muster_topology *topology = walk->topology;
    bool is_known = read_sharers(walk, index, last);
    if (walk->reader->failure || last->cpu_count == 0)
        return;
    if (last->cpus[0] != walk->cpu->id) {
        char folder[MUSTER__FOLDER_BYTES];
        make_folder(walk, index, folder);
        walk->reader->is_about_caches = false; /* muster_topology_caches can't see it */
        muster__reader_note_in(walk->reader, folder, sharer_files[0].name,
                               "names a CPU that says otherwise", "the cache is left out");
        walk->reader->is_about_caches = true;
        return;
    }
    for (uint32_t i = 0; i < last->cpu_count; i++) {
        struct muster_cpu *cpu = muster__topology_cpu(topology, last->cpus[i]);
        if (is_known && cpu->cache_cpu < 0)
            cpu->cache_cpu = (int32_t)walk->cpu->id;
        covered[cpu - topology->cpus] = true;
    }
    if (last->size_bytes > topology->last_level_cache_bytes)
        topology->last_level_cache_bytes = last->size_bytes;
    if (__builtin_add_overflow(topology->last_level_cache_total_bytes, last->size_bytes,
                               &topology->last_level_cache_total_bytes))
        topology->last_level_cache_total_bytes = UINT64_MAX;
}

/* One CPU of each sharing set is read: 16 files per CPU would be 130,000 on the largest hosts. */
int muster__topology_read_caches(struct muster__reader *reader, struct muster_topology *topology)
{
    struct walk walk = {.reader = reader, .topology = topology};
    bool *covered = calloc(topology->cpu_count, sizeof *covered);
    if (covered == NULL)
        return -ENOMEM;
    reader->is_about_caches = true;
    for (uint32_t i = 0; i < topology->cpu_count && !reader->failure; i++) {
        if (!topology->cpus[i].online || covered[i])
            continue;
        walk.cpu = &topology->cpus[i];
        struct muster_cache last = {.level = 0};
        int64_t index = find_last(&walk, &last);
        if (index >= 0 && !reader->failure)
            cover_sharers(&walk, (uint32_t)index, &last, covered);
    }
    reader->is_about_caches = false;
    free(covered);
    free(walk.indices);
    return reader->failure;
}

/* -- all ------------------------------------------------------------------------------------ */

/* The caches that are the walk's CPU's. */
static int show_caches(struct walk *walk,
                       int (*visit)(const struct muster_cache *cache, void *context), void *context)
{
    if (list_caches(walk) < 0)
        return walk->reader->failure;
    for (uint32_t i = 0; i < walk->count; i++) {
        struct muster_cache cache;
        if (!read_kind(walk, walk->indices[i], &cache))
            continue;
        (void)read_sharers(walk, walk->indices[i], &cache);
        if (walk->reader->failure)
            return walk->reader->failure;
        if (cache.cpu_count == 0 || cache.cpus[0] != walk->cpu->id)
            continue;
        read_size(walk, walk->indices[i], &cache);
        int status = walk->reader->failure ? walk->reader->failure : visit(&cache, context);
        if (status)
            return status;
    }
    return 0;
}

static void drop_cache_notes(struct muster_topology *topology)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < topology->note_count; i++)
        if (!topology->notes[i].is_about_caches)
            topology->notes[kept++] = topology->notes[i];
    topology->note_count = kept;
}

int muster_topology_caches(const char *root, struct muster_topology *topology,
                           int (*visit)(const struct muster_cache *cache, void *context),
                           void *context)
{
    struct muster__reader reader;
    int status = muster__reader_open(&reader, root);
    if (status)
        return status;
    reader.is_about_caches = true;
    struct walk walk = {.reader = &reader, .topology = topology};
    for (uint32_t i = 0; i < topology->cpu_count && status == 0; i++) {
        walk.cpu = &topology->cpus[i];
        if (walk.cpu->online)
            status = show_caches(&walk, visit, context);
    }
    if (status == 0) {
        drop_cache_notes(topology);
        status = muster__reader_give_notes(&reader, topology);
    }
    free(walk.indices);
    muster__reader_close(&reader);
    return status;
}
