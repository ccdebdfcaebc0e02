/* space.c - the range of addresses in which a team's arrays lie, and the memory there may be.
 *
 * Invariant: free extents are sorted, apart, never touching (neighbours are merged), and together
 * with the allocated ones cover arena and window exactly. Nothing here is in shared memory.
 */
#include <muster/core/limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "memory/arena.h"

#define GIB             (1ull << 30)
#define UNIT            MUSTER__SPACE_UNIT
#define EXTENTS_MOST    (2 * MUSTER_ARRAYS_MAX + 4)
#define DONT_DUMP       16 /* MADV_DONTDUMP */
#define CGROUP_ROOT     "/sys/fs/cgroup"
#define PATH_BYTES_MOST 4352

/* Reserves size_bytes so that array and huge-page borders agree: at a multiple of UNIT, or, if that
 * is little compared with the whole, of 1 GiB, which is a huge page as well. A page before it stays
 * reserved too: what lies before the first array is nobody's. */
static int reserve(struct muster_space *space)
{
    void *address = NULL;
    uint64_t unit = space->size_bytes < 64 * GIB ? UNIT : GIB;
    int status = muster__os_map(-1, 0, space->size_bytes + unit, false, NULL, &address);
    if (status < 0)
        return status;
    uint64_t page = muster__os_page_bytes();
    uintptr_t start = (uintptr_t)address, aligned = (start + page + unit - 1) / unit * unit;
    /* The spare ends go back. */
    if (aligned - page > start)
        muster__os_unmap(address, aligned - page - start);
    if (aligned - start < unit)
        muster__os_unmap((void *)(aligned + space->size_bytes), unit - (aligned - start));
    space->address = (unsigned char *)aligned;
    return 0;
}

/* Maps the arena: no piece of it can be accessed before it is somebody's. */
static int map_arena(struct muster_space *space, int fd)
{
    void *address = NULL;
    int status = muster__os_map(fd, 0, space->arena_bytes, true, space->address, &address);
    if (status == 0)
        muster__os_forbid(space->address, space->arena_bytes);
    return status;
}

int muster_space_create(struct muster_space *space)
{
    struct muster_limits limits;
    struct muster_reservation planned;
    struct muster_shortage shortage;
    muster_limits_read(&limits);
    int status = muster_reservation_plan(&limits, 0, 0, &planned, &shortage);
    return status < 0 ? status : muster__space_make(&planned, space);
}

int muster__space_make(struct muster_reservation *planned, struct muster_space *space)
{
    struct muster_space made = {.arena_fd = -1};
    made.free_extents = malloc(EXTENTS_MOST * sizeof *made.free_extents);
    if (!made.free_extents)
        return -ENOMEM;
    int status;
    /* Half as much again and again: an aarch64 kernel may have 39-bit addresses, the thread
     * sanitizer its own layout, and mlockall a limit of its own (-EAGAIN). Valgrind has less than
     * the CPU, and says -EINVAL. */
    do {
        made.size_bytes = planned->space_bytes;
        status = reserve(&made);
    } while ((status == -ENOMEM || status == -EAGAIN || status == -EINVAL) &&
             muster_reservation_shrink(planned) == 0);
    if (status < 0) {
        free(made.free_extents);
        return status;
    }
    made.arena_bytes = planned->arena_bytes;

    int fd = muster__os_memfd("muster-arrays");
    status = fd < 0 ? fd : muster__os_truncate(fd, made.arena_bytes);
    if (status == 0)
        status = muster__os_seal_size(fd);
    if (status == 0)
        status = map_arena(&made, fd);
    made.arena_fd = fd;
    if (status < 0) {
        muster_space_destroy(&made);
        return status;
    }
    (void)muster__os_advise(made.address, made.size_bytes, DONT_DUMP);
    made.free_extents[0] = (struct muster_extent){0, made.arena_bytes};
    made.free_extents[1] =
        (struct muster_extent){made.arena_bytes, made.size_bytes - made.arena_bytes};
    made.free_count = 2;
    made.free_capacity = EXTENTS_MOST;
    *space = made;
    return 0;
}

