/* children.c - a member that is nobody's child here, and members whose launcher dies. */
#define _GNU_SOURCE
#include "support.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "member/state.h"

/* The member is a grandchild of the launcher, under a process that goes on living. */
int grandchild(int count, char **arguments)
{
    (void)count;
    (void)arguments;
    watch(60);
    struct muster_launcher *launcher;
    struct muster_launcher_options options = {.size_bytes = sizeof options, .size = 1};
    CHECK_STATUS(muster_launcher_create(&options, &launcher), 0);
    pid_t child = fork();
    if (child == 0) {
        pid_t member = fork();
        if (member == 0) {
            struct muster_join_options place = {.size_bytes = sizeof place,
                                                .address = muster_launcher_address(launcher)};
            struct muster_member *me;
            CHECK_STATUS(muster_join_with(&place, &me), 0);
            for (;;)
                pause();
        }
        for (;;)
            pause(); /* reaps nothing either */
    }
    pid_t member = 0;
    for (int died = 0; !died;) {
        struct muster_launcher_event event;
        struct pollfd wanted = {.fd = muster_launcher_descriptor(launcher), .events = POLLIN};
        CHECK(poll(&wanted, 1, -1) == 1);
        if (muster_launcher_serve(launcher, &event, 1) != 1)
            continue;
        if (event.kind == MUSTER_LAUNCHER_JOINED) {
            member = event.pid;
            CHECK(member != child && kill(child, 0) == 0);
            CHECK_STATUS(muster_launcher_kill(launcher, 0, SIGKILL), 0);
        } else {
            CHECK(event.kind == MUSTER_LAUNCHER_DIED && event.pid == member && event.rank == 0);
            died = 1;
        }
    }
    CHECK(kill(child, SIGKILL) == 0 && waitpid(child, NULL, 0) == child);
    muster_launcher_destroy(launcher);
    return 0;
}

/* Members of a launcher that is killed: one waits, one works, one was not promised to be killed. */
int launcher_death(int count, char **arguments)
{
    (void)count;
    (void)arguments;
    watch(60);
    CHECK(prctl(PR_SET_CHILD_SUBREAPER, 1) == 0);
    struct {
        uint32_t ready;
        int status;
    } *shown = shared(sizeof *shown);
    pid_t launching = fork();
    if (launching == 0) {
        struct muster_launcher *launcher;
        struct muster_launcher_options options = {
            .size_bytes = sizeof options, .size = 4, .spin_ns = 0};
        CHECK_STATUS(muster_launcher_create(&options, &launcher), 0);
        struct team team = {.size = 4};
        snprintf(team.address, sizeof team.address, "%s", muster_launcher_address(launcher));
        for (uint32_t rank = 0; rank < 3; rank++) {
            if (fork() != 0)
                continue;
            muster_launcher_destroy(launcher); /* its descriptors would keep the socket open */
            struct muster_member *me = join_as(&team, rank);
            if (rank == 2) {
                muster__os_outlive_peer(me->socket);
                me->looks = true;
            }
            __atomic_fetch_add(&shown->ready, 1, __ATOMIC_SEQ_CST);
            if (rank == 1)
                for (;;)
                    pause();
            int status = muster_member_barrier(me);
            if (rank == 2)
                shown->status = status;
            _exit(rank == 2 ? 0 : 1);
        }
        for (;;) {
            struct muster_launcher_event events[4];
            struct pollfd wanted = {.fd = muster_launcher_descriptor(launcher), .events = POLLIN};
            (void)poll(&wanted, 1, -1);
            CHECK(muster_launcher_serve(launcher, events, 4) >= 0);
        }
    }
    while (__atomic_load_n(&shown->ready, __ATOMIC_SEQ_CST) < 3)
        usleep(1000);
    CHECK(kill(launching, SIGKILL) == 0);
    int killed = 0, ended = 0, status;
    while (waitpid(-1, &status, 0) > 0) {
        killed += WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
        ended += WIFEXITED(status) && WEXITSTATUS(status) == 0;
    }
    CHECK(killed == 3 && ended == 1); /* the launcher, two members; and the third by itself */
    CHECK(shown->status == -ECONNRESET);
    return 0;
}
