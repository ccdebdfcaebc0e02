/* inherited_calls.c - the system calls of inherited.h. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <link.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "os/call.h"
#include "os/inherited_calls.h"

int muster__os_keep_standard(void)
{
    INJECT();
    ENTER();
    int status = 0;
    /* open takes the lowest free number, and those below are open by then. Output must not vanish
     * in there: not opened to write, it refuses each write as a closed descriptor does. */
    for (int fd = 0; fd < 3 && status >= 0; fd++)
        if (fcntl(fd, F_GETFD) < 0)
            status = (int)taken(open("/dev/null", fd == STDERR_FILENO ? O_WRONLY : O_RDONLY),
                                errno_before);
    errno = errno_before;
    return status < 0 ? status : 0;
}

void muster__os_stop_ignoring(uint64_t kept)
{
    ENTER();
    struct sigaction action, defaults;
    memset(&defaults, 0, sizeof defaults);
    sigemptyset(&defaults.sa_mask);
    defaults.sa_handler = SIG_DFL;
    for (int number = 1; number < NSIG; number++)
        /* glibc's own two refuse, rightly. A default with SA_NOCLDWAIT is no better than ignoring.
         */
        if (!(kept >> (number - 1) & 1) && sigaction(number, NULL, &action) == 0 &&
            (action.sa_handler == SIG_IGN ||
             (action.sa_handler == SIG_DFL && action.sa_flags & SA_NOCLDWAIT)))
            sigaction(number, &defaults, NULL);
    errno = errno_before;
}

void muster__os_unblock_signals(void)
{
    ENTER();
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    errno = errno_before;
}

/* -- signals of workers ------------------------------------------------------------------------ */

_Static_assert(NSIG <= 65, "a signal is a bit of a word");

static void (*worker_handler(int number))(int)
{
    return number == SIGINT || number == SIGTERM || number == SIGHUP ? SIG_IGN : SIG_DFL;
}

uint64_t muster__os_other_signals(void)
{
    ENTER();
    uint64_t others = 0;
    for (int number = 1; number < NSIG; number++) {
        struct sigaction action;
        /* glibc's own two refuse, rightly. */
        if (sigaction(number, NULL, &action) == 0 &&
            (action.sa_handler != worker_handler(number) || action.sa_flags != 0))
            others |= UINT64_C(1) << (number - 1);
    }
    errno = errno_before;
    return others;
}

