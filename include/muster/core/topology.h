/* topology.h - nodes, CPUs, memory and distances of this host, or of a recorded /sys tree.
 *
 * Everything is read when asked, since CPUs go off line and cpusets change; what a program that
 * starts one team after the other asks again and again can be recalled. Node ids are the kernel's
 * and may have gaps, so loop over `nodes`, never over 0..<count of ids. A recorded tree is a
 * directory with the files of /sys (and, where it has them, /proc) under the same relative paths;
 * it needs no privileges and no NUMA. What it says in proc/self/status was allowed to the process
 * that recorded it.
 *
 * No file is required. Kernels, firmware, hypervisors and containers leave files out, empty them or
 * fake them. What no file says is unknown, and a note names the file that should have said it. The
 * CPUs that sched_getaffinity names are enough to run a team.
 */
#ifndef MUSTER_CORE_TOPOLOGY_H
#define MUSTER_CORE_TOPOLOGY_H

#include <muster/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Bytes of a note, its NUL included. */
#define MUSTER_NOTE_BYTES 448

/* One NUMA node that is on line. */
struct muster_node {
    uint32_t id;                 /* the kernel's number */
    uint32_t cpu_count;          /* on-line CPUs that are known to be of this node; 0 for a node of
                                    memory only (CXL, HBM) */
    uint64_t memory_total_bytes; /* 0: none, or unknown */
    uint64_t memory_free_bytes;  /* at most the total; 0: none, or unknown */
    uint32_t allowed;    /* 1: has memory, and this process's cpuset lets it allocate here */
    uint32_t has_memory; /* 0: none. 1: some; its size is unknown if the total is 0 */
    uint32_t knows_free; /* 1: memory_free_bytes was read */
    uint32_t home;       /* id of the node where pages lie that a CPU of this one touches first: its
                            own one if allowed; any other is asked of the kernel, or predicted for a
                            recorded host */
};

/* One logical CPU that the host could have. */
struct muster_cpu {
    uint32_t id;  /* the kernel's number */
    int32_t node; /* id of its node; -1: unknown, as for most CPUs that are off line */
    int32_t core; /* core_id, unique only with its package; -1: unknown, or off line */
    int32_t
        package; /* physical_package_id, which some hosts give twice; -1: unknown, or off line */
    uint32_t online;  /* 1: on line */
    uint32_t allowed; /* 1: this process may run on it (affinity and cpuset) */
    /* Lowest number of an on-line CPU on the same core: SMT siblings have the same one. Its own
     * number where it is alone, off line, or the host does not say. */
    uint32_t core_cpu;
    /* Lowest number of an on-line CPU in the same package; -1: unknown, or off line. Packages are
     * told apart by this, not by their numbers. */
    int32_t package_cpu;
    /* Lowest number of an on-line CPU that shares its last-level cache; -1: unknown. */
    int32_t cache_cpu;
};

/* What could not be read of a host, or had to be taken from elsewhere: the file, what is wrong with
 * it, and what follows. */
struct muster_note {
    uint32_t is_about_caches;
    char text[MUSTER_NOTE_BYTES];
};

/* A host as it was when read. Owned by the caller, freed by muster_topology_destroy. */
struct muster_topology {
    struct muster_node *nodes; /* node_count of them, by rising id */
    struct muster_cpu *cpus;   /* cpu_count of them, by rising id */
    uint32_t *distances;       /* node_count x node_count, row = from; by position, not by id; SLIT
                                  values, 10 = local, 0 = the host does not say */
    struct muster_note *notes; /* note_count of them; NULL where there are none */
    uint32_t node_count;
    uint32_t cpu_count;
    uint32_t usable_cpu_count; /* on line and allowed: how many ranks have a CPU each */
    uint32_t note_count;
    uint64_t last_level_cache_bytes;       /* the largest last-level cache of a CPU; 0: unknown */
    uint64_t last_level_cache_total_bytes; /* all distinct last-level caches of known size */
    uint64_t page_bytes; /* the base page; 0: a recorded host, since /sys does not say */
};