int muster_space_attach(int arena_fd, uint64_t size_bytes, uint64_t arena_bytes,
                        struct muster_space *space)
{
    if (size_bytes > MUSTER__SPACE_MOST || size_bytes % UNIT != 0 || arena_bytes > size_bytes ||
        arena_bytes == 0 || arena_bytes % UNIT != 0)
        return -EUCLEAN;
    uint64_t file_bytes = 0;
    uint32_t mode_bits = 0;
    int status = muster__os_stat(arena_fd, &file_bytes, &mode_bits);
    if (status < 0)
        return status;
    int sealed = muster__os_sealed_size(arena_fd);
    if (sealed < 0)
        return sealed == -EINVAL ? -EUCLEAN : sealed; /* no memfd at all */
    if (!sealed || file_bytes != arena_bytes)
        return -EUCLEAN;
    struct muster_space made = {
        .size_bytes = size_bytes, .arena_bytes = arena_bytes, .arena_fd = -1};
    status = reserve(&made);
    if (status < 0)
        return status;
    status = map_arena(&made, arena_fd);
    if (status < 0) {
        muster_space_destroy(&made);
        return status;
    }
    (void)muster__os_advise(made.address, made.size_bytes, DONT_DUMP);
    *space = made;
    return 0;
}

void muster_space_destroy(struct muster_space *space)
{
    if (!space->address)
        return;
    uint64_t page = muster__os_page_bytes();
    muster__os_unmap(space->address - page, space->size_bytes + page);
    if (space->arena_fd >= 0)
        muster__os_close(space->arena_fd);
    free(space->free_extents);
    *space = (struct muster_space){.arena_fd = -1};
}

/* Takes `wanted` bytes out of a gap, `before` bytes after its start. */
static int take(struct muster_space *space, uint32_t index, uint64_t before, uint64_t wanted,
                struct muster_extent *extent)
{
    struct muster_extent *gap = &space->free_extents[index];
    struct muster_extent rest = {gap->offset_bytes + before + wanted,
                                 gap->size_bytes - before - wanted};
    if (before > 0 && rest.size_bytes > 0) {
        if (space->free_count == space->free_capacity)
            return -ENOMEM;
        memmove(gap + 1, gap, (space->free_count - index) * sizeof *gap);
        space->free_count++;
        gap[1] = rest;
        gap->size_bytes = before;
    } else if (before > 0) {
        gap->size_bytes = before;
    } else if (rest.size_bytes > 0) {
        *gap = rest;
    } else {
        space->free_count--;
        memmove(gap, gap + 1, (space->free_count - index) * sizeof *gap);
    }
    *extent = (struct muster_extent){rest.offset_bytes - wanted, wanted};
    return 0;
}

/* The first gap that is large enough, `apart` bytes behind its start. */
static int allocate_apart(struct muster_space *space, uint64_t wanted, uint64_t alignment_bytes,
                          uint64_t apart, bool window, struct muster_extent *extent)
{
    for (uint32_t i = 0; i < space->free_count; i++) {
        struct muster_extent *gap = &space->free_extents[i];
        uint64_t past = ((uintptr_t)space->address + gap->offset_bytes) % alignment_bytes;
        bool is_first = gap->offset_bytes == 0 || gap->offset_bytes == space->arena_bytes;
        uint64_t before = past ? alignment_bytes - past : is_first ? 0 : apart;
        if ((gap->offset_bytes >= space->arena_bytes) == window && gap->size_bytes >= before &&
            gap->size_bytes - before >= wanted)
            return take(space, i, before, wanted, extent);
    }
    return -ENOMEM;
}

/* Whether addresses are so many that most of them may lie between arrays. */
static bool has_plenty(const struct muster_space *space)
{
    return space->size_bytes >= 4 * MUSTER_ARRAYS_MAX * MUSTER__GUARD_BYTES;
}

/* An extent ends with a page that is nobody's; where there is more room, there is more between
 * two, see os.h. */
