/* supervision.c - each error that supervisor.h and relay.h document, in each function. */
#define _GNU_SOURCE
#include "support.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <muster/tool/relay.h>
#include <muster/tool/supervisor.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "os/os.h"

/* The next system call of a function fails. */
#define CHECK_FAULT(call, error)                                                                   \
    do {                                                                                           \
        muster_testing_fail_call(1, (error));                                                      \
        CHECK_STATUS(call, -(error));                                                              \
        CHECK(muster_testing_failed());                                                            \
        muster_testing_fail_call(0, 0);                                                            \
    } while (0)

static void files(void)
{
    char path[PATH_MAX + 10];
    CHECK_STATUS(muster_supervisor_open_output("/dev/null/x", false), -ENOTDIR);
    CHECK_STATUS(muster_supervisor_open_output("/dev/null/x/y", true), -ENOTDIR);
    CHECK_STATUS(muster_supervisor_open_output("/tmp", false), -EISDIR);
    CHECK_STATUS(muster_supervisor_open_output("", false), -ENOENT);
    memset(path, 'x', sizeof path);
    path[0] = '/';
    path[sizeof path - 1] = '\0';
    CHECK_STATUS(muster_supervisor_open_output(path, false), -ENAMETOOLONG);
    CHECK_FAULT(muster_supervisor_open_output("/tmp/x", false), EACCES);
    CHECK_FAULT(muster_supervisor_open_nothing(), EMFILE);
    CHECK(!muster_supervisor_is_terminal(-1));
}

static void *rest(void *unused)
{
    for (;;)
        pause();
    return unused;
}

/* -- programs ------------------------------------------------------------------------------- */

static int start(struct muster_supervisor *supervisor, const char *name, uint32_t *step,
                 int32_t *status, const struct muster_placement *placement, int32_t input)
{
    const char *arguments[] = {name, "1000", NULL};
    struct muster_program program = {.name = name,
                                     .arguments = arguments,
                                     .environment = (const char *const *)(uintptr_t)environ,
                                     .input = input,
                                     .output = 1,
                                     .errors = 2,
                                     .cpu = UINT32_MAX,
                                     .placement = placement};
    return muster_supervisor_start(supervisor, &program, step, status);
}

static void programs(struct muster_supervisor *supervisor)
{
    uint32_t step = 99;
    int32_t status = 99, pid = 99, code, number;
    struct muster_supervisor *second;
    CHECK_STATUS(muster_supervisor_create(&second), -EBUSY);
    CHECK_STATUS(muster_supervisor_reap(supervisor, &pid, &code, &number), -ECHILD);
    CHECK(pid == 99);
    CHECK_STATUS(muster_supervisor_forward(supervisor, 0, SIGTERM), -ESRCH);
    CHECK_STATUS(muster_supervisor_forward(supervisor, 1, SIGTERM), -ESRCH);

    CHECK_STATUS(start(supervisor, "/no/such", &step, &status, NULL, 0), -ECHILD);
    CHECK(step == MUSTER_STEP_PROGRAM && status == -ENOENT);
    CHECK_STATUS(start(supervisor, "sleep", &step, &status, NULL, 99), -ECHILD);
    CHECK(step == MUSTER_STEP_START && status == -EBADF);
    struct muster_placement placement = {.kind = 99};
    CHECK_STATUS(start(supervisor, "sleep", &step, &status, &placement, 0), -EINVAL);
    placement = (struct muster_placement){.kind = MUSTER_BIND, .node = UINT32_MAX};
    CHECK_STATUS(start(supervisor, "sleep", &step, &status, &placement, 0), -EINVAL);
    placement.node = MUSTER_NODES_MAX - 1;
    CHECK_STATUS(start(supervisor, "sleep", &step, &status, &placement, 0), -ECHILD);
    CHECK(step == MUSTER_STEP_PLACEMENT && status < 0);
    CHECK_FAULT(start(supervisor, "sleep", &step, &status, NULL, 0), EAGAIN);
    CHECK_STATUS(muster_supervisor_reap(supervisor, &pid, &code, &number), -ECHILD);

    pid = start(supervisor, "sleep", &step, &status, NULL, 0);
    CHECK(pid > 0 && step == MUSTER_STEP_NONE && status == 0);
    int32_t reaped = 0;
    CHECK_STATUS(muster_supervisor_reap(supervisor, &reaped, &code, &number), 0);
    CHECK_FAULT(muster_supervisor_signal_all(supervisor, SIGKILL), EMFILE);
    CHECK_STATUS(muster_supervisor_forward(supervisor, pid, SIGTERM), 0);
    int descriptor = muster_supervisor_descriptor(supervisor);
    uint64_t ready = 0;
    CHECK_FAULT(muster_supervisor_wait(&descriptor, 1, -1, &ready), ENOMEM);
    int found;
    /* The first news may still be of those that could not be started. */
    while ((found = muster_supervisor_reap(supervisor, &reaped, &code, &number)) == 0) {
        CHECK_STATUS(muster_supervisor_wait(&descriptor, 1, -1, &ready), 0);
        CHECK(ready == 1);
        int signal;
        while ((signal = muster_supervisor_signal(supervisor)) > 0)
            CHECK(signal == SIGCHLD);
        CHECK(signal == 0);
    }
    CHECK_STATUS(found, 1);
    CHECK(reaped == pid && code == 0 && number == SIGTERM);
    CHECK_STATUS(muster_supervisor_forward(supervisor, pid, SIGTERM), -ESRCH);
    CHECK_STATUS(muster_supervisor_signal_all(supervisor, SIGKILL), 0);
}

