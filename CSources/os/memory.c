/* memory.c - the system calls of os.h about memory. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "os/call.h"

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#endif
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif
#ifndef MFD_HUGETLB
#define MFD_HUGETLB 4u
#endif

static int make_memory(const char *name, unsigned flags)
{
    INJECT();
    ENTER();
    return (int)taken(memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING | flags), errno_before);
}

int muster__os_memfd(const char *name)
{
    return make_memory(name, 0);
}

int muster__os_memfd_pool(const char *name, uint64_t page_bytes)
{
    /* The size's logarithm, above MFD_HUGE_SHIFT. */
    return make_memory(name, MFD_HUGETLB | (unsigned)__builtin_ctzll(page_bytes) << 26);
}

int muster__os_truncate(int fd, uint64_t size_bytes)
{
    INJECT();
    ENTER();
    int64_t result;
    /* Asked for first: beyond the limit, ftruncate raises SIGXFSZ, which ends the program. */
    struct rlimit limit;
    if (size_bytes > INT64_MAX ||
        (getrlimit(RLIMIT_FSIZE, &limit) == 0 && size_bytes > limit.rlim_cur)) {
        errno = errno_before;
        return -EFBIG;
    }
    RETRY(result, ftruncate(fd, (off_t)size_bytes));
    return (int)result;
}

int muster__os_seal_size(int fd)
{
    INJECT();
    ENTER();
    return (int)taken(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL),
                      errno_before);
}

int muster__os_sealed_size(int fd)
{
    INJECT();
    ENTER();
    int64_t seals = taken(fcntl(fd, F_GET_SEALS), errno_before);
    if (seals < 0)
        return (int)seals;
    return (seals & (F_SEAL_SHRINK | F_SEAL_GROW)) == (F_SEAL_SHRINK | F_SEAL_GROW);
}

int muster__os_punch(int fd, uint64_t offset_bytes, uint64_t size_bytes)
{
    ENTER(); /* clean-up: not injected */
    int64_t result;
    RETRY(result, fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)offset_bytes,
                            (off_t)size_bytes));
    return (int)result;
}

void *muster__os_zeros(uint64_t size_bytes)
{
    ENTER();
    void *mapped =
        mmap(NULL, size_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    errno = errno_before;
    return mapped == MAP_FAILED ? NULL : mapped;
}

int muster__os_populate(void *address, uint64_t size_bytes, bool write)
{
    INJECT();
    ENTER();
    int64_t result;
    int advice = write ? MADV_POPULATE_WRITE : MADV_POPULATE_READ;
    /* EAGAIN means a signal or memory reclaim came between: what is populated stays so. */
    do {
        result = taken(madvise(address, size_bytes, advice), errno_before);
    } while (result == -EINTR || result == -EAGAIN);
    /* No bytes at all are refused only by a kernel that does not know the advice. */
    if (!muster__is_refusal(result) &&
        (result != -EINVAL || taken(madvise(address, 0, advice), errno_before) == 0))
        return (int)result;
    /* Before Linux 5.14, or if madvise is refused: page by page. A 0 that becomes 0 is written, and
     * keeps what is there. (Adding 0 does too, but clang takes that for nothing, and touches no
     * page.) Reading maps the page here, which asking for its node needs (move_pages(2): -ENOENT).
     */
    for (uint64_t at = 0; at < size_bytes; at += muster__os_page_bytes()) {
        unsigned char *byte = (unsigned char *)address + at, zero = 0;
        if (write)
            (void)__atomic_compare_exchange_n(byte, &zero, 0, false, __ATOMIC_RELAXED,
                                              __ATOMIC_RELAXED);
        else
            (void)*(volatile const unsigned char *)byte;
    }
    return 0;
}

void muster__os_forbid(void *address, uint64_t size_bytes)
{
    ENTER(); /* not injected: as muster__os_keep_from_children */
    (void)mprotect(address, size_bytes, PROT_NONE);
    errno = errno_before;
}

void muster__os_keep_from_children(void *address, uint64_t size_bytes)
{
    ENTER(); /* not injected: without it only a kernel that forks is not caught */
    (void)madvise(address, size_bytes, MADV_DONTFORK);
    errno = errno_before;
}

int muster__os_advise(void *address, uint64_t size_bytes, int advice)
{
    INJECT();
    ENTER();
    return (int)taken(madvise(address, size_bytes, advice), errno_before);
}

int muster__os_collapse(void *address, uint64_t size_bytes)
{
    INJECT();
    ENTER();
    return (int)taken(madvise(address, size_bytes, MADV_COLLAPSE), errno_before);
}