void muster__os_worker_signals(uint64_t which)
{
    struct sigaction action;
    memset(&action, 0, sizeof action);
    sigemptyset(&action.sa_mask);
    for (int number = 1; number < NSIG; number++) {
        if (!(which >> (number - 1) & 1))
            continue;
        action.sa_handler = worker_handler(number);
        /* SIGKILL, SIGSTOP and glibc's own two refuse, rightly. */
        sigaction(number, &action, NULL);
    }
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

void muster__os_rehearse_worker(void)
{
    ENTER();
    struct sigaction action;
    sigset_t none;
    char name[16];
    unsigned cpu;
    prctl(PR_GET_NAME, name, 0, 0, 0);
    sigemptyset(&none);
    sigaction(SIGCHLD, NULL, &action);
    sigprocmask(SIG_BLOCK, &none, NULL);
    (void)getppid();
    (void)getcpu(&cpu, NULL);
    if (write(-1, name, 0) < 0) /* no such descriptor */
        errno = errno_before;
}

int muster__os_ignored_signals(uint64_t *signals)
{
    INJECT();
    ENTER();
    uint64_t ignored = 0;
    for (int number = 1; number < NSIG && number <= 64; number++) {
        struct sigaction action;
        if (sigaction(number, NULL, &action) == 0 && action.sa_handler == SIG_IGN)
            ignored |= UINT64_C(1) << (number - 1);
    }
    errno = errno_before;
    *signals = ignored;
    return 0;
}

int muster__os_ignore_signal(int number, bool ignore)
{
    ENTER();
    struct sigaction action;
    memset(&action, 0, sizeof action);
    sigemptyset(&action.sa_mask);
    action.sa_handler = ignore ? SIG_IGN : SIG_DFL;
    return (int)taken(sigaction(number, &action, NULL), errno_before);
}

/* -- what is no signal --------------------------------------------------------------------------
 */

/* What Linux gives its first process (prctl(2), PR_SET_TIMERSLACK): a process that sleeps for
 * milliseconds would wake seconds late where a parent has asked for that. */
#define TIMER_SLACK_NS 50000ul

void muster__os_usual_timer_slack(void)
{
    ENTER();
    if (prctl(PR_GET_TIMERSLACK, 0, 0, 0, 0) > (int)TIMER_SLACK_NS ||
        prctl(PR_GET_TIMERSLACK, 0, 0, 0, 0) < 0)
        (void)prctl(PR_SET_TIMERSLACK, TIMER_SLACK_NS, 0, 0, 0);
    errno = errno_before;
}

/* -- handlers that a runtime has installed ---------------------------------------------------- */

struct image {
    const char *name;
    uintptr_t address;
    bool is_it;
};

/* Whether the image that an address lies in has this name. */
static int look_at_image(struct dl_phdr_info *loaded, size_t size, void *context)
{
    struct image *image = context;
    (void)size;
    for (int i = 0; i < loaded->dlpi_phnum; i++) {
        const ElfW(Phdr) *part = &loaded->dlpi_phdr[i];
        if (part->p_type == PT_LOAD &&
            image->address - (loaded->dlpi_addr + part->p_vaddr) < part->p_memsz) {
            image->is_it = strstr(loaded->dlpi_name, image->name) != NULL;
            return 1;
        }
    }
    return 0;
}

static struct sigaction handlers_before[64];

uint64_t muster__os_drop_handlers(uint64_t signals, const char *name)
{
    ENTER();
    uint64_t dropped = 0;
    struct sigaction defaults;
    memset(&defaults, 0, sizeof defaults);
    sigemptyset(&defaults.sa_mask);
    defaults.sa_handler = SIG_DFL;
    for (int number = 1; number <= 64; number++) {
        struct sigaction *before = &handlers_before[number - 1];
        if (!(signals >> (number - 1) & 1) || sigaction(number, NULL, before) < 0 ||
            before->sa_handler == SIG_DFL || before->sa_handler == SIG_IGN)
            continue;
        struct image image = {.name = name, .address = (uintptr_t)before->sa_sigaction};
        dl_iterate_phdr(look_at_image, &image);
        if (image.is_it && sigaction(number, &defaults, NULL) == 0)
            dropped |= UINT64_C(1) << (number - 1);
    }
    errno = errno_before;
    return dropped;
}

void muster__os_handlers_back(uint64_t signals)
{
    ENTER();
    for (int number = 1; number <= 64; number++) {
        struct sigaction now;
        /* What the program has set meanwhile is its own. */
        if (signals >> (number - 1) & 1 && sigaction(number, NULL, &now) == 0 &&
            now.sa_handler == SIG_DFL)
            sigaction(number, &handlers_before[number - 1], NULL);
    }
    errno = errno_before;
}

/* -- arguments and names ---------------------------------------------------------------------- */

static int argument_count;
static char **arguments;

/* glibc gives these to each such function (Linux Standard Base has them so for the executable;
 * glibc for libraries too). Not from the environment, next to which they lie: a preloaded library
 * may have moved it. Not from /proc, which may not be there. */
#ifdef __GLIBC__
__attribute__((constructor)) static void keep_arguments(int count, char **list)
{
    argument_count = count;
    arguments = list;
}
#endif

char **muster_process_arguments(uint32_t *count)
{
    *count = argument_count > 0 ? (uint32_t)argument_count : 0;
    return arguments;
}

void muster__go_by(const char *name)
{
    ENTER();
    (void)prctl(PR_SET_NAME, name, 0, 0, 0);
    if (argument_count > 0) {
        char *first = arguments[0], *last = arguments[argument_count - 1];
        size_t length = strlen(name), room = (size_t)(last + strlen(last) - first);
        /* One text: without a NUL at its end the kernel reads on (proc(5), cmdline). */
        memset(first, 0, room);
        if (length < room)
            memcpy(first, name, length);
        argument_count = 1;
    }
    errno = errno_before;
}

int muster__os_adopt_orphans(bool adopt)
{
    INJECT();
    ENTER();
    return (int)taken(prctl(PR_SET_CHILD_SUBREAPER, adopt ? 1 : 0, 0, 0, 0), errno_before);
}
