/* inherited.h - resetting inherited state: the parts that Muster's processes share. Private to the
 * C core. (os/inherited.c has the table, os/inherited_calls.c the system calls.)
 */
#ifndef MUSTER__INHERITED_H
#define MUSTER__INHERITED_H

#include <muster/inherited.h>

/* Processes of Muster's that begin with state of another program's. */
enum muster__beginner {
    MUSTER__TOOL = 1,   /* the tool `muster` */
    MUSTER__PROGRAM = 2 /* what `muster run` executes */
};

/* Signals, by number - 1, that stay ignored where a parent has ignored them. It meant the programs
 * that come after as well. */
extern const uint64_t muster__kept_signals;

/* Resets the state that the table names for `who`. Safe between fork and exec. Returns: 0 or the
 * first negative errno; the rest is reset all the same. */
int muster__reset_inherited(enum muster__beginner who);

/* Makes a crash of this process its end, until the last muster__crash_handlers_back. Swift's
 * backtracer, where it is the handler, would keep it alive: see os/inherited.c. */
void muster__end_on_crash(void);
void muster__crash_handlers_back(void);

/* Lets this process go by another name, in all places where others look for one. */
void muster__go_by(const char *name);

/* -- system calls, by the contract of os.h (os/inherited_calls.c)
 * ---------------------------------- */

/* Opens /dev/null for each of 0, 1, 2 that is closed: 0 has nothing in it, writes to 1 go on being
 * refused with -EBADF, writes to 2 vanish. */
int muster__os_keep_standard(void);
/* Ignored signals get the default again, but for `kept`. Handlers stay: no exec hands one down. */
void muster__os_stop_ignoring(uint64_t kept);
void muster__os_unblock_signals(void);
void muster__os_usual_timer_slack(void);
/* Default for those of `signals` whose handler lies in the image `name` (a part of its path).
 * Returns: which of them had one; they are kept for muster__os_handlers_back. */
uint64_t muster__os_drop_handlers(uint64_t signals, const char *name);
void muster__os_handlers_back(uint64_t signals);

#endif
