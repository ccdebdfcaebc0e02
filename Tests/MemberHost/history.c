/* history.c - everything that ranks do together, against a naive model, over random histories in
 * which ranks are killed.
 *
 * A history is a list of steps that every rank computes for itself from the seed. What a rank
 * contributes to a step is a function of (seed, step, rank), so every rank also knows what must
 * come out of it: from the ranks that take part, combined here by a recursion of its own. After a
 * death the survivors recover and go on with the earliest step that one of them has not done.
 *
 *     history SEED COUNT [canary]
 */
#include "support.h"

#include <string.h>
#include <unistd.h>

#define STEPS       24u
#define VALUES_MOST 5000u /* of 8 bytes: several pieces of mail */

enum kind { BARRIER, BROADCAST, REDUCE, ALL_REDUCE, SCAN_STEP, LOOP, KINDS };

struct step {
    enum kind kind;
    uint32_t type, operation, scan, count, root_choice;
    uint32_t schedule, grain, elements;
    bool adopts;
};

struct shared_history {
    uint64_t seed;
    uint32_t deaths; /* that are armed */
    uint32_t points[2], ranks[2], nths[2];
    uint64_t finished;      /* ranks that came to the end */
    uint64_t steps_checked; /* by all of them */
    uint64_t saw_death;     /* -EOWNERDEADs */
};

static struct random generator(uint64_t seed, uint64_t a, uint64_t b)
{
    struct random random = {seed * 0x9e3779b97f4a7c15ull ^ a * 0xbf58476d1ce4e5b9ull ^
                            b * 0x94d049bb133111ebull};
    for (int i = 0; i < 4; i++)
        (void)random_next(&random);
    return random;
}

static struct step step_of(uint64_t seed, uint32_t number)
{
    struct random random = generator(seed, number, 77);
    static const uint32_t types[] = {
        MUSTER_TYPE_F64, MUSTER_TYPE_F32, MUSTER_TYPE_I64, MUSTER_TYPE_U64, MUSTER_TYPE_I32,
        MUSTER_TYPE_U32, MUSTER_TYPE_I16, MUSTER_TYPE_U16, MUSTER_TYPE_I8,  MUSTER_TYPE_U8};
    struct step step = {.kind = random_below(&random, KINDS),
                        .type = types[random_below(&random, sizeof types / sizeof types[0])],
                        .scan = random_below(&random, 2),
                        .root_choice = random_below(&random, 1000),
                        .schedule = random_below(&random, 5),
                        .grain = 1 + random_below(&random, 40),
                        .elements = random_below(&random, 600),
                        .adopts = random_below(&random, 2)};
    bool floats = step.type == MUSTER_TYPE_F64 || step.type == MUSTER_TYPE_F32;
    step.operation = 1 + random_below(&random, floats ? 4 : 7);
    uint32_t sizes[] = {0, 1, 3, 17, 2048, VALUES_MOST};
    step.count = sizes[random_below(&random, 6)];
    return step;
}

/* Value i that a rank contributes, in 8 bytes of which the type's first are used. */
static uint64_t value_of(uint64_t seed, uint32_t number, uint32_t rank, uint32_t i, uint32_t type)
{
    struct random random = generator(seed ^ i, number, rank);
    uint64_t bits = random_next(&random), value = bits;
    /* Numbers of very different sizes, so that the order of additions shows. */
    double real = ((double)(bits >> 40) - 8e6) * (bits & 1 ? 1e-9 : 1e3);
    float single = (float)real;
    if (type == MUSTER_TYPE_F64)
        memcpy(&value, &real, 8);
    if (type == MUSTER_TYPE_F32)
        memcpy(&value, &single, 4);
    return value;
}

