/* fault.c - the system calls of os/fault.h: handlers of a crash's signals. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <muster/core/fault.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>
#include <unwind.h>

#include "os/call.h"
#include "os/fault.h"

/* More than the kernel's frame with AVX-512 and AMX state (11 KiB on x86-64) and what the handler
 * itself needs. */
#define STACK_BYTES (64u << 10)

static const int crash_signals[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP, SIGABRT, SIGSYS};
#define COUNT (sizeof crash_signals / sizeof *crash_signals)

static muster__trap_handler caught;

#if defined(__x86_64__)

/* Bits of a page fault's error code (Intel SDM 3A, 4.7). */
#define FAULT_WRITES  2u
#define FAULT_FETCHES 16u
#define PAGE_FAULT    14

static void read_context(const ucontext_t *context, struct muster__trap *trap)
{
    const greg_t *registers = context->uc_mcontext.gregs;
    trap->pc = (uintptr_t)registers[REG_RIP];
    trap->frame_pointer = (uintptr_t)registers[REG_RBP];
    trap->stack_pointer = (uintptr_t)registers[REG_RSP];
    if (!trap->has_address || registers[REG_TRAPNO] != PAGE_FAULT)
        return; /* a general protection fault has neither address nor direction */
    uint64_t error = (uint64_t)registers[REG_ERR];
    trap->access = error & FAULT_FETCHES  ? MUSTER_FAULT_EXECUTE
                   : error & FAULT_WRITES ? MUSTER_FAULT_WRITE
                                          : MUSTER_FAULT_READ;
}

#elif defined(__aarch64__)

/* The syndrome register, in a record of the signal frame (arch/arm64/include/uapi/asm/sigcontext.h;
 * Arm ARM, ESR_EL1: class in bits 31:26, WnR is bit 6 of a data abort). */
#define ESR_RECORD 0x45535201u

static void read_context(const ucontext_t *context, struct muster__trap *trap)
{
    trap->pc = (uintptr_t)context->uc_mcontext.pc;
    trap->frame_pointer = (uintptr_t)context->uc_mcontext.regs[29];
    trap->stack_pointer = (uintptr_t)context->uc_mcontext.sp;
    const unsigned char *at = (const unsigned char *)context->uc_mcontext.__reserved;
    const unsigned char *end = at + sizeof context->uc_mcontext.__reserved;
    while (trap->has_address && at + 16 <= end) {
        uint32_t head[2];
        uint64_t esr;
        memcpy(head, at, sizeof head);
        if (head[0] == 0 || head[1] < 8)
            return;
        if (head[0] == ESR_RECORD) {
            memcpy(&esr, at + 8, sizeof esr);
            uint32_t class = (uint32_t)(esr >> 26) & 0x3f;
            trap->access = class == 0x20 || class == 0x21   ? MUSTER_FAULT_EXECUTE
                           : class != 0x24 && class != 0x25 ? MUSTER_FAULT_UNKNOWN
                           : esr & 64                       ? MUSTER_FAULT_WRITE
                                                            : MUSTER_FAULT_READ;
            return;
        }
        at += head[1];
    }
}

#else
#error "say here how this CPU's context tells a read from a write"
#endif

static void restore_default(int signal)
{
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = SIG_DFL;
    sigemptyset(&action.sa_mask);
    sigaction(signal, &action, NULL);
}

/* What each crash signal did before muster__os_catch. */
static struct sigaction actions_before[COUNT];

static void on_crash(int signal, siginfo_t *info, void *context);

/* What a signal does now. Returns: whether it comes to on_crash. */
static bool is_caught(int signal)
{
    struct sigaction now;
    return sigaction(signal, NULL, &now) == 0 && now.sa_sigaction == on_crash;
}

/* The place of a signal in crash_signals. */
static size_t place_of(int signal)
{
    size_t place = 0;
    while (place + 1 < COUNT && crash_signals[place] != signal)
        place++;
    return place;
}

static void on_crash(int signal, siginfo_t *info, void *context)
{
    int errno_before = errno;
    const struct sigaction *before = &actions_before[place_of(signal)];
    struct muster__trap trap = {.signal = signal, .code = info->si_code};
    /* A signal that a process has sent carries no address. */
    trap.has_address = (signal == SIGSEGV || signal == SIGBUS) && info->si_code > 0;
    if (trap.has_address)
        trap.address = (uintptr_t)info->si_addr;
    trap.has_owner = before->sa_handler != SIG_DFL;
    read_context(context, &trap);
    if (!caught(&trap) && trap.has_owner) {
        /* The instruction runs again, and its signal goes where it would have gone without us. */
        sigaction(signal, before, NULL);
        if (info->si_code <= 0)
            syscall(SYS_tgkill, muster__os_pid(), muster__os_thread(), signal);
        errno = errno_before;
        return;
    }
    /* Pending until this handler returns: the process then ends where it was, which is what a core
     * file should show. */
    restore_default(signal);
    syscall(SYS_tgkill, muster__os_pid(), muster__os_thread(), signal);
    errno = errno_before;
}

