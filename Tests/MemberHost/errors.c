/* errors.c - each error that member.h and launcher.h document, in each function. */
#define _GNU_SOURCE
#include "support.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "launcher/state.h"

/* -- a member's calls ----------------------------------------------------------------------- */

/* Makes a limit what `most` says while a call is made. */
static struct rlimit narrow(int what, rlim_t most)
{
    struct rlimit before, limits;
    CHECK(getrlimit(what, &before) == 0);
    limits = before;
    limits.rlim_cur = most;
    CHECK(setrlimit(what, &limits) == 0);
    return before;
}

static struct muster_member *alone(void)
{
    struct muster_member *me = NULL;
    unsetenv("MUSTER_TEAM");
    CHECK_STATUS(muster_join(&me), 0);
    return me;
}

static int mismatched(struct team *team, uint32_t rank, uint32_t incarnation)
{
    struct muster_member *me = join_as(team, rank);
    double x[3] = {1, 2, 3};
    void *address;
    (void)incarnation;
    bool odd = rank == 1;
    CHECK_STATUS(odd ? muster_member_barrier(me)
                     : muster_member_all_reduce(me, x, 1, MUSTER_TYPE_F64, MUSTER_OP_SUM),
                 -EINVAL);
    CHECK_STATUS(muster_member_all_reduce(me, x, 1 + odd, MUSTER_TYPE_F64, MUSTER_OP_SUM), -EINVAL);
    CHECK_STATUS(muster_member_all_reduce(me, x, 1, MUSTER_TYPE_F64, MUSTER_OP_SUM + odd), -EINVAL);
    CHECK_STATUS(muster_member_broadcast(me, x, 8, odd), -EINVAL);
    CHECK_STATUS(muster_member_reduce(me, x, 1, MUSTER_TYPE_F64, MUSTER_OP_SUM, odd), -EINVAL);
    CHECK_STATUS(muster_member_scan(me, x, 1, MUSTER_TYPE_F64, MUSTER_OP_SUM, odd), -EINVAL);
    CHECK_STATUS(muster_member_array(me, odd ? "a" : "b", 100, &address), -EINVAL);
    /* One rank's mistake is everybody's. */
    CHECK_STATUS(muster_member_array(me, odd ? "" : "c", 100, &address), -EINVAL);
    struct muster_member_loop_options options = {
        .size_bytes = sizeof options, .elements = 10 + odd, .grain = 1};
    struct muster_member_loop *loop;
    CHECK_STATUS(muster_member_loop_begin(me, &options, &loop), -EINVAL);
    options.elements = 10;
    options.name = odd ? "rows" : "columns";
    CHECK_STATUS(muster_member_loop_begin(me, &options, &loop), -EINVAL);
    options.name = odd ? NULL : "lop";
    CHECK_STATUS(muster_member_loop_begin(me, &options, &loop), -EINVAL);
    options.name = NULL;
    options.flags = odd ? 2 : 0;
    CHECK_STATUS(muster_member_loop_begin(me, &options, &loop), -EINVAL);
    /* And after all of that they still meet. */
    CHECK_STATUS(muster_member_barrier(me), 0);
    return muster_leave(me);
}

/* Arrays, and loops whose partial results lie in one, where files or descriptors may not be had. */
static void without_room(struct muster_member *me)
{
    struct muster_member_loop_options options = {
        .size_bytes = sizeof options, .elements = 1 << 20, .grain = 1, .partial_bytes = 1024};
    struct muster_member_loop *loop;
    void *address;
    signal(SIGXFSZ, SIG_IGN);
    struct rlimit before = narrow(RLIMIT_FSIZE, 1 << 20);
    CHECK_STATUS(muster_member_array(me, "long", 1 << 30, &address), -EFBIG);
    CHECK_STATUS(muster_member_loop_begin(me, &options, &loop), -EFBIG);
    CHECK(setrlimit(RLIMIT_FSIZE, &before) == 0);
    rlim_t next = (rlim_t)dup(0);
    close((int)next);
    before = narrow(RLIMIT_NOFILE, next);
    CHECK_STATUS(muster_member_array(me, "opened", 1, &address), -EMFILE);
    CHECK_STATUS(muster_member_loop_begin(me, &options, &loop), -EMFILE);
    CHECK(setrlimit(RLIMIT_NOFILE, &before) == 0);
}

