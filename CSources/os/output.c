/* output.c - see os/output.h. */
#define _GNU_SOURCE
#include "os/output.h"

#include <errno.h>
#include <stdio.h>
#include <stdio_ext.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "os/fault.h"

/* A line up to this length goes out in one write. Into a pipe, one write of up to PIPE_BUF (4096
 * bytes) is never mixed with another's (POSIX, "write"); into a file none is, since Linux locks the
 * position. */
#define LINE_BYTES 65536

bool muster__os_output_is_rank;
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
    muster__os_output_is_rank = true;
    errno = errno_before;
}

/* -- last words ----------------------------------------------------------------------------- */

/* Swift writes a stack trace behind its line where its backtracer is off: some hundred lines. */
#define HELD_BYTES 65536

static char held[HELD_BYTES + 1];
static size_t held_length;

static void write_all(const char *bytes, size_t size)
{
    while (size > 0) {
        ssize_t written = write(STDERR_FILENO, bytes, size);
        if (written < 0 && errno != EINTR)
            return;
        bytes += written > 0 ? written : 0;
        size -= written > 0 ? (size_t)written : 0;
    }
}

static void release(void)
{
    size_t length = held_length;
    held_length = 0;
    write_all(held, length);
}

static bool contains(const char *bytes, size_t size, const char *word)
{
    return memmem(bytes, size, word, strlen(word)) != NULL;
}

/* How they begin: Swift's Errors.cpp and Assert.swift, glibc's assert.c, libstdc++'s vterminate.cc
 * and libc++'s cxa_default_handlers.cpp. */
static bool are_last_words(const char *bytes, size_t size)
{
    static const char terminate[] = "terminate called ";
    return contains(bytes, size, "Fatal error") || contains(bytes, size, "Precondition failed") ||
           contains(bytes, size, "Assertion failed") || contains(bytes, size, ": Assertion `") ||
           contains(bytes, size, "terminating due to ") ||
           contains(bytes, size, "terminating with ") ||
           (size >= strlen(terminate) && memcmp(bytes, terminate, strlen(terminate)) == 0);
}

static ssize_t hear(void *cookie, const char *bytes, size_t size)
{
    (void)cookie;
    /* A program with a handler of its own for them may never come to release(). */
    if (held_length == 0 && !(are_last_words(bytes, size) && muster__os_catches_last_words())) {
        write_all(bytes, size);
        return (ssize_t)size;
    }
    if (size > HELD_BYTES - held_length) {
        release();
        write_all(bytes, size);
        return (ssize_t)size;
    }
    memcpy(held + held_length, bytes, size);
    held_length += size;
    held[held_length] = '\0';
    return (ssize_t)size;
}

#ifdef __GLIBC__ /* there the name is a variable */

static FILE *listening, *plain;

void muster__os_output_listen(void)
{
    int errno_before = errno;
    /* A program that has put another stream there has its own ideas. */
    if (!listening && fileno(stderr) == STDERR_FILENO) {
        FILE *stream = fopencookie(NULL, "w", (cookie_io_functions_t){.write = hear});
        if (stream && atexit(release) == 0) {
            (void)setvbuf(stream, NULL, _IONBF, 0);
            plain = stderr;
            listening = stream;
        } else if (stream) {
            (void)fclose(stream);
        }
    }
    if (listening && stderr == plain)
        stderr = listening;
    errno = errno_before;
}

void muster__os_output_unlisten(void)
{
    if (!listening || stderr != listening)
        return;
    int errno_before = errno;
    stderr = plain;
    release();
    errno = errno_before;
}

#else

void muster__os_output_listen(void) {}

void muster__os_output_unlisten(void) {}

#endif

const char *muster__os_output_held(void)
{
    return held_length > 0 ? held : NULL;
}

void muster__os_output_flush(void)
{
    if (__builtin_expect(held_length > 0, 0))
        release();
    if (__fpending(stdout) == 0)
        return;
    int errno_before = errno;
    (void)fflush(stdout);
    errno = errno_before;
}

void muster__os_output_end(void)
{
    if (muster__os_output_is_rank)
        (void)fflush(NULL);
}
