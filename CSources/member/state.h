/* state.h - what members and their launcher share, and what a member knows in addition. Private.
 *
 * Nothing in the segment is a pointer, and no offset is read from it: where its parts are follows
 * from the size and the rolls' capacity, which a member takes once and checks against the segment's
 * length. Each word has one writer, named next to it.
 */
#ifndef MUSTER_MEMBER_STATE_H
#define MUSTER_MEMBER_STATE_H

#include <muster/core/launcher.h>
#include <muster/core/loop.h>
#include <muster/core/segment.h>
#include <muster/core/tree.h>
#include <muster/member.h>
#include <muster/testing.h>

#include "base/hash.h"
#include "member/crash.h"
#include "os/os.h"
#include "os/wait.h"

/* What each rank can lay before the others in one meeting. Two of them, used in turns: what was
 * written for one meeting is overwritten two meetings later, when all that read it have come to the
 * meeting between. */
#define MUSTER__MAIL_BYTES 16384u

/* Notes of a rank, one for each name of a loop. The first names that come have one each; further
 * ones share one, but for those whose loops fail or are interrupted, which get what is left of the
 * notes, since they are what is looked for. Untouched notes take no memory: all of them are 90 KiB
 * of address space a rank. */
#define MUSTER__NOTES       256u
#define MUSTER__NOTES_FIRST 247u

/* What has become of a rank. Written by the launcher while `breaks` is odd, but for OPEN to HELD,
 * which changes nothing for the others. */
enum muster__state {
    MUSTER__OPEN = 0,
    MUSTER__HELD = 1,
    MUSTER__GONE = 2,
    MUSTER__LOST = 3,
    MUSTER__LEFT = 4
};

/* The first part of the segment, after its header. */
struct muster__member_block {
    /* Line 1: written before the first member joins. */
    uint32_t size;
    uint32_t spin_ns;
    uint32_t global_first;
    uint32_t global_size;
    uint64_t roll_capacity;   /* chunks that each roll has room for */
    uint64_t timeline_events; /* that each rank's list has room for; 0: none is kept */
    uint64_t yields;          /* 1: waits yield between looks, since ranks share CPUs */
    uint64_t reserved1[11];

    /* Line 2: written by the launcher. Two more with each change of the team's ranks; odd while the
     * change is made. */
    uint64_t breaks;
    uint64_t reserved2[15];

    /* Line 3: dynamic and guided: chunks dealt so far. Reset by every rank before it comes to the
     * meeting after which the first is dealt. */
    uint64_t counter;
    uint64_t reserved3[15];

    /* Line 4: the same for the list of what the dead have left. */
    uint64_t list_counter;
    uint64_t reserved4[15];
};

/* A rank's post: where it shows the others how far it is. */
struct muster__post {
    /* Line 1: written by the rank, but for the bell. */
    uint64_t generation; /* value of `breaks` that its meetings are counted from */
    uint64_t arrived;    /* number of the last meeting that it has come to in this generation */
    uint64_t call[2];    /* what it has called there: of odd and even meetings */
    uint64_t recovered;  /* value of `breaks` at its last call of muster_recover */
    uint32_t bell; /* rung by processes that have news for this rank: the word that it sleeps on */
    uint32_t sleeping; /* 1: going to sleep, or asleep */
    uint64_t reserved1[10];

    /* Line 2: written by the launcher, but for the holder. */
    uint64_t lost;        /* value of `breaks` after this rank last went; 0: never */
    uint64_t holder;      /* pid that has the rank: by compare-and-swap from 0, by its process */
    uint32_t state;       /* enum muster__state */
    uint32_t incarnation; /* from 1 */
    int32_t node;
    int32_t cpu;
    uint32_t answered; /* the incarnation whose joining has been answered, and sendmsg is over */
    uint32_t reserved3;
    uint64_t reserved2[11];
};

