/* refusal.h - the kernel's calls that Muster makes, for which a refusal has words.
 *
 * One line for each: the kernel's name of the call, the functions of the C library (and of
 * os/numa.h) by which the files of this room make it, and what an EPERM means:
 *
 *   FILTER  only a filter answers so
 *   EITHER  the kernel itself may, where the arguments are not to its liking: it is asked again
 *           with arguments that nothing likes, which a filter by the call's number never sees
 *
 * The last lines have no function: the C library and Swift's runtime make those calls on their own.
 * Tests/Refused/run sees to it that no call is missing here.
 *
 * Order matters to nobody but processes of one team, which are of one version.
 */
#ifndef MUSTER_OS_REFUSAL_H
#define MUSTER_OS_REFUSAL_H

#include <sys/syscall.h>

/* Calls that architectures younger than x86-64 have under a younger name only. */
#ifdef SYS_poll
#define MUSTER__OLDER_CALLS(CALL)                                                                  \
    CALL(access, "access", EITHER)                                                                 \
    CALL(dup2, "dup2", FILTER)                                                                     \
    CALL(epoll_wait, "epoll_wait", FILTER)                                                         \
    CALL(getpgrp, "getpgrp", FILTER)                                                               \
    CALL(mkdir, "mkdir", EITHER)                                                                   \
    CALL(pipe, "pipe", FILTER)                                                                     \
    CALL(poll, "poll", FILTER)                                                                     \
    CALL(readlink, "", EITHER)                                                                     \
    CALL(rename, "rename", EITHER)                                                                 \
    CALL(unlink, "unlink", EITHER)                                                                 \
    CALL(arch_prctl, "", FILTER)
#define MUSTER__PPOLL_NAMES       ""
#define MUSTER__EPOLL_PWAIT_NAMES "epoll_pwait"
#define MUSTER__PIPE2_NAMES       "pipe2"
#else
#define MUSTER__OLDER_CALLS(CALL)                                                                  \
    CALL(faccessat, "access", EITHER)                                                              \
    CALL(dup3, "dup2", FILTER)                                                                     \
    CALL(getpgid, "getpgrp", FILTER)                                                               \
    CALL(mkdirat, "mkdir", EITHER)                                                                 \
    CALL(readlinkat, "", EITHER)                                                                   \
    CALL(renameat, "rename", EITHER)                                                               \
    CALL(unlinkat, "unlink", EITHER)
#define MUSTER__PPOLL_NAMES       "poll"
#define MUSTER__EPOLL_PWAIT_NAMES "epoll_wait epoll_pwait"
#define MUSTER__PIPE2_NAMES       "pipe2 pipe"
#endif

