/* notes.c - what the launcher reads of a rank's notes while the rank writes them. */
#define _GNU_SOURCE
#include "support.h"

#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "launcher/state.h"

#define READS 1000000u

/* Notes audits for ever, in loops of two names in turn, that are all alike. Many of one name, one
 * after the other: a read is torn only while the same note is written for a second time. */
static _Noreturn void note_audits(const char *address)
{
    struct muster_join_options options = {.size_bytes = sizeof options, .address = address};
    struct muster_report report = {.size_bytes = sizeof report,
                                   .loops = 1,
                                   .failed = 1,
                                   .chunks = 100,
                                   .exactly_once = 60,
                                   .missing = 30,
                                   .repeated = 10,
                                   .adopted = 2,
                                   .death_count = 1,
                                   .first_finding = {.first = 7, .end = 9},
                                   .first_finding_ranks = {5, 5}};
    struct muster_member *me;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    CHECK_STATUS(muster_join_with(&options, &me), 0);
    for (uint64_t turn = 0;; turn++) {
        memset(me->loop_name, turn % 2 ? 'b' : 'a', MUSTER_NAME_BYTES - 1);
        muster__note_begun(me);
        for (int loop = 0; loop < 64; loop++)
            muster__note_audit(me, &report);
        muster__note_over(me);
    }
}

#define APART 247 /* names, as launcher.h says */

/* Notes one loop of a name. missing: its chunks that nobody has committed. */
static void note_one(struct muster_member *me, const char *name, uint64_t missing)
{
    struct muster_report report = {.size_bytes = sizeof report,
                                   .loops = 1,
                                   .failed = missing > 0,
                                   .chunks = 10,
                                   .exactly_once = 10 - missing,
                                   .missing = missing};
    snprintf(me->loop_name, sizeof me->loop_name, "%s", name);
    me->loop_number++;
    muster__note_begun(me);
    muster__note_audit(me, &report);
    muster__note_over(me);
}

static void note_number(struct muster_member *me, int number, uint64_t missing)
{
    char name[MUSTER_NAME_BYTES];
    snprintf(name, sizeof name, "loop %d", number);
    note_one(me, name, missing);
}

/* More names of loops than are kept apart. */
static void many_names(void)
{
    struct muster_member *me;
    CHECK_STATUS(muster_join(&me), 0);
    struct muster_launcher launcher = {.plan = {.size = 1}, .parts = me->parts};
    struct muster_launcher_audit audit;
    for (int number = 0; number < APART; number++)
        note_number(me, number, 0);
    CHECK_STATUS(muster_launcher_audited(&launcher, APART - 1, &audit), 1);
    CHECK(strcmp(audit.name, "loop 246") == 0 && audit.report.loops == 1);
    CHECK_STATUS(muster_launcher_audited(&launcher, APART, &audit), 0);
    note_number(me, 500, 1); /* before there were others */
    CHECK_STATUS(muster_launcher_audited(&launcher, APART, &audit), 1);
    CHECK(strcmp(audit.name, "loop 500") == 0 && audit.report.failed == 1);
    CHECK_STATUS(muster_launcher_audited(&launcher, APART + 1, &audit), 0);
    for (int number = APART; number < 400; number++)
        note_number(me, number, 0);
    for (int number = 501; number < 507; number++)
        note_number(me, number, 2);
    strcpy(me->loop_name, "loop 507");
    muster__note_interruption(me);
    note_number(me, 508, 3); /* no room any more */
    note_number(me, 300, 0);
    note_number(me, 500, 0);
    note_number(me, 5, 4);
    CHECK_STATUS(muster_launcher_audited(&launcher, 5, &audit), 1);
    CHECK(strcmp(audit.name, "loop 5") == 0 && audit.report.loops == 2 && audit.report.failed == 1);
    CHECK_STATUS(muster_launcher_audited(&launcher, APART, &audit), 1);
    CHECK(strcmp(audit.name, "other loops") == 0);
    CHECK(audit.report.loops == 400 - APART + 2 && audit.report.failed == 1 &&
          audit.report.missing == 3);
    CHECK_STATUS(muster_launcher_audited(&launcher, APART + 1, &audit), 1);
    CHECK(strcmp(audit.name, "loop 500") == 0 && audit.report.loops == 2 &&
          audit.report.failed == 1);
    for (uint32_t i = 1; i < 8; i++) {
        char name[MUSTER_NAME_BYTES];
        snprintf(name, sizeof name, "loop %u", 500 + i);
        CHECK_STATUS(muster_launcher_audited(&launcher, APART + 1 + i, &audit), 1);
        CHECK(strcmp(audit.name, name) == 0 && audit.report.failed == (i < 7) &&
              audit.report.interrupted == (i == 7));
    }
    CHECK_STATUS(muster_launcher_audited(&launcher, APART + 9, &audit), 0);
    note_one(me, "other loops", 0); /* a name as any */
    CHECK_STATUS(muster_launcher_audited(&launcher, APART, &audit), 1);
    CHECK(strcmp(audit.name, "other loops") == 0 && audit.report.loops == 400 - APART + 3);

    /* Another rank has left in a loop that this one has audited among the others, or has not. */
    struct muster__notes *both = calloc(2, sizeof *both);
    CHECK(both);
    both[0] = me->parts.notes[0];
    both[1].open = 1;
    both[1].open_loop.number = me->loop_number;
    strcpy(both[1].open_loop.name, "loop 300");
    launcher = (struct muster_launcher){.plan = {.size = 2}, .parts = {.notes = both}};
    char name[MUSTER_NAME_BYTES];
    CHECK_STATUS(muster_launcher_unended(&launcher, 1, name), 0);
    both[1].open_loop.number++;
    CHECK_STATUS(muster_launcher_unended(&launcher, 1, name), 1);
    strcpy(both[1].open_loop.name, "loop 3"); /* which has a note of its own, of an earlier loop */
    both[1].open_loop.number = 5;
    CHECK_STATUS(muster_launcher_unended(&launcher, 1, name), 1);
    CHECK(strcmp(name, "loop 3") == 0);
    both[1].open_loop.number = 4;
    CHECK_STATUS(muster_launcher_unended(&launcher, 1, name), 0);
    free(both);
    CHECK_STATUS(muster_leave(me), 0);
}

