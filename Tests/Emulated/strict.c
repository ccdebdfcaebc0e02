/* strict.c - what a kernel with large pages refuses, for an emulator that lets it pass.
 *
 * qemu's emulators of user programs say what page size they are told to (-p), but check addresses
 * and offsets against 4 KiB only. Linked with --wrap, these check against the page size that the
 * program was told: a mapping, or a piece of one, that begins within a page fails with EINVAL, as
 * mmap(2), munmap(2), madvise(2) and mbind(2) say; the program is told on standard error as well,
 * since clean-up ignores what it returns.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

void *__real_mmap(void *at, size_t size, int protection, int flags, int fd, off_t offset);
int __real_munmap(void *at, size_t size);
int __real_madvise(void *at, size_t size, int advice);
long __real_muster__mbind(void *at, unsigned long size, int mode, const unsigned long *nodes,
                          unsigned long bits, unsigned flags);
void *__wrap_mmap(void *at, size_t size, int protection, int flags, int fd, off_t offset);
int __wrap_munmap(void *at, size_t size);
int __wrap_madvise(void *at, size_t size, int advice);
long __wrap_muster__mbind(void *at, unsigned long size, int mode, const unsigned long *nodes,
                          unsigned long bits, unsigned flags);

/* Whether a number is no multiple of the page size. */
static int is_within(const char *call, uint64_t number)
{
    if (number % (uint64_t)sysconf(_SC_PAGESIZE) == 0)
        return 0;
    fprintf(stderr, "strict: %s at %#llx, within a page of %ld bytes\n", call,
            (unsigned long long)number, sysconf(_SC_PAGESIZE));
    errno = EINVAL;
    return 1;
}

void *__wrap_mmap(void *at, size_t size, int protection, int flags, int fd, off_t offset)
{
    if (is_within("mmap", (uint64_t)offset) ||
        ((flags & MAP_FIXED) && is_within("mmap", (uintptr_t)at)))
        return MAP_FAILED;
    return __real_mmap(at, size, protection, flags, fd, offset);
}

int __wrap_munmap(void *at, size_t size)
{
    return is_within("munmap", (uintptr_t)at) ? -1 : __real_munmap(at, size);
}

int __wrap_madvise(void *at, size_t size, int advice)
{
    return is_within("madvise", (uintptr_t)at) ? -1 : __real_madvise(at, size, advice);
}

long __wrap_muster__mbind(void *at, unsigned long size, int mode, const unsigned long *nodes,
                          unsigned long bits, unsigned flags)
{
    return is_within("mbind", (uintptr_t)at)
               ? -1
               : __real_muster__mbind(at, size, mode, nodes, bits, flags);
}
