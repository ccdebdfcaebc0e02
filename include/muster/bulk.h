/* bulk.h - loops over doubles and other numbers that come with Muster, and what each one moves.
 *
 * Every kernel gives the same bits whichever variant runs: lanes, blocks and the order of additions
 * are fixed here, not by the CPU, and products are never fused with sums. So a reduction is equal
 * between a laptop and a server, and a test can compare variants bit by bit. One exception: where
 * add and triad meet two NaNs, the compiler chooses whose payload survives. A reduction that is NaN
 * is C's NAN.
 *
 * Reductions over doubles use MUSTER_KERNEL_LANES running values that start at +0.0: element i goes
 * to lane i modulo MUSTER_KERNEL_LANES; at the end lane l takes in lane l + half, for half = 8, 4,
 * 2, 1. A sum depends on where a run is cut, so runs that must agree are cut alike.
 *
 * Extremes don't depend on order: -0.0 counts as less than +0.0.
 *
 * Concurrency: no kernel keeps state. All assume rounding to nearest.
 */
#ifndef MUSTER_BULK_H
#define MUSTER_BULK_H

#include <muster/exact.h>
#include <muster/types.h>

#ifdef __cplusplus
extern "C" {
/* A function has a struct's name here, which hides that struct's constructor from g++. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wshadow"
#endif

/* Running values of a reduction. 16 doubles: four AVX registers, to hide an add's latency. */
#define MUSTER_KERNEL_LANES 16u

/* Elements that the statistics kernel takes at a time: 2,048 doubles, half a first-level cache. */
#define MUSTER_KERNEL_BLOCK 2048u

/* Variants of the kernels. */
enum muster_kernel_variant {
    MUSTER_KERNEL_PORTABLE = 0, /* plain C, any CPU */
    MUSTER_KERNEL_AVX2 = 1,     /* x86-64 with AVX2 */
    MUSTER_KERNEL_AVX512 = 2,   /* x86-64 with AVX-512 F, DQ, VL and BW */
    MUSTER_KERNEL_VARIANTS = 3
};

/* What a kernel moves and computes for each element of 8 bytes, declared once for benchmarks. */
struct muster_kernel_cost {
    const char *name;
    uint32_t bytes_per_element; /* read and written, as STREAM counts: no write-allocate */
    uint32_t flops_per_element;
};

/* The kernels of one variant. Pointers to doubles are aligned to 8 bytes; a range that is written
 * overlaps no other. Elements of a dtype may have any alignment; bool takes any byte but 0 as 1,
 * and 8-byte integers are rounded to the nearest double, but for their exact sum. An unknown dtype
 * is an assertion: check one that was read from shared memory or a file by muster_type_bytes. */
struct muster_kernels {
    uint32_t variant; /* enum muster_kernel_variant */
    uint32_t reserved;

    /* a[i] = value, and so on. The streaming ones write past the caches where the variant can, for
     * arrays that don't fit them, and end with a store fence, so that a release store after them
     * publishes what they wrote. Results are the same. */
    void (*fill)(double *a, double value, size_t count, bool streaming);
    void (*copy)(double *to, const double *from, size_t count, bool streaming);
    void (*scale)(double *to, double factor, const double *from, size_t count, bool streaming);
    void (*add)(double *to, const double *a, const double *b, size_t count, bool streaming);
    void (*triad)(double *to, const double *a, double factor, const double *b, size_t count,
                  bool streaming); /* to = a + factor * b */

    double (*sum)(const double *a, size_t count);
    double (*dot)(const double *a, const double *b, size_t count);
    /* Extremes of the numbers that are not NaN; +infinity and -infinity when there are none. */
    void (*minmax)(const double *a, size_t count, double *minimum, double *maximum);

    /* The same numbers' exact sum, added to *sum: rounded once, by muster_exact_round, it does not
     * depend on any order. */
    void (*exact_sum)(const double *a, size_t count, struct muster_exact_sum *sum);

    /* Statistics of `count` elements of a type, added to nothing: *moments is overwritten. Blocks
     * of MUSTER_KERNEL_BLOCK elements, squares about each block's own mean. */
    void (*moments)(enum muster_type dtype, const void *a, size_t count,
                    struct muster_moments *moments);

    /* Adds to counts[0..<bins] how many finite elements lie in each bin, edges[b] <= x <
     * edges[b+1], the last bin closed: as numpy.histogram does with these edges. Elements outside
     * are left out. edges: bins + 1 finite doubles, none less than the one before. One comparison
     * for each element where edges are even; a binary search where they are not, or where there are
     * more bins than elements: then pass more elements at once. */
    void (*histogram)(enum muster_type dtype, const void *a, size_t count, const double *edges,
                      size_t bins, uint64_t *counts);
};

/* The fastest variant that this CPU can run. Returns: a constant, never NULL. */
const struct muster_kernels *muster_kernels_best(void);

/* One variant. Returns: NULL where this CPU, or this build, can't run it. */
const struct muster_kernels *muster_kernels_variant(enum muster_kernel_variant variant);

/* Cost of a kernel by the name of its field in struct muster_kernels ("copy", "triad", "sum", ...);
 * moments and histogram as for MUSTER_TYPE_F64. Comparisons are not flops.
 * Returns: a constant; NULL for an unknown name. */
const struct muster_kernel_cost *muster_kernel_cost(const char *name);

#ifdef __cplusplus
#pragma GCC diagnostic pop
}
#endif

#endif
