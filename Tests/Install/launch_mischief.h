/* launch_mischief.h - what the tests of a C leader's loops share: kernels that misbehave at one
 * chunk, a team with an array, and what the array holds afterwards. */
#ifndef MUSTER_LAUNCH_MISCHIEF_H
#define MUSTER_LAUNCH_MISCHIEF_H

#include "launch_check.h"

#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#pragma GCC diagnostic ignored "-Wunused-function" /* each program uses its part */

enum { GRAIN = 1000, CHUNKS = 37, ELEMENTS = GRAIN * CHUNKS - 1, LEDGER = 16 };

/* What a kernel does at the chunk `at`, beside its work. */
enum mischief { NONE, DIE_ONCE, DIE_ALWAYS, CRASH_ALWAYS, HANG_ONCE, RETURN_7, SHRINK_FILE };

struct arguments {
    uint64_t at;
    uint32_t what;
    uint32_t pause_us; /* a chunk takes so long */
    char path[64];
};

static struct muster_leader *leader;
static struct muster_array *x;
static struct muster_array *ledger; /* counts attempts: a cell that chunks share, outside of every
                                       promise, hence changed through an input */

/* How often this was called for the chunk in question, in all processes. */
static uint64_t attempt(const struct muster_work *work)
{
    uint64_t *cells = (uint64_t *)(uintptr_t)muster_work_input(work, 1);
    return __atomic_add_fetch(&cells[0], 1, __ATOMIC_SEQ_CST);
}

static int misbehave(const struct muster_work *work)
{
    const struct arguments *arguments = work->arguments;
    if (arguments->pause_us)
        usleep(arguments->pause_us);
    if (work->chunk.index != arguments->at)
        return 0;
    switch ((enum mischief)arguments->what) {
    case DIE_ONCE:
        if (attempt(work) == 1)
            raise(SIGKILL);
        break;
    case DIE_ALWAYS:
        raise(SIGKILL);
        break;
    case CRASH_ALWAYS:
        *(volatile char *)mmap(NULL, 1, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) = 1;
        break;
    case HANG_ONCE:
        if (attempt(work) == 1)
            for (;;)
                pause();
        break;
    case RETURN_7:
        muster_work_explain(work, "the seventh seal");
        return 7;
    case SHRINK_FILE:
        if (truncate(arguments->path, 0) != 0)
            raise(SIGKILL);
        break;
    case NONE:
        break;
    }
    return 0;
}

/* x[i] = 3 x[i] + 1, in place: done twice, or half, it shows. Misbehaves in the second tile. */
static int step(const struct muster_work *work)
{
    struct muster_tile tile = {0};
    bool first = true;
    while (muster_work_update(work, 0, &tile)) {
        uint64_t *values = tile.elements;
        for (uint64_t i = tile.first; i < tile.end; i++) {
            values[i] = 3 * values[i] + 1;
            if (!first && i == tile.first + 10) {
                int status = misbehave(work);
                if (status != 0)
                    return status;
            }
        }
        first = false;
    }
    return 0;
}

static int step_whole(const struct muster_work *work)
{
    uint64_t *values = muster_work_update_whole(work, 0);
    for (uint64_t i = work->chunk.end; i-- > work->chunk.first;) {
        values[i] = 3 * values[i] + 1;
        if (i == work->chunk.first + 10) {
            int status = misbehave(work);
            if (status != 0)
                return status;
        }
    }
    return 0;
}

/* Out of place, and reads none of what it writes. */
static int write_index(const struct muster_work *work)
{
    uint64_t *values = muster_work_output(work, 0);
    for (uint64_t i = work->chunk.first; i < work->chunk.end; i++) {
        values[i] = i;
        if (i == work->chunk.first + 10) {
            int status = misbehave(work);
            if (status != 0)
                return status;
        }
    }
    return 0;
}

static void lead(uint32_t size, uint32_t start)
{
    leader = team(size, start);
    x = array(leader, 8, ELEMENTS);
    ledger = array(leader, 8, LEDGER);
}

/* Out of place, and reads what it must not: its own first attempt's output. */
static int read_output(const struct muster_work *work)
{
    const struct arguments *arguments = work->arguments;
    uint64_t *values = muster_work_output(work, 0);
    if (work->chunk.index != arguments->at)
        return 0;
    if (attempt(work) == 1) {
        values[work->chunk.first] = 42;
        raise(SIGKILL);
    }
    return values[work->chunk.first] == UINT64_MAX ? 0 : 42;
}

static struct arguments arguments;
static struct muster_use uses[2];
static struct muster_loop_options loop;

/* The next loop: x under an access, the ledger beside it. */
static void prepare(muster_kernel kernel, uint32_t access, enum mischief what, uint64_t at)
{
    arguments = (struct arguments){.at = at, .what = what};
    uses[0] = (struct muster_use){.array = x, .access = access};
    uses[1] = (struct muster_use){.array = ledger, .access = MUSTER_ACCESS_INPUT};
    loop = (struct muster_loop_options){.size_bytes = sizeof loop,
                                        .kernel = kernel,
                                        .count = ELEMENTS,
                                        .grain = GRAIN,
                                        .uses = uses,
                                        .use_count = 2,
                                        .arguments = &arguments,
                                        .argument_bytes = sizeof arguments};
    memset(muster_array_elements(ledger), 0, LEDGER * sizeof(uint64_t));
    uint64_t *values = muster_array_elements(x);
    for (uint64_t i = 0; i < ELEMENTS; i++)
        values[i] = 5 * i;
}

/* Whether each chunk was changed once, except one that has its old contents (-1: none). */
static bool stepped_except(int64_t chunk)
{
    const uint64_t *values = muster_array_elements(x);
    for (uint64_t i = 0; i < ELEMENTS; i++)
        if (values[i] != ((int64_t)(i / GRAIN) == chunk ? 5 * i : 15 * i + 1))
            return false;
    return true;
}

static const struct muster_report *clean(void)
{
    const struct muster_report *report = muster_leader_report(leader);
    CHECK(report && report->clean == 1 && report->chunks == CHUNKS);
    CHECK(report->exactly_once == CHUNKS && report->missing == 0 && report->repeated == 0);
    CHECK(report->elements == ELEMENTS && report->grain == GRAIN && report->finding_count == 0);
    CHECK(report->size == muster_leader_size(leader) && report->schedule == loop.schedule);
    CHECK(report->quarantined_count == 0 && report->vacant_count == 0 && !report->cancelled);
    CHECK(strstr(report->text, "37 chunks, each exactly once"));
    return report;
}

static void run_clean(void)
{
    CHECK(muster_leader_run(leader, &loop, &error) == 0);
    clean();
}

/* After all else a loop goes as at first. */
static void end_as_at_first(void)
{
    prepare(step, MUSTER_ACCESS_IN_PLACE, NONE, 0);
    run_clean();
    CHECK(stepped_except(-1));
    muster_leader_destroy(leader);
}

#endif
