/* joining.c - what a launcher and a member know of each other while one joins, and when it is dead.
 */
#define _GNU_SOURCE
#include "support.h"

#include <linux/capability.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "member/state.h"

#define OTHER_USER 65534

/* What two processes tell each other. */
struct meeting {
    char address[MUSTER_NAME_BYTES];
    uint64_t listening;
    int status; /* of the member's death, as its launcher's event has it */
};

static void wait_for(const uint64_t *word)
{
    while (muster_testing_load(word) == 0)
        usleep(200); /* the watchdog ends it */
}

/* Listens and serves until a member has left or died. */
_Noreturn static void launch(struct meeting *meeting)
{
    struct muster_launcher_options options = {.size_bytes = sizeof options, .size = 2};
    struct muster_launcher *launcher;
    CHECK_STATUS(muster_launcher_create(&options, &launcher), 0);
    strcpy(meeting->address, muster_launcher_address(launcher));
    muster_testing_add(&meeting->listening, 1);
    for (;;) {
        struct muster_launcher_event events[4];
        int count = muster_launcher_serve(launcher, events, 4);
        CHECK(count >= 0);
        for (int i = 0; i < count; i++) {
            meeting->status = events[i].status;
            if (events[i].kind != MUSTER_LAUNCHER_JOINED)
                _exit(events[i].kind == MUSTER_LAUNCHER_REFUSED);
        }
        CHECK(muster__os_wait_readable(muster_launcher_descriptor(launcher), -1) >= 0);
    }
}

static struct muster_member *join(const struct meeting *meeting)
{
    struct muster_join_options options = {
        .size_bytes = sizeof options, .address = meeting->address, .rank = 1};
    struct muster_member *me;
    CHECK_STATUS(muster_join_with(&options, &me), 0);
    return me;
}

static void check_stopped(pid_t pid)
{
    int status;
    CHECK(waitpid(pid, &status, WUNTRACED) == pid && WIFSTOPPED(status));
}

static void check_ended(pid_t pid, int wanted)
{
    int status;
    CHECK(waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == wanted);
}

/* The launcher loses its CPU between the message and what follows from it: a member that went on
 * from there would be killed by the news of its own answer. */
static void slow_launcher(void)
{
    struct meeting *meeting = shared(sizeof *meeting);
    pid_t launcher = fork_child();
    if (launcher == 0) {
        muster_testing_arm(MUSTER_POINT_ANSWERED, MUSTER_POINT_STOP, 1, -1, -1);
        launch(meeting);
    }
    wait_for(&meeting->listening);
    pid_t member = fork_child();
    if (member == 0) {
        muster_testing_arm(MUSTER_POINT_AWAITING, MUSTER_POINT_STOP, 1, -1, -1);
        _exit(muster_leave(join(meeting)) < 0);
    }
    check_stopped(launcher);
    check_stopped(member); /* and has not joined */
    CHECK(kill(launcher, SIGCONT) == 0 && kill(member, SIGCONT) == 0);
    check_ended(member, 0);
    check_ended(launcher, 0);
}

/* A launcher that may not look into a member doesn't take the 0 that it is shown for a status. */
static void hidden_end(void)
{
    if (geteuid() != 0) {
        printf("skipped: a member with more rights than its launcher, for want of root\n");
        return;
    }
    struct meeting *meeting = shared(sizeof *meeting);
    pid_t launcher = fork_child();
    if (launcher == 0) {
        CHECK(setuid(OTHER_USER) == 0);
        prctl(PR_SET_PDEATHSIG, SIGKILL); /* a change of user takes it back */
        launch(meeting);
    }
    wait_for(&meeting->listening);
    pid_t member = fork_child();
    if (member == 0) {
        struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
        struct __user_cap_data_struct rights[2] = {{.permitted = 1u << CAP_CHOWN}, {0}};
        CHECK(prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) == 0 && setuid(OTHER_USER) == 0);
        CHECK(syscall(SYS_capset, &header, rights) == 0);
        (void)join(meeting);
        _exit(3);
    }
    check_ended(launcher, 0); /* the member is not reaped before */
    CHECK(meeting->status == -1);
    check_ended(member, 3);
}

int joining(int count, char **arguments)
{
    (void)count;
    (void)arguments;
    watch(60);
    slow_launcher();
    hidden_end();
    return 0;
}
