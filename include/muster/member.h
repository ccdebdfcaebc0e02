/* member.h - a rank of a program that is started as a team, as under mpirun.
 *
 * `muster run -n 8 ./program` starts the program eight times; each process joins, knows its rank
 * and the team's size, and calls what is here in the same order as all others. Started alone, the
 * same program is a team of one. The launcher holds no rank and takes no part in what ranks do
 * together: they meet in shared memory, and it watches them.
 *
 *     struct muster_member *me;
 *     int status = muster_join(&me);
 *     if (status == 0)
 *         status = work(me);
 *     while (status == -EOWNERDEAD && (status = muster_recover(me)) == 0)
 *         status = work(me);
 *
 * Collective. A function marked so is called by every rank, in the same order, with the same
 * arguments but for the data; where ranks are found to have called different ones, all of them get
 * -EINVAL. It returns in a rank only once every rank has called it.
 *
 * Deaths. When a rank dies, or leaves, every collective call of the others that needs it returns
 * -EOWNERDEAD at once, in those that wait and in those that come later, until they have called
 * muster_recover. As in MPI's ULFM, one rank may have come through the very call that fails in
 * another; both then fail in the next. A loop with MUSTER_LOOP_ADOPT goes on without the dead.
 *
 * Why no wait is missed. A rank that waits for others looks at words that each of them writes in
 * its own slot, and at `breaks`, which the launcher raises with every change of the team's ranks.
 * Before it sleeps it reads its own bell, sets its sleeping flag (seq_cst), and looks once more; it
 * then sleeps only while the bell is as it was read. A process that may have ended the wait
 * publishes first (seq_cst), then reads the flag, and rings if it is set. In the one order that all
 * seq_cst operations have, either the flag is seen or the second look sees what was published; and
 * a ring between the look and the sleep changes the bell, so the sleep does not begin. A process
 * that is killed between publishing and ringing leaves a death behind. At each death the launcher
 * raises `breaks` and rings every bell, flags or not. So the bell's count is the broken bit of
 * every word that a rank sleeps on. A rank that was not looking can't miss it. There are no locks
 * in shared memory: nothing that a dead rank held is waited for. Should the launcher itself die,
 * the kernel kills its members (their sockets carry SIGKILL as their signal of input), and one that
 * the kernel could not be told about finds the socket closed within half a second.
 *
 * Same bits. Partial results of a loop are kept by chunk and combined over chunk numbers, so they
 * are the same for any number of ranks, schedule and death. What ranks contribute themselves is
 * combined in rank order: the same bits in every rank and every run of the same size.
 *
 * Callers: one thread at a time of the process that joined. A process that it forks afterwards
 * is no member: the team's memory and arrays are not inherited, so that two processes never work as
 * one rank. Functions return -EPERM there; an access to an array, and a loop that it goes on with,
 * end it with SIGSEGV. Read what a child needs before the fork.
 */
#ifndef MUSTER_MEMBER_H
#define MUSTER_MEMBER_H

#include <muster/chunk.h>
#include <muster/report.h>
#include <muster/schedule.h>
#include <muster/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Room for a name of a loop or an array, with its NUL. */
#define MUSTER_NAME_BYTES 64u

/* Most bytes of one chunk's partial result. */
#define MUSTER_PARTIAL_BYTES_MAX 4096u

struct muster_member;

/* -- joining and leaving -------------------------------------------------------------------- */

/* How to join. All zero but size_bytes: as the environment says. */
struct muster_join_options {
    uint32_t size_bytes; /* sizeof this struct, as the caller was compiled */
    int32_t spin_ns;     /* how long a wait spins before it sleeps; 0: as the launcher chose; -1:
                            not at all */
    const char *address; /* of the launcher; NULL: MUSTER_TEAM, and where that is not set, alone */
    uint32_t rank;       /* with an address: the rank to ask for */
    uint32_t reserved;
};

/* The identity of a member. */
struct muster_member_description {
    uint32_t size_bytes;  /* in: sizeof this struct, as the caller was compiled */
    uint32_t rank;        /* in this team: 0..<size */
    uint32_t size;        /* ranks of this team */
    uint32_t global_rank; /* across all hosts of an outer launcher: 0..<global_size */
    uint32_t global_size;
    int32_t node;         /* home node by the kernel's number; -1: the launcher chose none */
    int32_t cpu;          /* that the launcher bound it to; -1: none, or several */
    uint32_t incarnation; /* 1; one more with each restart of this rank */
    uint32_t alone;       /* 1: not started by a launcher of Muster's */
};