int muster__os_thread(void)
{
    return (int)syscall(SYS_gettid);
}

_Noreturn void muster__os_wait_for_end(void)
{
    for (;;)
        (void)pause();
}

/* Gives this thread a stack for its handlers, where it has none that is large enough. */
static int prepare_stack(void)
{
    static unsigned char *stack; /* kept: a signal may come while it is given back */
    uint64_t page = muster__os_page_bytes();
    stack_t now;
    if (sigaltstack(NULL, &now) == 0 && !(now.ss_flags & SS_DISABLE) && now.ss_size >= STACK_BYTES)
        return 0;
    /* Its first page stays without access: a handler must not run into what lies below. */
    if (!stack) {
        unsigned char *made =
            mmap(NULL, STACK_BYTES + page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (made == MAP_FAILED)
            return -ENOMEM;
        if (mprotect(made + page, STACK_BYTES, PROT_READ | PROT_WRITE) != 0) {
            munmap(made, STACK_BYTES + page);
            return -ENOMEM;
        }
        stack = made;
    }
    stack_t alternate = {.ss_sp = stack + page, .ss_size = STACK_BYTES};
    return sigaltstack(&alternate, NULL) == 0 ? 0 : -ENOMEM;
}

int muster__os_catch(muster__trap_handler handler, enum muster__catching what)
{
    INJECT();
    ENTER();
    int status = prepare_stack();
    errno = errno_before;
    if (status < 0)
        return status;
    caught = handler;
    for (size_t i = 0; i < COUNT; i++) {
        struct sigaction action;
        bool is_access = crash_signals[i] == SIGSEGV || crash_signals[i] == SIGBUS;
        if (sigaction(crash_signals[i], NULL, &action) != 0 || action.sa_sigaction == on_crash ||
            (action.sa_handler != SIG_DFL && !(is_access && what == MUSTER__ALL_ACCESSES)))
            continue;
        actions_before[i] = action;
        memset(&action, 0, sizeof action);
        action.sa_sigaction = on_crash;
        action.sa_flags = SA_SIGINFO | SA_ONSTACK;
        sigemptyset(&action.sa_mask);
        sigaction(crash_signals[i], &action, NULL);
    }
    errno = errno_before;
    return 0;
}

void muster__os_uncatch(void)
{
    ENTER();
    for (size_t i = 0; i < COUNT; i++)
        if (is_caught(crash_signals[i]))
            sigaction(crash_signals[i], &actions_before[i], NULL);
    errno = errno_before;
}

bool muster__os_catches_last_words(void)
{
    ENTER();
    bool catches = is_caught(SIGABRT) && is_caught(SIGILL) && is_caught(SIGTRAP);
    errno = errno_before;
    return catches;
}

/* -- what a handler looks at ----------------------------------------------------------------- */

/* Far more than the handler takes: a few milliseconds, which are spent with the calls. */
#define HANDLING_SECONDS 10

void muster__os_limit_handling(void)
{
    restore_default(SIGALRM);
    sigset_t only;
    sigemptyset(&only);
    sigaddset(&only, SIGALRM);
    sigprocmask(SIG_UNBLOCK, &only, NULL);
    alarm(HANDLING_SECONDS);
}

struct unwinding {
    const struct muster__trap *trap;
    bool (*visit)(uintptr_t pc);
    bool is_past; /* beyond the handler's own frames */
    uint32_t steps;
};

/* Most frames of the handler itself and of the runtimes below it. */
#define UNWOUND_MOST 128

static _Unwind_Reason_Code next_frame(struct _Unwind_Context *context, void *argument)
{
    struct unwinding *unwinding = argument;
    int is_exact = 0;
    uintptr_t pc = (uintptr_t)_Unwind_GetIPInfo(context, &is_exact);
    if (++unwinding->steps > UNWOUND_MOST)
        return _URC_NORMAL_STOP;
    if (unwinding->is_past) {
        /* A return address may be the next function's: the call itself is before it. */
        return pc == 0 || !unwinding->visit(pc - (is_exact ? 0 : 1)) ? _URC_NORMAL_STOP
                                                                     : _URC_NO_REASON;
    }
    unwinding->is_past = pc == unwinding->trap->pc;
    return _URC_NO_REASON;
}

void muster__os_unwind(const struct muster__trap *trap, bool (*visit)(uintptr_t pc))
{
    struct unwinding unwinding = {.trap = trap, .visit = visit};
    /* A call to where no function is. The unwinder would read instructions there. */
    if (trap->has_address && trap->pc == trap->address) {
#if defined(__x86_64__)
        (void)visit(*(const uintptr_t *)trap->stack_pointer - 1); /* of its caller */
#endif
        return;
    }
    (void)_Unwind_Backtrace(next_frame, &unwinding);
}

static bool ignore(uintptr_t pc)
{
    (void)pc;
    return false;
}

void muster__os_prepare_unwinding(void)
{
    struct muster__trap nowhere = {.address = 1};
    muster__os_unwind(&nowhere, ignore);
    (void)muster__os_abort_message();
}

/* The kernel lets a main thread's stack grow down to its limit and keeps a gap below it
 * (stack_guard_gap, 1 MiB with pages of 4 KiB); other threads have a guard page. A function with
 * large variables reaches further below. */
#define OVERFLOW_BYTES (1ull << 20)

bool muster__os_overflowed(const struct muster__trap *trap)
{
    return trap->signal == SIGSEGV && trap->has_address && trap->address >= OVERFLOW_BYTES &&
           trap->access != MUSTER_FAULT_EXECUTE &&
           trap->address + OVERFLOW_BYTES >= trap->stack_pointer &&
           trap->address <= trap->stack_pointer + OVERFLOW_BYTES;
}

/* As glibc declares it (include/stdlib.h, for debuggers): what it wrote before it aborted. */
struct abort_message {
    unsigned size;
    char text[];
};

const char *muster__os_abort_message(void)
{
    static struct abort_message **place;
    if (!place)
        place = dlsym(RTLD_DEFAULT, "__abort_msg");
    return place && *place ? (*place)->text : NULL;
}

_Noreturn void muster__os_die(int signal)
{
    restore_default(signal);
    sigset_t only;
    sigemptyset(&only);
    sigaddset(&only, signal);
    sigprocmask(SIG_UNBLOCK, &only, NULL);
    for (;;)
        syscall(SYS_tgkill, muster__os_pid(), muster__os_thread(), signal);
}

/* -- which file ----------------------------------------------------------------------------- */

static const char *read_hex(const char *at, uint64_t *value)
{
    *value = 0;
    for (;; at++) {
        if (*at >= '0' && *at <= '9')
            *value = *value * 16 + (uint64_t)(*at - '0');
        else if (*at >= 'a' && *at <= 'f')
            *value = *value * 16 + (uint64_t)(*at - 'a') + 10;
        else
            return at;
    }
}

/* A line of /proc/self/maps: "start-end rwxp offset dev inode   path". */
static bool parse_line(const char *line, uintptr_t address, char *path, size_t capacity,
                       uint64_t *offset_bytes)
{
    uint64_t start, end, offset;
    line = read_hex(line, &start);
    if (*line++ != '-')
        return false;
    line = read_hex(line, &end);
    if (address < start || address >= end || *line++ != ' ')
        return false;
    while (*line && *line != ' ')
        line++;
    if (*line++ != ' ')
        return false;
    line = read_hex(line, &offset);
    while (*line && *line != '/')
        line++;
    if (*line != '/')
        return false;
    size_t length = 0;
    for (; line[length] && length + 1 < capacity; length++)
        path[length] = line[length];
    path[length] = '\0';
    *offset_bytes = address - start + offset;
    return true;
}

int muster__os_mapped_file(uintptr_t address, char *path, size_t capacity, uint64_t *offset_bytes)
{
    ENTER();
    char buffer[2048], line[512];
    size_t used = 0;
    int found = 0;
    int fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
    while (fd >= 0 && !found) {
        ssize_t length = read(fd, buffer, sizeof buffer);
        if (length <= 0)
            break;
        for (ssize_t i = 0; i < length && !found; i++) {
            if (buffer[i] != '\n') {
                if (used + 1 < sizeof line)
                    line[used++] = buffer[i];
                continue;
            }
            line[used] = '\0';
            used = 0;
            found = parse_line(line, address, path, capacity, offset_bytes);
        }
    }
    if (fd >= 0)
        close(fd);
    errno = errno_before;
    return found;
}
