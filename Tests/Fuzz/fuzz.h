/* fuzz.h - what the fuzz targets in C share: taking an input apart, and saying what must hold.
 *
 * An input is a string of small choices. When it is used up every further choice is 0, so any
 * bytes are an input and a shorter one is a simpler case.
 */
#ifndef MUSTER_FUZZ_H
#define MUSTER_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* libFuzzer's entry point. Returns 0. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Ends the process, which libFuzzer reports as a crash and keeps the input. */
#define HOLDS(condition, ...)                                                                      \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: does not hold: %s: ", __FILE__, __LINE__, #condition);         \
            fprintf(stderr, __VA_ARGS__);                                                          \
            fputc('\n', stderr);                                                                   \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

struct input {
    const uint8_t *next;
    size_t left;
};

/* The next `bytes` bytes (at most 8) as a little-endian number. */
static inline uint64_t take(struct input *input, size_t bytes)
{
    uint64_t number = 0;
    size_t here = bytes < input->left ? bytes : input->left;
    if (here > 0)
        memcpy(&number, input->next, here);
    input->next += here;
    input->left -= here;
    return number;
}

/* A number below `limit`; 0 where there is none. */
static inline uint64_t take_below(struct input *input, uint64_t limit)
{
    uint64_t number = take(input, limit > 0xffff ? 8 : limit > 0xff ? 2 : 1);
    return limit > 0 ? number % limit : 0;
}

/* A copy in memory of exactly this size, so that the address sanitizer sees the byte after it. */
static inline void *exactly(size_t size)
{
    void *memory = calloc(1, size > 0 ? size : 1);
    HOLDS(memory, "%zu bytes", size);
    return memory;
}

#endif