/* Joins the team that this process was started for.
 *
 * The rank is the one in the environment (MUSTER_RANK) and is asked for at the launcher's socket
 * (MUSTER_TEAM); the process that joins is the one that is watched, also if another program started
 * it. Without MUSTER_TEAM it becomes a team of one, unless MUSTER_SIZE says that it was one of
 * several. The member keeps a socket open: a process that closes it, as by executing another
 * program, leaves the team.
 *
 * me: receives the member. Returns: 0. -EBUSY: a live process holds the rank. -EINVAL: no such
 * rank, or MUSTER_RANK is no number. -EALREADY: this process holds the rank (alone, each call makes
 * another team of one). -ENOTCONN: MUSTER_SIZE is above 1 and MUSTER_TEAM is not set, or empty; or
 * another launcher (mpirun, srun, ...) started several of these without `muster run`:
 * muster_join_advice says which. -ENOTUNIQ: two launchers' variables disagree. -ECONNREFUSED: no
 * launcher at this address. -EPERM: it belongs to another user. -EACCES: MUSTER_TEAM or MUSTER_SIZE
 * is set and this process has privileges that its environment's owner may lack. -ECONNRESET: it
 * ended meanwhile. -ESHUTDOWN: the rank was given up, or its process has left. -EPROTO, -EUCLEAN:
 * what the launcher sent is not a team of this version, or makes no sense. -ENOMEM: also of address
 * space: about 1 GiB a rank, 64 GiB at most, nearly all of it untouched. Under a limit (ulimit -v)
 * the team takes an eighth of that limit at most, and its loops have room for fewer chunks.
 * -EMFILE; or an errno. Ownership: muster_leave. */
int muster_join(struct muster_member **me);

/* Joins a team with options: muster_join where `options` is NULL.
 *
 * options: see the struct. Returns: as muster_join; -EINVAL: a size_bytes that this library does
 * not know. Ownership: muster_leave. */
int muster_join_with(const struct muster_join_options *options, struct muster_member **me);

/* Says in one line what to do about a status of muster_join.
 *
 * status: what it returned. text: receives the line without a newline, cut to size_bytes; 512 are
 * enough. Returns: 0; -EINVAL: size_bytes is 0. */
int muster_join_advice(int status, char *text, size_t size_bytes);

/* Leaves the team: unmaps its arrays and frees the member. Not collective; a call that still needs
 * this rank fails in the others as if it had died. Leaving is final: a process that asks for the
 * rank again gets -ESHUTDOWN. NULL is allowed.
 *
 * me: not to be used afterwards, also after an error. Returns: 0; -ECONNRESET: the launcher is
 * gone; -EPERM: this process was forked by the member's; or an errno of sendmsg: the launcher has
 * learnt of it by the closed socket. */
int muster_leave(struct muster_member *me);

/* Describes a member.
 *
 * description: size_bytes set by the caller. Returns: 0, or -EINVAL: a size_bytes that this library
 * does not know. */
int muster_member_describe(const struct muster_member *me,
                           struct muster_member_description *description);

/* The member's rank. Returns: 0..<size. */
uint32_t muster_member_rank(const struct muster_member *me);

/* The team's size: ranks that it was started with, dead ones included. */
uint32_t muster_member_size(const struct muster_member *me);

/* Whether a rank takes part in collective calls, as of the last muster_recover.
 *
 * rank: any number. Returns: 1, or 0: it died and was not replaced, it left, or is no rank. */
int muster_member_alive(const struct muster_member *me, uint32_t rank);

/* Makes collective calls work again after a death. Collective over the survivors. If the launcher
 * starts dead ranks again, also over their replacements, which it waits for. Ranks and size stay as
 * they were; vacant ranks are left out. A replacement calls it first: its other collective calls
 * return -EOWNERDEAD until then. Where nothing has happened it returns at once.
 *
 * Further deaths while it waits are taken in. Returns: 0; -ECONNRESET: the launcher is gone;
 * -EUCLEAN: what the team's memory says of its ranks makes no sense; -EPERM: this process was
 * forked by the member's. */
int muster_recover(struct muster_member *me);

/* -- meeting -------------------------------------------------------------------------------- */

/* How two values become one: of each type but MUSTER_TYPE_F16 and MUSTER_TYPE_BOOL. Integers wrap
 * around. */
