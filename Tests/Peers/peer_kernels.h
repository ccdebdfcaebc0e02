/* peer_kernels.h - STREAM's kernels and a sum, as a user who cares for speed would write them in C
 * for this very machine.
 */
#ifndef PEER_KERNELS_H
#define PEER_KERNELS_H

#include "peer.h"

#include <sys/mman.h>

#if defined(__AVX512F__)
#define PEER_WIDTH 8
#elif defined(__AVX__)
#define PEER_WIDTH 4
#else
#define PEER_WIDTH 2
#endif
#if defined(__x86_64__)
#include <immintrin.h>
#endif

/* Private memory in huge pages where the system gives them, not touched yet. */
static inline double *peer_memory(size_t bytes)
{
    const size_t huge = 2u << 20;
    void *memory =
        mmap(NULL, bytes + huge, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        peer_fail("no memory");
    memory = (void *)(((size_t)memory + huge - 1) / huge * huge);
    madvise(memory, bytes, MADV_HUGEPAGE);
    return memory;
}

enum peer_kernel { PEER_COPY, PEER_SCALE, PEER_ADD, PEER_TRIAD, PEER_KERNELS };
static const char *const peer_kernel_names[] = {"copy", "scale", "add", "triad"};
static const int peer_kernel_bytes[] = {16, 16, 24, 24};
static const double peer_factor = 0.4;

/* One of STREAM's kernels over count elements, through the caches. The names are STREAM's: copy
 * c = a, scale b = factor c, add c = a + b, triad a = b + factor c. */
static inline void peer_plain(enum peer_kernel kernel, double *restrict a, double *restrict b,
                              double *restrict c, size_t count)
{
    switch (kernel) {
    case PEER_COPY:
        for (size_t i = 0; i < count; i++)
            c[i] = a[i];
        break;
    case PEER_SCALE:
        for (size_t i = 0; i < count; i++)
            b[i] = peer_factor * c[i];
        break;
    case PEER_ADD:
        for (size_t i = 0; i < count; i++)
            c[i] = a[i] + b[i];
        break;
    default:
        for (size_t i = 0; i < count; i++)
            a[i] = b[i] + peer_factor * c[i];
    }
}

/* The same past the caches. Arrays and count: multiples of 64 bytes. */
static inline void peer_streaming(enum peer_kernel kernel, double *a, double *b, double *c,
                                  size_t count)
{
#if defined(__x86_64__)
    typedef double vector __attribute__((vector_size(PEER_WIDTH * 8)));
#if PEER_WIDTH == 8
#define PEER_STREAM(to, value) _mm512_stream_pd((double *)(to), (__m512d)(value))
#elif PEER_WIDTH == 4
#define PEER_STREAM(to, value) _mm256_stream_pd((double *)(to), (__m256d)(value))
#else
#define PEER_STREAM(to, value) _mm_stream_pd((double *)(to), (__m128d)(value))
#endif
    vector *va = (vector *)a, *vb = (vector *)b, *vc = (vector *)c;
    size_t vectors = count / PEER_WIDTH;
    switch (kernel) {
    case PEER_COPY:
        for (size_t i = 0; i < vectors; i++)
            PEER_STREAM(vc + i, va[i]);
        break;
    case PEER_SCALE:
        for (size_t i = 0; i < vectors; i++)
            PEER_STREAM(vb + i, peer_factor * vc[i]);
        break;
    case PEER_ADD:
        for (size_t i = 0; i < vectors; i++)
            PEER_STREAM(vc + i, va[i] + vb[i]);
        break;
    default:
        for (size_t i = 0; i < vectors; i++)
            PEER_STREAM(va + i, vb[i] + peer_factor * vc[i]);
    }
    _mm_sfence();
#else
    peer_plain(kernel, a, b, c, count);
#endif
}

/* Values that `rounds` rounds of the four kernels leave, from a = 1, b = 2, c = 0. */
static inline void peer_check(const double *a, const double *b, const double *c, size_t count,
                              int rounds)
{
    double ea = 1, eb = 2, ec = 0;
    for (int round = 0; round < rounds; round++) {
        ec = ea;
        eb = peer_factor * ec;
        ec = ea + eb;
        ea = eb + peer_factor * ec;
    }
    for (size_t i = 0; i < count; i++) {
        double wrong =
            (a[i] - ea) * (a[i] - ea) + (b[i] - eb) * (b[i] - eb) + (c[i] - ec) * (c[i] - ec);
        if (!(wrong < 1e-20 * (ea * ea + eb * eb + ec * ec)))
            peer_fail("wrong result");
    }
}

/* Sum in four streams of sixteen lanes each, which keep as many misses in flight as one CPU can. */
static inline double peer_sum(const double *x, size_t count)
{
    typedef double vector __attribute__((vector_size(PEER_WIDTH * 8)));
    enum { LANES = 16 / PEER_WIDTH };
    vector total[4][LANES] = {{{0}}};
    size_t quarter = count / 4 / 16 * 16;
    for (size_t i = 0; i < quarter; i += 16)
        for (int s = 0; s < 4; s++)
            for (int l = 0; l < LANES; l++) {
                vector value;
                memcpy(&value, x + (size_t)s * quarter + i + (size_t)l * PEER_WIDTH, sizeof value);
                total[s][l] += value;
            }
    double sum = 0;
    for (int s = 0; s < 4; s++)
        for (int l = 0; l < LANES; l++)
            for (int k = 0; k < PEER_WIDTH; k++)
                sum += total[s][l][k];
    for (size_t i = 4 * quarter; i < count; i++)
        sum += x[i];
    return sum;
}

#endif