/* Length: one loop after the other, each builds on the last. */
int notes(int count, char **arguments)
{
    (void)count;
    (void)arguments;
    watch(120);
    struct muster_launcher_options options = {.size_bytes = sizeof options, .size = 1};
    struct muster_launcher *launcher = NULL;
    CHECK_STATUS(muster_launcher_create(&options, &launcher), 0);
    fflush(stdout);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0)
        note_audits(muster_launcher_address(launcher));
    struct muster_launcher_event event;
    while (muster_launcher_process(launcher, 0) == 0)
        CHECK(muster_launcher_serve(launcher, &event, 1) >= 0);
    uint64_t last = 0, seen = 0;
    for (uint32_t read = 0; read < READS; read++) {
        struct muster_launcher_audit audit;
        int status = muster_launcher_audited(launcher, 0, &audit);
        CHECK(status >= 0 && (status == 1 || last == 0));
        if (status == 1) {
            uint64_t loops = audit.report.loops;
            CHECK(loops >= last);
            seen += loops > last;
            last = loops;
            CHECK(audit.report.failed == loops && audit.report.chunks == 100 * loops &&
                  audit.report.exactly_once == 60 * loops && audit.report.missing == 30 * loops &&
                  audit.report.repeated == 10 * loops && audit.report.adopted == 2 * loops &&
                  audit.report.death_count == loops);
            CHECK(audit.report.first_finding.first == 7 && audit.report.first_finding.end == 9 &&
                  audit.report.first_finding_ranks[0] == 5 &&
                  audit.report.first_finding_ranks[1] == 5);
            CHECK(strlen(audit.name) == MUSTER_NAME_BYTES - 1);
        }
        char name[MUSTER_NAME_BYTES] = "";
        status = muster_launcher_unended(launcher, 0, name);
        CHECK(status == 0 || status == 1);
        if (status == 1) {
            CHECK((name[0] == 'a' || name[0] == 'b') && strlen(name) == MUSTER_NAME_BYTES - 1);
            CHECK(strspn(name, (char[]){name[0], 0}) == MUSTER_NAME_BYTES - 1);
        }
        CHECK(kill(child, 0) == 0);
    }
    printf("reads %u of %llu loops\n", READS, (unsigned long long)seen);
    CHECK(kill(child, SIGKILL) == 0 && waitpid(child, NULL, 0) == child);

    /* A rank was killed before it could count its first loop: others' names are found behind it. */
    struct muster__notes *noted = launcher->parts.notes;
    noted->notes[0].counts[0].report.loops = noted->notes[0].counts[1].report.loops = 0;
    struct muster_launcher_audit audit;
    CHECK_STATUS(muster_launcher_audited(launcher, 0, &audit), 1);
    CHECK(audit.name[0] == 'b');
    CHECK_STATUS(muster_launcher_audited(launcher, 1, &audit), 0);
    /* What a stranger has written there. */
    noted->open = 1;
    memset(noted->open_loop.name, 'x', MUSTER_NAME_BYTES);
    char name[MUSTER_NAME_BYTES];
    CHECK_STATUS(muster_launcher_unended(launcher, 0, name), -EUCLEAN);
    CHECK_STATUS(muster_launcher_unended(launcher, 1, name), -EINVAL);
    /* Counts that nobody can add up, each of the words. */
    struct muster_report *report = &noted->notes[1].counts[noted->notes[1].changes % 2].report;
    uint64_t *const words[] = {&report->loops,
                               &report->failed,
                               &report->chunks,
                               &report->exactly_once,
                               &report->missing,
                               &report->repeated,
                               &report->redone,
                               &report->adopted,
                               &report->own,
                               &report->elements,
                               &report->grain,
                               &report->first_finding.first,
                               &report->first_finding.end,
                               &report->interrupted,
                               &report->interrupted_chunks,
                               &report->interrupted_committed,
                               &report->death_count,
                               &report->finding_count,
                               &report->quarantined_count,
                               &report->vacant_count};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        uint64_t before = *words[i];
        *words[i] = MUSTER__COUNT_MOST + 1ull;
        CHECK_STATUS(muster_launcher_audited(launcher, 0, &audit), -EUCLEAN);
        *words[i] = before;
        CHECK_STATUS(muster_launcher_audited(launcher, 0, &audit), 1);
    }
    muster_launcher_destroy(launcher);
    many_names();
    return 0;
}
