/* check_pages.c - opening and closing memory in a checked loop, and the end if that is refused. */
#include "crash/note.h"
#include "loop/check_state.h"

/* For the note of a crash. */
void muster__check_open_all(struct muster__check *check)
{
    if (check->is_active)
        (void)muster__os_protect(check->loop.control.address, check->loop.control.size_bytes,
                                 MUSTER__READ_WRITE);
}

/* Where memory can't be protected, a loop that went on would be one that nobody has checked. */
_Noreturn void muster__check_fail(struct muster__check *check, int status)
{
    muster__check_open_all(check);
    struct muster_fault found = {.stray = MUSTER_STRAY_UNCHECKED,
                                 .use = UINT32_MAX,
                                 .chunk = check->chunk,
                                 .first = check->first,
                                 .end = check->end,
                                 .space_offset = UINT64_MAX,
                                 .bytes = (uint64_t)-status};
    muster_fault_end(&found);
}

void muster__check_protect(struct muster__check *check, unsigned char *address, uint64_t size_bytes,
                           enum muster__protection protection)
{
    int status = muster__os_protect(address, size_bytes, protection);
    if (status < 0)
        muster__check_fail(check, status);
}

void muster__check_protect_own(struct muster__check *check, enum muster__protection protection)
{
    for (int i = 0; i < 2; i++)
        if (check->loop.own[i].size_bytes > 0)
            (void)muster__os_protect(check->loop.own[i].address, check->loop.own[i].size_bytes,
                                     protection);
}
