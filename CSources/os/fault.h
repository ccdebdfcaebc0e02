/* fault.h - catching the signals of a crash. Private to the C core.
 *
 * What runs in a handler here allocates nothing, takes no lock and calls no function of the C
 * library that is not async-signal-safe.
 */
#ifndef MUSTER_OS_FAULT_H
#define MUSTER_OS_FAULT_H

#include "os/os.h"

/* What a signal's handler is told. */
struct muster__trap {
    int signal, code;
    uint32_t access;      /* enum muster_fault_access */
    uint32_t has_address; /* 1: the signal is of an access to `address` */
    bool has_owner;       /* the program has a handler of its own for this signal */
    uintptr_t address;
    uintptr_t pc, frame_pointer, stack_pointer;
};

/* Returns: whether this process ends here. Where it doesn't, a program's own handler is called. */
typedef bool (*muster__trap_handler)(const struct muster__trap *trap);

/* Whose signals are caught. */
enum muster__catching {
    MUSTER__UNHANDLED,   /* those whose disposition is the default */
    MUSTER__ALL_ACCESSES /* SIGSEGV and SIGBUS also where the program has a handler for them */
};

/* Has `handler` called for each crash signal that is to be caught, on a stack of its own where this
 * thread has none. When it returns, the signal does what it would have done without it. Returns: 0;
 * -ENOMEM. */
int muster__os_catch(muster__trap_handler handler, enum muster__catching what);

/* Signals do again what they did before. The stack stays. */
void muster__os_uncatch(void);

/* Whether the signals by which a runtime ends a process (ABRT, ILL, TRAP) are caught here. */
bool muster__os_catches_last_words(void);

int muster__os_thread(void);

/* For a thread of a process that another thread is about to end. */
_Noreturn void muster__os_wait_for_end(void);

/* What a process that handles a crash can't do for ever: after some seconds, SIGALRM ends it. */
void muster__os_limit_handling(void);

/* Calls `visit` for the instruction that was interrupted, if the unwinder gets there, and for the
 * calls that led to it, until it returns false. In a handler only. A stack that has been
 * overwritten can make it crash or run in circles. */
void muster__os_unwind(const struct muster__trap *trap, bool (*visit)(uintptr_t pc));

/* Makes the unwinder ready, so that it loads nothing in a handler. */
void muster__os_prepare_unwinding(void);

/* Whether the access was beyond the end of this thread's stack. */
bool muster__os_overflowed(const struct muster__trap *trap);

/* What the C library has said before it aborted; NULL: nothing. */
const char *muster__os_abort_message(void);

/* Ends this process by a signal, which can't be caught any more. */
_Noreturn void muster__os_die(int signal);

/* The file that is mapped at an address. Returns: 1, its path (cut where it is too long) and the
 * address's offset in it; 0: none. Async-signal-safe. */
int muster__os_mapped_file(uintptr_t address, char *path, size_t capacity, uint64_t *offset_bytes);

#endif