/* folder: is left empty. */
static void explanations(const char *folder)
{
    char path[PATH_MAX], text[256] = "as it was";
    CHECK((size_t)snprintf(path, sizeof path, "%s/script", folder) < sizeof path);
    FILE *file = fopen(path, "w");
    CHECK(file && fputs("#!\t /no/such -x\n", file) >= 0 && fclose(file) == 0);
    CHECK_STATUS(muster_supervisor_explain("/no/such", -ENOENT, text, sizeof text), 0);
    CHECK_STATUS(muster_supervisor_explain(path, -EIO, text, sizeof text), 0);
    CHECK(strcmp(text, "as it was") == 0);
    CHECK_STATUS(muster_supervisor_explain(path, -EACCES, text, sizeof text), 1);
    CHECK(strstr(text, "chmod +x"));
    CHECK(chmod(path, 0700) == 0);
    CHECK_STATUS(muster_supervisor_explain(path, -EACCES, text, sizeof text), 0);
    CHECK_STATUS(muster_supervisor_explain(folder, -EACCES, text, sizeof text), 1);
    CHECK(strstr(text, "directory"));
    CHECK_STATUS(muster_supervisor_explain(path, -ENOENT, text, sizeof text), 1);
    CHECK(strcmp(text, "its interpreter /no/such is not there") == 0);
    /* In PATH, where no folder between two colons is this one. */
    CHECK(chdir(folder) == 0 && setenv("PATH", "/no/such::/bin", 1) == 0);
    text[0] = '\0';
    CHECK_STATUS(muster_supervisor_explain("script", -ENOENT, text, 20), 1);
    CHECK(strcmp(text, "its interpreter /no") == 0);
    CHECK_STATUS(muster_supervisor_explain("no-such", -ENOENT, text, sizeof text), 0);
    /* A binary whose loader is there, and the same with another one. */
    CHECK_STATUS(muster_supervisor_explain("/proc/self/exe", -ENOENT, text, sizeof text), 0);
    file = fopen("/proc/self/exe", "r");
    static char image[1 << 16];
    size_t size = file ? fread(image, 1, sizeof image, file) : 0;
    char *loader = memmem(image, size, "/ld-linux", 9);
    CHECK(file && fclose(file) == 0);
    if (loader) {
        memcpy(loader, "/ld-wrong", 9);
        file = fopen("binary", "w");
        CHECK(file && fwrite(image, 1, size, file) == size && fclose(file) == 0);
        CHECK_STATUS(muster_supervisor_explain("./binary", -ENOENT, text, sizeof text), 1);
        CHECK(strstr(text, "/ld-wrong") && strstr(text, " is not there"));
        CHECK(unlink("binary") == 0);
    }
    CHECK(unlink("script") == 0 && chdir("/") == 0);
}

static void relays(void)
{
    struct muster_relay *relay = NULL;
    int end = -1;
    CHECK_STATUS(muster_relay_create(99, 2, &relay), -EBADF);
    CHECK_FAULT(muster_relay_create(1, 2, &relay), EMFILE);
    CHECK(!relay);
    CHECK_STATUS(muster_relay_create(1, 2, &relay), 0);
    CHECK_FAULT(muster_relay_open(relay, MUSTER_RELAY_OUTPUT, "tag", &end), EMFILE);
    CHECK_FAULT(muster_relay_feed(relay, 0, &end), EMFILE);
    CHECK(end == -1 && muster_relay_is_done(relay));
    uint32_t failed = 99;
    CHECK_FAULT(muster_relay_serve(relay, &failed), EBADF);
    CHECK(failed == 99);
    muster_relay_destroy(relay);
    muster_relay_destroy(NULL);
    /* One file, but only one of the two may be written to. */
    int in = open("/dev/null", O_RDONLY), out = open("/dev/null", O_WRONLY);
    CHECK(in >= 0 && out >= 0);
    CHECK_STATUS(muster_relay_create(in, out, &relay), 0);
    CHECK(!muster_relay_is_one(relay));
    CHECK_STATUS(muster_relay_say(relay, MUSTER_RELAY_ERRORS, "x"), 0);
    CHECK_STATUS(muster_relay_serve(relay, &failed), 0);
    CHECK_STATUS(muster_relay_say(relay, MUSTER_RELAY_OUTPUT, "x"), 0); /* told by serve */
    CHECK_STATUS(muster_relay_serve(relay, &failed), -EBADF);
    CHECK(failed == MUSTER_RELAY_OUTPUT);
    CHECK_STATUS(muster_relay_say(relay, MUSTER_RELAY_OUTPUT, "x"), -EBADF);
    muster_relay_destroy(relay);
    CHECK_STATUS(muster_relay_create(out, out, &relay), 0);
    CHECK(muster_relay_is_one(relay));
    muster_relay_destroy(relay);
    close(in);
    close(out);
}

int supervision(int count, char **arguments)
{
    watch(60);
    files();
    CHECK(count == 1);
    explanations(arguments[0]);
    relays();
    muster_supervisor_destroy(NULL);
    pid_t child = fork();
    if (child == 0) {
        struct muster_supervisor *supervisor;
        CHECK_STATUS(muster_supervisor_create(&supervisor), 0);
        watch(60); /* this is another process: the child is its guard */
        programs(supervisor);
        muster_supervisor_destroy(supervisor);
        _exit(0);
    }
    int status;
    CHECK(child > 0 && waitpid(child, &status, 0) == child);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);

    struct muster_supervisor *supervisor = NULL;
    muster_testing_fail_call(2, EMFILE); /* the first counts threads, and need not */
    CHECK_STATUS(muster_supervisor_create(&supervisor), -EMFILE);
    muster_testing_fail_call(0, 0);
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, rest, NULL) == 0);
    CHECK_STATUS(muster_supervisor_create(&supervisor), -EBUSY);
    CHECK(!supervisor);
    return 0;
}
