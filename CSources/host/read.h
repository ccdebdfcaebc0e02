/* read.h - the files of one host, live or recorded, below one root, and the notes about
 * them. Private to the C core.
 *
 * What the files of this room share while a host is read.
 */
#ifndef MUSTER_HOST_READ_H
#define MUSTER_HOST_READ_H

#include <muster/core/topology.h>

#define MUSTER__CPUS  "sys/devices/system/cpu"
#define MUSTER__NODES "sys/devices/system/node"

/* Node numbers lie below this: NODES_SHIFT is at most 10 on every architecture, and get_mempolicy
 * refuses a mask of fewer bits than the kernel has nodes. */
#define MUSTER__NODE_IDS_MAX 1024u

/* Numbers of a kernel's list lie below this. */
#define MUSTER__CPU_IDS_MAX 1048576u

/* Room for a folder's path below the root. */
#define MUSTER__FOLDER_BYTES 96u

/* What a file said that makes no sense: no system call returns these two. */
#define MUSTER__EMPTY   (-ENODATA)
#define MUSTER__GARBLED (-EUCLEAN)

struct muster__remark;

/* One for the whole of a reading, so that its room is allocated once. */
struct muster__reader {
    const char *root; /* what stands before "/sys": "" for this host */
    bool is_live;     /* this host, not a recorded one */
    bool is_blurred;  /* a file could not be read for a reason that may pass */
    int failure;      /* a status with which reading can't go on, kept for the end; 0 */
    char *text;       /* the file that was read last */
    uint32_t *ids;    /* the list that was parsed last */
    uint64_t ids_capacity;
    struct muster__remark *remarks;
    uint32_t remark_count;
    bool is_about_caches; /* what is noted from now on */
    int compute_units;    /* whether the host has AMD's: 0: not asked yet; 1; -1: it has none */
};

/* root: as in muster_topology_create; must outlive the reader. */
int muster__reader_open(struct muster__reader *reader, const char *root);
void muster__reader_close(struct muster__reader *reader);

/* Reads a file below the root into reader->text. -ENOENT where there is none; MUSTER__EMPTY;
 * MUSTER__GARBLED for one that is too long or not text; or the errno of a failed read. Of all but
 * -ENOENT a NUL at the end is no part: kernels of 2008 to 2012, and 5.15-rc1, end lists with one.
 */
__attribute__((format(printf, 2, 3))) int muster__reader_file(struct muster__reader *reader,
                                                              const char *path, ...);

/* muster__os_list of a directory below the root. `visit` may use the reader. */
__attribute__((format(printf, 4, 5))) int
muster__reader_list(struct muster__reader *reader, int (*visit)(const char *name, void *context),
                    void *context, const char *path, ...);

/* Whether there is such a directory. */
bool muster__reader_has(struct muster__reader *reader, const char *folder);

/* The numbers N of the names "headN" in a directory, rising, into reader->ids. Returns how many. */
int64_t muster__reader_names(struct muster__reader *reader, const char *folder, const char *head);

/* Parses a list into reader->ids. Returns how many numbers it has; MUSTER__GARBLED; -ENOMEM. */
int64_t muster__reader_ids(struct muster__reader *reader, const char *list);

/* The same of a bit map: "00000000,000000ff". */
int64_t muster__reader_map(struct muster__reader *reader, const char *map);

/* A file that holds a set of numbers, and how it writes them. */
struct muster__set_file {
    const char *name;
    bool is_map;
};

#define MUSTER__NO_ID UINT32_MAX

/* Reads a set into reader->ids from the first of `count` files of a folder that makes sense.
 *
 * self: a number that the set must have, or MUSTER__NO_ID, which lets it be empty.
 * effect: for the note about a file that makes no sense, if no other one does.
 * missing: the same, if no file is there; NULL: that is no loss.
 * Returns: how many numbers; -ENOENT: none of the files makes sense. */
int64_t muster__reader_set(struct muster__reader *reader, const char *folder,
                           const struct muster__set_file *files, uint32_t count, uint32_t self,
                           const char *effect, const char *missing);

/* -- notes ---------------------------------------------------------------------------------- */

/* Notes that something is wrong with a file, and what follows. Files whose paths differ in numbers
 * only are one note. `what` and `effect` are constants. */
void muster__reader_note(struct muster__reader *reader, const char *path, const char *what,
                         const char *effect);
/* The same for a file in a folder. */
void muster__reader_note_in(struct muster__reader *reader, const char *folder, const char *name,
                            const char *what, const char *effect);

