/* faults.c - the n-th system call fails, for n = 1, 2, ... until nothing does: no descriptor, no
 * mapping and no held rank is left over.
 */
#define _GNU_SOURCE
#include "support.h"

#include <dirent.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

static uint32_t descriptors(void)
{
    uint32_t count = 0;
    DIR *directory = opendir("/proc/self/fd");
    CHECK(directory);
    while (readdir(directory))
        count++;
    closedir(directory);
    return count;
}

/* Mappings of Muster's memory. */
static uint32_t mappings(void)
{
    char line[512];
    uint32_t count = 0;
    FILE *file = fopen("/proc/self/maps", "r");
    CHECK(file);
    while (fgets(line, sizeof line, file))
        count += strstr(line, "muster-") != NULL && strstr(line, "memfd") != NULL;
    fclose(file);
    return count;
}

/* Everything that a member does with the system, once. Returns: the first failure, or 0. */
static int life(const char *address)
{
    struct muster_join_options options = {.size_bytes = sizeof options, .address = address};
    struct muster_member *me;
    struct muster_member_loop *loop;
    struct muster_chunk chunk;
    void *memory;
    int status = muster_join_with(&options, &me);
    if (status < 0)
        return status;
    struct muster_member_loop_options how = {
        .size_bytes = sizeof how, .elements = 10, .grain = 1, .partial_bytes = 8};
    status = muster_member_array(me, "x", 100000, &memory);
    /* Large arrays don't lie side by side (os.h), where there are addresses. */
    void *large[2];
    for (int i = 0; status == 0 && i < 2; i++)
        status = muster_member_array(me, i ? "large" : "as large", 1 << 24, &large[i]);
    if (status == 0 && !muster_testing_failed())
        CHECK(labs((char *)large[1] - (char *)large[0]) > 1 << 24);
    if (status == 0)
        status = muster_member_loop_begin(me, &how, &loop);
    if (status == 0) {
        while (muster_member_loop_next(loop, &chunk) > 0)
            muster_member_loop_commit(loop, &chunk);
        status = muster_member_loop_end(loop, NULL);
    }
    int left = muster_leave(me);
    return status < 0 ? status : left;
}

static void fail_each(const char *address, int error, const char *what)
{
    uint32_t failures = 0, before = descriptors(), mapped = mappings();
    for (uint64_t n = 1;; n++) {
        muster_testing_fail_call(n, error);
        int status = life(address);
        bool failed = muster_testing_failed();
        muster_testing_fail_call(0, 0);
        CHECK(descriptors() == before && mappings() == mapped);
        if (!failed) {
            CHECK_STATUS(status, 0);
            break;
        }
        failures += status < 0;
        CHECK(n < 1000);
    }
    CHECK(failures > 4);
    printf("%s: %u failures\n", what, failures);
}

/* Length: one case after the other. */
int faults(int count, char **arguments)
{
    unsetenv("MUSTER_CHECK"); /* a checked loop that the system refuses ends its process */
    (void)count;
    (void)arguments;
    watch(60);
    unsetenv("MUSTER_TEAM");
    fail_each(NULL, ENOMEM, "alone");

    /* The launcher itself. */
    struct muster_launcher_options options = {.size_bytes = sizeof options, .size = 2};
    uint32_t before = descriptors(), mapped = mappings();
    for (uint64_t n = 1;; n++) {
        struct muster_launcher *launcher = NULL;
        muster_testing_fail_call(n, EMFILE);
        int status = muster_launcher_create(&options, &launcher);
        bool failed = muster_testing_failed();
        muster_testing_fail_call(0, 0);
        CHECK(status == 0 || (failed && status == -EMFILE && !launcher));
        muster_launcher_destroy(launcher);
        CHECK(descriptors() == before && mappings() == mapped);
        if (!failed)
            break;
    }

    /* A member of a launcher that opens a rank again whenever it was given back. */
    char *address = shared(MUSTER_NAME_BYTES);
    pid_t parent = getpid(), child = fork();
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent)
            _exit(1);
        struct muster_launcher *launcher;
        options.size = 1;
        CHECK_STATUS(muster_launcher_create(&options, &launcher), 0);
        strcpy(address + 1, muster_launcher_address(launcher) + 1);
        __atomic_store_n(address, '@', __ATOMIC_SEQ_CST);
        for (;;) {
            struct muster_launcher_event events[8];
            struct pollfd wanted = {.fd = muster_launcher_descriptor(launcher), .events = POLLIN};
            (void)poll(&wanted, 1, -1);
            int happened = muster_launcher_serve(launcher, events, 8);
            for (int i = 0; i < happened; i++)
                if (events[i].kind == MUSTER_LAUNCHER_LEFT)
                    CHECK(muster_launcher_reopen(launcher, 0) > 1);
        }
    }
    while (__atomic_load_n(address, __ATOMIC_SEQ_CST) != '@')
        usleep(1000);
    /* A rank that was given back before must recover first: so does each of these. */
    uint32_t failures = 0;
    before = descriptors();
    mapped = mappings();
    for (uint64_t n = 1;; n++) {
        struct muster_join_options place = {.size_bytes = sizeof place, .address = address};
        struct muster_member *me = NULL;
        void *memory;
        int status;
        do { /* the launcher may be about to open the rank again */
            muster_testing_fail_call(n, ENOMEM);
            status = muster_join_with(&place, &me);
        } while ((status == -ESHUTDOWN || status == -EALREADY) && !muster_testing_failed());
        if (status == 0) {
            CHECK_STATUS(muster_recover(me), 0);
            status = muster_member_array(me, "x", 100000, &memory);
            int left = muster_leave(me);
            status = status < 0 ? status : left;
        }
        bool failed = muster_testing_failed();
        muster_testing_fail_call(0, 0);
        CHECK(descriptors() == before && mappings() == mapped);
        if (!failed) {
            CHECK_STATUS(status, 0);
            break;
        }
        failures += status < 0;
        CHECK(n < 1000);
    }
    CHECK(failures > 6);
    printf("joined: %u failures\n", failures);
    kill(child, SIGKILL);
    return 0;
}
