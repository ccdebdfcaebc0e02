/* errors.c - each error that member.h and launcher.h document, in each function. */
#define _GNU_SOURCE
#include "support.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "launcher/state.h"

/* Serves a launcher until a child has ended. Returns: its exit status. */
static int serve_until_end(struct muster_launcher *launcher, pid_t child,
                           struct muster_launcher_event *last)
{
    int status = 0;
    while (waitpid(child, &status, WNOHANG) == 0) {
        struct muster_launcher_event event;
        while (muster_launcher_serve(launcher, &event, 1) == 1)
            if (last && event.kind != MUSTER_LAUNCHER_DIED && event.kind != MUSTER_LAUNCHER_LEFT)
                *last = event;
        usleep(200);
    }
    CHECK(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static struct muster_launcher *launcher_of(uint32_t size)
{
    struct muster_launcher_options options = {
        .size_bytes = sizeof options, .size = size, .spin_ns = 0};
    struct muster_launcher *launcher = NULL;
    CHECK_STATUS(muster_launcher_create(&options, &launcher), 0);
    return launcher;
}

/* Joins in a child. Returns: the status of the join there. */
static int join_elsewhere(struct muster_launcher *launcher, const char *address, uint32_t rank,
                          bool stays, pid_t *process, struct muster_launcher_event *event)
{
    int *status = shared(sizeof *status);
    *status = 1;
    fflush(stdout);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        struct muster_join_options options = {
            .size_bytes = sizeof options, .address = address, .rank = rank};
        struct muster_member *me;
        __atomic_store_n(status, muster_join_with(&options, &me), __ATOMIC_SEQ_CST);
        while (stays)
            pause();
        _exit(0);
    }
    if (process)
        *process = child;
    if (!stays) {
        (void)serve_until_end(launcher, child, event);
        return *status;
    }
    while (__atomic_load_n(status, __ATOMIC_SEQ_CST) == 1) {
        struct muster_launcher_event events[4];
        (void)muster_launcher_serve(launcher, events, 4);
        usleep(200);
    }
    return *status;
}

/* -- a launcher that lies ------------------------------------------------------------------- */

enum lie {
    CLOSES,
    OTHER_VERSION,
    OTHER_MAGIC,
    NO_DESCRIPTOR,
    WRONG_MEMORY,
    WRONG_SIZE,
    SMALL_TEAM
};

static int join_liar(enum lie lie)
{
    char name[64];
    snprintf(name, sizeof name, "muster-liar-%d-%d", getpid(), lie);
    int listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    memcpy(address.sun_path + 1, name, strlen(name));
    socklen_t length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + strlen(name));
    CHECK(bind(listener, (struct sockaddr *)&address, length) == 0 && listen(listener, 4) == 0);
    pid_t child = fork();
    if (child == 0) {
        int caller = accept(listener, NULL, NULL);
        struct muster__hello hello;
        CHECK(recv(caller, &hello, sizeof hello, 0) == sizeof hello);
        struct muster__answer answer = {.magic = MUSTER__HELLO_MAGIC,
                                        .layout_version = MUSTER_LAYOUT_VERSION};
        struct muster_segment segment = {.fd = -1};
        if (lie == CLOSES)
            _exit(0);
        answer.layout_version += lie == OTHER_VERSION;
        answer.magic += lie == OTHER_MAGIC;
        if (lie == WRONG_MEMORY)
            CHECK_STATUS(muster_segment_create("liar", MUSTER_SEGMENT_CONTROL, 1 << 20, &segment),
                         0);
        if (lie == WRONG_SIZE)
            CHECK_STATUS(muster_segment_create("liar", MUSTER_SEGMENT_MEMBERS, 1 << 20, &segment),
                         0);
        /* Where the answer is all that is wrong, the memory behind it is right. */
        if (lie == SMALL_TEAM || lie == OTHER_VERSION || lie == OTHER_MAGIC) {
            struct muster_launcher_options options = {.size_bytes = sizeof options, .size = 1};
            struct muster__member_plan plan;
            struct muster__member_parts parts;
            CHECK_STATUS(muster__member_segment(&options, &segment, &plan, &parts), 0);
        }
        int fd = lie == NO_DESCRIPTOR ? -1 : segment.fd >= 0 ? segment.fd : listener;
        CHECK_STATUS(muster__os_send_descriptor(caller, fd, &answer, sizeof answer), 0);
        (void)recv(caller, &hello, sizeof hello, 0);
        _exit(0);
    }
    char text[80];
    snprintf(text, sizeof text, "@%s", name);
    struct muster_join_options options = {
        .size_bytes = sizeof options, .address = text, .rank = lie == SMALL_TEAM ? 3 : 0};
    struct muster_member *me = NULL;
    int status = muster_join_with(&options, &me);
    CHECK(!me);
    close(listener);
    CHECK(waitpid(child, NULL, 0) == child);
    return status;
}

