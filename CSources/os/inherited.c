/* inherited.c - what each process of Muster's does with the state that it has inherited.
 *
 * Invariant: a process of Muster's does its work and ends, for anything that a parent has ignored,
 * blocked, armed, closed or lowered. Only what the parent meant for it stays as it was. One row for
 * each state:
 *
 *   state                        tool         programs of run  ranks, server    leader, member
 *   HUP INT QUIT TERM USR1 USR2
 *     TSTP TTIN TTOU ignored     stays        stays            default (1)      stays
 *   other signals ignored        default      default          default          stays (2)
 *   blocked signals              none         none             none             stay
 *   Swift's crash handlers       default      exec             default          default (3)
 *   setitimer, alarm             stay (4)     fork             fork             stay
 *   timer slack                  50 us        50 us            stays            stays
 *   0, 1 or 2 closed             opened       given            stays            stays
 *   other open descriptors       stay         stay             stay             stay
 *   adopting of orphans          no (5)       fork             fork             stays
 *   children of the caller       spared (6)   fork             fork             stay
 *   soft limit of descriptors    stays        the tool's       stays            stays
 *   mlockall(MCL_FUTURE)         exec         exec             fork             stays (7)
 *
 * "fork" and "exec": these drop it. What is in no row stays everywhere: umask, limits, nice value,
 * scheduling policy, CPUs, memory policy, directory, securebits, no_new_privs, huge pages switched
 * off: they are how a person says what a job may have.
 *
 * (1) But INT, TERM and HUP, which ranks ignore always: their leader answers.
 * (2) The kernel reaps children of a process that ignores SIGCHLD: the core takes -ECHILD for the
 * end of a process whose status nobody has. (3) While a team or a membership is there. The
 * backtracer of Swift's runtime writes about the crash and returns: a process that was sent the
 * signal goes on, with a second thread, and where it is killed meanwhile, `swift-backtrace` waits
 * for it for ever. (4) A script that sets an alarm and executes a program limits its time so.
 * `muster run` takes SIGALRM as it takes SIGTERM. (5) Except by a supervisor and its guard, for as
 * long as they run. (6) `exec muster` in a shell makes the shell's children the tool's: they are
 * none of the run's. (7) What Muster maps is neither populated nor locked by it (muster__os_map).
 */
#include "os/inherited.h"

#include <signal.h>
#include <stddef.h>

#include "os/inherited_calls.h"

#define BIT(number) (UINT64_C(1) << ((number) - 1))

/* nohup, `trap ''` and job control. What is not among them is a trace of how a program was written,
 * such as SIGCHLD and SIGPIPE, and makes programs that don't expect it hang or go on for ever. */
const uint64_t muster__kept_signals = BIT(SIGHUP) | BIT(SIGINT) | BIT(SIGQUIT) | BIT(SIGTERM) |
                                      BIT(SIGUSR1) | BIT(SIGUSR2) | BIT(SIGTSTP) | BIT(SIGTTIN) |
                                      BIT(SIGTTOU);

/* What the runtime's backtracer handles. */
static const uint64_t crashes = BIT(SIGQUIT) | BIT(SIGILL) | BIT(SIGTRAP) | BIT(SIGABRT) |
                                BIT(SIGBUS) | BIT(SIGFPE) | BIT(SIGSEGV) | BIT(SIGSYS);
#define RUNTIME "/libswiftCore"

static int reset_descriptors(void)
{
    return muster__os_keep_standard();
}

static int reset_ignored(void)
{
    muster__os_stop_ignoring(muster__kept_signals);
    return 0;
}

static int reset_mask(void)
{
    muster__os_unblock_signals();
    return 0;
}

static int reset_timer_slack(void)
{
    muster__os_usual_timer_slack();
    return 0;
}

static int reset_adoption(void)
{
    (void)muster__os_adopt_orphans(false);
    return 0;
}

static int reset_crash_handlers(void)
{
    (void)muster__os_drop_handlers(crashes, RUNTIME);
    return 0;
}

/* In this order: descriptors before anything may open one, the mask last, since a signal that waits
 * behind it is delivered then, to what the rows above have left. */
static const struct {
    int (*reset)(void);
    unsigned who;
} table[] = {
    {reset_descriptors, MUSTER__TOOL},
    {reset_ignored, MUSTER__TOOL | MUSTER__PROGRAM},
    {reset_timer_slack, MUSTER__TOOL | MUSTER__PROGRAM},
    {reset_adoption, MUSTER__TOOL},
    {reset_crash_handlers, MUSTER__TOOL},
    {reset_mask, MUSTER__TOOL | MUSTER__PROGRAM},
};

int muster__reset_inherited(enum muster__beginner who)
{
    int first = 0;
    for (size_t row = 0; row < sizeof table / sizeof *table; row++) {
        int status = table[row].who & (unsigned)who ? table[row].reset() : 0;
        if (first == 0)
            first = status;
    }
    return first;
}

int muster_process_begin(void)
{
    return muster__reset_inherited(MUSTER__TOOL);
}

/* -- crashes of a host of the library ---------------------------------------------------------- */

/* How many teams and memberships there are, and whose handlers were taken away. */
static uint32_t users;
static uint64_t dropped;

void muster__end_on_crash(void)
{
    if (__atomic_fetch_add(&users, 1, __ATOMIC_ACQ_REL) == 0)
        __atomic_store_n(&dropped, muster__os_drop_handlers(crashes, RUNTIME), __ATOMIC_RELEASE);
}

void muster__crash_handlers_back(void)
{
    if (__atomic_fetch_sub(&users, 1, __ATOMIC_ACQ_REL) == 1)
        muster__os_handlers_back(__atomic_exchange_n(&dropped, 0, __ATOMIC_ACQ_REL));
}
