/* io.c - the system calls of os.h: waiting, descriptors and files. */
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "os/call.h"

/* -- waiting -------------------------------------------------------------------------------- */

int muster__os_eventfd(void)
{
    INJECT();
    ENTER();
    return (int)taken(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), errno_before);
}

int muster__os_eventfd_signal(int fd)
{
    ENTER(); /* a leader that nobody wakes would sleep for ever */
    uint64_t one = 1;
    int64_t result;
    RETRY(result, write(fd, &one, sizeof one));
    if (muster__is_refusal(result)) {
        struct iovec part = {.iov_base = &one, .iov_len = sizeof one};
        RETRY(result, writev(fd, &part, 1));
    }
    return result < 0 && result != -EAGAIN ? (int)result : 0;
}

int muster__os_eventfd_clear(int fd)
{
    ENTER();
    uint64_t count;
    int64_t result;
    RETRY(result, read(fd, &count, sizeof count));
    if (muster__is_refusal(result)) {
        struct iovec part = {.iov_base = &count, .iov_len = sizeof count};
        RETRY(result, readv(fd, &part, 1));
    }
    return result < 0 && result != -EAGAIN ? (int)result : 0;
}

int muster__os_timer(void)
{
    INJECT();
    ENTER();
    return (int)taken(timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK), errno_before);
}

int muster__os_timer_start(int fd, uint64_t ns)
{
    INJECT();
    ENTER();
    struct itimerspec when = {
        .it_value = {.tv_sec = (time_t)(ns / 1000000000u), .tv_nsec = (long)(ns % 1000000000u)}};
    return (int)taken(timerfd_settime(fd, 0, &when, NULL), errno_before);
}

int muster__os_epoll(void)
{
    INJECT();
    ENTER();
    return (int)taken(epoll_create1(EPOLL_CLOEXEC), errno_before);
}

int muster__os_epoll_add(int epoll, int fd, uint64_t tag)
{
    INJECT();
    ENTER();
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = tag};
    return (int)taken(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event), errno_before);
}

int muster__os_epoll_remove(int epoll, int fd)
{
    ENTER(); /* clean-up: not injected */
    return (int)taken(epoll_ctl(epoll, EPOLL_CTL_DEL, fd, NULL), errno_before);
}

int muster__os_epoll_wait(int epoll, uint64_t *tags, int capacity, int timeout_ms)
{
    INJECT();
    ENTER();
    struct epoll_event events[64];
    if (capacity > 64)
        capacity = 64;
    int64_t count = taken(epoll_wait(epoll, events, capacity, timeout_ms), errno_before);
    if (muster__is_refusal(count))
        count = taken(epoll_pwait(epoll, events, capacity, timeout_ms, NULL), errno_before);
    if (count == -EINTR)
        return 0;
    for (int64_t i = 0; i < count; i++)
        tags[i] = events[i].data.u64;
    return (int)count;
}

int muster__os_wait_readable(int fd, int timeout_ms)
{
    ENTER(); /* clean-up: not injected */
    struct pollfd wanted = {.fd = fd, .events = POLLIN};
    int64_t result;
    do {
        result = taken(muster__os_poll(&wanted, 1, timeout_ms), errno_before);
    } while (result == -EINTR && timeout_ms <= 0); /* neither kind of wait can become too long */
    return (int)result;
}

void muster__os_yield(void)
{
    syscall(SYS_sched_yield); /* can't fail, so errno stays as it is */
}

uint64_t muster__os_now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* -- descriptors and files ------------------------------------------------------------------ */

int muster__os_socketpair(int ends[2])
{
    INJECT();
    ENTER();
    return (int)taken(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), errno_before);
}

int muster__os_send_descriptor(int socket, int fd, const void *data, size_t size_bytes)
{
    INJECT();
    ENTER();
    struct iovec part = {.iov_base = (void *)(uintptr_t)data, .iov_len = size_bytes};
    union {
        char bytes[CMSG_SPACE(sizeof(int))];
        struct cmsghdr alignment;
    } control;
    memset(&control, 0, sizeof control);
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = control.bytes,
                             .msg_controllen = sizeof control.bytes};
    if (fd >= 0) {
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(header), &fd, sizeof fd);
    } else {
        message.msg_control = NULL;
        message.msg_controllen = 0;
    }
    int64_t result;
    RETRY(result, sendmsg(socket, &message, MSG_NOSIGNAL | MSG_DONTWAIT));
    return result < 0 ? (int)result : 0;
}

