/* work.h - kernels in C, as they travel from the leader to the ranks. */
#ifndef MUSTER_CORE_WORK_H
#define MUSTER_CORE_WORK_H

#include <muster/core/loop.h>
#include <muster/kernel.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Which array a use stands for, as it travels to the ranks. */
struct muster_work_use {
    uint64_t team;         /* the leader's own mark; of no use to a rank */
    uint64_t offset_bytes; /* of element 0, in the team's range of addresses */
    uint64_t count;
    uint32_t array;
    uint32_t generation;
    uint64_t element_bytes;
    uint32_t access; /* enum muster_access */
    uint32_t flags;  /* enum muster_use_flag (leader.h): of no use to a rank */
    uint64_t elements_per_index;
};

/* How a C kernel's function is named to the ranks. */
enum muster_work_naming {
    MUSTER_WORK_BY_ADDRESS = 0, /* ranks were forked from the leader */
    MUSTER_WORK_IN_PROGRAM =
        1,                  /* muster_program_offset: ranks are other processes of this program */
    MUSTER_WORK_IN_FILE = 2 /* struct muster_place: ranks have loaded the same file */
};

/* The head of a C kernel's bytes in the job slot; uses and then arguments follow. */
struct muster_work_order {
    uint64_t kernel;      /* its address, or its offset in the program or the file */
    uint64_t build, name; /* MUSTER_WORK_IN_FILE: of struct muster_place */
    uint32_t naming;      /* enum muster_work_naming */
    uint32_t use_count;
    uint32_t argument_bytes;
    uint32_t reserved;
};

/* How a C kernel failed. */
struct muster_work_failure {
    int32_t status; /* that it returned */
    char message[MUSTER_MESSAGE_BYTES];
};

/* Runs a C kernel over this rank's chunks.
 *
 * loop: begun. order: in shared memory; validated. order_bytes: room there, all of it readable.
 * Returns: 0; 1: the kernel failed, and *failure says how: the chunk is the one before loop->next,
 * and is to be undone; -ENOEXEC: this process has no such function; -ESTALE: it has loaded another
 * build of the function's file; -EUCLEAN: the order makes no sense. */
int muster_work_run(struct muster_loop *loop, const void *order, uint64_t order_bytes,
                    struct muster_work_failure *failure);

#ifdef __cplusplus
}
#endif

#endif
