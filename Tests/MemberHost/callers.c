/* callers.c - who connects to a launcher, and what comes over the connection, however many and
 * whatever it is.
 */
#define _GNU_SOURCE
#include "support.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "launcher/state.h"

static struct muster_launcher *launcher_of_two(void)
{
    struct muster_launcher_options options = {.size_bytes = sizeof options, .size = 2};
    struct muster_launcher *launcher = NULL;
    CHECK_STATUS(muster_launcher_create(&options, &launcher), 0);
    return launcher;
}

/* A connection on which nothing is said. */
static int connect_to(const char *address)
{
    int fd = muster__os_socket(true);
    CHECK(fd >= 0);
    CHECK_STATUS(muster__os_connect(fd, address + 1), 0);
    return fd;
}

/* Serves only when the descriptor says that there is something, until a child has ended. */
static void serve_by_descriptor(struct muster_launcher *launcher, pid_t child)
{
    int ended = (int)muster__os_pidfd(child), status;
    CHECK(ended >= 0);
    struct pollfd wanted[] = {{.fd = muster_launcher_descriptor(launcher), .events = POLLIN},
                              {.fd = ended, .events = POLLIN}};
    while (poll(wanted, 2, -1) < 0 || !wanted[1].revents) {
        struct muster_launcher_event events[4];
        CHECK(muster_launcher_serve(launcher, events, 4) >= 0);
    }
    CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0);
    close(ended);
}

/* -- more than there are places ------------------------------------------------------------- */

static void speak(int fd, struct muster__answer *answer)
{
    struct muster__hello hello = {.magic = MUSTER__HELLO_MAGIC,
                                  .layout_version = MUSTER_LAYOUT_VERSION,
                                  .request = MUSTER__ARRAY,
                                  .rank = 9};
    int came = -1;
    CHECK_STATUS(muster__ask(fd, &hello, answer, &came), -EPERM);
    close(fd);
}

/* Twice as many as there are places connect; then each speaks, the last ones first. */
static void check_crowd(void)
{
    enum { CROWD = 2 * MUSTER__CALLERS_MOST };
    struct muster_launcher *launcher = launcher_of_two();
    const char *address = muster_launcher_address(launcher);
    pid_t child = fork_child();
    if (child == 0) {
        struct muster__answer answer;
        int callers[CROWD];
        for (int i = 0; i < CROWD; i++)
            callers[i] = connect_to(address);
        /* The first ones hold all places, so the others' words wait for theirs. */
        for (int i = 0; i < CROWD; i++)
            speak(callers[i], &answer);
        _exit(0);
    }
    serve_by_descriptor(launcher, child);
    muster_launcher_destroy(launcher);
}

/* -- no descriptor left ---------------------------------------------------------------------- */

/* Who asks while the launcher can open nothing is served once it can, with nothing else happening
 * that would make it look. */
static void check_starving(void)
{
    struct muster_launcher *launcher = launcher_of_two();
    const char *address = muster_launcher_address(launcher);
    struct muster_launcher_event events[4];
    pid_t child = fork_child();
    if (child == 0) {
        struct muster__answer answer;
        speak(connect_to(address), &answer);
        _exit(0);
    }
    struct pollfd wanted = {.fd = muster_launcher_descriptor(launcher), .events = POLLIN};
    while (poll(&wanted, 1, -1) < 0)
        CHECK(errno == EINTR);
    struct rlimit limit, full;
    CHECK(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    full = limit;
    int lowest = dup(STDERR_FILENO);
    CHECK(lowest >= 0 && close(lowest) == 0);
    full.rlim_cur = (rlim_t)lowest;
    CHECK(setrlimit(RLIMIT_NOFILE, &full) == 0);
    CHECK_STATUS(muster_launcher_serve(launcher, events, 4), 0);
    CHECK(launcher->callers[0] < 0);
    CHECK(!launcher->listening); /* nor is it busy with waiting */
    CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0);
    serve_by_descriptor(launcher, child);
    muster_launcher_destroy(launcher);
}

/* -- another user's ------------------------------------------------------------------------- */

/* Another user's process takes as many connections as there are places, says nothing, and stays. */
static void check_strangers(void)
{
    if (geteuid() != 0) {
        printf("skipped: another user's callers, for want of root\n");
        return;
    }
    struct muster_launcher *launcher = launcher_of_two();
    const char *address = muster_launcher_address(launcher);
    uint64_t *connected = shared(sizeof *connected);
    pid_t stranger = fork_child();
    if (stranger == 0) {
        CHECK(setuid(65534) == 0);
        prctl(PR_SET_PDEATHSIG, SIGKILL); /* a change of user takes it back */
        for (uint32_t i = 0; i < MUSTER__CALLERS_MOST; i++)
            (void)connect_to(address);
        muster_testing_add(connected, 1);
        for (;;)
            pause();
    }
    while (muster_testing_load(connected) == 0)
        usleep(200); /* the watchdog ends it */
    pid_t child = fork_child();
    if (child == 0) {
        struct muster_join_options options = {
            .size_bytes = sizeof options, .address = address, .rank = 1};
        struct muster_member *me;
        CHECK_STATUS(muster_join_with(&options, &me), 0);
        _exit(0);
    }
    serve_by_descriptor(launcher, child);
    for (uint32_t i = 0; i < MUSTER__CALLERS_MOST; i++)
        CHECK(launcher->callers[i] < 0);
    CHECK(kill(stranger, SIGKILL) == 0 && waitpid(stranger, NULL, 0) == stranger);
    muster_launcher_destroy(launcher);
}

