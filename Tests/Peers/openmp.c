/* openmp.c - the work of Muster's benchmarks with OpenMP. Built with gcc (libgomp) and clang
 * (libomp).
 *
 *     openmp dispatch | chunk | stream BYTES | sum BYTES | touch BYTES | stencil HEIGHT WIDTH
 */
#define _GNU_SOURCE
#include "peer_kernels.h"

#include <omp.h>
#include <unistd.h>

#define CHUNKS 10000000L

static double region_ns(int threads, long repeats)
{
    double start = peer_now_ns();
    for (long i = 0; i < repeats; i++) {
#pragma omp parallel num_threads(threads)
        {
            __asm__ volatile("" ::: "memory");
        }
    }
    return (peer_now_ns() - start) / (double)repeats;
}

static void dispatch(void)
{
    static const int sizes[] = {1, 2, 8};
    for (int i = 0; i < 3; i++) {
        char name[32];
        snprintf(name, sizeof name, "dispatch/%d", sizes[i]);
        double estimate = region_ns(sizes[i], 20);
        peer_report(name, "ns", region_ns(sizes[i], peer_repeats(estimate)));
    }
}

/* An empty iteration that the compiler must keep. */
#define ITERATION __asm__ volatile("" ::"r"(i) : "memory")

static void chunk(void)
{
    double start = peer_now_ns();
#pragma omp parallel for schedule(static, 1)
    for (long i = 0; i < CHUNKS; i++)
        ITERATION;
    peer_report("chunk/cyclic", "ns", (peer_now_ns() - start) / CHUNKS);
    start = peer_now_ns();
#pragma omp parallel for schedule(static)
    for (long i = 0; i < CHUNKS; i++)
        ITERATION;
    peer_report("chunk/static", "ns", (peer_now_ns() - start) / CHUNKS);
    start = peer_now_ns();
#pragma omp parallel for schedule(dynamic, 1)
    for (long i = 0; i < CHUNKS; i++)
        ITERATION;
    peer_report("chunk/dynamic", "ns", (peer_now_ns() - start) / CHUNKS);
    start = peer_now_ns();
#pragma omp parallel for schedule(guided, 1)
    for (long i = 0; i < CHUNKS; i++)
        ITERATION;
    peer_report("chunk/guided", "ns", (peer_now_ns() - start) / CHUNKS);
#ifdef __clang__
    /* libomp's own: a block each, and stealing. Chosen by main. */
    start = peer_now_ns();
#pragma omp parallel for schedule(runtime)
    for (long i = 0; i < CHUNKS; i++)
        ITERATION;
    peer_report("chunk/static-steal", "ns", (peer_now_ns() - start) / CHUNKS);
#endif
}

/* This thread's share, in whole lines. */
static size_t share(size_t count, int rank, int size)
{
    return (size_t)((double)count / 64 * rank / size) * 64;
}

typedef void (*kernels)(enum peer_kernel, double *, double *, double *, size_t);
static void plain(enum peer_kernel k, double *a, double *b, double *c, size_t n)
{
    peer_plain(k, a, b, c, n);
}
static void streaming(enum peer_kernel k, double *a, double *b, double *c, size_t n)
{
    peer_streaming(k, a, b, c, n);
}

static void stream(size_t bytes, const char *name, kernels run)
{
    enum { ROUNDS = 4 };
    size_t count = bytes / 8 / 64 * 64;
    double *a = peer_memory(bytes), *b = peer_memory(bytes), *c = peer_memory(bytes);
    double best[PEER_KERNELS][ROUNDS];
#pragma omp parallel
    {
        size_t from = share(count, omp_get_thread_num(), omp_get_num_threads());
        size_t to = share(count, omp_get_thread_num() + 1, omp_get_num_threads());
        for (size_t i = from; i < to; i++)
            a[i] = 1, b[i] = 2, c[i] = 0;
    }
    for (int round = 0; round < ROUNDS; round++)
        for (int k = 0; k < PEER_KERNELS; k++) {
            double start = peer_now_ns();
#pragma omp parallel
            {
                size_t from = share(count, omp_get_thread_num(), omp_get_num_threads());
                size_t to = share(count, omp_get_thread_num() + 1, omp_get_num_threads());
                run((enum peer_kernel)k, a + from, b + from, c + from, to - from);
            }
            best[k][round] = (double)peer_kernel_bytes[k] * (double)count / (peer_now_ns() - start);
        }
    peer_check(a, b, c, count, ROUNDS);
    for (int k = 0; k < PEER_KERNELS; k++) {
        char test[64];
        snprintf(test, sizeof test, "%s/%s", name, peer_kernel_names[k]);
        /* The middle of the rounds after the first. */
        double x = best[k][1], y = best[k][2], z = best[k][3];
        double low = x < y ? x : y, high = x < y ? y : x;
        peer_report(test, "gb_per_s", z < low ? low : z > high ? high : z);
    }
    munmap(a, bytes);
    munmap(b, bytes);
    munmap(c, bytes);
}