/* The status of muster_join under an environment, in a child. */
static int join_under(const char *const variables[])
{
    pid_t child = fork();
    if (child == 0) {
        clearenv();
        for (; *variables; variables++)
            putenv((char *)(uintptr_t)*variables);
        struct muster_member *me;
        int status = muster_join(&me);
        char advice[512];
        CHECK_STATUS(muster_join_advice(status, advice, sizeof advice), 0);
        CHECK(strlen(advice) > 0 && !strchr(advice, '\n'));
        bool is_lost = getenv("MUSTER_SIZE") && !(getenv("MUSTER_TEAM") && *getenv("MUSTER_TEAM"));
        if (status == -ENOTCONN)
            CHECK(strstr(advice,
                         is_lost ? "MUSTER_SIZE=2 is set and MUSTER_TEAM is not: " : "muster run"));
        if (status == -ENOTCONN && is_lost)
            CHECK(strstr(advice, "unset MUSTER_SIZE and MUSTER_RANK to run it alone"));
        if (status == -ENOTUNIQ)
            CHECK(strstr(advice, "OMPI_COMM_WORLD_RANK") && strstr(advice, "PMI_RANK"));
        _exit(-status);
    }
    int status;
    CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status));
    return -WEXITSTATUS(status);
}

#define UNDER(...) join_under((const char *const[]){__VA_ARGS__, NULL})

