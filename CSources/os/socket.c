/* socket.c - the system calls of os.h: sockets with an abstract name, which leave no file. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "os/call.h"

/* An abstract name begins with a NUL and is not terminated: its length is part of it. */
static socklen_t abstract(const char *name, struct sockaddr_un *address)
{
    size_t length = strlen(name);
    memset(address, 0, sizeof *address);
    address->sun_family = AF_UNIX;
    if (length > sizeof address->sun_path - 1)
        return 0;
    memcpy(address->sun_path + 1, name, length);
    return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + length);
}

int muster__os_socket(bool blocks)
{
    INJECT();
    ENTER();
    int kind = SOCK_SEQPACKET | SOCK_CLOEXEC | (blocks ? 0 : SOCK_NONBLOCK);
    return (int)taken(socket(AF_UNIX, kind, 0), errno_before);
}

int muster__os_bind(int fd, const char *name)
{
    INJECT();
    ENTER();
    struct sockaddr_un address;
    socklen_t length = abstract(name, &address);
    if (length == 0)
        return -EINVAL;
    return (int)taken(bind(fd, (const struct sockaddr *)&address, length), errno_before);
}

int muster__os_listen(int fd)
{
    INJECT();
    ENTER();
    return (int)taken(listen(fd, SOMAXCONN), errno_before);
}

int muster__os_connect(int fd, const char *name)
{
    INJECT();
    ENTER();
    struct sockaddr_un address;
    socklen_t length = abstract(name, &address);
    if (length == 0)
        return -EINVAL;
    int64_t result;
    /* Interrupted before anything has happened: a connect between unix sockets is not under way. */
    RETRY(result, connect(fd, (const struct sockaddr *)&address, length));
    return (int)result;
}

int muster__os_accept(int fd)
{
    INJECT();
    ENTER();
    int64_t result;
    RETRY(result, accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!muster__is_refusal(result))
        return (int)result;
    RETRY(result, accept(fd, NULL, NULL));
    if (result >= 0) {
        (void)fcntl((int)result, F_SETFD, FD_CLOEXEC);
        (void)fcntl((int)result, F_SETFL, O_NONBLOCK);
        errno = errno_before;
    }
    return (int)result;
}

int muster__os_peer(int fd, int *pid, uint32_t *user)
{
    INJECT();
    ENTER();
    struct ucred credentials;
    socklen_t length = sizeof credentials;
    int status =
        (int)taken(getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &length), errno_before);
    if (status == 0) {
        *pid = credentials.pid;
        *user = credentials.uid;
    }
    return status;
}

uint32_t muster__os_user(void)
{
    ENTER();
    uid_t real, effective = geteuid(), saved;
    /* A refusal looks like a user's number. */
    if ((int)effective < 0 && getresuid(&real, &effective, &saved) < 0)
        effective = (uid_t)-1;
    errno = errno_before;
    return effective;
}

int muster__os_die_with_peer(int fd)
{
    INJECT();
    ENTER();
    /* The signal is sent whenever the socket's state changes: only for one that nothing is sent to.
     * (fcntl(2), F_SETSIG; the parent-death signal would follow a thread of the program that
     * started us.) */
    int64_t result = fcntl(fd, F_SETSIG, SIGKILL);
    if (result == 0)
        result = fcntl(fd, F_SETOWN, muster__os_pid());
    int flags = result == 0 ? fcntl(fd, F_GETFL) : -1;
    if (result == 0)
        result = flags < 0 ? -1 : fcntl(fd, F_SETFL, flags | O_ASYNC);
    return (int)muster__taken(result, errno_before, "fcntl");
}

void muster__os_outlive_peer(int fd)
{
    ENTER(); /* clean-up: not injected */
    int flags = fcntl(fd, F_GETFL);
    if (flags >= 0)
        (void)fcntl(fd, F_SETFL, flags & ~O_ASYNC);
    errno = errno_before;
}

bool muster__os_hung_up(int fd)
{
    ENTER();
    struct pollfd wanted = {
        .fd = fd}; /* these are told without being asked for (muster__os_poll(2)) */
    bool closed = muster__os_poll(&wanted, 1, 0) == 1;
    errno = errno_before;
    return closed;
}

int muster__os_random(void *bytes, size_t size_bytes)
{
    INJECT();
    ENTER();
    int64_t result;
    RETRY(result, getrandom(bytes, size_bytes, 0));
    if (muster__is_refusal(result)) {
        int fd = open("/dev/urandom", O_RDONLY | O_CLOEXEC);
        if (fd >= 0) {
            RETRY(result, read(fd, bytes, size_bytes));
            muster__os_close(fd);
        }
        errno = errno_before;
    }
    return result < 0 ? (int)result : (size_t)result == size_bytes ? 0 : -EAGAIN;
}