static int allocate(struct muster_space *space, uint64_t size_bytes, uint64_t alignment_bytes,
                    bool window, struct muster_extent *extent)
{
    if (size_bytes > space->size_bytes)
        return -ENOMEM;
    uint64_t wanted = (size_bytes + muster__os_page_bytes() + UNIT - 1) / UNIT * UNIT;
    if (alignment_bytes == UNIT && has_plenty(space) &&
        allocate_apart(space, wanted, UNIT, MUSTER__GUARD_BYTES, window, extent) == 0)
        return 0;
    if (wanted >= MUSTER__LARGE_BYTES && alignment_bytes == UNIT &&
        allocate_apart(space, wanted, UNIT, MUSTER__APART_BYTES, window, extent) == 0)
        return 0;
    return allocate_apart(space, wanted, alignment_bytes, 0, window, extent);
}

int muster_space_allocate(struct muster_space *space, uint64_t size_bytes, bool window,
                          struct muster_extent *extent)
{
    struct muster_extent found;
    int status = allocate(space, size_bytes, UNIT, window, &found);
    if (status == 0 && !window) {
        status = muster__room_open(space, found, size_bytes);
        if (status < 0)
            muster_space_free(space, found);
    }
    if (status == 0)
        *extent = found;
    return status;
}

int muster_space_allocate_aligned(struct muster_space *space, uint64_t size_bytes,
                                  uint64_t alignment_bytes, struct muster_extent *extent)
{
    if (alignment_bytes == 0 || alignment_bytes % UNIT != 0)
        return -EINVAL;
    /* Another process's space begins elsewhere, at a multiple of what reserve() chooses. */
    if (alignment_bytes > UNIT && (alignment_bytes > GIB || space->size_bytes < 64 * GIB))
        return -ENOMEM;
    return allocate(space, size_bytes, alignment_bytes, true, extent);
}

void muster_space_free(struct muster_space *space, struct muster_extent extent)
{
    if (extent.size_bytes == 0)
        return;
    bool window = extent.offset_bytes >= space->arena_bytes;
    if (!window) {
        muster__room_close(space, extent);
        if (muster__os_punch(space->arena_fd, extent.offset_bytes, extent.size_bytes) < 0)
            return; /* what is not zero again must not be given out again */
        /* A policy belongs to the object and outlives its pages. */
        muster__os_forget_policy(space->address + extent.offset_bytes, extent.size_bytes);
    }
    uint32_t at = 0;
    while (at < space->free_count && space->free_extents[at].offset_bytes < extent.offset_bytes)
        at++;
    uint64_t end = extent.offset_bytes + extent.size_bytes;
    struct muster_extent *list = space->free_extents;
    bool joins_left = at > 0 &&
                      list[at - 1].offset_bytes + list[at - 1].size_bytes == extent.offset_bytes &&
                      extent.offset_bytes != space->arena_bytes;
    bool joins_right =
        at < space->free_count && list[at].offset_bytes == end && end != space->arena_bytes;
    if (joins_left && joins_right) {
        list[at - 1].size_bytes += extent.size_bytes + list[at].size_bytes;
        space->free_count--;
        memmove(&list[at], &list[at + 1], (space->free_count - at) * sizeof *list);
    } else if (joins_left) {
        list[at - 1].size_bytes += extent.size_bytes;
    } else if (joins_right) {
        list[at].offset_bytes = extent.offset_bytes;
        list[at].size_bytes += extent.size_bytes;
    } else if (space->free_count < space->free_capacity) {
        memmove(&list[at + 1], &list[at], (space->free_count - at) * sizeof *list);
        list[at] = extent;
        space->free_count++;
    }
}

int muster_space_map(struct muster_space *space, struct muster_extent extent, int fd,
                     uint64_t file_offset_bytes, bool writable)
{
    if (extent.offset_bytes < space->arena_bytes || extent.offset_bytes > space->size_bytes ||
        extent.size_bytes > space->size_bytes - extent.offset_bytes)
        return -EINVAL;
    void *address = NULL;
    int status = muster__os_map(fd, file_offset_bytes, extent.size_bytes, writable,
                                space->address + extent.offset_bytes, &address);
    if (status == 0 && space->is_ranks)
        muster__os_keep_from_children(address, extent.size_bytes);
    return status;
}

