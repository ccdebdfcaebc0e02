/* os_protect.c - the system calls of os.h that change what may be done to memory. */
#define _GNU_SOURCE
#include <sys/mman.h>

#include "os_call.h"

int muster__os_protect(void *address, uint64_t size_bytes, enum muster__protection protection)
{
    INJECT();
    ENTER();
    static const int protections[] = {PROT_NONE, PROT_READ, PROT_READ | PROT_WRITE};
    return (int)taken(mprotect(address, size_bytes, protections[protection]), errno_before);
}

int muster__os_map_again(void *from, uint64_t size_bytes, void *to, void **address)
{
    INJECT();
    ENTER();
    /* An old size of 0 leaves the old mapping alone (mremap(2): for shared mappings only). */
    void *mapped = to ? mremap(from, 0, size_bytes, MREMAP_MAYMOVE | MREMAP_FIXED, to)
                      : mremap(from, 0, size_bytes, MREMAP_MAYMOVE);
    int status = mapped == MAP_FAILED ? -errno : 0;
    errno = errno_before;
    if (status == 0 && address)
        *address = mapped;
    return status;
}

void *muster__os_shared_zeros(uint64_t size_bytes)
{
    ENTER();
    void *mapped =
        mmap(NULL, size_bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    errno = errno_before;
    return mapped == MAP_FAILED ? NULL : mapped;
}
