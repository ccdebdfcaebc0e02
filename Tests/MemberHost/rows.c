/* rows.c - the arrays that a member's loop deals: rows, and counts that fit none of them. */
#include <stddef.h>
#include <string.h>

#include "support.h"

enum { ROWS = 60, WIDTH = 24, RANKS = 3 };

static struct muster_member_use use_of(const void *address, uint32_t access, uint64_t width)
{
    return (struct muster_member_use){.address = address,
                                      .access = access,
                                      .element_bytes = sizeof(double),
                                      .elements_per_index = width};
}

/* Begins a loop that must be refused, and checks what is said of it. */
static void refuse(struct muster_member *me, const struct muster_member_loop_options *options,
                   int wanted, const char *words)
{
    struct muster_member_loop *loop;
    char text[256];
    CHECK_STATUS(muster_member_loop_begin(me, options, &loop), wanted);
    if (wanted != -ERANGE)
        return;
    CHECK_STATUS(muster_member_loop_advice(me, options, text, sizeof text), 1);
    if (!strstr(text, words))
        fail(__FILE__, __LINE__, text);
    char little[8];
    CHECK_STATUS(muster_member_loop_advice(me, options, little, sizeof little), 1);
    CHECK(strlen(little) == 7);
}

static void check_refusals(struct muster_member *me, struct muster_member_loop_options options,
                           struct muster_member_use *use)
{
    const struct muster_member_use good = *use;
    use->elements_per_index = 0;
    refuse(me, &options, -ERANGE, "set its elements_per_index to 24");
    use->elements_per_index = WIDTH / 2;
    refuse(me, &options, -ERANGE, "12 an index");
    use->elements_per_index = WIDTH + 1;
    refuse(me, &options, -ERANGE, "make the array longer");
    use->elements_per_index = UINT64_MAX;
    refuse(me, &options, -ERANGE, "make the array longer");
    *use = good;
    options.elements = ROWS - 1;
    refuse(me, &options, -ERANGE, "MUSTER_USE_PREFIX");
    options.elements = 0;
    refuse(me, &options, -ERANGE, "MUSTER_USE_PREFIX");
    options.elements = ROWS;
    use->element_bytes = 0;
    refuse(me, &options, -EINVAL, NULL);
    use->element_bytes = 7; /* no divisor of the array */
    refuse(me, &options, -EINVAL, NULL);
    *use = good, use->flags = 4;
    refuse(me, &options, -EINVAL, NULL);
    *use = good, use->flags = MUSTER_USE_GATHER;
    refuse(me, &options, -EINVAL, NULL);
    *use = good, use->access = 3;
    refuse(me, &options, -EINVAL, NULL);
    *use = good, use->address = &good;
    refuse(me, &options, -EINVAL, NULL);
    *use = good;
    options.uses = NULL;
    refuse(me, &options, -EINVAL, NULL);
}