/* More than ranks count in years, and so little that a team's sum is an int64_t's. */
#define MUSTER__COUNT_MOST (INT64_MAX / MUSTER_RANKS_MAX)

/* In an initialiser: a report of nothing, whose fields say so where 0 would say something else. */
#define MUSTER__REPORT_OF_NOTHING                                                                  \
    .size_bytes = sizeof(struct muster_report), .interrupted_by = UINT32_MAX,                      \
    .first_finding_ranks = {UINT32_MAX, UINT32_MAX}, .failed_chunk = UINT64_MAX,                   \
    .failed_rank = UINT32_MAX

/* What the loops of one name came to, as one rank has seen it. */
struct muster__counts {
    struct muster_report report; /* the sum, without lists; interruptions as far as this rank saw */
    uint64_t last_number;        /* of the last loop that was audited: numbers rise */
    uint64_t interrupted_number; /* of the last that was interrupted */
};

/* Every rank notes every end of a loop, so that what one rank was killed over is in the others'
 * notes. counts[changes % 2] holds; the other is written first: see member/notes.c. */
struct muster__note {
    char name[MUSTER_NAME_BYTES]; /* before `used` counts it */
    uint64_t changes;
    struct muster__counts counts[2];
};

/* A loop that a rank is in. */
struct muster__open_loop {
    char name[MUSTER_NAME_BYTES];
    uint64_t number, chunks;
};

struct muster__notes {
    uint64_t used;                      /* notes in use */
    uint64_t open;                      /* odd: the rank is in a loop that it has not ended */
    struct muster__open_loop open_loop; /* which; written while `open` is even */
    uint64_t reserved[4];
    struct muster__note notes[MUSTER__NOTES];
};

/* Where the parts of a segment are: every process computes it for itself. */
struct muster__member_plan {
    uint32_t size;
    uint64_t roll_capacity;
    uint64_t posts_offset;
    uint64_t slots_offset; /* struct muster_slot: how a loop's chunks are dealt */
    uint64_t notes_offset;
    uint64_t faults_offset; /* struct muster__member_fault */
    uint64_t mail_offset;
    uint64_t rolls_offset;
    uint64_t roll_bytes;
    uint64_t timeline_events;
    uint64_t timelines_offset;
    uint64_t total_bytes;
};

/* The mapped parts. */
struct muster__member_parts {
    struct muster__member_block *block;
    struct muster__post *posts;
    struct muster_slot *slots;
    struct muster__notes *notes;
    struct muster__member_fault *faults;
    unsigned char *mail;
    unsigned char *rolls;
    unsigned char *timelines;
};

/* -- member/segment.c ----------------------------------------------------------------------- */

/* A plan without timelines. Returns: 0, or -EINVAL: no such size or capacity. */
int muster__member_plan(uint32_t size, uint64_t roll_capacity, struct muster__member_plan *plan);
void muster__member_parts(const struct muster__member_plan *plan, unsigned char *base,
                          struct muster__member_parts *parts);
/* Makes and fills a segment for a team. */
int muster__member_segment(const struct muster_launcher_options *options,
                           struct muster_segment *segment, struct muster__member_plan *plan,
                           struct muster__member_parts *parts);
/* Maps the segment behind fd and checks it. Returns: 0; -EPROTO, -EUCLEAN; or an errno. */
int muster__member_attach(int fd, struct muster_segment *segment, struct muster__member_plan *plan,
                          struct muster__member_parts *parts);
/* Makes the memory of an array. Returns: a descriptor; -ENOMEM; or an errno. */
int muster__array_memory(const char *name, uint64_t size_bytes);

/* -- what goes over the socket -------------------------------------------------------------- */

#define MUSTER__HELLO_MAGIC 0x6f6c6c6568736d75ull /* "umshello" as bytes go */

enum muster__request { MUSTER__JOIN = 1, MUSTER__LEAVE = 2, MUSTER__ARRAY = 3 };

