/* probe.h - what benchmarks of memory run: pointer chases, traffic of reads and writes, lines that
 * go from one CPU's cache to another's.
 *
 * Nothing here is needed to run a loop. The functions work on memory that the caller owns; none
 * allocates but muster_chase_link, none keeps state.
 */
#ifndef MUSTER_CORE_PROBE_H
#define MUSTER_CORE_PROBE_H

#include <muster/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The unit of these probes: a cache line on x86-64 and most ARM. Links and lines that are timed one
 * by one stand at least muster_cache_line_bytes apart. */
#define MUSTER_PROBE_LINE_BYTES 64u

/* The longest cache line of this machine, in bytes: a power of two, at least
 * MUSTER_PROBE_LINE_BYTES.
 *
 * root: NULL, or a directory that stands for /, with /sys in it.
 * Returns: what the first CPU's caches say; if that can't be, what the C library says of this
 * machine; otherwise MUSTER_PROBE_LINE_BYTES. Without it a chase over longer lines would find every
 * second link in the line that it has just fetched, and its figure would be too low. Concurrency:
 * any thread. Source: sysfs-devices-system-cpu, coherency_line_size; sysconf(3). */
uint32_t muster_cache_line_bytes(const char *root);

/* -- pointer chase --------------------------------------------------------------------------- */

/* A link of a chase, at the start of its line. */
struct muster_link {
    struct muster_link *next;
    uint64_t ordinal; /* how many links come before it in the cycle */
};

/* Makes one cycle through all lines of some memory, in an order that prefetchers can't guess.
 *
 * memory, size_bytes: aligned to a line; links stand every stride_bytes, as many as fit.
 * stride_bytes: a multiple of MUSTER_PROBE_LINE_BYTES.
 * window_bytes: the memory is visited window by window, windows in random order and links within
 *     one at random too. size_bytes or more: one window, so that nearly each step goes to another
 *     page, and pays for the translation of its address where the TLBs don't reach. A window that
 *     the first TLB holds: translations are nearly free, and the caches' misses remain.
 * seed: the same seed, the same cycle.
 * Returns: how many links the cycle has; -EINVAL: less than one link, or 2^32 - 1 and more, or a
 * stride that can't be; -ENOMEM.
 * Source: Sattolo 1986 for why one cycle; multichase, Intel MLC for windows. */
int64_t muster_chase_link(void *memory, size_t size_bytes, size_t stride_bytes, size_t window_bytes,
                          uint64_t seed);

/* Follows a cycle for some steps, each load waiting for the one before.
 *
 * from: a link; steps: rounded down to a multiple of 16.
 * Returns: the link it ends at: its ordinal is the first one's plus the steps, modulo the cycle, or
 * something is wrong. */
struct muster_link *muster_chase_run(struct muster_link *from, uint64_t steps);

/* -- traffic --------------------------------------------------------------------------------- */

/* How much is read and written in turn, in lines. */
struct muster_mix {
    uint32_t reads;
    uint32_t writes;
};

/* Reads and writes memory in a given proportion, sequentially: `reads` lines of `from`, then
 * `writes` lines of `to`, and so on, as long as both have as many left.
 *
 * from, to: aligned to a line; the one whose count is 0 may be NULL. Every 8 bytes written get
 * `value`. Stores go through the caches.
 * delay_turns: turns of an empty loop after each KiB that was moved; 0: none.
 * sum: receives the sum modulo 2^64 of all 8-byte words read.
 * Returns: bytes read and written. */
uint64_t muster_mix_run(struct muster_mix mix, const void *from, size_t from_bytes, void *to,
                        size_t to_bytes, uint64_t value, uint64_t delay_turns, uint64_t *sum);

/* -- cache lines between CPUs ---------------------------------------------------------------- */

/* How a line lies in the cache of the CPU that holds it. */
enum muster_hold {
    MUSTER_HOLD_CLEAN = 0,   /* as memory has it: flushed everywhere, then read */
    MUSTER_HOLD_MODIFIED = 1 /* newer than memory: written */
};

/* Takes the links of a chase into this CPU's cache, in address order.
 *
 * Returns: 0; -ENOSYS: MUSTER_HOLD_CLEAN on a CPU that this build can't flush lines of. */
int muster_hold_lines(void *memory, size_t size_bytes, size_t stride_bytes, enum muster_hold hold);

/* Waits, spinning, until a word has a value. Returns: 0; -ETIMEDOUT after timeout_ns.
 * Concurrency: acquires what was done before the post. */
int muster_line_wait(const uint64_t *word, uint64_t value, uint64_t timeout_ns);

/* Whether a word has a value now: a single load, for callers with other things to do meanwhile.
 * Concurrency: as muster_line_wait. */
bool muster_line_has(const uint64_t *word, uint64_t value);

/* Sets a word that others wait for. Concurrency: releases what was done before. */
void muster_line_post(uint64_t *word, uint64_t value);

/* One side of an exchange: side 0 makes the word 1, side 1 makes it 2, side 0 makes it 3, ...
 *
 * word: 0 at the start, alone in its line. rounds: exchanges there and back.
 * Returns: 0; -ETIMEDOUT: the other side was silent for timeout_ns. */
int muster_line_run(uint64_t *word, uint32_t side, uint64_t rounds, uint64_t timeout_ns);

/* -- kernels of a user's library -------------------------------------------------------------- */

/* What `muster bench kernel` calls for each chunk: NAME, of `count` doubles each. The library also
 * declares `const struct muster_kernel_cost NAME_cost`, and may have NAME_check. */
typedef void (*muster_user_kernel)(double *to, const double *a, const double *b, size_t count);

/* Counts elements of a chunk that are wrong. Returns: how many. */
typedef size_t (*muster_user_check)(const double *to, const double *a, const double *b,
                                    size_t count);

/* -- arithmetic ------------------------------------------------------------------------------ */

/* A chain of dependent multiplications that touches no memory: its time tells of the CPU's clock
 * and of other programs on the CPU. Returns: the last product, odd. */
uint64_t muster_spin(uint64_t turns);

#ifdef __cplusplus
}
#endif

#endif