/* Length: one loop after the other, by all ranks. */
static int program(struct team *team, uint32_t rank, uint32_t incarnation)
{
    (void)incarnation;
    struct muster_member *me = join_as(team, rank);
    void *address, *other;
    CHECK_STATUS(muster_member_array(me, "plate", ROWS * WIDTH * sizeof(double), &address), 0);
    CHECK_STATUS(muster_member_array(me, "other", ROWS * WIDTH * sizeof(double), &other), 0);
    double *plate = address;
    struct muster_member_use use = use_of(address, MUSTER_ACCESS_OUTPUT, WIDTH);
    struct muster_member_loop_options options = {.size_bytes = sizeof options,
                                                 .schedule = MUSTER_SCHEDULE_DYNAMIC,
                                                 .elements = ROWS,
                                                 .grain = 7,
                                                 .uses = &use,
                                                 .use_count = 1};
    struct muster_member_loop *loop;
    struct muster_chunk chunk;
    for (int turn = 1; turn <= 3; turn++) {
        CHECK_STATUS(muster_member_loop_begin(me, &options, &loop), 0);
        while (muster_member_loop_next(loop, &chunk) > 0) {
            struct muster_interval mine = muster_chunk_elements(&chunk, WIDTH);
            CHECK(mine.first == chunk.first * WIDTH && mine.end == chunk.end * WIDTH);
            for (uint64_t i = mine.first; i < mine.end; i++)
                plate[i] = turn * (double)i;
            muster_member_loop_commit(loop, &chunk);
        }
        struct muster_report report = {.size_bytes = sizeof report};
        CHECK_STATUS(muster_member_loop_end(loop, &report), 0);
        CHECK(report.exactly_once == (ROWS + 6) / 7);
        for (uint64_t i = 0; i < (uint64_t)ROWS * WIDTH; i++)
            CHECK(plate[i] == turn * (double)i);
        CHECK_STATUS(muster_member_barrier(me), 0);
    }
    check_refusals(me, options, &use);
    use.access = MUSTER_ACCESS_IN_PLACE;
    check_refusals(me, options, &use);

    /* What is said by name: a prefix, of whole rows. */
    use.flags = MUSTER_USE_PREFIX;
    options.elements = ROWS / 2;
    CHECK_STATUS(muster_member_loop_begin(me, &options, &loop), 0);
    while (muster_member_loop_next(loop, &chunk) > 0)
        muster_member_loop_commit(loop, &chunk);
    CHECK_STATUS(muster_member_loop_end(loop, NULL), 0);
    options.elements = ROWS + 1;
    refuse(me, &options, -ERANGE, "make the array longer");

    /* Loops that only read: one array has the count, or all are tables. */
    struct muster_member_use two[2] = {use_of(address, MUSTER_ACCESS_INPUT, 0),
                                       use_of(other, MUSTER_ACCESS_INPUT, WIDTH)};
    options.uses = two;
    options.use_count = 2;
    options.elements = ROWS;
    CHECK_STATUS(muster_member_loop_begin(me, &options, &loop), 0);
    CHECK_STATUS(muster_member_loop_end(loop, NULL), -EBADMSG); /* nobody has done anything */
    two[1].flags = MUSTER_USE_GATHER;
    refuse(me, &options, -ERANGE, "\"plate\" has 1440 elements");
    two[0].flags = MUSTER_USE_GATHER;
    options.elements = 5;
    CHECK_STATUS(muster_member_loop_begin(me, &options, &loop), 0);
    CHECK_STATUS(muster_member_loop_end(loop, NULL), -EBADMSG);

    /* Ranks that name different arrays, or rows, are found; where they lie is each rank's own. */
    two[0] = use_of(rank == 1 ? other : address, MUSTER_ACCESS_INPUT, WIDTH);
    options.use_count = 1;
    options.elements = ROWS;
    refuse(me, &options, -EINVAL, NULL);
    two[0] = use_of(address, rank == 1 ? MUSTER_ACCESS_OUTPUT : MUSTER_ACCESS_INPUT, WIDTH);
    refuse(me, &options, -EINVAL, NULL);
    two[0] = use_of(address, MUSTER_ACCESS_OUTPUT, WIDTH);
    two[0].flags = rank == 1 ? MUSTER_USE_PREFIX : 0;
    refuse(me, &options, -EINVAL, NULL);

    /* Options of an earlier version name none. */
    options.size_bytes = offsetof(struct muster_member_loop_options, uses);
    options.elements = 77;
    CHECK_STATUS(muster_member_loop_begin(me, &options, &loop), 0);
    while (muster_member_loop_next(loop, &chunk) > 0)
        muster_member_loop_commit(loop, &chunk);
    CHECK_STATUS(muster_member_loop_end(loop, NULL), 0);
    return muster_leave(me);
}

/* A default chunk is bounded in bytes. */
static void check_grain(void)
{
    struct muster_member *me = NULL;
    unsetenv("MUSTER_TEAM");
    CHECK_STATUS(muster_join(&me), 0);
    void *address;
    CHECK_STATUS(muster_member_array(me, "wide", 64u << 20, &address), 0);
    struct muster_member_use use = use_of(address, MUSTER_ACCESS_OUTPUT, 1 << 15);
    struct muster_member_loop_options options = {
        .size_bytes = sizeof options, .elements = 1 << 8, .uses = &use, .use_count = 1};
    struct muster_member_loop *loop;
    CHECK_STATUS(muster_member_loop_begin(me, &options, &loop), 0);
    CHECK(loop->cursor.grain == 2 && muster_member_loop_chunks(loop) == 1 << 7); /* of 512 KiB */
    CHECK_STATUS(muster_member_loop_end(loop, NULL), -EBADMSG);
    CHECK_STATUS(muster_leave(me), 0);
}

int rows(int count, char **arguments)
{
    (void)count;
    (void)arguments;
    watch(60);
    check_grain();
    struct team team = {.size = RANKS, .program = program};
    run_team(&team);
    for (uint32_t rank = 0; rank < RANKS; rank++)
        CHECK(ended_well(&team, rank));
    end_team(&team);
    return 0;
}