struct muster__hello {
    uint64_t magic;
    uint32_t layout_version;
    uint32_t request; /* enum muster__request */
    uint32_t rank;
    uint32_t reserved;
    uint64_t size_bytes;          /* MUSTER__ARRAY */
    char name[MUSTER_NAME_BYTES]; /* MUSTER__ARRAY */
};

struct muster__answer {
    uint64_t magic;
    uint32_t layout_version;
    int32_t status;        /* 0: a descriptor comes with it */
    uint32_t must_recover; /* MUSTER__JOIN: others have been without this rank */
    uint32_t incarnation;  /* MUSTER__JOIN */
    uint64_t size_bytes;   /* MUSTER__ARRAY: as it exists */
};

/* -- a member ------------------------------------------------------------------------------- */

struct muster__member_array {
    char name[MUSTER_NAME_BYTES];
    uint64_t size_bytes;
    void *address;
    unsigned char *room; /* the array's pages, and what is kept free around them */
    uint64_t room_bytes;
};

/* What a member is doing; part of what ranks compare when they meet. */
enum muster__call {
    MUSTER__CALL_REFUSED = 1, /* this rank's arguments can't be */
    MUSTER__CALL_BARRIER,
    MUSTER__CALL_BROADCAST,
    MUSTER__CALL_REDUCE,
    MUSTER__CALL_ALL_REDUCE,
    MUSTER__CALL_SCAN,
    MUSTER__CALL_ARRAY,
    MUSTER__CALL_LOOP_BEGIN,
    MUSTER__CALL_LOOP_THROUGH,
    MUSTER__CALL_LOOP_ADOPT,
    MUSTER__CALL_LOOP_END
};

/* A loop of a member. Its cursor, which comes first, is the caller's struct muster_member_loop. */
struct muster__member_loop {
    struct muster_loop loop;
    struct muster_member *member;
    uint64_t own;     /* chunks that this rank has committed: set at the end */
    uint64_t adopted; /* of them, in place of dead ranks */
    uint64_t chunks;  /* of the loop */
};
_Static_assert(offsetof(struct muster_loop, cursor) == 0 &&
                   sizeof(struct muster_member_loop) == sizeof(struct muster_cursor),
               "a member's loop is known by its cursor");

struct muster_member {
    struct muster_segment control;
    struct muster__member_plan plan; /* this process's own copy: see team/state.h */
    struct muster__member_parts parts;
    struct muster__post *post;          /* of this rank */
    struct muster__member_fault *fault; /* this rank's note of its crash; NULL: none is kept */
    struct muster__member_check *check; /* NULL: no loop has been checked yet */
    struct muster__check *checker;
    const struct muster_roll **rolls;
    uint32_t rank, size;
    int pid;             /* of the process that joined */
    bool addresses_cost; /* a reservation takes memory, as in an emulator: rooms are small */
    uint64_t generation; /* UINT64_MAX: muster_recover must come first */
    uint64_t sequence;   /* meetings in this generation */
    uint32_t *states;    /* room for one a rank */
    uint32_t *live;      /* ranks that take part, by rising rank */
    uint32_t live_count;
    uint32_t live_index; /* where this rank is among them */
    uint32_t spin_ns;
    bool yields; /* between looks, for spin_ns */
    struct muster__backoff backoff;
    int socket; /* to the launcher; -1: alone */
    bool looks; /* sleepers look whether it is there: it does not take this process with it */
    char address[MUSTER_NAME_BYTES];
    struct muster_member_description description;
    struct muster__member_array *arrays;
    uint32_t array_count;

    struct muster__member_loop loop;
    bool loop_open;  /* between begin and end */
    bool loop_whole; /* ended well: its partial results hold */
    bool loop_adopts;
    bool loop_through; /* all ranks are, what the dead left included */
    int loop_status;   /* of the loop so far: sticky */
    uint64_t loop_number;
    uint64_t loop_deaths, loop_adopted;
    char loop_name[MUSTER_NAME_BYTES];
    uint64_t never; /* 0: no loop's number, so no loop is cancelled */
    struct muster_interval *holes;
    uint64_t hole_count, hole_capacity;
};