enum muster_operation {
    MUSTER_OP_SUM = 1,
    MUSTER_OP_PRODUCT = 2,
    MUSTER_OP_MIN = 3, /* right < left ? right : left */
    MUSTER_OP_MAX = 4, /* left < right ? right : left */
    MUSTER_OP_AND = 5, /* bits; integers only */
    MUSTER_OP_OR = 6,
    MUSTER_OP_XOR = 7
};

/* What a scan leaves in each rank or chunk. */
enum muster_scan {
    MUSTER_SCAN_THROUGH = 0, /* everything up to and with its own (MPI_Scan) */
    MUSTER_SCAN_BEFORE = 1   /* everything before its own (MPI_Exscan); the first: the identity */
};

/* Waits until every rank has come here. Collective.
 *
 * What a rank wrote before is seen by all after. Returns: 0; -EOWNERDEAD: a rank died or left;
 * -EINVAL: ranks called different functions; -ECONNRESET: the launcher is gone; -EPERM: this
 * process was forked by the member's. */
int muster_member_barrier(struct muster_member *me);

/* Gives every rank the bytes of one. Collective.
 *
 * data: in `root` what to send, in the others where it goes. size_bytes: the same in all. root:
 * 0..<size, alive. Returns: as muster_member_barrier, and -EINVAL: no such root. Outputs are
 * undefined after an error. */
int muster_member_broadcast(struct muster_member *me, void *data, uint64_t size_bytes,
                            uint32_t root);

/* Combines one array of each rank, value by value, into one rank's. Collective.
 *
 * data: `count` values; in `root` replaced by the results, in the others left alone. type: enum
 * muster_type. operation: enum muster_operation. Combined in a binary tree over the ranks that are
 * alive. Returns: as muster_member_broadcast, and -EINVAL: no such type, or operation for it. */
int muster_member_reduce(struct muster_member *me, void *data, uint64_t count, uint32_t type,
                         uint32_t operation, uint32_t root);

/* Combines one array of each rank, value by value, into every rank's, with the same bits in all.
 * Collective.
 *
 * data: `count` values, replaced by the results. type: enum muster_type. operation: enum
 * muster_operation. Combined in a binary tree over the ranks that are alive. Returns: as
 * muster_member_reduce. */
int muster_member_all_reduce(struct muster_member *me, void *data, uint64_t count, uint32_t type,
                             uint32_t operation);

/* Gives each rank what the ranks up to it, or before it, combine to. Collective.
 *
 * data: `count` values, replaced by the results. type: enum muster_type. operation: enum
 * muster_operation. scan: enum muster_scan. Combined from rank 0 up. Returns: as
 * muster_member_reduce, and -EINVAL: no such scan. */
int muster_member_scan(struct muster_member *me, void *data, uint64_t count, uint32_t type,
                       uint32_t operation, uint32_t scan);

/* -- arrays --------------------------------------------------------------------------------- */

/* Maps an array that all ranks share, and makes it where there is none of this name. Collective.
 *
 * A new one is zero; each rank touches its own static share first, which puts those pages on its
 * node. It lives as long as the launcher: a restarted rank finds it with its contents. The same
 * name again gives the same address in this process.
 *
 * name: 1 to MUSTER_NAME_BYTES - 1 bytes, no control characters. size_bytes: at least 1. address:
 * receives where it lies in this process, page-aligned; other processes have other addresses.
 * Returns: as muster_member_barrier, and -EINVAL: a name or size that can't be, or the array has
 * another size; -ENOMEM: the memory is not there; -EFBIG: no file may be as long (RLIMIT_FSIZE);
 * -EMFILE: no descriptor is left (RLIMIT_NOFILE); -ENOSPC: MUSTER_ARRAYS_MAX arrays exist;
 * -EUCLEAN: what the launcher sent is no array's memory.
 * Where one rank fails, all do. Ownership: the member; unmapped by muster_leave. */
int muster_member_array(struct muster_member *me, const char *name, uint64_t size_bytes,
                        void **address);

/* -- loops ---------------------------------------------------------------------------------- */

/* Options of a loop. */
enum muster_member_loop_flag {
    MUSTER_LOOP_ADOPT = 1 /* a chunk may be begun again by another rank (it writes only memory that
                             it does not read): the survivors run what the dead have left */
};

