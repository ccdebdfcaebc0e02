/* topology_read.h - the files of one host, live or recorded, below one root. Private to the C core.
 *
 * What topology.c and topology_caches.c share while a host is read.
 */
#ifndef MUSTER_TOPOLOGY_READ_H
#define MUSTER_TOPOLOGY_READ_H

#include <muster/topology.h>

#define MUSTER__CPUS  "sys/devices/system/cpu"
#define MUSTER__NODES "sys/devices/system/node"

/* One for the whole of a reading, so that its room is allocated once. */
struct muster__reader {
    const char *root; /* what stands before "/sys": "" for this host */
    bool is_live;     /* this host, not a recorded one */
    char *text;       /* the file that was read last */
    uint32_t *ids;    /* the list that was parsed last */
    uint64_t ids_capacity;
};

/* root: as in muster_topology_create; must outlive the reader. */
int muster__reader_open(struct muster__reader *reader, const char *root);
void muster__reader_close(struct muster__reader *reader);

/* Reads a file below the root into reader->text. -ENOENT where there is none; -EUCLEAN for one that
 * is too long or not text. */
__attribute__((format(printf, 2, 3))) int muster__reader_file(struct muster__reader *reader,
                                                              const char *path, ...);

/* muster__os_list of a directory below the root. `visit` may use the reader. */
__attribute__((format(printf, 4, 5))) int
muster__reader_list(struct muster__reader *reader, int (*visit)(const char *name, void *context),
                    void *context, const char *path, ...);

/* Parses a list into reader->ids. Returns how many numbers it has; -EUCLEAN; -ENOMEM. */
int64_t muster__reader_ids(struct muster__reader *reader, const char *list);

/* The CPU of this number. NULL when the host can't have it. */
struct muster_cpu *muster__topology_cpu(const struct muster_topology *topology, uint32_t id);

/* Say of a topology that has its CPUs, or its nodes from node directories, which of them this
 * process may use. */
int muster__topology_read_allowed_cpus(struct muster__reader *reader,
                                       struct muster_topology *topology);
int muster__topology_read_allowed_nodes(struct muster__reader *reader,
                                        struct muster_topology *topology);

/* Sets the homes of a topology that has its distances, and which of its nodes are allowed. Returns:
 * 0 or -ENOMEM. */
int muster__topology_read_homes(struct muster__reader *reader, struct muster_topology *topology);

/* Sets the cache sizes of a topology that has its CPUs. */
int muster__topology_read_caches(struct muster__reader *reader, struct muster_topology *topology);

#endif
