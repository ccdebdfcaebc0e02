/* copies.c - copies of a leader that works: processes that a kernel of its rank 0 forks.
 *
 * Invariant: a copy that is forked while the leader's part of a job is under way has neither the
 * team's control memory nor its arrays. It would go on in the loop as rank 0 does, in the same
 * roll, and no audit would see it. Ranks that are processes of their own give their memory to no
 * child at all (team/worker.c); a leader's memory is inherited by the ranks that it forks, so here
 * fork handlers take it away from every other child. A child made by a raw clone passes no handler.
 */
#include <pthread.h>

#include "team/state.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct muster_team *working; /* linked by next_working */
static bool is_registered;

static void before_fork(void)
{
    pthread_mutex_lock(&lock);
}

static void after_fork(void)
{
    pthread_mutex_unlock(&lock);
}

static void in_child(void)
{
    for (struct muster_team *team = working; team && !muster__os_is_own_fork();
         team = team->next_working)
        if (team->running) {
            muster__os_forbid(team->control.address, team->control.size_bytes);
            muster__os_forbid(team->space.address, team->space.size_bytes);
        }
    pthread_mutex_unlock(&lock);
}

int muster__watch_copies(struct muster_team *team)
{
    pthread_mutex_lock(&lock);
    int status = is_registered ? 0 : -pthread_atfork(before_fork, after_fork, in_child);
    if (status == 0) {
        is_registered = true;
        team->next_working = working;
        working = team;
    }
    pthread_mutex_unlock(&lock);
    return status;
}

void muster__forget_copies(struct muster_team *team)
{
    pthread_mutex_lock(&lock);
    struct muster_team **link = &working;
    while (*link && *link != team)
        link = &(*link)->next_working;
    if (*link)
        *link = team->next_working;
    pthread_mutex_unlock(&lock);
}
