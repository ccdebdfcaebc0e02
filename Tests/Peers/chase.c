/* chase.c - a pointer chase that shares no line with Muster's, to compare `muster bench latency`
 * with.
 *
 *   chase BYTES PAGES CPU [SAMPLES]      PAGES: thp or 4k
 *
 * One process and no team, on the same kind of memory: a memfd, populated in one go as Muster does
 * it, since which frames small pages get is part of what they cost. Sattolo's single cycle of
 * offsets instead of linked addresses; the clock is CLOCK_MONOTONIC_RAW. Prints the median of the
 * samples in nanoseconds a load. Exit status: 0; 2: could not run.
 */
#define _GNU_SOURCE
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

enum { LINE = 64 };

static void fail(const char *what)
{
    perror(what);
    exit(2);
}

static double now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC_RAW, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

/* xorshift64*, not the generator that Muster has. */
static uint64_t state = 88172645463325252u;
static uint64_t next_random(void)
{
    state ^= state >> 12;
    state ^= state << 25;
    state ^= state >> 27;
    return state * 2685821657736338717u;
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Length: options, chase and output of one small program. */
int main(int argc, char **argv)
{
    if (argc < 4) {
        fprintf(stderr, "usage: chase BYTES thp|4k CPU [SAMPLES]\n");
        return 2;
    }
    size_t bytes = strtoull(argv[1], NULL, 0);
    int huge = strcmp(argv[2], "thp") == 0;
    size_t samples = argc > 4 ? strtoull(argv[4], NULL, 0) : 10;
    if (bytes < 2 * LINE || samples < 1 || samples > 10000)
        return 2;
    cpu_set_t cpus;
    CPU_ZERO(&cpus);
    CPU_SET(atoi(argv[3]), &cpus);
    if (sched_setaffinity(0, sizeof cpus, &cpus))
        fail("sched_setaffinity");
    size_t align = (size_t)2 << 20;
    bytes = (bytes + align - 1) / align * align;
    int fd = memfd_create("chase", 0);
    if (fd < 0 || ftruncate(fd, (off_t)bytes))
        fail("memfd_create");
    /* Room in which a huge page's border can be found. */
    char *room = mmap(NULL, bytes + align, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (room == MAP_FAILED)
        fail("mmap");
    char *base = (char *)(((uintptr_t)room + align - 1) & ~(uintptr_t)(align - 1));
    if (mmap(base, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0) != base)
        fail("mmap");
    if (madvise(base, bytes, MADV_POPULATE_WRITE))
        fail("madvise(MADV_POPULATE_WRITE)");
    if (huge && madvise(base, bytes, MADV_COLLAPSE))
        fail("madvise(MADV_COLLAPSE)");

    /* Each line holds the number of the next line, shifted: a multiplication less a step. */
    size_t lines = bytes / LINE;
    uint32_t *order = malloc(lines * sizeof *order);
    if (!order)
        fail("malloc");
    for (size_t i = 0; i < lines; i++)
        order[i] = (uint32_t)i;
    for (size_t i = lines - 1; i > 0; i--) {
        size_t j = next_random() % i;
        uint32_t t = order[i];
        order[i] = order[j];
        order[j] = t;
    }
    for (size_t i = 0; i < lines; i++)
        *(uint64_t *)(base + i * LINE) = (uint64_t)order[i] * LINE;
    free(order);

    uint64_t at = 0;
    for (size_t i = 0; i < lines; i++)
        at = *(volatile uint64_t *)(base + at);
    if (at != 0) {
        fprintf(stderr, "chase: not one cycle\n");
        return 2;
    }
    double *times = malloc(samples * sizeof *times);
    if (!times)
        fail("malloc");
    const uint64_t steps = 65536;
    for (size_t s = 0; s <= samples; s++) {
        double began = now_ns();
        for (uint64_t i = 0; i < steps; i += 4) {
            at = *(volatile uint64_t *)(base + at);
            at = *(volatile uint64_t *)(base + at);
            at = *(volatile uint64_t *)(base + at);
            at = *(volatile uint64_t *)(base + at);
        }
        double elapsed = now_ns() - began;
        if (s > 0)
            times[s - 1] = elapsed / (double)steps;
    }
    qsort(times, samples, sizeof *times, by_size);
    printf("%.3f\n",
           samples % 2 ? times[samples / 2] : (times[samples / 2 - 1] + times[samples / 2]) / 2);
    return 0;
}