/* -- memory --------------------------------------------------------------------------------- */

/* A file with one number, or "max" (UINT64_MAX). */
static int read_number(const char *path, uint64_t *number)
{
    char text[64];
    int64_t length = muster__os_read_text(path, text, sizeof text);
    if (length < 0)
        return (int)length;
    if (strncmp(text, "max", 3) == 0) {
        *number = UINT64_MAX;
        return 0;
    }
    char *end = NULL;
    *number = strtoull(text, &end, 10);
    return end == text ? -EUCLEAN : 0;
}

/* What the files of one version of the cgroup hierarchy are called. */
struct hierarchy {
    const char *root, *limit, *usage;
    const char *caches[2]; /* lines of memory.stat, with what is below */
};

static const struct hierarchy hierarchies[] = {
    {CGROUP_ROOT, "memory.max", "memory.current", {"\ninactive_file ", "\nactive_file "}},
    {CGROUP_ROOT "/memory",
     "memory.limit_in_bytes",
     "memory.usage_in_bytes",
     {"\ntotal_inactive_file ", "\ntotal_active_file "}},
};

/* The page cache of files that a cgroup holds, shared memory left out. */
static uint64_t reclaimable_bytes(const struct hierarchy *names, const char *group)
{
    char path[PATH_BYTES_MOST + 64], text[16384];
    snprintf(path, sizeof path, "%s%s/memory.stat", names->root, group);
    if (muster__os_read_text(path, text, sizeof text) < 0)
        return 0;
    uint64_t sum = 0;
    for (int i = 0; i < 2; i++) {
        const char *line = strstr(text, names->caches[i]);
        if (line)
            sum += strtoull(line + strlen(names->caches[i]), NULL, 10);
    }
    return sum;
}

/* Walks from a cgroup up to the root of its hierarchy. group: its path, cut on the way. */
static void limit_by_groups(const struct hierarchy *names, char *group, uint64_t *available_bytes)
{
    for (;;) {
        char path[PATH_BYTES_MOST + 64];
        uint64_t most = 0, used = 0;
        snprintf(path, sizeof path, "%s%s/%s", names->root, group, names->limit);
        /* Version 1 writes a number near 2^63 for "none". */
        bool limited = read_number(path, &most) == 0 && most < UINT64_MAX / 4;
        snprintf(path, sizeof path, "%s%s/%s", names->root, group, names->usage);
        if (limited && read_number(path, &used) == 0) {
            /* Page cache counts as used and is given back on demand. */
            uint64_t cache = reclaimable_bytes(names, group);
            used -= cache < used ? cache : used;
            uint64_t left = most > used ? most - used : 0;
            if (left < *available_bytes)
                *available_bytes = left;
        }
        char *slash = strrchr(group, '/');
        if (!slash)
            return;
        *slash = '\0';
    }
}

/* Whether "memory" is among controllers that are set off by commas. */
static bool has_memory(const char *controllers)
{
    static const char wanted[] = "memory";
    for (const char *name = controllers;; name++) {
        size_t length = strcspn(name, ",");
        if (length == sizeof wanted - 1 && strncmp(name, wanted, length) == 0)
            return true;
        name += length;
        if (*name == '\0')
            return false;
    }
}

/* The cgroups above this process, of both versions: a host may have the one or the other, or both.
 * Lines are "number:controllers:path"; version 2's has number 0 and no controllers. */
