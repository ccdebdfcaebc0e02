/* interruption.c - loops that a death ends: what the launcher can say of them, and how a member
 * ended.
 */
#include "support.h"

#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "launcher/state.h"

#define CHUNKS 12u

struct cut {
    uint32_t rounds; /* that end in a death; in the next one nobody dies */
    uint32_t committed[8];
    int status;   /* of the last death, as its event had it */
    bool goes_on; /* survivors meet a death elsewhere, and don't end the loop */
    bool is_last; /* survivors are ended before they meet it */
};

/* One round: all but the victim commit what is theirs, the victim one chunk; then it dies. */
static int round_of(struct muster_member *me, struct cut *cut, uint32_t round)
{
    struct muster_member_loop_options options = {.size_bytes = sizeof options,
                                                 .schedule = MUSTER_SCHEDULE_CYCLIC,
                                                 .elements = CHUNKS,
                                                 .grain = 1,
                                                 .name = "cut"};
    struct muster_member_loop *loop;
    struct muster_chunk chunk;
    bool is_cut = round < cut->rounds, is_victim = is_cut && muster_member_rank(me) == 1;
    uint32_t others = (muster_member_size(me) - 1) * (CHUNKS / muster_member_size(me));
    CHECK_STATUS(muster_member_loop_begin(me, &options, &loop), 0);
    int status;
    while ((status = muster_member_loop_next(loop, &chunk)) > 0) {
        muster_member_loop_commit(loop, &chunk);
        if (!is_victim)
            __atomic_fetch_add(&cut->committed[round], 1, __ATOMIC_SEQ_CST);
        while (is_victim && __atomic_load_n(&cut->committed[round], __ATOMIC_SEQ_CST) < others)
            usleep(100);
        if (is_victim)
            raise(round == 0 ? SIGKILL : SIGTERM);
    }
    while (cut->is_last)
        pause();
    if (is_cut && cut->goes_on)
        return muster_member_barrier(me);
    status = muster_member_loop_end(loop, NULL);
    CHECK_STATUS(status, is_cut ? -EOWNERDEAD : 0);
    return status;
}

static int cutting(struct team *team, uint32_t rank, uint32_t incarnation)
{
    struct cut *cut = team->context;
    struct muster_member *me = join_as(team, rank);
    uint32_t round = incarnation - 1; /* only the victim starts again, once a round */
    if (round > 0)
        CHECK_STATUS(muster_recover(me), 0);
    while (round_of(me, cut, round) == -EOWNERDEAD) {
        CHECK_STATUS(muster_recover(me), 0);
        round++;
    }
    return muster_leave(me);
}

static void keep_status(struct team *team, const struct muster_launcher_event *event)
{
    struct cut *cut = team->context;
    if (event->kind == MUSTER_LAUNCHER_DIED)
        cut->status = event->status;
    else
        CHECK(event->status == 0);
}

/* Ranks 3, CHUNKS / 3 each. */
static void cut_off(uint32_t rounds, bool goes_on)
{
    struct cut *cut = shared(sizeof *cut);
    *cut = (struct cut){.rounds = rounds, .goes_on = goes_on};
    struct team team = {.size = 3,
                        .policy = RESTART,
                        .restarts_most = rounds,
                        .program = cutting,
                        .context = cut,
                        .event = keep_status};
    run_team(&team);
    for (uint32_t rank = 0; rank < 3; rank++)
        CHECK(ended_well(&team, rank));
    CHECK(team.died == rounds && cut->status == (rounds == 1 ? SIGKILL : SIGTERM));
    struct muster_launcher_audit audit;
    CHECK_STATUS(muster_launcher_audited(team.launcher, 0, &audit), 1);
    CHECK(strcmp(audit.name, "cut") == 0 && audit.report.loops == 1 && audit.report.failed == 0);
    CHECK(audit.report.chunks == CHUNKS && audit.report.exactly_once == CHUNKS);
    CHECK(audit.report.grain == 1 && audit.report.first_finding_ranks[0] == UINT32_MAX);
    CHECK(audit.report.interrupted == rounds && audit.report.interrupted_chunks == CHUNKS);
    CHECK(audit.report.interrupted_committed == CHUNKS - CHUNKS / 3 + 1 &&
          audit.report.interrupted_by == 1);
    CHECK_STATUS(muster_launcher_audited(team.launcher, 1, &audit), 0);
    char name[MUSTER_NAME_BYTES];
    for (uint32_t rank = 0; rank < 3; rank++)
        CHECK_STATUS(muster_launcher_unended(team.launcher, rank, name), 0);
    end_team(&team);
}

