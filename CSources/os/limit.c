/* limit.c - the system calls of os.h: resource limits, and how much of them is taken.
 *
 * None of these is injected: where one fails, the answer is "no limit" or "nothing taken", and what
 * is tried next meets the limit itself.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "os/call.h"

uint64_t muster__os_limit(enum muster__resource resource)
{
    static const int numbers[] = {
        [MUSTER__ADDRESSES] = RLIMIT_AS,   [MUSTER__DATA] = RLIMIT_DATA,
        [MUSTER__FILE] = RLIMIT_FSIZE,     [MUSTER__STACK] = RLIMIT_STACK,
        [MUSTER__LOCKED] = RLIMIT_MEMLOCK, [MUSTER__PROCESSES] = RLIMIT_NPROC,
        [MUSTER__FILES] = RLIMIT_NOFILE,
    };
    ENTER();
    struct rlimit limit;
    uint64_t most = UINT64_MAX;
    if (getrlimit(numbers[resource], &limit) == 0 && limit.rlim_cur != RLIM_INFINITY)
        most = limit.rlim_cur;
    errno = errno_before;
    return most;
}

/* Reads the beginning of a file of /proc. Returns: bytes, 0 where it can't be read. */
static size_t read_start(const char *path, char *text, size_t capacity)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t length = fd < 0 ? -1 : read(fd, text, capacity - 1);
    if (fd >= 0)
        muster__os_close_raw(fd);
    text[length > 0 ? length : 0] = '\0';
    return length > 0 ? (size_t)length : 0;
}

void muster__os_used(struct muster__used *used)
{
    ENTER();
    char text[256];
    *used = (struct muster__used){0};
    /* In pages: size, resident, shared, text, 0, data and stack, 0 (proc(5)). */
    if (read_start("/proc/self/statm", text, sizeof text) > 0) {
        uint64_t pages[6] = {0};
        char *at = text;
        for (int i = 0; i < 6; i++)
            pages[i] = strtoull(at, &at, 10);
        uint64_t page_bytes = (uint64_t)sysconf(_SC_PAGESIZE);
        used->address_bytes = pages[0] * page_bytes;
        used->resident_bytes = pages[1] * page_bytes;
        used->data_bytes = pages[5] * page_bytes;
    }
    errno = errno_before;
}

uint64_t muster__os_open_files(uint64_t below)
{
    ENTER();
    uint64_t count = 0;
    /* Not by /proc/self/fd: a process that has no descriptor left could not read it. */
    for (uint64_t fd = 0; fd < below && fd <= INT32_MAX; fd++)
        count += fcntl((int)fd, F_GETFD) >= 0;
    errno = errno_before;
    return count;
}

bool muster__os_addresses_cost(uint64_t probe_bytes)
{
    ENTER();
    struct muster__used before, after;
    void *probes[2];
    int grown = 0;
    /* Twice: what else this process does meanwhile may make it grow once. */
    for (int i = 0; i < 2; i++) {
        muster__os_used(&before);
        probes[i] =
            mmap(NULL, probe_bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        muster__os_used(&after);
        grown += probes[i] != MAP_FAILED &&
                 after.resident_bytes > before.resident_bytes + probe_bytes / 1024;
        if (grown <= i)
            break; /* the second has not been made */
    }
    if (probes[0] != MAP_FAILED)
        munmap(probes[0], probe_bytes);
    if (grown > 0 && probes[1] != MAP_FAILED)
        munmap(probes[1], probe_bytes);
    errno = errno_before;
    return grown == 2;
}

int64_t muster__os_line_bytes(void)
{
    ENTER();
    long bytes = sysconf(_SC_LEVEL1_DCACHE_LINESIZE);
    errno = errno_before;
    return bytes > 0 ? bytes : 0;
}