static void sum(size_t bytes)
{
    size_t count = bytes / 8 / 64 * 64;
    double *x = peer_memory(bytes), rates[4];
#pragma omp parallel
    {
        size_t from = share(count, omp_get_thread_num(), omp_get_num_threads());
        size_t to = share(count, omp_get_thread_num() + 1, omp_get_num_threads());
        for (size_t i = from; i < to; i++)
            x[i] = 1;
    }
    for (int round = 0; round < 4; round++) {
        double total = 0, start = peer_now_ns();
#pragma omp parallel reduction(+ : total)
        {
            size_t from = share(count, omp_get_thread_num(), omp_get_num_threads());
            size_t to = share(count, omp_get_thread_num() + 1, omp_get_num_threads());
            total += peer_sum(x + from, to - from);
        }
        rates[round] = 8.0 * (double)count / (peer_now_ns() - start);
        if (total != (double)count)
            peer_fail("wrong sum");
    }
    double low = rates[1] < rates[2] ? rates[1] : rates[2];
    double high = rates[1] < rates[2] ? rates[2] : rates[1];
    peer_report("sum", "gb_per_s", rates[3] < low ? low : rates[3] > high ? high : rates[3]);
}

/* Shared memory of ordinary pages, as a library of processes would have to touch it. */
static void touch(size_t bytes)
{
    int fd = memfd_create("peer", MFD_CLOEXEC);
    if (fd < 0 || ftruncate(fd, (long)bytes) < 0)
        peer_fail("no shared memory");
    char *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (memory == MAP_FAILED)
        peer_fail("no shared memory");
#pragma omp parallel
    {
        __asm__ volatile("" ::: "memory"); /* the threads are there before the clock starts */
    }
    double start = peer_now_ns();
#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < bytes; i += 4096)
        memory[i] = 0;
    peer_report("touch/small", "gb_per_s", (double)bytes / (peer_now_ns() - start));
}

/* The kernels of Tests/Examples/stencil/stencil.c, each nine times after a first one. */
static void stencil(size_t height, size_t width)
{
    size_t count = height * width;
    float *image = (float *)peer_memory(count * sizeof *image);
    float *blurred = (float *)peer_memory(count * sizeof *blurred);
    double *plate = peer_memory(count * sizeof *plate), *next = peer_memory(count * sizeof *next);
#pragma omp parallel for schedule(static)
    for (size_t y = 0; y < height; y++)
        for (size_t i = y * width; i < (y + 1) * width; i++) {
            image[i] = (float)(i % 17), plate[i] = (double)(i % 17);
            blurred[i] = 0, next[i] = 0;
        }
    for (int round = 0; round < 10; round++) {
        double start = peer_now_ns();
#pragma omp parallel for schedule(static)
        for (size_t y = 1; y < height - 1; y++) {
            const float *row = image + y * width, *above = row - width, *below = row + width;
            float *restrict out = blurred + y * width;
            for (size_t x = 1; x < width - 1; x++)
                out[x] = (above[x - 1] + above[x] + above[x + 1] + row[x - 1] + row[x] +
                          row[x + 1] + below[x - 1] + below[x] + below[x + 1]) *
                         (1.0f / 9);
        }
        double middle = peer_now_ns();
#pragma omp parallel for schedule(static)
        for (size_t y = 1; y < height - 1; y++) {
            const double *row = plate + y * width, *above = row - width, *below = row + width;
            double *restrict out = next + y * width;
            for (size_t x = 1; x < width - 1; x++)
                out[x] = 0.25 * (above[x] + below[x] + row[x - 1] + row[x + 1]);
        }
        double end = peer_now_ns();
        if (round > 0) { /* the first finds everything cold */
            peer_report("blur", "ns", (middle - start) / (double)count);
            peer_report("jacobi", "ns", (end - middle) / (double)count);
        }
    }
    if (blurred[width + 1] == 0 || next[width + 1] == 0)
        peer_fail("wrong result");
}

int main(int count, char **arguments)
{
    setenv("OMP_SCHEDULE", "static_steal,1",
           1); /* read when the library starts, at its first use */
    const char *what = count > 1 ? arguments[1] : "";
    size_t bytes = count > 2 ? strtoull(arguments[2], NULL, 10) : 64u << 20;
    if (strcmp(what, "dispatch") == 0) {
        dispatch();
    } else if (strcmp(what, "chunk") == 0) {
        region_ns(omp_get_max_threads(), 100);
        chunk();
    } else if (strcmp(what, "stream") == 0) {
        stream(bytes, "stream", streaming);
        stream(bytes, "stream-plain", plain);
    } else if (strcmp(what, "sum") == 0) {
        sum(bytes);
    } else if (strcmp(what, "touch") == 0) {
        touch(bytes);
    } else if (strcmp(what, "stencil") == 0 && count > 3) {
        stencil(bytes, strtoull(arguments[3], NULL, 10));
    } else {
        fprintf(stderr, "openmp dispatch | chunk | stream BYTES | sum BYTES | touch BYTES | "
                        "stencil HEIGHT WIDTH\n");
        return 64;
    }
    return 0;
}