/* An array that a loop deals: an index of the loop stands for `elements_per_index` neighbouring
 * elements of it, a row, and its chunks are whole rows (muster_chunk_elements). The same rules as
 * of a team's loops: an array that is written has exactly elements x elements_per_index elements,
 * or MUSTER_USE_PREFIX and more; where none is written, one that is no MUSTER_USE_GATHER has. */
struct muster_member_use {
    const void *address;    /* that muster_member_array gave */
    uint32_t access;        /* enum muster_access; nothing is journaled */
    uint32_t flags;         /* enum muster_use_flag, added up */
    uint32_t element_bytes; /* 1 or more */
    uint32_t reserved;
    uint64_t elements_per_index; /* 0: 1 */
};

/* A loop. */
struct muster_member_loop_options {
    uint32_t size_bytes;    /* sizeof this struct, as the caller was compiled */
    uint32_t schedule;      /* enum muster_schedule, all but MUSTER_SCHEDULE_LISTED */
    uint64_t elements;      /* indices of the whole loop: elements, or rows of them */
    uint64_t grain;         /* indices a chunk; 0: chosen, by their number, the size of a row and
                               that of partial results: see muster_schedule_grain_of_rows */
    uint64_t batch;         /* chunks a claim: cyclic, dynamic, least of guided; 0: 1 */
    uint32_t partial_bytes; /* what each chunk leaves behind for muster_member_loop_reduce and
                               _scan, up to MUSTER_PARTIAL_BYTES_MAX; 0: nothing */
    uint32_t flags;         /* enum muster_member_loop_flag */
    const char *name;       /* for the launcher's report, as an array's: 1 to MUSTER_NAME_BYTES - 1
                               bytes, no control characters; NULL: "loop" */
    const struct muster_member_use *uses; /* arrays that it deals: use_count of them. NULL: they are
                                             not named, and nothing is known of their lengths */
    uint32_t use_count;                   /* at most MUSTER_ARRAYS_MAX */
    uint32_t reserved;
};

/* A loop in work. Private, but for the inline functions below. */
struct muster_member_loop {
    struct muster_cursor cursor;
};

/* Chunks of a loop. */
uint64_t muster_member_loop_chunks(const struct muster_member_loop *loop);

/* Begins a loop. Collective. Room for partial results, chunks x partial_bytes rounded up to a power
 * of two, is kept for later loops of that size until the team ends.
 *
 * options: the same in all ranks, the name too, but for the addresses. loop: receives the loop,
 * valid until the next one begins. Returns: as muster_member_array, since partial results lie in
 * one; and -EINVAL: options that can't be, or a size_bytes that this library does not know, or a
 * loop is open; -ERANGE: the lengths of the arrays don't fit its elements
 * (muster_member_loop_advice says which); -E2BIG: more chunks than the team has room for.
 * Ownership: the member; ended by muster_member_loop_end. */
int muster_member_loop_begin(struct muster_member *me,
                             const struct muster_member_loop_options *options,
                             struct muster_member_loop **loop);

/* Says in words which array does not fit a loop's elements, and what to do, for -ERANGE.
 *
 * options: of that loop. text: receives a line, at most `text_bytes` with its NUL. Returns: 1; 0:
 * every array fits, and text is empty. */
int muster_member_loop_advice(const struct muster_member *me,
                              const struct muster_member_loop_options *options, char *text,
                              size_t text_bytes);

/* Claims the next interval, or waits for the end. Called by muster_member_loop_next.
 *
 * Returns: as muster_member_loop_next. */
int muster_member_loop_claim(struct muster_member_loop *loop, struct muster_chunk *chunk);

/* Hands out the next chunk.
 *
 * In a loop with MUSTER_LOOP_ADOPT the last call waits until all ranks are through, since what a
 * dead one has left may still come. chunk: receives it. Returns: 1; 0: nothing is left for this
 * rank. -EOWNERDEAD: a rank died and the loop does not adopt. -ENOMEM: this rank can't list what
 * the dead have left. -EINVAL: another rank could not go on, or no loop is open. -ECONNRESET: the
 * launcher is gone. -EUCLEAN: the team's memory has been overwritten. -EPERM: this process was
 * forked by the member's. After 0 or an error call muster_member_loop_end. */
