/* segment.h - shared memory without a name, and the range of addresses in which a team's arrays
 * lie.
 *
 * A segment is a memfd: it has no name in any file system, so nothing outlives the last process
 * that maps it. Its size is sealed. It starts with a header that every attach validates, and holds
 * no pointers, since processes may map it anywhere.
 *
 * A space is one reserved range of addresses per process. All arrays of a team lie in it at the
 * same offset in every process, so an offset names an array's memory everywhere. Its first part,
 * the arena, is one sparse sealed memfd for arrays of ordinary pages; the rest is a window into
 * which files are mapped.
 */
#ifndef MUSTER_CORE_SEGMENT_H
#define MUSTER_CORE_SEGMENT_H

#include <muster/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What a segment holds. */
enum muster_segment_kind {
    MUSTER_SEGMENT_CONTROL = 1,
    MUSTER_SEGMENT_ARENA = 2,
    MUSTER_SEGMENT_MEMBERS = 3 /* what the ranks of a launcher share: member.h */
};

/* The first bytes of a segment with a header. Written once, before any other process can map it. */
struct muster_segment_header {
    uint64_t magic; /* "MUSTER\r\n" */
    uint32_t layout_version;
    uint32_t kind;
    uint64_t size_bytes; /* of the whole segment */
    uint64_t checksum;   /* of the fields above, FNV-1a */
};

/* A segment mapped here. */
struct muster_segment {
    int fd;
    uint32_t reserved;
    uint64_t size_bytes;
    unsigned char *address;
};

/* Makes a segment, maps it and writes its header.
 *
 * name: what /proc/PID/maps shows, for people. size_bytes: a multiple of 4,096; address space, not
 * memory: pages come when touched.
 * Returns: 0, -ENOMEM (no such range of addresses), -EMFILE, or another errno of memfd_create,
 * ftruncate, fcntl, mmap. Ownership: muster_segment_destroy. */
int muster_segment_create(const char *name, enum muster_segment_kind kind, uint64_t size_bytes,
                          struct muster_segment *segment);

/* Maps a segment made by another process and validates it.
 *
 * fd: not taken over; duplicated by the mapping only.
 * Returns: 0; -EPROTO: another magic, kind or layout version; -EUCLEAN: the size differs from the
 * file's, is not sealed, or the checksum is wrong; or an errno. */
int muster_segment_attach(int fd, enum muster_segment_kind kind, struct muster_segment *segment);

/* Unmaps a segment and closes its descriptor. All zero, or already destroyed: nothing happens. */
void muster_segment_destroy(struct muster_segment *segment);

/* A piece of a space. */
struct muster_extent {
    uint64_t offset_bytes;
    uint64_t size_bytes;
};

/* Most pieces of an arena that are in use at a time: arrays, and the team's own. */
#define MUSTER_ROOMS_MAX (MUSTER_ARRAYS_MAX + 64u)

/* Which pieces of the arena are in use. In shared memory: written by the leader between jobs, read
 * by the ranks, which have access to these pieces and to nothing between them. */
struct muster_rooms {
    uint64_t version; /* rises with each change; stored last */
    uint64_t count;   /* of the entries below, with those that are not in use */
    uint64_t reserved[14];
    struct muster_extent rooms[MUSTER_ROOMS_MAX]; /* whole pages; size 0: not in use */
};

/* The range of addresses of a team's arrays, as one process has it. */
struct muster_space {
    unsigned char *address;
    uint64_t size_bytes;  /* arena and window */
    uint64_t arena_bytes; /* the window begins here */
    int arena_fd;
    uint32_t free_count; /* leader only: free extents, by rising offset */
    uint32_t free_capacity;
    uint32_t is_ranks; /* 1: a rank's, which its children don't get */
    struct muster_extent *free_extents;
    struct muster_rooms *rooms; /* leader only: where the ranks look; NULL: there are none */
};

/* Reserves a space and maps its arena.
 *
 * Takes 8 TiB of addresses, or what the limits of this process leave (limits.h).
 * Returns: 0; -ENOMEM; -EFBIG: not even 2 MiB may be a file's size; or an errno. Ownership:
 * muster_space_destroy. */
int muster_space_create(struct muster_space *space);

/* Reserves a space of the same size as another process's, and maps that one's arena; addresses may
 * differ, offsets mean the same.
 *
 * arena_fd: not taken over. size_bytes, arena_bytes: the other's. Returns: 0; -EUCLEAN: sizes that
 * no space has, or an arena that has another size or can be shortened; -ENOMEM; or an errno.
 * Ownership: muster_space_destroy; nothing can be allocated in it. */
int muster_space_attach(int arena_fd, uint64_t size_bytes, uint64_t arena_bytes,
                        struct muster_space *space);

/* Unmaps a space and closes its arena: all arrays are gone. */
void muster_space_destroy(struct muster_space *space);

/* Finds room for an array. Leader only; no memory is touched.
 *
 * The array's pages can be accessed from then on, in this process; what lies between two arrays
 * never can. That is at least a page, and 74 MiB where addresses are plenty.
 * size_bytes: with that page rounded up to whole 2 MiB, so that no two arrays share a huge page.
 * window: false: in the arena, zeroed; true: in the window, without access until something is
 * mapped there.
 * Returns: 0; -ENOMEM: no gap of this size is left, or this process has too many mappings.
 * Ownership: muster_space_free. */
int muster_space_allocate(struct muster_space *space, uint64_t size_bytes, bool window,
                          struct muster_extent *extent);

/* The same in the window at an address that is a multiple of `alignment_bytes`, itself one of the
 * 2 MiB, for pages of that size.
 *
 * Returns: 0; -ENOMEM: no such gap. Where a process has few addresses, pages of more than 2 MiB
 * have none. */
int muster_space_allocate_aligned(struct muster_space *space, uint64_t size_bytes,
                                  uint64_t alignment_bytes, struct muster_extent *extent);

/* Gives room back: nobody can access it any more. An arena extent's memory goes back to the system,
 * for all processes. */
void muster_space_free(struct muster_space *space, struct muster_extent extent);

/* Maps a file at an extent of the window, or (fd -1) takes the mapping away again.
 *
 * Returns: 0, -EINVAL: the extent is not in the window, or an errno of mmap. */
int muster_space_map(struct muster_space *space, struct muster_extent extent, int fd,
                     uint64_t file_offset_bytes, bool writable);

/* Memory that can be committed now without an out-of-memory kill, as far as the system says.
 *
 * available_bytes: the least of MemAvailable and what each memory cgroup above this process has
 * left. If /proc/meminfo is not there, has no MemAvailable (before Linux 3.14), or has another
 * total than the kernel's sysinfo (a container fakes it), what its other lines or the nodes have
 * free or can give up stands for it. Returns: 0; -EMFILE; -ENFILE; the errno of reading
 * /proc/meminfo, where sysinfo is refused too. Concurrency: others may take the memory between this
 * call and its use; that race remains. Source: Documentation/admin-guide/cgroup-v2.rst (memory.max,
 * memory.current). */
int muster_memory_available(uint64_t *available_bytes);

/* The same of one node: free memory, and what its caches of files can give up.
 *
 * Returns: 0; -ENOENT: no such node, or a kernel without NUMA; -EUCLEAN: its meminfo makes no
 * sense; or an errno. Source: /sys/devices/system/node/nodeN/meminfo. */
int muster_memory_node_available(uint32_t node, uint64_t *available_bytes);

#ifdef __cplusplus
}
#endif

#endif