/* The descriptors that came with a message: all are open in this process by then, wanted or not, so
 * all but a single one are closed. Returns: it; -1: there was none; -EPROTO: there were several. */
static int only_descriptor(struct msghdr *message)
{
    int only = -1;
    uint32_t count = 0;
    for (struct cmsghdr *part = CMSG_FIRSTHDR(message); part; part = CMSG_NXTHDR(message, part)) {
        if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS)
            continue;
        for (size_t at = CMSG_LEN(0); at + sizeof only <= part->cmsg_len; at += sizeof only) {
            if (count++ > 0)
                muster__os_close_raw(only);
            memcpy(&only, (const unsigned char *)part + at, sizeof only);
        }
    }
    if (count > 1)
        muster__os_close_raw(only);
    return count > 1 ? -EPROTO : only;
}

/* One message. Returns: its bytes, and its descriptor in *fd; or as muster__os_receive_descriptor.
 */
static int receive(int socket, int *fd, void *data, size_t capacity)
{
    ENTER();
    struct iovec part = {.iov_base = data, .iov_len = capacity};
    union {
        /* For one; the kernel rounds up, and fills what it can. */
        char bytes[CMSG_SPACE(sizeof(int))];
        struct cmsghdr alignment;
    } control;
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = control.bytes,
                             .msg_controllen = sizeof control.bytes};
    int64_t result;
    RETRY(result, recvmsg(socket, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT));
    if (result < 0)
        return (int)result;
    int came = only_descriptor(&message);
    if (came >= -1 && message.msg_flags & MSG_CTRUNC) {
        /* There was one more than what has come, and no room for it in this process. */
        if (came >= 0)
            muster__os_close_raw(came);
        came = -EMFILE;
    }
    errno = errno_before;
    if (came < -1)
        return came;
    *fd = came;
    return (int)result;
}

int muster__os_receive_descriptor(int socket, int *fd, void *data, size_t capacity)
{
    INJECT();
    int length = receive(socket, fd, data, capacity);
    if (length != 0 && length != -ECONNRESET)
        return length;
    /* Neither says that nothing is left. recvmsg looks for a message first and for the end of the
     * connection then: a peer that answers and closes in between gives 0 with its answer queued.
     * And a peer that closes without having read everything leaves an error, which recvmsg gives
     * before what is queued. A second look comes after the end, so it finds what there is. */
    int again = receive(socket, fd, data, capacity);
    return again == 0 || again == -EAGAIN ? length : again;
}

int muster__os_open(const char *path, bool writable, bool create)
{
    INJECT();
    ENTER();
    int flags = O_CLOEXEC | O_NOCTTY | (writable ? O_RDWR : O_RDONLY);
    if (create)
        flags |= O_CREAT | O_TRUNC;
    else
        flags |= O_NONBLOCK; /* a FIFO must be refused, not waited for */
    int64_t result;
    RETRY(result, open(path, flags, 0666));
    return (int)result;
}

int muster__os_stat(int fd, uint64_t *size_bytes, uint32_t *mode_bits)
{
    INJECT();
    ENTER();
    struct stat information;
    int status = (int)taken(fstat(fd, &information), errno_before);
    if (status == 0) {
        *size_bytes = (uint64_t)information.st_size;
        *mode_bits = information.st_mode;
    }
    return status;
}

/* A write beyond the limit on files raises SIGXFSZ, which would end the program: these let it come
 * to nothing in this thread, and leave the program's dispositions alone. */
static void hold_file_signal(sigset_t *before)
{
    sigset_t one;
    sigemptyset(&one);
    sigaddset(&one, SIGXFSZ);
    pthread_sigmask(SIG_BLOCK, &one, before);
}

static void drop_file_signal(const sigset_t *before, bool raised)
{
    const struct timespec now = {0, 0};
    sigset_t one;
    sigemptyset(&one);
    sigaddset(&one, SIGXFSZ);
    int errno_before = errno;
    if (raised && !sigismember(before, SIGXFSZ))
        (void)sigtimedwait(&one, NULL, &now);
    pthread_sigmask(SIG_SETMASK, before, NULL);
    errno = errno_before;
}

