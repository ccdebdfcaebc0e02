/* variants.h - what the variants of the kernels and their selection share; private. */
#ifndef MUSTER_KERNELS_VARIANTS_H
#define MUSTER_KERNELS_VARIANTS_H

#include <muster/bulk.h>

#ifdef __x86_64__
#include <immintrin.h>
#endif

/* NULL where this build has none; whether the CPU can run it is for the caller to ask. */
const struct muster_kernels *muster__kernels_portable(void);
const struct muster_kernels *muster__kernels_avx2(void);
const struct muster_kernels *muster__kernels_avx512(void);

/* Whether a sum is quicker where it asks for memory 8 KiB ahead of what it reads: 1.06 times on Zen
 * 5, while on Zen 4 it was 0.86 to 0.99; others were not measured. Told apart by an instruction
 * that of AMD's only Zen 5 has: the compiler's runtime has asked the CPU once, and in a virtual
 * machine asking is a call of the host. */
static inline bool muster__asks_ahead(void)
{
#ifdef __x86_64__
    return __builtin_cpu_is("amd") && __builtin_cpu_supports("avx512vp2intersect");
#else
    return false;
#endif
}

/* Extremes of two numbers that are not NaN. -0.0 counts as less than +0.0, so that the order in
 * which a run is looked at doesn't matter. */
static inline double muster__minimum(double x, double y)
{
    return x < y || (x == y && __builtin_signbit(x)) ? x : y;
}

static inline double muster__maximum(double x, double y)
{
    return x > y || (x == y && !__builtin_signbit(x)) ? x : y;
}

#endif
