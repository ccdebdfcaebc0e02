/* gone.c - a launcher that is gone, and other things that only one call of a member meets. */
#define _GNU_SOURCE
#include "support.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "launcher/state.h"

/* A launcher of two ranks, in a process of its own. Says nothing of who has died. */
static pid_t launch(struct team *team, uint32_t *deaths)
{
    char *address = shared(MUSTER_NAME_BYTES);
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        struct muster_launcher *launcher;
        struct muster_launcher_options options = {.size_bytes = sizeof options, .size = 2};
        CHECK_STATUS(muster_launcher_create(&options, &launcher), 0);
        strcpy(address + 1, muster_launcher_address(launcher) + 1);
        __atomic_store_n(address, '@', __ATOMIC_SEQ_CST);
        for (;;) {
            struct muster_launcher_event event;
            struct pollfd wanted = {.fd = muster_launcher_descriptor(launcher), .events = POLLIN};
            (void)poll(&wanted, 1, -1);
            if (muster_launcher_serve(launcher, &event, 1) == 1 &&
                event.kind == MUSTER_LAUNCHER_DIED)
                __atomic_fetch_add(deaths, 1, __ATOMIC_SEQ_CST);
        }
    }
    while (__atomic_load_n(address, __ATOMIC_SEQ_CST) != '@')
        usleep(200);
    *team = (struct team){.size = 2};
    snprintf(team->address, sizeof team->address, "%s", address);
    return pid;
}

/* Joins, and is not taken along when the launcher is killed. */
static struct muster_member *join_to_stay(const struct team *team, uint32_t rank)
{
    struct muster_member *me = join_as(team, rank);
    muster__os_outlive_peer(me->socket);
    me->looks = true;
    return me;
}

static const struct muster_member_loop_options options = {
    .size_bytes = sizeof options, .elements = 10, .grain = 1, .partial_bytes = 8};

/* Rank 1: is there, begins what rank 0 begins, and comes to nothing more. */
static pid_t start_other(const struct team *team)
{
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        struct muster_member_loop *loop;
        CHECK_STATUS(muster_member_loop_begin(join_to_stay(team, 1), &options, &loop), 0);
        for (;;)
            pause();
    }
    return pid;
}

static void end(pid_t pid)
{
    CHECK(kill(pid, SIGKILL) == 0 && waitpid(pid, NULL, 0) == pid);
}

/* Every call that waits, and the one that says goodbye. */
static void every_call(void)
{
    struct team team;
    pid_t launcher = launch(&team, shared(sizeof(uint32_t)));
    pid_t other = start_other(&team);
    struct muster_member *me = join_to_stay(&team, 0);
    struct muster_member_loop *loop;
    struct muster_chunk chunk;
    double x = 1;
    void *memory;
    CHECK_STATUS(muster_member_loop_begin(me, &options, &loop), 0);
    while (muster_member_loop_next(loop, &chunk) > 0)
        muster_member_loop_commit(loop, &chunk);
    end(launcher);
    CHECK_STATUS(muster_member_loop_end(loop, NULL), -ECONNRESET);
    CHECK_STATUS(muster_member_barrier(me), -ECONNRESET);
    CHECK_STATUS(muster_member_broadcast(me, &x, sizeof x, 1), -ECONNRESET);
    CHECK_STATUS(muster_member_reduce(me, &x, 1, MUSTER_TYPE_F64, MUSTER_OP_SUM, 0), -ECONNRESET);
    CHECK_STATUS(muster_member_all_reduce(me, &x, 1, MUSTER_TYPE_F64, MUSTER_OP_SUM), -ECONNRESET);
    CHECK_STATUS(muster_member_scan(me, &x, 1, MUSTER_TYPE_F64, MUSTER_OP_SUM, 0), -ECONNRESET);
    CHECK_STATUS(muster_member_array(me, "x", 8, &memory), -ECONNRESET);
    struct muster_member_loop_options bare = options;
    bare.partial_bytes = 0;
    CHECK_STATUS(muster_member_loop_begin(me, &bare, &loop), -ECONNRESET);
    CHECK_STATUS(muster_leave(me), -ECONNRESET);
    end(other);
}

/* A loop that adopts waits for the others in its last claim. */
static void adopting(void)
{
    struct team team;
    pid_t launcher = launch(&team, shared(sizeof(uint32_t)));
    struct muster_member_loop_options adopts = options;
    adopts.flags = MUSTER_LOOP_ADOPT;
    pid_t other = fork();
    struct muster_member_loop *loop;
    struct muster_member *me = join_to_stay(&team, other == 0);
    CHECK_STATUS(muster_member_loop_begin(me, &adopts, &loop), 0);
    while (other == 0)
        pause();
    end(launcher);
    struct muster_chunk chunk;
    int status;
    while ((status = muster_member_loop_next(loop, &chunk)) > 0)
        muster_member_loop_commit(loop, &chunk);
    CHECK_STATUS(status, -ECONNRESET);
    CHECK_STATUS(muster_member_loop_next_call(loop, &chunk), -ECONNRESET);
    CHECK_STATUS(muster_member_loop_end(loop, NULL), -ECONNRESET);
    CHECK_STATUS(muster_leave(me), -ECONNRESET);
    end(other);
}

