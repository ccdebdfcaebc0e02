/* fault.h - what a rank notes, in shared memory, of the signal that ends it.
 *
 * A process that crashes can say more about it than its exit status: where it was, which address it
 * touched and how. Each rank has one note in the team's control segment. The rank's own signal
 * handler writes it, on a stack of its own and with system calls only; then the signal does what it
 * would have done. The leader reads the note when it notes the death.
 *
 * Order: every field, then `pid` with release.
 * Why: a process may die a second time while it writes.
 * Breaks otherwise: half a note, or an earlier process's, is taken for the dead rank's.
 */
#ifndef MUSTER_CORE_FAULT_H
#define MUSTER_CORE_FAULT_H

#include <muster/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What the instruction did that raised the signal. */
enum muster_fault_access {
    MUSTER_FAULT_UNKNOWN = 0, /* this CPU or this signal does not say */
    MUSTER_FAULT_READ = 1,
    MUSTER_FAULT_WRITE = 2,
    MUSTER_FAULT_EXECUTE = 3
};

/* Most return addresses in a note. */
#define MUSTER_FAULT_FRAMES 24u

/* Room for the file that an instruction is in, and for the last line that a runtime wrote. */
#define MUSTER_FAULT_PATH_BYTES 192u
#define MUSTER_FAULT_LINE_BYTES 256u

/* Most different files among a note's return addresses. */
#define MUSTER_FAULT_FILES 6u

/* Where an instruction is, in a way that other processes understand. */
struct muster_fault_frame {
    uint64_t offset_bytes; /* in the file; of a return address, of the call before it */
    uint32_t file;         /* index into the note's files; UINT32_MAX: in none */
    uint32_t reserved;
};

/* A rank's note. */
struct muster_fault {
    uint64_t pid;    /* of the process that wrote it; 0: there is none */
    int32_t signal;  /* that it was about to die of */
    int32_t code;    /* si_code */
    uint32_t access; /* enum muster_fault_access */
    uint32_t frame_count;
    uint64_t address;      /* that was touched; 0: the signal has none */
    uint64_t space_offset; /* the same in the team's range of addresses; UINT64_MAX: not in it */
    /* What check mode knows (check.h). */
    uint32_t stray; /* enum muster_stray: 0: the team's memory has nothing to do with it */
    uint32_t use;   /* number of the array's use in the loop; UINT32_MAX: not used */
    uint64_t chunk; /* in work; UINT64_MAX: none */
    uint64_t first; /* its elements, in indices of the loop */
    uint64_t end;
    uint64_t bytes;       /* that were found changed, where they were compared; 0: not known */
    uint32_t is_overflow; /* 1: the stack had no room left */
    uint32_t reserved;
    struct muster_fault_frame frames[MUSTER_FAULT_FRAMES]; /* the first: the instruction itself */
    char files[MUSTER_FAULT_FILES][MUSTER_FAULT_PATH_BYTES];
    char line[MUSTER_FAULT_LINE_BYTES]; /* what a runtime said last; empty: nothing */
};

/* Kinds of stray access to a team's memory. */
enum muster_stray {
    MUSTER_STRAY_NONE = 0,
    MUSTER_STRAY_TRAPPED = 1,  /* the CPU refused it: the instruction is known */
    MUSTER_STRAY_COMPARED = 2, /* found after the chunk, in a page that its elements share */
    MUSTER_STRAY_CONTROL = 3,  /* into the memory that the team runs by */
    MUSTER_STRAY_UNCHECKED = 4 /* none, but the system has refused what check mode needs: `bytes` is
                                  the errno */
};

/* Has the signals of a crash (SEGV, BUS, ILL, FPE, TRAP, ABRT, SYS) noted before they end this
 * process. A handler that the program has installed itself stays.
 *
 * note: this rank's, in shared memory. space, space_bytes: the team's range of addresses here.
 * Returns: 0, or -ENOMEM: no stack for the handler. Once a process. */
int muster_fault_watch(struct muster_fault *note, const void *space, uint64_t space_bytes);

/* Notes a stray access that a comparison has found, and ends this process.
 *
 * found: `stray`, `use`, `chunk`, `first`, `end`, `bytes`, `space_offset`, `access` are copied. */
MUSTER_NORETURN void muster_fault_end(const struct muster_fault *found);

/* Has the last words of a runtime (Swift's fatal error, assert's, an uncaught C++ exception's) go
 * into the note instead of to standard error: each worker that meets the same mistake would say
 * them again. Lines that only look so are written when this rank's part of the job ends, or when
 * the process exits. For ranks that belong to a leader, after muster_fault_watch. */
void muster_fault_listen(void);

/* Copies a dead process's note.
 *
 * Returns: false: it has left none; *copy is all zero. */
bool muster_fault_take(const struct muster_fault *note, uint64_t pid, struct muster_fault *copy);

#ifdef __cplusplus
}
#endif

#endif