static void end_all(struct team *team, const struct muster_launcher_event *event)
{
    if (event->kind == MUSTER_LAUNCHER_DIED && event->rank == 1)
        CHECK(kill(team->pids[0], SIGTERM) == 0 && kill(team->pids[2], SIGTERM) == 0);
}

/* All of a team is ended because one has died: nobody notes anything but the launcher. */
static void cut_off_all(void)
{
    struct cut *cut = shared(sizeof *cut);
    *cut = (struct cut){.rounds = 1, .is_last = true};
    struct team team = {
        .size = 3, .policy = LOSE, .program = cutting, .context = cut, .event = end_all};
    run_team(&team);
    CHECK(team.died == 3);
    struct muster_launcher_audit audit;
    CHECK_STATUS(muster_launcher_audited(team.launcher, 0, &audit), 1);
    CHECK(strcmp(audit.name, "cut") == 0 && audit.report.loops == 0 &&
          audit.report.interrupted == 1);
    CHECK(audit.report.interrupted_chunks == CHUNKS && audit.report.interrupted_by == 1);
    CHECK(audit.report.interrupted_committed == CHUNKS - CHUNKS / 3 + 1);
    CHECK_STATUS(muster_launcher_audited(team.launcher, 1, &audit), 0);
    end_team(&team);
}

/* Ranks that are killed when they have noted a loop's end and not yet said that it is over. */
static void noted_before(void)
{
    struct muster_launcher_options options = {.size_bytes = sizeof options, .size = 2};
    struct muster_launcher *launcher;
    CHECK_STATUS(muster_launcher_create(&options, &launcher), 0);
    const struct muster__counts ends[] = {
        {.report = {.loops = 1, .chunks = 9, .exactly_once = 9}, .last_number = 5},
        {.report = {.interrupted = 1, .interrupted_chunks = 9}, .interrupted_number = 5}};
    for (uint32_t rank = 0; rank < 2; rank++) {
        struct muster__notes *notes = &launcher->parts.notes[rank];
        const char *name = rank == 0 ? "audited" : "interrupted";
        uint64_t number = 0;
        uint32_t by = 0;
        notes->used = 1;
        strcpy(notes->notes[0].name, name);
        notes->notes[0].counts[0] = ends[rank];
        notes->open = 1;
        strcpy(notes->open_loop.name, name);
        notes->open_loop.number = 5;
        notes->open_loop.chunks = 9;
        muster__note_lost(&launcher->parts, &launcher->plan, rank, &number, &by);
        CHECK(notes->open == 2);
    }
    struct muster_launcher_audit audit;
    CHECK_STATUS(muster_launcher_audited(launcher, 0, &audit), 1);
    CHECK(audit.report.loops == 1 && audit.report.interrupted == 0);
    CHECK_STATUS(muster_launcher_audited(launcher, 1, &audit), 1);
    CHECK(audit.report.loops == 0 && audit.report.interrupted == 1);
    muster_launcher_destroy(launcher);
}

enum way_out { LEAVES, EXITS, ALL_FORGET };

/* Rank 1 goes in the middle of a loop that adopts, and ends well; or all forget the end. */
static int going(struct team *team, uint32_t rank, uint32_t incarnation)
{
    (void)incarnation;
    const enum way_out way_out = *(enum way_out *)team->context;
    struct muster_member_loop_options options = {.size_bytes = sizeof options,
                                                 .schedule = MUSTER_SCHEDULE_CYCLIC,
                                                 .elements = CHUNKS,
                                                 .grain = 1,
                                                 .flags = MUSTER_LOOP_ADOPT,
                                                 .name = "left"};
    struct muster_member *me = join_as(team, rank);
    struct muster_member_loop *loop;
    struct muster_chunk chunk;
    for (int before = 0; before < 2; before++) {
        CHECK_STATUS(muster_member_loop_begin(me, &options, &loop), 0);
        while (muster_member_loop_next(loop, &chunk) > 0)
            muster_member_loop_commit(loop, &chunk);
        CHECK_STATUS(muster_member_loop_end(loop, NULL), 0);
    }
    CHECK_STATUS(muster_member_loop_begin(me, &options, &loop), 0);
    while (muster_member_loop_next(loop, &chunk) > 0) {
        muster_member_loop_commit(loop, &chunk);
        if (rank == 1 && way_out != ALL_FORGET)
            return way_out == LEAVES ? muster_leave(me) : 0;
    }
    if (way_out != ALL_FORGET)
        CHECK_STATUS(muster_member_loop_end(loop, NULL), 0);
    return muster_leave(me);
}

