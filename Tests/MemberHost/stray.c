/* stray.c - loops of members that touch what is not their chunk's: what their launcher is told,
 * with check mode off and on, and of deaths that no array has to do with.
 */
#define _GNU_SOURCE
#include <assert.h>
#include <string.h>

#include "member/state.h"
#include "support.h"

enum { RANKS = 2, CHUNKS = 8, WIDTH = 4 };

/* What chunk 3 does wrong. */
enum wrong {
    NOTHING,
    BEYOND_CHUNK,
    BEFORE_CHUNK,
    NEXT_CHUNK,
    OTHER_ROW,
    INPUT,
    OTHER_ARRAY,
    READS_OUTPUT,
    READS_NEIGHBOUR,
    BEYOND_END,
    FAR_BEYOND_END,
    BEFORE_START,
    BEYOND_INPUT,
    PARTIAL,
    CONTROL,
    NOBODYS,
    DIVISION,
    DEPTH,
    ASSERTION,
    WRONGS
};

struct stray {
    enum wrong wrong;
    uint64_t grain; /* rows of WIDTH elements */
    bool checks;
    struct muster_launcher_words words;
    uint32_t told;
};

static volatile double seen;
static volatile int zero;
static volatile uintptr_t nobodys = 16; /* an address */

static __attribute__((noinline)) int deep(int depth)
{
    volatile char room[4096];
    room[depth & 4095] = 1;
    return depth < 0 ? depth : deep(depth + 1) + room[0];
}

struct arrays {
    double *in, *out, *x, *other;
};

/* One chunk, and what is wrong with it. */
static __attribute__((noinline)) void work_on(struct muster_member *me,
                                              struct muster_member_loop *loop,
                                              const struct muster_chunk *chunk,
                                              const struct arrays *a, enum wrong wrong)
{
    struct muster_interval own = muster_chunk_elements(chunk, WIDTH);
    uint64_t count = own.end - own.first;
    uint64_t *partial = muster_member_loop_partial(loop, chunk);
    seen = a->out[own.first];
    for (uint64_t i = own.first; i < own.end; i++) {
        a->out[i] = a->in[i] + 1;
        a->x[i] += 1;
    }
    *partial = count;
    if (chunk->index != 3)
        return;
    switch (wrong) {
    case BEYOND_CHUNK:
        a->x[own.end] = 5;
        break;
    case BEFORE_CHUNK:
        a->out[own.first - 1] = 5;
        break;
    case NEXT_CHUNK:
        a->x[own.end + 5] = 5;
        break;
    case OTHER_ROW:
        a->x[own.end + count + 1] = 5;
        break;
    case INPUT:
        a->in[7] = 5;
        break;
    case OTHER_ARRAY:
        a->other[11] = 5;
        break;
    case READS_OUTPUT:
        seen = a->out[own.first - count];
        break;
    case READS_NEIGHBOUR:
        seen = a->x[own.end + count];
        break;
    case BEYOND_END:
        a->x[CHUNKS * count] = 5;
        break;
    case FAR_BEYOND_END:
        a->x[CHUNKS * count + 1000000] = 5;
        break;
    case BEFORE_START:
        a->x[-1] = 5;
        break;
    case BEYOND_INPUT:
        seen = a->in[(CHUNKS * count * sizeof(double) + 4095) / 4096 * 4096 / sizeof(double)];
        break;
    case PARTIAL:
        partial[1] = 5;
        break;
    case CONTROL: /* between the block and the posts, where nothing is */
        ((volatile uint64_t *)me->control.address)[511] = 5;
        break;
    case NOBODYS:
        /* By a variable: compilers for other CPUs refuse a number. */
        *(volatile int *)(uintptr_t)nobodys = 5;
        break;
    case DIVISION:
        seen = 7 / zero;
        break;
    case DEPTH:
        seen = deep(0);
        break;
    case ASSERTION:
        assert(zero == 1);
        break;
    default:
        break;
    }
}

