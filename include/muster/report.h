/* report.h - the audit of a loop: what the ranks recorded, not what the schedule dealt. */
#ifndef MUSTER_REPORT_H
#define MUSTER_REPORT_H

#include <muster/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A run of neighbouring chunks with the same fault. */
struct muster_finding {
    uint64_t first;
    uint64_t end;
    uint32_t repeated; /* 0: missing; 1: committed more than once */
    uint32_t reserved;
};

/* A worker that died in a loop. */
struct muster_report_death {
    uint64_t chunk; /* it was working on; UINT64_MAX: on none */
    uint32_t rank;
    int32_t pid;
    int32_t signal;    /* that killed it; 0: it left by itself */
    int32_t exit_code; /* where signal is 0 */
    uint32_t attempt;  /* the number of the attempt at that chunk, from 1 */
    uint32_t stalled;  /* 1: the team killed it, because its chunk took longer than stall_ns */
};

/* The audit of a loop: what the ranks recorded, not what the schedule dealt. */
struct muster_report {
    uint64_t chunks;       /* that the loop has */
    uint64_t exactly_once; /* of them, committed once */
    uint64_t missing;      /* never committed */
    uint64_t repeated;     /* committed more than once */
    uint64_t redone;       /* whose worker died, and which were then done by another process */
    uint64_t elements;     /* of the loop */
    uint64_t grain;        /* elements a chunk; the last may have fewer */
    uint32_t size;         /* ranks of the team */
    uint32_t schedule;     /* enum muster_schedule */
    uint32_t clean;        /* 1: every chunk exactly once */
    uint32_t cancelled;    /* 1: the loop was asked to end early */
    /* Lists, by rising chunk or rank, deaths in the order seen. Of many faults the first thousand
     * of each kind. */
    const struct muster_finding *findings; /* what is missing or repeated */
    uint64_t finding_count;
    const struct muster_report_death *deaths;
    uint64_t death_count;
    const uint64_t *quarantined; /* chunks left alone, among the missing, with their old contents */
    uint64_t quarantined_count;
    const uint32_t *vacant; /* ranks without a process: nobody could be started for them */
    uint64_t vacant_count;
    const char *text; /* one line: "4096 chunks, each exactly once, by 8 ranks" */
};

#ifdef __cplusplus
}
#endif

#endif
