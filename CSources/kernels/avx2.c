/* avx2.c - the kernels for 256-bit vectors, x86-64 with AVX2.
 *
 * The instructions are switched on by pragma and not by compiler flag, since a Swift package with
 * flags of its own can't be used as a dependency; and not by target_clones, whose resolvers crash
 * under the thread sanitizer. System headers come first: their functions must stay as they are.
 */
#include "kernels/variants.h"

#ifdef __x86_64__

#include <assert.h>
#include <float.h>
#include <math.h>
#include <string.h>

#ifdef __clang__
#pragma clang attribute push(__attribute__((target("avx2"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2")
#endif

#define MUSTER__VARIANT MUSTER_KERNEL_AVX2
#define MUSTER__WIDTH   4
#define MUSTER__TABLE   muster__kernels_avx2
#include "kernels/body.h"

#ifdef __clang__
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

#else

const struct muster_kernels *muster__kernels_avx2(void)
{
    return NULL;
}

#endif