/* What a launcher of another make sends is no array's memory: it could become shorter. */
static void array_of_a_liar(void)
{
    struct muster_launcher *launcher = launcher_of(1);
    const char liar[] = "muster-array-liar";
    char own[32];
    snprintf(own, sizeof own, "%s-%d", liar, getpid());
    int listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    memcpy(name.sun_path + 1, own, strlen(own));
    socklen_t length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + strlen(own));
    CHECK(bind(listener, (struct sockaddr *)&name, length) == 0 && listen(listener, 4) == 0);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        struct muster_join_options place = {.size_bytes = sizeof place,
                                            .address = muster_launcher_address(launcher)};
        struct muster_member *me;
        struct muster_member_loop *loop;
        struct muster_member_loop_options options = {
            .size_bytes = sizeof options, .elements = 10, .partial_bytes = 8};
        void *address;
        CHECK_STATUS(muster_join_with(&place, &me), 0);
        snprintf(me->address, sizeof me->address, "%s", own);
        CHECK_STATUS(muster_member_array(me, "x", 100, &address), -EUCLEAN);
        CHECK_STATUS(muster_member_loop_begin(me, &options, &loop), -EUCLEAN);
        _exit(muster_leave(me));
    }
    pid_t answers = fork();
    CHECK(answers >= 0);
    if (answers == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        for (;;) {
            int caller = accept(listener, NULL, NULL);
            struct muster__hello hello;
            struct muster__answer answer = {.magic = MUSTER__HELLO_MAGIC,
                                            .layout_version = MUSTER_LAYOUT_VERSION};
            FILE *file = tmpfile();
            CHECK(file && recv(caller, &hello, sizeof hello, 0) == sizeof hello);
            CHECK_STATUS(muster__os_send_descriptor(caller, fileno(file), &answer, sizeof answer),
                         0);
            fclose(file);
            close(caller);
        }
    }
    CHECK(serve_until_end(launcher, child, NULL) == 0);
    kill(answers, SIGKILL);
    CHECK(waitpid(answers, NULL, 0) == answers);
    close(listener);
    muster_launcher_destroy(launcher);
}

int call_errors(int count, char **arguments)
{
    (void)count;
    (void)arguments;
    watch(60);
    struct muster_member *me = alone(), *another = alone();
    CHECK(another != me && muster_member_size(another) == 1);
    CHECK_STATUS(muster_leave(another), 0);
    struct muster_member_description description = {.size_bytes = 1};
    CHECK_STATUS(muster_member_describe(me, &description), -EINVAL);
    description.size_bytes = sizeof description;
    CHECK_STATUS(muster_member_describe(me, &description), 0);
    CHECK(description.alone == 1 && description.size == 1 && description.rank == 0 &&
          description.global_size == 1 && description.incarnation == 1 && description.node == -1);
    CHECK(muster_member_alive(me, 0) == 1 && muster_member_alive(me, 1) == 0 &&
          muster_member_alive(me, UINT32_MAX) == 0);
    CHECK(muster_type_bytes(MUSTER_TYPE_F64) == 8 && muster_type_bytes(MUSTER_TYPE_U32) == 4 &&
          muster_type_bytes(0) == 0 && muster_type_bytes(13) == 0);
    CHECK_STATUS(muster_member_barrier(me), 0);
    CHECK_STATUS(muster_recover(me), 0);

    double x = 1;
    CHECK_STATUS(muster_member_broadcast(me, &x, 8, 1), -EINVAL);
    CHECK_STATUS(muster_member_reduce(me, &x, 1, MUSTER_TYPE_F64, MUSTER_OP_SUM, 1), -EINVAL);
    CHECK_STATUS(muster_member_reduce(me, &x, 1, 0, MUSTER_OP_SUM, 0), -EINVAL);
    CHECK_STATUS(muster_member_reduce(me, &x, 1, MUSTER_TYPE_F64, 0, 0), -EINVAL);
    CHECK_STATUS(muster_member_all_reduce(me, &x, 1, MUSTER_TYPE_F64, MUSTER_OP_XOR), -EINVAL);
    CHECK_STATUS(muster_member_all_reduce(me, &x, UINT64_MAX, MUSTER_TYPE_F64, MUSTER_OP_SUM),
                 -EINVAL);
    CHECK_STATUS(muster_member_scan(me, &x, 1, MUSTER_TYPE_F64, MUSTER_OP_SUM, 2), -EINVAL);
    CHECK_STATUS(muster_member_scan(me, &x, 1, MUSTER_TYPE_F64, 8, 0), -EINVAL);

    void *first, *second;
    char name[80];
    memset(name, 'n', sizeof name);
    name[64] = '\0';
    CHECK_STATUS(muster_member_array(me, name, 1, &first), -EINVAL);
    name[63] = '\0';
    CHECK_STATUS(muster_member_array(me, name, 1, &first), 0);
    CHECK_STATUS(muster_member_array(me, "", 1, &first), -EINVAL);
    CHECK_STATUS(muster_member_array(me, "a\n", 1, &first), -EINVAL);
    CHECK_STATUS(muster_member_array(me, "a", 0, &first), -EINVAL);
    CHECK_STATUS(muster_member_array(me, "a", 5000, &first), 0);
    CHECK_STATUS(muster_member_array(me, "a", 5000, &second), 0);
    CHECK(first == second && ((unsigned char *)first)[4999] == 0);
    CHECK_STATUS(muster_member_array(me, "a", 5001, &second), -EINVAL);
    CHECK_STATUS(muster_member_array(me, "huge", 1ull << 60, &second), -ENOMEM);
    CHECK_STATUS(muster_member_array(me, "most", UINT64_MAX, &second), -ENOMEM);
    without_room(me);
    for (uint32_t i = 2; i < MUSTER_ARRAYS_MAX; i++) {
        snprintf(name, sizeof name, "array %u", i);
        CHECK_STATUS(muster_member_array(me, name, 1, &second), 0);
    }
    CHECK_STATUS(muster_member_array(me, "one more", 1, &second), -ENOSPC);
    struct muster_member_loop_options options = {
        .size_bytes = sizeof options, .elements = 10, .partial_bytes = 8};
    struct muster_member_loop *loop;
    CHECK_STATUS(muster_member_loop_begin(me, &options, &loop), -ENOSPC);
    CHECK_STATUS(muster_leave(me), 0);

    struct team team = {.size = 3, .program = mismatched};
    run_team(&team);
    for (uint32_t rank = 0; rank < 3; rank++)
        CHECK(ended_well(&team, rank));
    CHECK(team.left == 3 && team.died == 0);
    end_team(&team);
    array_of_a_liar();
    return 0;
}

