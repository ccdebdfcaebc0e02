/* host.h - single files of a host's /sys and /proc, live or recorded, for callers that need more of
 * them than topology.h tells.
 *
 * A root is NULL for this host, otherwise a directory with the same relative paths, as in
 * topology.h.
 */
#ifndef MUSTER_CORE_HOST_H
#define MUSTER_CORE_HOST_H

#include <muster/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Most bytes of a file that can be read, its final NUL included. */
#define MUSTER_HOST_TEXT_BYTES 65536u

/* Reads a whole text.
 *
 * path: relative, "proc/meminfo". text: receives it, NUL-terminated; size_bytes of room.
 * Returns: its length; -ENOENT; -EFBIG: no room; -ENAMETOOLONG; or the errno of a failed read. */
int64_t muster_host_read(const char *root, const char *path, char *text, size_t size_bytes);

/* Calls `visit` with each name in a directory, "." and ".." left out, in no order.
 *
 * Returns: 0; what visit returned, where that was not 0; or a negative errno. */
int muster_host_list(const char *root, const char *path,
                     int (*visit)(const char *name, void *context), void *context);

/* Writes a file of a recording, and makes the directories above it.
 *
 * Returns: 0 or a negative errno; a file that could not be written whole is left as it is. */
int muster_host_write(const char *root, const char *path, const char *text, size_t size_bytes);

/* Asks this host whether it lets a process place its memory: sets the policy of one page of its
 * own, and that of this thread, to what they are already.
 *
 * Returns: 0; a status for muster_refused_call where a sandbox or the kernel refuses; or an errno.
 */
int muster_host_try_placement(void);

/* Asks this host whether it says where a process's pages lie: of one page of its own.
 *
 * Returns: as muster_host_try_placement. */
int muster_host_try_residency(void);

/* Asks this host whether a thread may bind itself to CPUs: sets its affinity to what it is already.
 *
 * Returns: as muster_host_try_placement. */
int muster_host_try_affinity(void);

/* Asks this host whether it lets a process make a system call, by one that has no effect. A filter
 * that looks at a call's arguments may answer other ones in another way.
 *
 * name: the kernel's name, for instance "pidfd_open"; of a call that Muster makes.
 * Returns: 0; -EINVAL: Muster makes no such call; or a status for muster_refused_call. */
int muster_host_try_call(const char *name);

/* The status of a call that the caller has made itself, and that was answered so.
 *
 * function: the C library's that was called, for instance "fcntl".
 * error: EPERM or ENOSYS.
 * Returns: a status for muster_refused_call; -error: the kernel itself may have refused it. */
int muster_host_refusal(const char *function, int error);

/* Asks for all system calls that Muster makes, as muster_host_try_call does for one. Forks a child
 * for those that have an effect for all arguments.
 *
 * statuses: receives a status of each call that is refused, for muster_refused_call.
 * Returns: how many. */
int muster_host_try_calls(int32_t *statuses, uint32_t capacity);

#ifdef __cplusplus
}
#endif

#endif
