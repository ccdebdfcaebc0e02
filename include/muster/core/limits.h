/* limits.h - what this process may have, and how much of it a team takes.
 *
 * A team reserves far more addresses than it touches: room for every loop's rolls, and a range in
 * which arrays come to lie. Where a resource limit (setrlimit(2)) leaves less, it reserves less;
 * how much is decided here and nowhere else. What does not fit at all is a shortage: it names the
 * limit, its value, and what would have been needed.
 */
#ifndef MUSTER_CORE_LIMITS_H
#define MUSTER_CORE_LIMITS_H

#include <muster/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What can run short. */
enum muster_limit {
    MUSTER_LIMIT_NONE = 0,  /* no limit of this process's is to blame, as far as is known */
    MUSTER_LIMIT_ADDRESSES, /* RLIMIT_AS, ulimit -v */
    MUSTER_LIMIT_DATA,      /* RLIMIT_DATA, ulimit -d */
    MUSTER_LIMIT_FILE_SIZE, /* RLIMIT_FSIZE, ulimit -f: shared memory is a file */
    MUSTER_LIMIT_STACK,     /* RLIMIT_STACK, ulimit -s */
    MUSTER_LIMIT_LOCKED, /* RLIMIT_MEMLOCK, ulimit -l: binds a process that has called mlockall */
    MUSTER_LIMIT_PROCESSES,      /* RLIMIT_NPROC, ulimit -u */
    MUSTER_LIMIT_FILES,          /* RLIMIT_NOFILE, ulimit -n */
    MUSTER_LIMIT_GROUP_PROCESSES /* pids.max of a cgroup */
};

/* What this process may have and has taken, in bytes. UINT64_MAX: no limit; 0 taken where /proc
 * does not say. */
struct muster_limits {
    uint64_t address_bytes, address_used_bytes;
    uint64_t data_bytes, data_used_bytes;
    uint64_t file_bytes; /* of one file */
    uint64_t stack_bytes;
    uint64_t locked_bytes;
    uint64_t page_bytes;
};

/* What ran short. */
struct muster_shortage {
    uint32_t limit; /* enum muster_limit */
    uint32_t reserved;
    uint64_t most;   /* the limit's value: bytes, or a number of processes or descriptors */
    uint64_t used;   /* of it, before; 0: not known */
    uint64_t needed; /* in addition to what is used */
};

/* What a team reserves. */
struct muster_reservation {
    uint64_t chunk_capacity; /* of each rank's roll */
    uint64_t journal_bytes;  /* of each rank */
    uint64_t control_bytes;  /* all rolls and journals, and the rest of the control segment */
    uint64_t space_bytes;    /* for arrays: arena and window */
    uint64_t arena_bytes;
};

/* Reads the limits of this process, now.
 *
 * Where reserved addresses take memory, as under some emulators of user programs, the limit on
 * addresses is what is taken and 4 GiB. */
void muster_limits_read(struct muster_limits *limits);

/* Decides what a team reserves.
 *
 * limits: as read. ranks: of the team, which has rolls and journals for them; fixed_bytes: of its
 * control segment without them. Without limits: rolls for MUSTER_CHUNKS_MAX chunks, journals of
 * MUSTER_JOURNAL_BYTES_MAX, and 8 TiB, of which a quarter is the arena. A file is at most
 * file_bytes long. Of addresses, the control segment takes at most a quarter of what is left, or
 * what it needs at the least. Arrays get three quarters of the rest, and half of what is beyond 8
 * GiB. What remains is the program's. Returns: 0; -ENOMEM, -EFBIG: it does not fit, with what is
 * short in *shortage. */
int muster_reservation_plan(const struct muster_limits *limits, uint32_t ranks,
                            uint64_t fixed_bytes, struct muster_reservation *reservation,
                            struct muster_shortage *shortage);

/* The same for a launcher's segment, which each member maps whole: rolls, and no arrays.
 *
 * It takes at most an eighth of the addresses that a process may have, or what it needs at the
 * least, and no more than 64 GiB. chunk_capacity: receives the rolls' capacity. */
int muster_reservation_members(const struct muster_limits *limits, uint32_t ranks,
                               uint64_t fixed_bytes, uint64_t *chunk_capacity,
                               struct muster_shortage *shortage);

/* Takes the next smaller space, after the system has refused one without saying why.
 *
 * Returns: 0; -ENOMEM: there is no smaller one. */
int muster_reservation_shrink(struct muster_reservation *reservation);

/* What ran short where an array or a file of so many bytes finds no room in a team's space.
 *
 * limits: as when the team was made, or as they are now but for what the team itself has taken.
 * Returns: 1, with the limit on addresses that would leave the room; 0: no limit is to blame. */
int muster_reservation_shortage(const struct muster_limits *limits, uint32_t ranks,
                                uint64_t fixed_bytes, uint64_t bytes,
                                struct muster_shortage *shortage);

/* Whether this process may have so many bytes more of addresses and data: 0, or -ENOMEM with
 * *shortage. For programs that can't go on where memory is refused to them. */
int muster_limits_memory(uint64_t more, struct muster_shortage *shortage);

/* Whether so many descriptors more can be opened: 0, or -EMFILE with *shortage. */
int muster_limits_files(uint64_t more, struct muster_shortage *shortage);

/* What is likely to blame for a failure: looks at the limits that can cause it.
 *
 * status: the negative errno. needed: bytes of the mapping or file that was refused (-ENOMEM,
 * -EFBIG, -EAGAIN of a mapping), descriptors (-EMFILE), or processes (-EAGAIN of a fork: then
 * `processes`). */
void muster_limits_blame(int status, uint64_t needed, bool processes,
                         struct muster_shortage *shortage);

/* A shortage as a clause: which limit, its value, what was needed, and how to raise it.
 *
 * text: receives at most size_bytes, NUL-terminated; without limit to blame it becomes empty.
 * Returns: the clause's length. */
int muster_shortage_text(const struct muster_shortage *shortage, char *text, size_t size_bytes);

#ifdef __cplusplus
}
#endif

#endif
