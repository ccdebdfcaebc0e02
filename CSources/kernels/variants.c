/* variants.c - which variant of the kernels runs, and what they cost.
 *
 * Selection asks the CPU at each use: the compiler's runtime has the answer in one word, and a
 * table pointer kept here would be global state.
 */
#include "kernels/variants.h"

#include <math.h>
#include <string.h>

#ifdef __clang__
#pragma STDC FP_CONTRACT OFF
#else
#pragma GCC optimize("fp-contract=off")
#endif

/* Whether a sum is quicker where it asks for memory 8 KiB ahead of what it reads: 1.06 times on Zen
 * 5, while on Zen 4 it was 0.86 to 0.99; others were not measured. Told apart by an instruction
 * that of AMD's only Zen 5 has: the compiler's runtime has asked the CPU once, and in a virtual
 * machine asking is a call of the host. */
bool muster__asks_ahead(void)
{
#ifdef __x86_64__
    return __builtin_cpu_is("amd") && __builtin_cpu_supports("avx512vp2intersect");
#else
    return false;
#endif
}

const struct muster_kernels *muster_kernels_variant(enum muster_kernel_variant variant)
{
#ifdef __x86_64__
    /* A constructor that runs before the compiler's own would find nothing supported. */
    __builtin_cpu_init();
#endif
    switch (variant) {
    case MUSTER_KERNEL_PORTABLE:
        return muster__kernels_portable();
#ifdef __x86_64__
    case MUSTER_KERNEL_AVX2:
        return __builtin_cpu_supports("avx2") ? muster__kernels_avx2() : NULL;
    case MUSTER_KERNEL_AVX512:
        return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
                       __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512bw")
                   ? muster__kernels_avx512()
                   : NULL;
#endif
    default:
        return NULL;
    }
}

const struct muster_kernels *muster_kernels_best(void)
{
    for (int variant = MUSTER_KERNEL_VARIANTS - 1; variant > MUSTER_KERNEL_PORTABLE; variant--) {
        const struct muster_kernels *found =
            muster_kernels_variant((enum muster_kernel_variant)variant);
        if (found)
            return found;
    }
    return muster__kernels_portable();
}

const struct muster_kernel_cost *muster_kernel_cost(const char *name)
{
    /* Exact sum: one addition, and three for what it leaves. Moments: that, and six for squares. */
    static const struct muster_kernel_cost costs[] = {
        {"fill", 8, 0},     {"copy", 16, 0},     {"scale", 16, 1},    {"add", 24, 1},
        {"triad", 24, 2},   {"sum", 8, 1},       {"dot", 16, 2},      {"minmax", 8, 0},
        {"moments", 8, 10}, {"histogram", 8, 2}, {"exact_sum", 8, 4},
    };
    for (size_t i = 0; i < sizeof costs / sizeof costs[0]; i++)
        if (strcmp(costs[i].name, name) == 0)
            return &costs[i];
    return NULL;
}

size_t muster_dtype_bytes(enum muster_dtype dtype)
{
    switch (dtype) {
    case MUSTER_I1:
    case MUSTER_U1:
    case MUSTER_BOOL:
        return 1;
    case MUSTER_F2:
    case MUSTER_I2:
    case MUSTER_U2:
        return 2;
    case MUSTER_F4:
    case MUSTER_I4:
    case MUSTER_U4:
        return 4;
    case MUSTER_F8:
    case MUSTER_I8:
    case MUSTER_U8:
        return 8;
    }
    return 0;
}