/* -- the launcher --------------------------------------------------------------------------- */

int launcher_errors(int count, char **arguments)
{
    (void)count;
    (void)arguments;
    watch(60);
    struct muster_launcher *launcher = NULL;
    struct muster_launcher_options options = {.size_bytes = 2, .size = 1};
    CHECK_STATUS(muster_launcher_create(&options, &launcher), -EINVAL);
    options.size_bytes = sizeof options;
    options.size = 0;
    CHECK_STATUS(muster_launcher_create(&options, &launcher), -EINVAL);
    options.size = MUSTER_RANKS_MAX + 1;
    CHECK_STATUS(muster_launcher_create(&options, &launcher), -EINVAL);
    CHECK(!launcher);
    launcher = launcher_of(2);
    CHECK_STATUS(muster_launcher_lose(launcher, 2), -EINVAL);
    CHECK_STATUS(muster_launcher_reopen(launcher, 2), -EINVAL);
    CHECK_STATUS(muster_launcher_kill(launcher, 2, SIGKILL), -EINVAL);
    CHECK_STATUS(muster_launcher_kill(launcher, 0, 0), -EINVAL);
    CHECK_STATUS(muster_launcher_kill(launcher, 0, 65), -EINVAL);
    CHECK_STATUS(muster_launcher_kill(launcher, 0, SIGKILL), -ESRCH);
    CHECK(muster_launcher_process(launcher, 0) == 0 && muster_launcher_process(launcher, 9) == 0);
    CHECK_STATUS(muster_launcher_reopen(launcher, 1), 2);
    pid_t holder;
    const char *address = muster_launcher_address(launcher);
    CHECK_STATUS(join_elsewhere(launcher, address, 0, true, &holder, NULL), 0);
    CHECK_STATUS(muster_launcher_lose(launcher, 0), -EBUSY);
    CHECK_STATUS(muster_launcher_reopen(launcher, 0), -EBUSY);
    CHECK_STATUS(muster_launcher_kill(launcher, 0, SIGKILL), 0);
    CHECK(waitpid(holder, NULL, 0) == holder);
    CHECK_STATUS(muster_launcher_kill(launcher, 0, SIGKILL), -ESRCH);
    struct muster_launcher_event event;
    CHECK_STATUS(muster_launcher_serve(launcher, &event, 1), 1);
    CHECK(event.kind == MUSTER_LAUNCHER_DIED && event.rank == 0 && event.pid == holder);
    CHECK_STATUS(muster_launcher_lose(launcher, 0), 0);
    CHECK_STATUS(muster_launcher_lose(launcher, 0), 0);
    CHECK_STATUS(muster_launcher_reopen(launcher, 0), 2);

    struct muster_launcher_audit audit;
    CHECK_STATUS(muster_launcher_audited(launcher, 0, &audit), 0);
    launcher->parts.notes[1].used = MUSTER__NOTES + 1;
    CHECK_STATUS(muster_launcher_audited(launcher, 0, &audit), -EUCLEAN);
    launcher->parts.notes[1].used = 1;
    memset(launcher->parts.notes[1].notes[0].name, 'x', MUSTER_NAME_BYTES);
    CHECK_STATUS(muster_launcher_audited(launcher, 0, &audit), -EUCLEAN);
    muster_launcher_destroy(launcher);
    muster_launcher_destroy(NULL);
    return 0;
}