/* Recovery waits for what the launcher says of the dead. */
static void recovering(void)
{
    struct team team;
    uint32_t *deaths = shared(sizeof *deaths);
    pid_t launcher = launch(&team, deaths);
    pid_t other = start_other(&team);
    struct muster_member *me = join_to_stay(&team, 0);
    struct muster_member_loop *loop;
    CHECK_STATUS(muster_member_loop_begin(me, &options, &loop), 0);
    end(other);
    while (__atomic_load_n(deaths, __ATOMIC_SEQ_CST) == 0)
        usleep(200);
    end(launcher);
    CHECK_STATUS(muster_recover(me), -ECONNRESET);
    CHECK_STATUS(muster_leave(me), -ECONNRESET);
}

/* -- what one call meets -------------------------------------------------------------------- */

/* Length: one line a call. */
static void one_call_each(void)
{
    struct muster_launcher *launcher;
    struct muster_launcher_options how = {.size_bytes = sizeof how, .size = 2};
    CHECK_STATUS(muster_launcher_create(&how, &launcher), 0);
    struct muster_launcher_event event;
    muster_testing_fail_call(1, EBADF);
    CHECK_STATUS(muster_launcher_serve(launcher, &event, 1), -EBADF);
    muster_testing_fail_call(0, 0);

    char name[MUSTER_NAME_BYTES];
    struct muster__notes *notes = launcher->parts.notes;
    CHECK_STATUS(muster_launcher_unended(launcher, 2, name), -EINVAL);
    CHECK_STATUS(muster_launcher_unended(launcher, 1, name), 0);
    notes[1].open = 1;
    memset(notes[1].open_loop.name, 'x', MUSTER_NAME_BYTES);
    CHECK_STATUS(muster_launcher_unended(launcher, 1, name), -EUCLEAN);
    strcpy(notes[1].open_loop.name, "it");
    CHECK_STATUS(muster_launcher_unended(launcher, 1, name), 1);
    CHECK(strcmp(name, "it") == 0);
    muster_launcher_destroy(launcher);

    /* Under a launcher of this process's own, served by a child that shares its descriptors. */
    struct team team;
    pid_t served = launch(&team, shared(sizeof(uint32_t)));
    struct muster_join_options place = {.size_bytes = sizeof place, .address = team.address};
    struct muster_member *me, *again = NULL;
    CHECK_STATUS(muster_join_with(&place, &me), 0);
    CHECK_STATUS(muster_join_with(&place, &again), -EALREADY);
    CHECK(!again);
    struct rlimit before, none;
    CHECK(getrlimit(RLIMIT_NOFILE, &before) == 0);
    none = before;
    none.rlim_cur = (rlim_t)dup(0);
    close((int)none.rlim_cur);
    CHECK(setrlimit(RLIMIT_NOFILE, &none) == 0);
    place.rank = 1;
    CHECK_STATUS(muster_join_with(&place, &again), -EMFILE);
    CHECK(setrlimit(RLIMIT_NOFILE, &before) == 0 && !again);
    muster_testing_fail_call(1, ENOBUFS);
    CHECK_STATUS(muster_leave(me), -ENOBUFS); /* and has left all the same */
    CHECK(muster_testing_failed());
    muster_testing_fail_call(0, 0);
    end(served);

    /* A claim word that somebody else has written to. */
    unsetenv("MUSTER_TEAM");
    CHECK_STATUS(muster_join(&me), 0);
    struct muster_member_loop_options stealing = options;
    stealing.schedule = MUSTER_SCHEDULE_STATIC_STEAL;
    struct muster_member_loop *loop;
    struct muster_chunk chunk;
    CHECK_STATUS(muster_member_loop_begin(me, &stealing, &loop), 0);
    me->parts.slots[0].claim = muster_schedule_pack((struct muster_interval){5, 5000});
    CHECK_STATUS(muster_member_loop_next(loop, &chunk), -EUCLEAN);
    CHECK_STATUS(muster_member_loop_next_call(loop, &chunk), -EUCLEAN);
    CHECK_STATUS(muster_member_loop_end(loop, NULL), -EBADMSG);
    /* Partial results for which there is no memory. */
    stealing.partial_bytes = MUSTER_PARTIAL_BYTES_MAX;
    int status = 0;
    for (uint64_t n = 1; status == 0; n++) { /* some calls it can do without */
        CHECK(n < 20);
        CHECK_STATUS(muster_leave(me), 0);
        CHECK_STATUS(muster_join(&me), 0);
        muster_testing_fail_call(n, ENOMEM);
        status = muster_member_loop_begin(me, &stealing, &loop);
        CHECK(muster_testing_failed());
        muster_testing_fail_call(0, 0);
    }
    CHECK_STATUS(status, -ENOMEM);
    CHECK_STATUS(muster_leave(me), 0);
}

int launcher_gone(int count, char **arguments)
{
    (void)count;
    (void)arguments;
    watch(60);
    one_call_each();
    every_call();
    adopting();
    recovering();
    return 0;
}