/* Length: one case a type. */
static uint64_t naive_operate(uint32_t type, uint32_t operation, uint64_t left, uint64_t right)
{
    double a, b, c;
    float x, y, z;
    uint64_t result = 0;
    memcpy(&a, &left, 8);
    memcpy(&b, &right, 8);
    memcpy(&x, &left, 4);
    memcpy(&y, &right, 4);
    bool less = false, greater = false;
    switch (type) {
    case MUSTER_TYPE_F64:
        c = operation == MUSTER_OP_SUM       ? a + b
            : operation == MUSTER_OP_PRODUCT ? a * b
            : operation == MUSTER_OP_MIN     ? (b < a ? b : a)
                                             : (a < b ? b : a);
        memcpy(&result, &c, 8);
        return result;
    case MUSTER_TYPE_F32:
        z = operation == MUSTER_OP_SUM       ? x + y
            : operation == MUSTER_OP_PRODUCT ? x * y
            : operation == MUSTER_OP_MIN     ? (y < x ? y : x)
                                             : (x < y ? y : x);
        memcpy(&result, &z, 4);
        return result;
    case MUSTER_TYPE_I64:
        less = (int64_t)left < (int64_t)right;
        greater = (int64_t)left > (int64_t)right;
        break;
    case MUSTER_TYPE_U64:
        less = left < right;
        greater = left > right;
        break;
    case MUSTER_TYPE_I32:
        less = (int32_t)left < (int32_t)right;
        greater = (int32_t)left > (int32_t)right;
        break;
    case MUSTER_TYPE_I16:
        less = (int16_t)left < (int16_t)right;
        greater = (int16_t)left > (int16_t)right;
        break;
    case MUSTER_TYPE_U16:
        less = (uint16_t)left < (uint16_t)right;
        greater = (uint16_t)left > (uint16_t)right;
        break;
    case MUSTER_TYPE_I8:
        less = (int8_t)left < (int8_t)right;
        greater = (int8_t)left > (int8_t)right;
        break;
    case MUSTER_TYPE_U8:
        less = (uint8_t)left < (uint8_t)right;
        greater = (uint8_t)left > (uint8_t)right;
        break;
    case MUSTER_TYPE_U32:
        less = (uint32_t)left < (uint32_t)right;
        greater = (uint32_t)left > (uint32_t)right;
        break;
    }
    switch (operation) {
    case MUSTER_OP_SUM:
        return left + right;
    case MUSTER_OP_PRODUCT:
        return left * right;
    case MUSTER_OP_MIN:
        return greater ? right : left;
    case MUSTER_OP_MAX:
        return less ? right : left;
    case MUSTER_OP_AND:
        return left & right;
    case MUSTER_OP_OR:
        return left | right;
    default:
        return left ^ right;
    }
}

/* The largest power of two below the count goes left, the rest right. */
static uint64_t naive_tree(uint32_t type, uint32_t operation, const uint64_t *values,
                           uint32_t count)
{
    if (count == 1)
        return values[0];
    uint32_t left = 1;
    while (left * 2 < count)
        left *= 2;
    return naive_operate(type, operation, naive_tree(type, operation, values, left),
                         naive_tree(type, operation, values + left, count - left));
}

static uint32_t take_part(const struct muster_member *me, uint32_t *ranks)
{
    uint32_t count = 0;
    for (uint32_t rank = 0; rank < muster_member_size(me); rank++)
        if (muster_member_alive(me, rank))
            ranks[count++] = rank;
    return count;
}

/* What must be in this rank's data after the step, value i. */
static uint64_t expected(const struct muster_member *me, uint64_t seed, uint32_t number,
                         const struct step *step, uint32_t i)
{
    uint32_t ranks[RANKS_MOST], count = take_part(me, ranks), own = muster_member_rank(me);
    uint32_t root = ranks[step->root_choice % count];
    uint64_t values[RANKS_MOST];
    for (uint32_t place = 0; place < count; place++)
        values[place] = value_of(seed, number, ranks[place], i, step->type);
    if (step->kind == BROADCAST)
        return values[step->root_choice % count];
    if (step->kind == REDUCE && own != root)
        return value_of(seed, number, own, i, step->type);
    if (step->kind != SCAN_STEP)
        return naive_tree(step->type, step->operation, values, count);
    uint32_t below = 0;
    while (ranks[below] != own)
        below++;
    uint32_t places = below + (step->scan == MUSTER_SCAN_THROUGH);
    if (places == 0) { /* the identity: combined with anything it gives that */
        uint64_t zero = 0;
        return zero;
    }
    uint64_t left = values[0];
    for (uint32_t place = 1; place < places; place++)
        left = naive_operate(step->type, step->operation, left, values[place]);
    return left;
}

