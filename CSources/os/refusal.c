/* refusal.c - system calls that were refused: which, and in what words.
 *
 * A seccomp filter answers a call that it does not allow with an errno, nearly always EPERM or
 * ENOSYS. Both have other meanings, and neither says which call it was. So such an answer becomes a
 * status that names the call, where it is made; other processes of the team understand it too.
 */
#define _GNU_SOURCE
#include "os/refusal.h"

#include <linux/futex.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "os/call.h"

static const struct call {
    const char *name;      /* the kernel's */
    const char *functions; /* by which the files of this room make it, with spaces between */
    const char *words;
    long number;
    bool may_be_kernels; /* EPERM, with arguments that it does not like */
} calls[] = {
#define FILTER false
#define EITHER true
#define WORDS(name)                                                                                \
    "the system call " name " is refused here: a seccomp filter (of a container runtime, of "      \
    "systemd's SystemCallFilter= or of a sandbox) or an old kernel does not allow it"
#define CALL(name, functions, meaning) {#name, functions, WORDS(#name), SYS_##name, meaning},
    MUSTER__CALLS(CALL)
#undef CALL
};

static const struct call *call_of(int status)
{
    int place = (MUSTER_REFUSED - status) / 2;
    return status <= MUSTER_REFUSED && place < MUSTER__CALL_COUNT ? &calls[place] : NULL;
}

int muster_refused_call(int status, const char **name)
{
    const struct call *call = call_of(status);
    if (!call)
        return 0;
    *name = call->name;
    return (MUSTER_REFUSED - status) % 2 == 0 ? EPERM : ENOSYS;
}

const char *muster__os_refusal_text(int status)
{
    const struct call *call = call_of(status);
    return call ? call->words : NULL;
}

/* Whether the words of a list, with spaces between, have this one. */
static bool has_word(const char *list, const char *word, size_t length)
{
    for (const char *at = list; *at;) {
        size_t each = strcspn(at, " ");
        if (each == length && memcmp(at, word, length) == 0)
            return true;
        at += each + (at[each] == ' ');
    }
    return false;
}

/* Whether one of the options is refused that Muster has of prctl: to no effect. */
static int64_t ask_prctl(void)
{
    char name[16];
    int signal = 0, adopts = 0;
    int64_t result = prctl(PR_GET_PDEATHSIG, &signal, 0, 0, 0);
    if (result == 0)
        result = prctl(PR_SET_PDEATHSIG, signal, 0, 0, 0);
    if (result == 0)
        result = prctl(PR_GET_CHILD_SUBREAPER, &adopts, 0, 0, 0);
    if (result == 0)
        result = prctl(PR_SET_CHILD_SUBREAPER, adopts, 0, 0, 0);
    if (result == 0)
        result = prctl(PR_GET_NAME, name, 0, 0, 0);
    return result == 0 ? prctl(PR_SET_NAME, name, 0, 0, 0) : result;
}

/* Makes a call to no effect. Returns: 0; EPERM or ENOSYS, where it is refused. */
static int ask(const struct call *call)
{
    uint32_t word = 0;
    int64_t result;
    errno = 0;
    switch (call - calls) {
    case MUSTER__CALL_futex: /* the kernel has ENOSYS for an operation that it does not know */
        result = syscall(SYS_futex, &word, FUTEX_WAKE, 1, NULL, NULL, 0);
        break;
    case MUSTER__CALL_kill:
        result = kill(muster__os_pid(), 0);
        break;
    case MUSTER__CALL_prctl:
        result = ask_prctl();
        break;
    case MUSTER__CALL_setsid:
    case MUSTER__CALL_exit_group:
        return 0; /* these do something for all arguments: see ask_child */
    default:      /* no call likes these arguments */
        result = syscall(call->number, -1l, -1l, -1l, -1l, -1l, -1l);
    }
    return result < 0 && (errno == EPERM || errno == ENOSYS) ? errno : 0;
}

static int status_of(int place, int error)
{
    return error == 0 ? 0 : MUSTER_REFUSED - 2 * place - (error == ENOSYS);
}

int muster__os_refusal(int status, const char *expression)
{
    /* As it stands in the source: "syscall(SYS_name, ...", "muster__name(...", "name(...". */
    static const char *const before[] = {"(int64_t)", "(", "muster__", "os_", "syscall(", "SYS_"};
    for (size_t i = 0; i < sizeof before / sizeof *before; i++)
        if (strncmp(expression, before[i], strlen(before[i])) == 0)
            expression += strlen(before[i]);
    size_t length = strcspn(expression, "(, ");
    for (int place = 0; place < MUSTER__CALL_COUNT; place++) {
        const struct call *call = &calls[place];
        if (!has_word(call->functions, expression, length))
            continue;
        int saved = errno;
        bool is_refused = status == -ENOSYS || !call->may_be_kernels || ask(call) != 0;
        errno = saved;
        return is_refused ? status_of(place, -status) : status;
    }
    return status;
}

int muster__os_ask_call(const char *name)
{
    ENTER();
    int status = -EINVAL;
    for (int place = 0; status == -EINVAL && place < MUSTER__CALL_COUNT; place++)
        if (strcmp(calls[place].name, name) == 0)
            status = status_of(place, ask(&calls[place]));
    errno = errno_before;
    return status;
}

/* What the child of ask_child exits with: a sum. */
enum { SESSION_EPERM = 1, SESSION_ENOSYS = 2, EXIT_EPERM = 4, EXIT_ENOSYS = 8 };

/* Two calls always change the process that makes them, so a child makes them. Returns: a sum as
 * above; 0 also where there can be no child. */
static int ask_child(void)
{
    ENTER();
    int pid = muster__os_fork();
    if (pid < 0)
        return 0;
    if (pid == 0) {
        int sum = setsid() >= 0 ? 0 : errno == ENOSYS ? SESSION_ENOSYS : SESSION_EPERM;
        syscall(SYS_exit_group, sum);
        sum |= errno == ENOSYS ? EXIT_ENOSYS : EXIT_EPERM;
        syscall(SYS_exit, sum);
    }
    int code = 0, sum = 0;
    siginfo_t info;
    int64_t waited = muster__os_wait4(&pid, true, &code, &sum);
    if (muster__is_refusal(waited)) {
        RETRY(waited, waitid(P_PID, (id_t)pid, &info, WEXITED));
        code = info.si_code;
        sum = info.si_status;
    }
    return waited >= 0 && code == CLD_EXITED ? sum : 0;
}

int muster__os_ask_calls(int32_t *statuses, uint32_t capacity)
{
    ENTER();
    int found = 0, sum = ask_child();
    int session_error = sum & SESSION_EPERM ? EPERM : sum & SESSION_ENOSYS ? ENOSYS : 0;
    int exit_error = sum & EXIT_EPERM ? EPERM : sum & EXIT_ENOSYS ? ENOSYS : 0;
    for (int place = 0; place < MUSTER__CALL_COUNT; place++) {
        int error = place == MUSTER__CALL_setsid       ? session_error
                    : place == MUSTER__CALL_exit_group ? exit_error
                                                       : ask(&calls[place]);
        if (error != 0 && (uint32_t)found < capacity)
            statuses[found++] = status_of(place, error);
    }
    errno = errno_before;
    return found;
}