#define MUSTER__CALLS(CALL)                                                                        \
    MUSTER__OLDER_CALLS(CALL)                                                                      \
    CALL(accept4, "accept4", FILTER)                                                               \
    CALL(accept, "accept", FILTER)                                                                 \
    CALL(bind, "bind", FILTER)                                                                     \
    CALL(clone, "fork posix_spawn", FILTER)                                                        \
    CALL(clone3, "", FILTER)                                                                       \
    CALL(clock_nanosleep, "nanosleep", FILTER)                                                     \
    CALL(close, "close_raw", FILTER)                                                               \
    CALL(close_range, "", FILTER)                                                                  \
    CALL(connect, "connect", FILTER)                                                               \
    CALL(epoll_create1, "epoll_create1", FILTER)                                                   \
    CALL(epoll_ctl, "epoll_ctl", FILTER)                                                           \
    CALL(epoll_pwait, MUSTER__EPOLL_PWAIT_NAMES, FILTER)                                           \
    CALL(eventfd2, "eventfd", FILTER)                                                              \
    CALL(execve, "execve execvpe", EITHER)                                                         \
    CALL(exit_group, "_exit", FILTER)                                                              \
    CALL(fallocate, "fallocate", EITHER)                                                           \
    CALL(fcntl, "fcntl", FILTER)                                                                   \
    CALL(fstatfs, "fstatvfs", FILTER)                                                              \
    CALL(ftruncate, "ftruncate", EITHER)                                                           \
    CALL(futex, "futex", FILTER)                                                                   \
    CALL(get_mempolicy, "get_mempolicy", FILTER)                                                   \
    CALL(getcpu, "getcpu", FILTER)                                                                 \
    CALL(getdents64, "readdir", FILTER)                                                            \
    CALL(getegid, "getegid", FILTER)                                                               \
    CALL(geteuid, "geteuid", FILTER)                                                               \
    CALL(getgid, "getgid", FILTER)                                                                 \
    CALL(getpid, "getpid", FILTER)                                                                 \
    CALL(getppid, "getppid", FILTER)                                                               \
    CALL(getrandom, "getrandom", FILTER)                                                           \
    CALL(getsockopt, "getsockopt", FILTER)                                                         \
    CALL(getuid, "getuid", FILTER)                                                                 \
    CALL(getxattr, "getxattr", EITHER)                                                             \
    CALL(ioctl, "ioctl isatty tcgetpgrp", EITHER)                                                  \
    CALL(kill, "kill", EITHER)                                                                     \
    CALL(listen, "listen", FILTER)                                                                 \
    CALL(madvise, "madvise", FILTER)                                                               \
    CALL(mbind, "mbind", FILTER)                                                                   \
    CALL(memfd_create, "memfd_create", FILTER)                                                     \
    CALL(migrate_pages, "migrate_pages", EITHER)                                                   \
    CALL(mmap, "mmap", EITHER)                                                                     \
    CALL(move_pages, "move_pages", FILTER)                                                         \
    CALL(mprotect, "mprotect", EITHER)                                                             \
    CALL(munlock, "munlock", FILTER)                                                               \
    CALL(munmap, "munmap", EITHER)                                                                 \
    CALL(newfstatat, "fstat stat", EITHER)                                                         \
    CALL(openat, "open opendir", EITHER)                                                           \
    CALL(pidfd_open, "pidfd_open", FILTER)                                                         \
    CALL(pidfd_send_signal, "pidfd_send_signal", EITHER)                                           \
    CALL(pipe2, MUSTER__PIPE2_NAMES, FILTER)                                                       \
    CALL(ppoll, MUSTER__PPOLL_NAMES, FILTER)                                                       \
    CALL(prctl, "prctl", FILTER)                                                                   \
    CALL(pread64, "pread", EITHER)                                                                 \
    CALL(prlimit64, "getrlimit setrlimit", FILTER)                                                 \
    CALL(read, "read", EITHER)                                                                     \
    CALL(readv, "readv", FILTER)                                                                   \
    CALL(writev, "writev", FILTER)                                                                 \
    CALL(recvmsg, "recvmsg", FILTER)                                                               \
    CALL(rt_sigaction, "sigaction signal", FILTER)                                                 \
    CALL(rt_sigprocmask, "sigprocmask pthread_sigmask", FILTER)                                    \
    CALL(rt_sigtimedwait, "sigtimedwait", FILTER)                                                  \
    CALL(sched_getaffinity, "sched_getaffinity", FILTER)                                           \
    CALL(sched_setaffinity, "sched_setaffinity", FILTER)                                           \
    CALL(sched_yield, "sched_yield", FILTER)                                                       \
    CALL(sendmsg, "sendmsg", FILTER)                                                               \
    CALL(sendto, "send", FILTER)                                                                   \
    CALL(set_mempolicy, "set_mempolicy", FILTER)                                                   \
    CALL(set_mempolicy_home_node, "set_mempolicy_home_node", FILTER)                               \
    CALL(setpgid, "setpgid", EITHER)                                                               \
    CALL(setsid, "setsid", EITHER)                                                                 \
    CALL(signalfd4, "signalfd", FILTER)                                                            \
    CALL(socket, "socket", FILTER)                                                                 \
    CALL(socketpair, "socketpair", FILTER)                                                         \
    CALL(sysinfo, "sysinfo", FILTER)                                                               \
    CALL(timerfd_create, "timerfd_create", FILTER)                                                 \
    CALL(timerfd_settime, "timerfd_settime", FILTER)                                               \
    CALL(wait4, "waitpid", FILTER)                                                                 \
    CALL(waitid, "waitid", FILTER)                                                                 \
    CALL(write, "write", EITHER)                                                                   \
    CALL(tgkill, "raise", EITHER)                                                                  \
    CALL(brk, "", FILTER)                                                                          \
    CALL(gettid, "", FILTER)                                                                       \
    CALL(set_robust_list, "", FILTER)                                                              \
    CALL(set_tid_address, "", FILTER)                                                              \
    CALL(sigaltstack, "", FILTER)

/* A call's place in the list. */
#define MUSTER__CALL_PLACE(name, functions, meaning) MUSTER__CALL_##name,
enum muster__call { MUSTER__CALLS(MUSTER__CALL_PLACE) MUSTER__CALL_COUNT };

/* Calls of which headers may be older than the kernel. */
#ifndef SYS_close_range
#define SYS_close_range 436 /* on every architecture */
#endif
#ifndef SYS_set_mempolicy_home_node
#define SYS_set_mempolicy_home_node 450 /* on every architecture */
#endif

#endif