/* What is wrong with a file that could not be read, in words. */
const char *muster__reader_why(int status);

/* How many notes there are. */
uint32_t muster__reader_note_count(const struct muster__reader *reader);

/* Adds them to a topology's. Returns 0 or -ENOMEM. */
int muster__reader_give_notes(const struct muster__reader *reader,
                              struct muster_topology *topology);

/* Whether reading must end: no memory, or no descriptor. Keeps the status. */
bool muster__reader_fails(struct muster__reader *reader, int64_t status);

/* -- the parts of a reading ----------------------------------------------------------------- */

/* The CPU of this number. NULL when the host can't have it. */
struct muster_cpu *muster__topology_cpu(const struct muster_topology *topology, uint32_t id);

/* Bits of CPUs, MUSTER__CPU_IDS_MAX of them. */
struct muster__cpu_mask {
    uint32_t words; /* those beyond are zero */
    uint64_t bits[MUSTER__CPU_IDS_MAX / 64];
};

/* What is known of a process's CPUs and of how it was learnt. */
enum muster__allowed_source {
    MUSTER__ALLOWED_UNKNOWN = 0,
    MUSTER__ALLOWED_LISTED,  /* in a file; CPUs that are off line may be among them */
    MUSTER__ALLOWED_ON_LINE, /* by the kernel's affinity call: they are on line */
    MUSTER__ALLOWED_EARLIER, /* by that call, before a team bound this thread */
};

/* CPUs that this process may use, or that of the recording. mask: all zero. */
enum muster__allowed_source muster__topology_allowed(struct muster__reader *reader,
                                                     struct muster__cpu_mask *mask);

/* Sets `allowed` of all CPUs, and their count, from such a mask. */
void muster__topology_allow(struct muster_topology *topology, enum muster__allowed_source source,
                            const struct muster__cpu_mask *mask);

/* Sets `allowed` of all nodes. */
void muster__topology_allow_nodes(struct muster__reader *reader, struct muster_topology *topology);

/* The CPUs that there are, which of them are on line and allowed, and their cores' and packages'
 * numbers. Returns 0; -ENOENT: no file names a CPU; -ENOMEM. */
int muster__topology_read_cpus(struct muster__reader *reader, struct muster_topology *topology);

/* Which CPUs are together on a core and in a package. Needs CPUs and their nodes. */
int muster__topology_read_groups(struct muster__reader *reader, struct muster_topology *topology);

/* Nodes, their CPUs, memory, distances. Needs CPUs. */
int muster__topology_read_nodes(struct muster__reader *reader, struct muster_topology *topology);

/* Sets the homes of a topology that has its distances, and which of its nodes are allowed. Returns:
 * 0 or -ENOMEM. */
int muster__topology_read_homes(struct muster__reader *reader, struct muster_topology *topology);

/* Sets the cache sizes of a topology that has its CPUs. */
int muster__topology_read_caches(struct muster__reader *reader, struct muster_topology *topology);

/* Calls `visit` for each processor of proc/cpuinfo, with the numbers of its core and package, -1
 * where it names none. Returns how many there are. */
uint32_t muster__topology_cpuinfo(struct muster__reader *reader,
                                  void (*visit)(uint32_t id, int32_t core, int32_t package,
                                                void *context),
                                  void *context);

/* -- signs that this host has changed ------------------------------------------------------- */

/* Texts of the lists that change with its CPUs and nodes. */
struct muster__signs {
    char *cpus;   /* on line */
    char *nodes;  /* on line */
    char *memory; /* nodes that have some */
    char *events; /* how many the kernel has told of; NULL: it does not say. Not compared: others
                     than those of CPUs and nodes are among them */
};

/* Returns 0, and the signs are to be freed; -ENOMEM, -EMFILE, -ENFILE. */
int muster__signs_read(struct muster__reader *reader, struct muster__signs *signs);
bool muster__signs_are_equal(const struct muster__signs *one, const struct muster__signs *other);
void muster__signs_free(struct muster__signs *signs);

/* Reads this host until two readings agree, or a few times. signs: get those that were there at the
 * end, to be freed. is_blurred: whether a later reading may find more. */
int muster__topology_read_live(struct muster__signs *signs, struct muster_topology **topology,
                               bool *is_blurred);

/* Whether this host's threads of one "core" are AMD's compute units: pairs of cores. */
bool muster__topology_has_compute_units(struct muster__reader *reader);

#endif
