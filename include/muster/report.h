/* report.h - audits of loops: what the ranks recorded, not what the schedule dealt. */
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

/* The audit of a loop, or of several loops whose reports were added. A leader, the members of a
 * launched team and their launcher fill the same struct; what one of them can't know is 0 or NULL.
 */
struct muster_report {
    uint32_t size_bytes;     /* sizeof this struct, as its maker was compiled */
    uint32_t size;           /* ranks of the team; of added reports the largest */
    uint64_t loops;          /* that were audited: 1, or more in a sum */
    uint64_t failed;         /* of them, with a chunk that was not committed exactly once */
    uint64_t chunks;         /* of the loops */
    uint64_t exactly_once;   /* of them, committed once */
    uint64_t missing;        /* never committed */
    uint64_t repeated;       /* committed more than once */
    uint64_t redone;         /* whose worker died, and which another process did again */
    uint64_t adopted;        /* of members: left by dead ranks and run by survivors */
    uint64_t own;            /* of members: committed by this rank */
    uint64_t elements;       /* of the loops */
    uint64_t grain;          /* elements a chunk; the last may have fewer; in a sum, the first's */
    uint32_t schedule;       /* enum muster_schedule; in a sum, the first's */
    uint32_t clean;          /* 1: every loop was audited, and every chunk committed once */
    uint32_t cancelled;      /* 1: a loop was asked to end early */
    uint32_t interrupted_by; /* rank that was gone in the last interrupted loop; UINT32_MAX: none,
                                or it is not known which */
    uint64_t interrupted;    /* loops that a death ended before their audit: in no count above */
    uint64_t interrupted_chunks;         /* of the last of them */
    uint64_t interrupted_committed;      /* of those chunks, by all ranks together */
    struct muster_finding first_finding; /* lowest chunks with a fault, of the first loop that has
                                            one; first == end: none */
    uint32_t first_finding_ranks[2];     /* that committed them; UINT32_MAX: none */
    uint64_t death_count;                /* workers that died, or gave up, while the loops ran */
    uint64_t finding_count;
    uint64_t quarantined_count;
    uint64_t vacant_count;
    uint64_t failed_chunk; /* of a leader's loop: whose kernel returned other than 0; UINT64_MAX: no
                              kernel did */
    uint32_t failed_rank;  /* of a leader's loop: that ran it; UINT32_MAX: no kernel did */
    uint32_t reserved;
    /* Lists of a leader's loop, by rising chunk or rank, deaths in the order seen; NULL in other
     * reports and in sums, which have the numbers alone. Of many findings the first thousand of
     * each kind. */
    const struct muster_finding *findings; /* what is missing or repeated */
    const struct muster_report_death *deaths;
    const uint64_t *quarantined; /* chunks left alone, among the missing, with their old contents */
    const uint32_t *vacant;      /* ranks without a process: nobody could be started for them */
    const char
        *text; /* of a leader's loop, one line: "4096 chunks, each exactly once, by 8 ranks" */
};

/* Adds a report to a sum: of several loops, or of parts of one loop that several teams have run.
 *
 * sum: all zero before the first; counts are added, lists and text become NULL; a failed chunk is
 * of one loop only, and there is none in a sum. report: any, with a size_bytes that this header
 * knows. Returns: 0; -EINVAL: report has another size_bytes, and sum is left alone. */
static inline int muster_report_add(struct muster_report *sum, const struct muster_report *report)
{
    if (report->size_bytes != sizeof *report)
        return -EINVAL;
    if (sum->loops == 0 && sum->interrupted == 0) { /* the first */
        sum->size_bytes = (uint32_t)sizeof *sum;
        sum->interrupted_by = UINT32_MAX;
    }
    if (sum->loops == 0) { /* interrupted ones have neither */
        sum->grain = report->grain;
        sum->schedule = report->schedule;
    }
    if (sum->failed == 0) {
        sum->first_finding = report->first_finding;
        sum->first_finding_ranks[0] = report->first_finding_ranks[0];
        sum->first_finding_ranks[1] = report->first_finding_ranks[1];
    }
    if (report->size > sum->size)
        sum->size = report->size;
    sum->loops += report->loops;
    sum->failed += report->failed;
    sum->chunks += report->chunks;
    sum->exactly_once += report->exactly_once;
    sum->missing += report->missing;
    sum->repeated += report->repeated;
    sum->redone += report->redone;
    sum->adopted += report->adopted;
    sum->own += report->own;
    sum->elements += report->elements;
    sum->cancelled |= report->cancelled;
    sum->failed_chunk = UINT64_MAX;
    sum->failed_rank = UINT32_MAX;
    if (report->interrupted > 0) {
        sum->interrupted += report->interrupted;
        sum->interrupted_chunks = report->interrupted_chunks;
        sum->interrupted_committed = report->interrupted_committed;
        sum->interrupted_by = report->interrupted_by;
    }
    sum->death_count += report->death_count;
    sum->finding_count += report->finding_count;
    sum->quarantined_count += report->quarantined_count;
    sum->vacant_count += report->vacant_count;
    sum->clean = sum->failed == 0 && sum->interrupted == 0;
    sum->findings = NULL;
    sum->deaths = NULL;
    sum->quarantined = NULL;
    sum->vacant = NULL;
    sum->text = NULL;
    return 0;
}

#ifdef __cplusplus
}
#endif

#endif
