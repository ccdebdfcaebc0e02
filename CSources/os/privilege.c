/* privilege.c - whose environment this process has, and what its program's file would grant.
 *
 * Invariant: where the environment may be another user's (AT_SECURE, or real and effective ids that
 * differ), muster__os_variable finds nothing, so nothing of Muster's acts on it.
 */
#define _GNU_SOURCE
#include <stdlib.h>
#include <sys/auxv.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "os/call.h"

bool muster__os_is_raised(void)
{
    ENTER();
    bool is_raised = getauxval(AT_SECURE) != 0;
    uid_t user = getuid(), acting = geteuid(), saved;
    gid_t group = getgid(), with = getegid(), kept;
    /* A refusal looks like a number that differs; these calls say the same. */
    if (user != acting)
        (void)getresuid(&user, &acting, &saved);
    if (group != with)
        (void)getresgid(&group, &with, &kept);
    is_raised |= user != acting || group != with;
    errno = errno_before; /* getauxval sets it where the kernel gives no such entry */
    return is_raised;
}

const char *muster__os_variable(const char *name)
{
    return muster__os_is_raised() ? NULL : getenv(name);
}

int muster__os_program_raises(void)
{
    INJECT();
    ENTER();
    struct stat file;
    int64_t status = taken(stat("/proc/self/exe", &file), errno_before);
    if (status < 0)
        return (int)status;
    if (file.st_mode & (S_ISUID | S_ISGID))
        return 1;
    /* File capabilities (capabilities(7)). A file system without such attributes has none. */
    int64_t length =
        taken(getxattr("/proc/self/exe", "security.capability", NULL, 0), errno_before);
    return length > 0 ? 1 : 0;
}