static int program(struct team *team, uint32_t rank, uint32_t incarnation)
{
    struct stray *stray = team->context;
    (void)incarnation;
    if (stray->checks)
        setenv("MUSTER_CHECK", "1", 1);
    else
        unsetenv("MUSTER_CHECK");
    struct muster_member *me = join_as(team, rank);
    uint64_t rows = CHUNKS * stray->grain;
    static const char *const names[] = {"in", "out", "x", "other"};
    double *made[4];
    for (int i = 0; i < 4; i++) {
        void *address = NULL;
        CHECK_STATUS(muster_member_array(me, names[i], rows * WIDTH * sizeof(double), &address), 0);
        made[i] = address;
    }
    struct arrays arrays = {made[0], made[1], made[2], made[3]};
    struct muster_member_use uses[3] = {{.access = MUSTER_ACCESS_INPUT},
                                        {.access = MUSTER_ACCESS_OUTPUT},
                                        {.access = MUSTER_ACCESS_IN_PLACE}};
    for (int i = 0; i < 3; i++) {
        uses[i].address = made[i];
        uses[i].element_bytes = sizeof(double);
        uses[i].elements_per_index = WIDTH;
    }
    struct muster_member_loop_options options = {.size_bytes = sizeof options,
                                                 .schedule = MUSTER_SCHEDULE_CYCLIC,
                                                 .elements = rows,
                                                 .grain = stray->grain,
                                                 .partial_bytes = sizeof(uint64_t),
                                                 .name = "relax",
                                                 .uses = uses,
                                                 .use_count = 3};
    struct muster_member_loop *loop;
    struct muster_chunk chunk;
    for (int turn = 1; turn <= 2; turn++) {
        int status = muster_member_loop_begin(me, &options, &loop);
        while (status == 0 && (status = muster_member_loop_next(loop, &chunk)) > 0) {
            work_on(me, loop, &chunk, &arrays, stray->wrong);
            if (stray->wrong == NOTHING && stray->checks)
                CHECK(seen != seen); /* who reads an output finds no number */
            muster_member_loop_commit(loop, &chunk);
            status = 0;
        }
        if (status == 0)
            status = muster_member_loop_end(loop, NULL);
        if (stray->told || status == -EOWNERDEAD)
            return 0; /* the other one has died */
        CHECK_STATUS(status, 0);
        uint64_t sum = 0;
        CHECK_STATUS(muster_member_loop_reduce(loop, MUSTER_TYPE_U64, MUSTER_OP_SUM, &sum), 0);
        if (stray->wrong == NOTHING) {
            CHECK(sum == rows * WIDTH);
            for (uint64_t i = 0; i < rows * WIDTH; i++)
                CHECK(arrays.x[i] == turn && arrays.out[i] == 1);
        }
        status = muster_member_barrier(me);
        if (status == -EOWNERDEAD)
            return 0;
        CHECK_STATUS(status, 0);
    }
    return muster_leave(me);
}

static void on_event(struct team *team, const struct muster_launcher_event *event)
{
    struct stray *stray = team->context;
    struct muster_launcher_words words;
    if (event->kind != MUSTER_LAUNCHER_DIED)
        return;
    int told = muster_launcher_last_words(team->launcher, event->rank, &words);
    if (told == 0)
        return;
    CHECK(told == 1 && words.pid == event->pid);
    stray->words = words;
    stray->told++;
}