static void limit_by_cgroups(uint64_t *available_bytes)
{
    char text[2 * PATH_BYTES_MOST];
    if (muster__os_read_text("/proc/self/cgroup", text, sizeof text) < 0)
        return;
    char *rest = NULL;
    for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        char *controllers = strchr(line, ':');
        char *group = controllers ? strchr(++controllers, ':') : NULL;
        if (!group)
            continue;
        *group++ = '\0';
        if (strlen(group) >= PATH_BYTES_MOST)
            continue;
        if (*controllers == '\0')
            limit_by_groups(&hierarchies[0], group, available_bytes);
        else if (has_memory(controllers))
            limit_by_groups(&hierarchies[1], group, available_bytes);
    }
}

/* A line of a meminfo, "Node 0 MemFree:  123 kB". Returns whether it is there. */
static bool read_line(const char *text, const char *key, uint64_t *bytes)
{
    const char *line = strstr(text, key);
    unsigned long long kib = 0;
    if (!line || sscanf(line + strlen(key), " %llu kB", &kib) != 1)
        return false;
    *bytes = (uint64_t)kib * 1024;
    return true;
}

/* What the lines of a meminfo leave for arrays: shared memory counts as files ("FilePages" of a
 * node, "Cached" of the host), and can't be given up without swap. */
static bool add_up(const char *text, const char *free_key, const char *files_key, uint64_t *bytes)
{
    uint64_t available = 0, files = 0, shared = 0, slab = 0;
    if (!read_line(text, free_key, &available))
        return false;
    if (read_line(text, files_key, &files) && read_line(text, "Shmem:", &shared))
        available += files > shared ? files - shared : 0;
    if (read_line(text, "SReclaimable:", &slab))
        available += slab;
    *bytes = available;
    return true;
}

/* Adds what a node has to the sum that is the context. */
static int add_node(const char *name, void *context)
{
    uint64_t *sum = context, available = 0;
    unsigned node;
    char end;
    if (sscanf(name, "node%u%c", &node, &end) == 1 &&
        muster_memory_node_available(node, &available) == 0)
        *sum += available;
    return 0;
}

/* Without a meminfo that can be believed: what the kernel says of the nodes, or that nothing uses.
 */
static int sum_nodes(uint64_t free_bytes, uint64_t *available_bytes)
{
    uint64_t sum = 0;
    int status = muster__os_list("/sys/devices/system/node", add_node, &sum);
    if (status == -EMFILE || status == -ENFILE)
        return status;
    *available_bytes = sum > free_bytes ? sum : free_bytes;
    return 0;
}

/* Kernels before 3.14 have no MemAvailable. A container fakes the file (LXCFS shows the limits of a
 * cgroup, which need not be this process's); then its total is not the kernel's. */
static int read_available(uint64_t *available_bytes)
{
    char text[8192];
    uint64_t total = 0, all_bytes = 0, free_bytes = 0;
    int64_t length = muster__os_read_text("/proc/meminfo", text, sizeof text);
    if (length == -EMFILE || length == -ENFILE)
        return (int)length;
    int known = muster__os_memory(&all_bytes, &free_bytes);
    bool is_there = length > 0 && read_line(text, "MemTotal:", &total);
    if (!is_there && known < 0)
        return length < 0 ? (int)length : -EUCLEAN;
    if (!is_there || (known == 0 && total / 1024 != all_bytes / 1024))
        return sum_nodes(free_bytes, available_bytes);
    if (read_line(text, "MemAvailable:", available_bytes) ||
        add_up(text, "MemFree:", "\nCached:", available_bytes))
        return 0;
    return known < 0 ? -EUCLEAN : sum_nodes(free_bytes, available_bytes);
}

int muster_memory_available(uint64_t *available_bytes)
{
    uint64_t available = 0;
    int status = read_available(&available);
    if (status < 0)
        return status;
    limit_by_cgroups(&available);
    *available_bytes = available;
    return 0;
}

int muster_memory_node_available(uint32_t node, uint64_t *available_bytes)
{
    char path[64], text[8192];
    snprintf(path, sizeof path, "/sys/devices/system/node/node%u/meminfo", node);
    int64_t length = muster__os_read_text(path, text, sizeof text);
    if (length < 0)
        return (int)length;
    return add_up(text, " MemFree:", " FilePages:", available_bytes) ? 0 : -EUCLEAN;
}