/* Whether this process was forked by the member, whose rank and memory it does not have. */
static inline bool muster__is_copy(const struct muster_member *me)
{
    return muster__os_marked_pid() != me->pid;
}

/* -- member/meeting.c ----------------------------------------------------------------------- */

uint64_t muster__call(enum muster__call kind, uint64_t a, uint64_t b, uint64_t c);

/* The number of the next meeting: of its mail and call. */
static inline uint64_t muster__next_meeting(const struct muster_member *me)
{
    return me->sequence + 1;
}

/* A rank's mail for a meeting. */
static inline unsigned char *muster__mail(const struct muster_member *me, uint32_t rank,
                                          uint64_t meeting)
{
    uint64_t turn = muster__broken == MUSTER_BROKEN_ONE_MAIL ? 0 : meeting & 1;
    return me->parts.mail + (2 * (uint64_t)rank + turn) * MUSTER__MAIL_BYTES;
}

/* Comes to the next meeting and waits for all. Returns: as muster_member_barrier. */
int muster__meet(struct muster_member *me, uint64_t call);

/* The same, waiting only for ranks that can still come: a rank that died, or that recovers, without
 * having come is counted in *gone, the same number in all that come through. Returns: 0; -EINVAL:
 * ranks called different functions; -ECONNRESET. */
int muster__meet_survivors(struct muster_member *me, uint64_t call, uint32_t *gone);

/* For arguments that can't be: comes to the meeting all the same, so that no other rank waits for
 * ever. Returns: status, or what muster__meet returns where that is worse. */
int muster__meet_refusing(struct muster_member *me, int status);

/* Whether `breaks` is as it was when this member last recovered. */
static inline bool muster__whole(const struct muster_member *me)
{
    return __atomic_load_n(&me->parts.block->breaks, __ATOMIC_ACQUIRE) == me->generation;
}

/* Whether this process can make a collective call. Returns: 0; -EPERM: it was forked by the member;
 * -EOWNERDEAD: muster_recover must come first. */
static inline int muster__ready(const struct muster_member *me)
{
    if (muster__is_copy(me))
        return -EPERM;
    return muster__whole(me) ? 0 : -EOWNERDEAD;
}

/* Takes the ranks that are in the team by these states (NULL: all) for those that meet from here
 * on. */
void muster__count_live(struct muster_member *me, const uint32_t *states);

/* -- member/operation.c
 * ---------------------------------------------------------------------------- */

/* Whether a type and an operation go together. */
bool muster__operation_fits(uint32_t type, uint32_t operation);
/* into[i] = into[i] op right[i] for `count` values. */
void muster__operate(uint32_t type, uint32_t operation, void *into, const void *right,
                     uint64_t count);
void muster__identity(uint32_t type, uint32_t operation, void *into, uint64_t count);

/* Values of which each is one. */
struct muster__numbers {
    uint32_t type, operation;
    uint64_t count;
};

/* muster__operate as a muster_combine. context: struct muster__numbers. */
void muster__combine_numbers(void *into, const void *right, void *context);

/* -- member/array.c ------------------------------------------------------------------------- */

/* Whether loops and arrays can have this name: 1 to MUSTER_NAME_BYTES - 1 bytes, none of them a
 * control character, since reports show it. */
bool muster__is_name(const char *name);
/* muster_member_array with any name. */
int muster__member_array(struct muster_member *me, const char *name, uint64_t size_bytes,
                         void **address);
void muster__forget_arrays(struct muster_member *me);

/* Asks the launcher for something and waits for its answer. fd: receives the descriptor that came
 * with it, or -1. Returns: the answer's status; or -ECONNREFUSED, -ECONNRESET, -EPROTO, an errno.
 */
int muster__ask(int socket, const struct muster__hello *hello, struct muster__answer *answer,
                int *fd);

