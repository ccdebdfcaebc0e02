/* peer.h - what the peers in C and C++ share: a clock, and a line for each figure.
 *
 * A figure is one JSON object a line: the test's name, and a value whose key is its unit. A result
 * is checked before its figure is printed; a wrong one ends the program with status 1.
 */
#ifndef PEER_H
#define PEER_H

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static inline double peer_now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

static inline void peer_report(const char *test, const char *unit, double value)
{
    printf("{\"test\": \"%s\", \"%s\": %.6g}\n", test, unit, value);
    fflush(stdout);
}

static inline void peer_fail(const char *what)
{
    fprintf(stderr, "%s\n", what);
    exit(1);
}

/* Repeats of something that takes `estimate_ns`, to fill about a fifth of a second. */
static inline long peer_repeats(double estimate_ns)
{
    double repeats = 200e6 / (estimate_ns > 1 ? estimate_ns : 1);
    return repeats < 10 ? 10 : repeats > 1e6 ? 1000000 : (long)repeats;
}

#endif
