/* launch_check.h - what the tests of leader.h share: a check that says where it failed, teams and
 * arrays in one line, a watchdog. */
#ifndef LAUNCH_CHECK_H
#define LAUNCH_CHECK_H

#include <muster/muster.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Whatever hangs ends the test by SIGALRM; the team's workers end with their leader. */
enum { WATCHDOG_SECONDS = 120 };

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition))                                                                          \
            fail(__FILE__, __LINE__, #condition);                                                  \
    } while (0)

/* A call that must fail, with this code, and say so in words. */
#define CHECK_FAILS(code_wanted, words, call)                                                      \
    do {                                                                                           \
        memset(&error, 0, sizeof error);                                                           \
        int status = (call);                                                                       \
        if (status != (code_wanted) || error.code != (code_wanted) ||                              \
            !strstr(error.message, (words)) || strchr(error.message, '\n'))                        \
            fail(__FILE__, __LINE__, #call);                                                       \
    } while (0)

static struct muster_error error;

static void fail(const char *file, int line, const char *what)
{
    fprintf(stderr, "%s:%d: %s\n  error %d: %s\n", file, line, what, error.code, error.message);
    _exit(EXIT_FAILURE);
}

static struct muster_leader *team(uint32_t size, uint32_t start)
{
    struct muster_leader_options options = {
        .size_bytes = sizeof options, .size = size, .start = start};
    struct muster_leader *leader = NULL;
    CHECK(muster_leader_create(&options, &leader, &error) == 0);
    CHECK(muster_leader_size(leader) == size);
    return leader;
}

static struct muster_array *array(struct muster_leader *leader, uint32_t element_bytes,
                                  uint64_t count)
{
    struct muster_array_options options = {
        .size_bytes = sizeof options, .element_bytes = element_bytes, .count = count};
    struct muster_array *made = NULL;
    CHECK(muster_array_create(leader, &options, &made, &error) == 0);
    CHECK(muster_array_count(made) == count && *muster_array_notes(made) == '\0');
    return made;
}

#endif