static int do_values(struct muster_member *me, struct shared_history *history, uint32_t number,
                     const struct step *step)
{
    static unsigned char data[VALUES_MOST * 8 + 64];
    uint32_t bytes = muster_type_bytes(step->type), rank = muster_member_rank(me);
    uint32_t ranks[RANKS_MOST], live = take_part(me, ranks);
    uint32_t root = ranks[step->root_choice % live];
    memset(data, 0xa5, sizeof data);
    for (uint32_t i = 0; i < step->count; i++) {
        uint64_t value = value_of(history->seed, number, rank, i, step->type);
        memcpy(data + i * bytes, &value, bytes);
    }
    int status = 0;
    if (step->kind == BROADCAST)
        status = muster_member_broadcast(me, data, step->count * bytes, root);
    if (step->kind == REDUCE)
        status = muster_member_reduce(me, data, step->count, step->type, step->operation, root);
    if (step->kind == ALL_REDUCE)
        status = muster_member_all_reduce(me, data, step->count, step->type, step->operation);
    if (step->kind == SCAN_STEP)
        status = muster_member_scan(me, data, step->count, step->type, step->operation, step->scan);
    if (status < 0)
        return status;
    bool identity = step->kind == SCAN_STEP && step->scan == MUSTER_SCAN_BEFORE && rank == ranks[0];
    for (uint32_t i = 0; i < step->count && !(step->kind == REDUCE && rank != root); i++) {
        uint64_t wanted = expected(me, history->seed, number, step, i), got = 0;
        memcpy(&got, data + i * bytes, bytes);
        if (identity) {
            /* The identity shows by what it does to something. */
            uint64_t other = value_of(history->seed, number, rank, i, step->type);
            wanted = other;
            got = naive_operate(step->type, step->operation, got, other);
        }
        uint64_t mask = bytes == 8 ? UINT64_MAX : (1ull << 8 * bytes) - 1;
        wanted &= mask;
        got &= mask;
        if (got != wanted) {
            fprintf(stderr,
                    "seed %llu step %u kind %d type %u op %u count %u rank %u value %u: "
                    "%016llx, not %016llx\n",
                    (unsigned long long)history->seed, number, step->kind, step->type,
                    step->operation, step->count, rank, i, (unsigned long long)got,
                    (unsigned long long)wanted);
            _exit(1);
        }
    }
    for (uint32_t i = step->count * bytes; i < step->count * bytes + 64; i++)
        CHECK(data[i] == 0xa5);
    return 0;
}

static int do_loop(struct muster_member *me, struct shared_history *history, uint32_t number,
                   const struct step *step)
{
    struct muster_member_loop_options options = {.size_bytes = sizeof options,
                                                 .schedule = step->schedule,
                                                 .elements = step->elements,
                                                 .grain = step->grain,
                                                 .partial_bytes = 8,
                                                 .flags = step->adopts ? MUSTER_LOOP_ADOPT : 0,
                                                 .name = step->adopts ? "adopting" : "plain"};
    struct muster_member_loop *loop;
    struct muster_chunk chunk;
    int status = muster_member_loop_begin(me, &options, &loop);
    if (status < 0)
        return status;
    while ((status = muster_member_loop_next(loop, &chunk)) > 0) {
        uint64_t value =
            value_of(history->seed, number, 999, (uint32_t)chunk.index, MUSTER_TYPE_F64);
        memcpy(muster_member_loop_partial(loop, &chunk), &value, 8);
        muster_member_loop_commit(loop, &chunk);
    }
    struct muster_report report = {.size_bytes = sizeof report};
    int ended = muster_member_loop_end(loop, &report);
    if (step->adopts) {
        CHECK_STATUS(status, 0);
        CHECK_STATUS(ended, 0);
    }
    if (ended < 0)
        return ended;
    uint64_t chunks = (step->elements + step->grain - 1) / step->grain, total = 0;
    CHECK(report.chunks == chunks && report.exactly_once == chunks && report.missing == 0);
    CHECK(step->adopts || (report.death_count == 0 && report.adopted == 0));
    CHECK_STATUS(muster_member_loop_reduce(loop, MUSTER_TYPE_F64, MUSTER_OP_SUM, &total), 0);
    static uint64_t values[601];
    for (uint32_t i = 0; i < chunks; i++)
        values[i] = value_of(history->seed, number, 999, i, MUSTER_TYPE_F64);
    CHECK(total ==
          (chunks ? naive_tree(MUSTER_TYPE_F64, MUSTER_OP_SUM, values, (uint32_t)chunks) : 0));
    return 0;
}

static int do_step(struct muster_member *me, struct shared_history *history, uint32_t number)
{
    struct step step = step_of(history->seed, number);
    if (step.kind == BARRIER)
        return muster_member_barrier(me);
    return step.kind == LOOP ? do_loop(me, history, number, &step)
                             : do_values(me, history, number, &step);
}

static int rank_program(struct team *team, uint32_t rank, uint32_t incarnation)
{
    struct shared_history *history = team->context;
    for (uint32_t i = 0; i < history->deaths && incarnation == 1; i++)
        muster_testing_arm(history->points[i], MUSTER_POINT_KILL, history->nths[i],
                           history->ranks[i], -1);
    struct muster_member *me = join_as(team, rank);
    uint64_t number = 0;
    bool recovering = incarnation > 1;
    int status = 0;
    while (number < STEPS) {
        if (recovering) {
            status = muster_recover(me);
            /* A replacement has done nothing: it follows. */
            uint64_t earliest = incarnation > 1 && number == 0 ? UINT64_MAX : number;
            if (status == 0)
                status = muster_member_all_reduce(me, &earliest, 1, MUSTER_TYPE_U64, MUSTER_OP_MIN);
            if (status == 0 && earliest != UINT64_MAX)
                number = earliest;
        }
        if (status == 0)
            status = do_step(me, history, (uint32_t)number);
        recovering = status == -EOWNERDEAD;
        if (recovering) {
            __atomic_fetch_add(&history->saw_death, 1, __ATOMIC_RELAXED);
            CHECK_STATUS(muster_member_barrier(me), -EOWNERDEAD); /* until it recovers */
            status = 0;
            continue;
        }
        CHECK_STATUS(status, 0);
        __atomic_fetch_add(&history->steps_checked, 1, __ATOMIC_RELAXED);
        number++;
    }
    __atomic_fetch_add(&history->finished, 1, __ATOMIC_RELAXED);
    return muster_leave(me);
}