/* -- descriptors that nobody asked for ------------------------------------------------------ */

static uint32_t open_descriptors(void)
{
    uint32_t count = 0;
    for (int fd = 0; fd < 1024; fd++)
        count += fcntl(fd, F_GETFD) >= 0;
    return count;
}

/* A message of one byte, with some descriptors. */
static void send_with(int socket, int count)
{
    char byte = 'x';
    struct iovec part = {.iov_base = &byte, .iov_len = 1};
    union {
        char bytes[CMSG_SPACE(64 * sizeof(int))];
        struct cmsghdr alignment;
    } control;
    memset(&control, 0, sizeof control);
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    if (count > 0) {
        message.msg_control = control.bytes;
        message.msg_controllen = CMSG_SPACE((size_t)count * sizeof(int));
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN((size_t)count * sizeof(int));
        for (int i = 0; i < count; i++) {
            int fd = STDERR_FILENO;
            memcpy(CMSG_DATA(header) + (size_t)i * sizeof fd, &fd, sizeof fd);
        }
    }
    CHECK(sendmsg(socket, &message, 0) == 1);
}

static void check_descriptors(void)
{
    int ends[2];
    CHECK_STATUS(muster__os_socketpair(ends), 0);
    uint32_t before = open_descriptors();
    for (int count = 0; count <= 64; count = count < 4 ? count + 1 : 2 * count) {
        char byte = 0;
        int fd = -7;
        send_with(ends[0], count);
        int status = muster__os_receive_descriptor(ends[1], &fd, &byte, 1);
        if (count <= 1) {
            CHECK_STATUS(status, 1);
            CHECK(byte == 'x' && (count == 0 ? fd == -1 : fcntl(fd, F_GETFD) == FD_CLOEXEC));
            if (count == 1)
                close(fd);
        } else {
            CHECK_STATUS(status, -EPROTO);
            CHECK(fd == -7);
        }
        CHECK(open_descriptors() == before);
    }
    /* No room for one, and for one of two. */
    struct rlimit limit, full;
    CHECK(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    full = limit;
    int lowest = dup(STDERR_FILENO);
    CHECK(lowest >= 0 && close(lowest) == 0);
    for (int count = 1; count <= 2; count++) {
        char byte = 0;
        int fd = -7;
        send_with(ends[0], count);
        full.rlim_cur = (rlim_t)(lowest + count - 1);
        CHECK(setrlimit(RLIMIT_NOFILE, &full) == 0);
        int status = muster__os_receive_descriptor(ends[1], &fd, &byte, 1);
        CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0);
        CHECK_STATUS(status, -EMFILE);
        CHECK(fd == -7 && open_descriptors() == before);
    }
    close(ends[0]);
    close(ends[1]);
}

/* A launcher that gets them is none the fuller, and serves the next one. */
static void check_gifts(void)
{
    struct muster_launcher *launcher = launcher_of_two();
    const char *address = muster_launcher_address(launcher);
    uint32_t before = open_descriptors();
    for (int count = 1; count <= 32; count *= 2) {
        pid_t child = fork_child();
        if (child == 0) {
            char answer[256];
            int fd = connect_to(address);
            send_with(fd, count);
            CHECK(recv(fd, answer, sizeof answer, 0) <= 0);
            _exit(0);
        }
        serve_by_descriptor(launcher, child);
        CHECK(open_descriptors() == before);
    }
    muster_launcher_destroy(launcher);
}

/* -- what is left behind a closed connection ------------------------------------------------ */

/* A peer that answers and closes with something unread leaves an error before its answer. */
static void check_last_words(void)
{
    int ends[2], came = -1;
    char word[8] = "";
    CHECK_STATUS(muster__os_socketpair(ends), 0);
    CHECK_STATUS(muster__os_send_descriptor(ends[0], -1, "ask", 4), 0);
    CHECK_STATUS(muster__os_send_descriptor(ends[1], -1, "answer", 7), 0);
    muster__os_close(ends[1]);
    CHECK_STATUS(muster__os_receive_descriptor(ends[0], &came, word, sizeof word), 7);
    CHECK(strcmp(word, "answer") == 0 && came == -1);
    CHECK_STATUS(muster__os_receive_descriptor(ends[0], &came, word, sizeof word), 0);
    muster__os_close(ends[0]);
}

int callers(int count, char **arguments)
{
    (void)count;
    (void)arguments;
    watch(60);
    check_crowd();
    check_starving();
    check_strangers();
    check_descriptors();
    check_gifts();
    check_last_words();
    return 0;
}
