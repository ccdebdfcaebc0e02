/* os_output.c - see os_output.h. */
#define _GNU_SOURCE
#include "os_output.h"

#include <errno.h>
#include <stdio.h>
#include <stdio_ext.h>

/* A line up to this length goes out in one write. Into a pipe, one write of up to PIPE_BUF (4096
 * bytes) is never mixed with another's (POSIX, "write"); into a file none is, since Linux locks the
 * position. */
#define LINE_BYTES 65536

static bool is_rank;
static char line[LINE_BYTES]; /* in ranks only: elsewhere its pages are never touched */

void muster__os_output_before_fork(bool is_server)
{
    int errno_before = errno;
    if (is_server) {
        __fpurge(stdout);
        __fpurge(stderr);
    } else {
        /* A failure leaves the bytes and the stream's error flag to the program. */
        (void)fflush(NULL);
    }
    errno = errno_before;
}

void muster__os_output_begin(void)
{
    int errno_before = errno;
    if (__fpending(stdout) != 0)
        __fpurge(stdout);
    if (__fpending(stderr) != 0)
        __fpurge(stderr);
    /* The C standard wants this before the stream's first use. glibc and musl do it at any time. */
    (void)setvbuf(stdout, line, _IOLBF, sizeof line);
    is_rank = true;
    errno = errno_before;
}

void muster__os_output_job_end(void)
{
    if (!is_rank || __fpending(stdout) == 0)
        return;
    int errno_before = errno;
    (void)fflush(stdout);
    errno = errno_before;
}

void muster__os_output_end(void)
{
    if (is_rank)
        (void)fflush(NULL);
}