/* -- member/loop.c -------------------------------------------------------------------------- */

/* -- member/uses.c -------------------------------------------------------------------------- */

/* Whether a loop's uses are arrays of this member's, with what can be said of them. */
bool muster__uses_can_be(const struct muster_member *me,
                         const struct muster_member_loop_options *options);
/* What ranks must agree on about a loop's arrays: their names, not where they lie. */
uint64_t muster__hash_uses(const struct muster_member *me,
                           const struct muster_member_loop_options *options, uint64_t hash);
/* Bytes of an index in the widest array that the loop deals; 0: not known. */
uint64_t muster__index_bytes(const struct muster_member_loop_options *options);

/* -- member/adopt.c ------------------------------------------------------------------------- */

/* This rank has nothing left. Returns: 1: some of what the dead have left is claimed; 0: nothing is
 * left for it; or a negative errno. */
int muster__loop_adopt(struct muster_member *me);
/* Comes to the meeting that the others are in, after something went wrong in this rank alone: they
 * get -EINVAL. Returns: status, or what muster__meet_survivors returns if that is worse. */
int muster__loop_give_up(struct muster_member *me, int status);

/* Ends the loop in work, if there is one. */
static inline void muster__close_loop(struct muster_member *me)
{
    me->loop_open = me->loop_whole = false;
    me->loop.loop.cursor.next = me->loop.loop.cursor.end =
        0; /* a late call for a chunk is noticed */
    muster__member_uncheck(me);
    muster__member_unlisten(me);
}

/* -- member/timeline.c ---------------------------------------------------------------------- */

/* Adds room for timelines to a plan. Returns: 0, or -EINVAL: too many events. */
int muster__plan_timelines(uint64_t events, struct muster__member_plan *plan);
/* Where they are kept: this rank's loop begins, its roll opened, and is over. */
void muster__timeline_begun(struct muster_member *me);
void muster__timeline_over(struct muster_member *me, bool whole);

/* What the launcher reads of a rank's. Returns: as muster_launcher_timeline. */
int muster__timeline_read(const struct muster__member_plan *plan,
                          const struct muster__member_parts *parts, uint32_t rank,
                          struct muster_launcher_timeline *timeline);

/* -- member/notes.c ------------------------------------------------------------------------- */

/* What a rank notes: it is in a loop; it no longer is. */
void muster__note_begun(struct muster_member *me);
void muster__note_over(struct muster_member *me);
/* Notes what an audit found. */
void muster__note_audit(struct muster_member *me, const struct muster_report *report);
/* Notes that a death has ended the loop, before anything is done about it. */
void muster__note_interruption(struct muster_member *me);

/* A note as it was at one moment. */
struct muster__noted {
    char name[MUSTER_NAME_BYTES];
    struct muster__counts counts;
};

/* What all ranks' notes say of one name: the index-th, in the order of their first ends. notes:
 * `size` ranks'. Returns: 1; 0: there are no more; -EUCLEAN. */
int muster__noted(const struct muster__notes *notes, uint32_t size, uint32_t index,
                  struct muster__noted *noted);
/* Notes for a rank, which is dead, that the loop it was in, if any, was interrupted. number, by: of
 * the interruption before, and the rank that was gone first; set if this is another loop's. */
void muster__note_lost(const struct muster__member_parts *parts,
                       const struct muster__member_plan *plan, uint32_t rank, uint64_t *number,
                       uint32_t *by);
/* The loop that a rank is in. Returns: 1; 0: none; -EUCLEAN. */
int muster__noted_open(const struct muster__notes *notes, struct muster__open_loop *loop);
/* Whether a rank has audited this loop, or a later one of its name. notes: `size` ranks'. Returns:
 * 1, 0, or -EUCLEAN. */
int muster__noted_audited(const struct muster__notes *notes, uint32_t size,
                          const struct muster__open_loop *loop);

#endif
