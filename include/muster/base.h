/* base.h - status values, limits and layout rules that every other header of Muster shares.
 *
 * Errors. A function that can fail returns 0 or a count on success and a negative errno value on
 * failure, and sets its outputs on success only. The library never prints, never exits and never
 * touches `errno`. Meanings that are Muster's own:
 *
 *   -EOWNERDEAD  a rank died, so what it held or owed is not there
 *   -EXDEV       this placement can't be enforced on this host
 *   -EPROTO      a segment of another layout version, or not a segment of Muster's at all
 *   -EUCLEAN     shared memory or a file fails validation: torn, or written by a stranger
 *   -ECANCELED   the job was cancelled before every chunk was claimed
 *   -EBADMSG     an audit found chunks that were not committed exactly once
 *   -ECONNRESET  the launcher of this member is gone
 *
 * A status of MUSTER_REFUSED or below is no errno: a system call was refused, and which one
 * muster_refused_call tells.
 *
 * What is read from shared memory was written by another process: it is validated and an error
 * returned. A mistake of the calling process is an assertion, in release builds too.
 */
#ifndef MUSTER_BASE_H
#define MUSTER_BASE_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#define MUSTER_NORETURN [[noreturn]]
#else
#define MUSTER_NORETURN _Noreturn
#endif

/* For the few functions that make up the hot loop: inlined also into kernels written in Swift,
 * where plain `inline` left calls (seen in the disassembly of an empty kernel). */
#define MUSTER_INLINE static inline __attribute__((always_inline))

/* Version of the library. */
#define MUSTER_VERSION "0.1.0"

/* Version of everything that lies in shared memory: raised with any change of layout or protocol.
 */
#define MUSTER_LAYOUT_VERSION 12u

/* Most ranks in a team. Well above any host's CPUs; a rank slot takes 768 bytes. */
#define MUSTER_RANKS_MAX 4096u

/* Most chunks in one loop. A claim word packs two chunk numbers into 64 bits. */
#define MUSTER_CHUNKS_MAX 0xfffffffeu

/* Most arrays of one team at a time. */
#define MUSTER_ARRAYS_MAX 1024u

/* Most bytes of a kernel's arguments. They travel in the job slot. */
#define MUSTER_ARGUMENT_BYTES_MAX 8192u

/* Room for a message that a kernel's error leaves behind, and for a subject's name. */
#define MUSTER_MESSAGE_BYTES 256u

/* Words that different processes write are kept this far apart: two cache lines, since x86 CPUs
 * fetch lines in pairs (Intel Optimization Manual, "spatial prefetcher"). */
#define MUSTER_LINE_BYTES 128u

/* Bytes that an in-place kernel sees at a time. One 4 KiB tile stays in the first-level cache while
 * it is journaled and changed. */
#define MUSTER_TILE_BYTES 4096u

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "Muster's futex words are the low halves of 64-bit words: little-endian hosts only"
#endif

/* What a process does until what it waits for has happened. After a fraction of a millisecond it
 * sleeps in each case: an idle team costs nothing. */
enum muster_wait {
    MUSTER_WAIT_AUTOMATIC = 0, /* spin if each process has a CPU of its own, otherwise yield */
    MUSTER_WAIT_SPIN = 1,      /* look without end in sight: quickest, and takes the CPU */
    MUSTER_WAIT_YIELD = 2,     /* look, and let others run between looks */
    MUSTER_WAIT_SLEEP = 3      /* sleep at once: for CPUs that have other things to do */
};

/* Whether loops of a team are checked. */
enum muster_check_mode {
    MUSTER_CHECK_AUTOMATIC = 0, /* as MUSTER_CHECK in the environment says: 1 is on */
    MUSTER_CHECK_ON = 1,
    MUSTER_CHECK_OFF = 2
};

/* Joins the results of two neighbouring ranges of chunks: `right` into `left`, which comes before
 * it. Need not be commutative. context: as given with the function. */
typedef void (*muster_combine)(void *left, const void *right, void *context);

/* Describes a status in words, for instance "a rank died" for -EOWNERDEAD.
 *
 * status: a value returned by a function of Muster.
 * Returns: a constant string, never NULL.
 * Concurrency: any thread, any time. */
const char *muster_status_text(int status);

/* Statuses from here downwards say which system call was refused, and how. Below each errno. */
#define MUSTER_REFUSED (-4096)

/* Names the system call that a status says was refused. Filters of system calls (seccomp) are set
 * by container runtimes, by systemd and by sandboxes; a kernel that is too old refuses calls
 * likewise.
 *
 * status: a value returned by a function of Muster, of this process or of another of its team.
 * name: receives a constant string, for instance "pidfd_open"; left alone where 0 is returned.
 * Returns: EPERM or ENOSYS, as the kernel has answered; 0: the status says something else.
 * Concurrency: any thread, any time. */
int muster_refused_call(int status, const char **name);

#ifdef __cplusplus
}
#endif

#endif
