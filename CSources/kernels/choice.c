/* choice.c - which variant of the kernels runs, and what they cost.
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
