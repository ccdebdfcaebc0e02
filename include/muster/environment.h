/* environment.h - what the environment says about the launcher that started this process.
 *
 * Several hosts, or several teams on one host, are started by mpirun, srun and their like: each
 * process of theirs becomes one `muster run`, a *host* with a number and a count. Rank and size
 * across all hosts follow from them: global rank = host rank x n + rank, global size = hosts x n,
 * with the same n on every host. Nothing but variables is read: no library of any launcher.
 *
 *   launcher                         rank                  size
 *   Muster itself (muster run)       MUSTER_GLOBAL_RANK    MUSTER_GLOBAL_SIZE
 *   Open MPI                         OMPI_COMM_WORLD_RANK  OMPI_COMM_WORLD_SIZE
 *   PMIx                             PMIX_RANK             none
 *   MPICH and others by PMI (Hydra)  PMI_RANK              PMI_SIZE
 *   Slurm, inside srun               SLURM_PROCID          SLURM_STEP_NUM_TASKS
 *   Flux                             FLUX_TASK_RANK        FLUX_JOB_SIZE
 *   Kubernetes, indexed job          JOB_COMPLETION_INDEX  none
 *
 * Launchers lie in one another (Open MPI's processes have PMIx's variables too, a Flux task has
 * PMI's), so every one that left a rank is heard, and all must say the same; where they do not, no
 * guess is made. MUSTER_HOST_RANK and MUSTER_HOST_SIZE come before all of them, each for itself:
 * for launchers that are not in the table, for sizes that nobody gives, and to end a disagreement.
 * A `muster run` inside another one is a host of it, for any other variables that were inherited. A
 * Slurm batch script is no task of srun's, though it has SLURM_PROCID=0: that one counts only
 * together with SLURM_STEP_NUM_TASKS.
 */
#ifndef MUSTER_ENVIRONMENT_H
#define MUSTER_ENVIRONMENT_H

#include <muster/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/* -- what `muster run` gives each rank ------------------------------------------------------- */

#define MUSTER_VARIABLE_RANK "MUSTER_RANK"
#define MUSTER_VARIABLE_SIZE "MUSTER_SIZE"
#define MUSTER_VARIABLE_LOCAL_RANK                                                                 \
    "MUSTER_LOCAL_RANK"                           /* rank on this host: the same as the rank       \
                                                   */
#define MUSTER_VARIABLE_NODE        "MUSTER_NODE" /* home node, the kernel's number */
#define MUSTER_VARIABLE_CPU         "MUSTER_CPU"  /* absent: bound to none */
#define MUSTER_VARIABLE_GLOBAL_RANK "MUSTER_GLOBAL_RANK"
#define MUSTER_VARIABLE_GLOBAL_SIZE "MUSTER_GLOBAL_SIZE"
#define MUSTER_VARIABLE_TEAM        "MUSTER_TEAM" /* address of the launcher's socket */
#define MUSTER_VARIABLE_INCARNATION                                                                \
    "MUSTER_INCARNATION" /* 1; one more each time it is restarted                                  \
                          */

/* -- the launcher of this process ----------------------------------------------------------------
 */

/* Launchers that are recognised, in the order in which they are heard. */
enum muster_outer {
    MUSTER_OUTER_NONE = 0,
    MUSTER_OUTER_EXPLICIT, /* MUSTER_HOST_RANK */
    MUSTER_OUTER_MUSTER,
    MUSTER_OUTER_OPEN_MPI,
    MUSTER_OUTER_PMIX,
    MUSTER_OUTER_PMI,
    MUSTER_OUTER_SLURM,
    MUSTER_OUTER_FLUX,
    MUSTER_OUTER_KUBERNETES
};

/* A variable that was heard. */
struct muster_environment_variable {
    const char *name;     /* a constant; NULL: none */
    const char *launcher; /* in words, "Open MPI"; a constant */
    uint32_t value;       /* 0 where it is not a number */
    uint32_t outer;       /* enum muster_outer */
};

/* What was found. */
struct muster_environment {
    uint32_t host_rank;                      /* 0 where nobody else started this process */
    uint32_t host_size;                      /* 1 where nobody else started this process */
    struct muster_environment_variable rank; /* the one that decided host_rank */
    struct muster_environment_variable size; /* the one that decided host_size */
};

/* Reads which launcher started this process.
 *
 * variables: NULL-ended "NAME=VALUE" texts; NULL: the environment of this process.
 * found: set in full on success; after -ENOTUNIQ, -EINVAL, -ENODATA and -ERANGE its rank and size
 *        are the variables at fault (a name that is NULL: only the other is), for
 *        muster_environment_describe. Values are parsed as decimal digits only.
 * Returns: 0, also where there is no launcher (rank.name is NULL then); -ENOTUNIQ: two disagree;
 *          -EINVAL: a value that is no number up to 2^31 - 1; -ENODATA: a rank, but nobody gives
 *          the size, or MUSTER_HOST_SIZE, but nobody gives a rank (another launcher's size alone
 *          is no launcher); -ERANGE: the rank is not below the size. */
int muster_environment_read(const char *const *variables, struct muster_environment *found);

/* Says in one line what muster_environment_read found: which variables decided, or what is at fault
 * and what to do about it.
 *
 * status: what it returned. text: receives the line without a newline, NUL-terminated, cut to
 * size_bytes; 512 are enough. Returns: 0; -EINVAL: size_bytes is 0. */
int muster_environment_describe(int status, const struct muster_environment *found, char *text,
                                size_t size_bytes);

#ifdef __cplusplus
}
#endif

#endif
