/* join_errors.c - each error that member.h documents of joining, told by options and by variables.
 */
#define _GNU_SOURCE
#include "support.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "launcher/state.h"

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
    int status = join_told(&options, &me);
    CHECK(!me);
    close(listener);
    CHECK(waitpid(child, NULL, 0) == child);
    return status;
}

/* Joins as the environment says. */
static int join_as_told(struct muster_member **me)
{
    struct muster_join_options options = {.size_bytes = sizeof options};
    return told_by_environment ? muster_join(me) : muster_join_with(&options, me);
}

/* The status of a join under an environment, in a child. */
static int join_under(const char *const variables[])
{
    pid_t child = fork();
    if (child == 0) {
        clearenv();
        for (; *variables; variables++)
            putenv((char *)(uintptr_t)*variables);
        struct muster_member *me;
        int status = join_as_told(&me);
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

static void told_nonsense(void)
{
    struct muster_member *me = NULL;
    struct muster_join_options options = {.size_bytes = 4};
    CHECK_STATUS(muster_join_with(&options, &me), -EINVAL);
    options = (struct muster_join_options){.size_bytes = sizeof options, .spin_ns = -2};
    CHECK_STATUS(muster_join_with(&options, &me), -EINVAL);
    options = (struct muster_join_options){.size_bytes = sizeof options, .address = "muster-1"};
    CHECK_STATUS(join_told(&options, &me), -EINVAL);
    options.address = "@muster-nobody-listens-here";
    CHECK_STATUS(join_told(&options, &me), -ECONNREFUSED);
    CHECK(!me);
}

static void environments(void)
{
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
}

static void liars(void)
{
    CHECK_STATUS(join_liar(CLOSES), -ECONNRESET);
    CHECK_STATUS(join_liar(OTHER_VERSION), -EPROTO);
    CHECK_STATUS(join_liar(OTHER_MAGIC), -EPROTO);
    CHECK_STATUS(join_liar(NO_DESCRIPTOR), -EUCLEAN);
    CHECK_STATUS(join_liar(WRONG_MEMORY), -EPROTO);
    CHECK_STATUS(join_liar(WRONG_SIZE), -EUCLEAN);
    CHECK_STATUS(join_liar(SMALL_TEAM), -EUCLEAN);
}

/* Joins twice, and again after it has left. */
static void twice(void)
{
    struct muster_launcher *single = launcher_of(1);
    pid_t child = fork();
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        struct muster_join_options options = {.size_bytes = sizeof options,
                                              .address = muster_launcher_address(single)};
        struct muster_member *me, *again;
        CHECK_STATUS(join_told(&options, &me), 0);
        CHECK_STATUS(join_told(&options, &again), -EALREADY);
        CHECK_STATUS(muster_leave(me), 0);
        int status; /* until the launcher has read that it has left */
        while ((status = join_told(&options, &again)) == -EALREADY)
            usleep(200);
        CHECK_STATUS(status, -ESHUTDOWN);
        _exit(0);
    }
    CHECK(serve_until_end(single, child, NULL) == 0);
    muster_launcher_destroy(single);
}

static void held_ranks(void)
{
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
            struct muster_join_options options = {.size_bytes = sizeof options, .address = address};
            struct muster_member *me;
            CHECK_STATUS(join_told(&options, &me), -EPERM);
            _exit(0);
        }
        CHECK(serve_until_end(launcher, child, NULL) == 0);
    } else {
        printf("skipped: another user's process, for want of root\n");
    }
    muster_launcher_destroy(launcher);
}

static void limit(int what, rlim_t most)
{
    struct rlimit limits = {most, most};
    CHECK(setrlimit(what, &limits) == 0);
}

/* Each in a child, whose limits are its own. */
static void under_limits(void)
{
    for (int what = 0; what < 2; what++) {
        pid_t child = fork();
        CHECK(child >= 0);
        if (child == 0) {
            struct muster_member *me;
            unsigned long pages = 0;
            FILE *file = fopen("/proc/self/statm", "r");
            CHECK(file && fscanf(file, "%lu", &pages) == 1 && fclose(file) == 0);
            limit(what == 0 ? RLIMIT_AS : RLIMIT_NOFILE,
                  what == 0 ? pages * (unsigned long)sysconf(_SC_PAGESIZE) + (64u << 10) : 3);
            CHECK_STATUS(join_as_told(&me), what == 0 ? -ENOMEM : -EMFILE);
            char advice[512];
            CHECK_STATUS(muster_join_advice(what == 0 ? -ENOMEM : -EMFILE, advice, sizeof advice),
                         0);
            CHECK(strstr(advice, what == 0 ? "ulimit -v" : "ulimit -n"));
            _exit(0);
        }
        int status;
        CHECK(waitpid(child, &status, 0) == child && status == 0);
    }
}

/* In a program with privileges that its caller lacks, under the caller's variables. */
int raised_join(int count, char **arguments)
{
    (void)count;
    (void)arguments;
    struct muster_member *me;
    for (int way = 0; way < 2; way++) {
        told_by_environment = way != 0;
        CHECK_STATUS(join_as_told(&me), -EACCES);
    }
    return 0;
}

static void raised(void)
{
    char folder[] = "/tmp/muster-raised-XXXXXX", program[sizeof folder + 8];
    if (geteuid() != 0) {
        printf("skipped: a set-user-ID program, for want of root\n");
        return;
    }
    CHECK(mkdtemp(folder) && chmod(folder, 0755) == 0);
    snprintf(program, sizeof program, "%s/raised", folder);
    FILE *from = fopen("/proc/self/exe", "rb"), *to = fopen(program, "wb");
    CHECK(from && to);
    static char bytes[1 << 16];
    for (size_t length; (length = fread(bytes, 1, sizeof bytes, from)) > 0;)
        CHECK(fwrite(bytes, 1, length, to) == length);
    CHECK(fclose(from) == 0 && fclose(to) == 0 && chmod(program, 04755) == 0);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        CHECK(setenv("MUSTER_TEAM", "@nobody", 1) == 0 && setuid(65534) == 0);
        execl(program, program, "raised-join", (char *)NULL);
        _exit(127);
    }
    int status;
    CHECK(waitpid(child, &status, 0) == child);
    CHECK(unlink(program) == 0 && rmdir(folder) == 0);
    CHECK(status == 0);
}

int join_errors(int count, char **arguments)
{
    const bool is_emulated = getenv("MUSTER_TEST_EMULATED") != NULL;
    (void)count;
    (void)arguments;
    watch(60);
    for (int way = 0; way < 2; way++) {
        told_by_environment = way != 0;
        told_nonsense();
        environments();
        liars();
        twice();
        held_ranks();
        /* An emulator keeps no limit of addresses, and executes no program of its own kind. */
        if (!is_emulated)
            under_limits();
    }
    if (is_emulated)
        printf("skipped: limits and a set-user-ID program, in an emulator\n");
    else
        raised();

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
