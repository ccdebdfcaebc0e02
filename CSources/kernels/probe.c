/* probe.c - what benchmarks of memory run. Timed loops are here and not in Swift, so that what is
 * timed is the same in every build but for the compiler's flags. */
#include <limits.h>
#include <muster/core/probe.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef __x86_64__
#include <immintrin.h>
#endif

#include "base/text.h"
#include "os/os.h"

/* -- cache lines ------------------------------------------------------------------------------ */

/* No machine's line is longer: a larger number is none. */
#define LINE_MAX_BYTES 4096u
/* More than any CPU has directories of caches. */
#define CACHES 16u

static bool is_line(uint64_t bytes)
{
    return bytes >= 8 && bytes <= LINE_MAX_BYTES && (bytes & (bytes - 1)) == 0;
}

uint32_t muster_cache_line_bytes(const char *root)
{
    uint32_t longest = 0;
    for (uint32_t index = 0; index < CACHES; index++) {
        char path[PATH_MAX], text[32];
        uint32_t bytes = 0;
        int length = snprintf(path, sizeof path,
                              "%s/sys/devices/system/cpu/cpu0/cache/index%u/coherency_line_size",
                              root ? root : "", index);
        if (length < 0 || (size_t)length >= sizeof path)
            break;
        int64_t size = muster__os_read_text(path, text, sizeof text);
        if (size <= 0)
            continue;
        text[strcspn(text, "\n")] = '\0';
        if (muster__text_number(text, LINE_MAX_BYTES, &bytes) && is_line(bytes) && bytes > longest)
            longest = bytes;
    }
    int64_t said = longest == 0 && !root ? muster__os_line_bytes() : 0;
    if (is_line(said < 0 ? 0 : (uint64_t)said))
        longest = (uint32_t)said;
    return longest > MUSTER_PROBE_LINE_BYTES ? longest : MUSTER_PROBE_LINE_BYTES;
}

/* -- pointer chase --------------------------------------------------------------------------- */

/* SplitMix64. Source: Steele, Lea, Flood, "Fast splittable pseudorandom number generators", 2014.
 */