bool muster__os_is_noexec(int fd)
{
    ENTER(); /* only words depend on it: not injected */
    struct statvfs system;
    bool is_noexec = fstatvfs(fd, &system) == 0 && (system.f_flag & ST_NOEXEC) != 0;
    errno = errno_before;
    return is_noexec;
}

bool muster__os_may_execute(const char *path)
{
    ENTER(); /* only words depend on it: not injected */
    bool may = access(path, X_OK) == 0;
    errno = errno_before;
    return may;
}

int muster__os_allocate(int fd, uint64_t size_bytes)
{
    INJECT();
    ENTER();
    int64_t result;
    sigset_t before;
    hold_file_signal(&before);
    RETRY(result, fallocate(fd, 0, 0, (off_t)size_bytes));
    drop_file_signal(&before, result == -EFBIG);
    return (int)result;
}

int64_t muster__os_read_at(int fd, void *buffer, size_t size_bytes, uint64_t offset_bytes)
{
    INJECT();
    ENTER();
    size_t done = 0;
    while (done < size_bytes) {
        int64_t result;
        RETRY(result,
              pread(fd, (char *)buffer + done, size_bytes - done, (off_t)(offset_bytes + done)));
        if (result < 0)
            return result;
        if (result == 0)
            break;
        done += (size_t)result;
    }
    return (int64_t)done;
}

int64_t muster__os_write(int fd, const void *buffer, size_t size_bytes)
{
    INJECT();
    ENTER();
    size_t done = 0;
    int64_t result = 0;
    sigset_t before;
    hold_file_signal(&before);
    while (done < size_bytes && result >= 0) {
        RETRY(result, write(fd, (const char *)buffer + done, size_bytes - done));
        if (result == -EAGAIN) {
            /* Somebody has made it non-blocking, and it is full. */
            struct pollfd wanted = {.fd = fd, .events = POLLOUT};
            RETRY(result, muster__os_poll(&wanted, 1, -1));
        } else {
            done += result > 0 ? (size_t)result : 0;
        }
    }
    drop_file_signal(&before, result == -EFBIG);
    return result < 0 ? result : (int64_t)done;
}

int muster__os_make_directory(const char *path)
{
    INJECT();
    ENTER();
    return (int)taken(mkdir(path, 0777), errno_before);
}

int muster__os_rename(const char *from, const char *to)
{
    INJECT();
    ENTER();
    return (int)taken(rename(from, to), errno_before);
}

int muster__os_finish(int fd)
{
    ENTER();
    int injected_status = muster__os_injected();
    int status = (int)taken(muster__os_close_raw(fd), errno_before);
    /* Closed all the same, and nothing is known to be lost (close(2)). */
    if (status == -EINTR)
        status = 0;
    return injected_status < 0 ? injected_status : status;
}

void muster__os_unlink(const char *path)
{
    ENTER(); /* clean-up: not injected */
    unlink(path);
    errno = errno_before;
}

void muster__os_close(int fd)
{
    ENTER();
    muster__os_close_raw(fd);
    errno = errno_before;
}

int64_t muster__os_read_text(const char *path, char *text, size_t capacity)
{
    int fd = muster__os_open(path, false, false);
    if (fd < 0)
        return fd;
    /* Files of /proc and /sys give a page at a time, so read until the end. */
    int64_t length = 0;
    for (;;) {
        if ((size_t)length + 1 >= capacity) {
            length = -EFBIG;
            break;
        }
        ENTER();
        int64_t result;
        RETRY(result, read(fd, text + length, capacity - 1 - (size_t)length));
        if (result <= 0) {
            length = result < 0 ? result : length;
            break;
        }
        length += result;
    }
    muster__os_close(fd);
    if (length >= 0)
        text[length] = '\0';
    return length;
}

int muster__os_list(const char *path, int (*visit)(const char *name, void *context), void *context)
{
    INJECT();
    ENTER();
    DIR *directory = opendir(path);
    if (!directory)
        return (int)muster__taken(-1, errno_before, "opendir");
    int status = 0;
    struct dirent *entry;
    while (status == 0 && (errno = 0, entry = readdir(directory)) != NULL)
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            status = visit(entry->d_name, context);
    if (status == 0 && errno != 0)
        status = (int)muster__taken(-1, errno_before, "readdir");
    closedir(directory);
    errno = errno_before;
    return status;
}
