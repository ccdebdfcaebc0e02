/* protect.c - the system calls of os.h that change what may be done to memory. */
#define _GNU_SOURCE
#include <sys/mman.h>

#include "os/call.h"

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

/* -- mapping ---------------------------------------------------------------------------------- */

int muster__os_map(int fd, uint64_t offset_bytes, uint64_t size_bytes, bool writable, void *at,
                   void **address)
{
    INJECT();
    ENTER();
    int protection = fd < 0 ? PROT_NONE : writable ? PROT_READ | PROT_WRITE : PROT_READ;
    /* Shared mappings are not charged for, except of a pool of huge pages: there the mapping is
     * what reserves them, so that none is missing when it is touched (SIGBUS). */
    int flags = fd < 0 ? MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE : MAP_SHARED;
    if (at)
        flags |= MAP_FIXED;
    void *mapped = mmap(at, size_bytes, PROT_NONE, flags, fd, (off_t)offset_bytes);
    int status = mapped == MAP_FAILED ? (int)muster__taken(-1, errno_before, "mmap") : 0;
    /* Under mlockall(MCL_FUTURE) a mapping that can be touched is populated at once, however much
     * of it is only reserved. Not locked any more, it can be opened. (mlock(2), do_mlock in mm) */
    if (status == 0) {
        (void)munlock(mapped, size_bytes);
        if (fd >= 0 && mprotect(mapped, size_bytes, protection) < 0) {
            status = (int)muster__taken(-1, errno_before, "mprotect");
            /* A file that is sealed says so to mmap only (-EPERM, not -EACCES). */
            void *again = status == -EACCES ? mmap(NULL, size_bytes, protection, MAP_SHARED, fd,
                                                   (off_t)offset_bytes)
                                            : NULL;
            if (again == MAP_FAILED)
                status = -errno;
            else if (again)
                munmap(again, size_bytes);
            if (!at) /* a part of the reservation stays one that can't be touched */
                munmap(mapped, size_bytes);
        }
    }
    errno = errno_before;
    if (status == 0)
        *address = mapped;
    return status;
}

int muster__os_unmap(void *address, uint64_t size_bytes)
{
    ENTER(); /* clean-up: not injected */
    return (int)taken(munmap(address, size_bytes), errno_before);
}