static uint64_t next_random(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

/* 0..<limit. The bias of a product's upper half is below limit / 2^32: nothing to an order. */
static uint32_t random_below(uint64_t *state, uint32_t limit)
{
    return (uint32_t)(((next_random(state) >> 32) * limit) >> 32);
}

static void shuffle(uint32_t *items, uint32_t count, uint64_t *state)
{
    for (uint32_t i = count; i > 1; i--) {
        uint32_t j = random_below(state, i);
        uint32_t item = items[i - 1];
        items[i - 1] = items[j];
        items[j] = item;
    }
}

int64_t muster_chase_link(void *memory, size_t size_bytes, size_t stride_bytes, size_t window_bytes,
                          uint64_t seed)
{
    if (stride_bytes == 0 || stride_bytes % MUSTER_PROBE_LINE_BYTES != 0)
        return -EINVAL;
    size_t links = size_bytes / stride_bytes;
    if (links < 1 || links >= UINT32_MAX)
        return -EINVAL;
    size_t per_window = window_bytes / stride_bytes;
    per_window = per_window < 1 ? 1 : per_window > links ? links : per_window;
    uint32_t windows = (uint32_t)((links + per_window - 1) / per_window);
    /* A cycle through a shuffled order is as random as Sattolo's, and the order says the number of
     * each link. Behind the order of links, that of the windows. */
    uint32_t *order = malloc((links + windows) * sizeof *order);
    if (!order)
        return -ENOMEM;
    uint32_t *window_order = order + links;
    for (uint32_t w = 0; w < windows; w++)
        window_order[w] = w;
    shuffle(window_order, windows, &seed);
    size_t filled = 0;
    for (uint32_t w = 0; w < windows; w++) {
        size_t first = window_order[w] * per_window;
        size_t count = links - first < per_window ? links - first : per_window;
        for (size_t i = 0; i < count; i++)
            order[filled + i] = (uint32_t)(first + i);
        shuffle(order + filled, (uint32_t)count, &seed);
        filled += count;
    }
    unsigned char *base = memory;
    for (size_t k = 0; k < links; k++) {
        struct muster_link *link = (void *)(base + order[k] * stride_bytes);
        link->next = (void *)(base + order[k + 1 == links ? 0 : k + 1] * stride_bytes);
        link->ordinal = k;
    }
    free(order);
    return (int64_t)links;
}

struct muster_link *muster_chase_run(struct muster_link *from, uint64_t steps)
{
    struct muster_link *link = from;
    /* Unrolled: the loop's own count and branch take no time next to a load that hits the first
     * cache. */
    for (uint64_t i = steps / 16; i > 0; i--) {
        link = link->next->next->next->next->next->next->next->next;
        link = link->next->next->next->next->next->next->next->next;
    }
    return link;
}

/* -- traffic --------------------------------------------------------------------------------- */

/* 16 bytes, which every 64-bit CPU loads and stores at once: enough to keep memory busy. */
typedef uint64_t pair __attribute__((vector_size(16)));

static void wait_turns(uint64_t turns)
{
    for (uint64_t i = 0; i < turns; i++)
        __asm__ volatile("" ::: "memory");
}

/* Inlined for constant counts, so that the lines of a turn are straight code. */
__attribute__((always_inline)) static inline uint64_t
run_mix(uint32_t reads, uint32_t writes, const void *from, size_t from_bytes, void *to,
        size_t to_bytes, uint64_t value, uint64_t delay_turns, uint64_t *sum)
{
    const pair *source = from;
    pair *target = to;
    pair sums[4] = {{0}, {0}, {0}, {0}};
    const pair values = {value, value};
    size_t line_pairs = MUSTER_PROBE_LINE_BYTES / sizeof(pair);
    size_t turns = SIZE_MAX;
    if (reads)
        turns = from_bytes / MUSTER_PROBE_LINE_BYTES / reads;
    if (writes && to_bytes / MUSTER_PROBE_LINE_BYTES / writes < turns)
        turns = to_bytes / MUSTER_PROBE_LINE_BYTES / writes;
    if (reads + writes == 0)
        turns = 0;
    uint32_t moved = 0;
    for (size_t turn = 0; turn < turns; turn++) {
        for (uint32_t line = 0; line < reads; line++, source += line_pairs)
            for (uint32_t i = 0; i < 4; i++)
                sums[i] += source[i];
        for (uint32_t line = 0; line < writes; line++, target += line_pairs) {
            for (uint32_t i = 0; i < 4; i++)
                target[i] = values;
            /* Keeps the loop from becoming a memset, which may store past the caches. */
            __asm__ volatile("" ::: "memory");
        }
        if (delay_turns) {
            moved += (reads + writes) * MUSTER_PROBE_LINE_BYTES;
            if (moved >= 1024) {
                wait_turns(delay_turns);
                moved -= 1024;
            }
        }
    }
    pair total = sums[0] + sums[1] + sums[2] + sums[3];
    *sum = total[0] + total[1];
    return (uint64_t)turns * (reads + writes) * MUSTER_PROBE_LINE_BYTES;
}

_Static_assert(MUSTER_PROBE_LINE_BYTES == 4 * sizeof(pair), "a line is four pairs");

uint64_t muster_mix_run(struct muster_mix mix, const void *from, size_t from_bytes, void *to,
                        size_t to_bytes, uint64_t value, uint64_t delay_turns, uint64_t *sum)
{
#define RUN(reads, writes)                                                                         \
    run_mix(reads, writes, from, from_bytes, to, to_bytes, value, delay_turns, sum)
    if (mix.writes == 0 && mix.reads == 1)
        return RUN(1, 0);
    if (mix.writes == 1 && mix.reads == 3)
        return RUN(3, 1);
    if (mix.writes == 1 && mix.reads == 2)
        return RUN(2, 1);
    if (mix.writes == 1 && mix.reads == 1)
        return RUN(1, 1);
    if (mix.writes == 1 && mix.reads == 0)
        return RUN(0, 1);
    return RUN(mix.reads, mix.writes);
#undef RUN
}

/* -- cache lines between CPUs ---------------------------------------------------------------- */

static bool flush_line(const void *line)
{
#if defined(__x86_64__)
    _mm_clflush(line);
    return true;
#elif defined(__aarch64__)
    __asm__ volatile("dc civac, %0" ::"r"(line) : "memory");
    return true;
#else
    (void)line;
    return false;
#endif
}

int muster_hold_lines(void *memory, size_t size_bytes, size_t stride_bytes, enum muster_hold hold)
{
    unsigned char *base = memory;
    size_t count = size_bytes / stride_bytes;
    for (size_t i = 0; i < count; i++) {
        struct muster_link *volatile *next = (void *)(base + i * stride_bytes);
        if (hold == MUSTER_HOLD_MODIFIED)
            *next = *next;
        else if (!flush_line(base + i * stride_bytes))
            return -ENOSYS;
    }
    if (hold == MUSTER_HOLD_MODIFIED)
        return 0;
    /* No line may be read before all are flushed: a flush that is still under way takes it again.
     */
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    for (size_t i = 0; i < count; i++)
        (void)*(struct muster_link *volatile *)(void *)(base + i * stride_bytes);
    return 0;
}

int muster_line_wait(const uint64_t *word, uint64_t value, uint64_t timeout_ns)
{
    uint64_t began = 0;
    for (uint32_t turn = 1; !muster_line_has(word, value); turn++) {
        /* The clock is asked seldom: the next load shall see the line as soon as it can come. */
        if (turn % 4096 != 0)
            continue;
        uint64_t now = muster__os_now_ns();
        began = began ? began : now;
        if (now - began > timeout_ns)
            return -ETIMEDOUT;
    }
    return 0;
}

bool muster_line_has(const uint64_t *word, uint64_t value)
{
    return __atomic_load_n(word, __ATOMIC_ACQUIRE) == value;
}

void muster_line_post(uint64_t *word, uint64_t value)
{
    __atomic_store_n(word, value, __ATOMIC_RELEASE);
}

int muster_line_run(uint64_t *word, uint32_t side, uint64_t rounds, uint64_t timeout_ns)
{
    for (uint64_t round = 0; round < rounds; round++) {
        uint64_t wanted = 2 * round + side;
        int status = muster_line_wait(word, wanted, timeout_ns);
        if (status)
            return status;
        muster_line_post(word, wanted + 1);
    }
    /* The last answer belongs to the time of side 0. */
    return side == 0 ? muster_line_wait(word, 2 * rounds, timeout_ns) : 0;
}

/* -- arithmetic ------------------------------------------------------------------------------ */

uint64_t muster_spin(uint64_t turns)
{
    uint64_t x = 1;
    for (uint64_t i = 0; i < turns; i++) {
        x *= 6364136223846793005u;
        __asm__ volatile("" : "+r"(x));
    }
    return x;
}