/* Where a member can be killed. Points of loops come by themselves where a step is a loop. */
static const uint32_t points[] = {
    MUSTER_POINT_CONNECTED,  MUSTER_POINT_JOINED,    MUSTER_POINT_MAILED,
    MUSTER_POINT_ARRIVING,   MUSTER_POINT_ARRIVED,   MUSTER_POINT_MET,
    MUSTER_POINT_MAPPED,     MUSTER_POINT_CLAIMED,   MUSTER_POINT_CURRENT,
    MUSTER_POINT_COMMITTING, MUSTER_POINT_COMMITTED, MUSTER_POINT_LOOP_ENDED,
    MUSTER_POINT_ADOPTING,   MUSTER_POINT_AUDITING,  MUSTER_POINT_AUDITED,
    MUSTER_POINT_RECOVERING, MUSTER_POINT_RECOVERED};

int history(int count, char **arguments)
{
    uint64_t seed = count > 0 ? strtoull(arguments[0], NULL, 10) : 1;
    uint32_t histories = count > 1 ? (uint32_t)strtoul(arguments[1], NULL, 10) : 50;
    const char *canary = count > 2 ? arguments[2] : "";
    if (strcmp(canary, "folded") == 0)
        muster_testing_break(MUSTER_BROKEN_FOLDED);
    if (strcmp(canary, "one-mail") == 0)
        muster_testing_break(MUSTER_BROKEN_ONE_MAIL);
    if (strcmp(canary, "unrung") == 0)
        muster_testing_break(MUSTER_BROKEN_UNRUNG);
    if (strcmp(canary, "stay-dead") == 0)
        muster_testing_break(MUSTER_BROKEN_STAY_DEAD);
    if (strcmp(canary, "early") == 0)
        muster_testing_break(MUSTER_BROKEN_COMMIT_EARLY);
    printf("seed %llu\n", (unsigned long long)seed);
    fflush(stdout);
    uint64_t steps = 0, deaths = 0, restarts = 0, seen = 0, armed = 0;
    for (uint32_t i = 0; i < histories; i++) {
        watch(strcmp(canary, "unrung") == 0 ? 5 : 60);
        struct random random = generator(seed, i, 1);
        struct shared_history *history = shared(sizeof *history);
        history->seed = random_next(&random);
        struct team team = {.size = 1 + random_below(&random, 5),
                            .policy = random_below(&random, 2) ? RESTART : LOSE,
                            .restarts_most = 8,
                            .spin_ns = random_below(&random, 2) ? 20000 : 0,
                            .program = rank_program,
                            .context = history};
        history->deaths = random_below(&random, 3);
        for (uint32_t d = 0; d < history->deaths; d++) {
            history->points[d] = points[random_below(&random, sizeof points / sizeof *points)];
            history->ranks[d] = random_below(&random, team.size);
            history->nths[d] = 1 + random_below(&random, random_below(&random, 2) ? 3 : 25);
        }
        if (strcmp(canary, "unrung") == 0) {
            team = (struct team){.size = 3, .program = rank_program, .context = history};
            history->deaths = 1;
            history->points[0] = MUSTER_POINT_ARRIVING;
            history->ranks[0] = 1;
            history->nths[0] = 3;
        }
        run_team(&team);
        for (uint32_t rank = 0; rank < team.size; rank++)
            if (!ended_well(&team, rank) && !was_killed(&team, rank)) {
                fprintf(stderr, "seed %llu history %u: rank %u of %u ended with status %#x\n",
                        (unsigned long long)seed, i, rank, team.size, team.statuses[rank]);
                return 1;
            }
        uint64_t alive = 0;
        for (uint32_t rank = 0; rank < team.size; rank++)
            alive += ended_well(&team, rank);
        CHECK(history->finished == alive);
        CHECK(team.refused == 0);
        steps += history->steps_checked;
        deaths += team.died;
        restarts += team.restarts;
        seen += history->saw_death;
        armed += history->deaths;
        end_team(&team);
    }
    printf("histories %u steps %llu armed %llu deaths %llu restarts %llu seen %llu\n", histories,
           (unsigned long long)steps, (unsigned long long)armed, (unsigned long long)deaths,
           (unsigned long long)restarts, (unsigned long long)seen);
    return 0;
}
