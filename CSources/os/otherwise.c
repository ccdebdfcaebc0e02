/* otherwise.c - other ways to what a refused system call would have done (os/call.h). */
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "os/call.h"

/* Reads a short file of /proc whole. Returns: false: it can't be read, and text is empty. */
static bool read_file(const char *path, char *text, size_t room)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t length = fd < 0 ? -1 : read(fd, text, room - 1);
    if (fd >= 0)
        muster__os_close_raw(fd);
    text[length > 0 ? length : 0] = '\0';
    return length > 0;
}

int muster__os_pidfd_process(int pidfd)
{
    char path[48], text[512];
    snprintf(path, sizeof path, "/proc/self/fdinfo/%d", pidfd);
    if (!read_file(path, text, sizeof text))
        return 0;
    const char *line = strstr(text, "\nPid:");
    int pid = line ? atoi(line + 5) : 0;
    return pid > 0 ? pid : 0; /* -1: reaped */
}

/* What follows a process's name, which may have any bytes, in /proc/PID/stat: its state is first.
 * NULL: it can't be read. text: at least 512 bytes. */
static const char *after_name(const char *path, char *text)
{
    if (!read_file(path, text, 512))
        return NULL;
    const char *end = strrchr(text, ')');
    return end && end[1] == ' ' ? end + 2 : NULL;
}

int muster__os_stat_number(const char *path, int place)
{
    char text[512];
    const char *fields = after_name(path, text);
    return !fields ? 0 : place == 0 ? atoi(text) : atoi(fields + 2);
}

bool muster__os_is_stopped(int pid)
{
    char path[48], text[512];
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    const char *fields = after_name(path, text);
    return fields && *fields == 'T';
}

int muster__os_wait4(int *pid, bool wait, int *code, int *status)
{
    ENTER();
    int ended = 0;
    int64_t result;
    RETRY(result, waitpid(*pid, &ended, wait ? 0 : WNOHANG));
    if (result <= 0)
        return (int)result;
    *pid = (int)result;
    *code = WIFEXITED(ended) ? CLD_EXITED : WCOREDUMP(ended) ? CLD_DUMPED : CLD_KILLED;
    *status = WIFEXITED(ended) ? WEXITSTATUS(ended) : WTERMSIG(ended);
    return 1;
}

/* A descriptor that stays open may be what another process waits for the end of. */
int muster__os_close_raw(int fd)
{
    int result = close(fd);
    if (result < 0 && (errno == EPERM || errno == ENOSYS))
        result = (int)syscall(SYS_close_range, fd, fd, 0);
    return result;
}

int muster__os_poll(struct pollfd *wanted, uint64_t count, int timeout_ms)
{
    int result = poll(wanted, count, timeout_ms);
    if (result >= 0 || (errno != EPERM && errno != ENOSYS))
        return result;
    struct timespec timeout = {.tv_sec = timeout_ms / 1000,
                               .tv_nsec = timeout_ms % 1000 * 1000000l};
    return ppoll(wanted, count, timeout_ms < 0 ? NULL : &timeout, NULL);
}