MUSTER_INLINE int muster_member_loop_next(struct muster_member_loop *loop,
                                          struct muster_chunk *chunk)
{
    /* Relaxed: its meaning is looked at in the call. The line changes only at a death. */
    struct muster_cursor *cursor = &loop->cursor;
    if (__builtin_expect(cursor->next == cursor->end, 0) ||
        __builtin_expect(__atomic_load_n(cursor->breaks, __ATOMIC_RELAXED) != cursor->watched, 0) ||
        __builtin_expect(cursor->slow_path, 0))
        return muster_member_loop_claim(loop, chunk);
    muster_cursor_hand_out(cursor, chunk);
    return 1;
}

/* muster_member_loop_commit as a function, for languages that call C through its symbols. */
void muster_member_loop_commit_call(struct muster_member_loop *loop,
                                    const struct muster_chunk *chunk);

/* Commits a chunk, after the last store into what it stands for. A chunk that is handed out and
 * never committed shows in the audit as missing.
 *
 * chunk: handed out by this loop. */
MUSTER_INLINE void muster_member_loop_commit(struct muster_member_loop *loop,
                                             const struct muster_chunk *chunk)
{
    if (!muster_cursor_commit(&loop->cursor, chunk->index))
        muster_member_loop_commit_call(loop, chunk);
}

/* Where a chunk leaves its partial result: to be written before its commit.
 *
 * chunk: handed out. Returns: partial_bytes bytes, aligned to 16 if partial_bytes is a multiple of
 * 16, otherwise to 8 or less alike; NULL: the loop has none. */
MUSTER_INLINE void *muster_member_loop_partial(const struct muster_member_loop *loop,
                                               const struct muster_chunk *chunk)
{
    return loop->cursor.partials ? loop->cursor.partials + chunk->index * loop->cursor.partial_bytes
                                 : NULL;
}

/* muster_member_loop_next as a function, for languages that call C through its symbols.
 *
 * Returns: as muster_member_loop_next. */
int muster_member_loop_next_call(struct muster_member_loop *loop, struct muster_chunk *chunk);

/* muster_member_loop_partial as a function, for languages that call C through its symbols. */
void *muster_member_loop_partial_call(const struct muster_member_loop *loop,
                                      const struct muster_chunk *chunk);

/* Ends a loop: waits for all ranks and audits what they committed. Collective.
 *
 * report: size_bytes set by the caller; set on success and with -EBADMSG; may be NULL. Returns: 0:
 * each chunk was committed exactly once. -EBADMSG: some were not, see the report. -EOWNERDEAD: a
 * rank died and the loop does not adopt. -EINVAL: a size_bytes that this library does not know,
 * ranks called different functions, or no loop is open. -ECONNRESET: the launcher is gone.
 * -EUCLEAN: the team's memory has been overwritten. -ENOMEM: for the audit. -EPERM: this process
 * was forked by the member's. The loop is over, also after an error, but for -EPERM. */
int muster_member_loop_end(struct muster_member_loop *loop, struct muster_report *report);

/* Combines the partial results of an ended loop, in a binary tree over chunk numbers: the same bits
 * in every rank, for any number of ranks, and as Team.run gives in Swift. Not collective: every
 * rank that wants the result does it, before its next loop begins.
 *
 * combine: a function. result: receives partial_bytes bytes; left alone where the loop has no
 * chunks. Returns: 0; -EINVAL: the loop has no partial results or did not end well; -ENOMEM. */
int muster_member_loop_combine(struct muster_member_loop *loop, muster_combine combine,
                               void *context, void *result);

/* muster_member_loop_combine for arrays of numbers: partial results are partial_bytes /
 * muster_type_bytes(type) values each.
 *
 * result: receives partial_bytes bytes; the identity where the loop has no chunks. Returns: as
 * muster_member_loop_combine, and -EINVAL: no such type or operation for it, or no whole number of
 * values. */
int muster_member_loop_reduce(struct muster_member_loop *loop, uint32_t type, uint32_t operation,
                              void *result);

/* Gives for each chunk of an ended loop what the chunks up to it, or before it, combine to: the
 * same bits in every rank, for any number of ranks. Not collective, as muster_member_loop_combine.
 *
 * results: receives partial_bytes bytes a chunk. type: enum muster_type. operation: enum
 * muster_operation. scan: enum muster_scan. Combined from chunk 0 up. Returns: 0; -EINVAL: the loop
 * has no partial results or did not end well, no such type, scan, or operation for the type, or no
 * whole number of values. */
int muster_member_loop_scan(struct muster_member_loop *loop, uint32_t type, uint32_t operation,
                            uint32_t scan, void *results);

#ifdef __cplusplus
}
#endif

#endif