/* Length: one case after the other, each a few lines. */
int join_errors(int count, char **arguments)
{
    (void)count;
    (void)arguments;
    watch(60);
    struct muster_member *me = NULL;
    struct muster_join_options options = {.size_bytes = 4};
    CHECK_STATUS(muster_join_with(&options, &me), -EINVAL);
    options = (struct muster_join_options){.size_bytes = sizeof options, .spin_ns = -2};
    CHECK_STATUS(muster_join_with(&options, &me), -EINVAL);
    options = (struct muster_join_options){.size_bytes = sizeof options, .address = "muster-1"};
    CHECK_STATUS(muster_join_with(&options, &me), -EINVAL);
    options.address = "@muster-nobody-listens-here";
    CHECK_STATUS(muster_join_with(&options, &me), -ECONNREFUSED);
    CHECK(!me);

    CHECK_STATUS(UNDER("MUSTER_TEAM=@muster-nobody-listens-here", "MUSTER_RANK=0"), -ECONNREFUSED);
    CHECK_STATUS(UNDER("MUSTER_TEAM=@x"), -EINVAL);
    CHECK_STATUS(UNDER("MUSTER_TEAM=@x", "MUSTER_RANK=1x"), -EINVAL);
    CHECK_STATUS(UNDER("MUSTER_TEAM=@x", "MUSTER_RANK=4294967296"), -EINVAL);
    CHECK_STATUS(UNDER("PATH=/bin"), 0);
    CHECK_STATUS(UNDER("MUSTER_SIZE=2", "MUSTER_RANK=1"), -ENOTCONN);
    CHECK_STATUS(UNDER("MUSTER_SIZE=2", "MUSTER_TEAM="), -ENOTCONN);
    CHECK_STATUS(
        UNDER("MUSTER_SIZE=2", "OMPI_COMM_WORLD_RANK=0", "OMPI_COMM_WORLD_SIZE=3", "MUSTER_RANK=0"),
        -ENOTCONN);
    CHECK_STATUS(UNDER("MUSTER_SIZE=2", "MUSTER_TEAM=@muster-nobody-listens-here", "MUSTER_RANK=0"),
                 -ECONNREFUSED);
    CHECK_STATUS(UNDER("MUSTER_SIZE=1", "MUSTER_RANK=0"), 0);
    CHECK_STATUS(UNDER("MUSTER_SIZE="), 0);
    CHECK_STATUS(UNDER("OMPI_COMM_WORLD_RANK=1", "OMPI_COMM_WORLD_SIZE=2"), -ENOTCONN);
    CHECK_STATUS(UNDER("OMPI_COMM_WORLD_RANK=0", "OMPI_COMM_WORLD_SIZE=1"), 0);
    CHECK_STATUS(
        UNDER("OMPI_COMM_WORLD_RANK=1", "OMPI_COMM_WORLD_SIZE=2", "PMI_RANK=0", "PMI_SIZE=2"),
        -ENOTUNIQ);
    CHECK_STATUS(UNDER("JOB_COMPLETION_INDEX=3"), -ENOTCONN);
    CHECK_STATUS(UNDER("OMPI_COMM_WORLD_RANK=7", "OMPI_COMM_WORLD_SIZE=2"), -EINVAL);

    CHECK_STATUS(join_liar(CLOSES), -ECONNRESET);
    CHECK_STATUS(join_liar(OTHER_VERSION), -EPROTO);
    CHECK_STATUS(join_liar(OTHER_MAGIC), -EPROTO);
    CHECK_STATUS(join_liar(NO_DESCRIPTOR), -EUCLEAN);
    CHECK_STATUS(join_liar(WRONG_MEMORY), -EPROTO);
    CHECK_STATUS(join_liar(WRONG_SIZE), -EUCLEAN);
    CHECK_STATUS(join_liar(SMALL_TEAM), -EUCLEAN);

    struct muster_launcher *single = launcher_of(1);
    pid_t twice = fork();
    if (twice == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        options.address = muster_launcher_address(single);
        CHECK_STATUS(muster_join_with(&options, &me), 0);
        struct muster_member *again;
        CHECK_STATUS(muster_join_with(&options, &again), -EALREADY);
        CHECK_STATUS(muster_leave(me), 0);
        int status; /* until the launcher has read that it has left */
        while ((status = muster_join_with(&options, &again)) == -EALREADY)
            usleep(200);
        CHECK_STATUS(status, -ESHUTDOWN);
        _exit(0);
    }
    CHECK(serve_until_end(single, twice, NULL) == 0);
    muster_launcher_destroy(single);

    struct muster_launcher *launcher = launcher_of(3);
    const char *address = muster_launcher_address(launcher);
    struct muster_launcher_event event = {0};
    CHECK_STATUS(join_elsewhere(launcher, address, 3, false, NULL, &event), -EINVAL);
    CHECK(event.kind == MUSTER_LAUNCHER_REFUSED && event.rank == 3 && event.status == -EINVAL);
    pid_t holder = 0;
    CHECK_STATUS(join_elsewhere(launcher, address, 1, true, &holder, NULL), 0);
    CHECK(muster_launcher_process(launcher, 1) == holder);
    CHECK_STATUS(join_elsewhere(launcher, address, 1, false, NULL, &event), -EBUSY);
    CHECK(event.kind == MUSTER_LAUNCHER_REFUSED && event.status == -EBUSY);
    /* Nor does the memory itself let a second one in. */
    CHECK(launcher->parts.posts[1].holder == (uint64_t)holder);
    launcher->parts.posts[2].holder = 1;
    CHECK_STATUS(join_elsewhere(launcher, address, 2, false, NULL, NULL), -EBUSY);
    CHECK_STATUS(muster_launcher_lose(launcher, 0), 0);
    CHECK_STATUS(join_elsewhere(launcher, address, 0, false, NULL, &event), -ESHUTDOWN);
    kill(holder, SIGKILL);
    waitpid(holder, NULL, 0);
    if (geteuid() == 0) {
        pid_t child = fork();
        if (child == 0) {
            CHECK(setuid(65534) == 0);
            options = (struct muster_join_options){
                .size_bytes = sizeof options, .address = address, .rank = 0};
            CHECK_STATUS(muster_join_with(&options, &me), -EPERM);
            _exit(0);
        }
        CHECK(serve_until_end(launcher, child, NULL) == 0);
    } else {
        printf("skipped: another user's process, for want of root\n");
    }
    muster_launcher_destroy(launcher);

    char text[8];
    CHECK_STATUS(muster_join_advice(-EBUSY, text, 0), -EINVAL);
    CHECK_STATUS(muster_join_advice(-EBUSY, text, sizeof text), 0);
    CHECK(strlen(text) == 7);
    char advice[512];
    CHECK_STATUS(muster_join_advice(-ENOMEM, advice, sizeof advice), 0);
    CHECK(strstr(advice, "ulimit -v"));
    CHECK_STATUS(muster_leave(NULL), 0);
    return 0;
}

/* -- a member's calls ----------------------------------------------------------------------- */

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
    for (uint32_t i = 2; i < MUSTER_ARRAYS_MAX; i++) {
        snprintf(name, sizeof name, "array %u", i);
        CHECK_STATUS(muster_member_array(me, name, 1, &second), 0);
    }
    CHECK_STATUS(muster_member_array(me, "one more", 1, &second), -ENOSPC);
    CHECK_STATUS(muster_leave(me), 0);

    struct team team = {.size = 3, .program = mismatched};
    run_team(&team);
    for (uint32_t rank = 0; rank < 3; rank++)
        CHECK(ended_well(&team, rank));
    CHECK(team.left == 3 && team.died == 0);
    end_team(&team);
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