/* What the launcher must be told; NULL: nothing. */
static const char *wanted(enum wrong wrong, bool checks, bool whole)
{
    /* In chunks of 4096 rows, and of 10. */
    static const char *const on[WRONGS][2] = {
        [BEYOND_CHUNK] = {"wrote element 65536 of array \"x\", right beyond its chunk "
                          "49152..<65536",
                          "wrote element 160 of array \"x\", right beyond its chunk 120..<160"},
        [BEFORE_CHUNK] = {"wrote element 49151 of array \"out\", 1 before its chunk 49152..<65536",
                          "wrote element 119 of array \"out\", 1 before its chunk 120..<160"},
        [NEXT_CHUNK] = {"wrote element 65541 of array \"x\", 5 beyond its chunk 49152..<65536",
                        "wrote element 165 of array \"x\", 5 beyond its chunk 120..<160"},
        [OTHER_ROW] = {"wrote element 81921 of array \"x\", 16385 beyond its chunk 49152..<65536",
                       "wrote element 201 of array \"x\", 41 beyond its chunk 120..<160"},
        [INPUT] = {"wrote element 7 of array \"in\", which this loop only reads",
                   "wrote element 7 of array \"in\", which this loop only reads"},
        [OTHER_ARRAY] = {"wrote byte 88 of array \"other\", which this loop does not use",
                         "wrote byte 88 of array \"other\", which this loop does not use"},
        [READS_OUTPUT] = {"read element 32768 of array \"out\", 16384 before its chunk "
                          "49152..<65536",
                          NULL},
        [READS_NEIGHBOUR] = {"read element 81920 of array \"x\", 16384 beyond its chunk "
                             "49152..<65536",
                             NULL},
        [BEYOND_END] = {"wrote right beyond the end of array \"x\"",
                        "wrote right beyond the end of array \"x\""},
        [PARTIAL] = {"wrote the partial result of chunk 4, which is another's",
                     "wrote the partial result of chunk 4, which is another's"},
        [CONTROL] = {"wrote to the memory that the team runs by",
                     "wrote to the memory that the team runs by"},
    };
    static const char *const always[WRONGS] = {
        [FAR_BEYOND_END] = " bytes beyond the end of array \"x\"",
        [BEFORE_START] = "wrote 8 bytes before the start of array \"x\"",
        [BEYOND_INPUT] = " beyond the end of array \"in\"",
        [NOBODYS] = "",
        [DIVISION] = "",
        [DEPTH] = "",
        [ASSERTION] = "",
    };
    if (always[wrong])
        return always[wrong];
    if (!checks)
        return wrong == BEYOND_END && whole ? on[wrong][0] : NULL;
    return on[wrong][!whole];
}

static void check_words(const struct stray *stray, const char *text)
{
    const struct muster_launcher_words *words = &stray->words;
    CHECK(strcmp(words->loop, "relax") == 0);
    if (!strstr(words->deed, text) || words->chunk != 3)
        fail(__FILE__, __LINE__, words->deed);
    CHECK(words->first == 3 * stray->grain && words->end == 4 * stray->grain);
    bool is_stray = stray->checks && stray->wrong < NOBODYS;
    if (is_stray != (words->stray != MUSTER_STRAY_NONE))
        fail(__FILE__, __LINE__, words->deed);
    /* Compared, it is found after its instruction. */
    if (words->found_bytes == 0 &&
        !strstr(words->place, stray->wrong == DEPTH ? "deep" : "work_on"))
        fail(__FILE__, __LINE__, words->place);
    switch (stray->wrong) {
    case NOBODYS:
        CHECK(words->signal == 11 && words->has_address && words->address == 16);
        break;
    case DIVISION:
        CHECK(words->signal == 8 && !words->has_address);
        break;
    case DEPTH:
        CHECK(words->signal == 11 && words->is_overflow);
        break;
    case ASSERTION:
        if (words->signal != 6 || !strstr(words->said, "Assertion `zero == 1' failed"))
            fail(__FILE__, __LINE__, words->said);
        break;
    default:
        CHECK(words->signal == 11);
    }
}

int stray(int count, char **arguments)
{
    (void)count;
    (void)arguments;
    for (enum wrong wrong = NOTHING; wrong < WRONGS; wrong++)
        for (int kind = 0; kind < 4; kind++) {
            bool checks = kind & 1, whole = kind < 2;
            const char *text = wanted(wrong, checks, whole);
            watch(60);
            struct stray *stray = shared(sizeof *stray);
            *stray = (struct stray){.wrong = wrong, .grain = whole ? 4096 : 10, .checks = checks};
            struct team team = {
                .size = RANKS, .program = program, .context = stray, .event = on_event};
            run_team(&team);
            printf("wrong %2d, %s, %s: %s\n", wrong, whole ? "pages" : "rows",
                   checks ? "on" : "off", stray->told ? stray->words.deed : "nothing");
            CHECK(stray->told == (text ? 1u : 0u));
            if (text)
                check_words(stray, text);
            else
                CHECK(ended_well(&team, 0) && ended_well(&team, 1));
            end_team(&team);
        }
    return 0;
}