/* Reads a host.
 *
 * root: NULL for this host; otherwise a directory that holds `sys/devices/system/node` and so on,
 * as recorded. In a recorded tree without proc/self/status and without files of a cpuset, every
 *       on-line CPU and every node with memory counts as allowed.
 * topology: set to a new topology on success.
 * Returns: 0; -ENOENT: root is not there, or has no file that names a CPU; -ENOTDIR;
 *          -ENAMETOOLONG: root's own path; -ENOMEM; -EMFILE, -ENFILE: no descriptor to read with.
 *          Anything else that can't be read or makes no sense is unknown, and noted. A number that
 *          can be read in several files is taken from the first that makes sense. Where two files
 *          contradict each other, hwloc's rules decide: see host/nodes.c and host/cpus.c.
 *          A host without node directories (a kernel without NUMA) is one node 0 with all CPUs and
 *          the memory of proc/meminfo. A host that changes meanwhile is read again, a few times.
 * Ownership: the caller frees it with muster_topology_destroy.
 * Source: Documentation/ABI/stable/sysfs-devices-node, sysfs-devices-system-cpu. */
int muster_topology_create(const char *root, struct muster_topology **topology);

/* Reads this host, but for what can't have changed since this function read it last: cores,
 * packages, caches and distances are read again only where other CPUs or nodes are on line, or
 * other nodes have memory. Sizes of memory are what they were then. A tenth of the cost of
 * muster_topology_create, whose result, errors and ownership it has. Concurrency: any thread; one
 * that comes while another is at it reads all. */
int muster_topology_recall(struct muster_topology **topology);

/* A cache, while muster_topology_caches shows it. */
enum muster_cache_type {
    MUSTER_CACHE_UNKNOWN = 0,
    MUSTER_CACHE_DATA = 1,
    MUSTER_CACHE_INSTRUCTION = 2,
    MUSTER_CACHE_UNIFIED = 3,
};
struct muster_cache {
    uint64_t size_bytes; /* 0: unknown */
    const uint32_t
        *cpus; /* numbers of the on-line CPUs that share it, rising; valid in the visit */
    uint32_t cpu_count;
    uint32_t level; /* 1: the nearest to the core */
    uint32_t type;  /* enum muster_cache_type */
    uint32_t reserved;
};

/* Shows each cache of a host's on-line CPUs once.
 *
 * root: as the topology was made with. topology: gets the notes about caches that this reading has,
 *       instead of those it had. visit: a non-zero return ends the walk and is returned.
 * Returns: 0; what `visit` returned; -ENOMEM; -EMFILE; -ENFILE. */
int muster_topology_caches(const char *root, struct muster_topology *topology,
                           int (*visit)(const struct muster_cache *cache, void *context),
                           void *context);

/* Frees a topology. NULL is allowed. */
void muster_topology_destroy(struct muster_topology *topology);

/* Finds a node by its kernel number.
 *
 * Returns: its position in `nodes`, or -ENOENT. */
int muster_topology_node_position(const struct muster_topology *topology, uint32_t id);

/* Says where the calling thread runs at this moment; it may be elsewhere by the time this returns.
 *
 * cpu, node: the kernel's numbers.
 * Returns: 0, or an errno of getcpu (-ENOSYS in some sandboxes).
 * Source: getcpu(2). */
int muster_topology_here(uint32_t *cpu, uint32_t *node);

/* Parses a kernel list such as "0-3,8,10-11\n" or the empty list.
 *
 * text: the list, NUL-terminated. Numbers rise strictly, so none comes twice. Blanks and tabs are
 *       allowed around commas and at both ends, and one final newline.
 * ids: receives the first `capacity` numbers; may be NULL with capacity 0 to count.
 * Returns: how many numbers the list has (may exceed capacity), or -EUCLEAN for anything that is
 *          not such a list, a falling range or list, or a number above 1,048,575; ids may then hold
 *          part of it.
 * Source: Documentation/admin-guide/cputopology.rst, "cpulist". */
int64_t muster_list_parse(const char *text, uint32_t *ids, size_t capacity);

#ifdef __cplusplus
}
#endif

#endif