static void gone_in_a_loop(enum way_out way_out)
{
    enum way_out *context = shared(sizeof *context);
    *context = way_out;
    struct team team = {.size = 3, .policy = LOSE, .program = going, .context = context};
    run_team(&team);
    for (uint32_t rank = 0; rank < 3; rank++)
        CHECK(ended_well(&team, rank));
    struct muster_launcher_audit audit;
    CHECK_STATUS(muster_launcher_audited(team.launcher, 0, &audit), 1);
    CHECK(strcmp(audit.name, "left") == 0 && audit.report.failed == 0 &&
          audit.report.interrupted == 0);
    CHECK(audit.report.loops == (way_out == ALL_FORGET ? 2 : 3));
    CHECK(audit.report.adopted == (way_out == ALL_FORGET ? 0 : CHUNKS / 3 - 1));
    char name[MUSTER_NAME_BYTES];
    for (uint32_t rank = 0; rank < 3; rank++)
        CHECK_STATUS(muster_launcher_unended(team.launcher, rank, name), way_out == ALL_FORGET);
    end_team(&team);
}

/* What ranks may have noted when they were killed between, written as they do. */
static void torn_notes(void)
{
    struct muster_launcher_options options = {.size_bytes = sizeof options, .size = 2};
    struct muster_launcher *launcher;
    CHECK_STATUS(muster_launcher_create(&options, &launcher), 0);
    struct muster_launcher_audit audit;
    struct muster__notes *first = &launcher->parts.notes[0], *second = &launcher->parts.notes[1];
    /* A name whose rank died before it counted anything hides no other. */
    first->used = 2;
    strcpy(first->notes[0].name, "nothing yet");
    strcpy(first->notes[1].name, "some");
    first->notes[1].changes = 1;
    first->notes[1].counts[1] = (struct muster__counts){
        .report = {.interrupted = 1, .interrupted_chunks = 9, .interrupted_committed = 4}};
    CHECK_STATUS(muster_launcher_audited(launcher, 0, &audit), 1);
    CHECK(strcmp(audit.name, "some") == 0 && audit.report.loops == 0 &&
          audit.report.interrupted == 1);
    CHECK(audit.report.interrupted_committed == 4 && audit.report.interrupted_by == 0);
    CHECK_STATUS(muster_launcher_audited(launcher, 1, &audit), 0);
    /* One rank was interrupted in the very loop that another one has audited. */
    second->used = 1;
    strcpy(second->notes[0].name, "some");
    second->notes[0].changes = 1;
    second->notes[0].counts[1] =
        (struct muster__counts){.report = {.loops = 1, .chunks = 9, .exactly_once = 9}};
    CHECK_STATUS(muster_launcher_audited(launcher, 0, &audit), 1);
    CHECK(audit.report.loops == 1 && audit.report.interrupted == 0 &&
          audit.report.interrupted_chunks == 0);
    CHECK(audit.report.interrupted_by == UINT32_MAX);
    /* One was killed before it could note the audit of the loop that they ran after recovering. */
    first->notes[1].counts[1] = (struct muster__counts){.report = {.loops = 1,
                                                                   .chunks = 9,
                                                                   .exactly_once = 9,
                                                                   .interrupted = 1,
                                                                   .interrupted_chunks = 9,
                                                                   .interrupted_committed = 4},
                                                        .last_number = 2,
                                                        .interrupted_number = 1};
    second->notes[0].counts[1] = (struct muster__counts){.report = {.interrupted = 2,
                                                                    .interrupted_chunks = 9,
                                                                    .interrupted_committed = 9,
                                                                    .interrupted_by = 1},
                                                         .interrupted_number = 2};
    CHECK_STATUS(muster_launcher_audited(launcher, 0, &audit), 1);
    CHECK(audit.report.loops == 1 && audit.report.interrupted == 1 &&
          audit.report.interrupted_committed == 4);
    CHECK(audit.report.interrupted_by == 0);
    muster_launcher_destroy(launcher);
}

int interruption(int count, char **arguments)
{
    (void)count;
    (void)arguments;
    watch(60);
    cut_off(1, false);
    cut_off(2, false);
    cut_off(1, true);
    cut_off_all();
    noted_before();
    gone_in_a_loop(LEAVES);
    gone_in_a_loop(EXITS);
    gone_in_a_loop(ALL_FORGET);
    torn_notes();
    return 0;
}
